//! The live thread of each contact. Threads are found, reopened and opened by `communications.store_messages`, in the
//! transaction that stores what arrived.

use crate::model::{ContactId, ConversationId, TenantId};
use crate::platform::{Database, DatabaseError, Tx};
use uuid::Uuid;

/// The thread of one contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    pub contact: ContactId,
    pub conversation: ConversationId,
}

/// The live thread of each contact that has one.
///
/// # Errors
/// When the database does not answer.
pub async fn live_threads(
    tx: &mut Tx,
    tenant: TenantId,
    contacts: &[ContactId],
) -> Result<Vec<Thread>, DatabaseError> {
    let ids: Vec<Uuid> = contacts.iter().map(|contact| contact.0).collect();
    let threads = sqlx::query_as!(
        Thread,
        r#"select contact_id as "contact: ContactId", id as "conversation: ConversationId"
             from communications.conversations
            where tenant_id = $1 and contact_id = any($2) and status <> 'RESOLVED'"#,
        tenant.0,
        &ids
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(threads)
}

/// Answers that one scan gives the message that they answer.
const ANSWERS: i32 = 500;

/// An answer and the message that it answers may be written at the same time, and then neither has seen the other. How many of the
/// last hour's were found.
///
/// # Errors
/// When the database does not answer.
pub async fn find_answered(database: &Database) -> Result<i32, DatabaseError> {
    let mut tx = database.begin().await?;
    let found = sqlx::query_scalar!(
        r#"select communications.find_answered($1) as "found!""#,
        ANSWERS
    )
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(found)
}
