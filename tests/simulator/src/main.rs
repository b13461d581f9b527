//! The simulator as a program, for the local stack.

use comms_simulator::{Simulator, SimulatorConfig};
use std::io::{self, Write as _};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const HELP: &str = "\
comms-simulator: WhatsApp's Cloud API on 127.0.0.1

  --port PORT            default 0, a free one
  --app-id ID            of the Meta app; default 4815162342
  --app-secret SECRET    signs webhooks; default META_APP_SECRET
  --help

Prints one line when it is ready. The control API is described in tests/simulator/README.md.
";

/// What the command line asks for.
enum Wish {
    Help,
    Run(SimulatorConfig),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match wish(std::env::args().skip(1)) {
        Ok(Wish::Help) => io::stdout()
            .write_all(HELP.as_bytes())
            .map_err(|error| error.to_string()),
        Ok(Wish::Run(config)) => run(config).await.map_err(|error| error.to_string()),
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell if standard error is gone too.
            drop(writeln!(io::stderr(), "comms-simulator: {problem}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is where the program reads its settings"
)]
fn wish(mut arguments: impl Iterator<Item = String>) -> Result<Wish, String> {
    let (mut port, mut app_id) = (0, None);
    let mut app_secret = std::env::var("META_APP_SECRET").unwrap_or_default();
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .ok_or_else(|| format!("{argument} wants a value"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(Wish::Help),
            "--port" => {
                port = value()?
                    .parse()
                    .map_err(|_| "--port wants a number up to 65535".to_owned())?;
            }
            "--app-id" => app_id = Some(value()?),
            "--app-secret" => app_secret = value()?,
            _ => return Err(format!("unknown argument {argument}; see --help")),
        }
    }
    if app_secret.is_empty() {
        return Err("an app secret is needed: --app-secret or META_APP_SECRET".to_owned());
    }
    let usual = SimulatorConfig::default();
    Ok(Wish::Run(SimulatorConfig {
        port,
        app_id: app_id.unwrap_or(usual.app_id),
        app_secret,
        retry_base: usual.retry_base,
    }))
}

async fn run(config: SimulatorConfig) -> io::Result<()> {
    // Before the ready line: whoever reads it may stop us at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let simulator = Simulator::start(config).await?;
    writeln!(io::stdout(), "comms-simulator ready on {}", simulator.url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    simulator.stop().await;
    Ok(())
}
