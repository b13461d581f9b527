//! One phone, several ways to write it: whoever is known by one national form is found by any. Nothing is rewritten: every form is kept as
//! it came.

use super::{Alias, AliasKind};
use comms_providers::national;

/// Every way to write this alias, itself first.
#[must_use]
pub fn forms(alias: &Alias) -> Vec<Alias> {
    let (plus, digits) = match alias.kind {
        AliasKind::Phone => ("+", alias.value.strip_prefix('+')),
        AliasKind::WaId => ("", Some(alias.value.as_str())),
        AliasKind::Bsuid | AliasKind::ParentBsuid | AliasKind::Email => ("", None),
    };
    let others = digits.map(national::forms).unwrap_or_default().into_iter();
    let others = others
        .map(|digits| Alias::new(alias.kind, &format!("{plus}{digits}")))
        .filter(|form| form != alias);
    std::iter::once(alias.clone()).chain(others).collect()
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
