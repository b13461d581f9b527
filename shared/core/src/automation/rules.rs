//! The channel decision matrix: the tenant's rule for a trigger, else the platform's.

use super::registry::Trigger;
use crate::model::{Category, Channel, Lane, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde::Deserialize;
use time::Duration;

/// How a trigger is answered.
#[derive(Debug, Clone)]
pub struct Rule {
    pub steps: Vec<Step>,
    pub category: Category,
    pub lane: Lane,
    pub expires_after: Duration,
}

/// One channel in the order of preference.
#[derive(Debug, Clone, Deserialize)]
pub struct Step {
    pub channel: Channel,
}

/// `None` when the trigger is switched off or has no rule.
///
/// # Errors
/// When the database does not answer, or holds a rule that does not read.
pub async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    trigger: &Trigger,
) -> Result<Option<Rule>, DatabaseError> {
    let row = sqlx::query!(
        r#"select steps, category, lane, enabled, extract(epoch from expires_after)::float8 as "expires_after!"
             from communications.notification_rules
            where tenant_id in ($1, communications.platform_tenant()) and trigger_event = $2 and audience = $3
            order by tenant_id = $1 desc
            limit 1"#,
        tenant.0,
        trigger.event,
        trigger.audience
    )
    .fetch_optional(tx.conn())
    .await?;
    let Some(row) = row.filter(|row| row.enabled) else {
        return Ok(None);
    };
    let decode = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
    Ok(Some(Rule {
        steps: serde_json::from_value(row.steps).map_err(|error| decode(error.into()))?,
        category: row
            .category
            .parse()
            .map_err(|error: crate::model::UnknownWord| decode(error.into()))?,
        lane: row
            .lane
            .parse()
            .map_err(|error: crate::model::UnknownWord| decode(error.into()))?,
        expires_after: Duration::seconds_f64(row.expires_after),
    }))
}
