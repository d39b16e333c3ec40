//! DOUBLE to the text that MySQL has for it in JSON: `my_gcvt` of strings/dtoa.cc, with `.0` behind a whole number.
//!
//! The digits are the fewest that read back to the same number, the nearest of them, and of two equally near ones the
//! even one: so does `zmij` (the formatter of the standard library takes the greater). They are written without an
//! exponent when the point lies -14..=15 digits behind the first one, or between two of them. Compared with a server in
//! tests/types.rs for every power of two and of ten and their neighbours.

/// Where the point may lie in a number without an exponent, counted from before the first digit.
const PLAIN_POINTS: std::ops::RangeInclusive<i32> = -14..=15;

/// Appends the text of a finite number.
pub(super) fn text(number: f64, out: &mut Vec<u8>) {
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let (digits, point) = digits_and_point(zmij::Buffer::new().format_finite(number.abs()));
    out.extend_from_slice(placed(&digits, point).as_bytes());
}

/// The text outside of JSON, where a whole number has no `.0`; `None` of what is not finite.
pub(super) fn plain_text(number: f64) -> Option<String> {
    let mut out = Vec::new();
    number.is_finite().then(|| text(number, &mut out))?;
    let text = String::from_utf8(out).ok()?;
    Some(text.strip_suffix(".0").unwrap_or(&text).to_owned())
}

/// As [`plain_text`], of a number whose digits are written as `-d.ddde-dd`.
pub(super) fn plain_of(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |text| ("-", text));
    let (digits, point) = digits_and_point(text);
    let text = placed(&digits, point);
    format!("{sign}{}", text.strip_suffix(".0").unwrap_or(&text))
}

/// The digits with the point in its place.
fn placed(digits: &str, point: i32) -> String {
    let whole_digits = usize::try_from(point).unwrap_or(0);
    match digits.split_at_checked(whole_digits) {
        Some(("", part)) if PLAIN_POINTS.contains(&point) => {
            format!("0.{}{part}", "0".repeat(point.unsigned_abs() as usize))
        }
        Some((whole, part)) if !whole.is_empty() && !part.is_empty() => format!("{whole}.{part}"),
        _ if PLAIN_POINTS.contains(&point) => format!("{digits:0<whole_digits$}.0"),
        _ => with_exponent(digits, point - 1),
    }
}

/// `d.ddde-dd`
fn with_exponent(digits: &str, exponent: i32) -> String {
    match digits.split_at_checked(1) {
        Some((first, rest)) if !rest.is_empty() => format!("{first}.{rest}e{exponent}"),
        _ => format!("{digits}e{exponent}"),
    }
}

/// The digits without zeros around them, and where the point is, counted from before the first one; of `d.dd` or
/// `d.ddde-dd`.
fn digits_and_point(text: &str) -> (String, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, part].concat();
    let significant = digits.trim_start_matches('0');
    let (Ok(exponent), Ok(point)) = (exponent.parse::<i32>(), i32::try_from(whole.len())) else { return zero() };
    let Ok(zeros) = i32::try_from(digits.len() - significant.len()) else { return zero() };
    match significant.trim_end_matches('0') {
        "" => zero(),
        significant => (significant.to_owned(), point - zeros + exponent),
    }
}

fn zero() -> (String, i32) {
    ("0".to_owned(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_documents() {
        let text = |number: f64| plain_text(number).unwrap();
        assert_eq!([text(0.0), text(-0.0), text(100.0), text(1e15), text(0.25)], ["0", "-0", "100", "1e15", "0.25"]);
        assert_eq!(plain_text(f64::NAN), None);
        assert_eq!([plain_of("-1.5e2"), plain_of("0e0"), plain_of("1e20")], ["-150", "0", "1e20"]);
    }

    /// All as a server printed them.
    #[test]
    fn as_the_server_prints_them() {
        for (number, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (100.0, "100.0"),
            (1e10, "10000000000.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1e15"),
            (999_999_999_999_999.9, "999999999999999.9"),
            (1_000_000_000_000_000.1, "1000000000000000.1"),
            (-9_999_999_999_999_998.0, "-9.999999999999998e15"),
            (1.234_567_890_123_456_8e17, "1.2345678901234568e17"),
            (-1e-7, "-0.0000001"),
            (1e-15, "0.000000000000001"),
            (1.234_567_890_123_456_8e-15, "0.0000000000000012345678901234568"),
            (1e-16, "1e-16"),
            (1e100, "1e100"),
            (5e-324, "5e-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (f64::MAX, "1.7976931348623157e308"),
            (2f64.powi(-25), "0.000000029802322387695312"),
        ] {
            let mut out = Vec::new();
            text(number, &mut out);
            assert_eq!(String::from_utf8(out).as_deref(), Ok(expected));
        }
    }
}
