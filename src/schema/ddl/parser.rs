//! A cursor over a statement's tokens, with the steps that all of its grammar shares.
//!
//! A step that returns `bool` takes what it names if that is next, and nothing else. A step that returns an `Option`
//! gives `None` when the statement is not as expected; parsing ends there. Nothing here recurses.

use super::tokens::{Token, Tokens, stored_name};
use crate::schema::types::TableName;

/// A statement, read up to some token.
#[derive(Clone)]
pub(super) struct Parser<'a> {
    rest: Tokens<'a>,
    /// The next token.
    next: Option<Token<'a>>,
    default_database: &'a str,
    /// `@@sql_mode` of the statement.
    pub sql_mode: u64,
    /// Whether a foreign key was read by which a change of another table changes rows.
    pub cascades: bool,
    /// Whether a table is of an engine that does not keep its rows.
    pub has_other_engine: bool,
}

impl<'a> Parser<'a> {
    pub fn new(sql: &'a str, default_database: &'a str, sql_mode: u64) -> Self {
        let mut rest = Tokens::new(sql, sql_mode);
        let next = rest.next();
        Self { rest, next, default_database, sql_mode, cascades: false, has_other_engine: false }
    }

    /// The database of names without one.
    pub fn default_database(&self) -> String {
        self.default_database.to_owned()
    }

    /// The next token, which is taken.
    pub fn take(&mut self) -> Option<Token<'a>> {
        let following = self.rest.next();
        std::mem::replace(&mut self.next, following)
    }

    /// The next token if it is a word, in upper case.
    pub fn keyword(&self) -> Option<String> {
        let Some(Token::Word(word)) = &self.next else { return None };
        Some(word.to_ascii_uppercase())
    }

    /// Whether the next token is one of these keywords.
    pub fn is_word_of(&self, keywords: &[&str]) -> bool {
        matches!(&self.next, Some(Token::Word(word)) if keywords.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)))
    }

    /// Whether the next token is this character.
    pub fn is_char(&self, wanted: char) -> bool {
        self.next == Some(Token::Char(wanted))
    }

    /// Takes one of these keywords.
    pub fn word_of(&mut self, keywords: &[&str]) -> bool {
        let is_next = self.is_word_of(keywords);
        if is_next {
            self.take();
        }
        is_next
    }

    /// Takes this keyword.
    pub fn word(&mut self, keyword: &str) -> bool {
        self.word_of(&[keyword])
    }

    /// Takes these keywords, all or none.
    pub fn words(&mut self, keywords: &[&str]) -> bool {
        if !keywords.first().is_some_and(|first| self.is_word_of(&[first])) {
            return false;
        }
        let mut ahead = self.clone();
        let are_next = keywords.iter().all(|keyword| ahead.word(keyword));
        if are_next {
            *self = ahead;
        }
        are_next
    }

    /// Takes this character.
    pub fn char(&mut self, wanted: char) -> bool {
        let is_next = self.is_char(wanted);
        if is_next {
            self.take();
        }
        is_next
    }

    /// This character must follow.
    pub fn expect(&mut self, wanted: char) -> Option<()> {
        self.char(wanted).then_some(())
    }

    /// These keywords must follow.
    pub fn expect_words(&mut self, keywords: &[&str]) -> Option<()> {
        self.words(keywords).then_some(())
    }

    /// Nothing may follow, a `;` apart.
    pub fn end(&mut self) -> Option<()> {
        self.char(';');
        self.next.is_none().then_some(())
    }

    /// A name. Characters that could not be decoded are U+FFFD; a name with one may be any name.
    pub fn identifier(&mut self) -> Option<String> {
        let name = match self.take()? {
            Token::Word(word) => word.to_owned(),
            Token::Name(name) => name.into_owned(),
            Token::Text(_) | Token::Char(_) => return None,
        };
        (!name.contains(char::REPLACEMENT_CHARACTER)).then(|| stored_name(name))
    }

    /// `name`, `database.name` or `.name`.
    pub fn table(&mut self) -> Option<TableName> {
        if self.char('.') {
            return Some(TableName { database: self.default_database(), table: self.identifier()? });
        }
        let first = self.identifier()?;
        if self.char('.') {
            return Some(TableName { database: first, table: self.identifier()? });
        }
        Some(TableName { database: self.default_database(), table: first })
    }

    /// A column's name, with or without its table's.
    pub fn column_name(&mut self) -> Option<String> {
        self.char('.');
        let mut name = self.identifier()?;
        while self.char('.') {
            name = self.identifier()?;
        }
        Some(name)
    }

    /// A string; adjacent ones are one.
    pub fn text(&mut self) -> Option<String> {
        let mut text = self.one_text()?;
        while let Some(more) = self.one_text() {
            text.push_str(&more);
        }
        Some(text)
    }

    /// A string alone, whatever stands beside it.
    pub fn one_text(&mut self) -> Option<String> {
        matches!(self.next, Some(Token::Text(_))).then_some(())?;
        match self.take()? {
            Token::Text(text) => Some(text.into_owned()),
            Token::Word(_) | Token::Name(_) | Token::Char(_) => None,
        }
    }

    /// Whether a string is next.
    pub fn is_text(&self) -> bool {
        matches!(self.next, Some(Token::Text(_)))
    }

    /// A name, which may stand in string quotes.
    pub fn name_or_text(&mut self) -> Option<String> {
        if self.is_text() { self.text() } else { self.identifier() }
    }

    /// Unsigned digits.
    pub fn integer(&mut self) -> Option<u64> {
        match self.take()? {
            Token::Word(word) => word.parse().ok(),
            Token::Name(_) | Token::Text(_) | Token::Char(_) => None,
        }
    }

    /// `( .. )`, whatever is in it.
    pub fn parentheses(&mut self) -> Option<()> {
        self.expect('(')?;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.take()? {
                Token::Char('(') => depth += 1,
                Token::Char(')') => depth -= 1,
                Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Char(_) => {}
            }
        }
        Some(())
    }

    /// One or more of these, with commas between.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut items = vec![item(self)?];
        while self.char(',') {
            items.push(item(self)?);
        }
        Some(items)
    }

    /// `( item, item, .. )`.
    pub fn list_in_parentheses<T>(&mut self, item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.expect('(')?;
        let items = self.list(item)?;
        self.expect(')')?;
        Some(items)
    }
}
