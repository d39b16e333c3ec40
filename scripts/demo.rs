//! `make demo`: a shop at work in MySQL, `stream-bridge run`, and each second what arrives in ClickHouse.
//!
//! Ends after `STREAM_BRIDGE_DEMO_SECONDS` (60) or at Ctrl-C by comparing every value of every table.
//! Exit code 0: equal. 1: something differs, or failed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure of the demo is its text")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::any::Any;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use signal_hook::consts::{SIGINT, SIGTERM};

use support::bridge::{Bridge, Config, PATIENCE, Status};
use support::fixture::Fixture;
use support::load::{SHOP_TABLES, Shop, create_shop};
use support::servers::Servers;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|failure| fail(failure.payload())));
    let interrupted = Arc::new(AtomicBool::new(false));
    for number in [SIGINT, SIGTERM] {
        signal_hook::flag::register(number, Arc::clone(&interrupted)).expect("signals can be caught");
    }
    if demo(&interrupted) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The running `stream-bridge`; 0 before its start.
static BRIDGE: AtomicU32 = AtomicU32::new(0);

/// Ends a demo that cannot go on. Nothing is unwound in a release build, so the bridge is ended here.
fn fail(payload: &(dyn Any + Send)) -> ! {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("failed without a text");
    eprintln!("demo: {text}");
    let bridge = BRIDGE.swap(0, Ordering::Relaxed);
    if bridge != 0 {
        // It may be what failed, and gone.
        let _ = Command::new("kill").args(["-KILL", &bridge.to_string()]).stderr(Stdio::null()).status();
    }
    std::process::exit(1)
}

/// The whole demo; whether all tables were equal.
fn demo(interrupted: &AtomicBool) -> bool {
    let seconds = support::env_number("STREAM_BRIDGE_DEMO_SECONDS", 60);
    let servers = Servers::shared();
    let database = free_name(&servers);
    let shop = Fixture::named(servers, database);
    create_shop(&shop);
    let config = configuration(&shop);
    let mut bridge = Bridge::spawn(&config);
    BRIDGE.store(bridge.pid(), Ordering::Relaxed);
    bridge.wait_streaming();
    println!("MySQL {} -> ClickHouse {}", shop.row::<String>("SELECT VERSION()"), shop.clickhouse("SELECT version()"));
    println!("database `{}`; status page {}", shop.database, config.status_url());

    let writer = Shop::open(&shop, u64::from(std::process::id()));
    watch(&shop, &bridge, &writer, seconds, interrupted);
    println!("the shop closes after {} transactions", writer.transactions());
    writer.close();
    let closed = Instant::now();
    let status = bridge.wait_caught_up(&shop, PATIENCE);
    println!("caught up in {:.3} s; {} rows sent", closed.elapsed().as_secs_f64(), status.rows_total());
    let equal = compare(&shop);
    let code = bridge.sigterm();
    if code != Some(0) {
        println!("stream-bridge ended with exit code {code:?}");
    }
    equal && code == Some(0)
}

/// `shop`, or the first free of `shop_2`, `shop_3`, .. when one of the servers has a `shop` already.
fn free_name(servers: &Servers) -> String {
    let mut connection = servers.mysql.connect();
    let mut taken: Vec<String> = connection.query("SHOW DATABASES").unwrap();
    taken.extend(servers.clickhouse.query("SHOW DATABASES").lines().map(str::to_owned));
    let names = std::iter::once("shop".to_owned()).chain((2..).map(|number| format!("shop_{number}")));
    let is_free = |name: &String| !taken.contains(name) && !taken.contains(&format!("{name}_state"));
    names.into_iter().find(is_free).expect("there are many numbers")
}

/// The twelve lines of the README. A ClickHouse of the user's own may lack the account `bridge`: then as told to us.
fn configuration(shop: &Fixture) -> Config {
    let mut config = shop.config();
    let clickhouse = &shop.servers.clickhouse;
    if !clickhouse.has_bridge_account() {
        println!(
            "ClickHouse has no account `bridge` (conf/clickhouse-privileges.sql): `{}` is used",
            clickhouse.address.user
        );
        config.set("clickhouse.user", clickhouse.address.user.as_str());
        config.set("clickhouse.password", clickhouse.address.password.as_str());
    }
    config
}

/// A line each second, until the time is over.
fn watch(shop: &Fixture, bridge: &Bridge, writer: &Shop, seconds: u64, interrupted: &AtomicBool) {
    let started = Instant::now();
    let tables = SHOP_TABLES.map(|table| format!("{table:>22}")).concat();
    println!("\n   s   rows/s   lag s{tables}   (MySQL/ClickHouse)");
    for second in 1..=seconds {
        while started.elapsed() < Duration::from_secs(second) {
            if interrupted.load(Ordering::Relaxed) || writer.has_failed() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match bridge.status() {
            Ok(status) => println!("{second:4} {}", line(shop, &status)),
            Err(error) => println!("{second:4} no status: {error}"),
        }
    }
}

fn line(shop: &Fixture, status: &Status) -> String {
    let counts = SHOP_TABLES.map(|table| {
        let source = shop.row::<u64>(&format!("SELECT COUNT(*) FROM {table}"));
        let target = shop.clickhouse(&format!("SELECT count() FROM `{{db}}`.{table} FINAL"));
        format!("{:>22}", format!("{source}/{target}"))
    });
    format!("{:8.0} {:7.3}{}", status.rows_per_second(), status.lag_seconds(), counts.concat())
}

/// Compares every value; whether all are equal.
fn compare(shop: &Fixture) -> bool {
    println!("\ncomparing every value:");
    let reports = SHOP_TABLES.map(|table| {
        let report = shop.compare(table);
        println!("  {table}: {report}");
        report.is_equal()
    });
    let equal = reports.iter().all(|&equal| equal);
    println!("{}", if equal { "equal" } else { "NOT equal" });
    equal
}
