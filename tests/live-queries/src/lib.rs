//! What Hasura asks Postgres every second on behalf of the inbox, and five tenants' inboxes to ask it of.
//!
//! The engine turns each subscription of `hasura/documents/` into one statement for up to a hundred subscribers at once. The files here
//! are those statements, written by hand for the role `dispatcher`: every permission filter of `hasura/metadata` is in them, and every
//! value lies where the engine looks for it, in `result_vars`. `cargo xtask bench inbox` measures them and `tests/it/live_queries.rs`
//! guards their plans; they are not what a running engine has been seen to send. A change of a document or of a filter is one here.

use std::fmt::Write;

use serde_json::json;

/// Subscribers of one statement; the engine's default.
pub const BATCH: usize = 100;
pub const TENANTS: usize = 5;
pub const AGENTS_OF_A_TENANT: usize = 40;

const SEED: &str = include_str!("seed.sql");

/// An agent of the seed. Number 0 of each tenant holds a third of everything and has read nearly all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    pub tenant: usize,
    pub number: usize,
}

impl Agent {
    /// All agents, the tenants taking turns.
    pub fn all() -> impl Iterator<Item = Self> + Clone {
        (0..TENANTS * AGENTS_OF_A_TENANT).map(|n| Self {
            tenant: 1 + n % TENANTS,
            number: n / TENANTS,
        })
    }

    #[must_use]
    pub fn user_id(self) -> String {
        format!(
            "0192f000-0000-7000-8000-000e0{}{:06}",
            self.tenant, self.number
        )
    }

    #[must_use]
    pub fn tenant_id(self) -> String {
        format!("0192f000-0000-7000-8000-00000000a00{}", self.tenant)
    }
}

/// A subscription, or a filter of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    ListAll,
    ListMine,
    ListUnassigned,
    ListResolved,
    Thread,
    Badge,
    /// Of an agent who has thousands of open conversations, all but twenty of them read.
    BadgeOfReader,
}

impl Question {
    pub const ALL: [Self; 7] = [
        Self::ListAll,
        Self::ListMine,
        Self::ListUnassigned,
        Self::ListResolved,
        Self::Thread,
        Self::Badge,
        Self::BadgeOfReader,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ListAll => "list_all",
            Self::ListMine => "list_mine",
            Self::ListUnassigned => "list_unassigned",
            Self::ListResolved => "list_resolved",
            Self::Thread => "thread",
            Self::Badge => "badge",
            Self::BadgeOfReader => "badge_of_reader",
        }
    }

    /// The statement: `$1` are the subscribers' ids, `$2` their variables.
    #[must_use]
    pub fn sql(self) -> String {
        const LIST: &str = include_str!("conversation-list.sql");
        let filtered = |more: &str| {
            let status =
                "conversations.status = (_subs.result_vars #>> array['synthetic', '0'])::text";
            LIST.replace("$filter", &format!("{status}{more}"))
        };
        match self {
            Self::ListAll | Self::ListResolved => filtered(""),
            Self::ListMine => filtered(
                " and conversations.assigned_to = (_subs.result_vars #>> array['synthetic', '1'])::uuid",
            ),
            Self::ListUnassigned => filtered(" and conversations.assigned_to is null"),
            Self::Thread => include_str!("conversation-thread.sql").to_owned(),
            Self::Badge | Self::BadgeOfReader => include_str!("unread-badge.sql").to_owned(),
        }
    }

    /// Whether this agent asks it.
    #[must_use]
    pub fn asked_by(self, agent: Agent) -> bool {
        match self {
            Self::Badge => agent.number != 0,
            Self::BadgeOfReader => agent.number == 0,
            _ => true,
        }
    }

    /// A subscriber's variables, as the engine files them. `conversation` is the open thread.
    #[must_use]
    pub fn variables(self, agent: Agent, conversation: &str) -> String {
        let user = agent.user_id();
        let session = json!({
            "x-hasura-role": "dispatcher", "x-hasura-tenant-id": agent.tenant_id(), "x-hasura-user-id": user,
        });
        let (query, synthetic) = match self {
            Self::ListAll | Self::ListUnassigned => (json!({}), json!(["OPEN"])),
            Self::ListMine => (json!({}), json!(["OPEN", user])),
            Self::ListResolved => (json!({}), json!(["RESOLVED"])),
            Self::Thread => (json!({"conversation_id": conversation}), json!([])),
            Self::Badge | Self::BadgeOfReader => (json!({}), json!([])),
        };
        json!({"session": session, "query": query, "synthetic": synthetic}).to_string()
    }
}

/// The two parameters of a statement, as Postgres reads arrays.
#[must_use]
pub fn parameters(variables: &[String]) -> [String; 2] {
    let (mut ids, mut vars) = (String::from("{"), String::from("{"));
    for (number, one) in variables.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let escaped = one.replace('\\', "\\\\").replace('"', "\\\"");
        // Writing to a String does not fail.
        let _infallible = write!(ids, "{comma}00000000-0000-4000-8000-{number:012}");
        let _infallible = write!(vars, "{comma}\"{escaped}\"");
    }
    [ids + "}", vars + "}"]
}

/// The statement with its parameters in it, to be explained or repeated by hand.
#[must_use]
pub fn inlined(question: Question, variables: &[String]) -> String {
    let [ids, vars] = parameters(variables);
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    question
        .sql()
        .replace("$1", &quoted(&ids))
        .replace("$2", &quoted(&vars))
}

/// Finds threads that fill a page, the live ones first: `tenant_id, id`.
#[must_use]
pub fn long_threads(rows: usize) -> String {
    format!(
        "select tenant_id, id from communications.conversations where inbound_count >= 25 order by status, md5(id::text) limit {rows}"
    )
}

/// What writes the inboxes: titles and statements, for one session, each a transaction or a command that must not be in one.
///
/// # Panics
/// When `conversations` is no multiple of a hundred.
#[must_use]
pub fn seed(conversations: usize) -> Vec<(String, String)> {
    assert!(
        conversations > 0 && conversations.is_multiple_of(100),
        "a multiple of a hundred"
    );
    SEED.split("-- → ")
        .skip(1)
        .map(|step| {
            let (title, sql) = step.split_once('\n').unwrap_or_default();
            let sql = sql.replace(":conversations", &conversations.to_string());
            (title.to_owned(), sql)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_variables_where_the_statements_look() {
        let agent = Agent {
            tenant: 2,
            number: 7,
        };
        for question in Question::ALL {
            let sql = question.sql();
            assert!(!sql.contains("$filter"));
            let variables: serde_json::Value =
                serde_json::from_str(&question.variables(agent, "c")).unwrap_or_default();
            for place in ["0", "1"] {
                let asked = sql.contains(&format!("array['synthetic', '{place}']"));
                let index: usize = place.parse().unwrap_or_default();
                assert_eq!(
                    asked,
                    variables["synthetic"].get(index).is_some(),
                    "{question:?}"
                );
            }
        }
    }

    #[test]
    fn writes_arrays_that_postgres_reads() {
        let [ids, vars] = parameters(&["{\"a\": 1}".to_owned(), "{}".to_owned()]);
        assert_eq!(
            ids,
            "{00000000-0000-4000-8000-000000000000,00000000-0000-4000-8000-000000000001}"
        );
        assert_eq!(vars, "{\"{\\\"a\\\": 1}\",\"{}\"}");
    }

    #[test]
    fn knows_the_steps_of_the_seed() {
        let steps = seed(20_000);
        assert_eq!(steps.len(), 6);
        assert!(steps.iter().all(|(_, sql)| !sql.contains(":conversations")));
    }
}
