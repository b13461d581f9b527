//! SES: what a send looks like on the wire, and what each error code means.

use crate::loopback::{Loopback, Reply};
use crate::{accepted, command, config, refused};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use comms_providers::OutcomeClass::{
    self, AccountConfig, Ambiguous, Hold, PermanentContent, RateLimited, Retryable, Unknown,
};
use comms_providers::Scope::{Account, App};
use comms_providers::ses::{SesClient, SesSender};
use comms_providers::{Recipient, SendMessageCommand};
use serde_json::{Value, json};

pub fn sender() -> SesSender {
    SesSender {
        from_address: "avisos@tren.example".to_owned(),
        configuration_set: Some("tenant-1".to_owned()),
        tenant_name: Some("tenant-1".to_owned()),
        tags: vec![("tenant".to_owned(), "t-1".to_owned())],
        ..SesSender::default()
    }
}

pub fn email() -> SendMessageCommand {
    command(
        Recipient::Email("ana@example.com".to_owned()),
        json!({ "type": "email", "subject": "Retraso", "text": "Hola" }),
    )
}

fn failure(status: u16, code: &str, message: &str) -> Reply {
    let headers = format!("x-amzn-errortype: {code}\r\ncontent-type: application/json\r\n");
    Reply::Answer(
        status,
        headers.leak(),
        json!({ "message": message }).to_string(),
    )
}

#[tokio::test]
async fn one_call_for_one_recipient_with_our_id_in_its_tags() {
    let reply = Reply::Answer(200, "", json!({ "MessageId": "0100-abc" }).to_string());
    let server = Loopback::start([reply]).await;
    let client = SesClient::new(&config(&server.url));
    let answer = accepted(client.send(&sender(), &email()).await);
    assert_eq!(answer.external_message_id, "0100-abc");
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0]
            .line
            .starts_with("POST /v2/email/outbound-emails")
    );
    assert!(requests[0].headers["authorization"].contains("/eu-west-1/ses/aws4_request"));
    let mut body: Value = serde_json::from_str(&requests[0].body).expect("JSON");
    let raw = body["Content"]["Raw"]["Data"].take();
    let raw = STANDARD
        .decode(raw.as_str().expect("base64"))
        .expect("base64");
    let raw = String::from_utf8(raw).expect("text");
    assert!(raw.contains("Subject: Retraso\r\n") && raw.contains("To: <ana@example.com>\r\n"));
    assert_eq!(
        body,
        json!({
            "FromEmailAddress": "avisos@tren.example",
            "Destination": { "ToAddresses": ["ana@example.com"] },
            "Content": { "Raw": { "Data": null } },
            "EmailTags": [
                { "Name": "message_id", "Value": "01935b2e-7c1a-7000-8000-000000000001" },
                { "Name": "tenant", "Value": "t-1" },
            ],
            "ConfigurationSetName": "tenant-1",
            "TenantName": "tenant-1",
        })
    );
}

/// Status, code, message, and what it means.
const CODES: &[(u16, &str, &str, OutcomeClass)] = &[
    (
        429,
        "TooManyRequestsException",
        "Maximum sending rate exceeded.",
        RateLimited(App),
    ),
    (
        429,
        "TooManyRequestsException",
        "Daily message quota exceeded.",
        Hold(App),
    ),
    (
        400,
        "Throttling",
        "Maximum sending rate exceeded.",
        RateLimited(App),
    ),
    (
        429,
        "ThrottlingException",
        "Daily message quota exceeded",
        Hold(App),
    ),
    (400, "LimitExceededException", "", Hold(App)),
    (400, "AccountSuspendedException", "", Hold(App)),
    (
        400,
        "SendingPausedException",
        "Sending paused for this account.",
        Hold(App),
    ),
    (400, "SendingPausedException", "", Hold(App)),
    (
        400,
        "SendingPausedException",
        "Sending paused for this configuration set.",
        Hold(Account),
    ),
    (
        400,
        "MessageRejected",
        "Sending is paused for this tenant.",
        Hold(Account),
    ),
    (
        400,
        "MessageRejected",
        "Email address is not verified. ana@example.com",
        AccountConfig,
    ),
    (
        400,
        "MessageRejected",
        "Message contains a virus.",
        PermanentContent,
    ),
    (400, "MailFromDomainNotVerifiedException", "", AccountConfig),
    (
        404,
        "NotFoundException",
        "Configuration set <x> does not exist.",
        AccountConfig,
    ),
    (
        400,
        "BadRequestException",
        "Missing final '@domain': ana@example.com",
        PermanentContent,
    ),
    (500, "ConcurrentModificationException", "", Retryable),
    (500, "InternalServiceErrorException", "", Ambiguous),
    (503, "ServiceUnavailable", "", Ambiguous),
    (403, "AccessDeniedException", "", AccountConfig),
    (403, "ExpiredTokenException", "", Retryable),
    (403, "UnrecognizedClientException", "", Hold(App)),
    (403, "InvalidSignatureException", "", Hold(App)),
    (409, "ConflictException", "", Unknown),
    (400, "NeverSeenException", "", Unknown),
];

#[tokio::test]
async fn every_code_has_its_class() {
    for &(status, code, message, class) in CODES {
        let server = Loopback::start([failure(status, code, message)]).await;
        let client = SesClient::new(&config(&server.url));
        let refusal = refused(client.send(&sender(), &email()).await);
        assert_eq!(
            (refusal.class, refusal.code.as_str()),
            (class, code),
            "{message}"
        );
        assert!(!refusal.reason.contains("ana@"), "{}", refusal.reason);
        assert_eq!(server.requests().len(), 1, "{code} was sent twice");
    }
}

#[tokio::test]
async fn what_cannot_be_sent_makes_no_call() {
    let server = Loopback::start([Reply::HangUp]).await;
    let client = SesClient::new(&config(&server.url));
    let code = async |sender: &SesSender, command: &SendMessageCommand| {
        let refusal = refused(client.send(sender, command).await);
        refusal.code
    };
    let text = SendMessageCommand {
        content: serde_json::from_value(json!({ "type": "text", "body": "b" })).expect("a text"),
        ..email()
    };
    assert_eq!(code(&sender(), &text).await, "invalid-content");
    for recipient in [
        Recipient::Phone("+34600111222".to_owned()),
        Recipient::Email("ana@example.com\r\nBcc: eve@example.com".to_owned()),
    ] {
        let elsewhere = SendMessageCommand {
            recipient,
            ..email()
        };
        assert_eq!(code(&sender(), &elsewhere).await, "invalid-recipient");
    }
    let broken: [fn(&mut SesSender); 6] = [
        |sender| sender.from_address = "avisos".to_owned(),
        |sender| sender.configuration_set = Some("a b".to_owned()),
        |sender| sender.configuration_set = None,
        |sender| sender.tenant_name = Some("x".repeat(65)),
        |sender| sender.tags = vec![("ses:x".to_owned(), "v".to_owned())],
        |sender| sender.tags = vec![("x".to_owned(), "v".to_owned()); 50],
    ];
    for change in broken {
        let mut sender = sender();
        change(&mut sender);
        assert_eq!(code(&sender, &email()).await, "invalid-sender");
    }
    assert_eq!(server.requests().len(), 0);
}
