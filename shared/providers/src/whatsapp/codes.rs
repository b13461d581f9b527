//! What Meta's error codes mean for a send.
//!
//! One table, by code and never by HTTP status: most throttles come as 400, some as 403, 404 or 500, and Meta's
//! documentation dropped the status column in 2026. A family that a send cannot meet (calling, flows, block list,
//! usernames, template creation) is absent on purpose and reads as [`OutcomeClass::Unknown`].
//!
//! Source: "Error codes" of the Cloud API documentation (2026-05-15).

mod table;

use crate::{OptOut, OutcomeClass};
use std::time::Duration;

/// What one code means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    pub class: OutcomeClass,
    /// In our words, without anything of the request; Meta's own text may quote an address.
    pub meaning: &'static str,
    /// How long Meta's documentation asks to wait, where it does.
    pub wait: Option<Duration>,
    /// As [`crate::Refusal::max_attempts`]: the code also stands for faults of the message.
    pub max_attempts: Option<u8>,
    pub opt_out: Option<OptOut>,
}

/// Meta's hints beside the code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// `error_subcode`; rare in messaging since v16.
    pub subcode: Option<i64>,
    /// `is_transient`; believed for codes only that the table does not know.
    pub is_transient: bool,
}

/// Says what a code means, for an answer to a send and for the `errors[]` of a failed status alike.
#[must_use]
pub fn classify(code: i64, hints: Hints) -> Verdict {
    if code == 100 && hints.subcode == Some(33) {
        return verdict(
            OutcomeClass::AccountConfig,
            "the number does not exist or the token cannot see it",
        );
    }
    match table::find(code) {
        Some(row) => Verdict {
            wait: documented_wait(code),
            max_attempts: smaller_budget(code),
            opt_out: (code == 131_050).then_some(OptOut::Marketing),
            ..verdict(row.class, row.meaning)
        },
        None if hints.is_transient => verdict(
            OutcomeClass::Retryable,
            "unlisted code, marked as transient",
        ),
        None => verdict(OutcomeClass::Unknown, "unlisted code"),
    }
}

const fn verdict(class: OutcomeClass, meaning: &'static str) -> Verdict {
    Verdict {
        class,
        meaning,
        wait: None,
        max_attempts: None,
        opt_out: None,
    }
}

fn documented_wait(code: i64) -> Option<Duration> {
    match code {
        131_057 => Some(Duration::from_mins(1)),
        134_101 => Some(Duration::from_mins(10)),
        _ => None,
    }
}

/// Codes that Meta gives to a hiccup and to a malformed request alike.
fn smaller_budget(code: i64) -> Option<u8> {
    match code {
        1 => Some(3),
        135_000 => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn every_code_of_the_table() {
        let mut listing = String::new();
        for row in table::ROWS {
            for code in [row.first, row.last] {
                assert_eq!(classify(code, Hints::default()).class, row.class, "{code}");
            }
            let codes = if row.first == row.last {
                row.first.to_string()
            } else {
                format!("{}-{}", row.first, row.last)
            };
            writeln!(listing, "{codes} {:?}: {}", row.class, row.meaning).expect("a String");
        }
        insta::assert_snapshot!(listing);
    }

    #[test]
    fn rows_are_sorted_and_do_not_overlap() {
        assert!(table::ROWS.iter().all(|row| row.first <= row.last));
        assert!(
            table::ROWS
                .windows(2)
                .all(|pair| pair[0].last < pair[1].first)
        );
    }

    #[test]
    fn the_whole_permission_range_is_auth_and_its_neighbours_are_not() {
        for code in 200..=299 {
            assert_eq!(classify(code, Hints::default()).class, OutcomeClass::Auth);
        }
        assert_eq!(classify(199, Hints::default()).class, OutcomeClass::Unknown);
        assert_eq!(classify(300, Hints::default()).class, OutcomeClass::Unknown);
    }

    #[test]
    fn a_transient_mark_moves_unlisted_codes_only() {
        let transient = Hints {
            is_transient: true,
            ..Hints::default()
        };
        assert_eq!(classify(999_999, transient).class, OutcomeClass::Retryable);
        assert_eq!(
            classify(131_026, transient).class,
            OutcomeClass::PermanentRecipient
        );
        assert_eq!(classify(-1, Hints::default()).class, OutcomeClass::Unknown);
    }

    #[test]
    fn doubtful_codes_have_a_smaller_budget_and_an_opt_out_is_told() {
        let read = |code| {
            let verdict = classify(code, Hints::default());
            (verdict.max_attempts, verdict.opt_out)
        };
        assert_eq!(read(1), (Some(3), None));
        assert_eq!(read(135_000), (Some(2), None));
        assert_eq!(read(2), (None, None));
        assert_eq!(read(131_050), (None, Some(OptOut::Marketing)));
        assert_eq!(read(131_049), (None, None));
    }

    #[test]
    fn subcode_33_turns_a_bad_parameter_into_a_bad_account() {
        let hints = Hints {
            subcode: Some(33),
            ..Hints::default()
        };
        assert_eq!(classify(100, hints).class, OutcomeClass::AccountConfig);
        assert_eq!(
            classify(131_009, hints).class,
            OutcomeClass::PermanentContent
        );
        assert_eq!(
            classify(100, Hints::default()).class,
            OutcomeClass::PermanentContent
        );
    }
}
