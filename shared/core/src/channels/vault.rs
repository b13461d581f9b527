//! The credentials vault: `seal` and `open` for the secrets in `provider_config`.
//!
//! An envelope is AES-256-GCM under a KMS data key. Tenant, account and version are both the KMS encryption context and
//! the AEAD's associated data, so that an envelope copied to another row opens nowhere, and a database dump without KMS
//! is noise. Opened secrets are kept in memory for five minutes at most and zeroised after.

use super::rotation::CANARY;
use crate::model::{AccountId, MessageId, TenantId};
use crate::platform::{Aws, config};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_sdk_kms::{primitives::Blob, types::DataKeySpec};
use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use zeroize::Zeroizing;

const FORMAT: u8 = 1;
const NONCE_BYTES: usize = 12;
const CACHE_FOR: Duration = Duration::from_secs(300);

/// `channel_accounts.provider_config`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// Settings that are no secret.
    #[serde(default)]
    pub public: serde_json::Map<String, serde_json::Value>,
    /// Sealed credentials, newest first; two while they rotate.
    #[serde(default)]
    pub secrets: Vec<Envelope>,
    /// What a provisioning was given and has not proven yet: nothing is sent by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Envelope>,
}

/// Envelopes that an account has at most: the one in use, and the one before it.
pub const LIVE_VERSIONS: usize = 2;

impl ProviderConfig {
    /// What a call may be made with, one after the other: the newest and the one before. An account's canary goes by the candidate or
    /// not at all (channels/rotation.rs).
    #[must_use]
    pub fn usable(&self, message: Option<MessageId>) -> Vec<&Envelope> {
        if message.is_some_and(|message| self.is_canary(message)) {
            self.candidate.iter().collect()
        } else {
            self.secrets.iter().take(LIVE_VERSIONS).collect()
        }
    }

    /// Does the candidate wait for this message?
    #[must_use]
    pub fn is_canary(&self, message: MessageId) -> bool {
        let canary = self.public.get(CANARY).and_then(|id| id.as_str());
        canary.is_some_and(|canary| canary == message.to_string())
    }

    /// Of what is sealed next.
    #[must_use]
    pub fn next_version(&self) -> u32 {
        let known = self.secrets.iter().chain(&self.candidate);
        known.map(Envelope::version).max().unwrap_or_default() + 1
    }
}

/// One sealed set of credentials. Binary members are base64.
#[derive(Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// Of this format.
    v: u8,
    /// Of the credentials: rises with every rotation.
    version: u32,
    key_id: String,
    data_key: String,
    nonce: String,
    ciphertext: String,
}

impl Envelope {
    /// Of the credentials: rises with every rotation.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The KMS key that wrapped its data key.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A provider's credentials in the clear. Never `Debug`-printed, never serialised outside an envelope.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub access_token: SecretString,
    /// Of a WhatsApp number: what it was registered with, and must be registered with again.
    pub pin: Option<SecretString>,
}

impl Credentials {
    #[must_use]
    pub fn of_token(access_token: SecretString) -> Self {
        Self {
            access_token,
            pin: None,
        }
    }
}

/// Whose credentials they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner {
    pub tenant: TenantId,
    pub account: AccountId,
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("KMS could not be used: {0}")]
    Kms(String),
    #[error("the envelope of account {account} does not open: {problem}")]
    Envelope {
        account: AccountId,
        problem: &'static str,
    },
}

impl VaultError {
    /// KMS being away passes; a broken envelope does not.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Kms(_))
    }
}

/// Seals and opens. Only the role of `channel-actions` may seal; the worker may only open.
#[derive(Debug)]
pub struct Vault {
    aws: Aws,
    key_id: String,
    opened: Mutex<HashMap<(Owner, u32), Opened>>,
}

#[derive(Debug)]
struct Opened {
    credentials: Credentials,
    /// A re-sealed envelope of the same version must not be answered from memory.
    ciphertext: String,
    at: Instant,
}

impl Vault {
    #[must_use]
    pub fn new(aws: &Aws, key_id: &str) -> Self {
        Self {
            aws: aws.clone(),
            key_id: key_id.to_owned(),
            opened: Mutex::default(),
        }
    }

    /// # Errors
    /// When KMS gives no data key.
    pub async fn seal(
        &self,
        owner: Owner,
        version: u32,
        credentials: &Credentials,
    ) -> Result<Envelope, VaultError> {
        let call = self
            .aws
            .kms()
            .await
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256);
        let answer = call
            .set_encryption_context(Some(context(owner, version)))
            .send()
            .await;
        let answer = answer.map_err(|error| VaultError::Kms(config::aws_code(&error)))?;
        let (Some(plain), Some(wrapped)) = (answer.plaintext, answer.ciphertext_blob) else {
            return Err(VaultError::Kms("no data key in the answer".to_owned()));
        };
        let key = Zeroizing::new(plain.into_inner());
        let mut bytes = plain_text(credentials).ok_or(VaultError::Envelope {
            account: owner.account,
            problem: "its content does not serialise",
        })?;
        let broken = |problem| VaultError::Envelope {
            account: owner.account,
            problem,
        };
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key)
            .map_err(|_| broken("data key of the wrong size"))?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(associated_data(owner, version)), &mut *bytes)
            .map_err(|_| broken("sealing failed"))?;
        Ok(Envelope {
            v: FORMAT,
            version,
            key_id: self.key_id.clone(),
            data_key: STANDARD.encode(wrapped.as_ref()),
            nonce: STANDARD.encode(nonce.as_ref()),
            ciphertext: STANDARD.encode(&*bytes),
        })
    }

    /// The credentials in one of an account's envelopes.
    ///
    /// # Errors
    /// `Kms` when KMS cannot be used now; `Envelope` when the account must be connected again.
    pub async fn open(&self, owner: Owner, envelope: &Envelope) -> Result<Credentials, VaultError> {
        if let Some(credentials) = self.cached(owner, envelope) {
            return Ok(credentials);
        }
        let credentials = self.decrypt(owner, envelope).await?;
        let entry = Opened {
            credentials: credentials.clone(),
            ciphertext: envelope.ciphertext.clone(),
            at: Instant::now(),
        };
        let mut opened = self.lock();
        opened.retain(|_, entry| entry.at.elapsed() < CACHE_FOR);
        opened.insert((owner, envelope.version), entry);
        drop(opened);
        Ok(credentials)
    }

    /// The same envelope with its data key under the key that this vault seals with: for when that is another one than it was. What
    /// is sealed, and its version, stay; `None` where there is nothing to do.
    ///
    /// # Errors
    /// As [`Vault::open`]: the old key must still decrypt.
    pub async fn rewrap(
        &self,
        owner: Owner,
        envelope: &Envelope,
    ) -> Result<Option<Envelope>, VaultError> {
        if envelope.key_id == self.key_id {
            return Ok(None);
        }
        let wrapped = STANDARD
            .decode(&envelope.data_key)
            .map_err(|_| VaultError::Envelope {
                account: owner.account,
                problem: "not base64",
            })?;
        let mut key = self.unwrap_data_key(owner, envelope, wrapped).await?;
        let call = self
            .aws
            .kms()
            .await
            .encrypt()
            .key_id(&self.key_id)
            .plaintext(Blob::new(std::mem::take(&mut *key)));
        let answer = call
            .set_encryption_context(Some(context(owner, envelope.version)))
            .send()
            .await
            .map_err(|error| VaultError::Kms(config::aws_code(&error)))?;
        let wrapped = answer
            .ciphertext_blob
            .ok_or_else(|| VaultError::Kms("no data key in the answer".to_owned()))?;
        Ok(Some(Envelope {
            key_id: self.key_id.clone(),
            data_key: STANDARD.encode(wrapped.as_ref()),
            ..envelope.clone()
        }))
    }

    fn cached(&self, owner: Owner, envelope: &Envelope) -> Option<Credentials> {
        let mut opened = self.lock();
        opened.retain(|_, entry| entry.at.elapsed() < CACHE_FOR);
        let entry = opened
            .get(&(owner, envelope.version))
            .filter(|entry| entry.ciphertext == envelope.ciphertext)?;
        Some(entry.credentials.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(Owner, u32), Opened>> {
        // A panic elsewhere cannot leave the map half written.
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn decrypt(&self, owner: Owner, envelope: &Envelope) -> Result<Credentials, VaultError> {
        let broken = |problem| VaultError::Envelope {
            account: owner.account,
            problem,
        };
        if envelope.v != FORMAT {
            return Err(broken("of a format that this build does not know"));
        }
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| broken("not base64"));
        let (wrapped, nonce) = (decode(&envelope.data_key)?, decode(&envelope.nonce)?);
        let mut sealed = Zeroizing::new(decode(&envelope.ciphertext)?);
        let nonce: [u8; NONCE_BYTES] = nonce
            .try_into()
            .map_err(|_| broken("nonce of the wrong size"))?;

        let key = self.unwrap_data_key(owner, envelope, wrapped).await?;
        let key = RandomizedNonceKey::new(&AES_256_GCM, &key)
            .map_err(|_| broken("data key of the wrong size"))?;
        let aad = Aad::from(associated_data(owner, envelope.version));
        let plain = key
            .open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| broken("it was sealed for another row, or changed"))?;
        parse(plain).ok_or_else(|| broken("its content is not credentials"))
    }

    async fn unwrap_data_key(
        &self,
        owner: Owner,
        envelope: &Envelope,
        wrapped: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let call = self
            .aws
            .kms()
            .await
            .decrypt()
            .key_id(&envelope.key_id)
            .ciphertext_blob(Blob::new(wrapped));
        match call
            .set_encryption_context(Some(context(owner, envelope.version)))
            .send()
            .await
        {
            Ok(answer) => {
                let plain = answer
                    .plaintext
                    .ok_or_else(|| VaultError::Kms("no key in the answer".to_owned()))?;
                Ok(Zeroizing::new(plain.into_inner()))
            }
            Err(error)
                if error.as_service_error().is_some_and(
                    aws_sdk_kms::operation::decrypt::DecryptError::is_invalid_ciphertext_exception,
                ) =>
            {
                Err(VaultError::Envelope {
                    account: owner.account,
                    problem: "its data key was wrapped for another row",
                })
            }
            Err(error) => Err(VaultError::Kms(config::aws_code(&error))),
        }
    }
}

#[derive(Deserialize)]
struct Plain {
    access_token: SecretString,
    #[serde(default)]
    pin: Option<SecretString>,
}

fn parse(bytes: &[u8]) -> Option<Credentials> {
    let plain: Plain = serde_json::from_slice(bytes).ok()?;
    Some(Credentials {
        access_token: plain.access_token,
        pin: plain.pin,
    })
}

/// Written into memory that is zeroised and does not grow: growing would leave a copy behind.
fn plain_text(credentials: &Credentials) -> Option<Zeroizing<Vec<u8>>> {
    #[derive(Serialize)]
    struct Plain<'a> {
        access_token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        pin: Option<&'a str>,
    }
    let plain = Plain {
        access_token: credentials.access_token.expose_secret(),
        pin: credentials.pin.as_ref().map(ExposeSecret::expose_secret),
    };
    // As if every byte were escaped, with the names around and the tag behind.
    let room = 6 * (plain.access_token.len() + plain.pin.map_or(0, str::len)) + 64;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *bytes, &plain).ok()?;
    Some(bytes)
}

fn context(owner: Owner, version: u32) -> HashMap<String, String> {
    HashMap::from([
        ("tenant_id".to_owned(), owner.tenant.to_string()),
        ("account_id".to_owned(), owner.account.to_string()),
        ("version".to_owned(), version.to_string()),
    ])
}

fn associated_data(owner: Owner, version: u32) -> String {
    format!("{}/{}/{version}", owner.tenant, owner.account)
}
