//! What providers tell us becomes rows: verified, parsed and attributed, in one transaction a request.
//!
//! The whole payload counts. What belongs to the door's tenant is stored; what cannot be attributed or read goes to
//! quarantine, and the rest of the payload goes on.

mod accounts;
mod messages;
mod whatsapp;

pub use whatsapp::{Ingested, Verification, ingest, verify_subscription};

use crate::platform::{ConfigError, DatabaseError};
use comms_providers::whatsapp::signature::SignatureError;

/// Why a webhook call was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// Not from the provider. Nothing was looked at.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
