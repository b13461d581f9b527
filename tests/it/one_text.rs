//! The short way for one text (`communications.inbound_text`), and that of several (`inbound_texts`), leave the same rows as the long way.

use comms_simulator::SignedWebhook;
use comms_tests::calls;
use comms_tests::world::{APP_SECRET, World};
use futures_util::future::join;
use serde_json::{Value, json};

/// From long ago, in the future, out of order, with an answer and with what stands beside it.
pub fn texts() -> Vec<Value> {
    let text = |n: i64, at: i64, more: &Value| {
        let mut text = json!({
            "from": "5511987654321", "from_user_id": "BR.1", "id": format!("wamid.{n}"), "timestamp": at.to_string(),
            "type": "text", "text": {"body": format!("text {n}")},
        });
        for (name, member) in more.as_object().unwrap() {
            text[name] = member.clone();
        }
        text
    };
    let nothing = json!({});
    vec![
        text(0, 1_795_428_000, &nothing),
        text(1, 1_795_428_060, &nothing),
        text(2, 1_795_428_030, &nothing),
        text(
            3,
            1_795_428_090,
            &json!({"context": {"from": "34911", "id": "wamid.OURS"}}),
        ),
        text(4, 4_000_000_000, &nothing),
        text(
            5,
            1_795_428_120,
            &json!({"context": {"forwarded": true}, "type": "location", "text": null,
                    "location": {"latitude": 40.4, "longitude": -3.7, "name": "Atocha"}}),
        ),
    ]
}

/// These, said at the first operator's number.
pub fn signed(world: &World, texts: &[impl serde::Serialize]) -> SignedWebhook {
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "1", "phone_number_id": world.iberia.phone_number_id},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "5511987654321", "user_id": "BR.1"}],
        "messages": texts,
    });
    let body = json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": world.iberia.waba_id, "changes": [{"field": "messages", "value": value}]}],
    });
    calls::signed_by_meta(APP_SECRET, &body)
}

pub async fn posts(world: &World, texts: &[impl serde::Serialize]) {
    let webhook = signed(world, texts);
    let response = world.meta_posts(world.iberia.tenant, &webhook).await;
    assert_eq!(response.status(), 200, "{}", response.body());
}

/// All rows but their ids and the moments of this run.
pub async fn rows(world: &World) -> Value {
    world
        .scalar(
            "select jsonb_build_object(
                'messages', (select jsonb_agg(to_jsonb(m) - array ['id', 'contact_id', 'conversation_id', 'created_at', 'updated_at',
                                              'due_at', 'delivered_at'] order by m.external_message_id)
                               from communications.messages m),
                'conversations', (select jsonb_agg(to_jsonb(c) - array ['id', 'contact_id', 'created_at', 'updated_at', 'last_message_at',
                                                   'last_inbound_at'])
                                    from communications.conversations c),
                'one thread', (select count(distinct conversation_id) from communications.messages),
                'times', (select jsonb_agg(jsonb_build_array(now() - last_message_at < '1 minute', now() - last_inbound_at < '1 minute'))
                            from communications.conversations),
                'window', (select jsonb_agg(jsonb_build_array(account_id, open_until - now() > '23:59')) from communications.whatsapp_windows),
                'people', (select jsonb_agg(jsonb_build_array(kind, scope, value) order by kind, value)
                             from communications.contact_identities),
                'names', (select jsonb_agg(display_name) from communications.contacts))",
        )
        .await
}

/// From here on it answers with an error.
pub async fn close_the_long_way(world: &World) {
    world
        .execute(
            "create or replace function communications.inbound_load(p jsonb) returns jsonb language plpgsql
             as $$ begin raise exception 'the long way'; end $$",
        )
        .await;
}

#[tokio::test]
async fn one_text_is_stored_as_many_are() {
    let texts = texts();
    let short = World::new().await;
    posts(&short, &[&texts[0]]).await;
    close_the_long_way(&short).await;
    for text in &texts[1..] {
        posts(&short, &[text]).await;
    }

    let long = World::new().await;
    posts(&long, &[&texts[0], &texts[0]]).await;
    for text in &texts[1..] {
        // Together with one that is here already, which changes nothing.
        posts(&long, &[&texts[0], text]).await;
    }
    assert_eq!(rows(&short).await, rows(&long).await);
    assert_eq!(short.count("messages").await, 6);
}

/// Somebody's first text, one whose thread is resolved, and one from a number that was given up: decided about on what the first call
/// said, and written by the second.
#[tokio::test]
async fn texts_of_others_are_written_as_they_were_decided() {
    let world = World::new().await;
    let no_other_way = sqlx::raw_sql(
        "alter function communications.inbound_decided_text rename to decided_text;
         create function communications.inbound_decided_text(p jsonb) returns jsonb language plpgsql
         as $$
         declare
             v_stored jsonb := communications.decided_text(p);
         begin
             if v_stored is null then
                 raise exception 'the long way';
             end if;
             return v_stored;
         end
         $$",
    );
    no_other_way.execute(&world.pool).await.unwrap();
    let texts = texts();
    posts(&world, &[&texts[0]]).await;
    world
        .execute("update communications.conversations set status = 'RESOLVED'")
        .await;
    posts(&world, &[&texts[1]]).await;
    world
        .execute(
            "insert into communications.contact_former_identities (tenant_id, kind, value, contact_id, until)
             select tenant_id, 'wa_id', '5511987654321', id, now() from communications.contacts",
        )
        .await;
    posts(&world, &[&texts[2]]).await;
    assert_eq!(world.count("messages").await, 3);
    assert_eq!(world.count("quarantine").await, 0);
}

/// The one case that does not.
const SIMPLE: &str = "nothing out of the ordinary";

/// What is not so simple goes the long way, and nothing of the short one stays.
#[tokio::test]
async fn what_is_more_than_one_text_of_somebody_known_goes_the_long_way() {
    let texts = texts();
    for (what, before) in [
        (SIMPLE, "select 1"),
        ("resolved", "update communications.conversations set status = 'RESOLVED'"),
        (
            "snoozed until a reply",
            "update communications.conversations set status = 'SNOOZED', snoozed_until_reply = true",
        ),
        ("blocked", "update communications.contacts set blocked_at = now()"),
        ("nameless", "update communications.contacts set display_name = null"),
        (
            "an alias that is new",
            "delete from communications.contact_identities where kind = 'bsuid'",
        ),
        (
            "a form of the number that is somebody else's",
            "with other as (insert into communications.contacts (tenant_id, id) select tenant_id, gen_random_uuid() from communications.contacts
                            returning tenant_id, id)
             insert into communications.contact_identities (tenant_id, kind, value, contact_id)
             select tenant_id, 'wa_id', '551187654321', id from other",
        ),
        (
            "a number that was given up",
            "insert into communications.contact_former_identities (tenant_id, kind, value, contact_id, until)
             select tenant_id, 'wa_id', '5511987654321', id, now() from communications.contacts",
        ),
        (
            "a thread in which notices alone stand",
            "update communications.conversations set preview = ''",
        ),
        (
            "an automated message without a thread",
            "update communications.messages set conversation_id = null",
        ),
    ] {
        let world = World::new().await;
        posts(&world, &[&texts[0]]).await;
        world.execute(before).await;
        for several in [false, true] {
            let before = rows(&world).await;
            assert_eq!(takes(&world, several).await, what == SIMPLE, "{what}");
            assert_eq!(rows(&world).await != before, what == SIMPLE, "{what}");
        }
    }
}

/// Does the function for one text, or that for several, take a new one of Ana's?
async fn takes(world: &World, several: bool) -> bool {
    let answer: Value = sqlx::query_scalar(
        "with entrance as (select jsonb_build_object('channel', 'WHATSAPP') as entrance),
              text as (select jsonb_build_object('number', $1::text, 'said', 3, 'name', 'Ana',
                'aliases', jsonb_build_array(
                    jsonb_build_array('bsuid', '', 'BR.1'), jsonb_build_array('wa_id', '', '5511987654321'),
                    jsonb_build_array('phone', '', '+5511987654321'), jsonb_build_array('wa_id', '', '551187654321'),
                    jsonb_build_array('phone', '', '+551187654321')),
                'id', gen_random_uuid(), 'external_message_id', 'wamid.NEW' || $2, 'address', '+5511987654321', 'content', '{}'::jsonb,
                'body', 'hola', 'preview', 'hola', 'sent_at', now()) as text)
         select coalesce(case when $2 then communications.inbound_texts(entrance || jsonb_build_object('texts', jsonb_build_array(text)))
                              else communications.inbound_text(entrance || text) end, '[]')
           from entrance, text",
    )
    .bind(world.iberia.phone_number_id)
    .bind(several)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    answer != json!([])
}

/// Thirty texts of one person, each twice, all at the same moment, while somebody resolves the thread again and again.
#[tokio::test]
async fn texts_at_once_are_counted_once() {
    let world = World::new().await;
    let first = texts().remove(0);
    posts(&world, &[&first]).await;
    let more: Vec<Value> = (0..30)
        .map(|n| {
            let mut text = first.clone();
            text["id"] = json!(format!("wamid.more.{n}"));
            text
        })
        .collect();
    let twice: Vec<SignedWebhook> = more
        .iter()
        .chain(&more)
        .map(|text| signed(&world, std::slice::from_ref(text)))
        .collect();
    let all = world.meta_posts_to_sandboxes(world.iberia.tenant, &twice);
    let resolve = async {
        for _ in 0..20 {
            world
                .execute("update communications.conversations set status = 'RESOLVED' where status = 'OPEN'")
                .await;
        }
    };
    let (answers, ()) = join(all, resolve).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    let counted: (i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from communications.messages), (select count(*) from communications.conversations),
                (select sum(inbound_count)::bigint from communications.conversations)",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(counted, (31, 1, 31));
}

/// A number belongs to its door.
#[tokio::test]
async fn nobody_takes_a_text_through_anothers_door() {
    let world = World::new().await;
    let texts = texts();
    posts(&world, &[&texts[0]]).await;
    let webhook = signed(&world, &texts[1..2]);
    let response = world.meta_posts(world.albion.tenant, &webhook).await;
    assert_eq!(response.status(), 200);
    assert_eq!(world.count("messages").await, 1);
    assert_eq!(world.count("quarantine").await, 1);
}
