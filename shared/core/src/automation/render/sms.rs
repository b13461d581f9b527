//! A text message out of its template.

use super::{Parts, RenderError, Rendered, Template, filled, within};
use crate::model::Category;
use comms_providers::{Content, command::Sms};

/// Characters, until the parts are counted: 1,000 are at most seven parts of GSM letters, fifteen of others.
const BODY_LIMIT: usize = 1_000;

pub(super) fn render(
    template: &Template,
    parts: &Parts,
    category: Category,
) -> Result<Rendered, RenderError> {
    let body = parts.text("body", &template.body)?;
    let body = within(BODY_LIMIT, "body", filled("body", body.trim().to_owned())?)?;
    let content = Content::Sms(Sms {
        body: body.clone(),
        promotional: category == Category::Marketing,
    });
    Ok(Rendered { content, body })
}

#[cfg(test)]
mod tests {
    use super::super::{render, tests::template};
    use super::*;
    use crate::model::Channel;
    use serde_json::json;

    #[test]
    fn a_text_is_its_body_and_says_what_it_is_for() {
        let template = template(Channel::Sms, "Hi {{ n }} <\n");
        let rendered = render(&template, &json!({"n": "Ana & co"}), Category::Marketing).unwrap();
        assert_eq!(rendered.body, "Hi Ana & co <");
        assert_eq!(
            rendered.content,
            Content::Sms(Sms {
                body: "Hi Ana & co <".to_owned(),
                promotional: true
            })
        );
    }

    #[test]
    fn a_text_of_nothing_or_of_too_much_is_refused() {
        let error = |body: &str| {
            render(
                &template(Channel::Sms, body),
                &json!({}),
                Category::Transactional,
            )
            .unwrap_err()
            .to_string()
        };
        assert_eq!(error(" "), "body: empty");
        assert_eq!(
            error(&"é".repeat(1_001)),
            "body: longer than 1000 characters"
        );
    }
}
