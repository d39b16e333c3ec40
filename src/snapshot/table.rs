//! One table's copy: its chunks, and the rows of one as bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::cut::Cutter;
use super::try_again;
use crate::checkpoint::CopyChunk;
use crate::config::MysqlConfig;
use crate::error::Result;
use crate::message::{CopyOrder, FromSnapshot, TableIndex};
use crate::metrics::bad_values::Counts;
use crate::mysql::chunks::{Chunk, Cuts};
use crate::mysql::select::{Select, select_list};
use crate::mysql::source::{end_of_log, quoted};
use crate::position::{Position, Version};
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::keyless;
use crate::schema::target::InsertColumns;
use crate::schema::types::{SourceColumn, TableName};
use crate::transcode::packet::{PacketPlan, copy_columns};
use crate::transcode::refused::RefusedRow;
use crate::transcode::{Limits, RowPlan, RowsCursor};

/// A table to copy.
#[derive(Debug)]
pub struct CopyTable {
    index: TableIndex,
    shadow: Uuid,
    name: TableName,
    version: Version,
    position: Arc<Position>,
    cutter: Cutter,
    select_list: String,
    packets: PacketPlan,
    rows: RowPlan,
    insert: Arc<InsertColumns>,
    /// Whether each row gets a running number: the target is a log of changes.
    is_numbered: bool,
    is_set_aside: Arc<AtomicBool>,
    /// The name of its cuts.
    plan: Uuid,
}

impl CopyTable {
    /// What `order` says, with rows of this version.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming the column that does not fit.
    pub fn new(order: &CopyOrder, version: Version, counts: &Counts) -> Result<Self> {
        let CopyOrder { source, target, .. } = order;
        let is_numbered = keyless::is_log(&source.columns, &source.key, &target.columns);
        let number = is_numbered.then(keyless::row_number);
        let columns: Vec<SourceColumn> = source.columns.iter().cloned().chain(number).collect();
        let (copied, bad_values) = (copy_columns(&columns), Some(counts.of(&source.name)));
        let rows = RowPlan::compile_chosen(&copied, &source.key, &target.columns, &source.choices, bad_values)?;
        let insert = Arc::new(InsertColumns(rows.insert_columns()));
        Ok(Self {
            index: order.index,
            shadow: order.shadow,
            name: source.name.clone(),
            version,
            position: Arc::clone(&order.position),
            cutter: Cutter::new(Cuts::of(source).only(order.copy_where.as_deref())),
            select_list: numbered(select_list(&source.columns), is_numbered),
            packets: PacketPlan::compile(&columns, &source.key)?,
            rows,
            insert,
            is_numbered,
            is_set_aside: Arc::clone(&order.flag),
            plan: order.saved.last().map_or_else(Uuid::new_v4, |last| last.plan),
        })
    }

    /// The router's table.
    pub fn index(&self) -> TableIndex {
        self.index
    }

    /// The source's table.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// The columns of its rows.
    pub fn columns(&self) -> Arc<InsertColumns> {
        Arc::clone(&self.insert)
    }

    /// What a session must have seen.
    pub fn position(&self) -> &Arc<Position> {
        &self.position
    }

    /// Whether the copy is to end.
    pub fn is_set_aside(&self) -> bool {
        self.is_set_aside.load(Ordering::Relaxed)
    }

    /// The chunk that begins where `begin` does, with its end: about `chunk_rows` further on, or the table's.
    ///
    /// # Errors
    /// When the source is away or refuses.
    pub fn cut(&self, select: &mut Select, begin: Chunk, chunk_rows: u64) -> Result<Chunk> {
        let upper = self.cutter.next_end(select, begin.lower.as_ref(), chunk_rows)?;
        Ok(Chunk { upper, ..begin })
    }

    /// A chunk as it is to be saved; nobody counts the rows of the last one.
    fn saved(&self, chunk: &Chunk, chunk_rows: u64) -> CopyChunk {
        CopyChunk {
            table: self.name.to_string(),
            version: self.version.0,
            shadow: self.shadow,
            plan: self.plan,
            chunk: chunk.number,
            upper: chunk.upper.clone().unwrap_or_default(),
            rows: if chunk.upper.is_some() { chunk_rows } else { 0 },
            done: 0,
        }
    }

    /// What the router is told of a chunk.
    pub fn planned(&self, chunk: &Chunk, chunk_rows: u64) -> FromSnapshot {
        // Its V, a place in the log, may lie ahead of the router.
        let gtid_set = self.position.gtid_set.as_ref().filter(|_| !self.is_numbered);
        let gtid_set = gtid_set.map(ToString::to_string).unwrap_or_default();
        let (table, version, chunk) = (self.index, self.version, self.saved(chunk, chunk_rows));
        FromSnapshot::Planned { table, version, gtid_set, chunk }
    }

    /// Starts to read a chunk.
    ///
    /// # Errors
    /// When the source is away or refuses, or the table is another than it was.
    pub fn begin(&self, select: &mut Select, chunk: &Chunk) -> Result<()> {
        select.run(&self.cutter.cuts().select(&self.select_list, chunk))?;
        self.packets.check(select.columns())
    }

    /// The rows of a chunk that has begun.
    pub fn rows<'a>(&'a self, select: &'a mut Select) -> ChunkRows<'a> {
        ChunkRows { table: self, select, image: Vec::new(), number: 0, refused: None }
    }
}

/// The rows of a chunk.
pub struct ChunkRows<'a> {
    table: &'a CopyTable,
    select: &'a mut Select,
    image: Vec<u8>,
    /// Rows so far.
    number: u64,
    /// The row that could not be carried over.
    pub refused: Option<Box<RefusedRow>>,
}

impl ChunkRows<'_> {
    /// The next rows, as many as the limits allow, and the memory that they take; `None` when there are no more.
    ///
    /// # Errors
    /// When the source is away, or a value cannot be carried over.
    pub fn fill(&mut self, limits: Limits) -> Result<Option<(Body, usize)>> {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        while !limits.are_reached(&body)
            && let Some(packet) = self.select.next_row()?
        {
            self.image.clear();
            self.table.packets.append_image(packet, &mut self.image)?;
            self.number += 1;
            if self.table.is_numbered
                && let Some(number) = self.image.last_chunk_mut()
            {
                *number = self.number.to_le_bytes();
            }
            let mut row = RowsCursor::copied(&self.image, self.table.version);
            let done = self.table.rows.append_rows(&mut row, &mut body, &mut pool, Limits::NONE);
            done.inspect_err(|_| self.refused = Some(Box::new(self.table.rows.refused_row(&row))))?;
        }
        Ok((!body.is_empty()).then_some((body, pool.held_bytes())))
    }
}

/// With room for the row's number, which comes last.
fn numbered(select_list: String, is_numbered: bool) -> String {
    if is_numbered { format!("{select_list}, CAST(0 AS UNSIGNED)") } else { select_list }
}

/// The known chunks of a copy that are not done.
pub fn remaining(saved: &[CopyChunk]) -> Vec<Chunk> {
    known(saved).zip(saved).filter(|(_, saved)| saved.done == 0).map(|(chunk, _)| chunk).collect()
}

/// The chunk whose end is to be found next; `None` when all are known.
pub fn begin(saved: &[CopyChunk]) -> Option<Chunk> {
    known(saved).last().map_or_else(|| Some(Chunk::first()), |last| last.next())
}

fn known(saved: &[CopyChunk]) -> impl Iterator<Item = Chunk> {
    let uppers = saved.iter().map(|saved| (!saved.upper.is_empty()).then(|| saved.upper.clone()));
    uppers.scan(Some(Chunk::first()), |begin, upper| {
        let chunk = Chunk { upper, ..begin.take()? };
        *begin = chunk.next();
        Some(chunk)
    })
}

/// A copy that was begun before and was not cut to its end goes on under a new plan, so that a save of the earlier process
/// that lands late does not mix with ours; true when its chunks are to be saved before anything is read.
pub fn renew_plan(saved: &mut [CopyChunk]) -> bool {
    let is_cut_anew = !saved.is_empty() && begin(saved).is_some();
    if is_cut_anew {
        let plan = Uuid::new_v4();
        saved.iter_mut().for_each(|chunk| chunk.plan = plan);
    }
    is_cut_anew
}

/// A session on the stream's own server.
#[derive(Debug)]
pub struct Session {
    /// To read with.
    pub select: Select,
    /// It sees everything before this place.
    seen: Option<Arc<Position>>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// When the source is away or refuses.
    pub fn open(config: &MysqlConfig) -> Result<Self> {
        Ok(Self { select: Select::open(config)?, seen: None })
    }

    /// Waits for a schema change of the table that is being committed: without GTID the stream may have told of it before
    /// `information_schema` does, but its lock is held until then.
    ///
    /// # Errors
    /// When the source is away. What else is wrong with the table whoever reads its columns will find.
    pub fn pass_schema_changes(&mut self, table: &TableName) -> Result<()> {
        let refused = self.select.connection()?.ask(&format!("SELECT 1 FROM {} LIMIT 0", quoted(table)))?;
        drop(refused);
        Ok(())
    }

    /// File and offset up to which the source has written by now.
    ///
    /// # Errors
    /// When the source is away, or does not say it for now.
    pub fn end_of_log(&mut self) -> Result<(String, u64)> {
        end_of_log(self.select.connection()?).map_err(try_again)
    }

    /// Waits until what it selects contains everything before `position`.
    ///
    /// # Errors
    /// When the source is away, is another server, or does not see it in time.
    pub fn see(&mut self, position: &Arc<Position>) -> Result<()> {
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, position)) {
            return Ok(());
        }
        let gtid_set = position.gtid_set.as_ref().filter(|set| !set.is_empty()).map(ToString::to_string);
        self.select.see(&position.server_uuid, gtid_set.as_deref())?;
        self.seen = Some(Arc::clone(position));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::chunks::Bound;

    const PLAN: Uuid = Uuid::from_u128(7);

    /// These chunks, each with its end and whether it is done.
    fn saved(chunks: &[(&str, u8)]) -> Vec<CopyChunk> {
        let chunk = |(number, &(upper, done)): (u32, &(&str, u8))| CopyChunk {
            plan: PLAN,
            chunk: number,
            upper: if upper.is_empty() { Vec::new() } else { vec![upper.to_owned()] },
            done,
            ..CopyChunk::default()
        };
        (0..).zip(chunks).map(chunk).collect()
    }

    fn bound(value: &str) -> Option<Bound> {
        Some(vec![value.to_owned()])
    }

    #[test]
    fn a_copy_that_was_cut_to_its_end_keeps_its_plan() {
        let mut saved = saved(&[("10", 1), ("20", 0), ("", 0)]);
        assert_eq!((renew_plan(&mut saved), begin(&saved), saved[0].plan), (false, None, PLAN));
        let chunk = |number, lower, upper| Chunk { number, lower, upper };
        assert_eq!(remaining(&saved), [chunk(1, bound("10"), bound("20")), chunk(2, bound("20"), None)]);
    }

    #[test]
    fn a_copy_that_was_not_goes_on_where_the_cuts_end_under_a_new_plan() {
        let mut saved = saved(&[("10", 0), ("20", 1)]);
        assert!(renew_plan(&mut saved) && saved[0].plan != PLAN && saved[1].plan == saved[0].plan);
        assert_eq!(begin(&saved), Some(Chunk { number: 2, lower: bound("20"), upper: None }));
        assert_eq!(remaining(&saved), [Chunk { number: 0, lower: None, upper: bound("10") }]);
    }

    #[test]
    fn a_new_copy_begins_at_the_first_key() {
        let mut none = Vec::new();
        assert_eq!((renew_plan(&mut none), begin(&none), remaining(&none)), (false, Some(Chunk::first()), Vec::new()));
    }
}
