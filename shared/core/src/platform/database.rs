//! The database: always an explicit transaction, always unnamed statements.
//!
//! Behind a transaction pooler both halves are needed: a named statement may be another session's, and outside a
//! transaction the pooler may switch backends between `Parse` and `Bind` and answer with somebody else's rows, without
//! an error. [`Tx::conn`] is therefore the only way to run SQL, beside [`Tx::call`]: one function of the database, JSON in and
//! JSON out, in one message of the simple protocol. That is one round trip where a statement with parameters takes two, it
//! begins or commits in the same breath, and being one message it is safe behind a pooler.

mod call;
mod unnamed;

pub use unnamed::Unnamed;

use super::config::{ConfigError, Secret};
use call::{ask, asked, call, read};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};
use std::{
    borrow::Cow,
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
        sqlx::Error::Encode(_) => "a value does not encode".to_owned(),
        other => other.to_string(),
    }
}

impl DatabaseError {
    /// The database's own word for it (SQLSTATE).
    fn code(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => error.code(),
            _ => None,
        }
    }

    /// Is it about some row, so that the same call without that row may well succeed?
    #[must_use]
    pub fn is_about_rows(&self) -> bool {
        let code = self.code();
        self.is_bad_data()
            || code.is_some_and(|code| code.starts_with("23") || code.starts_with("P0"))
    }

    /// Was it too much for one transaction (locks, memory)? Less of it at a time may well succeed.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        let code = self.code();
        code.is_some_and(|code| code == "53200" || code.starts_with("54"))
    }

    /// Was something locked by others for longer than the transaction was to wait? Then nothing was committed.
    #[must_use]
    pub fn is_lock_timeout(&self) -> bool {
        self.code().as_deref() == Some("55P03")
    }

    /// Did the database itself say no? Then nothing was committed.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Sql(sqlx::Error::Database(_)))
    }

    /// Does the database lack a table, a view or a column that was asked for?
    #[must_use]
    pub fn is_undefined(&self) -> bool {
        matches!(self.code().as_deref(), Some("42P01" | "42703"))
    }

    /// Is it the data that does not fit (a null, a zone that does not exist), so that the same call never succeeds?
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => {
                error.code().is_some_and(|code| code.starts_with("22"))
            }
            Self::Sql(
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_),
            ) => true,
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
    url: Arc<Secret>,
    slots: Arc<Semaphore>,
    idle: Idle,
}

type Idle = Arc<Mutex<Vec<(PgConnection, Instant)>>>;

impl Database {
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self {
            url: Arc::new(url),
            slots: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Idle::default(),
        }
    }

    /// The same database, with so many connections at most beside those of the original: for a process that serves many
    /// events at a time, of which some must not wait for others. Idle connections are everybody's.
    #[must_use]
    pub fn beside(&self, connections: usize) -> Self {
        Self {
            url: Arc::clone(&self.url),
            slots: Arc::new(Semaphore::new(connections)),
            idle: Arc::clone(&self.idle),
        }
    }

    /// # Errors
    /// When the URL cannot be had or no connection can be made within three seconds.
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        let slot = self.slot().await?;
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

    /// Begins a transaction with the call of a function, in one round trip. The function may be called twice (when the kept
    /// connection turns out dead), of which one call never happened.
    ///
    /// # Errors
    /// As [`Database::begin`] and [`Tx::call`].
    pub async fn begin_with<T: DeserializeOwned>(
        &self,
        function: &'static str,
        argument: &impl Serialize,
    ) -> Result<(Tx, T), DatabaseError> {
        let sql = format!("begin; {}", call(function, argument)?);
        self.first(sql).await
    }

    /// Calls a function as a transaction of its own, in one round trip. It must be one that may happen twice: a connection
    /// that dies in between does not say whether it did.
    ///
    /// # Errors
    /// As [`Database::begin`] and [`Tx::call`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        function: &'static str,
        argument: &impl Serialize,
    ) -> Result<T, DatabaseError> {
        let (tx, answer) = self.first(call(function, argument)?).await?;
        tx.keep();
        Ok(answer)
    }

    /// The first message on a connection: it finds out whether a kept one still lives.
    async fn first<T: DeserializeOwned>(&self, sql: String) -> Result<(Tx, T), DatabaseError> {
        let slot = self.slot().await?;
        let kept = lock(&self.idle).pop();
        let kept = kept.filter(|(_, since)| since.elapsed() < IDLE);
        let begun = match kept {
            Some((connection, _)) => match asked(connection, sql.clone()).await {
                Err(error) if has_ended_session(&error) => None,
                begun => Some(begun?),
            },
            None => None,
        };
        let (connection, answer) = match begun {
            Some(begun) => begun,
            None => asked(self.session().await?, sql).await?,
        };
        let tx = Tx {
            connection,
            idle: Arc::clone(&self.idle),
            _slot: slot,
        };
        Ok((tx, read(&answer)?))
    }

    async fn slot(&self) -> Result<OwnedSemaphorePermit, DatabaseError> {
        let slot = timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned()).await;
        Ok(slot
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?)
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
        // sqlx's own error quotes the URL, and its warning of a slow statement the whole statement: with a call of the
        // simple protocol that is the payload, numbers and texts of people included.
        PgConnectOptions::from_str(url.expose_secret())
            .map(|options| options.application_name("communications"))
            .map(ConnectOptions::disable_statement_logging)
            .map_err(|_| DatabaseError::Config(self.url.invalid("it must be a Postgres URL")))
    }
}

/// Was it the session that failed, and not what was asked of it? A database that restarts or loses patience may say so (class 57P, and 08 of
/// what stands between) before it hangs up.
fn has_ended_session(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else {
        return true;
    };
    let code = error.code();
    code.is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
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

    /// Calls a function of the schema in one round trip: JSON in, JSON out.
    ///
    /// # Errors
    /// When the database does not answer or refuses, or the answer is not what the caller takes.
    pub async fn call<T: DeserializeOwned>(
        &mut self,
        function: &'static str,
        argument: &impl Serialize,
    ) -> Result<T, DatabaseError> {
        read(&ask(&mut self.connection, call(function, argument)?).await?)
    }

    /// As [`Tx::call`] and [`Tx::commit`], together in one round trip.
    ///
    /// # Errors
    /// As theirs.
    pub async fn commit_with<T: DeserializeOwned>(
        mut self,
        function: &'static str,
        argument: &impl Serialize,
    ) -> Result<T, DatabaseError> {
        let sql = format!("{}; commit", call(function, argument)?);
        let answer = ask(&mut self.connection, sql).await?;
        self.keep();
        read(&answer)
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
        self.keep();
        Ok(())
    }

    /// Its transaction is over: the connection may serve the next one.
    fn keep(self) {
        lock(&self.idle).push((self.connection, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_statement_is_logged_however_slow() {
        let url = SecretString::from("postgres://somebody@localhost/communications");
        let database = Database::new(Secret::of("DATABASE_URL", url.clone()));
        let options = database.options(&url).expect("a Postgres URL");
        // The settings are shown nowhere else.
        let shown = format!("{options:?}");
        for level in ["statements_level", "slow_statements_level"] {
            assert!(shown.contains(&format!(" {level}: Off")), "{shown}");
        }
    }
}
