//! What a message falls back to is rendered, addressed and stored with it.

use crate::intake::{ANA, contact_by_phone, outcomes};
use comms_core::contacts::{Alias, AliasKind, Sighting, resolve};
use comms_core::model::{AccountId, Channel, ContactId, PassengerProfileId};
use comms_core::outbox::FallbackStep;
use comms_providers::Content;
use comms_tests::seed::{Operator, Traveller, opt_out, opt_out_of};
use comms_tests::world::World;
use serde_json::{Value, json};
use time::Duration;
use uuid::Uuid;

/// One trip of the operator is delayed with these on board; answers what Hasura gets.
async fn delayed(world: &World, operator: &Operator, travellers: Vec<Traveller>) -> Value {
    let trip = operator
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await
}

/// The chains of all messages, as the code that will fire them reads them.
async fn chains(world: &World) -> Vec<Vec<FallbackStep>> {
    let stored: Vec<Value> = sqlx::query_scalar(
        "select steps from communications.message_fallbacks where due_at is null order by message_id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    stored
        .into_iter()
        .map(|steps| serde_json::from_value(steps).unwrap())
        .collect()
}

async fn messages(world: &World) -> Vec<(String, String)> {
    sqlx::query_as("select channel, address from communications.messages order by id")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn all_channels(world: &World, operator: &Operator) -> (AccountId, AccountId) {
    (
        operator.connect_email(&world.pool).await.unwrap(),
        operator.connect_sms(&world.pool).await.unwrap(),
    )
}

fn ana() -> Traveller {
    Traveller::new("Ana García", Some(ANA), Some("es-MX")).with_email(" Ana@Example.com ")
}

fn skipped(answer: &Value, recipient: usize) -> Vec<(&str, &str)> {
    let recipient = &answer["run"]["recipients"][recipient];
    let steps = recipient["skipped"].as_array().map(Vec::as_slice);
    steps
        .unwrap_or_default()
        .iter()
        .map(|step| {
            (
                step["channel"].as_str().unwrap(),
                step["reason"].as_str().unwrap(),
            )
        })
        .collect()
}

fn pair(channel: &str, address: &str) -> (String, String) {
    (channel.to_owned(), address.to_owned())
}

#[tokio::test]
async fn the_rest_of_the_chain_is_stored_in_the_recipients_language() {
    let world = World::new().await;
    let (email, sms) = all_channels(&world, &world.iberia).await;
    let travellers = vec![
        ana(),
        Traveller::new("Tom Baker", Some("+447700900123"), Some("de")),
    ];
    let answer = delayed(&world, &world.iberia, travellers).await;
    assert_eq!(outcomes(&answer), ["QUEUED", "QUEUED"]);
    assert_eq!(skipped(&answer, 0), []);
    assert_eq!(skipped(&answer, 1), [("EMAIL", "NO_ADDRESS")]);
    assert_eq!(
        messages(&world).await,
        [pair("WHATSAPP", ANA), pair("WHATSAPP", "+447700900123")]
    );

    let chains = chains(&world).await;
    let [by_email, by_sms] = chains[0].as_slice() else {
        panic!("{:?}", chains[0])
    };
    assert_eq!(
        (by_email.channel, by_email.account),
        (Channel::Email, email)
    );
    assert_eq!(by_email.address, "ana@example.com");
    assert_eq!(by_email.not_delivered_within, Some(Duration::minutes(30)));
    assert_eq!(by_email.not_read_within, None);
    let Content::Email(content) = &by_email.content else {
        panic!("{:?}", by_email.content)
    };
    assert!(
        content
            .subject
            .starts_with("El viaje MAD-VLC-0815 va con retraso: nueva salida ")
    );
    assert_eq!(content.text.as_ref(), Some(&by_email.body));
    assert!(by_email.body.starts_with("Hola Ana:\n"));
    assert!(content.html.as_ref().unwrap().contains("<p>Hola Ana:</p>"));

    assert_eq!((by_sms.channel, by_sms.account), (Channel::Sms, sms));
    assert_eq!(by_sms.address, ANA);
    assert_eq!(by_sms.not_delivered_within, Some(Duration::minutes(15)));
    let start = "El viaje MAD-VLC-0815 Madrid - Valencia va con retraso. Nueva salida: ";
    assert!(by_sms.body.starts_with(start), "{}", by_sms.body);

    // Somebody of another language gets the platform's, and goes to the SMS straight from WhatsApp.
    assert_eq!(chains[1].len(), 1);
    assert_eq!(chains[1][0].channel, Channel::Sms);
    assert!(chains[1][0].body.ends_with('.') && chains[1][0].body.contains("is delayed"));
}

#[tokio::test]
async fn somebody_without_a_phone_gets_the_email_first() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    let eva = Traveller::new("Eva Ruiz", None, None).with_email("eva@example.com");
    let answer = delayed(&world, &world.iberia, vec![eva]).await;
    assert_eq!(outcomes(&answer), ["QUEUED"]);
    assert_eq!(
        skipped(&answer, 0),
        [("WHATSAPP", "NO_ADDRESS"), ("SMS", "NO_ADDRESS")]
    );
    assert_eq!(messages(&world).await, [pair("EMAIL", "eva@example.com")]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn who_refused_whatsapp_is_written_to_by_email() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    let contact = contact_by_phone(&world, world.iberia.tenant, ANA).await;
    opt_out(&world.pool, world.iberia.tenant, contact)
        .await
        .unwrap();
    let answer = delayed(&world, &world.iberia, vec![ana()]).await;
    assert_eq!(outcomes(&answer), ["QUEUED"]);
    assert_eq!(skipped(&answer, 0), [("WHATSAPP", "NO_CONSENT")]);
    assert_eq!(messages(&world).await, [pair("EMAIL", "ana@example.com")]);
    let chains = chains(&world).await;
    assert_eq!(chains[0][0].channel, Channel::Sms);
}

#[tokio::test]
async fn who_refused_everything_gets_one_row_that_never_leaves() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    let contact = contact_by_phone(&world, world.iberia.tenant, ANA).await;
    for channel in ["WHATSAPP", "EMAIL", "SMS"] {
        opt_out_of(&world.pool, world.iberia.tenant, contact, channel)
            .await
            .unwrap();
    }
    let answer = delayed(&world, &world.iberia, vec![ana()]).await;
    assert_eq!(outcomes(&answer), ["SUPPRESSED"]);
    assert_eq!(skipped(&answer, 0).len(), 3);
    assert_eq!(world.outbound().await, ["SUPPRESSED"]);
    assert_eq!(messages(&world).await, [pair("WHATSAPP", ANA)]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn a_fallback_that_does_not_render_is_answered_and_left_out() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    world
        .execute("update communications.notification_templates set html = '{{ nobody.knows }}' where channel = 'EMAIL'")
        .await;
    let answer = delayed(&world, &world.iberia, vec![ana()]).await;
    assert_eq!(outcomes(&answer), ["QUEUED"]);
    assert_eq!(
        answer["run"]["recipients"][0]["skipped"],
        json!([{"channel": "EMAIL", "reason": "TEMPLATE_ERROR", "detail": "html: undefined value"}])
    );
    let chains = chains(&world).await;
    assert_eq!(chains[0].len(), 1);
    assert_eq!(chains[0][0].channel, Channel::Sms);
}

#[tokio::test]
async fn the_first_step_says_why_when_nothing_can_be_used() {
    let world = World::new().await;
    let eva = Traveller::new("Eva Ruiz", None, None).with_email("eva@example.com");
    let bad = Traveller::new("No Address", None, None).with_email("not a mailbox");
    let answer = delayed(&world, &world.iberia, vec![eva, bad]).await;
    assert_eq!(outcomes(&answer), ["NO_ADDRESS", "NO_ADDRESS"]);
    assert_eq!(
        skipped(&answer, 0),
        [
            ("WHATSAPP", "NO_ADDRESS"),
            ("EMAIL", "NO_ACTIVE_ACCOUNT"),
            ("SMS", "NO_ACTIVE_ACCOUNT")
        ]
    );
    assert_eq!(skipped(&answer, 1), []);
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn a_chain_uses_the_tenants_own_accounts_alone() {
    let world = World::new().await;
    all_channels(&world, &world.albion).await;
    let answer = delayed(&world, &world.iberia, vec![ana()]).await;
    assert_eq!(
        skipped(&answer, 0),
        [("EMAIL", "NO_ACTIVE_ACCOUNT"), ("SMS", "NO_ACTIVE_ACCOUNT")]
    );
    assert_eq!(world.count("message_fallbacks").await, 0);

    let (email, sms) = all_channels(&world, &world.iberia).await;
    delayed(&world, &world.iberia, vec![ana()]).await;
    let accounts: Vec<AccountId> = chains(&world).await[0]
        .iter()
        .map(|step| step.account)
        .collect();
    assert_eq!(accounts, [email, sms]);
}

#[tokio::test]
async fn the_same_event_again_stores_no_second_chain() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    let trip = world
        .iberia
        .schedule(&world.pool, "T", vec![ana()])
        .await
        .unwrap();
    let change = trip.delay(&world.pool, 30).await.unwrap();
    let id = Uuid::now_v7();
    let first = world.hasura_reports(id, &change).await;
    let again = world.hasura_reports(id, &change).await;
    assert_eq!(first.status(), 200);
    assert_eq!(first.body(), again.body());
    assert_eq!(
        (
            world.count("messages").await,
            world.count("message_fallbacks").await
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn a_hostile_name_or_code_stays_text() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    world
        .execute(
            "update communications.notification_templates
                set html = '<p>{{ passenger.full_name }}</p>', subject = '{{ trip.code }} for {{ passenger.full_name }}'
              where channel = 'EMAIL'",
        )
        .await;
    let traveller = Traveller::new("<b>Ana</b> & co\r\nCc: c@example.com", None, None)
        .with_email("a@b.example");
    let code = "T\r\nBcc: b@example.com";
    let trip = world
        .iberia
        .schedule(&world.pool, code, vec![traveller])
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    let content: Value = world
        .scalar("select content from communications.messages")
        .await;
    assert_eq!(
        content["subject"],
        "T Bcc: b@example.com for <b>Ana</b> & co Cc: c@example.com"
    );
    let html = content["html"].as_str().unwrap();
    assert!(
        html.starts_with("<p>&lt;b&gt;Ana&lt;&#x2f;b&gt; &amp; co"),
        "{html}"
    );
}

/// A family's mailbox is an address of each, and nobody's identity.
#[tokio::test]
async fn a_shared_mailbox_makes_no_one_person_of_two() {
    let world = World::new().await;
    all_channels(&world, &world.iberia).await;
    let family = "familia@example.com";
    let on_board = || {
        vec![
            Traveller::new("Ana García", Some(ANA), None).with_email(family),
            Traveller::new("Luis García", Some("+34600111333"), None).with_email(family),
            Traveller::new("Eva García", None, None).with_email(family),
        ]
    };
    let travellers = on_board();
    for _ in 0..2 {
        let answer = delayed(&world, &world.iberia, travellers.clone()).await;
        assert_eq!(outcomes(&answer), ["QUEUED", "QUEUED", "QUEUED"]);
    }
    assert_eq!(world.count("contacts").await, 3);
    let sent = messages(&world).await;
    assert_eq!(sent[..3], sent[3..]);
    assert_eq!(sent[2], pair("EMAIL", family));
    let owners: i64 = world
        .scalar("select count(*) from communications.contact_identities where kind = 'email'")
        .await;
    assert_eq!(owners, 1);
}

/// Who has written from a mailbox, and is known by nothing else, is the first profile with it.
#[tokio::test]
async fn a_mailbox_finds_whom_nothing_else_is_known_of() {
    let world = World::new().await;
    let known = |world: &World, aliases: Vec<Alias>| {
        let database = world.database();
        let tenant = world.iberia.tenant;
        async move {
            let mut tx = database.begin().await.unwrap();
            let sighting = Sighting {
                aliases,
                ..Sighting::new(tenant)
            };
            let contact = resolve(&mut tx, &[sighting]).await.unwrap()[0];
            tx.commit().await.unwrap();
            contact
        }
    };
    let mailbox = |value| Alias::new(AliasKind::Email, value);
    let phone = Alias::new(AliasKind::Phone, "+34600111555");
    let writer = known(&world, vec![mailbox("ana@example.com")]).await;
    let stranger = known(&world, vec![phone, mailbox("eva@example.com")]).await;
    let profiles = vec![
        ana(),
        Traveller::new("Other Ana", None, None).with_email("ana@example.com"),
        Traveller::new("Eva Ruiz", None, None).with_email("eva@example.com"),
    ];
    let first = profiles[0].profile;
    delayed(&world, &world.iberia, profiles).await;
    let links: Vec<(ContactId, Option<PassengerProfileId>)> = sqlx::query_as(
        "select id, passenger_profile_id from communications.contacts order by created_at, id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(links.len(), 4);
    assert_eq!(links[..2], [(writer, Some(first)), (stranger, None)]);
}

#[tokio::test]
async fn a_message_has_at_most_one_fallback_whoever_makes_it() {
    let world = World::new().await;
    delayed(&world, &world.iberia, vec![ana()]).await;
    let fallback = "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category,
              run_id, step, fallback_of)
         select tenant_id, gen_random_uuid(), direction, channel, account_id, contact_id, sender_kind, address, content,
                'QUEUED', lane, category, run_id, $1, id
           from communications.messages where step = 0";
    let make = async |step: i16| sqlx::query(fallback).bind(step).execute(&world.pool).await;
    make(1).await.unwrap();
    let refused = make(2).await.unwrap_err();
    assert!(
        refused.to_string().contains("messages_fallback_of_key"),
        "{refused}"
    );
}
