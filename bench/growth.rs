//! Part 7: what a row costs as columns, rows and tables grow. In memory, CPU time of one thread.
//!
//! Columns and row sizes: the decoder's loop with the checksum, on made-up images. Tables: the real router, given chunks in
//! which each transaction of one row names a table at random, while a thread takes its batches and says that they are in.
//! Batch sizes and writers are in `catch_up`, which has ClickHouse to answer.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, unbounded};
use stream_bridge::checkpoint::Checkpoint;
use stream_bridge::config::{DdlConfig, ReplicateConfig, Selection};
use stream_bridge::message::{Ack, Budget, CHUNK_BYTES, Chunk, EventSpan, FromReader, Job};
use stream_bridge::metrics::Status;
use stream_bridge::position::{Position, Timeline, Version};
use stream_bridge::router::batch::Pace;
use stream_bridge::router::saves::SavePace;
use stream_bridge::router::tables::{Shape, State, Table as Replicated};
use stream_bridge::router::{Beginning, Router, Settings, Wiring};
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::choices::Choices;
use stream_bridge::schema::mapping::TargetFeatures;
use stream_bridge::schema::target::TargetTable;
use stream_bridge::schema::types::{Charset, SourceColumn, SourceType, TableName};
use stream_bridge::transcode::{Limits, RowPlan, RowsCursor, RowsKind, Stride};

use crate::report::{self, Table};
use crate::support::load::Random;
use crate::walk::{IN_CACHE, default_target};
use crate::{Size, clock};

/// Bytes of images that one event holds, unless one is larger.
const EVENT_BYTES: usize = 8 << 10;
/// Bytes of images for one figure of the full size.
const IMAGE_BYTES: u64 = 400_000_000;
/// Always so many: they must be many for each of the tables.
const TRANSACTIONS: u64 = 1_000_000;

/// Everything.
pub fn run(size: Size) {
    columns(size);
    row_sizes(size);
    tables(size);
}

fn columns(size: Size) {
    let mut table = Table::new(&["columns", "ns per row", "ns per column"]);
    for count in [1_u32, 2, 10, 100, 1000] {
        let image: Vec<u8> =
            std::iter::repeat_n(0, count.div_ceil(8) as usize).chain((0..count).flat_map(u32::to_le_bytes)).collect();
        let types = vec![SourceType::Int { bytes: 4, unsigned: false }; count as usize];
        let ns = runs(size, || ns_per_row(size, &types, &image));
        let per_column: Vec<f64> = ns.iter().map(|ns| ns / f64::from(count)).collect();
        table.row(&[count.to_string(), report::spread(&ns, 1), report::spread(&per_column, 2)]);
    }
    table.print("growth: columns (INT), rows of INSERT");
}

fn row_sizes(size: Size) {
    let mut table = Table::new(&["bytes of the row", "ns per row", "GB/s"]);
    for bytes in [20_u32, 100, 1000, 10_000, 100_000, 1_000_000] {
        let text = bytes - 9;
        let image = [&[0][..], &[7; 4], &text.to_le_bytes(), &vec![b'x'; text as usize]].concat();
        let blob = SourceType::Blob { length_bytes: 4, charset: Charset::Utf8 };
        let types = [SourceType::Int { bytes: 4, unsigned: false }, blob];
        let ns = runs(size, || ns_per_row(size, &types, &image));
        let rates: Vec<f64> = ns.iter().map(|ns| f64::from(bytes) / ns).collect();
        table.row(&[bytes.to_string(), report::spread(&ns, 0), report::spread(&rates, 2)]);
    }
    table.print("growth: row size (INT, LONGTEXT), rows of INSERT");
}

fn runs(size: Size, mut figure: impl FnMut() -> f64) -> Vec<f64> {
    (0..size.runs).map(|_| figure()).collect()
}

fn ns_per_row(size: Size, types: &[SourceType], image: &[u8]) -> f64 {
    let column = |(index, ty): (usize, &SourceType)| SourceColumn {
        name: format!("c{index}"),
        ty: ty.clone(),
        nullable: index > 0,
    };
    let source: Vec<SourceColumn> = types.iter().enumerate().map(column).collect();
    let plan = RowPlan::compile(&source, &[0], &default_target(&source, &[0])).unwrap();
    let event = image.repeat((EVENT_BYTES / image.len()).max(1));
    let events = (size.of(IMAGE_BYTES) / event.len() as u64).max(1);
    let (mut body, mut pool) = (Body::default(), ChunkPool::default());
    let ((), seconds) = clock::timed(|| {
        for _ in 0..events {
            black_box(crc32fast::hash(&event));
            let mut rows = RowsCursor::plain(RowsKind::Write, &event, Version(4), Stride::Bytes);
            while !rows.rest.is_empty() {
                plan.append_rows(&mut rows, &mut body, &mut pool, IN_CACHE).unwrap();
                if IN_CACHE.are_reached(&body) {
                    pool.recycle(std::mem::take(&mut body));
                }
            }
        }
    });
    seconds * 1e9 / (events * (event.len() / image.len()) as u64) as f64
}

fn tables(size: Size) {
    let mut table = Table::new(&["tables", "ns per transaction", "of one table"]);
    let mut one = Vec::new();
    for count in [1_u32, 10, 100, 1000, 10_000] {
        let ns = runs(size, || routed(count, TRANSACTIONS));
        if one.is_empty() {
            one.clone_from(&ns);
        }
        let of = report::spread(&report::ratios(&ns, &one), 2);
        table.row(&[count.to_string(), report::spread(&ns, 0), of]);
    }
    table.print("growth: tables, the router with transactions of one row, each in a table at random");
}

/// Nanoseconds of the router's thread for a transaction.
fn routed(tables: u32, transactions: u64) -> f64 {
    let chunks = chunks(tables, transactions);
    let budget = Arc::new(Budget::new(usize::MAX));
    let position = Position { file: "binlog.000001".to_owned(), offset: 4, ..Position::default() };
    let claim = Checkpoint { seq: 2, position, timeline: Timeline { number: 1, base_file: 0 } };
    let tables = (0..tables).map(replicated).collect();
    let beginning = Beginning { claim, tables, copies: BTreeMap::new(), resyncs: Vec::new(), wanted: Vec::new() };
    let router = Router::new(settings(), budget, Arc::new(Status::starting()), beginning);
    let ((to_router, inbox), (used_buffers, _used)) = (unbounded(), bounded(1));
    let ((jobs, done), (to_acks, acks), (_to_commands, commands)) = (bounded(0), unbounded(), unbounded());
    chunks.into_iter().for_each(|chunk| to_router.send(FromReader::Chunk(chunk)).unwrap());
    // When the inbox ends, the router does.
    drop(to_router);
    let wiring = Wiring { inbox, copies: never(), orders: unbounded().0, used_buffers, jobs, acks, commands };
    let (rows, seconds) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| acknowledge(&done, &to_acks));
        let (_, seconds) = clock::timed(|| router.run(&wiring));
        drop(wiring);
        (writer.join().unwrap(), seconds)
    });
    assert_eq!(rows, transactions, "rows that left the router");
    seconds * 1e9 / transactions as f64
}

/// A writer without a server; the rows that it got.
fn acknowledge(jobs: &Receiver<Job>, acks: &Sender<Ack>) -> u64 {
    let mut rows = 0;
    for job in jobs {
        let _ = acks.send(match job {
            Job::Save(save) => Ack::Saved(save, Ok(())),
            Job::Inspect => Ack::Inspected { parts: Ok(Vec::new()), mutations: Ok(Vec::new()) },
            Job::Insert(_, batch) => {
                rows += batch.body.rows() as u64;
                Ack::Inserted(batch, Duration::ZERO, Ok(()))
            }
        });
    }
    rows
}

fn settings() -> Settings {
    let second = Duration::from_secs(1);
    let selection = Selection::compile(&["bench.*".to_owned()], &[]).unwrap();
    Settings {
        pace: Pace {
            limits: Limits { rows: 100_000, bytes: 16 << 20 },
            batch_timeout: second / 5,
            gap_min: second / 50,
            inserts_per_second: 200,
            in_flight_max: 3,
        },
        save_pace: SavePace { interval: 30 * second, events: 1000 },
        retry_attempts: 0,
        retry_max_interval: second,
        shutdown_timeout: 300 * second,
        replicate: ReplicateConfig { selection, ..ReplicateConfig::default() },
        ddl: DdlConfig::default(),
        ddl_flush_timeout: 60 * second,
        allows_zero_dates: false,
        lowers_names: false,
        logs_cascades: true,
        may_repeat_hours: false,
        features: TargetFeatures { time64: true },
        ignores_case: false,
    }
}

fn table_name(number: u32) -> TableName {
    TableName { database: "bench".to_owned(), table: format!("t{number:05}") }
}

/// `(id INT PRIMARY KEY, k INT)`.
fn replicated(number: u32) -> Replicated {
    let int = |name: &str, nullable| SourceColumn {
        name: name.to_owned(),
        ty: SourceType::Int { bytes: 4, unsigned: false },
        nullable,
    };
    let (name, columns) = (table_name(number), vec![int("id", false), int("k", true)]);
    let target = TargetTable { name: name.clone(), columns: default_target(&columns, &[0]) };
    let source = SourceTable {
        name: name.clone(),
        columns,
        key: vec![0],
        allows_zero_dates: false,
        choices: Choices::default(),
    };
    Replicated::new(name, State::Streaming, String::new(), Some(Shape::new(&source, target)))
}

/// Transactions as a server would send them: BEGIN, the map, one row, XID.
fn chunks(tables: u32, transactions: u64) -> Vec<Chunk> {
    let (mut random, mut chunks, mut chunk, mut offset) = (Random::new(1), Vec::new(), Chunk::default(), 4);
    for number in 0..transactions {
        let table = u32::try_from(random.below(u64::from(tables))).unwrap();
        for event in transaction(table, u32::try_from(number).unwrap()) {
            let span = EventSpan { start: chunk.bytes.len(), len: event.len(), offset };
            offset += event.len() as u64;
            chunk.bytes.extend(event);
            chunk.events.push(span);
        }
        if chunk.bytes.len() > CHUNK_BYTES - 1000 {
            chunks.push(std::mem::take(&mut chunk));
        }
    }
    chunks.push(chunk);
    chunks
}

fn transaction(table: u32, row: u32) -> [Vec<u8>; 4] {
    let [query, table_map, write_rows, xid] = [2, 19, 30, 16];
    let id = (100 + u64::from(table)).to_le_bytes();
    let name = table_name(table).table;
    let begin = [&[0; 8][..], &[5, 0, 0, 0, 0], b"bench\0BEGIN"].concat();
    // Two columns of INT, the second nullable; then signedness, names and the primary key.
    let metadata = [&[1, 1, 0][..], &[4, 5, 2, b'i', b'd', 1, b'k'], &[8, 1, 0]].concat();
    let map = [&id[..6], &[1, 0, 5], b"bench\0", &[6], name.as_bytes(), &[0, 2, 3, 3, 0, 2], &metadata].concat();
    let rows = [&id[..6], &[1, 0, 2, 0, 2, 3, 0], &row.to_le_bytes(), &row.to_be_bytes()].concat();
    [(query, begin), (table_map, map), (write_rows, rows), (xid, vec![0; 8])].map(|(kind, body)| event(kind, &body))
}

/// An event with its checksum.
fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(19 + body.len() + 4).unwrap();
    let mut event = [&[0; 4][..], &[kind], &[0; 4], &size.to_le_bytes(), &[0; 6], body].concat();
    event.extend(crc32fast::hash(&event).to_le_bytes());
    event
}
