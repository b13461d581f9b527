//! `sendTestMessage`: one message of an administrator's by an account of their choice, on the same way as all others. It is no answer, so it
//! stands in no thread; whoever gets it is a contact all the same.

use super::start::{alias, written};
use super::window;
use super::{InboxError, administrators};
use crate::channels::{ChannelError, lifecycle, rotation};
use crate::contacts::{self, Sighting};
use crate::model::{AccountId, Category, Channel, ContactId, Lane, MessageId, MessageStatus};
use crate::outbox::{self, Author, NewMessage};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use comms_providers::Content;
use comms_providers::command::{Email, Sms, WhatsAppTemplate};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use time::Duration;

/// Nobody waits longer for a test.
const WORTH_SENDING: Duration = Duration::minutes(15);
const TEXT_LIMIT: usize = 480;
const KEY_LIMIT: usize = 100;

/// The arguments of `sendTestMessage`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestMessage {
    pub channel_account_id: AccountId,
    /// E.164, or `local@domain` for EMAIL.
    pub to: String,
    /// Chosen by the client, once for each test.
    pub client_message_id: String,
    /// Absent: a sentence that says what it is.
    #[serde(default)]
    pub text: Option<String>,
    /// WHATSAPP: instead of a text, which goes only to whoever wrote in the last 24 hours.
    #[serde(default)]
    pub template: Option<WhatsAppTemplate>,
    /// By the credentials that wait to be proven: they are used for everything once this is accepted, and dropped if it is not.
    #[serde(default)]
    pub canary: bool,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestQueued {
    pub message_id: MessageId,
    pub channel: Channel,
    pub status: MessageStatus,
}

/// The same client id twice is one message.
///
/// # Errors
/// `forbidden` for all but administrators; `not-found`; `validation-failed` naming the field; `channel-unavailable` for an account that
/// is not ACTIVE; `no-candidate` for a canary without new credentials; `window-closed` and `template-not-approved`.
pub async fn send_test_message(
    tx: &mut Tx,
    session: &Session,
    test: &TestMessage,
) -> Result<(TestQueued, Vec<Hint>), InboxError> {
    administrators(session, "send test messages")?;
    if test.client_message_id.is_empty() || test.client_message_id.len() > KEY_LIMIT {
        return Err(ActionError::invalid(format!(
            "client_message_id must have 1 to {KEY_LIMIT} bytes"
        ))
        .into());
    }
    let account = lifecycle::lock(tx, session.tenant, test.channel_account_id)
        .await
        .map_err(as_inbox)?;
    let key = format!("test/{}/{}", account.id, test.client_message_id);
    if let Some(before) = sent_before(tx, session, &key, account.channel).await? {
        return Ok((before, Vec::new()));
    }
    if account.status != "ACTIVE" {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "channel-unavailable",
            format!("the account is {}", account.status),
        )
        .into());
    }
    if test.canary && !is_proven(tx, session, &account).await? {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "no-candidate",
            "no new credentials of this account wait for their canary: rotate them first, up to the last step",
        )
        .into());
    }
    let sighting = Sighting {
        aliases: vec![alias(account.channel, &test.to)?],
        ..Sighting::new(session.tenant)
    };
    let found = contacts::resolve(tx, &[sighting]).await?;
    let contact = found
        .first()
        .copied()
        .ok_or_else(ActionError::unavailable)?;
    let (content, body) = words(tx, session, test, account.channel, contact).await?;
    let message = NewMessage {
        id: MessageId::generate(),
        channel: account.channel,
        account: account.id,
        contact,
        conversation: None,
        author: Author::Agent(session.user),
        address: written(account.channel, &test.to),
        content,
        body,
        template: None,
        suppressed: false,
        lane: Lane::Interactive,
        category: Category::Service,
        send_at: None,
        expires_after: WORTH_SENDING,
        run: None,
        idempotency_key: Some(key),
        reply_to: None,
        fallback: Vec::new(),
        quiet_hours: None,
    };
    let hints = outbox::queue(tx, session.tenant, std::slice::from_ref(&message))
        .await?
        .hints;
    if test.canary {
        rotation::await_canary(tx, session.tenant, account.id, message.id).await?;
    }
    let queued = TestQueued {
        message_id: message.id,
        channel: message.channel,
        status: MessageStatus::Queued,
    };
    Ok((queued, hints))
}

/// Are there new credentials that Meta has answered every question with?
async fn is_proven(
    tx: &mut Tx,
    session: &Session,
    account: &lifecycle::Locked,
) -> Result<bool, DatabaseError> {
    if account.config.candidate.is_none() {
        return Ok(false);
    }
    let left = sqlx::query_scalar!(
        r#"select exists (select from communications.channel_provisioning_steps
                           where tenant_id = $1 and account_id = $2 and step in ('DEBUG', 'OWNERSHIP', 'READ') and state <> 'DONE')
                  as "left!""#,
        session.tenant.0,
        account.id.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(!left)
}

fn as_inbox(error: ChannelError) -> InboxError {
    match error {
        ChannelError::Refused(refused) => refused.into(),
        ChannelError::Database(error) => error.into(),
        ChannelError::Vault(_) => ActionError::unavailable().into(),
    }
}

async fn sent_before(
    tx: &mut Tx,
    session: &Session,
    key: &str,
    channel: Channel,
) -> Result<Option<TestQueued>, InboxError> {
    let row = sqlx::query!(
        r#"select id as "id: MessageId", status from communications.messages where tenant_id = $1 and idempotency_key = $2"#,
        session.tenant.0,
        key
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    row.map(|row| {
        Ok(TestQueued {
            message_id: row.id,
            channel,
            status: row.status.parse().map_err(|_| ActionError::unavailable())?,
        })
    })
    .transpose()
}

async fn words(
    tx: &mut Tx,
    session: &Session,
    wanted: &TestMessage,
    channel: Channel,
    contact: ContactId,
) -> Result<(Content, String), InboxError> {
    if let Some(template) = &wanted.template {
        if channel != Channel::WhatsApp {
            return Err(ActionError::invalid(format!("template: {channel} has none")).into());
        }
        let body =
            window::template_body(tx, session.tenant, wanted.channel_account_id, template).await?;
        return Ok((Content::Template(template.clone()), body));
    }
    let text = wanted
        .text
        .as_deref()
        .map_or("This is a test message.", str::trim);
    if text.is_empty() || text.chars().count() > TEXT_LIMIT {
        return Err(
            ActionError::invalid(format!("text must have 1 to {TEXT_LIMIT} characters")).into(),
        );
    }
    let text = text.to_owned();
    let content = match channel {
        Channel::WhatsApp => {
            window::must_be_open(tx, session.tenant, wanted.channel_account_id, contact).await?;
            Content::Text {
                body: text.clone(),
                preview_url: false,
            }
        }
        Channel::Email => Content::Email(Email {
            subject: "Test message".to_owned(),
            text: Some(text.clone()),
            html: None,
            attachments: Vec::new(),
            unsubscribable: false,
        }),
        Channel::Sms => Content::Sms(Sms {
            body: text.clone(),
            promotional: false,
        }),
        Channel::Webchat => {
            return Err(ActionError::invalid("WEBCHAT takes no test messages").into());
        }
    };
    Ok((content, text))
}
