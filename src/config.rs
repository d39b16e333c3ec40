//! The configuration as the rest of the program uses it: every value checked, nothing after this can fail on it.
//!
//! Two stages, as typed and as used: [`Config::resolve`] parses TOML, expands `${VAR}`, and reads each key once through a
//! [`section::Section`], which knows defaults, units and ranges and collects **all** problems before it answers.
//! Keys whose behaviour this version lacks are read too: anything but their default is refused, never skipped.
//! Pure: the text, the environment and password files come in as arguments. The keys are those of
//! `conf/stream-bridge.toml`, with the same names; the texts of errors never hold a secret.

mod expand;
mod section;
mod selection;

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::position::file_number;
use crate::schema::types::TableName;
use section::Section;
pub use selection::Selection;

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
    /// Encryption of the connection.
    pub tls: Tls,
    /// Where to begin without a checkpoint.
    pub start: Start,
    /// What to do when the source no longer has our position.
    pub on_lost_position: OnLostPosition,
    /// How often an idle source sends a sign of life.
    pub heartbeat: Duration,
    /// Limit of connecting and logging in.
    pub connect_timeout: Duration,
}

/// `mysql.tls`, as far as this version has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// Never encrypted.
    Disabled,
    /// Encrypted when both sides can; this version cannot, so it is plain.
    #[default]
    Preferred,
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

/// `mysql.on_lost_position`, as far as this version has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLostPosition {
    /// Copy again; acts as [`OnLostPosition::Fail`] until copying is built.
    #[default]
    Snapshot,
    /// Stop with an error.
    Fail,
}

/// `[clickhouse]`
#[derive(Debug, Clone)]
pub struct ClickHouseConfig {
    /// `http://host:port` without a slash at its end.
    pub url: String,
    /// Account.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Setting `insert_quorum` of our inserts; 0 leaves it out.
    pub insert_quorum: u32,
    /// Limit of one request, answer included.
    pub request_timeout: Duration,
    /// Limit of connecting.
    pub connect_timeout: Duration,
}

/// `[replicate]`
#[derive(Debug, Clone)]
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
    /// Asked of requests that change something; this version has none.
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

/// Reads a password file; the error says why it cannot.
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
        let name = pipeline_name(&mut root);
        let mysql = root.section("mysql", |section| mysql(section, read_file));
        let clickhouse = root.section("clickhouse", |section| clickhouse(section, read_file));
        let replicate = root.section("replicate", replicate);
        let pipeline = root.section("pipeline", pipeline);
        root.section("ddl", ddl);
        root.section("snapshot", snapshot);
        root.section("verify", verify);
        let state = root.section("state", state);
        let http = root.section("http", http);
        let log = root.section("log", log);
        let (effective, problems) = root.finish();
        if !problems.is_empty() {
            return Err(Error::new(ErrorKind::Config, problems.join("\n")));
        }
        Ok(Self { name, mysql, clickhouse, replicate, pipeline, state, http, log, effective })
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

fn pipeline_name(root: &mut Section) -> String {
    let name = root.string("name", "main");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        root.problem("name", "must be 1 to 64 letters, digits, `_` or `-`; for example name = \"main\"");
    }
    name
}

fn mysql(section: &mut Section, read_file: ReadFile<'_>) -> MysqlConfig {
    section.not_built("hosts", toml::Value::Array(Vec::new()));
    for key in ["tls_ca", "tls_cert", "tls_key"] {
        section.not_built(key, "");
    }
    MysqlConfig {
        host: section.filled("host", "127.0.0.1"),
        port: section.integer("port", 3306, 1..=u16::MAX, "a TCP port"),
        socket: Some(section.string("socket", "")).filter(|path| !path.is_empty()),
        user: section.filled("user", "bridge"),
        password: password(section, read_file),
        server_id: section.integer("server_id", 0, 0..=u32::MAX, "32 bits; 0 derives it from the name"),
        tls: section.choice("tls", "preferred", &["required", "verify_ca", "verify_identity"]),
        start: start(section),
        on_lost_position: section.choice("on_lost_position", "snapshot", &["current"]),
        heartbeat: section.duration("heartbeat", "1s", "10ms", "1h"),
        connect_timeout: section.duration("connect_timeout", "10s", "10ms", "1h"),
    }
}

impl MysqlConfig {
    /// The replica id to register with: as configured, or from the pipeline's name, in the upper half of the 32 bits,
    /// where few servers live. The same name gives the same id (FNV-1a).
    pub fn server_id_for(&self, name: &str) -> u32 {
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        if self.server_id == 0 { hash | 1 << 31 } else { self.server_id }
    }
}

fn start(section: &mut Section) -> Start {
    if section.is_table("start") {
        return section.section("start", start_position);
    }
    match section.string("start", "snapshot").as_str() {
        "snapshot" => Start::Snapshot,
        "current" => Start::Current,
        _ => {
            section.problem(
                "start",
                "must be \"snapshot\", \"current\", { file = \"binlog.000042\", offset = 4 } or { gtid = \"..\" }",
            );
            Start::default()
        }
    }
}

fn start_position(section: &mut Section) -> Start {
    if section.is_given("gtid") {
        return Start::Gtid(section.filled("gtid", ""));
    }
    let file = section.filled("file", "");
    if file_number(&file).is_err() {
        section.problem("file", "must be a binlog file's name; for example file = \"binlog.000042\"");
    }
    let offset = section.integer("offset", 4, 4..=i64::MAX.unsigned_abs(), "the first event of a file is at 4");
    Start::File { file, offset }
}

fn password(section: &mut Section, read_file: ReadFile<'_>) -> Secret {
    let password = section.secret("password");
    let file = section.string("password_file", "");
    if file.is_empty() {
        return password;
    }
    if !password.expose().is_empty() {
        section.problem("password_file", "is given together with password: keep one of them");
    }
    match read_file(&file) {
        Ok(text) => Secret::new(text.trim_end_matches(['\n', '\r'])),
        Err(reason) => {
            section.problem("password_file", &format!("cannot be read: {reason}"));
            Secret::default()
        }
    }
}

fn clickhouse(section: &mut Section, read_file: ReadFile<'_>) -> ClickHouseConfig {
    for key in ["tls_ca", "tls_cert", "tls_key"] {
        section.not_built(key, "");
    }
    section.not_built("compression", "none");
    section.not_built("current_views", false);
    ClickHouseConfig {
        url: url(section),
        user: section.filled("user", "default"),
        password: password(section, read_file),
        insert_quorum: section.integer("insert_quorum", 0, 0..=1000, "replicas; 0 leaves the setting out"),
        request_timeout: section.duration("request_timeout", "5m", "100ms", "1d"),
        connect_timeout: section.duration("connect_timeout", "10s", "10ms", "1h"),
    }
}

fn url(section: &mut Section) -> String {
    let url = section.url("url", "http://127.0.0.1:8123");
    if url.starts_with("https://") {
        section.problem("url", "https is not built yet in this version; use http:// inside a trusted network");
        return url;
    }
    let host = url.strip_prefix("http://").unwrap_or_default();
    if host.is_empty() || host.starts_with([':', '/']) || host.contains(['?', '#', ' ']) {
        section
            .problem("url", "must be http://host:port without parameters; for example url = \"http://127.0.0.1:8123\"");
    }
    url.trim_end_matches('/').to_owned()
}

fn replicate(section: &mut Section) -> ReplicateConfig {
    let tables = section.strings("tables");
    let exclude = section.strings("exclude");
    if tables.is_empty() {
        section
            .problem("tables", "must name the tables to replicate; for example tables = [\"shop.*\", \"app.orders\"]");
    }
    let selection = Selection::compile(&tables, &exclude).unwrap_or_else(|problems| {
        problems.iter().for_each(|(key, text)| section.problem(key, text));
        Selection::default()
    });
    let rules: Vec<Rule> = section.sections("rule", rule).into_iter().flatten().collect();
    let replicate = ReplicateConfig { tables, exclude, rules, selection };
    replicate.colliding_targets().iter().for_each(|text| section.problem("rule", text));
    replicate
}

fn rule(section: &mut Section) -> Option<Rule> {
    for key in ["exclude_columns", "rename_columns", "order_by", "partition_by", "settings", "where", "types"] {
        section.not_built_at_all(key);
    }
    section.not_built_at_all("on_bad_value");
    section.not_built("ignore_deletes", false);
    let table = table_name(section, "table")?;
    let rename = if section.is_given("rename") { table_name(section, "rename") } else { None };
    Some(Rule { table, rename })
}

fn table_name(section: &mut Section, key: &'static str) -> Option<TableName> {
    let text = section.string(key, "");
    let name = selection::table_name(&text);
    if let Err(reason) = &name {
        section.problem(key, reason);
    }
    name.ok()
}

impl ReplicateConfig {
    /// The target's name for a source table.
    pub fn target_name(&self, source: &TableName) -> TableName {
        let rule = self.rules.iter().find(|rule| rule.table == *source);
        rule.and_then(|rule| rule.rename.as_ref()).unwrap_or(source).clone()
    }

    /// Renames by which two source tables could flow into one target: their keys would overwrite each other.
    fn colliding_targets(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if self.rules.iter().take(index).any(|other| other.table == rule.table) {
                problems.push(format!("{} has two rules: make them one", rule.table));
            }
            let Some(target) = &rule.rename else { continue };
            if self.rules.iter().take(index).any(|other| other.rename.as_ref() == Some(target)) {
                problems.push(format!("two tables are renamed to {target}: give each its own target"));
            }
            if rule.table != *target && self.selection.selects(target) && self.target_name(target) == *target {
                problems.push(format!(
                    "{} is renamed to {target}, which is itself chosen by replicate.tables: put it into replicate.exclude or choose another name",
                    rule.table
                ));
            }
        }
        problems
    }
}

fn pipeline(section: &mut Section) -> PipelineConfig {
    let pipeline = PipelineConfig {
        worker_count: section.integer("worker_count", 4, 1..=64, "each is a thread with an insert under way"),
        batch_size: section.integer("batch_size", 100_000, 1..=1_000_000, "a larger insert is no longer one block"),
        batch_bytes: section.size("batch_bytes", "16MiB", "4KiB", "256MiB"),
        batch_timeout: section.duration("batch_timeout", "200ms", "1ms", "1h"),
        min_insert_interval: section.duration("min_insert_interval", "20ms", "0ms", "5s"),
        max_inserts_per_second: section.integer("max_inserts_per_second", 200, 1..=100_000, "all tables together"),
        memory_limit_bytes: section.size("memory_limit", "256MiB", "16MiB", "1024GiB"),
        ddl_flush_timeout: section.duration("ddl_flush_timeout", "1m", "1s", "1d"),
        retry_attempts: section.integer("retry_attempts", 0, 0..=u32::MAX, "0 is for ever"),
        retry_max_interval: section.duration("retry_max_interval", "30s", "10ms", "1h"),
        shutdown_timeout: section.duration("shutdown_timeout", "30s", "100ms", "1d"),
    };
    if pipeline.batch_bytes > pipeline.memory_limit_bytes {
        section.problem("batch_bytes", "is above pipeline.memory_limit, so no batch could fill: lower it");
    }
    pipeline
}

fn ddl(section: &mut Section) {
    for key in ["create_table", "alter_table", "rename_table", "truncate_table", "drop_table"] {
        section.not_built(key, "apply");
    }
    section.not_built("on_failure", "quarantine");
}

fn snapshot(section: &mut Section) {
    section.not_built("connections", 2);
    section.not_built("chunk_rows", 100_000);
    section.not_built("max_rows_per_second", 0);
}

fn verify(section: &mut Section) {
    section.not_built("max_rows_per_second", 0);
}

fn state(section: &mut Section) -> StateConfig {
    let database = section.filled("database", "stream_bridge");
    if !database.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        section.problem("database", "must be letters, digits and `_`; for example database = \"stream_bridge\"");
    }
    StateConfig {
        database,
        checkpoint_interval: section.duration("checkpoint_interval", "30s", "100ms", "1d"),
        checkpoint_events: section.integer("checkpoint_events", 1000, 1..=1_000_000_000, "rows events"),
        checkpoint_ttl: section.duration("checkpoint_ttl", "30d", "1h", "36500d"),
    }
}

fn http(section: &mut Section) -> HttpConfig {
    let listen = section.string("listen", "127.0.0.1:9187");
    let port = listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !listen.is_empty() && !matches!(port, Some(Ok(_))) {
        section.problem("listen", "must be host:port, or \"\" for off; for example listen = \"127.0.0.1:9187\"");
    }
    let token = section.secret("token");
    HttpConfig { listen, token, stuck_after: section.duration("stuck_after", "5m", "1s", "1d") }
}

fn log(section: &mut Section) -> LogConfig {
    LogConfig { level: section.choice("level", "info", &[]), format: section.choice("format", "text", &[]) }
}
