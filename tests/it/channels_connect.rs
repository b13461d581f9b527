//! Connecting a WhatsApp number: every step failing in its turn, taken up again without a code, twice at once, and what is not proven.

use crate::flow::{hinted, tally};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, body};
use comms_providers::http::GraphUrl;
use comms_tests::seed::Operator;
use comms_tests::world::{APP_ID, World};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const WABA: &str = "210000000000009";
const NUMBER: &str = "110000000000009";
const STEPS: [&str; 8] = [
    "EXCHANGE",
    "DEBUG",
    "OWNERSHIP",
    "REGISTER",
    "SUBSCRIBE",
    "OVERRIDE",
    "READ",
    "ACTIVATE",
];

/// What Meta answers to the calls of onboarding, and what it was asked.
#[derive(Debug, Default)]
struct Said {
    calls: Vec<String>,
    /// By the call's name: a code of Meta's, answered until it is taken away.
    refusals: HashMap<&'static str, i64>,
    pin: Option<String>,
    verify_token: Option<String>,
    connected: bool,
    app: Option<&'static str>,
    waba: Option<&'static str>,
}

#[derive(Debug, Clone, Default)]
struct Meta(Arc<Mutex<Said>>);

impl Meta {
    /// Listens on the loopback, and the world's provisioning asks there.
    async fn meet(world: &mut World) -> Self {
        let meta = Self::default();
        let router = Router::new().fallback(answer).with_state(meta.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v26.0", listener.local_addr().unwrap());
        #[expect(clippy::disallowed_methods, reason = "it plays Meta, beside the test")]
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        world.channels.connector.graph = GraphUrl::parse(&url).unwrap();
        meta
    }

    fn says<T>(&self, say: impl FnOnce(&mut Said) -> T) -> T {
        say(&mut self.0.lock().unwrap())
    }

    fn asked(&self, call: &str) -> usize {
        self.says(|said| said.calls.iter().filter(|one| *one == call).count())
    }
}

async fn answer(State(meta): State<Meta>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let bytes = body::to_bytes(request.into_body(), 65_536).await.unwrap();
    let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let last = path.rsplit('/').next().unwrap();
    let overrides = sent.get("override_callback_uri").is_some();
    let call = match last {
        "access_token" => "exchange",
        "debug_token" => "debug",
        "phone_numbers" => "list",
        "register" => "register",
        "subscribed_apps" if overrides => "override",
        "subscribed_apps" => "subscribe",
        _ => "read",
    };
    meta.says(|said| {
        said.calls.push(call.to_owned());
        if let Some(code) = said.refusals.get(call) {
            let refused = json!({"error": {"message": "refused", "type": "OAuthException", "code": code, "fbtrace_id": "x"}});
            return (axum::http::StatusCode::BAD_REQUEST, Json(refused)).into_response();
        }
        Json(granted(said, call, &sent)).into_response()
    })
}

fn granted(said: &mut Said, call: &str, sent: &Value) -> Value {
    let status = if said.connected {
        "CONNECTED"
    } else {
        "PENDING"
    };
    let number = json!({
        "id": NUMBER, "display_phone_number": "+34 911 00 00 09", "verified_name": "Nueva Línea", "status": status,
        "quality_rating": "GREEN", "platform_type": if said.connected { "CLOUD_API" } else { "NOT_APPLICABLE" },
        "throughput": {"level": "STANDARD"}, "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "code_verification_status": "VERIFIED", "is_on_biz_app": false
    });
    let text = |member: &str| sent[member].as_str().map(ToOwned::to_owned);
    match call {
        "exchange" => json!({"access_token": "EAAG-of-the-new-number", "token_type": "bearer"}),
        "debug" => json!({"data": {
            "app_id": said.app.unwrap_or(APP_ID), "is_valid": true, "expires_at": 0,
            "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
            "granular_scopes": [
                {"scope": "whatsapp_business_management", "target_ids": [said.waba.unwrap_or(WABA)]},
                {"scope": "whatsapp_business_messaging", "target_ids": [said.waba.unwrap_or(WABA)]}]
        }}),
        "list" => json!({"data": [number]}),
        "register" => {
            said.pin = text("pin");
            said.connected = true;
            json!({"success": true})
        }
        "override" => {
            said.verify_token = text("verify_token");
            json!({"success": true})
        }
        "subscribe" => json!({"success": true}),
        _ => number,
    }
}

fn with_code() -> Value {
    json!({"waba_id": WABA, "phone_number_id": NUMBER, "code": "AQB-signup-code"})
}

fn without_code() -> Value {
    json!({"waba_id": WABA, "phone_number_id": NUMBER})
}

async fn connect(world: &World, input: &Value) -> Value {
    world
        .administers(&world.iberia, "connectWhatsApp", input)
        .await
        .unwrap()
}

fn step<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut steps = answer["steps"].as_array().unwrap().iter();
    steps.find(|step| step["step"] == name).unwrap()
}

#[tokio::test]
async fn a_number_is_connected_in_one_call_and_sends_by_the_sealed_token() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    let connected = connect(&world, &with_code()).await;
    assert_eq!(
        (&connected["status"], &connected["failed_step"]),
        (&json!("ACTIVE"), &Value::Null)
    );
    for name in STEPS {
        assert_eq!(step(&connected, name)["state"], "DONE", "{name}");
        assert_eq!(step(&connected, name)["tries"], 1, "{name}");
    }
    let row: (String, String, String, String, String, i32, String) = sqlx::query_as(
        "select external_account_id, waba_id, sender, display_name, messaging_tier, throughput_per_second, quality
           from communications.channel_accounts where external_account_id = $1",
    )
    .bind(NUMBER)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let wanted = (
        NUMBER,
        WABA,
        "+34911000009",
        "Nueva Línea",
        "TIER_2K",
        80,
        "GREEN",
    );
    assert_eq!(
        (&*row.0, &*row.1, &*row.2, &*row.3, &*row.4, row.5, &*row.6),
        wanted
    );
    // The PIN that was made is six digits, and kept.
    let pin = meta.says(|said| said.pin.clone()).unwrap();
    assert!(pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit()));
    let row: String = world
        .scalar("select a::text from communications.channel_accounts a where external_account_id = '110000000000009'")
        .await;
    let token = meta.says(|said| said.verify_token.clone()).unwrap();
    for secret in [&*pin, "EAAG-of-the-new-number", &*token] {
        assert!(!row.contains(secret));
    }
    // Meta's handshake at the tenant's own path.
    let path = format!("/api/webhooks/meta/{}", world.iberia.tenant);
    let shake = async |token: &str| {
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", token),
            ("hub.challenge", "42"),
        ];
        let tenant = json!({"tenant_id": world.iberia.tenant});
        let request = comms_tests::calls::http("GET", &path, &tenant, &query, &json!({}), "");
        meta_webhook::handle(&world.webhook, request)
            .await
            .status()
            .as_u16()
    };
    assert_eq!(shake(&token).await, 200);
    assert_eq!(shake("another").await, 403);
}

/// Each call of Meta's refuses once; what was done stays done, and no second code is needed.
#[tokio::test]
async fn every_step_that_fails_says_what_to_do_and_is_taken_up_again_without_a_code() {
    for (call, failing, code) in [
        ("debug", "DEBUG", 4),
        ("list", "OWNERSHIP", 80008),
        ("register", "REGISTER", 133_005),
        ("subscribe", "SUBSCRIBE", 200),
        ("override", "OVERRIDE", 2200),
    ] {
        let mut world = World::new().await;
        let meta = Meta::meet(&mut world).await;
        meta.says(|said| said.refusals.insert(call, code));
        let first = connect(&world, &with_code()).await;
        assert_eq!(first["failed_step"], failing);
        assert_ne!(first["status"], "ACTIVE");
        let failed = step(&first, failing);
        for said in ["error_class", "error_code", "cause", "cure"] {
            assert!(
                failed[said].as_str().is_some_and(|text| !text.is_empty()),
                "{failing}: {said}"
            );
        }
        let again = connect(&world, &without_code()).await;
        assert_eq!(
            (&again["failed_step"], &step(&again, failing)["tries"]),
            (&json!(failing), &json!(2))
        );
        meta.says(|said| said.refusals.clear());
        let done = connect(&world, &without_code()).await;
        assert_eq!(
            (&done["status"], &done["failed_step"]),
            (&json!("ACTIVE"), &Value::Null),
            "{failing}"
        );
        assert_eq!(meta.asked("exchange"), 1, "{failing}");
        assert_eq!(step(&done, failing)["error_code"], Value::Null);
        // And once more: nothing is left to do.
        let calls = meta.says(|said| said.calls.len());
        assert_eq!(connect(&world, &without_code()).await["status"], "ACTIVE");
        assert_eq!(meta.says(|said| said.calls.len()), calls);
    }
}

#[tokio::test]
async fn a_code_that_is_refused_leaves_no_account_that_anything_comes_in_by() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    meta.says(|said| said.refusals.insert("exchange", 100));
    let refused = connect(&world, &with_code()).await;
    assert_eq!(
        (&refused["failed_step"], &refused["status"]),
        (&json!("EXCHANGE"), &json!("PENDING"))
    );
    let resumed = connect(&world, &without_code()).await;
    assert_eq!(step(&resumed, "EXCHANGE")["error_code"], "code-needed");
    assert_eq!(
        world
            .count("channel_accounts where external_account_id = '110000000000009'")
            .await,
        0
    );
    meta.says(|said| said.refusals.clear());
    assert_eq!(connect(&world, &with_code()).await["status"], "ACTIVE");
}

#[tokio::test]
async fn what_the_browser_says_is_no_proof() {
    for (waba, app, code, failing) in [
        (Some("999"), None, "waba-not-granted", "DEBUG"),
        (None, Some("999"), "token-of-another-app", "DEBUG"),
    ] {
        let mut world = World::new().await;
        let meta = Meta::meet(&mut world).await;
        meta.says(|said| (said.waba, said.app) = (waba, app));
        let refused = connect(&world, &with_code()).await;
        assert_eq!(refused["failed_step"], failing);
        assert_eq!(step(&refused, failing)["error_code"], code);
        assert_eq!(
            world
                .count("channel_accounts where external_account_id = '110000000000009'")
                .await,
            0
        );
    }
    let mut world = World::new().await;
    Meta::meet(&mut world).await;
    let strange = json!({"waba_id": WABA, "phone_number_id": "110000000000008", "code": "AQB"});
    let refused = connect(&world, &strange).await;
    assert_eq!(
        step(&refused, "OWNERSHIP")["error_code"],
        "number-not-in-waba"
    );
}

#[tokio::test]
async fn a_number_of_another_tenant_stays_theirs_until_they_disable_it() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    connect(&world, &with_code()).await;
    let albion: &Operator = &world.albion;
    let stolen = world
        .administers(albion, "connectWhatsApp", &with_code())
        .await
        .unwrap();
    // Neither the number, nor another of the same business account: its webhooks go to one place.
    assert_eq!(step(&stolen, "OWNERSHIP")["error_code"], "waba-taken");
    assert_eq!(meta.asked("register"), 1);
    let owners = "channel_accounts where external_account_id = '110000000000009' and tenant_id = '0192f000-0000-7000-8000-00000000000a'";
    assert_eq!(world.count(owners).await, 1);
    let theirs: String = world
        .scalar("select id::text from communications.channel_accounts where external_account_id = '110000000000009'")
        .await;
    let disable = json!({"channel_account_id": theirs});
    world
        .administers(&world.iberia, "disableChannel", &disable)
        .await
        .unwrap();
    let moved = world
        .administers(albion, "connectWhatsApp", &with_code())
        .await
        .unwrap();
    assert_eq!(moved["status"], "ACTIVE", "{moved}");
    assert_eq!(world.count(owners).await, 0);
    // Nor is anything told to them any more that Meta says of the business account.
    let hears = format!("channel_accounts where id = '{theirs}' and waba_id is not null");
    assert_eq!(world.count(&hears).await, 0);
    assert_eq!(
        world
            .count("channel_accounts where external_account_id = '110000000000009' and asked_at > now() - interval '1 minute'")
            .await,
        1
    );
    let resumed = world
        .administers(&world.iberia, "resumeChannel", &disable)
        .await;
    assert_eq!(resumed, Err("connect-again".to_owned()));
}

#[tokio::test]
async fn what_was_disabled_on_the_way_is_proven_again() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    meta.says(|said| said.refusals.insert("register", 133_005));
    let stopped = connect(&world, &with_code()).await;
    assert_eq!(stopped["failed_step"], "REGISTER");
    let disable = json!({"channel_account_id": stopped["channel_account_id"]});
    world
        .administers(&world.iberia, "disableChannel", &disable)
        .await
        .unwrap();
    meta.says(|said| said.refusals.clear());
    let again = connect(&world, &without_code()).await;
    assert_eq!(again["status"], "ACTIVE", "{again}");
    assert_eq!(meta.asked("exchange"), 1);
}

#[tokio::test]
async fn of_two_who_connect_at_once_one_does() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    let input = with_code();
    let one = || world.administers(&world.iberia, "connectWhatsApp", &input);
    let (first, second) = tokio::join!(one(), one());
    let refused = [&first, &second]
        .into_iter()
        .filter(|answer| answer.is_err())
        .count();
    assert_eq!(refused, 1, "{first:?} {second:?}");
    assert!([first, second].contains(&Err("in-progress".to_owned())));
    assert_eq!(meta.asked("exchange"), 1);
    assert_eq!(
        world
            .count("channel_accounts where requested_external_id = '110000000000009'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_provider_that_is_away_costs_nothing_but_time() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    let there = world.channels.connector.graph.clone();
    world.channels.connector.graph = GraphUrl::parse("http://127.0.0.1:9/v26.0").unwrap();
    let away = connect(&world, &with_code()).await;
    assert_eq!(step(&away, "EXCHANGE")["error_class"], "RETRYABLE");
    world.channels.connector.graph = there;
    assert_eq!(connect(&world, &with_code()).await["status"], "ACTIVE");
    assert_eq!(meta.asked("exchange"), 1);
}

#[tokio::test]
async fn an_account_that_lost_its_credentials_is_connected_again_and_what_waited_goes_out() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    connect(&world, &with_code()).await;
    world
        .execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED', status_reason = '190: expired', send_health = 'FAILING'")
        .await;
    let resumed = connect(&world, &without_code()).await;
    assert_eq!(
        resumed["status"], "REAUTH_REQUIRED",
        "old credentials do not come back"
    );
    let again = connect(&world, &with_code()).await;
    assert_eq!(again["status"], "ACTIVE");
    assert_eq!(meta.asked("register"), 1, "registering is rationed");
    let id = &again["channel_account_id"];
    let health = world
        .administers(
            &world.iberia,
            "channelHealth",
            &json!({"channel_account_id": id}),
        )
        .await
        .unwrap();
    assert_eq!(
        (&health["credential_versions"], &health["send_health"]),
        (&json!([2, 1]), &json!("UNKNOWN"))
    );
    hinted(&world).await;
    assert!(tally(&world).await.is_empty());
}

#[tokio::test]
async fn credentials_are_rotated_in_place_and_only_where_the_account_sends() {
    let mut world = World::new().await;
    let meta = Meta::meet(&mut world).await;
    let connected = connect(&world, &with_code()).await;
    let rotate =
        json!({"channel_account_id": connected["channel_account_id"], "code": "AQB-second"});
    let rotated = world
        .administers(&world.iberia, "rotateCredentials", &rotate)
        .await
        .unwrap();
    assert_eq!(
        (&rotated["status"], &rotated["failed_step"]),
        (&json!("ACTIVE"), &Value::Null)
    );
    assert_eq!(
        (
            meta.asked("exchange"),
            meta.asked("register"),
            meta.asked("override")
        ),
        (2, 1, 1)
    );
    meta.says(|said| said.refusals.insert("debug", 190));
    let refused = world
        .administers(&world.iberia, "rotateCredentials", &rotate)
        .await
        .unwrap();
    assert_eq!(
        (&refused["status"], &refused["failed_step"]),
        (&json!("ACTIVE"), &json!("DEBUG"))
    );
    let health = world
        .administers(
            &world.iberia,
            "channelHealth",
            &json!({"channel_account_id": connected["channel_account_id"]}),
        )
        .await
        .unwrap();
    assert_eq!(
        health["credential_versions"],
        json!([2, 1]),
        "what was not proven is not used"
    );
    let foreign = world
        .administers(&world.albion, "rotateCredentials", &rotate)
        .await;
    assert_eq!(foreign, Err("not-found".to_owned()));
    world
        .execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED'")
        .await;
    let parked = world
        .administers(&world.iberia, "rotateCredentials", &rotate)
        .await;
    assert_eq!(parked, Err("connect-again".to_owned()));
}

#[tokio::test]
async fn words_that_are_no_ids_are_refused_before_anything_is_written() {
    let world = World::new().await;
    for (input, field) in [
        (
            json!({"waba_id": "x", "phone_number_id": NUMBER}),
            "waba_id",
        ),
        (
            json!({"waba_id": WABA, "phone_number_id": "1/register"}),
            "phone_number_id",
        ),
        (
            json!({"waba_id": WABA, "phone_number_id": NUMBER, "pin": "12345"}),
            "pin",
        ),
    ] {
        let (status, answer) = world
            .asks(
                "tenant_admin",
                world.iberia.tenant,
                world.iberia.agent,
                "connectWhatsApp",
                &input,
            )
            .await;
        assert_eq!(status, 400);
        assert!(
            answer["message"].as_str().unwrap().starts_with(field),
            "{answer}"
        );
    }
    assert_eq!(world.count("channel_provisioning_steps").await, 0);
}
