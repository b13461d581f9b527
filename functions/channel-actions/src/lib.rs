//! Hasura Actions that provision channels. `POST /api/hasura/channel-actions`, for administrators only.
//!
//! The one function whose role may encrypt credentials. It sends nothing: a test message is queued as every other. Invoked directly with
//! `{"rewrap": true}` it puts all credentials under the key that it seals with (docs/runbook.md, "A new key for credentials").

mod lives;

use comms_core::channels::rotation::{self, Rewrapped};
use comms_core::channels::whatsapp::{self, Connector, Provisioned};
use comms_core::channels::{ChannelError, Cloud, Vault, email, sms, templates};
use comms_core::inbox::InboxError;
use comms_core::model::AccountId;
use comms_core::platform::hasura::{self, ActionError, ActionRequest, unavailable};
use comms_core::platform::{Aws, Backend, Database, Queues, Settings};
use http::Response;
use lambda_http::Request;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The actions that this function answers, as `hasura/metadata/actions.graphql` declares them.
pub const ACTIONS: &[&str] = &[
    "channelHealth",
    "checkEmailDomain",
    "connectWhatsApp",
    "disableChannel",
    "enableSms",
    "registerEmailDomain",
    "resumeChannel",
    "rotateCredentials",
    "sendTestMessage",
    "setSandboxMode",
    "submitWhatsAppTemplate",
    "syncWhatsAppTemplates",
];

/// Made once per sandbox.
#[derive(Debug)]
pub struct Deps {
    pub backend: Backend,
    pub vault: Vault,
    pub connector: Connector,
    pub aws: Aws,
    pub events_topic: String,
    /// What tenants without a sender of their own share; empty where there is none.
    pub sms_pool: String,
    /// Made for the first domain or sender.
    pub cloud: OnceCell<Cloud>,
}

impl Deps {
    /// # Errors
    /// Naming every setting that is missing or unusable.
    pub fn from_env() -> Result<Self, lambda_runtime::Error> {
        let (aws, mut settings) = (Aws::default(), Settings::from_env());
        let deps = Self {
            backend: Backend {
                door: hasura::Door::new(settings.secret("HASURA_SECRETS", &aws)),
                database: Database::new(settings.secret("DATABASE_URL", &aws)),
                queues: Queues::from_settings(&mut settings, &aws),
            },
            vault: Vault::new(&aws, &settings.required("KMS_KEY_ID")),
            connector: Connector::from_settings(&mut settings, &aws)?,
            events_topic: settings.required("EVENTS_TOPIC_ARN"),
            sms_pool: settings.or("SMS_POOL", ""),
            aws: aws.clone(),
            cloud: OnceCell::new(),
        };
        settings.done()?;
        Ok(deps)
    }

    async fn cloud(&self) -> &Cloud {
        let made = async || Cloud::of(self.aws.config().await, &self.events_topic, &self.sms_pool);
        self.cloud.get_or_init(made).await
    }
}

/// What API Gateway or somebody with the right to invoke brings.
///
/// # Errors
/// For what is neither a call nor `{"rewrap": true}`, and when the database or KMS does not answer.
pub async fn invoked(deps: &Deps, payload: Value) -> Result<Value, lambda_runtime::Error> {
    if payload.get("requestContext").is_some() {
        let request = lambda_http::request::from_str(&payload.to_string())?;
        return Ok(as_gateway_wants(&handle(deps, request).await));
    }
    if payload == json!({"rewrap": true}) {
        return Ok(json!(rewrap(deps).await?));
    }
    Err("neither a call nor {\"rewrap\": true}".into())
}

fn as_gateway_wants(response: &Response<String>) -> Value {
    json!({
        "statusCode": response.status().as_u16(),
        "headers": {"content-type": "application/json"},
        "body": response.body(),
    })
}

async fn rewrap(deps: &Deps) -> Result<Rewrapped, ChannelError> {
    let done = rotation::rewrap(&deps.backend.database, &deps.vault).await?;
    tracing::info!(accounts = done.accounts, broken = done.broken, "rewrap");
    Ok(done)
}

/// Answers one call; a panic becomes a 500 of the usual shape.
pub async fn handle(deps: &Deps, request: Request) -> Response<String> {
    Box::pin(hasura::serve(answer(deps, &request))).await
}

async fn answer(deps: &Deps, request: &Request) -> Result<Value, ActionError> {
    let door = &deps.backend.door;
    let call = door.call(request.headers(), request.body()).await?;
    let session = call.session()?;
    // Whatever the action: before anything is looked at.
    hasura::administrators(&session, "provision channels")?;
    act(deps, &session, &call)
        .await
        .map_err(|error| refusal(&call, error))
}

async fn act(
    deps: &Deps,
    session: &hasura::Session,
    call: &ActionRequest,
) -> Result<Value, ChannelError> {
    let database = &deps.backend.database;
    let with = (database, &deps.vault, &deps.connector);
    let (provisioned, hints) = match call.action.name.as_str() {
        "connectWhatsApp" => Box::pin(whatsapp::connect(with, session, call.arguments()?)).await?,
        "rotateCredentials" => Box::pin(whatsapp::rotate(with, session, call.arguments()?)).await?,
        "enableSms" => {
            let enabled = sms::enable(
                (database, &deps.cloud().await.sms),
                session,
                call.arguments()?,
            );
            Box::pin(enabled).await?
        }
        "registerEmailDomain" | "checkEmailDomain" => {
            return Box::pin(mail(deps, session, call)).await;
        }
        "submitWhatsAppTemplate" => {
            let submitted = Box::pin(templates::submit(with, session, call.arguments()?)).await?;
            return Ok(json!(submitted));
        }
        "syncWhatsAppTemplates" => {
            let Which { channel_account_id } = call.arguments()?;
            let synced = Box::pin(templates::sync(with, session, channel_account_id)).await?;
            return Ok(json!(synced));
        }
        _ => return lives::act(&deps.backend, session, call).await,
    };
    told(&provisioned);
    deps.backend.queues.publish_or_leave_to_scan(&hints).await;
    Ok(json!(provisioned))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    channel_account_id: AccountId,
}

async fn mail(
    deps: &Deps,
    session: &hasura::Session,
    call: &ActionRequest,
) -> Result<Value, ChannelError> {
    let with = (&deps.backend.database, &deps.cloud().await.mail);
    let (registered, hints) = if call.action.name == "checkEmailDomain" {
        let Which { channel_account_id } = call.arguments()?;
        email::check(with, session, channel_account_id).await?
    } else {
        email::register(with, session, call.arguments()?).await?
    };
    deps.backend.queues.publish_or_leave_to_scan(&hints).await;
    Ok(json!(registered))
}

/// What failed, by our words for it.
fn told(provisioned: &Provisioned) {
    let failed = provisioned.failed_step.as_deref();
    let step = provisioned
        .steps
        .iter()
        .find(|step| Some(&*step.step) == failed);
    tracing::info!(
        account.id = %provisioned.channel_account_id,
        status = provisioned.status,
        failed_step = failed,
        code = step.and_then(|step| step.error_code.as_deref()),
        "provisioning"
    );
}

/// A name that is none of ours.
fn unknown() -> ChannelError {
    ActionError::invalid("action.name: no such action here").into()
}

fn as_channel(error: InboxError) -> ChannelError {
    match error {
        InboxError::Refused(refused) => refused.into(),
        InboxError::Database(error) => error.into(),
    }
}

fn refusal(call: &ActionRequest, error: ChannelError) -> ActionError {
    match error {
        ChannelError::Refused(refusal) => hasura::refused(ACTIONS, call, refusal),
        ChannelError::Database(error) => unavailable(&error),
        ChannelError::Vault(error) => unavailable(&error),
    }
}
