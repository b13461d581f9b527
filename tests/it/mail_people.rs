//! Who wrote a mail, who is written to at its address, and where answers to it go.

use crate::mails::written_to;
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

async fn refused(world: &World) -> i64 {
    world
        .scalar("select count(distinct contact_id) from communications.current_consents where not granted")
        .await
}

/// Four passengers of one booking are four contacts: whoever reads the mailbox says stop for all of them, and start.
#[tokio::test]
async fn whoever_shares_a_mailbox_shares_its_stop() {
    let (world, to) = connected().await;
    for address in [
        "family@example.org",
        "Family@Example.org",
        "other@example.org",
    ] {
        written_to(&world, address).await;
    }
    let said = |text: &str| Letter::new("family@example.org", &to, "s", text);
    world.mail_arrives(&said(BAJA)).await;
    assert_eq!(refused(&world).await, 3, "the writer and two others");
    assert_eq!(world.count("consents").await, 9);
    let start = Letter {
        receipt: json!({"timestamp": "2026-11-23T11:00:00.000Z"}),
        ..said("start")
    };
    world.mail_arrives(&start).await;
    assert_eq!(world.count("current_consents where granted").await, 6);
    // Nor is a stop that one of them said elsewhere.
    let (_, own) = written_to(&world, "family@example.org").await;
    sqlx::query(
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
         select $1, gen_random_uuid(), $2, 'EMAIL', 'TRANSACTIONAL', false, 'said so', 'message', '2026-11-23T10:30:00Z'",
    )
    .bind(world.iberia.tenant)
    .bind(own)
    .execute(&world.pool)
    .await
    .unwrap();
    let again = Letter {
        receipt: json!({"timestamp": "2026-11-23T12:00:00.000Z"}),
        ..said("start")
    };
    world.mail_arrives(&again).await;
    let theirs = format!("current_consents where contact_id = '{own}' and granted");
    assert_eq!(world.count(&theirs).await, 0);
}

/// Their own no is not taken back by whoever says START where they are written to as well; nor is a no there outlasted by coming late.
#[tokio::test]
async fn what_somebody_refused_themselves_stays_refused() {
    let (world, to) = connected().await;
    let (_, own) = written_to(&world, "family@example.org").await;
    sqlx::query(
        "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source, at)
         select $1, gen_random_uuid(), $2, 'EMAIL', c, false, 'said so', 'message', '2026-11-23T09:00:00Z'
           from unnest(array['TRANSACTIONAL', 'MARKETING']) as c",
    )
    .bind(world.iberia.tenant)
    .bind(own)
    .execute(&world.pool)
    .await
    .unwrap();
    let said = |text: &str, hour: u8| Letter {
        receipt: json!({"timestamp": format!("2026-11-23T{hour}:00:00.000Z")}),
        ..Letter::new("family@example.org", &to, "s", text)
    };
    for (text, hour) in [(BAJA, 10), ("start", 11), ("start promotions", 12)] {
        world.mail_arrives(&said(text, hour)).await;
    }
    let theirs = |granted: &str| {
        format!("current_consents where contact_id = '{own}' and category <> 'OTP' and {granted}")
    };
    assert_eq!(world.count(&theirs("not granted")).await, 2);
    // Said before the start, and told after it.
    let (_, late) = written_to(&world, "family@example.org").await;
    world.mail_arrives(&said(BAJA, 10)).await;
    let refused =
        format!("current_consents where contact_id = '{late}' and category = 'TRANSACTIONAL'");
    assert_eq!(world.count(&refused).await, 0);
}

/// Whoever gave an address up is not there any more.
#[tokio::test]
async fn the_next_owner_of_an_address_says_nothing_for_the_last() {
    let (world, to) = connected().await;
    let (_, last) = written_to(&world, "shared@example.org").await;
    sqlx::query(
        "insert into communications.contact_former_identities (tenant_id, kind, value, contact_id, until)
         values ($1, 'email', 'shared@example.org', $2, now())",
    )
    .bind(world.iberia.tenant)
    .bind(last)
    .execute(&world.pool)
    .await
    .unwrap();
    world
        .mail_arrives(&Letter::new("shared@example.org", &to, "s", BAJA))
        .await;
    assert_eq!(refused(&world).await, 1);
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
