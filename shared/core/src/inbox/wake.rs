//! `conversation_snooze_wakeup`: every conversation past its time is OPEN again, however late this runs.
//!
//! A bounded step that several callers may run at once: rows that another holds are skipped. This is one of the few
//! places that look at all tenants; it reads and writes nothing but the rows' own state.

use crate::platform::{Database, DatabaseError, Tx, telemetry};

/// Conversations in one transaction.
const STEP: i64 = 500;
/// Steps in one run; what is left then waits for the next minute.
const STEPS: usize = 40;

/// Wakes up to `limit` conversations in one statement, with their events. Fewer than `limit` means that none is left.
async fn step(tx: &mut Tx, limit: i64) -> Result<i64, DatabaseError> {
    let woken = sqlx::query_scalar!(
        r#"with due as (
               select tenant_id, id
                 from communications.conversations
                where status = 'SNOOZED' and snoozed_until <= now()
                order by snoozed_until
                limit $1
                  for no key update skip locked),
           woken as (
               update communications.conversations c
                  set status = 'OPEN', snoozed_until = null, snoozed_until_reply = true
                 from due
                where c.tenant_id = due.tenant_id and c.id = due.id
               returning c.tenant_id, c.id),
           logged as (
               insert into communications.conversation_events
                   (tenant_id, id, conversation_id, kind, from_value, to_value, actor_kind)
               select tenant_id, gen_random_uuid(), id, 'REOPENED', 'SNOOZED', 'OPEN', 'SYSTEM' from woken)
           select count(*) as "woken!" from woken"#,
        limit
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(woken)
}

/// Wakes all that is due, step by step, and answers how many; each step is committed on its own.
///
/// # Errors
/// When the database does not answer; what was woken stays awake.
pub async fn wake_all(database: &Database) -> Result<i64, DatabaseError> {
    let mut all = 0;
    for _ in 0..STEPS {
        let mut tx = database.begin().await?;
        let woken = step(&mut tx, STEP).await?;
        tx.commit().await?;
        all += woken;
        if woken < STEP {
            break;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count for a metric")]
    telemetry::metric("ConversationsWoken", all as f64, &[]);
    Ok(all)
}
