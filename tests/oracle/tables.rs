//! Random tables: any types, keys of one or more columns of any type that may be a key, UNIQUE keys instead of one, with
//! NULL or without, no key at all, generated and invisible columns, an invisible key that the server makes, foreign keys
//! that cascade, MyISAM, hundreds of columns, target types of a user's choice.
//!
//! Each key column has a small pool of values, so that statements meet the same rows again and again.

use crate::dice::Dice;
use crate::kinds::{CHARSETS, Kind};
use crate::support::compare::Reading;
use crate::targets::{Target, target};
use crate::values::literal;

/// A table of the case.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    /// Names of the columns that statements find rows by, in the key's order if they are one; empty where the server makes
    /// the key.
    pub key: Vec<String>,
    pub told_by: ToldBy,
    pub engine: &'static str,
    pub foreign: Option<ForeignKey>,
}

/// What tells the rows of a table apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBy {
    Primary,
    /// A UNIQUE key, which does not when one of its columns takes NULL.
    Unique,
    /// The key that the server makes.
    Servers,
    Nothing,
}

/// A column of it.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    pub nullable: bool,
    /// What follows the type: DEFAULT, INVISIBLE, GENERATED ..
    pub attributes: String,
    /// Whether an INSERT may leave it out.
    pub optional: bool,
    pub generated: bool,
    /// The values to draw from; empty: any.
    pub pool: Vec<String>,
    /// The type that a user has chosen for it.
    pub target: Option<Target>,
}

/// A reference to another table of the case.
#[derive(Debug, Clone)]
pub struct ForeignKey {
    /// Index of the parent.
    pub parent: usize,
    clause: String,
}

/// The key that the server makes.
pub const SERVERS_KEY: &str = "my_row_id";
const ROW_BYTES: usize = 60_000;
/// What a row takes in its page, longer values apart: half a page of 16 KiB.
const PAGE_BYTES: usize = 7_000;
/// Longer values need no more than this in the page.
const IN_PAGE_BYTES: usize = 44;

/// The tables of a case.
pub fn tables(dice: &mut Dice) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for number in 0..dice.between(1, 5) {
        let parents: Vec<usize> = (0..tables.len()).filter(|&index| tables[index].may_be_parent()).collect();
        let table = match parents.is_empty() {
            false if dice.percent(40) => {
                let parent = *dice.pick(&parents);
                child(dice, number, parent, &tables[parent])
            }
            _ => table(dice, number),
        };
        tables.push(table);
    }
    tables
}

fn table(dice: &mut Dice, number: usize) -> Table {
    let engine = if dice.percent(12) { "MyISAM" } else { "InnoDB" };
    let told_by = match dice.below(10) {
        0 if engine == "InnoDB" => ToldBy::Servers,
        1 => ToldBy::Unique,
        2 | 3 => ToldBy::Nothing,
        _ => ToldBy::Primary,
    };
    let key_columns = if told_by == ToldBy::Servers { 0 } else { *dice.pick(&[1, 1, 1, 2, 2, 3]) };
    let pool = *dice.pick(&[3, 10, 40]);
    let mut columns = key_columns_of(dice, told_by, key_columns, pool);
    let mut key: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let others = *dice.pick(&[1, 2, 3, 5, 8, 8, 15, 15, 30, 200]);
    add_columns(dice, &mut columns, others);
    if engine == "MyISAM" {
        columns.retain(|column| !column.kind.definition().contains("SRID"));
    }
    if dice.percent(50) {
        mix(dice, &mut columns);
        mix(dice, &mut key);
    }
    if dice.percent(40) {
        let computed = generated(dice, &columns);
        columns.extend(computed);
    }
    let name = if dice.percent(10) { format!("größe {number} $") } else { format!("t{number}") };
    Table { name, columns, key, told_by, engine, foreign: None }.with_sound_rows()
}

/// The columns that rows are found by: a key, unless one of them takes NULL.
fn key_columns_of(dice: &mut Dice, told_by: ToldBy, count: usize, pool: usize) -> Vec<Column> {
    let takes_null = match told_by {
        ToldBy::Primary | ToldBy::Servers => false,
        ToldBy::Unique => dice.percent(30),
        ToldBy::Nothing => dice.percent(50),
    };
    let is_key = told_by != ToldBy::Nothing && !takes_null;
    (0..count).map(|index| key_column(dice, index, pool, is_key, takes_null)).collect()
}

fn key_column(dice: &mut Dice, index: usize, pool: usize, is_key: bool, nullable: bool) -> Column {
    // MyISAM has 1,000 bytes for a key: three columns of the longest are 960.
    let kind = Kind::key(dice);
    let pool: Vec<String> = (0..pool).map(|_| literal(dice, &kind, true)).collect();
    let target = if dice.percent(25) { target(dice, &kind, is_key) } else { None };
    Column { pool, optional: false, target, ..Column::new(format!("k{index}"), kind, nullable) }
}

fn add_columns(dice: &mut Dice, columns: &mut Vec<Column>, count: usize) {
    let in_page = |kind: &Kind| kind.row_bytes().min(IN_PAGE_BYTES);
    let (mut row, mut page) = (2000, 500);
    for index in 0..count {
        let kind = Kind::any(dice);
        row += kind.row_bytes();
        page += in_page(&kind);
        if row > ROW_BYTES || page > PAGE_BYTES {
            return;
        }
        let column = column(dice, index, kind);
        columns.push(column);
    }
}

fn column(dice: &mut Dice, index: usize, kind: Kind) -> Column {
    let names = ["select", "größe", "a b", "C", "$"];
    let name = if dice.percent(10) { format!("{} {index}", dice.pick(&names)) } else { format!("c{index}") };
    let nullable = dice.percent(60);
    let mut column = Column::new(name, kind, nullable);
    if dice.percent(25) {
        column.attributes = default(dice, &column);
        column.optional |= !column.attributes.is_empty();
    }
    if dice.percent(25) {
        column.target = target(dice, &column.kind, false);
        column.pool = column.target.as_ref().map_or(Vec::new(), |target| target.pool(&column.kind));
    }
    // All columns of a table must not be invisible, so the first stays.
    if index > 0 && dice.percent(10) {
        column.attributes.push_str(" INVISIBLE");
    }
    column
}

fn default(dice: &mut Dice, column: &Column) -> String {
    match &column.kind {
        Kind::Json => " DEFAULT (JSON_OBJECT('a', 1, 'b', JSON_ARRAY(1, 2)))".to_owned(),
        Kind::Blob(_) => " DEFAULT (X'00FF')".to_owned(),
        Kind::Timestamp(fsp) | Kind::DateTime(fsp) => {
            format!(" DEFAULT CURRENT_TIMESTAMP({fsp}) ON UPDATE CURRENT_TIMESTAMP({fsp})")
        }
        Kind::Int { bits, unsigned: false } => format!(" DEFAULT {}", -(1i128 << (bits - 1))),
        Kind::VarChar(..) | Kind::Char(..) => format!(" DEFAULT '{}'", dice.pick(&["", "d"])),
        Kind::Date => " DEFAULT '9999-12-31'".to_owned(),
        Kind::Enum(labels) | Kind::Set(labels) => {
            format!(" DEFAULT {}", crate::values::quote(dice.pick::<String>(labels)))
        }
        kind if kind.takes_default() && column.nullable => " DEFAULT NULL".to_owned(),
        _ => String::new(),
    }
}

/// A column computed from another, stored or not; from no key, and from no TIMESTAMP, whose text is
/// the session's.
fn generated(dice: &mut Dice, columns: &[Column]) -> Option<Column> {
    let is_refused = |kind: &Kind| matches!(kind, Kind::Timestamp(_) | Kind::Vector(_));
    let is_source = |column: &&Column| column.pool.is_empty() && !is_refused(&column.kind);
    let sources: Vec<&Column> = columns.iter().filter(is_source).collect();
    let first = sources.first()?;
    let source = if dice.percent(50) { *first } else { *dice.pick(&sources) };
    let name = source.quoted();
    let (definition, kind) = match &source.kind {
        Kind::Json => (format!("TEXT AS (JSON_UNQUOTE({name}->'$.a'))"), Kind::Text(1, CHARSETS[0])),
        Kind::Geometry(_) => (format!("INT AS (LENGTH({name}))"), Kind::Float),
        Kind::Int { .. } => {
            let text = format!("VARCHAR(60) AS (CONCAT('<', IFNULL({name}, 'é'), '>'))");
            (text, Kind::VarChar(60, CHARSETS[0]))
        }
        _ => (format!("BIGINT UNSIGNED AS (CRC32({name}))"), Kind::Float),
    };
    let attributes = format!("{definition} {}", dice.pick(&["VIRTUAL", "STORED"]));
    Some(Column { attributes, generated: true, ..Column::new("computed".to_owned(), kind, true) })
}

fn child(dice: &mut Dice, number: usize, parent_index: usize, parent: &Table) -> Table {
    let parents_key = parent.columns.iter().find(|column| column.name == parent.key[0]).unwrap();
    let in_key = dice.percent(40);
    let mut reference = Column { name: "parent".to_owned(), nullable: !in_key, ..parents_key.clone() };
    reference.optional = !in_key;
    let told_by = *dice.pick(&[ToldBy::Primary, ToldBy::Primary, ToldBy::Unique, ToldBy::Nothing]);
    let key_column = key_column(dice, 0, 20, true, false);
    let mut key = vec![key_column.name.clone()];
    if in_key {
        key.push(reference.name.clone());
    }
    let mut columns = vec![key_column, reference];
    let others = dice.between(1, 5);
    add_columns(dice, &mut columns, others);
    let computed = generated(dice, &columns);
    columns.extend(computed);
    let actions: &[&str] = if in_key { &["CASCADE", "RESTRICT"] } else { &["CASCADE", "SET NULL", "RESTRICT"] };
    let (on_delete, on_update) = (dice.pick(actions), dice.pick(actions));
    let clause = format!(
        "FOREIGN KEY (`parent`) REFERENCES `{}` ({}) ON DELETE {on_delete} ON UPDATE {on_update}",
        parent.name,
        parents_key.quoted()
    );
    let foreign = Some(ForeignKey { parent: parent_index, clause });
    Table { name: format!("child{number}"), columns, key, told_by, engine: "InnoDB", foreign }.with_sound_rows()
}

fn mix<T>(dice: &mut Dice, list: &mut [T]) {
    for index in (1..list.len()).rev() {
        list.swap(index, dice.between(0, index));
    }
}

impl Table {
    /// Without a key a VIRTUAL column is refused: sessions may differ in it.
    fn with_sound_rows(mut self) -> Self {
        if !self.has_key() {
            let computed = self.columns.iter_mut().filter(|column| column.generated);
            computed.for_each(|column| column.attributes = column.attributes.replace("VIRTUAL", "STORED"));
        }
        self
    }

    /// CREATE TABLE, and before it what the session must say.
    pub fn create(&self) -> [String; 2] {
        let mut parts: Vec<String> = self.columns.iter().map(Column::definition).collect();
        let names: Vec<String> = self.key.iter().map(|name| format!("`{name}`")).collect();
        match self.told_by {
            ToldBy::Primary => parts.push(format!("PRIMARY KEY ({})", names.join(", "))),
            ToldBy::Unique => parts.push(format!("UNIQUE KEY ({})", names.join(", "))),
            ToldBy::Servers | ToldBy::Nothing => {}
        }
        parts.extend(self.foreign.iter().map(|foreign| foreign.clause.clone()));
        let servers_key = if self.told_by == ToldBy::Servers { "ON" } else { "OFF" };
        [
            format!("SET SESSION sql_generate_invisible_primary_key = {servers_key}"),
            format!("CREATE TABLE {} ({}) ENGINE={}", self.quoted(), parts.join(", "), self.engine),
        ]
    }

    pub fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }

    pub fn is_transactional(&self) -> bool {
        self.engine == "InnoDB"
    }

    /// A column that a statement may give a value, key or not.
    pub fn is_key(&self, column: &Column) -> bool {
        self.key.contains(&column.name)
    }

    /// Whether anything tells its rows apart.
    pub fn has_key(&self) -> bool {
        let takes_null = self.columns.iter().any(|column| column.nullable && self.is_key(column));
        self.told_by != ToldBy::Nothing && !takes_null
    }

    fn may_be_parent(&self) -> bool {
        self.is_transactional() && self.key.len() == 1 && self.has_key()
    }

    /// What the configuration says of its columns.
    pub fn rule(&self, database: &str) -> Option<toml::Value> {
        let chosen = || self.columns.iter().filter_map(|column| Some((column.name.clone(), column.target.as_ref()?)));
        let types: toml::Table =
            chosen().filter_map(|(name, target)| Some((name, target.ty.clone()?.into()))).collect();
        let policies = chosen().filter_map(|(name, target)| Some((name, target.on_bad_value?.into())));
        let name = format!("`{database}`.{}", self.quoted());
        let keys: [(&str, toml::Value); 3] = [
            ("table", name.into()),
            ("types", types.into()),
            ("on_bad_value", policies.collect::<toml::Table>().into()),
        ];
        chosen().next()?;
        Some(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<toml::Table>().into())
    }

    /// How its columns are compared that are not as by default.
    pub fn readings(&self) -> Vec<Reading> {
        self.columns.iter().filter_map(|column| Some(column.target.as_ref()?.reading(&column.name))).collect()
    }
}

impl Column {
    fn new(name: String, kind: Kind, nullable: bool) -> Self {
        // What MySQL fills in for nothing is a zero date, or no geometry at all.
        let optional = nullable || !kind.is_date() && !matches!(kind, Kind::Geometry(_));
        let (attributes, pool) = (String::new(), Vec::new());
        Self { name, kind, nullable, attributes, optional, generated: false, pool, target: None }
    }

    pub fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }

    fn definition(&self) -> String {
        if self.generated {
            return format!("{} {}", self.quoted(), self.attributes);
        }
        let null = if self.nullable { "NULL" } else { "NOT NULL" };
        format!("{} {} {null}{}", self.quoted(), self.kind.definition(), self.attributes)
    }

    /// A value for it.
    pub fn value(&self, dice: &mut Dice) -> String {
        if self.nullable && dice.percent(15) {
            return "NULL".to_owned();
        }
        if !self.pool.is_empty() && dice.percent(92) {
            return dice.pick(&self.pool).clone();
        }
        if self.optional && !self.attributes.is_empty() && self.attributes.contains("DEFAULT") && dice.percent(10) {
            return "DEFAULT".to_owned();
        }
        literal(dice, &self.kind, !self.nullable && (self.kind.is_date() || !self.pool.is_empty()))
    }
}
