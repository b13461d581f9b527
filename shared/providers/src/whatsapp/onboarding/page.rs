//! Lists that come in pages.

use super::call::text;
use reqwest::Url;
use serde_json::Value;

/// Items of one page; they bound the length of an answer.
const ITEMS: &str = "50";

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor of the page after this one; `None` on the last.
    pub next: Option<String>,
}

pub(super) fn ask(url: &mut Url, fields: &str, after: Option<&str>) {
    let mut query = url.query_pairs_mut();
    query
        .append_pair("fields", fields)
        .append_pair("limit", ITEMS);
    if let Some(cursor) = after {
        query.append_pair("after", cursor);
    }
}

/// `None` where an item or the cursor of a next page cannot be read: what is not in a list does not exist, so none is cut short. There is a
/// next page where Meta names its URL; the URL itself is never followed, for it holds the token.
pub(super) fn read<T>(body: &Value, item: impl Fn(&Value) -> Option<T>) -> Option<Page<T>> {
    let items = body.get("data")?.as_array()?;
    let more = body.pointer("/paging/next").is_some_and(Value::is_string);
    Some(Page {
        items: items.iter().map(item).collect::<Option<_>>()?,
        next: if more {
            Some(text(body, "/paging/cursors/after")?)
        } else {
            None
        },
    })
}
