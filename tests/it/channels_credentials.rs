//! Credentials at rest: worth nothing without KMS, nothing in another's row, two versions while they change, and a canary before that.

use crate::flow::{hinted, scan, tally};
use comms_core::channels::rotation::{self, Rewrapped, Settled};
use comms_core::channels::vault::{Credentials, Owner};
use comms_core::channels::{Vault, VaultError};
use comms_core::model::MessageId;
use comms_core::platform::Aws;
use comms_tests::seed::Operator;
use comms_tests::world::World;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

fn owner(operator: &Operator) -> Owner {
    Owner {
        tenant: operator.tenant,
        account: operator.account,
    }
}

async fn versions(world: &World, operator: &Operator) -> Vec<i32> {
    let health = world
        .administers(
            operator,
            "channelHealth",
            &json!({"channel_account_id": operator.account}),
        )
        .await
        .unwrap();
    serde_json::from_value(health["credential_versions"].clone()).unwrap()
}

/// A key of this test's own beside the stack's.
async fn another_key(world: &World) -> String {
    let made = world.aws().kms().await.create_key().send().await.unwrap();
    made.key_metadata.unwrap().key_id
}

async fn settle(world: &World) -> Settled {
    let database = world.database();
    let mut tx = database.begin().await.unwrap();
    let settled = rotation::settle(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    settled
}

/// The newest token of the first operator, as the worker would open it.
async fn stage(world: &World, token: &str) {
    let iberia = &world.iberia;
    let credentials = Credentials::of_token(token.into());
    let envelope = world
        .vault()
        .seal(owner(iberia), 2, &credentials)
        .await
        .unwrap();
    let database = world.database();
    let mut tx = database.begin().await.unwrap();
    rotation::stage(&mut tx, iberia.tenant, iberia.account, &envelope)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// A test message that the candidate waits for.
async fn canary(world: &World) -> MessageId {
    let iberia = &world.iberia;
    let input = json!({
        "channel_account_id": iberia.account, "to": "+34600111222", "client_message_id": "canary", "canary": true,
        "template": {"name": "trip_delayed", "language": "en", "body": ["a", "b", "c", "d", "e"]}
    });
    let queued = world
        .administers(iberia, "sendTestMessage", &input)
        .await
        .unwrap();
    serde_json::from_value(queued["message_id"].clone()).unwrap()
}

#[tokio::test]
async fn another_tenants_context_opens_nothing() {
    let world = World::new().await;
    let vault = world.vault();
    let credentials = Credentials {
        access_token: "EAAG-secret".into(),
        pin: Some("123456".into()),
    };
    let (mine, theirs) = (owner(&world.iberia), owner(&world.albion));
    let envelope = vault.seal(mine, 7, &credentials).await.unwrap();
    let opened = vault.open(mine, &envelope).await.unwrap();
    assert_eq!(opened.access_token.expose_secret(), "EAAG-secret");
    assert_eq!(opened.pin.unwrap().expose_secret(), "123456");
    // A vault that has opened it, and one that has not.
    for vault in [vault, world.vault()] {
        for stranger in [
            theirs,
            Owner {
                tenant: theirs.tenant,
                ..mine
            },
            Owner {
                account: theirs.account,
                ..mine
            },
        ] {
            let refused = vault.open(stranger, &envelope).await;
            assert!(
                matches!(refused, Err(VaultError::Envelope { .. })),
                "{refused:?}"
            );
        }
        let mut older = json!(envelope);
        older["version"] = json!(6);
        let refused = vault
            .open(mine, &serde_json::from_value(older).unwrap())
            .await;
        assert!(
            matches!(refused, Err(VaultError::Envelope { .. })),
            "{refused:?}"
        );
    }
}

/// Every row of every table, as a dump has them, after a message has gone out and a code was refused.
#[tokio::test]
async fn a_dump_of_the_whole_database_holds_no_secret() {
    let world = World::new().await;
    stage(&world, "token-of-the-candidate").await;
    canary(&world).await;
    hinted(&world).await;
    settle(&world).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
          where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(tables.len() > 30, "{tables:?}");
    let mut rows = 0;
    for table in tables {
        let text: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(&world.pool)
                .await
                .unwrap();
        rows += text.len();
        for secret in [
            world.iberia.access_token,
            world.albion.access_token,
            "token-of-the-candidate",
            comms_tests::world::VERIFY_TOKEN,
            comms_tests::world::APP_SECRET,
            comms_tests::world::HASURA_SECRET,
        ] {
            assert!(
                !text.iter().any(|row| row.contains(secret)),
                "{table} holds a secret"
            );
        }
    }
    assert!(rows > 100);
}

/// A second token that the provider takes, staged as the account's candidate.
async fn renewed(world: &World) {
    let mut number = world.iberia.number();
    "token-two".clone_into(&mut number.access_token);
    world.simulator.register(number).unwrap();
    stage(world, "token-two").await;
}

#[tokio::test]
async fn a_canary_goes_by_the_candidate_alone_and_then_two_versions_live_for_a_day() {
    let world = World::new().await;
    let iberia = &world.iberia;
    renewed(&world).await;
    assert_eq!(versions(&world, iberia).await, [1]);
    assert_eq!(settle(&world).await, Settled::default());
    canary(&world).await;
    hinted(&world).await;
    assert_eq!(tally(&world).await["SENT"], 1);
    assert_eq!(settle(&world).await.promoted, 1);
    assert_eq!(versions(&world, iberia).await, [2, 1]);
    assert_eq!(settle(&world).await, Settled::default());
    let told: (String, String, String) = sqlx::query_as(
        "select before, after, by_kind from communications.channel_account_history where what = 'CREDENTIALS'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(told, ("1".to_owned(), "2".to_owned(), "SYSTEM".to_owned()));
    world
        .execute("alter table communications.channel_account_history disable trigger append_only")
        .await;
    world
        .execute("update communications.channel_account_history set at = at - interval '25 hours'")
        .await;
    assert_eq!(settle(&world).await.retired, 1);
    assert_eq!(versions(&world, iberia).await, [2]);
}

#[tokio::test]
async fn a_canary_that_is_refused_leaves_everything_as_it_was() {
    let world = World::new().await;
    let iberia = &world.iberia;
    stage(&world, "token-that-nobody-takes").await;
    canary(&world).await;
    hinted(&world).await;
    assert_eq!(tally(&world).await["FAILED"], 1, "once, and no more");
    let status: String = world
        .scalar("select status from communications.channel_accounts where channel = 'WHATSAPP' and sender = '+34911000001'")
        .await;
    assert_eq!(
        status, "ACTIVE",
        "the account's own credentials were not refused"
    );
    scan(&world).await;
    assert_eq!(hinted(&world).await, 0);
    assert_eq!(settle(&world).await.dropped, 1);
    assert_eq!(versions(&world, iberia).await, [1]);
    let candidate: bool = world
        .scalar("select bool_or(provider_config ? 'candidate' or provider_config -> 'public' ? 'canary_message_id') from communications.channel_accounts")
        .await;
    assert!(!candidate);
}

/// What was said of the account while its canary flew: refused old credentials are mended by the new ones, a ban is not.
#[tokio::test]
async fn a_canary_mends_refused_credentials_and_lifts_no_ban() {
    for (before, after) in [("REAUTH_REQUIRED", "ACTIVE"), ("SUSPENDED", "SUSPENDED")] {
        let world = World::new().await;
        let iberia = &world.iberia;
        renewed(&world).await;
        canary(&world).await;
        hinted(&world).await;
        sqlx::query("update communications.channel_accounts set status = $2, status_reason = 'provider: said' where tenant_id = $1")
            .bind(iberia.tenant)
            .bind(before)
            .execute(&world.pool)
            .await
            .unwrap();
        assert_eq!(settle(&world).await.promoted, 1);
        let status: String = sqlx::query_scalar(
            "select status from communications.channel_accounts where tenant_id = $1 and id = $2",
        )
        .bind(iberia.tenant)
        .bind(iberia.account)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(status, after);
    }
}

#[tokio::test]
async fn credentials_that_nobody_proves_are_forgotten_and_never_sent_with() {
    let world = World::new().await;
    let iberia = &world.iberia;
    stage(&world, "token-two").await;
    let step = async |name: &str, state: &str| {
        sqlx::query(
            "insert into communications.channel_provisioning_steps
                 (tenant_id, account_id, step, ordinal, state, error_class, cause, cure, tried_at, done_at)
             values ($1, $2, $3, 1, $4, case $4 when 'FAILED' then 'X' end, case $4 when 'FAILED' then 'X' end,
                     case $4 when 'FAILED' then 'X' end, now() - interval '25 hours', case $4 when 'DONE' then now() - interval '25 hours' end)",
        )
        .bind(iberia.tenant)
        .bind(iberia.account)
        .bind(name)
        .bind(state)
        .execute(&world.pool)
        .await
        .unwrap();
    };
    step("DEBUG", "FAILED").await;
    let input = json!({
        "channel_account_id": iberia.account, "to": "+34600111222", "client_message_id": "canary", "canary": true,
        "template": {"name": "trip_delayed", "language": "en", "body": ["a", "b", "c", "d", "e"]}
    });
    let refused = world.administers(iberia, "sendTestMessage", &input).await;
    assert_eq!(refused, Err("no-candidate".to_owned()));
    assert_eq!(settle(&world).await, Settled::default());
    step("EXCHANGE", "DONE").await;
    assert_eq!(settle(&world).await.dropped, 1);
    assert_eq!(versions(&world, iberia).await, [1]);
}

#[tokio::test]
async fn all_envelopes_go_under_a_new_key_and_open_as_before() {
    let mut world = World::new().await;
    stage(&world, "token-of-the-candidate").await;
    let key = another_key(&world).await;
    let before: Value = world
        .scalar("select jsonb_agg(provider_config #> '{secrets,0,ciphertext}' order by id) from communications.channel_accounts")
        .await;
    world.channels.vault = Vault::new(&Aws::default(), &key);
    let rewrap = async || {
        let answer = channel_actions::invoked(&world.channels, json!({"rewrap": true}))
            .await
            .unwrap();
        (answer["accounts"].clone(), answer["broken"].clone())
    };
    assert_eq!(rewrap().await, (json!(2), json!(0)));
    assert_eq!(rewrap().await, (json!(0), json!(0)), "it is done once");
    let left: i64 = sqlx::query_scalar(
        "select count(*) from communications.channel_accounts, jsonb_path_query(provider_config, '$.**.key_id') as k (id)
          where k.id <> to_jsonb($1::text)",
    )
    .bind(&key)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
    let after: Value = world
        .scalar("select jsonb_agg(provider_config #> '{secrets,0,ciphertext}' order by id) from communications.channel_accounts")
        .await;
    assert_eq!(before, after, "what is sealed stays sealed");
    crate::parking::five(&world).await;
    world.step_dispatch().await;
    assert_eq!(tally(&world).await["SENT"], 5);
    // A history of credentials is of credentials, not of keys.
    assert_eq!(world.count("channel_account_history").await, 0);
}

#[tokio::test]
async fn an_envelope_that_does_not_open_does_not_keep_the_others_from_the_new_key() {
    let mut world = World::new().await;
    world
        .execute(
            "update communications.channel_accounts a set provider_config = b.provider_config
               from communications.channel_accounts b
              where a.sender = '+34911000001' and b.sender = '+34911000002'",
        )
        .await;
    world.channels.vault = Vault::new(&Aws::default(), &another_key(&world).await);
    let done = rotation::rewrap(&world.database(), &world.channels.vault)
        .await
        .unwrap();
    assert_eq!(
        done,
        Rewrapped {
            accounts: 1,
            broken: 1
        }
    );
}

#[tokio::test]
async fn what_is_neither_a_call_nor_a_rewrap_is_refused() {
    let world = World::new().await;
    for payload in [
        json!({}),
        json!({"rewrap": false}),
        json!({"rewrap": true, "tenant_id": "x"}),
    ] {
        assert!(
            channel_actions::invoked(&world.channels, payload)
                .await
                .is_err()
        );
    }
}
