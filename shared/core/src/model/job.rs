//! `DispatchMessageJob`: the hint that travels through SQS.
//!
//! It names a row and nothing else: no address, no content. Losing, repeating or reordering it changes nothing.

use super::{MessageId, TenantId};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// "This message may be due." Shape on the wire: `{"v":1,"tenant_id":"…","message_id":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DispatchMessageJob {
    v: u8,
    pub tenant_id: TenantId,
    pub message_id: MessageId,
}

/// A queue body that is not a job of ours. Retrying cannot mend it.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Without serde's text, which quotes the body.
    #[error("not a DispatchMessageJob, column {column}")]
    Malformed { column: usize },
    #[error("DispatchMessageJob of version {0}, this build knows {VERSION}")]
    Version(u8),
}

impl DispatchMessageJob {
    #[must_use]
    pub fn new(tenant_id: TenantId, message_id: MessageId) -> Self {
        Self {
            v: VERSION,
            tenant_id,
            message_id,
        }
    }

    /// # Errors
    /// When the body is not JSON of this shape, or of another version.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let job: Self = serde_json::from_str(body).map_err(|error| JobError::Malformed {
            column: error.column(),
        })?;
        if job.v == VERSION {
            Ok(job)
        } else {
            Err(JobError::Version(job.v))
        }
    }

    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_survives_the_queue_and_carries_only_ids() {
        let job = DispatchMessageJob::new(TenantId::generate(), MessageId::generate());
        let body = job.body();
        assert_eq!(DispatchMessageJob::parse(&body).unwrap(), job);
        let keys: Vec<String> = serde_json::from_str::<serde_json::Map<_, _>>(&body)
            .unwrap()
            .into_iter()
            .map(|(k, _)| k)
            .collect();
        assert_eq!(keys, ["message_id", "tenant_id", "v"]);
    }

    #[test]
    fn another_version_is_refused() {
        let body = DispatchMessageJob::new(TenantId::generate(), MessageId::generate())
            .body()
            .replace("\"v\":1", "\"v\":2");
        assert!(matches!(
            DispatchMessageJob::parse(&body),
            Err(JobError::Version(2))
        ));
    }
}
