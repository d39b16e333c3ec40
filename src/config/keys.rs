//! Every key with its default, unit and range, section by section, in the order of `conf/stream-bridge.toml`.
//!
//! What no unit or range can say is checked here too: a URL, a start position, renames by which two tables would meet.

use super::section::Section;
use super::selection::{Selection, table_name};
use super::tls::{https, tls};
use super::{
    ClickHouseConfig, DdlConfig, Files, HttpConfig, LogConfig, MysqlConfig, PipelineConfig, ReadFile, ReplicateConfig,
    Rule, Secret, SnapshotConfig, Start, StateConfig, VerifyConfig,
};
use crate::position::file_number;
use crate::schema::choices::{Choices, OnBadValue};
use crate::schema::target_type::{Base, TargetType};
use crate::schema::types::TableName;

/// `name`
pub fn pipeline_name(root: &mut Section) -> String {
    let name = root.string("name", "main");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        root.problem("name", "must be 1 to 64 letters, digits, `_` or `-`; for example name = \"main\"");
    }
    name
}

/// `[mysql]`
pub fn mysql(section: &mut Section, read_file: ReadFile<'_>) -> MysqlConfig {
    let mysql = MysqlConfig {
        host: section.filled("host", "127.0.0.1"),
        port: section.integer("port", 3306, 1..=u16::MAX, "a TCP port"),
        socket: Some(section.string("socket", "")).filter(|path| !path.is_empty()),
        user: section.filled("user", "bridge"),
        password: password(section, read_file),
        server_id: section.integer("server_id", 0, 0..=u32::MAX, "32 bits; 0 derives it from the name"),
        tls: tls(section, read_file),
        files: Files::of(section),
        start: start(section),
        on_lost_position: section.choice("on_lost_position", "snapshot"),
        heartbeat: section.duration("heartbeat", "1s", "10ms", "1m"),
        connect_timeout: section.duration("connect_timeout", "10s", "10ms", "1h"),
    };
    section.not_built("hosts", toml::Value::Array(Vec::new()));
    mysql
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

/// `password` or `password_file`.
pub fn password(section: &mut Section, read_file: ReadFile<'_>) -> Secret {
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

/// `[clickhouse]`
pub fn clickhouse(section: &mut Section, read_file: ReadFile<'_>) -> ClickHouseConfig {
    let url = url(section);
    let clickhouse = ClickHouseConfig {
        https: https(section, url.starts_with("https://"), read_file),
        url,
        user: section.filled("user", "default"),
        password: password(section, read_file),
        files: Files::of(section),
        insert_quorum: section.integer("insert_quorum", 0, 0..=1000, "replicas; 0 leaves the setting out"),
        request_timeout: section.duration("request_timeout", "5m", "100ms", "1d"),
        connect_timeout: section.duration("connect_timeout", "10s", "10ms", "1h"),
    };
    section.not_built("compression", "none");
    section.not_built("current_views", false);
    clickhouse
}

fn url(section: &mut Section) -> String {
    let url = section.url("url", "http://127.0.0.1:8123");
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    if host.is_empty() || host.starts_with([':', '/']) || host.contains(['?', '#', ' ']) {
        section
            .problem("url", "must be http://host:port without parameters; for example url = \"http://127.0.0.1:8123\"");
    }
    url.trim_end_matches('/').to_owned()
}

/// `[replicate]`
pub fn replicate(section: &mut Section) -> ReplicateConfig {
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
    let problems = [unused_rules(&replicate), colliding_targets(&replicate)].concat();
    problems.iter().for_each(|text| section.problem("rule", text));
    replicate
}

/// Rules of tables that are not replicated: a name that is mistaken, or in another case.
fn unused_rules(replicate: &ReplicateConfig) -> Vec<String> {
    let selection = &replicate.selection;
    let unused = replicate.rules.iter().filter(|rule| !selection.is_empty() && !selection.selects(&rule.table));
    unused
        .map(|rule| format!("{} is not chosen by replicate.tables: correct its name, or choose it", rule.table))
        .collect()
}

/// Renames by which two source tables could flow into one target: their keys would overwrite each other.
fn colliding_targets(replicate: &ReplicateConfig) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, rule) in replicate.rules.iter().enumerate() {
        if replicate.rules.iter().take(index).any(|other| other.table == rule.table) {
            problems.push(format!("{} has two rules: make them one", rule.table));
        }
        let Some(target) = &rule.rename else { continue };
        if replicate.rules.iter().take(index).any(|other| other.rename.as_ref() == Some(target)) {
            problems.push(format!("two tables are renamed to {target}: give each its own target"));
        }
        if rule.table != *target && replicate.selection.selects(target) && replicate.target_name(target) == *target {
            problems.push(format!(
                "{} is renamed to {target}, which is itself chosen by replicate.tables: put it into replicate.exclude or choose another name",
                rule.table
            ));
        }
    }
    problems
}

fn rule(section: &mut Section) -> Option<Rule> {
    for key in ["exclude_columns", "rename_columns", "order_by", "partition_by", "settings"] {
        section.not_built_at_all(key);
    }
    section.not_built("ignore_deletes", false);
    let table = one_table(section, "table");
    let rename = if section.is_given("rename") { one_table(section, "rename") } else { None };
    let copy_where = section.is_given("where").then(|| section.filled("where", ""));
    let choices = choices(section);
    Some(Rule { table: table?, rename, copy_where, choices })
}

/// `types` and `on_bad_value`.
fn choices(section: &mut Section) -> Choices {
    let choices = Choices { types: section.by_name("types"), on_bad_value: section.by_name("on_bad_value") };
    for (column, text) in &choices.types {
        let ty = TargetType::parse(text);
        if matches!(ty.base, Base::Other(_)) {
            let text =
                format!("{text:?} is no type that {column} may have; for example types = {{ {column} = \"String\" }}");
            section.problem("types", &text);
        }
        let is_text = choices.of(column).on_bad_value == OnBadValue::String;
        if is_text && ty.base != Base::String {
            let text = format!("{column} cannot be {text}: on_bad_value = \"string\" makes it String");
            section.problem("types", &text);
        }
    }
    choices
}

fn one_table(section: &mut Section, key: &'static str) -> Option<TableName> {
    let text = section.string(key, "");
    let name = table_name(&text);
    if let Err(reason) = &name {
        section.problem(key, reason);
    }
    name.ok()
}

/// `[pipeline]`
pub fn pipeline(section: &mut Section) -> PipelineConfig {
    let pipeline = PipelineConfig {
        worker_count: section.integer("worker_count", 4, 1..=64, "each is a thread with an insert under way"),
        batch_size: section.integer("batch_size", 100_000, 1..=1_000_000, "a larger insert is no longer one block"),
        batch_bytes: section.size("batch_bytes", "8MiB", "4KiB", "256MiB"),
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

/// `[ddl]`
pub fn ddl(section: &mut Section) -> DdlConfig {
    DdlConfig {
        create_table: section.choice("create_table", "apply"),
        alter_table: section.choice("alter_table", "apply"),
        rename_table: section.choice("rename_table", "apply"),
        truncate_table: section.choice("truncate_table", "apply"),
        drop_table: section.choice("drop_table", "apply"),
        on_failure: section.choice("on_failure", "quarantine"),
    }
}

/// `[snapshot]`
pub fn snapshot(section: &mut Section) -> SnapshotConfig {
    SnapshotConfig {
        connections: section.integer("connections", 2, 1..=64, "connections"),
        chunk_rows: section.integer("chunk_rows", 100_000, 1..=1_000_000_000, "rows"),
        max_rows_per_second: section.integer("max_rows_per_second", 0, 0..=1_000_000_000_000, "rows"),
    }
}

/// `[verify]`
pub fn verify(section: &mut Section) -> VerifyConfig {
    VerifyConfig { max_rows_per_second: section.integer("max_rows_per_second", 0, 0..=1_000_000_000_000, "rows") }
}

/// `[state]`
pub fn state(section: &mut Section) -> StateConfig {
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

/// `[http]`
pub fn http(section: &mut Section) -> HttpConfig {
    let listen = section.string("listen", "127.0.0.1:9187");
    let port = listen.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
    if !listen.is_empty() && !matches!(port, Some(Ok(_))) {
        section.problem("listen", "must be host:port, or \"\" for off; for example listen = \"127.0.0.1:9187\"");
    }
    let token = section.secret("token");
    HttpConfig { listen, token, stuck_after: section.duration("stuck_after", "5m", "1s", "1d") }
}

/// `[log]`
pub fn log(section: &mut Section) -> LogConfig {
    LogConfig { level: section.choice("level", "info"), format: section.choice("format", "text") }
}
