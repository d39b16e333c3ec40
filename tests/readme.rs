//! README's tables say what the code does: each row of types, events and limits is tried on the code itself.
//!
//! A change of the code shows here as the row that is wrong; a row changes in README, and only there, unless the kind of
//! answer is new (then the lists below say what it is called). No servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use stream_bridge::binlog::event::{Event, EventKind};
use stream_bridge::binlog::rows::RowsEvent;
use stream_bridge::clickhouse::Features;
use stream_bridge::message::EventSpan;
use stream_bridge::mysql::checks::problems;
use stream_bridge::mysql::grants::Grants;
use stream_bridge::mysql::source::ServerFacts;
use stream_bridge::position::{Position, Timeline, Version};
use stream_bridge::router::transaction::Stream;
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::charset::{Charset, Use};
use stream_bridge::schema::choices::{ColumnChoice, OnBadValue};
use stream_bridge::schema::column::ColumnType;
use stream_bridge::schema::form::Form;
use stream_bridge::schema::mapping::{TargetFeatures, accepts, chosen_type, fit, target_type};
use stream_bridge::schema::target::TargetColumn;
use stream_bridge::schema::types::{SourceColumn, SourceType};
use stream_bridge::transcode::{Limits, REASONS, RowPlan, RowsCursor, RowsKind, Stride};

const README: &str = include_str!("../README.md");

/// The rows of the table whose head begins with this cell.
fn table(first_cell: &str) -> Vec<Vec<String>> {
    let lines = README.lines().skip_while(|line| !line.starts_with(&format!("| {first_cell} |")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(rows.len() > 3, "README has no table `| {first_cell} |`");
    rows
}

/// Splits a list at its commas outside parentheses.
fn items(cell: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in cell.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                items.push(cell[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(cell[start..].trim());
    items
}

fn report(wrong: &[String]) {
    assert!(wrong.is_empty(), "README differs from the code:\n{}", wrong.join("\n"));
}

// --- Types --------------------------------------------------------------------------------------------------------

/// Which row README must have at least one of: no variant can be added without a name here.
fn variant(ty: &SourceType) -> &'static str {
    match ty {
        SourceType::Int { .. } => "Int",
        SourceType::Float => "Float",
        SourceType::Double => "Double",
        SourceType::Decimal { .. } => "Decimal",
        SourceType::Year => "Year",
        SourceType::Date => "Date",
        SourceType::Time { .. } => "Time",
        SourceType::DateTime { .. } => "DateTime",
        SourceType::Timestamp { .. } => "Timestamp",
        SourceType::Bit { .. } => "Bit",
        SourceType::Char { .. } => "Char",
        SourceType::VarChar { .. } => "VarChar",
        SourceType::Blob { .. } => "Blob",
        SourceType::Enum { .. } => "Enum",
        SourceType::Set { .. } => "Set",
        SourceType::OldTime => "OldTime",
        SourceType::OldDateTime => "OldDateTime",
        SourceType::OldTimestamp => "OldTimestamp",
        SourceType::Json | SourceType::JsonText => "Json",
        SourceType::Geometry => "Geometry",
        SourceType::Vector => "Vector",
        SourceType::Unsupported { .. } => "Unsupported",
    }
}

const VARIANTS: [&str; 21] = [
    "Int",
    "Float",
    "Double",
    "Decimal",
    "Year",
    "Date",
    "Time",
    "DateTime",
    "Timestamp",
    "Bit",
    "Char",
    "VarChar",
    "Blob",
    "Enum",
    "Set",
    "OldTime",
    "OldDateTime",
    "OldTimestamp",
    "Json",
    "Geometry",
    "Vector",
];

/// Every DATA_TYPE of MySQL 9.7.
const DATA_TYPES: [&str; 38] = [
    "TINYINT",
    "SMALLINT",
    "MEDIUMINT",
    "INT",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "BIT",
    "YEAR",
    "DATE",
    "TIME",
    "DATETIME",
    "TIMESTAMP",
    "CHAR",
    "BINARY",
    "VARCHAR",
    "VARBINARY",
    "TINYTEXT",
    "TEXT",
    "MEDIUMTEXT",
    "LONGTEXT",
    "TINYBLOB",
    "BLOB",
    "MEDIUMBLOB",
    "LONGBLOB",
    "ENUM",
    "SET",
    "JSON",
    "VECTOR",
    "GEOMETRY",
    "POINT",
    "LINESTRING",
    "POLYGON",
    "MULTIPOINT",
    "MULTILINESTRING",
    "MULTIPOLYGON",
    "GEOMCOLLECTION",
];

/// The numbers that the letters in README stand for.
fn with_numbers(text: &str) -> String {
    let text = text.replace("(P,S)", "(20, 4)").replace("(p,'UTC')", "(3, 'UTC')").replace("(0,'UTC')", "(0, 'UTC')");
    text.replace("(p)", "(3)").replace("(n)", "(9)")
}

/// A column of the type as `information_schema` tells of it; the old formats are only in binary logs.
fn source_type(name: &str) -> SourceType {
    match name {
        "TIME before 5.6.4" => return SourceType::OldTime,
        "DATETIME before 5.6.4" => return SourceType::OldDateTime,
        "TIMESTAMP before 5.6.4" => return SourceType::OldTimestamp,
        _ => {}
    }
    let data_type = name.split(['(', ' ']).next().unwrap().to_lowercase();
    let is_text = data_type.contains("char") || data_type.contains("text");
    let labels = if matches!(data_type.as_str(), "enum" | "set") { "('a','b')" } else { "" };
    let precision = if data_type == "bit" { 9 } else { 20 };
    let column_type = format!("{}{labels}", name.to_lowercase());
    let charset = (is_text || !labels.is_empty()).then(|| "utf8mb4".to_owned());
    let (precision, scale, fsp, octets) = (Some(precision), Some(4), name.contains("(p)").then_some(3), Some(40));
    ColumnType { data_type, column_type, precision, scale, fsp, octets, charset }.source_type()
}

fn default_type(ty: SourceType, time64: bool) -> String {
    let column = SourceColumn { name: "c".to_owned(), ty, nullable: false };
    target_type(&column, false, false, TargetFeatures { time64 }).unwrap_or_else(|error| error.to_string())
}

#[test]
fn types() {
    let (mut wrong, mut variants, mut names) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for row in table("MySQL") {
        let (sources, targets) = (items(&row[0]), items(&row[1]));
        assert!(targets.len() == 1 || targets.len() == sources.len(), "{row:?}");
        for (i, name) in sources.into_iter().enumerate() {
            let plain = name.strip_suffix(" without Time64");
            let ty = source_type(plain.unwrap_or(name));
            variants.insert(variant(&ty));
            names.insert(name.split('(').next().unwrap().to_owned());
            let (told, found) = (with_numbers(targets[i % targets.len()]), default_type(ty, plain.is_none()));
            if told != found {
                wrong.push(format!("{name} becomes {found}, README says {told}"));
            }
        }
    }
    wrong
        .extend(VARIANTS.iter().filter(|it| !variants.contains(*it)).map(|it| format!("no row is a SourceType::{it}")));
    wrong.extend(DATA_TYPES.iter().filter(|it| !names.contains(**it)).map(|it| format!("no row names {it}")));
    report(&wrong);
}

/// What README says becomes of the text of a character set.
fn becomes(charset: Charset) -> &'static str {
    if charset == Charset::Binary {
        return "bytes, and copied";
    }
    if charset == Charset::Latin1 {
        return "converted; it is windows-1252";
    }
    let is_unicode = matches!(charset, Charset::Ucs2 | Charset::Utf16 | Charset::Utf16le | Charset::Utf32);
    match (charset.is_utf8(), is_unicode) {
        (true, _) => "checked, and copied",
        (false, true) => "converted",
        (false, false) => "converted by MySQL's table",
    }
}

/// How many codes of up to three bytes are text, but not in a key.
fn refused_in_keys(charset: Charset) -> usize {
    let one = (0..=u8::MAX).map(|byte| vec![byte]);
    let two = (0..=u16::MAX).map(|code| code.to_be_bytes().to_vec());
    let three = (0..=u16::MAX).map(|code| [&[0x8f][..], &code.to_be_bytes()].concat());
    let is_text = |code: &[u8], purpose| charset.decode(code, purpose, &mut Vec::new()).is_ok();
    let is_one = |code: &[u8]| (1..code.len()).all(|at| !is_text(&code[..at], Use::Value));
    let codes = one.chain(two).chain(three);
    codes.filter(|code| is_text(code, Use::Value) && !is_text(code, Use::Key) && is_one(code)).count()
}

/// Types of ClickHouse: what README calls them together, and the ones that stand for them here.
const CHOICES: &[(&str, &[&str])] = &[
    (
        "integers",
        &[
            "Int8", "Int16", "Int32", "Int64", "Int128", "Int256", "UInt8", "UInt16", "UInt32", "UInt64", "UInt128",
            "UInt256",
        ],
    ),
    ("Int64", &["Int64"]),
    ("Bool", &["Bool"]),
    ("Float32", &["Float32"]),
    ("Float64", &["Float64"]),
    ("Decimal", &["Decimal(9, 2)", "Decimal(20, 5)", "Decimal(76, 40)"]),
    ("Date", &["Date"]),
    ("Date32", &["Date32"]),
    ("DateTime", &["DateTime", "DateTime('UTC')"]),
    ("DateTime of any zone", &["DateTime('Asia/Tokyo')"]),
    ("DateTime64", &["DateTime64(0)", "DateTime64(2, 'UTC')", "DateTime64(9, 'UTC')"]),
    ("DateTime64 of any zone", &["DateTime64(2, 'Asia/Tokyo')"]),
    ("Time64", &["Time64(2)", "Time64(6)"]),
    ("String", &["String"]),
    ("UUID", &["UUID"]),
    ("Enum8", &["Enum8('a' = 1, 'b' = 2)"]),
    ("Enum16", &["Enum16('' = 0, 'b' = 300, 'a' = 1)"]),
    ("JSON", &["JSON"]),
    ("nothing else", &[]),
    (
        "never",
        &[
            "Array(Float32)",
            "FixedString(16)",
            "Map(String, Int8)",
            "JSON(a UInt8)",
            "Enum8('a' = 1)",
            "Decimal(77, 1)",
            "IPv4",
        ],
    ),
];

/// As [`source_type`], with the lengths that matter for a choice.
fn chosen_source(name: &str) -> SourceType {
    let (data_type, octets, precision) = match name {
        "BINARY(16)" => ("binary", Some(16), None),
        "VARBINARY(16)" => ("varbinary", Some(16), None),
        "BIT(1)" => ("bit", None, Some(1)),
        // Too short for a UUID's text.
        "CHAR" | "VARCHAR" => (name, Some(35), None),
        _ => return source_type(name),
    };
    let (data_type, column_type) = (data_type.to_lowercase(), name.to_lowercase());
    let charset = data_type.ends_with("char").then(|| "utf8mb4".to_owned());
    ColumnType { data_type, column_type, precision, octets, charset, ..ColumnType::default() }.source_type()
}

/// Every pair of a type of MySQL and one of ClickHouse: README's table names those that there are, and no other.
#[test]
fn chosen_types() {
    let (mut wrong, mut variants) = (Vec::new(), BTreeSet::new());
    for row in table("MySQL column") {
        let told: BTreeSet<&str> = items(&row[1])
            .into_iter()
            .flat_map(|name| {
                let found = CHOICES.iter().find(|(choice, _)| *choice == name);
                found.unwrap_or_else(|| panic!("{name} is not known here")).1.iter().copied()
            })
            .collect();
        for name in items(&row[0]) {
            let ty = chosen_source(name);
            variants.insert(variant(&ty));
            let column = SourceColumn { name: "c".to_owned(), ty, nullable: false };
            let features = TargetFeatures { time64: true };
            for target in CHOICES.iter().flat_map(|(_, targets)| targets.iter().copied()).collect::<BTreeSet<_>>() {
                let is_taken = accepts(&column, false, features, target).is_ok();
                let is_default = fit(&column, false, target).is_ok_and(|fit| fit.form == Form::Default);
                if is_taken != told.contains(target) && !is_default {
                    wrong.push(format!("{name} in {target} is {}", if is_taken { "taken" } else { "refused" }));
                }
            }
        }
    }
    wrong.extend(VARIANTS.iter().filter(|it| !variants.contains(*it)).map(|it| format!("no choice for {it}")));
    report(&wrong);
}

#[test]
fn policies_and_reasons() {
    let mut wrong = Vec::new();
    for row in table("`on_bad_value`") {
        let (policy, is_key) = row[0].strip_suffix(" in a key").map_or((row[0].as_str(), false), |name| (name, true));
        let on_bad_value: OnBadValue = toml::Value::from(policy).try_into().unwrap();
        let column = SourceColumn { name: "c".to_owned(), ty: SourceType::Date, nullable: false };
        let choice = ColumnChoice { ty: None, on_bad_value };
        let found = chosen_type(&column, is_key, false, TargetFeatures { time64: true }, choice);
        let found = found.unwrap_or_else(|_| "refused".to_owned());
        if found != row[1] {
            wrong.push(format!("{} becomes {found}, README says {}", row[0], row[1]));
        }
    }
    let told: Vec<String> = table("reason").into_iter().map(|row| row[0].clone()).collect();
    if told != REASONS {
        wrong.push(format!("the reasons are {REASONS:?}, README says {told:?}"));
    }
    report(&wrong);
}

/// Every character set of MySQL 9.7 is carried over, as README says.
#[test]
fn character_sets() {
    let mut wrong = Vec::new();
    let rows = table("character sets");
    for &charset in Charset::ALL {
        let (data_type, name) = ("varchar".to_owned(), charset.name().to_owned());
        let ty = ColumnType { data_type, octets: Some(40), charset: Some(name), ..ColumnType::default() };
        assert_eq!(ty.source_type(), SourceType::VarChar { max_bytes: 40, charset });
        let told: Vec<&str> =
            rows.iter().filter(|row| items(&row[0]).contains(&charset.name())).map(|row| row[1].as_str()).collect();
        match told[..] {
            [told] if told.starts_with(becomes(charset)) => {}
            _ => wrong.push(format!("{charset} is {}, README says {told:?}", becomes(charset))),
        }
    }
    let others = table("character set");
    for &charset in Charset::ALL {
        let told = others.iter().find(|row| row[0] == charset.name()).map_or("0", |row| row[1].as_str());
        let count = refused_in_keys(charset);
        if told != count.to_string() {
            wrong.push(format!("{charset} has {count} other codes, README says {told}"));
        }
    }
    report(&wrong);
}

// --- Events -------------------------------------------------------------------------------------------------------

/// What the router does for each [`Step`](stream_bridge::router::transaction::Step), in README's words. `Nothing` is
/// `position` when the stream's own state changed, else `skipped`.
const STEPS: &[(&str, &str)] = &[
    ("ForgetMaps", "position"),
    ("Map", "applied"),
    ("Rows", "applied"),
    ("Payload", "applied"),
    ("RefusedRows", "quarantine"),
    ("Statement", "statement"),
    ("RolledBack", "copy"),
    ("XaCommitted", "applied"),
    ("UnknownXaCommit", "unverified"),
];

const GROUP: &[(u8, &str)] = &[(33, ""), (2, "BEGIN")];
const XA_GROUP: &[(u8, &str)] = &[(33, ""), (2, "XA START X'61',X'',1")];
const XA_PREPARED: &[(u8, &str)] = &[(33, ""), (2, "XA START X'61',X'',1"), (38, ""), (33, "")];
const GTID_ONLY: &[(u8, &str)] = &[(33, "")];

/// Type codes and names, as they come within a transaction.
const PLAIN: &[(u8, &str)] = &[
    (1, "START_V3"),
    (3, "STOP"),
    (5, "INTVAR"),
    (6, "LOAD"),
    (7, "SLAVE"),
    (8, "CREATE_FILE"),
    (9, "APPEND_BLOCK"),
    (10, "EXEC_LOAD"),
    (11, "DELETE_FILE"),
    (12, "NEW_LOAD"),
    (13, "RAND"),
    (14, "USER_VAR"),
    (15, "FORMAT_DESCRIPTION"),
    (16, "XID"),
    (17, "BEGIN_LOAD_QUERY"),
    (18, "EXECUTE_LOAD_QUERY"),
    (19, "TABLE_MAP"),
    (20, "PRE_GA_WRITE_ROWS"),
    (21, "PRE_GA_UPDATE_ROWS"),
    (22, "PRE_GA_DELETE_ROWS"),
    (23, "WRITE_ROWS_V1"),
    (24, "UPDATE_ROWS_V1"),
    (25, "DELETE_ROWS_V1"),
    (26, "INCIDENT"),
    (28, "IGNORABLE"),
    (29, "ROWS_QUERY"),
    (30, "WRITE_ROWS"),
    (31, "UPDATE_ROWS"),
    (32, "DELETE_ROWS"),
    (35, "PREVIOUS_GTIDS"),
    (36, "TRANSACTION_CONTEXT"),
    (37, "VIEW_CHANGE"),
    (39, "PARTIAL_UPDATE_ROWS"),
    (40, "TRANSACTION_PAYLOAD"),
    (160, "MARIADB_ANNOTATE_ROWS"),
    (161, "MARIADB_BINLOG_CHECKPOINT"),
    (162, "MARIADB_GTID"),
    (163, "MARIADB_GTID_LIST"),
    (164, "MARIADB_START_ENCRYPTION"),
    (165, "MARIADB_QUERY_COMPRESSED"),
    (166, "MARIADB_ROWS_COMPRESSED"),
    (171, "MARIADB_ROWS_COMPRESSED"),
    (200, "unknown"),
];

/// See [`samples`].
type Sample = (&'static str, u8, &'static str, &'static [(u8, &'static str)]);

/// Name, type code, text of a QUERY, and what came before it: first the case that the row speaks of.
fn samples() -> Vec<Sample> {
    let mut samples: Vec<_> = PLAIN.iter().map(|&(code, name)| (name, code, "", GROUP)).collect();
    samples.extend([
        ("HEARTBEAT", 27, "", &[][..]),
        ("ROTATE", 4, "", &[]),
        ("GTID", 33, "", &[]),
        ("ANONYMOUS_GTID", 34, "", &[]),
        ("GTID_TAGGED", 42, "", &[]),
        ("HEARTBEAT_V2", 41, "", &[]),
        ("XA_PREPARE", 38, "", XA_GROUP),
        ("unknown with the flag IGNORABLE", 201, "", GROUP),
        ("QUERY BEGIN", 2, "BEGIN", GTID_ONLY),
        ("QUERY COMMIT", 2, "COMMIT", GROUP),
        ("QUERY ROLLBACK", 2, "ROLLBACK", GROUP),
        ("QUERY SAVEPOINT", 2, "SAVEPOINT `a`", GROUP),
        ("QUERY DDL", 2, "ALTER TABLE t ADD COLUMN c INT", GTID_ONLY),
        ("QUERY DML", 2, "INSERT INTO t VALUES (1)", GROUP),
        ("QUERY XA START", 2, "XA START X'61',X'',1", GTID_ONLY),
        ("QUERY XA END", 2, "XA END X'61',X'',1", XA_GROUP),
        ("QUERY XA COMMIT", 2, "XA COMMIT X'61',X'',1", XA_PREPARED),
        ("QUERY XA COMMIT of an unknown xid", 2, "XA COMMIT X'61',X'',1", GTID_ONLY),
        ("XA_PREPARE in one phase", 38, "ONE PHASE", XA_GROUP),
        ("QUERY XA ROLLBACK", 2, "XA ROLLBACK X'61',X'',1", XA_PREPARED),
    ]);
    samples
}

/// A body that the kind's parser takes.
fn body(code: u8, sql: &str) -> Vec<u8> {
    let rows = || [&[7, 0, 0, 0, 0, 0, 1, 0][..], &[2, 0][..usize::from(code > 25) * 2], &[1, 1, 1, 0, 5]].concat();
    match code {
        2 => [&[0; 13][..], b"\0", sql.as_bytes()].concat(),
        4 => [&4u64.to_le_bytes()[..], b"binlog.000008"].concat(),
        15 => {
            let version: Vec<u8> = b"9.7.4".iter().copied().chain(std::iter::repeat(0)).take(50).collect();
            [&[4, 0][..], &version, &[0, 0, 0, 0, 19], &[0, 13, 0, 8], &[1, 0, 0, 0, 0]].concat()
        }
        16 => vec![0; 8],
        18 => [&[0; 26][..], b"\0LOAD DATA"].concat(),
        23..=25 | 30..=32 | 39 => rows(),
        27 => b"binlog.000007".to_vec(),
        33 | 34 => [&[0][..], &[7; 16], &2u64.to_le_bytes()].concat(),
        // One transaction of the server 0707..
        35 => [&1_u64.to_le_bytes()[..], &[7; 16], &1_u64.to_le_bytes(), &1_u64.to_le_bytes(), &2_u64.to_le_bytes()]
            .concat(),
        38 => [&[u8::from(!sql.is_empty())][..], &[0; 13]].concat(),
        40 => vec![2, 3, 252, 255, 0, 0],
        // Of MySQL 9.7.4: GTID mytag:1, and a heartbeat in binlog.000003.
        41 => [&[1, 13][..], b"binlog.000003", &[2, 1, 245, 0]].concat(),
        42 => unhex(
            "027400000002ea7a3e89029d035d0322c5033d02fd0204f103000000020404060a6d79746167087c0a800c7f389f709a00610610e1041283",
        ),
        _ => vec![0; 20],
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// Gives an event to the stream at the place where the last one ended; the step's name, or the error.
fn advance(stream: &mut Stream, offset: &mut u64, code: u8, flags: u16, sql: &str) -> Result<String, String> {
    let body = body(code, sql);
    let checksum = if code == 15 { 0 } else { 4 };
    let len = 19 + body.len() + checksum;
    let size = u32::try_from(len).unwrap().to_le_bytes();
    let head = [&[0; 4][..], &[code], &[0; 4], &size, &[0; 4], &flags.to_le_bytes()].concat();
    let bytes = [&head[..], &body, &[0; 4][..checksum]].concat();
    let step = stream.advance(&bytes, EventSpan { start: 0, len, offset: *offset });
    *offset += len as u64;
    let name = |text: String| text.split(['(', ' ', '{']).next().unwrap().to_owned();
    step.map(|step| name(format!("{step:?}"))).map_err(|error| error.to_string())
}

/// What the stream does with an event, in README's words.
fn treatment(code: u8, sql: &str, before: &[(u8, &str)], flags: u16) -> String {
    let start = Position { file: "binlog.000007".to_owned(), offset: 1000, ..Position::default() };
    let (mut stream, mut offset) = (Stream::new(Timeline { number: 1, base_file: 6 }, start), 1000);
    for &(code, sql) in before {
        advance(&mut stream, &mut offset, code, 0, sql).unwrap();
    }
    let state = format!("{stream:?}");
    let step = match advance(&mut stream, &mut offset, code, flags, sql) {
        Ok(step) => step,
        Err(error) if error.contains("truncated") => panic!("the sample of type {code} is no event: {error}"),
        Err(_) => return "stop".to_owned(),
    };
    let known = STEPS.iter().find(|(name, _)| *name == step);
    match step.as_str() {
        "Nothing" if state == format!("{stream:?}") => "skipped".to_owned(),
        "Nothing" => "position".to_owned(),
        _ => known.map_or(format!("a step {step}, which STEPS in tests/readme.rs does not know"), |it| it.1.to_owned()),
    }
}

#[test]
fn events() {
    let rows = table("event");
    let told: Vec<(&str, &str)> =
        rows.iter().flat_map(|row| items(&row[0]).into_iter().map(|name| (name, row[1].as_str()))).collect();
    let samples = samples();
    let mut wrong: Vec<String> = Vec::new();
    for &(name, code, sql, before) in &samples {
        let flags = if name.ends_with("IGNORABLE") { 0x80 } else { 0 };
        let found = treatment(code, sql, before, flags);
        match told.iter().filter(|(it, _)| *it == name).map(|it| it.1).collect::<Vec<_>>()[..] {
            [said] if said == found => {}
            [said] => wrong.push(format!("{name} (type {code}): the code's answer is {found}, README says {said}")),
            ref said => wrong.push(format!("{name} (type {code}) stands in {} rows", said.len())),
        }
    }
    let is_tried = |name: &str| samples.iter().any(|sample| sample.0 == name);
    wrong.extend(told.iter().filter(|it| !is_tried(it.0)).map(|it| format!("{}: no event that is known here", it.0)));
    report(&wrong);
}

/// No kind that the code knows is left out of the samples above.
#[test]
fn every_kind_of_event_is_tried() {
    let tried: BTreeMap<u8, &str> = samples().iter().map(|sample| (sample.1, sample.0)).collect();
    let is_of = |kind, code| std::mem::discriminant(&EventKind::from_code(code)) == std::mem::discriminant(&kind);
    let missing: Vec<EventKind> =
        (0..=u8::MAX).map(EventKind::from_code).filter(|kind| !tried.keys().any(|&code| is_of(*kind, code))).collect();
    assert!(missing.is_empty(), "no sample of {missing:?}");
}

// --- Limits -------------------------------------------------------------------------------------------------------

/// What the code says to a value, empty when it takes it.
type Says = fn(u64) -> String;
/// The last value within the limit and the first beyond it, from the numbers in README.
type Bounds = fn(&[u64]) -> (u64, u64);

/// README's first cell without its number, the values on both sides of it, and the code that judges values.
const LIMITS: &[(&str, Bounds, Says)] = &[
    ("MySQL 8.0.1 or newer", |_| (801, 800), mysql_version),
    ("ClickHouse 23.8 or newer", |_| (2308, 2307), clickhouse_version),
    (
        "GiB in one binlog file",
        |told| ((told[0] << 30) - 1, told[0] << 30),
        |offset| said(Timeline::check_offset(offset)),
    ),
    ("binlog files in one timeline", |told| (told[0] - 1, told[0]), |file| version(0, file)),
    ("timelines", |told| (told[0], told[0] + 1), |number| version(number, 0)),
    ("levels in a JSON document", |told| (told[0], told[0] + 1), json_depth),
    ("columns in a table (MySQL's own limit)", |told| (told[0], told[0] + 1), columns),
];

fn said<T>(result: stream_bridge::error::Result<T>) -> String {
    result.err().map_or_else(String::new, |error| error.to_string())
}

fn mysql_version(version: u64) -> String {
    let version = format!("{}.{}.{}", version / 100, version / 10 % 10, version % 10);
    let facts = ServerFacts { version, ..ServerFacts::default() };
    let all = problems(&facts, &Grants::default(), &[], "'x'@'%'");
    all.into_iter().map(|problem| format!("{problem:?}")).find(|text| text.contains("too old")).unwrap_or_default()
}

fn clickhouse_version(version: u64) -> String {
    said(Features::new(&format!("{}.{}.1", version / 100, version % 100), HashSet::new(), true))
}

fn version(number: u64, file: u64) -> String {
    let timeline = Timeline { number: u16::try_from(number).unwrap(), base_file: 1 };
    said(timeline.version(&format!("binlog.{}", file + 1), 4))
}

/// A row whose document has so many arrays around an empty one.
fn json_depth(depth: u64) -> String {
    let around = |inner: Vec<u8>, _| {
        let size = u16::try_from(inner.len() + 6).unwrap().to_le_bytes();
        [&[2, 1, 0, size[0], size[1], inner[0], 7, 0], &inner[1..]].concat()
    };
    let document = (1..depth).fold(vec![2, 0, 0, 4, 0], around);
    let size = u32::try_from(document.len()).unwrap().to_le_bytes();
    let image = [&[0, 7, 0, 0, 0], &size[..], &document].concat();
    let column = |name: &str, ty| SourceColumn { name: name.to_owned(), ty, nullable: false };
    let columns = [column("id", SourceType::Int { bytes: 4, unsigned: false }), column("j", SourceType::Json)];
    let target = [("id", "Int32"), ("j", "String"), ("_version", "UInt64"), ("_is_deleted", "UInt8")];
    let target = target.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
    let plan = RowPlan::compile(&columns, &[0], &target).unwrap();
    let mut rows = RowsCursor::plain(RowsKind::Write, &image, Version(1), Stride::Bytes);
    let limits = Limits { rows: 9, bytes: 1 << 20 };
    said(plan.append_rows(&mut rows, &mut Body::default(), &mut ChunkPool::default(), limits))
}

/// A rows event of so many columns; another error than that of the count is none here.
fn columns(count: u64) -> String {
    let count = u16::try_from(count).unwrap().to_le_bytes();
    let body = [&[7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0xfc][..], &count].concat();
    let size = u32::try_from(19 + body.len()).unwrap().to_le_bytes();
    let bytes = [&[0; 4][..], &[30], &[0; 4], &size, &[0; 6], &body].concat();
    let text = said(RowsEvent::parse(&Event::parse(&bytes, false).unwrap()));
    if text.contains("MySQL allows") { text } else { String::new() }
}

#[test]
fn limits() {
    let mut wrong = Vec::new();
    let rows = table("limit");
    for row in &rows {
        let number = |word: &str| word.replace(',', "").parse::<u64>().ok();
        let told: Vec<u64> = row[0].split(' ').filter_map(number).collect();
        let name = row[0].split(' ').skip_while(|word| number(word).is_some()).collect::<Vec<_>>().join(" ");
        let Some((_, bounds, says)) = LIMITS.iter().find(|limit| limit.0 == name) else {
            wrong.push(format!("{}: LIMITS in tests/readme.rs has no such limit", row[0]));
            continue;
        };
        let (within, beyond) = bounds(&told);
        let (taken, text) = (says(within), says(beyond));
        if !taken.is_empty() || !text.contains(row[2].trim_matches('`')) {
            wrong.push(format!("{}: {within} gives {taken:?}, {beyond} gives {text:?}", row[0]));
        }
    }
    wrong.extend((rows.len() != LIMITS.len()).then(|| format!("{} rows for {} limits", rows.len(), LIMITS.len())));
    report(&wrong);
}
