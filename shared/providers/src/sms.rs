//! Text messages: how many parts a text takes, and what both SMS adapters ask of a command.
//!
//! Nothing is sent from here; see [`crate::sns`] and [`crate::eum`]. What people write to our numbers is read by
//! [`inbound`], whichever of the two sends from them.

pub mod inbound;
mod segments;

pub use segments::{Encoding, Segments, segments};

use crate::{Content, Recipient, Refusal, SendMessageCommand, json};
use serde_json::Value;

/// A text message to a number, as both adapters send it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub to: &'a str,
    pub body: &'a str,
    pub promotional: bool,
}

/// A plain text goes as a transactional SMS.
pub(crate) fn outgoing(command: &SendMessageCommand) -> Result<Outgoing<'_>, Refusal> {
    let (body, promotional) = match &command.content {
        Content::Sms(sms) => (sms.body.as_str(), sms.promotional),
        Content::Text { body, .. } => (body.as_str(), false),
        _ => {
            return Err(Refusal::invalid_content(
                "SMS carries texts and nothing else",
            ));
        }
    };
    if body.trim().is_empty() {
        return Err(Refusal::invalid_content("sms.body is empty"));
    }
    match &command.recipient {
        Recipient::Phone(to) if command.recipient.is_e164() => Ok(Outgoing {
            to,
            body,
            promotional,
        }),
        _ => Err(Refusal::invalid_recipient(
            "the recipient is not a phone number in E.164",
        )),
    }
}

/// A price in USD as both APIs read it: up to two digits, a point, up to five.
pub(crate) fn is_price(text: &str) -> bool {
    let digits = |part: &str, limit: usize| {
        part.len() <= limit && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.split_once('.').is_some_and(|(whole, fraction)| {
        digits(whole, 2) && digits(fraction, 5) && !fraction.is_empty()
    })
}

/// Longest number that belongs to a service within one country, and has no international form.
const SHORT_CODE: usize = 6;

/// A number in E.164, with its `+` whether or not it came with one; a short code as it is.
pub(crate) fn number(value: &Value, pointer: &str) -> Option<String> {
    let digits = json::text(value, pointer)?.trim();
    let digits = digits.strip_prefix('+').unwrap_or(digits);
    let is_number =
        (3..=20).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| {
        if digits.len() <= SHORT_CODE {
            digits.to_owned()
        } else {
            format!("+{digits}")
        }
    })
}

/// A price in USD as millionths, from a number or the text of one.
pub(crate) fn micros(price: Option<&Value>) -> Option<i64> {
    let price = match price? {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    // Dearer than any text message; past it the number is a mistake.
    if !(0.0..=1_000_000.0).contains(&price) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    Some((price * 1_000_000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_price_is_counted_in_millionths() {
        assert_eq!(micros(Some(&json!(0.00645))), Some(6450));
        assert_eq!(micros(Some(&json!("0.1"))), Some(100_000));
        assert_eq!(micros(Some(&json!(0))), Some(0));
        for none in [
            json!(null),
            json!(-1),
            json!(1e300),
            json!("free"),
            json!("NaN"),
            json!([]),
        ] {
            assert_eq!(micros(Some(&none)), None, "{none}");
        }
        assert_eq!(micros(None), None);
    }

    #[test]
    fn numbers_have_a_plus() {
        let number = |text: &str| number(&json!({"n": text}), "/n");
        assert_eq!(number("+12125550101").as_deref(), Some("+12125550101"));
        assert_eq!(number(" 12125550101").as_deref(), Some("+12125550101"));
        assert_eq!(number("12345").as_deref(), Some("12345"));
        for none in ["", "+", "TREN", "+1 212", "12"] {
            assert_eq!(number(none), None, "{none}");
        }
    }

    #[test]
    fn prices_have_a_point_and_few_digits() {
        for good in ["0.5", ".05", "12.34567"] {
            assert!(is_price(good), "{good}");
        }
        for bad in ["", "1", "1.", "123.0", "0.123456", "-0.5", "0,5", "a.b"] {
            assert!(!is_price(bad), "{bad}");
        }
    }
}
