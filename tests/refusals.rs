//! Bad input: a clear text with the remedy, the exit code of the interface, and nothing written to the target.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::Path;

use support::bridge::{Bridge, Config, Ended, run_command, run_with};
use support::fixture::Fixture;
use support::servers::Servers;

const TABLE: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(50))";

fn with_table(name: &str) -> Fixture {
    let test = Fixture::new(name);
    test.sql(TABLE);
    test
}

/// The text must say all of these; `a|b` is one of several.
fn assert_says(ended: &Ended, words: &[&str]) {
    let text = ended.text().to_lowercase();
    for word in words {
        let said = word.split('|').any(|word| text.contains(&word.to_lowercase()));
        assert!(said, "nothing about `{word}` (exit code {:?}) in:\n{}", ended.code, ended.text());
    }
}

/// `run` must fail with this exit code and these words, and leave ClickHouse's database as it was.
fn assert_run_refused(test: &Fixture, config: &Config, code: i32, words: &[&str]) {
    let before = test.clickhouse_tables();
    let ended = run_command("run", config);
    assert_eq!(ended.code, Some(code), "{}", ended.text());
    assert_says(&ended, words);
    assert!(!ended.text().contains("panicked"), "{}", ended.text());
    assert_eq!(test.clickhouse_tables(), before, "run was refused, but made tables");
}

/// `run` fails with 1, `check` with 3, both with these words.
fn assert_refused(test: &Fixture, config: &Config, words: &[&str]) {
    assert_run_refused(test, config, 1, words);
    let ended = run_command("check", config);
    assert_eq!(ended.code, Some(3), "check: {}", ended.text());
    assert_says(&ended, words);
}

#[test]
fn check_is_content_when_all_is_well() {
    let test = with_table("check_ok");
    let ended = run_command("check", &test.config());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert!(test.clickhouse_tables().is_empty(), "check made tables");
}

#[test]
fn a_wrong_password_of_mysql() {
    let test = with_table("password_mysql");
    let mut config = test.config();
    config.set("mysql.password", "not-this-one");
    assert_refused(&test, &config, &["bridge", "access denied|password"]);
    let text = run_command("run", &config).text();
    assert!(!text.contains("not-this-one"), "the password is in the log: {text}");
}

#[test]
fn a_wrong_password_of_clickhouse() {
    let test = with_table("password_clickhouse");
    let mut config = test.config();
    config.set("clickhouse.password", "not-this-one");
    assert_refused(&test, &config, &["bridge", "password"]);
    let text = run_command("run", &config).text();
    assert!(!text.contains("not-this-one"), "the password is in the log: {text}");
}

#[test]
fn unknown_hosts() {
    let test = with_table("hosts");
    let mut config = test.config();
    config.set("mysql.host", "no-such-host.invalid");
    assert_refused(&test, &config, &["no-such-host.invalid"]);

    let mut config = test.config();
    config.set("clickhouse.url", "http://no-such-host.invalid:8123");
    assert_refused(&test, &config, &["no-such-host.invalid"]);
}

#[test]
fn ports_where_nobody_listens() {
    let test = with_table("ports");
    let mut config = test.config();
    let port = support::bridge::free_port();
    config.set("mysql.port", i64::from(port));
    assert_refused(&test, &config, &[&port.to_string()]);

    let mut config = test.config();
    config.set("clickhouse.url", format!("http://127.0.0.1:{port}"));
    assert_refused(&test, &config, &[&port.to_string()]);
}

/// An account of MySQL with these rights only, and the configuration that uses it.
fn as_account(test: &Fixture, name: &str, grants: &[&str]) -> Config {
    let account = format!("'{name}'@'%'");
    test.sql(&format!("DROP USER IF EXISTS {account};\nCREATE USER {account} IDENTIFIED BY 'some-secret';"));
    for grant in grants {
        test.sql(&format!("GRANT {grant} TO {account}"));
    }
    let mut config = test.config();
    config.set("mysql.user", name).set("mysql.password", "some-secret");
    config
}

#[test]
fn missing_privileges_of_mysql() {
    let test = with_table("privileges");
    let select = format!("SELECT ON {}.*", test.database);
    let config = as_account(&test, "sb_no_slave", &[&select, "REPLICATION CLIENT ON *.*"]);
    assert_refused(&test, &config, &["GRANT REPLICATION SLAVE", "sb_no_slave"]);
    let config = as_account(&test, "sb_no_client", &[&select, "REPLICATION SLAVE ON *.*"]);
    assert_refused(&test, &config, &["REPLICATION CLIENT", "GRANT", "sb_no_client"]);
    let config = as_account(&test, "sb_no_select", &["REPLICATION SLAVE, REPLICATION CLIENT ON *.*"]);
    assert_refused(&test, &config, &["GRANT SELECT"]);
    test.sql("DROP USER sb_no_slave, sb_no_client, sb_no_select");
}

/// The test server's account `default` may do next to nothing.
#[test]
fn a_clickhouse_user_without_rights() {
    let test = with_table("rights");
    let mut config = test.config();
    config.set("clickhouse.user", "default").set("clickhouse.password", "");
    assert_refused(&test, &config, &["GRANT", "default"]);
}

/// Server variables that replication cannot live with, each with the statement that sets it right.
#[test]
fn variables_of_the_source() {
    let test = Fixture::on(Servers::own_mysql("refusals", &[]), "variables");
    test.sql(TABLE);
    let wrong = [
        ("binlog_format", "STATEMENT", "ROW"),
        ("binlog_format", "MIXED", "ROW"),
        ("binlog_row_image", "MINIMAL", "FULL"),
    ];
    for (variable, value, right) in wrong {
        test.sql(&format!("SET GLOBAL {variable} = '{value}'"));
        assert_refused(&test, &test.config(), &[variable, value, "SET PERSIST|SET GLOBAL", right]);
        test.sql(&format!("SET GLOBAL {variable} = '{right}'"));
    }
    let ended = run_command("check", &test.config());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
}

#[test]
fn a_source_without_binlog() {
    let test = Fixture::on(Servers::own_mysql("no-binlog", &["--skip-log-bin"]), "no_binlog");
    test.sql(TABLE);
    assert_refused(&test, &test.config(), &["log_bin=OFF", "--log-bin"]);
}

#[test]
fn foreign_keys_whose_changes_are_not_logged() {
    let native = Servers::own_mysql("refusals-native", &["--innodb-native-foreign-keys=ON"]);
    let test = Fixture::on(native, "cascades");
    test.sql(TABLE);
    test.sql(
        "CREATE TABLE child (id INT PRIMARY KEY, t INT, \
         CONSTRAINT goes_along FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE);",
    );
    assert_refused(&test, &test.config(), &["child", "goes_along", "DROP FOREIGN KEY"]);
}

#[test]
fn engines_whose_row_events_are_not_their_rows() {
    let test = with_table("engines");
    test.sql("CREATE TABLE part (id INT NOT NULL, KEY (id)) ENGINE = MyISAM;");
    test.sql("CREATE TABLE whole (id INT NOT NULL, KEY (id)) ENGINE = MERGE UNION = (part) INSERT_METHOD = LAST;");
    assert_refused(&test, &test.config(), &["whole", "MRG_MYISAM", "ENGINE = InnoDB", "replicate.exclude"]);
}

#[test]
fn mistakes_in_the_configuration() {
    let test = with_table("config");
    let cases: [(&str, toml::Value, &[&str]); 8] = [
        ("pipeline.batch_sise", 5.into(), &["batch_sise", "batch_size"]),
        ("mysqll.host", "x".into(), &["mysqll", "mysql"]),
        ("pipeline.batch_timeout", "soon".into(), &["batch_timeout"]),
        ("pipeline.memory_limit", "many".into(), &["memory_limit"]),
        ("pipeline.worker_count", 0.into(), &["worker_count"]),
        ("mysql.start", "yesterday".into(), &["start", "snapshot"]),
        ("mysql.password", "${STREAM_BRIDGE_NO_SUCH_VARIABLE}".into(), &["STREAM_BRIDGE_NO_SUCH_VARIABLE"]),
        ("clickhouse.url", "127.0.0.1:8123".into(), &["url", "http"]),
    ];
    for (key, value, words) in cases {
        let mut config = test.config();
        config.set(key, value);
        assert_run_refused(&test, &config, 2, words);
        assert_eq!(run_command("check", &config).code, Some(2), "check with {key}");
    }
}

/// What the next versions build must be refused, not ignored.
#[test]
fn what_is_not_built_yet() {
    let test = with_table("unbuilt");
    let cases: [(&str, toml::Value, &str); 2] = [
        ("clickhouse.current_views", true.into(), "current_views"),
        ("clickhouse.compression", "zstd".into(), "compression"),
    ];
    for (key, value, word) in cases {
        let mut config = test.config();
        config.set(key, value);
        assert_run_refused(&test, &config, 2, &[word]);
    }
}

#[test]
fn no_configuration_and_no_sense_on_the_command_line() {
    let folder = tempfile::TempDir::new().unwrap();
    let ended = run_with(&["run", "--config", "no/such/file.toml"], folder.path());
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert_says(&ended, &["no/such/file.toml"]);
    for arguments in [&["rum"][..], &["run", "--no-such-option"], &[]] {
        let ended = run_with(arguments, folder.path());
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.text());
        assert!(ended.text().contains("Usage"), "{arguments:?}: {}", ended.text());
    }
}

#[test]
fn a_pattern_that_matches_no_table() {
    let test = with_table("nothing");
    let mut config = test.config();
    config.set("replicate.tables", vec![format!("{}.absent", test.database)]);
    assert_refused(&test, &config, &["absent", "replicate.tables"]);
}

/// All are told at once.
#[test]
fn tables_that_cannot_be_replicated() {
    let test = with_table("tables");
    test.sql(
        "CREATE TABLE keyless (id INT, _n VARCHAR(5));
         CREATE TABLE _hidden (id INT NOT NULL PRIMARY KEY, _version INT);",
    );
    let words = ["keyless", "_n is taken", "_hidden", "_version"];
    assert_refused(&test, &test.config(), &words);
}

/// Tables that exist in ClickHouse in a shape that cannot be used: refused with the table's name, and left alone.
#[test]
fn targets_in_an_impossible_shape() {
    let test = with_table("targets");
    test.clickhouse("CREATE DATABASE `{db}`");
    let columns = "id Int32, name Nullable(String), _version UInt64, _is_deleted UInt8";
    let engine = "ReplacingMergeTree(_version, _is_deleted)";
    let cases = [
        (columns.replace("Nullable(String)", "Array(Int32)"), engine, "id", "column `name`"),
        (columns.replace("id Int32", "id UUID"), engine, "id", "column `id`"),
        (columns.replace("id Int32", "id Float64"), engine, "id", "column `id`"),
        (columns.replace("Nullable(String)", "String"), engine, "id", "column `name`"),
        (columns.replace(" name Nullable(String),", ""), engine, "id", "column `name`"),
        (columns.replace("UInt64", "UInt32"), engine, "id", "_version"),
        (columns.to_owned(), "MergeTree", "id", "engine|ReplacingMergeTree"),
        (columns.to_owned(), "ReplacingMergeTree", "id", "engine|ReplacingMergeTree"),
        (columns.to_owned(), "ReplacingMergeTree(_version)", "id", "engine|ReplacingMergeTree"),
        (columns.to_owned(), engine, "tuple()", "sorting key|order by"),
        (columns.to_owned(), engine, "(id, _version)", "sorting key|order by"),
    ];
    for (columns, engine, order, word) in cases {
        test.clickhouse(&format!("CREATE TABLE `{{db}}`.t ({columns}) ENGINE = {engine} ORDER BY {order}"));
        let before = test.clickhouse("SHOW CREATE TABLE `{db}`.t");
        assert_refused(&test, &test.config(), &[&format!("{}.t", test.database), word]);
        assert_eq!(test.clickhouse("SHOW CREATE TABLE `{db}`.t"), before);
        test.clickhouse("DROP TABLE `{db}`.t SYNC");
    }
}

/// A target of the user's own that fits is used as it is.
#[test]
fn a_fitting_target_is_used_as_it_is() {
    let test = with_table("fitting");
    test.clickhouse("CREATE DATABASE `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.t (name Nullable(String), id Int32, note String DEFAULT 'own', _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) PARTITION BY intDiv(id, 10) ORDER BY id",
    );
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES (1, 'one'), (2000000000, NULL);\nUPDATE t SET id = 11 WHERE id = 1;");
    bridge.wait_caught_up(&test, support::bridge::PATIENCE);
    test.assert_equal("t");
    assert_eq!(test.clickhouse("SELECT DISTINCT note FROM `{db}`.t FINAL"), "own");
}

fn replay(file: &Path, folder: &Path) -> Ended {
    run_with(&["replay", file.to_str().unwrap()], folder)
}

/// A binlog file as it is, cut, and with one byte changed.
#[test]
fn binlog_files_that_are_cut_or_corrupt() {
    let test = Fixture::on(Servers::own_mysql("replay", &[]), "replay");
    test.sql(TABLE);
    test.sql("INSERT INTO t VALUES (1, 'one'), (2, 'two');\nUPDATE t SET name = 'more';");
    let file: String = test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").0;
    test.sql("FLUSH BINARY LOGS");
    let bytes = std::fs::read(Path::new(&test.row::<String>("SELECT @@datadir")).join(&file)).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join(&file);

    std::fs::write(&path, &bytes).unwrap();
    let ended = replay(&path, folder.path());
    assert_eq!(ended.code, Some(0), "{}", ended.text());

    std::fs::write(&path, &bytes[..bytes.len() - 50]).unwrap();
    let ended = replay(&path, folder.path());
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert_says(&ended, &[&file]);

    let mut changed = bytes.clone();
    let middle = bytes.windows(3).rposition(|it| it == b"two").unwrap();
    changed[middle] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    let ended = replay(&path, folder.path());
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    assert_says(&ended, &[&file, "checksum|crc"]);

    for (bytes, words) in [
        (&b"no binlog at all"[..], &[file.as_str(), "no binlog file"][..]),
        (b"", &[&file, "no binlog file"]),
        (b"\xfebi", &[&file, "no binlog file"]),
        (&bytes[..23], &[&file, "cut off"]),
        (b"\xfdbin\x01\x01\0\0\0", &[&file, "encrypted", "binlog_encryption"]),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let ended = replay(&path, folder.path());
        assert_eq!(ended.code, Some(1), "{}", ended.text());
        assert_says(&ended, words);
    }
    let ended = replay(folder.path(), folder.path());
    assert_eq!(ended.code, Some(1), "{}", ended.text());
    let ended = replay(&folder.path().join("no.000001"), folder.path());
    assert_eq!(ended.code, Some(2), "{}", ended.text());
    assert_says(&ended, &["no.000001", "cannot read"]);
}

/// What a server writes with the least metadata, without checksums and GTIDs: the rows, under names of their own.
#[test]
fn a_binlog_file_without_metadata_checksums_and_gtids() {
    let options = [
        "--binlog-row-metadata=MINIMAL",
        "--binlog-checksum=NONE",
        "--gtid-mode=OFF",
        "--enforce-gtid-consistency=OFF",
    ];
    let test = Fixture::on(Servers::own_mysql("replay-minimal", &options), "replay_minimal");
    test.sql(
        "CREATE TABLE t (id INT UNSIGNED NOT NULL PRIMARY KEY, c CHAR(5) CHARACTER SET latin1, b BINARY(3), e ENUM('x', 'y'), s SET('p', 'q', 'r'), j JSON);
         INSERT INTO t VALUES (4294967295, 'ü', X'41', 'y', 'p,r', '{\"a\": 1.5}'), (1, NULL, NULL, NULL, NULL, NULL);",
    );
    let file: String = test.row::<(String, u64, String, String, String)>("SHOW BINARY LOG STATUS").0;
    test.sql("FLUSH BINARY LOGS");
    let path = Path::new(&test.row::<String>("SELECT @@datadir")).join(&file);
    let folder = tempfile::TempDir::new().unwrap();
    let (path, out) = (path.to_str().unwrap(), folder.path().to_str().unwrap());
    let ended = run_with(&["replay", path, "--json", "--output", out], folder.path());
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let table = &report["tables"][0];
    let structure = table["structure"].as_str().unwrap().replace('\'', "\\'");
    let rows = std::fs::read(folder.path().join(format!("{}.rowbinary", table["table"].as_str().unwrap()))).unwrap();
    let hex: String = rows.iter().map(|byte| format!("{byte:02x}")).collect();
    let read = format!("SELECT * EXCEPT _version FROM format(RowBinary, '{structure}', unhex('{hex}')) ORDER BY `@1`");
    let null = "\\N\t\\N\t\\N\t\\N\t\\N";
    assert_eq!(test.clickhouse(&read), format!("1\t{null}\t0\n4294967295\tü\tA\\0\\0\t2\t5\t{{\"a\": 1.5}}\t0"));
}
