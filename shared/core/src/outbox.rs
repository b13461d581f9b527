//! The one way to queue a message: its row and what it falls back to in the caller's transaction, its hint
//! after the commit.

use crate::model::{
    AccountId, Category, Channel, ContactId, ConversationId, Lane, MessageId, MessageStatus, RunId,
    TemplateId, TenantId, UserId,
};
use crate::platform::{DatabaseError, Tx, queue::Hint};
use comms_providers::{Content, sms::segments};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use std::collections::HashSet;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// A message to be. Complete: rendered, addressed, permitted (or `suppressed`, which is a row that never leaves).
#[derive(Debug, Clone)]
pub struct NewMessage {
    pub id: MessageId,
    pub channel: Channel,
    pub account: AccountId,
    pub contact: ContactId,
    pub conversation: Option<ConversationId>,
    pub author: Author,
    pub address: String,
    pub content: Content,
    /// What people read in the thread.
    pub body: String,
    pub template: Option<TemplateUse>,
    pub suppressed: bool,
    pub lane: Lane,
    pub category: Category,
    /// Not before; absent: at once.
    pub send_at: Option<OffsetDateTime>,
    /// Counted from then.
    pub expires_after: Duration,
    /// `{"zone", "from", "to", "action"}`: when its recipient is not to be disturbed, asked whenever it would leave.
    pub quiet_hours: Option<Value>,
    pub run: Option<RunId>,
    /// The caller's own key: a second message with it is not inserted.
    pub idempotency_key: Option<String>,
    /// The provider's id of the message answered.
    pub reply_to: Option<String>,
    /// Where to go on when this message does not reach, in order; empty for most.
    pub fallback: Vec<FallbackStep>,
}

/// One step of a chain as `message_fallbacks.steps` holds it: a message in another channel, complete but for what all
/// messages of a chain share (contact, conversation, run, variables, lane, category, expiry).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FallbackStep {
    pub channel: Channel,
    #[serde(rename = "account_id")]
    pub account: AccountId,
    pub address: String,
    pub content: Content,
    pub body: String,
    #[serde(rename = "template_id")]
    pub template: TemplateId,
    pub template_version: i32,
    /// Slots that it takes ([`units`]).
    pub units: i16,
    /// Go on to this step when the message before it is not DELIVERED so long after SENT.
    #[serde(
        rename = "not_delivered_within_seconds",
        default,
        skip_serializing_if = "Option::is_none",
        with = "whole_seconds"
    )]
    pub not_delivered_within: Option<Duration>,
    /// The same for READ.
    #[serde(
        rename = "not_read_within_seconds",
        default,
        skip_serializing_if = "Option::is_none",
        with = "whole_seconds"
    )]
    pub not_read_within: Option<Duration>,
}

/// As `messages.units` allows; a text that long is refused anyway.
const MOST_UNITS: i16 = 20;

/// What a message costs of its sender's rate: the parts of an SMS, else one.
#[must_use]
pub fn units(content: &Content) -> i16 {
    match content {
        Content::Sms(sms) => i16::try_from(segments(&sms.body).parts)
            .map_or(MOST_UNITS, |parts| parts.clamp(1, MOST_UNITS)),
        _ => 1,
    }
}

mod whole_seconds {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use time::Duration;

    #[expect(clippy::ref_option, reason = "serde gives the field by reference")]
    pub(super) fn serialize<S: Serializer>(
        wait: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        wait.map(Duration::whole_seconds).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Duration::seconds))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Agent(UserId),
    System,
}

/// Which published template a message was rendered from, and with what.
#[derive(Debug, Clone)]
pub struct TemplateUse {
    pub id: TemplateId,
    pub version: i32,
    pub variables: Value,
}

/// What [`queue`] inserted.
#[derive(Debug, Default)]
pub struct Queued {
    pub rows: HashSet<MessageId>,
    /// To publish once the transaction is committed: none for what is for later or in the bulk lane, which waits to be released at
    /// its sender's rate.
    pub hints: Vec<Hint>,
}

/// Inserts all rows in one statement, and in a second one the chains of those that have one; what exists already (same key,
/// same run and contact) stays as it is. In the order of their contacts, so that two who write to the same people never wait for each
/// other crosswise.
///
/// # Errors
/// When the database refuses a row.
pub async fn queue(
    tx: &mut Tx,
    tenant: TenantId,
    messages: &[NewMessage],
) -> Result<Queued, DatabaseError> {
    if messages.is_empty() {
        return Ok(Queued::default());
    }
    let rows = Columns::of(messages);
    let queued = sqlx::query!(
        r#"insert into communications.messages
               (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address,
                content, body, template_id, template_version, variables, status, lane, category, due_at, expires_at, hint_at,
                run_id, trigger_event, idempotency_key, reply_to, units, quiet_hours)
           select $1, m.id, 'OUTBOUND', m.channel, m.account_id, m.contact_id, m.conversation_id, m.sender_kind, m.sender_id,
                  m.address, m.content, m.body, m.template_id, m.template_version, m.variables, m.status, m.lane, m.category,
                  greatest(m.send_at, now()), greatest(m.send_at, now()) + m.expires_after * interval '1 second',
                  case when m.send_at > now() or m.lane = 'BULK' then '-infinity' else now() end, m.run_id,
                  (select r.trigger_event from communications.trigger_runs r where r.tenant_id = $1 and r.id = m.run_id),
                  m.idempotency_key, m.reply_to, m.units, m.quiet_hours
             from unnest($2::uuid[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::uuid[], $9::text[],
                         $10::jsonb[], $11::text[], $12::uuid[], $13::int[], $14::jsonb[], $15::text[], $16::text[],
                         $17::text[], $18::float8[], $19::uuid[], $20::text[], $21::text[], $22::int2[],
                         $23::timestamptz[], $24::jsonb[])
                  as m(id, channel, account_id, contact_id, conversation_id, sender_kind, sender_id, address, content, body,
                       template_id, template_version, variables, status, lane, category, expires_after, run_id,
                       idempotency_key, reply_to, units, send_at, quiet_hours)
           on conflict do nothing
           returning id as "id: MessageId", lane as "lane!", status, hint_at = '-infinity' as "waits!""#,
        tenant.0,
        &rows.ids,
        &rows.channels as &[&str],
        &rows.accounts,
        &rows.contacts,
        &rows.conversations as &[Option<Uuid>],
        &rows.sender_kinds as &[&str],
        &rows.senders as &[Option<Uuid>],
        &rows.addresses as &[&str],
        &rows.contents as &[Json<&Content>],
        &rows.bodies as &[&str],
        &rows.templates as &[Option<Uuid>],
        &rows.template_versions as &[Option<i32>],
        &rows.variables as &[Option<Json<&Value>>],
        &rows.statuses as &[&str],
        &rows.lanes as &[&str],
        &rows.categories as &[&str],
        &rows.expires_after,
        &rows.runs as &[Option<Uuid>],
        &rows.idempotency_keys as &[Option<&str>],
        &rows.reply_to as &[Option<&str>],
        &rows.units,
        &rows.send_at as &[Option<OffsetDateTime>],
        &rows.quiet_hours as &[Option<Json<&Value>>],
    )
    .fetch_all(tx.conn())
    .await?;
    let rows = queued.iter().map(|row| row.id).collect();
    let to_send: Vec<_> = queued
        .into_iter()
        .filter(|row| row.status == MessageStatus::Queued.as_str())
        .collect();
    let sent: HashSet<MessageId> = to_send.iter().map(|row| row.id).collect();
    let inserted = messages.iter().filter(|message| sent.contains(&message.id));
    store_chains(tx, tenant, inserted).await?;
    let hints = to_send
        .into_iter()
        .filter(|row| !row.waits)
        .filter_map(|row| Hint::of_row(tenant, row.id, &row.lane, 0.0))
        .collect();
    Ok(Queued { rows, hints })
}

/// Only where there is one: most calls make no statement here.
async fn store_chains(
    tx: &mut Tx,
    tenant: TenantId,
    messages: impl Iterator<Item = &NewMessage>,
) -> Result<(), DatabaseError> {
    let (ids, chains): (Vec<Uuid>, Vec<Value>) = messages
        .filter(|message| !message.fallback.is_empty())
        .map(|message| (message.id.0, serde_json::json!(message.fallback)))
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into communications.message_fallbacks (tenant_id, message_id, steps)
         select $1, f.message_id, f.steps from unnest($2::uuid[], $3::jsonb[]) as f(message_id, steps)",
        tenant.0,
        &ids,
        &chains
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The rows turned into columns, as `unnest` wants them.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    channels: Vec<&'static str>,
    accounts: Vec<Uuid>,
    contacts: Vec<Uuid>,
    conversations: Vec<Option<Uuid>>,
    sender_kinds: Vec<&'static str>,
    senders: Vec<Option<Uuid>>,
    addresses: Vec<&'a str>,
    contents: Vec<Json<&'a Content>>,
    bodies: Vec<&'a str>,
    templates: Vec<Option<Uuid>>,
    template_versions: Vec<Option<i32>>,
    variables: Vec<Option<Json<&'a Value>>>,
    statuses: Vec<&'static str>,
    lanes: Vec<&'static str>,
    categories: Vec<&'static str>,
    expires_after: Vec<f64>,
    runs: Vec<Option<Uuid>>,
    idempotency_keys: Vec<Option<&'a str>>,
    reply_to: Vec<Option<&'a str>>,
    units: Vec<i16>,
    send_at: Vec<Option<OffsetDateTime>>,
    quiet_hours: Vec<Option<Json<&'a Value>>>,
}

impl<'a> Columns<'a> {
    fn of(messages: &'a [NewMessage]) -> Self {
        let mut columns = Self::default();
        let mut messages: Vec<&NewMessage> = messages.iter().collect();
        messages.sort_by_key(|message| message.contact);
        for message in messages {
            columns.push(message);
        }
        columns
    }

    fn push(&mut self, message: &'a NewMessage) {
        let (kind, sender) = match message.author {
            Author::Agent(user) => ("AGENT", Some(user.0)),
            Author::System => ("SYSTEM", None),
        };
        let status = if message.suppressed {
            MessageStatus::Suppressed
        } else {
            MessageStatus::Queued
        };
        self.ids.push(message.id.0);
        self.channels.push(message.channel.as_str());
        self.accounts.push(message.account.0);
        self.contacts.push(message.contact.0);
        self.conversations.push(message.conversation.map(|id| id.0));
        self.sender_kinds.push(kind);
        self.senders.push(sender);
        self.addresses.push(&message.address);
        self.contents.push(Json(&message.content));
        self.bodies.push(&message.body);
        self.templates
            .push(message.template.as_ref().map(|used| used.id.0));
        self.template_versions
            .push(message.template.as_ref().map(|used| used.version));
        self.variables
            .push(message.template.as_ref().map(|used| Json(&used.variables)));
        self.statuses.push(status.as_str());
        self.lanes.push(message.lane.as_str());
        self.categories.push(message.category.as_str());
        self.expires_after
            .push(message.expires_after.as_seconds_f64());
        self.runs.push(message.run.map(|id| id.0));
        self.idempotency_keys
            .push(message.idempotency_key.as_deref());
        self.reply_to.push(message.reply_to.as_deref());
        self.units.push(units(&message.content));
        self.send_at.push(message.send_at);
        self.quiet_hours
            .push(message.quiet_hours.as_ref().map(Json));
    }
}
