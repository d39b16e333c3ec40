//! Makes shadows: a table's present shape in the source, and an empty table of that shape beside its target.

use uuid::Uuid;

use super::Session;
use crate::clickhouse::check::check_existing;
use crate::clickhouse::exchange::create_shadow;
use crate::clickhouse::tables::ExistingTable;
use crate::clickhouse::{Client, tables};
use crate::config::{Config, MysqlConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::message::NewShadow;
use crate::mysql::checks;
use crate::mysql::tables::FoundTable;
use crate::schema::catalog::{Definition, SourceTable};
use crate::schema::choices::Choices;
use crate::schema::mapping;
use crate::schema::types::TableName;

/// Makes the shadow `id` of the source's table `name`: like its target if that fits, else as the source's shape wants it.
/// Done twice it is the same.
///
/// # Errors
/// What stands in the way of the table; a server that is away or refuses.
pub fn shadow(
    config: &Config,
    client: &Client,
    session: &mut Session,
    name: &TableName,
    id: Uuid,
    before: Option<&Definition>,
) -> Result<NewShadow> {
    let FoundTable { definition, table, .. } = found_table(&config.mysql, name)?;
    let source = SourceTable { choices: config.replicate.choices(name), ..table };
    let read_at = session.end_of_log()?;
    let target = config.replicate.target_name(name);
    let features = client.target_features();
    let existing = tables::existing_table(client, &target)?;
    let fits = |existing: &ExistingTable| check_existing(&source, existing, features).is_empty();
    let fitting = existing.is_some_and(|existing| fits(&existing) && is_wanted(&source, before, &existing));
    let shadow = create_shadow(client, &source, &target, id, fitting).map_err(|error| error.at_table(name))?;
    let copy_where = config.replicate.copy_where(name).map(str::to_owned);
    if source.key.is_empty() && copy_where.is_some() {
        let text = "it has no key, so that `where` in its rule cannot be followed: take it out, or add a PRIMARY KEY";
        return Err(Error::new(ErrorKind::TableShape, text).at_table(name));
    }
    Ok(NewShadow { id, definition, read_at, source, name: target, target: shadow, copy_where })
}

/// Whether nobody would make another table: each column has its default type, the one that the configuration asks for, or
/// the one that a user has made for it as it still is.
fn is_wanted(source: &SourceTable, before: Option<&Definition>, existing: &ExistingTable) -> bool {
    let before = before.map(|before| before.source_table(false, Choices::default()).columns).unwrap_or_default();
    source.columns.iter().all(|column| {
        let target = existing.table.columns.iter().find(|target| target.name == column.name);
        let is_default = target.is_some_and(|target| mapping::is_default(column, &target.ty));
        let is_unchanged = || before.iter().any(|before| before.name == column.name && before.ty == column.ty);
        is_default || source.choices.of(&column.name).written_type().is_some() || is_unchanged()
    })
}

fn found_table(config: &MysqlConfig, name: &TableName) -> Result<FoundTable> {
    let found = checks::check(config, &|other, _| other == name);
    let problems: Vec<String> = found.problems.into_iter().map(|problem| problem.text).collect();
    let kind = if found.facts.is_some() { ErrorKind::TableShape } else { ErrorKind::SourceDown };
    match found.tables.into_iter().next() {
        _ if !problems.is_empty() => Err(Error::new(kind, problems.join("; "))),
        Some(found) => Ok(found),
        None => Err(Error::new(kind, "the source has no such table that we may read")),
    }
}
