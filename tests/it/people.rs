//! Who somebody is: whatever they are seen as, in whatever order, they are one contact with one thread; and nobody is taken for
//! somebody else.

use crate::matrix::{T, message, messages, post, text};
use comms_core::contacts::{Alias, AliasKind, Sighting, resolve};
use comms_core::inbound::{Door, Ingested, Source, take_in};
use comms_core::model::{Channel, ContactId};
use comms_providers::Content;
use comms_providers::event::{
    AccountRef, DeliveryStatus, DeliveryUpdate, EventKind, InboundMessage, Person, PersonChange,
    PersonChangeKind, ProviderEvent,
};
use comms_providers::whatsapp::webhook;
use comms_simulator::{Inbound, SignedWebhook};
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub const STORY_BEGINS: OffsetDateTime = datetime!(2026-01-01 00:00 UTC);

/// One way in which the provider shows a person, at a second of the story.
#[derive(Debug, Clone)]
pub struct Seen {
    pub second: i64,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Writes(Person),
    Changes(PersonChangeKind, Person, Person),
}

pub fn person(wa_id: &str, user_id: &str) -> Person {
    let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    Person {
        wa_id: given(wa_id),
        user_id: given(user_id),
        ..Person::default()
    }
}

pub fn writes(second: i64, wa_id: &str, user_id: &str) -> Seen {
    Seen {
        second,
        what: What::Writes(person(wa_id, user_id)),
    }
}

pub fn changes(second: i64, kind: PersonChangeKind, before: Person, after: Person) -> Seen {
    Seen {
        second,
        what: What::Changes(kind, before, after),
    }
}

impl Seen {
    pub fn event(&self, world: &World) -> ProviderEvent {
        let at = STORY_BEGINS + Duration::seconds(self.second);
        let external_message_id = format!("wamid.{}", Uuid::now_v7());
        let kind = match &self.what {
            What::Writes(sender) => EventKind::Message(Box::new(InboundMessage {
                external_message_id,
                sender: sender.clone(),
                content: Content::Text {
                    body: "hola".to_owned(),
                    preview_url: false,
                },
                body: "hola".to_owned(),
                reply_to: None,
                context: None,
                media: Vec::new(),
                barred_by_provider: false,
                given_phone: None,
                sent_at: at,
            })),
            What::Changes(kind, before, after) => {
                EventKind::PersonChanged(Box::new(PersonChange {
                    external_message_id,
                    kind: *kind,
                    before: before.clone(),
                    after: after.clone(),
                    body: "changed".to_owned(),
                    at,
                }))
            }
        };
        event(world, kind)
    }
}

pub fn event(world: &World, kind: EventKind) -> ProviderEvent {
    ProviderEvent {
        account: Some(AccountRef {
            external_account_id: Some(world.iberia.phone_number_id.to_owned()),
            waba_id: Some(world.iberia.waba_id.to_owned()),
            account_id: None,
        }),
        kind,
        raw: json!({"id": Uuid::now_v7()}),
    }
}

/// One payload with these events.
pub async fn payload(world: &World, events: Vec<ProviderEvent>) -> Ingested {
    let source = Source {
        channel: Channel::WhatsApp,
        name: "TEST",
        again: webhook::again,
    };
    let door = Door::Tenant(world.iberia.tenant);
    take_in(&world.database(), source, door, events)
        .await
        .unwrap()
}

pub async fn see(world: &World, seen: &Seen) {
    payload(world, vec![seen.event(world)]).await;
}

async fn see_at_once(world: &World, seen: &[Seen]) {
    let events = seen.iter().map(|seen| seen.event(world)).collect();
    payload(world, events).await;
}

pub async fn forget_everything(world: &World) {
    world
        .execute(
            "truncate communications.contacts, communications.contact_identities, communications.contact_former_identities,
                 communications.conversations, communications.conversation_events, communications.messages,
                 communications.contact_reviews, communications.contact_merges, communications.whatsapp_windows cascade",
        )
        .await;
}

/// Contacts, threads, open reviews.
pub async fn counted(world: &World) -> (i64, i64, i64) {
    (
        world.count("contacts").await,
        world.count("conversations").await,
        world
            .count("contact_reviews where resolution is null")
            .await,
    )
}

pub async fn contact_of(world: &World, kind: &str, value: &str) -> Option<ContactId> {
    sqlx::query_scalar(
        "select contact_id from communications.contact_identities where kind = $1 and value = $2",
    )
    .bind(kind)
    .bind(value)
    .fetch_optional(&world.pool)
    .await
    .unwrap()
}

pub const OLD: &str = "34600111222";
pub const NEW: &str = "34600999888";

/// T20: the provider's own links, in every order in which they can come.
#[tokio::test]
async fn one_person_is_one_contact_with_one_thread_in_every_order() {
    let world = World::new().await;
    let rotated = || {
        let kind = PersonChangeKind::UserId;
        changes(3, kind, person("", "ES.1"), person("", "ES.2"))
    };
    let moved = || {
        let kind = PersonChangeKind::Number;
        changes(3, kind, person(OLD, "ES.1"), person(NEW, "ES.2"))
    };
    let key = || {
        let kind = PersonChangeKind::IdentityKey;
        changes(3, kind, person(OLD, ""), person(OLD, ""))
    };
    let (phone, id, both) = (
        || writes(1, OLD, ""),
        || writes(1, "", "ES.1"),
        || writes(1, OLD, "ES.1"),
    );
    let stories: Vec<(&str, Vec<Seen>)> = vec![
        ("phone only", vec![phone(), phone()]),
        ("id only", vec![id(), id()]),
        ("phone, both, id", vec![phone(), both(), id()]),
        ("id, both, phone", vec![id(), both(), phone()]),
        ("both, phone, id", vec![both(), phone(), id()]),
        ("both, id, phone", vec![both(), id(), phone()]),
        (
            "rotation",
            vec![both(), rotated(), writes(4, "", "ES.2"), phone()],
        ),
        (
            "rotation first",
            vec![rotated(), writes(4, "", "ES.2"), id()],
        ),
        ("rotation, late old id", vec![id(), rotated(), id()]),
        (
            "rotation told twice",
            vec![id(), rotated(), rotated(), writes(4, "", "ES.2")],
        ),
        ("number", vec![both(), moved(), writes(4, NEW, "ES.2")]),
        (
            "number, late old phone",
            vec![moved(), phone(), writes(4, NEW, "")],
        ),
        (
            "number, late both",
            vec![moved(), both(), writes(4, "", "ES.2")],
        ),
        (
            "number told twice",
            vec![phone(), moved(), moved(), phone(), writes(4, NEW, "")],
        ),
        ("key", vec![phone(), key(), phone()]),
    ];
    for (story, seen) in stories {
        for seen in &seen {
            see(&world, seen).await;
        }
        assert_eq!(counted(&world).await, (1, 1, 0), "{story}");
        forget_everything(&world).await;
        // The same in one payload.
        see_at_once(&world, &seen).await;
        assert_eq!(counted(&world).await, (1, 1, 0), "{story}, at once");
        forget_everything(&world).await;
    }
}

/// As the host names them, without a profile of a passenger.
#[tokio::test]
async fn those_who_share_a_mailbox_are_told_apart_by_their_numbers() {
    let world = World::new().await;
    let met = async |staff: Option<Uuid>, phone: Option<&str>, email: &str| {
        let phone = phone.map(|phone| Alias::new(AliasKind::Phone, phone));
        let sighting = Sighting {
            aliases: phone
                .into_iter()
                .chain([Alias::new(AliasKind::Email, email)])
                .collect(),
            staff,
            ..Sighting::new(world.iberia.tenant)
        };
        let mut tx = world.database().begin().await.unwrap();
        let contact = resolve(&mut tx, &[sighting.clone(), sighting])
            .await
            .unwrap();
        assert_eq!(contact[0], contact[1], "of one moment");
        tx.commit().await.unwrap();
        contact[0]
    };
    let office = "office@example.org";
    let (rosa, luis) = (Uuid::now_v7(), Uuid::now_v7());
    let first = met(Some(rosa), Some("+34600000001"), office).await;
    link(&world, first, rosa).await;
    let second = met(Some(luis), Some("+34600000002"), office).await;
    link(&world, second, luis).await;
    assert_ne!(first, second);
    let third = met(None, Some("+34600000003"), office).await;
    assert!(![first, second].contains(&third));
    // Each is found again: by their own number, by the host's id with another number, and who has nothing but the mailbox by it.
    assert_eq!(met(Some(luis), Some("+34600000002"), office).await, second);
    assert_eq!(met(Some(luis), Some("+34600000009"), office).await, second);
    assert_eq!(met(None, None, office).await, first);
    // Somebody who wrote a mail once has a number now.
    let by_mail = met(None, None, "eva@example.org").await;
    assert_eq!(
        met(None, Some("+34600000004"), "eva@example.org").await,
        by_mail
    );
}

async fn link(world: &World, contact: ContactId, driver: Uuid) {
    sqlx::query("update communications.contacts set driver_id = $2, kind = 'DRIVER' where id = $1")
        .bind(contact)
        .bind(driver)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn conflicting_evidence_merges_nothing_and_opens_one_review() {
    let world = World::new().await;
    for seen in [writes(1, OLD, ""), writes(2, "", "ES.1")] {
        see(&world, &seen).await;
    }
    let (phone, id) = (
        contact_of(&world, "phone", "+34600111222").await.unwrap(),
        contact_of(&world, "bsuid", "ES.1").await.unwrap(),
    );
    for _ in 0..2 {
        see(&world, &writes(3, OLD, "ES.1")).await;
    }
    assert_eq!(counted(&world).await, (2, 2, 1));
    let (times, kinds, evidence): (i32, Value, Value) =
        sqlx::query_as("select times_seen, kinds, evidence from communications.contact_reviews")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(times, 2);
    assert_eq!(kinds.as_array().unwrap().len(), 3);
    for (kind, value, contact) in [
        ("bsuid", "ES.1", id),
        ("wa_id", OLD, phone),
        ("phone", "+34600111222", phone),
    ] {
        let pointer = json!({"kind": kind, "value": value, "contact_id": contact});
        assert!(
            evidence.as_array().unwrap().contains(&pointer),
            "{evidence}"
        );
    }
    let of_id: i64 =
        sqlx::query_scalar("select count(*) from communications.messages where contact_id = $1")
            .bind(id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(of_id, 3, "the strongest alias wins");

    // Said to be two people: the same evidence asks nobody again, other evidence does.
    let review: Uuid = world
        .scalar("select id from communications.contact_reviews")
        .await;
    let dismissed = world
        .acts_as(
            "tenant_admin",
            world.iberia.tenant,
            world.iberia.agent,
            "dismissContactReview",
            &json!({"review_id": review}),
        )
        .await;
    assert_eq!(dismissed.unwrap()["resolution"], "DISMISSED");
    see(&world, &writes(4, OLD, "ES.1")).await;
    assert_eq!(counted(&world).await, (2, 2, 0));
    let number = PersonChangeKind::UserId;
    see(
        &world,
        &changes(5, number, person(OLD, "ES.1"), person("", "ES.9")),
    )
    .await;
    see(&world, &writes(6, OLD, "ES.9")).await;
    assert_eq!(counted(&world).await, (2, 2, 1));
}

#[tokio::test]
async fn evidence_within_one_payload_opens_a_review_too() {
    let world = World::new().await;
    let seen = [
        writes(1, OLD, ""),
        writes(2, "", "ES.1"),
        writes(3, OLD, "ES.1"),
    ];
    see_at_once(&world, &seen).await;
    assert_eq!(counted(&world).await, (2, 2, 1));
}

#[tokio::test]
async fn reports_teach_ids_and_open_reviews() {
    let world = World::new().await;
    see(&world, &writes(1, NEW, "ES.1")).await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    world.step_dispatch().await;
    let call = world
        .simulator
        .calls()
        .into_iter()
        .find(|call| call.body["to"] == "34600111222" || call.body["to"] == "+34600111222")
        .unwrap();
    let now: OffsetDateTime = world.scalar("select now()").await;
    let report = |status: DeliveryStatus, user_id: &str| {
        let update = DeliveryUpdate {
            external_message_id: call.wamid.clone().unwrap(),
            status,
            provider_status: format!("{status:?}").to_lowercase(),
            correlation_id: None,
            occurred_at: now,
            failure: None,
            recipient: Some(person(OLD, user_id)),
            price: None,
        };
        event(&world, EventKind::Status(Box::new(update)))
    };
    payload(&world, vec![report(DeliveryStatus::Sent, "ES.7")]).await;
    let ana = contact_of(&world, "phone", "+34600111222").await;
    assert_eq!(contact_of(&world, "bsuid", "ES.7").await, ana);
    assert_eq!(contact_of(&world, "wa_id", OLD).await, ana);
    // The same number under somebody else's id.
    payload(&world, vec![report(DeliveryStatus::Delivered, "ES.1")]).await;
    assert_eq!(
        world
            .count("contact_reviews where resolution is null")
            .await,
        1
    );
    assert_ne!(contact_of(&world, "bsuid", "ES.1").await, ana);
}

/// T27.
#[tokio::test]
async fn national_forms_of_one_number_are_one_contact() {
    let world = World::new().await;
    let countries: &[&[&str]] = &[
        &["5511987654321", "551187654321"],
        &["5491123456789", "541123456789", "54111523456789"],
        &["5492966412345", "54296615412345"],
        &["5215512345678", "525512345678"],
    ];
    for forms in countries {
        for first in *forms {
            for second in *forms {
                forget_everything(&world).await;
                for form in [first, second] {
                    let answer = world.customer_writes(&Inbound::text(form, "hola")).await;
                    assert_eq!(answer.status(), 200);
                }
                assert_eq!(counted(&world).await, (1, 1, 0), "{first} {second}");
                for form in [first, second] {
                    assert!(
                        contact_of(&world, "wa_id", form).await.is_some(),
                        "kept as it came"
                    );
                    assert!(
                        contact_of(&world, "phone", &format!("+{form}"))
                            .await
                            .is_some()
                    );
                }
            }
        }
    }
}

/// One call brings what is known of several, and of one in several rows.
#[tokio::test]
async fn every_row_teaches_what_it_knows_and_a_profile_is_one_contacts() {
    let world = World::new().await;
    let phones = ["+34600111222", "+34600999888"];
    for phone in phones {
        see(&world, &writes(1, &phone[1..], "")).await;
    }
    let sighting = |phone: &str| Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, phone)],
        ..Sighting::new(world.iberia.tenant)
    };
    let profile = Some(comms_core::model::PassengerProfileId::generate());
    let facts = [
        Sighting {
            locale: Some("es".to_owned()),
            ..sighting(phones[0])
        },
        Sighting {
            passenger_profile: profile,
            ..sighting(phones[0])
        },
        Sighting {
            display_name: Some("Ana".to_owned()),
            ..sighting(phones[0])
        },
        Sighting {
            passenger_profile: profile,
            ..sighting(phones[1])
        },
    ];
    let mut tx = world.database().begin().await.unwrap();
    resolve(&mut tx, &facts).await.unwrap();
    tx.commit().await.unwrap();
    let known: Vec<(Option<String>, Option<String>, bool)> = sqlx::query_as(
        "select display_name, locale, passenger_profile_id is not null from communications.contacts order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let ana = (Some("Ana".to_owned()), Some("es".to_owned()), true);
    assert_eq!(known, [ana, (None, None, false)]);
}

/// A line that nobody is to notice is not what was said last, whenever it comes.
#[tokio::test]
async fn the_list_shows_what_somebody_said_and_no_notice_of_theirs() {
    let world = World::new().await;
    let moved = || {
        let (before, after) = (person(OLD, "ES.1"), person(NEW, "ES.1"));
        changes(20, PersonChangeKind::Number, before, after)
    };
    let preview = "select preview from communications.conversations";
    see_at_once(&world, &[writes(10, OLD, "ES.1"), moved()]).await;
    assert_eq!(world.scalar::<String>(preview).await, "hola");
    forget_everything(&world).await;
    see(&world, &moved()).await;
    assert_eq!(world.scalar::<String>(preview).await, "");
    see(&world, &writes(10, OLD, "ES.1")).await;
    assert_eq!(world.scalar::<String>(preview).await, "hola");
    // Said before the notice, and told after it: the last of what was said.
    see(&world, &writes(15, OLD, "ES.1")).await;
    let last: OffsetDateTime = world
        .scalar("select last_message_at from communications.conversations")
        .await;
    assert_eq!(last, STORY_BEGINS + Duration::seconds(15));
}

#[tokio::test]
async fn a_number_that_a_profile_has_in_another_form_is_found() {
    let world = World::new().await;
    let sighting = Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, "+551187654321")],
        ..Sighting::new(world.iberia.tenant)
    };
    let mut tx = world.database().begin().await.unwrap();
    resolve(&mut tx, &[sighting]).await.unwrap();
    tx.commit().await.unwrap();
    world
        .customer_writes(&Inbound::text("5511987654321", "oi"))
        .await;
    assert_eq!(counted(&world).await, (1, 1, 0));
}

#[tokio::test]
async fn numbers_that_only_look_alike_stay_apart() {
    let world = World::new().await;
    for number in [
        "551133334444",
        "5511933334444",
        "34600111222",
        "3460011122",
        "5601987654321",
        "561187654321",
    ] {
        let answer = world.customer_writes(&Inbound::text(number, "hola")).await;
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(counted(&world).await, (6, 6, 0));
}

#[tokio::test]
async fn two_forms_of_a_new_number_at_once_are_one_contact() {
    let world = World::new().await;
    let webhooks: Vec<SignedWebhook> = (0..10)
        .map(|n| {
            let form = ["5511987654321", "551187654321"][n % 2];
            let number = world.iberia.phone_number_id;
            world
                .simulator
                .signed_inbound(number, &Inbound::text(form, &format!("{n}")))
                .unwrap()
        })
        .collect();
    let posts = webhooks
        .iter()
        .map(|webhook| world.meta_posts(world.iberia.tenant, webhook));
    assert!(
        join_all(posts)
            .await
            .iter()
            .all(|answer| answer.status() == 200)
    );
    assert_eq!(counted(&world).await, (1, 1, 0));
    assert_eq!(world.count("messages").await, 10);
}

async fn gives(world: &World, id: &str, at: i64, phone: &str) {
    let card = json!({"origin": "contact_request", "vcard": format!("BEGIN:VCARD\nTEL:{phone}\nEND:VCARD")});
    let message = json!({"from_user_id": id, "id": format!("wamid.{id}-{at}"), "timestamp": at.to_string(), "type": "contacts", "contacts": [card]});
    let contacts = json!([{"user_id": id, "profile": {"username": "somebody"}}]);
    post(
        world,
        "messages",
        &json!({"contacts": contacts, "messages": [message]}),
    )
    .await;
}

/// Whoever shows no number is asked for it. That it is theirs is their word alone: where somebody has it, people are asked, and nobody is taken for
/// them by it.
#[tokio::test]
async fn a_number_that_somebody_gives_is_a_question_where_it_is_somebodys() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "")).await;
    see(&world, &writes(1, "5511987654321", "")).await;
    let first = contact_of(&world, "wa_id", OLD).await;
    for (id, at, phone) in [
        ("ES.1", T, "+34600111222"),
        ("ES.1", T + 1, "+34600111222"),
        // Another form of a number that is known, and one that nobody has.
        ("ES.2", T + 2, "+551187654321"),
        ("ES.3", T + 3, "+34600777666"),
    ] {
        gives(&world, id, at, phone).await;
    }
    assert_eq!(counted(&world).await, (5, 5, 2));
    assert_ne!(contact_of(&world, "bsuid", "ES.1").await, first);
    assert_eq!(contact_of(&world, "phone", "+34600777666").await, None);
    // Who writes from it is nobody else.
    see(&world, &writes(9, "34600777666", "ES.4")).await;
    assert_eq!(counted(&world).await, (6, 6, 2));
}

/// An enterprise's own id is the same under all of its numbers.
#[tokio::test]
async fn a_parent_id_joins_the_ids_under_it() {
    let world = World::new().await;
    for (second, id) in [(1, "ES.1"), (2, "ES.2")] {
        let sender = Person {
            parent_user_id: Some("ES.ENT.7".to_owned()),
            ..person("", id)
        };
        let seen = Seen {
            second,
            what: What::Writes(sender),
        };
        see(&world, &seen).await;
    }
    assert_eq!(counted(&world).await, (1, 1, 0));
}

async fn thread(world: &World) -> (String, i64, bool) {
    sqlx::query_as(
        "select status, inbound_count, last_message_at >= '2026-01-01 00:50:00+00' from communications.conversations",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// T24.
#[tokio::test]
async fn a_blocked_contact_is_heard_and_wakes_nobody() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "")).await;
    let contact = contact_of(&world, "wa_id", OLD).await.unwrap();
    let act = async |action: &str| {
        let tenant = world.iberia.tenant;
        let input = json!({"contact_id": contact});
        world
            .agent_acts(tenant, world.iberia.agent, action, &input)
            .await
            .unwrap()
    };
    let first = act("blockContact").await;
    assert_eq!(act("blockContact").await, first, "blocked since then");
    for status in ["RESOLVED", "OPEN", "SNOOZED"] {
        let sql = format!(
            "update communications.conversations set status = '{status}',
                 snoozed_until = case when '{status}' = 'SNOOZED' then now() + interval '1 hour' end"
        );
        sqlx::query(AssertSqlSafe(sql))
            .execute(&world.pool)
            .await
            .unwrap();
        // Fifty minutes after the first one, by the provider's clock.
        see(&world, &writes(3000, OLD, "")).await;
        assert_eq!(thread(&world).await, (status.to_owned(), 1, false));
    }
    assert_eq!(world.count("messages where muted").await, 3);
    assert_eq!(act("unblockContact").await["blocked_at"], Value::Null);
    see(&world, &writes(3000, OLD, "")).await;
    assert_eq!(thread(&world).await, ("OPEN".to_owned(), 2, true));

    // Somebody without a thread.
    forget_everything(&world).await;
    see(&world, &writes(1, OLD, "")).await;
    world
        .execute("truncate communications.conversations cascade")
        .await;
    world
        .execute("update communications.contacts set blocked_at = now()")
        .await;
    see(&world, &writes(2, OLD, "")).await;
    let (status, count, _) = thread(&world).await;
    assert_eq!((status.as_str(), count), ("RESOLVED", 0));
    assert_eq!(world.count("messages").await, 1);
}

/// What a blocked contact changes or deletes is not what the list shows.
#[tokio::test]
async fn what_a_blocked_contact_changes_stays_out_of_the_list() {
    let world = World::new().await;
    messages(&world, &[text("seen", T, "hola")]).await;
    world
        .execute("update communications.contacts set blocked_at = now()")
        .await;
    messages(&world, &[text("unseen", T + 1, "nadie")]).await;
    let preview = "select preview from communications.conversations";
    let edit = |id: &str, target: &str, body: &str| {
        let now = json!({"type": "text", "text": {"body": body}});
        let edit = json!({"type": "edit", "edit": {"original_message_id": target, "message": now}});
        message(id, T + 2, &edit)
    };
    messages(&world, &[edit("e1", "unseen", "nada")]).await;
    assert_eq!(world.scalar::<String>(preview).await, "hola");
    messages(&world, &[edit("e2", "seen", "adiós")]).await;
    assert_eq!(world.scalar::<String>(preview).await, "adiós");
}

/// As a step of a batch brings them: the plan that the session kept while there was nobody is not theirs.
#[tokio::test]
async fn very_many_at_once_are_each_found_by_an_index_and_have_their_faces() {
    const MANY: usize = 400;
    let world = World::new().await;
    world
        .execute("analyze communications.contacts, communications.contact_identities")
        .await;
    let seen: Vec<Sighting> = (0..=MANY)
        .map(|n| Sighting {
            aliases: vec![
                Alias::new(AliasKind::Phone, &format!("+34600{n:06}")),
                Alias::new(AliasKind::Email, &format!("{n}@example.org")),
            ],
            ..Sighting::new(world.iberia.tenant)
        })
        .collect();
    let database = world.database();
    let mut tx = database.begin().await.unwrap();
    let (first, others) = seen.split_at(1);
    resolve(&mut tx, first).await.unwrap();
    let made = resolve(&mut tx, others).await.unwrap();
    let read = "select (idx_tup_fetch + seq_tup_read)::bigint from pg_stat_xact_user_tables
                 where schemaname = 'communications' and relname = 'contacts'";
    let before: i64 = sqlx::query_scalar(read).fetch_one(tx.conn()).await.unwrap();
    assert_eq!(resolve(&mut tx, others).await.unwrap(), made);
    let after: i64 = sqlx::query_scalar(read).fetch_one(tx.conn()).await.unwrap();
    let each = usize::try_from(after - before).unwrap() / MANY;
    assert!((1..10).contains(&each), "{each} contacts are read for each");
    // It refuses to change a face, so there is none to change.
    sqlx::query("select communications.refresh_identifiers(array_agg(tenant_id), array_agg(id)) from communications.contacts")
        .execute(tx.conn())
        .await
        .unwrap();
    let faces: i64 = sqlx::query_scalar("select count(*) from communications.contacts where identifiers ? 'phone' and identifiers ? 'email'")
        .fetch_one(tx.conn())
        .await
        .unwrap();
    assert_eq!(usize::try_from(faces).unwrap(), MANY + 1);
}
