//! The journey, as it happens: every line is a row that is in the database when it is printed.

use anyhow::{Context, Result, ensure};
use comms_tests::seed::{Operator, Traveller, Trip, iberia};
use comms_tests::stack::Stack;
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::format_description};
use uuid::Uuid;

pub async fn tell() -> Result<()> {
    let stack = Stack::from_env().await?;
    let operator = iberia();
    let trip = plan_a_trip(&stack, &operator).await?;
    heading("A trip is late");
    let message = delay(&stack, &trip).await?;
    follow(&stack, message).await?;
    heading("Two whom WhatsApp does not reach");
    elsewhere(&stack, &trip).await?;
    heading("The passenger answers");
    let conversation = answer(&stack, &operator, &trip).await?;
    heading("An agent takes over");
    claim(&stack, &operator, conversation).await?;
    let reply = reply(&stack, &operator, conversation).await?;
    follow(&stack, reply).await?;
    resolve(&stack, &operator, conversation).await?;
    heading("What it came to");
    summary(&stack, &trip, &[message, reply]).await
}

/// Four seats: Spanish, English, one without a number, and one whose number is not on WhatsApp.
const NOT_ON_WHATSAPP: &str = "+34600999000";

async fn plan_a_trip(stack: &Stack, operator: &Operator) -> Result<Trip> {
    let travellers = vec![
        Traveller::new("Ana García", Some("+34600111222"), Some("es-ES")),
        Traveller::new("Tom Baker", Some("+447700900123"), Some("en")),
        Traveller::new("Eva Ruiz", None, Some("es")).with_email("eva.ruiz@example.org"),
        Traveller::new("Leo Ortiz", Some(NOT_ON_WHATSAPP), Some("es")),
    ];
    // A code that no earlier telling had.
    let code = format!("MAD-VLC-{:05}", Uuid::now_v7().as_u128() % 100_000);
    operator.schedule(&stack.pool, &code, travellers).await
}

async fn delay(stack: &Stack, trip: &Trip) -> Result<Uuid> {
    let refusal =
        json!({"recipient": NOT_ON_WHATSAPP, "answer": {"kind": "fail", "code": 131_026}});
    stack.simulator("script", &refusal).await?;
    let event = stack.delay(trip).await?;
    let answer = stack.hasura_reports(&event).await?;
    let run = &answer["run"];
    line(
        None,
        "event",
        &format!(
            "Hasura reports {} as DELAYED (event {})",
            trip.code,
            text(&event["id"])
        ),
    );
    line(
        None,
        "run",
        &format!("{} {}", text(&run["run_id"]), text(&run["status"])),
    );
    let mut to_ana = None;
    for (recipient, traveller) in run["recipients"]
        .as_array()
        .context("no recipients")?
        .iter()
        .zip(&trip.travellers)
    {
        line(
            None,
            "",
            &format!("{:<12} {}", traveller.name, text(&recipient["outcome"])),
        );
        if traveller.name == "Ana García" {
            to_ana = recipient["message_id"]
                .as_str()
                .and_then(|id| id.parse().ok());
        }
    }
    ensure!(
        stack.hasura_reports(&event).await? == answer,
        "a repeat of the event was answered differently"
    );
    line(
        None,
        "event",
        "the same event again: the same answer, nothing queued",
    );
    to_ana.context("nothing was queued for Ana")
}

macro_rules! elsewhere {
    () => {
        "select m.channel, m.address, m.body, m.sent_at, m.external_message_id, m.fallback_reason, f.failed_code
           from communications.messages m
           join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
           left join communications.messages f on f.tenant_id = m.tenant_id and f.id = m.fallback_of
          where r.context ->> 'trip_id' = $1::text and m.status = 'SENT' and m.channel = "
    };
}

/// By email because there is no number; by SMS because the number is not on WhatsApp.
async fn elsewhere(stack: &Stack, trip: &Trip) -> Result<()> {
    for (traveller, sql) in trip.travellers[2..].iter().zip([BY_EMAIL, BY_SMS]) {
        let sent: Elsewhere = stack
            .until("it went by another channel", sql, trip.id.0)
            .await?;
        if let (Some(reason), Some(code)) = (&sent.fallback_reason, &sent.failed_code) {
            let rest = format!("{}: WhatsApp {reason}, code {code}", traveller.name);
            line(None, "fallback", &rest);
        }
        let first_line = sent.body.lines().next().unwrap_or_default();
        line(
            sent.sent_at,
            &sent.channel,
            &format!("to {}: {first_line}", sent.address),
        );
        let id = sent.external_message_id.unwrap_or_default();
        line(None, "accepted", &id);
    }
    Ok(())
}

const BY_EMAIL: &str = concat!(elsewhere!(), "'EMAIL'");
const BY_SMS: &str = concat!(elsewhere!(), "'SMS'");

#[derive(sqlx::FromRow)]
struct Elsewhere {
    channel: String,
    address: String,
    body: String,
    sent_at: Option<OffsetDateTime>,
    external_message_id: Option<String>,
    fallback_reason: Option<String>,
    failed_code: Option<String>,
}

/// When it began and ended, its class, and the provider's id.
type Attempt = (OffsetDateTime, OffsetDateTime, String, Option<String>);

/// From QUEUED to READ: attempts and the provider's reports, in their order.
async fn follow(stack: &Stack, message: Uuid) -> Result<()> {
    let sql = "select body, address, thread_at from communications.messages where id = $1";
    let (body, address, at): (String, String, OffsetDateTime) =
        stack.until("the message is queued", sql, message).await?;
    line(Some(at), "QUEUED", &format!("to {address}: {body}"));
    let sql = "select started_at, finished_at, class, external_message_id from communications.message_attempts
                where message_id = $1 and finished_at is not null order by fence desc limit 1";
    let (started, finished, class, wamid): Attempt = stack
        .until("the worker has called the provider", sql, message)
        .await?;
    line(
        Some(started),
        "SENDING",
        "claimed by the worker, attempt written before the call",
    );
    line(
        Some(finished),
        "attempt",
        &format!("{class} {}", wamid.unwrap_or_default()),
    );
    let sql = "select 1 from communications.messages where id = $1 and status = 'READ'";
    stack
        .until::<(i32,)>("the provider reports READ", sql, message)
        .await?;
    let reports: Vec<(String, OffsetDateTime)> =
        sqlx::query_as("select status, received_at from communications.message_status_events where message_id = $1 order by received_at")
            .bind(message)
            .fetch_all(&stack.pool)
            .await?;
    for (status, at) in reports {
        line(Some(at), &status, "reported by the provider");
    }
    Ok(())
}

async fn answer(stack: &Stack, operator: &Operator, trip: &Trip) -> Result<Uuid> {
    let said = format!("¿A qué hora sale ahora el {}?", trip.code);
    let inbound = json!({"phone_number_id": operator.phone_number_id, "from": "34600111222", "profile_name": "Ana", "text": said});
    let answer = stack.simulator("inbound", &inbound).await?;
    ensure!(answer.is_object(), "the simulator took the message");
    let sql = "select m.conversation_id, m.created_at, m.body, c.status
                 from communications.messages m
                 join communications.conversations c on c.tenant_id = m.tenant_id and c.id = m.conversation_id
                where m.tenant_id = $1 and m.direction = 'INBOUND' and m.body like '%' || (
                      select code from operations.trips where tenant_id = $1 order by id desc limit 1) || '%'";
    let (conversation, at, body, status): (Uuid, OffsetDateTime, String, String) = stack
        .until("Ana's answer is in the inbox", sql, operator.tenant.0)
        .await?;
    line(Some(at), "inbound", &format!("Ana: {body}"));
    line(
        None,
        "thread",
        &format!("conversation {conversation} is {status}, with the automated message in it"),
    );
    Ok(conversation)
}

async fn claim(stack: &Stack, operator: &Operator, conversation: Uuid) -> Result<()> {
    let input = json!({"conversation_id": conversation});
    let (status, claimed) = stack
        .agent_acts(operator, operator.agent, "claimConversation", &input)
        .await?;
    ensure!(status == 200, "the claim was refused: {claimed}");
    line(
        None,
        "claim",
        &format!("agent {} holds it", text(&claimed["assigned_to"])),
    );
    let (status, refused) = stack
        .agent_acts(operator, operator.colleague, "claimConversation", &input)
        .await?;
    line(
        None,
        "claim",
        &format!(
            "a colleague gets {status} {}: {}",
            text(&refused["extensions"]["code"]),
            text(&refused["message"])
        ),
    );
    Ok(())
}

async fn reply(stack: &Stack, operator: &Operator, conversation: Uuid) -> Result<Uuid> {
    let input = json!({
        "conversation_id": conversation,
        "client_message_id": Uuid::now_v7(),
        "content": {"text": "Hola Ana, sale con 45 minutos de retraso. ¡Perdona las molestias!"},
    });
    let (status, replied) = stack
        .agent_acts(operator, operator.agent, "sendAgentMessage", &input)
        .await?;
    ensure!(status == 200, "the reply was refused: {replied}");
    let (_, again) = stack
        .agent_acts(operator, operator.agent, "sendAgentMessage", &input)
        .await?;
    ensure!(
        again["message_id"] == replied["message_id"],
        "the second click made a second message"
    );
    line(
        None,
        "reply",
        "queued; the same click again is the same message",
    );
    text(&replied["message_id"]).parse().context("message_id")
}

async fn resolve(stack: &Stack, operator: &Operator, conversation: Uuid) -> Result<()> {
    let input = json!({"conversation_id": conversation, "note": "answered"});
    let (status, resolved) = stack
        .agent_acts(operator, operator.agent, "resolveConversation", &input)
        .await?;
    ensure!(status == 200, "resolving was refused: {resolved}");
    line(
        None,
        "resolve",
        &format!(
            "conversation is {}; Ana's next message reopens it",
            text(&resolved["status"])
        ),
    );
    Ok(())
}

async fn summary(stack: &Stack, trip: &Trip, messages: &[Uuid]) -> Result<()> {
    for message in messages {
        let calls = stack.calls_for(*message).await?;
        ensure!(
            calls.len() == 1,
            "the provider was called {} times for {message}",
            calls.len()
        );
    }
    line(
        None,
        "provider",
        "called once for each message, no matter how often anything was delivered",
    );
    let others: (i64,) = sqlx::query_as(
        "select count(*) from communications.messages m join communications.trigger_runs r on r.tenant_id = m.tenant_id and r.id = m.run_id
          where r.context ->> 'trip_id' = $1 and m.tenant_id <> $2",
    )
    .bind(trip.id.to_string())
    .bind(trip.tenant)
    .fetch_one(&stack.pool)
    .await?;
    line(
        None,
        "tenants",
        &format!("rows of this trip with any other operator: {}", others.0),
    );
    Ok(())
}

pub fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub fn heading(text: &str) {
    println!("\n── {text} ──");
}

/// Time (of the row, or none), what, and the rest.
pub fn line(at: Option<OffsetDateTime>, what: &str, rest: &str) {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    let at = at.and_then(|at| at.format(format).ok()).unwrap_or_default();
    println!("  {at:<12}  {what:<10} {rest}");
}
