//! Which template for whom: the tenant's before the platform's, the nearest locale first, published versions only.

use crate::channels::ActiveAccount;
use crate::model::{Channel, TemplateId, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The locale of last resort.
const PLATFORM_LOCALE: &str = "en";

/// A published template.
#[derive(Debug, Clone)]
pub struct Template {
    pub id: TemplateId,
    pub version: i32,
    pub channel: Channel,
    pub locale: String,
    pub subject: Option<String>,
    pub body: String,
    pub html: Option<String>,
    pub whatsapp: Option<WhatsAppSource>,
    pub of_tenant: bool,
}

impl Template {
    /// All that is rendered of it, each with the name that errors give it.
    #[must_use]
    pub fn parts(&self) -> Vec<(String, &str)> {
        let mut parts = vec![("body".to_owned(), self.body.as_str())];
        let named = [("subject", &self.subject), ("html", &self.html)];
        parts.extend(
            named
                .into_iter()
                .filter_map(|(name, source)| Some((name.to_owned(), source.as_deref()?))),
        );
        if let Some(whatsapp) = &self.whatsapp {
            let header = whatsapp.header.as_deref();
            parts.extend(header.map(|header| ("header".to_owned(), header)));
            let numbered = whatsapp.body.iter().enumerate();
            parts.extend(
                numbered.map(|(index, text)| (format!("parameter {}", index + 1), text.as_str())),
            );
            let buttons = whatsapp.buttons.iter();
            parts.extend(
                buttons.map(|button| (format!("button {}", button.index), button.url.as_str())),
            );
        }
        parts
    }
}

/// The approved template's name, its exact language, and a template for each of its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatsAppSource {
    pub name: String,
    pub language: String,
    /// For a header with a variable in its text.
    #[serde(default)]
    pub header: Option<String>,
    /// In the order of the placeholders.
    #[serde(default)]
    pub body: Vec<String>,
    #[serde(default)]
    pub buttons: Vec<ButtonSource>,
}

/// A button whose URL ends in a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ButtonSource {
    /// Its zero-based place among all buttons.
    pub index: u8,
    /// What replaces the variable end.
    pub url: String,
}

/// All published templates of one trigger that this tenant may use.
#[derive(Debug, Clone)]
pub struct Catalogue {
    templates: Vec<Template>,
    tenant_locale: String,
    /// As the tenant chose it.
    pub tenant_timezone: Option<String>,
}

impl Catalogue {
    /// # Errors
    /// When the database does not answer, or holds a template that does not read.
    pub async fn load(
        tx: &mut Tx,
        tenant: TenantId,
        trigger_event: &str,
    ) -> Result<Self, DatabaseError> {
        Self::of_version(tx, tenant, trigger_event, None).await
    }

    /// The tenant's own of this version instead, published or not.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub async fn of_version(
        tx: &mut Tx,
        tenant: TenantId,
        trigger_event: &str,
        version: Option<i32>,
    ) -> Result<Self, DatabaseError> {
        let rows = sqlx::query!(
            r#"select t.id as "id?: TemplateId", t.version as "version?", t.channel as "channel?", t.locale as "locale?",
                      t.subject, t.body as "body?", t.html, t.whatsapp_template as "whatsapp_template?", t.tenant_id = $1 as of_tenant,
                      coalesce(s.default_locale, $3) as "tenant_locale!", s.timezone as "tenant_timezone?"
                 from (values (1)) as always(one)
                 left join communications.tenant_settings s on s.tenant_id = $1
                 left join communications.notification_templates t
                   on t.tenant_id in ($1, communications.platform_tenant()) and t.trigger_event = $2
                  and case when $4::integer is null then t.status = 'PUBLISHED' else t.tenant_id = $1 and t.version = $4 end"#,
            tenant.0,
            trigger_event,
            PLATFORM_LOCALE,
            version
        )
        .fetch_all(tx.conn())
        .await?;
        let tenant_locale = rows.first().map_or_else(
            || PLATFORM_LOCALE.to_owned(),
            |row| row.tenant_locale.clone(),
        );
        let tenant_timezone = rows.first().and_then(|row| row.tenant_timezone.clone());
        let mut templates = Vec::new();
        for row in rows {
            let (Some(id), Some(version), Some(channel), Some(locale), Some(body)) =
                (row.id, row.version, row.channel, row.locale, row.body)
            else {
                continue;
            };
            let decode =
                |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
            templates.push(Template {
                id,
                version,
                channel: channel
                    .parse()
                    .map_err(|error: crate::model::UnknownWord| decode(error.into()))?,
                locale,
                subject: row.subject,
                body,
                html: row.html,
                whatsapp: row
                    .whatsapp_template
                    .map(serde_json::from_value)
                    .transpose()
                    .map_err(|error| decode(error.into()))?,
                of_tenant: row.of_tenant.unwrap_or(false),
            });
        }
        Ok(Self {
            templates,
            tenant_locale,
            tenant_timezone,
        })
    }

    /// Every template, the tenant's own instead of the platform's of the same channel and language.
    #[must_use]
    pub fn all(&self) -> Vec<&Template> {
        let mut all: Vec<&Template> = self.templates.iter().collect();
        let place = |template: &&Template| {
            (
                template.channel,
                template.locale.clone(),
                !template.of_tenant,
            )
        };
        all.sort_by_key(place);
        all.dedup_by_key(|template| (template.channel, template.locale.clone()));
        all
    }

    /// The approved templates that ours stand on.
    pub fn whatsapp(&self) -> impl Iterator<Item = &WhatsAppSource> {
        self.templates
            .iter()
            .filter_map(|template| template.whatsapp.as_ref())
    }

    /// The best match: for each locale of the chain the tenant's own template, then the platform's.
    #[must_use]
    pub fn find(&self, channel: Channel, locale: Option<&str>) -> Option<&Template> {
        locale_chain(locale, &self.tenant_locale)
            .into_iter()
            .find_map(|locale| {
                let mut fitting: Vec<&Template> = self
                    .templates
                    .iter()
                    .filter(|template| template.channel == channel && template.locale == locale)
                    .collect();
                fitting.sort_by_key(|template| !template.of_tenant);
                fitting.into_iter().next()
            })
    }
}

/// Of these, the WhatsApp templates that the number which would send cannot send now, by name and language: Meta has not approved them,
/// has other placeholders for them, or does not have them. One that we were never told of is left to Meta until all were listed once
/// (`notification_template_approvals` says the same of what is published).
///
/// # Errors
/// When the database does not answer.
pub async fn unapproved(
    tx: &mut Tx,
    tenant: TenantId,
    accounts: &[ActiveAccount],
    sources: impl Iterator<Item = &WhatsAppSource>,
) -> Result<HashSet<(String, String)>, DatabaseError> {
    let account = accounts
        .iter()
        .find(|account| account.channel == Channel::WhatsApp);
    let (mut names, mut languages, mut parameters) = (Vec::new(), Vec::new(), Vec::new());
    for source in sources {
        names.push(source.name.clone());
        languages.push(source.language.clone());
        parameters.push(i32::try_from(source.body.len()).unwrap_or(i32::MAX));
    }
    let Some(account) = account.filter(|_| !names.is_empty()) else {
        return Ok(HashSet::new());
    };
    let rows = sqlx::query!(
        r#"select n.name as "name!", n.language as "language!"
             from unnest($3::text[], $4::text[], $5::integer[]) as n (name, language, parameters)
             join communications.channel_accounts a on a.tenant_id = $1 and a.id = $2
             left join communications.whatsapp_templates t
               on t.tenant_id = a.tenant_id and t.waba_id = a.waba_id and t.name = n.name and t.language = n.language
            where case when t.status is null then a.templates_synced_at is not null
                       else t.status <> 'APPROVED' or communications.template_parameters(t.components) <> n.parameters end"#,
        tenant.0,
        account.id.0,
        &names,
        &languages,
        &parameters
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.name, row.language))
        .collect())
}

/// `es-MX` → `es` → the tenant's → its language → the platform's.
fn locale_chain(locale: Option<&str>, tenant_locale: &str) -> Vec<String> {
    let mut chain = Vec::new();
    for wanted in [locale, Some(tenant_locale), Some(PLATFORM_LOCALE)]
        .into_iter()
        .flatten()
    {
        let wanted = wanted.replace('_', "-");
        let language = wanted
            .split('-')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let exact = wanted
            .split_once('-')
            .map(|(_, region)| format!("{language}-{}", region.to_ascii_uppercase()));
        for step in [exact, Some(language)].into_iter().flatten() {
            if !chain.contains(&step) {
                chain.push(step);
            }
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_goes_from_the_person_to_the_platform() {
        assert_eq!(
            locale_chain(Some("es_mx"), "fr-CA"),
            ["es-MX", "es", "fr-CA", "fr", "en"]
        );
        assert_eq!(locale_chain(None, "en"), ["en"]);
    }

    fn template(locale: &str, of_tenant: bool) -> Template {
        let id = TemplateId::generate();
        Template {
            id,
            version: 1,
            channel: Channel::WhatsApp,
            locale: locale.to_owned(),
            subject: None,
            body: String::new(),
            html: None,
            whatsapp: None,
            of_tenant,
        }
    }

    #[test]
    fn a_nearer_locale_beats_the_tenants_own_and_the_tenants_own_beats_the_platforms() {
        let catalogue = Catalogue {
            templates: vec![
                template("es", false),
                template("en", false),
                template("en", true),
            ],
            tenant_locale: "en".to_owned(),
            tenant_timezone: None,
        };
        assert_eq!(
            catalogue
                .find(Channel::WhatsApp, Some("es-MX"))
                .unwrap()
                .locale,
            "es"
        );
        let english = catalogue.find(Channel::WhatsApp, Some("de")).unwrap();
        assert!(english.of_tenant && english.locale == "en");
        assert!(catalogue.find(Channel::Sms, Some("es")).is_none());
    }
}
