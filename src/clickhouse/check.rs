//! Whether a table that was there before us can be written to, and the SQL that mends it if not.
//!
//! It can when `FINAL` gives the source's rows: the engine keeps the highest `_version` and hides `_is_deleted`; its
//! sorting key is the source's key, no more (versions of one row would both stay) and no less (rows would replace each
//! other), in any order; of a table without a key it is a log of changes by version and number. Its partition key depends on key columns only (a merge, and so a replacement, never
//! crosses partitions); each source column has a place that takes all its values, and every other column a default.
//! All problems are collected. What an ALTER cannot mend is mended by renaming the table away: no data is touched, and
//! the next start creates the table anew.

use crate::clickhouse::keyless::{LOG_ENGINE, is_log, own_columns};
use crate::clickhouse::sql::{self, Token};
use crate::clickhouse::tables::{ExistingTable, IS_DELETED, VERSION, is_reserved, key_names};
use crate::error::Problem;
use crate::schema::catalog::SourceTable;
use crate::schema::form;
use crate::schema::mapping::{self, TargetFeatures};
use crate::schema::target_type::TargetType;
use crate::schema::types::{SourceColumn, TableName};

/// Everything that keeps `existing` from being the target of `source`.
pub fn check_existing(source: &SourceTable, existing: &ExistingTable, features: TargetFeatures) -> Vec<Problem> {
    let key = key_names(source);
    let mut problems = Vec::new();
    let is_log = source.key.is_empty();
    problems.extend(check_engine(existing, is_log));
    problems.extend(check_sorting_key(existing, &key));
    problems.extend(check_partition_key(existing, &key));
    let own = own_columns().into_iter().take(if is_log { 3 } else { 2 });
    problems.extend(own.filter_map(|own| check_own_column(existing, &own.name, &own.ty)));
    let columns = source.columns.iter().enumerate();
    problems.extend(columns.filter_map(|(index, column)| check_column(source, index, column, existing, features)));
    problems.extend(check_other_columns(source, existing));
    problems
}

/// Names of the source's columns that are ours in the target.
pub fn reserved_names(source: &SourceTable) -> Vec<Problem> {
    let reserved = source.columns.iter().filter(|column| is_reserved(source, &column.name));
    reserved
        .map(|column| {
            Problem::new(
                format!("{}: the column name {} is taken by Stream Bridge", source.name, column.name),
                format!("rename the column, or exclude the table: exclude = [\"{}\"]", source.name),
            )
        })
        .collect()
}

fn check_engine(existing: &ExistingTable, is_log: bool) -> Option<Problem> {
    let tokens = sql::tokens(&existing.engine_full);
    let engine = match tokens.first() {
        Some(Token::Name(name)) => name.as_str(),
        _ => "",
    };
    let replacing = engine.strip_prefix("Replicated").or(engine.strip_prefix("Shared")).unwrap_or(engine);
    let own = if is_log { &[VERSION][..] } else { &[VERSION, IS_DELETED] };
    if replacing == "ReplacingMergeTree" && last_arguments_are(&tokens, own) {
        return None;
    }
    let wanted = if is_log { LOG_ENGINE.to_owned() } else { format!("ReplacingMergeTree({VERSION}, {IS_DELETED})") };
    let text = format!("its engine is {}, not {wanted}", clause(&existing.engine_full));
    Some(rename_away(&existing.table.name, text))
}

/// Whether the engine's arguments end in these names. They are names and texts, never calls.
fn last_arguments_are(tokens: &[Token], names: &[&str]) -> bool {
    if tokens.get(1) != Some(&Token::Sign('(')) {
        return false;
    }
    let Some(end) = tokens.iter().position(|token| *token == Token::Sign(')')) else { return false };
    let ours: Vec<Token> = names
        .iter()
        .enumerate()
        .flat_map(|(index, name)| {
            let comma = (index > 0).then_some(Token::Sign(','));
            comma.into_iter().chain([Token::Name((*name).to_owned())])
        })
        .collect();
    tokens.get(..end).is_some_and(|arguments| arguments.ends_with(&ours))
}

/// The engine without what follows its arguments.
fn clause(engine_full: &str) -> &str {
    let ends = [" PARTITION BY ", " PRIMARY KEY ", " ORDER BY ", " SETTINGS "];
    let end = ends.iter().filter_map(|end| engine_full.find(end)).min();
    end.and_then(|end| engine_full.get(..end)).unwrap_or(engine_full)
}

fn check_sorting_key(existing: &ExistingTable, key: &[&str]) -> Option<Problem> {
    let sorted = plain_names(&existing.sorting_key);
    let same = sorted.is_some_and(|names| {
        names.len() == key.len() && key.iter().all(|column| names.iter().any(|name| name == column))
    });
    let expected = sql::identifiers(key.iter().copied());
    let text = format!("its sorting key is ({}), not the key ({expected})", existing.sorting_key);
    (!same).then(|| rename_away(&existing.table.name, text))
}

/// The names of `a, b, c` or `(a, b, c)`; None when anything but names stands there.
fn plain_names(expression: &str) -> Option<Vec<String>> {
    let tokens = sql::tokens(expression);
    let inner = match tokens.as_slice() {
        // Some versions print the key as it was written.
        [Token::Sign('('), inner @ .., Token::Sign(')')] => inner,
        all => all,
    };
    let mut names = Vec::new();
    for (index, token) in inner.iter().cloned().enumerate() {
        match token {
            Token::Name(name) if index % 2 == 0 => names.push(name),
            Token::Sign(',') if index % 2 == 1 => {}
            Token::Name(_) | Token::Sign(_) | Token::Text(_) | Token::Number(_) => return None,
        }
    }
    Some(names)
}

fn check_partition_key(existing: &ExistingTable, key: &[&str]) -> Option<Problem> {
    let tokens = sql::tokens(&existing.partition_key);
    let names = tokens.iter().enumerate().filter_map(|(index, token)| match token {
        Token::Name(name) if tokens.get(index + 1) != Some(&Token::Sign('(')) => Some(name.as_str()),
        Token::Name(_) | Token::Text(_) | Token::Number(_) | Token::Sign(_) => None,
    });
    let is_column = |name: &str| existing.table.columns.iter().any(|column| column.name == name);
    let foreign: Vec<_> = names.filter(|name| is_column(name) && !key.contains(name)).collect();
    let text = format!(
        "its partition key {} uses {}, which is not in the key: versions of one row would never meet",
        existing.partition_key,
        sql::identifiers(foreign.iter().copied())
    );
    (!foreign.is_empty()).then(|| rename_away(&existing.table.name, text))
}

fn check_own_column(existing: &ExistingTable, name: &str, ty: &str) -> Option<Problem> {
    let right = existing.table.columns.iter().any(|column| column.name == name && column.ty == ty);
    (!right).then(|| rename_away(&existing.table.name, format!("it has no column {name} {ty}")))
}

fn check_column(
    source: &SourceTable,
    index: usize,
    column: &SourceColumn,
    existing: &ExistingTable,
    features: TargetFeatures,
) -> Option<Problem> {
    let is_key = source.key.contains(&index);
    // What has no target type at all is reported with the source.
    let choice = source.choices.of(&column.name);
    let wanted = mapping::chosen_type(column, is_key, source.allows_zero_dates, features, choice).ok()?;
    let (name, table) = (sql::identifier(&column.name), sql::table(&existing.table.name));
    let Some((ty, kind)) = find(existing, &column.name) else {
        let text = format!("{}: column {name} is missing", existing.table.name);
        return Some(Problem::new(text, format!("ALTER TABLE {table} ADD COLUMN {name} {wanted};")));
    };
    if !matches!(kind, "" | "DEFAULT") {
        let text = format!("{}: column {name} is {kind}, which cannot be written to", existing.table.name);
        let repair = format!("ALTER TABLE {table} MODIFY COLUMN {name} REMOVE {kind};");
        return Some(Problem::new(text, repair));
    }
    let refusal = mapping::accepts_chosen(column, is_key, features, ty, choice).err().map(|error| error.text.clone());
    let refusal = refusal.or_else(|| other_clock(column, ty, existing))?;
    // An ALTER to a chosen type may cut values in silence.
    if is_key || choice.written_type().is_some() {
        return Some(rename_away(&existing.table.name, format!("column {name}: {refusal}")));
    }
    let text = format!("{}: column {name}: {refusal}", existing.table.name);
    Some(Problem::new(text, format!("ALTER TABLE {table} MODIFY COLUMN {name} {wanted};")))
}

/// A wall clock without a time zone is shown in the server's.
fn other_clock(column: &SourceColumn, ty: &str, existing: &ExistingTable) -> Option<String> {
    let has_no_zone = TargetType::parse(ty).base.zone() == Some(None);
    let is_other = form::is_wall_clock(&column.ty) && has_no_zone && !form::is_utc(&existing.time_zone);
    let zone = &existing.time_zone;
    is_other.then(|| format!("{ty} is shown in the server's time zone {zone}, which moves a DATETIME: give it 'UTC'"))
}

/// A column's type and default kind.
fn find<'a>(existing: &'a ExistingTable, name: &str) -> Option<(&'a str, &'a str)> {
    let mut columns = existing.table.columns.iter().zip(&existing.default_kinds);
    columns.find(|(column, _)| column.name == name).map(|(column, kind)| (column.ty.as_str(), kind.as_str()))
}

fn check_other_columns(source: &SourceTable, existing: &ExistingTable) -> Vec<Problem> {
    let (table, is_log) = (&existing.table.name, is_log(existing));
    let columns = existing.table.columns.iter().zip(&existing.default_kinds);
    let others = columns.filter(|(column, kind)| {
        let known = is_reserved(source, &column.name) || source.columns.iter().any(|source| source.name == column.name);
        !known && (kind.is_empty() || (is_log && kind.as_str() != "ALIAS"))
    });
    let problem = |name: &str, ty: &str| {
        if is_log {
            // The images of one row would not be equal.
            let text = format!("{table}: column {name} is not in the source, and a log of changes has no others");
            return Problem::new(text, format!("ALTER TABLE {} DROP COLUMN {name};", sql::table(table)));
        }
        let text = format!("{table}: column {name} is not in the source and has no DEFAULT");
        let default = format!("{ty} DEFAULT defaultValueOfTypeName({})", sql::text(ty));
        Problem::new(text, format!("ALTER TABLE {} MODIFY COLUMN {name} {default};", sql::table(table)))
    };
    others.map(|(column, _)| problem(&sql::identifier(&column.name), &column.ty)).collect()
}

fn rename_away(table: &TableName, text: String) -> Problem {
    let away = TableName { database: table.database.clone(), table: format!("{}_before_stream_bridge", table.table) };
    let repair = format!("RENAME TABLE {} TO {};", sql::table(table), sql::table(&away));
    Problem::new(format!("{table}: {text}; renamed away, it is created anew at the next start"), repair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::choices::Choices;
    use crate::schema::target::{TargetColumn, TargetTable};
    use crate::schema::types::SourceType;

    fn source() -> SourceTable {
        let column = |name: &str, nullable| {
            let ty = SourceType::Int { bytes: 4, unsigned: false };
            SourceColumn { name: name.to_owned(), ty, nullable }
        };
        SourceTable {
            name: TableName { database: "shop".to_owned(), table: "orders".to_owned() },
            columns: vec![column("id", false), column("a b", false), column("n", true)],
            key: vec![0, 1],
            allows_zero_dates: false,
            choices: Choices::default(),
        }
    }

    fn existing(change: impl FnOnce(&mut ExistingTable)) -> ExistingTable {
        let types =
            [("id", "Int32"), ("a b", "Int32"), ("n", "Nullable(Int32)"), (VERSION, "UInt64"), (IS_DELETED, "UInt8")];
        let columns = types.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        let mut table = ExistingTable {
            table: TargetTable { name: source().name, columns: columns.to_vec() },
            default_kinds: vec![String::new(); columns.len()],
            engine_full:
                "ReplacingMergeTree(_version, _is_deleted) ORDER BY (id, `a b`) SETTINGS index_granularity = 8192"
                    .to_owned(),
            sorting_key: "`a b`, id".to_owned(),
            partition_key: String::new(),
            time_zone: "UTC".to_owned(),
        };
        change(&mut table);
        table
    }

    fn problems(change: impl FnOnce(&mut ExistingTable)) -> Vec<Problem> {
        check_existing(&source(), &existing(change), TargetFeatures { time64: true })
    }

    #[test]
    fn a_log_of_changes_is_for_tables_without_a_key() {
        let log = existing(|table| {
            table.table.columns.push(TargetColumn { name: "_n".to_owned(), ty: "UInt64".to_owned() });
            table.default_kinds.push(String::new());
            table.engine_full = "ReplacingMergeTree(_version) ORDER BY (_version, _n)".to_owned();
            table.sorting_key = "_version, _n".to_owned();
        });
        let keyless = SourceTable { key: Vec::new(), ..source() };
        let features = TargetFeatures { time64: true };
        assert_eq!(check_existing(&keyless, &log, features), []);
        assert!(crate::clickhouse::keyless::is_log(&log) && !crate::clickhouse::keyless::is_log(&existing(|_| {})));
        let texts = |source: &SourceTable, existing: &ExistingTable| {
            let problems = check_existing(source, existing, features).into_iter();
            problems.map(|problem| problem.text).collect::<Vec<_>>().join("; ")
        };
        let found = texts(&source(), &log);
        assert!(found.contains("not ReplacingMergeTree(_version, _is_deleted)") && found.contains("_n"), "{found}");
        let found = texts(&keyless, &existing(|_| {}));
        assert!(found.contains("not ReplacingMergeTree(_version)") && found.contains("no column _n"), "{found}");
    }

    #[test]
    fn right_tables_have_no_problem() {
        assert_eq!(problems(|_| {}), []);
        let replicated = "ReplicatedReplacingMergeTree('/t/{uuid}', '{replica}', _version, _is_deleted) ORDER BY id";
        assert_eq!(problems(|table| table.engine_full = replicated.to_owned()), []);
        assert_eq!(
            problems(|table| table.engine_full =
                "SharedReplacingMergeTree('/t(x)', '{r}', `_version`, _is_deleted)".to_owned()),
            []
        );
        assert_eq!(problems(|table| table.partition_key = "(intDiv(id, 10), `a b` % 7)".to_owned()), []);
        assert_eq!(
            problems(|table| {
                table.table.columns.push(TargetColumn { name: "more".to_owned(), ty: "Int8".to_owned() });
                table.default_kinds.push("DEFAULT".to_owned());
            }),
            []
        );
    }

    fn one(part: &str, repair: &str, change: impl FnOnce(&mut ExistingTable)) {
        let problems = problems(change);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].text.contains(part) && problems[0].repair.starts_with(repair), "{problems:?}");
    }

    #[test]
    fn each_problem_comes_with_its_repair() {
        let rename = "RENAME TABLE `shop`.`orders` TO `shop`.`orders_before_stream_bridge`;";
        for engine in [
            "MergeTree ORDER BY id",
            "ReplacingMergeTree ORDER BY (_version, _is_deleted)",
            "ReplacingMergeTree(_version) ORDER BY id",
            "ReplacingMergeTree(_is_deleted, _version)",
            "VersionedCollapsingMergeTree(_version, _is_deleted)",
            "",
        ] {
            one("its engine is", rename, |table| table.engine_full = engine.to_owned());
        }
        for key in ["id", "id, `a b`, n", "id, cityHash64(`a b`)", "", "id, id", "id `a b`"] {
            one("its sorting key is", rename, |table| table.sorting_key = key.to_owned());
        }
        one("partition key toYYYYMM(n) uses `n`", rename, |table| table.partition_key = "toYYYYMM(n)".to_owned());
        one("no column _version UInt64", rename, |table| table.table.columns[3].ty = "UInt32".to_owned());
        one("column `id`: the target's type Float64", rename, |table| table.table.columns[0].ty = "Float64".to_owned());
        one(
            "`n`: the target's type Int32",
            "ALTER TABLE `shop`.`orders` MODIFY COLUMN `n` Nullable(Int32);",
            |table| {
                table.table.columns[2].ty = "Int32".to_owned();
            },
        );
        one("`n` is ALIAS", "ALTER TABLE `shop`.`orders` MODIFY COLUMN `n` REMOVE ALIAS;", |table| {
            table.default_kinds[2] = "ALIAS".to_owned();
        });
        one("`n` is missing", "ALTER TABLE `shop`.`orders` ADD COLUMN `n` Nullable(Int32);", |table| {
            table.table.columns.remove(2);
            table.default_kinds.remove(2);
        });
        one("`more` is not in the source", "ALTER TABLE `shop`.`orders` MODIFY COLUMN `more` Int8 DEFAULT", |table| {
            table.table.columns.push(TargetColumn { name: "more".to_owned(), ty: "Int8".to_owned() });
            table.default_kinds.push(String::new());
        });
    }

    #[test]
    fn all_problems_are_collected() {
        let problems = problems(|table| {
            table.engine_full = "Log".to_owned();
            table.sorting_key = String::new();
            table.table.columns.truncate(1);
        });
        assert_eq!(problems.len(), 6, "{problems:?}");
    }
}
