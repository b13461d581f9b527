//! WhatsApp templates at Meta: handing in, and having here what Meta says of them.
//!
//! Notices bring changes as they happen (`communications.store_template_notices`); the whole list is asked when a number is connected, when somebody asks for it,
//! and every six hours, because notices can be lost and what was deleted sends none. Whether one of ours may be sent, planning and
//! `notification_template_approvals` decide by it.

use super::provisioning::refused;
use super::vault::{Owner, Vault};
use super::whatsapp::{Connector, client};
use super::{ChannelError, lifecycle};
use crate::model::{AccountId, TenantId};
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::{Database, DatabaseError, telemetry};
use comms_providers::whatsapp::onboarding::{NewTemplate, OnboardingClient, Template};
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Of all accounts, those listed longest ago.
const LISTED_EVERY_HOURS: f64 = 6.0;
/// After a list that failed.
const AGAIN_AFTER_MINUTES: f64 = 15.0;
/// At so many at a time: a list is a call for every fifty templates.
const LISTED_AT_ONCE: i64 = 5;

/// What calling Meta as an account stands on.
pub type Means<'a> = (&'a Database, &'a Vault, &'a Connector);

/// The arguments of `submitWhatsAppTemplate`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    pub channel_account_id: AccountId,
    pub name: String,
    pub language: String,
    /// `AUTHENTICATION`, `MARKETING` or `UTILITY`.
    pub category: String,
    /// `POSITIONAL`, where nothing is said, or `NAMED`.
    #[serde(default)]
    pub parameter_format: Option<String>,
    /// In Meta's own form, with examples.
    pub components: Value,
}

/// A template as Meta has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submitted {
    pub name: String,
    pub language: String,
    /// `PENDING` as a rule.
    pub status: String,
    /// Meta's choice, which sets the price.
    pub category: Option<String>,
}

/// What a list came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Synced {
    pub templates: usize,
    pub approved: usize,
    /// Known here, and not to Meta any more.
    pub gone: i32,
}

/// The account's business account, and its token.
struct Speaker {
    tenant: TenantId,
    waba: String,
    token: SecretString,
    meta: OnboardingClient,
}

impl Speaker {
    async fn of(
        (database, vault, connector): Means<'_>,
        tenant: TenantId,
        account: AccountId,
    ) -> Result<Self, ChannelError> {
        let mut tx = database.begin().await?;
        let locked = lifecycle::lock(&mut tx, tenant, account).await?;
        tx.commit().await?;
        let (Some(waba), "META") = (locked.waba_id, &*locked.provider) else {
            return Err(ActionError::invalid(
                "channel_account_id must be of a WhatsApp number that is connected",
            )
            .into());
        };
        let Some(envelope) = locked.config.secrets.first() else {
            return Err(ActionError::new(
                StatusCode::CONFLICT,
                "connect-again",
                "the account has no credentials yet",
            )
            .into());
        };
        let credentials = vault.open(Owner { tenant, account }, envelope).await?;
        Ok(Self {
            tenant,
            waba,
            token: credentials.access_token,
            meta: client(connector).await?,
        })
    }

    async fn kept(
        &self,
        database: &Database,
        wanted: &Submit,
    ) -> Result<Option<(Submitted, Option<Value>)>, ChannelError> {
        let mut tx = database.begin().await?;
        let row = sqlx::query!(
            r#"select status as "status!", category, components from communications.whatsapp_templates
                where tenant_id = $1 and waba_id = $2 and name = $3 and language = $4
                  and status is not null and status <> 'DELETED'"#,
            self.tenant.0,
            self.waba,
            wanted.name,
            wanted.language
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        tx.commit().await?;
        Ok(row.map(|row| {
            let submitted = Submitted {
                name: wanted.name.clone(),
                language: wanted.language.clone(),
                status: row.status,
                category: row.category,
            };
            (submitted, row.components)
        }))
    }

    /// Asks for the whole list and keeps it.
    async fn sync(&self, database: &Database) -> Result<Synced, ChannelError> {
        let mut tx = database.begin().await?;
        // By the database's clock, and before the call: what Meta announces meanwhile is newer.
        let at = sqlx::query_scalar!(r#"select clock_timestamp() as "at!""#)
            .fetch_one(tx.conn())
            .await
            .map_err(DatabaseError::from)?;
        tx.commit().await?;
        let all = self.meta.all_templates(&self.token, &self.waba).await;
        let all = all.map_err(|error| refused(&error))?;
        let gone = self.store(database, at, &all).await?;
        Ok(Synced {
            templates: all.len(),
            approved: all
                .iter()
                .filter(|template| template.status == "APPROVED")
                .count(),
            gone,
        })
    }

    async fn store(
        &self,
        database: &Database,
        at: OffsetDateTime,
        all: &[Template],
    ) -> Result<i32, ChannelError> {
        let list: Vec<Value> = all
            .iter()
            .map(|template| {
                json!({
                    "name": template.name, "language": template.language, "template_id": template.id, "status": template.status,
                    "category": template.category, "quality": template.quality, "reason": template.rejected_reason,
                    "components": template.components
                })
            })
            .collect();
        let mut tx = database.begin().await?;
        let gone = sqlx::query_scalar!(
            r#"select communications.store_template_list($1, $2, $3, $4) as "gone!""#,
            self.tenant.0,
            self.waba,
            at,
            json!(list)
        )
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        tx.commit().await?;
        Ok(gone)
    }
}

/// Hands a template in for Meta's review. The same template again is answered as it stands, also where the first answer was lost.
///
/// # Errors
/// `forbidden` for all but administrators; `not-found`; `validation-failed` naming the field; `connect-again`; `template-exists` for
/// another text under this name and language; `provider-refused` with class, code, cause and cure.
pub async fn submit(
    means: Means<'_>,
    session: &Session,
    wanted: Submit,
) -> Result<Submitted, ChannelError> {
    administrators(session, "hand templates in")?;
    let new = NewTemplate {
        name: wanted.name.clone(),
        language: wanted.language.clone(),
        category: wanted.category.clone(),
        parameter_format: wanted.parameter_format.clone(),
        components: wanted.components.clone(),
    };
    new.check().map_err(ActionError::invalid)?;
    let speaker = Speaker::of(means, session.tenant, wanted.channel_account_id).await?;
    if let Some(known) = speaker.kept(means.0, &wanted).await? {
        return same_or_taken(known, &wanted);
    }
    let created = speaker
        .meta
        .create_template(&speaker.token, &speaker.waba, &new);
    let created = match created.await {
        Ok(created) => created,
        Err(error) => {
            // It may have been taken by a call whose answer was lost.
            let listed = speaker.sync(means.0).await;
            return match speaker.kept(means.0, &wanted).await? {
                Some(known) if listed.is_ok() => same_or_taken(known, &wanted),
                _ => Err(refused(&error).into()),
            };
        }
    };
    let notice = json!([{
        "kind": "TEMPLATE", "tenant_id": session.tenant, "waba_id": speaker.waba, "name": wanted.name, "language": wanted.language,
        "template_id": created.id, "status": created.status, "category": created.category, "components": wanted.components
    }]);
    let mut tx = means.0.begin().await?;
    sqlx::query!("select communications.store_template_notices($1)", notice)
        .fetch_one(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
    tx.commit().await?;
    Ok(Submitted {
        name: wanted.name,
        language: wanted.language,
        status: created.status,
        category: created.category,
    })
}

fn same_or_taken(
    (known, components): (Submitted, Option<Value>),
    wanted: &Submit,
) -> Result<Submitted, ChannelError> {
    if components
        .as_ref()
        .is_none_or(|kept| texts(kept) == texts(&wanted.components))
    {
        return Ok(known);
    }
    let taken = ActionError::new(
        StatusCode::CONFLICT,
        "template-exists",
        "the business account has another template of this name and language: choose another name",
    );
    Err(taken.with_details(json!({"status": known.status})).into())
}

/// What people read of a template, by component: Meta leaves some of the rest out, and adds some.
fn texts(components: &Value) -> Vec<(String, String)> {
    let list = components.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut texts: Vec<(String, String)> = list
        .iter()
        .filter_map(|component| {
            let text = component["text"].as_str()?;
            let kind = component["type"].as_str().unwrap_or_default();
            Some((kind.to_ascii_uppercase(), text.to_owned()))
        })
        .collect();
    texts.sort();
    texts
}

/// Asks Meta for all templates of the account's business account now.
///
/// # Errors
/// `forbidden`; `not-found`; `validation-failed`; `connect-again`; `provider-refused`.
pub async fn sync(
    means: Means<'_>,
    session: &Session,
    account: AccountId,
) -> Result<Synced, ChannelError> {
    administrators(session, "list templates")?;
    let speaker = Speaker::of(means, session.tenant, account).await?;
    speaker.sync(means.0).await
}

/// What the upkeep does: lists that are old, or were never asked for. Answers how many there were; an account whose list fails is tried
/// again later and holds up no other.
///
/// # Errors
/// When the database does not answer.
pub async fn sync_due(means: Means<'_>) -> Result<usize, ChannelError> {
    let mut tx = means.0.begin().await?;
    let due = sqlx::query!(
        r#"update communications.channel_accounts a set templates_tried_at = now()
             from (select tenant_id, id from communications.channel_accounts
                    where channel = 'WHATSAPP' and status = 'ACTIVE' and provider = 'META' and waba_id is not null
                      and (templates_synced_at is null or templates_synced_at < now() - $1 * interval '1 hour')
                      and (templates_tried_at is null or templates_tried_at < now() - $2 * interval '1 minute')
                    order by templates_tried_at nulls first limit $3 for update skip locked) due
            where a.tenant_id = due.tenant_id and a.id = due.id
           returning a.tenant_id as "tenant: TenantId", a.id as "id: AccountId""#,
        LISTED_EVERY_HOURS,
        AGAIN_AFTER_MINUTES,
        LISTED_AT_ONCE
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    let mut listed = 0;
    for account in due {
        let synced = match Speaker::of(means, account.tenant, account.id).await {
            Ok(speaker) => speaker.sync(means.0).await,
            Err(error) => Err(error),
        };
        match synced {
            Ok(_) => listed += 1,
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::warn!(account.id = %account.id, error, "templates were not listed");
            }
        }
    }
    Ok(listed)
}
