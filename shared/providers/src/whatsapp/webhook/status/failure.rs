//! Why a message failed, without saying to whom.

use crate::OutcomeClass;
use crate::event::{DeliveryFailure, DeliveryStatus};
use crate::whatsapp::codes::{Hints, classify};
use crate::whatsapp::webhook::json;
use serde_json::Value;

/// Longest reason that is kept, in characters.
const REASON_LIMIT: usize = 500;

/// Fewer digits in a row are a code or a date; from here on they may be somebody's number.
const PHONE_DIGITS: usize = 7;

/// The first error; Meta sends one. A failure without any still is one.
pub(super) fn failure(status: &Value, known: DeliveryStatus) -> Option<DeliveryFailure> {
    let Some(error) = status.pointer("/errors/0") else {
        return (known == DeliveryStatus::Failed).then(|| DeliveryFailure {
            code: "unspecified".to_owned(),
            class: OutcomeClass::Unknown,
            opt_out: None,
            address_is_bad: false,
            reason: "the provider named no reason".to_owned(),
        });
    };
    let code = json::id(error, "/code").unwrap_or_else(|| "unspecified".to_owned());
    let title = json::text(error, "/title").or_else(|| json::text(error, "/message"));
    let details =
        json::text(error, "/error_data/details").filter(|details| Some(details) != title.as_ref());
    let said: Vec<String> = [title, details].into_iter().flatten().collect();
    let verdict = code
        .parse()
        .ok()
        .map(|code| classify(code, Hints::default()));
    Some(DeliveryFailure {
        code,
        class: verdict.map_or(OutcomeClass::Unknown, |verdict| verdict.class),
        opt_out: verdict.and_then(|verdict| verdict.opt_out),
        address_is_bad: false,
        reason: without_numbers(&said.join(": ")),
    })
}

/// Replaces what may be a phone number or a user id: long rows of digits, with the separators that people put
/// between them.
fn without_numbers(text: &str) -> String {
    let mut clean = String::new();
    let mut row = String::new();
    for c in text.chars().take(REASON_LIMIT).chain(['\n']) {
        let joins = !row.is_empty() && matches!(c, ' ' | '-' | '.' | '(' | ')');
        if c.is_ascii_digit() || joins {
            row.push(c);
            continue;
        }
        if row.chars().filter(char::is_ascii_digit).count() < PHONE_DIGITS {
            clean.push_str(&row);
        } else {
            clean.push('…');
        }
        row.clear();
        clean.push(c);
    }
    clean.pop();
    clean
}

#[cfg(test)]
mod tests {
    use super::without_numbers;

    #[test]
    fn numbers_that_could_be_addresses_are_hidden() {
        assert_eq!(
            without_numbers("(#131026) Message undeliverable"),
            "(#131026) Message undeliverable"
        );
        assert_eq!(without_numbers("to +34600111222, sorry"), "to +…, sorry");
        assert_eq!(without_numbers("to +34 (600) 111-222: no"), "to +…: no");
        assert_eq!(without_numbers("user ES.13491208655302741918"), "user ES.…");
        assert_eq!(
            without_numbers("retry after 24 hours. Then 48."),
            "retry after 24 hours. Then 48."
        );
        assert_eq!(without_numbers(""), "");
    }
}
