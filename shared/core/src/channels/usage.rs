//! What messages cost, counted into `usage_daily`.

use crate::platform::{DatabaseError, Tx};
use std::time::Duration;

/// So many at a time: all of history is counted over some runs.
const MOST: i32 = 50_000;

/// Counts what providers said since the last time, not more often than `every`. Answers how many days of tenants were counted anew.
///
/// # Errors
/// When the database does not answer; what was counted before stays.
pub async fn roll_up(tx: &mut Tx, every: Duration) -> Result<i32, DatabaseError> {
    let days = sqlx::query_scalar!(
        r#"select communications.roll_up_usage($1 * interval '1 second', $2) as "days!""#,
        every.as_secs_f64(),
        MOST
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(days)
}
