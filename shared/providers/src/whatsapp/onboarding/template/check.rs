//! What Meta would refuse of a template, said before it is asked and with the field's name.
//!
//! Source: Cloud API, message templates: names, limits of components, examples for placeholders. What a component of another kind may
//! have is Meta's to say; so is the text of an authentication template, which is Meta's own.

use super::{NAME_LIMIT, NewTemplate};
use serde_json::Value;

const CATEGORIES: [&str; 3] = ["AUTHENTICATION", "MARKETING", "UTILITY"];
const HEADER_LIMIT: usize = 60;
const BODY_LIMIT: usize = 1024;
const FOOTER_LIMIT: usize = 60;
const BUTTONS_LIMIT: usize = 10;
const LABEL_LIMIT: usize = 25;
/// Bytes of all components together: ten times the longest template.
const SIZE_LIMIT: usize = 32 * 1024;

impl NewTemplate {
    /// # Errors
    /// What is wrong, beginning with the field, such as `components[0].text`.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !(1..=NAME_LIMIT).contains(&self.name.len()) || !self.name.chars().all(plain) {
            return Err(format!(
                "name must be lower-case letters, digits and underscores, at most {NAME_LIMIT}"
            ));
        }
        if !is_language(&self.language) {
            return Err("language must be such as es or es_ES".to_owned());
        }
        if !CATEGORIES.contains(&&*self.category) {
            return Err(format!("category must be one of {}", CATEGORIES.join(", ")));
        }
        let named = match self.parameter_format.as_deref() {
            None | Some("POSITIONAL") => false,
            Some("NAMED") => true,
            Some(_) => return Err("parameter_format must be POSITIONAL or NAMED".to_owned()),
        };
        let components = self
            .components
            .as_array()
            .ok_or("components must be a list")?;
        if self.components.to_string().len() > SIZE_LIMIT {
            return Err(format!("components must be at most {SIZE_LIMIT} bytes"));
        }
        let mut kinds: Vec<&str> = Vec::new();
        for (index, component) in components.iter().enumerate() {
            let kind = component["type"].as_str().unwrap_or_default();
            if kind.is_empty() || kinds.contains(&kind) {
                return Err(format!(
                    "components[{index}].type must be there, and once of each kind"
                ));
            }
            kinds.push(kind);
            if self.category != "AUTHENTICATION" {
                component_fits(kind, component, named)
                    .map_err(|fault| format!("components[{index}].{fault}"))?;
            }
        }
        if !kinds.contains(&"BODY") {
            return Err("components must have a BODY".to_owned());
        }
        Ok(())
    }
}

/// `es`, `fil`, `es_ES`.
fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('_').unwrap_or((text, "XX"));
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && region.len() == 2
        && region.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn component_fits(kind: &str, component: &Value, named: bool) -> Result<(), String> {
    match kind {
        "HEADER" if component["format"] == "TEXT" => {
            let variables = text_fits(component, HEADER_LIMIT, named)?;
            if variables > 1 {
                return Err("text may have one placeholder at most in a HEADER".to_owned());
            }
            example_fits(component, "header_text", variables, named)
        }
        "BODY" => {
            let variables = text_fits(component, BODY_LIMIT, named)?;
            let text = component["text"].as_str().unwrap_or_default().trim();
            if text.starts_with("{{") || text.ends_with("}}") {
                return Err("text must not begin or end with a placeholder".to_owned());
            }
            example_fits(component, "body_text", variables, named)
        }
        "FOOTER" if text_fits(component, FOOTER_LIMIT, named)? > 0 => {
            Err("text must have no placeholder in a FOOTER".to_owned())
        }
        "BUTTONS" => {
            let buttons = component["buttons"].as_array();
            let buttons = buttons.ok_or("buttons must be a list")?;
            if !(1..=BUTTONS_LIMIT).contains(&buttons.len()) {
                return Err(format!("buttons must be 1 to {BUTTONS_LIMIT}"));
            }
            let too_long = |button: &Value| {
                let label = button["text"].as_str().unwrap_or_default();
                label.chars().count() > LABEL_LIMIT
            };
            match buttons.iter().position(too_long) {
                Some(index) => Err(format!(
                    "buttons[{index}].text must have at most {LABEL_LIMIT} characters"
                )),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// How many different placeholders the component's text has.
fn text_fits(component: &Value, limit: usize, named: bool) -> Result<usize, String> {
    let text = component["text"].as_str().unwrap_or_default();
    if !(1..=limit).contains(&text.chars().count()) {
        return Err(format!("text must have 1 to {limit} characters"));
    }
    let mut found: Vec<&str> = Vec::new();
    for piece in text.split("{{").skip(1) {
        let name = piece.split_once("}}").map(|(name, _)| name.trim());
        let name = name.ok_or("text has a placeholder without an end")?;
        if !found.contains(&name) {
            found.push(name);
        }
    }
    if named {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = |name: &&str| {
            !name.is_empty()
                && name.chars().all(plain)
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        if !found.iter().all(is_name) {
            return Err("text has a placeholder that is no name".to_owned());
        }
    } else if (1..=found.len()).any(|number| !found.contains(&number.to_string().as_str())) {
        return Err("text must number its placeholders from 1 on".to_owned());
    }
    Ok(found.len())
}

/// A reviewer reads the template with these in it.
fn example_fits(
    component: &Value,
    member: &str,
    variables: usize,
    named: bool,
) -> Result<(), String> {
    if variables == 0 {
        return Ok(());
    }
    let member = if named {
        format!("{member}_named_params")
    } else {
        member.to_owned()
    };
    let examples = &component["example"][&member];
    // The examples of a body are a list of lists.
    let given = match examples.get(0) {
        Some(Value::Array(inner)) => inner.len(),
        _ => examples.as_array().map_or(0, Vec::len),
    };
    if given == variables {
        Ok(())
    } else {
        Err(format!(
            "example.{member} must have an example for each of {variables} placeholders"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn template(components: Value) -> NewTemplate {
        NewTemplate {
            name: "trip_delayed".to_owned(),
            language: "es_ES".to_owned(),
            category: "UTILITY".to_owned(),
            parameter_format: None,
            components,
        }
    }

    fn body(text: &str, examples: &[&str]) -> Value {
        json!([{"type": "BODY", "text": text, "example": {"body_text": [examples]}}])
    }

    #[test]
    fn what_meta_takes_is_taken() {
        let full = json!([
            {"type": "HEADER", "format": "TEXT", "text": "Viaje {{1}}", "example": {"header_text": ["MAD-VLC"]}},
            {"type": "BODY", "text": "Hola {{1}}, sale a las {{2}}. {{1}}, gracias.", "example": {"body_text": [["Ana", "10:45"]]}},
            {"type": "FOOTER", "text": "Iberia Bus"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Vale"}]},
        ]);
        assert_eq!(template(full).check(), Ok(()));
        let named = NewTemplate {
            parameter_format: Some("NAMED".to_owned()),
            ..template(json!([{"type": "BODY", "text": "Hola {{name}}.",
                               "example": {"body_text_named_params": [{"param_name": "name", "example": "Ana"}]}}]))
        };
        assert_eq!(named.check(), Ok(()));
        let code = NewTemplate {
            category: "AUTHENTICATION".to_owned(),
            ..template(json!([{"type": "BODY", "add_security_recommendation": true}]))
        };
        assert_eq!(code.check(), Ok(()));
    }

    #[test]
    fn each_fault_names_its_field() {
        for (components, field) in [
            (json!({}), "components must be a list"),
            (json!([]), "components must have a BODY"),
            (json!([{"text": "x"}]), "components[0].type"),
            (
                json!([{"type": "BODY", "text": "x"}, {"type": "BODY", "text": "y"}]),
                "components[1].type",
            ),
            (body("", &[]), "components[0].text must have 1 to 1024"),
            (body("{{1}} sale", &["a"]), "components[0].text must not"),
            (body("a las {{1}}", &["a"]), "components[0].text must not"),
            (body("a {{1", &[]), "components[0].text has"),
            (body("a {{2}} b", &["a"]), "components[0].text must number"),
            (body("a {{1}} b", &[]), "components[0].example.body_text"),
            (
                json!([{"type": "HEADER", "format": "TEXT", "text": "{{1}} {{2}}"}]),
                "components[0].text may",
            ),
            (
                json!([{"type": "FOOTER", "text": "{{1}}"}]),
                "components[0].text must have no",
            ),
            (
                json!([{"type": "BUTTONS", "buttons": [{"text": "a label of twenty-six chars"}]}]),
                "components[0].buttons[0].text",
            ),
        ] {
            let fault = template(components.clone()).check().unwrap_err();
            assert!(fault.starts_with(field), "{components}: {fault}");
        }
        let named = |change: fn(&mut NewTemplate)| {
            let mut wrong = template(body("x", &[]));
            change(&mut wrong);
            wrong.check().unwrap_err()
        };
        assert!(named(|t| t.name = "Trip".to_owned()).starts_with("name"));
        assert!(named(|t| t.language = "es-ES".to_owned()).starts_with("language"));
        assert!(named(|t| t.category = "NEWS".to_owned()).starts_with("category"));
        assert!(
            named(|t| t.parameter_format = Some("X".to_owned())).starts_with("parameter_format")
        );
    }
}
