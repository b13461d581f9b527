//! Text messages: how many parts a text takes, and what both SMS adapters ask of a command.
//!
//! Nothing is sent from here; see [`crate::sns`] and [`crate::eum`]. What people write to our numbers is read by
//! [`inbound`], whichever of the two sends from them.

pub mod inbound;
#[cfg(feature = "adapters")]
mod outgoing;
mod segments;

#[cfg(feature = "adapters")]
pub(crate) use outgoing::{Outgoing, is_price, outgoing};
pub use segments::{Encoding, Segments, segments};

use crate::json;
use serde_json::Value;

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

/// A person's number, E.164 as the database has it: `+`, no zero in front, seven to fifteen digits. Short codes, and what
/// only looks like a number, are nobody's phone.
pub(crate) fn phone(value: &Value, pointer: &str) -> Option<String> {
    number(value, pointer).filter(|number| {
        let digits = number.strip_prefix('+').unwrap_or_default();
        (7..=15).contains(&digits.len()) && !digits.starts_with('0')
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
    fn a_persons_number_is_one_that_the_database_takes() {
        let phone = |text: &str| phone(&json!({"n": text}), "/n");
        for good in ["+1234567", "+123456789012345", "34600999000"] {
            let expected = format!("+{}", good.trim_start_matches('+'));
            assert_eq!(phone(good), Some(expected), "{good}");
        }
        for none in [
            "12345",
            "+123456",
            "+0123456789",
            "+1234567890123456",
            "00346009",
        ] {
            assert_eq!(phone(none), None, "{none}");
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
