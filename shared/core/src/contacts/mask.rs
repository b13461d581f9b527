//! Masked contacts: somebody whose addresses no agent may see, such as a driver off duty. They are answered as everybody is;
//! what Hasura shows of them (`communications.message_address`, `contact_addresses`) has no address in it.

use super::merge::living;
use crate::model::{ContactId, TenantId};
use crate::platform::{DatabaseError, Tx};

/// `false`: no such contact.
///
/// # Errors
/// When the database does not answer.
pub async fn mask(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    masked: bool,
) -> Result<bool, DatabaseError> {
    let Some(contact) = living(tx, tenant, contact).await? else {
        return Ok(false);
    };
    sqlx::query!(
        "update communications.contacts set masked = $3 where tenant_id = $1 and id = $2",
        tenant.0,
        contact.0,
        masked
    )
    .execute(tx.conn())
    .await?;
    Ok(true)
}
