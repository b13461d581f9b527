//! Postgres or KMS away, credentials refused: nothing is lost, and the worker recovers by itself.

use crate::early_reports::held_before_settle;
use crate::faults::messages;
use crate::webhook::ana;
use comms_core::channels::Vault;
use comms_core::channels::vault::{Credentials, Owner};
use comms_core::model::DispatchMessageJob;
use comms_simulator::{Answer, Script};
use comms_tests::calls;
use comms_tests::seed::Operator;
use comms_tests::world::{End, Reports, World};
use serde_json::{Value, json};

fn sent_once(end: &End) -> bool {
    end.status == "SENT" && end.accepted == 1
}

async fn failed_records(world: &World, jobs: &[DispatchMessageJob]) -> usize {
    let response = dispatch_worker::handle(&world.worker, calls::batch(jobs)).await;
    response.batch_item_failures.len()
}

#[tokio::test]
async fn connections_that_break_between_batches_are_made_anew() {
    let world = World::new().await;
    for _ in 0..3 {
        let jobs = messages(&world, 2).await;
        assert_eq!(failed_records(&world, &jobs).await, 0);
        // What was idle in the worker's pool is dead now.
        world.connections_break().await;
    }
    let ends = world.ends().await;
    assert!(ends.len() == 6 && ends.iter().all(sent_once), "{ends:?}");
}

#[tokio::test]
async fn connections_that_break_between_claim_and_settle_are_made_anew_for_the_settle() {
    let world = World::new().await;
    let jobs = messages(&world, 3).await;
    held_before_settle(&world, &jobs, world.connections_break()).await;
    let ends = world.ends().await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

#[tokio::test]
async fn a_database_that_is_away_at_the_claim_fails_every_record_and_costs_no_call() {
    let world = World::new().await;
    let jobs = messages(&world, 5).await;
    world.database_refuses_connections(true).await;
    world.connections_break().await;
    assert_eq!(failed_records(&world, &jobs).await, 5);
    assert_eq!(failed_records(&world, &jobs).await, 5, "and again");
    assert!(world.simulator.calls().is_empty());
    world.database_refuses_connections(false).await;
    // SQS delivers them again; nobody restarts the worker.
    assert_eq!(failed_records(&world, &jobs).await, 0);
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.len() == 5 && ends.iter().all(sent_once), "{ends:?}");
}

/// The provider has all messages, nothing of it can be written down.
async fn settle_is_lost(world: &World) {
    let jobs = messages(world, 5).await;
    world
        .simulator
        .script(Script::delay(200).times(u32::try_from(jobs.len()).unwrap()));
    let failed = Box::pin(failed_records(world, &jobs));
    let away = Box::pin(async {
        world.simulator.wait_for_calls(jobs.len()).await;
        world.database_refuses_connections(true).await;
        world.connections_break().await;
    });
    let (failed, ()) = futures_util::join!(failed, away);
    assert_eq!(failed, 5);
    world.database_refuses_connections(false).await;
    assert_eq!(world.outbound().await, ["SENDING"; 5]);
    // SQS delivers them again, and that changes nothing.
    assert_eq!(failed_records(world, &jobs).await, 0);
    assert_eq!(world.simulator.calls().len(), 5);
}

#[tokio::test]
async fn a_settle_that_the_database_never_saw_is_made_up_by_the_providers_report() {
    let world = World::new().await;
    settle_is_lost(&world).await;
    let ends = world.everything_ends(Reports::Posted).await;
    for end in &ends {
        assert_eq!(
            (end.status.as_str(), end.accepted),
            ("DELIVERED", 1),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn a_settle_that_the_database_never_saw_costs_one_call_more_when_nobody_reports() {
    let world = World::new().await;
    settle_is_lost(&world).await;
    let ends = world.everything_ends(Reports::Withheld).await;
    for end in &ends {
        assert_eq!((end.status.as_str(), end.accepted), ("SENT", 2), "{end:?}");
    }
}

/// The settle hangs in the database until the lease is over. What it then writes to its attempt is evidence.
#[tokio::test]
async fn a_settle_that_comes_after_the_lease_still_keeps_the_message_from_being_sent_again() {
    let world = World::new().await;
    let jobs = messages(&world, 2).await;
    let lease_ends = Box::pin(async {
        world.time_passes(1).await;
        let summary = stuck_scan::handle(&world.scan).await.unwrap();
        assert_eq!(summary.repaired.uncertain, 2);
    });
    held_before_settle(&world, &jobs, lease_ends).await;
    assert_eq!(world.outbound().await, ["UNCERTAIN"; 2]);
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
    // A report finds it by the id that the attempt had kept.
    world.provider_catches_up().await;
    assert_eq!(world.outbound().await, ["DELIVERED"; 2]);
}

/// The operator's credentials, sealed with this key of KMS.
async fn sealed(operator: &Operator, vault: &Vault, version: u32, token: &str) -> Value {
    let owner = Owner {
        tenant: operator.tenant,
        account: operator.account,
    };
    let credentials = Credentials::of_token(token.into());
    json!(vault.seal(owner, version, &credentials).await.unwrap())
}

/// The newest first; the account is ACTIVE with them, as after an authorisation.
async fn connect(world: &World, envelopes: &[Value]) {
    sqlx::query(
        "update communications.channel_accounts
            set provider_config = jsonb_set(provider_config, '{secrets}', $2), status = 'ACTIVE', status_reason = null
          where id = $1",
    )
    .bind(world.iberia.account)
    .bind(json!(envelopes))
    .execute(&world.pool)
    .await
    .unwrap();
}

/// Nothing was called, nothing is broken at the provider, and the attempt says whose fault it was.
async fn waits_for_kms(world: &World) {
    let left: Vec<(String, i32, String, String)> = sqlx::query_as(
        "select m.status, m.attempts, m.failed_code, t.class
           from communications.messages m
           join communications.message_attempts t on t.message_id = m.id and t.fence = m.fence",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(left.len(), 6);
    for (status, attempts, code, class) in &left {
        let left = (status.as_str(), *attempts, code.as_str(), class.as_str());
        assert_eq!(left, ("QUEUED", 1, "vault", "RETRYABLE"));
    }
    assert!(world.simulator.calls().is_empty());
    // Six faults of the provider would have tripped it.
    assert_eq!(world.count("breakers").await, 0);
    let account = "channel_accounts where status <> 'ACTIVE'";
    assert_eq!(world.count(account).await, 0);
}

/// A key of this test alone, and the operator's credentials under it.
async fn own_key(world: &World) -> String {
    let kms = world.aws().kms().await;
    let made = kms.create_key().send().await.unwrap();
    let key = made.key_metadata.unwrap().key_id;
    let vault = Vault::new(world.aws(), &key);
    let envelope = sealed(&world.iberia, &vault, 2, world.iberia.access_token).await;
    connect(world, &[envelope]).await;
    key
}

#[tokio::test]
async fn a_disabled_key_delays_and_breaks_nothing() {
    let world = World::new().await;
    let key = own_key(&world).await;
    let kms = world.aws().kms().await;
    kms.disable_key().key_id(&key).send().await.unwrap();
    let jobs = messages(&world, 6).await;
    world.worker.dispatch(&jobs).await.unwrap();
    waits_for_kms(&world).await;

    kms.enable_key().key_id(&key).send().await.unwrap();
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

#[tokio::test]
async fn a_key_that_is_being_deleted_delays_until_the_account_is_sealed_with_another() {
    let world = World::new().await;
    let key = own_key(&world).await;
    let delete = world.aws().kms().await.schedule_key_deletion();
    delete.key_id(&key).send().await.unwrap();
    let jobs = messages(&world, 6).await;
    world.worker.dispatch(&jobs).await.unwrap();
    waits_for_kms(&world).await;

    let envelope = sealed(&world.iberia, &world.vault(), 3, world.iberia.access_token).await;
    connect(&world, &[envelope]).await;
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

async fn account(world: &World) -> String {
    sqlx::query_scalar("select status from communications.channel_accounts where id = $1")
        .bind(world.iberia.account)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

fn token_is_now(world: &World, token: &str) {
    let mut number = world.iberia.number();
    token.clone_into(&mut number.access_token);
    world.simulator.register(number).unwrap();
}

#[tokio::test]
async fn expired_credentials_park_the_account_until_it_is_authorised_again() {
    let world = World::new().await;
    let jobs = messages(&world, 3).await;
    token_is_now(&world, "the-next-token");
    world.worker.dispatch(&jobs).await.unwrap();
    assert_eq!(account(&world).await, "REAUTH_REQUIRED");
    let refused = world.simulator.calls().len();
    // Time and hints do not help; asking in vain would cost the number its reputation.
    for _ in 0..3 {
        world.time_passes(60).await;
        stuck_scan::handle(&world.scan).await.unwrap();
        world.hints_are_followed().await;
    }
    assert_eq!(world.simulator.calls().len(), refused);
    let waiting = world.ends().await;
    assert!(
        waiting
            .iter()
            .all(|end| end.status == "QUEUED" && end.attempts == 0),
        "{waiting:?}"
    );

    let envelope = sealed(&world.iberia, &world.vault(), 2, "the-next-token").await;
    connect(&world, &[envelope]).await;
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

#[tokio::test]
async fn while_credentials_rotate_the_older_ones_are_used_as_long_as_only_they_work() {
    let world = World::new().await;
    let vault = world.vault();
    let old = sealed(&world.iberia, &vault, 1, world.iberia.access_token).await;
    let new = sealed(&world.iberia, &vault, 2, "the-next-token").await;
    connect(&world, &[new.clone(), old]).await;
    let jobs = messages(&world, 1).await;
    world.worker.dispatch(&jobs).await.unwrap();
    assert_eq!(account(&world).await, "ACTIVE");
    assert_eq!(world.simulator.calls().len(), 2, "refused, then accepted");

    token_is_now(&world, "the-next-token");
    let jobs = messages(&world, 1).await;
    world.worker.dispatch(&jobs).await.unwrap();
    assert_eq!(world.simulator.calls().len(), 3);
    let ends = world.ends().await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

/// The refusal is about credentials that are no longer the account's.
#[tokio::test]
async fn credentials_that_are_replaced_while_in_use_do_not_park_their_successor() {
    let world = World::new().await;
    let next = sealed(&world.iberia, &world.vault(), 2, "the-next-token").await;
    let jobs = messages(&world, 1).await;
    let answer = Answer::Fail {
        code: 190,
        http_status: None,
        subcode: None,
        is_transient: false,
        retry_after: None,
    };
    world.simulator.script(Script {
        delay_ms: 200,
        answer,
        ..Script::default()
    });
    let replaced = async {
        world.simulator.wait_for_calls(1).await;
        connect(&world, &[next]).await;
        token_is_now(&world, "the-next-token");
    };
    let (dispatched, ()) = futures_util::join!(world.worker.dispatch(&jobs), replaced);
    dispatched.unwrap();
    assert_eq!(account(&world).await, "ACTIVE");
    let ends = world.everything_ends(Reports::Withheld).await;
    assert!(ends.iter().all(sent_once), "{ends:?}");
}

/// Whoever ends a session may say so before: the next request finds that on the connection, and not an answer.
#[tokio::test]
async fn connections_that_break_while_nobody_asks_cost_no_webhook() {
    let world = World::new().await;
    for n in 0..3 {
        let said = world.customer_writes(&ana(&format!("{n}"))).await;
        assert_eq!(said.status(), 200);
        let told = world.aws_tells(&[json!({"eventType": "Delivery"})]).await;
        assert!(told.is_empty(), "{told:?}");
        world.connections_break().await;
    }
    assert_eq!(world.count("messages").await, 3);
}
