//! An account's message templates: listing, handing in, deleting.

mod check;

use super::call::{success, text};
use super::faults::{self, Step};
use super::{Answered, OnboardingClient, Page, page};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

const FIELDS: &str =
    "id,name,language,status,category,components,quality_score,rejected_reason,parameter_format";

const NAME_LIMIT: usize = 512;

/// Templates of a verified account (6000), by fifties, and some more.
const PAGES: usize = 130;

/// Meta's code for a cursor that is no longer good.
const STALE_CURSOR: &str = "131059";

/// A template as Meta knows it. Words are Meta's own and may be new ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    pub id: String,
    pub name: String,
    pub language: String,
    /// `APPROVED`, `PENDING`, `REJECTED`, `PAUSED`…
    pub status: String,
    /// `AUTHENTICATION`, `MARKETING` or `UTILITY`; Meta's choice, which sets the price.
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
    /// `None` where Meta says `NONE`.
    pub rejected_reason: Option<String>,
    /// `POSITIONAL` or `NAMED`.
    pub parameter_format: Option<String>,
    /// Header, body, footer and buttons in Meta's own form.
    pub components: Value,
}

/// A template to be handed in for review.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTemplate {
    /// Lower-case letters, digits and underscores, at most 512.
    pub name: String,
    /// Such as `es_ES`.
    pub language: String,
    /// `AUTHENTICATION`, `MARKETING` or `UTILITY`.
    pub category: String,
    /// `POSITIONAL` (where nothing is said) or `NAMED`.
    pub parameter_format: Option<String>,
    /// A list in Meta's own form, with an example for every placeholder.
    pub components: Value,
}

/// What became of a template that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTemplate {
    pub id: String,
    /// `PENDING` as a rule.
    pub status: String,
    /// Meta's, which need not be the one that was asked for.
    pub category: Option<String>,
}

impl OnboardingClient {
    /// One page of an account's templates; `after` is the `next` of the page before.
    ///
    /// # Errors
    /// 131059 for a cursor that is too old: to be begun anew.
    pub async fn templates(
        &self,
        token: &SecretString,
        waba_id: &str,
        after: Option<&str>,
    ) -> Answered<Page<Template>> {
        let step = Step::ListTemplates;
        let mut url = self.url(step, &[waba_id, "message_templates"])?;
        page::ask(&mut url, FIELDS, after);
        let request = self.authorised(step, Method::GET, url, token)?;
        self.call(step, request, &[token], |body| page::read(body, template))
            .await
    }

    /// All of an account's templates. A cursor that grows stale on the way has the listing begun anew, once.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn all_templates(
        &self,
        token: &SecretString,
        waba_id: &str,
    ) -> Answered<Vec<Template>> {
        match self.every_page(token, waba_id).await {
            Err(error) if error.code == STALE_CURSOR => self.every_page(token, waba_id).await,
            other => other,
        }
    }

    async fn every_page(&self, token: &SecretString, waba_id: &str) -> Answered<Vec<Template>> {
        let mut all = Vec::new();
        let mut after = None;
        for _ in 0..PAGES {
            let page = self.templates(token, waba_id, after.as_deref()).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
        Err(faults::ours(Step::ListTemplates, "too-many-pages"))
    }

    /// Hands a template in for review.
    ///
    /// # Errors
    /// 100 with a subcode that says what is wrong with it; the code of ours `invalid-name` without a call.
    pub async fn create_template(
        &self,
        token: &SecretString,
        waba_id: &str,
        new: &NewTemplate,
    ) -> Answered<CreatedTemplate> {
        let step = Step::CreateTemplate;
        checked_name(step, &new.name)?;
        let url = self.url(step, &[waba_id, "message_templates"])?;
        let mut body = json!({
            "name": new.name, "language": new.language, "category": new.category,
            "components": new.components,
        });
        if let Some(format) = &new.parameter_format {
            body["parameter_format"] = json!(format);
        }
        let request = self.authorised(step, Method::POST, url, token)?.json(&body);
        self.call(step, request, &[token], |body| {
            Some(CreatedTemplate {
                id: text(body, "/id")?,
                status: text(body, "/status")?,
                category: text(body, "/category"),
            })
        })
        .await
    }

    /// Deletes a template: the one with this id, or, without one, all languages of the name. The name of one that was
    /// approved cannot be used again for 30 days.
    ///
    /// # Errors
    /// As [`crate::FaultClass`] says.
    pub async fn delete_template(
        &self,
        token: &SecretString,
        waba_id: &str,
        name: &str,
        template_id: Option<&str>,
    ) -> Answered<()> {
        let step = Step::DeleteTemplate;
        checked_name(step, name)?;
        let mut url = self.url(step, &[waba_id, "message_templates"])?;
        if let Some(id) = template_id {
            url.query_pairs_mut().append_pair("hsm_id", id);
        }
        url.query_pairs_mut().append_pair("name", name);
        let request = self.authorised(step, Method::DELETE, url, token)?;
        self.call(step, request, &[token], success).await
    }
}

fn checked_name(step: Step, name: &str) -> Answered<()> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if (1..=NAME_LIMIT).contains(&name.len()) && name.chars().all(plain) {
        Ok(())
    } else {
        Err(faults::ours(step, "invalid-name"))
    }
}

fn template(body: &Value) -> Option<Template> {
    Some(Template {
        id: text(body, "/id")?,
        name: text(body, "/name")?,
        language: text(body, "/language")?,
        status: text(body, "/status")?,
        category: text(body, "/category"),
        quality: text(body, "/quality_score/score"),
        rejected_reason: text(body, "/rejected_reason").filter(|reason| reason != "NONE"),
        parameter_format: text(body, "/parameter_format"),
        components: body.get("components").cloned().unwrap_or_default(),
    })
}
