//! Reads a request: head and body, both small, within the client's time.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

use super::interface::Answer;
use super::time_left;

/// Request line and headers.
pub const HEAD_BYTES_MAX: usize = 8 << 10;
/// A table's name, with room to spare.
const BODY_BYTES_MAX: usize = 4 << 10;
const HEADERS_MAX: usize = 64;

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// As `GET`.
    pub method: String,
    /// With what follows a `?`.
    pub path: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// Whether it has the header `Origin`, which a browser adds.
    pub has_origin: bool,
    /// As long as `Content-Length` says.
    pub body: Vec<u8>,
}

/// A head that is complete.
struct Head {
    request: Request,
    head_bytes: usize,
    /// `None` when it is no number.
    body_bytes: Option<usize>,
}

/// The request, or the answer to what is none.
pub fn read(client: &mut TcpStream, deadline: Instant) -> io::Result<Result<Request, Answer>> {
    let mut bytes = Vec::with_capacity(1024);
    while bytes.len() < HEAD_BYTES_MAX {
        read_piece(client, deadline, &mut bytes)?;
        match parse_head(&bytes) {
            Ok(None) => {}
            Ok(Some(head)) => return read_body(client, deadline, head, bytes),
            Err(error) => return Ok(Err(Answer::text("400 Bad Request", error.to_string()))),
        }
    }
    Ok(Err(Answer::text("431 Request Header Fields Too Large", "the request's head is above 8 KiB")))
}

fn read_piece(client: &mut TcpStream, deadline: Instant, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 1024];
    client.set_read_timeout(Some(time_left(deadline)?))?;
    let length = client.read(&mut piece)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.extend(piece.iter().take(length));
    Ok(())
}

fn read_body(
    client: &mut TcpStream,
    deadline: Instant,
    head: Head,
    mut bytes: Vec<u8>,
) -> io::Result<Result<Request, Answer>> {
    let Head { mut request, head_bytes, body_bytes } = head;
    let Some(body_bytes) = body_bytes.filter(|&length| length <= BODY_BYTES_MAX) else {
        return Ok(Err(Answer::text("413 Content Too Large", "Content-Length must be a number up to 4096")));
    };
    while bytes.len() < head_bytes + body_bytes {
        read_piece(client, deadline, &mut bytes)?;
    }
    request.body = bytes.get(head_bytes..head_bytes + body_bytes).unwrap_or_default().to_vec();
    Ok(Ok(request))
}

/// The head once it is complete.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = parsed.parse(bytes)? else { return Ok(None) };
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    Ok(Some(Head {
        head_bytes,
        body_bytes: header("Content-Length").map_or(Some(0), |length| length.parse().ok()),
        request: Request {
            method: parsed.method.unwrap_or_default().to_owned(),
            path: parsed.path.unwrap_or_default().to_owned(),
            authorization: header("Authorization"),
            has_origin: header("Origin").is_some(),
            body: Vec::new(),
        },
    }))
}
