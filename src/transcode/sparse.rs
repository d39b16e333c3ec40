//! Row images that are not plain ones of all columns: `binlog_row_image` other than FULL, and JSON diffs.
//!
//! Both are settings of a session, so each event says by its bitmaps which columns its images hold. Such a row is put
//! together column by column before it is written, in a slower loop than the plain one. It is exact or refused:
//! - A column that an update's after image lacks was not changed: it is what the before image has. When that lacks it
//!   too, nobody knows the row, and the table is set aside. So is one whose inserted rows lack columns, for their
//!   defaults are in no event.
//! - A tombstone needs the key and the version only: columns that are not there become the target type's default, NULL
//!   or zero or empty, which for every target type is one byte 1, or zero bytes.
//! - A JSON column that holds diffs is the document of the before image with them applied ([`patch`](super::patch)).
//!
//! Versions come from the lengths of the images as they are in the event, never from what is made of them (I2).
//!
//! Format of an after image of PARTIAL_UPDATE_ROWS (`sql/rpl_record.cc`): packed options; with bit 0, a bit for each JSON
//! column of the table, present or not, that says whether its value is diffs; then the image as usual. Diffs have the
//! four bytes of length before them that a document has.

use super::fault::ValueFault;
use super::image::{Fault, is_set, raw_value, take};
use super::plan::{ColumnOp, KeyRule, Op, RowBound, RowPlan};
use super::{Limits, RowsCursor, json, null, same_value};
use crate::binlog::cursor::Cursor;
use crate::binlog::rows::{RowsEvent, RowsKind};
use crate::error::{self, Error, ErrorKind};
use crate::position::Version;
use crate::rowbinary::{self, Body, ChunkPool};

/// Of the options before an after image, the one that says that bits of JSON columns follow.
const OPTION_PARTIAL_JSON: u64 = 1;
/// Columns that a text names.
const NAMED_COLUMNS: usize = 5;

/// How an event's images differ from plain ones of all columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sparse<'a> {
    /// A bit for each column, lowest first: whether the (before) images hold it.
    before: &'a [u8],
    /// Likewise of an update's after images.
    after: &'a [u8],
    /// Whether each after image begins with its options.
    has_options: bool,
}

impl<'a> Sparse<'a> {
    /// `None` when the event's images are plain.
    #[inline]
    pub fn of(event: &RowsEvent<'a>) -> Option<Self> {
        let sparse = Self { before: event.present_before, after: event.present_after, has_options: event.has_options };
        (!event.is_plain()).then_some(sparse)
    }

    /// Whether no image of the event holds column `index`.
    fn lacks(&self, index: usize) -> bool {
        !is_set(self.before, index) && !is_set(self.after, index)
    }
}

/// What a row has of a column.
#[derive(Debug, Clone, Copy)]
enum Cell<'a> {
    Absent,
    Null,
    /// With its length before it, if it has one.
    Value(&'a [u8]),
    /// A document and the diffs to apply to it, both with their lengths.
    Patched {
        document: &'a [u8],
        diffs: &'a [u8],
    },
}

impl<'a> Cell<'a> {
    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Absent | Self::Null => &[],
            Self::Value(bytes) | Self::Patched { diffs: bytes, .. } => bytes,
        }
    }

    /// For keys, which hold no diffs.
    fn value(self) -> Option<&'a [u8]> {
        match self {
            Self::Value(bytes) => Some(bytes),
            Self::Absent | Self::Null | Self::Patched { .. } => None,
        }
    }
}

/// The cells of one row in hand, used again for the next.
#[derive(Debug, Default)]
struct Row<'a> {
    before: Vec<Cell<'a>>,
    after: Vec<Cell<'a>>,
}

impl RowPlan {
    /// As [`RowPlan::append_rows`], for images that are not plain.
    #[cold]
    pub(super) fn append_sparse<'a>(
        &self,
        rows: &mut RowsCursor<'a>,
        sparse: Sparse<'a>,
        body: &mut Body,
        pool: &mut ChunkPool,
        limits: Limits,
    ) -> error::Result<()> {
        self.check_columns(rows.kind, sparse)?;
        let mut row = Row::default();
        while !rows.rest.is_empty() && !limits.are_reached(body) {
            let done = match rows.kind {
                RowsKind::Write => self.append_cells(rows, sparse, &mut row, body, pool, false),
                RowsKind::Delete => self.append_cells(rows, sparse, &mut row, body, pool, true),
                RowsKind::Update => self.append_update_cells(rows, sparse, &mut row, body, pool),
            };
            done.map_err(|fault| self.explain_value(fault))?;
        }
        Ok(())
    }

    /// Whether the event's images hold what its rows need.
    fn check_columns(&self, kind: RowsKind, sparse: Sparse<'_>) -> error::Result<()> {
        let is_needed = |index: &usize, column: &ColumnOp| match kind {
            RowsKind::Write => sparse.lacks(*index),
            RowsKind::Delete if self.key_end == 0 => sparse.lacks(*index),
            RowsKind::Delete => column.key != KeyRule::None && sparse.lacks(*index),
            // The old key must be there, not only the new one.
            RowsKind::Update if column.key != KeyRule::None => !is_set(sparse.before, *index),
            RowsKind::Update => sparse.lacks(*index),
        };
        let columns = self.columns.iter().enumerate();
        let missing: Vec<usize> =
            columns.filter(|(index, column)| is_needed(index, column)).map(|(index, _)| index).collect();
        if missing.is_empty() { Ok(()) } else { Err(self.lacking(kind, &missing)) }
    }

    fn lacking(&self, kind: RowsKind, missing: &[usize]) -> Error {
        let names = missing.iter().take(NAMED_COLUMNS).filter_map(|&index| self.source_name(index));
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let more = if missing.len() > NAMED_COLUMNS { ", .." } else { "" };
        let what = match kind {
            RowsKind::Write => "an INSERT",
            RowsKind::Update => "an UPDATE",
            RowsKind::Delete => "a DELETE",
        };
        let text = format!(
            "{what} was logged without {}{more}: SET PERSIST binlog_row_image='FULL', and in every session that has \
             another value",
            names.join(", ")
        );
        Error::new(ErrorKind::TableShape, text)
    }

    /// One image, one row.
    fn append_cells<'a>(
        &self,
        rows: &mut RowsCursor<'a>,
        sparse: Sparse<'a>,
        row: &mut Row<'a>,
        body: &mut Body,
        pool: &mut ChunkPool,
        deleted: bool,
    ) -> Result<(), ValueFault<'a>> {
        let rest = self.read(sparse.before, rows.rest, &mut row.before)?;
        let length = rows.rest.len() - rest.len();
        body.append(pool, self.room(length), |out| self.write_cells(&row.before, rows.version, deleted, out))?;
        body.version_max = body.version_max.max(rows.version.0);
        body.has_changes |= deleted;
        rows.version = rows.version.plus(rows.stride.of(length));
        rows.rest = rest;
        Ok(())
    }

    /// A before and an after image: a row, and a tombstone before it when the key changed.
    fn append_update_cells<'a>(
        &self,
        rows: &mut RowsCursor<'a>,
        sparse: Sparse<'a>,
        row: &mut Row<'a>,
        body: &mut Body,
        pool: &mut ChunkPool,
    ) -> Result<(), ValueFault<'a>> {
        let after = self.read(sparse.before, rows.rest, &mut row.before)?;
        let after_version = rows.version.plus(rows.stride.of(rows.rest.len() - after.len()));
        let mut image = after;
        let diffs = if sparse.has_options { self.options(&mut image)? } else { &[] };
        let rest = self.read(sparse.after, image, &mut row.after)?;
        self.complete(&row.before, &mut row.after, diffs)?;
        let key_changed = self.key_end > 0 && !self.same_key_cells(row);
        let room = self.room(rows.rest.len() - rest.len());
        body.append_rows(pool, if key_changed { 2 * room } else { room }, |out| {
            if key_changed {
                self.write_cells(&row.before, rows.version, true, out)?;
            }
            self.write_cells(&row.after, after_version, false, out)?;
            Ok(1 + usize::from(key_changed))
        })?;
        body.version_max = body.version_max.max(after_version.0);
        body.has_changes = true;
        rows.version = after_version.plus(rows.stride.of(after.len() - rest.len()));
        rows.rest = rest;
        Ok(())
    }

    /// The room to keep free for a row out of images of this length.
    fn room(&self, image_bytes: usize) -> usize {
        match self.bound {
            RowBound::Constant(bytes) => bytes,
            RowBound::ImagePlus(bytes) => bytes + image_bytes,
        }
    }

    /// Reads the image at the front of `images`, which holds the columns of `present`; returns what follows it.
    fn read<'a>(
        &self,
        present: &[u8],
        images: &'a [u8],
        cells: &mut Vec<Cell<'a>>,
    ) -> Result<&'a [u8], ValueFault<'a>> {
        let mut rest = images;
        let held = (0..self.columns.len()).filter(|&index| is_set(present, index)).count();
        let nulls = take(&mut rest, held.div_ceil(8)).map_err(|fault| ValueFault::new(0, fault))?;
        let mut number = 0;
        cells.clear();
        for (index, column) in self.columns.iter().enumerate() {
            let cell = match is_set(present, index) {
                true => {
                    cell(is_set(nulls, number), column, &mut rest).map_err(|fault| ValueFault::new(index, fault))?
                }
                false => Cell::Absent,
            };
            number += usize::from(is_set(present, index));
            cells.push(cell);
        }
        Ok(rest)
    }

    /// Takes the options off an after image: a bit for each JSON column whose value is diffs.
    fn options<'a>(&self, image: &mut &'a [u8]) -> Result<&'a [u8], ValueFault<'a>> {
        let truncated = |_| ValueFault::new(0, Fault::Truncated);
        let mut cursor = Cursor::new(image);
        let options = cursor.packed().map_err(truncated)?;
        if options & !OPTION_PARTIAL_JSON != 0 {
            return Err(ValueFault::new(0, Fault::UnknownOptions));
        }
        let json_columns = self.columns.iter().filter(|column| matches!(column.op, Op::Json(_))).count();
        let bytes = if options == 0 { 0 } else { json_columns.div_ceil(8) };
        let diffs = cursor.bytes(bytes).map_err(truncated)?;
        *image = cursor.rest();
        Ok(diffs)
    }

    /// Gives an after image what it has of the before image: columns that were not changed, and documents to patch.
    fn complete<'a>(&self, before: &[Cell<'a>], after: &mut [Cell<'a>], diffs: &[u8]) -> Result<(), ValueFault<'a>> {
        let mut json_columns = 0;
        for (index, ((column, old), new)) in self.columns.iter().zip(before).zip(after).enumerate() {
            let is_json = matches!(column.op, Op::Json(_));
            let is_diffs = is_json && is_set(diffs, json_columns);
            json_columns += usize::from(is_json);
            *new = match (*new, *old) {
                (Cell::Absent, old) => old,
                (Cell::Value(diffs), Cell::Value(document)) if is_diffs => Cell::Patched { document, diffs },
                (Cell::Value(diffs), _) if is_diffs => {
                    return Err(ValueFault { column: index, fault: Fault::NoDocument, bytes: diffs });
                }
                (new, _) => new,
            };
        }
        Ok(())
    }

    fn same_key_cells(&self, row: &Row<'_>) -> bool {
        let mut cells = self.columns.iter().zip(&row.before).zip(&row.after).take(self.key_end);
        cells.all(|((column, old), new)| same_value(column.key, old.value(), new.value()))
    }

    fn write_cells<'a>(
        &self,
        cells: &[Cell<'a>],
        version: Version,
        deleted: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueFault<'a>> {
        for (index, (column, &cell)) in self.columns.iter().zip(cells).enumerate() {
            let written = match cell {
                Cell::Absent => absent(column, deleted, out),
                Cell::Null => null(column, out),
                Cell::Value(mut bytes) => self.value(column, &mut bytes, out),
                Cell::Patched { document, diffs } => patched(column, document, diffs, out),
            };
            written.map_err(|fault| ValueFault { column: index, fault, bytes: cell.bytes() })?;
        }
        rowbinary::version_and_deleted(out, version.0, deleted);
        Ok(())
    }
}

fn cell<'a>(is_null: bool, column: &ColumnOp, rest: &mut &'a [u8]) -> Result<Cell<'a>, Fault> {
    if is_null {
        return Ok(Cell::Null);
    }
    let start = *rest;
    raw_value(rest, column.width)?;
    let length = start.len() - rest.len();
    start.get(..length).map(Cell::Value).ok_or(Fault::Truncated)
}

/// A tombstone's column that the image lacks. Any other row has all columns.
fn absent(column: &ColumnOp, deleted: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    if !deleted {
        return Err(Fault::Truncated);
    }
    match column.nullable {
        true => out.push(1),
        false => out.resize(out.len() + column.op.default_bytes(), 0),
    }
    Ok(())
}

fn patched(column: &ColumnOp, document: &[u8], diffs: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let Op::Json(prefix) = column.op else { return Err(Fault::NoDocument) };
    if column.nullable {
        out.push(0);
    }
    json::patched_json(document, diffs, prefix, out)
}
