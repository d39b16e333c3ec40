//! Which ClickHouse type a MySQL column gets, and which existing target columns may take it.
//!
//! The default types are those of DESIGN 9, written exactly as `system.columns` prints them: the texts are compared, and
//! travel in the head of every insert. What a user chooses instead, and an existing column, is taken only when there is a
//! [`Form`] for the pair: a known rule that makes the column's bytes of every value, or refuses the value. Every other
//! pair is refused by name, never written in hope. Pure; reads no server.

use crate::error::{Error, ErrorKind, Result};
use crate::schema::choices::{ColumnChoice, OnBadValue};
use crate::schema::form::{self, Form};
use crate::schema::target_type::{Base, TargetType};
use crate::schema::types::{SourceColumn, SourceType};

/// What the target server can store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetFeatures {
    /// Whether it has `Time64`; TIME becomes `Int64` microseconds otherwise.
    pub time64: bool,
}

/// How the bytes of a target column are made of the source's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fit {
    /// A NULL flag goes before each value.
    pub nullable: bool,
    /// What each value becomes.
    pub form: Form,
}

/// The type that a target column is created with by default.
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
    let low_cardinality = matches!(column.ty, SourceType::Enum { .. });
    Ok(TargetType { base, nullable, low_cardinality }.to_string())
}

/// The type that a target column is created with, where the user may have chosen one. `Nullable` is added where NULL needs
/// a place, and `'UTC'` where a point in time has no zone.
///
/// # Errors
/// As [`target_type`]; a choice that does not take the column's values.
pub fn chosen_type(
    column: &SourceColumn,
    is_key: bool,
    allows_zero_dates: bool,
    features: TargetFeatures,
    choice: ColumnChoice<'_>,
) -> Result<String> {
    if choice == ColumnChoice::default() {
        return target_type(column, is_key, allows_zero_dates, features);
    }
    let refused = |text: String| Error::new(ErrorKind::TableShape, text).at_column(&column.name);
    let is_null_instead = choice.on_bad_value == OnBadValue::Null;
    if is_key && is_null_instead {
        return Err(refused("on_bad_value = \"null\" in a key, which is never NULL: use fail or string".to_owned()));
    }
    if is_null_instead && column.ty == SourceType::Vector {
        return Err(refused("on_bad_value = \"null\" for a VECTOR, whose array cannot be Nullable".to_owned()));
    }
    let default = TargetType::parse(&target_type(column, is_key, allows_zero_dates, features)?);
    let chosen = match choice.written_type() {
        Some(text) => TargetType::parse(text),
        None => default,
    };
    let base = form::completed(&column.ty, chosen.base).map_err(refused)?;
    let keeps_zero_dates = base == Base::String;
    let takes_zero_dates = allows_zero_dates && has_zero_dates(&column.ty) && !keeps_zero_dates;
    let needs_null = column.nullable || takes_zero_dates || is_null_instead;
    let nullable = chosen.nullable || (!is_key && needs_null && column.ty != SourceType::Vector);
    let text = TargetType { base, nullable, low_cardinality: chosen.low_cardinality }.to_string();
    accepts(column, is_key, features, &text)?;
    Ok(text)
}

/// Whether an existing target column of type `target_type_text` takes this source column.
///
/// # Errors
/// [`ErrorKind::TableShape`] naming the type to create the column with.
pub fn accepts(column: &SourceColumn, is_key: bool, features: TargetFeatures, target_type_text: &str) -> Result<()> {
    fit_with(column, is_key, features, target_type_text).map(drop)
}

/// As [`accepts`], and whether it is what the user has chosen.
///
/// # Errors
/// As [`accepts`] and [`chosen_type`].
pub fn accepts_chosen(
    column: &SourceColumn,
    is_key: bool,
    features: TargetFeatures,
    text: &str,
    choice: ColumnChoice<'_>,
) -> Result<()> {
    accepts(column, is_key, features, text)?;
    let fit = fit_with(column, is_key, features, text)?;
    if choice.written_type().is_some_and(|written| !is_extended(written, text)) {
        let wanted = chosen_type(column, is_key, false, features, choice)?;
        if !TargetType::parse(&wanted).base.is_same(&TargetType::parse(text).base.in_utc()) {
            let text = format!("it is {text}, but the configuration asks for {wanted}");
            return Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name));
        }
    }
    if choice.on_bad_value == OnBadValue::Null && !fit.nullable {
        let text = format!("it is {text}, but on_bad_value = \"null\" needs a Nullable column");
        return Err(Error::new(ErrorKind::TableShape, text).at_column(&column.name));
    }
    Ok(())
}

/// Whether it is the Enum that was `written`, without members or with more: those are labels that the source has, or had.
fn is_extended(written: &str, text: &str) -> bool {
    match (TargetType::parse(written).base, TargetType::parse(text).base) {
        (Base::Enum { bytes, members }, Base::Enum { bytes: found_bytes, members: found }) => {
            bytes == found_bytes && members.iter().all(|member| found.contains(member))
        }
        _ => false,
    }
}

/// As [`accepts`], with what a plan needs to know about the pair.
///
/// # Errors
/// As [`accepts`].
pub fn fit(column: &SourceColumn, is_key: bool, target_type_text: &str) -> Result<Fit> {
    fit_with(column, is_key, TargetFeatures { time64: true }, target_type_text)
}

/// Whether a target column of this type has the bytes of the default one.
pub fn is_default(column: &SourceColumn, target_type_text: &str) -> bool {
    form::of(&column.ty, &TargetType::parse(target_type_text).base).is_some_and(|form| !form.is_chosen())
}

fn fit_with(column: &SourceColumn, is_key: bool, features: TargetFeatures, text: &str) -> Result<Fit> {
    target_type(column, is_key, false, features)?;
    let target = TargetType::parse(text);
    // An array cannot be Nullable: NULL is the empty one, which no vector is.
    let needs_nullable = column.nullable && column.ty != SourceType::Vector;
    let null_fits = if is_key { !target.nullable } else { target.nullable || !needs_nullable };
    let form = form::of(&column.ty, &target.base).filter(|form| !is_key || form.is_injective(&column.ty));
    if let Some(form) = form.filter(|_| null_fits) {
        return Ok(Fit { nullable: target.nullable, form });
    }
    Err(misfit(column, is_key, features, text))
}

fn misfit(column: &SourceColumn, is_key: bool, features: TargetFeatures, text: &str) -> Error {
    let default = match target_type(column, is_key, false, features) {
        Ok(default) => default,
        Err(error) => return error,
    };
    let others = form::others(&column.ty);
    let others = if others.is_empty() { String::new() } else { format!(", or as {others}") };
    let text = format!(
        "the target's type {text} does not take {} of the source: create the column as {default}{others}",
        mysql_type(column)
    );
    Error::new(ErrorKind::TableShape, text).at_column(&column.name)
}

/// What an existing target column of type `text` becomes when its source column was `before` and becomes `after`, whose
/// values it then takes: a default type becomes the new default, a chosen one (or one that `is_written` in the
/// configuration) stays as far as it can, the wrappers stay, and `Nullable` is added where it is needed. Not for a key.
///
/// # Errors
/// As [`target_type`]; a chosen type that does not take the new values.
pub fn widened_type(
    before: &SourceColumn,
    after: &SourceColumn,
    is_written: bool,
    features: TargetFeatures,
    text: &str,
) -> Result<String> {
    let current = TargetType::parse(text);
    let is_default = matches!(form::of(&before.ty, &current.base), Some(Form::Default | Form::Microseconds));
    let base = match is_default && !is_written {
        true => base_type(&after.ty, features).ok_or_else(|| unsupported(after))?,
        false => form::extended(&after.ty, current.base),
    };
    let nullable = after.ty != SourceType::Vector && (current.nullable || after.nullable);
    let text = TargetType { base, nullable, low_cardinality: current.low_cardinality }.to_string();
    fit_with(after, false, features, &text).map(|_| text)
}

/// The default type without `Nullable` and `LowCardinality`; `None` for what is not carried over yet.
fn base_type(ty: &SourceType, features: TargetFeatures) -> Option<Base> {
    let is_time = matches!(ty, SourceType::Time { .. } | SourceType::OldTime);
    if is_time && !features.time64 {
        return Some(Base::Int { bytes: 8, is_signed: true });
    }
    form::default_base(ty)
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
        assert_eq!(fit(&time, false, "Nullable(Int64)").unwrap().form, Form::Microseconds);
        assert_eq!(fit(&time, false, "Nullable(Time64(2))").unwrap().form, Form::Default);
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
        assert!(accepts(&int, false, FEATURES, "LowCardinality(Int32)").is_ok());
        assert!(accepts(&int, true, FEATURES, "Int64").is_ok() && accepts(&int, false, FEATURES, "Float64").is_err());
    }

    fn chosen(ty: SourceType, nullable: bool, is_key: bool, choice: ColumnChoice<'_>) -> String {
        let chosen = chosen_type(&column(ty, nullable), is_key, true, FEATURES, choice);
        chosen.unwrap_or_else(|error| error.text.clone())
    }

    #[test]
    fn chosen_types_get_what_they_need() {
        let check = |ty: &SourceType, written: &str, not_null: &str, nullable: &str| {
            let choice = ColumnChoice { ty: Some(written), ..ColumnChoice::default() };
            assert_eq!(chosen(ty.clone(), false, false, choice), not_null);
            assert_eq!(chosen(ty.clone(), true, false, choice), nullable);
        };
        let int = SourceType::Int { bytes: 4, unsigned: false };
        check(&int, "Int64", "Int64", "Nullable(Int64)");
        check(&int, "Nullable(Int64)", "Nullable(Int64)", "Nullable(Int64)");
        check(&int, "LowCardinality(Int32)", "LowCardinality(Int32)", "LowCardinality(Nullable(Int32))");
        let datetime = SourceType::DateTime { fsp: 6 };
        check(&datetime, "DateTime", "Nullable(DateTime('UTC'))", "Nullable(DateTime('UTC'))");
        check(&datetime, "String", "String", "Nullable(String)");
        let labels = SourceType::Enum { labels: labels() };
        check(&labels, "Enum8", "Enum8('' = 0, 'a' = 1)", "Nullable(Enum8('' = 0, 'a' = 1))");
        assert!(chosen(datetime, false, true, ColumnChoice { ty: Some("Date"), ..ColumnChoice::default() }).contains(
            "the target's type Date does not take DATETIME(6) NOT NULL of the source: create the column as \
             DateTime64(6, 'UTC'), or as DateTime('UTC')"
        ));
    }

    #[test]
    fn policies_choose_types_too() {
        let null = ColumnChoice { ty: None, on_bad_value: OnBadValue::Null };
        let string = ColumnChoice { ty: None, on_bad_value: OnBadValue::String };
        let int = SourceType::Int { bytes: 4, unsigned: false };
        assert_eq!(chosen(int.clone(), false, false, null), "Nullable(Int32)");
        assert!(chosen(int.clone(), false, true, null).contains("never NULL: use fail or string"));
        assert_eq!(chosen(SourceType::Date, false, true, string), "String");
        assert!(chosen(SourceType::Float, false, true, string).contains("does not take FLOAT NOT NULL"));
        assert!(chosen(SourceType::Vector, false, false, null).contains("cannot be Nullable"));
    }

    #[test]
    fn an_existing_column_is_what_was_chosen() {
        let check = |ty: &SourceType, written: &str, existing: &str| {
            let choice = ColumnChoice { ty: Some(written), ..ColumnChoice::default() };
            accepts_chosen(&column(ty.clone(), false), false, FEATURES, existing, choice)
                .map_err(|error| error.text.clone())
        };
        let int = SourceType::Int { bytes: 4, unsigned: false };
        assert_eq!(check(&int, "Int64", "Nullable(Int64)"), Ok(()));
        assert_eq!(check(&int, "Int64", "Int32").unwrap_err(), "it is Int32, but the configuration asks for Int64");
        assert_eq!(check(&SourceType::DateTime { fsp: 3 }, "DateTime64(3)", "DateTime64(3)"), Ok(()));
        let labels = SourceType::Enum { labels: labels() };
        assert_eq!(check(&labels, "Enum8", "Enum8('z' = -1, '' = 0, 'a' = 1)"), Ok(()), "z was a label once");
        assert_eq!(check(&labels, "Enum8('a'=1, 'z'=-1)", "Enum8('z' = -1, 'a' = 1)"), Ok(()));
        assert_eq!(check(&labels, "Enum8('a'=1)", "Enum8('a' = 1, 'b' = 2)"), Ok(()), "b came later");
        assert!(check(&labels, "Enum8('a'=1)", "Enum8('a' = 2)").is_err());
        let null = ColumnChoice { ty: None, on_bad_value: OnBadValue::Null };
        assert!(accepts_chosen(&column(int, false), false, FEATURES, "Int32", null).is_err());
    }

    #[test]
    fn a_default_type_follows_its_column_and_a_chosen_one_stays() {
        let int = |bytes| SourceType::Int { bytes, unsigned: false };
        let widened_as = |is_written: bool, before: SourceType, after: SourceType, text: &str| {
            let after = column(after, text.contains("Nullable"));
            widened_type(&column(before, false), &after, is_written, FEATURES, text).map_err(|error| error.text.clone())
        };
        let widened = |before: SourceType, after: SourceType, text: &str| widened_as(false, before, after, text);
        assert_eq!(widened(int(4), int(8), "Int32").as_deref(), Ok("Int64"));
        assert_eq!(widened_as(true, int(4), int(8), "Int32").as_deref(), Ok("Int32"));
        assert_eq!(
            widened(int(4), int(8), "Nullable(Decimal(9, 2))").unwrap_err().get(..29),
            Some("the target's type Nullable(De")
        );
        assert_eq!(widened(int(4), int(8), "LowCardinality(String)").as_deref(), Ok("LowCardinality(String)"));
        let both = SourceType::Enum { labels: vec!["a".to_owned(), "b".to_owned()] };
        let before = SourceType::Enum { labels: labels() };
        assert_eq!(widened(before, both, "Enum8('' = 0, 'a' = 5)").as_deref(), Ok("Enum8('' = 0, 'a' = 5, 'b' = 6)"));
    }

    #[test]
    fn refusals_name_column_type_and_remedy() {
        let error = accepts(&column(SourceType::Float, true), false, FEATURES, "Float64").unwrap_err();
        assert_eq!(error.kind, ErrorKind::TableShape);
        assert_eq!(
            error.to_string(),
            "column c: the target's type Float64 does not take FLOAT NULL of the source: create the column as \
             Nullable(Float32), or as String (not in a key)"
        );
        let sjis = column(SourceType::Unsupported { name: "CHAR in character set sjis".to_owned() }, false);
        let error = target_type(&sjis, false, false, FEATURES).unwrap_err();
        let expected =
            "column c: CHAR in character set sjis NOT NULL is not carried over by this version; exclude the table";
        assert_eq!(error.to_string(), expected);
    }
}
