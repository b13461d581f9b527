//! `connectWhatsApp` and `rotateCredentials`: from the code of Embedded Signup to a number that sends.
//!
//! The code lives for thirty seconds, so it is exchanged first and what it gave is sealed at once; all that follows can be taken up again
//! without one. What the browser said is no proof: the number is the tenant's when Meta's answer to the token says so, and only then does
//! the account get its external id, by which what comes in finds it. Each step may be done twice.

use super::provisioning::{
    self, Attempt, Outcome, Step, Steps, Stopped, Walked, failed, is_taken, ours,
};
use super::vault::{Credentials, Owner, Vault};
use super::{ChannelError, lifecycle, rotation};
use crate::model::{AccountId, TenantId};
use crate::platform::config::Secret;
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::queue::Hint;
use crate::platform::{Aws, Database, DatabaseError, Settings, Tx};
use aws_lc_rs::{digest, rand};
use comms_providers::http::{GraphUrl, GraphUrlError, client as http_client};
use comms_providers::whatsapp::onboarding::{
    CallbackUrl, MetaApp, OnboardingClient, PhoneNumber, Pin,
};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

const CONNECT: &[&str] = &[
    "EXCHANGE",
    "DEBUG",
    "OWNERSHIP",
    "REGISTER",
    "SUBSCRIBE",
    "OVERRIDE",
    "READ",
    "ACTIVATE",
];
/// What new credentials prove; the number is registered and subscribed.
const ROTATE: &[&str] = &["EXCHANGE", "DEBUG", "OWNERSHIP", "READ", "ACTIVATE"];
/// With a canary the last step is the upkeep's.
const STAGE: &[&str] = &["EXCHANGE", "DEBUG", "OWNERSHIP", "READ"];
/// Registering is rationed, and a number that is registered says so: it is not repeated for a new code alone.
const ONCE: &str = "REGISTER";
/// What is proven and set up again, without a new code, of an account that was disabled, or has lost its credentials and was given others.
const ANEW: &[&str] = &["OWNERSHIP", "SUBSCRIBE", "OVERRIDE", "READ", "ACTIVATE"];
/// Digits of Meta's ids, with room.
const ID_LIMIT: usize = 32;

/// What provisioning stands on.
#[derive(Debug)]
pub struct Connector {
    pub graph: GraphUrl,
    pub app_id: String,
    /// The first is the app's now.
    pub app_secrets: Secret,
    /// Where Meta finds us, without a slash at its end; empty where nobody said.
    pub public_url: String,
}

impl Connector {
    /// # Errors
    /// For a `META_GRAPH_URL` that is none. What is missing is in `settings`; without an app or a public URL no number can be connected.
    pub fn from_settings(settings: &mut Settings, aws: &Aws) -> Result<Self, GraphUrlError> {
        let graph = settings.or("META_GRAPH_URL", "https://graph.facebook.com/v26.0");
        Ok(Self {
            graph: GraphUrl::parse(&graph)?,
            app_id: settings.or("META_APP_ID", ""),
            app_secrets: settings.secret("META_APP_SECRETS", aws),
            public_url: settings
                .or("PUBLIC_URL", "")
                .trim_end_matches('/')
                .to_owned(),
        })
    }
}

/// The arguments of `connectWhatsApp`. Without a code the provisioning goes on where it stopped.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    pub waba_id: String,
    pub phone_number_id: String,
    #[serde(default)]
    pub code: Option<SecretString>,
    /// Of a number that has a two-step PIN; absent, one is made and kept.
    #[serde(default)]
    pub pin: Option<SecretString>,
}

/// What provisioning answers: the steps say what is left to do, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Provisioned {
    pub channel_account_id: AccountId,
    pub status: String,
    /// The step that failed, if one did.
    pub failed_step: Option<String>,
    pub steps: Vec<Step>,
}

impl Provisioned {
    pub(super) fn of(attempt: &Attempt, walked: Walked) -> Self {
        Self {
            channel_account_id: attempt.account,
            status: walked.status,
            failed_step: walked.failed_step,
            steps: walked.steps,
        }
    }
}

/// One run through the steps.
struct Run<'a> {
    database: &'a Database,
    vault: &'a Vault,
    connector: &'a Connector,
    meta: OnboardingClient,
    attempt: Attempt,
    waba: String,
    number: String,
    code: Option<SecretString>,
    pin: Option<SecretString>,
    /// What the account is stays as it is, whatever was said of it meanwhile.
    rotates: bool,
    /// Once it is exchanged, or opened.
    credentials: Option<Credentials>,
    hints: Vec<Hint>,
}

/// # Errors
/// `forbidden` for all but administrators; `validation-failed`; `not-configured`; `in-progress`. A step that fails is no error: the answer has it.
pub async fn connect(
    (database, vault, connector): (&Database, &Vault, &Connector),
    session: &Session,
    wanted: Connect,
) -> Result<(Provisioned, Vec<Hint>), ChannelError> {
    administrators(session, "connect channels")?;
    is_id("waba_id", &wanted.waba_id)?;
    is_id("phone_number_id", &wanted.phone_number_id)?;
    if let Some(pin) = &wanted.pin
        && Pin::new(pin.expose_secret()).is_none()
    {
        return Err(ActionError::invalid("pin must be six digits").into());
    }
    if connector.public_url.is_empty() {
        return Err(not_configured("PUBLIC_URL").into());
    }
    let meta = client(connector).await?;
    let mut tx = database.begin().await?;
    let account = find_or_make(&mut tx, session, &wanted.phone_number_id).await?;
    let attempt = provisioning::begin(&mut tx, session.tenant, account, Some(session.user)).await?;
    attempt.plan(&mut tx, CONNECT).await?;
    let locked = lifecycle::lock(&mut tx, session.tenant, account).await?;
    // New credentials that were not used yet; the old ones do not come back.
    let has_others = locked.status == "REAUTH_REQUIRED" && locked.config.candidate.is_some();
    if wanted.code.is_some() {
        let again: Vec<&str> = CONNECT
            .iter()
            .copied()
            .filter(|step| *step != ONCE)
            .collect();
        attempt.repeat(&mut tx, &again).await?;
    } else if locked.status == "DISABLED" || has_others {
        attempt.repeat(&mut tx, ANEW).await?;
    }
    tx.commit().await?;
    let run = Run {
        database,
        vault,
        connector,
        meta,
        attempt,
        waba: wanted.waba_id,
        number: wanted.phone_number_id,
        code: wanted.code,
        pin: wanted.pin,
        rotates: false,
        credentials: None,
        hints: Vec::new(),
    };
    run.finish(CONNECT).await
}

/// The arguments of `rotateCredentials`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    pub channel_account_id: AccountId,
    pub code: SecretString,
    /// Wait for a message by the new credentials before they are used.
    #[serde(default)]
    pub canary: bool,
}

/// New credentials for an account that is ACTIVE. With a canary they stay the candidate until it went out.
///
/// # Errors
/// `forbidden`; `not-found`; `connect-again` for an account that is not ACTIVE; `validation-failed` for one that has no credentials of its
/// own; `in-progress`.
pub async fn rotate(
    (database, vault, connector): (&Database, &Vault, &Connector),
    session: &Session,
    wanted: Rotate,
) -> Result<(Provisioned, Vec<Hint>), ChannelError> {
    administrators(session, "rotate credentials")?;
    let meta = client(connector).await?;
    let steps = if wanted.canary { STAGE } else { ROTATE };
    let mut tx = database.begin().await?;
    let locked = lifecycle::lock(&mut tx, session.tenant, wanted.channel_account_id).await?;
    let (Some(waba), Some(number), "META") = (
        locked.waba_id,
        locked.external_account_id,
        &*locked.provider,
    ) else {
        return Err(ActionError::invalid(
            "channel_account_id must be of WhatsApp: no other account has credentials of its own",
        )
        .into());
    };
    if locked.status != "ACTIVE" {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "connect-again",
            "only credentials of an ACTIVE account are rotated: connect it again",
        )
        .into());
    }
    let attempt =
        provisioning::begin(&mut tx, session.tenant, locked.id, Some(session.user)).await?;
    attempt.plan(&mut tx, steps).await?;
    attempt.repeat(&mut tx, steps).await?;
    tx.commit().await?;
    let run = Run {
        database,
        vault,
        connector,
        meta,
        attempt,
        waba,
        number,
        code: Some(wanted.code),
        pin: None,
        rotates: true,
        credentials: None,
        hints: Vec::new(),
    };
    run.finish(steps).await
}

fn is_id(field: &str, id: &str) -> Result<(), ActionError> {
    if (1..=ID_LIMIT).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(ActionError::invalid(format!(
        "{field} must be an id of Meta's, which is digits"
    )))
}

/// # Errors
/// `not-configured` where the stack names no app; `unavailable`.
pub(super) async fn client(connector: &Connector) -> Result<OnboardingClient, ChannelError> {
    if connector.app_id.is_empty() {
        return Err(not_configured("META_APP_ID").into());
    }
    let secrets = connector
        .app_secrets
        .list()
        .await
        .map_err(DatabaseError::from)?;
    let app_secret = secrets
        .into_iter()
        .next()
        .ok_or_else(ActionError::unavailable)?;
    let app = MetaApp {
        app_id: connector.app_id.clone(),
        app_secret,
    };
    let http = http_client().map_err(|_| ActionError::unavailable())?;
    Ok(OnboardingClient::new(http, connector.graph.clone(), app))
}

/// What only the platform can put right.
fn not_configured(setting: &str) -> ActionError {
    ActionError::new(
        StatusCode::CONFLICT,
        "not-configured",
        format!("no number can be connected on this stack: {setting} is not set"),
    )
}

/// The tenant's account of this number, proven or said; a new one where there is none. Two who come at once find the same.
async fn find_or_make(
    tx: &mut Tx,
    session: &Session,
    number: &str,
) -> Result<AccountId, DatabaseError> {
    sqlx::query!(
        "insert into communications.channel_accounts
             (tenant_id, id, channel, provider, display_name, sender, requested_external_id, created_by)
         select $1, $2, 'WHATSAPP', 'META', 'WhatsApp', '', $3, $4
          where not exists (select from communications.channel_accounts
                             where tenant_id = $1 and channel = 'WHATSAPP' and external_account_id = $3)
         on conflict on constraint channel_accounts_requested_key do nothing",
        session.tenant.0,
        AccountId::generate().0,
        number,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    let account = sqlx::query_scalar!(
        r#"select id as "id: AccountId" from communications.channel_accounts
            where tenant_id = $1 and channel = 'WHATSAPP' and $2 in (external_account_id, requested_external_id)
            order by external_account_id is null limit 1"#,
        session.tenant.0,
        number
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(account)
}

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

    async fn finish(mut self, steps: &[&str]) -> Result<(Provisioned, Vec<Hint>), ChannelError> {
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
        // Whoever disabled it had it, and whoever proves it has it.
        sqlx::query!(
            "update communications.channel_accounts
                set external_account_id = null, verified_at = null, status_reason = 'the number was connected elsewhere'
              where channel = 'WHATSAPP' and external_account_id = $2 and tenant_id <> $1 and status = 'DISABLED'",
            self.attempt.tenant.0,
            self.number
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
                    throughput_per_second = coalesce($5, throughput_per_second)
              where tenant_id = $1 and id = $2",
            self.attempt.tenant.0,
            self.attempt.account.0,
            number.quality_rating,
            number.messaging_limit_tier,
            throughput(&number)
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
