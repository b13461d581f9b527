//! What messages cost: counted once whatever is said twice, corrected when it is said anew, and capped for text messages.

use crate::flow::{account, dispatch, hinted, queue, scan, tally};
use comms_tests::seed::Operator;
use comms_tests::world::World;
use serde_json::{Value, json};

async fn roll_up(world: &World) {
    world
        .execute("select communications.roll_up_usage('0', 50000)")
        .await;
}

async fn usage(world: &World) -> Value {
    world
        .scalar(
            "select coalesce(jsonb_agg(to_jsonb(u) - 'updated_at' - 'day' - 'tenant_id' order by u.channel, u.category), '[]')
               from communications.usage_daily u",
        )
        .await
}

/// A report about the only message, at this second after midnight, with this category.
async fn reported(world: &World, status: &str, second: i64, category: &str) {
    let pricing =
        json!({"billable": true, "pricing_model": "PMP", "type": "regular", "category": category});
    priced(world, status, second, &pricing).await;
}

async fn priced(world: &World, status: &str, second: i64, pricing: &Value) {
    let iberia = &world.iberia;
    let wamid: String = world
        .scalar("select external_message_id from communications.messages")
        .await;
    let id: uuid::Uuid = world.scalar("select id from communications.messages").await;
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": iberia.waba_id, "changes": [{"field": "messages", "value": {
    "messaging_product": "whatsapp",
    "metadata": {"display_phone_number": iberia.display_number, "phone_number_id": iberia.phone_number_id},
    "statuses": [{
        "id": wamid, "status": status, "timestamp": (1_795_305_600 + second).to_string(), "recipient_id": "34700000001",
        "biz_opaque_callback_data": id,
        "pricing": pricing
    }]}}]}]});
    let webhook = comms_tests::calls::signed_by_meta(comms_tests::world::APP_SECRET, &body);
    assert_eq!(
        world.meta_posts(iberia.tenant, &webhook).await.status(),
        200
    );
}

fn one(category: &str) -> Value {
    json!([{"channel": "WHATSAPP", "category": category, "currency": "", "messages": 1, "billable": 1, "units": 1, "micros": null}])
}

#[tokio::test]
async fn a_price_counts_once_and_the_one_said_last_counts() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        crate::flow::whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        1,
    )
    .await;
    dispatch(&world, &jobs).await;
    roll_up(&world).await;
    assert_eq!(usage(&world).await, json!([]));
    reported(&world, "sent", 10, "utility").await;
    reported(&world, "sent", 10, "utility").await;
    roll_up(&world).await;
    roll_up(&world).await;
    assert_eq!(usage(&world).await, one("UTILITY"));
    // Meta thinks again; what it said before and repeats late is not news.
    reported(&world, "delivered", 20, "marketing").await;
    reported(&world, "read", 15, "utility").await;
    roll_up(&world).await;
    assert_eq!(usage(&world).await, one("MARKETING"));
}

/// Meta is about to say no more whether it charges: the type says it. And one category is written in two ways.
#[tokio::test]
async fn what_is_free_is_not_billable_whether_meta_says_so_or_not() {
    let world = World::new().await;
    let jobs = queue(
        &world,
        crate::flow::whatsapp(&world.iberia),
        "TRANSACTIONAL",
        "TRANSACTIONAL",
        1,
    )
    .await;
    dispatch(&world, &jobs).await;
    for (status, second, kind, category, billable, counted) in [
        ("sent", 10, "free_customer_service", "service", 0, "SERVICE"),
        (
            "delivered",
            11,
            "regular",
            "authentication-international",
            1,
            "AUTHENTICATION_INTERNATIONAL",
        ),
        (
            "read",
            12,
            "free_entry_point",
            "referral_conversion",
            0,
            "REFERRAL_CONVERSION",
        ),
    ] {
        let pricing = json!({"pricing_model": "PMP", "type": kind, "category": category});
        priced(&world, status, second, &pricing).await;
        roll_up(&world).await;
        let mut expected = one(counted);
        expected[0]["billable"] = json!(billable);
        assert_eq!(usage(&world).await, expected);
    }
}

#[tokio::test]
async fn usage_is_counted_by_tenant_and_by_the_day_of_the_first_price() {
    let world = World::new().await;
    for operator in [&world.iberia, &world.albion] {
        let jobs = queue(
            &world,
            crate::flow::whatsapp(operator),
            "TRANSACTIONAL",
            "TRANSACTIONAL",
            2,
        )
        .await;
        dispatch(&world, &jobs).await;
    }
    world
        .execute(
            "insert into communications.message_prices (tenant_id, message_id, account_id, category, billable, units, micros, currency, at, said_at)
             select m.tenant_id, m.id, m.account_id, 'x', m.tenant_id = '0192f000-0000-7000-8000-00000000000a', 2, 500, 'EUR', t.at, t.at
               from (select *, row_number() over (partition by tenant_id order by id) as nth from communications.messages) m
              cross join lateral (select '2026-11-28 23:59:59+00'::timestamptz + (m.nth - 1) * interval '1 second' as at) t",
        )
        .await;
    roll_up(&world).await;
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select right(tenant_id::text, 1) || ' ' || day, messages, billable, units, micros from communications.usage_daily order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let row = |day: &str, billable| (day.to_owned(), 1, billable, 2, 500);
    assert_eq!(
        rows,
        [
            row("a 2026-11-28", 1),
            row("a 2026-11-29", 1),
            row("b 2026-11-28", 0),
            row("b 2026-11-29", 0)
        ]
    );
}

/// All of a long history is counted over some runs, the oldest first, and then not more often than it is wanted.
#[tokio::test]
async fn history_is_counted_piece_by_piece() {
    let world = World::new().await;
    let from = crate::flow::whatsapp(&world.iberia);
    let jobs = queue(&world, from, "TRANSACTIONAL", "TRANSACTIONAL", 3).await;
    dispatch(&world, &jobs).await;
    world
        .execute(
            "insert into communications.message_prices (tenant_id, message_id, account_id, category, units, at, said_at, recorded_at)
             select tenant_id, id, account_id, 'x', 1, now() - n * interval '1 day', now() - n * interval '1 day', now() - n * interval '1 hour'
               from (select m.*, row_number() over (order by id) as n from communications.messages m) m",
        )
        .await;
    for counted in 1..=3 {
        world
            .execute("select communications.roll_up_usage('0', 1)")
            .await;
        assert_eq!(world.count("usage_daily").await, counted);
    }
    let rest: i32 = world
        .scalar("select communications.roll_up_usage('0', 2)")
        .await;
    let soon: i32 = world
        .scalar("select communications.roll_up_usage('10 minutes', 2)")
        .await;
    assert_eq!((rest, soon, world.count("usage_daily").await), (1, 0, 3));
}

async fn capped(world: &World, operator: &Operator, parts: i64) {
    sqlx::query("insert into communications.sms_limits (tenant_id, monthly_micros, part_micros) values ($1, $2, 1000)")
        .bind(operator.tenant)
        .bind(parts * 1000)
        .execute(&world.pool)
        .await
        .unwrap();
}

async fn spent(world: &World) -> i64 {
    world
        .scalar("select sum(micros)::bigint from communications.sms_spend")
        .await
}

#[tokio::test]
async fn no_text_message_is_sent_beyond_the_months_cap_and_other_tenants_go_on() {
    let world = World::new().await;
    capped(&world, &world.iberia, 3).await;
    let mine = account(&world, world.iberia.tenant, "SMS", "SNS").await;
    let theirs = account(&world, world.albion.tenant, "SMS", "SNS").await;
    let mut jobs = queue(&world, mine, "TRANSACTIONAL", "TRANSACTIONAL", 5).await;
    jobs.extend(queue(&world, theirs, "TRANSACTIONAL", "TRANSACTIONAL", 5).await);
    dispatch(&world, &jobs).await;
    let attempts: i64 = sqlx::query_scalar(
        "select count(*) from communications.message_attempts where tenant_id = $1",
    )
    .bind(world.iberia.tenant)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(attempts, 3);
    let (status, reason, month): (String, String, bool) = sqlx::query_as(
        "select status, status_reason, resume_at = (date_trunc('month', now() at time zone 'UTC') + interval '1 month') at time zone 'UTC'
           from communications.channel_accounts where id = $1",
    )
    .bind(mine.account)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        (status.as_str(), reason.starts_with("spend-cap:"), month),
        ("SUSPENDED", true, true)
    );
    scan(&world).await;
    hinted(&world).await;
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from communications.messages where tenant_id = $1 and status = 'QUEUED' and attempts = 0",
    )
    .bind(world.iberia.tenant)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(waiting, 2);
    assert_eq!(tally(&world).await.get("QUEUED"), Some(&2));
}

#[tokio::test]
async fn the_providers_price_takes_the_place_of_the_assumed_one() {
    let world = World::new().await;
    capped(&world, &world.iberia, 10).await;
    let mine = account(&world, world.iberia.tenant, "SMS", "SNS").await;
    let jobs = queue(&world, mine, "TRANSACTIONAL", "TRANSACTIONAL", 2).await;
    dispatch(&world, &jobs).await;
    assert_eq!(spent(&world).await, 2000);
    world
        .execute(
            "insert into communications.message_prices (tenant_id, message_id, account_id, units, micros, currency, at, said_at)
             select tenant_id, id, account_id, 1, 1700, 'USD', now(), now() from communications.messages order by id limit 1",
        )
        .await;
    assert_eq!(spent(&world).await, 2700);
    world
        .execute("update communications.message_prices set micros = 1500")
        .await;
    assert_eq!(spent(&world).await, 2500);
    roll_up(&world).await;
    assert_eq!(usage(&world).await[0]["micros"], 1500);
}
