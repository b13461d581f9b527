//! A customer's message finds its contact and its thread.

use crate::intake::trip;
use crate::people::{OLD, changes, forget_everything, person, see, writes};
use crate::webhook::ana;
use comms_providers::event::PersonChangeKind;
use comms_simulator::{Inbound, SignedWebhook};
use comms_tests::world::World;
use comms_tests::world::aws::Letter;
use serde_json::json;

#[tokio::test]
async fn a_first_message_opens_a_conversation() {
    let world = World::new().await;
    let webhook = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("¿A qué hora sale?"))
        .unwrap();
    let response = world.meta_posts(world.iberia.tenant, &webhook).await;
    assert_eq!(
        (response.status().as_u16(), response.body().as_str()),
        (200, r#"{"messages":1,"quarantined":0,"statuses":0}"#)
    );
    let row: (String, String, String, i64, String) = sqlx::query_as(
        "select m.status, m.body, c.status, c.inbound_count, c.preview from communications.messages m
           join communications.conversations c on c.tenant_id = m.tenant_id and c.id = m.conversation_id",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        row,
        (
            "DELIVERED".to_owned(),
            "¿A qué hora sale?".to_owned(),
            "OPEN".to_owned(),
            1,
            "¿A qué hora sale?".to_owned()
        )
    );
    let identifiers: serde_json::Value = world
        .scalar("select identifiers from communications.contacts")
        .await;
    assert_eq!(
        identifiers,
        json!({"phone": ["+34600111222"], "wa_id": ["34600111222"]})
    );
    let open: bool = world
        .scalar(
            "select open_until > now() + interval '23 hours' from communications.whatsapp_windows",
        )
        .await;
    assert!(open);
}

#[tokio::test]
async fn ten_first_messages_at_once_are_one_contact_and_one_conversation() {
    let world = World::new().await;
    let webhooks: Vec<SignedWebhook> = (0..10)
        .map(|index| {
            world
                .simulator
                .signed_inbound(world.iberia.phone_number_id, &ana(&format!("{index}")))
                .unwrap()
        })
        .collect();
    let responses = world
        .meta_posts_to_sandboxes(world.iberia.tenant, &webhooks)
        .await;
    assert!(responses.iter().all(|response| response.status() == 200));
    let counted = (
        world.count("messages").await,
        world.count("conversations").await,
        world.count("contacts").await,
    );
    assert_eq!(counted, (10, 1, 1));
    assert_eq!(
        world
            .scalar::<i64>("select inbound_count from communications.conversations")
            .await,
        10
    );
}

#[tokio::test]
async fn the_answer_to_an_automated_message_lands_in_one_thread_with_it() {
    let world = World::new().await;
    let trip = trip(&world, &world.iberia).await;
    world.trip_is_delayed(&trip).await;
    world.step_dispatch().await;
    world.customer_writes(&ana("¿Cuánto?")).await;
    let thread: Vec<String> = sqlx::query_scalar(
        "select m.direction from communications.messages m join communications.conversations c
            on c.tenant_id = m.tenant_id and c.id = m.conversation_id order by m.thread_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(thread.len(), 2);
    assert_eq!(
        world
            .scalar::<uuid::Uuid>("select trip_id from communications.conversations")
            .await,
        trip.id.0
    );
    assert_eq!(
        world.count("contacts").await,
        2,
        "the passenger and the sender are one contact"
    );
}

#[tokio::test]
async fn an_inbound_message_reopens_and_a_redelivery_does_not() {
    let world = World::new().await;
    let first = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("uno"))
        .unwrap();
    world.meta_posts(world.iberia.tenant, &first).await;
    world.execute("update communications.conversations set status = 'RESOLVED', assigned_to = '0192f000-0000-7000-8000-0000000000e1'").await;
    world.meta_posts(world.iberia.tenant, &first).await;
    assert_eq!(
        world
            .scalar::<String>("select status from communications.conversations")
            .await,
        "RESOLVED"
    );

    let second = world
        .simulator
        .signed_inbound(world.iberia.phone_number_id, &ana("dos"))
        .unwrap();
    world.meta_posts(world.iberia.tenant, &second).await;
    let (status, assigned): (String, bool) =
        sqlx::query_as("select status, assigned_to is not null from communications.conversations")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!((status.as_str(), assigned), ("OPEN", true));
    let kinds: Vec<String> =
        sqlx::query_scalar("select kind from communications.conversation_events order by at")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(kinds, ["OPENED", "REOPENED"]);
}

#[tokio::test]
async fn a_snoozed_thread_wakes_unless_it_is_to_sleep_through_replies() {
    let world = World::new().await;
    let write = async |text: &str| {
        world.customer_writes(&ana(text)).await;
        world
            .scalar::<String>("select status from communications.conversations")
            .await
    };
    write("uno").await;
    world.execute("update communications.conversations set status = 'SNOOZED', snoozed_until = now() + interval '1 hour', snoozed_until_reply = false").await;
    assert_eq!(write("dos").await, "SNOOZED");
    world
        .execute("update communications.conversations set snoozed_until_reply = true")
        .await;
    assert_eq!(write("tres").await, "OPEN");
}

#[tokio::test]
async fn people_without_a_phone_number_are_one_contact_too() {
    let world = World::new().await;
    let both = Inbound {
        user_id: Some("ES.1349".to_owned()),
        ..ana("both")
    };
    let bsuid_only = Inbound {
        from: None,
        user_id: Some("ES.1349".to_owned()),
        ..ana("bsuid only")
    };
    for inbound in [both, bsuid_only] {
        assert_eq!(world.customer_writes(&inbound).await.status(), 200);
    }
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await,
            world.count("messages").await
        ),
        (1, 1, 2)
    );
}

/// Their user id is the business portfolio's, which may have several business accounts; another tenant's contacts are its own.
#[tokio::test]
async fn who_shows_no_number_is_one_contact_to_all_business_accounts_of_a_tenant() {
    let world = World::new().await;
    world
        .execute(
            "insert into communications.channel_accounts
                 (tenant_id, id, channel, provider, status, display_name, sender, external_account_id, waba_id)
             select tenant_id, gen_random_uuid(), channel, provider, 'ACTIVE', 'Second', '+34911999888', '1999888', '2999888'
               from communications.channel_accounts where external_account_id = '100000000000001'",
        )
        .await;
    let writes = |waba: &str, number: &str| {
        json!({"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": [{"field": "messages", "value": {
            "messaging_product": "whatsapp", "metadata": {"display_phone_number": "34911999888", "phone_number_id": number},
            "contacts": [{"profile": {"name": "Ana"}, "user_id": "ES.1349"}],
            "messages": [{"from_user_id": "ES.1349", "id": format!("wamid.{number}"), "timestamp": "1796000000", "type": "text",
                          "text": {"body": "hola"}}]}}]}]})
    };
    for (waba, number) in [
        (world.iberia.waba_id, world.iberia.phone_number_id),
        ("2999888", "1999888"),
        (world.albion.waba_id, world.albion.phone_number_id),
    ] {
        let response = world.meta_tells_the_app(&writes(waba, number)).await;
        assert_eq!(response.status(), 200);
    }
    let threads: Vec<(i64, i64)> = sqlx::query_as(
        "select count(distinct contact_id), count(*) from communications.messages group by tenant_id, conversation_id order by 2",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(threads, [(1, 1), (1, 2)]);
    assert_eq!(world.count("contacts").await, 2);
}

#[tokio::test]
async fn a_clock_ahead_of_ours_keeps_no_window_open_and_no_thread_on_top() {
    let world = World::new().await;
    let ahead = Inbound {
        timestamp: 4_102_444_800,
        ..ana("from the year 2100")
    };
    assert_eq!(world.customer_writes(&ahead).await.status(), 200);
    let sane: bool = world
        .scalar(
            "select c.last_message_at <= now() and w.open_until <= now() + interval '24 hours'
               from communications.conversations c join communications.whatsapp_windows w using (tenant_id, contact_id)",
        )
        .await;
    assert!(sane);
}

#[tokio::test]
async fn what_was_resolved_long_ago_is_continued_by_a_new_thread_where_the_tenant_wants_it() {
    let world = World::new().await;
    world.customer_writes(&ana("uno")).await;
    let resolve =
        "update communications.conversations set status = 'RESOLVED' where status = 'OPEN'";
    world.execute(resolve).await;
    sqlx::query(
        "insert into communications.tenant_settings (tenant_id, name, reopen_within_days) values ($1, 'Iberia', 7)
         on conflict (tenant_id) do update set reopen_within_days = 7",
    )
    .bind(world.iberia.tenant)
    .execute(&world.pool)
    .await
    .unwrap();
    world.customer_writes(&ana("dos")).await;
    assert_eq!(
        world.count("conversations").await,
        1,
        "within its days it is reopened"
    );

    world.execute(resolve).await;
    world
        .execute("update communications.conversations set resolved_at = now() - interval '8 days'")
        .await;
    let first = world.only_conversation().await;
    world.customer_writes(&ana("tres")).await;
    let threads: Vec<(String, Option<uuid::Uuid>)> = sqlx::query_as(
        "select status, continues from communications.conversations order by created_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        threads,
        [
            ("RESOLVED".to_owned(), None),
            ("OPEN".to_owned(), Some(first.0))
        ]
    );
}

/// A mail and a text of one person, who has no thread yet: no alias of theirs is locked by both.
#[tokio::test]
async fn first_words_by_two_channels_at_once_open_one_conversation() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    for n in 0..8 {
        world
            .execute(
                "with person as (insert into communications.contacts (tenant_id, id) values ('0192f000-0000-7000-8000-00000000000a', gen_random_uuid())
                                 returning tenant_id, id)
                 insert into communications.contact_identities (tenant_id, kind, value, contact_id)
                 select tenant_id, kind, value, id from person
                  cross join (values ('phone', '+34600999000'), ('email', 'eva@example.org')) a (kind, value)",
            )
            .await;
        let letter = Letter::new("eva@example.org", &to, "Hola", "por correo");
        let text = json!({"originationNumber": "+34600999000", "destinationNumber": format!("+{}", world.iberia.display_number),
                          "messageBody": "por SMS", "inboundMessageId": n.to_string()});
        let texts = [text];
        let ((), told) = futures_util::join!(world.mail_arrives(&letter), world.aws_tells(&texts));
        assert!(told.is_empty(), "{told:?}");
        let counted = (
            world.count("conversations").await,
            world.count("contacts").await,
        );
        assert_eq!(counted, (1, 1));
        forget_everything(&world).await;
    }
}

/// Of a contact whom we had written to before: what they say is what the list shows, whichever comes first.
#[tokio::test]
async fn a_notice_beside_the_first_words_hides_them_in_no_order() {
    let world = World::new().await;
    let number = PersonChangeKind::IdentityKey;
    let story = [
        changes(20, number, person(OLD, ""), person(OLD, "")),
        writes(10, OLD, ""),
    ];
    for order in [[0, 1], [1, 0]] {
        world
            .execute(
                "with person as (
                     insert into communications.contacts (tenant_id, id) values ('0192f000-0000-7000-8000-00000000000a', gen_random_uuid())
                     returning tenant_id, id),
                 known as (
                     insert into communications.contact_identities (tenant_id, kind, value, contact_id)
                     select tenant_id, kind, value, id from person
                      cross join (values ('phone', '+34600111222'), ('wa_id', '34600111222')) a (kind, value))
                 insert into communications.messages (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address,
                        content, body, status, lane, category)
                 select p.tenant_id, gen_random_uuid(), 'OUTBOUND', 'WHATSAPP', a.id, p.id, 'SYSTEM', '+34600111222',
                        '{\"type\": \"text\"}', 'notice', 'QUEUED', 'TRANSACTIONAL', 'TRANSACTIONAL'
                   from person p join communications.channel_accounts a on a.tenant_id = p.tenant_id and a.channel = 'WHATSAPP'",
            )
            .await;
        for place in order {
            see(&world, &story[place]).await;
        }
        let shown: String = world
            .scalar("select preview from communications.conversations")
            .await;
        assert_eq!(shown, "hola", "{order:?}");
        forget_everything(&world).await;
    }
}
