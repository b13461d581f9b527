//! Templates of an account: handed in, reviewed by a test, announced by webhook, and usable by sends once approved.

use super::HOUR;
use crate::cloud::errors::ApiError;
use crate::poster::Posting;
use crate::state::State;
use crate::webhook::WebhookBuilder;
use crate::{Refused, Template, TemplateState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const NAME_LIMIT: usize = 512;
const NAME_REST: u64 = 30 * 24 * HOUR;
const CATEGORIES: [&str; 3] = ["AUTHENTICATION", "MARKETING", "UTILITY"];

/// A template as Meta keeps it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    id: u64,
    name: String,
    language: String,
    category: String,
    status: String,
    quality: String,
    rejected_reason: String,
    components: Value,
    parameter_format: String,
}

/// What Meta decides about a template; every member that is there is announced.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    pub waba_id: String,
    pub name: String,
    pub language: String,
    /// `APPROVED`, `REJECTED`, `PAUSED`, `DISABLED`…
    #[serde(default)]
    pub status: Option<String>,
    /// Why it was rejected, such as `INVALID_FORMAT`.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`.
    #[serde(default)]
    pub quality: Option<String>,
}

impl Review {
    /// A new state and nothing else.
    #[must_use]
    pub fn status(waba_id: &str, name: &str, language: &str, status: &str) -> Self {
        Self {
            waba_id: waba_id.to_owned(),
            name: name.to_owned(),
            language: language.to_owned(),
            status: Some(status.to_owned()),
            ..Self::default()
        }
    }
}

/// The part of a list that was asked for.
pub(crate) struct Cut {
    pub(crate) limit: usize,
    pub(crate) after: Option<String>,
}

impl Cut {
    /// Cursors are places in the list; one that is none is stale.
    pub(super) fn of(&self, items: &[Value]) -> Result<Value, ApiError> {
        let stale = || ApiError::new(131_059, "The cursor is no longer valid.");
        let from = match &self.after {
            Some(cursor) => cursor.parse().map_err(|_| stale())?,
            None => 0,
        };
        if from > items.len() {
            return Err(stale());
        }
        let to = items.len().min(from + self.limit);
        let mut paging =
            json!({ "cursors": { "before": from.to_string(), "after": to.to_string() } });
        if to < items.len() {
            paging["next"] = json!("https://graph.facebook.com/next");
        }
        Ok(json!({ "data": &items[from..to], "paging": paging }))
    }
}

impl State {
    /// `GET /{waba}/message_templates`.
    pub(crate) fn list_templates(&mut self, waba_id: &str, cut: &Cut) -> Result<Value, ApiError> {
        let templates = &self.businesses.account(waba_id)?.templates;
        let items = templates.iter().map(|kept| {
            json!({
                "id": kept.id.to_string(), "name": kept.name, "language": kept.language,
                "status": kept.status, "category": kept.category, "components": kept.components,
                "quality_score": { "score": kept.quality, "date": 0 },
                "rejected_reason": kept.rejected_reason, "parameter_format": kept.parameter_format,
            })
        });
        cut.of(&items.collect::<Vec<_>>())
    }

    /// `POST /{waba}/message_templates`.
    pub(crate) fn create_template(
        &mut self,
        waba_id: &str,
        body: &Value,
    ) -> Result<Value, ApiError> {
        let now = self.businesses.now();
        let id = self.new_template_id();
        let account = self.businesses.account(waba_id)?;
        let kept = checked(id, body)?;
        let rests = |at: &u64| now.saturating_sub(*at) < NAME_REST;
        if account.deleted.get(&kept.name).is_some_and(rests) {
            return Err(ApiError::new(
                100,
                "The name was deleted less than 30 days ago.",
            ));
        }
        let same = |other: &Kept| other.name == kept.name && other.language == kept.language;
        if account.templates.iter().any(same) {
            return Err(ApiError::new(
                100,
                "There is a template of this name and language.",
            ));
        }
        if account.templates.len() >= account.waba.template_limit {
            return Err(with_subcode(
                2_388_019,
                "The account has too many templates.",
            ));
        }
        let answer =
            json!({ "id": id.to_string(), "status": kept.status, "category": kept.category });
        account.templates.push(kept);
        Ok(answer)
    }

    /// `DELETE /{waba}/message_templates?name=…&hsm_id=…`.
    pub(crate) fn delete_template(
        &mut self,
        waba_id: &str,
        name: &str,
        id: Option<&str>,
    ) -> Result<Value, ApiError> {
        let now = self.businesses.now();
        let account = self.businesses.account(waba_id)?;
        let before = account.templates.len();
        let mut was_approved = false;
        account.templates.retain(|kept| {
            let goes = kept.name == name && id.is_none_or(|id| kept.id.to_string() == id);
            was_approved |= goes && kept.status == "APPROVED";
            !goes
        });
        if account.templates.len() == before {
            return Err(ApiError::new(100, "There is no such template."));
        }
        if was_approved {
            account.deleted.insert(name.to_owned(), now);
        }
        self.share_templates(waba_id);
        Ok(json!({ "success": true }))
    }

    /// Meta decides; sends and webhooks follow.
    pub(crate) fn review(&mut self, review: &Review) -> Result<Posting, Refused> {
        let unknown = || Refused("name: no such template in this account".to_owned());
        let account = self
            .businesses
            .account(&review.waba_id)
            .map_err(|_| unknown())?;
        let is_it = |kept: &&mut Kept| kept.name == review.name && kept.language == review.language;
        let kept = account
            .templates
            .iter_mut()
            .find(is_it)
            .ok_or_else(unknown)?;
        let about = |mut value: Value| {
            value["message_template_id"] = json!(kept.id);
            value["message_template_name"] = json!(kept.name);
            value["message_template_language"] = json!(kept.language);
            value
        };
        let mut news = Vec::new();
        if let Some(category) = &review.category {
            let value = json!({ "previous_category": kept.category, "new_category": category });
            news.push(("template_category_update", about(value)));
        }
        if let Some(status) = &review.status {
            let reason = review.reason.as_deref().unwrap_or("NONE");
            let value = json!({ "event": status, "reason": reason });
            news.push(("message_template_status_update", about(value)));
        }
        if let Some(quality) = &review.quality {
            let value =
                json!({ "previous_quality_score": kept.quality, "new_quality_score": quality });
            news.push(("message_template_quality_update", about(value)));
        }
        kept.category = review
            .category
            .clone()
            .unwrap_or_else(|| kept.category.clone());
        kept.quality = review
            .quality
            .clone()
            .unwrap_or_else(|| kept.quality.clone());
        if let Some(status) = &review.status {
            kept.status.clone_from(status);
            kept.rejected_reason = review.reason.clone().unwrap_or_else(|| "NONE".to_owned());
        }
        self.share_templates(&review.waba_id);
        Ok(self.announce(&review.waba_id, &news))
    }

    /// Posts what is about the account to the app's own callback, whatever override there is; an account that our
    /// app does not get the webhooks of has nothing to say.
    pub(crate) fn announce(&mut self, waba_id: &str, news: &[(&str, Value)]) -> Posting {
        let app_callback = self.businesses.app_callback.clone();
        let account = self.businesses.account(waba_id);
        if !account.is_ok_and(|account| account.subscribed) {
            return Posting::default();
        }
        let at = self.businesses.now() / 1000;
        let webhooks = news.iter().map(|(field, value)| {
            let builder = WebhookBuilder::new(self.app_secret());
            builder.change(waba_id, field, value).at(at).build()
        });
        let webhooks = webhooks.collect();
        self.reserve_for(waba_id, app_callback, webhooks)
    }

    /// What is approved, paused or disabled is known to the numbers, which refuse sends by it.
    fn share_templates(&mut self, waba_id: &str) {
        let Ok(account) = self.businesses.account(waba_id) else {
            return;
        };
        let usable: Vec<Template> = account.templates.iter().filter_map(usable).collect();
        let numbers: Vec<String> = account
            .waba
            .numbers
            .iter()
            .map(|number| number.phone_number_id.clone())
            .collect();
        for id in numbers {
            self.change_number(&id, |number| number.templates.clone_from(&usable));
        }
    }
}

fn usable(kept: &Kept) -> Option<Template> {
    let state = match kept.status.as_str() {
        "APPROVED" => TemplateState::Approved,
        "PAUSED" => TemplateState::Paused,
        "DISABLED" => TemplateState::Disabled,
        _ => return None,
    };
    let names = variables(text_of(&kept.components, "BODY").unwrap_or_default());
    let parameters = names.len();
    let is_named = kept.parameter_format == "NAMED";
    Some(Template {
        names: if is_named {
            names.into_iter().collect()
        } else {
            Vec::new()
        },
        state,
        ..Template::new(&kept.name, &kept.language, parameters)
    })
}

fn checked(id: u64, body: &Value) -> Result<Kept, ApiError> {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let (name, language, category) = (text("name"), text("language"), text("category"));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !(1..=NAME_LIMIT).contains(&name.len()) || !name.chars().all(plain) || language.is_empty() {
        return Err(ApiError::new(
            100,
            "name and language are required, and of a certain form.",
        ));
    }
    if !CATEGORIES.contains(&category.as_str()) {
        return Err(ApiError::new(
            100,
            "category must be one of the categories.",
        ));
    }
    worded(&body["components"])?;
    let format = body["parameter_format"].as_str().unwrap_or("POSITIONAL");
    Ok(Kept {
        id,
        name,
        language,
        category,
        status: "PENDING".to_owned(),
        quality: "UNKNOWN".to_owned(),
        rejected_reason: "NONE".to_owned(),
        components: body["components"].clone(),
        parameter_format: format.to_owned(),
    })
}

/// Lengths, and what variables may be where.
fn worded(components: &Value) -> Result<(), ApiError> {
    let Some(body) = text_of(components, "BODY") else {
        return Err(with_subcode(2_388_072, "The body has no text."));
    };
    let header = text_of(components, "HEADER").unwrap_or_default();
    let footer = text_of(components, "FOOTER").unwrap_or_default();
    let long = |text: &str, limit| text.chars().count() > limit;
    if long(body, 1024) || long(header, 60) || long(footer, 60) {
        return Err(with_subcode(2_388_040, "A text is too long."));
    }
    if variables(header).len() > 1 {
        return Err(with_subcode(
            2_388_047,
            "The header has more than one variable.",
        ));
    }
    if !variables(footer).is_empty() {
        return Err(with_subcode(2_388_073, "The footer has a variable."));
    }
    let trimmed = body.trim();
    if trimmed.starts_with("{{") || trimmed.ends_with("}}") {
        return Err(with_subcode(
            2_388_299,
            "A variable opens or closes the text.",
        ));
    }
    // Meta does not say how many words it wants; fewer than variables are surely too few.
    if variables(body).len() * 2 > body.split_whitespace().count() {
        return Err(with_subcode(
            2_388_293,
            "Too many variables for so few words.",
        ));
    }
    Ok(())
}

fn text_of<'a>(components: &'a Value, kind: &str) -> Option<&'a str> {
    let component = components
        .as_array()?
        .iter()
        .find(|component| component["type"] == kind)?;
    component["text"].as_str()
}

/// What stands between double braces.
fn variables(text: &str) -> BTreeSet<String> {
    let parts = text.split("{{").skip(1);
    parts
        .filter_map(|part| Some(part.split_once("}}")?.0.trim().to_owned()))
        .collect()
}

fn with_subcode(subcode: i64, details: &str) -> ApiError {
    let mut error = ApiError::new(100, details);
    error.subcode = Some(subcode);
    error
}
