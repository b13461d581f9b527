//! Numbers move: who has one, who had it and who comes to it next, in whatever order the provider's news of it comes.

use crate::people::{
    NEW, OLD, STORY_BEGINS, changes, contact_of, counted, event, forget_everything, payload,
    person, see, writes,
};
use crate::planted;
use crate::shown::orders;
use comms_core::contacts::{Alias, AliasKind, Sighting, resolve};
use comms_core::model::{ContactId, MessageId};
use comms_providers::event::{DeliveryStatus, DeliveryUpdate, EventKind, PersonChangeKind};
use comms_tests::world::World;
use serde_json::{Value, json};
use time::Duration;

#[tokio::test]
async fn an_old_number_finds_its_next_owner_and_is_no_address_any_more() {
    let world = World::new().await;
    let moved = changes(
        10,
        PersonChangeKind::Number,
        person(OLD, ""),
        person(NEW, ""),
    );
    see(&world, &writes(1, OLD, "")).await;
    let told = moved.event(&world);
    payload(&world, vec![told.clone()]).await;
    let first = contact_of(&world, "phone", "+34600999888").await.unwrap();
    assert_eq!(contact_of(&world, "phone", "+34600111222").await, None);
    let (identifiers, address): (Value, String) = sqlx::query_as(
        "select c.identifiers, (select address from communications.messages order by thread_at desc limit 1) from communications.contacts c",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        identifiers,
        json!({"phone": ["+34600999888"], "wa_id": ["34600999888"]})
    );
    assert_eq!(address, "+34600999888", "answers go to the new number");
    let history: Vec<String> = sqlx::query_scalar(
        "select value from communications.contact_former_identities order by value",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(history, ["+34600111222", "34600111222"]);

    // Somebody else has it now.
    see(&world, &writes(20, OLD, "")).await;
    let second = contact_of(&world, "phone", "+34600111222").await.unwrap();
    assert_ne!(first, second);
    // What the first one wrote before comes late, and the notice comes again.
    see(&world, &writes(5, OLD, "")).await;
    payload(&world, vec![told]).await;
    assert_eq!(
        contact_of(&world, "phone", "+34600111222").await,
        Some(second)
    );
    assert_eq!(counted(&world).await, (2, 2, 0));
    let of_first: i64 =
        sqlx::query_scalar("select count(*) from communications.messages where contact_id = $1")
            .bind(first)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(of_first, 3, "two messages and the notice");
}

/// Meta tells of a new user id when somebody changes their number, too: it says which number they have now.
#[tokio::test]
async fn a_number_is_given_up_whatever_the_notice_of_it_is_called() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "ES.1")).await;
    let moved = (person(OLD, "ES.1"), person(NEW, "ES.2"));
    see(
        &world,
        &changes(10, PersonChangeKind::UserId, moved.0, moved.1),
    )
    .await;
    let first = contact_of(&world, "bsuid", "ES.2").await;
    assert_eq!(contact_of(&world, "wa_id", NEW).await, first);
    assert_eq!(contact_of(&world, "wa_id", OLD).await, None);
    see(&world, &writes(20, OLD, "ES.9")).await;
    assert_ne!(contact_of(&world, "wa_id", OLD).await, first);
    assert_eq!(counted(&world).await, (2, 2, 0));

    // Another id beside the same number gives nothing up.
    let same = (person(NEW, "ES.2"), person(NEW, "ES.3"));
    see(
        &world,
        &changes(30, PersonChangeKind::UserId, same.0, same.1),
    )
    .await;
    assert_eq!(contact_of(&world, "wa_id", NEW).await, first);
    assert_eq!(contact_of(&world, "bsuid", "ES.3").await, first);
}

/// The pillars do not know of the change: what they say does not give the number back.
#[tokio::test]
async fn hearsay_does_not_bring_an_old_number_back() {
    let world = World::new().await;
    let profile = comms_core::model::PassengerProfileId::generate();
    let sighting = Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, "+34600111222")],
        passenger_profile: Some(profile),
        ..Sighting::new(world.iberia.tenant)
    };
    let told = || async {
        let mut tx = world.database().begin().await.unwrap();
        let contact = resolve(&mut tx, std::slice::from_ref(&sighting))
            .await
            .unwrap()[0];
        tx.commit().await.unwrap();
        contact
    };
    let contact = told().await;
    let number = PersonChangeKind::Number;
    see(
        &world,
        &changes(1, number, person(OLD, ""), person(NEW, "")),
    )
    .await;
    assert_eq!(told().await, contact);
    assert_eq!(contact_of(&world, "phone", "+34600111222").await, None);
    see(&world, &writes(9, OLD, "")).await;
    assert_ne!(
        contact_of(&world, "phone", "+34600111222").await,
        Some(contact)
    );
}

/// The host still has the old number of somebody: who has it now is told, and what Meta reports of them is not the old owner's.
#[tokio::test]
async fn a_report_about_a_number_that_was_given_up_teaches_nothing() {
    let world = World::new().await;
    let first = planted::one(&world).await;
    world.step_dispatch().await;
    let call = world.simulator.calls().remove(0);
    let to = call.to.clone().unwrap().replace('+', "");
    let moved = (person(&to, ""), person(NEW, ""));
    see(
        &world,
        &changes(1, PersonChangeKind::Number, moved.0, moved.1),
    )
    .await;
    let told = of_message(&world, first).await;
    assert_eq!(contact_of(&world, "wa_id", NEW).await, Some(told));
    let recipients = [person(&to, "ES.9"), person("", "ES.8")];
    for (recipient, status) in recipients
        .into_iter()
        .zip([DeliveryStatus::Sent, DeliveryStatus::Delivered])
    {
        let update = DeliveryUpdate {
            external_message_id: call.wamid.clone().unwrap(),
            status,
            provider_status: format!("{status:?}").to_lowercase(),
            correlation_id: None,
            occurred_at: STORY_BEGINS + Duration::seconds(5),
            failure: None,
            recipient: Some(recipient),
            price: None,
        };
        payload(
            &world,
            vec![event(&world, EventKind::Status(Box::new(update)))],
        )
        .await;
    }
    assert_eq!(contact_of(&world, "bsuid", "ES.9").await, None);
    assert_eq!(contact_of(&world, "bsuid", "ES.8").await, None);
    see(&world, &writes(9, &to, "ES.9")).await;
    assert_ne!(contact_of(&world, "bsuid", "ES.9").await, Some(told));
}

async fn of_message(world: &World, message: MessageId) -> ContactId {
    sqlx::query_scalar("select contact_id from communications.messages where id = $1")
        .bind(message)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

/// Nor do they need ids for it.
#[tokio::test]
async fn who_moves_to_a_known_number_without_ids_is_who_they_were() {
    let world = World::new().await;
    see(&world, &writes(1, NEW, "")).await;
    see(&world, &writes(2, OLD, "")).await;
    let themselves = contact_of(&world, "wa_id", OLD).await;
    let moved = (person(OLD, ""), person(NEW, ""));
    see(
        &world,
        &changes(10, PersonChangeKind::Number, moved.0, moved.1),
    )
    .await;
    see(&world, &writes(20, NEW, "")).await;
    assert_eq!(newest_writer(&world).await, themselves);
    assert_eq!(counted(&world).await, (2, 2, 1));
}

/// In whatever form somebody else had it, while they have another form of it themselves already.
#[tokio::test]
async fn who_moves_to_a_number_that_two_have_in_two_forms_is_its_only_owner() {
    let world = World::new().await;
    let (short, long) = ("551187654321", "5511987654321");
    see(&world, &writes(1, OLD, "ES.1")).await;
    let themselves = contact_of(&world, "bsuid", "ES.1").await;
    sqlx::query(
        "with other as (insert into communications.contacts (tenant_id, id) values ($1, gen_random_uuid()) returning *)
         insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select other.tenant_id, i.kind, i.value, case when i.theirs then $2 else other.id end
           from other cross join (values ('phone', '+5511987654321', false), ('phone', '+551187654321', true), ('wa_id', '551187654321', true))
                as i (kind, value, theirs)",
    )
    .bind(world.iberia.tenant)
    .bind(themselves)
    .execute(&world.pool)
    .await
    .unwrap();
    let moved = (person(OLD, "ES.1"), person(short, "ES.1"));
    see(
        &world,
        &changes(10, PersonChangeKind::Number, moved.0, moved.1),
    )
    .await;
    assert_eq!(world.count("quarantine").await, 0);
    for number in [short, long] {
        see(&world, &writes(20, number, "")).await;
        assert_eq!(newest_writer(&world).await, themselves, "{number}");
    }
}

/// Three who each take the number of the next; and news that is told again.
#[tokio::test]
async fn numbers_that_go_round_are_each_somebodys() {
    let world = World::new().await;
    let numbers = ["34600000001", "34600000002", "34600000003"];
    let ids = ["ES.1", "ES.2", "ES.3"];
    for (number, id) in numbers.iter().zip(ids) {
        see(&world, &writes(1, number, id)).await;
    }
    let moves = |at: i64, who: usize, from: usize, to: usize| {
        let (before, after) = (
            person(numbers[from], ids[who]),
            person(numbers[to], ids[who]),
        );
        changes(at, PersonChangeKind::Number, before, after)
    };
    for news in [
        moves(10, 0, 0, 1),
        moves(11, 1, 1, 2),
        moves(12, 2, 2, 0),
        // Told again, by another number of ours.
        moves(13, 0, 0, 1),
    ] {
        see(&world, &news).await;
    }
    for (id, number) in [(0, 1), (1, 2), (2, 0)] {
        let owner = contact_of(&world, "bsuid", ids[id]).await;
        assert_eq!(
            contact_of(&world, "wa_id", numbers[number]).await,
            owner,
            "{id}"
        );
    }
}

async fn newest_writer(world: &World) -> Option<ContactId> {
    world
        .scalar("select contact_id from communications.messages order by thread_at desc limit 1")
        .await
}

/// Somebody's new number was another's. Their own former id says who they are.
#[tokio::test]
async fn who_takes_over_a_known_number_stays_who_they_are() {
    let world = World::new().await;
    see(&world, &writes(1, NEW, "")).await;
    see(&world, &writes(2, OLD, "ES.1")).await;
    let (other, themselves) = (
        contact_of(&world, "wa_id", NEW).await,
        contact_of(&world, "bsuid", "ES.1").await,
    );
    assert_ne!(other, themselves);
    let moved = (person(OLD, "ES.1"), person(NEW, "ES.2"));
    see(
        &world,
        &changes(10, PersonChangeKind::Number, moved.0, moved.1),
    )
    .await;
    assert_eq!(contact_of(&world, "bsuid", "ES.2").await, themselves);
    // Whoever had the number has it no more.
    assert_eq!(contact_of(&world, "wa_id", NEW).await, themselves);
    assert_eq!(
        contact_of(&world, "phone", "+34600999888").await,
        themselves
    );
    see(&world, &writes(20, NEW, "ES.2")).await;
    assert_eq!(newest_writer(&world).await, themselves);
    // Without their id, too.
    see(&world, &writes(30, NEW, "")).await;
    assert_eq!(newest_writer(&world).await, themselves);
    // What the other one wrote before comes late.
    see(&world, &writes(5, NEW, "")).await;
    let late: Option<ContactId> = world
        .scalar("select contact_id from communications.messages order by created_at desc limit 1")
        .await;
    assert_eq!(late, other);
    assert_eq!(
        counted(&world).await,
        (2, 2, 1),
        "people decide about the number"
    );
}

/// One moves away and back, another comes to the number in between: the provider's clock says what is newer, whatever comes first.
#[tokio::test]
async fn news_of_numbers_comes_in_any_order() {
    let world = World::new().await;
    let [first, second, third] = ["34600000001", "34600000002", "34600000003"];
    let moves = |at: i64, id: &str, from: &str, to: &str| {
        changes(
            at,
            PersonChangeKind::Number,
            person(from, id),
            person(to, id),
        )
    };
    let news = [
        moves(10, "ES.1", first, second),
        moves(20, "ES.1", second, first),
        moves(30, "ES.2", third, second),
        // Told again, as by another number of ours.
        moves(10, "ES.1", first, second),
    ];
    for order in orders(news.len()) {
        see(&world, &writes(1, first, "ES.1")).await;
        see(&world, &writes(1, third, "ES.2")).await;
        for n in &order {
            see(&world, &news[*n]).await;
        }
        let (one, two) = (
            contact_of(&world, "bsuid", "ES.1").await,
            contact_of(&world, "bsuid", "ES.2").await,
        );
        assert_ne!(one, two);
        for kind in ["wa_id", "phone"] {
            let plus = if kind == "phone" { "+" } else { "" };
            let mut owners = Vec::new();
            for number in [first, second, third] {
                owners.push(contact_of(&world, kind, &format!("{plus}{number}")).await);
            }
            assert_eq!(owners, [one, two, None], "{kind} {order:?}");
        }
        // Where a number is taken over before its leaving is told, people are asked about the two.
        let (contacts, threads, _) = counted(&world).await;
        assert_eq!((contacts, threads), (2, 2), "{order:?}");
        forget_everything(&world).await;
    }
}

/// Who is known by an id of their own is not taken for whoever has the number that they wrote from, or come to.
#[tokio::test]
async fn an_id_of_their_own_keeps_people_apart_who_had_one_number() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "ES.1")).await;
    let moved = (person(OLD, "ES.1"), person(NEW, "ES.1"));
    let number = PersonChangeKind::Number;
    see(&world, &changes(10, number, moved.0, moved.1)).await;
    // Whoever had it before; told late.
    see(&world, &writes(5, NEW, "ES.2")).await;
    let (first, second) = (
        contact_of(&world, "bsuid", "ES.1").await,
        contact_of(&world, "bsuid", "ES.2").await,
    );
    assert_ne!(first, second);
    assert_eq!(contact_of(&world, "wa_id", NEW).await, first);
    // Somebody nobody has heard of comes to it.
    let moved = (person("34600777666", "ES.3"), person(NEW, "ES.3"));
    see(&world, &changes(30, number, moved.0, moved.1)).await;
    let third = contact_of(&world, "bsuid", "ES.3").await;
    assert!(third != first && third != second);
    assert_eq!(contact_of(&world, "wa_id", NEW).await, third);
    // The news may name the id of before alone.
    let moved = (person("34600555444", "ES.5"), person(NEW, ""));
    see(&world, &changes(40, number, moved.0, moved.1)).await;
    let fifth = contact_of(&world, "bsuid", "ES.5").await;
    assert!(fifth.is_some() && fifth != third);
    assert_eq!(contact_of(&world, "wa_id", NEW).await, fifth);
}

/// They have written from it, and it is somebody else's by now.
#[tokio::test]
async fn an_answer_does_not_go_to_a_number_that_somebody_else_has() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "ES.1")).await;
    let moved = (person(OLD, "ES.1"), person(NEW, "ES.1"));
    see(
        &world,
        &changes(10, PersonChangeKind::Number, moved.0, moved.1),
    )
    .await;
    see(&world, &writes(5, NEW, "ES.2")).await;
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() + interval '1 hour'",
        )
        .await;
    sqlx::query("update communications.conversations set assigned_to = $1")
        .bind(world.iberia.agent)
        .execute(&world.pool)
        .await
        .unwrap();
    let thread: Value = world
        .scalar(
            "select to_jsonb(v.id) from communications.conversations v join communications.contact_identities i on i.contact_id = v.contact_id
              where i.value = 'ES.2'",
        )
        .await;
    let answer =
        json!({"conversation_id": thread, "client_message_id": "1", "content": {"text": "hola"}});
    world
        .agent_acts(
            world.iberia.tenant,
            world.iberia.agent,
            "sendAgentMessage",
            &answer,
        )
        .await
        .unwrap();
    let to: String = world
        .scalar("select address from communications.messages where direction = 'OUTBOUND'")
        .await;
    assert_eq!(to, "ES.2");
}

/// Of a number with two national forms: what comes late in the other one gives neither back.
#[tokio::test]
async fn a_number_is_given_up_in_all_its_forms() {
    let world = World::new().await;
    let (long, short) = ("5511960000001", "551160000001");
    see(&world, &writes(1, long, "")).await;
    let (before, after) = (person(long, ""), person(NEW, ""));
    see(
        &world,
        &changes(20, PersonChangeKind::Number, before, after),
    )
    .await;
    let first = contact_of(&world, "wa_id", NEW).await;
    see(&world, &writes(10, short, "")).await;
    assert_eq!(counted(&world).await, (1, 1, 0));
    see(&world, &writes(30, long, "")).await;
    assert_eq!(counted(&world).await, (2, 2, 0));
    assert_ne!(contact_of(&world, "wa_id", long).await, first);
}

/// Who was known by that number alone had nothing else to be known by.
#[tokio::test]
async fn what_was_written_before_somebody_came_to_a_number_has_nobody_else() {
    let world = World::new().await;
    see(&world, &writes(1, OLD, "ES.1")).await;
    let moved = (person(OLD, "ES.1"), person(NEW, "ES.1"));
    let number = PersonChangeKind::Number;
    see(&world, &changes(10, number, moved.0, moved.1)).await;
    see(&world, &writes(5, NEW, "")).await;
    assert_eq!(counted(&world).await, (1, 1, 0));
}

/// They came to it and left it again: what is older than both is not about them.
#[tokio::test]
async fn whoever_had_a_number_for_a_while_is_nobody_that_wrote_from_it_before() {
    let world = World::new().await;
    let number = PersonChangeKind::Number;
    let moves = |second, from, to, id| changes(second, number, person(from, id), person(to, id));
    let (came, left) = (moves(20, OLD, NEW, "ES.2"), moves(30, NEW, OLD, "ES.2"));
    let wrote = ("ES.9", writes(15, NEW, "ES.9"));
    let left_before = ("ES.3", moves(10, NEW, "34600777666", "ES.3"));
    for (id, before) in [wrote, left_before] {
        for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
            see(&world, &writes(1, OLD, "ES.2")).await;
            for place in order {
                see(&world, [&came, &left, &before][place]).await;
            }
            let theirs = contact_of(&world, "bsuid", "ES.2").await;
            assert_eq!(
                contact_of(&world, "wa_id", OLD).await,
                theirs,
                "{id} {order:?}"
            );
            assert_ne!(
                contact_of(&world, "bsuid", id).await,
                theirs,
                "{id} {order:?}"
            );
            assert_eq!(counted(&world).await.0, 2, "{id} {order:?}");
            forget_everything(&world).await;
        }
    }
}
