//! Files that customers send: uploaded by a test, named by webhooks, and fetched as from Meta.
//!
//! `GET /{version}/{media_id}` answers with a URL that lives for five minutes; behind it the bytes, for the same token only.

use crate::Refused;
use crate::cloud::errors::ApiError;
use crate::state::State;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

/// How long a download URL lives, in milliseconds.
const URL_LIFE: u64 = 5 * 60 * 1000;

/// A file on a number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// The number that it was sent to.
    pub phone_number_id: String,
    pub mime_type: String,
    /// Base64; nothing where `size` says how much of nothing in particular.
    #[serde(default, rename = "base64", deserialize_with = "from_base64")]
    pub bytes: Vec<u8>,
    /// So many bytes in all: what is missing is filled up with zeros.
    #[serde(default)]
    pub size: usize,
    /// Said instead of the true one, as it is to be said.
    #[serde(default)]
    pub sha256: Option<String>,
}

/// What the next calls about a file get, instead of the usual answer. The token is checked first.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaScript {
    pub media_id: String,
    pub step: MediaStep,
    /// How many calls it is good for.
    #[serde(default = "once")]
    pub times: u32,
    /// How long the answer is held back.
    #[serde(default)]
    pub delay_ms: u64,
    #[serde(default)]
    pub answer: MediaAnswer,
}

/// The two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaStep {
    Resolve,
    Download,
}

/// See [`MediaScript`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MediaAnswer {
    #[default]
    Usual,
    /// Meta's error envelope, with its usual HTTP status.
    Fail { code: i64 },
    /// A status and nothing of Meta's.
    Bare { http_status: u16 },
    /// `download`: to somewhere else.
    Redirect { location: String },
    /// `download`: other bytes than those that were uploaded.
    Garbage,
    /// `resolve`: the file lies there.
    Elsewhere { url: String },
}

/// One call about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MediaCall {
    pub media_id: String,
    pub step: MediaStep,
    pub http_status: u16,
}

/// Everything about files, within the state of the simulator.
#[derive(Debug, Default)]
pub(crate) struct Files {
    kept: HashMap<String, File>,
    /// The file and the time of each URL that was given out, by its last segment.
    urls: HashMap<String, (String, u64)>,
    pub(crate) scripts: Vec<MediaScript>,
    pub(crate) calls: Vec<MediaCall>,
    next: u64,
}

#[derive(Debug)]
struct File {
    media: Media,
    forgotten: bool,
}

/// What a call comes to.
pub(crate) enum MediaReply {
    Json(u16, Value),
    Bytes { mime_type: String, bytes: Vec<u8> },
    Bare(u16),
    Redirect(String),
}

impl Media {
    #[must_use]
    pub fn new(phone_number_id: &str, mime_type: &str, bytes: &[u8]) -> Self {
        Self {
            phone_number_id: phone_number_id.to_owned(),
            mime_type: mime_type.to_owned(),
            bytes: bytes.to_vec(),
            size: 0,
            sha256: None,
        }
    }

    /// As webhooks write it.
    #[must_use]
    pub fn sha256_base64(&self) -> String {
        let said = || STANDARD.encode(digest::digest(&digest::SHA256, &self.bytes));
        self.sha256.clone().unwrap_or_else(said)
    }

    /// As a resolved file has it.
    fn sha256_hex(&self) -> String {
        let said = || hex::encode(digest::digest(&digest::SHA256, &self.bytes));
        self.sha256.clone().unwrap_or_else(said)
    }
}

impl State {
    /// Keeps the file; its id.
    pub(crate) fn upload(&mut self, mut media: Media) -> Result<String, Refused> {
        self.number(&media.phone_number_id)?;
        media.bytes.resize(media.bytes.len().max(media.size), 0);
        let id = format!("{}{:06}", crate::state::now_ms(), self.media.next);
        self.media.next += 1;
        let file = File {
            media,
            forgotten: false,
        };
        self.media.kept.insert(id.clone(), file);
        Ok(id)
    }

    /// `{"id", "mime_type", "sha256"}`: the members of a webhook's media object.
    pub(crate) fn media_object(&self, id: &str) -> Result<Value, Refused> {
        let media = &self.file(id)?.media;
        Ok(json!({ "id": id, "mime_type": media.mime_type, "sha256": media.sha256_base64() }))
    }

    /// Seven days are over: nobody can have the file any more, nor by a URL that was given out.
    pub(crate) fn forget(&mut self, id: &str) -> Result<(), Refused> {
        self.file(id)?;
        if let Some(file) = self.media.kept.get_mut(id) {
            file.forgotten = true;
        }
        self.expire_urls(id);
        Ok(())
    }

    /// Five minutes are over.
    pub(crate) fn expire_urls(&mut self, id: &str) {
        self.media.urls.retain(|_, (of, _)| of != id);
    }

    /// A URL as a webhook brings it.
    pub(crate) fn media_url(&mut self, id: &str, base: &str, now: u64) -> Result<String, Refused> {
        self.file(id)?;
        self.media.next += 1;
        let segment = format!("{id}-{}", self.media.next);
        self.media
            .urls
            .insert(segment.clone(), (id.to_owned(), now));
        Ok(format!("{base}/_media/{segment}"))
    }

    fn file(&self, id: &str) -> Result<&File, Refused> {
        let unknown = || Refused(format!("media_id: {id:?} was not uploaded"));
        self.media.kept.get(id).ok_or_else(unknown)
    }

    /// `GET /{version}/{media_id}`.
    pub(crate) fn resolve(
        &mut self,
        id: &str,
        number: Option<&str>,
        token: Option<&str>,
        base: &str,
        now: u64,
    ) -> (MediaReply, u64) {
        if let Err(error) = self.may_see(id, number, token) {
            let reply = MediaReply::Json(error.http_status, error.body());
            return (self.counted(id, MediaStep::Resolve, reply), 0);
        }
        let script = self.taken(id, MediaStep::Resolve);
        let reply = match script.answer {
            MediaAnswer::Fail { code } => failed(code),
            MediaAnswer::Bare { http_status } => MediaReply::Bare(http_status),
            MediaAnswer::Elsewhere { url } => self.place(id, &url),
            _ => match self.media_url(id, base, now) {
                Ok(url) => self.place(id, &url),
                Err(_) => failed(100),
            },
        };
        (self.counted(id, MediaStep::Resolve, reply), script.delay_ms)
    }

    fn place(&self, id: &str, url: &str) -> MediaReply {
        let Ok(File { media, .. }) = self.file(id) else {
            return failed(100);
        };
        let body = json!({
            "messaging_product": "whatsapp", "url": url, "mime_type": media.mime_type,
            "sha256": media.sha256_hex(), "file_size": media.bytes.len().to_string(), "id": id,
        });
        MediaReply::Json(200, body)
    }

    /// The token of the number that has the file; a number that is named must be that one.
    fn may_see(&self, id: &str, number: Option<&str>, token: Option<&str>) -> Result<(), ApiError> {
        let invisible = || {
            let mut error = ApiError::new(100, "The object does not exist or you cannot see it.");
            error.subcode = Some(33);
            error
        };
        let token = token.ok_or_else(|| ApiError::new(190, "An access token is required."))?;
        let file = self.file(id).map_err(|_| invisible())?;
        let owner = self
            .number(&file.media.phone_number_id)
            .map_err(|_| invisible())?;
        if owner.access_token != token {
            return Err(ApiError::new(190, "The access token could not be read."));
        }
        let other = number.is_some_and(|number| number != owner.phone_number_id);
        if file.forgotten || other {
            return Err(invisible());
        }
        Ok(())
    }

    /// `GET` of a URL that was given out.
    pub(crate) fn download(
        &mut self,
        segment: &str,
        token: Option<&str>,
        now: u64,
    ) -> (MediaReply, u64) {
        let alive = self
            .media
            .urls
            .get(segment)
            .filter(|(_, given)| now.saturating_sub(*given) < URL_LIFE)
            .map(|(id, _)| id.clone());
        let Some(id) = alive else {
            let id = segment.split('-').next().unwrap_or_default().to_owned();
            return (
                self.counted(&id, MediaStep::Download, MediaReply::Bare(404)),
                0,
            );
        };
        if self.may_see(&id, None, token).is_err() {
            return (
                self.counted(&id, MediaStep::Download, MediaReply::Bare(401)),
                0,
            );
        }
        let script = self.taken(&id, MediaStep::Download);
        let reply = match script.answer {
            MediaAnswer::Fail { code } => failed(code),
            MediaAnswer::Bare { http_status } => MediaReply::Bare(http_status),
            MediaAnswer::Redirect { location } => MediaReply::Redirect(location),
            answer => self.bytes(&id, answer == MediaAnswer::Garbage),
        };
        (
            self.counted(&id, MediaStep::Download, reply),
            script.delay_ms,
        )
    }

    fn bytes(&self, id: &str, garbage: bool) -> MediaReply {
        let Ok(File { media, .. }) = self.file(id) else {
            return MediaReply::Bare(404);
        };
        let mut bytes = media.bytes.clone();
        if garbage {
            bytes.extend_from_slice(b"garbage");
        }
        MediaReply::Bytes {
            mime_type: media.mime_type.clone(),
            bytes,
        }
    }

    fn taken(&mut self, id: &str, step: MediaStep) -> MediaScript {
        let scripts = &mut self.media.scripts;
        let fits = |script: &&mut MediaScript| script.media_id == id && script.step == step;
        let Some(script) = scripts.iter_mut().find(fits) else {
            return MediaScript::new(id, step, MediaAnswer::Usual);
        };
        script.times = script.times.saturating_sub(1);
        let taken = script.clone();
        scripts.retain(|script| script.times > 0);
        taken
    }

    fn counted(&mut self, id: &str, step: MediaStep, reply: MediaReply) -> MediaReply {
        let http_status = match &reply {
            MediaReply::Json(status, _) | MediaReply::Bare(status) => *status,
            MediaReply::Bytes { .. } => 200,
            MediaReply::Redirect(_) => 302,
        };
        self.media.calls.push(MediaCall {
            media_id: id.to_owned(),
            step,
            http_status,
        });
        reply
    }
}

impl MediaScript {
    /// For the next call of this kind.
    #[must_use]
    pub fn new(media_id: &str, step: MediaStep, answer: MediaAnswer) -> Self {
        Self {
            media_id: media_id.to_owned(),
            step,
            times: once(),
            delay_ms: 0,
            answer,
        }
    }

    /// For so many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }
}

fn failed(code: i64) -> MediaReply {
    let error = ApiError::new(code, "As scripted.");
    MediaReply::Json(error.http_status, error.body())
}

fn once() -> u32 {
    1
}

fn from_base64<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}
