//! One pass over one part: MySQL's rows against ClickHouse's, key by key, byte by byte.
//!
//! The argument of [`super`] decides each key: a stored version up to `decided` (V and the few versions behind it that
//! repairs use) can be compared, a higher one leaves the key open for the next pass. Pure.

use std::collections::{HashMap, HashSet};

use super::REPAIRS_MAX;
use crate::error::{Error, ErrorKind, Result};

/// The bytes of a key's values.
pub type Key = Box<[u8]>;

/// What an entry of a table costs beside its bytes, about.
const ENTRY_BYTES: usize = 64;

/// Keys, as many as the limit of a part allows.
#[derive(Debug, Default)]
pub struct Keys {
    keys: HashSet<Key>,
    bytes: usize,
}

impl Keys {
    /// Whether it is one of them.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains(key)
    }

    /// Takes another one in.
    pub fn insert(&mut self, key: Key) {
        self.bytes += key.len() + ENTRY_BYTES;
        self.keys.insert(key);
    }

    /// Takes others in.
    pub fn extend(&mut self, others: Self) {
        self.bytes += others.bytes;
        self.keys.extend(others.keys);
    }

    /// How many.
    pub fn len(&self) -> u64 {
        self.keys.len() as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter()
    }
}

/// Rows by key.
#[derive(Debug, Default)]
pub struct Rows {
    rows: HashMap<Key, Box<[u8]>>,
    bytes: usize,
}

impl Rows {
    /// Takes a row in.
    ///
    /// # Errors
    /// When its key is there already: the two servers disagree on what a key is.
    pub fn insert(&mut self, key: &[u8], row: &[u8]) -> Result<()> {
        self.bytes += key.len() + row.len() + ENTRY_BYTES;
        match self.rows.insert(key.into(), row.into()) {
            None => Ok(()),
            Some(_) => {
                Err(Error::new(ErrorKind::TableShape, "two rows of MySQL have the same key in ClickHouse's bytes"))
            }
        }
    }

    /// Memory that they take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// How the two sides differ in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Both have it, with other values.
    Differing,
    /// Only MySQL has it.
    Missing,
    /// Only ClickHouse has it.
    Extra,
}

/// A difference.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// How.
    pub class: Class,
    /// The key's bytes.
    pub key: &'a [u8],
    /// MySQL's row.
    pub source: Option<&'a [u8]>,
    /// ClickHouse's row.
    pub target: Option<&'a [u8]>,
    /// The highest version that ClickHouse holds of the key; 0 without one.
    pub version: u64,
}

/// What takes the differences.
pub type Sink<'a> = &'a mut dyn FnMut(&Finding<'_>) -> Result<()>;

/// A pass.
#[derive(Debug)]
pub struct Pass<'a> {
    /// MySQL's rows that ClickHouse has not shown.
    rows: Rows,
    /// The keys to look at; `None` for all.
    wanted: Option<&'a Keys>,
    /// Keys of which another finding is told already.
    ignored: &'a Keys,
    /// The highest version that can be compared.
    decided: u64,
    /// How many bytes of open keys are kept.
    bytes_max: usize,
    /// Versions of keys that ClickHouse holds but does not show.
    hidden: HashMap<Key, u64>,
    open: Keys,
    compared: u64,
}

impl<'a> Pass<'a> {
    /// A pass over MySQL's `rows` as they were at or after `version`.
    pub fn new(mut rows: Rows, wanted: Option<&'a Keys>, ignored: &'a Keys, version: u64, bytes_max: usize) -> Self {
        ignored.iter().for_each(|key| drop(rows.rows.remove(key)));
        let decided = version.saturating_add(REPAIRS_MAX);
        Self { rows, wanted, ignored, decided, bytes_max, hidden: HashMap::new(), open: Keys::default(), compared: 0 }
    }

    /// A row that ClickHouse shows.
    ///
    /// # Errors
    /// What the sink says.
    pub fn shown(&mut self, key: &[u8], row: &[u8], version: u64, sink: Sink<'_>) -> Result<()> {
        if self.wanted.is_some_and(|wanted| !wanted.contains(key)) || self.ignored.contains(key) {
            return Ok(());
        }
        let source = self.rows.rows.remove(key);
        if source.as_deref() == Some(row) {
            self.compared += 1;
            return Ok(());
        }
        if version > self.decided {
            // Keys that are new since V are the stream's business: as many as fit are looked at again.
            if source.is_some() || self.open.bytes < self.bytes_max {
                self.open.insert(key.into());
            }
            return Ok(());
        }
        self.compared += 1;
        let class = if source.is_some() { Class::Differing } else { Class::Extra };
        sink(&Finding { class, key, source: source.as_deref(), target: Some(row), version })
    }

    /// Whether there are rows of MySQL that ClickHouse has not shown.
    pub fn lacks_rows(&self) -> bool {
        !self.rows.rows.is_empty()
    }

    /// A version that ClickHouse holds, shown or not, above V.
    pub fn held(&mut self, key: &[u8], version: u64) {
        if version > self.decided {
            if let Some((key, _)) = self.rows.rows.remove_entry(key) {
                self.open.insert(key);
            }
        } else if self.rows.rows.contains_key(key) {
            let highest = self.hidden.entry(key.into()).or_default();
            *highest = version.max(*highest);
        }
    }

    /// Rows that ClickHouse need not have: the initial copy left them out, and nothing changed them since.
    pub fn leave_out(&mut self, rows: &Rows) {
        rows.rows.keys().for_each(|key| drop(self.rows.rows.remove(key)));
    }

    /// Ends the pass: what ClickHouse has neither shown nor holds in a later version is missing. The keys that are still
    /// open, and how many were compared.
    ///
    /// # Errors
    /// What the sink says.
    pub fn end(self, sink: Sink<'_>) -> Result<(Keys, u64)> {
        let mut compared = self.compared;
        for (key, row) in &self.rows.rows {
            compared += 1;
            let version = self.hidden.get(key).copied().unwrap_or_default();
            sink(&Finding { class: Class::Missing, key, source: Some(row), target: None, version })?;
        }
        Ok((self.open, compared))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: u64 = 1000;

    fn rows(rows: &[(u8, u8)]) -> Rows {
        let mut all = Rows::default();
        rows.iter().for_each(|&(key, value)| all.insert(&[key], &[key, value]).unwrap());
        all
    }

    fn keys(of: &[u8]) -> Keys {
        let mut keys = Keys::default();
        of.iter().for_each(|&key| keys.insert([key].into()));
        keys
    }

    /// Class, key and version of all findings; open keys; keys compared.
    type Outcome = (Vec<(Class, u8, u64)>, Vec<u8>, u64);

    fn outcome(source: &[(u8, u8)], shown: &[(u8, u8, u64)], held: &[(u8, u64)], wanted: Option<&Keys>) -> Outcome {
        let ignored = keys(&[99]);
        let mut pass = Pass::new(rows(source), wanted, &ignored, V, 1 << 20);
        let mut found = Vec::new();
        let mut sink = |finding: &Finding<'_>| {
            found.push((finding.class, finding.key[0], finding.version));
            Ok(())
        };
        shown.iter().for_each(|&(key, value, version)| pass.shown(&[key], &[key, value], version, &mut sink).unwrap());
        held.iter().for_each(|&(key, version)| pass.held(&[key], version));
        let (open, compared) = pass.end(&mut sink).unwrap();
        let mut open: Vec<u8> = open.iter().map(|key| key[0]).collect();
        open.sort_unstable();
        found.sort_by_key(|(_, key, _)| *key);
        (found, open, compared)
    }

    #[test]
    fn versions_up_to_v_are_decided() {
        let found = outcome(
            &[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)],
            &[(1, 1, 500), (2, 9, V), (3, 9, V + REPAIRS_MAX + 1), (4, 4, V + 9999), (6, 6, V + 18), (7, 7, V + 19)],
            &[],
            None,
        );
        let expected = vec![(Class::Differing, 2, V), (Class::Missing, 5, 0), (Class::Extra, 6, V + 18)];
        assert_eq!(found, (expected, vec![3, 7], 5));
    }

    #[test]
    fn a_key_that_is_hidden_by_a_later_version_is_open() {
        let found = outcome(&[(1, 1), (2, 2), (3, 3)], &[], &[(1, V + 19), (2, V + 2), (2, V + 1), (8, V + 50)], None);
        assert_eq!(found, (vec![(Class::Missing, 2, V + 2), (Class::Missing, 3, 0)], vec![1], 2));
    }

    #[test]
    fn later_passes_look_at_open_keys_alone() {
        let wanted = keys(&[1, 2]);
        let found = outcome(&[(1, 1)], &[(1, 1, V), (3, 3, V), (99, 1, V)], &[], Some(&wanted));
        assert_eq!(found, (vec![], vec![], 1));
        assert_eq!(outcome(&[(99, 1)], &[], &[(99, V + 50)], None), (vec![], vec![], 0), "told already");
    }

    #[test]
    fn two_rows_of_one_key_are_an_error() {
        let mut rows = rows(&[(1, 1)]);
        assert!(rows.insert(&[1], &[1, 2]).is_err());
        assert!(rows.bytes() > 2 * ENTRY_BYTES && rows.len() == 1);
    }
}
