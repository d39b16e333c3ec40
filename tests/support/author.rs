//! Invents schema changes from what the tables are now, and writes to whatever tables there are.

use mysql::prelude::Queryable;

use super::load::Random;

const TYPES: [(&str, &str); 8] = [
    ("INT", "5"),
    ("BIGINT", "-7"),
    ("VARCHAR(30)", "'text'"),
    ("VARCHAR(200)", "'it''s'"),
    ("DECIMAL(12,3)", "1.5"),
    ("DOUBLE", "0.25"),
    ("DATETIME(3)", "'2020-02-29 01:02:03.5'"),
    ("ENUM('a','b')", "'b'"),
];

/// Its tables have the keys `id` and `k`, both INT, and any other columns.
pub struct Author {
    /// For pauses and the like, too.
    pub random: Random,
    number: u64,
    is_hers: fn(&str) -> bool,
}

impl Author {
    /// Who changes those tables of the connection's database that are hers.
    pub fn new(seed: u64, is_hers: fn(&str) -> bool) -> Self {
        Self { random: Random::new(seed), number: 0, is_hers }
    }

    /// The next statement, which MySQL may refuse; None when it came to nothing.
    ///
    /// # Errors
    /// MySQL's.
    pub fn statement(&mut self, connection: &mut mysql::Conn) -> mysql::Result<Option<String>> {
        let tables = tables(connection, self.is_hers)?;
        let Some(table) = self.pick(&tables) else { return Ok(None) };
        let select = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() \
                      AND table_name = ? AND column_name NOT IN ('id', 'k') ORDER BY ordinal_position";
        let columns: Vec<String> = connection.exec(select, (&table,))?;
        Ok(self.change(&tables, &table, &columns))
    }

    fn change(&mut self, tables: &[String], table: &str, columns: &[String]) -> Option<String> {
        let fresh = self.fresh();
        Some(match self.random.below(24) {
            0 => format!("TRUNCATE TABLE {table}"),
            1 => format!("RENAME TABLE {table} TO t_{fresh}"),
            2 if tables.len() > 1 => {
                let other = self.pick(tables).filter(|other| *other != table)?;
                format!("RENAME TABLE {table} TO x_{fresh}, {other} TO {table}, x_{fresh} TO {other}")
            }
            3 if tables.len() > 5 => format!("DROP TABLE {table}"),
            4 | 3 if tables.len() < 7 => format!("CREATE TABLE t_{fresh} LIKE {table}"),
            5 if tables.len() < 7 => {
                format!("CREATE TABLE t_{fresh} (id INT, k INT NOT NULL DEFAULT 1, a INT, PRIMARY KEY (id))")
            }
            6 => format!("ALTER TABLE {table} DROP PRIMARY KEY, ADD PRIMARY KEY (id, k)"),
            7 => format!("ALTER TABLE {table} DROP PRIMARY KEY, ADD PRIMARY KEY (id)"),
            8 => format!("ALTER TABLE {table} RENAME TO t_{fresh}"),
            9 => format!("ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4"),
            10 => {
                let (one, two) = (self.pick(columns)?, self.pick(columns)?);
                format!("ALTER TABLE {table} RENAME COLUMN {one} TO {two}, RENAME COLUMN {two} TO {one}")
            }
            11..=14 => format!("ALTER TABLE {table} {}, {}", self.clause(columns)?, self.clause(columns)?),
            _ => format!("ALTER TABLE {table} {}", self.clause(columns)?),
        })
    }

    fn clause(&mut self, columns: &[String]) -> Option<String> {
        let (new, typed, other) = (self.fresh(), self.typed(), self.pick(columns));
        Some(match self.random.below(10) {
            0..=2 => format!("ADD COLUMN {new} {typed}"),
            3 => format!(
                "ADD COLUMN {new} {typed} {}",
                other.map_or("FIRST".to_owned(), |other| format!("AFTER {other}"))
            ),
            4 => format!("DROP COLUMN {}", other?),
            5 => format!("RENAME COLUMN {} TO {new}", other?),
            6 => format!("CHANGE {} {new} VARCHAR(250)", other?),
            7 => format!("MODIFY {} VARCHAR(250) NULL", other?),
            8 => format!("ADD INDEX {new} (id)"),
            _ => format!("COMMENT 'c {new}'"),
        })
    }

    fn typed(&mut self) -> String {
        let (ty, value) = TYPES[usize::try_from(self.random.below(TYPES.len() as u64)).unwrap()];
        match self.random.below(4) {
            0 => format!("{ty} NOT NULL DEFAULT {value}"),
            // The writers are not strict: they would write zero dates.
            1 if !ty.starts_with("DATETIME") => format!("{ty} NOT NULL"),
            2 => format!("{ty} DEFAULT {value}"),
            _ => format!("{ty} NULL"),
        }
    }

    fn pick(&mut self, list: &[String]) -> Option<String> {
        list.get(usize::try_from(self.random.below(list.len().max(1) as u64)).unwrap()).cloned()
    }

    fn fresh(&mut self) -> String {
        self.number += 1;
        format!("c{}", self.number)
    }
}

fn tables(connection: &mut mysql::Conn, is_hers: impl Fn(&str) -> bool) -> mysql::Result<Vec<String>> {
    let tables: Vec<String> = connection.query("SHOW TABLES")?;
    Ok(tables.into_iter().filter(|table| is_hers(table)).collect())
}

/// Makes a connection fit for [`write_some`]: it waits for no lock for long, and is not strict.
///
/// # Errors
/// MySQL's.
pub fn prepare_writer(connection: &mut mysql::Conn) -> mysql::Result<()> {
    connection.query_drop(
        "SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 5, sql_mode = 'NO_ENGINE_SUBSTITUTION'",
    )
}

/// Ten statements on one of the tables; how many succeeded.
///
/// # Errors
/// When the tables cannot be listed; a statement may fail, its table may be gone by now.
pub fn write_some(
    connection: &mut mysql::Conn,
    random: &mut Random,
    is_hers: impl Fn(&str) -> bool,
) -> mysql::Result<u64> {
    let tables = tables(connection, is_hers)?;
    let Some(table) = tables.get(usize::try_from(random.below(tables.len().max(1) as u64)).unwrap()) else {
        return Ok(0);
    };
    let mut done = 0;
    for _ in 0..10 {
        let (id, k) = (random.below(300), random.below(3));
        let statement = match random.below(5) {
            0 => format!("DELETE FROM {table} WHERE id BETWEEN {id} AND {id} + 3"),
            1 => format!("UPDATE IGNORE {table} SET id = {} WHERE id = {id}", random.below(300)),
            2 => format!("UPDATE {table} SET k = {k} WHERE id BETWEEN {id} AND {id} + 9"),
            _ => format!("INSERT IGNORE INTO {table} (id, k) VALUES ({id}, {k}), ({id} + 1, {k})"),
        };
        done += u64::from(connection.query_drop(statement).is_ok());
    }
    Ok(done)
}
