//! What a user says of single columns in a `[[replicate.rule]]`: their types in the target, and what becomes of values
//! that those cannot hold. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What becomes of a value that has no exact counterpart in the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBadValue {
    /// The table is set aside, with the value.
    #[default]
    Fail,
    /// It is NULL, and counted.
    Null,
    /// The column is created as String, which holds MySQL's own text of every value.
    String,
}

/// `types` and `on_bad_value` of a table, by the column's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Types in ClickHouse's words.
    pub types: BTreeMap<String, String>,
    /// Policies.
    pub on_bad_value: BTreeMap<String, OnBadValue>,
}

/// What is said of one column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnChoice<'a> {
    /// The type that was written for it.
    pub ty: Option<&'a str>,
    /// What becomes of bad values.
    pub on_bad_value: OnBadValue,
}

impl Choices {
    /// What is said of a column.
    pub fn of(&self, column: &str) -> ColumnChoice<'_> {
        let on_bad_value = find(&self.on_bad_value, column).copied().unwrap_or_default();
        ColumnChoice { ty: find(&self.types, column).map(String::as_str), on_bad_value }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty() && self.on_bad_value.is_empty()
    }

    /// The columns that something is said of.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let others = self.on_bad_value.keys().filter(|name| !self.types.contains_key(*name));
        self.types.keys().chain(others).map(String::as_str)
    }
}

impl<'a> ColumnChoice<'a> {
    /// The type that the column is created with, if it is not the default one.
    pub fn written_type(self) -> Option<&'a str> {
        let text = Some("String").filter(|_| self.on_bad_value == OnBadValue::String);
        self.ty.or(text)
    }
}

/// MySQL tells columns apart without regard to case.
fn find<'a, T>(by_column: &'a BTreeMap<String, T>, column: &str) -> Option<&'a T> {
    let is_same = |name: &str| name == column || name.to_lowercase() == column.to_lowercase();
    by_column.get(column).or_else(|| by_column.iter().find(|(name, _)| is_same(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_by_their_names_in_any_case() {
        let types = [("Amount".to_owned(), "Int64".to_owned())].into();
        let on_bad_value = [("born".to_owned(), OnBadValue::Null), ("text".to_owned(), OnBadValue::String)].into();
        let choices = Choices { types, on_bad_value };
        assert_eq!(choices.of("amount"), ColumnChoice { ty: Some("Int64"), on_bad_value: OnBadValue::Fail });
        assert_eq!(choices.of("BORN"), ColumnChoice { ty: None, on_bad_value: OnBadValue::Null });
        assert_eq!((choices.of("text").written_type(), choices.of("other")), (Some("String"), ColumnChoice::default()));
        assert_eq!(choices.columns().collect::<Vec<_>>(), ["Amount", "born", "text"]);
        assert!(!choices.is_empty() && Choices::default().is_empty());
    }
}
