//! Compares a table of MySQL with its copy in ClickHouse, value by value, by reading both sides afresh.
//!
//! Both servers turn each value into the same text themselves (integers and DECIMAL in digits, text and bytes in
//! hexadecimal, times and JSON as they print them), so nothing of the bridge takes part in the judgement. Floats are compared
//! by their bits. What ClickHouse is documented to hold as NULL, zero and partial dates, is NULL on MySQL's side too.
//! A column in a type of a user's choice is read as the caller says.
//!
//! Rows that no key tells apart are compared as often as they are there: whole rows, sorted, ClickHouse's from the view of
//! those that are there; and no row may have been taken away more often than it came, which the view would not show.
//!
//! Tables with an integer key are read in key order by both servers at once, whatever their size; the rows of others
//! are sorted here, because the servers order text differently.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Peekable;

use mysql::prelude::Queryable;

use super::servers::Servers;

const EXAMPLES: usize = 5;

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Report {
    /// Rows in MySQL.
    pub rows: u64,
    /// Keys whose rows differ, or that only one side has.
    pub different: u64,
    /// The first of them, told.
    pub examples: Vec<String>,
    /// CRC32 of MySQL's rows as text, in key order.
    pub checksum: u32,
}

impl Report {
    /// Whether both sides are equal.
    pub fn is_equal(&self) -> bool {
        self.different == 0
    }

    fn add(&mut self, text: impl FnOnce() -> String) {
        self.different += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(text());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_equal() {
            return write!(f, "equal ({} rows)", self.rows);
        }
        write!(f, "{} differences in {} rows", self.different, self.rows)?;
        self.examples.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

/// How a column is read that is not of its default type: SQL that makes the same text on each side, `{}` being its name;
/// None: as by default.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The column.
    pub column: String,
    /// MySQL's.
    pub source: Option<String>,
    /// ClickHouse's.
    pub target: Option<String>,
}

/// Compares `database.table` on both sides.
pub fn compare_tables(servers: &Servers, database: &str, table: &str) -> Report {
    compare_as(servers, database, table, &[])
}

/// The same, these columns being read as they say.
pub fn compare_as(servers: &Servers, database: &str, table: &str, readings: &[Reading]) -> Report {
    let mut connection = servers.mysql.connect();
    let shape = Shape::read(&mut connection, database, table, readings);
    let source = source_rows(&mut connection, &shape);
    let target = match servers.clickhouse.lines(&shape.target_query()) {
        Ok(lines) => lines.flat_map(|line| shape.target_rows(line)),
        Err(error) => return Report { different: 1, examples: vec![error], ..Report::default() },
    };
    if shape.integer_key {
        return merge(&shape, source, target);
    }
    let sorted = |rows: Vec<Row>| {
        let mut rows = rows;
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        rows.into_iter()
    };
    let mut report = merge(&shape, sorted(source.collect()), sorted(target.collect()));
    if !shape.has_key {
        let owed = servers.clickhouse.query(&shape.owed_query());
        if owed != "0" {
            report.add(|| format!("{owed} rows were taken away more often than they came"));
        }
    }
    report
}

/// A row: its key for the order, and its cells as one line of TabSeparated text.
#[derive(Clone)]
struct Row {
    key: Key,
    line: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Numbers(Vec<i128>),
    Text(String),
}

/// A table's columns, key first.
struct Shape {
    database: String,
    table: String,
    columns: Vec<Column>,
    /// Without a key all columns are.
    key_columns: usize,
    has_key: bool,
    integer_key: bool,
}

#[derive(Clone)]
struct Column {
    name: String,
    data_type: String,
    scale: u64,
    reading: Option<Reading>,
}

impl Shape {
    fn read(connection: &mut mysql::Conn, database: &str, table: &str, readings: &[Reading]) -> Self {
        let columns = "SELECT column_name, data_type, COALESCE(numeric_scale, 0) FROM information_schema.columns
             WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position";
        let columns: Vec<(String, String, u64)> = connection.exec(columns, (database, table)).unwrap();
        assert!(!columns.is_empty(), "{database}.{table} does not exist");
        let key = key_of(connection, database, table);
        let reading = |name: &str| readings.iter().find(|reading| reading.column == name).cloned();
        let columns = columns.into_iter();
        let columns =
            columns.map(|(name, data_type, scale)| Column { reading: reading(&name), name, data_type, scale });
        let (mut first, rest): (Vec<Column>, Vec<Column>) = columns.partition(|column| key.contains(&column.name));
        first.sort_by_key(|column| key.iter().position(|name| *name == column.name));
        let has_key = !key.is_empty();
        let integer_key = has_key && first.iter().all(Column::is_integer);
        let (database, table, columns) = (database.to_owned(), table.to_owned(), [first, rest].concat());
        let key_columns = if has_key { key.len() } else { columns.len() };
        Self { database, table, columns, key_columns, has_key, integer_key }
    }

    fn source_query(&self) -> String {
        self.query(Column::source_text, source_quoted, "")
    }

    fn target_query(&self) -> String {
        if self.has_key {
            return self.query(Column::target_text, target_quoted, " FINAL");
        }
        let view = target_quoted(&format!("{}__rows", self.table));
        format!("SELECT {}, _multiplicity FROM {}.{view}", self.target_texts(), target_quoted(&self.database))
    }

    /// How many different rows a log of changes has taken away more often than it has brought them.
    fn owed_query(&self) -> String {
        let name = format!("{}.{}", target_quoted(&self.database), target_quoted(&self.table));
        let texts = self.target_texts();
        format!("SELECT count() FROM (SELECT {texts} FROM {name} FINAL GROUP BY ALL HAVING sum(_sign) < 0)")
    }

    fn target_texts(&self) -> String {
        self.columns.iter().map(Column::target_text).collect::<Vec<_>>().join(", ")
    }

    fn query(&self, text: fn(&Column) -> String, quoted: fn(&str) -> String, modifier: &str) -> String {
        let texts: Vec<String> = self.columns.iter().map(text).collect();
        let name = format!("{}.{}", quoted(&self.database), quoted(&self.table));
        let mut sql = format!("SELECT {} FROM {name}{modifier}", texts.join(", "));
        if self.integer_key {
            let key: Vec<String> = self.columns[..self.key_columns].iter().map(|column| quoted(&column.name)).collect();
            sql = format!("{sql} ORDER BY {}", key.join(", "));
        }
        sql
    }

    /// A row, as often as it is there.
    fn target_rows(&self, line: String) -> impl Iterator<Item = Row> + use<> {
        assert!(!line.contains("DB::Exception: "), "ClickHouse, in the midst of its answer: {line}");
        let mut cells: Vec<&str> = line.split('\t').collect();
        let count = if self.has_key { 1 } else { cells.pop().unwrap().parse().unwrap() };
        assert_eq!(cells.len(), self.columns.len(), "ClickHouse answered with {line}");
        std::iter::repeat_n(self.row(&cells), count)
    }

    fn row(&self, cells: &[&str]) -> Row {
        let cells: Vec<String> = cells.iter().zip(&self.columns).map(|(cell, column)| column.canonical(cell)).collect();
        let key = &cells[..self.key_columns];
        let key = match self.integer_key {
            true => Key::Numbers(key.iter().map(|cell| cell.parse().unwrap()).collect()),
            false => Key::Text(key.join("\t")),
        };
        Row { key, line: cells.join("\t") }
    }

    fn tell_key(&self, key: &Key) -> String {
        let names: Vec<&str> = self.columns[..self.key_columns].iter().map(|column| column.name.as_str()).collect();
        let values = match key {
            Key::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Key::Text(text) => text.replace('\t', ", "),
        };
        format!("({}) = ({})", names.join(", "), shortened(&values, 0))
    }

    fn tell_difference(&self, source: &Row, target: &Row) -> String {
        let cells = source.line.split('\t').zip(target.line.split('\t'));
        let different: Vec<String> = cells
            .zip(&self.columns)
            .filter(|((source, target), _)| source != target)
            .map(|((source, target), column)| column.tell_difference(source, target))
            .collect();
        format!("{}: {}", self.tell_key(&source.key), different.join("; "))
    }
}

/// A name in MySQL's backquotes.
pub fn source_quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A name in ClickHouse's backquotes, where a backslash is an escape.
fn target_quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "``"))
}

/// The columns that tell rows apart: of the PRIMARY KEY, else of a UNIQUE one without NULL; none, if nothing does.
fn key_of(connection: &mut mysql::Conn, database: &str, table: &str) -> Vec<String> {
    let parts = "SELECT index_name, COALESCE(column_name, ''),
             column_name IS NOT NULL AND nullable <> 'YES' AND sub_part IS NULL
         FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? AND non_unique = 0
         ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index";
    let parts: Vec<(String, String, bool)> = connection.exec(parts, (database, table)).unwrap();
    let is_whole = |index: &str| parts.iter().all(|(name, _, is_whole)| name != index || *is_whole);
    let key = parts.iter().map(|(index, ..)| index).find(|index| is_whole(index));
    parts.iter().filter(|(index, ..)| Some(index) == key).map(|(_, column, _)| column.clone()).collect()
}

impl Column {
    /// Whether both servers order it by its number.
    fn is_integer(&self) -> bool {
        self.data_type.ends_with("int") && self.reading.is_none()
    }

    /// The value as text, made by MySQL.
    fn source_text(&self) -> String {
        let name = source_quoted(&self.name);
        if let Some(Reading { source: Some(sql), .. }) = &self.reading {
            return sql.replace("{}", &name);
        }
        match self.data_type.as_str() {
            "year" | "bit" => format!("CAST({name} AS UNSIGNED)"),
            // As JSON a double has all its digits; as CHAR the longest lose their last one.
            "float" | "double" => {
                format!(
                    "IF({name} IS NULL, NULL, TRIM('[' FROM TRIM(']' FROM CAST(JSON_ARRAY(CAST({name} AS DOUBLE)) AS CHAR))))"
                )
            }
            "date" | "datetime" | "timestamp" => {
                format!("IF(MONTH({name}) = 0 OR DAYOFMONTH({name}) = 0, NULL, CAST({name} AS CHAR))")
            }
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => format!("HEX({name})"),
            "json" => format!("HEX(CAST({name} AS CHAR CHARACTER SET utf8mb4))"),
            // An array has no NULL: it is empty instead.
            "vector" => format!("COALESCE(HEX({name}), '')"),
            place if self.is_geometry(place) => format!("HEX({name})"),
            text if self.is_text(text) => format!("HEX(CONVERT({name} USING utf8mb4))"),
            "time" | "decimal" => format!("CAST({name} AS CHAR)"),
            // Adding zero takes off the zeros that ZEROFILL shows.
            int if int.ends_with("int") => format!("CAST({name} + 0 AS CHAR)"),
            other => panic!("column {name}: the comparison does not know the type {other}"),
        }
    }

    /// The same text, made by ClickHouse.
    fn target_text(&self) -> String {
        let name = target_quoted(&self.name);
        if let Some(Reading { target: Some(sql), .. }) = &self.reading {
            return sql.replace("{}", &name);
        }
        match self.data_type.as_str() {
            "float" | "double" => format!("toString(toFloat64({name}))"),
            "decimal" => format!("toDecimalString({name}, {})", self.scale),
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => format!("hex({name})"),
            "vector" => format!("arrayStringConcat(arrayMap(element -> hex(element), {name}))"),
            text if text == "json" || self.is_text(text) || self.is_geometry(text) => format!("hex({name})"),
            _ => format!("toString({name})"),
        }
    }

    fn is_text(&self, data_type: &str) -> bool {
        matches!(data_type, "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set")
    }

    fn is_geometry(&self, data_type: &str) -> bool {
        ["geo", "point", "linestring", "polygon", "multi"].iter().any(|name| data_type.starts_with(name))
    }

    /// Floats by their bits: the servers print them differently, but both so that reading gives the same bits.
    fn canonical(&self, cell: &str) -> String {
        match self.data_type.as_str() {
            "float" if cell != "\\N" => format!("{:08x}", cell.parse::<f32>().unwrap().to_bits()),
            "double" if cell != "\\N" => format!("{:016x}", cell.parse::<f64>().unwrap().to_bits()),
            _ => cell.to_owned(),
        }
    }

    fn tell_difference(&self, source: &str, target: &str) -> String {
        let equal = source.bytes().zip(target.bytes()).take_while(|(a, b)| a == b).count();
        let (source, target) = (shortened(source, equal), shortened(target, equal));
        format!("column {} is {source} in MySQL, {target} in ClickHouse", self.name)
    }
}

/// A long text around the place that matters.
fn shortened(text: &str, place: usize) -> String {
    if text.len() <= 200 {
        return text.to_owned();
    }
    let start = place.saturating_sub(20);
    let part: String = text.chars().skip(start).take(80).collect();
    format!("..{part}.. ({} characters, from {start})", text.len())
}

fn source_rows<'a>(connection: &'a mut mysql::Conn, shape: &'a Shape) -> impl Iterator<Item = Row> + use<'a> {
    let result = connection.query_iter(shape.source_query());
    let rows = result.unwrap_or_else(|error| panic!("MySQL: {}.{}: {error}", shape.database, shape.table));
    rows.map(|row| {
        let cells = row.unwrap().unwrap();
        let cells: Vec<String> = cells.into_iter().map(cell_text).collect();
        shape.row(&cells.iter().map(String::as_str).collect::<Vec<_>>())
    })
}

fn cell_text(value: mysql::Value) -> String {
    match value {
        mysql::Value::NULL => "\\N".to_owned(),
        mysql::Value::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("MySQL answered with {other:?} where text was asked for"),
    }
}

/// Walks both sides in key order. A key that comes twice is a difference on whichever side has it twice.
fn merge(shape: &Shape, source: impl Iterator<Item = Row>, target: impl Iterator<Item = Row>) -> Report {
    let (mut source, mut target) = (source.peekable(), target.peekable());
    let (mut report, mut checksum) = (Report::default(), crc32fast::Hasher::new());
    while let Some(order) = next_order(&mut source, &mut target) {
        let left = if order.is_le() { source.next() } else { None };
        let right = if order.is_ge() { target.next() } else { None };
        if let Some(left) = &left {
            report.rows += 1;
            checksum.update(left.line.as_bytes());
            checksum.update(b"\n");
        }
        match (left, right) {
            (Some(left), Some(right)) if left.line == right.line => {}
            (Some(left), Some(right)) => report.add(|| shape.tell_difference(&left, &right)),
            (Some(left), None) => report.add(|| format!("{}: only in MySQL", shape.tell_key(&left.key))),
            (None, Some(right)) => report.add(|| format!("{}: only in ClickHouse", shape.tell_key(&right.key))),
            (None, None) => break,
        }
    }
    report.checksum = checksum.finalize();
    report
}

fn next_order(
    source: &mut Peekable<impl Iterator<Item = Row>>,
    target: &mut Peekable<impl Iterator<Item = Row>>,
) -> Option<Ordering> {
    match (source.peek(), target.peek()) {
        (Some(left), Some(right)) => Some(left.key.cmp(&right.key)),
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (None, None) => None,
    }
}
