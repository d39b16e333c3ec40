//! What CREATE TABLE and ALTER TABLE make of a table's definition.
//!
//! ALTER TABLE is one step on the old table, in the order in which the server works: first the old columns in table order,
//! each dropped, changed, renamed or kept; then, in the order written, the new columns and those that get another place,
//! which AFTER finds by their new names; then the key. Names of columns are compared without regard to case. An error
//! says why the result cannot be known; the table must then be read anew.

use std::collections::HashSet;

use crate::schema::catalog::{ColumnDefinition, Definition, KeyPart};
use crate::schema::change::{
    AlterAction, AlterTable, Altered, CreateTable, CreatedShape, KeyColumn, Origin, Place, WrittenColumn,
};
use crate::schema::types::TableName;

/// More columns than a table can have, and more clauses than are of use for it.
const COLUMNS_MAX: usize = 4_096;
const ACTIONS_MAX: usize = 2 * COLUMNS_MAX;

/// The key of `sql_generate_invisible_primary_key`.
const INVENTED_KEY: &str = "my_row_id";

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
            CreatedShape::Written { columns, key, unique, charset } => {
                let charset = charset.as_deref().or(database_charset).unwrap_or_default();
                let mut table = Work::new(charset.to_owned());
                table.check_size(columns.len())?;
                for column in columns {
                    let new = table.new_column(column)?;
                    table.columns.push(new);
                }
                let keys = Some(key).filter(|key| !key.is_empty());
                table.choose_key(Vec::new(), keys.into_iter(), columns.iter())?;
                table.stand_in(unique)?;
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
        let is_unique = self.key_is_unique && !alter.actions.iter().any(adds_primary_key);
        let mut table =
            Work { is_converted: converted.is_some(), key_is_unique: is_unique, ..Work::new(charset.to_owned()) };
        for (index, old) in self.columns.iter().enumerate() {
            table.take_over(index, old, &alter.actions)?;
        }
        for action in &alter.actions {
            table.place(action, self)?;
        }
        if !self.has_primary_key() {
            table.check_unique(self)?;
        }
        table.alter_key(self, &alter.actions)?;
        if self.has_primary_key() && table.key.is_empty() {
            return Err("it has no PRIMARY KEY any more, and a UNIQUE key may stand in for it".to_owned());
        }
        self.check_first_column(&table)?;
        let rewrites_columns = alter.actions.iter().any(rewrites_columns);
        Ok(Altered { rewrites_columns, ..table.altered(self.name.clone(), charset)? })
    }

    /// A key that the server has invented (`sql_generate_invisible_primary_key`) stays the first column, whatever FIRST
    /// says. Whether the server has is not known.
    fn check_first_column(&self, altered: &Work) -> Result<(), String> {
        let [KeyPart { column: key, .. }] = self.key.as_slice() else { return Ok(()) };
        let may_be_invented =
            is_same(key, INVENTED_KEY) && self.columns.first().is_some_and(|first| first.name == *key);
        let position = altered.columns.iter().position(|column| column.origin == Origin::Old(0));
        if may_be_invented && position.is_some_and(|position| position > 0) {
            return Err(format!("{key} stays the first column if the server has invented it"));
        }
        Ok(())
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
    /// Whether `key` stands in for a PRIMARY KEY.
    key_is_unique: bool,
    /// Of columns that name none.
    charset: String,
    /// By CONVERT TO: then it is that of all columns.
    is_converted: bool,
}

struct WorkColumn {
    definition: ColumnDefinition,
    origin: Origin,
}

impl Work {
    fn new(charset: String) -> Self {
        Self { columns: Vec::new(), key: Vec::new(), key_is_unique: false, charset, is_converted: false }
    }

    fn check_size(&self, more: usize) -> Result<(), String> {
        let is_fitting = self.columns.len().saturating_add(more) <= COLUMNS_MAX;
        is_fitting.then_some(()).ok_or_else(|| format!("more than {COLUMNS_MAX} columns"))
    }

    fn new_column(&self, written: &WrittenColumn) -> Result<WorkColumn, String> {
        let origin = Origin::New(written.initial.clone());
        Ok(WorkColumn { definition: self.resolved(written, false)?, origin })
    }

    fn resolved(&self, written: &WrittenColumn, is_changed: bool) -> Result<ColumnDefinition, String> {
        if self.is_converted {
            return written.converted(&self.charset, is_changed);
        }
        written.resolved(&self.charset)
    }

    /// An old column at its old place, unless it is dropped.
    fn take_over(&mut self, index: usize, old: &ColumnDefinition, actions: &[AlterAction]) -> Result<(), String> {
        let mut definition = old.clone();
        if self.is_converted {
            definition.convert_to(&self.charset)?;
        }
        for action in actions {
            if !old_name(action).is_some_and(|name| is_same(name, &old.name)) {
                continue;
            }
            match action {
                AlterAction::Change(_, written, _) => definition = self.resolved(written, true)?,
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

    /// Without a PRIMARY KEY the first UNIQUE one does whose columns are whole and NOT NULL.
    fn stand_in(&mut self, unique: &[Vec<KeyColumn>]) -> Result<(), String> {
        if !self.key.is_empty() {
            return Ok(());
        }
        for key in unique {
            self.check_size(key.len().saturating_sub(self.columns.len()))?;
            let parts: Vec<_> =
                key.iter().map(|column| self.key_part(&column.name, column.prefix)).collect::<Result<_, _>>()?;
            if parts.iter().any(|part| self.is_generated(&part.column)) {
                // The server puts those of virtual columns behind the others.
                return Err("it has no PRIMARY KEY, and a UNIQUE key of a generated column".to_owned());
            }
            if parts.iter().all(|part| !part.is_prefix && !self.may_be_null(&part.column)) {
                (self.key, self.key_is_unique) = (parts, true);
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_generated(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.definition.name == name && column.definition.is_generated)
    }

    fn may_be_null(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.definition.name == name && column.definition.nullable)
    }

    /// Of a table without a PRIMARY KEY: which UNIQUE key stands in for it is not known once one may do that did not.
    fn check_unique(&self, old: &Definition) -> Result<(), String> {
        let altered = |column: &WorkColumn| {
            let Origin::Old(index) = column.origin else { return false };
            old.columns.get(index).is_some_and(|old| old.nullable != column.definition.nullable)
        };
        let is_kept = |index| self.columns.iter().any(|column| column.origin == Origin::Old(index));
        if (0..old.columns.len()).all(is_kept) && !self.columns.iter().any(altered) {
            return Ok(());
        }
        Err("it has no PRIMARY KEY, and another UNIQUE key may stand in for it now".to_owned())
    }

    /// The PRIMARY KEY of ALTER TABLE: the old one without dropped columns and under new names, unless it is dropped.
    fn alter_key(&mut self, old: &Definition, actions: &[AlterAction]) -> Result<(), String> {
        let is_dropped = actions.contains(&AlterAction::DropKey);
        let is_replaced = old.key_is_unique && !self.key_is_unique;
        let kept = if is_dropped || is_replaced { Vec::new() } else { self.kept_key(old, actions)? };
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
            if let Some(column) = self.kept_key_column(old, &part.column)? {
                key.push(KeyPart { column: column.definition.name.clone(), is_prefix: part.is_prefix });
            }
            if part.is_prefix && actions.iter().any(|action| is_change_of(action, &part.column)) {
                return Err("a column changes of which the PRIMARY KEY holds a prefix".to_owned());
            }
        }
        Ok(key)
    }

    /// What a column of the old key is now: itself, or a new one of its name that takes its place.
    fn kept_key_column(&self, old: &Definition, name: &str) -> Result<Option<&WorkColumn>, String> {
        let index = old.columns.iter().position(|column| column.name == name);
        let is_it = |column: &&WorkColumn| matches!(column.origin, Origin::Old(old) if Some(old) == index);
        let is_like_it =
            |column: &&WorkColumn| matches!(column.origin, Origin::New(_)) && is_same(&column.definition.name, name);
        let (itself, other) = (self.columns.iter().find(is_it), self.columns.iter().find(is_like_it));
        if itself.is_some() && other.is_some() {
            return Err(format!("column {name} of the PRIMARY KEY is renamed, and another one gets its name"));
        }
        Ok(itself.or(other))
    }

    /// A table has one PRIMARY KEY, from its clause, from a column's attribute, or from before. Its columns are NOT NULL.
    fn choose_key<'a>(
        &mut self,
        kept: Vec<KeyPart>,
        clauses: impl Iterator<Item = &'a Vec<KeyColumn>>,
        columns: impl Iterator<Item = &'a WrittenColumn>,
    ) -> Result<(), String> {
        let mut keys = Vec::new();
        for clause in clauses {
            self.check_size(clause.len().saturating_sub(self.columns.len()))?;
            keys.push(
                clause.iter().map(|column| self.key_part(&column.name, column.prefix)).collect::<Result<_, _>>()?,
            );
        }
        for column in columns.filter(|column| column.is_key) {
            keys.push(vec![self.key_part(&column.name, None)?]);
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

    /// A prefix that is as long as its column is none.
    fn key_part(&self, name: &str, prefix: Option<u64>) -> Result<KeyPart, String> {
        let position = self.position(name)?;
        let column = self.columns.get(position).map(|column| &column.definition);
        let length = column.and_then(|column| column.ty.characters());
        let is_prefix = prefix.is_some_and(|prefix| length != Some(prefix));
        Ok(KeyPart { column: column.map(|column| column.name.clone()).unwrap_or_default(), is_prefix })
    }

    /// The whole, unless two columns have one name.
    fn altered(self, name: TableName, charset: &str) -> Result<Altered, String> {
        let names = self.columns.iter().map(|column| column.definition.name.to_lowercase());
        if names.collect::<HashSet<_>>().len() < self.columns.len() {
            return Err("two columns of one name".to_owned());
        }
        let (columns, origins) = self.columns.into_iter().map(|column| (column.definition, column.origin)).unzip();
        let (key, key_is_unique, charset) = (self.key, self.key_is_unique, charset.to_owned());
        let definition = Definition { name, columns, key, key_is_unique, charset };
        Ok(Altered { definition, origins, rewrites_columns: false })
    }
}

/// Whether it gives the table a PRIMARY KEY, by a clause or by a column's attribute.
fn adds_primary_key(action: &AlterAction) -> bool {
    match action {
        AlterAction::AddKey(_) => true,
        AlterAction::Add(column, _) | AlterAction::Change(_, column, _) => column.is_key,
        AlterAction::Drop(_)
        | AlterAction::Rename(..)
        | AlterAction::DropKey
        | AlterAction::ConvertTo(_)
        | AlterAction::DefaultCharset(_)
        | AlterAction::Unclear(_) => false,
    }
}

/// Whether it says all that a column is, or of all columns what their text is.
fn rewrites_columns(action: &AlterAction) -> bool {
    matches!(action, AlterAction::Change(..) | AlterAction::ConvertTo(_))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::change::{Initial, SchemaChange};
    use crate::schema::ddl::parse;

    fn create(sql: &str, database_charset: Option<&str>) -> Result<Definition, String> {
        let changes = parse(sql, "d", 0).unwrap();
        let [SchemaChange::Create(create)] = changes.as_slice() else { panic!("{sql}: {changes:?}") };
        create.definition(None, database_charset)
    }

    fn alter(table: &Definition, clauses: &str) -> Result<Altered, String> {
        let changes = parse(&format!("alter table t {clauses}"), "d", 0).unwrap();
        let [SchemaChange::Alter(alter), ..] = changes.as_slice() else { panic!("{clauses}: {changes:?}") };
        table.altered(alter, Some("latin1"))
    }

    /// `name type` with `?` for NULL and `*` for the key, and the old column's number.
    fn show(altered: &Altered) -> String {
        let column = |(column, origin): (&ColumnDefinition, &Origin)| {
            let null = if column.nullable { "?" } else { "" };
            let key = altered.definition.key.iter().position(|part| part.column == column.name);
            let key = key.map_or(String::new(), |at| format!("*{at}"));
            let origin = match origin {
                Origin::Old(index) => format!("={index}"),
                Origin::New(Initial::Implicit) => "=new".to_owned(),
                Origin::New(initial) => format!("={initial:?}"),
            };
            format!("{} {}{null}{key}{origin}", column.name, column.ty.data_type)
        };
        altered.definition.columns.iter().zip(&altered.origins).map(column).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn alter_is_one_step_on_the_old_table() {
        let table = create("create table t (a int primary key, b int, c char(5))", Some("utf8mb4")).unwrap();
        for (clauses, expected) in [
            ("rename column a to b, rename column b to a", "b int*0=0, a int?=1, c char?=2"),
            ("drop b, add b text", "a int*0=0, c char?=2, b text?=new"),
            (
                "add d int default 5 first, add e int after D",
                "d int?=Number(\"5\"), e int?=new, a int*0=0, b int?=1, c char?=2",
            ),
            ("modify a bigint after b, modify b int after c", "a bigint*0=0, c char?=2, b int?=1"),
            ("change c cc int, add d int after cc", "a int*0=0, b int?=1, cc int?=2, d int?=new"),
            ("change B `B` text not null first", "B text=1, a int*0=0, c char?=2"),
            ("drop primary key, add primary key (b, A)", "a int*1=0, b int*0=1, c char?=2"),
            ("drop a, add A text", "b int?=1, c char?=2, A text*0=new"),
            ("drop a, add x serial, add primary key (x)", "b int?=1, c char?=2, x bigint*0=Unknown"),
            ("convert to character set utf8mb3", "a int*0=0, b int?=1, c char?=2"),
        ] {
            assert_eq!(alter(&table, clauses).map(|altered| show(&altered)).as_deref(), Ok(expected), "{clauses}");
        }
    }

    #[test]
    fn the_first_unique_key_that_is_whole_and_not_null_stands_in_for_a_primary_key() {
        for (columns, expected) in [
            ("a int not null unique, b int not null unique", "a"),
            ("a int unique, b int not null, c int not null, unique (a, b), unique k (c, B)", "c b"),
            ("a varchar(9) not null, unique (a(3)), b serial", "b"),
            ("a char(3) not null, unique (a(3))", "a"),
            ("a int not null, unique ((a + 1)), key (a)", ""),
            ("a int, unique (a)", ""),
        ] {
            let table = create(&format!("create table t ({columns})"), Some("utf8mb4")).unwrap();
            let key: Vec<&str> = table.key.iter().map(|part| part.column.as_str()).collect();
            assert_eq!((key.join(" ").as_str(), table.has_primary_key()), (expected, false), "{columns}");
            assert_eq!(table.key_is_unique, !expected.is_empty());
        }
        let primary = create("create table t (a int not null unique, b int primary key)", None).unwrap();
        assert!(primary.has_primary_key() && primary.key[0].column == "b");
    }

    #[test]
    fn a_table_whose_key_is_a_unique_one_keeps_it_while_no_other_may_be_it() {
        let table = create("create table t (a int not null unique, b int unique, c int)", None).unwrap();
        for (clauses, expected) in [
            ("rename column a to x, modify b bigint first", "b bigint?=1, x int*0=0, c int?=2"),
            ("add d int after a", "a int*0=0, d int?=new, b int?=1, c int?=2"),
            ("add primary key (c)", "a int=0, b int?=1, c int*0=2"),
            ("add primary key (a)", "a int*0=0, b int?=1, c int?=2"),
        ] {
            let altered = alter(&table, clauses).unwrap();
            let is_primary = clauses.contains("primary");
            assert_eq!(
                (show(&altered).as_str(), altered.definition.key_is_unique),
                (expected, !is_primary),
                "{clauses}"
            );
        }
        for clauses in ["modify a int", "modify b int not null", "drop a", "drop b"] {
            assert!(alter(&table, clauses).unwrap_err().contains("another UNIQUE key"), "{clauses}");
        }
    }

    #[test]
    fn what_cannot_be_known_is_an_error() {
        let table = create("create table t (a int primary key, b int, c text, e enum('é'))", Some("latin1")).unwrap();
        for (clauses, expected) in [
            ("drop x", "no column x"),
            ("modify x int", "no column x"),
            ("rename column x to y", "no column x"),
            ("add y int after x", "no column x"),
            ("add primary key (b)", "more than one PRIMARY KEY"),
            ("drop a", "a UNIQUE key may stand in for it"),
            ("drop primary key", "a UNIQUE key may stand in for it"),
            ("rename column a to x, add a int", "gets its name"),
            ("add C int", "two columns of one name"),
            ("add d enum('я') charset latin1", "column d: a label"),
            ("add d char(3) charset nonsense", "nonsense is not known"),
            ("drop column if exists x", "not supported"),
            ("convert to character set utf8mb4", "column e"),
            ("drop e, modify c text, convert to character set utf8mb4", "column c"),
        ] {
            let error = alter(&table, clauses).unwrap_err();
            assert!(error.contains(expected), "{clauses}: {error}");
        }
        let invented = create("create table t (my_row_id bigint unsigned primary key, a int)", None).unwrap();
        assert!(alter(&invented, "add b int first").unwrap_err().contains("my_row_id stays the first"));
        assert!(alter(&invented, "add b int after my_row_id").is_ok());
        assert!(create("create table t (a text)", None).unwrap_err().contains("its database"));
        assert!(create("create table t (a int)", None).is_ok());
        let many: Vec<String> = (0..=COLUMNS_MAX).map(|number| format!("c{number} int")).collect();
        assert!(create(&format!("create table t ({})", many.join(",")), None).unwrap_err().contains("4096 columns"));
    }

    #[test]
    fn a_prefix_as_long_as_its_column_is_none() {
        for (column, is_prefix) in [
            ("a char(5), primary key (a(5))", false),
            ("a varchar(6), primary key (a(5))", true),
            ("a varbinary(5), primary key (a(5))", false),
            ("a tinytext, primary key (a(5))", true),
        ] {
            let table = create(&format!("create table t ({column})"), Some("utf8mb4")).unwrap();
            assert_eq!(table.key.first().map(|part| part.is_prefix), Some(is_prefix), "{column}");
        }
    }

    #[test]
    fn character_sets_come_from_the_table() {
        let table =
            create("create table t (a char(5), b text(100), c char(5) charset utf8mb4)", Some("latin1")).unwrap();
        let show = |table: &Definition| {
            let column = |column: &ColumnDefinition| {
                let ty = &column.ty;
                format!("{} {:?} {}", ty.data_type, ty.octets, ty.charset.as_deref().unwrap_or("-"))
            };
            table.columns.iter().map(column).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(show(&table), "char Some(5) latin1, tinytext None latin1, char Some(20) utf8mb4");
        let converted = alter(&table, "convert to character set utf8mb4").unwrap().definition;
        assert_eq!(show(&converted), "char Some(20) utf8mb4, text None utf8mb4, char Some(20) utf8mb4");
        assert_eq!(converted.charset, "utf8mb4");
        let default = alter(&table, "add d char, default charset binary").unwrap().definition;
        let expected = "char Some(5) latin1, tinytext None latin1, char Some(20) utf8mb4, binary Some(1) -";
        assert_eq!(show(&default), expected);
        let by_database = alter(&converted, "convert to character set default").unwrap().definition;
        assert_eq!(show(&by_database), "char Some(5) latin1, text None latin1, char Some(5) latin1");
    }

    #[test]
    fn a_table_made_like_another_is_the_same_by_another_name() {
        let table = create("create table t (a int primary key)", None).unwrap();
        let changes = parse("create table u like t", "d", 0).unwrap();
        let [SchemaChange::Create(like)] = changes.as_slice() else { panic!("{changes:?}") };
        let made = like.definition(Some(&table), None).unwrap();
        assert_eq!((made.name.table.as_str(), &made.columns, &made.key), ("u", &table.columns, &table.key));
        assert!(like.definition(None, None).unwrap_err().contains("d.t"));
    }
}
