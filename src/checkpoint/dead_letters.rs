//! Dead letters: the rows for which tables were set aside, in `dead_letters` of the state database.
//!
//! **What is kept.** The row that stopped its table (one of the binary log that cannot be carried over exactly, or one of
//! a table's copy), and of a batch that ClickHouse refused the first rows, from the one on that its error names. Not what
//! follows: rows that are passed over while a table is set aside are in MySQL, and `resync` brings them; keeping them
//! would be a second copy of the table. What an operator needs is the row to look at: where it is, which column and value,
//! what the whole row was.
//!
//! **When it is gone.** By the TTL of checkpoints. `resync` mends the table and leaves the letters: they tell what
//! happened, and when.
//!
//! **Why none is lost or told twice.** A letter is saved before the state of its table, and that before any checkpoint
//! above it; a process that is killed in between comes to the same row again and saves the same letter, whose key is the
//! row's place.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, of_state, ttl_clause};
use crate::clickhouse::{sql, tables};
use crate::error::Result;
use crate::rowbinary::{self, Body, ChunkPool};
use crate::schema::target::{InsertColumns, TargetColumn};
use crate::schema::types::TableName;
use crate::transcode::refused::RefusedRow;

const DEAD_LETTERS: &str = "dead_letters";

/// As they are written, with their types as the server prints them.
const COLUMNS: &[(&str, &str)] = &[
    ("pipeline", "String"),
    ("table", "String"),
    ("version", "UInt64"),
    ("row", "UInt32"),
    ("file", "String"),
    ("offset", "UInt64"),
    ("gtid", "String"),
    ("kind", "String"),
    ("column", "String"),
    ("reason", "String"),
    ("format", "String"),
    ("structure", "String"),
    ("before", "String"),
    ("after", "String"),
    ("bytes", "UInt64"),
    ("before_values", "Map(String, String)"),
    ("after_values", "Map(String, String)"),
];

/// A row that was set aside with its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// `database.table` of the source.
    pub table: String,
    /// Tells rows of one version apart.
    pub row: u32,
    /// Binlog file and byte offset of its event; of a row of a batch, of the row.
    pub place: (String, u64),
    /// GTID of its transaction; empty when there is none, or it is not known.
    pub gtid: String,
    /// The column that is to blame; empty when it is not one.
    pub column: String,
    /// Why.
    pub reason: String,
    /// What the bytes are: `binlog`, an image of a rows event, or `rowbinary`, the row as it was sent.
    pub format: &'static str,
    /// The target's columns.
    pub columns: Arc<InsertColumns>,
    /// The row itself.
    pub refused: RefusedRow,
}

/// A dead letter as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLetter {
    /// When it was set aside.
    pub created_at: String,
    /// `database.table` of the source.
    pub table: String,
    /// Binlog file.
    pub file: String,
    /// Byte offset.
    pub offset: u64,
    /// GTID of its transaction, or empty.
    pub gtid: String,
    /// The row's version, or that of its place.
    pub version: u64,
    /// `insert | update | delete | write | copy`.
    pub kind: String,
    /// The column that is to blame, or empty.
    pub column: String,
    /// Why.
    pub reason: String,
    /// `binlog` or `rowbinary`.
    pub format: String,
    /// The target's columns with their types.
    pub structure: String,
    /// Bytes of the images before they were cut.
    pub bytes: u64,
    /// The row before, in hexadecimal.
    pub before: String,
    /// The row after, in hexadecimal.
    pub after: String,
    /// Column and value, as far as they could be read.
    pub before_values: Vec<(String, String)>,
    /// Likewise.
    pub after_values: Vec<(String, String)>,
}

impl Store {
    pub(super) fn create_dead_letters(&self, ttl: Duration) -> Result<()> {
        let columns = COLUMNS.iter().map(|(name, ty)| format!("`{name}` {ty}")).collect::<Vec<_>>().join(", ");
        let definition = format!(
            "({columns}, `created_at` DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = ReplacingMergeTree \
             ORDER BY (`pipeline`, `table`, `version`, `format`, `row`) {}",
            ttl_clause(ttl)
        );
        self.create_table(DEAD_LETTERS, &definition)?;
        self.set_ttl(DEAD_LETTERS, ttl)
    }

    /// Saves dead letters. Saving the same again is harmless.
    ///
    /// # Errors
    /// As [`Client::insert`](crate::clickhouse::Client::insert).
    pub fn save_dead_letters(&self, letters: &[DeadLetter]) -> Result<()> {
        let column = |&(name, ty): &(&str, &str)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() };
        let columns = InsertColumns(COLUMNS.iter().map(column).collect());
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        for letter in letters {
            let mut row = Vec::new();
            self.write_letter(letter, &mut row);
            body.append_exactly(&mut pool, row.len(), |out| out.extend_from_slice(&row));
        }
        let query_id = format!("stream-bridge-state-{}", Uuid::new_v4());
        self.client.insert(&self.name(DEAD_LETTERS), &columns, &body, &query_id).map_err(of_state)
    }

    /// In the order of [`COLUMNS`].
    fn write_letter(&self, letter: &DeadLetter, out: &mut Vec<u8>) {
        let RefusedRow { kind, version, before, after } = &letter.refused;
        let text = |out: &mut Vec<u8>, text: &str| rowbinary::string(out, text.as_bytes());
        text(out, &self.pipeline);
        text(out, &letter.table);
        rowbinary::fixed(out, version.0.to_le_bytes());
        rowbinary::fixed(out, letter.row.to_le_bytes());
        text(out, &letter.place.0);
        rowbinary::fixed(out, letter.place.1.to_le_bytes());
        text(out, &letter.gtid);
        text(out, kind.name());
        text(out, &letter.column);
        text(out, &letter.reason);
        text(out, letter.format);
        text(out, &structure(&letter.columns));
        rowbinary::string(out, &before.bytes);
        rowbinary::string(out, &after.bytes);
        rowbinary::fixed(out, ((before.len + after.len) as u64).to_le_bytes());
        map(out, &before.values);
        map(out, &after.values);
    }

    /// The dead letters of these tables, or of all when none is named; in the order in which they were set aside.
    ///
    /// # Errors
    /// As [`Client::query`](crate::clickhouse::Client::query).
    pub fn load_dead_letters(&self, of: &[TableName]) -> Result<Vec<StoredLetter>> {
        if !tables::has_table(&self.client, &self.name(DEAD_LETTERS))? {
            return Ok(Vec::new());
        }
        let names = of.iter().map(|table| sql::text(&table.to_string())).collect::<Vec<_>>().join(", ");
        let of_tables = if of.is_empty() { String::new() } else { format!(" AND `table` IN ({names})") };
        let select = format!(
            "SELECT toString(`created_at`) AS `created_at`, `table`, `file`, `offset`, `gtid`, `version`, `kind`, `column`, \
             `reason`, `format`, `structure`, `bytes`, hex(`before`) AS `before`, hex(`after`) AS `after`, \
             arrayZip(mapKeys(`before_values`), mapValues(`before_values`)) AS `before_values`, \
             arrayZip(mapKeys(`after_values`), mapValues(`after_values`)) AS `after_values` \
             FROM {} AS letters FINAL WHERE `pipeline` = {}{} ORDER BY letters.`created_at`, `table`, `version`, `row`",
            self.quoted(DEAD_LETTERS),
            sql::text(&self.pipeline),
            of_tables,
        );
        self.client.rows(&select).map_err(of_state)
    }
}

impl StoredLetter {
    /// For a person: where it was, why, and what it was.
    pub fn text(&self) -> String {
        let place = if self.file.is_empty() { String::new() } else { format!(" {}:{}", self.file, self.offset) };
        let gtid = if self.gtid.is_empty() { String::new() } else { format!(" ({})", self.gtid) };
        let column = if self.column.is_empty() { String::new() } else { format!("column {}: ", self.column) };
        let head = format!("{} {} {}{place}{gtid}", self.created_at, self.table, self.kind);
        let row = |name: &str, bytes: &str, values: &[(String, String)]| {
            let told: Vec<String> = values.iter().map(|(column, value)| format!("{column} = {value}")).collect();
            match (bytes.is_empty(), told.is_empty()) {
                (true, _) => String::new(),
                (false, false) => format!("  {name:6}  {}\n", told.join(", ")),
                (false, true) => format!("  {name:6}  cannot be read: 0x{bytes}\n"),
            }
        };
        let before = row("before", &self.before, &self.before_values);
        let after = row("after", &self.after, &self.after_values);
        format!("{head}\n  {column}{}\n{before}{after}", self.reason)
    }
}

/// As ClickHouse takes it in `format()` and in CREATE TABLE.
fn structure(columns: &InsertColumns) -> String {
    let column = |column: &TargetColumn| format!("{} {}", sql::identifier(&column.name), column.ty);
    columns.0.iter().map(column).collect::<Vec<_>>().join(", ")
}

fn map(out: &mut Vec<u8>, values: &[(String, String)]) {
    rowbinary::leb128(out, values.len());
    for (column, value) in values {
        rowbinary::string(out, column.as_bytes());
        rowbinary::string(out, value.as_bytes());
    }
}
