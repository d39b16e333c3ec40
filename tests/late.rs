//! Requests of before that arrive late, on real servers: the network keeps one back, its client is cut off and tries
//! again, and long after a schema change the kept bytes are delivered. Nothing may come of them.
//!
//! An insert of before is refused: its columns are no longer those of the table (16, 117), or its rows lie below the floor
//! (469), or the table it names is gone (60). An ALTER of a barrier is refused (36), since the floor's name has changed.
//! A RENAME is carried out, and noticed: they stand at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::bridge::{Bridge, run_with};
use support::fixture::Fixture;
use support::proxy::{Answer, Fate, Proxy, Request};
use support::servers::{ClickHouse, Servers};

/// How long copies may take.
const COPY: Duration = Duration::from_secs(240);

const TYPE_DIFFERS: Option<u32> = Some(117);
const NO_SUCH_COLUMN: Option<u32> = Some(16);
const BELOW_FLOOR: Option<u32> = Some(469);
const NO_SUCH_TABLE: Option<u32> = Some(60);
const NO_SUCH_FLOOR: Option<u32> = Some(36);
const ACCEPTED: Option<u32> = None;

const TABLE: &str =
    "CREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0);\nINSERT INTO t VALUES (1, 1), (2, 2);";
const NEW_KEY: &str = "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, a)";

const RAISE_FLOOR: &str = "ADD CONSTRAINT stream_bridge_floor";
const DELETE_BELOW: &str = "DELETE WHERE _version <";

/// A bridge that reaches ClickHouse through the proxy.
struct Late {
    bridge: Bridge,
    proxy: Proxy,
    test: Fixture,
}

impl Late {
    fn start(name: &str, sql: &str) -> Self {
        let test = Fixture::new(name);
        test.sql(sql);
        let proxy = Proxy::start(&test.servers.clickhouse);
        let mut config = test.config();
        config.set("clickhouse.url", proxy.clickhouse(&test.servers.clickhouse).url());
        let mut late = Self { bridge: Bridge::start(&config), proxy, test };
        late.flows_and_is_equal();
        late
    }

    fn flows_and_is_equal(&mut self) {
        self.bridge.wait_all_streaming(&self.test, COPY);
        for table in self.test.tables() {
            let report = self.test.compare(&table);
            assert!(report.is_equal(), "{table}: {report}");
        }
    }

    /// As [`Late::start`]; the table has a floor by now, so an ALTER has a condition.
    fn with_floor(name: &str, sql: &str) -> Self {
        let mut late = Self::start(name, sql);
        late.run("ALTER TABLE t ADD COLUMN gone INT;\nALTER TABLE t DROP COLUMN gone;");
        late
    }

    fn run(&mut self, sql: &str) {
        self.test.sql(sql);
        self.flows_and_is_equal();
    }

    fn resync(&mut self) {
        let folder = tempfile::TempDir::new().unwrap();
        let (config, table) = (self.bridge.config().write(), format!("{}.t", self.test.database));
        let ended = run_with(&["resync", &table, "--config", config.to_str().unwrap()], folder.path());
        assert_eq!(ended.code, Some(0), "{}", ended.text());
        let done = "SELECT count() FROM `{db}_state`.copy_chunks WHERE toUInt128(shadow) != 0";
        self.bridge.wait_for("the copy", COPY, |_| self.test.clickhouse(done).trim() != "0");
        self.flows_and_is_equal();
    }

    /// The next request that holds all these words.
    fn next(&self, fate: Fate, words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| word.replace("{db}", &self.test.database)).collect();
        self.proxy.next(fate, move |text| words.iter().all(|word| text.contains(word)));
    }

    /// An insert that `sql` makes into the table is held back; the bridge sends its rows again.
    fn hold_insert(&mut self, table: &str, sql: &str) -> Request {
        self.next(Fate::Hold, &[&format!("INSERT INTO `{{db}}`.`{table}` ")]);
        self.test.sql(sql);
        self.kept()
    }

    /// The request that met its fate, when all has gone on without it.
    fn kept(&mut self) -> Request {
        let request = self.proxy.kept();
        self.flows_and_is_equal();
        request
    }

    /// What the target is but for its rows: tables with their columns, keys, floors.
    fn shapes(&self) -> String {
        self.test.clickhouse(
            "SELECT name, uuid, create_table_query FROM system.tables WHERE database = '{db}' ORDER BY name",
        )
    }

    /// The request arrives. Nothing changes by it: no row, no column, no floor, now or when parts are merged.
    fn arrives(&mut self, request: &Request) -> Answer {
        let before = self.shapes();
        let answer = self.proxy.release(request);
        eprintln!("answered: {}", answer.text);
        self.flows_and_is_equal();
        for table in self.test.tables() {
            self.test.clickhouse(&format!("OPTIMIZE TABLE `{{db}}`.`{table}` FINAL"));
        }
        self.flows_and_is_equal();
        assert_eq!(self.shapes(), before);
        answer
    }

    fn arrives_and_is_answered(&mut self, request: &Request, expected: Option<u32>) {
        let answer = self.arrives(request);
        assert_eq!(answer.code, expected, "{}\n{}", request.text(), answer.text);
        assert_eq!(answer.status == 200, expected.is_none(), "{}", answer.text);
    }

    fn ends(self) {
        assert_eq!(self.bridge.sigterm(), Some(0));
    }
}

/// An insert of rows that are changed and gone when `change` comes.
fn insert_across(name: &str, change: &str, expected: Option<u32>) {
    let mut late = Late::start(name, TABLE);
    let insert = late.hold_insert("t", "INSERT INTO t VALUES (3, 3), (4, 4), (5, 5);");
    late.run("UPDATE t SET a = 40 WHERE id = 4;\nDELETE FROM t WHERE id = 5;");
    late.run(&format!("{change};\nINSERT INTO t (id) VALUES (6), (7);"));
    late.arrives_and_is_answered(&insert, expected);
    late.run("INSERT INTO t (id) VALUES (8);\nDELETE FROM t WHERE id = 6;");
    late.ends();
}

#[test]
fn an_insert_after_add_column() {
    insert_across("late_add", "ALTER TABLE t ADD COLUMN b INT NOT NULL DEFAULT 7", BELOW_FLOOR);
}

#[test]
fn an_insert_after_drop_column() {
    insert_across("late_drop", "ALTER TABLE t DROP COLUMN a", NO_SUCH_COLUMN);
}

#[test]
fn an_insert_after_the_column_was_dropped_and_added_again() {
    insert_across(
        "late_again",
        "ALTER TABLE t DROP COLUMN a;\nALTER TABLE t ADD COLUMN a INT NOT NULL DEFAULT 0",
        BELOW_FLOOR,
    );
}

#[test]
fn an_insert_after_modify() {
    insert_across("late_modify", "ALTER TABLE t MODIFY a BIGINT", TYPE_DIFFERS);
}

#[test]
fn an_insert_after_rename_column() {
    insert_across("late_rename", "ALTER TABLE t RENAME COLUMN a TO b", NO_SUCH_COLUMN);
}

#[test]
fn an_insert_after_truncate() {
    insert_across("late_truncate", "TRUNCATE TABLE t", BELOW_FLOOR);
}

#[test]
fn an_insert_after_another_table_got_the_name() {
    let change = "CREATE TABLE u LIKE t;\nINSERT INTO u VALUES (50, 50);\nRENAME TABLE t TO x, u TO t";
    insert_across("late_rename_table", change, BELOW_FLOOR);
}

#[test]
fn an_insert_after_the_exchange_for_another_key() {
    // What changed under the old key was one row; under the new one, the old row would stand beside it.
    insert_across("late_key", NEW_KEY, BELOW_FLOOR);
}

#[test]
fn inserts_after_the_exchange_of_a_resync() {
    let mut late = Late::start("late_resync", TABLE);
    let insert = late.hold_insert("t", "INSERT INTO t VALUES (3, 3), (4, 4);");
    // The new table knows nothing of a row that is gone.
    late.run("DELETE FROM t WHERE id = 4;\nUPDATE t SET a = 30 WHERE id = 3;");
    late.next(Fate::Hold, &["INSERT INTO `{db}`.`t__copy_"]);
    late.resync();
    let copied = late.kept();
    late.run("DELETE FROM t WHERE id = 1;\nINSERT INTO t VALUES (5, 5);");
    late.arrives_and_is_answered(&insert, BELOW_FLOOR);
    late.arrives_and_is_answered(&copied, NO_SUCH_TABLE);
    late.run("INSERT INTO t VALUES (6, 6);");
    late.ends();
}

/// A statement of `change`'s barrier that is held, or delivered, and arrives once more when rows have followed.
fn statement_again(name: &str, fate: Fate, words: &[&str], change: &str, expected: Option<u32>) {
    let mut late = Late::with_floor(name, TABLE);
    late.next(fate, words);
    match change {
        "resync" => late.resync(),
        change => late.test.sql(change),
    }
    let statement = late.kept();
    late.run("REPLACE INTO t (id, a) VALUES (2, 20), (3, 30);\nDELETE FROM t WHERE id = 3;");
    late.arrives_and_is_answered(&statement, expected);
    late.run("INSERT INTO t (id) VALUES (7);\nDELETE FROM t WHERE id = 2;");
    late.arrives_and_is_answered(&statement, expected);
    late.ends();
}

#[test]
fn the_floor_again() {
    let change = "ALTER TABLE t ADD COLUMN b INT;";
    statement_again("late_floor", Fate::Hold, &[RAISE_FLOOR, "`{db}`.`t`"], change, NO_SUCH_FLOOR);
}

#[test]
fn the_deletion_below_the_floor_again() {
    let change = "TRUNCATE TABLE t;";
    statement_again("late_delete", Fate::Hold, &[DELETE_BELOW, "`{db}`.`t`"], change, NO_SUCH_FLOOR);
}

/// Rows of the new table were copied later than the floor.
#[test]
fn the_deletion_below_the_floor_after_a_resync() {
    let mut late = Late::start("late_delete_resync", TABLE);
    late.next(Fate::Hold, &[DELETE_BELOW, "`{db}`.`t`"]);
    late.test.sql("TRUNCATE TABLE t;\nINSERT INTO t VALUES (3, 3);");
    let delete = late.kept();
    late.resync();
    late.arrives_and_is_answered(&delete, NO_SUCH_FLOOR);
    late.ends();
}

/// The old table is gone from under the name that the statement says.
#[test]
fn the_exchange_of_a_resync_again() {
    for (name, fate) in [("late_exchange_hold", Fate::Hold), ("late_exchange_copy", Fate::Copy)] {
        statement_again(name, fate, &["EXCHANGE TABLES `{db}`.`t`"], "resync", NO_SUCH_TABLE);
    }
}

#[test]
fn the_exchange_for_another_key_again() {
    statement_again("late_exchange_key", Fate::Copy, &["EXCHANGE TABLES `{db}`.`t`"], NEW_KEY, NO_SUCH_TABLE);
}

/// The table of this name is another one.
#[test]
fn an_insert_after_drop_and_create() {
    let change = "DROP TABLE t;\nCREATE TABLE t (id INT PRIMARY KEY, a INT NOT NULL DEFAULT 0)";
    insert_across("late_create", change, BELOW_FLOOR);
}

/// A statement of `change`'s barrier is held, `then` comes, and the statement arrives.
fn statement_across(name: &str, words: &[&str], change: &str, then: &str) {
    let mut late = Late::with_floor(name, &format!("{TABLE}\nCREATE TABLE u LIKE t;\nINSERT INTO u VALUES (10, 10);"));
    late.next(Fate::Hold, words);
    late.test.sql(change);
    let statement = late.kept();
    late.run(then);
    late.arrives_and_is_answered(&statement, NO_SUCH_FLOOR);
    late.run("INSERT INTO t (id) VALUES (20);");
    late.ends();
}

#[test]
fn an_older_floor_after_a_newer_one() {
    let words = [RAISE_FLOOR, "`{db}`.`t`"];
    statement_across("late_two_floors", &words, "TRUNCATE t;", "TRUNCATE t;\nINSERT INTO t VALUES (3, 3);");
}

/// The statement names a table, and another one has its name by now, with rows of before.
#[test]
fn the_deletion_below_the_floor_after_another_table_got_the_name() {
    let words = [DELETE_BELOW, "`{db}`.`t`"];
    statement_across("late_delete_renamed", &words, "TRUNCATE t;", "RENAME TABLE t TO x, u TO t;");
}

/// The same, and the column has come again with other values.
#[test]
fn drop_column_after_the_column_was_added_again() {
    let then = "ALTER TABLE t ADD COLUMN a INT NOT NULL DEFAULT 0;\nUPDATE t SET a = 8;";
    statement_across("late_drop_again", &["DROP COLUMN", "`{db}`.`t`"], "ALTER TABLE t DROP COLUMN a;", then);
}

/// A first floor has no condition. Its late copy stands beside the newer one, which still keeps the insert out.
#[test]
fn the_first_floor_after_a_newer_one_and_an_insert_of_between() {
    let mut late = Late::start("late_first", TABLE);
    late.next(Fate::Hold, &[RAISE_FLOOR, "`{db}`.`t`"]);
    late.test.sql("TRUNCATE TABLE t;");
    let floor = late.kept();
    let insert = late.hold_insert("t", "INSERT INTO t VALUES (3, 3);");
    late.run("TRUNCATE TABLE t;\nINSERT INTO t VALUES (4, 4);");
    assert_eq!(late.proxy.release(&floor).code, ACCEPTED);
    late.arrives_and_is_answered(&insert, BELOW_FLOOR);
    late.run("TRUNCATE TABLE t;\nINSERT INTO t VALUES (5, 5);");
    late.ends();
}

/// A late RENAME takes a table away that was made again under the name; the next insert finds that, and it is copied.
fn rename_across(name: &str, change: &str, then: &str) {
    let mut late = Late::start(name, TABLE);
    late.next(Fate::Hold, &["RENAME TABLE `{db}`.`t` TO"]);
    late.test.sql(change);
    let statement = late.kept();
    late.run(then);
    assert_eq!(late.proxy.release(&statement).code, ACCEPTED);
    late.test.sql("INSERT INTO t VALUES (8, 8);");
    late.bridge.wait_quarantined(&late.test, "t");
    late.resync();
    late.ends();
}

#[test]
fn drop_table_after_the_table_was_created_again() {
    let then = "CREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (7, 7);";
    rename_across("late_drop_table", "DROP TABLE t;", then);
}

#[test]
fn rename_table_after_the_table_was_created_again() {
    let then = "RENAME TABLE x TO y;\nCREATE TABLE t (id INT PRIMARY KEY, a INT);\nINSERT INTO t VALUES (7, 7);";
    rename_across("late_rename_again", "RENAME TABLE t TO x;", then);
}

// --- The proxy itself -----------------------------------------------------------------------------------------------

/// A request over a connection that stays; its answer comes in chunks.
fn ask(client: &mut TcpStream, clickhouse: &ClickHouse, sql: &str) -> String {
    let (user, password, bytes) = (&clickhouse.address.user, &clickhouse.address.password, sql.len());
    let account = format!("X-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}");
    let request = format!("POST / HTTP/1.1\r\nHost: x\r\n{account}\r\ncontent-length: {bytes}\r\n\r\n{sql}");
    client.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n0\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn the_proxy_passes_requests_of_one_connection_and_of_many() {
    let servers = Servers::shared();
    let proxy = Proxy::start(&servers.clickhouse);
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    for word in ["first", "second"] {
        let answer = ask(&mut client, &servers.clickhouse, &format!("SELECT '<{word}>'"));
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains(&format!("<{word}>")), "{answer}");
    }
    let through = proxy.clickhouse(&servers.clickhouse);
    for word in ["a", "b"] {
        assert_eq!(through.query(&format!("SELECT '{word}'")), word);
    }
}

#[test]
fn the_proxy_resets_a_connection_and_delivers_the_request_when_told() {
    let servers = Servers::shared();
    let proxy = Proxy::start(&servers.clickhouse);
    let through = proxy.clickhouse(&servers.clickhouse);
    let (fine, wrong) = ("SELECT repeat('ab', 3)", "SELECT no_such_column");
    for (statement, expected) in [(fine, (200, None)), (wrong, (404, Some(47)))] {
        proxy.next(Fate::Hold, move |text| text.contains(statement));
        let error = through.try_query(statement).unwrap_err();
        assert!(error.contains("reset"), "{error}");
        let answer = proxy.release(&proxy.kept());
        assert_eq!((answer.status, answer.code), expected, "{}", answer.text);
        assert_eq!(answer.text.contains("ababab"), answer.code.is_none(), "{}", answer.text);
    }
    assert_eq!(through.query(fine), "ababab", "a rule is good for one request");
    proxy.next(Fate::Copy, move |text| text.contains(fine));
    assert_eq!(through.query(fine), "ababab");
    assert!(proxy.kept().text().ends_with(fine));
}
