//! `plan`: what a start would make in ClickHouse, and what a schema change would do there. It only looks.
//!
//! It decides nothing: a start's part is [`crate::start::foresee`], that of a statement a rehearsal by the router, and the
//! statements are those that carry it out. What is not known before, the place of a statement in the binary log, is
//! written as `<version>`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::check::{self, Inspection};
use crate::clickhouse::{Client, barrier, tables};
use crate::config::{Config, table_name};
use crate::engine;
use crate::error::{Error, ErrorKind, Result};
use crate::router::Router;
use crate::router::rehearsal::Outcome;
use crate::router::tables::State;
use crate::schema::ddl;
use crate::schema::target::Ddl;
use crate::schema::types::TableName;
use crate::start::{self, Foreseen, SourceRules};

/// What becomes of one table, or an answer that concerns none in particular.
#[derive(Debug, Default, Serialize)]
pub struct Item {
    /// The table of the source.
    pub table: Option<String>,
    /// Its target.
    pub target: Option<String>,
    /// What ClickHouse is asked to do, in this order.
    pub statements: Vec<String>,
    /// What is to say of it.
    pub note: Option<String>,
    /// Why it would be refused, and what repairs that.
    pub problem: Option<String>,
}

impl Item {
    fn of(table: &TableName, target: &TableName) -> Self {
        Self { table: Some(table.to_string()), target: Some(target.to_string()), ..Self::default() }
    }

    fn note(self, note: impl Into<String>) -> Self {
        Self { note: Some(note.into()), ..self }
    }

    fn problem(self, problem: impl Into<String>) -> Self {
        Self { problem: Some(problem.into()), ..self }
    }

    /// For a person, as SQL of ClickHouse: all but the statements is comments.
    pub fn text(&self) -> String {
        let mut head: Vec<String> = self.table.iter().cloned().collect();
        head.extend(
            self.target.iter().filter(|target| self.table.as_ref() != Some(target)).map(|it| format!("-> {it}")),
        );
        let head = head.join(" ");
        let said = [self.note.clone(), self.problem.as_ref().map(|problem| format!("refused: {problem}"))];
        let said = said.into_iter().flatten().collect::<Vec<_>>().join("; ");
        let line = [head, said].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        let statements = self.statements.iter().map(|statement| format!("{statement};\n"));
        format!("-- {}\n{}", line.replace('\n', "\n-- "), statements.collect::<String>())
    }
}

/// The version of a statement that is not in the binary log yet.
struct ToCome;

impl fmt::Display for ToCome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<version>")
    }
}

impl fmt::LowerHex for ToCome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// --- a start ---

/// What a start would do, table by table.
///
/// # Errors
/// When a server fails meanwhile.
pub fn of_start(config: &Config) -> Result<Vec<Item>> {
    let mut inspection = check::inspect_for_start(config);
    let mut items = whole_problems(&inspection);
    let has_whole_problems = !items.is_empty();
    let refused = refused_tables(&inspection);
    let Some(client) = inspection.client.clone().filter(|_| inspection.facts.is_some()) else { return Ok(items) };
    let foreseen = match start::foresee(config, &inspection) {
        // A first start refuses all for the sake of one. The others: as they would be once that is mended.
        Err(_) if has_whole_problems || !refused.is_empty() => {
            items.extend(refused.iter().map(|(table, why)| refused_item(config, table, why)));
            inspection.tables.retain(|table| !refused.contains_key(&table.source.name.to_string()));
            inspection.problems.clear();
            start::foresee(config, &inspection)
        }
        foreseen => foreseen,
    };
    match foreseen {
        Ok(foreseen) => {
            for table in foreseen {
                items.push(foreseen_item(config, &client, &refused, table)?);
            }
        }
        Err(_) if has_whole_problems => {}
        Err(error) => items.push(Item::default().problem(error.to_string())),
    }
    let mut seen = HashSet::new();
    // One database is made once, though many tables need it.
    items.iter_mut().for_each(|item| item.statements.retain(|statement| seen.insert(statement.clone())));
    Ok(items)
}

fn whole_problems(inspection: &Inspection) -> Vec<Item> {
    let whole = inspection.all_problems().filter(|problem| problem.table.is_none());
    whole.map(|problem| Item::default().problem(problem.for_a_person())).collect()
}

/// Tables with problems of their own, and those.
fn refused_tables(inspection: &Inspection) -> BTreeMap<String, String> {
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    for problem in inspection.all_problems() {
        let Some(table) = &problem.table else { continue };
        let told = problem.for_a_person();
        refused.entry(table.clone()).and_modify(|why| *why += &format!("; {told}")).or_insert(told);
    }
    refused
}

fn refused_item(config: &Config, table: &str, why: &str) -> Item {
    let target = table_name(table).ok().map(|name| config.replicate.target_name(&name).to_string());
    Item { table: Some(table.to_owned()), target, ..Item::default() }.problem(why)
}

fn foreseen_item(
    config: &Config,
    client: &Client,
    refused: &BTreeMap<String, String>,
    table: Foreseen,
) -> Result<Item> {
    let Foreseen { inspected, state, reason, pending, is_copied, is_created } = table;
    let (source, target) = (&inspected.source, &inspected.target_name);
    let name = source.name.to_string();
    if let Some(why) = refused.get(&name).filter(|_| is_copied) {
        return Ok(refused_item(config, &name, why));
    }
    let mut item = Item::of(&source.name, target);
    if let Some(ddl) = pending {
        item.statements = barrier::statements(client, &ddl, ddl.floor)?;
        return Ok(item.note("a schema change that was begun before is finished"));
    }
    if is_created {
        item.statements = tables::create_statements(client, source, target, None)?;
        item.statements.extend(tables::view_statement(source, target, client.target_features())?);
    }
    Ok(match state {
        _ if is_copied && inspected.target.is_none() => {
            item.note(format!("copied into a new table, which then gets the target's name: {reason}"))
        }
        _ if is_copied => item.note(copied(&reason)),
        State::Quarantined => item.problem(format!("it stays set aside: {reason} (repair: stream-bridge resync)")),
        State::Drifted => item.note(format!("is there, and stays drifted: {reason}")),
        State::Streaming | State::Snapshot | State::Unverified if is_created => item.note("is created"),
        State::Streaming | State::Snapshot | State::Unverified => item.note("is there, and is used as it is"),
    })
}

fn copied(why: &str) -> String {
    format!("copied anew beside the target, then exchanged: {why}")
}

// --- a statement ---

/// What the statement `sql` of MySQL, run in `database`, would bring about in ClickHouse while all tables flow.
///
/// # Errors
/// A statement that cannot be judged as it is given; or when a server fails meanwhile.
pub fn of_statement(config: &Config, sql: &str, database: Option<&str>) -> Result<Vec<Item>> {
    let inspection = check::inspect(config);
    let problems = whole_problems(&inspection);
    let (Some(client), Some(facts), true) = (&inspection.client, &inspection.facts, problems.is_empty()) else {
        return Ok(problems);
    };
    let sql_mode = ddl::sql_mode_bits(&facts.sql_mode);
    let sql = one_statement(sql, sql_mode)?;
    if !ddl::is_schema_change(sql, sql_mode) {
        let text =
            "no CREATE, ALTER, DROP, RENAME, TRUNCATE or IMPORT: if MySQL runs it, what it changes comes as rows";
        return Ok(vec![Item::default().note(text)]);
    }
    let database = match database {
        Some(database) => database,
        None if depends_on_database(sql, sql_mode) => return Err(usage("names no database: add --database NAME")),
        None => "",
    };
    let refused = refused_tables(&inspection);
    let rules = SourceRules::of(facts);
    let settings = engine::settings(config, rules, client.target_features());
    let sound = inspection.tables.iter().filter(|table| !refused.contains_key(&table.source.name.to_string()));
    let known = sound.map(|table| (table.definition.clone(), table.target.as_ref().map(|it| it.table.clone())));
    let router = Router::for_rehearsal(settings, known.collect());
    let outcomes = match router.rehearse(sql, database, sql_mode) {
        Err(error) if error.kind == ErrorKind::StoppedByPolicy => {
            return Ok(vec![Item::default().note(format!("the process would stop: {}", error.text))]);
        }
        outcomes => outcomes?,
    };
    let mut items = Vec::new();
    for (table, outcome) in outcomes {
        items.push(match refused.get(&table.to_string()) {
            Some(why) => refused_item(config, &table.to_string(), why),
            None => outcome_item(config, client, &inspection, &table, outcome)?,
        });
    }
    if items.is_empty() {
        items.push(Item::default().note("concerns no replicated table"));
    }
    Ok(items)
}

fn outcome_item(
    config: &Config,
    client: &Client,
    inspection: &Inspection,
    table: &TableName,
    outcome: Outcome,
) -> Result<Item> {
    let target = config.replicate.target_name(table);
    let item = Item::of(table, &target);
    let known = inspection.tables.iter().find(|known| known.source.name == *table);
    Ok(match outcome {
        Outcome::NoEffect => item.note("no effect on ClickHouse"),
        Outcome::Left => item.note("is left as it is: by [ddl], or because the statement does nothing"),
        _ if known.is_some_and(|known| known.target.is_none()) => {
            item.note("nothing: its target is not there yet, and a start goes by what the table is then")
        }
        Outcome::Changed(changes) => Item { statements: statements(client, &changes)?, ..item },
        Outcome::Copied(why) if known.is_none() => item.note(copied(&format!("{why} (it is not there now)"))),
        Outcome::Copied(why) => item.note(copied(&why)),
        Outcome::SetAside(why) => item.note(format!("set aside, its target stays: {why}")),
    })
}

fn statements(client: &Client, changes: &[Ddl]) -> Result<Vec<String>> {
    let lists = changes.iter().map(|ddl| barrier::statements(client, ddl, ToCome)).collect::<Result<Vec<_>>>()?;
    Ok(lists.concat())
}

/// Without the `;` at its end.
fn one_statement(sql: &str, sql_mode: u64) -> Result<&str> {
    let sql = sql.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let is_whole = |sql: &str| ddl::parse(sql, "", sql_mode).is_some();
    if sql.is_empty() {
        return Err(usage("is empty"));
    }
    if sql.split_once(';').is_some_and(|(first, _)| !is_whole(sql) && is_whole(first)) {
        return Err(usage(
            "holds more than one statement: plan them one by one, each once the one before is carried out",
        ));
    }
    Ok(sql)
}

/// Whether the names in it mean other tables in another database.
fn depends_on_database(sql: &str, sql_mode: u64) -> bool {
    let in_database = |name| (ddl::parse(sql, name, sql_mode), ddl::touched(sql, name, sql_mode));
    in_database("a") != in_database("b")
}

fn usage(text: &str) -> Error {
    Error::new(ErrorKind::Config, format!("--sql: the statement {text}"))
}
