//! Batches: one text to very many. Made, filled and started by a program; fanned out by the batch worker, some hundreds of recipients
//! a step; sent at their sender's rate, behind everything that is more urgent.
//!
//! A step decides about its recipients, queues their messages and counts them in one transaction, so a worker that dies leaves
//! whole steps. A contact gets one message of a batch, however often and under however many names it is listed.

mod control;
mod outcomes;
mod step;

pub use control::{BatchState, cancel, pause, resume, start, state, stop, stop_failing};
pub use outcomes::{BatchRecipient, BatchRecipients, MOST_A_PAGE, outcomes};
pub use step::{Stepped, lost_steps, step};

use super::RunStatus;
use super::intake::Run;
use super::request::{
    KEY_LIMIT, KEY_PATTERN, MOST_RECIPIENTS, NotificationRequest, RequestError, RequestedRecipient,
    check_key, check_listed, invalid, typed,
};
use crate::model::TenantId;
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, instant},
};
use aws_lc_rs::digest;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

/// Recipients of one call; a batch takes many calls.
pub const MOST_A_CALL: usize = 5_000;
/// Nobody has more customers; who does makes two.
const MOST: i32 = 1_000_000;

/// What makes a batch: a `NotificationRequest` whose recipients come later, or from a query.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBatch {
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// The caller's own: the same again answers the same batch.
    #[schemars(length(min = 1, max = KEY_LIMIT), regex(pattern = KEY_PATTERN))]
    pub idempotency_key: String,
    /// Everything that a `NotificationRequest` says, but for `tenant_id`, `idempotency_key`, `run_id`, `beside`, `audience` and
    /// `recipients`.
    #[schemars(schema_with = "message_schema")]
    pub message: Value,
    /// The first of them, at most 5,000.
    #[serde(default)]
    #[schemars(length(max = MOST_A_CALL))]
    pub recipients: Vec<RequestedRecipient>,
    /// Everybody whom a query finds, beside those.
    #[serde(default)]
    pub audience: Option<BatchAudience>,
    /// No more are coming: it starts at once.
    #[serde(default)]
    pub start: bool,
}

/// As `contacts.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContactKind {
    Customer,
    Driver,
    Vendor,
}

impl ContactKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "CUSTOMER",
            Self::Driver => "DRIVER",
            Self::Vendor => "VENDOR",
        }
    }
}

/// People by what is known of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BatchAudience {
    /// Contacts of ours.
    Contacts {
        #[serde(default)]
        kind: Option<ContactKind>,
        /// Such as `es`; `es-MX` is among them.
        #[serde(default)]
        locale: Option<String>,
    },
    /// Passengers of the trips that leave in this time.
    Trips {
        #[serde(
            deserialize_with = "required",
            serialize_with = "time::serde::rfc3339::serialize"
        )]
        #[schemars(with = "String", extend("format" = "date-time"))]
        departing_from: OffsetDateTime,
        #[serde(
            deserialize_with = "required",
            serialize_with = "time::serde::rfc3339::serialize"
        )]
        #[schemars(with = "String", extend("format" = "date-time"))]
        departing_until: OffsetDateTime,
    },
}

fn required<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<OffsetDateTime, D::Error> {
    let at = instant(deserializer)?;
    at.ok_or_else(|| serde::de::Error::custom("must be given"))
}

/// More recipients.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MoreRecipients {
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// How many the batch has by now, as the last answer said: what makes a repeat harmless.
    #[schemars(range(min = 0))]
    pub after: i32,
    /// At most 5,000.
    #[schemars(length(max = MOST_A_CALL))]
    pub recipients: Vec<RequestedRecipient>,
}

/// The members of a request that a batch gives.
const OWN: [&str; 6] = [
    "tenant_id",
    "idempotency_key",
    "run_id",
    "beside",
    "audience",
    "recipients",
];

/// Of a request without those.
fn message_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = NotificationRequest::json_schema(generator);
    schema.remove("description");
    if let Some(Value::Object(members)) = schema.get_mut("properties") {
        members.retain(|name, _| !OWN.contains(&name.as_str()));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| name.as_str().is_none_or(|name| !OWN.contains(&name)));
    }
    schema
}

/// The request that each recipient gets, with the members that a batch gives.
fn message(tenant: TenantId, message: &Value) -> Result<NotificationRequest, ActionError> {
    let Value::Object(members) = message else {
        return Err(invalid("message", "must be an object"));
    };
    for own in OWN {
        if members.contains_key(own) {
            return Err(invalid(&format!("message.{own}"), "is the batch's own"));
        }
    }
    let mut whole = members.clone();
    whole.insert("idempotency_key".to_owned(), json!("batch"));
    whole.insert("tenant_id".to_owned(), json!(tenant));
    typed(&Value::Object(whole), "message")
}

/// Makes the batch, once. The same again answers it as it stands.
///
/// # Errors
/// `validation-failed` naming the field, also a variable that the message lacks for everybody; `not-found` for what its `context` names;
/// `conflict` where the key was used for another batch. Whatever was written by then is to be rolled back.
pub async fn create(
    tx: &mut Tx,
    tenant: TenantId,
    client: Uuid,
    new: &NewBatch,
) -> Result<BatchState, RequestError> {
    check_key(&new.idempotency_key)?;
    let mut request = message(tenant, &new.message)?;
    // So that its times are looked at as those of a request are.
    request.recipients = None;
    request.check(super::intake::now(tx).await?)?;
    check_recipients(&new.recipients)?;
    let source = format!("api/{client}");
    let said = json!([new.message, new.recipients, new.audience, new.start]).to_string();
    let hash = digest::digest(&digest::SHA256, said.as_bytes());
    let id = Uuid::now_v7();
    let run = Run::new(
        tenant,
        "batch",
        &id.to_string(),
        Vec::new(),
        &request.trigger_event,
    );
    let made = sqlx::query!(
        "insert into communications.batches
             (tenant_id, id, source, idempotency_key, body_hash, trigger_event, request, run_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8)
         on conflict on constraint batches_key do nothing",
        tenant.0,
        id,
        source,
        new.idempotency_key,
        hash.as_ref(),
        request.trigger_event,
        new.message,
        run.id.0
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if made.rows_affected() == 0 {
        let known = sqlx::query!(
            "select id, body_hash from communications.batches
              where tenant_id = $1 and source = $2 and idempotency_key = $3",
            tenant.0,
            source,
            new.idempotency_key
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        if known.body_hash != hash.as_ref() {
            let refused = ActionError::conflict("idempotency_key: was used for another batch");
            return Err(refused
                .with_details(json!({"field": "idempotency_key"}))
                .into());
        }
        return state(tx, tenant, known.id).await;
    }
    // Its messages' run, which says what they are about.
    run.ends(tx, RunStatus::Completed, &request.context).await?;
    insert(tx, tenant, id, &new.recipients).await?;
    if let Some(audience) = &new.audience {
        insert_audience(tx, tenant, id, audience).await?;
    }
    if new.start {
        return start(tx, tenant, id).await;
    }
    if !new.recipients.is_empty() || new.audience.is_some() {
        control::must_read(tx, tenant, id).await?;
    }
    state(tx, tenant, id).await
}

/// Puts more recipients at the end of a batch that is OPEN.
///
/// # Errors
/// `validation-failed`; `not-found`; `conflict` where the batch has started, or has another number of recipients by now.
pub async fn add(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    more: &MoreRecipients,
) -> Result<BatchState, RequestError> {
    check_recipients(&more.recipients)?;
    let row = sqlx::query!(
        "select status, recipients from communications.batches where tenant_id = $1 and id = $2 for no key update",
        tenant.0,
        batch
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("batch"))?;
    if row.status != "OPEN" {
        return Err(ActionError::conflict("the batch has started").into());
    }
    let count = i32::try_from(more.recipients.len()).unwrap_or(MOST);
    if row.recipients == more.after.saturating_add(count) && holds(tx, tenant, batch, more).await? {
        return state(tx, tenant, batch).await;
    }
    if row.recipients != more.after {
        let refused = format!("after: the batch has {} recipients by now", row.recipients);
        let details = json!({"field": "after", "recipients": row.recipients});
        return Err(ActionError::conflict(refused).with_details(details).into());
    }
    if row.recipients.saturating_add(count) > MOST {
        return Err(invalid("recipients", "a batch has a million at most").into());
    }
    insert(tx, tenant, batch, &more.recipients).await?;
    state(tx, tenant, batch).await
}

/// Are these the last that were added?
async fn holds(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    more: &MoreRecipients,
) -> Result<bool, DatabaseError> {
    let last: Vec<Value> = sqlx::query_scalar!(
        "select recipient from communications.batch_recipients
          where tenant_id = $1 and batch_id = $2 and position >= $3 order by position",
        tenant.0,
        batch,
        more.after
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(last
        == more
            .recipients
            .iter()
            .map(|who| json!(who))
            .collect::<Vec<_>>())
}

fn check_recipients(recipients: &[RequestedRecipient]) -> Result<(), ActionError> {
    if recipients.len() > MOST_A_CALL {
        return Err(invalid(
            "recipients",
            format!("must be at most {MOST_A_CALL} a call"),
        ));
    }
    const { assert!(MOST_A_CALL >= MOST_RECIPIENTS) };
    check_listed(recipients)
}

async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    recipients: &[RequestedRecipient],
) -> Result<(), DatabaseError> {
    if recipients.is_empty() {
        return Ok(());
    }
    let rows: Vec<Value> = recipients
        .iter()
        .map(|recipient| json!(recipient))
        .collect();
    sqlx::query!(
        "select communications.add_batch_recipients($1, $2, $3)",
        tenant.0,
        batch,
        &rows
    )
    .fetch_one(tx.conn())
    .await?;
    Ok(())
}

/// One statement, however many they are.
async fn insert_audience(
    tx: &mut Tx,
    tenant: TenantId,
    batch: Uuid,
    audience: &BatchAudience,
) -> Result<(), DatabaseError> {
    match audience {
        BatchAudience::Contacts { kind, locale } => {
            sqlx::query!(
                "select communications.add_batch_recipients($1, $2, coalesce(array_agg(jsonb_build_object('contact_id', c.id) order by c.id), '{}'))
                   from communications.contacts c
                  where c.tenant_id = $1 and c.merged_into is null and c.blocked_at is null
                    and ($3::text is null or c.kind = $3)
                    and ($4::text is null or lower(c.locale) = lower($4) or lower(c.locale) like lower($4) || '-%')",
                tenant.0,
                batch,
                kind.map(ContactKind::as_str),
                locale.as_deref()
            )
            .fetch_one(tx.conn())
            .await?;
        }
        BatchAudience::Trips {
            departing_from,
            departing_until,
        } => {
            sqlx::query!(
                "select communications.add_batch_recipients($1, $2,
                            coalesce(array_agg(jsonb_build_object('passenger_profile_id', p.id) order by p.id), '{}'))
                   from (select distinct s.passenger_profile_id as id
                           from communications.domain_trips t
                           join communications.domain_trip_passengers s on s.tenant_id = t.tenant_id and s.trip_id = t.trip_id
                          where t.tenant_id = $1 and t.departure_at >= $3 and t.departure_at < $4 and t.status <> 'CANCELLED') p",
                tenant.0,
                batch,
                departing_from,
                departing_until
            )
            .fetch_one(tx.conn())
            .await?;
        }
    }
    Ok(())
}
