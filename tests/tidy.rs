//! The rules of DESIGN 10 over the source tree, as text: layers, threads, sizes, heads, names, machine paths.
//!
//! Each rule is a function from a path and its text to what is wrong, tried on a bad text below before it is trusted on
//! the tree. It reads lines as rustfmt leaves them and is no parser: comments are cut, macros are not expanded.
//! What cannot be mended at once goes into [`EXCEPTIONS`] with its number, which may only fall.

#![allow(clippy::panic, reason = "helpers of tests may panic as tests do")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// A rule's name, a file, and how often the file breaks the rule today.
const EXCEPTIONS: &[(&str, &str, usize)] = &[];

const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 800;

/// Below everything: no IO, no threads, no log (I8).
const PURE: &[&str] = &[
    "binlog",
    "rowbinary",
    "schema",
    "transcode",
    "error",
    "position",
    "gtid",
    "backoff",
    "config",
    "metrics",
    "retention",
];
/// One system each.
const CLIENTS: &[&str] = &["mysql", "clickhouse", "checkpoint"];
/// Between clients and stages: what stages say to each other.
const MESSAGE: &str = "message";
/// Know clients and messages, not each other.
const STAGES: &[&str] = &["reader", "router", "writer", "http", "snapshot", "guard", "verify"];
/// Wire the rest.
const TOP: &[&str] = &["engine", "start", "check", "plan", "progress", "replay", "cli", "main", "lib"];

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "conf",
    "bench",
    "tests",
    "scripts",
    "Makefile",
    "README.md",
    ".ci",
    "clippy.toml",
    "rustfmt.toml",
    ".gitignore",
    "LICENSE",
];

type Rule = (&'static str, fn(&str, &str) -> Vec<String>);

const RULES: &[Rule] = &[
    ("layers", layers),
    ("purity", purity),
    ("threads", threads),
    ("function length", function_length),
    ("file length", file_length),
    ("head", head),
    ("names", names),
    ("unfinished", unfinished),
    ("machine", machine),
    ("top level", top_level),
];

#[test]
fn the_tree_is_tidy() {
    let mut problems = Vec::new();
    for path in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (rule, check) in RULES {
            let found = check(&path, &text);
            let excepted = EXCEPTIONS.iter().find(|(name, file, _)| name == rule && *file == path);
            let allowed = excepted.map_or(0, |(_, _, number)| *number);
            if found.len() > allowed {
                problems.extend(found.iter().map(|text| format!("{rule}: {path}{text}")));
            } else if found.len() < allowed {
                problems.push(format!("{rule}: {path}: only {} left, lower its exception from {allowed}", found.len()));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn exceptions_name_files_and_rules() {
    let files = files();
    for (rule, file, number) in EXCEPTIONS {
        assert!(RULES.iter().any(|(name, _)| name == rule), "{rule} is no rule");
        assert!(*number > 0 && files.iter().any(|path| path == file), "{file} is no file");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// What is committed or about to be: paths below the root.
fn files() -> Vec<String> {
    let git = Command::new("git")
        // The checkout may belong to another user, as in a container.
        .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("git must list the files: {error}"));
    let listed = String::from_utf8(git.stdout).unwrap_or_else(|error| panic!("names must be UTF-8: {error}"));
    let files: Vec<String> = listed.lines().map(str::to_owned).collect();
    assert!(
        files.iter().any(|path| path == "src/lib.rs"),
        "git lists no src/lib.rs: {}",
        String::from_utf8_lossy(&git.stderr)
    );
    files
}

/// The module that a file of `src` belongs to: `router` for `src/router/batch.rs`.
fn module(path: &str) -> Option<&str> {
    let below = path.strip_prefix("src/")?;
    Some(below.split('/').next()?.trim_end_matches(".rs"))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// A file's own lines: without its tests.
fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |end| &text[..=end])
}

/// Numbered lines without tests and comments.
fn code(text: &str) -> Vec<(usize, &str)> {
    let lines = without_tests(text).lines().map(|line| line.split("//").next().unwrap_or_default());
    (1..).zip(lines).collect()
}

/// Lines of code that hold one of the words, as a word of its own.
fn mentions(text: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in code(text) {
        found.extend(words.iter().filter(|word| has_word(line, word)).map(|word| format!(":{number}: {word}")));
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    let is_within = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| !line[..start].ends_with(is_within))
}

/// Modules of the crate that a text names: `crate::x`, and each of `crate::{x, y::z}`.
fn crate_modules(text: &str) -> Vec<String> {
    let code: String = code(text).into_iter().map(|(_, line)| format!("{line}\n")).collect();
    let mut modules = Vec::new();
    for (start, marker) in code.match_indices("crate::") {
        let after = &code[start + marker.len()..];
        if let Some(group) = after.strip_prefix('{') {
            modules.extend(group_heads(group));
        } else {
            modules.push(identifier(after));
        }
    }
    modules.sort();
    modules.dedup();
    modules
}

/// First names in `a, b::{c, d}, e}`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let (mut depth, mut is_start) = (0_i32, true);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            c if c.is_alphabetic() && is_start => {
                heads.push(identifier(&group[index..]));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether a module of `src` may know another.
fn may_use(module: &str, other: &str) -> bool {
    let is_one = |layer: &[&str], name| layer.contains(&name);
    if module == other || is_one(TOP, module) || is_one(PURE, other) {
        return true;
    }
    // The checkpoint is SQL to ClickHouse: it speaks through that client.
    (module, other) == ("checkpoint", "clickhouse")
        // The dump fills chunks and takes their memory from the budget.
        || (module, other) == ("mysql", MESSAGE)
        || (module == MESSAGE && other == "checkpoint")
        || (is_one(STAGES, module) && (is_one(CLIENTS, other) || other == MESSAGE))
}

fn layers(path: &str, text: &str) -> Vec<String> {
    let Some(module) = module(path) else { return Vec::new() };
    let known = [PURE, CLIENTS, &[MESSAGE], STAGES, TOP].concat();
    if !known.contains(&module) {
        return vec![format!(": module {module} is in no layer: give it one in tests/tidy.rs")];
    }
    let used = crate_modules(text).into_iter().filter(|other| known.contains(&other.as_str()));
    used.filter(|other| !may_use(module, other)).map(|other| format!(": {module} must not know {other}")).collect()
}

fn purity(path: &str, text: &str) -> Vec<String> {
    if !module(path).is_some_and(|module| PURE.contains(&module)) {
        return Vec::new();
    }
    let io = ["std::net", "std::fs", "std::thread", "std::env", "std::process", "crossbeam_channel", "ureq::", "log::"];
    mentions(text, &[&io[..], &["println!", "eprintln!", "print!", "info!", "warn!", "debug!", "error!"]].concat())
}

/// I9: the engine alone starts threads, logs errors and ends the process.
fn threads(path: &str, text: &str) -> Vec<String> {
    if !path.starts_with("src/") || path == "src/engine.rs" || path.starts_with("src/engine/") {
        return Vec::new();
    }
    mentions(text, &["thread::spawn", "thread::Builder", "thread::scope", "error!(", "process::exit", "process::abort"])
}

fn function_length(path: &str, text: &str) -> Vec<String> {
    if !is_rust(path) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let starts = (0..lines.len()).filter(|&index| is_function_start(lines[index]));
    let lengths = starts.map(|index| (index, lines[index].trim_start(), function_lines(&lines[index..])));
    lengths
        .filter(|(_, _, length)| *length > FUNCTION_LINES_MAX)
        .map(|(index, line, length)| format!(":{}: {length} lines: {line}", index + 1))
        .collect()
}

fn is_function_start(line: &str) -> bool {
    let is_qualifier = |word: &str| matches!(word, "pub" | "const" | "pub(crate)" | "pub(super)");
    line.split_whitespace().find(|word| !is_qualifier(word)) == Some("fn")
}

/// From `fn` to the brace that closes it, which rustfmt puts under the line of `fn`.
fn function_lines(lines: &[&str]) -> usize {
    let Some(first) = lines.first() else { return 0 };
    let signature_end = lines.iter().position(|line| line.ends_with(['{', '}', ';'])).unwrap_or(0);
    if !lines[signature_end].ends_with('{') {
        return signature_end + 1;
    }
    let indent = first.len() - first.trim_start().len();
    let close = format!("{}}}", " ".repeat(indent));
    lines.iter().position(|line| *line == close).map_or(lines.len(), |end| end + 1)
}

fn file_length(path: &str, text: &str) -> Vec<String> {
    let length = without_tests(text).lines().count();
    if is_rust(path) && length > FILE_LINES_MAX { vec![format!(": {length} lines without tests")] } else { Vec::new() }
}

fn head(path: &str, text: &str) -> Vec<String> {
    if is_rust(path) && !text.starts_with("//! ") { vec![": does not open with //!".to_owned()] } else { Vec::new() }
}

fn names(path: &str, _text: &str) -> Vec<String> {
    let empty = ["util", "utils", "common", "helper", "helpers", "misc"];
    let parts = path.split('/').map(|part| part.split('.').next().unwrap_or_default());
    parts.filter(|part| empty.contains(part)).map(|part| format!(": the name {part} says nothing")).collect()
}

fn unfinished(path: &str, text: &str) -> Vec<String> {
    if !is_rust(path) || path == "tests/tidy.rs" {
        return Vec::new();
    }
    let found = (1..).zip(text.lines()).filter(|(_, line)| {
        ["todo!", "unimplemented!", "dbg!"].iter().any(|word| has_word(line, word)) || line.contains("(skeleton)")
    });
    found.map(|(number, line)| format!(":{number}: {}", line.trim())).collect()
}

fn machine(path: &str, text: &str) -> Vec<String> {
    if path == "tests/tidy.rs" {
        return Vec::new();
    }
    let words = ["/work/", "/root/", "/home/", "index.crates.io:", "artifactory"];
    let found = (1..).zip(text.lines()).filter(|(_, line)| words.iter().any(|word| line.contains(word)));
    found.map(|(number, line)| format!(":{number}: {}", line.trim())).collect()
}

fn top_level(path: &str, _text: &str) -> Vec<String> {
    let top = path.split('/').next().unwrap_or_default();
    if TOP_LEVEL.contains(&top) { Vec::new() } else { vec![format!(": {top} does not belong at the top level")] }
}

/// The rule finds exactly `expected` problems in the text.
fn check(rule: fn(&str, &str) -> Vec<String>, path: &str, text: &str, expected: usize) {
    let found = rule(path, text);
    assert_eq!(found.len(), expected, "{path} {found:?}\n{text}");
}

#[test]
fn layers_are_kept() {
    check(layers, "src/binlog/rows.rs", "use crate::error::Error;\n", 0);
    check(layers, "src/binlog/rows.rs", "use crate::mysql::Connection;\n", 1);
    check(layers, "src/transcode/mod.rs", "use crate::{\n    error::{self, Error},\n    writer, router::x,\n};\n", 2);
    check(layers, "src/mysql/dump.rs", "fn f() { crate::clickhouse::post(); }\n", 1);
    check(layers, "src/mysql/dump.rs", "use crate::message::Chunk;\n", 0);
    check(layers, "src/clickhouse/mod.rs", "use crate::message::Batch;\n", 1);
    check(layers, "src/checkpoint.rs", "use crate::clickhouse::Client;\nuse crate::mysql::X;\n", 1);
    check(layers, "src/router/mod.rs", "use crate::{message::Ack, clickhouse::X, writer::Writer};\n", 1);
    check(layers, "src/message.rs", "use crate::checkpoint::Checkpoint;\nuse crate::reader::X;\n", 1);
    check(layers, "src/writer.rs", "use crate::engine::run;\n", 1);
    check(layers, "src/engine.rs", "use crate::{reader, router, writer, http, mysql};\n", 0);
    check(layers, "src/schema/ddl.rs", "// not crate::mysql\n/// nor [`crate::reader`]\nfn f() {}\n", 0);
    check(layers, "src/plumbing.rs", "", 1);
}

#[test]
fn pure_modules_do_no_io() {
    check(purity, "src/binlog/mod.rs", "use std::fs::File;\n", 1);
    check(purity, "src/config.rs", "log::trace!(\"x\");\n", 1);
    check(purity, "src/config.rs", "warn!(\"x\");\n", 1);
    check(purity, "src/config.rs", "let catalog::x = config.log;\n", 0);
    check(purity, "src/metrics.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n", 0);
    check(purity, "src/reader.rs", "use std::net::TcpStream;\n", 0);
}

#[test]
fn only_the_engine_spawns_and_logs_errors() {
    check(threads, "src/writer.rs", "std::thread::spawn(|| ());\n", 1);
    check(threads, "src/reader.rs", "thread::Builder::new();\nlog::error!(\"x\");\n", 2);
    check(threads, "src/mysql/dump.rs", "return server_error!(x); // thread::spawn\n", 0);
    check(threads, "src/engine.rs", "std::thread::spawn(|| ());\nerror!(\"x\");\n", 0);
}

#[test]
fn functions_are_short() {
    let body = |lines| "        x();\n".repeat(lines);
    let method = |lines| format!("impl X {{\n    pub fn f(\n        a: u8,\n    ) {{\n{}    }}\n}}\n", body(lines));
    check(function_length, "src/a.rs", &method(FUNCTION_LINES_MAX - 4), 0);
    check(function_length, "src/a.rs", &method(FUNCTION_LINES_MAX - 3), 1);
    let short = format!("trait T {{\n    fn f(&self);\n    fn g() {{}}\n}}\nconst X: [u8; 0] = {{\n{}}};\n", body(90));
    check(function_length, "src/a.rs", &short, 0);
}

#[test]
fn files_are_short() {
    let lines = |number| "// x\n".repeat(number);
    check(file_length, "src/a.rs", &lines(FILE_LINES_MAX), 0);
    check(file_length, "src/a.rs", &lines(FILE_LINES_MAX + 1), 1);
    check(file_length, "src/a.rs", &format!("{}\n#[cfg(test)]\nmod tests {{\n{}}}\n", lines(9), lines(900)), 0);
}

#[test]
fn files_have_a_head() {
    check(head, "tests/a.rs", "//! Why.\n", 0);
    check(head, "src/a.rs", "// Why.\n", 1);
    check(head, "conf/a.toml", "x = 1\n", 0);
}

#[test]
fn names_say_something() {
    check(names, "src/router/utils.rs", "", 1);
    check(names, "tests/common/mod.rs", "", 1);
    check(names, "src/router/batch.rs", "", 0);
}

#[test]
fn nothing_is_left_unfinished() {
    check(unfinished, "src/a.rs", "fn f() { todo!() }\n    dbg!(x);\n", 2);
    check(unfinished, "src/a.rs", "//! (skeleton)\n", 1);
    check(unfinished, "src/a.rs", "//! what is to do\n", 0);
}

#[test]
fn no_machine_is_named() {
    check(machine, "README.md", "see /home/anna/x\n", 1);
    check(machine, "Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n", 0);
    check(machine, "scripts/x", "https://artifactory.example/x\ncd /root/x\n", 2);
}

#[test]
fn the_top_level_is_small() {
    check(top_level, "notes.txt", "", 1);
    check(top_level, "src/lib.rs", "", 0);
}
