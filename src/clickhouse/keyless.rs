//! The target of a table without a key ([`crate::schema::keyless`]): its clauses, and the view of its rows.
//!
//! The view is made anew after each change of the target, and goes with it; done twice it is the same. It is told by its
//! name and by what it selects, so that nothing else of that name is touched: one of the two is refused before, and names
//! the other ([`check_names`]). An account that may not make views is refused at a start with such a table; for one that
//! comes later the log says that it goes without: the log of changes has everything.

use serde::Deserialize;

use crate::clickhouse::tables::{self, ExistingTable, IS_DELETED, VERSION};
use crate::clickhouse::{Client, sql};
use crate::error::{Action, Error, ErrorKind, Result};
use crate::schema::keyless::{LOG_KEY, MULTIPLICITY, ROW_NUMBER, SIGN, view_name, viewed_name};
use crate::schema::target::{Ddl, DdlAction, TargetColumn, TargetTable};
use crate::schema::types::TableName;

/// What mends two tables that want one name.
pub const CLASH_REPAIR: &str = "rename or exclude one of the two, or give the one without a key a PRIMARY KEY";
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

/// Makes the view of `target` anew, or drops it when that is no log of changes (any more). It has the columns that rows
/// are `written` with: by one that is left over, after a RENAME COLUMN that was refused, the images of one row would
/// not be equal. Without `written`, those of the log, which was just made.
///
/// # Errors
/// When the server is away.
pub fn follow(client: &Client, target: &TableName, written: Option<&TargetTable>) -> Result<()> {
    match make(client, target, written) {
        Err(error) if error.action() != Action::Retry || error.kind == ErrorKind::TargetDenied => {
            log::warn!("the view {} is not what it should be: {error}", view_name(target));
            Ok(())
        }
        done => done,
    }
}

fn make(client: &Client, target: &TableName, written: Option<&TargetTable>) -> Result<()> {
    let log = tables::existing_table(client, target)?.filter(is_log);
    let view = definition_of(client, &view_name(target))?;
    match (log, view) {
        (Some(_), Some(view)) if !is_ours(&view) => {
            let text = format!("the name {} is taken: the log of changes has no view", view_name(target));
            log::warn!("{text}");
            Ok(())
        }
        (Some(log), _) => client.query(&view_sql(target, &viewed(&log, written))).map(drop),
        (None, Some(view)) if is_ours(&view) => {
            client.query(&format!("DROP VIEW IF EXISTS {}", sql::table(&view_name(target)))).map(drop)
        }
        (None, _) => Ok(()),
    }
}

/// The columns of the view: what is stored, and written.
fn viewed(log: &ExistingTable, written: Option<&TargetTable>) -> Vec<TargetColumn> {
    let is_written = |name: &str| written.is_none_or(|written| written.column(name).is_some());
    let columns = log.table.columns.iter().zip(&log.default_kinds);
    let viewed = columns.filter(|(column, kind)| matches!(kind.as_str(), "" | "DEFAULT") && is_written(&column.name));
    viewed.map(|(column, _)| column.clone()).collect()
}

/// Refuses what [`taken_name`] finds.
///
/// # Errors
/// [`ErrorKind::TableShape`] naming both tables; or as [`Client::query`].
pub fn check_names(client: &Client, has_key: bool, target: &TableName) -> Result<()> {
    let clash = |text| Error::new(ErrorKind::TableShape, format!("{text}: {CLASH_REPAIR}"));
    taken_name(client, has_key, target)?.map_or(Ok(()), |text| Err(clash(text)))
}

/// Whether another table has the target's name, or that of its view, where one of the two has no key: one has to go.
///
/// # Errors
/// As [`Client::query`].
pub fn taken_name(client: &Client, has_key: bool, target: &TableName) -> Result<Option<String>> {
    if !has_key {
        let view = view_name(target);
        if definition_of(client, &view)?.is_some_and(|found| !is_ours(&found)) {
            return Ok(Some(format!("{view}, the view of its rows (it has no key), is the name of another table")));
        }
    }
    if let Some(viewed) = viewed_name(target)
        && definition_of(client, target)?.is_some_and(|found| is_ours(&found))
    {
        return Ok(Some(format!("{target} is the view of the rows of {viewed}, which has no key")));
    }
    Ok(None)
}

/// What a schema change does to the views, also when it was refused: rows may be written as if it had been made.
///
/// # Errors
/// As [`follow`].
pub fn follow_change(client: &Client, ddl: &Ddl) -> Result<()> {
    let (name, written) = (&ddl.table.name, Some(&ddl.table));
    match &ddl.action {
        DdlAction::Truncate => Ok(()),
        DdlAction::Alter(_) | DdlAction::Create(_) => follow(client, name, written),
        DdlAction::Drop { .. } => follow(client, name, None),
        DdlAction::Rename { from } => follow(client, from, None).and_then(|()| follow(client, name, written)),
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
