//! Rows of RowBinary taken apart: where each value ends, the key's bytes, and a value as text for a person.
//!
//! The types are the closed set that [`crate::schema::target_type`] knows; another one is an error when the layout is made,
//! never a guess at a length. A key is the bytes of its columns one after the other, which is injective because every
//! value tells its own end; floats are keys by value, so -0.0 is 0.0. Pure.

use std::fmt::Write;
use std::ops::Range;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::target::TargetColumn;
use crate::schema::target_type::{Base, TargetType};

use super::number::decimal_bytes;

/// Bytes of a long value that are shown.
const SHOWN: usize = 40;
/// Likewise where there is room.
const SHOWN_WHOLE: usize = 4000;
/// Of a long value, this much before the place where two values differ.
const SHOWN_BEFORE: usize = 8;

/// How a value's bytes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Two's complement of 1 to 32 bytes; an Enum is its number.
    Int(usize),
    /// 1 to 32 bytes; a Bool is 0 or 1.
    UInt(usize),
    /// Two halves of 8 bytes.
    Uuid,
    /// Days since 1970, 2 bytes.
    Date,
    /// Seconds since 1970, 4 bytes.
    DateTime,
    /// IEEE, 4 bytes.
    Float32,
    /// IEEE, 8 bytes.
    Float64,
    /// Two's complement of this many bytes, with so many decimals.
    Decimal(usize, usize),
    /// Days since 1970, 4 bytes.
    Date32,
    /// Ticks of this many decimals of a second since 1970, 8 bytes.
    DateTime64(usize),
    /// Ticks of this many decimals of a second, 8 bytes.
    Time64(usize),
    /// A length and as many bytes.
    String,
    /// A length and as many floats of 4 bytes.
    Floats,
}

/// A column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How its values are read.
    pub kind: Kind,
    /// Whether a NULL flag goes before each value.
    pub nullable: bool,
}

/// The columns of a table's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The source's columns, in table order.
    pub columns: Vec<Column>,
    /// Which of them are the key, in key order.
    pub key: Vec<usize>,
}

impl Layout {
    /// The layout of rows with these columns.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] naming a column whose type is not known here.
    pub fn new(columns: &[TargetColumn], key: &[usize]) -> Result<Self> {
        Ok(Self { columns: columns.iter().map(Column::of).collect::<Result<_>>()?, key: key.to_vec() })
    }

    /// The layout of the key alone.
    #[must_use]
    pub fn of_key(&self) -> Self {
        let columns: Vec<Column> = self.key.iter().filter_map(|&index| self.columns.get(index).cloned()).collect();
        Self { key: (0..columns.len()).collect(), columns }
    }

    /// Length of the row that `bytes` begin with; `None` when it is not whole.
    pub fn row_len(&self, bytes: &[u8]) -> Option<usize> {
        self.columns.iter().try_fold(0_usize, |end, column| end.checked_add(column.len(bytes.get(end..)?)?))
    }

    /// Where each column's value lies in a row, NULL flags included.
    pub fn spans(&self, row: &[u8]) -> Option<Vec<Range<usize>>> {
        let mut end = 0;
        let span = |column: &Column| {
            let start = end;
            end += column.len(row.get(start..)?)?;
            Some(start..end)
        };
        self.columns.iter().map(span).collect()
    }

    /// Writes the key of a row to `key`; `None` when the row is not whole.
    pub fn key_of(&self, row: &[u8], key: &mut Vec<u8>) -> Option<()> {
        key.clear();
        // Most keys are the first column.
        if let ([0], Some(column)) = (self.key.as_slice(), self.columns.first()) {
            column.append_key(row.get(..column.len(row)?)?, key);
            return Some(());
        }
        let spans = self.spans(row)?;
        self.key.iter().try_for_each(|&index| {
            self.columns.get(index)?.append_key(row.get(spans.get(index)?.clone())?, key);
            Some(())
        })
    }

    /// The columns in which two rows differ, each with both values as text.
    pub fn differences(&self, left: &[u8], right: &[u8]) -> Vec<(String, String, String)> {
        let (Some(left_spans), Some(right_spans)) = (self.spans(left), self.spans(right)) else { return Vec::new() };
        let mut found = Vec::new();
        for (column, (left_span, right_span)) in self.columns.iter().zip(left_spans.into_iter().zip(right_spans)) {
            let (left, right) = (left.get(left_span).unwrap_or_default(), right.get(right_span).unwrap_or_default());
            if left != right {
                let equal = left.iter().zip(right).take_while(|(left, right)| left == right).count();
                found.push((column.name.clone(), column.text(left, equal), column.text(right, equal)));
            }
        }
        found
    }

    /// Each column's value as a text that holds all of it: strings in hexadecimal.
    pub fn exact_texts(&self, row: &[u8]) -> Option<Vec<String>> {
        let spans = self.spans(row)?.into_iter();
        let text = |(column, span): (&Column, Range<usize>)| {
            let value = row.get(span)?;
            if column.kind == Kind::String && !column.nullable {
                return Some(hexadecimal(value.get(leb128(value)?.1..)?));
            }
            Some(column.text(value, 0))
        };
        self.columns.iter().zip(spans).map(text).collect()
    }

    /// Each column's value as text.
    pub fn texts(&self, row: &[u8]) -> Vec<(String, String)> {
        let spans = self.spans(row).unwrap_or_default();
        let text = |(column, span): (&Column, Range<usize>)| {
            (column.name.clone(), column.text(row.get(span).unwrap_or_default(), 0))
        };
        self.columns.iter().zip(spans).map(text).collect()
    }
}

impl Column {
    /// How values of this column are read.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn of(target: &TargetColumn) -> Result<Self> {
        let ty = TargetType::parse(&target.ty);
        let kind = kind(&ty.base).ok_or_else(|| {
            let text = format!("values of type {} cannot be compared by this version", target.ty);
            Error::new(ErrorKind::TableShape, text).at_column(&target.name)
        })?;
        Ok(Self { name: target.name.clone(), kind, nullable: ty.nullable })
    }

    /// Length of the value that `bytes` begin with, NULL flag included.
    fn len(&self, bytes: &[u8]) -> Option<usize> {
        let flag = usize::from(self.nullable);
        if self.nullable && *bytes.first()? != 0 {
            return Some(1);
        }
        let len = flag.checked_add(match self.kind {
            Kind::Int(len) | Kind::UInt(len) | Kind::Decimal(len, _) => len,
            Kind::Date => 2,
            Kind::Float32 | Kind::Date32 | Kind::DateTime => 4,
            Kind::Uuid => 16,
            Kind::Float64 | Kind::DateTime64(_) | Kind::Time64(_) => 8,
            Kind::String => {
                let (count, head) = leb128(bytes.get(flag..)?)?;
                head.checked_add(count)?
            }
            Kind::Floats => {
                let (count, head) = leb128(bytes.get(flag..)?)?;
                head.checked_add(count.checked_mul(4)?)?
            }
        })?;
        (len <= bytes.len()).then_some(len)
    }

    fn append_key(&self, value: &[u8], key: &mut Vec<u8>) {
        let is_zero = match self.kind {
            Kind::Float32 => f32::from_le_bytes(fixed(value)) == 0.0,
            Kind::Float64 => f64::from_le_bytes(fixed(value)) == 0.0,
            Kind::Int(_) | Kind::UInt(_) | Kind::Decimal(..) | Kind::Date32 => false,
            Kind::DateTime64(_) | Kind::Time64(_) | Kind::String | Kind::Floats => false,
            Kind::Uuid | Kind::Date | Kind::DateTime => false,
        };
        if is_zero {
            key.resize(key.len() + value.len(), 0);
        } else {
            key.extend_from_slice(value);
        }
    }

    /// A value as text of bounded length; of a long one, what lies around its byte `place`.
    pub fn text(&self, value: &[u8], place: usize) -> String {
        self.text_within(value, place, SHOWN)
    }

    /// A value as text, all of it unless it is very long.
    pub fn whole_text(&self, value: &[u8]) -> String {
        self.text_within(value, 0, SHOWN_WHOLE)
    }

    fn text_within(&self, value: &[u8], place: usize, shown: usize) -> String {
        let flag = usize::from(self.nullable);
        if self.nullable && value.first() != Some(&0) {
            return "NULL".to_owned();
        }
        let value = value.get(flag..).unwrap_or_default();
        match self.kind {
            Kind::Int(_) => decimal(value, 0),
            Kind::UInt(_) => decimal(&[value, &[0]].concat(), 0),
            Kind::Decimal(_, scale) => decimal(value, scale),
            Kind::Float32 => format!("{:?}", f32::from_le_bytes(fixed(value))),
            Kind::Float64 => format!("{:?}", f64::from_le_bytes(fixed(value))),
            Kind::Date => date(u16::from_le_bytes(fixed(value)).into()),
            Kind::Date32 => date(i32::from_le_bytes(fixed(value)).into()),
            Kind::DateTime => date_time(u32::from_le_bytes(fixed(value)).into(), 0),
            Kind::Uuid => uuid(fixed(value)),
            Kind::DateTime64(fsp) => date_time(i64::from_le_bytes(fixed(value)), fsp),
            Kind::Time64(fsp) => time(i64::from_le_bytes(fixed(value)), fsp),
            Kind::String | Kind::Floats => {
                let head = leb128(value).map_or(0, |(_, head)| head);
                string(value.get(head..).unwrap_or_default(), place.saturating_sub(flag + head), shown)
            }
        }
    }
}

/// A value of `N` bytes, as `Column::len` has found it.
fn fixed<const N: usize>(value: &[u8]) -> [u8; N] {
    value.try_into().unwrap_or([0; N])
}

fn kind(base: &Base) -> Option<Kind> {
    Some(match base {
        Base::Int { bytes, is_signed: true } | Base::Enum { bytes, .. } => Kind::Int(usize::from(*bytes)),
        Base::Int { bytes, is_signed: false } => Kind::UInt(usize::from(*bytes)),
        Base::Bool => Kind::UInt(1),
        Base::Float32 => Kind::Float32,
        Base::Float64 => Kind::Float64,
        Base::Date => Kind::Date,
        Base::Date32 => Kind::Date32,
        Base::DateTime { .. } => Kind::DateTime,
        Base::DateTime64 { precision, .. } => Kind::DateTime64(usize::from(*precision)),
        Base::Time64 { precision } => Kind::Time64(usize::from(*precision)),
        Base::Decimal { precision, scale } => {
            Kind::Decimal(usize::from(decimal_bytes(*precision)), usize::from(*scale))
        }
        // As rows have it; verify does not read it back.
        Base::String | Base::Json { .. } => Kind::String,
        Base::Uuid => Kind::Uuid,
        Base::Floats => Kind::Floats,
        Base::Other(_) => return None,
    })
}

fn uuid(value: [u8; 16]) -> String {
    // The lower half comes last.
    let halves = u128::from_le_bytes(value);
    uuid::Uuid::from_u128(halves.rotate_left(64)).to_string()
}

/// An unsigned LEB128 number and the bytes it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for (index, &byte) in bytes.iter().take(9).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    // A number that ends in none of so many bytes is none.
    (bytes.len() >= 9).then_some((usize::MAX, 9))
}

/// A little-endian number in two's complement with `scale` decimals.
pub(super) fn decimal(bytes: &[u8], scale: usize) -> String {
    let is_negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in &mut magnitude {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
    }
    let mut digits = Vec::new();
    // A digit, or one before the point and all behind it.
    let least = if scale == 0 { 1 } else { scale + 2 };
    while magnitude.iter().any(|&byte| byte != 0) || digits.len() < least {
        digits.push(char::from(b'0' + divide_by_ten(&mut magnitude)));
        if digits.len() == scale {
            digits.push('.');
        }
    }
    let sign = is_negative.then_some('-');
    sign.into_iter().chain(digits.into_iter().rev()).collect()
}

/// Divides in place; the remainder.
fn divide_by_ten(number: &mut [u8]) -> u8 {
    let mut rest = 0_u16;
    for byte in number.iter_mut().rev() {
        let value = rest << 8 | u16::from(*byte);
        // Below 256, because `rest` is below 10.
        *byte = u8::try_from(value / 10).unwrap_or_default();
        rest = value % 10;
    }
    u8::try_from(rest).unwrap_or_default()
}

/// Days since 1970-01-01 in the Gregorian calendar of all years, as both servers count
/// (<https://howardhinnant.github.io/date_algorithms.html>, `civil_from_days`).
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

pub(super) fn date_time(ticks: i64, fsp: usize) -> String {
    let per_second = ticks_per_second(fsp);
    let (seconds, fraction) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
    format!("{} {}", date(seconds.div_euclid(86_400)), clock(seconds.rem_euclid(86_400), fraction, fsp))
}

pub(super) fn time(ticks: i64, fsp: usize) -> String {
    let per_second = ticks_per_second(fsp);
    let sign = if ticks < 0 { "-" } else { "" };
    // No TIME is near the number that has no opposite.
    let ticks = ticks.saturating_abs();
    format!("{sign}{}", clock(ticks / per_second, ticks % per_second, fsp))
}

fn ticks_per_second(fsp: usize) -> i64 {
    (0..fsp.min(9)).fold(1, |ticks, _| ticks * 10)
}

fn clock(seconds: i64, fraction: i64, fsp: usize) -> String {
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fsp == 0 { text } else { format!("{text}.{fraction:0fsp$}") }
}

/// Text in quotes, other bytes in hexadecimal; of a long one, what lies around `place`.
fn string(bytes: &[u8], place: usize, shown: usize) -> String {
    let start = if bytes.len() <= shown { 0 } else { place.saturating_sub(SHOWN_BEFORE).min(bytes.len()) };
    let end = bytes.len().min(start + shown);
    let part = bytes.get(start..end).unwrap_or_default();
    let mut text = match std::str::from_utf8(part) {
        Ok(text) if !text.chars().any(char::is_control) => format!("'{text}'"),
        _ => format!("0x{}", hexadecimal(part)),
    };
    if part.len() < bytes.len() {
        let Ok(()) = write!(text, " (bytes {start}..{end} of {})", bytes.len()) else { return text };
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let Ok(()) = write!(text, "{byte:02X}") else { return text };
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(types: &[&str], key: &[usize]) -> Layout {
        let columns = types.iter().enumerate();
        let columns = columns.map(|(index, &ty)| TargetColumn { name: format!("c{index}"), ty: ty.to_owned() });
        Layout::new(&columns.collect::<Vec<_>>(), key).unwrap()
    }

    fn text(ty: &str, value: &[u8]) -> String {
        layout(&[ty], &[]).columns[0].text(value, 0)
    }

    #[test]
    fn rows_end_where_their_values_say() {
        let layout = layout(&["Int8", "Nullable(String)", "Decimal(65, 30)", "Array(Float32)"], &[0]);
        let row = [&[7, 0, 3][..], b"abc", &[0; 32], &[2], &[0; 8]].concat();
        for len in 0..row.len() {
            assert_eq!(layout.row_len(&row[..len]), None, "{len}");
        }
        assert_eq!(layout.row_len(&[&row[..], &[9; 50]].concat()), Some(row.len()));
        assert_eq!(layout.spans(&row).unwrap()[1], 1..6);
        assert_eq!(layout.row_len(&[7, 1]), None, "NULL, and then nothing");
        let endless = [&[7, 0][..], &[0xff; 20]].concat();
        assert_eq!(layout.row_len(&endless), None);
        let error = Layout::new(&[TargetColumn { name: "m".to_owned(), ty: "Map(Int8, Int8)".to_owned() }], &[]);
        assert!(error.unwrap_err().to_string().contains("Map"));
    }

    #[test]
    fn keys_are_in_key_order_and_zero_has_no_sign() {
        let layout = layout(&["Int8", "Float64", "LowCardinality(String)"], &[2, 1]);
        let key = |float: f64| {
            let (mut key, row) = (Vec::new(), [&[1][..], &float.to_le_bytes(), &[1, b'x']].concat());
            layout.key_of(&row, &mut key).unwrap();
            key
        };
        assert_eq!(key(1.5), [&[1, b'x'][..], &1.5_f64.to_le_bytes()].concat());
        assert_eq!(key(-0.0), key(0.0));
        assert_eq!(layout.of_key().texts(&key(1.5))[0], ("c2".to_owned(), "'x'".to_owned()));
    }

    #[test]
    fn values_as_text() {
        assert_eq!(text("Int64", &i64::MIN.to_le_bytes()), "-9223372036854775808");
        assert_eq!(text("UInt64", &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(text("Nullable(Int8)", &[1]), "NULL");
        assert_eq!(text("Decimal(9, 2)", &(-5_i32).to_le_bytes()), "-0.05");
        assert_eq!(text("Decimal(18, 0)", &120_i64.to_le_bytes()), "120");
        let mut wide = [0xff; 32];
        wide[0] = 0xfe;
        assert_eq!(text("Decimal(65, 30)", &wide), format!("-0.{}2", "0".repeat(29)));
        assert_eq!(text("Date32", &0_i32.to_le_bytes()), "1970-01-01");
        assert_eq!(text("Date32", &(-354_285_i32).to_le_bytes()), "1000-01-01");
        assert_eq!(text("Date32", &2_932_896_i32.to_le_bytes()), "9999-12-31");
        assert_eq!(text("DateTime64(6, 'UTC')", &(-1_i64).to_le_bytes()), "1969-12-31 23:59:59.999999");
        assert_eq!(text("DateTime64(0, 'UTC')", &951_782_400_i64.to_le_bytes()), "2000-02-29 00:00:00");
        assert_eq!(text("Time64(3)", &(-3_020_399_500_i64).to_le_bytes()), "-838:59:59.500");
        assert_eq!(text("Float32", &0.1_f32.to_le_bytes()), "0.1");
        assert_eq!(text("Date", &1_u16.to_le_bytes()), "1970-01-02");
        assert_eq!(text("DateTime('UTC')", &u32::MAX.to_le_bytes()), "2106-02-07 06:28:15");
        assert_eq!(text("Enum8('a' = -1)", &[255]), "-1");
        assert_eq!(text("Bool", &[1]), "1");
        let halves = [7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8];
        assert_eq!(text("Nullable(UUID)", &[&[0], &halves[..]].concat()), "00010203-0405-0607-0809-0a0b0c0d0e0f");
        assert_eq!(text("String", "\u{3}é!".as_bytes()), "'é!'");
        assert_eq!(text("String", &[2, 0xff, 0]), "0xFF00");
    }

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let layout = layout(&["Int8", "String"], &[0]);
        let row = |last: u8| [&[7, 0xe8, 0x07][..], &[b'a'; 999], &[last]].concat();
        let differences = layout.differences(&row(b'b'), &row(b'c'));
        assert_eq!(differences.len(), 1);
        let (name, left, right) = &differences[0];
        assert_eq!((name.as_str(), left.as_str()), ("c1", "'aaaaaaaab' (bytes 991..1000 of 1000)"));
        assert!(right.starts_with("'aaaaaaaac'"));
    }
}
