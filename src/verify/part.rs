//! A part of a table: the same keys by a condition in MySQL's SQL and one in ClickHouse's.
//!
//! Ranges are made of the leading key columns that both servers order alike and whose ends both read exactly: numbers,
//! dates and times, bytes. Text, ENUM and SET are ordered by a collation here and by bytes there, so a key that begins
//! with one of them is one range. A range that is too large is cut into buckets by a hash of the whole key: the sum of
//! the CRC32 of its columns, each as a text that both servers make alike (measured, and tried in `tests/verify.rs`). FLOAT
//! and DOUBLE have no such text and no exact literal: a part of nothing else is not cut. A condition names key columns
//! only, so under FINAL it takes all versions of a row or none. Pure text.

use super::compare::Keys;
use crate::clickhouse::sql;
use crate::mysql::chunks::{Bound, Chunk, Cuts, compare, in_parentheses};
use crate::mysql::source::quoted_name;
use crate::schema::catalog::SourceTable;
use crate::schema::form::{self, Form};
use crate::schema::target::TargetColumn;
use crate::schema::target_type::TargetType;
use crate::schema::types::{Charset, SourceColumn, SourceType};
use crate::transcode::layout::Layout;

/// Keys that are looked up one by one.
const LOOKED_UP_MAX: u64 = 500;
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
    /// Instead of all that: the conditions for a few keys, in MySQL's SQL and in ClickHouse's.
    keys: Option<(String, String)>,
}

impl Part {
    /// A whole range.
    pub fn of(range: Chunk) -> Self {
        Self { range, buckets: 1, bucket: 0, keys: None }
    }

    /// The `buckets` of a part that is cut so often once more.
    pub fn cut(&self, buckets: u32) -> Vec<Self> {
        let part = |index| Self {
            range: self.range.clone(),
            buckets: self.buckets * buckets,
            bucket: self.bucket + index * self.buckets,
            keys: None,
        };
        (0..buckets).map(part).collect()
    }
}

/// How a table is cut.
#[derive(Debug)]
pub struct Cutting {
    cuts: Cuts,
    /// The key's columns up to the first that has no literal.
    looked_up: Vec<LookedUp>,
    /// Whether those are all.
    finds_keys: bool,
    /// How many of them, from the first on, are ordered alike by both servers.
    ranged: usize,
    /// Expressions of the key's CRC32, in MySQL's SQL and in ClickHouse's.
    hashes: Vec<(String, String)>,
}

/// A column whose values have literals.
#[derive(Debug)]
struct LookedUp {
    /// What MySQL compares.
    source: String,
    /// What ClickHouse compares.
    target: String,
    literal: Literal,
}

/// How the value of MySQL's literal is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    /// The same digits on both sides.
    Number,
    /// For ClickHouse, the digits cast to this type.
    Decimal(String),
    /// For ClickHouse, the text cast to this type.
    Time(String),
    /// For ClickHouse, days since 1970.
    Days,
    /// For ClickHouse, ticks of so many decimals of a second since 1970, as this type.
    Ticks(u8, String),
    /// Bytes.
    Bytes,
    /// Text, which is no range: the servers order it differently.
    Text(Charset),
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
        let looked_up: Vec<LookedUp> = key().map_while(|(column, target)| LookedUp::of(column, target)).collect();
        let ranged = looked_up.iter().take_while(|column| !matches!(column.literal, Literal::Text(_))).count();
        Self {
            cuts: Cuts::by_leading(source, ranged),
            finds_keys: looked_up.len() == source.key.len(),
            ranged,
            looked_up,
            hashes: key()
                .filter(|(column, target)| is_read_alike(column, target))
                .filter_map(|(column, _)| hash(column))
                .collect(),
        }
    }

    /// The part of these `keys` alone, if there are few and each can be found: later passes need not read the rest.
    /// `layout` is that of the keys.
    pub fn narrow(&self, part: &Part, keys: &Keys, layout: &Layout) -> Option<Part> {
        if !self.finds_keys || keys.is_empty() || keys.len() > LOOKED_UP_MAX {
            return None;
        }
        let (mut source, mut target) = (Vec::new(), Vec::new());
        for key in keys.iter() {
            let values = layout.exact_texts(key)?;
            let literals = self.looked_up.iter().zip(&values);
            source.push(tuple(literals.clone().map(|(column, value)| column.literal.for_source(value)))?);
            target.push(tuple(literals.map(|(column, value)| Some(column.literal.for_target(value))))?);
        }
        let condition = |columns: fn(&LookedUp) -> &str, tuples: &[String]| {
            let columns: Vec<&str> = self.looked_up.iter().map(columns).collect();
            format!("({}) IN ({})", columns.join(", "), tuples.join(", "))
        };
        let keys = (condition(|column| &column.source, &source), condition(|column| &column.target, &target));
        Some(Part { keys: Some(keys), ..part.clone() })
    }

    /// Whether the table is one range.
    pub fn is_whole(&self) -> bool {
        self.ranged == 0
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
        if let Some((keys, _)) = &part.keys {
            let whole = Chunk { number: 0, lower: None, upper: None };
            return format!("{} WHERE {keys}", self.cuts.select(columns, &whole));
        }
        let query = self.cuts.select(columns, &part.range);
        match self.bucket(part, |hash| &hash.0) {
            None => query,
            Some(bucket) if part.range.lower.is_none() && part.range.upper.is_none() => {
                format!("{query} WHERE {bucket}")
            }
            Some(bucket) => format!("{query} AND {bucket}"),
        }
    }

    /// The query for those of them that a copy left out: they do not fulfil `copied`.
    pub fn left_out_query(&self, columns: &str, part: &Part, copied: &str) -> String {
        let is_limited = part.range.lower.is_some() || part.range.upper.is_some() || part.keys.is_some();
        let is_limited = is_limited || self.bucket(part, |hash| &hash.0).is_some();
        let and = if is_limited { "AND" } else { "WHERE" };
        format!("{} {and} {} IS NOT TRUE", self.source_query(columns, part), in_parentheses(copied))
    }

    /// ClickHouse's condition for the keys of a part.
    pub fn target_condition(&self, part: &Part) -> String {
        if let Some((_, keys)) = &part.keys {
            return keys.clone();
        }
        let ranged = || self.looked_up.iter().take(self.ranged);
        let columns: Vec<String> = ranged().map(|column| column.target.clone()).collect();
        let bound = |bound: &Bound| -> Vec<String> {
            ranged().zip(bound).map(|(column, literal)| column.literal.for_target(bare(literal))).collect()
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

impl LookedUp {
    fn of(source: &SourceColumn, target: &TargetColumn) -> Option<Self> {
        if !is_read_alike(source, target) {
            return None;
        }
        let name = sql::identifier(&target.name);
        let ty = target.ty.clone();
        let literal = match &source.ty {
            SourceType::Int { .. } | SourceType::Year | SourceType::Bit { .. } => Literal::Number,
            SourceType::Decimal { .. } => Literal::Decimal(ty),
            SourceType::Time { .. } | SourceType::OldTime if ty.starts_with("Time64") => Literal::Time(ty),
            SourceType::Date => Literal::Days,
            SourceType::DateTime { fsp } | SourceType::Timestamp { fsp } => Literal::Ticks(*fsp, ty),
            SourceType::OldDateTime | SourceType::OldTimestamp => Literal::Ticks(0, ty),
            SourceType::Char { charset, .. }
            | SourceType::VarChar { charset, .. }
            | SourceType::Blob { charset, .. } => {
                if *charset == Charset::Binary {
                    Literal::Bytes
                } else {
                    Literal::Text(*charset)
                }
            }
            SourceType::Enum { .. } | SourceType::Set { .. } => Literal::Text(Charset::Utf8),
            SourceType::Time { .. }
            | SourceType::OldTime
            | SourceType::Float
            | SourceType::Double
            | SourceType::Json
            | SourceType::JsonText
            | SourceType::Geometry
            | SourceType::Vector
            | SourceType::Unsupported { .. } => return None,
        };
        // ClickHouse before 26.8 takes no Date32 outside 1900..2299 for what it is; the number is right everywhere.
        let target = if literal == Literal::Days { format!("toInt32({name})") } else { name };
        let name = quoted_name(&source.name);
        let source = if let Literal::Text(charset) = literal { compared_text(name, charset) } else { name };
        Some(Self { source, target, literal })
    }
}

/// What MySQL compares with a text in utf8mb4. A column in utf8 or latin1 as it is, so that an index serves; of others,
/// MySQL would convert the literal to their character set, where one character may have several codes.
fn compared_text(name: String, charset: Charset) -> String {
    let is_one_to_one = charset.is_utf8() || charset == Charset::Latin1;
    if is_one_to_one { name } else { format!("CONVERT({name} USING utf8mb4)") }
}

/// Whether literals and texts of the default type are those of the target's, too.
fn is_read_alike(source: &SourceColumn, target: &TargetColumn) -> bool {
    let form = form::of(&source.ty, &TargetType::parse(&target.ty).base);
    matches!(form, Some(Form::Default | Form::Microseconds | Form::Int { .. }))
}

impl Literal {
    /// MySQL's literal of a value as [`Layout::exact_texts`] has it; `None` when MySQL would refuse it.
    fn for_source(&self, value: &str) -> Option<String> {
        Some(match self {
            Literal::Number | Literal::Decimal(_) => value.to_owned(),
            Literal::Time(_) | Literal::Days | Literal::Ticks(..) => format!("'{value}'"),
            Literal::Bytes | Literal::Text(Charset::Binary) => format!("X'{value}'"),
            // A literal's collation gives way to the column's.
            Literal::Text(_) => is_utf8(value).then(|| format!("_utf8mb4 X'{value}'"))?,
        })
    }

    /// ClickHouse's literal of the same value.
    fn for_target(&self, value: &str) -> String {
        match self {
            Literal::Number => number(value),
            Literal::Decimal(ty) | Literal::Time(ty) => format!("CAST({}, {})", sql::text(value), sql::text(ty)),
            Literal::Days => days(value).to_string(),
            Literal::Ticks(fsp, ty) => format!("reinterpret(toInt64({}), {})", ticks(value, *fsp), sql::text(ty)),
            Literal::Bytes | Literal::Text(_) => format!("unhex('{value}')"),
        }
    }
}

/// What stands in MySQL's own literal: without quotes and `X`.
fn bare(literal: &str) -> &str {
    literal.trim_start_matches('X').trim_matches('\'')
}

/// `(a, b)`.
fn tuple(values: impl Iterator<Item = Option<String>>) -> Option<String> {
    let values: Vec<String> = values.collect::<Option<_>>()?;
    Some(format!("({})", values.join(", ")))
}

/// Whether the bytes in hexadecimal are UTF-8.
fn is_utf8(hex: &str) -> bool {
    let digits: Option<Vec<u8>> = hex.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let bytes =
        digits.unwrap_or_default().chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    String::from_utf8(bytes).is_ok()
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
    let text = |charset: &Charset| {
        let is_same = charset.is_utf8() || *charset == Charset::Binary;
        if is_same { source.clone() } else { format!("CONVERT({source} USING utf8mb4)") }
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
        | SourceType::JsonText
        | SourceType::Geometry
        | SourceType::Vector
        | SourceType::Unsupported { .. } => return None,
    };
    Some((format!("CRC32({source})"), format!("CRC32({target})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::choices::Choices;
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
        let source = SourceTable {
            name,
            columns,
            key: (0..types.len()).collect(),
            allows_zero_dates: false,
            choices: Choices::default(),
        };
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
        let days = |text: &str| Literal::Days.for_target(bare(text));
        assert_eq!((days("'1000-01-01'").as_str(), days("'9999-12-31'").as_str()), ("-354285", "2932896"));
        let ticks = Literal::Ticks(3, "DateTime64(3, 'UTC')".to_owned()).for_target("1969-12-31 23:59:59.999");
        assert_eq!(ticks, "reinterpret(toInt64(-1), 'DateTime64(3, \\'UTC\\')')");
        assert_eq!(Literal::Decimal("Decimal(5, 2)".to_owned()).for_target("-0.50"), "CAST('-0.50', 'Decimal(5, 2)')");
        assert_eq!(
            (Literal::Number.for_target("-00000").as_str(), Literal::Number.for_target("042").as_str()),
            ("0", "42")
        );
        assert_eq!(Literal::Bytes.for_target(bare("X'00FF'")), "unhex('00FF')");
        let text = |charset| Literal::Text(charset);
        assert_eq!(text(Charset::Utf8).for_source("C3A9").unwrap(), "_utf8mb4 X'C3A9'");
        assert_eq!(text(Charset::Latin1).for_source("").unwrap(), "_utf8mb4 X''");
        assert_eq!(text(Charset::Utf8).for_source("C3"), None);
    }

    #[test]
    fn a_few_keys_are_looked_up() {
        let text = SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 };
        let table = cutting(&[(SourceType::Date, "Date32"), (text, "String")]);
        let columns = [("c0", "Date32"), ("c1", "String")];
        let columns = columns.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        let layout = Layout::new(&columns, &[0, 1]).unwrap();
        let whole = Part::of(Chunk { number: 0, lower: None, upper: None });
        let mut keys = Keys::default();
        assert_eq!(table.narrow(&whole, &keys, &layout), None);
        keys.insert([1, 0, 0, 0, 1, b'x'].into());
        let part = table.narrow(&whole, &keys, &layout).unwrap();
        assert_eq!(
            table.source_query("*", &part),
            "SELECT * FROM `d`.`t` WHERE (`c0`, `c1`) IN (('1970-01-02', _utf8mb4 X'78'))"
        );
        assert_eq!(table.target_condition(&part), "(toInt32(`c0`), `c1`) IN ((1, unhex('78')))");
        assert_eq!(cutting(&[(SourceType::Float, "Float32")]).narrow(&whole, &keys, &layout), None);
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
