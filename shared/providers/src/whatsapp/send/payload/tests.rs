//! Each kind of message in Meta's words, and each limit at its edge.

mod kinds;
mod limits;

use super::*;
use crate::OutcomeClass;
use crate::command::WhatsAppTemplate;
use serde_json::{Value, json};
use uuid::Uuid;

fn command(recipient: Recipient, content: Content) -> SendMessageCommand {
    let correlation_id = Uuid::from_u128(0x0193_5b2e_7c1a_7000_8000_0000_0000_0001);
    SendMessageCommand {
        correlation_id,
        recipient,
        content,
        reply_to: None,
        expires_in: None,
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

/// As it is stored in `messages.content`.
fn stored(content: Value) -> Content {
    serde_json::from_value(content).expect("a typed content")
}

fn written(command: &SendMessageCommand) -> Value {
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
    for other in [
        Recipient::WhatsAppUser(String::new()),
        Recipient::WhatsAppUser("ES 1".to_owned()),
        Recipient::Email("ana@example.com".to_owned()),
    ] {
        let (class, _) = refused(other, text("Hola"));
        assert_eq!(class, OutcomeClass::PermanentRecipient);
    }
}
