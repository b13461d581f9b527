//! Rendering templates that tenants wrote: bounded work, no undefined names, no I/O, bounded output.
//!
//! A template is rendered for its own channel and becomes a complete content: nothing is left for later that could fail
//! later. Values that a template inserts come from the pillars and are hostile until escaped.

mod email;
mod language;
mod sms;
mod whatsapp;

pub(crate) use email::{SUBJECT_LIMIT, plain as plain_email};
pub(crate) use sms::text as sms_text;

use super::templates::Template;
use crate::model::{Category, Channel};
use comms_providers::Content;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, tests as tests_of};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// Instructions (and about 64 bytes each) that one template may spend.
const FUEL: u64 = 20_000;
/// Bytes that come of one part; every channel takes less.
const OUTPUT: usize = 128 * 1024;

/// A message ready to be queued.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    pub content: Content,
    /// What people read in the thread.
    pub body: String,
}

/// Why a template gave nothing: its own fault, named for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("{part}: {problem}")]
    Template { part: String, problem: String },
    /// A name that it uses and nobody gave.
    #[error("{part}: undefined value")]
    Undefined { part: String },
    #[error("the template has no {0}")]
    Missing(&'static str),
    #[error("nothing is rendered for {0}")]
    Channel(Channel),
}

impl RenderError {
    fn of(part: &str, problem: impl Into<String>) -> Self {
        Self::Template {
            part: part.to_owned(),
            problem: problem.into(),
        }
    }
}

/// Templates, each of them read once, however many it is rendered for.
pub(super) struct Renderer {
    text: Environment<'static>,
    html: Environment<'static>,
}

impl Renderer {
    pub(super) fn new() -> Self {
        Self {
            text: by_source(environment(), AutoEscape::None),
            html: by_source(escaping(environment()), AutoEscape::Html),
        }
    }

    /// Templates with these variables in them.
    pub(super) fn with(&self, variables: &impl Serialize) -> Parts<'_> {
        Parts {
            renderer: self,
            variables: minijinja::Value::from(minijinja::value::Serde(variables)),
        }
    }
}

/// One template for one person.
///
/// # Errors
/// A missing variable or part, a syntax error, too much work or too much text.
pub(super) fn render(
    template: &Template,
    variables: &impl Serialize,
    category: Category,
) -> Result<Rendered, RenderError> {
    Renderer::new().with(variables).render(template, category)
}

/// The names that one part of a template uses, in order: `trip.code`.
///
/// # Errors
/// What does not read.
pub(super) fn used(part: &str, source: &str) -> Result<BTreeSet<String>, RenderError> {
    if let Some(fault) = language::fault(source) {
        return Err(RenderError::of(part, fault));
    }
    let environment = environment();
    let template = environment
        .template_from_str(source)
        .map_err(|error| RenderError::of(part, error.kind().to_string()))?;
    Ok(template.undeclared_variables(true).into_iter().collect())
}

/// The names that a template uses and these variables lack. What does not read uses nothing.
pub(super) fn missing(template: &Template, variables: &serde_json::Value) -> Vec<String> {
    let parts = template.parts().into_iter();
    let names: BTreeSet<String> = parts
        .filter_map(|(part, source)| used(&part, source).ok())
        .flatten()
        .collect();
    let lacks = |name: &String| !gives(variables, name);
    names.into_iter().filter(lacks).collect()
}

/// Do they give a value for the name?
pub(super) fn gives(variables: &serde_json::Value, name: &str) -> bool {
    let path = format!("/{}", name.replace('.', "/"));
    variables.pointer(&path).is_some()
}

/// What is rendered with the same variables.
pub(super) struct Parts<'a> {
    renderer: &'a Renderer,
    variables: minijinja::Value,
}

impl Parts<'_> {
    /// # Errors
    /// As [`render`].
    pub(super) fn render(
        &self,
        template: &Template,
        category: Category,
    ) -> Result<Rendered, RenderError> {
        match template.channel {
            Channel::WhatsApp => whatsapp::render(template, self),
            Channel::Email => email::render(template, self, category),
            Channel::Sms => sms::render(template, self, category),
            Channel::Webchat => Err(RenderError::Channel(template.channel)),
        }
    }

    fn text(&self, part: &str, source: &str) -> Result<String, RenderError> {
        self.part(&self.renderer.text, part, source)
    }

    /// On one line and with nothing that a header, a parameter or a subject could take for its end.
    fn line(&self, part: &str, source: &str) -> Result<String, RenderError> {
        filled(part, one_line(&self.text(part, source)?))
    }

    fn html(&self, part: &str, source: &str) -> Result<String, RenderError> {
        self.part(&self.renderer.html, part, source)
    }

    fn part(
        &self,
        environment: &Environment<'_>,
        part: &str,
        source: &str,
    ) -> Result<String, RenderError> {
        let mut written = Bounded::default();
        environment
            .get_template(source)
            .and_then(|read| read.render_captured_to(&self.variables, &mut written))
            // The kind and not the detail: a detail may quote a variable's value.
            .map_err(|error| match error.kind() {
                ErrorKind::UndefinedError => RenderError::Undefined {
                    part: part.to_owned(),
                },
                ErrorKind::WriteFailure => {
                    RenderError::of(part, format!("longer than {OUTPUT} bytes"))
                }
                kind => RenderError::of(part, kind.to_string()),
            })?;
        String::from_utf8(written.0).map_err(|_| RenderError::of(part, "no text"))
    }
}

/// Takes no more than [`OUTPUT`] bytes: a loop may print what it was given as often as its fuel lasts.
#[derive(Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(16);
    let [defined, undefined, none] = language::TESTS;
    environment.add_test(defined, tests_of::is_defined);
    environment.add_test(undefined, tests_of::is_undefined);
    environment.add_test(none, tests_of::is_none);
    environment
}

/// What is asked for by its source is read from it, and kept. So no name says how it is escaped. Looked at once more before it is read:
/// a rule may be younger than a template.
fn by_source(mut environment: Environment<'static>, escape: AutoEscape) -> Environment<'static> {
    environment.set_loader(|source| match language::fault(source) {
        None => Ok(Some(source.to_owned())),
        Some(_) => Err(ErrorKind::InvalidOperation.into()),
    });
    environment.set_auto_escape_callback(move |_| escape.clone());
    environment
}

/// Every value is escaped, and a template that switches that off is in error: its author is not who suffers.
fn escaping(mut environment: Environment<'static>) -> Environment<'static> {
    environment.set_formatter(|out, state, value| {
        if *state.auto_escape() != AutoEscape::Html {
            return Err(Error::from(ErrorKind::InvalidOperation));
        }
        minijinja::escape_formatter(out, state, value)
    });
    environment
}

/// Line breaks, tabs, control characters and runs of spaces become one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// `text`, unless it is longer than that many characters.
fn within(limit: usize, part: &str, text: String) -> Result<String, RenderError> {
    if text.chars().count() > limit {
        let problem = format!("longer than {limit} characters");
        return Err(RenderError::of(part, problem));
    }
    Ok(text)
}

/// `text`, unless there is nothing to read in it.
fn filled(part: &str, text: String) -> Result<String, RenderError> {
    if text.trim().is_empty() {
        return Err(RenderError::of(part, "empty"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TemplateId;
    use serde_json::json;

    /// A published template of that channel with nothing in it.
    pub(super) fn template(channel: Channel, body: &str) -> Template {
        Template {
            id: TemplateId::generate(),
            version: 1,
            channel,
            locale: "en".to_owned(),
            subject: None,
            body: body.to_owned(),
            html: None,
            whatsapp: None,
            of_tenant: true,
        }
    }

    #[test]
    fn what_a_template_may_not_do() {
        let error = |body: &str| {
            Renderer::new()
                .with(&json!({"name": "secret"}))
                .text("body", body)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(error("{{ nobody }}"), "body: undefined value");
        assert_eq!(error("{% for a in range(1000) %}"), "body: syntax error");
        assert_eq!(error("{{ [1] * 100000000 }}"), "body: invalid operation");
        let letters = "{% for a in name %}{% for b in name %}{% for c in name %}";
        let costly = format!("{letters}{letters}x{}", "{% endfor %}".repeat(6));
        assert_eq!(error(&costly), "body: engine ran out of fuel");
    }

    #[test]
    fn what_is_not_there_can_be_asked_for() {
        let renderer = Renderer::new();
        let parts = renderer.with(&json!({"gate": null, "trip": {"code": "a"}}));
        let source = "{% if trip.gate is defined %}a{% endif %}{% if gate is none %}b{% endif %}{% if nobody is undefined %}c{% endif %}";
        assert_eq!(parts.text("body", source).unwrap(), "bc");
    }

    #[test]
    fn as_many_branches_as_may_be_are_read() {
        let branches = "{% elif no %}x".repeat(100);
        let source = format!("{{% if no %}}x{branches}{{% else %}}y{{% endif %}}");
        let renderer = Renderer::new();
        let parts = renderer.with(&json!({"no": false}));
        assert_eq!(parts.text("body", &source).unwrap(), "y");
        let deep = "{% if no %}".repeat(10_000);
        let error = parts.text("body", &deep).unwrap_err().to_string();
        assert_eq!(error, "body: syntax error");
    }

    #[test]
    fn a_loop_prints_no_more_than_any_channel_takes() {
        let stops: Vec<String> = vec!["s".repeat(1_000); 1_000];
        let renderer = Renderer::new();
        let parts = renderer.with(&json!({"stops": stops}));
        let error = parts.text("body", "{% for a in stops %}{{ a }}{% endfor %}");
        assert_eq!(
            error.unwrap_err().to_string(),
            "body: longer than 131072 bytes"
        );
        let whole = parts.text("body", "{{ stops }}{{ stops }}");
        assert!(whole.is_err());
    }

    #[test]
    fn a_text_is_not_escaped_whatever_it_ends_in() {
        let renderer = Renderer::new();
        for name in ["<b>Ana</b>", "<b>Eva</b>"] {
            let parts = renderer.with(&json!({"name": name}));
            let text = parts.text("body", "{{ name }} wrote index.html").unwrap();
            assert_eq!(text, format!("{name} wrote index.html"));
        }
    }

    #[test]
    fn no_template_reads_another() {
        let renderer = Renderer::new();
        let parts = renderer.with(&json!({}));
        for source in [
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{% extends 'x' %}",
        ] {
            assert!(parts.text("body", source).is_err(), "{source}");
        }
    }

    #[test]
    fn a_line_has_no_end_in_it() {
        assert_eq!(
            one_line(" a\r\nb\u{2028}c\u{0}d\u{85}e  f\t"),
            "a b c d e f"
        );
    }

    #[test]
    fn html_is_escaped_whatever_the_template_says() {
        let renderer = Renderer::new();
        let parts = renderer.with(&json!({"name": "<b>Ana</b> & co"}));
        assert_eq!(
            parts.html("html", "<p>{{ name }}</p>").unwrap(),
            "<p>&lt;b&gt;Ana&lt;&#x2f;b&gt; &amp; co</p>"
        );
        for source in [
            "{% autoescape false %}{{ name }}{% endautoescape %}",
            "{% autoescape 'none' %}{{ name }}{% endautoescape %}",
            "{% set who %}<i>{{ name }}</i>{% endset %}{{ who }}",
            "{{ name|safe }}",
        ] {
            assert!(parts.html("html", source).is_err(), "{source}");
        }
    }
}
