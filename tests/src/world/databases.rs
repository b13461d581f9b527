//! A database for each world, copied from one that is migrated once a process.

use crate::seed;
use comms_core::platform::Database;
use comms_core::platform::config::Secret;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgPoolOptions};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A copy of the migrated template: some tens of milliseconds instead of all migrations.
pub(super) async fn fresh(server: &str) -> String {
    static TEMPLATE: OnceCell<String> = OnceCell::const_new();
    let template = TEMPLATE.get_or_init(|| template(server)).await;
    let name = format!("world_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create database {name} template {template}"
    )))
    .execute(&mut connection)
    .await
    .unwrap();
    database_url(server, &name)
}

/// Migrated by the function that does it on deploy. Made anew by each process, since migrations change.
async fn template(server: &str) -> String {
    let name = format!("world_template_{}", std::process::id());
    let mut connection = PgConnection::connect(server).await.unwrap();
    drop_left_behind(&mut connection).await;
    for statement in [
        format!("drop database if exists {name} with (force)"),
        format!("create database {name}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    let url = database_url(server, &name);
    let database = Database::new(Secret::of("DATABASE_URL", url.clone().into()));
    migrate::handle(&database).await.unwrap();
    database.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    seed::domain(&pool).await.unwrap();
    pool.close().await;
    name
}

fn database_url(server: &str, name: &str) -> String {
    let (base, query) = server
        .split_once('?')
        .map_or((server, None), |(base, query)| (base, Some(query)));
    let (prefix, _) = base.rsplit_once('/').unwrap();
    format!(
        "{prefix}/{name}{}",
        query.map(|query| format!("?{query}")).unwrap_or_default()
    )
}

/// How many messages are still being sent; then the database goes.
pub(super) async fn tear_down(server: &str, url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let left =
        sqlx::query_scalar("select count(*) from communications.messages where status = 'SENDING'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap();
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("drop database {name} with (force)")))
        .execute(&mut connection)
        .await
        .unwrap();
    left
}

/// Templates of processes that are gone.
async fn drop_left_behind(connection: &mut PgConnection) {
    let sql = "select datname::text from pg_database where starts_with(datname, 'world_template_')";
    let templates: Vec<String> = sqlx::query_scalar(sql)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    for name in templates {
        let pid = name.trim_start_matches("world_template_");
        if !std::path::Path::new("/proc").join(pid).exists() {
            let drop = format!("drop database if exists {name} with (force)");
            sqlx::raw_sql(AssertSqlSafe(drop))
                .execute(&mut *connection)
                .await
                .unwrap();
        }
    }
}
