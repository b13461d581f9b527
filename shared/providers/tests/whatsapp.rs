//! The WhatsApp adapter against the simulator, which reads Meta's documentation on its own.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on should say why and stop"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test plays the outside world, with clients and servers of its own"
)]

use comms_providers::command::WhatsAppTemplate;
use comms_providers::event::{DeliveryStatus, EventKind};
use comms_providers::http::{self, GraphUrl};
use comms_providers::whatsapp::{WhatsAppClient, WhatsAppSender, signature, webhook};
use comms_providers::{
    Accepted, Content, OutcomeClass, Recipient, Refusal, Scope, SendMessageCommand, SendOutcome,
};
use comms_simulator::{
    Answer, Inbound, Number, Script, Simulator, SimulatorConfig, StatusStep, Template,
};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use uuid::Uuid;

const TOKEN: &str = "EAAG-test";

async fn simulator() -> Simulator {
    let simulator = Simulator::start(SimulatorConfig::default())
        .await
        .expect("a free port");
    let named = Template {
        names: vec!["who".to_owned()],
        ..Template::new("invoice", "es", 1)
    };
    let templates = vec![Template::new("trip_delayed", "es_ES", 2), named];
    let number = Number {
        templates,
        ..Number::new("1065", "waba-1", "34911222333", TOKEN)
    };
    simulator.register(number).expect("a number");
    simulator
}

fn client_for(url: &str) -> WhatsAppClient {
    let base = GraphUrl::parse(&format!("{url}/v26.0")).expect("a loopback URL");
    WhatsAppClient::new(http::client().expect("a client"), base)
}

fn sender() -> WhatsAppSender {
    WhatsAppSender {
        phone_number_id: "1065".to_owned(),
        access_token: SecretString::from(TOKEN),
    }
}

fn command(content: Content) -> SendMessageCommand {
    SendMessageCommand {
        correlation_id: Uuid::now_v7(),
        recipient: Recipient::Phone("+34600111222".to_owned()),
        content,
        reply_to: None,
        expires_in: None,
    }
}

fn text() -> SendMessageCommand {
    command(Content::Text {
        body: "Hola 👋".to_owned(),
        preview_url: false,
    })
}

fn template(parameters: &[&str]) -> SendMessageCommand {
    command(Content::Template(WhatsAppTemplate {
        name: "trip_delayed".to_owned(),
        language: "es_ES".to_owned(),
        body: parameters
            .iter()
            .map(|&parameter| parameter.to_owned())
            .collect(),
        ..WhatsAppTemplate::default()
    }))
}

fn accepted(outcome: SendOutcome) -> Accepted {
    match outcome {
        SendOutcome::Accepted(accepted) => accepted,
        SendOutcome::Refused(refusal) => panic!("refused: {refusal:?}"),
    }
}

fn refused(outcome: SendOutcome) -> Refusal {
    match outcome {
        SendOutcome::Refused(refusal) => refusal,
        SendOutcome::Accepted(accepted) => panic!("accepted: {accepted:?}"),
    }
}

#[tokio::test]
async fn what_is_accepted_comes_back_with_our_id() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    let sent = SendMessageCommand {
        reply_to: Some("wamid.theirs".to_owned()),
        ..text()
    };
    let answer = accepted(client.send(&sender(), &sent).await);
    assert_eq!(answer.recipient_wa_id.as_deref(), Some("34600111222"));

    let status = simulator
        .signed_status(&answer.external_message_id, &"delivered".into())
        .expect("a message");
    let secrets = [SecretString::from("test_app_secret")];
    let verified = signature::verify(&status.body, Some(&status.signature), &secrets)
        .expect("Meta's signature");
    let events = webhook::parse(&verified).expect("a webhook");
    let EventKind::Status(update) = &events[0].kind else {
        panic!("no status: {events:?}")
    };
    assert_eq!(update.correlation_id, Some(sent.correlation_id));
    assert_eq!(update.external_message_id, answer.external_message_id);
    assert_eq!(update.status, DeliveryStatus::Delivered);

    let user = SendMessageCommand {
        recipient: Recipient::WhatsAppUser("ES.1349".to_owned()),
        ..template(&["a", "b"])
    };
    let answer = accepted(client.send(&sender(), &user).await);
    assert_eq!(answer.recipient_wa_id, None);
    assert_eq!(answer.recipient_user_id.as_deref(), Some("ES.1349"));
    let calls = simulator.calls();
    assert_eq!(calls[0].body["context"]["message_id"], "wamid.theirs");
    assert_eq!(calls.len(), 2);
}

/// Stored contents as the simulator, which read the documentation on its own, takes them.
#[tokio::test]
async fn every_kind_of_message_is_accepted() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    let row = json!({ "id": "1", "title": "10:00", "description": "directo" });
    let contents = [
        json!({ "type": "image", "id": "1", "caption": "Vía 4" }),
        json!({ "type": "video", "link": "https://files.example/a.mp4" }),
        json!({ "type": "audio", "id": "1" }),
        json!({ "type": "document", "id": "1", "caption": "c", "filename": "billete.pdf" }),
        json!({ "type": "sticker", "id": "1" }),
        json!({ "type": "location", "latitude": 41.38, "longitude": 2.17, "name": "Sants" }),
        json!({ "type": "reaction", "message_id": "wamid.A", "emoji": "👍" }),
        json!({ "type": "interactive", "header": "h", "body": "b", "footer": "f",
            "action": { "type": "buttons", "buttons": [{ "id": "1", "title": "Sí" }, { "id": "2", "title": "No" }] } }),
        json!({ "type": "interactive", "body": "b",
            "action": { "type": "list", "button": "Ver", "sections": [{ "title": "Hoy", "rows": [row] }] } }),
        json!({ "type": "template", "name": "invoice", "language": "es",
            "header": { "type": "document", "id": "1", "filename": "factura.pdf" },
            "body": ["Ana"], "body_names": ["who"],
            "buttons": [
                { "index": 0, "parameter": { "type": "url", "text": "42" } },
                { "index": 1, "parameter": { "type": "quick_reply", "payload": "STOP" } },
                { "index": 2, "parameter": { "type": "copy_code", "code": "VERANO" } },
            ] }),
    ];
    for content in contents {
        let content = serde_json::from_value(content).expect("a typed content");
        let answering = SendMessageCommand {
            reply_to: Some("wamid.theirs".to_owned()),
            ..command(content)
        };
        accepted(client.send(&sender(), &answering).await);
    }
}

#[tokio::test]
async fn refusals_are_classified_and_say_nothing_about_the_recipient() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    let mut other = sender();
    other.access_token = SecretString::from("other");
    let auth = refused(client.send(&other, &text()).await);
    assert_eq!(
        (auth.class, auth.code.as_str()),
        (OutcomeClass::Auth, "190")
    );
    let count = refused(client.send(&sender(), &template(&["a"])).await);
    assert_eq!(
        (count.class, count.code.as_str()),
        (OutcomeClass::PermanentTemplate, "132000")
    );

    for (code, class) in [
        (131_056, OutcomeClass::RateLimited(Scope::Pair)),
        (131_047, OutcomeClass::PolicyWindow),
        (131_016, OutcomeClass::Retryable),
        (131_031, OutcomeClass::Hold(Scope::Account)),
        (424_242, OutcomeClass::Unknown),
    ] {
        simulator.script(Script::fail(code));
        let refusal = refused(client.send(&sender(), &text()).await);
        assert_eq!((refusal.class, refusal.code), (class, code.to_string()));
        assert!(!refusal.reason.contains("34600111222") && !refusal.reason.contains("Hola"));
    }
    let busy = Answer::Fail {
        code: 4,
        http_status: None,
        subcode: None,
        is_transient: false,
        retry_after: Some(30),
    };
    simulator.script(Script {
        answer: busy,
        ..Script::default()
    });
    assert_eq!(
        refused(client.send(&sender(), &text()).await).retry_after,
        Some(Duration::from_secs(30))
    );
}

#[tokio::test]
async fn what_cannot_be_sent_makes_no_call() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    let empty = command(Content::Text {
        body: String::new(),
        preview_url: false,
    });
    assert_eq!(
        refused(client.send(&sender(), &empty).await).code,
        "invalid-content"
    );
    for id in ["", "../1065", "1065/messages?x="] {
        let elsewhere = WhatsAppSender {
            phone_number_id: id.to_owned(),
            ..sender()
        };
        assert_eq!(
            refused(client.send(&elsewhere, &text()).await).code,
            "invalid-sender"
        );
    }
    for token in ["", "a b", "a\r\nx-header: y"] {
        let broken = WhatsAppSender {
            access_token: SecretString::from(token),
            ..sender()
        };
        let refusal = refused(client.send(&broken, &text()).await);
        assert_eq!(
            (refusal.class, refusal.code.as_str()),
            (OutcomeClass::Auth, "invalid-token")
        );
    }
    assert_eq!(simulator.calls(), []);
}

#[tokio::test]
async fn before_the_bytes_left_a_fault_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let refusal = refused(
        client_for(&format!("http://{address}"))
            .send(&sender(), &text())
            .await,
    );
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::Retryable, "transport")
    );

    let simulator = simulator().await;
    let no_tls = simulator.url().replace("http://", "https://");
    let refusal = refused(client_for(&no_tls).send(&sender(), &text()).await);
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::Retryable, "transport")
    );
}

#[tokio::test]
async fn after_the_bytes_left_nobody_knows() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    simulator.script(Script::accept_and_hang_up());
    let refusal = refused(client.send(&sender(), &text()).await);
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::Ambiguous, "connection-lost")
    );
    for status in [200, 500, 503] {
        simulator.script(Script::bare(status));
        let refusal = refused(client.send(&sender(), &text()).await);
        assert_eq!(
            (refusal.class, refusal.code.as_str()),
            (OutcomeClass::Ambiguous, "no-provider-body")
        );
    }
    simulator.script(Script::delay(60_000));
    let impatient = reqwest::Client::builder()
        .timeout(Duration::from_secs(1))
        .build()
        .expect("a client");
    let base = GraphUrl::parse(&format!("{}/v26.0", simulator.url())).expect("a loopback URL");
    let refusal = refused(
        WhatsAppClient::new(impatient, base)
            .send(&sender(), &text())
            .await,
    );
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::Ambiguous, "timeout")
    );
    assert_eq!(simulator.calls().len(), 5, "nothing was sent twice");
}

#[tokio::test]
async fn an_answer_cut_in_its_middle_leaves_the_outcome_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 64];
        stream
            .read_exact(&mut request)
            .await
            .expect("the head of a request");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"messages\":")
            .await
            .expect("a reader");
    });
    let refusal = refused(client_for(&url).send(&sender(), &text()).await);
    assert_eq!(
        (refusal.class, refusal.code.as_str()),
        (OutcomeClass::Ambiguous, "connection-lost")
    );
    server.await.expect("no panic");
}

#[tokio::test]
async fn what_a_gateway_turns_away_is_not_followed_and_may_be_tried_again() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    for status in [307, 403, 429] {
        simulator.script(Script::bare(status));
        let refusal = refused(client.send(&sender(), &text()).await);
        assert_eq!(
            (refusal.class, refusal.code),
            (OutcomeClass::Retryable, format!("http-{status}"))
        );
    }
}

#[tokio::test]
async fn a_payload_over_several_numbers_is_read_whole() {
    let simulator = simulator().await;
    let (ours, other) = (
        Number::new("1065", "waba-1", "34911222333", TOKEN),
        Number::new("2077", "waba-2", "34911222444", TOKEN),
    );
    let failed =
        comms_simulator::StatusReport::new("wamid.A", StatusStep::failed(131_049), "34600111222");
    let signed = simulator
        .builder()
        .message(&ours, &Inbound::text("34600111222", "¿hola?"))
        .status(&other, &failed)
        .change(
            "waba-2",
            "account_update",
            &serde_json::json!({ "event": "DISABLED_UPDATE" }),
        )
        .build();
    let secrets = [SecretString::from("test_app_secret")];
    let verified = signature::verify(&signed.body, Some(&signed.signature), &secrets)
        .expect("Meta's signature");
    let events = webhook::parse(&verified).expect("a webhook");
    let kinds: Vec<_> = events.iter().map(|event| &event.kind).collect();
    let [
        EventKind::Message(message),
        EventKind::Status(update),
        EventKind::Account(notice),
    ] = &kinds[..]
    else {
        panic!("other events: {kinds:?}")
    };
    assert_eq!(message.body, "¿hola?");
    assert_eq!(
        update.failure.as_ref().map(|failure| failure.code.as_str()),
        Some("131049")
    );
    assert_eq!(
        (notice.field.as_str(), notice.event.as_str()),
        ("account_update", "DISABLED_UPDATE")
    );
    let accounts: Vec<_> = events
        .iter()
        .map(|event| event.account.as_ref()?.waba_id.as_deref())
        .collect();
    assert_eq!(accounts, [Some("waba-1"), Some("waba-2"), Some("waba-2")]);
}

#[tokio::test]
async fn a_read_receipt_is_one_call_and_its_refusal_has_a_class() {
    let simulator = simulator().await;
    let client = client_for(&simulator.url());
    for typing in [false, true] {
        let told = client.mark_read(&sender(), "wamid.A", typing).await;
        assert_eq!(told, Ok(()));
    }
    let told: Vec<(String, bool)> = simulator
        .receipts()
        .into_iter()
        .map(|receipt| (receipt.message_id, receipt.typing))
        .collect();
    assert_eq!(
        told,
        [("wamid.A".to_owned(), false), ("wamid.A".to_owned(), true)]
    );
    let refused = client.mark_read(&sender(), "A", false).await;
    assert_eq!(refused.expect_err("no id").code, "131009");
    let nobody = client_for("http://127.0.0.1:9");
    let refused = nobody.mark_read(&sender(), "wamid.A", false).await;
    assert_eq!(
        refused.expect_err("nobody there").class,
        OutcomeClass::Retryable
    );
}
