//! What the comment of `NewMessages` asks of a client, on the rows that the engine's stream would read: an id is made before its
//! transaction commits, so a stream can have passed it.

use comms_core::model::ConversationId;
use comms_simulator::Inbound;
use comms_tests::world::World;
use sqlx::{PgExecutor, PgPool};
use uuid::Uuid;

/// Another message like the first one of the thread.
async fn writes(executor: impl PgExecutor<'_>, id: Uuid) {
    sqlx::query(
        "insert into communications.messages
             (tenant_id, id, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, status)
         select tenant_id, $1, direction, channel, account_id, contact_id, conversation_id, sender_kind, address, content, status
           from communications.messages
          order by id limit 1",
    )
    .bind(id)
    .execute(executor)
    .await
    .unwrap();
}

/// A batch of the stream.
async fn batch(pool: &PgPool, conversation: ConversationId, after: Uuid) -> Vec<Uuid> {
    let sql = "select id from communications.messages where conversation_id = $1 and id > $2 order by id limit 100";
    sqlx::query_scalar(sql)
        .bind(conversation)
        .bind(after)
        .fetch_all(pool)
        .await
        .unwrap()
}

/// The cursor that the comment describes: 60 seconds before the id.
fn before(id: Uuid) -> Uuid {
    let millis = u64::from_str_radix(&id.simple().to_string()[..12], 16).unwrap();
    Uuid::from_u128(u128::from(millis - 60_000) << 80)
}

#[tokio::test]
async fn a_stream_that_starts_a_minute_back_misses_no_slow_transaction() {
    let world = World::new().await;
    world
        .customer_writes(&Inbound::text("34600111222", "Hola"))
        .await;
    let conversation = world.only_conversation().await;
    let first = batch(&world.pool, conversation, Uuid::nil()).await[0];

    let (slow, quick) = (Uuid::now_v7(), Uuid::now_v7());
    let mut transaction = world.pool.begin().await.unwrap();
    writes(&mut *transaction, slow).await;
    writes(&world.pool, quick).await;
    assert_eq!(batch(&world.pool, conversation, first).await, [quick]);
    transaction.commit().await.unwrap();

    let missed = batch(&world.pool, conversation, quick).await;
    assert!(missed.is_empty(), "{missed:?}");
    let again = batch(&world.pool, conversation, before(quick)).await;
    assert_eq!(again, [first, slow, quick]);
}
