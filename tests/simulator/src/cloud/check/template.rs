//! The rules of a template send: the template must be approved in that language, and be filled in as it wants.

use super::{kinds, text};
use crate::cloud::errors::ApiError;
use crate::number::{Number, Template, TemplateState};
use serde_json::Value;

const TEXT_LIMIT: usize = 1024;
const CODE_LIMIT: usize = 15;

pub(super) fn templated(number: &Number, object: &Value) -> Result<(), ApiError> {
    let (name, language) = (text(&object["name"]), text(&object["language"]["code"]));
    let (Some(name), Some(language)) = (name, language) else {
        return Err(ApiError::new(
            131_008,
            "template.name and template.language.code are required.",
        ));
    };
    let known = number
        .templates
        .iter()
        .find(|known| known.name == name && known.language == language);
    let Some(known) = known else {
        return Err(ApiError::new(
            132_001,
            "The template does not exist in that language.",
        ));
    };
    match known.state {
        TemplateState::Approved => filled_in(known, object),
        TemplateState::Paused => Err(ApiError::new(132_015, "The template is paused.")),
        TemplateState::Disabled => Err(ApiError::new(132_016, "The template is disabled.")),
    }
}

fn filled_in(known: &Template, object: &Value) -> Result<(), ApiError> {
    let components = object["components"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let parameters = |component: &'_ Value| {
        component["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let mut in_body = Vec::new();
    for component in components {
        match component["type"].as_str() {
            Some("header") => header(&parameters(component))?,
            Some("body") => in_body = parameters(component),
            Some("button") => button(component, &parameters(component))?,
            _ => return Err(mismatch("A component is a header, the body or a button.")),
        }
    }
    body(known, &in_body)
}

fn mismatch(details: &str) -> ApiError {
    ApiError::new(132_012, details)
}

fn header(parameters: &[Value]) -> Result<(), ApiError> {
    let [parameter] = parameters else {
        return Err(ApiError::new(132_000, "The header takes one parameter."));
    };
    let kind = parameter["type"].as_str().unwrap_or_default();
    match kind {
        "text" if text(&parameter["text"]).is_some() => Ok(()),
        "image" | "video" | "document" => kinds::file(kind, &parameter[kind], true),
        "location" => kinds::place(&parameter["location"]),
        _ => Err(mismatch("The header does not take this parameter.")),
    }
}

fn body(known: &Template, parameters: &[Value]) -> Result<(), ApiError> {
    if parameters.len() != known.parameters {
        let details = format!(
            "The body has {} parameters, {} were given.",
            known.parameters,
            parameters.len()
        );
        return Err(ApiError::new(132_000, &details));
    }
    let mut length = 0;
    for parameter in parameters {
        length += body_parameter(known, parameter)?;
    }
    if length > TEXT_LIMIT {
        Err(ApiError::new(
            132_005,
            "The text is longer than 1024 characters.",
        ))
    } else {
        Ok(())
    }
}

/// Its length.
fn body_parameter(known: &Template, parameter: &Value) -> Result<usize, ApiError> {
    if parameter["type"] != "text" {
        return Err(mismatch("The body takes text parameters."));
    }
    let name = parameter.get("parameter_name").and_then(Value::as_str);
    let fits = match name {
        None => known.names.is_empty(),
        Some(name) => known.names.iter().any(|known| known == name),
    };
    if !fits {
        return Err(mismatch(
            "The parameters' names are not those of the template.",
        ));
    }
    let Some(text) = text(&parameter["text"]) else {
        return Err(ApiError::new(
            131_008,
            "A text parameter must not be empty.",
        ));
    };
    if text.contains(['\n', '\r', '\t']) || text.contains("     ") {
        return Err(ApiError::new(
            132_018,
            "A parameter has newlines, tabs or more than four spaces.",
        ));
    }
    Ok(text.chars().count())
}

fn button(component: &Value, parameters: &[Value]) -> Result<(), ApiError> {
    let index = &component["index"];
    let index = index.as_u64().or_else(|| index.as_str()?.parse().ok());
    let (Some(_), [parameter]) = (index, parameters) else {
        return Err(ApiError::new(
            131_008,
            "A button takes an index and one parameter.",
        ));
    };
    let (kind, member, limit) = match component["sub_type"].as_str() {
        Some("url") => ("text", "text", usize::MAX),
        Some("quick_reply") => ("payload", "payload", usize::MAX),
        Some("copy_code") => ("coupon_code", "coupon_code", CODE_LIMIT),
        _ => return Err(mismatch("No such kind of button.")),
    };
    match text(&parameter[member]) {
        Some(value) if parameter["type"] == kind && value.chars().count() <= limit => Ok(()),
        _ => Err(mismatch("The button does not take this parameter.")),
    }
}
