//! The target side against a real ClickHouse: inserts, what is refused and why, tables, checkpoints, the writer.
//! Each test has a database of its own, made and dropped by the administrator; everything else runs as the account
//! `bridge` with the rights of `conf/clickhouse-privileges.sql`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod broken;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use stream_bridge::checkpoint::{Checkpoint, CopyChunk, Shadow, Store, TableState};
use stream_bridge::clickhouse::check::check_existing;
use stream_bridge::clickhouse::{Client, sql, tables};
use stream_bridge::config::{ClickHouseConfig, Config, Files, Secret};
use stream_bridge::error::{Error, ErrorKind};
use stream_bridge::gtid::GtidSet;
use stream_bridge::guard;
use stream_bridge::message::{Ack, Batch, Job, Origin, Save};
use stream_bridge::position::{Position, Timeline};
use stream_bridge::rowbinary::{self, Body, ChunkPool};
use stream_bridge::schema::catalog::SourceTable;
use stream_bridge::schema::choices::Choices;
use stream_bridge::schema::mapping::TargetFeatures;
use stream_bridge::schema::target::{InsertColumns, TargetColumn, TargetTable};
use stream_bridge::schema::types::{Charset, SourceColumn, SourceType, TableName};
use stream_bridge::writer;
use uuid::Uuid;

const FEATURES: TargetFeatures = TargetFeatures { time64: true };

// --- Servers ----------------------------------------------------------------------------------------------------

/// `http://host:port`, and the administrator's name and password.
fn server() -> (String, String, String) {
    let url = std::env::var("STREAM_BRIDGE_TEST_CLICKHOUSE")
        .expect("STREAM_BRIDGE_TEST_CLICKHOUSE is not set: run `make test`, which starts a ClickHouse and sets it");
    let rest = url.strip_prefix("http://").expect("http://USER:PASSWORD@HOST:PORT");
    let (account, host) = rest.split_once('@').unwrap_or(("default", rest));
    let (user, password) = account.split_once(':').unwrap_or((account, ""));
    (format!("http://{}", host.trim_end_matches('/')), user.to_owned(), password.to_owned())
}

fn config(url: &str, user: &str, password: &str) -> ClickHouseConfig {
    ClickHouseConfig {
        https: None,
        url: url.to_owned(),
        user: user.to_owned(),
        password: Secret::new(password),
        files: Files::default(),
        insert_quorum: 0,
        request_timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(5),
    }
}

fn administrator() -> Client {
    let (url, user, password) = server();
    Client::connect(&config(&url, &user, &password), 2).unwrap()
}

fn bridge() -> Arc<Client> {
    Arc::new(Client::connect(&config(&server().0, "bridge", "bridge-secret"), 4).unwrap())
}

/// A database that is empty now and is dropped when the test has passed.
struct Database(&'static str);

impl Database {
    fn new(name: &'static str) -> Self {
        let database = Self(name);
        database.drop_database();
        tables::create_database(&bridge(), name).unwrap();
        database
    }

    fn drop_database(&self) {
        administrator().query(&format!("DROP DATABASE IF EXISTS {} SYNC", sql::identifier(self.0))).unwrap();
    }

    fn table(&self, table: &str) -> TableName {
        TableName { database: self.0.to_owned(), table: table.to_owned() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.drop_database();
        }
    }
}

// --- Tables and rows --------------------------------------------------------------------------------------------

fn int(name: &str) -> SourceColumn {
    SourceColumn { name: name.to_owned(), ty: SourceType::Int { bytes: 4, unsigned: false }, nullable: false }
}

fn varchar(name: &str) -> SourceColumn {
    let ty = SourceType::VarChar { max_bytes: 400, charset: Charset::Utf8 };
    SourceColumn { name: name.to_owned(), ty, nullable: false }
}

fn source(columns: Vec<SourceColumn>, key: Vec<usize>) -> SourceTable {
    let name = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
    SourceTable { name, columns, key, allows_zero_dates: false, choices: Choices::default() }
}

/// `id Int32, name String`, keyed by `id`.
fn narrow() -> SourceTable {
    source(vec![int("id"), varchar("name")], vec![0])
}

fn insert(client: &Client, table: &TargetTable, body: &Body, query_id: &str) -> Result<(), Error> {
    client.insert(&table.name, &InsertColumns(table.columns.clone()), body, query_id)
}

/// Rows of [`narrow`], version = position in the list + 1.
fn narrow_body(rows: impl Iterator<Item = (i32, String)>) -> Body {
    let (mut body, mut pool) = (Body::default(), ChunkPool::default());
    for ((id, name), version) in rows.zip(1_u64..) {
        body.append(&mut pool, 64, |out| {
            out.extend(id.to_le_bytes());
            rowbinary::string(out, name.as_bytes());
            out.extend(version.to_le_bytes());
            out.push(0);
            Ok::<(), ()>(())
        })
        .unwrap();
    }
    body
}

fn few_rows() -> Body {
    narrow_body((1..=3).map(|id| (id, format!("row {id}"))))
}

fn count(client: &Client, table: &TableName) -> String {
    client.query(&format!("SELECT count() FROM {} FINAL", sql::table(table))).unwrap().trim().to_owned()
}

// --- Inserts ----------------------------------------------------------------------------------------------------

#[test]
fn rows_of_several_chunks_are_read_back() {
    let (database, client) = (Database::new("target_chunks"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    assert!(!tables::has_rows(&client, &table.name).unwrap());
    let body = narrow_body((1..=50_000).map(|id| (id, format!("é{}", "x".repeat(usize::try_from(id).unwrap() % 40)))));
    assert!(body.chunks().len() > 4);
    insert(&client, &table, &body, "target_chunks-1").unwrap();
    let select = format!("SELECT count(), sum(id), sum(length(name)), max(name) FROM {}", sql::table(&table.name));
    let letters: usize = (1..=50_000).map(|id| 2 + id % 40).sum();
    let expected = format!("50000\t1250025000\t{letters}\té{}\n", "x".repeat(39));
    assert_eq!(client.query(&select).unwrap(), expected);
    assert!(tables::has_rows(&client, &table.name).unwrap());
    assert_eq!(tables::max_version(&client, &table.name).unwrap(), 50_000);
    insert(&client, &table, &body, "target_chunks-2").unwrap();
    assert_eq!(count(&client, &table.name), "50000", "a replay changes nothing");
}

#[test]
fn repeated_keys_in_a_body_count_as_written() {
    let (database, client) = (Database::new("target_repeated"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    let mut body = narrow_body((1..=100).map(|version| (7, format!("version {version}"))));
    body.has_changes = true;
    insert(&client, &table, &body, "target_repeated-1").unwrap();
    let select = format!("SELECT count(), max(name) FROM {}", sql::table(&table.name));
    assert_eq!(client.query(&select).unwrap(), "1\tversion 100\n", "optimize_on_insert keeps the last");
}

#[test]
fn a_body_is_one_part_whatever_its_size() {
    let (database, client) = (Database::new("target_one_part"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    administrator().query(&format!("SYSTEM STOP MERGES {}", sql::table(&table.name))).unwrap();
    // More rows than ClickHouse's own block limit, 1,048,449, and more bytes (256 MiB in memory).
    let name = "x".repeat(240);
    let body = narrow_body((1..=1_200_000).map(|id| (id, name.clone())));
    insert(&client, &table, &body, "target_one_part-1").unwrap();
    assert_eq!(active_parts(&client, &table.name), 1);
    insert(&client, &table, &few_rows(), "target_one_part-2").unwrap();
    assert_eq!(active_parts(&client, &table.name), 2);
    assert_eq!(count(&client, &table.name), "1200000");
}

#[test]
fn a_failing_body_leaves_nothing_behind() {
    let (database, client) = (Database::new("target_whole"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    let (mut body, mut pool) = (narrow_body((1..=1_200_000).map(|id| (id, String::new()))), ChunkPool::default());
    let half_a_row = |out: &mut Vec<u8>| {
        out.extend([1, 2]);
        Ok::<(), ()>(())
    };
    body.append(&mut pool, 8, half_a_row).unwrap();
    let error = insert(&client, &table, &body, "target_whole-1").unwrap_err();
    assert_eq!(error.kind, ErrorKind::TargetRefused, "{error}");
    assert!(!tables::has_rows(&client, &table.name).unwrap());
}

#[test]
fn materialized_views_may_write_more() {
    let (database, client) = (Database::new("target_views"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    let statement =
        "CREATE MATERIALIZED VIEW target_views.v ENGINE = MergeTree ORDER BY id AS SELECT id FROM target_views.t";
    administrator().query(statement).unwrap();
    insert(&client, &table, &few_rows(), "target_views-1").unwrap();
    assert_eq!(administrator().query("SELECT count() FROM target_views.v").unwrap(), "3\n");
}

#[test]
fn writes_are_synchronous_and_never_deduplicated() {
    // `deduplicate_insert` came with 26.2.
    let select = "SELECT count() >= 2, countIf(value NOT IN ('0', 'disable')) FROM system.settings \
                  WHERE name IN ('async_insert', 'insert_deduplicate', 'deduplicate_insert')";
    assert_eq!(bridge().query(select).unwrap(), "1\t0\n");
}

#[test]
fn a_wide_table_takes_its_statement_in_the_body() {
    let (database, client) = (Database::new("target_wide"), bridge());
    let columns = (0..1000).map(|number| int(&format!("a column with a long name, number {number}"))).collect();
    let table = tables::create_table(&client, &source(columns, vec![0]), &database.table("t"), None).unwrap();
    let (mut body, mut pool) = (Body::default(), ChunkPool::default());
    let row = |out: &mut Vec<u8>| {
        (0..1000_i32).for_each(|number| out.extend(number.to_le_bytes()));
        out.extend(9_u64.to_le_bytes());
        out.push(0);
        Ok::<(), ()>(())
    };
    body.append(&mut pool, 4096, row).unwrap();
    insert(&client, &table, &body, "target_wide-1").unwrap();
    let select = "SELECT `a column with a long name, number 999`, _version FROM target_wide.t";
    assert_eq!(client.query(select).unwrap(), "999\t9\n");
}

/// What must fail: the account, a change of the target, and whether nothing was written.
#[test]
fn refused_inserts_say_why() {
    let (database, client) = (Database::new("target_refused"), bridge());
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    let check = |client: &Client, target: &TargetTable, body: &Body, kind: ErrorKind, part: &str| {
        let error = insert(client, target, body, &format!("target_refused-{part}-{}", body.rows())).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.text.contains(part) && error.at.table.is_some(), "{error}");
    };
    // The large body is still being sent when the server answers.
    let large = narrow_body((1..=300_000).map(|id| (id, "x".repeat(100))));
    for body in [&few_rows(), &large] {
        let gone = TargetTable { name: database.table("gone"), ..table.clone() };
        check(&client, &gone, body, ErrorKind::TargetRefused, "error 60");
        let mut other_type = table.clone();
        other_type.columns[0].ty = "Int64".to_owned();
        check(&client, &other_type, body, ErrorKind::TargetRefused, "error 117");
        let mut other_name = table.clone();
        other_name.columns[1].name = "nome".to_owned();
        check(&client, &other_name, body, ErrorKind::TargetRefused, "error 16");
        let elsewhere = TargetTable {
            name: TableName { database: "system".to_owned(), table: "one".to_owned() },
            columns: vec![TargetColumn { name: "dummy".to_owned(), ty: "UInt8".to_owned() }],
        };
        check(&client, &elsewhere, body, ErrorKind::TargetDenied, "error 497");
    }
    let floor = "ALTER TABLE target_refused.t ADD CONSTRAINT floor CHECK _version >= 100";
    client.query(floor).unwrap();
    check(&client, &table, &few_rows(), ErrorKind::TargetRefused, "error 469");
    assert!(!tables::has_rows(&client, &table.name).unwrap());
}

/// The password that was read at the start is not the present one any more.
#[test]
fn a_refused_password_is_read_again_from_its_file() {
    let url = server().0;
    let file = std::env::temp_dir().join(format!("stream-bridge-password-{}", std::process::id()));
    let text = format!(
        "[clickhouse]\nurl = {url:?}\nuser = \"bridge\"\npassword_file = {:?}\n[replicate]\ntables = [\"a.b\"]",
        file.display().to_string()
    );
    let config = Config::resolve(&text, &|_| None, &|_| Ok("of yesterday".to_owned())).unwrap().clickhouse;
    std::fs::write(&file, "wrong as well\n").unwrap();
    assert_eq!(Client::connect(&config, 1).err().unwrap().kind, ErrorKind::TargetDenied);
    std::fs::write(&file, "bridge-secret\n").unwrap();
    let client = Client::connect(&config, 1).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(client.ask("SELECT currentUser()").unwrap(), "bridge\n");
}

#[test]
fn a_wrong_password_is_denied_at_once_and_later() {
    let url = server().0;
    for (user, password) in [("bridge", "wrong"), ("nobody", "")] {
        let error = Client::connect(&config(&url, user, password), 1).err().unwrap();
        assert_eq!(error.kind, ErrorKind::TargetDenied, "{error}");
        assert!(error.text.contains("clickhouse.password") && !error.text.contains("wrong"), "{error}");
    }
}

#[test]
fn no_server_is_a_passing_trouble() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for url in [format!("http://127.0.0.1:{port}"), "http://no-such-host.invalid:8123".to_owned()] {
        let error = Client::connect(&config(&url, "bridge", ""), 1).err().unwrap();
        assert_eq!(error.kind, ErrorKind::TargetBusy, "{error}");
        assert!(error.text.contains(&url), "{error}");
    }
}

#[test]
fn an_error_amid_the_rows_of_an_answer_is_found() {
    let client = bridge();
    let select = "SELECT throwIf(arrayJoin(range(4000000)) = 3000000, 'boom') FROM system.one";
    let error = client.query(select).unwrap_err();
    assert!(error.text.contains("error 395") && error.text.contains("boom"), "{error}");
    let rows = client.query("SELECT 'Code: 60. DB::Exception', '\n__exception__\n' FROM system.one").unwrap();
    assert_eq!(rows, "Code: 60. DB::Exception\t\\n__exception__\\n\n", "a value is no error");
}

// --- Tables -----------------------------------------------------------------------------------------------------

#[test]
fn odd_names_are_only_names() {
    let (database, client) = (Database::new("target_`odd\\ 'names'"), bridge());
    let name = database.table("a`b; DROP TABLE \"x\"\\");
    let source = source(vec![int("id`"), varchar("o'q, \\n"), varchar("日本")], vec![1, 0]);
    let table = tables::create_table(&client, &source, &name, None).unwrap();
    let names: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id`", "o'q, \\n", "日本", "_version", "_is_deleted"]);
    let existing = tables::existing_table(&client, &name).unwrap().unwrap();
    assert_eq!(check_existing(&source, &existing, FEATURES), []);
    let (mut body, mut pool) = (Body::default(), ChunkPool::default());
    let row = |out: &mut Vec<u8>| {
        out.extend(1_i32.to_le_bytes());
        rowbinary::string(out, b"key");
        rowbinary::string(out, b"value");
        out.extend(5_u64.to_le_bytes());
        out.push(0);
        Ok::<(), ()>(())
    };
    body.append(&mut pool, 64, row).unwrap();
    insert(&client, &table, &body, "odd `'\\ & id").unwrap();
    assert_eq!(tables::max_version(&client, &name).unwrap(), 5);
    assert_eq!(active_parts(&client, &name), 1);
}

#[test]
fn a_time_column_can_be_created() {
    let (database, client) = (Database::new("target_time"), bridge());
    let time = SourceColumn { name: "at".to_owned(), ty: SourceType::Time { fsp: 6 }, nullable: true };
    let table =
        tables::create_table(&client, &source(vec![int("id"), time], vec![0]), &database.table("t"), None).unwrap();
    let expected = TargetColumn { name: "at".to_owned(), ty: "Nullable(Time64(6))".to_owned() };
    assert_eq!(table.columns[1], expected);
}

#[test]
fn existing_tables_are_checked() {
    let (database, client, admin) = (Database::new("target_existing"), bridge(), administrator());
    let own = "_version UInt64, _is_deleted UInt8";
    let engine = "ReplacingMergeTree(_version, _is_deleted)";
    let source = source(vec![int("id"), int("a b"), varchar("name")], vec![0, 1]);
    let check = |definition: String, parts: &[&str]| {
        admin.query("DROP TABLE IF EXISTS target_existing.t SYNC").unwrap();
        admin.query(&format!("CREATE TABLE target_existing.t {definition}")).unwrap();
        let existing = tables::existing_table(&client, &database.table("t")).unwrap().unwrap();
        let problems = check_existing(&source, &existing, FEATURES);
        assert_eq!(problems.len(), parts.len(), "{definition}: {problems:?}");
        for (problem, part) in problems.iter().zip(parts) {
            assert!(problem.text.contains(part), "{problem:?}");
        }
        // The repairs lead to a table that passes, or to none, which is then created.
        problems.iter().for_each(|problem| drop(admin.query(&problem.repair)));
        let mended = tables::existing_table(&client, &database.table("t")).unwrap();
        let left = mended.map(|existing| check_existing(&source, &existing, FEATURES)).unwrap_or_default();
        assert_eq!(left, [], "{definition}");
        admin.query("DROP TABLE IF EXISTS target_existing.t_before_stream_bridge SYNC").unwrap();
    };
    let columns = "id Int32, `a b` Int32, name String";
    check(format!("({columns}, {own}) ENGINE = {engine} ORDER BY (`a b`, id)"), &[]);
    check(
        format!("({columns}, {own}) ENGINE = {engine} PARTITION BY (id % 8, intDiv(`a b`, 10)) ORDER BY (id, `a b`)"),
        &[],
    );
    check(
        format!("({columns}, {own}, more Int8 DEFAULT 5) ENGINE = {engine} PRIMARY KEY id ORDER BY (id, `a b`)"),
        &[],
    );
    check(format!("({columns}, {own}) ENGINE = MergeTree ORDER BY (id, `a b`)"), &["engine is MergeTree"]);
    check(format!("({columns}, {own}) ENGINE = ReplacingMergeTree(_version) ORDER BY (id, `a b`)"), &["engine"]);
    check(format!("({columns}, {own}) ENGINE = {engine} ORDER BY id"), &["sorting key is (id)"]);
    check(format!("({columns}, {own}) ENGINE = {engine} ORDER BY (id, `a b`, name)"), &["sorting key is"]);
    check(format!("({columns}, {own}) ENGINE = {engine} ORDER BY (id, `a b` + 1)"), &["sorting key is"]);
    check(format!("({columns}, {own}) ENGINE = {engine} ORDER BY tuple()"), &["sorting key is ()"]);
    check(
        format!("({columns}, {own}) ENGINE = {engine} PARTITION BY length(name) ORDER BY (id, `a b`)"),
        &["partition key length(name)"],
    );
    check(format!("(id Int32, `a b` Int32, {own}) ENGINE = {engine} ORDER BY (id, `a b`)"), &["`name` is missing"]);
    check(
        format!("(id Int32, `a b` Int32, name Int8, {own}) ENGINE = {engine} ORDER BY (id, `a b`)"),
        &["`name`: the target's type Int8"],
    );
    check(
        format!("(id Float64, `a b` Int32, name String, {own}) ENGINE = {engine} ORDER BY (id, `a b`)"),
        &["`id`: the target's type Float64"],
    );
    check(format!("({columns}, {own}, more Int8) ENGINE = {engine} ORDER BY (id, `a b`)"), &["no DEFAULT"]);
    check(
        format!("(id Int32, `a b` Int32, name String MATERIALIZED '', {own}) ENGINE = {engine} ORDER BY (id, `a b`)"),
        &["is MATERIALIZED"],
    );
    check(format!("({columns}) ENGINE = Memory"), &["engine is Memory", "sorting key is", "_version", "_is_deleted"]);
    assert_eq!(tables::existing_table(&client, &database.table("none")).unwrap(), None);
}

fn active_parts(client: &Client, name: &TableName) -> u64 {
    tables::active_parts(client).unwrap().into_iter().find(|(table, _)| table == name).unwrap().1
}

// --- State ------------------------------------------------------------------------------------------------------

fn store(database: &Database, pipeline: &str, owner: u128) -> Store {
    let store = Store::new(bridge(), database.0, pipeline, Uuid::from_u128(owner));
    store.create(Duration::from_secs(86_400)).unwrap();
    store
}

fn checkpoint(seq: u64, timeline: u16, offset: u64) -> Checkpoint {
    let position = Position {
        file: "bin'log\n\"`.000042".to_owned(),
        offset,
        gtid_set: None,
        server_uuid: "3e11fa47-71ca-11e1-9e33-c80aa9429562".to_owned(),
        file_timestamp: u32::MAX,
        last_commit_us: 1_700_000_000_123_456,
        ..Position::default()
    };
    Checkpoint { seq, position, timeline: Timeline { number: timeline, base_file: 7 } }
}

#[test]
fn checkpoints_come_back_as_saved() {
    let database = Database::new("target_checkpoints");
    let store = store(&database, "o'main\"", 1);
    assert_eq!(store.load().unwrap(), None);
    let nothing_created = Store::new(bridge(), "target_no_such_state", "main", Uuid::from_u128(1));
    assert_eq!(nothing_created.load().unwrap(), None);
    for checkpoint in [checkpoint(1, 0, 4), checkpoint(2, 0, u64::MAX), checkpoint(2, 0, u64::MAX)] {
        store.save(&checkpoint).unwrap();
        assert_eq!(store.load().unwrap(), Some(checkpoint));
    }
    let mut with_gtid = checkpoint(3, 1, 4);
    with_gtid.position.gtid_set = Some(GtidSet::parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5").unwrap());
    with_gtid.position.last_commit_us = 0;
    store.save(&with_gtid).unwrap();
    let select = "SELECT last_binlog_timestamp, id != toUUID('00000000-0000-0000-0000-000000000000') \
                  FROM target_checkpoints.checkpoints WHERE seq = 1";
    assert_eq!(bridge().query(select).unwrap(), "2023-11-14 22:13:20.123456\t1\n");
    assert_eq!(store.load().unwrap(), Some(with_gtid));
    let mut with_xids = checkpoint(4, 1, 4);
    with_xids.position.settled_xids = ["X'61',X'',1".to_owned(), "'\\".to_owned()].into();
    store.save(&with_xids).unwrap();
    assert_eq!(store.load().unwrap(), Some(with_xids));
    let other = self::store(&database, "other", 1);
    assert_eq!(other.load().unwrap(), None, "pipelines do not see each other");
}

/// Both tables, or one of them: a process may have died between the two.
#[test]
fn tables_of_a_version_that_knew_no_settled_xids_go_on() {
    let database = Database::new("target_upgrade");
    let elder = store(&database, "main", 1);
    elder.save(&checkpoint(1, 0, 4)).unwrap();
    for tables in [&["checkpoints", "checkpoint_latest"][..], &["checkpoint_latest"]] {
        for table in tables {
            let drop = format!("ALTER TABLE {}.{table} DROP COLUMN settled_xids", database.0);
            administrator().query(&drop).unwrap();
        }
        assert_eq!(elder.load().unwrap(), Some(checkpoint(1, 0, 4)));
        administrator_store(&database).create(Duration::from_secs(86_400)).unwrap();
        assert_eq!(elder.load().unwrap(), Some(checkpoint(1, 0, 4)));
    }
    elder.save(&checkpoint(2, 0, 40)).unwrap();
    assert_eq!(elder.load().unwrap(), Some(checkpoint(2, 0, 40)));
}

/// The account may change columns and TTL in the database of its own state only.
fn administrator_store(database: &Database) -> Store {
    Store::new(Arc::new(administrator()), database.0, "main", Uuid::from_u128(1))
}

#[test]
fn the_ttl_takes_the_history_and_never_the_newest() {
    let database = Database::new("target_ttl");
    store(&database, "main", 1).save(&checkpoint(1, 0, 4)).unwrap();
    let engine = |table: &str| tables::existing_table(&bridge(), &database.table(table)).unwrap().unwrap().engine_full;
    assert!(engine("checkpoints").contains("toIntervalSecond(86400)"));
    let short = administrator_store(&database);
    short.create(Duration::from_secs(5)).unwrap();
    assert!(engine("checkpoints").contains("toIntervalSecond(5)"), "{}", engine("checkpoints"));
    bridge().query("TRUNCATE TABLE target_ttl.checkpoints").unwrap();
    assert_eq!(short.load().unwrap().unwrap(), checkpoint(1, 0, 4));
    assert!(!engine("checkpoint_latest").contains("TTL"));
}

#[test]
fn a_second_copy_is_told() {
    let database = Database::new("target_copies");
    let (elder, younger) = (store(&database, "main", 1), store(&database, "main", 2));
    let first = elder.claim(checkpoint(0, 0, 4)).unwrap();
    assert_eq!(first.seq, 3);
    elder.save(&checkpoint(4, 0, 40)).unwrap();
    let loaded = younger.load().unwrap().unwrap();
    assert_eq!(loaded, checkpoint(4, 0, 40));
    assert_eq!(younger.claim(loaded.clone()).unwrap().seq, 7);
    let too_late = store(&database, "main", 3).claim(loaded).unwrap_err();
    assert_eq!(too_late.kind, ErrorKind::SecondCopy, "it was loaded before the younger's claim");
    for seq in [5, 6, 7] {
        let error = elder.save(&checkpoint(seq, 0, 400)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::SecondCopy, "{error}");
        assert!(error.text.contains("`name`"), "{error}");
    }
    // A save of the elder that had read before the younger's claim lands late: it is below, and changes nothing.
    let late = "(`pipeline`, `owner`, `seq`, `file`, `timeline`) VALUES ('main', toUUID('00000000-0000-0000-0000-000000000001'), 5, 'late', 0)";
    for table in ["checkpoints", "checkpoint_latest"] {
        administrator().query(&format!("INSERT INTO target_copies.{table} {late}")).unwrap();
    }
    let newest = || younger.load().unwrap().unwrap();
    assert_eq!((newest().seq, newest().position.offset), (7, 40));
    younger.save(&checkpoint(8, 1, 4)).unwrap();
    let error = elder.save(&checkpoint(100, 0, 4)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::SecondCopy, "a higher timeline is newer whatever its number");
    assert_eq!(newest().seq, 8);
}

/// A claim of a killed process that lands when its successor has claimed is below, whatever the owners' numbers.
#[test]
fn a_late_claim_of_a_killed_process_ends_nobody() {
    let database = Database::new("target_late_claim");
    let (elder, younger) = (store(&database, "main", 1), store(&database, "main", 2));
    elder.save(&checkpoint(4, 0, 40)).unwrap();
    let claim = younger.claim(younger.load().unwrap().unwrap()).unwrap();
    for table in ["checkpoints", "checkpoint_latest"] {
        let late = "(`pipeline`, `owner`, `seq`) VALUES ('main', toUUID('ffffffff-ffff-ffff-ffff-ffffffffffff'), 6)";
        administrator().query(&format!("INSERT INTO {}.{table} {late}", database.0)).unwrap();
    }
    younger.check_owner().unwrap();
    younger.save(&checkpoint(claim.seq + 1, 0, 400)).unwrap();
}

/// Whoever was taken over changes nothing any more: no target, no state. What only looks goes on.
#[test]
fn the_fence_stops_every_change() {
    let database = Database::new("target_fence");
    let day = Duration::from_secs(86_400);
    let enter = |owner| {
        let client = bridge();
        let store = Arc::new(Store::new(Arc::clone(&client), database.0, "main", Uuid::from_u128(owner)));
        let loaded = store.load().unwrap().unwrap_or_else(|| checkpoint(0, 0, 4));
        store.create(day).unwrap();
        (guard::claim(&client, &store, loaded).unwrap(), client, store)
    };
    let create = |client: &Client, table: &str| {
        client.query(&format!("CREATE TABLE {}.{table} (i Int8) ENGINE = MergeTree ORDER BY tuple()", database.0))
    };
    let (_, elder, elders) = enter(1);
    create(&elder, "before").unwrap();
    let (_, younger, _) = enter(2);
    let refused = [
        create(&elder, "after").map(drop),
        elders.save_table_state(&TableState::default()),
        elders.save_chunks(&[CopyChunk::default()]),
        tables::create_database(&elder, &format!("target_fence_{}", std::process::id())),
        elders.check_owner(),
    ];
    for (number, result) in refused.into_iter().enumerate() {
        let error = result.expect_err(&number.to_string());
        assert_eq!(error.kind, ErrorKind::SecondCopy, "{number} {error}");
        assert!(error.text.contains(&format!("process {} on ", std::process::id())), "{error}");
    }
    assert_eq!(tables::existing_table(&elder, &database.table("after")).unwrap(), None);
    assert!(elders.load().unwrap().is_some() && elders.load_table_states().unwrap().is_empty());
    create(&younger, "after").unwrap();
}

/// The save of a plan outlives its process, and lands when another plan of the same copy is under way.
#[test]
fn chunks_of_two_plans_do_not_mix() {
    let database = Database::new("target_chunks");
    let store = store(&database, "main", 1);
    let plan = |plan: u128, ends: [&str; 3]| -> Vec<CopyChunk> {
        let chunk = |(chunk, end): (u32, &str)| CopyChunk {
            table: "d.t".to_owned(),
            version: 1 << 54,
            shadow: Uuid::nil(),
            plan: Uuid::from_u128(plan),
            chunk,
            upper: if end.is_empty() { Vec::new() } else { vec![end.to_owned()] },
            rows: 100,
            done: 0,
        };
        (0..).zip(ends).map(chunk).collect()
    };
    let (late, mut ours) = (plan(1, ["90", "190", ""]), plan(2, ["100", "200", ""]));
    store.save_chunks(&ours).unwrap();
    ours[1].done = 1;
    store.save_chunks(&ours[1..2]).unwrap();
    store.save_chunks(&late).unwrap();
    assert_eq!(store.load_chunks().unwrap(), ours, "or nobody reads the keys from 91 to 100");
}

#[test]
fn table_states_replace_each_other() {
    let database = Database::new("target_states");
    let (main, other) = (store(&database, "main", 1), store(&database, "other", 1));
    let state = |table: &str, state: &str, reason: &str| TableState {
        table: table.to_owned(),
        state: state.to_owned(),
        reason: reason.to_owned(),
        floor: 7,
        shadow: Shadow { id: Uuid::from_u128(5), version: 9, gtid_set: "a:1-5".to_owned() },
        schema: "{\"known\": '\\n'}".to_owned(),
    };
    let odd = state("shop.`a'b\"", "quarantined", "Code: 60. DB::Exception: 'x'\n\\N \"日本\" \t\u{1}");
    main.save_table_state(&state("shop.b", "quarantined", "why")).unwrap();
    main.save_table_state(&odd).unwrap();
    main.save_table_state(&state("shop.b", "streaming", "")).unwrap();
    other.save_table_state(&state("shop.c", "unverified", "")).unwrap();
    assert_eq!(main.load_table_states().unwrap(), [odd, state("shop.b", "streaming", "")]);
    administrator().query("DROP TABLE target_states.table_states SYNC").unwrap();
    let error = main.save_table_state(&state("shop.b", "streaming", "")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TargetDenied, "no table is quarantined for it: {error}");
}

// --- The writer -------------------------------------------------------------------------------------------------

#[test]
fn the_writer_does_each_job_once() {
    let (database, client) = (Database::new("target_writer"), bridge());
    let store = store(&database, "main", 1);
    let table = tables::create_table(&client, &narrow(), &database.table("t"), None).unwrap();
    let columns = Arc::new(InsertColumns(table.columns.clone()));
    let batch = |number, target: &TableName| {
        let columns = Arc::clone(&columns);
        Job::Insert(
            target.clone(),
            Batch {
                table: 3,
                number,
                columns,
                body: few_rows(),
                attempts: 0,
                origin: Origin::Stream,
                leaves_out: false,
            },
        )
    };
    let (jobs, job_list) = crossbeam_channel::bounded(0);
    let (ack_list, acks) = crossbeam_channel::unbounded();
    std::thread::scope(|scope| {
        scope.spawn(|| writer::run(&client, &store, job_list, ack_list));
        jobs.send(batch(1, &table.name)).unwrap();
        jobs.send(batch(2, &database.table("gone"))).unwrap();
        jobs.send(Job::Inspect).unwrap();
        jobs.send(Job::Save(Save::Checkpoint(checkpoint(1, 0, 4)))).unwrap();
        drop(jobs);
    });
    let acks: Vec<_> = acks.iter().collect();
    let [
        Ack::Inserted(first, _, Ok(())),
        Ack::Inserted(second, _, Err(error)),
        Ack::Inspected { parts: Ok(parts), mutations: Ok(_) },
        Ack::Saved(_, Ok(())),
    ] = acks.as_slice()
    else {
        panic!("{acks:?}");
    };
    assert_eq!((first.number, first.body.rows(), second.number, second.body.rows()), (1, 3, 2, 3));
    assert_eq!(error.kind, ErrorKind::TargetRefused, "{error}");
    assert!(parts.contains(&(table.name.clone(), 1)), "{parts:?}");
    assert_eq!(count(&client, &table.name), "3");
}
