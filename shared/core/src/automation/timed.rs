//! Triggers that a clock fires: a day before departure, an invoice's due date, a shift.
//!
//! Whatever is due and has had no run yet is fired, however late the clock came; what is past its own end is not worth saying any
//! more. The run's key is the occurrence (row and moment), so that two clocks, or one that ticks twice, write to nobody twice, and a
//! trip that is put off is a new occurrence.

use super::hand_off::About;
use super::intake::Run;
use super::registry::{Moment, Subject, Trigger, timed};
use super::subject::{self, Which};
use super::{Accepted, AutomationError, Orchestrator, RunStatus, announce, go_on, people_of};
use crate::model::TenantId;
use crate::platform::{Database, DatabaseError, Queues, Tx, telemetry};
use serde::Serialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// The source part of the idempotency key.
const SOURCE: &str = "schedule";
/// Occurrences of one trigger in one round, the tenants in turn; the clock's next run goes on.
const LIMIT: usize = 500;
/// Rounds in one run of the clock: another one only where something failed.
const ROUNDS: usize = 4;

/// What one run of the clock did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Fired {
    pub runs: usize,
    pub messages: usize,
    /// Occurrences that could not be taken in now, and are tried again by the next run.
    pub failed: usize,
    /// Triggers that the host has no views for.
    pub unavailable: usize,
    /// Runs that an orchestrator had and did not carry out in time.
    pub gone_on: usize,
}

/// Fires everything that is due, trigger by trigger, each occurrence in a transaction of its own.
///
/// # Errors
/// When the database does not answer. What was fired stays fired.
pub async fn fire_due(
    database: &Database,
    queues: &Queues,
    orchestrator: Option<&Orchestrator>,
) -> Result<Fired, DatabaseError> {
    let mut clock = Clock {
        database,
        queues,
        orchestrator,
        hears: true,
        fired: Fired {
            gone_on: go_on(database, queues).await?,
            ..Fired::default()
        },
    };
    for (trigger, moment) in timed() {
        match clock.fire_all(trigger, moment).await {
            Err(error) if error.is_undefined() => {
                let error = telemetry::chain(&error);
                tracing::warn!(
                    trigger = trigger.event,
                    error,
                    "the host has no view for it"
                );
                clock.fired.unavailable += 1;
            }
            done => done?,
        }
    }
    Ok(clock.fired)
}

/// One run of the clock.
struct Clock<'a> {
    database: &'a Database,
    queues: &'a Queues,
    orchestrator: Option<&'a Orchestrator>,
    /// Hundreds may be due at once: an orchestrator that does not answer is not waited for by each of them. The others' deadlines
    /// stand.
    hears: bool,
    fired: Fired,
}

impl Clock<'_> {
    /// What fails makes room for what comes after it, which may be in order.
    async fn fire_all(
        &mut self,
        trigger: &'static Trigger,
        moment: &Moment,
    ) -> Result<(), DatabaseError> {
        let mut failed: Vec<String> = Vec::new();
        for _ in 0..ROUNDS {
            let due = due(self.database, trigger, moment, &failed).await?;
            let (all, before) = (due.len() < LIMIT, failed.len());
            for occurrence in due {
                if !self.fire(trigger, moment, &occurrence).await {
                    failed.push(occurrence.key);
                }
            }
            if all || failed.len() == before {
                break;
            }
        }
        self.fired.failed += failed.len();
        Ok(())
    }

    /// False where it could not be taken in: one tenant's broken rule must not keep the others' reminders.
    async fn fire(
        &mut self,
        trigger: &'static Trigger,
        moment: &Moment,
        occurrence: &Occurrence,
    ) -> bool {
        match fire(self.database, trigger, moment, occurrence).await {
            Ok(None) => true,
            Ok(Some(accepted)) => {
                self.fired.runs += 1;
                self.fired.messages += accepted.answer.messages();
                self.queues.publish_or_leave_to_scan(&accepted.hints).await;
                if self.hears {
                    self.hears = announce(self.orchestrator, &accepted).await;
                }
                true
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::error!(trigger = trigger.event, tenant.id = %occurrence.tenant, error, "not fired");
                false
            }
        }
    }
}

/// One row at one of its moments.
#[derive(Debug)]
struct Occurrence {
    tenant: TenantId,
    id: Uuid,
    at: OffsetDateTime,
    key: String,
}

async fn fire(
    database: &Database,
    trigger: &'static Trigger,
    moment: &Moment,
    occurrence: &Occurrence,
) -> Result<Option<Accepted>, AutomationError> {
    let tenant = occurrence.tenant;
    let mut tx = database.begin().await?;
    let run = Run::new(tenant, SOURCE, &occurrence.key, Vec::new(), trigger.event);
    if run.begin(&mut tx).await?.is_some() {
        return Ok(None);
    }
    let which = Which {
        subject: moment.subject,
        id: occurrence.id,
        profile: None,
    };
    let accepted = if let Some(facts) = subject::read(&mut tx, tenant, which).await? {
        let about = About {
            // A reminder is worth nothing once the moment is there; what is about the time after it, until that is over.
            not_after: Some(occurrence.at + moment.until.max(Duration::ZERO)),
            said: facts
                .row
                .get(moment.column)
                .map(|at| (moment.column.to_owned(), at.clone()))
                .into_iter()
                .collect(),
            ..About::new(which, trigger.audiences)
        };
        people_of(&mut tx, &run, trigger, &about, &facts).await?
    } else {
        let context = subject::context(which);
        run.ends(&mut tx, RunStatus::Stale, &context).await?
    };
    tx.commit().await?;
    tracing::info!(trigger = trigger.event, run.id = %accepted.answer.run_id, due = %occurrence.at, status = ?accepted.answer.status, "fired");
    Ok(Some(accepted))
}

/// What is due now and has had no run.
async fn due(
    database: &Database,
    trigger: &Trigger,
    moment: &Moment,
    failed: &[String],
) -> Result<Vec<Occurrence>, DatabaseError> {
    let statuses = moment.while_status.iter();
    let statuses: Vec<String> = statuses.map(|&status| status.to_owned()).collect();
    let mut tx = database.begin().await?;
    let now = super::intake::now(&mut tx).await?;
    let wanted = Wanted {
        event: trigger.event,
        after: now - moment.until,
        until: now - moment.from,
        statuses: &statuses,
        failed,
    };
    let due = of_subject(&mut tx, moment.subject, &wanted).await?;
    tx.commit().await?;
    Ok(due)
}

/// Due is what has its time after the one and not after the other, while it has one of these statuses.
struct Wanted<'a> {
    event: &'a str,
    after: OffsetDateTime,
    until: OffsetDateTime,
    statuses: &'a [String],
    /// The keys of those that failed in this run of the clock.
    failed: &'a [String],
}

type Found = Result<Vec<Occurrence>, sqlx::Error>;

async fn of_subject(
    tx: &mut Tx,
    subject: Subject,
    wanted: &Wanted<'_>,
) -> Result<Vec<Occurrence>, DatabaseError> {
    Ok(match subject {
        Subject::Trip => trips(tx, wanted).await?,
        Subject::Booking => balances(tx, wanted).await?,
        Subject::Invoice => invoices(tx, wanted).await?,
        Subject::Shift => shifts(tx, wanted).await?,
        // Nothing of theirs is due at a time; a test holds the registry to it.
        Subject::Seat | Subject::Payment | Subject::Incident | Subject::VendorOrder => Vec::new(),
    })
}

// One statement for each view, alike as they are: a host that lacks one loses the triggers of that one alone. The tenants take turns, so
// that nobody's many stand before another's one.

/// Departures, by when they are expected; a trip that is put off by its timetable is another occurrence, a delayed one is not.
async fn trips(tx: &mut Tx, wanted: &Wanted<'_>) -> Found {
    sqlx::query_as!(
        Occurrence,
        r#"select f.tenant_id as "tenant!: TenantId", f.id as "id!", f.at as "at!", f.key as "key!"
             from (select d.*, row_number() over (partition by d.tenant_id order by d.at, d.id) as turn
                     from (select t.tenant_id, t.trip_id as id, coalesce(t.estimated_departure_at, t.departure_at) as at,
                                  $1::text || '/' || t.trip_id || '/' || extract(epoch from t.departure_at)::bigint as key
                             from communications.domain_trips t
                            where t.departure_at > $2::timestamptz - interval '1 day' and t.departure_at <= $3 and t.status = any($4)) d
                    where d.at > $2 and d.at <= $3 and d.key <> all($5)
                      and not exists (select from communications.trigger_runs r
                                       where r.tenant_id = d.tenant_id and r.source = 'schedule' and r.idempotency_key = d.key)) f
            order by f.turn, f.at limit $6"#,
        wanted.event,
        wanted.after,
        wanted.until,
        wanted.statuses,
        wanted.failed,
        i64::try_from(LIMIT).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await
}

/// What is still to be paid of bookings.
async fn balances(tx: &mut Tx, wanted: &Wanted<'_>) -> Found {
    sqlx::query_as!(
        Occurrence,
        r#"select f.tenant_id as "tenant!: TenantId", f.id as "id!", f.at as "at!", f.key as "key!"
             from (select d.*, row_number() over (partition by d.tenant_id order by d.at, d.id) as turn
                     from (select b.tenant_id, b.booking_id as id, b.balance_due_at as at,
                                  $1::text || '/' || b.booking_id || '/' || extract(epoch from b.balance_due_at)::bigint as key
                             from communications.domain_bookings b
                            where b.balance_due_at > $2 and b.balance_due_at <= $3 and b.status = any($4) and b.balance_due > 0) d
                    where d.at > $2 and d.at <= $3 and d.key <> all($5)
                      and not exists (select from communications.trigger_runs r
                                       where r.tenant_id = d.tenant_id and r.source = 'schedule' and r.idempotency_key = d.key)) f
            order by f.turn, f.at limit $6"#,
        wanted.event,
        wanted.after,
        wanted.until,
        wanted.statuses,
        wanted.failed,
        i64::try_from(LIMIT).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await
}

/// Invoices that nobody has paid.
async fn invoices(tx: &mut Tx, wanted: &Wanted<'_>) -> Found {
    sqlx::query_as!(
        Occurrence,
        r#"select f.tenant_id as "tenant!: TenantId", f.id as "id!", f.at as "at!", f.key as "key!"
             from (select d.*, row_number() over (partition by d.tenant_id order by d.at, d.id) as turn
                     from (select i.tenant_id, i.invoice_id as id, i.due_at as at,
                                  $1::text || '/' || i.invoice_id || '/' || extract(epoch from i.due_at)::bigint as key
                             from communications.domain_invoices i
                            where i.due_at > $2 and i.due_at <= $3 and i.status = any($4)) d
                    where d.at > $2 and d.at <= $3 and d.key <> all($5)
                      and not exists (select from communications.trigger_runs r
                                       where r.tenant_id = d.tenant_id and r.source = 'schedule' and r.idempotency_key = d.key)) f
            order by f.turn, f.at limit $6"#,
        wanted.event,
        wanted.after,
        wanted.until,
        wanted.statuses,
        wanted.failed,
        i64::try_from(LIMIT).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await
}

/// Shifts that have not begun.
async fn shifts(tx: &mut Tx, wanted: &Wanted<'_>) -> Found {
    sqlx::query_as!(
        Occurrence,
        r#"select f.tenant_id as "tenant!: TenantId", f.id as "id!", f.at as "at!", f.key as "key!"
             from (select d.*, row_number() over (partition by d.tenant_id order by d.at, d.id) as turn
                     from (select h.tenant_id, h.shift_id as id, h.starts_at as at,
                                  $1::text || '/' || h.shift_id || '/' || extract(epoch from h.starts_at)::bigint as key
                             from communications.domain_driver_shifts h
                            where h.starts_at > $2 and h.starts_at <= $3 and h.status = any($4)) d
                    where d.at > $2 and d.at <= $3 and d.key <> all($5)
                      and not exists (select from communications.trigger_runs r
                                       where r.tenant_id = d.tenant_id and r.source = 'schedule' and r.idempotency_key = d.key)) f
            order by f.turn, f.at limit $6"#,
        wanted.event,
        wanted.after,
        wanted.until,
        wanted.statuses,
        wanted.failed,
        i64::try_from(LIMIT).unwrap_or(i64::MAX)
    )
    .fetch_all(tx.conn())
    .await
}
