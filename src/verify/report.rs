//! What a verification found, for people and as JSON.

use std::fmt::Write;

use serde::Serialize;

use super::compare::{Class, Finding};
use super::table::Table;

/// Keys that are told one by one, for each table.
const KEYS_MAX: usize = 10;

/// What was found in one table.
#[derive(Debug, Default, Serialize)]
pub struct TableReport {
    /// `database.table` of the source.
    pub name: String,
    /// Why it was not compared, or not to its end; empty when it was.
    pub not_compared: String,
    /// Keys that were compared.
    pub rows: u64,
    /// Whether only a part of the rows was to be compared.
    pub is_sample: bool,
    /// Keys whose values differ.
    pub differing: u64,
    /// Keys that ClickHouse lacks.
    pub missing: u64,
    /// Keys that MySQL lacks.
    pub extra: u64,
    /// Keys that changed each time they were looked at.
    pub undecided: u64,
    /// Keys with a version that the source has not come to: they would hide later changes.
    pub from_future: u64,
    /// Differences that were mended.
    pub repaired: u64,
    /// Of these, those that were found again.
    pub not_held: u64,
    /// The first keys that are not equal.
    pub keys: Vec<KeyReport>,
}

/// A key that is not equal.
#[derive(Debug, Serialize)]
pub struct KeyReport {
    /// `differing | missing | extra | undecided | from_future`.
    pub class: &'static str,
    /// The key in words.
    pub key: String,
    /// Columns that differ.
    pub columns: Vec<ColumnReport>,
}

/// A column that differs.
#[derive(Debug, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// MySQL's value.
    pub mysql: String,
    /// ClickHouse's value.
    pub clickhouse: String,
}

impl TableReport {
    /// Of a table of which nothing is known yet.
    pub fn new(name: String, is_sample: bool) -> Self {
        Self { name, is_sample, ..Self::default() }
    }

    /// Whether all that was looked at is equal, now that it was repaired if it was to be.
    pub fn is_equal(&self) -> bool {
        let found = self.differing + self.missing + self.extra;
        let is_whole = self.not_compared.is_empty() && self.undecided == 0 && self.from_future == 0;
        is_whole && found == self.repaired && self.not_held == 0
    }

    /// Counts a difference.
    pub fn add(&mut self, table: &Table, finding: &Finding<'_>) {
        let (class, count) = match finding.class {
            Class::Differing => ("differing", &mut self.differing),
            Class::Missing => ("missing", &mut self.missing),
            Class::Extra => ("extra", &mut self.extra),
        };
        *count += 1;
        let columns = || match (finding.source, finding.target) {
            (Some(source), Some(target)) => table.layout.differences(source, target),
            _ => Vec::new(),
        };
        self.tell(class, table, finding.key, columns);
    }

    /// Counts a row of a table without a key, of which ClickHouse lacks so many; less than none: has too many.
    pub fn add_row(&mut self, text: &str, lacking: i64) {
        let (class, count) = if lacking > 0 { ("missing", &mut self.missing) } else { ("extra", &mut self.extra) };
        *count += lacking.unsigned_abs();
        if self.keys.len() < KEYS_MAX {
            self.keys.push(KeyReport { class, key: text.to_owned(), columns: Vec::new() });
        }
    }

    /// Counts a key that changed each time.
    pub fn add_undecided(&mut self, table: &Table, key: &[u8]) {
        self.undecided += 1;
        self.tell("undecided", table, key, Vec::new);
    }

    /// Counts a key from the future.
    pub fn add_from_future(&mut self, table: &Table, key: &[u8]) {
        self.from_future += 1;
        self.tell("from_future", table, key, Vec::new);
    }

    fn tell(
        &mut self,
        class: &'static str,
        table: &Table,
        key: &[u8],
        columns: impl FnOnce() -> Vec<(String, String, String)>,
    ) {
        if self.keys.len() < KEYS_MAX {
            let columns = columns().into_iter();
            let columns = columns.map(|(name, mysql, clickhouse)| ColumnReport { name, mysql, clickhouse }).collect();
            self.keys.push(KeyReport { class, key: table.key_text(key), columns });
        }
    }

    /// For a person: a line, and one for each key that is told.
    pub fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name, self.summary());
        for key in &self.keys {
            let columns = key.columns.iter().map(|column| {
                format!("{} is {} in MySQL, {} in ClickHouse", column.name, column.mysql, column.clickhouse)
            });
            let columns = columns.collect::<Vec<_>>().join("; ");
            let line = format!("  {:11} {}: {columns}", key.class, key.key);
            text.push_str(line.trim_end_matches([':', ' ']));
            text.push('\n');
        }
        text
    }

    fn summary(&self) -> String {
        if !self.not_compared.is_empty() {
            return format!("NOT COMPARED: {}", self.not_compared);
        }
        let sample = if self.is_sample { " of a sample" } else { "" };
        let found = self.differing + self.missing + self.extra;
        if found + self.undecided + self.from_future == 0 {
            return format!("equal ({} rows{sample})", self.rows);
        }
        let counts = [
            (self.differing, "differing"),
            (self.missing, "missing in ClickHouse"),
            (self.extra, "extra in ClickHouse"),
            (self.undecided, "undecided: they changed each time they were looked at"),
            (self.from_future, "with a version from the future, which would hide later changes: `resync` the table"),
            (self.repaired, "repaired"),
            (self.not_held, "repaired in vain"),
        ];
        let mut text =
            format!("{} ({} rows{sample})", if self.is_equal() { "equal now" } else { "NOT EQUAL" }, self.rows);
        for (count, what) in counts.iter().filter(|(count, _)| *count > 0) {
            let Ok(()) = write!(text, "; {count} {what}") else { return text };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_equal_when_nothing_is_left() {
        let report = |change: fn(&mut TableReport)| {
            let mut report = TableReport::new("shop.orders".to_owned(), false);
            report.rows = 7;
            change(&mut report);
            (report.is_equal(), report.text())
        };
        assert_eq!(report(|_| {}), (true, "shop.orders: equal (7 rows)\n".to_owned()));
        let (is_equal, text) = report(|report| (report.missing, report.repaired) = (2, 2));
        assert!(is_equal && text.contains("equal now (7 rows); 2 missing in ClickHouse; 2 repaired"), "{text}");
        for change in [
            (|report| report.extra = 1) as fn(&mut TableReport),
            |report| report.undecided = 1,
            |report| report.from_future = 1,
            |report| report.not_compared = "quarantined".to_owned(),
            |report| (report.differing, report.repaired, report.not_held) = (1, 1, 1),
        ] {
            let (is_equal, text) = report(change);
            assert!(!is_equal && text.contains("NOT "), "{text}");
        }
    }

    #[test]
    fn keys_are_told_with_their_values() {
        let column = ColumnReport { name: "price".to_owned(), mysql: "1.50".to_owned(), clickhouse: "1.05".to_owned() };
        let keys = vec![
            KeyReport { class: "differing", key: "id = 7".to_owned(), columns: vec![column] },
            KeyReport { class: "missing", key: "id = 8".to_owned(), columns: Vec::new() },
        ];
        let report =
            TableReport { name: "shop.t".to_owned(), differing: 1, missing: 1, keys, ..TableReport::default() };
        let expected = "  differing   id = 7: price is 1.50 in MySQL, 1.05 in ClickHouse\n  missing     id = 8\n";
        assert!(report.text().ends_with(expected), "{}", report.text());
    }
}
