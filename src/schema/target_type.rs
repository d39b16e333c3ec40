//! A type of ClickHouse, taken apart: what `system.columns` prints, and what a user writes in `types`.
//!
//! Only the types that values are written for have a name here; every other one is [`Base::Other`], which takes nothing.
//! Pure: a text in, a value out, and back.

use std::fmt;

/// A type with its wrappers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetType {
    /// What is stored.
    pub base: Base,
    /// `Nullable(..)`
    pub nullable: bool,
    /// `LowCardinality(..)`, which goes around `Nullable`.
    pub low_cardinality: bool,
}

/// A type without its wrappers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// `Int8`..`Int256`, `UInt8`..`UInt256`: `bytes` is 1, 2, 4, 8, 16 or 32.
    Int { bytes: u8, is_signed: bool },
    /// `Bool`
    Bool,
    /// `Float32`
    Float32,
    /// `Float64`
    Float64,
    /// `Decimal(precision, scale)`
    Decimal { precision: u8, scale: u8 },
    /// `Date`
    Date,
    /// `Date32`
    Date32,
    /// `DateTime`, `DateTime('zone')`
    DateTime { zone: Option<String> },
    /// `DateTime64(precision)`, `DateTime64(precision, 'zone')`
    DateTime64 { precision: u8, zone: Option<String> },
    /// `Time64(precision)`
    Time64 { precision: u8 },
    /// `String`
    String,
    /// `UUID`
    Uuid,
    /// `Enum8(..)`, `Enum16(..)`: `bytes` is 1 or 2. Without members, only as written by a user.
    Enum { bytes: u8, members: Vec<(String, i16)> },
    /// `JSON`, `JSON(..)` with its parameters.
    Json { parameters: String },
    /// `Array(Float32)`
    Floats,
    /// What no value is written for.
    Other(String),
}

impl TargetType {
    /// The type that a text means.
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let inner = inside(text, "LowCardinality");
        let (text, low_cardinality) = (inner.unwrap_or(text), inner.is_some());
        let inner = inside(text, "Nullable");
        Self { base: Base::parse(inner.unwrap_or(text)), nullable: inner.is_some(), low_cardinality }
    }
}

impl fmt::Display for TargetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low_cardinality, self.nullable) {
            (true, true) => write!(f, "LowCardinality(Nullable({}))", self.base),
            (true, false) => write!(f, "LowCardinality({})", self.base),
            (false, true) => write!(f, "Nullable({})", self.base),
            (false, false) => self.base.fmt(f),
        }
    }
}

impl Base {
    fn parse(text: &str) -> Self {
        match text {
            "Bool" => Self::Bool,
            "Float32" => Self::Float32,
            "Float64" => Self::Float64,
            "Date" => Self::Date,
            "Date32" => Self::Date32,
            "DateTime" => Self::DateTime { zone: None },
            "String" => Self::String,
            "UUID" => Self::Uuid,
            "JSON" => Self::Json { parameters: String::new() },
            "Enum8" => Self::Enum { bytes: 1, members: Vec::new() },
            "Enum16" => Self::Enum { bytes: 2, members: Vec::new() },
            "Array(Float32)" => Self::Floats,
            _ => int(text).or_else(|| parametric(text)).unwrap_or_else(|| Self::Other(text.to_owned())),
        }
    }

    /// The time zone that it is shown in, of a point in time; an inner `None`: the server's.
    pub fn zone(&self) -> Option<Option<&str>> {
        match self {
            Self::DateTime { zone } | Self::DateTime64 { zone, .. } => Some(zone.as_deref()),
            Self::Int { .. } | Self::Bool | Self::Float32 | Self::Float64 | Self::Decimal { .. } | Self::Date => None,
            Self::Date32 | Self::Time64 { .. } | Self::String | Self::Uuid | Self::Enum { .. } => None,
            Self::Json { .. } | Self::Floats | Self::Other(_) => None,
        }
    }

    /// With a time zone, where a point in time has none.
    #[must_use]
    pub fn in_utc(mut self) -> Self {
        if let Self::DateTime { zone: zone @ None } | Self::DateTime64 { zone: zone @ None, .. } = &mut self {
            *zone = Some("UTC".to_owned());
        }
        self
    }

    /// In UTC, whatever the zone that points in time are shown in: their bytes are the same in each.
    #[must_use]
    pub fn of_any_zone(mut self) -> Self {
        if let Self::DateTime { zone } | Self::DateTime64 { zone, .. } = &mut self {
            *zone = None;
        }
        self.in_utc()
    }

    /// Whether two types are one, whatever the order in which members are written.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Enum { bytes, members }, Self::Enum { bytes: other_bytes, members: others }) => {
                let has_all =
                    |of: &[(String, i16)], all: &[(String, i16)]| all.iter().all(|member| of.contains(member));
                bytes == other_bytes && has_all(members, others) && has_all(others, members)
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { bytes, is_signed } => {
                write!(f, "{}Int{}", if *is_signed { "" } else { "U" }, u16::from(*bytes) * 8)
            }
            Self::Bool => f.write_str("Bool"),
            Self::Float32 => f.write_str("Float32"),
            Self::Float64 => f.write_str("Float64"),
            Self::Decimal { precision, scale } => write!(f, "Decimal({precision}, {scale})"),
            Self::Date => f.write_str("Date"),
            Self::Date32 => f.write_str("Date32"),
            Self::DateTime { zone: None } => f.write_str("DateTime"),
            Self::DateTime { zone: Some(zone) } => write!(f, "DateTime({})", quoted(zone)),
            Self::DateTime64 { precision, zone: None } => write!(f, "DateTime64({precision})"),
            Self::DateTime64 { precision, zone: Some(zone) } => write!(f, "DateTime64({precision}, {})", quoted(zone)),
            Self::Time64 { precision } => write!(f, "Time64({precision})"),
            Self::String => f.write_str("String"),
            Self::Uuid => f.write_str("UUID"),
            Self::Enum { bytes, members } => {
                write!(f, "Enum{}", u16::from(*bytes) * 8)?;
                let members: Vec<String> =
                    members.iter().map(|(name, number)| format!("{} = {number}", quoted(name))).collect();
                if members.is_empty() { Ok(()) } else { write!(f, "({})", members.join(", ")) }
            }
            Self::Json { parameters } if parameters.is_empty() => f.write_str("JSON"),
            Self::Json { parameters } => write!(f, "JSON({parameters})"),
            Self::Floats => f.write_str("Array(Float32)"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

fn inside<'a>(text: &'a str, wrapper: &str) -> Option<&'a str> {
    text.strip_prefix(wrapper)?.trim_start().strip_prefix('(')?.strip_suffix(')').map(str::trim)
}

fn int(text: &str) -> Option<Base> {
    let (bits, is_signed) = match text.strip_prefix("UInt") {
        Some(bits) => (bits, false),
        None => (text.strip_prefix("Int")?, true),
    };
    let bytes = match bits {
        "8" => 1,
        "16" => 2,
        "32" => 4,
        "64" => 8,
        "128" => 16,
        "256" => 32,
        _ => return None,
    };
    Some(Base::Int { bytes, is_signed })
}

fn parametric(text: &str) -> Option<Base> {
    if let Some(parameters) = inside(text, "DateTime64") {
        let (precision, zone) = match parameters.split_once(',') {
            Some((precision, zone)) => (precision, Some(whole_literal(zone.trim())?)),
            None => (parameters, None),
        };
        let precision = precision.trim().parse().ok().filter(|precision| *precision <= 9)?;
        return Some(Base::DateTime64 { precision, zone });
    }
    if let Some(zone) = inside(text, "DateTime") {
        return Some(Base::DateTime { zone: Some(whole_literal(zone)?) });
    }
    if let Some(precision) = inside(text, "Time64") {
        return Some(Base::Time64 { precision: precision.parse().ok().filter(|precision| *precision <= 9)? });
    }
    if let Some(parameters) = inside(text, "Decimal") {
        let (precision, scale) = parameters.split_once(',').unwrap_or((parameters, "0"));
        let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
        return ((1..=76).contains(&precision) && scale <= precision).then_some(Base::Decimal { precision, scale });
    }
    if let Some(parameters) = inside(text, "JSON") {
        return Some(Base::Json { parameters: parameters.to_owned() });
    }
    let (bytes, members) = match inside(text, "Enum8") {
        Some(members) => (1, members),
        None => (2, inside(text, "Enum16")?),
    };
    Some(Base::Enum { bytes, members: enum_members(members, bytes)? })
}

/// `'a' = 1, 'b' = 2`
fn enum_members(text: &str, bytes: u8) -> Option<Vec<(String, i16)>> {
    let mut rest = text;
    let mut members = Vec::new();
    loop {
        let (name, after) = literal(rest.trim_start())?;
        let after = after.trim_start().strip_prefix('=')?;
        let (number, after) = after.split_at(after.find(',').unwrap_or(after.len()));
        let number = number.trim().parse().ok()?;
        (bytes > 1 || i8::try_from(number).is_ok()).then_some(())?;
        members.push((name, number));
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some(members),
        }
    }
}

fn whole_literal(text: &str) -> Option<String> {
    literal(text).filter(|(_, rest)| rest.is_empty()).map(|(text, _)| text)
}

/// A text in quotes, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let (mut found, mut chars) = (String::new(), inner.char_indices());
    loop {
        match chars.next()? {
            (end, '\'') => return Some((found, inner.get(end + 1..)?)),
            (_, '\\') => found.push(match chars.next()?.1 {
                '0' => '\0',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            }),
            (_, other) => found.push(other),
        }
    }
}

/// A text as ClickHouse prints it in a type.
fn quoted(text: &str) -> String {
    let mut found = String::from("'");
    for char in text.chars() {
        match char {
            '\0' => found.push_str("\\0"),
            '\u{8}' => found.push_str("\\b"),
            '\u{c}' => found.push_str("\\f"),
            '\n' => found.push_str("\\n"),
            '\r' => found.push_str("\\r"),
            '\t' => found.push_str("\\t"),
            '\'' | '\\' => found.extend(['\\', char]),
            other => found.push(other),
        }
    }
    found + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_what_they_print() {
        for text in [
            "Int8",
            "UInt256",
            "Bool",
            "Nullable(Decimal(10, 2))",
            "LowCardinality(Nullable(String))",
            "LowCardinality(UInt16)",
            "DateTime",
            "DateTime('Europe/Berlin')",
            "DateTime64(3)",
            "DateTime64(6, 'UTC')",
            "Time64(0)",
            "UUID",
            "Enum8('' = 0, 'it\\'s' = 1, 'a,b = 7)\\\\' = -128, 'ü\\n' = 3)",
            "Nullable(Enum16('x' = 1000))",
            "Array(Float32)",
            "Nullable(JSON)",
            "JSON(max_dynamic_paths=8, a.b UInt32)",
            "Map(String, Int8)",
        ] {
            let parsed = TargetType::parse(text);
            assert_eq!(parsed.to_string(), text, "{parsed:?}");
            assert_eq!(matches!(parsed.base, Base::Other(_)), text.starts_with("Map"), "{parsed:?}");
        }
    }

    #[test]
    fn what_a_user_writes_means_the_same() {
        let same = |written: &str, printed: &str| assert_eq!(TargetType::parse(written).to_string(), printed);
        same(" Decimal(10,2) ", "Decimal(10, 2)");
        same("Decimal(5)", "Decimal(5, 0)");
        same("Nullable( DateTime64(3,'UTC') )", "Nullable(DateTime64(3, 'UTC'))");
        same("Enum8('a'=1,'b' =2)", "Enum8('a' = 1, 'b' = 2)");
        same("Enum16", "Enum16");
    }

    #[test]
    fn what_is_none_of_them_takes_nothing() {
        for text in [
            "Int7",
            "Decimal(77, 2)",
            "Decimal(4, 5)",
            "DateTime64(10)",
            "DateTime64(3, UTC)",
            "Enum8('a')",
            "Enum8('a' = 128)",
            "Enum8('a' = 1",
            "Time64",
            "int",
            "",
            "Array(Int8)",
            "Decimal(x)",
        ] {
            assert_eq!(TargetType::parse(text).base, Base::Other(text.to_owned()), "{text}");
        }
    }
}
