//! The column types that can be drawn: all of README's table, with any parameters that MySQL allows.

use crate::dice::Dice;

/// A column's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Int {
        bits: usize,
        unsigned: bool,
    },
    Float,
    Double,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Year,
    Bit(usize),
    Char(usize, Charset),
    VarChar(usize, Charset),
    /// TINYTEXT .. LONGTEXT: 0..=3.
    Text(usize, Charset),
    Binary(usize),
    VarBinary(usize),
    /// TINYBLOB .. LONGBLOB: 0..=3.
    Blob(usize),
    Date,
    Time(usize),
    DateTime(usize),
    Timestamp(usize),
    Enum(Vec<String>),
    Set(Vec<String>),
    Json,
    Geometry(&'static str),
    Vector(usize),
}

/// A character set and one of its collations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Charset {
    pub name: &'static str,
    pub collation: &'static str,
    pub bytes: usize,
}

const fn charset(name: &'static str, collation: &'static str, bytes: usize) -> Charset {
    Charset { name, collation, bytes }
}

/// Some that pad with spaces, that ignore case or accents, and that compare bytes.
pub const CHARSETS: [Charset; 10] = [
    charset("utf8mb4", "utf8mb4_0900_ai_ci", 4),
    charset("utf8mb4", "utf8mb4_0900_bin", 4),
    charset("utf8mb4", "utf8mb4_bin", 4),
    charset("utf8mb4", "utf8mb4_general_ci", 4),
    charset("utf8mb3", "utf8mb3_general_ci", 3),
    charset("utf8mb3", "utf8mb3_bin", 3),
    charset("latin1", "latin1_swedish_ci", 1),
    charset("latin1", "latin1_bin", 1),
    charset("ascii", "ascii_general_ci", 1),
    charset("ascii", "ascii_bin", 1),
];

/// The others, each with a text in it. Not in keys: which of two codes of a character is taken there, `charsets.rs` tests.
pub const OLDER_CHARSETS: [(Charset, &str); 36] = [
    (charset("armscii8", "armscii8_bin", 1), "Հայերեն"),
    (charset("big5", "big5_bin", 2), "中文字"),
    (charset("cp1250", "cp1250_bin", 1), "Žluťoučký"),
    (charset("cp1251", "cp1251_bin", 1), "Привет"),
    (charset("cp1256", "cp1256_bin", 1), "سلام"),
    (charset("cp1257", "cp1257_bin", 1), "Ąžuolas"),
    (charset("cp850", "cp850_bin", 1), "Ünïcödé ░"),
    (charset("cp852", "cp852_bin", 1), "Łódź"),
    (charset("cp866", "cp866_bin", 1), "Ёлка ░"),
    (charset("cp932", "cp932_bin", 2), "日本ｶﾅ①"),
    (charset("dec8", "dec8_bin", 1), "Åpen"),
    (charset("eucjpms", "eucjpms_bin", 3), "日本①"),
    (charset("euckr", "euckr_bin", 2), "한국어"),
    (charset("gb18030", "gb18030_bin", 4), "中文 ǹ 🎁"),
    (charset("gb2312", "gb2312_bin", 2), "中文"),
    (charset("gbk", "gbk_bin", 2), "中文 乗"),
    (charset("geostd8", "geostd8_bin", 1), "ქართული"),
    (charset("greek", "greek_bin", 1), "Αθήνα"),
    (charset("hebrew", "hebrew_bin", 1), "שלום"),
    (charset("hp8", "hp8_bin", 1), "Été"),
    (charset("keybcs2", "keybcs2_bin", 1), "Čeština"),
    (charset("koi8r", "koi8r_bin", 1), "Привет"),
    (charset("koi8u", "koi8u_bin", 1), "Їжак"),
    (charset("latin2", "latin2_bin", 1), "Łódź"),
    (charset("latin5", "latin5_bin", 1), "İğdır"),
    (charset("latin7", "latin7_bin", 1), "Ąžuolas"),
    (charset("macce", "macce_bin", 1), "Łódź"),
    (charset("macroman", "macroman_bin", 1), "Ünïcödé"),
    (charset("sjis", "sjis_bin", 2), "日本表ｶﾅ"),
    (charset("swe7", "swe7_bin", 1), "ÅÄÖ"),
    (charset("tis620", "tis620_bin", 1), "ไทย"),
    (charset("ucs2", "ucs2_bin", 2), "日本 Ünï"),
    (charset("ujis", "ujis_bin", 3), "日本表"),
    (charset("utf16", "utf16_bin", 4), "日本 🎁"),
    (charset("utf16le", "utf16le_bin", 4), "日本 🎁"),
    (charset("utf32", "utf32_bin", 4), "日本 🎁"),
];

const INTS: [(usize, &str); 5] = [(8, "TINYINT"), (16, "SMALLINT"), (24, "MEDIUMINT"), (32, "INT"), (64, "BIGINT")];
const SIZES: [&str; 4] = ["TINY", "", "MEDIUM", "LONG"];
const GEOMETRIES: [&str; 5] = ["GEOMETRY", "POINT", "LINESTRING", "POLYGON SRID 4326", "GEOMETRYCOLLECTION"];

impl Kind {
    /// Any type.
    pub fn any(dice: &mut Dice) -> Self {
        match dice.below(14) {
            0 => Kind::Text(dice.below(4), any_charset(dice)),
            1 => Kind::Blob(dice.below(4)),
            2 | 3 => Kind::Json,
            4 if dice.percent(50) => Kind::Geometry(*dice.pick(&GEOMETRIES)),
            4 => Kind::Vector(*dice.pick(&[1, 2, 3, 100, 2000])),
            5 => Kind::Char(*dice.pick(&[1, 10, 36, 63, 64, 255]), any_charset(dice)),
            6 => Kind::VarChar(*dice.pick(&[1, 63, 64, 255, 256, 1000]), any_charset(dice)),
            7 => Kind::VarBinary(*dice.pick(&[1, 16, 255, 256, 3000])),
            8 => labels(dice, true),
            _ => Self::key(dice),
        }
    }

    /// A type that may be a key.
    pub fn key(dice: &mut Dice) -> Self {
        match dice.below(18) {
            0..=3 => Kind::Int { bits: dice.pick(&INTS).0, unsigned: dice.percent(40) },
            4 | 5 => decimal(dice),
            6 => Kind::Float,
            7 => Kind::Double,
            8 => Kind::Char(dice.between(1, 40), *dice.pick(&CHARSETS)),
            9 => Kind::VarChar(dice.between(1, 80), *dice.pick(&CHARSETS)),
            10 if dice.percent(40) => Kind::Binary(16),
            10 => Kind::Binary(dice.between(1, 40)),
            11 => Kind::VarBinary(dice.between(1, 80)),
            12 => Kind::Date,
            13 => Kind::Time(dice.below(7)),
            14 => Kind::DateTime(dice.below(7)),
            15 => Kind::Timestamp(dice.below(7)),
            16 => labels(dice, false),
            _ if dice.percent(50) => Kind::Year,
            _ => Kind::Bit(dice.between(1, 64)),
        }
    }

    /// As it stands in CREATE TABLE.
    pub fn definition(&self) -> String {
        match self {
            Kind::Int { bits, unsigned } => {
                let name = INTS.iter().find(|(width, _)| width == bits).unwrap().1;
                format!("{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            Kind::Float => "FLOAT".to_owned(),
            Kind::Double => "DOUBLE".to_owned(),
            Kind::Decimal { precision, scale } => format!("DECIMAL({precision}, {scale})"),
            Kind::Year => "YEAR".to_owned(),
            Kind::Bit(bits) => format!("BIT({bits})"),
            Kind::Char(length, charset) => format!("CHAR({length}) {}", charset.clause()),
            Kind::VarChar(length, charset) => format!("VARCHAR({length}) {}", charset.clause()),
            Kind::Text(size, charset) => format!("{}TEXT {}", SIZES[*size], charset.clause()),
            Kind::Binary(length) => format!("BINARY({length})"),
            Kind::VarBinary(length) => format!("VARBINARY({length})"),
            Kind::Blob(size) => format!("{}BLOB", SIZES[*size]),
            Kind::Date => "DATE".to_owned(),
            Kind::Time(fsp) => format!("TIME({fsp})"),
            Kind::DateTime(fsp) => format!("DATETIME({fsp})"),
            Kind::Timestamp(fsp) => format!("TIMESTAMP({fsp})"),
            Kind::Enum(labels) => format!("ENUM({})", quoted(labels)),
            Kind::Set(labels) => format!("SET({})", quoted(labels)),
            Kind::Json => "JSON".to_owned(),
            Kind::Geometry(name) => (*name).to_owned(),
            Kind::Vector(dimension) => format!("VECTOR({dimension})"),
        }
    }

    /// What a value takes of the 65,535 bytes of a row.
    pub fn row_bytes(&self) -> usize {
        match self {
            Kind::Char(length, charset) | Kind::VarChar(length, charset) => length * charset.bytes + 2,
            Kind::Binary(length) | Kind::VarBinary(length) => length + 2,
            Kind::Decimal { .. } => 30,
            _ => 12,
        }
    }

    /// Whether a literal may be its DEFAULT.
    pub fn takes_default(&self) -> bool {
        !matches!(self, Kind::Text(..) | Kind::Blob(_) | Kind::Json | Kind::Geometry(_) | Kind::Vector(_))
    }

    /// Whether MySQL fills it with a zero date when nothing is given, which has no place in a column without NULL.
    pub fn is_date(&self) -> bool {
        matches!(self, Kind::Date | Kind::DateTime(_) | Kind::Timestamp(_))
    }
}

impl Charset {
    fn clause(self) -> String {
        format!("CHARACTER SET {} COLLATE {}", self.name, self.collation)
    }
}

fn any_charset(dice: &mut Dice) -> Charset {
    if dice.percent(40) { dice.pick(&OLDER_CHARSETS).0 } else { *dice.pick(&CHARSETS) }
}

fn decimal(dice: &mut Dice) -> Kind {
    let precision = *dice.pick(&[1, 5, 9, 10, 18, 19, 38, 39, 65]);
    Kind::Decimal { precision, scale: dice.between(0, precision.min(30)) }
}

/// One byte of index or bitmap, or several; `with_empty`: also with a member '', which a key must not have.
fn labels(dice: &mut Dice, with_empty: bool) -> Kind {
    let words = |count: usize| (0..count).map(|number| format!("label {number}")).collect::<Vec<_>>();
    let few: Vec<String> = ["z", "a", "größer 🎁", "it's", "M"].map(str::to_owned).to_vec();
    if dice.percent(40) {
        return Kind::Set(dice.pick(&[few, words(8), words(9), words(33), words(64)]).clone());
    }
    let some: Vec<String> = ["z", "größer", "it's", "M"].map(str::to_owned).to_vec();
    let with_or_without = if with_empty { [&few[..], &[String::new()]].concat() } else { some.clone() };
    Kind::Enum(dice.pick(&[with_or_without, some, few, words(9), words(255), words(256), words(300)]).clone())
}

fn quoted(labels: &[String]) -> String {
    labels.iter().map(|label| format!("'{}'", label.replace('\'', "''"))).collect::<Vec<_>>().join(", ")
}
