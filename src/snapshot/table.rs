//! One table's copy: its chunks, and the rows of one as bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use crate::checkpoint::CopyChunk;
use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::TableIndex;
use crate::mysql::chunks::{Bound, Chunk, Cuts};
use crate::mysql::select::{Select, select_list};
use crate::position::{Position, Version};
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::catalog::SourceTable;
use crate::schema::target::{InsertTarget, TargetTable};
use crate::schema::types::TableName;
use crate::transcode::packet::{PacketPlan, copy_columns};
use crate::transcode::{Limits, RowPlan, RowsCursor};

/// How long a server may take to see what it has said it has executed.
const EXECUTED_SECONDS: u32 = 60;

/// A table to copy.
#[derive(Debug)]
pub struct CopyTable {
    index: TableIndex,
    name: TableName,
    version: Version,
    cuts: Cuts,
    select_list: String,
    packets: PacketPlan,
    rows: RowPlan,
    target: Arc<InsertTarget>,
    is_set_aside: Arc<AtomicBool>,
    /// Of a copy that was begun before.
    saved: Vec<CopyChunk>,
    /// The name of its cuts.
    plan: Uuid,
}

impl CopyTable {
    /// The copy of `source`, the router's table `index`, to `target`; `saved` are its chunks if it was begun before, and
    /// `is_set_aside` is raised when it is to end.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming the column that does not fit.
    pub fn new(
        index: TableIndex,
        source: &SourceTable,
        target: &TargetTable,
        version: Version,
        saved: Vec<CopyChunk>,
    ) -> Result<Self> {
        let rows = RowPlan::compile(&copy_columns(&source.columns), &source.key, &target.columns)?;
        let target = Arc::new(InsertTarget { table: target.name.clone(), columns: rows.insert_columns() });
        let (saved, plan) = planned(saved);
        Ok(Self {
            index,
            name: source.name.clone(),
            version,
            cuts: Cuts::of(source),
            select_list: select_list(&source.columns),
            packets: PacketPlan::compile(&source.columns, &source.key)?,
            rows,
            target,
            is_set_aside: Arc::default(),
            saved,
            plan,
        })
    }

    /// Copies only the rows that fulfil this condition.
    #[must_use]
    pub fn only(self, condition: Option<&str>) -> Self {
        Self { cuts: self.cuts.only(condition), ..self }
    }

    /// The router's table.
    pub fn index(&self) -> TableIndex {
        self.index
    }

    /// The source's table.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Where its rows go.
    pub fn target(&self) -> Arc<InsertTarget> {
        Arc::clone(&self.target)
    }

    /// Raised by the router when the copy is to end.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_set_aside)
    }

    /// Whether the copy is to end.
    pub fn is_set_aside(&self) -> bool {
        self.is_set_aside.load(Ordering::Relaxed)
    }

    /// The chunks as they are saved.
    pub fn saved_chunks(&self) -> &[CopyChunk] {
        &self.saved
    }

    /// Whether it was begun before and was not cut to its end: then it goes on under a new plan, so that a save of the
    /// earlier process that lands late does not mix with ours. Its chunks are to be saved before anything is read.
    pub fn is_cut_anew(&self) -> bool {
        !self.saved.is_empty() && self.begin().is_some()
    }

    /// Its known chunks that are not done.
    pub fn remaining(&self) -> Vec<Chunk> {
        let known = self.known().zip(&self.saved);
        known.filter(|(_, saved)| saved.done == 0).map(|(chunk, _)| chunk).collect()
    }

    /// The chunk whose end is to be found next; `None` when all are known.
    pub fn begin(&self) -> Option<Chunk> {
        self.known().last().map_or_else(|| Some(Chunk::first()), |last| last.next())
    }

    fn known(&self) -> impl Iterator<Item = Chunk> {
        let uppers = self.saved.iter().map(|saved| (!saved.upper.is_empty()).then(|| saved.upper.clone()));
        uppers.scan(Some(Chunk::first()), |begin, upper| {
            let chunk = Chunk { upper, ..begin.take()? };
            *begin = chunk.next();
            Some(chunk)
        })
    }

    /// The chunk that begins where `begin` does, with its end: `chunk_rows` further on, or the table's.
    ///
    /// # Errors
    /// When the source is away or refuses.
    pub fn cut(&self, select: &mut Select, begin: Chunk, chunk_rows: u64) -> Result<Chunk> {
        let upper = match self.cuts.is_whole() {
            true => None,
            false => next_end(select, &self.cuts.next_end(begin.lower.as_ref(), chunk_rows))?,
        };
        Ok(Chunk { upper, ..begin })
    }

    /// A chunk as it is to be saved; nobody counts the rows of the last one.
    pub fn saved(&self, chunk: &Chunk, chunk_rows: u64) -> CopyChunk {
        CopyChunk {
            table: self.name.to_string(),
            version: self.version.0,
            plan: self.plan,
            chunk: chunk.number,
            upper: chunk.upper.clone().unwrap_or_default(),
            rows: if chunk.upper.is_some() { chunk_rows } else { 0 },
            done: 0,
        }
    }

    /// Starts to read a chunk.
    ///
    /// # Errors
    /// When the source is away or refuses, or the table is another than it was.
    pub fn rows<'a>(&'a self, select: &'a mut Select, chunk: &Chunk) -> Result<ChunkRows<'a>> {
        select.run(&self.cuts.select(&self.select_list, chunk))?;
        self.packets.check(select.columns())?;
        Ok(ChunkRows { table: self, select, image: Vec::new() })
    }
}

/// The rows of a chunk.
pub struct ChunkRows<'a> {
    table: &'a CopyTable,
    select: &'a mut Select,
    image: Vec<u8>,
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
            let mut row = RowsCursor::copied(&self.image, self.table.version);
            self.table.rows.append_rows(&mut row, &mut body, &mut pool, Limits::NONE)?;
        }
        Ok((!body.is_empty()).then_some((body, pool.held_bytes())))
    }
}

/// The chunks, and the plan that they and those to come are of: theirs when they are all, else a new one.
fn planned(mut saved: Vec<CopyChunk>) -> (Vec<CopyChunk>, Uuid) {
    let complete = saved.last().filter(|last| last.upper.is_empty());
    let plan = complete.map_or_else(Uuid::new_v4, |last| last.plan);
    saved.iter_mut().for_each(|chunk| chunk.plan = plan);
    (saved, plan)
}

fn next_end(select: &mut Select, query: &str) -> Result<Option<Bound>> {
    let rows = select.connection()?.rows(query)?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let bound: Option<Bound> = row.into_iter().collect();
    bound.map(Some).ok_or_else(|| Error::new(ErrorKind::TableShape, "a key column is NULL"))
}

/// A session that sees everything from before the stream's start: on the stream's own server, after its transactions.
///
/// # Errors
/// When the source is away, is another server, or does not see them in time.
pub fn connect(config: &MysqlConfig, start: &Position) -> Result<Select> {
    let mut select = Select::open(config)?;
    let connection = select.connection()?;
    let server_uuid = connection.rows("SELECT @@server_uuid")?;
    if server_uuid != [[Some(start.server_uuid.clone())]] {
        let text = format!("the copy reached another server than the stream, whose uuid is {}", start.server_uuid);
        return Err(Error::new(ErrorKind::LostPosition, text));
    }
    if let Some(set) = &start.gtid_set {
        let query = format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{set}', {EXECUTED_SECONDS})");
        if connection.rows(&query)? != [[Some("0".to_owned())]] {
            let text = format!("the source has not executed {set} after {EXECUTED_SECONDS} s");
            return Err(Error::new(ErrorKind::SourceDown, text));
        }
    }
    Ok(select)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::target::TargetColumn;
    use crate::schema::types::{SourceColumn, SourceType};

    const PLAN: Uuid = Uuid::from_u128(7);

    /// A copy of which these chunks were saved, each with its end and whether it is done.
    fn copy(saved: &[(&str, u8)]) -> CopyTable {
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let ty = SourceType::Int { bytes: 4, unsigned: false };
        let columns = vec![SourceColumn { name: "id".to_owned(), ty, nullable: false }];
        let source = SourceTable { name: name.clone(), columns, key: vec![0], allows_zero_dates: false };
        let column = |(name, ty): (&str, &str)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() };
        let columns = [("id", "Int32"), ("_version", "UInt64"), ("_is_deleted", "UInt8")].map(column).into();
        let chunk = |(number, &(upper, done)): (u32, &(&str, u8))| CopyChunk {
            plan: PLAN,
            chunk: number,
            upper: if upper.is_empty() { Vec::new() } else { vec![upper.to_owned()] },
            done,
            ..CopyChunk::default()
        };
        let saved = (0..).zip(saved).map(chunk).collect();
        CopyTable::new(0, &source, &TargetTable { name, columns }, Version(1), saved).unwrap()
    }

    fn bound(value: &str) -> Option<Bound> {
        Some(vec![value.to_owned()])
    }

    #[test]
    fn a_copy_that_was_cut_to_its_end_keeps_its_plan() {
        let copy = copy(&[("10", 1), ("20", 0), ("", 0)]);
        assert_eq!((copy.is_cut_anew(), copy.begin(), copy.plan), (false, None, PLAN));
        let chunk = |number, lower, upper| Chunk { number, lower, upper };
        assert_eq!(copy.remaining(), [chunk(1, bound("10"), bound("20")), chunk(2, bound("20"), None)]);
    }

    #[test]
    fn a_copy_that_was_not_goes_on_where_the_cuts_end_under_a_new_plan() {
        let copy = copy(&[("10", 0), ("20", 1)]);
        assert!(copy.is_cut_anew() && copy.plan != PLAN);
        assert!(copy.saved_chunks().iter().all(|chunk| chunk.plan == copy.plan));
        assert_eq!(copy.begin(), Some(Chunk { number: 2, lower: bound("20"), upper: None }));
        assert_eq!(copy.remaining(), [Chunk { number: 0, lower: None, upper: bound("10") }]);
        assert_eq!(copy.saved(&copy.begin().unwrap(), 1000).rows, 0, "the last one is not counted");
    }

    #[test]
    fn a_new_copy_begins_at_the_first_key() {
        let copy = copy(&[]);
        assert_eq!((copy.is_cut_anew(), copy.begin(), copy.remaining()), (false, Some(Chunk::first()), Vec::new()));
    }
}
