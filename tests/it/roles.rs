//! docs/deploying.md: the database roles as it makes them, and no more rights than that.

use comms_core::inbound::Reception;
use comms_core::platform::Database;
use comms_core::platform::config::Secret;
use comms_simulator::Inbound;
use comms_tests::stack::setting;
use comms_tests::world::World;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};

const GUIDE: &str = include_str!("../../docs/deploying.md");

/// Where this process' own roles and database stand for those of the guide.
struct Roles {
    server: String,
    name: String,
}

impl Roles {
    fn new(purpose: &str) -> Self {
        Self {
            server: setting("DATABASE_URL").unwrap(),
            name: format!("guide_{purpose}_{}", std::process::id()),
        }
    }

    /// The guide's statements.
    fn statements(&self) -> String {
        let (_, rest) = GUIDE.split_once("```sql\n").unwrap();
        let (sql, _) = rest.split_once("```").unwrap();
        let named = sql.replace("communications_owner", &format!("{}_owner", self.name));
        named
            .replace("communications_service", &format!("{}_service", self.name))
            .replace("database app", &format!("database {}", self.name))
            .replace('…', "x")
    }

    /// As whoever may make roles.
    async fn at(&self, database: &str) -> PgConnection {
        let (base, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (server, _) = base.rsplit_once('/').unwrap();
        PgConnection::connect(&format!("{server}/{database}?{query}"))
            .await
            .unwrap()
    }

    fn url(&self, user: &str, database: &str) -> String {
        let (base, query) = self.server.split_once('?').unwrap_or((&self.server, ""));
        let (server, _) = base.rsplit_once('/').unwrap();
        let (_, host) = server.rsplit_once('@').unwrap();
        format!("postgres://{user}:x@{host}/{database}?{query}")
    }

    fn database(&self, role: &str, database: &str) -> Database {
        let url = self.url(&format!("{}_{role}", self.name), database);
        Database::new(Secret::of("DATABASE_URL", url.into()))
    }

    async fn forget(&self) {
        let mut server = PgConnection::connect(&self.server).await.unwrap();
        let drop = format!("drop database if exists {} with (force)", self.name);
        raw_sql(AssertSqlSafe(drop))
            .execute(&mut server)
            .await
            .unwrap();
        for role in ["owner", "service"] {
            let drop = format!("drop role if exists {}_{role}", self.name);
            raw_sql(AssertSqlSafe(drop))
                .execute(&mut server)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn the_owner_migrates_and_the_service_reads_and_writes_and_changes_nothing_else() {
    let roles = Roles::new("owner");
    roles.forget().await;
    let mut server = PgConnection::connect(&roles.server).await.unwrap();
    let create = format!("create database {}", roles.name);
    raw_sql(AssertSqlSafe(create))
        .execute(&mut server)
        .await
        .unwrap();
    let mut admin = roles.at(&roles.name).await;
    raw_sql(AssertSqlSafe(roles.statements()))
        .execute(&mut admin)
        .await
        .unwrap();
    let owner = roles.database("owner", &roles.name);
    migrate::handle(&owner).await.unwrap();
    owner.close().await;
    let lacking = format!(
        "select count(*) from pg_class c
          where c.relnamespace = 'communications'::regnamespace and c.relkind in ('r', 'v')
            and not has_table_privilege('{0}_service', c.oid, 'select, insert, update, delete')",
        roles.name
    );
    let lacking: i64 = sqlx::query_scalar(AssertSqlSafe(lacking))
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(lacking, 0);
    let mut service =
        PgConnection::connect(&roles.url(&format!("{}_service", roles.name), &roles.name))
            .await
            .unwrap();
    for statement in [
        "create table communications.mine (id int)",
        "drop table communications.messages",
        "truncate communications.messages",
        "create schema mine",
    ] {
        let refused = raw_sql(statement).execute(&mut service).await.unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        assert_eq!(code.as_deref(), Some("42501"), "{statement}");
    }
    for connection in [admin, service] {
        connection.close().await.unwrap();
    }
    roles.forget().await;
}

/// A customer writes, an agent answers, the scan looks: with the rights that the guide gives.
#[tokio::test]
async fn the_service_does_its_work_with_these_rights() {
    let mut world = World::new().await;
    let roles = Roles::new("service");
    let name: String = world.scalar("select current_database()::text").await;
    let service = format!("{}_service", roles.name);
    let made = format!("drop role if exists {service}; create role {service} login password 'x'");
    raw_sql(AssertSqlSafe(made))
        .execute(&world.pool)
        .await
        .unwrap();
    let granted = format!(
        "grant usage on schema communications to {service};
         grant select, insert, update, delete on all tables in schema communications to {service}"
    );
    raw_sql(AssertSqlSafe(granted))
        .execute(&world.pool)
        .await
        .unwrap();
    let database = || roles.database("service", &name);
    world.webhook.reception = Reception::new(&database());
    world.actions.backend.database = database();
    world.scan.database = database();
    let hello = Inbound::text("34600111222", "hola");
    assert_eq!(world.customer_writes(&hello).await.status(), 200);
    let conversation = world.only_conversation().await;
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    for (action, input) in [
        (
            "claimConversation",
            json!({"conversation_id": conversation}),
        ),
        (
            "sendAgentMessage",
            json!({"conversation_id": conversation, "client_message_id": "1", "content": {"text": "hola"}}),
        ),
    ] {
        world
            .agent_acts(tenant, agent, action, &input)
            .await
            .unwrap();
    }
    stuck_scan::handle(&world.scan).await.unwrap();
    world.step_dispatch().await;
    assert_eq!(
        world
            .count("messages where status in ('SENT', 'DELIVERED')")
            .await,
        2
    );
    let gone = format!("drop owned by {service}; drop role {service}");
    raw_sql(AssertSqlSafe(gone))
        .execute(&world.pool)
        .await
        .unwrap();
}
