//! Read marks: unread is what came after the agent's mark, in the order of arrival, and costs no counting.

use crate::desk::{Desk, writes};
use comms_simulator::Inbound;
use comms_tests::world::World;
use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

/// The count that the computed field must equal.
async fn counted(desk: &Desk<'_>) -> i64 {
    sqlx::query_scalar(
        "select count(*) from communications.messages m
           left join communications.conversation_read_cursors r
             on r.tenant_id = m.tenant_id and r.conversation_id = m.conversation_id and r.user_id = $2
          where m.conversation_id = $1 and m.direction = 'INBOUND' and not m.muted
            and m.created_at > coalesce(r.last_read_at, '-infinity')",
    )
    .bind(desk.conversation.0)
    .bind(desk.user.0)
    .fetch_one(&desk.world.pool)
    .await
    .unwrap()
}

async fn message(world: &World, body: &str) -> Uuid {
    sqlx::query_scalar("select id from communications.messages where body = $1")
        .bind(body)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn each_agent_has_read_for_themselves() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    let colleague = desk.colleague();
    writes(&world, "dos").await;
    assert_eq!((desk.unread().await, colleague.unread().await), (2, 2));
    assert_eq!(
        desk.does("markConversationRead", json!({})).await["unread"],
        0
    );
    assert_eq!((desk.unread().await, colleague.unread().await), (0, 2));
    writes(&world, "tres").await;
    assert_eq!((desk.unread().await, colleague.unread().await), (1, 3));
}

#[tokio::test]
async fn a_mark_goes_as_far_as_it_says_and_never_back() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    for text in ["dos", "tres"] {
        writes(&world, text).await;
    }
    let up_to = async |text: &str| -> Value {
        let input = json!({"up_to": message(&world, text).await});
        desk.does("markConversationRead", input).await["unread"].clone()
    };
    assert_eq!(up_to("dos").await, 1);
    assert_eq!(up_to("tres").await, 0);
    assert_eq!(up_to("hola").await, 0, "another window's older mark");
    assert_eq!(
        desk.code("markConversationRead", json!({"up_to": Uuid::now_v7()}))
            .await,
        "not-found"
    );
    assert_eq!(
        desk.does("markConversationUnread", json!({})).await["unread"],
        1
    );
    assert_eq!((desk.unread().await, counted(&desk).await), (1, 1));
    assert_eq!(up_to("dos").await, 1);
}

/// The provider's clock orders the thread; what an agent has not seen is new, however old it says it is.
#[tokio::test]
async fn what_comes_late_is_unread() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    desk.does("markConversationRead", json!({})).await;
    let mut late = Inbound::text("34600111222", "de ayer");
    late.timestamp -= 86_400;
    world.customer_writes(&late).await;
    assert_eq!((desk.unread().await, counted(&desk).await), (1, 1));
    desk.does(
        "markConversationRead",
        json!({"up_to": message(&world, "de ayer").await}),
    )
    .await;
    assert_eq!(desk.unread().await, 0);
}

#[tokio::test]
async fn nothing_is_lost_between_a_mark_and_what_comes_meanwhile() {
    let world = World::new().await;
    let desk = Desk::open(&world).await;
    for round in 0..5 {
        let texts: Vec<String> = (0..6).map(|n| format!("{round}/{n}")).collect();
        let come = join_all(texts.iter().map(|text| writes(&world, text)));
        let marks = join_all((0..4).map(|_| desk.does("markConversationRead", json!({}))));
        tokio::join!(come, marks);
        assert_eq!(desk.unread().await, counted(&desk).await);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Writes { late: bool, blocked: bool },
    Reads,
    ReadsUpTo(prop::sample::Index),
    Unreads,
    Merges,
    Parts,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<bool>(), prop::bool::weighted(0.2)).prop_map(|(late, blocked)| Step::Writes { late, blocked }),
        2 => Just(Step::Reads),
        2 => any::<prop::sample::Index>().prop_map(Step::ReadsUpTo),
        1 => Just(Step::Unreads),
        1 => Just(Step::Merges),
        1 => Just(Step::Parts),
    ]
}

/// Whatever happens, the subtraction is the count, for two agents.
#[test]
fn unread_equals_the_count() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let world = runtime.block_on(World::new());
    let config = ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = prop::test_runner::TestRunner::new(config);
    let lives = prop::collection::vec((any::<bool>(), step()), 1..14);
    runner
        .run(&lives, |steps| {
            runtime.block_on(async {
                world.forget_everything().await;
                live(&world, &steps).await
            })
        })
        .unwrap();
}

async fn live(world: &World, steps: &[(bool, Step)]) -> Result<(), TestCaseError> {
    let mine = Desk::open(world).await;
    for (n, (first, step)) in steps.iter().enumerate() {
        let desk = if *first { mine } else { mine.colleague() };
        match step {
            Step::Writes { late, blocked } => come(world, n, *late, *blocked).await,
            Step::Reads => drop(desk.does("markConversationRead", json!({})).await),
            Step::ReadsUpTo(which) => {
                let ids: Vec<Uuid> = sqlx::query_scalar(
                    "select id from communications.messages where conversation_id = $1 order by created_at",
                )
                .bind(desk.conversation.0)
                .fetch_all(&world.pool)
                .await
                .unwrap();
                let input = json!({"up_to": which.get(&ids)});
                desk.does("markConversationRead", input).await;
            }
            Step::Unreads => drop(desk.does("markConversationUnread", json!({})).await),
            Step::Merges => merge_with_somebody(&mine, n).await,
            Step::Parts => part(&mine).await,
        }
        // What the badge asks instead of the marks.
        let stale = "conversations c where seen_by <> array(
            select user_id from communications.conversation_read_cursors r
             where r.conversation_id = c.id and r.inbound_seen >= c.inbound_count order by user_id)";
        prop_assert_eq!(world.count(stale).await, 0, "after {:?}", step);
        // And what the list asks.
        let stale = "conversations c where read_by <> array(
            select user_id::text from communications.conversation_read_cursors r where r.conversation_id = c.id order by user_id)
            or read_to <> array(
            select inbound_seen from communications.conversation_read_cursors r where r.conversation_id = c.id order by user_id)";
        prop_assert_eq!(world.count(stale).await, 0, "after {:?}", step);
        for desk in [mine, mine.colleague()] {
            prop_assert_eq!(
                desk.unread().await,
                counted(&desk).await,
                "after {:?}",
                step
            );
        }
    }
    Ok(())
}

async fn come(world: &World, n: usize, late: bool, blocked: bool) {
    if blocked {
        world
            .execute("update communications.contacts set blocked_at = now()")
            .await;
    }
    let mut inbound = Inbound::text("34600111222", &format!("message {n}"));
    if late {
        inbound.timestamp -= 3_600;
    }
    world.customer_writes(&inbound).await;
    world
        .execute("update communications.contacts set blocked_at = null")
        .await;
}

/// Somebody else wrote, the colleague has read it, and it turns out to be the same person.
async fn merge_with_somebody(desk: &Desk<'_>, n: usize) {
    let world = desk.world;
    let other = Inbound::text(&format!("3461000{n:04}"), "también yo");
    world.customer_writes(&other).await;
    let (contact, thread): (Uuid, Uuid) = sqlx::query_as(
        "select contact_id, id from communications.conversations where id <> $1 and status = 'OPEN'",
    )
    .bind(desk.conversation.0)
    .fetch_one(&world.pool)
    .await
    .unwrap();
    let kept: Uuid =
        sqlx::query_scalar("select contact_id from communications.conversations where id = $1")
            .bind(desk.conversation.0)
            .fetch_one(&world.pool)
            .await
            .unwrap();
    let mut theirs = desk.colleague();
    theirs.conversation = comms_core::model::ConversationId(thread);
    theirs.does("markConversationRead", json!({})).await;
    let input = json!({"kept_contact_id": kept, "merged_contact_id": contact});
    let merged = world
        .acts_as(
            "tenant_admin",
            world.iberia.tenant,
            desk.user,
            "mergeContacts",
            &input,
        )
        .await;
    merged.unwrap();
}

/// The newest merge is undone, where there is one.
async fn part(desk: &Desk<'_>) {
    let merges: Vec<Uuid> = sqlx::query_scalar(
        "select id from communications.contact_merges where undone_at is null order by id desc limit 1",
    )
    .fetch_all(&desk.world.pool)
    .await
    .unwrap();
    for merge in merges {
        let input = json!({"merge_id": merge});
        let tenant = desk.world.iberia.tenant;
        let parted = desk
            .world
            .acts_as("tenant_admin", tenant, desk.user, "unmergeContacts", &input)
            .await;
        parted.unwrap();
    }
}
