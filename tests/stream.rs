//! The way of a row on real servers: small behaviours, one test each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::time::Duration;

use support::bridge::{Bridge, Config, PATIENCE, SourcePosition};
use support::fixture::Fixture;
use support::load::{Shop, create_shop, insert_many};
use support::servers::Servers;
use support::wait_until;

/// How long a transaction of millions of rows may take.
const LONG: Duration = Duration::from_secs(300);

const TABLE: &str = "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(50), at DATETIME(3))";

/// A database with an empty table `t`, and the bridge streaming it.
fn streaming(name: &str) -> (Fixture, Bridge) {
    let test = Fixture::new(name);
    test.sql(TABLE);
    let bridge = Bridge::start(&test.config());
    (test, bridge)
}

#[test]
fn inserts_updates_deletes_and_key_changes() {
    let (test, mut bridge) = streaming("basic");
    let mut step = |sql: &str| {
        test.sql(sql);
        bridge.wait_caught_up(&test, PATIENCE);
        test.assert_equal("t");
    };
    step("INSERT INTO t VALUES (1, 'one', NOW(3)), (2, 'two', NULL), (3, NULL, NULL), (4, '', NULL)");
    step("UPDATE t SET name = CONCAT(name, '!') WHERE id < 3");
    step("DELETE FROM t WHERE id = 3");
    step("UPDATE t SET id = 30 WHERE id = 2");
    step("INSERT INTO t VALUES (2, 'two again', NULL)");
    step(
        "BEGIN;\nUPDATE t SET id = -1 WHERE id = 1;\nUPDATE t SET id = 1 WHERE id = 2;\nUPDATE t SET id = 2 WHERE id = -1;\nCOMMIT;",
    );
    step(
        "BEGIN;\nDELETE FROM t WHERE id = 4;\nINSERT INTO t VALUES (4, 'four', NULL);\nUPDATE t SET name = 'FOUR' WHERE id = 4;\nCOMMIT;",
    );
    step("UPDATE t SET id = id + 1 ORDER BY id DESC");
    step("BEGIN;\nINSERT INTO t VALUES (100, 'never', NULL);\nROLLBACK;\nREPLACE INTO t VALUES (5, 'replaced', NULL);");
    test.sql("DELETE FROM t WHERE id > 1");
    bridge.wait_caught_up(&test, PATIENCE);
    assert!(test.compare("t").is_equal());
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn a_shop_at_work_in_several_tables() {
    let test = Fixture::new("shop");
    create_shop(&test);
    let mut bridge = Bridge::start(&test.config());
    let shop = Shop::open(&test, 3);
    wait_until("2,000 transactions of the shop", PATIENCE, || shop.transactions() >= 2000 || shop.has_failed());
    shop.close();
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

#[test]
fn only_the_chosen_tables() {
    let test = Fixture::new("chosen");
    test.sql("CREATE TABLE wanted (id INT NOT NULL PRIMARY KEY);\nCREATE TABLE excluded (id INT NOT NULL PRIMARY KEY);\nCREATE TABLE no_key (doc JSON);");
    let mut config = test.config();
    config.set("replicate.tables", vec![format!("{}.wanted", test.database), format!("{}.excl*", test.database)]);
    config.set("replicate.exclude", vec![format!("{}.excluded", test.database)]);
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO wanted VALUES (1);\nINSERT INTO excluded VALUES (2);\nINSERT INTO no_key VALUES ('{}');\nALTER TABLE no_key ADD COLUMN c INT;\nINSERT INTO wanted VALUES (3);");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("wanted");
    assert_eq!(test.clickhouse_tables(), ["wanted"]);
}

/// The most resident memory, in MiB, while one transaction of 2 million rows streams through.
fn peak_mib_of_a_large_transaction(name: &str, memory_limit: Option<&str>) -> u64 {
    let test = Fixture::new(name);
    test.sql("CREATE TABLE big (id BIGINT NOT NULL PRIMARY KEY, a INT NOT NULL, b INT NOT NULL, name VARCHAR(40))");
    let mut config = test.config();
    if let Some(limit) = memory_limit {
        config.set("pipeline.memory_limit", limit);
    }
    let mut bridge = Bridge::start(&config);
    insert_many(&test, 2_000_000);
    bridge.wait_caught_up(&test, LONG);
    let peak = bridge.peak_memory_bytes() >> 20;
    println!("memory_limit {}: peak {peak} MiB", memory_limit.unwrap_or("by default"));
    test.assert_equal("big");
    test.sql("UPDATE big SET a = a + 1, id = -id WHERE id % 10 = 0");
    bridge.wait_caught_up(&test, LONG);
    test.assert_equal("big");
    peak.max(bridge.peak_memory_bytes() >> 20)
}

#[test]
fn a_transaction_of_2_million_rows_within_the_default_memory() {
    let peak = peak_mib_of_a_large_transaction("big", None);
    assert!(peak < 300, "{peak} MiB");
}

#[test]
fn a_transaction_of_2_million_rows_within_64_mib() {
    let peak = peak_mib_of_a_large_transaction("big64", Some("64MiB"));
    assert!(peak < 100, "{peak} MiB");
}

#[test]
fn sigterm_saves_and_a_restart_goes_on_from_there() {
    let (test, mut bridge) = streaming("restart");
    test.sql(&format!("INSERT INTO t (id) {} SELECT i FROM n", support::load::numbers(1, 1000)));
    bridge.wait_caught_up(&test, PATIENCE);
    test.sql("INSERT INTO t (id) VALUES (5000)");
    let config = bridge.config().clone();
    assert_eq!(bridge.sigterm(), Some(0));
    let saved = test.clickhouse("SELECT count() FROM `{db}_state`.checkpoint_latest");
    assert_ne!(saved, "0");

    test.sql("INSERT INTO t (id) VALUES (2000), (2001);\nDELETE FROM t WHERE id = 1;");
    let mut bridge = Bridge::start(&config);
    let status = bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    let read_again = status.rows_total();
    assert!((3..=4).contains(&read_again), "3 rows are new, or 4 if SIGTERM came first; {read_again} were sent");
}

#[test]
fn a_kill_loses_nothing() {
    let (test, mut bridge) = streaming("kill");
    let config = bridge.config().clone();
    for round in 0..5 {
        test.sql(&format!("INSERT INTO t (id) VALUES ({round}), (-1 - {round});\nUPDATE t SET name = {round};"));
        bridge.kill9();
        test.sql(&format!("UPDATE t SET id = 100 + id WHERE id = {round}"));
        bridge = Bridge::start(&config);
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Statements that have no effect on the rows go by: grants, views, other databases' tables, temporary tables.
#[test]
fn ddl_that_touches_no_replicated_table_goes_by() {
    let (test, mut bridge) = streaming("ddl_other");
    let other = format!("{}_other", test.database);
    test.sql(&format!(
        "CREATE DATABASE {other};
         CREATE TABLE {other}.t (id INT);
         INSERT INTO {other}.t VALUES (1);
         ALTER TABLE {other}.t ADD COLUMN x INT;
         CREATE TEMPORARY TABLE scratch (id INT);
         INSERT INTO scratch VALUES (1);
         DROP TEMPORARY TABLE scratch;
         CREATE VIEW v AS SELECT id FROM t;
         DROP VIEW v;
         GRANT SELECT ON {other}.t TO 'bridge'@'%';
         INSERT INTO t (id) VALUES (1);
         DROP DATABASE {other};
         INSERT INTO t (id) VALUES (2);"
    ));
    let status = bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    assert_eq!(status.table_state(&format!("{}.t", test.database)), "streaming", "{status}");
}

#[test]
fn a_zero_date_in_a_key_quarantines_with_the_value() {
    let test = Fixture::new("zero_key");
    test.sql("CREATE TABLE t (day DATE NOT NULL PRIMARY KEY);\nCREATE TABLE u (id INT NOT NULL PRIMARY KEY);");
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES ('2024-01-01');\nINSERT INTO t VALUES ('0000-00-00');\nINSERT INTO u VALUES (1);");
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("0000-00-00") && reason.contains("day"), "{reason}");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("u");
}

#[test]
fn a_rotated_binlog_goes_on_and_is_a_checkpoint() {
    let (test, mut bridge) = streaming("rotate");
    for id in 0..3 {
        test.sql(&format!("INSERT INTO t (id) VALUES ({id});\nFLUSH BINARY LOGS;"));
    }
    let file = SourcePosition::now(&test).file;
    bridge.wait_for("a checkpoint in the new file", Duration::from_secs(15), |status| {
        status.checkpoint_file() >= file.as_str()
    });
    test.sql("INSERT INTO t (id) VALUES (3)");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

#[test]
fn start_current_leaves_what_is_there() {
    let test = Fixture::new("current");
    test.sql(TABLE);
    test.sql("INSERT INTO t (id) VALUES (1), (2), (3)");
    let mut config = test.config();
    config.set("mysql.start", "current");
    let mut bridge = Bridge::start(&config);
    let status = bridge.status().unwrap();
    assert_eq!(status.table_state(&format!("{}.t", test.database)), "unverified", "{status}");
    test.sql("INSERT INTO t (id) VALUES (4), (5);\nDELETE FROM t WHERE id = 1;");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT groupArray(id) FROM (SELECT id FROM `{db}`.t FINAL ORDER BY id)"), "[4,5]");
}

/// Rows written before the start and after the noted position arrive, those before it do not.
fn start_at(name: &str, start: impl Fn(&SourcePosition) -> toml::Table) {
    let test = Fixture::new(name);
    test.sql(TABLE);
    test.sql("INSERT INTO t (id) VALUES (1)");
    let noted = SourcePosition::now(&test);
    test.sql("INSERT INTO t (id) VALUES (2);\nUPDATE t SET name = 'three', id = 3 WHERE id = 2;");
    let mut config = test.config();
    config.set("mysql.start", start(&noted));
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id) VALUES (4)");
    bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(test.clickhouse("SELECT groupArray(id) FROM (SELECT id FROM `{db}`.t FINAL ORDER BY id)"), "[3,4]");
}

#[test]
fn start_at_a_file_and_offset() {
    start_at("start_file", |noted| {
        let offset = toml::Value::Integer(noted.offset.try_into().unwrap());
        [("file".to_owned(), noted.file.clone().into()), ("offset".to_owned(), offset)].into_iter().collect()
    });
}

#[test]
fn start_after_a_gtid_set() {
    start_at("start_gtid", |noted| [("gtid".to_owned(), noted.gtid_set.clone().into())].into_iter().collect());
}

/// Ends the bridge's dump connection from MySQL's side.
fn kill_dump(test: &Fixture, bridge: &Bridge) {
    let dumps = "SELECT id, host FROM performance_schema.processlist WHERE command LIKE 'Binlog Dump%'";
    let port = |host: &str| host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let dumps: Vec<(u64, String)> = test.rows(dumps);
    let own: Vec<u64> =
        dumps.iter().filter(|it| port(&it.1).is_some_and(|port| bridge.owns_port(port))).map(|it| it.0).collect();
    assert_eq!(own.len(), 1, "one dump connection of the bridge among {dumps:?}");
    test.sql(&format!("KILL {}", own[0]));
}

#[test]
fn a_killed_dump_connection_is_opened_again() {
    let (test, mut bridge) = streaming("kill_dump");
    for id in 0..3 {
        test.sql(&format!("INSERT INTO t (id) VALUES ({id})"));
        bridge.wait_caught_up(&test, PATIENCE);
        kill_dump(&test, &bridge);
        test.sql(&format!("INSERT INTO t (id) VALUES (100 + {id});\nUPDATE t SET name = 'x{id}';"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

const WITHOUT_GTID: [&str; 2] = ["--gtid-mode=OFF", "--enforce-gtid-consistency=OFF"];

/// Without GTID the stream goes by file and offset; while the source is away it is not healthy, and then goes on.
#[test]
fn without_gtid_through_kills_rotation_and_a_restart_of_the_source() {
    let mut test = Fixture::on(Servers::own_mysql("no-gtid", &WITHOUT_GTID), "no_gtid");
    test.sql(TABLE);
    // The optional part of conf/mysql-privileges.sql: without GTID a first position is read from log_status.
    test.sql("GRANT BACKUP_ADMIN ON *.* TO bridge; GRANT SELECT ON performance_schema.log_status TO bridge;");
    let config = test.config();
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id) VALUES (1), (2);\nFLUSH BINARY LOGS;\nUPDATE t SET id = 3 WHERE id = 1;");
    kill_dump(&test, &bridge);
    test.sql("INSERT INTO t (id) VALUES (4);\nDELETE FROM t WHERE id = 2;");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    bridge.kill9();
    test.sql("INSERT INTO t (id) VALUES (5)");
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");

    assert_eq!(bridge.get("/healthz").unwrap().0, 200);
    test.servers.stop_mysql();
    wait_until("/healthz to say 503", PATIENCE, || bridge.get("/healthz").unwrap().0 == 503);
    let reason = bridge.get("/healthz").unwrap().1;
    assert!(reason.trim().len() > 5, "503 without a reason: {reason:?}");
    test.servers.start_mysql(&WITHOUT_GTID);
    test.reconnect();
    wait_until("/healthz to say 200", PATIENCE, || bridge.get("/healthz").unwrap().0 == 200);
    test.sql("INSERT INTO t (id) VALUES (6)");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

#[test]
fn over_a_unix_socket() {
    let servers = match Servers::shared() {
        shared if shared.mysql.socket.is_some() => shared,
        _ => Servers::own_mysql("socket", &[]),
    };
    let test = Fixture::on(servers, "socket");
    test.sql(TABLE);
    let mut config: Config = test.config();
    config.remove("mysql.host").remove("mysql.port");
    config.set("mysql.socket", test.servers.mysql.socket.clone().unwrap());
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id) VALUES (1)");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

#[test]
fn status_tells_what_other_programs_rely_on() {
    let (test, mut bridge) = streaming("status");
    test.sql("INSERT INTO t (id) VALUES (1), (2)");
    let status = bridge.wait_caught_up(&test, PATIENCE);
    assert_eq!(status.rows_total(), 2);
    let table = &status.0["tables"][0];
    for key in
        ["state", "lag_seconds", "position", "checkpoint", "rows_total", "bytes_total", "rows_per_second", "tables"]
    {
        assert!(!status.0[key].is_null(), "{key} is missing: {status}");
    }
    for key in ["file", "offset", "gtid_set"] {
        assert!(!status.0["position"][key].is_null(), "position.{key} is missing: {status}");
    }
    for key in ["name", "state", "reason", "rows", "version", "lag_seconds"] {
        assert!(!table[key].is_null(), "{key} is missing: {table}");
    }
    assert_eq!(table["rows"], 2);
    let version = test.clickhouse("SELECT max(_version) FROM `{db}`.t");
    assert_eq!(table["version"].to_string(), version);

    let told = support::bridge::run_command("status", bridge.config());
    assert_eq!(told.code, Some(0), "{}", told.text());
    assert!(
        told.stdout.contains("streaming") && told.stdout.contains(&format!("{}.t", test.database)),
        "{}",
        told.text()
    );
}

/// The value of a sample of `/metrics`, by its name and labels.
fn metric(bridge: &Bridge, name: &str) -> Option<f64> {
    let (code, text) = bridge.get("/metrics").unwrap();
    assert_eq!(code, 200, "{text}");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn metrics_count_rows_parts_and_what_was_sent_again() {
    let (test, mut bridge) = streaming("metrics");
    test.sql("INSERT INTO t (id) VALUES (1), (2)");
    bridge.wait_caught_up(&test, PATIENCE);
    let table = format!("{{table=\"{}.t\"}}", test.database);
    let of_table = |bridge: &Bridge, name: &str| metric(bridge, &format!("stream_bridge_table_{name}{table}"));
    assert_eq!(metric(&bridge, "stream_bridge_state{state=\"streaming\"}"), Some(1.0));
    assert_eq!(metric(&bridge, "stream_bridge_rows_total"), Some(2.0));
    assert_eq!(of_table(&bridge, "rows_total"), Some(2.0));
    wait_until("parts to be counted", PATIENCE, || of_table(&bridge, "parts").is_some_and(|parts| parts >= 1.0));
    let too_many_parts = "stream_bridge_retries_total{code=\"252\"}";
    assert_eq!(metric(&bridge, too_many_parts), None);

    test.clickhouse("ALTER TABLE `{db}`.t MODIFY SETTING parts_to_delay_insert = 1, parts_to_throw_insert = 1");
    test.sql("INSERT INTO t (id) VALUES (3)");
    wait_until("a refusal", PATIENCE, || metric(&bridge, too_many_parts).is_some_and(|count| count >= 2.0));
    assert_eq!(of_table(&bridge, "rows_total"), Some(2.0));
    test.clickhouse("ALTER TABLE `{db}`.t RESET SETTING parts_to_delay_insert, parts_to_throw_insert");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    wait_until("the row to be counted", PATIENCE, || of_table(&bridge, "rows_total") == Some(3.0));
}
