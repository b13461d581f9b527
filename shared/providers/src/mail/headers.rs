//! Who wrote to whom, and what it answers.

/// Somebody's address, with the name that stands before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub name: Option<String>,
    /// `local@domain` in lower case.
    pub address: String,
}
