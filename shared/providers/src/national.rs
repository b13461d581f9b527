//! One phone, several ways to write it.
//!
//! Three countries changed how mobile numbers are written, and old and new forms live on side by side: a profile has one, a
//! `wa_id` the other. All forms of a number are one class; whoever is known by one form is found by any.
//!
//! | country | the forms of one number | which numbers |
//! |---|---|---|
//! | Brazil | `55 DD 9 NNNN NNNN`, `55 DD NNNN NNNN` (before the ninth digit) | whose eight digits begin with 6 to 9: mobile; 2 to 5 are fixed lines |
//! | Argentina | `54 9 A… N…` (mobile from abroad), `54 A… N…`, `54 A… 15 N…` (as dialled at home) | area and number have ten digits together, and belong to one line |
//! | Mexico | `52 1 NN NNNN NNNN` (mobile until 2019), `52 NN NNNN NNNN` | all: the ten digits belong to one line |

/// Argentina's areas of three digits; 11 has two, all others have four.
const AREAS_OF_THREE: &[&str] = &[
    "220", "221", "223", "230", "236", "237", "249", "260", "261", "263", "264", "266", "280",
    "291", "294", "297", "298", "299", "336", "341", "342", "343", "345", "348", "351", "353",
    "358", "362", "364", "370", "376", "379", "380", "381", "383", "385", "387", "388",
];

/// All forms of a number, in digits without `+`, the given one among them; empty where there is no other.
#[must_use]
pub fn forms(digits: &str) -> Vec<String> {
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
