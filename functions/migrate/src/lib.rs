//! Applies the migrations on deploy, and names what the host's domain views lack.
//!
//! It takes a session lock, so it must be given the database's own endpoint and not a pooler's. Safe to run twice and at
//! the same time: the second waits and finds nothing to do.

use comms_core::platform::{Aws, ConfigError, Database, DatabaseError, Settings};
use serde::Serialize;
use sqlx::Connection;
use sqlx::migrate::{MigrateError, Migrator};

#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("migration")]
    Migrate(#[from] MigrateError),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The newest migration that the database now has.
    pub version: i64,
    /// `view.column: expected …, found …`; empty when the host keeps the contract.
    pub domain_contract_gaps: Vec<String>,
    /// `name = value` of each setting by which the database writes into its own log what people wrote.
    pub logs_of_statements: Vec<String>,
}

/// # Errors
/// Naming every setting that is missing.
pub fn database_from_env() -> Result<Database, ConfigError> {
    let mut settings = Settings::from_env();
    let database = Database::new(settings.secret("DATABASE_URL", &Aws::default()));
    settings.done().map(|()| database)
}

/// # Errors
/// When the database does not answer or a migration fails; the ones before it stay applied.
pub async fn handle(database: &Database) -> Result<Summary, MigrationError> {
    let migrator = migrator();
    let mut session = database.session().await?;
    migrator.run(&mut session).await?;
    session.close().await.map_err(DatabaseError::from)?;
    let gaps = gaps(database).await?;
    let logs_of_statements = logs_of_statements(database).await?;
    if !logs_of_statements.is_empty() {
        tracing::warn!(
            settings = ?logs_of_statements,
            "the database's own log gets what people write: see docs/runbook.md"
        );
    }
    let version = migrator
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or_default();
    if gaps.is_empty() {
        tracing::info!(version, "migrated");
    } else {
        tracing::warn!(
            version,
            ?gaps,
            "migrated; the host's domain views are not complete"
        );
    }
    Ok(Summary {
        version,
        domain_contract_gaps: gaps,
        logs_of_statements,
    })
}

/// A statement that failed, or took long, holds the payload; an error's detail holds the row.
async fn logs_of_statements(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut tx = database.begin().await?;
    let settings = sqlx::query_scalar!(
        r#"select format('%s = %s', name, setting) as "setting!" from pg_settings
            where name = 'log_min_error_statement' and setting not in ('fatal', 'panic')
               or name = 'log_error_verbosity' and setting <> 'terse'
               or name in ('log_min_duration_statement', 'log_min_duration_sample') and setting <> '-1'
               or name = 'log_statement' and setting <> 'none'
               or name in ('log_transaction_sample_rate', 'log_parameter_max_length_on_error') and setting <> '0'
               or name = 'auto_explain.log_min_duration' and setting <> '-1'
            order by name"#
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    Ok(settings)
}

/// The bookkeeping table lives in our schema: the host may keep migrations of its own.
fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.create_schema("communications");
    migrator.dangerous_set_table_name("communications._migrations");
    migrator
}

async fn gaps(database: &Database) -> Result<Vec<String>, DatabaseError> {
    let mut tx = database.begin().await?;
    let gaps = sqlx::query_scalar!(
        r#"select format('%s.%s: expected %s, found %s', view_name, column_name, expected, coalesce(found, 'nothing')) as "gap!"
             from communications.domain_contract_gaps order by view_name, column_name"#
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    Ok(gaps)
}
