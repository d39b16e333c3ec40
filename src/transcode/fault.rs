//! From the fault of a row to the text that a person reads: column, value, remedy. Cold: runs once per failed row.

use crate::error::{Error, ErrorKind};

use crate::schema::charset::BadText;

use super::image::{Fault, big_endian, is_null, little_endian, raw_value, take};
use super::plan::{ColumnOp, Op, RowPlan};
use super::temporal;

/// Bytes of a value that a message shows.
const SHOWN_BYTES: usize = 32;
const NO_DIFFS: &str = "SET PERSIST binlog_row_value_options='', and in every session that has another value";

const OTHER_TYPE: &str =
    "mend the row in MySQL, or choose another type for the column (`types`, `on_bad_value`) and `resync`";

/// Why a value has no counterpart: the names in `/status` and `/metrics`.
pub const REASONS: [&str; 10] = [
    "no_such_day",
    "no_value",
    "no_such_label",
    "no_text",
    "out_of_range",
    "inexact",
    "not_boolean",
    "not_uuid",
    "no_member",
    "not_kept",
];

impl Fault {
    /// The name of what is wrong with a value that is whole; `None` for rows that are damaged or lack something, and for
    /// dates that are NULL in any case.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Fault::NoSuchDay => Some("no_such_day"),
            Fault::OutOfRange => Some("no_value"),
            Fault::NoSuchLabel => Some("no_such_label"),
            Fault::BadText(BadText { is_ambiguous: false, .. }) => Some("no_text"),
            Fault::BeyondTarget => Some("out_of_range"),
            Fault::Inexact => Some("inexact"),
            Fault::NotBoolean => Some("not_boolean"),
            Fault::NotUuid => Some("not_uuid"),
            Fault::NoMember => Some("no_member"),
            Fault::NotKept => Some("not_kept"),
            Fault::Truncated | Fault::TooLong | Fault::Null | Fault::ZeroDate | Fault::AmbiguousEmpty => None,
            // Only in keys, which are never NULL.
            Fault::BadText(BadText { is_ambiguous: true, .. }) => None,
            Fault::EmptyVector | Fault::Json(_) | Fault::Diff(_) | Fault::NoDocument | Fault::UnknownOptions => None,
        }
    }
}

/// A value that could not be carried over, in a row that was put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValueFault<'a> {
    /// Index of the column.
    pub(super) column: usize,
    /// Why.
    pub(super) fault: Fault,
    /// The value, with its length before it if it has one; none when it is not there.
    pub(super) bytes: &'a [u8],
}

impl ValueFault<'_> {
    /// When there is no value to show.
    pub(super) fn new(column: usize, fault: Fault) -> Self {
        Self { column, fault, bytes: &[] }
    }
}

/// A value that could not be carried over, in a plain row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowFault<'a> {
    /// The event's images from the failed one on.
    pub(super) images: &'a [u8],
    /// Index of the column.
    pub(super) column: usize,
    /// Why.
    pub(super) fault: Fault,
}

impl RowPlan {
    /// The error of a fault, with the column and the value.
    #[cold]
    #[inline(never)]
    pub(super) fn explain(&self, at: RowFault<'_>) -> Error {
        self.explain_raw(at.column, at.fault, self.raw(at).unwrap_or_default())
    }

    /// Likewise of a row that was put together.
    pub(super) fn explain_value(&self, at: ValueFault<'_>) -> Error {
        let mut bytes = at.bytes;
        let raw = self.columns.get(at.column).and_then(|column| raw_value(&mut bytes, column.width).ok());
        self.explain_raw(at.column, at.fault, raw.unwrap_or_default())
    }

    /// `raw` is the value without its length.
    fn explain_raw(&self, column: usize, fault: Fault, raw: &[u8]) -> Error {
        let value = self.columns.get(column).map_or_else(String::new, |column| self.value_text(column, fault, raw));
        let (kind, text) = told(fault, &value);
        match self.source_name(column) {
            Some(name) => Error::new(kind, text).at_column(name),
            None => Error::new(kind, text),
        }
    }

    fn raw<'a>(&self, at: RowFault<'a>) -> Option<&'a [u8]> {
        let mut rest = at.images;
        let nulls = take(&mut rest, self.columns.len().div_ceil(8)).ok()?;
        for (index, column) in self.columns.iter().enumerate().take(at.column) {
            if !is_null(nulls, index) {
                raw_value(&mut rest, column.width).ok()?;
            }
        }
        raw_value(&mut rest, self.columns.get(at.column)?.width).ok()
    }
}

/// What a fault is, and what is to be done about it, of a value written as `value`.
pub(super) fn told(fault: Fault, value: &str) -> (ErrorKind, String) {
    match fault {
        Fault::Truncated => (ErrorKind::CorruptStream, "the row ends inside the value".to_owned()),
        Fault::TooLong => (ErrorKind::CorruptStream, "the value is longer than its column allows".to_owned()),
        Fault::Null => (ErrorKind::BadRow, "NULL, but the target column is not Nullable: make it so".to_owned()),
        Fault::ZeroDate => {
            let text = format!("'{value}' is no date: make the target column Nullable, or mend the row in MySQL");
            (ErrorKind::BadRow, text)
        }
        Fault::NoSuchDay => (ErrorKind::BadRow, format!("'{value}' is not in the calendar: mend the row in MySQL")),
        Fault::OutOfRange => {
            (ErrorKind::BadRow, format!("bytes {value} are no value of the column's type: mend the row in MySQL"))
        }
        Fault::NoSuchLabel => {
            (ErrorKind::BadRow, format!("{value} is beyond the labels of the ENUM or SET: mend the row in MySQL"))
        }
        Fault::BadText(bad) => (ErrorKind::BadRow, no_text(bad, value)),
        Fault::AmbiguousEmpty => {
            let text = "the empty string of an invalid value, in a key that has a member '': mend the row in MySQL";
            (ErrorKind::BadRow, text.to_owned())
        }
        Fault::EmptyVector => {
            let text = "a vector without elements, which stands for NULL in ClickHouse: mend the row in MySQL";
            (ErrorKind::BadRow, text.to_owned())
        }
        Fault::Json(fault) => {
            let reason = fault.reason();
            (ErrorKind::BadRow, format!("bytes {value} are no JSON document, {reason}: mend the row in MySQL"))
        }
        Fault::Diff(fault) => {
            let reason = fault.reason();
            (ErrorKind::BadRow, format!("JSON diffs {value} cannot be applied, {reason}: {NO_DIFFS}"))
        }
        Fault::NoDocument => {
            let text = format!("JSON diffs without the document before them: {NO_DIFFS}, or binlog_row_image='FULL'");
            (ErrorKind::TableShape, text)
        }
        Fault::BeyondTarget => {
            (ErrorKind::BadRow, format!("{value} is outside of the target column's range: {OTHER_TYPE}"))
        }
        Fault::Inexact => {
            let text = format!("{value} has more decimals than the target column: {OTHER_TYPE}");
            (ErrorKind::BadRow, text)
        }
        Fault::NotBoolean => (ErrorKind::BadRow, format!("{value} is neither 0 nor 1, for a Bool: {OTHER_TYPE}")),
        Fault::NotUuid => {
            (ErrorKind::BadRow, format!("{value} is no UUID (in a key, with lower case digits): {OTHER_TYPE}"))
        }
        Fault::NotKept => {
            let text = "the document is no object, or has null members, empty objects or names with dots, which \
                        ClickHouse's JSON does not keep";
            (ErrorKind::BadRow, format!("{text}: {OTHER_TYPE}; {value}"))
        }
        Fault::NoMember => {
            (ErrorKind::BadRow, format!("{value} has no member in the target's Enum: add it, or {OTHER_TYPE}"))
        }
        Fault::UnknownOptions => {
            let text = format!("a row with options that this version does not know: {NO_DIFFS}");
            (ErrorKind::TableShape, text)
        }
    }
}

fn no_text(BadText { charset, at, is_ambiguous }: BadText, value: &str) -> String {
    let from = at + 1;
    if is_ambiguous {
        return format!(
            "bytes {value} have, from byte {from} on, a character of which {charset} has another code too, and in a key the \
             two could not be told apart: mend the row in MySQL"
        );
    }
    format!("bytes {value} are no text in {charset}, from byte {from} on: mend the row in MySQL")
}

impl RowPlan {
    /// The value as MySQL shows it, where that helps; else its bytes.
    pub(super) fn value_text(&self, column: &ColumnOp, fault: Fault, raw: &[u8]) -> String {
        let chosen = fault.reason().and_then(|_| self.text_of(column.op, raw));
        chosen.unwrap_or_else(|| value_text(self.reading(column.op), fault, raw))
    }
}

/// The value as MySQL shows it, where that helps; else its bytes.
fn value_text(op: Op, fault: Fault, raw: &[u8]) -> String {
    let text = match op {
        Op::OldDateTime => raw.try_into().ok().map(u64::from_le_bytes).map(|value| format!("{value:014}")),
        Op::OldTimestamp if fault == Fault::ZeroDate => Some("0000-00-00 00:00:00".to_owned()),
        Op::Date => raw.try_into().ok().map(temporal::date_text),
        Op::DateTime(_) if fault != Fault::OutOfRange => {
            raw.first_chunk::<5>().copied().and_then(temporal::datetime_text)
        }
        Op::Timestamp(_) if fault == Fault::ZeroDate => Some("0000-00-00 00:00:00".to_owned()),
        Op::Enum(_) => Some(format!("index {}", little_endian(raw))),
        Op::Set(_) => Some(format!("bits {:#b}", little_endian(raw))),
        Op::Bit(_) => Some(format!("{:#b}", big_endian(raw))),
        Op::Copy1
        | Op::Copy2
        | Op::Copy4
        | Op::Copy8
        | Op::Int24
        | Op::UInt24
        | Op::Decimal32(_)
        | Op::Decimal64(_)
        | Op::Decimal128(_)
        | Op::Decimal256(_)
        | Op::Year
        | Op::DateTime(_)
        | Op::Timestamp(_)
        | Op::Time(_)
        | Op::OldTimestamp
        | Op::OldTime(_)
        | Op::Json(_)
        | Op::Vector(_)
        | Op::Bytes(_)
        | Op::Padded(_)
        | Op::Utf8(..)
        | Op::Latin1(_)
        | Op::Text(_)
        | Op::Chosen(_) => None,
    };
    text.unwrap_or_else(|| hex(raw))
}

/// The first bytes of a value.
pub(super) fn hex(raw: &[u8]) -> String {
    raw.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::charset::Charset;

    #[test]
    fn every_reason_is_listed() {
        let bad = [
            Fault::NoSuchDay,
            Fault::OutOfRange,
            Fault::NoSuchLabel,
            Fault::BadText(BadText { charset: Charset::Utf8, at: 0, is_ambiguous: false }),
            Fault::BeyondTarget,
            Fault::Inexact,
            Fault::NotBoolean,
            Fault::NotUuid,
            Fault::NoMember,
            Fault::NotKept,
        ];
        assert_eq!(bad.map(|fault| fault.reason().unwrap_or_default()), REASONS);
        assert_eq!((Fault::Truncated.reason(), Fault::ZeroDate.reason()), (None, None));
    }
}
