//! Keys and constraints: in tables, and as statements of their own. Only those matter here that tell rows apart: the
//! PRIMARY KEY, and UNIQUE keys, of which one stands in for it where it is missing; of foreign keys, whether they change
//! rows by themselves.

use super::parser::Parser;
use crate::schema::change::{AlterAction, AlterTable, KeyColumn, SchemaChange};

/// A key or constraint of a table.
pub(super) enum Key {
    Primary(Vec<KeyColumn>),
    /// `None` when it is of expressions.
    Unique(Option<Vec<KeyColumn>>),
    /// CHECK or FOREIGN KEY.
    Constraint,
    /// An index that tells no rows apart.
    Other,
}

impl Parser<'_> {
    /// A key or constraint of a table.
    pub(super) fn key_or_constraint(&mut self) -> Option<Key> {
        self.constraint_name()?;
        match self.keyword()?.as_str() {
            "PRIMARY" => return self.primary_key().map(Key::Primary),
            "CHECK" => {
                self.take();
                self.check_expression()?;
            }
            "FOREIGN" => self.foreign_key()?,
            _ => return self.secondary_key(),
        }
        Some(Key::Constraint)
    }

    /// Whether a key or a constraint is next, and no column: these words are reserved.
    pub(super) fn is_key_or_constraint(&self) -> bool {
        self.is_word_of(&["CONSTRAINT", "PRIMARY", "KEY", "INDEX", "UNIQUE", "FULLTEXT", "SPATIAL", "FOREIGN", "CHECK"])
    }

    /// `[CONSTRAINT [name]]`.
    pub(super) fn constraint_name(&mut self) -> Option<()> {
        if self.word("CONSTRAINT") && !self.is_word_of(&["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
            self.identifier()?;
        }
        Some(())
    }

    /// What follows CHECK.
    pub(super) fn check_expression(&mut self) -> Option<()> {
        self.parentheses()?;
        if !self.words(&["NOT", "ENFORCED"]) {
            self.word("ENFORCED");
        }
        Some(())
    }

    fn primary_key(&mut self) -> Option<Vec<KeyColumn>> {
        self.expect_words(&["PRIMARY", "KEY"])?;
        self.index_name_and_type()?;
        let columns = self.list_in_parentheses(Self::key_column)?;
        self.index_options()?;
        Some(columns)
    }

    /// `column [(prefix)] [ASC | DESC]`.
    fn key_column(&mut self) -> Option<KeyColumn> {
        let mut column = KeyColumn { name: self.identifier()?, prefix: None };
        if self.char('(') {
            column.prefix = Some(self.integer()?);
            self.expect(')')?;
        }
        self.word_of(&["ASC", "DESC"]);
        Some(column)
    }

    fn foreign_key(&mut self) -> Option<()> {
        self.expect_words(&["FOREIGN", "KEY"])?;
        if !self.is_char('(') {
            self.identifier()?;
        }
        self.parentheses()?;
        self.references()
    }

    /// `REFERENCES table [(columns)] [MATCH ..] [ON DELETE ..] [ON UPDATE ..]`.
    pub(super) fn references(&mut self) -> Option<()> {
        self.expect_words(&["REFERENCES"])?;
        self.table()?;
        if self.is_char('(') {
            self.parentheses()?;
        }
        if self.word("MATCH") {
            self.word_of(&["FULL", "PARTIAL", "SIMPLE"]).then_some(())?;
        }
        while self.words(&["ON", "DELETE"]) || self.words(&["ON", "UPDATE"]) {
            let cascades = self.word("CASCADE") || ["NULL", "DEFAULT"].iter().any(|value| self.words(&["SET", value]));
            self.cascades |= cascades;
            (cascades || self.word("RESTRICT") || self.words(&["NO", "ACTION"])).then_some(())?;
        }
        Some(())
    }

    /// `[UNIQUE | FULLTEXT | SPATIAL] [INDEX | KEY] [name] [USING type] (columns) options`.
    fn secondary_key(&mut self) -> Option<Key> {
        let is_unique = self.is_word_of(&["UNIQUE"]);
        let is_kind = self.word_of(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        (self.word_of(&["INDEX", "KEY"]) || is_kind).then_some(())?;
        self.words(&["IF", "NOT", "EXISTS"]);
        self.index_name_and_type()?;
        let columns = self.columns_or_expressions()?;
        self.index_options()?;
        Some(if is_unique { Key::Unique(columns) } else { Key::Other })
    }

    /// The columns of an index; `Some(None)` when expressions are among them.
    fn columns_or_expressions(&mut self) -> Option<Option<Vec<KeyColumn>>> {
        let mut ahead = self.clone();
        if let Some(columns) = ahead.list_in_parentheses(Self::key_column) {
            *self = ahead;
            return Some(Some(columns));
        }
        self.parentheses()?;
        Some(None)
    }

    fn index_name_and_type(&mut self) -> Option<()> {
        if !self.is_char('(') && !self.is_word_of(&["USING"]) {
            self.identifier()?;
        }
        if self.word_of(&["USING", "TYPE"]) {
            self.identifier()?;
        }
        Some(())
    }

    fn index_options(&mut self) -> Option<()> {
        while let Some(keyword) = self.keyword() {
            match keyword.as_str() {
                "VISIBLE" | "INVISIBLE" | "IGNORED" => {
                    self.take();
                }
                "NOT" => self.expect_words(&["NOT", "IGNORED"])?,
                "USING" | "TYPE" => {
                    self.take();
                    self.identifier()?;
                }
                "WITH" => {
                    self.expect_words(&["WITH", "PARSER"])?;
                    self.identifier()?;
                }
                "COMMENT" | "KEY_BLOCK_SIZE" | "ENGINE_ATTRIBUTE" | "SECONDARY_ENGINE_ATTRIBUTE" => {
                    self.take();
                    self.option_value()?;
                }
                _ => break,
            }
        }
        Some(())
    }

    /// What follows CREATE, up to the end: an index changes neither rows nor columns, but a UNIQUE one tells rows apart.
    pub(super) fn create_index(&mut self) -> Option<Vec<SchemaChange>> {
        self.word_of(&["ONLINE", "OFFLINE"]);
        let is_unique = self.is_word_of(&["UNIQUE"]);
        self.word_of(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        self.expect_words(&["INDEX"])?;
        self.words(&["IF", "NOT", "EXISTS"]);
        self.index_name_and_type()?;
        self.expect_words(&["ON"])?;
        let name = self.table()?;
        self.parentheses()?;
        self.index_options()?;
        self.how_to_alter()?;
        self.end()?;
        Some(is_unique.then_some(SchemaChange::UniqueKeys(name)).into_iter().collect())
    }

    /// What follows DROP INDEX. The PRIMARY KEY is an index of that name.
    pub(super) fn drop_index(&mut self) -> Option<Vec<SchemaChange>> {
        self.words(&["IF", "EXISTS"]);
        let index = self.identifier()?;
        self.expect_words(&["ON"])?;
        let name = self.table()?;
        self.how_to_alter()?;
        self.end()?;
        if !is_primary(&index) {
            return Some(vec![SchemaChange::UniqueKeys(name)]);
        }
        Some(vec![SchemaChange::Alter(AlterTable { name, actions: vec![AlterAction::DropKey] })])
    }

    /// ALGORITHM and LOCK.
    fn how_to_alter(&mut self) -> Option<()> {
        while self.word_of(&["ALGORITHM", "LOCK"]) {
            self.option_value()?;
        }
        Some(())
    }
}

/// Whether an index is the PRIMARY KEY by its name.
pub(super) fn is_primary(index: &str) -> bool {
    index.eq_ignore_ascii_case("PRIMARY")
}
