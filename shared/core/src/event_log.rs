//! Hasura's own log of events: kept small, and asked whether events wait or were given up.
//!
//! The engine makes its tables in our database, in the schema `hdb_catalog`; its community edition never cleans them. They
//! are no part of our migrations, so these statements are the ones that the compiler does not check, and the answer to every
//! call may be that there is no such log here, or that we may not look at it. Payloads are the host's and are never read.

mod clean;

pub use clean::{Cleaned, clean};

use crate::platform::{Database, DatabaseError, Tx};

/// Why nothing could be said or done about the log.
#[derive(Debug, thiserror::Error)]
pub enum EventLogError {
    #[error("there is no hdb_catalog in this database: Hasura has no event trigger on it")]
    Absent,
    #[error("the service's role may not use hdb_catalog: docs/hasura.md has the grants")]
    Forbidden,
    #[error("hdb_catalog is not as this version knows it: {0}")]
    Strange(DatabaseError),
    #[error(transparent)]
    Database(DatabaseError),
}

impl EventLogError {
    /// Will it be the same until somebody changes something? Then trying again is no use.
    #[must_use]
    pub fn is_standing(&self) -> bool {
        !matches!(self, Self::Database(_))
    }
}

impl From<sqlx::Error> for EventLogError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        match code.as_deref() {
            Some("42P01" | "3F000") => Self::Absent,
            Some("42501") => Self::Forbidden,
            Some("42703" | "42883") => Self::Strange(error.into()),
            _ => Self::Database(error.into()),
        }
    }
}

impl From<DatabaseError> for EventLogError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Sql(error) => error.into(),
            config @ DatabaseError::Config(_) => Self::Database(config),
        }
    }
}

/// What Hasura has not delivered yet.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    pub waiting: i64,
    /// Age of the oldest; 0 when there is none.
    pub oldest_seconds: i64,
}

/// How long events of these triggers have waited. By the index of the engine's own fetch, however long the log.
///
/// # Errors
/// See [`EventLogError`].
pub async fn backlog(database: &Database, triggers: &[&str]) -> Result<Backlog, EventLogError> {
    let mut tx = database.begin().await?;
    let asked: Result<(i64, i64), _> = sqlx::query_as(
        "select count(*), coalesce(extract(epoch from timezone('utc', now()) - min(created_at)), 0)::bigint
           from hdb_catalog.event_log
          where not delivered and not error and not archived and trigger_name = any($1)",
    )
    .bind(triggers)
    .fetch_one(tx.conn())
    .await;
    let (waiting, oldest_seconds) = ended(tx, asked).await?;
    Ok(Backlog {
        waiting,
        oldest_seconds,
    })
}

/// How many events of these triggers Hasura has given up. Reads the whole log: for once an hour.
///
/// # Errors
/// See [`EventLogError`].
pub async fn given_up(database: &Database, triggers: &[&str]) -> Result<i64, EventLogError> {
    let mut tx = database.begin().await?;
    let asked = sqlx::query_scalar(
        "select count(*) from hdb_catalog.event_log where error and not archived and trigger_name = any($1)",
    )
    .bind(triggers)
    .fetch_one(tx.conn())
    .await;
    ended(tx, asked).await
}

/// Ends the transaction as its statement went. A refusal is nothing special here, so the connection is kept.
async fn ended<T>(tx: Tx, asked: Result<T, sqlx::Error>) -> Result<T, EventLogError> {
    match asked {
        Ok(answer) => {
            tx.commit().await?;
            Ok(answer)
        }
        Err(error) => {
            let error = EventLogError::from(error);
            if error.is_standing() {
                tx.rollback().await?;
            }
            Err(error)
        }
    }
}
