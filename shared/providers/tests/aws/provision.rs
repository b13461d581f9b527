//! Setting domains and SMS senders up, against the simulator's SES and End User Messaging.

use crate::config;
use comms_providers::FaultClass::{self, Permission, RateLimited, Retryable, Unknown, WrongInput};
use comms_providers::eum::provision::{EumProvisioner, OptOutList, OriginationNumber, SmsAccount};
use comms_providers::ses::provision::dns::records;
use comms_providers::ses::provision::{MailFromState, SesProvisioner};
use comms_simulator::{AwsScript, DomainState, Simulator, SimulatorConfig, SmsSender};

const DOMAIN: &str = "tren.example";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:ses-events";

async fn simulator() -> Simulator {
    let started = Simulator::start(SimulatorConfig::default()).await;
    started.expect("a free port")
}

fn ses(simulator: &Simulator) -> SesProvisioner {
    SesProvisioner::new(&config(&simulator.url()))
}

fn owned() -> [(String, String); 1] {
    [("tenant".to_owned(), "t-1".to_owned())]
}

#[tokio::test]
async fn a_domain_is_claimed_and_verified_when_its_records_are_found() {
    let simulator = simulator().await;
    let ses = ses(&simulator);
    assert_eq!(ses.identity(DOMAIN).await, Ok(None));
    ses.ensure_configuration_set("t-1", TOPIC)
        .await
        .expect("a set");
    let claimed = ses
        .create_identity(DOMAIN, Some("t-1"), &owned())
        .await
        .expect("claimed");
    assert!(!claimed.existed);
    let again = ses
        .create_identity(DOMAIN, Some("t-1"), &[])
        .await
        .expect("read");
    assert!(again.existed);
    assert_eq!(again.identity, claimed.identity);
    let identity = claimed.identity;
    assert!(!identity.verified_for_sending);
    assert_eq!(identity.dkim.status.as_deref(), Some("PENDING"));
    assert_eq!(identity.dkim.tokens.len(), 3);
    assert_eq!(identity.configuration_set.as_deref(), Some("t-1"));
    assert_eq!(
        identity.tags,
        owned(),
        "of the first call, which says whose it is"
    );
    assert_eq!(records(&identity, "eu-west-1", None).len(), 4);

    ses.put_mail_from(DOMAIN, "bounce.tren.example")
        .await
        .expect("put");
    let lost = DomainState {
        domain: DOMAIN.to_owned(),
        dkim: Some("FAILED".to_owned()),
        error: Some("HOST_NOT_FOUND".to_owned()),
        ..DomainState::default()
    };
    simulator.move_domain(lost).expect("a domain");
    let identity = ses
        .identity(DOMAIN)
        .await
        .expect("an answer")
        .expect("there");
    assert_eq!(
        identity.verification_error.as_deref(),
        Some("HOST_NOT_FOUND")
    );
    assert_eq!(identity.verification_status.as_deref(), Some("FAILED"));
    ses.restart_dkim(DOMAIN).await.expect("looks anew");

    let found = DomainState {
        domain: DOMAIN.to_owned(),
        dkim: Some("SUCCESS".to_owned()),
        mail_from: Some("SUCCESS".to_owned()),
        error: None,
    };
    simulator.move_domain(found).expect("a domain");
    let identity = ses
        .identity(DOMAIN)
        .await
        .expect("an answer")
        .expect("there");
    assert!(identity.verified_for_sending);
    assert_eq!(identity.verification_error, None);
    let mail_from = MailFromState {
        domain: "bounce.tren.example".to_owned(),
        status: "SUCCESS".to_owned(),
    };
    assert_eq!(identity.mail_from, Some(mail_from));
    assert_eq!(records(&identity, "eu-west-1", None).len(), 6);
}

#[tokio::test]
async fn a_configuration_set_is_brought_to_the_topic_that_is_wanted() {
    let simulator = simulator().await;
    let ses = ses(&simulator);
    ses.ensure_configuration_set("t-1", "arn:old")
        .await
        .expect("a set");
    ses.ensure_configuration_set("t-1", TOPIC)
        .await
        .expect("the same set");
    let calls = simulator.aws_calls();
    let last = calls.last().expect("a call");
    assert_eq!(last.operation, "UpdateConfigurationSetEventDestination");
    let destination = &last.body["EventDestination"];
    assert_eq!(destination["SnsDestination"]["TopicArn"], TOPIC);
    assert_eq!(destination["Enabled"], true);
    let events = destination["MatchingEventTypes"]
        .as_array()
        .expect("a list");
    for event in [
        "SEND",
        "DELIVERY",
        "BOUNCE",
        "COMPLAINT",
        "REJECT",
        "DELIVERY_DELAY",
    ] {
        assert!(events.iter().any(|known| known == event), "{event}");
    }
}

#[tokio::test]
async fn a_tenant_owns_its_domain_until_both_are_given_up() {
    let simulator = simulator().await;
    let ses = ses(&simulator);
    ses.ensure_configuration_set("t-1", TOPIC)
        .await
        .expect("a set");
    ses.create_identity(DOMAIN, None, &owned())
        .await
        .expect("claimed");
    let tenant = ses.ensure_tenant("t-1", &owned()).await.expect("an answer");
    let tenant = tenant.expect("tenants are there");
    assert_eq!(tenant.sending_status, "ENABLED");
    assert_eq!(
        ses.ensure_tenant("t-1", &owned()).await,
        Ok(Some(tenant.clone()))
    );
    let create = simulator.aws_calls();
    let create = create
        .iter()
        .find(|call| call.operation == "CreateTenant")
        .expect("a call");
    assert_eq!(
        create.body["SuppressionAttributes"]["SuppressionScope"],
        "TENANT"
    );
    for _ in 0..2 {
        ses.associate(&tenant, DOMAIN, "t-1")
            .await
            .expect("repeatable");
    }
    let error = ses
        .delete_identity(DOMAIN)
        .await
        .expect_err("it is the tenant's");
    assert_eq!(
        (error.class, error.code.as_str()),
        (WrongInput, "BadRequestException")
    );
    ses.delete_tenant(&tenant, DOMAIN, "t-1")
        .await
        .expect("given up");
    for _ in 0..2 {
        ses.delete_identity(DOMAIN).await.expect("repeatable");
        ses.delete_configuration_set("t-1")
            .await
            .expect("repeatable");
        ses.delete_tenant(&tenant, DOMAIN, "t-1")
            .await
            .expect("repeatable");
    }
    assert_eq!(ses.identity(DOMAIN).await, Ok(None));
    assert_eq!(ses.tenant("t-1").await, Ok(None));
}

#[tokio::test]
async fn an_account_without_tenants_says_so() {
    let simulator = simulator().await;
    simulator.ses_tenants(false);
    let ses = ses(&simulator);
    assert_eq!(ses.ensure_tenant("t-1", &[]).await, Ok(None));
    assert_eq!(ses.tenant("t-1").await, Ok(None));
}

#[tokio::test]
async fn what_is_no_domain_makes_no_call() {
    let simulator = simulator().await;
    let ses = ses(&simulator);
    for bad in [
        "",
        "tren",
        "Tren.example",
        "a@tren.example",
        "-a.example",
        "a..example",
        "año.example",
    ] {
        let error = ses.create_identity(bad, None, &[]).await.expect_err(bad);
        assert_eq!(
            (error.class, error.code.as_str()),
            (WrongInput, "invalid-domain")
        );
    }
    for bad in [
        DOMAIN,
        ".tren.example",
        "xtren.example",
        "bounce.other.example",
    ] {
        let error = ses.put_mail_from(DOMAIN, bad).await.expect_err(bad);
        assert_eq!(error.code, "invalid-mail-from");
    }
    assert_eq!(simulator.aws_calls().len(), 0);
}

/// Status, code, and what it means.
const CODES: &[(u16, &str, FaultClass)] = &[
    (429, "TooManyRequestsException", RateLimited),
    (400, "ThrottlingException", RateLimited),
    (500, "ConcurrentModificationException", Retryable),
    (409, "ConflictException", Retryable),
    (500, "InternalServiceErrorException", Retryable),
    (503, "ServiceUnavailable", Retryable),
    (403, "ExpiredTokenException", Retryable),
    (400, "LimitExceededException", WrongInput),
    (400, "BadRequestException", WrongInput),
    (404, "NotFoundException", WrongInput),
    (400, "AccountSuspendedException", Permission),
    (400, "SendingPausedException", Permission),
    (403, "AccessDeniedException", Permission),
    (403, "UnrecognizedClientException", Permission),
    (400, "NeverSeenException", Unknown),
];

#[tokio::test]
async fn every_code_has_its_class_its_cause_and_its_cure() {
    let simulator = simulator().await;
    let ses = ses(&simulator);
    for &(status, code, class) in CODES {
        let script = AwsScript {
            message: "Refused for role arn:aws:iam::000000000000:role/x".to_owned(),
            ..AwsScript::fail("CreateEmailIdentity", status, code)
        };
        simulator.script_aws(script);
        let error = ses
            .create_identity(DOMAIN, None, &[])
            .await
            .expect_err("scripted");
        assert_eq!((error.class, error.code.as_str()), (class, code));
        assert_eq!(error.operation, "CreateEmailIdentity");
        assert!(
            error.cause.ends_with('.') && error.cure.ends_with('.'),
            "{code}"
        );
        assert!(class != RateLimited || error.wait.is_some(), "{code}");
        assert!(!error.message.contains("000000000000"), "{}", error.message);
    }
    let nobody = SesProvisioner::new(&config("http://127.0.0.1:9"));
    let error = nobody.identity(DOMAIN).await.expect_err("nobody there");
    assert_eq!((error.class, error.code.as_str()), (Retryable, "transport"));
}

#[tokio::test]
async fn sms_has_a_list_for_each_tenant_and_the_senders_that_are_leased() {
    let simulator = simulator().await;
    let eum = EumProvisioner::new(&config(&simulator.url()));
    assert_eq!(eum.opt_out_list("t-1").await, Ok(None));
    let list = OptOutList {
        name: "t-1".to_owned(),
        arn: "arn:aws:sms-voice:us-east-1:000000000000:opt-out-list/t-1".to_owned(),
    };
    for _ in 0..2 {
        assert_eq!(eum.ensure_opt_out_list("t-1").await, Ok(list.clone()));
    }
    let account = SmsAccount {
        is_sandbox: false,
        monthly_limit_usd: Some(1),
        highest_limit_usd: Some(50),
    };
    assert_eq!(eum.account().await, Ok(account));

    assert_eq!(eum.sender_id("TREN", "ES").await, Ok(None));
    simulator.lease(SmsSender::SenderId {
        sender_id: "TREN".to_owned(),
        country: "ES".to_owned(),
        registered: true,
    });
    let sender = eum
        .sender_id("TREN", "ES")
        .await
        .expect("an answer")
        .expect("leased");
    assert!(sender.registered);
    assert_eq!(sender.message_types, ["TRANSACTIONAL"]);
    assert_eq!(eum.sender_id("TREN", "GB").await, Ok(None));

    assert_eq!(eum.origination_number("phone-1").await, Ok(None));
    simulator.lease(SmsSender::Number {
        phone_number_id: "phone-1".to_owned(),
        phone_number: "+34600000001".to_owned(),
        country: "ES".to_owned(),
        two_way: true,
    });
    eum.assign_opt_out_list("phone-1", "t-1")
        .await
        .expect("assigned");
    let number = OriginationNumber {
        phone_number_id: "phone-1".to_owned(),
        phone_number: "+34600000001".to_owned(),
        country: "ES".to_owned(),
        is_active: true,
        two_way: true,
        opt_out_list: "t-1".to_owned(),
    };
    assert_eq!(eum.origination_number("phone-1").await, Ok(Some(number)));
    for _ in 0..2 {
        let taught = eum.opt_in_by("phone-1", "DARME DE ALTA", "Hola").await;
        taught.expect("taught");
    }
    assert_eq!(simulator.opt_in_words("phone-1"), ["DARME DE ALTA"]);
    let error = eum.opt_in_by("phone-2", "START", "Hola").await;
    assert_eq!(error.expect_err("no such number").operation, "PutKeyword");
    let error = eum
        .assign_opt_out_list("phone-1", "t-2")
        .await
        .expect_err("no such list");
    assert_eq!(
        (error.class, error.code.as_str()),
        (WrongInput, "ResourceNotFoundException")
    );
    for (status, code, class) in [
        (400, "ThrottlingException", RateLimited),
        (400, "ServiceQuotaExceededException", WrongInput),
        (400, "ConflictException", WrongInput),
        (400, "ValidationException", WrongInput),
        (400, "AccessDeniedException", Permission),
        (500, "InternalServerException", Retryable),
    ] {
        simulator.script_aws(AwsScript::fail("CreateOptOutList", status, code));
        let error = eum.ensure_opt_out_list("t-3").await.expect_err("scripted");
        assert_eq!((error.class, error.code.as_str()), (class, code));
    }
}

#[tokio::test]
async fn sms_tells_the_topic_that_is_wanted_what_becomes_of_texts() {
    let simulator = simulator().await;
    let eum = EumProvisioner::new(&config(&simulator.url()));
    let error = eum.ensure_events("t-1", TOPIC).await;
    assert_eq!(
        error.expect_err("no such set").operation,
        "CreateEventDestination"
    );
    for _ in 0..2 {
        eum.ensure_configuration_set("t-1").await.expect("a set");
    }
    assert_eq!(
        simulator.text_events("t-1"),
        [""; 0],
        "a set alone tells nothing"
    );
    let error = eum.ensure_events("t-1", "arn:aws:sns:us-east-1:1:x").await;
    let error = error.expect_err("another account's");
    assert_eq!(
        (error.class, error.code.as_str()),
        (WrongInput, "ValidationException")
    );
    let old = "arn:aws:sns:us-east-1:000000000000:old";
    for topic in [old, TOPIC, TOPIC] {
        eum.ensure_events("t-1", topic).await.expect("told");
        assert_eq!(simulator.text_events("t-1"), [topic]);
    }
    simulator.silence("t-1");
    assert_eq!(simulator.text_events("t-1"), [""; 0]);
    eum.ensure_events("t-1", TOPIC).await.expect("told again");
    assert_eq!(simulator.text_events("t-1"), [TOPIC]);
    for operation in [
        "CreateConfigurationSet",
        "CreateEventDestination",
        "UpdateEventDestination",
    ] {
        simulator.script_aws(AwsScript::fail(operation, 400, "ThrottlingException"));
        let answer = match eum.ensure_configuration_set("t-1").await {
            Ok(()) => eum.ensure_events("t-1", TOPIC).await,
            refused => refused,
        };
        let error = answer.expect_err("scripted");
        assert_eq!((error.class, error.operation), (RateLimited, operation));
    }
}

#[tokio::test]
async fn a_number_tells_the_topic_what_it_hears_where_it_can() {
    let simulator = simulator().await;
    let eum = EumProvisioner::new(&config(&simulator.url()));
    let hears = async || {
        let number = eum.origination_number("phone-1").await;
        number.expect("an answer").expect("leased").two_way
    };
    simulator.lease(SmsSender::Number {
        phone_number_id: "phone-1".to_owned(),
        phone_number: "+34600000001".to_owned(),
        country: "ES".to_owned(),
        two_way: false,
    });
    simulator.deaf("phone-1", true);
    let error = eum.hear_at("phone-1", TOPIC).await.expect_err("deaf");
    assert_eq!(
        (error.class, error.code.as_str()),
        (
            WrongInput,
            "ValidationException/TWO_WAY_NOT_SUPPORTED_IN_COUNTRY"
        )
    );
    assert!(!hears().await);
    simulator.deaf("phone-1", false);
    for _ in 0..2 {
        eum.hear_at("phone-1", TOPIC).await.expect("it hears");
    }
    assert!(hears().await);
    assert_eq!(simulator.hears_at("phone-1").as_deref(), Some(TOPIC));
    for (number, topic) in [("phone-2", TOPIC), ("phone-1", "no topic")] {
        let error = eum.hear_at(number, topic).await.expect_err(number);
        assert_eq!(error.class, WrongInput, "{number} {topic}");
    }
}
