//! A database of a test's own on both servers, gone when the test ends.

use std::cell::RefCell;
use std::collections::BTreeSet;

use mysql::prelude::{FromRow, Queryable};
use parking_lot::Mutex;

use super::bridge::Config;
use super::compare::{self, Report};
use super::servers::{Servers, statements};

/// The databases of this process's tests: two tests with one name would share their state on ClickHouse.
static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A MySQL database with a connection that uses it; the bridge makes the ClickHouse database of the same name.
pub struct Fixture {
    /// Where it lives.
    pub servers: Servers,
    /// Its name on both sides.
    pub database: String,
    connection: RefCell<mysql::Conn>,
}

impl Fixture {
    /// On the servers that all tests share.
    pub fn new(name: &str) -> Self {
        Self::on(Servers::shared(), name)
    }

    /// On these servers. The process id keeps runs apart that share a server.
    pub fn on(servers: Servers, name: &str) -> Self {
        Self::named(servers, format!("sb_{name}_{}", std::process::id()))
    }

    /// With a name of the caller's choice, which must be free on both sides.
    pub fn named(servers: Servers, database: String) -> Self {
        assert!(TAKEN.lock().insert(database.clone()), "another test uses the name {database}");
        servers.mysql.create_account(&database);
        let mut connection = servers.mysql.connect();
        connection.query_drop(format!("CREATE DATABASE `{database}`")).unwrap();
        connection.query_drop(format!("USE `{database}`")).unwrap();
        Self { servers, database, connection: RefCell::new(connection) }
    }

    /// Runs SQL on MySQL; statements end with `;` at a line's end.
    pub fn sql(&self, text: &str) {
        statements(text).iter().for_each(|statement| self.execute(statement));
    }

    /// Runs one statement on MySQL, whatever is in it.
    pub fn execute(&self, statement: &str) {
        let shown: String = statement.chars().take(300).collect();
        self.connection.borrow_mut().query_drop(statement).unwrap_or_else(|error| panic!("{shown}: {error}"));
    }

    /// The first row of a query on MySQL.
    pub fn row<T: FromRow>(&self, sql: &str) -> T {
        let row = self.connection.borrow_mut().query_first(sql);
        row.unwrap_or_else(|error| panic!("{sql}: {error}")).unwrap_or_else(|| panic!("{sql}: no row"))
    }

    /// All rows of a query on MySQL.
    pub fn rows<T: FromRow>(&self, sql: &str) -> Vec<T> {
        self.connection.borrow_mut().query(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// A new connection to MySQL that uses the database.
    pub fn connect(&self) -> mysql::Conn {
        let mut connection = self.servers.mysql.connect();
        connection.query_drop(format!("USE `{}`", self.database)).unwrap();
        connection
    }

    /// Connects again after the server was away.
    pub fn reconnect(&self) {
        let connection = self.connect();
        *self.connection.borrow_mut() = connection;
    }

    /// The smallest configuration that replicates this database, with a state database of its own.
    pub fn config(&self) -> Config {
        Config::new(&self.servers, &self.database)
    }

    /// Runs a statement on ClickHouse that must succeed; `{db}` is the database.
    pub fn clickhouse(&self, sql: &str) -> String {
        self.servers.clickhouse.query(&sql.replace("{db}", &self.database))
    }

    /// The tables of the ClickHouse database.
    pub fn clickhouse_tables(&self) -> Vec<String> {
        let names = self.clickhouse("SELECT name FROM system.tables WHERE database = '{db}' ORDER BY name");
        names.lines().map(str::to_owned).collect()
    }

    /// The tables of the MySQL database.
    pub fn tables(&self) -> Vec<String> {
        self.rows(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name",
        )
    }

    /// Compares one table, value by value.
    pub fn compare(&self, table: &str) -> Report {
        compare::compare_tables(&self.servers, &self.database, table)
    }

    /// The table must be equal on both sides and have rows.
    pub fn assert_equal(&self, table: &str) {
        let report = self.compare(table);
        assert!(report.is_equal(), "{}.{table}: {report}", self.database);
        assert!(report.rows > 0, "{}.{table} is empty: nothing was compared", self.database);
    }

    /// Every table must be equal on both sides.
    pub fn assert_all_equal(&self) {
        let tables = self.tables();
        assert!(!tables.is_empty());
        let wrong: Vec<String> = tables
            .iter()
            .map(|table| (table, self.compare(table)))
            .filter(|(_, report)| !report.is_equal())
            .map(|(table, report)| format!("{table}: {report}"))
            .collect();
        let count = |table: &String| format!("SELECT COUNT(*) FROM {}", compare::source_quoted(table));
        let rows = |table: &String| self.row::<u64>(&count(table));
        assert!(tables.iter().map(rows).sum::<u64>() > 0, "no table has a row");
        assert!(wrong.is_empty(), "{} of {} tables differ:\n{}", wrong.len(), tables.len(), wrong.join("\n"));
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let databases = [&self.database, &format!("{}_state", self.database)];
        for database in databases {
            // A test that failed may have left a server that is down: its own failure is the one to show.
            let _ = self.servers.clickhouse.try_query(&format!("DROP DATABASE IF EXISTS `{database}` SYNC"));
        }
        TAKEN.lock().remove(&self.database);
        // A transaction that a failed test left prepared keeps its tables locked.
        let _ = self.connection.borrow_mut().query_drop("SET SESSION lock_wait_timeout = 5");
        let _ = self.connection.borrow_mut().query_drop(format!("DROP DATABASE IF EXISTS `{}`", self.database));
    }
}
