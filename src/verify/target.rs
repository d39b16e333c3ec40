//! ClickHouse's side: what it shows of a part, what it holds besides, and the rows of repairs.

use uuid::Uuid;

use super::REPAIRS_MAX;
use super::compare::{Class, Finding, Keys};
use super::part::Part;
use super::reader::RowReader;
use super::table::Table;
use crate::clickhouse::tables::VERSION;
use crate::clickhouse::{Client, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::rowbinary::{self, Body, ChunkPool};
use crate::transcode::layout::Layout;

/// Repairs are inserted when they are so long.
const REPAIR_BYTES: usize = 8 << 20;

/// The rows of a part as FINAL shows them: key, row, version.
///
/// # Errors
/// When the server is away or refuses, and what `each` says.
pub fn shown(
    client: &Client,
    table: &Table,
    part: &Part,
    mut each: impl FnMut(&[u8], &[u8], u64) -> Result<()>,
) -> Result<()> {
    let query = format!(
        "SELECT {}, {VERSION} FROM {} FINAL WHERE {} FORMAT RowBinary",
        sql::identifiers(table.layout.columns.iter().map(|column| column.name.as_str())),
        sql::table(&table.target),
        table.cutting.target_condition(part)
    );
    let mut key = Vec::new();
    read(client, &query, &table.layout, |row, version| {
        table.layout.key_of(row, &mut key);
        each(&key, row, version)
    })
}

/// Every version above `version` that the table holds of a part's keys, shown or not, deleted or not.
///
/// # Errors
/// As [`shown`].
pub fn held(client: &Client, table: &Table, part: &Part, version: u64, mut each: impl FnMut(&[u8], u64)) -> Result<()> {
    let query = format!(
        "SELECT {}, {VERSION} FROM {} WHERE {VERSION} > {version} AND {} FORMAT RowBinary",
        key_columns(table),
        sql::table(&table.target),
        table.cutting.target_condition(part)
    );
    read_keys(client, table, &query, |key, version| {
        each(key, version);
        Ok(())
    })
}

/// The keys with the highest versions of all that the table holds, at most `limit`.
///
/// # Errors
/// As [`shown`].
pub fn highest(client: &Client, table: &Table, limit: usize) -> Result<Vec<(Vec<u8>, u64)>> {
    let query = format!(
        "SELECT {}, {VERSION} FROM {} ORDER BY {VERSION} DESC LIMIT {limit} FORMAT RowBinary",
        key_columns(table),
        sql::table(&table.target)
    );
    let mut found = Vec::new();
    read_keys(client, table, &query, |key, version| {
        found.push((key.to_vec(), version));
        Ok(())
    })?;
    Ok(found)
}

fn key_columns(table: &Table) -> String {
    sql::identifiers(table.key_layout.columns.iter().map(|column| column.name.as_str()))
}

fn read_keys(
    client: &Client,
    table: &Table,
    query: &str,
    mut each: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let mut key = Vec::new();
    read(client, query, &table.key_layout, |row, version| {
        table.key_layout.key_of(row, &mut key);
        each(&key, version)
    })
}

fn read(client: &Client, query: &str, layout: &Layout, mut each: impl FnMut(&[u8], u64) -> Result<()>) -> Result<()> {
    let mut rows = RowReader::new(client.stream(query)?, layout);
    while let Some((row, version)) = rows.next_row()? {
        each(row, version)?;
    }
    Ok(())
}

/// Rows that make ClickHouse as MySQL was at a version.
///
/// They get the versions behind it, the first that is above what is stored. Those are bytes of an event's header, so the
/// stream has no row there; whatever it brings later wins.
#[derive(Debug)]
pub struct Repair<'a> {
    client: &'a Client,
    table: &'a Table,
    version: u64,
    body: Body,
    pool: ChunkPool,
    /// What was repaired.
    pub keys: Keys,
}

impl<'a> Repair<'a> {
    /// Of rows that MySQL had at `version`.
    pub fn new(client: &'a Client, table: &'a Table, version: u64) -> Self {
        Self { client, table, version, body: Body::default(), pool: ChunkPool::default(), keys: Keys::default() }
    }

    /// Repairs a key.
    ///
    /// # Errors
    /// When it was repaired too often at one position, or the server is away or refuses.
    pub fn add(&mut self, finding: &Finding<'_>) -> Result<()> {
        let version = self.version.max(finding.version).saturating_add(1);
        if version > self.version.saturating_add(REPAIRS_MAX) {
            let text = format!(
                "{} was repaired {REPAIRS_MAX} times at one place of the binary log: write anything to MySQL, then try \
                 again",
                self.table.key_text(finding.key)
            );
            return Err(Error::new(ErrorKind::TargetRefused, text).at_table(&self.table.name));
        }
        let (row, is_deleted) = match finding.class {
            Class::Extra => (finding.target, true),
            Class::Differing | Class::Missing => (finding.source, false),
        };
        let row = row.unwrap_or_default();
        self.body.append_exactly(&mut self.pool, row.len() + 9, |out| {
            out.extend_from_slice(row);
            rowbinary::version_and_deleted(out, version, is_deleted);
        });
        self.keys.insert(finding.key.into());
        if self.body.bytes() >= REPAIR_BYTES { self.insert() } else { Ok(()) }
    }

    /// Inserts what is left.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn insert(&mut self) -> Result<()> {
        let body = std::mem::take(&mut self.body);
        if body.is_empty() {
            return Ok(());
        }
        self.client.insert(
            &self.table.target,
            &self.table.columns,
            &body,
            &format!("stream-bridge-repair-{}", Uuid::new_v4()),
        )?;
        self.pool.recycle(body);
        Ok(())
    }
}
