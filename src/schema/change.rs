//! What a DDL statement does to the tables of the source: the parser's result, and the catalog's input.
//!
//! A statement is a list of changes, in the order in which they act. Clauses that change neither rows, columns nor the
//! keys that tell rows apart (other indexes, foreign keys, ALGORITHM, comments, ..) are not in it: an ALTER TABLE of nothing
//! else is no change.

use crate::schema::catalog::Definition;
use crate::schema::types::TableName;

/// A change of the source's schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// CREATE TABLE.
    Create(Box<CreateTable>),
    /// ALTER TABLE; its new name, if it gets one, is a `Rename` after it.
    Alter(AlterTable),
    /// RENAME TABLE, one pair; those of one statement act from left to right.
    Rename {
        /// What it was called.
        from: TableName,
        /// What it is called from here on.
        to: TableName,
    },
    /// DROP TABLE, one table; it need not exist.
    Drop(TableName),
    /// TRUNCATE TABLE.
    Truncate(TableName),
    /// Rows may have changed without row events, and why: a partition dropped or exchanged, a tablespace imported.
    Rewrite(TableName, String),
    /// Its UNIQUE keys may be others from here on: one was added, or an index was dropped that may have been one.
    UniqueKeys(TableName),
    /// The server may have made all its rows anew, in this session's time zone and modes: STORED columns are computed again,
    /// dates and times pass through them. No row event tells.
    Rebuilt(TableName),
    /// It gets a foreign key by which a change of another table changes rows here, and not every server logs these.
    Cascades(TableName),
    /// CREATE or ALTER DATABASE with its default character set, if named.
    Database {
        /// Its name.
        name: String,
        /// The default character set; `None` when the statement names none.
        charset: Option<String>,
        /// Which of the statements it is.
        statement: DatabaseStatement,
    },
    /// DROP DATABASE.
    DropDatabase(String),
}

/// What a database's default character set means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseStatement {
    /// CREATE: a new database; without a character set it has the server's.
    Create,
    /// CREATE IF NOT EXISTS, which is logged even when the database was there and so stays as it is.
    CreateIfMissing,
    /// ALTER: without a character set it stays as it is.
    Alter,
}

/// CREATE TABLE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// Its name.
    pub name: TableName,
    /// IF NOT EXISTS: it is logged even when the table was there, whatever columns it names.
    pub if_not_exists: bool,
    /// The table it is made LIKE, or its columns and the PRIMARY KEY.
    pub shape: CreatedShape,
    /// Whether it has a foreign key by which a change of another table changes rows here.
    pub cascades: bool,
    /// Whether it is of an engine that does not keep its rows.
    pub has_other_engine: bool,
}

/// Where a new table's columns come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedShape {
    /// LIKE this table.
    Like(TableName),
    /// As written.
    Written {
        /// Columns and attributes in order.
        columns: Vec<WrittenColumn>,
        /// PRIMARY KEY as a clause of its own. Columns can also say themselves that they are the key.
        key: Vec<KeyColumn>,
        /// UNIQUE keys in the order written, those of columns that say it themselves included.
        unique: Vec<Vec<KeyColumn>>,
        /// The table's default character set, if it names one.
        charset: Option<String>,
    },
}

/// A column of a PRIMARY or UNIQUE KEY, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// So many characters, or bytes of binary data, from its beginning; `None`: all.
    pub prefix: Option<u64>,
}

/// ALTER TABLE, or an index statement that concerns the PRIMARY KEY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterTable {
    /// The table.
    pub name: TableName,
    /// What is done to the old table, in the order written.
    pub actions: Vec<AlterAction>,
}

/// A clause of ALTER TABLE. Names are as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterAction {
    /// ADD COLUMN.
    Add(WrittenColumn, Place),
    /// MODIFY or CHANGE COLUMN: the old name, and all that it is from here on.
    Change(String, WrittenColumn, Place),
    /// DROP COLUMN.
    Drop(String),
    /// RENAME COLUMN.
    Rename(String, String),
    /// DROP PRIMARY KEY.
    DropKey,
    /// ADD PRIMARY KEY.
    AddKey(Vec<KeyColumn>),
    /// CONVERT TO CHARACTER SET; `None`: the database's default.
    ConvertTo(Option<String>),
    /// DEFAULT CHARACTER SET of columns to come.
    DefaultCharset(String),
    /// DROP COLUMN IF EXISTS and the like of MariaDB, and all that this version knows but cannot apply; with its words.
    Unclear(String),
}

/// Where a column is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// At the end when added, else where it was.
    Unsaid,
    /// FIRST.
    First,
    /// AFTER this column, by its new name.
    After(String),
}

/// A column as a statement writes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WrittenColumn {
    /// Name.
    pub name: String,
    /// Its type in lower case, aliases resolved: `bigint`, `varchar`, `longtext`.
    pub data_type: String,
    /// The numbers in parentheses: length, or precision and scale, or fsp.
    pub numbers: Vec<u64>,
    /// Labels of ENUM and SET, in UTF-8.
    pub labels: Vec<String>,
    /// UNSIGNED, ZEROFILL or SERIAL.
    pub unsigned: bool,
    /// CHARACTER SET, or that of COLLATE, if named; `binary` for BINARY, VARBINARY, BLOB is not written here.
    pub charset: Option<String>,
    /// NOT NULL, or implied by SERIAL; the PRIMARY KEY implies it, too, which is not written here.
    pub not_null: bool,
    /// `PRIMARY KEY` or `KEY` as an attribute.
    pub is_key: bool,
    /// `UNIQUE` as an attribute, or implied by SERIAL.
    pub is_unique: bool,
    /// GENERATED ALWAYS AS.
    pub is_generated: bool,
    /// It is generated, and not STORED.
    pub is_virtual: bool,
    /// AUTO_INCREMENT, or implied by SERIAL.
    pub is_auto_increment: bool,
    /// What rows that are there get when it is added.
    pub initial: Initial,
}

/// What rows that are there get in a new column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Initial {
    /// No DEFAULT: NULL, or the implicit default of a NOT NULL column.
    #[default]
    Implicit,
    /// DEFAULT NULL.
    Null,
    /// A string, unescaped.
    Text(String),
    /// A number as written, with its sign.
    Number(String),
    /// Not to be known from the statement: an expression, AUTO_INCREMENT, CURRENT_TIMESTAMP, a generated column, bytes.
    Unknown,
}

/// What an ALTER TABLE makes of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Altered {
    /// The table from here on.
    pub definition: Definition,
    /// For each of its columns, where the values of rows that are there come from.
    pub origins: Vec<Origin>,
    /// Whether a column that was there is written anew (MODIFY, CHANGE, CONVERT TO). Then more of it may be another than a
    /// definition says: its collation, its display width, its expression.
    pub rewrites_columns: bool,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The old table's column of this index, converted to the new type.
    Old(usize),
    /// It is new.
    New(Initial),
}
