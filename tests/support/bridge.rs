//! The program under test, as a process: its configuration file, its start and end, what `/status` says.

use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::fixture::Fixture;
use super::servers::{BRIDGE_PASSWORD, BRIDGE_USER, Servers, Socket};
use super::wait_until;

/// How long anything that should take a second may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command may take that reads whole tables.
const COMMAND: Duration = Duration::from_secs(300);

/// A configuration file in a folder of its own.
#[derive(Debug, Clone)]
pub struct Config {
    keys: toml::Table,
    port: u16,
    folder: Arc<TempDir>,
    program: PathBuf,
    environment: Vec<(&'static str, &'static str)>,
}

impl Config {
    /// The smallest configuration for one database.
    pub fn new(servers: &Servers, database: &str) -> Self {
        let port = free_port();
        let folder = Arc::new(TempDir::new().unwrap());
        let mut config = Self { keys: toml::Table::new(), port, folder, program: binary(), environment: Vec::new() };
        config.set("name", database);
        config.set("mysql.host", servers.mysql.address.host.as_str());
        config.set("mysql.port", i64::from(servers.mysql.address.port));
        config.set("mysql.user", BRIDGE_USER);
        config.set("mysql.password", BRIDGE_PASSWORD);
        config.set("clickhouse.url", servers.clickhouse.url());
        config.set("clickhouse.user", BRIDGE_USER);
        config.set("clickhouse.password", BRIDGE_PASSWORD);
        config.set("replicate.tables", vec![format!("{database}.*")]);
        config.set("state.database", format!("{database}_state"));
        config.set("http.listen", format!("127.0.0.1:{port}"));
        config
    }

    /// Runs another program than the one that cargo built, with these variables.
    pub fn use_program(&mut self, program: &Path, environment: &[(&'static str, &'static str)]) {
        program.clone_into(&mut self.program);
        self.environment = environment.to_vec();
    }

    /// The same for another process: in a folder of its own, with a port of its own for `/status`.
    pub fn separate(&self) -> Self {
        let port = free_port();
        let mut separate = Self { folder: Arc::new(TempDir::new().unwrap()), port, ..self.clone() };
        separate.set("http.listen", format!("127.0.0.1:{port}"));
        separate
    }

    /// Sets a key by its path, as in `pipeline.memory_limit`.
    pub fn set(&mut self, path: &str, value: impl Into<toml::Value>) -> &mut Self {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.section(section).insert(key.to_owned(), value.into());
        self
    }

    /// Removes a key by its path.
    pub fn remove(&mut self, path: &str) -> &mut Self {
        let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
        self.section(section).remove(key);
        self
    }

    fn section(&mut self, name: &str) -> &mut toml::Table {
        if name.is_empty() {
            return &mut self.keys;
        }
        let section = self.keys.entry(name).or_insert_with(|| toml::Table::new().into());
        section.as_table_mut().unwrap()
    }

    /// Where `/status` answers.
    pub fn status_url(&self) -> String {
        format!("http://127.0.0.1:{}/status", self.port)
    }

    /// Where the configuration and the log lie.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the file; its path.
    pub fn write(&self) -> PathBuf {
        let path = self.folder.path().join("stream-bridge.toml");
        std::fs::write(&path, self.keys.to_string()).unwrap();
        path
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; None when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ended {
    /// All that was said.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Runs `stream-bridge COMMAND --config FILE` to its end.
///
/// # Panics
/// When it does not end by itself.
pub fn run_command(command: &str, config: &Config) -> Ended {
    run_with(&[command, "--config", config.write().to_str().unwrap()], config.folder.path())
}

/// Runs `stream-bridge` with these arguments to its end; `folder` takes its output.
pub fn run_with(arguments: &[&str], folder: &Path) -> Ended {
    let (stdout, stderr) = (folder.join("stdout"), folder.join("stderr"));
    let mut child = Command::new(binary())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", binary().display()));
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let Some(code) = exit_of(&mut child, COMMAND) else {
        child.kill().unwrap();
        panic!("`{}` does not end by itself; so far:\n{}{}", arguments.join(" "), text(&stdout), text(&stderr));
    };
    Ended { code, stdout: text(&stdout), stderr: text(&stderr) }
}

/// The exit code (None: by a signal), or None when it still runs after `timeout`.
fn exit_of(child: &mut Child, timeout: Duration) -> Option<Option<i32>> {
    let started = Instant::now();
    while started.elapsed() < timeout {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status.code());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// The program: tests lie in `target/PROFILE/deps`, examples in `target/PROFILE/examples`.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("stream-bridge")
}

/// A running `stream-bridge run`.
#[derive(Debug)]
pub struct Bridge {
    child: Child,
    config: Config,
    log: PathBuf,
}

impl Bridge {
    /// Starts it and waits until it streams.
    pub fn start(config: &Config) -> Self {
        let mut bridge = Self::spawn(config);
        bridge.wait_streaming();
        bridge
    }

    /// Starts it. Its log goes on in the same file after a restart.
    pub fn spawn(config: &Config) -> Self {
        let log = config.folder.path().join("bridge.log");
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(&config.program)
            .args(["run", "--config"])
            .arg(config.write())
            .envs(config.environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            // Ctrl-C is for the demo, which then ends the bridge in its own time.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", config.program.display()));
        Self { child, config: config.clone(), log }
    }

    /// Waits until `/status` says `streaming`.
    pub fn wait_streaming(&mut self) {
        self.wait_for("state streaming", PATIENCE, |status| status.state() == "streaming");
    }

    /// Waits until `/status` fulfils the condition; fails at once when the process ends.
    pub fn wait_for(&mut self, what: &str, timeout: Duration, condition: impl Fn(&Status) -> bool) -> Status {
        let mut last = Err("not asked yet".to_owned());
        let started = Instant::now();
        while started.elapsed() < timeout {
            last = self.status();
            if let Ok(status) = &last
                && condition(status)
            {
                return last.unwrap();
            }
            let ended = self.child.try_wait().unwrap();
            if let Some(ended) = ended {
                panic!("stream-bridge ended ({ended}) while waiting for: {what}\n{}", self.log_end(5));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match last {
            Ok(status) => panic!("waited {} s in vain for: {what}; /status: {status}", timeout.as_secs()),
            Err(error) => {
                panic!("waited {} s in vain for: {what}; /status does not answer: {error}", timeout.as_secs())
            }
        }
    }

    /// Waits until everything that is in MySQL's binary log now has been acknowledged by ClickHouse.
    pub fn wait_caught_up(&mut self, fixture: &Fixture, timeout: Duration) -> Status {
        let noted = SourcePosition::now(fixture);
        let port = self.config.port;
        self.wait_for(&format!("all up to {noted}"), timeout, |status| {
            // The source may never rest: then what is acknowledged must have passed the place.
            let is_acked = || acked_place(port).is_some_and(|place| place >= noted.place());
            noted.is_reached(status, fixture) && (status.lag_seconds() == 0.0 || is_acked())
        })
    }

    /// Waits until the stream is read to its end, every table of the database flows, and what that brought is read.
    pub fn wait_all_streaming(&mut self, fixture: &Fixture, timeout: Duration) {
        // Whatever has tables copied has been seen.
        self.wait_caught_up(fixture, timeout);
        for table in fixture.tables() {
            let name = format!("{}.{table}", fixture.database);
            self.wait_for(&format!("{name} streaming"), timeout, |status| status.table_state(&name) == "streaming");
        }
        self.wait_caught_up(fixture, timeout);
    }

    /// Waits until a table (by its name without the database) is quarantined; the reason.
    pub fn wait_quarantined(&mut self, fixture: &Fixture, table: &str) -> String {
        let name = format!("{}.{table}", fixture.database);
        let what = format!("{name} quarantined");
        let status = self.wait_for(&what, PATIENCE, |status| status.table_state(&name) == "quarantined");
        status.table_reason(&name)
    }

    /// `GET /status`.
    ///
    /// # Errors
    /// When it does not answer yet.
    pub fn status(&self) -> Result<Status, String> {
        let (code, text) = self.get("/status")?;
        let json = serde_json::from_str(&text).map_err(|error| format!("{code} {text}: {error}"))?;
        Ok(Status(json))
    }

    /// `POST` of a text; the status code.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn post(&self, path: &str, body: &str) -> Result<u16, String> {
        let request = ureq::post(format!("http://127.0.0.1:{}{path}", self.config.port));
        let answer = request.config().http_status_as_error(false).proxy(None).build().send(body);
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    }

    /// `GET` of a path: status code and body.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn get(&self, path: &str) -> Result<(u16, String), String> {
        let answer = ureq::get(format!("http://127.0.0.1:{}{path}", self.config.port))
            .config()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(5)))
            .build()
            .call();
        let mut answer = answer.map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        Ok((answer.status().as_u16(), text))
    }

    /// `kill -9`.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub fn sigterm(mut self) -> Option<i32> {
        signal("TERM", self.pid());
        let code = exit_of(&mut self.child, PATIENCE)
            .unwrap_or_else(|| panic!("stream-bridge does not end {} s after SIGTERM", PATIENCE.as_secs()));
        if code != Some(0) {
            eprintln!("{}", self.log_end(20));
        }
        code
    }

    /// Waits until it ends by itself; the exit code.
    pub fn wait_end(&mut self) -> Option<i32> {
        exit_of(&mut self.child, PATIENCE).expect("stream-bridge should have ended by itself")
    }

    /// How it ended, if it has; by itself or by a signal.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it logged so far, over all starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// The last lines of its log.
    pub fn log_end(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.try_peak_memory_bytes().expect("a process that runs has memory")
    }

    /// The same, None once it has ended.
    pub fn try_peak_memory_bytes(&self) -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        Some(kilobytes?.parse::<u64>().ok()? * 1024)
    }

    /// Whether this TCP port of the machine is one end of a connection of the process.
    pub fn owns_port(&self, port: u16) -> bool {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let inodes: Vec<String> = table
            .lines()
            .filter_map(Socket::parse)
            .filter(|it| it.port == port)
            .map(|it| format!("socket:[{}]", it.inode))
            .collect();
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        links.filter_map(|link| link.to_str().map(str::to_owned)).any(|link| inodes.contains(&link))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the last lines of stream-bridge's log\n{}\n---", self.log_end(60));
        }
    }
}

/// Sends a signal by its name: `STOP`, `CONT`, `TERM`.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid} failed");
}

/// A TCP port that nobody uses at the moment.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The answer of `/status`.
#[derive(Debug, Clone)]
pub struct Status(pub Value);

impl Status {
    /// State of the whole.
    pub fn state(&self) -> &str {
        self.0["state"].as_str().unwrap_or("?")
    }

    /// Seconds behind the source.
    pub fn lag_seconds(&self) -> f64 {
        self.0["lag_seconds"].as_f64().unwrap_or(f64::INFINITY)
    }

    /// Rows acknowledged since the start.
    pub fn rows_total(&self) -> u64 {
        self.0["rows_total"].as_u64().unwrap_or_else(|| panic!("no rows_total in {self}"))
    }

    /// Rows acknowledged in the last second.
    pub fn rows_per_second(&self) -> f64 {
        self.0["rows_per_second"].as_f64().unwrap_or(0.0)
    }

    /// Number of the last saved checkpoint.
    pub fn checkpoint_seq(&self) -> u64 {
        self.0["checkpoint"]["seq"].as_u64().unwrap_or(0)
    }

    /// Binlog file of the last saved checkpoint.
    pub fn checkpoint_file(&self) -> &str {
        self.0["checkpoint"]["position"]["file"].as_str().unwrap_or("")
    }

    /// State of a table (`database.table`); `absent` when it is not listed.
    pub fn table_state(&self, name: &str) -> String {
        self.table_text(name, "state")
    }

    /// Why the table is in that state.
    pub fn table_reason(&self, name: &str) -> String {
        self.table_text(name, "reason")
    }

    /// State and reason of a table whose name is written with or without backquotes in `/status`.
    pub fn table_named(&self, name: &str) -> Option<(String, String)> {
        let tables = self.0["tables"].as_array()?;
        let plain = |table: &Value| table["name"].as_str().map(|text| text.replace('`', ""));
        let table = tables.iter().find(|table| plain(table).as_deref() == Some(name))?;
        let text = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
        Some((text("state"), text("reason")))
    }

    fn table_text(&self, name: &str, key: &str) -> String {
        let tables = self.0["tables"].as_array();
        let table = tables.and_then(|tables| tables.iter().find(|table| table["name"] == name));
        table.and_then(|table| table[key].as_str()).unwrap_or("absent").to_owned()
    }

    fn place(&self) -> (u64, u64) {
        let position = &self.0["position"];
        (file_number(position["file"].as_str().unwrap_or("")), position["offset"].as_u64().unwrap_or(0))
    }

    fn gtid_set(&self) -> &str {
        self.0["position"]["gtid_set"].as_str().unwrap_or("")
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The end of MySQL's binary log at some moment.
#[derive(Debug, Clone)]
pub struct SourcePosition {
    /// Binlog file.
    pub file: String,
    /// Byte offset.
    pub offset: u64,
    /// `@@gtid_executed`; empty without GTID.
    pub gtid_set: String,
}

impl SourcePosition {
    /// As of now.
    pub fn now(fixture: &Fixture) -> Self {
        let status = if fixture.row::<String>("SELECT VERSION()").starts_with("8.0") { "MASTER" } else { "BINARY LOG" };
        let row: (String, u64, String, String, String) = fixture.row(&format!("SHOW {status} STATUS"));
        Self { file: row.0, offset: row.1, gtid_set: row.4.replace('\n', "") }
    }

    /// The kinds of the events since then; other tests may have rotated the binary log meanwhile.
    pub fn event_kinds_since(&self, test: &Fixture) -> Vec<String> {
        type Row = (String, u64, String, u64, u64, String);
        let logs: Vec<(String, u64, String)> = test.rows("SHOW BINARY LOGS");
        let files = logs.into_iter().map(|log| log.0).filter(|file| *file >= self.file);
        let events = files.flat_map(|file| {
            let offset = if file == self.file { self.offset } else { 4 };
            test.rows::<Row>(&format!("SHOW BINLOG EVENTS IN '{file}' FROM {offset}"))
        });
        events.map(|row| row.2).collect()
    }

    fn place(&self) -> (u64, u64) {
        (file_number(&self.file), self.offset)
    }

    /// By file and offset, or by GTID: after a rotation the source stands in a file in which no transaction ended yet.
    fn is_reached(&self, status: &Status, fixture: &Fixture) -> bool {
        let by_place = status.place() >= self.place();
        let (wanted, have) = (&self.gtid_set, status.gtid_set());
        let by_gtid = || fixture.row::<bool>(&format!("SELECT GTID_SUBSET('{wanted}', '{have}')"));
        by_place || (!wanted.is_empty() && !have.is_empty() && by_gtid())
    }
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} ({})", self.file, self.offset, self.gtid_set)
    }
}

/// The place below which everything is acknowledged, from the bridge that listens on this port.
fn acked_place(port: u16) -> Option<(u64, u64)> {
    let mut answer = ureq::get(format!("http://127.0.0.1:{port}/position")).call().ok()?;
    let whereabouts: serde_json::Value = serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()?;
    let acked = &whereabouts["acked"];
    Some((file_number(acked["file"].as_str()?), acked["offset"].as_u64()?))
}

fn file_number(file: &str) -> u64 {
    file.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Stops a process by SIGSTOP until dropped.
pub struct Stopped(u32);

impl Stopped {
    /// SIGSTOP; waits until the kernel says that it stands, or that it had ended by itself.
    pub fn new(pid: u32) -> Self {
        signal("STOP", pid);
        wait_until("the process to stop", PATIENCE, || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 'Z']))
        });
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}
