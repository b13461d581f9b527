//! `NotificationRequest` by HTTP: for programs with a token, once, with every mistake named.

use crate::parted::commits_when_awaited;
use crate::program::Program;
use crate::triggers::host::Host;
use comms_core::contacts::merge;
use comms_core::model::ContactId;
use comms_simulator::{Script, StatusReport};
use comms_tests::calls;
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

pub fn outcomes(answer: &Value) -> Vec<&str> {
    let recipients = answer["recipients"].as_array().unwrap();
    recipients
        .iter()
        .map(|recipient| recipient["outcome"].as_str().unwrap())
        .collect()
}

pub fn boarding(host: &Host<'_>, key: &str) -> Value {
    json!({"idempotency_key": key, "trigger_event": "TRIP_BOARDING", "context": {"trip_id": host.trip}})
}

#[tokio::test]
async fn a_request_is_taken_in_once_and_answered_the_same() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let request = boarding(&host, "gate-7");
    let answers = join_all((0..10).map(|_| program.gets(&request))).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(outcomes(&answers[0]), ["QUEUED", "QUEUED"]);
    assert_eq!(
        (
            world.count("messages").await,
            world.count("trigger_runs").await
        ),
        (2, 1)
    );
    assert_eq!(world.take_hints().await.len(), 2);
    let mut other = request.clone();
    other["variables"] = json!({"trip": {"vehicle": "bus 9"}});
    let (status, answer) = program.asks(&other).await;
    assert_eq!(
        (status, &answer["extensions"]["field"]),
        (409, &json!("idempotency_key"))
    );
    // Another program's keys are its own.
    let second = Program::all(&world).await;
    assert_eq!(outcomes(&second.gets(&other).await), ["QUEUED", "QUEUED"]);
    let said = host.said().await;
    assert!(
        said.iter()
            .any(|(.., text)| text.contains("Vehículo: bus 9")),
        "{said:?}"
    );
}

/// Whom the passengers of the trip are to us, once each has been written to.
async fn written_to(world: &World, host: &Host<'_>, program: &Program<'_>) -> Vec<ContactId> {
    program.gets(&boarding(host, "0")).await;
    sqlx::query_scalar("select contact_id from communications.messages order by id")
        .fetch_all(&world.pool)
        .await
        .unwrap()
}

async fn last_written_to(world: &World) -> ContactId {
    world
        .scalar("select contact_id from communications.messages order by id desc limit 1")
        .await
}

#[tokio::test]
async fn whoever_was_merged_is_written_to_as_who_they_are_now() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let ids = written_to(&world, &host, &program).await;
    let tenant = world.iberia.tenant;
    let mut tx = world.database().begin().await.unwrap();
    merge(&mut tx, tenant, ids[0], ids[1], world.iberia.agent)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut again = boarding(&host, "1");
    again["recipients"] = json!([{"contact_id": ids[1]}, {"contact_id": ids[0]}]);
    let answer = program.gets(&again).await;
    assert_eq!(outcomes(&answer), ["QUEUED", "DUPLICATE"]);
    assert_eq!(last_written_to(&world).await, ids[0]);
}

/// Somebody is asked for by the id of a contact that is being merged.
#[tokio::test]
async fn whoever_is_merged_meanwhile_is_written_to_as_who_they_are_then() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let ids = written_to(&world, &host, &program).await;
    let mut merging = world.database().begin().await.unwrap();
    merge(
        &mut merging,
        world.iberia.tenant,
        ids[0],
        ids[1],
        world.iberia.agent,
    )
    .await
    .unwrap();
    let mut again = boarding(&host, "1");
    again["recipients"] = json!([{"contact_id": ids[1]}]);
    let (answer, ()) =
        futures_util::join!(program.gets(&again), commits_when_awaited(&world, merging));
    assert_eq!(outcomes(&answer), ["QUEUED"]);
    assert_eq!(last_written_to(&world).await, ids[0]);
}

#[tokio::test]
async fn people_are_named_by_ids_or_by_addresses() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let contact = {
        program
            .gets(
                &json!({"idempotency_key": "0", "trigger_event": "PAYMENT_DUE", "channels": ["SMS"],
            "recipients": [{"phone": "+34600999000", "name": "Eva Sol", "locale": "es"}]}),
            )
            .await;
        world
            .scalar::<Uuid>("select id from communications.contacts where display_name = 'Eva Sol'")
            .await
    };
    let answer = program
        .gets(&json!({
            "idempotency_key": "1", "trigger_event": "TRIP_BOARDING", "context": {"trip_id": host.trip},
            "recipients": [
                {"passenger_profile_id": host.tom, "locale": "es"},
                {"driver_id": host.rosa},
                {"contact_id": contact},
                {"phone": "+34 600 123 123", "email": "Neu@Example.org", "variables": {"trip": {"vehicle": "tu bus"}}},
                {"phone": "+34600123123"}
            ],
            "locale": "en"
        }))
        .await;
    assert_eq!(
        outcomes(&answer),
        ["QUEUED", "QUEUED", "QUEUED", "QUEUED", "DUPLICATE"]
    );
    let recipients = answer["recipients"].as_array().unwrap();
    assert_eq!(recipients[0]["passenger_profile_id"], json!(host.tom));
    assert_eq!(
        (&recipients[2]["contact_id"], &recipients[3]["recipient"]),
        (&json!(contact), &json!(3))
    );
    let bodies: Vec<String> = sqlx::query_scalar(
        "select body from communications.messages where run_id = $1 order by id",
    )
    .bind(answer["run_id"].as_str().unwrap().parse::<Uuid>().unwrap())
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(
        bodies[0].starts_with("Hola Tom"),
        "the recipient's own word: {}",
        bodies[0]
    );
    assert!(
        bodies[1].starts_with("Hi Rosa"),
        "the request's: {}",
        bodies[1]
    );
    assert!(bodies[2].starts_with("Hi Eva"), "{}", bodies[2]);
    assert!(
        bodies[3].starts_with("Hi –, trip MAD-VLC-0815 to Valencia")
            && bodies[3].contains("tu bus"),
        "a variable of theirs goes over all: {}",
        bodies[3]
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_is_wrong_is_named_and_nothing_is_stored() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let tom = host.tom;
    let listed = |recipient: Value| json!({"recipients": [recipient]});
    let with = |more: Value| {
        let mut request = boarding(&host, "k");
        for (name, value) in more.as_object().unwrap() {
            request[name] = value.clone();
        }
        request
    };
    let cases = [
        ("idempotency_key", with(json!({"idempotency_key": ""}))),
        ("idempotency_key", with(json!({"idempotency_key": "ñ"}))),
        (
            "trigger_event",
            with(json!({"trigger_event": "trip delayed"})),
        ),
        ("channels", with(json!({"channels": []}))),
        ("channels", with(json!({"channels": ["SMS", "SMS"]}))),
        ("channels", with(json!({"channels": ["WEBCHAT"]}))),
        ("channels[0]", with(json!({"channels": ["FAX"]}))),
        ("category", with(json!({"category": "SPAM"}))),
        ("category", with(json!({"category": "SERVICE"}))),
        ("audience", with(json!({"audience": "EVERYBODY"}))),
        (
            "recipients",
            with(json!({"audience": "DRIVER", "recipients": []})),
        ),
        ("recipients", with(json!({"recipients": []}))),
        ("recipients[0]", with(listed(json!({})))),
        (
            "recipients[0]",
            with(listed(json!({"driver_id": tom, "phone": "+34600111222"}))),
        ),
        (
            "recipients[0].phone",
            with(listed(json!({"phone": "600111222"}))),
        ),
        ("recipients[0].email", with(listed(json!({"email": "ana"})))),
        (
            "recipients[0].locale",
            with(listed(
                json!({"phone": "+34600111222", "locale": "spanish"}),
            )),
        ),
        (
            "recipients[0].passenger_profile_id",
            with(listed(json!({"passenger_profile_id": Uuid::now_v7()}))),
        ),
        (
            "recipients[0].passenger_profile_id",
            with(listed(json!({"passenger_profile_id": "x"}))),
        ),
        ("recipients[0].fax", with(listed(json!({"fax": "1"})))),
        ("locale", with(json!({"locale": "12"}))),
        ("send_at", with(json!({"send_at": "tomorrow"}))),
        ("send_at", with(json!({"send_at": "2999-01-01T00:00:00Z"}))),
        (
            "expires_at",
            with(json!({"expires_at": "2020-01-01T00:00:00Z"})),
        ),
        (
            "context.trip_id",
            with(json!({"context": {"trip_id": Uuid::now_v7()}})),
        ),
        ("context.bus_id", with(json!({"context": {"bus_id": 1}}))),
        (
            "variables",
            with(json!({"variables": {"x": "y".repeat(40_000)}})),
        ),
        (
            "recipients",
            json!({"idempotency_key": "k", "trigger_event": "MY_OWN"}),
        ),
    ];
    for (field, request) in cases {
        let (status, answer) = program.asks(&request).await;
        assert!((400..410).contains(&status), "{field}: {answer}");
        assert_eq!(answer["extensions"]["field"], field, "{answer}");
    }
    for body in ["", "{", "[]", "\u{0}", "{\"idempotency_key\": \"\\u0000\"}"] {
        let (status, answer) = program.posts("POST", "/api/notifications", body).await;
        assert_eq!(
            (status, &answer["extensions"]["code"]),
            (400, &json!("validation-failed")),
            "{body}"
        );
    }
    for (method, path) in [
        ("GET", "/api/notifications"),
        ("POST", "/api/notifications/x/cancel"),
        ("GET", "/api/notifications/x"),
        ("POST", "/api/other"),
    ] {
        assert_eq!(
            program.posts(method, path, "").await.0,
            404,
            "{method} {path}"
        );
    }
    let stored = (
        world.count("trigger_runs").await,
        world.count("messages").await,
        world.count("contacts").await,
    );
    assert_eq!(stored, (0, 0, 0));
}

#[tokio::test]
async fn a_run_says_where_its_messages_are_and_can_be_taken_back() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let mut request = boarding(&host, "1");
    request["send_at"] = json!("2026-01-01T00:00:00Z");
    let run = program.gets(&request).await["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/notifications/{run}");
    let state = program.calls("GET", &path, &Value::Null).await.1;
    assert_eq!(
        state["totals"],
        json!({"QUEUED": 2}),
        "a time that is over is now"
    );
    // Ana's leaves; then the run is taken back.
    let first = &world.queued().await[..1];
    dispatch_worker::handle(&world.worker, calls::batch(first)).await;
    let cancel = format!("{path}/cancel");
    let cancelled = program.calls("POST", &cancel, &Value::Null).await.1;
    assert_eq!(
        (&cancelled["cancelled"], &cancelled["too_late"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        program.calls("POST", &cancel, &Value::Null).await.1,
        cancelled
    );
    assert_eq!(
        world.count("message_fallbacks").await,
        0,
        "and no other way is tried"
    );
    let state = program.calls("GET", &path, &Value::Null).await.1;
    assert_eq!(state["totals"], json!({"CANCELLED": 1, "SENT": 1}));
    assert!(state["cancelled_at"].is_string());
    let statuses: Vec<&str> = state["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|who| who["message_status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["SENT", "CANCELLED"]);
    world.step_dispatch().await;
    assert_eq!(world.simulator.calls().len(), 1);
    // What was in doubt when the run was cancelled does not go out by whoever resolves the doubt.
    let in_doubt = sqlx::raw_sql(
        "begin;
         set local session_replication_role = replica;
         update communications.messages set status = 'UNCERTAIN' where status = 'SENT';
         set local session_replication_role = origin;
         update communications.messages set status = 'QUEUED' where status = 'UNCERTAIN';
         commit",
    );
    in_doubt.execute(&world.pool).await.unwrap();
    assert_eq!(world.outbound().await, ["CANCELLED"; 2]);
}

/// A run of many is cancelled in one transaction: what had left is reported meanwhile.
#[tokio::test]
async fn reports_do_not_wait_for_the_cancelling_of_a_run() {
    let world = World::new().await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    let first = &world.queued().await[..1];
    dispatch_worker::handle(&world.worker, calls::batch(first)).await;
    let sent: String = world
        .scalar("select external_message_id from communications.messages where status = 'SENT'")
        .await;
    let mut cancelling = world.pool.begin().await.unwrap();
    sqlx::query("select communications.cancel_run(tenant_id, id) from communications.trigger_runs")
        .execute(&mut *cancelling)
        .await
        .unwrap();
    let report = StatusReport::new(&sent, "delivered", "34600111222");
    let number = world.iberia.number();
    let webhook = world.simulator.builder().status(&number, &report).build();
    let answer = world.meta_posts(world.iberia.tenant, &webhook).await;
    assert_eq!(answer.status(), 200);
    cancelling.commit().await.unwrap();
    assert_eq!(
        world
            .count("messages where status not in ('DELIVERED', 'CANCELLED')")
            .await,
        0
    );
    assert_eq!(world.count("messages where status = 'DELIVERED'").await, 1);
}

#[tokio::test]
async fn later_is_later_and_a_code_is_at_once() {
    let world = World::new().await;
    Host::of(&world).await;
    let program = Program::all(&world).await;
    let recipient = json!([{"phone": "+34600999000"}]);
    world
        .execute(
            "insert into communications.notification_templates (tenant_id, id, trigger_event, channel, locale, version, status, body)
             values ('0192f000-0000-7000-8000-00000000000a', communications.uuid_v7(), 'SIGN_IN', 'SMS', 'en', 1, 'PUBLISHED', 'Your code is {{ code }}')",
        )
        .await;
    let request = json!({"idempotency_key": "1", "trigger_event": "SIGN_IN", "channels": ["SMS"], "category": "OTP",
                         "recipients": recipient, "variables": {"code": "081523"}});
    let answer = program.gets(&request).await;
    assert_eq!(outcomes(&answer), ["QUEUED"], "{answer}");
    let row: (String, String, bool) = sqlx::query_as(
        "select body, lane, expires_at < now() + interval '11 minutes' from communications.messages",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        row,
        (
            "Your code is 081523".to_owned(),
            "INTERACTIVE".to_owned(),
            true
        )
    );
    let at: String = world
        .scalar("select to_char((now() + interval '5 hours') at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SSZ')")
        .await;
    let request = json!({"idempotency_key": "2", "trigger_event": "SIGN_IN", "channels": ["SMS"], "recipients": recipient,
                         "variables": {"code": "1"}, "send_at": at});
    world.take_hints().await;
    program.gets(&request).await;
    assert!(world.take_hints().await.is_empty());
    assert!(
        world
            .scalar::<bool>("select due_at > now() + interval '4 hours' from communications.messages order by id desc limit 1")
            .await
    );
}

#[tokio::test]
async fn a_preview_shows_every_language_and_names_what_is_missing() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let ask = async |body: Value| {
        program
            .calls("POST", "/api/notifications/preview", &body)
            .await
    };
    let (_, shown) =
        ask(json!({"trigger_event": "TRIP_BOARDING", "context": {"trip_id": host.trip}})).await;
    let previews = shown["previews"].as_array().unwrap();
    let names: Vec<String> = previews
        .iter()
        .map(|preview| {
            format!(
                "{} {}",
                preview["channel"].as_str().unwrap(),
                preview["locale"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        names,
        [
            "WHATSAPP en",
            "WHATSAPP es",
            "EMAIL en",
            "EMAIL es",
            "SMS en",
            "SMS es"
        ]
    );
    for preview in previews {
        assert!(
            preview["error"].is_null() && preview["missing_variables"] == json!([]),
            "{preview}"
        );
        assert!(
            preview["body"].as_str().unwrap().contains("1234 ABC"),
            "{preview}"
        );
    }
    assert_eq!(
        previews[5]["sms"]["parts"], 2,
        "í is no letter of GSM's: {}",
        previews[5]
    );
    let (_, shown) = ask(json!({"trigger_event": "TRIP_BOARDING", "channels": ["SMS"], "locales": ["en"], "variables": {"trip": {"origin": "Madrid"}}})).await;
    let preview = &shown["previews"][0];
    assert_eq!(
        preview["missing_variables"],
        json!(["trip.code", "trip.destination", "trip.vehicle"])
    );
    assert_eq!(preview["error"], "body: undefined value");
    assert_eq!(ask(json!({"trigger_event": "NOBODYS"})).await.0, 400);
    assert_eq!(
        (
            world.count("trigger_runs").await,
            world.count("contacts").await
        ),
        (0, 0)
    );
}

/// What the caller forgot is said at once, and the key is still theirs.
#[tokio::test]
async fn a_variable_that_nobody_gives_is_a_refusal_and_one_that_somebody_lacks_is_theirs() {
    let world = World::new().await;
    Host::of(&world).await;
    let program = Program::all(&world).await;
    let words = json!({"trip": {"code": "1", "origin": "Madrid", "destination": "Valencia", "vehicle": "bus 9"}});
    let mut request = json!({"idempotency_key": "1", "trigger_event": "TRIP_BOARDING", "channels": ["SMS"],
        "variables": {"trip": {"code": "1", "origin": "Madrid"}},
        "recipients": [{"phone": "+34600111222", "locale": "es"}, {"phone": "+34600999000", "locale": "en"}]});
    let (status, answer) = program.asks(&request).await;
    assert_eq!(
        (status, &answer["extensions"]["field"]),
        (400, &json!("variables.trip.destination")),
        "{answer}"
    );
    assert_eq!(
        answer["extensions"]["missing"],
        json!(["trip.destination", "trip.vehicle"])
    );
    let stored = (
        world.count("trigger_runs").await,
        world.count("messages").await,
        world.count("contacts").await,
    );
    assert_eq!(stored, (0, 0, 0));
    request["variables"] = words.clone();
    assert_eq!(
        outcomes(&program.gets(&request).await),
        ["QUEUED", "QUEUED"],
        "mended, under the same key"
    );
    // One of them has it.
    request["idempotency_key"] = json!("2");
    request["variables"] = json!({});
    request["recipients"][1]["variables"] = words.clone();
    let answer = program.gets(&request).await;
    assert_eq!(outcomes(&answer), ["TEMPLATE_ERROR", "QUEUED"]);
    assert_eq!(answer["recipients"][0]["reason"], "body: undefined value");
    // A fallback alone lacks something: the way without it is taken.
    world
        .execute(
            "insert into communications.notification_templates (tenant_id, id, trigger_event, channel, locale, version, status, subject, body)
             values ('0192f000-0000-7000-8000-00000000000a', communications.uuid_v7(), 'TRIP_BOARDING', 'EMAIL', 'en', 1, 'PUBLISHED', 'Gate', 'Gate {{ gate }}')",
        )
        .await;
    let request = json!({"idempotency_key": "3", "trigger_event": "TRIP_BOARDING", "channels": ["SMS", "EMAIL"], "variables": words,
                         "recipients": [{"phone": "+34600999000", "email": "eva@example.org", "locale": "en"}]});
    let answer = program.gets(&request).await;
    assert_eq!(outcomes(&answer), ["QUEUED"]);
    assert_eq!(
        answer["recipients"][0]["skipped"][0]["reason"],
        "TEMPLATE_ERROR"
    );
}

/// It was being sent when its run was taken back, and its provider did not take it, or nobody knows: that was the last try.
#[tokio::test]
async fn what_comes_back_unsent_of_a_cancelled_run_is_not_tried_again() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let run = program.gets(&boarding(&host, "1")).await["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let cancel = format!("/api/notifications/{run}/cancel");
    for (who, script) in [
        ("+34600111222", crate::planted::fails(131_016)),
        ("+447700900123", crate::planted::doubt()),
    ] {
        world.simulator.script(Script {
            recipient: Some(who.to_owned()),
            delay_ms: 500,
            ..script
        });
    }
    let taken_back = async {
        world.simulator.wait_for_calls(2).await;
        program.calls("POST", &cancel, &Value::Null).await.1
    };
    let ((), answer) = futures_util::join!(world.step_dispatch(), taken_back);
    assert_eq!(
        (&answer["cancelled"], &answer["too_late"]),
        (&json!(0), &json!(2)),
        "as far as could be said"
    );
    assert_eq!(world.outbound().await, ["CANCELLED", "UNCERTAIN"]);
    world.time_passes(5).await;
    stuck_scan::handle(&world.scan).await.unwrap();
    world.hints_are_followed().await;
    assert_eq!(world.outbound().await, ["CANCELLED", "CANCELLED"]);
    assert_eq!(world.simulator.calls().len(), 2, "nothing is tried again");
    let evidence: Vec<(String, String)> = sqlx::query_as(
        "select m.failed_code, a.class from communications.messages m
           join communications.message_attempts a on a.tenant_id = m.tenant_id and a.message_id = m.id order by m.id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let kept = |class: &str| ("cancelled".to_owned(), class.to_owned());
    assert_eq!(evidence, [kept("RETRYABLE"), kept("AMBIGUOUS")]);
    let (_, answer) = program.calls("POST", &cancel, &Value::Null).await;
    assert_eq!(
        (&answer["cancelled"], &answer["too_late"]),
        (&json!(2), &json!(0))
    );
}

#[tokio::test]
async fn what_a_request_makes_an_advertisement_of_stands_before_no_notice() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    program.gets(&boarding(&host, "1")).await;
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select tenant_id, communications.uuid_v7(), id, 'WHATSAPP', 'MARKETING', true, 'test', 'agent' from communications.contacts",
        )
        .await;
    let mut request = boarding(&host, "2");
    request["category"] = json!("MARKETING");
    request["channels"] = json!(["WHATSAPP"]);
    assert_eq!(
        outcomes(&program.gets(&request).await),
        ["QUEUED", "QUEUED"]
    );
    let lanes: Vec<String> = sqlx::query_scalar(
        "select distinct category || ' ' || lane from communications.messages order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(lanes, ["MARKETING BULK", "TRANSACTIONAL TRANSACTIONAL"]);
}
