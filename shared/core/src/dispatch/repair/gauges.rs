//! What an operator must know, because repairing does not help it: what is late, what is in doubt, what waits for a person.

use crate::platform::{Database, DatabaseError};

/// What is queued and due for longer is an alarm; so is a doubt.
const OVERDUE_SECONDS: f64 = 300.0;

/// The state of the pipeline at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauges {
    /// Messages on ACTIVE senders that nothing holds back.
    pub lanes: Vec<OfLane>,
    /// UNCERTAIN for more than five minutes.
    pub doubtful: i64,
    /// QUEUED behind an account that is not ACTIVE.
    pub parked: i64,
    /// QUEUED behind the rate of their sender, its breaker, or an earlier message of their conversation.
    pub paced: i64,
    /// Reached twice: the receipt came after the fallback had gone out. Of the last day; a fallback that waited for a month
    /// is not looked for.
    pub double_reached: i64,
}

/// One lane's due work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfLane {
    pub lane: String,
    /// Due for more than five minutes.
    pub overdue: i64,
    /// Age of the oldest that is due.
    pub oldest_seconds: i64,
}

/// # Errors
/// When the database does not answer.
pub async fn gauges(database: &Database) -> Result<Gauges, DatabaseError> {
    let mut tx = database.begin().await?;
    let rows = sqlx::query!(
        r#"with due as (
               -- What was released after a pause is late from its slot on, and not from before the pause.
               select m.lane, greatest(m.due_at, m.slot_at) as due_at, a.status = 'ACTIVE' as active,
                      -- A line is as long as what it waits for makes it: a rate, a breaker, an earlier message.
                      m.hint_at = '-infinity' and coalesce(b.tat > now(), false)
                      or coalesce(k.open_until > now(), false)
                      or exists (select from communications.messages earlier
                                  where earlier.tenant_id = m.tenant_id and earlier.conversation_id = m.conversation_id
                                    and earlier.lane = m.lane and earlier.queue_status in ('QUEUED', 'SENDING')
                                    and earlier.id < m.id
                                    -- As in communications.claim_messages.
                                    and (earlier.queue_status = 'SENDING' or earlier.due_at <= now() + interval '250 milliseconds'
                                         or earlier.fence > 0 and earlier.held_due_at is null
                                            and (earlier.quiet_hours is null
                                                 or communications.quiet_now(earlier.quiet_hours) is null))) as paced
                 from communications.messages m
                 join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
                 left join communications.breakers k on k.tenant_id = m.tenant_id and k.account_id = m.account_id
                 left join communications.rate_buckets b
                   on b.tenant_id = m.tenant_id and b.account_id = m.account_id and b.kind = 'SHARED' and b.subject = ''
                where m.queue_status = 'QUEUED' and m.due_at <= now())
           select l.lane as "lane!",
                  count(*) filter (where due.active and not due.paced
                                     and due.due_at < now() - $1 * interval '1 second') as "overdue!",
                  coalesce(extract(epoch from now() - min(due.due_at) filter (where due.active and not due.paced)), 0)::bigint
                      as "oldest_seconds!",
                  count(*) filter (where not due.active) as "parked!",
                  count(*) filter (where due.active and due.paced) as "paced!"
             from unnest(array ['INTERACTIVE', 'TRANSACTIONAL', 'BULK']) as l (lane)
             left join due on due.lane = l.lane
            group by l.lane"#,
        OVERDUE_SECONDS
    )
    .fetch_all(tx.conn())
    .await?;
    let rest = sqlx::query!(
        r#"select (select count(*) from communications.messages
                    where queue_status = 'UNCERTAIN' and updated_at < now() - $1 * interval '1 second') as "doubtful!",
                  (select count(*) from communications.double_reaches where made_at > now() - interval '30 days' and sent_at > now() - interval '1 day') as "double!""#,
        OVERDUE_SECONDS
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(Gauges {
        parked: rows.iter().map(|row| row.parked).sum(),
        paced: rows.iter().map(|row| row.paced).sum(),
        lanes: rows
            .into_iter()
            .map(|row| OfLane {
                lane: row.lane,
                overdue: row.overdue,
                oldest_seconds: row.oldest_seconds,
            })
            .collect(),
        doubtful: rest.doubtful,
        double_reached: rest.double,
    })
}
