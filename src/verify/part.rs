//! A part of a table: the same keys by a condition in MySQL's SQL and one in ClickHouse's.
//!
//! Ranges are made of the leading key columns that both servers order alike and whose ends both read exactly: numbers,
//! dates and times, bytes. Text, ENUM and SET are ordered by a collation here and by bytes there, so a key that begins
//! with one of them is one range. A range that is too large is cut into buckets by a hash of the whole key: the sum of
//! the CRC32 of its columns, each as a text that both servers make alike (measured, and tried in `tests/verify.rs`). FLOAT
//! and DOUBLE have no such text and no exact literal: a part of nothing else is not cut. A condition names key columns
//! only, so under FINAL it takes all versions of a row or none. Pure text.

use crate::clickhouse::sql;
use crate::mysql::chunks::{Bound, Chunk, Cuts, compare};
use crate::mysql::source::quoted_name;
use crate::schema::catalog::SourceTable;
use crate::schema::target::TargetColumn;
use crate::schema::types::{Charset, SourceColumn, SourceType};

/// A bucket costs a scan of its whole range on both sides, so halving ends here.
const BUCKETS_MAX: u32 = 1 << 16;

/// A range of keys, or one bucket of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The range.
    pub range: Chunk,
    /// Into how many buckets the range is cut.
    pub buckets: u32,
    /// Which one this is, from 0.
    pub bucket: u32,
}

impl Part {
    /// A whole range.
    pub fn of(range: Chunk) -> Self {
        Self { range, buckets: 1, bucket: 0 }
    }

    /// The `buckets` of a part that is cut so often once more.
    pub fn cut(&self, buckets: u32) -> Vec<Self> {
        let part = |index| Self {
            range: self.range.clone(),
            buckets: self.buckets * buckets,
            bucket: self.bucket + index * self.buckets,
        };
        (0..buckets).map(part).collect()
    }
}

/// How a table is cut.
#[derive(Debug)]
pub struct Cutting {
    cuts: Cuts,
    ranged: Vec<Ranged>,
    /// Expressions of the key's CRC32, in MySQL's SQL and in ClickHouse's.
    hashes: Vec<(String, String)>,
}

/// A column whose order both servers share.
#[derive(Debug)]
struct Ranged {
    /// What ClickHouse compares.
    expression: String,
    literal: Literal,
}

/// What ClickHouse reads as the value of MySQL's literal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    /// The same digits.
    Number,
    /// The text cast to this type.
    Cast(String),
    /// Days since 1970.
    Days,
    /// Ticks of so many decimals of a second since 1970, as this type.
    Ticks(u8, String),
    /// The bytes.
    Bytes,
}

impl Cutting {
    /// For a table whose target has the columns `target`.
    pub fn of(source: &SourceTable, target: &[TargetColumn]) -> Self {
        let key = || {
            source.key.iter().filter_map(|&index| {
                let column = source.columns.get(index)?;
                Some((column, target.iter().find(|target| target.name == column.name)?))
            })
        };
        let ranged: Vec<Ranged> = key().map_while(|(column, target)| Ranged::of(column, target)).collect();
        let cuts = Cuts::by_leading(source, ranged.len());
        Self { cuts, ranged, hashes: key().filter_map(|(column, _)| hash(column)).collect() }
    }

    /// Whether the table is one range.
    pub fn is_whole(&self) -> bool {
        self.ranged.is_empty()
    }

    /// Whether this part can be cut into buckets.
    pub fn can_cut(&self, part: &Part) -> bool {
        !self.hashes.is_empty() && part.buckets < BUCKETS_MAX
    }

    /// As [`Cuts::next_end`].
    pub fn next_end(&self, lower: Option<&Bound>, rows: u64) -> String {
        self.cuts.next_end(lower, rows)
    }

    /// MySQL's query for the rows of a part.
    pub fn source_query(&self, columns: &str, part: &Part) -> String {
        let query = self.cuts.select(columns, &part.range);
        match self.bucket(part, |hash| &hash.0) {
            None => query,
            Some(bucket) if part.range.lower.is_none() && part.range.upper.is_none() => {
                format!("{query} WHERE {bucket}")
            }
            Some(bucket) => format!("{query} AND {bucket}"),
        }
    }

    /// ClickHouse's condition for the keys of a part.
    pub fn target_condition(&self, part: &Part) -> String {
        let columns: Vec<String> = self.ranged.iter().map(|ranged| ranged.expression.clone()).collect();
        let bound = |bound: &Bound| -> Vec<String> {
            self.ranged.iter().zip(bound).map(|(ranged, literal)| ranged.literal.of(literal)).collect()
        };
        let lower = part.range.lower.as_ref().map(|lower| compare(&columns, &bound(lower), ">", ">"));
        let upper = part.range.upper.as_ref().map(|upper| compare(&columns, &bound(upper), "<", "<="));
        let conditions: Vec<String> = lower.into_iter().chain(upper).chain(self.bucket(part, |hash| &hash.1)).collect();
        if conditions.is_empty() { "TRUE".to_owned() } else { conditions.join(" AND ") }
    }

    fn bucket(&self, part: &Part, side: fn(&(String, String)) -> &str) -> Option<String> {
        let hashes: Vec<&str> = self.hashes.iter().map(side).collect();
        (part.buckets > 1).then(|| format!("({}) % {} = {}", hashes.join(" + "), part.buckets, part.bucket))
    }
}

impl Ranged {
    fn of(source: &SourceColumn, target: &TargetColumn) -> Option<Self> {
        let name = sql::identifier(&target.name);
        let ty = target.ty.clone();
        let literal = match &source.ty {
            SourceType::Int { .. } | SourceType::Year | SourceType::Bit { .. } => Literal::Number,
            SourceType::Decimal { .. } => Literal::Cast(ty),
            SourceType::Time { .. } | SourceType::OldTime if ty.starts_with("Time64") => Literal::Cast(ty),
            SourceType::Date => Literal::Days,
            SourceType::DateTime { fsp } | SourceType::Timestamp { fsp } => Literal::Ticks(*fsp, ty),
            SourceType::OldDateTime | SourceType::OldTimestamp => Literal::Ticks(0, ty),
            SourceType::Char { charset: Charset::Binary, .. }
            | SourceType::VarChar { charset: Charset::Binary, .. }
            | SourceType::Blob { charset: Charset::Binary, .. } => Literal::Bytes,
            SourceType::Char { .. }
            | SourceType::VarChar { .. }
            | SourceType::Blob { .. }
            | SourceType::Time { .. }
            | SourceType::OldTime
            | SourceType::Float
            | SourceType::Double
            | SourceType::Enum { .. }
            | SourceType::Set { .. }
            | SourceType::Json
            | SourceType::Geometry
            | SourceType::Vector
            | SourceType::Unsupported { .. } => return None,
        };
        // ClickHouse before 26.8 takes no Date32 outside 1900..2299 for what it is; the number is right everywhere.
        let expression = if literal == Literal::Days { format!("toInt32({name})") } else { name };
        Some(Self { expression, literal })
    }
}

impl Literal {
    /// ClickHouse's literal of the value that MySQL prints as `literal`.
    fn of(&self, literal: &str) -> String {
        let text = literal.trim_matches('\'');
        match self {
            Literal::Number => number(literal),
            Literal::Cast(ty) => format!("CAST({}, {})", sql::text(text), sql::text(ty)),
            Literal::Days => days(text).to_string(),
            Literal::Ticks(fsp, ty) => format!("reinterpret(toInt64({}), {})", ticks(text, *fsp), sql::text(ty)),
            Literal::Bytes => format!("unhex('{}')", text.trim_start_matches("X'")),
        }
    }
}

/// Without the zeros that ZEROFILL shows.
fn number(literal: &str) -> String {
    let (sign, digits) = literal.strip_prefix('-').map_or(("", literal), |digits| ("-", digits));
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { format!("{sign}{digits}") }
}

/// Days from 1970-01-01 to `YYYY-MM-DD` (<https://howardhinnant.github.io/date_algorithms.html>, `days_from_civil`).
fn days(text: &str) -> i64 {
    let mut parts = text.split('-').map(|part| part.parse::<i64>().unwrap_or_default());
    let mut next = || parts.next().unwrap_or_default();
    let (year, month, day) = (next(), next(), next());
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Ticks from 1970 to `YYYY-MM-DD HH:MM:SS[.f]`.
fn ticks(text: &str, fsp: u8) -> i64 {
    let (date, clock) = text.split_once(' ').unwrap_or((text, ""));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let seconds = clock.split(':').fold(0, |seconds, part| seconds * 60 + part.parse::<i64>().unwrap_or_default());
    let seconds = days(date) * 86_400 + seconds;
    seconds * 10_i64.pow(u32::from(fsp.min(6))) + fraction.parse::<i64>().unwrap_or_default()
}

/// The CRC32 of a value, in MySQL's SQL and in ClickHouse's; `None` when there is no text that both make of it.
fn hash(column: &SourceColumn) -> Option<(String, String)> {
    let (source, target) = (quoted_name(&column.name), sql::identifier(&column.name));
    let text = |charset: &Charset| match charset {
        Charset::Utf8 | Charset::Binary => source.clone(),
        Charset::Latin1 => format!("CONVERT({source} USING utf8mb4)"),
    };
    let moment = |fsp: u8| {
        let factor = 10_i64.pow(u32::from(6 - fsp.min(6)));
        let source = format!("TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {source})");
        (source, format!("toString(reinterpretAsInt64({target}) * {factor})"))
    };
    let (source, target) = match &column.ty {
        // Adding zero takes off the zeros that ZEROFILL shows.
        SourceType::Int { .. } => (format!("({source} + 0)"), format!("toString({target})")),
        SourceType::Decimal { scale, .. } => {
            (format!("CAST({source} + 0 AS CHAR)"), format!("toDecimalString({target}, {scale})"))
        }
        SourceType::Year | SourceType::Bit { .. } => {
            (format!("CAST({source} AS UNSIGNED)"), format!("toString({target})"))
        }
        SourceType::Date => (format!("DATEDIFF({source}, '1970-01-01')"), format!("toString(toInt32({target}))")),
        SourceType::DateTime { fsp } | SourceType::Timestamp { fsp } => moment(*fsp),
        SourceType::OldDateTime | SourceType::OldTimestamp => moment(0),
        SourceType::Char { charset, .. } | SourceType::VarChar { charset, .. } | SourceType::Blob { charset, .. } => {
            (text(charset), target)
        }
        SourceType::Enum { .. } | SourceType::Set { .. } => {
            (format!("CONVERT({source} USING utf8mb4)"), format!("toString({target})"))
        }
        SourceType::Time { .. }
        | SourceType::OldTime
        | SourceType::Float
        | SourceType::Double
        | SourceType::Json
        | SourceType::Geometry
        | SourceType::Vector
        | SourceType::Unsupported { .. } => return None,
    };
    Some((format!("CRC32({source})"), format!("CRC32({target})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::types::TableName;

    fn cutting(types: &[(SourceType, &str)]) -> Cutting {
        let column = |(index, (ty, _)): (usize, &(SourceType, &str))| SourceColumn {
            name: format!("c{index}"),
            ty: ty.clone(),
            nullable: false,
        };
        let target = |(index, (_, ty)): (usize, &(SourceType, &str))| TargetColumn {
            name: format!("c{index}"),
            ty: (*ty).to_owned(),
        };
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let columns = types.iter().enumerate().map(column).collect();
        let source = SourceTable { name, columns, key: (0..types.len()).collect(), allows_zero_dates: false };
        Cutting::of(&source, &types.iter().enumerate().map(target).collect::<Vec<_>>())
    }

    const INT: SourceType = SourceType::Int { bytes: 4, unsigned: false };
    const DATE_TIME: SourceType = SourceType::DateTime { fsp: 3 };

    #[test]
    fn both_conditions_say_the_same() {
        let text = SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 };
        let cutting = cutting(&[(INT, "Int32"), (SourceType::Date, "Date32"), (text, "String")]);
        let bound = |number: &str, date: &str| Some(vec![number.to_owned(), format!("'{date}'")]);
        let range = Chunk { number: 0, lower: bound("-0007", "1970-01-02"), upper: bound("9", "1969-12-31") };
        let part = Part::of(range).cut(4).remove(3);
        assert_eq!(
            cutting.source_query("*", &part),
            "SELECT * FROM `d`.`t` WHERE (`c0` >= -0007 AND (`c0` > -0007 OR (`c1` > '1970-01-02'))) \
             AND (`c0` <= 9 AND (`c0` < 9 OR (`c1` <= '1969-12-31'))) \
             AND (CRC32((`c0` + 0)) + CRC32(DATEDIFF(`c1`, '1970-01-01')) + CRC32(`c2`)) % 4 = 3"
        );
        assert_eq!(
            cutting.target_condition(&part),
            "(`c0` >= -7 AND (`c0` > -7 OR (toInt32(`c1`) > 1))) AND (`c0` <= 9 AND (`c0` < 9 OR (toInt32(`c1`) <= -1))) \
             AND (CRC32(toString(`c0`)) + CRC32(toString(toInt32(`c1`))) + CRC32(`c2`)) % 4 = 3"
        );
        assert_eq!(part.cut(2)[1], Part { buckets: 8, bucket: 7, ..part.clone() });
    }

    #[test]
    fn literals_of_all_kinds() {
        let days = |text: &str| Literal::Days.of(text);
        assert_eq!((days("'1000-01-01'").as_str(), days("'9999-12-31'").as_str()), ("-354285", "2932896"));
        let ticks = Literal::Ticks(3, "DateTime64(3, 'UTC')".to_owned()).of("'1969-12-31 23:59:59.999'");
        assert_eq!(ticks, "reinterpret(toInt64(-1), 'DateTime64(3, \\'UTC\\')')");
        assert_eq!(Literal::Cast("Decimal(5, 2)".to_owned()).of("-0.50"), "CAST('-0.50', 'Decimal(5, 2)')");
        assert_eq!((Literal::Number.of("-00000").as_str(), Literal::Number.of("042").as_str()), ("0", "42"));
        assert_eq!(Literal::Bytes.of("X'00FF'"), "unhex('00FF')");
    }

    #[test]
    fn what_cannot_be_cut_is_whole() {
        let whole = cutting(&[(SourceType::Double, "Float64"), (INT, "Int32")]);
        let part = Part::of(Chunk { number: 0, lower: None, upper: None });
        assert!(whole.is_whole() && whole.can_cut(&part));
        assert_eq!(whole.target_condition(&part), "TRUE");
        assert!(!cutting(&[(SourceType::Float, "Float32")]).can_cut(&part));
        assert!(!cutting(&[(DATE_TIME, "DateTime64(3, 'UTC')")]).is_whole());
    }
}
