//! A column as it is written, as `information_schema` says it: defaults filled in, the character set's part done.
//!
//! As the server does: text in the character set `binary` is bytes; `TEXT(n)` is the smallest type for n characters; a
//! VARCHAR too long for a row is a TEXT, which only a statement without strict sql_mode may cause, and CONVERT TO.

use crate::schema::catalog::ColumnDefinition;
use crate::schema::change::WrittenColumn;
use crate::schema::charset::{bytes_per_char, latin1_char};
use crate::schema::column::ColumnType;

const VARCHAR_BYTES_MAX: u64 = 65_535;
const DECIMAL_PRECISION_DEFAULT: u64 = 10;

impl WrittenColumn {
    /// The column in a table of this default character set.
    pub(super) fn resolved(&self, table_charset: &str) -> Result<ColumnDefinition, String> {
        let ty = self.column_type(table_charset).map_err(|reason| format!("column {}: {reason}", self.name))?;
        Ok(ColumnDefinition {
            name: self.name.clone(),
            ty: ty.normalized(),
            nullable: !self.not_null,
            is_generated: self.is_generated,
            is_virtual: self.is_virtual,
            is_auto_increment: self.is_auto_increment,
        })
    }

    /// The column in a statement that also says CONVERT TO CHARACTER SET: all its text is in that one. A changed TEXT may
    /// then become a smaller one than written, by the length of what it was.
    pub(super) fn converted(&self, charset: &str, is_changed: bool) -> Result<ColumnDefinition, String> {
        if is_changed && self.data_type.ends_with("text") {
            return Err(format!("column {}: a changed TEXT together with CONVERT TO CHARACTER SET", self.name));
        }
        let bytes = self.charset.clone().filter(|charset| charset == "binary");
        Self { charset: bytes, ..self.clone() }.resolved(charset)
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
            "enum" | "set" => self.labelled(ty, self.charset_in(table_charset)?)?,
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

    /// Blanks at a label's end do not count, except as bytes. The server puts `?` for a character that the character set
    /// does not have.
    fn labelled(&self, ty: ColumnType, charset: &str) -> Result<ColumnType, String> {
        if !self.labels.iter().all(|label| is_in_charset(label, charset)) {
            return Err(format!("a label that may not be as written in the character set {charset}"));
        }
        let is_bytes = charset == "binary";
        let label = |label: &String| quoted_label(if is_bytes { label } else { label.trim_end_matches(' ') });
        let labels: Vec<String> = self.labels.iter().map(label).collect();
        let column_type = format!("{}({})", self.data_type, labels.join(","));
        Ok(ColumnType { column_type, charset: (!is_bytes).then(|| charset.to_owned()), ..ty })
    }

    fn numeric(&self, ty: ColumnType) -> ColumnType {
        let digits = match self.numbers.as_slice() {
            [digits, decimals] => format!("({digits},{decimals})"),
            _ => String::new(),
        };
        let unsigned = if self.unsigned { " unsigned" } else { "" };
        ColumnType { column_type: format!("{}{digits}{unsigned}", self.data_type), ..ty }
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
        let converted = converted_type(&self.ty, &old, charset);
        self.ty = converted.map_err(|reason| format!("column {}: {reason}", self.name))?.normalized();
        Ok(())
    }
}

fn converted_type(ty: &ColumnType, old: &str, new: &str) -> Result<ColumnType, String> {
    let old_width = width(old)?;
    match ty.data_type.as_str() {
        "char" => text("char", ty.octets.unwrap_or(0) / old_width, new),
        "varchar" => {
            let chars = ty.octets.unwrap_or(0) / old_width;
            if old_width > 1 && chars.saturating_mul(width(new)?) > VARCHAR_BYTES_MAX {
                return Err("a VARCHAR too long for the new character set".to_owned());
            }
            text("varchar", chars, new)
        }
        "tinytext" | "text" | "mediumtext" | "longtext" => {
            long_text(&ty.data_type, Some(long_text_bytes(&ty.data_type) / old_width), new)
        }
        _ if old == new || has_same_bytes(&ty.column_type, old, new) => {
            Ok(ColumnType { charset: Some(new.to_owned()).filter(|new| new != "binary"), ..ty.clone() })
        }
        _ => Err("the server keeps the bytes of its labels, which in another character set are others".to_owned()),
    }
}

/// Whether the character set surely has these characters.
fn is_in_charset(text: &str, charset: &str) -> bool {
    match charset {
        _ if text.is_ascii() => true,
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => true,
        "utf8mb3" | "ucs2" => text.chars().all(|c| c <= '\u{ffff}'),
        "latin1" => text.chars().all(|c| (0..=u8::MAX).any(|byte| latin1_char(byte) == c)),
        _ => false,
    }
}

/// Whether labels have the same bytes in both character sets.
fn has_same_bytes(labels: &str, old: &str, new: &str) -> bool {
    let is_utf8 = |charset| matches!(charset, "utf8mb3" | "utf8mb4");
    let is_ascii_wide = |charset| matches!(charset, "ucs2" | "utf16" | "utf16le" | "utf32");
    (is_utf8(old) && is_utf8(new)) || (labels.is_ascii() && !is_ascii_wide(old) && !is_ascii_wide(new))
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
    let width = width(charset)?;
    let data_type = chars.map_or(data_type, |chars| smallest_text(chars.saturating_mul(width)));
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

/// As COLUMN_TYPE writes it.
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
