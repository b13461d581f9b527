//! What agents do about contacts.

use crate::unknown;
use comms_core::inbox::{self, InboxError};
use comms_core::model::{ContactId, MergeId, ReviewId};
use comms_core::platform::Tx;
use comms_core::platform::hasura::{ActionRequest, Session};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    contact_id: ContactId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Two {
    kept_contact_id: ContactId,
    merged_contact_id: ContactId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichMerge {
    merge_id: MergeId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WhichReview {
    review_id: ReviewId,
}

pub(crate) async fn act(
    tx: &mut Tx,
    session: &Session,
    call: &ActionRequest,
) -> Result<Value, InboxError> {
    let which = || call.arguments().map(|Which { contact_id }| contact_id);
    Ok(match call.action.name.as_str() {
        "blockContact" => json!(inbox::block_contact(tx, session, which()?).await?),
        "unblockContact" => json!(inbox::unblock_contact(tx, session, which()?).await?),
        "maskContact" => json!(inbox::mask_contact(tx, session, which()?, true).await?),
        "unmaskContact" => json!(inbox::mask_contact(tx, session, which()?, false).await?),
        "mergeContacts" => {
            let Two {
                kept_contact_id: kept,
                merged_contact_id: merged,
            } = call.arguments()?;
            json!(inbox::merge_contacts(tx, session, kept, merged).await?)
        }
        "unmergeContacts" => {
            let WhichMerge { merge_id } = call.arguments()?;
            json!(inbox::unmerge_contacts(tx, session, merge_id).await?)
        }
        "dismissContactReview" => {
            let WhichReview { review_id } = call.arguments()?;
            json!(inbox::dismiss_contact_review(tx, session, review_id).await?)
        }
        _ => return Err(unknown()),
    })
}
