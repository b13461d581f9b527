//! What people want of us, by word or by the provider: in force with the commit that stores it.

use crate::intake::trip;
use crate::matrix::{T, message, messages, text};
use crate::people::forget_everything;
use crate::planted;
use crate::shown::orders;
use crate::webhook::ana;
use comms_simulator::Inbound;
use comms_tests::world::World;
use serde_json::json;

async fn consents(world: &World) -> Vec<(String, String, bool)> {
    sqlx::query_as(
        "select channel, category, granted from communications.current_consents order by channel, category",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn stop_keeps_back_what_is_queued_already() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(world.customer_writes(&ana("STOP")).await.status(), 200);
    world.step_dispatch().await;
    let hers: String = world
        .scalar("select status from communications.messages where direction = 'OUTBOUND' and address = '+34600111222'")
        .await;
    assert_eq!(hers, "SUPPRESSED");
    let calls = world.simulator.calls();
    assert!(
        calls
            .iter()
            .all(|call| call.to.as_deref() != Some("34600111222")),
        "{calls:?}"
    );
    assert!(!calls.is_empty(), "the others still hear of it");
    // Her word itself is in her thread.
    assert_eq!(world.count("conversations").await, 1);
}

#[tokio::test]
async fn the_same_word_again_is_one_wish_and_start_takes_it_back() {
    let world = World::new().await;
    let stop = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("Baja"))
        .unwrap();
    for _ in 0..3 {
        assert_eq!(
            world.meta_posts(world.iberia.tenant, &stop).await.status(),
            200
        );
    }
    assert_eq!(world.count("consents").await, 3);
    assert!(
        consents(&world)
            .await
            .iter()
            .all(|(_, _, granted)| !granted)
    );

    world.customer_writes(&ana("start")).await;
    let granted: Vec<_> = consents(&world)
        .await
        .into_iter()
        .filter_map(|(_, category, granted)| granted.then_some(category))
        .collect();
    assert_eq!(
        granted,
        ["OTP", "TRANSACTIONAL"],
        "nobody had agreed to marketing"
    );
}

#[tokio::test]
async fn the_provider_passes_a_wish_on() {
    let world = World::new().await;
    let number = world.iberia.number();
    for (value, expected) in [("stop", false), ("resume", true)] {
        let at = if value == "stop" {
            1_795_428_000
        } else {
            1_795_428_060
        };
        let payload = world
            .simulator
            .builder()
            .change(
                world.iberia.waba_id,
                "user_preferences",
                &json!({
                    "messaging_product": "whatsapp",
                    "metadata": {"display_phone_number": number.display_phone_number, "phone_number_id": number.phone_number_id},
                    "contacts": [{"profile": {"name": "Ana"}, "wa_id": "34600111222", "user_id": "ES.1349"}],
                    "user_preferences": [{"wa_id": "34600111222", "user_id": "ES.1349", "detail": "User requested",
                                          "category": "marketing_messages", "value": value, "timestamp": at}]
                }),
            )
            .build();
        assert_eq!(
            world
                .meta_posts(world.iberia.tenant, &payload)
                .await
                .status(),
            200
        );
        assert_eq!(
            consents(&world).await,
            [("WHATSAPP".to_owned(), "MARKETING".to_owned(), expected)]
        );
    }
}

/// That they have stopped marketing messages is why this one failed.
async fn no_marketing_is_reported(world: &World, wamid: &str, timestamp: i64) {
    failure_is_reported(world, wamid, 131_050, timestamp).await;
}

/// A message failed at this moment, with this code of Meta's.
pub async fn failure_is_reported(world: &World, wamid: &str, code: i32, timestamp: i64) {
    let failed = json!({"id": wamid, "status": "failed", "timestamp": timestamp.to_string(), "recipient_id": "34600111222",
                        "errors": [{"code": code, "title": "failed"}]});
    let value = json!({
        "messaging_product": "whatsapp", "statuses": [failed],
        "metadata": {"display_phone_number": "1", "phone_number_id": world.iberia.phone_number_id},
    });
    let payload = world
        .simulator
        .builder()
        .change(world.iberia.waba_id, "messages", &value)
        .build();
    let response = world.meta_posts(world.iberia.tenant, &payload).await;
    assert_eq!(response.status(), 200, "{}", response.body());
}

#[tokio::test]
async fn a_no_that_a_failure_tells_is_one_row_also_of_somebody_who_never_said_yes() {
    let world = World::new().await;
    let first = planted::one(&world).await;
    planted::more(&world, first, 1).await;
    world.step_dispatch().await;
    let sent: Vec<String> = sqlx::query_scalar(
        "select external_message_id from communications.messages where status = 'SENT'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(sent.len(), 2, "both to one contact");
    for wamid in &sent {
        no_marketing_is_reported(&world, wamid, 1_795_428_000).await;
    }
    let no = ("WHATSAPP".to_owned(), "MARKETING".to_owned(), false);
    assert_eq!(consents(&world).await, [no]);
    assert_eq!(world.count("consents").await, 1);
}

#[tokio::test]
async fn a_list_may_be_written_to_exactly_where_each_of_it_may() {
    let world = World::new().await;
    world
        .execute(
            "insert into communications.contacts (tenant_id, id)
             select '0192f000-0000-7000-8000-00000000000a', gen_random_uuid() from generate_series(1, 3)",
        )
        .await;
    // Nothing is known of the first; the others said yes and no in turn, and take back what they said of marketing.
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
             select c.tenant_id, gen_random_uuid(), c.id, 'SMS', g.category, (c.n + g.turn) % 2 = 0, 'told', 'test', now() + g.turn * interval '1 s'
               from (select *, row_number() over (order by id) as n from communications.contacts) c
              cross join (values ('TRANSACTIONAL', 0), ('OTP', 1), ('MARKETING', 1), ('MARKETING', 2), ('SERVICE', 3)) as g (category, turn)
              where c.n > 1",
        )
        .await;
    let (asked, allowed, otherwise): (i64, i64, i64) = sqlx::query_as(
        "select count(*), count(l.contact_id),
                count(*) filter (where communications.consent_allows(c.tenant_id, c.id, h.channel, g.category) <> (l.contact_id is not null))
           from communications.contacts c
          cross join unnest(array['SMS', 'EMAIL']) as h (channel)
          cross join unnest(array['TRANSACTIONAL', 'OTP', 'MARKETING', 'SERVICE']) as g (category)
           left join lateral communications.consenting(c.tenant_id, array[c.id], array[h.channel], g.category) l on true",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!((asked, otherwise), (24, 0));
    assert!((12..24).contains(&allowed), "{allowed}");
}

/// A word of Ana's at this second.
async fn says(world: &World, text: &str, timestamp: i64) {
    let said = Inbound {
        timestamp,
        ..ana(text)
    };
    assert_eq!(world.customer_writes(&said).await.status(), 200);
}

/// What was said about MARKETING at this second, by whatever means.
async fn marketing(world: &World, granted: bool, timestamp: i64) {
    sqlx::query(
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
         select tenant_id, gen_random_uuid(), contact_id, 'WHATSAPP', 'MARKETING', $1, 'told the provider', 'provider', to_timestamp($2)
           from communications.contact_identities where kind = 'phone' and value = '+34600111222'",
    )
    .bind(granted)
    .bind(timestamp)
    .execute(&world.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn start_gives_back_what_stop_took_and_nothing_that_was_refused_by_itself() {
    let (story, expected) = (
        1_795_428_000,
        [("STOP", true), ("stop promotions by the provider", false)],
    );
    for (refusal, given_back) in expected {
        let world = World::new().await;
        says(&world, "hola", story).await;
        marketing(&world, true, story + 1).await;
        if refusal == "STOP" {
            says(&world, "STOP", story + 2).await;
        } else {
            marketing(&world, false, story + 2).await;
            says(&world, "STOP", story + 3).await;
        }
        says(&world, "START", story + 4).await;
        let granted =
            |category: &str, granted| ("WHATSAPP".to_owned(), category.to_owned(), granted);
        assert_eq!(
            consents(&world).await,
            [
                granted("MARKETING", given_back),
                granted("OTP", true),
                granted("TRANSACTIONAL", true)
            ],
            "{refusal}"
        );
    }
}

/// As after an outage: one delivery brings what was said one after the other.
#[tokio::test]
async fn what_was_refused_by_itself_stays_so_in_one_delivery_too() {
    let world = World::new().await;
    says(&world, "hola", T).await;
    marketing(&world, true, T + 1).await;
    let said = [
        text("m2", T + 3, "START"),
        text("m1", T + 2, "stop promotions"),
    ];
    messages(&world, &said).await;
    let marketing = "current_consents where category = 'MARKETING' and not granted";
    assert_eq!(world.count(marketing).await, 1);
}

/// What START gives back is what was there: not what was stopped by itself in between, whichever of them is told first.
#[tokio::test]
async fn promotions_that_were_stopped_before_a_start_stay_stopped_in_any_order() {
    let world = World::new().await;
    let said = |yes| {
        [
            ("start promotions", 0),
            ("stop promotions", 1),
            ("STOP", 2),
            ("START", 3),
            ("start promotions", if yes { 4 } else { -1 }),
        ]
    };
    for yes in [false, true] {
        for order in orders(5) {
            for (text, second) in order.iter().map(|n| said(yes)[*n]) {
                says(&world, text, T + second).await;
            }
            let marketing = "current_consents where category = 'MARKETING' and granted";
            assert_eq!(
                world.count(marketing).await,
                i64::from(yes),
                "{yes} {order:?}"
            );
            forget_everything(&world).await;
        }
    }
}

/// What Meta says of a failed message, too, counts by its own time: after a no that is older, and before what START gave back.
#[tokio::test]
async fn a_wish_that_a_report_tells_of_counts_by_its_time_in_any_order() {
    let world = World::new().await;
    planted::one(&world).await;
    world.step_dispatch().await;
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    // What is said, and at which second; the report has no words.
    let stories = [
        [("stop promotions", 10), ("start promotions", 20), ("", 30)],
        [("start promotions", 10), ("", 20), ("START", 30)],
    ];
    for story in stories {
        for order in orders(story.len()) {
            for (words, second) in order.iter().map(|n| story[*n]) {
                if words.is_empty() {
                    world
                        .execute("delete from communications.message_status_events")
                        .await;
                    no_marketing_is_reported(&world, &wamid, T + second).await;
                } else {
                    says(&world, words, T + second).await;
                }
            }
            let marketing = "current_consents where category = 'MARKETING' and granted";
            assert_eq!(world.count(marketing).await, 0, "{story:?} {order:?}");
            world.execute("delete from communications.consents").await;
            world
                .execute("delete from communications.messages where direction = 'INBOUND'")
                .await;
        }
    }
}

#[tokio::test]
async fn what_is_reported_late_does_not_outlast_what_was_said_after_it() {
    let world = World::new().await;
    planted::one(&world).await;
    world.step_dispatch().await;
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    for (failed, resumed) in [
        (1_795_428_000, 1_795_428_060),
        (1_795_428_120, 1_795_428_100),
    ] {
        marketing(&world, true, resumed).await;
        // The same report once more would count for nothing.
        world
            .execute("delete from communications.message_status_events")
            .await;
        no_marketing_is_reported(&world, &wamid, failed).await;
        let allowed = consents(&world)
            .await
            .into_iter()
            .map(|(_, _, granted)| granted);
        assert_eq!(allowed.collect::<Vec<_>>(), [resumed > failed]);
    }
}

/// The hours in which anything may be answered are the group's, and "stop" may be said to any of its members.
#[tokio::test]
async fn what_is_written_to_a_group_is_stored_and_means_nothing_for_its_writer_alone() {
    let world = World::new().await;
    for (n, words) in [(0, "¿dónde estáis?"), (1, "STOP"), (2, "vale")] {
        let mut told = text(&format!("wamid.{n}"), T + n, words);
        told["group_id"] = json!("Y2FwaV9ncm91cDoxNzA1");
        messages(&world, &[told]).await;
    }
    assert_eq!(world.count("messages where context ? 'group_id'").await, 3);
    assert_eq!(world.count("conversations where status = 'OPEN'").await, 1);
    assert_eq!(world.count("whatsapp_windows").await, 0);
    assert_eq!(consents(&world).await, []);

    messages(&world, &[text("wamid.3", T + 3, "stop")]).await;
    assert_eq!(world.count("whatsapp_windows").await, 1);
    assert_eq!(consents(&world).await.len(), 3);
}

/// "start promotions", STOP and START: the last gives back what the first said, whenever that is told.
#[tokio::test]
async fn a_yes_that_is_told_late_is_given_back_by_the_start_after_it() {
    let world = World::new().await;
    let said = [("start promotions", 10), ("STOP", 20), ("START", 30)];
    for order in orders(said.len()) {
        for place in &order {
            let (text, second) = said[*place];
            says(&world, text, T + second).await;
        }
        let now = world
            .count("current_consents where granted and category = 'MARKETING'")
            .await;
        assert_eq!(now, 1, "{order:?}");
        forget_everything(&world).await;
    }
    // And a no in between is one, in any order.
    let said = [
        ("start promotions", 10),
        ("STOP", 20),
        ("stop promotions", 25),
        ("START", 30),
    ];
    for order in orders(said.len()) {
        for place in &order {
            let (text, second) = said[*place];
            says(&world, text, T + second).await;
        }
        let now = world
            .count("current_consents where granted and category = 'MARKETING'")
            .await;
        assert_eq!(now, 0, "{order:?}");
        forget_everything(&world).await;
    }
}

/// What it was corrected from was no wish; a yes must be said.
#[tokio::test]
async fn a_text_corrected_to_stop_is_heard() {
    let world = World::new().await;
    let edit = |target: &str, words: &str| {
        json!({"type": "edit", "edit": {"original_message_id": target,
                                        "message": {"type": "text", "text": {"body": words}}}})
    };
    messages(
        &world,
        &[
            text("a", T, "hola"),
            message("b", T + 1, &edit("a", "STOP")),
        ],
    )
    .await;
    let refused = "current_consents where not granted and category = 'TRANSACTIONAL'";
    assert_eq!(world.count(refused).await, 1);
    messages(
        &world,
        &[
            text("c", T + 2, "hola"),
            message("d", T + 3, &edit("c", "START")),
        ],
    )
    .await;
    assert_eq!(world.count(refused).await, 1);
}
