//! The source's tables from `information_schema`, as they are now.
//!
//! Base tables only, never the system's own schemas. Four queries whatever the number of tables. Invisible columns
//! and a generated invisible primary key are in the binary log, so they are read too.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::mysql::connection::Row;
use crate::mysql::source::{Source, optional_text, text};
use crate::schema::catalog::SourceTable;
use crate::schema::column::ColumnType;
use crate::schema::types::{SourceColumn, TableName};

const IN_USER_SCHEMAS: &str = "TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')";

/// A table and what else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// Columns and key.
    pub table: SourceTable,
    pub definition: crate::schema::catalog::Definition,
    /// Key columns of which the PRIMARY KEY holds a prefix only: two rows may then differ in the column's rest.
    pub prefix_key_columns: Vec<String>,
    /// Its foreign keys by which a change of another table changes or deletes rows here.
    pub cascading_keys: Vec<String>,
}

/// All base tables that `wanted` takes, by name.
///
/// # Errors
/// When the server is away or refuses.
pub fn read(
    source: &mut Source,
    wanted: &dyn Fn(&TableName) -> bool,
    allows_zero_dates: bool,
) -> Result<Vec<FoundTable>> {
    source.try_execute("SET SESSION show_gipk_in_create_table_and_information_schema=ON");
    let mut tables = read_tables(source, wanted, allows_zero_dates)?;
    read_columns(source, &mut tables)?;
    read_keys(source, &mut tables)?;
    read_cascades(source, &mut tables)?;
    Ok(tables.into_values().collect())
}

type Tables = BTreeMap<TableName, FoundTable>;

fn read_tables(source: &mut Source, wanted: &dyn Fn(&TableName) -> bool, allows_zero_dates: bool) -> Result<Tables> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE TABLE_TYPE = 'BASE TABLE' AND {IN_USER_SCHEMAS}"
    );
    let rows = source.rows("reading the tables", &query)?;
    let found = |name: TableName| {
        let table = SourceTable { name: name.clone(), columns: Vec::new(), key: Vec::new(), allows_zero_dates };
        (
            name,
            FoundTable {
                table,
                definition: Default::default(),
                prefix_key_columns: Vec::new(),
                cascading_keys: Vec::new(),
            },
        )
    };
    Ok(rows.iter().map(table_name).filter(wanted).map(found).collect())
}

fn read_columns(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, \
         NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_OCTET_LENGTH, CHARACTER_SET_NAME \
         FROM information_schema.COLUMNS WHERE {IN_USER_SCHEMAS} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    );
    for row in source.rows("reading the columns", &query)? {
        if let Some(found) = tables.get_mut(&table_name(&row)) {
            found.table.columns.push(column(&row));
        }
    }
    Ok(())
}

fn column(row: &Row) -> SourceColumn {
    let optional = |column| optional_text(row, column).and_then(|value| value.parse().ok());
    let ty = ColumnType {
        data_type: text(row, 4),
        column_type: text(row, 5),
        precision: optional(6),
        scale: optional(7),
        fsp: optional(8),
        octets: optional(9),
        charset: optional_text(row, 10),
    };
    SourceColumn { name: text(row, 2), ty: ty.source_type(), nullable: text(row, 3) == "YES" }
}

fn read_keys(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE INDEX_NAME = 'PRIMARY' AND {IN_USER_SCHEMAS} ORDER BY TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX"
    );
    for row in source.rows("reading the primary keys", &query)? {
        let Some(found) = tables.get_mut(&table_name(&row)) else { continue };
        let name = text(&row, 2);
        found.table.key.extend(found.table.columns.iter().position(|column| column.name == name));
        if optional_text(&row, 3).is_some() {
            found.prefix_key_columns.push(name);
        }
    }
    Ok(())
}

fn read_cascades(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS \
                 WHERE DELETE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') \
                 OR UPDATE_RULE IN ('CASCADE', 'SET NULL', 'SET DEFAULT') ORDER BY 1, 2, 3";
    for row in source.rows("reading the foreign keys", query)? {
        if let Some(found) = tables.get_mut(&table_name(&row)) {
            found.cascading_keys.push(text(&row, 2));
        }
    }
    Ok(())
}

fn table_name(row: &Row) -> TableName {
    TableName { database: text(row, 0), table: text(row, 1) }
}
