//! Whose is it: every event goes to the owner of the number that it names, if the door's tenant may be there at all.
//!
//! A provider may put several numbers into one payload, and each has one owner (a unique index across tenants). The path
//! names a tenant too: when that one owns none of the numbers, the payload came to the wrong door and nobody gets it.

use crate::channels::accounts;
use crate::model::{AccountId, Channel, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::event::ProviderEvent;
use std::collections::HashMap;

/// The accounts that one payload names, by the provider's id.
#[derive(Debug)]
pub struct Owners(HashMap<String, (TenantId, AccountId)>);

impl Owners {
    pub async fn find(
        tx: &mut Tx,
        door: TenantId,
        events: &[ProviderEvent],
    ) -> Result<Self, DatabaseError> {
        let mut named: Vec<String> = events
            .iter()
            .filter_map(|event| event.account.as_ref())
            .filter_map(|account| account.external_account_id.clone())
            .collect();
        named.sort_unstable();
        named.dedup();
        let owned = accounts::owners(tx, Channel::WhatsApp, &named).await?;
        if !owned.iter().any(|account| account.tenant == door) {
            return Ok(Self(HashMap::new()));
        }
        let owners = owned
            .into_iter()
            .map(|account| (account.external_account_id, (account.tenant, account.id)));
        Ok(Self(owners.collect()))
    }

    pub fn of(&self, event: &ProviderEvent) -> Option<(TenantId, AccountId)> {
        self.0
            .get(event.account.as_ref()?.external_account_id.as_ref()?)
            .copied()
    }
}
