//! What inputs are made from: bytes that a real server wrote, in parts that mean something by themselves.
//!
//! The files under `corpus/` are whole events of a binlog file, one behind the other, or whole packets to a client;
//! `record.rs` makes them. Documents, statements and GTID sets are taken out of the events here, so that they have
//! inputs of their own.

use std::path::{Path, PathBuf};

use stream_bridge::binlog::event::{Event, EventKind};
use stream_bridge::binlog::query::Query;
use stream_bridge::binlog::rows::RowsEvent;
use stream_bridge::binlog::table_map::TableMap;

use crate::events;

/// What the parts of an input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Binlog events, in the order of a file.
    Events,
    /// Packets of a server to its client, with their headers.
    Packets,
    /// One JSON document in MySQL's binary form.
    Document,
    /// One statement.
    Statement,
    /// One GTID set, as text or as in PREVIOUS_GTIDS.
    GtidSet,
    /// One PEM of a public key.
    Key,
}

/// One input as it was recorded.
#[derive(Debug)]
pub struct Item {
    pub name: String,
    pub form: Form,
    pub parts: Vec<Vec<u8>>,
    /// The tables that its events announce.
    pub tables: Vec<TableMap>,
}

impl Item {
    /// So large that it would take most of the time if it came as often as others.
    pub fn is_large(&self) -> bool {
        self.parts.iter().map(Vec::len).sum::<usize>() > 16 << 10
    }
}

/// Text that no recorded event holds.
const STATEMENTS: [&str; 6] = [
    "/*!80000 ALTER TABLE */ `a``b`.`c` /* x */ ADD COLUMN (d INT -- '\n, e ENUM('x''y', \"z\") # \"\n)",
    "RENAME TABLE a.b TO `c`.d, e TO f",
    "CREATE TABLE IF NOT EXISTS x (a INT DEFAULT (b + 'c\\'d')) AS WITH y AS (SELECT * FROM z) SELECT * FROM y",
    "DROP TEMPORARY TABLE IF EXISTS a, b.c /*!50000 CASCADE */",
    "ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b WITHOUT VALIDATION",
    "UPDATE a JOIN b USING (c) SET a.d = \"e\", b.f = x'00' WHERE g IN (SELECT h FROM i.j)",
];

const GTID_SETS: [&str; 2] = [
    "753d1fa2-e7d7-11f1-8fbf-02fc00000001:1-34:36:mytag:1-5:other:7,\nffffffff-0000-0000-0000-000000000001:1-9",
    "753D1FA2E7D711F18FBF02FC00000001:9223372036854775807",
];

const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCXoC9FBSi0bNMSk6DVW1PiduFw
dUuSB8I6UeHSKAPPwa/cJcZe32WJVYaYi6MRVd8vZ6TTY4UhHjRMhJomCNBh3buk
V1i6Zdpbh9q41K+PM6gg/JzuamK76iZnbvKWBwFdHXfGFdixJ6W+ubtBL8AfYvAp
IB6pb9QSE/M3HHzZRQIDAQAB
-----END PUBLIC KEY-----
";

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutation/corpus")
}

/// Everything, in an order that does not depend on the file system.
pub fn load() -> Vec<Item> {
    let mut items = Vec::new();
    for (name, bytes) in files("events") {
        let parts = events::split(&bytes);
        let unzipped: Vec<Vec<u8>> = parts.iter().filter_map(|event| events::unzip(event)).flatten().collect();
        let outer = parts.iter().filter_map(|event| Event::parse(event, true).ok());
        let inner = unzipped.iter().filter_map(|event| Event::parse(event, false).ok());
        let whole: Vec<Event<'_>> = outer.chain(inner).collect();
        items.extend(whole.iter().flat_map(|event| inside(&name, event)));
        let tables = whole.iter().filter_map(|event| TableMap::parse(event).ok()).collect();
        items.push(Item { name, form: Form::Events, parts, tables });
    }
    for (name, bytes) in files("packets") {
        items.push(Item { name, form: Form::Packets, parts: packets(&bytes), tables: Vec::new() });
    }
    let texts = |form, texts: &[&str]| -> Vec<Item> {
        texts.iter().map(|text| single("text", form, text.as_bytes())).collect()
    };
    items.extend(texts(Form::Statement, &STATEMENTS));
    items.extend(texts(Form::GtidSet, &GTID_SETS));
    items.extend(texts(Form::Key, &[KEY]));
    items
}

fn single(name: &str, form: Form, bytes: &[u8]) -> Item {
    Item { name: name.to_owned(), form, parts: vec![bytes.to_vec()], tables: Vec::new() }
}

fn files(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = folder().join(kind);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    paths.into_iter().map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

/// Whole packets, one behind the other.
fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(&[a, b, c, _]) = bytes.first_chunk() {
        let len = 4 + u32::from_le_bytes([a, b, c, 0]) as usize;
        let (packet, rest) = bytes.split_at(len.min(bytes.len()));
        packets.push(packet.to_vec());
        bytes = rest;
    }
    packets
}

/// The documents, the statement or the GTID set in an event.
fn inside(name: &str, event: &Event<'_>) -> Vec<Item> {
    match event.header.kind {
        EventKind::WriteRows if name == "documents" => {
            documents(event).iter().map(|document| single(name, Form::Document, document)).collect()
        }
        EventKind::Query => {
            Query::parse(event).map(|query| single(name, Form::Statement, query.sql)).into_iter().collect()
        }
        EventKind::PreviousGtids => vec![single(name, Form::GtidSet, event.body)],
        _ => Vec::new(),
    }
}

/// The images of `documents (id INT, j JSON)`: a byte of NULL bits, the id, the document behind its length.
fn documents<'a>(event: &Event<'a>) -> Vec<&'a [u8]> {
    let (mut rest, mut documents) = (RowsEvent::parse(event).unwrap().rows, Vec::new());
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let len = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
        let (document, next) = after.split_at(len);
        documents.push(document);
        rest = next;
    }
    documents
}
