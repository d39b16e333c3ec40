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
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target::{TargetColumn, TargetTable};
use crate::schema::types::SourceColumn;
use crate::schema::{conversion, initial};

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

    fn column(&self, name: &str) -> Option<&TargetColumn> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// What `altered` does to `target`, which holds the rows of `old`. `is_strict` and `allows_zero_dates` are those of the
/// ALTER's sql_mode.
pub fn effect(
    old: &Definition,
    altered: &Altered,
    is_strict: bool,
    allows_zero_dates: bool,
    target: &TargetTable,
    features: TargetFeatures,
) -> Effect {
    let alter = Alter { old, altered, is_strict, allows_zero_dates, target, features };
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
            if RESERVED.contains(&column.name.as_str()) {
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
            return Err("the PRIMARY KEY changes".to_owned());
        }
        let is_new = |part: &KeyPart| {
            !self.new_columns().any(|(column, origin)| column.name == part.column && matches!(origin, Origin::Old(_)))
        };
        match new.key.iter().find(|part| is_new(part)) {
            Some(part) => Err(format!("column {} of the PRIMARY KEY is new", part.column)),
            None => Ok(()),
        }
    }

    /// An expression may see a change of type that keeps all values (LENGTH, HEX, CONCAT of a ZEROFILL).
    fn check_generated(&self) -> Exact<()> {
        if !self.old.columns.iter().any(|column| column.is_generated) {
            return Ok(());
        }
        let changes = |column: &ColumnDefinition, origin: &Origin| match origin {
            Origin::Old(index) => self.old.columns.get(*index).is_some_and(|old| old.ty != column.ty),
            Origin::New(_) => false,
        };
        match self.new_columns().find(|(column, origin)| changes(column, origin)) {
            Some((column, _)) => Err(format!("generated columns may depend on the type of {}", column.name)),
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
        conversion::check(old, new, self.is_strict).map_err(|why| format!("column {}: {why}", new.name))?;
        let accepts = |column: &SourceColumn| mapping::accepts(column, is_key, self.features, &current.ty);
        let (before, after) = (source_column(old), source_column(new));
        if accepts(&after).is_ok() {
            return Ok(None);
        }
        accepts(&before).map_err(|error| error.to_string())?;
        if is_key {
            return Err(format!("column {} of the PRIMARY KEY changes its type", new.name));
        }
        let ty = mapping::widened_type(&after, self.features, &current.ty).map_err(|error| error.to_string())?;
        Ok(Some(TargetChange::Modify(TargetColumn { name: new.name.clone(), ty })))
    }

    fn added(&self, new: &ColumnDefinition, initial: &Initial, place: TargetPlace) -> Exact<Option<TargetChange>> {
        if new.is_generated {
            return Err(format!("the values of the generated column {} are not known", new.name));
        }
        let ty = mapping::target_type(&source_column(new), false, self.allows_zero_dates, self.features)
            .map_err(|error| error.to_string())?;
        let default = initial::expression(new, initial, &ty).map_err(|why| format!("column {}: {why}", new.name))?;
        if self.target.column(&new.name).is_some_and(|existing| existing.ty != ty) {
            return Err(format!("the target has another column {}", new.name));
        }
        let column = TargetColumn { name: new.name.clone(), ty };
        Ok(Some(TargetChange::Add { column, default, place }))
    }
}

fn source_column(column: &ColumnDefinition) -> SourceColumn {
    SourceColumn { name: column.name.clone(), ty: column.ty.source_type(), nullable: column.nullable }
}

/// MySQL tells columns apart without regard to case.
fn is_same(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}
