//! Templates: handed in, reviewed, listed by pages, deleted.

use crate::{NUMBER, WABA, client, pin, simulator, token};
use comms_providers::FaultClass::{Retryable, WrongInput};
use comms_providers::event::EventKind;
use comms_providers::whatsapp::onboarding::{NewTemplate, OnboardingClient};
use comms_providers::whatsapp::{signature, webhook};
use comms_simulator::{GraphScript, Review, Simulator};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::Duration;

fn new(name: &str, body: &str) -> NewTemplate {
    NewTemplate {
        name: name.to_owned(),
        language: "es_ES".to_owned(),
        category: "UTILITY".to_owned(),
        parameter_format: None,
        components: json!([{ "type": "BODY", "text": body,
            "example": { "body_text": [["Ana", "5"]] } }]),
    }
}

const BODY: &str = "Hola {{1}}, su tren sale con {{2}} minutos de retraso.";

async fn connected() -> (Simulator, OnboardingClient, SecretString) {
    let simulator = simulator().await;
    let (client, token) = (client(&simulator), token(&simulator).await);
    client
        .register(&token, NUMBER, &pin("246802"))
        .await
        .expect("registered");
    client.subscribe(&token, WABA).await.expect("subscribed");
    (simulator, client, token)
}

#[tokio::test]
async fn a_template_is_handed_in_reviewed_and_announced() {
    let (simulator, client, token) = connected().await;
    let created = client
        .create_template(&token, WABA, &new("trip_delayed", BODY))
        .await;
    let created = created.expect("handed in");
    assert_eq!(created.status, "PENDING");
    assert_eq!(created.category.as_deref(), Some("UTILITY"));

    let review = Review {
        category: Some("MARKETING".to_owned()),
        quality: Some("GREEN".to_owned()),
        ..Review::status(WABA, "trip_delayed", "es_ES", "APPROVED")
    };
    simulator.review(&review).expect("a template");
    let listed = client.all_templates(&token, WABA).await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].id.as_str(), listed[0].status.as_str()),
        (created.id.as_str(), "APPROVED")
    );
    assert_eq!(listed[0].category.as_deref(), Some("MARKETING"));
    assert_eq!(listed[0].quality.as_deref(), Some("GREEN"));
    assert_eq!(listed[0].rejected_reason, None);
    assert_eq!(listed[0].components[0]["text"], BODY);

    let secrets = [SecretString::from(crate::APP_SECRET)];
    let mut told = Vec::new();
    for held in simulator.take_held() {
        let verified = signature::verify(&held.body, Some(&held.signature), &secrets);
        for event in webhook::parse(&verified.expect("Meta's signature")).expect("a webhook") {
            let EventKind::Template(update) = event.kind else {
                panic!("no notice about a template: {event:?}")
            };
            assert_eq!(update.template_id.as_deref(), Some(created.id.as_str()));
            assert!(update.at.is_some());
            told.push((update.category, update.status, update.quality));
        }
    }
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            (text("MARKETING"), None, None),
            (None, text("APPROVED"), None),
            (None, None, text("GREEN")),
        ]
    );
    let rejected = Review {
        reason: Some("INVALID_FORMAT".to_owned()),
        ..Review::status(WABA, "trip_delayed", "es_ES", "REJECTED")
    };
    simulator.review(&rejected).expect("a template");
    let listed = client.all_templates(&token, WABA).await.expect("a list");
    assert_eq!(listed[0].rejected_reason.as_deref(), Some("INVALID_FORMAT"));
}

#[tokio::test]
async fn what_is_wrong_with_a_template_is_told() {
    let (_simulator, client, token) = connected().await;
    let many = "{{1}} {{2}} {{3}} {{4}}";
    let cases: [(NewTemplate, &str, Option<u32>); 7] = [
        (new("Trip-Delayed", BODY), "invalid-name", None),
        (new("a", &"x ".repeat(600)), "100", Some(2_388_040)),
        (new("a", "{{1}} abre"), "100", Some(2_388_299)),
        (
            new("a", &format!("Hola {many} adiós")),
            "100",
            Some(2_388_293),
        ),
        (
            NewTemplate {
                category: "NEWS".to_owned(),
                ..new("a", BODY)
            },
            "100",
            None,
        ),
        (with("FOOTER", "Pie {{1}}"), "100", Some(2_388_073)),
        (with("HEADER", "Uno {{1}} y {{2}}"), "100", Some(2_388_047)),
    ];
    for (template, code, subcode) in cases {
        let error = client.create_template(&token, WABA, &template).await;
        let error = error.expect_err("wrong");
        assert_eq!(
            (error.code.as_str(), error.subcode),
            (code, subcode),
            "{template:?}"
        );
        assert_eq!(error.class, WrongInput);
    }
    let bodyless = NewTemplate {
        components: json!([]),
        ..new("a", BODY)
    };
    let error = client
        .create_template(&token, WABA, &bodyless)
        .await
        .expect_err("no body");
    assert_eq!(error.subcode, Some(2_388_072));
}

fn with(kind: &str, text: &str) -> NewTemplate {
    let mut template = new("a", BODY);
    if let Value::Array(components) = &mut template.components {
        components.push(json!({ "type": kind, "text": text }));
    }
    template
}

#[tokio::test]
async fn a_list_longer_than_a_page_comes_whole_and_a_stale_cursor_begins_anew() {
    let (simulator, client, token) = connected().await;
    for number in 0..120 {
        let template = new(&format!("t_{number:03}"), BODY);
        client
            .create_template(&token, WABA, &template)
            .await
            .expect("handed in");
    }
    let page = client.templates(&token, WABA, None).await.expect("a page");
    assert_eq!((page.items.len(), page.next.as_deref()), (50, Some("50")));
    let stale = client
        .templates(&token, WABA, Some("gone"))
        .await
        .expect_err("stale");
    assert_eq!((stale.code.as_str(), stale.class), ("131059", Retryable));

    simulator.script_graph(GraphScript {
        method: Some("GET".to_owned()),
        ..GraphScript::fail("message_templates", 131_059)
    });
    let listed = client.all_templates(&token, WABA).await.expect("a list");
    assert_eq!(listed.len(), 120);
    assert_eq!(listed[119].name, "t_119");
}

#[tokio::test]
async fn a_deleted_name_rests_for_thirty_days() {
    let (simulator, client, token) = connected().await;
    let template = new("trip_delayed", BODY);
    client
        .create_template(&token, WABA, &template)
        .await
        .expect("handed in");
    let again = client
        .create_template(&token, WABA, &template)
        .await
        .expect_err("taken");
    assert!(again.cause.contains("name is taken"), "{}", again.cause);
    simulator
        .review(&Review::status(WABA, "trip_delayed", "es_ES", "APPROVED"))
        .expect("a template");
    let other = client
        .delete_template(&token, WABA, "trip_delayed", Some("1"))
        .await;
    assert_eq!(other.expect_err("another id").class, WrongInput);
    client
        .delete_template(&token, WABA, "trip_delayed", None)
        .await
        .expect("deleted");
    assert_eq!(client.all_templates(&token, WABA).await, Ok(Vec::new()));
    client
        .create_template(&token, WABA, &template)
        .await
        .expect_err("rests");
    simulator.pass(Duration::from_hours(30 * 24));
    client
        .create_template(&token, WABA, &template)
        .await
        .expect("a month later");
}
