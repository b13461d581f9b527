//! `connectWhatsApp` and `rotateCredentials`: from the code of Embedded Signup to a number that sends.
//!
//! The code lives for thirty seconds, so it is exchanged first and what it gave is sealed at once; all that follows can be taken up again
//! without one. What the browser said is no proof: the number is the tenant's when Meta's answer to the token says so, and only then does
//! the account get its external id, by which what comes in finds it. Each step may be done twice.

mod steps;

use super::provisioning::{self, Attempt, Step, Walked};
use super::vault::{Credentials, Vault};
use super::{ChannelError, lifecycle};
use crate::model::AccountId;
use crate::platform::config::Secret;
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::queue::Hint;
use crate::platform::{Aws, Database, DatabaseError, Settings, Tx};
use comms_providers::http::{GraphUrl, GraphUrlError, client as http_client};
use comms_providers::whatsapp::onboarding::{MetaApp, OnboardingClient, Pin};
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
