//! What goes with whom when a merge is undone, and who waits for a merge.

use crate::intake::trip;
use crate::merges::{ANA, ANNA, merged, of, rows, says, two, undone};
use crate::people::{changes, contact_of, person, see, writes};
use comms_core::contacts::{Alias, AliasKind, Sighting, merge, resolve};
use comms_core::model::{ContactId, PassengerProfileId};
use comms_core::platform::Tx;
use comms_providers::event::PersonChangeKind;
use comms_simulator::Inbound;
use comms_tests::world::World;
use comms_tests::world::aws::Letter;
use std::time::Duration;
use uuid::Uuid;

/// Two contacts, each known by a mail that they wrote.
async fn two_by_mail(world: &World) -> (String, ContactId, ContactId) {
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    for from in ["ken@example.org", "mia@example.org"] {
        world
            .mail_arrives(&Letter::new(from, &to, "s", "hola"))
            .await;
    }
    let of = async |value| contact_of(world, "email", value).await.unwrap();
    (to, of("ken@example.org").await, of("mia@example.org").await)
}

/// An open question whether these two are one.
async fn asked(world: &World, one: ContactId, other: ContactId) {
    sqlx::query(
        "insert into communications.contact_reviews (tenant_id, id, contact_a, contact_b, evidence)
         values ($1, gen_random_uuid(), least($2, $3), greatest($2, $3), '[]')",
    )
    .bind(world.iberia.tenant)
    .bind(one)
    .bind(other)
    .execute(&world.pool)
    .await
    .unwrap();
}

/// Ends the transaction as soon as somebody waits for it.
pub async fn commits_when_awaited(world: &World, tx: Tx) {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let awaited = async {
        while world.scalar::<i64>(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    let waits = tokio::time::timeout(Duration::from_secs(30), awaited).await;
    assert!(waits.is_ok(), "nobody waits for it");
    tx.commit().await.unwrap();
}

/// It is somebody else's now, and that somebody is whom they were merged with.
#[tokio::test]
async fn what_the_kept_one_had_given_up_before_stays_given_up() {
    let world = World::new().await;
    see(&world, &writes(1, ANA, "")).await;
    let change = changes(
        2,
        PersonChangeKind::Number,
        person(ANA, ""),
        person(ANNA, ""),
    );
    see(&world, &change).await;
    see(&world, &writes(3, ANA, "")).await;
    let (kept, taken) = (of(&world, ANNA).await, of(&world, ANA).await);
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    undone(&world, tenant, id).await.unwrap();
    let had: Vec<ContactId> = sqlx::query_scalar(
        "select distinct contact_id from communications.contact_former_identities",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(had, [kept]);
}

/// And nothing of the present owner's is given to whoever had it before.
#[tokio::test]
async fn what_is_at_a_number_that_the_merged_one_had_before_stays_with_its_owner() {
    let world = World::new().await;
    see(&world, &writes(1, ANA, "")).await;
    let change = changes(
        2,
        PersonChangeKind::Number,
        person(ANA, ""),
        person(ANNA, ""),
    );
    see(&world, &change).await;
    see(&world, &writes(3, ANA, "")).await;
    let (kept, taken) = (of(&world, ANA).await, of(&world, ANNA).await);
    let tenant = world.iberia.tenant;
    let before = rows(&world).await;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(rows(&world).await, before);
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    see(&world, &writes(4, ANA, "")).await;
    undone(&world, tenant, id).await.unwrap();
    let newest: ContactId = world
        .scalar("select contact_id from communications.messages order by thread_at desc limit 1")
        .await;
    assert_eq!(newest, kept);
}

#[tokio::test]
async fn a_mail_whose_answers_go_elsewhere_goes_with_who_wrote_it() {
    let world = World::new().await;
    let (to, kept, taken) = two_by_mail(&world).await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let letter = Letter::new("mia@example.org", &to, "s", "a la oficina")
        .with_header("Reply-To: mia@work.example");
    world.mail_arrives(&letter).await;
    undone(&world, tenant, id).await.unwrap();
    let whose: ContactId = world
        .scalar("select contact_id from communications.messages where address = 'mia@work.example'")
        .await;
    assert_eq!(whose, taken);
}

/// START gives back what was agreed to before; while they were one, that was the other's.
#[tokio::test]
async fn a_start_said_while_they_were_one_makes_no_advertisements_for_who_never_agreed() {
    for (kept_agreed, by) in [(false, ANA), (true, ANNA)] {
        let world = World::new().await;
        let (kept, taken) = two(&world).await;
        let tenant = world.iberia.tenant;
        sqlx::query(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
             values ($1, gen_random_uuid(), $2, 'WHATSAPP', 'MARKETING', true, 'said so', 'booking', now() - interval '1 hour')",
        )
        .bind(tenant)
        .bind(if kept_agreed { kept } else { taken })
        .execute(&world.pool)
        .await
        .unwrap();
        let id = merged(&world, tenant, kept, taken).await.unwrap();
        // They were merged a minute ago.
        world
            .execute(
                "with merged as (delete from communications.consents where basis = 'merge' returning *)
                 insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
                 select tenant_id, id, contact_id, channel, category, granted, basis, source, at - interval '1 minute' from merged",
            )
            .await;
        says(&world, by, "start", 0).await;
        undone(&world, tenant, id).await.unwrap();
        let wanted = async |contact: ContactId| -> bool {
            sqlx::query_scalar(
                "select communications.consent_allows($1, $2, 'WHATSAPP', 'MARKETING')",
            )
            .bind(tenant)
            .bind(contact)
            .fetch_one(&world.pool)
            .await
            .unwrap()
        };
        let now = (wanted(kept).await, wanted(taken).await);
        assert_eq!(now, (kept_agreed, !kept_agreed), "{by}");
    }
}

/// Both agreed; only the later yes was said after the stop at the mailbox that they share.
#[tokio::test]
async fn of_two_yeses_the_later_counts() {
    let world = World::new().await;
    let (_, kept, taken) = two_by_mail(&world).await;
    let tenant = world.iberia.tenant;
    for sql in [
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
         select $1, gen_random_uuid(), c.id, 'EMAIL', 'TRANSACTIONAL', true, 'said so', 'booking', now() - c.ago
           from (values ($2, interval '3 hours'), ($3, interval '1 hour')) as c (id, ago)",
        "insert into communications.address_wishes (tenant_id, channel, address, stop_at)
         select $1, 'EMAIL', 'family@example.org', now() - interval '2 hours' where $2::uuid <> $3::uuid",
    ] {
        sqlx::query(sql)
            .bind(tenant)
            .bind(kept.0)
            .bind(taken.0)
            .execute(&world.pool)
            .await
            .unwrap();
    }
    merged(&world, tenant, kept, taken).await.unwrap();
    let refused: bool = sqlx::query_scalar(
        "select communications.address_refuses($1, $2, 'EMAIL', 'TRANSACTIONAL', 'family@example.org')",
    )
    .bind(tenant)
    .bind(kept)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(!refused);
}

#[tokio::test]
async fn what_a_mailbox_taught_while_they_were_one_goes_with_the_mailbox() {
    let world = World::new().await;
    let (_, kept, taken) = two_by_mail(&world).await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let sighting = Sighting {
        aliases: vec![
            Alias::new(AliasKind::Phone, "+34600777666"),
            Alias::new(AliasKind::Email, "mia@example.org"),
        ],
        passenger_profile: Some(PassengerProfileId::generate()),
        ..Sighting::new(tenant)
    };
    let mut tx = world.database().begin().await.unwrap();
    assert_eq!(resolve(&mut tx, &[sighting]).await.unwrap(), [kept]);
    tx.commit().await.unwrap();
    undone(&world, tenant, id).await.unwrap();
    let now = contact_of(&world, "phone", "+34600777666").await;
    assert_eq!(now, Some(taken));
}

#[tokio::test]
async fn a_notice_that_was_answered_while_they_were_one_stays_with_the_answer() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    world.trip_is_delayed(&trip).await;
    let (taken, address): (ContactId, String) = sqlx::query_as(
        "select contact_id, address from communications.messages order by id limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    see(&world, &writes(1, "34600555444", "")).await;
    let kept = of(&world, "34600555444").await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let answer = Inbound::text(address.trim_start_matches('+'), "vale");
    world.customer_writes(&answer).await;
    undone(&world, tenant, id).await.unwrap();
    let threads: Vec<(Option<Uuid>, i64)> = sqlx::query_as(
        "select conversation_id, count(*) from communications.messages where contact_id = $1 group by conversation_id",
    )
    .bind(taken)
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        (threads.len(), threads[0].0.is_some(), threads[0].1),
        (1, true, 2)
    );
}

/// Both of a pair are merged with somebody, and parted in the order in which it happened: the question is about the two that it was about.
#[tokio::test]
async fn a_question_about_two_comes_back_to_the_two() {
    let world = World::new().await;
    for (second, number) in ["34600000001", "34600000002", "34600000003", "34600000004"]
        .iter()
        .enumerate()
    {
        see(&world, &writes(i64::try_from(second).unwrap(), number, "")).await;
    }
    let (one, other) = (
        of(&world, "34600000001").await,
        of(&world, "34600000002").await,
    );
    let (kept, also) = (
        of(&world, "34600000003").await,
        of(&world, "34600000004").await,
    );
    let tenant = world.iberia.tenant;
    asked(&world, one, other).await;
    let pair = async || -> [ContactId; 2] {
        let (a, b) =
            sqlx::query_as("select contact_a, contact_b from communications.contact_reviews")
                .fetch_one(&world.pool)
                .await
                .unwrap();
        [a, b]
    };
    let sorted = |a: ContactId, b: ContactId| [a.min(b), a.max(b)];
    let first = merged(&world, tenant, kept, one).await.unwrap();
    let second = merged(&world, tenant, also, other).await.unwrap();
    assert_eq!(pair().await, sorted(kept, also));
    undone(&world, tenant, first).await.unwrap();
    assert_eq!(pair().await, sorted(one, also));
    undone(&world, tenant, second).await.unwrap();
    assert_eq!(pair().await, sorted(one, other));
}

/// Where the same is asked already, in another question: both are as they were in the end.
#[tokio::test]
async fn two_questions_that_become_one_are_two_again() {
    let world = World::new().await;
    let mut people = Vec::new();
    for n in 1..=4 {
        let number = format!("3460000000{n}");
        see(&world, &writes(n, &number, "")).await;
        people.push(of(&world, &number).await);
    }
    let [p, q, r, s] = people[..] else {
        unreachable!("four")
    };
    let tenant = world.iberia.tenant;
    for one in [p, q] {
        asked(&world, one, s).await;
    }
    let before = rows(&world).await;
    let first = merged(&world, tenant, p, q).await.unwrap();
    let second = merged(&world, tenant, r, s).await.unwrap();
    undone(&world, tenant, first).await.unwrap();
    let third = merged(&world, tenant, q, p).await.unwrap();
    undone(&world, tenant, second).await.unwrap();
    undone(&world, tenant, third).await.unwrap();
    let reviews = |rows: std::collections::BTreeMap<String, serde_json::Value>| {
        let reviews = rows.into_iter();
        let reviews = reviews.filter(|(key, _)| key.starts_with("contact_reviews"));
        let reviews = reviews.map(|(_, row)| {
            ["contact_a", "contact_b", "resolution"].map(|column| row[column].clone())
        });
        reviews.collect::<Vec<_>>()
    };
    assert_eq!(reviews(rows(&world).await), reviews(before));
}

/// Whoever is found by the host's id of a driver holds a merge up as a passenger does.
#[tokio::test]
async fn a_driver_who_is_merged_meanwhile_is_the_kept_contact() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    let driver = Uuid::now_v7();
    sqlx::query("update communications.contacts set kind = 'DRIVER', driver_id = $2 where id = $1")
        .bind(taken)
        .bind(driver)
        .execute(&world.pool)
        .await
        .unwrap();
    let mut merging = world.database().begin().await.unwrap();
    merge(&mut merging, tenant, kept, taken, world.iberia.agent)
        .await
        .unwrap();
    let sighting = Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, "+34600777666")],
        staff: Some(driver),
        ..Sighting::new(tenant)
    };
    let finds = async {
        let mut tx = world.database().begin().await.unwrap();
        let found = resolve(&mut tx, &[sighting]).await.unwrap();
        tx.commit().await.unwrap();
        found
    };
    let (found, ()) = futures_util::join!(finds, commits_when_awaited(&world, merging));
    assert_eq!(found, [kept]);
}
