//! What stands in the way of replication, on both servers: every problem in one run, each with its repair.
//!
//! `check` prints it, `run` refuses to start while there is any. It only looks: nothing is created or changed.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use uuid::Uuid;

use crate::checkpoint::Store;
use crate::clickhouse::check::{check_existing, reserved_names};
use crate::clickhouse::grants::Wanted;
use crate::clickhouse::tables::ExistingTable;
use crate::clickhouse::{Client, keyless, tables};
use crate::config::{Config, ReplicateConfig, Start, helper_note};
use crate::error::{Error, ErrorKind, Problem, Result};
use crate::guard;
use crate::mysql::checks;
use crate::mysql::chunks::trial;
use crate::mysql::select::Select;
use crate::mysql::source::{ServerFacts, Source};
use crate::mysql::tables::FoundTable;
use crate::schema::catalog::{Definition, SourceTable};
use crate::schema::keyless::view_name;
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target::TargetColumn;
use crate::schema::types::{SourceType, TableName};

/// Connections that are enough to look around.
const CONNECTIONS: usize = 1;

/// Versions from which ClickHouse prints all of MySQL's dates and times right (its pull requests 111534 and 107907).
const DATE32_RIGHT: (u32, u32) = (26, 8);
const DATETIME64_RIGHT: (u32, u32) = (26, 7);

/// What both servers say.
#[derive(Debug)]
pub struct Inspection {
    /// Everything that is wrong, apart from targets that do not fit.
    pub problems: Vec<Problem>,
    /// What is good to know and stops nothing.
    pub notes: Vec<String>,
    /// The source; `None` when it could not be asked.
    pub facts: Option<ServerFacts>,
    /// The target; `None` when it could not be asked.
    pub client: Option<Arc<Client>>,
    /// The chosen tables.
    pub tables: Vec<Inspected>,
}

/// A chosen table on both sides.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// Its definition in the source.
    pub definition: Definition,
    /// What of it concerns rows.
    pub source: SourceTable,
    /// The name of its target.
    pub target_name: TableName,
    /// Its target, if it is there.
    pub target: Option<ExistingTable>,
    /// What its target does not fit in.
    pub misfits: Vec<Problem>,
    /// The rows that a copy takes; `None`: all.
    pub copy_where: Option<String>,
}

impl Inspected {
    /// A chosen table whose target was not looked at yet.
    pub fn of(found: FoundTable, replicate: &ReplicateConfig) -> Self {
        Self {
            target_name: replicate.target_name(&found.table.name),
            copy_where: replicate.copy_where(&found.table.name).map(str::to_owned),
            definition: found.definition,
            source: SourceTable { choices: replicate.choices(&found.table.name), ..found.table },
            target: None,
            misfits: Vec::new(),
        }
    }
}

/// Looks at both servers.
pub fn inspect(config: &Config) -> Inspection {
    let replicate = &config.replicate;
    let helpers = RefCell::new(Vec::new());
    let found = checks::check(&config.mysql, &|name, all| {
        let base = replicate.selection.helped_by(name, &|base| all.contains(base));
        helpers.borrow_mut().extend(base.map(|base| helper_note(name, &base)));
        replicate.selection.chooses(name, all)
    });
    let tables: Vec<Inspected> = found.tables.into_iter().map(|found| Inspected::of(found, replicate)).collect();
    let keyless = tables.iter().filter_map(|table| checks::keyless_note(&table.source, &table.target_name));
    let helpers = helpers.into_inner().into_iter().chain(keyless).collect::<Vec<_>>();
    let mut inspection = Inspection {
        problems: found.problems,
        notes: found.facts.as_ref().and_then(metadata_note).into_iter().chain(helpers).collect(),
        facts: found.facts,
        client: None,
        tables,
    };
    if inspection.facts.is_some() && inspection.tables.is_empty() {
        let text =
            format!("no table matches replicate.tables = {:?} (or the account may not see any)", replicate.tables);
        let repair =
            "correct replicate.tables, or let the account see them: GRANT SELECT ON .. as in conf/mysql-privileges.sql";
        inspection.problems.push(Problem::new(text, repair));
    }
    match Client::connect(&config.clickhouse, config.pipeline.worker_count + CONNECTIONS) {
        Ok(client) => {
            if let Err(error) = inspection.inspect_targets(&client, config) {
                inspection.problems.push(unanswered(&error));
            }
            inspection.client = Some(Arc::new(client));
        }
        Err(error) => inspection.problems.push(unanswered(&error)),
    }
    inspection
}

fn unanswered(error: &Error) -> Problem {
    Problem::new(
        error.to_string(),
        "mend [clickhouse] in the configuration, or the account on the server, as the text says",
    )
}

impl Inspection {
    fn inspect_targets(&mut self, client: &Client, config: &Config) -> Result<()> {
        self.notes.extend(dates_note(client.features().version, &self.tables));
        self.notes.extend(choices_notes(&self.tables));
        let features = client.target_features();
        self.problems.extend(self.tables.iter().filter_map(bad_keyless_condition));
        for table in &mut self.tables {
            table.target = tables::existing_table(client, &table.target_name)?;
            table.misfits = misfits(&table.source, table.target.as_ref(), features);
            let taken = keyless::taken_name(client, !table.source.key.is_empty(), &table.target_name)?;
            self.problems.extend(taken.map(|text| clash(&table.source.name, &text)));
        }
        self.problems.extend(clashing_names(&self.tables));
        self.inspect_grants(client, config)
    }

    fn inspect_grants(&mut self, client: &Client, config: &Config) -> Result<()> {
        let (user, state) = (&config.clickhouse.user, &config.state.database);
        self.problems.extend(Wanted::of_state(state).and_database(client, state)?.missing(client, user)?);
        for table in &self.tables {
            let name = &table.target_name;
            let mut wanted = Wanted::of_target(name, table.target.is_some());
            if table.source.key.is_empty() {
                wanted = wanted.and_view(&view_name(name));
            }
            if table.target.is_none() {
                wanted = wanted.and_database(client, &name.database)?;
            }
            let missing = wanted.missing(client, user)?;
            self.problems.extend(missing.into_iter().map(|problem| problem.of_table(&table.source.name)));
        }
        Ok(())
    }

    /// All problems.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().chain(self.tables.iter().flat_map(|table| &table.misfits))
    }

    /// All problems as one error.
    ///
    /// # Errors
    /// When there is any problem.
    pub fn refuse(&self) -> Result<()> {
        refuse(self.all_problems())
    }

    /// Tables whose targets a first start made that ended before its checkpoint was saved, and that were altered since: no
    /// row is in those targets, so nothing stands in the way of replacing them.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn unfinished(&self, config: &Config, store: &Store) -> Result<HashSet<TableName>> {
        let Some(client) = self.client.as_ref().filter(|_| config.mysql.start == Start::Snapshot) else {
            return Ok(HashSet::new());
        };
        if !store.is_created()? || store.load_table_states()?.is_empty() {
            return Ok(HashSet::new());
        }
        let mut unfinished = HashSet::new();
        for table in self.tables.iter().filter(|table| !table.misfits.is_empty()) {
            if table.target.is_some() && !tables::has_rows(client, &table.target_name)? {
                unfinished.insert(table.source.name.clone());
            }
        }
        Ok(unfinished)
    }

    /// All problems as one error, but for what the targets of these tables do not fit in.
    ///
    /// # Errors
    /// When there is any other problem.
    pub fn refuse_but_for(&self, forgiven: &HashSet<TableName>) -> Result<()> {
        let others = self.tables.iter().filter(|table| !forgiven.contains(&table.source.name));
        refuse(self.problems.iter().chain(others.flat_map(|table| &table.misfits)))
    }

    /// The problems that concern more than single tables, as one error.
    ///
    /// # Errors
    /// When there is any such problem.
    pub fn refuse_as_a_whole(&self) -> Result<()> {
        refuse(self.problems.iter().filter(|problem| problem.table.is_none()))
    }

    /// What stands in the way of this table alone, for a person, given what its target does not fit in; empty when nothing
    /// does.
    pub fn reason(&self, table: &TableName, misfits: &[Problem]) -> String {
        let name = table.to_string();
        let own = self.problems.iter().filter(|problem| problem.table.as_ref() == Some(&name));
        own.chain(misfits).map(Problem::for_a_person).collect::<Vec<_>>().join("; ")
    }
}

/// A condition leaves rows out of the copy, whose changes would then be counted without them.
fn bad_keyless_condition(table: &Inspected) -> Option<Problem> {
    let is_bad = table.source.key.is_empty() && table.copy_where.is_some();
    let name = &table.source.name;
    is_bad.then(|| {
        Problem::new(
            format!("{name}: it has no key, so that a `where` in its rule cannot be followed: a row is told by its values only"),
            format!("take `where` out of the rule for {name}, or give the table a PRIMARY KEY"),
        )
        .of_table(name)
    })
}

/// The name of a target, or of its view, is another table's.
fn clash(table: &TableName, text: &str) -> Problem {
    Problem::new(format!("{table}: {text}"), keyless::CLASH_REPAIR).of_table(table)
}

/// Tables whose targets are still to be made, under the names of other tables' views.
fn clashing_names(tables: &[Inspected]) -> Vec<Problem> {
    let views = || tables.iter().filter(|table| table.source.key.is_empty());
    let problem = |table: &Inspected| {
        let other = views().find(|other| view_name(&other.target_name) == table.target_name)?;
        let (name, other) = (&table.target_name, &other.source.name);
        let text = format!("{name} is the name of the view of the rows of {other}, which has no key");
        Some(clash(&table.source.name, &text))
    };
    tables.iter().filter(|table| table.target.is_none()).filter_map(problem).collect()
}

/// What the target of `source` does not fit in, or what stands in the way of making one.
pub fn misfits(source: &SourceTable, target: Option<&ExistingTable>, features: TargetFeatures) -> Vec<Problem> {
    let problems = match target {
        Some(existing) => check_existing(source, existing, features),
        // Its column types are the source's problem already; its column names are not.
        None => reserved_names(source),
    };
    problems
        .into_iter()
        .chain(refused_choices(source, target, features))
        .map(|problem| problem.of_table(&source.name))
        .collect()
}

/// Types that were chosen and cannot be, unless the target's own are what has become of them.
fn refused_choices(source: &SourceTable, target: Option<&ExistingTable>, features: TargetFeatures) -> Vec<Problem> {
    let refused = source.columns.iter().enumerate().filter_map(|(index, column)| {
        let (is_key, choice) = (source.key.contains(&index), source.choices.of(&column.name));
        let chosen = mapping::chosen_type(column, is_key, source.allows_zero_dates, features, choice);
        let by_default = mapping::target_type(column, is_key, source.allows_zero_dates, features);
        let existing = target.and_then(|target| target.table.column(&column.name));
        let is_taken =
            |existing: &TargetColumn| mapping::accepts_chosen(column, is_key, features, &existing.ty, choice).is_ok();
        // What has no default type is the source's problem.
        chosen.err().filter(|_| by_default.is_ok() && !existing.is_some_and(is_taken))
    });
    let problem = |error: Error| {
        let repair = format!("mend `types` or `on_bad_value` in the [[replicate.rule]] of {}", source.name);
        Problem::new(format!("{}: {error}", source.name), repair)
    };
    refused.map(problem).collect()
}

/// Columns that something is said of and that are not there; they may come yet.
fn choices_notes(tables: &[Inspected]) -> impl Iterator<Item = String> {
    let missing = |source: &'_ SourceTable| {
        let is_there =
            |name: &str| source.columns.iter().any(|column| column.name.to_lowercase() == name.to_lowercase());
        let missing: Vec<&str> = source.choices.columns().filter(|name| !is_there(name)).collect();
        (!missing.is_empty()).then(|| {
            let names = missing.join(", ");
            format!("{} has no column {names} yet, which `types` or `on_bad_value` speak of", source.name)
        })
    };
    tables.iter().filter_map(move |table| missing(&table.source))
}

/// These problems as one error.
///
/// # Errors
/// When there is any.
pub fn refuse<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> Result<()> {
    let lines: Vec<String> =
        problems.into_iter().map(|problem| format!("\n- {}\n  repair: {}", problem.text, problem.repair)).collect();
    if lines.is_empty() {
        return Ok(());
    }
    let text = format!("not started, {} to mend first:{}", count(lines.len()), lines.concat());
    Err(Error::new(ErrorKind::SourceRefused, text))
}

/// Types tell many shapes of a table apart, not all.
fn metadata_note(facts: &ServerFacts) -> Option<String> {
    facts.has_minimal_metadata().then(|| {
        "binlog_row_metadata is MINIMAL: the binary log lacks column names, ENUM and SET labels and keys, which are \
         followed by its DDL instead; a table that is altered without it (sql_log_bin=0) is noticed only when the types \
         of its columns show it, and a start at an older position copies tables anew. FULL is safer: \
         SET PERSIST binlog_row_metadata = 'FULL';"
            .to_owned()
    })
}

/// Every server stores all of MySQL's dates; older ones print those outside 1900..2299 wrong.
fn dates_note(version: (u32, u32), tables: &[Inspected]) -> Option<String> {
    let is_wrong = |ty: &SourceType| {
        matches!(ty, SourceType::Date) && version < DATE32_RIGHT
            || matches!(ty, SourceType::DateTime { .. }) && version < DATETIME64_RIGHT
    };
    let has_dates = |table: &&Inspected| table.source.columns.iter().any(|column| is_wrong(&column.ty));
    let table = tables.iter().find(has_dates)?;
    let (major, minor) = version;
    Some(format!(
        "ClickHouse {major}.{minor} shows dates outside 1900..2299 wrong, though it stores them right (in {}, for one); 26.8 \
         shows them right",
        table.source.name
    ))
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

/// Rules whose `where` the source does not understand, in the session that a copy reads in.
///
/// # Errors
/// When the source is away or refuses.
pub fn bad_conditions(config: &Config, tables: &[Inspected]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    let mut select = None;
    for table in tables {
        let Some(condition) = &table.copy_where else { continue };
        let select = match &mut select {
            Some(select) => select,
            None => select.insert(Select::open(&config.mysql)?),
        };
        let name = &table.source.name;
        if let Err((code, message)) = select.connection()?.ask(&trial(name, condition))? {
            let text = format!("{name}: where = {condition:?} of its replicate.rule: MySQL says {code}: {message}");
            problems.push(Problem::new(text, "write an SQL condition on the table's columns").of_table(name));
        }
    }
    Ok(problems)
}

/// What only a first start meets.
fn inspect_first_start(config: &Config, inspection: &mut Inspection) -> Result<()> {
    let Some(client) = &inspection.client else { return Ok(()) };
    let store = Store::new(Arc::clone(client), &config.state.database, &config.name, Uuid::nil());
    if config.mysql.start == Start::Snapshot && store.load()?.is_none() {
        let mut source = Source::connect(&config.mysql)?;
        source.current_position(true)?;
        inspection.problems.extend(bad_conditions(config, &inspection.tables)?);
    }
    Ok(())
}

/// Looks at both servers, and, if nothing else is wrong, at what only a first start meets.
pub fn inspect_for_start(config: &Config) -> Inspection {
    let mut inspection = inspect(config);
    if inspection.all_problems().next().is_none()
        && let Err(error) = inspect_first_start(config, &mut inspection)
    {
        inspection.problems.push(Problem::new(error.to_string(), "as the text says"));
    }
    if let (Some(client), Some(_)) = (&inspection.client, &inspection.facts) {
        let store = Store::new(Arc::clone(client), &config.state.database, &config.name, Uuid::nil());
        // Whatever stands in the way of asking is a problem already.
        let running = guard::running(config, client, &store).unwrap_or_default();
        inspection.notes.extend(running.map(|process| format!("this pipeline is run now by {process}")));
    }
    inspection
}

/// Prints what stands in the way; true when nothing does.
///
/// # Errors
/// Only when the output cannot be made.
pub fn run(config: &Config, json: bool) -> Result<bool> {
    let inspection = inspect_for_start(config);
    let problems: Vec<&Problem> = inspection.all_problems().collect();
    let is_well = problems.is_empty();
    if json {
        let notes = &inspection.notes;
        let answer = serde_json::json!({
            "ok": is_well, "tables": inspection.tables.len(), "problems": problems, "notes": notes
        });
        print(&format!("{answer:#}"));
        return Ok(is_well);
    }
    for problem in &problems {
        print(&format!("- {}\n  repair: {}", problem.text, problem.repair));
    }
    for note in &inspection.notes {
        print(&format!("- good to know: {note}"));
    }
    let summary = if is_well { "nothing stands in the way".to_owned() } else { count(problems.len()) };
    print(&format!("{} tables chosen, {summary}", inspection.tables.len()));
    Ok(is_well)
}

fn print(text: &str) {
    use std::io::Write;
    // A closed stdout wants no more of it.
    let _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::choices::Choices;
    use crate::schema::types::SourceColumn;

    #[test]
    fn minimal_metadata_is_no_problem_and_said() {
        let note = |value: Option<&str>| {
            let binlog_row_metadata = value.map(str::to_owned);
            metadata_note(&ServerFacts { binlog_row_metadata, ..ServerFacts::default() })
        };
        assert!(note(Some("minimal")).is_some_and(|note| note.contains("SET PERSIST binlog_row_metadata = 'FULL';")));
        assert_eq!((note(Some("FULL")), note(None)), (None, None));
    }

    #[test]
    fn old_servers_are_told_to_print_dates_wrong() {
        let note = |version, ty| {
            let name = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
            let columns = vec![SourceColumn { name: "at".to_owned(), ty, nullable: false }];
            let source = SourceTable {
                name: name.clone(),
                columns,
                key: Vec::new(),
                allows_zero_dates: false,
                choices: Choices::default(),
            };
            let definition = Definition::default();
            let (target, copy_where, misfits) = (None, None, Vec::new());
            let table = Inspected { definition, source, target_name: name, target, misfits, copy_where };
            dates_note(version, &[table]).is_some()
        };
        assert!(note((26, 7), SourceType::Date) && !note((26, 8), SourceType::Date));
        assert!(note((25, 8), SourceType::DateTime { fsp: 3 }) && !note((26, 7), SourceType::DateTime { fsp: 3 }));
        assert!(!note((23, 8), SourceType::Year));
    }
}
