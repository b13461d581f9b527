//! `openFiles`: who may see a message gets links to the files that came with it.
//!
//! The bucket is nobody's to read. A link is signed with the function's own credentials, is of one object, and dies soon; whoever has it
//! until then has the file, so each is in the log, by ids.

use super::{InboxError, TENANT_ADMIN};
use crate::media::FileLinks;
use crate::model::MediaId;
use crate::platform::hasura::{ActionError, Session};
use crate::platform::{DatabaseError, Tx};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// Files of one call: a page of a thread has fewer.
const MOST: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesToOpen {
    media_ids: Vec<MediaId>,
}

/// In the order in which they were asked for.
#[derive(Debug, Serialize)]
pub struct OpenedFiles {
    files: Vec<OpenedFile>,
}

#[derive(Debug, Serialize)]
struct OpenedFile {
    media_id: Uuid,
    state: String,
    /// Why it is not STORED, as far as that is known.
    reason: Option<String>,
    /// Of what is STORED.
    url: Option<String>,
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

/// # Errors
/// `validation-failed` for none or too many; `not-found` when one of them is not the tenant's, is not shown to the caller, or its message
/// was deleted; `unavailable` when there are no credentials to sign with.
pub async fn open_files(
    tx: &mut Tx,
    session: &Session,
    links: &FileLinks,
    asked: &FilesToOpen,
) -> Result<OpenedFiles, InboxError> {
    let ids: Vec<Uuid> = asked.media_ids.iter().map(|id| id.0).collect();
    if !(1..=MOST).contains(&ids.len()) {
        let refused = format!("media_ids: from 1 to {MOST}");
        return Err(ActionError::invalid(refused).into());
    }
    let rows = sqlx::query!(
        r#"select f.id, f.state, f.reason, f.storage_key, f.mime_type, f.filename
             from communications.message_media f
             join communications.messages m on m.tenant_id = f.tenant_id and m.id = f.message_id
            where f.tenant_id = $1 and f.id = any($2) and m.revoked_at is null
              and ($3 or communications.shown_to_dispatcher($1, m.conversation_id, $4))"#,
        session.tenant.0,
        &ids,
        session.role == TENANT_ADMIN,
        session.user.0
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    let mut files = Vec::with_capacity(ids.len());
    for id in ids {
        let found = rows.iter().find(|row| row.id == id);
        let row = found.ok_or_else(|| ActionError::not_found("file"))?;
        let link = match &row.storage_key {
            Some(key) => Some(
                links
                    .sign(key, row.mime_type.as_deref(), row.filename.as_deref())
                    .await
                    .map_err(|code| {
                        tracing::error!(code, "a link cannot be signed");
                        ActionError::unavailable()
                    })?,
            ),
            None => None,
        };
        let (url, expires_at) = link.map(|link| (link.url, link.expires_at)).unzip();
        files.push(OpenedFile {
            media_id: id,
            state: row.state.clone(),
            reason: row.reason.clone(),
            url,
            expires_at,
        });
    }
    for file in files.iter().filter(|file| file.url.is_some()) {
        tracing::info!(tenant.id = %session.tenant, user.id = %session.user, media.id = %file.media_id, "file opened");
    }
    Ok(OpenedFiles { files })
}
