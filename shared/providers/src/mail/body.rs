//! What was written, as text and as HTML, from the parts that are not files.

use super::html;
use mail_parser::decoders::html::{html_to_text, text_to_html};
use mail_parser::{Message, PartType};

/// All texts of the mail. An HTML part without a text beside it is read as text.
pub(super) fn text(mail: &Message<'_>) -> String {
    let texts = mail.text_bodies().filter_map(|part| match &part.body {
        PartType::Text(text) => Some(text.replace("\r\n", "\n")),
        // Made safe first: scripts and styles are no words of anybody's.
        PartType::Html(source) => {
            Some(html_to_text(&html::safe(&limited(source))).replace("\r\n", "\n"))
        }
        _ => None,
    });
    joined(texts, "\n").replace('\0', "").trim().to_owned()
}

/// All parts of the mail as one HTML, not safe yet; `None` where none of them is HTML.
pub(super) fn html(mail: &Message<'_>) -> Option<String> {
    let is_html = mail
        .html_bodies()
        .any(|part| matches!(&part.body, PartType::Html(_)));
    let parts = mail.html_bodies().filter_map(|part| match &part.body {
        PartType::Html(html) => Some(html.to_string()),
        PartType::Text(text) => Some(text_to_html(text)),
        _ => None,
    });
    is_html.then(|| joined(parts, "\n<br>\n").replace('\0', ""))
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    let parts: Vec<String> = parts.filter(|part| !part.trim().is_empty()).collect();
    parts.join(between)
}

fn limited(html: &str) -> String {
    let mut html = html.to_owned();
    super::shorten(&mut html, super::TEXT_LIMIT);
    html
}
