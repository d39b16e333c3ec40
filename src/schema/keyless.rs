//! Tables without a key: what their target is, and why it is right.
//!
//! MySQL tells the rows of such a table apart by nothing, so the table is a *multiset*: rows, and how often each is there.
//! `ReplacingMergeTree` by a key cannot hold that. Its target is therefore a **log of changes**: the source's columns, then
//! `_version`, `_is_deleted` and `_n`, as `ReplacingMergeTree(_version) ORDER BY (_version, _n)`. Every row image of the
//! stream is a row of its own: an INSERT one with `_is_deleted` 0, a DELETE one with 1, an UPDATE both. `_sign` reads 1 or
//! -1. The view `NAME__rows` has the rows that are there, each once, with `_multiplicity`: the sum of signs by all columns.
//! Rows are equal when their stored bytes are (MySQL's own collations do not count: a multiset loses nothing by telling
//! more apart), and nothing is hashed, so nothing collides.
//!
//! **Each change counts exactly once.** A version is the place of the image in the binary log (I2), and each image has its
//! own, so `(_version, _n)` is unique and the same whenever the image is read again; `FINAL` keeps one of what was sent
//! twice. Sums do not depend on order, so batches may land in any. Only where images have no place of their own could two
//! share a version: an XA transaction (all of it lies where its COMMIT does). Such a table is copied anew then; and
//! a compressed transaction of more images than bytes sets it aside, as any other table.
//!
//! **A copy is exact as of its V.** For a table with a key a copy may see more than V: later events win. A sum has no
//! winners, so a row that both the SELECT and an event tell of would count twice. So the SELECT reads one snapshot, taken
//! while `LOCK TABLES .. READ` keeps writers of this one table out, and V is the end of the binary log under that lock: a
//! transaction that changed the table holds its metadata lock until it is committed in log and engine. So what it sees of
//! this table is what lies below V, to the row. The lock is given back once the SELECT has begun. Copied rows have the
//! version V, which no image has (an event's header lies there), and `_n` from 1 on, a running number: `(V, _n)` is unique.
//!
//! **What lies below V is taken away**, by version, before the copy takes its target's place: the stream's rows that went
//! to the shadow meanwhile, those of a group that was rolled back or of a source that came back as another. The floor keeps
//! late ones out, and the router passes over what comes again from below it. TRUNCATE deletes below its floor likewise.
//!
//! **A copy that broke off begins anew**, in a new shadow: without a key there are no ranges to go on from, so a restart, a
//! lost connection and a schema change all do the same. So does every change of position that versions do not survive
//! (another server, a purged log, lost events): all tables are copied anew then.
//!
//! A schema change that is exact for every value is carried out in place: equal rows stay equal. The view is made anew.
//!
//! The log grows with every change; `resync` writes it down to the rows that are there.

use crate::schema::target::TargetColumn;
use crate::schema::types::{SourceColumn, SourceType, TableName};

/// Name of the column that numbers the rows of one version: a copy's.
pub const ROW_NUMBER: &str = "_n";
/// Name of the column that reads 1 of a row that came and -1 of one that went.
pub const SIGN: &str = "_sign";
/// Name of the view's column that says how often a row is there.
pub const MULTIPLICITY: &str = "_multiplicity";
/// What its name has more than that of its table.
const VIEW_SUFFIX: &str = "__rows";
/// The names that only the target of a table without a key needs.
pub const NAMES: [&str; 3] = [ROW_NUMBER, SIGN, MULTIPLICITY];
/// The key of its target.
pub const LOG_KEY: [&str; 2] = ["_version", ROW_NUMBER];

/// Whether the columns of a target are those of a log of changes, for a table of these columns and this key.
pub fn is_log(columns: &[SourceColumn], key: &[usize], target: &[TargetColumn]) -> bool {
    let is_own = !columns.iter().any(|column| column.name == ROW_NUMBER);
    key.is_empty() && is_own && target.iter().any(|column| column.name == ROW_NUMBER)
}

/// The column that a copy has besides those of the source.
pub fn row_number() -> SourceColumn {
    SourceColumn { name: ROW_NUMBER.to_owned(), ty: SourceType::Int { bytes: 8, unsigned: true }, nullable: false }
}

/// The view of the rows that are there.
pub fn view_name(target: &TableName) -> TableName {
    TableName { database: target.database.clone(), table: format!("{}{VIEW_SUFFIX}", target.table) }
}

/// The table whose rows a view of this name would show.
pub fn viewed_name(view: &TableName) -> Option<TableName> {
    let table = view.table.strip_suffix(VIEW_SUFFIX)?;
    Some(TableName { database: view.database.clone(), table: table.to_owned() })
}
