//! HTML from strangers, made safe to show to an agent.
//!
//! What is allowed is listed; everything else goes, scripts and styles with their content. A remote image would tell its
//! sender that and where the mail was opened, so it is kept under `data-src`: whoever shows the mail asks first. Pictures of
//! the mail itself (`cid:`) keep their `src`, for whoever shows it to replace.

mod measure;
mod text;

use super::TEXT_LIMIT;
use ammonia::{Builder, UrlRelative};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

/// Stands before a remote image's address until the attribute gets its other name.
const REMOTE: &str = "remote-image:";

static ALLOWED: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut allowed = Builder::default();
    allowed
        .url_schemes(HashSet::from([
            "http", "https", "mailto", "tel", "cid", "data",
        ]))
        .url_relative(UrlRelative::Deny)
        .add_clean_content_tags([
            "head", "title", "template", "noscript", "textarea", "select",
        ])
        .rm_tags(["area", "map"])
        .add_tags(["address", "main", "section"])
        .link_rel(Some("noopener noreferrer nofollow"))
        .add_tag_attributes("a", ["target"])
        .set_tag_attribute_value("a", "target", "_blank")
        .attribute_filter(attribute);
    allowed
});

/// Entities and spaces that do not break, of which each is looked for to the end of its text.
const ESCAPED: usize = 20_000;

/// Bytes of a picture within the HTML that stays where all of it is too long.
const PICTURE: usize = 1024;

/// Makes HTML short enough to be read: pictures that are written out in it go first, for they are longer than all words, and
/// what is still too long ends there. Was it longer?
pub(super) fn shorten(html: &mut String) -> bool {
    let is_long = html.len() > TEXT_LIMIT;
    if is_long {
        *html = without_pictures(html);
    }
    let is_cut = super::shorten(html, TEXT_LIMIT);
    let escaped = html.match_indices(['&', '\u{a0}']).nth(ESCAPED);
    let limit = escaped.map_or(html.len(), |(at, _)| at);
    let limit = limit.min(measure::readable(&html[..limit]));
    super::shorten(html, limit) || is_cut || is_long
}

/// Leaves nothing of a long `data:` URL but its scheme, which no picture is made of.
fn without_pictures(html: &str) -> String {
    let mut kept = String::new();
    let mut rest = html;
    while let Some((before, value)) = split_behind_data(rest) {
        let (value, behind) = value
            .split_at_checked(length(before, value))
            .unwrap_or((value, ""));
        kept.push_str(before);
        if value.len() <= PICTURE {
            kept.push_str(value);
        }
        rest = behind;
    }
    kept + rest
}

fn split_behind_data(html: &str) -> Option<(&str, &str)> {
    html.match_indices(':')
        .map(|(at, _)| at + 1)
        .find(|end| {
            let word = end.checked_sub(5).and_then(|start| html.get(start..*end));
            word.is_some_and(|word| word.eq_ignore_ascii_case("data:"))
        })
        .and_then(|end| html.split_at_checked(end))
}

/// How long a URL is: in an attribute's quotes to their end, elsewhere to whatever cannot be part of one.
fn length(before: &str, value: &str) -> usize {
    let before = before.get(..before.len().saturating_sub(5));
    let before = before.unwrap_or_default().trim_end();
    let opens = |quote: &char| {
        let before = before.strip_suffix(*quote).map(str::trim_end);
        before.is_some_and(|before| before.ends_with(['=', '(']))
    };
    let end = match ['"', '\''].into_iter().find(opens) {
        Some(quote) => value.find(quote),
        None => value.find(|c: char| c.is_whitespace() || "\"'<>)".contains(c)),
    };
    end.unwrap_or(value.len())
}

/// The HTML with nothing in it that acts by itself.
pub(super) fn safe(html: &str) -> String {
    let clean = ALLOWED.clean(html).to_string();
    clean.replace(&format!(" src=\"{REMOTE}"), " data-src=\"")
}

/// What it says, line by line. Made safe first: scripts and styles are no words of anybody's.
pub(super) fn text(html: &str) -> String {
    text::text(&safe(html))
}

/// Only pictures may be of the mail itself, and only pictures that cannot hold a script may stand in the HTML.
fn attribute<'a>(element: &str, name: &str, value: &'a str) -> Option<Cow<'a, str>> {
    let start: String = value.trim_start().chars().take(32).collect();
    let start = start.to_ascii_lowercase();
    let is_picture = element == "img" && name == "src";
    // Nobody follows it, and nobody should.
    if name == "cite" {
        return None;
    }
    let is_url = is_picture || name == "href";
    if !is_url {
        return Some(value.into());
    }
    let inline = ["png", "jpeg", "jpg", "gif", "webp"]
        .iter()
        .any(|kind| start.starts_with(&format!("data:image/{kind};base64,")));
    if start.starts_with("cid:") || inline {
        return is_picture.then(|| value.into());
    }
    if start.starts_with("data:") {
        return None;
    }
    Some(if is_picture {
        format!("{REMOTE}{}", value.trim_start()).into()
    } else {
        value.into()
    })
}
