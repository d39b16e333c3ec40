//! Work for MySQL: a small shop that is never quiet, sysbench, and transactions of any number of rows.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use mysql::prelude::Queryable;

use super::fixture::Fixture;

/// Pseudo-random numbers (xorshift64*): the same for the same seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed, which may be 0.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) % limit
    }
}

/// The shop's tables.
pub const SHOP_TABLES: [&str; 4] = ["customers", "products", "orders", "order_items"];

/// Makes the shop's tables, empty.
pub fn create_shop(fixture: &Fixture) {
    fixture.sql(
        "CREATE TABLE customers (
           id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, email VARCHAR(120) NOT NULL, name VARCHAR(80) NOT NULL,
           born DATE, credit DECIMAL(12,2) NOT NULL DEFAULT 0,
           changed_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6));
         CREATE TABLE products (
           sku VARCHAR(20) NOT NULL PRIMARY KEY, title VARCHAR(120) NOT NULL, price DECIMAL(9,2) NOT NULL,
           stock INT NOT NULL, tags SET('new', 'sale', 'heavy', 'fragile') NOT NULL DEFAULT '', photo VARBINARY(64));
         CREATE TABLE orders (
           id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, customer_id INT UNSIGNED NOT NULL,
           state ENUM('open', 'paid', 'sent', 'closed') NOT NULL DEFAULT 'open',
           total DECIMAL(12,2) NOT NULL DEFAULT 0, placed_at DATETIME(3) NOT NULL, note TEXT);
         CREATE TABLE order_items (
           order_id BIGINT NOT NULL, line SMALLINT NOT NULL, sku VARCHAR(20) NOT NULL,
           amount INT NOT NULL, price DECIMAL(9,2) NOT NULL, PRIMARY KEY (order_id, line));",
    );
}

/// A shop at work in its own thread.
pub struct Shop {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Shop {
    /// Opens it: inserts, updates, deletes and key changes in all tables, some rolled back, without pause.
    pub fn open(fixture: &Fixture, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let (mut connection, mut random) = (fixture.connect(), Random::new(seed));
        let (stopped, done) = (Arc::clone(&stop), Arc::clone(&transactions));
        let thread = std::thread::spawn(move || {
            stock_up(&mut connection).unwrap_or_else(|error| panic!("{error}"));
            while !stopped.load(Ordering::Relaxed) {
                transaction(&mut connection, &mut random).unwrap_or_else(|error| panic!("{error}"));
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, transactions, thread }
    }

    /// Transactions so far.
    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Whether the writer has ended; it does so by itself only when MySQL fails it.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Closes it after the running transaction.
    ///
    /// # Panics
    /// When the writer failed.
    pub fn close(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.thread.join().is_ok(), "the writer failed: see its text above");
    }
}

fn run(connection: &mut mysql::Conn, sql: &str) -> mysql::Result<()> {
    connection.query_drop(sql)
}

/// Fills the shop with products and customers.
///
/// # Errors
/// MySQL's.
pub fn stock_up(connection: &mut mysql::Conn) -> mysql::Result<()> {
    let products: Vec<String> = (0..500)
        .map(|i| {
            format!(
                "('sku-{i}', 'Thing no. {i} – ärtig 🎁', {}.{:02}, 1000, 'new', UNHEX(SHA2('{i}', 256)))",
                i % 90 + 1,
                i % 100
            )
        })
        .collect();
    run(connection, &format!("INSERT INTO products VALUES {}", products.join(", ")))?;
    let customers: Vec<String> =
        (0..1000).map(|i| format!("('c{i}@example.com', 'Zoë {i}', DATE '1950-01-01' + INTERVAL {i} WEEK)")).collect();
    run(connection, &format!("INSERT INTO customers (email, name, born) VALUES {}", customers.join(", ")))
}

/// One transaction of the shop, mostly an order.
///
/// # Errors
/// MySQL's.
pub fn transaction(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    run(connection, "BEGIN")?;
    match random.below(20) {
        0..=8 => place_order(connection, random)?,
        9..=12 => advance_order(connection, random)?,
        13..=14 => change_customer(connection, random)?,
        15..=16 => change_prices(connection, random)?,
        17 => drop_order(connection, random)?,
        18 => renumber(connection, random)?,
        _ => rename_product(connection, random)?,
    }
    // A rollback leaves nothing in the binary log.
    let end = if random.below(50) == 0 { "ROLLBACK" } else { "COMMIT" };
    run(connection, end)
}

fn place_order(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    let note = match random.below(3) {
        0 => "NULL".to_owned(),
        length => format!("REPEAT('leave it at the door – ', {})", length * random.below(9)),
    };
    let customer = 1 + random.below(1000);
    run(connection, &format!("INSERT INTO orders (customer_id, placed_at, note) VALUES ({customer}, NOW(3), {note})"))?;
    let lines: Vec<String> = (1..=1 + random.below(8))
        .map(|line| {
            let (sku, amount, cents) = (random.below(500), 1 + random.below(9), random.below(100));
            format!("(LAST_INSERT_ID(), {line}, 'sku-{sku}', {amount}, {}.{cents:02})", 1 + random.below(900))
        })
        .collect();
    run(connection, "SET @order = LAST_INSERT_ID()")?;
    run(
        connection,
        &format!("INSERT INTO order_items VALUES {}", lines.join(", ").replace("LAST_INSERT_ID()", "@order")),
    )?;
    let total = "UPDATE orders SET total = (SELECT SUM(amount * price) FROM order_items WHERE order_id = @order) WHERE id = @order";
    run(connection, total)
}

/// Sets `@order` to one of the last 2,000 orders, or to one that was never placed.
fn choose_order(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    run(connection, &format!("SET @order = (SELECT MAX(id) FROM orders) - {}", random.below(2000)))
}

fn advance_order(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    choose_order(connection, random)?;
    run(
        connection,
        "UPDATE orders SET state = IF(state = 'open', 'paid', IF(state = 'paid', 'sent', 'closed')) WHERE id = @order",
    )
}

fn change_customer(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    let customer = 1 + random.below(1000);
    run(
        connection,
        &format!("UPDATE customers SET credit = credit + {}.25 - 100 WHERE id = {customer}", random.below(300)),
    )
}

/// Many rows by one statement.
fn change_prices(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    let from = random.below(450);
    run(
        connection,
        &format!(
            "UPDATE products SET price = price + 0.01, stock = stock - 1, tags = tags ^ {} WHERE CAST(SUBSTR(sku, 5) AS UNSIGNED) BETWEEN {from} AND {}",
            1 + random.below(15),
            from + 50
        ),
    )
}

fn drop_order(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    choose_order(connection, random)?;
    run(connection, "DELETE FROM order_items WHERE order_id = @order")?;
    run(connection, "DELETE FROM orders WHERE id = @order")
}

/// A key change of several rows, whose keys are partly each other's.
fn renumber(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    choose_order(connection, random)?;
    run(connection, "UPDATE order_items SET line = line + 1 WHERE order_id = @order ORDER BY line DESC")
}

/// A key change of a text key, there or back.
fn rename_product(connection: &mut mysql::Conn, random: &mut Random) -> mysql::Result<()> {
    let sku = random.below(500);
    run(
        connection,
        &format!(
            "UPDATE products SET sku = IF(sku = 'sku-{sku}', 'SKU/{sku}/old', 'sku-{sku}') WHERE sku IN ('sku-{sku}', 'SKU/{sku}/old')"
        ),
    )
}

/// An SQL query that gives the whole numbers `first..=last` as `i`.
pub fn numbers(first: u64, last: u64) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
}

/// Lets [`numbers`] give as many as wanted on the fixture's connection.
pub fn allow_many_numbers(fixture: &Fixture) {
    fixture.sql("SET SESSION cte_max_recursion_depth = 100000000");
}

/// sysbench's `oltp_read_write`, running.
pub struct Sysbench(Child);

/// Tables of sysbench's load.
pub const SYSBENCH_TABLES: u64 = 8;
/// Rows of each at the start.
pub const SYSBENCH_ROWS: u64 = 10_000;

impl Sysbench {
    /// Makes sysbench's tables, empty: what is there before the bridge starts would have to be copied.
    pub fn create(fixture: &Fixture) {
        let status = Self::command(fixture, 0).arg("prepare").status();
        let status = status
            .unwrap_or_else(|error| panic!("sysbench: {error}. It is a Debian package: apt-get install sysbench"));
        assert!(status.success(), "sysbench prepare failed");
    }

    /// Fills the tables, while the bridge runs.
    pub fn fill(fixture: &Fixture) {
        allow_many_numbers(fixture);
        for table in 1..=SYSBENCH_TABLES {
            let numbers = numbers(1, SYSBENCH_ROWS);
            fixture.sql(&format!(
                "INSERT INTO sbtest{table} (id, k, c, pad) {numbers}
                 SELECT i, 1 + i * 7919 % {SYSBENCH_ROWS}, LEFT(REPEAT(SHA2(i, 256), 2), 120), LEFT(SHA2(-i, 256), 60) FROM n"
            ));
        }
    }

    /// Starts the load, at full speed.
    pub fn start(fixture: &Fixture, seconds: u64) -> Self {
        let mut command = Self::command(fixture, SYSBENCH_ROWS);
        command.arg(format!("--time={seconds}")).arg("run").stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn command(fixture: &Fixture, rows: u64) -> Command {
        let mysql = &fixture.servers.mysql;
        let mut command = Command::new("sysbench");
        command.args(["oltp_read_write", "--threads=8", "--mysql-user=root"]);
        command.arg(format!("--mysql-socket={}", mysql.socket.as_ref().expect("an own server has a socket")));
        command.arg(format!("--mysql-db={}", fixture.database));
        command.arg(format!("--tables={SYSBENCH_TABLES}")).arg(format!("--table-size={rows}"));
        command.args(["--report-interval=0", "--db-ps-mode=disable"]).stdout(Stdio::null());
        command
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it is over.
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Ends it in the midst of its transactions.
    pub fn stop(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end; its line about transactions.
    pub fn wait(self) -> String {
        let output = self.0.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "sysbench failed:\n{text}");
        let line = text.lines().find(|line| line.contains("transactions:"));
        line.unwrap_or("sysbench told no transactions").trim().to_owned()
    }
}

/// A large transaction's rows in one table `big (id, a, b, name)`, by one INSERT.
pub fn insert_many(fixture: &Fixture, rows: u64) {
    allow_many_numbers(fixture);
    let numbers = numbers(1, rows);
    fixture
        .sql(&format!("INSERT INTO big (id, a, b, name) {numbers} SELECT i, i % 1000, -i, CONCAT('name ', i) FROM n"));
}
