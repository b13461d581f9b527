//! `registerEmailDomain` and `checkEmailDomain`: from a domain's name to one that mail leaves from.
//!
//! At SES a domain is the AWS account's and no operator's, so whose it is says our own row: claimed before the first call, by the unique
//! key of external ids, and given up again when its records were not found in time. The records are the operator's to publish; the upkeep
//! looks until SES has found them.

use super::provisioning::{self, Attempt, Outcome, Step, Steps, Stopped, failed, ours};
use super::{ChannelError, lifecycle};
use crate::model::{AccountId, TenantId, UserId};
use crate::platform::hasura::{ActionError, Session, administrators};
use crate::platform::queue::Hint;
use crate::platform::{Database, DatabaseError, Tx, telemetry};
use comms_providers::ses::provision::dns::{DnsRecord, records};
use comms_providers::ses::provision::{DomainIdentity, SesProvisioner};
use http::StatusCode;
use serde::{Deserialize, Serialize};

const STEPS: &[&str] = &[
    "TENANT",
    "CONFIGURATION",
    "IDENTITY",
    "MAIL_FROM",
    "ASSOCIATE",
    "CHECK",
];
/// What SES gives DNS at most.
const VERIFIED_WITHIN_HOURS: i32 = 72;
/// The upkeep looks at a domain no more often; SES takes a call a second from all of us together.
const CHECKED_EVERY_MINUTES: i32 = 5;
/// And at so many at a time.
const CHECKED_AT_ONCE: i64 = 20;
/// Domains of a tenant whose records are waited for.
const WAITING_AT_MOST: i64 = 20;
/// The tag that says whose a domain is.
const TENANT_TAG: &str = "tenant_id";

/// What provisioning email stands on.
#[derive(Debug)]
pub struct Mail {
    pub ses: SesProvisioner,
    pub region: String,
    /// Where configuration sets publish what becomes of mails.
    pub events_topic: String,
}

/// The arguments of `registerEmailDomain`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    pub domain: String,
    /// A subdomain that is used for nothing else; absent: `bounce.` before the domain.
    #[serde(default)]
    pub mail_from: Option<String>,
    /// What recipients see beside the address.
    #[serde(default)]
    pub from_name: Option<String>,
    /// A subdomain that answers come to; absent: as it was, and where none ever was they go to the sender's own mailbox.
    #[serde(default)]
    pub reply_domain: Option<String>,
}

/// A record to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    pub kind: &'static str,
    pub name: String,
    pub value: String,
    pub purpose: &'static str,
    pub required: bool,
}

impl From<DnsRecord> for Record {
    fn from(record: DnsRecord) -> Self {
        Self {
            kind: record.kind.as_str(),
            name: record.name,
            value: record.value,
            purpose: record.purpose.as_str(),
            required: record.required,
        }
    }
}

/// What both actions answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Registered {
    pub channel_account_id: AccountId,
    pub status: String,
    pub failed_step: Option<String>,
    pub steps: Vec<Step>,
    /// To be published; empty before SES has the domain.
    pub records: Vec<Record>,
}

struct Run<'a> {
    database: &'a Database,
    mail: &'a Mail,
    attempt: Attempt,
    names: Names,
    identity: Option<DomainIdentity>,
    hints: Vec<Hint>,
}

/// The domain, and what stands below it.
#[derive(Debug)]
struct Names {
    domain: String,
    mail_from: String,
    reply_domain: Option<String>,
}

impl Names {
    fn of(domain: String, public: &serde_json::Map<String, serde_json::Value>) -> Self {
        let kept = |name| Some(public.get(name)?.as_str()?.to_owned());
        Self {
            mail_from: kept("mail_from").unwrap_or_else(|| format!("bounce.{domain}")),
            reply_domain: kept("reply_domain"),
            domain,
        }
    }
}

/// # Errors
/// `forbidden` for all but administrators; `validation-failed`; `domain-taken` for one of another operator's; `too-many-domains`;
/// `in-progress`.
pub async fn register(
    (database, mail): (&Database, &Mail),
    session: &Session,
    wanted: Register,
) -> Result<(Registered, Vec<Hint>), ChannelError> {
    administrators(session, "register domains")?;
    let domain = wanted.domain.trim().trim_end_matches('.').to_lowercase();
    if !is_domain(&domain) {
        return Err(
            ActionError::invalid("domain must be a domain's name, such as example.org").into(),
        );
    }
    let mail_from = wanted.mail_from.map_or_else(
        || format!("bounce.{domain}"),
        |name| name.trim().to_lowercase(),
    );
    if !mail_from.ends_with(&format!(".{domain}")) || !is_domain(&mail_from) {
        return Err(ActionError::invalid("mail_from must be a subdomain of the domain").into());
    }
    let reply_domain = wanted.reply_domain.map(|name| name.trim().to_lowercase());
    let is_below = |name: &String| name.ends_with(&format!(".{domain}")) && is_domain(name);
    if reply_domain
        .as_ref()
        .is_some_and(|name| !is_below(name) || *name == mail_from)
    {
        return Err(ActionError::invalid(
            "reply_domain must be a subdomain of the domain, and another than mail_from",
        )
        .into());
    }
    let mut tx = database.begin().await?;
    may_claim(&mut tx, session, &domain).await?;
    if let Some(reply_domain) = &reply_domain {
        may_have_answers_at(&mut tx, session, reply_domain).await?;
    }
    let public = serde_json::json!({
        "from_address": format!("noreply@{domain}"), "from_name": wanted.from_name, "mail_from": mail_from,
        "reply_domain": reply_domain
    });
    let account = claim(
        &mut tx,
        session,
        &domain,
        &public,
        wanted.from_name.as_deref(),
    )
    .await?;
    let kept = lifecycle::lock(&mut tx, session.tenant, account).await?;
    let names = Names::of(domain, &kept.config.public);
    let attempt = provisioning::begin(&mut tx, session.tenant, account, Some(session.user)).await?;
    attempt.plan(&mut tx, STEPS).await?;
    // Whose it is at SES may have changed since, and so may what bounces come to.
    attempt.repeat(&mut tx, &["IDENTITY", "MAIL_FROM"]).await?;
    tx.commit().await?;
    Run::new((database, mail), attempt, names).finish().await
}

/// Looks now, and takes up what failed.
///
/// # Errors
/// `forbidden`; `not-found`; `validation-failed` for an account that is none of email, or whose domain was given up; `in-progress`.
pub async fn check(
    (database, mail): (&Database, &Mail),
    session: &Session,
    account: AccountId,
) -> Result<(Registered, Vec<Hint>), ChannelError> {
    administrators(session, "check domains")?;
    look(
        (database, mail),
        session.tenant,
        account,
        Some(session.user),
    )
    .await
}

async fn look(
    (database, mail): (&Database, &Mail),
    tenant: TenantId,
    account: AccountId,
    by: Option<UserId>,
) -> Result<(Registered, Vec<Hint>), ChannelError> {
    let mut tx = database.begin().await?;
    let locked = lifecycle::lock(&mut tx, tenant, account).await?;
    let (Some(domain), "SES") = (locked.external_account_id, &*locked.provider) else {
        return Err(ActionError::invalid(
            "channel_account_id must be of an email domain that is registered",
        )
        .into());
    };
    let attempt = provisioning::begin(&mut tx, tenant, account, by).await?;
    attempt.plan(&mut tx, STEPS).await?;
    tx.commit().await?;
    let names = Names::of(domain, &locked.config.public);
    Run::new((database, mail), attempt, names).finish().await
}

/// What the upkeep does: domains that wait, those first that were looked at longest ago. Answers how many became ACTIVE and the hints.
///
/// # Errors
/// When the database does not answer. SES not answering is written with the domain.
pub async fn check_waiting(
    (database, mail): (&Database, &Mail),
) -> Result<(usize, Vec<Hint>), ChannelError> {
    let mut tx = database.begin().await?;
    let due = sqlx::query!(
        r#"update communications.channel_accounts a set checked_at = now()
             from (select tenant_id, id from communications.channel_accounts
                    where status = 'VERIFYING' and verify_until is not null
                      and (checked_at is null or checked_at < now() - $1 * interval '1 minute')
                    order by checked_at nulls first limit $2 for update skip locked) due
            where a.tenant_id = due.tenant_id and a.id = due.id
           returning a.tenant_id as "tenant: TenantId", a.id as "id: AccountId""#,
        f64::from(CHECKED_EVERY_MINUTES),
        CHECKED_AT_ONCE
    )
    .fetch_all(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    tx.commit().await?;
    let (mut verified, mut hints) = (0, Vec::new());
    for account in due {
        match look((database, mail), account.tenant, account.id, None).await {
            Ok((registered, released)) => {
                verified += usize::from(registered.status == "ACTIVE");
                hints.extend(released);
            }
            // Somebody is at work on it, or has disabled it meanwhile.
            Err(ChannelError::Refused(_)) => {}
            Err(error) => {
                tracing::error!(account.id = %account.id, error = telemetry::chain(&error), "a domain was not looked at");
            }
        }
    }
    Ok((verified, hints))
}

fn is_domain(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').count() > 1 && name.split('.').all(label)
}

/// What was not found in time is nobody's again, whatever step it stopped at.
async fn give_up(tx: &mut Tx, attempt: &Attempt) -> Result<bool, DatabaseError> {
    let given_up = sqlx::query!(
        "update communications.channel_accounts
            set status = 'PENDING', status_reason = 'records-not-found: given up', external_account_id = null, verify_until = null
          where tenant_id = $1 and id = $2 and status = 'VERIFYING' and verify_until <= now()",
        attempt.tenant.0,
        attempt.account.0
    )
    .execute(tx.conn())
    .await?;
    Ok(given_up.rows_affected() > 0)
}

/// May the tenant say that this domain is its own? Not where another has its answers come to it, or has proven a domain that it is below.
async fn may_claim(tx: &mut Tx, session: &Session, domain: &str) -> Result<(), ChannelError> {
    let found = sqlx::query!(
        r#"select exists (select from communications.channel_accounts a
                           where a.channel = 'EMAIL' and a.tenant_id <> $1 and a.verified_at is not null
                             and (lower(a.provider_config #>> '{public,reply_domain}') = $2
                                  or right($2, length(a.external_account_id) + 1) = '.' || a.external_account_id)) as "taken!",
                  (select count(*) from communications.channel_accounts a
                    where a.tenant_id = $1 and a.channel = 'EMAIL' and a.status = 'VERIFYING' and a.external_account_id <> $2) as "waiting!""#,
        session.tenant.0,
        domain
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if found.taken {
        return Err(taken().into());
    }
    if found.waiting >= WAITING_AT_MOST {
        return Err(ActionError::new(
            StatusCode::CONFLICT,
            "too-many-domains",
            format!("the records of {WAITING_AT_MOST} domains are waited for: publish them, or disable the accounts"),
        )
        .into());
    }
    Ok(())
}

/// Not where another operator's mails come to.
async fn may_have_answers_at(
    tx: &mut Tx,
    session: &Session,
    domain: &str,
) -> Result<(), ChannelError> {
    let is_taken = sqlx::query_scalar!(
        r#"select exists (select from communications.channel_accounts a
                           where a.channel = 'EMAIL' and a.tenant_id <> $1
                             and $2 in (a.external_account_id, lower(a.provider_config #>> '{public,reply_domain}'))) as "taken!""#,
        session.tenant.0,
        domain
    )
    .fetch_one(tx.conn())
    .await
    .map_err(DatabaseError::from)?;
    if is_taken {
        return Err(taken().into());
    }
    Ok(())
}

/// The tenant's account of this domain. Another's, or one that another was faster to claim, is refused.
async fn claim(
    tx: &mut Tx,
    session: &Session,
    domain: &str,
    public: &serde_json::Value,
    from_name: Option<&str>,
) -> Result<AccountId, ChannelError> {
    let account = sqlx::query_scalar!(
        r#"with mine as (
               select tenant_id, id from communications.channel_accounts
                where tenant_id = $1 and channel = 'EMAIL' and $3 in (external_account_id, requested_external_id)
                order by external_account_id is null limit 1),
           again as (
               update communications.channel_accounts a
                  set external_account_id = $3, requested_external_id = $3,
                      provider_config = jsonb_set(a.provider_config, '{public}', (a.provider_config -> 'public') || jsonb_strip_nulls($4)),
                      status = case when a.status in ('PENDING', 'DISABLED') then 'VERIFYING' else a.status end,
                      verify_until = case when a.status in ('PENDING', 'DISABLED') then now() + $6 * interval '1 hour' else a.verify_until end,
                      acted_by = $5
                 from mine where a.tenant_id = mine.tenant_id and a.id = mine.id
               returning a.id),
           made as (
               insert into communications.channel_accounts
                   (tenant_id, id, channel, provider, display_name, sender, external_account_id, requested_external_id, provider_config,
                    created_by)
               select $1, $2, 'EMAIL', 'SES', coalesce($7, $3), $3, $3, $3,
                      jsonb_build_object('public', jsonb_strip_nulls($4), 'secrets', '[]'::jsonb), $5
                where not exists (select from mine)
               on conflict do nothing
               returning id)
           select id as "id!: AccountId" from again union all select id from made"#,
        session.tenant.0,
        AccountId::generate().0,
        domain,
        public,
        session.user.0,
        f64::from(VERIFIED_WITHIN_HOURS),
        from_name
    )
    .fetch_optional(tx.conn())
    .await;
    match account {
        Ok(Some(account)) => {
            // A new one begins as PENDING; the clock of its records starts with it.
            sqlx::query!(
                "update communications.channel_accounts
                    set status = 'VERIFYING', verify_until = now() + $3 * interval '1 hour', acted_by = $4
                  where tenant_id = $1 and id = $2 and status = 'PENDING'",
                session.tenant.0,
                account.0,
                f64::from(VERIFIED_WITHIN_HOURS),
                session.user.0
            )
            .execute(tx.conn())
            .await
            .map_err(DatabaseError::from)?;
            Ok(account)
        }
        Ok(None) => Err(taken().into()),
        Err(error)
            if error
                .as_database_error()
                .is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
        {
            Err(taken().into())
        }
        Err(error) => Err(DatabaseError::from(error).into()),
    }
}

fn taken() -> ActionError {
    ActionError::new(
        StatusCode::CONFLICT,
        "domain-taken",
        "another operator of this platform has this domain, or somebody else uses it in its AWS account",
    )
}

impl Steps for Run<'_> {
    async fn take(&mut self, step: &str) -> Result<Option<Outcome>, Stopped> {
        let ses = &self.mail.ses;
        let tags = [(TENANT_TAG.to_owned(), self.attempt.tenant.to_string())];
        let (name, domain) = (self.name(), self.names.domain.clone());
        match step {
            "TENANT" => {
                let tenant = ses.ensure_tenant(&name, &tags).await;
                let tenant = tenant.map_err(|error| failed(&error))?;
                self.keep("tenant_name", tenant.map(|tenant| tenant.name))
                    .await?;
            }
            "CONFIGURATION" => {
                let made = ses
                    .ensure_configuration_set(&name, &self.mail.events_topic)
                    .await;
                made.map_err(|error| failed(&error))?;
                self.keep("configuration_set", Some(name)).await?;
            }
            "IDENTITY" => {
                let claimed = ses.create_identity(&domain, Some(&name), &tags).await;
                let claimed = claimed.map_err(|error| failed(&error))?;
                if claimed.existed && !claimed.identity.tags.contains(&tags[0]) {
                    self.let_go().await?;
                    return Err(ours(
                        "domain-taken",
                        "The domain is in use at this AWS account already, and not by this operator.",
                        "Choose another domain, or ask support whose it is.",
                    ));
                }
                self.identity = Some(claimed.identity);
            }
            "MAIL_FROM" => {
                let put = ses.put_mail_from(&domain, &self.names.mail_from).await;
                put.map_err(|error| failed(&error))?;
            }
            "ASSOCIATE" => {
                let tenant = ses.tenant(&name).await.map_err(|error| failed(&error))?;
                if let Some(tenant) = tenant {
                    let associated = ses.associate(&tenant, &domain, &name).await;
                    associated.map_err(|error| failed(&error))?;
                }
            }
            _ => return self.find_records().await.map(Some),
        }
        Ok(Some(Outcome::Done))
    }

    /// Looking is never over.
    fn again(&self, step: &str) -> bool {
        step == "CHECK"
    }
}

impl<'a> Run<'a> {
    fn new((database, mail): (&'a Database, &'a Mail), attempt: Attempt, names: Names) -> Self {
        Self {
            database,
            mail,
            attempt,
            names,
            identity: None,
            hints: Vec::new(),
        }
    }

    /// Of the tenant at SES, of its configuration set.
    fn name(&self) -> String {
        format!("comms-{}", self.attempt.tenant)
    }

    async fn finish(mut self) -> Result<(Registered, Vec<Hint>), ChannelError> {
        let (database, attempt) = (self.database, self.attempt);
        let mut walked = provisioning::walk(database, &attempt, STEPS, &mut self).await?;
        let mut tx = database.begin().await?;
        if give_up(&mut tx, &attempt).await? {
            "PENDING".clone_into(&mut walked.status);
        }
        tx.commit().await?;
        let registered = Registered {
            channel_account_id: attempt.account,
            status: walked.status,
            failed_step: walked.failed_step,
            steps: walked.steps,
            records: self.identity.as_ref().map_or_else(Vec::new, |identity| {
                let all = records(
                    identity,
                    &self.mail.region,
                    self.names.reply_domain.as_deref(),
                );
                all.into_iter().map(Record::from).collect()
            }),
        };
        Ok((registered, self.hints))
    }

    async fn keep(&self, setting: &str, value: Option<String>) -> Result<(), Stopped> {
        let mut tx = self.database.begin().await?;
        self.attempt.keep(&mut tx, setting, value).await?;
        Ok(tx.commit().await?)
    }

    /// It is somebody else's at SES, so it is not this tenant's here.
    async fn let_go(&self) -> Result<(), Stopped> {
        let mut tx = self.database.begin().await?;
        self.attempt.holds(&mut tx).await?;
        sqlx::query!(
            "update communications.channel_accounts
                set external_account_id = null, verify_until = null, status = case status when 'VERIFYING' then 'PENDING' else status end
              where tenant_id = $1 and id = $2 and verified_at is null",
            self.attempt.tenant.0,
            self.attempt.account.0
        )
        .execute(tx.conn())
        .await
        .map_err(DatabaseError::from)?;
        Ok(tx.commit().await?)
    }

    async fn find_records(&mut self) -> Result<Outcome, Stopped> {
        let found = self.mail.ses.identity(&self.names.domain).await;
        let Some(identity) = found.map_err(|error| failed(&error))? else {
            let mut tx = self.database.begin().await?;
            self.attempt.repeat(&mut tx, STEPS).await?;
            tx.commit().await?;
            return Err(ours(
                "identity-gone",
                "SES does not know the domain any more.",
                "Register the domain again.",
            ));
        };
        let verified = identity.verified_for_sending;
        if !verified && identity.dkim.status.as_deref() == Some("FAILED") {
            // SES has given up, and looks again only when it is told to.
            let restarted = self.mail.ses.restart_dkim(&self.names.domain).await;
            restarted.map_err(|error| failed(&error))?;
        }
        self.identity = Some(identity);
        let (tenant, account) = (self.attempt.tenant, self.attempt.account);
        let mut tx = self.database.begin().await?;
        self.attempt.holds(&mut tx).await?;
        let late = if verified {
            sqlx::query!(
                "update communications.channel_accounts
                    set status = 'ACTIVE', status_reason = null, verify_until = null, checked_at = null, acted_by = $3
                  where tenant_id = $1 and id = $2 and status = 'VERIFYING'",
                tenant.0,
                account.0,
                self.attempt.by.map(|user| user.0)
            )
            .execute(tx.conn())
            .await
            .map_err(DatabaseError::from)?;
            self.hints = lifecycle::release(&mut tx, tenant, account).await?;
            false
        } else {
            give_up(&mut tx, &self.attempt).await?
        };
        tx.commit().await?;
        match (verified, late) {
            (true, _) => Ok(Outcome::Done),
            (false, true) => Err(ours(
                "records-not-found",
                "The domain's records were not found in 72 hours, and its claim was given up.",
                "Publish the records as they are listed, and register the domain again.",
            )),
            (false, false) => Ok(Outcome::Waiting),
        }
    }
}
