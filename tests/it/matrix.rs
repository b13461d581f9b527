//! Meta's webhook becomes rows, case by case: what arrives in what shape and order, and what must then hold. What has a file of its own is
//! not here again: signatures and doors (`doors`, `webhook`), one person (`people`), files (`media`), wishes and notices.

use comms_simulator::SignedWebhook;
use comms_tests::calls;
use comms_tests::seed::Operator;
use comms_tests::world::{APP_SECRET, World};
use serde_json::{Value, json};

const ANA: &str = "34600111222";
pub const T: i64 = 1_795_428_000;

pub fn message(id: &str, at: i64, rest: &Value) -> Value {
    let mut message = json!({"from": ANA, "id": id, "timestamp": at.to_string()});
    for (name, member) in rest.as_object().unwrap() {
        message[name] = member.clone();
    }
    message
}

pub fn text(id: &str, at: i64, body: &str) -> Value {
    message(id, at, &json!({"type": "text", "text": {"body": body}}))
}

fn value(operator: &Operator, members: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": operator.display_number, "phone_number_id": operator.phone_number_id},
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": ANA}]
    });
    for (name, member) in members.as_object().unwrap() {
        value[name] = member.clone();
    }
    value
}

fn entry(waba: &str, field: &str, values: &[Value]) -> Value {
    let changes: Vec<Value> = values
        .iter()
        .map(|value| json!({"field": field, "value": value}))
        .collect();
    json!({"id": waba, "changes": changes})
}

fn signed(entries: &[Value]) -> SignedWebhook {
    calls::signed_by_meta(
        APP_SECRET,
        &json!({"object": "whatsapp_business_account", "entry": entries}),
    )
}

/// Posts one value of the first operator's.
pub async fn post(world: &World, field: &str, members: &Value) {
    let entries = [entry(
        world.iberia.waba_id,
        field,
        &[value(&world.iberia, members)],
    )];
    let response = world
        .meta_posts(world.iberia.tenant, &signed(&entries))
        .await;
    assert_eq!(response.status(), 200, "{}", response.body());
}

pub async fn messages(world: &World, items: &[Value]) {
    post(world, "messages", &json!({"messages": items})).await;
}

/// `(body, content)` of what came in, as the thread shows it.
async fn shown(world: &World) -> Vec<(String, Value)> {
    sqlx::query_as(
        "select body, content from communications.messages where direction = 'INBOUND' order by thread_at, id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

async fn bodies(world: &World) -> Vec<String> {
    shown(world)
        .await
        .into_iter()
        .map(|(body, _)| body)
        .collect()
}

#[tokio::test]
async fn t02_twelve_messages_in_four_changes_of_two_tenants() {
    let world = World::new().await;
    let of = |operator: &Operator, name: &str| {
        let three = |n: i64| {
            let items: Vec<Value> = (0..3)
                .map(|i| text(&format!("{name}-{n}-{i}"), T + i, name))
                .collect();
            value(operator, &json!({"messages": items}))
        };
        entry(operator.waba_id, "messages", &[three(0), three(1)])
    };
    let payload = signed(&[of(&world.iberia, "a"), of(&world.albion, "b")]);
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &payload)
            .await
            .status(),
        200
    );
    let counted: Vec<(uuid::Uuid, i64)> = sqlx::query_as(
        "select tenant_id, count(*) from communications.messages group by tenant_id order by tenant_id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        counted,
        [(world.iberia.tenant.0, 6), (world.albion.tenant.0, 6)]
    );
}

#[tokio::test]
async fn t03_messages_and_statuses_in_one_value_and_a_status_of_nobodys_message() {
    let world = World::new().await;
    let status = json!({"id": "wamid.unknown", "status": "delivered", "timestamp": T.to_string(), "recipient_id": ANA});
    post(
        &world,
        "messages",
        &json!({"messages": [text("m1", T, "hola")], "statuses": [status]}),
    )
    .await;
    assert_eq!(bodies(&world).await, ["hola"]);
    assert_eq!(
        world
            .count("message_status_events where message_id is null")
            .await,
        1
    );
}

#[tokio::test]
async fn t07_the_thread_has_the_providers_order_and_the_log_ours() {
    let world = World::new().await;
    for (id, at) in [("m1", T), ("m2", T + 120), ("m3", T + 60)] {
        messages(&world, &[text(id, at, id)]).await;
    }
    assert_eq!(bodies(&world).await, ["m1", "m3", "m2"]);
    let arrived: Vec<String> =
        sqlx::query_scalar("select body from communications.messages order by created_at, id")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(arrived, ["m1", "m2", "m3"]);
    let preview: String = world
        .scalar("select preview from communications.conversations")
        .await;
    assert_eq!(preview, "m2");
}

#[tokio::test]
async fn t11_t12_words_that_nobody_listed_and_failures_with_all_they_say() {
    let world = World::new().await;
    let id = sent(&world).await;
    let status = |word: &str, more: &Value| {
        let mut status =
            json!({"id": id, "status": word, "timestamp": T.to_string(), "recipient_id": ANA});
        for (name, member) in more.as_object().unwrap() {
            status[name] = member.clone();
        }
        json!({"statuses": [status]})
    };
    post(&world, "messages", &status("pondered", &json!({}))).await;
    post(
        &world,
        "messages",
        &status("failed", &json!({"errors": [{"code": 131_026, "title": "Message undeliverable", "message": "Message undeliverable",
            "error_data": {"details": "No such account"}, "href": "https://developers.example/errors"}]})),
    )
    .await;
    let row: (String, String, String) =
        sqlx::query_as("select status, failed_code, failed_reason from communications.messages where external_message_id = $1")
            .bind(&id)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(
        row,
        (
            "FAILED".to_owned(),
            "131026".to_owned(),
            "Message undeliverable: No such account".to_owned()
        )
    );
    let href: String = world
        .scalar("select raw #>> '{errors,0,href}' from communications.message_status_events where status = 'FAILED'")
        .await;
    assert_eq!(href, "https://developers.example/errors");
    post(&world, "messages", &status("played", &json!({}))).await;
    let status: String = world
        .scalar("select status from communications.messages")
        .await;
    assert_eq!(status, "READ");
}

/// A text of ours that Meta has.
async fn sent(world: &World) -> String {
    messages(world, &[text("first", T - 3600, "hola")]).await;
    world.execute("delete from communications.messages").await;
    let id = format!("wamid.{}", uuid::Uuid::now_v7().simple());
    sqlx::query(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body, status, lane, category,
              attempts, external_message_id, sent_at)
         select $1, gen_random_uuid(), 'OUTBOUND', 'WHATSAPP', $2, c.id, 'SYSTEM', '+34600111222', '{\"type\": \"text\", \"body\": \"t\"}', 't',
                'SENT', 'TRANSACTIONAL', 'TRANSACTIONAL', 1, $3, now() from communications.contacts c where c.tenant_id = $1",
    )
    .bind(world.iberia.tenant)
    .bind(world.iberia.account)
    .bind(&id)
    .execute(&world.pool)
    .await
    .unwrap();
    id
}

#[tokio::test]
async fn t13_a_reaction_is_put_changed_and_taken_away_in_any_order() {
    let world = World::new().await;
    messages(&world, &[text("m1", T, "hola")]).await;
    let reaction = |id: &str, at: i64, target: &str, emoji: &Value| {
        message(
            id,
            at,
            &json!({"type": "reaction", "reaction": {"message_id": target, "emoji": emoji}}),
        )
    };
    let steps = [
        reaction("r1", T + 1, "m1", &json!("👍")),
        reaction("r2", T + 2, "m1", &json!("❤️")),
        reaction("r0", T, "m1", &json!("👎")),
        reaction("r9", T + 9, "elsewhere", &json!("🎉")),
    ];
    for step in &steps {
        messages(&world, std::slice::from_ref(step)).await;
    }
    let emoji =
        "select emoji from communications.message_reactions where target_external_id = 'm1'";
    assert_eq!(world.scalar::<String>(emoji).await, "❤️");
    assert_eq!(
        world
            .count("message_reactions where target_external_id = 'elsewhere'")
            .await,
        1
    );
    // Taken away by an empty emoji; what was before and comes late does not bring it back.
    messages(&world, &[reaction("r4", T + 4, "m1", &json!(""))]).await;
    messages(&world, &[reaction("r3", T + 3, "m1", &json!("😀"))]).await;
    assert_eq!(world.scalar::<String>(emoji).await, "");
    let absent = message(
        "r5",
        T + 5,
        &json!({"type": "reaction", "reaction": {"message_id": "elsewhere"}}),
    );
    messages(&world, &[absent]).await;
    messages(
        &world,
        &[message(
            "ra",
            T + 10,
            &json!({"type": "reaction", "reaction": {"message_id": "elsewhere"}}),
        )],
    )
    .await;
    assert_eq!(world.count("message_reactions where emoji <> ''").await, 0);
    assert_eq!(bodies(&world).await, ["hola"], "a reaction is no message");
}

#[tokio::test]
async fn t14_edits_and_deletions_before_and_after_what_they_are_about() {
    for late in [false, true] {
        let world = World::new().await;
        let original = [
            text("m1", T, "las ocho"),
            message(
                "m2",
                T + 1,
                &json!({"type": "image",
            "image": {"id": "f1", "mime_type": "image/jpeg", "sha256": "aa", "caption": "antes"}}),
            ),
            text("m3", T + 2, "borrado"),
        ];
        let changes = [
            message(
                "e1",
                T + 10,
                &json!({"type": "edit", "edit": {"original_message_id": "m1",
                "message": {"type": "text", "text": {"body": "las nueve"}}}}),
            ),
            message(
                "e0",
                T + 5,
                &json!({"type": "edit", "edit": {"original_message_id": "m1",
                "message": {"type": "text", "text": {"body": "las ocho y media"}}}}),
            ),
            message(
                "e2",
                T + 11,
                &json!({"type": "edit", "edit": {"original_message_id": "m2",
                "message": {"type": "image", "image": {"id": "f1", "mime_type": "image/jpeg", "sha256": "aa", "caption": "después"}}}}),
            ),
            message(
                "v1",
                T + 12,
                &json!({"type": "revoke", "revoke": {"original_message_id": "m3"}}),
            ),
        ];
        let (first, second): (&[Value], &[Value]) = if late {
            (&original, &changes)
        } else {
            (&changes, &original)
        };
        messages(&world, first).await;
        messages(&world, second).await;
        messages(&world, second).await;
        assert_eq!(
            bodies(&world).await,
            ["las nueve", "después", ""],
            "late: {late}"
        );
        assert_eq!(
            world.count("messages where revoked_at is not null").await,
            1
        );
        assert_eq!(
            world
                .scalar::<String>("select preview from communications.conversations")
                .await,
            "[deleted]"
        );
        let kept: Vec<String> = sqlx::query_scalar(
            "select body from communications.message_revisions where kind = 'ORIGINAL' order by target_external_id",
        )
        .fetch_all(&world.pool)
        .await
        .unwrap();
        assert_eq!(
            kept,
            ["las ocho", "antes", "borrado"],
            "earlier wordings are kept"
        );
    }
}

#[tokio::test]
async fn t14_nobody_changes_somebody_elses_words() {
    let world = World::new().await;
    messages(&world, &[text("m1", T, "mío")]).await;
    let mut foreign = message(
        "v1",
        T + 1,
        &json!({"type": "revoke", "revoke": {"original_message_id": "m1"}}),
    );
    foreign["from"] = json!("34600999888");
    messages(&world, &[foreign]).await;
    assert_eq!(bodies(&world).await, ["mío"]);
}

#[tokio::test]
async fn t15_what_is_answered_is_named_whether_it_is_here_or_not() {
    let world = World::new().await;
    let answer = |id: &str, at: i64, to: &str| {
        let mut answer = text(id, at, id);
        answer["context"] = json!({"from": world.iberia.display_number, "id": to});
        answer
    };
    messages(
        &world,
        &[
            text("m1", T, "m1"),
            answer("known", T + 1, "m1"),
            answer("later", T + 2, "m9"),
            answer("never", T + 3, "m0"),
        ],
    )
    .await;
    messages(&world, &[text("m9", T + 4, "m9")]).await;
    let linked: Vec<(String, Option<String>, Option<String>)> = sqlx::query_as(
        "select a.body, a.reply_to, t.body from communications.messages a
           left join communications.messages t
             on t.tenant_id = a.tenant_id and t.account_id = a.account_id and t.external_message_id = a.reply_to
          where a.reply_to is not null order by a.thread_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let row = |body: &str, to: &str, found: Option<&str>| {
        (
            body.to_owned(),
            Some(to.to_owned()),
            found.map(str::to_owned),
        )
    };
    assert_eq!(
        linked,
        [
            row("known", "m1", Some("m1")),
            row("later", "m9", Some("m9")),
            row("never", "m0", None)
        ]
    );
}

#[tokio::test]
async fn t16_what_meta_could_not_pass_on_is_shown_and_its_troubles_are_the_accounts() {
    let world = World::new().await;
    let errors = json!([{"code": 131_051, "title": "Message type unknown"}]);
    messages(
        &world,
        &[
            message("m1", T, &json!({"type": "unsupported", "errors": errors})),
            message("m2", T + 1, &json!({"type": "unsupported", "unsupported": {"type": "poll_creation"}, "errors": errors})),
            message("m3", T + 2, &json!({"type": "image", "errors": [{"code": 131_052, "title": "Media download error"}]})),
        ],
    )
    .await;
    assert_eq!(shown(&world).await.len(), 3);
    assert!(
        shown(&world)
            .await
            .iter()
            .all(|(body, content)| body.starts_with('[') && content["type"] == "unsupported")
    );
    post(
        &world,
        "messages",
        &json!({"errors": [{"code": 130_429, "title": "Rate limit hit"}]}),
    )
    .await;
    let incident: (String, String, bool) =
        sqlx::query_as("select field, event, alert from communications.channel_account_events")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(incident, ("errors".to_owned(), "130429".to_owned(), true));
}

#[tokio::test]
async fn t18_t19_every_kind_is_one_row_with_what_it_says() {
    let world = World::new().await;
    let card = |name: &str| json!({"name": {"formatted_name": name}, "phones": [{"phone": "+34 600", "wa_id": "34600"}]});
    let items = [
        ("contacts", json!([])),
        ("contacts", json!([card("Luis")])),
        ("contacts", json!([card("Luis"), card("Eva"), card("Tom")])),
        (
            "order",
            json!({"catalog_id": "c", "text": "dos", "product_items": [{"product_retailer_id": "p", "quantity": 2, "item_price": 5, "currency": "EUR"}]}),
        ),
        (
            "location",
            json!({"latitude": 40.4, "longitude": -3.7, "name": "Atocha", "address": "Madrid"}),
        ),
        ("location", json!({"latitude": 40.4, "longitude": -3.7})),
        (
            "sticker",
            json!({"id": "f1", "mime_type": "image/webp", "sha256": "aa", "animated": true}),
        ),
        (
            "audio",
            json!({"id": "f2", "mime_type": "audio/ogg", "sha256": "aa", "voice": true}),
        ),
        ("button", json!({"payload": "YES", "text": "Sí"})),
        (
            "interactive",
            json!({"type": "button_reply", "button_reply": {"id": "b1", "title": "Vale"}}),
        ),
        (
            "interactive",
            json!({"type": "list_reply", "list_reply": {"id": "l1", "title": "10:00", "description": "por Cuenca"}}),
        ),
        (
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{not json"}}),
        ),
    ];
    let payload: Vec<Value> = items
        .iter()
        .zip(0..)
        .map(|((kind, object), n)| {
            message(
                &format!("m{n}"),
                T + n,
                &json!({"type": kind, (*kind): object}),
            )
        })
        .collect();
    messages(&world, &payload).await;
    let shown = shown(&world).await;
    let said: Vec<(&str, &str)> = shown
        .iter()
        .map(|(body, content)| (content["type"].as_str().unwrap(), body.as_str()))
        .collect();
    insta::assert_debug_snapshot!(said);
    assert_eq!(shown[9].1["id"], "b1");
    assert_eq!(shown[11].1["response"], "{not json");
    assert_eq!(world.count("message_media").await, 2);
}

#[tokio::test]
async fn t21_what_we_wrote_in_the_phone_app_is_ours_and_no_echo_doubles_a_send() {
    let world = World::new().await;
    let ours = sent(&world).await;
    let echo = |id: &str, at: i64, rest: &Value| {
        let mut echo = message(id, at, rest);
        echo["from"] = json!(world.iberia.display_number);
        echo["to"] = json!(ANA);
        echo
    };
    let echoes = [
        echo(
            "w1",
            T,
            &json!({"type": "text", "text": {"body": "desde el móvil"}}),
        ),
        echo(&ours, T, &json!({"type": "text", "text": {"body": "t"}})),
        echo(
            "w2",
            T + 1,
            &json!({"type": "edit", "edit": {"original_message_id": "w1",
            "message": {"type": "text", "text": {"body": "desde mi móvil"}}}}),
        ),
        echo(
            "w3",
            T + 2,
            &json!({"type": "text", "text": {"body": "ups"}}),
        ),
        echo(
            "w4",
            T + 3,
            &json!({"type": "revoke", "revoke": {"original_message_id": "w3"}}),
        ),
    ];
    for _ in 0..2 {
        post(
            &world,
            "smb_message_echoes",
            &json!({"message_echoes": echoes}),
        )
        .await;
    }
    let rows: Vec<(String, String, String)> = sqlx::query_as(
        "select direction, status, body from communications.messages where external_message_id like 'w_' order by external_message_id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let row = |body: &str| ("OUTBOUND".to_owned(), "SENT".to_owned(), body.to_owned());
    assert_eq!(rows, [row("desde mi móvil"), row("")]);
    assert_eq!(world.count("messages").await, 3);
    let unread: i64 = world
        .scalar("select inbound_count from communications.conversations")
        .await;
    assert_eq!(unread, 1, "only what the customer wrote");
}

#[tokio::test]
async fn t22_a_number_of_nobodys_and_a_business_account_that_is_not_its_own() {
    let world = World::new().await;
    let mut strange = value(&world.iberia, &json!({"messages": [text("m1", T, "a")]}));
    strange["metadata"]["phone_number_id"] = json!("999");
    let wrong = value(&world.iberia, &json!({"messages": [text("m2", T, "b")]}));
    let fine = value(&world.iberia, &json!({"messages": [text("m3", T, "c")]}));
    let payload = signed(&[
        entry(world.iberia.waba_id, "messages", &[strange, fine]),
        entry("888", "messages", &[wrong]),
    ]);
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &payload)
            .await
            .status(),
        200
    );
    assert_eq!(bodies(&world).await, ["c"]);
    let reasons: Vec<String> =
        sqlx::query_scalar("select reason from communications.quarantine order by reason")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(reasons, ["UNKNOWN_ACCOUNT", "WRONG_WABA"]);
}

#[tokio::test]
async fn t25_the_window_is_open_for_24_hours_of_metas_clock() {
    let world = World::new().await;
    let now: i64 = world
        .scalar("select extract(epoch from now())::bigint")
        .await;
    let minutes = |before: i64| now - before * 60;
    // Stored now, written long ago: 24 hours and a minute; then 23 hours and 59 minutes.
    messages(&world, &[text("m1", minutes(24 * 60 + 1), "a")]).await;
    let open =
        "select coalesce(bool_or(open_until > now()), false) from communications.whatsapp_windows";
    assert!(!world.scalar::<bool>(open).await);
    let reaction = message(
        "r1",
        minutes(1),
        &json!({"type": "reaction", "reaction": {"message_id": "m1", "emoji": "👍"}}),
    );
    messages(&world, &[reaction]).await;
    assert!(
        !world.scalar::<bool>(open).await,
        "a reaction opens nothing"
    );
    messages(&world, &[text("m2", minutes(23 * 60 + 59), "b")]).await;
    assert!(world.scalar::<bool>(open).await);
    messages(&world, &[text("m0", minutes(48 * 60), "late")]).await;
    assert!(
        world.scalar::<bool>(open).await,
        "a late one closes nothing"
    );
    assert_eq!(world.count("whatsapp_windows").await, 1);
}

#[tokio::test]
async fn t28_three_megabytes_and_a_thousand_messages_are_one_request() {
    let world = World::new().await;
    let long = "á".repeat(1_450);
    let items: Vec<Value> = (0..1_000)
        .map(|n| text(&format!("m{n}"), T + n, &long))
        .collect();
    let payload = signed(&[entry(
        world.iberia.waba_id,
        "messages",
        &[value(&world.iberia, &json!({"messages": items}))],
    )]);
    assert!(payload.body.len() > 2_900_000);
    assert_eq!(
        world
            .meta_posts(world.iberia.tenant, &payload)
            .await
            .status(),
        200
    );
    assert_eq!(world.count("messages").await, 1_000);
    let counted: i64 = world
        .scalar("select inbound_count from communications.conversations")
        .await;
    assert_eq!(counted, 1_000);
}

#[tokio::test]
async fn t28_the_same_thousand_people_in_two_payloads_at_once() {
    let world = World::new().await;
    let payload = |round: i64| {
        let items: Vec<Value> = (0..1_000_i64)
            .map(|n| {
                let mut item = text(&format!("m{round}-{n}"), T + n, "hola");
                item["from"] = json!(format!("346{:08}", 10_000_000 + n));
                item["from_user_id"] = json!(format!("ES.{n}"));
                item
            })
            .collect();
        signed(&[entry(
            world.iberia.waba_id,
            "messages",
            &[value(&world.iberia, &json!({"messages": items}))],
        )])
    };
    // As many at once as one sandbox here has connections.
    let payloads: Vec<SignedWebhook> = (0..2).map(payload).collect();
    let posted = payloads
        .iter()
        .map(|payload| world.meta_posts(world.iberia.tenant, payload));
    for response in futures_util::future::join_all(posted).await {
        assert_eq!(response.status(), 200, "{}", response.body());
    }
    assert_eq!(
        (
            world.count("contacts").await,
            world.count("conversations").await,
            world.count("messages").await
        ),
        (1_000, 1_000, 2_000)
    );
}

/// Meta counts in seconds, and ids say nothing of what came first.
#[tokio::test]
async fn t13_reactions_of_one_second() {
    let reaction = |id: &str, emoji: &str| {
        message(
            id,
            T + 1,
            &json!({"type": "reaction", "reaction": {"message_id": "m1", "emoji": emoji}}),
        )
    };
    let emoji = "select emoji from communications.message_reactions";
    for (second, left) in [("", ""), ("❤️", "❤️")] {
        for ids in [["a", "z"], ["z", "a"], ["r", "r"]] {
            for in_one in [true, false] {
                let world = World::new().await;
                let steps = [reaction(ids[0], "👍"), reaction(ids[1], second)];
                if in_one {
                    messages(&world, &steps).await;
                } else {
                    for step in &steps {
                        messages(&world, std::slice::from_ref(step)).await;
                    }
                }
                let said = format!("{ids:?}, in one payload: {in_one}");
                assert_eq!(world.scalar::<String>(emoji).await, left, "{said}");
                if second.is_empty() {
                    // Told again.
                    messages(&world, &steps[..1]).await;
                    assert_eq!(world.scalar::<String>(emoji).await, left, "{said}");
                }
            }
        }
    }
}

/// As in samples from years ago, or after a long outage: the provider says whether it still has the file.
#[tokio::test]
async fn t17_a_file_that_is_told_of_late_is_asked_for() {
    let world = World::new().await;
    let image = message(
        "m1",
        1_697_043_379,
        &json!({"type": "image", "image": {"id": "f1", "mime_type": "image/jpeg", "sha256": "aa"}}),
    );
    messages(&world, &[image]).await;
    assert_eq!(
        world
            .count("message_media where state = 'PENDING' and expires_at > now()")
            .await,
        1
    );
}

/// Somebody who was written to and never wrote: a notice of Meta's is no reason to look after them.
#[tokio::test]
async fn t20_a_notice_opens_no_thread_that_waits() {
    let world = World::new().await;
    let notice = message(
        "m1",
        T,
        &json!({"type": "system", "system": {"type": "user_changed_number", "body": "changed", "wa_id": "34600555444"}}),
    );
    messages(&world, &[notice]).await;
    let status = "select status from communications.conversations";
    assert_eq!(world.scalar::<String>(status).await, "RESOLVED");
    let text = message(
        "m2",
        T + 1,
        &json!({"from": "34600555444", "type": "text", "text": {"body": "hola"}}),
    );
    messages(&world, &[text]).await;
    assert_eq!(world.scalar::<String>(status).await, "OPEN");
}
