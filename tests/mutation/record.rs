//! Records the corpus anew from a real server: `scripts/servers exec cargo test --test mutation -- --ignored record`.
//!
//! A MySQL of its own runs the statements below; what each group of them put into the binary log becomes a file under
//! `corpus/events`, cut out of the server's own file, byte by byte. What a client gets over a connection is taken down
//! by a proxy before the server's socket, and becomes a file under `corpus/packets`.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mysql::prelude::Queryable;
use stream_bridge::gtid::GtidSet;
use stream_bridge::position::Position;

use crate::client::{self, Script};
use crate::corpus;
use crate::support::servers::Servers;

/// A name, and the statements whose events become the file of this name.
type Group = (&'static str, &'static [&'static str]);

const OPTIONS: [&str; 4] =
    ["--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--binlog-row-metadata=FULL", "--log-bin=binlog"];

const GROUPS: &[Group] = &[
    (
        "ddl",
        &[
            "CREATE DATABASE m",
            "USE m",
            "CREATE TABLE a (id INT PRIMARY KEY, `x``y` VARCHAR(9) COMMENT 'it''s, a (\"test\")') ENGINE=InnoDB",
            "ALTER TABLE a ADD COLUMN z INT DEFAULT 7 AFTER id, RENAME COLUMN `x``y` TO y, ALGORITHM=INSTANT",
            "CREATE TABLE b LIKE a",
            "RENAME TABLE a TO c, b TO a",
            "TRUNCATE a",
            "CREATE /* x */ OR REPLACE VIEW v AS SELECT 1 AS `from` -- comment",
            "DROP VIEW v",
            "DROP TABLE IF EXISTS a, c, `nowhere`",
            "CREATE TABLE d (PRIMARY KEY (id)) SELECT 1 AS id, 'x' AS y",
            "SET SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
            "ALTER TABLE \"d\" COMMENT 'a\\', ADD COLUMN \"e\" INT",
            "SET SESSION sql_mode = ''",
            "SET NAMES gbk",
            "CREATE TABLE f (id INT PRIMARY KEY) COMMENT 'x'",
            "SET NAMES utf8mb4",
        ],
    ),
    // Apart from the rows, because the router sets a table aside at its DDL.
    (
        "tables",
        &[
            "CREATE TABLE numbers (id BIGINT UNSIGNED PRIMARY KEY, a TINYINT, b SMALLINT UNSIGNED, c MEDIUMINT, d INT, \
             f FLOAT, g DOUBLE, h DECIMAL(65,30), i DECIMAL(9,2), j DECIMAL(18,0), k DECIMAL(4,4), l BIT(10), m YEAR, n BOOL)",
            "CREATE TABLE texts (id INT PRIMARY KEY, a CHAR(9), b CHAR(255) CHARSET utf8mb4, c VARCHAR(9) CHARSET latin1, \
             d VARCHAR(300) CHARSET ascii, e TINYTEXT, f TEXT CHARSET utf8mb3, g MEDIUMTEXT, h LONGTEXT CHARSET latin1, \
             i BINARY(6), j VARBINARY(9), k TINYBLOB, l BLOB, m LONGBLOB, n ENUM('x','y','é') CHARSET latin1, \
             o SET('r','s','t'), p ENUM('p','q'))",
            "CREATE TABLE times (id DATETIME(3) PRIMARY KEY, a DATE, b TIME, c TIME(1), d TIME(6), e DATETIME, f DATETIME(6), \
             g TIMESTAMP NULL, h TIMESTAMP(2) NULL, i TIMESTAMP(6) NULL)",
            "CREATE TABLE documents (id INT PRIMARY KEY, j JSON)",
            "CREATE TABLE others (a INT, b VARCHAR(20), g GEOMETRY, p POINT NOT NULL SRID 4326, v VECTOR(4), \
             s VARCHAR(9) AS (concat(b, 'x')) STORED, w INT AS (a + 1) VIRTUAL, i INT INVISIBLE, PRIMARY KEY (b, a))",
            "CREATE TABLE parts (id INT PRIMARY KEY, x INT) PARTITION BY HASH (id) PARTITIONS 4",
            "CREATE TABLE prefix (a VARCHAR(100), b INT, PRIMARY KEY (a(10), b))",
            "CREATE TABLE keyless (a INT, b INT)",
            "CREATE TABLE parent (id INT PRIMARY KEY)",
            "CREATE TABLE child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
            "CREATE TABLE myisam (id INT PRIMARY KEY) ENGINE=MyISAM",
            "CREATE TABLE numbered (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20))",
        ],
    ),
    (
        "numbers",
        &[
            "INSERT INTO numbers VALUES (1, -128, 65535, -8388608, -2147483648, 1.5, -2.5e300, -99999999999999999999999999999999999.999999999999999999999999999999, -1.25, 7, 0.9999, b'1000000001', 2026, 1), \
             (18446744073709551615, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
            "UPDATE numbers SET a = 5, id = 9 WHERE id = 1",
            "DELETE FROM numbers",
        ],
    ),
    (
        "texts",
        &[
            "INSERT INTO texts VALUES (1, 'äöü', 'x', 'é', 'ascii', 'tiny', 'text', 'medium', 'long é', x'0102', x'00ff', \
             x'01', x'02', repeat('b', 300), 'é', 'r,t', 'q')",
            "INSERT INTO texts (id) VALUES (2)",
            "UPDATE texts SET d = repeat('d', 300), n = NULL, o = '', id = id + 2",
            "DELETE FROM texts WHERE id = 3",
        ],
    ),
    (
        "times",
        &[
            "INSERT INTO times VALUES ('2026-01-02 03:04:05.678', '2026-02-29', '-838:59:59', '-00:00:00.1', '12:00:00.000001', \
             '1000-01-01', '9999-12-31 23:59:59.999999', '1970-01-01 00:00:01', '2038-01-19 03:14:07.99', now(6))",
            "INSERT INTO times (id) VALUES ('2026-01-02')",
            "UPDATE times SET a = '0000-00-00', e = '2024-00-15'",
        ],
    ),
    (
        "documents",
        &[
            "INSERT INTO documents VALUES (1, '{\"a\": 1, \"bb\": [true, false, null, -1, 70000, 5000000000, 1.5e10, \"text\"], \"c\": {}}'), \
             (2, 'null'), (3, '18446744073709551615'), (4, '[[[[[[[[[[1]]]]]]]]]]')",
            "INSERT INTO documents VALUES (5, JSON_OBJECT('d', 1.10, 't', CAST('12:34:56.7' AS TIME(6)), 'n', CAST('-1:00' AS TIME), \
             'dt', CAST('2026-01-02 03:04:05' AS DATETIME), 'day', CAST('2026-01-02' AS DATE), 'b', x'00ff', 'bit', b'101'))",
            "INSERT INTO documents SELECT 6, JSON_ARRAYAGG(repeat('x', 40)) FROM information_schema.COLLATIONS WHERE ID < 60",
            "INSERT INTO documents SELECT 7, JSON_OBJECTAGG(COLLATION_NAME, JSON_ARRAY(ID, repeat('y', 1000))) \
             FROM information_schema.COLLATIONS WHERE ID < 80",
            "INSERT INTO documents VALUES (8, '\"\\\\u0001 \\\\\" \\\\\\\\ é 𝄞\"'), (9, '-0.0'), (10, '1e-320')",
        ],
    ),
    (
        "partial_json",
        &[
            "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
            "UPDATE documents SET j = JSON_SET(j, '$.a', 2, '$.new', JSON_ARRAY(1, 'x')) WHERE id = 1",
            "UPDATE documents SET j = JSON_REMOVE(JSON_REPLACE(j, '$.bb[0]', 'y'), '$.bb[7]') WHERE id = 1",
            "UPDATE documents SET id = 11 WHERE id = 2",
            "SET SESSION binlog_row_value_options = ''",
        ],
    ),
    (
        "others",
        &[
            "INSERT INTO others (a, b, g, p, v) VALUES (1, 'x', ST_GeomFromText('LINESTRING(0 0,1 1)'), \
             ST_GeomFromText('POINT(1 2)', 4326), TO_VECTOR('[1,2,3,4]'))",
            "INSERT INTO parts VALUES (1, 1), (2, 2)",
            "UPDATE parts SET id = id + 2",
            "INSERT INTO prefix VALUES ('x', 1)",
            "INSERT INTO keyless VALUES (1, 2), (1, 2)",
        ],
    ),
    ("cascades", &["INSERT INTO parent VALUES (1)", "INSERT INTO child VALUES (1, 1), (2, 1)", "DELETE FROM parent"]),
    (
        "images",
        &[
            "SET SESSION binlog_row_image = 'MINIMAL'",
            "UPDATE documents SET j = '[1]' WHERE id = 3",
            "SET SESSION binlog_row_image = 'NOBLOB'",
            "UPDATE texts SET a = 'b'",
            "SET SESSION binlog_row_image = 'FULL'",
        ],
    ),
    (
        "compressed",
        &[
            "SET SESSION binlog_transaction_compression = ON",
            "BEGIN",
            "INSERT INTO parts VALUES (10, 1), (11, 2), (12, 3)",
            "SAVEPOINT s",
            "UPDATE parts SET id = id + 100 WHERE id > 9",
            "INSERT INTO keyless SELECT ID, ID FROM information_schema.COLLATIONS WHERE ID < 100",
            "DELETE FROM parts WHERE id > 100",
            "UPDATE texts SET b = 'compressed'",
            "COMMIT",
            "SET SESSION binlog_transaction_compression = OFF",
        ],
    ),
    (
        "savepoints",
        &[
            "SET SESSION binlog_rows_query_log_events = ON",
            "BEGIN",
            "INSERT INTO parts VALUES (20, 1)",
            "SAVEPOINT `a b`",
            "INSERT INTO parts VALUES (21, 1)",
            "ROLLBACK TO `a b`",
            "INSERT INTO parts VALUES (22, 1)",
            "COMMIT",
            "INSERT INTO myisam VALUES (1)",
            "SET SESSION binlog_rows_query_log_events = OFF",
        ],
    ),
    (
        "xa",
        &[
            "XA START 'one', 'two', 3",
            "INSERT INTO parts VALUES (30, 1)",
            "XA END 'one', 'two', 3",
            "XA PREPARE 'one', 'two', 3",
            "XA COMMIT 'one', 'two', 3",
            "XA START 'back'",
            "INSERT INTO parts VALUES (31, 1)",
            "XA END 'back'",
            "XA PREPARE 'back'",
            "XA ROLLBACK 'back'",
            "XA START 'phase'",
            "INSERT INTO parts VALUES (32, 1)",
            "XA END 'phase'",
            "XA COMMIT 'phase' ONE PHASE",
        ],
    ),
    (
        "statements",
        &[
            "SET SESSION binlog_format = 'STATEMENT'",
            "SET @v = 'user variable'",
            "INSERT INTO numbered (v) VALUES (@v), (RAND())",
            "SELECT v FROM numbered INTO OUTFILE 'numbered.txt'",
            "LOAD DATA INFILE 'numbered.txt' INTO TABLE numbered (v)",
            "SET SESSION binlog_format = 'ROW'",
        ],
    ),
    (
        "tagged",
        &[
            "SET SESSION gtid_next = 'AUTOMATIC:some_tag'",
            "INSERT INTO parts VALUES (40, 1)",
            "SET SESSION gtid_next = 'AUTOMATIC'",
        ],
    ),
    (
        "minimal_metadata",
        &[
            "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
            "INSERT INTO texts (id, a) VALUES (50, 'x')",
            "INSERT INTO numbers (id) VALUES (50)",
            "SET GLOBAL binlog_row_metadata = 'FULL'",
        ],
    ),
];

#[test]
#[ignore = "records the corpus anew"]
fn record_the_corpus() {
    let servers = Servers::own_mysql("mutation", &OPTIONS);
    let mut server = servers.mysql.connect();
    // A beginning of its own, without what the installation wrote.
    server.query_drop("RESET BINARY LOGS AND GTIDS").unwrap();
    let (file, start) = end_of_log(&mut server);
    cut("head", &log_path(&mut server, &file), 4, start);
    for (name, statements) in GROUPS {
        let (_, start) = end_of_log(&mut server);
        for statement in *statements {
            server.query_drop(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
        let (file, end) = end_of_log(&mut server);
        cut(name, &log_path(&mut server, &file), start, end);
    }
    let path = log_path(&mut server, &file);
    let (_, start) = end_of_log(&mut server);
    server.query_drop("FLUSH BINARY LOGS").unwrap();
    cut("rotate", &path, start, std::fs::metadata(&path).unwrap().len());
    let (file, head) = end_of_log(&mut server);
    cut("next_head", &log_path(&mut server, &file), 4, head);
    let executed: String = server.query_first("SELECT @@gtid_executed").unwrap().unwrap();
    server.query_drop("INSERT INTO m.parts VALUES (60, 1), (61, 1)").unwrap();
    record_packets(&servers, &mut server, &file, &executed);
}

fn end_of_log(server: &mut mysql::Conn) -> (String, u64) {
    let row: mysql::Row = server.query_first("SHOW BINARY LOG STATUS").unwrap().unwrap();
    (row.get(0).unwrap(), row.get(1).unwrap())
}

fn log_path(server: &mut mysql::Conn, file: &str) -> PathBuf {
    let base: String = server.query_first("SELECT @@log_bin_basename").unwrap().unwrap();
    Path::new(&base).with_file_name(file)
}

fn cut(name: &str, log: &Path, start: u64, end: u64) {
    let bytes = std::fs::read(log).unwrap();
    let part = &bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
    let folder = corpus::folder().join("events");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), part).unwrap();
}

/// One login of each kind, then what the client does with it.
fn record_packets(servers: &Servers, server: &mut mysql::Conn, file: &str, executed: &str) {
    let socket = servers.mysql.socket.clone().expect("scripts/servers tells the socket");
    for statement in [
        "CREATE USER 'right'@'localhost' IDENTIFIED BY 'secret'",
        "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'right'@'localhost'",
        "CREATE USER 'other'@'localhost' IDENTIFIED WITH sha256_password BY 'secret'",
    ] {
        server.query_drop(statement).unwrap();
    }
    // The first login asks for the password itself, the second finds it in the server's cache.
    record("login", &socket, "right", Script::Queries, Position::default());
    record("cached_login", &socket, "right", Script::Queries, Position::default());
    record("denied", &socket, "nobody", Script::Queries, Position::default());
    record("other_plugin", &socket, "other", Script::Queries, Position::default());
    let by_file = Position { file: file.to_owned(), offset: 4, ..Position::default() };
    record("dump", &socket, "right", Script::Dump, by_file.clone());
    let known = Position { gtid_set: Some(GtidSet::parse(executed).unwrap()), ..by_file.clone() };
    record("gtid_dump", &socket, "right", Script::Dump, known);
    let nowhere = Position { file: "binlog.999999".to_owned(), ..by_file };
    record("lost_dump", &socket, "right", Script::Dump, nowhere);
}

/// Runs the script through a proxy, and keeps what the server said.
fn record(name: &str, server: &str, user: &str, script: Script, position: Position) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = UnixStream::connect(server).unwrap();
    let proxy = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let up = std::thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(std::net::Shutdown::Both);
        });
        let said = copy_and_keep(server, client);
        up.join().unwrap();
        said
    });
    let config = client::config(&path, user, "secret", Duration::from_secs(10));
    client::run(script, &config, &position, Some(Duration::from_secs(2)));
    let said = proxy.join().unwrap();
    let folder = corpus::folder().join("packets");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), said).unwrap();
}

fn copy_and_keep(mut from: UnixStream, mut to: UnixStream) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(len) = from.read(&mut buffer) {
        if len == 0 {
            break;
        }
        kept.extend(&buffer[..len]);
        let _ = to.write_all(&buffer[..len]);
    }
    kept
}
