//! Reports that come before the settle, after it, twice and in any order: what was reported decides, and nothing else.

use crate::faults::messages;
use crate::matrix::{T, post, text};
use comms_core::model::{DispatchMessageJob, MessageId};
use comms_simulator::{Script, StatusStep};
use comms_tests::world::World;
use futures_util::future::{Either, select};
use serde_json::json;

/// Lets the worker call the provider for all its messages, holds it before it sees the answers, and goes on after `then`.
pub async fn held_before_settle(
    world: &World,
    jobs: &[DispatchMessageJob],
    then: impl Future<Output = ()>,
) {
    world
        .simulator
        .script(Script::delay(200).times(u32::try_from(jobs.len()).unwrap()));
    let before = world.simulator.calls().len();
    let dispatch = Box::pin(world.worker.dispatch(jobs));
    let called = Box::pin(world.simulator.wait_for_calls(before + jobs.len()));
    let Either::Right((_, dispatch)) = select(dispatch, called).await else {
        panic!("settled before it could be held");
    };
    then.await;
    dispatch.await.unwrap();
}

const WORDS: [&str; 4] = ["sent", "delivered", "read", "failed"];

/// All orders of all choices among the words, but for the empty one.
fn sequences() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    let mut from = 0;
    while from < all.len() {
        for word in WORDS {
            if !all[from].contains(&word) {
                let longer = all[from].iter().copied().chain([word]).collect();
                all.push(longer);
            }
        }
        from += 1;
    }
    all.remove(0);
    all
}

async fn reported(
    world: &World,
    jobs: &[DispatchMessageJob],
    words: impl Fn(usize) -> Vec<&'static str>,
) {
    for (nth, job) in jobs.iter().enumerate() {
        let id = job.message_id.to_string();
        let calls = world.simulator.calls();
        let call = calls
            .iter()
            .find(|call| call.correlation.as_deref() == Some(id.as_str()));
        let wamid = call.unwrap().wamid.clone().unwrap();
        for word in words(nth) {
            let step = match word {
                "failed" => StatusStep::failed(131_026),
                other => StatusStep::from(other),
            };
            assert_eq!(world.provider_reports(&wamid, &step).await.status(), 200);
        }
    }
}

/// Every order of every choice of reports, cut at every place into what comes before the settle and what comes after it,
/// and all of it once more at the end: what was reported decides, and nothing else.
#[tokio::test]
async fn reports_before_and_after_the_settle_end_in_the_same_row_in_any_order_and_number() {
    let world = World::new().await;
    let sequences = sequences();
    assert_eq!(sequences.len(), 4 + 12 + 24 + 24);
    for cut in 0..=WORDS.len() {
        let jobs = messages(&world, sequences.len()).await;
        let before = |nth: usize| sequences[nth].iter().copied().take(cut).collect();
        let after = |nth: usize| {
            let words = &sequences[nth];
            words
                .iter()
                .skip(cut)
                .chain(words.iter().rev())
                .copied()
                .collect()
        };
        let early = Box::pin(reported(&world, &jobs, before));
        held_before_settle(&world, &jobs, early).await;
        reported(&world, &jobs, after).await;
        for (job, words) in jobs.iter().zip(&sequences) {
            assert_eq!(
                row(&world, job.message_id).await,
                expected(words),
                "{words:?}, cut at {cut}"
            );
        }
        world.forget_messages().await;
    }
}

type Row = (String, bool, bool, bool, Option<String>, i32);

async fn row(world: &World, message: MessageId) -> Row {
    sqlx::query_as(
        "select status, sent_at is not null, delivered_at is not null, read_at is not null, failed_code, attempts
           from communications.messages where id = $1",
    )
    .bind(message)
    .fetch_one(&world.pool)
    .await
    .unwrap()
}

fn expected(words: &[&str]) -> Row {
    let said = |word| words.contains(&word);
    let status = if said("read") {
        "READ"
    } else if said("delivered") {
        "DELIVERED"
    } else if said("failed") {
        "FAILED"
    } else {
        "SENT"
    };
    let delivered = said("delivered") || said("read");
    let failed_code = said("failed").then(|| "131026".to_owned());
    (
        status.to_owned(),
        true,
        delivered,
        said("read"),
        failed_code,
        1,
    )
}

/// An echo of what we send, a report about it and an answer to it, all before the answer to the send: they are about one message.
#[tokio::test]
async fn an_echo_ahead_of_the_settle_is_the_message_that_is_settled() {
    let world = World::new().await;
    let jobs = messages(&world, 3).await;
    let ahead = async {
        for call in world.simulator.calls() {
            let wamid = call.wamid.clone().unwrap();
            let echo = json!({"from": world.iberia.display_number, "to": call.to, "id": wamid, "timestamp": T.to_string(),
                              "type": "text", "text": {"body": "hola"}});
            post(
                &world,
                "smb_message_echoes",
                &json!({"message_echoes": [echo]}),
            )
            .await;
            let delivered = StatusStep::from("delivered");
            let response = world.provider_reports(&wamid, &delivered).await;
            assert_eq!(response.status(), 200);
        }
        let first = world.simulator.calls()[0].wamid.clone().unwrap();
        let mut answer = text("answer", T + 1, "¿sí?");
        answer["context"] = json!({"id": first});
        crate::matrix::messages(&world, &[answer]).await;
    };
    Box::pin(held_before_settle(&world, &jobs, ahead)).await;
    assert_eq!(
        world.count("messages where direction = 'OUTBOUND'").await,
        3
    );
    assert_eq!(
        world
            .count("messages where status = 'DELIVERED' and direction = 'OUTBOUND'")
            .await,
        3
    );
    let answered = "messages a join communications.messages o on o.id = a.replied_to
                     where a.direction = 'INBOUND' and o.direction = 'OUTBOUND' and a.tenant_id = o.tenant_id";
    assert_eq!(world.count(answered).await, 1);
    assert_eq!(world.simulator.calls().len(), 3, "each is sent once");
}

/// What the operator edits or deletes in the phone app while nobody knows yet whether it was sent; and what the scan has noted of the file of
/// an echo holds up nothing.
#[tokio::test]
async fn what_is_changed_ahead_of_the_settle_is_changed_after_it() {
    let world = World::new().await;
    let jobs = messages(&world, 3).await;
    let ahead = async {
        let calls = world.simulator.calls();
        let of = |n: usize, id: &str, said: serde_json::Value| {
            let mut echo = json!({"from": world.iberia.display_number, "to": calls[n].to, "id": id, "timestamp": T.to_string()});
            echo.as_object_mut()
                .unwrap()
                .extend(said.as_object().unwrap().clone());
            echo
        };
        let wamid = |n: usize| calls[n].wamid.clone().unwrap();
        let file = json!({"type": "image", "image": {"id": "f1", "mime_type": "image/jpeg", "sha256": "aa"}});
        let edited = json!({"type": "edit", "edit": {"original_message_id": wamid(1), "message": {"type": "text", "text": {"body": "a las diez"}}}});
        let gone = json!({"type": "revoke", "revoke": {"original_message_id": wamid(2)}});
        let echoes = [
            of(0, &wamid(0), file),
            of(1, "e1", edited),
            of(2, "v1", gone),
        ];
        post(
            &world,
            "smb_message_echoes",
            &json!({"message_echoes": echoes}),
        )
        .await;
        world
            .execute(
                "insert into communications.repairs (tenant_id, id, kind, message_id)
                 select tenant_id, gen_random_uuid(), 'MEDIA_HINT_LOST', message_id from communications.message_media",
            )
            .await;
    };
    Box::pin(held_before_settle(&world, &jobs, ahead)).await;
    let rows: Vec<(bool, bool, bool)> = sqlx::query_as(
        "select edited_at is not null and body = 'a las diez', revoked_at is not null and body = '' and media is null,
                exists (select from communications.repairs r where r.message_id = m.id)
           from communications.messages m where status = 'SENT' order by 1, 2, 3",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(
        rows,
        [
            (false, false, true),
            (false, true, false),
            (true, false, false)
        ]
    );
    let kept = "message_revisions where kind = 'ORIGINAL' and body <> ''";
    assert_eq!(world.count(kept).await, 2, "what was said at first is kept");
}

/// Of the account's own sake: noted and told as if the report had come after the settle.
#[tokio::test]
async fn a_refusal_for_the_accounts_sake_that_waits_for_its_message_is_noted() {
    let world = World::new().await;
    let jobs = messages(&world, 1).await;
    let ahead = async {
        let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
        // By the provider's id alone, as of a send without an echo.
        let status = json!({"id": wamid, "status": "failed", "timestamp": T.to_string(), "recipient_id": "34600111222",
                            "errors": [{"code": 131_042, "title": "payment"}]});
        post(&world, "messages", &json!({"statuses": [status]})).await;
        assert_eq!(world.count("channel_account_events").await, 0);
    };
    Box::pin(held_before_settle(&world, &jobs, ahead)).await;
    assert_eq!(row(&world, jobs[0].message_id).await.0, "FAILED");
    let noted = "channel_account_events where alert and field = 'messages' and event = '131042'";
    assert_eq!(world.count(noted).await, 1);
}
