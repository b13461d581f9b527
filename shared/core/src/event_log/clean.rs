//! Deletes what is over and old, with the calls that were made for it: never what waits, never what somebody archived.
//!
//! One look for the ids, then a transaction for every thousand of them by primary key. What another holds (a second cleaner,
//! a redelivery) is skipped, so several may run at once.

use super::{EventLogError, ended};
use crate::platform::Database;
use serde::Serialize;
use std::time::{Duration, Instant};

/// Events, or calls, in one transaction.
const STEP: usize = 1_000;
/// Of each in one run; the next run goes on.
const MOST: i64 = 20_000;
/// No new step is begun after this: an event may have had sixty calls.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one run deleted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cleaned {
    pub events: i64,
    pub invocations: i64,
    /// It stopped at its bounds.
    pub more: bool,
}

/// Deletes the events of these triggers that were delivered or given up and are older than so many days, and the calls that
/// belong to no event any more.
///
/// # Errors
/// See [`EventLogError`]; what was deleted until then stays deleted.
pub async fn clean(
    database: &Database,
    triggers: &[&str],
    days: i32,
) -> Result<Cleaned, EventLogError> {
    let began = Instant::now();
    let mut cleaned = Cleaned::default();
    let events = finished(database, triggers, days).await?;
    cleaned.more = full(&events);
    for step in events.chunks(STEP) {
        if began.elapsed() > PATIENCE {
            return Ok(stopped(cleaned));
        }
        let (events, invocations) = delete_events(database, step).await?;
        cleaned.events += events;
        cleaned.invocations += invocations;
    }
    if began.elapsed() > PATIENCE {
        return Ok(stopped(cleaned));
    }
    let orphans = orphans(database, days).await?;
    cleaned.more |= full(&orphans);
    for step in orphans.chunks(STEP) {
        if began.elapsed() > PATIENCE {
            return Ok(stopped(cleaned));
        }
        cleaned.invocations += delete_invocations(database, step).await?;
    }
    Ok(cleaned)
}

fn stopped(cleaned: Cleaned) -> Cleaned {
    Cleaned {
        more: true,
        ..cleaned
    }
}

fn full(ids: &[String]) -> bool {
    i64::try_from(ids.len()).is_ok_and(|count| count >= MOST)
}

async fn finished(
    database: &Database,
    triggers: &[&str],
    days: i32,
) -> Result<Vec<String>, EventLogError> {
    let mut tx = database.begin().await?;
    let found = sqlx::query_scalar(
        "select id from hdb_catalog.event_log
          where trigger_name = any($1) and (delivered or error) and not archived
            and created_at < timezone('utc', now()) - make_interval(days => $2)
          limit $3",
    )
    .bind(triggers)
    .bind(days)
    .bind(MOST)
    .fetch_all(tx.conn())
    .await;
    ended(tx, found).await
}

/// Events with their calls; still over, that is, and nobody else's at this moment.
async fn delete_events(database: &Database, ids: &[String]) -> Result<(i64, i64), EventLogError> {
    let mut tx = database.begin().await?;
    let deleted = sqlx::query_as(
        "with over as (
             select id from hdb_catalog.event_log
              where id = any($1) and (delivered or error) and not archived
                for update skip locked),
         calls as (
             delete from hdb_catalog.event_invocation_logs l using over where l.event_id = over.id returning l.id),
         events as (
             delete from hdb_catalog.event_log e using over where e.id = over.id returning e.id)
         select (select count(*) from events), (select count(*) from calls)",
    )
    .bind(ids)
    .fetch_one(tx.conn())
    .await;
    ended(tx, deleted).await
}

/// Calls whose event somebody else has deleted.
async fn orphans(database: &Database, days: i32) -> Result<Vec<String>, EventLogError> {
    let mut tx = database.begin().await?;
    let found = sqlx::query_scalar(
        "select l.id from hdb_catalog.event_invocation_logs l
          where l.created_at < timezone('utc', now()) - make_interval(days => $1)
            and not exists (select from hdb_catalog.event_log e where e.id = l.event_id)
          limit $2",
    )
    .bind(days)
    .bind(MOST)
    .fetch_all(tx.conn())
    .await;
    ended(tx, found).await
}

async fn delete_invocations(database: &Database, ids: &[String]) -> Result<i64, EventLogError> {
    let mut tx = database.begin().await?;
    let deleted = sqlx::query_scalar(
        "with over as (
             select id from hdb_catalog.event_invocation_logs where id = any($1) for update skip locked),
         calls as (
             delete from hdb_catalog.event_invocation_logs l using over where l.id = over.id returning l.id)
         select count(*) from calls",
    )
    .bind(ids)
    .fetch_one(tx.conn())
    .await;
    ended(tx, deleted).await
}
