//! WhatsApp's window: 24 hours of free form after the contact wrote; then only templates that Meta approved.
//!
//! Checked here, so that the agent learns it at once and is told what may be sent instead; again when the message leaves
//! (`communications.claim_messages`), because it may have waited; and Meta stays the final judge.

use super::InboxError;
use crate::model::{AccountId, ContactId, TenantId};
use crate::platform::{DatabaseError, Tx, hasura::ActionError};
use comms_providers::command::WhatsAppTemplate;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// Templates that a refusal lists; a picker has its own query.
const LISTED: i64 = 100;

/// A template that may be sent.
#[derive(Debug, Serialize)]
struct Approved {
    name: String,
    language: String,
    category: Option<String>,
    /// HEADER, BODY, FOOTER and BUTTONS in Meta's own form, as far as it has told.
    components: Option<Value>,
}

/// # Errors
/// `window-closed` with the account's approved `templates`.
pub(super) async fn must_be_open(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    contact: ContactId,
) -> Result<(), InboxError> {
    let open = sqlx::query_scalar!(
        r#"select exists (select from communications.whatsapp_windows
                           where tenant_id = $1 and account_id = $2 and contact_id = $3 and open_until > now()) as "open!""#,
        tenant.0,
        account.0,
        contact.0
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if open {
        return Ok(());
    }
    Err(closed(tx, tenant, account).await?.into())
}

/// The refusal, with what may be sent instead.
pub(super) async fn closed(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<ActionError, DatabaseError> {
    let templates = approved(tx, tenant, account).await?;
    let refused = ActionError::new(
        StatusCode::CONFLICT,
        "window-closed",
        "more than 24 hours since the contact wrote: only an approved template may be sent",
    );
    Ok(refused.with_details(json!({"templates": templates})))
}

async fn approved(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<Vec<Approved>, DatabaseError> {
    Ok(sqlx::query_as!(
        Approved,
        "select t.name, t.language, t.category, t.components
           from communications.channel_accounts a
           join communications.whatsapp_templates t on t.tenant_id = a.tenant_id and t.waba_id = a.waba_id
          where a.tenant_id = $1 and a.id = $2 and t.status = 'APPROVED'
          order by t.name, t.language
          limit $3",
        tenant.0,
        account.0,
        LISTED
    )
    .fetch_all(tx.conn())
    .await?)
}

/// What people read in the thread for a template. One that we were never told of is left to Meta, which knows.
///
/// # Errors
/// `template-not-approved`, naming its status; `validation-failed` when it has another number of parameters.
pub(super) async fn template_body(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    template: &WhatsAppTemplate,
) -> Result<String, InboxError> {
    let known = sqlx::query!(
        "select t.status, t.components
           from communications.channel_accounts a
           join communications.whatsapp_templates t on t.tenant_id = a.tenant_id and t.waba_id = a.waba_id
          where a.tenant_id = $1 and a.id = $2 and t.name = $3 and t.language = $4",
        tenant.0,
        account.0,
        template.name,
        template.language
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let unknown = || format!("[template: {}]", template.name);
    let Some(known) = known else {
        return Ok(unknown());
    };
    if let Some(status) = known.status.filter(|status| status != "APPROVED") {
        let refused = ActionError::new(
            StatusCode::CONFLICT,
            "template-not-approved",
            "the template must not be sent in this language now",
        );
        return Err(refused.with_details(json!({"status": status})).into());
    }
    match known.components.as_ref().and_then(body) {
        Some(text) => Ok(filled(text, template)?),
        None => Ok(unknown()),
    }
}

/// The text of the BODY.
fn body(components: &Value) -> Option<&str> {
    let is_body = |component: &&Value| {
        let kind = component["type"].as_str();
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("BODY"))
    };
    components.as_array()?.iter().find(is_body)?["text"].as_str()
}

/// `Hola {{1}}` or `Hola {{name}}` with what stands for each.
fn filled(text: &str, template: &WhatsAppTemplate) -> Result<String, ActionError> {
    let mut written = String::new();
    let mut rest = text;
    let mut used = Vec::new();
    while let Some((before, name, after)) = placeholder(rest) {
        let value = parameter(name, template).ok_or_else(|| {
            ActionError::invalid(format!(
                "content.template.body must have a value for {{{{{name}}}}}"
            ))
        })?;
        written.push_str(before);
        written.push_str(value);
        if !used.contains(&name) {
            used.push(name);
        }
        rest = after;
    }
    if used.len() < template.body.len() {
        return Err(ActionError::invalid(format!(
            "content.template.body must have {} values",
            used.len()
        )));
    }
    written.push_str(rest);
    Ok(written)
}

fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name.trim(), after))
}

fn parameter<'a>(name: &str, template: &'a WhatsAppTemplate) -> Option<&'a str> {
    let place = match template.body_names.iter().position(|known| known == name) {
        Some(place) => place,
        None => name.parse::<usize>().ok()?.checked_sub(1)?,
    };
    template.body.get(place).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(body: &[&str], names: &[&str]) -> WhatsAppTemplate {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        WhatsAppTemplate {
            body: owned(body),
            body_names: owned(names),
            ..WhatsAppTemplate::default()
        }
    }

    #[test]
    fn a_templates_words_have_its_parameters_in_them() {
        let filled = |text, body: &[&str], names: &[&str]| filled(text, &template(body, names));
        assert_eq!(
            filled("Hola {{1}}, {{ 2 }} {{1}}.", &["Ana", "a las 9"], &[]).unwrap(),
            "Hola Ana, a las 9 Ana."
        );
        assert_eq!(
            filled("Hola {{name}}", &["Ana {{1}}"], &["name"]).unwrap(),
            "Hola Ana {{1}}"
        );
        assert_eq!(filled("Hola {{", &[], &[]).unwrap(), "Hola {{");
        for (text, body) in [
            ("{{1}} {{2}}", &["a"][..]),
            ("{{1}}", &["a", "b"]),
            ("{{0}}", &["a"]),
            ("{{x}}", &["a"]),
        ] {
            assert_eq!(
                filled(text, body, &[]).unwrap_err().code,
                "validation-failed",
                "{text}"
            );
        }
    }
}
