//! The database: always an explicit transaction, always unnamed statements.
//!
//! Behind a transaction pooler both halves are needed: a named statement may be another session's, and outside a
//! transaction the pooler may switch backends between `Parse` and `Bind` and answer with somebody else's rows, without
//! an error. [`Tx::conn`] is therefore the only way to run SQL.

use super::config::{ConfigError, Secret};
use futures_util::{future::BoxFuture, stream::BoxStream};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgConnectOptions, PgQueryResult, PgRow, PgTypeInfo},
};
use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Says what failed in our words and Postgres's codes; its messages may quote the data.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("database: {}", safe(.0))]
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

fn safe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let quotes_data = code.starts_with("22") || code.starts_with("23");
            match (error.constraint(), quotes_data) {
                (Some(constraint), _) => format!("SQLSTATE {code}, {constraint}"),
                (None, true) => format!("SQLSTATE {code}"),
                (None, false) => format!("SQLSTATE {code}, {}", error.message()),
            }
        }
        sqlx::Error::ColumnDecode { index, .. } => format!("column {index} does not decode"),
        sqlx::Error::Decode(_) => "a value does not decode".to_owned(),
        other => other.to_string(),
    }
}

impl DatabaseError {
    /// Is it about some row, so that the same call without that row may well succeed?
    #[must_use]
    pub fn is_about_rows(&self) -> bool {
        let constraint = |error: &sqlx::Error| {
            let code = error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code);
            code.is_some_and(|code| code.starts_with("23") || code.starts_with("P0"))
        };
        self.is_bad_data() || matches!(self, Self::Sql(error) if constraint(error))
    }

    /// Is it the data that does not fit (a null, a zone that does not exist), so that the same call never succeeds?
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22"))
            }
            Self::Sql(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => true,
            _ => false,
        }
    }
}

/// A sandbox serves one event at a time, so one connection is normal and two are enough.
const CONNECTIONS: usize = 2;
/// For a free connection, and for a new one.
const PATIENCE: Duration = Duration::from_secs(3);
/// An idle connection is not kept for longer: proxies and firewalls forget it.
const IDLE: Duration = Duration::from_secs(300);

/// Connects on first use and keeps the connection. Not sqlx's pool: that asks every connection whether it still lives
/// before and after use, four round trips a batch. Here `begin` finds out: nothing has happened yet when it fails, so a
/// connection that died in a frozen sandbox is replaced and nobody notices.
#[derive(Debug)]
pub struct Database {
    url: Secret,
    slots: Arc<Semaphore>,
    idle: Idle,
}

type Idle = Arc<Mutex<Vec<(PgConnection, Instant)>>>;

impl Database {
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self {
            url,
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Idle::default(),
        }
    }

    /// # Errors
    /// When the URL cannot be had or no connection can be made within three seconds.
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        let slot = timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned()).await;
        let slot = slot
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = match self.begun_idle().await {
            Some(connection) => connection,
            None => begun(self.session().await?).await?,
        };
        Ok(Tx {
            connection,
            idle: Arc::clone(&self.idle),
            _slot: slot,
        })
    }

    async fn begun_idle(&self) -> Option<PgConnection> {
        loop {
            let (connection, since) = lock(&self.idle).pop()?;
            if since.elapsed() < IDLE
                && let Ok(connection) = begun(connection).await
            {
                return Some(connection);
            }
        }
    }

    /// A connection of the caller's own, outside any transaction: for the migrator alone, which needs a session.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn session(&self) -> Result<PgConnection, DatabaseError> {
        match self.connect(&self.url.get().await?).await {
            // The password was rotated under a warm sandbox.
            Err(DatabaseError::Sql(error)) if is_refused_login(&error) => {
                self.connect(&self.url.refreshed().await?).await
            }
            connected => connected,
        }
    }

    /// Says goodbye on every idle connection, for whoever must leave none behind.
    pub async fn close(self) {
        let idle = std::mem::take(&mut *lock(&self.idle));
        for (connection, _) in idle {
            // Gone is gone.
            let _ = connection.close().await;
        }
    }

    async fn connect(&self, url: &SecretString) -> Result<PgConnection, DatabaseError> {
        let options = self.options(url)?;
        let connected = timeout(PATIENCE, PgConnection::connect_with(&options)).await;
        Ok(connected.map_err(|_| sqlx::Error::PoolTimedOut)??)
    }

    fn options(&self, url: &SecretString) -> Result<PgConnectOptions, DatabaseError> {
        // sqlx's own error quotes the URL.
        PgConnectOptions::from_str(url.expose_secret())
            .map(|options| options.application_name("communications"))
            .map_err(|_| DatabaseError::Config(self.url.invalid("it must be a Postgres URL")))
    }
}

fn is_refused_login(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("28"))
}

fn lock(idle: &Idle) -> std::sync::MutexGuard<'_, Vec<(PgConnection, Instant)>> {
    // A panic elsewhere cannot leave the list half written.
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn begun(mut connection: PgConnection) -> Result<PgConnection, sqlx::Error> {
    sqlx::raw_sql("begin").execute(&mut connection).await?;
    Ok(connection)
}

/// One transaction. Dropped without [`Tx::commit`], it never happened: its connection is closed, which frees what it had
/// locked at once, also in a sandbox that freezes.
#[derive(Debug)]
pub struct Tx {
    connection: PgConnection,
    idle: Idle,
    _slot: OwnedSemaphorePermit,
}

impl Tx {
    /// What `sqlx::query!` and its relatives run on.
    pub fn conn(&mut self) -> Unnamed<'_> {
        Unnamed(&mut self.connection)
    }

    /// # Errors
    /// When the commit did not succeed; whether it happened is then unknown, as with any database.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        self.end("commit").await
    }

    /// Undoes everything and keeps the connection, for refusals that are nothing special.
    ///
    /// # Errors
    /// When the database does not answer; everything is undone then too.
    pub async fn rollback(self) -> Result<(), DatabaseError> {
        self.end("rollback").await
    }

    async fn end(mut self, how: &'static str) -> Result<(), DatabaseError> {
        sqlx::raw_sql(how).execute(&mut self.connection).await?;
        lock(&self.idle).push((self.connection, Instant::now()));
        Ok(())
    }
}

/// Runs every statement unnamed.
#[derive(Debug)]
pub struct Unnamed<'c>(&'c mut PgConnection);

struct Once<E>(E);

impl<'q, E: Execute<'q, Postgres>> Execute<'q, Postgres> for Once<E> {
    fn sql(self) -> SqlStr {
        self.0.sql()
    }

    fn statement(&self) -> Option<&<Postgres as sqlx::Database>::Statement> {
        self.0.statement()
    }

    fn take_arguments(
        &mut self,
    ) -> Result<Option<<Postgres as sqlx::Database>::Arguments>, sqlx::error::BoxDynError> {
        self.0.take_arguments()
    }

    fn persistent(&self) -> bool {
        false
    }
}

impl<'c> Executor<'c> for Unnamed<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.0.fetch_many(Once(query))
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.0.fetch_optional(Once(query))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<<Postgres as sqlx::Database>::Statement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.prepare_with(sql, parameters)
    }

    fn describe<'e>(
        self,
        sql: SqlStr,
    ) -> BoxFuture<'e, Result<sqlx::Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.0.describe(sql)
    }
}
