//! WhatsApp's window: what may be sent when it is closed, and what waited until it was.

use crate::desk::{Desk, writes};
use crate::inbox_channels::{newest, says};
use comms_tests::world::World;
use serde_json::json;

async fn template(world: &World, name: &str, status: &str, element: Option<&str>) {
    sqlx::query(
        "insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status, category, components)
         values ($1, $2, $3, 'es', $4, 'UTILITY', case when $5::text is not null then jsonb_build_array(jsonb_build_object('type', 'BODY', 'text', $5::text)) end)",
    )
    .bind(world.iberia.tenant)
    .bind(world.iberia.waba_id)
    .bind(name)
    .bind(status)
    .bind(element)
    .execute(&world.pool)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_closed_window_says_what_may_be_sent_instead() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    template(
        &world,
        "viaje",
        "APPROVED",
        Some("Hola {{1}}, sale a las {{2}}."),
    )
    .await;
    template(&world, "promo", "PAUSED", None).await;
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() - interval '1 second'",
        )
        .await;
    let closed = desk
        .may_not("sendAgentMessage", says("1", &json!({"text": "hola"})))
        .await;
    assert_eq!(
        closed,
        json!({"code": "window-closed", "retryable": false, "templates": [
            {"name": "viaje", "language": "es", "category": "UTILITY",
             "components": [{"type": "BODY", "text": "Hola {{1}}, sale a las {{2}}."}]}]})
    );
    let sends = |body: &[&str], name: &str| {
        says(
            "1",
            &json!({"template": {"name": name, "language": "es", "body": body}}),
        )
    };
    let refused = desk
        .asks("sendAgentMessage", sends(&["Ana"], "viaje"))
        .await
        .1;
    assert_eq!(
        refused["message"],
        "content.template.body must have a value for {{2}}"
    );
    let refused = desk.may_not("sendAgentMessage", sends(&[], "promo")).await;
    assert_eq!(
        (refused["code"].clone(), refused["status"].clone()),
        (json!("template-not-approved"), json!("PAUSED"))
    );
    desk.does("sendAgentMessage", sends(&["Ana", "9:00"], "viaje"))
        .await;
    assert_eq!(newest(&world).await.3, "Hola Ana, sale a las 9:00.");
    let preview: String = world
        .scalar("select preview from communications.conversations")
        .await;
    assert_eq!(preview, "Hola Ana, sale a las 9:00.");
    // One that Meta never told us of is Meta's to judge.
    desk.does("sendAgentMessage", json!({"client_message_id": "2", "content": {"template": {"name": "nuevo", "language": "es", "buttons": null, "body_names": null}}})).await;
    assert_eq!(newest(&world).await.3, "[template: nuevo]");
}

/// It was written in time and waited: the claim ends it, nobody calls the provider, and it can be sent again once they write.
#[tokio::test]
async fn free_form_that_waited_too_long_does_not_leave() {
    let world = World::new().await;
    let desk = Desk::held(&world).await;
    let sent = desk
        .does("sendAgentMessage", says("1", &json!({"text": "hola"})))
        .await;
    world
        .execute(
            "update communications.whatsapp_windows set open_until = now() - interval '1 second'",
        )
        .await;
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["EXPIRED"]);
    assert!(world.simulator.calls().is_empty());
    let code: String = world
        .scalar("select failed_code from communications.messages where direction = 'OUTBOUND'")
        .await;
    assert_eq!(code, "window-closed");
    let again = json!({"message_id": sent["message_id"]});
    let retry = || world.agent_acts(world.iberia.tenant, desk.user, "retryMessage", &again);
    assert_eq!(retry().await.unwrap_err(), "window-closed");
    writes(&world, "¿sigue ahí?").await;
    retry().await.unwrap();
    world.step_dispatch().await;
    assert_eq!(world.outbound().await, ["EXPIRED", "SENT"]);
}
