//! Files and places, in messages of their own and in the headers of templates.

use super::check;
use crate::Refusal;
use crate::command::{Location, Media};
use serde::Serialize;

const CAPTION_LIMIT: usize = 1024;
/// Meta states none for these; no real one is longer.
const NAME_LIMIT: usize = 1024;

/// Which members a file of this kind may carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Image and video.
    Captioned,
    /// A caption and a name.
    Document,
    /// Audio and stickers, and the image or video of a template's header.
    Bare,
    /// A name, but no caption: the document of a template's header.
    Named,
}

#[derive(Serialize)]
pub(super) struct MediaObject<'a> {
    #[serde(flatten)]
    source: Source<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caption: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Source<'a> {
    Id(&'a str),
    Link(&'a str),
}

#[derive(Serialize)]
pub(super) struct LocationObject<'a> {
    latitude: f64,
    longitude: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
}

/// A name where Meta knows none is left out; a caption where none is possible is refused, for a person wrote it.
pub(super) fn media<'a>(
    member: &str,
    media: &'a Media,
    kind: Kind,
) -> Result<MediaObject<'a>, Refusal> {
    let of = |name: &str| format!("{member}.{name}");
    let source = match (media.id.as_deref(), media.link.as_deref()) {
        (Some(id), None) => Source::Id(check::text(&of("id"), id, NAME_LIMIT)?),
        (None, Some(link)) if link.starts_with("https://") || link.starts_with("http://") => {
            Source::Link(link)
        }
        (None, Some(_)) => return Err(check::invalid(&of("link"), "is not an http(s) URL")),
        _ => {
            return Err(check::invalid(
                member,
                "must have exactly one of id and link",
            ));
        }
    };
    let caption = match kind {
        Kind::Captioned | Kind::Document => {
            check::optional(&of("caption"), media.caption.as_deref(), CAPTION_LIMIT)?
        }
        Kind::Bare | Kind::Named if media.caption.is_some() => {
            return Err(check::invalid(&of("caption"), "is not possible here"));
        }
        Kind::Bare | Kind::Named => None,
    };
    let filename = match kind {
        Kind::Document | Kind::Named => {
            check::optional(&of("filename"), media.filename.as_deref(), NAME_LIMIT)?
        }
        Kind::Captioned | Kind::Bare => None,
    };
    Ok(MediaObject {
        source,
        caption,
        filename,
    })
}

pub(super) fn location<'a>(
    member: &str,
    location: &'a Location,
) -> Result<LocationObject<'a>, Refusal> {
    let of = |name: &str| format!("{member}.{name}");
    if !(-90.0..=90.0).contains(&location.latitude) {
        return Err(check::invalid(&of("latitude"), "is not within -90..90"));
    }
    if !(-180.0..=180.0).contains(&location.longitude) {
        return Err(check::invalid(&of("longitude"), "is not within -180..180"));
    }
    Ok(LocationObject {
        latitude: location.latitude,
        longitude: location.longitude,
        name: check::optional(&of("name"), location.name.as_deref(), NAME_LIMIT)?,
        address: check::optional(&of("address"), location.address.as_deref(), NAME_LIMIT)?,
    })
}
