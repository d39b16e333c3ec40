//! Changes of a target's columns, by what its columns are.
//!
//! Each statement is made from the real columns, and the next one from what they are then: whatever a lost answer or a
//! kill left behind, the same call goes on from there. MODIFY is a mutation, which rewrites old parts in the
//! background (`alter_sync = 0`: measured, 1 waits for it); columns read and take inserts as the new type at once. A
//! DROP or RENAME behind one that still runs would wait on the server, or be refused (36): it is put off here instead,
//! and so comes before the MODIFYs of its own ALTER.

use std::fmt::Display;

use serde::Deserialize;

use crate::clickhouse::floor::Floor;
use crate::clickhouse::tables;
use crate::clickhouse::{Client, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::effect::{TargetChange, TargetPlace};
use crate::schema::target::{TargetColumn, TargetTable};
use crate::schema::types::TableName;

/// The changes of each ALTER, in order. A column cannot be renamed and modified in one statement (48).
const STEPS: [fn(&TargetChange) -> bool; 2] = [is_of_names, |change| !is_of_names(change)];

/// A column that is there.
#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    r#type: String,
    default_expression: String,
}

/// Applies what of `changes` is not done yet; the table as it is then.
///
/// # Errors
/// [`ErrorKind::TargetBusy`] while an earlier mutation runs that must end first; [`ErrorKind::TableShape`] when the
/// columns are not those before, after or amidst the changes; or as [`Client::query`]. The same call may be made again.
pub fn apply(client: &Client, table: &TableName, floor: u64, changes: &[TargetChange]) -> Result<TargetTable> {
    apply_all(client, table, floor, changes).map_err(|error| error.at_table(table))
}

fn apply_all(client: &Client, table: &TableName, floor: u64, changes: &[TargetChange]) -> Result<TargetTable> {
    if !actions(&columns(client, table)?, changes, is_of_names)?.is_empty() {
        check_no_mutation(client, table)?;
    }
    // Before the columns: whatever changes them after this look also changes the floor.
    let mut present = Floor::of(client, table)?;
    STEPS.into_iter().try_for_each(|chosen| step(client, table, &mut present, floor, changes, chosen))?;
    tables::created(client, table)
}

/// What [`apply`] executes, if the columns stay as they are until then.
///
/// # Errors
/// As [`apply`], mutations apart.
pub(super) fn statements(
    client: &Client,
    table: &TableName,
    present: &mut Floor,
    floor: &impl Display,
    changes: &[TargetChange],
) -> Result<Vec<String>> {
    let mut columns = columns(client, table)?;
    let mut statements = Vec::new();
    for chosen in STEPS {
        let open = actions(&columns, changes, chosen)?;
        statements.extend((!open.is_empty()).then(|| alter_sql(table, present, floor, &open)));
        changes.iter().filter(|change| chosen(change)).for_each(|change| foresee(&mut columns, change));
    }
    Ok(statements)
}

/// What a change of names makes of the columns; nothing comes after the others.
fn foresee(columns: &mut Vec<Column>, change: &TargetChange) {
    match change {
        TargetChange::Drop(name) => columns.retain(|column| column.name != *name),
        TargetChange::Rename { from, to } => {
            let renamed = columns.iter_mut().filter(|column| column.name == *from);
            renamed.for_each(|column| column.name.clone_from(to));
        }
        TargetChange::Add { .. } | TargetChange::Modify(_) => {}
    }
}

/// One ALTER of what is `chosen`. A replica may take its time to show it.
fn step(
    client: &Client,
    table: &TableName,
    present: &mut Floor,
    floor: u64,
    changes: &[TargetChange],
    chosen: fn(&TargetChange) -> bool,
) -> Result<()> {
    let open = actions(&columns(client, table)?, changes, chosen)?;
    if open.is_empty() {
        return Ok(());
    }
    client.query(&alter_sql(table, present, floor, &open))?;
    match actions(&columns(client, table)?, changes, chosen)?.first() {
        None => Ok(()),
        Some(open) => Err(Error::new(ErrorKind::TargetBusy, format!("ClickHouse has not carried out yet: {open}"))),
    }
}

fn is_of_names(change: &TargetChange) -> bool {
    matches!(change, TargetChange::Drop(_) | TargetChange::Rename { .. })
}

fn columns(client: &Client, table: &TableName) -> Result<Vec<Column>> {
    let select = format!(
        "SELECT name, type, default_expression FROM system.columns WHERE database = {} AND table = {}",
        sql::text(&table.database),
        sql::text(&table.table)
    );
    client.rows(&select)
}

/// The clauses of an ALTER that does those of the changes that are `chosen` and not done.
fn actions(columns: &[Column], changes: &[TargetChange], chosen: fn(&TargetChange) -> bool) -> Result<Vec<String>> {
    let chosen = changes.iter().filter(|change| chosen(change));
    chosen.filter_map(|change| action(columns, changes, change).transpose()).collect()
}

/// None when it is done.
fn action(columns: &[Column], changes: &[TargetChange], change: &TargetChange) -> Result<Option<String>> {
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    match change {
        TargetChange::Drop(name) => Ok(find(name).map(|_| format!("DROP COLUMN IF EXISTS {}", sql::identifier(name)))),
        TargetChange::Rename { from, to } => match (find(from), find(to)) {
            (Some(_), None) => {
                Ok(Some(format!("RENAME COLUMN IF EXISTS {} TO {}", sql::identifier(from), sql::identifier(to))))
            }
            (None, Some(_)) => Ok(None),
            (Some(_), Some(_)) => Err(odd(to, "is there already beside the column that is to be renamed to it")),
            (None, None) => Err(odd(from, "is gone")),
        },
        TargetChange::Modify(to) => match find(&to.name) {
            Some(column) if column.r#type == to.ty => Ok(None),
            Some(_) => Ok(Some(format!("MODIFY COLUMN {}", declared(to)))),
            None => Err(odd(&to.name, "is gone")),
        },
        TargetChange::Add { column, default, place } => match find(&column.name) {
            Some(existing) if is_same(existing, column, default.as_deref()) => Ok(None),
            Some(_) => Err(odd(&column.name, "is there already with another type or default")),
            None => {
                let place = Some(place).filter(|place| can_be_put(columns, changes, place));
                Ok(Some(added(column, default.as_deref(), place)))
            }
        },
    }
}

/// Whether the column is there, or about to be, behind which one is to be put: a table that goes on without an earlier
/// change may lack it.
fn can_be_put(columns: &[Column], changes: &[TargetChange], place: &TargetPlace) -> bool {
    let TargetPlace::After(name) = place else { return true };
    let is_added = |change: &TargetChange| matches!(change, TargetChange::Add { column, .. } if column.name == *name);
    columns.iter().any(|column| column.name == *name) || changes.iter().any(is_added)
}

/// By the tokens of its default, since the server writes expressions in its own manner.
fn is_same(existing: &Column, column: &TargetColumn, default: Option<&str>) -> bool {
    existing.r#type == column.ty
        && sql::tokens(&existing.default_expression) == sql::tokens(default.unwrap_or_default())
}

fn odd(column: &str, what: &str) -> Error {
    let text = format!("the target's column {what}: was the table altered by hand? `resync` makes it anew");
    Error::new(ErrorKind::TableShape, text).at_column(column)
}

fn added(column: &TargetColumn, default: Option<&str>, place: Option<&TargetPlace>) -> String {
    let default = default.map_or(String::new(), |default| format!(" DEFAULT {default}"));
    let place = match place {
        Some(TargetPlace::First) => " FIRST".to_owned(),
        Some(TargetPlace::After(name)) => format!(" AFTER {}", sql::identifier(name)),
        None => String::new(),
    };
    format!("ADD COLUMN IF NOT EXISTS {}{default}{place}", declared(column))
}

fn declared(column: &TargetColumn) -> String {
    format!("{} {}", sql::identifier(&column.name), column.ty)
}

fn alter_sql(table: &TableName, present: &mut Floor, floor: impl Display, actions: &[String]) -> String {
    format!("{} SETTINGS mutations_sync = 0, alter_sync = 0", present.raise_sql(table, floor, actions))
}

fn check_no_mutation(client: &Client, table: &TableName) -> Result<()> {
    #[derive(Deserialize)]
    struct Mutation {
        command: String,
        latest_fail_reason: String,
    }
    let select = format!(
        "SELECT command, latest_fail_reason FROM system.mutations WHERE database = {} AND table = {} AND NOT is_done \
         ORDER BY latest_fail_reason = '' LIMIT 1",
        sql::text(&table.database),
        sql::text(&table.table)
    );
    let Some(mutation) = client.rows::<Mutation>(&select)?.pop() else { return Ok(()) };
    let reason = match mutation.latest_fail_reason.as_str() {
        "" => "it runs".to_owned(),
        reason => format!("it fails: {reason}; see system.mutations"),
    };
    let text = format!(
        "the mutation {} of the target must end before columns are renamed or dropped: {reason}",
        mutation.command
    );
    Err(Error::new(ErrorKind::TargetBusy, text))
}
