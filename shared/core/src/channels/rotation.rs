//! New credentials for an account that sends: proven before they are used, and two versions live while they are changed over.
//!
//! What was given is the candidate: nothing is sent by it but its canary, a message that a person asked for. Once that is accepted (or
//! where none was asked for, once the provider has answered a call with the candidate) the candidate is the newest version and what was the
//! newest the one before, which is used where the newest is refused, and forgotten a day later. A canary that does not go out leaves
//! everything as it was.

use super::vault::{Envelope, Owner, ProviderConfig, Vault};
use super::{ChannelError, VaultError};
use crate::model::{AccountId, MessageId, TenantId, UserId};
use crate::platform::{Database, DatabaseError, Tx};
use serde::Serialize;
use sqlx::types::Json;

/// `provider_config.public` names the canary by this.
pub const CANARY: &str = "canary_message_id";

/// Keeps sealed credentials beside those in use.
///
/// # Errors
/// When the database does not answer.
pub async fn stage(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    envelope: &Envelope,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.channel_accounts
            set provider_config = jsonb_set(provider_config #- '{public,canary_message_id}', '{candidate}', $3)
          where tenant_id = $1 and id = $2",
        tenant.0,
        account.0,
        Json(envelope) as _
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The candidate waits for this message.
///
/// # Errors
/// When the database does not answer.
pub async fn await_canary(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    message: MessageId,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.channel_accounts
            set provider_config = jsonb_set(provider_config, '{public,canary_message_id}', to_jsonb($3::text))
          where tenant_id = $1 and id = $2 and provider_config ? 'candidate'",
        tenant.0,
        account.0,
        message.to_string()
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The candidate is the newest version from now on; of those before it the newest stays. Without a candidate nothing changes.
///
/// # Errors
/// When the database does not answer.
pub async fn promote(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    by: Option<UserId>,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.channel_accounts
            set provider_config = jsonb_build_object(
                    'public', (provider_config -> 'public') - 'canary_message_id',
                    'secrets', jsonb_build_array(provider_config -> 'candidate')
                               || jsonb_path_query_array(provider_config, '$.secrets[0]')),
                acted_by = $3
          where tenant_id = $1 and id = $2 and provider_config ? 'candidate'",
        tenant.0,
        account.0,
        by.map(|user| user.0)
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// What [`settle`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Whose canary went out.
    pub promoted: i64,
    /// Whose canary did not, or was not sent in a day: the account has what it had.
    pub dropped: i64,
    /// Versions of a day ago that nobody needs any more.
    pub retired: i64,
}

/// Ends what rotates, for all tenants.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(tx: &mut Tx) -> Result<Settled, DatabaseError> {
    let ended = sqlx::query!(
        r#"with canaries as (
               select a.tenant_id, a.id, m.status in ('SENT', 'DELIVERED', 'READ', 'SIMULATED') as sang
                 from communications.channel_accounts a
                 join communications.messages m
                   on m.tenant_id = a.tenant_id and m.id = (a.provider_config #>> '{public,canary_message_id}')::uuid
                where a.provider_config ? 'candidate' and m.status not in ('QUEUED', 'SENDING', 'UNCERTAIN')
                  for no key update of a),
           promoted as (
               update communications.channel_accounts a
                  set provider_config = jsonb_build_object(
                          'public', (a.provider_config -> 'public') - 'canary_message_id',
                          'secrets', jsonb_build_array(a.provider_config -> 'candidate')
                                     || jsonb_path_query_array(a.provider_config, '$.secrets[0]')),
                      -- The old ones may have been refused meanwhile.
                      status = case a.status when 'REAUTH_REQUIRED' then 'ACTIVE' else a.status end,
                      status_reason = case a.status when 'REAUTH_REQUIRED' then null else a.status_reason end,
                      send_health = case a.status when 'REAUTH_REQUIRED' then 'UNKNOWN' else a.send_health end
                 from canaries c
                where c.sang and a.tenant_id = c.tenant_id and a.id = c.id
               returning 1),
           dropped as (
               update communications.channel_accounts a
                  set provider_config = a.provider_config - 'candidate' #- '{public,canary_message_id}'
                 from canaries c
                where not c.sang and a.tenant_id = c.tenant_id and a.id = c.id
               returning 1),
           -- Nobody has sent their canary in a day, or they were not proven: whoever wants them gets them anew.
           forgotten as (
               update communications.channel_accounts a
                  set provider_config = a.provider_config - 'candidate'
                where a.status = 'ACTIVE' and a.provider_config ? 'candidate'
                  and not (a.provider_config -> 'public') ? 'canary_message_id'
                  and (a.attempt_until is null or a.attempt_until <= now())
                  and exists (select from communications.channel_provisioning_steps s
                               where s.tenant_id = a.tenant_id and s.account_id = a.id and s.step = 'EXCHANGE'
                                 and s.tried_at < now() - interval '1 day')
               returning 1)
           select (select count(*) from promoted) as "promoted!",
                  (select count(*) from dropped) + (select count(*) from forgotten) as "dropped!""#
    )
    .fetch_one(tx.conn())
    .await?;
    // By itself, because a row is changed once in a statement.
    let retired = sqlx::query!(
        "update communications.channel_accounts a
            set provider_config = jsonb_set(a.provider_config, '{secrets}', jsonb_path_query_array(a.provider_config, '$.secrets[0]'))
          where jsonb_array_length(a.provider_config -> 'secrets') > 1
            and coalesce((select max(h.at) from communications.channel_account_history h
                           where h.tenant_id = a.tenant_id and h.account_id = a.id and h.what = 'CREDENTIALS'), '-infinity')
                < now() - interval '1 day'"
    )
    .execute(tx.conn())
    .await?;
    Ok(Settled {
        promoted: ended.promoted,
        dropped: ended.dropped,
        retired: i64::try_from(retired.rows_affected()).unwrap_or(i64::MAX),
    })
}

/// What [`rewrap`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rewrapped {
    pub accounts: usize,
    /// Whose envelopes did not open: they must be connected again.
    pub broken: usize,
}

/// Puts every envelope's data key under the vault's key, account by account, for all tenants. May be stopped and run again: what is done
/// is not done twice. An account that changes meanwhile is left to the next run.
///
/// # Errors
/// When the database or KMS does not answer.
pub async fn rewrap(database: &Database, vault: &Vault) -> Result<Rewrapped, ChannelError> {
    let mut tx = database.begin().await?;
    let accounts = sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", id as "id: AccountId", provider_config as "config: Json<ProviderConfig>"
             from communications.channel_accounts
            where provider_config -> 'secrets' <> '[]' or provider_config ? 'candidate'
            order by tenant_id, id"#
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    let mut done = Rewrapped::default();
    for account in accounts {
        let owner = Owner {
            tenant: account.tenant,
            account: account.id,
        };
        match anew(vault, owner, &account.config.0).await {
            Ok(None) => {}
            Ok(Some(config)) => {
                let mut tx = database.begin().await?;
                done.accounts += replace(&mut tx, owner, &account.config.0, &config).await?;
                tx.commit().await?;
            }
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                tracing::error!(%error, "an envelope was not wrapped anew");
                done.broken += 1;
            }
        }
    }
    Ok(done)
}

/// All envelopes under the vault's key; `None` where they are already.
async fn anew(
    vault: &Vault,
    owner: Owner,
    config: &ProviderConfig,
) -> Result<Option<ProviderConfig>, VaultError> {
    let (mut fresh, mut changed) = (config.clone(), false);
    for envelope in fresh.secrets.iter_mut().chain(fresh.candidate.as_mut()) {
        if let Some(wrapped) = vault.rewrap(owner, envelope).await? {
            *envelope = wrapped;
            changed = true;
        }
    }
    Ok(changed.then_some(fresh))
}

async fn replace(
    tx: &mut Tx,
    owner: Owner,
    before: &ProviderConfig,
    after: &ProviderConfig,
) -> Result<usize, DatabaseError> {
    let written = sqlx::query!(
        "update communications.channel_accounts
            set provider_config = provider_config || jsonb_strip_nulls($4::jsonb)
          where tenant_id = $1 and id = $2
            and provider_config -> 'secrets' = $3::jsonb -> 'secrets'
            and provider_config -> 'candidate' is not distinct from nullif($3::jsonb -> 'candidate', 'null')",
        owner.tenant.0,
        owner.account.0,
        Json(before) as _,
        serde_json::json!({"secrets": after.secrets, "candidate": after.candidate})
    )
    .execute(tx.conn())
    .await?;
    Ok(usize::try_from(written.rows_affected()).unwrap_or_default())
}
