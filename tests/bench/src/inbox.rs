//! `bench inbox`: what the agents' inbox costs: the subscriptions as Hasura asks them, on a large inbox and on one of a hundredth, and
//! the actions.

mod actions;
mod data;
mod reads;
mod report;
mod statement;

use std::fs;

use anyhow::{Context, Result};

use crate::{proc, settings::InboxSettings, step, wire::Server};

pub fn run(settings: &InboxSettings) -> Result<()> {
    let load_at_start = proc::load();
    let server = Server {
        port: settings.postgres_port,
    };
    for missing in &settings.missing {
        data::fill(
            &server,
            &missing.database,
            missing.conversations,
            &missing.fingerprint,
        )?;
    }
    let databases = [settings.large.as_str(), settings.small.as_str()];
    let sizes = [
        data::size(&server, databases[0])?,
        data::size(&server, databases[1])?,
    ];
    let yardstick_ms = reads::yardstick(&server)?;
    let asked = reads::ask(&server, databases, settings.rounds)?;
    step("Explaining");
    let plans = reads::plans(&server, databases)?;
    let acted = match settings.function {
        Some(_) => actions::act(settings, &server)?,
        None => Vec::new(),
    };
    let mut document = report::document(settings, &sizes, &asked, &acted);
    document["load_at_start"] = load_at_start.into();
    document["yardstick_ms"] = yardstick_ms.into();
    report::print(&document);
    for (name, text) in [
        ("inbox.json", format!("{document:#}\n")),
        ("inbox.svg", report::svg(&document)),
        ("inbox-plans.txt", plans),
    ] {
        let file = settings.out.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
