//! One phone, several ways to write it.
//!
//! Three countries changed how mobile numbers are written, and old and new forms live on side by side: a profile has one, a
//! `wa_id` the other. All forms of a number are one class; whoever is known by one form is found by any. Nothing is rewritten:
//! every form is kept as it came.
//!
//! | country | the forms of one number | which numbers |
//! |---|---|---|
//! | Brazil | `55 DD 9 NNNN NNNN`, `55 DD NNNN NNNN` (before the ninth digit) | whose eight digits begin with 6 to 9: mobile; 2 to 5 are fixed lines |
//! | Argentina | `54 9 A… N…` (mobile from abroad), `54 A… N…`, `54 A… 15 N…` (as dialled at home) | area and number have ten digits together, and belong to one line |
//! | Mexico | `52 1 NN NNNN NNNN` (mobile until 2019), `52 NN NNNN NNNN` | all: the ten digits belong to one line |

use super::{Alias, AliasKind};

/// Argentina's areas of three digits; 11 has two, all others have four.
const AREAS_OF_THREE: &[&str] = &[
    "220", "221", "223", "230", "236", "237", "249", "260", "261", "263", "264", "266", "280",
    "291", "294", "297", "298", "299", "336", "341", "342", "343", "345", "348", "351", "353",
    "358", "362", "364", "370", "376", "379", "380", "381", "383", "385", "387", "388",
];

/// Every way to write this alias, itself first.
#[must_use]
pub fn forms(alias: &Alias) -> Vec<Alias> {
    let (plus, digits) = match alias.kind {
        AliasKind::Phone => ("+", alias.value.strip_prefix('+')),
        AliasKind::WaId => ("", Some(alias.value.as_str())),
        AliasKind::Bsuid | AliasKind::ParentBsuid | AliasKind::Email => ("", None),
    };
    let others = digits.map(class).unwrap_or_default().into_iter();
    let others = others
        .map(|digits| Alias::new(alias.kind, &format!("{plus}{digits}")))
        .filter(|form| form != alias);
    std::iter::once(alias.clone()).chain(others).collect()
}

/// The class of a number, in digits without `+`; empty where there is one form only.
fn class(digits: &str) -> Vec<String> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let (Some(country), Some(national)) = (digits.get(..2), digits.get(2..)) else {
        return Vec::new();
    };
    let forms = match country {
        "52" => mexico(national),
        "54" => argentina(national),
        "55" => brazil(national),
        _ => None,
    };
    forms.unwrap_or_default()
}

fn brazil(national: &str) -> Option<Vec<String>> {
    let (area, number) = national.split_at_checked(2)?;
    let number = match number.len() {
        8 => number,
        9 => number.strip_prefix('9')?,
        _ => return None,
    };
    let mobile = number.starts_with(['6', '7', '8', '9']) && !area.contains('0');
    mobile.then(|| vec![format!("55{area}9{number}"), format!("55{area}{number}")])
}

fn argentina(national: &str) -> Option<Vec<String>> {
    let dialled = || {
        let (area, rest) = areas(national)?;
        Some(format!("{area}{}", rest.strip_prefix("15")?))
    };
    let line = match national.len() {
        10 => national.to_owned(),
        11 => national.strip_prefix('9')?.to_owned(),
        12 => dialled()?,
        _ => return None,
    };
    let (area, number) = areas(&line)?;
    Some(vec![
        format!("549{line}"),
        format!("54{line}"),
        format!("54{area}15{number}"),
    ])
}

/// The area, and what follows it.
fn areas(line: &str) -> Option<(&str, &str)> {
    let length = match (line.get(..2)?, line.get(..3)?) {
        ("11", _) => 2,
        (_, three) if AREAS_OF_THREE.contains(&three) => 3,
        (two, _) if two.starts_with(['2', '3']) => 4,
        _ => return None,
    };
    line.split_at_checked(length)
}

fn mexico(national: &str) -> Option<Vec<String>> {
    let line = match national.len() {
        10 => national,
        11 => national.strip_prefix('1')?,
        _ => return None,
    };
    let possible = !line.starts_with(['0', '1']);
    possible.then(|| vec![format!("521{line}"), format!("52{line}")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn phones(value: &str) -> Vec<String> {
        let forms = forms(&Alias::new(AliasKind::Phone, value));
        forms.into_iter().map(|form| form.value).collect()
    }

    #[test]
    fn every_form_of_a_number_names_all_the_others() {
        let classes: &[&[&str]] = &[
            &["+5511987654321", "+551187654321"],
            &["+5531961234567", "+553161234567"],
            &["+5491123456789", "+541123456789", "+54111523456789"],
            &["+5492214567890", "+542214567890", "+54221154567890"],
            &["+5492966412345", "+542966412345", "+54296615412345"],
            &["+5215512345678", "+525512345678"],
        ];
        for class in classes {
            for form in *class {
                let mut found = phones(form);
                assert_eq!(found[0], *form);
                found.sort();
                let mut expected: Vec<&str> = class.to_vec();
                expected.sort_unstable();
                assert_eq!(found, expected, "{form}");
            }
        }
    }

    #[test]
    fn what_has_one_form_stays_alone() {
        for number in [
            "+551133334444",  // a fixed line in São Paulo
            "+5511933334444", // mobile, of a range that never had eight digits
            "+5501987654321", // no area
            "+34600111222",
            "+447700900123",
            "+5411234567",    // too short
            "+5440123456789", // no area
            "+5212345",
            "+52112345678901",
            "+521123456789", // no Mexican number begins with 1
            "+525",
            "+56912345678",
            "+13055551234",
        ] {
            assert_eq!(phones(number), [number]);
        }
    }

    #[test]
    fn ids_and_mailboxes_are_no_numbers() {
        for kind in [AliasKind::Bsuid, AliasKind::ParentBsuid, AliasKind::Email] {
            assert_eq!(forms(&Alias::new(kind, "5511987654321")).len(), 1);
        }
        let wa_id = forms(&Alias::new(AliasKind::WaId, "5511987654321"));
        assert_eq!(wa_id[1].value, "551187654321");
    }

    proptest! {
        /// Classes: whoever I am the other form of is the other form of me, and of all my forms.
        #[test]
        fn forms_are_classes(country in prop::sample::select(vec!["52", "54", "55", "34", "1"]), rest in "[0-9]{6,13}") {
            let number = format!("+{country}{rest}");
            let class: BTreeSet<String> = phones(&number).into_iter().collect();
            for form in &class {
                let again: BTreeSet<String> = phones(form).into_iter().collect();
                prop_assert_eq!(&again, &class);
            }
        }

        /// Whatever comes from outside.
        #[test]
        fn nothing_panics(value in ".{0,24}") {
            let all = forms(&Alias::new(AliasKind::WaId, &value));
            prop_assert_eq!(&all[0].value, &value);
            prop_assert!(phones(&value).len() <= 3);
        }
    }
}
