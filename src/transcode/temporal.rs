//! DATE, TIME, DATETIME, TIMESTAMP and YEAR: MySQL's packed fields to ClickHouse's counts.
//!
//! DATE is 24 bits little-endian (year 15, month 4, day 5). The others are the big-endian forms of MySQL 5.6 and later
//! (`my_datetime_packed_to_binary` and its kin, mysys/my_time.cc), with a fraction of (fsp+1)/2 bytes in units of
//! 10^-2, 10^-4 or 10^-6; those of before 5.6.4 are little-endian and without a fraction. ClickHouse takes days or 10^-fsp seconds since 1970. A zero or partial date is NULL, or an
//! error where NULL has no place; a day that the calendar lacks is an error always: nothing is clamped or normalised.

use super::image::{Fault, array, number};
use crate::rowbinary;

/// The fraction of a second: how it is stored, and what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fraction {
    /// Stored bytes, 0..=3.
    bytes: u8,
    /// Stored units per second.
    limit: u32,
    /// Target units per second.
    per_second: u32,
    /// Target units per stored unit, where the target is the finer one.
    factor: u32,
    /// Stored units per target unit, where it is not: 10 for odd fsp.
    divisor: u32,
}

impl Fraction {
    /// The fraction of fsp 0..=6 digits, in a target of as many digits; `None` for more.
    pub(super) fn exact(fsp: u8) -> Option<Self> {
        let divisor = if fsp % 2 == 1 { 10 } else { 1 };
        let (bytes, limit) = stored(fsp)?;
        Some(Self { bytes, limit, per_second: 10u32.pow(fsp.into()), factor: 1, divisor })
    }

    /// The same fraction in microseconds.
    pub(super) fn microseconds(fsp: u8) -> Option<Self> {
        let (bytes, limit) = stored(fsp)?;
        Some(Self { bytes, limit, per_second: 1_000_000, factor: 1_000_000 / limit, divisor: 1 })
    }

    /// Bytes of a value whose whole seconds take `seconds_bytes`.
    pub(super) fn value_bytes(self, seconds_bytes: u8) -> u8 {
        seconds_bytes + self.bytes
    }

    /// `seconds` and `stored` as target units.
    #[inline(always)]
    fn scale(self, seconds: i64, stored: u32) -> Result<i64, Fault> {
        if self.bytes == 0 {
            return Ok(seconds * i64::from(self.per_second));
        }
        let is_whole = self.divisor == 1 || stored.is_multiple_of(self.divisor);
        if !is_whole || stored >= self.limit {
            return Err(Fault::OutOfRange);
        }
        let units = if self.divisor == 1 { stored * self.factor } else { stored / self.divisor };
        Ok(seconds * i64::from(self.per_second) + i64::from(units))
    }

    #[inline(always)]
    fn take(self, input: &mut &[u8]) -> Result<u32, Fault> {
        if self.bytes == 0 { Ok(0) } else { number(input, self.bytes) }
    }
}

/// Stored bytes of a fraction, and how many of its units a second has.
fn stored(fsp: u8) -> Option<(u8, u32)> {
    let bytes = fsp.div_ceil(2);
    (fsp <= 6).then_some((bytes, 100u32.pow(bytes.into())))
}

/// A day as MySQL stores it, valid or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Day {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
}

impl Day {
    fn from_date(bytes: [u8; 3]) -> Self {
        let [a, b, c] = bytes;
        let packed = u32::from_le_bytes([a, b, c, 0]);
        Self { year: packed >> 9, month: packed >> 5 & 15, day: packed & 31 }
    }

    /// Days since 1970-01-01; `None` for a zero or partial date.
    #[inline(always)]
    pub(super) fn since_epoch(self) -> Result<Option<i32>, Fault> {
        if self.month == 0 || self.day == 0 {
            return Ok(None);
        }
        if self.day > 28 && self.day > self.days_in_month() || self.month > 12 || self.year > 9999 {
            return Err(Fault::NoSuchDay);
        }
        Ok(Some(self.days_from_civil()))
    }

    /// Whether MySQL may hold it, in the calendar or not. A day of more than 31 has no bits.
    fn is_in_range(self) -> bool {
        self.year <= 9999 && self.month <= 12
    }

    fn days_in_month(self) -> u32 {
        let is_leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        match self.month {
            2 => 28 + u32::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The proleptic Gregorian calendar, counted in years that begin in March: a leap day comes last.
    #[inline(always)]
    #[expect(clippy::cast_possible_wrap, reason = "a year is at most 9999: 3.8 million days")]
    fn days_from_civil(self) -> i32 {
        let is_early = u32::from(self.month <= 2);
        // 400 years more, so that January of year 0 is not negative.
        let year = self.year + 400 - is_early;
        let month = self.month + 12 * is_early - 3;
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + self.day - 1;
        days as i32 - 719_468 - 146_097
    }
}

/// The 5 bytes of a DATETIME, taken apart.
struct DateTimeParts {
    day: Day,
    hour: u32,
    minute: u32,
    second: u32,
}

impl DateTimeParts {
    /// `None` when the sign bit, set in every DATETIME, is clear.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "fields of at most 17 bits are cut out")]
    fn unpack([a, b, c, d, e]: [u8; 5]) -> Option<Self> {
        let packed = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]) ^ 1 << 39;
        let year_month = (packed >> 22) as u32;
        let (day, time) = ((packed >> 17) as u32 & 31, packed as u32 & 0x1_ffff);
        let day = Day { year: year_month / 13, month: year_month % 13, day };
        let parts = Self { day, hour: time >> 12, minute: time >> 6 & 63, second: time & 63 };
        (packed >> 39 == 0).then_some(parts)
    }
}

/// Turns the NULL flag written before the value over; without one there is no place for NULL.
#[inline(always)]
fn null_instead(out: &mut [u8], nullable: bool) -> Result<(), Fault> {
    match out.last_mut() {
        Some(flag) if nullable => *flag = 1,
        _ => return Err(Fault::ZeroDate),
    }
    Ok(())
}

/// DATE to Date32.
#[inline(always)]
pub(super) fn date(input: &mut &[u8], nullable: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    match Day::from_date(array(input)?).since_epoch()? {
        Some(days) => rowbinary::fixed(out, days.to_le_bytes()),
        None => null_instead(out, nullable)?,
    }
    Ok(())
}

/// DATETIME(fsp) to DateTime64(fsp), the wall clock unchanged.
#[inline(always)]
pub(super) fn datetime(input: &mut &[u8], fraction: Fraction, nullable: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let parts = DateTimeParts::unpack(array(input)?).ok_or(Fault::OutOfRange)?;
    let stored = fraction.take(input)?;
    let Some(days) = parts.day.since_epoch()? else { return null_instead(out, nullable) };
    if parts.hour > 23 || parts.minute > 59 || parts.second > 59 {
        return Err(Fault::OutOfRange);
    }
    let seconds = i64::from(parts.hour * 3600 + parts.minute * 60 + parts.second);
    let value = fraction.scale(i64::from(days) * 86_400 + seconds, stored)?;
    rowbinary::fixed(out, value.to_le_bytes());
    Ok(())
}

/// TIMESTAMP(fsp) to DateTime64(fsp), the same instant; second 0 is the zero date, not 1970.
#[inline(always)]
pub(super) fn timestamp(input: &mut &[u8], fraction: Fraction, nullable: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let seconds = u32::from_be_bytes(array(input)?);
    let stored = fraction.take(input)?;
    if seconds == 0 {
        return null_instead(out, nullable);
    }
    rowbinary::fixed(out, fraction.scale(seconds.into(), stored)?.to_le_bytes());
    Ok(())
}

/// TIME(fsp) to Time64(fsp), or to microseconds. The sign is that of the whole number, fraction included.
#[inline(always)]
pub(super) fn time(input: &mut &[u8], fraction: Fraction, out: &mut Vec<u8>) -> Result<(), Fault> {
    let (negative, [hour, minute, second], stored) = unpack_time(number(input, 3)?, fraction.take(input)?, fraction);
    if hour > 838 || minute > 59 || second > 59 {
        return Err(Fault::OutOfRange);
    }
    let value = fraction.scale(i64::from(hour * 3600 + minute * 60 + second), stored)?;
    rowbinary::fixed(out, if negative { -value } else { value }.to_le_bytes());
    Ok(())
}

/// Sign, [hours, minutes, seconds] and stored fraction of a TIME's two parts.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "fields of at most 24 bits are cut out")]
fn unpack_time(clock: u32, stored: u32, fraction: Fraction) -> (bool, [u32; 3], u32) {
    let fraction_bits = 8 * fraction.bytes;
    let (packed, offset) = (u64::from(clock) << fraction_bits | u64::from(stored), 1u64 << (23 + fraction_bits));
    let magnitude = packed.abs_diff(offset);
    let clock = (magnitude >> fraction_bits) as u32;
    let stored = (magnitude & ((1 << fraction_bits) - 1)) as u32;
    (packed < offset, [clock >> 12, clock >> 6 & 63, clock & 63], stored)
}

/// What TIME becomes, where it is stored without a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OldTimeUnit {
    /// Time64(0).
    Seconds,
    /// Int64.
    Microseconds,
}

/// TIME as before MySQL 5.6.4: ±HHMMSS in decimal, 24 bits little-endian.
pub(super) fn old_time(input: &mut &[u8], unit: OldTimeUnit, out: &mut Vec<u8>) -> Result<(), Fault> {
    let [a, b, c] = array(input)?;
    let stored = i64::from(i32::from_le_bytes([0, a, b, c]) >> 8);
    let [clock, minute, second] = [stored.abs() / 10_000, stored.abs() / 100 % 100, stored.abs() % 100];
    if clock > 838 || minute > 59 || second > 59 {
        return Err(Fault::OutOfRange);
    }
    let seconds = (clock * 3600 + minute * 60 + second) * stored.signum();
    let factor = match unit {
        OldTimeUnit::Seconds => 1,
        OldTimeUnit::Microseconds => 1_000_000,
    };
    rowbinary::fixed(out, (seconds * factor).to_le_bytes());
    Ok(())
}

/// DATETIME as before MySQL 5.6.4: YYYYMMDDhhmmss in decimal, 64 bits little-endian.
pub(super) fn old_datetime(input: &mut &[u8], nullable: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let stored = u64::from_le_bytes(array(input)?);
    if stored > 99_991_231_235_959 {
        return Err(Fault::OutOfRange);
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most 9999")]
    let field = |divisor: u64, limit: u64| (stored / divisor % limit) as u32;
    let day = Day { year: field(10_000_000_000, 10_000), month: field(100_000_000, 100), day: field(1_000_000, 100) };
    let (hour, minute, second) = (field(10_000, 100), field(100, 100), field(1, 100));
    let Some(days) = day.since_epoch()? else { return null_instead(out, nullable) };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(Fault::OutOfRange);
    }
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    rowbinary::fixed(out, seconds.to_le_bytes());
    Ok(())
}

/// TIMESTAMP as before MySQL 5.6.4: seconds since 1970, 32 bits little-endian; 0 is the zero date.
pub(super) fn old_timestamp(input: &mut &[u8], nullable: bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    match u32::from_le_bytes(array(input)?) {
        0 => null_instead(out, nullable)?,
        seconds => rowbinary::fixed(out, i64::from(seconds).to_le_bytes()),
    }
    Ok(())
}

/// YEAR to UInt16; 0 stays 0.
#[inline(always)]
pub(super) fn year(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let [stored] = array(input)?;
    let year = if stored == 0 { 0 } else { 1900 + u16::from(stored) };
    rowbinary::fixed(out, year.to_le_bytes());
    Ok(())
}

/// A stored DATE in MySQL's words, for messages.
pub(super) fn date_text(bytes: [u8; 3]) -> String {
    day_text(Day::from_date(bytes))
}

/// A stored DATETIME in MySQL's words, without its fraction, for messages.
pub(super) fn datetime_text(bytes: [u8; 5]) -> Option<String> {
    let parts = DateTimeParts::unpack(bytes)?;
    Some(format!("{} {:02}:{:02}:{:02}", day_text(parts.day), parts.hour, parts.minute, parts.second))
}

/// A stored DATE in MySQL's words, also one that no calendar has.
pub(super) fn date_text_in_range(bytes: [u8; 3]) -> Result<String, Fault> {
    let day = Day::from_date(bytes);
    if day.is_in_range() { Ok(day_text(day)) } else { Err(Fault::OutOfRange) }
}

/// A stored DATETIME in MySQL's words, without its fraction, also one that no calendar has.
pub(super) fn datetime_text_in_range(bytes: [u8; 5]) -> Result<String, Fault> {
    let parts = DateTimeParts::unpack(bytes).ok_or(Fault::OutOfRange)?;
    if !parts.day.is_in_range() || parts.hour > 23 || parts.minute > 59 || parts.second > 59 {
        return Err(Fault::OutOfRange);
    }
    datetime_text(bytes).ok_or(Fault::OutOfRange)
}

fn day_text(day: Day) -> String {
    format!("{:04}-{:02}-{:02}", day.year, day.month, day.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_date(year: u32, month: u32, day: u32) -> [u8; 3] {
        let [a, b, c, _] = (year << 9 | month << 5 | day).to_le_bytes();
        [a, b, c]
    }

    fn packed_datetime(date: [u64; 3], time: [u64; 3]) -> [u8; 5] {
        let ([year, month, day], [hour, minute, second]) = (date, time);
        let packed = 1 << 39 | ((year * 13 + month) << 5 | day) << 17 | hour << 12 | minute << 6 | second;
        let [_, _, _, rest @ ..] = packed.to_be_bytes();
        rest
    }

    fn date_value(bytes: [u8; 3], nullable: bool) -> Result<Vec<u8>, Fault> {
        let mut out = vec![0; usize::from(nullable)];
        date(&mut bytes.as_slice(), nullable, &mut out).map(|()| out)
    }

    type Temporal = fn(&mut &[u8], Fraction, bool, &mut Vec<u8>) -> Result<(), Fault>;

    fn value(write: Temporal, mut bytes: &[u8], fraction: Option<Fraction>) -> Result<i64, Fault> {
        let mut out = Vec::new();
        write(&mut bytes, fraction.unwrap(), false, &mut out)?;
        assert!(bytes.is_empty(), "the whole value is consumed");
        Ok(i64::from_le_bytes(out.try_into().unwrap()))
    }

    fn time_without_null(
        input: &mut &[u8],
        fraction: Fraction,
        _nullable: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        time(input, fraction, out)
    }

    #[test]
    fn every_day_of_ten_thousand_years() {
        let mut expected = -719_528;
        for year in 0..=9999 {
            for month in 1..=12 {
                let days = Day { year, month, day: 1 }.days_in_month();
                for day in 1..=days {
                    assert_eq!(Day { year, month, day }.since_epoch(), Ok(Some(expected)), "{year}-{month}-{day}");
                    expected += 1;
                }
                assert_eq!(Day { year, month, day: days + 1 }.since_epoch(), Err(Fault::NoSuchDay));
            }
        }
        assert_eq!(expected, 2_932_897, "the day after 9999-12-31");
    }

    #[test]
    fn dates() {
        let check = |[year, month, day]: [u32; 3], expected: Result<i32, Fault>| {
            let bytes = packed_date(year, month, day);
            assert_eq!(date_value(bytes, false), expected.map(|days: i32| days.to_le_bytes().to_vec()));
        };
        check([1970, 1, 1], Ok(0));
        check([1000, 1, 1], Ok(-354_285));
        check([9999, 12, 31], Ok(2_932_896));
        check([0, 0, 0], Err(Fault::ZeroDate));
        check([2024, 0, 15], Err(Fault::ZeroDate));
        check([0, 1, 0], Err(Fault::ZeroDate));
        check([2024, 2, 31], Err(Fault::NoSuchDay));
        check([2024, 13, 1], Err(Fault::NoSuchDay));
        check([10_000, 1, 1], Err(Fault::NoSuchDay));
        assert_eq!(date_value(packed_date(2024, 0, 15), true), Ok(vec![1]));
        assert_eq!(date_value(packed_date(2024, 2, 31), true), Err(Fault::NoSuchDay));
        assert_eq!(date_value(packed_date(1970, 1, 2), true), Ok(vec![0, 1, 0, 0, 0]));
    }

    #[test]
    fn datetimes() {
        let check = |date, time, stored: &[u8], fsp, expected| {
            let bytes = [&packed_datetime(date, time), stored].concat();
            assert_eq!(value(datetime, &bytes, Fraction::exact(fsp)), expected);
        };
        check([1970, 1, 1], [0, 0, 0], &[], 0, Ok(0));
        check([1000, 1, 1], [0, 0, 0], &[], 0, Ok(-30_610_224_000));
        check([9999, 12, 31], [23, 59, 59], &[0x0f, 0x42, 0x3f], 6, Ok(253_402_300_799_999_999));
        // .9 of fsp 1 is stored in hundredths: 5A.
        check([1970, 1, 1], [0, 0, 1], &[0x5a], 1, Ok(19));
        check([1969, 12, 31], [23, 59, 58], &[0x13, 0x88], 3, Ok(-1500));
        check([1970, 1, 1], [0, 0, 1], &[0x5b], 1, Err(Fault::OutOfRange));
        check([1970, 1, 1], [0, 0, 1], &[100], 2, Err(Fault::OutOfRange));
        check([1970, 1, 1], [24, 0, 0], &[], 0, Err(Fault::OutOfRange));
        check([2024, 0, 1], [1, 0, 0], &[], 0, Err(Fault::ZeroDate));
        check([2023, 2, 29], [0, 0, 0], &[], 0, Err(Fault::NoSuchDay));
        assert_eq!(value(datetime, &[0x80, 0, 0, 0, 0], Fraction::exact(0)), Err(Fault::ZeroDate));
        assert_eq!(value(datetime, &[0x00, 0, 0, 0, 0], Fraction::exact(0)), Err(Fault::OutOfRange));
        assert_eq!(value(datetime, &[0x80, 0, 0, 0, 0], Fraction::exact(1)), Err(Fault::Truncated));
    }

    #[test]
    fn timestamps() {
        let check = |bytes: &[u8], fsp, expected| assert_eq!(value(timestamp, bytes, Fraction::exact(fsp)), expected);
        check(&[0, 0, 0, 1], 0, Ok(1));
        check(&[0x7f, 0xff, 0xff, 0xff, 0x0f, 0x42, 0x3f], 6, Ok(2_147_483_647_999_999));
        check(&[0xff, 0xff, 0xff, 0xff], 0, Ok(4_294_967_295));
        check(&[0, 0, 0, 0], 0, Err(Fault::ZeroDate));
        let mut out = vec![0];
        timestamp(&mut [0, 0, 0, 0].as_slice(), Fraction::exact(0).unwrap(), true, &mut out).unwrap();
        assert_eq!(out, [1]);
    }

    #[test]
    fn times() {
        let check = |bytes: &[u8], fsp, expected: i64, microseconds: i64| {
            assert_eq!(value(time_without_null, bytes, Fraction::exact(fsp)), Ok(expected));
            assert_eq!(value(time_without_null, bytes, Fraction::microseconds(fsp)), Ok(microseconds));
        };
        check(&[0x80, 0, 0], 0, 0, 0);
        // -00:00:00.1 of fsp 1.
        check(&[0x7f, 0xff, 0xff, 0xf6], 1, -1, -100_000);
        check(&[0x80, 0, 0, 10], 1, 1, 100_000);
        // 838:59:59 and its negative.
        check(&[0xb4, 0x6e, 0xfb], 0, 3_020_399, 3_020_399_000_000);
        check(&[0x4b, 0x91, 0x05], 0, -3_020_399, -3_020_399_000_000);
        // -00:00:01.500000: 0x800000_000000 - 0x000001_07A120.
        check(&[0x7f, 0xff, 0xfe, 0xf8, 0x5e, 0xe0], 6, -1_500_000, -1_500_000);
        let bad = |bytes: &[u8]| value(time_without_null, bytes, Fraction::exact(0));
        assert_eq!(bad(&[0xb4, 0x7f, 0xfb]), Err(Fault::OutOfRange));
        assert_eq!(bad(&[0xff, 0xff]), Err(Fault::Truncated));
        assert_eq!(bad(&[0, 0, 0]), Err(Fault::OutOfRange));
    }

    fn old(write: impl Fn(&mut &[u8], &mut Vec<u8>) -> Result<(), Fault>, mut bytes: &[u8]) -> Result<i64, Fault> {
        let mut out = Vec::new();
        write(&mut bytes, &mut out)?;
        assert!(bytes.is_empty(), "the whole value is consumed");
        Ok(i64::from_le_bytes(out.try_into().unwrap()))
    }

    #[test]
    fn old_times() {
        let check = |stored: i32, expected: Result<i64, Fault>| {
            let bytes = &stored.to_le_bytes()[..3];
            let value = |unit| old(|input, out| old_time(input, unit, out), bytes);
            assert_eq!(value(OldTimeUnit::Seconds), expected, "{stored}");
            assert_eq!(value(OldTimeUnit::Microseconds), expected.map(|seconds| seconds * 1_000_000), "{stored}");
        };
        check(0, Ok(0));
        check(8_385_959, Ok(3_020_399));
        check(-8_385_959, Ok(-3_020_399));
        check(-1, Ok(-1));
        check(10_203, Ok(3723));
        check(8_390_000 - (1 << 24), Err(Fault::OutOfRange));
        check(60, Err(Fault::OutOfRange));
        check(6000, Err(Fault::OutOfRange));
    }

    #[test]
    fn old_datetimes_and_timestamps() {
        let check = |stored: u64, expected| {
            assert_eq!(old(|input, out| old_datetime(input, false, out), &stored.to_le_bytes()), expected, "{stored}");
        };
        check(19_700_101_000_000, Ok(0));
        check(10_000_101_000_000, Ok(-30_610_224_000));
        check(99_991_231_235_959, Ok(253_402_300_799));
        check(20_240_229_123_456, Ok(1_709_210_096));
        check(0, Err(Fault::ZeroDate));
        check(20_240_015_000_000, Err(Fault::ZeroDate));
        check(20_230_229_000_000, Err(Fault::NoSuchDay));
        check(20_240_229_240_000, Err(Fault::OutOfRange));
        check(20_240_229_006_000, Err(Fault::OutOfRange));
        check(u64::MAX, Err(Fault::OutOfRange));
        let timestamp = |seconds: u32| old(|input, out| old_timestamp(input, false, out), &seconds.to_le_bytes());
        assert_eq!(timestamp(1), Ok(1));
        assert_eq!(timestamp(u32::MAX), Ok(4_294_967_295));
        assert_eq!(timestamp(0), Err(Fault::ZeroDate));
        let mut out = vec![0];
        old_datetime(&mut [0; 8].as_slice(), true, &mut out).unwrap();
        assert_eq!(out, [1]);
    }

    #[test]
    fn years() {
        let mut out = Vec::new();
        for stored in [0, 1, 255] {
            year(&mut [stored].as_slice(), &mut out).unwrap();
        }
        assert_eq!(out, [0u16.to_le_bytes(), 1901u16.to_le_bytes(), 2155u16.to_le_bytes()].concat());
    }

    #[test]
    fn texts() {
        assert_eq!(date_text(packed_date(2024, 0, 15)), "2024-00-15");
        assert_eq!(datetime_text(packed_datetime([2024, 2, 31], [1, 2, 3])).unwrap(), "2024-02-31 01:02:03");
    }
}
