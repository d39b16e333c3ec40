//! Makes a failing case smaller: by whole transactions, single statements, rows of an INSERT and tables, as long as it
//! fails and time is left; and writes it as a script.
//!
//! Delta debugging (Zeller): halves are left out first, then quarters, down to single parts.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::round::{Program, run};
use crate::sessions::{Action, Case, Step};
use crate::support::servers::Servers;

/// A case that fails, as small as could be found in the time.
pub struct Minimal<'a> {
    pub case: Case,
    pub failure: String,
    servers: &'a Servers,
    program: &'a Program,
    until: Instant,
    attempts: usize,
}

/// Shrinks a case that failed with this text.
pub fn shrink<'a>(
    servers: &'a Servers,
    case: Case,
    failure: String,
    program: &'a Program,
    budget: Duration,
) -> Minimal<'a> {
    // A kill hits another moment each time.
    let is_certain = !case.steps.iter().any(|step| matches!(step.action, Action::Kill | Action::Terminate));
    let attempts = if is_certain { 1 } else { 3 };
    let mut minimal = Minimal { case, failure, servers, program, until: Instant::now() + budget, attempts };
    minimal.by_units();
    minimal.by_tables();
    minimal.by_steps();
    minimal.by_rows();
    minimal.by_tables();
    minimal
}

impl Minimal<'_> {
    /// Takes the smaller case when it fails too.
    fn try_smaller(&mut self, case: Case) -> bool {
        for _ in 0..self.attempts {
            if Instant::now() >= self.until {
                return false;
            }
            if let Err(failure) = run(self.servers, &case, self.program) {
                (self.case, self.failure) = (case, failure);
                return true;
            }
        }
        false
    }

    fn by_units(&mut self) {
        let mut units: Vec<usize> = self.case.steps.iter().map(|step| step.unit).collect();
        units.dedup();
        units.sort_unstable();
        units.dedup();
        self.leave_out(units, |case, units| case.steps.retain(|step| units.contains(&step.unit)));
    }

    fn by_steps(&mut self) {
        let all = self.case.steps.clone();
        self.leave_out((0..all.len()).collect(), |case, kept| {
            case.steps = kept.iter().map(|&index| all[index].clone()).collect();
        });
    }

    fn by_rows(&mut self) {
        for step in 0..self.case.steps.len() {
            let Action::Sql { statement, .. } = &self.case.steps[step].action else { continue };
            if statement.rows.len() > 1 {
                let rows = statement.rows.clone();
                self.leave_out(rows, |case, rows| {
                    if let Action::Sql { statement, .. } = &mut case.steps[step].action {
                        statement.rows = rows.to_vec();
                    }
                });
            }
        }
    }

    /// Tables that no statement and no foreign key names.
    fn by_tables(&mut self) {
        let last = self.case.tables.len();
        for index in (0..last).rev() {
            let named = self.case.steps.iter().any(|step| tables_of(step).contains(&index));
            let foreign = |table: &crate::tables::Table| table.foreign.as_ref().map(|foreign| foreign.parent);
            let referred = self.case.tables.iter().any(|table| foreign(table) == Some(index));
            if !named && !referred && self.case.tables.len() > 1 {
                let mut smaller = self.case.clone();
                remove_table(&mut smaller, index);
                self.try_smaller(smaller);
            }
        }
    }

    /// Leaves out as many of the parts as possible; `keep` makes a case of those that stay.
    fn leave_out<T: Clone>(&mut self, parts: Vec<T>, keep: impl Fn(&mut Case, &[T])) {
        let (mut parts, mut pieces) = (parts, 2);
        while parts.len() > 1 && Instant::now() < self.until {
            let length = parts.len().div_ceil(pieces);
            let smaller = (0..parts.len()).step_by(length).find_map(|start| {
                let rest: Vec<T> = [&parts[..start], &parts[(start + length).min(parts.len())..]].concat();
                let mut case = self.case.clone();
                keep(&mut case, &rest);
                (!rest.is_empty() && self.try_smaller(case)).then_some(rest)
            });
            match smaller {
                Some(rest) => (parts, pieces) = (rest, (pieces - 1).max(2)),
                None if length == 1 => return,
                None => pieces = (pieces * 2).min(parts.len()),
            }
        }
    }

    /// What happened, and the SQL that makes it happen.
    pub fn script(&self) -> String {
        let mut text = String::new();
        for table in &self.case.tables {
            table.create().iter().for_each(|sql| writeln!(text, "{sql};").unwrap());
        }
        for rule in self.case.tables.iter().filter_map(|table| table.rule("DATABASE")) {
            writeln!(text, "-- the bridge with the rule {rule}").unwrap();
        }
        for (key, value) in &self.case.settings {
            writeln!(text, "-- the bridge with {key} = {value}").unwrap();
        }
        let mut speaker = None;
        for step in &self.case.steps {
            self.write_step(&mut text, step, &mut speaker);
        }
        text
    }

    fn write_step(&self, text: &mut String, step: &Step, speaker: &mut Option<usize>) {
        let line = match &step.action {
            Action::Kill => "-- kill -9 of the bridge, and its start".to_owned(),
            Action::Terminate => "-- SIGTERM to the bridge, and its start".to_owned(),
            Action::FlushLogs => "FLUSH BINARY LOGS;".to_owned(),
            Action::Settle => "-- wait until the bridge has caught up".to_owned(),
            Action::Resync => "-- stream-bridge resync, of all tables".to_owned(),
            Action::Sql { session, statement, .. } => {
                if *speaker != Some(*session) {
                    writeln!(text, "-- session {session}: {}", self.case.sessions[*session].join("; ")).unwrap();
                    *speaker = Some(*session);
                }
                format!("{statement};")
            }
        };
        writeln!(text, "{line}").unwrap();
    }
}

fn tables_of(step: &Step) -> &[usize] {
    match &step.action {
        Action::Sql { tables, .. } => tables,
        Action::Kill | Action::Terminate | Action::FlushLogs | Action::Settle | Action::Resync => &[],
    }
}

fn remove_table(case: &mut Case, removed: usize) {
    let moved = |index: &mut usize| *index -= usize::from(*index > removed);
    case.tables.remove(removed);
    case.tables.iter_mut().filter_map(|table| table.foreign.as_mut()).for_each(|foreign| moved(&mut foreign.parent));
    for step in &mut case.steps {
        if let Action::Sql { tables, .. } = &mut step.action {
            tables.iter_mut().for_each(moved);
        }
    }
}
