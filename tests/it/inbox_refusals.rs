//! What every action refuses alike: another tenant's ids, input that does not read.

use crate::inbox::{answer, conversation};
use comms_core::model::UserId;
use comms_tests::world::World;
use serde_json::json;
use uuid::Uuid;

/// Another tenant's id is not found, for every action there is.
#[tokio::test]
async fn every_action_with_the_wrong_tenant_finds_nothing() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let message: Uuid = world.scalar("select id from communications.messages").await;
    let contact: Uuid = world.scalar("select id from communications.contacts").await;
    for action in inbox_actions::ACTIONS {
        let input = match *action {
            "sendAgentMessage" => answer(id, "m", "hola"),
            "cancelMessage" | "retryMessage" => json!({"message_id": message}),
            // Names no row: tests/it/replay.rs has what it finds of another tenant. The others are for administrators
            // alone: tests/it/{merges,inbox_notes,receipts,requests,templates}.rs.
            "replayMessages"
            | "mergeContacts"
            | "unmergeContacts"
            | "dismissContactReview"
            | "maskContact"
            | "unmaskContact"
            | "setReadReceipts"
            | "createApiClient"
            | "disableApiClient"
            | "saveTemplate"
            | "publishTemplate"
            | "previewTemplate" => continue,
            "blockContact" | "unblockContact" => json!({"contact_id": contact}),
            "startConversation" => {
                json!({"contact_id": contact, "channel": "WHATSAPP", "client_message_id": "m",
                       "content": {"template": {"name": "hola", "language": "es"}}})
            }
            "reassignConversation" => {
                json!({"conversation_id": id, "user_id": world.albion.agent})
            }
            "addNote" => json!({"conversation_id": id, "client_note_id": "1", "note": "x"}),
            "linkConversation" => json!({"conversation_id": id, "trip_id": null}),
            // Of a file that is there: tests/it/opened.rs.
            "openFiles" => json!({"media_ids": [message]}),
            _ => json!({"conversation_id": id}),
        };
        for role in ["dispatcher", "tenant_admin"] {
            let refused = world
                .acts_as(
                    role,
                    world.albion.tenant,
                    world.albion.agent,
                    action,
                    &input,
                )
                .await
                .unwrap_err();
            assert_eq!(refused, "not-found", "{action} as {role}");
        }
    }
    assert_eq!(
        (
            world.outbound().await.len(),
            world
                .scalar::<String>("select status from communications.conversations")
                .await
                .as_str()
        ),
        (0, "OPEN")
    );
}

#[tokio::test]
async fn bad_input_names_its_field() {
    let world = World::new().await;
    let body = comms_tests::calls::action(
        "claimConversation",
        world.iberia.tenant,
        world.iberia.agent,
        "dispatcher",
        &json!({"conversation": "x"}),
    );
    let request = comms_tests::calls::from_hasura(
        "/api/hasura/actions",
        comms_tests::world::HASURA_SECRET,
        &body,
    );
    let response = inbox_actions::handle(&world.actions, request).await;
    insta::assert_snapshot!(response.body(), @r#"{"extensions":{"code":"validation-failed","retryable":false},"message":"conversation: unknown field `conversation`, expected `conversation_id`"}"#);
    let unknown = world
        .agent_acts(
            world.iberia.tenant,
            world.iberia.agent,
            "dropTables",
            &json!({}),
        )
        .await;
    assert_eq!(unknown.unwrap_err(), "validation-failed");
}

#[tokio::test]
async fn what_the_database_cannot_hold_is_the_callers_to_mend() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let agent = world.iberia.agent;
    let nul = answer(id, "m", "a\0b");
    let refused = world
        .agent_acts(world.iberia.tenant, agent, "sendAgentMessage", &nul)
        .await;
    assert_eq!(refused.unwrap_err(), "validation-failed");
    let note = json!({"conversation_id": id, "note": "\0"});
    let refused = world
        .agent_acts(world.iberia.tenant, agent, "resolveConversation", &note)
        .await;
    assert_eq!(refused.unwrap_err(), "validation-failed");
}

/// Where dispatchers see their own and nobody's alone, another one's conversation and its messages are none for whatever they do.
#[tokio::test]
async fn what_a_dispatcher_is_not_shown_is_not_found() {
    let world = World::new().await;
    let id = conversation(&world).await;
    let (tenant, holder, other) = (world.iberia.tenant, world.iberia.agent, UserId::generate());
    let claim = json!({"conversation_id": id});
    world
        .agent_acts(tenant, holder, "claimConversation", &claim)
        .await
        .unwrap();
    let sent = world
        .agent_acts(tenant, holder, "sendAgentMessage", &answer(id, "1", "hola"))
        .await
        .unwrap();
    let message = json!({"message_id": sent["message_id"]});
    let acts = |role: &'static str, user, action: &'static str| {
        let input = match action {
            "sendAgentMessage" => answer(id, "2", "hola"),
            "cancelMessage" | "retryMessage" => message.clone(),
            "reassignConversation" => json!({"conversation_id": id, "user_id": other}),
            "addNote" => json!({"conversation_id": id, "client_note_id": "1", "note": "x"}),
            "linkConversation" => json!({"conversation_id": id, "trip_id": null}),
            _ => json!({"conversation_id": id}),
        };
        let world = &world;
        async move { world.acts_as(role, tenant, user, action, &input).await }
    };
    // Everybody is shown everything until the tenant says otherwise.
    acts("dispatcher", other, "addNote").await.unwrap();
    world
        .execute(
            "update communications.tenant_settings set inbox_visibility = 'MINE_AND_UNASSIGNED'",
        )
        .await;
    for action in [
        "claimConversation",
        "releaseConversation",
        "reassignConversation",
        "sendAgentMessage",
        "addNote",
        "linkConversation",
        "markConversationRead",
        "markConversationUnread",
        "resolveConversation",
        "reopenConversation",
        "snoozeConversation",
        "setTyping",
        "cancelMessage",
        "retryMessage",
    ] {
        let refused = acts("dispatcher", other, action).await.unwrap_err();
        assert_eq!(refused, "not-found", "{action}");
    }
    for (role, user) in [("dispatcher", holder), ("tenant_admin", other)] {
        acts(role, user, "markConversationRead").await.unwrap();
        acts(role, user, "cancelMessage").await.unwrap();
    }
    acts("dispatcher", holder, "releaseConversation")
        .await
        .unwrap();
    acts("dispatcher", other, "claimConversation")
        .await
        .unwrap();
}
