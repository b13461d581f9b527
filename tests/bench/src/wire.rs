//! The Postgres wire protocol, version 3, as far as recording and replaying need it.
//!
//! A driver would add statements and round trips of its own, and hide what was sent; here a message is its bytes.
//! Only trust authentication: the server is the project's own, on a loopback port.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, Result, bail};

/// One message of either side: its tag and its whole encoding, tag and length included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub tag: u8,
    pub bytes: Vec<u8>,
}

impl Message {
    pub fn new(tag: u8, payload: &[u8]) -> Result<Self> {
        let length = u32::try_from(payload.len() + 4)?;
        let bytes = [&[tag], &length.to_be_bytes()[..], payload].concat();
        Ok(Self { tag, bytes })
    }

    /// Reads the next one; none at the end of the stream.
    pub fn read(reader: &mut impl Read) -> Result<Option<Self>> {
        let mut head = [0; 5];
        if let Err(error) = reader.read_exact(&mut head) {
            return match error.kind() {
                std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset => Ok(None),
                _ => Err(error.into()),
            };
        }
        let mut bytes = head.to_vec();
        append(reader, &mut bytes, head[1..].try_into()?, 4)?;
        Ok(Some(Self {
            tag: head[0],
            bytes,
        }))
    }

    /// What follows tag and length.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[5..]
    }
}

/// The client's first message, which has no tag.
pub fn read_startup(reader: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    reader.read_exact(&mut bytes)?;
    let length = bytes[..4].try_into()?;
    append(reader, &mut bytes, length, 4)?;
    Ok(bytes)
}

fn append(
    reader: &mut impl Read,
    bytes: &mut Vec<u8>,
    length: [u8; 4],
    counted: usize,
) -> Result<()> {
    let missing = usize::try_from(u32::from_be_bytes(length))?
        .checked_sub(counted)
        .context("a message shorter than its own length field")?;
    let start = bytes.len();
    bytes.resize(start + missing, 0);
    reader.read_exact(&mut bytes[start..])?;
    Ok(())
}

/// The text up to the next zero byte, and the rest.
pub fn cstring(payload: &[u8]) -> Result<(&str, &[u8])> {
    let end = payload
        .iter()
        .position(|byte| *byte == 0)
        .context("a text without an end")?;
    Ok((std::str::from_utf8(&payload[..end])?, &payload[end + 1..]))
}

/// The server, and one of its databases.
#[derive(Debug, Clone)]
pub struct Server {
    pub port: u16,
}

impl Server {
    pub fn connect(&self, database: &str) -> Result<Connection> {
        let parameters = format!(
            "user\0postgres\0database\0{database}\0application_name\0comms-bench\0client_encoding\0UTF8\0\0"
        );
        let length = u32::try_from(parameters.len() + 8)?;
        let startup = [
            &length.to_be_bytes()[..],
            &196_608_u32.to_be_bytes()[..],
            parameters.as_bytes(),
        ];
        self.connect_with(&startup.concat())
            .with_context(|| format!("connect to the database {database}"))
    }

    /// Opens a session with a startup message that somebody else once sent.
    pub fn connect_with(&self, startup: &[u8]) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_nodelay(true)?;
        let mut connection = Connection {
            reader: BufReader::with_capacity(64 * 1024, stream.try_clone()?),
            stream,
        };
        connection.send(startup)?;
        connection.answers()?;
        Ok(connection)
    }
}

pub struct Connection {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
}

pub type Row = Vec<Option<String>>;

impl Connection {
    /// Runs one or more statements by the simple protocol; the rows of all of them.
    pub fn query(&mut self, sql: &str) -> Result<Vec<Row>> {
        let message = Message::new(b'Q', &[sql.as_bytes(), &[0]].concat())?;
        self.send(&message.bytes)?;
        let answers = self.answers().with_context(|| format!("run: {sql}"))?;
        answers
            .iter()
            .filter(|one| one.tag == b'D')
            .map(row)
            .collect()
    }

    /// The single value of a query, as text.
    pub fn value(&mut self, sql: &str) -> Result<String> {
        let rows = self.query(sql)?;
        let first = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        first
            .flatten()
            .with_context(|| format!("no value came back from: {sql}"))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Everything up to the server's next `ReadyForQuery`. An error of the server's is one of ours.
    pub fn answers(&mut self) -> Result<Vec<Message>> {
        let mut answers = Vec::new();
        let mut failure = None;
        loop {
            let message =
                Message::read(&mut self.reader)?.context("the server closed the connection")?;
            match message.tag {
                b'Z' => break,
                b'E' => failure = Some(error_text(&message)),
                b'R' if message.payload()[..4] != [0; 4] => {
                    bail!(
                        "the server wants a password; this benchmark works on the project's own server only"
                    )
                }
                _ => answers.push(message),
            }
        }
        match failure {
            Some(text) => bail!("the database says: {text}"),
            None => Ok(answers),
        }
    }
}

/// A `DataRow` in text format.
pub fn row(message: &Message) -> Result<Row> {
    let mut rest = &message.payload()[2..];
    let mut row = Vec::new();
    while let Some((length, tail)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            row.push(None);
            rest = tail;
            continue;
        };
        let (value, tail) = tail
            .split_at_checked(length)
            .context("a value longer than its row")?;
        row.push(Some(String::from_utf8(value.to_vec())?));
        rest = tail;
    }
    Ok(row)
}

/// Severity, code and message of an `ErrorResponse` or a `NoticeResponse`.
pub fn error_text(message: &Message) -> String {
    field(message, b'M').unwrap_or_default()
}

fn field(message: &Message, wanted: u8) -> Option<String> {
    message
        .payload()
        .split(|byte| *byte == 0)
        .find_map(|field| match field.split_first() {
            Some((tag, text)) if *tag == wanted => Some(String::from_utf8_lossy(text).into_owned()),
            _ => None,
        })
}
