//! Rows read by SELECT against the same rows in the binary log: byte by byte the same RowBinary.
//!
//! `types` and `shapes` prove, by the two servers' own texts, that what is made of the log is right; so what is equal to
//! it is right too. Then the ways in which a SELECT ends, and how fast its rows become RowBinary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use mysql::prelude::Queryable;
use stream_bridge::binlog::control::FormatDescription;
use stream_bridge::binlog::event::{Event, EventKind};
use stream_bridge::binlog::rows::RowsEvent;
use stream_bridge::binlog::table_map::TableMap;
use stream_bridge::config::MysqlConfig;
use stream_bridge::error::ErrorKind;
use stream_bridge::message::Budget;
use stream_bridge::mysql::dump::{Dump, Incoming};
use stream_bridge::mysql::select::{Select, select_list};
use stream_bridge::mysql::source::{Source, quoted};
use stream_bridge::mysql::tables;
use stream_bridge::position::{Position, Version};
use stream_bridge::rowbinary::{Body, ChunkPool};
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::mapping::{TargetFeatures, target_type};
use stream_bridge::schema::target::TargetColumn;
use stream_bridge::schema::types::SourceColumn;
use stream_bridge::transcode::packet::{PacketPlan, copy_columns};
use stream_bridge::transcode::{Limits, RowPlan, RowsCursor};
use support::fixture::Fixture;
use support::servers::Servers;
use support::values::wide;
use uuid::Uuid;

const VERSION: Version = Version(1 << 54 | 4711);
const ONE_ROW: Limits = Limits { rows: 1, bytes: usize::MAX };
const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of RowBinary, one by one.
type Rows = Vec<Vec<u8>>;

/// The configuration of the bridge's own account, as the program reads it.
fn config(test: &Fixture) -> MysqlConfig {
    let text = std::fs::read_to_string(test.config().write()).unwrap();
    stream_bridge::config::Config::resolve(&text, &|_| None, &|_| Err("no files".to_owned())).unwrap().mysql
}

/// The default plan of a table with these columns, compiled as `compiled`.
fn row_plan(columns: &[SourceColumn], compiled: &[SourceColumn], key: &[usize]) -> RowPlan {
    let features = TargetFeatures { time64: true };
    let target = |(index, column): (usize, &SourceColumn)| {
        (column.name.clone(), target_type(column, key.contains(&index), true, features).unwrap())
    };
    let tail = [("_version", "UInt64"), ("_is_deleted", "UInt8")].map(|(name, ty)| (name.to_owned(), ty.to_owned()));
    let target = columns.iter().enumerate().map(target).chain(tail);
    let target: Vec<TargetColumn> = target.map(|(name, ty)| TargetColumn { name, ty }).collect();
    RowPlan::compile(compiled, key, &target).unwrap()
}

fn append(plan: &RowPlan, images: &[u8], rows: &mut Rows) {
    let mut cursor = RowsCursor::copied(images, VERSION);
    while !cursor.rest.is_empty() {
        let mut body = Body::default();
        plan.append_rows(&mut cursor, &mut body, &mut ChunkPool::default(), ONE_ROW).unwrap();
        rows.push(body.chunks().concat());
    }
    assert_eq!(cursor.version, VERSION);
}

/// What the log has of a database's tables since a position.
struct Log {
    database: String,
    config: MysqlConfig,
    start: Position,
}

impl Log {
    fn from_here(test: &Fixture) -> Self {
        let config = config(test);
        let start = Source::connect(&config).unwrap().current_position(false).unwrap();
        Self { database: test.database.clone(), config, start }
    }

    /// The inserted rows of each table, up to the table `last`.
    fn rows_until(&self, last: &str) -> BTreeMap<String, Rows> {
        let budget = Budget::new(1 << 30);
        let mut dump = Dump::start(&self.config, Uuid::new_v4(), &self.start).unwrap();
        let (mut tables, mut rows, mut has_checksum) = (HashMap::new(), BTreeMap::new(), true);
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the log has no row of {last}");
            let Incoming::Chunk(chunk) = dump.read(&budget, || None).unwrap() else { continue };
            for span in &chunk.events {
                let event = Event::parse(&chunk.bytes[span.start..span.start + span.len], has_checksum).unwrap();
                match event.header.kind {
                    EventKind::FormatDescription => {
                        has_checksum = FormatDescription::parse(&event).unwrap().has_checksum;
                    }
                    EventKind::TableMap => self.table(&event, &mut tables),
                    EventKind::WriteRows => insert(&event, &tables, &mut rows),
                    _ => {}
                }
            }
            if rows.contains_key(last) {
                return rows;
            }
            budget.release_chunk(chunk.charged_bytes);
        }
    }

    fn table(&self, event: &Event<'_>, tables: &mut HashMap<u64, Option<(String, RowPlan)>>) {
        let map = TableMap::parse(event).unwrap();
        let is_ours = map.database == self.database;
        let plan = || row_plan(&map.columns, &map.columns, map.primary_key.as_deref().unwrap_or_default());
        tables.insert(map.table_id, is_ours.then(|| (map.table.clone(), plan())));
    }
}

fn insert(event: &Event<'_>, tables: &HashMap<u64, Option<(String, RowPlan)>>, rows: &mut BTreeMap<String, Rows>) {
    let event = RowsEvent::parse(event).unwrap();
    if let Some(Some((table, plan))) = tables.get(&event.table_id) {
        append(plan, event.rows, rows.entry(table.clone()).or_default());
    }
}

/// A database's tables as the catalog has them.
fn tables_of(test: &Fixture) -> Vec<SourceTable> {
    let mut source = Source::connect(&config(test)).unwrap();
    let tables = tables::read(&mut source, &|name, _| name.database == test.database, true).unwrap();
    tables.into_iter().map(|found| found.table).collect()
}

/// A table's rows as a copy reads them, in the order of its first column.
fn copied(select: &mut Select, table: &SourceTable) -> Rows {
    let (packets, plan) = plans(table);
    let list = select_list(&table.columns);
    select.run(&format!("SELECT {list} FROM {} ORDER BY id", quoted(&table.name))).unwrap();
    packets.check(select.columns()).unwrap_or_else(|error| panic!("{}: {error}", table.name));
    let (mut rows, mut image) = (Rows::new(), Vec::new());
    while let Some(packet) = select.next_row().unwrap() {
        packets.append_image(packet, &mut image).unwrap_or_else(|error| panic!("{}: {error}", table.name));
        append(&plan, &image, &mut rows);
        image.clear();
    }
    assert_eq!(select.next_row().unwrap(), None);
    rows
}

fn plans(table: &SourceTable) -> (PacketPlan, RowPlan) {
    let plan = row_plan(&table.columns, &copy_columns(&table.columns), &table.key);
    (PacketPlan::compile(&table.columns, &table.key).unwrap(), plan)
}

/// Every table of the database: what SELECT gives now, and what the log has since `log` began.
fn assert_same(test: &Fixture, log: &Log) {
    test.sql("CREATE TABLE zzz_last (id INT NOT NULL PRIMARY KEY);\nINSERT INTO zzz_last VALUES (1);");
    let logged = log.rows_until("zzz_last");
    let mut select = Select::open(&config(test)).unwrap();
    let tables = tables_of(test);
    assert!(tables.len() > 1);
    for table in tables {
        let (copied, logged) = (copied(&mut select, &table), &logged[&table.name.table]);
        assert_eq!(copied.len(), logged.len(), "{}: rows", table.name);
        assert_eq!(copied.len(), test.row::<usize>(&format!("SELECT COUNT(*) FROM {}", quoted(&table.name))));
        for (index, (copied, logged)) in copied.iter().zip(logged).enumerate() {
            let place = copied.iter().zip(logged).take_while(|(copied, logged)| copied == logged).count();
            let around = |row: &[u8]| row.iter().skip(place.saturating_sub(20)).take(60).copied().collect::<Vec<_>>();
            let (left, right) = (around(copied), around(logged));
            assert!(copied == logged, "{} row {index} byte {place}:\n{left:?}\n{right:?}", table.name);
        }
    }
}

#[test]
fn every_type_is_copied_as_it_is_streamed() {
    let test = Fixture::new("copy_types");
    let tables = wide("NULL");
    tables.iter().for_each(|table| table.create(&test));
    let log = Log::from_here(&test);
    tables.iter().for_each(|table| table.insert(&test));
    tables.iter().for_each(|table| table.insert_nulls(&test));
    assert_same(&test, &log);
}

#[test]
fn every_type_without_null_over_a_socket_of_its_own_server() {
    let test = Fixture::on(Servers::own_mysql("copy", &["--sql-mode="]), "copy_not_null");
    let tables = wide("NOT NULL");
    tables.iter().for_each(|table| table.create(&test));
    let log = Log::from_here(&test);
    tables.iter().for_each(|table| table.insert(&test));
    assert_same(&test, &log);
}

#[test]
fn odd_shapes_are_copied_as_they_are_streamed() {
    let test = Fixture::new("copy_shapes");
    let ty = |i: usize| ["INT", "VARCHAR(5)", "DECIMAL(9,2)", "BIT(3)", "ENUM('a','b')", "DATETIME(3)"][i % 6];
    let value = |i: usize| ["-7", "'é'", "1.05", "5", "'b'", "'2024-02-29 01:02:03.004'"][i % 6];
    let columns: Vec<String> = (0..1000).map(|i| format!("c{i} {} NULL", ty(i))).collect();
    let row = |row: usize| {
        let cell = |i: usize| if (i + row).is_multiple_of(row + 2) { "NULL" } else { value(i) };
        format!("({row}, {})", (0..1000).map(cell).collect::<Vec<_>>().join(", "))
    };
    test.sql(&format!(
        "CREATE TABLE columns1000 (id INT NOT NULL PRIMARY KEY, {});
         CREATE TABLE large (id INT NOT NULL PRIMARY KEY, b LONGBLOB, s LONGTEXT);
         CREATE TABLE computed (id INT NOT NULL PRIMARY KEY, a INT, v BIGINT AS (a * 2) VIRTUAL, s VARCHAR(40) AS (CONCAT('<', a, '>')) STORED, i INT INVISIBLE);
         CREATE TABLE hidden (id INT NOT NULL PRIMARY KEY, name VARCHAR(40), j JSON, INDEX ((LOWER(name))), INDEX ((CAST(j->'$.tags' AS UNSIGNED ARRAY))));
         CREATE TABLE never_given (id INT NOT NULL PRIMARY KEY, j JSON NOT NULL, v VECTOR(2) NOT NULL);
         CREATE TABLE `odd ``name` (id INT NOT NULL PRIMARY KEY, `a``b` INT, `e e` ENUM('x'), `SELECT` SET('y'));
         SET sql_generate_invisible_primary_key = ON;
         CREATE TABLE gipk (id INT, note VARCHAR(20));
         SET sql_generate_invisible_primary_key = OFF;",
        columns.join(", ")
    ));
    let log = Log::from_here(&test);
    for i in 0..9 {
        test.sql(&format!("INSERT INTO columns1000 VALUES {}", row(i)));
    }
    test.sql(
        "INSERT INTO large VALUES (1, REPEAT(UNHEX(SHA2('x', 256)), 655360), NULL), (2, NULL, REPEAT('🎁', 4194304)), (3, X'00', '');
         INSERT INTO large VALUES (4, REPEAT('b', 16777215 - 15), ''), (5, REPEAT('b', 16777215 - 16), ''), (6, REPEAT('b', 16777215 - 17), ''), (7, '', 'x');
         INSERT INTO computed (id, a, i) VALUES (1, 10, 1), (2, NULL, NULL), (3, -7, 3);
         INSERT INTO hidden VALUES (1, 'Ä', '{\"tags\": [1, 2]}'), (2, NULL, NULL);
         INSERT INTO never_given (id) VALUES (1), (2);
         INSERT INTO `odd ``name` VALUES (1, 2, 'x', 'y'), (2, NULL, NULL, '');
         INSERT INTO gipk VALUES (1, 'one'), (2, NULL);",
    );
    assert_same(&test, &log);
}

/// A session that has a table of 1,000 numbers, and a SELECT over it that never ends by itself.
fn endless() -> (Fixture, Select, String) {
    let test = Fixture::new(&format!("copy_ends_{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    test.sql(
        "CREATE TABLE n (n INT NOT NULL PRIMARY KEY);
         INSERT INTO n WITH RECURSIVE r AS (SELECT 1 i UNION ALL SELECT i + 1 FROM r WHERE i < 1000) SELECT i FROM r;",
    );
    let select = Select::open(&config(&test)).unwrap();
    let n = format!("`{}`.n", test.database);
    let sql = format!("SELECT a.n, REPEAT('x', 1000) FROM {n} a, {n} b, {n} c");
    (test, select, sql)
}

fn number(select: &mut Select, sql: &str) -> u64 {
    let rows = select.connection().unwrap().rows(sql).unwrap();
    rows[0].last().unwrap().as_ref().unwrap().parse().unwrap()
}

fn read_to_end(select: &mut Select) -> stream_bridge::error::Result<u64> {
    let mut rows = 0;
    while select.next_row()?.is_some() {
        rows += 1;
    }
    Ok(rows)
}

#[test]
fn a_killed_query_is_an_error_and_the_session_goes_on() {
    let (test, mut select, sql) = endless();
    let id = number(&mut select, "SELECT CONNECTION_ID()");
    select.run(&sql).unwrap();
    assert!(select.next_row().unwrap().is_some());
    assert_eq!(select.connection().unwrap_err().kind, ErrorKind::SourceDown, "rows are under way");
    test.connect().query_drop(format!("KILL QUERY {id}")).unwrap();
    let error = read_to_end(&mut select).unwrap_err();
    assert!(error.kind == ErrorKind::SourceDown && error.text.contains("1317"), "{error}");
    select.run(&format!("SELECT n FROM `{}`.n", test.database)).unwrap();
    assert_eq!(read_to_end(&mut select), Ok(1000));
}

#[test]
fn a_killed_connection_is_an_error_and_stays_one() {
    let (test, mut select, sql) = endless();
    let id = number(&mut select, "SELECT CONNECTION_ID()");
    select.run(&sql).unwrap();
    test.connect().query_drop(format!("KILL {id}")).unwrap();
    assert_eq!(read_to_end(&mut select).unwrap_err().kind, ErrorKind::SourceDown);
    assert!(select.run("SELECT 1").is_err());
}

#[test]
fn many_statements_on_one_session() {
    let (test, mut select, _) = endless();
    let table = format!("`{}`.n", test.database);
    for limit in 0..200 {
        select.run(&format!("SELECT n FROM {table} LIMIT {limit}")).unwrap();
        assert_eq!(read_to_end(&mut select), Ok(limit));
        let error = select.run(&format!("SELECT gone FROM {table}")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TableShape, "{error}");
    }
    let error = select.run(&format!("SELECT 1 FROM `{}`.gone", test.database)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TableShape, "{error}");
    assert_eq!(select.run("SELECT FROM").unwrap_err().kind, ErrorKind::SourceRefused);
    assert_eq!(number(&mut select, "SHOW SESSION STATUS LIKE 'Com_stmt_close'"), 200);
    // What a server sets for all must not cut a copy short.
    assert_eq!(number(&mut select, "SELECT @@sql_select_limit"), u64::MAX);
}

#[test]
fn a_table_that_changes_before_its_rows_are_read_is_noticed() {
    let test = Fixture::new("copy_changed");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, v INT);\nINSERT INTO t VALUES (1, -1)");
    let table = tables_of(&test).remove(0);
    let (packets, _) = plans(&table);
    let mut select = Select::open(&config(&test)).unwrap();
    for ty in ["INT UNSIGNED", "BIGINT", "FLOAT", "VARCHAR(20)"] {
        test.sql(&format!("DELETE FROM t;\nALTER TABLE t MODIFY v {ty}"));
        select.run(&format!("SELECT {} FROM {}", select_list(&table.columns), quoted(&table.name))).unwrap();
        let error = packets.check(select.columns()).unwrap_err();
        assert!(error.kind == ErrorKind::TableShape && error.to_string().contains("column v"), "{ty}: {error}");
        assert_eq!(read_to_end(&mut select), Ok(0));
    }
}

/// User and system time of this thread.
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(statistics.split(' ').next().unwrap().parse().unwrap())
}

/// `cargo test --release --test copy -- --ignored --nocapture`: the narrow rows of `bench/`, from the server to RowBinary.
#[test]
#[ignore = "a measurement"]
fn rows_per_cpu_second() {
    let test = Fixture::new("copy_speed");
    test.sql(
        "SET cte_max_recursion_depth = 100000;
         CREATE TABLE n (n INT NOT NULL PRIMARY KEY);
         INSERT INTO n WITH RECURSIVE r AS (SELECT 0 i UNION ALL SELECT i + 1 FROM r WHERE i < 99999) SELECT i FROM r;
         CREATE TABLE narrow (id BIGINT PRIMARY KEY, a INT, b INT, name VARCHAR(20), price DECIMAL(10, 2), created DATETIME);",
    );
    for first in (0..2_000_000).step_by(100_000) {
        test.sql(&format!("INSERT INTO narrow SELECT {first} + n, n, -n, CONCAT('name-', n), n / 7, '2020-01-01' + INTERVAL n * 61 SECOND FROM n"));
    }
    let tables = tables_of(&test);
    let table = tables.iter().find(|table| table.name.table == "narrow").unwrap();
    let (packets, plan) = plans(table);
    let mut select = Select::open(&config(&test)).unwrap();
    let sql = format!("SELECT {} FROM {}", select_list(&table.columns), quoted(&table.name));
    let (mut pool, mut images) = (ChunkPool::default(), Vec::new());
    for _ in 0..3 {
        let (started, cpu) = (Instant::now(), cpu_time());
        select.run(&sql).unwrap();
        packets.check(select.columns()).unwrap();
        let (mut rows, mut is_more) = (0, true);
        while is_more {
            images.clear();
            while images.len() < 64 << 10 && is_more {
                match select.next_row().unwrap() {
                    Some(packet) => packets.append_image(packet, &mut images).unwrap(),
                    None => is_more = false,
                }
            }
            let mut body = Body::default();
            let limits = Limits { rows: usize::MAX, bytes: usize::MAX };
            plan.append_rows(&mut RowsCursor::copied(&images, VERSION), &mut body, &mut pool, limits).unwrap();
            rows += body.rows();
            pool.recycle(body);
        }
        assert_eq!(rows, 2_000_000);
        let (cpu, clock) = ((cpu_time() - cpu).as_secs_f64(), started.elapsed().as_secs_f64());
        println!("{:.2} M rows per CPU-second, {:.2} M rows per second", 2.0 / cpu, 2.0 / clock);
    }
}
