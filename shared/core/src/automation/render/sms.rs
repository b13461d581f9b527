//! A text message out of its template.

use super::{Parts, RenderError, Rendered, Template, filled};
use crate::model::Category;
use comms_providers::sms::{Encoding, segments};
use comms_providers::{Content, command::Sms};

/// What both providers take: 1,600 bytes at SNS; at End User Messaging 1,530 GSM letters, 630 units of others.
const BYTES: usize = 1_600;
const GSM_UNITS: usize = 1_530;
const OTHER_UNITS: usize = 630;

pub(super) fn render(
    template: &Template,
    parts: &Parts<'_>,
    category: Category,
) -> Result<Rendered, RenderError> {
    let body = parts.text("body", &template.body)?;
    let body = filled("body", body.trim().to_owned())?;
    let content = text(body.clone(), category == Category::Marketing)?;
    Ok(Rendered { content, body })
}

/// # Errors
/// When it is longer than both providers take.
pub(crate) fn text(body: String, promotional: bool) -> Result<Content, RenderError> {
    let counted = segments(&body);
    let most = match counted.encoding {
        Encoding::Gsm7 => GSM_UNITS,
        Encoding::Ucs2 => OTHER_UNITS,
    };
    if counted.units > most || body.len() > BYTES {
        let problem = format!("longer than {most} characters");
        return Err(RenderError::of("body", problem));
    }
    Ok(Content::Sms(Sms { body, promotional }))
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
        for (body, limit) in [("a".repeat(1_531), 1_530), ("ж".repeat(631), 630)] {
            assert_eq!(
                error(&body),
                format!("body: longer than {limit} characters")
            );
        }
    }
}
