//! Row images of the binary log to rows of RowBinary: the hot loop.
//!
//! A row is a loop over its plan's ops that takes bytes off the image and appends bytes to the open body: the one copy
//! between socket and request (I1), without a value form in between. A row's version is the place of its image (I2), so
//! the same bytes come out on every replay. INSERT is a row, DELETE the before image marked deleted, UPDATE the after
//! image, before which a changed key leaves a tombstone of the old one; the two are never split over bodies. A row that
//! fails leaves nothing behind, and the cursor stands at it. Images that lack columns or hold JSON diffs take a slower
//! way of their own, [`sparse`]; the rows of a copy become images first, in [`packet`]. Pure: decides nothing about what happens to rows that fail.

#![deny(clippy::indexing_slicing)]

mod chosen;
mod double;
mod fault;
mod image;
mod json;
mod json_object;
mod last;
pub mod layout;
mod mysql_text;
mod number;
pub mod packet;
mod patch;
mod plan;
pub mod refused;
mod sparse;
mod temporal;
mod text;
mod wide;

pub use fault::REASONS;
pub use last::LastRows;
pub use plan::RowPlan;

use crate::binlog::rows::RowsEvent;
pub use crate::binlog::rows::RowsKind;
use crate::error;
use crate::position::Version;
use crate::rowbinary::{self, Body, ChunkPool};

use fault::RowFault;
use image::{Fault, array, is_null, raw_value, skip, take};
use plan::{ColumnOp, KeyRule, Op, RowBound};
use sparse::Sparse;

/// Images of this many bytes are not measured one by one: an event that holds more than one row has half of it
/// (`binlog_row_event_max_size`).
const UNMEASURED_BYTES: usize = 16 << 10;

/// When a body is full.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows, tombstones included.
    pub rows: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Limits {
    /// None.
    pub const NONE: Self = Self { rows: usize::MAX, bytes: usize::MAX };

    /// Whether the body is full.
    #[inline(always)]
    pub fn are_reached(self, body: &Body) -> bool {
        body.rows() >= self.rows || body.bytes() >= self.bytes
    }
}

/// The rows of one event that are still to do.
#[derive(Debug, Clone, Copy)]
pub struct RowsCursor<'a> {
    /// What the event does.
    pub kind: RowsKind,
    /// Images, packed.
    pub rest: &'a [u8],
    /// The version of the first image of `rest`: timeline, file, and its offset in the file.
    pub version: Version,
    /// What the version of the next image has more: nothing in a copy.
    stride: Option<Stride>,
    sparse: Option<Sparse<'a>>,
}

impl<'a> RowsCursor<'a> {
    /// The rows of `event`, whose first image has this version.
    #[inline]
    pub fn new(event: &RowsEvent<'a>, version: Version, stride: Stride) -> Self {
        Self { kind: event.kind, rest: event.rows, version, stride: Some(stride), sparse: Sparse::of(event) }
    }

    /// Plain images of all columns.
    pub fn plain(kind: RowsKind, images: &'a [u8], version: Version, stride: Stride) -> Self {
        Self { kind, rest: images, version, stride: Some(stride), sparse: None }
    }

    /// The rows of a copy, as plain images: all of them have the version that it was noted at.
    pub fn copied(images: &'a [u8], version: Version) -> Self {
        Self { kind: RowsKind::Write, rest: images, version, stride: None, sparse: None }
    }

    /// What an image of this many bytes adds to the version.
    #[inline(always)]
    fn step(&self, image_bytes: usize) -> u64 {
        self.stride.map_or(0, |stride| stride.of(image_bytes))
    }
}

/// How versions rise from image to image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stride {
    /// By the image's length: it lies in the file.
    Bytes,
    /// By one: it lies in a compressed transaction, whose images share the place of one event.
    Images,
}

impl Stride {
    /// What an image of this many bytes adds.
    #[inline(always)]
    fn of(self, image_bytes: usize) -> u64 {
        match self {
            Stride::Bytes => image_bytes as u64,
            Stride::Images => 1,
        }
    }
}

impl RowPlan {
    /// Appends rows until `rows` is empty or `body` is full.
    ///
    /// # Errors
    /// [`BadRow`](crate::error::ErrorKind::BadRow) when a value cannot be carried over exactly,
    /// [`TableShape`](crate::error::ErrorKind::TableShape) when the images lack columns that the rows need,
    /// [`CorruptStream`](crate::error::ErrorKind::CorruptStream) when they do not end where they should. `rows` then stands at the row that failed, and nothing of it is in `body`.
    pub fn append_rows(
        &self,
        rows: &mut RowsCursor<'_>,
        body: &mut Body,
        pool: &mut ChunkPool,
        limits: Limits,
    ) -> error::Result<()> {
        let begun = *rows;
        let done = self.append_all(rows, body, pool, limits);
        if let Some(bad_values) = &self.bad_values {
            self.note_first_rows(bad_values, &begun);
        }
        done
    }

    #[inline(always)]
    fn append_all(
        &self,
        rows: &mut RowsCursor<'_>,
        body: &mut Body,
        pool: &mut ChunkPool,
        limits: Limits,
    ) -> error::Result<()> {
        if let Some(sparse) = rows.sparse {
            return self.append_sparse(rows, sparse, body, pool, limits);
        }
        while !rows.rest.is_empty() && !limits.are_reached(body) {
            let done = match rows.kind {
                RowsKind::Write => self.append_image(rows, body, pool, false),
                RowsKind::Delete => self.append_image(rows, body, pool, true),
                RowsKind::Update => self.append_update(rows, body, pool),
            };
            done.map_err(|fault| self.explain(fault))?;
        }
        Ok(())
    }

    /// One image, one row.
    #[inline(always)]
    fn append_image<'a>(
        &self,
        rows: &mut RowsCursor<'a>,
        body: &mut Body,
        pool: &mut ChunkPool,
        deleted: bool,
    ) -> Result<(), RowFault<'a>> {
        let reserve = self.reserve(rows.rest)?;
        let mut rest = rows.rest;
        body.append(pool, reserve, |out| {
            rest = match deleted {
                true => self.write_tombstone(rows.rest, rows.version, out)?,
                false => self.write_row(rows.rest, rows.version, false, out)?,
            };
            Ok(())
        })?;
        body.version_max = body.version_max.max(rows.version.0);
        body.has_changes |= deleted;
        rows.version = rows.version.plus(rows.step(rows.rest.len() - rest.len()));
        rows.rest = rest;
        Ok(())
    }

    /// A before and an after image: a row, and a tombstone before it when the key changed.
    fn append_update<'a>(
        &self,
        rows: &mut RowsCursor<'a>,
        body: &mut Body,
        pool: &mut ChunkPool,
    ) -> Result<(), RowFault<'a>> {
        let before = rows.rest;
        let after = self.skip_row(before)?;
        let after_version = rows.version.plus(rows.step(before.len() - after.len()));
        let key_changed = self.is_log || (self.key_end > 0 && !self.same_key(before, after)?);
        let reserve = if key_changed { self.reserve(before)? + self.reserve(after)? } else { self.reserve(after)? };
        let mut rest = after;
        body.append_rows(pool, reserve, |out| {
            if key_changed {
                self.write_tombstone(before, rows.version, out)?;
            }
            rest = self.write_row(after, after_version, false, out)?;
            Ok(1 + usize::from(key_changed))
        })?;
        body.version_max = body.version_max.max(after_version.0);
        body.has_changes = true;
        rows.version = after_version.plus(rows.step(after.len() - rest.len()));
        rows.rest = rest;
        Ok(())
    }

    /// The room to keep free for the row at the front of `images`. An event whose rows are small is small: then all its
    /// images are no more than a row's room needs to be.
    #[inline(always)]
    fn reserve<'a>(&self, images: &'a [u8]) -> Result<usize, RowFault<'a>> {
        match self.bound {
            RowBound::Constant(bytes) => Ok(bytes),
            RowBound::ImagePlus(bytes) if images.len() <= UNMEASURED_BYTES => Ok(bytes + images.len()),
            RowBound::ImagePlus(bytes) => Ok(bytes + images.len() - self.skip_row(images)?.len()),
        }
    }

    /// Appends the tombstone at the front of `images`; returns what follows it. Only its key need be good.
    #[inline(always)]
    fn write_tombstone<'a>(
        &self,
        images: &'a [u8],
        version: Version,
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], RowFault<'a>> {
        let start = out.len();
        self.write_row(images, version, true, out).or_else(|fault| {
            out.truncate(start);
            self.write_key(images, version, out).map_err(|_| fault)
        })
    }

    /// Appends the row at the front of `images`; returns what follows it.
    #[inline(always)]
    fn write_row<'a>(
        &self,
        images: &'a [u8],
        version: Version,
        deleted: bool,
        out: &mut Vec<u8>,
    ) -> Result<&'a [u8], RowFault<'a>> {
        let mut input = images;
        let bitmap = take(&mut input, self.columns.len().div_ceil(8));
        let bitmap = bitmap.map_err(|fault| RowFault { images, column: 0, fault })?;
        for (byte_index, (columns, byte)) in self.columns.chunks(8).zip(bitmap).enumerate() {
            let mut nulls = *byte;
            for (bit_index, column) in columns.iter().enumerate() {
                let written = if nulls & 1 == 0 { self.value(column, &mut input, out) } else { null(column, out) };
                written.map_err(|fault| RowFault { images, column: byte_index * 8 + bit_index, fault })?;
                nulls >>= 1;
            }
        }
        rowbinary::version_and_deleted(out, version.0, deleted);
        Ok(input)
    }

    #[inline(always)]
    fn value(&self, column: &ColumnOp, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        if column.nullable {
            out.push(0);
        }
        match column.op {
            Op::Copy1 => rowbinary::fixed::<1>(out, array(input)?),
            Op::Copy2 => rowbinary::fixed::<2>(out, array(input)?),
            Op::Copy4 => rowbinary::fixed::<4>(out, array(input)?),
            Op::Copy8 => rowbinary::fixed::<8>(out, array(input)?),
            Op::Int24 => number::int24(input, out)?,
            Op::UInt24 => number::uint24(input, out)?,
            Op::Decimal32(layout) => number::decimal32(input, layout, out)?,
            Op::Decimal64(layout) => number::decimal64(input, layout, out)?,
            Op::Decimal128(layout) => number::decimal128(input, layout, out)?,
            Op::Decimal256(layout) => number::decimal256(input, layout, out)?,
            Op::Year => temporal::year(input, out)?,
            Op::Date => temporal::date(input, column.nullable, out)?,
            Op::DateTime(fraction) => temporal::datetime(input, fraction, column.nullable, out)?,
            Op::Timestamp(fraction) => temporal::timestamp(input, fraction, column.nullable, out)?,
            Op::Time(fraction) => temporal::time(input, fraction, out)?,
            Op::OldTime(unit) => temporal::old_time(input, unit, out)?,
            Op::OldDateTime => temporal::old_datetime(input, column.nullable, out)?,
            Op::OldTimestamp => temporal::old_timestamp(input, column.nullable, out)?,
            Op::Bit(bytes) => number::bit(input, bytes, out)?,
            Op::Bytes(prefix) => text::bytes(input, prefix, out)?,
            Op::Padded(prefix) => text::padded(input, prefix, out)?,
            Op::Utf8(prefix, charset) => text::utf8(input, prefix, charset, out)?,
            Op::Latin1(prefix) => text::latin1(input, prefix, out)?,
            Op::Text(text) => text.write(input, out)?,
            Op::Json(prefix) => json::json(input, prefix, out)?,
            Op::Vector(vector) => number::vector(input, vector, out)?,
            Op::Enum(labels) => self.labels.enumeration(input, labels, out)?,
            Op::Set(labels) => self.labels.set(input, labels, out)?,
            Op::Chosen(at) => self.chosen(at, column.nullable, input, out)?,
        }
        Ok(())
    }

    /// What follows the row at the front of `images`.
    fn skip_row<'a>(&self, images: &'a [u8]) -> Result<&'a [u8], RowFault<'a>> {
        let mut cursor = ValueCursor::new(images, self.columns.len())?;
        if cursor.nulls.iter().all(|&byte| byte == 0)
            && let Ok(rest) = skip(cursor.rest, &self.skips)
        {
            return Ok(rest);
        }
        for (index, column) in self.columns.iter().enumerate() {
            cursor.next(index, column)?;
        }
        Ok(cursor.rest)
    }

    /// Whether two images have the same key.
    fn same_key<'a>(&self, before: &'a [u8], after: &'a [u8]) -> Result<bool, RowFault<'a>> {
        let mut old = ValueCursor::new(before, self.columns.len())?;
        let mut new = ValueCursor::new(after, self.columns.len())?;
        for (index, column) in self.columns.iter().take(self.key_end).enumerate() {
            if !same_value(column.key, old.next(index, column)?, new.next(index, column)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Walks an image value by value without reading them.
struct ValueCursor<'a> {
    images: &'a [u8],
    nulls: &'a [u8],
    rest: &'a [u8],
}

impl<'a> ValueCursor<'a> {
    fn new(images: &'a [u8], columns: usize) -> Result<Self, RowFault<'a>> {
        let mut rest = images;
        let nulls = take(&mut rest, columns.div_ceil(8)).map_err(|fault| RowFault { images, column: 0, fault })?;
        Ok(Self { images, nulls, rest })
    }

    /// The raw value of column `index`, the next in order; `None` for NULL.
    #[inline(always)]
    fn next(&mut self, index: usize, column: &ColumnOp) -> Result<Option<&'a [u8]>, RowFault<'a>> {
        if is_null(self.nulls, index) {
            return Ok(None);
        }
        let value = raw_value(&mut self.rest, column.width);
        value.map(Some).map_err(|fault| RowFault { images: self.images, column: index, fault })
    }
}

fn same_value(rule: KeyRule, old: Option<&[u8]>, new: Option<&[u8]>) -> bool {
    let floats = |width| old.filter(|value| value.len() == width).zip(new.filter(|value| value.len() == width));
    match rule {
        KeyRule::None => true,
        KeyRule::Bytes => old == new,
        KeyRule::Float32 => old == new || floats(4).is_some_and(|(old, new)| float32(old) == float32(new)),
        KeyRule::Float64 => old == new || floats(8).is_some_and(|(old, new)| float64(old) == float64(new)),
    }
}

fn float32(bytes: &[u8]) -> Option<f32> {
    bytes.try_into().ok().map(f32::from_le_bytes)
}

fn float64(bytes: &[u8]) -> Option<f64> {
    bytes.try_into().ok().map(f64::from_le_bytes)
}

#[inline(always)]
fn null(column: &ColumnOp, out: &mut Vec<u8>) -> Result<(), Fault> {
    if column.nullable {
        out.push(1);
        return Ok(());
    }
    if matches!(column.op, Op::Vector(vector) if vector.empty_is_null) {
        rowbinary::leb128(out, 0);
        return Ok(());
    }
    Err(Fault::Null)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::schema::mapping::{TargetFeatures, target_type};
    use crate::schema::target::TargetColumn;
    use crate::schema::types::{Charset, SourceColumn, SourceType};

    pub(super) const START: Version = Version(1 << 54 | 1000);
    pub(super) const NO_LIMITS: Limits = Limits::NONE;

    /// A plan for columns c0, c1, .. with the default target types.
    pub(super) fn plan(types: &[(SourceType, bool)], key: &[usize]) -> RowPlan {
        let features = TargetFeatures { time64: true };
        let source: Vec<SourceColumn> = types
            .iter()
            .enumerate()
            .map(|(index, (ty, nullable))| SourceColumn {
                name: format!("c{index}"),
                ty: ty.clone(),
                nullable: *nullable,
            })
            .collect();
        let target = |(index, column): (usize, &SourceColumn)| TargetColumn {
            name: column.name.clone(),
            ty: target_type(column, key.contains(&index), false, features).unwrap(),
        };
        let tail = [("_version", "UInt64"), ("_is_deleted", "UInt8")];
        let tail = tail.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        let target: Vec<TargetColumn> = source.iter().enumerate().map(target).chain(tail).collect();
        RowPlan::compile(&source, key, &target).unwrap()
    }

    pub(super) fn int() -> SourceType {
        SourceType::Int { bytes: 4, unsigned: false }
    }

    pub(super) fn varchar(max_bytes: u16) -> SourceType {
        SourceType::VarChar { max_bytes, charset: Charset::Utf8 }
    }

    /// Two columns: an INT key and a VARCHAR that may be NULL.
    pub(super) fn pair_plan() -> RowPlan {
        plan(&[(int(), false), (varchar(80), true)], &[0])
    }

    fn pair_image(id: i32, text: Option<&str>) -> Vec<u8> {
        let mut image = vec![if text.is_none() { 2 } else { 0 }];
        image.extend(id.to_le_bytes());
        if let Some(text) = text {
            rowbinary::string(&mut image, text.as_bytes());
        }
        image
    }

    fn pair_row(id: i32, text: Option<&str>, offset: u64, deleted: bool) -> Vec<u8> {
        let mut row = id.to_le_bytes().to_vec();
        row.push(u8::from(text.is_none()));
        if let Some(text) = text {
            rowbinary::string(&mut row, text.as_bytes());
        }
        rowbinary::version_and_deleted(&mut row, START.0 + offset, deleted);
        row
    }

    fn cursor(kind: RowsKind, rest: &[u8]) -> RowsCursor<'_> {
        RowsCursor::plain(kind, rest, START, Stride::Bytes)
    }

    fn append(plan: &RowPlan, kind: RowsKind, images: &[u8]) -> error::Result<Body> {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        let mut rows = cursor(kind, images);
        plan.append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS)?;
        assert!(rows.rest.is_empty());
        assert_eq!(rows.version.0, START.0 + images.len() as u64);
        Ok(body)
    }

    fn check(plan: &RowPlan, kind: RowsKind, images: &[u8], rows: &[Vec<u8>]) {
        let body = append(plan, kind, images).unwrap();
        assert_eq!((body.chunks().concat(), body.rows()), (rows.concat(), rows.len()));
        assert_eq!(body.has_changes, kind != RowsKind::Write);
    }

    #[test]
    fn inserts_and_deletes() {
        let (first, second) = (pair_image(-7, Some("héllo")), pair_image(8, None));
        let images = [first.clone(), second].concat();
        let offset = first.len() as u64;
        for (kind, deleted) in [(RowsKind::Write, false), (RowsKind::Delete, true)] {
            let rows = [pair_row(-7, Some("héllo"), 0, deleted), pair_row(8, None, offset, deleted)];
            check(&pair_plan(), kind, &images, &rows);
        }
        let body = append(&pair_plan(), RowsKind::Write, &images).unwrap();
        assert_eq!(body.version_max, START.0 + offset);
    }

    #[test]
    fn an_update_is_its_after_image() {
        let (before, after) = (pair_image(7, Some("long before")), pair_image(7, None));
        let offset = before.len() as u64;
        check(&pair_plan(), RowsKind::Update, &[before, after].concat(), &[pair_row(7, None, offset, false)]);
    }

    #[test]
    fn a_changed_key_leaves_a_tombstone() {
        let (before, after) = (pair_image(7, Some("a")), pair_image(8, Some("b")));
        let rows = [pair_row(7, Some("a"), 0, true), pair_row(8, Some("b"), before.len() as u64, false)];
        let images = [before, after].concat();
        check(&pair_plan(), RowsKind::Update, &images, &rows);
        let keyless = plan(&[(int(), false), (varchar(80), true)], &[]);
        check(&keyless, RowsKind::Update, &images, &rows[1..]);
    }

    #[test]
    fn keys_are_compared_by_bytes_and_floats_by_value() {
        let tombstones = |ty: SourceType, before: &[u8], after: &[u8]| {
            let image = |value: &[u8]| [&[0, 9][..], value].concat();
            let plan = plan(&[(SourceType::Int { bytes: 1, unsigned: false }, false), (ty, false)], &[1, 0]);
            append(&plan, RowsKind::Update, &[image(before), image(after)].concat()).unwrap().rows() - 1
        };
        assert_eq!(tombstones(SourceType::Double, &(-0.0f64).to_le_bytes(), &0.0f64.to_le_bytes()), 0);
        assert_eq!(tombstones(SourceType::Double, &1.0f64.to_le_bytes(), &0.0f64.to_le_bytes()), 1);
        assert_eq!(tombstones(SourceType::Float, &(-0.0f32).to_le_bytes(), &0.0f32.to_le_bytes()), 0);
        assert_eq!(tombstones(SourceType::Float, &1.5f32.to_le_bytes(), &1.25f32.to_le_bytes()), 1);
        assert_eq!(tombstones(varchar(9), b"\x02aA", b"\x02aa"), 1, "equal in MySQL's collation, not in ClickHouse");
        assert_eq!(tombstones(varchar(9), b"\x02aa", b"\x02aa"), 0);
    }

    #[test]
    fn null_bitmaps_of_more_than_a_byte() {
        let types: Vec<_> = (0..11).map(|_| (SourceType::Int { bytes: 1, unsigned: true }, true)).collect();
        let image = [0b0000_0010, 0b0000_0101, 0, 2, 3, 4, 5, 6, 7, 9];
        let mut row: Vec<u8> = vec![0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 1, 0, 9, 1];
        rowbinary::version_and_deleted(&mut row, START.0, false);
        check(&plan(&types, &[]), RowsKind::Write, &image, &[row]);
    }

    #[test]
    fn images_of_a_compressed_transaction_are_numbered() {
        let images = [pair_image(1, None), pair_image(1, None), pair_image(1, None), pair_image(2, None)].concat();
        for (kind, expected) in [
            (RowsKind::Write, vec![(0, false), (1, false), (2, false), (3, false)]),
            (RowsKind::Delete, vec![(0, true), (1, true), (2, true), (3, true)]),
            (RowsKind::Update, vec![(1, false), (2, true), (3, false)]),
        ] {
            let (mut body, mut pool) = (Body::default(), ChunkPool::default());
            let mut rows = RowsCursor { stride: Some(Stride::Images), ..cursor(kind, &images) };
            pair_plan().append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS).unwrap();
            assert_eq!((rows.version.0, body.rows()), (START.0 + 4, expected.len()));
            let bytes = body.chunks().concat();
            let tails: Vec<_> = bytes.chunks(4 + 1 + 9).map(|row| row[5..].to_vec()).collect();
            let tail = |(number, deleted): (u64, bool)| {
                let mut tail = Vec::new();
                rowbinary::version_and_deleted(&mut tail, START.0 + number, deleted);
                tail
            };
            assert_eq!(tails, expected.into_iter().map(tail).collect::<Vec<_>>());
        }
    }

    #[test]
    fn full_bodies_stop_between_rows() {
        let images: Vec<u8> = (0..10).flat_map(|id| pair_image(id, Some("x"))).collect();
        let fill = |kind, limits| {
            let (mut pool, mut rows) = (ChunkPool::default(), cursor(kind, &images));
            let mut counts = Vec::new();
            while !rows.rest.is_empty() {
                let mut body = Body::default();
                pair_plan().append_rows(&mut rows, &mut body, &mut pool, limits).unwrap();
                counts.push(body.rows());
            }
            counts
        };
        assert_eq!(fill(RowsKind::Write, Limits { rows: 4, bytes: usize::MAX }), [4, 4, 2]);
        // A row takes 4 + 1 + 2 + 9 = 16 bytes; the one that fills the body is whole.
        assert_eq!(fill(RowsKind::Write, Limits { rows: 99, bytes: 49 }), [4, 4, 2]);
        assert_eq!(
            fill(RowsKind::Update, Limits { rows: 1, bytes: usize::MAX }),
            [2; 5],
            "tombstone and row stay together"
        );
    }

    #[test]
    fn a_bad_row_leaves_no_trace() {
        let plan = plan(&[(int(), false), (SourceType::Date, false)], &[0]);
        let image = |id: u8, date: u32| [&[0, id, 0, 0, 0][..], &date.to_le_bytes()[..3]].concat();
        let good = 2024 << 9 | 2 << 5 | 29;
        let images = [image(1, good), image(1, good), image(2, good), image(3, 2024 << 9 | 15)].concat();
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        let mut rows = cursor(RowsKind::Update, &images);
        let error = plan.append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRow);
        assert_eq!(
            error.to_string(),
            "column c1: '2024-00-15' is no date: make the target column Nullable, or mend the row in MySQL"
        );
        assert_eq!((rows.rest, rows.version.0), (&images[16..], START.0 + 16));
        assert_eq!((body.rows(), body.bytes(), body.chunks().concat().len()), (1, 17, 17), "not even the tombstone");
    }

    #[test]
    fn null_without_a_place_for_it() {
        let error = append(&pair_plan(), RowsKind::Write, &[1, 1, b'x']).unwrap_err();
        assert_eq!(error.kind, ErrorKind::BadRow);
        assert_eq!(error.to_string(), "column c0: NULL, but the target column is not Nullable: make it so");
    }

    #[test]
    fn rows_longer_than_a_chunk() {
        let text = SourceType::Blob { length_bytes: 4, charset: Charset::Latin1 };
        let plan = plan(&[(text, false)], &[]);
        // 'é' takes one byte in latin1 and two in UTF-8: three times the largest chunk.
        let count = 400_000u32;
        let image = [&[0][..], &count.to_le_bytes(), &vec![0xe9; count as usize]].concat();
        let body = append(&plan, RowsKind::Write, &image.repeat(2)).unwrap();
        assert_eq!((body.rows(), body.bytes()), (2, 2 * (3 + 2 * count as usize + 9)));
    }

    /// Every op, once NOT NULL and once NULL, with an image that holds a value of each.
    fn every_type() -> (RowPlan, Vec<u8>) {
        let labels = || vec!["a".to_owned(), "bc".to_owned()];
        let values: Vec<(SourceType, &[u8])> = vec![
            (SourceType::Int { bytes: 1, unsigned: false }, &[0x80]),
            (SourceType::Int { bytes: 2, unsigned: true }, &[1, 2]),
            (SourceType::Int { bytes: 3, unsigned: false }, &[1, 2, 3]),
            (SourceType::Int { bytes: 3, unsigned: true }, &[1, 2, 3]),
            (SourceType::Int { bytes: 8, unsigned: true }, &[1, 2, 3, 4, 5, 6, 7, 8]),
            (SourceType::Float, &[0, 0, 0x80, 0x3f]),
            (SourceType::Double, &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
            (SourceType::Decimal { precision: 5, scale: 2 }, &[0x80, 7, 9]),
            (SourceType::Decimal { precision: 10, scale: 2 }, &[0x80, 0, 0, 7, 9]),
            (SourceType::Decimal { precision: 20, scale: 2 }, &[0x80, 0, 0, 0, 1, 0, 0, 0, 9]),
            (
                SourceType::Decimal { precision: 40, scale: 0 },
                &[0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0],
            ),
            (SourceType::Year, &[124]),
            (SourceType::Date, &[0x21, 0, 0x0f]),
            (SourceType::DateTime { fsp: 3 }, &[0x99, 0xb2, 0x42, 0, 0, 0x03, 0xe8]),
            (SourceType::Timestamp { fsp: 0 }, &[1, 2, 3, 4]),
            (SourceType::Time { fsp: 6 }, &[0x80, 0, 1, 0, 0, 1]),
            (SourceType::Bit { bits: 10 }, &[2, 1]),
            (varchar(300), &[2, 0, b'h', b'i']),
            (SourceType::Char { max_bytes: 3, charset: Charset::Binary }, &[1, b'x']),
            (SourceType::Char { max_bytes: 3, charset: Charset::Latin1 }, &[1, 0xe9]),
            (SourceType::Blob { length_bytes: 3, charset: Charset::Binary }, &[1, 0, 0, 0xff]),
            (SourceType::OldTime, &[0x40, 0xe2, 1]),
            (SourceType::OldDateTime, &[0x80, 0xc5, 0xaa, 0x8b, 0x68, 0x12, 0, 0]),
            (SourceType::OldTimestamp, &[1, 2, 3, 4]),
            (SourceType::Json, b"\x19\0\0\0\0\x02\0\x18\0\x12\0\x01\0\x13\0\x02\0\x05\x01\0\x0c\x15\0abb\x02xy"),
            (SourceType::Geometry, &[2, 0, 0, 0, 1, 2]),
            (SourceType::Vector, &[4, 0, 0, 0, 0, 0, 0x80, 0x3f]),
            (SourceType::Enum { labels: labels() }, &[2]),
            (SourceType::Set { labels: labels() }, &[3]),
        ];
        let types: Vec<_> = values.iter().flat_map(|(ty, _)| [(ty.clone(), false), (ty.clone(), true)]).collect();
        let mut image = vec![0; types.len().div_ceil(8)];
        image.extend(values.iter().flat_map(|(_, bytes)| bytes.repeat(2)));
        (plan(&types, &[0, 2]), image)
    }

    #[test]
    fn images_cut_anywhere_are_corrupt() {
        let (plan, image) = every_type();
        for kind in [RowsKind::Write, RowsKind::Delete, RowsKind::Update] {
            let images = image.repeat(2);
            append(&plan, kind, &images).unwrap();
            for end in (1..images.len()).filter(|&end| kind == RowsKind::Update || end != image.len()) {
                let error = append(&plan, kind, &images[..end]).unwrap_err();
                assert_eq!(error.kind, ErrorKind::CorruptStream, "{end}");
                assert!(error.at.column.is_some());
            }
        }
    }

    #[test]
    fn corrupted_images_never_panic() {
        let (plan, image) = every_type();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let mut failed = 0;
        for _ in 0..30_000 {
            let mut images = image.repeat(2);
            for _ in 0..1 + random() % 4 {
                let index = usize::try_from(random()).unwrap() % images.len();
                images[index] = random().to_le_bytes()[0];
            }
            let kind = [RowsKind::Write, RowsKind::Update, RowsKind::Delete][usize::try_from(random() % 3).unwrap()];
            let (mut body, mut pool) = (Body::default(), ChunkPool::default());
            let mut rows = cursor(kind, &images);
            let result = plan.append_rows(&mut rows, &mut body, &mut pool, NO_LIMITS);
            failed += u32::from(result.is_err());
            assert_eq!(result.is_err(), !rows.rest.is_empty());
            assert_eq!(body.bytes(), body.chunks().iter().map(Vec::len).sum::<usize>());
        }
        assert!(failed > 1000, "{failed} of the corrupted events were noticed");
    }

    /// The rows that remain of events, without limits or one at a time.
    fn last(plan: &RowPlan, events: &[(RowsKind, Vec<u8>)], limits: Limits) -> (usize, Vec<u8>) {
        let (mut held, mut pool) = (Body::default(), ChunkPool::default());
        for (kind, images) in events {
            plan.append_rows(&mut cursor(*kind, images), &mut held, &mut pool, NO_LIMITS).unwrap();
        }
        let (mut last, mut rows, mut bytes) = (plan.last_rows(&held).unwrap(), 0, Vec::new());
        while !last.is_done() {
            let mut body = Body::default();
            last.append(START, &mut body, &mut pool, limits);
            rows += body.rows();
            bytes.extend(body.chunks().concat());
        }
        (rows, bytes)
    }

    #[test]
    fn the_last_row_of_each_key_remains() {
        let update = |old, new| [pair_image(old, Some("old")), pair_image(new, Some("new"))].concat();
        let events = [
            (RowsKind::Write, [pair_image(1, Some("a")), pair_image(2, None), pair_image(3, None)].concat()),
            (RowsKind::Update, [update(1, 1), update(2, 4), update(4, 2)].concat()),
            (RowsKind::Delete, [pair_image(3, None), pair_image(1, Some("new"))].concat()),
            (RowsKind::Write, pair_image(1, Some("again"))),
        ];
        let row = |id, text, deleted| pair_row(id, text, 0, deleted);
        let expected =
            [row(1, Some("again"), false), row(2, Some("new"), false), row(3, None, true), row(4, Some("old"), true)];
        for limits in [NO_LIMITS, Limits { rows: 1, bytes: usize::MAX }] {
            assert_eq!(last(&pair_plan(), &events, limits), (4, expected.concat()));
        }
        let floats = plan(&[(SourceType::Double, false), (SourceType::Float, false)], &[0, 1]);
        let image = |double: f64, float: f32| [&[0][..], &double.to_le_bytes(), &float.to_le_bytes()].concat();
        let zeros = [(RowsKind::Write, image(0.0, -0.0)), (RowsKind::Delete, image(-0.0, 0.0))];
        assert_eq!(last(&floats, &zeros, NO_LIMITS).0, 1, "zero has two signs and is one key");
        let keyless = plan(&[(int(), false)], &[]);
        assert_eq!(last(&keyless, &[(RowsKind::Write, [[0, 1, 0, 0, 0]; 3].concat())], NO_LIMITS).0, 3);
    }

    #[test]
    fn another_plans_rows_are_an_error() {
        let (mut held, mut pool) = (Body::default(), ChunkPool::default());
        pair_plan()
            .append_rows(&mut cursor(RowsKind::Write, &pair_image(1, None)), &mut held, &mut pool, NO_LIMITS)
            .unwrap();
        assert_eq!(plan(&[(varchar(80), true)], &[]).last_rows(&held).unwrap_err().kind, ErrorKind::TableShape);
    }
}
