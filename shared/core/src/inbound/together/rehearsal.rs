//! What Postgres reads, compiles and plans for a session that is first asked to store something, before anybody waits for it.
//!
//! It does so for what it executes and for nothing else. So somebody who is not there writes at a number that is not there, is answered from
//! the phone, writes again, and the answer is reported; then all of it is taken back.

use super::super::known::{Door, Entrance, Loaded, Question};
use super::super::people;
use super::super::sorted::Sorted;
use super::super::text::{Many, One, Text};
use super::super::whatsapp::{SOURCE, Statuses};
use crate::model::{AccountId, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::event::ProviderEvent;
use comms_providers::whatsapp::VerifiedWebhook;
use comms_providers::whatsapp::webhook;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

/// When all of it happens, in seconds since 1970: long ago, so that no clock is behind it.
const THEN: &str = "1700000000";
/// Who writes. Whose number it may be elsewhere means nothing: it is looked for at this tenant.
const NOBODY: &str = "34600000000";
const USER_ID: &str = "ES.0";

/// Rehearses in a transaction that is then to be rolled back. Those who rehearse at the same time do not wait for each other: each is a
/// tenant of its own.
///
/// # Errors
/// When the database does not answer or refuses.
pub(super) async fn rehearse(tx: &mut Tx) -> Result<(), DatabaseError> {
    let stage = Stage::new();
    stage.set(tx).await?;
    stage.play(tx).await
}

/// A tenant with one number, for as long as the transaction.
#[derive(Debug)]
struct Stage {
    tenant: TenantId,
    number: String,
}

impl Stage {
    fn new() -> Self {
        let tenant = TenantId::generate();
        let number = format!("rehearsal-{tenant}");
        Self { tenant, number }
    }

    async fn set(&self, tx: &mut Tx) -> Result<(), DatabaseError> {
        sqlx::query!(
            "insert into communications.channel_accounts (tenant_id, id, channel, provider, display_name, sender, external_account_id)
             values ($1, $2, 'WHATSAPP', 'META', 'rehearsal', '', $3)",
            self.tenant.0,
            AccountId::generate().0,
            self.number
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }

    async fn play(&self, tx: &mut Tx) -> Result<(), DatabaseError> {
        let entrance = Entrance::one(Door::Tenant(self.tenant));
        // Somebody's first, and what we wrote from the phone.
        let first: Vec<ProviderEvent> = [text("1"), echo("2")]
            .into_iter()
            .flat_map(|value| self.events(value))
            .collect();
        let people = people::seen(&first);
        let question = Question::of(SOURCE.channel, entrance, &first, people);
        let known: Loaded = tx.call("inbound_load", &question).await?;
        let document = Sorted::of(first, &known, SOURCE).document;
        let _: IgnoredAny = tx.call("inbound_store", &document).await?;

        // Now they are known: a text alone, and one of several.
        if let Some(text) = Text::of(SOURCE.channel, &self.events(text("3"))) {
            let one = One::of(SOURCE.channel, entrance, &text);
            let _: IgnoredAny = tx.call("inbound_text", &one).await?;
        }
        if let Some(text) = Text::of(SOURCE.channel, &self.events(text("4"))) {
            let texts = [text];
            let many = Many::of(SOURCE.channel, entrance, &texts);
            let _: IgnoredAny = tx.call("inbound_texts", &many).await?;
        }

        // A report alone, and several, which names our message by its id as that of a send does.
        let ours = document.messages.last().map(|echo| echo.id.to_string());
        let delivered = self.events(status("2", "delivered", ours.as_deref()));
        let mut read = self.events(status("2", "read", ours.as_deref()));
        read.extend(self.events(status("2", "sent", None)));
        for events in [delivered, read] {
            if let Some(statuses) = Statuses::of(entrance, &events) {
                let _: IgnoredAny = tx.call("inbound_statuses", &statuses).await?;
            }
        }
        Ok(())
    }

    /// As Meta tells it of the number.
    fn events(&self, (field, mut value): (&str, Value)) -> Vec<ProviderEvent> {
        value["metadata"] = json!({"phone_number_id": self.number});
        let body = json!({"entry": [{"changes": [{"field": field, "value": value}]}]}).to_string();
        webhook::parse(&VerifiedWebhook::kept(body.as_bytes())).unwrap_or_default()
    }
}

fn text(id: &str) -> (&'static str, Value) {
    let contacts = json!([{"profile": {"name": "Nobody"}, "wa_id": NOBODY, "user_id": USER_ID}]);
    let message = json!({
        "from": NOBODY, "from_user_id": USER_ID, "id": id, "timestamp": THEN, "type": "text", "text": {"body": "?"}
    });
    (
        "messages",
        json!({"contacts": contacts, "messages": [message]}),
    )
}

fn echo(id: &str) -> (&'static str, Value) {
    let echo =
        json!({"to": NOBODY, "id": id, "timestamp": THEN, "type": "text", "text": {"body": "!"}});
    ("smb_message_echoes", json!({"message_echoes": [echo]}))
}

fn status(id: &str, status: &str, correlation_id: Option<&str>) -> (&'static str, Value) {
    let status = json!({
        "id": id, "status": status, "timestamp": THEN, "recipient_id": NOBODY, "biz_opaque_callback_data": correlation_id,
        "pricing": {"billable": true, "pricing_model": "PMP", "category": "service", "type": "regular"}
    });
    ("messages", json!({"statuses": [status]}))
}
