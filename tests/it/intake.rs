//! A domain event becomes message rows: once, for the right people, in their language.

use comms_core::contacts::{Alias, AliasKind, Sighting, resolve};
use comms_core::model::{ContactId, TenantId};
use comms_tests::seed::{Operator, Traveller, Trip, opt_out};
use comms_tests::world::World;
use futures_util::future::join_all;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

pub const ANA: &str = "+34600111222";

pub async fn trip(world: &World, operator: &Operator) -> Trip {
    let travellers = vec![
        Traveller::new("Ana García", Some(ANA), Some("es-MX")),
        Traveller::new("Tom Baker", Some("+44 7700 900123"), Some("en")),
    ];
    operator
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap()
}

pub fn outcomes(answer: &Value) -> Vec<&str> {
    answer["run"]["recipients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|recipient| recipient["outcome"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn everybody_on_board_is_written_to_in_their_language() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    let answer = world.trip_is_delayed(&trip).await;
    assert_eq!(outcomes(&answer), ["QUEUED", "QUEUED"]);
    let rows: Vec<(String, String, Value, String)> = sqlx::query_as(
        "select address, body, content, status from communications.messages order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let (address, body, content, status) = &rows[0];
    assert_eq!((address.as_str(), status.as_str()), (ANA, "QUEUED"));
    assert!(
        body.starts_with(
            "Hola Ana: tu viaje MAD-VLC-0815 de Madrid a Valencia va con retraso. Nueva salida: "
        ),
        "{body}"
    );
    assert_eq!(content["language"], "es");
    assert_eq!(rows[1].0, "+447700900123");
    assert_eq!(rows[1].2["language"], "en");
}

#[tokio::test]
async fn the_same_event_twice_and_twenty_times_at_once_is_one_run() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    let change = trip.delay(&world.pool, 30).await.unwrap();
    let id = Uuid::now_v7();
    let responses = join_all((0..20).map(|_| world.hasura_reports(id, &change))).await;
    let again = world.hasura_reports(id, &change).await;
    for response in &responses {
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), again.body());
    }
    assert_eq!(
        (
            world.count("trigger_runs").await,
            world.count("messages").await,
            world.count("contacts").await
        ),
        (1, 2, 2)
    );
}

#[tokio::test]
async fn one_event_id_for_two_events_is_refused_and_kept() {
    let world = World::new().await;
    let (one, two) = (
        trip(&world, &world.iberia).await,
        trip(&world, &world.iberia).await,
    );
    let id = Uuid::now_v7();
    assert_eq!(
        world
            .hasura_reports(id, &one.delay(&world.pool, 30).await.unwrap())
            .await
            .status(),
        200
    );
    let response = world
        .hasura_reports(id, &two.delay(&world.pool, 30).await.unwrap())
        .await;
    assert!(
        response.body().contains("quarantined"),
        "{}",
        response.body()
    );
    assert_eq!(
        (
            world.count("trigger_runs").await,
            world.count("quarantine").await
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn an_event_that_the_trip_has_overtaken_is_stale() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    let change = trip.delay(&world.pool, 30).await.unwrap();
    world
        .execute("update operations.trips set status = 'BOARDING'")
        .await;
    let response = world.hasura_reports(Uuid::now_v7(), &change).await;
    assert!(response.body().contains("STALE"), "{}", response.body());
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn what_keeps_somebody_from_being_written_to_is_answered() {
    let world = World::new().await;
    let travellers = vec![
        Traveller::new("Ana García", Some(ANA), Some("es")),
        Traveller::new("Luis García", Some(ANA), Some("es")),
        Traveller::new("Eva Ruiz", None, None),
        Traveller::new("Bad Number", Some("600 111"), None),
        Traveller::new("Opted Out", Some("+34600999888"), None),
    ];
    let trip = world
        .iberia
        .schedule(&world.pool, "T", travellers)
        .await
        .unwrap();
    let silent = contact_by_phone(&world, world.iberia.tenant, "+34600999888").await;
    opt_out(&world.pool, world.iberia.tenant, silent)
        .await
        .unwrap();
    let answer = world.trip_is_delayed(&trip).await;
    assert_eq!(
        outcomes(&answer),
        [
            "QUEUED",
            "DUPLICATE",
            "NO_ADDRESS",
            "NO_ADDRESS",
            "SUPPRESSED"
        ]
    );
    assert_eq!(world.outbound().await, ["QUEUED", "SUPPRESSED"]);
    assert_eq!(world.queued().await.len(), 1);
}

pub async fn contact_by_phone(world: &World, tenant: TenantId, phone: &str) -> ContactId {
    let mut tx = world.database().begin().await.unwrap();
    let sighting = Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, phone)],
        ..Sighting::new(tenant)
    };
    let contact = resolve(&mut tx, &[sighting]).await.unwrap()[0];
    tx.commit().await.unwrap();
    contact
}

#[tokio::test]
async fn no_template_no_account_and_a_broken_template_are_told_apart() {
    let world = World::new().await;
    let trip_a = trip(&world, &world.iberia).await;
    world.execute("update communications.notification_templates set body = '{{ nobody.knows }}' where locale = 'es'").await;
    world.execute("update communications.notification_templates set status = 'RETIRED' where locale = 'en'").await;
    let answer = world.trip_is_delayed(&trip_a).await;
    assert_eq!(outcomes(&answer), ["TEMPLATE_ERROR", "NO_TEMPLATE"]);
    assert_eq!(
        answer["run"]["recipients"][0]["reason"],
        "body: undefined value"
    );

    world
        .execute("update communications.channel_accounts set status = 'SUSPENDED'")
        .await;
    let answer = world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(
        outcomes(&answer),
        ["NO_ACTIVE_ACCOUNT", "NO_ACTIVE_ACCOUNT"]
    );
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn a_tenants_own_rule_and_template_win() {
    let world = World::new().await;
    world
        .execute(
            "insert into communications.notification_templates
                 (tenant_id, id, trigger_event, channel, locale, version, status, body, whatsapp_template)
             values ('0192f000-0000-7000-8000-00000000000a', gen_random_uuid(), 'TRIP_DELAYED', 'WHATSAPP', 'es', 1, 'PUBLISHED',
                     'Ojo, {{ passenger.first_name }}', '{\"name\": \"own\", \"language\": \"es\", \"body\": []}')",
        )
        .await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(
        world
            .scalar::<i64>("select count(*) from communications.messages where body = 'Ojo, Ana'")
            .await,
        1
    );

    world
        .execute(
            "insert into communications.notification_rules (tenant_id, id, trigger_event, audience, steps, category, lane, enabled)
             values ('0192f000-0000-7000-8000-00000000000b', gen_random_uuid(), 'TRIP_DELAYED', 'TRIP_PASSENGERS', '[]',
                     'TRANSACTIONAL', 'TRANSACTIONAL', false)",
        )
        .await;
    let answer = world
        .trip_is_delayed(&trip(&world, &world.albion).await)
        .await;
    assert_eq!(answer["run"]["status"], "IGNORED");
}

#[tokio::test]
async fn the_tenants_stay_apart_even_with_the_same_passenger() {
    let world = World::new().await;
    world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    world
        .trip_is_delayed(&trip(&world, &world.albion).await)
        .await;
    let contacts: i64 = world.scalar("select count(*) from communications.contact_identities where kind = 'phone' and value = '+34600111222'").await;
    assert_eq!(
        (
            contacts,
            world.count("contacts").await,
            world.count("messages").await
        ),
        (2, 4, 4)
    );
}

#[tokio::test]
async fn an_event_naming_another_tenants_trip_finds_no_trip() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    let (old, mut new) = trip.delay(&world.pool, 30).await.unwrap();
    new["tenant_id"] = serde_json::json!(world.albion.tenant);
    let response = world.hasura_reports(Uuid::now_v7(), &(old, new)).await;
    assert!(response.body().contains("STALE"), "{}", response.body());
    assert_eq!(world.count("messages").await, 0);
}

#[tokio::test]
async fn a_gap_in_the_hosts_data_keeps_the_news_from_nobody() {
    let world = World::new().await;
    let travellers = vec![Traveller::new("  ", Some(ANA), Some("en"))];
    let trip = world
        .iberia
        .schedule(&world.pool, "T", travellers)
        .await
        .unwrap();
    world
        .execute("update operations.trips set origin = ''")
        .await;
    world.trip_is_delayed(&trip).await;
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["SENT"]);
    let body: String = world
        .scalar("select body from communications.messages")
        .await;
    assert!(
        body.starts_with("Hi –, your trip T from – to Valencia is delayed"),
        "{body}"
    );
}

#[tokio::test]
async fn a_rule_that_does_not_read_is_refused_by_name() {
    let world = World::new().await;
    let set = |steps: &str| {
        format!(
            "update communications.notification_rules set steps = '{steps}' where trigger_event = 'TRIP_DELAYED'"
        )
    };
    for steps in [
        r#"["EMAIL"]"#,
        r"[{}]",
        r#"[{"channel": "FAX"}]"#,
        r#"[{"channel": "EMAIL", "after": 5}]"#,
        r#"[{"channel": "WHATSAPP"}, {"channel": "EMAIL", "not_read_within_seconds": 0}]"#,
        r#"[{"channel": "SMS"}, {"channel": "EMAIL", "not_read_within_seconds": 259201}]"#,
        r#"[{"channel": "SMS"}, {"channel": "EMAIL", "not_delivered_within_seconds": 1.5}]"#,
        r#"[{"channel": "SMS"}, {"channel": "EMAIL", "not_delivered_within_seconds": "60"}]"#,
        r#"[{"channel": "EMAIL", "not_delivered_within_seconds": 60}]"#,
    ] {
        let refused = sqlx::query(AssertSqlSafe(set(steps)))
            .execute(&world.pool)
            .await
            .unwrap_err();
        assert!(
            refused.to_string().contains("notification_rules_steps"),
            "{steps}: {refused}"
        );
    }
    for steps in [
        r"[]",
        r#"[{"channel": "SMS", "not_read_within_seconds": null}, {"channel": "EMAIL", "not_delivered_within_seconds": 259200}]"#,
    ] {
        sqlx::query(AssertSqlSafe(set(steps)))
            .execute(&world.pool)
            .await
            .unwrap();
    }

    // As a rule that is older than the check.
    world
        .execute("alter table communications.notification_rules drop constraint notification_rules_steps")
        .await;
    let old = r#"[{"channel": "WHATSAPP"}, {"channel": "EMAIL", "after": 5}]"#;
    sqlx::query(AssertSqlSafe(set(old)))
        .execute(&world.pool)
        .await
        .unwrap();
    let answer = world
        .trip_is_delayed(&trip(&world, &world.iberia).await)
        .await;
    assert_eq!(answer["outcome"], "quarantined");
    assert_eq!(
        answer["reason"],
        "notification rule 018f0000-0000-7000-8000-000000000001, step 2: unknown member \"after\""
    );
}

#[tokio::test]
async fn an_answer_from_before_there_were_chains_still_reads() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    let change = trip.delay(&world.pool, 30).await.unwrap();
    let id = Uuid::now_v7();
    world.hasura_reports(id, &change).await;
    world
        .execute(
            "update communications.trigger_runs set answer = answer #- '{recipients,0,skipped}' #- '{recipients,1,skipped}'",
        )
        .await;
    let again = world.hasura_reports(id, &change).await;
    assert_eq!(again.status(), 200, "{}", again.body());
    assert!(!again.body().contains("skipped"), "{}", again.body());
}
