//! A copy's table, the shadow: made beside its target, and given its name in the end.
//!
//! The shadow is known by its UUID, which we choose: wherever that table is, is how far we got. So each step first looks,
//! a step may be done twice, and what a lost answer did is seen. After the exchange the old table is renamed away before
//! it is dropped: a late copy of the same EXCHANGE then finds nothing to exchange.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::Deserialize;
use uuid::Uuid;

use crate::clickhouse::floor::Floor;
use crate::clickhouse::tables::{self, has_table};
use crate::clickhouse::{Client, barrier, keyless, sql};
use crate::error::{Error, ErrorKind, Result};
use crate::schema::catalog::SourceTable;
use crate::schema::target::{Exchange, TargetTable};
use crate::schema::types::TableName;

/// How long a statement of a killed process may take.
const STILL_PATIENCE: Duration = Duration::from_secs(60);
const STILL_INTERVAL: Duration = Duration::from_millis(50);

/// Digits of the UUID in a shadow's name.
const NAME_DIGITS: usize = 8;

/// The name of the shadow `id` of `target`.
pub fn shadow_name(target: &TableName, id: Uuid) -> TableName {
    named(target, "copy", id)
}

fn named(target: &TableName, what: &str, id: Uuid) -> TableName {
    let id = id.simple().to_string();
    let digits = id.get(..NAME_DIGITS).unwrap_or_default();
    TableName { database: target.database.clone(), table: format!("{}__{what}_{digits}", target.table) }
}

/// Creates the shadow `id` of `target`, like `target` when that is `fitting`, else as the source's shape wants it.
///
/// # Errors
/// As [`Client::query`], and those of the source's shape.
pub fn create_shadow(
    client: &Client,
    source: &SourceTable,
    target: &TableName,
    id: Uuid,
    fitting: bool,
) -> Result<TargetTable> {
    let name = shadow_name(target, id);
    keyless::check_names(client, !source.key.is_empty(), target)?;
    if fitting {
        let (shadow, target) = (sql::table(&name), sql::table(target));
        client.query(&format!("CREATE TABLE IF NOT EXISTS {shadow} UUID '{id}' AS {target}"))?;
        // That is the other one's floor.
        if let Some(statement) = Floor::of(client, &name)?.drop_sql(&name) {
            client.query(&statement)?;
        }
        tables::created(client, &name)
    } else {
        tables::create_table(client, source, &name, Some(id))
    }
}

/// Drops the table `name`, if it is the shadow `id`.
///
/// # Errors
/// As [`Client::query`].
pub fn drop_shadow(client: &Client, name: &TableName, id: Uuid) -> Result<()> {
    if table_of(client, &name.database, id)?.as_ref() == Some(name) {
        drop_table(client, name)?;
    }
    Ok(())
}

/// What tells copies that nobody goes on with.
#[derive(Debug, Default)]
pub struct Copies {
    /// The names of shadows that are gone on with.
    pub kept: BTreeSet<TableName>,
    /// The shadows of others.
    pub foreign: BTreeSet<Uuid>,
    /// All shadows of ours that were filled, also of those there were: nothing is exchanged before.
    pub filled: BTreeSet<Uuid>,
}

impl Copies {
    /// Whether a table of this name and UUID was made by a copy of ours, or replaced by one, and is of no use any more. A
    /// shadow's name holds digits of its UUID; after the exchange both names are the old table's, which has another.
    fn leave(&self, name: &TableName, uuid: Uuid, is_target: &dyn Fn(&TableName) -> bool) -> bool {
        let target = |ending: &str| {
            let (table, _) = name.table.rsplit_once(ending)?;
            Some(TableName { database: name.database.clone(), table: table.to_owned() }).filter(is_target)
        };
        let (copied, replaced) = (target("__copy_"), target("__before_"));
        let is_of = |id: &Uuid| {
            copied.as_ref().is_some_and(|target| shadow_name(target, *id) == *name)
                || replaced.as_ref().is_some_and(|target| named(target, "before", *id) == *name)
        };
        let is_shadow = copied.is_some() && is_of(&uuid) && !self.foreign.contains(&uuid);
        !self.kept.contains(name) && (is_shadow || self.filled.iter().any(is_of))
    }
}

/// Drops what killed processes have left of copies. `is_target` tells the names that targets of ours may have.
///
/// # Errors
/// As [`Client::query`].
pub fn sweep(client: &Client, copies: &Copies, is_target: &dyn Fn(&TableName) -> bool) -> Result<()> {
    #[derive(Deserialize)]
    struct Row {
        database: String,
        name: String,
        uuid: Uuid,
    }
    let select = "SELECT database, name, uuid FROM system.tables WHERE match(name, '__(copy|before)_[0-9a-f]{8}$')";
    for Row { database, name, uuid } in client.rows(select)? {
        let name = TableName { database, table: name };
        if copies.leave(&name, uuid, is_target) {
            log::info!("{name}, left over from a copy, is dropped");
            drop_table(client, &name)?;
        }
    }
    Ok(())
}

/// Puts the shadow in its target's place. `prefixes` begin the `query_id` of every insert into either.
///
/// # Errors
/// [`ErrorKind::TargetBusy`] while such an insert runs; or as [`Client::query`]: nothing is exchanged then, unless the
/// answer was lost.
pub fn exchange(client: &Client, exchange: &Exchange, prefixes: &[String]) -> Result<()> {
    let Exchange { id, target, shadow, floor } = exchange;
    let place = table_of(client, &target.database, *id)?;
    match place {
        None => {
            let text = format!("{shadow}, the copy that was to take its place, is gone");
            return Err(Error::new(ErrorKind::TableShape, text).at_table(target));
        }
        Some(place) if place == *target => {}
        Some(place) => {
            if tables::existing_table(client, &place)?.is_some_and(|existing| keyless::is_log(&existing)) {
                // What lies below the copy's version is in the copy already: it would count twice.
                barrier::empty(client, &place, *floor, prefixes)?;
            } else {
                close(client, &place, *floor, prefixes)?;
            }
            swap(client, &place, target)?;
        }
    }
    keyless::follow(client, target, None)?;
    match clear_away(client, exchange) {
        Err(error) if error.kind != ErrorKind::TargetBusy => {
            log::warn!("the table that was replaced stays beside its successor: {error}");
            Ok(())
        }
        done => done,
    }
}

/// Drops the old table. It has its new name first, so that a late copy of the EXCHANGE fails; one that came before that is
/// seen.
fn clear_away(client: &Client, exchange: &Exchange) -> Result<()> {
    let Exchange { id, target, shadow, .. } = exchange;
    let old = named(target, "before", *id);
    if has_table(client, shadow)? {
        client.query(&rename_sql(shadow, &old))?;
    }
    if table_of(client, &target.database, *id)?.as_ref() != Some(target) {
        return Err(Error::new(
            ErrorKind::TargetBusy,
            "the exchange of two tables was undone by a late copy of itself",
        ));
    }
    if has_table(client, &old)? {
        drop_table(client, &old)?;
    }
    Ok(())
}

/// Waits until no statement runs that names the shadow: one that a killed process has sent may still change its place.
///
/// # Errors
/// [`ErrorKind::TargetBusy`] when one does not end; or as [`Client::query`].
pub fn wait_until_still(client: &Client, shadow: &TableName) -> Result<()> {
    let running = format!(
        "SELECT count() FROM system.processes WHERE position(query, {}) > 0 AND position(query, 'system.processes') = 0",
        sql::text(&shadow.table)
    );
    let deadline = Instant::now() + STILL_PATIENCE;
    while tables::number(client, &running)? > 0 {
        if Instant::now() > deadline {
            let text = format!("a statement of an earlier process on {shadow} still runs: see system.processes");
            return Err(Error::new(ErrorKind::TargetBusy, text));
        }
        std::thread::sleep(STILL_INTERVAL);
    }
    Ok(())
}

/// The name of the table with this UUID.
///
/// # Errors
/// As [`Client::query`].
pub fn table_of(client: &Client, database: &str, id: Uuid) -> Result<Option<TableName>> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let select = format!("SELECT name FROM system.tables WHERE database = {} AND uuid = '{id}'", sql::text(database));
    let row = client.rows::<Row>(&select)?.pop();
    Ok(row.map(|row| TableName { database: database.to_owned(), table: row.name }))
}

/// An insert that still runs could land in the other table.
pub(super) fn check_quiet(client: &Client, prefixes: &[String]) -> Result<()> {
    let begins = |prefix: &String| format!("startsWith(query_id, {})", sql::text(prefix));
    let running = prefixes.iter().map(begins).collect::<Vec<_>>().join(" OR ");
    match tables::number(client, &format!("SELECT count() FROM system.processes WHERE {running}"))? {
        0 => Ok(()),
        count => {
            let text = format!("{count} inserts still run whose answer was lost: the exchange waits for them");
            Err(Error::new(ErrorKind::TargetBusy, text))
        }
    }
}

/// Lets no row of a lower version in any more. An insert that began before the constraint was there does not know it, so
/// none may run after it.
pub(super) fn close(client: &Client, table: &TableName, floor: u64, prefixes: &[String]) -> Result<()> {
    check_quiet(client, prefixes)?;
    client.query(&Floor::of(client, table)?.raise_sql(table, floor, &[]))?;
    check_quiet(client, prefixes)
}

fn swap(client: &Client, from: &TableName, target: &TableName) -> Result<()> {
    let statement = match has_table(client, target)? {
        true => format!("EXCHANGE TABLES {} AND {}", sql::table(target), sql::table(from)),
        false => rename_sql(from, target),
    };
    client.query(&statement).map(drop)
}

pub(super) fn rename_sql(from: &TableName, to: &TableName) -> String {
    format!("RENAME TABLE {} TO {}", sql::table(from), sql::table(to))
}

/// Whatever its size.
pub(super) fn drop_table_sql(name: &TableName) -> String {
    format!("DROP TABLE IF EXISTS {} SETTINGS max_table_size_to_drop = 0", sql::table(name))
}

pub(super) fn drop_table(client: &Client, name: &TableName) -> Result<()> {
    client.query(&drop_table_sql(name)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_copies_left_is_told_by_digits_of_ours() {
        let name = |table: &str| TableName { database: "d".to_owned(), table: table.to_owned() };
        let [ours, filled, foreign] = [0xa, 0xb, 0xc].map(|digit| Uuid::from_u128(digit << 96));
        let copies = Copies {
            kept: BTreeSet::from([name("kept__copy_0000000a")]),
            foreign: BTreeSet::from([foreign]),
            filled: BTreeSet::from([filled]),
        };
        for (table, uuid, expected) in [
            ("t__copy_0000000a", ours, true),
            ("t__copy_0000000a", Uuid::from_u128(5), false),
            ("t__copy_0000000b", Uuid::from_u128(5), true),
            ("t__before_0000000b", Uuid::from_u128(5), true),
            ("t__before_0000000a", ours, false),
            ("t__copy_0000000c", foreign, false),
            ("kept__copy_0000000a", ours, false),
            ("other__copy_0000000a", ours, false),
            ("a__copy_b__copy_0000000a", ours, true),
            ("t", ours, false),
        ] {
            let is_target = |target: &TableName| target.table != "other";
            assert_eq!(copies.leave(&name(table), uuid, &is_target), expected, "{table} {uuid}");
        }
    }
}
