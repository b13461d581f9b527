//! Requests that are in one process at the same time share transactions, and nobody can tell from what is stored.

use crate::webhook::ana;
use crate::{one_text, planted};
use comms_core::inbound::Reception;
use comms_core::platform::Database;
use comms_core::platform::config::Secret;
use comms_simulator::{Inbound, SignedWebhook, StatusReport};
use comms_tests::calls;
use comms_tests::seed::Operator;
use comms_tests::world::World;
use futures_util::{
    future::{Either, join, join_all, select},
    poll,
};
use lambda_http::Response;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

type Requests<'a> = Vec<(&'a Operator, SignedWebhook)>;
type Post<'a> = Pin<Box<dyn Future<Output = Response<String>> + 'a>>;
type Posts<'a> = VecDeque<Post<'a>>;

fn from(phone: &str, text: &str) -> Inbound {
    Inbound {
        from: Some(phone.to_owned()),
        profile_name: Some(format!("Customer {phone}")),
        ..Inbound::text(phone, text)
    }
}

fn to(world: &World, operator: &Operator, inbound: &Inbound) -> SignedWebhook {
    let number = operator.phone_number_id;
    world.simulator.signed_inbound(number, inbound).unwrap()
}

/// What Ana writes to the first operator, each text in a request of its own.
fn texts<'a>(world: &'a World, texts: &[&str]) -> Requests<'a> {
    let request = |text: &&str| (&world.iberia, to(world, &world.iberia, &ana(text)));
    texts.iter().map(request).collect()
}

/// Each at the door of its operator.
fn posts<'a>(world: &'a World, requests: &'a Requests<'_>) -> Posts<'a> {
    let post = |(operator, webhook): &'a (&Operator, SignedWebhook)| -> Post<'a> {
        Box::pin(world.meta_posts(operator.tenant, webhook))
    };
    requests.iter().map(post).collect()
}

/// Until this ends, everybody who asks the database waits: the first thing that all ask is whose number it is.
async fn nobody_is_answered(world: &World) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut holder = world.pool.begin().await.unwrap();
    sqlx::query("lock table communications.channel_accounts in access exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    holder
}

/// All there before the first is answered: it asks the database, and the others stand in line.
async fn arrive(world: &World, posts: &mut Posts<'_>) {
    let holder = nobody_is_answered(world).await;
    for post in posts {
        assert!(poll!(post.as_mut()).is_pending());
    }
    holder.rollback().await.unwrap();
}

async fn at_once(world: &World, requests: &Requests<'_>) -> Vec<Response<String>> {
    let mut posts = posts(world, requests);
    arrive(world, &mut posts).await;
    join_all(posts).await
}

fn all_taken(answers: &[Response<String>]) {
    assert!(answers.iter().all(|answer| answer.status() == 200));
}

fn elsewhere(answers: &[Response<String>]) -> usize {
    let says = |answer: &&Response<String>| answer.body() == r#"{"elsewhere":true}"#;
    answers.iter().filter(says).count()
}

/// The first begins a transaction of its own; the other thirty-nine, of both operators, are the next one: what of them is of people who are
/// known by then, and the others.
#[tokio::test]
async fn forty_texts_of_two_operators_are_two_transactions() {
    let world = World::new().await;
    // The same people write to both: they are other people there.
    let texts = |round: &'static str| -> Requests<'_> {
        let text = |n: usize| {
            let operator = [&world.iberia, &world.albion][n % 2];
            let phone = format!("346001112{:02}", n / 4);
            let inbound = from(&phone, &format!("{round} {n}"));
            (operator, to(&world, operator, &inbound))
        };
        (0..40).map(text).collect()
    };
    let (first, more) = (texts("text"), texts("more"));
    for (requests, others) in [(&first, 37..=38), (&first, 38..=38), (&more, 38..=38)] {
        let answers = at_once(&world, requests).await;
        all_taken(&answers);
        assert!(others.contains(&elsewhere(&answers)), "{others:?}");
    }
    let stored: Vec<(uuid::Uuid, i64, i64, i64)> = sqlx::query_as(
        "select m.tenant_id, count(*), count(distinct m.contact_id), count(distinct m.conversation_id)
           from communications.messages m
           join communications.conversations c on c.tenant_id = m.tenant_id and c.id = m.conversation_id
          where c.inbound_count = 4 and c.contact_id = m.contact_id
          group by 1 order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let mut due = [world.iberia.tenant.0, world.albion.tenant.0].map(|tenant| (tenant, 40, 10, 10));
    due.sort_unstable();
    assert_eq!(stored, due);
    assert_eq!(world.count("quarantine").await, 0);
}

/// From long ago, in the future, out of order: as if each had come alone, by the long way.
#[tokio::test]
async fn texts_at_once_of_somebody_known_are_stored_as_one_by_one() {
    let texts = one_text::texts();
    let together = World::new().await;
    one_text::posts(&together, &[&texts[0]]).await;
    one_text::close_the_long_way(&together).await;
    let post = |n: usize| {
        let signed = one_text::signed(&together, &texts[n..=n]);
        (&together.iberia, signed)
    };
    let requests: Requests<'_> = [3, 5, 4, 2, 1].map(post).into();
    let answers = at_once(&together, &requests).await;
    all_taken(&answers);
    assert_eq!(elsewhere(&answers), 3);
    let arrived: Vec<String> = sqlx::query_scalar(
        "select body from communications.messages where body in ('text 1', 'text 2', 'text 4') order by created_at",
    )
    .fetch_all(&together.pool)
    .await
    .unwrap();
    assert_eq!(arrived, ["text 4", "text 2", "text 1"]);

    let apart = World::new().await;
    for text in &texts {
        one_text::posts(&apart, &[&texts[0], text]).await;
    }
    assert_eq!(
        one_text::rows(&together).await,
        one_text::rows(&apart).await
    );
}

/// Meta counts in seconds: what is said in one of them stands in the order in which it came.
#[tokio::test]
async fn nobodys_text_goes_ahead_of_their_photo() {
    let world = World::new().await;
    let texts = one_text::texts();
    one_text::posts(&world, &[&texts[0]]).await;
    let said = |id: &str, more: serde_json::Value| {
        let mut message = texts[1].clone();
        message["id"] = json!(id);
        for (name, member) in more.as_object().unwrap() {
            message[name] = member.clone();
        }
        (&world.iberia, one_text::signed(&world, &[message]))
    };
    let requests = vec![
        said("wamid.a", json!({"timestamp": "1795428001"})),
        said("wamid.b", json!({"timestamp": "1795428002"})),
        said(
            "wamid.photo",
            json!({"type": "image", "text": null, "image": {"id": "1", "mime_type": "image/jpeg", "sha256": "x"}}),
        ),
        said("wamid.text", json!({"text": {"body": "that is it"}})),
    ];
    all_taken(&at_once(&world, &requests).await);
    let shown: Vec<String> = sqlx::query_scalar(
        "select external_message_id from communications.messages order by thread_at desc, id desc limit 2",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(shown, ["wamid.text", "wamid.photo"]);
    let preview: String = world
        .scalar("select preview from communications.conversations")
        .await;
    assert_eq!(preview, "that is it");
}

/// One of those who are known, one who is new, one whose thread is resolved, a wish, what is here already, twice the same.
#[tokio::test]
async fn those_who_are_known_leave_the_others_as_they_were() {
    let world = World::new().await;
    let said = |phone, text| (&world.iberia, to(&world, &world.iberia, &from(phone, text)));
    let known: Requests<'_> = ["34600111201", "34600111202", "34600111203"]
        .map(|phone| said(phone, "first"))
        .into();
    all_taken(&join_all(posts(&world, &known)).await);
    world
        .execute(
            "update communications.conversations set status = 'RESOLVED'
              where contact_id = (select contact_id from communications.contact_identities where value = '+34600111202')",
        )
        .await;
    let again = said("34600111203", "three");
    let twice = said("34600111203", "four");
    all_taken(&join_all(posts(&world, &vec![again.clone()])).await);
    let requests = vec![
        said("34600111201", "alone"),
        said("34600111201", "one"),
        said("34600111201", "two"),
        said("34600111202", "awake"),
        said("34600111203", "STOP"),
        said("34600111204", "new"),
        again,
        twice.clone(),
        twice,
    ];
    all_taken(&at_once(&world, &requests).await);
    let threads: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "select t.display_name, c.status, c.inbound_count, count(*)
           from communications.conversations c
           join communications.contacts t on t.tenant_id = c.tenant_id and t.id = c.contact_id
           join communications.messages m on m.tenant_id = c.tenant_id and m.conversation_id = c.id
          group by t.display_name, c.status, c.inbound_count order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let thread = |who: &str, messages| {
        let name = format!("Customer 346001112{who}");
        (name, "OPEN".to_owned(), messages, messages)
    };
    assert_eq!(
        threads,
        [
            thread("01", 4),
            thread("02", 2),
            thread("03", 4),
            thread("04", 1)
        ]
    );
    assert_eq!(world.count("consents where not granted").await, 3);
    assert_eq!(world.count("quarantine").await, 0);
}

#[tokio::test]
async fn what_is_reported_of_one_message_in_many_requests_ends_in_one_row() {
    let world = World::new().await;
    let first = planted::one(&world).await;
    planted::more(&world, first, 4).await;
    world.step_dispatch().await;
    let sent: Vec<String> = sqlx::query_scalar(
        "select external_message_id from communications.messages where status = 'SENT' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let number = world.iberia.number();
    let mut requests = Requests::new();
    // In no order, and each twice.
    for word in ["read", "sent", "delivered", "read", "sent", "delivered"] {
        for wamid in &sent {
            let report = StatusReport::new(wamid, word, "34600111222");
            let webhook = world.simulator.builder().status(&number, &report).build();
            requests.push((&world.iberia, webhook));
        }
    }
    let answers = at_once(&world, &requests).await;
    all_taken(&answers);
    assert_eq!(elsewhere(&answers), requests.len() - 2);
    assert_eq!(world.outbound().await, ["READ"; 5]);
    assert_eq!(world.count("message_status_events").await, 15);
}

/// A door lets in what is its tenant's, whoever else stands there.
#[tokio::test]
async fn the_wrong_door_stays_wrong_in_company() {
    let world = World::new().await;
    let good = |n: usize| {
        (
            &world.iberia,
            to(&world, &world.iberia, &from("34600111201", &format!("{n}"))),
        )
    };
    let mut requests: Requests<'_> = (0..5).map(good).collect();
    // Albion's door, Iberia's number: once with its neighbours' number, once with one that only it names.
    requests.push((
        &world.albion,
        to(&world, &world.iberia, &ana("to the wrong door")),
    ));
    requests.push((
        &world.iberia,
        to(&world, &world.albion, &ana("to the other wrong door")),
    ));
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(world.count("messages").await, 5);
    assert_eq!(world.count("messages where body like 'to %'").await, 0);
    assert_eq!(
        world
            .count("quarantine where reason = 'UNKNOWN_ACCOUNT'")
            .await,
        2
    );
}

#[tokio::test]
async fn the_wrong_door_gets_no_reports_in_company() {
    let world = World::new().await;
    let report = |operator: &Operator, n: usize| {
        let report = StatusReport::new(&format!("wamid.{n}"), "sent", "34600111222");
        world
            .simulator
            .builder()
            .status(&operator.number(), &report)
            .build()
    };
    let mut requests: Requests<'_> = (0..5)
        .map(|n| (&world.iberia, report(&world.iberia, n)))
        .collect();
    requests.push((&world.iberia, report(&world.albion, 5)));
    requests.push((&world.albion, report(&world.iberia, 6)));
    all_taken(&at_once(&world, &requests).await);
    let by_tenant: Vec<(uuid::Uuid, i64)> = sqlx::query_as(
        "select tenant_id, count(*) from communications.message_status_events group by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(by_tenant, [(world.iberia.tenant.0, 5)]);
    assert_eq!(
        world
            .count("quarantine where reason = 'UNKNOWN_ACCOUNT'")
            .await,
        2
    );
}

#[tokio::test]
async fn a_request_that_the_database_refuses_takes_nobody_with_it() {
    let world = World::new().await;
    // Stands for a bug of ours.
    world
        .execute(
            "alter table communications.messages add constraint no_such_word check (body <> 'poison')",
        )
        .await;
    let requests = texts(&world, &["uno", "dos", "poison", "tres", "cuatro"]);
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(world.count("messages").await, 4);
    assert_eq!(world.count("quarantine where reason = 'REFUSED'").await, 1);
}

#[tokio::test]
async fn a_database_that_is_away_is_told_to_everybody() {
    let world = World::new().await;
    let requests = texts(&world, &["0", "1", "2", "3", "4", "5"]);
    world
        .execute("alter table communications.messages rename to messages_gone")
        .await;
    let mut statuses = BTreeMap::new();
    for answer in at_once(&world, &requests).await {
        *statuses.entry(answer.status().as_u16()).or_insert(0) += 1;
    }
    assert_eq!(statuses, BTreeMap::from([(503, 6)]));
    world
        .execute("alter table communications.messages_gone rename to messages")
        .await;
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(world.count("messages").await, 6);
}

/// Whoever leads a transaction and is given up leaves the others where they were: they go alone.
#[tokio::test]
async fn whoever_is_given_up_takes_nobody_along() {
    let world = World::new().await;
    let requests = texts(&world, &["0", "1", "2", "3", "4", "5"]);
    let mut posts = posts(&world, &requests);
    arrive(&world, &mut posts).await;
    posts.drain(..1);
    // The second has the lane now, and all five that are left in hand.
    let holder = nobody_is_answered(&world).await;
    assert!(poll!(posts[0].as_mut()).is_pending());
    posts.pop_front();
    holder.rollback().await.unwrap();
    let answers = join_all(posts).await;
    all_taken(&answers);
    assert_eq!(
        elsewhere(&answers),
        0,
        "somebody answered for the one that is gone"
    );
    assert_eq!(
        world
            .count("messages where body in ('2', '3', '4', '5')")
            .await,
        4
    );
}

/// The platform's door, a file, a text that names nobody before the one that does: in company as alone.
#[tokio::test]
async fn all_kinds_go_together() {
    let world = World::new().await;
    let number = world.iberia.number();
    let build = |inbound: &Inbound| world.simulator.builder().message(&number, inbound).build();
    let nameless = Inbound {
        profile_name: None,
        ..from("34600111205", "first")
    };
    let photo = Inbound {
        message: Some(
            json!({"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "sha256": "x"}}),
        ),
        ..from("34600111206", "")
    };
    let webhooks = [
        build(&ana("one")),
        build(&ana("two")),
        build(&nameless),
        build(&from("34600111205", "second")),
        build(&photo),
        build(&from("34600111206", "a photo")),
    ];
    let post = |webhook| -> Post<'_> {
        let request = calls::from_meta_to_app(webhook);
        Box::pin(meta_webhook::handle(&world.webhook, request))
    };
    let mut posts: Posts<'_> = webhooks.iter().map(post).collect();
    arrive(&world, &mut posts).await;
    let answers = join_all(posts).await;
    all_taken(&answers);
    // Ana's second text goes with hers alone, or with the others where the first one takes long.
    assert!((3..=4).contains(&elsewhere(&answers)));
    assert_eq!(world.count("messages").await, 6);
    assert_eq!(world.take_media_hints().await.len(), 1);
    let names: Vec<String> = sqlx::query_scalar(
        "select coalesce(display_name, '') from communications.contacts order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        names,
        ["Ana", "Customer 34600111205", "Customer 34600111206"]
    );
}

/// Until this ends, everybody who has written so far is locked.
async fn everybody_is_locked(world: &World) -> sqlx::Transaction<'static, sqlx::Postgres> {
    let mut holder = world.pool.begin().await.unwrap();
    sqlx::query(
        "select pg_advisory_xact_lock(communications.person_lock(tenant_id::text, kind, scope, value))
           from communications.contact_identities",
    )
    .execute(&mut *holder)
    .await
    .unwrap();
    holder
}

fn of_the_free<'a>(world: &'a World, phones: &[&str]) -> Requests<'a> {
    let free = |phone: &&str| {
        let inbound = from(phone, "free");
        (&world.iberia, to(world, &world.iberia, &inbound))
    };
    phones.iter().map(free).collect()
}

/// Whoever is locked for longer than a moment keeps the others waiting no longer than that.
#[tokio::test]
async fn somebody_who_is_locked_holds_up_nobody_else() {
    let world = World::new().await;
    world.customer_writes(&ana("known")).await;
    let holder = everybody_is_locked(&world).await;
    let mut requests = of_the_free(
        &world,
        &["34600111223", "34600111224", "34600111225", "34600111226"],
    );
    requests.extend(texts(&world, &["locked"]));
    let mut posts = posts(&world, &requests);
    arrive(&world, &mut posts).await;
    let late = posts.pop_back().unwrap();
    let others = async {
        let answers = join_all(posts).await;
        holder.rollback().await.unwrap();
        answers
    };
    let (answers, late) = join(others, late).await;
    all_taken(&answers);
    all_taken(&[late]);
    assert_eq!(world.count("messages").await, 6);
}

/// They come first, hold up the lane and the spare one, and as many go alone as may at once: those behind them get through, and
/// whoever is locked all the while is told to come again.
#[tokio::test]
async fn those_who_are_locked_leave_the_lanes_to_others() {
    let world = World::new().await;
    world.customer_writes(&ana("known")).await;
    let holder = everybody_is_locked(&world).await;
    let locked = texts(&world, &["locked"; 12]);
    let free = of_the_free(&world, &["34600111223", "34600111224"]);
    let mut waiting = posts(&world, &locked);
    waiting.append(&mut posts(&world, &free));
    arrive(&world, &mut waiting).await;
    let answers = join_all(waiting).await;
    let (refused, taken) = answers.split_at(locked.len());
    all_taken(taken);
    assert!(refused.iter().all(|answer| answer.status() == 503));
    holder.rollback().await.unwrap();
    all_taken(&at_once(&world, &locked).await);
    assert_eq!(world.count("messages").await, 15);
}

/// As a connection that has died on the way and says nothing: the server's sleep is what is tested, longer than the five seconds after
/// which a line gives it up. Nothing waits for its end: the line has gone on beside it.
#[tokio::test]
async fn a_database_that_falls_silent_is_given_up() {
    let world = World::new().await;
    let silence = sqlx::raw_sql(
        "create function communications.fall_silent() returns trigger language plpgsql as
         $$ begin perform pg_sleep(8); return new; end $$;
         create trigger fall_silent before insert on communications.messages
             for each row when (new.body = 'silence') execute function communications.fall_silent()",
    );
    silence.execute(&world.pool).await.unwrap();
    let phones = ["34600111223", "34600111224", "34600111225"];
    let mut requests = texts(&world, &["silence"]);
    requests.extend(of_the_free(&world, &phones));
    let mut posts = posts(&world, &requests);
    arrive(&world, &mut posts).await;
    let silent = posts.pop_front().unwrap();
    let Either::Right((others, silent)) = select(silent, join_all(posts)).await else {
        panic!("the others stood behind it");
    };
    all_taken(&others);
    assert_eq!(world.count("messages where body = 'free'").await, 3);
    assert_eq!(silent.await.status(), 503);
}

/// Reports wait for the rows of messages, not for people: the same holds.
#[tokio::test]
async fn reports_of_a_locked_message_leave_the_lanes_to_others() {
    let world = World::new().await;
    let first = planted::one(&world).await;
    planted::more(&world, first, 1).await;
    world.step_dispatch().await;
    let sent: Vec<String> = sqlx::query_scalar(
        "select external_message_id from communications.messages where status = 'SENT' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let [locked, free] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    let mut holder = world.pool.begin().await.unwrap();
    sqlx::query("select from communications.messages where external_message_id = $1 for update")
        .bind(locked)
        .execute(&mut *holder)
        .await
        .unwrap();
    let number = world.iberia.number();
    let report = |(wamid, word)| {
        let report = StatusReport::new(wamid, word, "34600111222");
        let webhook = world.simulator.builder().status(&number, &report).build();
        (&world.iberia, webhook)
    };
    let words = ["sent", "delivered", "read"];
    let of = |wamid| words.map(|word| report((wamid, word)));
    let requests: Requests<'_> = of(locked.as_str())
        .into_iter()
        .chain(of(free.as_str()))
        .collect();
    let answers = at_once(&world, &requests).await;
    let (refused, taken) = answers.split_at(words.len());
    all_taken(taken);
    assert!(refused.iter().all(|answer| answer.status() == 503));
    assert_eq!(world.count("messages where status = 'READ'").await, 1);
    holder.rollback().await.unwrap();
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(world.count("messages where status = 'READ'").await, 2);
}

/// Nobody knows what became of a transaction whose connection is gone: all of it comes again.
#[tokio::test]
async fn a_database_that_nobody_reaches_is_told_to_everybody() {
    let mut world = World::new().await;
    let nowhere = Secret::of("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none".into());
    let reachable = std::mem::replace(
        &mut world.webhook.reception,
        Reception::new(&Database::new(nowhere)),
    );
    let requests = texts(&world, &["0", "1", "2", "3", "4", "5"]);
    let mut waiting = posts(&world, &requests);
    for post in &mut waiting {
        assert!(poll!(post.as_mut()).is_pending());
    }
    let answers = join_all(waiting).await;
    assert!(answers.iter().all(|answer| answer.status() == 503));
    drop(requests);
    world.webhook.reception = reachable;
    let requests = texts(&world, &["0", "1", "2", "3", "4", "5"]);
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(world.count("messages").await, 6);
}

/// The function's connections to this database.
async fn connections(world: &World) -> Vec<i32> {
    sqlx::query_scalar(
        "select pid from pg_stat_activity
          where datname = current_database() and application_name = 'communications' order by pid",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_first_request_finds_the_connection_that_was_prepared() {
    let world = World::new().await;
    let before = connections(&world).await;
    world.webhook.prepare().await;
    let prepared = connections(&world).await;
    assert_eq!(prepared.len(), before.len() + 1);
    let requests = texts(&world, &["0"]);
    all_taken(&join_all(posts(&world, &requests)).await);
    assert_eq!(connections(&world).await, prepared);
    assert_eq!(world.count("messages").await, 1);
}

/// Where many requests come at once, every lane has its own.
#[tokio::test]
async fn many_requests_at_once_find_a_connection_for_each_lane() {
    let mut world = World::new().await;
    let before = connections(&world).await;
    world.webhook.at_once = 32;
    world.webhook.prepare().await;
    let prepared = connections(&world).await;
    assert_eq!(prepared.len(), before.len() + 2);
    let requests = texts(&world, &["0", "1", "2", "3"]);
    all_taken(&at_once(&world, &requests).await);
    assert_eq!(connections(&world).await, prepared);
}

/// Counts the rows that were inserted, also those that were taken back: sequences know of no rollback.
const COUNT_ROWS: &str = "do $$
    declare v_table text;
    begin
        create function communications.count_row() returns trigger language plpgsql as
            'begin perform nextval(''communications.rows_of_'' || tg_table_name); return null; end';
        foreach v_table in array array ['contacts', 'conversations', 'messages', 'message_status_events', 'message_prices'] loop
            execute format('create sequence communications.rows_of_%s', v_table);
            execute format('create trigger count_row after insert on communications.%s
                            for each row execute function communications.count_row()', v_table);
        end loop;
    end $$";
const ROWS: &str = "select string_agg(substr(sequencename, 9) || ' ' || coalesce(last_value, 0), ', ' order by sequencename)
                      from pg_sequences where sequencename like 'rows_of_%'";

/// Before many come at once, every lane has once stored what they bring, and taken it back.
#[tokio::test]
async fn what_many_requests_need_is_rehearsed_on_each_lane_and_leaves_nothing() {
    let mut world = World::new().await;
    world.execute(COUNT_ROWS).await;
    world.webhook.prepare().await;
    let written: String = world.scalar(ROWS).await;
    assert_eq!(
        written,
        "contacts 0, conversations 0, message_prices 0, message_status_events 0, messages 0"
    );
    world.webhook.at_once = 32;
    world.webhook.prepare().await;
    let written: String = world.scalar(ROWS).await;
    assert_eq!(
        written,
        "contacts 2, conversations 2, message_prices 2, message_status_events 6, messages 8"
    );
    for table in [
        "channel_accounts where display_name = 'rehearsal'",
        "messages",
        "contacts",
    ] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
}

/// As after a failover to what may only be read, for a while.
#[tokio::test]
async fn what_cannot_be_rehearsed_is_connected_nevertheless() {
    let mut world = World::new().await;
    world
        .execute("alter table communications.channel_accounts add constraint nobody check (display_name <> 'rehearsal')")
        .await;
    let before = connections(&world).await;
    world.webhook.at_once = 32;
    world.webhook.prepare().await;
    assert_eq!(connections(&world).await.len(), before.len() + 2);
}

#[tokio::test]
async fn without_a_database_the_function_starts_nevertheless() {
    let mut world = World::new().await;
    let nowhere = Secret::of("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none".into());
    let reachable = std::mem::replace(
        &mut world.webhook.reception,
        Reception::new(&Database::new(nowhere)),
    );
    world.webhook.prepare().await;
    world.webhook.reception = reachable;
    let requests = texts(&world, &["0"]);
    all_taken(&join_all(posts(&world, &requests)).await);
}
