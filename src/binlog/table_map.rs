//! TABLE_MAP: a table's id, name and columns.
//!
//! Its columns are what the row images that follow are made of, whatever the table looks like now. Names, labels and
//! key are there with `binlog_row_metadata=FULL` only; [`super::minimal`] takes them from elsewhere. A column that this
//! version cannot carry over is [`SourceType::Unsupported`] by name; one whose code is unknown makes the whole map an error of that table, because
//! then not even the other columns' metadata can be found.

use super::column_metadata::ColumnMetadata;
use super::cursor::{Cursor, corrupt, quoted, utf8};
use super::event::Event;
use super::rows::column_count;
use crate::error::{Error, ErrorKind, Result};
use crate::schema::charset::{Use, charset_name};
use crate::schema::types::{Charset, SourceColumn, SourceType};

/// Type codes (`enum_field_types`).
mod code {
    pub const DECIMAL: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const NEWDATE: u8 = 14;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const TIMESTAMP2: u8 = 17;
    pub const DATETIME2: u8 = 18;
    pub const TIME2: u8 = 19;
    pub const TYPED_ARRAY: u8 = 20;
    pub const MARIADB_BLOB_COMPRESSED: u8 = 140;
    pub const MARIADB_VARCHAR_COMPRESSED: u8 = 141;
    pub const VECTOR: u8 = 242;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// The front of a TABLE_MAP: enough to know whether the table concerns us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableMapHead<'a> {
    /// What the rows events call the table by.
    pub table_id: u64,
    /// Its database.
    pub database: &'a str,
    /// Its name.
    pub table: &'a str,
}

/// A table's columns as the row images after this event have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableMap {
    /// What the rows events call the table by.
    pub table_id: u64,
    /// 1 always, 2 a foreign key references the table, 4 its key is a generated invisible one.
    pub flags: u16,
    /// Its database.
    pub database: String,
    /// Its name.
    pub table: String,
    /// Its columns in table order. Without full metadata they are named `@1`, `@2`, ..; ENUM and SET are the numbers that
    /// the images hold; before 8.0 integers are signed, and text, CHAR unpadded, has the bytes that it is stored as.
    pub columns: Vec<SourceColumn>,
    /// Indexes into `columns`, in key order, of the primary key, or of a NOT NULL UNIQUE key when there is none.
    pub primary_key: Option<Vec<usize>>,
    /// Whether the key holds only the beginning of a column: it does not tell rows apart by whole values.
    pub key_has_prefix: bool,
    /// Whether names, labels and key were there (`binlog_row_metadata=FULL`).
    pub has_full_metadata: bool,
    /// The ENUM and SET columns whose labels were not there, by index.
    pub unlabelled: Vec<(usize, Labelled)>,
}

/// A type whose values are numbers that stand for labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Labelled {
    /// ENUM.
    Enum,
    /// SET.
    Set,
}

impl Labelled {
    /// As MySQL writes it.
    pub fn name(self) -> &'static str {
        match self {
            Labelled::Enum => "ENUM",
            Labelled::Set => "SET",
        }
    }

    /// Bytes of a value in an image, by the number of labels.
    pub(super) fn bytes(self, labels: usize) -> usize {
        match self {
            Labelled::Enum if labels > 255 => 2,
            Labelled::Enum => 1,
            Labelled::Set if labels > 32 => 8,
            Labelled::Set => labels.div_ceil(8),
        }
    }
}

impl<'a> TableMapHead<'a> {
    /// Parses the front of the body.
    ///
    /// # Errors
    /// When it is truncated or a name is not UTF-8.
    pub fn parse(event: &Event<'a>) -> Result<Self> {
        Ok(head(&mut Cursor::new(event.body))?.0)
    }

    /// The id alone, and the rest of the body: that of all maps of a table until its shape changes.
    ///
    /// # Errors
    /// When it is truncated.
    #[inline]
    pub fn split_id(event: &Event<'a>) -> Result<(u64, &'a [u8])> {
        let mut body = Cursor::new(event.body);
        Ok((body.u48()?, body.rest()))
    }
}

/// Reads id, flags and names; every name has its length before and a zero behind it.
fn head<'a>(body: &mut Cursor<'a>) -> Result<(TableMapHead<'a>, u16)> {
    let (table_id, flags) = (body.u48()?, body.u16()?);
    let mut name = |what| {
        let length = body.u8()?;
        let name = utf8(body.bytes(usize::from(length))?, what)?;
        body.u8().map(|_zero| name)
    };
    let database = name("the database of a TABLE_MAP event")?;
    let table = name("the table of a TABLE_MAP event")?;
    Ok((TableMapHead { table_id, database, table }, flags))
}

impl TableMap {
    /// Parses the whole body.
    ///
    /// # Errors
    /// `CorruptStream` when it is truncated or contradicts itself, `TableShape` for a column of unknown type.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        let mut body = Cursor::new(event.body);
        let (head, flags) = head(&mut body)?;
        let column_count = column_count(&mut body)?;
        let codes = body.bytes(column_count)?;
        let sizes = Cursor::new(body.packed_bytes()?);
        let nullable = body.bytes(column_count.div_ceil(8))?;
        let metadata = ColumnMetadata::parse(body)?;
        let at_table = |error: Error| error.at_table(format_args!("{}.{}", head.database, head.table));
        let Columns { columns, has_charsets, unlabelled } =
            columns(codes, sizes, nullable, &metadata).map_err(at_table)?;
        check_key(metadata.key.as_deref(), column_count).map_err(at_table)?;
        // Names decide: MINIMAL has none. Labels come with them, but a truncated list must not pass.
        let is_whole = has_charsets && unlabelled.is_empty();
        let has_full_metadata = is_whole && metadata.names.len() == columns.len();
        Ok(Self {
            table_id: head.table_id,
            flags,
            database: head.database.to_owned(),
            table: head.table.to_owned(),
            columns,
            primary_key: metadata.key,
            key_has_prefix: metadata.key_has_prefix,
            has_full_metadata,
            unlabelled,
        })
    }
}

fn check_key(key: Option<&[usize]>, column_count: usize) -> Result<()> {
    match key.unwrap_or_default().iter().find(|&&column| column >= column_count) {
        Some(column) => Err(corrupt(format!("a key with column {column} of {column_count}"))),
        None => Ok(()),
    }
}

struct Columns {
    columns: Vec<SourceColumn>,
    has_charsets: bool,
    unlabelled: Vec<(usize, Labelled)>,
}

/// Puts what the event says by kind of column back together by column, and tells what it did not say.
fn columns(codes: &[u8], sizes: Cursor<'_>, nullable: &[u8], metadata: &ColumnMetadata<'_>) -> Result<Columns> {
    if !metadata.names.is_empty() && metadata.names.len() != codes.len() {
        return Err(corrupt(format!("{} names for {} columns", metadata.names.len(), codes.len())));
    }
    let mut types = Types {
        sizes,
        metadata,
        has_charsets: true,
        unlabelled: Vec::new(),
        column: 0,
        numbers: 0,
        texts: 0,
        labelled: 0,
        enums: 0,
        sets: 0,
    };
    let mut columns = Vec::with_capacity(codes.len());
    for (index, &code) in codes.iter().enumerate() {
        let name = match metadata.names.get(index) {
            Some(name) => utf8(name, "a column's name")?.to_owned(),
            None => format!("@{}", index + 1),
        };
        types.column = index;
        let ty = types.next(code).map_err(|error| error.at_column(&name))?;
        columns.push(SourceColumn { name, ty, nullable: bit_from_low(nullable, index) });
    }
    Ok(Columns { columns, has_charsets: types.has_charsets, unlabelled: types.unlabelled })
}

/// Reads the columns' types in order, counting each kind that has lists of its own.
struct Types<'e, 'a> {
    sizes: Cursor<'a>,
    metadata: &'e ColumnMetadata<'a>,
    /// Whether no column lacked its character set.
    has_charsets: bool,
    /// The columns that lacked their labels.
    unlabelled: Vec<(usize, Labelled)>,
    /// The index of the column that is read.
    column: usize,
    numbers: usize,
    texts: usize,
    labelled: usize,
    enums: usize,
    sets: usize,
}

impl Types<'_, '_> {
    fn next(&mut self, code: u8) -> Result<SourceType> {
        match code {
            code::TINY => Ok(self.int(1)),
            code::SHORT => Ok(self.int(2)),
            code::INT24 => Ok(self.int(3)),
            code::LONG => Ok(self.int(4)),
            code::LONGLONG => Ok(self.int(8)),
            code::FLOAT => self.float(4, SourceType::Float),
            code::DOUBLE => self.float(8, SourceType::Double),
            code::NEWDECIMAL => self.decimal(),
            code::YEAR => {
                self.is_next_unsigned();
                Ok(SourceType::Year)
            }
            code::DATE | code::NEWDATE => Ok(SourceType::Date),
            code::TIME2 => Ok(SourceType::Time { fsp: self.fsp()? }),
            code::DATETIME2 => Ok(SourceType::DateTime { fsp: self.fsp()? }),
            code::TIMESTAMP2 => Ok(SourceType::Timestamp { fsp: self.fsp()? }),
            code::BIT => self.bit(),
            code::VARCHAR | code::VAR_STRING => {
                let max_bytes = self.sizes.u16()?;
                Ok(self.text("VARCHAR", |charset| SourceType::VarChar { max_bytes, charset }))
            }
            code::STRING => self.string(),
            code::TINY_BLOB..=code::BLOB => self.blob(),
            code::VECTOR => {
                // Counts among the text columns, with the character set binary.
                self.texts += 1;
                self.with_long_length(SourceType::Vector)
            }
            code::JSON => self.with_long_length(SourceType::Json),
            code::GEOMETRY => self.with_long_length(SourceType::Geometry),
            code::TIMESTAMP => Ok(SourceType::OldTimestamp),
            code::DATETIME => Ok(SourceType::OldDateTime),
            code::TIME => Ok(SourceType::OldTime),
            code::DECIMAL => self.unsupported("DECIMAL in the format before MySQL 5.0", 0),
            code::NULL => self.unsupported("NULL", 0),
            code::MARIADB_BLOB_COMPRESSED => self.unsupported("BLOB COMPRESSED of MariaDB", 1),
            code::MARIADB_VARCHAR_COMPRESSED => self.unsupported("VARCHAR COMPRESSED of MariaDB", 2),
            code::TYPED_ARRAY => {
                Err(Error::new(ErrorKind::TableShape, "a typed array (of a multi-valued index) is not supported"))
            }
            _ => Err(Error::new(ErrorKind::TableShape, format!("column type {code} is unknown to this version"))),
        }
    }

    /// Steps over a numeric column's bit.
    fn is_next_unsigned(&mut self) -> bool {
        self.numbers += 1;
        bit_from_high(self.metadata.unsigned, self.numbers - 1)
    }

    fn int(&mut self, bytes: u8) -> SourceType {
        SourceType::Int { bytes, unsigned: self.is_next_unsigned() }
    }

    fn float(&mut self, expected_bytes: u8, ty: SourceType) -> Result<SourceType> {
        self.is_next_unsigned();
        let bytes = self.sizes.u8()?;
        within(bytes, expected_bytes, expected_bytes, "bytes of a FLOAT or DOUBLE")?;
        Ok(ty)
    }

    fn decimal(&mut self) -> Result<SourceType> {
        self.is_next_unsigned();
        let (precision, scale) = (self.sizes.u8()?, self.sizes.u8()?);
        within(precision, 1, 65, "the precision of a DECIMAL")?;
        within(scale, 0, precision.min(30), "the scale of a DECIMAL")?;
        Ok(SourceType::Decimal { precision, scale })
    }

    fn fsp(&mut self) -> Result<u8> {
        within(self.sizes.u8()?, 0, 6, "the fractional digits of a time")
    }

    fn bit(&mut self) -> Result<SourceType> {
        let (bits, bytes) = (self.sizes.u8()?, self.sizes.u8()?);
        let bits = within(bytes, 0, 8, "the bytes of a BIT")? * 8 + within(bits, 0, 7, "the odd bits of a BIT")?;
        Ok(SourceType::Bit { bits: within(bits, 1, 64, "the bits of a BIT")? })
    }

    fn blob(&mut self) -> Result<SourceType> {
        let length_bytes = within(self.sizes.u8()?, 1, 4, "the length bytes of a BLOB")?;
        Ok(self.text("TEXT", |charset| SourceType::Blob { length_bytes, charset }))
    }

    /// CHAR, BINARY, ENUM, SET. The first byte is the real type, with the two high bits of CHAR's length, inverted, in
    /// its bits 4 and 5.
    fn string(&mut self) -> Result<SourceType> {
        let (first, second) = (self.sizes.u8()?, self.sizes.u8()?);
        match first {
            code::ENUM => self.enumeration(second),
            code::SET => self.set(second),
            _ if first | 0x30 == code::STRING => {
                let max_bytes = u16::from(second) | u16::from(first & 0x30 ^ 0x30) << 4;
                Ok(self.text("CHAR", |charset| SourceType::Char { max_bytes, charset }))
            }
            _ => Err(corrupt(format!("a STRING column of the real type {first:#04x}"))),
        }
    }

    fn enumeration(&mut self, bytes: u8) -> Result<SourceType> {
        let labels = self.metadata.enum_labels.get(self.enums);
        self.enums += 1;
        self.labelled(Labelled::Enum, bytes, labels, |labels| SourceType::Enum { labels })
    }

    fn set(&mut self, bytes: u8) -> Result<SourceType> {
        let labels = self.metadata.set_labels.get(self.sets);
        self.sets += 1;
        self.labelled(Labelled::Set, bytes, labels, |labels| SourceType::Set { labels })
    }

    fn labelled(
        &mut self,
        kind: Labelled,
        bytes: u8,
        labels: Option<&Vec<&[u8]>>,
        make: impl Fn(Vec<String>) -> SourceType,
    ) -> Result<SourceType> {
        let collation = self.metadata.label_charsets.get(self.labelled);
        self.labelled += 1;
        let Some(labels) = labels else {
            self.unlabelled.push((self.column, kind));
            return Ok(SourceType::Int { bytes, unsigned: true });
        };
        let (kind, expected_bytes) = (kind.name(), kind.bytes(labels.len()));
        if expected_bytes != usize::from(bytes) {
            return Err(corrupt(format!("{kind} values of {bytes} bytes for {} labels", labels.len())));
        }
        Ok(match charset(collation) {
            Ok(charset) => {
                decode_labels(kind, labels, charset).map_or_else(|name| SourceType::Unsupported { name }, make)
            }
            Err(name) => SourceType::Unsupported { name: format!("{kind} in {name}") },
        })
    }

    fn text(&mut self, kind: &str, make: impl Fn(Charset) -> SourceType) -> SourceType {
        let collation = self.metadata.text_charsets.get(self.texts);
        self.texts += 1;
        if collation.is_none() {
            self.has_charsets = false;
            return make(Charset::Utf8);
        }
        match charset(collation) {
            Ok(charset) => make(charset),
            Err(name) => SourceType::Unsupported { name: format!("{kind} in {name}") },
        }
    }

    /// JSON, GEOMETRY and VECTOR say how wide their lengths are, which is 4 bytes always.
    fn with_long_length(&mut self, ty: SourceType) -> Result<SourceType> {
        within(self.sizes.u8()?, 4, 4, "the length bytes of a JSON, GEOMETRY or VECTOR")?;
        Ok(ty)
    }

    fn unsupported(&mut self, name: &str, size_bytes: usize) -> Result<SourceType> {
        self.sizes.bytes(size_bytes)?;
        Ok(SourceType::Unsupported { name: name.to_owned() })
    }
}

/// The character set, or how to name it in a message.
fn charset(collation: Option<u64>) -> std::result::Result<Charset, String> {
    let Some(id) = collation else { return Err("an unknown character set (no metadata)".to_owned()) };
    let name = charset_name(id).unwrap_or("of an unknown collation");
    Charset::from_name(name).ok_or_else(|| format!("character set {name} (#{id})"))
}

/// Labels in UTF-8, or the name of a type that cannot be told in UTF-8.
fn decode_labels(kind: &str, labels: &[&[u8]], charset: Charset) -> std::result::Result<Vec<String>, String> {
    let decode = |label: &&[u8]| {
        let refused = |_| format!("{kind} with the label '{}', which is no text in {charset}", quoted(label));
        charset.text(label, Use::Value).map_err(refused)
    };
    labels.iter().map(decode).collect()
}

fn within(value: u8, min: u8, max: u8, what: &str) -> Result<u8> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(corrupt(format!("{value} as {what}: expected {min} to {max}")))
    }
}

/// Bit `index`, lowest first; missing ones are 0.
fn bit_from_low(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
}

/// Bit `index`, highest first; missing ones are 0.
fn bit_from_high(bytes: &[u8], index: usize) -> bool {
    bytes.get(index / 8).is_some_and(|byte| byte << (index % 8) & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples::{self, parse};

    fn map(bytes: &[u8]) -> TableMap {
        TableMap::parse(&parse(bytes)).unwrap()
    }

    fn types(bytes: &[u8]) -> Vec<SourceType> {
        map(bytes).columns.into_iter().map(|column| column.ty).collect()
    }

    fn unsupported(name: &str) -> SourceType {
        SourceType::Unsupported { name: name.to_owned() }
    }

    #[test]
    fn numbers() {
        let map = map(samples::MAP_INTS);
        assert_eq!((map.table_id, map.flags), (108, 1));
        assert_eq!((&map.database[..], &map.table[..]), ("part_binlog", "ints"));
        let names: String = map.columns.iter().map(|column| format!("{} ", column.name)).collect();
        assert_eq!(names, "a b c d e f g h i j y fl db de bo bi du ");
        let nullable: Vec<usize> = (0..17).filter(|&index| !map.columns[index].nullable).collect();
        assert_eq!(nullable, [9]);
        assert_eq!((map.primary_key, map.key_has_prefix, map.has_full_metadata), (Some(vec![9]), false, true));
        let int = |bytes, unsigned| SourceType::Int { bytes, unsigned };
        let expected = [
            int(1, false),
            int(1, true),
            int(2, false),
            int(2, true),
            int(3, false),
            int(3, true),
            int(4, false),
            int(4, true),
            int(8, false),
            int(8, true),
            SourceType::Year,
            SourceType::Float,
            SourceType::Double,
            SourceType::Decimal { precision: 10, scale: 3 },
            int(1, false),
            SourceType::Bit { bits: 10 },
            SourceType::Decimal { precision: 4, scale: 4 },
        ];
        assert_eq!(types(samples::MAP_INTS), expected);
    }

    #[test]
    fn texts() {
        use Charset::{Binary, Latin1, Utf8};
        let char = |max_bytes, charset| SourceType::Char { max_bytes, charset };
        let varchar = |max_bytes, charset| SourceType::VarChar { max_bytes, charset };
        let blob = |length_bytes, charset| SourceType::Blob { length_bytes, charset };
        let expected = [
            SourceType::Int { bytes: 4, unsigned: false },
            char(1020, Utf8),
            char(10, Latin1),
            char(16, Binary),
            varchar(256, Utf8),
            varchar(300, Latin1),
            varchar(300, Binary),
            blob(1, Utf8),
            blob(2, Charset::Ascii),
            blob(3, Charset::Utf8mb3),
            blob(4, Utf8),
            blob(1, Binary),
            blob(2, Binary),
            blob(3, Binary),
            blob(4, Binary),
            varchar(20, Charset::Gbk),
            char(6, Charset::Sjis),
            varchar(16, Charset::Utf16),
            varchar(20, Utf8),
        ];
        assert_eq!(types(samples::MAP_TEXTS), expected);
        assert_eq!(map(samples::MAP_TEXTS).primary_key, Some(vec![4, 0]), "in key order");
    }

    #[test]
    fn times() {
        let expected = [
            SourceType::Int { bytes: 4, unsigned: false },
            SourceType::Date,
            SourceType::Time { fsp: 0 },
            SourceType::Time { fsp: 3 },
            SourceType::Time { fsp: 6 },
            SourceType::DateTime { fsp: 0 },
            SourceType::DateTime { fsp: 1 },
            SourceType::DateTime { fsp: 6 },
            SourceType::Timestamp { fsp: 0 },
            SourceType::Timestamp { fsp: 4 },
        ];
        assert_eq!(types(samples::MAP_TIMES), expected);
        assert_eq!(map(samples::MAP_TIMES).primary_key, Some(vec![0]), "a UNIQUE key stands in for the missing one");
    }

    #[test]
    fn labels() {
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>();
        let expected = [
            SourceType::Int { bytes: 4, unsigned: false },
            SourceType::Enum { labels: labels(&["a", "b,c", "é"]) },
            SourceType::Enum { labels: labels(&["é", "x"]) },
            SourceType::Set { labels: labels(&["x", "y", "z"]) },
            SourceType::Enum { labels: labels(&["表", "b"]) },
            SourceType::VarChar { max_bytes: 3, charset: Charset::Latin1 },
            SourceType::Set { labels: labels(&["ü", "o"]) },
            SourceType::Enum { labels: labels(&["q", "w"]) },
            SourceType::Enum { labels: labels(&["é", "x"]) },
        ];
        assert_eq!(types(samples::MAP_ENUMS), expected);
    }

    #[test]
    fn documents_and_places() {
        let expected = [SourceType::Json, SourceType::Geometry, SourceType::Geometry, SourceType::Vector];
        assert_eq!(types(samples::MAP_OTHERS)[1..5], expected);
        let blob = SourceType::Blob { length_bytes: 2, charset: Charset::Binary };
        assert_eq!(types(samples::MAP_OTHERS)[5], blob, "VECTOR counts among the text columns");
    }

    #[test]
    fn keys() {
        let check = |bytes, key: Option<&[usize]>, has_prefix| {
            let map = map(bytes);
            assert_eq!((map.primary_key.as_deref(), map.key_has_prefix), (key, has_prefix));
        };
        check(samples::MAP_PREFIX, Some(&[0, 1]), true);
        check(samples::MAP_PK_ORDER, Some(&[2, 0]), false);
        check(samples::MAP_NOKEY, None, false);
        assert_eq!(map(samples::MAP_NOKEY).columns.len(), 4, "invisible and generated columns are in the images");
    }

    #[test]
    fn the_head_alone() {
        let event = parse(samples::MAP_PART);
        let expected = TableMapHead { table_id: 115, database: "part_binlog", table: "part" };
        assert_eq!(TableMapHead::parse(&event).unwrap(), expected);
    }

    /// A map of nullable columns of table `d.t`.
    fn made(codes: &[u8], sizes: &[u8], metadata: &[u8]) -> Result<TableMap> {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0, length(codes)];
        body.extend(codes.iter().chain(&[length(sizes)]).chain(sizes));
        body.extend(vec![0xff; codes.len().div_ceil(8)]);
        body.extend(metadata);
        TableMap::parse(&Event { header: parse(samples::MAP_INTS).header, body: &body })
    }

    #[test]
    fn minimal_metadata_has_no_names() {
        let map = made(&[3, 254, 15], &[0xf7, 1, 3, 0], &[1, 1, 0x80, 2, 1, 8, 99, 2, 7, 7]).unwrap();
        assert!(!map.has_full_metadata);
        let names: Vec<&str> = map.columns.iter().map(|column| &column.name[..]).collect();
        assert_eq!(names, ["@1", "@2", "@3"]);
        assert_eq!(map.columns[0].ty, SourceType::Int { bytes: 4, unsigned: true });
        assert_eq!(map.columns[1].ty, SourceType::Int { bytes: 1, unsigned: true }, "an ENUM without its labels");
        assert_eq!(map.unlabelled, [(1, Labelled::Enum)]);
        assert_eq!(map.columns[2].ty, SourceType::VarChar { max_bytes: 3, charset: Charset::Latin1 });
    }

    #[test]
    fn charsets_of_single_columns_differ_from_the_default() {
        let map = made(&[15, 15, 15], &[9, 0, 9, 0, 9, 0], &[2, 5, 45, 1, 63, 2, 8]).unwrap();
        let charsets = [Charset::Utf8, Charset::Binary, Charset::Latin1];
        for (column, charset) in map.columns.iter().zip(charsets) {
            assert_eq!(column.ty, SourceType::VarChar { max_bytes: 9, charset });
        }
        let map = made(&[252], &[2], &[3, 3, 0xfc, 0x44, 1]).unwrap();
        assert_eq!(map.columns[0].ty, unsupported("TEXT in character set of an unknown collation (#324)"));
        let map = made(&[252], &[2], &[]).unwrap();
        assert_eq!(map.columns[0].ty, SourceType::Blob { length_bytes: 2, charset: Charset::Utf8 });
        assert!(!map.has_full_metadata);
    }

    #[test]
    fn names_without_labels_or_character_sets_are_not_full() {
        let named = |code, sizes: &[u8], rest: &[u8]| made(&[code], sizes, &[&[4, 2, 1, b'a'], rest].concat()).unwrap();
        assert!(named(3, &[], &[]).has_full_metadata);
        assert!(!named(254, &[0xf7, 1], &[10, 1, 45]).has_full_metadata);
        assert!(named(254, &[0xf7, 1], &[10, 1, 45, 6, 3, 1, 1, b'x']).has_full_metadata);
        assert!(!named(252, &[2], &[]).has_full_metadata);
        assert!(named(252, &[2], &[2, 1, 45]).has_full_metadata);
    }

    #[test]
    fn old_types() {
        let map = made(&[7, 12, 11, 1, 0], &[], &[1, 1, 0x80]).unwrap();
        let types: Vec<SourceType> = map.columns.into_iter().map(|column| column.ty).collect();
        let expected = [
            SourceType::OldTimestamp,
            SourceType::OldDateTime,
            SourceType::OldTime,
            SourceType::Int { bytes: 1, unsigned: true },
            unsupported("DECIMAL in the format before MySQL 5.0"),
        ];
        assert_eq!(types, expected);
    }

    #[test]
    fn nonsense_is_an_error() {
        let check = |codes: &[u8], sizes: &[u8], metadata: &[u8], kind, text: &str| {
            let error = made(codes, sizes, metadata).unwrap_err();
            assert_eq!((error.kind, error.to_string().contains(text)), (kind, true), "{error}");
        };
        let (corrupt, shape) = (ErrorKind::CorruptStream, ErrorKind::TableShape);
        check(&[200], &[], &[], shape, "d.t column @1: column type 200");
        check(&[20], &[1, 8], &[], shape, "typed array");
        check(&[246], &[66, 3], &[], corrupt, "precision");
        check(&[246], &[5, 6], &[], corrupt, "scale");
        check(&[19], &[7], &[], corrupt, "fractional");
        check(&[16], &[0, 0], &[], corrupt, "BIT");
        check(&[16], &[1, 8], &[], corrupt, "65");
        check(&[252], &[5], &[], corrupt, "BLOB");
        check(&[4], &[8], &[], corrupt, "FLOAT");
        check(&[245], &[2], &[], corrupt, "JSON");
        check(&[254], &[0x33, 1], &[], corrupt, "0x33");
        check(&[15], &[5], &[], corrupt, "truncated");
        check(&[3, 3], &[], &[4, 2, 1, b'a'], corrupt, "1 names for 2");
        check(&[3], &[], &[8, 1, 1], corrupt, "key with column 1 of 1");
        check(&[254], &[0xf7, 2], &[10, 1, 45, 6, 3, 1, 1, b'a'], corrupt, "2 bytes for 1 labels");
        check(&[254], &[0xf7, 1], &[6, 4, 0xfd, 0, 0, 1], corrupt, "65536 labels");
    }
}
