//! SNS: what a send looks like on the wire, and what each error code means.

use crate::loopback::{Loopback, Reply};
use crate::{accepted, command, config, refused, sms};
use comms_providers::OutcomeClass::{
    self, AccountConfig, Ambiguous, PermanentContent, PermanentRecipient, RateLimited, Retryable,
    Unknown,
};
use comms_providers::Scope::App;
use comms_providers::sns::{SnsClient, SnsSender};
use comms_providers::{OptOut, Recipient, SendMessageCommand};
use serde_json::json;
use std::collections::BTreeMap;

fn failure(status: u16, code: &str, message: &str) -> Reply {
    let body = format!(
        r#"<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
    );
    Reply::Answer(status, "content-type: text/xml\r\n", body)
}

fn success() -> Reply {
    let body = r#"<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>5a6b</MessageId></PublishResult><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></PublishResponse>"#;
    Reply::Answer(200, "content-type: text/xml\r\n", body.to_owned())
}

/// The form of a query call, by member.
fn form(body: &str) -> BTreeMap<String, String> {
    let base = format!("http://a.example/?{body}");
    let url = reqwest::Url::parse(&base).expect("a form");
    url.query_pairs().into_owned().collect()
}

#[tokio::test]
async fn the_type_is_always_said_and_the_rest_where_it_is_set() {
    let server = Loopback::start([success()]).await;
    let client = SnsClient::new(&config(&server.url));
    let full = SnsSender {
        sender_id: Some("TREN-ES".to_owned()),
        origination_number: Some("+34911222333".to_owned()),
        max_price: Some("0.10".to_owned()),
    };
    let promotion = command(
        Recipient::Phone("+34600111222".to_owned()),
        json!({ "type": "sms", "body": "Hola", "promotional": true }),
    );
    let answer = accepted(client.send(&full, &promotion).await);
    assert_eq!(answer.external_message_id, "5a6b");
    accepted(client.send(&SnsSender::default(), &sms("Hola")).await);

    let requests = server.requests();
    let first = form(&requests[0].body);
    assert_eq!(first["Action"], "Publish");
    assert_eq!(first["PhoneNumber"], "+34600111222");
    assert_eq!(first["Message"], "Hola");
    assert_eq!(
        attributes(&first),
        [
            ("AWS.MM.SMS.OriginationNumber", "String", "+34911222333"),
            ("AWS.SNS.SMS.MaxPrice", "Number", "0.10"),
            ("AWS.SNS.SMS.SMSType", "String", "Promotional"),
            ("AWS.SNS.SMS.SenderID", "String", "TREN-ES"),
        ]
    );
    let second = form(&requests[1].body);
    assert_eq!(
        attributes(&second),
        [("AWS.SNS.SMS.SMSType", "String", "Transactional")]
    );
}

/// Name, type and value, by name.
fn attributes(form: &BTreeMap<String, String>) -> Vec<(&str, &str, &str)> {
    let mut attributes: Vec<_> = (1..)
        .map_while(|n| {
            let member = |name: &str| {
                let key = format!("MessageAttributes.entry.{n}.{name}");
                form.get(&key).map(String::as_str)
            };
            Some((
                member("Name")?,
                member("Value.DataType")?,
                member("Value.StringValue")?,
            ))
        })
        .collect();
    attributes.sort_unstable();
    attributes
}

/// Status, code, message, and what it means.
const CODES: &[(u16, &str, &str, OutcomeClass)] = &[
    (
        400,
        "InvalidParameter",
        "Invalid parameter: Message",
        PermanentContent,
    ),
    (
        400,
        "InvalidParameter",
        "Invalid parameter: PhoneNumber Reason: +34600111222 is not valid",
        PermanentRecipient,
    ),
    (400, "ParameterValueInvalid", "", PermanentContent),
    (400, "InvalidParameterValue", "", PermanentContent),
    (
        400,
        "ValidationException",
        "the phone number is wrong",
        PermanentRecipient,
    ),
    (400, "Throttling", "Rate exceeded", RateLimited(App)),
    (429, "ThrottlingException", "", RateLimited(App)),
    (429, "Throttled", "", RateLimited(App)),
    (500, "InternalError", "", Ambiguous),
    (500, "InternalFailure", "", Ambiguous),
    (503, "ServiceUnavailable", "", Ambiguous),
    (403, "AuthorizationError", "", AccountConfig),
    (403, "InvalidSecurity", "", AccountConfig),
    (403, "AccessDenied", "", AccountConfig),
    (400, "KMSThrottling", "", Retryable),
    (400, "KMSDisabled", "", AccountConfig),
    (400, "KMSInvalidState", "", AccountConfig),
    (400, "KMSNotFound", "", AccountConfig),
    (403, "KMSOptInRequired", "", AccountConfig),
    (400, "KMSAccessDenied", "", AccountConfig),
    (400, "OptedOut", "", PermanentRecipient),
    (403, "ExpiredToken", "", Retryable),
    (404, "NotFound", "", Unknown),
    (400, "EndpointDisabled", "", Unknown),
    (400, "PlatformApplicationDisabled", "", Unknown),
    (400, "NeverSeen", "", Unknown),
];

#[tokio::test]
async fn every_code_has_its_class() {
    for &(status, code, message, class) in CODES {
        let server = Loopback::start([failure(status, code, message)]).await;
        let client = SnsClient::new(&config(&server.url));
        let refusal = refused(client.send(&SnsSender::default(), &sms("Hola")).await);
        assert_eq!(
            (refusal.class, refusal.code.as_str()),
            (class, code),
            "{message}"
        );
        assert!(!refusal.reason.contains("34600"), "{}", refusal.reason);
        let opt_out = (code == "OptedOut").then_some(OptOut::Everything);
        assert_eq!(refusal.opt_out, opt_out);
        assert_eq!(server.requests().len(), 1, "{code} was sent twice");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_makes_no_call() {
    let server = Loopback::start([success()]).await;
    let client = SnsClient::new(&config(&server.url));
    let code = async |sender: &SnsSender, command: &SendMessageCommand| {
        refused(client.send(sender, command).await).code
    };
    let plain = SnsSender::default();
    for body in [" ", &"ñ".repeat(801)] {
        assert_eq!(code(&plain, &sms(body)).await, "invalid-content");
    }
    let email = json!({ "type": "email", "subject": "s", "text": "t" });
    let email = SendMessageCommand {
        content: serde_json::from_value(email).expect("an email"),
        ..sms("Hola")
    };
    assert_eq!(code(&plain, &email).await, "invalid-content");
    for recipient in [
        Recipient::Phone("600111222".to_owned()),
        Recipient::Email("a@b.example".to_owned()),
    ] {
        let elsewhere = SendMessageCommand {
            recipient,
            ..sms("Hola")
        };
        assert_eq!(code(&plain, &elsewhere).await, "invalid-recipient");
    }
    let broken: [fn(&mut SnsSender); 5] = [
        |sender| sender.sender_id = Some("TRENES-DE-ESPAÑA".to_owned()),
        |sender| sender.sender_id = Some("123".to_owned()),
        |sender| sender.sender_id = Some("ABCDEFGHIJKL".to_owned()),
        |sender| sender.origination_number = Some("1234".to_owned()),
        |sender| sender.max_price = Some("1 USD".to_owned()),
    ];
    for change in broken {
        let mut sender = SnsSender::default();
        change(&mut sender);
        assert_eq!(code(&sender, &sms("Hola")).await, "invalid-sender");
    }
    assert_eq!(server.requests().len(), 0);
    accepted(client.send(&plain, &sms(&"ñ".repeat(800))).await);
}
