//! Text that its writer's program has broken into short lines, as it was written (RFC 3676, `format=flowed`).

use mail_parser::{MessagePart, MimeHeaders};

const SIGNATURE: &str = "-- ";

/// The text of a part, its lines broken where its writer broke them; a part that is not flowed stays as it is. Lines end with `\n`.
pub(super) fn unbroken(part: &MessagePart<'_>, text: String) -> String {
    let attribute = |name| part.content_type().and_then(|kind| kind.attribute(name));
    let is = |name, value: &str| {
        attribute(name).is_some_and(|said: &str| said.eq_ignore_ascii_case(value))
    };
    if is("format", "flowed") {
        joined(&text, is("delsp", "yes"))
    } else {
        text
    }
}

/// A space at the end says that the line goes on below, in the same depth of quotes; `DelSp=yes`: and that the space is no part of it.
fn joined(text: &str, without_space: bool) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut goes_on = None;
    for (n, line) in text.split('\n').enumerate() {
        let said = line.trim_start_matches('>');
        let depth = line.len() - said.len();
        // A space before what would look like a quote, or like a mailbox's own line.
        let said = said.strip_prefix(' ').unwrap_or(said);
        // An empty line ends a paragraph, also where a space was left at the end of the one before.
        if goes_on != Some(depth) || said == SIGNATURE || said.is_empty() {
            if n > 0 {
                whole.push('\n');
            }
            whole.push_str(&line[..depth]);
            if depth > 0 && !said.is_empty() {
                whole.push(' ');
            }
        }
        let flows = said.ends_with(' ') && said != SIGNATURE;
        goes_on = flows.then_some(depth);
        let dropped = usize::from(flows && without_space);
        whole.push_str(&said[..said.len() - dropped]);
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn lines_go_on_where_they_end_with_a_space() {
        let flowed = "¿A qué hora sale el autobús de \nMadrid a Valencia?\n\n-- \nAna \nGarcía";
        assert_eq!(
            joined(flowed, false),
            "¿A qué hora sale el autobús de Madrid a Valencia?\n\n-- \nAna García"
        );
    }

    #[test]
    fn a_space_that_was_put_in_goes_again() {
        let flowed = "https://example.org/a/very/long/ \nway?to=it\n>> quoted \n>>  deeply \n> and less\n From here";
        assert_eq!(
            joined(flowed, true),
            "https://example.org/a/very/long/way?to=it\n>> quoted deeply\n> and less\nFrom here"
        );
    }

    #[test]
    fn an_empty_line_ends_a_paragraph() {
        assert_eq!(joined("Hola \n\nQuiero \nir", false), "Hola \n\nQuiero ir");
    }

    #[test]
    fn what_does_not_flow_stays() {
        for text in ["", "\n", "a\nb\n", "a\n\n\nb", "-- \n-- \n", ">\n> a\n>> b"] {
            assert_eq!(joined(text, false), text, "{text:?}");
        }
    }
}
