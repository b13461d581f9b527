//! A mail becomes a message of whoever wrote it, and of nobody else.

use crate::parted::commits_when_awaited;
use comms_core::contacts::merge;
use comms_core::model::ContactId;
use comms_tests::stack::setting;
use comms_tests::world::World;
use comms_tests::world::aws::{Letter, reply_address};
use serde_json::{Value, json};
use uuid::Uuid;

pub const EVA: &str = "Eva Ruiz <eva@example.org>";

pub async fn rows(world: &World) -> Vec<(Uuid, String, String)> {
    sqlx::query_as(
        "select tenant_id, address, body from communications.messages where direction = 'INBOUND' and channel = 'EMAIL' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

/// An email of ours to somebody, as if SES had it.
pub async fn written_to(world: &World, address: &str) -> (Uuid, Uuid) {
    let (message, contact) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query("insert into communications.contacts (tenant_id, id) values ($1, $2)")
        .bind(world.iberia.tenant)
        .bind(contact)
        .execute(&world.pool)
        .await
        .unwrap();
    sqlx::query(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category, attempts,
              external_message_id)
         select $1, $2, 'OUTBOUND', 'EMAIL', a.id, $3, 'SYSTEM', $4, '{\"type\": \"text\", \"body\": \"t\"}', 'SENT', 'TRANSACTIONAL',
                'TRANSACTIONAL', 1, $5
           from communications.channel_accounts a where a.tenant_id = $1 and a.channel = 'EMAIL'",
    )
    .bind(world.iberia.tenant)
    .bind(message)
    .bind(contact)
    .bind(address)
    .bind(format!("ses-{}", message.simple()))
    .execute(&world.pool)
    .await
    .unwrap();
    (message, contact)
}

#[tokio::test]
async fn a_first_mail_opens_a_thread_and_its_repeat_changes_nothing() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let letter = Letter::new(
        EVA,
        &to,
        "Una pregunta",
        "¿A qué hora sale?\r\n\r\n-- \r\nEva",
    );
    for _ in 0..3 {
        world.mail_arrives(&letter).await;
    }
    assert_eq!(
        rows(&world).await,
        [(
            world.iberia.tenant.0,
            "eva@example.org".to_owned(),
            "¿A qué hora sale?".to_owned()
        )]
    );
    let preview: String = world
        .scalar("select preview from communications.conversations")
        .await;
    assert_eq!(preview, "Una pregunta – ¿A qué hora sale?");
    let name: String = world
        .scalar("select display_name from communications.contacts")
        .await;
    assert_eq!(name, "Eva Ruiz");
}

#[tokio::test]
async fn a_mail_to_two_operators_is_a_message_of_each() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.albion.connect_email(&world.pool).await.unwrap();
    let mut letter = Letter::new(
        EVA,
        &format!("hola@{}", world.iberia.mail_domain()),
        "s",
        "t",
    );
    letter
        .recipients
        .push(format!("hello@{}", world.albion.mail_domain()));
    world.mail_arrives(&letter).await;
    let tenants: Vec<Uuid> = rows(&world)
        .await
        .into_iter()
        .map(|(tenant, ..)| tenant)
        .collect();
    assert_eq!(tenants, [world.iberia.tenant.0, world.albion.tenant.0]);
    assert_eq!(world.count("contacts").await, 2);
}

#[tokio::test]
async fn a_mail_that_is_nobodys_in_part_is_stored_for_the_others_and_kept() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let letter = |others: &[&str]| {
        let to = format!("hola@{}", world.iberia.mail_domain());
        let mut letter = Letter::new(EVA, &to, "s", "t");
        let others = others.iter().map(|domain| format!("hello@{domain}"));
        letter.recipients.extend(others);
        letter
    };
    let later = world.albion.mail_domain();
    let letters = [
        letter(&[later.as_str()]),
        letter(&[later.as_str(), "nobody.example"]),
    ];
    for _ in 0..2 {
        assert!(world.mails_arrive(&letters).await.is_empty());
    }
    let tenants = async || {
        let rows = rows(&world).await.into_iter();
        let mut tenants: Vec<Uuid> = rows.map(|(tenant, ..)| tenant).collect();
        tenants.sort();
        tenants
    };
    let (iberia, albion) = (world.iberia.tenant.0, world.albion.tenant.0);
    assert_eq!(tenants().await, [iberia; 2]);
    let unknown = json!({"reason": "UNKNOWN_ACCOUNT"});
    let early = world.replays(&unknown).await;
    assert_eq!(
        (early.replayed, early.messages, early.kept.len()),
        (0, 0, 2)
    );

    world.albion.connect_email(&world.pool).await.unwrap();
    let replayed = world.replays(&unknown).await;
    assert_eq!((replayed.replayed, replayed.messages), (1, 2));
    assert_eq!(replayed.kept.len(), 1, "one domain is still nobody's");
    let mut expected = [iberia, iberia, albion, albion];
    expected.sort();
    assert_eq!(tenants().await, expected);
    assert_eq!(world.replays(&unknown).await.messages, 0);
    assert_eq!(world.count("contacts").await, 2);
}

#[tokio::test]
async fn an_answer_finds_the_contact_by_its_token_or_by_the_id_that_ses_wrote() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "family@example.org").await;
    let by_token = Letter::new(
        "family@example.org",
        &reply_address(&world.iberia, message),
        "Re: s",
        "uno",
    );
    let header = format!(
        "In-Reply-To: <ses-{}@eu-west-1.amazonses.com>",
        message.simple()
    );
    let plain = format!("hola@{}", world.iberia.mail_domain());
    let by_header =
        Letter::new("Family <family@example.org>", &plain, "Re: s", "dos").with_header(&header);
    world.mails_arrive(&[by_token, by_header]).await;
    let found: Vec<(Uuid, Option<String>)> = sqlx::query_as(
        "select contact_id, reply_to from communications.messages where direction = 'INBOUND' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let answered = Some(format!("ses-{}", message.simple()));
    assert_eq!(found, [(contact, answered.clone()), (contact, answered)]);
    assert_eq!(world.count("conversations").await, 1);
    // What was sent before there was a thread is in it now.
    assert_eq!(
        world.count("messages where conversation_id is null").await,
        0
    );
}

/// The answer waits for a merge of whom it is from, and is then the kept contact's.
#[tokio::test]
async fn a_mail_that_waited_for_a_merge_is_the_kept_contacts() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, merged) = written_to(&world, "family@example.org").await;
    let (_, kept) = written_to(&world, "another@example.org").await;
    let to = reply_address(&world.iberia, message);
    let answer = Letter::new("family@example.org", &to, "Re: s", "hola");
    let mut tx = world.database().begin().await.unwrap();
    merge(
        &mut tx,
        world.iberia.tenant,
        ContactId(kept),
        ContactId(merged),
        world.iberia.agent,
    )
    .await
    .unwrap();
    futures_util::join!(
        world.mail_arrives(&answer),
        commits_when_awaited(&world, tx)
    );
    let of: Uuid = world
        .scalar("select contact_id from communications.messages where direction = 'INBOUND'")
        .await;
    assert_eq!(of, kept);
}

/// As of a token whose secret is gone, or that was made up.
#[tokio::test]
async fn beside_a_token_that_nobody_signed_the_headers_count() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.albion.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let mut other = world.albion.clone();
    other.phone_number_id = world.iberia.phone_number_id;
    let header = format!(
        "In-Reply-To: <ses-{}@eu-west-1.amazonses.com>",
        message.simple()
    );
    let unsigned = reply_address(&other, message);
    let mail = Letter::new("eva@example.org", &unsigned, "Re: s", "t").with_header(&header);
    world.mail_arrives(&mail).await;
    let found: Vec<(Uuid, Option<String>)> = sqlx::query_as(
        "select contact_id, reply_to from communications.messages where direction = 'INBOUND'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        found,
        [(contact, Some(format!("ses-{}", message.simple())))]
    );
}

#[tokio::test]
async fn whoever_gets_hold_of_a_token_writes_in_a_thread_of_their_own() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world.albion.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let address = reply_address(&world.iberia, message);
    // Another sender; another tenant's domain; another tenant's signature.
    world
        .mail_arrives(&Letter::new(
            "mallory@example.net",
            &address,
            "Re: s",
            "hers",
        ))
        .await;
    let (local, _) = address.split_once('@').unwrap();
    let foreign = format!("{local}@{}", world.albion.mail_domain());
    world
        .mail_arrives(&Letter::new("eva@example.org", &foreign, "Re: s", "theirs"))
        .await;
    let mut stolen = world.albion.clone();
    stolen.phone_number_id = world.iberia.phone_number_id;
    let signed_elsewhere = reply_address(&stolen, message);
    world
        .mail_arrives(&Letter::new(
            "eva@example.org",
            &signed_elsewhere,
            "Re: s",
            "forged",
        ))
        .await;
    let in_hers: i64 = sqlx::query_scalar(
        "select count(*) from communications.messages where direction = 'INBOUND' and contact_id = $1",
    )
    .bind(contact)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(in_hers, 0);
    assert_eq!(rows(&world).await.len(), 3, "nothing is lost");
    assert_eq!(
        world
            .count("messages where direction = 'INBOUND' and reply_to is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn what_ses_found_bad_is_kept_and_an_operator_may_release_it() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let letter = |receipt| Letter {
        receipt,
        ..Letter::new(EVA, &to, "s", "t")
    };
    let failed = json!({"status": "FAIL"});
    world
        .mails_arrive(&[
            letter(json!({"virusVerdict": failed})),
            letter(json!({"spamVerdict": failed})),
            letter(json!({"dmarcVerdict": failed, "dmarcPolicy": "reject"})),
        ])
        .await;
    assert_eq!(rows(&world).await.len(), 0);
    let reasons: Vec<String> =
        sqlx::query_scalar("select reason from communications.quarantine order by reason")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(reasons, ["FORGED", "SPAM", "VIRUS"]);
    // Nobody has looked at them.
    let replayed = world.replays(&json!({"source": "AWS_NOTIFICATION"})).await;
    assert_eq!((replayed.replayed, replayed.kept.len()), (0, 3));
    for reason in ["FORGED", "SPAM"] {
        let replayed = world.replays(&json!({"reason": reason})).await;
        assert_eq!((replayed.replayed, replayed.messages), (1, 1), "{reason}");
    }
    let ids: Vec<Uuid> =
        sqlx::query_scalar("select id from communications.quarantine where replayed_at is null")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    let replayed = world.replays(&json!({"ids": ids})).await;
    let reasons: Vec<&str> = replayed
        .kept
        .iter()
        .map(|kept| kept.reason.as_str())
        .collect();
    assert_eq!((replayed.replayed, reasons), (0, vec!["VIRUS"]));
}

/// What the checks say of it, but for a virus, does not matter for that; who uses the address for anything else gets nothing by it.
#[tokio::test]
async fn whoever_unsubscribes_does_so_whatever_the_checks_say() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let address = |of: Uuid| format!("unsubscribe+{}@{}", of.simple(), world.iberia.mail_domain());
    let letter = |to: &str, verdict: &str| Letter {
        receipt: json!({verdict: {"status": "FAIL"}}),
        ..Letter::new("eva@example.org", to, "unsubscribe", "")
    };
    world
        .mail_arrives(&letter(&address(message), "virusVerdict"))
        .await;
    assert_eq!(world.count("consents").await, 0);
    world
        .mail_arrives(&letter(&address(message), "spamVerdict"))
        .await;
    let said: Vec<(Uuid, String, bool)> =
        sqlx::query_as("select contact_id, category, granted from communications.consents")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(said, [(contact, "MARKETING".to_owned(), false)]);
    world
        .mail_arrives(&letter(&address(Uuid::now_v7()), "spamVerdict"))
        .await;
    let mut both = letter(&address(message), "spamVerdict");
    both.recipients
        .push(format!("hola@{}", world.iberia.mail_domain()));
    world.mail_arrives(&both).await;
    let nobodys = format!("unsubscribe+{}@nobody.example", Uuid::now_v7().simple());
    world.mail_arrives(&letter(&nobodys, "spamVerdict")).await;
    assert_eq!(rows(&world).await.len(), 0);
    assert_eq!(world.count("quarantine where reason = 'SPAM'").await, 3);
}

/// An assistant writes for somebody who answers everybody: that is their mail, and their wish, not the assistant's.
#[tokio::test]
async fn an_answer_to_another_customers_mail_is_of_whoever_wrote_it() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let asked = Letter::new(
        "assistant@example.org",
        &to,
        "Viaje",
        "Una reserva, por favor",
    )
    .with_header("Reply-To: boss@example.org");
    world.mail_arrives(&asked).await;
    let answers = format!("In-Reply-To: <{}@mail.example>", asked.id);
    let answered = Letter::new("boss@example.org", &to, "Re: Viaje", "Baja").with_header(&answers);
    world.mail_arrives(&answered).await;
    let of_boss: (i64, i64) = sqlx::query_as(
        "select (select count(*) from communications.messages m where m.contact_id = i.contact_id),
                (select count(*) from communications.current_consents c where c.contact_id = i.contact_id and not c.granted)
           from communications.contact_identities i where i.value = 'boss@example.org'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(of_boss, (1, 3));
    assert_eq!(world.count("conversations").await, 2);
    assert_eq!(world.count("consents").await, 3);
}

/// Of a mailbox that several share: whoever answered our mail goes on after their own answer.
#[tokio::test]
async fn an_answer_to_ones_own_answer_is_of_whoever_our_mail_went_to() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    // The mailbox is somebody else's by name.
    let first = Letter::new("family@example.org", &to, "s", "hola");
    world.mail_arrives(&first).await;
    let (message, contact) = written_to(&world, "family@example.org").await;
    let ours = format!("<ses-{}@eu-west-1.amazonses.com>", message.simple());
    let answer = Letter::new("family@example.org", &to, "Re: s", "uno")
        .with_header(&format!("In-Reply-To: {ours}"));
    world.mail_arrives(&answer).await;
    let own = format!(
        "In-Reply-To: <{}@mail.example>\r\nReferences: {ours} <{}@mail.example>",
        answer.id, answer.id
    );
    let more = Letter::new("family@example.org", &to, "Re: s", "dos").with_header(&own);
    world.mail_arrives(&more).await;
    let writers: Vec<Uuid> = sqlx::query_scalar(
        "select contact_id from communications.messages where direction = 'INBOUND' order by id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_ne!(writers[0], contact);
    assert_eq!(writers[1..], [contact, contact]);
}

/// Anybody can write somebody else's address into From. Their mail is shown as what it is; nobody's answers go elsewhere by it, no yes is
/// taken, and a no ends marketing alone: of what their trips are about somebody is told until they say otherwise themselves.
#[tokio::test]
async fn a_mail_that_anybody_may_have_written_turns_no_thread_elsewhere() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let failed = json!({"status": "FAIL"});
    let doubtful = json!({"spfVerdict": failed, "dkimVerdict": {"status": "GRAY"}, "dmarcVerdict": failed, "dmarcPolicy": "none"});
    let written = |text: &str, receipt| Letter {
        receipt,
        source: "mallory@example.net".to_owned(),
        ..Letter::new(EVA, &to, "s", text).with_header("Reply-To: mallory@example.net")
    };
    let proven = json!({});
    let gray = json!({"status": "GRAY"});
    // Signed, and from its own server: by a domain that is not Eva's.
    let anybody = json!({"dmarcVerdict": gray});
    for (text, receipt, address, granted) in [
        ("Hola", doubtful.clone(), "eva@example.org", 0),
        ("start", anybody, "eva@example.org", 0),
        ("Baja", doubtful.clone(), "eva@example.org", 0),
        ("start", doubtful, "eva@example.org", 0),
        ("start", proven, "mallory@example.net", 2),
    ] {
        world.mail_arrives(&written(text, receipt)).await;
        let (newest, shown): (String, Option<bool>) = sqlx::query_as(
            "select address, (communications.message_content(m) ->> 'proven')::boolean
               from communications.messages m order by id desc limit 1",
        )
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(newest, address, "{text}");
        assert_eq!(shown, Some(address == "mallory@example.net"), "{text}");
        assert_eq!(
            world.count("current_consents where granted").await,
            granted,
            "{text}"
        );
        let refused = "current_consents where not granted and category <> 'MARKETING'";
        assert_eq!(world.count(refused).await, 0, "{text}");
    }
    let proven = Letter::new(EVA, &to, "s", "Baja\r\n\r\n[cid:image001.png@01D9]");
    world.mail_arrives(&proven).await;
    let refused = "current_consents where not granted and category = 'TRANSACTIONAL'";
    assert_eq!(world.count(refused).await, 1);
}

#[tokio::test]
async fn an_absence_notice_wakes_nobody() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    world.mail_arrives(&Letter::new(EVA, &to, "s", "t")).await;
    world
        .execute("update communications.conversations set status = 'RESOLVED'")
        .await;
    world
        .mail_arrives(
            &Letter::new(EVA, &to, "Fuera de la oficina", "vuelvo el lunes")
                .with_header("Auto-Submitted: auto-replied"),
        )
        .await;
    let status: String = world
        .scalar("select status from communications.conversations")
        .await;
    assert_eq!(status, "RESOLVED");
    assert_eq!(rows(&world).await.len(), 2);
}

#[tokio::test]
async fn an_automatic_answer_of_somebody_new_waits_for_nobody() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let answer = Letter::new(EVA, &to, "Fuera de la oficina", "vuelvo el lunes")
        .with_header("Auto-Submitted: auto-replied");
    let status = "select status from communications.conversations";
    for (letter, after) in [
        (answer, "RESOLVED"),
        (Letter::new(EVA, &to, "s", "t"), "OPEN"),
    ] {
        world.mail_arrives(&letter).await;
        assert_eq!(world.scalar::<String>(status).await, after);
    }
}

#[tokio::test]
async fn a_mail_from_nobody_wakes_nobody() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    world.mail_arrives(&Letter::new(EVA, &to, "s", "t")).await;
    world
        .execute("update communications.conversations set status = 'RESOLVED'")
        .await;
    // Nothing in the mail itself says so.
    for source in ["<>", ""] {
        let letter = Letter {
            source: source.to_owned(),
            ..Letter::new(EVA, &to, "s", "no estoy")
        };
        world.mail_arrives(&letter).await;
    }
    let status: String = world
        .scalar("select status from communications.conversations")
        .await;
    assert_eq!(status, "RESOLVED");
    let automatic = "messages where context ->> 'automatic' = 'auto-reply'";
    assert_eq!(world.count(automatic).await, 2);
}

#[tokio::test]
async fn a_mail_to_unsubscribe_ends_marketing_and_is_no_message() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let (message, contact) = written_to(&world, "eva@example.org").await;
    let to = format!(
        "unsubscribe+{}@{}",
        message.simple(),
        world.iberia.mail_domain()
    );
    for _ in 0..2 {
        world
            .mail_arrives(&Letter::new("eva@example.org", &to, "unsubscribe", ""))
            .await;
    }
    let said: Vec<(Uuid, String, bool)> =
        sqlx::query_as("select contact_id, category, granted from communications.consents")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(said, [(contact, "MARKETING".to_owned(), false)]);
    assert_eq!(rows(&world).await.len(), 0);
}

/// Of one that lies in the bucket, and of one that came inside its notice.
#[tokio::test]
async fn files_of_a_mail_are_stored() {
    for inside in [false, true] {
        let world = World::new().await;
        world.iberia.connect_email(&world.pool).await.unwrap();
        let to = format!("hola@{}", world.iberia.mail_domain());
        let mut letter = Letter::new(EVA, &to, "s", "t");
        letter.raw = format!(
            "From: {EVA}\r\nTo: {to}\r\nSubject: fotos\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
             --b\r\nContent-Type: text/plain\r\n\r\naquí van\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\
             Content-Disposition: attachment; filename=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n"
        );
        let folder = if inside {
            world.mail_arrives_in_its_notice(&letter).await;
            "inline"
        } else {
            world.mail_arrives(&letter).await;
            "in"
        };
        let file = || async {
            let row: (String, String, String, String, String) = sqlx::query_as(
                "select kind, source, source_ref, filename, state from communications.message_media",
            )
            .fetch_one(&world.pool)
            .await
            .unwrap();
            row
        };
        let reference = format!("{folder}/{}#0", letter.id);
        let expected = |state: &str| {
            let said = ["attachment", "MAIL", &reference, "a.png", state];
            let [kind, source, reference, filename, state] = said.map(str::to_owned);
            (kind, source, reference, filename, state)
        };
        assert_eq!(file().await, expected("PENDING"));
        world.step_media().await;
        assert_eq!(file().await, expected("STORED"));
    }
}

/// Subject, whole text and safe HTML, with the file of each picture in it; nothing of them where the contact is masked.
#[tokio::test]
async fn all_of_a_mail_can_be_read() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let mut letter = Letter::new(EVA, &to, "s", "t");
    letter.raw = format!(
        "From: {EVA}\r\nTo: {to}\r\nSubject: Cancelar 4711\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
         <p>Por favor.<script>x()</script></p><img src=\"cid:foto@eva\"><blockquote>lo de antes</blockquote>\r\n\
         --b\r\nContent-Type: image/png\r\nContent-ID: <foto@eva>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--b--\r\n"
    );
    world.mail_arrives(&letter).await;
    let file: String = world
        .scalar("select media -> 0 ->> 'content_id' from communications.messages")
        .await;
    assert_eq!(file, "foto@eva");
    let content =
        "select coalesce(communications.message_content(m), 'null') from communications.messages m";
    let shown: Value = world.scalar(content).await;
    assert_eq!(shown["subject"], "Cancelar 4711");
    let of = |member: &str| shown[member].as_str().unwrap().to_owned();
    assert!(of("text").contains("lo de antes"), "{shown}");
    assert!(of("html").contains("cid:foto@eva"), "{shown}");
    assert!(!of("html").contains("script"), "{shown}");
    world
        .execute("update communications.contacts set masked = true")
        .await;
    assert_eq!(world.scalar::<Value>(content).await, Value::Null);
}

#[tokio::test]
async fn a_bucket_that_is_silent_holds_back_that_mail_alone() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    // Told before it is there: SES writes first, so this one is gone for good, and kept.
    let lost = Letter::new(EVA, &to, "s", "lost");
    let notice = json!({"notificationType": "Received",
        "receipt": {"timestamp": "2026-11-23T10:00:00.000Z", "recipients": [to],
                    "action": {"type": "S3", "bucketName": setting("MAIL_BUCKET").unwrap(), "objectKey": format!("in/never-{}", lost.id)}},
        "mail": {"timestamp": "2026-11-23T10:00:00.000Z", "source": "e@example.org", "messageId": lost.id}});
    assert!(world.aws_tells(&[notice]).await.is_empty());
    assert_eq!(
        world.count("quarantine where reason = 'UNREADABLE'").await,
        1
    );
}

/// As out of quarantine, or out of a bucket that SES wrote to long ago.
#[tokio::test]
async fn the_file_of_an_old_mail_has_as_long_as_that_of_a_new_one() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let to = format!("hola@{}", world.iberia.mail_domain());
    let mut letter = Letter::new(EVA, &to, "s", "t");
    letter.receipt = json!({"timestamp": "2020-01-01T10:00:00.000Z"});
    letter.raw = format!(
        "From: {EVA}\r\nTo: {to}\r\nSubject: billete\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\naquí va\r\n--b\r\nContent-Type: application/pdf\r\n\
         Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--b--\r\n"
    );
    world.mail_arrives(&letter).await;
    let times = "message_media where expires_at between now() + interval '29 days' and now() + interval '31 days'";
    assert_eq!(world.count(times).await, 1);
    world.step_media().await;
    let state: String = world
        .scalar("select state from communications.message_media")
        .await;
    assert_eq!(state, "STORED");
}

#[tokio::test]
async fn what_is_kept_of_mails_is_found_by_its_domain() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let ours = world.iberia.mail_domain();
    let letter = |recipients: &[&str], receipt| {
        let to = format!("hola@{ours}");
        let mut letter = Letter::new(EVA, &to, "s", "t");
        let others = recipients.iter().map(|to| (*to).to_owned());
        letter.recipients.extend(others);
        Letter { receipt, ..letter }
    };
    let letters = [
        letter(&["hola@Shop.Example"], json!({})),
        letter(&["hola@elsewhere.example"], json!({})),
        letter(&[], json!({"spamVerdict": {"status": "FAIL"}})),
    ];
    assert!(world.mails_arrive(&letters).await.is_empty());
    let kept: Vec<(String, Option<String>)> = sqlx::query_as(
        "select reason, external_account_id from communications.quarantine order by reason, external_account_id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let unknown = "UNKNOWN_ACCOUNT".to_owned();
    let expected = [
        ("SPAM".to_owned(), Some(ours.clone())),
        (unknown.clone(), Some("elsewhere.example".to_owned())),
        (unknown, Some("shop.example".to_owned())),
    ];
    assert_eq!(kept, expected);
    let selection = json!({"reason": "UNKNOWN_ACCOUNT", "external_account_id": "shop.example", "dry_run": true});
    assert_eq!(world.replays(&selection).await.matched, 1);
}
