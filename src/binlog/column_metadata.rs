//! The optional metadata at the end of a TABLE_MAP: a list of (tag, packed length, value), unknown tags skipped.
//!
//! Which tags there are is up to `binlog_row_metadata`: MINIMAL has signedness and character sets, FULL all of them.
//! Lists follow only their own kind of column, in table order.

use super::cursor::{Cursor, corrupt};
use crate::error::Result;

/// The most labels an ENUM may have.
const LABELS_MAX: usize = 65_535;

/// What the metadata says, not yet dealt out to columns.
#[derive(Debug, Default)]
pub(super) struct ColumnMetadata<'a> {
    /// A bit per numeric column, highest first.
    pub unsigned: &'a [u8],
    /// Of CHAR, VARCHAR, TEXT, BLOB, VECTOR columns.
    pub text_charsets: Charsets,
    /// Of ENUM and SET columns.
    pub label_charsets: Charsets,
    /// One per column.
    pub names: Vec<&'a [u8]>,
    /// Of SET columns.
    pub set_labels: Vec<Vec<&'a [u8]>>,
    /// Of ENUM columns.
    pub enum_labels: Vec<Vec<&'a [u8]>>,
    /// Columns of the primary key, in key order.
    pub key: Option<Vec<usize>>,
    /// Whether the key holds only the beginning of one of them.
    pub key_has_prefix: bool,
}

/// Collation ids of the columns of one kind.
#[derive(Debug, Default)]
pub(super) enum Charsets {
    /// Not told.
    #[default]
    Missing,
    /// One for all but the (index among the columns of this kind, id) pairs, which rise by index.
    Default(u64, Vec<(usize, u64)>),
    /// One each.
    Each(Vec<u64>),
}

impl Charsets {
    /// Collation id of the column that is the `index`th of this kind.
    pub fn get(&self, index: usize) -> Option<u64> {
        match self {
            Self::Missing => None,
            Self::Default(default, others) => {
                let other = others.iter().find(|(at, _)| *at == index);
                Some(other.map_or(*default, |(_, id)| *id))
            }
            Self::Each(ids) => ids.get(index).copied(),
        }
    }
}

impl<'a> ColumnMetadata<'a> {
    /// Parses the rest of a TABLE_MAP's body.
    pub fn parse(mut body: Cursor<'a>) -> Result<Self> {
        let mut metadata = Self::default();
        while !body.is_empty() {
            let tag = body.u8()?;
            let value = body.packed_bytes()?;
            metadata.read(tag, value)?;
        }
        Ok(metadata)
    }

    fn read(&mut self, tag: u8, value: &'a [u8]) -> Result<()> {
        let value = Cursor::new(value);
        match tag {
            1 => self.unsigned = value.rest(),
            2 => self.text_charsets = default_charsets(value)?,
            3 => self.text_charsets = Charsets::Each(list(value, Cursor::packed)?),
            4 => self.names = list(value, Cursor::packed_bytes)?,
            5 => self.set_labels = list(value, labels)?,
            6 => self.enum_labels = list(value, labels)?,
            8 => self.key = Some(list(value, Cursor::packed_usize)?),
            9 => {
                let parts = list(value, |value| Ok((value.packed_usize()?, value.packed()?)))?;
                self.key_has_prefix = parts.iter().any(|&(_, prefix)| prefix != 0);
                self.key = Some(parts.into_iter().map(|(column, _)| column).collect());
            }
            10 => self.label_charsets = default_charsets(value)?,
            11 => self.label_charsets = Charsets::Each(list(value, Cursor::packed)?),
            // 7 geometry types, 12 visibility, 13 vector dimensions: no row image depends on them.
            _ => {}
        }
        Ok(())
    }
}

/// As many items as there are bytes for.
fn list<'a, T>(mut value: Cursor<'a>, item: impl Fn(&mut Cursor<'a>) -> Result<T>) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while !value.is_empty() {
        items.push(item(&mut value)?);
    }
    Ok(items)
}

fn default_charsets(mut value: Cursor<'_>) -> Result<Charsets> {
    let default = value.packed()?;
    Ok(Charsets::Default(default, list(value, |value| Ok((value.packed_usize()?, value.packed()?)))?))
}

/// The labels of one column, after their number.
fn labels<'a>(value: &mut Cursor<'a>) -> Result<Vec<&'a [u8]>> {
    let count = value.packed_usize()?;
    if count > LABELS_MAX {
        return Err(corrupt(format!("{count} labels; MySQL allows {LABELS_MAX}")));
    }
    (0..count).map(|_| value.packed_bytes()).collect()
}
