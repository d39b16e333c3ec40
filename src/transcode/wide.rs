//! Whole numbers of 256 bits with a sign: what DECIMAL of any precision and integers of any width are scaled and compared in.

use super::image::Fault;
use super::number::negate;

/// A number as its sign and its magnitude, the lowest limb first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wide {
    is_negative: bool,
    magnitude: [u64; 4],
}

impl Wide {
    /// The number in up to 32 bytes, lowest first, in two's complement if it has a sign.
    pub(super) fn from_le_bytes(bytes: &[u8], is_signed: bool) -> Self {
        let is_negative = is_signed && bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut padded = if is_negative { [0xff; 32] } else { [0; 32] };
        padded.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let mut magnitude = [0; 4];
        for (limb, bytes) in magnitude.iter_mut().zip(padded.as_chunks::<8>().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        if is_negative {
            negate(&mut magnitude);
        }
        Self { is_negative, magnitude }
    }

    /// 10^exponent, for an exponent of at most 76.
    pub(super) fn power_of_ten(exponent: u8) -> Self {
        let one = Self { is_negative: false, magnitude: [1, 0, 0, 0] };
        one.times_ten(exponent).unwrap_or(Self { is_negative: false, magnitude: [u64::MAX; 4] })
    }

    /// × 10^count; `None` beyond 256 bits.
    pub(super) fn times_ten(mut self, count: u8) -> Option<Self> {
        for _ in 0..count {
            let mut carry = 0;
            for limb in &mut self.magnitude {
                let product = u128::from(*limb) * 10 + carry;
                *limb = u64::try_from(product & u128::from(u64::MAX)).ok()?;
                carry = product >> 64;
            }
            (carry == 0).then_some(())?;
        }
        Some(self)
    }

    /// ÷ 10^count, without a remainder.
    pub(super) fn divided_by_ten(mut self, count: u8) -> Result<Self, Fault> {
        for _ in 0..count {
            let mut rest = 0;
            for limb in self.magnitude.iter_mut().rev() {
                let dividend = rest << 64 | u128::from(*limb);
                *limb = u64::try_from(dividend / 10).map_err(|_| Fault::Inexact)?;
                rest = dividend % 10;
            }
            if rest != 0 {
                return Err(Fault::Inexact);
            }
        }
        Ok(self)
    }

    /// Whether the magnitude is below that of `limit`.
    pub(super) fn is_below(&self, limit: &Self) -> bool {
        self.magnitude.iter().rev().lt(limit.magnitude.iter().rev())
    }

    /// Whether it has room in so many bytes.
    pub(super) fn fits(&self, bytes: u8, is_signed: bool) -> bool {
        let stored = self.to_le_bytes();
        let Some((kept, cut)) = stored.split_at_checked(bytes.into()) else { return false };
        let has_sign = is_signed && kept.last().is_some_and(|&byte| byte >= 0x80);
        let sign = if has_sign { 0xff } else { 0 };
        (is_signed || !self.is_negative) && cut.iter().all(|&byte| byte == sign)
    }

    /// Appends its lowest bytes in two's complement.
    pub(super) fn append(&self, bytes: u8, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_le_bytes().get(..bytes.into()).unwrap_or_default());
    }

    fn to_le_bytes(self) -> [u8; 32] {
        let mut limbs = self.magnitude;
        if self.is_negative {
            negate(&mut limbs);
        }
        let mut bytes = [0; 32];
        for (to, limb) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(limbs) {
            *to = limb.to_le_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(number: i128) -> Wide {
        Wide::from_le_bytes(&number.to_le_bytes(), true)
    }

    fn bytes(number: Wide, bytes: u8) -> Vec<u8> {
        let mut out = Vec::new();
        number.append(bytes, &mut out);
        out
    }

    #[test]
    fn numbers_come_out_as_they_went_in() {
        for number in [0, 1, -1, i128::MAX, i128::MIN, 255, -128] {
            assert_eq!(bytes(wide(number), 16), number.to_le_bytes());
            let sign = if number < 0 { 0xff } else { 0 };
            assert_eq!(bytes(wide(number), 32)[16..], [sign; 16]);
        }
        assert_eq!(bytes(Wide::from_le_bytes(&[0xff], false), 2), [255, 0]);
        assert_eq!(bytes(Wide::from_le_bytes(&[0xff], true), 2), [255, 255]);
    }

    #[test]
    fn ranges_end_where_the_bytes_do() {
        let check = |number: i128, bytes, signed: bool, unsigned: bool| {
            assert_eq!(
                (wide(number).fits(bytes, true), wide(number).fits(bytes, false)),
                (signed, unsigned),
                "{number}"
            );
        };
        check(127, 1, true, true);
        check(128, 1, false, true);
        check(255, 1, false, true);
        check(256, 1, false, false);
        check(-128, 1, true, false);
        check(-129, 1, false, false);
        check(i128::from(u64::MAX), 8, false, true);
        check(i128::from(i64::MIN), 8, true, false);
        check(-1, 32, true, false);
    }

    #[test]
    fn powers_of_ten() {
        assert_eq!(wide(-7).times_ten(3), Some(wide(-7000)));
        assert_eq!(wide(-7000).divided_by_ten(3), Ok(wide(-7)));
        assert_eq!(wide(-7010).divided_by_ten(2), Err(Fault::Inexact));
        assert_eq!(Wide::power_of_ten(30), wide(10i128.pow(30)));
        assert_eq!(Wide::power_of_ten(76).times_ten(1), Some(Wide::power_of_ten(77)));
        assert_eq!(Wide::power_of_ten(77).times_ten(1), None, "beyond 2^256");
        assert_eq!(Wide::power_of_ten(76).divided_by_ten(76), Ok(wide(1)));
        assert!(wide(-99).is_below(&Wide::power_of_ten(2)) && !wide(-100).is_below(&Wide::power_of_ten(2)));
        assert!(!wide(1).is_below(&wide(1)) && wide(i128::MAX).is_below(&Wide::power_of_ten(40)));
    }
}
