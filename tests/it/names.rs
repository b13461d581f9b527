//! The list shows whom a conversation is with from its own row, which follows the contact.

use crate::people::{contact_of, see, writes};
use comms_core::contacts::{merge, unmerge};
use comms_core::model::ContactId;
use comms_tests::world::World;

const ANA: &str = "34600111222";
const BEA: &str = "34600999888";

/// Name and kind of everybody with a conversation, as the list shows them; the oldest conversation first.
async fn listed(world: &World) -> Vec<(Option<String>, String)> {
    sqlx::query_as(
        "select contact_name, contact_kind from communications.conversations order by created_at, id",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn known(name: &str, kind: &str) -> (Option<String>, String) {
    (Some(name.to_owned()), kind.to_owned())
}

async fn two(world: &World) -> [ContactId; 2] {
    for (second, who) in [(1, ANA), (2, BEA)] {
        see(world, &writes(second, who, "")).await;
    }
    world
        .execute(
            "update communications.contacts c
                set display_name = case i.value when '34600111222' then 'Ana' else 'Bea' end
               from communications.contact_identities i
              where i.contact_id = c.id and i.kind = 'wa_id'",
        )
        .await;
    let ana = contact_of(world, "wa_id", ANA).await.unwrap();
    [ana, contact_of(world, "wa_id", BEA).await.unwrap()]
}

#[tokio::test]
async fn the_list_knows_a_contact_by_its_present_name() {
    let world = World::new().await;
    two(&world).await;
    let (ana, bea) = (known("Ana", "CUSTOMER"), known("Bea", "CUSTOMER"));
    assert_eq!(listed(&world).await, [ana.clone(), bea]);
    world
        .execute("update communications.contacts set kind = 'DRIVER' where display_name = 'Bea'")
        .await;
    world
        .execute("update communications.contacts set masked = true")
        .await;
    assert_eq!(listed(&world).await, [ana, known("Bea", "DRIVER")]);
    world
        .execute("update communications.contacts set display_name = null where kind = 'CUSTOMER'")
        .await;
    assert_eq!(listed(&world).await[0], (None, "CUSTOMER".to_owned()));
}

/// A masked contact's name is shown as it always was; what is hidden are addresses, and a merge tells none.
#[tokio::test]
async fn a_merge_and_its_undoing_name_whose_conversation_it_is() {
    let world = World::new().await;
    let [ana, bea] = two(&world).await;
    world
        .execute("update communications.contacts set masked = true where display_name = 'Bea'")
        .await;
    // A history of Bea's that becomes Ana's, and her thread that is folded into Ana's.
    world
        .execute(
            "insert into communications.conversations (tenant_id, id, contact_id, status)
             select tenant_id, gen_random_uuid(), id, 'RESOLVED' from communications.contacts where display_name = 'Bea'",
        )
        .await;
    let (tenant, agent) = (world.iberia.tenant, world.iberia.agent);
    let before = listed(&world).await;
    let mut tx = world.database().begin().await.unwrap();
    let merged = merge(&mut tx, tenant, ana, bea, agent).await.unwrap();
    tx.commit().await.unwrap();
    let named = |name: &str, all: &[(Option<String>, String)]| {
        all.iter()
            .filter(|one| one.0.as_deref() == Some(name))
            .count()
    };
    let one = listed(&world).await;
    // The emptied thread stays the merged contact's.
    assert_eq!((named("Ana", &one), named("Bea", &one)), (2, 1));
    let mut tx = world.database().begin().await.unwrap();
    unmerge(&mut tx, tenant, merged.merge_id, agent)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(listed(&world).await, before);
}

/// Else a conversation that begins while its contact is renamed would have the old name for good.
#[tokio::test]
async fn a_conversation_does_not_begin_while_its_contact_is_renamed() {
    let world = World::new().await;
    two(&world).await;
    let mut renaming = world.pool.begin().await.unwrap();
    sqlx::query(
        "update communications.contacts set display_name = 'Ana María' where display_name = 'Ana'",
    )
    .execute(&mut *renaming)
    .await
    .unwrap();
    let mut beginning = world.pool.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '50ms'")
        .execute(&mut *beginning)
        .await
        .unwrap();
    let begun = sqlx::query(
        "insert into communications.conversations (tenant_id, id, contact_id, status)
         select tenant_id, gen_random_uuid(), id, 'RESOLVED' from communications.contacts where display_name = 'Ana'",
    )
    .execute(&mut *beginning)
    .await;
    let refused = begun.unwrap_err();
    let code = refused.as_database_error().unwrap().code();
    assert_eq!(code.as_deref(), Some("55P03"), "lock_not_available");
}
