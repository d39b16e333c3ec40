//! JSON diffs (`binlog_row_value_options=PARTIAL_JSON`) on real servers: random updates of random documents.
//!
//! `STREAM_BRIDGE_TEST_JSON_SEED` chooses the updates, `STREAM_BRIDGE_TEST_JSON_UPDATES` how many there are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE, SourcePosition};
use support::env_number;
use support::fixture::Fixture;
use support::load::Random;

const ROWS: u64 = 60;
/// Statements between two comparisons.
const ROUND: u64 = 2500;
const PARTIAL: &str = "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'";

/// JSON columns on both sides of the key, one NOT NULL, between columns of other types.
const TABLE: &str = "CREATE TABLE t (a JSON, note VARCHAR(200), id INT NOT NULL PRIMARY KEY, b JSON NOT NULL, n INT, \
     c JSON, d JSON, e JSON, f JSON, g JSON, h JSON, z DOUBLE)";
const COLUMNS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "b"];

/// Names of members: plain ones, and ones that a path must quote.
const NAMES: [&str; 14] =
    ["a", "b", "cc", "ddd", "é", "a b", "x.y", "[0]", "q\"q", "b\\s", "", "$", "\u{1}\n\t", "last"];

/// A string in SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Makes documents, paths and updates as SQL.
struct Author(Random);

impl Author {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    /// A value of any kind that JSON can hold.
    fn scalar(&mut self) -> String {
        let number = self.below(100_000);
        match self.below(22) {
            0 => "CAST('null' AS JSON)".to_owned(),
            1 => "true".to_owned(),
            2 => "CAST('false' AS JSON)".to_owned(),
            3 => format!("-{number}"),
            4 => (number % 300).to_string(),
            5 => format!("{number}0000000000"),
            6 => format!("18446744073709{}", 100_000 + number % 400_000),
            7 => format!("CAST('{number}.5e{}' AS JSON)", number % 40),
            8 => format!("{number}e-300"),
            9 => format!("{}.{}", number % 7, number),
            10 => format!("-0.{number}0"),
            11 => "CAST(123456789012345678901234567890.000000001 AS DECIMAL(65,30))".to_owned(),
            12 => format!("DATE'2024-0{}-1{}'", 1 + number % 9, number % 10),
            13 => format!("TIMESTAMP'1999-12-31 23:59:5{}.{number}'", number % 10),
            14 => format!("TIME'-{}:00:01.5'", number % 800),
            15 => format!("CAST(X'00FF{:06X}' AS BINARY)", number),
            16 => format!("b'{:b}'", number),
            17 => format!("REPEAT({}, {})", quoted("añ🎁\"\\\n"), number % 90),
            18 => quoted(self.pick(&NAMES)),
            19 => format!("CAST({number} AS YEAR)").replace(&number.to_string(), &(1901 + number % 200).to_string()),
            20 => format!("ST_GeomFromText('POINT({} {number})')", number % 9),
            _ => "''".to_owned(),
        }
    }

    fn value(&mut self, depth: u64) -> String {
        if depth == 0 || self.below(3) > 0 {
            return self.scalar();
        }
        let count = if self.below(30) == 0 { 60 } else { self.below(5) };
        let is_array = self.below(2) == 0;
        let members: Vec<String> = (0..count).map(|number| self.member(number, is_array, depth - 1)).collect();
        format!("JSON_{}({})", if is_array { "ARRAY" } else { "OBJECT" }, members.join(", "))
    }

    fn member(&mut self, number: u64, is_array: bool, depth: u64) -> String {
        let value = self.value(depth);
        let name = if number < 5 { self.pick(&NAMES).to_owned() } else { format!("k{number}") };
        if is_array { value } else { format!("{}, {value}", quoted(&name)) }
    }

    fn document(&mut self) -> String {
        let parts: Vec<String> = (0..2 + self.below(5)).map(|number| self.member(number, false, 3)).collect();
        format!("JSON_OBJECT('list', JSON_ARRAY({}, {}, 3), {})", self.value(2), self.value(1), parts.join(", "))
    }

    fn leg(&mut self) -> String {
        match self.below(9) {
            0 | 1 => format!("[{}]", self.below(5)),
            2 => "[last]".to_owned(),
            3 => format!("[last-{}]", self.below(3)),
            4 => format!("[{}]", self.below(80)),
            _ => {
                let name = self.pick(&NAMES);
                format!(".{}", serde_json::to_string(name).unwrap())
            }
        }
    }

    fn path(&mut self) -> String {
        let start = if self.below(2) == 0 { "$.list" } else { "$" };
        let legs = (0..1 + self.below(3)).map(|_| self.leg());
        format!("{start}{}", legs.collect::<String>())
    }

    /// Changes that are logged as diffs, nested up to three deep, or a new document.
    fn change(&mut self, column: &str) -> String {
        match self.below(40) {
            0 if column != "b" => return "NULL".to_owned(),
            1 => return "CAST('null' AS JSON)".to_owned(),
            2 => return self.value(3),
            3 | 4 => return self.document(),
            5 => return format!("JSON_ARRAY_APPEND({column}, '$.list', {})", self.value(1)),
            6 => return format!("JSON_ARRAY_INSERT({column}, '$.list[0]', {})", self.value(1)),
            7 => return format!("JSON_MERGE_PATCH({column}, {})", self.document()),
            _ => {}
        }
        (0..1 + self.below(3)).fold(column.to_owned(), |inner, _| self.nested(&inner))
    }

    fn nested(&mut self, inner: &str) -> String {
        let function = self.pick(&["JSON_SET", "JSON_SET", "JSON_REPLACE", "JSON_REMOVE"]);
        let mut arguments = vec![inner.to_owned()];
        for _ in 0..1 + self.below(3) {
            arguments.push(quoted(&self.path()));
            if function != "JSON_REMOVE" {
                arguments.push(self.value(2));
            }
        }
        format!("{function}({})", arguments.join(", "))
    }

    fn update(&mut self) -> String {
        let id = self.below(ROWS);
        let mut set = Vec::new();
        for _ in 0..1 + self.below(3) {
            let column = self.pick(&COLUMNS);
            set.push(format!("{column} = {}", self.change(column)));
        }
        if self.below(8) == 0 {
            set.push(format!("id = {}", self.below(ROWS)));
        }
        if self.below(6) == 0 {
            set.push(format!("n = {id}, note = {}", quoted(self.pick(&NAMES))));
        }
        let rows = if self.below(30) == 0 { format!("id < {id}") } else { format!("id = {id}") };
        format!("UPDATE IGNORE t SET {} WHERE {rows}", set.join(", "))
    }

    fn insert(&mut self, id: u64) -> String {
        let documents: Vec<String> = (0..8).map(|_| self.document()).collect();
        format!("REPLACE INTO t (id, a, b, c, d, e, f, g, h) VALUES ({id}, {})", documents.join(", "))
    }
}

/// How many events of a kind are in the binary log since a position, on the shared server those of all tests.
fn events_since(test: &Fixture, noted: &SourcePosition, kind: &str) -> usize {
    noted.event_kinds_since(test).iter().filter(|found| *found == kind).count()
}

/// A statement that the server refuses changes nothing: a path into what is not there, a document that is too deep.
fn attempt(connection: &mut mysql::Conn, sql: &str) -> bool {
    use mysql::prelude::Queryable;
    match connection.query_drop(sql) {
        Ok(()) => true,
        Err(mysql::Error::MySqlError(_)) => false,
        Err(error) => panic!("{sql}: {error}"),
    }
}

#[test]
fn ten_thousand_random_updates() {
    let seed = env_number("STREAM_BRIDGE_TEST_JSON_SEED", 20_261_124);
    let updates = env_number("STREAM_BRIDGE_TEST_JSON_UPDATES", 10_000);
    println!("STREAM_BRIDGE_TEST_JSON_SEED={seed} STREAM_BRIDGE_TEST_JSON_UPDATES={updates}");
    let test = Fixture::new("partial");
    test.sql(TABLE);
    let mut bridge = Bridge::start(&test.config());
    let mut author = Author(Random::new(seed));
    let mut session = test.connect();
    assert!(attempt(&mut session, PARTIAL));
    for id in 0..ROWS {
        test.sql(&author.insert(id));
    }
    let noted = SourcePosition::now(&test);
    let (mut done, mut tried) = (0, 0);
    while done < updates {
        // Many small transactions cost a log flush each; larger ones are compressed, or not.
        let is_compressed = author.below(2) == 0;
        attempt(&mut session, &format!("SET SESSION binlog_transaction_compression = {is_compressed}"));
        let is_xa = author.below(5) == 0;
        attempt(&mut session, if is_xa { "XA START 'json'" } else { "BEGIN" });
        for _ in 0..1 + author.below(60) {
            let id = author.below(ROWS);
            let sql = if author.below(40) == 0 { author.insert(id) } else { author.update() };
            tried += 1;
            done += u64::from(attempt(&mut session, &sql));
        }
        let ends: &[&str] =
            if is_xa { &["XA END 'json'", "XA PREPARE 'json'", "XA COMMIT 'json'"] } else { &["COMMIT"] };
        for end in ends {
            assert!(attempt(&mut session, end), "{end}");
        }
        if done / ROUND != done.saturating_sub(60) / ROUND {
            bridge.wait_caught_up(&test, PATIENCE);
            test.assert_equal("t");
        }
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
    let partial = events_since(&test, &noted, "Update_rows_partial");
    let compressed = events_since(&test, &noted, "Transaction_payload");
    println!("{done} updates of {tried} statements; {partial} partial events, {compressed} compressed transactions");
    assert!(done * 10 > tried * 8, "the server refused too many");
    assert!(partial > 1000 && compressed > 50, "{partial} partial events, {compressed} compressed transactions");
    assert_eq!(bridge.sigterm(), Some(0));
}
