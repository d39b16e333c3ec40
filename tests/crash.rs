//! Full load, and the same with `kill -9` at random moments: equal at the end.
//!
//! Each test has servers of its own and runs alone. `STREAM_BRIDGE_TEST_LOAD_SECONDS` is the load's length,
//! `STREAM_BRIDGE_TEST_SEED` the moments' seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;

use support::bridge::{Bridge, Config, PATIENCE, Stopped};
use support::fixture::Fixture;
use support::load::{Random, Sysbench};
use support::servers::Servers;
use support::{env_number, wait_until};

/// How long the catching up after a load may take.
const CATCH_UP: Duration = Duration::from_secs(300);

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load_seconds() -> u64 {
    env_number("STREAM_BRIDGE_TEST_LOAD_SECONDS", 25)
}

/// sysbench's tables, filled through the running bridge.
fn prepare(name: &str, settings: &[(&str, &str)]) -> (Fixture, Config, Bridge) {
    let test = Fixture::on(Servers::own(name, &[]), name);
    Sysbench::create(&test);
    let mut config = test.config();
    for (key, value) in settings {
        config.set(key, *value);
    }
    let mut bridge = Bridge::start(&config);
    Sysbench::fill(&test);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    (test, config, bridge)
}

#[test]
fn a_load_at_full_speed_is_followed() {
    let _alone = alone();
    let (test, _, mut bridge) = prepare("load", &[]);
    let load = Sysbench::start(&test, load_seconds());
    println!("sysbench, {} s: {}", load_seconds(), load.wait());
    let ended = Instant::now();
    let at_end = bridge.status().unwrap().lag_seconds();
    bridge.wait_for("a lag under 1 s", Duration::from_secs(5), |status| status.lag_seconds() < 1.0);
    println!("lag at the load's end {at_end:.3} s; under 1 s after {:.3} s", ended.elapsed().as_secs_f64());
    let status = bridge.wait_caught_up(&test, PATIENCE);
    println!("caught up after {:.3} s; {} rows sent", ended.elapsed().as_secs_f64(), status.rows_total());
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}

fn compressed_transactions(test: &Fixture) -> u64 {
    test.row(
        "SELECT CAST(COALESCE(SUM(transaction_counter), 0) AS UNSIGNED)
         FROM performance_schema.binary_log_transaction_compression_stats WHERE compression_type = 'ZSTD'",
    )
}

/// The load while the bridge is away, plain and compressed; then it catches up, and both rates are printed.
#[test]
fn a_compressed_load_is_caught_up_with() {
    let _alone = alone();
    let (test, config, mut bridge) = prepare("compressed_load", &[]);
    for compression in ["OFF", "ON", "OFF", "ON"] {
        assert_eq!(bridge.sigterm(), Some(0));
        test.sql(&format!("SET GLOBAL binlog_transaction_compression = {compression}"));
        let before = compressed_transactions(&test);
        let told = Sysbench::start(&test, load_seconds() / 4).wait();
        assert_eq!(compressed_transactions(&test) > before, compression == "ON");
        let started = Instant::now();
        bridge = Bridge::start(&config);
        let rows = bridge.wait_caught_up(&test, CATCH_UP).rows_total() as f64;
        let seconds = started.elapsed().as_secs_f64();
        println!("compression {compression}: {told}; {rows} rows in {seconds:.3} s, {:.0} per second", rows / seconds);
        test.assert_all_equal();
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// What happens at a moment of the load.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Blow {
    /// kill -9 of the bridge, whatever it does.
    Bridge,
    /// kill -9 of the bridge with inserts sent to a ClickHouse that does not read them yet.
    BridgeWithInsertsOut,
    /// kill -9 of the bridge with a checkpoint sent to a ClickHouse that does not read it yet.
    BridgeWithSaveOut,
    /// kill -9 of ClickHouse, and its start.
    ClickHouse,
}

/// 10 blows against the bridge and 3 against ClickHouse, at random moments of the load.
fn plan(random: &mut Random, seconds: u64) -> Vec<(Duration, Blow)> {
    use Blow::{Bridge, BridgeWithInsertsOut, BridgeWithSaveOut, ClickHouse};
    let mut blows = vec![Bridge; 8];
    blows.extend([BridgeWithInsertsOut, BridgeWithSaveOut, ClickHouse, ClickHouse, ClickHouse]);
    let latest_ms = seconds * 900;
    let moments = blows.into_iter().map(|blow| (Duration::from_millis(random.below(latest_ms)), blow));
    let mut plan: Vec<(Duration, Blow)> = moments.collect();
    plan.sort_by_key(|(at, _)| *at);
    plan
}

/// A load under blows.
struct Ring {
    test: Fixture,
    config: Config,
    bridge: Bridge,
    load: Sysbench,
}

impl Ring {
    fn strike(mut self, blow: Blow) -> Self {
        match blow {
            Blow::Bridge => self.restart(),
            Blow::BridgeWithInsertsOut => self.kill_with_inserts_out(),
            Blow::BridgeWithSaveOut => self.kill_with_save_out(),
            Blow::ClickHouse => {
                self.bridge.wait_streaming();
                self.test.servers.kill_clickhouse();
                self.test.servers.start_clickhouse();
                self
            }
        }
    }

    fn restart(self) -> Self {
        self.bridge.kill9();
        Self { bridge: Bridge::spawn(&self.config), ..self }
    }

    fn kill_with_inserts_out(mut self) -> Self {
        self.bridge.wait_streaming();
        let clickhouse = self.test.servers.clickhouse.clone();
        let stopped = Stopped::new(clickhouse.pid.unwrap());
        // The load goes on, so every writer has a request out by then; only one can be a save, and one a count of parts.
        let mut acked = (self.bridge.status().unwrap().rows_total(), Instant::now());
        wait_until("all writers to wait", PATIENCE, || {
            let rows = self.bridge.status().unwrap().rows_total();
            if rows != acked.0 {
                acked = (rows, Instant::now());
            }
            acked.1.elapsed() > Duration::from_secs(1)
        });
        assert!(!self.load.has_ended(), "the load ended before its last blow: give it more seconds");
        self.bridge.kill9();
        drop(stopped);
        Self { bridge: Bridge::spawn(&self.config), ..self }
    }

    /// With the load at a stand there are no inserts; transactions elsewhere move the position, which is saved.
    fn kill_with_save_out(mut self) -> Self {
        self.bridge.wait_streaming();
        let pause = Stopped::new(self.load.pid());
        self.bridge.wait_caught_up(&self.test, PATIENCE);
        let clickhouse = self.test.servers.clickhouse.clone();
        let stopped = Stopped::new(clickhouse.pid.unwrap());
        let mut connection = self.test.servers.mysql.connect();
        connection.query_drop("CREATE DATABASE IF NOT EXISTS elsewhere").unwrap();
        connection.query_drop("CREATE TABLE IF NOT EXISTS elsewhere.t (id INT AUTO_INCREMENT PRIMARY KEY)").unwrap();
        // Longer than the checkpoint's interval: another request may have been the first one out.
        let started = Instant::now();
        wait_until("a checkpoint to be out", PATIENCE, || {
            connection.query_drop("INSERT INTO elsewhere.t () VALUES ()").unwrap();
            clickhouse.unread_requests() > 0 && started.elapsed() > Duration::from_secs(3)
        });
        self.bridge.kill9();
        drop(stopped);
        drop(pause);
        Self { bridge: Bridge::spawn(&self.config), ..self }
    }
}

#[test]
fn kills_of_bridge_and_clickhouse_under_load_lose_nothing() {
    let _alone = alone();
    let seed = env_number("STREAM_BRIDGE_TEST_SEED", u64::from(std::process::id()));
    let (test, config, bridge) = prepare("kills", &[("state.checkpoint_interval", "1s")]);
    // Blows take longer on a busy machine: the load ends when they have.
    let load = Sysbench::start(&test, 20 * load_seconds());
    let started = Instant::now();
    let mut ring = Ring { test, config, bridge, load };
    println!("STREAM_BRIDGE_TEST_SEED={seed}");
    for (at, blow) in plan(&mut Random::new(seed), load_seconds()) {
        std::thread::sleep(at.saturating_sub(started.elapsed()));
        print!("{:7.3} s {blow:?}", started.elapsed().as_secs_f64());
        ring = ring.strike(blow);
        println!(", done at {:.3} s", started.elapsed().as_secs_f64());
    }
    let Ring { test, mut bridge, load, .. } = ring;
    std::thread::sleep(Duration::from_secs(load_seconds()).saturating_sub(started.elapsed()));
    load.stop();
    let ended = Instant::now();
    bridge.wait_streaming();
    bridge.wait_caught_up(&test, CATCH_UP);
    println!("caught up {:.3} s after the load's end", ended.elapsed().as_secs_f64());
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}
