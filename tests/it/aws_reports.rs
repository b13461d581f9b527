//! What AWS reports about emails and texts finds its message by our tag or its id, and has all its effects.

use crate::shown::orders;
use comms_core::model::{AccountId, MessageId, TenantId};
use comms_core::platform::config::Secret;
use comms_core::platform::{Database, clock};
use comms_tests::world::World;
use comms_tests::world::aws::{Letter, TOPIC};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::datetime;
use uuid::Uuid;

/// A message of the first operator's that its provider has.
struct Sent {
    id: Uuid,
    account: AccountId,
    external: String,
}

async fn sent(world: &World, account: AccountId, channel: &str, address: &str) -> Sent {
    let (id, external) = (Uuid::now_v7(), format!("x-{}", Uuid::now_v7().simple()));
    let tenant = world.iberia.tenant;
    sqlx::query(
        "with person as (
             insert into communications.contacts (tenant_id, id) values ($1, gen_random_uuid()) returning id),
         queued as (
             insert into communications.messages
                 (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category,
                  attempts)
             select $1, $2, 'OUTBOUND', $4, $3, id, 'SYSTEM', $5, '{\"type\": \"text\", \"body\": \"t\"}', 'QUEUED', 'TRANSACTIONAL',
                    'TRANSACTIONAL', 1 from person)
         select 1",
    )
    .bind(tenant)
    .bind(id)
    .bind(account)
    .bind(channel)
    .bind(address)
    .execute(&world.pool)
    .await
    .unwrap();
    sqlx::query("update communications.messages set status = 'SENT', external_message_id = $2, sent_at = now() where id = $1")
        .bind(id)
        .bind(&external)
        .execute(&world.pool)
        .await
        .unwrap();
    Sent {
        id,
        account,
        external,
    }
}

fn mail_of(sent: &Sent, tenant: TenantId) -> Value {
    json!({
        "timestamp": "2026-11-23T09:59:58.000Z", "messageId": sent.external, "source": "Iberia <hola@iberia.example>",
        "destination": ["eva@example.org"], "headersTruncated": false, "headers": [], "commonHeaders": {},
        "tags": {"tenant_id": [tenant], "account_id": [sent.account], "message_id": [sent.id]}
    })
}

fn bounce(mail: &Value, kind: &str, sub_kind: &str) -> Value {
    json!({
        "eventType": "Bounce", "mail": mail,
        "bounce": {"bounceType": kind, "bounceSubType": sub_kind, "timestamp": "2026-11-23T10:00:02.000Z", "feedbackId": "f-1",
                   "bouncedRecipients": [{"emailAddress": "eva@example.org", "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550"}]}
    })
}

fn delivery(mail: &Value) -> Value {
    json!({"eventType": "Delivery", "mail": mail,
           "delivery": {"timestamp": "2026-11-23T10:00:01.000Z", "processingTimeMillis": 9, "recipients": ["eva@example.org"],
                        "smtpResponse": "250 ok", "reportingMTA": "a1"}})
}

async fn status(world: &World, sent: &Sent) -> String {
    sqlx::query_scalar("select status from communications.messages where id = $1")
        .bind(sent.id)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_delivery_is_found_by_its_tags_or_by_its_id() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let (tagged, untagged) = (
        sent(&world, account, "EMAIL", "eva@example.org").await,
        sent(&world, account, "EMAIL", "leo@example.org").await,
    );
    let mut without = mail_of(&untagged, world.iberia.tenant);
    without["tags"] = json!({});
    let told = [
        delivery(&mail_of(&tagged, world.iberia.tenant)),
        delivery(&without),
    ];
    for _ in 0..2 {
        assert!(world.aws_tells(&told).await.is_empty());
    }
    assert_eq!(status(&world, &tagged).await, "DELIVERED");
    assert_eq!(status(&world, &untagged).await, "DELIVERED");
    assert_eq!(world.count("message_status_events").await, 2);
    assert_eq!(world.count("quarantine").await, 0);
}

#[tokio::test]
async fn a_hard_bounce_ends_the_address_and_a_soft_one_does_not() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let soft = sent(&world, account, "EMAIL", "full@example.org").await;
    let hard = sent(&world, account, "EMAIL", "nobody@example.org").await;
    let tenant = world.iberia.tenant;
    world
        .aws_tells(&[
            bounce(&mail_of(&soft, tenant), "Transient", "MailboxFull"),
            bounce(&mail_of(&hard, tenant), "Permanent", "General"),
        ])
        .await;
    assert_eq!(status(&world, &soft).await, "FAILED");
    assert_eq!(status(&world, &hard).await, "FAILED");
    let suppressed: Vec<(Uuid, String, String)> =
        sqlx::query_as("select tenant_id, address, reason from communications.suppressions")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        suppressed,
        [(
            tenant.0,
            "nobody@example.org".to_owned(),
            "BOUNCE".to_owned()
        )]
    );

    // What is queued for it does not leave; a mailbox of the same name at another tenant is none of ours.
    let next = sent(&world, account, "EMAIL", "nobody@example.org").await;
    sqlx::query("delete from communications.messages where id = $1")
        .bind(next.id)
        .execute(&world.pool)
        .await
        .unwrap();
    let queued = queue(&world, account, "nobody@example.org").await;
    world.step_dispatch().await;
    let ended: (String, String) =
        sqlx::query_as("select status, failed_code from communications.messages where id = $1")
            .bind(queued.0)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        ended,
        ("SUPPRESSED".to_owned(), "address-suppressed".to_owned())
    );
}

async fn queue(world: &World, account: AccountId, address: &str) -> MessageId {
    let id = MessageId::generate();
    sqlx::query(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category)
         select $1, $2, 'OUTBOUND', 'EMAIL', $3, c.id, 'SYSTEM', $4, '{\"type\": \"text\", \"body\": \"t\"}', 'QUEUED', 'TRANSACTIONAL',
                'TRANSACTIONAL' from communications.contacts c limit 1",
    )
    .bind(world.iberia.tenant)
    .bind(id)
    .bind(account)
    .bind(address)
    .execute(&world.pool)
    .await
    .unwrap();
    id
}

#[tokio::test]
async fn a_complaint_is_an_opt_out_and_no_failure() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    let mail = mail_of(&sent, world.iberia.tenant);
    world.aws_tells(&[delivery(&mail)]).await;
    world
        .aws_tells(&[json!({"eventType": "Complaint", "mail": mail,
            "complaint": {"complainedRecipients": [{"emailAddress": "eva@example.org"}], "timestamp": "2026-11-23T11:00:00.000Z",
                          "feedbackId": "c-1", "complaintSubType": null, "complaintFeedbackType": "abuse"}})])
        .await;
    assert_eq!(status(&world, &sent).await, "DELIVERED");
    assert_eq!(
        world.count("suppressions where reason = 'COMPLAINT'").await,
        1
    );
    assert_eq!(
        world
            .count("current_consents where not granted and channel = 'EMAIL'")
            .await,
        3
    );
}

/// That an address is none is over when somebody writes from it; that somebody complained, when they say start.
#[tokio::test]
async fn an_address_is_written_to_again_when_its_owner_writes() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    let mail = mail_of(&sent, world.iberia.tenant);
    let bounce = json!({"eventType": "Bounce", "mail": mail,
        "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "timestamp": "2026-11-23T11:00:00.000Z", "feedbackId": "b-1",
                   "bouncedRecipients": [{"emailAddress": "eva@example.org"}]}});
    let complaint = json!({"eventType": "Complaint", "mail": mail,
        "complaint": {"complainedRecipients": [{"emailAddress": "eva@example.org"}], "timestamp": "2026-11-23T11:00:00.000Z",
                      "feedbackId": "c-1", "complaintSubType": null, "complaintFeedbackType": "abuse"}});
    // By SES's clock: before the bounce was told, and after it.
    let writes = |text: &str, at: time::OffsetDateTime| {
        let mut letter = Letter::new("Eva <eva@example.org>", &to, "Hola", text)
            .with_header("Reply-To: elsewhere@example.org");
        letter.receipt = json!({"timestamp": at.format(&Rfc3339).unwrap()});
        letter
    };
    let now = || clock::now() + time::Duration::seconds(1);
    for (told, words, at, left) in [
        (&bounce, "Hola", datetime!(2026-11-23 10:00 UTC), 1),
        (&bounce, "Hola", now(), 0),
        (&complaint, "Hola", now(), 1),
        (&complaint, "start", now(), 0),
    ] {
        world
            .execute("delete from communications.message_status_events")
            .await;
        world.aws_tells(std::slice::from_ref(told)).await;
        world.mail_arrives(&writes(words, at)).await;
        assert_eq!(world.count("suppressions").await, left, "{words}, {told}");
    }
}

/// What came since is not undone by a report that was long under way, and a complaint says more than a bounce.
#[tokio::test]
async fn a_late_report_outlasts_nothing_that_was_said_since() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    let mail = mail_of(&sent, world.iberia.tenant);
    let complained = |at: time::OffsetDateTime| {
        json!({"eventType": "Complaint", "mail": mail,
            "complaint": {"complainedRecipients": [{"emailAddress": "eva@example.org"}], "timestamp": at.format(&Rfc3339).unwrap(),
                          "feedbackId": "c-1", "complaintSubType": null, "complaintFeedbackType": "abuse"}})
    };
    let bounced = |at: time::OffsetDateTime| {
        json!({"eventType": "Bounce", "mail": mail,
            "bounce": {"bounceType": "Permanent", "bounceSubType": "General", "timestamp": at.format(&Rfc3339).unwrap(), "feedbackId": "b-1",
                       "bouncedRecipients": [{"emailAddress": "eva@example.org"}]}})
    };
    let writes = async |text: &str, at: time::OffsetDateTime| {
        let mut letter = Letter::new("Eva <eva@example.org>", &to, "Hola", text);
        letter.receipt = json!({"timestamp": at.format(&Rfc3339).unwrap()});
        world.mail_arrives(&letter).await;
    };
    let tells = async |report: Value| {
        world
            .execute("delete from communications.message_status_events")
            .await;
        world.aws_tells(&[report]).await;
        world
            .scalar::<Option<String>>(
                "select string_agg(reason || to_char(at at time zone 'UTC', ' HH24'), ', ' order by reason) from communications.suppressions",
            )
            .await
    };
    sqlx::query(
        "insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select tenant_id, 'email', address, contact_id from communications.messages where id = $1",
    )
    .bind(sent.id)
    .execute(&world.pool)
    .await
    .unwrap();
    writes("Hola", datetime!(2026-11-23 12:00 UTC)).await;
    assert_eq!(tells(bounced(datetime!(2026-11-23 11:00 UTC))).await, None);
    let bounce = tells(bounced(datetime!(2026-11-23 13:00 UTC))).await;
    assert_eq!(bounce.as_deref(), Some("BOUNCE 13"));
    let complaint = tells(complained(datetime!(2026-11-23 11:00 UTC))).await;
    // Each ends by itself.
    assert_eq!(complaint.as_deref(), Some("BOUNCE 13, COMPLAINT 11"));
    writes("start", datetime!(2026-11-23 14:00 UTC)).await;
    assert_eq!(
        tells(complained(datetime!(2026-11-23 11:00 UTC))).await,
        None
    );
    assert_eq!(
        world
            .count("current_consents where not granted and category <> 'MARKETING'")
            .await,
        0
    );
}

/// SES reports an automatic answer to a mail that arrived so, and says of no bounce that it is one.
#[tokio::test]
async fn an_absence_notice_makes_no_failure_of_a_mail_that_arrived() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let bounce = |mail: &Value, sort: &str| {
        json!({"eventType": "Bounce", "mail": mail,
            "bounce": {"bounceType": "Transient", "bounceSubType": sort, "timestamp": "2026-11-23T11:00:00.000Z", "feedbackId": "b-1",
                       "bouncedRecipients": [{"emailAddress": "eva@example.org"}]}})
    };
    for (arrived, sort, expected) in [
        (true, "General", ("DELIVERED", false)),
        (true, "MailboxFull", ("DELIVERED", true)),
        (false, "General", ("FAILED", true)),
    ] {
        let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
        let mail = mail_of(&sent, world.iberia.tenant);
        if arrived {
            world.aws_tells(&[delivery(&mail)]).await;
        }
        world.aws_tells(&[bounce(&mail, sort)]).await;
        let failed: bool = sqlx::query_scalar(
            "select failed_at is not null from communications.messages where id = $1",
        )
        .bind(sent.id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        let now = (status(&world, &sent).await, failed);
        assert_eq!((now.0.as_str(), now.1), expected, "{sort}");
    }
}

/// Somebody complained before, where the list is the AWS account's perhaps of another tenant: SES took the message and did not send it.
#[tokio::test]
async fn what_a_list_of_complaints_kept_back_has_failed() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    let kept_back = json!({"eventType": "Complaint", "mail": mail_of(&sent, world.iberia.tenant),
        "complaint": {"complainedRecipients": [{"emailAddress": "eva@example.org"}], "timestamp": "2026-11-23T11:00:00.000Z",
                      "feedbackId": "c-1", "complaintSubType": "OnTenantSuppressionList"}});
    world.aws_tells(&[kept_back]).await;
    assert_eq!(status(&world, &sent).await, "FAILED");
    assert_eq!(world.count("suppressions where reason = 'BOUNCE'").await, 1);
    assert_eq!(world.count("consents").await, 0, "nobody said anything");
}

fn line(message: &str, status: &str, response: &str) -> Value {
    json!({
        "notification": {"messageId": message, "timestamp": "2026-11-23 10:00:00.123"},
        "delivery": {"numberOfMessageParts": 2, "destination": "+34600999000", "priceInUSD": 0.0645, "smsType": "Transactional",
                     "providerResponse": response, "dwellTimeMs": 599},
        "status": status
    })
}

#[tokio::test]
async fn the_log_of_texts_brings_receipts_prices_and_wishes() {
    let world = World::new().await;
    let account = world.iberia.connect_sms(&world.pool).await.unwrap();
    let (arrived, refused) = (
        sent(&world, account, "SMS", "+34600999000").await,
        sent(&world, account, "SMS", "+34600999001").await,
    );
    let lines = [
        line(
            &arrived.external,
            "SUCCESS",
            "Message has been accepted by phone",
        ),
        line(&refused.external, "FAILURE", "Phone number is opted out"),
    ];
    assert_eq!(world.sms_log_says(&lines).await, 2);
    assert_eq!(world.sms_log_says(&lines).await, 0);
    assert_eq!(status(&world, &arrived).await, "DELIVERED");
    assert_eq!(status(&world, &refused).await, "FAILED");
    let price: (i64, i32) = sqlx::query_as(
        "select micros, units from communications.message_prices where message_id = $1",
    )
    .bind(arrived.id)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(price, (64_500, 2));
    assert_eq!(
        world
            .count("current_consents where not granted and channel = 'SMS'")
            .await,
        3
    );
}

/// The list that SNS looks at for a text without a number of ours is the AWS account's: somebody said it to another tenant perhaps.
#[tokio::test]
async fn a_stop_on_the_list_of_all_tenants_is_no_wish() {
    let world = World::new().await;
    let account = world.iberia.connect_sms(&world.pool).await.unwrap();
    world
        .execute(
            "update communications.channel_accounts set provider = 'SNS' where channel = 'SMS'",
        )
        .await;
    let refused = sent(&world, account, "SMS", "+34600999001").await;
    let lines = [line(
        &refused.external,
        "FAILURE",
        "Phone number is opted out",
    )];
    assert_eq!(world.sms_log_says(&lines).await, 1);
    assert_eq!(status(&world, &refused).await, "FAILED");
    assert_eq!(world.count("consents").await, 0);
}

#[tokio::test]
async fn a_report_ahead_of_our_commit_waits_and_is_taken_in_by_the_scan() {
    let world = World::new().await;
    let account = world.iberia.connect_sms(&world.pool).await.unwrap();
    let early = line("not-yet", "SUCCESS", "Message has been accepted by phone");
    assert_eq!(world.sms_log_says(&[early]).await, 0);
    let reason: String = world
        .scalar("select reason from communications.quarantine")
        .await;
    assert_eq!(reason, "UNKNOWN_MESSAGE");

    let sent = sent(&world, account, "SMS", "+34600999000").await;
    sqlx::query("update communications.messages set external_message_id = 'not-yet' where id = $1")
        .bind(sent.id)
        .execute(&world.pool)
        .await
        .unwrap();
    stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(
        status(&world, &sent).await,
        "SENT",
        "its minute is not over"
    );
    world
        .execute(
            "update communications.quarantine set first_seen_at = now() - interval '2 minutes'",
        )
        .await;
    stuck_scan::handle(&world.scan).await.unwrap();
    assert_eq!(status(&world, &sent).await, "DELIVERED");
    assert_eq!(world.count("quarantine where replayed_at is null").await, 0);
}

#[tokio::test]
async fn a_text_to_our_number_is_a_message_in_its_thread() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let text = |id: &str, to: &str, body: &str| {
        json!({"originationNumber": "+34600999000", "destinationNumber": to, "messageKeyword": "KEYWORD_1",
               "messageBody": body, "inboundMessageId": id})
    };
    let ours = format!("+{}", world.iberia.display_number);
    let told = [
        text("s-1", &ours, "¿a qué hora sale?"),
        text("s-2", &ours, "STOP"),
        text("s-3", "+10000000000", "nobody's"),
    ];
    for _ in 0..2 {
        assert!(world.aws_tells(&told).await.is_empty());
    }
    assert_eq!(
        world
            .count("messages where direction = 'INBOUND' and channel = 'SMS'")
            .await,
        2
    );
    assert_eq!(
        (
            world.count("conversations").await,
            world.count("contacts").await
        ),
        (1, 1)
    );
    assert_eq!(
        world
            .count("quarantine where reason = 'UNKNOWN_ACCOUNT'")
            .await,
        1
    );
    assert_eq!(
        world
            .count("current_consents where not granted and channel = 'SMS'")
            .await,
        3
    );
}

#[tokio::test]
async fn a_text_from_what_is_no_phone_is_kept_and_holds_back_nobody() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let ours = format!("+{}", world.iberia.display_number);
    let text = |id: usize, from: &str| json!({"originationNumber": from, "destinationNumber": ours, "messageBody": "hola", "inboundMessageId": id.to_string()});
    let strange = ["12345", "+0123456789", "+1234567890123456", "00346009"];
    let senders = ["+34600999000"].into_iter().chain(strange).enumerate();
    let told: Vec<Value> = senders.map(|(id, from)| text(id, from)).collect();
    assert!(world.aws_tells(&told).await.is_empty());
    assert_eq!(
        world
            .scalar::<String>("select address from communications.messages")
            .await,
        "+34600999000"
    );
    assert_eq!(
        world.count("quarantine where reason = 'MALFORMED'").await,
        4
    );
}

/// AWS goes by the first word of a text, whatever was meant by it: nothing more would get through.
#[tokio::test]
async fn whom_aws_has_put_on_its_list_is_not_written_to() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let ours = format!("+{}", world.iberia.display_number);
    let text = |id: &str, keyword: &str, body: &str| {
        json!({"originationNumber": "+34600999000", "destinationNumber": ours,
        "messageBody": body, "inboundMessageId": id, "messageKeyword": keyword})
    };
    let asks = text("1", "KEYWORD_34911000001", "¿a qué hora?");
    world.aws_tells(&[asks]).await;
    assert_eq!(world.count("consents").await, 0);
    let cancels = text("2", "CANCEL", "Cancel my seat 12A please");
    world.aws_tells(&[cancels]).await;
    assert_eq!(
        world
            .count("consents where not granted and source = 'provider'")
            .await,
        3
    );
    assert_eq!(world.count("messages").await, 2);
}

/// The list that AWS looks at for a sender id is the AWS account's: the stop on it may have been said to anybody. A number has its own.
#[tokio::test]
async fn a_stop_that_may_have_been_said_to_another_operator_is_none() {
    let world = World::new().await;
    let account = world.iberia.connect_sms(&world.pool).await.unwrap();
    for (external, refused) in [("ES:IBERIA", 0), ("25555", 3), ("+34911000001", 6)] {
        let sent = sent(&world, account, "SMS", "+34600999000").await;
        sqlx::query(
            "update communications.channel_accounts set external_account_id = $2 where id = $1",
        )
        .bind(account)
        .bind(external)
        .execute(&world.pool)
        .await
        .unwrap();
        sqlx::query(
            "select communications.apply_effects(array[$1], array[$2], array['x'], array['x'], array[0], array['OPT_OUT'], array[null]::integer[])",
        )
        .bind(world.iberia.tenant)
        .bind(sent.id)
        .execute(&world.pool)
        .await
        .unwrap();
        assert_eq!(world.count("consents").await, refused, "{external}");
    }
}

#[tokio::test]
async fn what_should_have_been_read_wakes_somebody_and_what_is_new_does_not() {
    let world = World::new().await;
    let text = json!({"originationNumber": "+34600999000", "destinationNumber": "+34911000001", "messageBody": "hola"});
    let mail = json!({"notificationType": "Received", "receipt": {"recipients": "hola@in.example"}, "mail": {}});
    let told = [text, mail, json!({"eventType": "Brand New"})];
    assert!(world.aws_tells(&told).await.is_empty());
    let bare = json!({"Records": [{"messageId": "r", "body": "no JSON", "attributes": {}}]});
    let answer = aws_events::handle(&world.aws_events, bare).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let reasons = async || -> Vec<String> {
        sqlx::query_scalar(
            "select coalesce(replay_error, reason) from communications.quarantine order by 1",
        )
        .fetch_all(&world.pool)
        .await
        .unwrap()
    };
    let expected = ["MALFORMED", "MALFORMED", "UNHANDLED_FIELD", "UNREADABLE"];
    assert_eq!(reasons().await, expected);
    // Read again by the same parser, each says the same.
    let kept = world.replays(&json!({"source": "AWS_NOTIFICATION"})).await;
    assert_eq!((kept.replayed, kept.kept.len()), (0, 4));
    assert_eq!(reasons().await, expected);
}

#[tokio::test]
async fn what_our_topics_did_not_send_is_kept_and_not_acted_on() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    let message = bounce(&mail_of(&sent, world.iberia.tenant), "Permanent", "General");
    let record = comms_tests::world::aws::record(0, &message.to_string());
    let body = record["body"]
        .as_str()
        .unwrap()
        .replace(TOPIC, "arn:aws:sns:us-east-1:999999999999:theirs");
    let event = json!({"Records": [{"messageId": "r", "body": body, "attributes": {}}]});
    let answer = aws_events::handle(&world.aws_events, event).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    // Nor is what only looks like one of theirs.
    let half = json!({"Type": "Notice", "TopicArn": TOPIC, "Message": message.to_string()});
    let event =
        json!({"Records": [{"messageId": "r", "body": half.to_string(), "attributes": {}}]});
    aws_events::handle(&world.aws_events, event).await;
    assert_eq!(status(&world, &sent).await, "SENT");
    let strange = "quarantine where reason = 'STRANGE_TOPIC' and replayed_at is null";
    assert_eq!(world.count(strange).await, 2);
    let replayed = world.replays(&json!({"source": "AWS_NOTIFICATION"})).await;
    assert_eq!((replayed.matched, replayed.replayed), (0, 0));
    assert_eq!(status(&world, &sent).await, "SENT");
}

/// SNS's log is told once: a line that the database never takes holds back no other.
#[tokio::test]
async fn a_line_that_the_database_refuses_takes_nobody_with_it() {
    let world = World::new().await;
    let account = world.iberia.connect_sms(&world.pool).await.unwrap();
    let sent = sent(&world, account, "SMS", "+34600999000").await;
    // Stands for a bug of ours.
    world
        .execute(
            "alter table communications.message_status_events add constraint no_such_word check (raw::text not like '%poison%')",
        )
        .await;
    let lines = [
        line(
            &sent.external,
            "SUCCESS",
            "Message has been accepted by phone",
        ),
        line(&sent.external, "SUCCESS", "poison"),
    ];
    assert_eq!(world.sms_log_says(&lines).await, 1);
    assert_eq!(status(&world, &sent).await, "DELIVERED");
    assert_eq!(world.count("quarantine where reason = 'REFUSED'").await, 1);
}

#[tokio::test]
async fn what_is_kept_of_reports_is_found_by_its_account() {
    let world = World::new().await;
    let mail = json!({"timestamp": "2026-11-23T09:59:58.000Z", "messageId": "x-1", "source": "Shop <hola@Shop.Example>",
                      "destination": ["eva@example.org"], "tags": {}});
    let mut without_id = mail.clone();
    without_id["messageId"] = json!(null);
    let told = [
        delivery(&mail),
        delivery(&without_id),
        json!({"eventType": "Brand New", "mail": mail}),
        json!({"eventType": "TEXT_DELIVERED", "messageId": "x-2", "isFinal": true, "originationPhoneNumber": "+34911000009",
               "destinationPhoneNumber": "+34600999000", "eventTimestamp": 1_795_428_000_000_i64}),
    ];
    assert!(world.aws_tells(&told).await.is_empty());
    let kept: Vec<(String, Option<String>)> = sqlx::query_as(
        "select reason, external_account_id from communications.quarantine order by reason, external_account_id desc",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let named = |reason: &str, account: &str| (reason.to_owned(), Some(account.to_owned()));
    let expected = [
        named("MALFORMED", "shop.example"),
        named("UNHANDLED_FIELD", "shop.example"),
        named("UNKNOWN_MESSAGE", "shop.example"),
        named("UNKNOWN_MESSAGE", "+34911000009"),
    ];
    assert_eq!(kept, expected);
    let selection = json!({"reason": "UNKNOWN_MESSAGE", "external_account_id": "shop.example", "dry_run": true});
    assert_eq!(world.replays(&selection).await.matched, 1);
}

/// The event of a function that SNS itself calls.
fn called_by_sns(topic: &str, message: &Value) -> Value {
    json!({"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": format!("{topic}:1"), "Sns": {
        "Type": "Notification", "MessageId": "n-1", "TopicArn": topic, "Subject": null, "Message": message.to_string(),
        "Timestamp": "2026-11-23T10:00:00.000Z", "SignatureVersion": "1", "Signature": "EXAMPLE",
        "SigningCertUrl": "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem",
        "UnsubscribeUrl": "https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe", "MessageAttributes": {}}}]})
}

fn text_to(world: &World, id: &str) -> Value {
    json!({"originationNumber": "+34600999000", "destinationNumber": format!("+{}", world.iberia.display_number),
           "messageBody": "hola", "inboundMessageId": id})
}

/// As JSON, by the time of their coming.
async fn kept(world: &World) -> Vec<(String, Value)> {
    sqlx::query_as(
        "select reason, convert_from(payload, 'UTF8')::jsonb from communications.quarantine order by first_seen_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_sns_brings_without_a_queue_is_taken_in_by_the_same_rules() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let ours = called_by_sns(TOPIC, &text_to(&world, "s-1"));
    for _ in 0..2 {
        let answer = aws_events::invoked(&world.aws_events, ours.clone()).await;
        assert_eq!(answer.unwrap(), Value::Null);
    }
    assert_eq!(
        (
            world.count("messages").await,
            world.count("quarantine").await
        ),
        (1, 0)
    );
    let theirs = "arn:aws:sns:us-east-1:999999999999:theirs";
    let theirs = called_by_sns(theirs, &text_to(&world, "s-2"));
    aws_events::invoked(&world.aws_events, theirs.clone())
        .await
        .unwrap();
    assert_eq!(world.count("messages").await, 1);
    let envelope = theirs["Records"][0]["Sns"].clone();
    assert_eq!(kept(&world).await, [("STRANGE_TOPIC".to_owned(), envelope)]);
}

#[tokio::test]
async fn what_cannot_be_stored_without_a_queue_fails_the_invocation_and_comes_again() {
    let mut world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let event = called_by_sns(TOPIC, &text_to(&world, "s-1"));
    let nowhere = Secret::of("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none".into());
    let reachable = std::mem::replace(&mut world.aws_events.database, Database::new(nowhere));
    let answer = aws_events::invoked(&world.aws_events, event.clone()).await;
    assert!(answer.is_err(), "{answer:?}");
    world.aws_events.database = reachable;
    aws_events::invoked(&world.aws_events, event).await.unwrap();
    assert_eq!(world.count("messages").await, 1);
}

#[tokio::test]
async fn a_record_without_a_message_is_kept_whole() {
    let world = World::new().await;
    let mail = json!({"timestamp": "2026-11-23T10:00:00.000Z", "source": "e@example.org", "messageId": "m-1"});
    let by_ses = json!({"eventSource": "aws:ses", "eventVersion": "1.0", "ses": {"mail": mail,
        "receipt": {"timestamp": "2026-11-23T10:00:00.000Z", "recipients": ["hola@in.example"],
                    "action": {"type": "Lambda", "functionArn": "arn", "invocationType": "Event"}}}});
    let no_envelope = json!({"EventSource": "aws:sns", "Sns": {"Message": "{}"}});
    let no_body = json!({"messageId": "r", "eventSource": "aws:sqs", "attributes": {}});
    for record in [&by_ses, &no_envelope, &no_body] {
        let event = json!({"Records": [record]});
        aws_events::invoked(&world.aws_events, event).await.unwrap();
    }
    let whole = |record: &Value| ("UNREADABLE".to_owned(), record.clone());
    assert_eq!(
        kept(&world).await,
        [whole(&by_ses), whole(&no_envelope), whole(&no_body)]
    );
}

/// A complaint, a START, a bounce and a mail after it, told in any order: nothing is left, as in the order in which they happened.
#[tokio::test]
async fn a_complaint_and_a_bounce_end_each_by_what_came_after_it_in_any_order() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let at = |minute: i32| format!("2026-11-23T11:{minute:02}:00.000Z");
    for order in orders(4) {
        let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
        sqlx::query(
            "insert into communications.contact_identities (tenant_id, kind, value, contact_id)
             select tenant_id, 'email', address, contact_id from communications.messages where id = $1",
        )
        .bind(sent.id)
        .execute(&world.pool)
        .await
        .unwrap();
        let mail = mail_of(&sent, world.iberia.tenant);
        for place in &order {
            match place {
                0 => {
                    let complaint = json!({"complainedRecipients": [{"emailAddress": "eva@example.org"}], "timestamp": at(1),
                                           "feedbackId": "c-1", "complaintFeedbackType": "abuse"});
                    let told =
                        json!({"eventType": "Complaint", "mail": mail, "complaint": complaint});
                    world.aws_tells(&[told]).await;
                }
                2 => {
                    let mut told = bounce(&mail, "Permanent", "General");
                    told["bounce"]["timestamp"] = json!(at(3));
                    world.aws_tells(&[told]).await;
                }
                _ => {
                    let (text, minute) = if *place == 1 {
                        ("start", 2)
                    } else {
                        ("hola", 4)
                    };
                    let mut letter = Letter::new("Eva <eva@example.org>", &to, "Hola", text);
                    letter.receipt = json!({"timestamp": at(minute)});
                    world.mail_arrives(&letter).await;
                }
            }
        }
        assert_eq!(world.count("suppressions").await, 0, "{order:?}");
        let refused = "current_consents where not granted and category = 'TRANSACTIONAL'";
        assert_eq!(world.count(refused).await, 0, "{order:?}");
        crate::people::forget_everything(&world).await;
        world.execute("truncate communications.consents, communications.address_wishes, communications.message_status_events").await;
    }
}

/// Two mailboxes of one person: START from one is for what is told late of the other.
#[tokio::test]
async fn start_counts_for_a_bounce_of_another_address_that_is_told_late() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
    sqlx::query(
        "insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select m.tenant_id, 'email', a, m.contact_id from communications.messages m
          cross join unnest(array ['eva@example.org', 'eva@work.example']) a where m.id = $1",
    )
    .bind(sent.id)
    .execute(&world.pool)
    .await
    .unwrap();
    let mut letter = Letter::new("Eva <eva@work.example>", &to, "Hola", "start");
    letter.receipt = json!({"timestamp": "2026-11-23T11:00:00.000Z"});
    world.mail_arrives(&letter).await;
    let mail = mail_of(&sent, world.iberia.tenant);
    // Of 10:00.
    world
        .aws_tells(&[bounce(&mail, "Permanent", "General")])
        .await;
    assert_eq!(world.count("suppressions").await, 0);
}

/// Of two failures the first one counts, and an automatic answer is none, whichever is told first.
#[tokio::test]
async fn why_a_mail_failed_does_not_depend_on_which_is_told_first() {
    let world = World::new().await;
    let account = world.iberia.connect_email(&world.pool).await.unwrap();
    let why = async |reports: fn(&Value) -> [Value; 2], turned: bool| {
        let sent = sent(&world, account, "EMAIL", "eva@example.org").await;
        let mut told = reports(&mail_of(&sent, world.iberia.tenant));
        if turned {
            told.reverse();
        }
        for report in told {
            world.aws_tells(&[report]).await;
        }
        let row: String = sqlx::query_scalar(
            "select concat_ws(' ', status, failed_code, to_char(failed_at at time zone 'UTC', 'SS')) from communications.messages where id = $1",
        )
        .bind(sent.id)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        row
    };
    let twice = |mail: &Value| {
        let mut second = bounce(mail, "Permanent", "General");
        second["bounce"]["timestamp"] = json!("2026-11-23T10:00:09.000Z");
        [bounce(mail, "Undetermined", "Undetermined"), second]
    };
    let answered = |mail: &Value| [delivery(mail), bounce(mail, "Transient", "General")];
    for turned in [false, true] {
        assert_eq!(
            why(twice, turned).await,
            "FAILED Bounce/Undetermined/Undetermined 02"
        );
        assert_eq!(why(answered, turned).await, "DELIVERED");
    }
}
