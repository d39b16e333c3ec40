//! Which changes of a column's type keep every value, in MySQL and in the target alike.
//!
//! A value is kept when the new type holds it as it is: MySQL's conversion then neither rounds, cuts, pads nor fails, and
//! what the bridge would write for it is what ClickHouse's own cast makes of the old one (measured over the whole range
//! of each type). Strict mode makes lossy conversions an error, but not all: it rounds, and cuts trailing spaces, in
//! silence; so a type that shrinks is never kept here. No IO.

#![allow(clippy::wildcard_enum_match_arm, reason = "a type that is not named is copied, which is always right")]

use crate::schema::catalog::ColumnDefinition;
use crate::schema::charset::bytes_per_char;
use crate::schema::types::{Charset, SourceType};

/// Whether the values of `old` are all kept in `new`.
///
/// # Errors
/// Why not.
pub fn check(old: &ColumnDefinition, new: &ColumnDefinition, is_strict: bool) -> Result<(), String> {
    let (from, to) = (old.ty.source_type(), new.ty.source_type());
    let keeps = keeps_null(old, new, &to, is_strict)
        && keeps_sign_and_digits(old, new, &from)
        && keeps_characters(old, new, &from, is_strict)
        && keeps_values(old, new, is_strict);
    if keeps {
        return Ok(());
    }
    Err(format!("values may change from {} to {}", told(old), told(new)))
}

fn told(column: &ColumnDefinition) -> String {
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    format!("{} {null}", column.ty.column_type.to_ascii_uppercase())
}

/// Strict mode refuses a NULL that becomes NOT NULL; but a TIMESTAMP may become the present time.
fn keeps_null(old: &ColumnDefinition, new: &ColumnDefinition, to: &SourceType, is_strict: bool) -> bool {
    let is_timestamp = matches!(to, SourceType::Timestamp { .. } | SourceType::OldTimestamp);
    new.nullable || !old.nullable || (is_strict && !is_timestamp)
}

/// FLOAT(7,3) rounds, and UNSIGNED cuts off at zero; the types of both do not say it.
fn keeps_sign_and_digits(old: &ColumnDefinition, new: &ColumnDefinition, from: &SourceType) -> bool {
    let (before, after) = (old.ty.column_type.to_ascii_lowercase(), new.ty.column_type.to_ascii_lowercase());
    let is_unsigned = |text: &str| text.contains("unsigned") || text.contains("zerofill");
    match from {
        SourceType::Float | SourceType::Double => {
            before == after || (!after.contains('(') && (is_unsigned(&before) || !is_unsigned(&after)))
        }
        SourceType::Decimal { .. } => is_unsigned(&before) || !is_unsigned(&after),
        _ => true,
    }
}

/// Whether each character is in the new character set.
fn keeps_characters(old: &ColumnDefinition, new: &ColumnDefinition, from: &SourceType, is_strict: bool) -> bool {
    if !has_characters(from) {
        return true;
    }
    let (before, after) = (charset(old), charset(new));
    match (before, after) {
        _ if before == after => true,
        ("binary", _) | (_, "binary") => false,
        (_, "utf8mb4") | ("latin1" | "ascii", "utf8mb3") | ("ascii", "latin1") => true,
        // MySQL refuses what these do not have. Of others that is not sure: it makes U+6661 another character in cp932.
        (_, "utf8mb3" | "latin1" | "ascii" | "ucs2" | "utf16" | "utf16le" | "utf32") => is_strict,
        _ => false,
    }
}

fn has_characters(ty: &SourceType) -> bool {
    matches!(
        ty,
        SourceType::Char { .. }
            | SourceType::VarChar { .. }
            | SourceType::Blob { .. }
            | SourceType::Enum { .. }
            | SourceType::Set { .. }
    )
}

fn charset(column: &ColumnDefinition) -> &str {
    match column.ty.charset.as_deref() {
        None => "binary",
        Some("utf8") => "utf8mb3",
        Some(name) => name,
    }
}

fn keeps_values(old: &ColumnDefinition, new: &ColumnDefinition, is_strict: bool) -> bool {
    use SourceType as T;
    match (old.ty.source_type(), new.ty.source_type()) {
        (T::Unsupported { .. }, _) | (_, T::Unsupported { .. }) => false,
        (T::Int { bytes: a, unsigned: from }, T::Int { bytes: b, unsigned: to }) => match (from, to) {
            (false, true) => false,
            (true, false) => b > a,
            (true, true) | (false, false) => b >= a,
        },
        (T::Decimal { precision: p, scale: s }, T::Decimal { precision: q, scale: r }) => {
            r >= s && q.checked_sub(r) >= p.checked_sub(s)
        }
        (T::Float, T::Double) => true,
        // Its dimension is not in the type: strict mode refuses values that are longer than a smaller one.
        (T::Vector, T::Vector) => is_strict,
        (T::Bit { bits: a }, T::Bit { bits: b }) => b >= a,
        (T::Time { fsp: a }, T::Time { fsp: b })
        | (T::DateTime { fsp: a }, T::DateTime { fsp: b })
        | (T::Timestamp { fsp: a }, T::Timestamp { fsp: b }) => b >= a,
        (T::Enum { labels: a }, T::Enum { labels: b }) => {
            b.starts_with(&a) || (is_strict && a.iter().all(|label| b.contains(label)))
        }
        (T::Set { labels: a }, T::Set { labels: b }) => b.starts_with(&a) || (is_strict && is_subsequence(&a, &b)),
        (from, to) if has_characters(&from) => keeps_text(old, new, &from, &to),
        (from, to) => from == to,
    }
}

/// Whether the labels stand in the same order, with others between: so a SET lists its members.
fn is_subsequence(labels: &[String], of: &[String]) -> bool {
    let mut rest = of.iter();
    labels.iter().all(|label| rest.any(|other| other == label))
}

/// CHAR strips trailing spaces (or, under PAD_CHAR_TO_FULL_LENGTH, reads with them), BINARY pads with zeros: neither
/// becomes another type here, nor another type one of them.
fn keeps_text(old: &ColumnDefinition, new: &ColumnDefinition, from: &SourceType, to: &SourceType) -> bool {
    use SourceType as T;
    let is_bytes = |charset: &Charset| *charset == Charset::Binary;
    match (from, to) {
        (T::Char { charset, .. }, T::Char { .. }) if is_bytes(charset) => return from == to,
        (T::Char { .. }, T::Char { .. }) | (T::VarChar { .. } | T::Blob { .. }, T::VarChar { .. } | T::Blob { .. }) => {
        }
        _ => return false,
    }
    let (Some(held), Some(room)) = (room(from, charset(old)), room(to, charset(new))) else { return false };
    let (before, after) = (charset(old), charset(new));
    let bytes = if grows(before, after) { held.characters * character_bytes(after) } else { held.bytes };
    match to {
        T::Blob { .. } => bytes <= room.bytes,
        _ => held.characters <= room.characters,
    }
}

/// Whether a text may take more bytes in another character set.
fn grows(before: &str, after: &str) -> bool {
    let is_utf8 = |charset| matches!(charset, "utf8mb3" | "utf8mb4");
    before != after && !(is_utf8(after) && (is_utf8(before) || before == "ascii"))
}

/// How much text a type holds.
struct Room {
    characters: u64,
    bytes: u64,
}

fn room(ty: &SourceType, charset: &str) -> Option<Room> {
    match ty {
        SourceType::Char { max_bytes, .. } | SourceType::VarChar { max_bytes, .. } => {
            let bytes = u64::from(*max_bytes);
            Some(Room { characters: bytes / character_bytes(charset), bytes })
        }
        SourceType::Blob { length_bytes, .. } => {
            let bytes = 1u64.checked_shl(8 * u32::from(*length_bytes))?.checked_sub(1)?;
            Some(Room { characters: bytes, bytes })
        }
        _ => None,
    }
}

/// The most bytes of a character.
pub(super) fn character_bytes(charset: &str) -> u64 {
    bytes_per_char(charset).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::column::ColumnType;

    fn column(data_type: &str, octets: u64, charset: &str) -> ColumnDefinition {
        let ty = ColumnType {
            data_type: data_type.to_owned(),
            column_type: data_type.to_owned(),
            octets: Some(octets),
            charset: Some(charset.to_owned()),
            ..ColumnType::default()
        };
        ColumnDefinition { name: "c".to_owned(), ty, nullable: true, ..ColumnDefinition::default() }
    }

    #[test]
    fn a_character_set_keeps_text_that_it_surely_has_and_has_room_for() {
        let check = |old: (&str, u64, &str), new: (&str, u64, &str), is_strict, expected| {
            let (old, new) = (column(old.0, old.1, old.2), column(new.0, new.1, new.2));
            assert_eq!(super::check(&old, &new, is_strict).is_ok(), expected, "{old:?} {new:?}");
        };
        check(("varchar", 20, "sjis"), ("varchar", 40, "utf8mb4"), false, true);
        check(("varchar", 20, "sjis"), ("varchar", 36, "utf8mb4"), false, false);
        check(("varchar", 40, "utf8mb4"), ("varchar", 20, "ucs2"), true, true);
        check(("varchar", 40, "utf8mb4"), ("varchar", 20, "ucs2"), false, false);
        check(("varchar", 40, "utf8mb4"), ("varchar", 20, "cp932"), true, false);
        check(("varchar", 10, "sjis"), ("varchar", 20, "sjis"), true, true);
        check(("text", 65_535, "sjis"), ("text", 65_535, "utf8mb4"), true, false);
        check(("text", 65_535, "sjis"), ("mediumtext", 16_777_215, "utf8mb4"), true, true);
        check(("text", 65_535, "latin1"), ("text", 65_535, "utf8mb4"), true, false);
        check(("text", 65_535, "utf8mb3"), ("text", 65_535, "utf8mb4"), true, true);
    }
}
