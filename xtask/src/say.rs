//! What a person sees while the commands work: one line per step, on stderr.
//!
//! Stdout belongs to what was asked for (`env`, `psql`, the demo's story), so that it can be piped.

use std::{
    io::{IsTerminal, stderr},
    time::Instant,
};

/// Announces a step that takes noticeable time.
pub fn step(text: &str) {
    eprintln!("{} {text}", paint("1;36", "→"));
}

/// Reports a finished step.
pub fn done(text: &str) {
    eprintln!("{} {text}", paint("1;32", "✓"));
}

pub fn warn(text: &str) {
    eprintln!("{} {text}", paint("1;33", "!"));
}

/// The error and what caused it, one per line; no backtrace, whatever `RUST_BACKTRACE` says.
pub fn failed(error: &anyhow::Error) {
    eprintln!("{} {error}", paint("1;31", "✗"));
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// Wraps `text` in an ANSI style where stderr is a terminal.
pub fn paint(style: &str, text: &str) -> String {
    if stderr().is_terminal() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Seconds since `start`, as people read them.
pub fn since(start: Instant) -> String {
    let took = start.elapsed();
    match took.as_secs() / 60 {
        0 => format!("{:.1} s", took.as_secs_f64()),
        minutes => format!("{minutes} min {} s", took.as_secs() % 60),
    }
}
