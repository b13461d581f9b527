//! Customers' messages: identity, thread, rows. Set-based, and idempotent on the provider's message id.

use crate::contacts::{Alias, AliasKind, Sighting, resolve};
use crate::inbox::{self, Arrival};
use crate::model::{AccountId, Channel, ContactId, ConversationId, MessageId, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::Content;
use comms_providers::event::{InboundMessage, Person};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// How long WhatsApp lets us answer free-form, from the customer's message on.
const WINDOW: Duration = Duration::hours(24);
const PREVIEW_CHARACTERS: usize = 200;

/// A message whose account is known to be the tenant's.
#[derive(Debug, Clone, Copy)]
pub struct Attributed<'a> {
    pub account: AccountId,
    pub waba_id: Option<&'a str>,
    pub message: &'a InboundMessage,
}

/// Stores what is new and answers how many that was.
///
/// Senders are locked before anything is looked up, so a redelivery that runs at the same time sees the first one's rows
/// or waits for them.
///
/// # Errors
/// When the database does not answer; nothing is then stored.
pub async fn store(
    tx: &mut Tx,
    tenant: TenantId,
    incoming: &[Attributed<'_>],
) -> Result<usize, DatabaseError> {
    if incoming.is_empty() {
        return Ok(0);
    }
    let sightings: Vec<Sighting> = incoming.iter().map(sighting).collect();
    let contacts = resolve(tx, tenant, &sightings).await?;
    let known = known_ids(tx, tenant, incoming).await?;
    let mut seen = HashSet::new();
    let fresh: Vec<Fresh<'_>> = incoming
        .iter()
        .zip(contacts)
        .filter(|(message, _)| !known.contains(&message.key()) && seen.insert(message.key()))
        .map(|(message, contact)| Fresh {
            message: *message,
            contact,
        })
        .collect();
    if fresh.is_empty() {
        return Ok(0);
    }
    let threads = inbox::receive(tx, tenant, &arrivals(&fresh)).await?;
    let threads: HashMap<ContactId, ConversationId> = threads
        .into_iter()
        .map(|thread| (thread.contact, thread.conversation))
        .collect();
    insert(tx, tenant, &fresh, &threads).await?;
    open_windows(tx, tenant, &fresh).await?;
    Ok(fresh.len())
}

impl Attributed<'_> {
    fn key(&self) -> (AccountId, String) {
        (self.account, self.message.external_message_id.clone())
    }
}

struct Fresh<'a> {
    message: Attributed<'a>,
    contact: ContactId,
}

fn sighting(incoming: &Attributed<'_>) -> Sighting {
    let sender = &incoming.message.sender;
    let scope = incoming.waba_id.unwrap_or_default();
    let mut aliases = Vec::new();
    aliases.extend(
        sender
            .user_id
            .iter()
            .map(|id| Alias::new(AliasKind::Bsuid, scope, id)),
    );
    aliases.extend(
        sender
            .parent_user_id
            .iter()
            .map(|id| Alias::new(AliasKind::ParentBsuid, scope, id)),
    );
    aliases.extend(
        sender
            .wa_id
            .iter()
            .map(|id| Alias::new(AliasKind::WaId, "", id)),
    );
    aliases.extend(phone(sender).map(|phone| Alias::new(AliasKind::Phone, "", &phone)));
    Sighting {
        aliases,
        display_name: sender.name.clone(),
        ..Sighting::default()
    }
}

/// A `wa_id` is a phone number without its plus, unless it is something new.
fn phone(sender: &Person) -> Option<String> {
    let digits = sender.wa_id.as_deref()?;
    let plausible = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    plausible.then(|| format!("+{digits}"))
}

/// The address that an answer goes to.
fn address(sender: &Person) -> String {
    phone(sender)
        .or_else(|| sender.user_id.clone())
        .or_else(|| sender.wa_id.clone())
        .unwrap_or_default()
}

async fn known_ids(
    tx: &mut Tx,
    tenant: TenantId,
    incoming: &[Attributed<'_>],
) -> Result<HashSet<(AccountId, String)>, DatabaseError> {
    let (accounts, ids): (Vec<Uuid>, Vec<String>) = incoming
        .iter()
        .map(Attributed::key)
        .map(|(account, id)| (account.0, id))
        .unzip();
    let rows = sqlx::query!(
        r#"select m.account_id as "account: AccountId", m.external_message_id as "id!"
             from unnest($2::uuid[], $3::text[]) as k(account_id, id)
             join communications.messages m
               on m.tenant_id = $1 and m.account_id = k.account_id and m.external_message_id = k.id"#,
        tenant.0,
        &accounts,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows.into_iter().map(|row| (row.account, row.id)).collect())
}

/// One arrival a contact, in one order for everybody.
fn arrivals(fresh: &[Fresh<'_>]) -> Vec<Arrival> {
    let mut by_contact: BTreeMap<ContactId, Arrival> = BTreeMap::new();
    for new in fresh {
        let message = new.message.message;
        let arrival = by_contact.entry(new.contact).or_insert_with(|| Arrival {
            contact: new.contact,
            channel: Channel::WhatsApp,
            account: new.message.account,
            messages: 0,
            last_at: message.sent_at,
            preview: String::new(),
        });
        arrival.messages += 1;
        if message.sent_at >= arrival.last_at {
            arrival.last_at = message.sent_at;
            arrival.account = new.message.account;
            arrival.preview = message.body.chars().take(PREVIEW_CHARACTERS).collect();
        }
    }
    by_contact.into_values().collect()
}

async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    fresh: &[Fresh<'_>],
    threads: &HashMap<ContactId, ConversationId>,
) -> Result<(), DatabaseError> {
    let text = |get: fn(&InboundMessage) -> String| {
        fresh
            .iter()
            .map(|new| get(new.message.message))
            .collect::<Vec<_>>()
    };
    let contents: Vec<Value> = fresh
        .iter()
        .map(|new| json!(new.message.message.content))
        .collect();
    let replies: Vec<Option<String>> = fresh
        .iter()
        .map(|new| new.message.message.reply_to.clone())
        .collect();
    sqlx::query!(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body,
              status, external_message_id, reply_to, sent_at, delivered_at, provider_timestamp)
         select $1, m.id, 'INBOUND', 'WHATSAPP', m.account_id, m.contact_id, m.conversation_id, 'CONTACT', m.address, m.content,
                m.body, 'DELIVERED', m.external_message_id, m.reply_to, m.sent_at, now(), m.sent_at
           from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::jsonb[], $8::text[], $9::text[],
                       $10::text[], $11::timestamptz[])
                as m(id, account_id, contact_id, conversation_id, address, content, body, external_message_id, reply_to, sent_at)",
        tenant.0,
        &fresh.iter().map(|_| MessageId::generate().0).collect::<Vec<_>>(),
        &fresh.iter().map(|new| new.message.account.0).collect::<Vec<_>>(),
        &fresh.iter().map(|new| new.contact.0).collect::<Vec<_>>(),
        &fresh.iter().map(|new| threads.get(&new.contact).map(|id| id.0)).collect::<Vec<_>>() as &[Option<Uuid>],
        &text(|message| address(&message.sender)),
        &contents,
        &text(|message| message.body.clone()),
        &text(|message| message.external_message_id.clone()),
        &replies as &[Option<String>],
        &fresh.iter().map(|new| new.message.message.sent_at).collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Did a person write? A notice of the system or a reaction opens no window that we would rely on.
fn opens_window(content: &Content) -> bool {
    !matches!(content, Content::Other { kind, .. } if kind == "system" || kind == "reaction")
}

/// By Meta's clock, never shortened by a late arrival, and never longer than from now on.
async fn open_windows(
    tx: &mut Tx,
    tenant: TenantId,
    fresh: &[Fresh<'_>],
) -> Result<(), DatabaseError> {
    let mut open_until: BTreeMap<(AccountId, ContactId), OffsetDateTime> = BTreeMap::new();
    for new in fresh
        .iter()
        .filter(|new| opens_window(&new.message.message.content))
    {
        let until = new.message.message.sent_at + WINDOW;
        open_until
            .entry((new.message.account, new.contact))
            .and_modify(|latest| *latest = until.max(*latest))
            .or_insert(until);
    }
    sqlx::query!(
        "insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until)
         select $1, w.account_id, w.contact_id, least(w.open_until, now() + interval '24 hours')
           from unnest($2::uuid[], $3::uuid[], $4::timestamptz[]) as w(account_id, contact_id, open_until)
         on conflict (tenant_id, account_id, contact_id)
            do update set open_until = greatest(communications.whatsapp_windows.open_until, excluded.open_until)",
        tenant.0,
        &open_until.keys().map(|(account, _)| account.0).collect::<Vec<_>>(),
        &open_until.keys().map(|(_, contact)| contact.0).collect::<Vec<_>>(),
        &open_until.values().copied().collect::<Vec<_>>(),
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}
