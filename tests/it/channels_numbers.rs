//! Numbers that the platform leased for a tenant: what becomes of their texts is told, and they hear.

use crate::channels_email_sms::{give, step};
use crate::flow::{From, queue, status};
use comms_simulator::{AwsScript, SentText, SmsSender};
use comms_tests::calls;
use comms_tests::world::{EVENTS_TOPIC, World};
use serde_json::{Value, json};

/// The first operator's, and what is leased for it.
async fn leased(two_way: bool) -> World {
    let world = World::new().await;
    give(&world, &world.iberia, "phone-1").await;
    world.simulator.lease(SmsSender::Number {
        phone_number_id: "phone-1".to_owned(),
        phone_number: "+34911222333".to_owned(),
        country: "ES".to_owned(),
        two_way,
    });
    world
}

async fn enable(world: &World) -> Value {
    let input = json!({"country": "ES", "phone_number_id": "phone-1"});
    let enabled = world.administers(&world.iberia, "enableSms", &input).await;
    enabled.unwrap()
}

fn set(world: &World) -> String {
    format!("comms-{}", world.iberia.tenant)
}

/// One text through the function's own door, as the simulator took it.
async fn text_leaves(world: &World, enabled: &Value) -> SentText {
    let account = enabled["channel_account_id"].as_str().unwrap();
    let from = From {
        tenant: world.iberia.tenant,
        account: account.parse().unwrap(),
        channel: "SMS",
    };
    let jobs = queue(world, from, "TRANSACTIONAL", "TRANSACTIONAL", 1).await;
    let worker = world.simulated_worker().await;
    dispatch_worker::handle(&worker, calls::batch(&jobs)).await;
    assert_eq!(status(world, &jobs[0]).await, "SENT");
    world.simulator.texts().pop().unwrap()
}

#[tokio::test]
async fn what_becomes_of_a_text_is_told_and_the_number_hears() {
    let world = leased(false).await;
    let enabled = enable(&world).await;
    assert_eq!(
        (&enabled["status"], &enabled["failed_step"]),
        (&json!("ACTIVE"), &Value::Null)
    );
    for name in ["EVENTS", "OPT_IN_WORDS"] {
        assert_eq!(step(&enabled, name)["state"], "DONE", "{name}");
    }
    let set = set(&world);
    assert_eq!(world.simulator.text_events(&set), [EVENTS_TOPIC]);
    let heard = world.simulator.hears_at("phone-1");
    assert_eq!(heard.as_deref(), Some(EVENTS_TOPIC));
    let text = text_leaves(&world, &enabled).await;
    assert_eq!(text.from.as_deref(), Some("phone-1"));
    assert_eq!(text.configuration_set, Some(set));
}

/// What the step found is not what AWS has for ever: a call brings it back.
#[tokio::test]
async fn a_number_that_was_enabled_before_there_were_events_gets_them_by_enabling_it_again() {
    let world = leased(false).await;
    let enabled = enable(&world).await;
    world
        .execute("delete from communications.channel_provisioning_steps where step = 'EVENTS'")
        .await;
    world
        .execute(
            "update communications.channel_accounts
                set provider_config = provider_config #- '{public,configuration_set}' where channel = 'SMS'",
        )
        .await;
    let text = text_leaves(&world, &enabled).await;
    assert_eq!(text.configuration_set, None, "as it was");
    world.simulator.silence(&set(&world));
    let again = enable(&world).await;
    assert_eq!(again["channel_account_id"], enabled["channel_account_id"]);
    assert_eq!(step(&again, "EVENTS")["state"], "DONE");
    assert_eq!(world.simulator.text_events(&set(&world)), [EVENTS_TOPIC]);
    let text = text_leaves(&world, &enabled).await;
    assert_eq!(text.configuration_set, Some(set(&world)));
    let public: Value = world
        .scalar("select provider_config -> 'public' from communications.channel_accounts where channel = 'SMS'")
        .await;
    assert_eq!(public["origination_identity"], "phone-1");
}

#[tokio::test]
async fn nothing_is_sent_before_somebody_is_told_what_becomes_of_it() {
    for operation in ["CreateConfigurationSet", "CreateEventDestination"] {
        let world = leased(false).await;
        let busy = AwsScript::fail(operation, 400, "ThrottlingException");
        world.simulator.script_aws(busy);
        let stopped = enable(&world).await;
        assert_eq!(
            (&stopped["status"], &stopped["failed_step"]),
            (&json!("PENDING"), &json!("EVENTS")),
            "{operation}"
        );
        assert_eq!(enable(&world).await["status"], "ACTIVE", "{operation}");
    }
}

#[tokio::test]
async fn a_number_that_cannot_hear_sends_all_the_same_and_is_asked_again() {
    let world = leased(false).await;
    world.simulator.deaf("phone-1", true);
    let enabled = enable(&world).await;
    assert_eq!(
        (&enabled["status"], &enabled["failed_step"]),
        (&json!("ACTIVE"), &Value::Null)
    );
    assert_eq!(step(&enabled, "OPT_IN_WORDS")["state"], "PENDING");
    let text = text_leaves(&world, &enabled).await;
    assert_eq!(text.configuration_set, Some(set(&world)));
    world.simulator.deaf("phone-1", false);
    let again = enable(&world).await;
    assert_eq!(step(&again, "OPT_IN_WORDS")["state"], "DONE");
    assert!(world.simulator.hears_at("phone-1").is_some());
}

#[tokio::test]
async fn a_number_that_tells_somebody_already_goes_on_telling_them() {
    let world = leased(true).await;
    assert_eq!(enable(&world).await["status"], "ACTIVE");
    assert_eq!(world.simulator.hears_at("phone-1"), None);
}

#[tokio::test]
async fn a_pool_and_a_sender_id_tell_what_becomes_of_texts_and_hear_nothing() {
    let world = World::new().await;
    give(&world, &world.iberia, "IBERIA").await;
    world.simulator.lease(SmsSender::SenderId {
        sender_id: "IBERIA".to_owned(),
        country: "ES".to_owned(),
        registered: true,
    });
    for input in [
        json!({"country": "ES"}),
        json!({"country": "ES", "sender_id": "IBERIA"}),
    ] {
        let enabled = world.administers(&world.iberia, "enableSms", &input).await;
        let enabled = enabled.unwrap();
        assert_eq!(enabled["status"], "ACTIVE", "{enabled}");
        assert_eq!(step(&enabled, "OPT_IN_WORDS")["state"], "PENDING");
    }
    let told = "channel_accounts where provider_config #>> '{public,configuration_set}' = 'comms-' || tenant_id";
    assert_eq!(world.count(told).await, 2);
    let calls = world.simulator.aws_calls();
    assert!(
        calls
            .iter()
            .all(|call| call.operation != "UpdatePhoneNumber")
    );
}

/// AWS puts whoever says STOP on the number's list, and takes nobody off it who says START, unless it is told to.
#[tokio::test]
async fn a_number_knows_the_words_that_take_people_off_its_list() {
    let world = leased(true).await;
    let busy = AwsScript::fail("PutKeyword", 400, "ThrottlingException");
    world.simulator.script_aws(busy);
    let stopped = enable(&world).await;
    assert_eq!(
        (&stopped["status"], &stopped["failed_step"]),
        (&json!("ACTIVE"), &json!("OPT_IN_WORDS"))
    );
    assert_eq!(enable(&world).await["failed_step"], Value::Null);
    let words = world.simulator.opt_in_words("phone-1");
    let knows = |wanted: &str| words.iter().any(|word| word == wanted);
    for word in ["START", "UNSTOP", "OPT IN", "DARME DE ALTA"] {
        assert!(knows(word), "{word}: {words:?}");
    }
    // AWS looks at how a text begins.
    for word in ["ALTA", "SUBSCRIBE"] {
        assert!(!knows(word), "{word}: {words:?}");
    }
}
