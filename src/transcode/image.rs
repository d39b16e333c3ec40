//! Row images: taking bytes off their front, and finding where values end without reading them.
//!
//! An image is the NULL bitmap of the columns, then the values of those that are not NULL, without gaps. All readers
//! here consume from the front of a slice and fail on its end: no index is ever computed from the bytes.

use crate::binlog::json::JsonFault;
use crate::binlog::json_diff::DiffFault;
use crate::schema::charset::BadText;

/// Why a value cannot be carried over. Small and copied: the text is made only when the row has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The image ends inside the value.
    Truncated,
    /// A string longer than its column allows.
    TooLong,
    /// NULL for a target column that is not Nullable.
    Null,
    /// A zero or partial date for a target column that is not Nullable.
    ZeroDate,
    /// A day that the calendar does not have.
    NoSuchDay,
    /// Bits that are no value of the type.
    OutOfRange,
    /// An ENUM index or SET bit without a label.
    NoSuchLabel,
    /// Text that is none in its character set, or, in a key, may be another one's as well.
    BadText(BadText),
    /// An empty string that stands for two different values, in a key.
    AmbiguousEmpty,
    /// A vector without elements, where that stands for NULL.
    EmptyVector,
    /// Bytes that are no JSON document.
    Json(JsonFault),
    /// JSON diffs that cannot be applied.
    Diff(DiffFault),
    /// JSON diffs for a document that the row does not hold.
    NoDocument,
    /// An after image with options that are not known.
    UnknownOptions,
    /// Outside of the range of the type that was chosen for it.
    BeyondTarget,
    /// With a fraction that the type that was chosen for it has no room for.
    Inexact,
    /// Neither 0 nor 1, for a Bool.
    NotBoolean,
    /// No UUID, for a UUID.
    NotUuid,
    /// A document that ClickHouse's JSON does not keep as it is.
    NotKept,
    /// A label that is no member of the Enum that was chosen for it.
    NoMember,
}

/// Where a value ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    /// After this many bytes.
    Fixed(u8),
    /// After a little-endian length of 1..=4 bytes and what it counts.
    Prefixed(u8),
}

/// The first `count` bytes.
#[inline(always)]
pub(super) fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], Fault> {
    let (head, tail) = input.split_at_checked(count).ok_or(Fault::Truncated)?;
    *input = tail;
    Ok(head)
}

/// The first `N` bytes.
#[inline(always)]
pub(super) fn array<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (head, tail) = input.split_first_chunk::<N>().ok_or(Fault::Truncated)?;
    *input = tail;
    Ok(*head)
}

/// A little-endian length of 1..=4 bytes.
#[inline(always)]
pub(super) fn length(input: &mut &[u8], bytes: u8) -> Result<usize, Fault> {
    Ok(match bytes {
        1 => usize::from(u8::from_le_bytes(array(input)?)),
        2 => usize::from(u16::from_le_bytes(array(input)?)),
        3 => {
            let [a, b, c] = array(input)?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        _ => u32::from_le_bytes(array(input)?) as usize,
    })
}

/// The first 1..=4 bytes as a big-endian number.
#[inline(always)]
pub(super) fn number(input: &mut &[u8], bytes: u8) -> Result<u32, Fault> {
    Ok(match bytes {
        1 => u8::from_be_bytes(array(input)?).into(),
        2 => u16::from_be_bytes(array(input)?).into(),
        3 => {
            let [a, b, c] = array(input)?;
            u32::from_be_bytes([0, a, b, c])
        }
        _ => u32::from_be_bytes(array(input)?),
    })
}

/// Up to 8 bytes as a big-endian number.
#[inline(always)]
pub(super) fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Up to 8 bytes as a little-endian number.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The value's bytes, without its length.
#[inline(always)]
pub(super) fn raw_value<'a>(input: &mut &'a [u8], width: Width) -> Result<&'a [u8], Fault> {
    let count = match width {
        Width::Fixed(bytes) => usize::from(bytes),
        Width::Prefixed(bytes) => length(input, bytes)?,
    };
    take(input, count)
}

/// Steps over so many bytes, and over one value with a length before it if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Skip {
    fixed_bytes: usize,
    /// Bytes of the length; 0: there is none.
    length_bytes: u8,
}

/// The fewest steps over values of these widths.
pub(super) fn skips(widths: impl Iterator<Item = Width>) -> Vec<Skip> {
    let mut skips = vec![Skip { fixed_bytes: 0, length_bytes: 0 }];
    for width in widths {
        match (width, skips.last_mut()) {
            (Width::Fixed(bytes), Some(skip)) if skip.length_bytes == 0 => skip.fixed_bytes += usize::from(bytes),
            (Width::Prefixed(bytes), Some(skip)) if skip.length_bytes == 0 => skip.length_bytes = bytes,
            (Width::Fixed(bytes), _) => skips.push(Skip { fixed_bytes: bytes.into(), length_bytes: 0 }),
            (Width::Prefixed(bytes), _) => skips.push(Skip { fixed_bytes: 0, length_bytes: bytes }),
        }
    }
    skips
}

/// What follows these values.
#[inline(always)]
pub(super) fn skip<'a>(mut input: &'a [u8], skips: &[Skip]) -> Result<&'a [u8], Fault> {
    for skip in skips {
        take(&mut input, skip.fixed_bytes)?;
        if skip.length_bytes > 0 {
            let count = length(&mut input, skip.length_bytes)?;
            take(&mut input, count)?;
        }
    }
    Ok(input)
}

/// Whether column `index` is NULL.
#[inline(always)]
pub(super) fn is_null(nulls: &[u8], index: usize) -> bool {
    is_set(nulls, index)
}

/// Bit number `index`, counted from the lowest of the first byte.
#[inline(always)]
pub(super) fn is_set(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_ends() {
        let check = |mut input: &[u8], width, expected: Result<&[u8], Fault>| {
            assert_eq!(raw_value(&mut input, width), expected);
        };
        check(&[2, 7, 8, 9], Width::Prefixed(1), Ok(&[7, 8]));
        check(&[1, 0, 7], Width::Prefixed(2), Ok(&[7]));
        check(&[1, 0, 0, 7], Width::Prefixed(3), Ok(&[7]));
        check(&[1, 0, 0, 0, 7], Width::Prefixed(4), Ok(&[7]));
        check(&[0xff, 0xff, 0xff, 0xff, 7], Width::Prefixed(4), Err(Fault::Truncated));
        check(&[1, 0], Width::Prefixed(4), Err(Fault::Truncated));
        check(&[7, 8], Width::Fixed(2), Ok(&[7, 8]));
        check(&[7], Width::Fixed(2), Err(Fault::Truncated));
    }

    #[test]
    fn values_are_stepped_over_together() {
        let [fixed, short, long] = [Width::Fixed(2), Width::Prefixed(1), Width::Prefixed(2)];
        let widths = [fixed, fixed, short, fixed, long, long];
        let together = skips(widths.into_iter());
        assert_eq!(together.len(), 3);
        let input = [1, 1, 2, 2, 1, 9, 3, 3, 2, 0, 9, 9, 1, 0, 8, 7];
        assert_eq!(skip(&input, &together), Ok(&[7][..]));
        let mut rest = &input[..];
        widths.into_iter().for_each(|width| assert!(raw_value(&mut rest, width).is_ok()));
        assert_eq!(rest, [7], "as one by one");
        (0..15).for_each(|end| assert_eq!(skip(&input[..end], &together), Err(Fault::Truncated)));
        assert_eq!(skip(&input, &skips(std::iter::empty())), Ok(&input[..]));
    }

    #[test]
    fn bitmaps() {
        assert!(is_null(&[0, 0b10], 9));
        assert!(!is_null(&[0, 0b10], 8));
        assert!(!is_null(&[], 0));
    }
}
