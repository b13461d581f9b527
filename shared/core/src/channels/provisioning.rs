//! Steps of an account's provisioning: written down one by one, so that what failed is taken up where it stopped.
//!
//! An attempt holds the account for a minute, longer than any function lives: of two who try at once the second is told so, and what a
//! superseded attempt still does is not written. A step's network call is never inside a transaction: the account is taken, the step is
//! done, its outcome is written. Every step may therefore be done twice, and must bear it.

mod failure;

pub use failure::Failure;
pub(super) use failure::{Stopped, failed, ours, refused};

use super::{ChannelError, lifecycle};
use crate::model::{AccountId, TenantId, UserId};
use crate::platform::{Database, DatabaseError, Tx, hasura::ActionError};
use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

/// Longer than a function lives.
const HELD_FOR_SECONDS: f64 = 60.0;

/// Somebody at work on an account.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub tenant: TenantId,
    pub account: AccountId,
    /// Absent where a schedule works.
    pub by: Option<UserId>,
    id: Uuid,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// For the provider, or for somebody's DNS.
    Waiting,
    Failed(Failure),
}

/// Has another account what this one says is its own at the provider?
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    let constraint = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::constraint);
    constraint == Some("channel_accounts_external_account_key")
}

/// A step as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub step: String,
    /// PENDING, WAITING, DONE or FAILED.
    pub state: String,
    pub tries: i32,
    pub error_class: Option<String>,
    pub error_code: Option<String>,
    pub cause: Option<String>,
    pub cure: Option<String>,
}

/// Takes the account for one attempt.
///
/// # Errors
/// `in-progress` while another attempt has it; it is retryable.
pub async fn begin(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
    by: Option<UserId>,
) -> Result<Attempt, ChannelError> {
    let attempt = Attempt {
        tenant,
        account,
        by,
        id: Uuid::now_v7(),
    };
    let taken = sqlx::query!(
        "update communications.channel_accounts
            set attempt_id = $3, attempt_until = now() + $4 * interval '1 second'
          where tenant_id = $1 and id = $2 and (attempt_until is null or attempt_until <= now())",
        tenant.0,
        account.0,
        attempt.id,
        HELD_FOR_SECONDS
    )
    .execute(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if taken.rows_affected() == 0 {
        return Err(in_progress().into());
    }
    Ok(attempt)
}

fn in_progress() -> ActionError {
    ActionError {
        retryable: true,
        ..ActionError::new(
            StatusCode::CONFLICT,
            "in-progress",
            "somebody is provisioning this account at this moment",
        )
    }
}

impl Attempt {
    /// Is the account still this attempt's? Locks it until the end of the transaction.
    ///
    /// # Errors
    /// `in-progress` when it is not.
    pub async fn holds(&self, tx: &mut Tx) -> Result<(), ChannelError> {
        let held = sqlx::query_scalar!(
            r#"select attempt_id = $3 as "held!" from communications.channel_accounts
                where tenant_id = $1 and id = $2 and attempt_id is not null for no key update"#,
            self.tenant.0,
            self.account.0,
            self.id
        )
        .fetch_optional(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        if held == Some(true) {
            Ok(())
        } else {
            Err(in_progress().into())
        }
    }

    /// What there is to do, in this order; steps that are written down already stay as they are.
    ///
    /// # Errors
    /// `in-progress`.
    pub async fn plan(&self, tx: &mut Tx, steps: &[&str]) -> Result<(), ChannelError> {
        self.holds(tx).await?;
        let names: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
        sqlx::query!(
            "insert into communications.channel_provisioning_steps (tenant_id, account_id, step, ordinal)
             select $1, $2, s.step, s.n from unnest($3::text[]) with ordinality as s (step, n)
             on conflict do nothing",
            self.tenant.0,
            self.account.0,
            &names
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        Ok(())
    }

    /// These are to be done again.
    ///
    /// # Errors
    /// `in-progress`.
    pub async fn repeat(&self, tx: &mut Tx, steps: &[&str]) -> Result<(), ChannelError> {
        self.holds(tx).await?;
        let names: Vec<String> = steps.iter().map(|&step| step.to_owned()).collect();
        sqlx::query!(
            "update communications.channel_provisioning_steps
                set state = 'PENDING', error_class = null, error_code = null, cause = null, cure = null
              where tenant_id = $1 and account_id = $2 and step = any($3)",
            self.tenant.0,
            self.account.0,
            &names
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Writes what became of a step.
    ///
    /// # Errors
    /// `in-progress` when the account is somebody else's by now.
    pub async fn write(
        &self,
        tx: &mut Tx,
        step: &str,
        outcome: &Outcome,
    ) -> Result<(), ChannelError> {
        self.holds(tx).await?;
        let (state, failure) = match outcome {
            Outcome::Done => ("DONE", None),
            Outcome::Waiting => ("WAITING", None),
            Outcome::Failed(failure) => ("FAILED", Some(failure)),
        };
        sqlx::query!(
            "update communications.channel_provisioning_steps
                set state = $4, tries = tries + 1, error_class = $5, error_code = $6, cause = $7, cure = $8, tried_by = $9,
                    tried_at = now(), done_at = case when $4 = 'DONE' then now() end
              where tenant_id = $1 and account_id = $2 and step = $3",
            self.tenant.0,
            self.account.0,
            step,
            state,
            failure.map(|failure| &*failure.class),
            failure.map(|failure| &*failure.code),
            failure.map(|failure| &*failure.cause),
            failure.map(|failure| &*failure.cure),
            self.by.map(|user| user.0)
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        Ok(())
    }

    /// A setting of the account's sends, in `provider_config.public`; `None` takes it away.
    ///
    /// # Errors
    /// `in-progress`.
    pub async fn keep(
        &self,
        tx: &mut Tx,
        setting: &str,
        value: Option<String>,
    ) -> Result<(), ChannelError> {
        self.holds(tx).await?;
        sqlx::query!(
            "update communications.channel_accounts
                set provider_config = jsonb_set(provider_config, '{public}',
                        jsonb_strip_nulls((provider_config -> 'public') || jsonb_build_object($3::text, $4::text)))
              where tenant_id = $1 and id = $2",
            self.tenant.0,
            self.account.0,
            setting,
            value
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        Ok(())
    }

    /// The account is free again. One that was superseded frees nothing.
    ///
    /// # Errors
    /// When the database does not answer; the account is then free after a minute.
    pub async fn end(&self, tx: &mut Tx) -> Result<(), DatabaseError> {
        sqlx::query!(
            "update communications.channel_accounts set attempt_id = null, attempt_until = null
              where tenant_id = $1 and id = $2 and attempt_id = $3",
            self.tenant.0,
            self.account.0,
            self.id
        )
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}

/// What an account's provisioning consists of.
pub(super) trait Steps {
    /// Does one step, outside every transaction but its own; `None` where it has written what became of it together with what it changed.
    async fn take(&mut self, step: &str) -> Result<Option<Outcome>, Stopped>;

    /// Is a step that is DONE to be done once more?
    fn again(&self, _step: &str) -> bool {
        false
    }
}

/// How a walk ended.
pub(super) struct Walked {
    pub status: String,
    /// The step that failed, if one did.
    pub failed_step: Option<String>,
    pub steps: Vec<Step>,
}

/// Takes the steps that are left, in their order, up to the first that is not done. The account is free again afterwards.
///
/// # Errors
/// `in-progress` when the account is somebody else's by now; when the database or KMS does not answer. The steps that were done stay so.
pub(super) async fn walk(
    database: &Database,
    attempt: &Attempt,
    names: &[&str],
    steps: &mut impl Steps,
) -> Result<Walked, ChannelError> {
    let mut tx = database.begin().await?;
    let standing = self::steps(&mut tx, attempt.tenant, attempt.account).await?;
    tx.commit().await?;
    let is_done = |name: &str| {
        let mut known = standing.iter();
        known.any(|step| step.step == name && step.state == "DONE")
    };
    let mut failed_step = None;
    for name in names {
        if is_done(name) && !steps.again(name) {
            continue;
        }
        let outcome = match steps.take(name).await {
            Ok(None) => continue,
            Ok(Some(outcome)) => outcome,
            Err(Stopped::Failed(failure)) => Outcome::Failed(failure),
            Err(Stopped::Error(error)) => {
                let mut tx = database.begin().await?;
                attempt.end(&mut tx).await?;
                tx.commit().await?;
                return Err(error);
            }
        };
        let mut tx = database.begin().await?;
        attempt.write(&mut tx, name, &outcome).await?;
        tx.commit().await?;
        if outcome != Outcome::Done {
            failed_step = matches!(outcome, Outcome::Failed(_)).then(|| (*name).to_owned());
            break;
        }
    }
    let mut tx = database.begin().await?;
    attempt.end(&mut tx).await?;
    let walked = Walked {
        status: lifecycle::lock(&mut tx, attempt.tenant, attempt.account)
            .await?
            .status,
        failed_step,
        steps: self::steps(&mut tx, attempt.tenant, attempt.account).await?,
    };
    tx.commit().await?;
    Ok(walked)
}

/// All steps of an account, in their order.
///
/// # Errors
/// When the database does not answer.
pub async fn steps(
    tx: &mut Tx,
    tenant: TenantId,
    account: AccountId,
) -> Result<Vec<Step>, DatabaseError> {
    let steps = sqlx::query_as!(
        Step,
        "select step, state, tries, error_class, error_code, cause, cure
           from communications.channel_provisioning_steps
          where tenant_id = $1 and account_id = $2
          order by ordinal, step",
        tenant.0,
        account.0
    )
    .fetch_all(tx.conn())
    .await?;
    Ok(steps)
}
