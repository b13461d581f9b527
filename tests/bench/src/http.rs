//! As much HTTP/1.1 as the stubs and the Runtime API need: one blocking thread per connection, kept alive.
//!
//! What stands beside the measured program must cost as little as it can: no framework, no allocation to speak of.
//! The threads end with the process.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use anyhow::{Context, Result};

/// A request as far as anybody here looks at it.
pub struct Request {
    /// `POST /path HTTP/1.1`.
    pub line: String,
    /// The value of `X-Amz-Target`, which names the operation in AWS's JSON protocols.
    pub target: String,
    pub body: Vec<u8>,
}

/// A status, headers and a JSON body.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn json(body: &impl ToString) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.to_string(),
        }
    }
}

/// Serves a fresh loopback port for as long as the process lives. No answer closes the connection.
pub fn serve(
    handler: impl Fn(&Request) -> Option<Answer> + Send + Sync + 'static,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("listen on a loopback port")?;
    let address = listener.local_addr()?;
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            thread::spawn(move || {
                // The client may hang up when it likes.
                let _ended = converse(&stream, &*handler);
            });
        }
    });
    Ok(address)
}

fn converse(stream: &TcpStream, handler: &dyn Fn(&Request) -> Option<Answer>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader)? {
        let Some(answer) = handler(&request) else {
            return Ok(());
        };
        write(stream, &answer)?;
    }
    Ok(())
}

/// One request; none when the connection has ended.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let (mut length, mut chunked, mut target) = (0, false, String::new());
    let mut header = String::new();
    loop {
        header.clear();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            "transfer-encoding" => chunked = true,
            "x-amz-target" => value.clone_into(&mut target),
            _ => {}
        }
    }
    let body = if chunked {
        read_chunks(reader)?
    } else {
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        body
    };
    Ok(Some(Request { line, target, body }))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
        reader.take(size as u64).read_to_end(&mut body)?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}

fn write(mut stream: &TcpStream, answer: &Answer) -> io::Result<()> {
    use std::fmt::Write as _;
    let mut text = format!(
        "HTTP/1.1 {} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        answer.status,
        answer.body.len()
    );
    for (name, value) in &answer.headers {
        // Writing to a String does not fail.
        let _infallible = write!(text, "{name}: {value}\r\n");
    }
    text.push_str("\r\n");
    text.push_str(&answer.body);
    stream.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_body_of_known_length_and_one_in_chunks() {
        let text = "POST /a HTTP/1.1\r\nX-Amz-Target: Trent\r\ncontent-length: 2\r\n\r\nhiPOST /b HTTP/1.1\r\n\
                    Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let mut reader = text.as_bytes();
        let first = read(&mut reader).unwrap().unwrap();
        assert_eq!(
            (first.line.trim_end(), first.target.as_str(), &*first.body),
            ("POST /a HTTP/1.1", "Trent", &b"hi"[..])
        );
        assert_eq!(read(&mut reader).unwrap().unwrap().body, b"abcde");
        assert!(read(&mut reader).unwrap().is_none());
    }
}
