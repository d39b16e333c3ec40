//! A column's definition in CREATE TABLE and ALTER TABLE: name, type and attributes.

use super::parser::Parser;
use crate::schema::change::{Initial, WrittenColumn};

impl Parser<'_> {
    /// `name type attributes`.
    pub(super) fn column(&mut self) -> Option<WrittenColumn> {
        let mut column = WrittenColumn { name: self.column_name()?, ..WrittenColumn::default() };
        self.data_type(&mut column)?;
        while let Some(keyword) = self.keyword() {
            if !self.attribute(&keyword, &mut column)? {
                break;
            }
        }
        if column.is_generated {
            column.initial = Initial::Unknown;
        }
        Some(column)
    }

    /// Takes one attribute; `false` when none is next.
    fn attribute(&mut self, keyword: &str, column: &mut WrittenColumn) -> Option<bool> {
        match keyword {
            "NOT" | "NULL" => self.nullability(column)?,
            "PRIMARY" | "KEY" | "UNIQUE" => self.key_attribute(column)?,
            "DEFAULT" => {
                self.take();
                column.initial = self.default_value()?;
            }
            "AUTO_INCREMENT" => {
                self.take();
                self.auto_increment(column);
            }
            "SERIAL" => {
                self.expect_words(&["SERIAL", "DEFAULT", "VALUE"])?;
                column.is_unique = true;
                self.auto_increment(column);
            }
            "COLLATE" => {
                self.take();
                self.char('=');
                column.charset = Some(self.charset_of_collation()?);
            }
            "GENERATED" | "AS" => self.generated(column)?,
            "STORED" | "PERSISTENT" => {
                self.take();
                column.is_virtual = false;
            }
            _ => return self.silent_attribute(keyword),
        }
        Some(true)
    }

    pub(super) fn auto_increment(&mut self, column: &mut WrittenColumn) {
        (column.not_null, column.is_auto_increment) = (true, true);
        column.initial = Initial::Unknown;
    }

    /// NULL, NOT NULL; NOT SECONDARY says nothing of it.
    fn nullability(&mut self, column: &mut WrittenColumn) -> Option<()> {
        if self.words(&["NOT", "SECONDARY"]) {
            return Some(());
        }
        column.not_null = self.word("NOT");
        self.expect_words(&["NULL"])
    }

    /// PRIMARY KEY, KEY (which is the same), UNIQUE, UNIQUE KEY.
    fn key_attribute(&mut self, column: &mut WrittenColumn) -> Option<()> {
        if self.word("UNIQUE") {
            column.is_unique = true;
            self.word("KEY");
            return Some(());
        }
        column.is_key = true;
        self.word("PRIMARY");
        self.expect_words(&["KEY"])
    }

    /// `[GENERATED ALWAYS] AS (expression)`.
    fn generated(&mut self, column: &mut WrittenColumn) -> Option<()> {
        self.words(&["GENERATED", "ALWAYS"]);
        self.expect_words(&["AS"])?;
        (column.is_generated, column.is_virtual) = (true, true);
        self.parentheses()
    }

    /// What is nothing to us.
    fn silent_attribute(&mut self, keyword: &str) -> Option<bool> {
        match keyword {
            "VISIBLE" | "INVISIBLE" | "VIRTUAL" => {
                self.take();
            }
            "ON" => {
                self.expect_words(&["ON", "UPDATE"])?;
                self.clock()?;
            }
            "COMMENT" => {
                self.take();
                self.text()?;
            }
            "COLUMN_FORMAT" | "STORAGE" => {
                self.take();
                self.identifier()?;
            }
            "SRID" => {
                self.take();
                self.integer()?;
            }
            "MASKING" => {
                self.expect_words(&["MASKING", "POLICY"])?;
                self.identifier()?;
            }
            "ENGINE_ATTRIBUTE" | "SECONDARY_ENGINE_ATTRIBUTE" => {
                self.take();
                self.char('=');
                self.text()?;
            }
            "CONSTRAINT" | "CHECK" => self.check()?,
            "REFERENCES" => self.references()?,
            _ => return Some(false),
        }
        Some(true)
    }

    /// `[CONSTRAINT [name]] CHECK (expression) [[NOT] ENFORCED]`.
    fn check(&mut self) -> Option<()> {
        self.constraint_name()?;
        self.expect_words(&["CHECK"])?;
        self.check_expression()
    }
}
