//! Channel accounts: how they come to be, their life, and their credentials.

pub mod accounts;
pub mod health;
pub mod lifecycle;
pub mod provisioning;
pub mod rotation;
pub mod usage;
pub mod vault;
pub mod whatsapp;

pub use accounts::{ActiveAccount, OwnedAccount};
pub use vault::{Vault, VaultError};

use crate::platform::{DatabaseError, hasura::ActionError};

/// Why something was not done with an account.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The caller's to mend, or simply how things stand.
    #[error(transparent)]
    Refused(#[from] ActionError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Vault(#[from] VaultError),
}
