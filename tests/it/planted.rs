//! Many messages at once: copies of one real message, to addresses of their own, as they are or as they ended.

use crate::intake::ANA;
use comms_core::model::MessageId;
use comms_simulator::{Answer, Script};
use comms_tests::seed::Traveller;
use comms_tests::world::World;
use serde_json::Value;
use sqlx::AssertSqlSafe;

/// Ana's trip is late: one QUEUED message of the first operator. Answers its id.
pub async fn one(world: &World) -> MessageId {
    let ana = Traveller::new("Ana García", Some(ANA), Some("es")).with_email("ana@example.com");
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", vec![ana])
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    world
        .scalar("select id from communications.messages where step = 0")
        .await
}

/// So many more like it, QUEUED, each to an address of its own.
pub async fn more(world: &World, of: MessageId, count: i32) {
    let sql =
        "insert into communications.messages
               (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, body, template_id,
                template_version, variables, status, lane, category, expires_at, hint_at)
         select m.tenant_id, communications.uuid_v7(), m.direction, m.channel, m.account_id, m.contact_id, m.sender_kind,
                '+3461' || lpad(n::text, 7, '0'), m.content, m.body, m.template_id, m.template_version, m.variables, 'QUEUED',
                m.lane, m.category, m.expires_at, m.hint_at
           from communications.messages m, generate_series(1, $2) n where m.id = $1";
    let query = sqlx::query(sql).bind(of).bind(count);
    query.execute(&world.pool).await.unwrap();
}

/// Everything outbound ended like this an hour ago, at its first attempt. Past the triggers, as no service could.
pub async fn end_all(world: &World, status: &str, class: &str, code: &str) {
    let sql = format!(
        "begin;
         set local session_replication_role = replica;
         update communications.messages
            set status = '{status}', attempts = 1, failed_code = '{code}', updated_at = now() - interval '1 hour',
                failed_at = case when '{status}' = 'FAILED' then now() - interval '1 hour' end,
                expired_at = case when '{status}' = 'EXPIRED' then now() - interval '1 hour' end
          where direction = 'OUTBOUND' and status = 'QUEUED';
         insert into communications.message_attempts (tenant_id, message_id, fence, attempt, finished_at, class)
         select tenant_id, id, 1, 1, now(), '{class}' from communications.messages where direction = 'OUTBOUND'
         on conflict do nothing;
         commit"
    );
    let run = sqlx::raw_sql(AssertSqlSafe(sql));
    run.execute(&world.pool).await.unwrap();
}

/// The provider refuses the next send with this code of Meta's.
pub fn fails(code: i64) -> Script {
    Script {
        answer: Answer::Fail {
            code,
            http_status: None,
            subcode: None,
            is_transient: false,
            retry_after: None,
        },
        ..Script::default()
    }
}

/// The provider takes the next send and never says so.
pub fn doubt() -> Script {
    Script {
        answer: Answer::HangUp { accepted: true },
        ..Script::default()
    }
}

/// An action by the first operator's agent. `Err` is the code.
pub async fn acts(world: &World, action: &str, input: &Value) -> Result<Value, String> {
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    world.agent_acts(tenant, agent, action, input).await
}
