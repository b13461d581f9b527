//! An email out of its template: a subject of one line, a text, and HTML where the template has it.

use super::{Parts, RenderError, Rendered, Template, filled, within};
use crate::model::Category;
use comms_providers::{Content, command::Email};

/// What mail programs still show, and far below what a header may hold.
pub(crate) const SUBJECT_LIMIT: usize = 200;
/// Bytes of the text and of the HTML, each: mail programs cut off what is longer.
const BODY_LIMIT: usize = 100_000;

pub(super) fn render(
    template: &Template,
    parts: &Parts<'_>,
    category: Category,
) -> Result<Rendered, RenderError> {
    let subject = template
        .subject
        .as_deref()
        .ok_or(RenderError::Missing("subject"))?;
    let subject = parts.line("subject", subject)?;
    let text = filled("body", parts.text("body", &template.body)?)?;
    let html = template.html.as_deref().map(|html| {
        let html = filled("html", parts.html("html", html)?)?;
        short("html", html)
    });
    let content = Content::Email(Email {
        html: html.transpose()?,
        unsubscribable: category == Category::Marketing,
        ..plain(subject, text.clone())?
    });
    Ok(Rendered {
        content,
        body: text,
    })
}

/// An email of a subject and a text.
///
/// # Errors
/// When one of them is longer than mail programs show.
pub(crate) fn plain(subject: String, text: String) -> Result<Email, RenderError> {
    Ok(Email {
        subject: within(SUBJECT_LIMIT, "subject", subject)?,
        text: Some(short("body", text)?),
        ..Email::default()
    })
}

fn short(part: &str, text: String) -> Result<String, RenderError> {
    if text.len() > BODY_LIMIT {
        let problem = format!("longer than {BODY_LIMIT} bytes");
        return Err(RenderError::of(part, problem));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::{render, tests::template};
    use super::*;
    use crate::model::Channel;
    use serde_json::{Value, json};

    fn email(subject: &str, body: &str, html: Option<&str>) -> Template {
        Template {
            subject: Some(subject.to_owned()),
            html: html.map(str::to_owned),
            ..template(Channel::Email, body)
        }
    }

    fn content(template: &Template, variables: &Value, category: Category) -> Email {
        let Content::Email(email) = render(template, variables, category).unwrap().content else {
            panic!("not an email")
        };
        email
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let email = content(
            &email("Hi {{ n }}", "Hi {{ n }}", Some("<p>{{ n }}</p>")),
            &json!({"n": "<b>Ana</b> & co"}),
            Category::Transactional,
        );
        assert_eq!(email.subject, "Hi <b>Ana</b> & co");
        assert_eq!(email.text.unwrap(), "Hi <b>Ana</b> & co");
        assert_eq!(
            email.html.unwrap(),
            "<p>&lt;b&gt;Ana&lt;&#x2f;b&gt; &amp; co</p>"
        );
        assert!(!email.unsubscribable);
    }

    #[test]
    fn a_subject_is_one_line_whatever_is_in_it() {
        let email = content(
            &email("About {{ n }}", "x", None),
            &json!({"n": "A\r\nBcc: b@example.com\u{0}"}),
            Category::Marketing,
        );
        assert_eq!(email.subject, "About A Bcc: b@example.com");
        assert!(email.html.is_none() && email.unsubscribable);
    }

    #[test]
    fn what_is_missing_or_too_long_is_named() {
        let error = |template: &Template| {
            render(template, &json!({"n": " \n"}), Category::Transactional)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error(&template(Channel::Email, "x")),
            "the template has no subject"
        );
        assert_eq!(error(&email("{{ n }}", "x", None)), "subject: empty");
        assert_eq!(
            error(&email(&"x".repeat(201), "x", None)),
            "subject: longer than 200 characters"
        );
        assert_eq!(error(&email("x", "{{ n }}", None)), "body: empty");
        assert_eq!(
            error(&email("x", "x", Some("{{ nobody }}"))),
            "html: undefined value"
        );
        assert_eq!(
            error(&email("x", &"x".repeat(BODY_LIMIT + 1), None)),
            "body: longer than 100000 bytes"
        );
    }
}
