//! What Meta says about templates and accounts, on the app's own callback.

use comms_core::platform::clock;
use comms_tests::calls;
use comms_tests::world::{APP_TOKEN, VERIFY_TOKEN, World};
use serde_json::{Value, json};

async fn posted(world: &World, field: &str, time: i64, value: &Value) {
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": world.iberia.waba_id, "time": time, "changes": [{"field": field, "value": value}]}]
    });
    let response = world.meta_tells_the_app(&body).await;
    assert_eq!(response.status(), 200, "{}", response.body());
}

#[tokio::test]
async fn a_ban_parks_the_account_and_its_end_releases_it() {
    let world = World::new().await;
    let ban = |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state, "waba_ban_date": "November 24, 2026"}});
    posted(&world, "account_update", 100, &ban("DISABLE")).await;
    assert_eq!(status(&world).await, ("SUSPENDED".to_owned(), 1));
    // The same again, and the other tenant's account, stay what they are.
    posted(&world, "account_update", 100, &ban("DISABLE")).await;
    assert_eq!(status(&world).await, ("SUSPENDED".to_owned(), 1));
    let others: i64 = world
        .scalar("select count(*) from communications.channel_accounts where status = 'SUSPENDED'")
        .await;
    assert_eq!(others, 1);
    posted(&world, "account_update", 200, &ban("REINSTATE")).await;
    assert_eq!(status(&world).await.0, "ACTIVE");
    // An old notice that comes late changes nothing any more.
    posted(&world, "account_update", 150, &ban("SCHEDULE_FOR_DISABLE")).await;
    assert_eq!(status(&world).await.0, "ACTIVE");
}

/// Whichever number it names.
#[tokio::test]
async fn what_stops_a_business_stops_all_of_its_numbers() {
    let world = World::new().await;
    world
        .execute(
            "insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id)
             select tenant_id, gen_random_uuid(), channel, provider, 'ACTIVE', 'Second', '+34911999888', '1999888', waba_id
               from communications.channel_accounts where channel = 'WHATSAPP' and waba_id = (
                    select waba_id from communications.channel_accounts where external_account_id = '100000000000001')",
        )
        .await;
    let named = |state: &str| json!({"event": "DISABLED_UPDATE", "phone_number": "34911999888", "ban_info": {"waba_ban_state": state}});
    let both = |status: &str| format!("channel_accounts where status = '{status}'");
    posted(&world, "account_update", 100, &named("DISABLE")).await;
    assert_eq!(world.count(&both("SUSPENDED")).await, 2);
    posted(&world, "account_update", 200, &named("REINSTATE")).await;
    assert_eq!(world.count(&both("SUSPENDED")).await, 0);
}

#[tokio::test]
async fn a_late_ban_is_outranked_only_by_what_decided_the_same() {
    let world = World::new().await;
    let ban =
        |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    // Neither of these says that the account works.
    posted(
        &world,
        "account_update",
        200,
        &json!({"event": "SOMETHING_NEW"}),
    )
    .await;
    posted(&world, "account_update", 210, &ban("SCHEDULE_FOR_DISABLE")).await;
    posted(&world, "account_update", 100, &ban("DISABLE")).await;
    assert_eq!(status(&world).await.0, "SUSPENDED");
    posted(&world, "account_update", 150, &ban("REINSTATE")).await;
    assert_eq!(status(&world).await.0, "ACTIVE");
    // This one was over when it came.
    posted(
        &world,
        "account_update",
        120,
        &json!({"event": "ACCOUNT_OFFBOARDED"}),
    )
    .await;
    assert_eq!(status(&world).await, ("ACTIVE".to_owned(), 5));
}

/// The account was connected since, and what it is was asked then; of its business account, which was not asked, a minute before.
#[tokio::test]
async fn what_was_told_before_the_provider_was_asked_is_kept_and_changes_nothing() {
    let world = World::new().await;
    world
        .execute("update communications.channel_accounts set asked_at = to_timestamp(1000.7)")
        .await;
    let removed =
        json!({"event": "PARTNER_REMOVED", "waba_info": {"waba_id": world.iberia.waba_id}});
    let quality =
        |event: &str| json!({"event": event, "display_phone_number": world.iberia.display_number});
    posted(&world, "account_update", 939, &removed).await;
    posted(
        &world,
        "phone_number_quality_update",
        999,
        &quality("THROUGHPUT_UPGRADE"),
    )
    .await;
    assert_eq!(status(&world).await, ("ACTIVE".to_owned(), 2));
    let raised = "channel_accounts where throughput_per_second = 1000";
    assert_eq!(world.count(raised).await, 0);
    posted(
        &world,
        "phone_number_quality_update",
        1000,
        &quality("THROUGHPUT_UPGRADE"),
    )
    .await;
    posted(&world, "account_update", 941, &removed).await;
    assert_eq!(status(&world).await, ("REAUTH_REQUIRED".to_owned(), 4));
    assert_eq!(world.count(raised).await, 1);
}

#[tokio::test]
async fn a_clock_ahead_of_ours_does_not_outlast_the_next_notice() {
    let world = World::new().await;
    let ban =
        |state: &str| json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": state}});
    let now = clock::now().unix_timestamp();
    posted(&world, "account_update", now + 7200, &ban("DISABLE")).await;
    assert_eq!(status(&world).await.0, "SUSPENDED");
    posted(&world, "account_update", now + 60, &ban("REINSTATE")).await;
    assert_eq!(status(&world).await.0, "ACTIVE");
    let ahead = world
        .count("channel_account_events where occurred_at > now()")
        .await;
    assert_eq!(ahead, 0);
}

#[tokio::test]
async fn a_notice_about_a_number_that_nobody_has_is_kept_until_somebody_has_it() {
    let world = World::new().await;
    let number = "34 999 000 111";
    let notices = [
        (
            "phone_number_quality_update",
            json!({"display_phone_number": number, "event": "FLAGGED", "current_limit": "TIER_1K"}),
        ),
        (
            "phone_number_name_update",
            json!({"display_phone_number": number, "decision": "APPROVED", "requested_verified_name": "Ibérica"}),
        ),
        (
            "security",
            json!({"display_phone_number": number, "event": "PIN_CHANGED"}),
        ),
        (
            "account_update",
            json!({"phone_number": number, "event": "VERIFIED_ACCOUNT"}),
        ),
        (
            "business_capability_update",
            json!({"display_phone_number": number, "max_daily_conversation_per_phone": 1000}),
        ),
        (
            "messaging_handovers",
            json!({"display_phone_number": number, "event": "control_passed"}),
        ),
    ];
    for (field, value) in &notices {
        posted(&world, field, 100, value).await;
    }
    let kept = "quarantine where reason = 'UNKNOWN_ACCOUNT' and replayed_at is null";
    assert_eq!((world.count(kept).await, status(&world).await.1), (6, 0));

    sqlx::query("update communications.channel_accounts set sender = '+34999000111' where tenant_id = $1 and channel = 'WHATSAPP'")
        .bind(world.iberia.tenant.0)
        .execute(&world.pool)
        .await
        .unwrap();
    let replayed = world.replays(&json!({"reason": "UNKNOWN_ACCOUNT"})).await;
    assert_eq!((replayed.replayed, status(&world).await.1), (6, 6));
    let shown: (String, String, String) = sqlx::query_as(
        "select quality, messaging_tier, display_name from communications.channel_accounts where tenant_id = $1 and channel = 'WHATSAPP'",
    )
    .bind(world.iberia.tenant.0)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let expected = ("FLAGGED", "TIER_1K", "Ibérica");
    assert_eq!((&*shown.0, &*shown.1, &*shown.2), expected);
}

#[tokio::test]
async fn what_happens_to_the_business_account_happens_whatever_number_it_names() {
    let world = World::new().await;
    for (time, event, expected) in [
        (100, "ACCOUNT_OFFBOARDED", "REAUTH_REQUIRED"),
        (200, "ACCOUNT_RECONNECTED", "ACTIVE"),
        (300, "ACCOUNT_DELETED", "SUSPENDED"),
    ] {
        let value = json!({"event": event, "phone_number": "34999000111"});
        posted(&world, "account_update", time, &value).await;
        assert_eq!(status(&world).await.0, expected, "{event}");
    }
    let by_others = "channel_account_history where what = 'STATUS' and by_kind <> 'PROVIDER'";
    assert_eq!(world.count(by_others).await, 0);
    assert_eq!(world.count("quarantine").await, 0);
}

async fn status(world: &World) -> (String, i64) {
    sqlx::query_as(
        "select a.status, (select count(*) from communications.channel_account_events e
                            where e.tenant_id = a.tenant_id and e.account_id = a.id)
           from communications.channel_accounts a where a.tenant_id = $1 and a.channel = 'WHATSAPP'",
    )
    .bind(world.iberia.tenant.0)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_newest_notice_about_a_template_counts() {
    let world = World::new().await;
    let notice = |event: &str| {
        json!({"event": event, "message_template_id": 99, "message_template_name": "trip_delayed",
               "message_template_language": "es", "reason": null})
    };
    posted(
        &world,
        "message_template_status_update",
        300,
        &notice("PAUSED"),
    )
    .await;
    posted(
        &world,
        "message_template_status_update",
        200,
        &notice("APPROVED"),
    )
    .await;
    posted(
        &world,
        "message_template_quality_update",
        250,
        &json!({"previous_quality_score": "GREEN", "new_quality_score": "RED", "message_template_id": 99,
                "message_template_name": "trip_delayed", "message_template_language": "es"}),
    )
    .await;
    let rows: Vec<(uuid::Uuid, String, String, String)> = sqlx::query_as(
        "select tenant_id, name, status, quality from communications.whatsapp_templates",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [(
            world.iberia.tenant.0,
            "trip_delayed".to_owned(),
            "PAUSED".to_owned(),
            "RED".to_owned()
        )]
    );
}

/// In whatever order they come; what is announced is seen until its status is heard again.
#[tokio::test]
async fn a_template_has_its_newest_words_and_what_is_announced_of_it() {
    let world = World::new().await;
    let of_it = |more: &Value| {
        let mut value = json!({"message_template_id": 99, "message_template_name": "trip_delayed", "message_template_language": "es"});
        for (name, member) in more.as_object().unwrap() {
            value[name] = member.clone();
        }
        value
    };
    let words = |element: &str| of_it(&json!({"message_template_element": element}));
    let status = |event: &str| of_it(&json!({"event": event}));
    let field = "message_template_components_update";
    posted(&world, field, 300, &words("La nueva")).await;
    posted(&world, field, 200, &words("La vieja")).await;
    let kept = "select components -> 0 ->> 'text' from communications.whatsapp_templates";
    assert_eq!(world.scalar::<String>(kept).await, "La nueva");
    // Of a picture above them it says nothing.
    world
        .execute(
            r#"update communications.whatsapp_templates set components = '[{"type": "HEADER", "format": "IMAGE"}]' || components"#,
        )
        .await;
    posted(&world, field, 302, &words("La última")).await;
    let all = "select string_agg(coalesce(c ->> 'text', c ->> 'format'), ' ' order by n)
                 from communications.whatsapp_templates, jsonb_array_elements(components) with ordinality as x (c, n)";
    assert_eq!(world.scalar::<String>(all).await, "IMAGE La última");

    posted(
        &world,
        "message_template_status_update",
        310,
        &status("APPROVED"),
    )
    .await;
    let announced = of_it(&json!({"new_category": "UTILITY", "correct_category": "MARKETING"}));
    posted(&world, "template_category_update", 320, &announced).await;
    let reason =
        "select coalesce(status || ', ' || reason, '') from communications.whatsapp_templates";
    assert_eq!(
        world.scalar::<String>(reason).await,
        "APPROVED, will become MARKETING"
    );
    posted(
        &world,
        "message_template_status_update",
        330,
        &status("PAUSED"),
    )
    .await;
    assert_eq!(world.scalar::<String>(reason).await, "");
}

#[tokio::test]
async fn a_notice_about_nobody_we_know_is_kept() {
    let world = World::new().await;
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "999", "time": 1,
        "changes": [{"field": "account_update", "value": {"event": "ACCOUNT_DELETED"}}]}]});
    assert_eq!(world.meta_tells_the_app(&body).await.status(), 200);
    let reason: String = world
        .scalar("select reason from communications.quarantine")
        .await;
    assert_eq!(reason, "UNKNOWN_ACCOUNT");
}

#[tokio::test]
async fn the_apps_callback_knows_its_own_token_and_no_tenants() {
    let world = World::new().await;
    for (token, expected) in [(APP_TOKEN, 200), (VERIFY_TOKEN, 403), ("", 403)] {
        let query = [
            ("hub.mode", "subscribe"),
            ("hub.verify_token", token),
            ("hub.challenge", "42"),
        ];
        let request = calls::http(
            "GET",
            "/api/webhooks/meta",
            &json!({}),
            &query,
            &json!({}),
            "",
        );
        let response = meta_webhook::handle(&world.webhook, request).await;
        assert_eq!(response.status(), expected, "{token}");
        assert_eq!(response.body() == "42", expected == 200);
    }
}
