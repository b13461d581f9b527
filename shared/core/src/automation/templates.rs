//! Which template for whom: the tenant's before the platform's, the nearest locale first, published versions only.

use crate::model::{Channel, TemplateId, TenantId};
use crate::platform::{DatabaseError, Tx};
use serde::Deserialize;

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

/// The approved template's name, its exact language, and a template for each of its parameters.
#[derive(Debug, Clone, Deserialize)]
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
#[derive(Debug, Clone, Deserialize)]
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
}

impl Catalogue {
    /// # Errors
    /// When the database does not answer, or holds a template that does not read.
    pub async fn load(
        tx: &mut Tx,
        tenant: TenantId,
        trigger_event: &str,
    ) -> Result<Self, DatabaseError> {
        let rows = sqlx::query!(
            r#"select t.id as "id?: TemplateId", t.version as "version?", t.channel as "channel?", t.locale as "locale?",
                      t.subject, t.body as "body?", t.html, t.whatsapp_template as "whatsapp_template?", t.tenant_id = $1 as of_tenant,
                      coalesce(s.default_locale, $3) as "tenant_locale!"
                 from (values (1)) as always(one)
                 left join communications.tenant_settings s on s.tenant_id = $1
                 left join communications.notification_templates t
                   on t.tenant_id in ($1, communications.platform_tenant()) and t.trigger_event = $2 and t.status = 'PUBLISHED'"#,
            tenant.0,
            trigger_event,
            PLATFORM_LOCALE
        )
        .fetch_all(tx.conn())
        .await?;
        let tenant_locale = rows.first().map_or_else(
            || PLATFORM_LOCALE.to_owned(),
            |row| row.tenant_locale.clone(),
        );
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
        })
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
