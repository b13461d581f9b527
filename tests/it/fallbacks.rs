//! The next channel is used when the one before did not reach, once, and not a moment longer than the chain may live.

use crate::flow::{
    account, column, dispatch, hinted, later, queue, scan, sent_by_aws, status, whatsapp,
};
use comms_core::model::{DispatchMessageJob, MessageId};
use comms_simulator::{Script, StatusStep};
use comms_tests::world::World;
use serde_json::{Value, json};

/// One WhatsApp message with a chain: an email after `wait`, then a text when the email is not delivered in 900 seconds.
async fn message(world: &World, wait: &Value) -> DispatchMessageJob {
    let tenant = world.iberia.tenant;
    let email = account(world, tenant, "EMAIL", "SES").await;
    let sms = account(world, tenant, "SMS", "SNS").await;
    let job = queue(
        world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        1,
    )
    .await[0];
    let mut by_email = json!({
        "channel": "EMAIL", "account_id": email.account, "address": mailbox(&job), "body": "t",
        "content": {"type": "email", "subject": "s", "text": "t"}, "template_id": null, "template_version": null
    });
    by_email
        .as_object_mut()
        .unwrap()
        .extend(wait.as_object().unwrap().clone());
    let by_sms = json!({
        "channel": "SMS", "account_id": sms.account, "address": phone(&job), "body": "t",
        "content": {"type": "text", "body": "t"}, "template_id": null, "template_version": null,
        "not_delivered_within_seconds": 900
    });
    sqlx::query("insert into communications.message_fallbacks (tenant_id, message_id, steps) values ($1, $2, $3)")
        .bind(tenant)
        .bind(job.message_id)
        .bind(json!([by_email, by_sms]))
        .execute(&world.pool)
        .await
        .unwrap();
    job
}

/// Addresses of this test alone: what was sent is remembered by the emulator over all tests.
fn mailbox(job: &DispatchMessageJob) -> String {
    format!("p{}@example.com", job.message_id.0.simple())
}

fn phone(job: &DispatchMessageJob) -> String {
    format!("+346{:08}", job.message_id.0.as_u128() % 100_000_000)
}

async fn emails(job: &DispatchMessageJob) -> usize {
    let sent = sent_by_aws("ses/messages").await;
    let sent = sent["messages"].as_object().unwrap().values();
    sent.flat_map(|of_account| of_account.as_array().unwrap())
        .filter(|email| email["To"] == json!([mailbox(job)]))
        .count()
}

async fn texts(job: &DispatchMessageJob) -> usize {
    let sent = sent_by_aws("sns/sms-messages").await;
    sent["sms_messages"][phone(job)]
        .as_array()
        .map_or(0, Vec::len)
}

/// All messages: channel, status, why.
async fn chain(world: &World) -> Vec<(String, String, Option<String>)> {
    sqlx::query_as(
        "select channel, status, fallback_reason from communications.messages order by step, id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn row(channel: &str, status: &str, reason: Option<&str>) -> (String, String, Option<String>) {
    (
        channel.to_owned(),
        status.to_owned(),
        reason.map(ToOwned::to_owned),
    )
}

async fn report(world: &World, step: &str) {
    let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
    let response = world
        .provider_reports(&wamid, &StatusStep::from(step))
        .await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_permanent_failure_goes_on_to_the_next_channel_at_once() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    world.simulator.script(Script::fail(131_026));
    dispatch(&world, &[job]).await;
    assert_eq!(
        chain(&world).await,
        [
            row("WHATSAPP", "FAILED", None),
            row("EMAIL", "QUEUED", Some("FAILED"))
        ]
    );
    assert_eq!(world.take_hints().await.len(), 1, "hinted at once");
    hinted(&world).await;
    assert_eq!(chain(&world).await[1], row("EMAIL", "SENT", Some("FAILED")));
    assert_eq!(emails(&job).await, 1);
    let kin: bool = world
        .scalar("select e.fallback_of = w.id and e.contact_id = w.contact_id and e.expires_at = w.expires_at and e.step = 1
                   from communications.messages e, communications.messages w where e.channel = 'EMAIL' and w.channel = 'WHATSAPP'")
        .await;
    assert!(kin);
}

#[tokio::test]
async fn not_delivered_in_time_is_followed_once_by_the_next_channel() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    dispatch(&world, &[job]).await;
    later(&world, 1790.0).await;
    assert_eq!(scan(&world).await.repaired.timers, 0);
    later(&world, 11.0).await;
    let (one, other) = futures_util::join!(scan(&world), scan(&world));
    assert_eq!(
        one.repaired.timers + other.repaired.timers,
        1,
        "two scans, one fallback"
    );
    hinted(&world).await;
    assert_eq!(
        chain(&world).await,
        [
            row("WHATSAPP", "SENT", None),
            row("EMAIL", "SENT", Some("NOT_DELIVERED"))
        ]
    );

    // Nobody reports deliveries of email: its silence is no reason for a text.
    later(&world, 901.0).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!((emails(&job).await, texts(&job).await), (1, 0));
    assert_eq!(chain(&world).await.len(), 2);
}

#[tokio::test]
async fn delivered_in_time_ends_the_chain() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    dispatch(&world, &[job]).await;
    report(&world, "delivered").await;
    later(&world, 1801.0).await;
    scan(&world).await;
    assert_eq!(chain(&world).await, [row("WHATSAPP", "DELIVERED", None)]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn delivered_but_not_read_in_time_goes_on_and_read_in_time_does_not() {
    for read in [false, true] {
        let world = World::new().await;
        let job = message(
            &world,
            &json!({"not_delivered_within_seconds": 600, "not_read_within_seconds": 3600}),
        )
        .await;
        dispatch(&world, &[job]).await;
        report(&world, "delivered").await;
        later(&world, 601.0).await;
        scan(&world).await;
        assert_eq!(
            chain(&world).await.len(),
            1,
            "delivered, and there is time to read it"
        );
        if read {
            report(&world, "read").await;
        }
        later(&world, 3000.0).await;
        scan(&world).await;
        if read {
            assert_eq!(chain(&world).await, [row("WHATSAPP", "READ", None)]);
        } else {
            assert_eq!(
                chain(&world).await[1],
                row("EMAIL", "QUEUED", Some("NOT_READ"))
            );
        }
    }
}

#[tokio::test]
async fn what_waits_for_a_parked_account_is_withdrawn_for_the_next_channel() {
    for refused in [true, false] {
        let world = World::new().await;
        let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
        if refused {
            world.simulator.script(Script::fail(190));
        } else {
            world.execute("update communications.channel_accounts set status = 'SUSPENDED' where channel = 'WHATSAPP'").await;
        }
        dispatch(&world, &[job]).await;
        later(&world, 1000.0).await;
        // Looked at again: the clock goes on.
        dispatch(&world, &[job]).await;
        scan(&world).await;
        assert_eq!(status(&world, &job).await, "QUEUED");
        later(&world, 801.0).await;
        scan(&world).await;
        assert_eq!(
            chain(&world).await,
            [
                row("WHATSAPP", "CANCELLED", None),
                row("EMAIL", "QUEUED", Some("NOT_DELIVERED"))
            ]
        );
        world
            .execute("update communications.channel_accounts set status = 'ACTIVE' where status in ('SUSPENDED', 'REAUTH_REQUIRED')")
            .await;
        hinted(&world).await;
        scan(&world).await;
        assert_eq!(
            world.simulator.calls().len(),
            usize::from(refused),
            "the withdrawn one stays"
        );
        assert_eq!(emails(&job).await, 1);
    }
}

#[tokio::test]
async fn a_receipt_after_the_fallback_is_counted() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    dispatch(&world, &[job]).await;
    later(&world, 1801.0).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(world.count("double_reaches").await, 0);
    report(&world, "read").await;
    assert_eq!(
        world
            .count("double_reaches where channel = 'WHATSAPP' and fallback_channel = 'EMAIL'")
            .await,
        1
    );
    assert_eq!(status(&world, &job).await, "READ");
}

#[tokio::test]
async fn who_refused_the_next_channel_in_the_meantime_gets_the_one_after_it() {
    let world = World::new().await;
    let job = message(&world, &json!({})).await;
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select tenant_id, communications.uuid_v7(), contact_id, 'EMAIL', 'TRANSACTIONAL', false, 'request', 'agent'
               from communications.messages",
        )
        .await;
    world.simulator.script(Script::fail(131_026));
    dispatch(&world, &[job]).await;
    hinted(&world).await;
    assert_eq!(
        chain(&world).await[1..],
        [
            row("EMAIL", "SUPPRESSED", Some("FAILED")),
            row("SMS", "QUEUED", Some("FAILED"))
        ]
    );
    hinted(&world).await;
    assert_eq!((emails(&job).await, texts(&job).await), (0, 1));
}

#[tokio::test]
async fn the_expiry_ends_the_whole_chain() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    dispatch(&world, &[job]).await;
    world
        .execute("update communications.messages set expires_at = now() + interval '20 minutes'")
        .await;
    later(&world, 1801.0).await;
    scan(&world).await;
    assert_eq!(chain(&world).await, [row("WHATSAPP", "SENT", None)]);
    assert_eq!(world.count("message_fallbacks").await, 0);
}

#[tokio::test]
async fn the_clock_runs_for_what_was_accepted_in_doubt() {
    for crashed in [false, true] {
        let world = World::new().await;
        let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
        world.simulator.script(Script::accept_and_hang_up());
        dispatch(&world, &[job]).await;
        if crashed {
            // As a worker leaves it that died in the call.
            world
                .execute("update communications.message_fallbacks set due_at = null")
                .await;
            world.execute("update communications.messages set status = 'QUEUED' where status = 'UNCERTAIN'").await;
            world
                .execute("update communications.messages set status = 'SENDING', lease_until = now() where status = 'QUEUED'")
                .await;
            later(&world, 1.0).await;
            scan(&world).await;
        }
        assert_eq!(status(&world, &job).await, "UNCERTAIN");
        report(&world, "sent").await;
        assert_eq!(status(&world, &job).await, "SENT");
        later(&world, 1900.0).await;
        scan(&world).await;
        assert_eq!(
            chain(&world).await[1],
            row("EMAIL", "QUEUED", Some("NOT_DELIVERED")),
            "crashed: {crashed}"
        );
    }
}

#[tokio::test]
async fn a_timer_leaves_alone_what_is_being_claimed() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    world.execute("update communications.channel_accounts set status = 'SUSPENDED' where channel = 'WHATSAPP'").await;
    dispatch(&world, &[job]).await;
    later(&world, 1801.0).await;
    let mut claim = world.pool.begin().await.unwrap();
    let _: MessageId = sqlx::query_scalar("select id from communications.messages for update")
        .fetch_one(&mut *claim)
        .await
        .unwrap();
    assert_eq!(scan(&world).await.repaired.timers, 0);
    assert_eq!(chain(&world).await, [row("WHATSAPP", "QUEUED", None)]);
    claim.rollback().await.unwrap();
    assert_eq!(scan(&world).await.repaired.timers, 1);
    assert_eq!(column(&world, "failed_code", &job).await, "fallback");
}

/// What its provider reports of the email.
async fn the_email_bounces(world: &World) {
    world
        .execute(
            "select communications.project_reports(array_agg(tenant_id), array_agg(id), array ['FAILED'], array_agg(external_message_id),
                                                   array [now()], array ['Permanent'], array ['mailbox unknown'])
               from communications.messages where channel = 'EMAIL'",
        )
        .await;
}

#[tokio::test]
async fn nothing_of_the_chain_follows_once_the_first_arrived_after_all() {
    for bounced_before in [false, true] {
        let world = World::new().await;
        let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
        dispatch(&world, &[job]).await;
        later(&world, 1801.0).await;
        scan(&world).await;
        hinted(&world).await;
        if bounced_before {
            the_email_bounces(&world).await;
            scan(&world).await;
            assert_eq!(chain(&world).await[2], row("SMS", "QUEUED", Some("FAILED")));
            report(&world, "read").await;
        } else {
            report(&world, "read").await;
            the_email_bounces(&world).await;
            scan(&world).await;
        }
        hinted(&world).await;
        let mut ended = vec![
            row("WHATSAPP", "READ", None),
            row("EMAIL", "FAILED", Some("NOT_DELIVERED")),
        ];
        if bounced_before {
            ended.push(row("SMS", "CANCELLED", Some("FAILED")));
        }
        assert_eq!(chain(&world).await, ended);
        assert_eq!(texts(&job).await, 0);
        assert_eq!(world.count("message_fallbacks").await, 0);
    }
}

/// It stands in line, as everything does that is for later, and its account is parked before its turn.
#[tokio::test]
async fn what_stands_in_line_for_a_parked_account_goes_on_to_the_next_channel_too() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    world
        .execute("update communications.messages set hint_at = '-infinity'")
        .await;
    world.execute("update communications.channel_accounts set status = 'REAUTH_REQUIRED' where channel = 'WHATSAPP'").await;
    assert_eq!(scan(&world).await.repaired.armed, 1);
    assert_eq!(scan(&world).await.repaired.armed, 0);
    later(&world, 1801.0).await;
    scan(&world).await;
    assert_eq!(
        chain(&world).await,
        [
            row("WHATSAPP", "CANCELLED", None),
            row("EMAIL", "QUEUED", Some("NOT_DELIVERED"))
        ]
    );
    assert_eq!(column(&world, "failed_code", &job).await, "fallback");
}

/// A short pause of its sender, and a line that is longer than the wait: what is about to go is not withdrawn.
#[tokio::test]
async fn what_waits_behind_others_is_not_withdrawn_once_its_account_sends_again() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    world
        .execute("update communications.messages set hint_at = '-infinity'")
        .await;
    world.execute("update communications.channel_accounts set status = 'SUSPENDED' where channel = 'WHATSAPP'").await;
    scan(&world).await;
    world
        .execute("update communications.channel_accounts set status = 'ACTIVE' where status = 'SUSPENDED'")
        .await;
    later(&world, 1801.0).await;
    scan(&world).await;
    assert_eq!(status(&world, &job).await, "QUEUED");
    hinted(&world).await;
    assert_eq!(chain(&world).await, [row("WHATSAPP", "SENT", None)]);
    // The clock runs from the send.
    later(&world, 1801.0).await;
    scan(&world).await;
    assert_eq!(
        chain(&world).await[1],
        row("EMAIL", "QUEUED", Some("NOT_DELIVERED"))
    );
}

/// Nobody reports that an email was delivered: its clock, which ran while its account was parked, says nothing once it is sent.
#[tokio::test]
async fn the_clock_of_what_was_parked_ends_with_the_send_where_nobody_reports_deliveries() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    world.execute("update communications.channel_accounts set status = 'SUSPENDED' where channel = 'EMAIL'").await;
    world.simulator.script(Script::fail(131_026));
    dispatch(&world, &[job]).await;
    hinted(&world).await;
    assert_eq!(
        chain(&world).await[1],
        row("EMAIL", "QUEUED", Some("FAILED"))
    );
    world
        .execute("update communications.channel_accounts set status = 'ACTIVE' where status = 'SUSPENDED'")
        .await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(chain(&world).await[1], row("EMAIL", "SENT", Some("FAILED")));
    later(&world, 10_000.0).await;
    scan(&world).await;
    assert_eq!(chain(&world).await.len(), 2);
    the_email_bounces(&world).await;
    scan(&world).await;
    assert_eq!(chain(&world).await[2], row("SMS", "QUEUED", Some("FAILED")));
}

/// While it is being sent nobody can take it back; when it is refused, it is not tried again.
#[tokio::test]
async fn what_was_being_sent_when_the_first_arrived_is_not_tried_again() {
    let world = World::new().await;
    let job = message(&world, &json!({"not_delivered_within_seconds": 1800})).await;
    dispatch(&world, &[job]).await;
    later(&world, 1801.0).await;
    scan(&world).await;
    let email = "update communications.messages set status = 'SENDING', fence = fence + 1, attempts = 1, lease_until = now() + interval '1 minute'
                  where channel = 'EMAIL'";
    world.execute(email).await;
    report(&world, "delivered").await;
    assert_eq!(chain(&world).await[1].1, "SENDING");
    world
        .execute("update communications.messages set status = 'QUEUED', lease_until = null, due_at = now(), hint_at = now() where channel = 'EMAIL'")
        .await;
    hinted(&world).await;
    assert_eq!(
        chain(&world).await,
        [
            row("WHATSAPP", "DELIVERED", None),
            row("EMAIL", "CANCELLED", Some("NOT_DELIVERED"))
        ]
    );
    assert_eq!(emails(&job).await, 0);
    assert_eq!(
        world.count("messages where failed_code = 'reached'").await,
        1
    );
    assert_eq!(world.count("message_fallbacks").await, 0);
}
