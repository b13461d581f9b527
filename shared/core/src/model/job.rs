//! The jobs that travel through SQS: `DispatchMessageJob` and `FetchMediaJob`, hints both.
//!
//! A job names a row and nothing else: no address, no content. Losing, repeating or reordering it changes nothing.

use super::{MediaId, MessageId, TenantId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

const VERSION: u8 = 1;

/// "This message may be due." Shape on the wire: `{"v":1,"tenant_id":"…","message_id":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DispatchMessageJob {
    v: u8,
    pub tenant_id: TenantId,
    pub message_id: MessageId,
}

/// "This file may be due to be fetched." Shape on the wire: `{"v":1,"tenant_id":"…","media_id":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FetchMediaJob {
    v: u8,
    pub tenant_id: TenantId,
    pub media_id: MediaId,
}

/// A queue body that is not a job of ours. Retrying cannot mend it.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Without serde's text, which quotes the body.
    #[error("not a {job}, column {column}")]
    Malformed { job: &'static str, column: usize },
    #[error("{job} of version {version}, this build knows {VERSION}")]
    Version { job: &'static str, version: u8 },
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
        let job: Self = read(body, "DispatchMessageJob")?;
        known(job.v, "DispatchMessageJob").map(|()| job)
    }

    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl FetchMediaJob {
    #[must_use]
    pub fn new(tenant_id: TenantId, media_id: MediaId) -> Self {
        Self {
            v: VERSION,
            tenant_id,
            media_id,
        }
    }

    /// # Errors
    /// When the body is not JSON of this shape, or of another version.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let job: Self = read(body, "FetchMediaJob")?;
        known(job.v, "FetchMediaJob").map(|()| job)
    }

    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

fn read<T: DeserializeOwned>(body: &str, job: &'static str) -> Result<T, JobError> {
    serde_json::from_str(body).map_err(|error| JobError::Malformed {
        job,
        column: error.column(),
    })
}

fn known(version: u8, job: &'static str) -> Result<(), JobError> {
    if version == VERSION {
        Ok(())
    } else {
        Err(JobError::Version { job, version })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(body: &str) -> Vec<String> {
        let members: serde_json::Map<_, _> = serde_json::from_str(body).unwrap();
        members.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_job_survives_the_queue_and_carries_only_ids() {
        let job = DispatchMessageJob::new(TenantId::generate(), MessageId::generate());
        assert_eq!(DispatchMessageJob::parse(&job.body()).unwrap(), job);
        assert_eq!(members(&job.body()), ["message_id", "tenant_id", "v"]);
        let job = FetchMediaJob::new(TenantId::generate(), MediaId::generate());
        assert_eq!(FetchMediaJob::parse(&job.body()).unwrap(), job);
        assert_eq!(members(&job.body()), ["media_id", "tenant_id", "v"]);
    }

    #[test]
    fn another_version_and_another_job_are_refused() {
        let body = DispatchMessageJob::new(TenantId::generate(), MessageId::generate()).body();
        assert!(matches!(
            DispatchMessageJob::parse(&body.replace("\"v\":1", "\"v\":2")),
            Err(JobError::Version { version: 2, .. })
        ));
        let error = FetchMediaJob::parse(&body).unwrap_err().to_string();
        assert!(error.starts_with("not a FetchMediaJob, column"), "{error}");
    }
}
