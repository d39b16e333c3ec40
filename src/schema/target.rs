//! A table of ClickHouse as rows are written to it, and its place being taken.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::rowbinary;
use crate::schema::catalog::SourceTable;
use crate::schema::effect::TargetChange;
use crate::schema::types::TableName;

/// A column of a target table, as `system.columns` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetColumn {
    /// Name.
    pub name: String,
    /// Type, exactly as the server prints it.
    pub ty: String,
}

/// A table of the target that was created or checked by us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTable {
    /// Its name.
    pub name: TableName,
    /// Its columns in table order, `_version` and `_is_deleted` included.
    pub columns: Vec<TargetColumn>,
}

/// The columns that each row of one plan carries, in order: `INSERT INTO table (these)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertColumns(pub Vec<TargetColumn>);

/// A shadow that is to take its target's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The shadow's UUID.
    pub id: Uuid,
    /// The name that it takes.
    pub target: TableName,
    /// The name that it has.
    pub shadow: TableName,
    /// No row of a lower version may come in from now on.
    pub floor: u64,
}

/// A schema change of a target, made once every row from before it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ddl {
    /// The target as it is from then on, or as it was when it goes.
    pub table: TargetTable,
    /// No row of a lower version may come in from then on.
    pub floor: u64,
    /// What is done.
    pub action: DdlAction,
    /// The source's statement and its place, for people.
    #[serde(default)]
    pub statement: String,
}

/// What is done to a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DdlAction {
    /// Its columns are changed.
    Alter(Vec<TargetChange>),
    /// Rows below the floor go.
    Truncate,
    /// It is made for this table of the source.
    Create(Box<SourceTable>),
    /// It gets another name, and stays under it if it is kept.
    Drop { keep: bool },
    /// It had this name before.
    Rename { from: TableName },
}

/// A change of a target's columns or rows that is not through all parts yet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mutation {
    /// Database of the target.
    pub database: String,
    /// Table of the target.
    pub table: String,
    /// The server's name of it.
    pub mutation_id: String,
    /// The clause of the ALTER.
    pub command: String,
    /// Parts that are still to be rewritten.
    pub parts_to_do: u64,
    /// Why it failed last; empty while it goes on.
    pub latest_fail_reason: String,
}

impl Ddl {
    /// The name of what is changed, before it is.
    pub fn subject(&self) -> &TableName {
        match &self.action {
            DdlAction::Rename { from } => from,
            DdlAction::Alter(_) | DdlAction::Truncate | DdlAction::Create(_) | DdlAction::Drop { .. } => {
                &self.table.name
            }
        }
    }
}

impl InsertColumns {
    /// What precedes the rows in `RowBinaryWithNamesAndTypes`: the number of columns, their names, their types.
    /// With it a column that was changed, dropped or renamed meanwhile refuses the whole insert.
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::new();
        rowbinary::leb128(&mut out, self.0.len());
        self.0.iter().for_each(|column| rowbinary::string(&mut out, column.name.as_bytes()));
        self.0.iter().for_each(|column| rowbinary::string(&mut out, column.ty.as_bytes()));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_all_columns_then_all_types() {
        let column = |name: &str, ty: &str| TargetColumn { name: name.to_owned(), ty: ty.to_owned() };
        let columns = InsertColumns(vec![column("id", "Int8"), column("é", "String")]);
        assert_eq!(columns.header(), b"\x02\x02id\x02\xc3\xa9\x04Int8\x06String");
    }
}
