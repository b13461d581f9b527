//! Read receipts and typing to the contact: `setTyping`, `setReadReceipts`, and what reading and answering give away.
//!
//! What agents read is theirs; the contact is told only as far as the account's policy says, and of the message that came last.
//! Here it is written down what is to be told; a dispatch worker, which has the credentials, calls (`dispatch::receipts`).

use super::InboxError;
use super::administrators;
use super::lifecycle::lock;
use super::reply::holds;
use crate::model::{AccountId, ConversationId, GiveReceiptJob, Lane, MessageId, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
    queue::Hint,
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What shows the contact that somebody is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Read,
    Reply,
    Typing,
}

impl Occasion {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "READ",
            Self::Reply => "REPLY",
            Self::Typing => "TYPING",
        }
    }
}

/// `channel_accounts.read_receipts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReceiptPolicy {
    Never,
    /// When the assignee marks the conversation as read; with an answer as well.
    OnRead,
    /// With an answer, and while it is written.
    OnReply,
}

impl ReceiptPolicy {
    fn as_str(self) -> &'static str {
        match self {
            Self::Never => "NEVER",
            Self::OnRead => "ON_READ",
            Self::OnReply => "ON_REPLY",
        }
    }
}

/// The arguments of `setReadReceipts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptSetting {
    pub channel_account_id: AccountId,
    pub read_receipts: ReceiptPolicy,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReceiptSet {
    pub channel_account_id: AccountId,
    pub read_receipts: ReceiptPolicy,
}

/// What `setTyping` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Typing {
    pub conversation_id: ConversationId,
    /// Is the contact shown that somebody writes? Not where the channel cannot, or the account's policy says never.
    pub shown: bool,
}

/// The contact sees that an answer is being written: for 25 seconds, or until it comes. Whoever keeps writing says so again; the
/// provider is called once in 20 seconds.
///
/// # Errors
/// `not-found`; `claim-required`, `conflict` or `conversation-resolved` for whoever may not answer.
pub async fn set_typing(
    tx: &mut Tx,
    session: &Session,
    conversation: ConversationId,
) -> Result<(Typing, Option<Hint>), InboxError> {
    let locked = lock(tx, session, conversation).await?;
    holds(tx, session, &locked).await?;
    let wanted = want(tx, session.tenant, conversation, Occasion::Typing, None).await?;
    let typing = Typing {
        conversation_id: conversation,
        shown: wanted.allowed,
    };
    Ok((typing, wanted.hint))
}

/// For administrators.
///
/// # Errors
/// `forbidden`; `not-found`; `validation-failed` for an account that is none of WhatsApp's.
pub async fn set_read_receipts(
    tx: &mut Tx,
    session: &Session,
    setting: &ReceiptSetting,
) -> Result<ReceiptSet, InboxError> {
    administrators(session, "set read receipts")?;
    let account = setting.channel_account_id;
    let channel = sqlx::query_scalar!(
        "update communications.channel_accounts
            set read_receipts = case when channel = 'WHATSAPP' then $3 else read_receipts end
          where tenant_id = $1 and id = $2
         returning channel",
        session.tenant.0,
        account.0,
        setting.read_receipts.as_str()
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("channel account"))?;
    if channel != "WHATSAPP" {
        return Err(ActionError::invalid(
            "channel_account_id must be of WhatsApp: no other channel has read receipts",
        )
        .into());
    }
    Ok(ReceiptSet {
        channel_account_id: account,
        read_receipts: setting.read_receipts,
    })
}

/// What is to be told.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub allowed: bool,
    /// Absent where it was told already.
    pub hint: Option<Hint>,
}

/// The newest message of the contact (that had come by then) is read. Nothing where the policy forbids it, or it was told before.
/// The conversation is locked by the caller.
///
/// Source: "Mark messages as read" and "Typing indicators", Cloud API: messages of the last 30 days; typing ends after 25 seconds.
pub(super) async fn want(
    tx: &mut Tx,
    tenant: TenantId,
    conversation: ConversationId,
    occasion: Occasion,
    by: Option<OffsetDateTime>,
) -> Result<Wanted, DatabaseError> {
    let row = sqlx::query!(
        r#"with newest as (
               select m.id, m.account_id, m.thread_at, m.external_message_id
                 from communications.messages m
                where m.tenant_id = $1 and m.conversation_id = $2 and m.direction = 'INBOUND' and not m.muted
                  and (m.content ->> 'type') is distinct from 'system' and (m.context ->> 'group_id') is null
                  and m.created_at <= coalesce($4, 'infinity'::timestamptz)
                order by m.thread_at desc, m.id desc
                limit 1),
           allowed as (
               select n.* from newest n
                 join communications.channel_accounts a on a.tenant_id = $1 and a.id = n.account_id
                where a.channel = 'WHATSAPP' and a.status = 'ACTIVE' and n.external_message_id is not null
                  and n.thread_at > now() - interval '30 days'
                  and (a.read_receipts = 'ON_READ' or (a.read_receipts = 'ON_REPLY' and $3 <> 'READ'))),
           wanted as (
               insert into communications.read_receipts as r
                   (tenant_id, conversation_id, account_id, message_id, thread_at, typing_until)
               select $1, $2, a.account_id, a.id, a.thread_at, case when $3 = 'TYPING' then now() + interval '25 seconds' end
                 from allowed a
               on conflict (tenant_id, conversation_id, account_id) do update
                   set message_id = excluded.message_id, thread_at = excluded.thread_at,
                       given_at = case when r.message_id = excluded.message_id then r.given_at end,
                       typing_until = coalesce(excluded.typing_until, r.typing_until)
                 where (excluded.thread_at, excluded.message_id) > (r.thread_at, r.message_id)
                    or (r.message_id = excluded.message_id
                        and (r.given_at is null
                             or (excluded.typing_until is not null
                                 and coalesce(r.typed_at < now() - interval '20 seconds', true))))
               returning r.message_id)
           select exists (select from allowed) as "allowed!", (select message_id from wanted) as "message: MessageId""#,
        tenant.0,
        conversation.0,
        occasion.as_str(),
        by
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(Wanted {
        allowed: row.allowed,
        hint: row.message.map(|message| {
            Hint::after(GiveReceiptJob::new(tenant, message), Lane::Interactive, 0.0)
        }),
    })
}
