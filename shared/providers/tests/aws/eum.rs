//! End User Messaging: what a send looks like on the wire, and what each error and its reason mean.

use crate::loopback::{Loopback, Reply};
use crate::{accepted, command, config, refused, sms};
use comms_providers::OutcomeClass::{
    self, AccountConfig, Ambiguous, Hold, PermanentContent, PermanentRecipient, RateLimited,
    Retryable, Unknown,
};
use comms_providers::Scope::{App, PhoneNumber};
use comms_providers::eum::{EumClient, EumSender};
use comms_providers::{OptOut, Recipient, SendMessageCommand};
use serde_json::{Value, json};
use std::time::Duration;

fn success() -> Reply {
    Reply::Answer(200, "", json!({ "MessageId": "5a6b" }).to_string())
}

fn failure(status: u16, code: &str, reason: &str) -> Reply {
    let mut body = json!({ "__type": code, "Message": "about +34600111222" });
    if !reason.is_empty() {
        body["Reason"] = json!(reason);
    }
    Reply::Answer(status, "", body.to_string())
}

fn sender() -> EumSender {
    EumSender {
        origination_identity: Some("pool-1a2b".to_owned()),
        configuration_set: Some("tenant-1".to_owned()),
        max_price: Some("0.10".to_owned()),
        time_to_live: Some(Duration::from_hours(1)),
        context: vec![("tenant".to_owned(), "t-1".to_owned())],
    }
}

/// The body of the one call that this makes.
async fn written(sender: &EumSender, command: &SendMessageCommand) -> Value {
    let server = Loopback::start([success()]).await;
    let client = EumClient::new(&config(&server.url));
    let answer = accepted(client.send(sender, command).await);
    assert_eq!(answer.external_message_id, "5a6b");
    let request = server.requests().remove(0);
    assert_eq!(
        request.headers["x-amz-target"],
        "PinpointSMSVoiceV2.SendTextMessage"
    );
    serde_json::from_str(&request.body).expect("JSON")
}

#[tokio::test]
async fn a_send_carries_our_id_and_all_that_is_set() {
    let ours = "01935b2e-7c1a-7000-8000-000000000001";
    assert_eq!(
        written(&sender(), &sms("Hola")).await,
        json!({
            "DestinationPhoneNumber": "+34600111222",
            "OriginationIdentity": "pool-1a2b",
            "MessageBody": "Hola",
            "MessageType": "TRANSACTIONAL",
            "ConfigurationSetName": "tenant-1",
            "MaxPrice": "0.10",
            "TimeToLive": 3600,
            "Context": { "message_id": ours, "tenant": "t-1" },
        })
    );
    let promotion = command(
        Recipient::Phone("+34600111222".to_owned()),
        json!({ "type": "sms", "body": "Hola", "promotional": true }),
    );
    assert_eq!(
        written(&EumSender::default(), &promotion).await,
        json!({
            "DestinationPhoneNumber": "+34600111222",
            "MessageBody": "Hola",
            "MessageType": "PROMOTIONAL",
            "Context": { "message_id": ours },
        })
    );
}

#[tokio::test]
async fn the_shorter_life_counts_within_what_is_taken() {
    let unset = EumSender::default();
    for (sender, expires_in, expected) in [
        (sender(), Some(60), json!(60)),
        (sender(), Some(7200), json!(3600)),
        (unset.clone(), Some(1), json!(5)),
        (unset.clone(), Some(10_000_000), json!(259_200)),
        (unset, None, Value::Null),
    ] {
        let mortal = SendMessageCommand {
            expires_in: expires_in.map(Duration::from_secs),
            ..sms("Hola")
        };
        assert_eq!(written(&sender, &mortal).await["TimeToLive"], expected);
    }
}

/// Status, exception, reason, and what it means.
const CODES: &[(u16, &str, &str, OutcomeClass)] = &[
    (400, "ThrottlingException", "", RateLimited(PhoneNumber)),
    (
        400,
        "ServiceQuotaExceededException",
        "MONTHLY_SPEND_LIMIT_REACHED_FOR_TEXT",
        Hold(App),
    ),
    (
        400,
        "AccessDeniedException",
        "INSUFFICIENT_ACCOUNT_REPUTATION",
        Hold(App),
    ),
    (400, "AccessDeniedException", "ACCOUNT_DISABLED", Hold(App)),
    (400, "AccessDeniedException", "", AccountConfig),
    (
        400,
        "ConflictException",
        "DESTINATION_PHONE_NUMBER_OPTED_OUT",
        PermanentRecipient,
    ),
    (
        400,
        "ConflictException",
        "DESTINATION_PHONE_NUMBER_NOT_VERIFIED",
        PermanentRecipient,
    ),
    (
        400,
        "ConflictException",
        "DESTINATION_COUNTRY_BLOCKED_BY_PROTECT_CONFIGURATION",
        PermanentRecipient,
    ),
    (
        400,
        "ConflictException",
        "DESTINATION_PHONE_NUMBER_BLOCKED_BY_PROTECT_NUMBER_OVERRIDE",
        PermanentRecipient,
    ),
    (
        400,
        "ConflictException",
        "NO_ORIGINATION_IDENTITIES_FOUND",
        AccountConfig,
    ),
    (
        400,
        "ConflictException",
        "RESOURCE_NOT_ACTIVE",
        AccountConfig,
    ),
    (
        400,
        "ConflictException",
        "MESSAGE_TYPE_MISMATCH",
        AccountConfig,
    ),
    (
        400,
        "ConflictException",
        "NUMBER_CAPABILITIES_MISMATCH",
        AccountConfig,
    ),
    (400, "ConflictException", "KEYWORD_MISMATCH", Unknown),
    (400, "ResourceNotFoundException", "", AccountConfig),
    (
        400,
        "ValidationException",
        "DESTINATION_COUNTRY_BLOCKED",
        PermanentRecipient,
    ),
    (
        400,
        "ValidationException",
        "COUNTRY_NOT_ENABLED",
        PermanentRecipient,
    ),
    (
        400,
        "ValidationException",
        "INVALID_IDENTITY_FOR_DESTINATION_COUNTRY",
        PermanentRecipient,
    ),
    (
        400,
        "ValidationException",
        "SENDER_ID_NOT_SUPPORTED",
        PermanentRecipient,
    ),
    (
        400,
        "ValidationException",
        "INTERNATIONAL_SENDING_NOT_SUPPORTED",
        PermanentRecipient,
    ),
    (
        400,
        "ValidationException",
        "SENDER_ID_NOT_REGISTERED",
        AccountConfig,
    ),
    (
        400,
        "ValidationException",
        "SENDER_ID_REQUIRES_REGISTRATION",
        AccountConfig,
    ),
    (
        400,
        "ValidationException",
        "PRICE_OVER_THRESHOLD",
        PermanentContent,
    ),
    (
        400,
        "ValidationException",
        "MAXIMUM_SIZE_EXCEEDED",
        PermanentContent,
    ),
    (
        400,
        "ValidationException",
        "FIELD_VALIDATION_FAILED",
        PermanentContent,
    ),
    (
        400,
        "ValidationException",
        "INVALID_PARAMETER",
        PermanentContent,
    ),
    (400, "ValidationException", "NEVER_SEEN", PermanentContent),
    (500, "InternalServerException", "", Ambiguous),
    (400, "ExpiredTokenException", "", Retryable),
    (400, "UnrecognizedClientException", "", Hold(App)),
    (400, "NeverSeenException", "", Unknown),
];

#[tokio::test]
async fn every_reason_has_its_class() {
    for &(status, code, reason, class) in CODES {
        let server = Loopback::start([failure(status, code, reason)]).await;
        let client = EumClient::new(&config(&server.url));
        let refusal = refused(client.send(&sender(), &sms("Hola")).await);
        assert_eq!(refusal.class, class, "{code} {reason}: {refusal:?}");
        let expected = match reason {
            "" => code.to_owned(),
            _ => format!("{code}/{reason}"),
        };
        assert_eq!(refusal.code, expected);
        assert!(!refusal.reason.contains("34600"), "{}", refusal.reason);
        let opted_out = reason == "DESTINATION_PHONE_NUMBER_OPTED_OUT";
        assert_eq!(refusal.opt_out, opted_out.then_some(OptOut::Everything));
        assert_eq!(server.requests().len(), 1, "{code} was sent twice");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_makes_no_call() {
    let server = Loopback::start([success()]).await;
    let client = EumClient::new(&config(&server.url));
    for (body, fits) in [
        ("a".repeat(1530), true),
        ("a".repeat(1531), false),
        ("€".repeat(766), false),
        ("ж".repeat(630), true),
        ("ж".repeat(631), false),
    ] {
        let before = server.requests().len();
        let outcome = client.send(&sender(), &sms(&body)).await;
        if fits {
            accepted(outcome);
            assert_eq!(server.requests().len(), before + 1);
        } else {
            assert_eq!(refused(outcome).code, "invalid-content");
            assert_eq!(server.requests().len(), before);
        }
    }
    let broken: [fn(&mut EumSender); 5] = [
        |sender| sender.origination_identity = Some("a b".to_owned()),
        |sender| sender.configuration_set = Some(String::new()),
        |sender| sender.max_price = Some("1".to_owned()),
        |sender| sender.context = vec![("a b".to_owned(), "v".to_owned())],
        |sender| sender.context = vec![("a".to_owned(), "v".to_owned()); 5],
    ];
    for change in broken {
        let mut sender = sender();
        change(&mut sender);
        let refusal = refused(client.send(&sender, &sms("Hola")).await);
        assert_eq!(refusal.code, "invalid-sender");
    }
    assert_eq!(server.requests().len(), 2);
}
