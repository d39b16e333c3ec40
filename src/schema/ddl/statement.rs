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

/// The first word of a statement, in upper case.
pub fn verb(sql: &str, sql_mode: u64) -> Option<String> {
    Parser::new(sql, "", sql_mode).keyword()
}

/// Whether a statement begins like one that changes tables, databases or indexes, and so is logged as it is: what others
/// change is logged as rows.
pub fn is_schema_change(sql: &str, sql_mode: u64) -> bool {
    let verbs = ["CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE", "IMPORT"];
    verb(sql, sql_mode).is_some_and(|verb| verbs.contains(&verb.as_str()))
}

/// The modes that decide what a statement means, with their bits.
const SQL_MODES: [(&str, u64); 5] = [
    ("REAL_AS_FLOAT", 1),
    ("ANSI_QUOTES", 1 << 2),
    ("NO_BACKSLASH_ESCAPES", 1 << 20),
    ("STRICT_TRANS_TABLES", 1 << 21),
    ("STRICT_ALL_TABLES", 1 << 22),
];

/// `@@sql_mode` as the binary log has it, as far as it matters, from its names.
pub fn sql_mode_bits(names: &str) -> u64 {
    let bit = |name: &str| SQL_MODES.iter().find(|(known, _)| *known == name).map_or(0, |(_, bit)| *bit);
    names.split(',').map(bit).fold(0, |bits, bit| bits | bit)
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
            "OPTIMIZE" => Some(Self::optimize),
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

    /// With a FULLTEXT index it is `ALTER TABLE .. FORCE, ALGORITHM = COPY`.
    fn optimize(&mut self) -> Option<Vec<SchemaChange>> {
        self.take();
        self.word_of(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
        self.word_of(&["TABLE", "TABLES"]).then_some(())?;
        let tables = self.list(Self::table)?;
        self.end()?;
        Some(tables.into_iter().map(SchemaChange::Rebuilt).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::change::{AlterAction, CreatedShape, KeyColumn, Place, WrittenColumn};

    /// Changes in few words; `?` for a statement that is not understood.
    fn show(sql: &str, sql_mode: u64) -> String {
        let Some(changes) = parse(sql, "d", sql_mode) else { return "?".to_owned() };
        let is_told = |change: &&SchemaChange| !matches!(change, SchemaChange::Rebuilt(_));
        changes.iter().filter(is_told).map(change).collect::<Vec<_>>().join("; ")
    }

    fn change(change: &SchemaChange) -> String {
        match change {
            SchemaChange::Create(create) => {
                let missing = if create.if_not_exists { " if missing" } else { "" };
                match &create.shape {
                    CreatedShape::Like(like) => format!("create{missing} {} like {like}", create.name),
                    CreatedShape::Written { columns, key, unique, charset } => {
                        let columns: Vec<String> = columns.iter().map(column).collect();
                        let charset = charset.iter().map(|charset| format!(" {charset}")).collect::<String>();
                        let unique = unique.iter().map(|key| format!(" unique{}", show_key(key))).collect::<String>();
                        let key = show_key(key);
                        let cascades = if create.cascades { " cascades" } else { "" };
                        let columns = columns.join(", ");
                        format!("create{missing} {} ({columns}){key}{unique}{charset}{cascades}", create.name)
                    }
                }
            }
            SchemaChange::Alter(alter) => {
                format!("alter {}: {}", alter.name, alter.actions.iter().map(action).collect::<Vec<_>>().join(", "))
            }
            SchemaChange::Rename { from, to } => format!("{from} to {to}"),
            SchemaChange::Drop(name) => format!("drop {name}"),
            SchemaChange::Truncate(name) => format!("truncate {name}"),
            SchemaChange::Rewrite(name, what) => format!("{what} {name}"),
            SchemaChange::UniqueKeys(name) => format!("unique {name}"),
            SchemaChange::Cascades(name) => format!("cascades {name}"),
            SchemaChange::Rebuilt(_) => String::new(),
            SchemaChange::Database { name, charset, statement } => format!("{statement:?} {name} {charset:?}"),
            SchemaChange::DropDatabase(name) => format!("drop database {name}"),
        }
    }

    fn show_key(key: &[KeyColumn]) -> String {
        let prefix = |column: &KeyColumn| column.prefix.map_or(String::new(), |length| format!("({length})"));
        let part = |column: &KeyColumn| format!(" key {}{}", column.name, prefix(column));
        key.iter().map(part).collect()
    }

    fn action(action: &AlterAction) -> String {
        match action {
            AlterAction::Add(new, place) => format!("add {}{}", column(new), show_place(place)),
            AlterAction::Change(old, new, place) => format!("change {old} {}{}", column(new), show_place(place)),
            AlterAction::Drop(name) => format!("drop {name}"),
            AlterAction::Rename(old, new) => format!("rename {old} {new}"),
            AlterAction::DropKey => "drop key".to_owned(),
            AlterAction::AddKey(key) => format!("add{}", show_key(key)),
            AlterAction::ConvertTo(charset) => format!("convert {charset:?}"),
            AlterAction::DefaultCharset(charset) => format!("default {charset}"),
            AlterAction::Unclear(what) => format!("unclear {what}"),
        }
    }

    fn show_place(place: &Place) -> String {
        match place {
            Place::Unsaid => String::new(),
            Place::First => " first".to_owned(),
            Place::After(name) => format!(" after {name}"),
        }
    }

    fn column(column: &WrittenColumn) -> String {
        let numbers = (!column.numbers.is_empty()).then(|| format!("{:?}", column.numbers));
        let labels = (!column.labels.is_empty()).then(|| format!("{:?}", column.labels));
        let initial =
            (column.initial != crate::schema::change::Initial::Implicit).then(|| format!(" {:?}", column.initial));
        let flags = [
            (column.unsigned, " unsigned"),
            (column.not_null, " not null"),
            (column.is_key, " key"),
            (column.is_generated, " generated"),
        ];
        let flags: String = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
        let charset = column.charset.iter().map(|charset| format!(" {charset}")).collect::<String>();
        let parts = [numbers, labels, initial].map(Option::unwrap_or_default).concat();
        format!("{} {}{parts}{charset}{flags}", column.name, column.data_type)
    }

    fn check(sql: &str, expected: &str) {
        assert_eq!(show(sql, 0), expected, "{sql}");
    }

    fn check_column(text: &str, expected: &str) {
        let is_unique = text.contains("unique") || text.contains("serial");
        let (key, keys) = if is_unique { (" unique key c", "; unique d.t") } else { ("", "") };
        check(&format!("create table t (c {text})"), &format!("create d.t (c {expected}){key}"));
        check(&format!("alter table t add c {text}, drop x"), &format!("alter d.t: add c {expected}, drop x{keys}"));
    }

    #[test]
    fn modes_and_first_words_decide_how_a_statement_is_read() {
        assert_eq!(sql_mode_bits("ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY"), 0x10_0004);
        assert_eq!((sql_mode_bits(""), sql_mode_bits("STRICT_TRANS_TABLES,REAL_AS_FLOAT")), (0, 0x20_0001));
        let check = |sql: &str, expected: bool| assert_eq!(is_schema_change(sql, 0), expected, "{sql}");
        check("-- x\n alter table t add x int", true);
        check("/*!50000 CREATE */ TABLE t (id int)", true);
        check("insert into t values (1)", false);
        check("`create` table", false);
        check("", false);
    }

    #[test]
    fn what_may_make_all_rows_anew() {
        let check = |sql: &str, expected: bool| {
            let changes = parse(sql, "d", 0).unwrap_or_else(|| panic!("{sql}"));
            let is_rebuilt = changes.iter().any(|change| matches!(change, SchemaChange::Rebuilt(_)));
            assert_eq!(is_rebuilt, expected, "{sql}");
        };
        for clause in [
            "add x int",
            "add (x int)",
            "modify x int",
            "drop x",
            "convert to character set latin1",
            "force",
            "engine innodb",
            "row_format = compressed",
            "partition by hash (id)",
            "remove partitioning",
            "add check (x > 0)",
            "add foreign key (x) references p (id)",
            "add primary key (x)",
            "alter check c enforced",
            "algorithm copy",
            "comment = 'x', algorithm = copy",
        ] {
            check(&format!("alter table t {clause}"), true);
            check(&format!("alter table t {clause}, algorithm = instant"), false);
        }
        for clause in [
            "add key (x)",
            "add fulltext (x)",
            "drop key x",
            "rename column x to y",
            "alter x set default 1",
            "alter index x invisible",
            "comment 'x'",
            "rename to u",
            "algorithm default",
            "drop check c",
            "add partition partitions 2",
        ] {
            check(&format!("alter table t {clause}"), false);
        }
        check("alter table t order by x", true);
        check("optimize local table t, u", true);
        check("create index i on t (x)", false);
    }

    #[test]
    fn types_and_their_aliases() {
        for (text, expected) in [
            ("int(10)unsigned zerofill", "int[10] unsigned"),
            ("INT1", "tinyint"),
            ("middleint signed", "mediumint"),
            ("bool", "tinyint"),
            ("serial", "bigint Unknown unsigned not null"),
            ("dec(5 , 2)", "decimal[5, 2]"),
            ("double precision", "double"),
            ("float(24)", "float[24]"),
            ("float(25)", "double[25]"),
            ("float(30, 2)", "float[30, 2]"),
            ("char varying(3)", "varchar[3]"),
            ("national char varying(3)", "varchar[3] utf8mb3"),
            ("nchar(3) binary", "char[3] utf8mb3"),
            ("long", "mediumtext"),
            ("long varbinary", "mediumblob"),
            ("varchar(3) byte", "varchar[3] binary"),
            ("char(3) ascii", "char[3] latin1"),
            ("char(3) unicode binary", "char[3] ucs2"),
            ("text charset utf8 collate utf8_bin", "text utf8mb3"),
            ("varchar(9) collate latin1_german1_ci", "varchar[9] latin1"),
            ("enum('a,b','c''d', \"e\")not null", r#"enum["a,b", "c'd", "e"] not null"#),
            ("set(0xc3a9, b'01100001') charset utf8mb4", r#"set["é", "a"] utf8mb4"#),
            ("float(10.3)", "float[10]"),
            ("geometrycollection srid 4326", "geomcollection"),
            ("datetime(6)null", "datetime[6]"),
        ] {
            check_column(text, expected);
        }
        assert_eq!(show("create table t (c real, d double)", 1), "create d.t (c float, d double)");
    }

    #[test]
    fn attributes() {
        for (text, expected) in [
            ("int default -5 not null comment 'x' primary key", "int Number(\"-5\") not null key"),
            ("int key default 1.5e-3", "int Number(\"1.5e-3\") key"),
            ("int unique key default .5", "int Number(\".5\")"),
            ("char default 'a' 'b'", "char Text(\"ab\")"),
            ("char default null", "char Null"),
            ("char default _utf8mb4'x' unique", "char Text(\"x\")"),
            ("char default _latin1 x'41' not null", "char Unknown not null"),
            ("bit default b'1'", "bit Unknown"),
            ("int default true invisible", "int Number(\"1\")"),
            ("json default (json_array(')'))", "json Unknown"),
            ("timestamp default now() on update localtimestamp", "timestamp Unknown"),
            ("int not null null", "int"),
            ("int auto_increment", "int Unknown not null"),
            ("int as (a + (b)) stored not null", "int Unknown not null generated"),
            ("text collate utf8mb4_bin generated always as ('x') virtual", "text Unknown utf8mb4 generated"),
            ("int masking policy p not null", "int not null"),
            ("int references x.y (a, b) match full on delete restrict on update no action", "int"),
            ("int constraint k check (c > 0) not enforced not null check (1)", "int not null"),
            ("int column_format fixed storage disk engine_attribute = '{}'", "int"),
        ] {
            check_column(text, expected);
        }
    }

    #[test]
    fn tables() {
        for (sql, expected) in [
            ("create table if not exists x.t(a int);", "create if missing x.t (a int)"),
            ("create table t like u", "create d.t like d.u"),
            ("create table t (like x.u)", "create d.t like x.u"),
            ("create or replace table t (a int)", "drop d.t; create d.t (a int)"),
            (
                "create table t (a int, primary key using btree (a, b(3) desc) comment 'x', b text)",
                "create d.t (a int, b text) key a key b(3)",
            ),
            (
                "create table t (a int, key (a), unique u type btree (a), check (a), constraint f foreign key (a) references x (y), index i ((a+1)) invisible)",
                "create d.t (a int) unique key a",
            ),
            (
                "create table t (a int, foreign key (a) references x (y) on delete set default)",
                "create d.t (a int) cascades",
            ),
            (
                "create table t (a int unique, unique key (b(3), c), unique ((a + 1)))",
                "create d.t (a int) unique key a unique key b(3) key c",
            ),
            (
                "create table t (a int) default charset = latin1, collate latin1_bin engine x partition by list (a) (partition p values in (1))",
                "create d.t (a int) latin1",
            ),
            ("CREATE TABLE `t` (`a` int) START TRANSACTION", "create d.t (a int)"),
            ("/*!40101 create */ table t /*!50100 (a int) */ /* 99999 x ( */", "create d.t (a int)"),
            ("create temporary table t (a int)", ""),
            ("drop table if exists a, `x`.`b` /* generated by server */", "drop d.a; drop x.b"),
            ("rename table a to b, b to x.c", "d.a to d.b; d.b to x.c"),
            ("truncate t", "truncate d.t"),
            ("create unique index i using btree on t (a) algorithm=inplace lock none", "unique d.t"),
            ("create index i on t (a)", ""),
            ("create unique index i on t ((a + 1))", "unique d.t"),
            ("drop index i on t", "unique d.t"),
            ("drop index `PRIMARY` on x.t", "alter x.t: drop key"),
            ("create view v as select 1", ""),
            ("optimize table t", ""),
        ] {
            check(sql, expected);
        }
    }

    #[test]
    fn clauses_of_alter_table() {
        for (clauses, expected) in [
            ("", ""),
            ("engine=innodb, engine blackhole", "another ENGINE d.t"),
            ("add foreign key (a) references x (y) on delete restrict on update set null", "cascades d.t"),
            (
                "add (b int references x (y) on delete cascade), rename to u",
                "alter d.t: add b int; cascades d.t; d.t to d.u",
            ),
            ("engine=innodb, force, comment 'x' row_format=compact, order by a desc, b", ""),
            (
                "add (a int, key (a), primary key (a)), add column b int first",
                "alter d.t: add a int, add key a, add b int first",
            ),
            ("change `a``` b int after c, modify column c text", "alter d.t: change a` b int after c, change c c text"),
            ("rename column a to b, rename index i to j, rename to u", "alter d.t: rename a b; d.t to d.u"),
            ("rename = x.u, add a int", "alter d.t: add a int; d.t to x.u"),
            (
                "drop a, drop column b cascade, drop primary key, drop key k, drop foreign key f, drop check c",
                "alter d.t: drop a, drop b, drop key; unique d.t",
            ),
            ("add a int unique, rename to u", "alter d.t: add a int; unique d.t; d.t to d.u"),
            ("add (a int, unique (a)), add key (a)", "alter d.t: add a int; unique d.t"),
            ("modify a serial", "alter d.t: change a a bigint Unknown unsigned not null; unique d.t"),
            ("drop constraint `primary`, add constraint primary key p (c)", "alter d.t: drop key, add key c"),
            ("alter a drop masking policy, alter a set masking policy p, alter b set invisible", ""),
            (
                "alter a set default (1 + 1), alter column b drop default, alter index i invisible, alter check c not enforced",
                "",
            ),
            (
                "convert to character set utf8, default collate = latin1_bin",
                "alter d.t: convert Some(\"utf8mb3\"), default latin1",
            ),
            ("convert to charset default", "alter d.t: convert None"),
            ("add a int partition by hash(a) partitions 4", "alter d.t: add a int"),
            ("drop partition p, q", "DROP PARTITION d.t"),
            (
                "exchange partition p with table x.y without validation",
                "EXCHANGE PARTITION d.t; EXCHANGE PARTITION x.y",
            ),
            ("import partition p tablespace", "IMPORT TABLESPACE d.t"),
            ("reorganize partition p into (partition q values in (1))", ""),
            ("drop column if exists a", "alter d.t: unclear DROP COLUMN IF EXISTS, drop a"),
            ("add system versioning", "alter d.t: unclear ADD SYSTEM VERSIONING"),
        ] {
            check(&format!("alter table t {clauses}"), expected);
        }
        check("alter ignore table t add unique (a)", "ALTER IGNORE d.t; unique d.t");
    }

    #[test]
    fn databases() {
        check(
            "create schema if not exists x default charset = utf8 encryption 'N'",
            "CreateIfMissing x Some(\"utf8mb3\")",
        );
        check("create database x default encryption='N'", "Create x None");
        check("alter database read only = 0 collate latin1_bin", "Alter d Some(\"latin1\")");
        check("alter database x charset latin1", "Alter x Some(\"latin1\")");
        check("drop database if exists x", "drop database x");
    }

    #[test]
    fn utf8_depends_on_the_mode() {
        let sql = "create table t (a char charset UTF8, b char collate utf8_bin, c nchar(2), d text charset utf8mb3)";
        let old = "create d.t (a char utf8mb3, b char utf8mb3, c char[2] utf8mb3, d text utf8mb3)";
        let new = "create d.t (a char utf8mb4, b char utf8mb4, c char[2] utf8mb3, d text utf8mb3)";
        assert_eq!((show(sql, 0).as_str(), show(sql, 1 << 33).as_str()), (old, new));
    }

    #[test]
    fn names_are_as_the_server_stores_them() {
        check("create table `a\u{1f42c}`.\u{1f42c} (é\u{1f42c} int)", "create `a?`.`?` (é? int)");
        check("drop table `\u{ffff}\u{10000}`", "drop d.`\u{ffff}?`");
    }

    #[test]
    fn quotes_follow_the_mode() {
        let sql = r#"create table "t" ("a""b" char default 'x\')"#;
        assert_eq!(show(sql, 0x10_0004), r#"create d.t (a"b char Text("x\\"))"#);
        assert_eq!(show(sql, 0), "?");
    }

    #[test]
    fn what_is_not_understood_is_nothing() {
        for sql in [
            "create table t (a int) select 1",
            "create table t select 1",
            "create table t (a int",
            "create table t (a nonsense)",
            "create table t (a int nonsense)",
            "create table t (a enum('\u{fffd}'))",
            "create table t (a enum(0x61))",
            "create table t (\u{fffd} int)",
            "create table t (a int, primary key (a), primary key (b))",
            "create table t (a int) with system versioning",
            "create sequence s",
            "alter table t add a int nonsense",
            "alter table t nonsense",
            "alter table t add",
            "rename table a to",
            "drop table a, ",
            "insert into t values (1)",
            "",
            "(",
        ] {
            check(sql, "?");
        }
    }

    #[test]
    fn deep_and_long_statements_end_soon() {
        let deep = "(".repeat(1 << 20);
        check(&format!("create table t (a int default {deep})"), "?");
        check(&format!("create table t (a int check {deep}"), "?");
        let long: String = (0..100_000).map(|number| format!("add c{number} int, ")).collect();
        assert_eq!(parse(&format!("alter table t {long} force"), "d", 0).map(|changes| changes.len()), Some(2));
    }
}
