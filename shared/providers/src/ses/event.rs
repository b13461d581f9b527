//! SES's reports about emails of ours, as provider-neutral events.
//!
//! One event for each recipient that a report names. Whose it is and which message it is about stands first of all in the
//! tags that [`super::send`] gave the message, and beside them in SES's own id: the old notifications of an identity, and
//! mails that others sent from the same account, have no tags.
//!
//! What follows from what:
//!
//! * A complaint leaves the message's status alone, for it arrived; but nothing more is to be sent to that address. One that names a
//!   list is about a message that SES did not send: the address is as bad as one that bounces, and nobody wishes anything.
//! * `Open` and `Click` read the message, unless SES says that a program did it. A program that does not say so cannot be
//!   told apart, so READ means that the picture was loaded.
//! * A transient bounce is an end: SES has stopped trying. A delay is not: it goes on.
//!
//! `provider_status` is the report's kind with its sub types (`Bounce/Permanent/NoEmail`), which is also what tells a
//! repetition from news. Diagnostics of mail servers quote addresses, so no reason holds any.
//!
//! Source: "Contents of event data that Amazon SES publishes to Amazon SNS" and "Amazon SNS notification contents for
//! Amazon SES", SES developer guide.

mod bounce;

use crate::event::{
    AccountRef, ConsentChange, DeliveryFailure, DeliveryStatus, DeliveryUpdate, EventKind, Person,
    ProviderEvent,
};
use crate::{OptOut, OutcomeClass, json};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// Recipients of one report that are read; SES sends to 50 at most, and we to one.
const RECIPIENTS: usize = 50;

/// Reads one report; `sent_at` stands in where it has no time of its own.
#[must_use]
pub fn read(event: Value, sent_at: OffsetDateTime) -> Vec<ProviderEvent> {
    let account = account(&event);
    match kinds(&event, sent_at) {
        Ok(kinds) => kinds
            .into_iter()
            .map(|kind| ProviderEvent {
                account: account.clone(),
                kind,
                raw: event.clone(),
            })
            .collect(),
        Err(reason) => vec![ProviderEvent {
            account,
            kind: EventKind::Malformed {
                reason: reason.to_owned(),
            },
            raw: event,
        }],
    }
}

/// By the tag that we gave it, and by the domain that it was sent from.
fn account(event: &Value) -> Option<AccountRef> {
    let account = AccountRef {
        external_account_id: json::text(event, "/mail/source").and_then(domain),
        waba_id: None,
        account_id: tag(event, "account_id"),
    };
    (account != AccountRef::default()).then_some(account)
}

fn domain(mailbox: &str) -> Option<String> {
    let (_, domain) = mailbox.trim().trim_end_matches('>').rsplit_once('@')?;
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '.';
    (!domain.is_empty() && domain.len() <= 255 && domain.chars().all(plain))
        .then(|| domain.to_lowercase())
}

/// A tag of ours: SES lists the values of each.
fn tag(event: &Value, name: &str) -> Option<Uuid> {
    Uuid::parse_str(json::text(event, &format!("/mail/tags/{name}/0"))?).ok()
}

fn kinds(event: &Value, sent_at: OffsetDateTime) -> Result<Vec<EventKind>, &'static str> {
    let word = json::text(event, "/eventType")
        .or_else(|| json::text(event, "/notificationType"))
        .ok_or("a report of SES has no kind")?;
    if word == "Subscription" {
        return Ok(vec![subscription(event, sent_at)?]);
    }
    let Some(news) = news(event, word) else {
        return Ok(vec![EventKind::Unhandled {
            field: word.chars().take(80).collect(),
        }]);
    };
    let external_message_id =
        json::id(event, "/mail/messageId").ok_or("a report of SES has no usable message id")?;
    let occurred_at = [&format!("/{}/timestamp", news.member), "/mail/timestamp"]
        .iter()
        .find_map(|pointer| json::instant(json::text(event, pointer)?))
        .unwrap_or(sent_at);
    let update = |recipient: Option<Person>, failure| {
        EventKind::Status(Box::new(DeliveryUpdate {
            external_message_id: external_message_id.clone(),
            status: news.status,
            provider_status: news.word.clone(),
            correlation_id: tag(event, "message_id"),
            occurred_at,
            failure,
            recipient,
            price: None,
        }))
    };
    let named = named(event, &news);
    if named.is_empty() {
        return Ok(vec![update(None, news.failure.clone())]);
    }
    let each = |recipient: &Value| {
        update(
            person(recipient),
            bounce::with_code(news.failure.clone(), recipient),
        )
    };
    Ok(named.iter().map(each).collect())
}

/// What a report says, but for whom it is about.
struct News {
    /// The report's own member.
    member: &'static str,
    /// Where its recipients stand, best first.
    recipients: &'static str,
    word: String,
    status: DeliveryStatus,
    failure: Option<DeliveryFailure>,
}

/// `None` for a kind that is not known here.
fn news(event: &Value, word: &str) -> Option<News> {
    let plain = |member, recipients, status, failure: Option<(OutcomeClass, &str)>| News {
        member,
        recipients,
        word: word.to_owned(),
        status,
        failure: failure.map(|(class, reason)| failed(word, class, reason)),
    };
    Some(match word {
        "Send" => plain("send", "", DeliveryStatus::Sent, None),
        "Delivery" => plain(
            "delivery",
            "/delivery/recipients",
            DeliveryStatus::Delivered,
            None,
        ),
        "Bounce" => bounce::read(event),
        "Complaint" => complaint(event),
        "Reject" => {
            let why = (
                OutcomeClass::PermanentContent,
                "SES refused the message's content",
            );
            plain("reject", "", DeliveryStatus::Failed, Some(why))
        }
        "Rendering Failure" => {
            let why = (
                OutcomeClass::PermanentTemplate,
                "SES could not fill in its template",
            );
            plain("failure", "", DeliveryStatus::Failed, Some(why))
        }
        "DeliveryDelay" => News {
            word: with(word, &[json::text(event, "/deliveryDelay/delayType")]),
            ..plain(
                "deliveryDelay",
                "/deliveryDelay/delayedRecipients",
                DeliveryStatus::Unknown,
                None,
            )
        },
        "Open" => seen(event, word, "open"),
        "Click" => seen(event, word, "click"),
        _ => return None,
    })
}

/// The kind with its sub types, as far as they are short words.
fn with(word: &str, types: &[Option<&str>]) -> String {
    let plain = |text: &&str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let types = types.iter().flatten().filter(|text| plain(text)).copied();
    std::iter::once(word)
        .chain(types)
        .collect::<Vec<_>>()
        .join("/")
}

fn failed(code: &str, class: OutcomeClass, reason: &str) -> DeliveryFailure {
    DeliveryFailure {
        code: code.to_owned(),
        class,
        opt_out: None,
        address_is_bad: false,
        reason: reason.to_owned(),
    }
}

/// Feedback that is no person's word against us: `not-spam` took our mail out of their spam, and mail servers write the others.
const NO_COMPLAINT: [&str; 3] = ["not-spam", "auth-failure", "virus"];

/// Who stands on a list complained before, and of that there was a report then: nobody says anything new, but SES sends them nothing.
fn complaint(event: &Value) -> News {
    let list = json::text(event, "/complaint/complaintSubType");
    let sort = json::text(event, "/complaint/complaintFeedbackType");
    let word = with("Complaint", &[list, sort]);
    let unsent = list.is_some_and(|list| list.ends_with("SuppressionList"));
    let complained = sort.is_none_or(|sort| !NO_COMPLAINT.contains(&sort));
    let class = OutcomeClass::PermanentRecipient;
    let failure = if unsent {
        Some(DeliveryFailure {
            address_is_bad: true,
            ..failed(&word, class, "the address is on a list of bad ones")
        })
    } else {
        complained.then(|| DeliveryFailure {
            opt_out: Some(OptOut::Everything),
            address_is_bad: true,
            ..failed(&word, class, "the recipient called it spam")
        })
    };
    News {
        member: "complaint",
        recipients: "/complaint/complainedRecipients",
        word,
        status: if unsent {
            DeliveryStatus::Failed
        } else {
            DeliveryStatus::Unknown
        },
        failure,
    }
}

/// The link that was clicked stays in `raw`: it may be a secret of the recipient's.
fn seen(event: &Value, word: &str, member: &'static str) -> News {
    let bot = match event.pointer(&format!("/{member}/isBotEvent")) {
        Some(Value::Bool(bot)) => *bot,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    };
    News {
        member,
        recipients: "",
        word: with(word, &[bot.then_some("bot")]),
        status: if bot {
            DeliveryStatus::Unknown
        } else {
            DeliveryStatus::Read
        },
        failure: None,
    }
}

/// Those that the report names, else those that the message was sent to.
fn named<'a>(event: &'a Value, news: &News) -> &'a [Value] {
    let mut list: &[Value] = &[];
    if !news.recipients.is_empty() {
        list = json::list(event, news.recipients);
    }
    if list.is_empty() {
        list = json::list(event, "/mail/destination");
    }
    &list[..list.len().min(RECIPIENTS)]
}

/// An address, or an object with one.
fn person(recipient: &Value) -> Option<Person> {
    let address = recipient
        .as_str()
        .or_else(|| json::text(recipient, "/emailAddress"))?;
    let address = address.rsplit_once('<').map_or(address, |(_, rest)| rest);
    let address = address.trim().trim_end_matches('>');
    let is_address = address.contains('@') && address.len() <= 320;
    is_address.then(|| Person {
        email: Some(address.to_lowercase()),
        ..Person::default()
    })
}

/// SES keeps lists of its own for mails that ask for it. They are about marketing: what is owed still goes out.
fn subscription(event: &Value, sent_at: OffsetDateTime) -> Result<EventKind, &'static str> {
    let person = json::list(event, "/mail/destination")
        .first()
        .and_then(person)
        .ok_or("a subscription of SES names nobody")?;
    let wishes = event
        .pointer("/subscription/newTopicPreferences")
        .ok_or("a subscription of SES says nothing")?;
    let wants_nothing = wishes.get("unsubscribeAll").and_then(Value::as_bool) == Some(true);
    let topics = json::list(wishes, "/topicSubscriptionStatus");
    let is_out = |topic: &Value| {
        json::text(topic, "/subscriptionStatus")
            .is_some_and(|word| word.eq_ignore_ascii_case("OptOut"))
    };
    let left_all = !topics.is_empty() && topics.iter().all(is_out);
    let granted = !wants_nothing && !left_all;
    Ok(EventKind::Consent(ConsentChange {
        person,
        what: OptOut::Marketing,
        granted,
        word: if granted { "subscribe" } else { "unsubscribe" }.to_owned(),
        at: json::text(event, "/subscription/timestamp")
            .and_then(json::instant)
            .unwrap_or(sent_at),
    }))
}

#[cfg(test)]
mod tests;
