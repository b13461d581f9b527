//! The registry's triggers: each fires on its own change of the host's rows or at its own time, once, for the right people.

mod changes;
pub mod host;
pub mod quiet;
mod time;

use comms_core::automation::{REGISTRY, editing};
use comms_tests::world::World;
use std::collections::BTreeSet;

/// The platform's words and rules for all of them, in both languages, on every channel that a rule names.
#[tokio::test]
async fn every_trigger_has_a_rule_for_each_audience_and_words_for_each_channel() {
    let world = World::new().await;
    for trigger in REGISTRY {
        let extra = comms_core::automation::firing_audiences(trigger);
        for audience in trigger.audiences.iter().chain(extra) {
            let channels: Vec<String> = sqlx::query_scalar(
                "select s ->> 'channel' from communications.notification_rules r, jsonb_array_elements(r.steps) s
                  where r.tenant_id = communications.platform_tenant() and r.trigger_event = $1 and r.audience = $2 and r.enabled",
            )
            .bind(trigger.event)
            .bind(audience.as_str())
            .fetch_all(&world.pool)
            .await
            .unwrap();
            assert!(
                channels.len() > 1,
                "{} {}",
                trigger.event,
                audience.as_str()
            );
            for channel in channels {
                let locales: Vec<String> = sqlx::query_scalar(
                    "select locale from communications.notification_templates
                      where tenant_id = communications.platform_tenant() and trigger_event = $1 and channel = $2
                        and status = 'PUBLISHED' order by 1",
                )
                .bind(trigger.event)
                .bind(&channel)
                .fetch_all(&world.pool)
                .await
                .unwrap();
                assert_eq!(locales, ["en", "es"], "{} {channel}", trigger.event);
            }
        }
    }
}

/// What the platform's templates say is what the trigger tells, and the schema beside them says the same.
#[tokio::test]
async fn no_template_says_what_its_trigger_does_not_tell() {
    let world = World::new().await;
    let rows: Vec<(String, String, serde_json::Value)> = sqlx::query_as(
        "select trigger_event, coalesce(subject, '') || ' ' || body || ' ' || coalesce(html, '') || ' ' || coalesce(whatsapp_template::text, ''),
                variable_schema
           from communications.notification_templates where tenant_id = communications.platform_tenant()",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(rows.len(), 22 * 2 * 3);
    for (event, text, schema) in rows {
        let known = editing::variable_names(&event).unwrap();
        let used: BTreeSet<&str> = text
            .split("{{ ")
            .skip(1)
            .map(|rest| rest.split(" }}").next().unwrap())
            .collect();
        let said: BTreeSet<&str> = schema
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(used, said, "{event}: {text}");
        for name in used {
            assert!(known.contains(&name), "{event}: {name}");
        }
    }
}
