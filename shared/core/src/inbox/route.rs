//! By which account and to which address an agent's words go.
//!
//! An answer goes back the way the contact last came on that channel: same account, same address, in the same thread of mails; where it answers
//! a message of theirs by name, the way that one came. What a program wrote for them, or WhatsApp about them, is no way.
//! Where they wrote from a number that is no longer theirs, to the newest address that the channel can use; where they never came that way, to
//! that from the tenant's oldest ACTIVE account. WhatsApp stays with its number: a chat belongs to it.

use super::InboxError;
use crate::channels::accounts;
use crate::model::{AccountId, Channel, ContactId, ConversationId, MessageId, TenantId};
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

/// `near` is the conversation that is looked at first, then the contact's others, and the message that is answered.
///
/// # Errors
/// `channel-unavailable`, saying what is missing.
pub(super) async fn find(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    near: (Option<ConversationId>, Option<MessageId>),
    channel: Channel,
) -> Result<Route, InboxError> {
    if channel == Channel::Webchat {
        return Err(unavailable("webchat is not connected in this version").into());
    }
    match came_by(tx, tenant, contact, near, channel).await? {
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
    (conversation, answered): (Option<ConversationId>, Option<MessageId>),
    channel: Channel,
) -> Result<Option<Route>, InboxError> {
    let row = sqlx::query!(
        r#"select m.address as "address!", m.rfc_message_id, m.content ->> 'subject' as subject, given_up.ago as "given_up!",
                  communications.account_to_send_again($1, m.account_id, $3) as "account: AccountId"
             from communications.conversations v
            cross join lateral (
                -- The message that is answered; what they wrote, as communications.is_written has it, which a database before 0085 does
                -- not know; else what a program wrote for them.
                (select 0 as rank, m.* from communications.messages m
                  where m.tenant_id = v.tenant_id and m.id = $5 and m.conversation_id = v.id and m.direction = 'INBOUND'
                    and m.channel = $3 and (m.content ->> 'type') is distinct from 'system')
                union all
                (select 1, m.* from communications.messages m
                  where m.tenant_id = v.tenant_id and m.conversation_id = v.id and m.direction = 'INBOUND' and m.channel = $3
                    and (m.content ->> 'type') is distinct from 'system'
                    and (m.context ->> 'automatic') is null and (m.context ->> 'group_id') is null
                  order by m.thread_at desc, m.id desc
                  limit 1)
                union all
                (select 2, m.* from communications.messages m
                  where $3 = 'EMAIL' and m.tenant_id = v.tenant_id and m.conversation_id = v.id and m.direction = 'INBOUND'
                    and m.channel = 'EMAIL'
                  order by m.thread_at desc, m.id desc
                  limit 1)
                order by rank
                limit 1) m
            cross join lateral (
                select (exists (select from communications.contact_former_identities f
                                 where f.tenant_id = $1 and f.contact_id = $2 and f.value in (m.address, ltrim(m.address, '+')))
                        -- Or never theirs by more than having written from it, and somebody else's now.
                        or exists (select from communications.contact_identities o
                                    where o.tenant_id = $1 and o.kind in ('phone', 'wa_id') and o.scope = ''
                                      and o.value in (m.address, ltrim(m.address, '+'))
                                      and o.contact_id <> $2))
                       -- Given up, and taken again.
                       and not exists (select from communications.contact_identities i
                                        where i.tenant_id = $1 and i.contact_id = $2 and i.value in (m.address, ltrim(m.address, '+')))
                       as ago) given_up
            where v.tenant_id = $1 and v.contact_id = $2
            order by given_up.ago, m.rank, (v.id = $4) desc nulls last, m.thread_at desc
            limit 1"#,
        tenant.0,
        contact.0,
        channel.as_str(),
        conversation.map(|conversation| conversation.0),
        answered.map(|answered| answered.0)
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
    let address = if row.given_up {
        newest_address(tx, tenant, contact, channel, account).await?
    } else {
        row.address
    };
    Ok(Some(Route {
        account,
        address,
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
    Ok(Route {
        account: account.id,
        address: newest_address(tx, tenant, contact, channel, account.id).await?,
        mail: None,
    })
}

async fn newest_address(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    channel: Channel,
    account: AccountId,
) -> Result<String, InboxError> {
    let address = sqlx::query_scalar!(
        r#"select case when i.kind = 'wa_id' then '+' || i.value else i.value end as "address!"
             from communications.contact_identities i
            where i.tenant_id = $1 and i.contact_id = $2
              and case when $3 = 'EMAIL' then i.kind = 'email'
                       when $3 = 'SMS' then i.kind in ('phone', 'wa_id')
                       else i.kind in ('phone', 'wa_id', 'bsuid') end
            -- A number before an id: it is what the host knows as well. An id that wrote to this business account before others, which
            -- may be another portfolio's. The newest before the others.
            order by i.kind = 'bsuid',
                     i.kind = 'bsuid' and not exists (
                         select from communications.channel_accounts mine
                           join communications.channel_accounts a on a.tenant_id = mine.tenant_id and a.waba_id = mine.waba_id
                           join communications.messages_of($1, $2) m on m.account_id = a.id and m.address = i.value
                          where mine.tenant_id = $1 and mine.id = $4),
                     i.first_seen_at desc, i.kind, i.value
            limit 1"#,
        tenant.0,
        contact.0,
        channel.as_str(),
        account.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(address.ok_or_else(|| unavailable(&format!("the contact has no address for {channel}")))?)
}
