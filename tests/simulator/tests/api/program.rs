//! The program: its ready line, and how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_comms-simulator"));
    command
        .env_remove("META_APP_SECRET")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[tokio::test]
async fn it_says_where_it_is_and_ends_when_told() {
    let mut child = program()
        .env("META_APP_SECRET", "s")
        .spawn()
        .expect("the program");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("a line");
    let url = line
        .trim()
        .strip_prefix("comms-simulator ready on ")
        .expect("the ready line");
    assert!(url.starts_with("http://127.0.0.1:"));
    assert_eq!(
        reqwest::get(format!("{url}/_sim/health"))
            .await
            .expect("an answer")
            .status(),
        200
    );

    let told = Command::new("kill")
        .arg("-TERM")
        .arg(child.id().to_string())
        .status()
        .expect("kill");
    assert!(told.success());
    assert!(child.wait().expect("an end").success());
}

#[test]
fn it_refuses_what_it_does_not_understand() {
    for (arguments, complaint) in [
        (&[][..], "app secret"),
        (&["--port"][..], "--port"),
        (&["--port", "99999", "--app-secret", "s"][..], "--port"),
        (&["--prot", "1"][..], "--prot"),
    ] {
        let output = program().args(arguments).output().expect("the program");
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint));
    }
    let mut help = String::new();
    let mut child = program().arg("--help").spawn().expect("the program");
    child
        .stdout
        .take()
        .expect("a pipe")
        .read_to_string(&mut help)
        .expect("text");
    assert!(child.wait().expect("an end").success());
    assert!(help.contains("--app-secret"));
}
