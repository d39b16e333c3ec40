//! One table's copy: its chunks, and the rows of one as bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use crate::checkpoint::CopyChunk;
use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::message::{CopyOrder, TableIndex};
use crate::mysql::chunks::{Bound, Chunk, Cuts};
use crate::mysql::select::{Select, select_list};
use crate::position::{Position, Version};
use crate::rowbinary::{Body, ChunkPool};
use crate::schema::target::InsertColumns;
use crate::schema::types::TableName;
use crate::transcode::packet::{PacketPlan, copy_columns};
use crate::transcode::{Limits, RowPlan, RowsCursor};

/// A table to copy.
#[derive(Debug)]
pub struct CopyTable {
    index: TableIndex,
    shadow: Uuid,
    name: TableName,
    version: Version,
    position: Arc<Position>,
    cuts: Cuts,
    select_list: String,
    packets: PacketPlan,
    rows: RowPlan,
    insert: Arc<InsertColumns>,
    is_set_aside: Arc<AtomicBool>,
}

impl CopyTable {
    /// What `order` says, with rows of this version.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming the column that does not fit.
    pub fn new(order: &CopyOrder, version: Version) -> Result<Self> {
        let CopyOrder { source, target, .. } = order;
        let rows = RowPlan::compile(&copy_columns(&source.columns), &source.key, &target.columns)?;
        let insert = Arc::new(InsertColumns(rows.insert_columns()));
        Ok(Self {
            index: order.index,
            shadow: order.shadow,
            name: source.name.clone(),
            version,
            position: Arc::clone(&order.position),
            cuts: Cuts::of(source),
            select_list: select_list(&source.columns),
            packets: PacketPlan::compile(&source.columns, &source.key)?,
            rows,
            insert,
            is_set_aside: Arc::clone(&order.flag),
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

    /// Finds the chunks, and the number of rows in each (0 for the last one, which nobody counts); `None` when it `ends`
    /// before.
    ///
    /// # Errors
    /// When the source is away or refuses.
    pub fn plan(
        &self,
        select: &mut Select,
        chunk_rows: u64,
        ends: &dyn Fn() -> bool,
    ) -> Result<Option<(Vec<Chunk>, Vec<u64>)>> {
        let (mut chunks, mut rows) = (Vec::new(), Vec::new());
        let mut lower: Option<Bound> = None;
        for number in 0.. {
            if ends() {
                return Ok(None);
            }
            let upper = match self.cuts.is_whole() {
                true => None,
                false => next_end(select, &self.cuts.next_end(lower.as_ref(), chunk_rows))?,
            };
            let is_last = upper.is_none();
            chunks.push(Chunk { number, lower, upper: upper.clone() });
            rows.push(if is_last { 0 } else { chunk_rows });
            if is_last {
                break;
            }
            lower = upper;
        }
        Ok(Some((chunks, rows)))
    }

    /// The chunks as they are to be saved.
    pub fn saved(&self, chunks: &[Chunk], rows: &[u64]) -> Vec<CopyChunk> {
        let plan = Uuid::new_v4();
        let saved = |(chunk, &rows): (&Chunk, &u64)| CopyChunk {
            table: self.name.to_string(),
            version: self.version.0,
            shadow: self.shadow,
            plan,
            chunk: chunk.number,
            upper: chunk.upper.clone().unwrap_or_default(),
            rows,
            done: 0,
        };
        chunks.iter().zip(rows).map(saved).collect()
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

/// The chunks of a copy that are not done.
pub fn remaining(saved: &[CopyChunk]) -> Vec<Chunk> {
    let mut lower: Option<Bound> = None;
    let mut chunks = Vec::new();
    for saved in saved {
        let upper = (!saved.upper.is_empty()).then(|| saved.upper.clone());
        if saved.done == 0 {
            chunks.push(Chunk { number: saved.chunk, lower, upper: upper.clone() });
        }
        lower = upper;
    }
    chunks
}

fn next_end(select: &mut Select, query: &str) -> Result<Option<Bound>> {
    let rows = select.connection()?.rows(query)?;
    let Some(row) = rows.into_iter().next() else { return Ok(None) };
    let bound: Option<Bound> = row.into_iter().collect();
    bound.map(Some).ok_or_else(|| Error::new(ErrorKind::TableShape, "a key column is NULL"))
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

    /// Waits until what it selects contains everything before `position`.
    ///
    /// # Errors
    /// When the source is away, is another server, or does not see it in time.
    pub fn see(&mut self, position: &Arc<Position>) -> Result<()> {
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, position)) {
            return Ok(());
        }
        let gtid_set = position.gtid_set.as_ref().map(ToString::to_string);
        self.select.see(&position.server_uuid, gtid_set.as_deref())?;
        self.seen = Some(Arc::clone(position));
        Ok(())
    }
}
