//! Schema changes of a target at its barrier: every row from before is in it, no row from after.
//!
//! The order is the one that lets nothing return: the floor is raised, so that a late copy of an insert changes nothing, none
//! that began before may run, then the change is made. Each may be done twice, so a lost answer and a kill between
//! any two statements do no harm: what is there is looked at first, and rows are deleted by version, never all of them.
//! A statement that arrives long after its barrier does nothing any more if it is an ALTER, since the floor's name has
//! changed ([`super::floor`]). A RENAME has no such condition: when a table of that name was made again meanwhile, a late
//! copy takes it away. The next insert is refused then (60), and the table copied: loud, and mended, but not prevented.

use std::fmt::{Display, LowerHex};

use crate::clickhouse::exchange::{check_quiet, close, drop_table, drop_table_sql, rename_sql};
use crate::clickhouse::floor::Floor;
use crate::clickhouse::tables::{self, VERSION, has_table};
use crate::clickhouse::{Client, alter, keyless};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::SourceTable;
use crate::schema::effect::TargetChange;
use crate::schema::target::{Ddl, DdlAction, TargetColumn, TargetTable};
use crate::schema::types::TableName;

/// Carries out a change. `prefix` begins the `query_id` of every insert into the table.
///
/// # Errors
/// [`ErrorKind::TargetBusy`] while such an insert runs; [`ErrorKind::TableShape`] when the target is not what it should be
/// afterwards; or as [`Client::query`].
pub fn carry_out(client: &Client, ddl: &Ddl, prefix: &str) -> Result<()> {
    let (table, floor, prefixes) = (&ddl.table, ddl.floor, &[prefix.to_owned()]);
    let done = match &ddl.action {
        DdlAction::Alter(changes) => alter(client, table, floor, changes, prefixes),
        DdlAction::Truncate => empty(client, &table.name, floor, prefixes),
        DdlAction::Create(source) => create(client, source, table, floor, prefixes),
        DdlAction::Drop { keep } => drop_away(client, &table.name, floor, *keep, prefixes),
        DdlAction::Rename { from } => rename(client, from, &table.name, floor, prefixes),
    };
    // A table may go on without an ALTER that is refused, and is written as if it had been made.
    let is_seen = done.is_ok() || matches!(ddl.action, DdlAction::Alter(_));
    let done = done.and(if is_seen { keyless::follow_change(client, ddl) } else { Ok(()) });
    done.map_err(|error| error.at_table(&table.name))
}

/// What [`carry_out`] executes, for people: all of it, as the target is now. The floor is written as `floor` is.
///
/// # Errors
/// As [`alter::statements`] and [`Client::query`].
pub fn statements(client: &Client, ddl: &Ddl, floor: impl Display + LowerHex) -> Result<Vec<String>> {
    let name = &ddl.table.name;
    let mut present = Floor::of(client, ddl.subject())?;
    let mut raised = || present.raise_sql(ddl.subject(), &floor, &[]);
    Ok(match &ddl.action {
        DdlAction::Alter(changes) => {
            let raised = raised();
            let alters = alter::statements(client, name, &mut present, &floor, changes)?;
            std::iter::once(raised).chain(alters).collect()
        }
        DdlAction::Truncate => vec![raised(), empty_sql(name, &mut present, floor)],
        DdlAction::Create(source) => {
            let statements = tables::create_statements(client, source, name, None)?;
            let view = tables::view_statement(source, name, client.target_features())?;
            statements.into_iter().chain([raised()]).chain(view).collect()
        }
        DdlAction::Drop { keep } => {
            let gone = dropped_name(name, floor);
            let rename = has_table(client, name)?.then(|| rename_sql(name, &gone));
            rename.into_iter().chain((!keep).then(|| drop_table_sql(&gone))).collect()
        }
        DdlAction::Rename { from } => {
            let database = tables::create_database_sql(client, &name.database)?;
            [Some(raised()), database, Some(rename_sql(from, name))].into_iter().flatten().collect()
        }
    })
}

fn alter(
    client: &Client,
    table: &TargetTable,
    floor: u64,
    changes: &[TargetChange],
    prefixes: &[String],
) -> Result<()> {
    close(client, &table.name, floor, prefixes)?;
    let found = alter::apply(client, &table.name, floor, changes)?;
    // Of the others a table that goes on without an earlier change may lack some.
    let is_changed = |column: &TargetColumn| changes.iter().any(|change| change.makes(&column.name));
    let columns = table.columns.iter().filter(|column| is_changed(column)).cloned().collect();
    check(&TargetTable { name: table.name.clone(), columns }, &found)
}

pub(super) fn empty(client: &Client, name: &TableName, floor: u64, prefixes: &[String]) -> Result<()> {
    close(client, name, floor, prefixes)?;
    client.query(&empty_sql(name, &mut Floor::of(client, name)?, floor)).map(drop)
}

/// Only what lies below the floor: where it is done twice, later rows stay, as they would not with TRUNCATE.
fn empty_sql(name: &TableName, present: &mut Floor, floor: impl Display) -> String {
    let delete = format!("DELETE WHERE {VERSION} < {floor}");
    format!("{} SETTINGS mutations_sync = 1", present.raise_sql(name, floor, &[delete]))
}

/// With a floor, for rows of an earlier table of this name may still be under way.
fn create(
    client: &Client,
    source: &SourceTable,
    expected: &TargetTable,
    floor: u64,
    prefixes: &[String],
) -> Result<()> {
    check(expected, &tables::create_table(client, source, &expected.name, None)?)?;
    close(client, &expected.name, floor, prefixes)?;
    if tables::has_rows(client, &expected.name)? {
        return Err(shape("it had rows before it was created in the source"));
    }
    Ok(())
}

fn rename(client: &Client, from: &TableName, to: &TableName, floor: u64, prefixes: &[String]) -> Result<()> {
    match (has_table(client, from)?, has_table(client, to)?) {
        // Done, by a request whose answer was lost.
        (false, true) => Ok(()),
        (false, false) => Err(shape(&format!("{from}, which it was called before, is gone"))),
        (true, true) => Err(shape(&format!("the name is taken: {from} cannot get it"))),
        (true, false) => {
            let is_log = tables::existing_table(client, from)?.is_some_and(|from| keyless::is_log(&from));
            keyless::check_names(client, !is_log, to)?;
            close(client, from, floor, prefixes)?;
            tables::create_database(client, &to.database)?;
            client.query(&rename_sql(from, to)).map(drop)
        }
    }
}

/// Under a new name first, by which a second attempt knows that it is done.
fn drop_away(client: &Client, name: &TableName, floor: u64, keep: bool, prefixes: &[String]) -> Result<()> {
    let gone = dropped_name(name, floor);
    if !has_table(client, &gone)? && has_table(client, name)? {
        check_quiet(client, prefixes)?;
        client.query(&rename_sql(name, &gone))?;
    }
    if keep { Ok(()) } else { drop_table(client, &gone) }
}

fn dropped_name(name: &TableName, floor: impl LowerHex) -> TableName {
    TableName { database: name.database.clone(), table: format!("{}__dropped_{floor:x}", name.table) }
}

/// What rows are written to must be as expected; a column more, with a default, does not matter.
fn check(expected: &TargetTable, found: &TargetTable) -> Result<()> {
    let missing = expected.columns.iter().find(|column| !found.columns.contains(column));
    missing.map_or(Ok(()), |column| {
        Err(shape(&format!("after the schema change it has no column {} {}", column.name, column.ty)))
    })
}

fn shape(text: &str) -> Error {
    Error::new(ErrorKind::TableShape, text)
}
