//! The project's own Python environments, made from nothing and remade when a pinned version changes.
//!
//! Two of them, because the emulator and SAM pin different versions of botocore. What is installed is written
//! beside the environment, so that every later start costs one file comparison. Which registry pip asks is the
//! machine's setting, never the repository's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{project::Project, run, say};

/// One virtual environment with the packages of one requirements file.
pub struct Venv {
    dir: PathBuf,
}

/// Postgres and the AWS emulator.
pub fn stack(project: &Project) -> Result<Venv> {
    ensure(
        project,
        "venv-stack",
        "requirements-stack.txt",
        "Postgres and the AWS emulator",
    )
}

/// cargo-lambda and zig, for the binaries that go to AWS.
pub fn release(project: &Project) -> Result<Venv> {
    ensure(
        project,
        "venv-release",
        "requirements-release.txt",
        "cargo-lambda",
    )
}

/// SAM and the template checks.
pub fn tools(project: &Project) -> Result<Venv> {
    ensure(project, "venv", "requirements.txt", "SAM and cfn-lint")
}

impl Venv {
    pub fn python(&self) -> Command {
        self.command("python")
    }

    /// A program that one of the packages brings.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin().join(name));
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        // Our scripts lie in the checkout; it stays clean.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Where the programs are; some start others by name and want this first in PATH.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// The folder that holds the installed packages.
    pub fn site_packages(&self) -> Result<PathBuf> {
        let script = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let path = run::quiet(
            self.python().args(["-c", script]),
            "asking Python for its packages",
        )?;
        Ok(PathBuf::from(path.trim()))
    }
}

fn ensure(project: &Project, name: &str, requirements: &str, what: &str) -> Result<Venv> {
    let dir = project.tools.join(name);
    let requirements = project.root.join("xtask").join(requirements);
    let wanted = fs::read_to_string(&requirements)
        .with_context(|| format!("read {}", requirements.display()))?;
    let installed = dir.join("installed-requirements.txt");
    let is_installed = || fs::read_to_string(&installed).is_ok_and(|is| is == wanted);
    if is_installed() {
        return Ok(Venv { dir });
    }
    let _lock = run::lock(&project.tools.join("tools.lock"), "installs tools")?;
    if is_installed() {
        return Ok(Venv { dir });
    }
    say::step(&format!("Installing {what} into {} (once)", dir.display()));
    let venv = create(project, dir)?;
    venv.install(&requirements)?;
    fs::write(&installed, wanted).with_context(|| format!("write {}", installed.display()))?;
    Ok(venv)
}

fn create(project: &Project, dir: PathBuf) -> Result<Venv> {
    fs::create_dir_all(&project.tools)
        .with_context(|| format!("create {}", project.tools.display()))?;
    let venv = Venv { dir };
    if !venv.works() {
        let python = find_python()?;
        let mut command = Command::new(&python);
        command.args(["-m", "venv", "--clear"]).arg(&venv.dir);
        run::quiet(&mut command, "creating the virtual environment").with_context(|| {
            format!("{python} cannot create virtual environments; on Debian and Ubuntu: apt-get install python3-venv")
        })?;
    }
    Ok(venv)
}

impl Venv {
    /// Whether the environment still runs; it breaks when the Python it was made from is gone.
    fn works(&self) -> bool {
        self.dir.join("bin/python").exists()
            && run::quiet(self.python().args(["-m", "pip", "--version"]), "pip").is_ok()
    }

    fn install(&self, requirements: &Path) -> Result<()> {
        let mut command = self.python();
        command.args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--quiet",
            "--requirement",
        ]);
        run::visible(command.arg(requirements), "pip install").context(
            "is a package index reachable? pip uses this machine's settings (pip config list)",
        )
    }
}

/// A Python that is new enough, by the names it usually has.
fn find_python() -> Result<String> {
    let check = "import sys; sys.exit(sys.version_info < (3, 10))";
    let names = [
        "python3",
        "python",
        "python3.14",
        "python3.13",
        "python3.12",
        "python3.11",
        "python3.10",
    ];
    let good = names
        .into_iter()
        .find(|name| run::quiet(Command::new(name).args(["-c", check]), "python").is_ok());
    match good {
        Some(name) => Ok(name.to_owned()),
        None => bail!(
            "Python 3.10 or newer is needed and none was found (tried {}). \
             On Debian and Ubuntu: apt-get install python3 python3-venv",
            names.join(", ")
        ),
    }
}
