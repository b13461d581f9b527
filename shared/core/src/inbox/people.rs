//! What agents do about people: block them, merge contacts that are one person, take a merge back, say that two are two.
//!
//! Blocking is every agent's. Merging shows one contact's messages under another's name and decides where answers go, so it is
//! the administrators', as are the reviews that lead to it.

use super::InboxError;
use super::administrators;
use crate::contacts::{self, MergeError, Merged};
use crate::model::{ContactId, MergeId, ReviewId};
use crate::platform::{
    Tx,
    hasura::{ActionError, Session},
};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

/// What `blockContact` and `unblockContact` answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    pub contact_id: ContactId,
    #[serde(with = "time::serde::rfc3339::option")]
    pub blocked_at: Option<OffsetDateTime>,
}

/// What `maskContact` and `unmaskContact` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Masked {
    pub contact_id: ContactId,
    pub masked: bool,
}

/// What `dismissContactReview` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    pub review_id: ReviewId,
    /// DISMISSED, or MERGED where that came first.
    pub resolution: String,
}

/// # Errors
/// `forbidden` for all but administrators; `validation-failed` for one contact twice; `not-found`; `conflict` naming the contact
/// that was merged before.
pub async fn merge_contacts(
    tx: &mut Tx,
    session: &Session,
    kept: ContactId,
    merged: ContactId,
) -> Result<Merged, InboxError> {
    administrators(session, "merge contacts")?;
    let merged = contacts::merge(tx, session.tenant, kept, merged, session.user).await;
    merged.map_err(refused)
}

/// # Errors
/// `forbidden`; `not-found`; `conflict` naming the merge that must be undone first.
pub async fn unmerge_contacts(
    tx: &mut Tx,
    session: &Session,
    merge: MergeId,
) -> Result<Merged, InboxError> {
    administrators(session, "undo merges")?;
    let undone = contacts::unmerge(tx, session.tenant, merge, session.user).await;
    undone.map_err(refused)
}

/// # Errors
/// `forbidden`; `not-found`.
pub async fn dismiss_contact_review(
    tx: &mut Tx,
    session: &Session,
    review: ReviewId,
) -> Result<Reviewed, InboxError> {
    administrators(session, "dismiss reviews")?;
    let resolution = contacts::dismiss_review(tx, session.tenant, review, session.user).await?;
    let resolution = resolution.ok_or_else(|| ActionError::not_found("review"))?;
    Ok(Reviewed {
        review_id: review,
        resolution,
    })
}

/// # Errors
/// `not-found`.
pub async fn block_contact(
    tx: &mut Tx,
    session: &Session,
    contact: ContactId,
) -> Result<Blocked, InboxError> {
    let since = contacts::block(tx, session.tenant, contact, session.user).await?;
    let since = since.ok_or_else(|| ActionError::not_found("contact"))?;
    Ok(Blocked {
        contact_id: contact,
        blocked_at: Some(since),
    })
}

/// # Errors
/// `not-found`.
pub async fn unblock_contact(
    tx: &mut Tx,
    session: &Session,
    contact: ContactId,
) -> Result<Blocked, InboxError> {
    if !contacts::unblock(tx, session.tenant, contact).await? {
        return Err(ActionError::not_found("contact").into());
    }
    Ok(Blocked {
        contact_id: contact,
        blocked_at: None,
    })
}

/// Masked or not from now on, for everybody who reads through Hasura.
///
/// # Errors
/// `forbidden` for all but administrators; `not-found`.
pub async fn mask_contact(
    tx: &mut Tx,
    session: &Session,
    contact: ContactId,
    masked: bool,
) -> Result<Masked, InboxError> {
    administrators(session, "mask contacts")?;
    if !contacts::mask(tx, session.tenant, contact, masked).await? {
        return Err(ActionError::not_found("contact").into());
    }
    Ok(Masked {
        contact_id: contact,
        masked,
    })
}

fn refused(error: MergeError) -> InboxError {
    let refused = match error {
        MergeError::Database(error) => return error.into(),
        MergeError::NotFound => ActionError::not_found("contact or merge"),
        MergeError::Itself => {
            ActionError::invalid("merged_contact_id must not be the same as kept_contact_id")
        }
        MergeError::Merged(contact) => {
            ActionError::conflict("the contact was merged into another one")
                .with_details(json!({"contact_id": contact}))
        }
        MergeError::LaterMerge(merge) => {
            ActionError::conflict("a later merge of this contact must be undone first")
                .with_details(json!({"merge_id": merge}))
        }
    };
    refused.into()
}
