//! The binaries for AWS: cargo-lambda cross-compiles them and lays them where template.yaml expects them.

use anyhow::Result;

use crate::{
    functions,
    project::{Project, path_with},
    run, say, venv,
};

/// What the functions run on; the template's parameter `Architecture` must say the same.
#[derive(Clone, Copy)]
pub enum Processor {
    Arm64,
    X86,
}

/// Builds every function in the release profile into target/lambda.
pub fn build(project: &Project, processor: Processor) -> Result<()> {
    let tools = venv::release(project)?;
    let mut command = tools.command("cargo-lambda");
    command.env("PATH", path_with(&tools.bin())?);
    command.args([
        "lambda",
        "build",
        "--release",
        "--locked",
        "--lambda-dir",
        "target/lambda",
    ]);
    command.arg(match processor {
        Processor::Arm64 => "--arm64",
        Processor::X86 => "--x86-64",
    });
    for name in functions::names(project)? {
        command.args(["--bin", &name]);
    }
    run::visible(command.current_dir(&project.root), "cargo lambda build")?;
    say::done("Built into target/lambda; deploy with: sam deploy --config-env staging");
    Ok(())
}
