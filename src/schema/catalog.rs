//! The source's tables as they are at the stream's position.
//!
//! A [`Definition`] is what DDL changes: it says of each column what `information_schema` would say at that position, so
//! that both can be compared. A [`SourceTable`] is what rows and copies need of it.

use serde::{Deserialize, Serialize};

use crate::position::Version;
use crate::schema::choices::Choices;
use crate::schema::column::ColumnType;
use crate::schema::types::{SourceColumn, TableName};

/// A table of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order.
    pub columns: Vec<SourceColumn>,
    /// Indexes into `columns` of the key that tells rows apart, in key order; empty without one.
    pub key: Vec<usize>,
    /// Whether the server's sql_mode lets zero and partial dates in.
    pub allows_zero_dates: bool,
    /// What the user says of its columns.
    #[serde(default)]
    pub choices: Choices,
}

/// A table's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order, invisible ones included.
    pub columns: Vec<ColumnDefinition>,
    /// The columns, in key order, of the PRIMARY KEY, or of the UNIQUE key that stands in for it; empty without either.
    pub key: Vec<KeyPart>,
    /// Whether `key` is a UNIQUE key: the table has no PRIMARY KEY, and this is the first one of which all columns are NOT
    /// NULL and count as a whole. The server takes the same one for what it logs of the key.
    #[serde(default)]
    pub key_is_unique: bool,
    /// The character set of columns that name none.
    pub charset: String,
}

/// What is known of a table's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The version from which on it is so: what lies below is contained in it.
    pub since: Version,
    /// The definition.
    pub definition: Definition,
}

/// A column's definition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether its values are computed by an expression.
    pub is_generated: bool,
    /// Whether they are computed whenever a row is read, by the session that reads it.
    #[serde(default)]
    pub is_virtual: bool,
    /// Whether the server numbers rows by it.
    #[serde(default)]
    pub is_auto_increment: bool,
}

/// A column of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Name of the column, written as in the table.
    pub column: String,
    /// Whether only a prefix of it counts.
    pub is_prefix: bool,
}

impl Definition {
    /// Whether it has a PRIMARY KEY.
    pub fn has_primary_key(&self) -> bool {
        !self.key.is_empty() && !self.key_is_unique
    }

    /// What rows and copies need of it.
    pub fn source_table(&self, allows_zero_dates: bool, choices: Choices) -> SourceTable {
        let column = |column: &ColumnDefinition| SourceColumn {
            name: column.name.clone(),
            ty: column.ty.source_type(),
            nullable: column.nullable,
        };
        let position = |part: &KeyPart| self.columns.iter().position(|column| column.name == part.column);
        SourceTable {
            name: self.name.clone(),
            columns: self.columns.iter().map(column).collect(),
            key: self.key.iter().filter_map(position).collect(),
            allows_zero_dates,
            choices,
        }
    }
}
