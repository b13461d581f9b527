//! What Meta's errors mean to somebody who is connecting an account: class, cause and cure.
//!
//! The table of [`crate::whatsapp::codes`] says what a code means for a send, where nobody is there to answer; here
//! somebody is. A row may be of one step, for 100 says a different thing at each; the first row that fits counts.
//! Families that no step can meet (calling, groups, usernames) are absent and read as [`crate::FaultClass::Unknown`].
//!
//! Source: "Error codes" of the Cloud API documentation (2026-05-15) and the errors of the steps' own pages.

mod table;

use crate::ProvisionError;
use crate::provision::Fault;
use crate::whatsapp::send::answer::GraphError;

/// A call of onboarding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    ExchangeCode,
    DebugToken,
    ListNumbers,
    ReadNumber,
    Register,
    Deregister,
    Subscribe,
    Override,
    Subscriptions,
    Unsubscribe,
    ListTemplates,
    CreateTemplate,
    DeleteTemplate,
}

impl Step {
    /// [`ProvisionError::operation`].
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::ExchangeCode => "exchange_code",
            Self::DebugToken => "debug_token",
            Self::ListNumbers => "list_numbers",
            Self::ReadNumber => "read_number",
            Self::Register => "register",
            Self::Deregister => "deregister",
            Self::Subscribe => "subscribe",
            Self::Override => "override_callback",
            Self::Subscriptions => "subscriptions",
            Self::Unsubscribe => "unsubscribe",
            Self::ListTemplates => "list_templates",
            Self::CreateTemplate => "create_template",
            Self::DeleteTemplate => "delete_template",
        }
    }
}

/// What an error of Meta's means at this step.
pub(super) fn classify(step: Step, error: &GraphError) -> Fault {
    let fits = |row: &&table::Row| {
        row.steps.is_empty_or_has(step)
            && (row.first..=row.last).contains(&error.code)
            && (row.subcodes.is_empty()
                || error
                    .subcode
                    .is_some_and(|code| row.subcodes.contains(&code)))
    };
    match table::ROWS.iter().find(fits) {
        Some(row) => row.fault,
        None if error.is_transient => table::TRANSIENT,
        None => table::UNKNOWN,
    }
}

/// A fault that is found without Meta, by one of our codes.
pub(super) fn ours(step: Step, code: &'static str) -> ProvisionError {
    let row = table::OURS.iter().find(|(name, _)| *name == code);
    row.map_or(table::UNKNOWN, |(_, fault)| *fault)
        .error(step.as_str(), code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FaultClass;
    use std::collections::HashSet;
    use std::fmt::Write as _;

    const STEPS: [Step; 13] = [
        Step::ExchangeCode,
        Step::DebugToken,
        Step::ListNumbers,
        Step::ReadNumber,
        Step::Register,
        Step::Deregister,
        Step::Subscribe,
        Step::Override,
        Step::Subscriptions,
        Step::Unsubscribe,
        Step::ListTemplates,
        Step::CreateTemplate,
        Step::DeleteTemplate,
    ];

    fn error(code: i64, subcode: Option<i64>) -> GraphError {
        GraphError {
            code,
            subcode,
            is_transient: false,
            text: String::new(),
        }
    }

    /// The same fault would be told by another row if one stood before it in vain.
    #[test]
    fn every_row_is_reached_and_says_what_to_do() {
        let mut listing = String::new();
        for row in table::ROWS {
            let step = row.steps.first().unwrap_or(Step::Subscribe);
            let subcode = row.subcodes.first().copied();
            let found = classify(step, &error(row.first, subcode));
            assert_eq!(found.cause, row.fault.cause, "{} {subcode:?}", row.first);
            assert_eq!(
                classify(step, &error(row.last, subcode)).cause,
                row.fault.cause
            );
            for sentence in [row.fault.cause, row.fault.cure] {
                assert!(sentence.ends_with('.') && sentence.len() > 20, "{sentence}");
            }
            let steps = row.steps.names();
            let range = if row.first == row.last {
                row.first.to_string()
            } else {
                format!("{}-{}", row.first, row.last)
            };
            let subcodes = row.subcodes;
            let Fault {
                class,
                cause,
                cure,
                wait,
            } = row.fault;
            write!(listing, "{range} {subcodes:?} {steps}: {}", class.as_str()).expect("a String");
            if let Some(wait) = wait {
                write!(listing, " after {} s", wait.as_secs()).expect("a String");
            }
            writeln!(listing, "\n  {cause}\n  {cure}").expect("a String");
        }
        insta::assert_snapshot!(listing);
    }

    #[test]
    fn faults_of_ours_are_all_known() {
        let mut names = HashSet::new();
        for (name, fault) in table::OURS {
            assert!(names.insert(name), "{name} stands there twice");
            assert_ne!(ours(Step::Register, name).class, FaultClass::Unknown);
            assert!(fault.cause.ends_with('.') && fault.cure.ends_with('.'));
        }
    }

    #[test]
    fn a_refused_token_is_the_same_at_every_step_but_the_exchange() {
        for step in STEPS {
            for code in [0, 190] {
                assert_eq!(
                    classify(step, &error(code, None)).class,
                    FaultClass::Credential
                );
            }
            assert_eq!(
                classify(step, &error(210, None)).class,
                FaultClass::Permission
            );
            assert_eq!(classify(step, &error(199, None)).class, FaultClass::Unknown);
            assert_eq!(classify(step, &error(300, None)).class, FaultClass::Unknown);
        }
    }

    #[test]
    fn a_bad_parameter_means_what_the_step_asked_for() {
        let of = |step| classify(step, &error(100, None)).class;
        assert_eq!(of(Step::ExchangeCode), FaultClass::Credential);
        assert_eq!(of(Step::Override), FaultClass::WrongInput);
        assert_eq!(of(Step::Register), FaultClass::WrongInput);
        let unseen = classify(Step::ReadNumber, &error(100, Some(33)));
        assert_eq!(unseen.class, FaultClass::Permission);
    }

    #[test]
    fn a_transient_mark_moves_unlisted_codes_only() {
        let transient = |code| GraphError {
            is_transient: true,
            ..error(code, None)
        };
        let of = |code| classify(Step::Register, &transient(code)).class;
        assert_eq!(of(424_242), FaultClass::Retryable);
        assert_eq!(of(133_005), FaultClass::WrongInput);
        let plain = classify(Step::Register, &error(424_242, None));
        assert_eq!(plain.class, FaultClass::Unknown);
    }
}
