//! An agent of Iberia at their desk: actions by name, on the one conversation that a test is about.

use comms_core::model::{ConversationId, UserId};
use comms_simulator::Inbound;
use comms_tests::world::World;
use serde_json::{Value, json};

/// See the module.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    pub world: &'a World,
    pub conversation: ConversationId,
    pub user: UserId,
    pub role: &'static str,
}

impl<'a> Desk<'a> {
    /// Ana has written once; nobody holds the conversation.
    pub async fn open(world: &'a World) -> Self {
        writes(world, "hola").await;
        Self {
            world,
            conversation: world.only_conversation().await,
            user: world.iberia.agent,
            role: "dispatcher",
        }
    }

    /// The same, held by the agent.
    pub async fn held(world: &'a World) -> Self {
        let desk = Self::open(world).await;
        desk.does("claimConversation", json!({})).await;
        desk
    }

    pub fn colleague(self) -> Self {
        Self {
            user: self.world.iberia.colleague,
            ..self
        }
    }

    pub fn administrator(self) -> Self {
        Self {
            user: UserId::generate(),
            role: "tenant_admin",
            ..self
        }
    }

    /// `conversation_id` is added.
    pub async fn asks(&self, action: &str, mut input: Value) -> (u16, Value) {
        input["conversation_id"] = json!(self.conversation);
        let tenant = self.world.iberia.tenant;
        self.world
            .asks(self.role, tenant, self.user, action, &input)
            .await
    }

    pub async fn does(&self, action: &str, input: Value) -> Value {
        let (status, answer) = self.asks(action, input).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    /// The refusal's extensions.
    pub async fn may_not(&self, action: &str, input: Value) -> Value {
        let (status, answer) = self.asks(action, input).await;
        assert!((400..500).contains(&status), "{action}: {status} {answer}");
        assert!(!answer["message"].as_str().unwrap().is_empty());
        answer["extensions"].clone()
    }

    pub async fn code(&self, action: &str, input: Value) -> String {
        self.may_not(action, input).await["code"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// `kind from>to` of every event, oldest first.
    pub async fn events(&self) -> Vec<String> {
        sqlx::query_scalar(
            "select kind || ' ' || coalesce(from_value, '') || '>' || coalesce(to_value, '')
               from communications.conversation_events order by at, id",
        )
        .fetch_all(&self.world.pool)
        .await
        .unwrap()
    }

    /// By Hasura's computed field.
    pub async fn unread(&self) -> i64 {
        sqlx::query_scalar(
            "select communications.conversation_unread_count(c, json_build_object('x-hasura-user-id', $1::text))
               from communications.conversations c where c.id = $2",
        )
        .bind(self.user.to_string())
        .bind(self.conversation.0)
        .fetch_one(&self.world.pool)
        .await
        .unwrap()
    }
}

/// Ana writes by WhatsApp.
pub async fn writes(world: &World, text: &str) {
    let response = world
        .customer_writes(&Inbound::text("34600111222", text))
        .await;
    assert_eq!(response.status(), 200);
}
