//! DDL as a real server runs it: each statement is read back from the binary log, parsed and applied to a catalog, which
//! must then equal `information_schema`: tables, columns, their order, types, nullability, character sets and keys.
//!
//! `tests/ddl` has statements that are hard to read. More can be had from any folder with files of mysqltest (`.test`,
//! `.inc`) or of plain SQL, such as Debian's package mysql-testsuite: its path in `STREAM_BRIDGE_TEST_DDL_SQL`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use stream_bridge::binlog::control::FormatDescription;
use stream_bridge::binlog::event::{Event, EventKind};
use stream_bridge::binlog::query::Query;
use stream_bridge::config::{Files, MysqlConfig, OnLostPosition, Secret, Start, Tls};
use stream_bridge::message::Budget;
use stream_bridge::mysql::dump::{Dump, Incoming};
use stream_bridge::mysql::source::Source;
use stream_bridge::mysql::tables;
use stream_bridge::schema::catalog::Definition;
use stream_bridge::schema::change::{CreateTable, CreatedShape, DatabaseStatement, SchemaChange};
use stream_bridge::schema::ddl::parse;
use stream_bridge::schema::types::TableName;
use support::servers::Servers;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);
const OPTIONS: [&str; 3] = ["--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0", "--local-infile=0"];
/// The folder with more statements.
const FOLDER: &str = "STREAM_BRIDGE_TEST_DDL_SQL";

#[test]
fn statements_hard_to_read_do_to_the_catalog_what_they_do_to_the_server() {
    let mut rig = Rig::new("ddl", "nasty");
    for file in ["nasty.sql", "alter.sql", "unique.sql"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ddl").join(file);
        for statement in std::fs::read_to_string(path).unwrap().split("//\n").filter(|text| !text.trim().is_empty()) {
            rig.run(statement);
        }
    }
    rig.report.print();
    assert_eq!(rig.report.refused, Vec::<String>::new());
    assert_eq!(rig.report.misread, Vec::<String>::new());
    assert_eq!(rig.report.not_understood, Vec::<String>::new());
}

#[test]
fn statements_of_a_folder_do_to_the_catalog_what_they_do_to_the_server() {
    let Ok(folder) = std::env::var(FOLDER) else {
        println!("not run: {FOLDER} names no folder with .test, .inc or .sql files");
        return;
    };
    let mut rig = Rig::new("ddl-folder", "test");
    for file in files(Path::new(&folder)) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        rig.start_file();
        println!("{}: {} statements so far", file.display(), rig.report.accepted.len());
        for statement in mysqltest_statements(&text).iter().filter(|statement| may_run(statement)) {
            rig.run(statement);
        }
    }
    rig.report.print();
    assert_eq!(rig.report.misread, Vec::<String>::new());
}

// --- Statements of a folder ---------------------------------------------------------------------------------------

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()) {
            let is_sql = entry.extension().is_some_and(|end| ["test", "inc", "sql"].iter().any(|known| end == *known));
            if entry.is_dir() {
                folders.push(entry);
            } else if is_sql {
                found.insert(entry);
            }
        }
    }
    found.into_iter().collect()
}

/// What mysqltest sends to the server, nearly: its own commands are left out, and loops run once.
fn mysqltest_statements(text: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let (mut delimiter, mut statement) = (";".to_owned(), String::new());
    for line in text.lines() {
        let trimmed = line.trim();
        let is_command = ["--", "#", "while", "if", "{", "}"].iter().any(|start| trimmed.starts_with(start));
        if statement.trim().is_empty() && is_command {
            continue;
        }
        if let Some(end) = trimmed.to_lowercase().strip_prefix("delimiter ") {
            let end = end.trim();
            delimiter = end.strip_suffix(delimiter.as_str()).filter(|end| !end.is_empty()).unwrap_or(end).to_owned();
            statement.clear();
            continue;
        }
        statement.push_str(line);
        if let Some(whole) = statement.trim_end().strip_suffix(delimiter.as_str()) {
            statements.push(whole.trim().to_owned());
            statement.clear();
        } else {
            statement.push('\n');
        }
    }
    statements
}

/// DDL and what it depends on; nothing that leaves the file's own databases and session.
fn may_run(statement: &str) -> bool {
    const VERBS: [&str; 11] =
        ["create", "alter", "drop", "rename", "truncate", "use", "set", "analyze", "optimize", "repair", "/*!"];
    const NOT: [&str; 25] = [
        "$",
        "global",
        "persist",
        "mysql.",
        "sys.",
        "user",
        "role",
        "server",
        "log",
        "gtid",
        "timeout",
        "password",
        "undo",
        "instance",
        "tablespace ts",
        "logfile",
        "autocommit",
        "transaction",
        "read only",
        "debug",
        "read_only",
        "resource",
        "max_allowed",
        "information_schema",
        "schedule",
    ];
    let text = statement.to_lowercase();
    VERBS.iter().any(|verb| text.starts_with(verb)) && !NOT.iter().any(|word| text.contains(word))
}

// --- The server and the catalog -----------------------------------------------------------------------------------

struct Rig {
    servers: Servers,
    client: mysql::Conn,
    /// Asks what the session's own settings must not disturb.
    observer: mysql::Conn,
    /// Reads `information_schema`.
    source: Source,
    log: Log,
    database: String,
    catalog: Catalog,
    report: Report,
}

impl Rig {
    fn new(name: &str, database: &str) -> Self {
        let servers = Servers::own_mysql(name, &OPTIONS);
        let config = config(&servers);
        let mut source = Source::connect(&config).unwrap();
        let position = source.current_position(false).unwrap();
        let log = Log { dump: Dump::start(&config, Uuid::new_v4(), &position).unwrap(), has_checksum: true, offset: 0 };
        let [client, observer] = [servers.mysql.connect(), servers.mysql.connect()];
        let (database, catalog, report) = (database.to_owned(), Catalog::default(), Report::default());
        let mut rig = Self { servers, client, observer, source, log, database, catalog, report };
        rig.start_file();
        rig
    }

    /// A new session in an empty database.
    fn start_file(&mut self) {
        self.client = self.servers.mysql.connect();
        let all: Vec<String> = self
            .client
            .query("SELECT schema_name FROM information_schema.schemata WHERE schema_name NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')")
            .unwrap();
        self.client.query_drop("SET foreign_key_checks = 0, sql_mode = DEFAULT").unwrap();
        for database in all {
            self.run(&format!("DROP DATABASE `{}`", database.replace('`', "``")));
        }
        self.run(&format!("CREATE DATABASE {}", self.database));
        self.run(&format!("USE {}", self.database));
    }

    /// Runs a statement and, if the server takes it, does the same to the catalog.
    fn run(&mut self, statement: &str) {
        if let Err(error) = self.client.query_drop(statement) {
            self.report.refused.push(format!("{error}: {statement}"));
            if self.client.ping().is_err() {
                self.client = self.servers.mysql.connect();
            }
        }
        let status: mysql::Row = self.observer.query_first("SHOW BINARY LOG STATUS").unwrap().unwrap();
        let end = status.get("Position").unwrap();
        let logged = self.log.statements_until(end);
        for logged in &logged {
            self.apply(logged);
        }
        if let Some(last) = logged.last() {
            self.compare(&last.sql);
        }
    }

    fn apply(&mut self, logged: &Logged) {
        self.report.accepted.insert(logged.sql.clone());
        let Some(changes) = parse(&logged.sql, &logged.database, logged.sql_mode) else {
            self.report.note("not understood", &logged.sql);
            self.report.not_understood.push(logged.sql.clone());
            self.catalog.tables = self.read();
            return;
        };
        if changes.is_empty() {
            self.report.dismissed.insert(logged.sql.clone());
        }
        for change in changes {
            if let Err(reason) = self.catalog.apply(change) {
                self.report.note("not to be known", &format!("{reason}: {}", logged.sql));
                self.report.unknowable.push(logged.sql.clone());
                self.catalog.tables = self.read();
            }
        }
    }

    fn compare(&mut self, sql: &str) {
        let real = self.read();
        // A view of the name makes CREATE TABLE IF NOT EXISTS do nothing; views are nothing to the catalog.
        let views: Vec<(String, String)> =
            self.observer.query("SELECT table_schema, table_name FROM information_schema.views").unwrap();
        self.catalog.tables.retain(|name, _| {
            name.database != "mysql" && !views.contains(&(name.database.clone(), name.table.clone()))
        });
        self.catalog.tables.values_mut().for_each(as_shown);
        if self.catalog.tables == real {
            return;
        }
        let names: BTreeSet<_> = real.keys().chain(self.catalog.tables.keys()).collect();
        for name in names {
            let (ours, theirs) = (self.catalog.tables.get(name), real.get(name));
            if ours != theirs {
                let text = format!("{sql}\n  {name}: {}", difference(ours, theirs));
                self.report.note("misread", &text);
                self.report.misread.push(text);
            }
        }
        self.catalog.tables = real;
    }

    /// All tables as `information_schema` has them.
    fn read(&mut self) -> BTreeMap<TableName, Definition> {
        let found = tables::read(&mut self.source, &|_, _| true, false).unwrap();
        found.into_iter().map(|found| (found.definition.name.clone(), found.definition)).collect()
    }
}

/// `information_schema` is in utf8mb3: of other characters in labels it has `?`.
fn as_shown(definition: &mut Definition) {
    for column in &mut definition.columns {
        column.ty.column_type = column.ty.column_type.replace(|c| c > '\u{ffff}', "?");
    }
}

fn difference(ours: Option<&Definition>, theirs: Option<&Definition>) -> String {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return format!("ours {}, the server's {}", ours.is_some(), theirs.is_some());
    };
    if ours.columns.len() != theirs.columns.len() || (&ours.key, &ours.charset) != (&theirs.key, &theirs.charset) {
        return format!("ours {ours:?}\n  the server's {theirs:?}");
    }
    let pairs = ours.columns.iter().zip(&theirs.columns).filter(|(ours, theirs)| ours != theirs);
    pairs.map(|(ours, theirs)| format!("ours {ours:?}\n  the server's {theirs:?}")).collect::<Vec<_>>().join("\n  ")
}

/// The tables, and the default character sets of databases.
#[derive(Default)]
struct Catalog {
    tables: BTreeMap<TableName, Definition>,
    databases: BTreeMap<String, String>,
}

impl Catalog {
    fn apply(&mut self, change: SchemaChange) -> Result<(), String> {
        match change {
            SchemaChange::Create(create) => return self.create(&create),
            SchemaChange::Alter(alter) => {
                // A view has no definition.
                let Some(table) = self.tables.get(&alter.name) else { return Err("unknown table".to_owned()) };
                let charset = self.databases.get(&alter.name.database).map(String::as_str);
                let altered = table.altered(&alter, charset)?;
                assert_eq!(altered.origins.len(), altered.definition.columns.len());
                self.tables.insert(alter.name, altered.definition);
            }
            SchemaChange::Rename { from, to } => {
                if let Some(table) = self.tables.remove(&from) {
                    self.tables.insert(to.clone(), Definition { name: to, ..table });
                }
            }
            SchemaChange::Drop(name) => {
                self.tables.remove(&name);
            }
            SchemaChange::Truncate(_)
            | SchemaChange::Rewrite(..)
            | SchemaChange::Rebuilt(_)
            | SchemaChange::Cascades(_) => {}
            SchemaChange::UniqueKeys(name) => {
                if self.tables.get(&name).is_some_and(|table| !table.has_primary_key()) {
                    return Err("its UNIQUE keys may be others".to_owned());
                }
            }
            SchemaChange::Database { name, charset, statement } => self.database(name, charset, statement),
            SchemaChange::DropDatabase(name) => {
                self.tables.retain(|table, _| table.database != name);
                self.databases.remove(&name);
            }
        }
        Ok(())
    }

    fn create(&mut self, create: &CreateTable) -> Result<(), String> {
        if create.if_not_exists && self.tables.contains_key(&create.name) {
            return Ok(());
        }
        let like = match &create.shape {
            CreatedShape::Like(like) => self.tables.get(like),
            CreatedShape::Written { .. } => None,
        };
        let charset = self.databases.get(&create.name.database).map(String::as_str);
        let definition = create.definition(like, charset)?;
        self.tables.insert(create.name.clone(), definition);
        Ok(())
    }

    fn database(&mut self, name: String, charset: Option<String>, statement: DatabaseStatement) {
        match (statement, charset) {
            (DatabaseStatement::Alter, None) => {}
            (DatabaseStatement::CreateIfMissing, _) if self.databases.contains_key(&name) => {}
            (_, charset) => {
                self.databases.insert(name, charset.unwrap_or_else(|| "utf8mb4".to_owned()));
            }
        }
    }
}

/// What came of the statements that the server took.
#[derive(Default)]
struct Report {
    refused: Vec<String>,
    accepted: BTreeSet<String>,
    dismissed: BTreeSet<String>,
    not_understood: Vec<String>,
    unknowable: Vec<String>,
    misread: Vec<String>,
}

impl Report {
    /// Printed at once: a run over a folder takes long.
    fn note(&self, what: &str, text: &str) {
        println!("{what}: {}", text.chars().take(1000).collect::<String>());
    }

    fn print(&self) {
        println!(
            "{} refused by the server; {} distinct accepted, of them {} dismissed; {} not understood, {} not to be \
             known, {} misread",
            self.refused.len(),
            self.accepted.len(),
            self.dismissed.len(),
            self.not_understood.len(),
            self.unknowable.len(),
            self.misread.len()
        );
    }
}

// --- The binary log -----------------------------------------------------------------------------------------------

/// A statement with what decides how it is read.
struct Logged {
    sql: String,
    database: String,
    sql_mode: u64,
}

struct Log {
    dump: Dump,
    has_checksum: bool,
    /// Where the last event ended.
    offset: u64,
}

impl Log {
    /// What was logged up to the offset `end`; BEGIN, COMMIT and their like apart.
    fn statements_until(&mut self, end: u64) -> Vec<Logged> {
        let budget = Budget::new(1 << 30);
        let (mut logged, started) = (Vec::new(), Instant::now());
        while self.offset < end {
            assert!(started.elapsed() < PATIENCE, "the log does not reach {end}");
            let Incoming::Chunk(chunk) = self.dump.read(&budget, || None).unwrap() else { continue };
            for span in &chunk.events {
                let event = Event::parse(&chunk.bytes[span.start..span.start + span.len], self.has_checksum).unwrap();
                if !event.header.is_artificial() {
                    self.offset = self.offset.max(u64::from(event.header.log_pos()));
                }
                if event.header.kind == EventKind::FormatDescription {
                    self.has_checksum = FormatDescription::parse(&event).unwrap().has_checksum;
                }
                logged.extend(statement(&event));
            }
            budget.release_chunk(chunk.charged_bytes);
        }
        logged
    }
}

fn statement(event: &Event<'_>) -> Option<Logged> {
    (event.header.kind == EventKind::Query).then_some(())?;
    let query = Query::parse(event).unwrap();
    let sql = query.text().into_owned();
    let is_control = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"].iter().any(|word| sql.starts_with(word));
    let (database, sql_mode) = (query.database().unwrap().to_owned(), query.context().sql_mode);
    (!is_control).then_some(Logged { sql, database, sql_mode })
}

fn config(servers: &Servers) -> MysqlConfig {
    let address = &servers.mysql.address;
    MysqlConfig {
        host: address.host.clone(),
        port: address.port,
        socket: None,
        user: address.user.clone(),
        password: Secret::new(address.password.clone()),
        server_id: 7731,
        tls: Tls::Disabled,
        files: Files::default(),
        start: Start::Current,
        on_lost_position: OnLostPosition::Fail,
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(10),
    }
}
