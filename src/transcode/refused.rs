//! Rows that are refused, as far as they can be read: what an operator needs to find them and to mend them.
//!
//! Two kinds of rows come here: a row image that no row of the target can be made of, and rows that were made and that
//! ClickHouse does not take. Of both the bytes are kept as they are (an image of the binary log, a row of RowBinary), and
//! beside them our reading of each column, made with the very plan that refused the row: a column that cannot be carried
//! over is shown as MySQL has it, all others as ClickHouse would have. What cannot be read is left out, never guessed.
//! Long images are cut, and say so by their length. Cold: runs once per table that is set aside. Pure.

use crate::binlog::rows::RowsKind;
use crate::position::Version;
use crate::rowbinary::Body;
use crate::schema::target::InsertColumns;

use super::image::{raw_value, take};
use super::layout::{Column, Layout};
use super::plan::{ColumnOp, ROW_TAIL_BYTES, RowPlan};
use super::sparse::{Cell, Row};
use super::{RowsCursor, null};

/// Of an image no more is kept.
const IMAGE_BYTES_MAX: usize = 256 << 10;
/// Of one refused batch no more rows are kept, and no more bytes of them.
pub const ROWS_MAX: usize = 100;
const ROWS_BYTES_MAX: usize = 1 << 20;

/// What a refused row was to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// An INSERT.
    Insert,
    /// An UPDATE.
    Update,
    /// A DELETE; or the old key of an update that changed it, in a batch.
    Delete,
    /// An INSERT or the new row of an UPDATE: a batch does not tell.
    Write,
    /// A row of a table's copy.
    Copy,
}

/// A row that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// What it was to do.
    pub kind: RefusedKind,
    /// Its version, or that of its place in the binary log.
    pub version: Version,
    /// The row before; of an UPDATE or DELETE.
    pub before: Image,
    /// The row after; of all but a DELETE.
    pub after: Image,
}

/// A row's bytes and what they say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// The bytes, cut when they are many.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub len: usize,
    /// Each column that can be read, by its name, as text.
    pub values: Vec<(String, String)>,
}

impl Image {
    fn new(bytes: &[u8], values: Vec<(String, String)>) -> Self {
        let kept = bytes.get(..IMAGE_BYTES_MAX).unwrap_or(bytes);
        Self { bytes: kept.to_vec(), len: bytes.len(), values }
    }
}

impl RefusedKind {
    /// The name that people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Write => "write",
            Self::Copy => "copy",
        }
    }
}

impl RowPlan {
    /// The row at which [`RowPlan::append_rows`] has left `rows`.
    #[cold]
    #[inline(never)]
    pub fn refused_row(&self, rows: &RowsCursor<'_>) -> RefusedRow {
        let all = vec![u8::MAX; self.columns.len().div_ceil(8)];
        let present = rows.sparse.as_ref().map_or(all.as_slice(), |sparse| sparse.before);
        let (mut row, images) = (Row::default(), rows.rest);
        let end = self.read(present, images, &mut row.before).unwrap_or_default();
        let first = images.get(..images.len() - end.len()).unwrap_or_default();
        let (before, after) = match rows.kind {
            RowsKind::Write => (Image::default(), Image::new(first, self.values(&row.before))),
            RowsKind::Delete => (Image::new(first, self.values(&row.before)), Image::default()),
            RowsKind::Update => {
                let second = self.after_image(rows, end, &mut row);
                (Image::new(first, self.values(&row.before)), Image::new(second, self.values(&row.after)))
            }
        };
        let kind = match rows.kind {
            RowsKind::Write if rows.stride.is_none() => RefusedKind::Copy,
            RowsKind::Write => RefusedKind::Insert,
            RowsKind::Update => RefusedKind::Update,
            RowsKind::Delete => RefusedKind::Delete,
        };
        RefusedRow { kind, version: rows.version, before, after }
    }

    /// The after image at the front of `images`, options included, and what the row has after it.
    fn after_image<'a>(&self, rows: &RowsCursor<'a>, images: &'a [u8], row: &mut Row<'a>) -> &'a [u8] {
        let all = vec![u8::MAX; self.columns.len().div_ceil(8)];
        let present = rows.sparse.as_ref().map_or(all.as_slice(), |sparse| sparse.after);
        let mut image = images;
        let has_options = rows.sparse.as_ref().is_some_and(|sparse| sparse.has_options);
        let diffs = if has_options { self.options(&mut image).unwrap_or_default() } else { &[] };
        let end = self.read(present, image, &mut row.after).unwrap_or_default();
        // What a document and its diffs do not fit together is the fault, or none: the cells stay as they are.
        let _ = self.complete(&row.before, &mut row.after, diffs);
        images.get(..images.len() - end.len()).unwrap_or_default()
    }

    fn values(&self, cells: &[Cell<'_>]) -> Vec<(String, String)> {
        let named = self.columns.iter().zip(cells).enumerate();
        let value = |(index, (column, &cell)): (usize, (&ColumnOp, &Cell<'_>))| {
            Some((self.source_name(index)?.to_owned(), self.value_of(index, column, cell)?))
        };
        named.filter_map(value).collect()
    }

    /// A value as text; `None` when the image does not hold it.
    pub(super) fn value_of(&self, index: usize, column: &ColumnOp, cell: Cell<'_>) -> Option<String> {
        let mut out = Vec::new();
        let written = match cell {
            Cell::Absent => return None,
            Cell::Null => null(column, &mut out),
            Cell::Value(mut bytes) => self.value(column, &mut bytes, &mut out),
            Cell::Patched { document, diffs } => self.patched(column, document, diffs, &mut out),
        };
        match written {
            Ok(()) => Some(Column::of(self.target_column(index)?).ok()?.whole_text(&out)),
            Err(_) if matches!(cell, Cell::Null) => Some("NULL".to_owned()),
            Err(fault) => {
                let mut bytes = cell.bytes();
                let raw = raw_value(&mut bytes, column.width).unwrap_or_default();
                Some(format!("{} (not carried over)", self.value_text(column, fault, raw)))
            }
        }
    }
}

/// The first rows of a batch that was refused, from row number `first` on.
pub fn refused_rows(columns: &InsertColumns, body: &Body, first: usize) -> Vec<RefusedRow> {
    let Ok(layout) = Layout::new(&columns.0, &[]) else { return Vec::new() };
    let rows = body.chunks().iter().flat_map(|chunk| Rows { layout: &layout, rest: chunk });
    let mut bytes = 0;
    let fits = |row: &&[u8]| {
        bytes += row.len().min(IMAGE_BYTES_MAX);
        bytes <= ROWS_BYTES_MAX
    };
    let kept: Vec<&[u8]> = rows.skip(first).take(ROWS_MAX).collect();
    kept.iter().copied().take_while(fits).filter_map(|row| refused(&layout, row)).collect()
}

fn refused(layout: &Layout, row: &[u8]) -> Option<RefusedRow> {
    let mut tail = row.get(row.len().checked_sub(ROW_TAIL_BYTES)?..)?;
    let version = take(&mut tail, 8).ok()?.try_into().ok().map(u64::from_le_bytes).map(Version)?;
    let spans = layout.spans(row)?.into_iter();
    let text = |(column, span): (&Column, std::ops::Range<usize>)| {
        (column.name.clone(), column.whole_text(row.get(span).unwrap_or_default()))
    };
    let image = Image::new(row, layout.columns.iter().zip(spans).map(text).collect());
    Some(match tail {
        [0] => RefusedRow { kind: RefusedKind::Write, version, before: Image::default(), after: image },
        _ => RefusedRow { kind: RefusedKind::Delete, version, before: image, after: Image::default() },
    })
}

/// The rows of a chunk.
struct Rows<'a> {
    layout: &'a Layout,
    rest: &'a [u8],
}

impl<'a> Iterator for Rows<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let len = self.layout.row_len(self.rest).filter(|&len| len > 0)?;
        let (row, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(row)
    }
}
