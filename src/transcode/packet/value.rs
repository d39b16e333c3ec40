//! Values of the binary protocol to those of a row image.
//!
//! The protocol sends integers and floats as they are (MEDIUMINT in 4 bytes, YEAR in 2), dates and times as structs of
//! as many fields as are not zero behind their length, DECIMAL as text, all else as bytes behind a packed length
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html>). What the image has bits
//! for is packed, what it has none for is a fault; whether a day is in the calendar is asked where images are read. No IO.

use super::super::image::{Fault, array, take};
use super::super::number::DIGIT_BYTES;
use super::super::temporal::Day;
use super::super::text::Prefix;

/// Digits of a full group of a DECIMAL.
const GROUP_DIGITS: usize = 9;

/// How many digits a DECIMAL has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DecimalDigits {
    /// Before the point.
    whole: u8,
    /// Behind it.
    scale: u8,
}

impl DecimalDigits {
    /// `None` when no server has such a type.
    pub(super) fn new(precision: u8, scale: u8) -> Option<Self> {
        let whole = precision.checked_sub(scale).filter(|_| (1..=65).contains(&precision))?;
        Some(Self { whole, scale })
    }
}

/// The fraction of a second in an image, made of microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Micros {
    /// Stored bytes, 0..=3.
    bytes: u8,
    /// Microseconds of one stored unit.
    unit: u32,
    /// Microseconds of the column's last digit.
    step: u32,
}

impl Micros {
    /// Of fsp 0..=6 digits.
    pub(super) fn new(fsp: u8) -> Option<Self> {
        let bytes = (fsp <= 6).then_some(fsp.div_ceil(2))?;
        Some(Self { bytes, unit: 10u32.pow(6 - 2 * u32::from(bytes)), step: 10u32.pow(6 - u32::from(fsp)) })
    }

    /// In stored units.
    #[inline(always)]
    fn stored(self, microseconds: u32) -> Result<u32, Fault> {
        if microseconds == 0 {
            return Ok(0);
        }
        if microseconds > 999_999 || !microseconds.is_multiple_of(self.step) {
            return Err(Fault::OutOfRange);
        }
        Ok(microseconds / self.unit)
    }
}

/// MEDIUMINT, sent in 4 bytes.
#[inline(always)]
pub(super) fn int24(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = i32::from_le_bytes(array(input)?);
    // Shifted up and down again, what does not fit is lost.
    if value << 8 >> 8 != value {
        return Err(Fault::OutOfRange);
    }
    let [a, b, c, _] = value.to_le_bytes();
    out.extend_from_slice(&[a, b, c]);
    Ok(())
}

/// MEDIUMINT UNSIGNED, sent in 4 bytes.
#[inline(always)]
pub(super) fn uint24(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let [a, b, c, 0] = array(input)? else { return Err(Fault::OutOfRange) };
    out.extend_from_slice(&[a, b, c]);
    Ok(())
}

/// YEAR, sent as its number: 0 and 1901..=2155.
#[inline(always)]
pub(super) fn year(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let stored = match u16::from_le_bytes(array(input)?) {
        0 => Ok(0),
        year => u8::try_from(year.wrapping_sub(1900)).ok().filter(|&stored| stored > 0).ok_or(Fault::OutOfRange),
    };
    out.push(stored?);
    Ok(())
}

/// Bytes behind a packed length.
#[inline(always)]
fn packed<'a>(input: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let count = match array(input)? {
        [short @ 0..=0xfa] => usize::from(short),
        [0xfc] => usize::from(u16::from_le_bytes(array(input)?)),
        [0xfd] => {
            let [a, b, c] = array(input)?;
            u32::from_le_bytes([a, b, c, 0]) as usize
        }
        [0xfe] => usize::try_from(u64::from_le_bytes(array(input)?)).map_err(|_| Fault::TooLong)?,
        // NULL is in the bitmap.
        [0xfb | 0xff] => return Err(Fault::OutOfRange),
    };
    take(input, count)
}

/// Text and bytes.
#[inline(always)]
pub(super) fn string(input: &mut &[u8], prefix: Prefix, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bytes = packed(input)?;
    let length = u32::try_from(bytes.len()).ok().filter(|&length| length <= prefix.max).ok_or(Fault::TooLong)?;
    out.extend(length.to_le_bytes().iter().take(usize::from(prefix.bytes)));
    out.extend_from_slice(bytes);
    Ok(())
}

/// BIT, sent big-endian as in the image.
pub(super) fn bit(input: &mut &[u8], bytes: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    let bits = packed(input)?;
    if bits.len() != usize::from(bytes) {
        return Err(Fault::OutOfRange);
    }
    out.extend_from_slice(bits);
    Ok(())
}

/// ENUM's index and SET's bits, sent as BIGINT UNSIGNED.
#[inline(always)]
pub(super) fn number(input: &mut &[u8], bytes: u8, out: &mut Vec<u8>) -> Result<(), Fault> {
    let value = array::<8>(input)?;
    let (stored, beyond) = value.split_at_checked(usize::from(bytes)).ok_or(Fault::OutOfRange)?;
    if beyond.iter().any(|&byte| byte != 0) {
        return Err(Fault::OutOfRange);
    }
    out.extend_from_slice(stored);
    Ok(())
}

/// DECIMAL, sent as text with all digits of its scale.
pub(super) fn decimal(input: &mut &[u8], digits: DecimalDigits, out: &mut Vec<u8>) -> Result<(), Fault> {
    let text = packed(input)?;
    let (negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (whole, fraction) = match text.iter().position(|&byte| byte == b'.').and_then(|at| text.split_at_checked(at)) {
        Some((whole, fraction)) => (whole, fraction.get(1..).unwrap_or_default()),
        None => (text, [].as_slice()),
    };
    let zeros = whole.iter().take_while(|&&byte| byte == b'0').count();
    let significant = whole.get(zeros..).unwrap_or_default();
    let fits = significant.len() <= usize::from(digits.whole) && fraction.len() == usize::from(digits.scale);
    if text.is_empty() || !fits {
        return Err(Fault::OutOfRange);
    }
    let start = out.len();
    whole_groups(significant, usize::from(digits.whole), out)?;
    for group in fraction.chunks(GROUP_DIGITS) {
        put_group(group, group.len(), out)?;
    }
    let stored = out.get_mut(start..).unwrap_or_default();
    if negative {
        stored.iter_mut().for_each(|byte| *byte = !*byte);
    }
    if let Some(first) = stored.first_mut() {
        *first ^= 0x80;
    }
    Ok(())
}

/// The digits before the point: a short group first, then full ones.
#[inline(always)]
fn whole_groups(mut digits: &[u8], columns: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut behind = columns / GROUP_DIGITS * GROUP_DIGITS;
    let mut group_digits = columns % GROUP_DIGITS;
    loop {
        let count = digits.len().saturating_sub(behind);
        let group = take(&mut digits, count)?;
        put_group(group, group_digits, out)?;
        if behind == 0 {
            return Ok(());
        }
        behind -= GROUP_DIGITS;
        group_digits = GROUP_DIGITS;
    }
}

/// A group that has room for `columns` digits.
#[inline(always)]
fn put_group(digits: &[u8], columns: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut value = 0u32;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Fault::OutOfRange);
        }
        value = value * 10 + u32::from(digit);
    }
    let bytes = *DIGIT_BYTES.get(columns).ok_or(Fault::OutOfRange)?;
    put_big_endian(value.into(), bytes, out);
    Ok(())
}

/// Year, month, day, hour, minute, second and microseconds as they were sent.
struct Civil {
    day: Day,
    clock: [u32; 3],
    microseconds: u32,
}

impl Civil {
    #[inline(always)]
    fn take(input: &mut &[u8]) -> Result<Self, Fault> {
        let [length] = array(input)?;
        let mut zero = Self { day: Day { year: 0, month: 0, day: 0 }, clock: [0; 3], microseconds: 0 };
        if length == 0 {
            return Ok(zero);
        }
        if !matches!(length, 4 | 7 | 11) {
            return Err(Fault::OutOfRange);
        }
        let [year_low, year_high, month, day] = array(input)?;
        let year = u32::from(u16::from_le_bytes([year_low, year_high]));
        zero.day = Day { year, month: month.into(), day: day.into() };
        if length > 4 {
            zero.clock = array::<3>(input)?.map(u32::from);
        }
        if length > 7 {
            zero.microseconds = u32::from_le_bytes(array(input)?);
        }
        // The bits that an image has for each.
        let Self { day, clock: [hour, minute, second], .. } = zero;
        let fits = day.year <= 9999 && day.month <= 12 && day.day <= 31 && hour <= 23 && minute <= 59 && second <= 59;
        if fits { Ok(zero) } else { Err(Fault::OutOfRange) }
    }
}

/// DATE.
#[inline(always)]
pub(super) fn date(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let Civil { day: Day { year, month, day }, clock: [0, 0, 0], microseconds: 0 } = Civil::take(input)? else {
        return Err(Fault::OutOfRange);
    };
    let [a, b, c, _] = (year << 9 | month << 5 | day).to_le_bytes();
    out.extend_from_slice(&[a, b, c]);
    Ok(())
}

/// DATETIME(fsp).
#[inline(always)]
pub(super) fn datetime(input: &mut &[u8], micros: Micros, out: &mut Vec<u8>) -> Result<(), Fault> {
    let Civil { day, clock: [hour, minute, second], microseconds } = Civil::take(input)?;
    let fraction = micros.stored(microseconds)?;
    let days = u64::from((day.year * 13 + day.month) << 5 | day.day);
    let packed = 1 << 39 | days << 17 | u64::from(hour << 12 | minute << 6 | second);
    put_big_endian(packed, 5, out);
    put_big_endian(fraction.into(), micros.bytes, out);
    Ok(())
}

/// TIMESTAMP(fsp), sent as the civil time of the session's zone, UTC.
#[inline(always)]
pub(super) fn timestamp(input: &mut &[u8], micros: Micros, out: &mut Vec<u8>) -> Result<(), Fault> {
    let civil = Civil::take(input)?;
    let fraction = micros.stored(civil.microseconds)?;
    let [hour, minute, second] = civil.clock;
    let seconds = match civil.day.since_epoch()? {
        Some(days) => i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second),
        None if is_zero(&civil) => 0,
        None => return Err(Fault::OutOfRange),
    };
    // Second 0 of an image is the zero date.
    let stored = u32::try_from(seconds).ok().filter(|&stored| (stored > 0) != is_zero(&civil));
    put_big_endian(stored.ok_or(Fault::OutOfRange)?.into(), 4, out);
    put_big_endian(fraction.into(), micros.bytes, out);
    Ok(())
}

fn is_zero(civil: &Civil) -> bool {
    let Civil { day: Day { year, month, day }, clock, microseconds } = civil;
    [*year, *month, *day, *microseconds] == [0; 4] && *clock == [0; 3]
}

/// TIME(fsp): a sign, days, hours, minutes, seconds, microseconds.
#[inline(always)]
pub(super) fn time(input: &mut &[u8], micros: Micros, out: &mut Vec<u8>) -> Result<(), Fault> {
    let [length] = array(input)?;
    if !matches!(length, 0 | 8 | 12) {
        return Err(Fault::OutOfRange);
    }
    let mut magnitude = 0;
    let mut is_negative = false;
    if length > 0 {
        let [sign, days @ .., hour, minute, second] = array::<8>(input)?;
        let hours = u64::from(u32::from_le_bytes(days)) * 24 + u64::from(hour);
        if sign > 1 || hours > 838 || minute > 59 || second > 59 {
            return Err(Fault::OutOfRange);
        }
        is_negative = sign == 1;
        magnitude = hours << 12 | u64::from(minute) << 6 | u64::from(second);
    }
    let microseconds = if length > 8 { u32::from_le_bytes(array(input)?) } else { 0 };
    let bytes = 3 + micros.bytes;
    magnitude = magnitude << (8 * micros.bytes) | u64::from(micros.stored(microseconds)?);
    let offset = 1u64 << (8 * bytes - 1);
    put_big_endian(if is_negative { offset - magnitude } else { offset + magnitude }, bytes, out);
    Ok(())
}

/// The lowest `bytes` of a number, the highest of them first.
#[inline(always)]
fn put_big_endian(value: u64, bytes: u8, out: &mut Vec<u8>) {
    out.extend(value.to_be_bytes().iter().skip(8 - usize::from(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;

    type Written = Result<Vec<u8>, Fault>;

    fn written(write: impl Fn(&mut &[u8], &mut Vec<u8>) -> Result<(), Fault>, mut input: &[u8]) -> Written {
        let mut out = Vec::new();
        write(&mut input, &mut out)?;
        assert!(input.is_empty(), "the whole value is consumed");
        Ok(out)
    }

    /// With its packed length before it.
    fn lenenc(bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&[0xfd], &length[..3], bytes].concat()
    }

    #[test]
    fn integers() {
        let signed = |value: i32| written(int24, &value.to_le_bytes());
        assert_eq!(signed(-1), Ok(vec![0xff; 3]));
        assert_eq!(signed(-8_388_608), Ok(vec![0, 0, 0x80]));
        assert_eq!(signed(8_388_607), Ok(vec![0xff, 0xff, 0x7f]));
        assert_eq!((signed(8_388_608), signed(-8_388_609)), (Err(Fault::OutOfRange), Err(Fault::OutOfRange)));
        let unsigned = |value: u32| written(uint24, &value.to_le_bytes());
        assert_eq!(unsigned(16_777_215), Ok(vec![0xff; 3]));
        assert_eq!(unsigned(16_777_216), Err(Fault::OutOfRange));
        assert_eq!(written(int24, &[1, 2, 3]), Err(Fault::Truncated));
    }

    #[test]
    fn years() {
        let value = |number: u16| written(year, &number.to_le_bytes());
        assert_eq!([value(0), value(1901), value(2155)], [Ok(vec![0]), Ok(vec![1]), Ok(vec![255])]);
        for bad in [1, 1899, 1900, 2156, u16::MAX] {
            assert_eq!(value(bad), Err(Fault::OutOfRange), "{bad}");
        }
    }

    #[test]
    fn strings_of_every_length_form() {
        let prefix = Prefix { bytes: 3, max: 0x1_0000 };
        let value = |input: &[u8]| written(|input, out| string(input, prefix, out), input);
        assert_eq!(value(b"\x02ab"), Ok(b"\x02\0\0ab".to_vec()));
        assert_eq!(value(b"\xfc\x02\0ab"), Ok(b"\x02\0\0ab".to_vec()));
        assert_eq!(value(b"\xfd\x02\0\0ab"), Ok(b"\x02\0\0ab".to_vec()));
        assert_eq!(value(b"\xfe\x02\0\0\0\0\0\0\0ab"), Ok(b"\x02\0\0ab".to_vec()));
        let longest = [7; 0x1_0000];
        assert_eq!(value(&lenenc(&longest)).map(|image| image.len()), Ok(longest.len() + 3));
        assert_eq!(value(&lenenc(&[7; 0x1_0001])), Err(Fault::TooLong));
        assert_eq!(value(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffab"), Err(Fault::Truncated));
        assert_eq!(value(b"\x03ab"), Err(Fault::Truncated));
        assert_eq!(value(b"\xfbab"), Err(Fault::OutOfRange));
        assert_eq!(value(b""), Err(Fault::Truncated));
    }

    #[test]
    fn bits_and_numbers() {
        let bits = |bytes, input: &[u8]| written(|input, out| bit(input, bytes, out), input);
        assert_eq!(bits(2, &[2, 3, 255]), Ok(vec![3, 255]));
        assert_eq!(bits(2, &[1, 3]), Err(Fault::OutOfRange));
        let value = |bytes, value: u64| written(|input, out| number(input, bytes, out), &value.to_le_bytes());
        assert_eq!(value(1, 255), Ok(vec![255]));
        assert_eq!(value(1, 256), Err(Fault::OutOfRange));
        assert_eq!(value(2, 300), Ok(vec![44, 1]));
        assert_eq!(value(8, u64::MAX), Ok(vec![255; 8]));
    }

    fn decimals(precision: u8, scale: u8, text: &str) -> Written {
        let digits = DecimalDigits::new(precision, scale).unwrap();
        written(|input, out| decimal(input, digits, out), &lenenc(text.as_bytes()))
    }

    #[test]
    fn decimals_by_the_manual() {
        // The example in decimal2bin's comment.
        let positive = vec![0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2];
        assert_eq!(decimals(14, 4, "1234567890.1234"), Ok(positive.clone()));
        assert_eq!(decimals(14, 4, "0001234567890.1234"), Ok(positive.clone()), "ZEROFILL");
        assert_eq!(decimals(14, 4, "-1234567890.1234"), Ok(positive.iter().map(|byte| !byte).collect()));
        assert_eq!(decimals(10, 2, "0.00"), Ok(vec![0x80, 0, 0, 0, 0]));
        assert_eq!(decimals(5, 5, "0.00001"), Ok(vec![0x80, 0, 1]));
        assert_eq!(decimals(9, 0, "-1"), Ok(vec![0x7f, 0xff, 0xff, 0xfe]));
        assert_eq!(decimals(18, 9, "1.000000002"), Ok(vec![0x80, 0, 0, 1, 0, 0, 0, 2]));
        assert_eq!(decimals(65, 30, &format!("{}.{}", "9".repeat(35), "9".repeat(30))).unwrap().len(), 30);
    }

    #[test]
    fn what_is_no_decimal_of_the_type() {
        for bad in ["", "-", "100000000.00", "1.0", "1.000", "1", "1e2.00", "1.0a", "+1.00", "--1.00", "1.0.0"] {
            assert_eq!(decimals(10, 2, bad), Err(Fault::OutOfRange), "{bad:?}");
        }
        assert!(DecimalDigits::new(66, 0).is_none() && DecimalDigits::new(4, 5).is_none());
    }

    #[test]
    fn dates() {
        let value = |input: &[u8]| written(date, input);
        assert_eq!(value(&[0]), Ok(vec![0, 0, 0]));
        assert_eq!(value(&[4, 0xe8, 7, 2, 29]), Ok((2024u32 << 9 | 2 << 5 | 29).to_le_bytes()[..3].to_vec()));
        assert_eq!(value(&[4, 0, 0, 0, 1]), Ok(vec![1, 0, 0]));
        assert_eq!(value(&[7, 0xe8, 7, 2, 29, 0, 0, 1]), Err(Fault::OutOfRange));
        assert_eq!(value(&[4, 0x10, 0x27, 1, 1]), Err(Fault::OutOfRange), "the year 10000");
        assert_eq!(value(&[4, 0xe8, 7, 13, 1]), Err(Fault::OutOfRange));
        assert_eq!(value(&[5, 0xe8, 7, 1, 1, 0]), Err(Fault::OutOfRange));
        assert_eq!(value(&[4, 0xe8, 7, 1]), Err(Fault::Truncated));
    }

    type Write = fn(&mut &[u8], Micros, &mut Vec<u8>) -> Result<(), Fault>;

    fn temporal(write: Write, fsp: u8, fields: &[&[u8]]) -> Written {
        let micros = Micros::new(fsp).unwrap();
        written(|input, out| write(input, micros, out), &fields.concat())
    }

    #[test]
    fn datetimes() {
        assert_eq!(temporal(datetime, 0, &[&[0]]), Ok(vec![0x80, 0, 0, 0, 0]));
        // 1970-01-01 00:00:00.9 in hundredths.
        let value = |fsp, micros: u32| temporal(datetime, fsp, &[&[11, 0xb2, 7, 1, 1, 0, 0, 0], &micros.to_le_bytes()]);
        let whole = [0x99, 0x02, 0xc2, 0, 0];
        assert_eq!(temporal(datetime, 0, &[&[4, 0xb2, 7, 1, 1]]), Ok(whole.to_vec()));
        assert_eq!(value(1, 900_000), Ok([&whole[..], &[0x5a]].concat()));
        assert_eq!(value(6, 999_999), Ok([&whole[..], &[0x0f, 0x42, 0x3f]].concat()));
        assert_eq!([value(1, 950_000), value(0, 1), value(6, 1_000_000)], [const { Err(Fault::OutOfRange) }; 3]);
        assert_eq!(temporal(datetime, 0, &[&[7, 0xb2, 7, 1, 1, 24, 0, 0]]), Err(Fault::OutOfRange));
        assert!(Micros::new(7).is_none());
    }

    #[test]
    fn timestamps() {
        assert_eq!(temporal(timestamp, 0, &[&[0]]), Ok(vec![0; 4]));
        assert_eq!(temporal(timestamp, 2, &[&[0]]), Ok(vec![0; 5]));
        assert_eq!(temporal(timestamp, 0, &[&[7, 0xb2, 7, 1, 1, 0, 0, 1]]), Ok(vec![0, 0, 0, 1]));
        let last = temporal(timestamp, 6, &[&[11, 0xf6, 7, 1, 19, 3, 14, 7], &999_999u32.to_le_bytes()]);
        assert_eq!(last, Ok(vec![0x7f, 0xff, 0xff, 0xff, 0x0f, 0x42, 0x3f]));
        for bad in [[0xb2, 7, 1, 1, 0, 0, 0], [0xb1, 7, 12, 31, 23, 59, 59], [0xe8, 7, 0, 15, 0, 0, 0], [0; 7]] {
            let is_zero = bad == [0; 7];
            assert_eq!(temporal(timestamp, 0, &[&[7], &bad]).is_ok(), is_zero, "{bad:?}");
        }
        assert_eq!(temporal(timestamp, 0, &[&[4, 0xe7, 7, 2, 29]]), Err(Fault::NoSuchDay));
        assert_eq!(temporal(timestamp, 0, &[&[4, 0x3b, 8, 1, 1]]), Err(Fault::OutOfRange), "the year 2107");
    }

    #[test]
    fn times() {
        assert_eq!(temporal(time, 0, &[&[0]]), Ok(vec![0x80, 0, 0]));
        assert_eq!(temporal(time, 0, &[&[8, 0, 34, 0, 0, 0, 22, 59, 59]]), Ok(vec![0xb4, 0x6e, 0xfb]));
        assert_eq!(temporal(time, 0, &[&[8, 1, 34, 0, 0, 0, 22, 59, 59]]), Ok(vec![0x4b, 0x91, 0x05]));
        let tenth = temporal(time, 1, &[&[12, 1, 0, 0, 0, 0, 0, 0, 0], &100_000u32.to_le_bytes()]);
        assert_eq!(tenth, Ok(vec![0x7f, 0xff, 0xff, 0xf6]));
        let most = temporal(time, 6, &[&[12, 1, 0, 0, 0, 0, 0, 0, 1], &500_000u32.to_le_bytes()]);
        assert_eq!(most, Ok(vec![0x7f, 0xff, 0xfe, 0xf8, 0x5e, 0xe0]));
        for bad in [[2, 0, 0, 0, 0, 0, 0, 0], [0, 34, 0, 0, 0, 23, 0, 0], [0, 255, 255, 255, 255, 0, 0, 0]] {
            assert_eq!(temporal(time, 0, &[&[8], &bad]), Err(Fault::OutOfRange), "{bad:?}");
        }
        assert_eq!(temporal(time, 0, &[&[7, 0, 0, 0, 0, 0, 0, 0]]), Err(Fault::OutOfRange));
    }
}
