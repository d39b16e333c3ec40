//! The source's tables as they are at the stream's position.

use crate::schema::types::{SourceColumn, TableName};

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order.
    pub columns: Vec<SourceColumn>,
    /// Indexes into `columns` of the PRIMARY KEY, in key order; empty without one.
    pub key: Vec<usize>,
    /// Whether the server's sql_mode lets zero and partial dates in.
    pub allows_zero_dates: bool,
}
