//! A request out of the bytes that have come: head and body, both small. No IO.

use super::interface::Answer;

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

/// What the bytes that have come are: a request, or the answer to what is none. `None`: more must come.
pub fn parse(bytes: &[u8]) -> Option<Result<Request, Answer>> {
    match parse_head(bytes) {
        Ok(Some(head)) => with_body(head, bytes),
        Ok(None) if bytes.len() < HEAD_BYTES_MAX => None,
        Ok(None) => {
            let text = "the request's head is above 8 KiB";
            Some(Err(Answer::text("431 Request Header Fields Too Large", text)))
        }
        Err(error) => Some(Err(Answer::text("400 Bad Request", error.to_string()))),
    }
}

fn with_body(head: Head, bytes: &[u8]) -> Option<Result<Request, Answer>> {
    let Head { mut request, head_bytes, body_bytes } = head;
    let Some(body_bytes) = body_bytes.filter(|&length| length <= BODY_BYTES_MAX) else {
        return Some(Err(Answer::text("413 Content Too Large", "Content-Length must be a number up to 4096")));
    };
    request.body = bytes.get(head_bytes..head_bytes + body_bytes)?.to_vec();
    Some(Ok(request))
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
