//! Values of every type at its least, its greatest, NULL and odd ones, and tables that hold them.

use super::fixture::Fixture;

/// A column type with literals of values that it can hold.
pub struct Type {
    /// As in CREATE TABLE.
    pub definition: String,
    /// Literals.
    pub values: Vec<String>,
}

pub fn ty(definition: impl Into<String>, values: &[&str]) -> Type {
    Type { definition: definition.into(), values: values.iter().map(|&value| value.to_owned()).collect() }
}

pub fn integers() -> Vec<Type> {
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

pub fn decimal(precision: usize, scale: usize) -> Type {
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

pub fn numbered(labels: usize) -> String {
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
pub struct Wide {
    /// Its name.
    pub table: &'static str,
    types: Vec<Type>,
    /// NULL or NOT NULL.
    pub nullability: &'static str,
}

impl Wide {
    /// The same with only these types.
    pub fn only(mut self, is_wanted: impl Fn(&str) -> bool) -> Self {
        self.types.retain(|it| is_wanted(&it.definition));
        self
    }

    pub fn create(&self, test: &Fixture) {
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

    pub fn insert(&self, test: &Fixture) {
        for row in 0..self.rows() {
            test.sql(&format!("INSERT INTO {} VALUES ({row}, {})", self.table, self.values(row, 0).join(", ")));
        }
    }

    pub fn insert_nulls(&self, test: &Fixture) {
        let nulls = vec!["NULL"; self.types.len()].join(", ");
        test.sql(&format!("INSERT INTO {} VALUES (1000, {nulls}), (1001, {nulls})", self.table));
    }

    /// Every value takes the place of another, every seventh row goes, every fifth gets another key.
    pub fn change(&self, test: &Fixture) {
        for row in 0..self.rows() {
            let values = self.values(row, 1);
            let set: Vec<String> = values.iter().enumerate().map(|(i, value)| format!("c{i} = {value}")).collect();
            test.sql(&format!("UPDATE {} SET {} WHERE id = {row}", self.table, set.join(", ")));
        }
        test.sql(&format!("UPDATE {0} SET id = -id WHERE id % 5 = 4;\nDELETE FROM {0} WHERE id % 7 = 6;", self.table));
    }
}

pub fn wide(nullability: &'static str) -> Vec<Wide> {
    let numbers = [integers(), floats(), decimals(), bits()].into_iter().flatten().collect();
    let strings = [texts(), bytes(), labels()].into_iter().flatten().collect();
    let others = [documents(), places(), vectors()].into_iter().flatten().collect();
    [("numbers", numbers), ("strings", strings), ("times", times()), ("others", others)]
        .into_iter()
        .map(|(table, types)| Wide { table, types, nullability })
        .collect()
}
