//! Which tables a statement touches: its text as the binlog has it, the names it names.
//!
//! The forms that change tables are parsed exactly; statements that can change neither rows nor columns of a table are
//! known by their first words. Everything else may touch every name that occurs in it: in doubt the answer is
//! [`Touched::Maybe`] or [`Touched::Anything`], never [`Touched::Nothing`]. Names are as written: comparing them under
//! `lower_case_table_names` is the caller's part. The forms are those measured on MySQL 9.7.

use super::parser::Parser;
use super::tokens::{Token, Tokens, stored_name};
use crate::schema::types::TableName;
use std::collections::BTreeSet;

/// What a statement touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Touched {
    /// No table's rows or columns.
    Nothing,
    /// These tables, exactly.
    Tables(Vec<TableName>),
    /// This table, unless it exists already: `CREATE TABLE IF NOT EXISTS` is logged even when it does nothing.
    CreatedIfMissing(TableName),
    /// Every table of this database.
    Database(String),
    /// Some of these, or none: every name in the text, with the default database where it has none.
    Maybe(Vec<TableName>),
    /// Perhaps tables that the text does not name, or names that cannot be read.
    Anything,
}

/// What the statement `sql` touches, run in `default_database` under `sql_mode`.
pub fn touched(sql: &str, default_database: &str, sql_mode: u64) -> Touched {
    let mut reader = Reader(Parser::new(sql, default_database, sql_mode));
    let touched = reader.statement().unwrap_or_else(|| maybe(Tokens::new(sql, sql_mode), default_database));
    if has_unreadable_name(&touched) { Touched::Anything } else { touched }
}

/// Characters that could not be decoded are U+FFFD; a name with one may be any name.
fn has_unreadable_name(touched: &Touched) -> bool {
    let is_unreadable = |name: &str| name.contains(char::REPLACEMENT_CHARACTER);
    match touched {
        Touched::Tables(tables) | Touched::Maybe(tables) => {
            tables.iter().any(|table| is_unreadable(&table.database) || is_unreadable(&table.table))
        }
        Touched::CreatedIfMissing(table) => is_unreadable(&table.database) || is_unreadable(&table.table),
        Touched::Database(database) => is_unreadable(database),
        Touched::Nothing | Touched::Anything => false,
    }
}

/// More names than a hand-written statement has; beyond it their list is worth less than its memory.
const CANDIDATES_MAX: usize = 10_000;

/// Objects whose statements begin CREATE, ALTER or DROP and touch no table's rows or columns.
const OTHER_OBJECTS: [&str; 18] = [
    "VIEW",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "EVENT",
    "USER",
    "ROLE",
    "SERVER",
    "LOGFILE",
    "TABLESPACE",
    "UNDO",
    "RESOURCE",
    "LIBRARY",
    "ALGORITHM",
    "DEFINER",
    "SQL",
    "AGGREGATE",
    "INSTANCE",
];

/// Recursive descent; `None` means: not a form known here.
struct Reader<'a>(Parser<'a>);

impl Reader<'_> {
    fn statement(&mut self) -> Option<Touched> {
        let verb = self.0.keyword()?;
        self.0.take();
        match verb.as_str() {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => self.truncate(),
            "GRANT" | "REVOKE" | "OPTIMIZE" | "REPAIR" | "CHECK" | "CHECKSUM" | "FLUSH" | "INSTALL" | "UNINSTALL" => {
                Some(Touched::Nothing)
            }
            // MariaDB runs the statement after ANALYZE, and that after SET STATEMENT .. FOR.
            "ANALYZE" => {
                self.0.word_of(&["TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"]).then_some(Touched::Nothing)
            }
            "SET" => self.0.word_of(&["PASSWORD", "DEFAULT", "ROLE", "RESOURCE"]).then_some(Touched::Nothing),
            // In statement format a call of a function that writes; IMPORT names files.
            "SELECT" | "DO" | "CALL" | "IMPORT" | "EXECUTE" => Some(Touched::Anything),
            _ => None,
        }
    }

    fn create(&mut self) -> Option<Touched> {
        if self.0.words(&["OR", "REPLACE"]) {
            return self.0.word_of(&["VIEW", "ALGORITHM", "DEFINER", "SQL", "SPATIAL"]).then_some(Touched::Nothing);
        }
        if self.0.words(&["TEMPORARY", "TABLE"]) || self.0.words(&["SPATIAL", "REFERENCE"]) {
            return Some(Touched::Nothing);
        }
        if self.0.word_of(&["DATABASE", "SCHEMA"]) || self.0.word_of(&OTHER_OBJECTS) {
            return Some(Touched::Nothing);
        }
        if self.0.word_of(&["TABLE"]) {
            return self.create_table();
        }
        self.0.word_of(&["UNIQUE", "FULLTEXT", "SPATIAL"]);
        if !self.0.word_of(&["INDEX"]) {
            return None;
        }
        self.0.identifier()?;
        if self.0.word_of(&["USING", "TYPE"]) {
            self.0.identifier()?;
        }
        self.on_table()
    }

    fn create_table(&mut self) -> Option<Touched> {
        if self.0.words(&["IF", "NOT", "EXISTS"]) {
            return Some(Touched::CreatedIfMissing(self.0.table()?));
        }
        Some(Touched::Tables(vec![self.0.table()?]))
    }

    fn alter(&mut self) -> Option<Touched> {
        if self.0.word_of(&["DATABASE", "SCHEMA"]) || self.0.word_of(&OTHER_OBJECTS) {
            return Some(Touched::Nothing);
        }
        if !self.0.word_of(&["TABLE"]) {
            return None;
        }
        let mut tables = vec![self.0.table()?];
        self.other_tables_of_alter(&mut tables)?;
        Some(Touched::Tables(tables))
    }

    /// Goes through the clauses for a new name and for a table that partitions are exchanged with.
    fn other_tables_of_alter(&mut self, tables: &mut Vec<TableName>) -> Option<()> {
        let mut depth = 0_usize;
        while let Some(token) = self.0.take() {
            match token {
                Token::Char('(') => depth += 1,
                Token::Char(')') => depth = depth.checked_sub(1)?,
                Token::Word(word) if depth == 0 && word.eq_ignore_ascii_case("RENAME") => {
                    if !self.0.word_of(&["COLUMN", "INDEX", "KEY"]) {
                        tables.push(self.new_name()?);
                    }
                }
                Token::Word(word)
                    if depth == 0 && word.eq_ignore_ascii_case("EXCHANGE") && self.0.word_of(&["PARTITION"]) =>
                {
                    self.0.identifier()?;
                    tables.push(if self.0.words(&["WITH", "TABLE"]) { self.0.table()? } else { return None });
                }
                Token::Word(_) | Token::Name(_) | Token::Text(_) | Token::Char(_) => {}
            }
        }
        Some(())
    }

    /// What follows RENAME in ALTER TABLE. A table may not be called by one of the words before its new name.
    fn new_name(&mut self) -> Option<TableName> {
        if !self.0.word_of(&["TO", "AS"]) {
            self.0.char('=');
        }
        self.0.table()
    }

    fn drop(&mut self) -> Option<Touched> {
        if self.0.word_of(&["TEMPORARY"]) || self.0.words(&["SPATIAL", "REFERENCE"]) || self.0.word_of(&OTHER_OBJECTS) {
            return Some(Touched::Nothing);
        }
        if self.0.word_of(&["DATABASE", "SCHEMA"]) {
            self.0.words(&["IF", "EXISTS"]);
            return Some(Touched::Database(self.0.identifier()?));
        }
        if self.0.word_of(&["INDEX"]) {
            self.0.identifier()?;
            return self.on_table();
        }
        if !self.0.word_of(&["TABLE", "TABLES"]) {
            return None;
        }
        self.0.words(&["IF", "EXISTS"]);
        let mut tables = vec![self.0.table()?];
        while self.0.char(',') {
            tables.push(self.0.table()?);
        }
        self.0.word_of(&["RESTRICT", "CASCADE"]);
        self.end(Touched::Tables(tables))
    }

    fn rename(&mut self) -> Option<Touched> {
        if self.0.word_of(&["USER"]) {
            return Some(Touched::Nothing);
        }
        if !self.0.word_of(&["TABLE", "TABLES"]) {
            return None;
        }
        let mut tables = Vec::new();
        loop {
            tables.push(self.0.table()?);
            if !self.0.word_of(&["TO"]) {
                return None;
            }
            tables.push(self.0.table()?);
            if !self.0.char(',') {
                return self.end(Touched::Tables(tables));
            }
        }
    }

    fn truncate(&mut self) -> Option<Touched> {
        self.0.word_of(&["TABLE"]);
        let table = self.0.table()?;
        self.end(Touched::Tables(vec![table]))
    }

    fn on_table(&mut self) -> Option<Touched> {
        if !self.0.word_of(&["ON"]) {
            return None;
        }
        Some(Touched::Tables(vec![self.0.table()?]))
    }

    /// Only at the text's end, a `;` apart.
    fn end(&mut self, touched: Touched) -> Option<Touched> {
        self.0.end()?;
        Some(touched)
    }
}

/// Every name in the text as a table of the default database, and every `a.b` as a table too.
fn maybe(tokens: Tokens<'_>, default_database: &str) -> Touched {
    let mut tables = BTreeSet::new();
    let (mut before, mut is_after_dot): (Option<String>, bool) = (None, false);
    for token in tokens {
        let name = match token {
            Token::Word(word) if is_after_dot || !is_number(word) => stored_name(word.to_owned()),
            Token::Name(name) => stored_name(name.into_owned()),
            Token::Char('.') => {
                is_after_dot = before.is_some();
                continue;
            }
            Token::Word(_) | Token::Text(_) | Token::Char(_) => {
                (before, is_after_dot) = (None, false);
                continue;
            }
        };
        if let Some(database) = before.filter(|_| is_after_dot) {
            tables.insert(TableName { database, table: name.clone() });
        }
        tables.insert(TableName { database: default_database.to_owned(), table: name.clone() });
        if tables.len() > CANDIDATES_MAX {
            return Touched::Anything;
        }
        // Of a.b.c the third is a column.
        before = (!is_after_dot).then_some(name);
        is_after_dot = false;
    }
    Touched::Maybe(tables.into_iter().collect())
}

/// A name of digits alone needs quotes, unless a dot is before it.
fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tables: &[TableName]) -> String {
        tables.iter().map(plain).collect::<Vec<_>>().join(" ")
    }

    fn plain(table: &TableName) -> String {
        format!("{}.{}", table.database, table.table)
    }

    fn show(touched: &Touched) -> String {
        match touched {
            Touched::Nothing => "nothing".to_owned(),
            Touched::Tables(tables) => names(tables),
            Touched::CreatedIfMissing(table) => format!("{}?", plain(table)),
            Touched::Database(database) => format!("{database}.*"),
            Touched::Maybe(tables) => format!("maybe {}", names(tables)),
            Touched::Anything => "anything".to_owned(),
        }
    }

    fn check(sql: &str, expected: &str) {
        assert_eq!(show(&touched(sql, "d", 0)), expected, "{sql}");
    }

    #[test]
    fn create() {
        check("create table t (a int)", "d.t");
        check("CREATE TABLE x.t LIKE y.u", "x.t");
        check("create table `n 16`.x (a int)", "n 16.x");
        check("create table t./*c*/cm(a int)", "t.cm");
        check("create\ttable\nn24(a int)", "d.n24");
        check("create table \u{1f42c} (a int)", "d.?");
        check("create or replace table `é\u{1f42c}`", "maybe d.create d.or d.replace d.table d.é?");
        check(
            "/*!40101 create */ table n13 /*!50100 (a int) */ /* 99999 nonsense ( */ /*!80000 comment='z' */",
            "d.n13",
        );
        check("create /* c1 */ table /*! if not exists */ n14 -- c2\n( a int # c3\n)", "d.n14?");
        check("create table if not exists db.t (a int)", "db.t?");
        check("create table 1n28 (1a int)", "d.1n28");
        check("create table .t (a int)", "d.t");
        check("create table `we``ird ; -- x` (a int)", "d.we`ird ; -- x");
        check("CREATE TABLE `ctas` (\n  `x` int NOT NULL DEFAULT '0'\n) START TRANSACTION", "d.ctas");
        check("create temporary table t (a int)", "nothing");
        check("create unique index i on t (a)", "d.t");
        check("create index `i` using btree on x.t (a) comment 'x'", "x.t");
        check("create spatial index i on t (g)", "d.t");
        check("create or replace table t (a int)", "maybe d.a d.create d.int d.or d.replace d.t d.table");
        check("create", "maybe d.create");
    }

    #[test]
    fn alter() {
        check("alter table t", "d.t");
        check("alter table x.t add a int", "x.t");
        check("alter table t2.x rename y", "t2.x d.y");
        check("alter table t rename to t2.y", "d.t t2.y");
        check("alter table n01r rename as n01", "d.n01r d.n01");
        check("alter table n01 rename = n01q", "d.n01 d.n01q");
        check("alter table nasty.n22 add a2 int, rename to nasty.n22z, add a3 int", "nasty.n22 nasty.n22z");
        check("alter table t rename column a to b, rename key k to k2, rename index i to j", "d.t");
        check("alter table t add `rename` int, add b int as (`rename` + 1)", "d.t");
        check("alter table t exchange partition p0 with table x.u without validation", "d.t x.u");
        check("alter table t add exchange int", "d.t");
        check("alter table t add c varchar(9) default 'a) rename to b'", "d.t");
        check("alter table t rename", "maybe d.alter d.rename d.t d.table");
    }

    #[test]
    fn drop_rename_truncate() {
        check("DROP TABLE IF EXISTS `a`,`db2`.`b` /* generated by server */", "d.a db2.b");
        check("drop tables t restrict", "d.t");
        check("drop /* gh-ost */ table if exists `x`.`_t_gho`", "x._t_gho");
        check("DROP TEMPORARY TABLE IF EXISTS `t`", "nothing");
        check("drop index i on x.t", "x.t");
        check("drop schema `d-1`", "d-1.*");
        check("drop database if exists d2", "d2.*");
        check("drop table t, view", "d.t d.view");
        check("rename table a to b, x.c to d, d to y.e", "d.a d.b x.c d.d d.d y.e");
        check("rename /* gh-ost */ table t to _t_del, _t_gho to t", "d.t d._t_del d._t_gho d.t");
        check("rename tables a to", "maybe d.a d.rename d.tables d.to");
        check("truncate t", "d.t");
        check("TRUNCATE TABLE `t`.`mem` /* generated by server, implicitly emptying in-memory table */", "t.mem");
        check("truncate table nasty . n14;", "nasty.n14");
        check("truncate table", "maybe d.table d.truncate");
    }

    #[test]
    fn statements_that_touch_no_table() {
        for sql in [
            "GRANT SELECT ON t TO u",
            "revoke all on *.* from u",
            "CREATE USER 'u'@'%' IDENTIFIED WITH 'caching_sha2_password' AS '\u{fffd}'",
            "CREATE ALGORITHM=UNDEFINED DEFINER=`root`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1 from t",
            "CREATE DEFINER=`root`@`%` PROCEDURE p() begin delete from t; end",
            "create or replace view v as select * from t",
            "CREATE AGGREGATE FUNCTION f RETURNS STRING SONAME 'x.so'",
            "create database x",
            "alter schema x read only = 1",
            "ALTER USER u IDENTIFIED BY 'x'",
            "drop view if exists nv2, n01",
            "DROP TRIGGER x.tr",
            "rename user a to b",
            "analyze table t",
            "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
            "optimize table t",
            "FLUSH TABLES t",
            "SET PASSWORD FOR 'u'@'%'='x'",
            "SET DEFAULT ROLE r TO u",
        ] {
            check(sql, "nothing");
        }
    }

    #[test]
    fn all_else_may_touch_every_name_in_it() {
        check("insert into t values ('x.y', \"z\")", "maybe d.insert d.into d.t d.values");
        check("UPDATE `a`.`b` c SET c.d=1", "maybe a.b c.d d.SET d.UPDATE d.a d.b d.c d.d");
        check("delete from x.y.*", "maybe d.delete d.from d.x d.y x.y");
        check("analyze update t set a=1", "maybe d.a d.analyze d.set d.t d.update");
        check(
            "set statement max_statement_time=1 for delete from t",
            "maybe d.delete d.for d.from d.max_statement_time d.set d.statement d.t",
        );
        check(
            "insert into a.1 values (2, 1.5, -.5, x.`y`.z)",
            "maybe a.1 d.1 d.a d.insert d.into d.values d.x d.y d.z x.y",
        );
        check("(select 1)", "maybe d.select");
        check("", "maybe ");
        check("SELECT `d`.`f`()", "anything");
        check("call p()", "anything");
        let many: String = (0..=CANDIDATES_MAX).map(|number| format!("c{number},")).collect();
        check(&format!("insert into t values ({many}1)"), "anything");
    }

    #[test]
    fn names_that_cannot_be_read_may_be_any() {
        check("drop table \u{fffd}\u{fffd}", "anything");
        check("insert into \u{fffd} values (1)", "anything");
        check("alter table t add c int comment '\u{fffd}'", "d.t");
    }

    #[test]
    fn quotes_follow_the_mode() {
        let check = |sql, sql_mode, expected: &str| assert_eq!(show(&touched(sql, "d", sql_mode)), expected, "{sql}");
        check("create table \"an\"\"q\"(\"a b\" int)", 4, "d.an\"q");
        check("create table \"t\" (a int)", 0, "maybe d.a d.create d.int d.table");
        check(r"create table nbe(b varchar(20) default 'x\', c char(1) comment '\')", 0x10_0000, "d.nbe");
        check(r"alter table a add c char(9) default 'x\' comment 'y', rename to b", 0x10_0000, "d.a d.b");
    }
}
