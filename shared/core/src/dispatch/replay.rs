//! `replayMessages`: what an outage left behind, sent again in bulk; counted first, then paced.
//!
//! One filter finds the messages that ended without reaching anybody; `communications.replay_candidates`
//! says of each why it must not be sent again, if so. The rest is copied, once for each original by the database's key, and
//! waits for its turn without a hint, so that a replay of thousands leaves at each sender's rate and behind what is more
//! urgent. The claim asks for consent once more.

mod filter;

use crate::inbox::{InboxError, TENANT_ADMIN};
use crate::model::{Category, Channel, MessageStatus};
use crate::platform::{
    DatabaseError, Tx,
    hasura::{ActionError, Session},
};
use filter::ReplayFilter;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const DEFAULT_LIMIT: i64 = 1000;
const MOST_AT_ONCE: i64 = 10_000;

/// The arguments of `replayMessages`, read by hand so that an error names the member.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayArguments {
    #[serde(default)]
    filter: Value,
    #[serde(default)]
    dry_run: Value,
    #[serde(default)]
    limit: Value,
}

/// What `replayMessages` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replayed {
    pub dry_run: bool,
    /// All that the filter finds, whatever the limit: `replayable` and every `skipped` together.
    pub matched: i64,
    /// Of those: what may be sent again, this call's copies included.
    pub replayable: i64,
    /// Copies made by this call; none in a dry run.
    pub replayed: i64,
    pub skipped: Vec<Skipped>,
    /// `matched`, counted apart.
    pub groups: Vec<Group>,
}

/// How many must not be sent again, by the first reason that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub reason: String,
    pub count: i64,
}

/// How many failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Of the last attempt; null where there was none.
    pub class: Option<String>,
    pub code: Option<String>,
    pub channel: String,
    pub count: i64,
}

/// Counts what matches, and unless it is a dry run copies up to `limit` of it, what failed first first.
///
/// # Errors
/// `forbidden` for all but the tenant's administrators; `validation-failed` naming the member.
pub async fn replay_messages(
    tx: &mut Tx,
    session: &Session,
    arguments: &ReplayArguments,
) -> Result<Replayed, InboxError> {
    if session.role != TENANT_ADMIN {
        return Err(ActionError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "only a tenant_admin may replay messages",
        )
        .into());
    }
    let filter = ReplayFilter::parse(&arguments.filter)?;
    let dry_run = arguments
        .dry_run
        .as_bool()
        .ok_or_else(|| ActionError::invalid("dry_run must be true or false"))?;
    let limit = limit(&arguments.limit)?;
    let rows = run(tx, session, &filter, if dry_run { 0 } else { limit }).await?;
    let replayed = count(dry_run, &rows);
    if !dry_run {
        tracing::info!(
            tenant.id = %session.tenant,
            user.id = %session.user,
            matched = replayed.matched,
            replayed = replayed.replayed,
            "messages replayed"
        );
    }
    Ok(replayed)
}

fn limit(value: &Value) -> Result<i64, ActionError> {
    match value {
        Value::Null => Ok(DEFAULT_LIMIT),
        value => value
            .as_i64()
            .filter(|limit| (1..=MOST_AT_ONCE).contains(limit))
            .ok_or_else(|| {
                ActionError::invalid(format!("limit must be a number from 1 to {MOST_AT_ONCE}"))
            }),
    }
}

/// How many of one kind.
struct Row {
    class: Option<String>,
    code: Option<String>,
    channel: String,
    skip: Option<String>,
    count: i64,
    /// Of the whole call, the same in every row.
    copies: i64,
}

/// Counting and copying are one statement: what is counted is what was looked at.
async fn run(
    tx: &mut Tx,
    session: &Session,
    filter: &ReplayFilter,
    copies: i64,
) -> Result<Vec<Row>, DatabaseError> {
    Ok(sqlx::query_as!(
        Row,
        r#"with candidates as materialized (
               select * from communications.replay_candidates($1, $2, $3, $4, $5, $6, $7, $8, $9)),
           chosen as (
               select c.id, c.account_id from candidates c where c.skip is null order by c.ended_at, c.id limit $10),
           listed as (
               select array_agg(c.id) as ids, array_agg(c.account_id) as accounts from chosen c),
           copied as materialized (
               select o.original_id
                 from listed l
                cross join lateral communications.copy_messages($1, l.ids, l.accounts, '-infinity') o
                where l.ids is not null)
           select c.class, c.code, c.channel as "channel!", c.skip, count(*) as "count!",
                  (select count(*) from copied) as "copies!"
             from candidates c
            group by c.class, c.code, c.channel, c.skip
            order by count(*) desc, c.channel, c.class, c.code, c.skip"#,
        session.tenant.0,
        filter.status.map(MessageStatus::as_str),
        filter.class.as_deref(),
        filter.code.as_deref(),
        filter.channel.map(Channel::as_str),
        filter.category.map(Category::as_str),
        filter.trigger_event.as_deref(),
        filter.failed_after,
        filter.failed_before,
        copies
    )
    .fetch_all(tx.conn())
    .await?)
}

fn count(dry_run: bool, rows: &[Row]) -> Replayed {
    let mut skipped: BTreeMap<&str, i64> = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut replayed = Replayed {
        dry_run,
        matched: 0,
        replayable: 0,
        replayed: rows.first().map_or(0, |row| row.copies),
        skipped: Vec::new(),
        groups: Vec::new(),
    };
    for row in rows {
        replayed.matched += row.count;
        match &row.skip {
            None => replayed.replayable += row.count,
            Some(reason) => *skipped.entry(reason).or_default() += row.count,
        }
        let same = groups.iter_mut().find(|group| {
            (&group.class, &group.code, &group.channel) == (&row.class, &row.code, &row.channel)
        });
        match same {
            Some(group) => group.count += row.count,
            None => groups.push(Group {
                class: row.class.clone(),
                code: row.code.clone(),
                channel: row.channel.clone(),
                count: row.count,
            }),
        }
    }
    replayed.skipped = skipped
        .into_iter()
        .map(|(reason, count)| Skipped {
            reason: reason.to_owned(),
            count,
        })
        .collect();
    replayed.groups = groups;
    replayed
}
