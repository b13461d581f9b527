//! The least that a function can be: it takes each invocation from the Runtime API and answers 404, over one connection, without a
//! runtime, a client or a look at the event. What it costs, no function on this machine can go below.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use anyhow::{Context, Result};

const ANSWER: &str = r#"{"statusCode":404,"headers":{},"body":"","isBase64Encoded":false}"#;

/// Until the Runtime API hangs up.
#[expect(
    clippy::disallowed_methods,
    reason = "a function is told by its environment"
)]
pub fn run() -> Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").context(
        "start this by: cargo xtask bench dispatch, webhook, inbox or automation (no AWS_LAMBDA_RUNTIME_API)",
    )?;
    let stream = TcpStream::connect(&api).with_context(|| format!("connect to {api}"))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(&stream);
    let (mut request, mut body) = (String::new(), Vec::new());
    loop {
        request.clear();
        request
            .push_str("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n");
        (&stream).write_all(request.as_bytes())?;
        let invocation = answer(&mut reader, &mut body)?;
        request.clear();
        request.push_str("POST /2018-06-01/runtime/invocation/");
        request.push_str(&invocation);
        request.push_str("/response HTTP/1.1\r\nHost: runtime\r\nContent-Length: ");
        request.push_str(&ANSWER.len().to_string());
        request.push_str("\r\n\r\n");
        request.push_str(ANSWER);
        (&stream).write_all(request.as_bytes())?;
        answer(&mut reader, &mut body)?;
    }
}

/// Reads an answer to its end; the id of the invocation that it carries, if any.
fn answer(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<String> {
    let (mut length, mut invocation) = (0, String::new());
    let mut header = String::new();
    loop {
        header.clear();
        if reader.read_line(&mut header)? == 0 {
            anyhow::bail!("the Runtime API has hung up");
        }
        let line = header.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().context("content-length")?;
        } else if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") {
            value.trim().clone_into(&mut invocation);
        }
    }
    body.resize(length, 0);
    reader.read_exact(body)?;
    Ok(invocation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_an_invocation_to_its_end_and_no_further() {
        let text = "HTTP/1.1 200 -\r\nLambda-Runtime-Aws-Request-Id: 7\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 202 -\r\n\r\n";
        let (mut reader, mut body) = (text.as_bytes(), Vec::new());
        assert_eq!(answer(&mut reader, &mut body).unwrap(), "7");
        assert_eq!(body, b"hi");
        assert_eq!(answer(&mut reader, &mut body).unwrap(), "");
        assert!(body.is_empty());
        assert!(answer(&mut reader, &mut body).is_err());
    }
}
