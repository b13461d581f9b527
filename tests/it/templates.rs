//! Templates of a tenant's own: drafted, checked, published, used; by its administrators.

use crate::triggers::host::Host;
use comms_tests::world::World;
use serde_json::{Value, json};

async fn does(world: &World, action: &str, input: Value) -> (u16, Value) {
    let iberia = &world.iberia;
    world
        .asks("tenant_admin", iberia.tenant, iberia.agent, action, &input)
        .await
}

fn sms(body: &str) -> Value {
    json!({"trigger_event": "TRIP_BOARDING", "channel": "SMS", "locale": "es", "body": body})
}

#[tokio::test]
async fn a_draft_is_used_once_it_is_published_and_its_forerunner_retires() {
    let world = World::new().await;
    let host = Host::of(&world).await;
    world
        .execute("update communications.notification_rules set steps = '[{\"channel\": \"SMS\"}]' where trigger_event = 'TRIP_BOARDING'")
        .await;
    let (status, first) = does(&world, "saveTemplate", sms("Sube ya al {{ trip.code }}")).await;
    assert_eq!(
        (status, &first["status"], &first["variables"]),
        (200, &json!("DRAFT"), &json!(["trip.code"]))
    );
    let (_, again) = does(
        &world,
        "saveTemplate",
        sms("Ya puedes subir al {{ trip.code }}"),
    )
    .await;
    assert_eq!(
        again["template_id"], first["template_id"],
        "one draft a language and channel"
    );
    let boards = async || {
        host.changes("trips", host.trip, "status = 'SCHEDULED'")
            .await;
        let change = host
            .changes("trips", host.trip, "status = 'BOARDING'")
            .await;
        host.reports("trip_boarding", &change).await;
        host.said().await[0].2.clone()
    };
    assert!(
        boards().await.starts_with("Hola Ana: el viaje"),
        "a draft is not used"
    );
    let publish = json!({"template_id": first["template_id"]});
    let (_, published) = does(&world, "publishTemplate", publish.clone()).await;
    assert_eq!(published["status"], "PUBLISHED");
    assert_eq!(
        does(&world, "publishTemplate", publish.clone()).await.1,
        published,
        "again is the same"
    );
    assert_eq!(boards().await, "Ya puedes subir al MAD-VLC-0815");
    let (_, second) = does(&world, "saveTemplate", sms("Todos a bordo")).await;
    assert_eq!(second["version"], 2);
    does(
        &world,
        "publishTemplate",
        json!({"template_id": second["template_id"]}),
    )
    .await;
    assert_eq!(boards().await, "Todos a bordo");
    let (status, refused) = does(&world, "publishTemplate", publish).await;
    assert_eq!(
        (status, &refused["extensions"]["code"]),
        (409, &json!("conflict")),
        "retired for good"
    );
    let versions: Vec<i32> = sqlx::query_scalar(
        "select template_version from communications.messages where template_version is not null and body <> '' order by id desc limit 2",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(
        versions.contains(&2),
        "a message names what it was made of: {versions:?}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_draft_is_named() {
    let world = World::new().await;
    let with = |member: &str, value: Value| {
        let mut draft = sms("hola");
        draft[member] = value;
        draft
    };
    let approved = json!({"name": "a", "language": "es", "body": ["{{ trip.gate }}"]});
    for (message, draft) in [
        ("body: syntax error", sms("{{ trip.code ")),
        (
            "body: values are not put together: write them side by side",
            sms("{% set a=[1]*100000000 %}{{ a }}"),
        ),
        (
            "body: trip.gate is nothing that TRIP_BOARDING tells",
            sms("{{ trip.gate }}"),
        ),
        ("subject: SMS has none", with("subject", json!("x"))),
        (
            "whatsapp_template: SMS has none",
            with("whatsapp_template", approved.clone()),
        ),
        (
            "whatsapp_template: must name the approved template",
            with("channel", json!("WHATSAPP")),
        ),
        (
            "subject: an email must have one",
            with("channel", json!("EMAIL")),
        ),
        (
            "channel: WEBCHAT carries no notifications",
            with("channel", json!("WEBCHAT")),
        ),
        (
            "locale: must be a language, such as es or es-MX",
            with("locale", json!("spanish")),
        ),
        (
            "trigger_event: must be 3 to 64 of A-Z, 0-9 and _, such as TRIP_DELAYED",
            with("trigger_event", json!("boarding")),
        ),
        (
            "parameter 1: trip.gate is nothing that TRIP_BOARDING tells",
            json!({"trigger_event": "TRIP_BOARDING", "channel": "WHATSAPP", "locale": "es", "body": "x", "whatsapp_template": approved}),
        ),
    ] {
        let (status, answer) = does(&world, "saveTemplate", draft).await;
        assert_eq!(
            (status, answer["message"].as_str().unwrap()),
            (400, message)
        );
    }
    assert_eq!(
        world
            .count("notification_templates where tenant_id <> communications.platform_tenant()")
            .await,
        0
    );
    // A trigger of the tenant's own tells whatever its callers say.
    let own = json!({"trigger_event": "MY_OWN", "channel": "SMS", "locale": "es_mx", "body": "{{ anything.at.all }}"});
    let (status, saved) = does(&world, "saveTemplate", own).await;
    assert_eq!(
        (status, &saved["variables"]),
        (200, &json!(["anything.at.all"]))
    );
    let locale: String = world
        .scalar("select locale from communications.notification_templates where trigger_event = 'MY_OWN'")
        .await;
    assert_eq!(locale, "es-MX");
}

#[tokio::test]
async fn templates_are_their_tenants_and_its_administrators() {
    let world = World::new().await;
    let (_, saved) = does(&world, "saveTemplate", sms("hola")).await;
    let publish = json!({"template_id": saved["template_id"]});
    let asks = async |role: &str, tenant, action: &str, input: &Value| {
        let (_, answer) = world
            .asks(role, tenant, world.iberia.agent, action, input)
            .await;
        answer["extensions"]["code"]
            .as_str()
            .unwrap_or("ok")
            .to_owned()
    };
    let (iberia, albion) = (world.iberia.tenant, world.albion.tenant);
    assert_eq!(
        asks("tenant_admin", albion, "publishTemplate", &publish).await,
        "not-found"
    );
    for (action, input) in [
        ("publishTemplate", &publish),
        ("saveTemplate", &sms("hola")),
        (
            "previewTemplate",
            &json!({"trigger_event": "TRIP_BOARDING"}),
        ),
    ] {
        assert_eq!(
            asks("dispatcher", iberia, action, input).await,
            "forbidden",
            "{action}"
        );
    }
    // Known not to be approved is not published.
    world
        .execute(
            "insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status)
             select tenant_id, waba_id, 'mine', 'es', 'REJECTED' from communications.channel_accounts where sender = '+34911000001'",
        )
        .await;
    let draft = json!({"trigger_event": "TRIP_BOARDING", "channel": "WHATSAPP", "locale": "es", "body": "hola",
                       "whatsapp_template": {"name": "mine", "language": "es"}});
    let (_, saved) = does(&world, "saveTemplate", draft).await;
    let publish = json!({"template_id": saved["template_id"]});
    assert_eq!(
        asks("tenant_admin", iberia, "publishTemplate", &publish).await,
        "template-not-approved"
    );
}

/// A draft is looked at before it is used.
#[tokio::test]
async fn a_draft_is_shown_by_its_version() {
    let world = World::new().await;
    let (_, first) = does(&world, "saveTemplate", sms("Sube ya al {{ trip.code }}")).await;
    let publish = json!({"template_id": first["template_id"]});
    does(&world, "publishTemplate", publish).await;
    let (_, draft) = does(
        &world,
        "saveTemplate",
        sms("Todos a bordo de {{ trip.code }}"),
    )
    .await;
    assert_eq!(draft["version"], 2);
    let shows = async |more: Value| {
        let mut asked = json!({"trigger_event": "TRIP_BOARDING", "channels": ["SMS"], "locales": ["es"],
                               "variables": {"trip": {"code": "7"}}});
        asked
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let (_, shown) = does(&world, "previewTemplate", asked).await;
        (
            shown["previews"][0]["version"].clone(),
            shown["previews"][0]["body"].clone(),
            shown["extensions"]["field"].clone(),
        )
    };
    let seen = |version: i32, body: &str| (json!(version), json!(body), Value::Null);
    assert_eq!(shows(json!({})).await, seen(1, "Sube ya al 7"));
    assert_eq!(
        shows(json!({"version": 2})).await,
        seen(2, "Todos a bordo de 7")
    );
    assert_eq!(shows(json!({"version": 3})).await.2, "trigger_event");
    // What another tenant drafts is not there.
    let input = json!({"trigger_event": "TRIP_BOARDING", "channels": ["SMS"], "locales": ["es"], "version": 2});
    let albion = &world.albion;
    let (status, _) = world
        .asks(
            "tenant_admin",
            albion.tenant,
            albion.agent,
            "previewTemplate",
            &input,
        )
        .await;
    assert_eq!(status, 400);
}
