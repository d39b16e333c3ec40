//! Rows of the binary protocol to row images of the binary log.
//!
//! A copy reads the table by a prepared SELECT. [`PacketPlan`] turns each row packet into the image that a WRITE_ROWS
//! event would have of the same row: from there on [`RowPlan`](super::RowPlan) makes the same bytes of both, by the same
//! ops and with the same faults. Two things differ, and say so in the type: [`copy_columns`]. A value that the image has
//! no room for is an error that names the column, and so is a result of other types than the plan's: nothing is cut,
//! padded or guessed. The SELECT must be the one of [`select_list`](crate::mysql::select::select_list) in a session
//! of [`SESSION`](crate::mysql::select::SESSION). A row that fails leaves nothing behind. No IO.
//!
//! Format of a row: 0x00, a bitmap of NULLs that begins at its third bit, the values that are not NULL
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>).

mod result;
mod value;

pub use result::ResultColumn;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::types::{Charset, SourceColumn, SourceType};

use super::fault;
use super::image::{Fault, array, is_null, take};
use super::plan::{blob_prefix, enum_bytes, set_bytes, short_prefix};
use super::text::Prefix;
use value::{DecimalDigits, Micros};

/// Bits of the packet's NULL bitmap before that of the first column.
const NULL_BITS_OFFSET: usize = 2;

/// How a value becomes the image's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Copy1,
    Copy2,
    Copy4,
    Copy8,
    Int24,
    UInt24,
    Decimal(DecimalDigits),
    Year,
    Date,
    DateTime(Micros),
    Timestamp(Micros),
    Time(Micros),
    /// BIT of this many bytes.
    Bit(u8),
    String(Prefix),
    /// ENUM and SET as a number, in this many bytes of the image.
    Number(u8),
}

/// The compiled plan of one table version: row packets in, row images out.
#[derive(Debug, Clone, PartialEq)]
pub struct PacketPlan {
    columns: Vec<SourceColumn>,
    forms: Vec<Form>,
}

/// As what a column is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    /// As it is.
    Value,
    /// `CAST(.. AS UNSIGNED)`: ENUM and SET.
    Number,
    /// `CONVERT(.. USING utf8mb4)`: ENUM and SET whose labels are not known.
    Label,
}

impl Selected {
    /// How a column of type `ty` is selected.
    ///
    /// `information_schema` shows labels in utf8mb3, with `?` for each character beyond U+FFFF (measured on MySQL 9.7), so
    /// labels with a `?` may be others. (The binary log has them as they are.)
    pub fn of(ty: &SourceType) -> Self {
        match ty {
            SourceType::Enum { labels } | SourceType::Set { labels } => {
                let are_known = !labels.iter().any(|label| label.contains('?'));
                if are_known { Self::Number } else { Self::Label }
            }
            SourceType::Int { .. }
            | SourceType::Float
            | SourceType::Double
            | SourceType::Decimal { .. }
            | SourceType::Year
            | SourceType::Date
            | SourceType::Time { .. }
            | SourceType::DateTime { .. }
            | SourceType::Timestamp { .. }
            | SourceType::Bit { .. }
            | SourceType::Char { .. }
            | SourceType::VarChar { .. }
            | SourceType::Blob { .. }
            | SourceType::OldTime
            | SourceType::OldDateTime
            | SourceType::OldTimestamp
            | SourceType::Json
            | SourceType::JsonText
            | SourceType::Geometry
            | SourceType::Vector
            | SourceType::Unsupported { .. } => Self::Value,
        }
    }
}

/// The columns that the [`RowPlan`](super::RowPlan) of a copy is compiled with.
///
/// JSON comes as the text that the server prints, which is what `transcode::json` makes of a document; labels may come as
/// text; temporal columns of before MySQL 5.6.4 come as all others do.
pub fn copy_columns(source: &[SourceColumn]) -> Vec<SourceColumn> {
    let text = SourceType::Blob { length_bytes: 4, charset: Charset::Utf8 };
    let copied = |ty: &SourceType| match ty {
        SourceType::Json => SourceType::JsonText,
        SourceType::Enum { .. } | SourceType::Set { .. } if Selected::of(ty) == Selected::Label => text.clone(),
        SourceType::OldTime => SourceType::Time { fsp: 0 },
        SourceType::OldDateTime => SourceType::DateTime { fsp: 0 },
        SourceType::OldTimestamp => SourceType::Timestamp { fsp: 0 },
        SourceType::Int { .. }
        | SourceType::Float
        | SourceType::Double
        | SourceType::Decimal { .. }
        | SourceType::Year
        | SourceType::Date
        | SourceType::Time { .. }
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::Bit { .. }
        | SourceType::Char { .. }
        | SourceType::VarChar { .. }
        | SourceType::Blob { .. }
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::JsonText
        | SourceType::Geometry
        | SourceType::Vector
        | SourceType::Unsupported { .. } => ty.clone(),
    };
    source.iter().map(|column| SourceColumn { ty: copied(&column.ty), ..column.clone() }).collect()
}

impl PacketPlan {
    /// The plan for rows of `source`, all its columns in order, whose key columns `key` indexes.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming a column that is not carried over.
    pub fn compile(source: &[SourceColumn], key: &[usize]) -> Result<Self> {
        if let Some(column) = key.iter().filter_map(|&index| source.get(index)).find(|column| is_ambiguous(&column.ty))
        {
            let text =
                "in a key, an empty label beside one that information_schema cannot show (a '?' in it): rename one";
            return Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name));
        }
        let columns = copy_columns(source);
        let forms = columns.iter().map(|column| {
            form(&column.ty).ok_or_else(|| {
                let text = "its type is not carried over, or its parameters are impossible";
                Error::new(ErrorKind::TableShape, text).at_column(&column.name)
            })
        });
        Ok(Self { forms: forms.collect::<Result<_>>()?, columns: source.to_vec() })
    }

    /// Whether the server's answer has the columns of this plan. To be asked of each result before its rows: the table
    /// may have changed since the plan was made.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming the first column that differs.
    pub fn check(&self, result: &[ResultColumn]) -> Result<()> {
        if result.len() != self.columns.len() {
            let text = format!("the result has {} columns, the table {}", result.len(), self.columns.len());
            return Err(Error::new(ErrorKind::TableShape, text));
        }
        match self.columns.iter().zip(result).find(|(column, result)| !result.holds(&column.ty)) {
            None => Ok(()),
            Some((column, result)) => {
                let text = format!("the table changed while it was read: the server sends {result:?}");
                Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name))
            }
        }
    }

    /// Appends the image of the row in `packet`.
    ///
    /// # Errors
    /// [`ErrorKind::BadRow`] or [`ErrorKind::CorruptStream`] naming the column whose value is none of its type;
    /// `out` is then as before.
    pub fn append_image(&self, packet: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        let mut rest = packet;
        let mut column = 0;
        self.write_image(&mut rest, &mut column, out).map_err(|fault| {
            out.truncate(start);
            self.explain(column, fault, rest)
        })
    }

    /// On a fault, `rest` stands at the value and `column` is its index.
    #[inline(always)]
    fn write_image(&self, rest: &mut &[u8], column: &mut usize, out: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        if array(rest)? != [0] {
            return Err(Fault::OutOfRange);
        }
        let bitmap = take(rest, (self.forms.len() + NULL_BITS_OFFSET).div_ceil(8))?;
        let image_bytes = self.forms.len().div_ceil(8);
        let upper = bitmap.iter().skip(1).chain(&[0]);
        out.extend(bitmap.iter().zip(upper).take(image_bytes).map(|(low, high)| low >> 2 | high << 6));
        for (index, form) in self.forms.iter().enumerate() {
            if !is_null(bitmap, index + NULL_BITS_OFFSET) {
                *column = index;
                let mut input = *rest;
                form.write(&mut input, out)?;
                *rest = input;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Fault::OutOfRange) }
    }

    #[cold]
    #[inline(never)]
    fn explain(&self, column: usize, fault: Fault, value: &[u8]) -> Error {
        let (kind, text) = fault::told(fault, &fault::hex(value));
        let name = self.columns.get(column).map_or("", |column| &column.name);
        Error::new(kind, text).at_column(name)
    }
}

impl Form {
    #[inline(always)]
    fn write(self, input: &mut &[u8], out: &mut Vec<u8>) -> std::result::Result<(), Fault> {
        match self {
            Self::Copy1 => out.extend_from_slice(&array::<1>(input)?),
            Self::Copy2 => out.extend_from_slice(&array::<2>(input)?),
            Self::Copy4 => out.extend_from_slice(&array::<4>(input)?),
            Self::Copy8 => out.extend_from_slice(&array::<8>(input)?),
            Self::Int24 => value::int24(input, out)?,
            Self::UInt24 => value::uint24(input, out)?,
            Self::Decimal(digits) => value::decimal(input, digits, out)?,
            Self::Year => value::year(input, out)?,
            Self::Date => value::date(input, out)?,
            Self::DateTime(micros) => value::datetime(input, micros, out)?,
            Self::Timestamp(micros) => value::timestamp(input, micros, out)?,
            Self::Time(micros) => value::time(input, micros, out)?,
            Self::Bit(bytes) => value::bit(input, bytes, out)?,
            Self::String(prefix) => value::string(input, prefix, out)?,
            Self::Number(bytes) => value::number(input, bytes, out)?,
        }
        Ok(())
    }
}

/// Whether an invalid value, which reads like the empty label, cannot be told from it.
fn is_ambiguous(ty: &SourceType) -> bool {
    let (SourceType::Enum { labels } | SourceType::Set { labels }) = ty else { return false };
    Selected::of(ty) == Selected::Label && labels.iter().any(String::is_empty)
}

/// `None` when no server has such a type, or it is not carried over.
fn form(ty: &SourceType) -> Option<Form> {
    Some(match ty {
        SourceType::Int { bytes: 1, .. } => Form::Copy1,
        SourceType::Int { bytes: 2, .. } => Form::Copy2,
        SourceType::Int { bytes: 3, unsigned: false } => Form::Int24,
        SourceType::Int { bytes: 3, unsigned: true } => Form::UInt24,
        SourceType::Int { bytes: 4, .. } | SourceType::Float => Form::Copy4,
        SourceType::Int { bytes: 8, .. } | SourceType::Double => Form::Copy8,
        SourceType::Decimal { precision, scale } => Form::Decimal(DecimalDigits::new(*precision, *scale)?),
        SourceType::Year => Form::Year,
        SourceType::Date => Form::Date,
        SourceType::Time { fsp } => Form::Time(Micros::new(*fsp)?),
        SourceType::DateTime { fsp } => Form::DateTime(Micros::new(*fsp)?),
        SourceType::Timestamp { fsp } => Form::Timestamp(Micros::new(*fsp)?),
        SourceType::Bit { bits } => Form::Bit(bits.div_ceil(8)),
        SourceType::Char { max_bytes, .. } | SourceType::VarChar { max_bytes, .. } => {
            Form::String(short_prefix(*max_bytes))
        }
        SourceType::Blob { length_bytes, .. } => Form::String(blob_prefix(*length_bytes)?),
        SourceType::JsonText | SourceType::Geometry | SourceType::Vector => Form::String(blob_prefix(4)?),
        SourceType::Enum { labels } => Form::Number(enum_bytes(labels.len())),
        SourceType::Set { labels } => Form::Number(set_bytes(labels.len())?),
        SourceType::Int { .. }
        | SourceType::Json
        | SourceType::OldTime
        | SourceType::OldDateTime
        | SourceType::OldTimestamp
        | SourceType::Unsupported { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(types: &[SourceType]) -> Vec<SourceColumn> {
        let column =
            |(i, ty): (usize, &SourceType)| SourceColumn { name: format!("c{i}"), ty: ty.clone(), nullable: true };
        types.iter().enumerate().map(column).collect()
    }

    fn plan(types: &[SourceType]) -> PacketPlan {
        PacketPlan::compile(&columns(types), &[]).unwrap()
    }

    fn year() -> SourceType {
        SourceType::Year
    }

    #[test]
    fn null_bitmaps_are_moved_by_two_bits() {
        for count in 1..40 {
            let plan = plan(&vec![year(); count]);
            for null in 0..=count {
                let mut packet = vec![0; 1 + (count + 2).div_ceil(8)];
                let mut expected = vec![0; count.div_ceil(8)];
                if null < count {
                    packet[1 + (null + 2) / 8] |= 1 << ((null + 2) % 8);
                    expected[null / 8] |= 1 << (null % 8);
                }
                for index in (0..count).filter(|&index| index != null) {
                    packet.extend((1901 + u16::try_from(index).unwrap()).to_le_bytes());
                    expected.push(1 + u8::try_from(index).unwrap());
                }
                let mut image = Vec::new();
                plan.append_image(&packet, &mut image).unwrap();
                assert_eq!(image, expected, "column {null} of {count}");
            }
        }
    }

    #[test]
    fn faults_name_the_column_and_leave_nothing() {
        let plan = plan(&[year(), SourceType::Int { bytes: 3, unsigned: true }, year()]);
        let check = |packet: &[u8], column: &str, kind: ErrorKind, text: &str| {
            let mut out = vec![1, 2, 3];
            let error = plan.append_image(packet, &mut out).unwrap_err();
            assert_eq!((out.as_slice(), error.kind), ([1, 2, 3].as_slice(), kind), "{error}");
            assert!(error.to_string().contains(&format!("column {column}: ")), "{error}");
            assert!(error.text.contains(text), "{error}");
        };
        let good = b"\0\0\x6d\x07\xff\xff\xff\0\x6d\x07";
        plan.append_image(good, &mut Vec::new()).unwrap();
        for len in 1..good.len() {
            let column = ["c0", "c1", "c2"][usize::from(len >= 4) + usize::from(len >= 8)];
            check(&good[..len], column, ErrorKind::CorruptStream, "ends inside the value");
        }
        check(b"\0\0\x6d\x07\xff\xff\xff\x01\x6d\x07", "c1", ErrorKind::BadRow, "FFFFFF016D07");
        check(b"\0\0\x6d\x07\xff\xff\xff\0\x6d\x07\x07", "c2", ErrorKind::BadRow, "07");
        check(b"\x01\0\x6d\x07\xff\xff\xff\0\x6d\x07", "c0", ErrorKind::BadRow, "no value");
    }

    #[test]
    fn a_result_of_other_columns_is_refused() {
        let plan = plan(&[year(), SourceType::Json]);
        let column = |kind| ResultColumn { kind, is_unsigned: true, collation: 63, decimals: 0 };
        plan.check(&[column(13), column(245)]).unwrap();
        let error = plan.check(&[column(13), column(252)]).unwrap_err();
        assert!(error.kind == ErrorKind::TableShape && error.to_string().starts_with("column c1: "), "{error}");
        assert_eq!(plan.check(&[column(13)]).unwrap_err().kind, ErrorKind::TableShape);
    }

    #[test]
    fn labels_that_may_be_others_are_read_as_text() {
        let labels = |labels: &[&str]| SourceType::Enum { labels: labels.iter().map(|&it| it.to_owned()).collect() };
        let (known, unknown) = (labels(&["a", ""]), labels(&["a?", "b"]));
        assert_eq!((Selected::of(&known), Selected::of(&unknown)), (Selected::Number, Selected::Label));
        let copied = copy_columns(&columns(&[known.clone(), unknown.clone()]));
        assert_eq!(copied[0].ty, known);
        assert_eq!(copied[1].ty, SourceType::Blob { length_bytes: 4, charset: Charset::Utf8 });
        let ambiguous = columns(&[known, labels(&["a?", ""])]);
        PacketPlan::compile(&ambiguous, &[0]).unwrap();
        let error = PacketPlan::compile(&ambiguous, &[0, 1]).unwrap_err();
        assert!(error.kind == ErrorKind::TableShape && error.to_string().starts_with("column c1: "), "{error}");
    }

    #[test]
    fn what_is_not_carried_over_is_named() {
        for ty in [SourceType::Unsupported { name: "UUID".to_owned() }, SourceType::Int { bytes: 5, unsigned: false }] {
            let error = PacketPlan::compile(&columns(&[year(), ty]), &[]).unwrap_err();
            assert!(error.kind == ErrorKind::TableShape && error.to_string().starts_with("column c1: "), "{error}");
        }
    }
}
