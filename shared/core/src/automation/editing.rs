//! `saveTemplate`, `publishTemplate`, `previewTemplate`: a tenant's own words, by its administrators.
//!
//! Saving makes a draft, or replaces the one there is; publishing makes it the one version that is used, and retires the one before.
//! What is published never changes: messages name their template and its version.

use super::registry::{FiredBy, Subject, by_event};
use super::render;
use super::request::{PreviewRequest, Previewed, RequestError, check_event, preview};
use super::subject::RunContext;
use super::templates::{Template, WhatsAppSource, unapproved};
use crate::channels::accounts;
use crate::inbox::{InboxError, administrators};
use crate::model::{Channel, TemplateId, TenantId};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Bytes of all parts together.
const SOURCE_LIMIT: usize = 128 * 1024;

/// The arguments of `saveTemplate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateDraft {
    pub trigger_event: String,
    pub channel: Channel,
    /// `es`, or `es-MX`.
    pub locale: String,
    /// Of an email.
    #[serde(default)]
    pub subject: Option<String>,
    /// What people read; of an email its plain text.
    pub body: String,
    /// Of an email.
    #[serde(default)]
    pub html: Option<String>,
    /// Of WhatsApp: `{name, language, header?, body: [], buttons: []}`.
    #[serde(default)]
    pub whatsapp_template: Option<WhatsAppSource>,
}

/// What saving and publishing answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemplateState {
    pub template_id: TemplateId,
    pub version: i32,
    /// DRAFT, PUBLISHED or RETIRED.
    pub status: String,
    /// What it says of people and rows, such as `trip.code`.
    pub variables: Vec<String>,
}

/// The names that a trigger about such a row gives every template, beside `recipient.*`.
fn names_of(subject: Subject) -> Vec<&'static str> {
    const TRIP: &[&str] = &[
        "trip.status",
        "trip.code",
        "trip.origin",
        "trip.destination",
        "trip.vehicle",
        "trip.departure_time",
        "trip.new_departure_time",
        "trip.departure_date",
    ];
    const BOOKING: &[&str] = &[
        "booking.reference",
        "booking.status",
        "booking.seats",
        "booking.currency",
        "booking.balance_due",
        "booking.balance_due_date",
    ];
    let own: &[&str] = match subject {
        Subject::Trip => &[],
        Subject::Booking | Subject::Seat => BOOKING,
        Subject::Payment => &["payment.amount", "payment.currency", "payment.status"],
        Subject::Invoice => &[
            "invoice.number",
            "invoice.status",
            "invoice.currency",
            "invoice.total",
            "invoice.due_date",
        ],
        Subject::Incident => &["incident.summary", "incident.severity", "incident.status"],
        Subject::Shift => &["shift.start_date", "shift.start_time"],
        Subject::VendorOrder => &[
            "order.service",
            "order.status",
            "order.needed_date",
            "order.needed_time",
        ],
    };
    let booking = match subject {
        Subject::Payment | Subject::Invoice => BOOKING,
        _ => &[],
    };
    [own, booking, TRIP].concat()
}

/// Every name that a template of this trigger may use; `None` for a trigger that is none of the registry's, whose caller gives what
/// it likes.
#[must_use]
pub fn variable_names(event: &str) -> Option<Vec<&'static str>> {
    let subjects: Vec<Subject> = match &by_event(event)?.fired_by {
        FiredBy::Changes(firings) => firings.iter().map(|firing| firing.subject).collect(),
        FiredBy::Time(moment) => vec![moment.subject],
    };
    let own = [
        "recipient.first_name",
        "recipient.full_name",
        "recipient.pickup_point",
        "passenger.first_name",
        "passenger.full_name",
    ];
    // A trigger that several rows fire has what all of them give.
    let mut names: Vec<&'static str> = names_of(*subjects.first()?);
    names.retain(|name| {
        subjects
            .iter()
            .all(|subject| names_of(*subject).contains(name))
    });
    names.extend(own);
    Some(names)
}

/// # Errors
/// `forbidden` for all but administrators; `validation-failed` naming the part and what is wrong with it.
pub async fn save_template(
    tx: &mut Tx,
    session: &Session,
    draft: &TemplateDraft,
) -> Result<TemplateState, InboxError> {
    administrators(session, "write templates")?;
    let locale = check(draft)?;
    let variables = variables(draft)?;
    let schema: Map<String, Value> = variables
        .iter()
        .map(|name| (name.clone(), json!("string")))
        .collect();
    let whatsapp = draft.whatsapp_template.as_ref().map(|source| json!(source));
    // One draft a slot: two who save at once are in line.
    let slot = format!(
        "{}/template/{}/{}/{locale}",
        session.tenant, draft.trigger_event, draft.channel
    );
    sqlx::query!(
        "select pg_advisory_xact_lock(hashtextextended($1, 0))",
        slot
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let row = sqlx::query!(
        r#"with slot as (
               select t.* from communications.notification_templates t
                where t.tenant_id = $1 and t.trigger_event = $3 and t.channel = $4 and t.locale = $5),
           replaced as (
               update communications.notification_templates t
                  set subject = $6, body = $7, html = $8, whatsapp_template = $9, variable_schema = $10
                 from slot s
                where t.tenant_id = $1 and t.id = s.id and s.status = 'DRAFT'
               returning t.id, t.version),
           added as (
               insert into communications.notification_templates
                   (tenant_id, id, trigger_event, channel, locale, version, subject, body, html, whatsapp_template, variable_schema)
               select $1, $2, $3, $4, $5, coalesce((select max(version) from slot), 0) + 1, $6, $7, $8, $9, $10
                where not exists (select from slot where status = 'DRAFT')
               returning id, version)
           select id as "id!: TemplateId", version as "version!" from replaced
           union all select id, version from added"#,
        session.tenant.0,
        TemplateId::generate().0,
        draft.trigger_event,
        draft.channel.as_str(),
        locale,
        draft.subject,
        draft.body,
        draft.html,
        whatsapp,
        Value::Object(schema)
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(TemplateState {
        template_id: row.id,
        version: row.version,
        status: "DRAFT".to_owned(),
        variables,
    })
}

/// The locale as it is stored.
fn check(draft: &TemplateDraft) -> Result<String, ActionError> {
    check_event(&draft.trigger_event)?;
    let wrong = |field: &str, problem: &str| ActionError::invalid(format!("{field}: {problem}"));
    let given =
        |field: &'static str, is: bool, channel: Channel| match (is, draft.channel == channel) {
            (true, false) => Err(wrong(field, &format!("{} has none", draft.channel))),
            _ => Ok(()),
        };
    given("subject", draft.subject.is_some(), Channel::Email)?;
    given("html", draft.html.is_some(), Channel::Email)?;
    given(
        "whatsapp_template",
        draft.whatsapp_template.is_some(),
        Channel::WhatsApp,
    )?;
    match draft.channel {
        Channel::Email if draft.subject.is_none() => {
            return Err(wrong("subject", "an email must have one"));
        }
        Channel::WhatsApp if draft.whatsapp_template.is_none() => {
            return Err(wrong(
                "whatsapp_template",
                "must name the approved template",
            ));
        }
        Channel::Webchat => return Err(wrong("channel", "WEBCHAT carries no notifications")),
        _ => {}
    }
    let (language, region) = match draft.locale.split_once(['-', '_']) {
        Some((language, region)) => (language, Some(region)),
        None => (draft.locale.as_str(), None),
    };
    let letters = |text: &str, most: usize| {
        (2..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    if !letters(language, 3) || region.is_some_and(|region| !letters(region, 2)) {
        return Err(wrong("locale", "must be a language, such as es or es-MX"));
    }
    let language = language.to_ascii_lowercase();
    Ok(region.map_or(language.clone(), |region| {
        format!("{language}-{}", region.to_ascii_uppercase())
    }))
}

/// The names that it uses, all of them known.
fn variables(draft: &TemplateDraft) -> Result<Vec<String>, ActionError> {
    let template = as_template(draft);
    let parts = template.parts();
    if parts.iter().map(|(_, source)| source.len()).sum::<usize>() > SOURCE_LIMIT {
        return Err(ActionError::invalid(format!(
            "body: all parts together must be at most {SOURCE_LIMIT} bytes"
        )));
    }
    let known = variable_names(&draft.trigger_event);
    let mut used = BTreeSet::new();
    for (part, source) in &parts {
        for name in
            render::used(part, source).map_err(|error| ActionError::invalid(error.to_string()))?
        {
            if known
                .as_ref()
                .is_some_and(|known| !known.contains(&name.as_str()))
            {
                let refused = format!(
                    "{part}: {name} is nothing that {} tells",
                    draft.trigger_event
                );
                return Err(ActionError::invalid(refused).with_details(json!({"variables": known})));
            }
            used.insert(name);
        }
    }
    Ok(used.into_iter().collect())
}

/// As it would be rendered.
fn as_template(draft: &TemplateDraft) -> Template {
    Template {
        id: TemplateId::generate(),
        version: 0,
        channel: draft.channel,
        locale: draft.locale.clone(),
        subject: draft.subject.clone(),
        body: draft.body.clone(),
        html: draft.html.clone(),
        whatsapp: draft.whatsapp_template.clone(),
        of_tenant: true,
    }
}

/// The draft is what is used from now on; the version before it is RETIRED. Published before: the same answer.
///
/// # Errors
/// `forbidden`; `not-found`; `conflict` for a retired version; `template-not-approved` where Meta is known not to take it.
pub async fn publish_template(
    tx: &mut Tx,
    session: &Session,
    template: TemplateId,
) -> Result<TemplateState, InboxError> {
    administrators(session, "publish templates")?;
    let row = sqlx::query!(
        r#"select trigger_event, channel, locale, version, status, whatsapp_template, variable_schema
             from communications.notification_templates where tenant_id = $1 and id = $2 for update"#,
        session.tenant.0,
        template.0
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?
    .ok_or_else(|| ActionError::not_found("template"))?;
    let state = |status: &str| TemplateState {
        template_id: template,
        version: row.version,
        status: status.to_owned(),
        variables: row
            .variable_schema
            .as_object()
            .map(|names| names.keys().cloned().collect())
            .unwrap_or_default(),
    };
    match row.status.as_str() {
        "PUBLISHED" => return Ok(state("PUBLISHED")),
        "DRAFT" => {}
        _ => {
            return Err(ActionError::conflict(
                "the version is retired: save its text as a new draft",
            )
            .into());
        }
    }
    if let Some(source) = &row.whatsapp_template {
        approved(tx, session.tenant, source).await?;
    }
    sqlx::query!(
        "update communications.notification_templates
            set status = 'RETIRED'
          where tenant_id = $1 and trigger_event = $2 and channel = $3 and locale = $4 and status = 'PUBLISHED'",
        session.tenant.0,
        row.trigger_event,
        row.channel,
        row.locale
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    sqlx::query!(
        "update communications.notification_templates
            set status = 'PUBLISHED', published_at = now() where tenant_id = $1 and id = $2",
        session.tenant.0,
        template.0
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(state("PUBLISHED"))
}

async fn approved(tx: &mut Tx, tenant: TenantId, source: &Value) -> Result<(), InboxError> {
    let source: WhatsAppSource = serde_json::from_value(source.clone())
        .map_err(|error| DatabaseError::from(sqlx::Error::Decode(error.into())))?;
    let accounts = accounts::active(tx, tenant).await?;
    let refused = unapproved(tx, tenant, &accounts, std::iter::once(&source)).await?;
    if refused.is_empty() {
        return Ok(());
    }
    Err(ActionError::new(
        StatusCode::CONFLICT,
        "template-not-approved",
        format!(
            "Meta has not approved {} in {} with {} placeholders",
            source.name,
            source.language,
            source.body.len()
        ),
    )
    .into())
}

/// The arguments of `previewTemplate`: what a program asks, without a tenant.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplatePreview {
    pub trigger_event: String,
    #[serde(default)]
    pub channels: Option<Vec<Channel>>,
    #[serde(default)]
    pub locales: Option<Vec<String>>,
    #[serde(default)]
    pub version: Option<i32>,
    #[serde(default)]
    pub variables: Option<Map<String, Value>>,
    #[serde(default)]
    pub context: Option<RunContext>,
    #[serde(default)]
    pub name: Option<String>,
}

/// `preview` for people, of the session's tenant.
///
/// # Errors
/// `forbidden` for all but administrators; else as [`preview`].
pub async fn preview_template(
    tx: &mut Tx,
    session: &Session,
    asked: &TemplatePreview,
) -> Result<Previewed, InboxError> {
    administrators(session, "preview templates")?;
    let request = PreviewRequest {
        tenant_id: None,
        trigger_event: asked.trigger_event.clone(),
        channels: asked.channels.clone(),
        locales: asked.locales.clone(),
        version: asked.version,
        variables: asked.variables.clone().unwrap_or_default(),
        context: asked.context.clone().unwrap_or_default(),
        name: asked.name.clone(),
    };
    preview(tx, session.tenant, &request)
        .await
        .map_err(|error| match error {
            RequestError::Refused(refused) => refused.into(),
            RequestError::Automation(super::AutomationError::Database(error)) => error.into(),
            RequestError::Automation(error) => ActionError::conflict(error.to_string()).into(),
        })
}
