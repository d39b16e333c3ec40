//! What hostile bytes are given to: the product's public entries, each with the most memory that it may take.
//!
//! Each returns how much it got out, so that a test can tell that recorded bytes reach all of it.

use std::borrow::Cow;
use std::cell::RefCell;

use stream_bridge::binlog::control::{FormatDescription, Heartbeat, Rotate, XaPrepare};
use stream_bridge::binlog::event::{Event, EventKind, verify_checksum};
use stream_bridge::binlog::gtid_event::GtidEvent;
use stream_bridge::binlog::payload::{PayloadReader, TransactionPayload};
use stream_bridge::binlog::query::Query;
use stream_bridge::binlog::rows::RowsEvent;
use stream_bridge::binlog::table_map::{TableMap, TableMapHead};
use stream_bridge::error::Result;
use stream_bridge::gtid::GtidSet;
use stream_bridge::mysql::packet::{self, Fields, Handshake};
use stream_bridge::mysql::{auth, refusal};
use stream_bridge::position::Version;
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::ddl::{self, touched};
use stream_bridge::schema::mapping::{TargetFeatures, target_type};
use stream_bridge::schema::target::TargetColumn;
use stream_bridge::schema::types::{SourceColumn, SourceType};
use stream_bridge::transcode::{Limits, RowPlan, RowsCursor, RowsKind, Stride};

use crate::client::{Parrot, Script};
use crate::corpus::{Form, Item};
use crate::events;
use crate::router;

/// What runs an input.
pub type Run = fn(&Rig, &Item, &[Vec<u8>]) -> usize;

/// One way into the product.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    pub form: Form,
    pub run: Run,
    /// How many of the inputs it gets, in proportion.
    pub weight: usize,
    /// Bytes it may allocate for each byte of input.
    pub per_byte: usize,
    /// And however short the input is: its buffers.
    pub fixed: usize,
}

/// What inputs share.
#[derive(Debug)]
pub struct Rig {
    pub parrot: Parrot,
    /// Keeps its buffer, as the router's does.
    unzip: RefCell<PayloadReader>,
    documents: RowPlan,
}

const KIB: usize = 1 << 10;
/// Of every first image.
const VERSION: Version = Version(1 << 54);

/// The constants: `rows` and `documents` write into a body (a chunk of 256 KiB, and one row of twice as much); `stream` has up to five read buffers of 256 KiB and all of those; `client` reads into
/// the buffers of a dump.
pub const TARGETS: [Target; 9] = [
    Target { name: "parsers", form: Form::Events, run: parsers, weight: 30, per_byte: 64, fixed: 8 * KIB },
    Target { name: "rows", form: Form::Events, run: rows, weight: 30, per_byte: 128, fixed: 700 * KIB },
    Target { name: "stream", form: Form::Events, run: router::stream, weight: 20, per_byte: 128, fixed: 3072 * KIB },
    Target { name: "documents", form: Form::Document, run: documents, weight: 20, per_byte: 32, fixed: 300 * KIB },
    Target { name: "statements", form: Form::Statement, run: statements, weight: 12, per_byte: 256, fixed: 4 * KIB },
    Target { name: "gtid_sets", form: Form::GtidSet, run: gtid_sets, weight: 8, per_byte: 64, fixed: 4 * KIB },
    Target { name: "packets", form: Form::Packets, run: packets, weight: 8, per_byte: 32, fixed: 4 * KIB },
    Target { name: "client", form: Form::Packets, run: client, weight: 2, per_byte: 64, fixed: 1024 * KIB },
    Target { name: "keys", form: Form::Key, run: keys, weight: 1, per_byte: 64, fixed: 64 * KIB },
];

impl Rig {
    pub fn new() -> Self {
        let column = SourceColumn { name: "j".to_owned(), ty: SourceType::Json, nullable: true };
        let rig = Self { parrot: Parrot::start(), unzip: RefCell::default(), documents: plan(&[column], &[]).unwrap() };
        rig.renew();
        rig
    }

    /// Forgets what the inputs before have left.
    pub fn renew(&self) {
        let mut unzip = PayloadReader::default();
        let payload = events::zip(&[&[0; 4][..], &[40], &[0; 14]].concat(), &[events::event(29, 0, 0, &[])], true);
        parse_whole(&payload, &mut unzip);
        self.unzip.replace(unzip);
    }
}

/// Every parser of events over every body, whatever its kind.
fn parsers(rig: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    parts.iter().map(|bytes| parse_whole(bytes, &mut rig.unzip.borrow_mut())).sum()
}

fn parse_whole(bytes: &[u8], reader: &mut PayloadReader) -> usize {
    let _ = verify_checksum(bytes);
    let Ok(event) = Event::parse(bytes, true).or_else(|_| Event::parse(bytes, false)) else { return 0 };
    let mut found = parse(&event) + parse_as_others(&event);
    let opened = TransactionPayload::parse(&event).and_then(|payload| reader.open(&payload));
    while opened.is_ok()
        && let Ok(Some(inner)) = reader.next(bytes)
    {
        found += parse(&inner);
    }
    found
}

/// The forms that only a kind chooses.
fn parse_as_others(event: &Event<'_>) -> usize {
    let of_kind = |kind| Event { header: event.header.with_kind(kind), body: event.body };
    let rows = [EventKind::UpdateRows, EventKind::UpdateRowsV1, EventKind::PartialUpdateRows];
    let mut found = rows.into_iter().filter(|&kind| RowsEvent::parse(&of_kind(kind)).is_ok()).count();
    found += usize::from(GtidEvent::parse(&of_kind(EventKind::GtidTagged)).is_ok());
    found += usize::from(Heartbeat::parse(&of_kind(EventKind::HeartbeatV2)).is_ok());
    found + usize::from(Query::parse(&of_kind(EventKind::ExecuteLoadQuery)).is_ok())
}

fn parse(event: &Event<'_>) -> usize {
    let mut found = 0;
    let mut count = |is_ok: bool| found += usize::from(is_ok);
    count(FormatDescription::parse(event).is_ok());
    count(Rotate::parse(event).is_ok());
    count(Heartbeat::parse(event).is_ok());
    count(XaPrepare::parse(event).is_ok());
    count(GtidEvent::parse(event).is_ok());
    count(GtidSet::decode(event.body).is_ok());
    count(TableMapHead::parse(event).is_ok());
    count(TableMap::parse(event).is_ok());
    count(RowsEvent::parse(event).is_ok_and(|rows| rows.is_full_image()));
    count(Query::parse(event).is_ok_and(|query| {
        let _ = (query.kind(), query.context());
        !query.text().is_empty()
    }));
    found
}

/// Every TABLE_MAP to a plan, and the images of every rows event through the plan before it, whether it is theirs or
/// not. Bytes written.
fn rows(_: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    let (mut sink, mut known, mut reader) = (Sink::default(), None, PayloadReader::default());
    for bytes in parts {
        let Ok(event) = Event::parse(bytes, true) else { continue };
        transcode(&event, &mut known, &mut sink);
        let opened = TransactionPayload::parse(&event).and_then(|payload| reader.open(&payload));
        while opened.is_ok()
            && let Ok(Some(inner)) = reader.next(bytes)
        {
            transcode(&inner, &mut known, &mut sink);
        }
    }
    sink.bytes
}

fn transcode(event: &Event<'_>, known: &mut Option<RowPlan>, sink: &mut Sink) {
    if let Ok(map) = TableMap::parse(event)
        && let Ok(plan) = plan(&map.columns, map.primary_key.as_deref().unwrap_or_default())
    {
        *known = Some(plan);
    }
    if let (Ok(rows), Some(plan)) = (RowsEvent::parse(event), known) {
        sink.append(plan, RowsCursor::new(&rows, VERSION, Stride::Bytes));
    }
}

/// The plan into the default types.
pub fn plan(columns: &[SourceColumn], key: &[usize]) -> Result<RowPlan> {
    RowPlan::compile(columns, key, &target_columns(columns, key)?)
}

/// The default types.
pub fn target_columns(columns: &[SourceColumn], key: &[usize]) -> Result<Vec<TargetColumn>> {
    let features = TargetFeatures { time64: true };
    let mut target = Vec::with_capacity(columns.len() + 2);
    for (index, column) in columns.iter().enumerate() {
        let ty = target_type(column, key.contains(&index), true, features)?;
        target.push(TargetColumn { name: column.name.clone(), ty });
    }
    let tail = [("_version", "UInt64"), ("_is_deleted", "UInt8")];
    target.extend(tail.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() }));
    Ok(target)
}

/// Where rows go; a full body is emptied and used again, as after an insert.
#[derive(Debug, Default)]
struct Sink {
    body: Body,
    pool: ChunkPool,
    bytes: usize,
}

impl Sink {
    fn append(&mut self, plan: &RowPlan, mut cursor: RowsCursor<'_>) {
        let limits = Limits { rows: usize::MAX, bytes: 64 * KIB };
        while !cursor.rest.is_empty() {
            let done = plan.append_rows(&mut cursor, &mut self.body, &mut self.pool, limits);
            let body = std::mem::take(&mut self.body);
            self.bytes += body.bytes();
            self.pool.recycle(body);
            if done.is_err() {
                return;
            }
        }
    }
}

/// A document as the only column of a row.
fn documents(rig: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    let mut sink = Sink::default();
    for document in parts {
        let len = u32::try_from(document.len()).unwrap().to_le_bytes();
        let image = [&[0][..], &len, document].concat();
        sink.append(&rig.documents, RowsCursor::plain(RowsKind::Write, &image, VERSION, Stride::Bytes));
    }
    sink.bytes
}

/// Comments before a statement change nothing.
fn statements(_: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    for sql in parts.iter().map(|bytes| String::from_utf8_lossy(bytes)) {
        let commented = format!("/* x */ -- '\n # `\n{sql}");
        for sql_mode in [0, 4, 0x10_0004] {
            assert_eq!(touched(&sql, "d", sql_mode), touched(&commented, "d", sql_mode), "{sql}");
            assert_eq!(ddl::parse(&sql, "d", sql_mode), ddl::parse(&commented, "d", sql_mode), "{sql}");
        }
    }
    parts.len()
}

/// A set's text and encoding say the same set again.
fn gtid_sets(_: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    let mut found = 0;
    for bytes in parts {
        let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
        for set in GtidSet::parse(&text).into_iter().chain(GtidSet::decode(bytes)) {
            assert_eq!(GtidSet::parse(&set.to_string()).as_ref(), Ok(&set));
            assert_eq!(GtidSet::decode(&set.encode_for_dump()).as_ref(), Ok(&set));
            assert!(set.contains_set(&set));
            found += 1;
        }
    }
    found
}

/// Every reader of packets over every packet.
fn packets(_: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    let mut found = 0;
    for payload in parts.iter().filter_map(|packet| packet.get(4..)) {
        found += usize::from(Handshake::parse(payload).is_ok());
        if let Some((code, message)) = packet::err_packet(payload) {
            found += usize::from(!refusal::server_error(code, &message).text.is_empty());
        }
        found += usize::from(packet::is_eof(payload));
        let mut fields = Fields(payload);
        while fields.packed_string().is_some() {
            found += 1;
        }
        found += fields.nul_string().len();
    }
    found
}

/// A server that says just this.
fn client(rig: &Rig, item: &Item, parts: &[Vec<u8>]) -> usize {
    let script = if item.name.ends_with("dump") { Script::Dump } else { Script::Queries };
    rig.parrot.say(parts.concat(), script)
}

fn keys(_: &Rig, _: &Item, parts: &[Vec<u8>]) -> usize {
    parts.iter().filter(|pem| auth::encrypt("secret", &[7; 20], pem).is_ok()).count()
}
