//! What can be asked of `cargo xtask`, and the text that says so.

use anyhow::{Context, Result, bail};

use crate::{bench, fuzz, prepare::Mode, release::Processor, stack::Data, test::Plan};

pub const USAGE: &str = "\
cargo xtask COMMAND

The local stack (no account, no Docker):
  demo                      build, start, deploy and seed everything, fire an event, tell the story
  demo incident             the same, with an incident that three hundred passengers on mixed channels hear of
  demo onboarding           the same, with an operator that connects WhatsApp, email and SMS, loses its token and goes on; and a look
                            for secrets in all logs
  up                        the same without the story; only what is missing; settings in .local/env
  down [--clean]            end every process; --clean also deletes the data
  status                    what runs, where, and whether it answers
  logs [NAME] [-f]          logs of postgres, emulator, simulator, deploy, or of one function; all services by default
  psql [ARGUMENTS]          a prompt in the stack's database, or: psql -c 'select …'
  env                       the settings as export lines: eval \"$(cargo xtask env)\"
  pg                        Postgres alone

Checks and tests:
  test [STAGE…] [--quick] [-- ARGUMENTS OF cargo test]
                            everything, in order: fmt clippy deny template up sqlx tests bench standin fuzz; or only the named stages;
                            --quick: what needs no running stack
  check                     fmt, clippy, template
  standin                   installs the Hasura-compatible stand-in that the stage of this name asks (once; ten minutes)
  n8n test                  installs n8n (once; 3 GB), imports the workflows of n8n/ and drives them on the stack
  sqlx [--check]            prepare .sqlx and docs/schema.sql from the migrations and queries, or compare with them
  deny [advisories]         licences, bans and sources of the dependencies; advisories needs the network
  fuzz [TARGET…] [--seconds N]
                            inputs that nobody thought of, for what reads bytes from outside (default: every target, 20 s each)
  bench try                 runs each benchmark once, as small as it can be and with the binaries of the tests; no figures
  bench cold [RUNS]         cold start and memory of the dispatch worker's release build (default: 20 runs)
  bench dispatch [OPTIONS]  messages per second of the worker, beside its statements alone; its --help says more
  bench webhook [OPTIONS]   requests per second of Meta's webhook, beside its statements alone; its --help says more
  bench automation [OPTIONS]  from an event to rows, a batch of 100,000, and how it leaves; its --help says more
  bench inbox [OPTIONS]     what the inbox's subscriptions and actions cost at a million conversations; its --help says more

Deployment:
  release [--x86-64]        cargo lambda build --release --locked for AWS, arm64 unless told otherwise

Settings (environment): COMMS_POSTGRES_PORT (54320), COMMS_EMULATOR_PORT (4566), COMMS_SIMULATOR_PORT (4580);
DATABASE_URL (a Postgres of your own); COMMS_TOOLS_DIR, COMMS_STATE_DIR (both .local); CARGO_TARGET_DIR.
";

pub enum Command {
    Help,
    Up,
    Down(Data),
    Status,
    Demo,
    DemoIncident,
    DemoOnboarding,
    Logs {
        name: Option<String>,
        follow: bool,
    },
    Psql(Vec<String>),
    Env,
    Postgres,
    /// The workflows, in n8n itself.
    N8nTest,
    StandIn,
    Test(Plan),
    Check,
    Deny {
        advisories: bool,
    },
    Fuzz(fuzz::Plan),
    Sqlx(Mode),
    BenchCold {
        runs: usize,
    },
    BenchDispatchHelp,
    BenchTry,
    BenchDispatch(bench::Plan),
    BenchWebhook(bench::WebhookPlan),
    BenchWebhookHelp,
    BenchInbox(bench::InboxPlan),
    BenchAutomationHelp,
    BenchAutomation(bench::AutomationPlan),
    BenchInboxHelp,
    Release(Processor),
}

pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Command> {
    let all: Vec<String> = arguments.collect();
    let words: Vec<&str> = all.iter().map(String::as_str).collect();
    let command = match words[..] {
        // Passed on as they are, with no meaning of ours.
        ["psql", ..] => Command::Psql(all[1..].to_vec()),
        ["test", ref rest @ ..] if !matches!(rest, ["--help" | "-h"]) => {
            Command::Test(Plan::parse(rest)?)
        }
        ["bench", "webhook", "--help" | "-h"] => Command::BenchWebhookHelp,
        ["bench", "webhook", ref rest @ ..] => {
            Command::BenchWebhook(bench::WebhookPlan::parse(rest)?)
        }
        ["bench", "automation", "--help" | "-h"] => Command::BenchAutomationHelp,
        ["bench", "automation", ref rest @ ..] => {
            Command::BenchAutomation(bench::AutomationPlan::parse(rest)?)
        }
        ["bench", "inbox", "--help" | "-h"] => Command::BenchInboxHelp,
        ["bench", "inbox", ref rest @ ..] => Command::BenchInbox(bench::InboxPlan::parse(rest)?),
        ["bench", "dispatch", "--help" | "-h"] => Command::BenchDispatchHelp,
        [] | ["help", ..] => Command::Help,
        _ if words.iter().any(|word| matches!(*word, "--help" | "-h")) => Command::Help,
        ["up"] => Command::Up,
        ["down"] => Command::Down(Data::Keep),
        ["down", "--clean"] => Command::Down(Data::Delete),
        ["status"] => Command::Status,
        ["demo"] => Command::Demo,
        ["demo", "incident"] => Command::DemoIncident,
        ["demo", "onboarding"] => Command::DemoOnboarding,
        ["logs", ref rest @ ..] => logs(rest)?,
        ["env"] => Command::Env,
        ["pg"] => Command::Postgres,
        ["standin"] => Command::StandIn,
        ["n8n", "test"] => Command::N8nTest,
        ["check"] => Command::Check,
        ["deny"] => Command::Deny { advisories: false },
        ["deny", "advisories"] => Command::Deny { advisories: true },
        ["fuzz", ref rest @ ..] => Command::Fuzz(fuzz::Plan::parse(rest)?),
        ["sqlx"] => Command::Sqlx(Mode::Write),
        ["sqlx", "--check"] => Command::Sqlx(Mode::Check),
        ["bench", "try"] => Command::BenchTry,
        ["bench", "cold"] => Command::BenchCold { runs: 20 },
        ["bench", "cold", runs] => Command::BenchCold {
            runs: runs.parse().context("RUNS is a number")?,
        },
        ["bench", "dispatch", ref rest @ ..] => Command::BenchDispatch(bench::Plan::parse(rest)?),
        ["release"] => Command::Release(Processor::Arm64),
        ["release", "--x86-64"] => Command::Release(Processor::X86),
        _ => bail!("unknown: cargo xtask {}\n\n{USAGE}", words.join(" ")),
    };
    Ok(command)
}

fn logs(words: &[&str]) -> Result<Command> {
    let (flags, names): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.starts_with('-'));
    let follow = match flags[..] {
        [] => false,
        ["-f" | "--follow"] => true,
        _ => bail!("cargo xtask logs [NAME] [-f]"),
    };
    match names[..] {
        [] => Ok(Command::Logs { name: None, follow }),
        [name] => Ok(Command::Logs {
            name: Some(name.to_owned()),
            follow,
        }),
        _ => bail!("cargo xtask logs takes one name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn understands_every_command_of_the_usage_text() {
        let commands = USAGE
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| !line.starts_with(' '))
            .filter_map(|line| line.split_whitespace().next())
            .filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        for command in commands {
            let line = if command == "bench" {
                "bench cold"
            } else {
                command
            };
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn refuses_what_it_does_not_know_and_passes_on_what_is_not_its_own() {
        assert!(parsed("dwon").is_err());
        assert!(parsed("down --everything").is_err());
        assert!(parsed("bench cold many").is_err());
        assert!(parsed("bench dispatch --messages few").is_err());
        assert!(parsed("bench dispatch --sandboxes 1,2 --quick").is_ok());
        assert!(parsed("test nonsense").is_err());
        assert!(parsed("fuzz meta_webhook --seconds few").is_err());
        assert!(matches!(parsed("up --help"), Ok(Command::Help)));
        assert!(matches!(parsed("psql --help"), Ok(Command::Psql(_))));
    }
}
