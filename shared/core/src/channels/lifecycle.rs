//! An account's life, as people move it. What providers say moves it in `communications.store_account_notices` and, of answers to sends,
//! `settle_messages`; which moves there are at all, and who made one, the database holds (docs/schema.sql has all of them).
//!
//! What is queued for an account that is not ACTIVE stays QUEUED and is released when it is again; what comes in is always taken in.

use super::ChannelError;
use super::vault::ProviderConfig;
use crate::model::{AccountId, Channel, TenantId};
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::queue::Hint;
use crate::platform::{DatabaseError, Tx};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use sqlx::types::Json;

/// Characters of a reason.
const REASON_LIMIT: usize = 500;

/// An account as it is when somebody sets about moving it.
#[derive(Debug, Clone)]
pub struct Locked {
    pub id: AccountId,
    pub channel: Channel,
    pub provider: String,
    pub status: String,
    pub status_reason: Option<String>,
    pub mode: String,
    pub sender: String,
    pub external_account_id: Option<String>,
    pub waba_id: Option<String>,
    pub config: ProviderConfig,
}

/// The account's row, locked until the end of the transaction.
///
/// # Errors
/// `not-found` for another tenant's as for nobody's.
pub async fn lock(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<Locked, ChannelError> {
    let row = sqlx::query!(
        r#"select channel, provider, status, status_reason, mode, sender, external_account_id, waba_id,
                  provider_config as "config: Json<ProviderConfig>"
             from communications.channel_accounts
            where tenant_id = $1 and id = $2 for no key update"#,
        tenant.0,
        account.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("channel account"))?;
    Ok(Locked {
        id: account,
        channel: row
            .channel
            .parse()
            .map_err(|_| ActionError::not_found("channel account"))?,
        provider: row.provider,
        status: row.status,
        status_reason: row.status_reason,
        mode: row.mode,
        sender: row.sender,
        external_account_id: row.external_account_id,
        waba_id: row.waba_id,
        config: row.config.0,
    })
}

/// What moving an account answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountState {
    pub channel_account_id: AccountId,
    pub channel: Channel,
    pub status: String,
    pub mode: String,
}

impl Locked {
    fn state(&self, status: &str) -> AccountState {
        AccountState {
            channel_account_id: self.id,
            channel: self.channel,
            status: status.to_owned(),
            mode: self.mode.clone(),
        }
    }
}

/// The arguments of `disableChannel`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disabling {
    pub channel_account_id: AccountId,
    #[serde(default)]
    pub reason: Option<String>,
}

/// Nothing is sent by it any more; what is queued waits; what was never proven is nobody's again. An attempt that is at work on it writes nothing any more. Disabled before:
/// the same answer.
///
/// # Errors
/// `forbidden` for all but administrators; `not-found`; `validation-failed` for a reason that is too long.
pub async fn disable_channel(
    tx: &mut Tx,
    session: &Session,
    disabling: &Disabling,
) -> Result<AccountState, ChannelError> {
    administrators(session, "disable channels")?;
    let reason = disabling.reason.as_deref().map(str::trim);
    if reason.is_some_and(|reason| reason.chars().count() > REASON_LIMIT) {
        return Err(ActionError::invalid(format!(
            "reason must have at most {REASON_LIMIT} characters"
        ))
        .into());
    }
    let locked = lock(tx, session.tenant, disabling.channel_account_id).await?;
    if locked.status == "DISABLED" {
        return Ok(locked.state("DISABLED"));
    }
    sqlx::query!(
        "update communications.channel_accounts
            set status = 'DISABLED', status_reason = $3, acted_by = $4, attempt_id = null, attempt_until = null, verify_until = null,
                external_account_id = case when verified_at is not null then external_account_id end
          where tenant_id = $1 and id = $2",
        session.tenant.0,
        locked.id.0,
        reason.filter(|reason| !reason.is_empty()),
        session.user.0
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(locked.state("DISABLED"))
}

/// The account sends again: of what waits, the first are announced at once, and the scan sees to the rest. ACTIVE before: the same
/// answer. What a provider stopped is the provider's to start, and what was never provisioned to its end is to be connected.
///
/// # Errors
/// `forbidden`; `not-found`; `connect-again` and `suspended-by-provider`, both saying why.
pub async fn resume_channel(
    tx: &mut Tx,
    session: &Session,
    account: AccountId,
) -> Result<(AccountState, Vec<Hint>), ChannelError> {
    administrators(session, "resume channels")?;
    let locked = lock(tx, session.tenant, account).await?;
    match locked.status.as_str() {
        "ACTIVE" => return Ok((locked.state("ACTIVE"), Vec::new())),
        "SUSPENDED" if is_providers(locked.status_reason.as_deref()) => {
            return Err(refused_by_provider(&locked).into());
        }
        "SUSPENDED" => {}
        "DISABLED" if stopped_meanwhile(tx, session.tenant, account).await? => {
            return Err(refused_by_provider(&locked).into());
        }
        "DISABLED" if could_send(tx, session.tenant, account).await? => {
            move_to(tx, session, account, "VERIFYING").await?;
        }
        _ => {
            let refused = ActionError::new(
                StatusCode::CONFLICT,
                "connect-again",
                "the account must be connected again, with credentials that the provider takes",
            );
            return Err(refused.into());
        }
    }
    move_to(tx, session, account, "ACTIVE").await?;
    let hints = release(tx, session.tenant, account).await?;
    Ok((locked.state("ACTIVE"), hints))
}

/// What a notice of the provider's suspended says so in its reason.
fn is_providers(reason: Option<&str>) -> bool {
    reason.is_some_and(|reason| reason.starts_with("provider: "))
}

fn refused_by_provider(locked: &Locked) -> ActionError {
    ActionError::new(
        StatusCode::CONFLICT,
        "suspended-by-provider",
        "the provider stopped this account: it goes on when the provider says so, or when it is connected again",
    )
    .with_details(serde_json::json!({"status_reason": locked.status_reason}))
}

/// Did the provider stop it before it was disabled, or since it was ACTIVE last by its newest word about that? A DISABLED account hears and
/// does not move.
async fn stopped_meanwhile(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<bool, DatabaseError> {
    let stopped = sqlx::query_scalar!(
        r#"select coalesce(
                  (select e.event not in ('ACCOUNT_RECONNECTED')
                          and e.raw #>> '{changes,0,value,ban_info,waba_ban_state}' is distinct from 'REINSTATE'
                     from communications.channel_account_events e
                    where e.tenant_id = $1 and e.account_id = $2 and e.decides = 'STATUS'
                      and e.received_at > coalesce((select max(h.at) from communications.channel_account_history h
                                                     where h.tenant_id = $1 and h.account_id = $2 and h.after = 'ACTIVE'), '-infinity')
                    order by e.occurred_at desc, e.id desc limit 1),
                  (select h.after = 'SUSPENDED' and h.reason like 'provider: %'
                     from communications.channel_account_history h
                    where h.tenant_id = $1 and h.account_id = $2 and h.what = 'STATUS' and h.after <> 'DISABLED'
                    order by h.at desc, h.id desc limit 1),
                  false) as "stopped!""#,
        tenant.0,
        account.0
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(stopped)
}

/// Could it send when somebody disabled it, and is what it sends by still its own? What had lost its credentials, or never had any, cannot
/// now either; nor what is another tenant's by now, or whose business account's webhooks may go to another.
async fn could_send(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<bool, DatabaseError> {
    let before = sqlx::query_scalar!(
        "select h.before from communications.channel_account_history h
           join communications.channel_accounts a on a.tenant_id = h.tenant_id and a.id = h.account_id and a.verified_at is not null
            and not exists (select from communications.channel_accounts o
                             where o.channel = 'WHATSAPP' and o.waba_id = a.waba_id and o.tenant_id <> a.tenant_id)
          where h.tenant_id = $1 and h.account_id = $2 and h.what = 'STATUS' and h.after = 'DISABLED'
          order by h.at desc, h.id desc limit 1",
        tenant.0,
        account.0
    )
    .fetch_optional(tx.conn())
    .await?
    .flatten();
    Ok(matches!(before.as_deref(), Some("ACTIVE" | "SUSPENDED")))
}

async fn move_to(
    tx: &mut Tx,
    session: &Session,
    account: AccountId,
    status: &str,
) -> Result<(), DatabaseError> {
    sqlx::query!(
        "update communications.channel_accounts
            set status = $3, status_reason = null, acted_by = $4, resume_at = null
          where tenant_id = $1 and id = $2",
        session.tenant.0,
        account.0,
        status,
        session.user.0
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The first of what waits for the account; the scan announces the rest in turns.
///
/// # Errors
/// When the database does not answer.
pub async fn release(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<Vec<Hint>, DatabaseError> {
    let rows = sqlx::query!(
        r#"select tenant_id as "tenant!: TenantId", message_id as "message!: crate::model::MessageId", lane as "lane!",
                  hint_in as "hint_in!"
             from communications.release_waiting(array[$1::uuid], array[$2::uuid], 0)"#,
        tenant.0,
        account.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Hint::of_row(row.tenant, row.message, &row.lane, row.hint_in))
        .collect())
}

/// The arguments of `setSandboxMode`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandboxing {
    pub channel_account_id: AccountId,
    pub sandbox: bool,
}

/// In the sandbox the whole path runs and the provider is not called. What is queued then is SIMULATED when its turn comes.
///
/// # Errors
/// `forbidden`; `not-found`.
pub async fn set_sandbox_mode(
    tx: &mut Tx,
    session: &Session,
    sandboxing: Sandboxing,
) -> Result<AccountState, ChannelError> {
    administrators(session, "set the sandbox mode")?;
    let locked = lock(tx, session.tenant, sandboxing.channel_account_id).await?;
    let mode = if sandboxing.sandbox {
        "SANDBOX"
    } else {
        "LIVE"
    };
    sqlx::query!(
        "update communications.channel_accounts set mode = $3, acted_by = $4 where tenant_id = $1 and id = $2 and mode <> $3",
        session.tenant.0,
        locked.id.0,
        mode,
        session.user.0
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(AccountState {
        mode: mode.to_owned(),
        ..locked.state(&locked.status)
    })
}
