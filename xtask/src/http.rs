//! As much HTTP as asking a loopback service for its health needs.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// The body of `GET http://127.0.0.1:<port><path>`, if the answer is 200.
pub fn get(port: u16, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let answer = ask(port, &request)?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?;
    (status == "200").then(|| body.to_owned())
}

/// The status of `POST http://127.0.0.1:<port><path>` with nothing in it.
pub fn post(port: u16, path: &str) -> Option<u16> {
    let head =
        format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\n\r\n");
    let answer = ask(port, &head)?;
    answer.split_whitespace().nth(1)?.parse().ok()
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A server may cut the connection once it has answered; what has come until then counts.
    let _cut = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
