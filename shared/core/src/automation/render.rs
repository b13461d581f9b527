//! Rendering templates that tenants wrote: bounded work, no undefined names, no I/O, bounded output.

use super::templates::{Template, WhatsAppSource};
use comms_providers::{Content, command::WhatsAppTemplate};
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

/// Instructions (and about 64 bytes each) that one template may spend.
const FUEL: u64 = 20_000;
/// WhatsApp's limit for a rendered body.
const BODY_LIMIT: usize = 1024;

/// A message ready to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub content: Content,
    pub body: String,
}

/// Why a template gave nothing: its own fault, named for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("{part}: {problem}")]
    Template { part: String, problem: String },
    #[error("the rendered text is longer than {BODY_LIMIT} characters")]
    TooLong,
    #[error("the template has no WhatsApp part")]
    NotWhatsApp,
}

/// # Errors
/// A missing variable, a syntax error, too much work or too much text.
pub fn whatsapp(template: &Template, variables: &impl Serialize) -> Result<Rendered, RenderError> {
    let source = template.whatsapp.as_ref().ok_or(RenderError::NotWhatsApp)?;
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(16);
    let variables = minijinja::Value::from(minijinja::value::Serde(variables));
    let render = |part: &str, text: &str| {
        environment
            .render_named_str("template.txt", text, variables.clone())
            .map_err(|error| RenderError::Template {
                part: part.to_owned(),
                // The kind and not the detail: a detail may quote a variable's value.
                problem: error.kind().to_string(),
            })
    };
    let body = render("body", &template.body)?;
    let parameters = parameters(source, render)?;
    if body.chars().count() > BODY_LIMIT {
        return Err(RenderError::TooLong);
    }
    let content = Content::Template(WhatsAppTemplate {
        name: source.name.clone(),
        language: source.language.clone(),
        body: parameters,
        ..WhatsAppTemplate::default()
    });
    Ok(Rendered { content, body })
}

fn parameters(
    source: &WhatsAppSource,
    render: impl Fn(&str, &str) -> Result<String, RenderError>,
) -> Result<Vec<String>, RenderError> {
    source
        .body
        .iter()
        .enumerate()
        .map(|(index, text)| {
            render(&format!("parameter {}", index + 1), text).map(|value| one_line(&value))
        })
        .collect()
}

/// Meta refuses line breaks, tabs and runs of spaces in a parameter.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channel, TemplateId};
    use serde_json::json;

    fn template(body: &str, parameters: &[&str]) -> Template {
        Template {
            id: TemplateId::generate(),
            version: 1,
            channel: Channel::WhatsApp,
            locale: "en".to_owned(),
            body: body.to_owned(),
            whatsapp: Some(WhatsAppSource {
                name: "t".to_owned(),
                language: "en".to_owned(),
                body: parameters.iter().map(|text| (*text).to_owned()).collect(),
            }),
            of_tenant: true,
        }
    }

    #[test]
    fn text_and_parameters_are_rendered_and_parameters_are_one_line() {
        let rendered = whatsapp(
            &template("Hi {{ p.name }} <b>", &["{{ p.name }}"]),
            &json!({"p": {"name": "Ana\n  María"}}),
        )
        .unwrap();
        assert_eq!(rendered.body, "Hi Ana\n  María <b>");
        let Content::Template(content) = rendered.content else {
            panic!("not a template")
        };
        assert_eq!(content.body, ["Ana María"]);
    }

    #[test]
    fn what_a_template_may_not_do() {
        let error = |body: &str| {
            whatsapp(&template(body, &[]), &json!({"name": "secret"}))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("{{ nobody }}"), "body: undefined value");
        assert_eq!(error("{% for a in range(1000) %}"), "body: syntax error");
        let costly = "{% for a in name * 400 %}{% for b in name * 400 %}x{% endfor %}{% endfor %}";
        assert!(!error(costly).contains("secret"));
        assert!(error("{% for a in [1,2,3,4,5,6,7,8,9]*9 %}{% for b in [1,2,3,4,5,6,7,8,9]*9 %}{% for c in [1,2,3,4,5,6,7,8,9] %}x{% endfor %}{% endfor %}{% endfor %}").starts_with("body: "));
        assert!(whatsapp(&template(&"x".repeat(1025), &[]), &json!({})).is_err());
    }
}
