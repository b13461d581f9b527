//! `.local/env`: the settings of the running stack as `KEY=value` lines, readable by this user only.
//!
//! The format is what `docker --env-file`, `set -a; . file` and every language read: no quotes, no spaces around
//! the equals sign. Keys keep their order, so that a person finds them again.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

pub struct EnvFile {
    path: PathBuf,
    entries: Vec<(String, String)>,
}

impl EnvFile {
    /// Reads the file; a missing one is an empty one.
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_default();
        Self {
            path: path.to_owned(),
            entries: parse(&text),
        }
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// The value of a key that an earlier step has written.
    pub fn require(&self, key: &str) -> Result<&str> {
        self.get(key).with_context(|| {
            format!(
                "{key} is not in {}; run: cargo xtask up",
                self.path.display()
            )
        })
    }

    /// Sets a key, in place when it exists.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        if value.contains(['\n', '\r']) {
            bail!(
                "{key} has a line break, which {} cannot hold",
                self.path.display()
            );
        }
        match self.entries.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.entries.push((key.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// Sets a key only if it has no value yet: what is random stays as it was.
    pub fn set_once(&mut self, key: &str, value: impl FnOnce() -> Result<String>) -> Result<()> {
        match self.get(key) {
            Some(_) => Ok(()),
            None => self.set(key, &value()?),
        }
    }

    /// Takes over every `KEY=value` line of a program's output.
    pub fn merge(&mut self, output: &str) -> Result<()> {
        parse(output)
            .iter()
            .try_for_each(|(key, value)| self.set(key, value))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Gives every setting to a program.
    pub fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.iter())
    }

    /// Writes the file in one move, so that no reader sees half of it.
    pub fn write(&self) -> Result<()> {
        let new = self.path.with_extension("new");
        let lines: Vec<String> = self.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let text = lines.join("\n") + "\n";
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .with_context(|| format!("write {}", new.display()))?;
        file.write_all(text.as_bytes())?;
        fs::rename(&new, &self.path).with_context(|| format!("write {}", self.path.display()))
    }
}

fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| is_key(key))
        .map(|(key, value)| (key.to_owned(), value.trim_end().to_owned()))
        .collect()
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_over_settings_and_nothing_else_of_a_programs_output() {
        let mut env = EnvFile::read(Path::new("/nowhere"));
        env.merge("TENANT_A=a\nseeding=done\nURL=http://x/?a=b\n\nTENANT_A=b\n")
            .unwrap();
        let all: Vec<_> = env.iter().collect();
        assert_eq!(all, [("TENANT_A", "b"), ("URL", "http://x/?a=b")]);
    }

    #[test]
    fn keeps_what_is_random_and_refuses_what_it_cannot_hold() {
        let mut env = EnvFile::read(Path::new("/nowhere"));
        env.set_once("SECRET", || Ok("first".to_owned())).unwrap();
        env.set_once("SECRET", || Ok("second".to_owned())).unwrap();
        assert_eq!(env.get("SECRET"), Some("first"));
        assert!(env.set("KEY", "two\nlines").is_err());
        assert!(env.require("MISSING").is_err());
    }
}
