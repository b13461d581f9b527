//! What the database itself holds, whoever writes.

use comms_core::model::MessageStatus;
use comms_tests::world::World;
use sqlx::AssertSqlSafe;
use std::collections::BTreeSet;

/// The state machine's table (docs/notification-pipeline-protocol.md): anybody's, and those only with the provider's id.
const ALLOWED: &[(&str, &str)] = &[
    ("QUEUED", "SENDING"),
    ("QUEUED", "SUPPRESSED"),
    ("QUEUED", "SIMULATED"),
    ("QUEUED", "CANCELLED"),
    ("QUEUED", "EXPIRED"),
    ("SENDING", "QUEUED"),
    ("SENDING", "SENT"),
    ("SENDING", "FAILED"),
    ("SENDING", "UNCERTAIN"),
    ("UNCERTAIN", "SENT"),
    ("UNCERTAIN", "QUEUED"),
    ("UNCERTAIN", "FAILED"),
    ("UNCERTAIN", "CANCELLED"),
    ("UNCERTAIN", "EXPIRED"),
    ("SENT", "DELIVERED"),
    ("SENT", "READ"),
    ("SENT", "FAILED"),
    ("DELIVERED", "READ"),
    ("DELIVERED", "FAILED"),
];
const ON_EVIDENCE: &[(&str, &str)] = &[
    ("QUEUED", "SENT"),
    ("QUEUED", "DELIVERED"),
    ("QUEUED", "READ"),
    ("SENDING", "DELIVERED"),
    ("SENDING", "READ"),
    ("UNCERTAIN", "DELIVERED"),
    ("UNCERTAIN", "READ"),
    ("FAILED", "DELIVERED"),
    ("FAILED", "READ"),
];

/// Every pair of states, by plain SQL, with and without evidence.
#[tokio::test]
async fn exactly_the_transitions_of_the_table_are_possible() {
    let world = World::new().await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    for evidence in [false, true] {
        let mut possible = BTreeSet::new();
        for from in MessageStatus::ALL {
            for to in MessageStatus::ALL.iter().filter(|to| *to != from) {
                if allows(&world, from.as_str(), to.as_str(), evidence).await {
                    possible.insert((from.as_str(), to.as_str()));
                }
            }
        }
        let mut expected: BTreeSet<(&str, &str)> = ALLOWED.iter().copied().collect();
        if evidence {
            expected.extend(ON_EVIDENCE);
        }
        assert_eq!(possible, expected, "with evidence: {evidence}");
    }
}

/// Tries the update in a transaction that never happens; the starting state is put there past the trigger.
async fn allows(world: &World, from: &str, to: &str, evidence: bool) -> bool {
    let lease = |status: &str| {
        if status == "SENDING" {
            "now() + interval '45 seconds'"
        } else {
            "null"
        }
    };
    let external = if evidence { "'wamid.X'" } else { "null" };
    let mut tx = world.pool.begin().await.unwrap();
    let start = format!(
        "alter table communications.messages disable trigger check_message;
         delete from communications.messages where address <> '+34600111222';
         update communications.messages set status = '{from}', attempts = 1, lease_until = {};
         alter table communications.messages enable trigger check_message",
        lease(from)
    );
    sqlx::raw_sql(AssertSqlSafe(start))
        .execute(&mut *tx)
        .await
        .unwrap();
    let update = format!(
        "update communications.messages set status = '{to}', lease_until = {}, external_message_id = {external}",
        lease(to)
    );
    sqlx::raw_sql(AssertSqlSafe(update))
        .execute(&mut *tx)
        .await
        .is_ok()
}

#[tokio::test]
async fn a_message_cannot_begin_in_the_middle() {
    let world = World::new().await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    for status in ["SENT", "DELIVERED", "FAILED", "CANCELLED"] {
        let copy = format!(
            "insert into communications.messages (tenant_id, id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category)
             select tenant_id, gen_random_uuid(), direction, channel, account_id, contact_id, sender_kind, address, content, '{status}', lane, category
               from communications.messages limit 1"
        );
        assert!(
            sqlx::raw_sql(AssertSqlSafe(copy))
                .execute(&world.pool)
                .await
                .is_err(),
            "{status}"
        );
    }
}

/// The rules of a message's row hold for every writer, at its birth and later.
#[tokio::test]
async fn no_message_breaks_a_rule() {
    let world = World::new().await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    for (column, value, rule) in [
        ("direction", "'UP'", "messages_direction_check"),
        ("channel", "'FAX'", "messages_channel_check"),
        ("sender_kind", "'DOG'", "messages_sender_kind_check"),
        ("lane", "'SLOW'", "messages_lane_check"),
        ("category", "'SPAM'", "messages_category_check"),
        ("attempts", "-1", "messages_attempts_check"),
        ("deferrals", "-1", "messages_deferrals_check"),
        ("units", "21", "messages_units_check"),
        (
            "fallback_reason",
            "'BORED'",
            "messages_fallback_reason_check",
        ),
        ("lane", "null", "messages_outbound_has_lane"),
        ("category", "null", "messages_outbound_has_lane"),
        ("direction", "'INBOUND'", "messages_inbound_is_delivered"),
        ("lease_until", "now()", "messages_sending_has_lease"),
    ] {
        let update = format!("update communications.messages set {column} = {value}");
        let copied = "tenant_id, direction, channel, account_id, contact_id, sender_kind, address, content, status, lane, category";
        let columns = copied
            .replace(&format!("{column}, "), "")
            .replace(&format!(", {column}"), "");
        let insert = format!(
            "insert into communications.messages (id, {columns}, {column})
             select gen_random_uuid(), {columns}, {value} from communications.messages limit 1"
        );
        for sql in [update, insert] {
            let error = sqlx::raw_sql(AssertSqlSafe(sql.clone()))
                .execute(&world.pool)
                .await
                .unwrap_err();
            let broken = error.as_database_error().unwrap().constraint();
            assert_eq!(broken, Some(rule), "{sql}: {error}");
        }
    }
}

/// Reports change what no index of `messages` names, so that they are heap-only updates.
#[tokio::test]
async fn a_report_touches_no_index() {
    let world = World::new().await;
    let indexed: Vec<String> = sqlx::query_scalar(
        "select distinct a.attname::text
           from pg_index i
           join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = i.indexrelid and d.refobjid = i.indrelid
           join pg_attribute a on a.attrelid = i.indrelid and a.attnum = d.refobjsubid
          where i.indrelid = 'communications.messages'::regclass
            and a.attname in ('status', 'sent_at', 'delivered_at', 'read_at', 'updated_at')",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(indexed, Vec::<String>::new());
}

/// A row of one tenant cannot point at a row of another: every foreign key carries the tenant.
#[tokio::test]
async fn every_key_contains_the_tenant() {
    let world = World::new().await;
    let keys: Vec<(String, String)> = sqlx::query_as(
        "select c.conrelid::regclass::text, c.conname from pg_constraint c join pg_namespace n on n.oid = c.connamespace
          where n.nspname = 'communications' and c.contype in ('p', 'u', 'f')
            -- What a provider gives to the whole platform is nobody's; how far the whole is counted, too; and a sender is one tenant's of all.
            and c.conrelid::regclass::text not in
                ('communications._migrations', 'communications.domain_contract', 'communications.provider_limits',
                 'communications.usage_progress', 'communications.sms_senders')
            and not exists (select from unnest(c.conkey) k join pg_attribute a on a.attrelid = c.conrelid and a.attnum = k
                             where a.attname = 'tenant_id')",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}

#[tokio::test]
async fn identifiers_follow_the_aliases_and_nothing_else() {
    let world = World::new().await;
    world
        .trip_is_delayed(&crate::intake::trip(&world, &world.iberia).await)
        .await;
    let edited = sqlx::query("update communications.contacts set identifiers = '{}'")
        .execute(&world.pool)
        .await;
    assert!(
        edited
            .unwrap_err()
            .to_string()
            .contains("contact_identities")
    );
    world
        .execute("delete from communications.contact_identities where value = '+34600111222'")
        .await;
    assert_eq!(
        world
            .scalar::<i64>("select count(*) from communications.contacts where identifiers = '{}'")
            .await,
        1
    );
}

#[tokio::test]
async fn history_is_append_only() {
    let world = World::new().await;
    let contact = comms_core::model::ContactId::generate();
    sqlx::query("insert into communications.contacts (tenant_id, id) values ($1, $2)")
        .bind(world.iberia.tenant)
        .bind(contact)
        .execute(&world.pool)
        .await
        .unwrap();
    comms_tests::seed::opt_out(&world.pool, world.iberia.tenant, contact)
        .await
        .unwrap();
    assert!(
        sqlx::query("update communications.consents set granted = true")
            .execute(&world.pool)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_unread_count_is_what_came_in_since_the_agent_read() {
    let world = World::new().await;
    for text in ["uno", "dos", "tres"] {
        world
            .customer_writes(&comms_simulator::Inbound::text("34600111222", text))
            .await;
    }
    let unread = async || {
        world
            .scalar::<i64>(
                "select communications.conversation_unread_count(c, '{\"x-hasura-user-id\": \"0192F000-0000-7000-8000-0000000000E1\"}')
                   from communications.conversations c",
            )
            .await
    };
    assert_eq!(unread().await, 3);
    world
        .execute(
            "insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
             select tenant_id, id, '0192f000-0000-7000-8000-0000000000e1', now(), 2 from communications.conversations",
        )
        .await;
    assert_eq!(unread().await, 1);
}

#[tokio::test]
async fn a_missing_domain_view_is_named() {
    let world = World::new().await;
    world.execute("drop view communications.domain_trips").await;
    let gaps: Vec<String> =
        sqlx::query_scalar("select distinct view_name from communications.domain_contract_gaps")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(gaps, ["domain_trips"]);
}

/// Each statement compiles the checks and conditions that it meets anew, and lists of words cost it most (docs/schema-communications.md).
#[tokio::test]
async fn no_report_and_no_text_meets_a_list_of_words() {
    let world = World::new().await;
    let lists: Vec<String> = sqlx::query_scalar(
        "select c.conname::text
           from pg_constraint c
          where c.contype = 'c' and pg_get_constraintdef(c.oid) like '%ARRAY[%'
            and c.conrelid in ('communications.messages'::regclass, 'communications.message_status_events'::regclass,
                               'communications.message_prices'::regclass, 'communications.conversations'::regclass,
                               'communications.whatsapp_windows'::regclass)
         union all
         select t.tgname::text
           from pg_trigger t
           join pg_attribute a on a.attrelid = t.tgrelid and a.attname = 'lease_until'
          where t.tgrelid = 'communications.messages'::regclass and pg_get_triggerdef(t.oid) like '%ARRAY[%'
            -- Only what is about the queue names it.
            and a.attnum <> all (t.tgattr)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(lists, [""; 0]);
}

/// Postgres's own log is nobody's here, and writes down what people wrote unless it is told not to: whoever deploys must hear of it.
#[tokio::test]
async fn a_migration_says_what_the_databases_log_would_hold() {
    let world = World::new().await;
    let name: String = world.scalar("select current_database()::text").await;
    let told = async |settings: [(&str, &str); 2]| {
        for (setting, value) in settings {
            let set = format!("alter database {name} set {setting} = '{value}'");
            sqlx::raw_sql(AssertSqlSafe(set))
                .execute(&world.pool)
                .await
                .unwrap();
        }
        migrate::handle(&world.database())
            .await
            .unwrap()
            .logs_of_statements
    };
    let quiet = [
        ("log_min_error_statement", "panic"),
        ("log_error_verbosity", "terse"),
    ];
    assert!(told(quiet).await.is_empty());
    let loud = [
        ("log_min_error_statement", "error"),
        ("log_min_duration_statement", "500"),
    ];
    assert_eq!(
        told(loud).await,
        [
            "log_min_duration_statement = 500",
            "log_min_error_statement = error"
        ]
    );
}
