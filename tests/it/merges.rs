//! Two contacts become one and two again: nothing is lost, and undoing restores exactly what was there.

use crate::matrix::{messages, text};
use crate::people::{changes, contact_of, person, see, writes};
use comms_core::contacts::{Alias, AliasKind, MergeError, Sighting, merge, resolve, unmerge};
use comms_core::model::{ContactId, MergeId, PassengerProfileId, TenantId};
use comms_core::platform::clock;
use comms_providers::event::PersonChangeKind;
use comms_simulator::Inbound;
use comms_tests::seed::Traveller;
use comms_tests::world::World;
use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

pub const ANA: &str = "34600111222";
pub const ANNA: &str = "34600999888";

/// Two contacts, each with a thread and a message.
pub async fn two(world: &World) -> (ContactId, ContactId) {
    see(world, &writes(1, ANA, "")).await;
    see(world, &writes(2, ANNA, "")).await;
    (of(world, ANA).await, of(world, ANNA).await)
}

pub async fn of(world: &World, wa_id: &str) -> ContactId {
    contact_of(world, "wa_id", wa_id).await.unwrap()
}

pub async fn merged(
    world: &World,
    tenant: TenantId,
    kept: ContactId,
    taken: ContactId,
) -> Result<MergeId, MergeError> {
    let mut tx = world.database().begin().await.unwrap();
    let merged = merge(&mut tx, tenant, kept, taken, world.iberia.agent).await?;
    tx.commit().await.unwrap();
    Ok(merged.merge_id)
}

pub async fn undone(world: &World, tenant: TenantId, id: MergeId) -> Result<(), MergeError> {
    let mut tx = world.database().begin().await.unwrap();
    unmerge(&mut tx, tenant, id, world.iberia.agent).await?;
    tx.commit().await.unwrap();
    Ok(())
}

/// Every row that names a contact or a thread, without what only says when it was touched.
pub async fn rows(world: &World) -> BTreeMap<String, Value> {
    let keys = [
        ("contacts", "id"),
        ("contact_identities", "kind || value"),
        ("contact_former_identities", "kind || value || until"),
        ("consents", "id"),
        ("conversations", "id"),
        (
            "conversation_read_cursors",
            "conversation_id::text || user_id",
        ),
        ("whatsapp_windows", "account_id::text || contact_id"),
        ("messages", "id"),
        ("message_reactions", "target_external_id || contact_id"),
        ("message_revisions", "external_message_id"),
        ("contact_reviews", "id"),
    ];
    let mut rows = BTreeMap::new();
    for (table, key) in keys {
        let sql = format!(
            "select '{table} ' || ({key})::text, to_jsonb(t) - 'updated_at' from communications.{table} t"
        );
        let found: Vec<(String, Value)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&world.pool)
            .await
            .unwrap();
        rows.extend(found);
    }
    rows
}

/// What must hold at any time, whoever is merged with whom.
async fn broken(world: &World) -> Vec<String> {
    let mut broken = crate::shown::broken(world).await;
    let of_threads: Vec<String> = sqlx::query_scalar(
        "select 'count of ' || v.id from communications.conversations v
          where v.inbound_count <> (select count(*) from communications.messages m
                                     where m.conversation_id = v.id and m.direction = 'INBOUND' and not m.muted)
         union all
         select 'owner of ' || m.id from communications.messages m
           join communications.conversations v on v.id = m.conversation_id where v.contact_id <> m.contact_id
         union all
         select 'address of ' || m.id from communications.messages m
          where not exists (select from communications.contact_identities i
                             where i.contact_id = m.contact_id and i.value = m.address)
         union all
         select 'seen of ' || r.conversation_id from communications.conversation_read_cursors r
           join communications.conversations v on v.id = r.conversation_id
          where r.inbound_seen > v.inbound_count and v.inbound_count > 0
         union all
         select 'name of ' || v.id from communications.conversations v
           join communications.contacts c on c.tenant_id = v.tenant_id and c.id = v.contact_id
          where (v.contact_name, v.contact_kind) is distinct from (c.display_name, c.kind)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    broken.extend(of_threads);
    broken
}

#[tokio::test]
async fn two_live_threads_become_one_and_nothing_unread_is_lost() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    world
        .execute("insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen)
                  select tenant_id, id, '0192f000-0000-7000-8000-0000000000e1', now(), 1 from communications.conversations where preview = 'hola' order by id limit 1")
        .await;
    world
        .execute("insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
                  select tenant_id, gen_random_uuid(), contact_id, 'WHATSAPP', 'TRANSACTIONAL', false, 'opt-out', 'test'
                    from communications.contact_identities where value = '34600999888'")
        .await;
    let before = rows(&world).await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    assert_eq!(merged(&world, tenant, kept, taken).await.unwrap(), id);
    let threads: Vec<(String, i64)> = sqlx::query_as(
        "select status, inbound_count from communications.conversations order by inbound_count",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        threads,
        [("RESOLVED".to_owned(), 0), ("OPEN".to_owned(), 2)]
    );
    let allowed: bool = sqlx::query_scalar(
        "select communications.consent_allows($1, $2, 'WHATSAPP', 'TRANSACTIONAL')",
    )
    .bind(tenant)
    .bind(kept)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(!allowed, "a no of either is a no");
    assert_eq!(of(&world, ANNA).await, kept);
    assert_eq!(broken(&world).await, Vec::<String>::new());

    undone(&world, tenant, id).await.unwrap();
    assert_eq!(rows(&world).await, before);
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(rows(&world).await, before, "undone once");
    let kinds: Vec<(String, i64)> = sqlx::query_as(
        "select kind, count(*) from communications.conversation_events group by kind order by kind",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let expected = [("MERGED", 2), ("OPENED", 2), ("UNMERGED", 2)];
    assert_eq!(
        kinds,
        expected.map(|(kind, count)| (kind.to_owned(), count))
    );
}

#[tokio::test]
async fn what_came_since_goes_by_its_address() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    for second in 3..23 {
        let wa_id = [ANA, ANNA][usize::try_from(second % 2).unwrap()];
        see(&world, &writes(second, wa_id, "")).await;
    }
    // Learned together with the number that comes back.
    see(&world, &writes(30, ANNA, "ES.5")).await;
    see(&world, &writes(31, "", "ES.5")).await;
    assert_eq!(
        world
            .count("conversations where status <> 'RESOLVED'")
            .await,
        1
    );
    undone(&world, tenant, id).await.unwrap();
    let counted: Vec<(ContactId, i64)> = sqlx::query_as(
        "select contact_id, inbound_count from communications.conversations where status = 'OPEN' order by inbound_count",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(counted, [(kept, 11), (taken, 13)]);
    assert_eq!(contact_of(&world, "bsuid", "ES.5").await, Some(taken));
    assert_eq!(broken(&world).await, Vec::<String>::new());
    assert_eq!(
        world
            .count("contact_reviews where resolution is null")
            .await,
        0
    );
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let (a, b) = two(&world).await;
    see(&world, &writes(3, "34600555444", "")).await;
    let c = of(&world, "34600555444").await;
    let (tenant, other) = (world.iberia.tenant, world.albion.tenant);
    let before = rows(&world).await;
    let refused = [
        merged(&world, tenant, a, a).await.unwrap_err(),
        merged(&world, other, a, b).await.unwrap_err(),
        merged(&world, tenant, a, ContactId::generate())
            .await
            .unwrap_err(),
        undone(&world, tenant, MergeId::generate())
            .await
            .unwrap_err(),
    ];
    assert!(
        matches!(
            refused,
            [
                MergeError::Itself,
                MergeError::NotFound,
                MergeError::NotFound,
                MergeError::NotFound
            ]
        ),
        "{refused:?}"
    );
    assert_eq!(rows(&world).await, before);

    let first = merged(&world, tenant, a, b).await.unwrap();
    assert!(
        matches!(merged(&world, tenant, c, b).await, Err(MergeError::Merged(contact)) if contact == b)
    );
    assert!(
        matches!(merged(&world, tenant, b, c).await, Err(MergeError::Merged(contact)) if contact == b)
    );
    let second = merged(&world, tenant, c, a).await.unwrap();
    assert_eq!(of(&world, ANNA).await, c);
    assert!(
        matches!(undone(&world, tenant, first).await, Err(MergeError::LaterMerge(merge)) if merge == second)
    );
    assert!(matches!(
        undone(&world, other, second).await,
        Err(MergeError::NotFound)
    ));
    for merge in [second, first] {
        undone(&world, tenant, merge).await.unwrap();
    }
    assert_eq!(rows(&world).await, before);
}

/// Both were told of the delay: two messages of one run become one contact's.
#[tokio::test]
async fn two_recipients_of_one_run_can_be_merged() {
    let world = World::new().await;
    let travellers = vec![
        Traveller::new("Ana", Some("+34600111222"), Some("es")),
        Traveller::new("Anna", Some("+34600999888"), Some("es")),
    ];
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", travellers)
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    let before = rows(&world).await;
    let contact = async |phone: &str| contact_of(&world, "phone", phone).await.unwrap();
    let (a, b) = (contact("+34600111222").await, contact("+34600999888").await);
    let id = merged(&world, world.iberia.tenant, a, b).await.unwrap();
    let steps: Vec<i16> =
        sqlx::query_scalar("select step from communications.messages order by step")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(steps, [0, 100]);
    undone(&world, world.iberia.tenant, id).await.unwrap();
    assert_eq!(rows(&world).await, before);
}

#[tokio::test]
async fn ten_messages_while_contacts_are_merged_and_parted_are_all_there() {
    let world = World::new().await;
    let (a, b) = two(&world).await;
    let tenant = world.iberia.tenant;
    let webhooks: Vec<_> = (0..10)
        .map(|n| {
            let inbound = Inbound::text([ANA, ANNA][n % 2], &format!("{n}"));
            world
                .simulator
                .signed_inbound(world.iberia.phone_number_id, &inbound)
                .unwrap()
        })
        .collect();
    let posts = join_all(
        webhooks
            .iter()
            .map(|webhook| world.meta_posts(tenant, webhook)),
    );
    let merges = async {
        for _ in 0..3 {
            let id = merged(&world, tenant, a, b).await.unwrap();
            undone(&world, tenant, id).await.unwrap();
        }
        merged(&world, tenant, a, b).await.unwrap()
    };
    let (answers, id) = futures_util::future::join(posts, Box::pin(merges)).await;
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(world.count("messages").await, 12);
    assert_eq!(broken(&world).await, Vec::<String>::new());
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(broken(&world).await, Vec::<String>::new());
    for contact in [a, b] {
        let count: i64 = sqlx::query_scalar(
            "select count(*) from communications.messages where contact_id = $1",
        )
        .bind(contact)
        .fetch_one(&world.pool)
        .await
        .unwrap();
        assert_eq!(count, 6);
    }
}

#[tokio::test]
async fn two_merges_of_one_pair_at_once_are_one_merge() {
    let world = World::new().await;
    let (a, b) = two(&world).await;
    let tenant = world.iberia.tenant;
    let (one, other) = futures_util::future::join(
        Box::pin(merged(&world, tenant, a, b)),
        Box::pin(merged(&world, tenant, b, a)),
    )
    .await;
    assert_eq!(
        usize::from(one.is_ok()) + usize::from(other.is_ok()),
        1,
        "{one:?} {other:?}"
    );
    assert_eq!(
        world.count("contacts where merged_into is not null").await,
        1
    );
}

#[tokio::test]
async fn merging_is_for_administrators_of_the_tenant() {
    let world = World::new().await;
    let (a, b) = two(&world).await;
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    let pair = json!({"kept_contact_id": a, "merged_contact_id": b});
    let by = async |role: &str, tenant, action: &str, input: &Value| {
        world.acts_as(role, tenant, agent, action, input).await
    };
    let code = |answer: Result<Value, String>| answer.unwrap_err();
    assert_eq!(
        code(by("dispatcher", tenant, "mergeContacts", &pair).await),
        "forbidden"
    );
    let foreign = world.albion.tenant;
    assert_eq!(
        code(by("tenant_admin", foreign, "mergeContacts", &pair).await),
        "not-found"
    );
    for action in ["blockContact", "unblockContact"] {
        let input = json!({"contact_id": a});
        assert_eq!(
            code(by("dispatcher", foreign, action, &input).await),
            "not-found"
        );
    }
    let itself = json!({"kept_contact_id": a, "merged_contact_id": a});
    assert_eq!(
        code(by("tenant_admin", tenant, "mergeContacts", &itself).await),
        "validation-failed"
    );
    see(&world, &writes(3, "34600555444", "ES.5")).await;
    see(&world, &writes(4, ANNA, "ES.5")).await;
    let review: uuid::Uuid = world
        .scalar("select id from communications.contact_reviews")
        .await;
    let review = json!({"review_id": review});
    assert_eq!(
        code(by("tenant_admin", foreign, "dismissContactReview", &review).await),
        "not-found"
    );
    let answer = by("tenant_admin", tenant, "mergeContacts", &pair)
        .await
        .unwrap();
    let undo = json!({"merge_id": answer["merge_id"]});
    let open: bool = world
        .scalar("select contact_a = kept_id or contact_b = kept_id from communications.contact_reviews, communications.contact_merges")
        .await;
    assert!(open, "the question is about the kept contact now");
    assert_eq!(
        code(by("tenant_admin", foreign, "unmergeContacts", &undo).await),
        "not-found"
    );
    let undone = by("tenant_admin", tenant, "unmergeContacts", &undo)
        .await
        .unwrap();
    assert_eq!(undone, answer);
    // This pair's own question is answered by a merge.
    let c = of(&world, "34600555444").await;
    let pair = json!({"kept_contact_id": b, "merged_contact_id": c});
    by("tenant_admin", tenant, "mergeContacts", &pair)
        .await
        .unwrap();
    let resolution: String = world
        .scalar("select resolution from communications.contact_reviews")
        .await;
    assert_eq!(resolution, "MERGED");
    let later = by("tenant_admin", tenant, "dismissContactReview", &review).await;
    assert_eq!(later.unwrap()["resolution"], "MERGED");
}

/// A table that names contacts, and that nobody thought of when merging, would keep pointing at nobody.
#[tokio::test]
async fn every_table_that_names_a_contact_is_merged() {
    let world = World::new().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select distinct c.conrelid::regclass::text from pg_constraint c
          where c.contype = 'f' and c.confrelid = 'communications.contacts'::regclass order by 1",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let handled = [
        "consents",
        "contact_former_identities",
        "contact_identities",
        "contact_merges",
        "contact_reviews",
        "conversations",
        "message_reactions",
        "message_revisions",
        "messages",
        "whatsapp_windows",
    ];
    assert_eq!(
        tables,
        handled.map(|table| format!("communications.{table}"))
    );
}

#[derive(Debug, Clone)]
enum Step {
    Writes(usize),
    Resolve(usize),
    Snooze(usize),
    Mark(usize),
    OptsOut(usize),
    Reacts(usize),
    IsRenamed(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0_usize..2;
    prop_oneof![
        5 => who().prop_map(Step::Writes),
        1 => who().prop_map(Step::Resolve),
        1 => who().prop_map(Step::Snooze),
        1 => who().prop_map(Step::Mark),
        1 => who().prop_map(Step::OptsOut),
        1 => who().prop_map(Step::Reacts),
        1 => who().prop_map(Step::IsRenamed),
    ]
}

/// Something happens to one of the two.
async fn take(world: &World, people: [ContactId; 2], second: i64, step: &Step) {
    let live =
        "from communications.conversations v where v.contact_id = $1 and v.status <> 'RESOLVED'";
    let (who, sql) = match step {
        Step::Writes(who) => return see(world, &writes(second, [ANA, ANNA][*who], "")).await,
        Step::Resolve(who) => (who, "update communications.conversations v set status = 'RESOLVED', snoozed_until = null where contact_id = $1 and status <> 'RESOLVED'".to_owned()),
        Step::Snooze(who) => (who, "update communications.conversations v set status = 'SNOOZED', snoozed_until = now() + interval '1 hour' where contact_id = $1 and status = 'OPEN'".to_owned()),
        Step::Mark(who) => (who, format!("insert into communications.conversation_read_cursors (tenant_id, conversation_id, user_id, last_read_at, inbound_seen) select v.tenant_id, v.id, '0192f000-0000-7000-8000-0000000000e1', clock_timestamp(), communications.inbound_until(v.tenant_id, v.id, clock_timestamp()) {live} on conflict do nothing")),
        Step::OptsOut(who) => (who, "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source) select tenant_id, gen_random_uuid(), id, 'WHATSAPP', 'MARKETING', random() < 0.5, 'word', 'test' from communications.contacts where id = $1".to_owned()),
        Step::Reacts(who) => (who, "insert into communications.message_reactions select tenant_id, account_id, external_message_id, contact_id, 'CONTACT', '+', external_message_id, now() from communications.messages where contact_id = $1 limit 1 on conflict do nothing".to_owned()),
        Step::IsRenamed(who) => (who, "update communications.contacts set display_name = case when random() < 0.5 then 'Ana María' end, kind = 'DRIVER' where id = $1".to_owned()),
    };
    sqlx::query(AssertSqlSafe(sql))
        .bind(people[*who])
        .execute(&world.pool)
        .await
        .unwrap();
}

/// What later messages may change of a row.
fn lasting((key, row): (&String, &Value)) -> (String, Value) {
    let mut row = row.clone();
    if key.starts_with("conversations") {
        row = json!({"contact_id": row["contact_id"], "assigned_to": row["assigned_to"], "trip_id": row["trip_id"]});
    } else if key.starts_with("whatsapp_windows") {
        row = json!({"contact_id": row["contact_id"]});
    }
    (key.clone(), row)
}

async fn life(world: &World, before: &[Step], after: &[usize]) -> Result<(), TestCaseError> {
    world
        .execute("truncate communications.contacts, communications.messages, communications.conversations, communications.contact_merges cascade")
        .await;
    let (a, b) = two(world).await;
    let tenant = world.iberia.tenant;
    let mut second = 3;
    for step in before {
        take(world, [a, b], second, step).await;
        second += 1;
    }
    let old = rows(world).await;
    let messages = world.count("messages").await;
    let id = merged(world, tenant, a, b).await.unwrap();
    prop_assert_eq!(broken(world).await, Vec::<String>::new(), "merged");
    for who in after {
        take(world, [a, b], second, &Step::Writes(*who)).await;
        second += 1;
    }
    undone(world, tenant, id).await.unwrap();
    prop_assert_eq!(broken(world).await, Vec::<String>::new(), "undone");
    let new = rows(world).await;
    if after.is_empty() {
        prop_assert_eq!(&new, &old);
    }
    let new: BTreeMap<String, Value> = new.iter().map(lasting).collect();
    for (key, row) in old.iter().map(lasting) {
        prop_assert_eq!(new.get(&key), Some(&row), "{}", key);
    }
    let more = i64::try_from(after.len()).unwrap();
    prop_assert_eq!(world.count("messages").await, messages + more);
    Ok(())
}

#[test]
fn whatever_two_people_lived_through_they_are_two_again() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let lives = (
        prop::collection::vec(step(), 0..10),
        prop::collection::vec(0_usize..2, 0..5),
    );
    runner
        .run(&lives, |(before, after)| {
            runtime.block_on(Box::pin(life(&world, &before, &after)))
        })
        .unwrap();
    runtime.block_on(async { drop(world) });
}

/// A word of one of them, so many seconds ago.
pub async fn says(world: &World, wa_id: &str, text: &str, ago: i64) {
    let said = Inbound::text(wa_id, text);
    let said = Inbound {
        timestamp: said.timestamp - ago,
        ..said
    };
    assert_eq!(world.customer_writes(&said).await.status(), 200);
}

async fn may_be_told(world: &World, contact: ContactId) -> bool {
    sqlx::query_scalar("select communications.consent_allows($1, $2, 'WHATSAPP', 'TRANSACTIONAL')")
        .bind(world.iberia.tenant)
        .bind(contact)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_stop_from_before_the_merge_counts_also_when_it_comes_after_it() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    says(&world, ANNA, "START", 100).await;
    merged(&world, world.iberia.tenant, kept, taken)
        .await
        .unwrap();
    assert!(may_be_told(&world, kept).await);
    says(&world, ANA, "STOP", 50).await;
    assert!(!may_be_told(&world, kept).await);
}

#[tokio::test]
async fn a_yes_said_while_they_were_one_is_theirs_whose_message_said_it() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    says(&world, ANA, "STOP", 100).await;
    says(&world, ANNA, "STOP", 90).await;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    says(&world, ANNA, "START", 50).await;
    assert!(may_be_told(&world, kept).await);
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(
        (
            may_be_told(&world, kept).await,
            may_be_told(&world, taken).await
        ),
        (false, true)
    );

    // Whose the provider's word is, nobody can say.
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    world
        .execute(
            "insert into communications.consents (tenant_id, id, contact_id, channel, category, granted, basis, source)
             select tenant_id, gen_random_uuid(), contact_id, 'WHATSAPP', 'TRANSACTIONAL', true, 'told the provider', 'provider'
               from communications.contact_identities where value = '34600111222'",
        )
        .await;
    assert!(may_be_told(&world, kept).await);
    undone(&world, tenant, id).await.unwrap();
    assert!(!may_be_told(&world, kept).await);
}

#[tokio::test]
async fn a_number_that_changed_while_they_were_one_goes_with_whom_it_is_of() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let new = "34600777666";
    let change = changes(
        5,
        PersonChangeKind::Number,
        person(ANNA, ""),
        person(new, ""),
    );
    see(&world, &change).await;
    see(&world, &writes(6, new, "")).await;
    assert_eq!(of(&world, new).await, kept);
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(of(&world, new).await, taken);
    let writers: Vec<ContactId> = sqlx::query_scalar(
        "select contact_id from communications.messages where direction = 'INBOUND' and address like '%34600777666'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(writers, [taken, taken], "the notice and the text");
}

/// The host changed the number of whom it knows by a profile; they go apart with it.
#[tokio::test]
async fn what_a_profile_taught_while_they_were_one_goes_with_the_profile() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    let profile = PassengerProfileId::generate();
    sqlx::query("update communications.contacts set passenger_profile_id = $2 where id = $1")
        .bind(taken)
        .bind(profile)
        .execute(&world.pool)
        .await
        .unwrap();
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let sighting = Sighting {
        aliases: vec![Alias::new(AliasKind::Phone, "+34600777666")],
        passenger_profile: Some(profile),
        ..Sighting::new(tenant)
    };
    let mut tx = world.database().begin().await.unwrap();
    assert_eq!(resolve(&mut tx, &[sighting]).await.unwrap(), [kept]);
    tx.commit().await.unwrap();
    undone(&world, tenant, id).await.unwrap();
    let now = contact_of(&world, "phone", "+34600777666").await;
    assert_eq!(now, Some(taken));
}

/// Parted, they have the windows that what each wrote to us has opened.
#[tokio::test]
async fn what_was_written_to_a_group_opens_no_window_when_they_are_parted() {
    let world = World::new().await;
    let (taken, kept) = two(&world).await;
    let tenant = world.iberia.tenant;
    let mut told = text(
        "wamid.group",
        clock::now().unix_timestamp(),
        "¿dónde estáis?",
    );
    told["group_id"] = json!("Y2FwaV9ncm91cDoxNzA1");
    messages(&world, &[told]).await;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(
        world
            .count("whatsapp_windows where open_until > now()")
            .await,
        0
    );
}

/// Also what came late, from before the other one's last word.
#[tokio::test]
async fn what_the_kept_one_wrote_while_they_were_one_opens_their_window() {
    let world = World::new().await;
    let now = clock::now().unix_timestamp();
    let wrote = async |wa_id: &str, hours: i64| {
        says(&world, wa_id, "hola", hours * 3600).await;
        of(&world, wa_id).await
    };
    let (kept, taken) = (wrote(ANA, 10).await, wrote(ANNA, 1).await);
    let tenant = world.iberia.tenant;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    wrote(ANA, 5).await;
    undone(&world, tenant, id).await.unwrap();
    let until: Vec<(ContactId, i64)> = sqlx::query_as(
        "select contact_id, extract(epoch from open_until)::bigint from communications.whatsapp_windows order by open_until",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let hours: Vec<(ContactId, i64)> = until
        .into_iter()
        .map(|(contact, until)| (contact, (until - now + 1800).div_euclid(3600)))
        .collect();
    assert_eq!(hours, [(kept, 19), (taken, 23)]);
}

/// The list shows again what it showed.
#[tokio::test]
async fn the_list_shows_what_it_showed_when_messages_are_counted_again() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    // The last word of one was a mail, of the other a text that is deleted.
    world
        .execute(
            "update communications.messages set content = '{\"type\": \"email\", \"subject\": \"Billete\"}', body = 'Adjunto.'
              where address = '+34600111222'",
        )
        .await;
    world
        .execute(
            "update communications.messages set content = '{\"type\": \"revoked\"}', body = '', revoked_at = now() where address = '+34600999888'",
        )
        .await;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    for wa_id in [ANA, ANNA] {
        see(&world, &writes(0, wa_id, "")).await;
    }
    undone(&world, tenant, id).await.unwrap();
    let previews: Vec<String> =
        sqlx::query_scalar("select preview from communications.conversations order by preview")
            .fetch_all(&world.pool)
            .await
            .unwrap();
    assert_eq!(previews, ["Billete – Adjunto.", "[deleted]"]);
}

#[tokio::test]
async fn another_thread_that_lives_meanwhile_is_no_obstacle_to_parting_them() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    let older = uuid::Uuid::now_v7();
    let thread = |sql: &'static str| sqlx::query(sql).bind(older).execute(&world.pool);
    thread(
        "insert into communications.conversations (tenant_id, id, contact_id, status)
         select tenant_id, $1, contact_id, 'RESOLVED' from communications.contact_identities where value = '34600999888'",
    )
    .await
    .unwrap();
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    thread("update communications.conversations set status = 'RESOLVED' where status <> 'RESOLVED' and id <> $1")
        .await
        .unwrap();
    thread("update communications.conversations set status = 'OPEN' where id = $1")
        .await
        .unwrap();
    undone(&world, tenant, id).await.unwrap();
    let live: Vec<(uuid::Uuid, ContactId)> = sqlx::query_as(
        "select id, contact_id from communications.conversations where status <> 'RESOLVED'",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(live, [(older, taken)]);
    assert_eq!(broken(&world).await, Vec::<String>::new());
}

#[tokio::test]
async fn with_the_link_goes_what_somebody_is() {
    let world = World::new().await;
    let (kept, taken) = two(&world).await;
    let tenant = world.iberia.tenant;
    world
        .execute(
            "update communications.contacts set kind = 'DRIVER', driver_id = gen_random_uuid()
              where id = (select contact_id from communications.contact_identities where value = '34600999888')",
        )
        .await;
    let before = rows(&world).await;
    let id = merged(&world, tenant, kept, taken).await.unwrap();
    let kind: String = world
        .scalar("select kind from communications.contacts where merged_into is null")
        .await;
    assert_eq!(kind, "DRIVER");
    assert_eq!(broken(&world).await, Vec::<String>::new());
    undone(&world, tenant, id).await.unwrap();
    assert_eq!(rows(&world).await, before);
}
