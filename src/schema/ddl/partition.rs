//! Partitions: how a table is divided changes nothing, but clauses that remove, exchange or import one change rows
//! without row events.

use super::alter::Altering;
use super::parser::Parser;

/// Clauses that keep every row.
const KEEPING: [&str; 7] = ["REBUILD", "OPTIMIZE", "ANALYZE", "CHECK", "REPAIR", "COALESCE", "REORGANIZE"];

impl Parser<'_> {
    /// What follows PARTITION BY.
    pub(super) fn partition_by(&mut self) -> Option<()> {
        self.partition_function(&["RANGE", "LIST"])?;
        if self.word("PARTITIONS") {
            self.integer()?;
        }
        if self.words(&["SUBPARTITION", "BY"]) {
            self.partition_function(&[])?;
            if self.word("SUBPARTITIONS") {
                self.integer()?;
            }
        }
        if self.is_char('(') { self.parentheses() } else { Some(()) }
    }

    /// `[LINEAR] HASH (..)`, `[LINEAR] KEY [ALGORITHM = n] (..)`, or one of `others` with COLUMNS or without.
    fn partition_function(&mut self, others: &[&str]) -> Option<()> {
        if self.word_of(others) {
            self.word("COLUMNS");
            return self.parentheses();
        }
        self.word("LINEAR");
        if self.word("KEY") {
            if self.word("ALGORITHM") {
                self.option_value()?;
            }
        } else {
            self.expect_words(&["HASH"])?;
        }
        self.parentheses()
    }

    /// A clause of ALTER TABLE about partitions or the tablespace.
    pub(super) fn partition_clause(&mut self, keyword: &str, altering: &mut Altering) -> Option<()> {
        match keyword {
            "PARTITION" => {
                self.expect_words(&["PARTITION", "BY"])?;
                self.partition_by()
            }
            "REMOVE" => self.expect_words(&["REMOVE", "PARTITIONING"]),
            "UPGRADE" => self.expect_words(&["UPGRADE", "PARTITIONING"]),
            "TRUNCATE" => self.rewriting_partitions("TRUNCATE PARTITION", altering),
            "DISCARD" | "IMPORT" => self.tablespace(keyword, altering),
            "EXCHANGE" => self.exchange(altering),
            "SECONDARY_LOAD" | "SECONDARY_UNLOAD" => self.secondary_load(),
            _ if KEEPING.contains(&keyword) => self.keeping(),
            _ => None,
        }
    }

    /// What follows ADD PARTITION: new partitions are empty, and HASH and KEY only spread the rows anew.
    pub(super) fn added_partitions(&mut self) -> Option<()> {
        self.word_of(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        if self.word("PARTITIONS") { self.integer().map(|_| ()) } else { self.parentheses() }
    }

    /// DROP or TRUNCATE PARTITION, from its first word on.
    pub(super) fn rewriting_partitions(&mut self, what: &str, altering: &mut Altering) -> Option<()> {
        self.take();
        self.expect_words(&["PARTITION"])?;
        self.words(&["IF", "EXISTS"]);
        self.list(Self::identifier)?;
        altering.rewrites(what);
        Some(())
    }

    /// `DISCARD | IMPORT [PARTITION names] TABLESPACE`.
    fn tablespace(&mut self, keyword: &str, altering: &mut Altering) -> Option<()> {
        self.take();
        if self.word("PARTITION") {
            self.list(Self::identifier)?;
        }
        altering.rewrites(&format!("{keyword} TABLESPACE"));
        self.expect_words(&["TABLESPACE"])
    }

    /// `EXCHANGE PARTITION name WITH TABLE table [WITH | WITHOUT VALIDATION]`.
    fn exchange(&mut self, altering: &mut Altering) -> Option<()> {
        self.expect_words(&["EXCHANGE", "PARTITION"])?;
        self.identifier()?;
        self.expect_words(&["WITH", "TABLE"])?;
        let other = self.table()?;
        let _ = self.words(&["WITH", "VALIDATION"]) || self.words(&["WITHOUT", "VALIDATION"]);
        altering.rewrites("EXCHANGE PARTITION");
        altering.rewrites_other(other, "EXCHANGE PARTITION");
        Some(())
    }

    fn secondary_load(&mut self) -> Option<()> {
        self.take();
        if self.word("PARTITION") { self.parentheses() } else { Some(()) }
    }

    /// `.. PARTITION [NO_WRITE_TO_BINLOG] names | ALL | number [INTO (..)]`.
    fn keeping(&mut self) -> Option<()> {
        self.take();
        self.expect_words(&["PARTITION"])?;
        self.word_of(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        // REORGANIZE PARTITION alone spreads the rows of an older server's partitions anew.
        if self.keyword().is_some() || !self.is_end_of_clause() {
            self.list(Self::identifier)?;
        }
        if self.word("INTO") {
            return self.parentheses();
        }
        while self.word_of(&["QUICK", "FAST", "MEDIUM", "EXTENDED", "CHANGED", "USE_FRM"]) {}
        Some(())
    }
}
