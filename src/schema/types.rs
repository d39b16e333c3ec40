//! Column types of the source as the binary log and `information_schema` describe them.
//!
//! One [`SourceType`] holds all that is needed to find a value's end in a row image and to carry it over; what this
//! version cannot carry over exactly is [`SourceType::Unsupported`], with the type's name for the message.

use serde::{Deserialize, Serialize};

pub use crate::schema::charset::Charset;

/// A table's name on either side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct TableName {
    /// Database (MySQL: schema).
    pub database: String,
    /// Table.
    pub table: String,
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", Part(&self.database), Part(&self.table))
    }
}

/// A name as it stands in a pattern of the configuration: in backquotes unless it is plain, so that no two tables are
/// written alike.
struct Part<'a>(&'a str);

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        if self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        write!(f, "`{}`", self.0.replace('`', "``"))
    }
}

/// A column of a source table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumn {
    /// Name.
    pub name: String,
    /// Type.
    pub ty: SourceType,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// A type of MySQL, with what its bytes in a row image depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceType {
    /// TINYINT..BIGINT: `bytes` is 1, 2, 3, 4 or 8.
    Int { bytes: u8, unsigned: bool },
    /// FLOAT.
    Float,
    /// DOUBLE.
    Double,
    /// DECIMAL(precision, scale).
    Decimal { precision: u8, scale: u8 },
    /// YEAR.
    Year,
    /// DATE.
    Date,
    /// TIME(fsp).
    Time { fsp: u8 },
    /// DATETIME(fsp).
    DateTime { fsp: u8 },
    /// TIMESTAMP(fsp).
    Timestamp { fsp: u8 },
    /// BIT(bits).
    Bit { bits: u8 },
    /// CHAR, BINARY: `max_bytes` tells the width of the length, and how far BINARY is padded again with 0x00.
    Char { max_bytes: u16, charset: Charset },
    /// VARCHAR, VARBINARY.
    VarChar { max_bytes: u16, charset: Charset },
    /// TEXT, BLOB of all sizes: `length_bytes` is 1..=4.
    Blob { length_bytes: u8, charset: Charset },
    /// ENUM with its labels in UTF-8; index 0 is the empty string of an invalid value.
    Enum { labels: Vec<String> },
    /// SET with its labels in UTF-8.
    Set { labels: Vec<String> },
    /// TIME as before MySQL 5.6.4, without a fraction.
    OldTime,
    /// DATETIME as before MySQL 5.6.4, without a fraction.
    OldDateTime,
    /// TIMESTAMP as before MySQL 5.6.4, without a fraction.
    OldTimestamp,
    /// JSON.
    Json,
    /// JSON as the text that the server prints of it: in a copy only.
    JsonText,
    /// GEOMETRY and its subtypes.
    Geometry,
    /// VECTOR.
    Vector,
    /// What this version refuses, by name: `BLOB COMPRESSED of MariaDB`, ..
    Unsupported { name: String },
}

/// For a message, in MySQL's words as far as a row image knows them.
impl std::fmt::Display for SourceType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int { bytes, unsigned } => {
                let name = match bytes {
                    1 => "TINYINT",
                    2 => "SMALLINT",
                    3 => "MEDIUMINT",
                    4 => "INT",
                    _ => "BIGINT",
                };
                write!(f, "{name}{}", if *unsigned { " UNSIGNED" } else { "" })
            }
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Year => f.write_str("YEAR"),
            Self::Date => f.write_str("DATE"),
            Self::Time { fsp } => write!(f, "TIME({fsp})"),
            Self::DateTime { fsp } => write!(f, "DATETIME({fsp})"),
            Self::Timestamp { fsp } => write!(f, "TIMESTAMP({fsp})"),
            Self::Bit { bits } => write!(f, "BIT({bits})"),
            Self::Char { max_bytes, charset } => write!(f, "CHAR of {max_bytes} bytes {charset}"),
            Self::VarChar { max_bytes, charset } => write!(f, "VARCHAR of {max_bytes} bytes {charset}"),
            Self::Blob { length_bytes, charset } => {
                let size = ["TINY", "", "MEDIUM", "LONG"].get(usize::from(length_bytes.saturating_sub(1)));
                let kind = if *charset == Charset::Binary { "BLOB" } else { "TEXT" };
                write!(f, "{}{kind} {charset}", size.unwrap_or(&""))
            }
            Self::Enum { labels } => write!(f, "ENUM of {} labels", labels.len()),
            Self::Set { labels } => write!(f, "SET of {} labels", labels.len()),
            Self::OldTime => f.write_str("TIME as before MySQL 5.6"),
            Self::OldDateTime => f.write_str("DATETIME as before MySQL 5.6"),
            Self::OldTimestamp => f.write_str("TIMESTAMP as before MySQL 5.6"),
            Self::Json | Self::JsonText => f.write_str("JSON"),
            Self::Geometry => f.write_str("GEOMETRY"),
            Self::Vector => f.write_str("VECTOR"),
            Self::Unsupported { name } => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tables_are_written_alike() {
        let written = |database: &str, table: &str| {
            TableName { database: database.to_owned(), table: table.to_owned() }.to_string()
        };
        assert_eq!(written("shop", "orders_2"), "shop.orders_2");
        assert_eq!(written("a.b", "c"), "`a.b`.c");
        assert_eq!(written("a", "b.c"), "a.`b.c`");
        assert_eq!(written("a`", "*"), "`a```.`*`");
    }
}
