//! Two contacts become one, and two again: `communications.merge_contacts` and `unmerge_contacts` do it in
//! one statement each. Here the database's words become types.

use crate::model::{ContactId, MergeId, ReviewId, TenantId, UserId};
use crate::platform::{DatabaseError, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Why two contacts were not merged, or stay merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error("no such contact or merge of this tenant")]
    NotFound,
    #[error("a contact cannot be merged with itself")]
    Itself,
    /// It was taken up by another contact and has nothing left of its own.
    #[error("contact {0} was merged into another one")]
    Merged(ContactId),
    /// The contact that was kept took part in a merge since: that one comes first.
    #[error("merge {0} must be undone first")]
    LaterMerge(MergeId),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A merge that stands, or was undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Merged {
    pub merge_id: MergeId,
    pub kept_contact_id: ContactId,
    pub merged_contact_id: ContactId,
}

/// What the database answers.
#[derive(Debug, Deserialize)]
struct Answer {
    refused: Option<Refused>,
    merge_id: Option<MergeId>,
    contact_id: Option<ContactId>,
    kept_id: Option<ContactId>,
    merged_id: Option<ContactId>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Refused {
    NotFound,
    Merged,
    LaterMerge,
}

impl Answer {
    fn merge(&self) -> Result<MergeId, MergeError> {
        match (self.refused, self.merge_id, self.contact_id) {
            (None, Some(merge), _) => Ok(merge),
            (Some(Refused::LaterMerge), Some(merge), _) => Err(MergeError::LaterMerge(merge)),
            (Some(Refused::Merged), _, Some(contact)) => Err(MergeError::Merged(contact)),
            _ => Err(MergeError::NotFound),
        }
    }
}

/// Whom somebody is by now, locked: nobody merges them before this transaction ends. `None`: no such contact.
pub(super) async fn living(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
) -> Result<Option<ContactId>, DatabaseError> {
    loop {
        let row = sqlx::query!(
            r#"select id as "id: ContactId", merged_into is not null as "merged!" from communications.contacts
                where tenant_id = $1 and id = communications.living_contact($1, $2) for no key update"#,
            tenant.0,
            contact.0
        )
        .fetch_optional(tx.conn())
        .await?;
        match row {
            // While this waited for the row.
            Some(row) if row.merged => {}
            row => return Ok(row.map(|row| row.id)),
        }
    }
}

/// Everything of `merged` becomes `kept`'s. The same merge again answers the first.
///
/// # Errors
/// [`MergeError`]; nothing is changed then.
pub async fn merge(
    tx: &mut Tx,
    tenant: TenantId,
    kept: ContactId,
    merged: ContactId,
    by: UserId,
) -> Result<Merged, MergeError> {
    if kept == merged {
        return Err(MergeError::Itself);
    }
    let question = json!({
        "tenant_id": tenant, "merge_id": MergeId::generate(), "kept_id": kept, "merged_id": merged, "by": by
    });
    let answer: Answer = tx.call("merge_contacts", &question).await?;
    Ok(Merged {
        merge_id: answer.merge()?,
        kept_contact_id: kept,
        merged_contact_id: merged,
    })
}

/// Both are as they were, with what came since at whose address it came to. Undone again answers the same.
///
/// # Errors
/// [`MergeError`]; nothing is changed then.
pub async fn unmerge(
    tx: &mut Tx,
    tenant: TenantId,
    merge: MergeId,
    by: UserId,
) -> Result<Merged, MergeError> {
    let question = json!({"tenant_id": tenant, "merge_id": merge, "by": by});
    let answer: Answer = tx.call("unmerge_contacts", &question).await?;
    let merge_id = answer.merge()?;
    let (Some(kept), Some(merged)) = (answer.kept_id, answer.merged_id) else {
        return Err(MergeError::NotFound);
    };
    Ok(Merged {
        merge_id,
        kept_contact_id: kept,
        merged_contact_id: merged,
    })
}

/// They are two people: the review is closed, and the same evidence opens no other. Answers how it is closed, which may be
/// otherwise and long ago; `None`: there is no such review.
///
/// # Errors
/// When the database does not answer.
pub async fn dismiss_review(
    tx: &mut Tx,
    tenant: TenantId,
    review: ReviewId,
    by: UserId,
) -> Result<Option<String>, DatabaseError> {
    let resolution = sqlx::query_scalar!(
        r#"with dismissed as (
               update communications.contact_reviews
                  set resolution = 'DISMISSED', resolved_by = $3, resolved_at = now()
                where tenant_id = $1 and id = $2 and resolution is null
               returning resolution)
           select resolution as "resolution!" from dismissed
           union all
           select resolution from communications.contact_reviews
            where tenant_id = $1 and id = $2 and resolution is not null
           limit 1"#,
        tenant.0,
        review.0,
        by.0
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(resolution)
}
