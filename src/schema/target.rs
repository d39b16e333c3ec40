//! A table of ClickHouse as rows are written to it.

use crate::schema::types::TableName;

/// A column of a target table, as `system.columns` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetColumn {
    /// Name.
    pub name: String,
    /// Type, exactly as the server prints it.
    pub ty: String,
}

/// A table of the target that was created or checked by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order, `_version` and `_is_deleted` included.
    pub columns: Vec<TargetColumn>,
}

/// Where and how the rows of one plan are inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertTarget {
    /// The target table.
    pub table: TableName,
    /// The columns that each row carries, in order: `INSERT INTO table (these)`.
    pub columns: Vec<TargetColumn>,
}
