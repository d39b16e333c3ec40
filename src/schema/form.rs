//! The pairs of types: what a value of MySQL becomes in each type of ClickHouse that may take it.
//!
//! This is the one list of them; README's tables are compared with it. A pair is here when the target holds every value
//! exactly, or when what it cannot hold is told from the rest value by value (a range, a fraction that is not zero, a
//! label that is no member). What would lose something in silence is not here: DECIMAL into Float64, DATETIME into Date,
//! text into numbers. Pure.

use std::collections::HashSet;

use crate::schema::target_type::Base;
use crate::schema::types::{Charset, SourceType};

/// What a value becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// The bytes of the default type.
    Default,
    /// TIME as a count of microseconds.
    Microseconds,
    /// An integer of so many bytes, if it is in range.
    Int { bytes: u8, is_signed: bool },
    /// 0 or 1.
    Bool,
    /// Another DECIMAL, if the digits have room.
    Decimal { precision: u8, scale: u8 },
    /// So many decimals of a second, if no others are there.
    Ticks { precision: u8 },
    /// Whole seconds from 1970 to 2106.
    Seconds,
    /// Days from 1970 to 2149.
    Days,
    /// 16 bytes, or their text.
    Uuid,
    /// The number of each label.
    Enum { bytes: u8, members: Vec<(String, i16)> },
    /// A document, if nothing of it would be lost.
    Json,
    /// MySQL's own text of it.
    Text,
}

impl Form {
    /// Whether it is not what is made by default.
    pub fn is_chosen(&self) -> bool {
        !matches!(self, Self::Default | Self::Microseconds)
    }

    /// Whether two values of MySQL that differ also differ in this form: a key must not make one row of two.
    pub fn is_injective(&self, ty: &SourceType) -> bool {
        // The two zeros are one key in MySQL, and have two texts.
        !(matches!(self, Self::Text) && matches!(ty, SourceType::Float | SourceType::Double))
    }
}

/// The default type; `None` for what is not carried over.
pub fn default_base(ty: &SourceType) -> Option<Base> {
    let utc = |precision: u8| Base::DateTime64 { precision, zone: Some("UTC".to_owned()) };
    Some(match ty {
        SourceType::Int { bytes, unsigned } => {
            let bytes = match bytes {
                3 => 4,
                1 | 2 | 4 | 8 => *bytes,
                _ => return None,
            };
            Base::Int { bytes, is_signed: !unsigned }
        }
        SourceType::Float => Base::Float32,
        SourceType::Double => Base::Float64,
        SourceType::Decimal { precision, scale } => Base::Decimal { precision: *precision, scale: *scale },
        SourceType::Year => Base::Int { bytes: 2, is_signed: false },
        SourceType::Date => Base::Date32,
        SourceType::Time { fsp } => Base::Time64 { precision: *fsp },
        SourceType::OldTime => Base::Time64 { precision: 0 },
        SourceType::OldDateTime | SourceType::OldTimestamp => utc(0),
        SourceType::DateTime { fsp } | SourceType::Timestamp { fsp } => utc(*fsp),
        SourceType::Bit { .. } => Base::Int { bytes: 8, is_signed: false },
        SourceType::Char { .. }
        | SourceType::VarChar { .. }
        | SourceType::Blob { .. }
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::Json
        | SourceType::JsonText
        | SourceType::Geometry => Base::String,
        SourceType::Vector => Base::Floats,
        SourceType::Unsupported { .. } => return None,
    })
}

/// What values of `ty` become in a column of type `base`; `None`: it does not take them.
pub fn of(ty: &SourceType, base: &Base) -> Option<Form> {
    if !zone_fits(ty, base) {
        return None;
    }
    if default_base(ty)? == base.clone().of_any_zone() {
        return Some(Form::Default);
    }
    match base {
        Base::Int { bytes: 8, is_signed: true } if is_time(ty) => Some(Form::Microseconds),
        Base::Int { bytes, is_signed } if is_int(ty) => Some(Form::Int { bytes: *bytes, is_signed: *is_signed }),
        Base::Bool if is_bool(ty) => Some(Form::Bool),
        Base::Decimal { precision, scale } if matches!(ty, SourceType::Decimal { .. }) => {
            Some(Form::Decimal { precision: *precision, scale: *scale })
        }
        Base::DateTime64 { precision, .. } if is_moment(ty) => Some(Form::Ticks { precision: *precision }),
        Base::Time64 { precision } if is_time(ty) => Some(Form::Ticks { precision: *precision }),
        Base::DateTime { .. } if is_moment(ty) => Some(Form::Seconds),
        Base::Date if *ty == SourceType::Date => Some(Form::Days),
        Base::Uuid if is_uuid(ty) => Some(Form::Uuid),
        Base::Enum { bytes, members } => enumeration(ty, *bytes, members),
        // With parameters it reads what is not in a document, or leaves out what is.
        Base::Json { parameters } if parameters.is_empty() && is_document(ty) => Some(Form::Json),
        Base::String if has_text(ty) => Some(Form::Text),
        Base::Int { .. } | Base::Bool | Base::Float32 | Base::Float64 | Base::Decimal { .. } | Base::Date => None,
        Base::Date32 | Base::DateTime { .. } | Base::DateTime64 { .. } | Base::Time64 { .. } | Base::String => None,
        Base::Uuid | Base::Json { .. } | Base::Floats | Base::Other(_) => None,
    }
}

/// What a column of type `ty` may be besides its default type, for people.
pub fn others(ty: &SourceType) -> &'static str {
    match ty {
        SourceType::Int { bytes: 1, .. } => "another integer, Bool or String",
        SourceType::Bit { bits: 1 } => "another integer, Bool or String",
        SourceType::Int { .. } | SourceType::Year | SourceType::Bit { .. } => "another integer or String",
        SourceType::Float | SourceType::Double => "String (not in a key)",
        SourceType::Decimal { .. } => "another Decimal or String",
        SourceType::Date => "Date or String",
        SourceType::Time { .. } | SourceType::OldTime => "another Time64, Int64 (microseconds) or String",
        SourceType::DateTime { .. } | SourceType::OldDateTime => {
            "DateTime('UTC'), DateTime64 of another precision in 'UTC', or String"
        }
        SourceType::Timestamp { .. } | SourceType::OldTimestamp => {
            "DateTime, DateTime64 of another precision, in any time zone, or String"
        }
        ty if is_uuid(ty) => "UUID",
        SourceType::Enum { .. } => "Enum8 or Enum16 with all its labels",
        SourceType::Json | SourceType::JsonText => "JSON",
        SourceType::Char { .. }
        | SourceType::VarChar { .. }
        | SourceType::Blob { .. }
        | SourceType::Set { .. }
        | SourceType::Geometry
        | SourceType::Vector
        | SourceType::Unsupported { .. } => "",
    }
}

/// A type as a user wrote it, with what follows from the column: a time zone, an Enum's members.
///
/// # Errors
/// Why no type can be made of it.
pub fn completed(ty: &SourceType, base: Base) -> Result<Base, String> {
    match (ty, base) {
        (SourceType::Enum { labels }, Base::Enum { bytes, members }) if members.is_empty() => {
            let base = extended(ty, Base::Enum { bytes, members: vec![(String::new(), 0)] });
            let is_whole = of(ty, &base).is_some();
            is_whole.then_some(base).ok_or_else(|| why_no_enum(labels, bytes))
        }
        (_, base) => Ok(base.in_utc()),
    }
}

fn why_no_enum(labels: &[String], bytes: u8) -> String {
    match labels.iter().find(|label| label.contains('?')) {
        Some(label) => format!("no Enum can have the label '{label}': MySQL may show another character as '?'"),
        None => format!("{} labels do not fit in Enum{}", labels.len(), u16::from(bytes) * 8),
    }
}

/// An Enum with those labels added that it lacks, as many as there are numbers; any other type as it is.
pub fn extended(ty: &SourceType, mut base: Base) -> Base {
    if let (SourceType::Enum { labels }, Base::Enum { bytes, members }) = (ty, &mut base) {
        let most = if *bytes == 1 { i16::from(i8::MAX) } else { i16::MAX };
        let mut next = members.iter().map(|(_, number)| *number).max();
        for label in labels {
            let number = next.map_or(Some(0), |last| last.checked_add(1)).filter(|number| *number <= most);
            if let (Some(number), false) = (number, members.iter().any(|(name, _)| name == label)) {
                members.push((label.clone(), number));
                next = Some(number);
            }
        }
    }
    base
}

/// An Enum takes an ENUM all of whose labels it has. Labels that `information_schema` may not show as they are have none.
fn enumeration(ty: &SourceType, bytes: u8, members: &[(String, i16)]) -> Option<Form> {
    let SourceType::Enum { labels } = ty else { return None };
    let names: HashSet<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    let is_told = |label: &String| names.contains(label.as_str()) && !label.contains('?');
    labels.iter().all(is_told).then(|| Form::Enum { bytes, members: members.to_vec() })
}

/// The wall clock of a DATETIME is shown unchanged in UTC only. Of a column without a zone, the server's own decides, which
/// is looked at where that is known.
fn zone_fits(ty: &SourceType, base: &Base) -> bool {
    let is_instant = matches!(ty, SourceType::Timestamp { .. } | SourceType::OldTimestamp);
    is_instant || matches!(base.zone(), None | Some(None)) || matches!(base.zone(), Some(Some(zone)) if is_utc(zone))
}

/// Whether a time zone is UTC.
pub fn is_utc(zone: &str) -> bool {
    ["UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"].contains(&zone)
}

/// Whether it matters which time zone a column without one is shown in.
pub fn is_wall_clock(ty: &SourceType) -> bool {
    matches!(ty, SourceType::DateTime { .. } | SourceType::OldDateTime)
}

fn is_int(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Int { .. } | SourceType::Year | SourceType::Bit { .. })
}

fn is_bool(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Int { bytes: 1, .. } | SourceType::Bit { bits: 1 })
}

fn is_time(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Time { .. } | SourceType::OldTime)
}

fn is_moment(ty: &SourceType) -> bool {
    is_wall_clock(ty) || matches!(ty, SourceType::Timestamp { .. } | SourceType::OldTimestamp)
}

/// BINARY(16), VARBINARY(16), and text that is as long as a UUID's.
fn is_uuid(ty: &SourceType) -> bool {
    let (SourceType::Char { max_bytes, charset } | SourceType::VarChar { max_bytes, charset }) = ty else {
        return false;
    };
    if *charset == Charset::Binary { *max_bytes == 16 } else { *max_bytes >= 36 }
}

fn is_document(ty: &SourceType) -> bool {
    matches!(ty, SourceType::Json | SourceType::JsonText)
}

fn has_text(ty: &SourceType) -> bool {
    is_int(ty)
        || is_time(ty)
        || is_moment(ty)
        || matches!(ty, SourceType::Float | SourceType::Double | SourceType::Decimal { .. } | SourceType::Date)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::target_type::TargetType;

    fn form(ty: &SourceType, target: &str) -> Option<Form> {
        of(ty, &TargetType::parse(target).base)
    }

    fn labels(labels: &[&str]) -> SourceType {
        SourceType::Enum { labels: labels.iter().map(|label| (*label).to_owned()).collect() }
    }

    #[test]
    fn a_wall_clock_is_shown_in_utc_only() {
        let datetime = SourceType::DateTime { fsp: 3 };
        assert_eq!(form(&datetime, "DateTime64(3, 'UTC')"), Some(Form::Default));
        assert_eq!(form(&datetime, "DateTime64(3)"), Some(Form::Default));
        assert_eq!(form(&datetime, "DateTime64(6, 'Etc/UTC')"), Some(Form::Ticks { precision: 6 }));
        assert_eq!(form(&datetime, "DateTime"), Some(Form::Seconds));
        assert_eq!(form(&datetime, "DateTime('Europe/Berlin')"), None);
        let timestamp = SourceType::Timestamp { fsp: 3 };
        assert_eq!(form(&timestamp, "DateTime64(3, 'Europe/Berlin')"), Some(Form::Default));
        assert_eq!(form(&timestamp, "DateTime('Europe/Berlin')"), Some(Form::Seconds));
    }

    #[test]
    fn enums_have_all_labels_and_a_place_for_what_is_none() {
        let source = labels(&["a", "b"]);
        let base = completed(&source, TargetType::parse("Enum8").base).unwrap();
        assert_eq!(base.to_string(), "Enum8('' = 0, 'a' = 1, 'b' = 2)");
        assert_eq!(
            extended(&labels(&["b", "c"]), TargetType::parse("Enum8('b' = -5)").base).to_string(),
            "Enum8('b' = -5, 'c' = -4)"
        );
        assert_eq!(form(&source, "Enum16('a' = 5)"), None, "b is no member");
        assert!(form(&source, "Enum16('b' = 9, 'a' = 5)").is_some());
        assert_eq!(form(&labels(&["a?"]), "Enum8('a?' = 1)"), None, "copies read it as a text");
        let many: Vec<String> = (0..128).map(|number| format!("l{number}")).collect();
        let many = SourceType::Enum { labels: many };
        let error = completed(&many, TargetType::parse("Enum8").base).unwrap_err();
        assert_eq!(error, "128 labels do not fit in Enum8");
        assert!(completed(&many, TargetType::parse("Enum16").base).is_ok());
        let error = completed(&labels(&["a", "b?"]), TargetType::parse("Enum8").base).unwrap_err();
        assert!(error.starts_with("no Enum can have the label 'b?'"), "{error}");
        let empty = completed(&labels(&["x", ""]), TargetType::parse("Enum8").base).unwrap();
        assert_eq!(empty.to_string(), "Enum8('' = 0, 'x' = 1)");
    }

    #[test]
    fn what_would_lose_something_in_silence_has_no_form() {
        for (ty, target) in [
            (SourceType::Decimal { precision: 10, scale: 2 }, "Float64"),
            (SourceType::DateTime { fsp: 0 }, "Date"),
            (SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 }, "Int32"),
            (SourceType::VarChar { max_bytes: 20, charset: Charset::Utf8 }, "UUID"),
            (SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 }, "FixedString(80)"),
            (SourceType::Int { bytes: 2, unsigned: false }, "Bool"),
            (SourceType::Int { bytes: 4, unsigned: false }, "Float64"),
            (SourceType::Double, "Float32"),
            (SourceType::Vector, "String"),
            (SourceType::Time { fsp: 0 }, "DateTime"),
            (SourceType::Blob { length_bytes: 4, charset: Charset::Utf8 }, "JSON"),
        ] {
            assert_eq!(form(&ty, target), None, "{ty} into {target}");
        }
        assert!(!Form::Text.is_injective(&SourceType::Double) && Form::Text.is_injective(&SourceType::Date));
    }
}
