//! What must be right on a MySQL server before it is replicated: every problem in one run, each with its repair.
//!
//! [`check`] asks, [`problems`] judges and is pure. Stricter than a replica of MySQL must be, because a wrong setting
//! here means rows that cannot be carried over exactly, found later.

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Problem};
use crate::mysql::grants::Grants;
use crate::mysql::source::{ServerFacts, Source, quoted, quoted_name};
use crate::mysql::tables::{self, FoundTable, Wanted};
use crate::schema::catalog::SourceTable;
use crate::schema::ddl::keeps_rows;
use crate::schema::keyless;
use crate::schema::types::{SourceType, TableName};

/// Signs and character sets in the binary log's row metadata came with 8.0.1; before 8.0 nothing of this works.
const OLDEST: (u16, u16, u16) = (8, 0, 1);

/// What `check` learned of the source.
#[derive(Debug, Default)]
pub struct Checked {
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// The tables that the patterns take.
    pub tables: Vec<FoundTable>,
    /// The server; `None` when it could not be asked, or went away meanwhile.
    pub facts: Option<ServerFacts>,
}

/// Connects, asks and judges; what cannot be asked is a problem too.
pub fn check(config: &MysqlConfig, wanted: Wanted<'_>) -> Checked {
    let mut checked = Checked::default();
    if let Err(error) = ask(config, wanted, &mut checked) {
        checked.failed(&error);
    }
    checked
}

impl Checked {
    /// Some question got no answer. Of a server that went away in the midst of them nothing is known, so that whoever asked
    /// takes it for an outage and not for what is wrong with a table.
    fn failed(&mut self, error: &Error) {
        self.problems.push(failure(error));
        if error.kind == ErrorKind::SourceDown {
            self.facts = None;
        }
    }
}

fn ask(config: &MysqlConfig, wanted: Wanted<'_>, checked: &mut Checked) -> Result<(), Error> {
    let mut source = Source::connect(config)?;
    let facts = checked.facts.insert(source.server_facts()?).clone();
    let grants = source.grants()?;
    checked.tables = tables::read(&mut source, wanted, facts.allows_zero_dates())?;
    let account = source.account()?;
    checked.problems = problems(&facts, &grants, &checked.tables, &account);
    Ok(())
}

fn failure(error: &Error) -> Problem {
    problem(error.to_string(), "mend [mysql] in the configuration, or the account on the server, as the text says")
}

/// Everything that is wrong with a server, an account (`'bridge'@'%'`) and the chosen tables.
pub fn problems(facts: &ServerFacts, grants: &Grants, tables: &[FoundTable], account: &str) -> Vec<Problem> {
    let mut found = server_problems(facts);
    // Of another kind of server, or a far too old one, the rest would be misread.
    if found.is_empty() || !is_foreign(facts) {
        found.extend(variable_problems(facts));
        found.extend(filter_problems(facts));
        found.extend(privilege_problems(grants, account));
        found.extend(tables_problems(facts, tables, grants, account));
    }
    found
}

fn is_foreign(facts: &ServerFacts) -> bool {
    facts.is_mariadb || facts.version_number() < OLDEST
}

fn server_problems(facts: &ServerFacts) -> Vec<Problem> {
    let mut found = Vec::new();
    if facts.is_mariadb {
        found.push(problem(
            format!("this is MariaDB {}, whose binary log differs from MySQL's; it is not supported", facts.version),
            "point mysql.host at a MySQL server, 8.0.1 or newer",
        ));
    } else if facts.version_number() < OLDEST {
        found.push(problem(
            format!("MySQL {} is too old: row metadata in the binary log came with 8.0.1", facts.version),
            "upgrade the server to 8.0 or newer",
        ));
    }
    found
}

fn variable_problems(facts: &ServerFacts) -> Vec<Problem> {
    let mut found = Vec::new();
    if !facts.log_bin {
        found.push(problem(
            "the binary log is off (log_bin=OFF)",
            "start the server with --log-bin=binlog (in my.cnf: [mysqld] log-bin=binlog) and a server-id",
        ));
    }
    if facts.server_id == 0 {
        found.push(problem("the server's server_id is 0: it serves no replica", "SET PERSIST server_id = 1;"));
    }
    found.extend(wrong_values(facts));
    if !facts.log_replica_updates {
        found.push(problem(
            "log_replica_updates is OFF: what this server itself replicates is not in its binary log",
            "start the server with --log-replica-updates=ON, or replicate from its source",
        ));
    }
    found
}

/// Variables that must have one value; an absent one has it.
fn wrong_values(facts: &ServerFacts) -> Vec<Problem> {
    // Name, value, what it must be, whether sessions keep their own, why.
    let wanted = [
        ("binlog_format", &facts.binlog_format, "ROW", true, "rows are not in the binary log as rows"),
        ("binlog_row_image", &facts.binlog_row_image, "FULL", true, "rows in the binary log lack columns"),
        ("binlog_checksum", &facts.binlog_checksum, "CRC32", false, "damage to the binary log could not be noticed"),
    ];
    let mut found = Vec::new();
    for (name, value, must_be, is_kept, why) in wanted {
        if let Some(value) = value.as_ref().filter(|value| !value.eq_ignore_ascii_case(must_be)) {
            let note =
                if is_kept { " -- then reconnect the applications: open sessions keep the old value" } else { "" };
            found
                .push(problem(format!("{name} is {value}: {why}"), format!("SET PERSIST {name} = '{must_be}';{note}")));
        }
    }
    found
}

fn filter_problems(facts: &ServerFacts) -> Vec<Problem> {
    let filters = [("binlog-do-db", &facts.binlog_do_db), ("binlog-ignore-db", &facts.binlog_ignore_db)];
    let set = filters.into_iter().filter(|(_, databases)| !databases.is_empty());
    set.map(|(option, databases)| {
        let text = format!(
            "the server filters its binary log ({option}: {databases}): changes may be missing without a trace"
        );
        problem(text, format!("remove {option} from the server's options and restart it"))
    })
    .collect()
}

fn privilege_problems(grants: &Grants, account: &str) -> Vec<Problem> {
    let needed = [
        ("REPLICATION SLAVE", "the binary log cannot be read"),
        ("REPLICATION CLIENT", "the position in the binary log cannot be asked for"),
    ];
    let missing = needed.into_iter().filter(|(privilege, _)| !grants.has_global(privilege));
    missing
        .map(|(privilege, why)| {
            let repair = format!("GRANT {privilege} ON *.* TO {account};");
            problem(format!("the account {account} lacks {privilege}: {why}"), repair)
        })
        .collect()
}

fn tables_problems(facts: &ServerFacts, tables: &[FoundTable], grants: &Grants, account: &str) -> Vec<Problem> {
    let of_table = |found: &FoundTable| {
        let problems = table_problems(found, grants, account).into_iter();
        let problems = problems.chain(cascade_problems(facts, found)).chain(label_problems(facts, found));
        problems.map(|problem| problem.of_table(&found.table.name)).collect::<Vec<_>>()
    };
    tables.iter().flat_map(of_table).collect()
}

fn table_problems(found: &FoundTable, grants: &Grants, account: &str) -> Vec<Problem> {
    let (table, name) = (&found.table, quoted(&found.table.name));
    let mut problems = Vec::new();
    if !grants.may_select(&table.name) {
        problems.push(problem(
            format!("{}: the account {account} may not read it", table.name),
            format!("GRANT SELECT ON {name} TO {account};"),
        ));
    }
    if table.key.is_empty() && !grants.may_lock(&table.name) {
        problems.push(problem(
            format!(
                "{}: it has no PRIMARY KEY, so that a copy of it needs an instant without writers, and the account \
                 {account} may not lock it",
                table.name
            ),
            format!(
                "GRANT LOCK TABLES ON {}.* TO {account}; -- or {}",
                quoted_name(&table.name.database),
                add_key(&name)
            ),
        ));
    }
    problems.extend(virtual_problem(found));
    problems.extend(engine_problem(found));
    for column in &found.prefix_key_columns {
        let repair = format!(
            "ALTER TABLE {name} DROP PRIMARY KEY, ADD PRIMARY KEY (..); -- with the whole column {}",
            quoted_name(column)
        );
        problems.push(problem(
            format!("{} column {column}: the PRIMARY KEY holds a prefix of it only", table.name),
            repair,
        ));
    }
    problems.extend(table.columns.iter().filter_map(|column| unsupported(&table.name, &column.name, &column.ty)));
    problems
}

/// What comes of a row and what goes of it are computed by two sessions, which may differ in their time zone, `sql_mode`,
/// language, ..: without a key, they are one row only if they are equal.
fn virtual_problem(found: &FoundTable) -> Option<Problem> {
    let mut columns = found.definition.columns.iter().filter(|_| found.table.key.is_empty());
    let column = &columns.find(|column| column.is_virtual)?.name;
    let (name, quoted_table) = (&found.table.name, quoted(&found.table.name));
    Some(problem(
        format!(
            "{name} column {column}: it is VIRTUAL, so that its values depend on the session that reads them, and the \
             table has no PRIMARY KEY and no UNIQUE key of stored NOT NULL columns to tell its rows apart by"
        ),
        format!("{} -- or make the column STORED", add_key(&quoted_table)),
    ))
}

/// Row events are of what was written to it, and not of what it has.
fn engine_problem(found: &FoundTable) -> Option<Problem> {
    let name = &found.table.name;
    let problem = || {
        problem(
            format!("{name}: its engine {} does not keep the rows that are written to it as they are", found.engine),
            format!("ALTER TABLE {} ENGINE = InnoDB; -- or replicate.exclude = [\"{name}\"]", quoted(name)),
        )
    };
    (!keeps_rows(&found.engine)).then(problem)
}

/// The statement that gives a table a key.
fn add_key(quoted_name: &str) -> String {
    format!("ALTER TABLE {quoted_name} ADD COLUMN `id` BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST;")
}

/// What is good to know of a table: that it has no key, what it gets instead, and what would be better.
pub fn keyless_note(table: &SourceTable, target: &TableName) -> Option<String> {
    let note = || {
        format!(
            "{}: it has no PRIMARY KEY and no UNIQUE key of NOT NULL columns. Its target {target} is a log of its changes, \
             which grows with each of them, and the view {} has the rows that are there, with _multiplicity. Better: {} or \
             SET PERSIST sql_generate_invisible_primary_key = ON; before tables are created",
            table.name,
            keyless::view_name(target),
            add_key(&quoted(&table.name)),
        )
    };
    table.key.is_empty().then(note)
}

/// Rows that a foreign key deletes or changes by itself, and that the binary log does not tell of.
fn cascade_problems(facts: &ServerFacts, found: &FoundTable) -> Vec<Problem> {
    let keys = if facts.logs_cascades() { &[][..] } else { &found.cascading_keys[..] };
    let name = &found.table.name;
    let problem = |key: &String| {
        problem(
            format!(
                "{name}: its foreign key {key} changes rows by itself (CASCADE, SET NULL), which this server does not write to its binary log"
            ),
            format!(
                "ALTER TABLE {} DROP FOREIGN KEY {}; -- or MySQL 9.6 or newer with innodb_native_foreign_keys=OFF",
                quoted(name),
                quoted_name(key)
            ),
        )
    };
    keys.iter().map(problem).collect()
}

/// Labels that neither the binary log nor `information_schema` has.
fn label_problems(facts: &ServerFacts, found: &FoundTable) -> Vec<Problem> {
    let columns = if facts.has_minimal_metadata() { &found.definition.columns[..] } else { &[] };
    let doubtful = columns.iter().filter_map(|column| Some((&column.name, column.ty.doubtful_label()?)));
    let problem = |(column, label)| {
        let text = format!(
            "{} column {column}: binlog_row_metadata is MINIMAL, so labels are read from information_schema, which has ? for \
             some characters: {label:?} may be another label",
            found.table.name
        );
        problem(text, "SET PERSIST binlog_row_metadata = 'FULL';")
    };
    doubtful.map(problem).collect()
}

fn unsupported(table: &TableName, column: &str, ty: &SourceType) -> Option<Problem> {
    let SourceType::Unsupported { name } = ty else { return None };
    let text = format!("{table} column {column}: {name} is not supported yet");
    Some(problem(text, format!("replicate.exclude = [\"{table}\"]")))
}

fn problem(text: impl Into<String>, repair: impl Into<String>) -> Problem {
    Problem::new(text, repair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::catalog::{ColumnDefinition, Definition};
    use crate::schema::choices::Choices;
    use crate::schema::column::ColumnType;
    use crate::schema::types::SourceColumn;

    fn good_facts() -> ServerFacts {
        ServerFacts {
            version: "9.7.4".to_owned(),
            server_id: 1,
            log_bin: true,
            log_replica_updates: true,
            binlog_row_image: Some("FULL".to_owned()),
            binlog_row_metadata: Some("FULL".to_owned()),
            binlog_checksum: Some("CRC32".to_owned()),
            ..ServerFacts::default()
        }
    }

    fn good_grants() -> Grants {
        Grants::parse(["GRANT ALL PRIVILEGES ON *.* TO `x`@`%`".to_owned()])
    }

    fn table(key: Vec<usize>, ty: SourceType) -> FoundTable {
        let name = TableName { database: "shop".to_owned(), table: "orders".to_owned() };
        let columns = vec![SourceColumn { name: "id".to_owned(), ty, nullable: false }];
        FoundTable {
            definition: Definition::default(),
            table: SourceTable { name, columns, key, allows_zero_dates: false, choices: Choices::default() },
            prefix_key_columns: Vec::new(),
            cascading_keys: Vec::new(),
            engine: "InnoDB".to_owned(),
        }
    }

    fn check(facts: &ServerFacts, grants: &Grants, tables: &[FoundTable], expected: &[(&str, &str)]) {
        let found = problems(facts, grants, tables, "'bridge'@'%'");
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (problem, (text, repair)) in found.iter().zip(expected) {
            assert!(problem.text.contains(text) && problem.repair.contains(repair), "{problem:?} {text} {repair}");
        }
    }

    #[test]
    fn a_server_that_goes_away_meanwhile_is_an_outage() {
        for (kind, is_known) in [(ErrorKind::SourceDown, false), (ErrorKind::SourceRefused, true)] {
            let mut checked = Checked { facts: Some(good_facts()), ..Checked::default() };
            checked.failed(&Error::new(kind, "MySQL says 1053: Server shutdown in progress"));
            assert_eq!((checked.facts.is_some(), checked.problems.len()), (is_known, 1), "{kind:?}");
        }
    }

    #[test]
    fn a_good_server_has_no_problem() {
        check(&good_facts(), &good_grants(), &[table(vec![0], SourceType::Year)], &[]);
    }

    #[test]
    fn every_wrong_variable_is_named_with_its_repair() {
        let some = |value: &str| Some(value.to_owned());
        let facts = ServerFacts {
            log_bin: false,
            server_id: 0,
            binlog_format: some("MIXED"),
            binlog_row_image: some("MINIMAL"),
            binlog_checksum: some("NONE"),
            binlog_ignore_db: "shop".to_owned(),
            ..good_facts()
        };
        let expected = [
            ("log_bin", "--log-bin"),
            ("server_id", "SET PERSIST server_id = 1;"),
            ("binlog_format is MIXED", "SET PERSIST binlog_format = 'ROW';"),
            ("binlog_row_image", "'FULL'"),
            ("binlog_checksum", "'CRC32'"),
            ("binlog-ignore-db", "restart"),
        ];
        check(&facts, &good_grants(), &[table(vec![0], SourceType::Year)], &expected);
    }

    #[test]
    fn other_servers_are_refused_by_name() {
        let tables = [table(vec![0], SourceType::Year)];
        let mariadb = ServerFacts { is_mariadb: true, version: "10.11.8-MariaDB".to_owned(), ..ServerFacts::default() };
        check(&mariadb, &good_grants(), &tables, &[("MariaDB", "MySQL")]);
        let old = ServerFacts { version: "5.7.44-log".to_owned(), ..good_facts() };
        check(&old, &good_grants(), &tables, &[("5.7.44", "upgrade")]);
    }

    #[test]
    fn accounts_and_tables() {
        let unsupported = table(Vec::new(), SourceType::Unsupported { name: "UUID".to_owned() });
        let expected = [
            ("REPLICATION SLAVE", "GRANT REPLICATION SLAVE ON *.* TO 'bridge'@'%';"),
            ("REPLICATION CLIENT", "GRANT REPLICATION CLIENT"),
            ("may not read", "GRANT SELECT ON `shop`.`orders`"),
            ("no PRIMARY KEY", "GRANT LOCK TABLES"),
            ("column id: UUID", "shop.orders"),
        ];
        check(&good_facts(), &Grants::default(), &[unsupported], &expected);
        let prefix = FoundTable { prefix_key_columns: vec!["id".to_owned()], ..table(vec![0], SourceType::Year) };
        check(&good_facts(), &good_grants(), &[prefix], &[("prefix", "`id`")]);
        let child = FoundTable { cascading_keys: vec!["fk".to_owned()], ..table(vec![0], SourceType::Year) };
        check(&good_facts(), &good_grants(), std::slice::from_ref(&child), &[]);
        let ty = ColumnType {
            data_type: "set".to_owned(),
            column_type: "set('a','?')".to_owned(),
            charset: Some("utf8mb4".to_owned()),
            ..ColumnType::default()
        };
        let column = ColumnDefinition { name: "s".to_owned(), ty, ..ColumnDefinition::default() };
        let definition = Definition { columns: vec![column], ..Definition::default() };
        let labels = [FoundTable { definition, ..table(vec![0], SourceType::Year) }];
        check(&good_facts(), &good_grants(), &labels, &[]);
        let minimal = ServerFacts { binlog_row_metadata: Some("MINIMAL".to_owned()), ..good_facts() };
        check(&minimal, &good_grants(), &labels, &[("column s: ", "SET PERSIST binlog_row_metadata = 'FULL';")]);
        let native = ServerFacts { innodb_native_foreign_keys: Some("ON".to_owned()), ..good_facts() };
        let older = ServerFacts { version: "8.4.3".to_owned(), ..good_facts() };
        for facts in [native, older] {
            check(&facts, &good_grants(), std::slice::from_ref(&child), &[("foreign key fk", "DROP FOREIGN KEY `fk`")]);
        }
    }
}
