//! WhatsApp templates at Meta: handed in once however often they are, listed, and which of ours may be sent by what Meta says.

use comms_simulator::{Answer, GraphScript, Review, Signup, Waba, WabaNumber};
use comms_tests::seed::{Operator, Traveller};
use comms_tests::world::World;
use serde_json::{Value, json};

/// The first operator's number is of a business account that the simulator has, and its token is of a signup there.
async fn signed_up(world: &World) {
    let iberia = &world.iberia;
    let number = WabaNumber {
        registered: true,
        ..WabaNumber::new(iberia.phone_number_id, iberia.display_number, "Iberia Bus")
    };
    let waba = Waba::new(iberia.waba_id, [number]);
    world.simulator.plant(waba).unwrap();
    let code = world.simulator.sign_up(Signup::of(iberia.waba_id)).unwrap();
    let input = json!({"channel_account_id": iberia.account, "code": code});
    let rotated = world.administers(iberia, "rotateCredentials", &input).await;
    assert_eq!(rotated.unwrap()["failed_step"], Value::Null);
}

fn template(operator: &Operator, name: &str, text: &str) -> Value {
    json!({
        "channel_account_id": operator.account, "name": name, "language": "es", "category": "UTILITY",
        "components": [{"type": "BODY", "text": text, "example": {"body_text": [["Ana"]]}}]
    })
}

async fn submit(world: &World, input: &Value) -> Result<Value, String> {
    world
        .administers(&world.iberia, "submitWhatsAppTemplate", input)
        .await
}

async fn sync(world: &World) -> Result<Value, String> {
    let input = json!({"channel_account_id": world.iberia.account});
    world
        .administers(&world.iberia, "syncWhatsAppTemplates", &input)
        .await
}

/// Names and states, as they are known here.
async fn known(world: &World) -> Vec<(String, Option<String>)> {
    sqlx::query_as(
        "select name, status from communications.whatsapp_templates where tenant_id = $1 order by name",
    )
    .bind(world.iberia.tenant)
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn decide(world: &World, name: &str, status: &str) {
    let review = Review::status(world.iberia.waba_id, name, "es", status);
    world.simulator.review(&review).unwrap();
}

fn handed_in(world: &World) -> usize {
    let calls = world.simulator.graph_calls();
    let created = |call: &&comms_simulator::GraphCall| {
        call.edge == "message_templates" && call.method == "POST"
    };
    calls.iter().filter(created).count()
}

#[tokio::test]
async fn a_template_is_handed_in_once_however_often_it_is_said() {
    let world = World::new().await;
    signed_up(&world).await;
    let input = template(&world.iberia, "hello", "Hola {{1}}, bienvenida.");
    let first = submit(&world, &input).await.unwrap();
    assert_eq!(
        first,
        json!({"name": "hello", "language": "es", "status": "PENDING", "category": "UTILITY"})
    );
    assert_eq!(submit(&world, &input).await.unwrap(), first);
    assert_eq!(handed_in(&world), 1);
    let other = template(&world.iberia, "hello", "Adiós {{1}}, hasta pronto.");
    assert_eq!(
        submit(&world, &other).await,
        Err("template-exists".to_owned())
    );
    let pending = [("hello".to_owned(), Some("PENDING".to_owned()))];
    assert_eq!(known(&world).await, pending);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_found_again() {
    let world = World::new().await;
    signed_up(&world).await;
    world.simulator.script_graph(GraphScript {
        edge: Some("message_templates".to_owned()),
        method: Some("POST".to_owned()),
        answer: Answer::HangUp { accepted: true },
        ..GraphScript::default()
    });
    let input = template(&world.iberia, "hello", "Hola {{1}}, bienvenida.");
    // Meta has taken it, and the list that is asked then shows it.
    assert_eq!(submit(&world, &input).await.unwrap()["status"], "PENDING");
    world
        .execute("delete from communications.whatsapp_templates")
        .await;
    // As from a call whose function died: Meta says that it exists.
    assert_eq!(submit(&world, &input).await.unwrap()["status"], "PENDING");
}

#[tokio::test]
async fn what_meta_would_refuse_is_refused_before_it_is_asked_and_nobody_acts_for_another() {
    let world = World::new().await;
    signed_up(&world).await;
    let wrong = template(&world.iberia, "hello", "{{1}} a las {{2}}");
    let (status, refused) = world
        .asks(
            "tenant_admin",
            world.iberia.tenant,
            world.iberia.agent,
            "submitWhatsAppTemplate",
            &wrong,
        )
        .await;
    assert_eq!(
        (status, &refused["extensions"]["code"]),
        (400, &json!("validation-failed"))
    );
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("components[0]."), "{message}");
    assert_eq!(handed_in(&world), 0);
    let input = template(&world.iberia, "hello", "Hola {{1}}, bienvenida.");
    let stranger = world
        .administers(&world.albion, "submitWhatsAppTemplate", &input)
        .await;
    assert_eq!(stranger, Err("not-found".to_owned()));
    let which = json!({"channel_account_id": world.iberia.account});
    let stranger = world
        .administers(&world.albion, "syncWhatsAppTemplates", &which)
        .await;
    assert_eq!(stranger, Err("not-found".to_owned()));
    for (action, input) in [
        ("submitWhatsAppTemplate", &input),
        ("syncWhatsAppTemplates", &which),
    ] {
        let agent = world
            .agent_acts(world.iberia.tenant, world.iberia.agent, action, input)
            .await;
        assert_eq!(agent, Err("forbidden".to_owned()));
    }
    // What Meta refuses says why, and what to do.
    world.simulator.script_graph(GraphScript::refuse(
        "message_templates",
        100,
        Some(2_388_019),
    ));
    let (status, refused) = world
        .asks(
            "tenant_admin",
            world.iberia.tenant,
            world.iberia.agent,
            "submitWhatsAppTemplate",
            &input,
        )
        .await;
    let said = &refused["extensions"];
    assert_eq!(
        (status, &said["code"]),
        (409, &json!("provider-refused")),
        "{refused}"
    );
    assert!(
        said["cause"].is_string() && said["cure"].is_string(),
        "{said}"
    );
}

#[tokio::test]
async fn a_list_brings_what_meta_decided_and_what_it_has_no_more() {
    let world = World::new().await;
    signed_up(&world).await;
    for name in ["hello", "late", "gone"] {
        let input = template(&world.iberia, name, "Hola {{1}}, bienvenida.");
        submit(&world, &input).await.unwrap();
    }
    decide(&world, "hello", "APPROVED");
    decide(&world, "late", "REJECTED");
    // Another tenant may know the same business account's templates; theirs are theirs.
    sqlx::query(
        "insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status, status_at)
         values ($1, $2, 'theirs', 'es', 'APPROVED', now() - interval '1 day'), ($3, $2, 'never', 'es', 'APPROVED', now() - interval '1 day')",
    )
    .bind(world.albion.tenant)
    .bind(world.iberia.waba_id)
    .bind(world.iberia.tenant)
    .execute(&world.pool)
    .await
    .unwrap();
    let listed = sync(&world).await.unwrap();
    assert_eq!(listed, json!({"templates": 3, "approved": 1, "gone": 1}));
    let states = |states: &[(&str, &str)]| -> Vec<(String, Option<String>)> {
        let owned = states.iter();
        owned
            .map(|(name, status)| ((*name).to_owned(), Some((*status).to_owned())))
            .collect()
    };
    let now = states(&[
        ("gone", "PENDING"),
        ("hello", "APPROVED"),
        ("late", "REJECTED"),
        ("never", "DELETED"),
    ]);
    assert_eq!(known(&world).await, now);
    let theirs: String = world
        .scalar("select status from communications.whatsapp_templates where name = 'theirs'")
        .await;
    assert_eq!(theirs, "APPROVED");
    assert_eq!(sync(&world).await.unwrap()["gone"], 0, "once is enough");
}

#[tokio::test]
async fn after_a_list_what_meta_does_not_have_is_not_sent() {
    let world = World::new().await;
    signed_up(&world).await;
    let approvals = async || -> Vec<(String, bool)> {
        sqlx::query_as(
            "select distinct approval, may_be_sent from communications.notification_template_approvals
              where tenant_id = $1 and trigger_event = 'TRIP_DELAYED' and locale = 'es'",
        )
        .bind(world.iberia.tenant)
        .fetch_all(&world.pool)
        .await
        .unwrap()
    };
    assert_eq!(approvals().await, [("UNKNOWN".to_owned(), true)]);
    let delayed = async || {
        let ana = Traveller::new("Ana", Some("+34600111222"), Some("es"));
        let scheduled = world
            .iberia
            .schedule(&world.pool, "MAD-VLC", vec![ana])
            .await;
        let answer = world.trip_is_delayed(&scheduled.unwrap()).await;
        answer["run"]["recipients"][0]["outcome"].clone()
    };
    assert_eq!(delayed().await, "QUEUED");
    sync(&world).await.unwrap();
    assert_eq!(approvals().await, [("MISSING".to_owned(), false)]);
    assert_ne!(delayed().await, "QUEUED");
    // Of that name, and of another shape.
    let mut input = template(&world.iberia, "trip_delayed", "Hola {{1}}, hay un retraso.");
    submit(&world, &input).await.unwrap();
    assert_eq!(approvals().await, [("PENDING".to_owned(), false)]);
    decide(&world, "trip_delayed", "APPROVED");
    sync(&world).await.unwrap();
    assert_eq!(approvals().await, [("PARAMETERS_DIFFER".to_owned(), false)]);
    assert_ne!(delayed().await, "QUEUED");
    input["name"] = json!("another");
    let text = "Hola {{1}}, {{2}} sale a las {{3}}, {{4}} minutos tarde: {{5}}.";
    input["components"][0] = json!({"type": "BODY", "text": text, "example": {"body_text": [["a", "b", "c", "d", "e"]]}});
    submit(&world, &input).await.unwrap();
    decide(&world, "another", "APPROVED");
    sync(&world).await.unwrap();
    world
        .execute(
            "update communications.notification_templates
                set whatsapp_template = jsonb_set(whatsapp_template, '{name}', '\"another\"')
              where trigger_event = 'TRIP_DELAYED' and channel = 'WHATSAPP' and locale = 'es'",
        )
        .await;
    assert_eq!(approvals().await, [("APPROVED".to_owned(), true)]);
    assert_eq!(delayed().await, "QUEUED");
}

#[tokio::test]
async fn the_upkeep_lists_each_number_every_six_hours_and_one_that_fails_holds_up_no_other() {
    let world = World::new().await;
    signed_up(&world).await;
    // The other operator's token is of no signup: Meta refuses its list.
    let upkeep = world.upkeep().await;
    let tick = async || {
        let done = channel_upkeep::handle(&upkeep, &json!({})).await;
        done.unwrap().templates_listed
    };
    assert_eq!(tick().await, 1);
    assert_eq!(tick().await, 0, "not before its time");
    world
        .execute("update communications.channel_accounts set templates_tried_at = now() - interval '16 minutes'")
        .await;
    assert_eq!(tick().await, 0, "the list is fresh");
    world
        .execute(
            "update communications.channel_accounts
                set templates_tried_at = now() - interval '7 hours', templates_synced_at = templates_synced_at - interval '7 hours'",
        )
        .await;
    assert_eq!(tick().await, 1);
    signed_up(&world).await;
    assert_eq!(tick().await, 1, "new credentials may be of another account");
    let never: i64 = world
        .count("channel_accounts where channel = 'WHATSAPP' and templates_synced_at is null and templates_tried_at is not null")
        .await;
    assert_eq!(never, 1);
}
