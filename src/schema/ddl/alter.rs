//! ALTER TABLE.
//!
//! Clauses without effect on rows, columns, the keys that tell rows apart and the default character set yield nothing. `IF EXISTS` and
//! `IF NOT EXISTS` of MariaDB are logged whether they did something or not, and what they did depends on the old table in
//! ways of their own: unclear. A new name acts after everything else.
//!
//! Which clauses have the server make all rows anew was tried on MySQL 9.7, on InnoDB with and without FULLTEXT: a STORED
//! column of a TIMESTAMP has another value then, where the session's time zone is another. Of MyISAM, indexes do so too.

use super::create::Element;
use super::index::{Key, is_primary};
use super::parser::Parser;
use crate::schema::change::{AlterAction, AlterTable, Place, SchemaChange, WrittenColumn};
use crate::schema::types::TableName;

/// First words of clauses that have the server make all rows anew, whatever follows.
const REBUILDING: &[&str] =
    &["CONVERT", "ENGINE", "FORCE", "KEY_BLOCK_SIZE", "ORDER", "PARTITION", "REMOVE", "ROW_FORMAT", "TYPE"];

/// What has been read of a statement.
#[derive(Default)]
pub(super) struct Altering {
    table: TableName,
    actions: Vec<AlterAction>,
    rewrites: Vec<SchemaChange>,
    new_name: Option<TableName>,
    /// UNIQUE keys may have come or gone.
    changes_unique: bool,
    /// A foreign key comes that changes rows by itself.
    cascades: bool,
    /// The server may make all rows anew.
    rebuilds: bool,
    /// It is told not to, and refuses what it cannot do otherwise.
    is_in_place: bool,
}

impl Altering {
    /// Rows of the table may change.
    pub fn rewrites(&mut self, what: &str) {
        self.rewrites_other(self.table.clone(), what);
    }

    /// Rows of another table may change.
    pub fn rewrites_other(&mut self, table: TableName, what: &str) {
        self.rewrites.push(SchemaChange::Rewrite(table, what.to_owned()));
    }

    /// A key is added.
    fn adds_key(&mut self, key: Key) {
        match key {
            Key::Primary(key) => {
                self.rebuilds = true;
                self.actions.push(AlterAction::AddKey(key));
            }
            Key::Unique(_) => self.changes_unique = true,
            Key::Constraint => self.rebuilds = true,
            Key::Other => {}
        }
    }

    /// A column is as it is written from here on.
    fn writes_column(&mut self, column: &WrittenColumn) {
        self.rebuilds = true;
        self.changes_unique |= column.is_unique;
    }

    fn unclear(&mut self, what: &str) {
        self.actions.push(AlterAction::Unclear(what.to_owned()));
    }

    /// In the order in which they act; nothing at all for a table that stays as it is.
    fn changes(self) -> Vec<SchemaChange> {
        let Self { table: name, actions, rewrites, new_name, changes_unique, cascades, rebuilds, is_in_place } = self;
        let cascades = cascades.then(|| SchemaChange::Cascades(name.clone()));
        let rebuilt = (rebuilds && !is_in_place).then(|| SchemaChange::Rebuilt(name.clone()));
        let unique = changes_unique.then(|| SchemaChange::UniqueKeys(name.clone()));
        let renamed = new_name.map(|to| SchemaChange::Rename { from: name.clone(), to });
        let altered = (!actions.is_empty()).then_some(SchemaChange::Alter(AlterTable { name, actions }));
        altered.into_iter().chain(rewrites).chain(rebuilt).chain(cascades).chain(unique).chain(renamed).collect()
    }
}

impl Parser<'_> {
    /// What follows ALTER up to the end, with TABLE.
    pub(super) fn alter_table(&mut self) -> Option<Vec<SchemaChange>> {
        self.word_of(&["ONLINE", "OFFLINE"]);
        let ignores_duplicates = self.word("IGNORE");
        self.expect_words(&["TABLE"])?;
        self.words(&["IF", "EXISTS"]);
        let table = self.table()?;
        let mut altering = Altering { table, ..Altering::default() };
        if ignores_duplicates {
            altering.rewrites("ALTER IGNORE");
        }
        while self.keyword().is_some() {
            self.clause(&mut altering)?;
            self.char(',');
        }
        self.end()?;
        altering.cascades = self.cascades;
        if self.has_other_engine {
            altering.rewrites("another ENGINE");
        }
        Some(altering.changes())
    }

    fn clause(&mut self, altering: &mut Altering) -> Option<()> {
        let keyword = self.keyword()?;
        altering.rebuilds |= REBUILDING.contains(&keyword.as_str());
        match keyword.as_str() {
            "ADD" => self.add(altering),
            "CHANGE" | "MODIFY" => self.change(altering),
            "DROP" => self.drop_clause(altering),
            "ALTER" => self.alter_clause(altering),
            "RENAME" => self.rename_clause(altering),
            "CONVERT" => self.convert(altering),
            "ORDER" => self.order_by(),
            "FORCE" => self.take().map(|_| ()),
            "DISABLE" | "ENABLE" => {
                self.take();
                self.expect_words(&["KEYS"])
            }
            "ALGORITHM" => self.algorithm(altering),
            "LOCK" => {
                self.take();
                self.option_value()
            }
            "WITH" | "WITHOUT" => {
                self.take();
                self.expect_words(&["VALIDATION"])
            }
            _ => self.option_or_partition(&keyword, altering),
        }
    }

    /// `ALGORITHM [=] DEFAULT | INSTANT | INPLACE | COPY`
    fn algorithm(&mut self, altering: &mut Altering) -> Option<()> {
        self.take();
        self.char('=');
        let algorithm = self.name_or_text()?;
        altering.rebuilds |= algorithm.eq_ignore_ascii_case("COPY");
        altering.is_in_place = ["INSTANT", "INPLACE"].iter().any(|in_place| algorithm.eq_ignore_ascii_case(in_place));
        Some(())
    }

    fn option_or_partition(&mut self, keyword: &str, altering: &mut Altering) -> Option<()> {
        let mut charset = None;
        if !self.table_option(&mut charset)? {
            return self.partition_clause(keyword, altering);
        }
        altering.actions.extend(charset.map(AlterAction::DefaultCharset));
        Some(())
    }

    /// Whether a clause's words end here.
    pub(super) fn is_end_of_clause(&mut self) -> bool {
        self.is_char(',') || self.clone().end().is_some()
    }

    fn add(&mut self, altering: &mut Altering) -> Option<()> {
        self.take();
        if self.word("PARTITION") {
            if self.words(&["IF", "NOT", "EXISTS"]) {
                altering.unclear("ADD PARTITION IF NOT EXISTS");
            }
            return self.added_partitions();
        }
        if self.words(&["SYSTEM", "VERSIONING"]) {
            altering.unclear("ADD SYSTEM VERSIONING");
            return Some(());
        }
        if self.is_key_or_constraint() {
            let key = self.key_or_constraint()?;
            altering.adds_key(key);
            return Some(());
        }
        self.word("COLUMN");
        if self.words(&["IF", "NOT", "EXISTS"]) {
            altering.unclear("ADD COLUMN IF NOT EXISTS");
        }
        self.add_columns(altering)
    }

    fn add_columns(&mut self, altering: &mut Altering) -> Option<()> {
        if !self.is_char('(') {
            let (column, place) = self.placed_column()?;
            altering.writes_column(&column);
            altering.actions.push(AlterAction::Add(column, place));
            return Some(());
        }
        for element in self.list_in_parentheses(Self::element)? {
            match element {
                Element::Column(column) => {
                    altering.writes_column(&column);
                    altering.actions.push(AlterAction::Add(column, Place::Unsaid));
                }
                Element::Key(key) => altering.adds_key(key),
            }
        }
        Some(())
    }

    fn placed_column(&mut self) -> Option<(WrittenColumn, Place)> {
        let column = self.column()?;
        if self.word("FIRST") {
            return Some((column, Place::First));
        }
        if self.word("AFTER") {
            return Some((column, Place::After(self.column_name()?)));
        }
        Some((column, Place::Unsaid))
    }

    /// MODIFY is CHANGE to the same name.
    fn change(&mut self, altering: &mut Altering) -> Option<()> {
        let is_change = self.is_word_of(&["CHANGE"]);
        self.take();
        self.word("COLUMN");
        if self.words(&["IF", "EXISTS"]) {
            altering.unclear("CHANGE COLUMN IF EXISTS");
        }
        let old_name = if is_change { Some(self.column_name()?) } else { None };
        let (column, place) = self.placed_column()?;
        let old_name = old_name.unwrap_or_else(|| column.name.clone());
        altering.writes_column(&column);
        altering.actions.push(AlterAction::Change(old_name, column, place));
        Some(())
    }

    fn drop_clause(&mut self, altering: &mut Altering) -> Option<()> {
        let mut ahead = self.clone();
        ahead.take();
        if ahead.is_word_of(&["PARTITION"]) {
            return self.rewriting_partitions("DROP PARTITION", altering);
        }
        *self = ahead;
        match self.keyword().as_deref() {
            Some("PRIMARY") => {
                altering.actions.push(AlterAction::DropKey);
                self.expect_words(&["PRIMARY", "KEY"])
            }
            Some("INDEX" | "KEY" | "CONSTRAINT") => self.drop_key(altering),
            Some("CHECK") => {
                self.take();
                self.identifier().map(|_| ())
            }
            Some("FOREIGN") => {
                self.expect_words(&["FOREIGN", "KEY"])?;
                self.words(&["IF", "EXISTS"]);
                self.identifier().map(|_| ())
            }
            _ => self.drop_column(altering),
        }
    }

    fn drop_key(&mut self, altering: &mut Altering) -> Option<()> {
        self.take();
        if self.words(&["IF", "EXISTS"]) {
            altering.unclear("DROP INDEX IF EXISTS");
        }
        if is_primary(&self.identifier()?) {
            altering.actions.push(AlterAction::DropKey);
        } else {
            altering.changes_unique = true;
        }
        Some(())
    }

    fn drop_column(&mut self, altering: &mut Altering) -> Option<()> {
        if self.words(&["SYSTEM", "VERSIONING"]) {
            altering.unclear("DROP SYSTEM VERSIONING");
            return Some(());
        }
        self.word("COLUMN");
        if self.words(&["IF", "EXISTS"]) {
            altering.unclear("DROP COLUMN IF EXISTS");
        }
        let name = self.column_name()?;
        self.word_of(&["RESTRICT", "CASCADE"]);
        altering.rebuilds = true;
        altering.actions.push(AlterAction::Drop(name));
        Some(())
    }

    /// ALTER of a column's default or visibility, of an index, or of a constraint: what rows hold stays.
    fn alter_clause(&mut self, altering: &mut Altering) -> Option<()> {
        self.take();
        altering.rebuilds |= self.is_word_of(&["CHECK", "CONSTRAINT"]);
        if self.word_of(&["INDEX", "KEY", "CHECK", "CONSTRAINT"]) {
            self.identifier()?;
            self.word("NOT");
            return self.word_of(&["VISIBLE", "INVISIBLE", "ENFORCED", "IGNORED"]).then_some(());
        }
        self.word("COLUMN");
        if self.words(&["IF", "EXISTS"]) {
            altering.unclear("ALTER COLUMN IF EXISTS");
        }
        self.column_name()?;
        if self.words(&["DROP", "DEFAULT"]) || self.words(&["SET", "VISIBLE"]) || self.words(&["SET", "INVISIBLE"]) {
            return Some(());
        }
        if self.words(&["DROP", "MASKING", "POLICY"]) {
            return Some(());
        }
        if self.words(&["SET", "MASKING", "POLICY"]) {
            return self.identifier().map(|_| ());
        }
        self.expect_words(&["SET", "DEFAULT"])?;
        self.default_value().map(|_| ())
    }

    fn rename_clause(&mut self, altering: &mut Altering) -> Option<()> {
        self.take();
        if self.word("COLUMN") {
            if self.words(&["IF", "EXISTS"]) {
                altering.unclear("RENAME COLUMN IF EXISTS");
            }
            let old_name = self.column_name()?;
            self.expect_words(&["TO"])?;
            altering.actions.push(AlterAction::Rename(old_name, self.column_name()?));
            return Some(());
        }
        if self.word_of(&["INDEX", "KEY"]) {
            self.words(&["IF", "EXISTS"]);
            self.identifier()?;
            self.expect_words(&["TO"])?;
            return self.identifier().map(|_| ());
        }
        if !self.word_of(&["TO", "AS"]) {
            self.char('=');
        }
        // Of several names the last one counts.
        altering.new_name = Some(self.table()?);
        Some(())
    }

    /// `CONVERT TO CHARACTER SET name | DEFAULT [COLLATE name]`.
    fn convert(&mut self, altering: &mut Altering) -> Option<()> {
        self.expect_words(&["CONVERT", "TO"])?;
        self.character_set().then_some(())?;
        let mut charset = if self.word("DEFAULT") { None } else { Some(self.charset_name()?) };
        if self.word("COLLATE") {
            self.char('=');
            charset = Some(self.charset_of_collation()?);
        }
        altering.actions.push(AlterAction::ConvertTo(charset));
        Some(())
    }

    /// `ORDER BY column [ASC | DESC], ..`: up to the statement's end, because nothing may follow it.
    fn order_by(&mut self) -> Option<()> {
        self.expect_words(&["ORDER", "BY"])?;
        self.list(|parser| {
            parser.column_name()?;
            parser.word_of(&["ASC", "DESC"]);
            Some(())
        })?;
        Some(())
    }
}
