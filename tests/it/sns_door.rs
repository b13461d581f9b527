//! `POST /api/webhooks/sns`: what SNS signed for our topics, and nothing else; a no that SNS would take for final only where it is one.

use comms_providers::sns::{Certificates, Hosts};
use comms_tests::sns::Sns;
use comms_tests::world::World;
use comms_tests::world::aws::TOPIC;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

async fn at(world: &World, ago: Duration) -> String {
    let seconds: i64 = world
        .scalar("select extract(epoch from now())::bigint")
        .await;
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap() - ago;
    at.format(&Rfc3339).unwrap()
}

async fn with_sns(world: &mut World) -> Sns {
    let sns = Sns::start().await;
    let hosts = Hosts::loopback(&sns.url).unwrap();
    world.aws_events.certificates = Certificates::new(world.aws_events.http.clone(), hosts.clone());
    world.aws_events.hosts = hosts;
    sns
}

async fn post(world: &World, body: &Value) -> i64 {
    let request = json!({
        "version": "2.0", "rawPath": "/api/webhooks/sns", "headers": {"content-type": "text/plain; charset=UTF-8"},
        "requestContext": {"http": {"method": "POST", "path": "/api/webhooks/sns"}},
        "body": body.to_string(), "isBase64Encoded": false
    });
    aws_events::handle(&world.aws_events, request).await["statusCode"]
        .as_i64()
        .unwrap()
}

fn text(world: &World, id: &str) -> String {
    json!({"originationNumber": "+34600999000", "destinationNumber": format!("+{}", world.iberia.display_number),
           "messageKeyword": "K", "messageBody": "hola", "inboundMessageId": id})
    .to_string()
}

#[tokio::test]
async fn what_sns_signed_is_stored_once() {
    let mut world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let sns = with_sns(&mut world).await;
    let body = sns.notification(
        TOPIC,
        &at(&world, Duration::ZERO).await,
        &text(&world, "s-1"),
    );
    for _ in 0..2 {
        assert_eq!(post(&world, &body).await, 200);
    }
    assert_eq!(world.count("messages").await, 1);
}

#[tokio::test]
async fn strangers_old_news_and_changed_words_are_refused_for_good() {
    let mut world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let sns = with_sns(&mut world).await;
    let now = at(&world, Duration::ZERO).await;
    let good = sns.notification(TOPIC, &now, &text(&world, "s-1"));
    let changed = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    let refused = [
        sns.notification(
            "arn:aws:sns:us-east-1:999999999999:theirs",
            &now,
            &text(&world, "s-1"),
        ),
        sns.notification(
            TOPIC,
            &at(&world, Duration::hours(2)).await,
            &text(&world, "s-1"),
        ),
        changed("Message", json!("{}")),
        changed("Signature", json!("AAAA")),
        changed(
            "SigningCertURL",
            json!("https://sns.us-east-1.amazonaws.com.evil.example/cert.pem"),
        ),
        changed("SignatureVersion", json!("3")),
    ];
    for body in refused {
        assert_eq!(post(&world, &body).await, 403, "{body}");
    }
    assert_eq!(post(&world, &json!({"no": "envelope"})).await, 400);
    assert_eq!(
        (
            world.count("messages").await,
            world.count("quarantine").await
        ),
        (0, 0)
    );
}

#[tokio::test]
async fn a_question_about_our_topic_is_answered_with_yes() {
    let mut world = World::new().await;
    let sns = with_sns(&mut world).await;
    let now = at(&world, Duration::ZERO).await;
    assert_eq!(post(&world, &sns.question(TOPIC, &now, "tok")).await, 200);
    assert_eq!(
        post(
            &world,
            &sns.question("arn:aws:sns:us-east-1:999999999999:theirs", &now, "no")
        )
        .await,
        403
    );
    assert_eq!(sns.confirmed(), ["tok"]);
}

#[tokio::test]
async fn what_may_pass_is_no_final_no() {
    let mut world = World::new().await;
    let sns = with_sns(&mut world).await;
    let body = sns.notification(
        TOPIC,
        &at(&world, Duration::ZERO).await,
        &text(&world, "s-1"),
    );
    drop(sns);
    assert_eq!(
        post(&world, &body).await,
        503,
        "the certificate cannot be fetched"
    );
}

/// SNS gives up after some hours, and its queue after ten receives: what the database never takes must lie where somebody sees it.
#[tokio::test]
async fn what_the_database_refuses_is_kept_whichever_way_it_came() {
    let mut world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let sns = with_sns(&mut world).await;
    // Stands for a bug of ours.
    world
        .execute("alter table communications.messages add constraint no_such_id check (external_message_id not like 'poison%')")
        .await;
    let at = at(&world, Duration::ZERO).await;
    let body = sns.notification(TOPIC, &at, &text(&world, "poison-1"));
    assert_eq!(post(&world, &body).await, 200);
    let texts = ["poison-2", "s-1"].map(|id| serde_json::from_str(&text(&world, id)).unwrap());
    assert!(world.aws_tells(&texts).await.is_empty());
    assert_eq!(world.count("messages").await, 1);
    assert_eq!(world.count("quarantine where reason = 'REFUSED'").await, 2);
    world
        .execute("alter table communications.messages drop constraint no_such_id")
        .await;
    let replayed = world.replays(&json!({"reason": "REFUSED"})).await;
    assert_eq!((replayed.replayed, replayed.messages), (2, 2));
}
