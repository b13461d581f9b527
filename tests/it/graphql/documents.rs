//! The inbox's documents as they are sent, on the stand-in: same text, same variables. A subscription is asked as the query that
//! it repeats (`live` has them as themselves); the stream is not asked, the stand-in has none.

use super::plant::{Session, plant};
use super::server::StandIn;
use crate::hasura::documents::{Operation, operation, operations};
use crate::hasura::metadata::text;
use comms_tests::world::World;
use serde_json::{Value, json};
use uuid::Uuid;

/// What the client sends, as a query.
fn as_query(operation: &Operation) -> String {
    operation.text.replacen("subscription ", "query ", 1)
}

pub async fn runs(
    standin: &StandIn,
    session: &Session,
    name: &str,
    variables: Value,
) -> Vec<Value> {
    let query = as_query(&operation(name));
    let answer = standin.asks(session, &query, &variables).await;
    assert!(answer["errors"].is_null(), "{name}: {answer}");
    let data = answer["data"].as_object().unwrap();
    assert_eq!(data.len(), 1, "{name}: one root field");
    data.values().next().unwrap().as_array().unwrap().clone()
}

/// The five filters as the list's comment writes them.
fn filters(agent: &str) -> Vec<(String, Value)> {
    text("documents/conversation-list.graphql")
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .map(|line| {
            let (name, filter) = line.split_once(' ').unwrap();
            let filter = filter.trim().replace("<user id>", agent);
            (name.to_owned(), serde_json::from_str(&filter).unwrap())
        })
        .collect()
}

fn previews(rows: &[Value]) -> Vec<&str> {
    rows.iter()
        .map(|row| row["preview"].as_str().unwrap())
        .collect()
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_lists_conversations_by_each_of_the_five_filters() {
    let world = World::new().await;
    plant(&world).await;
    world
        .execute(
            "update communications.conversations set status = 'SNOOZED', snoozed_until = now() + interval '1 hour'
              where preview = 'theirs'",
        )
        .await;
    let standin = StandIn::start(&world).await;
    let session = Session::of("dispatcher", &world.iberia);
    let expected = [
        ("all", vec!["mine", "nobodys"]),
        ("mine", vec!["mine"]),
        ("unassigned", vec!["nobodys"]),
        ("snoozed", vec!["theirs"]),
        ("resolved", vec!["ended"]),
    ];
    let filters = filters(&world.iberia.agent.to_string());
    for ((name, filter), (wanted, rows)) in filters.iter().zip(expected) {
        assert_eq!(name, wanted);
        let found = runs(
            &standin,
            &session,
            "ConversationList",
            json!({"where": filter}),
        )
        .await;
        assert_eq!(previews(&found), rows, "{name}");
    }
    let all = json!({"where": filters[0].1});
    let found = runs(&standin, &session, "ConversationList", all).await;
    let unread: Vec<String> = found
        .iter()
        .map(|row| row["conversation_unread_count"].to_string())
        .collect();
    assert_eq!(unread.join(" ").replace('"', ""), "1 0");
}

/// The pages together are the list: no row twice, none missing, also where times are equal.
#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_pages_through_the_list_and_the_thread() {
    let world = World::new().await;
    plant(&world).await;
    world
        .execute(
            "update communications.conversations set last_message_at = now() where status = 'OPEN'",
        )
        .await;
    let standin = StandIn::start(&world).await;
    let session = Session::of("dispatcher", &world.iberia);
    let open = json!({"status": {"_eq": "OPEN"}});
    let whole = runs(
        &standin,
        &session,
        "ConversationList",
        json!({"where": open}),
    )
    .await;
    assert_eq!(whole.len(), 3);
    let mut paged = runs(
        &standin,
        &session,
        "ConversationList",
        json!({"where": open, "limit": 1}),
    )
    .await;
    while let Some(last) = paged.last().cloned() {
        let cursor = json!({"where": open, "limit": 1,
            "before_at": last["last_message_at"], "before_id": last["id"]});
        let next = runs(&standin, &session, "MoreConversations", cursor).await;
        if next.is_empty() {
            break;
        }
        paged.extend(next);
    }
    assert_eq!(paged, whole);

    let thread = json!({"conversation_id": id(&world, "theirs").await});
    let whole = runs(&standin, &session, "ConversationThread", thread.clone()).await;
    assert_eq!(whole.len(), 3);
    let first = &whole[0];
    let cursor = json!({"conversation_id": thread["conversation_id"],
        "before_at": first["thread_at"], "before_id": first["id"]});
    let rest = runs(&standin, &session, "EarlierMessages", cursor).await;
    assert_eq!(rest, whole[1..]);
}

pub async fn id(world: &World, preview: &str) -> Uuid {
    let sql = "select id from communications.conversations where preview = $1 and tenant_id = $2";
    sqlx::query_scalar(sql)
        .bind(preview)
        .bind(world.iberia.tenant)
        .fetch_one(&world.pool)
        .await
        .unwrap()
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_the_thread_the_sidebar_and_the_badge() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    for role in ["dispatcher", "tenant_admin"] {
        let session = Session::of(role, &world.iberia);
        let mine = json!({"conversation_id": id(&world, "mine").await});
        let thread = runs(&standin, &session, "ConversationThread", mine.clone()).await;
        let (answer, question) = (&thread[0], &thread[1]);
        assert_eq!(question["body"], "hello");
        assert_eq!(question["media"][0]["kind"], "image");
        let reactions: Vec<&Value> = question["reactions"].as_array().unwrap().iter().collect();
        assert_eq!(reactions.len(), 1, "one was taken away");
        assert_eq!(reactions[0]["emoji"], "👍");
        assert_eq!(answer["trigger_event"], "TRIP_DELAYED");
        assert_eq!(answer["replied_to"], question["id"]);

        let asked = json!({"message_id": question["id"]});
        let details = runs(&standin, &session, "MessageDetails", asked).await;
        assert_eq!(details[0]["shown_address"], "+34600000001");
        assert!(details[0]["delivered_at"].is_null());

        let context = runs(&standin, &session, "ConversationContext", mine.clone()).await;
        let context = &context[0];
        assert_eq!(context["trip"]["code"], "T-1");
        assert_eq!(context["booking"]["reference"], "R-1");
        assert_eq!(context["invoice"]["number"], "I-1");
        assert_eq!(
            context["contact"]["passenger_profile"]["full_name"],
            "Ana 1"
        );
        assert_eq!(
            context["contact"]["addresses"],
            json!({"phone": ["+34600000001"]})
        );
        assert_eq!(context["events"][0]["note"], "a note");
        assert!(context["whatsapp_windows"][0]["open_until"].is_string());

        let unread = runs(&standin, &session, "UnreadBadge", json!({})).await;
        assert_eq!(unread, [json!({"unread_conversations": 1})]);
    }
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_offers_the_templates_of_the_number_that_was_written_to() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let session = Session::of("dispatcher", &world.iberia);
    let mine = json!({"conversation_id": id(&world, "mine").await});
    let found = runs(&standin, &session, "TemplatesToAnswerWith", mine).await;
    let templates = &found[0]["last_inbound_channel_account"]["whatsapp_templates"];
    assert_eq!(templates[0]["name"], "hello_1");
    assert_eq!(templates.as_array().unwrap().len(), 1, "{templates}");
    let accounts = runs(&standin, &session, "AccountsToStartFrom", json!({})).await;
    let channels: Vec<&str> = accounts
        .iter()
        .map(|account| account["channel"].as_str().unwrap())
        .collect();
    assert_eq!(channels, ["WEBCHAT", "WHATSAPP"]);
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_tells_a_service_what_became_of_its_event() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let session = Session::of("service", &world.iberia);
    let key = |key: &str| json!({"source": "host", "idempotency_key": key});
    let found = runs(&standin, &session, "RunByKey", key("event-1")).await;
    let sent = &found[0]["messages"][0];
    assert_eq!(sent["status"], "QUEUED");
    let one = json!({"message_id": sent["id"]});
    let found = runs(&standin, &session, "MessageById", one).await;
    assert_eq!(found[0], *sent);
    let theirs = runs(&standin, &session, "RunByKey", key("event-2")).await;
    assert!(theirs.is_empty(), "{theirs:?}");
    let batches = runs(&standin, &session, "BatchProgress", json!({})).await;
    assert_eq!((batches.len(), &batches[0]["cursor"]), (1, &json!(2)));
}

#[tokio::test]
#[ignore = "on the Hasura-compatible stand-in: cargo xtask test standin"]
async fn standin_shows_administrators_their_channels() {
    let world = World::new().await;
    plant(&world).await;
    let standin = StandIn::start(&world).await;
    let session = Session::of("tenant_admin", &world.iberia);
    let integrations = runs(&standin, &session, "OperatorIntegrations", json!({})).await;
    let providers: Vec<&str> = integrations
        .iter()
        .map(|row| row["provider"].as_str().unwrap())
        .collect();
    assert_eq!(providers, ["META", "WEBCHAT"]);
    let web = integrations[1]["account_id"].clone();
    let asked = json!({"account_id": web, "limit": 5});
    let history = runs(&standin, &session, "ChannelHistory", asked).await;
    assert_eq!(history[0]["after"], "ACTIVE");
    let days = json!({"from": "2026-11-01", "to": "2026-11-30"});
    let usage = runs(&standin, &session, "Usage", days).await;
    assert_eq!((usage.len(), &usage[0]["messages"]), (1, &json!(1)));
    let number = json!({"account_id": world.iberia.account});
    let accounts = runs(&standin, &session, "WhatsAppTemplates", number.clone()).await;
    let names: Vec<&Value> = accounts[0]["whatsapp_templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| &template["name"])
        .collect();
    assert_eq!(names, ["hello_1", "old_1"]);
    let approvals = runs(&standin, &session, "NotificationTemplateApprovals", number).await;
    assert!(!approvals.is_empty());
    assert!(
        approvals
            .iter()
            .all(|row| row["approval"] == "UNKNOWN" && row["may_be_sent"] == true),
        "{approvals:?}"
    );
}

/// Every document that reads is asked above, but for the stream.
#[test]
fn every_reading_document_is_asked() {
    let source = include_str!("documents.rs");
    let reading = operations()
        .into_iter()
        .filter(|one| one.kind != "mutation");
    let forgotten: Vec<String> = reading
        .map(|one| one.name)
        .filter(|name| !source.contains(&format!("\"{name}\"")) && name != "NewMessages")
        .collect();
    assert_eq!(forgotten, [""; 0]);
}
