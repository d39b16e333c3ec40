//! Numbers: INT24, DECIMAL, BIT, VECTOR. The other integers, FLOAT and DOUBLE are plain copies.
//!
//! DECIMAL is big-endian in groups of 9 digits per 4 bytes, the odd digits of the integer part first and those of the
//! fraction last in as few bytes as they need; the first bit is flipped, and all bits of a negative number are inverted
//! (MySQL `decimal2bin`, strings/decimal.cc). ClickHouse takes value × 10^scale in two's complement, little-endian. Digit
//! groups are range-checked, so what is written always fits the precision.

use super::image::{self, Fault, Width, array, big_endian, raw_value, take};
use crate::rowbinary;

/// Bytes that 0..=9 digits take outside a full group.
pub(super) const DIGIT_BYTES: [u8; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
const GROUP: u32 = 1_000_000_000;

/// Bytes of the length before a VECTOR.
pub(super) const VECTOR_LENGTH_BYTES: u8 = 4;

/// How a VECTOR is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vector {
    /// The column may be NULL, which is the array without elements.
    pub(super) empty_is_null: bool,
}

/// Bytes of ClickHouse's Decimal of so many digits.
pub(super) fn decimal_bytes(precision: u8) -> u8 {
    match precision {
        ..=9 => 4,
        10..=18 => 8,
        19..=38 => 16,
        39.. => 32,
    }
}

/// Where the digit groups of a DECIMAL lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecimalLayout {
    lead_bytes: u8,
    groups: u8,
    tail_bytes: u8,
    /// 10^digits of the first, short group.
    lead_limit: u32,
    /// 10^digits of the last, short group.
    tail_limit: u32,
}

impl DecimalLayout {
    /// The layout of DECIMAL(precision, scale); `None` when no server has such a type.
    pub(super) fn new(precision: u8, scale: u8) -> Option<Self> {
        Self::with_digits(precision, scale, 65)
    }

    /// As `new`, with up to `most` digits.
    pub(super) fn with_digits(precision: u8, scale: u8, most: u8) -> Option<Self> {
        let integer = precision.checked_sub(scale).filter(|_| (1..=most).contains(&precision))?;
        let (lead_digits, tail_digits) = (integer % 9, scale % 9);
        Some(Self {
            lead_bytes: *DIGIT_BYTES.get(usize::from(lead_digits))?,
            groups: integer / 9 + scale / 9,
            tail_bytes: *DIGIT_BYTES.get(usize::from(tail_digits))?,
            lead_limit: 10u32.pow(u32::from(lead_digits)),
            tail_limit: 10u32.pow(u32::from(tail_digits)),
        })
    }

    /// Bytes of a value.
    pub(super) fn bytes(self) -> u8 {
        self.lead_bytes + self.groups * 4 + self.tail_bytes
    }

    /// Gives each group as (value, 10^digits) to `add`, and returns whether the number is negative.
    #[inline(always)]
    pub(super) fn read(self, input: &mut &[u8], mut add: impl FnMut(u32, u32)) -> Result<bool, Fault> {
        let negative = input.first().is_some_and(|first| first & 0x80 == 0);
        // The bits to turn over: the sign bit of the first byte, and all of a negative number.
        let mask = if negative { u32::MAX } else { 0 };
        let mut first = 1 << 31;
        let mut flipped = || mask ^ std::mem::take(&mut first);
        if self.lead_bytes > 0 {
            add(group(input, self.lead_bytes, flipped(), self.lead_limit)?, self.lead_limit);
        }
        for _ in 0..self.groups {
            add(group(input, 4, flipped(), GROUP)?, GROUP);
        }
        if self.tail_bytes > 0 {
            add(group(input, self.tail_bytes, flipped(), self.tail_limit)?, self.tail_limit);
        }
        Ok(negative)
    }
}

/// A group of 1..=4 bytes, of which those bits of the uppermost ones that `flipped` has are turned over.
#[inline(always)]
fn group(input: &mut &[u8], bytes: u8, flipped: u32, limit: u32) -> Result<u32, Fault> {
    let value = image::number(input, bytes)? ^ flipped >> (32 - 8 * u32::from(bytes));
    if value < limit { Ok(value) } else { Err(Fault::OutOfRange) }
}

#[inline(always)]
fn decimal_i64(input: &mut &[u8], layout: DecimalLayout) -> Result<i64, Fault> {
    let mut value = 0i64;
    let negative = layout.read(input, |group, limit| value = value * i64::from(limit) + i64::from(group))?;
    Ok(if negative { -value } else { value })
}

/// Up to 9 digits, Int32.
#[inline(always)]
pub(super) fn decimal32(input: &mut &[u8], layout: DecimalLayout, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = i32::try_from(decimal_i64(input, layout)?).map_err(|_| Fault::OutOfRange)?;
    rowbinary::fixed(out, value.to_le_bytes());
    Ok(())
}

/// Up to 18 digits, Int64.
#[inline(always)]
pub(super) fn decimal64(input: &mut &[u8], layout: DecimalLayout, out: &mut Vec<u8>) -> Result<(), Fault> {
    rowbinary::fixed(out, decimal_i64(input, layout)?.to_le_bytes());
    Ok(())
}

/// Up to 38 digits, Int128.
pub(super) fn decimal128(input: &mut &[u8], layout: DecimalLayout, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut value = 0i128;
    let negative = layout.read(input, |group, limit| value = value * i128::from(limit) + i128::from(group))?;
    rowbinary::fixed(out, if negative { -value } else { value }.to_le_bytes());
    Ok(())
}

/// Up to 65 digits, Int256 in four limbs of 64 bits, the lowest first.
pub(super) fn decimal256(input: &mut &[u8], layout: DecimalLayout, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut limbs = [0u64; 4];
    let negative = layout.read(input, |group, limit| multiply_add(&mut limbs, limit, group))?;
    if negative {
        negate(&mut limbs);
    }
    for limb in limbs {
        rowbinary::fixed(out, limb.to_le_bytes());
    }
    Ok(())
}

/// `limbs × factor + addend`; 65 digits are below 2^216, so nothing is carried out of the top.
#[expect(clippy::cast_possible_truncation, reason = "the low and the high half of a product are taken apart")]
fn multiply_add(limbs: &mut [u64; 4], factor: u32, addend: u32) {
    let mut carry = u64::from(addend);
    for limb in limbs {
        let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
        *limb = product as u64;
        carry = (product >> 64) as u64;
    }
}

/// The two's complement.
pub(super) fn negate(limbs: &mut [u64; 4]) {
    let mut carry = true;
    for limb in limbs {
        (*limb, carry) = (!*limb).overflowing_add(u64::from(carry));
    }
}

/// VECTOR to Array(Float32): the elements' bits as they are. Where no elements stand for NULL, a vector must have some.
pub(super) fn vector(input: &mut &[u8], vector: Vector, out: &mut Vec<u8>) -> Result<(), Fault> {
    let elements = raw_value(input, Width::Prefixed(VECTOR_LENGTH_BYTES))?;
    if !elements.len().is_multiple_of(size_of::<f32>()) {
        return Err(Fault::OutOfRange);
    }
    if elements.is_empty() && vector.empty_is_null {
        return Err(Fault::EmptyVector);
    }
    rowbinary::leb128(out, elements.len() / size_of::<f32>());
    out.extend_from_slice(elements);
    Ok(())
}

/// MEDIUMINT to Int32.
#[inline(always)]
pub(super) fn int24(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let [a, b, c] = array(input)?;
    // Shifted up and down again: the sign bit fills the upper byte.
    let value = i32::from_le_bytes([0, a, b, c]) >> 8;
    rowbinary::fixed(out, value.to_le_bytes());
    Ok(())
}

/// MEDIUMINT UNSIGNED to UInt32.
#[inline(always)]
pub(super) fn uint24(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let [a, b, c] = array(input)?;
    rowbinary::fixed(out, [a, b, c, 0]);
    Ok(())
}

/// BIT of 1..=8 big-endian bytes to UInt64.
pub(super) fn bit(input: &mut &[u8], bytes: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = big_endian(take(input, usize::from(bytes))?);
    rowbinary::fixed(out, value.to_le_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Writer = fn(&mut &[u8], DecimalLayout, &mut Vec<u8>) -> Result<(), Fault>;

    fn decimal(precision: u8, scale: u8, mut bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let writer: Writer = match precision {
            ..=9 => decimal32,
            10..=18 => decimal64,
            19..=38 => decimal128,
            39.. => decimal256,
        };
        let mut out = Vec::new();
        writer(&mut bytes, DecimalLayout::new(precision, scale).unwrap(), &mut out)?;
        assert!(bytes.is_empty(), "the whole value is consumed");
        Ok(out)
    }

    /// The stored form of the digits of `value` (precision of them), as `decimal2bin` makes it.
    fn stored(precision: usize, scale: usize, value: &str) -> Vec<u8> {
        let (digits, negative) = value.strip_prefix('-').map_or((value, false), |digits| (digits, true));
        let (integer, fraction) = digits.split_at(precision - scale);
        let lead = integer.len() % 9;
        let mut bytes = Vec::new();
        let mut push = |group: &str| {
            let width = usize::from(DIGIT_BYTES[group.len()]);
            bytes.extend_from_slice(&group.parse::<u32>().unwrap_or(0).to_be_bytes()[4 - width..]);
        };
        push(&integer[..lead]);
        integer.as_bytes()[lead..].chunks(9).for_each(|group| push(std::str::from_utf8(group).unwrap()));
        fraction.as_bytes().chunks(9).for_each(|group| push(std::str::from_utf8(group).unwrap()));
        if negative {
            bytes.iter_mut().for_each(|byte| *byte = !*byte);
        }
        bytes[0] ^= 0x80;
        bytes
    }

    #[test]
    fn decimals_by_the_manual() {
        // 1234567890.1234 and its negative as DECIMAL(14,4): the example in decimal2bin's comment.
        let positive = [0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(decimal(14, 4, &positive), Ok(12_345_678_901_234i64.to_le_bytes().to_vec()));
        let negative = positive.map(|byte| !byte);
        assert_eq!(decimal(14, 4, &negative), Ok((-12_345_678_901_234i64).to_le_bytes().to_vec()));
    }

    #[test]
    fn decimals_of_every_shape_at_their_ends() {
        for precision in 1..=38u8 {
            for scale in 0..=precision.min(30) {
                let digits = "9".repeat(precision.into());
                let value: i128 = digits.parse().unwrap();
                let width = [4, 8, 16][usize::from(precision > 9) + usize::from(precision > 18)];
                for (text, value) in [(digits.clone(), value), (format!("-{digits}"), -value)] {
                    let bytes = stored(precision.into(), scale.into(), &text);
                    assert_eq!(decimal(precision, scale, &bytes), Ok(value.to_le_bytes()[..width].to_vec()));
                }
            }
        }
    }

    #[test]
    fn decimals_of_256_bits() {
        // 10^65 - 1, and its two's complement.
        let expected = {
            let mut limbs = [0u64; 4];
            (0..65).for_each(|_| multiply_add(&mut limbs, 10, 9));
            limbs
        };
        let bytes = |limbs: [u64; 4]| limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect::<Vec<_>>();
        let digits = "9".repeat(65);
        let image = stored(65, 30, &digits);
        assert_eq!(image.len(), 30);
        assert_eq!(decimal(65, 30, &image), Ok(bytes(expected)));
        let mut negative = expected.map(|limb| !limb);
        negative[0] += 1;
        assert_eq!(decimal(65, 30, &stored(65, 30, &format!("-{digits}"))), Ok(bytes(negative)));
        // A number that needs 128 bits only: the upper limbs are its sign.
        let small = format!("-{}7", "0".repeat(64));
        assert_eq!(
            decimal(65, 0, &stored(65, 0, &small)),
            Ok((-7i128).to_le_bytes().into_iter().chain([0xff; 16]).collect())
        );
    }

    #[test]
    fn zero_and_no_integer_digits() {
        assert_eq!(decimal(5, 5, &stored(5, 5, "00001")), Ok(1i32.to_le_bytes().to_vec()));
        assert_eq!(decimal(10, 2, &[0x80, 0, 0, 0, 0]), Ok(vec![0; 8]));
    }

    #[test]
    fn digits_out_of_range_and_short_images() {
        assert_eq!(decimal(10, 2, &[0x80, 0, 0, 0, 100]), Err(Fault::OutOfRange));
        assert_eq!(decimal(10, 2, &[0x80, 0, 0, 0]), Err(Fault::Truncated));
        assert_eq!(decimal(9, 0, &[]), Err(Fault::Truncated));
        assert!(DecimalLayout::new(66, 0).is_none() && DecimalLayout::new(4, 5).is_none());
    }

    #[test]
    fn medium_integers_and_bits() {
        let mut out = Vec::new();
        int24(&mut [0xff, 0xff, 0xff].as_slice(), &mut out).unwrap();
        int24(&mut [0x00, 0x00, 0x80].as_slice(), &mut out).unwrap();
        int24(&mut [0xff, 0xff, 0x7f].as_slice(), &mut out).unwrap();
        uint24(&mut [0xff, 0xff, 0xff].as_slice(), &mut out).unwrap();
        let expected =
            [(-1i32).to_le_bytes(), (-8_388_608i32).to_le_bytes(), 8_388_607i32.to_le_bytes(), [255, 255, 255, 0]];
        assert_eq!(out, expected.concat());
        out.clear();
        bit(&mut [0x02, 0x01].as_slice(), 2, &mut out).unwrap();
        bit(&mut [0xff; 8].as_slice(), 8, &mut out).unwrap();
        assert_eq!(out, [513u64.to_le_bytes(), [0xff; 8]].concat());
    }
}
