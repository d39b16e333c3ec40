//! The configuration as the rest of the program uses it: every value checked, nothing after this can fail on it.
//!
//! Two stages, as typed and as used: [`Config::resolve`] parses TOML, expands `${VAR}`, and reads each key once through a
//! [`section::Section`], which knows defaults, units and ranges and collects **all** problems before it answers.
//! Keys whose behaviour this version lacks are read too: anything but their default is refused, never skipped.
//! Pure: the text, the environment and the files it names come in as arguments. The keys are those of
//! `conf/stream-bridge.toml`, with the same names; the texts of errors never hold a secret.

mod expand;
mod files;
mod keys;
mod section;
mod selection;
mod tls;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::schema::choices::Choices;
use crate::schema::types::TableName;
pub use files::Files;
use section::Section;
pub use selection::{Selection, helper_note, table_name};
pub use tls::{Https, Tls};

/// A validated configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// The pipeline's name: letters, digits, `_` and `-`, at most 64.
    pub name: String,
    /// The source.
    pub mysql: MysqlConfig,
    /// The target.
    pub clickhouse: ClickHouseConfig,
    /// Which tables, under which names.
    pub replicate: ReplicateConfig,
    /// Batches, pace, memory, retries.
    pub pipeline: PipelineConfig,
    /// Schema changes.
    pub ddl: DdlConfig,
    /// `[snapshot]`
    pub snapshot: SnapshotConfig,
    /// Comparisons.
    pub verify: VerifyConfig,
    /// Checkpoints.
    pub state: StateConfig,
    /// Status page.
    pub http: HttpConfig,
    /// Logging.
    pub log: LogConfig,
    effective: toml::Table,
}

/// `[mysql]`
#[derive(Debug, Clone)]
pub struct MysqlConfig {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unix socket; replaces host and port.
    pub socket: Option<String>,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// As configured; 0 means [`MysqlConfig::server_id_for`].
    pub server_id: u32,
    /// Encryption of every connection; a Unix socket stays plain.
    pub tls: Tls,
    /// What of these is in files, to be read again for every connection.
    pub files: Files,
    /// Where to begin without a checkpoint.
    pub start: Start,
    /// What to do when the source no longer has our position.
    pub on_lost_position: OnLostPosition,
    /// How often an idle source sends a sign of life.
    pub heartbeat: Duration,
    /// Limit of connecting and logging in.
    pub connect_timeout: Duration,
}

/// `mysql.start`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// Copy the existing rows, then stream.
    #[default]
    Snapshot,
    /// From the source's current position.
    Current,
    /// From this byte of this binlog file.
    File {
        /// Binlog file name, ending in a number.
        file: String,
        /// Start of an event, at least 4.
        offset: u64,
    },
    /// After these GTIDs, as MySQL writes a set.
    Gtid(String),
}

/// `mysql.on_lost_position`: what is done when the source no longer has our position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLostPosition {
    /// Copy all tables anew beside their targets.
    #[default]
    Snapshot,
    /// Go on from the present position; the tables are marked `unverified`.
    Current,
    /// Stop with an error.
    Fail,
}

/// `[ddl]`
#[derive(Debug, Clone, Copy, Default)]
pub struct DdlConfig {
    /// CREATE TABLE of a chosen table.
    pub create_table: DdlPolicy,
    /// ALTER TABLE.
    pub alter_table: DdlPolicy,
    /// RENAME TABLE, also by ALTER TABLE.
    pub rename_table: DdlPolicy,
    /// TRUNCATE TABLE.
    pub truncate_table: DdlPolicy,
    /// DROP TABLE and DROP DATABASE.
    pub drop_table: DropPolicy,
    /// What becomes of a change that ClickHouse refuses for good.
    pub on_failure: OnFailure,
}

/// What becomes of a schema change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DdlPolicy {
    /// The target follows.
    #[default]
    Apply,
    /// The target stays as it is.
    Ignore,
    /// The engine stops before it.
    Stop,
}

impl DdlPolicy {
    /// Whether the target follows.
    pub fn applies(self) -> bool {
        self == DdlPolicy::Apply
    }
}

/// `ddl.on_failure`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The table is set aside and copied anew.
    #[default]
    Quarantine,
    /// The engine stops.
    Stop,
    /// The table goes on without the change where it can, and is marked `drifted`.
    Continue,
}

/// What becomes of the target of a table that is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropPolicy {
    /// It is dropped.
    #[default]
    Apply,
    /// It gets the name `table__dropped_..`.
    Rename,
    /// It stays as it is.
    Ignore,
    /// The engine stops before it.
    Stop,
}

/// `[snapshot]`
#[derive(Debug, Clone)]
pub struct SnapshotConfig {
    /// Connections that copy side by side.
    pub connections: usize,
    /// Rows of a chunk: what a restart may read again.
    pub chunk_rows: u64,
    /// Of all connections together; 0: no limit.
    pub max_rows_per_second: u64,
}

/// `[verify]`
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// Rows that are read per second; 0: no limit.
    pub max_rows_per_second: u64,
}

/// `[clickhouse]`
#[derive(Debug, Clone)]
pub struct ClickHouseConfig {
    /// `http://host:port` without a slash at its end.
    pub url: String,
    /// For https.
    pub https: Option<Https>,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Where it is, if it is in a file.
    pub files: Files,
    /// Setting `insert_quorum` of our inserts; 0 leaves it out.
    pub insert_quorum: u32,
    /// Limit of one request, answer included.
    pub request_timeout: Duration,
    /// Limit of connecting.
    pub connect_timeout: Duration,
}

/// `[replicate]`
#[derive(Debug, Clone, Default)]
pub struct ReplicateConfig {
    /// The patterns as typed.
    pub tables: Vec<String>,
    /// The patterns as typed.
    pub exclude: Vec<String>,
    /// Settings by table.
    pub rules: Vec<Rule>,
    /// `tables` and `exclude`, compiled.
    pub selection: Selection,
}

/// `[[replicate.rule]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The source table; one, not a pattern, or two tables could flow into one target.
    pub table: TableName,
    /// The target's name.
    pub rename: Option<TableName>,
    /// `where`: the rows that the initial copy takes, as an SQL condition.
    pub copy_where: Option<String>,
    /// `types` and `on_bad_value`: what is said of single columns.
    pub choices: Choices,
}

/// `[pipeline]`
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// Writer threads.
    pub worker_count: usize,
    /// Rows of one insert at most.
    pub batch_size: usize,
    /// Bytes of one insert, roughly at most.
    pub batch_bytes: usize,
    /// A row waits no longer than this for a merely busy table.
    pub batch_timeout: Duration,
    /// Least gap between the starts of two inserts of a table.
    pub min_insert_interval: Duration,
    /// All tables together.
    pub max_inserts_per_second: u32,
    /// `memory_limit`: the budget of chunks, bodies and batches.
    pub memory_limit_bytes: usize,
    /// When a waiting DDL is reported.
    pub ddl_flush_timeout: Duration,
    /// 0: for ever.
    pub retry_attempts: u32,
    /// Longest back-off.
    pub retry_max_interval: Duration,
    /// How long a clean stop may take.
    pub shutdown_timeout: Duration,
}

/// `[state]`
#[derive(Debug, Clone)]
pub struct StateConfig {
    /// ClickHouse database of checkpoints and table states.
    pub database: String,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Rows events between checkpoints.
    pub checkpoint_events: u64,
    /// How long the history of checkpoints is kept.
    pub checkpoint_ttl: Duration,
}

/// `[http]`
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `host:port`, empty when off.
    pub listen: String,
    /// Asked of requests that change something, unless only this machine can reach the listener.
    pub token: Secret,
    /// No progress for so long is unhealthy.
    pub stuck_after: Duration,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The least serious level that is logged.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// `log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What stops the process.
    Error,
    /// What needs a person.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Everything.
    Trace,
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A text that is never printed by accident.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(section::HIDDEN)
    }
}

/// Looks up an environment variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a password or PEM file; the error says why it cannot.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> std::result::Result<String, String>;

impl Config {
    /// The configuration that a TOML text stands for.
    ///
    /// # Errors
    /// One error of kind [`ErrorKind::Config`] with a line for every problem: key, value and what to write instead.
    pub fn resolve(text: &str, environment: Environment<'_>, read_file: ReadFile<'_>) -> Result<Self> {
        let mut table = parse(text)?;
        let problems = expand::expand(&mut table, environment);
        let mut root = Section::root(table, problems);
        let name = keys::pipeline_name(&mut root);
        let mysql = root.section("mysql", |section| keys::mysql(section, read_file));
        let clickhouse = root.section("clickhouse", |section| keys::clickhouse(section, read_file));
        let replicate = root.section("replicate", keys::replicate);
        let pipeline = root.section("pipeline", keys::pipeline);
        let ddl = root.section("ddl", keys::ddl);
        let snapshot = root.section("snapshot", keys::snapshot);
        let verify = root.section("verify", keys::verify);
        let state = root.section("state", keys::state);
        let http = root.section("http", keys::http);
        let log = root.section("log", keys::log);
        let (effective, problems) = root.finish();
        if !problems.is_empty() {
            return Err(Error::new(ErrorKind::Config, problems.join("\n")));
        }
        Ok(Self { name, mysql, clickhouse, replicate, pipeline, ddl, snapshot, verify, state, http, log, effective })
    }

    /// Every key with the value in force; secrets hidden.
    pub fn effective(&self) -> &toml::Table {
        &self.effective
    }
}

/// The text as TOML. The crate's own rendering of an error quotes the line, which may hold a password.
fn parse(text: &str) -> Result<toml::Table> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Error::new(ErrorKind::Config, format!("line {line} is not TOML: {}", error.message().replace('\n', ", ")))
    })
}

impl MysqlConfig {
    /// The replica id to register with: as configured, or from the pipeline's name, in the upper half of the 32 bits,
    /// where few servers live. The same name gives the same id (FNV-1a).
    pub fn server_id_for(&self, name: &str) -> u32 {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        if self.server_id == 0 { hash | 1 << 31 } else { self.server_id }
    }
}

impl ReplicateConfig {
    /// The target's name for a source table.
    pub fn target_name(&self, source: &TableName) -> TableName {
        self.rule(source).and_then(|rule| rule.rename.as_ref()).unwrap_or(source).clone()
    }

    /// Whether this is the target's name of a table that the patterns choose.
    pub fn is_target(&self, target: &TableName) -> bool {
        let is_of = |source: &TableName| self.selection.selects(source) && self.target_name(source) == *target;
        is_of(target) || self.rules.iter().any(|rule| is_of(&rule.table))
    }

    /// Which rows of a source table are copied; `None`: all.
    pub fn copy_where(&self, source: &TableName) -> Option<&str> {
        self.rule(source).and_then(|rule| rule.copy_where.as_deref())
    }

    /// What is said of a source table's columns.
    pub fn choices(&self, source: &TableName) -> Choices {
        self.rule(source).map(|rule| rule.choices.clone()).unwrap_or_default()
    }

    fn rule(&self, source: &TableName) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.table == *source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(mysql: &str, rest: &str) -> Config {
        let text = format!("[mysql]\n{mysql}\n[replicate]\ntables = [\"shop.*\"]\n{rest}");
        let read_file =
            |path: &str| if path == "pw" { Ok("secret \r\n".to_owned()) } else { Err("no such file".to_owned()) };
        Config::resolve(&text, &|_| None, &read_file).unwrap()
    }

    #[test]
    fn start_positions() {
        let check = |text: &str, expected| assert_eq!(resolve(text, "").mysql.start, expected, "{text}");
        check("", Start::Snapshot);
        check("start = \"current\"", Start::Current);
        let file = "binlog.000042".to_owned();
        check("start = { file = \"binlog.000042\", offset = 5000000000 }", Start::File { file, offset: 5_000_000_000 });
        check("[mysql.start]\ngtid = \"a:1-5\"", Start::Gtid("a:1-5".to_owned()));
    }

    #[test]
    fn quantities_have_units() {
        let pipeline = resolve("", "[pipeline]\nbatch_timeout = \"1m 5s\"\nmemory_limit = \"1GiB\"").pipeline;
        assert_eq!((pipeline.batch_timeout, pipeline.memory_limit_bytes), (Duration::from_secs(65), 1 << 30));
        assert_eq!((pipeline.batch_bytes, pipeline.worker_count), (8 << 20, 4));
    }

    #[test]
    fn a_password_file_ends_with_its_line() {
        let config = resolve("password_file = \"pw\"", "");
        assert_eq!(config.mysql.password.expose(), "secret ");
        assert!(!format!("{config:?}").contains("secret"), "{config:?}");
    }

    #[test]
    fn server_ids_are_stable_and_differ_by_name() {
        let mysql = resolve("", "").mysql;
        assert_eq!(mysql.server_id_for("main"), 0xea90_e208);
        assert_ne!(mysql.server_id_for("main"), mysql.server_id_for("main2"));
        assert_eq!(resolve("server_id = 7", "").mysql.server_id_for("main"), 7);
    }

    #[test]
    fn renames_go_by_the_source_name() {
        let name = |database: &str, table: &str| TableName { database: database.to_owned(), table: table.to_owned() };
        let replicate = resolve("", "[[replicate.rule]]\ntable = \"shop.a\"\nrename = \"mart.`b c`\"").replicate;
        assert_eq!(replicate.target_name(&name("shop", "a")), name("mart", "b c"));
        assert_eq!(replicate.target_name(&name("shop", "b")), name("shop", "b"));
        assert!(replicate.selection.selects(&name("shop", "a")));
    }
}
