//! Binlog events out of memory, and their rows to RowBinary by the code that the stream uses.

use std::collections::HashMap;
use std::hint::black_box;

use stream_bridge::binlog::event::{Event, EventKind, FILE_MAGIC, Header, verify_checksum};
use stream_bridge::binlog::rows::RowsEvent;
use stream_bridge::binlog::table_map::{TableMap, TableMapHead};
use stream_bridge::position::Version;
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::mapping::{TargetFeatures, target_type};
use stream_bridge::schema::target::TargetColumn;
use stream_bridge::schema::types::SourceColumn;
use stream_bridge::transcode::{Limits, RowPlan, RowsCursor, Stride};

/// Bodies are used again at this size, so that output stays in a core's cache, as on its way to a socket.
pub const IN_CACHE: Limits = Limits { rows: usize::MAX, bytes: 256 << 10 };

/// The events of a binlog file, each with where it lies.
pub fn events(file: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut offset = FILE_MAGIC.len();
    std::iter::from_fn(move || {
        let rest = file.get(offset..)?;
        let size = Header::parse(rest).ok()?.size();
        let event = rest.get(..size)?;
        offset += size;
        Some(((offset - size) as u64, event))
    })
}

/// The bare walk: headers and maps are looked at, rows are not. Gives the images' bytes.
pub fn walk(file: &[u8]) -> usize {
    let (mut shape, mut bytes) = (&file[..0], 0);
    for (_, event) in events(file) {
        let event = Event::parse(event, true).unwrap();
        match event.header.kind {
            EventKind::TableMap if shape != event.body => {
                black_box(TableMapHead::parse(&event).unwrap());
                shape = event.body;
            }
            EventKind::WriteRows | EventKind::UpdateRows => bytes += RowsEvent::parse(&event).unwrap().rows.len(),
            _ => {}
        }
    }
    bytes
}

/// Copies all row images, and does nothing else with them.
pub fn copy_images(file: &[u8], buffer: &mut Vec<u8>) {
    for (_, event) in events(file) {
        let event = Event::parse(event, true).unwrap();
        if matches!(event.header.kind, EventKind::WriteRows | EventKind::UpdateRows) {
            if buffer.len() >= IN_CACHE.bytes {
                buffer.clear();
            }
            buffer.extend_from_slice(RowsEvent::parse(&event).unwrap().rows);
            black_box(&buffer);
        }
    }
}

/// The default types of a target, dates as nullable, as `replay` takes them.
pub fn default_target(columns: &[SourceColumn], key: &[usize]) -> Vec<TargetColumn> {
    let features = TargetFeatures { time64: true };
    let typed = |(index, column): (usize, &SourceColumn)| TargetColumn {
        name: column.name.clone(),
        ty: target_type(column, key.contains(&index), true, features).unwrap(),
    };
    let tail = [("_version", "UInt64"), ("_is_deleted", "UInt8")];
    let tail = tail.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
    columns.iter().enumerate().map(typed).chain(tail).collect()
}

/// Rows of one table to RowBinary.
pub struct Decoder<'a> {
    target: Option<&'a [TargetColumn]>,
    limits: Limits,
    plans: HashMap<u64, RowPlan>,
    body: Body,
    pool: ChunkPool,
    /// Rows so far.
    pub rows: u64,
}

impl<'a> Decoder<'a> {
    /// For a target with these columns; None: the default ones.
    pub fn new(target: Option<&'a [TargetColumn]>, limits: Limits) -> Self {
        Self { target, limits, plans: HashMap::new(), body: Body::default(), pool: ChunkPool::default(), rows: 0 }
    }

    /// Decodes an event at this place of its file; full bodies are handed to `full`, which may keep them.
    pub fn event(&mut self, offset: u64, bytes: &[u8], full: &mut dyn FnMut(Body) -> Option<Body>) {
        let event = Event::parse(bytes, true).unwrap();
        match event.header.kind {
            EventKind::TableMap => self.table_map(&event),
            EventKind::WriteRows | EventKind::UpdateRows => {
                let rows = RowsEvent::parse(&event).unwrap();
                let plan = self.plans.get(&rows.table_id).unwrap();
                let first = Version(offset + rows.rows_start as u64);
                let mut cursor = RowsCursor::new(&rows, first, Stride::Bytes);
                while !cursor.rest.is_empty() {
                    plan.append_rows(&mut cursor, &mut self.body, &mut self.pool, self.limits).unwrap();
                    if self.limits.are_reached(&self.body) {
                        self.rows += self.body.rows() as u64;
                        if let Some(used) = full(std::mem::take(&mut self.body)) {
                            self.pool.recycle(used);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    /// The last body.
    pub fn finish(&mut self) -> Body {
        self.rows += self.body.rows() as u64;
        std::mem::take(&mut self.body)
    }

    fn table_map(&mut self, event: &Event<'_>) {
        let id = TableMapHead::parse(event).unwrap().table_id;
        self.plans.entry(id).or_insert_with(|| {
            let map = TableMap::parse(event).unwrap();
            let key = map.primary_key.clone().unwrap_or_default();
            let default = default_target(&map.columns, &key);
            RowPlan::compile(&map.columns, &key, self.target.unwrap_or(&default)).unwrap()
        });
    }
}

/// The rows of a file; None when an event of it is damaged.
pub fn checked_rows(file: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(None, IN_CACHE);
    let mut end = FILE_MAGIC.len();
    for (offset, event) in events(file) {
        verify_checksum(event).ok()?;
        decoder.event(offset, event, &mut Some);
        end += event.len();
    }
    decoder.finish();
    (end == file.len()).then_some(decoder.rows)
}
