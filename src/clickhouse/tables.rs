//! Tables of the target: the DDL that creates them, and what the server says of them.
//!
//! A table holds the source's columns in order, then `_version` and `_is_deleted`; of a table without a key it is a log
//! of changes ([`crate::schema::keyless`]). After creating one it is read back:
//! inserts must name types exactly as `system.columns` prints them, which need not be how we wrote them.
//! Statements that may be left to an administrator (`CREATE DATABASE`) are sent only when something is missing, since
//! `IF NOT EXISTS` asks for the privilege all the same.

use serde::Deserialize;
use uuid::Uuid;

use crate::clickhouse::Client;
use crate::clickhouse::{keyless as log_of, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::SourceTable;
use crate::schema::keyless;
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target::{TargetColumn, TargetTable};
use crate::schema::types::TableName;

/// Name of the column that orders the rows of one key.
pub const VERSION: &str = "_version";
/// Name of the column that marks a deleted row.
pub const IS_DELETED: &str = "_is_deleted";

/// A table that is there, with what decides whether it can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingTable {
    /// Name and columns.
    pub table: TargetTable,
    /// `DEFAULT`, `MATERIALIZED`, `ALIAS`, `EPHEMERAL` or empty, for each column.
    pub default_kinds: Vec<String>,
    /// Engine with its arguments and clauses.
    pub engine_full: String,
    /// The ORDER BY expression without parentheses.
    pub sorting_key: String,
    /// The PARTITION BY expression, empty without one.
    pub partition_key: String,
    /// The server's time zone, which columns without one are shown in.
    pub time_zone: String,
}

/// The columns of the target of `source`: its own, then `_version` and `_is_deleted`; without a key `_n`, too.
///
/// # Errors
/// A column that has no target type, or the name of one of ours.
pub fn target_columns(source: &SourceTable, features: TargetFeatures) -> Result<Vec<TargetColumn>> {
    let mut columns = Vec::with_capacity(source.columns.len() + 2);
    for (index, column) in source.columns.iter().enumerate() {
        if is_reserved(source, &column.name) {
            let text = format!("the name {} is taken by Stream Bridge: rename the column", column.name);
            return Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name).at_table(&source.name));
        }
        let (is_key, choice) = (source.key.contains(&index), source.choices.of(&column.name));
        let ty = mapping::chosen_type(column, is_key, source.allows_zero_dates, features, choice)
            .map_err(|error| error.at_table(&source.name))?;
        columns.push(TargetColumn { name: column.name.clone(), ty });
    }
    let own = if source.key.is_empty() { 3 } else { 2 };
    columns.extend(log_of::own_columns().into_iter().take(own));
    Ok(columns)
}

/// Whether a column of `source` may not have this name, since the target has a column of its own by it.
pub fn is_reserved(source: &SourceTable, name: &str) -> bool {
    let is_log = source.key.is_empty();
    [VERSION, IS_DELETED].contains(&name) || (is_log && keyless::NAMES.contains(&name))
}

/// Names of the columns that the target is sorted by: the key's, in key order, or those of a log of changes.
pub fn key_names(source: &SourceTable) -> Vec<&str> {
    if source.key.is_empty() {
        return keyless::LOG_KEY.to_vec();
    }
    source.key.iter().filter_map(|&index| source.columns.get(index)).map(|column| column.name.as_str()).collect()
}

/// The statement that creates the target of `source`, with this UUID if one is given.
///
/// # Errors
/// As [`target_columns`].
pub fn create_table_sql(
    source: &SourceTable,
    target: &TableName,
    id: Option<Uuid>,
    features: TargetFeatures,
) -> Result<String> {
    let columns = target_columns(source, features)?;
    let columns = columns.iter().map(|column| format!("    {} {}", sql::identifier(&column.name), column.ty));
    let (engine, sign) = if source.key.is_empty() {
        (log_of::LOG_ENGINE.to_owned(), Some(format!("    {}", log_of::sign_column())))
    } else {
        (format!("ReplacingMergeTree({VERSION}, {IS_DELETED})"), None)
    };
    let id = id.map_or(String::new(), |id| format!(" UUID '{id}'"));
    Ok(format!(
        "CREATE TABLE IF NOT EXISTS {}{id} (\n{}\n)\nENGINE = {engine}\nORDER BY ({})",
        sql::table(target),
        columns.chain(sign).collect::<Vec<_>>().join(",\n"),
        sql::identifiers(key_names(source)),
    ))
}

/// Whether a database is there.
///
/// # Errors
/// As [`Client::query`].
pub fn has_database(client: &Client, database: &str) -> Result<bool> {
    let select = format!("SELECT count() FROM system.databases WHERE name = {}", sql::text(database));
    Ok(number(client, &select)? > 0)
}

/// Whether a table is there.
///
/// # Errors
/// As [`Client::query`].
pub fn has_table(client: &Client, name: &TableName) -> Result<bool> {
    let (database, table) = (sql::text(&name.database), sql::text(&name.table));
    let select = format!("SELECT count() FROM system.tables WHERE database = {database} AND name = {table}");
    Ok(number(client, &select)? > 0)
}

/// The statement that creates a database; None when it is there.
///
/// # Errors
/// As [`Client::query`].
pub fn create_database_sql(client: &Client, database: &str) -> Result<Option<String>> {
    let is_there = has_database(client, database)?;
    Ok((!is_there).then(|| format!("CREATE DATABASE IF NOT EXISTS {}", sql::identifier(database))))
}

/// Creates a database unless it is there.
///
/// # Errors
/// As [`Client::query`].
pub fn create_database(client: &Client, database: &str) -> Result<()> {
    create_database_sql(client, database)?.map_or(Ok(()), |statement| client.query(&statement).map(drop))
}

/// The statements that create the target of `source`, with this UUID if one is given, and its database. The view of a
/// table without a key comes after it ([`view_statement`]).
///
/// # Errors
/// As [`create_table_sql`] and [`Client::query`].
pub fn create_statements(
    client: &Client,
    source: &SourceTable,
    target: &TableName,
    id: Option<Uuid>,
) -> Result<Vec<String>> {
    let statement = create_table_sql(source, target, id, client.target_features())?;
    Ok(create_database_sql(client, &target.database)?.into_iter().chain([statement]).collect())
}

/// The statement that makes the view of a table without a key; None of a table with one.
///
/// # Errors
/// As [`target_columns`].
pub fn view_statement(source: &SourceTable, target: &TableName, features: TargetFeatures) -> Result<Option<String>> {
    let columns = target_columns(source, features)?;
    Ok(source.key.is_empty().then(|| log_of::view_sql(target, &columns)))
}

/// Creates the target of `source` and its database, and reads it back; with this UUID if one is given.
///
/// # Errors
/// As [`create_table_sql`] and [`Client::query`].
pub fn create_table(
    client: &Client,
    source: &SourceTable,
    target: &TableName,
    id: Option<Uuid>,
) -> Result<TargetTable> {
    if id.is_none() {
        log_of::check_names(client, !source.key.is_empty(), target)?;
    }
    for statement in create_statements(client, source, target, id)? {
        client.query(&statement).map_err(|error| error.at_table(target))?;
    }
    // A shadow needs none: its target's view will read it.
    if source.key.is_empty() && id.is_none() {
        log_of::follow(client, target, None)?;
    }
    created(client, target)
}

/// A table that was just created, as the server has it.
///
/// # Errors
/// As [`Client::query`].
pub fn created(client: &Client, target: &TableName) -> Result<TargetTable> {
    let existing = existing_table(client, target)?;
    existing.map(|existing| existing.table).ok_or_else(|| {
        Error::new(ErrorKind::TargetBusy, "the table was created but is not in system.tables yet").at_table(target)
    })
}

/// The table of this name, or None.
///
/// # Errors
/// As [`Client::query`].
pub fn existing_table(client: &Client, name: &TableName) -> Result<Option<ExistingTable>> {
    #[derive(Deserialize)]
    struct Table {
        engine_full: String,
        sorting_key: String,
        partition_key: String,
        time_zone: String,
    }
    // A view has no more than the name of its engine.
    let select = format!(
        "SELECT if(engine_full = '', engine, engine_full) AS engine_full, sorting_key, partition_key, \
         timezone() AS time_zone FROM system.tables WHERE database = {} AND name = {}",
        sql::text(&name.database),
        sql::text(&name.table)
    );
    let Some(found) = client.rows::<Table>(&select)?.pop() else { return Ok(None) };
    let (columns, default_kinds) = columns(client, name)?.into_iter().unzip();
    Ok(Some(ExistingTable {
        table: TargetTable { name: name.clone(), columns },
        default_kinds,
        engine_full: found.engine_full,
        sorting_key: found.sorting_key,
        partition_key: found.partition_key,
        time_zone: found.time_zone,
    }))
}

/// Columns in table order, each with its `default_kind`.
fn columns(client: &Client, name: &TableName) -> Result<Vec<(TargetColumn, String)>> {
    #[derive(Deserialize)]
    struct Column {
        name: String,
        r#type: String,
        default_kind: String,
    }
    let select = format!(
        "SELECT name, type, default_kind FROM system.columns WHERE database = {} AND table = {} ORDER BY position",
        sql::text(&name.database),
        sql::text(&name.table)
    );
    let rows = client.rows::<Column>(&select)?.into_iter();
    Ok(rows.map(|row| (TargetColumn { name: row.name, ty: row.r#type }, row.default_kind)).collect())
}

/// Whether the table has any row, deleted ones included.
///
/// # Errors
/// As [`Client::query`].
pub fn has_rows(client: &Client, name: &TableName) -> Result<bool> {
    let text = client.ask(&format!("SELECT 1 FROM {} LIMIT 1", sql::table(name)));
    text.map(|text| !text.is_empty()).map_err(|error| error.at_table(name))
}

/// The highest `_version` in the table; 0 when it is empty.
///
/// # Errors
/// As [`Client::query`].
pub fn max_version(client: &Client, name: &TableName) -> Result<u64> {
    let select = format!("SELECT max({VERSION}) FROM {}", sql::table(name));
    number(client, &select).map_err(|error| error.at_table(name))
}

/// Active parts in each table's fullest partition: the server slows and refuses inserts by that number.
///
/// # Errors
/// As [`Client::query`].
pub fn active_parts(client: &Client) -> Result<Vec<(TableName, u64)>> {
    #[derive(Deserialize)]
    struct Parts {
        database: String,
        table: String,
        parts: u64,
    }
    let rows = client.rows::<Parts>(
        "SELECT database, table, max(parts) AS parts FROM \
         (SELECT database, table, count() AS parts FROM system.parts WHERE active GROUP BY database, table, partition_id) \
         GROUP BY database, table",
    )?;
    Ok(rows.into_iter().map(|row| (TableName { database: row.database, table: row.table }, row.parts)).collect())
}

/// The number that a SELECT answers.
///
/// # Errors
/// As [`Client::query`]; an answer that is none.
pub fn number(client: &Client, select: &str) -> Result<u64> {
    let text = client.ask(select)?;
    text.trim().parse().map_err(|_| {
        Error::new(ErrorKind::TargetDenied, format!("ClickHouse answered {select:?} with {:?}", text.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::choices::Choices;
    use crate::schema::types::{SourceColumn, SourceType};

    fn source(key: Vec<usize>, names: &[&str]) -> SourceTable {
        let ty = SourceType::Int { bytes: 4, unsigned: false };
        let column = |name: &&str| SourceColumn { name: (*name).to_owned(), ty: ty.clone(), nullable: false };
        SourceTable {
            name: TableName { database: "shop".to_owned(), table: "orders".to_owned() },
            columns: names.iter().map(column).collect(),
            key,
            allows_zero_dates: false,
            choices: Choices::default(),
        }
    }

    #[test]
    fn the_ddl_quotes_every_name() {
        let target = TableName { database: "d`".to_owned(), table: "t\\".to_owned() };
        let statement =
            create_table_sql(&source(vec![1, 0], &["id", "a`b"]), &target, None, TargetFeatures { time64: true });
        assert_eq!(
            statement.unwrap(),
            "CREATE TABLE IF NOT EXISTS `d\\``.`t\\\\` (\n    `id` Int32,\n    `a\\`b` Int32,\n    `_version` UInt64,\n    \
             `_is_deleted` UInt8\n)\nENGINE = ReplacingMergeTree(_version, _is_deleted)\nORDER BY (`a\\`b`, `id`)"
        );
    }

    #[test]
    fn a_table_without_a_key_is_a_log_of_changes() {
        let target = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let statement = create_table_sql(&source(vec![], &["id"]), &target, None, TargetFeatures { time64: true });
        assert_eq!(
            statement.unwrap(),
            "CREATE TABLE IF NOT EXISTS `d`.`t` (\n    `id` Int32,\n    `_version` UInt64,\n    `_is_deleted` UInt8,\n    \
             `_n` UInt64,\n    `_sign` Int8 ALIAS if(_is_deleted = 0, 1, -1)\n)\nENGINE = ReplacingMergeTree(_version)\n\
             ORDER BY (`_version`, `_n`)"
        );
    }

    #[test]
    fn reserved_names_are_refused() {
        let target = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let check = |source: &SourceTable, part: &str| {
            let error = create_table_sql(source, &target, None, TargetFeatures { time64: true }).unwrap_err();
            assert!(error.kind == ErrorKind::TableShape && error.text.contains(part), "{error}");
        };
        check(&source(vec![], &["id", "_n"]), "rename the column");
        check(&source(vec![0], &["id", "_version"]), "rename the column");
    }
}
