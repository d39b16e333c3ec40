//! A column of `information_schema.COLUMNS` as a [`SourceType`].
//!
//! What is not carried over exactly becomes [`SourceType::Unsupported`] with a name for the message; nothing is
//! guessed. No IO.

use serde::{Deserialize, Serialize};

use crate::schema::charset::{bytes_per_char, full_name};
use crate::schema::types::{Charset, SourceType};

/// The server says more of some columns that CREATE TABLE .. SELECT made, which have no more.
const DECIMAL_PRECISION_MAX: u64 = 65;

/// What `information_schema.COLUMNS` says of a column's type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnType {
    /// DATA_TYPE: `bigint`.
    pub data_type: String,
    /// COLUMN_TYPE: `bigint(20) unsigned`, `enum('a','b')`.
    pub column_type: String,
    /// NUMERIC_PRECISION.
    pub precision: Option<u64>,
    /// NUMERIC_SCALE.
    pub scale: Option<u64>,
    /// DATETIME_PRECISION.
    pub fsp: Option<u64>,
    /// CHARACTER_OCTET_LENGTH.
    pub octets: Option<u64>,
    /// CHARACTER_SET_NAME.
    pub charset: Option<String>,
}

impl ColumnType {
    /// The type; also `Unsupported` when a number is missing that it needs.
    pub fn source_type(&self) -> SourceType {
        self.supported().unwrap_or_else(|| SourceType::Unsupported { name: self.refused_name() })
    }

    /// The same with only what a column's values depend on, written in one way: no display widths, no lengths that follow
    /// from the type. What a server says and what DDL says are equal then if they mean the same.
    pub fn normalized(self) -> Self {
        let data_type = match self.data_type.to_ascii_lowercase() {
            name if name == "geometrycollection" => "geomcollection".to_owned(),
            name => name,
        };
        let is_of = |names: &[&str]| names.contains(&data_type.as_str());
        let has_octets = is_of(&["char", "varchar", "binary", "varbinary"]);
        let has_precision = is_of(&["decimal", "bit"]);
        let column_type = match data_type.as_str() {
            "enum" | "set" => self.column_type,
            // YEAR UNSIGNED is YEAR.
            "year" => data_type.clone(),
            "float" | "double" => rounded_column_type(&data_type, &self.column_type),
            _ => plain_column_type(&data_type, &self.column_type),
        };
        Self {
            column_type,
            precision: self.precision.filter(|_| has_precision).map(|precision| precision.min(DECIMAL_PRECISION_MAX)),
            scale: self.scale.filter(|_| is_of(&["decimal"])),
            fsp: is_of(&["time", "datetime", "timestamp"]).then(|| self.fsp.unwrap_or(0)),
            octets: self.octets.filter(|_| has_octets),
            charset: self
                .charset
                .filter(|_| !is_of(&["binary", "varbinary", "json", "vector"]))
                .map(|name| full_name(&name)),
            data_type,
        }
    }

    fn supported(&self) -> Option<SourceType> {
        let unsigned =
            self.column_type.to_ascii_lowercase().split(' ').any(|word| word == "unsigned" || word == "zerofill");
        let int = |bytes| Some(SourceType::Int { bytes, unsigned });
        let fsp = || small(self.fsp.unwrap_or(0));
        let blob = |length_bytes| Some(SourceType::Blob { length_bytes, charset: self.charset()? });
        match self.data_type.to_ascii_lowercase().as_str() {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "float" => Some(SourceType::Float),
            "double" => Some(SourceType::Double),
            "decimal" => Some(SourceType::Decimal { precision: small(self.precision?)?, scale: small(self.scale?)? }),
            "bit" => Some(SourceType::Bit { bits: small(self.precision?)? }),
            "year" => Some(SourceType::Year),
            "date" => Some(SourceType::Date),
            "time" => Some(SourceType::Time { fsp: fsp()? }),
            "datetime" => Some(SourceType::DateTime { fsp: fsp()? }),
            "timestamp" => Some(SourceType::Timestamp { fsp: fsp()? }),
            "char" | "binary" => Some(SourceType::Char { max_bytes: self.max_bytes()?, charset: self.charset()? }),
            "varchar" | "varbinary" => {
                Some(SourceType::VarChar { max_bytes: self.max_bytes()?, charset: self.charset()? })
            }
            "tinytext" | "tinyblob" => blob(1),
            "text" | "blob" => blob(2),
            "mediumtext" | "mediumblob" => blob(3),
            "longtext" | "longblob" => blob(4),
            "enum" => Some(SourceType::Enum { labels: self.labels()? }),
            "set" => Some(SourceType::Set { labels: self.labels()? }),
            "json" => Some(SourceType::Json),
            "vector" => Some(SourceType::Vector),
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geomcollection" | "geometrycollection" => Some(SourceType::Geometry),
            _ => None,
        }
    }

    /// The length of CHAR, VARCHAR and their kin of bytes, as written.
    pub fn characters(&self) -> Option<u64> {
        let bytes_per_char = self.charset.as_deref().map_or(Some(1), bytes_per_char)?;
        self.octets?.checked_div(bytes_per_char)
    }

    fn max_bytes(&self) -> Option<u16> {
        u16::try_from(self.octets?).ok()
    }

    /// Without a character set a column holds bytes.
    fn charset(&self) -> Option<Charset> {
        self.charset.as_deref().map_or(Some(Charset::Binary), Charset::from_name)
    }

    /// The labels in COLUMN_TYPE, which are in UTF-8 whatever the column's character set; but in the binary log they
    /// are in the column's, so that one must be known too.
    fn labels(&self) -> Option<Vec<String>> {
        self.charset()?;
        let (_, list) = self.column_type.split_once('(')?;
        parse_labels(list)
    }

    /// A label of an ENUM or SET that may not be what the server says: its dictionary has `?` for characters beyond U+FFFF
    /// and for codes that are none, and is not made for labels of bytes.
    pub fn doubtful_label(&self) -> Option<String> {
        let is_labelled = matches!(self.data_type.to_ascii_lowercase().as_str(), "enum" | "set");
        let is_doubtful = |label: &String| match self.charset.as_deref() {
            None | Some("binary") => label.contains('?') || !label.is_ascii(),
            Some("utf8mb3" | "latin1" | "ascii") => false,
            Some(_) => label.contains('?'),
        };
        self.labels().filter(|_| is_labelled)?.into_iter().find(is_doubtful)
    }

    fn refused_name(&self) -> String {
        let name = self.data_type.to_ascii_uppercase();
        match &self.charset {
            Some(charset) if self.charset().is_none() => format!("{name} in character set {charset}"),
            Some(_) | None => name,
        }
    }
}

/// The same with the digits that FLOAT(7,3) rounds to.
fn rounded_column_type(data_type: &str, column_type: &str) -> String {
    let digits = column_type.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(digits, _)| digits);
    let plain = plain_column_type(data_type, column_type);
    match digits.filter(|digits| digits.contains(',')) {
        Some(digits) => plain.replacen(data_type, &format!("{data_type}({digits})"), 1),
        None => plain,
    }
}

/// The type's name, and `unsigned` if it is.
fn plain_column_type(data_type: &str, column_type: &str) -> String {
    let mut words = column_type.split(' ');
    let is_unsigned = words.any(|word| word.eq_ignore_ascii_case("unsigned") || word.eq_ignore_ascii_case("zerofill"));
    if is_unsigned { format!("{data_type} unsigned") } else { data_type.to_owned() }
}

fn small(number: u64) -> Option<u8> {
    u8::try_from(number).ok()
}

/// `'a','it''s','tab\\'` up to the closing parenthesis. The server doubles quotes and backslashes and writes NUL, line
/// feed and carriage return as `\0`, `\n`, `\r`.
fn parse_labels(list: &str) -> Option<Vec<String>> {
    let mut chars = list.chars().peekable();
    let mut labels = Vec::new();
    loop {
        (chars.next()? == '\'').then_some(())?;
        labels.push(parse_label(&mut chars)?);
        match chars.next()? {
            ',' => {}
            ')' => return Some(labels),
            _ => return None,
        }
    }
}

/// A label behind its opening quote, up to its closing one.
fn parse_label(chars: &mut std::iter::Peekable<std::str::Chars>) -> Option<String> {
    let mut label = String::new();
    loop {
        match chars.next()? {
            '\'' => {
                if chars.next_if_eq(&'\'').is_none() {
                    return Some(label);
                }
                label.push('\'');
            }
            '\\' => label.push(match chars.next()? {
                '0' => '\0',
                'n' => '\n',
                'r' => '\r',
                other => other,
            }),
            other => label.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(data_type: &str, column_type: &str) -> ColumnType {
        ColumnType { data_type: data_type.to_owned(), column_type: column_type.to_owned(), ..ColumnType::default() }
    }

    fn check(column: &ColumnType, expected: SourceType) {
        assert_eq!(column.source_type(), expected, "{}", column.column_type);
    }

    #[test]
    fn numbers() {
        check(&column("int", "int unsigned"), SourceType::Int { bytes: 4, unsigned: true });
        check(&column("mediumint", "mediumint(8) unsigned zerofill"), SourceType::Int { bytes: 3, unsigned: true });
        check(&column("bigint", "bigint"), SourceType::Int { bytes: 8, unsigned: false });
        let decimal = ColumnType { precision: Some(65), scale: Some(30), ..column("decimal", "decimal(65,30)") };
        check(&decimal, SourceType::Decimal { precision: 65, scale: 30 });
        check(&ColumnType { precision: Some(10), ..column("bit", "bit(10)") }, SourceType::Bit { bits: 10 });
    }

    #[test]
    fn what_means_the_same_is_normalized_alike() {
        let check = |a: ColumnType, b: ColumnType| assert_eq!(a.normalized(), b.normalized());
        check(column("int", "int(11)"), ColumnType { precision: Some(10), scale: Some(0), ..column("int", "int") });
        check(column("bigint", "bigint(20) unsigned zerofill"), column("bigint", "bigint unsigned"));
        check(column("bigint", "bigint zerofill"), column("BIGINT", "bigint unsigned"));
        check(ColumnType { octets: Some(255), ..column("tinyblob", "tinyblob") }, column("tinyblob", ""));
        check(column("year", "year"), column("year", "year(4) unsigned"));
        check(ColumnType { fsp: Some(0), ..column("time", "time") }, column("time", ""));
        check(column("float", "FLOAT(7,3) unsigned"), column("float", "float(7,3) zerofill"));
        assert_ne!(column("float", "float(7,3)").normalized(), column("float", "float").normalized());
        assert_ne!(column("int", "int").normalized(), column("int", "int unsigned").normalized());
        assert_ne!(column("enum", "enum('a')").normalized(), column("enum", "enum('b')").normalized());
    }

    #[test]
    fn text_by_character_set() {
        let text = |charset: &str| ColumnType {
            octets: Some(1020),
            charset: Some(charset.to_owned()),
            ..column("char", "char(255)")
        };
        check(&text("utf8mb4"), SourceType::Char { max_bytes: 1020, charset: Charset::Utf8 });
        check(&text("latin1"), SourceType::Char { max_bytes: 1020, charset: Charset::Latin1 });
        check(&text("sjis"), SourceType::Char { max_bytes: 1020, charset: Charset::Sjis });
        check(&text("utf9"), SourceType::Unsupported { name: "CHAR in character set utf9".to_owned() });
        check(&column("longblob", "longblob"), SourceType::Blob { length_bytes: 4, charset: Charset::Binary });
    }

    #[test]
    fn labels_are_unescaped() {
        let expected = ["a", "it's", "c,d", "", "e)", "x\\y", "l\nm"].map(str::to_owned).to_vec();
        check(
            &column("enum", r"enum('a','it''s','c,d','','e)','x\\y','l\nm')"),
            SourceType::Enum { labels: expected.clone() },
        );
        check(&column("set", r"set('a','it''s','c,d','','e)','x\\y','l\nm')"), SourceType::Set { labels: expected });
        for bad in ["enum", "enum('a'", "enum('a',", "enum('a' 'b')", "enum(a)"] {
            check(&column("enum", bad), SourceType::Unsupported { name: "ENUM".to_owned() });
        }
    }

    #[test]
    fn labels_that_the_dictionary_cannot_hold_are_doubtful() {
        let check = |column_type: &str, charset: Option<&str>, expected: Option<&str>| {
            let ty = ColumnType { charset: charset.map(str::to_owned), ..column("enum", column_type) };
            assert_eq!(ty.doubtful_label().as_deref(), expected, "{column_type}");
        };
        check("enum('a','b ?')", Some("utf8mb4"), Some("b ?"));
        check("enum('a','ü🎁')", Some("utf8mb4"), None);
        check("enum('a','?')", Some("latin1"), None);
        check("enum('a','?')", Some("utf8mb3"), None);
        check("enum('a','?')", Some("cp1250"), Some("?"));
        check("enum('a','ü')", None, Some("ü"));
        check("enum('a','b')", Some("binary"), None);
        assert_eq!(column("varchar", "varchar(3)").doubtful_label(), None);
    }

    #[test]
    fn documents_and_places() {
        check(&column("json", "json"), SourceType::Json);
        check(&column("vector", "vector(2048)"), SourceType::Vector);
        for name in ["geometry", "point", "multipolygon", "geomcollection"] {
            check(&column(name, name), SourceType::Geometry);
        }
    }

    #[test]
    fn what_is_not_built_is_named() {
        check(&column("uuid", "uuid"), SourceType::Unsupported { name: "UUID".to_owned() });
    }
}
