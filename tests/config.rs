//! The real binary on good and bad configurations: what it says, and that it leaves with 2.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic as tests do")]

use std::process::{Command, Output};

/// The smallest useful configuration (DESIGN 9).
const TWELVE_LINES: &str = r#"
[mysql]
host = "127.0.0.1"
port = 3306
user = "bridge"
password = "s3cret-source"
[clickhouse]
url = "http://127.0.0.1:8123"
user = "bridge"
password = "s3cret-target"
[replicate]
tables = ["shop.*", "app.orders"]
"#;

fn bridge(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bridge.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("password"), "s3cret-file\n").unwrap();
    Command::new(env!("CARGO_BIN_EXE_stream-bridge"))
        .args(arguments)
        .arg("--config")
        .arg(file)
        .current_dir(folder.path())
        .env("BRIDGE_TEST_SET", "from-environment")
        .env_remove("BRIDGE_TEST_UNSET")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The twelve lines with `line` put into `[section]`.
fn with(section: &str, line: &str) -> String {
    let head = format!("[{section}]\n");
    if TWELVE_LINES.contains(&head) {
        TWELVE_LINES.replace(&head, &format!("{head}{line}\n"))
    } else {
        format!("{TWELVE_LINES}{head}{line}\n")
    }
}

/// `config`, `check` and `run` all refuse the text with 2 and say `parts`; nothing is on stdout.
fn refused(text: &str, parts: &[&str]) {
    for command in ["config", "check", "run"] {
        let output = bridge(text, &[command]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command} {text}: {said}");
        assert!(output.stdout.is_empty(), "{command} {text}");
        for part in parts {
            assert!(said.contains(part), "{command}: {part:?} is not in\n{said}");
        }
        assert!(!said.contains("s3cret"), "{said}");
    }
}

fn accepted(text: &str, parts: &[&str]) {
    let output = bridge(text, &["config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn the_twelve_lines_load_and_show_every_default() {
    let output = bridge(TWELVE_LINES, &["config"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown: toml::Table = stdout(&output).parse().unwrap();
    let reference: toml::Table = include_str!("../conf/stream-bridge.toml").parse().unwrap();
    for (section, values) in &reference {
        let Some(values) = values.as_table() else { continue };
        for (key, default) in values {
            let value = &shown[section][key];
            let is_own = TWELVE_LINES.contains(&format!("\n{key} = "))
                && ["mysql", "clickhouse", "replicate"].contains(&section.as_str());
            let is_secret = value.as_str() == Some("(hidden)");
            assert!(value == default || is_own || is_secret, "{section}.{key} = {value}, the reference says {default}");
        }
    }
}

#[test]
fn the_reference_loads_once_it_names_tables() {
    let reference = include_str!("../conf/stream-bridge.toml");
    refused(reference, &["replicate.tables = []: must name the tables"]);
    accepted(&reference.replace("tables = []  ", "tables = [\"shop.*\"]  "), &["batch_size = 100000\n"]);
}

#[test]
fn what_config_shows_loads_again() {
    let output = bridge(TWELVE_LINES, &["config"]);
    accepted(&stdout(&output), &["[http]\n", "password = \"(hidden)\""]);
}

#[test]
fn secrets_are_never_shown() {
    let text =
        with("mysql", "start = \"current\"").replace("password = \"s3cret-target\"", "password_file = \"password\"");
    accepted(&(text + "[http]\ntoken = \"s3cret-token\"\n"), &["token = \"(hidden)\""]);
    let json = bridge(TWELVE_LINES, &["config", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&shown["valid"], &shown["config"]["mysql"]["password"]), (&true.into(), &"(hidden)".into()));
    refused(&TWELVE_LINES.replace("\"s3cret-source\"", "\"s3cret-source"), &["line 6 is not TOML"]);
    refused(&TWELVE_LINES.replace("http://127", "http://bridge:s3cret@127"), &["clickhouse.url", "user or password"]);
    refused(&with("clickhouse", "password_file = \"password\""), &["clickhouse.password_file", "keep one"]);
}

#[test]
fn unknown_keys_name_the_nearest() {
    refused(&with("mysql", "pasword = \"s3cret\""), &["mysql.pasword: unknown key; did you mean mysql.password?"]);
    refused(
        &with("pipeline", "batchsize = 5"),
        &["pipeline.batchsize: unknown key; did you mean pipeline.batch_size?"],
    );
    refused(&with("clickhose", "url = \"\""), &["clickhose: unknown key; did you mean clickhouse?"]);
    let rule = format!("{TWELVE_LINES}[[replicate.rule]]\ntable = \"shop.a\"\nrenme = \"x.y\"\n");
    refused(&rule, &["replicate.rule[1].renme: unknown key; did you mean replicate.rule[1].rename?"]);
    refused(
        &with("mysql", "start = { file = \"b.000001\", offst = 4 }"),
        &["mysql.start.offst", "mysql.start.offset?"],
    );
}

#[test]
fn all_problems_are_named_in_one_run() {
    let text = with("pipeline", "worker_count = 0\nbatch_timeout = \"200\"") + "[stat]\n";
    refused(&text, &["pipeline.worker_count", "pipeline.batch_timeout", "stat: unknown key; did you mean state?"]);
    let json = bridge(&text, &["config", "--json"]);
    let shown: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), shown["problems"].as_array().map(Vec::len)), (Some(2), Some(3)));
}

#[test]
fn wrong_types_units_and_ranges_name_key_value_and_example() {
    let check = |section: &str, line: &str, expected: &str| refused(&with(section, line), &[expected]);
    check(
        "pipeline",
        "batch_timeout = 200",
        "pipeline.batch_timeout = 200: must be a duration in quotes, with its unit; for example batch_timeout = \"200ms\"",
    );
    check(
        "pipeline",
        "batch_timeout = \"2 parsecs\"",
        "pipeline.batch_timeout = \"2 parsecs\": must be a duration from 1ms to 1h; for example",
    );
    check(
        "pipeline",
        "memory_limit = \"256MB\"",
        "pipeline.memory_limit = \"256MB\": must be a size from 16MiB to 1024GiB; for example memory_limit = \"256MiB\"",
    );
    check("pipeline", "memory_limit = \"1MiB\"", "from 16MiB");
    check("pipeline", "memory_limit = \"99999999999999GiB\"", "from 16MiB");
    check(
        "pipeline",
        "batch_bytes = \"200MiB\"\nmemory_limit = \"64MiB\"",
        "pipeline.batch_bytes = \"200MiB\": is above",
    );
    check("pipeline", "worker_count = 65", "pipeline.worker_count = 65: must be a whole number from 1 to 64");
    check("pipeline", "batch_size = 1000001", "(a larger insert is no longer one block)");
    check("pipeline", "batch_size = \"many\"", "pipeline.batch_size = \"many\": must be a whole number");
    check("mysql", "server_id = -1", "mysql.server_id = -1: must be a whole number from 0");
    check("mysql", "tls = \"maybe\"", "mysql.tls = \"maybe\": unknown variant");
    check("mysql", "start = \"now\"", "mysql.start = \"now\": must be \"snapshot\", \"current\"");
    check("mysql", "start = { file = \"binlog\" }", "mysql.start.file = \"binlog\": must be a binlog file's name");
    check("http", "listen = \"9187\"", "http.listen = \"9187\": must be host:port");
    check("log", "level = \"loud\"", "log.level = \"loud\": unknown variant");
    refused(
        &format!("mysql = 3\n{TWELVE_LINES}").replace("[mysql]\n", "[log]\n"),
        &["mysql: must be a section, written [mysql]"],
    );
    refused(&format!("name = \"my pipe\"{TWELVE_LINES}"), &["name = \"my pipe\": must be 1 to 64 letters"]);
    refused(
        &TWELVE_LINES.replace("http://127", "ftp://127"),
        &["clickhouse.url = \"ftp://127", "must be http://host:port"],
    );
    refused(&TWELVE_LINES.replace("\"shop.*\"", "\"shop\""), &["pattern \"shop\" has no dot"]);
}

#[test]
fn variables_come_from_the_environment() {
    accepted(&TWELVE_LINES.replace("\"bridge\"", "\"${BRIDGE_TEST_SET}\""), &["user = \"from-environment\""]);
    refused(
        &TWELVE_LINES.replace("s3cret-source", "${BRIDGE_TEST_UNSET}"),
        &["mysql.password: the environment variable BRIDGE_TEST_UNSET is not set"],
    );
}

#[test]
fn policies_of_schema_changes() {
    for key in ["create_table", "alter_table", "rename_table", "truncate_table", "drop_table"] {
        for policy in ["apply", "ignore", "stop"] {
            let line = format!("{key} = \"{policy}\"");
            accepted(&with("ddl", &line), &[&line]);
        }
        refused(&with("ddl", &format!("{key} = \"halt\"")), &[&format!("ddl.{key} = \"halt\""), "stop"]);
    }
    for policy in ["quarantine", "stop", "continue"] {
        let line = format!("on_failure = \"{policy}\"");
        accepted(&with("ddl", &line), &[&line]);
    }
    refused(&with("ddl", "on_failure = \"retry\""), &["ddl.on_failure = \"retry\"", "continue"]);
    refused(&with("ddl", "alter_table = \"rename\""), &["ddl.alter_table = \"rename\""]);
}

#[test]
fn what_is_not_built_is_refused_not_skipped() {
    let check = |section: &str, line: &str, key: &str| {
        refused(&with(section, line), &[&format!("{section}.{key} = "), "not built yet in this version"]);
    };
    check("mysql", "hosts = [\"db1:3306\"]", "hosts");
    check("clickhouse", "compression = \"zstd\"", "compression");
    check("clickhouse", "current_views = true", "current_views");
    refused(&TWELVE_LINES.replace("http://", "https://"), &["clickhouse.tls_ca", "is needed with https"]);
    refused(&with("clickhouse", "tls_ca = \"no.pem\""), &["clickhouse.tls_ca", "https://"]);
    for line in ["order_by = [\"id\"]", "ignore_deletes = true", "settings = { a = 1 }"] {
        let text = format!("{TWELVE_LINES}[[replicate.rule]]\ntable = \"shop.a\"\n{line}\n");
        refused(&text, &["replicate.rule[1].", "not built yet in this version"]);
    }
}

#[test]
fn columns_have_types_and_policies() {
    let rule = |line: &str| format!("{TWELVE_LINES}[[replicate.rule]]\ntable = \"shop.a\"\n{line}\n");
    accepted(&rule("types = { a = \"Decimal(20,4)\", b = \"LowCardinality(Nullable(String))\" }"), &["Decimal(20,4)"]);
    accepted(&rule("on_bad_value = { a = \"null\", b = \"string\", c = \"fail\" }"), &["a = \"null\""]);
    accepted(&rule("types = { a = \"String\" }\non_bad_value = { a = \"string\" }"), &[]);
    let problem = |line: &str, parts: &[&str]| {
        refused(&rule(line), &[&["replicate.rule[1]."], parts].concat());
    };
    problem("types = { a = \"Strin\" }", &["types", "\"Strin\" is no type that a may have", "a = \"String\""]);
    problem("types = { a = 7 }", &["types.a = 7", "string"]);
    problem("types = \"String\"", &["types = \"String\"", "must be written types = { column = \"..\" }"]);
    problem("on_bad_value = { a = \"drop\" }", &["on_bad_value.a = \"drop\"", "fail", "null", "string"]);
    problem(
        "types = { a = \"Int8\" }\non_bad_value = { A = \"string\" }",
        &["types", "a cannot be Int8: on_bad_value = \"string\" makes it String"],
    );
}

#[test]
fn two_tables_never_flow_into_one() {
    let rule = |table: &str, rename: &str| format!("[[replicate.rule]]\ntable = \"{table}\"\nrename = \"{rename}\"\n");
    accepted(&(TWELVE_LINES.to_owned() + &rule("shop.a", "mart.a")), &["rename = \"mart.a\""]);
    accepted(&(TWELVE_LINES.to_owned() + &rule("shop.a", "shop.b") + &rule("shop.b", "shop.a")), &[]);
    refused(&(TWELVE_LINES.to_owned() + &rule("shop.*", "mart.a")), &["must be one table"]);
    refused(
        &(TWELVE_LINES.to_owned() + &rule("shop.a", "shop.b")),
        &["shop.a is renamed to shop.b, which is itself chosen"],
    );
    refused(
        &(TWELVE_LINES.to_owned() + &rule("shop.a", "m.x") + &rule("shop.b", "m.x")),
        &["two tables are renamed to m.x"],
    );
    refused(&(TWELVE_LINES.to_owned() + &rule("shop.a", "m.x") + &rule("shop.a", "m.y")), &["shop.a has two rules"]);
    refused(&(TWELVE_LINES.to_owned() + &rule("Shop.a", "m.x")), &["Shop.a is not chosen by replicate.tables"]);
}

#[test]
fn usage_errors_leave_with_two() {
    for arguments in [&["fly"][..], &["run", "--fast"], &["replay"], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_stream-bridge")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_stream-bridge")).args(["run", "--config", "missing.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot read the configuration missing.toml"), "{}", stderr(&output));
}

#[test]
fn status_says_when_nothing_listens() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = bridge(&with("http", &format!("listen = \"127.0.0.1:{port}\"")), &["status"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("no running stream-bridge answers on 127.0.0.1:"), "{}", stderr(&output));
    let output = bridge(&with("http", "listen = \"\""), &["status"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn status_shows_the_running_process() {
    let listener = stream_bridge::http::bind("127.0.0.1:0").unwrap().unwrap();
    let text = with("http", &format!("listen = \"{}\"", listener.address()));
    let status = std::sync::Arc::new(stream_bridge::metrics::Status::starting());
    let (commands, _inbox) = crossbeam_channel::unbounded();
    let config = stream_bridge::config::Config::resolve(&text, &|_| None, &|_| Ok(String::new())).unwrap();
    let interface = stream_bridge::http::Interface::new(status, commands, config.http);
    let (table, json) = std::thread::scope(|scope| {
        scope.spawn(|| listener.run(&interface));
        let outputs = (bridge(&text, &["status"]), bridge(&text, &["status", "--json"]));
        listener.stop();
        outputs
    });
    assert!(stdout(&table).starts_with("state       starting, lag 0.0 s\n"), "{}{}", stdout(&table), stderr(&table));
    let picture: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(picture["state"], "starting");
}
