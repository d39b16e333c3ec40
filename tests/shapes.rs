//! Tables of odd shapes, each equal on both sides: generated, invisible and hidden columns, keys that MySQL makes by
//! itself, partitions, hundreds of columns, names with every character that MySQL allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE};
use support::fixture::Fixture;
use support::servers::Servers;

/// Makes the tables, starts the bridge, changes rows, and compares every table.
fn assert_streams(test: &Fixture, tables: &str, changes: &str) {
    test.sql(tables);
    let mut bridge = Bridge::start(&test.config());
    test.sql(changes);
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}

#[test]
fn generated_columns_virtual_and_stored_and_as_a_key() {
    let test = Fixture::new("shapes_generated");
    assert_streams(
        &test,
        "CREATE TABLE plain (id INT NOT NULL PRIMARY KEY, a INT, v BIGINT AS (a * 2) VIRTUAL, s VARCHAR(40) AS (CONCAT('<', a, '>')) STORED, b INT);
         CREATE TABLE keyed (a INT NOT NULL, k VARCHAR(30) AS (CONCAT('k', a)) STORED NOT NULL, note TEXT, PRIMARY KEY (k));
         CREATE TABLE part (a INT NOT NULL, d DATE AS (DATE'2024-01-01' + INTERVAL a DAY) STORED NOT NULL, note TEXT, PRIMARY KEY (a, d));
         CREATE TABLE documents (id INT NOT NULL PRIMARY KEY, j JSON, x INT AS (j->'$.x') VIRTUAL, y JSON AS (j->'$.y') STORED);",
        "INSERT INTO plain (id, a, b) VALUES (1, 10, 1), (2, NULL, 2), (3, -7, 3);
         UPDATE plain SET a = 11 WHERE id = 1;
         UPDATE plain SET b = 9 WHERE id = 2;
         DELETE FROM plain WHERE id = 3;
         INSERT INTO keyed (a, note) VALUES (1, 'one'), (2, 'two'), (3, 'three');
         UPDATE keyed SET a = 20 WHERE a = 2;
         DELETE FROM keyed WHERE a = 3;
         INSERT INTO part (a, note) VALUES (1, 'one'), (59, 'leap'), (-1, 'before');
         UPDATE part SET a = 60 WHERE a = 59;
         DELETE FROM part WHERE a = -1;
         INSERT INTO documents (id, j) VALUES (1, '{\"x\": 5, \"y\": [1, \"é\"]}'), (2, '{}'), (3, NULL);
         UPDATE documents SET j = JSON_SET(j, '$.x', 6) WHERE id < 3;",
    );
    assert_eq!(test.clickhouse("SELECT k FROM `{db}`.keyed FINAL ORDER BY k"), "k1\nk20");
}

/// An index over an expression, and one over a document's elements, are columns that nobody sees.
#[test]
fn hidden_columns_of_functional_indexes() {
    let test = Fixture::new("shapes_hidden");
    assert_streams(
        &test,
        "CREATE TABLE functional (id INT NOT NULL PRIMARY KEY, name VARCHAR(40), n INT, INDEX ((LOWER(name))), UNIQUE ((n + 1)));
         CREATE TABLE multi (id INT NOT NULL PRIMARY KEY, j JSON, n INT, INDEX ((CAST(j->'$.tags' AS UNSIGNED ARRAY))), INDEX (n, (CAST(j->'$.names' AS CHAR(20) ARRAY))));",
        "INSERT INTO functional VALUES (1, 'Ä', 1), (2, NULL, NULL);
         UPDATE functional SET name = 'B', n = 7 WHERE id = 2;
         INSERT INTO multi VALUES (1, '{\"tags\": [1, 2, 3], \"names\": [\"a\", \"b\"]}', 1), (2, '{\"tags\": []}', 2), (3, NULL, 3);
         UPDATE multi SET j = '{\"tags\": [7]}' WHERE id = 1;
         DELETE FROM multi WHERE id = 2;",
    );
}

#[test]
fn invisible_columns_and_keys_that_mysql_makes() {
    let test = Fixture::new("shapes_invisible");
    assert_streams(
        &test,
        "CREATE TABLE invisible (id INT NOT NULL PRIMARY KEY, a INT INVISIBLE, b VARCHAR(10) DEFAULT 'b', c INT NOT NULL DEFAULT 7 INVISIBLE);
         CREATE TABLE hidden_key (note TEXT, id INT NOT NULL AUTO_INCREMENT PRIMARY KEY INVISIBLE);
         SET sql_generate_invisible_primary_key = ON;
         CREATE TABLE gipk (note VARCHAR(20), n INT);
         SET sql_generate_invisible_primary_key = OFF;",
        "INSERT INTO invisible VALUES (1, 'x'), (2, 'y');
         INSERT INTO invisible (id, a, c) VALUES (3, 30, 31);
         UPDATE invisible SET a = id * 2;
         DELETE FROM invisible WHERE id = 2;
         INSERT INTO hidden_key VALUES ('one'), ('two'), (NULL);
         DELETE FROM hidden_key WHERE note = 'two';
         INSERT INTO gipk VALUES ('one', 1), ('one', 1), (NULL, NULL);
         UPDATE gipk SET n = my_row_id * 10;
         DELETE FROM gipk WHERE my_row_id = 2;",
    );
    let names = "SELECT arrayStringConcat(groupArray(name), ',') FROM (SELECT name FROM system.columns WHERE database = '{db}' AND table = 'gipk' ORDER BY position)";
    assert_eq!(test.clickhouse(names), "my_row_id,note,n,_version,_is_deleted");
}

/// Rows events of partitioned tables carry the partition before the rows, those of a move between partitions both.
#[test]
fn partitioned_tables() {
    let test = Fixture::new("shapes_partitions");
    assert_streams(
        &test,
        "CREATE TABLE ranges (id INT NOT NULL, y INT NOT NULL, note TEXT, PRIMARY KEY (id, y)) PARTITION BY RANGE (y) (PARTITION p0 VALUES LESS THAN (100), PARTITION p1 VALUES LESS THAN (200), PARTITION p2 VALUES LESS THAN MAXVALUE);
         CREATE TABLE hashes (id INT NOT NULL PRIMARY KEY, note TEXT) PARTITION BY HASH (id) PARTITIONS 300;
         CREATE TABLE sub (id INT NOT NULL, y DATE NOT NULL, PRIMARY KEY (id, y)) PARTITION BY RANGE (YEAR(y)) SUBPARTITION BY HASH (id) SUBPARTITIONS 3 (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);",
        "INSERT INTO ranges VALUES (1, 50, 'a'), (2, 150, 'b'), (3, 250, 'c'), (4, 99, 'd');
         UPDATE ranges SET y = y + 100 WHERE id IN (1, 4);
         UPDATE ranges SET note = 'x' WHERE y >= 150;
         DELETE FROM ranges WHERE id = 2;
         INSERT INTO hashes WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, REPEAT('n', i % 7) FROM n;
         UPDATE hashes SET id = id + 1001 WHERE id % 3 = 0;
         DELETE FROM hashes WHERE id % 5 = 0;
         INSERT INTO sub VALUES (1, '1999-12-31'), (2, '2000-01-01'), (3, '2024-02-29');
         UPDATE sub SET y = '2001-01-01' WHERE id = 1;",
    );
}

/// NULL bitmaps and column bitmaps of 127 bytes; the largest number of columns that InnoDB takes.
#[test]
fn tables_of_hundreds_of_columns() {
    let test = Fixture::new("shapes_wide");
    let columns = |count: usize| {
        let ty = |i: usize| ["INT", "VARCHAR(5)", "DECIMAL(9,2)", "BIT(3)", "ENUM('a','b')", "DATETIME(3)"][i % 6];
        (0..count).map(|i| format!("c{i} {} NULL", ty(i))).collect::<Vec<_>>().join(", ")
    };
    let values = |count: usize, row: usize| {
        let value = |i: usize| ["-7", "'é'", "1.05", "5", "'b'", "'2024-02-29 01:02:03.004'"][i % 6];
        let cell = |i: usize| if (i + row).is_multiple_of(row + 2) { "NULL" } else { value(i) };
        (0..count).map(cell).collect::<Vec<_>>().join(", ")
    };
    let counts = [300, 1016];
    let mut changes = String::new();
    for count in counts {
        for row in 0..9 {
            changes += &format!("INSERT INTO w{count} VALUES ({row}, {});\n", values(count, row));
        }
        changes += &format!("UPDATE w{count} SET c0 = id, c{} = NULL WHERE id > 3;\n", count - 1);
        changes += &format!("DELETE FROM w{count} WHERE id = 8;\n");
    }
    let tables =
        counts.map(|count| format!("CREATE TABLE w{count} (id INT NOT NULL PRIMARY KEY, {});\n", columns(count)));
    assert_streams(&test, &tables.concat(), &changes);
}

/// What other engines log is the same rows.
#[test]
fn other_engines_and_row_formats() {
    let test = Fixture::new("shapes_engines");
    let options = ["ENGINE=MyISAM", "ENGINE=MEMORY", "ROW_FORMAT=COMPRESSED", "ROW_FORMAT=REDUNDANT"];
    let create = |(i, options): (usize, &&str)| {
        format!("CREATE TABLE t{i} (id INT NOT NULL PRIMARY KEY, s VARCHAR(30), d DATETIME(6)) {options};\n")
    };
    let change = |i: usize| {
        format!(
            "INSERT INTO t{i} VALUES (1, 'é', '2024-01-01 00:00:00.5'), (2, NULL, NULL), (3, '', NULL);\nUPDATE t{i} SET s = 'new' WHERE id = 2;\nDELETE FROM t{i} WHERE id = 3;\n"
        )
    };
    let tables: String = options.iter().enumerate().map(create).collect();
    assert_streams(&test, &tables, &(0..4).map(change).collect::<String>());
}

/// Columns that ALTER TABLE added and dropped at once, without writing the rows anew.
#[test]
fn instant_columns() {
    let test = Fixture::new("shapes_instant");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a INT, b VARCHAR(10) NOT NULL, c INT);
         INSERT INTO t VALUES (1, 1, 'one', 1), (2, 2, 'two', 2);
         ALTER TABLE t ADD COLUMN d VARCHAR(10) NOT NULL DEFAULT 'd' AFTER a, ALGORITHM=INSTANT;
         ALTER TABLE t DROP COLUMN c, ALGORITHM=INSTANT;
         ALTER TABLE t ADD COLUMN c DATE FIRST, ALGORITHM=INSTANT;
         ALTER TABLE t RENAME COLUMN b TO bb;",
    );
    let mut config = test.config();
    config.set("mysql.start", "current");
    let mut bridge = Bridge::start(&config);
    test.sql("UPDATE t SET a = a + 1;\nINSERT INTO t (id, bb) VALUES (3, 'three');\nUPDATE t SET id = 4 WHERE id = 1;");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Every ASCII character but NUL may stand in a name, and every other one of 16 bits.
#[test]
fn names_of_every_character() {
    let servers = Servers::shared();
    let test = Fixture::named(servers, format!("sb shapes.\"näme\" '日本' 100% {}", std::process::id()));
    let names = [
        "back`quote``s",
        "double\"quote",
        "single'quote",
        "a.b",
        "a b c",
        "tab\tand\nline",
        "back\\slash \\n \\",
        "per%cent_",
        "ünïcödé 日本語",
        "-- comment",
        "/* comment */",
        "SELECT",
        "1",
        "$dollar{brace}",
        "<&;>",
        "a,b",
        "*",
        "(id)",
        "?",
        "\u{1}\u{7f}",
    ];
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let longest = "n".repeat(64);
    let mut tables = names.to_vec();
    tables.push(&longest);
    let all: Vec<String> =
        names.iter().chain([&longest.as_str()]).map(|name| format!("{} INT", quoted(name))).collect();
    for table in &tables {
        let columns = all.join(", ");
        test.execute(&format!(
            "CREATE TABLE {} (`k.e``y` INT NOT NULL, {columns}, PRIMARY KEY (`k.e``y`))",
            quoted(table)
        ));
    }
    let mut config = test.config();
    config.set("replicate.tables", vec![format!("`{}`.*", test.database)]);
    let state = format!("sb_shapes_names_{}", std::process::id());
    config.set("name", "names").set("state.database", state.as_str());
    let mut bridge = Bridge::start(&config);
    for table in &tables {
        let table = quoted(table);
        let values = vec!["7"; all.len()].join(", ");
        test.execute(&format!("INSERT INTO {table} VALUES (1, {values}), (2, {values}), (3, {values})"));
        test.execute(&format!("UPDATE {table} SET {} = NULL WHERE `k.e``y` = 2", quoted(names[0])));
        test.execute(&format!("DELETE FROM {table} WHERE `k.e``y` = 3"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    drop(bridge);
    test.clickhouse(&format!("DROP DATABASE {state} SYNC"));
}
