//! Key ranges of a table's copy: where they end, and their conditions in SQL.
//!
//! Ends are real keys, found by stepping over a chunk's rows in key order, so chunks are even whatever the keys' spread;
//! the server prints each end itself, as a literal that it reads back as the same value in the column's own collation. For a
//! key of one integer, any number is an end, and the server is asked how many rows it expects up to there.
//! Only the key's leading columns that have such literals are used: FLOAT, DOUBLE, ENUM and SET have none (they compare
//! as something else than they are stored), and a table whose key begins with one is a single chunk. Pure text, no IO.

use super::source::{quoted, quoted_name};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::SourceTable;
use crate::schema::charset::Use;
use crate::schema::types::{Charset, SourceType, TableName};

/// The values of the chunking columns as SQL literals.
pub type Bound = Vec<String>;

/// A range of keys: above `lower`, up to and including `upper`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its place in the table's copy, from 0.
    pub number: u32,
    /// `None`: from the first key on.
    pub lower: Option<Bound>,
    /// `None`: to the last key.
    pub upper: Option<Bound>,
}

impl Chunk {
    /// A table's first chunk, whose end is not known yet.
    pub fn first() -> Self {
        Self { number: 0, lower: None, upper: None }
    }

    /// The one that begins where this one ends; `None` after the last.
    pub fn next(&self) -> Option<Self> {
        let lower = self.upper.clone()?;
        Some(Self { number: self.number + 1, lower: Some(lower), upper: None })
    }
}

/// How a table is cut.
#[derive(Debug, Clone)]
pub struct Cuts {
    table: String,
    /// The chunking columns, quoted.
    columns: Vec<String>,
    /// What makes the server print each one's literal.
    literals: Vec<String>,
    /// Whether the key is one integer.
    is_one_integer: bool,
    /// A condition that the rows fulfil besides.
    only: Option<String>,
}

impl Cuts {
    /// For the copy of this table.
    pub fn of(source: &SourceTable) -> Self {
        Self::by_leading(source, source.key.len())
    }

    /// By no more than the `count` leading columns of the key.
    pub fn by_leading(source: &SourceTable, count: usize) -> Self {
        let key = source.key.iter().take(count).filter_map(|&index| source.columns.get(index));
        let leading = key.map_while(|column| {
            let name = quoted_name(&column.name);
            literal(&name, &column.ty).map(|literal| (name, literal))
        });
        let (columns, literals) = leading.unzip();
        Self { table: quoted(&source.name), columns, literals, is_one_integer: is_one_integer(source), only: None }
    }

    /// Only the rows that fulfil this condition, whichever ranges they lie in.
    #[must_use]
    pub fn only(self, condition: Option<&str>) -> Self {
        Self { only: condition.map(in_parentheses), ..self }
    }

    /// Whether there is only one chunk.
    pub fn is_whole(&self) -> bool {
        self.columns.is_empty()
    }

    /// Whether the key is one integer, so that any number is an end.
    pub fn is_one_integer(&self) -> bool {
        self.is_one_integer
    }

    /// The query for the smallest and the greatest key of one column: one row, of NULLs when the table is empty.
    pub fn first_and_last(&self) -> String {
        let columns = self.columns.join(", ");
        format!("SELECT CAST(MIN({columns}) AS CHAR), CAST(MAX({columns}) AS CHAR) FROM {}", self.table)
    }

    /// What makes the server say how many rows it expects above `lower`, up to and including `upper`. Without FORCE INDEX,
    /// for which the optimizer does not look into the index, and says 1.
    pub fn estimate(&self, lower: Option<&Bound>, upper: &Bound) -> String {
        let condition = conjunction(self.range(lower, Some(upper)));
        format!("EXPLAIN FORMAT=TRADITIONAL SELECT 1 FROM {}{condition}", self.table)
    }

    /// The query for the end of the chunk that begins above `lower` and has `rows` rows: one row of literals, or none
    /// when fewer are left.
    pub fn next_end(&self, lower: Option<&Bound>, rows: u64) -> String {
        let (literals, columns) = (self.literals.join(", "), self.columns.join(", "));
        let condition = conjunction(self.range(lower, None));
        let skipped = rows.saturating_sub(1);
        format!("SELECT {literals} FROM {}{condition} ORDER BY {columns} LIMIT 1 OFFSET {skipped}", self.table)
    }

    /// Whether the server takes these literals: not text that is none (1300, which does not name the column).
    ///
    /// # Errors
    /// [`ErrorKind::BadRow`] with the column and its bytes.
    pub fn check(&self, bound: &Bound) -> Result<()> {
        let bad = self.columns.iter().zip(bound).find_map(|(column, literal)| Some((column, no_text(literal)?)));
        bad.map_or(Ok(()), |(column, text)| {
            Err(Error::new(ErrorKind::BadRow, text).at_column(&column.trim_matches('`').replace("``", "`")))
        })
    }

    /// The query for a chunk's rows.
    pub fn select(&self, columns: &str, chunk: &Chunk) -> String {
        let range = self.range(chunk.lower.as_ref(), chunk.upper.as_ref());
        format!("SELECT {columns} FROM {}{}", self.table, conjunction(range.chain(self.only.clone())))
    }

    fn range(&self, lower: Option<&Bound>, upper: Option<&Bound>) -> impl Iterator<Item = String> {
        let lower = lower.map(|bound| compare(&self.columns, bound, ">", ">"));
        let upper = upper.map(|bound| compare(&self.columns, bound, "<", "<="));
        lower.into_iter().chain(upper)
    }
}

fn is_one_integer(source: &SourceTable) -> bool {
    let [index] = source.key[..] else { return false };
    source.columns.get(index).is_some_and(|column| matches!(column.ty, SourceType::Int { .. }))
}

/// The query that tries a condition of a person's own, and reads nothing.
pub fn trial(table: &TableName, condition: &str) -> String {
    format!("SELECT 1 FROM {} WHERE {} LIMIT 0", quoted(table), in_parentheses(condition))
}

/// A condition of a person's own in parentheses; the closing one on a line of its own, for a comment at the condition's end
/// must not take it away.
pub fn in_parentheses(condition: &str) -> String {
    format!("({condition}\n)")
}

fn conjunction(conditions: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = conditions.collect();
    if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) }
}

/// `columns` above or below `bound` in the order of the key. Written out column by column, with the first one's own
/// comparison in front: the optimizer makes a range of the primary key of that, and not of a comparison of rows.
pub fn compare(columns: &[String], bound: &[String], strict: &str, last: &str) -> String {
    let (Some((column, columns)), Some((value, bound))) = (columns.split_first(), bound.split_first()) else {
        return "TRUE".to_owned();
    };
    if columns.is_empty() {
        return format!("{column} {last} {value}");
    }
    let rest = compare(columns, bound, strict, last);
    format!("({column} {strict}= {value} AND ({column} {strict} {value} OR ({rest})))")
}

/// An expression whose value is a literal of the column's value; `None` when the type has none.
fn literal(name: &str, ty: &SourceType) -> Option<String> {
    let charset = |charset: &Charset| {
        let introducer = if *charset == Charset::Binary { String::new() } else { format!("_{charset} ") };
        format!("CONCAT('{introducer}X''', HEX({name}), '''')")
    };
    Some(match ty {
        SourceType::Int { .. } | SourceType::Decimal { .. } => format!("CAST({name} AS CHAR)"),
        SourceType::Year | SourceType::Bit { .. } => format!("CAST(CAST({name} AS UNSIGNED) AS CHAR)"),
        SourceType::Date
        | SourceType::Time { .. }
        | SourceType::DateTime { .. }
        | SourceType::Timestamp { .. }
        | SourceType::OldTime
        | SourceType::OldDateTime
        | SourceType::OldTimestamp => format!("CONCAT('''', CAST({name} AS CHAR), '''')"),
        SourceType::Char { charset: of, .. }
        | SourceType::VarChar { charset: of, .. }
        | SourceType::Blob { charset: of, .. } => charset(of),
        SourceType::Float
        | SourceType::Double
        | SourceType::Json
        | SourceType::JsonText
        | SourceType::Geometry
        | SourceType::Vector
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::Unsupported { .. } => return None,
    })
}

/// Why a literal of text is none.
fn no_text(literal: &str) -> Option<String> {
    let (charset, hex) = literal.strip_prefix('_')?.split_once(" X'")?;
    let (charset, hex) = (Charset::from_name(charset)?, hex.strip_suffix('\'')?);
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>()?;
    let bad = charset.decode(&bytes, Use::Value, &mut Vec::new()).err()?;
    Some(format!("bytes {hex} are no text in {charset}, from byte {} on: mend the row in MySQL", bad.at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::choices::Choices;
    use crate::schema::types::SourceColumn;

    fn cuts(types: &[SourceType]) -> Cuts {
        let columns = types.iter().enumerate().map(|(index, ty)| SourceColumn {
            name: format!("c{index}"),
            ty: ty.clone(),
            nullable: false,
        });
        let name = TableName { database: "d".to_owned(), table: "t`".to_owned() };
        let key = (0..types.len()).collect();
        Cuts::of(&SourceTable {
            name,
            columns: columns.collect(),
            key,
            allows_zero_dates: false,
            choices: Choices::default(),
        })
    }

    const INT: SourceType = SourceType::Int { bytes: 4, unsigned: false };

    fn bound(values: &[&str]) -> Option<Bound> {
        Some(values.iter().map(|&value| value.to_owned()).collect())
    }

    #[test]
    fn ranges_of_one_and_of_three_columns() {
        let one = cuts(&[INT]);
        let chunk = |lower, upper| Chunk { number: 0, lower, upper };
        assert_eq!(one.select("*", &chunk(None, None)), "SELECT * FROM `d`.`t```");
        assert_eq!(
            one.select("*", &chunk(bound(&["1"]), bound(&["9"]))),
            "SELECT * FROM `d`.`t``` WHERE `c0` > 1 AND `c0` <= 9"
        );
        let three = cuts(&[INT, INT, INT]);
        assert_eq!(
            three.select("*", &chunk(bound(&["1", "2", "3"]), None)),
            "SELECT * FROM `d`.`t``` WHERE (`c0` >= 1 AND (`c0` > 1 OR ((`c1` >= 2 AND (`c1` > 2 OR (`c2` > 3))))))"
        );
        assert!(three.select("*", &chunk(None, bound(&["1", "2", "3"]))).ends_with("(`c2` <= 3))))))"));
    }

    #[test]
    fn only_a_key_of_one_integer_is_estimated() {
        let year = cuts(&[SourceType::Year]);
        assert!(cuts(&[INT]).is_one_integer() && !cuts(&[INT, INT]).is_one_integer() && !year.is_one_integer());
        let query = cuts(&[INT]).estimate(bound(&["-1"]).as_ref(), &vec!["9".to_owned()]);
        assert!(query.ends_with("FROM `d`.`t``` WHERE `c0` > -1 AND `c0` <= 9"), "{query}");
    }

    #[test]
    fn a_condition_stands_by_itself() {
        let chunk = |upper| Chunk { number: 0, lower: None, upper };
        let some = cuts(&[INT]).only(Some("a = 1 OR b = 2 -- why"));
        assert!(some.select("*", &chunk(None)).ends_with(" WHERE (a = 1 OR b = 2 -- why\n)"));
        assert!(some.select("*", &chunk(bound(&["9"]))).ends_with(" WHERE `c0` <= 9 AND (a = 1 OR b = 2 -- why\n)"));
        assert!(!some.next_end(None, 10).contains("WHERE"), "chunks are cut by keys alone");
        let name = TableName { database: "d".to_owned(), table: "t".to_owned() };
        assert_eq!(trial(&name, "a"), "SELECT 1 FROM `d`.`t` WHERE (a\n) LIMIT 0");
    }

    #[test]
    fn ends_are_printed_by_the_server() {
        let text = SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 };
        let query = cuts(&[text, INT]).next_end(bound(&["_utf8mb4 X'41'", "7"]).as_ref(), 1000);
        assert!(query.starts_with("SELECT CONCAT('_utf8mb4 X''', HEX(`c0`), ''''), CAST(`c1`"));
        assert!(query.ends_with(" ORDER BY `c0`, `c1` LIMIT 1 OFFSET 999"), "{query}");
    }

    #[test]
    fn columns_without_literals_end_the_cut() {
        let label = SourceType::Enum { labels: vec!["a".to_owned()] };
        assert!(cuts(&[label.clone(), INT]).is_whole());
        let cuts = cuts(&[INT, label, INT]);
        assert_eq!(cuts.columns, ["`c0`"]);
    }
}
