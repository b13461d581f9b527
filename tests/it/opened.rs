//! `openFiles`: links to files for whoever sees the message that brought them.

use crate::media::{JPEG, PDF, picture};
use comms_core::model::{TenantId, UserId};
use comms_providers::http::client;
use comms_simulator::Media;
use comms_tests::world::files::named;
use comms_tests::world::{Sent, World};
use serde_json::{Value, json};

async fn opens(world: &World, role: &str, user: UserId, media: &[&Sent]) -> (u16, Value) {
    let ids: Vec<_> = media.iter().map(|sent| sent.job.media_id).collect();
    let input = json!({"media_ids": ids});
    world
        .asks(role, world.iberia.tenant, user, "openFiles", &input)
        .await
}

/// What whoever has the link gets: type, disposition, bytes.
async fn got(file: &Value) -> (String, String, Vec<u8>) {
    let link = client().unwrap().get(file["url"].as_str().unwrap());
    let answer = link.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    let (kind, disposition) = (header("content-type"), header("content-disposition"));
    (kind, disposition, answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn an_agent_opens_what_a_customer_sent() {
    let world = World::new().await;
    let shown = picture(&world).await;
    let script = Media::new(world.iberia.phone_number_id, "text/html", b"<script>");
    let id = world.simulator.upload(script.clone()).unwrap();
    let mut page = named("document", &id, &script);
    page.filename = Some("años.html".to_owned());
    let page = world.customer_sends_named(page).await;
    world.step_media().await;
    let late = world
        .customer_sends("document", "application/pdf", PDF)
        .await;
    let (status, opened) = opens(
        &world,
        "dispatcher",
        world.iberia.agent,
        &[&page, &shown, &late],
    )
    .await;
    assert_eq!(status, 200, "{opened}");
    let files = &opened["files"];
    let told = |file: &Value| (file["media_id"].clone(), file["state"].clone());
    assert_eq!(told(&files[0]), (json!(page.job.media_id), json!("STORED")));
    assert_eq!(
        told(&files[2]),
        (json!(late.job.media_id), json!("PENDING"))
    );
    assert_eq!(
        (&files[2]["url"], &files[2]["expires_at"]),
        (&Value::Null, &Value::Null)
    );
    let (kind, disposition, bytes) = got(&files[0]).await;
    assert_eq!(
        (kind.as_str(), disposition.as_str(), bytes.as_slice()),
        (
            "application/octet-stream",
            "attachment; filename*=UTF-8''a%C3%B1os.html",
            b"<script>".as_slice()
        )
    );
    let (kind, disposition, bytes) = got(&files[1]).await;
    assert_eq!(
        (kind.as_str(), disposition.as_str()),
        ("image/jpeg", "inline")
    );
    assert_eq!(bytes, JPEG);
    let soon: bool =
        sqlx::query_scalar("select $1::timestamptz between now() and now() + interval '5 minutes'")
            .bind(files[1]["expires_at"].as_str().unwrap())
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert!(soon);
}

#[tokio::test]
async fn who_does_not_see_the_message_opens_nothing() {
    let world = World::new().await;
    let (sent, other) = (picture(&world).await, picture(&world).await);
    world.step_media().await;
    let (agent, colleague) = (world.iberia.agent, world.iberia.colleague);
    let both = [&sent, &other];
    assert_eq!(opens(&world, "dispatcher", colleague, &both).await.0, 200);
    let input = json!({"media_ids": [sent.job.media_id]});
    let strangers: TenantId = world.albion.tenant;
    let refused = world
        .asks("tenant_admin", strangers, agent, "openFiles", &input)
        .await;
    assert_eq!(refused.0, 404);
    world
        .execute("update communications.conversations set assigned_to = '0192f000-0000-7000-8000-0000000000e1'")
        .await;
    world
        .execute(
            "update communications.tenant_settings set inbox_visibility = 'MINE_AND_UNASSIGNED'",
        )
        .await;
    assert_eq!(opens(&world, "dispatcher", colleague, &both).await.0, 404);
    assert_eq!(opens(&world, "tenant_admin", colleague, &both).await.0, 200);
    assert_eq!(opens(&world, "dispatcher", agent, &both).await.0, 200);
    let revoke = format!(
        "update communications.messages set revoked_at = now()
          where id = (select message_id from communications.message_media where id = '{}')",
        other.job.media_id
    );
    sqlx::query(sqlx::AssertSqlSafe(revoke))
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(opens(&world, "dispatcher", agent, &both).await.0, 404);
    assert_eq!(opens(&world, "dispatcher", agent, &[&sent]).await.0, 200);
    for many in [0, 101] {
        let (status, refused) = opens(&world, "dispatcher", agent, &vec![&sent; many]).await;
        assert_eq!(
            (status, &refused["message"]),
            (400, &json!("media_ids: from 1 to 100"))
        );
    }
}
