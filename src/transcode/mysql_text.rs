//! Values as the text that MySQL itself has for them: `CAST(c AS CHAR)`, in a session whose time zone is UTC.
//!
//! Also the dates that are in no calendar: zero ones, partial ones, the 31st of February. A FLOAT and a DOUBLE have the
//! fewest digits that tell them from every other one, where MySQL shows a FLOAT with six and rounds; BIT is its number, where MySQL
//! has bytes. ZEROFILL and the digits of FLOAT(M,D) are no part of a value.

use crate::rowbinary;
use crate::schema::types::SourceType;

use super::image::{Fault, array, big_endian, take};
use super::layout;
use super::{double, temporal};

/// What kind of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    Int { is_signed: bool },
    Year,
    Decimal { scale: u8 },
    Float,
    Double,
    Date,
    DateTime { fsp: u8 },
    Timestamp { fsp: u8 },
    Time { fsp: u8 },
    OldDateTime,
}

impl Text {
    /// No text is longer.
    pub(super) const BYTES_MAX: usize = 80;

    /// That of a type; `None` when its values have none, or are text already.
    pub(super) fn of(ty: &SourceType) -> Option<Self> {
        Some(match ty {
            SourceType::Int { unsigned, .. } => Self::Int { is_signed: !unsigned },
            SourceType::Bit { .. } => Self::Int { is_signed: false },
            SourceType::Year => Self::Year,
            SourceType::Decimal { scale, .. } => Self::Decimal { scale: *scale },
            SourceType::Float => Self::Float,
            SourceType::Double => Self::Double,
            SourceType::Date => Self::Date,
            SourceType::DateTime { fsp } => Self::DateTime { fsp: *fsp },
            SourceType::Timestamp { fsp } => Self::Timestamp { fsp: *fsp },
            SourceType::OldTimestamp => Self::Timestamp { fsp: 0 },
            SourceType::Time { fsp } => Self::Time { fsp: *fsp },
            SourceType::OldTime => Self::Time { fsp: 0 },
            SourceType::OldDateTime => Self::OldDateTime,
            SourceType::Char { .. } | SourceType::VarChar { .. } | SourceType::Blob { .. } => return None,
            SourceType::Enum { .. } | SourceType::Set { .. } | SourceType::Geometry => return None,
            SourceType::Json | SourceType::JsonText | SourceType::Vector | SourceType::Unsupported { .. } => {
                return None;
            }
        })
    }

    /// Takes a value off `input` and appends its text. `by_default` writes the bytes of the default type.
    pub(super) fn write(
        self,
        input: &mut &[u8],
        out: &mut Vec<u8>,
        by_default: impl FnOnce(&mut &[u8], &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let text = match self {
            Self::Date => temporal::date_text_in_range(array(input)?)?,
            Self::DateTime { fsp } => datetime(input, fsp)?,
            Self::OldDateTime => old_datetime(u64::from_le_bytes(array(input)?))?,
            Self::Int { .. } | Self::Year | Self::Decimal { .. } | Self::Float | Self::Double => {
                self.of_default(&default_bytes(input, out, by_default)?)?
            }
            Self::Time { .. } => self.of_default(&default_bytes(input, out, by_default)?)?,
            Self::Timestamp { fsp } => match default_bytes(input, out, by_default) {
                Err(Fault::ZeroDate) => with_fraction("0000-00-00 00:00:00".to_owned(), 0, fsp),
                bytes => self.of_default(&bytes?)?,
            },
        };
        rowbinary::string(out, text.as_bytes());
        Ok(())
    }

    fn of_default(self, bytes: &[u8]) -> Result<String, Fault> {
        let ticks = || bytes.try_into().map(i64::from_le_bytes).map_err(|_| Fault::OutOfRange);
        Ok(match self {
            Self::Int { is_signed: true } => layout::decimal(bytes, 0),
            Self::Int { is_signed: false } => unsigned(bytes),
            Self::Year => format!("{:0>4}", unsigned(bytes)),
            Self::Decimal { scale } => layout::decimal(bytes, scale.into()),
            Self::Float => {
                float(f32::from_le_bytes(bytes.try_into().map_err(|_| Fault::OutOfRange)?)).ok_or(Fault::OutOfRange)?
            }
            Self::Double => {
                let number = f64::from_le_bytes(bytes.try_into().map_err(|_| Fault::OutOfRange)?);
                double::plain_text(number).ok_or(Fault::OutOfRange)?
            }
            Self::Timestamp { fsp } => layout::date_time(ticks()?, fsp.into()),
            Self::Time { fsp } => layout::time(ticks()?, fsp.into()),
            Self::Date | Self::DateTime { .. } | Self::OldDateTime => return Err(Fault::OutOfRange),
        })
    }
}

fn default_bytes(
    input: &mut &[u8],
    out: &mut Vec<u8>,
    by_default: impl FnOnce(&mut &[u8], &mut Vec<u8>) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let start = out.len();
    let written = by_default(input, out);
    let bytes = out.split_off(start.min(out.len()));
    written.map(|()| bytes)
}

fn unsigned(bytes: &[u8]) -> String {
    layout::decimal(&[bytes, &[0]].concat(), 0)
}

/// The fewest digits that read back to the same FLOAT.
fn float(number: f32) -> Option<String> {
    number.is_finite().then(|| double::plain_of(&format!("{number:e}")))
}

fn datetime(input: &mut &[u8], fsp: u8) -> Result<String, Fault> {
    let text = temporal::datetime_text_in_range(array(input)?)?;
    let stored = big_endian(take(input, usize::from(fsp.div_ceil(2)))?);
    // Stored in pairs of digits, of which an odd number has one too many.
    let unit = if fsp % 2 == 1 { 10 } else { 1 };
    if !stored.is_multiple_of(unit) || stored / unit >= 10u64.pow(fsp.into()) {
        return Err(Fault::OutOfRange);
    }
    Ok(with_fraction(text, stored / unit, fsp))
}

fn with_fraction(text: String, fraction: u64, fsp: u8) -> String {
    let width = usize::from(fsp);
    if fsp == 0 { text } else { format!("{text}.{fraction:0width$}") }
}

fn old_datetime(stored: u64) -> Result<String, Fault> {
    let field = |divisor: u64, limit: u64| stored / divisor % limit;
    let [month, day] = [field(100_000_000, 100), field(1_000_000, 100)];
    let [hour, minute, second] = [field(10_000, 100), field(100, 100), field(1, 100)];
    if stored > 99_991_231_235_959 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59 {
        return Err(Fault::OutOfRange);
    }
    Ok(format!("{:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}", field(10_000_000_000, 10_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: Text, mut image: &[u8], default: Result<&[u8], Fault>) -> Result<String, Fault> {
        let mut out = vec![0];
        text.write(&mut image, &mut out, |_, out| default.map(|bytes| out.extend_from_slice(bytes)))?;
        assert_eq!((out[0], usize::from(out[1])), (0, out.len() - 2));
        Ok(String::from_utf8(out[2..].to_vec()).unwrap())
    }

    fn of_default(kind: Text, bytes: &[u8]) -> String {
        text(kind, &[], Ok(bytes)).unwrap()
    }

    #[test]
    fn numbers() {
        assert_eq!(of_default(Text::Int { is_signed: true }, &[0x80]), "-128");
        assert_eq!(of_default(Text::Int { is_signed: false }, &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(of_default(Text::Year, &0u16.to_le_bytes()), "0000");
        assert_eq!(of_default(Text::Year, &2155u16.to_le_bytes()), "2155");
        assert_eq!(of_default(Text::Decimal { scale: 3 }, &(-5i32).to_le_bytes()), "-0.005");
        assert_eq!(of_default(Text::Float, &16_777_217f32.to_le_bytes()), "16777216");
        assert_eq!(of_default(Text::Float, &0.1f32.to_le_bytes()), "0.1");
        assert_eq!(of_default(Text::Double, &(-1.5e300f64).to_le_bytes()), "-1.5e300");
        assert_eq!(of_default(Text::Double, &100f64.to_le_bytes()), "100");
        assert!(text(Text::Double, &[], Ok(&f64::NAN.to_le_bytes())).is_err());
    }

    #[test]
    fn times_and_the_zero_timestamp() {
        assert_eq!(of_default(Text::Time { fsp: 1 }, &(-5i64).to_le_bytes()), "-00:00:00.5");
        assert_eq!(of_default(Text::Timestamp { fsp: 2 }, &1i64.to_le_bytes()), "1970-01-01 00:00:00.01");
        let zero = |fsp| text(Text::Timestamp { fsp }, &[], Err(Fault::ZeroDate)).unwrap();
        assert_eq!((zero(0), zero(3)), ("0000-00-00 00:00:00".to_owned(), "0000-00-00 00:00:00.000".to_owned()));
    }

    #[test]
    fn dates_of_no_calendar() {
        let date = |year: u32, month: u32, day: u32| {
            let bytes = (year << 9 | month << 5 | day).to_le_bytes();
            text(Text::Date, &bytes[..3], Err(Fault::Null))
        };
        assert_eq!(date(2024, 2, 31).as_deref(), Ok("2024-02-31"));
        assert_eq!(date(0, 0, 0).as_deref(), Ok("0000-00-00"));
        assert_eq!(date(2024, 13, 1), Err(Fault::OutOfRange));
        let datetime = |packed: u64, fraction: &[u8], fsp| {
            let bytes = (packed | 1 << 39).to_be_bytes();
            text(Text::DateTime { fsp }, &[&bytes[3..], fraction].concat(), Err(Fault::Null))
        };
        assert_eq!(datetime(0, &[0, 0], 3).as_deref(), Ok("0000-00-00 00:00:00.000"));
        let moment = (2024 * 13 + 2) << 22 | 31 << 17 | 23 << 12 | 59 << 6 | 58;
        assert_eq!(datetime(moment, &[], 0).as_deref(), Ok("2024-02-31 23:59:58"));
        assert_eq!(datetime(moment, &[90], 1).as_deref(), Ok("2024-02-31 23:59:58.9"));
        assert_eq!(datetime(moment, &[91], 1), Err(Fault::OutOfRange));
        assert_eq!(datetime(moment, &[0x0f, 0x42, 0x3f], 6).as_deref(), Ok("2024-02-31 23:59:58.999999"));
        assert_eq!(datetime(moment, &[0x0f, 0x42, 0x40], 6), Err(Fault::OutOfRange));
        let old = |number: u64| text(Text::OldDateTime, &number.to_le_bytes(), Err(Fault::Null));
        assert_eq!(old(20_240_000_010_203).as_deref(), Ok("2024-00-00 01:02:03"));
        assert_eq!(old(20_241_301_000_000), Err(Fault::OutOfRange));
    }
}
