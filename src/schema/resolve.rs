//! A column as it is written, as `information_schema` says it: defaults filled in, the character set's part done.
//!
//! As the server does: text in the character set `binary` is bytes; `TEXT(n)` is the smallest type for n characters; a
//! VARCHAR too long for a row is a TEXT, which only a statement without strict sql_mode may cause, and CONVERT TO.

use crate::schema::catalog::ColumnDefinition;
use crate::schema::change::WrittenColumn;
use crate::schema::charset::bytes_per_char;
use crate::schema::column::ColumnType;

const VARCHAR_BYTES_MAX: u64 = 65_535;
const DECIMAL_PRECISION_DEFAULT: u64 = 10;

impl WrittenColumn {
    /// The column in a table of this default character set.
    pub(super) fn resolved(&self, table_charset: &str) -> Result<ColumnDefinition, String> {
        let ty = self.column_type(table_charset).map_err(|reason| format!("column {}: {reason}", self.name))?;
        let nullable = !self.not_null;
        Ok(ColumnDefinition { name: self.name.clone(), ty: ty.normalized(), nullable, is_generated: self.is_generated })
    }

    fn column_type(&self, table_charset: &str) -> Result<ColumnType, String> {
        let ty = ColumnType { data_type: self.data_type.clone(), ..ColumnType::default() };
        let first = self.numbers.first().copied();
        Ok(match self.data_type.as_str() {
            "char" | "varchar" => text(&self.data_type, first.unwrap_or(1), self.charset_in(table_charset)?)?,
            "tinytext" | "text" | "mediumtext" | "longtext" => {
                long_text(&self.data_type, first, self.charset_in(table_charset)?)?
            }
            "binary" | "varbinary" => text(&self.data_type, first.unwrap_or(1), "binary")?,
            "blob" => long_text("text", first, "binary")?,
            "enum" | "set" => ColumnType {
                column_type: format!("{}({})", self.data_type, quoted_labels(&self.labels)),
                charset: Some(self.charset_in(table_charset)?.to_owned()),
                ..ty
            },
            "decimal" => ColumnType {
                precision: Some(first.filter(|&precision| precision > 0).unwrap_or(DECIMAL_PRECISION_DEFAULT)),
                scale: Some(self.numbers.get(1).copied().unwrap_or(0)),
                ..self.numeric(ty)
            },
            "bit" => ColumnType { precision: Some(first.filter(|&bits| bits > 0).unwrap_or(1)), ..ty },
            "time" | "datetime" | "timestamp" => ColumnType { fsp: Some(first.unwrap_or(0)), ..ty },
            _ => self.numeric(ty),
        })
    }

    fn numeric(&self, ty: ColumnType) -> ColumnType {
        let column_type = if self.unsigned { format!("{} unsigned", self.data_type) } else { String::new() };
        ColumnType { column_type, ..ty }
    }

    fn charset_in<'a>(&'a self, table_charset: &'a str) -> Result<&'a str, String> {
        let charset = self.charset.as_deref().unwrap_or(table_charset);
        if charset.is_empty() {
            return Err("the default character set of its database is not known".to_owned());
        }
        Ok(charset)
    }
}

impl ColumnDefinition {
    /// CONVERT TO CHARACTER SET: text changes its character set and keeps its length in characters, so that its type may
    /// grow; bytes stay as they are.
    pub(super) fn convert_to(&mut self, charset: &str) -> Result<(), String> {
        let Some(old) = self.ty.charset.clone() else { return Ok(()) };
        let old_width = width(&old)?;
        self.ty = match self.ty.data_type.as_str() {
            "char" | "varchar" => text(&self.ty.data_type, self.ty.octets.unwrap_or(0) / old_width, charset)?,
            "tinytext" | "text" | "mediumtext" | "longtext" => {
                let chars = long_text_bytes(&self.ty.data_type) / old_width;
                long_text(&self.ty.data_type, Some(chars), charset)?
            }
            _ => ColumnType { charset: Some(charset.to_owned()), ..self.ty.clone() },
        }
        .normalized();
        Ok(())
    }
}

fn width(charset: &str) -> Result<u64, String> {
    bytes_per_char(charset).ok_or_else(|| format!("the character set {charset} is not known"))
}

/// CHAR, VARCHAR and their kin of bytes.
fn text(data_type: &str, chars: u64, charset: &str) -> Result<ColumnType, String> {
    let octets = chars.saturating_mul(width(charset)?);
    if data_type.starts_with("var") && octets > VARCHAR_BYTES_MAX {
        return long_text("text", Some(chars), charset);
    }
    let is_bytes = charset == "binary";
    let data_type = if is_bytes { data_type.replace("char", "binary") } else { data_type.to_owned() };
    let charset = (!is_bytes).then(|| charset.to_owned());
    Ok(ColumnType { data_type, octets: Some(octets), charset, ..ColumnType::default() })
}

/// TEXT and BLOB; TINYTEXT and its like when no length is given.
fn long_text(data_type: &str, chars: Option<u64>, charset: &str) -> Result<ColumnType, String> {
    let bytes = chars.unwrap_or(0).saturating_mul(width(charset)?);
    let data_type = if bytes > 0 { smallest_text(bytes) } else { data_type };
    let is_bytes = charset == "binary";
    let data_type = if is_bytes { data_type.replace("text", "blob") } else { data_type.to_owned() };
    Ok(ColumnType { data_type, charset: (!is_bytes).then(|| charset.to_owned()), ..ColumnType::default() })
}

fn smallest_text(bytes: u64) -> &'static str {
    match bytes {
        0..=0xff => "tinytext",
        0x100..=0xffff => "text",
        0x1_0000..=0xff_ffff => "mediumtext",
        _ => "longtext",
    }
}

fn long_text_bytes(data_type: &str) -> u64 {
    match data_type {
        "tinytext" => 0xff,
        "text" => 0xffff,
        "mediumtext" => 0xff_ffff,
        _ => 0xffff_ffff,
    }
}

/// As COLUMN_TYPE writes them.
fn quoted_labels(labels: &[String]) -> String {
    labels.iter().map(|label| quoted_label(label)).collect::<Vec<_>>().join(",")
}

fn quoted_label(label: &str) -> String {
    let mut quoted = String::from("'");
    for character in label.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\0' => quoted.push_str("\\0"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}
