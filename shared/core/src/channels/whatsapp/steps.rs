//! The steps themselves. Each may be done twice, and is written in the transaction of what it changed.

use super::{Provisioned, Run};
use crate::channels::provisioning::{self, Outcome, Steps, Stopped, failed, is_taken, ours};
use crate::channels::vault::{Credentials, Owner};
use crate::channels::{ChannelError, lifecycle, rotation};
use crate::model::TenantId;
use crate::platform::hasura::ActionError;
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx, clock};
use aws_lc_rs::{digest, rand};
use comms_providers::whatsapp::onboarding::{CallbackUrl, PhoneNumber, Pin};
use secrecy::{ExposeSecret, SecretString};

impl Steps for Run<'_> {
    /// Each is written in the transaction of what it changed.
    async fn take(&mut self, step: &str) -> Result<Option<Outcome>, Stopped> {
        match step {
            "EXCHANGE" => self.exchange().await,
            "DEBUG" => self.debug().await,
            "OWNERSHIP" => self.prove().await,
            "REGISTER" => self.register().await,
            "SUBSCRIBE" => self.subscribe().await,
            "OVERRIDE" => self.override_callback().await,
            "READ" => self.read().await,
            _ => self.activate().await,
        }
        .map(|()| None)
    }
}

impl Run<'_> {
    fn owner(&self) -> Owner {
        Owner {
            tenant: self.attempt.tenant,
            account: self.attempt.account,
        }
    }

    pub(super) async fn finish(
        mut self,
        steps: &[&str],
    ) -> Result<(Provisioned, Vec<Hint>), ChannelError> {
        let (database, attempt) = (self.database, self.attempt);
        let walked = provisioning::walk(database, &attempt, steps, &mut self).await?;
        let provisioned = Provisioned::of(&attempt, walked);
        Ok((provisioned, self.hints))
    }

    async fn done(&self, mut tx: Tx, step: &str) -> Result<(), Stopped> {
        self.attempt.write(&mut tx, step, &Outcome::Done).await?;
        Ok(tx.commit().await?)
    }

    async fn begin(&self) -> Result<Tx, Stopped> {
        let mut tx = self.database.begin().await?;
        self.attempt.holds(&mut tx).await?;
        Ok(tx)
    }

    async fn exchange(&mut self) -> Result<(), Stopped> {
        let code = self.code.take().ok_or_else(|| {
            ours(
                "code-needed",
                "There is no code, and none was exchanged before.",
                "Sign up with Meta once more.",
            )
        })?;
        let token = self.meta.exchange_code(&code).await;
        let token = token.map_err(|error| failed(&error))?;
        // A PIN that is known stays: the number has it by now.
        let known = self.kept().await?.and_then(|credentials| credentials.pin);
        let pin = match self.pin.take().or(known) {
            Some(pin) => pin,
            None => made_pin()?,
        };
        let tx = self.seal(Credentials {
            access_token: token.access_token,
            pin: Some(pin),
        });
        let tx = tx.await?;
        self.done(tx, "EXCHANGE").await
    }

    /// Sealed as the candidate; the transaction is not committed yet.
    async fn seal(&mut self, credentials: Credentials) -> Result<Tx, Stopped> {
        let mut tx = self.begin().await?;
        let locked = lifecycle::lock(&mut tx, self.attempt.tenant, self.attempt.account).await?;
        tx.commit().await?;
        let version = locked.config.next_version();
        let envelope = self.vault.seal(self.owner(), version, &credentials).await?;
        let mut tx = self.begin().await?;
        rotation::stage(
            &mut tx,
            self.attempt.tenant,
            self.attempt.account,
            &envelope,
        )
        .await?;
        self.credentials = Some(credentials);
        Ok(tx)
    }

    /// What an earlier attempt sealed, or what the account uses.
    async fn kept(&self) -> Result<Option<Credentials>, Stopped> {
        let mut tx = self.begin().await?;
        let locked = lifecycle::lock(&mut tx, self.attempt.tenant, self.attempt.account).await?;
        tx.commit().await?;
        let config = locked.config;
        let Some(envelope) = config.candidate.as_ref().or(config.secrets.first()) else {
            return Ok(None);
        };
        match self.vault.open(self.owner(), envelope).await {
            Ok(credentials) => Ok(Some(credentials)),
            Err(error) if error.is_transient() => Err(error.into()),
            // They are about to be replaced.
            Err(_) => Ok(None),
        }
    }

    async fn token(&mut self) -> Result<SecretString, Stopped> {
        if self.credentials.is_none() {
            self.credentials = self.kept().await?;
        }
        let credentials = self.credentials.as_ref().ok_or_else(|| {
            ours(
                "code-needed",
                "The token of an earlier attempt does not open any more.",
                "Sign up with Meta once more.",
            )
        })?;
        Ok(credentials.access_token.clone())
    }

    async fn debug(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        let facts = self.meta.debug_token(&token).await;
        let facts = facts.map_err(|error| failed(&error))?;
        self.meta
            .check_grant(&facts, &self.waba)
            .map_err(|error| failed(&error))?;
        let tx = self.begin().await?;
        self.done(tx, "DEBUG").await
    }

    /// The number is the business account's, which the token was granted for: it is the tenant's from now on, unless another has it.
    async fn prove(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        let number = self.meta.number_of(&token, &self.waba, &self.number).await;
        let number = number.map_err(|error| failed(&error))?;
        let sender = number.display_phone_number.as_deref().map(e164);
        let mut tx = self.begin().await?;
        // All webhooks of a business account go to one place: it is one tenant's. Two who prove it at once are in line.
        sqlx::query!(
            "select pg_advisory_xact_lock(hashtextextended('waba/' || $1, 0))",
            self.waba
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let elsewhere = sqlx::query_scalar!(
            r#"select exists (select from communications.channel_accounts a
                               where a.channel = 'WHATSAPP' and a.waba_id = $2 and a.tenant_id <> $1
                                 and a.external_account_id is not null and a.status <> 'DISABLED') as "elsewhere!""#,
            self.attempt.tenant.0,
            self.waba
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        if elsewhere {
            tx.rollback().await?;
            return Err(ours(
                "waba-taken",
                "Another operator of this platform has connected a number of this business account.",
                "Move the number to a business account of your own, or have them disable their number.",
            ));
        }
        // Whoever disabled it had it, and whoever proves it has it: the number, and all that is told of the business account.
        sqlx::query!(
            "update communications.channel_accounts
                set external_account_id = null, waba_id = null, verified_at = null, status_reason = 'the number was connected elsewhere'
              where channel = 'WHATSAPP' and (external_account_id = $2 or waba_id = $3) and tenant_id <> $1 and status = 'DISABLED'",
            self.attempt.tenant.0,
            self.number,
            self.waba
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let proven = sqlx::query!(
            "update communications.channel_accounts
                set external_account_id = $3, requested_external_id = $3, waba_id = $4, sender = coalesce($5, sender),
                    display_name = coalesce($6, display_name),
                    status = case when status in ('PENDING', 'DISABLED') then 'VERIFYING' else status end,
                    status_reason = case when status in ('PENDING', 'DISABLED') then null else status_reason end,
                    acted_by = $7
              where tenant_id = $1 and id = $2",
            self.attempt.tenant.0,
            self.attempt.account.0,
            self.number,
            self.waba,
            sender,
            number.verified_name,
            self.attempt.by.map(|user| user.0)
        )
        .execute(tx.conn())
        .await;
        match proven {
            Ok(_) => self.done(tx, "OWNERSHIP").await,
            Err(error) if is_taken(&error) => {
                tx.rollback().await?;
                Err(ours(
                    "number-taken",
                    "Another operator of this platform has connected this number.",
                    "Have them disable it, and connect it again.",
                ))
            }
            Err(error) => Err(DatabaseError::from(error).into()),
        }
    }

    async fn register(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        let number = self.meta.phone_number(&token, &self.number).await;
        let number = number.map_err(|error| failed(&error))?;
        if !number.is_on_biz_app && !is_registered(&number) {
            let kept = self.credentials.as_ref().and_then(|kept| kept.pin.clone());
            let secret = match (self.pin.take(), kept) {
                (None, Some(pin)) => pin,
                (given, _) => {
                    let pin = given.map_or_else(made_pin, Ok)?;
                    // Kept before it is used: it may be the number's from this call on, whatever becomes of the answer.
                    let sealed = Credentials {
                        access_token: token.clone(),
                        pin: Some(pin.clone()),
                    };
                    self.seal(sealed).await?.commit().await?;
                    pin
                }
            };
            let pin = Pin::new(secret.expose_secret()).ok_or_else(ActionError::unavailable)?;
            let registered = self.meta.register(&token, &self.number, &pin).await;
            registered.map_err(|error| failed(&error))?;
        }
        let tx = self.begin().await?;
        self.done(tx, "REGISTER").await
    }

    async fn subscribe(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        let subscribed = self.meta.subscribe(&token, &self.waba).await;
        subscribed.map_err(|error| failed(&error))?;
        let tx = self.begin().await?;
        self.done(tx, "SUBSCRIBE").await
    }

    /// Meta asks us for the token within the call, so it is ours before.
    async fn override_callback(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        let tenant: TenantId = self.attempt.tenant;
        let url = format!("{}/api/webhooks/meta/{tenant}", self.connector.public_url);
        let callback = CallbackUrl::parse(&url).map_err(|error| failed(&error))?;
        let verify_token = random_hex()?;
        let hash = digest::digest(&digest::SHA256, verify_token.expose_secret().as_bytes());
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update communications.channel_accounts
                set provider_config = jsonb_set(provider_config, '{public,webhook_verify_token_sha256}', to_jsonb($3::text))
              where tenant_id = $1 and id = $2",
            tenant.0,
            self.attempt.account.0,
            hex::encode(hash)
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        tx.commit().await?;
        let overridden = self
            .meta
            .override_callback(&token, &self.waba, &callback, &verify_token);
        overridden.await.map_err(|error| failed(&error))?;
        let tx = self.begin().await?;
        self.done(tx, "OVERRIDE").await
    }

    async fn read(&mut self) -> Result<(), Stopped> {
        let token = self.token().await?;
        // What it told before is over with what it answers now.
        let asked_at = clock::now();
        let number = self.meta.phone_number(&token, &self.number).await;
        let number = number.map_err(|error| failed(&error))?;
        if number.status.as_deref() != Some("CONNECTED") {
            return Err(ours(
                "number-not-connected",
                "Meta says that the number is not connected.",
                "Look at the number in Meta's business manager, and go on when it is connected there.",
            ));
        }
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update communications.channel_accounts
                set quality = coalesce($3, quality), messaging_tier = coalesce($4, messaging_tier),
                    throughput_per_second = coalesce($5, throughput_per_second), asked_at = $6
              where tenant_id = $1 and id = $2",
            self.attempt.tenant.0,
            self.attempt.account.0,
            number.quality_rating,
            number.messaging_limit_tier,
            throughput(&number),
            asked_at
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        self.done(tx, "READ").await
    }

    /// The candidate is what is used, the account sends, and what waited for it goes out.
    async fn activate(&mut self) -> Result<(), Stopped> {
        let (tenant, account) = (self.attempt.tenant, self.attempt.account);
        let mut tx = self.begin().await?;
        rotation::promote(&mut tx, tenant, account, self.attempt.by).await?;
        sqlx::query!(
            "with mended as (delete from communications.breakers where tenant_id = $1 and account_id = $2)
             update communications.channel_accounts
                set status = case when $4 and status <> 'REAUTH_REQUIRED' then status else 'ACTIVE' end,
                    status_reason = case when $4 and status <> 'REAUTH_REQUIRED' then status_reason end,
                    resume_at = case when $4 then resume_at end, templates_tried_at = null, templates_synced_at = null, send_health = 'UNKNOWN', media_health = 'UNKNOWN',
                    template_health = 'UNKNOWN', acted_by = $3
              where tenant_id = $1 and id = $2",
            tenant.0,
            account.0,
            self.attempt.by.map(|user| user.0),
            self.rotates
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        self.hints = lifecycle::release(&mut tx, tenant, account).await?;
        self.done(tx, "ACTIVATE").await
    }
}

fn is_registered(number: &PhoneNumber) -> bool {
    number.status.as_deref() == Some("CONNECTED")
        && number.platform_type.as_deref() == Some("CLOUD_API")
}

/// `+` and the digits of what people read.
fn e164(display: &str) -> String {
    let digits = display.chars().filter(char::is_ascii_digit);
    std::iter::once('+').chain(digits).collect()
}

/// Messages a second, by the word that Meta has for it.
fn throughput(number: &PhoneNumber) -> Option<i32> {
    match number.throughput_level.as_deref() {
        _ if number.is_on_biz_app => Some(20),
        Some("STANDARD") => Some(80),
        Some("HIGH") => Some(1000),
        _ => None,
    }
}

fn random<const N: usize>() -> Result<[u8; N], ActionError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| ActionError::unavailable())?;
    Ok(bytes)
}

fn random_hex() -> Result<SecretString, ActionError> {
    Ok(hex::encode(random::<32>()?).into())
}

/// Six digits.
fn made_pin() -> Result<SecretString, ActionError> {
    let number = u64::from_be_bytes(random()?) % 1_000_000;
    Ok(format!("{number:06}").into())
}
