//! Finds or creates the contact behind each sighting: the only place that creates contacts.
//!
//! Everything that may become an alias is locked first, in all its forms and in one order for everybody, so that ten first
//! messages of a new sender (or a webhook and an event at once, with two forms of one number) end in one contact.

use super::{Alias, Decisions, Known, Sighting, decide, variants};
use crate::model::{ContactId, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde::Serialize;
use uuid::Uuid;

/// Who has any of these?
#[derive(Serialize)]
struct Question {
    tenant_id: TenantId,
    aliases: Vec<Alias>,
    /// Or a driver, or a vendor.
    profile: Option<Uuid>,
}

/// One contact for each sighting, in the same order.
///
/// # Errors
/// When the database does not answer, or refuses an alias (a phone that is not E.164).
pub async fn resolve(tx: &mut Tx, sightings: &[Sighting]) -> Result<Vec<ContactId>, DatabaseError> {
    if sightings.is_empty() {
        return Ok(Vec::new());
    }
    let question: Vec<_> = sightings
        .iter()
        .map(|s| Question {
            tenant_id: s.tenant,
            aliases: to_look_up(s.aliases.iter().chain(&s.formerly)),
            profile: s.of_the_host(),
        })
        .collect();
    let known: Known = tx.call("find_people", &question).await?;
    let decisions: Decisions = decide(&known, sightings);
    if !decisions.is_empty() {
        let () = tx.call("people_store", &decisions).await?;
    }
    Ok(decisions.contacts)
}

/// What must be locked and looked up to decide about these: they, and their other forms.
pub fn to_look_up<'a>(aliases: impl IntoIterator<Item = &'a Alias>) -> Vec<Alias> {
    aliases.into_iter().flat_map(variants::forms).collect()
}
