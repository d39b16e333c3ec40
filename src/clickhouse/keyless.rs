//! The target of a table without a key ([`crate::schema::keyless`]): its clauses, and the view of its rows.
//!
//! The view is made anew after each change of the target, and goes with it; done twice it is the same. It is told by its
//! name and by what it selects, so that nothing else of that name is touched. An account that may not make views goes
//! without: the log of changes has everything.

use serde::Deserialize;

use crate::clickhouse::tables::{self, ExistingTable, IS_DELETED, VERSION};
use crate::clickhouse::{Client, sql};
use crate::error::{Action, ErrorKind, Result};
use crate::schema::keyless::{LOG_KEY, MULTIPLICITY, ROW_NUMBER, SIGN, view_name};
use crate::schema::target::{Ddl, DdlAction, TargetColumn};
use crate::schema::types::TableName;

/// The engine of a log of changes.
pub const LOG_ENGINE: &str = "ReplacingMergeTree(_version)";

/// The columns of a log of changes after the source's own.
pub fn own_columns() -> [TargetColumn; 3] {
    let own = [(VERSION, "UInt64"), (IS_DELETED, "UInt8"), (ROW_NUMBER, "UInt64")];
    own.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() })
}

/// The column that nobody writes, as a column's definition.
pub fn sign_column() -> String {
    format!("{} Int8 ALIAS {}", sql::identifier(SIGN), sign())
}

/// What a change counts, whether or not the log has the column.
pub fn sign() -> String {
    format!("if({IS_DELETED} = 0, 1, -1)")
}

/// Whether a table is a log of changes.
pub fn is_log(existing: &ExistingTable) -> bool {
    let key: String = existing.sorting_key.chars().filter(|c| !matches!(c, '(' | ')' | ' ' | '`')).collect();
    key == LOG_KEY.join(",")
}

/// The statement that makes the view of the rows that are there, in a log of these columns.
pub fn view_sql(target: &TableName, columns: &[TargetColumn]) -> String {
    let own = [VERSION, IS_DELETED, ROW_NUMBER, SIGN];
    let names = columns.iter().map(|column| column.name.as_str()).filter(|name| !own.contains(name));
    let names = sql::identifiers(names);
    format!(
        "CREATE OR REPLACE VIEW {} AS\nSELECT {names}, sum({}) AS {MULTIPLICITY}\nFROM {} FINAL\n\
         GROUP BY {names}\nHAVING {MULTIPLICITY} > 0",
        sql::table(&view_name(target)),
        sign(),
        sql::table(target),
    )
}

/// Makes the view of `target` anew, or drops it when that is no log of changes (any more).
///
/// # Errors
/// When the server is away.
pub fn follow(client: &Client, target: &TableName) -> Result<()> {
    match make(client, target) {
        Err(error) if error.action() != Action::Retry || error.kind == ErrorKind::TargetDenied => {
            log::warn!("the view {} is not what it should be: {error}", view_name(target));
            Ok(())
        }
        done => done,
    }
}

fn make(client: &Client, target: &TableName) -> Result<()> {
    let log = tables::existing_table(client, target)?.filter(is_log);
    let view = definition_of(client, &view_name(target))?;
    match (log, view) {
        (Some(_), Some(view)) if !is_ours(&view) => {
            let text = format!("the name {} is taken: the log of changes has no view", view_name(target));
            log::warn!("{text}");
            Ok(())
        }
        (Some(log), _) => client.query(&view_sql(target, &log.table.columns)).map(drop),
        (None, Some(view)) if is_ours(&view) => {
            client.query(&format!("DROP VIEW IF EXISTS {}", sql::table(&view_name(target)))).map(drop)
        }
        (None, _) => Ok(()),
    }
}

/// What a schema change does to the views.
///
/// # Errors
/// As [`follow`].
pub fn follow_change(client: &Client, ddl: &Ddl) -> Result<()> {
    match &ddl.action {
        DdlAction::Truncate => Ok(()),
        DdlAction::Alter(_) | DdlAction::Create(_) | DdlAction::Drop { .. } => follow(client, &ddl.table.name),
        DdlAction::Rename { from } => follow(client, from).and_then(|()| follow(client, &ddl.table.name)),
    }
}

/// How a table or view was made.
fn definition_of(client: &Client, name: &TableName) -> Result<Option<String>> {
    #[derive(Deserialize)]
    struct Row {
        create_table_query: String,
    }
    let select = format!(
        "SELECT create_table_query FROM system.tables WHERE database = {} AND name = {}",
        sql::text(&name.database),
        sql::text(&name.table)
    );
    Ok(client.rows::<Row>(&select)?.pop().map(|row| row.create_table_query))
}

fn is_ours(definition: &str) -> bool {
    definition.starts_with("CREATE VIEW") && definition.contains(MULTIPLICITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_groups_by_the_sources_columns() {
        let column = |name: &str| TargetColumn { name: name.to_owned(), ty: "Int32".to_owned() };
        let columns: Vec<TargetColumn> = [column("a"), column("b`c")].into_iter().chain(own_columns()).collect();
        let target = TableName { database: "d".to_owned(), table: "t".to_owned() };
        assert_eq!(
            view_sql(&target, &columns),
            "CREATE OR REPLACE VIEW `d`.`t__rows` AS\nSELECT `a`, `b\\`c`, sum(if(_is_deleted = 0, 1, -1)) AS \
             _multiplicity\nFROM `d`.`t` FINAL\nGROUP BY `a`, `b\\`c`\nHAVING _multiplicity > 0"
        );
    }
}
