//! Column types: MySQL's names and their aliases, with the attributes that belong to a type.

use super::parser::Parser;
use crate::schema::change::WrittenColumn;
use crate::schema::charset::{Charset, Use, full_name};

const REAL_AS_FLOAT: u64 = 0x1;
/// Of MySQL 9. In MariaDB the bit is SIMULTANEOUS_ASSIGNMENT; both of utf8mb3 and utf8mb4 are decoded alike.
const INTERPRET_UTF8_AS_UTF8MB4: u64 = 1 << 33;
/// FLOAT(25) and more bits is DOUBLE.
const FLOAT_BITS_MAX: u64 = 24;

/// What may follow a type's name.
#[derive(Clone, Copy)]
enum Form {
    /// Nothing.
    Bare,
    /// A length or a fraction's digits.
    Length,
    /// A width, or precision and scale; UNSIGNED and ZEROFILL.
    Number,
    /// A length; a character set.
    Text,
    /// Labels; a character set.
    Labels,
}

/// A label of ENUM or SET as it is written.
enum Label {
    Text(String),
    /// In the column's character set.
    Bytes(Vec<u8>),
}

impl Label {
    /// The label, if the character set that the column names tells what its bytes mean.
    fn text(self, charset: Option<&str>) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => {
                let charset = Charset::from_name(charset?)?;
                let label = charset.text(&bytes, Use::Value).ok()?;
                (charset != Charset::Binary || label.is_ascii()).then_some(label)
            }
        }
    }
}

/// Names of one word, what they are called in `information_schema`, and what may follow.
const TYPES: &[(&str, &str, Form)] = &[
    ("TINYINT", "tinyint", Form::Number),
    ("INT1", "tinyint", Form::Number),
    ("SMALLINT", "smallint", Form::Number),
    ("INT2", "smallint", Form::Number),
    ("MEDIUMINT", "mediumint", Form::Number),
    ("MIDDLEINT", "mediumint", Form::Number),
    ("INT3", "mediumint", Form::Number),
    ("INT", "int", Form::Number),
    ("INTEGER", "int", Form::Number),
    ("INT4", "int", Form::Number),
    ("BIGINT", "bigint", Form::Number),
    ("INT8", "bigint", Form::Number),
    ("BOOL", "tinyint", Form::Bare),
    ("BOOLEAN", "tinyint", Form::Bare),
    ("FLOAT", "float", Form::Number),
    ("FLOAT4", "float", Form::Number),
    ("DOUBLE", "double", Form::Number),
    ("FLOAT8", "double", Form::Number),
    ("REAL", "double", Form::Number),
    ("DECIMAL", "decimal", Form::Number),
    ("DEC", "decimal", Form::Number),
    ("NUMERIC", "decimal", Form::Number),
    ("FIXED", "decimal", Form::Number),
    ("YEAR", "year", Form::Number),
    ("BIT", "bit", Form::Length),
    ("DATE", "date", Form::Bare),
    ("TIME", "time", Form::Length),
    ("DATETIME", "datetime", Form::Length),
    ("TIMESTAMP", "timestamp", Form::Length),
    ("CHAR", "char", Form::Text),
    ("CHARACTER", "char", Form::Text),
    ("VARCHAR", "varchar", Form::Text),
    ("VARCHARACTER", "varchar", Form::Text),
    ("TINYTEXT", "tinytext", Form::Text),
    ("TEXT", "text", Form::Text),
    ("MEDIUMTEXT", "mediumtext", Form::Text),
    ("LONGTEXT", "longtext", Form::Text),
    ("BINARY", "binary", Form::Length),
    ("VARBINARY", "varbinary", Form::Length),
    ("TINYBLOB", "tinyblob", Form::Bare),
    ("BLOB", "blob", Form::Length),
    ("MEDIUMBLOB", "mediumblob", Form::Bare),
    ("LONGBLOB", "longblob", Form::Bare),
    ("ENUM", "enum", Form::Labels),
    ("SET", "set", Form::Labels),
    ("JSON", "json", Form::Bare),
    ("VECTOR", "vector", Form::Length),
    ("GEOMETRY", "geometry", Form::Bare),
    ("POINT", "point", Form::Bare),
    ("LINESTRING", "linestring", Form::Bare),
    ("POLYGON", "polygon", Form::Bare),
    ("MULTIPOINT", "multipoint", Form::Bare),
    ("MULTILINESTRING", "multilinestring", Form::Bare),
    ("MULTIPOLYGON", "multipolygon", Form::Bare),
    ("GEOMETRYCOLLECTION", "geomcollection", Form::Bare),
    ("GEOMCOLLECTION", "geomcollection", Form::Bare),
];

impl Parser<'_> {
    /// A type with its attributes.
    pub(super) fn data_type(&mut self, column: &mut WrittenColumn) -> Option<()> {
        let word = self.keyword()?;
        match word.as_str() {
            "NATIONAL" | "NCHAR" | "NVARCHAR" => self.national(column),
            "LONG" => self.long(column),
            "SERIAL" => self.serial(column),
            _ => self.common_type(&word, column),
        }
    }

    fn common_type(&mut self, word: &str, column: &mut WrittenColumn) -> Option<()> {
        let &(_, name, form) = TYPES.iter().find(|(keyword, ..)| *keyword == word)?;
        self.take();
        name.clone_into(&mut column.data_type);
        match form {
            Form::Bare => Some(()),
            Form::Length => self.numbers(column),
            Form::Number => self.numeric(word, column),
            Form::Text => {
                if name == "char" && self.word("VARYING") {
                    "varchar".clone_into(&mut column.data_type);
                }
                self.numbers(column)?;
                self.charset_attributes(column)
            }
            Form::Labels => self.labels(column),
        }
    }

    fn numeric(&mut self, word: &str, column: &mut WrittenColumn) -> Option<()> {
        if word == "DOUBLE" {
            self.word("PRECISION");
        }
        self.numbers(column)?;
        let is_double_by_bits = matches!(column.numbers.as_slice(), &[bits] if bits > FLOAT_BITS_MAX);
        match word {
            "FLOAT" | "FLOAT4" if is_double_by_bits => "double".clone_into(&mut column.data_type),
            "REAL" if self.sql_mode & REAL_AS_FLOAT != 0 => "float".clone_into(&mut column.data_type),
            _ => {}
        }
        while self.is_word_of(&["SIGNED", "UNSIGNED", "ZEROFILL"]) {
            column.unsigned |= !self.is_word_of(&["SIGNED"]);
            self.take();
        }
        Some(())
    }

    /// `(10)`, `(10, 2)` or nothing.
    fn numbers(&mut self, column: &mut WrittenColumn) -> Option<()> {
        if self.is_char('(') {
            column.numbers = self.list_in_parentheses(Self::type_number)?;
        }
        Some(())
    }

    /// `10`; of `10.3` the server takes the integer.
    fn type_number(&mut self) -> Option<u64> {
        let number = self.integer()?;
        if self.char('.') {
            self.integer()?;
        }
        Some(number)
    }

    fn labels(&mut self, column: &mut WrittenColumn) -> Option<()> {
        let labels = self.list_in_parentheses(Self::label)?;
        self.charset_attributes(column)?;
        let charset = column.charset.as_deref();
        column.labels = labels.into_iter().map(|label| label.text(charset)).collect::<Option<_>>()?;
        Some(())
    }

    /// A label is one string, in which every character must be known, or bytes.
    fn label(&mut self) -> Option<Label> {
        if let Some(text) = self.one_text() {
            return (!text.contains(char::REPLACEMENT_CHARACTER)).then_some(Label::Text(text));
        }
        self.bytes_literal().map(Label::Bytes)
    }

    /// NATIONAL CHAR, NCHAR, NVARCHAR, NATIONAL VARCHAR, NCHAR VARYING, ..: text in utf8mb3.
    fn national(&mut self, column: &mut WrittenColumn) -> Option<()> {
        let word = self.keyword()?;
        self.take();
        let is_varying = match word.as_str() {
            "NVARCHAR" => true,
            "NCHAR" => self.word_of(&["VARYING", "VARCHAR", "VARCHARACTER"]),
            _ if self.word_of(&["VARCHAR", "VARCHARACTER"]) => true,
            _ => self.word_of(&["CHAR", "CHARACTER"]).then(|| self.word("VARYING"))?,
        };
        (if is_varying { "varchar" } else { "char" }).clone_into(&mut column.data_type);
        column.charset = Some("utf8mb3".to_owned());
        self.numbers(column)?;
        self.word("BINARY");
        Some(())
    }

    /// LONG, LONG VARCHAR, LONG CHAR VARYING: MEDIUMTEXT; LONG VARBINARY: MEDIUMBLOB.
    fn long(&mut self, column: &mut WrittenColumn) -> Option<()> {
        self.take();
        if self.word("VARBINARY") {
            "mediumblob".clone_into(&mut column.data_type);
            return Some(());
        }
        if self.word_of(&["CHAR", "CHARACTER"]) {
            self.expect_words(&["VARYING"])?;
        } else {
            self.word_of(&["VARCHAR", "VARCHARACTER"]);
        }
        "mediumtext".clone_into(&mut column.data_type);
        self.charset_attributes(column)
    }

    /// BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE.
    fn serial(&mut self, column: &mut WrittenColumn) -> Option<()> {
        self.take();
        "bigint".clone_into(&mut column.data_type);
        (column.unsigned, column.is_unique) = (true, true);
        self.auto_increment(column);
        Some(())
    }

    /// CHARACTER SET, ASCII, UNICODE, BYTE and BINARY in any order.
    fn charset_attributes(&mut self, column: &mut WrittenColumn) -> Option<()> {
        loop {
            if self.character_set() {
                column.charset = Some(self.charset_name()?);
            } else if self.word("ASCII") {
                column.charset = Some("latin1".to_owned());
            } else if self.word("UNICODE") {
                column.charset = Some("ucs2".to_owned());
            } else if self.word("BYTE") {
                column.charset = Some("binary".to_owned());
            } else if !self.word("BINARY") {
                return Some(());
            }
        }
    }

    /// CHARACTER SET in its spellings.
    pub(super) fn character_set(&mut self) -> bool {
        self.word("CHARSET") || self.words(&["CHARACTER", "SET"]) || self.words(&["CHAR", "SET"])
    }

    /// A character set's name as `information_schema` has it.
    pub(super) fn charset_name(&mut self) -> Option<String> {
        let name = self.name_or_text()?;
        Some(self.charset_named(&name))
    }

    /// The character set of the collation that is next.
    pub(super) fn charset_of_collation(&mut self) -> Option<String> {
        let collation = self.name_or_text()?;
        Some(self.charset_named(collation.split('_').next().unwrap_or_default()))
    }

    fn charset_named(&self, name: &str) -> String {
        let is_utf8mb4 = self.sql_mode & INTERPRET_UTF8_AS_UTF8MB4 != 0 && name.eq_ignore_ascii_case("utf8");
        if is_utf8mb4 { "utf8mb4".to_owned() } else { full_name(name) }
    }
}
