//! Channel accounts and their credentials.

pub mod accounts;
pub mod vault;

pub use accounts::{ActiveAccount, OwnedAccount};
pub use vault::{Vault, VaultError};
