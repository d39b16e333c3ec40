//! Columns in types of a user's choice: pairs of README's matrix, and how each server itself prints their values.
//!
//! Where a type has no room for every value of its column, what does not fit becomes NULL by the policy, and is NULL on
//! MySQL's side by a condition in MySQL's words. A key takes only types that have room for all. JSON into JSON is not
//! drawn: ClickHouse prints a document otherwise than MySQL.

use crate::dice::Dice;
use crate::kinds::Kind;
use crate::support::compare::Reading;

/// What a user says of a column.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// In `types`.
    pub ty: Option<String>,
    /// In `on_bad_value`.
    pub on_bad_value: Option<&'static str>,
    source: Option<String>,
    target: Option<String>,
}

/// As MySQL casts it.
const TEXT: &str = "CAST({} AS CHAR)";
/// As a number, YEAR and BIT too.
const NUMBER: &str = "CAST({} + 0 AS CHAR)";
/// Where MySQL has a zero or partial date.
const NO_DAY: &str = "MONTH({}) = 0 OR DAYOFMONTH({}) = 0";
/// Both have upper case digits, and one is no UUID.
const UUIDS: [&str; 5] = [
    "00112233-4455-6677-8899-aabbccddeeff",
    "00112233-4455-6677-8899-AABBCCDDEEFF",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00000000-0000-0000-0000-000000000000",
    "12345678-9abc-def0-1234-56789abcdefg",
];
const MOMENT: &str = "CAST(CAST({} AS DATETIME(precision)) AS CHAR)";
const ZONES: [&str; 4] = ["", ", 'UTC'", ", 'Asia/Tokyo'", ", 'America/New_York'"];
const MICROSECONDS: &str = "CAST(TIME_TO_SEC({}) * 1000000 + IF({} < '00:00:00', -1, 1) * MICROSECOND({}) AS SIGNED)";

/// A type for a column of this kind; None: nothing is said of it.
pub fn target(dice: &mut Dice, kind: &Kind, is_key: bool) -> Option<Target> {
    let target = match kind {
        Kind::Int { bits, unsigned } => match dice.below(4) {
            0 => text(dice, TEXT),
            1 if *bits == 8 => Target::of("Bool").target("toString(toUInt8({}))").or_null("{} NOT IN (0, 1)"),
            _ => integer(dice, range(*bits, *unsigned)),
        },
        Kind::Year if dice.percent(30) => text(dice, TEXT),
        Kind::Year => integer(dice, (0, 2155)),
        Kind::Bit(_) if dice.percent(30) => text(dice, NUMBER),
        Kind::Bit(1) if dice.percent(50) => Target::of("Bool").source(NUMBER).target("toString(toUInt8({}))"),
        Kind::Bit(bits) => integer(dice, range(*bits, true)),
        // The fewest digits are others than MySQL's: they are compared as numbers.
        Kind::Float | Kind::Double if is_key => return None,
        Kind::Float | Kind::Double => Target::of("String").target("{}"),
        Kind::Decimal { .. } if dice.percent(30) => text(dice, TEXT),
        Kind::Decimal { precision, scale } => decimal(dice, *precision, *scale),
        Kind::Date if dice.percent(50) => text(dice, TEXT),
        Kind::Date => Target::of("Date").or_null(&format!("{NO_DAY} OR {{}} < '1970-01-01' OR {{}} > '2149-06-06'")),
        Kind::DateTime(_) | Kind::Timestamp(_) | Kind::Time(_) if dice.percent(30) => text(dice, TEXT),
        Kind::DateTime(fsp) => moment(dice, *fsp, false),
        Kind::Timestamp(fsp) => moment(dice, *fsp, true),
        Kind::Time(_) if dice.percent(30) => Target::of("Int64").source(MICROSECONDS),
        Kind::Time(fsp) => time(dice, *fsp),
        Kind::Enum(labels) if is_shown(labels) && dice.percent(80) => enumeration(dice, labels),
        Kind::Binary(16) if dice.percent(80) => uuid("LOWER(BIN_TO_UUID({}))"),
        Kind::VarBinary(16) if dice.percent(80) => uuid("LOWER(BIN_TO_UUID({}))").or_null("LENGTH({}) <> 16"),
        Kind::Char(36.., _) | Kind::VarChar(36.., _) if dice.percent(80) => {
            let text = "CONVERT({} USING utf8mb4)";
            uuid(&format!("LOWER({text})")).or_null(&format!("NOT IS_UUID({text}) OR CHAR_LENGTH({{}}) <> 36"))
        }
        Kind::Vector(_) => return None,
        _ => Target::of("LowCardinality(String)"),
    };
    (!is_key || target.on_bad_value != Some("null")).then_some(target)
}

impl Target {
    /// A type that is read as the default one is.
    fn of(ty: impl Into<String>) -> Self {
        Self { ty: Some(ty.into()), on_bad_value: None, source: None, target: None }
    }

    fn source(self, sql: &str) -> Self {
        Self { source: Some(sql.to_owned()), ..self }
    }

    fn target(self, sql: &str) -> Self {
        Self { target: Some(sql.to_owned()), ..self }
    }

    /// What is NULL whatever is said.
    fn unless(self, condition: &str) -> Self {
        let sql = format!("IF({condition}, NULL, {})", self.source.as_deref().unwrap_or(TEXT));
        self.source(&sql)
    }

    /// What is NULL because the user says so.
    fn or_null(self, condition: &str) -> Self {
        Self { on_bad_value: Some("null"), ..self.unless(condition) }
    }

    /// Values to draw from; empty: any.
    pub fn pool(&self, kind: &Kind) -> Vec<String> {
        match kind {
            _ if self.ty.as_deref() != Some("UUID") => Vec::new(),
            Kind::Char(..) | Kind::VarChar(..) => UUIDS.iter().map(|text| format!("'{text}'")).collect(),
            _ => UUIDS[..4].iter().map(|text| format!("UUID_TO_BIN('{text}')")).collect(),
        }
    }

    /// How both servers read a column of this type.
    pub fn reading(&self, column: &str) -> Reading {
        Reading { column: column.to_owned(), source: self.source.clone(), target: self.target.clone() }
    }
}

/// MySQL's own text, which may be asked for in three ways.
fn text(dice: &mut Dice, source: &str) -> Target {
    let target = Target::of("String").source(source).target("{}");
    match dice.below(3) {
        0 => target,
        1 => Target { ty: None, on_bad_value: Some("string"), ..target },
        _ => Target { ty: Some("LowCardinality(String)".to_owned()), ..target },
    }
}

fn uuid(source: &str) -> Target {
    Target::of("UUID").source(source).target("toString({})")
}

fn range(bits: usize, unsigned: bool) -> (i128, i128) {
    // All of theirs is more than any column has.
    let bits = bits.min(100);
    if unsigned { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

fn integer(dice: &mut Dice, (least, most): (i128, i128)) -> Target {
    let (bits, unsigned) = (*dice.pick(&[8, 16, 32, 64, 128, 256]), dice.percent(50));
    let (from, to) = range(bits, unsigned);
    let target = Target::of(format!("{}Int{bits}", if unsigned { "U" } else { "" })).source(NUMBER);
    if from <= least && to >= most {
        return target;
    }
    target.or_null(&format!("{{}} + 0 < {} OR {{}} + 0 > {}", from.max(least), to.min(most)))
}

/// One with more room, or with any.
fn decimal(dice: &mut Dice, precision: usize, scale: usize) -> Target {
    let whole = precision - scale;
    let (to_whole, to_scale) = if dice.percent(50) {
        let to_scale = dice.between(scale, (76 - whole).min(scale + 11));
        (dice.between(whole, 76 - to_scale), to_scale)
    } else {
        let to_whole = dice.below(whole + 1);
        (to_whole, dice.between(usize::from(to_whole == 0), (76 - to_whole).min(30)))
    };
    // Without decimals it would print the point after all.
    let target = Target::of(format!("Decimal({}, {to_scale})", to_whole + to_scale))
        .target(&format!("trim(TRAILING '.' FROM toDecimalString({{}}, {scale}))"));
    let mut bad = Vec::new();
    if to_scale < scale {
        bad.push(format!("TRUNCATE({{}}, {to_scale}) <> {{}}"));
    }
    if to_whole < whole {
        bad.push(format!("ABS({{}}) >= 1{}", "0".repeat(to_whole)));
    }
    if bad.is_empty() { target } else { target.or_null(&bad.join(" OR ")) }
}

/// Microseconds that have no room in so many decimals.
fn inexact(to: usize) -> String {
    format!("MICROSECOND({{}}) % {} <> 0", 10_u32.pow(u32::try_from(6 - to).unwrap()))
}

fn moment(dice: &mut Dice, fsp: usize, is_instant: bool) -> Target {
    let zone = if is_instant { *dice.pick(&ZONES) } else { *dice.pick(&ZONES[..2]) };
    if dice.percent(40) {
        let beyond = "{} < '1970-01-01' OR {} > '2106-02-07 06:28:15.999999'";
        return moment_of(format!("DateTime({})", zone.trim_start_matches(", ")).replace("()", ""), 0)
            .or_null(&format!("{NO_DAY} OR {beyond} OR {}", inexact(0)));
    }
    let to = dice.below(7);
    let target = moment_of(format!("DateTime64({to}{zone})"), to);
    if to < fsp { target.or_null(&format!("{NO_DAY} OR {}", inexact(to))) } else { target.unless(NO_DAY) }
}

fn moment_of(ty: String, precision: usize) -> Target {
    Target::of(ty).source(&MOMENT.replace("precision", &precision.to_string())).target("toString({}, 'UTC')")
}

fn time(dice: &mut Dice, fsp: usize) -> Target {
    let to = dice.below(7);
    let target = Target::of(format!("Time64({to})")).source(&format!("CAST(CAST({{}} AS TIME({to})) AS CHAR)"));
    if to < fsp { target.or_null(&inexact(to)) } else { target }
}

/// Whether `information_schema` shows these labels as they are; an Enum is refused to others.
fn is_shown(labels: &[String]) -> bool {
    !labels.iter().flat_map(|label| label.chars()).any(|c| c == '?' || c > '\u{ffff}')
}

/// With the members that follow from the labels, or with some of the user's own, which may lack one for what is invalid.
fn enumeration(dice: &mut Dice, labels: &[String]) -> Target {
    let read = |ty: String| Target::of(ty).source("HEX(CONVERT({} USING utf8mb4))").target("hex(toString({}))");
    let has_empty = labels.iter().any(String::is_empty);
    if labels.len() < 100 && dice.percent(30) {
        return read("Enum8".to_owned());
    }
    if dice.percent(50) {
        return read("Enum16".to_owned());
    }
    let escaped = |label: &String| label.replace('\\', "\\\\").replace('\'', "\\'");
    let mut members: Vec<String> =
        labels.iter().enumerate().map(|(index, label)| format!("'{}' = {}", escaped(label), 900 - index * 3)).collect();
    let is_told = has_empty || dice.percent(50);
    if !has_empty && is_told {
        members.push("'' = -7".to_owned());
    }
    let target = read(format!("Enum16({})", members.join(", ")));
    if is_told { target } else { target.or_null("{} + 0 = 0") }
}
