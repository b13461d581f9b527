//! The agents' inbox: threads, who holds them, and what agents do with them.

mod claim;
mod lifecycle;
mod people;
mod reply;
mod snooze;
mod threads;

pub use claim::{Claimed, claim_conversation};
pub(crate) use lifecycle::TENANT_ADMIN;
pub use lifecycle::{ConversationStatus, Resolved, resolve_conversation};
pub use people::{
    Blocked, Reviewed, block_contact, dismiss_contact_review, merge_contacts, unblock_contact,
    unmerge_contacts,
};
pub use reply::{AgentMessage, Replied, ReplyContent, send_agent_message};
pub(crate) use reply::{may_answer, touch};
pub use snooze::{Woken, wake_snoozed};
pub use threads::{Thread, live_threads};

use crate::platform::{DatabaseError, hasura::ActionError};

/// Why an action of the inbox did not happen.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The caller's to mend, or simply how things stand.
    #[error(transparent)]
    Refused(#[from] ActionError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}
