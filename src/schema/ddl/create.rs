//! CREATE TABLE. With a SELECT its columns are not to be known from the text: the server logs such a statement with all
//! of them and START TRANSACTION when it logs rows.

use super::index::Key;
use super::parser::Parser;
use crate::schema::change::{CreateTable, CreatedShape, KeyColumn, SchemaChange, WrittenColumn};

/// One of the things between a table's parentheses.
pub(super) enum Element {
    Column(WrittenColumn),
    Key(Key),
}

impl Parser<'_> {
    /// What follows CREATE TABLE. `replaces` is MariaDB's OR REPLACE.
    pub(super) fn create_table(&mut self, replaces: bool) -> Option<Vec<SchemaChange>> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let name = self.table()?;
        let shape = self.created_shape()?;
        self.end()?;
        let dropped = replaces.then(|| SchemaChange::Drop(name.clone()));
        let (cascades, has_other_engine) = (self.cascades, self.has_other_engine);
        let created = CreateTable { name, if_not_exists, shape, cascades, has_other_engine };
        Some(dropped.into_iter().chain([SchemaChange::Create(Box::new(created))]).collect())
    }

    fn created_shape(&mut self) -> Option<CreatedShape> {
        if self.word("LIKE") {
            return self.table().map(CreatedShape::Like);
        }
        self.expect('(')?;
        if self.word("LIKE") {
            let like = self.table()?;
            self.expect(')')?;
            return Some(CreatedShape::Like(like));
        }
        let elements = self.list(Self::element)?;
        self.expect(')')?;
        let charset = self.options_of_created()?;
        written(elements, charset)
    }

    /// A column, a key or a constraint. MariaDB's `PERIOD FOR` is none of them.
    pub(super) fn element(&mut self) -> Option<Element> {
        if !self.is_key_or_constraint() {
            return self.column().map(Element::Column);
        }
        self.key_or_constraint().map(Element::Key)
    }

    /// Options with or without commas between them, then partitions; the default character set.
    fn options_of_created(&mut self) -> Option<Option<String>> {
        let mut charset = None;
        while self.table_option(&mut charset)? {
            self.char(',');
        }
        if self.words(&["PARTITION", "BY"]) {
            self.partition_by()?;
        }
        Some(charset)
    }
}

/// A table has at most one PRIMARY KEY.
fn written(elements: Vec<Element>, charset: Option<String>) -> Option<CreatedShape> {
    let mut columns = Vec::new();
    let (mut keys, mut unique) = (Vec::new(), Vec::new());
    for element in elements {
        match element {
            Element::Column(column) => {
                if column.is_unique {
                    unique.push(vec![KeyColumn { name: column.name.clone(), prefix: None }]);
                }
                columns.push(column);
            }
            Element::Key(Key::Primary(key)) => keys.push(key),
            Element::Key(Key::Unique(key)) => unique.extend(key),
            Element::Key(Key::Constraint | Key::Other) => {}
        }
    }
    let key = keys.pop().unwrap_or_default();
    keys.is_empty().then_some(CreatedShape::Written { columns, key, unique, charset })
}
