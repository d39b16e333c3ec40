//! What CREATE TABLE and ALTER TABLE make of a table's definition.
//!
//! ALTER TABLE is one step on the old table, in the order in which the server works: first the old columns in table order,
//! each dropped, changed, renamed or kept; then, in the order written, the new columns and those that get another place,
//! which AFTER finds by their new names; then the key. Names of columns are compared without regard to case. An error
//! says why the result cannot be known; the table must then be read anew.

use std::collections::HashSet;

use crate::schema::catalog::{ColumnDefinition, Definition, KeyPart};
use crate::schema::change::{
    AlterAction, AlterTable, Altered, CreateTable, CreatedShape, Origin, Place, WrittenColumn,
};
use crate::schema::types::TableName;

/// More columns than a table can have, and more clauses than are of use for it.
const COLUMNS_MAX: usize = 4_096;
const ACTIONS_MAX: usize = 2 * COLUMNS_MAX;

impl CreateTable {
    /// The new table. `like` is the table it is made LIKE, `database_charset` the default character set of its database.
    ///
    /// # Errors
    /// When it cannot be known.
    pub fn definition(&self, like: Option<&Definition>, database_charset: Option<&str>) -> Result<Definition, String> {
        match &self.shape {
            CreatedShape::Like(name) => {
                let like = like.ok_or_else(|| format!("it is made LIKE {name}, which is not known"))?;
                Ok(Definition { name: self.name.clone(), ..like.clone() })
            }
            CreatedShape::Written { columns, key, charset } => {
                let charset = charset.as_deref().or(database_charset).unwrap_or_default();
                let mut table = Work::new(charset.to_owned());
                table.check_size(columns.len())?;
                for column in columns {
                    let new = table.new_column(column)?;
                    table.columns.push(new);
                }
                let keys = Some(key).filter(|key| !key.is_empty());
                table.choose_key(Vec::new(), keys.into_iter(), columns.iter())?;
                Ok(table.altered(self.name.clone(), charset)?.definition)
            }
        }
    }
}

impl Definition {
    /// The table after `alter`; `database_charset` is the default character set of its database.
    ///
    /// # Errors
    /// When it cannot be known.
    pub fn altered(&self, alter: &AlterTable, database_charset: Option<&str>) -> Result<Altered, String> {
        if alter.actions.len() > ACTIONS_MAX {
            return Err(format!("more than {ACTIONS_MAX} clauses"));
        }
        let converted = converted_charset(&alter.actions, database_charset)?;
        let charset = named_charset(&alter.actions).or(converted).unwrap_or(&self.charset);
        let mut table = Work::new(charset.to_owned());
        for (index, old) in self.columns.iter().enumerate() {
            table.take_over(index, old, &alter.actions)?;
        }
        for action in &alter.actions {
            table.place(action, self)?;
        }
        table.alter_key(self, &alter.actions)?;
        if let Some(charset) = converted {
            table.convert(charset)?;
        }
        table.altered(self.name.clone(), charset)
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| is_same(&column.name, name))
    }
}

/// The character set of CONVERT TO.
fn converted_charset<'a>(
    actions: &'a [AlterAction],
    database_charset: Option<&'a str>,
) -> Result<Option<&'a str>, String> {
    let converted = actions.iter().rev().find_map(|action| {
        let AlterAction::ConvertTo(charset) = action else { return None };
        Some(charset.as_deref().or(database_charset))
    });
    match converted {
        Some(None) => Err("the default character set of its database is not known".to_owned()),
        Some(charset) => Ok(charset),
        None => Ok(None),
    }
}

/// DEFAULT CHARACTER SET; the last one counts.
fn named_charset(actions: &[AlterAction]) -> Option<&str> {
    actions.iter().rev().find_map(|action| {
        let AlterAction::DefaultCharset(charset) = action else { return None };
        Some(charset.as_str())
    })
}

/// A table in the making.
struct Work {
    columns: Vec<WorkColumn>,
    key: Vec<KeyPart>,
    /// Of columns that name none.
    charset: String,
}

struct WorkColumn {
    definition: ColumnDefinition,
    origin: Origin,
}

impl Work {
    fn new(charset: String) -> Self {
        Self { columns: Vec::new(), key: Vec::new(), charset }
    }

    fn check_size(&self, more: usize) -> Result<(), String> {
        let is_fitting = self.columns.len().saturating_add(more) <= COLUMNS_MAX;
        is_fitting.then_some(()).ok_or_else(|| format!("more than {COLUMNS_MAX} columns"))
    }

    fn new_column(&self, written: &WrittenColumn) -> Result<WorkColumn, String> {
        let origin = Origin::New(written.initial.clone());
        Ok(WorkColumn { definition: written.resolved(&self.charset)?, origin })
    }

    /// An old column at its old place, unless it is dropped.
    fn take_over(&mut self, index: usize, old: &ColumnDefinition, actions: &[AlterAction]) -> Result<(), String> {
        let mut definition = old.clone();
        for action in actions {
            if !old_name(action).is_some_and(|name| is_same(name, &old.name)) {
                continue;
            }
            match action {
                AlterAction::Change(_, written, _) => definition = written.resolved(&self.charset)?,
                AlterAction::Rename(_, new_name) => new_name.clone_into(&mut definition.name),
                AlterAction::Drop(_)
                | AlterAction::Add(..)
                | AlterAction::DropKey
                | AlterAction::AddKey(_)
                | AlterAction::ConvertTo(_)
                | AlterAction::DefaultCharset(_)
                | AlterAction::Unclear(_) => return Ok(()),
            }
        }
        self.columns.push(WorkColumn { definition, origin: Origin::Old(index) });
        Ok(())
    }

    /// New columns, and those that get another place.
    fn place(&mut self, action: &AlterAction, old: &Definition) -> Result<(), String> {
        if let Some(name) = old_name(action).filter(|name| !old.has(name)) {
            return Err(format!("the table that is known has no column {name}"));
        }
        match action {
            AlterAction::Add(written, place) => {
                self.check_size(1)?;
                let column = self.new_column(written)?;
                self.insert(column, place)
            }
            AlterAction::Change(_, written, place) => self.move_to(&written.name, place),
            AlterAction::Unclear(what) => Err(format!("{what} is not supported")),
            AlterAction::Drop(_)
            | AlterAction::Rename(..)
            | AlterAction::DropKey
            | AlterAction::AddKey(_)
            | AlterAction::ConvertTo(_)
            | AlterAction::DefaultCharset(_) => Ok(()),
        }
    }

    fn move_to(&mut self, name: &str, place: &Place) -> Result<(), String> {
        if *place == Place::Unsaid {
            return Ok(());
        }
        let column = self.columns.remove(self.position(name)?);
        self.insert(column, place)
    }

    fn insert(&mut self, column: WorkColumn, place: &Place) -> Result<(), String> {
        let at = match place {
            Place::Unsaid => self.columns.len(),
            Place::First => 0,
            Place::After(name) => self.position(name)? + 1,
        };
        self.columns.insert(at, column);
        Ok(())
    }

    fn position(&self, name: &str) -> Result<usize, String> {
        let position = self.columns.iter().position(|column| is_same(&column.definition.name, name));
        position.ok_or_else(|| format!("the table that is known has no column {name}"))
    }

    /// The PRIMARY KEY of ALTER TABLE: the old one without dropped columns and under new names, unless it is dropped.
    fn alter_key(&mut self, old: &Definition, actions: &[AlterAction]) -> Result<(), String> {
        let is_dropped = actions.contains(&AlterAction::DropKey);
        let kept = if is_dropped { Vec::new() } else { self.kept_key(old, actions)? };
        let clauses = actions.iter().filter_map(|action| {
            let AlterAction::AddKey(key) = action else { return None };
            Some(key)
        });
        let columns = actions.iter().filter_map(|action| {
            let (AlterAction::Add(column, _) | AlterAction::Change(_, column, _)) = action else { return None };
            Some(column)
        });
        self.choose_key(kept, clauses, columns)
    }

    fn kept_key(&self, old: &Definition, actions: &[AlterAction]) -> Result<Vec<KeyPart>, String> {
        let mut key = Vec::new();
        for part in &old.key {
            let index = old.columns.iter().position(|column| column.name == part.column);
            let is_it = |column: &&WorkColumn| matches!(column.origin, Origin::Old(old) if Some(old) == index);
            if let Some(column) = self.columns.iter().find(is_it) {
                key.push(KeyPart { column: column.definition.name.clone(), is_prefix: part.is_prefix });
            }
            if part.is_prefix && actions.iter().any(|action| is_change_of(action, &part.column)) {
                return Err("a column changes of which the PRIMARY KEY holds a prefix".to_owned());
            }
        }
        Ok(key)
    }

    /// A table has one PRIMARY KEY, from its clause, from a column's attribute, or from before. Its columns are NOT NULL.
    fn choose_key<'a>(
        &mut self,
        kept: Vec<KeyPart>,
        clauses: impl Iterator<Item = &'a Vec<(String, bool)>>,
        columns: impl Iterator<Item = &'a WrittenColumn>,
    ) -> Result<(), String> {
        let mut keys = Vec::new();
        for clause in clauses {
            self.check_size(clause.len().saturating_sub(self.columns.len()))?;
            keys.push(
                clause.iter().map(|(name, is_prefix)| self.key_part(name, *is_prefix)).collect::<Result<_, _>>()?,
            );
        }
        for column in columns.filter(|column| column.is_key) {
            keys.push(vec![self.key_part(&column.name, false)?]);
        }
        keys.extend(Some(kept).filter(|kept| !kept.is_empty()));
        self.key = keys.pop().unwrap_or_default();
        if !keys.is_empty() {
            return Err("more than one PRIMARY KEY".to_owned());
        }
        for part in &self.key {
            let mut columns = self.columns.iter_mut();
            if let Some(column) = columns.find(|column| column.definition.name == part.column) {
                column.definition.nullable = false;
            }
        }
        Ok(())
    }

    fn key_part(&self, name: &str, is_prefix: bool) -> Result<KeyPart, String> {
        let position = self.position(name)?;
        let column = self.columns.get(position).map(|column| column.definition.name.clone()).unwrap_or_default();
        Ok(KeyPart { column, is_prefix })
    }

    fn convert(&mut self, charset: &str) -> Result<(), String> {
        self.columns.iter_mut().try_for_each(|column| column.definition.convert_to(charset))
    }

    /// The whole, unless two columns have one name.
    fn altered(self, name: TableName, charset: &str) -> Result<Altered, String> {
        let names = self.columns.iter().map(|column| column.definition.name.to_lowercase());
        if names.collect::<HashSet<_>>().len() < self.columns.len() {
            return Err("two columns of one name".to_owned());
        }
        let (columns, origins) = self.columns.into_iter().map(|column| (column.definition, column.origin)).unzip();
        Ok(Altered { definition: Definition { name, columns, key: self.key, charset: charset.to_owned() }, origins })
    }
}

/// The column of the old table that an action names.
fn old_name(action: &AlterAction) -> Option<&str> {
    let (AlterAction::Change(name, ..) | AlterAction::Drop(name) | AlterAction::Rename(name, _)) = action else {
        return None;
    };
    Some(name)
}

fn is_change_of(action: &AlterAction, column: &str) -> bool {
    matches!(action, AlterAction::ConvertTo(_))
        || matches!(action, AlterAction::Change(name, ..) if is_same(name, column))
}

/// Names of columns are compared without regard to case.
fn is_same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase())
}
