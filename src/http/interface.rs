//! What each request is answered, and which may change something.
//!
//! A changing request is the router's to carry out: it is handed over as a [`Command`], and its answer awaited for as
//! long as a client may take. Bound to loopback anybody on the machine may ask for it, except a browser's page, which
//! says so with an `Origin`; anywhere else only who knows `http.token`.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};
use serde::Serialize;

use super::request::Request;
use super::{CLIENT_TIME, prometheus};
use crate::config::{HttpConfig, table_name};
use crate::error::Result;
use crate::message::Command;
use crate::metrics::Status;

/// What the listener answers from.
#[derive(Debug)]
pub struct Interface {
    status: Arc<Status>,
    commands: Sender<Command>,
    config: HttpConfig,
}

/// An answer, but for its headers.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// As `200 OK`.
    pub code: &'static str,
    /// MIME type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// The methods that the path has, when the request had another one.
    pub allow: Option<&'static str>,
}

impl Answer {
    /// A line of text.
    pub fn text(code: &'static str, body: impl Into<String>) -> Self {
        let body = body.into() + "\n";
        Self { code, content_type: "text/plain; charset=utf-8", body, allow: None }
    }

    fn json(value: &impl Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(body) => Self { code: "200 OK", content_type: "application/json", body, allow: None },
            Err(error) => Self::text("500 Internal Server Error", error.to_string()),
        }
    }
}

impl Interface {
    /// Answers from `status`, and hands commands to the router.
    pub fn new(status: Arc<Status>, commands: Sender<Command>, config: HttpConfig) -> Self {
        Self { status, commands, config }
    }

    /// The answer to a request; `is_loopback` is whether only this machine can reach the listener.
    pub fn answer(&self, request: &Request, is_loopback: bool) -> Answer {
        let path = request.path.split('?').next().unwrap_or_default();
        match (path, request.method.as_str()) {
            ("/status", "GET") => Answer::json(&self.status.picture()),
            ("/metrics", "GET") => self.metrics(),
            ("/healthz", "GET") => self.health(),
            ("/position", "GET") => self.position(),
            ("/snapshot" | "/resync", "POST") => {
                self.refusal(request, is_loopback).unwrap_or_else(|| self.copy(request, path == "/snapshot"))
            }
            ("/status" | "/metrics" | "/healthz" | "/position", _) => wrong_method("GET"),
            ("/snapshot" | "/resync", _) => wrong_method("POST"),
            _ => Answer::text(
                "404 Not Found",
                "there are GET /status, /metrics, /healthz, /position and POST /snapshot, /resync",
            ),
        }
    }

    fn metrics(&self) -> Answer {
        match prometheus::text(&self.status.picture()) {
            Ok(body) => Answer { code: "200 OK", content_type: "text/plain; version=0.0.4", body, allow: None },
            Err(error) => Answer::text("500 Internal Server Error", error.to_string()),
        }
    }

    fn health(&self) -> Answer {
        match self.status.unhealthy(self.config.stuck_after) {
            None => Answer::text("200 OK", "ok"),
            Some(reason) => Answer::text("503 Service Unavailable", reason),
        }
    }

    fn position(&self) -> Answer {
        match self.ask(Command::Where) {
            Ok(Ok(whereabouts)) => Answer::json(&whereabouts),
            Ok(Err(error)) => Answer::text("409 Conflict", error.to_string()),
            Err(answer) => answer,
        }
    }

    /// The body is the table's name, as in `replicate.tables` but without wildcards.
    fn copy(&self, request: &Request, only_new: bool) -> Answer {
        let text = String::from_utf8_lossy(&request.body);
        let name = match table_name(text.trim()) {
            Ok(name) => name,
            Err(reason) => return Answer::text("400 Bad Request", format!("{:?} {reason}", text.trim())),
        };
        match self.ask(|reply| Command::Copy { table: name, only_new, reply }) {
            Ok(Ok(what)) => Answer::text("202 Accepted", what),
            Ok(Err(error)) => Answer::text("409 Conflict", error.text.clone()),
            Err(answer) => answer,
        }
    }

    /// What the router says. While it is not there yet nothing is asked: a command must not be obeyed when nobody waits
    /// for it any more.
    fn ask<T>(&self, command: impl FnOnce(Sender<Result<T>>) -> Command) -> std::result::Result<Result<T>, Answer> {
        let unavailable = |text: &str| Answer::text("503 Service Unavailable", text);
        let state = self.status.picture().state;
        if state == "starting" {
            return Err(unavailable("it is starting: ask again in a moment"));
        }
        let (reply, answer) = bounded(1);
        self.commands.send(command(reply)).map_err(|_| unavailable("it has ended"))?;
        answer.recv_timeout(half(CLIENT_TIME)).map_err(|_| unavailable("it is busy or ending: ask again"))
    }

    /// Why a request may change nothing.
    fn refusal(&self, request: &Request, is_loopback: bool) -> Option<Answer> {
        let token = self.config.token.expose();
        let forbidden = |text| Some(Answer::text("403 Forbidden", text));
        match &request.authorization {
            _ if request.has_origin => forbidden("no request of a web page may change anything"),
            _ if is_loopback => None,
            _ if token.is_empty() => {
                forbidden("set http.token: without it only http.listen on loopback takes commands")
            }
            Some(given) if same(given.as_bytes(), format!("Bearer {token}").as_bytes()) => None,
            Some(_) | None => {
                Some(Answer::text("401 Unauthorized", "send http.token in the header `Authorization: Bearer TOKEN`"))
            }
        }
    }
}

fn half(duration: Duration) -> Duration {
    duration / 2
}

fn wrong_method(allow: &'static str) -> Answer {
    Answer { allow: Some(allow), ..Answer::text("405 Method Not Allowed", format!("only {allow}")) }
}

/// Compares in a time that does not tell how far they agree.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::error::{Error, ErrorKind};
    use crate::metrics::Picture;
    use std::time::Instant;

    fn request(authorization: Option<&str>, has_origin: bool, body: &str) -> Request {
        Request {
            method: "POST".to_owned(),
            path: "/resync".to_owned(),
            authorization: authorization.map(str::to_owned),
            has_origin,
            body: body.as_bytes().to_vec(),
        }
    }

    /// The answer's code to a request for a resync, from a router that copies everything but `a.no`.
    fn code(token: &str, is_loopback: bool, request: &Request) -> &'static str {
        let (commands, inbox) = crossbeam_channel::unbounded();
        let status = Arc::new(Status::starting());
        status.draw(Picture { state: "streaming".to_owned(), ..Picture::default() }, Instant::now());
        let config = HttpConfig { listen: String::new(), token: Secret::new(token), stuck_after: CLIENT_TIME };
        let router = std::thread::spawn(move || {
            while let Ok(Command::Copy { table, reply, .. }) = inbox.recv() {
                let no = Error::new(ErrorKind::Config, "no");
                reply.send(if table.table == "no" { Err(no) } else { Ok("yes".to_owned()) }).unwrap();
            }
        });
        let answer = Interface::new(status, commands, config).answer(request, is_loopback);
        router.join().unwrap();
        answer.code
    }

    #[test]
    fn who_may_change_something() {
        let (plain, bearer) = (request(None, false, "a.b"), request(Some("Bearer s3"), false, "a.b"));
        assert_eq!(code("", true, &plain), "202 Accepted");
        assert_eq!(code("s3", true, &plain), "202 Accepted", "loopback needs no token");
        assert_eq!(code("", false, &plain), "403 Forbidden");
        assert_eq!(code("", false, &request(Some("Bearer "), false, "a.b")), "403 Forbidden", "no token is none");
        assert_eq!(code("s3", false, &plain), "401 Unauthorized");
        assert_eq!(code("s3", false, &request(Some("Bearer s4"), false, "a.b")), "401 Unauthorized");
        assert_eq!(code("s3", false, &bearer), "202 Accepted");
        assert_eq!(code("s3", true, &request(None, true, "a.b")), "403 Forbidden", "a web page");
    }

    #[test]
    fn what_the_router_refuses_and_what_is_no_table() {
        assert_eq!(code("", true, &request(None, false, "a.no")), "409 Conflict");
        assert_eq!(code("", true, &request(None, false, "a.*")), "400 Bad Request");
        assert_eq!(code("", true, &request(None, false, "")), "400 Bad Request");
        assert_eq!(code("", true, &request(None, false, "`a.b`.`c``d`\n")), "202 Accepted");
    }

    #[test]
    fn nothing_is_asked_of_a_router_that_is_not_there_yet() {
        let (commands, inbox) = crossbeam_channel::unbounded();
        let config = HttpConfig { listen: String::new(), token: Secret::default(), stuck_after: CLIENT_TIME };
        let interface = Interface::new(Arc::new(Status::starting()), commands, config);
        assert_eq!(interface.answer(&request(None, false, "a.b"), true).code, "503 Service Unavailable");
        assert!(inbox.is_empty());
    }
}
