//! What messages cost, counted into `usage_daily` (migrations/0037).

use crate::platform::{DatabaseError, Tx};

/// Counts what providers said since the last time. Answers how many days of tenants were counted anew.
///
/// # Errors
/// When the database does not answer; what was counted before stays.
pub async fn roll_up(tx: &mut Tx) -> Result<i32, DatabaseError> {
    let days = sqlx::query_scalar!(r#"select communications.roll_up_usage() as "days!""#)
        .fetch_one(tx.conn())
        .await?;
    Ok(days)
}
