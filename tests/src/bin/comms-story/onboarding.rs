//! An operator that nobody knows yet connects a number, a domain and text messages, loses its token, and goes on.

use anyhow::{Context, Result, ensure};
use comms_core::model::{TenantId, UserId};
use comms_tests::stack::{Stack, setting};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::tell::{heading, line, text};

/// Somebody new at each telling, so that it can be told again on the same stack.
struct Newcomer {
    tenant: TenantId,
    admin: UserId,
    waba: String,
    number: String,
    phone: String,
    domain: String,
    sender_id: String,
}

impl Newcomer {
    fn invent() -> Self {
        let tenant = Uuid::now_v7();
        let tail = tenant.as_u128() % 100_000_000;
        Self {
            tenant: TenantId(tenant),
            admin: UserId(Uuid::now_v7()),
            waba: format!("7{tail:08}01"),
            number: format!("7{tail:08}02"),
            phone: format!("349{tail:08}"),
            domain: format!("levante-{tail:08}.example"),
            sender_id: format!("LV{tail:08}"),
        }
    }

    async fn act(&self, stack: &Stack, name: &str, input: &Value) -> Result<Value> {
        let (status, answer) = stack
            .administers(self.tenant, self.admin, name, input)
            .await?;
        ensure!(status == 200, "{name} was refused: {answer}");
        Ok(answer)
    }

    /// A code as Embedded Signup hands it to the browser.
    async fn sign_up(&self, stack: &Stack) -> Result<String> {
        let signup = json!({"waba_ids": [self.waba]});
        let answer = stack.simulator("signup", &signup).await?;
        Ok(text(&answer["code"]))
    }

    async fn connect(&self, stack: &Stack, code: Option<&str>) -> Result<Value> {
        let input = json!({"waba_id": self.waba, "phone_number_id": self.number, "code": code});
        self.act(stack, "connectWhatsApp", &input).await
    }
}

pub async fn connect() -> Result<()> {
    let stack = Stack::from_env().await?;
    let new = Newcomer::invent();
    heading("A number of its own");
    let mut secrets = Vec::new();
    let whatsapp = number(&stack, &new, &mut secrets).await?;
    template(&stack, &new, whatsapp).await?;
    heading("A domain of its own");
    let email = domain(&stack, &new).await?;
    heading("Text messages");
    let sms = texts(&stack, &new).await?;
    heading("One test message on each");
    for (account, to) in [
        (whatsapp, "+34600111222"),
        (email, "ana@example.org"),
        (sms, "+34600111222"),
    ] {
        let message = try_out(&stack, &new, account, to, "first").await?;
        let _: (i32,) = stack.until("the message left", LEFT, message).await?;
        line(None, "sent", &format!("to {to}"));
    }
    heading("Meta withdraws the token");
    let waiting = withdrawn(&stack, &new, whatsapp).await?;
    heading("Connected again");
    let code = new.sign_up(&stack).await?;
    let again = new.connect(&stack, Some(&code)).await?;
    secrets.push(code);
    ensure!(
        again["status"] == "ACTIVE",
        "the number did not come back: {again}"
    );
    let _: (i32,) = stack.until("what waited left", LEFT, waiting).await?;
    line(None, "WHATSAPP", "ACTIVE; what waited has left");
    let calls = stack.calls_for(waiting).await?;
    let taken = calls
        .iter()
        .filter(|call| call["wamid"].is_string())
        .count();
    ensure!(taken == 1, "Meta took it {taken} times: {calls:?}");
    heading("What it came to");
    history(&stack, &new).await?;
    dump(&stack, &secrets).await
}

const LEFT: &str = "select 1 from communications.messages where id = $1 and status in ('SENT', 'DELIVERED', 'READ')";

/// The browser was too slow once; then each step is shown as it was done.
async fn number(stack: &Stack, new: &Newcomer, secrets: &mut Vec<String>) -> Result<Uuid> {
    let callback = format!("{}/api/webhooks/meta", setting("API_URL")?);
    stack
        .simulator("app", &json!({"callback_url": callback}))
        .await?;
    let account = json!({"waba_id": new.waba, "numbers": [{
        "phone_number_id": new.number, "display_phone_number": new.phone, "verified_name": "Levante Bus",
        "auto_statuses": ["sent", "delivered"]}]});
    stack.simulator("wabas", &account).await?;
    let late = new.sign_up(stack).await?;
    stack.simulator("time", &json!({"seconds": 31})).await?;
    let stopped = new.connect(stack, Some(&late)).await?;
    let failed = step(&stopped, "EXCHANGE")?;
    ensure!(
        failed["state"] == "FAILED",
        "a late code was taken: {stopped}"
    );
    line(None, "EXCHANGE", &text(&failed["cause"]));
    line(None, "", &text(&failed["cure"]));
    let code = new.sign_up(stack).await?;
    let connected = new.connect(stack, Some(&code)).await?;
    ensure!(
        connected["status"] == "ACTIVE",
        "the number was not connected: {connected}"
    );
    for done in connected["steps"].as_array().context("no steps")? {
        line(None, &text(&done["step"]), &text(&done["state"]));
    }
    secrets.extend([late, code]);
    id(&connected)
}

/// Handed in, approved by Meta, and known here by its notice.
async fn template(stack: &Stack, new: &Newcomer, account: Uuid) -> Result<()> {
    let input = json!({
        "channel_account_id": account, "name": TEMPLATE, "language": "es", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Hola {{1}}, este es un mensaje de prueba.", "example": {"body_text": [["Ana"]]}}]
    });
    let submitted = new.act(stack, "submitWhatsAppTemplate", &input).await?;
    line(
        None,
        "template",
        &format!("{TEMPLATE} is {}", text(&submitted["status"])),
    );
    let review =
        json!({"waba_id": new.waba, "name": TEMPLATE, "language": "es", "status": "APPROVED"});
    stack.simulator("templates/review", &review).await?;
    let _: (i32,) = stack
        .until(
            "the approval is known",
            "select 1 from communications.whatsapp_templates where tenant_id = $1 and status = 'APPROVED'",
            new.tenant.0,
        )
        .await?;
    line(
        None,
        "template",
        &format!("{TEMPLATE} is APPROVED, says Meta's notice"),
    );
    Ok(())
}

const TEMPLATE: &str = "connection_test";

async fn domain(stack: &Stack, new: &Newcomer) -> Result<Uuid> {
    let input = json!({"domain": new.domain, "from_name": "Levante Bus"});
    let registered = new.act(stack, "registerEmailDomain", &input).await?;
    for record in registered["records"].as_array().context("no records")? {
        line(
            None,
            &text(&record["kind"]),
            &format!("{} → {}", text(&record["name"]), text(&record["value"])),
        );
    }
    line(
        None,
        "EMAIL",
        &format!(
            "{}, until its records are found",
            text(&registered["status"])
        ),
    );
    let found = json!({"domain": new.domain, "dkim": "SUCCESS", "mail_from": "SUCCESS"});
    stack.simulator("aws/domains", &found).await?;
    let account = json!({"channel_account_id": registered["channel_account_id"]});
    let checked = new.act(stack, "checkEmailDomain", &account).await?;
    ensure!(
        checked["status"] == "ACTIVE",
        "the domain was not found: {checked}"
    );
    line(None, "EMAIL", "ACTIVE");
    id(&registered)
}

async fn texts(stack: &Stack, new: &Newcomer) -> Result<Uuid> {
    let leased = json!({"kind": "sender_id", "sender_id": new.sender_id, "country": "ES", "registered": true});
    stack.simulator("aws/senders", &leased).await?;
    // The platform says whose a sender is.
    sqlx::query("insert into communications.sms_senders (identity, tenant_id, countries) values ($1, $2, '{ES}')")
        .bind(&new.sender_id)
        .bind(new.tenant)
        .execute(&stack.pool)
        .await?;
    let input = json!({"country": "ES", "sender_id": new.sender_id});
    let enabled = new.act(stack, "enableSms", &input).await?;
    ensure!(
        enabled["status"] == "ACTIVE",
        "text messages were not enabled: {enabled}"
    );
    line(
        None,
        "SMS",
        &format!("ACTIVE as {}, at most 50 USD a month", new.sender_id),
    );
    id(&enabled)
}

async fn try_out(
    stack: &Stack,
    new: &Newcomer,
    account: Uuid,
    to: &str,
    key: &str,
) -> Result<Uuid> {
    let mut input = json!({"channel_account_id": account, "to": to, "client_message_id": key});
    let health = json!({"channel_account_id": account});
    let health = new.act(stack, "channelHealth", &health).await?;
    if health["channel"] == "WHATSAPP" {
        input["template"] = json!({"name": TEMPLATE, "language": "es", "body": ["Ana"]});
    }
    let queued = new.act(stack, "sendTestMessage", &input).await?;
    let again = new.act(stack, "sendTestMessage", &input).await?;
    ensure!(
        queued["message_id"] == again["message_id"],
        "the second click made a second message"
    );
    Ok(text(&queued["message_id"]).parse()?)
}

/// The message stays, the other channels go on, and the Backoffice sees what to do.
async fn withdrawn(stack: &Stack, new: &Newcomer, whatsapp: Uuid) -> Result<Uuid> {
    stack
        .simulator("tokens/revoke", &json!({"waba_id": new.waba}))
        .await?;
    let waiting = try_out(stack, new, whatsapp, "+34600111222", "second").await?;
    let row: (String, String, String) = stack
        .until(
            "the account waits for its administrator",
            "select i.status, i.health, m.status
               from communications.operator_integrations i
               join communications.messages m on m.tenant_id = i.tenant_id
              where m.id = $1 and i.provider = 'META' and i.status = 'REAUTH_REQUIRED' and m.status = 'QUEUED'",
            waiting,
        )
        .await?;
    line(
        None,
        "META",
        &format!("{}, sending is {}; the message is {}", row.0, row.1, row.2),
    );
    let others: Vec<(String, String)> = sqlx::query_as(
        "select provider, status from communications.operator_integrations where tenant_id = $1 and provider <> 'META' order by 1",
    )
    .bind(new.tenant)
    .fetch_all(&stack.pool)
    .await?;
    for (provider, status) in others {
        line(None, &provider, &status);
    }
    Ok(waiting)
}

async fn history(stack: &Stack, new: &Newcomer) -> Result<()> {
    let moves: Vec<(time::OffsetDateTime, String, String)> = sqlx::query_as(
        "select h.at, a.channel, concat_ws(' ', h.what, h.before, '→', h.after, 'by', h.by_kind)
           from communications.channel_account_history h
           join communications.channel_accounts a on a.tenant_id = h.tenant_id and a.id = h.account_id
          where h.tenant_id = $1 order by h.at, h.id",
    )
    .bind(new.tenant)
    .fetch_all(&stack.pool)
    .await?;
    for (at, channel, change) in moves {
        line(Some(at), &channel, &change);
    }
    Ok(())
}

/// Every row of every table, as a dump of the database has them.
async fn dump(stack: &Stack, secrets: &[String]) -> Result<()> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', table_schema, table_name) from information_schema.tables
          where table_type = 'BASE TABLE' and table_schema = 'communications'",
    )
    .fetch_all(&stack.pool)
    .await?;
    let given = stack.issued().await?;
    for table in &tables {
        for secret in given.iter().chain(secrets) {
            let sql = format!("select count(*) from {table} t where position($1 in t::text) > 0");
            let (found,): (i64,) = sqlx::query_as(AssertSqlSafe(sql))
                .bind(secret)
                .fetch_one(&stack.pool)
                .await?;
            ensure!(found == 0, "{table} holds a secret");
        }
    }
    line(
        None,
        "secrets",
        &format!(
            "none of {} codes and tokens stands in any row of {} tables",
            given.len(),
            tables.len()
        ),
    );
    Ok(())
}

fn step<'a>(answer: &'a Value, name: &str) -> Result<&'a Value> {
    let steps = answer["steps"].as_array().context("no steps")?;
    let step = steps.iter().find(|step| step["step"] == name);
    step.with_context(|| format!("no step {name}"))
}

fn id(answer: &Value) -> Result<Uuid> {
    Ok(text(&answer["channel_account_id"]).parse()?)
}
