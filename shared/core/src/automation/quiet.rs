//! Quiet hours, in the recipient's own zone. The database knows the zones and their clocks' changes; here is decided whom to ask for.

use crate::platform::{DatabaseError, Tx};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use time::OffsetDateTime;

/// Where neither the recipient nor the tenant says one.
const UTC: &str = "UTC";

/// `notification_rules.quiet_hours`: from a clock time to another, over midnight where the second is the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// `HH:MM`.
    pub from: String,
    pub to: String,
    pub action: QuietAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum QuietAction {
    /// It waits for the end of them.
    Hold,
    /// It is not said.
    Drop,
}

/// Until when it is quiet for whom, as of one instant.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    tenant_zone: String,
    zones: HashMap<String, Zone>,
}

/// What a recipient's word for their zone comes to.
#[derive(Debug)]
struct Zone {
    /// One that the database knows.
    name: String,
    until: Option<OffsetDateTime>,
}

impl Quiet {
    /// Asks once for all zones. A zone that the database does not know is the tenant's.
    pub(super) async fn at<'a>(
        tx: &mut Tx,
        hours: Option<&QuietHours>,
        tenant_zone: Option<&str>,
        zones: impl Iterator<Item = &'a str>,
        instant: OffsetDateTime,
    ) -> Result<Self, DatabaseError> {
        let Some(hours) = hours else {
            return Ok(Self::default());
        };
        let tenant_zone = tenant_zone.unwrap_or(UTC).to_owned();
        let mut zones: BTreeSet<String> = zones.map(str::to_owned).collect();
        zones.insert(tenant_zone.clone());
        let zones: Vec<String> = zones.into_iter().collect();
        let rows = sqlx::query!(
            r#"select z.zone as "zone!", k.name as "name!",
                      communications.quiet_until(k.name, $3::text::time, $4::text::time, $5) as until
                 from unnest($1::text[]) as z(zone)
                cross join lateral (
                   select case when communications.is_zone(z.zone) then z.zone when communications.is_zone($2) then $2 else 'UTC' end
                       as name) k"#,
            &zones,
            tenant_zone,
            hours.from,
            hours.to,
            instant
        )
        .fetch_all(tx.conn())
        .await?;
        let zones = rows.into_iter().map(|row| {
            let zone = Zone {
                name: row.name,
                until: row.until,
            };
            (row.zone, zone)
        });
        Ok(Self {
            zones: zones.collect(),
            tenant_zone,
        })
    }

    fn zone(&self, zone: Option<&str>) -> Option<&Zone> {
        self.zones.get(zone.unwrap_or(&self.tenant_zone))
    }

    /// `None` where it is not quiet now.
    pub(super) fn until(&self, zone: Option<&str>) -> Option<OffsetDateTime> {
        self.zone(zone)?.until
    }

    /// As a message carries them (`messages.quiet_hours`), so that they are asked again when it leaves.
    pub(super) fn of_message(&self, hours: &QuietHours, zone: Option<&str>) -> Value {
        let mut own = json!(hours);
        own["zone"] = json!(self.zone(zone).map_or(UTC, |zone| zone.name.as_str()));
        own
    }
}
