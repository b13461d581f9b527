//! What an agent writes: one of a text, a file, a template, a place, a question and a reaction; checked before anything is locked
//! or looked up, and turned into what its channel carries.
//!
//! Text goes on every channel, the rest by WhatsApp alone. What WhatsApp is sure to refuse is refused here in the words of its
//! adapter, so that the agent learns it at once and not from a failed message.

use crate::automation::render::{self, RenderError};
use crate::model::{Channel, MessageId};
use crate::platform::hasura::ActionError;
use comms_providers::Content;
use comms_providers::command::{
    Interactive, Location, Media, Reaction, TemplateHeader, WhatsAppTemplate,
};
use comms_providers::whatsapp;
use serde::Deserialize;

/// WhatsApp's, which is the shortest of those that are not counted in parts.
const TEXT_LIMIT: usize = 4096;
const URL_LIMIT: usize = 2000;
/// Longest emoji that there is, with room: a family of four has eleven characters.
const EMOJI_LIMIT: usize = 32;

/// `content` of `sendAgentMessage` and `startConversation`: exactly one of the six, `subject` beside a text in an email.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyContent {
    #[serde(default)]
    pub text: Option<String>,
    /// Of an email; absent: that of the contact's last email, as an answer.
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub media: Option<ReplyMedia>,
    #[serde(default)]
    pub template: Option<WhatsAppTemplate>,
    #[serde(default)]
    pub location: Option<Location>,
    #[serde(default)]
    pub interactive: Option<Interactive>,
    #[serde(default)]
    pub reaction: Option<ReplyReaction>,
}

/// A file that WhatsApp fetches itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyMedia {
    pub kind: MediaKind,
    /// Public and `https`.
    pub link: String,
    /// Not for audio and stickers.
    #[serde(default)]
    pub caption: Option<String>,
    /// For documents.
    #[serde(default)]
    pub filename: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaKind {
    Image,
    Video,
    Audio,
    Document,
    Sticker,
}

/// An emoji on one of the conversation's messages; an empty one takes it back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplyReaction {
    pub message_id: MessageId,
    pub emoji: String,
}

/// What is to be said, before it is known by which channel.
#[derive(Debug, Clone)]
pub(super) enum Draft {
    Text {
        text: String,
        subject: Option<String>,
    },
    /// Complete, and WhatsApp's alone.
    WhatsApp(Content),
    Template(WhatsAppTemplate),
    Reaction(ReplyReaction),
}

impl Draft {
    /// # Errors
    /// `validation-failed` naming the field.
    pub(super) fn of(content: &ReplyContent) -> Result<Self, ActionError> {
        let ReplyContent {
            text,
            subject,
            media,
            template,
            location,
            interactive,
            reaction,
        } = content.clone();
        let mut drafts = [
            text.map(|text| Self::Text {
                text,
                subject: subject.clone(),
            }),
            media.map(|media| Self::WhatsApp(file(media))),
            template.map(Self::Template),
            location.map(|place| Self::WhatsApp(Content::Location(place))),
            interactive.map(|question| Self::WhatsApp(Content::Interactive(question))),
            reaction.map(Self::Reaction),
        ]
        .into_iter()
        .flatten();
        let (Some(draft), None) = (drafts.next(), drafts.next()) else {
            return Err(ActionError::invalid(
                "content must have exactly one of text, media, template, location, interactive and reaction",
            ));
        };
        draft.check(subject.is_some())?;
        Ok(draft)
    }

    fn check(&self, has_subject: bool) -> Result<(), ActionError> {
        match self {
            Self::Text { text, .. } if text.trim().is_empty() => {
                return Err(ActionError::invalid("content.text must not be empty"));
            }
            Self::Text { text, .. } if text.chars().count() > TEXT_LIMIT => {
                return Err(ActionError::invalid(format!(
                    "content.text must not be longer than {TEXT_LIMIT} characters"
                )));
            }
            Self::Text {
                subject: Some(subject),
                ..
            } if subject.trim().is_empty() => {
                return Err(ActionError::invalid("content.subject must not be empty"));
            }
            Self::Text { .. } => return Ok(()),
            Self::WhatsApp(content) => carried(content)?,
            Self::Template(template) => carried(&Content::Template(template.clone()))?,
            Self::Reaction(reaction) if reaction.emoji.chars().count() > EMOJI_LIMIT => {
                return Err(ActionError::invalid(
                    "content.reaction.emoji must be one emoji",
                ));
            }
            Self::Reaction(_) => {}
        }
        if has_subject {
            return Err(ActionError::invalid(
                "content.subject is for the text of an email",
            ));
        }
        Ok(())
    }

    /// # Errors
    /// `validation-failed` for what the channel does not carry.
    pub(super) fn fits(&self, channel: Channel) -> Result<(), ActionError> {
        match self {
            Self::Text {
                subject: Some(_), ..
            } if channel != Channel::Email => Err(ActionError::invalid(format!(
                "content.subject is for emails; {channel} has none"
            ))),
            Self::Text { .. } => Ok(()),
            _ if channel == Channel::WhatsApp => Ok(()),
            _ => Err(ActionError::invalid(format!(
                "content must be a text: {channel} carries nothing else"
            ))),
        }
    }
}

fn file(media: ReplyMedia) -> Content {
    let ReplyMedia {
        kind,
        link,
        caption,
        filename,
    } = media;
    let file = Media {
        link: Some(link),
        caption,
        filename,
        ..Media::default()
    };
    match kind {
        MediaKind::Image => Content::Image(file),
        MediaKind::Video => Content::Video(file),
        MediaKind::Audio => Content::Audio(file),
        MediaKind::Document => Content::Document(file),
        MediaKind::Sticker => Content::Sticker(file),
    }
}

/// Would WhatsApp take it? A link is never fetched by us, and is a web address of the public kind.
fn carried(content: &Content) -> Result<(), ActionError> {
    if link(content).is_some_and(|link| !link.starts_with("https://") || link.len() > URL_LIMIT) {
        return Err(ActionError::invalid(format!(
            "content: a link must be an https address of at most {URL_LIMIT} bytes"
        )));
    }
    whatsapp::check(content).map_err(|refusal| {
        let reason = match refusal.reason.split_once('.') {
            // The adapter calls it by its kind, the argument is `media`.
            Some((_, part)) if is_file(content) => format!("media.{part}"),
            _ => refusal.reason,
        };
        ActionError::invalid(format!("content.{reason}"))
    })
}

fn is_file(content: &Content) -> bool {
    link(content).is_some() && !matches!(content, Content::Template(_))
}

fn link(content: &Content) -> Option<&str> {
    match content {
        Content::Image(file)
        | Content::Video(file)
        | Content::Audio(file)
        | Content::Document(file)
        | Content::Sticker(file) => file.link.as_deref(),
        Content::Template(template) => match template.header.as_ref()? {
            TemplateHeader::Image(file)
            | TemplateHeader::Video(file)
            | TemplateHeader::Document(file) => file.link.as_deref(),
            TemplateHeader::Text { .. } | TemplateHeader::Location(_) => None,
        },
        _ => None,
    }
}

/// A text as its channel carries it. `subject` is the one to write above an email.
///
/// # Errors
/// `validation-failed` for what is too long for the channel, or an email without a subject.
pub(super) fn text(
    channel: Channel,
    text: &str,
    subject: Option<&str>,
) -> Result<Content, ActionError> {
    match channel {
        Channel::WhatsApp | Channel::Webchat => Ok(Content::Text {
            body: text.to_owned(),
            preview_url: false,
        }),
        Channel::Sms => render::sms_text(text.to_owned(), false).map_err(refused),
        Channel::Email => {
            let subject = subject.ok_or_else(|| {
                ActionError::invalid(
                    "content.subject must be given for the first email to a contact",
                )
            })?;
            let email = render::plain_email(render::one_line(subject), text.to_owned());
            email.map(Content::Email).map_err(refused)
        }
    }
}

/// In the words of the arguments.
fn refused(error: RenderError) -> ActionError {
    match error {
        RenderError::Template { part, problem } => {
            let field = if part == "body" { "text" } else { &part };
            ActionError::invalid(format!("content.{field}: {problem}"))
        }
        other => ActionError::invalid(format!("content: {other}")),
    }
}

/// What people read in the thread; a template's words are its own matter.
pub(super) fn body(content: &Content) -> String {
    let file = |file: &Media, what: &str| {
        let said = file.caption.as_deref().or(file.filename.as_deref());
        said.map_or_else(|| format!("[{what}]"), str::to_owned)
    };
    match content {
        Content::Text { body, .. } => body.clone(),
        Content::Sms(sms) => sms.body.clone(),
        Content::Email(email) => email.text.clone().unwrap_or_default(),
        Content::Image(image) => file(image, "image"),
        Content::Video(video) => file(video, "video"),
        Content::Audio(audio) => file(audio, "audio"),
        Content::Document(document) => file(document, "document"),
        Content::Sticker(sticker) => file(sticker, "sticker"),
        Content::Location(place) => {
            let said: Vec<&str> = [&place.name, &place.address]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
            if said.is_empty() {
                "[location]".to_owned()
            } else {
                said.join(", ")
            }
        }
        Content::Interactive(question) => question.body.clone(),
        Content::Reaction(Reaction { emoji, .. }) if emoji.is_empty() => {
            "[reaction taken back]".to_owned()
        }
        Content::Reaction(reaction) => reaction.emoji.clone(),
        Content::Template(template) => format!("[template: {}]", template.name),
        // Inbound only.
        _ => String::new(),
    }
}
