//! Whose is it: the door's tenant must own the account that an event names.

use crate::channels::accounts;
use crate::model::{AccountId, Channel, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::event::ProviderEvent;
use std::collections::HashMap;

/// The accounts of one payload that belong to the tenant, by the provider's id.
#[derive(Debug)]
pub struct Owned(HashMap<String, AccountId>);

impl Owned {
    pub async fn find(
        tx: &mut Tx,
        tenant: TenantId,
        events: &[ProviderEvent],
    ) -> Result<Self, DatabaseError> {
        let mut named: Vec<String> = events
            .iter()
            .filter_map(|event| event.account.as_ref())
            .map(|account| account.external_account_id.clone())
            .collect();
        named.sort_unstable();
        named.dedup();
        let owned = accounts::owned(tx, tenant, Channel::WhatsApp, &named).await?;
        Ok(Self(
            owned
                .into_iter()
                .map(|account| (account.external_account_id, account.id))
                .collect(),
        ))
    }

    pub fn of(&self, event: &ProviderEvent) -> Option<AccountId> {
        self.0
            .get(&event.account.as_ref()?.external_account_id)
            .copied()
    }
}
