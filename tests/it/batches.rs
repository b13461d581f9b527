//! Batches: everybody once, whatever dies on the way; honest totals; paused, resumed, cancelled; stopped by itself.

use crate::program::Program;
use crate::triggers::quiet;
use comms_core::automation::batches::{self, Stepped};
use comms_core::model::BatchDispatchJob;
use comms_simulator::{Answer, Script};
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

/// A program of Iberia's that may make batches.
struct Campaigns<'a>(Program<'a>);

impl<'a> Campaigns<'a> {
    async fn of(world: &'a World) -> Self {
        let scopes = ["notifications:read", "notifications:write", "batches:write"];
        Self(Program::of(world, &scopes).await)
    }

    /// Of an operator that can send SMS.
    async fn sending(world: &'a World) -> Self {
        world.iberia.connect_sms(&world.pool).await.unwrap();
        Self::of(world).await
    }

    async fn asks(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.0.calls(method, path, body).await
    }

    async fn gets(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.asks(method, path, body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// A batch of SMS to so many numbers, started.
    async fn sms(&self, people: usize) -> Uuid {
        let recipients: Vec<Value> = (0..people).map(person).collect();
        let batch = json!({"idempotency_key": Uuid::now_v7(), "message": news("SMS"), "recipients": recipients, "start": true});
        id(&self.gets("POST", "/api/batches", &batch).await)
    }

    async fn state(&self, batch: Uuid) -> Value {
        self.gets("GET", &format!("/api/batches/{batch}"), &Value::Null)
            .await
    }

    async fn does(&self, batch: Uuid, what: &str) -> Value {
        self.gets(
            "POST",
            &format!("/api/batches/{batch}/{what}"),
            &Value::Null,
        )
        .await
    }
}

fn id(answer: &Value) -> Uuid {
    answer["batch_id"].as_str().unwrap().parse().unwrap()
}

fn news(channel: &str) -> Value {
    json!({"trigger_event": "TRIP_BOARDING", "channels": [channel],
           "variables": {"trip": {"code": "1", "origin": "Madrid", "destination": "Valencia", "vehicle": "bus"}}})
}

fn person(n: usize) -> Value {
    json!({"phone": format!("+34601{n:06}"), "name": format!("N{n}")})
}

/// The worker takes every job that is in the queue, until there is none.
async fn work(world: &World) {
    loop {
        let bodies = world.take_batch_jobs().await;
        if bodies.is_empty() {
            return;
        }
        let response = batch_worker::handle(&world.batch_worker(), calls::sqs(&bodies)).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
    }
}

#[tokio::test]
async fn a_batch_is_filled_in_pieces_and_reaches_everybody_once() {
    let world = World::new().await;
    let program = Campaigns::sending(&world).await;
    let new = json!({"idempotency_key": "spring", "message": news("SMS"), "recipients": [person(0), person(1)]});
    let made = join_all((0..4).map(|_| program.gets("POST", "/api/batches", &new))).await;
    assert!(
        made.iter()
            .all(|answer| answer["batch_id"] == made[0]["batch_id"])
    );
    let batch = id(&made[0]);
    assert_eq!(
        (&made[0]["status"], &made[0]["recipients"]),
        (&json!("OPEN"), &json!(2))
    );
    let path = format!("/api/batches/{batch}/recipients");
    let more = json!({"after": 2, "recipients": (2..2500).map(person).collect::<Vec<_>>()});
    assert_eq!(program.gets("POST", &path, &more).await["recipients"], 2500);
    assert_eq!(
        program.gets("POST", &path, &more).await["recipients"],
        2500,
        "again is the same"
    );
    let (status, answer) = program
        .asks(
            "POST",
            &path,
            &json!({"after": 2, "recipients": [person(9)]}),
        )
        .await;
    assert_eq!(
        (status, &answer["extensions"]["recipients"]),
        (409, &json!(2500))
    );
    // The same people under other names, somebody unknown, somebody who does not want it.
    let odd = json!({"after": 2500, "recipients": [person(7), {"phone": "+34 601 000 008"}, {"contact_id": Uuid::now_v7()}]});
    program.gets("POST", &path, &odd).await;
    assert!(
        world.take_batch_jobs().await.is_empty(),
        "not before it starts"
    );
    assert_eq!(program.does(batch, "start").await["status"], "RUNNING");
    assert_eq!(program.asks("POST", &path, &odd).await.0, 409);
    work(&world).await;
    let state = program.state(batch).await;
    let said = |name: &str| state[name].as_i64().unwrap();
    assert_eq!(state["status"], "COMPLETED");
    assert_eq!(
        (
            said("recipients"),
            said("decided"),
            said("queued"),
            said("duplicates"),
            said("skipped")
        ),
        (2503, 2503, 2500, 2, 1)
    );
    assert_eq!(state["messages"], json!({"QUEUED": 2500}));
    assert!(
        world.take_hints().await.is_empty(),
        "they wait for their turn"
    );
    let outcomes: Vec<String> = sqlx::query_scalar("select outcome from communications.batch_outcomes where position >= 2500 order by position")
        .fetch_all(&world.pool)
        .await
        .unwrap();
    assert_eq!(outcomes, ["DUPLICATE", "DUPLICATE", "UNKNOWN"]);
    assert_eq!(
        program.does(batch, "start").await,
        state,
        "again is as it stands"
    );
}

/// A worker dies in the middle of a step, its job comes again, and a second worker has it at the same time.
#[tokio::test]
async fn whatever_dies_on_the_way_nobody_is_missed_or_written_to_twice() {
    let world = World::new().await;
    let program = Campaigns::sending(&world).await;
    let batch = program.sms(3_300).await;
    let job = BatchDispatchJob::new(world.iberia.tenant, batch, 0);
    // Dead before its commit: nothing of the step is there.
    let mut tx = world.database().begin().await.unwrap();
    assert!(matches!(
        batches::step(&mut tx, &job).await.unwrap(),
        Stepped::Done { .. }
    ));
    drop(tx);
    assert_eq!(
        (
            world.count("messages").await,
            program.state(batch).await["decided"].clone()
        ),
        (0, json!(0))
    );
    // Dead after its commit: the next job is lost, and the old one comes again, to two workers at once.
    let mut tx = world.database().begin().await.unwrap();
    batches::step(&mut tx, &job).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(program.state(batch).await["decided"], 500);
    let (one, two) = (world.batch_worker(), world.batch_worker());
    let (first, second) = tokio::join!(
        batch_worker::work(&one, &job, Duration::ZERO),
        batch_worker::work(&two, &job, Duration::ZERO)
    );
    first.unwrap();
    second.unwrap();
    assert_eq!(
        program.state(batch).await["decided"],
        2_500,
        "two steps of each"
    );
    // And all jobs are lost: the scan finds the batch where it lies.
    world.take_batch_jobs().await;
    world
        .execute("alter table communications.batches disable trigger set_updated_at")
        .await;
    world
        .execute("update communications.batches set updated_at = now() - interval '2 minutes'")
        .await;
    world
        .execute("alter table communications.batches enable trigger set_updated_at")
        .await;
    let summary = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(summary.batches_moved, 1);
    work(&world).await;
    let state = program.state(batch).await;
    assert_eq!(
        (&state["status"], &state["queued"]),
        (&json!("COMPLETED"), &json!(3_300))
    );
    let distinct: i64 = world
        .scalar("select count(distinct address) from communications.messages")
        .await;
    assert_eq!((world.count("messages").await, distinct), (3_300, 3_300));
}

/// How many are decided about, and by how many messages to how many addresses.
async fn reached(world: &World) -> (i64, i64, i64) {
    let decided = world
        .scalar("select sum(cursor) from communications.batches")
        .await;
    let distinct = world
        .scalar("select count(distinct address) from communications.messages")
        .await;
    (decided, world.count("messages").await, distinct)
}

/// Nobody waits for a step of others, not even for its end.
#[tokio::test]
async fn steps_of_one_batch_are_made_at_the_same_time_and_die_alone() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let batch = campaigns.sms(1_200).await;
    let job = BatchDispatchJob::new(world.iberia.tenant, batch, 0);
    // Somebody makes the first step, and has the locks of its people.
    let database = world.database();
    let mut first = database.begin().await.unwrap();
    sqlx::query("select from communications.batch_steps where first = 0 for update")
        .execute(first.conn())
        .await
        .unwrap();
    let people: Vec<Value> = (0..500)
        .map(|n| json!({"tenant_id": world.iberia.tenant, "aliases": [["phone", "", person(n)["phone"]]]}))
        .collect();
    let _: Value = first.call("find_people", &people).await.unwrap();
    batch_worker::work(&world.batch_worker(), &job, Duration::from_secs(60))
        .await
        .unwrap();
    assert_eq!(reached(&world).await, (700, 700, 700));
    assert_eq!(campaigns.state(batch).await["status"], "RUNNING");
    first.rollback().await.unwrap();
    batch_worker::work(&world.batch_worker(), &job, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(reached(&world).await, (1_200, 1_200, 1_200));
    assert_eq!(campaigns.state(batch).await["status"], "COMPLETED");
}

/// Everybody is listed twice, in opposite orders, once by a number and once as a contact: by steps that are made at the same time.
#[tokio::test]
async fn who_is_in_two_steps_at_once_is_written_to_by_one() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let known = campaigns.sms(1_000).await;
    work(&world).await;
    let contacts: Vec<Uuid> =
        sqlx::query_scalar("select id from communications.contacts order by id desc")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let as_contacts = contacts.iter().map(|id| json!({"contact_id": id}));
    let recipients: Vec<Value> = (0..1_000).map(person).chain(as_contacts).collect();
    let batch = json!({"idempotency_key": "again", "message": news("SMS"), "recipients": recipients, "start": true});
    let batch = id(&campaigns.gets("POST", "/api/batches", &batch).await);
    let job = BatchDispatchJob::new(world.iberia.tenant, batch, 0);
    let workers = [world.batch_worker(), world.batch_worker()];
    let made = workers
        .iter()
        .map(|worker| batch_worker::work(worker, &job, Duration::from_secs(60)));
    for made in join_all(made).await {
        made.unwrap();
    }
    let state = campaigns.state(batch).await;
    assert_eq!(
        (&state["status"], &state["queued"], &state["duplicates"]),
        (&json!("COMPLETED"), &json!(1_000), &json!(1_000))
    );
    assert_eq!(campaigns.state(known).await["queued"], 1_000);
    assert_eq!(reached(&world).await, (3_000, 2_000, 1_000));
    let told: i64 = world
        .scalar(
            "select count(distinct o.message_id) from communications.batch_outcomes o
               join communications.messages m on m.id = o.message_id and o.outcome = 'QUEUED'",
        )
        .await;
    assert_eq!(told, 2_000, "each outcome names its message");
}

/// Paused (cancelled, stopped) while a step is on its way: nothing of the step is there.
#[tokio::test]
async fn a_step_that_its_batch_overtakes_never_happened() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let batch = campaigns.sms(3).await;
    let job = BatchDispatchJob::new(world.iberia.tenant, batch, 0);
    // The step waits for whoever is deciding who this is.
    let mut other = world.pool.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(communications.person_lock($1::text, 'phone', '', '+34601000001'))")
        .bind(world.iberia.tenant.0)
        .execute(&mut *other)
        .await
        .unwrap();
    let worker = world.batch_worker();
    let step = batch_worker::work(&worker, &job, Duration::ZERO);
    let meanwhile = async {
        let waits = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                      where d.datname = current_database() and l.locktype = 'advisory' and not l.granted";
        while world.scalar::<i64>(waits).await == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(campaigns.does(batch, "pause").await["decided"], 0);
        other.commit().await.unwrap();
    };
    let (made, ()) = tokio::join!(step, meanwhile);
    made.unwrap();
    let state = campaigns.state(batch).await;
    assert_eq!(
        (&state["status"], &state["decided"]),
        (&json!("PAUSED"), &json!(0))
    );
    assert_eq!(world.count("messages").await, 0);
    campaigns.does(batch, "resume").await;
    work(&world).await;
    assert_eq!(campaigns.state(batch).await["queued"], 3);
}

#[tokio::test]
async fn a_batch_rests_and_goes_on_and_ends() {
    let world = World::new().await;
    let program = Campaigns::sending(&world).await;
    let batch = program.sms(1_500).await;
    let job = BatchDispatchJob::new(world.iberia.tenant, batch, 0);
    batch_worker::work(&world.batch_worker(), &job, Duration::ZERO)
        .await
        .unwrap();
    world.take_batch_jobs().await;
    assert_eq!(program.does(batch, "pause").await["status"], "PAUSED");
    batch_worker::work(&world.batch_worker(), &job, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        program.state(batch).await["decided"],
        1_000,
        "no step while it rests"
    );
    assert_eq!(world.count("messages where due_at < 'infinity'").await, 0);
    stuck_scan::handle(&world.scan).await.unwrap();
    assert!(world.take_hints().await.is_empty(), "and nothing leaves");
    assert_eq!(program.does(batch, "resume").await["status"], "RUNNING");
    work(&world).await;
    assert_eq!(program.state(batch).await["status"], "COMPLETED");
    stuck_scan::handle(&world.scan).await.unwrap();
    let released = world.count("messages where hint_at > '-infinity'").await;
    assert!(
        (1..1_500).contains(&released),
        "a round of the scan, at the sender's rate: {released}"
    );
    let cancelled = program.does(batch, "cancel").await;
    assert_eq!(
        (&cancelled["status"], &cancelled["messages"]),
        (&json!("CANCELLED"), &json!({"CANCELLED": 1_500}))
    );
    assert_eq!(program.does(batch, "cancel").await, cancelled);
    for what in ["pause", "resume"] {
        let (status, _) = program
            .asks(
                "POST",
                &format!("/api/batches/{batch}/{what}"),
                &Value::Null,
            )
            .await;
        assert_eq!(status, 409, "{what}");
    }
    world.step_dispatch().await;
    assert!(world.simulator.calls().is_empty());
}

/// A text that the provider refuses is not tried on everybody.
#[tokio::test]
async fn a_batch_whose_content_is_refused_stops_itself() {
    let world = World::new().await;
    let program = Campaigns::sending(&world).await;
    let recipients: Vec<Value> = (0..60).map(person).collect();
    let batch = json!({"idempotency_key": "1", "message": news("WHATSAPP"), "recipients": recipients, "start": true});
    let batch = id(&program.gets("POST", "/api/batches", &batch).await);
    work(&world).await;
    world.simulator.script(Script {
        times: 20,
        answer: Answer::Fail {
            code: 132_012,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: None,
        },
        ..Script::default()
    });
    let some = &world.queued().await[..20];
    dispatch_worker::handle(&world.worker, calls::batch(some)).await;
    let summary = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(summary.batches_stopped, 1);
    let state = program.state(batch).await;
    assert_eq!(state["status"], "STOPPED");
    assert_eq!(
        state["status_reason"],
        "providers refused the content of 20 of 20 messages"
    );
    world.take_hints().await;
    world.step_dispatch().await;
    assert_eq!(world.simulator.calls().len(), 20, "the rest is held");
    assert_eq!(
        program.does(batch, "resume").await["status"],
        "COMPLETED",
        "mended by a person"
    );
    assert_eq!(
        world
            .count("messages where status = 'QUEUED' and due_at <= now()")
            .await,
        40
    );
    let summary = stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(
        summary.batches_stopped, 0,
        "what was refused before does not count again"
    );
}

/// What no step will ever get over is no step's to repeat for ever.
#[tokio::test]
async fn a_batch_that_cannot_be_read_stops_and_says_so() {
    let world = World::new().await;
    let program = Campaigns::sending(&world).await;
    let batch = program.sms(3).await;
    world
        .execute("update communications.batch_recipients set recipient = '{\"phone\": 5}' where position = 1")
        .await;
    work(&world).await;
    let state = program.state(batch).await;
    assert_eq!(
        (&state["status"], &state["decided"]),
        (&json!("STOPPED"), &json!(0))
    );
    assert!(
        state["status_reason"]
            .as_str()
            .unwrap()
            .starts_with("database"),
        "{state}"
    );
    world
        .execute("update communications.batch_recipients set recipient = '{\"phone\": \"+34601000001\"}' where position = 1")
        .await;
    program.does(batch, "resume").await;
    assert_eq!(world.take_batch_jobs().await.len(), 1);
    program.state(batch).await;
    assert!(
        world.take_batch_jobs().await.is_empty(),
        "looking moves nothing"
    );
    program.does(batch, "resume").await;
    work(&world).await;
    assert_eq!(program.state(batch).await["queued"], 3);
}

#[tokio::test]
async fn an_audience_is_found_by_a_query() {
    let world = World::new().await;
    let program = Campaigns::of(&world).await;
    let host = crate::triggers::host::Host::of(&world).await;
    let ask = async |audience: Value| {
        let batch = json!({"idempotency_key": Uuid::now_v7(), "message": news("SMS"), "audience": audience, "start": true});
        program.asks("POST", "/api/batches", &batch).await
    };
    let trips = json!({"trips": {"departing_from": "2026-01-01T00:00:00Z", "departing_until": "2999-01-01T00:00:00Z"}});
    let (_, made) = ask(trips).await;
    work(&world).await;
    assert_eq!(program.state(id(&made)).await["queued"], 2);
    assert_eq!(host.said().await.len(), 2);
    let (_, made) = ask(json!({"contacts": {"kind": "CUSTOMER", "locale": "es"}})).await;
    work(&world).await;
    assert_eq!(
        program.state(id(&made)).await["queued"],
        1,
        "Ana's is es-MX"
    );
    let (status, answer) = ask(json!({"contacts": {"kind": "DRIVER"}})).await;
    assert_eq!(
        (status, answer["message"].as_str().unwrap()),
        (409, "recipients: the batch has none")
    );
    for (field, body) in [
        (
            "message.recipients",
            json!({"idempotency_key": "k", "message": {"trigger_event": "TRIP_BOARDING", "recipients": []}}),
        ),
        (
            "message.trigger_event",
            json!({"idempotency_key": "k", "message": {}}),
        ),
        (
            "recipients[0]",
            json!({"idempotency_key": "k", "message": news("SMS"), "recipients": [{}]}),
        ),
        (
            "audience.trips.departing_from",
            json!({"idempotency_key": "k", "message": news("SMS"), "audience": {"trips": {"departing_from": "x"}}}),
        ),
        (
            "audience.contacts.kind",
            json!({"idempotency_key": "k", "message": news("SMS"), "audience": {"contacts": {"kind": "CUSTOMERS"}}}),
        ),
    ] {
        let (status, answer) = program.asks("POST", "/api/batches", &body).await;
        assert_eq!(
            (status, &answer["extensions"]["field"]),
            (400, &json!(field)),
            "{answer}"
        );
    }
    // Another tenant's batches are not there.
    let foreign = program
        .asks(
            "GET",
            &format!("/api/batches/{}", Uuid::now_v7()),
            &Value::Null,
        )
        .await;
    assert_eq!(foreign.0, 404);
    sqlx::query("update communications.api_clients set tenant_id = $1")
        .bind(world.albion.tenant)
        .execute(&world.pool)
        .await
        .unwrap();
    for (method, path) in [
        ("GET", String::new()),
        ("POST", "/start".to_owned()),
        ("POST", "/cancel".to_owned()),
    ] {
        let (status, _) = program
            .asks(
                method,
                &format!("/api/batches/{}{path}", id(&made)),
                &Value::Null,
            )
            .await;
        assert_eq!(status, 404, "{path}");
    }
}

#[tokio::test]
async fn what_was_for_later_is_still_for_later_when_it_is_resumed() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let tomorrow = world
        .scalar::<String>("select to_char(now() at time zone 'UTC' + interval '20 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        .await;
    let mut message = news("SMS");
    message["send_at"] = json!(tomorrow);
    let batch = json!({"idempotency_key": "later", "message": message, "recipients": [person(1), person(2)], "start": true});
    let batch = id(&campaigns.gets("POST", "/api/batches", &batch).await);
    work(&world).await;
    campaigns.does(batch, "pause").await;
    campaigns.does(batch, "resume").await;
    let tomorrow = "select count(*) from communications.messages where due_at > now() + interval '19 hours' and due_at < 'infinity'";
    assert_eq!(world.scalar::<i64>(tomorrow).await, 2);
    let run: Uuid = world
        .scalar("select run_id from communications.batches")
        .await;
    let (status, _) = campaigns
        .asks(
            "POST",
            &format!("/api/notifications/{run}/cancel"),
            &Value::Null,
        )
        .await;
    assert_eq!(status, 409, "a batch is cancelled as a batch");
}

#[tokio::test]
async fn what_is_cancelled_does_not_stop_itself_afterwards() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let batch = campaigns.sms(3).await;
    work(&world).await;
    campaigns.does(batch, "cancel").await;
    let mut tx = world.database().begin().await.unwrap();
    let stopped = batches::stop(&mut tx, world.iberia.tenant, batch, "refused").await;
    assert!(!stopped.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(campaigns.state(batch).await["status"], "CANCELLED");
}

/// What would be everybody's `TEMPLATE_ERROR` is known before anybody is decided about.
#[tokio::test]
async fn a_text_that_lacks_what_all_share_is_refused_and_its_key_is_free() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let mut message = news("SMS");
    let vehicle = message["variables"]["trip"]
        .as_object_mut()
        .unwrap()
        .remove("vehicle");
    let batch = |start: bool, recipients: Value| json!({"idempotency_key": "1", "message": message, "recipients": recipients, "start": start});
    for start in [true, false] {
        let new = batch(start, json!([person(1), person(2)]));
        let (status, answer) = campaigns.asks("POST", "/api/batches", &new).await;
        assert_eq!(
            (status, &answer["extensions"]["field"]),
            (400, &json!("message.variables.trip.vehicle")),
            "{answer}"
        );
    }
    assert_eq!(world.count("batches").await, 0);
    // Nobody is there yet who could bring it: it is asked for when no more are coming.
    let open = id(&campaigns
        .gets("POST", "/api/batches", &batch(false, json!([])))
        .await);
    let path = format!("/api/batches/{open}/recipients");
    let add = async |after: i32, who: Value| {
        let more = json!({"after": after, "recipients": [who]});
        campaigns.gets("POST", &path, &more).await
    };
    add(0, person(1)).await;
    let (status, answer) = campaigns
        .asks("POST", &format!("/api/batches/{open}/start"), &Value::Null)
        .await;
    assert_eq!(
        (status, &answer["extensions"]["missing"]),
        (400, &json!(["trip.vehicle"])),
        "{answer}"
    );
    assert_eq!(campaigns.state(open).await["status"], "OPEN");
    let mut own = person(2);
    own["variables"] = json!({"trip": {"vehicle": vehicle}});
    add(1, own).await;
    campaigns.does(open, "start").await;
    work(&world).await;
    let outcomes: Vec<String> =
        sqlx::query_scalar("select outcome from communications.batch_outcomes order by position")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        outcomes,
        ["TEMPLATE_ERROR", "QUEUED"],
        "whoever lacks it alone is skipped"
    );
}

/// A batch is released for hours, and the night falls meanwhile; and a step that is made by night plans for the morning.
#[tokio::test]
async fn what_a_batch_has_not_sent_by_night_waits_for_the_morning() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    quiet::by_day(&world).await;
    let by_day = campaigns.sms(3).await;
    work(&world).await;
    let waits = "messages where status = 'QUEUED' and due_at > now() + interval '28 minutes' and due_at < 'infinity'";
    assert_eq!(world.count(waits).await, 0);
    quiet::night_falls(&world).await;
    campaigns.does(by_day, "pause").await;
    campaigns.does(by_day, "resume").await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.count(waits).await, 3);
    world
        .execute(
            "update communications.notification_rules r set quiet_hours = m.quiet_hours - 'zone' from communications.messages m
              where r.trigger_event = 'TRIP_BOARDING'",
        )
        .await;
    world.execute("delete from communications.messages").await;
    campaigns.sms(2).await;
    work(&world).await;
    assert_eq!(world.count(waits).await, 2, "planned for the morning");
}

/// A send that fails after the pause: neither it nor what it falls back to leaves before somebody resumes.
#[tokio::test]
async fn what_comes_back_unsent_rests_with_its_batch() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let mut message = news("WHATSAPP");
    message["channels"] = json!(["WHATSAPP", "SMS"]);
    let batch = json!({"idempotency_key": "1", "message": message, "recipients": [person(1), person(2)], "start": true});
    let batch = id(&campaigns.gets("POST", "/api/batches", &batch).await);
    work(&world).await;
    for (who, code) in [(1, 131_016), (2, 131_026)] {
        world.simulator.script(Script {
            recipient: person(who)["phone"].as_str().map(str::to_owned),
            delay_ms: 500,
            ..crate::planted::fails(code)
        });
    }
    let paused = async {
        world.simulator.wait_for_calls(2).await;
        campaigns.does(batch, "pause").await;
    };
    futures_util::join!(world.step_dispatch(), paused);
    assert_eq!(world.outbound().await, ["QUEUED", "FAILED", "QUEUED"]);
    assert_eq!(
        world
            .count("messages where status = 'QUEUED' and due_at = 'infinity' and held_due_at is not null")
            .await,
        2,
        "the second try, and the next channel"
    );
    world.time_passes(5).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.hints_are_followed().await;
    assert_eq!(world.outbound().await, ["QUEUED", "FAILED", "QUEUED"]);
    campaigns.does(batch, "resume").await;
    world.time_passes(5).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await[..2], ["SENT", "FAILED"]);
    assert_eq!(
        world
            .count("messages where fallback_of is not null and due_at < 'infinity' and held_due_at is null")
            .await,
        1,
        "and the next channel has its turn"
    );
}

#[tokio::test]
async fn what_became_of_everybody_is_read_page_by_page() {
    let world = World::new().await;
    let campaigns = Campaigns::sending(&world).await;
    let stranger = Uuid::now_v7();
    let recipients = json!([person(1), person(1), {"contact_id": stranger}, person(2)]);
    let batch = json!({"idempotency_key": "1", "message": news("WHATSAPP"), "recipients": recipients, "start": true});
    let batch = id(&campaigns.gets("POST", "/api/batches", &batch).await);
    let path = format!("/api/batches/{batch}/recipients");
    let page = async |query: &str| {
        campaigns
            .asks("GET", &format!("{path}{query}"), &Value::Null)
            .await
    };
    let (_, undecided) = page("").await;
    assert_eq!(
        undecided["recipients"][3],
        json!({"recipient": 3, "position": 3}),
        "no outcome yet, and no address"
    );
    work(&world).await;
    world.step_dispatch().await;
    let (mut seen, mut after) = (Vec::new(), json!(0));
    while !after.is_null() {
        let (status, answer) = page(&format!("?after={after}&limit=3")).await;
        assert_eq!(status, 200, "{answer}");
        seen.extend(answer["recipients"].as_array().unwrap().clone());
        after = answer["next"].clone();
    }
    let said: Vec<(&Value, &Value)> = seen
        .iter()
        .map(|one| (&one["outcome"], &one["message_status"]))
        .collect();
    assert_eq!(
        said,
        [
            (&json!("QUEUED"), &json!("SENT")),
            (&json!("DUPLICATE"), &Value::Null),
            (&json!("UNKNOWN"), &Value::Null),
            (&json!("QUEUED"), &json!("SENT"))
        ]
    );
    assert_eq!(
        (&seen[2]["contact_id"], &seen[3]["channel"]),
        (&json!(stranger), &json!("WHATSAPP"))
    );
    assert_eq!(page("?after=9").await.1["recipients"], json!([]));
    for (query, field) in [
        ("?after=-1", "after"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
    ] {
        let (status, answer) = page(query).await;
        assert_eq!(
            (status, &answer["extensions"]["field"]),
            (400, &json!(field))
        );
    }
    sqlx::query("update communications.api_clients set tenant_id = $1")
        .bind(world.albion.tenant)
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(page("").await.0, 404, "another tenant's is not there");
}
