//! The body of a send: a command in Meta's words, or our refusal of it.
//!
//! Only what Meta is sure to refuse is refused here. What depends on the state of the account (the window, the
//! approved templates, the pace) is left to Meta, which knows it.

use super::refusal;
use crate::command::WhatsAppTemplate;
use crate::{Content, OutcomeClass, Recipient, Refusal, SendMessageCommand};
use serde::Serialize;

/// Characters in `text.body`.
const TEXT_LIMIT: usize = 4096;

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
    Template { template: Template<'a> },
}

#[derive(Serialize)]
struct Text<'a> {
    body: &'a str,
    preview_url: bool,
}

#[derive(Serialize)]
struct Template<'a> {
    name: &'a str,
    language: Language<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    components: Option<[Component<'a>; 1]>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct Component<'a> {
    r#type: &'static str,
    parameters: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
struct Parameter<'a> {
    r#type: &'static str,
    text: &'a str,
}

/// Translates the command; the refusal carries a code of ours.
pub(super) fn build(command: &SendMessageCommand) -> Result<Payload<'_>, Refusal> {
    Ok(Payload {
        messaging_product: "whatsapp",
        recipient_type: "individual",
        recipient: address(&command.recipient)?,
        context: command
            .reply_to
            .as_deref()
            .map(|message_id| Context { message_id }),
        biz_opaque_callback_data: command.correlation_id.hyphenated().to_string(),
        body: body(&command.content)?,
    })
}

/// Without the `+`, Meta would put the country code of the *sender* in front.
fn address(recipient: &Recipient) -> Result<Address<'_>, Refusal> {
    let invalid = |reason| {
        Err(refusal(
            OutcomeClass::PermanentRecipient,
            "invalid-recipient",
            reason,
        ))
    };
    match recipient {
        Recipient::Phone(phone) => match phone.strip_prefix('+') {
            Some(digits)
                if (5..=15).contains(&digits.len())
                    && digits.bytes().all(|b| b.is_ascii_digit()) =>
            {
                Ok(Address::To(phone))
            }
            _ => invalid("the phone number is not E.164"),
        },
        Recipient::Email(_) => invalid("an email address is no WhatsApp recipient"),
        Recipient::WhatsAppUser(user) => {
            if user.is_empty() || user.chars().any(char::is_whitespace) {
                invalid("the user id is empty or has spaces")
            } else {
                Ok(Address::Recipient(user))
            }
        }
    }
}

fn body(content: &Content) -> Result<Body<'_>, Refusal> {
    let invalid = |reason| {
        Err(refusal(
            OutcomeClass::PermanentContent,
            "invalid-content",
            reason,
        ))
    };
    match content {
        Content::Text { body, .. } if body.trim().is_empty() => invalid("the text is empty"),
        Content::Text { body, .. } if body.chars().count() > TEXT_LIMIT => {
            invalid("the text is longer than 4096 characters")
        }
        Content::Text { body, preview_url } => Ok(Body::Text {
            text: Text {
                body,
                preview_url: *preview_url,
            },
        }),
        Content::Template(template) if template.name.is_empty() || template.language.is_empty() => {
            invalid("the template has no name or no language")
        }
        Content::Template(template) => Ok(Body::Template {
            template: self::template(template),
        }),
        _ => invalid("this type of message cannot be sent"),
    }
}

/// A template without placeholders must come without components: an empty list counts as a mismatch.
fn template(template: &WhatsAppTemplate) -> Template<'_> {
    let parameters: Vec<_> = template
        .body
        .iter()
        .map(|text| Parameter {
            r#type: "text",
            text,
        })
        .collect();
    Template {
        name: &template.name,
        language: Language {
            code: &template.language,
        },
        components: (!parameters.is_empty()).then_some([Component {
            r#type: "body",
            parameters,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn command(recipient: Recipient, content: Content) -> SendMessageCommand {
        let correlation_id = Uuid::from_u128(0x0193_5b2e_7c1a_7000_8000_0000_0000_0001);
        SendMessageCommand {
            correlation_id,
            recipient,
            content,
            reply_to: None,
        }
    }

    fn ana() -> Recipient {
        Recipient::Phone("+34600111222".to_owned())
    }

    fn text(body: &str) -> Content {
        Content::Text {
            body: body.to_owned(),
            preview_url: false,
        }
    }

    fn written(command: &SendMessageCommand) -> serde_json::Value {
        serde_json::to_value(build(command).expect("a command that can be sent")).expect("JSON")
    }

    fn refused(recipient: Recipient, content: Content) -> (OutcomeClass, String) {
        let command = command(recipient, content);
        let refusal = build(&command)
            .err()
            .expect("a command that cannot be sent");
        (refusal.class, refusal.code)
    }

    #[test]
    fn a_text_that_answers_a_message() {
        let mut command = command(ana(), text("Hola"));
        command.reply_to = Some("wamid.AAA".to_owned());
        assert_eq!(
            written(&command),
            json!({
                "messaging_product": "whatsapp",
                "recipient_type": "individual",
                "to": "+34600111222",
                "type": "text",
                "text": { "body": "Hola", "preview_url": false },
                "context": { "message_id": "wamid.AAA" },
                "biz_opaque_callback_data": "01935b2e-7c1a-7000-8000-000000000001",
            })
        );
    }

    #[test]
    fn a_template_for_a_business_scoped_user_id() {
        let template = |body: &[&str]| {
            Content::Template(WhatsAppTemplate {
                name: "trip_delayed".to_owned(),
                language: "es_ES".to_owned(),
                body: body.iter().map(|&parameter| parameter.to_owned()).collect(),
                ..WhatsAppTemplate::default()
            })
        };
        let user = || Recipient::WhatsAppUser("ES.1349".to_owned());
        let value = written(&command(user(), template(&["Ana", "42"])));
        assert_eq!(value["recipient"], "ES.1349");
        assert_eq!(value.get("to"), None);
        assert_eq!(value.get("context"), None);
        assert_eq!(value["type"], "template");
        assert_eq!(
            value["template"],
            json!({
                "name": "trip_delayed",
                "language": { "code": "es_ES" },
                "components": [{ "type": "body", "parameters": [
                    { "type": "text", "text": "Ana" },
                    { "type": "text", "text": "42" },
                ]}],
            })
        );
        assert_eq!(
            written(&command(user(), template(&[])))["template"].get("components"),
            None
        );
    }

    #[test]
    fn limits_are_counted_in_characters() {
        written(&command(ana(), text(&"ñ".repeat(4096))));
        let invalid_content = (OutcomeClass::PermanentContent, "invalid-content".to_owned());
        let unnamed = WhatsAppTemplate {
            name: String::new(),
            language: "es".to_owned(),
            ..WhatsAppTemplate::default()
        };
        let other = Content::Other {
            kind: "image".to_owned(),
            raw: json!({}),
        };
        for content in [
            text(""),
            text(" \n"),
            text(&"ñ".repeat(4097)),
            Content::Template(unnamed),
            other,
        ] {
            assert_eq!(refused(ana(), content), invalid_content);
        }
    }

    #[test]
    fn addresses_of_another_shape_are_refused() {
        for phone in [
            "",
            "+",
            "34600111222",
            "+34 600 111 222",
            "+1234",
            "+1234567890123456",
        ] {
            let (class, code) = refused(Recipient::Phone(phone.to_owned()), text("Hola"));
            assert_eq!(
                (class, code.as_str()),
                (OutcomeClass::PermanentRecipient, "invalid-recipient")
            );
        }
        let (class, _) = refused(Recipient::WhatsAppUser(String::new()), text("Hola"));
        assert_eq!(class, OutcomeClass::PermanentRecipient);
    }
}
