//! Schema changes of a target at its barrier: every row from before is in it, no row from after.
//!
//! The order is the one that lets nothing return: the floor is raised, so that a late copy of an insert changes nothing, none
//! that began before may run, then the change is made. Each may be done twice, so a lost answer and a kill between
//! any two statements do no harm: what is there is looked at first, and rows are deleted by version, never all of them.

use crate::clickhouse::exchange::{check_quiet, drop_table, raise_floor};
use crate::clickhouse::tables::{self, VERSION, has_table};
use crate::clickhouse::{Client, alter, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::SourceTable;
use crate::schema::target::{Ddl, DdlAction, TargetTable};
use crate::schema::types::TableName;

/// Carries out a change. `prefix` begins the `query_id` of every insert into the table.
///
/// # Errors
/// [`ErrorKind::TargetBusy`] while such an insert runs; [`ErrorKind::TableShape`] when the target is not what it should be
/// afterwards; or as [`Client::query`].
pub fn carry_out(client: &Client, ddl: &Ddl, prefix: &str) -> Result<()> {
    let (table, name) = (&ddl.table, &ddl.table.name);
    let done = || -> Result<()> {
        match &ddl.action {
            DdlAction::Create(source) => return create(client, source, table),
            DdlAction::Drop { keep } => return drop_away(client, name, ddl.floor, *keep, prefix),
            DdlAction::Rename { from } => return rename(client, from, ddl, prefix),
            DdlAction::Alter(_) | DdlAction::Truncate => {}
        }
        close(client, name, ddl.floor, prefix)?;
        match &ddl.action {
            DdlAction::Alter(changes) => check(table, &alter::apply(client, name, changes)?),
            DdlAction::Truncate | DdlAction::Create(_) | DdlAction::Drop { .. } | DdlAction::Rename { .. } => {
                empty(client, name, ddl.floor)
            }
        }
    };
    done().map_err(|error| error.at_table(name))
}

/// Lets no row of a lower version in any more. An insert that began before the constraint was there does not know it, so
/// none may run after it.
fn close(client: &Client, name: &TableName, floor: u64, prefix: &str) -> Result<()> {
    let prefixes = [prefix.to_owned()];
    check_quiet(client, &prefixes)?;
    raise_floor(client, name, floor)?;
    check_quiet(client, &prefixes)
}

/// Only what lies below the floor: a late copy of this statement does not touch later rows, as one of TRUNCATE would.
fn empty(client: &Client, name: &TableName, floor: u64) -> Result<()> {
    let statement =
        format!("ALTER TABLE {} DELETE WHERE {VERSION} < {floor} SETTINGS mutations_sync = 1", sql::table(name));
    client.query(&statement).map(drop)
}

fn create(client: &Client, source: &SourceTable, expected: &TargetTable) -> Result<()> {
    check(expected, &tables::create_table(client, source, &expected.name, None)?)?;
    if tables::has_rows(client, &expected.name)? {
        return Err(shape("it had rows before it was created in the source"));
    }
    Ok(())
}

fn rename(client: &Client, from: &TableName, ddl: &Ddl, prefix: &str) -> Result<()> {
    let to = &ddl.table.name;
    match (has_table(client, from)?, has_table(client, to)?) {
        // Done, by a request whose answer was lost.
        (false, true) => Ok(()),
        (false, false) => Err(shape(&format!("{from}, which it was called before, is gone"))),
        (true, true) => Err(shape(&format!("the name is taken: {from} cannot get it"))),
        (true, false) => {
            close(client, from, ddl.floor, prefix)?;
            tables::create_database(client, &to.database)?;
            client.query(&format!("RENAME TABLE {} TO {}", sql::table(from), sql::table(to))).map(drop)
        }
    }
}

/// Under a new name first, by which a second attempt knows that it is done.
fn drop_away(client: &Client, name: &TableName, floor: u64, keep: bool, prefix: &str) -> Result<()> {
    let gone = TableName { database: name.database.clone(), table: format!("{}__dropped_{floor:x}", name.table) };
    if !has_table(client, &gone)? && has_table(client, name)? {
        check_quiet(client, &[prefix.to_owned()])?;
        client.query(&format!("RENAME TABLE {} TO {}", sql::table(name), sql::table(&gone)))?;
    }
    if keep { Ok(()) } else { drop_table(client, &gone) }
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
