//! The address that answers to an email go to, by which they find their thread: `reply+<token>@…`.
//!
//! A token names one message of ours and is signed for its tenant, so that nobody can write into a thread whose mail they
//! never had, and a token of one tenant is none of another's. Mail servers may change the case of an address, so case says
//! nothing; the rest must be exactly what was signed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use uuid::Uuid;

const PREFIX: &str = "reply+";
const ID: usize = 16;
/// 80 bits: a guess in 10^24, in an address that is still short enough for every mail server.
const MAC: usize = 10;
/// Of the bytes in base32.
const LENGTH: usize = 42;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// A token as it came: a claim until [`verify`] says otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The message of ours that is answered.
    pub message: Uuid,
    mac: [u8; MAC],
}

impl fmt::Debug for Token {
    /// Without what would let its reader answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.message)
    }
}

/// The local part for answers to `message`: 48 characters of ASCII.
#[must_use]
pub fn sign(secret: &SecretString, tenant: Uuid, message: Uuid) -> String {
    let mut bytes = message.as_bytes().to_vec();
    bytes.extend_from_slice(&mac(secret, tenant, message));
    format!("{PREFIX}{}", base32(&bytes))
}

/// Reads the local part of a recipient; `None` where it is no token.
#[must_use]
pub fn read(local_part: &str) -> Option<Token> {
    let (prefix, token) = local_part.split_at_checked(PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let bytes = unbase32(token)?;
    let (id, mac) = bytes.split_at_checked(ID)?;
    Some(Token {
        message: Uuid::from_slice(id).ok()?,
        mac: mac.try_into().ok()?,
    })
}

/// Did one of the secrets sign this token for this tenant? An empty secret never did. It takes the same time wherever
/// the signatures differ.
#[must_use]
pub fn verify(token: &Token, secrets: &[SecretString], tenant: Uuid) -> bool {
    secrets
        .iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .any(|secret| {
            verify_slices_are_equal(&mac(secret, tenant, token.message), &token.mac).is_ok()
        })
}

fn mac(secret: &SecretString, tenant: Uuid, message: Uuid) -> [u8; MAC] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    for piece in [b"reply".as_slice(), tenant.as_bytes(), message.as_bytes()] {
        context.update(piece);
    }
    let mut first = [0; MAC];
    first.copy_from_slice(&context.sign().as_ref()[..MAC]);
    first
}

/// RFC 4648 in lower case, without padding.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(LENGTH);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(held >> bits & 31) as usize]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(held << (5 - bits) & 31) as usize]));
    }
    text
}

/// One text for each token: other lengths, and bits that no byte needs, are refused.
fn unbase32(text: &str) -> Option<Vec<u8>> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bytes = Vec::with_capacity(ID + MAC);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in text.bytes() {
        let byte = byte.to_ascii_lowercase();
        let value = ALPHABET.iter().position(|known| *known == byte)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 255).ok()?);
        }
    }
    (held & ((1 << bits) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    const MESSAGE: Uuid = Uuid::from_u128(0x0190_aaaa_bbbb_7ccc_8ddd_eeee_ffff_0123);

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    /// Computed by another program: base32 of the id and of the first ten bytes of the HMAC.
    #[test]
    fn a_token_known_from_elsewhere() {
        assert_eq!(
            sign(&secret("reply_secret"), TENANT, MESSAGE),
            "reply+agikvkv3xn6mzdo553xp77yben4w2i55tu3exonc7i"
        );
    }

    #[test]
    fn what_was_signed_reads_again_in_any_case() {
        let local = sign(&secret("one"), TENANT, MESSAGE);
        assert!(local.len() <= 64, "{local}");
        for local in [local.clone(), local.to_uppercase()] {
            let token = read(&local).expect("a token");
            assert_eq!(token.message, MESSAGE);
            assert!(verify(&token, &[secret("next"), secret("one")], TENANT));
        }
    }

    #[test]
    fn nobody_else_signed_it() {
        let token = read(&sign(&secret("one"), TENANT, MESSAGE)).expect("a token");
        assert!(
            !verify(&token, &[secret("one")], Uuid::nil()),
            "another tenant's"
        );
        assert!(!verify(&token, &[secret("two"), secret("")], TENANT));
        assert!(!verify(&token, &[], TENANT));
        let forged = read(&sign(&secret(""), TENANT, MESSAGE)).expect("a token");
        assert!(
            !verify(&forged, &[secret("")], TENANT),
            "an empty secret signs nothing"
        );
        let other = Token {
            message: Uuid::nil(),
            ..token
        };
        assert!(
            !verify(&other, &[secret("one")], TENANT),
            "another message's"
        );
    }

    #[test]
    fn other_local_parts_are_no_tokens() {
        let good = sign(&secret("one"), TENANT, MESSAGE);
        let other_bits = format!("{}b", &good[..good.len() - 1]);
        for bad in [
            "",
            "reply",
            "reply+",
            "info",
            "r\u{e9}ply+x",
            &good[1..],
            &good[..47],
            &format!("{good}a"),
            &other_bits,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read(&good.replace('+', "-")), None);
        assert_eq!(
            read(&format!("reply+{}", "1".repeat(42))),
            None,
            "1 is no digit of base32"
        );
    }
}
