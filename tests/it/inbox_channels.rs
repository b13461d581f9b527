//! What agents write, on which channel it goes and where to.

use crate::desk::Desk;
use crate::shown;
use comms_simulator::Inbound;
use comms_tests::world::World;
use comms_tests::world::aws::Letter;
use serde_json::{Value, json};
use sqlx::Row;
use uuid::Uuid;

pub fn says(id: &str, content: &Value) -> Value {
    json!({"client_message_id": id, "content": content})
}

/// The newest outbound message: channel, address, `reply_to`, body, content.
pub async fn newest(world: &World) -> (String, String, Option<String>, String, Value) {
    let row = sqlx::query(
        "select channel, address, reply_to, body, content from communications.messages
          where direction = 'OUTBOUND' order by id desc limit 1",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4))
}

#[tokio::test]
async fn an_answer_goes_back_the_way_the_contact_came() {
    let world = World::new().await;
    crate::flow::verify_mail_domain().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world
        .execute(
            r#"update communications.channel_accounts
                  set provider_config = '{"public": {"from_address": "hola@mail.example"}, "secrets": []}'
                where channel = 'EMAIL'"#,
        )
        .await;
    let to = format!("hola@{}", world.iberia.mail_domain());
    world
        .mail_arrives(&Letter::new(
            "Eva <eva@example.org>",
            &to,
            "RE: Re: Mi viaje",
            "¿A qué hora?",
        ))
        .await;
    let desk = Desk {
        world: &world,
        conversation: world.only_conversation().await,
        user: world.iberia.agent,
        role: "dispatcher",
    };
    desk.does("claimConversation", json!({})).await;
    let sent = desk
        .does("sendAgentMessage", says("1", &json!({"text": "A las 9."})))
        .await;
    assert_eq!(sent["channel"], "EMAIL");
    let (channel, address, reply_to, body, content) = newest(&world).await;
    assert_eq!(
        (channel.as_str(), address.as_str(), body.as_str()),
        ("EMAIL", "eva@example.org", "A las 9.")
    );
    assert_eq!(
        content,
        json!({"type": "email", "subject": "Re: Mi viaje", "text": "A las 9."})
    );
    assert!(
        reply_to.unwrap().ends_with("@mail.example"),
        "in the thread of the mail that it answers"
    );
    let answering = "messages where direction = 'OUTBOUND' and replied_to is not null";
    assert_eq!(world.count(answering).await, 1);
    assert_eq!(shown::broken(&world).await, [""; 0]);
    // The same click after another mail with another subject is the same message still.
    world
        .mail_arrives(&Letter::new(
            "Eva <eva@example.org>",
            &to,
            "Otra cosa",
            "¿Y mañana?",
        ))
        .await;
    let again = desk
        .does("sendAgentMessage", says("1", &json!({"text": "A las 9."})))
        .await;
    assert_eq!(again["message_id"], sent["message_id"]);
    desk.does(
        "sendAgentMessage",
        says("2", &json!({"text": "A las 10.", "subject": "Mañana"})),
    )
    .await;
    assert_eq!(newest(&world).await.4["subject"], "Mañana");
    // In the order in which they were written: the second waits for the first.
    for _ in 0..2 {
        world.step_dispatch().await;
    }
    assert_eq!(world.outbound().await, ["SENT", "SENT"]);
}

#[tokio::test]
async fn a_channel_may_be_chosen_and_the_address_is_the_contacts_newest() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let sms = |id: &str, text: &str| json!({"client_message_id": id, "channel": "SMS", "content": {"text": text}});
    assert_eq!(
        desk.code("sendAgentMessage", sms("1", "hola")).await,
        "channel-unavailable",
        "no account"
    );
    world.iberia.connect_sms(&world.pool).await.unwrap();
    desk.does("sendAgentMessage", sms("1", "hola")).await;
    let (channel, address, ..) = newest(&world).await;
    assert_eq!(
        (channel.as_str(), address.as_str()),
        ("SMS", "+34600111222")
    );
    let refused = desk
        .asks("sendAgentMessage", sms("2", &"ж".repeat(631)))
        .await
        .1;
    assert_eq!(
        refused["message"],
        "content.text: longer than 630 characters"
    );
    let email = json!({"client_message_id": "3", "channel": "EMAIL", "content": {"text": "hola", "subject": "s"}});
    world.iberia.connect_email(&world.pool).await.unwrap();
    assert_eq!(
        desk.code("sendAgentMessage", email).await,
        "channel-unavailable",
        "no address"
    );
    let webchat =
        json!({"client_message_id": "4", "channel": "WEBCHAT", "content": {"text": "hola"}});
    assert_eq!(
        desk.code("sendAgentMessage", webchat).await,
        "channel-unavailable"
    );
    assert_eq!(world.outbound().await.len(), 1);
}

#[tokio::test]
async fn what_is_no_text_goes_by_whatsapp() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let inbound: Uuid = world.scalar("select id from communications.messages").await;
    let wamid: String = world
        .scalar("select external_message_id from communications.messages")
        .await;
    let contents = [
        (
            json!({"media": {"kind": "image", "link": "https://example.org/a.jpg"}}),
            "[image]",
        ),
        (
            json!({"media": {"kind": "document", "link": "https://example.org/a.pdf", "filename": "a.pdf"}}),
            "a.pdf",
        ),
        (
            json!({"location": {"latitude": 40.4, "longitude": -3.7, "name": "Atocha"}}),
            "Atocha",
        ),
        (
            json!({"interactive": {"body": "¿Confirma?", "action": {"type": "buttons", "buttons": [{"id": "y", "title": "Sí"}]}}}),
            "¿Confirma?",
        ),
        (
            json!({"reaction": {"message_id": inbound, "emoji": "👍"}}),
            "👍",
        ),
    ];
    for (n, (content, body)) in contents.iter().enumerate() {
        let input = says(&n.to_string(), content);
        let sent = desk.does("sendAgentMessage", input.clone()).await;
        assert_eq!(&newest(&world).await.3, body);
        let again = desk.does("sendAgentMessage", input).await;
        assert_eq!(again["message_id"], sent["message_id"]);
    }
    assert_eq!(newest(&world).await.4["message_id"], json!(wamid));
    let other = says(
        "0",
        &json!({"media": {"kind": "image", "link": "https://example.org/b.jpg"}}),
    );
    assert_eq!(
        desk.code("sendAgentMessage", other).await,
        "conflict",
        "another picture under the same id"
    );
    for _ in 0..contents.len() {
        world.execute("update communications.messages set due_at = now(), slot_at = null where status = 'QUEUED'").await;
        world
            .execute("delete from communications.rate_buckets")
            .await;
        world.step_dispatch().await;
    }
    let kinds: Vec<Value> = world
        .simulator
        .calls()
        .iter()
        .map(|call| call.body["type"].clone())
        .collect();
    assert_eq!(
        kinds,
        ["image", "document", "location", "interactive", "reaction"]
    );
    assert_eq!(world.outbound().await, ["SENT"; 5]);
}

#[tokio::test]
async fn an_answer_may_name_the_message_that_it_answers() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let (id, wamid): (Uuid, String) =
        sqlx::query_as("select id, external_message_id from communications.messages")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    let mut input = says("1", &json!({"text": "sí"}));
    input["reply_to"] = json!(id);
    desk.does("sendAgentMessage", input).await;
    assert_eq!(newest(&world).await.2, Some(wamid));
    let own: Uuid = world
        .scalar("select id from communications.messages where direction = 'OUTBOUND'")
        .await;
    for (to, code) in [(Uuid::now_v7(), "not-found"), (own, "validation-failed")] {
        let mut input = says("2", &json!({"text": "sí"}));
        input["reply_to"] = json!(to);
        assert_eq!(desk.code("sendAgentMessage", input).await, code);
    }
}

/// A number that was given up is somebody else's soon.
#[tokio::test]
async fn an_answer_does_not_go_to_a_number_that_was_given_up() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let mut moved = Inbound::text("34600111222", "");
    moved.message = Some(json!({"type": "system", "system": {
        "type": "user_changed_number", "body": "new number", "wa_id": "34600999888", "customer": "34600111222"}}));
    world.customer_writes(&moved).await;
    assert!(world.count("contact_former_identities").await > 0);
    desk.does("sendAgentMessage", says("1", &json!({"text": "hola"})))
        .await;
    assert_eq!(newest(&world).await.1, "+34600999888");
}

/// A user id of another business portfolio, which may be the newer one, reaches nobody from this number.
#[tokio::test]
async fn an_answer_goes_to_the_user_id_that_wrote_to_this_business_account() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    for from in [Some("34600111222"), None, Some("34600111222")] {
        let inbound = Inbound {
            from: from.map(str::to_owned),
            user_id: Some("ES.1".to_owned()),
            ..Inbound::text("34600111222", "hola")
        };
        assert_eq!(world.customer_writes(&inbound).await.status(), 200);
    }
    for sql in [
        "insert into communications.contact_identities (tenant_id, kind, value, contact_id)
         select tenant_id, 'bsuid', 'ES.2', id from communications.contacts",
        "with gone as (delete from communications.contact_identities where kind in ('phone', 'wa_id') returning *)
         insert into communications.contact_former_identities (tenant_id, kind, value, contact_id, until)
         select tenant_id, kind, value, contact_id, now() from gone",
    ] {
        world.execute(sql).await;
    }
    desk.does("sendAgentMessage", says("1", &json!({"text": "hola"})))
        .await;
    assert_eq!(newest(&world).await.1, "ES.1");
}

/// By an answer to it, to where it came from, whatever came since.
#[tokio::test]
async fn an_answer_to_a_mail_by_name_goes_where_it_came_from() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let letter = |from: &str, subject: &str, wanted: &str| {
        Letter::new(from, &to, subject, "hola").with_header(&format!("Reply-To: {wanted}"))
    };
    for (subject, wanted) in [
        ("Trabajo", "eva@work.example"),
        ("Casa", "eva@home.example"),
    ] {
        let letter = letter("eva@example.org", subject, wanted);
        world.mail_arrives(&letter).await;
    }
    let desk = Desk {
        world: &world,
        conversation: world.only_conversation().await,
        user: world.iberia.agent,
        role: "dispatcher",
    };
    desk.does("claimConversation", json!({})).await;
    let first: Uuid = world
        .scalar("select id from communications.messages where body = 'hola' order by id limit 1")
        .await;
    let mut named = says("1", &json!({"text": "A las 11."}));
    named["reply_to"] = json!(first);
    for (input, address, subject) in [
        (named, "eva@work.example", "Re: Trabajo"),
        (
            says("2", &json!({"text": "A las 12."})),
            "eva@home.example",
            "Re: Casa",
        ),
    ] {
        desk.does("sendAgentMessage", input).await;
        let (_, went_to, _, _, content) = newest(&world).await;
        assert_eq!(
            (went_to.as_str(), &content["subject"]),
            (address, &json!(subject))
        );
    }
}

/// A line in the thread: nothing is unread by it, no answer goes where it came, and it does not lift a stop.
#[tokio::test]
async fn what_whatsapp_says_of_somebody_is_not_what_they_wrote() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    let desk = Desk::held(&world).await;
    world
        .execute(
            "with thread as (update communications.conversations set last_inbound_channel = 'SMS')
             update communications.messages m set channel = 'SMS', account_id = (
                    select id from communications.channel_accounts a where a.tenant_id = m.tenant_id and a.channel = 'SMS')",
        )
        .await;
    let mut other_device = Inbound::text("34600111222", "");
    other_device.message = Some(json!({"type": "system", "system": {
        "type": "customer_identity_changed", "body": "User Ana changed from 34600111222", "customer": "34600111222"}}));
    world.customer_writes(&other_device).await;
    let thread: (String, i64, String) = sqlx::query_as(
        "select last_inbound_channel, inbound_count, preview from communications.conversations",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(thread, ("SMS".to_owned(), 1, "hola".to_owned()));
    let line: String = world
        .scalar("select body from communications.messages where content ->> 'type' = 'system'")
        .await;
    assert!(!line.contains("34600111222"), "{line}");
    desk.does("sendAgentMessage", says("1", &json!({"text": "hola"})))
        .await;
    assert_eq!(newest(&world).await.0, "SMS");
    // She said stop two days ago, and has not written since.
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
             select tenant_id, gen_random_uuid(), id, 'WHATSAPP', 'TRANSACTIONAL', false, 'said so', 'message', now() - interval '2 days'
               from communications.contacts",
        )
        .await;
    let opted_out =
        "select communications.opted_out(tenant_id, id, 'WHATSAPP') from communications.contacts";
    assert!(world.scalar::<bool>(opted_out).await);
    // What she wrote a week ago says that it is from next year.
    world
        .execute(
            "insert into communications.messages (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind,
                    address, content, body, status, external_message_id, provider_timestamp, created_at)
             select v.tenant_id, gen_random_uuid(), 'INBOUND', 'WHATSAPP', m.account_id, v.contact_id, v.id, 'CONTACT', m.address,
                    '{\"type\": \"text\"}', 'x', 'DELIVERED', 'wamid.ahead', now() + interval '1 year', now() - interval '7 days'
               from communications.conversations v cross join lateral (
                    select * from communications.messages m where m.conversation_id = v.id and m.channel = 'WHATSAPP' limit 1) m",
        )
        .await;
    assert!(world.scalar::<bool>(opted_out).await);
}

#[tokio::test]
async fn what_cannot_be_said_names_its_field() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let refused = async |input: Value| {
        desk.asks("sendAgentMessage", input).await.1["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let both = "content must have exactly one of text, media, template, location, interactive and reaction";
    for (content, message) in [
        (json!({}), both),
        (
            json!({"text": "a", "location": {"latitude": 1.0, "longitude": 1.0}}),
            both,
        ),
        (json!({"text": "  "}), "content.text must not be empty"),
        (
            json!({"text": "a", "subject": "b"}),
            "content.subject is for emails; WHATSAPP has none",
        ),
        (
            json!({"media": {"kind": "image", "link": "http://example.org/a.jpg"}}),
            "content: a link must be an https address of at most 2000 bytes",
        ),
        (
            json!({"media": {"kind": "gif", "link": "https://e"}}),
            "content.media.kind: unknown variant `gif`, expected one of `image`, `video`, `audio`, `document`, `sticker`",
        ),
        (
            json!({"media": {"kind": "audio", "link": "https://example.org/a.ogg", "caption": "a"}}),
            "content.media.caption is not possible here",
        ),
        (
            json!({"text": 5}),
            "content.text: invalid type: integer `5`, expected a string",
        ),
        (
            json!({"reaction": {"message_id": Uuid::nil(), "emoji": "x".repeat(33)}}),
            "content.reaction.emoji must be one emoji",
        ),
    ] {
        assert_eq!(refused(says("1", &content)).await, message);
    }
    let id = json!({"client_message_id": "", "content": {"text": "a"}});
    assert_eq!(
        refused(id).await,
        "client_message_id must have 1 to 128 bytes"
    );
    let channel = json!({"client_message_id": "1", "channel": "PIGEON", "content": {"text": "a"}});
    assert!(
        refused(channel)
            .await
            .starts_with("channel: unknown variant `PIGEON`")
    );
    let email = json!({"client_message_id": "1", "channel": "EMAIL", "content": {"location": {"latitude": 1.0, "longitude": 1.0}}});
    assert_eq!(
        refused(email).await,
        "content must be a text: EMAIL carries nothing else"
    );
}
