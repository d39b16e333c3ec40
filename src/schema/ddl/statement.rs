//! Statements by their first words.

use super::parser::Parser;
use super::touched::{Touched, touched};
use crate::schema::change::{DatabaseStatement, SchemaChange};

/// What the statement `sql` changes, run in `default_database` under `sql_mode`, in the order in which it acts.
///
/// An empty list is a statement that changes neither rows nor columns nor names of a table. `None` is one that is not
/// understood: [`touched`] tells which tables it may touch.
pub fn parse(sql: &str, default_database: &str, sql_mode: u64) -> Option<Vec<SchemaChange>> {
    let mut parser = Parser::new(sql, default_database, sql_mode);
    if let Some(form) = parser.form() {
        return form(&mut parser);
    }
    (touched(sql, default_database, sql_mode) == Touched::Nothing).then(Vec::new)
}

/// Reads what is behind a statement's first words.
type Form<'a> = fn(&mut Parser<'a>) -> Option<Vec<SchemaChange>>;

impl<'a> Parser<'a> {
    /// Takes the words that tell the statement; `None` for one that does not touch tables, databases or indexes, or
    /// that is not known.
    fn form(&mut self) -> Option<Form<'a>> {
        let keyword = self.keyword()?;
        match keyword.as_str() {
            "CREATE" => self.create_form(),
            "ALTER" => self.alter_form(),
            "DROP" => self.drop_form(),
            "RENAME" => (self.words(&["RENAME", "TABLE"]) || self.words(&["RENAME", "TABLES"]))
                .then_some(Self::rename_tables as Form<'a>),
            "TRUNCATE" => Some(Self::truncate),
            _ => None,
        }
    }

    fn create_form(&mut self) -> Option<Form<'a>> {
        if self.words(&["CREATE", "TABLE"]) {
            return Some(|parser| parser.create_table(false));
        }
        if self.words(&["CREATE", "OR", "REPLACE", "TABLE"]) {
            return Some(|parser| parser.create_table(true));
        }
        if self.words(&["CREATE", "DATABASE"]) || self.words(&["CREATE", "SCHEMA"]) {
            return Some(Self::create_database);
        }
        let mut ahead = self.clone();
        ahead.take();
        ahead.word_of(&["ONLINE", "OFFLINE"]);
        ahead.word_of(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        if !ahead.is_word_of(&["INDEX"]) {
            return None;
        }
        self.take();
        Some(Self::create_index)
    }

    fn alter_form(&mut self) -> Option<Form<'a>> {
        if self.words(&["ALTER", "DATABASE"]) || self.words(&["ALTER", "SCHEMA"]) {
            return Some(Self::alter_database);
        }
        let mut ahead = self.clone();
        ahead.take();
        if !ahead.is_word_of(&["TABLE", "ONLINE", "OFFLINE", "IGNORE"]) {
            return None;
        }
        *self = ahead;
        Some(Self::alter_table)
    }

    fn drop_form(&mut self) -> Option<Form<'a>> {
        if self.words(&["DROP", "TABLE"]) || self.words(&["DROP", "TABLES"]) {
            return Some(Self::drop_tables);
        }
        if self.words(&["DROP", "DATABASE"]) || self.words(&["DROP", "SCHEMA"]) {
            return Some(Self::drop_database);
        }
        self.words(&["DROP", "INDEX"]).then_some(Self::drop_index as Form<'a>)
    }

    fn drop_tables(&mut self) -> Option<Vec<SchemaChange>> {
        self.words(&["IF", "EXISTS"]);
        let tables = self.list(Self::table)?;
        self.word_of(&["RESTRICT", "CASCADE"]);
        self.end()?;
        Some(tables.into_iter().map(SchemaChange::Drop).collect())
    }

    fn rename_tables(&mut self) -> Option<Vec<SchemaChange>> {
        let renames = self.list(|parser| {
            let from = parser.table()?;
            parser.expect_words(&["TO"])?;
            Some(SchemaChange::Rename { from, to: parser.table()? })
        })?;
        self.end()?;
        Some(renames)
    }

    fn truncate(&mut self) -> Option<Vec<SchemaChange>> {
        self.take();
        self.word("TABLE");
        let table = self.table()?;
        self.end()?;
        Some(vec![SchemaChange::Truncate(table)])
    }

    fn create_database(&mut self) -> Option<Vec<SchemaChange>> {
        let statement = match self.words(&["IF", "NOT", "EXISTS"]) {
            true => DatabaseStatement::CreateIfMissing,
            false => DatabaseStatement::Create,
        };
        let name = self.identifier()?;
        self.database(name, statement)
    }

    /// The default database when it names none.
    fn alter_database(&mut self) -> Option<Vec<SchemaChange>> {
        let mut ahead = self.clone();
        let is_named = !ahead.database_option(&mut None).unwrap_or(false);
        let name = if is_named { self.identifier()? } else { self.default_database() };
        self.database(name, DatabaseStatement::Alter)
    }

    fn database(&mut self, name: String, statement: DatabaseStatement) -> Option<Vec<SchemaChange>> {
        let mut charset = None;
        while self.database_option(&mut charset)? {}
        self.end()?;
        Some(vec![SchemaChange::Database { name, charset, statement }])
    }

    fn database_option(&mut self, charset: &mut Option<String>) -> Option<bool> {
        if self.charset_option(charset)? {
            return Some(true);
        }
        let is_next = self.words(&["DEFAULT", "ENCRYPTION"])
            || self.words(&["READ", "ONLY"])
            || self.word_of(&["ENCRYPTION", "COMMENT"]);
        if is_next {
            self.option_value()?;
        }
        Some(is_next)
    }

    fn drop_database(&mut self) -> Option<Vec<SchemaChange>> {
        self.words(&["IF", "EXISTS"]);
        let name = self.identifier()?;
        self.end()?;
        Some(vec![SchemaChange::DropDatabase(name)])
    }
}
