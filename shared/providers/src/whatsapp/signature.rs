//! Who a webhook is from.
//!
//! Meta signs the raw bytes of the body with the secret of the app. Only [`verify`] makes a [`VerifiedWebhook`]
//! of what comes in, and only a [`VerifiedWebhook`] can be parsed, so an unsigned payload cannot reach the service by mistake.
//! The older SHA-1 header is not read at all.
//!
//! Source: `X-Hub-Signature-256`, Graph API webhooks documentation.

use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};

/// Name of the header that [`verify`] wants.
pub const HEADER: &str = "x-hub-signature-256";

const PREFIX: &str = "sha256=";

/// Bytes of a webhook that were signed by one of our apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifiedWebhook<'a>(&'a [u8]);

impl<'a> VerifiedWebhook<'a> {
    /// Bytes that were verified when they came, and were kept since.
    #[must_use]
    pub fn kept(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// The body as it came, byte for byte.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        self.0
    }
}

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the signature header is missing")]
    Missing,
    #[error("the signature header is not `sha256=` and 64 hex digits")]
    Malformed,
    #[error("the signature fits none of the app secrets")]
    Mismatch,
}

/// Checks the signature over `raw`, the body before any decoding but base64.
///
/// Several secrets may be active while one is rotated, or where several apps share the endpoint; an empty one is
/// never accepted. The comparison takes the same time wherever the signatures differ.
///
/// # Errors
///
/// [`SignatureError`]; the caller answers 401 and keeps nothing of the body.
pub fn verify<'a>(
    raw: &'a [u8],
    header: Option<&str>,
    app_secrets: &[SecretString],
) -> Result<VerifiedWebhook<'a>, SignatureError> {
    let hex_digest = header
        .ok_or(SignatureError::Missing)?
        .trim()
        .strip_prefix(PREFIX);
    let mut digest = [0_u8; 32];
    hex::decode_to_slice(hex_digest.ok_or(SignatureError::Malformed)?, &mut digest)
        .map_err(|_| SignatureError::Malformed)?;
    let signed_by = |secret: &SecretString| {
        !secret.expose_secret().is_empty() && hmac::verify(&key(secret), raw, &digest).is_ok()
    };
    if app_secrets.iter().any(signed_by) {
        Ok(VerifiedWebhook(raw))
    } else {
        Err(SignatureError::Mismatch)
    }
}

/// The header value that Meta would send with `raw`.
///
/// For tests and local tools, which stand in for Meta; the service itself never signs.
#[must_use]
pub fn sign(raw: &[u8], app_secret: &SecretString) -> String {
    format!("{PREFIX}{}", hex::encode(hmac::sign(&key(app_secret), raw)))
}

fn key(secret: &SecretString) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPACT: &[u8] = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    const COMPACT_HEX: &str = "dec6a680679a968e7e0319355b23599cbfc54502c0784668e9618baa0c633756";
    const SPACED: &[u8] = br#"{"object": "whatsapp_business_account", "entry": []}"#;
    const SPACED_HEX: &str = "56cbbaf4961c6cfdae48b7f116c047e5eb513d2c931baae63a2bc1afd26f803a";
    const ESCAPED: &[u8] = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messages":[{"type":"text","text":{"body":"caf\u00e9 \ud83d\ude00 a\/b"}}]}}]}]}"#;
    const ESCAPED_HEX: &str = "52144bba82d2ba5ed203117ec8a34417ba979ab92ec47679887b8a3365dad199";

    fn secrets(texts: &[&str]) -> Vec<SecretString> {
        texts.iter().map(|text| SecretString::from(*text)).collect()
    }

    fn check(raw: &[u8], header: &str) -> Result<(), SignatureError> {
        verify(raw, Some(header), &secrets(&["test_app_secret"]))
            .map(|webhook| assert_eq!(webhook.raw(), raw))
    }

    #[test]
    fn known_signatures_are_believed() {
        for (raw, hex) in [
            (COMPACT, COMPACT_HEX),
            (SPACED, SPACED_HEX),
            (ESCAPED, ESCAPED_HEX),
        ] {
            let header = format!("sha256={hex}");
            assert_eq!(check(raw, &header), Ok(()));
            assert_eq!(sign(raw, &SecretString::from("test_app_secret")), header);
            assert_eq!(
                check(raw, &format!("sha256={}", hex.to_uppercase())),
                Ok(())
            );
        }
    }

    #[test]
    fn a_body_that_was_written_anew_is_refused() {
        let value: serde_json::Value = serde_json::from_slice(ESCAPED).expect("JSON");
        let rewritten = serde_json::to_vec(&value).expect("JSON");
        assert_eq!(
            check(&rewritten, &format!("sha256={ESCAPED_HEX}")),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            check(COMPACT, &format!("sha256={SPACED_HEX}")),
            Err(SignatureError::Mismatch)
        );
    }

    #[test]
    fn headers_of_another_shape_are_refused() {
        assert_eq!(
            verify(COMPACT, None, &secrets(&["s"])),
            Err(SignatureError::Missing)
        );
        let sha1 = format!("sha1={}", &COMPACT_HEX[..40]);
        for header in [
            "",
            "sha256=",
            COMPACT_HEX,
            &sha1,
            &format!("sha1={COMPACT_HEX}"),
            &format!("sha256={}", &COMPACT_HEX[..62]),
            &format!("sha256={COMPACT_HEX}00"),
            &format!("sha256={}", "zz".repeat(32)),
            &format!("sha256={}", "é".repeat(32)),
        ] {
            assert_eq!(
                check(COMPACT, header),
                Err(SignatureError::Malformed),
                "{header}"
            );
        }
    }

    #[test]
    fn any_active_secret_will_do_and_an_empty_one_never() {
        let header = format!("sha256={COMPACT_HEX}");
        let rotating = secrets(&["next", "test_app_secret"]);
        assert!(verify(COMPACT, Some(&header), &rotating).is_ok());
        assert_eq!(
            verify(COMPACT, Some(&header), &secrets(&["next"])),
            Err(SignatureError::Mismatch)
        );
        assert_eq!(
            verify(COMPACT, Some(&header), &[]),
            Err(SignatureError::Mismatch)
        );
        let empty = SecretString::from("");
        let forged = sign(COMPACT, &empty);
        assert_eq!(
            verify(COMPACT, Some(&forged), &[empty]),
            Err(SignatureError::Mismatch)
        );
    }
}
