//! The two inboxes: written once, kept, and recognised by what they were made from.

use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::{step, wire::Server};

/// Fills a migrated database and marks it with what it was made from, as the last thing.
pub fn fill(
    server: &Server,
    database: &str,
    conversations: usize,
    fingerprint: &str,
) -> Result<()> {
    let whole = Instant::now();
    step(&format!(
        "Writing {conversations} conversations into {database} (kept for later runs)"
    ));
    let mut session = server.connect(database)?;
    for (title, sql) in comms_live_queries::seed(conversations) {
        let part = Instant::now();
        session
            .query(&sql)
            .with_context(|| format!("{title} of {database}"))?;
        eprintln!("  {title}: {:.0} s", part.elapsed().as_secs_f64());
    }
    session.query(&format!(
        "comment on database {database} is '{fingerprint}'"
    ))?;
    eprintln!("  all in {:.0} s", whole.elapsed().as_secs_f64());
    Ok(())
}

/// Conversations, messages and bytes, for the report.
pub fn size(server: &Server, database: &str) -> Result<[u64; 3]> {
    let mut session = server.connect(database)?;
    let mut number = |sql: &str| -> Result<u64> { Ok(session.value(sql)?.parse()?) };
    let size = [
        number("select count(*) from communications.conversations")?,
        number("select count(*) from communications.messages")?,
        number("select pg_database_size(current_database())")?,
    ];
    if size[0] == 0 {
        bail!("{database} is empty");
    }
    Ok(size)
}
