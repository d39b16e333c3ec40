//! What rows that are there read in a column that MySQL adds, as a DEFAULT expression of ClickHouse.
//!
//! Only values whose conversion is plain are given, written as MySQL shows them: the rest (another form, rounding, a time
//! zone of a session, bytes) is for a copy. The default is always written out where the value is not NULL: ClickHouse
//! reads a part without the column by its *present* type, and that of a column which became Nullable would be NULL. No
//! IO.

#![allow(clippy::wildcard_enum_match_arm, reason = "a type that is not named is copied, which is always right")]

use crate::schema::catalog::ColumnDefinition;
use crate::schema::change::Initial;
use crate::schema::conversion::character_bytes;
use crate::schema::types::{Charset, SourceType};

/// A double has this many decimal digits, and a float these.
const DOUBLE_DIGITS: usize = 15;
const FLOAT_DIGITS: usize = 6;

/// ClickHouse before 26.7 reads dates of other years wrongly.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=2299;

/// An expression that the column's type `ty` in ClickHouse takes; None: NULL, or an empty array.
///
/// # Errors
/// Why the table is copied instead.
pub fn expression(column: &ColumnDefinition, initial: &Initial, ty: &str) -> Result<Option<String>, String> {
    let source = column.ty.source_type();
    let is_nullable = ty.contains("Nullable(");
    let found = match initial {
        Initial::Implicit | Initial::Null if column.nullable => Some(None),
        Initial::Implicit if is_zero_date_type(&source) => is_nullable.then_some(None),
        Initial::Implicit => zero(&source).map(Some),
        Initial::Text(text) if is_zero_date(&source, text) => is_nullable.then_some(None),
        Initial::Text(text) => from_text(column, &source, text, ty).map(Some),
        Initial::Number(number) => from_number(column, &source, number).map(Some),
        Initial::Null | Initial::Unknown => None,
    };
    found.ok_or_else(|| "what rows that are there hold in it is not to be told from the statement".to_owned())
}

/// TIMESTAMP is not of them: it may get the present time.
fn is_zero_date_type(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Date | SourceType::DateTime { .. })
}

fn is_zero_date(ty: &SourceType, text: &str) -> bool {
    match ty {
        SourceType::Date => text == "0000-00-00",
        SourceType::DateTime { .. } => text == "0000-00-00 00:00:00",
        _ => false,
    }
}

/// The implicit default of a NOT NULL column.
fn zero(ty: &SourceType) -> Option<String> {
    Some(match ty {
        SourceType::Int { .. } | SourceType::Float | SourceType::Double | SourceType::Bit { .. } | SourceType::Year => {
            "0".to_owned()
        }
        SourceType::Decimal { .. } => quoted("0"),
        SourceType::Char { max_bytes, charset: Charset::Binary } => quoted(&"\0".repeat(usize::from(*max_bytes))),
        SourceType::Char { .. } | SourceType::VarChar { .. } | SourceType::Blob { .. } | SourceType::Set { .. } => {
            quoted("")
        }
        SourceType::Enum { labels } => quoted(labels.first()?),
        SourceType::Json | SourceType::JsonText => quoted("null"),
        _ => return None,
    })
}

/// A text as ClickHouse reads it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn from_number(column: &ColumnDefinition, source: &SourceType, number: &str) -> Option<String> {
    match source {
        SourceType::Int { bytes, unsigned } => integer(number, *bytes, *unsigned),
        SourceType::Decimal { precision, scale } => decimal(number, *precision, *scale),
        // A part without the column reads it by its present type, which may be a wider one then.
        SourceType::Float => float(column, number, FLOAT_DIGITS).map(|number| format!("toFloat32({number})")),
        SourceType::Double => float(column, number, DOUBLE_DIGITS),
        SourceType::Bit { bits } => {
            let value: u64 = number.parse().ok()?;
            let fits = *bits >= 64 || value.checked_shr(u32::from(*bits)) == Some(0);
            (is_canonical(number) && fits).then(|| number.to_owned())
        }
        SourceType::Year => year(number),
        SourceType::VarChar { .. } | SourceType::Char { .. } if is_canonical(number) => text(column, source, number),
        _ => None,
    }
}

fn from_text(column: &ColumnDefinition, source: &SourceType, value: &str, ty: &str) -> Option<String> {
    match source {
        SourceType::Int { .. }
        | SourceType::Decimal { .. }
        | SourceType::Float
        | SourceType::Double
        | SourceType::Year => from_number(column, source, value),
        SourceType::Char { .. } | SourceType::VarChar { .. } => text(column, source, value),
        SourceType::Enum { labels } => labels.iter().any(|label| label == value).then(|| quoted(value)),
        SourceType::Set { labels } => set(labels, value),
        SourceType::Date => is_date(value).then(|| quoted(value)),
        SourceType::DateTime { fsp } => is_datetime(value, *fsp).then(|| quoted(value)),
        SourceType::Time { fsp } if ty.contains("Time64") => is_time(value, *fsp).then(|| quoted(value)),
        _ => None,
    }
}

/// `-12`, without anything that MySQL would not show.
fn is_canonical(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    is_digits(digits) && (digits == "0" || !digits.starts_with('0')) && number != "-0"
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn integer(number: &str, bytes: u8, unsigned: bool) -> Option<String> {
    let value: i128 = number.parse().ok().filter(|_| is_canonical(number))?;
    let bits = 8 * u32::from(bytes);
    let range = match unsigned {
        true => 0..1i128.checked_shl(bits)?,
        false => -1i128.checked_shl(bits.checked_sub(1)?)?..1i128.checked_shl(bits.checked_sub(1)?)?,
    };
    range.contains(&value).then(|| number.to_owned())
}

/// Integer and fraction of a plain number.
fn parts(number: &str) -> Option<(&str, &str)> {
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_plain = is_canonical(integer) || integer == "-0";
    (is_plain && (fraction.is_empty() || is_digits(fraction))).then_some((integer, fraction))
}

fn decimal(number: &str, precision: u8, scale: u8) -> Option<String> {
    let (integer, fraction) = parts(number)?;
    let integer = integer.trim_start_matches(['-', '0']);
    let fits = integer.len() <= usize::from(precision.checked_sub(scale)?) && fraction.len() <= usize::from(scale);
    fits.then(|| quoted(number))
}

/// FLOAT(7,3) rounds.
fn float(column: &ColumnDefinition, number: &str, digits: usize) -> Option<String> {
    let (integer, fraction) = parts(number)?;
    let fits = integer.len() + fraction.len() <= digits && !column.ty.column_type.contains('(');
    (fits && !number.starts_with("-0")).then(|| number.to_owned())
}

/// Two digits mean another year.
fn year(number: &str) -> Option<String> {
    let year: u32 = number.parse().ok().filter(|_| is_canonical(number))?;
    (1901..=2155).contains(&year).then(|| number.to_owned())
}

/// A text that the column's character set has and that fits; CHAR loses its trailing spaces.
fn text(column: &ColumnDefinition, source: &SourceType, value: &str) -> Option<String> {
    let charset = column.ty.charset.as_deref().unwrap_or("binary");
    let has_all = match charset {
        "utf8mb4" => true,
        "utf8mb3" | "utf8" => value.chars().all(|c| u32::from(c) <= 0xffff),
        "swe7" => false,
        _ => value.is_ascii(),
    };
    let (max_bytes, is_char, is_bytes) = match source {
        SourceType::Char { max_bytes, charset } => (*max_bytes, true, *charset == Charset::Binary),
        SourceType::VarChar { max_bytes, charset } => (*max_bytes, false, *charset == Charset::Binary),
        _ => return None,
    };
    let fits = value.chars().count() as u64 <= u64::from(max_bytes) / character_bytes(charset);
    (has_all && fits).then(|| match (is_char, is_bytes) {
        (true, true) => quoted(&format!("{value:\0<width$}", width = usize::from(max_bytes))),
        (true, false) => quoted(value.trim_end_matches(' ')),
        (false, _) => quoted(value),
    })
}

/// A SET lists its members in the order of its labels.
fn set(labels: &[String], value: &str) -> Option<String> {
    let members: Vec<&str> = if value.is_empty() { Vec::new() } else { value.split(',').collect() };
    let is_label = |member: &&str| labels.iter().any(|label| label == member);
    let listed = labels.iter().map(String::as_str).filter(|label| members.contains(label));
    members.iter().all(is_label).then(|| quoted(&listed.collect::<Vec<_>>().join(",")))
}

/// `YYYY-MM-DD` of the calendar.
fn is_date(text: &str) -> bool {
    let mut numbers = text.split('-');
    let mut number = |digits| number_of(numbers.next(), digits);
    let (Some(year), Some(month), Some(day)) = (number(4), number(2), number(2)) else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => 0,
    };
    text.len() == 10 && YEARS.contains(&year) && (1..=days).contains(&day)
}

/// `YYYY-MM-DD HH:MM:SS[.f]`, not longer than the type.
fn is_datetime(text: &str, fsp: u8) -> bool {
    text.split_once(' ').is_some_and(|(date, time)| is_date(date) && is_clock(time, fsp, 2, 23))
}

/// `[-]HH:MM:SS[.f]` or `HHH:..`, not longer than the type.
fn is_time(text: &str, fsp: u8) -> bool {
    let time = text.strip_prefix('-').unwrap_or(text);
    let hour_digits = if time.as_bytes().get(2) == Some(&b':') { 2 } else { 3 };
    is_clock(time, fsp, hour_digits, 837) || time == "838:59:59" || (time == "00:00:00" && text == time)
}

fn is_clock(text: &str, fsp: u8, hour_digits: usize, hours_max: u32) -> bool {
    let (clock, fraction) = text.split_once('.').map_or((text, None), |(clock, fraction)| (clock, Some(fraction)));
    let is_fraction = fraction.is_none_or(|it| is_digits(it) && it.len() <= usize::from(fsp));
    let mut numbers = clock.split(':');
    let mut number = |digits| number_of(numbers.next(), digits);
    let (Some(hour), Some(minute), Some(second)) = (number(hour_digits), number(2), number(2)) else { return false };
    let is_whole = numbers.next().is_none();
    is_whole && is_fraction && hour <= hours_max && minute <= 59 && second <= 59
}

fn number_of(text: Option<&str>, digits: usize) -> Option<u32> {
    text.filter(|text| text.len() == digits && is_digits(text))?.parse().ok()
}
