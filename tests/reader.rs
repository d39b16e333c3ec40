//! The reader's bad days: a connection that falls silent, a target that stands still, passwords that change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::bridge::{Bridge, Config, PATIENCE, Stopped};
use support::fixture::Fixture;
use support::mysql_proxy::MysqlProxy;
use support::servers::Servers;
use support::wait_until;
use tempfile::TempDir;

const TABLE: &str = "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, v LONGTEXT)";

fn kill_sessions(test: &Fixture, user: &str) {
    let sessions: Vec<u64> = test.rows(&format!("SELECT id FROM information_schema.processlist WHERE user = '{user}'"));
    assert!(!sessions.is_empty());
    // Some have ended by themselves.
    sessions
        .iter()
        .for_each(|id| drop(mysql::prelude::Queryable::query_drop(&mut test.connect(), format!("KILL {id}"))));
}

/// Noticed within three heartbeats, and gone on with from the last transaction end.
#[test]
fn a_half_open_connection_is_noticed_and_little_is_read_again() {
    const ROWS: u64 = 40;
    const ROW_BYTES: u64 = 100_000;
    let test = Fixture::on(Servers::own_mysql("half_open", &[]), "half_open");
    test.sql(TABLE);
    let proxy = MysqlProxy::start(&test.servers.mysql);
    let mut config = test.config();
    proxy.lead(&mut config);
    config.set("mysql.heartbeat", "500ms");
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    let insert = || test.sql(&format!("INSERT INTO t (v) VALUES (REPEAT('x', {ROW_BYTES}))"));
    let before = proxy.bytes_from_server();
    for row in 0..ROWS {
        // One of ten gets lost on its way.
        if row % 10 != 6 {
            insert();
        }
        if row % 10 == 5 {
            bridge.wait_caught_up(&test, PATIENCE);
            proxy.silence();
            let silent = Instant::now();
            insert();
            let reconnects = row / 10 + 1;
            wait_until("the silence to be noticed", PATIENCE, || {
                bridge.log().matches("no heartbeat from MySQL").count() as u64 == reconnects
            });
            // The reader's clock has a grain of its own, and this machine may be busy.
            assert!(silent.elapsed() < Duration::from_millis(3 * 500 + 1000), "{:?}", silent.elapsed());
            bridge.wait_caught_up(&test, PATIENCE);
        }
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    let read = proxy.bytes_from_server() - before;
    let (once, again) = (ROWS * ROW_BYTES, ROWS / 10 * ROW_BYTES);
    // Looking whether the log is still the same costs as much as the lost transaction. Logins, heartbeats and the answers to questions take some bytes too.
    assert!(read >= once && read < once + 2 * again + 200_000, "{read} bytes were read, of {once}");
    assert_eq!(bridge.sigterm(), Some(0));
}

/// MySQL cuts a reader that takes nothing for `net_write_timeout`.
#[test]
fn a_target_that_stands_still_does_not_make_mysql_cut_us() {
    let servers = Servers::own("stall", &["--net_write_timeout=1", "--net_read_timeout=1"]);
    let test = Fixture::on(servers, "stall");
    test.sql(TABLE);
    let mut config = test.config();
    // A machine that is busy may keep MySQL from its heartbeats, which is not asked here.
    config.set("pipeline.memory_limit", "16MiB").set("mysql.heartbeat", "10s");
    let mut bridge = Bridge::start(&config);
    let stopped = Stopped::new(test.servers.clickhouse.pid.unwrap());
    for _ in 0..60 {
        test.sql("INSERT INTO t (v) VALUES (REPEAT('x', 2000000))");
    }
    // More than fits into memory and sockets: the reader waits.
    bridge.wait_for("spent memory", PATIENCE, |status| status.0["memory_bytes"].as_u64().unwrap() > 15 << 20);
    let waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%' AND state LIKE '%ending%'";
    let started = Instant::now();
    wait_until("several timeouts with MySQL waiting for us", PATIENCE, || {
        assert_eq!(test.row::<u64>(waits), 1, "MySQL waits for us");
        started.elapsed() > Duration::from_secs(8)
    });
    drop(stopped);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert!(!bridge.log().contains("reconnecting"), "{}", bridge.log());
    assert_eq!(bridge.sigterm(), Some(0));
}

struct PasswordFile {
    folder: TempDir,
}

impl PasswordFile {
    fn new(config: &mut Config, section: &str, password: &str) -> Self {
        let file = Self { folder: TempDir::new().unwrap() };
        file.write(password);
        config.remove(&format!("{section}.password"));
        config.set(&format!("{section}.password_file"), file.path().to_str().unwrap());
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    fn write(&self, password: &str) {
        std::fs::write(self.path(), format!("{password}\n")).unwrap();
    }
}

#[test]
fn a_new_password_of_mysql_is_read_from_its_file() {
    let test = Fixture::new("rotate_mysql");
    test.sql(TABLE);
    let user = "sb_rotated";
    test.sql(&format!("DROP USER IF EXISTS {user};\nCREATE USER {user} IDENTIFIED BY 'first'"));
    test.sql(&format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"));
    test.sql(&format!("GRANT SELECT ON `{}`.* TO {user}", test.database));
    let mut config = test.config();
    config.set("mysql.user", user);
    let file = PasswordFile::new(&mut config, "mysql", "first");
    let mut bridge = Bridge::start(&config);
    bridge.wait_caught_up(&test, PATIENCE);
    // The file is late, and is in between not to be read: each is waited out.
    test.sql(&format!("ALTER USER {user} IDENTIFIED BY 'second'"));
    kill_sessions(&test, user);
    let waits =
        |word: &'static str| move |status: &support::bridge::Status| status.0["reason"].to_string().contains(word);
    bridge.wait_for("the refusal", PATIENCE, waits("1045"));
    std::fs::remove_file(file.path()).unwrap();
    bridge.wait_for("the missing file", PATIENCE, waits("mysql.password_file"));
    file.write("second");
    test.sql("INSERT INTO t (v) VALUES ('after')");
    bridge.wait_streaming();
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert!(!bridge.log().contains("second") && !bridge.log().contains("first"), "{}", bridge.log());
    // Copies log in by the same file.
    assert_eq!(bridge.post("/resync", &format!("{}.t", test.database)), Ok(202));
    bridge.wait_all_streaming(&test, PATIENCE);
    assert_eq!(bridge.sigterm(), Some(0));
    test.sql(&format!("DROP USER {user}"));
}
