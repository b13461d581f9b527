//! What stops a sender stops its messages and nobody else's, costs them nothing, and ends by itself or with its cause.

use crate::flow::{column, dispatch, hinted, later, queue, scan, setting, status, tally, whatsapp};
use comms_core::channels::Vault;
use comms_core::channels::vault::{Credentials, Owner};
use comms_core::model::DispatchMessageJob;
use comms_core::platform::Aws;
use comms_simulator::{Answer, Script};
use comms_tests::world::World;
use serde_json::json;

const ACCOUNT: &str = "select status from communications.channel_accounts where external_account_id = '100000000000001'";

pub async fn five(world: &World) -> Vec<DispatchMessageJob> {
    queue(
        world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        5,
    )
    .await
}

/// All of them wait, and none has cost anything.
pub async fn assert_waiting(world: &World, jobs: &[DispatchMessageJob]) {
    for job in jobs {
        assert_eq!(
            (
                status(world, job).await.as_str(),
                column(world, "attempts", job).await.as_str()
            ),
            ("QUEUED", "0")
        );
    }
}

/// Hints and scans, a minute at a time, until nothing is queued.
pub async fn run_out(world: &World) {
    for _ in 0..20 {
        scan(world).await;
        hinted(world).await;
        if !tally(world).await.contains_key("QUEUED") {
            return;
        }
        later(world, 60.0).await;
    }
    panic!("still queued: {:?}", tally(world).await);
}

#[tokio::test]
async fn a_key_service_that_refuses_is_not_the_providers_fault() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        6,
    )
    .await;
    let aws = Aws::default();
    let made = aws.kms().await.create_key().send().await.unwrap();
    let key = made.key_metadata.unwrap().key_id;
    rotate_under(&world, &key, &[(1, world.iberia.access_token)]).await;
    aws.kms()
        .await
        .disable_key()
        .key_id(&key)
        .send()
        .await
        .unwrap();
    for job in &jobs {
        dispatch(&world, std::slice::from_ref(job)).await;
        assert_eq!(
            (
                column(&world, "status", job).await,
                column(&world, "failed_code", job).await
            ),
            ("QUEUED".to_owned(), "vault".to_owned())
        );
    }
    assert!(world.simulator.calls().is_empty());
    assert_eq!(world.count("breakers").await, 0);
}

#[tokio::test]
async fn a_refused_token_parks_the_account_until_it_is_authorised_again() {
    let world = World::new().await;
    let jobs = five(&world).await;
    let others = queue(
        &world,
        whatsapp(&world.albion),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        3,
    )
    .await;
    world.simulator.script(Script::fail(190));
    dispatch(&world, &jobs[..1]).await;
    assert_eq!(world.scalar::<String>(ACCOUNT).await, "REAUTH_REQUIRED");
    dispatch(&world, &jobs).await;
    scan(&world).await;
    later(&world, 120.0).await;
    assert_eq!(
        scan(&world).await.repaired.republished,
        3,
        "the other operator's alone"
    );
    assert_eq!(hinted(&world).await, 3);
    assert_waiting(&world, &jobs).await;
    assert_eq!(
        world.simulator.calls().len(),
        4,
        "one was refused, three are the other operator's"
    );
    for job in &others {
        assert_eq!(status(&world, job).await, "SENT");
    }
    world.execute("update communications.channel_accounts set status = 'ACTIVE' where status = 'REAUTH_REQUIRED'").await;
    let summary = scan(&world).await;
    assert_eq!(
        (summary.repaired.released, summary.repaired.republished),
        (5, 0),
        "released, and not repaired"
    );
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 8);
    assert_eq!(world.simulator.calls().len(), 9);
}

#[tokio::test]
async fn six_thousand_messages_of_a_parked_account_are_no_incident() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        whatsapp(&world.iberia),
        "BULK",
        "TRANSACTIONAL",
        6000,
    )
    .await;
    world.execute("update communications.channel_accounts set status = 'SUSPENDED' where status = 'ACTIVE'").await;
    for batch in jobs.chunks(1000) {
        assert_eq!(world.worker.dispatch(batch).await.unwrap().claimed, 0);
    }
    later(&world, 120.0).await;
    let summary = scan(&world).await;
    assert_eq!((summary.repaired.republished, summary.overdue), (0, 0));
    world.execute("update communications.channel_accounts set status = 'ACTIVE' where status = 'SUSPENDED'").await;
    let summary = scan(&world).await;
    assert_eq!(
        (summary.repaired.republished, summary.repaired.braked.len()),
        (0, 0)
    );
    assert!(
        (550..2000).contains(&summary.repaired.released),
        "ten seconds of its rate, and of the time that the scan took: {}",
        summary.repaired.released
    );
}

#[tokio::test]
async fn what_the_provider_holds_is_tried_again_by_one_message_when_its_time_is_over() {
    for code in [368, 131_031] {
        let world = World::new().await;
        let jobs = five(&world).await;
        world.simulator.script(Script::fail(code).times(2));
        dispatch(&world, &jobs[..1]).await;
        assert_eq!(world.scalar::<String>(ACCOUNT).await, "SUSPENDED", "{code}");
        dispatch(&world, &jobs).await;
        assert_eq!(scan(&world).await.repaired.resumed, 0);
        assert_waiting(&world, &jobs).await;

        later(&world, 3601.0).await;
        assert_eq!(scan(&world).await.repaired.resumed, 1);
        hinted(&world).await;
        assert_eq!(
            world.simulator.calls().len(),
            2,
            "one tried, and was held again"
        );
        assert_eq!(world.scalar::<String>(ACCOUNT).await, "SUSPENDED");
        assert_waiting(&world, &jobs).await;

        later(&world, 3601.0).await;
        scan(&world).await;
        hinted(&world).await;
        assert_eq!(world.simulator.calls().len(), 3, "one tried");
        run_out(&world).await;
        assert_eq!(world.simulator.calls().len(), 2 + 5);
        assert_eq!(world.count("breakers").await, 0);
    }
}

#[tokio::test]
async fn what_a_person_suspended_is_not_resumed_by_time() {
    let world = World::new().await;
    let jobs = five(&world).await;
    world.execute("update communications.channel_accounts set status = 'SUSPENDED' where status = 'ACTIVE'").await;
    later(&world, 7200.0).await;
    assert_eq!(scan(&world).await.repaired.resumed, 0);
    assert_waiting(&world, &jobs).await;
}

/// Envelopes of these tokens, the newest first.
async fn rotate(world: &World, tokens: &[(u32, &str)]) {
    rotate_under(world, &setting("KMS_KEY_ID"), tokens).await;
}

async fn rotate_under(world: &World, key: &str, tokens: &[(u32, &str)]) {
    let vault = Vault::new(&Aws::default(), key);
    let owner = Owner {
        tenant: world.iberia.tenant,
        account: world.iberia.account,
    };
    let mut secrets = Vec::new();
    for (version, token) in tokens {
        let credentials = Credentials::of_token((*token).into());
        secrets.push(vault.seal(owner, *version, &credentials).await.unwrap());
    }
    sqlx::query("update communications.channel_accounts set provider_config = jsonb_set(provider_config, '{secrets}', $2) where id = $1")
        .bind(world.iberia.account)
        .bind(json!(secrets))
        .execute(&world.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn while_credentials_rotate_the_older_ones_are_used_in_the_same_claim() {
    let world = World::new().await;
    let jobs = five(&world).await;
    rotate(
        &world,
        &[(2, "not-valid-yet"), (1, world.iberia.access_token)],
    )
    .await;
    dispatch(&world, &jobs).await;
    assert_eq!(tally(&world).await["SENT"], 5);
    assert_eq!(column(&world, "fence", &jobs[0]).await, "1");
    assert_eq!(world.scalar::<String>(ACCOUNT).await, "ACTIVE");

    let more = five(&world).await;
    rotate(
        &world,
        &[
            (3, "wrong"),
            (2, "wrong too"),
            (1, world.iberia.access_token),
        ],
    )
    .await;
    dispatch(&world, &more).await;
    assert_eq!(
        world.scalar::<String>(ACCOUNT).await,
        "REAUTH_REQUIRED",
        "two are live, not three"
    );
    assert_waiting(&world, &more).await;
}

#[tokio::test]
async fn credentials_that_were_replaced_while_in_use_do_not_park_the_account() {
    let world = World::new().await;
    let jobs = five(&world).await;
    rotate(&world, &[(1, "expired")]).await;
    world.simulator.script(Script {
        delay_ms: 300,
        answer: Answer::Fail {
            code: 190,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: None,
        },
        ..Script::default()
    });
    let mut number = world.iberia.number();
    number.access_token = "expired".to_owned();
    world.simulator.register(number).unwrap();
    let replaced = async {
        world.simulator.wait_for_calls(1).await;
        world.simulator.register(world.iberia.number()).unwrap();
        rotate(&world, &[(2, world.iberia.access_token)]).await;
    };
    futures_util::join!(dispatch(&world, &jobs[..1]), replaced);
    assert_eq!(world.scalar::<String>(ACCOUNT).await, "ACTIVE");
    assert_eq!(
        column(&world, "hint_at > '-infinity'", &jobs[0]).await,
        "true",
        "and it goes on at once"
    );
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 5);
}
