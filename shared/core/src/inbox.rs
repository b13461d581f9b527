//! The agents' inbox: threads, who holds them, and what agents do with them.

mod claim;
mod close;
mod content;
mod files;
mod lifecycle;
mod notes;
mod people;
mod read;
mod receipts;
mod reply;
mod route;
mod snooze;
mod start;
mod threads;
mod trial;
mod wake;
mod window;
mod write;

pub use claim::{
    Assignment, Handover, claim_conversation, reassign_conversation, release_conversation,
};
pub use close::{Closing, Standing, reopen_conversation, resolve_conversation};
pub use content::{MediaKind, ReplyContent, ReplyMedia, ReplyReaction};
pub use files::{FilesToOpen, OpenedFiles, open_files};
pub use lifecycle::ConversationStatus;
pub use notes::{Linked, Links, Note, Noted, add_note, link_conversation};
pub use people::{
    Blocked, Masked, Reviewed, block_contact, dismiss_contact_review, mask_contact, merge_contacts,
    unblock_contact, unmerge_contacts,
};
pub use read::{ReadMark, Unread, mark_read, mark_unread};
pub use receipts::{
    ReceiptPolicy, ReceiptSet, ReceiptSetting, Typing, set_read_receipts, set_typing,
};
pub use reply::{AgentMessage, Replied, send_agent_message};
pub(crate) use reply::{may_answer, sees, touch};
pub use snooze::{Snooze, Snoozed, snooze_conversation};
pub use start::{Start, start_conversation};
pub use threads::{Thread, find_answered, live_threads};
pub use trial::{TestMessage, TestQueued, send_test_message};
pub use wake::wake_all;
pub(crate) use write::must_want_it;

pub(crate) use crate::platform::hasura::{TENANT_ADMIN, administrators};
use crate::platform::{DatabaseError, hasura::ActionError};
use http::StatusCode;

/// Why an action of the inbox did not happen.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The caller's to mend, or simply how things stand.
    #[error(transparent)]
    Refused(#[from] ActionError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The refusal of what only the holder may do, while nobody holds it.
fn claim_first(doing: &str) -> ActionError {
    ActionError::new(
        StatusCode::CONFLICT,
        "claim-required",
        format!("claim the conversation before {doing}"),
    )
}
