//! The whole answer to every file in events/inbox-actions and events/channel-actions, in `events/*.snap`: what a client may build on.

use comms_tests::world::World;
use lambda_http::request;
use serde_json::Value;
use std::path::PathBuf;

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");

/// Ana (contact C2) has written D2, agent E1 holds their thread C1 and answers with D1, the window is open; Tom is contact C3.
const STATE: &str = r#"
    insert into communications.contacts (tenant_id, id, display_name) values
        ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000c2', 'Ana García'),
        ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000c3', 'Tom Baker');
    insert into communications.contact_identities (tenant_id, kind, value, contact_id) values
        ('0192f000-0000-7000-8000-00000000000a', 'phone', '+34600111222', '0192f000-0000-7000-8000-0000000000c2'),
        ('0192f000-0000-7000-8000-00000000000a', 'email', 'ana@example.org', '0192f000-0000-7000-8000-0000000000c2');
    insert into communications.conversations
        (tenant_id, id, contact_id, assigned_to, inbound_count, last_inbound_at, last_inbound_channel, last_inbound_account)
    values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000c1', '0192f000-0000-7000-8000-0000000000c2',
            '0192f000-0000-7000-8000-0000000000e1', 1, now(), 'WHATSAPP', '0192f000-0000-7000-8000-0000000000aa');
    insert into communications.messages
        (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, body, status,
         lane, category, expires_at, external_message_id, delivered_at)
    values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000d2', 'INBOUND', 'WHATSAPP',
            '0192f000-0000-7000-8000-0000000000aa', '0192f000-0000-7000-8000-0000000000c2', '0192f000-0000-7000-8000-0000000000c1',
            'CONTACT', '+34600111222', '{"type": "text", "body": "hola"}', 'hola', 'DELIVERED', null, null, null, 'wamid.d2', now()),
           ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000d1', 'OUTBOUND', 'WHATSAPP',
            '0192f000-0000-7000-8000-0000000000aa', '0192f000-0000-7000-8000-0000000000c2', '0192f000-0000-7000-8000-0000000000c1',
            'AGENT', '+34600111222', '{"type": "text", "body": "ahora"}', 'ahora', 'QUEUED', 'INTERACTIVE', 'SERVICE',
            now() + interval '1 day', null, null);
    insert into communications.whatsapp_windows (tenant_id, account_id, contact_id, open_until)
    values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000aa', '0192f000-0000-7000-8000-0000000000c2',
            now() + interval '1 hour');
    insert into communications.whatsapp_templates (tenant_id, waba_id, name, language, status, category, components)
    values ('0192f000-0000-7000-8000-00000000000a', '200000000000001', 'viaje', 'es', 'APPROVED', 'UTILITY',
            '[{"type": "BODY", "text": "Hola {{1}}, sale a las {{2}}."}]')
    on conflict do nothing;
    insert into communications.contact_reviews (tenant_id, id, contact_a, contact_b, evidence)
    values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000c5', '0192f000-0000-7000-8000-0000000000c2',
            '0192f000-0000-7000-8000-0000000000c3', '[]')
"#;

/// What else must be so for a case.
fn before(case: &str) -> &'static str {
    match case {
        "claim-conversation" => "update communications.conversations set assigned_to = null",
        "reopen-conversation" => "update communications.conversations set status = 'RESOLVED'",
        "send-agent-message-closed" => "update communications.whatsapp_windows set open_until = now() - interval '1 second'",
        "retry-message" => "update communications.messages set status = 'CANCELLED' where direction = 'OUTBOUND'",
        "mark-conversation-unread" => {
            "insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
             select tenant_id, id, '0192f000-0000-7000-8000-0000000000e1', clock_timestamp(), 1 from communications.conversations"
        }
        "unmerge-contacts" => {
            "select communications.merge_contacts(jsonb_build_object(
                'tenant_id', '0192f000-0000-7000-8000-00000000000a', 'merge_id', '0192f000-0000-7000-8000-0000000000c4',
                'kept_id', '0192f000-0000-7000-8000-0000000000c2', 'merged_id', '0192f000-0000-7000-8000-0000000000c3',
                'by', '0192f000-0000-7000-8000-0000000000e1'))"
        }
        "publish-template" => {
            "insert into communications.notification_templates (tenant_id, id, trigger_event, channel, locale, version, body, variable_schema)
             values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000f1', 'TRIP_DELAYED', 'SMS', 'es', 1,
                     'Retraso de {{ trip.code }}', '{\"trip.code\": \"string\"}')"
        }
        "disable-api-client" => {
            "insert into communications.api_clients (tenant_id, id, name, token_sha256, scopes)
             values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000f2', 'n8n', sha256('x'),
                     '{notifications:write}')"
        }
        "open-files" => {
            "insert into communications.message_media (tenant_id, id, message_id, account_id, kind, source, source_ref, expires_at)
             values ('0192f000-0000-7000-8000-00000000000a', '0192f000-0000-7000-8000-0000000000d3', '0192f000-0000-7000-8000-0000000000d2',
                     '0192f000-0000-7000-8000-0000000000aa', 'image', 'META', '1', now() + interval '7 days')"
        }
        "unblock-contact" => "update communications.contacts set blocked_at = now()",
        _ => "select",
    }
}

fn files(function: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(EVENTS).join(function);
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let case = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (case, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Ids and times that are made anew each time are left out.
fn fixed(mut answer: Value, case: &str) -> Value {
    let made = [
        "message_id",
        "merge_id",
        "blocked_at",
        "conversation_id",
        "event_id",
        "template_id",
        "client_id",
        "token",
        "status_changed_at",
        "channel_account_id",
    ];
    for (name, value) in answer.as_object_mut().unwrap() {
        let known = value
            .as_str()
            .is_none_or(|id| id.starts_with("0192f000-0000-7000"));
        // A note's is made of the agent and the client's id.
        if made.contains(&name.as_str()) && !known && case != "add-note" {
            *value = "(new)".into();
        }
    }
    answer
}

#[tokio::test]
async fn every_action_file_gets_its_golden_answer() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    world
        .execute(
            "insert into operations.trips (id, tenant_id, code, origin, destination, departure_at, timezone)
             values ('0192f000-0000-7000-8000-0000000000a1', '0192f000-0000-7000-8000-00000000000a', 'MAD-VLC-0815',
                     'Madrid', 'Valencia', now(), 'Europe/Madrid')",
        )
        .await;
    let mut lines = Vec::new();
    for (case, text) in files("inbox-actions") {
        world.forget_everything().await;
        sqlx::raw_sql(STATE).execute(&world.pool).await.unwrap();
        world.execute(before(&case)).await;
        let request = request::from_str(&text).unwrap();
        let response = inbox_actions::handle(&world.actions, request).await;
        let answer = fixed(serde_json::from_str(response.body()).unwrap(), &case);
        lines.push(format!("{case}: {} {answer}", response.status().as_u16()));
    }
    golden("inbox-actions", &lines);
}

#[tokio::test]
async fn every_file_of_channel_actions_gets_its_golden_answer() {
    let world = World::new().await;
    let mut lines = Vec::new();
    for (case, text) in files("channel-actions") {
        world.forget_everything().await;
        let request = request::from_str(&text).unwrap();
        let response = channel_actions::handle(&world.channels, request).await;
        let answer = fixed(serde_json::from_str(response.body()).unwrap(), &case);
        lines.push(format!("{case}: {} {answer}", response.status().as_u16()));
    }
    golden("channel-actions", &lines);
}

fn golden(function: &str, lines: &[String]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(EVENTS);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(function, lines.join("\n")));
}
