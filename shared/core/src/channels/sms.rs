//! `enableSms`: a sender that the platform manages, with an opt-out list of the tenant's own and a cap on what its texts may cost.
//!
//! A sender id or a number is one tenant's, and which one's the platform says (`sms_senders`): names of companies can be guessed. Without one
//! a text leaves by the pool that the platform shares. The list is the tenant's own because a stop on a shared one would
//! silence every other tenant; AWS looks at it for a number of the tenant's own, and for the rest our own consents do. What becomes of a text
//! AWS tells by the configuration set that it was sent with, one for each tenant. The cap is the
//! platform's to raise (`sms_limits`): it pays the bill.

mod hearing;

use super::provisioning::{self, Attempt, Outcome, Steps, Stopped, failed, is_taken, ours};
use super::whatsapp::Provisioned;
use super::{ChannelError, lifecycle};
use crate::model::AccountId;
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Tx};
use comms_providers::eum::provision::{EumProvisioner, check_sender_id};
use http::StatusCode;
use serde::Deserialize;

/// The last is no reason not to send.
const STEPS: &[&str] = &[
    "SENDER",
    "OPT_OUT_LIST",
    "EVENTS",
    "ACTIVATE",
    "OPT_IN_WORDS",
];
/// Of a tenant that has none yet: fifty dollars a month, and five cents for a part until AWS says what it did cost.
const MONTHLY_MICROS: i64 = 50_000_000;
const PART_MICROS: i64 = 50_000;
const NUMBER_ID_LIMIT: usize = 64;

/// The arguments of `enableSms`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// ISO 3166-1, two letters: where its messages go.
    pub country: String,
    /// What recipients see; absent, with no number either: something of the platform's shared pool.
    #[serde(default)]
    pub sender_id: Option<String>,
    /// AWS's id of a number that the platform leases for this tenant, instead of a sender id.
    #[serde(default)]
    pub phone_number_id: Option<String>,
}

impl Enable {
    fn check(&self) -> Result<(), ActionError> {
        if self.country.len() != 2 || !self.country.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(ActionError::invalid(
                "country must be two capital letters, such as ES",
            ));
        }
        if self.sender_id.is_some() && self.phone_number_id.is_some() {
            return Err(ActionError::invalid(
                "phone_number_id must be absent where there is a sender_id",
            ));
        }
        if let Some(sender_id) = &self.sender_id {
            check_sender_id(sender_id, &self.country).map_err(|error| {
                ActionError::invalid(format!("sender_id: {} {}", error.cause, error.cure))
            })?;
        }
        let plain = |id: &String| {
            (1..=NUMBER_ID_LIMIT).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        if !self.phone_number_id.iter().all(plain) {
            return Err(ActionError::invalid(
                "phone_number_id must be an id of AWS's, such as phone-0123456789abcdef",
            ));
        }
        Ok(())
    }

    /// What it is said to leave from, within a country.
    fn origination(&self) -> Option<&str> {
        self.sender_id
            .as_deref()
            .or(self.phone_number_id.as_deref())
    }

    fn requested(&self) -> String {
        format!(
            "{}:{}",
            self.country,
            self.origination().unwrap_or_default()
        )
    }
}

/// What provisioning text messages stands on.
#[derive(Debug)]
pub struct Texts {
    pub eum: EumProvisioner,
    /// The pool that tenants without a sender of their own share; empty where there is none.
    pub pool: String,
    /// Where configuration sets publish what becomes of texts, and numbers what is written to them.
    pub events_topic: String,
}

struct Run<'a> {
    database: &'a Database,
    eum: &'a EumProvisioner,
    events_topic: &'a str,
    attempt: Attempt,
    wanted: Enable,
    /// What it leaves from.
    origination: String,
    was_disabled: bool,
    hints: Vec<Hint>,
}

/// Enabled before: the same answer.
///
/// # Errors
/// `forbidden` for all but administrators; `validation-failed`; `in-progress`. A step that fails is no error: the answer has it.
pub async fn enable(
    (database, sms): (&Database, &Texts),
    session: &Session,
    wanted: Enable,
) -> Result<(Provisioned, Vec<Hint>), ChannelError> {
    administrators(session, "enable text messages")?;
    wanted.check()?;
    let origination = wanted.origination().unwrap_or(&sms.pool).to_owned();
    if origination.is_empty() {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "not-configured",
            "the platform has no shared pool of numbers: name a sender_id or a phone_number_id",
        )
        .into());
    }
    let mut tx = database.begin().await?;
    let account = find_or_make(&mut tx, session, &wanted, &origination).await?;
    let attempt = provisioning::begin(&mut tx, session.tenant, account, Some(session.user)).await?;
    attempt.plan(&mut tx, STEPS).await?;
    let status = lifecycle::lock(&mut tx, session.tenant, account)
        .await?
        .status;
    tx.commit().await?;
    let mut run = Run {
        database,
        eum: &sms.eum,
        events_topic: &sms.events_topic,
        attempt,
        wanted,
        origination,
        was_disabled: status == "DISABLED",
        hints: Vec::new(),
    };
    let walked = provisioning::walk(database, &attempt, STEPS, &mut run).await?;
    Ok((Provisioned::of(&attempt, walked), run.hints))
}

async fn find_or_make(
    tx: &mut Tx,
    session: &Session,
    wanted: &Enable,
    origination: &str,
) -> Result<AccountId, DatabaseError> {
    let requested = wanted.requested();
    let public = serde_json::json!({"origination_identity": origination});
    sqlx::query!(
        "insert into communications.channel_accounts
             (tenant_id, id, channel, provider, display_name, sender, requested_external_id, provider_config, created_by)
         values ($1, $2, 'SMS', 'EUM_SMS', coalesce(nullif($3, ''), 'SMS'), $3, $4,
                 jsonb_build_object('public', jsonb_strip_nulls($5::jsonb), 'secrets', '[]'::jsonb), $6)
         on conflict on constraint channel_accounts_requested_key do nothing",
        session.tenant.0,
        AccountId::generate().0,
        wanted.sender_id.as_deref().unwrap_or_default(),
        requested,
        public,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    let account = sqlx::query_scalar!(
        r#"select id as "id: AccountId" from communications.channel_accounts
            where tenant_id = $1 and channel = 'SMS' and requested_external_id = $2"#,
        session.tenant.0,
        requested
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(account)
}

impl Steps for Run<'_> {
    async fn take(&mut self, step: &str) -> Result<Option<Outcome>, Stopped> {
        match step {
            "SENDER" => self.find_sender().await?,
            "OPT_OUT_LIST" => self.make_list().await?,
            "EVENTS" => self.have_events_told().await?,
            "OPT_IN_WORDS" => return self.teach_words().await,
            _ => self.activate().await?,
        }
        Ok(Some(Outcome::Done))
    }

    /// Where somebody had disabled it, it may be another's by now. What tells is looked after each time: people change it by hand, and a
    /// number that could not hear may by now.
    fn again(&self, step: &str) -> bool {
        self.was_disabled || step == "EVENTS"
    }
}

impl Run<'_> {
    /// Of the tenant's list, of its configuration set.
    fn name(&self) -> String {
        format!("comms-{}", self.attempt.tenant)
    }

    async fn make_list(&self) -> Result<(), Stopped> {
        let name = self.name();
        let made = self.eum.ensure_opt_out_list(&name).await;
        made.map_err(|error| failed(&error))?;
        let Some(number) = &self.wanted.phone_number_id else {
            return Ok(());
        };
        let assigned = self.eum.assign_opt_out_list(number, &name).await;
        assigned.map_err(|error| failed(&error))
    }

    /// The set is there, and tells, before the first text names it: AWS refuses a text with a set that it does not know.
    async fn have_events_told(&self) -> Result<(), Stopped> {
        let name = self.name();
        let made = self.eum.ensure_configuration_set(&name).await;
        made.map_err(|error| failed(&error))?;
        let told = self.eum.ensure_events(&name, self.events_topic).await;
        told.map_err(|error| failed(&error))?;
        let mut tx = self.database.begin().await?;
        self.attempt
            .keep(&mut tx, "configuration_set", Some(name))
            .await?;
        tx.commit().await?;
        self.hear().await
    }

    async fn find_sender(&self) -> Result<(), Stopped> {
        let country = &self.wanted.country;
        if self.wanted.origination().is_some() {
            self.is_ours().await?;
        }
        if let Some(sender_id) = &self.wanted.sender_id {
            let found = self.eum.sender_id(sender_id, country).await;
            if found.map_err(|error| failed(&error))?.is_none() {
                return Err(ours(
                    "sender-id-unknown",
                    "The platform has no such sender id for this country.",
                    "Ask support to request it, then enable text messages again.",
                ));
            }
            return self.claim(&self.wanted.requested(), sender_id).await;
        }
        let Some(id) = &self.wanted.phone_number_id else {
            return Ok(());
        };
        let found = self.eum.origination_number(id).await;
        match found.map_err(|error| failed(&error))? {
            Some(number) if number.is_active && number.country == *country => {
                self.claim(&number.phone_number, &number.phone_number).await
            }
            _ => Err(ours(
                "number-unknown",
                "The platform has no such number for this country, or it is not active.",
                "Ask support to lease it, then enable text messages again.",
            )),
        }
    }

    /// Has the platform given it to this tenant, for this country?
    async fn is_ours(&self) -> Result<(), Stopped> {
        let mut tx = self.database.begin().await?;
        let ours_it_is = sqlx::query_scalar!(
            r#"select exists (select from communications.sms_senders
                               where identity = $2 and tenant_id = $1 and $3 = any(countries)) as "ours!""#,
            self.attempt.tenant.0,
            self.origination,
            self.wanted.country
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        tx.commit().await?;
        if ours_it_is {
            return Ok(());
        }
        Err(ours(
            "sender-not-given",
            "The platform has not given this sender to this operator for this country.",
            "Ask support for it, then enable text messages again.",
        ))
    }

    /// The sender is the tenant's from now on, unless another has it; who has it disabled has it no more.
    async fn claim(&self, external: &str, sender: &str) -> Result<(), Stopped> {
        let mut tx = self.database.begin().await?;
        self.attempt.holds(&mut tx).await?;
        sqlx::query!(
            "update communications.channel_accounts set external_account_id = null, verified_at = null
              where channel = 'SMS' and external_account_id = $2 and tenant_id <> $1 and status = 'DISABLED'",
            self.attempt.tenant.0,
            external
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        let claimed = sqlx::query!(
            "update communications.channel_accounts set external_account_id = $3, sender = $4 where tenant_id = $1 and id = $2",
            self.attempt.tenant.0,
            self.attempt.account.0,
            external,
            sender
        )
        .execute(tx.conn())
        .await;
        match claimed {
            Ok(_) => Ok(tx.commit().await?),
            Err(error) if is_taken(&error) => {
                tx.rollback().await?;
                Err(ours(
                    "sender-taken",
                    "Another operator of this platform sends by this.",
                    "Choose another sender, or ask support to move it.",
                ))
            }
            Err(error) => Err(DatabaseError::from(error).into()),
        }
    }

    async fn activate(&mut self) -> Result<(), Stopped> {
        let (tenant, account) = (self.attempt.tenant, self.attempt.account);
        let mut tx = self.database.begin().await?;
        self.attempt.holds(&mut tx).await?;
        sqlx::query!(
            "insert into communications.sms_limits (tenant_id, monthly_micros, part_micros) values ($1, $2, $3) on conflict do nothing",
            tenant.0,
            MONTHLY_MICROS,
            PART_MICROS
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        for status in ["VERIFYING", "ACTIVE"] {
            sqlx::query!(
                "update communications.channel_accounts set status = $3, status_reason = null, acted_by = $4
                  where tenant_id = $1 and id = $2 and status in ('PENDING', 'DISABLED', 'VERIFYING') and status <> $3",
                tenant.0,
                account.0,
                status,
                self.attempt.by.map(|user| user.0)
            )
            .execute(tx.conn())
            .await
            .map_err(DatabaseError::from)?;
        }
        self.hints = lifecycle::release(&mut tx, tenant, account).await?;
        Ok(tx.commit().await?)
    }
}
