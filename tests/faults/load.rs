//! What MySQL is made to do meanwhile: a shop, rows by the tens of thousands, journals that are emptied again and again, and
//! schema changes with their own writers. A server that goes away is waited for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mysql::prelude::Queryable;

use crate::support::author::{Author, prepare_writer, write_some};
use crate::support::fixture::Fixture;
use crate::support::load::{self, Random, numbers};
use crate::support::servers::MySql;

/// Keys of the table `big`.
const BIG_KEYS: u64 = 80_000;
/// Each is emptied seldom enough that a row which returns after TRUNCATE is not always swept away by the next one; the first
/// never, so that a row which is lost there stays lost.
const JOURNALS: u64 = 6;

/// The tables, with some rows.
pub fn create(test: &Fixture) {
    load::create_shop(test);
    load::stock_up(&mut test.connect()).unwrap();
    test.sql("CREATE TABLE big (id INT PRIMARY KEY, n INT NOT NULL, name VARCHAR(60), price DECIMAL(10,2));");
    for number in 0..JOURNALS {
        test.sql(&format!(
            "CREATE TABLE journal{number} (id BIGINT PRIMARY KEY, at DATETIME(6) NOT NULL, text VARCHAR(60));"
        ));
    }
    for number in 0..3 {
        test.sql(&format!(
            "CREATE TABLE t{number} (id INT PRIMARY KEY, k INT NOT NULL DEFAULT 1, a INT, b VARCHAR(20));"
        ));
    }
    load::allow_many_numbers(test);
    test.sql(&format!("INSERT INTO big {} SELECT i, 0, 'first', i / 4 FROM n", numbers(1, 20_000)));
}

/// Whether the table's shape changes.
fn is_changing(table: &str) -> bool {
    table.starts_with('t') || table.starts_with("x_")
}

/// Threads that write until they are stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<u64>>,
}

/// A step of a writer's work; how many statements succeeded.
type Step = Box<dyn FnMut(&mut mysql::Conn) -> mysql::Result<u64> + Send>;

impl Load {
    /// Starts them.
    pub fn start(test: &Fixture, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let steps = [shop(seed), bulk(seed), journal(seed), changes(seed), writer(seed)];
        let threads = steps.map(|step| {
            let (mysql, database, stop) = (test.servers.mysql.clone(), test.database.clone(), Arc::clone(&stop));
            thread::spawn(move || work(&mysql, &database, step, &stop))
        });
        Self { stop, threads: threads.into() }
    }

    /// Stops them; how many statements succeeded.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    }
}

/// Step by step, over a new connection when the old one is lost.
fn work(mysql: &MySql, database: &str, mut step: Step, stop: &AtomicBool) -> u64 {
    let (mut connection, mut done) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = &mut connection else {
            connection = connect(mysql, database).ok();
            thread::sleep(Duration::from_millis(20));
            continue;
        };
        match step(open) {
            Ok(count) => done += count,
            // Two of them may lock each other out; half a transaction is none.
            Err(mysql::Error::MySqlError(_)) if open.query_drop("ROLLBACK").is_ok() => {}
            Err(_) => connection = None,
        }
    }
    done
}

fn connect(mysql: &MySql, database: &str) -> mysql::Result<mysql::Conn> {
    let mut connection = mysql.try_connect()?;
    connection.query_drop(format!("USE `{database}`"))?;
    prepare_writer(&mut connection)?;
    connection.query_drop("SET SESSION cte_max_recursion_depth = 1000000")?;
    Ok(connection)
}

fn pause(random: &mut Random, longest_ms: u64) {
    thread::sleep(Duration::from_millis(random.below(longest_ms)));
}

fn shop(seed: u64) -> Step {
    let mut random = Random::new(seed.wrapping_mul(8) + 1);
    Box::new(move |connection| {
        pause(&mut random, 10);
        load::transaction(connection, &mut random)?;
        Ok(1)
    })
}

/// Transactions of up to tens of thousands of rows.
fn bulk(seed: u64) -> Step {
    let mut random = Random::new(seed.wrapping_mul(8) + 2);
    Box::new(move |connection| {
        pause(&mut random, 800);
        connection.query_drop("BEGIN")?;
        let statements = 1 + random.below(3);
        for _ in 0..statements {
            let statement = bulk_statement(&mut random);
            connection.query_drop(statement)?;
        }
        let end = if random.below(10) == 0 { "ROLLBACK" } else { "COMMIT" };
        connection.query_drop(end)?;
        Ok(statements)
    })
}

fn bulk_statement(random: &mut Random) -> String {
    let most = if random.below(4) == 0 { 40_000 } else { 1_000 };
    let (first, count) = (random.below(BIG_KEYS), 1 + random.below(most));
    let last = first + count;
    match random.below(6) {
        0 => format!("DELETE FROM big WHERE id BETWEEN {first} AND {last}"),
        // Keys that others had until then, and that nobody has.
        1 => format!("UPDATE IGNORE big SET id = {} - id WHERE id BETWEEN {first} AND {last}", first + last + 1),
        2 => format!("UPDATE IGNORE big SET id = id + {count} WHERE id BETWEEN {first} AND {last} ORDER BY id DESC"),
        3 => format!("UPDATE big SET n = n + 1, name = CONCAT('n', n) WHERE id BETWEEN {first} AND {last}"),
        _ => format!("REPLACE INTO big {} SELECT i, {count}, CONCAT('row ', i), i / 4 FROM n", numbers(first, last)),
    }
}

/// Keys that never come again: a row that returns after TRUNCATE stays.
fn journal(seed: u64) -> Step {
    let mut random = Random::new(seed.wrapping_mul(8) + 3);
    let mut id = 0;
    Box::new(move |connection| {
        pause(&mut random, 60);
        if random.below(60) == 0 {
            connection.query_drop(format!("TRUNCATE TABLE journal{}", 1 + random.below(JOURNALS - 1)))?;
            return Ok(1);
        }
        let journal = random.below(JOURNALS * 2).saturating_sub(JOURNALS);
        let rows: Vec<String> = (0..1 + random.below(20))
            .map(|_| {
                id += 1;
                format!("({id}, NOW(6), 'entry {id}')")
            })
            .collect();
        connection.query_drop(format!("INSERT INTO journal{journal} VALUES {}", rows.join(", ")))?;
        Ok(1)
    })
}

/// A schema change every second or two.
fn changes(seed: u64) -> Step {
    let mut author = Author::new(seed.wrapping_mul(8) + 4, is_changing);
    Box::new(move |connection| {
        pause(&mut author.random, 3000);
        match author.statement(connection)? {
            Some(statement) => connection.query_drop(statement).map(|()| 1),
            None => Ok(0),
        }
    })
}

fn writer(seed: u64) -> Step {
    let mut random = Random::new(seed.wrapping_mul(8) + 5);
    Box::new(move |connection| {
        pause(&mut random, 30);
        write_some(connection, &mut random, is_changing)
    })
}
