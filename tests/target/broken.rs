//! Answers that a healthy server does not give, from one that is none.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use stream_bridge::clickhouse::Client;
use stream_bridge::error::{Error, ErrorKind};
use stream_bridge::rowbinary::Body;
use stream_bridge::schema::target::{InsertColumns, TargetColumn};
use stream_bridge::schema::types::TableName;

use super::{config, few_rows, narrow_body};

/// A server that is one while the client connects, and then gives `answer` to each insert: after reading the body, or,
/// when `early`, before, and closes.
fn broken_server(answer: &'static str, early: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || while serve(stream.as_ref().unwrap(), answer, early).is_some() {});
        }
    });
    url
}

const SILENCE: &str = "(silence)";

fn serve(mut stream: &TcpStream, answer: &str, early: bool) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    let is_insert = head.contains("query=insert");
    let length: u64 = length.parse().unwrap();
    if is_insert && early && length > 1 << 20 {
        stream.write_all(answer.as_bytes()).ok()?;
        return None;
    }
    let mut body = Vec::new();
    stream.take(length).read_to_end(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body);
    let text = match &*body {
        body if body.contains("version()") => "26.9.2.1\n",
        body if body.contains("system.settings") => "async_insert\n",
        body if body.contains("Time64") => "1\n",
        _ => "",
    };
    if answer == SILENCE {
        std::thread::park();
    }
    if is_insert {
        stream.write_all(answer.as_bytes()).ok()?;
        return None;
    }
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    stream.write_all(response.as_bytes()).ok()
}

fn insert_into(url: &str, body: &Body) -> Result<(), Error> {
    let client = Client::connect(&config(url, "bridge", "bridge-secret"), 1).unwrap();
    let columns = vec![TargetColumn { name: "id".to_owned(), ty: "Int32".to_owned() }];
    let table = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
    client.insert(&table, &InsertColumns(columns), body, "broken")
}

#[test]
fn only_a_whole_answer_without_exception_is_success() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"3\"}\r\nContent-Length: 0\r\n\r\n", None),
        (
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"2\"}\r\nContent-Length: 0\r\n\r\n",
            Some((ErrorKind::TargetBusy, "2 of 3 rows")),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"3\"}\r\nX-ClickHouse-Exception-Code: 241\r\n\
             Content-Length: 0\r\n\r\n",
            Some((ErrorKind::TargetBusy, "error 241")),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"3\"}\r\nTransfer-Encoding: chunked\r\n\r\n\
             3c\r\n\r\n__exception__\r\nCode: 16. DB::Exception: No such column\r\n\r\n",
            Some((ErrorKind::TargetRefused, "error 16")),
        ),
        (
            "HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {\"written_rows\":\"3\"}\r\nContent-Length: 9\r\n\r\nabc",
            Some((ErrorKind::TargetBusy, "reachable")),
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some((ErrorKind::TargetDenied, "X-ClickHouse-Summary"))),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad", Some((ErrorKind::TargetBusy, "HTTP 502"))),
        ("HTTP/1.1 404 Not\r\nContent-Length: 3\r\n\r\nnot", Some((ErrorKind::TargetDenied, "clickhouse.url"))),
        ("HTTP/1.1 302 Go\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Some((ErrorKind::TargetDenied, "HTTP 302"))),
        ("", Some((ErrorKind::TargetBusy, "reachable"))),
        ("nonsense\r\n\r\n", Some((ErrorKind::TargetBusy, "reachable"))),
    ] {
        let result = insert_into(&broken_server(answer, false), &few_rows());
        match (result, expected) {
            (Ok(()), None) => {}
            (Err(error), Some((kind, part))) => {
                assert!(error.kind == kind && error.text.contains(part), "{answer}: {error}");
            }
            (result, _) => panic!("{answer}: {result:?}"),
        }
    }
}

#[test]
fn a_silent_server_is_given_up() {
    let mut config = config(&broken_server(SILENCE, false), "bridge", "");
    config.request_timeout = Duration::from_millis(200);
    let error = Client::connect(&config, 1).err().unwrap();
    assert!(error.kind == ErrorKind::TargetBusy && error.text.contains("timeout"), "{error}");
}

#[test]
fn an_answer_lost_to_an_early_close_is_asked_for_again() {
    let answer =
        "HTTP/1.1 401 No\r\nX-ClickHouse-Exception-Code: 516\r\nContent-Length: 28\r\n\r\nCode: 516. DB::Exception: no";
    let large = narrow_body((1..=300_000).map(|id| (id, "x".repeat(100))));
    let error = insert_into(&broken_server(answer, true), &large).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TargetDenied, "{error}");
}
