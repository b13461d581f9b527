//! From a claimed row to its bytes, checked: what WhatsApp keeps for us, and what lies in a mail of ours.
//!
//! Whatever goes wrong is an [`Attempt`]: the caller settles every claimed file, always. Credentials are judged only by what
//! the provider says about them; a file that is not there says nothing.

use super::bucket::{Buckets, MailFault};
use super::claim::{Claimed, Source};
use super::mail::{mail_part, place};
use super::settle::{Attempt, Credentials, End};
use crate::channels::Vault;
use crate::channels::vault::{Envelope, Owner};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use comms_providers::mail::SIZE_LIMIT;
use comms_providers::whatsapp::WhatsAppSender;
use comms_providers::whatsapp::media::{MediaClient, MediaFault, Resolved};
use std::time::Duration;

/// Refused credentials are asked about again after this: it takes a person to mend them.
const AUTH_WAIT: Duration = Duration::from_hours(1);

/// A file that is what it was said to be.
#[derive(Debug)]
pub(super) struct Fetched {
    pub bytes: Vec<u8>,
    pub sha256: [u8; 32],
    pub credentials: Credentials,
}

/// Where files come from.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    pub vault: &'a Vault,
    pub client: &'a MediaClient,
    pub buckets: &'a Buckets,
    /// No file has more bytes than this.
    pub limit: u64,
}

impl Sources<'_> {
    pub async fn fetch(&self, file: &Claimed) -> Result<Fetched, Attempt> {
        match file.source {
            Source::Meta => self.of_meta(file).await,
            Source::Mail => self.of_mail(file).await,
        }
    }

    async fn of_mail(&self, file: &Claimed) -> Result<Fetched, Attempt> {
        let (key, ordinal) = place(&file.source_ref).ok_or_else(|| rejected("no-such-part"))?;
        let raw = self.buckets.mail(key, SIZE_LIMIT as u64).await;
        let raw = raw.map_err(|fault| match fault {
            MailFault::TooLarge => rejected("too-large"),
            MailFault::NotThere => later("not-found"),
            MailFault::Passing(code) => later(format!("mail-bucket-{code}")),
        })?;
        let (bytes, is_program) =
            mail_part(&raw, ordinal).ok_or_else(|| rejected("no-such-part"))?;
        drop(raw);
        // SES looks for known viruses; nobody's agents need what their computers would run.
        if is_program {
            return Err(rejected("program"));
        }
        if bytes.len() as u64 > self.limit {
            return Err(rejected("too-large"));
        }
        Ok(Fetched {
            sha256: sha256(&bytes),
            bytes,
            credentials: Credentials::Unsaid,
        })
    }

    /// The newest credentials; while they rotate, and the newest are refused, also the ones before.
    async fn of_meta(&self, file: &Claimed) -> Result<Fetched, Attempt> {
        let (Some(config), Some(number)) = (&file.config, &file.external_account_id) else {
            return Err(later("provider-config"));
        };
        let mut refused = None;
        for envelope in config.secrets.iter().take(2) {
            let account = self.account(file, number, envelope).await?;
            match self.with(file, &account).await {
                Err(attempt) if matches!(attempt.credentials, Credentials::Refused(_)) => {
                    refused.get_or_insert(attempt);
                }
                fetched => return fetched,
            }
        }
        Err(refused.unwrap_or_else(|| auth("no-credentials".to_owned())))
    }

    async fn account(
        &self,
        file: &Claimed,
        number: &str,
        envelope: &Envelope,
    ) -> Result<WhatsAppSender, Attempt> {
        let owner = Owner {
            tenant: file.tenant_id,
            account: file.account_id,
        };
        let opened = self.vault.open(owner, envelope).await;
        let credentials = opened.map_err(|error| {
            if error.is_transient() {
                later("vault")
            } else {
                auth("vault".to_owned())
            }
        })?;
        Ok(WhatsAppSender {
            phone_number_id: number.to_owned(),
            access_token: credentials.access_token,
        })
    }

    /// The URL that came with the message, while it lives; then the one that the provider gives now. What is not what its hash
    /// says, or has gone from where it was said to be, is asked for once more: a cut-off transfer looks like that too.
    async fn with(&self, file: &Claimed, account: &WhatsAppSender) -> Result<Fetched, Attempt> {
        if let Some(url) = &file.source_url
            && let Ok(bytes) = self
                .client
                .download(&account.access_token, url, self.limit)
                .await
            && let Ok(fetched) = checked(bytes, file.declared_sha256.as_deref(), None)
        {
            return Ok(fetched);
        }
        let first = self.resolved(file, account).await?;
        let found = match first {
            Ok(fetched) => return Ok(fetched),
            Err(_) => self.resolved(file, account).await?,
        };
        found.map_err(|again| match again {
            Again::Mismatch => accepted(End::Rejected("hash-mismatch")),
            Again::Gone => accepted(End::later("not-found")),
        })
    }

    async fn resolved(
        &self,
        file: &Claimed,
        account: &WhatsAppSender,
    ) -> Result<Result<Fetched, Again>, Attempt> {
        let resolved = self.client.resolve(account, &file.source_ref).await;
        let Resolved {
            url, sha256, size, ..
        } = resolved.map_err(said)?;
        if size.is_some_and(|size| size > self.limit) {
            return Err(accepted(End::Rejected("too-large")));
        }
        let token = &account.access_token;
        match self.client.download(token, &url, self.limit).await {
            Ok(bytes) => Ok(checked(
                bytes,
                file.declared_sha256.as_deref(),
                sha256.as_deref(),
            )),
            Err(MediaFault::NotFound) => Ok(Err(Again::Gone)),
            Err(fault) => Err(said(fault)),
        }
    }
}

/// Worth asking where it lies once more.
enum Again {
    Gone,
    Mismatch,
}

/// The message's own hash counts, else the one that came with the URL; one that does not read is none.
fn checked(
    bytes: Vec<u8>,
    declared: Option<&str>,
    resolved: Option<&str>,
) -> Result<Fetched, Again> {
    let sha256 = sha256(&bytes);
    let wanted = declared.and_then(hash).or_else(|| resolved.and_then(hash));
    if wanted.is_some_and(|wanted| wanted != sha256) {
        return Err(Again::Mismatch);
    }
    Ok(Fetched {
        bytes,
        sha256,
        credentials: Credentials::Accepted,
    })
}

/// Hex or base64: the provider writes both.
fn hash(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let bytes = match text.len() {
        64 => hex::decode(text).ok()?,
        44 => STANDARD.decode(text).ok()?,
        43 => STANDARD_NO_PAD.decode(text).ok()?,
        _ => return None,
    };
    bytes.try_into().ok()
}

/// What the provider's answer means for the file, and for the credentials.
fn said(fault: MediaFault) -> Attempt {
    match fault {
        MediaFault::Auth(code) => auth(code),
        MediaFault::TooLarge => accepted(End::Rejected("too-large")),
        // No such file, or not for this token: nothing about the token.
        MediaFault::NotFound => later("not-found"),
        MediaFault::Host(host) => {
            tracing::error!(
                host,
                "a file lies where no token may be sent (setting MEDIA_HOSTS)"
            );
            later("host-not-allowed")
        }
        MediaFault::Passing { code, retry_after } => Attempt {
            end: End::Later {
                reason: format!("provider-{code}"),
                wait: retry_after.unwrap_or_default(),
            },
            credentials: Credentials::Unsaid,
        },
    }
}

fn later(reason: impl Into<String>) -> Attempt {
    Attempt {
        end: End::later(reason),
        credentials: Credentials::Unsaid,
    }
}

fn rejected(reason: &'static str) -> Attempt {
    Attempt {
        end: End::Rejected(reason),
        credentials: Credentials::Unsaid,
    }
}

fn accepted(end: End) -> Attempt {
    Attempt {
        end,
        credentials: Credentials::Accepted,
    }
}

fn auth(code: String) -> Attempt {
    Attempt {
        end: End::Later {
            reason: "credentials-refused".to_owned(),
            wait: AUTH_WAIT,
        },
        credentials: Credentials::Refused(code),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_hex_and_as_base64() {
        let ours = sha256(b"hola");
        for text in [
            hex::encode(ours),
            hex::encode_upper(ours),
            STANDARD.encode(ours),
            STANDARD_NO_PAD.encode(ours),
            format!(" {} ", STANDARD.encode(ours)),
        ] {
            assert_eq!(hash(&text), Some(ours), "{text}");
        }
        for text in ["", "abc", &"z".repeat(64), &"!".repeat(44)] {
            assert_eq!(hash(text), None, "{text}");
        }
    }

    #[test]
    fn the_messages_own_hash_counts_before_the_urls() {
        let (ours, other) = (hex::encode(sha256(b"hola")), hex::encode(sha256(b"adios")));
        let fits = |declared, resolved| checked(b"hola".to_vec(), declared, resolved).is_ok();
        assert!(fits(Some(&ours), Some(&other)) && fits(None, Some(&ours)) && fits(None, None));
        assert!(!fits(Some(&other), Some(&ours)) && !fits(None, Some(&other)));
        assert!(fits(Some("unreadable"), None));
    }
}
