//! An approved WhatsApp template out of ours: the parameters that Meta fills in, and the text that people read.

use super::{Parts, RenderError, Rendered, Template, within};
use crate::automation::templates::{ButtonSource, WhatsAppSource};
use comms_providers::{
    Content,
    command::{ButtonParameter, TemplateButton, TemplateHeader, WhatsAppTemplate},
};

/// WhatsApp's limits, in characters: a rendered body, a header's text, a button's URL.
const BODY_LIMIT: usize = 1024;
const HEADER_LIMIT: usize = 60;
const URL_LIMIT: usize = 2000;

pub(super) fn render(template: &Template, parts: &Parts<'_>) -> Result<Rendered, RenderError> {
    let source = template
        .whatsapp
        .as_ref()
        .ok_or(RenderError::Missing("WhatsApp part"))?;
    let body = within(BODY_LIMIT, "body", parts.text("body", &template.body)?)?;
    let content = Content::Template(WhatsAppTemplate {
        name: source.name.clone(),
        language: source.language.clone(),
        header: header(source, parts)?,
        body: parameters(source, parts)?,
        body_names: Vec::new(),
        buttons: buttons(source, parts)?,
    });
    Ok(Rendered { content, body })
}

fn header(
    source: &WhatsAppSource,
    parts: &Parts<'_>,
) -> Result<Option<TemplateHeader>, RenderError> {
    let text = source.header.as_deref().map(|text| {
        let text = parts.line("header", text)?;
        within(HEADER_LIMIT, "header", text)
    });
    Ok(text.transpose()?.map(|text| TemplateHeader::Text { text }))
}

/// Meta refuses parameters that are empty or have line breaks, tabs or runs of spaces.
fn parameters(source: &WhatsAppSource, parts: &Parts<'_>) -> Result<Vec<String>, RenderError> {
    let numbered = source.body.iter().enumerate();
    numbered
        .map(|(index, text)| parts.line(&format!("parameter {}", index + 1), text))
        .collect()
}

fn buttons(source: &WhatsAppSource, parts: &Parts<'_>) -> Result<Vec<TemplateButton>, RenderError> {
    let render = |button: &ButtonSource| {
        let part = format!("button {}", button.index);
        let text = within(URL_LIMIT, &part, parts.line(&part, &button.url)?)?;
        Ok(TemplateButton {
            index: button.index,
            parameter: ButtonParameter::Url { text },
        })
    };
    source.buttons.iter().map(render).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{render, tests::template};
    use super::*;
    use crate::model::{Category, Channel};
    use serde_json::{Value, json};

    fn approved(body: &str, whatsapp: Value) -> Template {
        Template {
            whatsapp: Some(serde_json::from_value(whatsapp).unwrap()),
            ..template(Channel::WhatsApp, body)
        }
    }

    fn rendered(template: &Template) -> Result<(WhatsAppTemplate, String), RenderError> {
        let variables = json!({"p": {"name": "Ana\n  María", "id": 7}, "blank": " "});
        let rendered = render(template, &variables, Category::Transactional)?;
        let Content::Template(content) = rendered.content else {
            panic!("not a template")
        };
        Ok((content, rendered.body))
    }

    #[test]
    fn text_and_parameters_are_rendered_and_parameters_are_one_line() {
        let template = approved(
            "Hi {{ p.name }} <b>",
            json!({"name": "t", "language": "en", "header": "{{ p.name }}", "body": ["{{ p.name }}"],
                   "buttons": [{"index": 1, "url": "trips/{{ p.id }}"}]}),
        );
        let (content, body) = rendered(&template).unwrap();
        assert_eq!(body, "Hi Ana\n  María <b>");
        assert_eq!(content.body, ["Ana María"]);
        let text = "Ana María".to_owned();
        assert_eq!(content.header, Some(TemplateHeader::Text { text }));
        let text = "trips/7".to_owned();
        let parameter = ButtonParameter::Url { text };
        assert_eq!(
            content.buttons,
            [TemplateButton {
                index: 1,
                parameter
            }]
        );
    }

    #[test]
    fn what_meta_would_refuse_is_refused_here() {
        let error = |body: &str, whatsapp: Value| {
            rendered(&approved(body, whatsapp)).unwrap_err().to_string()
        };
        let plain = json!({"name": "t", "language": "en"});
        assert_eq!(
            error(&"x".repeat(1025), plain),
            "body: longer than 1024 characters"
        );
        let blank = json!({"name": "t", "language": "en", "body": ["a", "{{ blank }}"]});
        assert_eq!(error("x", blank), "parameter 2: empty");
        let long = json!({"name": "t", "language": "en", "header": "x".repeat(61)});
        assert_eq!(error("x", long), "header: longer than 60 characters");
        let button =
            json!({"name": "t", "language": "en", "buttons": [{"index": 0, "url": "{{ no }}"}]});
        assert_eq!(error("x", button), "button 0: undefined value");
        assert_eq!(
            rendered(&template(Channel::WhatsApp, "x")).unwrap_err(),
            RenderError::Missing("WhatsApp part")
        );
    }
}
