//! Files that customers send: the row at once, the bytes later.

use comms_core::media::Fetched;
use comms_simulator::{Media, MediaAnswer, MediaScript, MediaStep};
use comms_tests::world::files::named;
use comms_tests::world::{Sent, World};

pub const JPEG: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF a picture of a suitcase";
pub const PDF: &[u8] = b"%PDF-1.7 a ticket";

pub async fn picture(world: &World) -> Sent {
    world.customer_sends("image", "image/jpeg", JPEG).await
}

pub fn script(world: &World, sent: &Sent, step: MediaStep, answer: MediaAnswer, times: u32) {
    let script = MediaScript::new(&sent.media_id, step, answer).times(times);
    world.simulator.script_media(script);
}

pub fn calls_of(world: &World, sent: &Sent) -> Vec<(MediaStep, u16)> {
    let calls = world.simulator.media_calls().into_iter();
    calls
        .filter(|call| call.media_id == sent.media_id)
        .map(|call| (call.step, call.http_status))
        .collect()
}

pub const RESOLVED: (MediaStep, u16) = (MediaStep::Resolve, 200);
pub const DOWNLOADED: (MediaStep, u16) = (MediaStep::Download, 200);

#[tokio::test]
async fn a_file_is_a_row_at_once_and_an_object_later() {
    let world = World::new().await;
    let sent = world
        .customer_sends("document", "application/pdf", PDF)
        .await;
    let row = world.media_row(&sent).await;
    assert_eq!((row.state.as_str(), row.attempts), ("PENDING", 0));
    assert!(row.hinted, "a hint follows the commit");

    world.step_media().await;
    let row = world.media_row(&sent).await;
    assert_eq!((row.state.as_str(), row.attempts), ("STORED", 1));
    assert_eq!(row.size_bytes, Some(i64::try_from(PDF.len()).unwrap()));
    assert_eq!(row.mime_type.as_deref(), Some("application/pdf"));
    assert_eq!(
        (row.media_health.as_str(), row.send_health.as_str()),
        ("OK", "UNKNOWN")
    );
    let key = row.storage_key.unwrap();
    assert!(
        key.starts_with(&format!("{}/20", world.iberia.tenant)),
        "{key}"
    );
    let object = world.object(&key).await.unwrap();
    assert_eq!(object.bytes, PDF);
    assert_eq!(
        (object.content_type.as_str(), object.disposition.as_str()),
        ("application/pdf", "inline")
    );
    assert_eq!(calls_of(&world, &sent), [RESOLVED, DOWNLOADED]);
    assert_eq!(
        world.count("channel_account_events").await,
        0,
        "the first success is no news"
    );

    let (again, row) = world.fetch(&sent).await;
    assert_eq!((again, row.attempts), (Fetched::Nothing, 1), "once");
}

#[tokio::test]
async fn the_webhooks_url_is_tried_first_while_it_lives() {
    let world = World::new().await;
    let media = Media::new(world.iberia.phone_number_id, "image/jpeg", JPEG);
    let send = async || {
        let id = world.simulator.upload(media.clone()).unwrap();
        let mut file = named("image", &id, &media);
        file.url = Some(world.simulator.media_url(&id).unwrap());
        world.customer_sends_named(file).await
    };
    let fresh = send().await;
    assert_eq!(world.fetch(&fresh).await.0, Fetched::Stored);
    assert_eq!(calls_of(&world, &fresh), [DOWNLOADED]);

    let dead = send().await;
    world.simulator.expire_media_urls(&dead.media_id);
    assert_eq!(world.fetch(&dead).await.0, Fetched::Stored);
    assert_eq!(
        calls_of(&world, &dead),
        [(MediaStep::Download, 404), RESOLVED, DOWNLOADED]
    );

    let old = send().await;
    world
        .execute("update communications.message_media set created_at = created_at - interval '6 minutes' where state = 'PENDING'")
        .await;
    assert_eq!(world.fetch(&old).await.0, Fetched::Stored);
    assert_eq!(calls_of(&world, &old), [RESOLVED, DOWNLOADED]);
}

#[tokio::test]
async fn what_could_run_in_a_browser_is_kept_as_a_download() {
    let world = World::new().await;
    let html = b"<html><script>alert(1)</script></html>";
    let sent = world.customer_sends("document", "text/html", html).await;
    let (fetched, row) = world.fetch(&sent).await;
    assert_eq!(fetched, Fetched::Stored);
    assert_eq!(row.mime_type.as_deref(), Some("application/octet-stream"));
    let object = world.object(&row.storage_key.unwrap()).await.unwrap();
    assert_eq!(
        (object.content_type.as_str(), object.disposition.as_str()),
        ("application/octet-stream", "attachment")
    );
    let sent = world.customer_sends("image", "image/jpeg", html).await;
    let (fetched, row) = world.fetch(&sent).await;
    assert_eq!(
        (fetched, row.reason.as_deref()),
        (Fetched::Rejected, Some("wrong-type"))
    );
    assert!(world.objects_of(&sent).await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_before_and_while_it_is_read() {
    let world = World::new().await;
    let large = Media {
        size: 1024 * 1024 + 1,
        ..Media::new(world.iberia.phone_number_id, "image/jpeg", JPEG)
    };
    let id = world.simulator.upload(large.clone()).unwrap();
    let file = named("image", &id, &large);
    let sent = world.customer_sends_named(file.clone()).await;
    let (fetched, row) = world.fetch(&sent).await;
    assert_eq!(
        (fetched, row.reason.as_deref()),
        (Fetched::Rejected, Some("too-large"))
    );
    assert_eq!(
        calls_of(&world, &sent),
        [RESOLVED],
        "its size is said before"
    );

    // The provider says that a small file lies where a large one does.
    let small = picture(&world).await;
    let elsewhere = MediaAnswer::Elsewhere {
        url: world.simulator.media_url(&id).unwrap(),
    };
    script(&world, &small, MediaStep::Resolve, elsewhere, 1);
    let (fetched, row) = world.fetch(&small).await;
    assert_eq!(
        (fetched, row.reason.as_deref()),
        (Fetched::Rejected, Some("too-large"))
    );
}

#[tokio::test]
async fn an_account_in_any_state_still_has_its_files_fetched() {
    let world = World::new().await;
    for status in ["REAUTH_REQUIRED", "DISABLED"] {
        let sent = picture(&world).await;
        let sql = format!(
            "update communications.channel_accounts set status = '{status}' where channel = 'WHATSAPP'"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&world.pool)
            .await
            .unwrap();
        let (fetched, row) = world.fetch(&sent).await;
        assert_eq!((fetched, row.status.as_str()), (Fetched::Stored, status));
    }
}

const MAIL: &[u8] =
    b"From: ana@example.com\r\nTo: c@reply.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: text/plain\r\n\r\nhola\r\n\
    --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n\
    Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n\
    --b--\r\n";

#[tokio::test]
async fn an_attachment_is_cut_out_of_its_mail() {
    let world = World::new().await;
    for (place, mail, end) in [
        ("#0", true, (Fetched::Stored, "STORED", None)),
        (
            "#7",
            true,
            (Fetched::Rejected, "REJECTED", Some("no-such-part")),
        ),
        (
            "",
            true,
            (Fetched::Rejected, "REJECTED", Some("no-such-part")),
        ),
        ("#0", false, (Fetched::Later, "PENDING", Some("not-found"))),
    ] {
        let sent = world
            .customer_sends("attachment", "application/pdf", PDF)
            .await;
        let key = format!("in/{}", sent.job.media_id);
        if mail {
            world.mail_with_a_file(&key, MAIL).await;
        }
        let sql = "update communications.message_media set source = 'MAIL', source_ref = $2, declared_sha256 = null where id = $1";
        let query = sqlx::query(sql)
            .bind(sent.job.media_id)
            .bind(format!("{key}{place}"));
        query.execute(&world.pool).await.unwrap();
        let (fetched, row) = world.fetch(&sent).await;
        assert_eq!(
            (fetched, row.state.as_str(), row.reason.as_deref()),
            end,
            "{place}"
        );
        assert_eq!(
            row.media_health, "UNKNOWN",
            "a mail says nothing about credentials"
        );
        if let Some(key) = row.storage_key {
            assert_eq!(world.object(&key).await.unwrap().bytes, b"%PDF-1.4");
        }
    }
}
