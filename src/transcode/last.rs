//! The last row of each key, of rows that were written before their transaction's outcome was known (XA).
//!
//! They all get one version, that of the commit, and equal versions have no order: of several rows of a key only the last
//! one may go out. They are compared as they stand in RowBinary, so that whatever way a row was made counts the same.
//! The walk knows the width of each value from the plan that wrote it; a body that another plan wrote is an error.

use std::hash::Hasher;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use rustc_hash::FxHasher;

use super::RowPlan;
use super::image::take;
use super::plan::{ColumnOp, KeyRule, ROW_TAIL_BYTES, Written};
use super::{Limits, same_value};
use crate::error::{Error, ErrorKind, Result};
use crate::position::Version;
use crate::rowbinary::{self, Body, ChunkPool};

/// What is left of a body: one row for each key, in the order in which the keys appear first.
#[derive(Debug)]
pub struct LastRows<'a> {
    rows: Vec<&'a [u8]>,
    next: usize,
    has_changes: bool,
}

impl LastRows<'_> {
    /// Whether all were appended.
    pub fn is_done(&self) -> bool {
        self.next >= self.rows.len()
    }

    /// Appends the next rows, with this version, until none is left or `body` is full.
    pub fn append(&mut self, version: Version, body: &mut Body, pool: &mut ChunkPool, limits: Limits) {
        while let Some(row) = self.rows.get(self.next)
            && !limits.are_reached(body)
        {
            let (values, tail) = row.split_at(row.len() - ROW_TAIL_BYTES);
            let is_deleted = tail.last() == Some(&1);
            body.append_exactly(pool, row.len(), |out| {
                out.extend_from_slice(values);
                rowbinary::version_and_deleted(out, version.0, is_deleted);
            });
            self.next += 1;
            body.version_max = body.version_max.max(version.0);
            body.has_changes |= self.has_changes;
        }
    }
}

impl RowPlan {
    /// The last row of each key among those that this plan has written to `held`; without a key, all of them.
    ///
    /// # Errors
    /// When `held` is another plan's.
    pub fn last_rows<'a>(&self, held: &'a Body) -> Result<LastRows<'a>> {
        let mut last = LastRows { rows: Vec::new(), next: 0, has_changes: held.has_changes };
        let mut by_key = HashTable::with_capacity(if self.key_end == 0 { 0 } else { held.rows() });
        for chunk in held.chunks() {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let row = self.take_row(&mut rest).ok_or_else(foreign_body)?;
                match self.earlier(&mut by_key, &last.rows, row).and_then(|index| last.rows.get_mut(index)) {
                    Some(earlier) => *earlier = row,
                    None => last.rows.push(row),
                }
            }
        }
        Ok(last)
    }

    fn take_row<'a>(&self, rows: &mut &'a [u8]) -> Option<&'a [u8]> {
        let start = *rows;
        self.columns.iter().try_for_each(|column| take_value(column, rows).map(|_| ()))?;
        take(rows, ROW_TAIL_BYTES).ok()?;
        start.get(..start.len() - rows.len())
    }

    /// The index in `list` of the earlier row of the same key; this row's is noted otherwise.
    fn earlier(&self, by_key: &mut HashTable<usize>, list: &[&[u8]], row: &[u8]) -> Option<usize> {
        if self.key_end == 0 {
            return None;
        }
        let of = |index: &usize| list.get(*index).copied().unwrap_or_default();
        match by_key.entry(
            self.hash_key(row),
            |index| self.is_same_key(of(index), row),
            |index| self.hash_key(of(index)),
        ) {
            Entry::Occupied(entry) => Some(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(list.len());
                None
            }
        }
    }

    /// The values of the key's columns; rows were walked before, so none is missing.
    fn key_values<'r>(&self, mut row: &'r [u8]) -> impl Iterator<Item = (KeyRule, &'r [u8])> {
        let columns = self.columns.iter().take(self.key_end);
        columns
            .map_while(move |column| Some((column.key, take_value(column, &mut row)?)))
            .filter(|(rule, _)| *rule != KeyRule::None)
    }

    fn is_same_key(&self, one: &[u8], other: &[u8]) -> bool {
        let mut pairs = self.key_values(one).zip(self.key_values(other));
        pairs.all(|((rule, one), (_, other))| same_value(rule, Some(one), Some(other)))
    }

    fn hash_key(&self, row: &[u8]) -> u64 {
        let mut hasher = FxHasher::default();
        for (rule, value) in self.key_values(row) {
            match rule {
                KeyRule::None | KeyRule::Bytes => {
                    hasher.write_usize(value.len());
                    hasher.write(value);
                }
                // All but the sign, which zero has two of.
                KeyRule::Float32 | KeyRule::Float64 => {
                    value.iter().rev().skip(1).for_each(|byte| hasher.write_u8(*byte))
                }
            }
        }
        hasher.finish()
    }
}

/// A column's value, NULL flag and length included.
fn take_value<'a>(column: &ColumnOp, row: &mut &'a [u8]) -> Option<&'a [u8]> {
    let start = *row;
    let is_null = column.nullable && take(row, 1).ok()? == [1];
    if !is_null {
        let bytes = match column.op.written() {
            Written::Fixed(bytes) => bytes,
            Written::String => take_leb128(row)?,
            Written::Floats => take_leb128(row)?.checked_mul(size_of::<f32>())?,
        };
        take(row, bytes).ok()?;
    }
    start.get(..start.len() - row.len())
}

fn take_leb128(row: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = *take(row, 1).ok()?.first()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn foreign_body() -> Error {
    Error::new(ErrorKind::TableShape, "held rows are not those of their plan")
}
