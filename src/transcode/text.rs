//! Strings: text to UTF-8, bytes as they are, ENUM and SET to their labels.
//!
//! Text in utf8 is copied once it is known to be such. latin1 is what MySQL calls so: windows-1252, where 81 8D 8F 90 9D are C1 controls
//! (`CONVERT(.. USING utf8mb4)` gives the same for all 256 codes). CHAR comes without its trailing spaces, as MySQL shows
//! it; BINARY(n) comes without its trailing 0x00 and gets them back. Labels are written as RowBinary once, when the plan
//! is compiled. All other text is decoded by [`crate::schema::charset`].

use super::image::{Fault, array, length, little_endian, take};
use crate::rowbinary;
use crate::schema::charset::{BadText, Charset, Use, latin1_char};

/// The length before a string, and what it may count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    /// 1..=4 bytes, little-endian.
    pub(super) bytes: u8,
    /// The column's maximum in bytes.
    pub(super) max: u32,
}

impl Prefix {
    /// The string's bytes.
    #[inline(always)]
    pub(super) fn take<'a>(self, input: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
        let count = length(input, self.bytes)?;
        if count > self.max as usize {
            return Err(Fault::TooLong);
        }
        take(input, count)
    }
}

impl From<BadText> for Fault {
    fn from(fault: BadText) -> Self {
        Self::BadText(fault)
    }
}

/// Text in utf8mb4, utf8mb3, ascii.
#[inline(always)]
pub(super) fn utf8(input: &mut &[u8], prefix: Prefix, charset: Charset, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = prefix.take(input)?;
    if !is_ascii(value) {
        charset.check_utf8(value)?;
    }
    rowbinary::string(out, value);
    Ok(())
}

/// As `<[u8]>::is_ascii`, in a third of its time or less for texts as columns have them: eight bytes at a time, and the
/// last eight once more.
#[inline(always)]
fn is_ascii(text: &[u8]) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    let Some(last) = text.last_chunk::<8>() else { return text.iter().fold(0, |all, byte| all | byte) < 0x80 };
    let (words, _) = text.as_chunks::<8>();
    let all = words.iter().fold(u64::from_ne_bytes(*last), |all, word| all | u64::from_ne_bytes(*word));
    all & HIGH_BITS == 0
}

/// How text in any other character set is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) prefix: Prefix,
    pub(super) charset: Charset,
    pub(super) purpose: Use,
}

impl Text {
    /// In UTF-8.
    pub(super) fn write(self, input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let value = self.prefix.take(input)?;
        rowbinary::string_of(out, |out| self.charset.decode(value, self.purpose, out))?;
        Ok(())
    }
}

/// VARBINARY, BLOB, and what else is copied.
#[inline(always)]
pub(super) fn bytes(input: &mut &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    rowbinary::string(out, prefix.take(input)?);
    Ok(())
}

/// BINARY(n), filled up to n again.
pub(super) fn padded(input: &mut &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = prefix.take(input)?;
    let max = prefix.max as usize;
    rowbinary::leb128(out, max);
    out.extend_from_slice(value);
    out.resize(out.len() + max - value.len(), 0);
    Ok(())
}

/// Text in latin1.
pub(super) fn latin1(input: &mut &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = prefix.take(input)?;
    if is_ascii(value) {
        rowbinary::string(out, value);
        return Ok(());
    }
    rowbinary::leb128(out, value.iter().map(|&byte| latin1_char(byte).len_utf8()).sum());
    let mut utf8 = [0; 4];
    for &byte in value {
        out.extend_from_slice(latin1_char(byte).encode_utf8(&mut utf8).as_bytes());
    }
    Ok(())
}

/// Where the labels of one ENUM or SET lie among a plan's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    /// Bytes of a stored value.
    pub(super) bytes: u8,
    /// Index of the first label.
    pub(super) first: u32,
    /// Number of labels.
    pub(super) count: u16,
    /// In a key with a member '': no value may be told apart from it by nothing.
    pub(super) refuses_zero: bool,
}

/// The labels of all ENUM and SET columns of a plan, end to end.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct LabelArena {
    bytes: Vec<u8>,
    /// End of each label in `bytes`.
    ends: Vec<u32>,
}

impl LabelArena {
    /// Number of labels.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Adds a label, `None` when it does not fit in 4 GiB.
    pub(super) fn push(&mut self, label: &str) -> Option<()> {
        self.bytes.extend_from_slice(label.as_bytes());
        self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        Some(())
    }

    /// The bytes of a column's longest label.
    pub(super) fn longest(&self, labels: Labels) -> usize {
        self.lengths(labels).max().unwrap_or(0)
    }

    /// The bytes of all labels of a column with commas between them.
    pub(super) fn all(&self, labels: Labels) -> usize {
        self.lengths(labels).map(|length| length + 1).sum()
    }

    fn lengths(&self, labels: Labels) -> impl Iterator<Item = usize> {
        (1..=u64::from(labels.count)).map(move |number| self.of(labels, number).map_or(0, <[u8]>::len))
    }

    #[inline(always)]
    fn get(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start as usize..*self.ends.get(index)? as usize)
    }

    /// The label of 1-based `number` of a column.
    #[inline(always)]
    fn of(&self, labels: Labels, number: u64) -> Result<&[u8], Fault> {
        let number = usize::try_from(number).map_err(|_| Fault::NoSuchLabel)?;
        if number == 0 || number > usize::from(labels.count) {
            return Err(Fault::NoSuchLabel);
        }
        self.get(labels.first as usize + number - 1).ok_or(Fault::NoSuchLabel)
    }

    /// ENUM to its label; index 0, an invalid value, is the empty string.
    #[inline(always)]
    pub(super) fn enumeration(&self, input: &mut &[u8], labels: Labels, out: &mut Vec<u8>) -> Result<(), Fault> {
        let index = match labels.bytes {
            1 => u64::from(u8::from_le_bytes(array(input)?)),
            _ => u64::from(u16::from_le_bytes(array(input)?)),
        };
        if index == 0 {
            return empty(labels, out);
        }
        rowbinary::string(out, self.of(labels, index)?);
        Ok(())
    }

    /// SET to its labels in their order, with commas between them.
    pub(super) fn set(&self, input: &mut &[u8], labels: Labels, out: &mut Vec<u8>) -> Result<(), Fault> {
        let bits = little_endian(take(input, usize::from(labels.bytes))?);
        if bits == 0 {
            return empty(labels, out);
        }
        rowbinary::string_of(out, |out| {
            for (nth, number) in numbers(bits).enumerate() {
                if nth > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(self.of(labels, number)?);
            }
            Ok(())
        })
    }
}

/// The numbers, counted from 1, of the bits that are set.
fn numbers(mut bits: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let others = bits & bits.checked_sub(1)?;
        let lowest = std::mem::replace(&mut bits, others);
        Some(u64::from(lowest.trailing_zeros()) + 1)
    })
}

#[inline(always)]
fn empty(labels: Labels, out: &mut Vec<u8>) -> Result<(), Fault> {
    if labels.refuses_zero {
        return Err(Fault::AmbiguousEmpty);
    }
    out.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        write: impl Fn(&mut &[u8], Prefix, &mut Vec<u8>) -> Result<(), Fault>,
        prefix: Prefix,
        mut input: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        write(&mut input, prefix, &mut out)?;
        assert!(input.is_empty(), "the whole value is consumed");
        Ok(out)
    }

    #[test]
    fn utf8_and_bytes_are_copied() {
        let short = Prefix { bytes: 1, max: 4 };
        assert_eq!(written(bytes, short, b"\x04\xf0\x9f\x98\x80"), Ok(b"\x04\xf0\x9f\x98\x80".to_vec()));
        assert_eq!(written(bytes, short, b"\x00"), Ok(b"\x00".to_vec()));
        assert_eq!(written(bytes, short, b"\x05abcde"), Err(Fault::TooLong));
        assert_eq!(written(bytes, short, b"\x04abc"), Err(Fault::Truncated));
        let long = [&200u16.to_le_bytes()[..], &[7; 200]].concat();
        assert_eq!(written(bytes, Prefix { bytes: 2, max: 256 }, &long), Ok([&[0xc8, 1][..], &[7; 200]].concat()));
    }

    #[test]
    fn ascii_is_seen_at_every_place() {
        for length in 0..40 {
            let mut text = vec![b'~'; length];
            assert!(is_ascii(&text));
            for at in 0..length {
                text[at] = 0x80;
                assert!(!is_ascii(&text), "{at} of {length}");
                text[at] = b'~';
            }
        }
    }

    #[test]
    fn text_is_checked_or_decoded() {
        let prefix = Prefix { bytes: 1, max: 9 };
        let bad = |charset, at, is_ambiguous| Err(Fault::BadText(BadText { charset, at, is_ambiguous }));
        let checked = |charset, input: &[u8]| written(|i, p, o| utf8(i, p, charset, o), prefix, input);
        assert_eq!(checked(Charset::Utf8, "\x05a💩".as_bytes()), Ok("\x05a💩".as_bytes().to_vec()));
        assert_eq!(checked(Charset::Utf8, b"\x03ab\xc3"), bad(Charset::Utf8, 2, false));
        assert_eq!(checked(Charset::Utf8mb3, "\x05a💩".as_bytes()), bad(Charset::Utf8mb3, 1, false));
        assert_eq!(checked(Charset::Ascii, "\x02é".as_bytes()), bad(Charset::Ascii, 0, false));
        let decoded = |charset, purpose, input: &[u8]| {
            written(|i, prefix, o| Text { prefix, charset, purpose }.write(i, o), prefix, input)
        };
        assert_eq!(decoded(Charset::Sjis, Use::Value, b"\x04\x93\xfa\x81\x5f"), Ok("\x04日\\".as_bytes().to_vec()));
        assert_eq!(decoded(Charset::Sjis, Use::Key, b"\x04\x93\xfa\x81\x5f"), bad(Charset::Sjis, 2, true));
        assert_eq!(decoded(Charset::Ucs2, Use::Key, b"\x04\0a\0\0"), Ok(b"\x02a\0".to_vec()));
        assert_eq!(decoded(Charset::Sjis, Use::Key, b"\x0a.........."), Err(Fault::TooLong));
    }

    #[test]
    fn binary_is_filled_up() {
        let prefix = Prefix { bytes: 1, max: 4 };
        assert_eq!(written(padded, prefix, b"\x02ab"), Ok(b"\x04ab\0\0".to_vec()));
        assert_eq!(written(padded, prefix, b"\x00"), Ok(b"\x04\0\0\0\0".to_vec()));
        assert_eq!(written(padded, prefix, b"\x05abcde"), Err(Fault::TooLong));
    }

    #[test]
    fn latin1_is_windows_1252_with_controls() {
        let all: Vec<u8> = (0..=255).collect();
        let input = [&256u16.to_le_bytes()[..], &all].concat();
        let out = written(latin1, Prefix { bytes: 2, max: 256 }, &input).unwrap();
        // 128 of one byte; of the others 5 controls and A0..FF take two, the 27 of windows-1252 two or three.
        let text = std::str::from_utf8(&out[2..]).unwrap();
        assert_eq!(usize::from(out[0] & 0x7f) | usize::from(out[1]) << 7, text.len());
        let expected = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
        assert_eq!(text.chars().skip(128).take(32).collect::<String>(), expected);
        assert!(text.chars().skip(160).zip(0xa0u8..=0xff).all(|(have, byte)| have == char::from(byte)));
        assert_eq!(written(latin1, Prefix { bytes: 1, max: 9 }, b"\x03abc"), Ok(b"\x03abc".to_vec()));
        assert_eq!(written(latin1, Prefix { bytes: 1, max: 9 }, b"\x02a\xe9"), Ok("\u{3}aé".as_bytes().to_vec()));
    }

    fn arena(labels: &[&str]) -> (LabelArena, Labels) {
        let mut arena = LabelArena::default();
        for label in ["other"].iter().chain(labels) {
            arena.push(label).unwrap();
        }
        let count = u16::try_from(labels.len()).unwrap();
        (arena, Labels { bytes: 1, first: 1, count, refuses_zero: false })
    }

    #[test]
    fn enumerations() {
        let (arena, labels) = arena(&["red", "", "blue"]);
        let check = |labels, mut input: &[u8], expected: Result<&[u8], Fault>| {
            let mut out = Vec::new();
            let result = arena.enumeration(&mut input, labels, &mut out);
            assert_eq!(result.map(|()| out.as_slice()), expected);
        };
        check(labels, &[1], Ok(b"\x03red"));
        check(labels, &[3], Ok(b"\x04blue"));
        check(labels, &[2], Ok(b"\0"));
        check(labels, &[0], Ok(b"\0"));
        check(labels, &[4], Err(Fault::NoSuchLabel));
        check(Labels { bytes: 2, ..labels }, &[3, 0], Ok(b"\x04blue"));
        check(Labels { bytes: 2, ..labels }, &[3], Err(Fault::Truncated));
        check(Labels { refuses_zero: true, ..labels }, &[0], Err(Fault::AmbiguousEmpty));
        check(Labels { refuses_zero: true, ..labels }, &[2], Ok(b"\0"));
    }

    #[test]
    fn sets() {
        let (arena, labels) = arena(&["a", "bb", "c"]);
        let check = |labels, mut input: &[u8], expected: Result<&[u8], Fault>| {
            let mut out = Vec::new();
            let result = arena.set(&mut input, labels, &mut out);
            assert_eq!(result.map(|()| out.as_slice()), expected);
        };
        check(labels, &[0], Ok(b"\0"));
        check(labels, &[0b111], Ok(b"\x06a,bb,c"));
        check(labels, &[0b100], Ok(b"\x01c"));
        check(labels, &[0b1000], Err(Fault::NoSuchLabel));
        check(Labels { bytes: 8, ..labels }, &[0, 0, 0, 0, 0, 0, 0, 0x80], Err(Fault::NoSuchLabel));
        check(Labels { bytes: 8, ..labels }, &[2, 0, 0, 0, 0, 0, 0, 0], Ok(b"\x02bb"));
    }
}
