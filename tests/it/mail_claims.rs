//! What a mail claims: which message it answers, and whose the address is that it came to.

use crate::mails::{EVA, rows, written_to};
use comms_tests::world::World;
use comms_tests::world::aws::{Letter, reply_address};
use serde_json::json;
use uuid::Uuid;

/// Two mails of one person, the answer first; and an answer that comes before the settle of what it answers.
#[tokio::test]
async fn what_a_mail_answers_is_found_also_when_it_comes_later() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let first = Letter::new(EVA, &to, "Viaje", "¿A qué hora?");
    let answers = format!("In-Reply-To: <{}@mail.example>", first.id);
    let second = Letter::new(EVA, &to, "Re: Viaje", "¿Y de dónde?").with_header(&answers);
    // Of somebody else it shows nothing.
    let strangers = Letter::new("leo@example.org", &to, "Re: Viaje", "¿?").with_header(&answers);
    for letter in [&second, &strangers, &first] {
        world.mail_arrives(letter).await;
    }
    let answered = |body: &'static str| {
        let world = &world;
        async move {
            sqlx::query_scalar::<_, Option<String>>(
                "select o.body from communications.messages a left join communications.messages o on o.id = a.replied_to where a.body = $1",
            )
            .bind(body)
            .fetch_one(&world.pool)
            .await
            .unwrap()
        }
    };
    assert_eq!(
        answered("¿Y de dónde?").await.as_deref(),
        Some("¿A qué hora?")
    );
    assert_eq!(answered("¿?").await, None);

    let (message, _) = written_to(&world, "eva@example.org").await;
    world
        .execute(
            "update communications.messages m set external_message_id = null, body = 'ours', contact_id = i.contact_id
               from communications.contact_identities i where m.direction = 'OUTBOUND' and i.value = 'eva@example.org'",
        )
        .await;
    let by_token = Letter::new(
        "eva@example.org",
        &reply_address(&world.iberia, message),
        "Re: s",
        "token",
    );
    let header = format!(
        "In-Reply-To: <ses-{}@eu-west-1.amazonses.com>",
        message.simple()
    );
    let by_id = Letter::new("eva@example.org", &to, "Re: s", "id").with_header(&header);
    world.mails_arrive(&[by_token, by_id]).await;
    assert_eq!(answered("token").await.as_deref(), Some("ours"));
    sqlx::query("update communications.messages set external_message_id = $2 where id = $1")
        .bind(message)
        .bind(format!("ses-{}", message.simple()))
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(answered("id").await.as_deref(), Some("ours"));
}

#[tokio::test]
async fn of_all_that_a_mail_names_the_nearest_is_what_it_answers() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let (older, contact) = written_to(&world, "eva@example.org").await;
    let (newer, _) = written_to(&world, "eva@example.org").await;
    sqlx::query("update communications.messages set contact_id = $1")
        .bind(contact)
        .execute(&world.pool)
        .await
        .unwrap();
    let id = |message: Uuid| format!("<ses-{}@eu-west-1.amazonses.com>", message.simple());
    let names = |text: &str, in_reply_to: &str, references: &str| {
        Letter::new("eva@example.org", &to, "Re: s", text).with_header(&format!(
            "In-Reply-To: {in_reply_to}\r\nReferences: {references}"
        ))
    };
    let (o, n) = (id(older), id(newer));
    let first = names("uno", &o, &format!("{n} {o}"));
    let own = format!("<{}@mail.example>", first.id);
    world.mail_arrives(&first).await;
    world
        .mail_arrives(&names("dos", &own, &format!("{n} {o} {own}")))
        .await;
    let answered: Vec<(String, Uuid, Uuid)> = sqlx::query_as(
        "select body, replied_to, contact_id from communications.messages where direction = 'INBOUND' order by thread_at, id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let uno: Uuid = world
        .scalar("select id from communications.messages where body = 'uno'")
        .await;
    assert_eq!(
        answered,
        [
            ("uno".to_owned(), older, contact),
            ("dos".to_owned(), uno, contact)
        ]
    );
}

/// By a rule for each of them, or because the domain is the tenant's by now.
#[tokio::test]
async fn a_mail_to_two_accounts_of_one_operator_is_one_message() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    sqlx::query(
        "insert into communications.channel_accounts
             (tenant_id, id, channel, provider, status, display_name, sender, external_account_id)
         values ($1, gen_random_uuid(), 'EMAIL', 'SES', 'ACTIVE', 'Rail', 'hola@rail.example', 'rail.example')",
    )
    .bind(world.iberia.tenant)
    .execute(&world.pool)
    .await
    .unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let here = Letter::new(EVA, &to, "Viaje", "hola");
    let there = Letter {
        recipients: vec!["hola@rail.example".to_owned()],
        ..here.clone()
    };
    futures_util::join!(world.mail_arrives(&here), world.mail_arrives(&there));
    world.mails_arrive(&[there, here]).await;
    assert_eq!(rows(&world).await.len(), 1);
    let unread: i64 = world
        .scalar("select inbound_count from communications.conversations")
        .await;
    assert_eq!(unread, 1);
}

/// Whoever writes to people as well says something.
#[tokio::test]
async fn a_mail_to_unsubscribe_and_to_people_is_both() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let domain = world.iberia.mail_domain();
    let mut letter = Letter::new(
        "leo@example.org",
        &format!("info@{domain}"),
        "Equipaje",
        "Mi equipaje se ha perdido",
    );
    letter
        .recipients
        .push(format!("unsubscribe+{}@{domain}", message.simple()));
    world.mail_arrives(&letter).await;
    let said: Vec<(Uuid, String, bool)> =
        sqlx::query_as("select contact_id, category, granted from communications.consents")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(said, [(contact, "MARKETING".to_owned(), false)]);
    let written: (String, bool, Option<Uuid>) = sqlx::query_as(
        "select address, contact_id = $1, replied_to from communications.messages where direction = 'INBOUND'",
    )
    .bind(contact)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        written,
        ("leo@example.org".to_owned(), false, None),
        "the address to unsubscribe at joins nobody"
    );
    // Of a message that is nobody's it is a mail like any other.
    let unknown = format!("unsubscribe+{}@{domain}", Uuid::now_v7().simple());
    world
        .mail_arrives(&Letter::new(
            "mia@example.org",
            &unknown,
            "unsubscribe",
            "x",
        ))
        .await;
    assert_eq!(rows(&world).await.len(), 2);
}

/// The id in such an address is no secret, and nobody signs it.
#[tokio::test]
async fn an_address_to_unsubscribe_at_lets_nothing_else_in() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let domain = world.iberia.mail_domain();
    let at = |message: Uuid, domain: &str| format!("unsubscribe+{}@{domain}", message.simple());
    // Beside another such address, whatever that names, a forged mail is none.
    let mut forged = Letter::new("victim@example.org", &at(message, &domain), "x", "STOP");
    forged.recipients.push(at(Uuid::now_v7(), &domain));
    forged.receipt = json!({"dmarcVerdict": {"status": "FAIL"}, "dmarcPolicy": "reject", "spamVerdict": {"status": "FAIL"}});
    world.mail_arrives(&forged).await;
    assert_eq!(rows(&world).await.len(), 0);
    let said: Vec<(Uuid, String)> =
        sqlx::query_as("select contact_id, category from communications.consents")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(said, [(contact, "MARKETING".to_owned())]);

    // At a domain that two share it makes nobody's mail theirs.
    sqlx::query(
        "update communications.channel_accounts set provider_config = jsonb_set(provider_config, '{public,reply_domain}', '\"in.shared.example\"')
          where channel = 'EMAIL'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    world.albion.connect_email(&world.pool).await.unwrap();
    sqlx::query(
        "update communications.channel_accounts set provider_config = jsonb_set(provider_config, '{public,reply_domain}', '\"in.shared.example\"')
          where channel = 'EMAIL'",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    let mut shared = Letter::new("leo@example.org", "hola@in.shared.example", "x", "hola");
    shared.recipients.push(at(message, "in.shared.example"));
    world.mail_arrives(&shared).await;
    assert_eq!(rows(&world).await.len(), 0);
    let sharing =
        "channel_accounts where provider_config #>> '{public,reply_domain}' = 'in.shared.example'";
    assert_eq!(world.count(sharing).await, 2);
    let nobodys =
        "quarantine where reason = 'UNKNOWN_ACCOUNT' and external_account_id = 'in.shared.example'";
    assert_eq!(world.count(nobodys).await, 1);

    // And of two accounts it is not the one that is answered from.
    sqlx::query(
        "insert into communications.channel_accounts
             (tenant_id, id, channel, provider, status, display_name, sender, external_account_id)
         values ($1, gen_random_uuid(), 'EMAIL', 'SES', 'ACTIVE', 'Rail', 'hola@rail.example', 'rail.example')",
    )
    .bind(world.iberia.tenant)
    .execute(&world.pool)
    .await
    .unwrap();
    let mut both = Letter::new("mia@example.org", "info@rail.example", "x", "hola");
    both.recipients.push(at(message, &domain));
    world.mail_arrives(&both).await;
    let reached: String = world
        .scalar(
            "select a.external_account_id from communications.messages m
               join communications.channel_accounts a on a.tenant_id = m.tenant_id and a.id = m.account_id
              where m.address = 'mia@example.org'",
        )
        .await;
    assert_eq!(reached, "rail.example");
}
