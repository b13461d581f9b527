//! The body of a send: a command in Meta's words, or our refusal of it.
//!
//! Only what Meta is sure to refuse is refused here. What depends on the state of the account (the window, the
//! approved templates, the pace) is left to Meta, which knows it.

mod check;
mod interactive;
mod media;
mod template;
#[cfg(test)]
mod tests;

use crate::command::Reaction;
use crate::{Content, Recipient, Refusal, SendMessageCommand};
use interactive::InteractiveObject;
use media::{Kind, LocationObject, MediaObject, media};
use serde::Serialize;
use template::TemplateObject;

const TEXT_LIMIT: usize = 4096;
/// Meta states none for ids; no real one is longer.
const ID_LIMIT: usize = 1024;

#[derive(Serialize)]
pub(super) struct Payload<'a> {
    messaging_product: &'static str,
    recipient_type: &'static str,
    #[serde(flatten)]
    recipient: Address<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    biz_opaque_callback_data: String,
    #[serde(flatten)]
    body: Body<'a>,
}

/// Meta lets `to` win where both are present, so a payload has exactly one.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Address<'a> {
    To(&'a str),
    Recipient(&'a str),
}

#[derive(Serialize)]
struct Context<'a> {
    message_id: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Body<'a> {
    Text { text: Text<'a> },
    Template { template: TemplateObject<'a> },
    Image { image: MediaObject<'a> },
    Video { video: MediaObject<'a> },
    Audio { audio: MediaObject<'a> },
    Document { document: MediaObject<'a> },
    Sticker { sticker: MediaObject<'a> },
    Location { location: LocationObject<'a> },
    Interactive { interactive: InteractiveObject<'a> },
    Reaction { reaction: ReactionObject<'a> },
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Serialize)]
struct ReactionObject<'a> {
    message_id: &'a str,
    emoji: &'a str,
}

/// Translates the command; the refusal carries a code of ours.
pub(super) fn build(command: &SendMessageCommand) -> Result<Payload<'_>, Refusal> {
    Ok(Payload {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        recipient: address(&command.recipient)?,
        context: context(command),
        biz_opaque_callback_data: command.correlation_id.hyphenated().to_string(),
        body: body(&command.content)?,
    })
}

/// Is this content in a form that WhatsApp does not refuse for certain? For whoever makes one, before it is stored.
///
/// # Errors
/// `invalid-content`, its reason naming the part.
pub fn check(content: &Content) -> Result<(), Refusal> {
    body(content).map(drop)
}

/// A reaction names its message itself.
fn context(command: &SendMessageCommand) -> Option<Context<'_>> {
    if matches!(command.content, Content::Reaction(_)) {
        return None;
    }
    command
        .reply_to
        .as_deref()
        .map(|message_id| Context { message_id })
}

/// Without the `+`, Meta would put the country code of the *sender* in front.
fn address(recipient: &Recipient) -> Result<Address<'_>, Refusal> {
    let invalid = |reason| Err(Refusal::invalid_recipient(reason));
    match recipient {
        Recipient::Phone(phone) if recipient.is_e164() => Ok(Address::To(phone)),
        Recipient::Phone(_) => invalid("the phone number is not E.164"),
        Recipient::Email(_) => invalid("an email address is no WhatsApp recipient"),
        Recipient::WhatsAppUser(user) if user.is_empty() || user.contains(char::is_whitespace) => {
            invalid("the user id is empty or has spaces")
        }
        Recipient::WhatsAppUser(user) => Ok(Address::Recipient(user)),
    }
}

fn body(content: &Content) -> Result<Body<'_>, Refusal> {
    Ok(match content {
        Content::Text { body, preview_url } => Body::Text {
            text: Text {
                body: check::text("text.body", body, TEXT_LIMIT)?,
                preview_url: *preview_url,
            },
        },
        Content::Template(template) => Body::Template {
            template: template::template(template)?,
        },
        Content::Image(file) => Body::Image {
            image: media("image", file, Kind::Captioned)?,
        },
        Content::Video(file) => Body::Video {
            video: media("video", file, Kind::Captioned)?,
        },
        Content::Audio(file) => Body::Audio {
            audio: media("audio", file, Kind::Bare)?,
        },
        Content::Document(file) => Body::Document {
            document: media("document", file, Kind::Document)?,
        },
        Content::Sticker(file) => Body::Sticker {
            sticker: media("sticker", file, Kind::Bare)?,
        },
        Content::Location(place) => Body::Location {
            location: media::location("location", place)?,
        },
        Content::Interactive(question) => Body::Interactive {
            interactive: interactive::interactive(question)?,
        },
        Content::Reaction(reaction) => Body::Reaction {
            reaction: self::reaction(reaction)?,
        },
        Content::Email(_)
        | Content::Sms(_)
        | Content::Contacts { .. }
        | Content::Order { .. }
        | Content::Reply(_)
        | Content::Form { .. }
        | Content::Unsupported { .. }
        | Content::System { .. }
        | Content::Revoked
        | Content::Other { .. } => {
            return Err(Refusal::invalid_content(
                "WhatsApp cannot carry this type of message",
            ));
        }
    })
}

fn reaction(reaction: &Reaction) -> Result<ReactionObject<'_>, Refusal> {
    Ok(ReactionObject {
        message_id: check::text("reaction.message_id", &reaction.message_id, ID_LIMIT)?,
        emoji: &reaction.emoji,
    })
}
