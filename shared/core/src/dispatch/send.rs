//! One claimed message to its provider: credentials from the vault, content into a command, command to the adapter.
//!
//! Whatever goes wrong is an outcome: the caller settles every claimed message, always. Which adapter an account needs is
//! its `provider`; what the adapter must know of the account stands in `provider_config.public` (docs/adding-a-channel.md).

use super::claim::{Claimed, Sender};
use crate::channels::vault::{Owner, ProviderConfig};
use crate::channels::{Vault, VaultError};
use crate::model::MessageId;
use crate::platform::Aws;
use crate::platform::config::Secret;
use comms_providers::eum::{EumClient, EumSender};
use comms_providers::ses::{SesClient, SesSender, reply_token};
use comms_providers::sns::{SnsClient, SnsSender};
use comms_providers::whatsapp::{WhatsAppClient, WhatsAppSender};
use comms_providers::{Content, OutcomeClass, Recipient, Refusal, SendMessageCommand, SendOutcome};
use serde::{Deserialize, de::DeserializeOwned};
use std::time::Duration;
use tokio::sync::OnceCell;

/// The adapters, one for each provider. Those that speak to AWS are made when the first message needs them.
#[derive(Debug)]
pub struct Adapters {
    aws: Aws,
    vault: Vault,
    reply_secrets: Secret,
    whatsapp: WhatsAppClient,
    ses: OnceCell<SesClient>,
    sns: OnceCell<SnsClient>,
    eum: OnceCell<EumClient>,
}

impl Adapters {
    /// `reply_secrets` sign the addresses that answers to emails go to: a list, of which the first signs.
    #[must_use]
    pub fn new(aws: &Aws, vault: Vault, reply_secrets: Secret, whatsapp: WhatsAppClient) -> Self {
        Self {
            aws: aws.clone(),
            vault,
            reply_secrets,
            whatsapp,
            ses: OnceCell::new(),
            sns: OnceCell::new(),
            eum: OnceCell::new(),
        }
    }

    pub async fn send(&self, message: &Claimed) -> SendOutcome {
        self.try_send(message)
            .await
            .unwrap_or_else(SendOutcome::Refused)
    }

    async fn try_send(&self, message: &Claimed) -> Result<SendOutcome, Refusal> {
        let command = command(message)?;
        let sender = &message.sender;
        match sender.provider.as_str() {
            "META" => self.send_whatsapp(message, &command).await,
            "SES" => {
                let settings = self.ses_sender(message, settings(sender)?).await?;
                let client = self
                    .ses
                    .get_or_init(async || SesClient::new(self.aws.config().await));
                Ok(client.await.send(&settings, &command).await)
            }
            "SNS" => {
                let settings: SnsSettings = settings(sender)?;
                let client = self
                    .sns
                    .get_or_init(async || SnsClient::new(self.aws.config().await));
                Ok(client.await.send(&settings.into(), &command).await)
            }
            "EUM_SMS" => {
                let settings = eum_sender(message, settings(sender)?);
                let client = self
                    .eum
                    .get_or_init(async || EumClient::new(self.aws.config().await));
                Ok(client.await.send(&settings, &command).await)
            }
            _ => Err(Refusal::new(
                OutcomeClass::AccountConfig,
                "no-adapter",
                "this build has no adapter for the account's provider",
            )),
        }
    }

    async fn ses_sender(
        &self,
        message: &Claimed,
        settings: SesSettings,
    ) -> Result<SesSender, Refusal> {
        let reply_to = match &settings.reply_domain {
            Some(domain) => Some(self.reply_address(message, domain).await?),
            None => None,
        };
        Ok(SesSender {
            from_address: settings.from_address,
            from_name: settings.from_name,
            reply_domain: settings.reply_domain,
            reply_to,
            unsubscribe_url: settings.unsubscribe_url,
            configuration_set: settings.configuration_set,
            tenant_name: settings.tenant_name,
            tags: echoed(message),
        })
    }

    /// An email without it would be answered into nowhere, so it waits until there is a secret.
    async fn reply_address(&self, message: &Claimed, domain: &str) -> Result<String, Refusal> {
        let refusal = |reason: &str| Refusal::new(OutcomeClass::Retryable, "reply-secret", reason);
        let secrets = self.reply_secrets.list().await.map_err(|error| {
            tracing::error!(%error, "an email waits for the secret of its reply address");
            refusal("the secret of reply addresses was not read")
        })?;
        let secret = secrets
            .first()
            .ok_or_else(|| refusal("there is no secret of reply addresses"))?;
        let local = reply_token::sign(secret, message.tenant.0, message.message.0);
        Ok(format!("{local}@{domain}"))
    }

    async fn send_whatsapp(
        &self,
        message: &Claimed,
        command: &SendMessageCommand,
    ) -> Result<SendOutcome, Refusal> {
        let owner = Owner {
            tenant: message.tenant,
            account: message.sender.account,
        };
        let sender = (&*message.sender, Some(message.message));
        let accepted = self.as_number(owner, sender, async |number| {
            match self.whatsapp.send(number, command).await {
                SendOutcome::Accepted(accepted) => Ok(accepted),
                SendOutcome::Refused(refusal) => Err(refusal),
            }
        });
        accepted.await.map(SendOutcome::Accepted)
    }

    /// Tells the contact that this message of theirs was read, and those before it.
    ///
    /// # Errors
    /// Why the provider was not told, or did not take it.
    pub(super) async fn mark_read(
        &self,
        owner: Owner,
        sender: &Sender,
        message: &str,
        typing: bool,
    ) -> Result<(), Refusal> {
        let told = self.as_number(owner, (sender, None), async |number| {
            self.whatsapp.mark_read(number, message, typing).await
        });
        told.await
    }

    /// With the newest credentials; while they rotate, and the newest are refused, also with the ones before. What is refused for
    /// its credentials was not done, so asking twice does it once.
    async fn as_number<T>(
        &self,
        owner: Owner,
        (sender, message): (&Sender, Option<MessageId>),
        call: impl AsyncFn(&WhatsAppSender) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let config = config(sender)?;
        let phone_number_id = sender.external_account_id.as_ref().ok_or_else(|| {
            Refusal::new(
                OutcomeClass::AccountConfig,
                "no-sender",
                "the account has no phone number id",
            )
        })?;
        let mut refused = None;
        for envelope in config.usable(message) {
            let opened = self.vault.open(owner, envelope).await;
            let credentials = opened.map_err(|error| vault_refusal(&error))?;
            let number = WhatsAppSender {
                phone_number_id: phone_number_id.clone(),
                access_token: credentials.access_token,
            };
            match call(&number).await {
                Err(refusal) if refusal.class == OutcomeClass::Auth => {
                    refused.get_or_insert(refusal);
                }
                answer => return answer,
            }
        }
        Err(refused.unwrap_or_else(|| {
            Refusal::new(
                OutcomeClass::Auth,
                "vault",
                "the account has no credentials",
            )
        }))
    }
}

fn config(sender: &Sender) -> Result<&ProviderConfig, Refusal> {
    sender.config.as_ref().ok_or_else(|| {
        Refusal::new(
            OutcomeClass::AccountConfig,
            "provider-config",
            "provider_config does not read",
        )
    })
}

/// The public half of `provider_config`, as the adapter wants it.
fn settings<T: DeserializeOwned>(sender: &Sender) -> Result<T, Refusal> {
    let public = config(sender)?.public.clone();
    serde_json::from_value(public.into()).map_err(|_| {
        Refusal::new(
            OutcomeClass::AccountConfig,
            "provider-config",
            "provider_config.public does not read",
        )
    })
}

/// `provider_config.public` of an email account.
#[derive(Deserialize)]
struct SesSettings {
    from_address: String,
    from_name: Option<String>,
    reply_domain: Option<String>,
    unsubscribe_url: Option<String>,
    configuration_set: Option<String>,
    tenant_name: Option<String>,
}

/// `provider_config.public` of an SMS account at SNS.
#[derive(Deserialize)]
struct SnsSettings {
    sender_id: Option<String>,
    origination_number: Option<String>,
    max_price: Option<String>,
}

impl From<SnsSettings> for SnsSender {
    fn from(settings: SnsSettings) -> Self {
        Self {
            sender_id: settings.sender_id,
            origination_number: settings.origination_number,
            max_price: settings.max_price,
        }
    }
}

/// `provider_config.public` of an SMS account at End User Messaging.
#[derive(Deserialize)]
struct EumSettings {
    origination_identity: Option<String>,
    configuration_set: Option<String>,
    max_price: Option<String>,
    time_to_live_seconds: Option<u64>,
}

fn eum_sender(message: &Claimed, settings: EumSettings) -> EumSender {
    EumSender {
        origination_identity: settings.origination_identity,
        configuration_set: settings.configuration_set,
        max_price: settings.max_price,
        time_to_live: settings.time_to_live_seconds.map(Duration::from_secs),
        context: echoed(message),
    }
}

/// What comes back with every report beside the message's id, and says whose it is.
fn echoed(message: &Claimed) -> Vec<(String, String)> {
    vec![
        ("tenant_id".to_owned(), message.tenant.to_string()),
        ("account_id".to_owned(), message.sender.account.to_string()),
    ]
}

/// KMS away: known not sent, later. A broken envelope: the account must be connected again.
fn vault_refusal(error: &VaultError) -> Refusal {
    let class = if error.is_transient() {
        OutcomeClass::Retryable
    } else {
        OutcomeClass::Auth
    };
    Refusal::new(class, "vault", error.to_string())
}

fn command(message: &Claimed) -> Result<SendMessageCommand, Refusal> {
    let content: Content = Deserialize::deserialize(&message.content).map_err(|_| {
        Refusal::new(
            OutcomeClass::PermanentContent,
            "content",
            "the stored content does not read",
        )
    })?;
    Ok(SendMessageCommand {
        correlation_id: message.message.0,
        recipient: recipient(&message.address),
        content,
        reply_to: message.reply_to.clone(),
        expires_in: message.expires_in,
    })
}

/// Addresses are stored as they are dialled, and no two kinds look alike.
fn recipient(address: &str) -> Recipient {
    if address.starts_with('+') {
        Recipient::Phone(address.to_owned())
    } else if address.contains('@') {
        Recipient::Email(address.to_owned())
    } else {
        Recipient::WhatsAppUser(address.to_owned())
    }
}
