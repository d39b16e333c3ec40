//! How many values became NULL because the policy says so, by column and reason, and the row of the first of each.
//!
//! Shared by the plans of a table and whoever tells of it: the lock is taken for a bad value and to look, never for a good
//! one (I3).

use std::collections::BTreeMap;

use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::schema::types::TableName;

/// The counts of all tables.
#[derive(Debug, Default)]
pub struct Counts(Mutex<BTreeMap<String, Arc<BadValues>>>);

/// The counts of one table.
#[derive(Debug, Default)]
pub struct BadValues {
    counts: Mutex<BTreeMap<(String, &'static str), Count>>,
}

#[derive(Debug, Default, Clone)]
struct Count {
    values: u64,
    first: First,
}

/// What is known of the first one.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
enum First {
    /// Its row is still to be looked at.
    #[default]
    New,
    /// Its value and key, not told yet.
    Found(String),
    Told,
}

/// The values of a column that became NULL for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BadValue {
    /// The column.
    pub column: String,
    /// Why.
    pub reason: &'static str,
    /// How many.
    pub values: u64,
}

/// Two plans of one table are the same, whatever was counted.
impl PartialEq for BadValues {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Counts {
    /// Those of a table of the source.
    pub fn of(&self, table: &TableName) -> Arc<BadValues> {
        Arc::clone(self.0.lock().entry(table.to_string()).or_default())
    }

    /// The first ones of all tables that were not told yet, for a person.
    pub fn news(&self) -> Vec<String> {
        let tables = self.0.lock();
        let news = tables.iter().flat_map(|(table, counts)| counts.news().into_iter().map(move |news| (table, news)));
        let told = news.map(|(table, (column, reason, row))| {
            format!("{table}: a value of {column} is NULL in ClickHouse ({reason}, on_bad_value = \"null\"), the first: {row}")
        });
        told.collect()
    }
}

impl BadValues {
    /// One more.
    pub fn count(&self, column: &str, reason: &'static str) {
        self.counts.lock().entry((column.to_owned(), reason)).or_default().values += 1;
    }

    /// Those whose first row is to be looked at.
    pub fn new_ones(&self) -> Vec<(String, &'static str)> {
        let counts = self.counts.lock();
        counts.iter().filter(|(_, count)| count.first == First::New).map(|(at, _)| at.clone()).collect()
    }

    /// What the first one is.
    pub fn found(&self, at: &(String, &'static str), text: String) {
        if let Some(count) = self.counts.lock().get_mut(at) {
            count.first = First::Found(text);
        }
    }

    /// All counts.
    pub fn all(&self) -> Vec<BadValue> {
        let counts = self.counts.lock();
        let all = counts.iter().map(|((column, reason), count)| BadValue {
            column: column.clone(),
            reason,
            values: count.values,
        });
        all.collect()
    }

    /// The first ones that were not told yet, each once: column, reason, and the row.
    pub fn news(&self) -> Vec<(String, &'static str, String)> {
        let mut counts = self.counts.lock();
        let news = counts.iter_mut().filter_map(|((column, reason), count)| {
            let First::Found(text) = &mut count.first else { return None };
            let text = std::mem::take(text);
            count.first = First::Told;
            Some((column.clone(), *reason, text))
        });
        news.collect()
    }
}
