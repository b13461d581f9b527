//! STOP and its relatives: a message that is nothing but such a word.

use crate::model::Channel;
use serde::Serialize;

/// What somebody wants of us on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Wish {
    Stop,
    Start,
    Help,
}

/// The wish that the whole message is.
#[must_use]
pub fn wish(text: &str, _channel: Channel) -> Option<Wish> {
    match text.trim().to_lowercase().as_str() {
        "stop" => Some(Wish::Stop),
        "start" => Some(Wish::Start),
        "help" => Some(Wish::Help),
        _ => None,
    }
}
