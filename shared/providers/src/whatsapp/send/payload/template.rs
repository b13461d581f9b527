//! Approved templates with their parameters filled in.
//!
//! What the approved template wants (how many parameters, which kind of header) only Meta knows, and Meta says so by
//! code; here is only what no template could take.

use super::check;
use super::media::{Kind, LocationObject, MediaObject, location, media};
use crate::Refusal;
use crate::command::{ButtonParameter, TemplateButton, TemplateHeader, WhatsAppTemplate};
use serde::Serialize;

/// Of the body with its parameters filled in; so the parameters alone cannot be longer.
const BODY_LIMIT: usize = 1024;
const HEADER_LIMIT: usize = 60;
const COPY_CODE_LIMIT: usize = 15;
/// Meta states none for names and payloads; no real one is longer.
const NAME_LIMIT: usize = 2000;

#[derive(Serialize)]
pub(super) struct TemplateObject<'a> {
    name: &'a str,
    language: Language<'a>,
    /// A template without placeholders must come without components: an empty list counts as a mismatch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component<'a>>,
}

#[derive(Serialize)]
struct Language<'a> {
    code: &'a str,
}

#[derive(Serialize)]
struct Component<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<String>,
    parameters: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Parameter<'a> {
    Text {
        #[serde(skip_serializing_if = "Option::is_none")]
        parameter_name: Option<&'a str>,
        text: &'a str,
    },
    Image {
        image: MediaObject<'a>,
    },
    Video {
        video: MediaObject<'a>,
    },
    Document {
        document: MediaObject<'a>,
    },
    Location {
        location: LocationObject<'a>,
    },
    Payload {
        payload: &'a str,
    },
    CouponCode {
        coupon_code: &'a str,
    },
}

pub(super) fn template(template: &WhatsAppTemplate) -> Result<TemplateObject<'_>, Refusal> {
    let mut components = Vec::new();
    if let Some(header) = &template.header {
        components.push(plain("header", vec![self::header(header)?]));
    }
    if !template.body.is_empty() || !template.body_names.is_empty() {
        components.push(plain("body", body(&template.body, &template.body_names)?));
    }
    check::unique(
        "template.buttons.index",
        template.buttons.iter().map(|button| button.index),
    )?;
    for button in &template.buttons {
        components.push(self::button(button)?);
    }
    Ok(TemplateObject {
        name: check::text("template.name", &template.name, NAME_LIMIT)?,
        language: Language {
            code: check::text("template.language", &template.language, NAME_LIMIT)?,
        },
        components,
    })
}

fn plain<'a>(kind: &'static str, parameters: Vec<Parameter<'a>>) -> Component<'a> {
    Component {
        r#type: kind,
        sub_type: None,
        index: None,
        parameters,
    }
}

fn header(header: &TemplateHeader) -> Result<Parameter<'_>, Refusal> {
    Ok(match header {
        TemplateHeader::Text { text } => Parameter::Text {
            parameter_name: None,
            text: check::text("template.header.text", text, HEADER_LIMIT)?,
        },
        TemplateHeader::Image(file) => Parameter::Image {
            image: media("template.header", file, Kind::Bare)?,
        },
        TemplateHeader::Video(file) => Parameter::Video {
            video: media("template.header", file, Kind::Bare)?,
        },
        TemplateHeader::Document(file) => Parameter::Document {
            document: media("template.header", file, Kind::Named)?,
        },
        TemplateHeader::Location(place) => Parameter::Location {
            location: location("template.header", place)?,
        },
    })
}

fn body<'a>(texts: &'a [String], names: &'a [String]) -> Result<Vec<Parameter<'a>>, Refusal> {
    if !names.is_empty() && names.len() != texts.len() {
        return Err(check::invalid(
            "template.body_names",
            "must be as many as template.body has",
        ));
    }
    check::unique("template.body_names", names.iter())?;
    if texts.iter().map(|text| text.chars().count()).sum::<usize>() > BODY_LIMIT {
        return Err(check::invalid(
            "template.body",
            &format!("is longer than {BODY_LIMIT} characters in all"),
        ));
    }
    let mut names = names.iter();
    let parameters = texts.iter().map(|text| {
        Ok(Parameter::Text {
            parameter_name: check::optional(
                "template.body_names",
                names.next().map(String::as_str),
                NAME_LIMIT,
            )?,
            text: check::text("template.body", text, BODY_LIMIT)?,
        })
    });
    parameters.collect()
}

fn button(button: &TemplateButton) -> Result<Component<'_>, Refusal> {
    let (sub_type, parameter) = match &button.parameter {
        ButtonParameter::Url { text } => (
            "url",
            Parameter::Text {
                parameter_name: None,
                text: check::text("template.buttons.text", text, NAME_LIMIT)?,
            },
        ),
        ButtonParameter::QuickReply { payload } => (
            "quick_reply",
            Parameter::Payload {
                payload: check::text("template.buttons.payload", payload, NAME_LIMIT)?,
            },
        ),
        ButtonParameter::CopyCode { code } => (
            "copy_code",
            Parameter::CouponCode {
                coupon_code: check::text("template.buttons.code", code, COPY_CODE_LIMIT)?,
            },
        ),
    };
    Ok(Component {
        r#type: "button",
        sub_type: Some(sub_type),
        index: Some(button.index.to_string()),
        parameters: vec![parameter],
    })
}
