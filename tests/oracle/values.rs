//! Literals for each type, half of them at the edges: least, greatest, 0, -1, empty, longest, quotes, NUL, 4 bytes.
//!
//! Some are too much for their column: MySQL cuts them or refuses them, by the session's SQL mode. What the bridge
//! refuses by design is not drawn: zero dates where NULL has no place, and nothing for NOT NULL but values.

use crate::dice::Dice;
use crate::documents::document;
use crate::kinds::{Charset, Kind, OLDER_CHARSETS};

/// A literal for the type. `strict`: none that stands for NULL in ClickHouse, and none whose length is a burden in a
/// key.
pub fn literal(dice: &mut Dice, kind: &Kind, strict: bool) -> String {
    let edge = dice.percent(50);
    match kind {
        Kind::Int { bits, unsigned } => integer(dice, *bits, *unsigned, edge),
        Kind::Float if edge => edge_of(dice, &FLOATS),
        Kind::Float => float(f64::from(f32::from_bits(u32::try_from(dice.bits() >> 32).unwrap()))),
        Kind::Double if edge => edge_of(dice, &DOUBLES),
        Kind::Double => float(f64::from_bits(dice.bits())),
        Kind::Decimal { precision, scale } => decimal(dice, *precision, *scale, edge),
        Kind::Year if edge => edge_of(dice, &["0", "1901", "2155", "1970"]),
        Kind::Year => dice.between(1901, 2155).to_string(),
        Kind::Bit(bits) => bit(dice, *bits, edge).to_string(),
        Kind::Char(length, charset) | Kind::VarChar(length, charset) => text(dice, *length, *charset, strict),
        Kind::Text(size, charset) => text(dice, longest(*size) / 4, *charset, strict),
        Kind::Binary(length) | Kind::VarBinary(length) => bytes(dice, *length, strict),
        Kind::Blob(size) => bytes(dice, longest(*size), strict),
        Kind::Date => date(dice, edge, strict),
        Kind::Time(fsp) => time(dice, *fsp, edge),
        Kind::DateTime(fsp) => datetime(dice, *fsp, edge, strict),
        Kind::Timestamp(fsp) => timestamp(dice, *fsp, edge, strict),
        Kind::Enum(labels) if !strict && dice.percent(5) => format!("'not one of {}'", labels.len()),
        Kind::Enum(labels) if dice.percent(20) => quote(labels.last().unwrap()),
        Kind::Enum(labels) => quote(dice.pick::<String>(labels)),
        Kind::Set(labels) => set(dice, labels, edge),
        Kind::Json => format!("CAST({} AS JSON)", quote(&document(dice))),
        Kind::Geometry(name) => geometry(dice, name),
        Kind::Vector(dimension) => vector(dice, *dimension),
    }
}

/// A text as a literal that stands in a script.
pub fn quote(text: &str) -> String {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\0' | '\n' | '\t');
    if !text.chars().all(is_plain) {
        let hex: String = text.bytes().map(|byte| format!("{byte:02X}")).collect();
        return format!("_utf8mb4 X'{hex}'");
    }
    let text = text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0").replace('\n', "\\n");
    format!("'{text}'")
}

const FLOATS: [&str; 9] =
    ["0", "-0e0", "1.5", "0.1", "3.4028234e38", "-3.4028234e38", "1.17549435e-38", "1e-45", "16777217"];
const DOUBLES: [&str; 9] = [
    "0",
    "-0e0",
    "-1",
    "0.1",
    "1.7976931348623157e308",
    "-1.7976931348623157e308",
    "2.2250738585072014e-308",
    "5e-324",
    "1e23",
];

fn edge_of(dice: &mut Dice, list: &[&str]) -> String {
    (*dice.pick(list)).to_owned()
}

fn integer(dice: &mut Dice, bits: usize, unsigned: bool, edge: bool) -> String {
    let all = u64::MAX >> (64 - bits);
    let (least, most) = if unsigned { (0, i128::from(all)) } else { (-i128::from(all / 2) - 1, i128::from(all / 2)) };
    if edge {
        return dice.pick(&[least, most, least + 1, most - 1, 0, -1, 1, most / 2 + 1]).to_string();
    }
    let size = i128::from(dice.magnitude(bits)).min(most);
    (if unsigned || dice.percent(50) { size } else { -size }).to_string()
}

fn float(number: f64) -> String {
    if number.is_finite() { format!("{number:e}") } else { "0".to_owned() }
}

fn decimal(dice: &mut Dice, precision: usize, scale: usize, edge: bool) -> String {
    let sign = dice.pick(&["", "-"]);
    let mut digits = |count: usize| -> String {
        let fill = *dice.pick(&['0', '9', '1']);
        let mut digit = || char::from(b'0' + u8::try_from(dice.below(10)).unwrap());
        (0..count).map(|_| if edge { fill } else { digit() }).collect()
    };
    let (whole, part) = (digits(precision - scale), digits(scale));
    format!("{sign}0{whole}.{part}0")
}

fn bit(dice: &mut Dice, bits: usize, edge: bool) -> u64 {
    let most = u64::MAX >> (64 - bits);
    if edge { *dice.pick(&[0, 1, most, most / 3, most ^ 1]) } else { dice.bits() & most }
}

fn longest(size: usize) -> usize {
    [255, 65_535, 3_000_000, 3_000_000][size]
}

const ASCII: [&str; 12] = [
    "a",
    "A",
    "anna",
    "ANNA",
    "NULL",
    "\\N",
    "  lead and trail  ",
    "tab\tline\nback\\slash 'quote' \"double\" nul\0end",
    "%_",
    "\u{1}\u{1f}\u{7f}",
    "0",
    "a ",
];
const LATIN1: [&str; 4] = ["ÄnnA", "Grüße ÿ", "é", "€"];
const THREE_BYTES: [&str; 3] = ["日本語", "\u{ffff}", "–"];
const FOUR_BYTES: [&str; 3] = ["🎁👩‍👩‍👧", "\u{10ffff}", "🎁"];

/// Of the column's character set, now and then of a greater one.
fn text(dice: &mut Dice, length: usize, charset: Charset, strict: bool) -> String {
    if let Some((_, own)) = OLDER_CHARSETS.iter().find(|(older, _)| *older == charset).filter(|_| dice.percent(70)) {
        let (from, most) = (dice.below(own.chars().count()), dice.between(1, 40));
        return quote(&own.chars().cycle().skip(from).take(length.min(most)).collect::<String>());
    }
    let greatest = match charset.name {
        "ascii" => 0,
        "latin1" => 1,
        "utf8mb3" => 2,
        "utf8mb4" => 3,
        _ => 0,
    };
    let reach = if dice.percent(3) && !strict { 3 } else { greatest };
    let part = pick_up_to(dice, reach);
    let part_characters = part.chars().count();
    match dice.below(10) {
        0 => "''".to_owned(),
        1 if length >= 1000 && (strict || dice.percent(90)) => format!("REPEAT({}, 300)", quote(part)),
        1 if length >= part_characters => format!("REPEAT({}, {})", quote(part), length / part_characters),
        2 if !strict && length < 1000 => format!("REPEAT({}, {length})", quote(part)),
        3..=5 => {
            let words: String = (0..dice.between(1, 12)).map(|_| pick_up_to(dice, reach)).collect();
            quote(&words.chars().take(length).collect::<String>())
        }
        6 => quote(&format!("{:x}", dice.bits()).chars().take(length).collect::<String>()),
        _ => quote(&part.chars().take(length).collect::<String>()),
    }
}

/// From the sets up to this one.
fn pick_up_to(dice: &mut Dice, reach: usize) -> &'static str {
    let sets: [&'static [&'static str]; 4] = [&ASCII, &LATIN1, &THREE_BYTES, &FOUR_BYTES];
    let set = sets[dice.between(0, reach)];
    set[dice.below(set.len())]
}

fn bytes(dice: &mut Dice, length: usize, strict: bool) -> String {
    let random = |dice: &mut Dice, count: usize| -> String {
        let hex: String = (0..count).map(|_| format!("{:02X}", dice.below(256))).collect();
        format!("X'{hex}'")
    };
    match dice.below(8) {
        0 => "X''".to_owned(),
        1 => edge_of(dice, &["X'00'", "X'FF'", "X'20'", "'a'"]),
        2 if length > 2 => edge_of(dice, &["X'AA00'", "X'00AA00'", "X'0000'", "X'FFFE'"]),
        3 if length > 3000 && (strict || dice.percent(90)) => "REPEAT(X'00FF10', 300)".to_owned(),
        3 => format!("REPEAT({}, {})", random(dice, 1), length),
        4 if !strict && length > 5000 => format!("REPEAT({}, {})", random(dice, 97), length / 97),
        _ => {
            let count = dice.between(0, length.min(40));
            random(dice, count)
        }
    }
}

fn clock(dice: &mut Dice) -> String {
    format!("{:02}:{:02}:{:02}", dice.below(24), dice.below(60), dice.below(60))
}

fn fraction(dice: &mut Dice, fsp: usize) -> String {
    if fsp == 0 {
        return String::new();
    }
    let digits = dice.pick(&["999999", "000000", "123456", "100000", "000001"]).to_string();
    let digits = if dice.percent(50) { format!("{:06}", dice.below(1_000_000)) } else { digits };
    format!(".{}", &digits[..fsp])
}

/// `strict`: no zero and no partial date.
fn date(dice: &mut Dice, edge: bool, strict: bool) -> String {
    format!("'{}'", day(dice, edge, strict))
}

fn day(dice: &mut Dice, edge: bool, strict: bool) -> String {
    if !strict && dice.percent(15) {
        return edge_of(dice, &["0000-00-00", "2024-00-15", "2024-05-00", "0000-05-00"]);
    }
    if edge {
        let days = ["0001-01-01", "1000-01-01", "9999-12-31", "1970-01-01", "1969-12-31", "2024-02-29", "2000-02-29"];
        return edge_of(dice, &days);
    }
    format!("{:04}-{:02}-{:02}", dice.between(1, 9999), dice.between(1, 12), dice.between(1, 28))
}

fn time(dice: &mut Dice, fsp: usize, edge: bool) -> String {
    if edge {
        let whole = edge_of(dice, &["838:59:59", "-838:59:59", "00:00:00", "-00:00:01", "24:00:00"]);
        return format!("'{whole}'");
    }
    let (sign, hours) = (dice.pick(&["", "-"]).to_string(), dice.magnitude(9).min(837));
    let (minutes, seconds) = (dice.below(60), dice.below(60));
    format!("'{sign}{hours:02}:{minutes:02}:{seconds:02}{}'", fraction(dice, fsp))
}

fn datetime(dice: &mut Dice, fsp: usize, edge: bool, strict: bool) -> String {
    let (day, clock) = (day(dice, edge, strict), clock(dice));
    let clock = if edge { edge_of(dice, &["00:00:00", "23:59:59", "02:30:00"]) } else { clock };
    format!("'{day} {clock}{}'", fraction(dice, fsp))
}

/// Where NULL has no place, away from the ends: in the session's time zone they may lie outside, which MySQL turns into
/// the zero date.
fn timestamp(dice: &mut Dice, fsp: usize, edge: bool, strict: bool) -> String {
    if edge && !strict {
        let ends = ["1970-01-01 00:00:01", "2038-01-19 03:14:07", "0000-00-00 00:00:00"];
        return format!("'{}'", edge_of(dice, &ends));
    }
    let year = dice.between(1971, 2037);
    let clock = if edge { "02:30:00".to_owned() } else { clock(dice) };
    format!("'{year}-{:02}-{:02} {clock}{}'", dice.between(1, 12), dice.between(1, 28), fraction(dice, fsp))
}

fn set(dice: &mut Dice, labels: &[String], edge: bool) -> String {
    let share = if edge { *dice.pick(&[0, 100]) } else { 30 };
    let chosen: Vec<&str> = labels.iter().filter(|_| dice.percent(share)).map(String::as_str).collect();
    quote(&chosen.join(","))
}

fn geometry(dice: &mut Dice, name: &str) -> String {
    let (x, y) = (dice.below(90), dice.below(90));
    let srid = *dice.pick(&["", ", 4326", ", 3857"]);
    let point = format!("ST_GeomFromText('POINT({x}.5 -{y})'{srid})");
    let line = format!("ST_GeomFromText('LINESTRING(0 0, {x} 1, 2 {y}.25)'{srid})");
    let polygon = format!("ST_GeomFromText('POLYGON((0 0, {x}.5 0, 10 1{y}, 0 0))', 4326)");
    let collection = format!("ST_GeomFromText('GEOMETRYCOLLECTION(POINT({x} 2), MULTIPOINT(3 4, 5 {y}))'{srid})");
    let empty = "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')".to_owned();
    match name {
        "POINT" => point,
        "LINESTRING" => line,
        "POLYGON SRID 4326" => "ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (2 2, 4 2, 4 4, 2 2))', 4326)"
            .replace("(0 0, 10 0,", &format!("(0 0, {}.5 0,", x % 9 + 5)),
        "GEOMETRYCOLLECTION" => dice.pick(&[collection, empty]).clone(),
        _ => dice.pick(&[point, line, polygon, collection, empty]).clone(),
    }
}

fn vector(dice: &mut Dice, dimension: usize) -> String {
    let any = dice.between(1, dimension);
    let length = *dice.pick(&[1, dimension, any]);
    let edges = ["0", "-0.0", "1", "-2.5", "0.1", "3.4e38", "-3.4e38", "1e-30"];
    let elements: Vec<&str> = (0..length.min(200)).map(|_| *dice.pick(&edges)).collect();
    format!("TO_VECTOR('[{}]')", elements.join(", "))
}
