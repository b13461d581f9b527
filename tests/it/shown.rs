//! What the thread shows beside a message stands in the message's row, whichever came first: files, reactions, the message that it
//! answers, why it was sent.

use crate::early_reports::held_before_settle;
use crate::flow::{queue, scan, whatsapp};
use crate::matrix::{T, message, messages, text};
use crate::media::picture;
use comms_core::model::DispatchMessageJob;
use comms_simulator::Script;
use comms_tests::seed::Traveller;
use comms_tests::world::World;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgConnection};

/// Messages whose row says something else than the tables that it repeats.
pub async fn broken(world: &World) -> Vec<String> {
    sqlx::query_scalar(
        "select 'files of ' || m.id from communications.messages m
          where m.media is distinct from
                case when m.revoked_at is null then communications.files_of(m.tenant_id, m.id) end
         union all
         select 'reactions to ' || m.id from communications.messages m
          where m.reactions is distinct from communications.reactions_to(m.tenant_id, m.account_id, m.external_message_id)
         union all
         select 'answer of ' || m.id from communications.messages m
           left join communications.messages o
             on o.tenant_id = m.tenant_id and o.account_id = m.account_id and o.external_message_id = m.reply_to
          where m.replied_to is distinct from
                coalesce(o.id, case when m.channel = 'EMAIL' then communications.mail_with(m.tenant_id, m.reply_to) end)
         union all
         select 'run of ' || m.id from communications.messages m
           left join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
          where m.trigger_event is distinct from r.trigger_event",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap()
}

fn reacts(id: &str, at: i64, target: &str, emoji: &str) -> Value {
    let reaction = json!({"type": "reaction", "reaction": {"message_id": target, "emoji": emoji}});
    message(id, at, &reaction)
}

/// All orders of as many things.
pub fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = orders(count - 1);
    let with_last = |order: Vec<usize>| {
        (0..=order.len()).map(move |at| {
            let mut longer = order.clone();
            longer.insert(at, count - 1);
            longer
        })
    };
    shorter.into_iter().flat_map(with_last).collect()
}

/// Each in a payload of its own, and those of an order in one payload.
#[tokio::test]
async fn whatever_comes_first_stands_with_its_message() {
    let world = World::new().await;
    for (nth, order) in orders(4).into_iter().enumerate() {
        for at_once in [false, true] {
            let id = |name: &str| format!("{name}-{nth}-{at_once}");
            let mut answer = text(&id("answer"), T + 1, "¿sí?");
            answer["context"] = json!({"from": "34910000001", "id": id("asked")});
            let all = [
                text(&id("asked"), T, "hola"),
                answer,
                reacts(&id("first"), T + 2, &id("asked"), "👍"),
                reacts(&id("second"), T + 3, &id("asked"), "❤️"),
            ];
            let ordered: Vec<Value> = order.iter().map(|one| all[*one].clone()).collect();
            if at_once {
                messages(&world, &ordered).await;
            } else {
                for one in &ordered {
                    messages(&world, std::slice::from_ref(one)).await;
                }
            }
            let (reactions, answered): (Value, bool) = sqlx::query_as(
                "select q.reactions, a.replied_to = q.id from communications.messages q, communications.messages a
                  where q.external_message_id = $1 and a.external_message_id = $2",
            )
            .bind(id("asked"))
            .bind(id("answer"))
            .fetch_one(&world.pool)
            .await
            .unwrap();
            assert_eq!(reactions.as_array().unwrap().len(), 1, "{order:?}");
            assert_eq!(reactions[0]["emoji"], "❤️", "{order:?}");
            assert!(answered, "{order:?}");
        }
    }
    assert_eq!(broken(&world).await, [""; 0]);
    messages(&world, &[reacts("gone", T + 4, "asked-0-true", "")]).await;
    assert_eq!(
        world
            .count("messages where reactions is null and external_message_id = 'asked-0-true'")
            .await,
        1
    );
    assert_eq!(broken(&world).await, [""; 0]);
}

async fn one(world: &World) -> DispatchMessageJob {
    queue(world, whatsapp(&world.iberia), "INTERACTIVE", "SERVICE", 1).await[0]
}

fn reacted(target: &str) -> String {
    format!(
        "insert into communications.message_reactions
             (tenant_id, account_id, target_external_id, contact_id, actor_kind, emoji, external_message_id, at)
         select tenant_id, account_id, '{target}', contact_id, 'CONTACT', '👍', 'wamid.reaction', now() from communications.messages"
    )
}

async fn run(session: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql)).execute(session).await?;
    Ok(())
}

/// The customer is faster than the answer that tells us the message's id.
#[tokio::test]
async fn what_was_reacted_to_before_its_id_was_known_shows_it() {
    let world = World::new().await;
    let job = one(&world).await;
    held_before_settle(&world, &[job], async {
        let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
        let mut session = world.pool.acquire().await.unwrap();
        run(&mut session, &reacted(&wamid)).await.unwrap();
    })
    .await;
    assert_eq!(world.outbound().await, ["SENT"]);
    assert_eq!(world.count("messages where reactions is not null").await, 1);
    assert_eq!(broken(&world).await, [""; 0]);
}

/// Nor has an answer to wait until we know what it answers.
#[tokio::test]
async fn what_was_answered_before_its_id_was_known_is_found() {
    let world = World::new().await;
    let job = one(&world).await;
    let answers = Box::pin(async {
        let wamid = world.simulator.calls()[0].wamid.clone().unwrap();
        let mut answer = text("wamid.answer", T, "¿sí?");
        answer["context"] = json!({"from": "34910000001", "id": wamid});
        messages(&world, &[answer]).await;
        let waiting = "messages where reply_to is not null and replied_to is null";
        assert_eq!(world.count(waiting).await, 1);
    });
    held_before_settle(&world, &[job], answers).await;
    assert_eq!(
        world.count("messages where replied_to is not null").await,
        1
    );
    assert_eq!(broken(&world).await, [""; 0]);
}

/// Written at the same time, neither sees the other; nobody waits for that, the scan finds them.
#[tokio::test]
async fn an_answer_that_missed_its_message_is_found_by_the_scan() {
    let world = World::new().await;
    let mut answer = text("wamid.answer", T + 1, "¿sí?");
    answer["context"] = json!({"from": "34910000001", "id": "wamid.asked"});
    messages(&world, &[text("wamid.asked", T, "hola"), answer]).await;
    let missed = "update communications.messages set replied_to = null";
    let older = "update communications.messages set created_at = now() - interval '2 hours'";
    for (sql, found) in [(missed, 1), (older, 0), (missed, 0)] {
        let mut session = world.pool.acquire().await.unwrap();
        run(&mut session, sql).await.unwrap();
        assert_eq!(scan(&world).await.late_answers, found, "{sql}");
        assert_eq!(broken(&world).await.is_empty(), sql == older || found == 1);
    }
}

/// Both look for the other, and neither sees what is not committed: one waits.
#[tokio::test]
async fn a_message_is_not_made_known_while_somebody_reacts_to_it() {
    let world = World::new().await;
    one(&world).await;
    let mut reacting = world.pool.begin().await.unwrap();
    run(&mut reacting, &reacted("wamid.x")).await.unwrap();
    let learns = "update communications.messages set external_message_id = 'wamid.x'";
    let mut hasty = world.pool.begin().await.unwrap();
    run(&mut hasty, "set local lock_timeout = '50ms'")
        .await
        .unwrap();
    let refused = run(&mut hasty, learns).await.unwrap_err();
    let code = refused.as_database_error().unwrap().code();
    assert_eq!(code.as_deref(), Some("55P03"), "lock_not_available");
    hasty.rollback().await.unwrap();

    let mut session = world.pool.acquire().await.unwrap();
    let learning = Box::pin(run(&mut session, learns));
    let Either::Right((_, learning)) = select(learning, Box::pin(reacting.commit())).await else {
        panic!("did not wait");
    };
    learning.await.unwrap();
    assert_eq!(broken(&world).await, [""; 0]);
}

#[tokio::test]
async fn a_file_is_shown_at_once_and_as_what_became_of_it() {
    let world = World::new().await;
    let sent = picture(&world).await;
    let state = "select media -> 0 ->> 'state' from communications.messages";
    assert_eq!(world.scalar::<String>(state).await, "PENDING");
    world.fetch(&sent).await;
    assert_eq!(world.scalar::<String>(state).await, "STORED");
    assert_eq!(broken(&world).await, [""; 0]);
}

#[tokio::test]
async fn what_a_message_says_beyond_its_words_is_shown() {
    let world = World::new().await;
    let place = json!({"type": "location", "location": {"latitude": 40.4, "longitude": -3.7, "name": "Atocha"}});
    let form = json!({"type": "interactive", "interactive": {"type": "nfm_reply",
        "nfm_reply": {"name": "flow", "body": "Sent", "response_json": "{\"seat\": \"12A\"}"}}});
    messages(&world, &[message("place", T, &place)]).await;
    messages(&world, &[message("form", T + 1, &form)]).await;
    messages(&world, &[text("words", T + 2, "hola")]).await;
    let shown: Vec<Option<Value>> = sqlx::query_scalar(
        "select communications.message_content(m) from communications.messages m order by m.thread_at",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    let [Some(place), Some(form), None] = &shown[..] else {
        panic!("{shown:?}");
    };
    assert_eq!(
        (&place["latitude"], &place["name"]),
        (&json!(40.4), &json!("Atocha"))
    );
    assert_eq!(form["response"]["seat"], "12A");
}

/// Fetched before it is taken back, after, and never.
#[tokio::test]
async fn what_was_taken_back_shows_no_file() {
    for fetched in [Some(true), Some(false), None] {
        let world = World::new().await;
        let sent = picture(&world).await;
        if fetched == Some(true) {
            world.fetch(&sent).await;
        }
        let target: String = world
            .scalar("select external_message_id from communications.messages")
            .await;
        let gone = json!({"type": "revoke", "revoke": {"original_message_id": target}});
        messages(&world, &[message("gone", T + 60, &gone)]).await;
        let said = "messages m where communications.message_content(m) is not null";
        assert_eq!(world.count(said).await, 0);
        if fetched == Some(false) {
            world.fetch(&sent).await;
        }
        let shown = "messages where revoked_at is not null and media is null";
        assert_eq!(world.count(shown).await, 1, "{fetched:?}");
        assert_eq!(world.count("message_media").await, 1, "it is kept");
        assert_eq!(broken(&world).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_edit_without_a_caption_takes_it_away() {
    let world = World::new().await;
    let image = |caption: &Value| json!({"id": "f1", "mime_type": "image/jpeg", "sha256": "aa", "caption": caption});
    let first = json!({"type": "image", "image": image(&json!("antes"))});
    let now = json!({"type": "image", "image": image(&Value::Null)});
    let edit = json!({"type": "edit", "edit": {"original_message_id": "asked", "message": now}});
    messages(&world, &[message("asked", T, &first)]).await;
    messages(&world, &[message("edit", T + 1, &edit)]).await;
    let (content, body): (Value, String) =
        sqlx::query_as("select content, body from communications.messages")
            .fetch_one(&world.pool)
            .await
            .unwrap();
    assert_eq!(content["caption"], Value::Null, "{content}");
    assert_eq!(
        (&content["type"], body.as_str()),
        (&json!("image"), "[image]")
    );
    assert_eq!(world.count("messages where media is not null").await, 1);
}

#[tokio::test]
async fn every_message_of_a_chain_says_why_it_was_sent() {
    let world = World::new().await;
    world.iberia.connect_email(&world.pool).await.unwrap();
    let ana = Traveller::new("Ana", Some("+34600111222"), Some("es")).with_email("ana@example.com");
    let trip = world
        .iberia
        .schedule(&world.pool, "MAD-VLC-0815", vec![ana])
        .await
        .unwrap();
    world.trip_is_delayed(&trip).await;
    world.simulator.script(Script::fail(131_026));
    world.step_dispatch().await;
    assert_eq!(
        world
            .count("messages where trigger_event = 'TRIP_DELAYED'")
            .await,
        2
    );
    assert_eq!(broken(&world).await, [""; 0]);
}
