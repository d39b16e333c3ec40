//! Arguments, configuration file, logging, dispatch and exit codes (DESIGN 9). No work of its own.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 `check` found problems or `verify` differences. The error
//! that ends a command is printed here, once, on stderr; output that is data goes to stdout alone.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use stream_bridge::checkpoint::Store;
use stream_bridge::clickhouse::Client;
use stream_bridge::config::{Config, LogConfig, LogFormat, table_name};
use stream_bridge::error::{Error, ErrorKind, Result};
use stream_bridge::http::running;
use stream_bridge::progress::CLEAR;
use stream_bridge::{check, engine, plan, replay, verify};

/// Keeps ClickHouse equal to MySQL in real time.
#[derive(Parser)]
#[command(name = "stream-bridge", version, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file
    #[arg(long, global = true, value_name = "FILE", default_value = "conf/stream-bridge.toml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replicate until stopped by SIGTERM or Ctrl-C
    Run,
    /// List every problem of both servers and the tables, with what repairs it
    Check(Output),
    /// Show what the running process does
    Status(Output),
    /// Decode binlog files, without servers and without configuration
    Replay(Replay),
    /// Show the configuration in force, secrets hidden
    Config(Output),
    /// Show what a start, or a schema change, would do in ClickHouse
    Plan(Plan),
    /// Have the running process copy tables that it does not replicate yet
    Snapshot(Tables),
    /// Have the running process copy tables again, beside those that are read meanwhile
    Resync(Resync),
    /// Compare tables byte by byte while they are written to, and repair them
    Verify(Verify),
}

#[derive(Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Tables {
    /// Tables of the source
    #[arg(required = true, value_name = "DATABASE.TABLE")]
    tables: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Resync {
    /// Tables of the source
    #[arg(required_unless_present = "dead_letters", value_name = "DATABASE.TABLE")]
    tables: Vec<String>,
    /// Show the rows for which tables were set aside, instead: of these tables, or of all
    #[arg(long)]
    dead_letters: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Verify {
    /// Tables of the source; all that are replicated when none is named
    #[arg(value_name = "DATABASE.TABLE")]
    tables: Vec<String>,
    /// Make the rows in ClickHouse that differ as they are in MySQL
    #[arg(long)]
    repair: bool,
    /// Compare only so many of the parts that each table is read in, chosen at random
    #[arg(long, value_name = "N%", value_parser = percent)]
    sample: Option<f64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.trim_end_matches('%').parse().ok().filter(|&percent| percent > 0.0 && percent <= 100.0);
    number.ok_or_else(|| "must be above 0 and at most 100, as in --sample 5%".to_owned())
}

#[derive(Args)]
struct Replay {
    /// Binlog files, in order
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Write RowBinary, a file per table, into this folder
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Plan {
    /// A statement of MySQL that is to be run: what it would bring about in ClickHouse
    #[arg(long, value_name = "STATEMENT")]
    sql: Option<String>,
    /// The database that the statement would be run in, for names without one
    #[arg(long, value_name = "NAME", requires = "sql")]
    database: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command line; usage errors leave with 2 by themselves.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nothing is left to do when stderr is closed.
            let _ = writeln!(std::io::stderr(), "stream-bridge: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn dispatch(arguments: &Arguments) -> Result<ExitCode> {
    let load = || load(&arguments.config);
    match &arguments.command {
        Command::Run => {
            let config = load()?;
            start_log(&config.log);
            engine::run(config)?;
        }
        Command::Check(output) => {
            let config = load()?;
            start_log(&config.log);
            if !check::run(&config, output.json)? {
                return Ok(ExitCode::from(3));
            }
        }
        Command::Status(output) => status(&load()?, output.json)?,
        Command::Replay(replay) => replay::run(&replay.files, replay.output.as_deref(), replay.json)?,
        Command::Config(output) => return show_config(&arguments.config, output.json),
        Command::Plan(arguments) => {
            if !plan(&load()?, arguments)? {
                return Ok(ExitCode::from(3));
            }
        }
        Command::Snapshot(Tables { tables, json }) => copy(&load()?, "snapshot", tables, *json)?,
        Command::Resync(Resync { tables, dead_letters: true, json }) => dead_letters(&load()?, tables, *json)?,
        Command::Resync(Resync { tables, json, .. }) => copy(&load()?, "resync", tables, *json)?,
        Command::Verify(arguments) => {
            let config = load()?;
            start_log(&config.log);
            if !verify(&config, arguments)? {
                return Ok(ExitCode::from(3));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<Config> {
    resolve(&read(path)?).map_err(|error| not_valid(path, &error))
}

fn not_valid(path: &Path, error: &Error) -> Error {
    Error::new(error.kind, format!("the configuration {} is not valid:\n{}", path.display(), error.text))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        let shown = path.display();
        let text = format!("cannot read the configuration {shown}: {error}; name another file with --config FILE");
        Error::new(ErrorKind::Config, text)
    })
}

fn resolve(text: &str) -> Result<Config> {
    let environment = |name: &str| std::env::var(name).ok();
    let read_file = |path: &str| std::fs::read_to_string(path).map_err(|error| error.to_string());
    Config::resolve(text, &environment, &read_file)
}

/// Logs to stderr as `[log]` says; the variable RUST_LOG overrides the level, but has no secret shown.
fn start_log(config: &LogConfig) {
    let level = format!("{:?}", config.level).to_lowercase();
    let filter = env_logger::Env::default().default_filter_or(format!("warn,stream_bridge={level}"));
    let mut builder = env_logger::Builder::from_env(filter);
    match config.format {
        // What stands in the terminal's last line makes way.
        LogFormat::Text if std::io::stderr().is_terminal() => builder.format(|out, record| {
            let (time, level, text) = (out.timestamp_millis(), record.level(), record.args());
            writeln!(out, "{CLEAR}[{time} {level:5} {}] {text}", record.target())
        }),
        LogFormat::Text => builder.format_timestamp_millis(),
        LogFormat::Json => builder.format(|out, record| {
            let line = json!({
                "time": out.timestamp_millis().to_string(),
                "level": record.level().as_str(),
                "target": record.target(),
                "text": record.args().to_string(),
            });
            writeln!(out, "{line}")
        }),
    };
    // It dumps whole requests, passwords in their headers included.
    builder.filter_module("ureq_proto::util", log::LevelFilter::Off);
    builder.init();
}

fn show_config(path: &Path, as_json: bool) -> Result<ExitCode> {
    match resolve(&read(path)?) {
        Ok(config) if as_json => print_json(&json!({ "valid": true, "config": config.effective() })),
        Ok(config) => print(&format!("# {} is valid; in force is:\n{}", path.display(), config.effective())),
        Err(error) if as_json => {
            print_json(&json!({ "valid": false, "problems": error.text.lines().collect::<Vec<_>>() }));
            return Ok(ExitCode::from(error.exit_code()));
        }
        Err(error) => return Err(not_valid(path, &error)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what differs; true when nothing does.
fn verify(config: &Config, arguments: &Verify) -> Result<bool> {
    let Verify { tables, repair, sample, .. } = arguments;
    let options = verify::Options { tables: tables.clone(), repair: *repair, sample: *sample };
    let reports = verify::run(config, &options, &|path| running::get(&config.http, path))?;
    let is_equal = reports.iter().all(verify::TableReport::is_equal);
    if arguments.json {
        print_json(&json!({ "equal": is_equal, "tables": reports }));
    } else {
        reports.iter().for_each(|report| print(&report.text()));
    }
    Ok(is_equal)
}

/// Prints what would be done; true when no table would be refused.
fn plan(config: &Config, arguments: &Plan) -> Result<bool> {
    let items = match &arguments.sql {
        Some(sql) => plan::of_statement(config, sql, arguments.database.as_deref())?,
        None => plan::of_start(config)?,
    };
    if arguments.json {
        print_json(&json!(items));
    } else {
        items.iter().for_each(|item| print(&item.text()));
    }
    Ok(items.iter().all(|item| item.problem.is_none()))
}

fn status(config: &Config, as_json: bool) -> Result<()> {
    let picture = running::get(&config.http, "/status")?;
    if as_json {
        print_json(&picture)
    } else {
        print(&status_table(&picture))
    }
    Ok(())
}

/// Asks the running process to copy each of the tables; the first that it refuses is the error.
fn copy(config: &Config, how: &str, tables: &[String], as_json: bool) -> Result<()> {
    let path = format!("/{how}");
    let ask = |table: &String| running::post(&config.http, &path, table);
    let answers = tables.iter().map(ask).collect::<Result<Vec<_>>>()?;
    if as_json {
        print_json(&json!({ "answers": answers }));
    } else {
        print(&format!("{}\n", answers.join("\n")));
    }
    Ok(())
}

/// Shows what was set aside of these tables, or of all. No running process is needed.
fn dead_letters(config: &Config, tables: &[String], as_json: bool) -> Result<()> {
    let name =
        |text: &String| table_name(text).map_err(|reason| Error::new(ErrorKind::Config, format!("{text:?} {reason}")));
    let names = tables.iter().map(name).collect::<Result<Vec<_>>>()?;
    let client = Arc::new(Client::connect(&config.clickhouse, 1)?);
    let letters = Store::new(client, &config.state.database, &config.name, Uuid::nil()).load_dead_letters(&names)?;
    if as_json {
        print_json(&json!({ "dead_letters": letters }));
    } else if letters.is_empty() {
        print("no rows were set aside\n");
    } else {
        letters.iter().for_each(|letter| print(&letter.text()));
    }
    Ok(())
}

fn status_table(picture: &Value) -> String {
    let position = &picture["position"];
    let mut lines = vec![
        format!("state       {}, lag {} s", text(&picture["state"]), text(&picture["lag_seconds"])),
        format!("position    {} {}", place(position), text(&position["gtid_set"])).trim_end().to_owned(),
        format!("checkpoint  {}", checkpoint_line(&picture["checkpoint"])),
        format!("binlog      {}", retention_line(&picture["retention"])),
        format!("rows        {} ({} per second)", text(&picture["rows_total"]), text(&picture["rows_per_second"])),
        String::new(),
    ];
    let tables = picture["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = tables.iter().map(|table| text(&table["name"]).chars().count()).max().unwrap_or(0).max(5);
    lines.push(format!("{:width$}  {:12}  {:>12}  {:>9}  REASON", "TABLE", "STATE", "ROWS", "LAG S"));
    lines.extend(tables.iter().map(|table| {
        let field = |name: &str| text(&table[name]);
        let (name, state, rows) = (field("name"), field("state"), field("rows"));
        format!("{name:width$}  {state:12}  {rows:>12}  {:>9}  {}", field("lag_seconds"), field("reason"))
            .trim_end()
            .to_owned()
    }));
    lines.join("\n") + "\n"
}

fn checkpoint_line(checkpoint: &Value) -> String {
    match checkpoint["age_seconds"].as_f64() {
        None => "none saved by this process yet".to_owned(),
        Some(age) => format!("{} at {}, {age:.0} s ago", text(&checkpoint["seq"]), place(&checkpoint["position"])),
    }
}

fn retention_line(retention: &Value) -> String {
    let (file, behind) = (text(&retention["needed_file"]), text(&retention["files_behind"]));
    match (retention.is_null(), retention["seconds_left"].as_f64()) {
        (true, _) => "not asked for yet".to_owned(),
        (false, None) => format!("needed from {file} on, {behind} files behind; the source purges none by itself"),
        (false, Some(left)) => {
            format!("needed from {file} on, {behind} files behind; kept for {:.1} hours at least", left / 3600.0)
        }
    }
}

fn place(position: &Value) -> String {
    format!("{}:{}", text(&position["file"]), text(&position["offset"]))
}

/// A JSON value for people.
fn text(value: &Value) -> String {
    match (value.as_str(), value.as_f64()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) if value.is_f64() => format!("{number:.1}"),
        (None, _) => value.to_string(),
    }
}

fn print_json(value: &Value) {
    print(&format!("{value:#}\n"));
}

/// Writes to stdout; a reader that has gone away (`| head`) is no error.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_table_names_states_and_reasons() {
        let picture = json!({
            "state": "streaming", "lag_seconds": 0.25, "rows_total": 7, "rows_per_second": 3.0,
            "position": { "file": "binlog.000042", "offset": 1234, "gtid_set": "" },
            "checkpoint": { "seq": 5, "position": { "file": "binlog.000042", "offset": 4 }, "age_seconds": 12.4 },
            "retention": { "needed_file": "binlog.000042", "files_behind": 3, "seconds_left": 5400.0 },
            "tables": [
                { "name": "shop.orders", "state": "streaming", "reason": "", "rows": 7, "lag_seconds": 0.0 },
                { "name": "shop.x", "state": "quarantined", "reason": "no key", "rows": 0, "lag_seconds": 0.0 },
            ],
        });
        let expected = "\
state       streaming, lag 0.2 s
position    binlog.000042:1234
checkpoint  5 at binlog.000042:4, 12 s ago
binlog      needed from binlog.000042 on, 3 files behind; kept for 1.5 hours at least
rows        7 (3.0 per second)

TABLE        STATE                 ROWS      LAG S  REASON
shop.orders  streaming                7        0.0
shop.x       quarantined              0        0.0  no key
";
        assert_eq!(status_table(&picture), expected);
    }
}
