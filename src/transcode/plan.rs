//! A plan: what is done with each column of a row image, decided once per version of a table.
//!
//! [`RowPlan::compile`] compares the source's columns with the target's and turns each into one small [`Op`]; whatever
//! does not fit exactly is an error here, before the first row. A target column that the source lacks is left to its
//! DEFAULT. On key columns every mapping must be injective, or two rows of MySQL become one: so a key is never NULL, its
//! ENUM and SET labels differ from one another, and an empty string that stands for two values is refused row by row.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::metrics::bad_values::BadValues;
use crate::schema::charset::Use;
use crate::schema::choices::{Choices, OnBadValue};
use crate::schema::form::Form;
use crate::schema::keyless;
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target::TargetColumn;
use crate::schema::types::{Charset, SourceColumn, SourceType};

use super::chosen::{self, Chosen, ChosenOp};
use super::image::{Skip, Width, skips};
use super::mysql_text;
use super::number::{DecimalLayout, VECTOR_LENGTH_BYTES, Vector, decimal_bytes};
use super::temporal::{Fraction, OldTimeUnit};
use super::text::{LabelArena, Labels, Prefix, Text};

/// The columns that every row carries after the source's own, with their types.
const ROW_TAIL: [(&str, &str); 2] = [("_version", "UInt64"), ("_is_deleted", "UInt8")];
pub(super) const ROW_TAIL_BYTES: usize = 9;
/// Rows that cannot be longer get room for their maximum; the image of a longer one is measured first.
const ROW_BOUND_BYTES: usize = 2048;

/// How one value is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Copy1,
    Copy2,
    Copy4,
    Copy8,
    Int24,
    UInt24,
    Decimal32(DecimalLayout),
    Decimal64(DecimalLayout),
    Decimal128(DecimalLayout),
    Decimal256(DecimalLayout),
    Year,
    Date,
    DateTime(Fraction),
    Timestamp(Fraction),
    Time(Fraction),
    OldTime(OldTimeUnit),
    OldDateTime,
    OldTimestamp,
    Bit(u8),
    Bytes(Prefix),
    Padded(Prefix),
    Utf8(Prefix, Charset),
    Latin1(Prefix),
    Text(Text),
    Json(Prefix),
    Vector(Vector),
    Enum(Labels),
    Set(Labels),
    Chosen(ChosenOp),
}

/// How many bytes a value is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// This many.
    Fixed(usize),
    /// A length and as many bytes.
    String,
    /// A length and as many floats.
    Floats,
}

/// How a key column's values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyRule {
    /// Not in the key.
    None,
    /// By their bytes.
    Bytes,
    /// By value: -0.0 is 0.0.
    Float32,
    /// As `Float32`.
    Float64,
}

/// One column of the source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ColumnOp {
    pub(super) op: Op,
    /// Where its value ends.
    pub(super) width: Width,
    /// The target is Nullable: a flag goes before the value.
    pub(super) nullable: bool,
    pub(super) key: KeyRule,
}

/// How much room a row needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RowBound {
    /// No row is longer.
    Constant(usize),
    /// Its image and this much.
    ImagePlus(usize),
}

/// The compiled plan of one table version: row images in, RowBinary rows out.
#[derive(Debug, Clone, PartialEq)]
pub struct RowPlan {
    pub(super) columns: Vec<ColumnOp>,
    /// Over the values of all columns, when none is NULL.
    pub(super) skips: Vec<Skip>,
    pub(super) labels: LabelArena,
    /// What [`Op::Chosen`] names.
    pub(super) chosen: Vec<Chosen>,
    /// Where values that become NULL are counted.
    pub(super) bad_values: Option<Arc<BadValues>>,
    pub(super) bound: RowBound,
    /// Columns up to the last one of the key; 0 without a key.
    pub(super) key_end: usize,
    /// Whether the target is a log of changes: an UPDATE writes both of its images.
    pub(super) is_log: bool,
    insert_columns: Vec<TargetColumn>,
}

impl RowPlan {
    /// The plan for rows of `source`, whose key columns `key` indexes, into a table that has the columns `target`.
    /// Without a key, no UPDATE changes it, unless the target is a log of changes ([`keyless`]).
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming the column that does not fit, and what mends it.
    pub fn compile(source: &[SourceColumn], key: &[usize], target: &[TargetColumn]) -> Result<Self> {
        Self::compile_chosen(source, key, target, &Choices::default(), None)
    }

    /// As [`RowPlan::compile`], with what becomes of bad values, and where those that become NULL are counted.
    ///
    /// # Errors
    /// As [`RowPlan::compile`].
    pub fn compile_chosen(
        source: &[SourceColumn],
        key: &[usize],
        target: &[TargetColumn],
        choices: &Choices,
        bad_values: Option<Arc<BadValues>>,
    ) -> Result<Self> {
        if source.is_empty() {
            return Err(shape("the table has no columns"));
        }
        let mut plan = Self {
            columns: Vec::with_capacity(source.len()),
            skips: Vec::new(),
            labels: LabelArena::default(),
            chosen: Vec::new(),
            bad_values: None,
            bound: RowBound::Constant(0),
            key_end: 0,
            is_log: keyless::is_log(source, key, target),
            insert_columns: Vec::with_capacity(source.len() + ROW_TAIL.len()),
        };
        for (index, column) in source.iter().enumerate() {
            let is_key = key.contains(&index);
            let or_null = choices.of(&column.name).on_bad_value == OnBadValue::Null;
            plan.add(column, is_key, or_null, target).map_err(|error| error.at_column(&column.name))?;
        }
        for (name, ty) in ROW_TAIL {
            plan.insert_columns.push(tail_column(target, name, ty)?);
        }
        plan.key_end = key.iter().map(|index| index + 1).max().unwrap_or(0);
        if plan.key_end > source.len() {
            return Err(shape("the key names a column that the table does not have"));
        }
        plan.bound = plan.row_bound();
        plan.skips = skips(plan.columns.iter().map(|column| column.width));
        Ok(plan.counting(bad_values))
    }

    /// Whether the target is a log of changes, in which every image of the stream is a row.
    pub fn is_log(&self) -> bool {
        self.is_log
    }

    /// Name of source column `index`.
    pub(super) fn source_name(&self, index: usize) -> Option<&str> {
        self.target_column(index).map(|column| column.name.as_str())
    }

    /// The columns of each row, in order, with the target's types: the source's, then `_version` and `_is_deleted`.
    pub fn insert_columns(&self) -> Vec<TargetColumn> {
        self.insert_columns.clone()
    }

    /// The target's column of source column `index`.
    pub(super) fn target_column(&self, index: usize) -> Option<&TargetColumn> {
        self.insert_columns.get(index).filter(|_| index < self.columns.len())
    }

    fn add(&mut self, column: &SourceColumn, is_key: bool, or_null: bool, target: &[TargetColumn]) -> Result<()> {
        if ROW_TAIL.iter().any(|(name, _)| *name == column.name) {
            return Err(shape("the name is reserved for the replicator's own column; rename it in MySQL"));
        }
        let target = target.iter().find(|candidate| candidate.name == column.name);
        let target = target.ok_or_else(|| missing(column, is_key))?;
        let fit = mapping::fit(column, is_key, &target.ty)?;
        if or_null && !fit.nullable {
            return Err(shape("on_bad_value = \"null\" needs a Nullable column"));
        }
        let op = self.op(column, &fit.form, is_key);
        let op = op.unwrap_or_else(|| Err(shape("the type's parameters are impossible")))?;
        let width = op.width();
        let op = self.in_form(column, op, &fit.form, is_key, or_null)?;
        let key = match (is_key, &column.ty) {
            (false, _) => KeyRule::None,
            (true, SourceType::Float) => KeyRule::Float32,
            (true, SourceType::Double) => KeyRule::Float64,
            (true, _) => KeyRule::Bytes,
        };
        self.columns.push(ColumnOp { op, width, nullable: fit.nullable, key });
        self.insert_columns.push(target.clone());
        Ok(())
    }

    /// `op`, or one that makes its values those of a form that is not the default type's.
    fn in_form(&mut self, column: &SourceColumn, op: Op, form: &Form, is_key: bool, or_null: bool) -> Result<Op> {
        let SourceColumn { name, ty, .. } = column;
        let Some(chosen) = Chosen::new(&chosen::Column { name, ty, is_key, or_null }, form, op) else { return Ok(op) };
        let index = u16::try_from(self.chosen.len()).map_err(|_| shape("more columns than a plan holds"))?;
        let at = ChosenOp { index, bytes: chosen.bytes(), width: op.width() };
        self.chosen.push(chosen);
        Ok(Op::Chosen(at))
    }

    /// The op of a default type; `None` when its parameters are out of MySQL's ranges.
    fn op(&mut self, column: &SourceColumn, form: &Form, is_key: bool) -> Option<Result<Op>> {
        Some(Ok(match &column.ty {
            SourceType::Int { bytes, unsigned } => int_op(*bytes, *unsigned)?,
            SourceType::Float => Op::Copy4,
            SourceType::Double => Op::Copy8,
            SourceType::Decimal { precision, scale } => decimal_op(*precision, DecimalLayout::new(*precision, *scale)?),
            SourceType::Year => Op::Year,
            SourceType::Date => Op::Date,
            SourceType::Time { fsp } if *form == Form::Microseconds => Op::Time(Fraction::microseconds(*fsp)?),
            SourceType::Time { fsp } => Op::Time(Fraction::exact(*fsp)?),
            SourceType::DateTime { fsp } => Op::DateTime(Fraction::exact(*fsp)?),
            SourceType::Timestamp { fsp } => Op::Timestamp(Fraction::exact(*fsp)?),
            SourceType::OldTime if *form == Form::Microseconds => Op::OldTime(OldTimeUnit::Microseconds),
            SourceType::OldTime => Op::OldTime(OldTimeUnit::Seconds),
            SourceType::OldDateTime => Op::OldDateTime,
            SourceType::OldTimestamp => Op::OldTimestamp,
            SourceType::Bit { bits } => Op::Bit(Some(bits.div_ceil(8)).filter(|bytes| (1..=8).contains(bytes))?),
            SourceType::Char { max_bytes, charset: Charset::Binary } => Op::Padded(short_prefix(*max_bytes)),
            SourceType::Char { max_bytes, charset } | SourceType::VarChar { max_bytes, charset } => {
                text_op(short_prefix(*max_bytes), *charset, is_key)
            }
            SourceType::Blob { length_bytes, charset } => text_op(blob_prefix(*length_bytes)?, *charset, is_key),
            SourceType::Json => Op::Json(blob_prefix(4)?),
            SourceType::JsonText => text_op(blob_prefix(4)?, Charset::Utf8, is_key),
            SourceType::Geometry => Op::Bytes(blob_prefix(4)?),
            SourceType::Vector => Op::Vector(Vector { empty_is_null: column.nullable }),
            SourceType::Enum { labels } => {
                return Some(self.add_labels(labels, enum_bytes(labels.len()), is_key).map(Op::Enum));
            }
            SourceType::Set { labels } => {
                return Some(self.add_labels(labels, set_bytes(labels.len())?, is_key).map(Op::Set));
            }
            SourceType::Unsupported { .. } => return None,
        }))
    }

    fn add_labels(&mut self, labels: &[String], bytes: u8, is_key: bool) -> Result<Labels> {
        let too_many = || shape("more ENUM and SET labels than a plan holds");
        let first = u32::try_from(self.labels.len()).map_err(|_| too_many())?;
        let count = u16::try_from(labels.len()).map_err(|_| too_many())?;
        for label in labels {
            self.labels.push(label).ok_or_else(too_many)?;
        }
        if is_key && has_duplicates(labels) {
            return Err(shape("two labels of a key column are equal: rows could not be told apart"));
        }
        let refuses_zero = is_key && labels.iter().any(String::is_empty);
        Ok(Labels { bytes, first, count, refuses_zero })
    }

    fn row_bound(&self) -> RowBound {
        let most: usize = self.columns.iter().map(|column| self.most_bytes(column)).fold(0, usize::saturating_add);
        if most <= ROW_BOUND_BYTES {
            return RowBound::Constant(most + ROW_TAIL_BYTES);
        }
        // Strings are as long as in the image, apart from their lengths; converted text and JSON may grow beyond.
        let is_string =
            |op| matches!(op, Op::Bytes(_) | Op::Utf8(..) | Op::Latin1(_) | Op::Text(_) | Op::Json(_) | Op::Vector(_));
        let besides = |column: &ColumnOp| if is_string(self.sized_as(column.op)) { 6 } else { self.most_bytes(column) };
        let fixed = self.columns.iter().map(besides);
        RowBound::ImagePlus(fixed.fold(ROW_TAIL_BYTES, usize::saturating_add))
    }

    /// The op whose values have this one's lengths.
    fn sized_as(&self, op: Op) -> Op {
        let Op::Chosen(at) = op else { return op };
        self.chosen.get(usize::from(at.index)).filter(|chosen| chosen.is_default()).map_or(op, |chosen| chosen.op)
    }

    /// The most bytes that a column takes in a row.
    fn most_bytes(&self, column: &ColumnOp) -> usize {
        let op = self.sized_as(column.op);
        let value = match (op.written(), op) {
            (Written::Fixed(bytes), _) => bytes,
            (_, Op::Bytes(prefix) | Op::Utf8(prefix, _) | Op::Padded(prefix)) => 5 + prefix.max as usize,
            (_, Op::Latin1(prefix) | Op::Text(Text { prefix, .. })) => 5 + 3 * prefix.max as usize,
            (_, Op::Enum(labels)) => 5 + self.labels.longest(labels),
            (_, Op::Set(labels)) => 5 + self.labels.all(labels),
            (_, Op::Chosen(_)) => 5 + mysql_text::Text::BYTES_MAX,
            (Written::String | Written::Floats, _) => u32::MAX as usize,
        };
        value + usize::from(column.nullable)
    }
}

impl Op {
    pub(super) fn written(self) -> Written {
        match self {
            Op::Copy1 => Written::Fixed(1),
            Op::Copy2 | Op::Year => Written::Fixed(2),
            Op::Copy4 | Op::Int24 | Op::UInt24 | Op::Decimal32(_) | Op::Date => Written::Fixed(4),
            Op::Copy8 | Op::Decimal64(_) | Op::DateTime(_) | Op::Timestamp(_) | Op::Time(_) | Op::Bit(_) => {
                Written::Fixed(8)
            }
            Op::OldTime(_) | Op::OldDateTime | Op::OldTimestamp => Written::Fixed(8),
            Op::Decimal128(_) => Written::Fixed(16),
            Op::Decimal256(_) => Written::Fixed(32),
            Op::Bytes(_) | Op::Utf8(..) | Op::Padded(_) | Op::Latin1(_) | Op::Text(_) => Written::String,
            Op::Json(_) | Op::Enum(_) | Op::Set(_) => Written::String,
            Op::Vector(_) => Written::Floats,
            Op::Chosen(ChosenOp { bytes: 0, .. }) => Written::String,
            Op::Chosen(ChosenOp { bytes, .. }) => Written::Fixed(usize::from(bytes)),
        }
    }

    /// Bytes of the target type's default value, which are all zero: of a string or an array, its length.
    pub(super) fn default_bytes(self) -> usize {
        match self.written() {
            Written::Fixed(bytes) => bytes,
            Written::String | Written::Floats => 1,
        }
    }

    pub(super) fn width(self) -> Width {
        match self {
            Op::Copy1 | Op::Year => Width::Fixed(1),
            Op::Copy2 => Width::Fixed(2),
            Op::Int24 | Op::UInt24 | Op::Date => Width::Fixed(3),
            Op::Copy4 => Width::Fixed(4),
            Op::Copy8 => Width::Fixed(8),
            Op::Decimal32(layout) | Op::Decimal64(layout) | Op::Decimal128(layout) | Op::Decimal256(layout) => {
                Width::Fixed(layout.bytes())
            }
            Op::DateTime(fraction) => Width::Fixed(fraction.value_bytes(5)),
            Op::Timestamp(fraction) => Width::Fixed(fraction.value_bytes(4)),
            Op::Time(fraction) => Width::Fixed(fraction.value_bytes(3)),
            Op::OldTime(_) => Width::Fixed(3),
            Op::OldDateTime => Width::Fixed(8),
            Op::OldTimestamp => Width::Fixed(4),
            Op::Bit(bytes) => Width::Fixed(bytes),
            Op::Bytes(prefix) | Op::Utf8(prefix, _) | Op::Padded(prefix) | Op::Latin1(prefix) | Op::Json(prefix) => {
                Width::Prefixed(prefix.bytes)
            }
            Op::Text(text) => Width::Prefixed(text.prefix.bytes),
            Op::Vector(_) => Width::Prefixed(VECTOR_LENGTH_BYTES),
            Op::Enum(labels) | Op::Set(labels) => Width::Fixed(labels.bytes),
            Op::Chosen(at) => at.width,
        }
    }
}

fn int_op(bytes: u8, unsigned: bool) -> Option<Op> {
    Some(match (bytes, unsigned) {
        (1, _) => Op::Copy1,
        (2, _) => Op::Copy2,
        (3, false) => Op::Int24,
        (3, true) => Op::UInt24,
        (4, _) => Op::Copy4,
        (8, _) => Op::Copy8,
        _ => return None,
    })
}

fn decimal_op(precision: u8, layout: DecimalLayout) -> Op {
    match decimal_bytes(precision) {
        4 => Op::Decimal32(layout),
        8 => Op::Decimal64(layout),
        16 => Op::Decimal128(layout),
        _ => Op::Decimal256(layout),
    }
}

fn text_op(prefix: Prefix, charset: Charset, is_key: bool) -> Op {
    if charset == Charset::Binary {
        return Op::Bytes(prefix);
    }
    if charset == Charset::Latin1 {
        return Op::Latin1(prefix);
    }
    if charset.is_utf8() {
        return Op::Utf8(prefix, charset);
    }
    Op::Text(Text { prefix, charset, purpose: if is_key { Use::Key } else { Use::Value } })
}

/// Bytes of an ENUM's index in an image.
pub(super) fn enum_bytes(labels: usize) -> u8 {
    if labels < 256 { 1 } else { 2 }
}

/// Bytes of a SET's bits in an image; `None` when no server has such a type.
pub(super) fn set_bytes(labels: usize) -> Option<u8> {
    let bytes = u8::try_from(labels.div_ceil(8)).ok().filter(|bytes| (1..=8).contains(bytes))?;
    Some(if bytes > 4 { 8 } else { bytes })
}

/// The length before CHAR and VARCHAR of at most `max_bytes`.
pub(super) fn short_prefix(max_bytes: u16) -> Prefix {
    Prefix { bytes: if max_bytes > 255 { 2 } else { 1 }, max: max_bytes.into() }
}

/// The length before a BLOB, of 1..=4 bytes.
pub(super) fn blob_prefix(length_bytes: u8) -> Option<Prefix> {
    let bits = 8 * u32::from(length_bytes);
    (1..=4).contains(&length_bytes).then(|| Prefix { bytes: length_bytes, max: u32::MAX >> (32 - bits) })
}

fn has_duplicates(labels: &[String]) -> bool {
    let mut seen = std::collections::HashSet::new();
    !labels.iter().all(|label| seen.insert(label))
}

fn tail_column(target: &[TargetColumn], name: &str, ty: &str) -> Result<TargetColumn> {
    let column = target.iter().find(|column| column.name == name);
    let column = column.filter(|column| column.ty == ty).cloned();
    column.ok_or_else(|| shape(format!("the target needs this column as {ty}")).at_column(name))
}

fn missing(column: &SourceColumn, is_key: bool) -> Error {
    let ty = match mapping::target_type(column, is_key, false, TargetFeatures { time64: true }) {
        Ok(ty) => ty,
        Err(error) => return error,
    };
    let name = column.name.replace('\\', "\\\\").replace('`', "\\`");
    shape(format!("the target lacks it: ALTER TABLE .. ADD COLUMN `{name}` {ty}"))
}

fn shape(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::TableShape, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, ty: SourceType) -> SourceColumn {
        SourceColumn { name: name.to_owned(), ty, nullable: false }
    }

    fn target(columns: &[(&str, &str)]) -> Vec<TargetColumn> {
        let column = |&(name, ty): &(&str, &str)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() };
        columns.iter().chain(&ROW_TAIL).map(column).collect()
    }

    fn int() -> SourceType {
        SourceType::Int { bytes: 4, unsigned: false }
    }

    #[test]
    fn insert_columns_follow_the_source() {
        let source = [source("b", int()), source("a", SourceType::Date)];
        let target = target(&[("a", "Date32"), ("loaded_at", "DateTime"), ("b", "Nullable(Int32)")]);
        let plan = RowPlan::compile(&source, &[1], &target).unwrap();
        let names: Vec<String> =
            plan.insert_columns().into_iter().map(|column| column.name + " " + &column.ty).collect();
        assert_eq!(names, ["b Nullable(Int32)", "a Date32", "_version UInt64", "_is_deleted UInt8"]);
        assert_eq!(plan.key_end, 2);
        assert!(matches!(plan.bound, RowBound::Constant(18)), "flag + 4 + 4 + 9: {:?}", plan.bound);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let check = |source: &[SourceColumn], key: &[usize], target: &[TargetColumn], expected: &str| {
            let error = RowPlan::compile(source, key, target).unwrap_err();
            assert_eq!(error.kind, ErrorKind::TableShape);
            assert!(error.to_string().contains(expected), "{error}");
        };
        let a = [source("a", SourceType::DateTime { fsp: 3 })];
        check(
            &a,
            &[0],
            &target(&[]),
            "column a: the target lacks it: ALTER TABLE .. ADD COLUMN `a` DateTime64(3, 'UTC')",
        );
        check(&a, &[0], &target(&[("a", "Date")]), "column a: the target's type Date does not take DATETIME(3)");
        check(&a, &[1], &target(&[("a", "DateTime64(3, 'UTC')")]), "the key names a column");
        check(&[source("_version", int())], &[], &target(&[]), "column _version: the name is reserved");
        check(&[], &[], &target(&[]), "no columns");
        let no_tail = [TargetColumn { name: "a".to_owned(), ty: "Int32".to_owned() }];
        check(&[source("a", int())], &[], &no_tail, "column _version: the target needs this column as UInt64");
        let twice = SourceType::Enum { labels: vec!["x".to_owned(), "x".to_owned()] };
        check(&[source("a", twice)], &[0], &target(&[("a", "String")]), "two labels");
        let uuid = SourceType::Unsupported { name: "UUID".to_owned() };
        check(&[source("a", uuid)], &[0], &target(&[("a", "String")]), "column a: UUID NOT NULL is not carried over");
        let odd = SourceType::Bit { bits: 65 };
        check(&[source("a", odd)], &[], &target(&[("a", "UInt64")]), "parameters are impossible");
    }

    #[test]
    fn long_rows_are_measured() {
        let text = SourceType::Blob { length_bytes: 4, charset: Charset::Utf8 };
        let plan = RowPlan::compile(&[source("a", text)], &[], &target(&[("a", "String")])).unwrap();
        assert!(matches!(plan.bound, RowBound::ImagePlus(15)), "{:?}", plan.bound);
    }
}
