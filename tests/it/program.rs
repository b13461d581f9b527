//! A program that asks for notifications by HTTP, with its token.

use comms_tests::calls;
use comms_tests::world::World;
use serde_json::{Value, json};

/// A program of Iberia's, by its token.
pub struct Program<'a> {
    pub world: &'a World,
    pub token: String,
}

impl<'a> Program<'a> {
    /// An administrator makes it.
    pub async fn of(world: &'a World, scopes: &[&str]) -> Self {
        let input = json!({"name": "backoffice", "scopes": scopes});
        let (status, answer) = world
            .asks(
                "tenant_admin",
                world.iberia.tenant,
                world.iberia.agent,
                "createApiClient",
                &input,
            )
            .await;
        assert_eq!(status, 200, "{answer}");
        Self {
            world,
            token: answer["token"].as_str().unwrap().to_owned(),
        }
    }

    /// Whoever knows the token.
    pub fn with(world: &'a World, token: &str) -> Self {
        Self {
            world,
            token: token.to_owned(),
        }
    }

    /// One that may ask and look.
    pub async fn all(world: &'a World) -> Self {
        Self::of(world, &["notifications:read", "notifications:write"]).await
    }

    /// `path` may have a query; no body where it is null.
    pub async fn calls(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.posts(method, path, &body).await
    }

    /// Holds the call and its answer against docs/openapi.json.
    pub async fn posts(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query: Vec<(&str, &str)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let headers = json!({"authorization": format!("Bearer {}", self.token)});
        let request = calls::http(method, path, &json!({}), &query, &headers, body);
        let response = notifications::handle(&self.world.api(), request).await;
        let answer = serde_json::from_str(response.body()).unwrap();
        let status = response.status().as_u16();
        crate::openapi::keeps(method, path, body, (status, &answer));
        (status, answer)
    }

    /// Asks for a notification.
    pub async fn asks(&self, body: &Value) -> (u16, Value) {
        self.calls("POST", "/api/notifications", body).await
    }

    pub async fn gets(&self, body: &Value) -> Value {
        let (status, answer) = self.asks(body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}
