//! The card by which somebody without a number gives us theirs, asked for it (`request_contact_info`).

use super::json;
use crate::sms;
use serde_json::Value;

/// In E.164. A card that its sender chose to send may be anybody's: only the answer to our question is theirs (`origin`).
pub(super) fn given_phone(message: &Value) -> Option<String> {
    let [card] = message.get("contacts")?.as_array()?.as_slice() else {
        return None;
    };
    if card.get("origin")? != "contact_request" {
        return None;
    }
    let listed = card.get("phones").and_then(Value::as_array);
    let mut numbers: Vec<String> = listed
        .into_iter()
        .flatten()
        .filter_map(|phone| {
            let account = sms::phone(phone, "/wa_id");
            account.or_else(|| international(&json::text(phone, "/phone")?))
        })
        .collect();
    let vcard = unfolded(&json::text(card, "/vcard").unwrap_or_default());
    numbers.extend(vcard.lines().filter_map(telephone));
    numbers.sort();
    numbers.dedup();
    // Of several it is not said which one is on WhatsApp.
    <[String; 1]>::try_from(numbers).ok().map(|[number]| number)
}

/// A long line goes on below, behind a blank (RFC 6350, 3.2).
fn unfolded(vcard: &str) -> String {
    let vcard = vcard.replace("\r\n", "\n");
    vcard.replace("\n ", "").replace("\n\t", "")
}

/// `TEL;type=CELL;waid=34600111222:+34 600 11 12 22` (RFC 6350, and WhatsApp's own parameter).
fn telephone(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    let mut words = name.split(';');
    let property = words.next()?.rsplit('.').next()?;
    if !property.eq_ignore_ascii_case("TEL") {
        return None;
    }
    let account = words.find_map(|word| {
        let (key, digits) = word.split_once('=')?;
        key.eq_ignore_ascii_case("waid").then_some(digits)
    });
    let value = value.trim();
    let is_uri = value
        .get(..4)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    let value = if is_uri { &value[4..] } else { value };
    account.and_then(e164).or_else(|| international(value))
}

fn e164(digits: &str) -> Option<String> {
    sms::phone(&digits.into(), "")
}

/// Without a country's code nobody knows whose it is.
fn international(number: &str) -> Option<String> {
    let number = number.trim().strip_prefix('+')?;
    let written = |c: char| c.is_ascii_digit() || " -.()\u{a0}".contains(c);
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    number.chars().all(written).then(|| e164(&digits))?
}

#[cfg(test)]
mod tests {
    use super::given_phone;
    use serde_json::{Value, json};

    fn given(card: &Value) -> Option<String> {
        given_phone(&json!({"type": "contacts", "contacts": [card]}))
    }

    #[test]
    fn the_number_is_found_however_it_is_written() {
        let number = Some("+34600111222".to_owned());
        for tel in [
            "TEL:+34600111222",
            "TEL;type=CELL;waid=34600111222:600 11 12 22",
            "item1.tel;type=VOICE:+34 (600) 11-12.22",
            "TEL;VALUE=uri:Tel:+34-600-111-222",
            "TEL;VALUE=uri;TYPE=cell:tel:+34600\r\n 111222",
            "TEL:+34600111222\r\nTEL;waid=34600111222:600111222",
        ] {
            let vcard = format!("BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Ana\r\n{tel}\r\nEND:VCARD");
            assert_eq!(
                given(&json!({"origin": "contact_request", "vcard": vcard})),
                number,
                "{tel}"
            );
        }
        let listed =
            json!([{"phone": "+34 600 111 222", "wa_id": "34600111222"}, {"phone": "600111222"}]);
        assert_eq!(
            given(&json!({"origin": "contact_request", "phones": listed})),
            number
        );
    }

    #[test]
    fn what_does_not_say_one_number_of_theirs_gives_none() {
        for card in [
            json!({"vcard": "TEL:+34600111222"}),
            json!({"origin": "other", "vcard": "TEL:+34600111222"}),
            json!({"origin": "contact_request"}),
            json!({"origin": "contact_request", "vcard": "TEL:600111222\nTELEX:+34600111222\nNOTE:TEL:+34600111222"}),
            json!({"origin": "contact_request", "vcard": "TEL:+34600111222\nTEL:+34600111223"}),
            json!({"origin": "contact_request", "vcard": "TEL;waid=0600:+1"}),
            json!({"origin": "contact_request", "vcard": 7, "phones": {"phone": "+34600111222"}}),
        ] {
            assert_eq!(given(&card), None, "{card}");
        }
        let card = json!({"origin": "contact_request", "vcard": "TEL:+34600111222"});
        assert_eq!(given_phone(&json!({"contacts": [card, card]})), None);
    }
}
