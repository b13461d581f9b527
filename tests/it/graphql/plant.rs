//! Something of everything for two operators, and who asks for it.

use comms_tests::seed::Operator;
use comms_tests::world::World;
use sqlx::AssertSqlSafe;
use uuid::{Uuid, uuid};

/// The tenant that owns nothing.
pub const NOBODY: Uuid = uuid!("0192f000-0000-7000-8000-0000000000cc");

/// A session: role, tenant, user, contact.
#[derive(Debug, Clone)]
pub struct Session {
    pub role: &'static str,
    pub variables: Vec<(&'static str, String)>,
}

impl Session {
    /// What the token of this role carries.
    pub fn new(role: &'static str, tenant: Uuid, user: Uuid, contact: Uuid) -> Self {
        let all = [
            ("x-hasura-tenant-id", tenant, true),
            (
                "x-hasura-user-id",
                user,
                !matches!(role, "visitor" | "service"),
            ),
            ("x-hasura-contact-id", contact, role == "visitor"),
        ];
        Self {
            role,
            variables: all
                .into_iter()
                .filter(|(_, _, carried)| *carried)
                .map(|(name, value, _)| (name, value.to_string()))
                .collect(),
        }
    }

    pub fn of(role: &'static str, operator: &Operator) -> Self {
        let contact = visitor(operator);
        Self::new(role, operator.tenant.0, operator.agent.0, contact)
    }

    pub fn without(&self, name: &str) -> Self {
        let mut session = self.clone();
        session.variables.retain(|(known, _)| *known != name);
        session
    }

    pub fn variable(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let mut all = self.variables.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The contact that the operator's webchat visitor is.
pub fn visitor(operator: &Operator) -> Uuid {
    Uuid::from_u128(operator.tenant.0.as_u128() + 0x7_0000)
}

pub async fn plant(world: &World) {
    for (n, operator) in [("1", &world.iberia), ("2", &world.albion)] {
        let sql = include_str!("plant.sql")
            .replace("{tenant}", &operator.tenant.to_string())
            .replace("{agent}", &operator.agent.to_string())
            .replace("{colleague}", &operator.colleague.to_string())
            .replace("{account}", &operator.account.to_string())
            .replace("{waba}", operator.waba_id)
            .replace("{visitor}", &visitor(operator).to_string())
            .replace("{n}", n);
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&world.pool)
            .await
            .unwrap();
    }
}
