//! Random changes of random tables, of every kind that MySQL logs as rows.

use std::fmt;

use crate::dice::Dice;
use crate::documents;
use crate::kinds::Kind;
use crate::tables::{Column, SERVERS_KEY, Table};

/// A statement; the rows of an INSERT apart, so that a case can be made smaller by them.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    head: String,
    pub rows: Vec<String>,
    tail: String,
}

impl Statement {
    /// A statement as it is.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self { head: sql.into(), rows: Vec::new(), tail: String::new() }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.head, self.rows.join(", "), self.tail)
    }
}

/// Rows that one statement may touch at most.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Rows of an INSERT.
    pub insert: usize,
    /// Whether an UPDATE or DELETE may go over a whole table, and INSERT .. SELECT double it. A compressed transaction
    /// that repeats itself that often is refused by design.
    pub whole: bool,
}

/// A change of `table`; of `other` too when it joins two.
pub fn change(dice: &mut Dice, table: &Table, other: Option<&Table>, reach: Reach) -> Statement {
    match dice.below(20) {
        0..=2 => insert(dice, table, reach, "INSERT"),
        3..=5 => insert(dice, table, reach, "INSERT IGNORE"),
        6 | 7 => insert(dice, table, reach, "REPLACE"),
        8 | 9 => insert_or_update(dice, table, reach),
        10 => insert_select(dice, table, reach),
        11..=13 => update(dice, table, reach),
        14 | 15 => update_key(dice, table, reach),
        16 => match other {
            Some(other) => update_two(dice, table, other),
            None => update(dice, table, reach),
        },
        17 => match other {
            Some(other) => delete_two(dice, table, other),
            None => delete(dice, table, reach),
        },
        18 if dice.percent(50) => update(dice, table, reach),
        _ => delete(dice, table, reach),
    }
}

/// Rows to begin with; those that do not fit or come twice are passed over.
pub fn fill(dice: &mut Dice, table: &Table) -> Statement {
    let rows = dice.between(1, 30);
    insert_rows(dice, table, rows, "INSERT IGNORE")
}

/// A change of a JSON column in places; None without one.
pub fn change_in_place(dice: &mut Dice, table: &Table) -> Option<Statement> {
    let documents: Vec<&Column> = table.columns.iter().filter(|column| column.kind == Kind::Json).collect();
    let documents: Vec<&Column> = documents.into_iter().filter(|column| !column.generated).collect();
    if documents.is_empty() {
        return None;
    }
    let mut set = Vec::new();
    for _ in 0..dice.between(1, 2) {
        let name = dice.pick(&documents).quoted();
        set.push(format!("{name} = {}", documents::change(dice, &name)));
    }
    if dice.percent(30) {
        set.push(assignment(dice, table));
    }
    let (place, limit) = (place(dice, table), dice.between(1, 5));
    Some(Statement::plain(format!("UPDATE {} SET {}{place} LIMIT {limit}", table.quoted(), set.join(", "))))
}

/// The columns that an INSERT names: those it must, and most others.
fn named<'a>(dice: &mut Dice, table: &'a Table) -> Vec<&'a Column> {
    let leave_out = *dice.pick(&[0, 0, 30]);
    let given = table.columns.iter().filter(|column| !column.generated);
    let named: Vec<&Column> = given.filter(|column| !column.optional || !dice.percent(leave_out)).collect();
    if named.is_empty() { vec![&table.columns[0]] } else { named }
}

fn names(columns: &[&Column]) -> String {
    columns.iter().map(|column| column.quoted()).collect::<Vec<_>>().join(", ")
}

fn insert(dice: &mut Dice, table: &Table, reach: Reach, verb: &str) -> Statement {
    let most = if table.columns.len() > 60 { 20 } else { reach.insert };
    let rows = match dice.below(10) {
        0..=4 => 1,
        5 => dice.between(1, most),
        _ => dice.between(1, most.min(20)),
    };
    insert_rows(dice, table, rows, verb)
}

fn insert_rows(dice: &mut Dice, table: &Table, rows: usize, verb: &str) -> Statement {
    let columns = named(dice, table);
    let row = |dice: &mut Dice| {
        let values: Vec<String> = columns.iter().map(|column| column.value(dice)).collect();
        format!("({})", values.join(", "))
    };
    let rows = (0..rows).map(|_| row(dice)).collect();
    let head = format!("{verb} INTO {} ({}) VALUES ", table.quoted(), names(&columns));
    Statement { head, rows, tail: String::new() }
}

fn insert_or_update(dice: &mut Dice, table: &Table, reach: Reach) -> Statement {
    let mut statement = insert(dice, table, Reach { insert: reach.insert.min(20), ..reach }, "INSERT");
    let assignments: Vec<String> = (0..dice.between(1, 3)).map(|_| assignment(dice, table)).collect();
    statement.tail = format!(" ON DUPLICATE KEY UPDATE {}", assignments.join(", "));
    statement
}

/// Rows of the table again, under other keys.
fn insert_select(dice: &mut Dice, table: &Table, reach: Reach) -> Statement {
    let columns: Vec<&Column> = table.columns.iter().filter(|column| !column.generated).collect();
    let moved = i64::try_from(dice.between(1, 300)).unwrap();
    let source = |dice: &mut Dice, column: &Column| match column.kind {
        Kind::Int { .. } if table.is_key(column) => format!("{} + {moved}", column.quoted()),
        _ if table.is_key(column) => column.value(dice),
        _ => column.quoted(),
    };
    let sources: Vec<String> = columns.iter().map(|column| source(dice, column)).collect();
    let verb = dice.pick(&["INSERT IGNORE", "REPLACE", "INSERT"]).to_string();
    // Nothing would keep rows without a key from doubling again and again.
    let limit = if reach.whole && table.has_key() { *dice.pick(&["", " LIMIT 3", " LIMIT 50"]) } else { " LIMIT 5" };
    let quoted = table.quoted();
    let sources = sources.join(", ");
    Statement::plain(format!("{verb} INTO {quoted} ({}) SELECT {sources} FROM {quoted}{limit}", names(&columns)))
}

/// `column = value` for a column that is no key.
fn assignment(dice: &mut Dice, table: &Table) -> String {
    let may_change = |column: &&Column| !column.generated && !table.is_key(column);
    let columns: Vec<&Column> = table.columns.iter().filter(may_change).collect();
    let columns = if columns.is_empty() { vec![&table.columns[0]] } else { columns };
    let column = *dice.pick(&columns);
    let name = column.quoted();
    match &column.kind {
        Kind::Int { .. } if dice.percent(30) => format!("{name} = {name} - 1"),
        Kind::Json if dice.percent(50) => format!("{name} = {}", documents::change(dice, &name)),
        _ => format!("{name} = {}", column.value(dice)),
    }
}

/// Which rows: some by a key's value, some by their order, or all.
fn place(dice: &mut Dice, table: &Table) -> String {
    let key = key_of(dice, table);
    let order = |direction: &str| format!(" ORDER BY {} {direction}", key.0);
    let comparison = *dice.pick(&["=", "=", "=", "<=", ">", "<>"]);
    match dice.below(10) {
        0..=5 => format!(" WHERE {} {comparison} {}", key.0, key.1),
        6 => format!(" WHERE {} IN ({}, {})", key.0, key.1, key_of(dice, table).1),
        7 => order("ASC"),
        8 => order("DESC"),
        _ => String::new(),
    }
}

/// The key's first column and one of its values.
fn key_of(dice: &mut Dice, table: &Table) -> (String, String) {
    match table.columns.iter().find(|column| table.key.first() == Some(&column.name)) {
        Some(column) => (column.quoted(), dice.pick(&column.pool).clone()),
        None => (SERVERS_KEY.to_owned(), dice.between(1, 30).to_string()),
    }
}

fn limit(dice: &mut Dice, reach: Reach) -> String {
    if reach.whole && dice.percent(30) { String::new() } else { format!(" LIMIT {}", dice.between(1, 8)) }
}

fn update(dice: &mut Dice, table: &Table, reach: Reach) -> Statement {
    let set: Vec<String> = (0..dice.between(1, 4)).map(|_| assignment(dice, table)).collect();
    let (place, limit) = (place(dice, table), limit(dice, reach));
    Statement::plain(format!("UPDATE {} SET {}{place}{limit}", table.quoted(), set.join(", ")))
}

/// The key moves on: to another's value, by a step for all, to its negative, or two change places.
fn update_key(dice: &mut Dice, table: &Table, reach: Reach) -> Statement {
    let keys: Vec<&Column> = table.columns.iter().filter(|column| table.is_key(column)).collect();
    let quoted = table.quoted();
    let Some(column) = (!keys.is_empty()).then(|| *dice.pick(&keys)) else {
        let (key, value) = key_of(dice, table);
        return Statement::plain(format!("UPDATE {quoted} SET {key} = {key} + 1000 WHERE {key} = {value}"));
    };
    let name = column.quoted();
    let (one, two) = (column.value(dice), column.value(dice));
    let limit = limit(dice, reach);
    let ignore = dice.pick(&["", "IGNORE "]);
    Statement::plain(match (&column.kind, dice.below(6)) {
        (Kind::Int { .. }, 0) => format!("UPDATE {quoted} SET {name} = {name} + 1 ORDER BY {name} DESC{limit}"),
        (Kind::Int { unsigned: false, .. }, 1) => format!("UPDATE {ignore}{quoted} SET {name} = -{name}{limit}"),
        (_, 2) => {
            let swap = format!("CASE {name} WHEN {one} THEN {two} ELSE {one} END");
            format!("UPDATE {ignore}{quoted} SET {name} = {swap} WHERE {name} IN ({one}, {two}){limit}")
        }
        _ => {
            let also = if dice.percent(50) { format!(", {}", assignment(dice, table)) } else { String::new() };
            format!("UPDATE {ignore}{quoted} SET {name} = {one}{also} WHERE {name} = {two}{limit}")
        }
    })
}

fn update_two(dice: &mut Dice, table: &Table, other: &Table) -> Statement {
    let qualified = |alias: &str, assignment: String| format!("{alias}.{assignment}");
    let plain = |dice: &mut Dice, table: &Table| {
        let may_change = |column: &&Column| !column.generated && !table.is_key(column);
        let columns: Vec<&Column> = table.columns.iter().filter(may_change).collect();
        let column = if columns.is_empty() { &table.columns[0] } else { *dice.pick(&columns) };
        format!("{} = {}", column.quoted(), column.value(dice))
    };
    let set = [qualified("x", plain(dice, table)), qualified("y", plain(dice, other))].join(", ");
    let (x, y) = (key_of(dice, table), key_of(dice, other));
    let (one, two) = (table.quoted(), other.quoted());
    Statement::plain(format!(
        "UPDATE {one} AS x JOIN {two} AS y ON x.{} >= {} AND y.{} = {} SET {set}",
        x.0, x.1, y.0, y.1
    ))
}

fn delete_two(dice: &mut Dice, table: &Table, other: &Table) -> Statement {
    let (x, y) = (key_of(dice, table), key_of(dice, other));
    let (one, two) = (table.quoted(), other.quoted());
    let of = *dice.pick(&["x, y", "x", "y"]);
    Statement::plain(format!(
        "DELETE {of} FROM {one} AS x JOIN {two} AS y ON x.{} = {} AND y.{} = {}",
        x.0, x.1, y.0, y.1
    ))
}

fn delete(dice: &mut Dice, table: &Table, reach: Reach) -> Statement {
    let (place, limit) = (place(dice, table), format!(" LIMIT {}", dice.between(1, 10)));
    let limit = if reach.whole && dice.percent(5) { String::new() } else { limit };
    Statement::plain(format!("DELETE FROM {}{place}{limit}", table.quoted()))
}
