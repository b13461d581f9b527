//! The database: always an explicit transaction, always unnamed statements.
//!
//! Behind a transaction pooler both halves are needed: a named statement may be another session's, and outside a
//! transaction the pooler may switch backends between `Parse` and `Bind` and answer with somebody else's rows, without
//! an error. [`Tx::conn`] is therefore the only way to run SQL.

use super::config::{ConfigError, Secret};
use futures_util::{future::BoxFuture, stream::BoxStream};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgTypeInfo},
};
use std::{str::FromStr, time::Duration};
use tokio::sync::OnceCell;

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

/// Connects on first use; one or two connections a sandbox, checked after a freeze.
#[derive(Debug)]
pub struct Database {
    url: Secret,
    pool: OnceCell<PgPool>,
}

impl Database {
    #[must_use]
    pub fn new(url: Secret) -> Self {
        Self {
            url,
            pool: OnceCell::new(),
        }
    }

    /// # Errors
    /// When the URL cannot be had or no connection can be made within three seconds.
    pub async fn begin(&self) -> Result<Tx, DatabaseError> {
        let pool = self.pool().await?;
        let begun = match pool.begin().await {
            Err(error) if is_refused_login(&error) => {
                // The password was rotated under a warm sandbox.
                pool.set_connect_options(self.options(&self.url.refreshed().await?)?);
                pool.begin().await
            }
            begun => begun,
        };
        Ok(Tx(begun?))
    }

    /// For the migrator alone, which needs a session of its own.
    ///
    /// # Errors
    /// As [`Database::begin`].
    pub async fn pool(&self) -> Result<&PgPool, DatabaseError> {
        self.pool.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<PgPool, DatabaseError> {
        let options = self.options(&self.url.get().await?)?;
        Ok(PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(Duration::from_secs(3))
            .idle_timeout(Duration::from_secs(300))
            .test_before_acquire(true)
            .connect_lazy_with(options))
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

/// One transaction. Dropped without [`Tx::commit`], it never happened.
#[derive(Debug)]
pub struct Tx(Transaction<'static, Postgres>);

impl Tx {
    /// What `sqlx::query!` and its relatives run on.
    pub fn conn(&mut self) -> Unnamed<'_> {
        Unnamed(&mut self.0)
    }

    /// # Errors
    /// When the commit did not succeed; whether it happened is then unknown, as with any database.
    pub async fn commit(self) -> Result<(), DatabaseError> {
        Ok(self.0.commit().await?)
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
