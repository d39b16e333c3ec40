//! What the server says of a result's columns, held against what the plan expects.
//!
//! Type codes of `field_types.h`, as the classic protocol's column definitions carry them. No IO.

use super::Selected;
use crate::schema::types::{Charset, SourceType};

/// A column definition, as far as the bytes of its values depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultColumn {
    /// The type's code.
    pub kind: u8,
    /// Numbers: without a sign.
    pub is_unsigned: bool,
    /// Collation id; 63 of what is no text.
    pub collation: u16,
    /// DECIMAL's scale, the digits of a fraction of a second.
    pub decimals: u8,
}

impl ResultColumn {
    /// Whether this is a source column of type `ty`, selected as [`select_list`](crate::mysql::select::select_list)
    /// writes it.
    pub(super) fn holds(self, ty: &SourceType) -> bool {
        match ty {
            SourceType::Int { bytes, unsigned } => self.is_unsigned == *unsigned && self.is_int(*bytes),
            SourceType::Float => self.kind == 4,
            SourceType::Double => self.kind == 5,
            SourceType::Decimal { scale, .. } => self.kind == 246 && self.decimals == *scale,
            SourceType::Year => self.kind == 13,
            SourceType::Date => matches!(self.kind, 10 | 14),
            SourceType::Time { fsp } => self.kind == 11 && self.decimals == *fsp,
            SourceType::DateTime { fsp } => self.kind == 12 && self.decimals == *fsp,
            SourceType::Timestamp { fsp } => self.kind == 7 && self.decimals == *fsp,
            SourceType::OldTime => self.kind == 11 && self.decimals == 0,
            SourceType::OldDateTime => self.kind == 12 && self.decimals == 0,
            SourceType::OldTimestamp => self.kind == 7 && self.decimals == 0,
            SourceType::Bit { .. } => self.kind == 16,
            SourceType::Char { charset, .. }
            | SourceType::VarChar { charset, .. }
            | SourceType::Blob { charset, .. } => self.is_string() && self.is_in(*charset),
            SourceType::Enum { .. } | SourceType::Set { .. } => match Selected::of(ty) {
                Selected::Number => self.is_unsigned && self.is_int(8),
                Selected::Label => self.is_string() && self.is_in(Charset::Utf8),
                Selected::Value => false,
            },
            SourceType::Json => self.kind == 245,
            SourceType::Geometry => self.kind == 255,
            SourceType::Vector => self.kind == 242,
            // The table's own types are compared.
            SourceType::JsonText | SourceType::Unsupported { .. } => false,
        }
    }

    fn is_int(self, bytes: u8) -> bool {
        matches!((bytes, self.kind), (1, 1) | (2, 2) | (3, 9) | (4, 3) | (8, 8))
    }

    /// VARCHAR, the sizes of BLOB, VAR_STRING, STRING.
    fn is_string(self) -> bool {
        matches!(self.kind, 15 | 249..=254)
    }

    fn is_in(self, charset: Charset) -> bool {
        Charset::of_collation(self.collation.into()) == Some(charset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_type_or_character_set_is_noticed() {
        let text = ResultColumn { kind: 253, is_unsigned: false, collation: 255, decimals: 0 };
        let utf8 = SourceType::VarChar { max_bytes: 40, charset: Charset::Utf8 };
        assert!(text.holds(&utf8));
        assert!(!ResultColumn { collation: 8, ..text }.holds(&utf8));
        assert!(!ResultColumn { collation: 63, ..text }.holds(&utf8));
        assert!(!ResultColumn { collation: 9999, ..text }.holds(&utf8));
        assert!(!ResultColumn { kind: 3, ..text }.holds(&utf8));
        let int = ResultColumn { kind: 3, is_unsigned: false, collation: 63, decimals: 0 };
        assert!(int.holds(&SourceType::Int { bytes: 4, unsigned: false }));
        assert!(!int.holds(&SourceType::Int { bytes: 4, unsigned: true }));
        assert!(!int.holds(&SourceType::Int { bytes: 8, unsigned: false }));
        assert!(!int.holds(&SourceType::Enum { labels: Vec::new() }));
        let time = ResultColumn { kind: 11, decimals: 3, ..int };
        assert!(time.holds(&SourceType::Time { fsp: 3 }) && !time.holds(&SourceType::Time { fsp: 2 }));
        assert!(!time.holds(&SourceType::Unsupported { name: "TIME".to_owned() }));
    }
}
