//! A report that a mail did not arrive, for mails that did not leave by a provider's own bounce handling.
//!
//! Source: RFC 3462 and 3464.

/// What the report says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounce {
    /// The `Message-ID` of the mail that did not arrive, without brackets.
    pub original_message_id: Option<String>,
    pub recipients: Vec<BouncedRecipient>,
}

/// One recipient of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BouncedRecipient {
    /// In lower case.
    pub address: String,
    /// `failed`, `delayed` …
    pub action: Option<String>,
    /// Such as `5.1.1`.
    pub status: Option<String>,
}
