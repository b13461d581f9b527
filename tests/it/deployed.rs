//! The journey on the deployed stack: the binaries that template.yaml deploys, driven from outside.

use comms_core::inbound::{self, Door};
use comms_core::platform::config::Secret;
use comms_core::platform::{Aws, Database, MediaQueue};
use comms_simulator::{Inbound, Media, Number, StatusReport, WebhookBuilder};
use comms_tests::seed::{Traveller, albion, iberia};
use comms_tests::stack::{Stack, setting};
use comms_tests::world::files::{SOURCE, message, named};
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

/// Nobody else's number: the stack's database outlives the test.
fn phone() -> String {
    format!("346{:08}", Uuid::now_v7().as_u128() % 100_000_000)
}

fn traveller(phone: &str) -> Traveller {
    // Leaked: a handful of bytes in a test process, and the fixture's texts are static.
    Traveller::new(
        "Ana García",
        Some(Box::leak(format!("+{phone}").into_boxed_str())),
        Some("es"),
    )
}

#[tokio::test]
async fn a_delayed_trip_reaches_a_passenger_who_answers_and_gets_a_reply() {
    let (stack, operator, phone) = (Stack::from_env().await.unwrap(), iberia(), phone());
    let trip = operator
        .schedule(&stack.pool, "E2E-1", vec![traveller(&phone)])
        .await
        .unwrap();
    let event = stack.delay(&trip).await.unwrap();
    let answers = join_all((0..5).map(|_| stack.hasura_reports(&event))).await;
    let answer = answers[0].as_ref().unwrap();
    assert!(
        answers
            .iter()
            .all(|other| other.as_ref().unwrap() == answer)
    );
    let message: Uuid = answer["run"]["recipients"][0]["message_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    read(&stack, message).await;

    let inbound =
        json!({"phone_number_id": operator.phone_number_id, "from": phone, "text": "¿Cuánto?"});
    stack.simulator("inbound", &inbound).await.unwrap();
    let conversation = conversation_of(&stack, message).await;
    let claim = stack
        .agent_acts(
            &operator,
            operator.agent,
            "claimConversation",
            &json!({"conversation_id": conversation}),
        )
        .await
        .unwrap();
    assert_eq!(claim.0, 200, "{}", claim.1);
    let reply = json!({"conversation_id": conversation, "client_message_id": Uuid::now_v7(), "content": {"text": "45 minutos"}});
    let (status, replied) = stack
        .agent_acts(&operator, operator.agent, "sendAgentMessage", &reply)
        .await
        .unwrap();
    assert_eq!(status, 200, "{replied}");
    let reply: Uuid = replied["message_id"].as_str().unwrap().parse().unwrap();
    read(&stack, reply).await;
    for sent in [message, reply] {
        assert_eq!(stack.calls_for(sent).await.unwrap().len(), 1);
    }
    let (status, refused) = stack
        .agent_acts(
            &albion(),
            albion().agent,
            "claimConversation",
            &json!({"conversation_id": conversation}),
        )
        .await
        .unwrap();
    assert_eq!(
        (status, refused["extensions"]["code"].as_str()),
        (404, Some("not-found"))
    );
}

async fn read(stack: &Stack, message: Uuid) {
    let sql = "select 1 from communications.messages where id = $1 and status = 'READ'";
    stack
        .until::<(i32,)>("the message is READ", sql, message)
        .await
        .unwrap();
}

async fn conversation_of(stack: &Stack, message: Uuid) -> Uuid {
    let sql = "select conversation_id from communications.messages where id = $1 and conversation_id is not null";
    stack
        .until::<(Uuid,)>("the automated message is in a thread", sql, message)
        .await
        .unwrap()
        .0
}

#[tokio::test]
async fn accepted_and_hung_up_is_settled_by_the_providers_report_with_one_call() {
    let (stack, operator, phone) = (Stack::from_env().await.unwrap(), iberia(), phone());
    let script = json!({"recipient": phone, "answer": {"kind": "hang_up"}});
    stack.simulator("script", &script).await.unwrap();
    let trip = operator
        .schedule(&stack.pool, "E2E-2", vec![traveller(&phone)])
        .await
        .unwrap();
    let answer = stack
        .hasura_reports(&stack.delay(&trip).await.unwrap())
        .await
        .unwrap();
    let message: Uuid = answer["run"]["recipients"][0]["message_id"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    read(&stack, message).await;
    assert_eq!(stack.calls_for(message).await.unwrap().len(), 1);
    let sql = "select class from communications.message_attempts where message_id = $1 and finished_at is not null";
    assert_eq!(
        stack
            .until::<(String,)>("the attempt is settled", sql, message)
            .await
            .unwrap()
            .0,
        "AMBIGUOUS"
    );
}

#[tokio::test]
async fn the_webhook_door_of_the_stack() {
    let stack = Stack::from_env().await.unwrap();
    let (a, b) = (iberia(), albion());
    let token = setting("META_VERIFY_TOKEN").unwrap();
    assert_eq!(
        stack
            .meta_verifies(a.tenant, &token, "1158201444")
            .await
            .unwrap(),
        (200, "1158201444".to_owned())
    );
    assert_eq!(
        stack
            .meta_verifies(a.tenant, "wrong", "1158201444")
            .await
            .unwrap()
            .0,
        403
    );

    let (from, id) = (phone(), format!("wamid.{}", Uuid::now_v7().simple()));
    let message = Inbound {
        id: id.clone(),
        ..Inbound::text(&from, "para los dos ñ/")
    };
    let numbers: (Number, Number) = (a.number(), b.number());
    let unknown = StatusReport::new(
        &format!("wamid.{}", Uuid::now_v7().simple()),
        "delivered",
        &from,
    );
    let builder = WebhookBuilder::new(&stack.app_secret);
    let payload = builder
        .message(&numbers.0, &message)
        .status(&numbers.0, &unknown)
        .message(&numbers.1, &message)
        .build();
    let statuses = join_all((0..20).map(|_| stack.meta_posts(a.tenant, &payload))).await;
    assert!(
        statuses
            .iter()
            .all(|status| *status.as_ref().unwrap() == 200)
    );
    assert_eq!(
        owners(&stack, &id).await,
        [a.tenant.0, b.tenant.0],
        "each number's message with its owner"
    );
    assert_eq!(stack.meta_posts(b.tenant, &payload).await.unwrap(), 200);
    assert_eq!(owners(&stack, &id).await, [a.tenant.0, b.tenant.0]);
    assert_eq!(
        stack
            .meta_posts(
                a.tenant,
                &WebhookBuilder::new("another")
                    .message(&numbers.0, &message)
                    .build()
            )
            .await
            .unwrap(),
        401
    );
}

async fn owners(stack: &Stack, external_id: &str) -> Vec<Uuid> {
    let sql = "select tenant_id from communications.messages where external_message_id = $1 order by tenant_id";
    sqlx::query_scalar(sql)
        .bind(external_id)
        .fetch_all(&stack.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_sleeper_wakes_by_the_schedule_alone() {
    let (stack, operator) = (Stack::from_env().await.unwrap(), iberia());
    let id = Uuid::now_v7();
    let inbound = json!({"phone_number_id": operator.phone_number_id, "from": phone(), "text": id});
    stack.simulator("inbound", &inbound).await.unwrap();
    let sql = "select conversation_id from communications.messages where direction = 'INBOUND' and body = ($1::uuid)::text";
    let (conversation,): (Uuid,) = stack.until("the message is there", sql, id).await.unwrap();
    let snooze = "update communications.conversations set status = 'SNOOZED', snoozed_until = now() - interval '1 minute' where id = $1";
    sqlx::query(snooze)
        .bind(conversation)
        .execute(&stack.pool)
        .await
        .unwrap();
    let awake = "select 1 from communications.conversations where id = $1 and status = 'OPEN'";
    stack
        .until::<(i32,)>("the schedule woke it", awake, conversation)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_that_a_customer_sends_ends_in_the_bucket() {
    let (stack, operator) = (Stack::from_env().await.unwrap(), iberia());
    let upload = json!({"phone_number_id": operator.phone_number_id, "mime_type": "application/pdf", "base64": "JVBERi0xLjQ="});
    let object = stack.simulator("media", &upload).await.unwrap();
    let media = Media::new(operator.phone_number_id, "application/pdf", b"%PDF-1.4");
    let file = named("document", object["id"].as_str().unwrap(), &media);
    let event = message(operator.phone_number_id, operator.waba_id, file);

    let aws = Aws::default();
    let database = Database::new(Secret::of(
        "DATABASE_URL",
        setting("DATABASE_URL").unwrap().into(),
    ));
    let ingested = inbound::take_in(
        &database,
        SOURCE,
        Door::Tenant(operator.tenant),
        vec![event],
    )
    .await
    .unwrap();
    let [(_, id)] = ingested.media[..] else {
        panic!("{ingested:?}")
    };
    let queue = MediaQueue::at(&aws, &setting("MEDIA_QUEUE_URL").unwrap());
    queue.announce(&ingested.media).await;
    let sql =
        "select storage_key from communications.message_media where id = $1 and state = 'STORED'";
    let (key,): (String,) = stack.until("the file is STORED", sql, id.0).await.unwrap();
    let bucket = setting("MEDIA_BUCKET").unwrap();
    let call = aws.s3().await.get_object().bucket(bucket).key(key);
    let object = call.send().await.unwrap();
    assert_eq!(object.content_type(), Some("application/pdf"));
    assert_eq!(object.body.collect().await.unwrap().to_vec(), b"%PDF-1.4");
}
