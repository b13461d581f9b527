//! Addresses as they are written.
//!
//! `From` decides who somebody is taken for, and DMARC vouches for what SES reads there. So a `From` counts as one mailbox only where
//! no two readers could disagree about it; the library's own reading, which makes the best of anything, is for all other headers.
//!
//! Source: RFC 5322, 3.2.4 (quoted strings), 3.4 and 3.4.1 (mailboxes).

/// Somebody's address, with the name that stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<String>,
    /// `local@domain` in lower case; the local part stands in quotes where it must: `"john..doe"@docomo.ne.jp`.
    pub address: String,
}

const ADDRESS_LIMIT: usize = 320;

/// Something that can be written to.
pub(super) fn address(text: &str) -> Option<String> {
    let text = text.trim().trim_matches(['<', '>', '\'', ' ']);
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.rsplit_once("\"@"));
    let (local, domain) = if let Some((local, domain)) = quoted {
        (unquoted(local)?, domain)
    } else {
        let (local, domain) = text
            .trim_matches(['<', '>', '"', '\'', ' '])
            .rsplit_once('@')?;
        (local.to_owned(), domain)
    };
    let plain = |c: char| {
        !c.is_control() && !c.is_whitespace() && !"<>,;@\"\\".contains(c) && c != '\u{fffd}'
    };
    let is_address =
        !local.is_empty() && !domain.is_empty() && local.chars().chain(domain.chars()).all(plain);
    let address = if quoted.is_some() && !is_dot_atom(&local) {
        format!("\"{local}\"@{domain}")
    } else {
        format!("{local}@{domain}")
    };
    (is_address && address.len() <= ADDRESS_LIMIT).then(|| address.to_lowercase())
}

/// Without its backslashes; `None` where it ends before its end.
fn unquoted(text: &str) -> Option<String> {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => plain.push(chars.next()?),
            c => plain.push(c),
        }
    }
    Some(plain)
}

/// Needs it no quotes?
fn is_dot_atom(local: &str) -> bool {
    let special = |c: char| "()[]:".contains(c);
    local
        .split('.')
        .all(|atom| !atom.is_empty() && !atom.contains(special))
}

/// The one mailbox that a header is.
pub(super) struct Only {
    pub address: String,
    /// Does nothing else in the header look like an address?
    pub is_plain: bool,
}

/// `Ana <ana@example.com>`, `ana@example.com (Ana)`; `None` for several, a group, and what is not closed.
pub(super) fn only(header: &str) -> Option<Only> {
    let shape = shape(header)?;
    if shape.contains([',', ';', ':', ')', '\\'])
        || header.chars().any(|c| c.is_control() && c != '\t')
    {
        return None;
    }
    let Some((phrase, rest)) = shape.split_once('<') else {
        return Some(Only {
            address: within(header, &shape, 0, shape.len())?,
            is_plain: true,
        });
    };
    let (inside, behind) = rest.split_once('>')?;
    if inside.contains('<') || !behind.trim().is_empty() {
        return None;
    }
    let start = phrase.len() + 1;
    let address = within(header, &shape, start, start + inside.len())?;
    let is_plain = phrase
        .split_whitespace()
        .filter(|word| word.contains('@'))
        .all(|word| word.to_lowercase() == address);
    Some(Only { address, is_plain })
}

/// The address between two places. Blanks and comments may stand around it and not in it, and quotes around its local part alone.
fn within(header: &str, shape: &str, start: usize, end: usize) -> Option<String> {
    let shape = shape.get(start..end)?;
    let start = start + shape.len() - shape.trim_start().len();
    let shape = shape.trim();
    let unquoted = shape.trim_start_matches('"');
    let is_quoted = unquoted.len() < shape.len();
    let is_whole = !unquoted.contains([' ', '\t', '"'])
        && !unquoted.starts_with('\'')
        && !unquoted.ends_with('\'')
        && (!is_quoted || unquoted.starts_with('@'));
    let text = header.get(start..start + shape.len())?;
    is_whole.then(|| address(text)).flatten()
}

/// The header with blanks for its comments and quotes for all that is quoted, each as long as what it stands for.
fn shape(header: &str) -> Option<String> {
    let mut shape = String::with_capacity(header.len());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in header.chars() {
        let is_escape = !escaped && c == '\\' && (quoted || depth > 0);
        let ends = !escaped && !is_escape;
        let shown = match c {
            '"' if depth == 0 && ends => {
                quoted = !quoted;
                '"'
            }
            _ if quoted => '"',
            '(' if ends => {
                depth += 1;
                ' '
            }
            ')' if ends && depth > 0 => {
                depth -= 1;
                ' '
            }
            _ if depth > 0 => ' ',
            c => c,
        };
        escaped = is_escape;
        if shown == c {
            shape.push(c);
        } else {
            shape.extend(std::iter::repeat_n(shown, c.len_utf8()));
        }
    }
    (depth == 0 && !quoted).then_some(shape)
}
