//! Questions with answers to tap: reply buttons and lists.
//!
//! Catalogues, flows and the other interactive kinds are deliberately absent: nothing here has content for them.

use super::check;
use crate::Refusal;
use crate::command::{Interactive, InteractiveAction, ListRow, ListSection, ReplyButton};
use serde::Serialize;

const HEADER_LIMIT: usize = 60;
const FOOTER_LIMIT: usize = 60;
const BUTTONS_BODY_LIMIT: usize = 1024;
const LIST_BODY_LIMIT: usize = 4096;
const BUTTONS: usize = 3;
const BUTTON_ID_LIMIT: usize = 256;
const BUTTON_TITLE_LIMIT: usize = 20;
const SECTIONS: usize = 10;
/// In all sections together.
const ROWS: usize = 10;
const SECTION_TITLE_LIMIT: usize = 24;
const ROW_ID_LIMIT: usize = 200;
const ROW_TITLE_LIMIT: usize = 24;
const ROW_DESCRIPTION_LIMIT: usize = 72;

#[derive(Serialize)]
pub(super) struct InteractiveObject<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<Header<'a>>,
    body: Words<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<Words<'a>>,
    action: Action<'a>,
}

#[derive(Serialize)]
struct Header<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Words<'a> {
    text: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Action<'a> {
    Buttons {
        buttons: Vec<Button<'a>>,
    },
    List {
        button: &'a str,
        sections: Vec<Section<'a>>,
    },
}

#[derive(Serialize)]
struct Button<'a> {
    r#type: &'static str,
    reply: Reply<'a>,
}

#[derive(Serialize)]
struct Reply<'a> {
    id: &'a str,
    title: &'a str,
}

#[derive(Serialize)]
struct Section<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    rows: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
}

pub(super) fn interactive(question: &Interactive) -> Result<InteractiveObject<'_>, Refusal> {
    let (kind, body_limit, action) = match &question.action {
        InteractiveAction::Buttons { buttons } => ("button", BUTTONS_BODY_LIMIT, reply(buttons)?),
        InteractiveAction::List { button, sections } => {
            ("list", LIST_BODY_LIMIT, list(button, sections)?)
        }
    };
    let header = check::optional(
        "interactive.header",
        question.header.as_deref(),
        HEADER_LIMIT,
    )?;
    let footer = check::optional(
        "interactive.footer",
        question.footer.as_deref(),
        FOOTER_LIMIT,
    )?;
    Ok(InteractiveObject {
        r#type: kind,
        header: header.map(|text| Header {
            r#type: "text",
            text,
        }),
        body: Words {
            text: check::text("interactive.body", &question.body, body_limit)?,
        },
        footer: footer.map(|text| Words { text }),
        action,
    })
}

fn reply(buttons: &[ReplyButton]) -> Result<Action<'_>, Refusal> {
    check::count("interactive.buttons", buttons.len(), BUTTONS)?;
    check::unique(
        "interactive.buttons.title",
        buttons.iter().map(|button| button.title.as_str()),
    )?;
    let buttons = buttons.iter().map(|button| {
        Ok(Button {
            r#type: "reply",
            reply: Reply {
                id: check::text("interactive.buttons.id", &button.id, BUTTON_ID_LIMIT)?,
                title: check::text(
                    "interactive.buttons.title",
                    &button.title,
                    BUTTON_TITLE_LIMIT,
                )?,
            },
        })
    });
    Ok(Action::Buttons {
        buttons: buttons.collect::<Result<_, Refusal>>()?,
    })
}

fn list<'a>(button: &'a str, sections: &'a [ListSection]) -> Result<Action<'a>, Refusal> {
    check::count("interactive.sections", sections.len(), SECTIONS)?;
    let rows = sections.iter().map(|section| section.rows.len()).sum();
    check::count("interactive.sections.rows", rows, ROWS)?;
    if sections.len() > 1 && sections.iter().any(|section| section.title.is_none()) {
        return Err(check::invalid(
            "interactive.sections.title",
            "is needed where there is more than one section",
        ));
    }
    let sections = sections.iter().map(|section| {
        Ok(Section {
            title: check::optional(
                "interactive.sections.title",
                section.title.as_deref(),
                SECTION_TITLE_LIMIT,
            )?,
            rows: section.rows.iter().map(row).collect::<Result<_, _>>()?,
        })
    });
    Ok(Action::List {
        button: check::text("interactive.button", button, BUTTON_TITLE_LIMIT)?,
        sections: sections.collect::<Result<_, Refusal>>()?,
    })
}

fn row(row: &ListRow) -> Result<Row<'_>, Refusal> {
    Ok(Row {
        id: check::text("interactive.rows.id", &row.id, ROW_ID_LIMIT)?,
        title: check::text("interactive.rows.title", &row.title, ROW_TITLE_LIMIT)?,
        description: check::optional(
            "interactive.rows.description",
            row.description.as_deref(),
            ROW_DESCRIPTION_LIMIT,
        )?,
    })
}
