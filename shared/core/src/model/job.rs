//! The jobs that travel through SQS: `DispatchMessageJob`, `GiveReceiptJob` and `FetchMediaJob`, hints all of them.
//!
//! A job names a row and nothing else: no address, no content. Losing, repeating or reordering it changes nothing.

use super::{MediaId, MessageId, TenantId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

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

/// "The contact may be told that this message was read." Shape on the wire: `{"v":1,"tenant_id":"…","receipt_for":"…"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GiveReceiptJob {
    v: u8,
    pub tenant_id: TenantId,
    pub receipt_for: MessageId,
}

/// "The next step of this batch may be due." Shape on the wire: `{"v":1,"tenant_id":"…","batch_id":"…","cursor":3000}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchDispatchJob {
    v: u8,
    pub tenant_id: TenantId,
    pub batch_id: Uuid,
    /// How many recipients were decided about when it was published. The batch's row knows better by the time it comes.
    pub cursor: i32,
}

/// What a dispatch queue carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DispatchJob {
    Message(DispatchMessageJob),
    Receipt(GiveReceiptJob),
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

impl GiveReceiptJob {
    #[must_use]
    pub fn new(tenant_id: TenantId, receipt_for: MessageId) -> Self {
        Self {
            v: VERSION,
            tenant_id,
            receipt_for,
        }
    }

    /// # Errors
    /// When the body is not JSON of this shape, or of another version.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let job: Self = read(body, "GiveReceiptJob")?;
        known(job.v, "GiveReceiptJob").map(|()| job)
    }

    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl BatchDispatchJob {
    #[must_use]
    pub fn new(tenant_id: TenantId, batch_id: Uuid, cursor: i32) -> Self {
        Self {
            v: VERSION,
            tenant_id,
            batch_id,
            cursor,
        }
    }

    /// # Errors
    /// When the body is not JSON of this shape, or of another version.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let job: Self = read(body, "BatchDispatchJob")?;
        known(job.v, "BatchDispatchJob").map(|()| job)
    }

    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

impl DispatchJob {
    /// # Errors
    /// What is wrong with it as a `DispatchMessageJob`, if it is neither.
    pub fn parse(body: &str) -> Result<Self, JobError> {
        let message = DispatchMessageJob::parse(body);
        match message {
            Err(JobError::Malformed { .. }) => match GiveReceiptJob::parse(body) {
                Err(JobError::Malformed { .. }) => message.map(Self::Message),
                receipt => receipt.map(Self::Receipt),
            },
            message => message.map(Self::Message),
        }
    }

    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Message(job) => job.body(),
            Self::Receipt(job) => job.body(),
        }
    }

    #[must_use]
    pub fn tenant(&self) -> TenantId {
        match self {
            Self::Message(job) => job.tenant_id,
            Self::Receipt(job) => job.tenant_id,
        }
    }
}

impl From<DispatchMessageJob> for DispatchJob {
    fn from(job: DispatchMessageJob) -> Self {
        Self::Message(job)
    }
}

impl From<GiveReceiptJob> for DispatchJob {
    fn from(job: GiveReceiptJob) -> Self {
        Self::Receipt(job)
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
        assert_eq!(DispatchJob::parse(&job.body()).unwrap(), job.into());
        let job = GiveReceiptJob::new(TenantId::generate(), MessageId::generate());
        assert_eq!(DispatchJob::parse(&job.body()).unwrap(), job.into());
        assert_eq!(members(&job.body()), ["receipt_for", "tenant_id", "v"]);
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
        let receipt = GiveReceiptJob::new(TenantId::generate(), MessageId::generate());
        assert!(matches!(
            DispatchJob::parse(&receipt.body().replace("\"v\":1", "\"v\":2")),
            Err(JobError::Version { version: 2, .. })
        ));
        assert!(matches!(
            DispatchJob::parse("{}"),
            Err(JobError::Malformed {
                job: "DispatchMessageJob",
                ..
            })
        ));
        let error = FetchMediaJob::parse(&body).unwrap_err().to_string();
        assert!(error.starts_with("not a FetchMediaJob, column"), "{error}");
    }
}
