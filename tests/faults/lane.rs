//! A lane: servers of its own behind two proxies, and one schedule after another.
//!
//! A schedule is over when its time is; then the weather is fine, all processes are up, and the bridge has to catch up by
//! itself. What was held back until then is delivered before the tables are compared.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cable::{Cable, Trouble};
use crate::load::{self, Load};
use crate::schedule::{Fault, Kind, LENGTH_MS, Process, add_kills, schedule};
use crate::supervisor::Supervisor;
use crate::support::bridge::{Bridge, Config, SourcePosition, Stopped};
use crate::support::fixture::Fixture;
use crate::support::load::Random;
use crate::support::proxy::{Fate, Proxy, Weather};
use crate::support::servers::{ClickHouse, MySql, Servers};

/// How long the bridge may take to catch up with what a schedule did.
const CATCH_UP: Duration = Duration::from_secs(180);

/// What may be resident above `pipeline.memory_limit`: code, threads, connections, what the allocator keeps.
const ALLOWANCE_BYTES: u64 = 32 << 20;

/// Little for every other pair of seeds, so that the reader has to wait.
fn memory_limit_bytes(seed: u64) -> u64 {
    if seed % 4 < 2 { 16 << 20 } else { 64 << 20 }
}

/// The program that is tried, and variables for it.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub binary: Option<PathBuf>,
    pub environment: Vec<(&'static str, &'static str)>,
    /// So many times it is killed besides what the schedule does.
    pub kills: u64,
}

/// What a schedule came to.
#[derive(Debug, Default)]
pub struct Tally {
    seed: u64,
    faults: BTreeMap<String, u64>,
    /// Of requests to ClickHouse, by what they met.
    requests: BTreeMap<&'static str, u64>,
    statements: u64,
    tables: usize,
    rows: u64,
    checksum: u32,
    /// How often the bridge ended by itself, and was started again as a service manager does.
    pub ends: Vec<String>,
    peak_bytes: u64,
    caught_up: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<String> = self.faults.iter().map(|(name, count)| format!("{name}={count}")).collect();
        let requests: Vec<String> = self.requests.iter().map(|(name, count)| format!("{name}={count}")).collect();
        write!(
            f,
            "seed={} faults=[{}] requests=[{}] statements={} tables={} rows={} crc32={:08x} ends={} peak_mib={} caught_up_s={:.1}",
            self.seed,
            faults.join(" "),
            requests.join(" "),
            self.statements,
            self.tables,
            self.rows,
            self.checksum,
            self.ends.len(),
            self.peak_bytes >> 20,
            self.caught_up.as_secs_f64(),
        )
    }
}

/// Servers, and the ways to them.
pub struct Lane {
    servers: Servers,
    mysql: Mutex<MySql>,
    clickhouse: Mutex<ClickHouse>,
    cable: Cable,
    proxy: Proxy,
    /// Faults of the ways that are on; the newest of each way counts.
    weather: Mutex<Vec<Fault>>,
    /// Requests that met them.
    met: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Lane {
    /// With fresh servers.
    pub fn new(name: &str) -> Self {
        let servers = Servers::own(name, &[]);
        let (mysql, clickhouse) = (servers.mysql.clone(), servers.clickhouse.clone());
        let (cable, proxy) = (Cable::start(&mysql), Proxy::start(&clickhouse));
        let (mysql, clickhouse) = (Mutex::new(mysql), Mutex::new(clickhouse));
        Self { servers, mysql, clickhouse, cable, proxy, weather: Mutex::default(), met: Arc::default() }
    }

    /// Runs a schedule.
    ///
    /// # Errors
    /// What the bridge did wrong, and where its log is.
    pub fn run(&self, seed: u64, program: &Program) -> Result<Tally, String> {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let database = format!("sb_faults_{}_{seed}_{}", std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
        let test = Fixture::named(self.servers.lend(), database);
        let config = self.config(&test, seed, program);
        let mut faults = schedule(seed);
        add_kills(&mut faults, program.kills);
        self.met.lock().clear();
        load::create(&test);
        let bridge = Supervisor::start(&config);
        let result = catch_unwind(AssertUnwindSafe(|| self.go_through(&test, &bridge, seed, &faults)));
        bridge.kill();
        self.calm();
        // So that its databases are dropped.
        test.reconnect();
        let result = result.unwrap_or_else(|panic| Err(panic_text(panic.as_ref())));
        result.map_err(|failure| told(&failure, seed, &faults, &config, &test))
    }

    fn config(&self, test: &Fixture, seed: u64, program: &Program) -> Config {
        let mut config = test.config();
        config.set("mysql.port", i64::from(self.cable.port()));
        config.set("mysql.tls", if seed.is_multiple_of(2) { "disabled" } else { "preferred" });
        config.set("mysql.connect_timeout", "3s");
        config.set("clickhouse.url", self.proxy.clickhouse(&self.servers.clickhouse).url());
        config.set("clickhouse.connect_timeout", "2s");
        config.set("clickhouse.request_timeout", "4s");
        config.set("pipeline.memory_limit", format!("{}MiB", memory_limit_bytes(seed) >> 20));
        config.set("pipeline.batch_bytes", "2MiB");
        if !seed.is_multiple_of(2) {
            // Rows wait longer than checkpoints, so that a kill meets some.
            config.set("pipeline.min_insert_interval", "1s").set("pipeline.batch_timeout", "1s");
        }
        config.set("pipeline.retry_max_interval", "2s");
        config.set("pipeline.shutdown_timeout", "5s");
        config.set("snapshot.chunk_rows", 5000);
        config.set("state.checkpoint_interval", if seed.is_multiple_of(5) { "1s" } else { "100ms" });
        if let Some(binary) = &program.binary {
            config.use_program(binary, &program.environment);
        }
        config
    }

    fn go_through(&self, test: &Fixture, bridge: &Supervisor, seed: u64, faults: &[Fault]) -> Result<Tally, String> {
        let is_over = AtomicBool::new(false);
        let (statements, ended) = thread::scope(|scope| {
            scope.spawn(|| bridge.supervise(&is_over));
            let done = catch_unwind(AssertUnwindSafe(|| {
                // Every third one disturbs the first copy, too.
                if !seed.is_multiple_of(3) {
                    bridge.wait_streaming(CATCH_UP);
                }
                let statements = self.disturb(test, bridge, seed, faults);
                let ended = Instant::now();
                bridge.wait_streaming(CATCH_UP);
                (statements, ended)
            }));
            is_over.store(true, Ordering::Relaxed);
            done.map_err(|panic| panic_text(panic.as_ref()))
        })?;
        test.reconnect();
        let mut running = bridge.take();
        flows(&mut running, test)?;
        let caught_up = ended.elapsed();
        self.proxy.deliver_late_ones();
        flows(&mut running, test)?;
        let mut tally = Tally { seed, statements, caught_up, ends: bridge.ends(), ..compared(test)? };
        for fault in faults {
            *tally.faults.entry(fault.kind.name()).or_default() += 1;
        }
        tally.requests = self.met.lock().clone();
        tally.peak_bytes = bridge.peak_bytes().max(running.peak_memory_bytes());
        let limit_bytes = memory_limit_bytes(seed);
        if tally.peak_bytes > limit_bytes + ALLOWANCE_BYTES {
            return Err(format!("{} bytes were resident, with a memory_limit of {limit_bytes}", tally.peak_bytes));
        }
        terminated(running)?;
        checkpoint_is_behind(test)?;
        // What was saved is good to go on with.
        let mut again = Bridge::spawn(bridge.config());
        flows(&mut again, test)?;
        compared(test)?;
        terminated(again)?;
        Ok(tally)
    }

    /// The load, and the faults; how many statements succeeded.
    fn disturb(&self, test: &Fixture, bridge: &Supervisor, seed: u64, faults: &[Fault]) -> u64 {
        let started = Instant::now();
        let load = Load::start(test, seed);
        thread::scope(|scope| {
            for &fault in faults {
                scope.spawn(move || {
                    sleep_until(started + Duration::from_millis(fault.at_ms));
                    self.inject(fault, bridge);
                });
            }
        });
        sleep_until(started + Duration::from_millis(LENGTH_MS));
        load.stop()
    }

    fn inject(&self, fault: Fault, bridge: &Supervisor) {
        let pause = Duration::from_millis(fault.for_ms);
        match fault.kind {
            Kind::Kill(Process::Bridge) => bridge.killed(pause),
            Kind::Stop(Process::Bridge) => bridge.stopped(pause),
            Kind::Restart(Process::Bridge) => bridge.restarted(pause),
            Kind::Kill(Process::MySql) => self.mysql_away(Servers::kill_mysql, pause),
            Kind::Restart(Process::MySql) => self.mysql_away(Servers::stop_mysql, pause),
            Kind::Stop(Process::MySql) => stop(self.mysql.lock().pid, pause),
            Kind::Kill(Process::ClickHouse) => self.clickhouse_away(Servers::kill_clickhouse, pause),
            Kind::Restart(Process::ClickHouse) => self.clickhouse_away(Servers::stop_clickhouse, pause),
            Kind::Stop(Process::ClickHouse) => stop(self.clickhouse.lock().pid, pause),
            Kind::Source(_) | Kind::Target { .. } | Kind::Refuse => {
                self.change_weather(|weather| weather.push(fault));
                thread::sleep(pause);
                self.change_weather(|weather| weather.retain(|other| *other != fault));
            }
        }
    }

    fn mysql_away(&self, end: fn(&Servers), pause: Duration) {
        let mut mysql = self.mysql.lock();
        end(&self.servers);
        thread::sleep(pause);
        *mysql = self.servers.mysql_again();
    }

    fn clickhouse_away(&self, end: fn(&Servers), pause: Duration) {
        let mut clickhouse = self.clickhouse.lock();
        end(&self.servers);
        thread::sleep(pause);
        *clickhouse = self.servers.clickhouse_again();
    }

    fn change_weather(&self, change: impl FnOnce(&mut Vec<Fault>)) {
        let mut faults = self.weather.lock();
        change(&mut faults);
        let newest = |wanted: fn(&Kind) -> bool| faults.iter().map(|fault| fault.kind).rfind(wanted);
        match newest(|kind| matches!(kind, Kind::Source(_))) {
            Some(Kind::Source(trouble)) => self.cable.set(trouble),
            _ => self.cable.set(Trouble::None),
        }
        match newest(|kind| matches!(kind, Kind::Target { .. })) {
            Some(Kind::Target { fate, per_cent, name }) => {
                let (mut fate_of, met) = (weather(fate, per_cent), Arc::clone(&self.met));
                self.proxy.set_weather(Some(Box::new(move |text| {
                    let fate = fate_of(text);
                    *met.lock().entry(name).or_default() += u64::from(fate != Fate::Pass);
                    fate
                })));
            }
            _ => self.proxy.set_weather(None),
        }
        self.proxy.set_refuses(faults.iter().any(|fault| fault.kind == Kind::Refuse));
    }

    /// Whatever a failed schedule has left.
    fn calm(&self) {
        self.change_weather(Vec::clear);
        self.cable.hang_up();
        *self.mysql.lock() = self.servers.mysql_again();
        *self.clickhouse.lock() = self.servers.clickhouse_again();
        self.proxy.deliver_late_ones();
    }
}

fn terminated(bridge: Bridge) -> Result<(), String> {
    match bridge.sigterm() {
        Some(0) => Ok(()),
        code => Err(format!("SIGTERM ended the bridge with {code:?}")),
    }
}

fn stop(pid: Option<u32>, pause: Duration) {
    let _stopped = Stopped::new(pid.expect("an own server has a pid"));
    thread::sleep(pause);
}

fn sleep_until(instant: Instant) {
    thread::sleep(instant.saturating_duration_since(Instant::now()));
}

/// So many of a hundred requests. Only inserts outlive their connections or come twice: what late schema changes do is
/// for `tests/late.rs`.
fn weather(fate: Fate, per_cent: u64) -> Weather {
    let mut random = Random::new(per_cent);
    Box::new(move |text| {
        if random.below(100) >= per_cent {
            return Fate::Pass;
        }
        match fate {
            Fate::Zombie(_) if !is_insert(text) => Fate::Drop,
            Fate::Twice(_) if !is_insert(text) => Fate::Pass,
            fate => fate,
        }
    })
}

fn is_insert(text: &str) -> bool {
    let (line, body) = text.split_once('\n').unwrap_or((text, ""));
    line.contains("query=INSERT INTO ") || body.starts_with("INSERT INTO ")
}

/// Waits until all that MySQL has is in ClickHouse and every table flows.
fn flows(bridge: &mut Bridge, test: &Fixture) -> Result<(), String> {
    bridge.wait_caught_up(test, CATCH_UP);
    for table in test.tables() {
        let name = format!("{}.{table}", test.database);
        let is_settled = |state: &str| matches!(state, "streaming" | "quarantined" | "drifted" | "unverified");
        let what = format!("{name} streaming");
        let status = bridge.wait_for(&what, CATCH_UP, |status| is_settled(&status.table_state(&name)));
        let state = status.table_state(&name);
        if state != "streaming" {
            return Err(format!("{name} is {state}: {}", status.table_reason(&name)));
        }
    }
    bridge.wait_caught_up(test, CATCH_UP);
    Ok(())
}

fn compared(test: &Fixture) -> Result<Tally, String> {
    let (mut tally, mut checksum, mut wrong) = (Tally::default(), crc32fast::Hasher::new(), String::new());
    for table in test.tables() {
        let report = test.compare(&table);
        tally.tables += 1;
        tally.rows += report.rows;
        checksum.update(format!("{table} {} {:08x}\n", report.rows, report.checksum).as_bytes());
        if !report.is_equal() {
            write!(wrong, "\n{table}: {report}").unwrap();
        }
    }
    tally.checksum = checksum.finalize();
    assert!(tally.rows > 1000, "hardly a row was compared");
    if wrong.is_empty() { Ok(tally) } else { Err(format!("tables differ:{wrong}")) }
}

/// The last checkpoint says nothing that the source has not.
fn checkpoint_is_behind(test: &Fixture) -> Result<(), String> {
    let saved = test.clickhouse(
        "SELECT file, offset, ifNull(gtid_set, '') FROM `{db}_state`.checkpoint_latest
         ORDER BY timeline DESC, seq DESC LIMIT 1",
    );
    let now = SourcePosition::now(test);
    let [file, offset, gtid_set] = saved.split('\t').collect::<Vec<_>>()[..] else {
        return Err(format!("no checkpoint: {saved:?}"));
    };
    let is_known = test.row::<bool>(&format!("SELECT GTID_SUBSET('{gtid_set}', @@gtid_executed)"));
    if is_known && (file, offset.parse::<u64>().unwrap()) <= (now.file.as_str(), now.offset) {
        return Ok(());
    }
    Err(format!("the checkpoint {file}:{offset} ({gtid_set}) is ahead of the source, which is at {now}"))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

/// All that is needed to look into a failure; the folder has the bridge's log and what it saved.
fn told(failure: &str, seed: u64, faults: &[Fault], config: &Config, test: &Fixture) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(&test.database);
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["bridge.log", "stream-bridge.toml"] {
        let _ = std::fs::copy(config.folder().join(name), folder.join(name));
    }
    for table in ["checkpoints", "table_states", "copy_chunks"] {
        let rows = test.servers.clickhouse.try_query(&format!(
            "SELECT * FROM `{}_state`.{table} ORDER BY ALL FORMAT PrettyJSONEachRow",
            test.database
        ));
        std::fs::write(folder.join(format!("{table}.json")), rows.unwrap_or_else(|error| error)).unwrap();
    }
    let faults: String = faults.iter().map(|fault| format!("  {fault}\n")).collect();
    let text = format!(
        "STREAM_BRIDGE_TEST_FAULTS_SEEDS={seed} found: {failure}\nby this schedule:\n{faults}the log and more: {}",
        folder.display()
    );
    std::fs::write(folder.join("failure"), &text).unwrap();
    text
}
