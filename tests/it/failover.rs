//! A second sender of the same channel takes over what is known not to have been accepted, and nothing else.

use crate::flow::{
    account, column, dispatch, hinted, later, queue, scan, sent_by_aws, status, tally, whatsapp,
};
use comms_core::model::{AccountId, DispatchMessageJob};
use comms_tests::world::World;

/// How many texts the emulated SNS took for this message's recipient.
async fn texts(world: &World, job: &DispatchMessageJob) -> usize {
    let to = column(world, "address", job).await;
    let sent = sent_by_aws("sns/sms-messages").await;
    sent["sms_messages"][to].as_array().map_or(0, Vec::len)
}

/// Recipients of this test alone: what SNS sent is remembered by the emulator over all tests.
async fn readdress(world: &World) {
    world
        .execute(
            "update communications.messages
                set address = '+346' || lpad((('x' || right(replace(id::text, '-', ''), 7))::bit(28)::int % 100000000)::text, 8, '0')",
        )
        .await;
}

async fn park(world: &World, account: AccountId, status: &str) {
    sqlx::query("update communications.channel_accounts set status = $2 where id = $1")
        .bind(account)
        .bind(status)
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn messages_of_a_parked_sender_move_to_the_other_one() {
    let world = World::new().await;
    let tenant = world.iberia.tenant;
    let first = account(&world, tenant, "SMS", "EUM_SMS").await;
    let second = account(&world, tenant, "SMS", "SNS").await;
    let foreign = account(&world, world.albion.tenant, "SMS", "SNS").await;
    let jobs = queue(&world, first, "TRANSACTIONAL", "TRANSACTIONAL", 3).await;
    readdress(&world).await;
    park(&world, first.account, "SUSPENDED").await;
    dispatch(&world, &jobs).await;
    assert_eq!(tally(&world).await["QUEUED"], 3);
    world.take_hints().await;
    assert_eq!(scan(&world).await.repaired.failed_over, 3);
    assert_eq!(
        world.take_hints().await.len(),
        3,
        "they are hinted with the move"
    );
    assert_eq!(hinted(&world).await, 3);
    for job in &jobs {
        assert_eq!(
            (status(&world, job).await.as_str(), texts(&world, job).await),
            ("SENT", 1)
        );
        assert_eq!(
            column(&world, "account_id", job).await,
            second.account.to_string()
        );
    }
    assert_ne!(second.account, foreign.account);
    assert_eq!(world.count("repairs where kind = 'FAILED_OVER'").await, 3);
}

/// To move is to be due: what waits for its hour, or is held, waits where it is.
#[tokio::test]
async fn what_is_for_later_does_not_move_before_its_time() {
    let world = World::new().await;
    let tenant = world.iberia.tenant;
    let first = account(&world, tenant, "SMS", "EUM_SMS").await;
    account(&world, tenant, "SMS", "SNS").await;
    queue(&world, first, "TRANSACTIONAL", "TRANSACTIONAL", 2).await;
    park(&world, first.account, "SUSPENDED").await;
    for waits in [
        "update communications.messages set due_at = now() + interval '8 hours', hint_at = '-infinity'",
        "update communications.messages set due_at = 'infinity'",
    ] {
        world.execute(waits).await;
        assert_eq!(scan(&world).await.repaired.failed_over, 0, "{waits}");
    }
    world
        .execute("update communications.messages set due_at = now()")
        .await;
    assert_eq!(scan(&world).await.repaired.failed_over, 2);
}

#[tokio::test]
async fn a_sender_that_is_held_hands_over_in_its_own_settle_and_never_takes_back() {
    let world = World::new().await;
    let tenant = world.iberia.tenant;
    let first = account(&world, tenant, "SMS", "SNS").await;
    let second = account(&world, tenant, "SMS", "SNS").await;
    let jobs = queue(&world, first, "TRANSACTIONAL", "TRANSACTIONAL", 1).await;
    readdress(&world).await;
    hold(&world, &jobs[0]).await;
    assert_eq!(
        column(&world, "account_id", &jobs[0]).await,
        second.account.to_string()
    );
    assert_eq!(status(&world, &jobs[0]).await, "QUEUED");
    assert_eq!(
        column(
            &world,
            "hint_at > '-infinity' and due_at <= now()",
            &jobs[0]
        )
        .await,
        "true"
    );
    park(&world, first.account, "ACTIVE").await;

    hold(&world, &jobs[0]).await;
    scan(&world).await;
    assert_eq!(
        column(&world, "account_id", &jobs[0]).await,
        second.account.to_string(),
        "both were tried"
    );
    assert_eq!(texts(&world, &jobs[0]).await, 0);
    later(&world, 3601.0).await;
    scan(&world).await;
    hinted(&world).await;
    assert_eq!(
        (
            status(&world, &jobs[0]).await.as_str(),
            texts(&world, &jobs[0]).await
        ),
        ("SENT", 1)
    );
}

/// Claims it, and settles it as a provider's hold would.
async fn hold(world: &World, job: &DispatchMessageJob) {
    sqlx::query(
        "with claimed as (select * from communications.claim_messages(array [$1], array [$2], 45))
         select s.* from claimed c
          cross join lateral communications.settle_messages(
                array [c.tenant_id], array [c.message_id], array [c.fence], array ['QUEUED'], array ['HOLD'], array ['held'],
                array ['held'], array [null]::text[], array [0]::float8[], array [true], array ['PARK_HOLD'],
                array [3600]::float8[], array [null]::int[], 900) s",
    )
    .bind(job.tenant_id)
    .bind(job.message_id)
    .execute(&world.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn what_may_have_been_accepted_never_moves() {
    let world = World::new().await;
    let tenant = world.iberia.tenant;
    let first = account(&world, tenant, "SMS", "EUM_SMS").await;
    account(&world, tenant, "SMS", "SNS").await;
    let jobs = queue(&world, first, "TRANSACTIONAL", "MARKETING", 1).await;
    readdress(&world).await;
    sqlx::query("select * from communications.claim_messages(array [$1], array [$2], 45)")
        .bind(tenant)
        .bind(jobs[0].message_id)
        .execute(&world.pool)
        .await
        .unwrap();
    later(&world, 46.0).await;
    park(&world, first.account, "SUSPENDED").await;
    assert_eq!(scan(&world).await.repaired.failed_over, 0);
    assert_eq!(status(&world, &jobs[0]).await, "UNCERTAIN");
    assert_eq!(
        column(&world, "account_id", &jobs[0]).await,
        first.account.to_string()
    );
    later(&world, 121.0).await;
    scan(&world).await;
    assert_eq!(
        (
            status(&world, &jobs[0]).await.as_str(),
            texts(&world, &jobs[0]).await
        ),
        ("FAILED", 0)
    );
}

#[tokio::test]
async fn a_chat_never_moves_to_another_number_and_nothing_moves_into_a_sandbox() {
    let world = World::new().await;
    let tenant = world.iberia.tenant;
    let other = account(&world, tenant, "WHATSAPP", "META").await;
    let chat = queue(
        &world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        1,
    )
    .await;
    let first = account(&world, tenant, "SMS", "SNS").await;
    let sandbox = account(&world, tenant, "SMS", "SNS").await;
    sqlx::query("update communications.channel_accounts set mode = 'SANDBOX' where id = $1")
        .bind(sandbox.account)
        .execute(&world.pool)
        .await
        .unwrap();
    let text = queue(&world, first, "TRANSACTIONAL", "TRANSACTIONAL", 1).await;
    park(&world, world.iberia.account, "REAUTH_REQUIRED").await;
    park(&world, first.account, "SUSPENDED").await;
    dispatch(&world, &[chat[0], text[0]]).await;
    assert_eq!(scan(&world).await.repaired.failed_over, 0);
    assert_eq!(
        column(&world, "account_id", &chat[0]).await,
        world.iberia.account.to_string()
    );
    assert_eq!(
        column(&world, "account_id", &text[0]).await,
        first.account.to_string()
    );
    assert_ne!(other.account, world.iberia.account);
}
