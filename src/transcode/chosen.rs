//! Values in a type that a user has chosen, and values that become NULL because the policy says so.
//!
//! A chosen type is written in two steps: the op of the default type reads the value and checks it, and its bytes are then
//! made those of the chosen type; what that cannot hold exactly is a fault. So there is one reader of each source type,
//! and the default types pay nothing: all of this is behind one op. Two forms read the image themselves: labels, whose
//! number is enough, and MySQL's text, which also has the dates that no calendar has.

use std::sync::Arc;

use crate::metrics::bad_values::BadValues;
use crate::rowbinary;
use crate::schema::form::Form;
use crate::schema::types::{Charset, SourceType};

use super::image::{Fault, Width, little_endian, raw_value};
use super::json_object;
use super::mysql_text::Text;
use super::number::decimal_bytes;
use super::plan::{ColumnOp, KeyRule, Op};
use super::sparse::Cell;
use super::wide::Wide;
use super::{RowPlan, RowsCursor, RowsKind};

/// Bytes of a UUID, and characters of its text.
const UUID_BYTES: usize = 16;
const UUID_CHARACTERS: usize = 36;

/// A longer text is shown by its bytes.
const SHOWN_BYTES_MAX: usize = 64;

/// Where the rest of a chosen op is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChosenOp {
    /// Index among the plan's.
    pub(super) index: u16,
    /// Bytes that a value is written as; 0: a string.
    pub(super) bytes: u8,
    /// Where its value ends in an image.
    pub(super) width: Width,
}

/// How a value is carried over that is not just the default type's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    /// That of the default type.
    pub(super) op: Op,
    form: Written,
    /// Bad values are NULL, and counted here if they are.
    or_null: bool,
    /// For messages.
    text: Option<Text>,
    name: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Written {
    Default,
    Int { bytes: u8, is_signed: bool, is_from_signed: bool },
    Bool,
    Decimal { from_scale: u8, scale: u8, bytes: u8, limit: Wide },
    Ticks { from: u8, to: u8 },
    Seconds { from: u8 },
    Days,
    Uuid { is_text: bool, is_key: bool },
    Enum { bytes: u8, numbers: Vec<Option<i16>> },
    Json,
    Text(Text),
}

/// What is compiled of a column.
pub(super) struct Column<'a> {
    pub(super) name: &'a str,
    pub(super) ty: &'a SourceType,
    pub(super) is_key: bool,
    pub(super) or_null: bool,
}

impl Chosen {
    /// How values of a column are written in this form, when `op` is that of the default type; `None` when `op` is enough.
    pub(super) fn new(column: &Column<'_>, form: &Form, op: Op) -> Option<Self> {
        let form = match form {
            // A document is either whole or damaged.
            Form::Default | Form::Microseconds if !column.or_null || matches!(op, Op::Json(_)) => return None,
            Form::Default | Form::Microseconds => Written::Default,
            Form::Int { bytes, is_signed } => {
                Written::Int { bytes: *bytes, is_signed: *is_signed, is_from_signed: is_signed_int(column.ty) }
            }
            Form::Bool => Written::Bool,
            Form::Decimal { precision, scale } => Written::Decimal {
                from_scale: digits(column.ty),
                scale: *scale,
                bytes: decimal_bytes(*precision),
                limit: Wide::power_of_ten(*precision),
            },
            Form::Ticks { precision } => Written::Ticks { from: digits(column.ty), to: *precision },
            Form::Seconds => Written::Seconds { from: digits(column.ty) },
            Form::Days => Written::Days,
            Form::Uuid => Written::Uuid { is_text: !is_binary(column.ty), is_key: column.is_key },
            Form::Enum { bytes, members } => {
                Written::Enum { bytes: *bytes, numbers: numbers(column.ty, members, column.is_key) }
            }
            Form::Json => Written::Json,
            Form::Text => Written::Text(Text::of(column.ty)?),
        };
        Some(Self { op, form, or_null: column.or_null, text: Text::of(column.ty), name: column.name.to_owned() })
    }

    /// Bytes that a value is written as; 0: a string.
    pub(super) fn bytes(&self) -> u8 {
        match &self.form {
            Written::Default => match self.op.written() {
                super::plan::Written::Fixed(bytes) => u8::try_from(bytes).unwrap_or_default(),
                super::plan::Written::String | super::plan::Written::Floats => 0,
            },
            Written::Int { bytes, .. } | Written::Enum { bytes, .. } | Written::Decimal { bytes, .. } => *bytes,
            Written::Bool => 1,
            Written::Ticks { .. } => 8,
            Written::Seconds { .. } => 4,
            Written::Days => 2,
            Written::Uuid { .. } => 16,
            Written::Json | Written::Text(_) => 0,
        }
    }

    /// Whether good values are the default type's.
    pub(super) fn is_default(&self) -> bool {
        matches!(self.form, Written::Default | Written::Json)
    }
}

impl RowPlan {
    /// A value of the target's type that stands for none: zero bytes, but where those are no value of it.
    pub(super) fn default_value(&self, op: Op, out: &mut Vec<u8>) {
        match self.chosen_of(op).map(|chosen| &chosen.form) {
            Some(Written::Json) => rowbinary::string(out, b"{}"),
            Some(Written::Enum { bytes, numbers }) => {
                let number = numbers.iter().flatten().next().copied().unwrap_or_default();
                out.extend(number.to_le_bytes().iter().take(usize::from(*bytes)));
            }
            _ => out.resize(out.len() + op.default_bytes(), 0),
        }
    }

    /// A value in its chosen form. Its NULL flag, if the column has one, is the last byte of `out`.
    #[inline(never)]
    pub(super) fn chosen(
        &self,
        at: ChosenOp,
        nullable: bool,
        input: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let chosen = self.chosen.get(usize::from(at.index)).ok_or(Fault::NoDocument)?;
        let (image, start) = (*input, out.len());
        let fault = match self.write_chosen(chosen, input, out) {
            Err(fault) if nullable && (fault == Fault::ZeroDate || chosen.or_null && fault.reason().is_some()) => fault,
            done => return done,
        };
        *input = image;
        raw_value(input, at.width)?;
        out.truncate(start);
        if let Some(flag) = out.last_mut() {
            *flag = 1;
        }
        if let (Some(bad_values), Some(reason)) = (&self.bad_values, fault.reason()) {
            bad_values.count(&chosen.name, reason);
        }
        Ok(())
    }

    fn write_chosen(&self, chosen: &Chosen, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        match &chosen.form {
            Written::Text(text) => return text.write(input, out, |input, out| self.by_default(chosen.op, input, out)),
            Written::Enum { bytes, numbers } => return enumeration(input, chosen.op.width(), *bytes, numbers, out),
            Written::Default
            | Written::Int { .. }
            | Written::Bool
            | Written::Decimal { .. }
            | Written::Ticks { .. }
            | Written::Seconds { .. }
            | Written::Days
            | Written::Json
            | Written::Uuid { .. } => self.by_default(chosen.op, input, out)?,
        }
        match &chosen.form {
            Written::Int { bytes, is_signed, is_from_signed } => int(out, start, *bytes, *is_signed, *is_from_signed),
            Written::Bool => boolean(out, start),
            Written::Decimal { from_scale, scale, bytes, limit } => {
                decimal(out, start, (*from_scale, *scale), *bytes, limit)
            }
            Written::Ticks { from, to } => ticks(out, start, *from, *to),
            Written::Seconds { from } => seconds(out, start, *from),
            Written::Days => days(out, start),
            Written::Json => document(out, start),
            Written::Uuid { is_text: false, .. } => uuid_of_bytes(out, start),
            Written::Uuid { is_text: true, is_key } => uuid_of_text(out, start, *is_key),
            Written::Default | Written::Enum { .. } | Written::Text(_) => Ok(()),
        }
    }

    /// The bytes of the default type, without a NULL flag.
    fn by_default(&self, op: Op, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let column = ColumnOp { op, width: op.width(), nullable: false, key: KeyRule::None };
        self.value(&column, input, out)
    }

    /// Whether a document that was put together at the end of `out` is kept as it is, where that matters.
    pub(super) fn check_document(&self, op: Op, out: &[u8], start: usize) -> Result<(), Fault> {
        let is_json = self.chosen_of(op).is_some_and(|chosen| chosen.form == Written::Json);
        if is_json { document(out, start) } else { Ok(()) }
    }

    /// Whether a bad value is NULL; those of JSON diffs are counted here, too.
    pub(super) fn is_null_instead(&self, column: &ColumnOp) -> bool {
        let Some(chosen) = self.chosen_of(column.op).filter(|chosen| chosen.or_null && column.nullable) else {
            return false;
        };
        if let (Some(bad_values), Some(reason)) = (&self.bad_values, Fault::NotKept.reason()) {
            bad_values.count(&chosen.name, reason);
        }
        true
    }

    /// The op that reads a column's values.
    pub(super) fn reading(&self, op: Op) -> Op {
        self.chosen_of(op).map_or(op, |chosen| chosen.op)
    }

    /// A raw value as MySQL shows it.
    pub(super) fn text_of(&self, op: Op, mut raw: &[u8]) -> Option<String> {
        let chosen = self.chosen_of(op)?;
        let Some(text) = chosen.text else {
            let text = std::str::from_utf8(raw).ok().filter(|text| text.len() <= SHOWN_BYTES_MAX)?;
            return (!text.chars().any(char::is_control)).then(|| format!("'{text}'"));
        };
        let mut out = Vec::new();
        text.write(&mut raw, &mut out, |input, out| self.by_default(chosen.op, input, out)).ok()?;
        String::from_utf8(out.get(1..)?.to_vec()).ok()
    }

    /// Finds the rows of those bad values that are the first of their kind, among `rows`.
    #[cold]
    #[inline(never)]
    pub(super) fn note_first_rows(&self, bad_values: &BadValues, rows: &RowsCursor<'_>) {
        for at in bad_values.new_ones() {
            if let Some(text) = self.first_row(rows, &at) {
                bad_values.found(&at, text);
            }
        }
    }

    fn first_row(&self, rows: &RowsCursor<'_>, (name, reason): &(String, &'static str)) -> Option<String> {
        let is_it = |chosen: &Chosen| chosen.or_null && chosen.name == *name;
        let at = self.columns.iter().position(|column| self.chosen_of(column.op).is_some_and(is_it))?;
        let (all, mut rest) = (vec![u8::MAX; self.columns.len().div_ceil(8)], rows.rest);
        let sparse = rows.sparse.as_ref();
        let (before, after) = sparse.map_or((all.as_slice(), all.as_slice()), |sparse| (sparse.before, sparse.after));
        let has_options = sparse.is_some_and(|sparse| sparse.has_options);
        let (mut old, mut new) = (Vec::new(), Vec::new());
        while !rest.is_empty() {
            rest = self.read(before, rest, &mut old).ok()?;
            if rows.kind == RowsKind::Update {
                let diffs = if has_options { self.options(&mut rest).ok()? } else { &[] };
                rest = self.read(after, rest, &mut new).ok()?;
                self.complete(&old, &mut new, diffs).ok()?;
            }
            if let Some(text) = self.bad_cell(at, reason, &old).or_else(|| self.bad_cell(at, reason, &new)) {
                return Some(text);
            }
        }
        None
    }

    /// A value that is bad for this reason, and the row's key.
    fn bad_cell(&self, at: usize, reason: &str, cells: &[Cell<'_>]) -> Option<String> {
        let column = self.columns.get(at)?;
        let (fault, value) = match *cells.get(at)? {
            Cell::Value(bytes) => self.bad_value(column, bytes)?,
            Cell::Patched { document, diffs } => self.bad_document(column, document, diffs)?,
            Cell::Absent | Cell::Null => return None,
        };
        if fault.reason() != Some(reason) {
            return None;
        }
        let key = self.columns.iter().zip(cells).enumerate().filter(|(_, (column, _))| column.key != KeyRule::None);
        let key = key.filter_map(|(index, (column, &cell))| {
            Some(format!("{} = {}", self.source_name(index)?, self.value_of(index, column, cell)?))
        });
        Some(format!("{value} at {}", key.collect::<Vec<_>>().join(", ")))
    }

    fn bad_value(&self, column: &ColumnOp, bytes: &[u8]) -> Option<(Fault, String)> {
        let fault = self.write_chosen(self.chosen_of(column.op)?, &mut &*bytes, &mut Vec::new()).err()?;
        Some((fault, self.value_text(column, fault, raw_value(&mut &*bytes, column.width).ok()?)))
    }

    fn bad_document(&self, column: &ColumnOp, document: &[u8], diffs: &[u8]) -> Option<(Fault, String)> {
        let mut text = Vec::new();
        self.patched_text(column, document, diffs, &mut text).ok()?;
        let fault = self.check_document(column.op, &text, 0).err()?;
        Some((fault, self.value_text(column, fault, content(&text))))
    }

    fn chosen_of(&self, op: Op) -> Option<&Chosen> {
        let Op::Chosen(at) = op else { return None };
        self.chosen.get(usize::from(at.index))
    }

    /// Counts values that become NULL here from now on.
    pub(super) fn counting(mut self, bad_values: Option<Arc<BadValues>>) -> Self {
        self.bad_values = bad_values.filter(|_| self.chosen.iter().any(|chosen| chosen.or_null));
        self
    }
}

/// Takes the value of up to 32 bytes off the end, as a number in two's complement.
fn taken(out: &mut Vec<u8>, start: usize, is_signed: bool) -> Wide {
    let number = Wide::from_le_bytes(out.get(start..).unwrap_or_default(), is_signed);
    out.truncate(start);
    number
}

fn taken_i64(out: &mut Vec<u8>, start: usize) -> i64 {
    let number = out.get(start..).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_le_bytes);
    out.truncate(start);
    number
}

fn int(out: &mut Vec<u8>, start: usize, bytes: u8, is_signed: bool, is_from_signed: bool) -> Result<(), Fault> {
    let number = taken(out, start, is_from_signed);
    if !number.fits(bytes, is_signed) {
        return Err(Fault::BeyondTarget);
    }
    number.append(bytes, out);
    Ok(())
}

fn boolean(out: &mut Vec<u8>, start: usize) -> Result<(), Fault> {
    // BIT has eight bytes, of which MySQL fills one.
    match out.get(start..) {
        Some([0 | 1, rest @ ..]) if rest.iter().all(|&byte| byte == 0) => out.truncate(start + 1),
        _ => return Err(Fault::NotBoolean),
    }
    Ok(())
}

fn decimal(out: &mut Vec<u8>, start: usize, (from, to): (u8, u8), bytes: u8, limit: &Wide) -> Result<(), Fault> {
    let number = taken(out, start, true);
    let scaled = if to >= from { number.times_ten(to - from) } else { Some(number.divided_by_ten(from - to)?) };
    let number = scaled.filter(|scaled| scaled.is_below(limit)).ok_or(Fault::BeyondTarget)?;
    number.append(bytes, out);
    Ok(())
}

fn ticks(out: &mut Vec<u8>, start: usize, from: u8, to: u8) -> Result<(), Fault> {
    let found = taken_i64(out, start);
    let factor = 10i64.pow(u32::from(from.abs_diff(to)));
    let ticks = match to >= from {
        true => found.checked_mul(factor).ok_or(Fault::BeyondTarget)?,
        false if found % factor == 0 => found / factor,
        false => return Err(Fault::Inexact),
    };
    rowbinary::fixed(out, ticks.to_le_bytes());
    Ok(())
}

fn seconds(out: &mut Vec<u8>, start: usize, from: u8) -> Result<(), Fault> {
    ticks(out, start, from, 0)?;
    let seconds = u32::try_from(taken_i64(out, start)).map_err(|_| Fault::BeyondTarget)?;
    rowbinary::fixed(out, seconds.to_le_bytes());
    Ok(())
}

fn days(out: &mut Vec<u8>, start: usize) -> Result<(), Fault> {
    let days = out.get(start..).and_then(|bytes| bytes.try_into().ok()).map_or(-1, i32::from_le_bytes);
    out.truncate(start);
    rowbinary::fixed(out, u16::try_from(days).map_err(|_| Fault::BeyondTarget)?.to_le_bytes());
    Ok(())
}

fn document(out: &[u8], start: usize) -> Result<(), Fault> {
    let text = content(out.get(start..).unwrap_or_default());
    if json_object::is_kept(text) { Ok(()) } else { Err(Fault::NotKept) }
}

/// A string without its length.
fn content(string: &[u8]) -> &[u8] {
    let length_bytes = string.iter().position(|&byte| byte < 0x80).map_or(0, |last| last + 1);
    string.get(length_bytes..).unwrap_or_default()
}

/// A string of 16 bytes as the two halves of a number, each with its lowest byte first.
fn uuid_of_bytes(out: &mut Vec<u8>, start: usize) -> Result<(), Fault> {
    let string = out.get(start..).and_then(|bytes| bytes.split_first());
    let value = string.and_then(|(_, value)| <[u8; UUID_BYTES]>::try_from(value).ok()).ok_or(Fault::NotUuid)?;
    out.truncate(start);
    append_uuid(value, out);
    Ok(())
}

/// As `CAST(UUID_TO_BIN(..))` reads it, with all its dashes. In a key only in lower case, so that no two texts are one.
fn uuid_of_text(out: &mut Vec<u8>, start: usize, is_key: bool) -> Result<(), Fault> {
    let string = out.get(start..).and_then(|bytes| bytes.split_first());
    let text = string.map(|(_, text)| text).filter(|text| text.len() == UUID_CHARACTERS).ok_or(Fault::NotUuid)?;
    let mut value = [0; UUID_BYTES];
    let mut digits = 0_usize;
    for (place, &byte) in text.iter().enumerate() {
        if matches!(place, 8 | 13 | 18 | 23) {
            (byte == b'-').then_some(()).ok_or(Fault::NotUuid)?;
            continue;
        }
        let is_allowed = !(is_key && byte.is_ascii_uppercase());
        let digit = char::from(byte).to_digit(16).filter(|_| is_allowed).ok_or(Fault::NotUuid)?;
        let digit = u8::try_from(digit).map_err(|_| Fault::NotUuid)?;
        if let Some(byte) = value.get_mut(digits / 2) {
            *byte = *byte << 4 | digit;
        }
        digits += 1;
    }
    out.truncate(start);
    append_uuid(value, out);
    Ok(())
}

fn append_uuid(value: [u8; UUID_BYTES], out: &mut Vec<u8>) {
    let number = u128::from_be_bytes(value).to_le_bytes();
    let (low, high) = number.split_at(UUID_BYTES / 2);
    out.extend_from_slice(high);
    out.extend_from_slice(low);
}

fn enumeration(
    input: &mut &[u8],
    width: Width,
    bytes: u8,
    numbers: &[Option<i16>],
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let index = usize::try_from(little_endian(raw_value(input, width)?)).map_err(|_| Fault::NoSuchLabel)?;
    let number = match numbers.get(index) {
        None => return Err(Fault::NoSuchLabel),
        Some(None) => return Err(Fault::NoMember),
        Some(Some(number)) => *number,
    };
    out.extend_from_slice(number.to_le_bytes().get(..usize::from(bytes)).unwrap_or_default());
    Ok(())
}

/// The number of each label, that of the empty string of an invalid value first. In a key it is not that of a label ''.
fn numbers(ty: &SourceType, members: &[(String, i16)], is_key: bool) -> Vec<Option<i16>> {
    let SourceType::Enum { labels } = ty else { return Vec::new() };
    let number = |label: &str| members.iter().find(|(name, _)| name == label).map(|(_, number)| *number);
    let is_ambiguous = is_key && labels.iter().any(String::is_empty);
    let invalid = number("").filter(|_| !is_ambiguous);
    std::iter::once(invalid).chain(labels.iter().map(|label| number(label))).collect()
}

/// Decimals behind the point.
fn digits(ty: &SourceType) -> u8 {
    let (SourceType::Decimal { scale: digits, .. }
    | SourceType::Time { fsp: digits }
    | SourceType::DateTime { fsp: digits }
    | SourceType::Timestamp { fsp: digits }) = ty
    else {
        return 0;
    };
    *digits
}

fn is_signed_int(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Int { unsigned: false, .. })
}

fn is_binary(ty: &SourceType) -> bool {
    matches!(
        ty,
        SourceType::Char { charset: Charset::Binary, .. } | SourceType::VarChar { charset: Charset::Binary, .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Result};
    use crate::position::Version;
    use crate::rowbinary::{Body, ChunkPool};
    use crate::schema::choices::{Choices, OnBadValue};
    use crate::schema::target::TargetColumn;
    use crate::schema::types::SourceColumn;
    use crate::transcode::{Limits, Stride};

    fn plan(
        ty: &SourceType,
        is_key: bool,
        target: &str,
        policy: OnBadValue,
        counts: Option<Arc<BadValues>>,
    ) -> RowPlan {
        let id = SourceType::Int { bytes: 1, unsigned: false };
        let column =
            |name: &str, ty: &SourceType| SourceColumn { name: name.to_owned(), ty: ty.clone(), nullable: false };
        let target_column = |(name, ty): (&str, &str)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() };
        let target =
            [("id", "Int8"), ("c", target), ("_version", "UInt64"), ("_is_deleted", "UInt8")].map(target_column);
        let choices = Choices { on_bad_value: [("c".to_owned(), policy)].into(), ..Choices::default() };
        let source = [column("id", &id), column("c", ty)];
        let key: &[usize] = if is_key { &[0, 1] } else { &[0] };
        RowPlan::compile_chosen(&source, key, &target, &choices, counts).unwrap()
    }

    fn rows(plan: &RowPlan, images: &[u8]) -> Result<Vec<u8>> {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        let mut rows = RowsCursor::plain(RowsKind::Write, images, Version(9), Stride::Bytes);
        plan.append_rows(&mut rows, &mut body, &mut pool, Limits::NONE)?;
        Ok(body.chunks().concat())
    }

    /// The bytes of a value, or why there are none.
    fn value_in(ty: &SourceType, is_key: bool, target: &str, image: &[u8]) -> std::result::Result<Vec<u8>, String> {
        let plan = plan(ty, is_key, target, OnBadValue::Fail, None);
        let row = rows(&plan, &[&[0, 7], image].concat()).map_err(|error| {
            assert_eq!(error.kind, ErrorKind::BadRow, "{error}");
            error.text.clone()
        })?;
        Ok(row[1..row.len() - 9].to_vec())
    }

    fn value(ty: &SourceType, target: &str, image: &[u8]) -> std::result::Result<Vec<u8>, String> {
        value_in(ty, false, target, image)
    }

    fn refused(ty: &SourceType, target: &str, image: &[u8], expected: &str) {
        let error = value(ty, target, image).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }

    const INT: SourceType = SourceType::Int { bytes: 4, unsigned: false };
    const BIGINT: SourceType = SourceType::Int { bytes: 8, unsigned: true };

    #[test]
    fn integers_in_range() {
        assert_eq!(value(&INT, "Int64", &(-5i32).to_le_bytes()), Ok((-5i64).to_le_bytes().to_vec()));
        assert_eq!(value(&INT, "Int256", &(-5i32).to_le_bytes()).unwrap()[4..], [0xff; 28]);
        assert_eq!(value(&INT, "UInt8", &255i32.to_le_bytes()), Ok(vec![255]));
        refused(&INT, "UInt8", &256i32.to_le_bytes(), "256 is outside of the target column's range: mend the row");
        refused(&INT, "UInt64", &(-1i32).to_le_bytes(), "-1 is outside");
        refused(&BIGINT, "Int64", &u64::MAX.to_le_bytes(), "18446744073709551615 is outside");
        assert_eq!(value(&BIGINT, "Int128", &u64::MAX.to_le_bytes()), Ok(i128::from(u64::MAX).to_le_bytes().to_vec()));
        assert_eq!(value(&SourceType::Year, "UInt32", &[124]), Ok(2024u32.to_le_bytes().to_vec()));
        assert_eq!(value(&SourceType::Bit { bits: 9 }, "UInt16", &[1, 2]), Ok(vec![2, 1]));
        let tiny = SourceType::Int { bytes: 1, unsigned: false };
        assert_eq!(value(&tiny, "Nullable(Bool)", &[1]), Ok(vec![0, 1]));
        refused(&tiny, "Bool", &[0xff], "-1 is neither 0 nor 1, for a Bool: ");
        assert_eq!(value(&SourceType::Bit { bits: 1 }, "Bool", &[1]), Ok(vec![1]));
    }

    #[test]
    fn decimals_with_room() {
        let decimal = SourceType::Decimal { precision: 4, scale: 2 };
        let image = [0x80 + 12, 34];
        assert_eq!(value(&decimal, "Decimal(9, 4)", &image), Ok(123_400i32.to_le_bytes().to_vec()));
        assert_eq!(value(&decimal, "Decimal(38, 2)", &image.map(|byte| !byte)), Ok((-1234i128).to_le_bytes().to_vec()));
        assert_eq!(value(&decimal, "Decimal(76, 40)", &image).unwrap().len(), 32);
        refused(&decimal, "Decimal(5, 4)", &image, "12.34 is outside");
        refused(&decimal, "Decimal(9, 1)", &image, "12.34 has more decimals than the target column");
        assert_eq!(value(&decimal, "Decimal(9, 1)", &[0x80 + 12, 30]), Ok(123i32.to_le_bytes().to_vec()));
        assert_eq!(value(&decimal, "String", &image), Ok(b"\x0512.34".to_vec()));
    }

    fn moment(packed: u64) -> [u8; 5] {
        *(packed | 1 << 39).to_be_bytes().last_chunk().unwrap()
    }

    #[test]
    fn moments_of_other_precision() {
        let second = moment((1970 * 13 + 1) << 22 | 1 << 17 | 1);
        let fine = SourceType::DateTime { fsp: 6 };
        let image = |micros: u32| [&second[..], &micros.to_be_bytes()[1..]].concat();
        let ticks = |ticks: i64| Ok(ticks.to_le_bytes().to_vec());
        assert_eq!(value(&fine, "DateTime64(3)", &image(250_000)), ticks(1250));
        assert_eq!(value(&fine, "DateTime64(9, 'UTC')", &image(250_000)), ticks(1_250_000_000));
        refused(&fine, "DateTime64(3)", &image(1), "1970-01-01 00:00:01.000001 has more decimals");
        assert_eq!(value(&fine, "DateTime", &image(0)), Ok(1u32.to_le_bytes().to_vec()));
        refused(&fine, "DateTime", &image(500_000), "1970-01-01 00:00:01.500000 has more decimals");
        let late = moment((9999 * 13 + 12) << 22 | 31 << 17);
        let datetime = SourceType::DateTime { fsp: 0 };
        refused(&datetime, "DateTime", &late, "9999-12-31 00:00:00 is outside");
        refused(&datetime, "DateTime64(9)", &late, "9999-12-31 00:00:00 is outside");
        refused(&datetime, "DateTime", &moment(0), "'0000-00-00 00:00:00' is no date");
        assert_eq!(value(&datetime, "Nullable(DateTime)", &moment(0)), Ok(vec![1]));
        assert_eq!(value(&datetime, "Nullable(String)", &moment(0)), Ok(b"\0\x130000-00-00 00:00:00".to_vec()));
        let date = (2150u32 << 9 | 1 << 5 | 1).to_le_bytes();
        refused(&SourceType::Date, "Date", &date[..3], "2150-01-01 is outside");
        let date = (1970u32 << 9 | 1 << 5 | 3).to_le_bytes();
        assert_eq!(value(&SourceType::Date, "Date", &date[..3]), Ok(vec![2, 0]));
    }

    #[test]
    fn uuids() {
        let expected: Vec<u8> = (0..16u8).map(|byte| if byte < 8 { 7 - byte } else { 23 - byte }).collect();
        let bytes: Vec<u8> = (0..16).collect();
        let binary = SourceType::Char { max_bytes: 16, charset: Charset::Binary };
        assert_eq!(value(&binary, "UUID", &[&[16], &bytes[..]].concat()), Ok(expected.clone()));
        let varying = SourceType::VarChar { max_bytes: 16, charset: Charset::Binary };
        refused(&varying, "UUID", &[1, 7], "07 is no UUID");
        let text = SourceType::Char { max_bytes: 144, charset: Charset::Utf8 };
        let image = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let (lower, upper) = ("00010203-0405-0607-0809-0a0b0c0d0e0f", "00010203-0405-0607-0809-0A0B0C0D0E0F");
        for (text_of, is_key) in [(lower, false), (upper, false), (lower, true)] {
            assert_eq!(value_in(&text, is_key, "UUID", &image(text_of)), Ok(expected.clone()), "{text_of}");
        }
        assert!(value_in(&text, true, "UUID", &image(upper)).unwrap_err().contains("'00010203-0405-0607-0809-0A0B"));
        for bad in ["", "00010203-0405-0607-0809-0a0b0c0d0e0", "00010203-0405-0607-0809-0a0b0c0d0e0g"] {
            assert!(value(&text, "UUID", &image(bad)).unwrap_err().contains("is no UUID"), "{bad}");
        }
        assert!(value(&text, "UUID", &image("00010203 0405-0607-0809-0a0b0c0d0e0f")).is_err());
        refused(&text, "UUID", &image(&"é".repeat(18)), "'ééé");
    }

    #[test]
    fn labels_as_numbers() {
        let labels = SourceType::Enum { labels: vec!["a".to_owned(), "b".to_owned()] };
        let numbers = |target: &str, index: u8| value(&labels, target, &[index]);
        assert_eq!(numbers("Enum8('' = 0, 'a' = 1, 'b' = -7)", 2), Ok(vec![0xf9]));
        assert_eq!(numbers("Enum8('' = 5, 'a' = 1, 'b' = -7)", 0), Ok(vec![5]));
        assert_eq!(numbers("Enum16('a' = 1000, 'b' = 1)", 1), Ok(vec![0xe8, 3]));
        assert!(
            numbers("Enum8('a' = 1, 'b' = 2)", 0).unwrap_err().starts_with("index 0 has no member in the target's")
        );
        assert!(numbers("Enum8('a' = 1, 'b' = 2)", 3).unwrap_err().starts_with("index 3 is beyond the labels"));
        let with_empty = SourceType::Enum { labels: vec![String::new(), "b".to_owned()] };
        assert_eq!(value(&with_empty, "Enum8('' = 0, 'b' = 1)", &[0]), Ok(vec![0]));
        assert!(value_in(&with_empty, true, "Enum8('' = 0, 'b' = 1)", &[0]).unwrap_err().contains("index 0"));
        assert_eq!(value_in(&with_empty, true, "Enum8('' = 0, 'b' = 1)", &[1]), Ok(vec![0]));
    }

    #[test]
    fn bad_values_become_null_and_are_counted() {
        let counts = Arc::new(BadValues::default());
        let plan = plan(&INT, false, "Nullable(UInt8)", OnBadValue::Null, Some(Arc::clone(&counts)));
        let image = |id: u8, number: i32| [&[0, id][..], &number.to_le_bytes()].concat();
        let images = [image(1, 7), image(2, 300), image(3, -1), image(4, 8)].concat();
        let found = rows(&plan, &images).unwrap();
        let values: Vec<u8> = [&[1, 0, 7][..], &[0; 9]].concat();
        assert_eq!(found[..3], values[..3]);
        let (second, tail) = (&found[12..14], found.len());
        assert_eq!((second, tail), (&[2, 1][..], 12 + 11 + 11 + 12));
        let all = counts.all();
        assert_eq!((all.len(), all[0].column.as_str(), all[0].reason, all[0].values), (1, "c", "out_of_range", 2));
        assert_eq!(counts.news(), [("c".to_owned(), "out_of_range", "300 at id = 2".to_owned())]);
        rows(&plan, &images).unwrap();
        assert_eq!((counts.all()[0].values, counts.news().len()), (4, 0), "told once");
    }

    #[test]
    fn a_default_type_may_have_a_policy_too() {
        let counts = Arc::new(BadValues::default());
        let plan = plan(&SourceType::Date, false, "Nullable(Date32)", OnBadValue::Null, Some(Arc::clone(&counts)));
        let date = |day: u32| [&[0, 7][..], &(2024u32 << 9 | 2 << 5 | day).to_le_bytes()[..3]].concat();
        let found = rows(&plan, &[date(31), date(0), date(29)].concat()).unwrap();
        assert_eq!((found[1], found[12], found[23]), (1, 1, 0), "the second is a partial date, NULL in any case");
        let all: Vec<_> = counts.all().into_iter().map(|count| (count.reason, count.values)).collect();
        assert_eq!(all, [("no_such_day", 1)]);
        assert_eq!(counts.news()[0].2, "2024-02-31 at id = 7");
        let error = rows(&plan, &[0, 7, 1]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::CorruptStream, "what is cut off is no bad value");
    }
}
