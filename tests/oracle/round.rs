//! A round: makes the tables of a case, starts the bridge, runs the steps, waits until it has caught up, and compares
//! every table.
//!
//! A statement may fail in ways that MySQL has for its data (a key twice, a value too long, ..); any other failure is a
//! mistake of the oracle's and ends the test. What the bridge does wrong comes back as text: a table that does not
//! stream, a difference, a process that ended or does not catch up.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mysql::prelude::Queryable;

use crate::sessions::{Action, Case, XID_NAME};
use crate::support::bridge::{Bridge, Config, Status};
use crate::support::compare;
use crate::support::fixture::Fixture;
use crate::support::servers::Servers;

/// How long the bridge may take for what a round does.
const PATIENCE: Duration = Duration::from_secs(300);

/// MySQL's errors that depend on data and on what is locked: duplicate keys, NULL or nothing for NOT NULL, values that
/// do not fit, locks, foreign keys, JSON, XA states, savepoints that are gone.
const EXPECTED_ERRORS: [u16; 48] = [
    1022, 1048, 1062, 1105, 1118, 1205, 1213, 1264, 1265, 1292, 1301, 1305, 1364, 1366, 1397, 1398, 1399, 1400, 1401,
    1402, 1406, 1411, 1416, 1440, 1451, 1452, 1467, 1525, 1586, 1613, 1614, 1690, 1713, 1761, 1785, 3138, 3140, 3141,
    3142, 3143, 3150, 3157, 3165, 3616, 3617, 3854, 3988, 6136,
];

/// The program that is tried, and variables for it.
#[derive(Debug, Clone, Default)]
pub struct Program {
    pub binary: Option<PathBuf>,
    pub environment: Vec<(&'static str, &'static str)>,
}

/// What a round did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub tables: u64,
    pub rows: u64,
    /// Of the tables, those whose rows nothing tells apart.
    pub without_key: u64,
    /// Columns in types of a user's choice.
    pub chosen_columns: u64,
    /// Rounds whose first statements were before the bridge, so that their rows were copied.
    pub copied_before: u64,
    pub succeeded: u64,
    pub failed: u64,
    /// Tables set aside because XA transactions held too much, as README says.
    pub xa_limits: u64,
    /// Tables that were copied anew.
    pub resyncs: u64,
    /// Of those that succeeded, commits of XA transactions.
    pub xa_commits: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.tables += other.tables;
        self.rows += other.rows;
        self.without_key += other.without_key;
        self.chosen_columns += other.chosen_columns;
        self.copied_before += other.copied_before;
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.xa_commits += other.xa_commits;
        self.xa_limits += other.xa_limits;
        self.resyncs += other.resyncs;
    }
}

/// Runs a case.
///
/// # Errors
/// What the bridge did wrong.
pub fn run(servers: &Servers, case: &Case, program: &Program) -> Result<Tally, String> {
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    let number = ROUNDS.fetch_add(1, Ordering::Relaxed);
    let database = format!("sb_oracle_{}_{number}", std::process::id());
    let fixture = Fixture::named(servers.lend(), database);
    let mut round = Round { fixture: &fixture, sessions: Vec::new(), tally: Tally::default(), mistake: None };
    round.prepare(case);
    let result = catch_unwind(AssertUnwindSafe(|| round.stream(case, program)));
    round.clean_up();
    let tally = round.tally;
    if let Some(mistake) = round.mistake {
        panic!("seed {}: {mistake}", case.seed);
    }
    result.unwrap_or_else(|panic| Err(panic_text(panic.as_ref()))).map(|()| tally)
}

/// What a table's reason says that reached a limit of README's: no difference, and no equality either.
const XA_LIMIT: &str = "its rows in XA transactions that are not decided take";

struct Round<'a> {
    fixture: &'a Fixture,
    sessions: Vec<mysql::Conn>,
    tally: Tally,
    /// The oracle's own.
    mistake: Option<String>,
}

impl Round<'_> {
    fn prepare(&mut self, case: &Case) {
        for sql in case.tables.iter().flat_map(|table| table.create()) {
            self.fixture.sql(&sql);
        }
        self.sessions = case.sessions.iter().map(|settings| self.connect(settings)).collect();
    }

    fn connect(&self, settings: &[String]) -> mysql::Conn {
        let mut connection = self.fixture.connect();
        for sql in settings {
            connection.query_drop(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        connection
    }

    fn stream(&mut self, case: &Case, program: &Program) -> Result<(), String> {
        let mut config = self.fixture.config();
        for (key, value) in &case.settings {
            config.set(key, value.clone());
        }
        let rules = case.tables.iter().filter_map(|table| table.rule(&self.fixture.database));
        config.set("replicate.rule", rules.collect::<Vec<_>>());
        if let Some(binary) = &program.binary {
            config.use_program(binary, &program.environment);
        }
        let mut started: Option<Bridge> = None;
        for (number, step) in case.steps.iter().enumerate() {
            if started.is_none() && number >= case.head && self.prepared().is_empty() {
                started = Some(start(&config));
                self.tally.copied_before += u64::from(number > 0);
            }
            match &step.action {
                Action::Sql { session, statement, .. } => self.execute(*session, &statement.to_string()),
                Action::Kill => {
                    if let Some(bridge) = started.take() {
                        bridge.kill9();
                        started = Some(start(&config));
                    }
                }
                Action::Terminate => {
                    let Some(bridge) = started.take() else { continue };
                    let code = bridge.sigterm();
                    if code != Some(0) {
                        return Err(format!("SIGTERM ended the bridge with {code:?}"));
                    }
                    started = Some(start(&config));
                }
                Action::FlushLogs => self.fixture.sql("FLUSH BINARY LOGS"),
                Action::Resync => {
                    for table in &case.tables {
                        let name = format!("`{}`.`{}`", self.fixture.database, table.name.replace('`', "``"));
                        let asked = started.as_ref().map(|bridge| bridge.post("/resync", &name));
                        // A table that is being copied already is refused.
                        self.tally.resyncs +=
                            u64::from(asked.is_some_and(|answer| answer.is_ok_and(|code| code == 202)));
                    }
                }
                Action::Settle => {
                    if let Some(bridge) = &mut started {
                        bridge.wait_caught_up(self.fixture, PATIENCE);
                    }
                }
            }
        }
        self.decide_all();
        let mut bridge = started.unwrap_or_else(|| start(&config));
        self.judge(case, &mut bridge)
    }

    fn execute(&mut self, session: usize, sql: &str) {
        let sql = sql.replace(XID_NAME, &self.fixture.database);
        match self.sessions[session].query_drop(&sql) {
            Ok(()) => {
                self.tally.succeeded += 1;
                self.tally.xa_commits += u64::from(sql.starts_with("XA COMMIT"));
            }
            Err(mysql::Error::MySqlError(error)) if EXPECTED_ERRORS.contains(&error.code) => {
                self.tally.failed += 1;
                // An XA transaction that cannot go on is in the way of the next one.
                if let Some((_, xid)) = sql.strip_prefix("XA ").and_then(|rest| rest.split_once(' ')) {
                    let xid = xid.trim_end_matches(" ONE PHASE");
                    let _ = self.sessions[session].query_drop(format!("XA ROLLBACK {xid}"));
                }
            }
            Err(error) => {
                let shown: String = sql.chars().take(3000).collect();
                self.mistake = Some(format!("the oracle made a statement that cannot be: {shown}\n{error}"));
            }
        }
    }

    /// A smaller case may lack the ends of its transactions: closed sessions roll back, the prepared ones are told to.
    fn decide_all(&mut self) {
        self.sessions.clear();
        for xid in self.prepared() {
            self.fixture.sql(&format!("XA ROLLBACK {xid}"));
        }
    }

    /// The case's transactions that are prepared.
    fn prepared(&self) -> Vec<String> {
        let rows: Vec<(i64, usize, usize, Vec<u8>)> = self.fixture.rows("XA RECOVER");
        let database = &self.fixture.database;
        let own = rows.into_iter().filter_map(|(format, name_bytes, _, data)| {
            let data = String::from_utf8_lossy(&data).into_owned();
            let branch = data.strip_prefix(database).filter(|_| name_bytes == database.len())?;
            Some(format!("'{database}','{branch}',{format}"))
        });
        own.collect()
    }

    /// A prepared transaction would keep the database from being dropped.
    /// Nobody reads the binary logs of a round that is over; an hour of them would fill a disk.
    fn clean_up(&mut self) {
        self.decide_all();
        self.fixture.sql("FLUSH BINARY LOGS");
        let (file, ..): (String, u64, String, String, String) = self.fixture.row("SHOW BINARY LOG STATUS");
        self.fixture.sql(&format!("PURGE BINARY LOGS TO '{file}'"));
    }

    fn judge(&mut self, case: &Case, bridge: &mut Bridge) -> Result<(), String> {
        let is_copied = |table: &serde_json::Value| table["state"] == "snapshot" || table["state"] == "resync";
        let copies = |status: &Status| status.0["tables"].as_array().is_none_or(|tables| tables.iter().any(is_copied));
        let mut status = bridge.wait_caught_up(self.fixture, PATIENCE);
        while copies(&status) {
            bridge.wait_for("no copy", PATIENCE, |status| !copies(status));
            status = bridge.wait_caught_up(self.fixture, PATIENCE);
        }
        let mut wrong = Vec::new();
        for table in &case.tables {
            let name = status.table_named(&format!("{}.{}", self.fixture.database, table.name));
            let (state, reason) = name.unwrap_or_else(|| ("absent".to_owned(), String::new()));
            if state == "quarantined" && reason.contains(XA_LIMIT) {
                self.tally.xa_limits += 1;
                continue;
            }
            if state != "streaming" {
                wrong.push(format!("table {} is {state}: {reason}", table.name));
                continue;
            }
            let readings = table.readings();
            let report = compare::compare_as(&self.fixture.servers, &self.fixture.database, &table.name, &readings);
            self.tally.tables += 1;
            self.tally.without_key += u64::from(!table.has_key());
            self.tally.chosen_columns += readings.len() as u64;
            self.tally.rows += report.rows;
            if !report.is_equal() {
                wrong.push(format!("table {}: {report}", table.name));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }
}

/// Starts the bridge. Its copies go on meanwhile: that of a table without a key waits for open transactions.
fn start(config: &Config) -> Bridge {
    let mut bridge = Bridge::spawn(config);
    bridge.wait_for("its position", PATIENCE, |status| status.state() != "starting");
    bridge
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
