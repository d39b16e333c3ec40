//! A case: tables, sessions with settings of their own, and what they do in turn: single statements, transactions with
//! savepoints and rollbacks, XA transactions, between one another; and what happens to the bridge meanwhile.
//!
//! Statements run one after the other in the order of the case, whichever session they belong to, so a case runs alike
//! each time. A table that an open transaction works on is mostly left alone by the others; when not, a statement may
//! wait for a second and fail, which is a result like any other.

use crate::dice::Dice;
use crate::statements::{Reach, Statement, change, change_in_place, fill};
use crate::tables::{Table, tables};

/// All that a round does.
#[derive(Debug, Clone)]
pub struct Case {
    pub seed: u64,
    pub tables: Vec<Table>,
    /// What each session says at first.
    pub sessions: Vec<Vec<String>>,
    pub steps: Vec<Step>,
    /// Steps after which the bridge starts, as soon as no XA transaction is prepared: what is there then is copied.
    pub head: usize,
    /// Settings of the bridge.
    pub settings: Vec<(&'static str, toml::Value)>,
}

/// What happens next.
#[derive(Debug, Clone)]
pub struct Step {
    /// Steps of one transaction have the same number.
    pub unit: usize,
    pub action: Action,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum Action {
    /// A session runs a statement on these tables.
    Sql { session: usize, statement: Statement, tables: Vec<usize> },
    /// `kill -9` of the bridge, and its start.
    Kill,
    /// The same, by SIGTERM.
    Terminate,
    /// Another binlog file begins.
    FlushLogs,
    /// The bridge gets time to save a checkpoint.
    Settle,
    /// All tables are copied anew beside their targets.
    Resync,
}

/// The name before an XA transaction's number; the round puts the database's name in its place.
pub const XID_NAME: &str = "{database}";

/// A transaction that is open.
struct Open {
    unit: usize,
    tables: Vec<usize>,
    statements: usize,
    savepoints: usize,
    xid: Option<String>,
}

struct Maker<'a> {
    dice: &'a mut Dice,
    case: Case,
    reach: Vec<Reach>,
    /// The transaction of each session.
    open: Vec<Option<Open>>,
    /// XA transactions that are prepared: their name, unit and tables.
    prepared: Vec<(String, usize, Vec<usize>)>,
    units: usize,
}

/// What a case may do to the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// Whatever chance says.
    Any,
    /// Nothing.
    None,
    /// Kills in every case.
    Kills,
}

/// Invents a case.
pub fn case(seed: u64, disturbance: Disturbance) -> Case {
    let dice = &mut Dice::new(seed);
    let tables = tables(dice);
    let sessions: Vec<(Vec<String>, Reach)> = (0..dice.between(1, 4)).map(|_| session(dice)).collect();
    let (sessions, reach): (Vec<_>, Vec<_>) = sessions.into_iter().unzip();
    let open = sessions.iter().map(|_| None).collect();
    let settings = settings(dice, disturbance);
    let head = if disturbance == Disturbance::Any && dice.percent(50) { dice.between(1, 60) } else { 0 };
    let case = Case { seed, tables, sessions, steps: Vec::new(), head, settings };
    let mut maker = Maker { dice, case, reach, open, prepared: Vec::new(), units: 0 };
    maker.run(disturbance);
    maker.case
}

fn session(dice: &mut Dice) -> (Vec<String>, Reach) {
    let mut set = vec!["innodb_lock_wait_timeout = 1".to_owned()];
    if dice.percent(30) {
        set.push("sql_mode = 'STRICT_ALL_TABLES'".to_owned());
    }
    if dice.percent(30) {
        set.push(format!("time_zone = '{}'", dice.pick(&["+14:00", "-12:00", "+05:45"])));
    }
    if dice.percent(50) {
        set.push("transaction_isolation = 'READ-COMMITTED'".to_owned());
    }
    if dice.percent(40) {
        set.push("binlog_row_value_options = 'PARTIAL_JSON'".to_owned());
    }
    let is_compressed = dice.percent(30);
    if is_compressed {
        set.push("binlog_transaction_compression = ON".to_owned());
        set.push(format!("binlog_transaction_compression_level_zstd = {}", dice.pick(&[1, 3, 9])));
    }
    if dice.percent(20) {
        set.push("binlog_rows_query_log_events = ON".to_owned());
    }
    let most = *dice.pick(&[50, 50, 200, 2000]);
    let reach = Reach { insert: if is_compressed { 20 } else { most }, whole: !is_compressed };
    (set.into_iter().map(|setting| format!("SET SESSION {setting}")).collect(), reach)
}

fn settings(dice: &mut Dice, disturbance: Disturbance) -> Vec<(&'static str, toml::Value)> {
    let interval = if disturbance == Disturbance::Kills { "100ms" } else { dice.pick(&["100ms", "1s", "30s"]) };
    let mut settings = vec![("state.checkpoint_interval", interval.into())];
    if dice.percent(60) {
        settings.push(("snapshot.chunk_rows", i64::from(*dice.pick(&[1u32, 3, 50])).into()));
    }
    if dice.percent(40) {
        settings.push(("pipeline.batch_size", i64::from(*dice.pick(&[1u32, 2, 7, 100])).into()));
    }
    if dice.percent(30) {
        settings.push(("pipeline.worker_count", i64::from(*dice.pick(&[1u32, 2, 8])).into()));
    }
    // Half of it may be held by XA transactions: more than any case draws.
    settings.push(("pipeline.memory_limit", "1GiB".into()));
    if dice.percent(20) {
        settings.push(("pipeline.batch_bytes", "1MiB".into()));
    }
    settings
}

impl Maker<'_> {
    fn run(&mut self, disturbance: Disturbance) {
        let events = *self.dice.pick(&[15, 60, 150, 300]);
        let disturbs = match disturbance {
            Disturbance::Any => *self.dice.pick(&[0, 0, 2, 5]),
            Disturbance::None => 0,
            Disturbance::Kills => 6,
        };
        for table in 0..self.case.tables.len() {
            let session = self.dice.below(self.open.len());
            let statement = fill(self.dice, &self.case.tables[table]);
            self.units += 1;
            self.step(session, self.units, &[table], statement);
        }
        for _ in 0..events {
            if self.dice.below(200) < disturbs * 200 / events.max(1) {
                self.disturb();
            }
            let session = self.dice.below(self.open.len());
            match self.open[session].take() {
                Some(open) => self.go_on(session, open),
                None if !self.prepared.is_empty() && self.dice.percent(20) => self.decide(session),
                None => self.begin(session),
            }
        }
        self.end_all();
    }

    fn disturb(&mut self) {
        let actions = [
            Action::Kill,
            Action::Kill,
            Action::Terminate,
            Action::FlushLogs,
            Action::Settle,
            Action::Resync,
            Action::Resync,
        ];
        let action = self.dice.pick(&actions).clone();
        self.units += 1;
        self.case.steps.push(Step { unit: self.units, action });
    }

    fn step(&mut self, session: usize, unit: usize, tables: &[usize], statement: Statement) {
        let action = Action::Sql { session, statement, tables: tables.to_vec() };
        self.case.steps.push(Step { unit, action });
    }

    fn sql(&mut self, session: usize, unit: usize, sql: impl Into<String>) {
        self.step(session, unit, &[], Statement::plain(sql));
    }

    /// A table; mostly one that nobody holds, in a transaction one that can be rolled back.
    fn table(&mut self, in_transaction: bool) -> Option<usize> {
        let held: Vec<usize> = self.open.iter().flatten().flat_map(|open| open.tables.clone()).collect();
        let prepared: Vec<usize> = self.prepared.iter().flat_map(|(_, _, tables)| tables.clone()).collect();
        let ignores_others = self.dice.percent(2);
        let is_free = |index: &usize| ignores_others || !held.contains(index) && !prepared.contains(index);
        let tables = &self.case.tables;
        let fits = |index: &usize| !in_transaction || tables[*index].is_transactional();
        let free: Vec<usize> = (0..tables.len()).filter(is_free).filter(fits).collect();
        (!free.is_empty()).then(|| *self.dice.pick(&free))
    }

    /// The table, and all that its cascades may reach.
    fn family(&self, table: usize) -> Vec<usize> {
        let mut family = vec![table];
        if let Some(foreign) = &self.case.tables[table].foreign {
            family.push(foreign.parent);
        }
        for (index, other) in self.case.tables.iter().enumerate() {
            if other.foreign.as_ref().is_some_and(|foreign| family.contains(&foreign.parent)) {
                family.push(index);
            }
        }
        family.sort_unstable();
        family.dedup();
        family
    }

    fn begin(&mut self, session: usize) {
        self.units += 1;
        let unit = self.units;
        if self.dice.percent(40) {
            if let Some(table) = self.table(false) {
                self.change(session, unit, &[table]);
            }
            return;
        }
        let mut tables: Vec<usize> = Vec::new();
        for _ in 0..self.dice.between(1, 2) {
            let Some(table) = self.table(true) else { continue };
            tables.extend(self.family(table));
        }
        tables.sort_unstable();
        tables.dedup();
        if tables.is_empty() {
            return;
        }
        let xid = self.dice.percent(35).then(|| format!("'{XID_NAME}','{unit}',{}", self.dice.below(3)));
        match &xid {
            Some(xid) => self.sql(session, unit, format!("XA START {xid}")),
            None => self.sql(session, unit, "BEGIN"),
        }
        let statements = *self.dice.pick(&[1, 2, 4, 4, 12]);
        self.open[session] = Some(Open { unit, tables, statements, savepoints: 0, xid });
    }

    fn change(&mut self, session: usize, unit: usize, tables: &[usize]) {
        let index = *self.dice.pick(tables);
        let table = self.case.tables[index].clone();
        let others: Vec<usize> = tables.iter().copied().filter(|&other| other != index).collect();
        let other = (!others.is_empty()).then(|| *self.dice.pick(&others));
        let second = other.map(|other| self.case.tables[other].clone());
        let in_place = if self.dice.percent(35) { change_in_place(self.dice, &table) } else { None };
        let reach = self.reach[session];
        let statement = in_place.unwrap_or_else(|| change(self.dice, &table, second.as_ref(), reach));
        let tables: Vec<usize> = [Some(index), other].into_iter().flatten().collect();
        self.step(session, unit, &tables, statement);
    }

    fn go_on(&mut self, session: usize, mut open: Open) {
        if open.statements == 0 {
            return self.end(session, &open);
        }
        let unit = open.unit;
        match self.dice.below(10) {
            0 => {
                open.savepoints += 1;
                self.sql(session, unit, format!("SAVEPOINT s{}", open.savepoints));
            }
            1 if open.savepoints > 0 => {
                let savepoint = self.dice.between(1, open.savepoints);
                self.sql(session, unit, format!("ROLLBACK TO SAVEPOINT s{savepoint}"));
                open.savepoints = savepoint;
            }
            _ => {
                let tables = open.tables.clone();
                self.change(session, unit, &tables);
                open.statements -= 1;
            }
        }
        self.open[session] = Some(open);
    }

    fn end(&mut self, session: usize, open: &Open) {
        let Some(xid) = &open.xid else {
            let end = if self.dice.percent(25) { "ROLLBACK" } else { "COMMIT" };
            return self.sql(session, open.unit, end);
        };
        self.sql(session, open.unit, format!("XA END {xid}"));
        match self.dice.below(10) {
            0..=1 => self.sql(session, open.unit, format!("XA COMMIT {xid} ONE PHASE")),
            2 => self.sql(session, open.unit, format!("XA ROLLBACK {xid}")),
            _ => {
                self.sql(session, open.unit, format!("XA PREPARE {xid}"));
                self.prepared.push((xid.clone(), open.unit, open.tables.clone()));
            }
        }
    }

    /// Any session may say how a prepared transaction ends.
    fn decide(&mut self, session: usize) {
        let index = self.dice.below(self.prepared.len());
        let (xid, unit, _) = self.prepared.remove(index);
        let outcome = if self.dice.percent(30) { "ROLLBACK" } else { "COMMIT" };
        self.sql(session, unit, format!("XA {outcome} {xid}"));
    }

    fn end_all(&mut self) {
        for session in 0..self.open.len() {
            if let Some(open) = self.open[session].take() {
                self.end(session, &open);
            }
        }
        while !self.prepared.is_empty() {
            self.decide(0);
        }
    }
}
