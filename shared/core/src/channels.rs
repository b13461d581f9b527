//! Channel accounts: how they come to be, their life, and their credentials.

pub mod accounts;
pub mod email;
pub mod health;
pub mod lifecycle;
pub mod provisioning;
pub mod reputation;
pub mod rotation;
pub mod sms;
pub mod templates;
pub mod usage;
pub mod vault;
pub mod whatsapp;

pub use accounts::{ActiveAccount, OwnedAccount};
pub use vault::{Vault, VaultError};

use crate::platform::{DatabaseError, hasura::ActionError};
use aws_config::SdkConfig;
use comms_providers::eum::provision::EumProvisioner;
use comms_providers::ses::provision::SesProvisioner;

/// What provisioning calls at AWS: domains and senders of the platform's own account.
#[derive(Debug)]
pub struct Cloud {
    pub mail: email::Mail,
    pub sms: sms::Texts,
}

impl Cloud {
    /// `events_topic` is where configuration sets and numbers publish; `sms_pool` what tenants without a sender of their own share.
    #[must_use]
    pub fn of(config: &SdkConfig, events_topic: &str, sms_pool: &str) -> Self {
        Self {
            mail: email::Mail {
                ses: SesProvisioner::new(config),
                region: config.region().map(ToString::to_string).unwrap_or_default(),
                events_topic: events_topic.to_owned(),
            },
            sms: sms::Texts {
                eum: EumProvisioner::new(config),
                pool: sms_pool.to_owned(),
                events_topic: events_topic.to_owned(),
            },
        }
    }
}

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
