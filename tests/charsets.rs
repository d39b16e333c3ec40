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
         SELECT h, LENGTH(x), x, CONCAT(x, ' ', x, '  '), REPEAT(x, 100), 1 + LENGTH(h) % 3, LENGTH(h) % 8 FROM ({codes}) AS c"
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

/// Every code that MySQL writes itself, as a key: changed, deleted, found again by `verify`. Any other is refused.
#[test]
fn keys_are_told_apart() {
    let test = Fixture::new("charset_keys");
    let charsets =
        ["armscii8", "cp1251", "cp932", "eucjpms", "gb18030", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16le"];
    for charset in charsets {
        find_codes(&test, charset);
        test.execute(&format!(
            "CREATE TABLE `{charset}` (k VARCHAR(4) CHARACTER SET {charset} COLLATE {charset}_bin PRIMARY KEY, n INT)"
        ));
        let text = format!("CONVERT(UNHEX(h) USING {charset})");
        let back = format!("HEX(CONVERT(CONVERT({text} USING utf8mb4) USING {charset}))");
        // Of sjis's two backslashes MySQL writes the other one; ASCII is its own code.
        let is_own = format!("({back} = h OR h = '5C') AND NOT ('{charset}' = 'sjis' AND h = '815F')");
        test.execute(&format!(
            "INSERT IGNORE INTO `{charset}` SELECT {text}, 1 FROM codes WHERE is_known AND {is_own}"
        ));
    }
    let mut bridge = Bridge::start(&test.config());
    for charset in charsets {
        test.execute(&format!("UPDATE `{charset}` SET k = CONCAT(k, 'x'), n = 2 WHERE k <> '' AND HEX(k) < '9'"));
        test.execute(&format!("DELETE FROM `{charset}` WHERE HEX(k) > 'D'"));
    }
    bridge.wait_all_streaming(&test, PATIENCE);
    test.assert_all_equal();
    let verified = run_command("verify", bridge.config());
    assert_eq!(verified.code, Some(0), "{verified:?}");
    for (charset, code) in [
        ("armscii8", "FF"),
        ("cp932", "ED40"),
        ("eucjpms", "ADF0"),
        ("sjis", "815F"),
        ("tis620", "A0"),
        ("ujis", "A1C0"),
    ] {
        test.execute(&format!("INSERT INTO `{charset}` VALUES (CONCAT('a', CONVERT(X'{code}' USING {charset})), 3)"));
        let reason = bridge.wait_quarantined(&test, charset);
        let words = ["column k", "from byte 2 on", charset, "another code", "mend the row", code];
        assert!(words.iter().all(|word| reason.contains(word)), "{charset}: {reason}");
    }
    assert_eq!(bridge.sigterm(), Some(0));
}

/// An event of the binary log as `BINLOG` takes it.
fn event(kind: u8, body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(19 + body.len() + 4).unwrap();
    let header = [&[0; 4][..], &[kind, 1, 0, 0, 0], &size.to_le_bytes(), &[0; 6]].concat();
    let event = [&header, body].concat();
    let checksum = crc32fast::hash(&event).to_le_bytes();
    [event, checksum.to_vec()].concat()
}

/// Puts a row with these bytes into `name`, VARCHAR of 36 bytes, past MySQL's own checks: as old versions and
/// replicas may have had it.
fn plant(test: &Fixture, table: &str, text: &[u8]) {
    const POST_HEADERS: &[u8] = b"\0\x0d\0\x08\0\0\0\0\x04\0\x04\0\0\0\x63\0\x04\x1a\x08\0\0\0\0\0\0\x02\0\0\0\x0a\x0a\x0a\x2a\x2a\0\x12\x34\0\x0a\x28\0\0";
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let mut version = b"8.0.0".to_vec();
    version.resize(50, 0);
    let format = event(15, &[&[4, 0][..], &version, &[0; 4], &[19], POST_HEADERS, &[1]].concat());
    let id = [77, 0, 0, 0, 0, 0];
    let database = [&[length(&test.database)], test.database.as_bytes(), &[0]].concat();
    let name = [&[length(table)], table.as_bytes(), &[0]].concat();
    let map = event(19, &[&id, &[1, 0][..], &database, &name, &[2, 3, 15, 2, 36, 0, 2]].concat());
    let bytes = u8::try_from(text.len()).unwrap();
    let row = event(30, &[&id, &[1, 0, 2, 0, 2, 3, 0, 9, 0, 0, 0, bytes][..], text].concat());
    let encoded = |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        test.row::<String>(&format!("SELECT TO_BASE64(X'{hex}')"))
    };
    test.execute(&format!("BINLOG '{}'", encoded(&format)));
    test.execute("SET gtid_next = 'AUTOMATIC'");
    test.execute(&format!("BINLOG '{}'", encoded(&[map, row].concat())));
}

/// By the stream and by a copy: the table is set aside, with all that is needed to mend the row; the others go on.
#[test]
fn what_is_no_text_is_told() {
    let test = Fixture::new("charset_refused");
    let mut refused: Vec<(String, String, Vec<u8>)> = Vec::new();
    for charset in charsets(&test) {
        find_codes(&test, &charset);
        let codes: Vec<String> = test.rows("SELECT h FROM codes WHERE NOT is_known ORDER BY LENGTH(h), h LIMIT 1");
        refused.extend(codes.iter().map(|code| (format!("{charset}_code"), charset.clone(), unhex(code))));
    }
    let unknown = refused.len();
    assert!(unknown > 15, "{refused:?}");
    for (charset, text) in [
        ("utf8mb4", &b"a\xc3\x28"[..]),
        ("utf8mb4", b"\xed\xa0\x80"),
        ("utf8mb3", b"abc\xf0\x9f\x98\x80"),
        ("ascii", b"caf\xe9"),
        ("sjis", b"\x93\xfa\x81"),
        ("gb18030", b"\x81\x30"),
        ("eucjpms", b"\x8f\xa1"),
        ("utf16", b"\0a\0"),
        ("utf16le", b"\x3d\xd8a\0"),
        ("utf32", b"\0\x11\0\0"),
    ] {
        refused.push((format!("{charset}_planted_{}", refused.len()), charset.to_owned(), text.to_vec()));
    }
    let create = |name: &str, charset: &str| {
        let chars: u64 = test.row(&format!(
            "SELECT 36 DIV maxlen FROM information_schema.character_sets WHERE character_set_name = '{charset}'"
        ));
        test.execute(&format!(
            "CREATE TABLE {name} (id INT NOT NULL PRIMARY KEY, name VARCHAR({chars}) CHARACTER SET {charset})"
        ));
    };
    for (name, charset, text) in &refused {
        create(&format!("copied_{name}"), charset);
        plant(&test, &format!("copied_{name}"), text);
        create(&format!("streamed_{name}"), charset);
    }
    test.sql(
        "CREATE TABLE fine (id INT NOT NULL PRIMARY KEY, name VARCHAR(9));\nINSERT INTO fine VALUES (1, 'a\\0b');",
    );
    test.execute("CREATE TABLE keyed (id INT NOT NULL, name VARCHAR(9) CHARACTER SET utf8mb4 NOT NULL PRIMARY KEY)");
    test.execute("INSERT INTO keyed VALUES (1, 'a'), (2, 'é')");
    plant(&test, "keyed", b"\xed\xa0\x80");
    let mut bridge = Bridge::start(test.config().set("snapshot.chunk_rows", 1));
    let reason = bridge.wait_quarantined(&test, "keyed");
    assert!(reason.contains("column name: bytes EDA080 are no text in utf8mb4, from byte 1 on: mend"), "{reason}");
    for (name, _, text) in &refused {
        plant(&test, &format!("streamed_{name}"), text);
    }
    test.sql("INSERT INTO fine VALUES (2, '\\0');");
    for (name, charset, text) in &refused {
        let hex: String = text.iter().map(|byte| format!("{byte:02X}")).collect();
        for table in [format!("copied_{name}"), format!("streamed_{name}")] {
            let reason = bridge.wait_quarantined(&test, &table);
            let words = ["column name", hex.as_str(), "no text in", charset, "mend the row in MySQL"];
            assert!(words.iter().all(|word| reason.contains(word)), "{table} {words:?}: {reason}");
        }
    }
    test.execute("INSERT INTO fine VALUES (3, 'and on')");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("fine");
    // Mended, a table comes back.
    let mended = format!("streamed_{}", refused[unknown].0);
    test.execute(&format!("UPDATE {mended} SET name = 'mended'"));
    assert_eq!(bridge.post("/resync", &format!("{}.{mended}", test.database)), Ok(202));
    let name = format!("{}.{mended}", test.database);
    bridge.wait_for("the mended table", PATIENCE, |status| status.table_state(&name) == "streaming");
    test.assert_equal(&mended);
    assert_eq!(bridge.sigterm(), Some(0));
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
