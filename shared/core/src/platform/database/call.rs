//! One function of the database in one message of the simple protocol: JSON in, JSON out.

use super::DatabaseError;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{AssertSqlSafe, PgConnection, Row};

/// The call as SQL text. The argument travels as hexadecimal digits: whatever it holds, it cannot end the literal.
pub(super) fn call(
    function: &'static str,
    argument: &impl Serialize,
) -> Result<String, DatabaseError> {
    let argument =
        serde_json::to_vec(argument).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let mut digits = vec![0; 2 * argument.len()];
    // hex::encode would collect them one by one.
    hex::encode_to_slice(&argument, &mut digits)
        .map_err(|error| sqlx::Error::Encode(error.into()))?;
    let digits = String::from_utf8(digits).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(format!(
        "select communications.{function}(convert_from(decode('{digits}', 'hex'), 'UTF8')::jsonb)::text"
    ))
}

/// Runs the text, which holds one `select`, and answers its one value.
pub(super) async fn ask(connection: &mut PgConnection, sql: String) -> Result<String, sqlx::Error> {
    // All of it: what comes after the row may be the commit.
    let rows = sqlx::raw_sql(AssertSqlSafe(sql))
        .fetch_all(connection)
        .await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.try_get::<Option<String>, _>(0)?.unwrap_or_default())
}

pub(super) async fn asked(
    mut connection: PgConnection,
    sql: String,
) -> Result<(PgConnection, String), sqlx::Error> {
    let answer = ask(&mut connection, sql).await?;
    Ok((connection, answer))
}

/// A function that answers nothing answers `null`.
pub(super) fn read<T: DeserializeOwned>(answer: &str) -> Result<T, DatabaseError> {
    let answer = if answer.is_empty() { "null" } else { answer };
    serde_json::from_str(answer).map_err(|error| sqlx::Error::Decode(error.into()).into())
}
