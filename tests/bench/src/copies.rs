//! Every round begins from the same bytes: a copy of the filled database.

use anyhow::Result;

use crate::wire::Server;

/// A fresh copy, in memory and written to disk before anything is measured: what a round works on was written a moment ago.
pub fn fresh(server: &Server, template: &str, copy: &str) -> Result<()> {
    let mut maintenance = server.connect("postgres")?;
    for statement in [
        format!("drop database if exists {copy} with (force)"),
        format!("create database {copy} template {template} strategy file_copy"),
    ] {
        maintenance.query(&statement)?;
    }
    let mut copied = server.connect(copy)?;
    for statement in [
        "create extension if not exists pg_prewarm",
        "select sum(pg_prewarm(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname in ('communications', 'pg_catalog') and c.relkind in ('r', 'i')",
        "checkpoint",
    ] {
        copied.query(statement)?;
    }
    Ok(())
}
