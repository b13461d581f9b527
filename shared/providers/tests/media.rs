//! Fetching files, over real sockets: what is asked, where the token goes, and where it does not.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on should say why and stop"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test plays the outside world, with servers of its own"
)]

use comms_providers::http::{GraphUrl, client};
use comms_providers::whatsapp::WhatsAppSender;
use comms_providers::whatsapp::media::{MediaClient, MediaFault, MediaHosts, Resolved};
use secrecy::SecretString;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const TOKEN: &str = "EAAG-test";

/// Answers every request with the same bytes, and keeps what was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&asked), answer.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut head).await.unwrap_or_default() == 0 {
                        break;
                    }
                }
                let head = String::from_utf8_lossy(&head).into_owned();
                kept.lock().expect("no panic").push(head);
                // Whoever has read enough hangs up.
                drop(stream.write_all(&answer).await);
            }
        });
        Self { url, asked }
    }

    async fn with(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::saying(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
        ))
        .await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn fetcher(graph: &Server, hosts: &str) -> MediaClient {
    let base = GraphUrl::parse(&format!("{}/v26.0", graph.url)).expect("a loopback URL");
    let hosts = MediaHosts::parse(hosts).expect("a list");
    MediaClient::new(client().expect("a client"), base, hosts)
}

async fn resolve(server: &Server) -> Result<Resolved, MediaFault> {
    let account = WhatsAppSender {
        phone_number_id: "1065".to_owned(),
        access_token: TOKEN.into(),
    };
    fetcher(server, ".fbsbx.com")
        .resolve(&account, "998877")
        .await
}

async fn download(server: &Server, limit: u64) -> Result<Vec<u8>, MediaFault> {
    let url = format!("{}/file", server.url);
    fetcher(server, &server.url)
        .download(&token(), &url, limit)
        .await
}

fn token() -> SecretString {
    TOKEN.into()
}

fn passing(code: &str) -> MediaFault {
    MediaFault::Passing {
        code: code.to_owned(),
        retry_after: None,
    }
}

#[tokio::test]
async fn where_a_file_lies_is_asked_with_its_number_and_the_token() {
    for (size, read) in [("8", Some(8)), ("\"8\"", Some(8)), ("null", None)] {
        let body = format!(
            r#"{{"messaging_product":"whatsapp","url":"https://lookaside.fbsbx.com/x","mime_type":"image/jpeg",
                "sha256":"ab","file_size":{size},"id":"998877","new":[]}}"#
        );
        let server = Server::with(200, "", &body).await;
        let resolved = Resolved {
            url: "https://lookaside.fbsbx.com/x".to_owned(),
            mime_type: Some("image/jpeg".to_owned()),
            sha256: Some("ab".to_owned()),
            size: read,
        };
        assert_eq!(resolve(&server).await, Ok(resolved));
        let head = &server.asked()[0];
        assert!(
            head.starts_with("GET /v26.0/998877?phone_number_id=1065 HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("authorization: Bearer EAAG-test\r\n"));
    }
}

#[tokio::test]
async fn the_code_decides_what_is_wrong() {
    let error = |code: &str| format!(r#"{{"error":{{"message":"x","code":{code}}}}}"#);
    for (status, body, fault) in [
        (401, error("190"), MediaFault::Auth("190".to_owned())),
        (400, error("190"), MediaFault::Auth("190".to_owned())),
        (403, error("10"), MediaFault::Auth("10".to_owned())),
        (
            401,
            "<html>".to_owned(),
            MediaFault::Auth("http-401".to_owned()),
        ),
        (
            400,
            error(r#"100,"error_subcode":33"#),
            MediaFault::NotFound,
        ),
        (404, error("100"), MediaFault::NotFound),
        (404, "gone".to_owned(), MediaFault::NotFound),
        (400, error("4"), passing("4")),
        (500, error("131000"), passing("131000")),
        (400, error("368"), passing("368")),
        (503, String::new(), passing("no-provider-body")),
        (200, "{}".to_owned(), passing("no-provider-body")),
        (200, r#"{"url":7}"#.to_owned(), passing("no-provider-body")),
        (302, String::new(), passing("http-302")),
    ] {
        let server = Server::with(status, "", &body).await;
        assert_eq!(resolve(&server).await, Err(fault), "{status} {body}");
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_not_asked_about() {
    let server = Server::with(200, "", "{}").await;
    let account = WhatsAppSender {
        phone_number_id: "1065".to_owned(),
        access_token: TOKEN.into(),
    };
    for id in ["", "../me", "1/2", "1?x=1"] {
        let resolved = fetcher(&server, ".fbsbx.com").resolve(&account, id).await;
        assert_eq!(resolved, Err(MediaFault::NotFound), "{id}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_file_is_read_up_to_the_limit() {
    let server = Server::with(200, "content-type: image/jpeg\r\n", "12345678").await;
    assert_eq!(download(&server, 8).await, Ok(b"12345678".to_vec()));
    assert_eq!(download(&server, 7).await, Err(MediaFault::TooLarge));
    assert!(server.asked()[0].contains("authorization: Bearer EAAG-test\r\n"));

    let unsaid = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n12345678";
    let server = Server::saying(unsaid).await;
    assert_eq!(download(&server, 8).await, Ok(b"12345678".to_vec()));
    assert_eq!(download(&server, 7).await, Err(MediaFault::TooLarge));

    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n12345678";
    let server = Server::saying(cut).await;
    assert_eq!(download(&server, 99).await, Err(passing("connection-lost")));
}

#[tokio::test]
async fn what_a_download_is_answered_with() {
    for (status, headers, fault) in [
        (404, "", MediaFault::NotFound),
        (410, "", MediaFault::NotFound),
        (401, "", MediaFault::Auth("http-401".to_owned())),
        (403, "", passing("http-403")),
        (503, "", passing("http-503")),
        (206, "", passing("http-206")),
        (204, "", passing("http-204")),
    ] {
        let server = Server::with(status, headers, "").await;
        assert_eq!(download(&server, 8).await, Err(fault), "{status}");
    }
    let server = Server::with(503, "retry-after: 30\r\n", "").await;
    let Err(MediaFault::Passing { retry_after, .. }) = download(&server, 8).await else {
        panic!("it passes");
    };
    assert_eq!(retry_after.map(|wait| wait.as_secs()), Some(30));
}

/// Where the token may not go, not even a connection is made.
#[tokio::test]
async fn the_token_goes_nowhere_else() {
    let evil = Server::with(200, "", "12345678").await;
    let redirect = format!("location: {}/stolen\r\n", evil.url);
    for status in [301, 302, 303, 307, 308] {
        let server = Server::with(status, &redirect, "").await;
        let answered = download(&server, 8).await;
        assert_eq!(answered, Err(passing(&format!("http-{status}"))));
    }

    let listed = Server::with(200, "", "12345678").await;
    let port = evil.url.rsplit(':').next().expect("a port");
    for url in [
        format!("{}/file", evil.url),
        format!("http://localhost:{port}/file"),
        format!("http://[::1]:{port}/file"),
        format!("https://127.0.0.1:{port}/file"),
        format!("{}@127.0.0.1:{port}/file", listed.url),
        format!("http://user:pw@127.0.0.1:{port}/file"),
        format!("http://lookaside.fbsbx.com:{port}/file"),
        "https://lookaside.fbsbx.com:8443/file".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "file:///etc/passwd".to_owned(),
        "not a url".to_owned(),
    ] {
        let hosts = format!("{},.fbsbx.com", listed.url);
        let fetched = fetcher(&listed, &hosts).download(&token(), &url, 8).await;
        assert!(matches!(fetched, Err(MediaFault::Host(_))), "{url}");
    }
    assert!(evil.asked().is_empty() && listed.asked().is_empty());
}
