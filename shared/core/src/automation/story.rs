//! A run and the requests that an orchestrator makes beside it: one story, of which nobody hears twice on a channel.

use crate::model::{Channel, ContactId, RunId, TenantId};
use crate::platform::{DatabaseError, Tx};
use std::collections::HashSet;
use uuid::Uuid;

/// The run that begins the story which this one belongs to. It is locked: whoever tells another part of the story is before or after.
pub(super) async fn of(
    tx: &mut Tx,
    tenant: TenantId,
    run: RunId,
) -> Result<Option<RunId>, DatabaseError> {
    Ok(sqlx::query_scalar!(
        r#"select first.id as "id: RunId"
             from communications.trigger_runs r
             join communications.trigger_runs first on first.tenant_id = r.tenant_id and first.id = coalesce(r.beside_run_id, r.id)
            where r.tenant_id = $1 and r.id = $2
              for update of first"#,
        tenant.0,
        run.0
    )
    .fetch_optional(tx.conn())
    .await?)
}

/// Who of these is written to in the story, and on which channels: by what waits or has left, and by what it may fall back to.
pub(super) async fn told(
    tx: &mut Tx,
    tenant: TenantId,
    first: RunId,
    contacts: &[ContactId],
) -> Result<HashSet<(ContactId, Channel)>, DatabaseError> {
    let contacts: Vec<Uuid> = contacts.iter().map(|contact| contact.0).collect();
    let rows = sqlx::query!(
        r#"with story as (
               select m.tenant_id, m.id, m.contact_id, m.channel, m.status
                 from (select $2::uuid as id
                       union all
                       select r.id from communications.trigger_runs r where r.tenant_id = $1 and r.beside_run_id = $2) runs
                 join communications.messages m on m.tenant_id = $1 and m.run_id = runs.id and m.contact_id = any($3))
           select s.contact_id as "contact!: ContactId", s.channel as "channel!"
             from story s where s.status not in ('SUPPRESSED', 'FAILED', 'CANCELLED', 'EXPIRED')
           union
           select s.contact_id, step ->> 'channel'
             from story s
             join communications.message_fallbacks f on f.tenant_id = s.tenant_id and f.message_id = s.id
            cross join jsonb_array_elements(f.steps) as step"#,
        tenant.0,
        first.0,
        &contacts
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.contact, row.channel.parse().ok()?)))
        .collect())
}

/// Everybody who is written to beside the run, whatever the channel.
pub(super) async fn told_beside(
    tx: &mut Tx,
    tenant: TenantId,
    first: RunId,
) -> Result<HashSet<ContactId>, DatabaseError> {
    let contacts = sqlx::query_scalar!(
        r#"select m.contact_id as "contact: ContactId"
             from communications.trigger_runs r
             join communications.messages m on m.tenant_id = r.tenant_id and m.run_id = r.id
            where r.tenant_id = $1 and r.beside_run_id = $2
              and m.status not in ('SUPPRESSED', 'FAILED', 'CANCELLED', 'EXPIRED')"#,
        tenant.0,
        first.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(contacts.into_iter().collect())
}
