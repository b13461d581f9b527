//! `preview`: how a trigger's templates would read, in every language and on every channel, and what they lack. Nothing is stored
//! and nothing is sent.

use super::{EVENT_PATTERN, check_event, facts, invalid};
use crate::automation::audience::{Recipient, Who};
use crate::automation::plan::variables;
use crate::automation::render::{self, missing};
use crate::automation::subject::{RunContext, over};
use crate::automation::templates::{Catalogue, Template};
use crate::model::{Category, Channel, TenantId};
use crate::platform::{DatabaseError, Tx};
use comms_providers::{Content, sms};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Which templates are shown, and with what. Absent is null.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    #[schemars(regex(pattern = EVENT_PATTERN))]
    pub trigger_event: String,
    /// Only these; absent: all that there are.
    #[serde(default)]
    pub channels: Option<Vec<Channel>>,
    #[serde(default)]
    pub locales: Option<Vec<String>>,
    /// Of the tenant's own templates this version, a draft or a retired one included; absent: what is published.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub version: Option<i32>,
    /// Over what `context` tells.
    #[serde(default)]
    pub variables: Map<String, Value>,
    #[serde(default)]
    pub context: RunContext,
    /// Of the recipient that it would read like this for.
    #[serde(default)]
    pub name: Option<String>,
}

/// How templates would read.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Previewed {
    pub trigger_event: String,
    /// By channel and language.
    pub previews: Vec<Preview>,
}

/// One template.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Preview {
    pub channel: Channel,
    pub locale: String,
    pub version: i32,
    /// Is it the tenant's own, or the platform's?
    pub of_tenant: bool,
    /// What would be sent: a WhatsApp template, an email or a text message, by its `type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Map<String, Value>",
        extend("properties" = {"type": {"enum": ["template", "email", "sms"]}}, "required" = ["type"])
    )]
    pub content: Option<Content>,
    /// What people would read in the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Of a text message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sms: Option<Segments>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Names that the template uses and nobody gave, such as `trip.code`.
    pub missing_variables: Vec<String>,
}

/// What a text message costs.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
pub struct Segments {
    /// Paid for one by one.
    pub parts: usize,
    /// GSM-7 septets, or UTF-16 units.
    pub units: usize,
    pub gsm7: bool,
}

/// # Errors
/// `validation-failed` naming the field; `not-found` for what `context` names, and for a trigger without templates.
pub async fn preview(
    tx: &mut Tx,
    tenant: TenantId,
    request: &PreviewRequest,
) -> Result<Previewed, super::RequestError> {
    check_event(&request.trigger_event)?;
    let facts = facts(tx, tenant, &request.context).await?;
    let words = over(facts.words, &request.variables);
    let catalogue =
        Catalogue::of_version(tx, tenant, &request.trigger_event, request.version).await?;
    let recipient = somebody(request.name.as_deref());
    let variables = variables(&recipient, &words);
    let category = category(tx, tenant, &request.trigger_event).await?;
    let wanted = |template: &&Template| {
        let channel = request.channels.as_ref();
        let locale = request.locales.as_ref();
        channel.is_none_or(|only| only.contains(&template.channel))
            && locale.is_none_or(|only| only.contains(&template.locale))
    };
    let previews: Vec<Preview> = catalogue
        .all()
        .into_iter()
        .filter(wanted)
        .map(|template| shown(template, &variables, category))
        .collect();
    if previews.is_empty() {
        let problem = match request.version {
            None => "has no published template on these channels and in these languages",
            Some(_) => "has no template of this version on these channels and in these languages",
        };
        return Err(invalid("trigger_event", problem).into());
    }
    Ok(Previewed {
        trigger_event: request.trigger_event.clone(),
        previews,
    })
}

fn shown(template: &Template, variables: &Value, category: Category) -> Preview {
    let missing_variables = missing(template, variables);
    let rendered = render::render(template, variables, category);
    let (content, body, error) = match rendered {
        Ok(rendered) => (Some(rendered.content), Some(rendered.body), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    let sms = match &content {
        Some(Content::Sms(text)) => {
            let counted = sms::segments(&text.body);
            Some(Segments {
                parts: counted.parts,
                units: counted.units,
                gsm7: counted.encoding == sms::Encoding::Gsm7,
            })
        }
        _ => None,
    };
    Preview {
        channel: template.channel,
        locale: template.locale.clone(),
        version: template.version,
        of_tenant: template.of_tenant,
        content,
        body,
        sms,
        error,
        missing_variables,
    }
}

/// A preview is nobody's: it reads as for a passenger of this name.
pub(super) fn somebody(name: Option<&str>) -> Recipient {
    Recipient {
        who: Who::Passenger(crate::model::PassengerProfileId(uuid::Uuid::nil())),
        full_name: name.unwrap_or("Ana García").to_owned(),
        phone: None,
        email: None,
        locale: None,
        timezone: None,
        words: Map::from_iter([("pickup_point".to_owned(), Value::Null)]),
        variables: Map::new(),
    }
}

/// Of the first rule that the trigger has; without one it would be transactional.
async fn category(tx: &mut Tx, tenant: TenantId, event: &str) -> Result<Category, DatabaseError> {
    let category = sqlx::query_scalar!(
        "select category from communications.notification_rules
          where tenant_id in ($1, communications.platform_tenant()) and trigger_event = $2
          order by tenant_id = $1 desc, audience limit 1",
        tenant.0,
        event
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(category
        .and_then(|category| category.parse().ok())
        .unwrap_or(Category::Transactional))
}
