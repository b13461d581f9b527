//! A callback of a few lines that gives challenges back, or does not.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Serves one callback that knows one verify token; returns its URL.
pub async fn knowing(verify_token: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            while !bytes.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut bytes).await.expect("a request") == 0 {
                    break;
                }
            }
            let head = String::from_utf8(bytes).expect("text");
            let known = head.contains("hub.mode=subscribe")
                && head.contains(&format!("hub.verify_token={verify_token}&"));
            let challenge = head
                .split_once("hub.challenge=")
                .and_then(|(_, rest)| rest.split(['&', ' ']).next())
                .expect("a challenge");
            let (status, body) = if known { (200, challenge) } else { (403, "") };
            let answer = format!(
                "HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("a reader");
        }
    });
    url
}
