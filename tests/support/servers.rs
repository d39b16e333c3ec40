//! The real servers: the shared pair that `make test` starts, and pairs of a test's own through `scripts/servers`.
//!
//! Administrators speak here (MySQL by the `mysql` crate, ClickHouse by HTTP); the bridge under test gets accounts
//! with no more than `conf/*-privileges.sql` grant.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;

use mysql::prelude::Queryable;

/// The account of the bridge on both servers.
pub const BRIDGE_USER: &str = "bridge";
/// Its password, as in `conf/mysql-privileges.sql`.
pub const BRIDGE_PASSWORD: &str = "bridge-secret";

/// How an administrator reaches a server.
#[derive(Debug, Clone)]
pub struct Address {
    /// Host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Administrator.
    pub user: String,
    /// The administrator's password.
    pub password: String,
}

/// A MySQL server.
#[derive(Debug, Clone)]
pub struct MySql {
    /// Over TCP.
    pub address: Address,
    /// Unix socket, when `scripts/servers` started it.
    pub socket: Option<String>,
    /// Process, when `scripts/servers` started it.
    pub pid: Option<u32>,
}

/// A ClickHouse server.
#[derive(Debug, Clone)]
pub struct ClickHouse {
    /// Over HTTP.
    pub address: Address,
    /// Process, when `scripts/servers` started it.
    pub pid: Option<u32>,
}

/// One server of each kind.
#[derive(Debug)]
pub struct Servers {
    /// The source.
    pub mysql: MySql,
    /// The target.
    pub clickhouse: ClickHouse,
    own: Option<String>,
}

impl Servers {
    /// The pair that all tests share.
    pub fn shared() -> Self {
        let mysql = MySql::from_lines(&environment);
        let clickhouse = ClickHouse::from_lines(&environment);
        Self { mysql, clickhouse, own: None }
    }

    /// A fresh pair under this name; removed when dropped.
    pub fn own(name: &str, mysql_options: &[&str]) -> Self {
        let name = fresh(name);
        let mysql = MySql::start(&name, mysql_options);
        let clickhouse = ClickHouse::start(&name);
        Self { mysql, clickhouse, own: Some(name) }
    }

    /// A fresh MySQL under this name, removed when dropped, with the shared ClickHouse.
    pub fn own_mysql(name: &str, mysql_options: &[&str]) -> Self {
        let name = fresh(name);
        let mysql = MySql::start(&name, mysql_options);
        Self { mysql, clickhouse: ClickHouse::from_lines(&environment), own: Some(name) }
    }

    /// The same pair for another user; removed when the first one is dropped.
    pub fn lend(&self) -> Self {
        Self { mysql: self.mysql.clone(), clickhouse: self.clickhouse.clone(), own: None }
    }

    /// A fresh MariaDB under this name in the place of MySQL, removed when dropped, with the shared ClickHouse.
    pub fn own_mariadb(name: &str, options: &[&str]) -> Self {
        let name = fresh(name);
        let output = script(&[&["mariadb-start", &name], options].concat());
        let address = Address::parse(&required(&|key| line_value(&output, key), "STREAM_BRIDGE_TEST_MARIADB"), "mysql");
        let mysql = MySql { address, socket: None, pid: None };
        Self { mysql, clickhouse: ClickHouse::from_lines(&environment), own: Some(name) }
    }

    /// Stops the own MySQL cleanly.
    pub fn stop_mysql(&self) {
        script(&["mysql-stop", self.own_name()]);
    }

    /// Starts the own MySQL again, at the same port with the same data.
    pub fn start_mysql(&mut self, mysql_options: &[&str]) {
        self.mysql = MySql::start(self.own_name(), mysql_options);
    }

    /// kill -9 of the own MySQL.
    pub fn kill_mysql(&self) {
        script(&["mysql-kill", self.own_name()]);
    }

    /// Starts the own MySQL again; its new process.
    pub fn mysql_again(&self) -> MySql {
        MySql::start(self.own_name(), &[])
    }

    /// kill -9 of the own ClickHouse.
    pub fn kill_clickhouse(&self) {
        script(&["clickhouse-kill", self.own_name()]);
    }

    /// Stops the own ClickHouse cleanly.
    pub fn stop_clickhouse(&self) {
        script(&["clickhouse-stop", self.own_name()]);
    }

    /// Starts the own ClickHouse again; its new process.
    pub fn clickhouse_again(&self) -> ClickHouse {
        ClickHouse::start(self.own_name())
    }

    /// Starts the own ClickHouse again, at the same port with the same data.
    pub fn start_clickhouse(&mut self) {
        self.clickhouse = ClickHouse::start(self.own_name());
    }

    fn own_name(&self) -> &str {
        self.own.as_deref().expect("only a test's own server may be stopped")
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some(name) = &self.own {
            script(&["remove", name]);
        }
    }
}

/// A server that an aborted run left is in the way.
fn fresh(name: &str) -> String {
    let name = format!("test-{name}");
    script(&["remove", &name]);
    name
}

impl MySql {
    fn start(name: &str, options: &[&str]) -> Self {
        let output = script(&[&["mysql-start", name], options].concat());
        Self::from_lines(&|key| line_value(&output, key))
    }

    fn from_lines(value: &dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            address: Address::parse(&required(value, "STREAM_BRIDGE_TEST_MYSQL"), "mysql"),
            socket: value("STREAM_BRIDGE_TEST_MYSQL_SOCKET"),
            pid: value("STREAM_BRIDGE_TEST_MYSQL_PID").and_then(|pid| pid.parse().ok()),
        }
    }

    /// A connection of the administrator: UTC, and no SQL mode, so that every value MySQL can hold may be written.
    pub fn connect(&self) -> mysql::Conn {
        self.try_connect().unwrap_or_else(|error| {
            panic!("MySQL at {}:{} does not answer: {error}", self.address.host, self.address.port)
        })
    }

    /// The same of a server that may be down.
    ///
    /// # Errors
    /// As the `mysql` crate says.
    pub fn try_connect(&self) -> mysql::Result<mysql::Conn> {
        let options = mysql::OptsBuilder::new()
            .ip_or_hostname(Some(&self.address.host))
            .tcp_port(self.address.port)
            .user(Some(&self.address.user))
            .pass(Some(&self.address.password))
            .prefer_socket(false);
        let mut connection = mysql::Conn::new(options)?;
        let session =
            "SET time_zone = '+00:00', sql_mode = '', net_write_timeout = 600, character_set_results = 'utf8mb4'";
        connection.query_drop(session)?;
        Ok(connection)
    }

    /// Makes the bridge's account as `conf/mysql-privileges.sql` says, and lets it read one database.
    pub fn create_account(&self, database: &str) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/mysql-privileges.sql");
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut connection = self.connect();
        for statement in statements(&text) {
            connection.query_drop(&statement).unwrap_or_else(|error| panic!("{path}: {statement}: {error}"));
        }
        connection.query_drop(format!("GRANT SELECT, LOCK TABLES ON `{database}`.* TO '{BRIDGE_USER}'@'%'")).unwrap();
    }
}

/// The statements of an SQL text whose comments are whole lines.
pub fn statements(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let text = lines.join("\n");
    text.split(";\n").map(|part| part.trim().trim_end_matches(';').to_owned()).filter(|part| !part.is_empty()).collect()
}

impl ClickHouse {
    fn start(name: &str) -> Self {
        let output = script(&["clickhouse-start", name]);
        Self::from_lines(&|key| line_value(&output, key))
    }

    fn from_lines(value: &dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            address: Address::parse(&required(value, "STREAM_BRIDGE_TEST_CLICKHOUSE"), "http"),
            pid: value("STREAM_BRIDGE_TEST_CLICKHOUSE_PID").and_then(|pid| pid.parse().ok()),
        }
    }

    /// `http://host:port`.
    pub fn url(&self) -> String {
        format!("http://{}:{}", self.address.host, self.address.port)
    }

    /// Runs a statement; its output as TabSeparated text without the last newline.
    ///
    /// # Errors
    /// ClickHouse's text.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        let mut text = String::new();
        self.reader(sql)?.read_to_string(&mut text).map_err(|error| error.to_string())?;
        if text.contains("DB::Exception: ") {
            return Err(text);
        }
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Runs a statement that must succeed.
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|error| panic!("ClickHouse: {sql}: {error}"))
    }

    /// Runs a statement and streams its output's lines.
    ///
    /// # Errors
    /// ClickHouse's text.
    pub fn lines(&self, sql: &str) -> Result<impl Iterator<Item = String> + use<>, String> {
        let lines = BufReader::with_capacity(1 << 16, self.reader(sql)?).lines();
        Ok(lines.map(|line| match line {
            Ok(line) => line,
            Err(error) => panic!("ClickHouse ended its answer early: {error}"),
        }))
    }

    fn reader(&self, sql: &str) -> Result<impl Read + Send + use<>, String> {
        let request = ureq::post(self.url())
            .config()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .header("X-ClickHouse-User", &self.address.user)
            .header("X-ClickHouse-Key", &self.address.password);
        let answer = request.send(sql).map_err(|error| format!("ClickHouse at {}: {error}", self.url()))?;
        let status = answer.status();
        let mut reader = answer.into_body().into_reader();
        if status.is_success() {
            return Ok(reader);
        }
        let mut text = String::new();
        reader.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Err(text.trim_end().to_owned())
    }

    /// Whether the account of the bridge exists on this server.
    pub fn has_bridge_account(&self) -> bool {
        let mut bridge = self.clone();
        BRIDGE_USER.clone_into(&mut bridge.address.user);
        BRIDGE_PASSWORD.clone_into(&mut bridge.address.password);
        bridge.try_query("SELECT 1").is_ok()
    }

    /// Requests that lie unread in the server's sockets: what is sent to a server that SIGSTOP stopped.
    pub fn unread_requests(&self) -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let sockets = table.lines().filter_map(Socket::parse);
        sockets.filter(|it| it.port == self.address.port && it.unread_bytes > 0).count()
    }
}

/// A line of `/proc/net/tcp`.
pub struct Socket {
    /// The local port.
    pub port: u16,
    /// Bytes that arrived and were not read.
    pub unread_bytes: u64,
    /// Names the socket in `/proc/PID/fd`.
    pub inode: String,
}

impl Socket {
    /// None for a socket that listens (its queue counts connections) and for the table's head.
    pub fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, _, state, queues, _, _, _, _, inode, ..] = fields[..] else { return None };
        let (port, unread) = (local.split_once(':')?.1, queues.split_once(':')?.1);
        (state != "0A").then_some(())?;
        Some(Self {
            port: u16::from_str_radix(port, 16).ok()?,
            unread_bytes: u64::from_str_radix(unread, 16).ok()?,
            inode: inode.to_owned(),
        })
    }
}

impl Address {
    /// Reads `scheme://user[:password]@host:port`.
    fn parse(url: &str, scheme: &str) -> Self {
        let parsed = url.strip_prefix(&format!("{scheme}://")).and_then(|rest| {
            let (account, place) = rest.trim_end_matches('/').rsplit_once('@')?;
            let (host, port) = place.rsplit_once(':')?;
            let (user, password) = account.split_once(':').unwrap_or((account, ""));
            let (user, password) = (unescape(user), unescape(password));
            Some(Self { host: host.to_owned(), port: port.parse().ok()?, user, password })
        });
        parsed.unwrap_or_else(|| panic!("a server's URL must be {scheme}://USER[:PASSWORD]@HOST:PORT"))
    }
}

/// Undoes percent-encoding.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        (bytes, rest) = match (first, code) {
            (b'%', Some(byte)) => ([&bytes[..], &[byte]].concat(), &tail[2..]),
            _ => ([&bytes[..], &[*first]].concat(), tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn environment(key: &str) -> Option<String> {
    std::env::var(key).ok().filter(|value| !value.is_empty())
}

fn required(value: &dyn Fn(&str) -> Option<String>, key: &str) -> String {
    value(key).unwrap_or_else(|| {
        panic!(
            "{key} is not set, and real servers are needed: run `make test` or `make demo`, or any command by `scripts/servers exec`"
        )
    })
}

fn line_value(output: &str, key: &str) -> Option<String> {
    output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
}

/// Runs `scripts/servers`; its output.
fn script(arguments: &[&str]) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
    let output = Command::new(path).args(arguments).output().unwrap_or_else(|error| panic!("{path}: {error}"));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/servers {arguments:?} failed:\n{told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
