//! SNS's own reports about text messages, which come as lines of CloudWatch Logs.
//!
//! They name a message by SNS's id and nothing of ours, and hide the number. A line that cannot be read is an event of its
//! own ([`EventKind::Malformed`]), and takes no other with it. What is sent to us is packed, so it is unpacked with a limit.
//!
//! Source: "Viewing CloudWatch metrics and logs for SMS deliveries", SNS developer guide; "Log group-level subscription
//! filters", CloudWatch Logs user guide.

mod line;

use crate::event::{EventKind, ProviderEvent};
use crate::json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::io::Read;
use time::OffsetDateTime;

/// Bytes of one event, unpacked; CloudWatch sends 1 MB packed at most.
const SIZE_LIMIT: u64 = 32_000_000;

/// One event of a log subscription.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SmsLog {
    /// Says whether it is a log of successes or of failures: `sns/<region>/<account>/DirectPublishToPhoneNumber…`.
    pub log_group: String,
    /// None in a control message, by which CloudWatch tries the subscription out.
    pub lines: Vec<LogLine>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The same when the line comes again; empty where CloudWatch gave none.
    pub id: String,
    pub event: ProviderEvent,
}

/// The event is no log at all. Sending it again would not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the event has no awslogs.data in base64")]
    NoData,
    #[error("the data is not gzip")]
    NotGzip,
    #[error("the data is larger than 32 MB unpacked")]
    TooLarge,
    #[error("the data is no JSON of CloudWatch Logs")]
    NotALog,
}

/// Reads the event of a Lambda that is subscribed to the log.
///
/// # Errors
///
/// [`LogError`]; faults of single lines become events.
pub fn read(event: &Value) -> Result<SmsLog, LogError> {
    let data = json::text(event, "/awslogs/data").ok_or(LogError::NoData)?;
    let packed = STANDARD.decode(data).map_err(|_| LogError::NoData)?;
    let unpacked = unpack(&packed)?;
    let log = json::parse(&String::from_utf8_lossy(&unpacked)).ok_or(LogError::NotALog)?;
    let log_group = json::text(&log, "/logGroup").unwrap_or_default().to_owned();
    let lines = match json::text(&log, "/messageType") {
        Some("CONTROL_MESSAGE") => Vec::new(),
        Some("DATA_MESSAGE") => json::list(&log, "/logEvents").iter().map(line).collect(),
        _ => return Err(LogError::NotALog),
    };
    Ok(SmsLog { log_group, lines })
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, LogError> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(packed)
        .take(SIZE_LIMIT + 1)
        .read_to_end(&mut unpacked);
    match read {
        Ok(length) if length as u64 > SIZE_LIMIT => Err(LogError::TooLarge),
        Ok(_) => Ok(unpacked),
        Err(_) => Err(LogError::NotGzip),
    }
}

fn line(event: &Value) -> LogLine {
    let message = json::text(event, "/message").unwrap_or_default();
    let at = json::milliseconds(event.get("timestamp")).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    LogLine {
        id: json::id(event, "/id").unwrap_or_default(),
        event: match json::parse(message) {
            Some(line) => of_line(line, at),
            None => ProviderEvent {
                account: None,
                kind: malformed("a line is no JSON"),
                raw: event.clone(),
            },
        },
    }
}

/// One line again, as it stands in [`ProviderEvent::raw`]; `seen_at` stands in where its own time is not readable. A line that was no JSON
/// stands there with all that CloudWatch said of it.
#[must_use]
pub fn again(kept: &[u8], seen_at: OffsetDateTime) -> ProviderEvent {
    let text = String::from_utf8_lossy(kept);
    match json::parse(&text) {
        Some(event) if json::text(&event, "/message").is_some() => line(&event).event,
        Some(line) => of_line(line, seen_at),
        None => ProviderEvent {
            account: None,
            kind: malformed("a line is no JSON"),
            raw: json::unparsed(&text),
        },
    }
}

fn of_line(line: Value, at: OffsetDateTime) -> ProviderEvent {
    ProviderEvent {
        account: None,
        kind: match line::read(&line, at) {
            Ok(update) => EventKind::Status(Box::new(update)),
            Err(reason) => malformed(reason),
        },
        raw: line,
    }
}

fn malformed(reason: &str) -> EventKind {
    EventKind::Malformed {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
