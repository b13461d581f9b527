//! Domains and senders of the platform's AWS account: whose they are, what fails on the way, and when they send.

use comms_simulator::{AwsScript, DomainState, SmsSender};
use comms_tests::seed::Operator;
use comms_tests::world::World;
use serde_json::{Value, json};

const DOMAIN: &str = "lineas-iberia.example";

pub fn step<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let mut steps = answer["steps"].as_array().unwrap().iter();
    steps.find(|step| step["step"] == name).unwrap()
}

async fn register(world: &World, operator: &Operator) -> Result<Value, String> {
    world
        .administers(operator, "registerEmailDomain", &json!({"domain": DOMAIN}))
        .await
}

fn found(dkim: &str) -> DomainState {
    DomainState {
        domain: DOMAIN.to_owned(),
        dkim: Some(dkim.to_owned()),
        mail_from: None,
        error: None,
    }
}

#[tokio::test]
async fn a_domain_is_registered_waits_for_its_records_and_sends_when_they_are_found() {
    let world = World::new().await;
    let first = register(&world, &world.iberia).await.unwrap();
    assert_eq!(
        (&first["status"], &first["failed_step"]),
        (&json!("VERIFYING"), &Value::Null),
        "{first}"
    );
    assert_eq!(step(&first, "CHECK")["state"], "WAITING");
    let records = first["records"].as_array().unwrap();
    let required: Vec<&Value> = records
        .iter()
        .filter(|record| record["required"] == true)
        .collect();
    assert_eq!(required.len(), 3, "{records:?}");
    for purpose in ["DKIM", "MAIL_FROM_BOUNCES", "MAIL_FROM_SPF", "DMARC"] {
        assert!(
            records.iter().any(|record| record["purpose"] == purpose),
            "{purpose}"
        );
    }
    let account = json!({"channel_account_id": first["channel_account_id"]});
    let upkeep = world.upkeep().await;
    world
        .execute(
            "update communications.channel_accounts set checked_at = now() - interval '6 minutes'",
        )
        .await;
    assert_eq!(
        channel_upkeep::handle(&upkeep, &json!({}))
            .await
            .unwrap()
            .domains_verified,
        0
    );
    world.simulator.move_domain(found("SUCCESS")).unwrap();
    // Not before its time.
    assert_eq!(
        channel_upkeep::handle(&upkeep, &json!({}))
            .await
            .unwrap()
            .domains_verified,
        0
    );
    world
        .execute(
            "update communications.channel_accounts set checked_at = now() - interval '6 minutes'",
        )
        .await;
    assert_eq!(
        channel_upkeep::handle(&upkeep, &json!({}))
            .await
            .unwrap()
            .domains_verified,
        1
    );
    let checked = world
        .administers(&world.iberia, "checkEmailDomain", &account)
        .await
        .unwrap();
    assert_eq!(
        (&checked["status"], &step(&checked, "CHECK")["state"]),
        (&json!("ACTIVE"), &json!("DONE"))
    );
    let public: Value = world
        .scalar("select provider_config -> 'public' from communications.channel_accounts where channel = 'EMAIL'")
        .await;
    let set = format!("comms-{}", world.iberia.tenant);
    assert_eq!(
        (
            &public["from_address"],
            &public["configuration_set"],
            &public["tenant_name"]
        ),
        (
            &json!("noreply@lineas-iberia.example"),
            &json!(set),
            &json!(set)
        )
    );
}

#[tokio::test]
async fn every_call_of_ses_that_fails_is_taken_up_where_it_stopped() {
    for (operation, failing) in [
        ("CreateTenant", "TENANT"),
        ("CreateConfigurationSet", "CONFIGURATION"),
        ("CreateEmailIdentity", "IDENTITY"),
        ("PutEmailIdentityMailFromAttributes", "MAIL_FROM"),
        ("CreateTenantResourceAssociation", "ASSOCIATE"),
    ] {
        let world = World::new().await;
        world
            .simulator
            .script_aws(AwsScript::fail(operation, 429, "TooManyRequestsException"));
        let stopped = register(&world, &world.iberia).await.unwrap();
        assert_eq!(stopped["failed_step"], failing, "{stopped}");
        assert_eq!(step(&stopped, failing)["error_class"], "RATE_LIMITED");
        let again = register(&world, &world.iberia).await.unwrap();
        assert_eq!(
            (&again["status"], &again["failed_step"]),
            (&json!("VERIFYING"), &Value::Null),
            "{failing}"
        );
        assert_eq!(again["channel_account_id"], stopped["channel_account_id"]);
    }
}

#[tokio::test]
async fn an_account_without_ses_tenants_does_without() {
    let world = World::new().await;
    world.simulator.ses_tenants(false);
    let registered = register(&world, &world.iberia).await.unwrap();
    assert_eq!(
        (&registered["status"], &registered["failed_step"]),
        (&json!("VERIFYING"), &Value::Null)
    );
}

#[tokio::test]
async fn a_domain_is_one_tenants_and_is_given_up_when_its_records_do_not_come() {
    let world = World::new().await;
    register(&world, &world.iberia).await.unwrap();
    assert_eq!(
        register(&world, &world.albion).await,
        Err("domain-taken".to_owned())
    );
    world
        .execute("update communications.channel_accounts set checked_at = null, verify_until = now() where channel = 'EMAIL'")
        .await;
    channel_upkeep::handle(&world.upkeep().await, &json!({}))
        .await
        .unwrap();
    let (status, free): (String, bool) =
        sqlx::query_as("select status, external_account_id is null from communications.channel_accounts where channel = 'EMAIL'")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!((status.as_str(), free), ("PENDING", true));
    // At SES it still bears the first one's tag, so that nobody takes it by being second.
    let second = register(&world, &world.albion).await.unwrap();
    assert_eq!(step(&second, "IDENTITY")["error_code"], "domain-taken");
}

/// The platform says whose a sender is.
pub async fn give(world: &World, operator: &Operator, identity: &str) {
    sqlx::query(
        "insert into communications.sms_senders (identity, tenant_id, countries) values ($2, $1, '{ES}')
         on conflict (identity) do update set tenant_id = excluded.tenant_id",
    )
    .bind(operator.tenant)
    .bind(identity)
    .execute(&world.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn text_messages_are_enabled_with_a_list_and_a_cap_of_the_tenants_own() {
    let world = World::new().await;
    let enable = async |operator: &Operator, input: &Value| {
        world.administers(operator, "enableSms", input).await
    };
    let input = json!({"country": "ES", "sender_id": "IBERIA"});
    let guessed = enable(&world.iberia, &input).await.unwrap();
    assert_eq!(step(&guessed, "SENDER")["error_code"], "sender-not-given");
    give(&world, &world.iberia, "IBERIA").await;
    let unknown = enable(&world.iberia, &input).await.unwrap();
    assert_eq!(step(&unknown, "SENDER")["error_code"], "sender-id-unknown");
    let pool = json!({"country": "ES"});
    world.simulator.script_aws(AwsScript::fail(
        "CreateOptOutList",
        400,
        "ThrottlingException",
    ));
    let stopped = enable(&world.iberia, &pool).await.unwrap();
    assert_eq!(stopped["failed_step"], "OPT_OUT_LIST");
    let enabled = enable(&world.iberia, &pool).await.unwrap();
    assert_eq!(
        (&enabled["status"], &enabled["failed_step"]),
        (&json!("ACTIVE"), &Value::Null)
    );
    assert_eq!(
        enable(&world.iberia, &pool).await.unwrap()["channel_account_id"],
        enabled["channel_account_id"]
    );
    let limits: i64 = world
        .scalar("select monthly_micros from communications.sms_limits")
        .await;
    assert_eq!(limits, 50_000_000);
    let wrong = enable(&world.iberia, &json!({"country": "ES", "sender_id": "12"})).await;
    assert_eq!(wrong, Err("validation-failed".to_owned()));
    let agent = world
        .agent_acts(world.iberia.tenant, world.iberia.agent, "enableSms", &pool)
        .await;
    assert_eq!(agent, Err("forbidden".to_owned()));
    // What is disabled is enabled again by the same words.
    let which = json!({"channel_account_id": enabled["channel_account_id"]});
    world
        .administers(&world.iberia, "disableChannel", &which)
        .await
        .unwrap();
    assert_eq!(
        enable(&world.iberia, &pool).await.unwrap()["status"],
        "ACTIVE"
    );
}

/// Whose mail to the domain is.
async fn owners(world: &World, domain: &str) -> Value {
    sqlx::query_scalar("select communications.mail_load($1) -> 'owners'")
        .bind(json!({"recipients": [{"domain": domain, "message_id": null}], "answers": [], "aliases": []}))
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn mail_comes_to_whom_a_domain_was_proven_for() {
    let world = World::new().await;
    let registered = register(&world, &world.albion).await.unwrap();
    assert_eq!(owners(&world, DOMAIN).await, json!([]));
    let account = json!({"channel_account_id": registered["channel_account_id"]});
    world
        .administers(&world.albion, "disableChannel", &account)
        .await
        .unwrap();
    let kept = "channel_accounts where external_account_id = 'lineas-iberia.example'";
    assert_eq!(world.count(kept).await, 0, "a name alone is nobody's");
    register(&world, &world.albion).await.unwrap();
    world.simulator.move_domain(found("SUCCESS")).unwrap();
    let checked = world
        .administers(&world.albion, "checkEmailDomain", &account)
        .await;
    assert_eq!(checked.unwrap()["status"], "ACTIVE");
    let mine = owners(&world, DOMAIN).await;
    assert_eq!(mine[0]["tenant_id"], json!(world.albion.tenant));
    // What is below it, and where its answers come to, is not another's to say.
    sqlx::query("update communications.channel_accounts set provider_config = jsonb_set(provider_config, '{public,reply_domain}', '\"answers.albion.example\"') where external_account_id = $1")
        .bind(DOMAIN)
        .execute(&world.pool)
        .await
        .unwrap();
    for domain in ["mail.lineas-iberia.example", "answers.albion.example"] {
        let refused = world
            .administers(
                &world.iberia,
                "registerEmailDomain",
                &json!({"domain": domain}),
            )
            .await;
        assert_eq!(refused, Err("domain-taken".to_owned()), "{domain}");
    }
}

#[tokio::test]
async fn a_claim_ends_in_time_whatever_it_stopped_at_and_what_is_anothers_at_ses_is_let_go() {
    let world = World::new().await;
    let busy = AwsScript {
        times: 2,
        ..AwsScript::fail("CreateConfigurationSet", 429, "TooManyRequestsException")
    };
    world.simulator.script_aws(busy);
    let stopped = register(&world, &world.iberia).await.unwrap();
    assert_eq!(stopped["failed_step"], "CONFIGURATION");
    world
        .execute("update communications.channel_accounts set verify_until = now() where channel = 'EMAIL'")
        .await;
    channel_upkeep::handle(&world.upkeep().await, &json!({}))
        .await
        .unwrap();
    let claimed = "channel_accounts where channel = 'EMAIL' and external_account_id is not null";
    assert_eq!(world.count(claimed).await, 0);
    // The upkeep goes on where it was too busy, with everything that is to be there.
    let again = register(&world, &world.iberia).await.unwrap();
    assert_eq!(again["status"], "VERIFYING");
    let topics: Vec<Value> = world
        .simulator
        .aws_calls()
        .into_iter()
        .filter(|call| call.operation == "CreateConfigurationSetEventDestination")
        .map(|call| call.body["EventDestination"]["SnsDestination"]["TopicArn"].clone())
        .collect();
    assert!(
        !topics.is_empty() && !topics.contains(&json!("")),
        "{topics:?}"
    );
    world
        .execute("update communications.channel_accounts set verify_until = now(), checked_at = null where channel = 'EMAIL'")
        .await;
    channel_upkeep::handle(&world.upkeep().await, &json!({}))
        .await
        .unwrap();
    let second = register(&world, &world.albion).await.unwrap();
    assert_eq!(step(&second, "IDENTITY")["error_code"], "domain-taken");
    assert_eq!(second["status"], "PENDING");
    let back = register(&world, &world.iberia).await.unwrap();
    assert_eq!(back["status"], "VERIFYING", "{back}");
}

#[tokio::test]
async fn ses_is_told_to_look_again_where_it_has_given_up() {
    let world = World::new().await;
    let registered = register(&world, &world.iberia).await.unwrap();
    world.simulator.move_domain(found("FAILED")).unwrap();
    let account = json!({"channel_account_id": registered["channel_account_id"]});
    let check = async || {
        let checked = world.administers(&world.iberia, "checkEmailDomain", &account);
        checked.await.unwrap()
    };
    let waits = check().await;
    assert_eq!(
        (&waits["status"], &step(&waits, "CHECK")["state"]),
        (&json!("VERIFYING"), &json!("WAITING"))
    );
    let restarts = async || {
        let calls = world.simulator.aws_calls();
        let restarted = calls
            .iter()
            .filter(|call| call.operation == "PutEmailIdentityDkimSigningAttributes");
        restarted.count()
    };
    assert_eq!(restarts().await, 1);
    check().await;
    assert_eq!(restarts().await, 1, "it looks now");
}

#[tokio::test]
async fn what_bounces_come_to_may_change() {
    let world = World::new().await;
    register(&world, &world.iberia).await.unwrap();
    let input = json!({"domain": DOMAIN, "mail_from": "m.lineas-iberia.example"});
    let changed = world
        .administers(&world.iberia, "registerEmailDomain", &input)
        .await
        .unwrap();
    let names: Vec<&Value> = changed["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["purpose"] == "MAIL_FROM_BOUNCES")
        .map(|record| &record["name"])
        .collect();
    assert_eq!(names, ["m.lineas-iberia.example"]);
}

/// They come to a subdomain, for the domain's own mailboxes are elsewhere; and stay there when it is registered again without a word of it.
#[tokio::test]
async fn answers_come_to_a_subdomain_that_nobody_else_has() {
    let world = World::new().await;
    let asks = async |operator: &Operator, domain: &str, reply_domain: Option<&str>| {
        let input = json!({"domain": domain, "reply_domain": reply_domain});
        world
            .administers(operator, "registerEmailDomain", &input)
            .await
    };
    let ours = format!("reply.{DOMAIN}");
    for bad in [
        "reply.example.org",
        DOMAIN,
        "bounce.lineas-iberia.example",
        "-.lineas-iberia.example",
    ] {
        let refused = asks(&world.iberia, DOMAIN, Some(bad)).await;
        assert_eq!(refused, Err("validation-failed".to_owned()), "{bad}");
    }
    for reply_domain in [Some(ours.as_str()), None] {
        let registered = asks(&world.iberia, DOMAIN, reply_domain).await.unwrap();
        let inbound: Vec<&Value> = registered["records"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|record| record["purpose"] == "INBOUND")
            .map(|record| &record["name"])
            .collect();
        assert_eq!(inbound, [&ours], "{reply_domain:?}");
    }
    let kept: String = world
        .scalar("select provider_config #>> '{public,reply_domain}' from communications.channel_accounts where provider = 'SES'")
        .await;
    assert_eq!(kept, ours);
    // Where another operator's mails come to.
    sqlx::query(
        "update communications.channel_accounts
            set provider_config = jsonb_set(provider_config, '{public,reply_domain}', '\"in.tren.example\"')
          where provider = 'SES'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let taken = asks(&world.albion, "tren.example", Some("in.tren.example")).await;
    assert_eq!(taken, Err("domain-taken".to_owned()));
}

#[tokio::test]
async fn what_ses_pauses_is_parked_and_goes_on_when_ses_lets_it() {
    let world = World::new().await;
    let registered = register(&world, &world.iberia).await.unwrap();
    world.simulator.move_domain(found("SUCCESS")).unwrap();
    let account = json!({"channel_account_id": registered["channel_account_id"]});
    let checked = world
        .administers(&world.iberia, "checkEmailDomain", &account)
        .await;
    assert_eq!(checked.unwrap()["status"], "ACTIVE");
    let tenant = format!("comms-{}", world.iberia.tenant);
    let upkeep = world.upkeep().await;
    let told = json!({"source": "aws.ses", "detail-type": "Sending Status Disabled"});
    let moved = async |event: &Value| {
        let done = channel_upkeep::handle(&upkeep, event).await;
        done.unwrap().reputations_moved
    };
    let state = async || -> (String, Option<String>) {
        sqlx::query_as("select status, status_reason from communications.channel_accounts where provider = 'SES'")
            .fetch_one(&world.pool)
            .await
            .unwrap()
    };
    assert_eq!(moved(&json!({})).await, 0, "nothing was said against it");
    world.simulator.judge(&tenant, "DISABLED").unwrap();
    assert_eq!(moved(&json!({})).await, 0, "asked half an hour apart");
    assert_eq!(moved(&told).await, 1, "or when SES says something");
    let (status, reason) = state().await;
    assert_eq!(status, "SUSPENDED");
    assert!(reason.unwrap().starts_with("provider: ses-reputation"));
    let refused = world
        .administers(&world.iberia, "resumeChannel", &account)
        .await;
    assert_eq!(refused, Err("suspended-by-provider".to_owned()));
    // Said again it moves nothing.
    assert_eq!(moved(&told).await, 0);
    world.simulator.judge(&tenant, "REINSTATED").unwrap();
    assert_eq!(moved(&told).await, 1);
    assert_eq!(state().await, ("ACTIVE".to_owned(), None));
    let by: Vec<String> = sqlx::query_scalar(
        "select by_kind from communications.channel_account_history h
           join communications.channel_accounts a on a.tenant_id = h.tenant_id and a.id = h.account_id
          where a.provider = 'SES' and h.what = 'STATUS' order by h.at desc limit 2",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(by, ["PROVIDER", "PROVIDER"]);
}

#[tokio::test]
async fn a_sender_is_one_tenants() {
    let world = World::new().await;
    world.simulator.lease(SmsSender::SenderId {
        sender_id: "IBERIA".to_owned(),
        country: "ES".to_owned(),
        registered: true,
    });
    world.simulator.lease(SmsSender::Number {
        phone_number_id: "phone-1".to_owned(),
        phone_number: "+34911222333".to_owned(),
        country: "ES".to_owned(),
        two_way: true,
    });
    for (input, sender) in [
        (json!({"country": "ES", "sender_id": "IBERIA"}), "IBERIA"),
        (
            json!({"country": "ES", "phone_number_id": "phone-1"}),
            "+34911222333",
        ),
    ] {
        let enable = async |operator: &Operator| {
            let enabled = world.administers(operator, "enableSms", &input).await;
            enabled.unwrap()
        };
        let identity = input["sender_id"].as_str().unwrap_or("phone-1");
        give(&world, &world.iberia, identity).await;
        let enabled = enable(&world.iberia).await;
        assert_eq!(enabled["status"], "ACTIVE", "{enabled}");
        let refused = enable(&world.albion).await;
        assert_eq!(step(&refused, "SENDER")["error_code"], "sender-not-given");
        assert_eq!(refused["status"], "PENDING");
        // Given to another while the first still sends by it: not before that is over.
        give(&world, &world.albion, identity).await;
        let refused = enable(&world.albion).await;
        assert_eq!(step(&refused, "SENDER")["error_code"], "sender-taken");
        let which = json!({"channel_account_id": enabled["channel_account_id"]});
        world
            .administers(&world.iberia, "disableChannel", &which)
            .await
            .unwrap();
        assert_eq!(enable(&world.albion).await["status"], "ACTIVE");
        let back = world
            .administers(&world.iberia, "resumeChannel", &which)
            .await;
        assert_eq!(back, Err("connect-again".to_owned()));
        let refused = enable(&world.iberia).await;
        assert_eq!(step(&refused, "SENDER")["error_code"], "sender-not-given");
        // And all the way back.
        give(&world, &world.iberia, identity).await;
        let theirs: String = sqlx::query_scalar(
            "select id::text from communications.channel_accounts where tenant_id = $1 and channel = 'SMS' and status = 'ACTIVE'",
        )
        .bind(world.albion.tenant)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        let theirs = json!({"channel_account_id": theirs});
        world
            .administers(&world.albion, "disableChannel", &theirs)
            .await
            .unwrap();
        assert_eq!(enable(&world.iberia).await["status"], "ACTIVE");
        let kept: String = sqlx::query_scalar(
            "select sender from communications.channel_accounts where tenant_id = $1 and id = $2::uuid",
        )
        .bind(world.iberia.tenant)
        .bind(enabled["channel_account_id"].as_str().unwrap())
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(kept, sender);
    }
}

#[tokio::test]
async fn a_sender_is_one_of_its_countries_and_named_once() {
    let world = World::new().await;
    give(&world, &world.iberia, "IBERIA").await;
    give(&world, &world.iberia, "phone-1").await;
    for wrong in [
        json!({"country": "ES", "sender_id": "IBERIA", "phone_number_id": "phone-1"}),
        json!({"country": "ES", "phone_number_id": "phone 1"}),
    ] {
        let refused = world.administers(&world.iberia, "enableSms", &wrong).await;
        assert_eq!(refused, Err("validation-failed".to_owned()), "{wrong}");
    }
    for identity in ["phone-1", "IBERIA"] {
        let field = if identity == "IBERIA" {
            "sender_id"
        } else {
            "phone_number_id"
        };
        let elsewhere = json!({"country": "FR", field: identity});
        let refused = world
            .administers(&world.iberia, "enableSms", &elsewhere)
            .await;
        assert_eq!(
            step(&refused.unwrap(), "SENDER")["error_code"],
            "sender-not-given"
        );
    }
}
