//! By which account and to which address an agent's words go.
//!
//! An answer goes back the way the contact last came on that channel: same account, same address, in the same thread of mails.
//! Where they never came that way, or wrote from a number that is no longer theirs, to the newest address that the channel can
//! use, from the tenant's oldest ACTIVE account. WhatsApp stays with its number: a chat belongs to it.

use super::InboxError;
use crate::channels::accounts;
use crate::model::{AccountId, Channel, ContactId, ConversationId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use http::StatusCode;

#[derive(Debug)]
pub(super) struct Route {
    pub account: AccountId,
    pub address: String,
    /// The last mail from there, for an answer to it.
    pub mail: Option<LastMail>,
}

#[derive(Debug)]
pub(super) struct LastMail {
    pub message_id: Option<String>,
    pub subject: Option<String>,
}

/// `conversation` is looked at first, then the contact's others.
///
/// # Errors
/// `channel-unavailable`, saying what is missing.
pub(super) async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    conversation: Option<ConversationId>,
    channel: Channel,
) -> Result<Route, InboxError> {
    if channel == Channel::Webchat {
        return Err(unavailable("webchat is not connected in this version").into());
    }
    match came_by(tx, tenant, contact, conversation, channel).await? {
        Some(route) => Ok(route),
        None => first_words(tx, tenant, contact, channel).await,
    }
}

pub(super) fn unavailable(why: &str) -> ActionError {
    ActionError::new(StatusCode::CONFLICT, "channel-unavailable", why)
}

async fn came_by(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    conversation: Option<ConversationId>,
    channel: Channel,
) -> Result<Option<Route>, InboxError> {
    let row = sqlx::query!(
        r#"select m.address, m.rfc_message_id, m.content ->> 'subject' as subject,
                  communications.account_to_send_again($1, m.account_id, $3) as "account: AccountId"
             from communications.conversations v
            cross join lateral (
                select m.* from communications.messages m
                 where m.tenant_id = v.tenant_id and m.conversation_id = v.id and m.direction = 'INBOUND' and m.channel = $3
                 order by m.thread_at desc, m.id desc
                 limit 1) m
            where v.tenant_id = $1 and v.contact_id = $2
              and (not exists (select from communications.contact_former_identities f
                                where f.tenant_id = $1 and f.contact_id = $2 and f.value in (m.address, ltrim(m.address, '+')))
                   -- Given up, and taken again.
                   or exists (select from communications.contact_identities i
                               where i.tenant_id = $1 and i.contact_id = $2 and i.value in (m.address, ltrim(m.address, '+'))))
            order by (v.id = $4) desc nulls last, m.thread_at desc
            limit 1"#,
        tenant.0,
        contact.0,
        channel.as_str(),
        conversation.map(|conversation| conversation.0)
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let Some(row) = row else { return Ok(None) };
    let account = row.account.ok_or_else(|| {
        unavailable(&format!(
            "no {channel} account of this conversation is active"
        ))
    })?;
    Ok(Some(Route {
        account,
        address: row.address,
        mail: (channel == Channel::Email).then_some(LastMail {
            message_id: row.rfc_message_id,
            subject: row.subject,
        }),
    }))
}

async fn first_words(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    channel: Channel,
) -> Result<Route, InboxError> {
    let active = accounts::active(tx, tenant).await?;
    let account = active
        .into_iter()
        .find(|account| account.channel == channel)
        .ok_or_else(|| unavailable(&format!("no {channel} account is active")))?;
    let address = sqlx::query_scalar!(
        r#"select case when kind = 'wa_id' then '+' || value else value end as "address!"
             from communications.contact_identities
            where tenant_id = $1 and contact_id = $2
              and case when $3 = 'EMAIL' then kind = 'email'
                       when $3 = 'SMS' then kind in ('phone', 'wa_id')
                       -- A user id is worth something within its business account alone.
                       else kind in ('phone', 'wa_id')
                            or kind = 'bsuid' and scope = (select waba_id from communications.channel_accounts
                                                            where tenant_id = $1 and id = $4) end
            -- A number before an id: it is what the host knows as well. The newest before the others.
            order by kind = 'bsuid', first_seen_at desc, kind, value
            limit 1"#,
        tenant.0,
        contact.0,
        channel.as_str(),
        account.id.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let address =
        address.ok_or_else(|| unavailable(&format!("the contact has no address for {channel}")))?;
    Ok(Route {
        account: account.id,
        address,
        mail: None,
    })
}
