//! Which ClickHouse type a MySQL column gets, and which existing target columns may take it.
//!
//! The default types are those of DESIGN 9, written exactly as `system.columns` prints them: the texts are compared, and
//! travel in the head of every insert. An existing column is accepted only when the bytes we write for the default type
//! are right for it by a known rule: `LowCardinality(T)` reads the bytes of `T`, `Nullable(T)` those of `T` after a flag.
//! Every other pair is refused by name, never written in hope. Pure; reads no server.

use crate::error::{Error, ErrorKind, Result};
use crate::schema::types::{SourceColumn, SourceType};

/// What the target server can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetFeatures {
    /// Whether it has `Time64`; TIME becomes `Int64` microseconds otherwise.
    pub time64: bool,
}

/// How the bytes of a target column differ from those of the source type's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// A NULL flag goes before each value.
    pub nullable: bool,
    /// TIME is written as `Int64` microseconds.
    pub time_as_microseconds: bool,
}

/// The type that a target column is created with.
///
/// # Errors
/// [`ErrorKind::TableShape`] when this version cannot carry the source type over exactly.
pub fn target_type(
    column: &SourceColumn,
    is_key: bool,
    allows_zero_dates: bool,
    features: TargetFeatures,
) -> Result<String> {
    let base = base_type(&column.ty, features).ok_or_else(|| unsupported(column))?;
    let takes_zero_dates = allows_zero_dates && has_zero_dates(&column.ty);
    let nullable = !is_key && (column.nullable || takes_zero_dates) && column.ty != SourceType::Vector;
    Ok(match (&column.ty, nullable) {
        (SourceType::Enum { .. }, true) => format!("LowCardinality(Nullable({base}))"),
        (SourceType::Enum { .. }, false) => format!("LowCardinality({base})"),
        (_, true) => format!("Nullable({base})"),
        (_, false) => base,
    })
}

/// Whether an existing target column of type `target_type_text` takes this source column.
///
/// # Errors
/// [`ErrorKind::TableShape`] naming the type to create the column with.
pub fn accepts(column: &SourceColumn, is_key: bool, features: TargetFeatures, target_type_text: &str) -> Result<()> {
    fit_with(column, is_key, features, target_type_text).map(|_| ())
}

/// As [`accepts`], with what a plan needs to know about the pair.
///
/// # Errors
/// As [`accepts`].
pub fn fit(column: &SourceColumn, is_key: bool, target_type_text: &str) -> Result<Fit> {
    fit_with(column, is_key, TargetFeatures { time64: true }, target_type_text)
}

fn fit_with(column: &SourceColumn, is_key: bool, features: TargetFeatures, text: &str) -> Result<Fit> {
    let base = base_type(&column.ty, TargetFeatures { time64: true }).ok_or_else(|| unsupported(column))?;
    let target = TypeText::parse(text);
    let is_time = matches!(column.ty, SourceType::Time { .. } | SourceType::OldTime);
    let time_as_microseconds = is_time && target.base == "Int64";
    // An array cannot be Nullable: NULL is the empty one, which no vector is.
    let needs_nullable = column.nullable && column.ty != SourceType::Vector;
    let null_fits = if is_key { !target.nullable } else { target.nullable || !needs_nullable };
    let base_fits = target.base == base || time_as_microseconds;
    if base_fits && null_fits && (!target.low_cardinality || base == "String") {
        return Ok(Fit { nullable: target.nullable, time_as_microseconds });
    }
    let default = target_type(column, is_key, false, features)?;
    let text = format!(
        "the target's type {text} does not take {} of the source: type pairs other than the default come later; \
         create the column as {default}",
        mysql_type(column)
    );
    Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name))
}

/// What an existing target column of type `text` becomes when its source column becomes `column`, whose values it then
/// takes: the base is new, the wrappers stay, and `Nullable` is added where it is needed. Not for a key.
///
/// # Errors
/// As [`target_type`].
pub fn widened_type(column: &SourceColumn, features: TargetFeatures, text: &str) -> Result<String> {
    let base = base_type(&column.ty, features).ok_or_else(|| unsupported(column))?;
    let current = TypeText::parse(text);
    let nullable = column.ty != SourceType::Vector && (current.nullable || column.nullable);
    let inner = if nullable { format!("Nullable({base})") } else { base };
    Ok(if current.low_cardinality { format!("LowCardinality({inner})") } else { inner })
}

/// A target type without its wrappers.
struct TypeText<'a> {
    base: &'a str,
    nullable: bool,
    low_cardinality: bool,
}

impl<'a> TypeText<'a> {
    fn parse(text: &'a str) -> Self {
        let inner = inside(text, "LowCardinality");
        let (text, low_cardinality) = (inner.unwrap_or(text), inner.is_some());
        let inner = inside(text, "Nullable");
        Self { base: inner.unwrap_or(text), nullable: inner.is_some(), low_cardinality }
    }
}

fn inside<'a>(text: &'a str, wrapper: &str) -> Option<&'a str> {
    text.strip_prefix(wrapper)?.strip_prefix('(')?.strip_suffix(')')
}

/// The default type without `Nullable` and `LowCardinality`; `None` for what is not carried over yet.
fn base_type(ty: &SourceType, features: TargetFeatures) -> Option<String> {
    Some(match ty {
        SourceType::Int { bytes, unsigned } => int_type(*bytes, *unsigned)?.to_owned(),
        SourceType::Float => "Float32".to_owned(),
        SourceType::Double => "Float64".to_owned(),
        SourceType::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
        SourceType::Year => "UInt16".to_owned(),
        SourceType::Date => "Date32".to_owned(),
        SourceType::Time { fsp } if features.time64 => format!("Time64({fsp})"),
        SourceType::OldTime if features.time64 => "Time64(0)".to_owned(),
        SourceType::Time { .. } | SourceType::OldTime => "Int64".to_owned(),
        SourceType::OldDateTime | SourceType::OldTimestamp => "DateTime64(0, 'UTC')".to_owned(),
        SourceType::DateTime { fsp } | SourceType::Timestamp { fsp } => format!("DateTime64({fsp}, 'UTC')"),
        SourceType::Bit { .. } => "UInt64".to_owned(),
        SourceType::Char { .. }
        | SourceType::VarChar { .. }
        | SourceType::Blob { .. }
        | SourceType::Enum { .. }
        | SourceType::Set { .. }
        | SourceType::Json
        | SourceType::Geometry => "String".to_owned(),
        SourceType::Vector => "Array(Float32)".to_owned(),
        SourceType::Unsupported { .. } => return None,
    })
}

fn int_type(bytes: u8, unsigned: bool) -> Option<&'static str> {
    Some(match (bytes, unsigned) {
        (1, false) => "Int8",
        (1, true) => "UInt8",
        (2, false) => "Int16",
        (2, true) => "UInt16",
        (3 | 4, false) => "Int32",
        (3 | 4, true) => "UInt32",
        (8, false) => "Int64",
        (8, true) => "UInt64",
        _ => return None,
    })
}

fn has_zero_dates(ty: &SourceType) -> bool {
    matches!(
        ty,
        SourceType::Date
            | SourceType::DateTime { .. }
            | SourceType::Timestamp { .. }
            | SourceType::OldDateTime
            | SourceType::OldTimestamp
    )
}

fn unsupported(column: &SourceColumn) -> Error {
    let text = format!("{} is not carried over by this version; exclude the table", mysql_type(column));
    Error::new(ErrorKind::TableShape, text).at_column(&column.name)
}

/// The type in MySQL's words, for messages.
fn mysql_type(column: &SourceColumn) -> String {
    format!("{} {}", column.ty, if column.nullable { "NULL" } else { "NOT NULL" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::types::Charset;

    const FEATURES: TargetFeatures = TargetFeatures { time64: true };

    fn column(ty: SourceType, nullable: bool) -> SourceColumn {
        SourceColumn { name: "c".to_owned(), ty, nullable }
    }

    fn labels() -> Vec<String> {
        vec!["a".to_owned()]
    }

    #[test]
    fn default_types() {
        let check = |ty: SourceType, expected: &str, nullable: &str| {
            let not_null = target_type(&column(ty.clone(), false), false, false, FEATURES).unwrap();
            assert_eq!(not_null, expected);
            assert_eq!(target_type(&column(ty, true), false, false, FEATURES).unwrap(), nullable);
        };
        check(SourceType::Int { bytes: 3, unsigned: true }, "UInt32", "Nullable(UInt32)");
        check(SourceType::Int { bytes: 8, unsigned: false }, "Int64", "Nullable(Int64)");
        check(SourceType::Float, "Float32", "Nullable(Float32)");
        check(SourceType::Decimal { precision: 10, scale: 2 }, "Decimal(10, 2)", "Nullable(Decimal(10, 2))");
        check(SourceType::Year, "UInt16", "Nullable(UInt16)");
        check(SourceType::Date, "Date32", "Nullable(Date32)");
        check(SourceType::Time { fsp: 3 }, "Time64(3)", "Nullable(Time64(3))");
        check(SourceType::DateTime { fsp: 6 }, "DateTime64(6, 'UTC')", "Nullable(DateTime64(6, 'UTC'))");
        check(SourceType::Bit { bits: 1 }, "UInt64", "Nullable(UInt64)");
        check(SourceType::Char { max_bytes: 4, charset: Charset::Binary }, "String", "Nullable(String)");
        check(SourceType::Enum { labels: labels() }, "LowCardinality(String)", "LowCardinality(Nullable(String))");
        check(SourceType::Set { labels: labels() }, "String", "Nullable(String)");
        check(SourceType::Json, "String", "Nullable(String)");
        check(SourceType::Geometry, "String", "Nullable(String)");
        check(SourceType::Vector, "Array(Float32)", "Array(Float32)");
        check(SourceType::OldTime, "Time64(0)", "Nullable(Time64(0))");
        check(SourceType::OldDateTime, "DateTime64(0, 'UTC')", "Nullable(DateTime64(0, 'UTC'))");
        check(SourceType::OldTimestamp, "DateTime64(0, 'UTC')", "Nullable(DateTime64(0, 'UTC'))");
    }

    #[test]
    fn zero_dates_make_columns_nullable_unless_keys() {
        let date = column(SourceType::Date, false);
        assert_eq!(target_type(&date, false, true, FEATURES).unwrap(), "Nullable(Date32)");
        assert_eq!(target_type(&date, true, true, FEATURES).unwrap(), "Date32");
        let old = column(SourceType::OldTimestamp, false);
        assert_eq!(target_type(&old, false, true, FEATURES).unwrap(), "Nullable(DateTime64(0, 'UTC'))");
        let year = column(SourceType::Year, false);
        assert_eq!(target_type(&year, false, true, FEATURES).unwrap(), "UInt16");
    }

    #[test]
    fn time_without_time64() {
        let time = column(SourceType::Time { fsp: 2 }, true);
        let old = TargetFeatures { time64: false };
        assert_eq!(target_type(&time, false, false, old).unwrap(), "Nullable(Int64)");
        assert!(fit(&time, false, "Nullable(Int64)").unwrap().time_as_microseconds);
        assert!(!fit(&time, false, "Nullable(Time64(2))").unwrap().time_as_microseconds);
    }

    #[test]
    fn every_default_type_is_accepted() {
        let types = [SourceType::Enum { labels: labels() }, SourceType::Json, SourceType::Vector, SourceType::OldTime];
        for (ty, is_key) in types.into_iter().map(|ty| (ty, false)).chain([(SourceType::Float, true)]) {
            for nullable in [false, !is_key] {
                let column = column(ty.clone(), nullable);
                let text = target_type(&column, is_key, false, FEATURES).unwrap();
                assert_eq!(accepts(&column, is_key, FEATURES, &text), Ok(()), "{text}");
            }
        }
    }

    #[test]
    fn existing_columns() {
        let text = |nullable| column(SourceType::VarChar { max_bytes: 80, charset: Charset::Utf8 }, nullable);
        let accepted = |nullable, is_key, ty: &str| accepts(&text(nullable), is_key, FEATURES, ty).is_ok();
        assert!(accepted(false, false, "Nullable(String)"));
        assert!(accepted(false, true, "LowCardinality(String)"));
        assert!(accepted(true, false, "LowCardinality(Nullable(String))"));
        assert!(!accepted(true, false, "String"), "NULL has no place");
        assert!(!accepted(false, true, "Nullable(String)"), "a key is never NULL");
        assert!(!accepted(false, false, "FixedString(80)"));
        let int = column(SourceType::Int { bytes: 4, unsigned: false }, false);
        assert!(accepts(&int, false, FEATURES, "LowCardinality(Int32)").is_err());
    }

    #[test]
    fn refusals_name_column_type_and_remedy() {
        let error = accepts(&column(SourceType::Float, true), false, FEATURES, "Float64").unwrap_err();
        assert_eq!(error.kind, ErrorKind::TableShape);
        assert_eq!(
            error.to_string(),
            "column c: the target's type Float64 does not take FLOAT NULL of the source: type pairs other than the \
             default come later; create the column as Nullable(Float32)"
        );
        let sjis = column(SourceType::Unsupported { name: "CHAR in character set sjis".to_owned() }, false);
        let error = target_type(&sjis, false, false, FEATURES).unwrap_err();
        let expected =
            "column c: CHAR in character set sjis NOT NULL is not carried over by this version; exclude the table";
        assert_eq!(error.to_string(), expected);
    }
}
