//! One claimed message to its provider: credentials from the vault, content into a command, command to the adapter.
//!
//! Whatever goes wrong is an outcome: the caller settles every claimed message, always.

use super::claim::Claimed;
use crate::channels::vault::{Owner, ProviderConfig};
use crate::channels::{Vault, VaultError};
use comms_providers::whatsapp::{WhatsAppClient, WhatsAppSender};
use comms_providers::{Content, OutcomeClass, Recipient, Refusal, SendMessageCommand, SendOutcome};

/// Which adapter a message needs.
#[derive(Debug)]
pub struct Adapters {
    pub vault: Vault,
    pub whatsapp: WhatsAppClient,
}

impl Adapters {
    pub async fn send(&self, message: &Claimed) -> SendOutcome {
        match self.try_send(message).await {
            Ok(outcome) => outcome,
            Err(refusal) => SendOutcome::Refused(refusal),
        }
    }

    async fn try_send(&self, message: &Claimed) -> Result<SendOutcome, Refusal> {
        if message.provider != "META" {
            return Err(refuse(
                OutcomeClass::AccountConfig,
                "no-adapter",
                "this build has no adapter for the account's provider",
            ));
        }
        let sender = self.whatsapp_sender(message).await?;
        let command = command(message)?;
        Ok(self.whatsapp.send(&sender, &command).await)
    }

    async fn whatsapp_sender(&self, message: &Claimed) -> Result<WhatsAppSender, Refusal> {
        let phone_number_id = message.external_account_id.clone().ok_or_else(|| {
            refuse(
                OutcomeClass::AccountConfig,
                "no-sender",
                "the account has no phone number id",
            )
        })?;
        let config: ProviderConfig = serde_json::from_value(message.provider_config.clone())
            .map_err(|_| refuse(OutcomeClass::Auth, "vault", "provider_config does not read"))?;
        let owner = Owner {
            tenant: message.tenant,
            account: message.account,
        };
        let credentials = self
            .vault
            .open(owner, &config)
            .await
            .map_err(|error| vault_refusal(&error))?;
        Ok(WhatsAppSender {
            phone_number_id,
            access_token: credentials.access_token,
        })
    }
}

/// KMS away: known not sent, later. A broken envelope: the account must be connected again.
fn vault_refusal(error: &VaultError) -> Refusal {
    let class = if error.is_transient() {
        OutcomeClass::Retryable
    } else {
        OutcomeClass::Auth
    };
    refuse(class, "vault", &error.to_string())
}

fn command(message: &Claimed) -> Result<SendMessageCommand, Refusal> {
    let content: Content = serde_json::from_value(message.content.clone()).map_err(|_| {
        refuse(
            OutcomeClass::PermanentContent,
            "content",
            "the stored content does not read",
        )
    })?;
    let recipient = if message.address.starts_with('+') {
        Recipient::Phone(message.address.clone())
    } else {
        Recipient::WhatsAppUser(message.address.clone())
    };
    Ok(SendMessageCommand {
        correlation_id: message.message.0,
        recipient,
        content,
        reply_to: message.reply_to.clone(),
        expires_in: None,
    })
}

fn refuse(class: OutcomeClass, code: &str, reason: &str) -> Refusal {
    Refusal::new(class, code, reason)
}
