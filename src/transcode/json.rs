//! JSON to MySQL's own text of it: byte by byte what `CAST(j AS CHAR)` prints.
//!
//! Rules (`wrapper_to_string` in sql-common/json_dom.cc, each compared with a server in tests/types.rs): `, ` and `: `
//! between members, keys in stored order; in strings only quotes, backslashes and controls are escaped, controls without
//! a letter as `\u00xx`; doubles by [`double`]; DECIMAL keeps its scale, times have 6 digits after the second, any other
//! type is base64 in lines of 76 characters. The text is written straight into the body, without a tree of values. A document
//! may hold overlapping members: depth and length of the text are bounded.

use std::fmt::Write;

use super::double;
use super::image::{Fault, array};
use super::number::DecimalLayout;
use super::patch::{Node, patched};
use super::text::Prefix;
use crate::binlog::json::{Container, DEPTH_MAX, JsonFault, Value};
use crate::binlog::json_diff::DiffFault;
use crate::rowbinary;

/// The longest text, in multiples of the document's bytes: a control character takes 6 characters for its byte, and no
/// other value so many. The constant is for a document of a single number.
const TEXT_BYTES_PER_BYTE: usize = 8;
const NUMBER_BYTES: usize = 64;

/// The most digits of a DECIMAL, which is stored with its integer digits rounded up to groups of nine.
const DECIMAL_DIGITS: u8 = 81;
/// Bytes that one line of base64 holds.
const LINE_BYTES: usize = 57;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Type codes of opaque values that are not printed as base64.
mod code {
    pub const TIMESTAMP: u8 = 7;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const NEWDECIMAL: u8 = 246;
}

impl From<JsonFault> for Fault {
    fn from(fault: JsonFault) -> Self {
        Self::Json(fault)
    }
}

impl From<DiffFault> for Fault {
    fn from(fault: DiffFault) -> Self {
        Self::Diff(fault)
    }
}

/// JSON to String.
pub(super) fn json(input: &mut &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    let document = prefix.take(input)?;
    rowbinary::string_of(out, |out| Text::new(document.len(), out).value(Value::parse(document)?, 0))
}

/// The JSON `before` with `diffs` applied to String.
pub(super) fn patched_json(before: &[u8], diffs: &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (document, diffs) = (prefix.take(&mut { before })?, prefix.take(&mut { diffs })?);
    let document_after = patched(document, diffs)?;
    let bytes = document.len().saturating_add(diffs.len());
    rowbinary::string_of(out, |out| Text::new(bytes, out).node(&document_after, 0))
}

/// The text so far.
struct Text<'o> {
    out: &'o mut Vec<u8>,
    /// Where the text of every sound document has ended.
    end: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl<'o> Text<'o> {
    /// The text of a document that takes this many bytes.
    fn new(bytes: usize, out: &'o mut Vec<u8>) -> Self {
        let longest = bytes.saturating_mul(TEXT_BYTES_PER_BYTE).saturating_add(NUMBER_BYTES);
        let end = out.len().saturating_add(longest);
        Self { out, end }
    }

    /// A value of a patched document.
    fn node(&mut self, node: &Node<'_>, depth: usize) -> Result<(), Fault> {
        match node {
            Node::Value(value) => self.value(*value, depth),
            Node::Array(elements) => {
                self.opened(elements, b"[]", depth, |text, element, depth| text.node(element, depth))
            }
            Node::Object(members) => self.opened(members, b"{}", depth, |text, (key, value), depth| {
                text.quoted(key);
                text.push(": ");
                text.node(value, depth)
            }),
        }
    }

    fn opened<M>(
        &mut self,
        members: &[M],
        [open, close]: &[u8; 2],
        depth: usize,
        member: impl Fn(&mut Self, &M, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if depth == DEPTH_MAX {
            return Err(JsonFault::TooDeep.into());
        }
        self.out.push(*open);
        for (index, it) in members.iter().enumerate() {
            self.comma(index);
            member(self, it, depth + 1)?;
        }
        self.out.push(*close);
        Ok(())
    }

    /// A value inside of `depth` arrays and objects. Inlined into where a member is read, so that its type is asked once.
    #[inline(always)]
    fn value(&mut self, value: Value<'_>, depth: usize) -> Result<(), Fault> {
        match value {
            Value::Null => self.push("null"),
            Value::Boolean(true) => self.push("true"),
            Value::Boolean(false) => self.push("false"),
            Value::Int(number) => {
                if number < 0 {
                    self.out.push(b'-');
                }
                self.number(number.unsigned_abs());
            }
            Value::Uint(number) => self.number(number),
            Value::Double(number) => self.double(number)?,
            Value::String(text) => self.quoted(text),
            Value::Opaque { type_code, bytes } => self.opaque(type_code, bytes)?,
            Value::Array(_) | Value::Object(_) if depth == DEPTH_MAX => return Err(JsonFault::TooDeep.into()),
            Value::Array(members) => self.container(members, *b"[]", depth + 1)?,
            Value::Object(members) => self.container(members, *b"{}", depth + 1)?,
        }
        Ok(())
    }

    fn container(&mut self, members: Container<'_>, [open, close]: [u8; 2], depth: usize) -> Result<(), Fault> {
        self.out.push(open);
        let mut index = 0;
        members.each(|key, value| {
            if self.out.len() > self.end {
                return Err(Fault::from(JsonFault::TooLong));
            }
            self.comma(index);
            index += 1;
            if let Some(key) = key {
                self.quoted(key);
                self.push(": ");
            }
            self.value(value, depth)
        })?;
        self.out.push(close);
        Ok(())
    }

    #[inline(always)]
    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.push(", ");
        }
    }

    #[inline(always)]
    fn push(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        let mut digits = [b'0'; 20];
        let written = write_digits(&mut digits, number).max(1);
        self.out.extend_from_slice(digits.get(digits.len() - written..).unwrap_or_default());
    }

    /// Appending to memory cannot fail.
    fn formatted(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.write_fmt(text);
    }

    fn double(&mut self, number: f64) -> Result<(), Fault> {
        if !number.is_finite() {
            return Err(JsonFault::BadValue.into());
        }
        double::text(number, self.out);
        Ok(())
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        if text.iter().any(|&byte| ESCAPED.get(usize::from(byte)) != Some(&false)) {
            self.escaped(text);
        } else {
            self.out.extend_from_slice(text);
        }
        self.out.push(b'"');
    }

    #[cold]
    fn escaped(&mut self, text: &[u8]) {
        for run in text.split_inclusive(|&byte| is_escaped(byte)) {
            match run.split_last() {
                Some((&last, plain)) if is_escaped(last) => {
                    self.out.extend_from_slice(plain);
                    self.escape(last);
                }
                _ => self.out.extend_from_slice(run),
            }
        }
    }

    fn escape(&mut self, byte: u8) {
        let letter = match byte {
            0x08 => 'b',
            0x09 => 't',
            0x0a => 'n',
            0x0c => 'f',
            0x0d => 'r',
            b'"' | b'\\' => char::from(byte),
            _ => return self.formatted(format_args!("\\u{byte:04x}")),
        };
        self.formatted(format_args!("\\{letter}"));
    }

    fn opaque(&mut self, type_code: u8, bytes: &[u8]) -> Result<(), Fault> {
        match type_code {
            code::NEWDECIMAL => self.decimal(bytes)?,
            code::DATE => self.date(packed(bytes)?),
            code::TIME => self.time(packed(bytes)?),
            code::DATETIME | code::TIMESTAMP => self.datetime(packed(bytes)?),
            _ => self.base64(type_code, bytes),
        }
        Ok(())
    }

    /// Precision, scale, and digits as in a row image.
    fn decimal(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        let [precision, scale] = array(&mut bytes).map_err(|_| JsonFault::BadValue)?;
        let layout = DecimalLayout::with_digits(precision, scale, DECIMAL_DIGITS).ok_or(JsonFault::BadValue)?;
        let mut digits = [b'0'; DECIMAL_DIGITS as usize];
        let mut rest = digits.as_mut_slice();
        let negative = layout.read(&mut bytes, |group, limit| {
            let (these, behind) =
                std::mem::take(&mut rest).split_at_mut_checked(limit.ilog10() as usize).unwrap_or_default();
            write_digits(these, group.into());
            rest = behind;
        });
        let negative = negative.map_err(|_| JsonFault::BadValue)?;
        let digits = digits.get(..usize::from(precision)).ok_or(JsonFault::BadValue)?;
        let (whole, part) = digits.split_at_checked(usize::from(precision - scale)).ok_or(JsonFault::BadValue)?;
        let zeros = whole.iter().take_while(|&&digit| digit == b'0').count();
        let whole = whole.get(zeros..).filter(|whole| !whole.is_empty()).unwrap_or(b"0");
        self.push(if negative { "-" } else { "" });
        self.out.extend_from_slice(whole);
        self.push(if part.is_empty() { "" } else { "." });
        self.out.extend_from_slice(part);
        Ok(())
    }

    fn date(&mut self, packed: u64) {
        let Clock { year, month, day, .. } = Clock::unpack(packed);
        self.formatted(format_args!("\"{year:04}-{month:02}-{day:02}\""));
    }

    fn datetime(&mut self, packed: u64) {
        let Clock { year, month, day, hour, minute, second, microsecond } = Clock::unpack(packed);
        let hour = hour & 31;
        self.formatted(format_args!(
            "\"{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{microsecond:06}\""
        ));
    }

    /// A negative time is the negative of the whole number.
    fn time(&mut self, packed: u64) {
        let packed = packed.cast_signed();
        let sign = if packed < 0 { "-" } else { "" };
        let Clock { hour, minute, second, microsecond, .. } = Clock::unpack(packed.unsigned_abs());
        self.formatted(format_args!("\"{sign}{hour:02}:{minute:02}:{second:02}.{microsecond:06}\""));
    }

    fn base64(&mut self, type_code: u8, bytes: &[u8]) {
        self.formatted(format_args!("\"base64:type{type_code}:"));
        for (index, line) in bytes.chunks(LINE_BYTES).enumerate() {
            if index > 0 {
                self.push("\\n");
            }
            line.chunks(3).for_each(|group| self.base64_group(group));
        }
        self.out.push(b'"');
    }

    /// 1..=3 bytes as 4 characters.
    fn base64_group(&mut self, group: &[u8]) {
        let byte = |index: usize| group.get(index).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4u32 {
            let digit = BASE64.get((bits >> (18 - 6 * index) & 63) as usize);
            let is_filled = index as usize <= group.len();
            self.out.push(digit.copied().filter(|_| is_filled).unwrap_or(b'='));
        }
    }
}

/// Writes the digits of a number at the end of `out`, without zeros before them; returns how many they are.
fn write_digits(out: &mut [u8], mut number: u64) -> usize {
    let mut written = 0;
    for digit in out.iter_mut().rev() {
        if number == 0 {
            break;
        }
        written += 1;
        let last = (number % 10) as u8;
        *digit = b'0' + last;
        number /= 10;
    }
    written
}

const fn is_escaped(byte: u8) -> bool {
    matches!(byte, ..0x20 | b'"' | b'\\')
}

/// [`is_escaped`] of each byte, for it is asked of every byte of a text.
#[expect(clippy::indexing_slicing, reason = "when it is compiled")]
static ESCAPED: [bool; 256] = {
    let mut escaped = [false; 256];
    let mut byte = 0;
    while byte < escaped.len() {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let is = is_escaped(byte as u8);
        escaped[byte] = is;
        byte += 1;
    }
    escaped
};

fn packed(bytes: &[u8]) -> Result<u64, JsonFault> {
    bytes.try_into().map(u64::from_le_bytes).map_err(|_| JsonFault::BadValue)
}

/// The fields of a date or time that is packed into 64 bits: 13 × year + month, then 5, 5, 6 and 6 bits, then 24 for the
/// microseconds. Hours of a time reach into the bits of the day.
struct Clock {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    microsecond: u64,
}

impl Clock {
    fn unpack(packed: u64) -> Self {
        let clock = packed >> 24;
        let year_month = clock >> 22;
        Self {
            year: year_month / 13,
            month: year_month % 13,
            day: clock >> 17 & 31,
            hour: clock >> 12 & 0x3ff,
            minute: clock >> 6 & 63,
            second: clock & 63,
            microsecond: packed & 0xff_ffff,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: Prefix = Prefix { bytes: 4, max: u32::MAX };

    fn text(document: &[u8]) -> Result<String, Fault> {
        let image = [&u32::try_from(document.len()).unwrap().to_le_bytes()[..], document].concat();
        let (mut input, mut out) = (image.as_slice(), Vec::new());
        json(&mut input, PREFIX, &mut out)?;
        assert!(input.is_empty(), "the whole value is consumed");
        let start = out.iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        Ok(String::from_utf8(out.split_off(start)).unwrap())
    }

    fn check(document: &[u8], expected: &str) {
        assert_eq!(text(document).as_deref(), Ok(expected));
    }

    fn broken(document: &[u8], fault: JsonFault) {
        assert_eq!(text(document), Err(Fault::Json(fault)));
    }

    fn opaque(type_code: u8, bytes: &[u8]) -> Vec<u8> {
        [&[15, type_code, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
    }

    #[test]
    fn documents() {
        check(b"", "null");
        check(b"\x04\x02", "false");
        check(b"\0\x02\0\x18\0\x12\0\x01\0\x13\0\x02\0\x05\x01\0\x0c\x15\0abb\x02xy", r#"{"a": 1, "bb": "xy"}"#);
        check(b"\x02\x02\0\x0a\0\x04\0\0\x06\xff\xff", "[null, 65535]");
        check(b"\x01\0\0\0\0\x08\0\0\0", "{}");
    }

    #[test]
    fn strings() {
        check(b"\x0c\x0a\0\x08\x09\x0a\x0c\x0d\x1f\x7f\"\\", "\"\\u0000\\b\\t\\n\\f\\r\\u001f\u{7f}\\\"\\\\\"");
        check("\x0c\x07/é🎁".as_bytes(), "\"/é🎁\"");
        check(b"\x0c\0", "\"\"");
    }

    #[test]
    fn doubles() {
        check(&[&[11][..], &1e10f64.to_le_bytes()].concat(), "10000000000.0");
        broken(&[&[11][..], &f64::INFINITY.to_le_bytes()].concat(), JsonFault::BadValue);
    }

    #[test]
    fn other_types() {
        let packed = |number: i64| number.to_le_bytes();
        let date = (2024 * 13 + 1) << 46 | 2 << 41;
        check(&opaque(10, &packed(date)), "\"2024-01-02\"");
        check(&opaque(12, &packed(date | 3 << 36 | 4 << 30 | 5 << 24 | 678)), "\"2024-01-02 03:04:05.000678\"");
        check(&opaque(11, &packed(838 << 36 | 59 << 30 | 59 << 24)), "\"838:59:59.000000\"");
        check(&opaque(11, &packed(-100_000)), "\"-00:00:00.100000\"");
        check(&opaque(246, &[3, 2, 0x81, 10]), "1.10");
        check(&opaque(246, &[3, 2, 0x7f, !5]), "-0.05");
        check(&opaque(246, &[2, 0, 0x80]), "0");
        let nines = [&[72, 0, 0x80, 0, 0, 99][..], &999_999_999u32.to_be_bytes().repeat(7)].concat();
        check(&opaque(246, &nines), &"9".repeat(65));
        check(&opaque(16, &[0, 5]), "\"base64:type16:AAU=\"");
        check(&opaque(15, &[0xff; 57]), &format!("\"base64:type15:{}\"", "/".repeat(76)));
        check(&opaque(15, &[0xff; 58]), &format!("\"base64:type15:{}\\n/w==\"", "/".repeat(76)));
        broken(&opaque(246, &[3, 2, 0xe3, 10]), JsonFault::BadValue);
        broken(&opaque(246, &[82, 2]), JsonFault::BadValue);
        broken(&opaque(10, &[1, 2, 3]), JsonFault::BadValue);
    }

    /// `[inner]`.
    fn nested(inner: &[u8]) -> Vec<u8> {
        let size = u16::try_from(inner.len() + 6).unwrap().to_le_bytes();
        [&[2, 1, 0, size[0], size[1], inner[0], 7, 0], &inner[1..]].concat()
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |depth| (0..depth).fold(b"\x0c\x01x".to_vec(), |inner, _| nested(&inner));
        check(&deep(100), &format!("{}\"x\"{}", "[".repeat(100), "]".repeat(100)));
        broken(&deep(101), JsonFault::TooDeep);
    }

    /// `count` members that are all the one value.
    fn overlapping(count: u16, inner: &[u8]) -> Vec<u8> {
        let head = 4 + 3 * count;
        let size = head + u16::try_from(inner.len()).unwrap() - 1;
        let entry = [&[inner[0]][..], &head.to_le_bytes()].concat();
        [&[2][..], &count.to_le_bytes(), &size.to_le_bytes(), &entry.repeat(count.into()), &inner[1..]].concat()
    }

    #[test]
    fn overlapping_members_do_not_multiply() {
        let document = overlapping(300, &overlapping(300, &[&b"\x0c\x64"[..], &[b'x'; 100]].concat()));
        broken(&document, JsonFault::TooLong);
    }
}
