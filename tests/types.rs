//! Every supported type, at its least, its greatest, NULL and odd values: text by text the same on both sides.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod support;

use support::bridge::{Bridge, PATIENCE};
use support::fixture::Fixture;
use support::servers::Servers;

/// A column type with literals of values that it can hold.
struct Type {
    definition: String,
    values: Vec<String>,
}

fn ty(definition: impl Into<String>, values: &[&str]) -> Type {
    Type { definition: definition.into(), values: values.iter().map(|&value| value.to_owned()).collect() }
}

fn integers() -> Vec<Type> {
    vec![
        ty("TINYINT", &["-128", "127", "0", "-1", "1"]),
        ty("TINYINT UNSIGNED", &["0", "255", "128", "1"]),
        ty("SMALLINT", &["-32768", "32767", "0", "-1"]),
        ty("SMALLINT UNSIGNED", &["0", "65535", "32768"]),
        ty("MEDIUMINT", &["-8388608", "8388607", "0", "-1", "65536"]),
        ty("MEDIUMINT UNSIGNED", &["0", "16777215", "8388608"]),
        ty("INT", &["-2147483648", "2147483647", "0", "-1"]),
        ty("INT UNSIGNED", &["0", "4294967295", "2147483648"]),
        ty("BIGINT", &["-9223372036854775808", "9223372036854775807", "0", "-1"]),
        ty("BIGINT UNSIGNED", &["0", "18446744073709551615", "9223372036854775808"]),
        ty("BOOLEAN", &["TRUE", "FALSE", "77"]),
        ty("INT(5) ZEROFILL", &["0", "42", "4294967295"]),
        ty("YEAR", &["0", "1901", "2155", "2024", "1970"]),
    ]
}

fn floats() -> Vec<Type> {
    let float = ["0", "-0e0", "1.5", "0.1", "3.4028234e38", "-3.4028234e38", "1.17549435e-38", "1e-45", "16777217"];
    let double = [
        "0",
        "-0e0",
        "0.1",
        "1.7976931348623157e308",
        "-1.7976931348623157e308",
        "2.2250738585072014e-308",
        "5e-324",
        "1e23",
    ];
    vec![
        ty("FLOAT", &float),
        ty("DOUBLE", &double),
        ty("FLOAT UNSIGNED", &["0", "2.25"]),
        ty("DOUBLE(10,3)", &["-1234567.891", "0.001"]),
        ty("FLOAT(7,4)", &["-999.9999", "0.1"]),
        ty("FLOAT(25)", &["0.1", "1e300"]),
    ]
}

fn decimals() -> Vec<Type> {
    let shapes = [
        (1, 0),
        (5, 0),
        (5, 5),
        (9, 2),
        (10, 9),
        (18, 4),
        (19, 0),
        (20, 10),
        (38, 10),
        (30, 30),
        (39, 1),
        (65, 0),
        (65, 30),
    ];
    shapes.iter().map(|&(precision, scale)| decimal(precision, scale)).collect()
}

fn decimal(precision: usize, scale: usize) -> Type {
    let digits = |digit: &str| {
        let (whole, part) = (digit.repeat(precision - scale), digit.repeat(scale));
        format!("0{whole}.{part}0")
    };
    let odd: String = "1234567890".chars().cycle().take(precision - scale).collect();
    let values = vec![
        "0".to_owned(),
        digits("9"),
        format!("-{}", digits("9")),
        format!("-{}", digits("1")),
        format!("0.{}1", "0".repeat(scale.saturating_sub(1))),
        format!("-0.{}1", "0".repeat(scale.saturating_sub(1))),
        format!("0{odd}.5"),
    ];
    // A value that does not fit is made to fit by MySQL: the session has no SQL mode.
    Type { definition: format!("DECIMAL({precision},{scale})"), values }
}

fn texts() -> Vec<Type> {
    let all_latin1: String = (0..=255u8).map(|code| format!("{code:02X}")).collect();
    let all_ascii: String = (0..=127u8).map(|code| format!("{code:02X}")).collect();
    let odd = [
        "''",
        "'a'",
        "'  lead and trail  '",
        "'tab\\tline\\nback\\\\slash quote'' nul\\0end'",
        "'Grüße – 日本語 🎁👩‍👩‍👧'",
        "_utf8mb4 X'F48FBFBF'",
        "'NULL'",
        "'\\\\N'",
    ];
    let three_bytes = ["''", "'Grüße – 日本語'", "_utf8mb4 X'EFBFBF'"];
    let long_text = ["''", "REPEAT('日', 20000)", "REPEAT('🎁x', 20000)", "'short'"];
    vec![
        ty("CHAR(1) CHARACTER SET utf8mb4", &["''", "'x'", "'🎁'"]),
        ty("CHAR(60) CHARACTER SET utf8mb4", &odd),
        ty("CHAR(255) CHARACTER SET utf8mb4", &["''", "REPEAT('🎁', 255)", "'x'"]),
        ty("CHAR(255) CHARACTER SET latin1", &["''", "REPEAT('ü', 255)"]),
        ty("CHAR(10) CHARACTER SET ascii", &["''", "'ascii'"]),
        ty("VARCHAR(60) CHARACTER SET utf8mb4", &odd),
        ty("VARCHAR(63) CHARACTER SET utf8mb4", &["''", "REPEAT('🎁', 63)"]),
        ty("VARCHAR(64) CHARACTER SET utf8mb4", &["''", "REPEAT('🎁', 64)"]),
        ty(
            "VARCHAR(2000) CHARACTER SET utf8mb4",
            &["''", "REPEAT('🎁', 2000)", "REPEAT('a', 255)", "REPEAT('a', 256)"],
        ),
        ty("VARCHAR(100) CHARACTER SET utf8mb3", &three_bytes),
        ty("VARCHAR(300) CHARACTER SET latin1", &["''", &format!("_latin1 X'{all_latin1}'"), "'Grüße €'"]),
        ty("VARCHAR(200) CHARACTER SET ascii", &["''", &format!("_ascii X'{all_ascii}'")]),
        ty("VARCHAR(40) COLLATE utf8mb4_bin", &odd),
        ty("TINYTEXT", &["''", "REPEAT('é', 127)", "'x'"]),
        ty("TEXT", &["''", "REPEAT('x', 65535)", "'Grüße 🎁'"]),
        ty("TEXT CHARACTER SET latin1", &["''", &format!("REPEAT(_latin1 X'{all_latin1}', 255)")]),
        ty("MEDIUMTEXT", &long_text),
        ty("LONGTEXT", &long_text),
        ty("MEDIUMTEXT CHARACTER SET utf8mb3", &["''", "REPEAT('日', 30000)"]),
    ]
}

fn bytes() -> Vec<Type> {
    let odd = ["X''", "X'00'", "X'AA00'", "X'00AA0000'", "X'FFFE'", "'text'"];
    let all: String = (0..=255u8).map(|code| format!("{code:02X}")).collect();
    let long = format!("REPEAT(X'{all}', 300)");
    vec![
        ty("CHAR(0)", &["''"]),
        ty("BINARY(0)", &["X''"]),
        ty("VARCHAR(0)", &["''"]),
        ty("VARBINARY(0)", &["X''"]),
        ty("BINARY(6)", &["'a '", "'a   '", "X'612000'", "X'002000'", "'      '", "X'20'"]),
        ty("BINARY(1)", &["X''", "X'00'", "X'20'", "X'FF'"]),
        ty("BINARY(16)", &odd),
        ty("BINARY(255)", &["X''", "REPEAT(X'FF', 255)", "REPEAT(X'00', 255)", "X'01'"]),
        ty("VARBINARY(16)", &odd),
        ty("VARBINARY(300)", &["X''", &format!("X'{all}'")]),
        ty("TINYBLOB", &odd),
        ty("BLOB", &["X''", "REPEAT(X'00', 65535)", "X'0A0D'"]),
        ty("MEDIUMBLOB", &["X''", &long]),
        ty("LONGBLOB", &["X''", &long, "X'00'"]),
    ]
}

/// The types with fractions of seconds, at every precision.
fn times() -> Vec<Type> {
    let date = [
        "'1000-01-01'",
        "'9999-12-31'",
        "'1970-01-01'",
        "'2024-02-29'",
        "'0001-01-01'",
        "'0000-00-00'",
        "'2024-00-15'",
        "'2024-05-00'",
        "'0000-05-00'",
    ];
    let mut types = vec![ty("DATE", &date)];
    for precision in 0..=6usize {
        // Digits, not a rounded value: 9999-12-31 must not become the year 10000.
        let part = |digits: &str| if precision == 0 { String::new() } else { format!(".{}", &digits[..precision]) };
        let (nines, odd, least) = (part("999999"), part("123456"), part("000000"));
        types.push(literals(
            format!("TIME({precision})"),
            &[
                "-838:59:59",
                "838:59:59",
                "00:00:00",
                &format!("-838:59:58{nines}"),
                &format!("838:59:58{nines}"),
                &format!("-00:00:00{nines}"),
                &format!("-01:02:03{odd}"),
                &format!("23:59:59{odd}"),
                "-00:00:01",
            ],
        ));
        types.push(literals(
            format!("DATETIME({precision})"),
            &[
                &format!("1000-01-01 00:00:00{least}"),
                &format!("9999-12-31 23:59:59{nines}"),
                &format!("1969-12-31 23:59:59{nines}"),
                &format!("2024-02-29 12:34:56{odd}"),
                "0001-01-01 00:00:00",
                "0000-00-00 00:00:00",
                "2024-00-15 01:02:03",
                "2024-05-00 23:00:00",
                "2024-03-31 02:30:00",
            ],
        ));
        types.push(literals(
            format!("TIMESTAMP({precision})"),
            &[
                "1970-01-01 00:00:01",
                &format!("2038-01-19 03:14:07{nines}"),
                &format!("2024-03-31 02:30:00{odd}"),
                "0000-00-00 00:00:00",
                "2000-01-01 00:00:00",
            ],
        ));
    }
    types
}

fn literals(definition: String, values: &[&str]) -> Type {
    Type { definition, values: values.iter().map(|value| format!("'{value}'")).collect() }
}

fn bits() -> Vec<Type> {
    (1..=64u32)
        .map(|bits| {
            let greatest = u64::MAX >> (64 - bits);
            let values = [0, 1, greatest, greatest / 3, greatest ^ 1];
            Type { definition: format!("BIT({bits})"), values: values.iter().map(u64::to_string).collect() }
        })
        .collect()
}

fn numbered(labels: usize) -> String {
    (0..labels).map(|i| format!("'label {i}'")).collect::<Vec<_>>().join(", ")
}

fn labels() -> Vec<Type> {
    let labels = numbered;
    let all_of_64 = (0..64).map(|i| format!("label {i}")).collect::<Vec<_>>().join(",");
    // 'not a label' is stored as index 0, which MySQL shows as the empty string.
    let mut types = vec![
        ty(
            "ENUM('a', 'b', 'größer 🎁', 'it''s', '')",
            &["'a'", "'b'", "'größer 🎁'", "'it''s'", "''", "'not a label'"],
        ),
        ty(format!("ENUM({})", labels(255)), &["'label 0'", "'label 254'", "'not a label'"]),
        ty(
            format!("ENUM({})", labels(300)),
            &["'label 0'", "'label 254'", "'label 255'", "'label 256'", "'label 299'"],
        ),
        ty("ENUM('ä', 'ß') CHARACTER SET latin1", &["'ä'", "'ß'"]),
        ty("SET('a', 'b', 'größer 🎁')", &["''", "'a'", "'a,größer 🎁'", "'a,b,größer 🎁'"]),
        ty(format!("SET({})", labels(9)), &["''", "'label 8'", "'label 0,label 7,label 8'"]),
        ty(format!("SET({})", labels(64)), &["''", "'label 0'", "'label 63'", &format!("'{all_of_64}'")]),
        ty("SET('ä', 'ß') CHARACTER SET latin1", &["'ä,ß'", "''"]),
    ];
    // By number: none, the first, the last, all, every third.
    types.extend((1..=64u32).map(|members| {
        let all = u64::MAX >> (64 - members);
        let values = [0, 1, 1 << (members - 1), all, all / 7];
        let definition = format!("SET({})", labels(members as usize));
        Type { definition, values: values.iter().map(u64::to_string).collect() }
    }));
    types
}

fn documents() -> Vec<Type> {
    let member = |i: usize| format!("\"key {i}\": {}", ["-32768", "65535", "-2147483648", "4294967295"][i % 4]);
    let members = |count| format!("'{{{}}}'", (0..count).map(member).collect::<Vec<_>>().join(", "));
    let elements = vec!["-1, 70000, 5000000000, 18446744073709551615, 0.1, true, null, \"é\", [], {}"; 7000].join(", ");
    let (opened, closed) = ("[".repeat(99), "]".repeat(99));
    let mut values = strings(&[
        "'null'",
        "'true'",
        "'-1'",
        "'18446744073709551615'",
        "'-9223372036854775808'",
        "'1.5'",
        r#"'""'"#,
        "'[]'",
        "'{}'",
        r#"'[-32768, 32767, 32768, 65535, 65536, -32769, 2147483648, -2147483649, 4294967296, 1e100, -0.0, 1e10, false]'"#,
        r#"'{"b": 1, "a": {"": [], "aa": {}, "x": null}, "ab": [true, [1, [2, {"z": [3]}]]], "é🎁": "日本"}'"#,
        "JSON_OBJECT('a', REPEAT('x', 127), 'b', REPEAT('y', 128), 'c', REPEAT('é', 70000))",
        "JSON_ARRAY(1.10, -0.05, CAST(0 AS DECIMAL(5,5)), -7.0, 1234567890.5, 0.1e0, CAST(0.1 AS FLOAT))",
        "JSON_ARRAY(CAST(REPEAT('9', 65) AS DECIMAL(65,0)), CAST(-1e-30 AS DECIMAL(65,30)), CAST(12345678901.5 AS DECIMAL(30,19)))",
        "JSON_ARRAY(DATE'2024-02-29', CAST('0000-00-00' AS DATE), CAST('2024-00-15 01:02:03' AS DATETIME(6)))",
        "JSON_ARRAY(TIMESTAMP'9999-12-31 23:59:59.999999', TIME'-838:59:59', TIME'-00:00:00.1', TIME'838:59:58.999999')",
        "CAST(DATE'2024-02-29' AS JSON)",
        "JSON_ARRAY(b'1010', X'', X'FF00', CAST(2024 AS YEAR), ST_GeomFromText('POINT(1.5 -2)', 4326))",
        "JSON_OBJECT('a', REPEAT(X'FF41', 100), 'b', REPEAT(X'00', 57), 'c', REPEAT(X'00', 58), 'd', REPEAT(X'01', 70000))",
        "CAST(CAST(X'00FF' AS BINARY) AS JSON)",
    ]);
    let controls: String = (0..=0x7fu8).map(|code| format!("{code:02X}")).collect();
    values.push(format!("JSON_OBJECT(CONVERT(X'{controls}' USING utf8mb4), CONVERT(X'{controls}' USING utf8mb4))"));
    values.push(format!("'{opened}[]{closed}'"));
    values.push(format!("'{opened}{{\"deepest\": 1}}{closed}'"));
    values.extend([members(30), members(3000), members(70_000), format!("'[{elements}]'")]);
    vec![Type { definition: "JSON".to_owned(), values }]
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn places() -> Vec<Type> {
    let any = [
        "POINT(1, -2.5)",
        "ST_GeomFromText('POINT(48.2 16.4)', 4326)",
        "ST_GeomFromText('LINESTRING(0 0, 1 1, 2 0)')",
        "ST_GeomFromText('POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (2 2, 4 2, 4 4, 2 2))', 4326)",
        "ST_GeomFromText('GEOMETRYCOLLECTION EMPTY')",
        "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2), MULTIPOINT(3 4, 5 6))', 3857)",
    ];
    vec![
        ty("GEOMETRY", &any),
        ty("POINT", &any[..2]),
        ty("POINT SRID 4326", &any[1..2]),
        ty("LINESTRING", &any[2..3]),
        ty("POLYGON", &any[3..4]),
        ty("GEOMETRYCOLLECTION", &any[4..]),
        ty("MULTIPOINT", &["ST_GeomFromText('MULTIPOINT(3 4, 5 6)')"]),
        ty("MULTILINESTRING", &["ST_GeomFromText('MULTILINESTRING((0 0, 1 1), (2 2, 3 3))')"]),
        ty("MULTIPOLYGON", &["ST_GeomFromText('MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))')"]),
    ]
}

fn vectors() -> Vec<Type> {
    let odd = ["TO_VECTOR('[1, -2.5, 0.1]')", "X'01000000000000807F7FFFFF'", "TO_VECTOR('[3.4e38]')", "X'FFFF7F7F'"];
    let longest = "TO_VECTOR(CONCAT('[', REPEAT('0.1, ', 16382), '-0.3]'))";
    vec![
        ty("VECTOR(3)", &[odd[0], odd[2], odd[3], "X'0100000000000080FFFF7FFF'"]),
        ty("VECTOR(16383)", &[odd[0], longest]),
    ]
}

/// One table with a column of each type; row `i` holds each type's value number `i`, from the start again at its end.
struct Wide {
    table: &'static str,
    types: Vec<Type>,
    nullability: &'static str,
}

impl Wide {
    fn create(&self, test: &Fixture) {
        let columns: Vec<String> = self
            .types
            .iter()
            .enumerate()
            .map(|(i, it)| format!("c{i} {} {}", it.definition, self.nullability))
            .collect();
        test.sql(&format!("CREATE TABLE {} (id INT NOT NULL PRIMARY KEY, {})", self.table, columns.join(", ")));
    }

    fn rows(&self) -> usize {
        self.types.iter().map(|it| it.values.len()).max().unwrap()
    }

    /// Value number `row` of each type, `shift` further on with each column.
    fn values(&self, row: usize, shift: usize) -> Vec<&str> {
        let value = |(i, it): (usize, &Type)| (row + shift * i) % it.values.len();
        self.types.iter().enumerate().map(|it| it.1.values[value(it)].as_str()).collect()
    }

    fn insert(&self, test: &Fixture) {
        for row in 0..self.rows() {
            test.sql(&format!("INSERT INTO {} VALUES ({row}, {})", self.table, self.values(row, 0).join(", ")));
        }
    }

    fn insert_nulls(&self, test: &Fixture) {
        let nulls = vec!["NULL"; self.types.len()].join(", ");
        test.sql(&format!("INSERT INTO {} VALUES (1000, {nulls}), (1001, {nulls})", self.table));
    }

    /// Every value takes the place of another, every seventh row goes, every fifth gets another key.
    fn change(&self, test: &Fixture) {
        for row in 0..self.rows() {
            let values = self.values(row, 1);
            let set: Vec<String> = values.iter().enumerate().map(|(i, value)| format!("c{i} = {value}")).collect();
            test.sql(&format!("UPDATE {} SET {} WHERE id = {row}", self.table, set.join(", ")));
        }
        test.sql(&format!("UPDATE {0} SET id = -id WHERE id % 5 = 4;\nDELETE FROM {0} WHERE id % 7 = 6;", self.table));
    }
}

/// Makes the tables, starts the bridge, and compares after each step.
fn compare_wide(test: &Fixture, tables: &[Wide]) {
    tables.iter().for_each(|table| table.create(test));
    let mut bridge = Bridge::start(&test.config());
    tables.iter().for_each(|table| table.insert(test));
    tables.iter().filter(|table| table.nullability == "NULL").for_each(|table| table.insert_nulls(test));
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    tables.iter().for_each(|table| table.change(test));
    bridge.wait_caught_up(test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(bridge.sigterm(), Some(0));
}

fn wide(nullability: &'static str) -> Vec<Wide> {
    let numbers = [integers(), floats(), decimals(), bits()].into_iter().flatten().collect();
    let strings = [texts(), bytes(), labels()].into_iter().flatten().collect();
    let others = [documents(), places(), vectors()].into_iter().flatten().collect();
    [("numbers", numbers), ("strings", strings), ("times", times()), ("others", others)]
        .into_iter()
        .map(|(table, types)| Wide { table, types, nullability })
        .collect()
}

#[test]
fn every_type_with_null() {
    let test = Fixture::new("types_null");
    compare_wide(&test, &wide("NULL"));
    let columns =
        "SELECT name FROM system.columns WHERE database = '{db}' AND table = 'numbers' ORDER BY position DESC LIMIT 2";
    assert_eq!(test.clickhouse(columns), "_is_deleted\n_version");
}

/// On a server whose SQL mode allows zero dates, NOT NULL dates are Nullable in ClickHouse.
#[test]
fn every_type_without_null_where_zero_dates_are_allowed() {
    let test = Fixture::on(Servers::own_mysql("zero-dates", &["--sql-mode="]), "types_not_null");
    compare_wide(&test, &wide("NOT NULL"));
}

/// Doubles of every size, the neighbours of powers among them: JSON has each with the fewest digits that tell it.
#[test]
fn doubles_in_documents() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let random = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        f64::from_bits(seed)
    });
    let near = |number: f64| [number.to_bits().saturating_sub(1), number.to_bits(), number.to_bits() + 1];
    let twos = (-1074..1024).map(|exponent| 2f64.powi(exponent));
    let tens = (-323..309).map(|exponent| format!("1e{exponent}").parse::<f64>().unwrap());
    let mut numbers: Vec<f64> = twos.chain(tens).flat_map(near).map(f64::from_bits).collect();
    numbers.extend(random.take(10_000));
    // Those that have few digits, and the range where MySQL writes no exponent.
    numbers.extend((0..10_000u32).map(|i| f64::from(i * 7919) / 10f64.powi((i % 22).cast_signed())));
    numbers.extend((0..10_000u32).map(|i| (1.0 + f64::from(i) / 9999.7) * 10f64.powi((i % 36).cast_signed() - 18)));
    numbers.retain(|number| number.is_finite());
    let test = Fixture::new("types_doubles");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY AUTO_INCREMENT, j JSON NOT NULL)");
    let mut bridge = Bridge::start(&test.config());
    for numbers in numbers.chunks(500) {
        let list: Vec<String> =
            numbers.iter().map(|number| format!("{number:e}, -{number:e}").replace("--", "")).collect();
        test.sql(&format!("INSERT INTO t (j) VALUES (JSON_ARRAY({}))", list.join(", ")));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// A NOT NULL column that was never given a value: no bytes, which is JSON null, and a vector without elements.
#[test]
fn documents_and_vectors_that_were_never_given() {
    let test = Fixture::new("types_never_given");
    test.sql(
        "CREATE TABLE t (id INT NOT NULL PRIMARY KEY, j JSON NOT NULL, v VECTOR(2) NOT NULL);
         CREATE TABLE altered (id INT NOT NULL PRIMARY KEY);
         INSERT INTO altered VALUES (1), (2), (3);
         ALTER TABLE altered ADD COLUMN j JSON NOT NULL, ADD COLUMN v VECTOR(2) NOT NULL;",
    );
    let mut config = test.config();
    config.set("mysql.start", "current");
    let mut bridge = Bridge::start(&config);
    test.sql("INSERT INTO t (id) VALUES (1), (2);\nUPDATE t SET id = 3 WHERE id = 1;\nUPDATE altered SET id = -id;\nDELETE FROM altered WHERE id = -2;");
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    assert_eq!(test.clickhouse("SELECT DISTINCT j, v FROM `{db}`.t FINAL"), "null\t[]");
}

/// The types that may be a key, with values that differ for MySQL.
fn keys() -> Vec<Type> {
    let mut keys = integers();
    keys.retain(|it| !it.definition.starts_with("BOOLEAN"));
    keys.extend([decimal(9, 2), decimal(38, 10), decimal(65, 30)]);
    keys.iter_mut().for_each(|it| it.values.truncate(4));
    keys.extend([
        ty("DOUBLE", &["0", "0.1", "-1e300", "1e300"]),
        ty("FLOAT", &["0", "0.1", "-1e30", "1e30"]),
        ty("CHAR(20)", &["''", "'a'", "'b'", "'🎁'"]),
        ty("VARCHAR(100)", &["''", "'a'", "'b'", "'Grüße – 日本語 🎁'"]),
        ty("VARCHAR(100) COLLATE utf8mb4_0900_bin", &["'a'", "'A'", "'á'", "'a '"]),
        ty("VARCHAR(50) CHARACTER SET latin1", &["'ü'", "'o'", "'€'", "''"]),
        ty("BINARY(4)", &["X''", "X'0001'", "X'01'", "X'FFFFFFFF'"]),
        ty("VARBINARY(20)", &["X''", "X'00'", "X'0000'", "X'FF'"]),
        ty("DATE", &["'1000-01-01'", "'9999-12-31'", "'1970-01-01'", "'2024-02-29'"]),
        ty("TIME(3)", &["'-838:59:59'", "'838:59:59'", "'-00:00:00.5'", "'00:00:00'"]),
        ty(
            "DATETIME(6)",
            &["'1000-01-01'", "'9999-12-31 23:59:59.999999'", "'1970-01-01'", "'1969-12-31 23:59:59.999999'"],
        ),
        ty(
            "TIMESTAMP(2)",
            &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.99'", "'2024-01-01'", "'2024-01-01 00:00:00.01'"],
        ),
        ty("BIT(10)", &["0", "1", "1023", "512"]),
        ty("ENUM('z', 'a', 'm', 'k')", &["'z'", "'a'", "'m'", "'k'"]),
        ty("SET('z', 'a', 'm')", &["''", "'z'", "'a'", "'z,a,m'"]),
        ty(format!("ENUM({})", numbered(300)), &["'label 0'", "'label 255'", "'label 256'", "'label 299'"]),
        ty(format!("SET({})", numbered(32)), &["''", "'label 16'", "'label 31'", "'label 0,label 31'"]),
        ty(format!("SET({})", numbered(64)), &["''", "'label 63'", "18446744073709551615", "4294967296"]),
        ty("BIT(64)", &["0", "18446744073709551615", "9223372036854775808", "1"]),
        ty("BINARY(4)", &["X'20'", "X''", "X'2020'", "'    '"]),
        ty("CHAR(255) COLLATE utf8mb4_bin", &["''", "REPEAT('🎁', 255)", "REPEAT('🎁', 254)", "'a'"]),
    ]);
    keys
}

/// Each key moves on to a free value and back to another's old one: deletions of old keys must not hit new rows.
fn move_keys(test: &Fixture, table: &str, values: &[String]) {
    let last = &values[values.len() - 1];
    test.sql(&format!("DELETE FROM {table} WHERE id = {}", values.len() - 1));
    for row in (0..values.len() - 1).rev() {
        let free = &values[row + 1];
        test.sql(&format!("UPDATE {table} SET k = {free} WHERE id = {row}"));
    }
    test.sql(&format!("DELETE FROM {table} WHERE id = 0;\nINSERT INTO {table} VALUES (7, 'again', {})", values[0]));
    test.sql(&format!("UPDATE {table} SET note = 'last' WHERE k = {last}"));
}

#[test]
fn keys_of_every_type_and_their_changes() {
    let test = Fixture::new("types_keys");
    let keys = keys();
    for (i, key) in keys.iter().enumerate() {
        test.sql(&format!(
            "CREATE TABLE k{i} (id INT NOT NULL, note VARCHAR(20), k {} NOT NULL, PRIMARY KEY (k))",
            key.definition
        ));
    }
    let mut bridge = Bridge::start(&test.config());
    for (i, key) in keys.iter().enumerate() {
        let rows: Vec<String> = key.values.iter().enumerate().map(|(id, k)| format!("({id}, 'row', {k})")).collect();
        test.sql(&format!("INSERT INTO k{i} VALUES {}", rows.join(", ")));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
    keys.iter().enumerate().for_each(|(i, key)| move_keys(&test, &format!("k{i}"), &key.values));
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

#[test]
fn composite_keys_in_another_order_than_the_columns() {
    let test = Fixture::new("types_composite");
    test.sql(
        "CREATE TABLE pairs (note TEXT, b VARCHAR(30) NOT NULL, a INT NOT NULL, PRIMARY KEY (a, b));
         CREATE TABLE triples (c DATETIME(6) NOT NULL, v INT, b BIGINT UNSIGNED NOT NULL, a ENUM('x', 'y') NOT NULL,
           PRIMARY KEY (b, a, c));",
    );
    let mut bridge = Bridge::start(&test.config());
    test.sql(
        "INSERT INTO pairs VALUES ('one', 'x', 1), ('two', 'y', 1), ('three', 'x', 2), ('four', '', -1);
         UPDATE pairs SET a = 3 WHERE b = 'y';
         UPDATE pairs SET b = 'Y' WHERE b = 'y';
         UPDATE pairs SET note = NULL WHERE a = 2;
         DELETE FROM pairs WHERE a = -1;
         INSERT INTO triples VALUES ('2024-01-01', 1, 18446744073709551615, 'x'), ('2024-01-01 00:00:00.000001', 2, 0, 'y');
         UPDATE triples SET a = 'y' WHERE v = 1;
         UPDATE triples SET c = '9999-12-31 23:59:59.999999' WHERE v = 2;",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

/// A key that changes only by case is the same row for MySQL and another one for ClickHouse.
#[test]
fn a_key_that_changes_only_its_case_leaves_one_row() {
    let test = Fixture::new("types_case");
    test.sql("CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_0900_ai_ci NOT NULL PRIMARY KEY, v INT)");
    let mut bridge = Bridge::start(&test.config());
    test.sql(
        "INSERT INTO t VALUES ('anna', 1), ('bert', 2);
         UPDATE t SET k = 'ANNA' WHERE v = 1;
         UPDATE t SET k = 'Änna' WHERE v = 1;",
    );
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Both zeros are one key, for either server; the row shows the one that came last.
#[test]
fn a_key_that_moves_between_the_zeros_is_one_row() {
    let test = Fixture::new("types_zeros");
    for (table, ty) in [("f", "FLOAT"), ("d", "DOUBLE")] {
        test.sql(&format!("CREATE TABLE {table} (k {ty} NOT NULL PRIMARY KEY, v INT)"));
    }
    let mut bridge = Bridge::start(&test.config());
    for table in ["f", "d"] {
        test.sql(&format!(
            "INSERT INTO {table} VALUES (0, 1), (-1.5, 2);
             UPDATE {table} SET k = -0e0, v = 3 WHERE v = 1;
             UPDATE {table} SET v = 4 WHERE k = 0;
             UPDATE {table} SET k = 0e0, v = 5 WHERE k = 0;
             UPDATE {table} SET k = -0e0 WHERE v = 5;
             UPDATE {table} SET k = 7 WHERE v = 2;
             UPDATE {table} SET k = -0e0, v = v + 1 WHERE k = 0;"
        ));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    for table in ["f", "d"] {
        let rows = format!("SELECT k = 0, v FROM `{{db}}`.{table} FINAL ORDER BY v");
        assert_eq!(test.clickhouse(&rows), "1\t6\n0\t2".split('\n').rev().collect::<Vec<_>>().join("\n"));
        test.assert_equal(table);
        test.sql(&format!("DELETE FROM {table} WHERE k = 0"));
    }
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_all_equal();
}

/// Index 0 and a label '' read alike, so that as a key two rows of MySQL would be one: the table is set aside.
#[test]
fn an_enum_key_without_a_label_quarantines() {
    let test = Fixture::new("types_enum_key");
    test.sql("CREATE TABLE t (k ENUM('a', '') NOT NULL PRIMARY KEY, v INT)");
    let mut bridge = Bridge::start(&test.config());
    test.sql("INSERT INTO t VALUES ('a', 1), ('', 2);\nINSERT INTO t VALUES ('not a label', 3);");
    assert_eq!(test.row::<u64>("SELECT COUNT(*) FROM t IGNORE INDEX (PRIMARY) WHERE CONCAT(k) = ''"), 2);
    let reason = bridge.wait_quarantined(&test, "t");
    assert!(reason.contains("column k"), "{reason}");
}

/// Rows above 16 MiB come as several packets.
#[test]
fn a_blob_of_20_mb() {
    let test = Fixture::new("types_blob");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, b LONGBLOB, s LONGTEXT)");
    let mut bridge = Bridge::start(&test.config());
    let rows = "INSERT INTO t VALUES (1, REPEAT(UNHEX(SHA2('x', 256)), 655360), NULL), (2, NULL, REPEAT('🎁', 4194304)), (3, X'00', '');
         UPDATE t SET b = REPEAT(UNHEX(SHA2('y', 256)), 655361) WHERE id = 1;";
    test.sql(rows);
    bridge.wait_caught_up(&test, PATIENCE);
    test.assert_equal("t");
}

/// Needs no bridge: the comparison itself must see every kind of difference, or no other test proves anything.
#[test]
fn the_comparison_finds_differences() {
    let test = Fixture::new("types_compare");
    test.sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, name VARCHAR(20), d DOUBLE, at DATETIME(3), p DECIMAL(9,2), t TIME(1), b BIT(3), e ENUM('a'), j JSON, v VECTOR(2))");
    test.sql("INSERT INTO t VALUES (1, 'Zoë', 0.1, '1000-01-01', 1.5, '-00:00:00.5', 5, 'a', '{\"a\":1}', TO_VECTOR('[1,2]')), (2, NULL, NULL, '2024-00-01', NULL, NULL, NULL, NULL, NULL, NULL), (3, '', -0e0, '9999-12-31 23:59:59.999', -0.01, '838:59:59', 0, 'a', 'null', NULL), (-7, 'x', 1, NULL, 0, 0, 0, '', NULL, NULL)");
    test.clickhouse("CREATE DATABASE `{db}`");
    test.clickhouse(
        "CREATE TABLE `{db}`.t (id Int32, name Nullable(String), d Nullable(Float64), at Nullable(DateTime64(3, 'UTC')), p Nullable(Decimal(9, 2)),
           t Nullable(Time64(1)), b Nullable(UInt64), e LowCardinality(Nullable(String)), j Nullable(String), v Array(Float32), _version UInt64, _is_deleted UInt8)
         ENGINE = ReplacingMergeTree(_version, _is_deleted) ORDER BY id",
    );
    test.clickhouse(
        "INSERT INTO `{db}`.t VALUES (1, 'Zoë', 0.1, '1000-01-01 00:00:00', 1.5, '-00:00:00.5', 5, 'a', '{\"a\": 1}', [1, 2], 1, 0),
           (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], 1, 0), (3, '', -0., '9999-12-31 23:59:59.999', -0.01, '838:59:59', 0, 'a', 'null', [], 1, 0),
           (-7, 'x', 1, NULL, 0, '00:00:00', 0, '', NULL, [], 1, 0)",
    );
    let report = test.compare("t");
    assert!(report.is_equal() && report.rows == 4, "{report}");

    let corrupt = |version: u64, row: &str, told: &str| {
        test.clickhouse(&format!(
            "INSERT INTO `{{db}}`.t SELECT * REPLACE ({row}, {version} AS _version) FROM `{{db}}`.t FINAL WHERE id = 3"
        ));
        let report = test.compare("t").to_string();
        assert!(report.starts_with("1 differences") && report.contains(told), "{row}: {report}");
    };
    corrupt(2, "'y' AS name", "(id) = (3): column name is  in MySQL, 79 in ClickHouse");
    corrupt(3, "'' AS name, 0. AS d", "column d is 8000000000000000 in MySQL, 0000000000000000");
    corrupt(4, "-0. AS d, NULL AS p", "column p is -0.01 in MySQL, \\N in ClickHouse");
    corrupt(5, "toDecimal32('-0.01', 2) AS p, '9999-12-31 23:59:59.998' AS at", "column at is 9999-12-31 23:59:59.999");
    corrupt(6, "'9999-12-31 23:59:59.999' AS at, NULL AS j", "column j is 6E756C6C in MySQL, \\N in ClickHouse");
    corrupt(7, "'null' AS j, [-0.] AS v", "column v is  in MySQL, 00000080 in ClickHouse");
    test.clickhouse("INSERT INTO `{db}`.t SELECT * REPLACE ([] AS v, 8 AS _version) FROM `{db}`.t FINAL WHERE id = 3");
    test.clickhouse("INSERT INTO `{db}`.t (id, _version, _is_deleted) VALUES (4, 1, 0)");
    let report = test.compare("t").to_string();
    assert!(report.starts_with("1 differences") && report.contains("(id) = (4): only in ClickHouse"), "{report}");
    test.clickhouse("INSERT INTO `{db}`.t (id, _version, _is_deleted) VALUES (4, 7, 1), (-7, 7, 1)");
    let report = test.compare("t").to_string();
    assert!(report.starts_with("1 differences") && report.contains("(id) = (-7): only in MySQL"), "{report}");
}
