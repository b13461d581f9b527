//! What agents do: Hasura calls the actions for them.

use super::{HASURA_SECRET, World};
use crate::calls;
use crate::seed::Operator;
use comms_core::model::{TenantId, UserId};
use serde_json::Value;

impl World {
    /// An agent acts. `Err` is the error's `extensions.code`.
    pub async fn agent_acts(
        &self,
        tenant: TenantId,
        user: UserId,
        action: &str,
        input: &Value,
    ) -> Result<Value, String> {
        self.acts_as("dispatcher", tenant, user, action, input)
            .await
    }

    pub async fn acts_as(
        &self,
        role: &str,
        tenant: TenantId,
        user: UserId,
        action: &str,
        input: &Value,
    ) -> Result<Value, String> {
        let (status, answer) = self.asks(role, tenant, user, action, input).await;
        if status == 200 {
            Ok(answer)
        } else {
            Err(answer["extensions"]["code"].as_str().unwrap().to_owned())
        }
    }

    /// An administrator acts.
    pub async fn administers(
        &self,
        operator: &Operator,
        action: &str,
        input: &Value,
    ) -> Result<Value, String> {
        self.acts_as(
            "tenant_admin",
            operator.tenant,
            operator.agent,
            action,
            input,
        )
        .await
    }

    /// The whole answer, refusals included.
    pub async fn asks(
        &self,
        role: &str,
        tenant: TenantId,
        user: UserId,
        action: &str,
        input: &Value,
    ) -> (u16, Value) {
        let body = calls::action(action, tenant, user, role, input);
        let response = if channel_actions::ACTIONS.contains(&action) {
            let path = "/api/hasura/channel-actions";
            let request = calls::from_hasura(path, HASURA_SECRET, &body);
            channel_actions::handle(&self.channels, request).await
        } else {
            let request = calls::from_hasura("/api/hasura/actions", HASURA_SECRET, &body);
            inbox_actions::handle(&self.actions, request).await
        };
        let answer = serde_json::from_str(response.body()).unwrap();
        (response.status().as_u16(), answer)
    }
}
