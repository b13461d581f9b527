//! `channelHealth`: all that is known of an account, at once, and what to do about it.

use super::ChannelError;
use super::provisioning::{self, Step};
use crate::model::{AccountId, Channel};
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::{DatabaseError, Tx};
use serde::Serialize;
use time::OffsetDateTime;

/// Counting ends here: "a thousand or more".
const COUNTED: i64 = 1000;

/// What `channelHealth` answers. Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    pub channel_account_id: AccountId,
    pub channel: Channel,
    pub provider: String,
    pub status: String,
    pub status_reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub status_changed_at: OffsetDateTime,
    pub mode: String,
    pub display_name: String,
    pub sender: String,
    /// By credential: UNKNOWN, OK or FAILING.
    pub send_health: String,
    pub media_health: String,
    pub template_health: String,
    pub quality: Option<String>,
    pub messaging_tier: Option<String>,
    pub throughput_per_second: Option<i32>,
    /// Versions of credentials that are live: two while they rotate, none where there are none.
    pub credential_versions: Vec<i32>,
    /// Messages that wait for the account or for a slot, up to a thousand.
    pub waiting: i64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub oldest_waiting_at: Option<OffsetDateTime>,
    /// The account is paused by itself until then.
    #[serde(with = "time::serde::rfc3339::option")]
    pub paused_until: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub resume_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub verify_until: Option<OffsetDateTime>,
    pub steps: Vec<Step>,
}

/// # Errors
/// `forbidden` for all but administrators; `not-found`.
pub async fn channel_health(
    tx: &mut Tx,
    session: &Session,
    account: AccountId,
) -> Result<Health, ChannelError> {
    administrators(session, "see an account's health")?;
    let row = sqlx::query!(
        r#"select a.channel, a.provider, a.status, a.status_reason, a.status_changed_at, a.mode, a.display_name, a.sender,
                  a.send_health, a.media_health, a.template_health, a.quality, a.messaging_tier, a.throughput_per_second,
                  a.resume_at, a.verify_until, k.open_until as "paused_until?",
                  array(select (s.secret ->> 'version')::integer
                          from jsonb_array_elements(a.provider_config -> 'secrets') with ordinality as s (secret, n)
                         order by s.n) as "versions!: Vec<i32>",
                  w.waiting as "waiting!", w.oldest
             from communications.channel_accounts a
             left join communications.breakers k on k.tenant_id = a.tenant_id and k.account_id = a.id and k.open_until > now()
            cross join lateral (
                select count(*) as waiting, min(l.due_at) as oldest
                  from (select m.due_at from communications.messages m
                         where m.tenant_id = a.tenant_id and m.account_id = a.id and m.queue_status = 'QUEUED' and m.hint_at = '-infinity'
                         limit $3) l) w
            where a.tenant_id = $1 and a.id = $2"#,
        session.tenant.0,
        account.0,
        COUNTED
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("channel account"))?;
    Ok(Health {
        channel_account_id: account,
        channel: row
            .channel
            .parse()
            .map_err(|_| ActionError::not_found("channel account"))?,
        provider: row.provider,
        status: row.status,
        status_reason: row.status_reason,
        status_changed_at: row.status_changed_at,
        mode: row.mode,
        display_name: row.display_name,
        sender: row.sender,
        send_health: row.send_health,
        media_health: row.media_health,
        template_health: row.template_health,
        quality: row.quality,
        messaging_tier: row.messaging_tier,
        throughput_per_second: row.throughput_per_second,
        credential_versions: row.versions,
        waiting: row.waiting,
        oldest_waiting_at: row.oldest,
        paused_until: row.paused_until,
        resume_at: row.resume_at,
        verify_until: row.verify_until,
        steps: provisioning::steps(tx, session.tenant, account).await?,
    })
}
