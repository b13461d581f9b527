//! What waits for others than itself: for a slot, for a held account, for a sender that works.

use crate::model::{MessageId, TenantId};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};

/// How far ahead the scan announces what is not due yet: until it comes again.
const LOOK_AHEAD_SECONDS: f64 = 60.0;

/// Gives every account with waiting messages its turn: at most fifty of each lane, so that a tenant with a hundred
/// thousand takes no longer than one with three. Accounts are found by skipping through the index, not by reading it.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn one_round(tx: &mut Tx) -> Result<Vec<Hint>, DatabaseError> {
    let rows = sqlx::query!(
        r#"with recursive accounts as (
               (select m.tenant_id, m.account_id
                  from communications.messages m
                 where m.queue_status = 'QUEUED' and m.hint_at = '-infinity'
                 order by m.tenant_id, m.account_id limit 1)
               union all
               select next.tenant_id, next.account_id
                 from accounts a
                cross join lateral (
                   select m.tenant_id, m.account_id
                     from communications.messages m
                    where m.queue_status = 'QUEUED' and m.hint_at = '-infinity'
                      and (m.tenant_id, m.account_id) > (a.tenant_id, a.account_id)
                    order by m.tenant_id, m.account_id limit 1) next),
           listed as (select array_agg(tenant_id) as tenants, array_agg(account_id) as ids from accounts)
           select r.tenant_id as "tenant!: TenantId", r.message_id as "message!: MessageId", r.lane as "lane!",
                  r.hint_in as "hint_in!"
             from listed l
            cross join lateral communications.release_waiting(l.tenants, l.ids, $1) r
            where l.ids is not null"#,
        LOOK_AHEAD_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, row.hint_in))
        .collect())
}

/// Held accounts whose time is over become ACTIVE behind a breaker that lets one message try. What a person suspended has
/// no such time.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn resume(tx: &mut Tx, limit: i64) -> Result<usize, DatabaseError> {
    let resumed = sqlx::query_scalar!(
        r#"with due as (
               select tenant_id, id from communications.channel_accounts
                where status = 'SUSPENDED' and resume_at <= now()
                order by resume_at limit $1 for no key update skip locked),
           resumed as (
               update communications.channel_accounts a
                  set status = 'ACTIVE', status_reason = null, resume_at = null
                 from due where a.tenant_id = due.tenant_id and a.id = due.id
               returning a.tenant_id, a.id),
           careful as (
               insert into communications.breakers (tenant_id, account_id, failures, open_until)
               select tenant_id, id, 5, now() from resumed
               on conflict on constraint breakers_pkey do update set failures = 5, open_until = now())
           select count(*) as "count!" from resumed"#,
        limit
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(usize::try_from(resumed).unwrap_or_default())
}

/// Queued messages whose sender cannot send, while the tenant has another one for the channel.
///
/// # Errors
/// When the database does not answer.
pub(super) async fn fail_over(tx: &mut Tx, limit: i64) -> Result<Vec<Hint>, DatabaseError> {
    let moved = sqlx::query!(
        r#"with stuck as (
               select a.tenant_id, a.id
                 from communications.channel_accounts a
                 left join communications.breakers k on k.tenant_id = a.tenant_id and k.account_id = a.id
                where a.channel in ('EMAIL', 'SMS')
                  and (a.status in ('SUSPENDED', 'REAUTH_REQUIRED') or k.failures >= 5 and k.open_until > now())
                  and exists (select from communications.channel_accounts other
                               where other.tenant_id = a.tenant_id and other.channel = a.channel
                                 and other.id <> a.id and other.status = 'ACTIVE')),
           stranded as (
               select m.tenant_id, m.id
                 from stuck s
                 join communications.messages m on m.tenant_id = s.tenant_id and m.account_id = s.id and m.queue_status = 'QUEUED'
                  -- Everything else of theirs has a hint out, and joins these when that is looked at.
                  and m.hint_at = '-infinity'
                  -- What is for later, or held, moves when its time comes: moving makes it due.
                  and m.due_at <= now()
                  -- Those that cannot move must not stand before those that can.
                  and not exists (select from communications.message_attempts t
                                   where t.tenant_id = m.tenant_id and t.message_id = m.id and t.class = 'AMBIGUOUS')
                  and exists (select from communications.channel_accounts other
                               where other.tenant_id = m.tenant_id and other.channel = m.channel and other.id <> m.account_id
                                 and other.status = 'ACTIVE'
                                 and not exists (select from communications.message_attempts t
                                                  where t.tenant_id = m.tenant_id and t.message_id = m.id
                                                    and t.account_id = other.id))
                limit $1),
           listed as (select array_agg(tenant_id) as tenants, array_agg(id) as ids from stranded),
           moved as (
               select f.tenant_id, f.message_id, f.lane
                 from listed l cross join lateral communications.fail_over(l.tenants, l.ids) f
                where l.ids is not null),
           noted as (
               insert into communications.repairs (tenant_id, id, kind, message_id)
               select tenant_id, communications.uuid_v7(), 'FAILED_OVER', message_id from moved)
           select tenant_id as "tenant!: TenantId", message_id as "message!: MessageId", lane as "lane!" from moved"#,
        limit
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(moved
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, 0.0))
        .collect())
}
