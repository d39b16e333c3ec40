//! The stream's whole way: packets to frames, frames to chunks, chunks through the real router with the item's tables.
//!
//! The router runs on this thread: its inbox is filled and closed before it starts, its writers are a queue that nobody
//! answers, and at the inbox's end it stops without patience. The budget is endless, so it never waits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, never, unbounded};
use stream_bridge::binlog::event::verify_checksum;
use stream_bridge::binlog::table_map::TableMap;
use stream_bridge::checkpoint::Checkpoint;
use stream_bridge::config::{DdlConfig, ReplicateConfig, Selection};
use stream_bridge::message::{Budget, Chunk, FromReader, Job};
use stream_bridge::metrics::Status;
use stream_bridge::mysql::frames::Frames;
use stream_bridge::position::{Position, Timeline};
use stream_bridge::router::batch::Pace;
use stream_bridge::router::saves::SavePace;
use stream_bridge::router::tables::{Shape, State, Table};
use stream_bridge::router::{Beginning, Router, Settings, Wiring};
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::choices::Choices;
use stream_bridge::schema::mapping::TargetFeatures;
use stream_bridge::schema::target::TargetTable;
use stream_bridge::schema::types::TableName;
use stream_bridge::transcode::Limits;

use crate::corpus::Item;
use crate::events;
use crate::targets::{Rig, target_columns};

const FILE: &str = "binlog.000001";
const ROTATE: u8 = 4;
const FLAG_ARTIFICIAL: u16 = 0x20;
/// Reads that the bytes come in, at most; each may make a chunk.
const READS: usize = 4;

/// Rows that left the router.
pub fn stream(_: &Rig, item: &Item, parts: &[Vec<u8>]) -> usize {
    let budget = Arc::new(Budget::new(usize::MAX));
    let chunks = frame(&wire(parts), &budget);
    let jobs = route(chunks, budget, item.tables.iter().filter_map(table).collect());
    let rows = |job| if let Job::Insert(_, batch) = job { batch.body.rows() } else { 0 };
    jobs.try_iter().map(rows).sum()
}

/// The events as a server sends them, behind the ROTATE that every dump begins with. Those with a right checksum get the
/// place in the file that they have here.
fn wire(parts: &[Vec<u8>]) -> Vec<u8> {
    let start: u32 = 4;
    let rotate = [&u64::from(start).to_le_bytes()[..], FILE.as_bytes()].concat();
    let mut wire = Vec::new();
    let (mut end, mut sequence) = (start, 1_u8);
    let mut send = |event: &[u8]| {
        let len = u32::try_from(event.len() + 1).unwrap().to_le_bytes();
        wire.extend([len[0], len[1], len[2], sequence, 0]);
        wire.extend(event);
        sequence = sequence.wrapping_add(1);
    };
    send(&events::event(ROTATE, FLAG_ARTIFICIAL, 0, &rotate));
    for part in parts {
        let mut event = part.clone();
        end += u32::try_from(event.len()).unwrap();
        if verify_checksum(&event).is_ok() && events::log_pos(&event) != Some(0) {
            events::set_log_pos(&mut event, end);
            events::seal(&mut event, true);
        }
        send(&event);
    }
    wire
}

fn frame(wire: &[u8], budget: &Budget) -> Vec<Chunk> {
    let (mut frames, mut chunks) = (Frames::new(wire.len().is_multiple_of(2)), Vec::new());
    for read in wire.chunks(wire.len().div_ceil(READS).max(1)) {
        let mut rest = read;
        while !rest.is_empty() {
            let wanted = frames.wanted_bytes();
            if wanted > 0 {
                assert!(budget.grow_chunk(frames.held_bytes(), wanted));
                frames.grow(wanted, None);
            }
            let free = frames.free();
            let len = free.len().min(rest.len());
            free[..len].copy_from_slice(&rest[..len]);
            frames.received(len);
            rest = &rest[len..];
        }
        if frames.has_events() {
            chunks.push(frames.take_chunk());
        }
    }
    chunks
}

fn route(chunks: Vec<Chunk>, budget: Arc<Budget>, tables: Vec<Table>) -> Receiver<Job> {
    let position = Position { file: FILE.to_owned(), offset: 4, ..Position::default() };
    let claim = Checkpoint { seq: 2, position, timeline: Timeline { number: 1, base_file: 0 } };
    let beginning = Beginning { claim, tables, copies: BTreeMap::new(), resyncs: Vec::new(), wanted: Vec::new() };
    let router = Router::new(settings(), budget, Arc::new(Status::starting()), beginning);
    let ((to_router, inbox), (used_buffers, _used)) = (unbounded(), bounded(1));
    let ((jobs, done), (_to_acks, acks), (_to_commands, commands)) = (unbounded(), unbounded(), unbounded());
    chunks.into_iter().for_each(|chunk| to_router.send(FromReader::Chunk(chunk)).unwrap());
    drop(to_router);
    let _ = router.run(&Wiring { inbox, copies: never(), orders: unbounded().0, used_buffers, jobs, acks, commands });
    done
}

fn settings() -> Settings {
    let second = Duration::from_secs(1);
    let selection = Selection::compile(&["m.*".to_owned()], &[]).unwrap();
    Settings {
        pace: Pace {
            limits: Limits { rows: 1000, bytes: 64 << 10 },
            batch_timeout: second,
            gap_min: Duration::ZERO,
            inserts_per_second: 1_000_000,
            in_flight_max: 4,
        },
        save_pace: SavePace { interval: 30 * second, events: 1000 },
        retry_attempts: 0,
        retry_max_interval: second,
        shutdown_timeout: Duration::ZERO,
        replicate: ReplicateConfig { selection, ..ReplicateConfig::default() },
        ddl: DdlConfig::default(),
        ddl_flush_timeout: Duration::from_secs(60),
        allows_zero_dates: false,
        lowers_names: false,
        logs_cascades: true,
        may_repeat_hours: false,
        features: TargetFeatures { time64: true },
        ignores_case: false,
    }
}

/// The table as it was when the server wrote its rows; none without a target, or if its rows come without names.
fn table(map: &TableMap) -> Option<Table> {
    let name = TableName { database: map.database.clone(), table: map.table.clone() };
    let key = map.primary_key.clone().unwrap_or_default();
    let target = TargetTable { name: name.clone(), columns: target_columns(&map.columns, &key).ok()? };
    let source = SourceTable {
        name: name.clone(),
        columns: map.columns.clone(),
        key,
        allows_zero_dates: true,
        choices: Choices::default(),
    };
    Some(Table::new(name, State::Streaming, String::new(), Some(Shape::new(&source, target))))
}
