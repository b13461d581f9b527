//! The body of a cron trigger call.
//!
//! Hasura makes its ticks in advance and calls at least once: late, twice, or never, when a tick is older than its tolerance.
//! So nothing may depend on the planned time; it is there to tell two ticks apart.

use super::{ActionError, without_values};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One tick. `created_at` and `comment` may be there or not, and are not read.
#[derive(Debug, Deserialize)]
pub struct CronRequest {
    pub id: String,
    pub name: String,
    /// When it was planned. With the name it is the tick's identity: a repeat has the same.
    pub scheduled_time: String,
    #[serde(default)]
    payload: Option<Value>,
}

impl CronRequest {
    /// What the metadata's `payload` says; the default where it says nothing.
    ///
    /// # Errors
    /// `validation-failed` naming the member.
    pub fn arguments<T: DeserializeOwned + Default>(&self) -> Result<T, ActionError> {
        match &self.payload {
            None | Some(Value::Null) => Ok(T::default()),
            Some(payload) => T::deserialize(payload).map_err(|error| {
                ActionError::invalid(format!("payload: {}", without_values(&error)))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_version_may_leave_out_is_not_missed() {
        let whole = json!({
            "id": "i", "name": "n", "scheduled_time": "2026-11-23T10:00:00Z", "payload": {"days": 3},
            "comment": "c", "created_at": "2026-11-23T10:00:00Z"
        });
        let bare = json!({"id": "i", "name": "n", "scheduled_time": "2026-11-23T10:00:00Z"});
        let read = |body: Value| -> CronRequest { serde_json::from_value(body).unwrap() };
        assert_eq!(
            read(whole).arguments::<Value>().unwrap(),
            json!({"days": 3})
        );
        assert_eq!(read(bare).arguments::<Value>().unwrap(), Value::Null);
    }
}
