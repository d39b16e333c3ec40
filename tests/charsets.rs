//! Every code of every character set: by a copy and by the stream the same text as MySQL makes of it, or told that it is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE, run_command};
use support::fixture::Fixture;

/// Every how many of Unicode's characters is tried in every character set.
const STEP: u32 = 61;
/// All bytes of a character that are not below 80, in hexadecimal; and all bytes.
const HIGH: &str = "(WITH RECURSIVE n(i) AS (SELECT 128 UNION ALL SELECT i + 1 FROM n WHERE i < 255) \
                    SELECT LPAD(HEX(i), 2, '0') AS h FROM n)";
const ANY: &str = "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 255) \
                   SELECT LPAD(HEX(i), 2, '0') AS h FROM n)";

/// In the character sets of one, two and four bytes.
const QUESTION_MARKS: &str = "('3F', '003F', '3F00', '0000003F')";

fn charsets(test: &Fixture) -> Vec<String> {
    test.rows("SELECT character_set_name FROM information_schema.character_sets WHERE character_set_name <> 'binary' ORDER BY 1")
}

/// The temporary table `codes`, which is not in the binary log: the codes of a character set that are one character, and
/// whether MySQL knows which one.
fn find_codes(test: &Fixture, charset: &str) {
    let pairs = if charset.starts_with("utf8") { HIGH } else { ANY };
    let lead = if matches!(charset, "ucs2" | "utf16" | "utf16le") { ANY } else { HIGH };
    let mut codes = vec![
        format!("SELECT a.h FROM {ANY} a"),
        format!("SELECT CONCAT(a.h, b.h) FROM {lead} a, {pairs} b"),
        // One step through all of Unicode's characters.
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 128 UNION ALL SELECT i + {STEP} FROM n WHERE i + {STEP} <= 0x10FFFF) \
             SELECT HEX(CONVERT(CONVERT(UNHEX(LPAD(HEX(i), 8, '0')) USING utf32) USING {charset})) FROM n"
        ),
    ];
    if matches!(charset, "ujis" | "eucjpms") {
        codes.push(format!("SELECT CONCAT('8F', a.h, b.h) FROM {HIGH} a, {HIGH} b"));
    }
    test.sql("SET SESSION sql_mode = '', cte_max_recursion_depth = 100000;\nDROP TEMPORARY TABLE IF EXISTS codes;");
    test.execute("CREATE TEMPORARY TABLE codes (h VARCHAR(8) PRIMARY KEY, is_known BOOL)");
    for codes in codes {
        test.execute(&format!(
            "INSERT IGNORE INTO codes SELECT h, COALESCE(HEX(CONVERT(s USING utf32)), '') NOT IN ('', '0000003F') OR h IN {QUESTION_MARKS}
             FROM (SELECT h, CONVERT(UNHEX(h) USING {charset}) AS s FROM ({codes}) AS codes (h)) AS texts
             WHERE HEX(s) = h AND CHAR_LENGTH(s) = 1"
        ));
    }
    test.sql("SET SESSION sql_mode = DEFAULT;");
}

/// A character of a character set that is not in ASCII, if it has one.
fn label(test: &Fixture, charset: &str) -> String {
    let text = format!("CONVERT(CONVERT(UNHEX(h) USING {charset}) USING utf8mb4)");
    let query = format!(
        "SELECT COALESCE(MAX({text} COLLATE utf8mb4_bin), 'x') FROM codes
         WHERE is_known AND {text} COLLATE utf8mb4_bin BETWEEN 'À' AND '\u{fffc}'"
    );
    test.row(&query)
}

/// Codes in VARCHAR, CHAR and TEXT, between others; labels, and a name, in the same character set.
fn create(test: &Fixture, charset: &str) -> u64 {
    find_codes(test, charset);
    let label = label(test, charset);
    test.execute(&format!(
        "CREATE TABLE `{charset}` (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, h VARCHAR(8), `Größe_表` INT,
         v VARCHAR(4) NOT NULL, c CHAR(5), t TEXT, e ENUM('a', '{label}', 'z') , s SET('{label}', 'b', '{label}c')
         ) CHARACTER SET {charset}"
    ));
    insert(test, charset, &format!("SELECT h, CONVERT(UNHEX(h) USING {charset}) AS x FROM codes WHERE is_known"));
    test.row(&format!("SELECT COUNT(*) FROM `{charset}`"))
}

fn insert(test: &Fixture, charset: &str, codes: &str) {
    test.execute(&format!(
        "INSERT INTO `{charset}` (h, `Größe_表`, v, c, t, e, s)
         SELECT h, LENGTH(x), x, CONCAT(x, ' ', x, '  '), REPEAT(x, 100), 1 + LENGTH(h) % 3, LENGTH(h) FROM ({codes}) AS c"
    ));
}

/// Codes that a table has at least: those that MySQL knows.
const COUNTS: [(&str, u64); 12] = [
    ("latin1", 256),
    ("swe7", 127),
    ("tis620", 256),
    ("big5", 13_800),
    ("cp932", 9_700),
    ("eucjpms", 15_000),
    ("euckr", 17_000),
    ("gb18030", 40_000),
    ("gbk", 21_900),
    ("sjis", 7_000),
    ("ucs2", 63_400),
    ("utf32", 18_000),
];

#[test]
fn every_code_is_what_mysql_makes_of_it() {
    let test = Fixture::new("charsets");
    let charsets = charsets(&test);
    assert_eq!(charsets.len(), 40);
    let counts: Vec<u64> = charsets.iter().map(|charset| create(&test, charset)).collect();
    for (charset, count) in charsets.iter().zip(&counts) {
        let least = COUNTS.iter().find(|(name, _)| name == charset).map_or(128, |(_, least)| *least);
        assert!(*count >= least, "{charset}: {count} codes");
    }
    let mut bridge = Bridge::start(&test.config());
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
    // The same rows by the stream, as new ones and as changes.
    for charset in &charsets {
        let half = format!("SELECT h, v AS x FROM `{charset}` WHERE id % 2 = 0");
        insert(&test, charset, &half);
        test.execute(&format!("UPDATE `{charset}` SET id = -id, v = CONCAT(v, v), s = 7 - s WHERE id % 3 = 0"));
    }
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
    let verified = run_command("verify", bridge.config());
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert_eq!(bridge.sigterm(), Some(0));
}
