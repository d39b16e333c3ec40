//! One TOML table on its way to a configuration struct: each key is read once, with its default, unit and range.
//!
//! A getter always answers (with the default when the value is bad) and notes the problem, so that one run names all
//! of them. What is left over when the section is finished is unknown. Values in force are kept for `config` to show;
//! secrets are neither kept nor quoted.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Value;

use super::Secret;

/// What stands where a secret would.
pub const HIDDEN: &str = "(hidden)";

/// A table being read.
#[derive(Debug)]
pub struct Section {
    path: String,
    given: toml::Table,
    effective: toml::Table,
    /// Known keys without a default, which are not in `effective` unless they are given.
    optional: Vec<String>,
    problems: Vec<String>,
}

impl Section {
    /// The whole file, with the problems found so far.
    pub fn root(given: toml::Table, problems: Vec<String>) -> Self {
        Self { path: String::new(), given, effective: toml::Table::new(), optional: Vec::new(), problems }
    }

    /// The values in force and all problems, unknown keys included.
    pub fn finish(mut self) -> (toml::Table, Vec<String>) {
        for key in self.given.keys().filter(|key| !self.effective.contains_key(*key)) {
            let nearest = nearest(key, self.effective.keys().chain(&self.optional));
            self.problems.push(format!("{}: unknown key; did you mean {}?", self.path_of(key), self.path_of(nearest)));
        }
        (self.effective, self.problems)
    }

    /// Notes what is wrong with a key that was read, quoting its value.
    pub fn problem(&mut self, key: &str, text: &str) {
        let value = self.effective.get(key).map(quote).unwrap_or_default();
        self.problems.push(format!("{}{value}: {text}", self.path_of(key)));
    }

    /// Whether the user wrote this key, which has no default.
    pub fn is_given(&mut self, key: &str) -> bool {
        self.optional.push(key.to_owned());
        self.given.contains_key(key)
    }

    /// Whether the user wrote a table for this key.
    pub fn is_table(&self, key: &str) -> bool {
        self.given.get(key).is_some_and(Value::is_table)
    }

    /// A table within this one; all defaults when it is missing.
    pub fn section<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let table = match self.given.get(key) {
            None => toml::Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(_) => {
                self.problems.push(format!("{0}: must be a section, written [{0}]", self.path_of(key)));
                toml::Table::new()
            }
        };
        let (answer, effective) = self.child(self.path_of(key), table, read);
        self.effective.insert(key.to_owned(), effective.into());
        answer
    }

    /// An array of tables within this one.
    pub fn sections<T>(&mut self, key: &str, read: impl Fn(&mut Self) -> T) -> Vec<T> {
        let values = self.array(key);
        let mut answers = Vec::with_capacity(values.len());
        let mut effectives = Vec::with_capacity(values.len());
        for (value, number) in values.into_iter().zip(1..) {
            let path = format!("{}[{number}]", self.path_of(key));
            let Value::Table(table) = value else {
                self.problems.push(format!("{path}: must be a section, written [[{}]]", self.path_of(key)));
                continue;
            };
            let (answer, effective) = self.child(path, table, &read);
            answers.push(answer);
            effectives.push(Value::Table(effective));
        }
        self.effective.insert(key.to_owned(), Value::Array(effectives));
        answers
    }

    fn child<T>(&mut self, path: String, given: toml::Table, read: impl FnOnce(&mut Self) -> T) -> (T, toml::Table) {
        let problems = std::mem::take(&mut self.problems);
        let mut child = Self { path, ..Self::root(given, problems) };
        let answer = read(&mut child);
        let (effective, problems) = child.finish();
        self.problems = problems;
        (answer, effective)
    }

    /// The keys of these that the user wrote.
    pub fn given(&self, keys: &[&str]) -> toml::Table {
        let written = self.given.iter().filter(|(key, _)| keys.contains(&key.as_str()));
        written.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// A text.
    pub fn string(&mut self, key: &str, default: &str) -> String {
        self.text(key, default, "a text in quotes")
    }

    /// A text that may not be empty.
    pub fn filled(&mut self, key: &str, default: &str) -> String {
        let text = self.string(key, default);
        if text.is_empty() {
            self.problem(key, "must not be empty");
        }
        text
    }

    /// A text that no output ever shows.
    pub fn secret(&mut self, key: &str) -> Secret {
        let given = self.given.get(key).cloned().unwrap_or_else(|| "".into());
        let shown = if given.as_str() == Some("") { "" } else { HIDDEN };
        self.effective.insert(key.to_owned(), shown.into());
        if let Value::String(text) = given {
            return Secret::new(text);
        }
        self.problem(key, "must be a text in quotes");
        Secret::default()
    }

    /// A URL; one with a password in it is refused and not quoted.
    pub fn url(&mut self, key: &str, default: &str) -> String {
        let url = self.string(key, default);
        if url.contains('@') {
            self.effective.insert(key.to_owned(), HIDDEN.into());
            self.problem(key, "must not hold user or password: they have their own keys");
            return default.to_owned();
        }
        url
    }

    /// A list of texts; empty by default.
    pub fn strings(&mut self, key: &str) -> Vec<String> {
        let values = self.array(key);
        self.effective.insert(key.to_owned(), Value::Array(values.clone()));
        if !values.iter().all(Value::is_str) {
            self.problem(key, "must be a list of texts; for example [\"shop.*\", \"app.orders\"]");
        }
        values.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }

    /// A table of an enum's names, or of texts, by name.
    pub fn by_name<T: DeserializeOwned>(&mut self, key: &str) -> BTreeMap<String, T> {
        self.optional.push(key.to_owned());
        let table = match self.given.get(key).cloned() {
            None => return BTreeMap::new(),
            Some(Value::Table(table)) => table,
            Some(other) => {
                let text =
                    format!("{}{}: must be written {key} = {{ column = \"..\" }}", self.path_of(key), quote(&other));
                self.problems.push(text);
                toml::Table::new()
            }
        };
        self.effective.insert(key.to_owned(), Value::Table(table.clone()));
        let mut found = BTreeMap::new();
        for (name, value) in table {
            match value.clone().try_into() {
                Ok(value) => drop(found.insert(name, value)),
                Err(error) => {
                    let text = format!("{}.{name}{}: {}", self.path_of(key), quote(&value), error.message());
                    self.problems.push(text);
                }
            }
        }
        found
    }

    fn array(&mut self, key: &str) -> Vec<Value> {
        match self.given.get(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values.clone(),
            Some(other) => {
                let text = format!("{}{}: must be a list, written [..]", self.path_of(key), quote(other));
                self.problems.push(text);
                Vec::new()
            }
        }
    }

    /// A whole number within a range; `why` explains it.
    pub fn integer<T>(&mut self, key: &str, default: T, range: RangeInclusive<T>, why: &str) -> T
    where
        T: Copy + PartialOrd + Display + TryFrom<i64> + TryInto<i64>,
    {
        let value = match self.given.get(key) {
            Some(value) => value.clone(),
            None => Value::Integer(default.try_into().unwrap_or_default()),
        };
        let number = value.as_integer().and_then(|number| T::try_from(number).ok());
        self.effective.insert(key.to_owned(), value);
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let (least, most) = range.into_inner();
            self.problem(
                key,
                &format!("must be a whole number from {least} to {most} ({why}); for example {key} = {default}"),
            );
            default
        })
    }

    /// A duration within `least..=most`, all written as in the file: "200ms", "30s", "1m".
    pub fn duration(&mut self, key: &str, default: &str, least: &str, most: &str) -> Duration {
        self.quantity(key, [default, least, most], "a duration", |text| humantime::parse_duration(text).ok())
    }

    /// A number of bytes within `least..=most`, all written as in the file: "64KiB", "16MiB", "1GiB".
    pub fn size(&mut self, key: &str, default: &str, least: &str, most: &str) -> usize {
        self.quantity(key, [default, least, most], "a size", parse_size)
    }

    fn quantity<T: PartialOrd + Default>(
        &mut self,
        key: &str,
        [default, least, most]: [&str; 3],
        what: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let text = self.text(key, default, &format!("{what} in quotes, with its unit"));
        let value = parse(&text);
        let is_in_range = value.is_some() && value >= parse(least) && value <= parse(most);
        if !is_in_range {
            self.problem(key, &format!("must be {what} from {least} to {most}; for example {key} = {default:?}"));
        }
        value.unwrap_or_default()
    }

    /// One of an enum's names.
    pub fn choice<T: DeserializeOwned + Default>(&mut self, key: &str, default: &str) -> T {
        let text = self.text(key, default, "a text in quotes");
        Value::String(text).try_into().unwrap_or_else(|error: toml::de::Error| {
            self.problem(key, error.message());
            T::default()
        })
    }

    fn text(&mut self, key: &str, default: &str, what: &str) -> String {
        let value = self.given.get(key).cloned().unwrap_or_else(|| default.into());
        self.effective.insert(key.to_owned(), value.clone());
        if let Value::String(text) = value {
            return text;
        }
        self.problem(key, &format!("must be {what}; for example {key} = {default:?}"));
        default.to_owned()
    }

    /// A key whose behaviour comes with a later version: only its default is taken.
    pub fn not_built(&mut self, key: &str, default: impl Into<Value>) {
        let default = default.into();
        let value = self.given.get(key).unwrap_or(&default).clone();
        let is_default = value == default;
        self.effective.insert(key.to_owned(), value);
        if !is_default {
            self.problem(
                key,
                &format!("is not built yet in this version; leave it out or write {key}{}", quote(&default)),
            );
        }
    }

    /// The same for a key that has no default.
    pub fn not_built_at_all(&mut self, key: &str) {
        self.optional.push(key.to_owned());
        if let Some(value) = self.given.get(key) {
            self.effective.insert(key.to_owned(), value.clone());
            self.problem(key, "is not built yet in this version; leave it out");
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn quote(value: &Value) -> String {
    format!(" = {value}")
}

/// The known key that is most like an unknown one.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> &'a str {
    let similarity = |name: &&'a String| strsim::jaro_winkler(key, name);
    known.max_by(|a, b| similarity(a).total_cmp(&similarity(b))).map_or("", String::as_str)
}

/// `16MiB` in bytes.
fn parse_size(text: &str) -> Option<usize> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(1 << shift)
}
