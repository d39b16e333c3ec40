//! Row images that are not plain ones of all columns: `binlog_row_image` other than FULL, and JSON diffs.
//!
//! Both are settings of a session, so each event says by its bitmaps which columns its images hold. Such a row is put
//! together column by column before it is written, in a slower loop than the plain one. It is exact or refused:
//! - A column that an update's after image lacks was not changed: it is what the before image has. When that lacks it
//!   too, nobody knows the row, and the table is set aside. So is one whose inserted rows lack columns, for their
//!   defaults are in no event.
//! - A tombstone needs the key and the version only: columns that are not there, or hold what cannot be carried over,
//!   become the target type's default, NULL or zero or empty, which for every target type is one byte 1, or zero bytes.
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
    pub(super) before: &'a [u8],
    /// Likewise of an update's after images.
    pub(super) after: &'a [u8],
    /// Whether each after image begins with its options.
    pub(super) has_options: bool,
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
pub(super) enum Cell<'a> {
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
    pub(super) fn bytes(self) -> &'a [u8] {
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
pub(super) struct Row<'a> {
    pub(super) before: Vec<Cell<'a>>,
    pub(super) after: Vec<Cell<'a>>,
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
            RowsKind::Update if self.is_log || column.key != KeyRule::None => !is_set(sparse.before, *index),
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
        rows.version = rows.version.plus(rows.step(length));
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
        let after_version = rows.version.plus(rows.step(rows.rest.len() - after.len()));
        let mut image = after;
        let diffs = if sparse.has_options { self.options(&mut image)? } else { &[] };
        let rest = self.read(sparse.after, image, &mut row.after)?;
        self.complete(&row.before, &mut row.after, diffs)?;
        let key_changed = self.is_log || (self.key_end > 0 && !self.same_key_cells(row));
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
        rows.version = after_version.plus(rows.step(after.len() - rest.len()));
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
    pub(super) fn read<'a>(
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
    pub(super) fn options<'a>(&self, image: &mut &'a [u8]) -> Result<&'a [u8], ValueFault<'a>> {
        let truncated = |_| ValueFault::new(0, Fault::Truncated);
        let mut cursor = Cursor::new(image);
        let options = cursor.packed().map_err(truncated)?;
        if options & !OPTION_PARTIAL_JSON != 0 {
            return Err(ValueFault::new(0, Fault::UnknownOptions));
        }
        let json_columns = self.columns.iter().filter(|column| matches!(self.reading(column.op), Op::Json(_))).count();
        let bytes = if options == 0 { 0 } else { json_columns.div_ceil(8) };
        let diffs = cursor.bytes(bytes).map_err(truncated)?;
        *image = cursor.rest();
        Ok(diffs)
    }

    /// Gives an after image what it has of the before image: columns that were not changed, and documents to patch.
    pub(super) fn complete<'a>(
        &self,
        before: &[Cell<'a>],
        after: &mut [Cell<'a>],
        diffs: &[u8],
    ) -> Result<(), ValueFault<'a>> {
        let mut json_columns = 0;
        for (index, ((column, old), new)) in self.columns.iter().zip(before).zip(after).enumerate() {
            let is_json = matches!(self.reading(column.op), Op::Json(_));
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

    /// Appends the tombstone at the front of `images`, which are plain, some value of which is bad; returns what follows it.
    #[cold]
    #[inline(never)]
    pub(super) fn write_key<'a>(
        &self,
        images: &'a [u8],
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], ValueFault<'a>> {
        let (all, mut cells) = (vec![u8::MAX; self.columns.len().div_ceil(8)], Vec::new());
        let rest = self.read(&all, images, &mut cells)?;
        self.write_cells(&cells, version, true, out)?;
        Ok(rest)
    }

    /// Of a tombstone, what the key does not need may be bad: it becomes what an absent column is.
    fn write_cells<'a>(
        &self,
        cells: &[Cell<'a>],
        version: Version,
        deleted: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ValueFault<'a>> {
        for (index, (column, &cell)) in self.columns.iter().zip(cells).enumerate() {
            let start = out.len();
            let written = match cell {
                Cell::Absent => self.absent(column, deleted, out),
                Cell::Null => null(column, out),
                Cell::Value(mut bytes) => self.value(column, &mut bytes, out),
                Cell::Patched { document, diffs } => self.patched(column, document, diffs, out),
            };
            let written = written.or_else(|fault| {
                let is_whole = !matches!(fault, Fault::Truncated | Fault::TooLong);
                let is_key_enough = deleted && !self.is_log && self.key_end > 0 && column.key == KeyRule::None;
                out.truncate(start);
                if is_whole && is_key_enough { self.absent(column, true, out) } else { Err(fault) }
            });
            written.map_err(|fault| ValueFault { column: index, fault, bytes: cell.bytes() })?;
        }
        rowbinary::version_and_deleted(out, version.0, deleted);
        Ok(())
    }

    pub(super) fn patched(
        &self,
        column: &ColumnOp,
        document: &[u8],
        diffs: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        if column.nullable {
            out.push(0);
        }
        let start = out.len();
        self.patched_text(column, document, diffs, out)?;
        match self.check_document(column.op, out, start) {
            Err(Fault::NotKept) if self.is_null_instead(column) => {
                out.truncate(start);
                out.last_mut().map_or(Err(Fault::NotKept), |flag| {
                    *flag = 1;
                    Ok(())
                })
            }
            done => done,
        }
    }

    /// The text of a document with diffs applied, without a NULL flag.
    pub(super) fn patched_text(
        &self,
        column: &ColumnOp,
        document: &[u8],
        diffs: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let Op::Json(prefix) = self.reading(column.op) else { return Err(Fault::NoDocument) };
        json::patched_json(document, diffs, prefix, out)
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

impl RowPlan {
    /// A tombstone's column that the image lacks. Any other row has all columns.
    fn absent(&self, column: &ColumnOp, deleted: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
        if !deleted {
            return Err(Fault::Truncated);
        }
        match column.nullable {
            true => out.push(1),
            false => self.default_value(column.op, out),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NO_LIMITS, START, int, plan, varchar};
    use super::super::{RowsKind, Stride};
    use super::*;
    use crate::schema::types::SourceType;

    /// A JSON column, an INT key, a VARCHAR that may be NULL, and a second JSON column that may be NULL.
    fn four() -> RowPlan {
        plan(&[(SourceType::Json, false), (int(), false), (varchar(80), true), (SourceType::Json, true)], &[1])
    }

    fn cursor<'a>(kind: RowsKind, sparse: Sparse<'a>, images: &'a [u8]) -> RowsCursor<'a> {
        RowsCursor { sparse: Some(sparse), ..RowsCursor::plain(kind, images, START, Stride::Bytes) }
    }

    fn rows(plan: &RowPlan, kind: RowsKind, sparse: Sparse<'_>, images: &[u8]) -> error::Result<Vec<u8>> {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        let mut rows = cursor(kind, sparse, images);
        plan.append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS)?;
        assert!(rows.rest.is_empty());
        assert_eq!(rows.version.0, START.0 + images.len() as u64, "the images' own lengths count");
        assert_eq!(body.has_changes, kind != RowsKind::Write);
        Ok(body.chunks().concat())
    }

    fn tail(offset: usize, deleted: bool) -> Vec<u8> {
        let mut tail = Vec::new();
        rowbinary::version_and_deleted(&mut tail, START.0 + offset as u64, deleted);
        tail
    }

    /// A document of one number: its length of 4 bytes, a type byte, the number.
    const ONE: &[u8] = b"\x03\0\0\0\x05\x01\0";
    /// `[1]`, and diffs that make it `[2]`.
    const LIST: &[u8] = b"\x08\0\0\0\x02\x01\0\x07\0\x05\x01\0";
    const TO_TWO: &[u8] = b"\x0a\0\0\0\0\x04$[0]\x03\x05\x02\0";
    const KEY: &[u8] = b"\x07\0\0\0";

    #[test]
    fn an_update_of_a_log_of_changes_is_both_of_its_images() {
        let source = [crate::schema::types::SourceColumn { name: "a".to_owned(), ty: int(), nullable: false }];
        let target = [("a", "Int32"), ("_version", "UInt64"), ("_is_deleted", "UInt8"), ("_n", "UInt64")];
        let target =
            target.map(|(name, ty)| crate::schema::target::TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        let log = RowPlan::compile(&source, &[], &target).unwrap();
        let images = b"\0\x07\0\0\0\0\x08\0\0\0";
        let expected = [&images[1..5], &tail(0, true), &images[6..], &tail(5, false)].concat();
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        let mut plain = RowsCursor::plain(RowsKind::Update, images, START, Stride::Bytes);
        log.append_rows(&mut plain, &mut body, &mut pool, NO_LIMITS).unwrap();
        assert_eq!(body.chunks().concat(), expected);
        let sparse = |before| Sparse { before, after: &[1], has_options: false };
        assert_eq!(rows(&log, RowsKind::Update, sparse(&[1]), images).unwrap(), expected);
        let error = rows(&log, RowsKind::Update, sparse(&[0]), b"\0\0\x08\0\0\0").unwrap_err();
        assert!(error.text.contains("was logged without `a`"), "{error}");
        let without_key = RowPlan::compile(&source, &[], &target[..3]).unwrap();
        assert!(log.is_log() && !without_key.is_log());
    }

    #[test]
    fn a_deletion_needs_its_key() {
        let sparse = Sparse { before: &[2], after: &[2], has_options: false };
        let expected = [&[0][..], KEY, &[1, 1], &tail(0, true)].concat();
        assert_eq!(rows(&four(), RowsKind::Delete, sparse, &[&[0], KEY].concat()).unwrap(), expected);
        let sparse = Sparse { before: &[0b1101], after: &[0b1101], has_options: false };
        let error = rows(&four(), RowsKind::Delete, sparse, &[]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TableShape);
        assert!(
            error.text.starts_with("a DELETE was logged without `c1`: SET PERSIST binlog_row_image='FULL'"),
            "{error}"
        );
        let keyless = plan(&[(int(), false), (int(), false)], &[]);
        let sparse = Sparse { before: &[1], after: &[1], has_options: false };
        assert!(rows(&keyless, RowsKind::Delete, sparse, &[]).is_err(), "which row it is, nobody knows");
    }

    #[test]
    fn an_update_is_both_images_together() {
        // Before: the documents and the key. After: a NULL text, the second document NULL.
        let sparse = Sparse { before: &[0b0011], after: &[0b1100], has_options: false };
        let images = [&[0][..], ONE, KEY, &[3]].concat();
        let expected = [&[1, b'1'][..], KEY, &[1, 1], &tail(1 + 7 + 4, false)].concat();
        assert_eq!(rows(&four(), RowsKind::Update, sparse, &images).unwrap(), expected);
        // The key in both: changed, a tombstone of the old one with defaults.
        let sparse = Sparse { before: &[0b0010], after: &[0b1111], has_options: false };
        let images = [&[0][..], KEY, &[0b1100], ONE, &[8, 0, 0, 0]].concat();
        let old = [&[0][..], KEY, &[1, 1], &tail(0, true)].concat();
        let new = [&[1, b'1', 8, 0, 0, 0, 1, 1][..], &tail(5, false)].concat();
        assert_eq!(rows(&four(), RowsKind::Update, sparse, &images).unwrap(), [old, new].concat());
    }

    #[test]
    fn what_is_in_neither_image_is_named() {
        let lacking = |kind, before, after, expected: &str| {
            let sparse = Sparse { before: &[before], after: &[after], has_options: false };
            let error = rows(&four(), kind, sparse, &[]).unwrap_err();
            assert!(error.text.contains(expected), "{error}");
        };
        lacking(RowsKind::Update, 0b0010, 0b0101, "an UPDATE was logged without `c3`: ");
        lacking(RowsKind::Update, 0b1101, 0b1111, "an UPDATE was logged without `c1`: ");
        lacking(RowsKind::Write, 0b0010, 0b0010, "an INSERT was logged without `c0`, `c2`, `c3`: ");
        let many = plan(&vec![(int(), true); 9], &[]);
        let sparse = Sparse { before: &[0, 0], after: &[0, 0], has_options: false };
        let error = rows(&many, RowsKind::Write, sparse, &[]).unwrap_err();
        assert!(error.text.contains("`c4`, ..: "), "{error}");
    }

    const ALL: Sparse<'static> = Sparse { before: &[0b1111], after: &[0b1111], has_options: true };

    fn before() -> Vec<u8> {
        [&[0b0100][..], LIST, KEY, LIST].concat()
    }

    #[test]
    fn diffs_are_applied_where_the_bits_say() {
        let plan = four();
        let after = |options: &[u8], first: &[u8], second: &[u8]| [options, &[0b0100], first, KEY, second].concat();
        let row = |first: &str, second: &str| {
            let text = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
            [&text(first)[..], KEY, &[1, 0], &text(second), &tail(before().len(), false)].concat()
        };
        for (after, expected) in [
            (after(&[0], ONE, LIST), row("1", "[1]")),
            (after(&[1, 0], ONE, LIST), row("1", "[1]")),
            (after(&[1, 1], TO_TWO, ONE), row("[2]", "1")),
            (after(&[1, 2], ONE, TO_TWO), row("1", "[2]")),
            (after(&[1, 3], TO_TWO, &[0; 4]), row("[2]", "[1]")),
        ] {
            let images = [before(), after].concat();
            assert_eq!(rows(&plan, RowsKind::Update, ALL, &images).unwrap(), expected);
        }
    }

    #[test]
    fn diffs_that_cannot_be_applied_name_their_column() {
        let fails = |before: &[u8], after: &[&[u8]], kind, expected: &str| {
            let images = [before, &after.concat()].concat();
            let error = rows(&four(), RowsKind::Update, ALL, &images).unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.to_string().contains(expected), "{error}");
        };
        let no_document = [&[0b1100][..], LIST, KEY].concat();
        let bad = b"\x06\0\0\0\x02\x04$[5]";
        fails(
            &no_document,
            &[&[1, 2, 0b0100], LIST, KEY, TO_TWO],
            ErrorKind::TableShape,
            "column c3: JSON diffs without",
        );
        let text =
            "column c0: JSON diffs 0204245B355D cannot be applied, a path does not fit the document: SET PERSIST";
        fails(&before(), &[&[1, 1, 0b0100], bad, KEY, LIST], ErrorKind::BadRow, text);
        fails(&before(), &[&[2, 0b0100], LIST, KEY, LIST], ErrorKind::TableShape, "options that this version");
        fails(&before(), &[&[1]], ErrorKind::CorruptStream, "ends inside");
    }

    #[test]
    fn damage_never_panics() {
        let images = [before(), [&[1, 3, 0b0100], TO_TWO, KEY, TO_TWO].concat()].concat().repeat(2);
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |bound: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed).unwrap() % bound
        };
        let mut failed = 0;
        for _ in 0..30_000 {
            let mut damaged = images.clone();
            for _ in 0..1 + random(3) {
                let at = random(damaged.len());
                damaged[at] = [0, 0xff, 1, damaged[at] ^ 1 << random(8)][random(4)];
            }
            let bits = [0b1111, 0b0010, 0b1010];
            let (before, after) = ([bits[random(3)]], [bits[random(3)]]);
            let sparse = Sparse { before: &before, after: &after, has_options: random(4) > 0 };
            let kind = [RowsKind::Update, RowsKind::Update, RowsKind::Write, RowsKind::Delete][random(4)];
            let (mut body, mut pool) = (Body::default(), ChunkPool::default());
            let mut rows = cursor(kind, sparse, &damaged);
            let result = four().append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS);
            failed += u32::from(result.is_err());
            assert_eq!(result.is_err(), !rows.rest.is_empty());
            assert_eq!(body.bytes(), body.chunks().iter().map(Vec::len).sum::<usize>());
        }
        assert!((1000..30_000).contains(&failed), "{failed}");
    }
}
