//! SNS's own reports about text messages, which come as lines of CloudWatch Logs.
//!
//! Source: "Viewing CloudWatch metrics and logs for SMS deliveries", SNS developer guide; "Log group-level subscription
//! filters", CloudWatch Logs user guide.

use crate::event::ProviderEvent;

/// One event of a log subscription.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SmsLog {
    /// Says whether it is a log of successes or of failures: `sns/<region>/<account>/DirectPublishToPhoneNumber…`.
    pub log_group: String,
    /// None in a control message, by which the subscription is tried out.
    pub lines: Vec<LogLine>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// The same when the line comes again.
    pub id: String,
    pub event: ProviderEvent,
}

/// The event is no log at all.
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
