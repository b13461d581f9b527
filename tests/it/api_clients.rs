//! Programs and their tokens: whose they are, what they may, until when.

use crate::program::Program;
use crate::requests::boarding;
use crate::triggers::host::Host;
use comms_tests::world::World;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_token_is_good_for_its_tenant_and_its_scopes_until_it_is_disabled() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let run = program.gets(&boarding(&host, "1")).await["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let reader = Program::of(&world, &["notifications:read"]).await;
    assert_eq!(reader.asks(&boarding(&host, "3")).await.0, 403);
    assert_eq!(
        reader
            .calls("GET", &format!("/api/notifications/{run}"), &Value::Null)
            .await
            .0,
        200
    );
    for token in ["", "comms_", "comms_AAAA", "Bearer"] {
        let nobody = Program::with(&world, token);
        assert_eq!(nobody.asks(&boarding(&host, "4")).await.0, 401, "{token}");
    }
    let mut foreign = boarding(&host, "2");
    foreign["tenant_id"] = json!(world.albion.tenant);
    assert_eq!(program.asks(&foreign).await.0, 403);
}

#[tokio::test]
async fn another_tenants_program_sees_nothing_and_a_disabled_one_is_nobodys() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    let run = program.gets(&boarding(&host, "1")).await["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    // Albion's program sees nothing of it.
    let input = json!({"name": "albion", "scopes": ["notifications:read", "notifications:write"]});
    let (_, answer) = world
        .asks(
            "tenant_admin",
            world.albion.tenant,
            world.albion.agent,
            "createApiClient",
            &input,
        )
        .await;
    let albion = Program::with(&world, answer["token"].as_str().unwrap());
    assert_eq!(
        albion
            .calls("GET", &format!("/api/notifications/{run}"), &Value::Null)
            .await
            .0,
        404
    );
    assert_eq!(
        albion
            .calls(
                "POST",
                &format!("/api/notifications/{run}/cancel"),
                &Value::Null
            )
            .await
            .0,
        404
    );
    assert_eq!(
        albion.asks(&boarding(&host, "5")).await.1["extensions"]["field"],
        "context.trip_id"
    );
    let people = json!({"idempotency_key": "6", "trigger_event": "TRIP_BOARDING", "recipients": [{"passenger_profile_id": host.ana}]});
    assert_eq!(
        albion.asks(&people).await.1["extensions"]["field"],
        "recipients[0].passenger_profile_id"
    );
    // Disabled for good; only its own tenant's administrators can.
    let client: Uuid = world
        .scalar("select id from communications.api_clients where name = 'albion'")
        .await;
    let input = json!({"client_id": client});
    let disable = async |tenant| {
        world
            .asks(
                "tenant_admin",
                tenant,
                world.iberia.agent,
                "disableApiClient",
                &input,
            )
            .await
            .0
    };
    assert_eq!(disable(world.iberia.tenant).await, 404);
    assert_eq!(disable(world.albion.tenant).await, 200);
    assert_eq!(albion.asks(&people).await.0, 401);
    // What is stored would let nobody in.
    let stored: Vec<u8> = world
        .scalar("select token_sha256 from communications.api_clients limit 1")
        .await;
    assert!(
        !program
            .token
            .as_bytes()
            .windows(4)
            .any(|part| stored.windows(4).any(|kept| kept == part))
    );
}

/// n8n has one token for everybody, and names the tenant.
#[tokio::test]
async fn a_program_of_the_platforms_speaks_for_whom_it_names() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    let program = Program::all(&world).await;
    world
        .execute(
            "update communications.api_clients set tenant_id = communications.platform_tenant()",
        )
        .await;
    let (status, answer) = program.asks(&boarding(&host, "1")).await;
    assert_eq!(
        (
            status,
            answer["message"].as_str().unwrap().starts_with("tenant_id")
        ),
        (400, true)
    );
    let mut named = boarding(&host, "1");
    named["tenant_id"] = json!(host.tenant());
    let run = program.gets(&named).await["run_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/notifications/{run}?tenant_id={}", host.tenant());
    assert_eq!(program.calls("GET", &path, &Value::Null).await.0, 200);
    let path = format!("/api/notifications/{run}?tenant_id={}", world.albion.tenant);
    assert_eq!(program.calls("GET", &path, &Value::Null).await.0, 404);
}
