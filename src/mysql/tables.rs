//! The source's tables from `information_schema`, as they are now.
//!
//! Base tables only, never the system's own schemas. Four queries whatever the number of tables, and one for each table
//! that has no PRIMARY KEY but a UNIQUE one: only SHOW INDEX has keys in the server's own order, in which the first one
//! that will do stands in for the PRIMARY KEY, here as in what the binary log says of the key. Invisible columns
//! and a generated invisible primary key are in the binary log, so they are read too.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::mysql::connection::Row;
use crate::mysql::source::{Source, number, optional_text, quoted, text};
use crate::schema::catalog::{ColumnDefinition, Definition, KeyPart, SourceTable};
use crate::schema::charset::charset_of_collation;
use crate::schema::choices::Choices;
use crate::schema::column::ColumnType;
use crate::schema::types::TableName;

const IN_USER_SCHEMAS: &str = "TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')";

/// A table and what else is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTable {
    /// Columns and key, as DDL changes them.
    pub definition: Definition,
    /// The same, as rows and copies need it.
    pub table: SourceTable,
    /// Key columns of which the PRIMARY KEY holds a prefix only: two rows may then differ in the column's rest.
    pub prefix_key_columns: Vec<String>,
    /// Its foreign keys by which a change of another table changes or deletes rows here.
    pub cascading_keys: Vec<String>,
    /// Where its rows are.
    pub engine: String,
}

/// Whether a table is wanted, given all that there are.
pub type Wanted<'a> = &'a dyn Fn(&TableName, &BTreeSet<TableName>) -> bool;

/// All base tables that `wanted` takes, by name.
///
/// # Errors
/// When the server is away or refuses.
pub fn read(source: &mut Source, wanted: Wanted<'_>, allows_zero_dates: bool) -> Result<Vec<FoundTable>> {
    source.try_execute("SET SESSION show_gipk_in_create_table_and_information_schema=ON");
    let mut tables = read_tables(source, wanted)?;
    read_columns(source, &mut tables)?;
    read_keys(source, &mut tables)?;
    read_unique_keys(source, &mut tables)?;
    read_cascades(source, &mut tables)?;
    Ok(tables.into_values().map(|read| read.found(allows_zero_dates)).collect())
}

type Tables = BTreeMap<TableName, ReadTable>;

/// What has been read of a table.
struct ReadTable {
    definition: Definition,
    cascading_keys: Vec<String>,
    engine: String,
}

impl ReadTable {
    fn found(self, allows_zero_dates: bool) -> FoundTable {
        let Self { definition, cascading_keys, engine } = self;
        let prefixes = definition.key.iter().filter(|part| part.is_prefix);
        let prefix_key_columns = prefixes.map(|part| part.column.clone()).collect();
        let table = definition.source_table(allows_zero_dates, Choices::default());
        FoundTable { definition, table, prefix_key_columns, cascading_keys, engine }
    }
}

fn read_tables(source: &mut Source, wanted: Wanted<'_>) -> Result<Tables> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_COLLATION, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_TYPE = 'BASE TABLE' AND {IN_USER_SCHEMAS}"
    );
    let rows = source.rows("reading the tables", &query)?;
    let read = |row: &Row| {
        let (name, charset) = (table_name(row), charset_of_collation(&text(row, 2)));
        let definition = Definition { name: name.clone(), charset, ..Definition::default() };
        let engine = text(row, 3);
        (name, ReadTable { definition, cascading_keys: Vec::new(), engine })
    };
    let all: BTreeSet<TableName> = rows.iter().map(table_name).collect();
    Ok(rows.iter().filter(|row| wanted(&table_name(row), &all)).map(read).collect())
}

fn read_columns(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, NUMERIC_PRECISION, \
         NUMERIC_SCALE, DATETIME_PRECISION, CHARACTER_OCTET_LENGTH, CHARACTER_SET_NAME, GENERATION_EXPRESSION, EXTRA \
         FROM information_schema.COLUMNS WHERE {IN_USER_SCHEMAS} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    );
    for row in source.rows("reading the columns", &query)? {
        if let Some(found) = tables.get_mut(&table_name(&row)) {
            found.definition.columns.push(column(&row));
        }
    }
    Ok(())
}

fn column(row: &Row) -> ColumnDefinition {
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
    ColumnDefinition {
        name: text(row, 2),
        ty: ty.normalized(),
        nullable: text(row, 3) == "YES",
        is_generated: !text(row, 11).is_empty(),
        is_virtual: text(row, 12).contains("VIRTUAL GENERATED"),
        is_auto_increment: text(row, 12).contains("auto_increment"),
    }
}

fn read_keys(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE INDEX_NAME = 'PRIMARY' AND {IN_USER_SCHEMAS} ORDER BY TABLE_SCHEMA, TABLE_NAME, SEQ_IN_INDEX"
    );
    for row in source.rows("reading the primary keys", &query)? {
        let Some(found) = tables.get_mut(&table_name(&row)) else { continue };
        found.definition.key.push(KeyPart { column: text(&row, 2), is_prefix: optional_text(&row, 3).is_some() });
    }
    Ok(())
}

/// For tables without a PRIMARY KEY.
fn read_unique_keys(source: &mut Source, tables: &mut Tables) -> Result<()> {
    let query = format!(
        "SELECT DISTINCT TABLE_SCHEMA, TABLE_NAME FROM information_schema.STATISTICS \
         WHERE NON_UNIQUE = 0 AND {IN_USER_SCHEMAS}"
    );
    for row in source.rows("reading the unique keys", &query)? {
        let name = table_name(&row);
        let Some(found) = tables.get_mut(&name).filter(|found| found.definition.key.is_empty()) else { continue };
        let indexes = source.rows("reading the unique keys", &format!("SHOW INDEX FROM {}", quoted(&name)))?;
        if let Some(key) = standing_in(&found.definition, &indexes) {
            (found.definition.key, found.definition.key_is_unique) = (key, true);
        }
    }
    Ok(())
}

/// The first UNIQUE key, in the order of SHOW INDEX, of which all columns are whole, NOT NULL and stored.
fn standing_in(definition: &Definition, indexes: &[Row]) -> Option<Vec<KeyPart>> {
    let is_sound = |column: &ColumnDefinition| !column.nullable && !column.is_virtual;
    let has_sound = |name: &str| definition.columns.iter().any(|column| column.name == name && is_sound(column));
    // Table, Non_unique, Key_name, Seq_in_index, Column_name, Collation, Cardinality, Sub_part, ..
    let name = |row: &Row| text(row, 2);
    let keys = indexes.chunk_by(|one, next| name(one) == name(next));
    let mut unique = keys.filter(|key| key.iter().all(|row| number(row, 1) == 0));
    let will_do = |row: &Row| optional_text(row, 7).is_none() && has_sound(&text(row, 4));
    let key = unique.find(|key| key.iter().all(will_do))?;
    Some(key.iter().map(|row| KeyPart { column: text(row, 4), is_prefix: false }).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_unique_key_that_is_whole_and_not_null_stands_in() {
        let column = |(name, nullable): (&str, bool)| ColumnDefinition {
            name: name.to_owned(),
            nullable,
            is_virtual: name == "v",
            ..ColumnDefinition::default()
        };
        let columns = [("a", true), ("b", false), ("c", false), ("v", false)].map(column).to_vec();
        let definition = Definition { columns, ..Definition::default() };
        let row = |non_unique: &str, key: &str, column: Option<&str>, prefix: Option<&str>| -> Row {
            let text = |text: &str| Some(text.to_owned());
            vec![
                text("t"),
                text(non_unique),
                text(key),
                text("1"),
                column.map(str::to_owned),
                None,
                None,
                prefix.map(str::to_owned),
            ]
        };
        let found = |indexes: &[Row]| {
            let key = standing_in(&definition, indexes).unwrap_or_default();
            key.into_iter().map(|part| part.column).collect::<Vec<_>>().join(" ")
        };
        let wide = [row("0", "k", Some("c"), None), row("0", "k", Some("b"), None)];
        assert_eq!(found(&wide), "c b");
        for first in [
            row("1", "plain", Some("b"), None),
            row("0", "nullable", Some("a"), None),
            row("0", "prefix", Some("b"), Some("3")),
            row("0", "virtual", Some("v"), None),
            row("0", "expression", None, None),
        ] {
            assert_eq!(found(&[std::slice::from_ref(&first), &wide].concat()), "c b", "{first:?}");
            assert_eq!(found(&[first]), "");
        }
    }
}
