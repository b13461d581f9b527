//! Where a message belongs: the contact's live thread, the last one reopened, or a new one.
//!
//! `receive` is called with the senders' locks held (`contacts::resolve`), so that two webhooks cannot both open a thread;
//! the unique index on live conversations is the second guard. It is set-based: one statement whatever the number.

use crate::model::{AccountId, Channel, ContactId, ConversationId, TenantId};
use crate::platform::{DatabaseError, Tx};
use time::OffsetDateTime;
use uuid::Uuid;

/// All that newly arrived from one contact.
#[derive(Debug, Clone)]
pub struct Arrival {
    pub contact: ContactId,
    pub channel: Channel,
    pub account: AccountId,
    pub messages: i64,
    /// The newest of them, by the provider's clock.
    pub last_at: OffsetDateTime,
    pub preview: String,
}

/// The thread of one contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    pub contact: ContactId,
    pub conversation: ConversationId,
}

/// Finds, reopens or creates each contact's thread and counts the arrivals in. The assignee is kept; a snoozed thread
/// wakes unless it is to sleep through replies; a new one takes the trip and booking of the latest automated message.
///
/// # Errors
/// When the database does not answer.
pub async fn receive(
    tx: &mut Tx,
    tenant: TenantId,
    arrivals: &[Arrival],
) -> Result<Vec<Thread>, DatabaseError> {
    if arrivals.is_empty() {
        return Ok(Vec::new());
    }
    let column = |get: fn(&Arrival) -> Uuid| arrivals.iter().map(get).collect::<Vec<_>>();
    let threads = sqlx::query_as!(
        Thread,
        r#"with arrived as (
               -- A clock ahead of ours must not keep a thread on top of the list.
               select contact_id, channel, account_id, messages, least(said_at, now()) as last_at, preview, new_id
                 from unnest($2::uuid[], $3::text[], $4::uuid[], $5::int8[], $6::timestamptz[], $7::text[], $8::uuid[])
                   as a(contact_id, channel, account_id, messages, said_at, preview, new_id)),
           latest as (
               select a.contact_id, c.id, c.status, c.snoozed_until_reply
                 from arrived a
                cross join lateral (
                    select * from communications.conversations c
                     where c.tenant_id = $1 and c.contact_id = a.contact_id
                     order by (c.status <> 'RESOLVED') desc, c.created_at desc, c.id desc
                     limit 1 for update) c),
           continued as (
               update communications.conversations c
                  set status = case when l.status = 'RESOLVED' or (l.status = 'SNOOZED' and l.snoozed_until_reply)
                                    then 'OPEN' else c.status end,
                      snoozed_until = case when l.status = 'SNOOZED' and not l.snoozed_until_reply then c.snoozed_until end,
                      inbound_count = c.inbound_count + a.messages,
                      last_message_at = greatest(c.last_message_at, a.last_at),
                      last_inbound_at = greatest(c.last_inbound_at, a.last_at),
                      -- What came late does not become what was said last.
                      last_inbound_channel = case when a.last_at >= coalesce(c.last_inbound_at, a.last_at)
                                                  then a.channel else c.last_inbound_channel end,
                      last_inbound_account = case when a.last_at >= coalesce(c.last_inbound_at, a.last_at)
                                                  then a.account_id else c.last_inbound_account end,
                      preview = case when a.last_at >= c.last_message_at then a.preview else c.preview end
                 from latest l join arrived a on a.contact_id = l.contact_id
                where c.tenant_id = $1 and c.id = l.id
               returning c.contact_id, c.id, l.status as before, c.status as after),
           opened as (
               insert into communications.conversations
                   (tenant_id, id, contact_id, inbound_count, last_message_at, last_inbound_at, last_inbound_channel,
                    last_inbound_account, preview, trip_id, booking_id, invoice_id)
               select $1, a.new_id, a.contact_id, a.messages, a.last_at, a.last_at, a.channel, a.account_id, a.preview,
                      (about.context ->> 'trip_id')::uuid, (about.context ->> 'booking_id')::uuid,
                      (about.context ->> 'invoice_id')::uuid
                 from arrived a
                 left join lateral (
                     select r.context
                       from communications.messages m
                       join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
                      where m.tenant_id = $1 and m.contact_id = a.contact_id and m.conversation_id is null
                      order by m.created_at desc
                      limit 1) about on true
                where not exists (select from latest l where l.contact_id = a.contact_id)
               returning contact_id, id),
           logged as (
               insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind)
               select $1, gen_random_uuid(), id, 'REOPENED', before, after, 'CONTACT' from continued where before <> after
               union all
               select $1, gen_random_uuid(), id, 'OPENED', null, 'OPEN', 'CONTACT' from opened)
           select contact_id as "contact!: ContactId", id as "conversation!: ConversationId" from continued
           union all
           select contact_id, id from opened"#,
        tenant.0,
        &column(|arrival| arrival.contact.0),
        &arrivals.iter().map(|arrival| arrival.channel.to_string()).collect::<Vec<_>>(),
        &column(|arrival| arrival.account.0),
        &arrivals.iter().map(|arrival| arrival.messages).collect::<Vec<_>>(),
        &arrivals.iter().map(|arrival| arrival.last_at).collect::<Vec<_>>(),
        &arrivals.iter().map(|arrival| arrival.preview.clone()).collect::<Vec<_>>(),
        &column(|_| Uuid::now_v7()),
    )
    .fetch_all(tx.conn())
    .await?;
    adopt_automated(tx, tenant, &threads).await?;
    Ok(threads)
}

/// What was sent to a contact before there was a thread belongs to it once they answer: agents see what it is about.
/// Locked in the order that everybody locks messages in.
async fn adopt_automated(
    tx: &mut Tx,
    tenant: TenantId,
    threads: &[Thread],
) -> Result<(), DatabaseError> {
    let contacts: Vec<Uuid> = threads.iter().map(|thread| thread.contact.0).collect();
    let conversations: Vec<Uuid> = threads.iter().map(|thread| thread.conversation.0).collect();
    sqlx::query!(
        "with loose as (
             select m.id, t.conversation_id
               from unnest($2::uuid[], $3::uuid[]) as t(contact_id, conversation_id)
               join communications.messages m
                 on m.tenant_id = $1 and m.contact_id = t.contact_id and m.conversation_id is null
              order by m.id
                for update of m)
         update communications.messages m set conversation_id = loose.conversation_id
           from loose where m.tenant_id = $1 and m.id = loose.id",
        tenant.0,
        &contacts,
        &conversations
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The live thread of each contact that has one.
///
/// # Errors
/// When the database does not answer.
pub async fn live_threads(
    tx: &mut Tx,
    tenant: TenantId,
    contacts: &[ContactId],
) -> Result<Vec<Thread>, DatabaseError> {
    let ids: Vec<Uuid> = contacts.iter().map(|contact| contact.0).collect();
    let threads = sqlx::query_as!(
        Thread,
        r#"select contact_id as "contact: ContactId", id as "conversation: ConversationId"
             from communications.conversations
            where tenant_id = $1 and contact_id = any($2) and status <> 'RESOLVED'"#,
        tenant.0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(threads)
}
