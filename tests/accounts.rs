//! The accounts of `conf/*-privileges.sql`, as they stand there, suffice for all that the program does.
//!
//! The account `bridge` of the other tests has the rights on a target on every database, its state database included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE, run_command};
use support::fixture::Fixture;
use support::servers::Servers;
use support::wait_until;

#[test]
fn the_documented_accounts_suffice() {
    let test = Fixture::named(Servers::own("documented", &[]), "documented".to_owned());
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, day DATE NOT NULL, note VARCHAR(50));
         CREATE TABLE keyed (day DATE NOT NULL PRIMARY KEY, note VARCHAR(50));
         INSERT INTO t VALUES (1, '2024-01-01', 'copied'), (2, '2024-01-02', 'copied');",
    );
    let mut config = test.config();
    config.set("clickhouse.user", "documented");
    let ended = run_command("check", &config);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    let mut bridge = Bridge::start(&config);
    bridge.wait_all_streaming(&test, PATIENCE);
    test.sql(
        "UPDATE t SET note = 'streamed' WHERE id = 1;
         ALTER TABLE t ADD COLUMN more INT, MODIFY id BIGINT NOT NULL;
         INSERT INTO t VALUES (3, '2024-01-03', 'x', 4);
         CREATE TABLE u (id INT NOT NULL PRIMARY KEY);
         INSERT INTO u VALUES (1), (2);
         TRUNCATE u;
         INSERT INTO u VALUES (3);
         RENAME TABLE u TO v;
         CREATE TABLE gone (id INT NOT NULL PRIMARY KEY);
         INSERT INTO gone VALUES (1);
         DROP TABLE gone;
         ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, day);
         INSERT INTO keyed VALUES ('0000-00-00', 'bad');",
    );
    bridge.wait_quarantined(&test, "keyed");
    test.sql("UPDATE keyed SET day = '2024-01-01'");
    for table in ["keyed", "v"] {
        bridge.wait_caught_up(&test, PATIENCE);
        let name = format!("documented.{table}");
        wait_until("the copy to be begun", PATIENCE, || bridge.post("/resync", &name) == Ok(202));
    }
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(test.clickhouse("SELECT count() FROM documented_state.dead_letters"), "1");
    let ended = run_command("verify", &config);
    assert_eq!(ended.code, Some(0), "{}", ended.text());
    assert_eq!(bridge.sigterm(), Some(0));

    config.set("state.checkpoint_ttl", "2h");
    let bridge = Bridge::start(&config);
    for table in ["checkpoints", "dead_letters"] {
        let engine = test.clickhouse(&format!(
            "SELECT engine_full FROM system.tables WHERE database = 'documented_state' AND name = '{table}'"
        ));
        assert!(engine.contains("toIntervalSecond(7200)"), "{engine}");
    }
    assert_eq!(bridge.sigterm(), Some(0));
}
