//! Who wrote a mail, who is written to at its address, and where answers to it go.

use crate::mails::written_to;
use comms_simulator::Inbound;
use comms_tests::world::World;
use comms_tests::world::aws::Letter;
use serde_json::json;
use uuid::Uuid;

const BAJA: &str = "Baja";

async fn connected() -> (World, String) {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    (world, to)
}

/// The addresses that answers to the mails so far go to, and whose they are.
async fn answered_at(world: &World) -> Vec<(String, i64)> {
    sqlx::query_as(
        "select m.address, dense_rank() over (order by m.contact_id) from communications.messages m
          where m.direction = 'INBOUND' order by m.id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

/// May this contact be sent such a mail at this address? As the claim asks.
async fn wanted(world: &World, contact: Uuid, address: &str, category: &str) -> bool {
    sqlx::query_scalar(
        "select communications.consent_allows($1, $2, 'EMAIL', $4) and not communications.address_refuses($1, $2, 'EMAIL', $4, $3)",
    )
    .bind(world.iberia.tenant)
    .bind(contact)
    .bind(address)
    .bind(category)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

/// Somebody at the mailbox says this, at an hour of the day by the provider's clock.
async fn says(world: &World, to: &str, text: &str, hour: u8) {
    world
        .mail_arrives(&Letter {
            receipt: json!({"timestamp": format!("2026-11-23T{hour:02}:00:00.000Z")}),
            ..Letter::new("family@example.org", to, "s", text)
        })
        .await;
}

/// What the contact themselves agreed to or refused.
async fn agrees(world: &World, contact: Uuid, category: &str, granted: bool, hour: u8) {
    sqlx::query(
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
         values ($1, gen_random_uuid(), $2, 'EMAIL', $3, $4, 'said so', 'booking', '2026-11-23'::date + make_interval(hours => $5))",
    )
    .bind(world.iberia.tenant)
    .bind(contact)
    .bind(category)
    .bind(granted)
    .bind(i32::from(hour))
    .execute(&world.pool)
    .await
    .unwrap();
}

/// Four passengers of one booking are four contacts: whoever reads the mailbox says stop for all of them, and start; in whatever order it comes.
#[tokio::test]
async fn whoever_shares_a_mailbox_shares_its_stop() {
    for order in [
        [(BAJA, 9), ("start", 10), (BAJA, 11)],
        [(BAJA, 11), ("start", 10), (BAJA, 9)],
        [("start", 10), (BAJA, 11), (BAJA, 9)],
    ] {
        let (world, to) = connected().await;
        let (_, one) = written_to(&world, "family@example.org").await;
        let (_, other) = written_to(&world, "other@example.org").await;
        for (text, hour) in order {
            says(&world, &to, text, hour).await;
        }
        let written = |address| wanted(&world, one, address, "TRANSACTIONAL");
        assert!(!written("family@example.org").await, "{order:?}");
        assert!(!written("Family@Example.org").await, "{order:?}");
        assert!(written("one@example.org").await, "{order:?}");
        assert!(wanted(&world, other, "other@example.org", "TRANSACTIONAL").await);
        // Whoever is written to there for the first time later, too.
        let (_, later) = written_to(&world, "family@example.org").await;
        assert!(!wanted(&world, later, "family@example.org", "OTP").await);
        // Until they agree to something themselves.
        agrees(&world, later, "OTP", true, 12).await;
        assert!(wanted(&world, later, "family@example.org", "OTP").await);
        assert!(!wanted(&world, later, "family@example.org", "TRANSACTIONAL").await);
        says(&world, &to, "start", 13).await;
        assert!(written("family@example.org").await, "{order:?}");
    }
}

/// The claim asks, whatever was planned.
#[tokio::test]
async fn nothing_leaves_for_a_mailbox_where_stop_was_said() {
    let (world, to) = connected().await;
    let (message, _) = written_to(&world, "family@example.org").await;
    says(&world, &to, BAJA, 9).await;
    sqlx::query(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category)
         select tenant_id, gen_random_uuid(), 'OUTBOUND', 'EMAIL', account_id, contact_id, 'SYSTEM', 'Family@example.org',
                '{\"type\": \"text\", \"body\": \"t\"}', 'QUEUED', 'TRANSACTIONAL', purpose
           from communications.messages m cross join unnest(array['TRANSACTIONAL', 'OTP']) as c (purpose) where m.id = $1",
    )
    .bind(message)
    .execute(&world.pool)
    .await
    .unwrap();
    world.step_dispatch().await;
    let why = "messages where status = 'SUPPRESSED' and failed_code = 'stopped-at-address'";
    assert_eq!(world.count(why).await, 2);
}

/// Their own no is not taken back by whoever says START where they are written to as well, whichever comes first.
#[tokio::test]
async fn what_somebody_refused_themselves_stays_refused() {
    let (world, to) = connected().await;
    let (_, before) = written_to(&world, "family@example.org").await;
    let (_, after) = written_to(&world, "family@example.org").await;
    agrees(&world, before, "TRANSACTIONAL", false, 9).await;
    agrees(&world, before, "MARKETING", true, 8).await;
    for (text, hour) in [(BAJA, 10), ("start", 11)] {
        says(&world, &to, text, hour).await;
    }
    agrees(&world, after, "TRANSACTIONAL", false, 9).await;
    for (contact, category, expected) in [
        (before, "TRANSACTIONAL", false),
        (after, "TRANSACTIONAL", false),
        (before, "MARKETING", true),
        // Nobody ever agreed to it.
        (after, "MARKETING", false),
    ] {
        let wanted = wanted(&world, contact, "family@example.org", category).await;
        assert_eq!(wanted, expected, "{category}");
    }
}

/// "Stop promotions" ends those of all; START gives them back to nobody, "start promotions" to whoever had agreed to them.
#[tokio::test]
async fn a_narrower_stop_at_a_mailbox_outlasts_a_start() {
    let (world, to) = connected().await;
    let (_, one) = written_to(&world, "family@example.org").await;
    agrees(&world, one, "MARKETING", true, 8).await;
    for (text, hour) in [("stop promotions", 9), ("start", 10)] {
        says(&world, &to, text, hour).await;
    }
    assert!(!wanted(&world, one, "family@example.org", "MARKETING").await);
    assert!(wanted(&world, one, "family@example.org", "TRANSACTIONAL").await);
    says(&world, &to, "start promotions", 11).await;
    assert!(wanted(&world, one, "family@example.org", "MARKETING").await);
}

/// Whoever gave a number up said nothing for whoever has it next; what was said there since stays said.
#[tokio::test]
async fn the_next_owner_of_a_number_has_said_nothing() {
    let world = World::new().await;
    world.iberia.connect_sms(&world.pool).await.unwrap();
    sqlx::query(
        "insert into communications.address_wishes (tenant_id, channel, address, stop_at)
         select $1, 'SMS', '+' || number, said_at
           from (values ('34600111222', now() - interval '1 minute'), ('34600555666', now() + interval '1 minute'),
                        ('34600333444', now() - interval '1 minute')) as n (number, said_at)",
    )
    .bind(world.iberia.tenant)
    .execute(&world.pool)
    .await
    .unwrap();
    for (from, to) in [
        ("34600111222", "34600999888"),
        ("34600555666", "34600333444"),
    ] {
        let mut moved = Inbound::text(from, "");
        world.customer_writes(&moved).await;
        moved.message = Some(json!({"type": "system", "system": {
            "type": "user_changed_number", "body": "new number", "wa_id": to, "customer": from}}));
        world.customer_writes(&moved).await;
    }
    let left: Vec<String> =
        sqlx::query_scalar("select address from communications.address_wishes where refused_at is not null order by address")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(left, ["+34600333444", "+34600555666"]);
    // Said before the move, and told after it.
    sqlx::query("select communications.note_wishes(jsonb_build_array(jsonb_build_object('tenant_id', tenant_id, 'contact_id', contact_id,
            'channel', 'SMS', 'wish', 'STOP', 'basis', 'said so', 'source', 'message', 'at', now() - interval '1 hour',
            'address', value))) from communications.contact_former_identities where kind = 'phone' and value = '+34600111222'")
        .execute(&world.pool)
        .await
        .unwrap();
    let late = "address_wishes where address = '+34600111222' and refused_at is not null";
    assert_eq!(world.count(late).await, 0);
}

/// A complaint is forgotten where START is said, whoever of those who share the address says it.
#[tokio::test]
async fn start_where_somebody_complained_is_heard_there() {
    let (world, to) = connected().await;
    let (_, owner) = written_to(&world, "family@example.org").await;
    for sql in [
        "insert into communications.contact_identities (tenant_id, kind, value, contact_id) values ($1, 'email', 'family@example.org', $2)",
        "insert into communications.suppressions (tenant_id, channel, address, reason, source, at)
         select $1, 'EMAIL', 'family@example.org', 'COMPLAINT', 'provider', '2026-11-23T09:00:00Z' where $2 is not null",
    ] {
        sqlx::query(sql)
            .bind(world.iberia.tenant)
            .bind(owner)
            .execute(&world.pool)
            .await
            .unwrap();
    }
    sqlx::query("update communications.contacts set display_name = 'Somebody' where id = $1")
        .bind(owner)
        .execute(&world.pool)
        .await
        .unwrap();
    says(&world, &to, "start", 10).await;
    assert_eq!(world.count("suppressions").await, 0);
}

/// A driver's sick note is no wish.
#[tokio::test]
async fn a_subject_above_a_file_is_no_wish() {
    let (world, to) = connected().await;
    let mut letter = Letter::new("driver@example.org", &to, BAJA, "");
    letter.raw = format!(
        "From: driver@example.org\r\nTo: {to}\r\nSubject: {BAJA}\r\nMessage-ID: <{}@mail.example>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\r\n\
         --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=parte.pdf\r\n\r\n%PDF-1.4\r\n--b--\r\n",
        letter.id
    );
    world.mail_arrives(&letter).await;
    assert_eq!(world.count("messages").await, 1);
    assert_eq!(world.count("consents").await, 0);
    world
        .mail_arrives(&Letter::new("driver@example.org", &to, BAJA, ""))
        .await;
    assert_eq!(world.count("consents").await, 3);
}

/// Each customer behind a form on the tenant's pages, or behind a group that writes its own address into From, is somebody.
#[tokio::test]
async fn everybody_behind_a_form_or_a_group_is_a_contact_of_their_own() {
    let (world, to) = connected().await;
    let domain = world.iberia.mail_domain();
    let form = format!("Web <web@{domain}>");
    for customer in ["ana@example.org", "bo@example.org"] {
        let letter = Letter::new(&form, &to, "Formulario", "hola")
            .with_header(&format!("Reply-To: {customer}"));
        world.mail_arrives(&letter).await;
    }
    let group = Letter::new(
        &format!("'Ana' via Info <info@{domain}>"),
        &to,
        "s",
        "otra vez",
    )
    .with_header("Reply-To: ana@example.org")
    .with_header(&format!("List-Post: <mailto:info@{domain}>"));
    world.mail_arrives(&group).await;
    assert_eq!(
        answered_at(&world)
            .await
            .iter()
            .map(|row| row.0.as_str())
            .collect::<Vec<_>>(),
        ["ana@example.org", "bo@example.org", "ana@example.org"]
    );
    assert_eq!(world.count("contacts").await, 2);
    // Nobody knows who says it there.
    for text in ["start", BAJA] {
        let letter = Letter::new(&form, &to, "s", text).with_header("Reply-To: ana@example.org");
        world.mail_arrives(&letter).await;
    }
    assert_eq!(world.count("consents").await, 0);
    let written_by = format!("messages where context ->> 'named' = 'web@{domain}'");
    assert_eq!(world.count(&written_by).await, 4);
    // A stranger's group says what it likes of who wrote.
    let strange = Letter::new("x@evil.example", &to, "s", BAJA).with_header(&format!(
        "X-Original-From: bo@example.org\r\nSender: x@evil.example\r\nList-Id: <a>\r\nList-Post: <mailto:{to}>"
    ));
    world.mail_arrives(&strange).await;
    assert_eq!(
        answered_at(&world).await.last().unwrap().0,
        "x@evil.example"
    );
}

/// What would come back to us is no place for an answer.
#[tokio::test]
async fn no_answer_goes_to_our_own_inbox() {
    let (world, to) = connected().await;
    let domain = world.iberia.mail_domain();
    for header in [
        format!("Reply-To: info@{domain}"),
        format!("Reply-To: {to}"),
        "List-Post: <mailto:info@group.example>\r\nReply-To: info@group.example".to_owned(),
    ] {
        let letter = Letter::new("eva@example.org", &to, "s", "hola").with_header(&header);
        world.mail_arrives(&letter).await;
    }
    let wanted = Letter::new("eva@example.org", &to, "s", "hola")
        .with_header(&format!("Reply-To: info@{domain}, eva@home.example"));
    world.mail_arrives(&wanted).await;
    let addresses: Vec<String> = answered_at(&world)
        .await
        .into_iter()
        .map(|row| row.0)
        .collect();
    assert_eq!(
        addresses,
        [
            "eva@example.org",
            "eva@example.org",
            "eva@example.org",
            "eva@home.example"
        ]
    );
}

/// Where somebody had our answer drawn to another's mailbox, what comes from there is the other's.
#[tokio::test]
async fn a_reply_to_draws_nobody_into_anothers_thread() {
    let (world, to) = connected().await;
    let asked = Letter::new("secretary@example.org", &to, "s", "hola")
        .with_header("Reply-To: boss@example.org");
    world.mail_arrives(&asked).await;
    let secretary: Uuid = world
        .scalar("select contact_id from communications.messages")
        .await;
    let ours: String = {
        sqlx::query(
            "insert into communications.messages
                 (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category,
                  attempts, external_message_id)
             select m.tenant_id, gen_random_uuid(), 'OUTBOUND', 'EMAIL', m.account_id, m.contact_id, 'AGENT', m.address,
                    '{\"type\": \"text\", \"body\": \"t\"}', 'SENT', 'INTERACTIVE', 'SERVICE', 1, 'ses-1'
               from communications.messages m",
        )
        .execute(&world.pool)
        .await
        .unwrap();
        "<ses-1@eu-west-1.amazonses.com>".to_owned()
    };
    let answer = Letter::new("boss@example.org", &to, "Re: s", BAJA)
        .with_header(&format!("In-Reply-To: {ours}"));
    world.mail_arrives(&answer).await;
    let writers: Vec<Uuid> = sqlx::query_scalar(
        "select contact_id from communications.messages where direction = 'INBOUND' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(writers[0], secretary);
    assert_ne!(writers[1], secretary);
    let stopped: Uuid = world
        .scalar("select distinct contact_id from communications.consents where contact_id = (
                   select contact_id from communications.contact_identities where value = 'boss@example.org')")
        .await;
    assert_eq!(stopped, writers[1]);
}

/// One operator may write to another, and a customer may send our mail on to somebody else's.
#[tokio::test]
async fn a_mail_comes_back_only_to_whoever_sent_it() {
    let (world, to) = connected().await;
    world.albion.connect_email(&world.pool).await.unwrap();
    let (ours, _) = written_to(&world, "eva@example.org").await;
    let mark = format!("X-Communications-Loop: {ours}");
    let back = Letter::new("eva@example.org", &to, "s", "hola").with_header(&mark);
    world.mail_arrives(&back).await;
    let theirs = format!("hello@{}", world.albion.mail_domain());
    let on = Letter::new("ops@example.org", &theirs, "s", "hello").with_header(&mark);
    world.mail_arrives(&on).await;
    let stored: Vec<Uuid> = sqlx::query_scalar(
        "select tenant_id from communications.messages where direction = 'INBOUND'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(stored, [world.albion.tenant.0]);
    assert_eq!(world.count("quarantine where reason = 'LOOP'").await, 1);
    let released = world.replays(&json!({"reason": "LOOP"})).await;
    assert_eq!((released.replayed, released.messages), (1, 1));
    // To both at once: the other one has it.
    let mut both = Letter::new("eva@example.org", &to, "s", "hola").with_header(&mark);
    both.recipients.push(theirs);
    world.mail_arrives(&both).await;
    assert_eq!(world.count("messages where direction = 'INBOUND'").await, 3);
    assert_eq!(
        world
            .count("quarantine where reason = 'LOOP' and replayed_at is null")
            .await,
        1
    );
}
