//! Who may come in: Hasura by its secret, Meta by its handshake.

use comms_tests::calls;
use comms_tests::world::{VERIFY_TOKEN, World};
use http::Response;
use serde_json::json;

async fn handshake(world: &World, tenant: &str, mode: &str, token: &str) -> Response<String> {
    let query = [
        ("hub.mode", mode),
        ("hub.verify_token", token),
        ("hub.challenge", "11<b>58201444"),
    ];
    let request = calls::http(
        "GET",
        &format!("/api/webhooks/meta/{tenant}"),
        &json!({"tenant_id": tenant}),
        &query,
        &json!({}),
        "",
    );
    meta_webhook::handle(&world.webhook, request).await
}

#[tokio::test]
async fn meta_gets_its_challenge_back_for_the_tenants_own_token_only() {
    let world = World::new().await;
    let tenant = world.iberia.tenant.to_string();
    let good = handshake(&world, &tenant, "subscribe", VERIFY_TOKEN).await;
    assert_eq!(
        (good.status().as_u16(), good.body().as_str()),
        (200, "11<b>58201444")
    );
    assert!(
        good.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(
        handshake(&world, &tenant, "subscribe", "wrong")
            .await
            .status(),
        403
    );
    assert_eq!(
        handshake(&world, &tenant, "unsubscribe", VERIFY_TOKEN)
            .await
            .status(),
        403
    );
    assert_eq!(
        handshake(
            &world,
            &uuid::Uuid::now_v7().to_string(),
            "subscribe",
            VERIFY_TOKEN
        )
        .await
        .status(),
        403
    );
    assert_eq!(
        handshake(&world, "not-a-tenant", "subscribe", VERIFY_TOKEN)
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn a_path_without_a_tenant_is_no_door_and_a_handshake_needs_its_challenge() {
    let world = World::new().await;
    let call = async |method: &str, tenant: &str, query: &[(&str, &str)]| {
        let path = format!("/api/webhooks/meta/{tenant}");
        let parameters = json!({"tenant_id": tenant});
        let request = calls::http(method, &path, &parameters, query, &json!({}), "{}");
        let response = meta_webhook::handle(&world.webhook, request).await;
        response.status().as_u16()
    };
    let tenant = world.iberia.tenant.to_string();
    // Nobody has signed either.
    assert_eq!(call("POST", "not-a-tenant", &[]).await, 404);
    assert_eq!(call("POST", &tenant, &[]).await, 401);
    let unasked = [
        ("hub.mode", "subscribe"),
        ("hub.verify_token", VERIFY_TOKEN),
    ];
    assert_eq!(call("GET", &tenant, &unasked).await, 400);
}

#[tokio::test]
async fn hasura_needs_its_secret_at_both_doors() {
    let world = World::new().await;
    for secret in ["", "wrong", "local-hasura-secre"] {
        let event = calls::from_hasura("/api/hasura/events", secret, &json!({}));
        assert_eq!(
            hasura_events::handle(&world.events, event).await.status(),
            401
        );
        let action = calls::from_hasura("/api/hasura/actions", secret, &json!({}));
        let refused = inbox_actions::handle(&world.actions, action).await;
        assert_eq!(refused.status(), 401);
        assert!(
            refused.body().contains(r#""code":"unauthorized""#),
            "{}",
            refused.body()
        );
    }
}

#[tokio::test]
async fn what_is_no_call_of_hasuras_is_a_clear_400() {
    let world = World::new().await;
    for (body, field) in [
        (json!({}), "id"),
        (json!({"id": "x", "trigger": {}}), "name"),
    ] {
        let request = calls::from_hasura(
            "/api/hasura/events",
            comms_tests::world::HASURA_SECRET,
            &body,
        );
        let response = hasura_events::handle(&world.events, request).await;
        assert_eq!(response.status(), 400);
        assert!(
            response
                .body()
                .contains(&format!("missing field `{field}`")),
            "{}",
            response.body()
        );
    }
}

#[tokio::test]
async fn an_event_of_no_known_trigger_is_kept_and_acknowledged() {
    let world = World::new().await;
    let body = calls::event_trigger(
        uuid::Uuid::now_v7(),
        "no_such_trigger",
        &json!(null),
        &json!({"status": "DELAYED"}),
    );
    let request = calls::from_hasura(
        "/api/hasura/events",
        comms_tests::world::HASURA_SECRET,
        &body,
    );
    let response = hasura_events::handle(&world.events, request).await;
    assert_eq!(response.status(), 200);
    assert!(
        response.body().contains("trigger.name: no such trigger"),
        "{}",
        response.body()
    );
    assert_eq!(world.count("quarantine").await, 1);
}

#[tokio::test]
async fn what_the_host_holds_wrongly_is_named_in_our_words_alone() {
    let world = World::new().await;
    let trip = crate::intake::trip(&world, &world.iberia).await;
    let change = trip.delay(&world.pool, 30).await.unwrap();
    world
        .execute("update operations.trips set timezone = 'Mars/Phobos'")
        .await;
    let response = world.hasura_reports(uuid::Uuid::now_v7(), &change).await;
    assert_eq!(
        response.body().as_str(),
        r#"{"outcome":"quarantined","reason":"database: SQLSTATE 22023"}"#
    );
    for id in ["", "SECRET +34699888777", &"x".repeat(3000), "a\0b"] {
        let mut body =
            calls::event_trigger(uuid::Uuid::now_v7(), "trip_delayed", &change.0, &change.1);
        body["id"] = json!(id);
        let request = calls::from_hasura(
            "/api/hasura/events",
            comms_tests::world::HASURA_SECRET,
            &body,
        );
        let response = hasura_events::handle(&world.events, request).await;
        assert_eq!(response.status(), 200);
        assert!(
            response.body().contains("id: must be 1 to 64"),
            "{}",
            response.body()
        );
    }
}
