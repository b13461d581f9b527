//! An agent's words as a row to be: routed, in the form that the channel carries, and permitted.

use super::InboxError;
use super::content::{self, Draft, ReplyReaction};
use super::route::{self, LastMail, Route};
use super::window;
use crate::automation::render::SUBJECT_LIMIT;
use crate::model::{
    AccountId, Category, Channel, ContactId, ConversationId, Lane, MessageId, TenantId,
};
use crate::outbox::{Author, NewMessage};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use comms_providers::Content;
use comms_providers::command::Reaction;
use http::StatusCode;
use time::Duration;

const WORTH_SENDING: Duration = Duration::hours(24);

/// What to say, and to whom.
pub(super) struct Words<'a> {
    pub contact: ContactId,
    pub conversation: ConversationId,
    pub channel: Channel,
    pub draft: &'a Draft,
    pub reply_to: Option<MessageId>,
    pub key: String,
    /// Where the agent says that it goes; else it is looked up.
    pub address: Option<String>,
}

/// # Errors
/// `validation-failed`; `not-found` for a message that is not of the conversation; `window-closed`; `template-not-approved`;
/// `channel-unavailable`.
pub(super) async fn compose(
    tx: &mut Tx,
    session: &Session,
    words: Words<'_>,
) -> Result<NewMessage, InboxError> {
    words.draft.fits(words.channel)?;
    let (contact, conversation) = (words.contact, words.conversation);
    let mut route = route::find(
        tx,
        session.tenant,
        contact,
        (Some(conversation), words.reply_to),
        words.channel,
    )
    .await?;
    let elsewhere = words
        .address
        .as_ref()
        .is_some_and(|address| *address != route.address);
    if elsewhere {
        // What came from another address of theirs is not answered here.
        route.mail = None;
    }
    must_want_it(tx, session.tenant, contact, words.channel).await?;
    let free = !matches!(words.draft, Draft::Template(_));
    if words.channel == Channel::WhatsApp && free {
        if elsewhere {
            return Err(window::closed(tx, session.tenant, route.account)
                .await?
                .into());
        }
        window::must_be_open(tx, session.tenant, route.account, contact).await?;
    }
    let reply_to = answered(tx, session, &words, &route).await?;
    let (content, body) = content(tx, session, &words, &route).await?;
    Ok(NewMessage {
        id: MessageId::generate(),
        channel: words.channel,
        account: route.account,
        contact,
        conversation: Some(conversation),
        author: Author::Agent(session.user),
        address: words.address.unwrap_or(route.address),
        content,
        body,
        template: None,
        suppressed: false,
        lane: Lane::Interactive,
        category: Category::Service,
        send_at: None,
        expires_after: WORTH_SENDING,
        quiet_hours: None,
        run: None,
        idempotency_key: Some(words.key),
        reply_to,
        fallback: Vec::new(),
    })
}

/// Whoever said stop gets answers to what they write, for a day or for as long as they go on after it, and nothing else; so does whoever has an
/// address where it was said.
///
/// # Errors
/// `opted-out`.
pub(crate) async fn must_want_it(
    tx: &mut Tx,
    tenant: TenantId,
    contact: ContactId,
    channel: Channel,
) -> Result<(), InboxError> {
    let opted_out = sqlx::query_scalar!(
        r#"select communications.opted_out($1, $2, $3) as "opted_out!""#,
        tenant.0,
        contact.0,
        channel.as_str()
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if opted_out {
        let refused = ActionError::new(
            StatusCode::CONFLICT,
            "opted-out",
            "the contact wants no more messages on this channel, and has not written since",
        );
        return Err(refused.into());
    }
    Ok(())
}

/// The provider's id of the message answered. A mail answers the contact's last one, unless told which.
async fn answered(
    tx: &mut Tx,
    session: &Session,
    words: &Words<'_>,
    route: &Route,
) -> Result<Option<String>, InboxError> {
    let Some(message) = words.reply_to else {
        return Ok(route.mail.as_ref().and_then(|mail| mail.message_id.clone()));
    };
    Ok(Some(
        named(tx, session, words, route, (message, "reply_to")).await?,
    ))
}

/// # Errors
/// `not-found`; `validation-failed` for one of another channel or account, or that no provider knows yet.
async fn named(
    tx: &mut Tx,
    session: &Session,
    words: &Words<'_>,
    route: &Route,
    (message, field): (MessageId, &str),
) -> Result<String, InboxError> {
    let row = sqlx::query!(
        r#"select channel, account_id as "account: AccountId", coalesce(rfc_message_id, external_message_id) as external_id
             from communications.messages
            where tenant_id = $1 and conversation_id = $2 and id = $3"#,
        session.tenant.0,
        words.conversation.0,
        message.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("message"))?;
    if row.channel != words.channel.as_str() {
        let refused = format!("{field} must be a message of {}", words.channel);
        return Err(ActionError::invalid(refused).into());
    }
    if words.channel == Channel::WhatsApp && row.account != route.account {
        let refused =
            format!("{field} must be a message of the number that the contact last wrote to");
        return Err(ActionError::invalid(refused).into());
    }
    let unsent = || ActionError::invalid(format!("{field} must be a message that was sent"));
    Ok(row.external_id.ok_or_else(unsent)?)
}

async fn content(
    tx: &mut Tx,
    session: &Session,
    words: &Words<'_>,
    route: &Route,
) -> Result<(Content, String), InboxError> {
    let content = match words.draft {
        Draft::Text { text, subject } => {
            let answer = route.mail.as_ref().and_then(answer_subject);
            let subject = subject.as_deref().or(answer.as_deref());
            content::text(words.channel, text, subject)?
        }
        Draft::WhatsApp(content) => content.clone(),
        Draft::Template(template) => {
            let body = window::template_body(tx, session.tenant, route.account, template).await?;
            return Ok((Content::Template(template.clone()), body));
        }
        Draft::Reaction(ReplyReaction { message_id, emoji }) => Content::Reaction(Reaction {
            message_id: named(
                tx,
                session,
                words,
                route,
                (*message_id, "content.reaction.message_id"),
            )
            .await?,
            emoji: emoji.clone(),
        }),
    };
    let body = content::body(&content);
    Ok((content, body))
}

/// `Re: …`, once, however often it went back and forth.
fn answer_subject(mail: &LastMail) -> Option<String> {
    let subject = mail.subject.as_deref()?.trim();
    let mut bare = subject;
    while let Some(rest) = bare
        .get(..3)
        .filter(|start| start.eq_ignore_ascii_case("re:"))
        .and(bare.get(3..))
    {
        bare = rest.trim_start();
    }
    let answer: String = format!("Re: {bare}").chars().take(SUBJECT_LIMIT).collect();
    Some(answer.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_re_once() {
        let answer = |subject: Option<&str>| {
            answer_subject(&LastMail {
                message_id: None,
                subject: subject.map(str::to_owned),
            })
        };
        for (subject, wanted) in [
            ("Viaje", "Re: Viaje"),
            (" RE: re:Re: Viaje", "Re: Viaje"),
            ("", "Re:"),
            ("ñé", "Re: ñé"),
        ] {
            assert_eq!(answer(Some(subject)).unwrap(), wanted);
        }
        assert_eq!(answer(None), None);
        assert_eq!(
            answer(Some(&"ñ".repeat(500))).unwrap().chars().count(),
            SUBJECT_LIMIT
        );
    }
}
