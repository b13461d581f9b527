//! API clients: programs that may ask for notifications, each with a token of its own and only what it needs.
//!
//! The token is shown once, when it is made; kept is its hash. It is 256 random bits, so the hash needs no salt and the look-up by it
//! gives nothing away.

use crate::inbox::{InboxError, administrators};
use crate::model::TenantId;
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// So that whoever finds one somewhere knows what it is.
const PREFIX: &str = "comms_";
const NAME_LIMIT: usize = 100;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Previews, and what became of runs and batches.
    #[serde(rename = "notifications:read")]
    Read,
    #[serde(rename = "notifications:write")]
    Write,
    #[serde(rename = "batches:write")]
    Batches,
}

impl Scope {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "notifications:read",
            Self::Write => "notifications:write",
            Self::Batches => "batches:write",
        }
    }
}

/// Who calls.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: Uuid,
    /// `None` for the platform's own, which name a tenant in each request.
    pub tenant: Option<TenantId>,
    scopes: Vec<String>,
}

impl Client {
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|known| known == scope.as_str())
    }

    /// For whom: its own tenant, or whom the request names.
    ///
    /// # Errors
    /// `forbidden` for another tenant than the token's; `validation-failed` where none is named.
    pub fn tenant(&self, named: Option<TenantId>) -> Result<TenantId, ActionError> {
        match (self.tenant, named) {
            (Some(own), Some(named)) if own != named => Err(ActionError::new(
                http::StatusCode::FORBIDDEN,
                "forbidden",
                "tenant_id: is not the token's",
            )),
            (Some(own), _) => Ok(own),
            (None, Some(named)) => Ok(named),
            (None, None) => Err(ActionError::invalid(
                "tenant_id: must be given with a token of the platform's",
            )),
        }
    }
}

/// Whose token it is; `None` for nobody's, or one that was disabled.
///
/// # Errors
/// When the database does not answer.
pub async fn by_token(tx: &mut Tx, token: &str) -> Result<Option<Client>, DatabaseError> {
    if !token.starts_with(PREFIX) {
        return Ok(None);
    }
    let row = sqlx::query!(
        r#"select id, scopes, nullif(tenant_id, communications.platform_tenant()) as "tenant: TenantId"
             from communications.api_clients where token_sha256 = $1 and disabled_at is null"#,
        hash(token)
    )
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|row| Client {
        id: row.id,
        tenant: row.tenant,
        scopes: row.scopes,
    }))
}

fn hash(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes())
        .as_ref()
        .to_vec()
}

/// The arguments of `createApiClient`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    pub name: String,
    pub scopes: Vec<Scope>,
}

/// What it answers: the one time that the token is seen.
#[derive(Clone, Serialize)]
pub struct CreatedClient {
    pub client_id: Uuid,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub token: String,
}

impl std::fmt::Debug for CreatedClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedClient")
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// For administrators.
///
/// # Errors
/// `forbidden`; `validation-failed` naming the field.
pub async fn create_client(
    tx: &mut Tx,
    session: &Session,
    new: &NewClient,
) -> Result<CreatedClient, InboxError> {
    administrators(session, "make API clients")?;
    let name = new.name.trim();
    if name.is_empty() || name.len() > NAME_LIMIT {
        let refused = format!("name: must be 1 to {NAME_LIMIT} bytes");
        return Err(ActionError::invalid(refused).into());
    }
    if new.scopes.is_empty() {
        return Err(ActionError::invalid("scopes: must name one at least").into());
    }
    let token = token()?;
    let id = Uuid::now_v7();
    let scopes: Vec<String> = new
        .scopes
        .iter()
        .map(|scope| scope.as_str().to_owned())
        .collect();
    sqlx::query!(
        "insert into communications.api_clients (tenant_id, id, name, token_sha256, scopes, created_by)
         values ($1, $2, $3, $4, $5, $6)",
        session.tenant.0,
        id,
        name,
        hash(&token),
        &scopes,
        session.user.0
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    Ok(CreatedClient {
        client_id: id,
        name: name.to_owned(),
        scopes: new.scopes.clone(),
        token,
    })
}

fn token() -> Result<String, ActionError> {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).map_err(|_| ActionError::unavailable())?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// What `disableApiClient` answers.
#[derive(Debug, Clone, Serialize)]
pub struct DisabledClient {
    pub client_id: Uuid,
    pub disabled: bool,
}

/// Its token is nobody's from now on, for good. The same again answers the same.
///
/// # Errors
/// `forbidden` for all but administrators; `not-found`.
pub async fn disable_client(
    tx: &mut Tx,
    session: &Session,
    client: Uuid,
) -> Result<DisabledClient, InboxError> {
    administrators(session, "disable API clients")?;
    let done = sqlx::query!(
        "update communications.api_clients set disabled_at = coalesce(disabled_at, now()) where tenant_id = $1 and id = $2",
        session.tenant.0,
        client
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if done.rows_affected() == 0 {
        return Err(ActionError::not_found("API client").into());
    }
    Ok(DisabledClient {
        client_id: client,
        disabled: true,
    })
}
