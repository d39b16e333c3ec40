//! What an ALTER TABLE of the source becomes in ClickHouse: nothing, an ALTER, or the table copied anew.
//!
//! The rule is **exact or copy**: in place is done only what is provably right for every row that is there, judged from
//! the definitions alone ([`conversion`], [`initial`]); everything else is a copy, which always is. No IO.
//!
//! The target may be in any state between before and after, as a kill leaves it: a change that it shows already is
//! named again, and skipped by whoever applies it. So that this can be told from the columns alone, an ALTER that gives
//! a name of the old table to another column is copied. What was added to the target by hand does not count.
//!
//! The target's column order follows the source's when columns are added; a mere move is left out, since rows name their
//! columns.

use serde::{Deserialize, Serialize};

use crate::schema::catalog::{ColumnDefinition, Definition, KeyPart};
use crate::schema::change::{Altered, Initial, Origin};
use crate::schema::choices::{Choices, OnBadValue};
use crate::schema::form::Form;
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target::{TargetColumn, TargetTable};
use crate::schema::types::{SourceColumn, SourceType};
use crate::schema::{conversion, initial, keyless};

/// The columns that are ours.
const RESERVED: [&str; 2] = ["_version", "_is_deleted"];

/// What is done to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It fits as it is.
    Nothing,
    /// These changes, in this order.
    Alter(Vec<TargetChange>),
    /// It is copied anew, and why.
    Copy(String),
}

/// A change of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetChange {
    /// ADD COLUMN.
    Add {
        /// The column.
        column: TargetColumn,
        /// What rows that are there read: an expression of ClickHouse; the type's own default (NULL) without.
        default: Option<String>,
        /// Where it is put.
        place: TargetPlace,
    },
    /// DROP COLUMN.
    Drop(String),
    /// RENAME COLUMN.
    Rename {
        /// What it was called.
        from: String,
        /// What it is called from here on.
        to: String,
    },
    /// MODIFY COLUMN: this type from here on.
    Modify(TargetColumn),
}

/// Where a new column is put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPlace {
    /// FIRST.
    First,
    /// AFTER this column.
    After(String),
}

impl TargetChange {
    /// Whether a column of this name is there, and is new or another, behind the change.
    pub fn makes(&self, name: &str) -> bool {
        match self {
            Self::Add { column, .. } | Self::Modify(column) => column.name == name,
            Self::Rename { to, .. } => to == name,
            Self::Drop(_) => false,
        }
    }
}

impl TargetTable {
    /// The table after these changes; what is done already changes nothing.
    #[must_use]
    pub fn after(&self, changes: &[TargetChange]) -> Self {
        let mut after = self.clone();
        changes.iter().for_each(|change| after.apply(change));
        after
    }

    fn apply(&mut self, change: &TargetChange) {
        match change {
            TargetChange::Add { column, place, .. } => self.add(column, place),
            TargetChange::Drop(name) => self.columns.retain(|column| column.name != *name),
            TargetChange::Rename { from, to } => {
                let renamed = self.columns.iter_mut().filter(|column| column.name == *from);
                renamed.for_each(|column| column.name.clone_from(to));
            }
            TargetChange::Modify(to) => {
                let modified = self.columns.iter_mut().filter(|column| column.name == to.name);
                modified.for_each(|column| column.ty.clone_from(&to.ty));
            }
        }
    }

    fn add(&mut self, column: &TargetColumn, place: &TargetPlace) {
        if self.column(&column.name).is_some() {
            return;
        }
        let index = match place {
            TargetPlace::First => 0,
            TargetPlace::After(name) => {
                let before = self.columns.iter().position(|column| column.name == *name);
                before.map_or(self.columns.len(), |index| index + 1)
            }
        };
        self.columns.insert(index, column.clone());
    }

    /// Its column of this name.
    pub fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What `altered` does to `target`, which holds the rows of `old`. `is_strict` and `allows_zero_dates` are those of the
/// ALTER's sql_mode; `choices` are what the user says of the table's columns.
pub fn effect(
    old: &Definition,
    altered: &Altered,
    is_strict: bool,
    allows_zero_dates: bool,
    target: &TargetTable,
    features: TargetFeatures,
    choices: &Choices,
) -> Effect {
    let alter = Alter { old, altered, is_strict, allows_zero_dates, target, features, choices };
    match alter.changes() {
        Ok(changes) if changes.is_empty() => Effect::Nothing,
        Ok(changes) => Effect::Alter(changes),
        Err(why) => Effect::Copy(why),
    }
}

/// Err: why the table is copied.
type Exact<T> = Result<T, String>;

struct Alter<'a> {
    old: &'a Definition,
    altered: &'a Altered,
    is_strict: bool,
    allows_zero_dates: bool,
    target: &'a TargetTable,
    features: TargetFeatures,
    choices: &'a Choices,
}

impl Alter<'_> {
    fn new_columns(&self) -> impl Iterator<Item = (&ColumnDefinition, &Origin)> {
        self.altered.definition.columns.iter().zip(&self.altered.origins)
    }

    /// Drops and renames come first, since what follows is placed by the new names.
    fn changes(&self) -> Exact<Vec<TargetChange>> {
        self.check_columns()?;
        self.check_key()?;
        self.check_generated()?;
        let dropped = self.old.columns.iter().enumerate().filter(|(index, _)| self.is_dropped(*index));
        let drops = dropped.map(|(_, column)| TargetChange::Drop(column.name.clone()));
        let mut names: Vec<TargetChange> = drops.collect();
        let mut columns = Vec::new();
        let mut place = TargetPlace::First;
        for (column, origin) in self.new_columns() {
            match origin {
                Origin::New(initial) => columns.extend(self.added(column, initial, place)?),
                Origin::Old(index) => {
                    let old = self.old.columns.get(*index).ok_or("the definition does not hold together")?;
                    let current = self.current(old, column)?;
                    names.extend(self.renamed(old, column));
                    columns.extend(self.modified(old, column, current)?);
                }
            }
            place = TargetPlace::After(column.name.clone());
        }
        names.extend(columns);
        Ok(names)
    }

    /// The columns hold together, none has a name that means something else, before or now.
    fn check_columns(&self) -> Exact<()> {
        let (columns, origins) = (&self.altered.definition.columns, &self.altered.origins);
        if columns.len() != origins.len() {
            return Err("the definition does not hold together".to_owned());
        }
        for (index, (column, origin)) in self.new_columns().enumerate() {
            let others = || self.new_columns().skip(index + 1);
            let is_log = self.old.key.is_empty();
            if RESERVED.contains(&column.name.as_str()) || (is_log && keyless::NAMES.contains(&column.name.as_str())) {
                return Err(format!("the name {} is taken by Stream Bridge", column.name));
            }
            if others().any(|(other, _)| is_same(&other.name, &column.name)) {
                return Err(format!("two columns are called {}", column.name));
            }
            let is_old = matches!(origin, Origin::Old(_));
            if is_old && others().any(|(_, other)| other == origin) {
                return Err(format!("{} is one of two columns made of one", column.name));
            }
            let namesake = self.old.columns.iter().position(|old| is_same(&old.name, &column.name));
            if namesake.is_some_and(|index| *origin != Origin::Old(index)) {
                return Err(format!("the name {} goes to another column", column.name));
            }
        }
        Ok(())
    }

    /// The PRIMARY KEY is of the same columns, in the same order, with the same names.
    fn check_key(&self) -> Exact<()> {
        let new = &self.altered.definition;
        let same = |(old, new): (&KeyPart, &KeyPart)| old.column == new.column && old.is_prefix == new.is_prefix;
        if self.old.key.len() != new.key.len() || !self.old.key.iter().zip(&new.key).all(same) {
            let has_primary = self.old.has_primary_key() || new.has_primary_key();
            return Err(if has_primary { "the PRIMARY KEY changes" } else { "the UNIQUE key changes" }.to_owned());
        }
        let is_new = |part: &KeyPart| {
            !self.new_columns().any(|(column, origin)| column.name == part.column && matches!(origin, Origin::Old(_)))
        };
        match new.key.iter().find(|part| is_new(part)) {
            Some(part) => Err(format!("column {} of the PRIMARY KEY is new", part.column)),
            None => Ok(()),
        }
    }

    /// Its expression may be another, or see what is nothing to the values of the columns it is of: their type (LENGTH,
    /// HEX), a collation, ZEROFILL (CONCAT).
    fn check_generated(&self) -> Exact<()> {
        let is_generated = |column: &&ColumnDefinition| column.is_generated;
        match self.old.columns.iter().find(is_generated).filter(|_| self.altered.rewrites_columns) {
            Some(column) => Err(format!("the generated column {} may have other values", column.name)),
            None => Ok(()),
        }
    }

    fn is_dropped(&self, index: usize) -> bool {
        !self.altered.origins.contains(&Origin::Old(index))
    }

    fn is_key(&self, column: &ColumnDefinition) -> bool {
        self.altered.definition.key.iter().any(|part| part.column == column.name)
    }

    /// The target's column, under its old name or already under the new one.
    fn current(&self, old: &ColumnDefinition, new: &ColumnDefinition) -> Exact<&TargetColumn> {
        let (before, after) = (self.target.column(&old.name), self.target.column(&new.name));
        match (before, after) {
            (Some(_), Some(_)) if old.name != new.name => {
                Err(format!("the target has both a column {} and a column {}", old.name, new.name))
            }
            (Some(column), _) | (None, Some(column)) => Ok(column),
            (None, None) => Err(format!("the target has no column {}", old.name)),
        }
    }

    fn renamed(&self, old: &ColumnDefinition, new: &ColumnDefinition) -> Option<TargetChange> {
        let rename = || TargetChange::Rename { from: old.name.clone(), to: new.name.clone() };
        (old.name != new.name).then(rename)
    }

    fn modified(
        &self,
        old: &ColumnDefinition,
        new: &ColumnDefinition,
        current: &TargetColumn,
    ) -> Exact<Option<TargetChange>> {
        let is_key = self.is_key(new);
        if old.is_generated != new.is_generated {
            return Err(format!("column {} becomes generated or plain", new.name));
        }
        if new.is_auto_increment && !old.is_auto_increment {
            return Err(format!("column {} becomes AUTO_INCREMENT, which numbers rows with 0 or NULL in it", new.name));
        }
        if self.choices.of(&new.name).on_bad_value == OnBadValue::Null && old.ty != new.ty {
            return Err(format!("values of column {} that are NULL may have a counterpart now", new.name));
        }
        conversion::check(old, new, self.is_strict).map_err(|why| format!("column {}: {why}", new.name))?;
        let (before, after) = (source_column(old), source_column(new));
        let fit = |column: &SourceColumn| mapping::fit(column, is_key, &current.ty).map_err(|error| error.to_string());
        let (form, kept) = (fit(&before)?.form, fit(&after));
        if form == Form::Text && before.ty != after.ty && !has_one_text(&before.ty, &after.ty) {
            return Err(format!("column {}: its values have another text", new.name));
        }
        let is_written = self.choices.of(&new.name).written_type().is_some();
        let is_chosen = form.is_chosen() || is_written;
        if kept.is_ok_and(|kept| kept.form == form || is_chosen && !matches!(kept.form, Form::Text)) {
            return Ok(None);
        }
        if is_key {
            return Err(format!("column {} of the PRIMARY KEY changes its type", new.name));
        }
        let ty = mapping::widened_type(&before, &after, is_written, self.features, &current.ty)
            .map_err(|error| error.to_string())?;
        Ok(Some(TargetChange::Modify(TargetColumn { name: new.name.clone(), ty })))
    }

    fn added(&self, new: &ColumnDefinition, initial: &Initial, place: TargetPlace) -> Exact<Option<TargetChange>> {
        if new.is_generated {
            return Err(format!("the values of the generated column {} are not known", new.name));
        }
        let (column, choice) = (source_column(new), self.choices.of(&new.name));
        let ty = mapping::chosen_type(&column, false, self.allows_zero_dates, self.features, choice)
            .map_err(|error| error.to_string())?;
        if choice.written_type().is_some() && !matches!(initial, Initial::Implicit | Initial::Null if new.nullable) {
            return Err(format!("rows that are there get column {} in its chosen type from a copy", new.name));
        }
        let default = initial::expression(new, initial, &ty).map_err(|why| format!("column {}: {why}", new.name))?;
        if self.target.column(&new.name).is_some_and(|existing| existing.ty != ty) {
            return Err(format!("the target has another column {}", new.name));
        }
        let column = TargetColumn { name: new.name.clone(), ty };
        Ok(Some(TargetChange::Add { column, default, place }))
    }
}

/// Whether values that both types have are shown alike: whole numbers are.
fn has_one_text(before: &SourceType, after: &SourceType) -> bool {
    matches!(
        (before, after),
        (SourceType::Int { .. }, SourceType::Int { .. }) | (SourceType::Bit { .. }, SourceType::Bit { .. })
    )
}

fn source_column(column: &ColumnDefinition) -> SourceColumn {
    SourceColumn { name: column.name.clone(), ty: column.ty.source_type(), nullable: column.nullable }
}

/// MySQL tells columns apart without regard to case.
fn is_same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::column::ColumnType;

    const FEATURES: TargetFeatures = TargetFeatures { time64: true };

    /// `name int null`: the types that the names below need.
    fn column(name: &str, ty: &str) -> ColumnDefinition {
        let (column_type, nullable) = ty.strip_suffix(" null").map_or((ty, false), |ty| (ty, true));
        let data_type = column_type.split(['(', ' ']).next().unwrap_or_default().to_owned();
        let is_text = data_type == "varchar";
        let ty = ColumnType {
            data_type,
            column_type: column_type.to_owned(),
            octets: is_text.then_some(40),
            charset: is_text.then(|| "utf8mb4".to_owned()),
            ..ColumnType::default()
        };
        ColumnDefinition { name: name.to_owned(), ty, nullable, ..ColumnDefinition::default() }
    }

    fn definition(columns: &[(&str, &str)], key: &[&str]) -> Definition {
        let part = |name: &&str| KeyPart { column: (*name).to_owned(), is_prefix: false };
        Definition {
            columns: columns.iter().map(|(name, ty)| column(name, ty)).collect(),
            key: key.iter().map(part).collect(),
            ..Definition::default()
        }
    }

    fn old() -> Definition {
        definition(&[("id", "int"), ("a", "int null"), ("b", "varchar(10)")], &["id"])
    }

    fn target(columns: &[(&str, &str)]) -> TargetTable {
        let column = |(name, ty): &(&str, &str)| TargetColumn { name: (*name).to_owned(), ty: (*ty).to_owned() };
        let ours = [("_version", "UInt64"), ("_is_deleted", "UInt8")];
        TargetTable { name: old().name, columns: columns.iter().chain(&ours).map(column).collect() }
    }

    const TARGET: &[(&str, &str)] = &[("id", "Int32"), ("a", "Nullable(Int32)"), ("b", "String")];

    /// The old definition as `new`, each column from the old one of this index, or new.
    fn effect_of(new: &[(&str, &str, Option<usize>)], key: &[&str], target: &TargetTable) -> Effect {
        let columns: Vec<_> = new.iter().map(|(name, ty, _)| (*name, *ty)).collect();
        let origins = new.iter().map(|(_, _, index)| index.map_or(Origin::New(Initial::Implicit), Origin::Old));
        let altered =
            Altered { definition: definition(&columns, key), origins: origins.collect(), rewrites_columns: true };
        effect(&old(), &altered, true, false, target, FEATURES, &Choices::default())
    }

    const ID: (&str, &str, Option<usize>) = ("id", "int", Some(0));
    const A: (&str, &str, Option<usize>) = ("a", "int null", Some(1));
    const B: (&str, &str, Option<usize>) = ("b", "varchar(10)", Some(2));

    #[test]
    fn drops_and_renames_come_first_and_places_follow_the_source() {
        let new = [("n", "int", None), ID, ("c", "bigint null", Some(1)), ("m", "varchar(10) null", None)];
        let Effect::Alter(changes) = effect_of(&new, &["id"], &target(TARGET)) else { panic!() };
        let added = |name: &str, ty: &str, default: Option<&str>, place| TargetChange::Add {
            column: TargetColumn { name: name.to_owned(), ty: ty.to_owned() },
            default: default.map(str::to_owned),
            place,
        };
        let expected = [
            TargetChange::Drop("b".to_owned()),
            TargetChange::Rename { from: "a".to_owned(), to: "c".to_owned() },
            added("n", "Int32", Some("0"), TargetPlace::First),
            TargetChange::Modify(TargetColumn { name: "c".to_owned(), ty: "Nullable(Int64)".to_owned() }),
            added("m", "Nullable(String)", None, TargetPlace::After("c".to_owned())),
        ];
        assert_eq!(changes, expected);
        let after = target(TARGET).after(&changes);
        let columns = [("n", "Int32"), ("id", "Int32"), ("c", "Nullable(Int64)"), ("m", "Nullable(String)")].as_slice();
        assert_eq!(after, target(columns));
        assert_eq!(after.after(&changes), after, "what is done changes nothing");
        for begun in 0..=changes.len() {
            let begun = target(TARGET).after(changes.get(..begun).unwrap());
            let Effect::Alter(rest) = effect_of(&new, &["id"], &begun) else { panic!("{begun:?}") };
            assert_eq!(begun.after(&rest).columns, after.columns);
        }
    }

    #[test]
    fn what_the_target_takes_as_it_is_needs_nothing() {
        let wider = target(&[("id", "Int32"), ("a", "Nullable(Int32)"), ("b", "LowCardinality(Nullable(String))")]);
        for new in [[ID, A, B], [B, ID, A], [ID, A, ("b", "varchar(10) null", Some(2))]] {
            assert_eq!(effect_of(&new, &["id"], &wider), Effect::Nothing, "{new:?}");
        }
        let by_hand = target(&[("x", "Float64"), ("id", "Int32"), ("a", "Nullable(Int32)"), ("b", "String")]);
        assert_eq!(effect_of(&[ID, A, B], &["id"], &by_hand), Effect::Nothing);
    }

    #[test]
    fn wrappers_stay() {
        let low = target(&[("id", "Int32"), ("a", "Nullable(Int32)"), ("b", "LowCardinality(String)")]);
        let modified = |new: [_; 3]| match effect_of(&new, &["id"], &low) {
            Effect::Alter(changes) => changes,
            other @ (Effect::Nothing | Effect::Copy(_)) => panic!("{other:?}"),
        };
        let to = |name: &str, ty: &str| TargetChange::Modify(TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        assert_eq!(
            modified([ID, A, ("b", "varchar(10) null", Some(2))]),
            [to("b", "LowCardinality(Nullable(String))")]
        );
        assert_eq!(modified([ID, ("a", "bigint", Some(1)), B]), [to("a", "Nullable(Int64)")]);
    }

    #[test]
    fn the_rest_is_copied() {
        let copied = |new: &[_], key: &[&str], target: &TargetTable, part: &str| match effect_of(new, key, target) {
            Effect::Copy(why) => assert!(why.contains(part), "{why}, not {part}"),
            other @ (Effect::Nothing | Effect::Alter(_)) => panic!("{part}: {other:?}"),
        };
        let here = target(TARGET);
        copied(&[ID, A, B], &["id", "b"], &here, "PRIMARY KEY");
        copied(&[ID, A, B], &["a"], &here, "PRIMARY KEY");
        copied(&[A, B], &[], &here, "PRIMARY KEY");
        copied(&[("x", "int", Some(0)), A, B], &["x"], &here, "PRIMARY KEY");
        copied(&[("id", "bigint", Some(0)), A, B], &["id"], &here, "PRIMARY KEY");
        copied(&[("ID", "int", None), A, B], &["ID"], &here, "goes to another column");
        copied(&[ID, ("b", "int null", Some(1)), ("a", "varchar(10)", Some(2))], &["id"], &here, "another column");
        copied(&[ID, ("b", "int null", Some(1))], &["id"], &here, "another column");
        copied(&[ID, A, ("B", "varchar(10)", None)], &["id"], &here, "another column");
        copied(&[ID, ("a", "varchar(10)", Some(1)), B], &["id"], &here, "column a: values may change");
        copied(&[ID, A, B, ("_version", "int", None)], &["id"], &here, "taken by Stream Bridge");
        copied(&[ID, A, B, ("x", "uuid", None)], &["id"], &here, "UUID");
        copied(&[ID, A, B, ("x", "time", None)], &["id"], &here, "column x: what rows");
        let with_x = target(&[("id", "Int32"), ("a", "Nullable(Int32)"), ("b", "String"), ("x", "String")]);
        copied(&[ID, A, B, ("x", "int", None)], &["id"], &with_x, "another column x");
        copied(&[ID, A, ("x", "varchar(10)", Some(2))], &["id"], &with_x, "both a column b and a column x");
        copied(&[ID, A, B], &["id"], &target(&[("id", "Int32"), ("b", "String")]), "no column a");
        let narrow = target(&[("id", "Int32"), ("a", "Nullable(Float64)"), ("b", "String")]);
        copied(&[ID, ("a", "bigint null", Some(1)), B], &["id"], &narrow, "Nullable(Float64)");
        copied(&[ID, A, A], &["id"], &here, "two columns");
        copied(&[ID, A, ("x", "int null", Some(1))], &["id"], &here, "two columns made of one");
        copied(&[ID, A, ("x", "int", Some(99))], &["id"], &here, "hold together");
    }

    #[test]
    fn a_generated_column_may_see_that_another_is_written_anew() {
        let mut old = old();
        old.columns.push(ColumnDefinition { is_generated: true, ..column("g", "int null") });
        let target = target(&[TARGET, &[("g", "Nullable(Int32)")]].concat());
        let origins = (0..4).map(Origin::Old).collect();
        let mut altered = Altered { definition: old.clone(), origins, rewrites_columns: false };
        let judged = |altered: &Altered| effect(&old, altered, true, false, &target, FEATURES, &Choices::default());
        assert_eq!(judged(&altered), Effect::Nothing);
        altered.rewrites_columns = true;
        assert!(matches!(judged(&altered), Effect::Copy(why) if why.contains("generated column g")));
        altered.rewrites_columns = false;
        altered.definition.columns[3].is_generated = false;
        assert!(matches!(judged(&altered), Effect::Copy(why) if why.contains("column g")));
        altered.origins.pop();
        assert!(matches!(judged(&altered), Effect::Copy(why) if why.contains("hold together")));
    }
}
