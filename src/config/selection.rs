//! Which tables are replicated: glob patterns over `database.table`.
//!
//! The two parts are matched one by one, so `*` never crosses the dot. A part in backquotes is literal, with a doubled
//! backquote for one within it, as in MySQL. MySQL's own databases are never chosen: `*.*` means the user's tables.
//!
//! The *helpers* of online schema changes (gh-ost, pt-online-schema-change) are not chosen either: their rows are those of
//! the table that they change, which is copied anew at the final RENAME. A name alone proves nothing, so a table is taken
//! for a helper only beside the table that it would be one of, and never when the configuration names it without a glob.

use std::collections::BTreeSet;

use globset::{GlobBuilder, GlobMatcher};

use crate::schema::types::TableName;

/// Databases of the server itself.
const SYSTEM_DATABASES: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

/// What stands behind a table's name in those of its helpers: gh-ost's copy, changelog and old table, then the copy and the
/// old table of pt-online-schema-change.
const HELPER_ENDS: [&str; 5] = ["_gho", "_ghc", "_del", "_new", "_old"];

/// Digits of the time that gh-ost may put before its last end (`--timestamp-old-table`).
const TIMESTAMP_DIGITS: usize = 14;

/// Compiled patterns.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    tables: Vec<Pattern>,
    exclude: Vec<Pattern>,
    /// Those of `tables` that have no glob.
    named: Vec<TableName>,
}

#[derive(Debug, Clone)]
struct Pattern {
    database: GlobMatcher,
    table: GlobMatcher,
}

impl Selection {
    /// Compiles `replicate.tables` and `replicate.exclude`.
    ///
    /// # Errors
    /// Every pattern that is none, with its key.
    pub fn compile(tables: &[String], exclude: &[String]) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut all = |key, patterns: &[String]| {
            let mut compiled = Vec::with_capacity(patterns.len());
            for pattern in patterns {
                match Pattern::compile(pattern) {
                    Ok(pattern) => compiled.push(pattern),
                    Err(reason) => problems.push((key, format!("pattern {pattern:?} {reason}"))),
                }
            }
            compiled
        };
        let named = tables.iter().filter_map(|text| table_name(text).ok()).collect();
        let selection = Self { tables: all("tables", tables), exclude: all("exclude", exclude), named };
        for pattern in selection.tables.iter().filter(|pattern| pattern.is_of_the_server()) {
            let database = pattern.database.glob();
            problems.push(("tables", format!("{database} is a database of the server itself: it is never replicated")));
        }
        if problems.is_empty() { Ok(selection) } else { Err(problems) }
    }

    /// Whether it is of no pattern.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The table that this one is a helper of, given which tables there are; `None`: it is an ordinary one.
    pub fn helped_by(&self, name: &TableName, is_there: &dyn Fn(&TableName) -> bool) -> Option<TableName> {
        let mut bases = helper_bases(&name.table).map(|base| TableName { table: base.to_owned(), ..name.clone() });
        let is_named = self.named.contains(name);
        bases.find(|base| !is_named && self.selects(name) && self.selects(base) && is_there(base))
    }

    /// Whether a table of the source is replicated, given all that there are.
    pub fn chooses(&self, name: &TableName, all: &BTreeSet<TableName>) -> bool {
        self.selects(name) && self.helped_by(name, &|base| all.contains(base)).is_none()
    }

    /// Whether the patterns choose a table of the source.
    pub fn selects(&self, name: &TableName) -> bool {
        let matches = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        !SYSTEM_DATABASES.contains(&name.database.as_str()) && matches(&self.tables) && !matches(&self.exclude)
    }
}

/// The names of the tables that one of this name may be a helper of. pt-online-schema-change puts more underscores before
/// a name that is taken.
fn helper_bases(name: &str) -> impl Iterator<Item = &str> {
    let inside = HELPER_ENDS.iter().find_map(|end| name.strip_suffix(end)).unwrap_or_default();
    let underscores = inside.len() - inside.trim_start_matches('_').len();
    let as_it_is = (1..=underscores).filter_map(move |count| inside.get(count..));
    let untimed = without_timestamp(inside).filter(|_| name.ends_with("_del"));
    as_it_is.chain(untimed.and_then(|inside| inside.strip_prefix('_'))).filter(|base| !base.is_empty())
}

fn without_timestamp(name: &str) -> Option<&str> {
    let (before, digits) = name.rsplit_once('_')?;
    let is_time = digits.len() == TIMESTAMP_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then_some(before)
}

/// What is said of a table that is taken for a helper.
pub fn helper_note(name: &TableName, base: &TableName) -> String {
    format!(
        "{name} is not replicated: by its name it is a helper of a schema change of {base}; if it is not, name it in \
         replicate.tables without a glob"
    )
}

impl Pattern {
    fn compile(text: &str) -> Result<Self, String> {
        let (database, table) = split(text)?;
        let glob = |part: &str| {
            let built = GlobBuilder::new(part).backslash_escape(true).build();
            built.map(|glob| glob.compile_matcher()).map_err(|error| format!("is no glob: {}", error.kind()))
        };
        Ok(Self { database: glob(&database)?, table: glob(&table)? })
    }

    fn is_of_the_server(&self) -> bool {
        SYSTEM_DATABASES.contains(&self.database.glob().glob())
    }

    fn matches(&self, name: &TableName) -> bool {
        self.database.is_match(&name.database) && self.table.is_match(&name.table)
    }
}

/// The one table that a text without wildcards names.
///
/// # Errors
/// What is wrong with the text.
pub fn table_name(text: &str) -> Result<TableName, String> {
    const REMEDY: &str =
        "must be one table, database.table; names with other signs than letters, digits, _ $ - in backquotes";
    let parts = parts(text)?;
    let is_plain = |part: &Part| {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '-');
        part.iter().all(|piece| piece.is_quoted || piece.text.chars().all(plain))
    };
    let joined = |part: &Part| part.iter().map(|piece| piece.text.as_str()).collect::<String>();
    match parts.as_slice() {
        [database, table] if is_plain(database) && is_plain(table) => {
            let name = TableName { database: joined(database), table: joined(table) };
            if name.database.is_empty() || name.table.is_empty() { Err(REMEDY.to_owned()) } else { Ok(name) }
        }
        _ => Err(REMEDY.to_owned()),
    }
}

/// A pattern's two parts as globs, quoted pieces escaped.
fn split(text: &str) -> Result<(String, String), String> {
    let glob = |part: &Part| {
        let piece = |piece: &Piece| if piece.is_quoted { literal(&piece.text) } else { piece.text.clone() };
        part.iter().map(piece).collect::<String>()
    };
    match parts(text)?.as_slice() {
        [database, table] if !glob(database).is_empty() && !glob(table).is_empty() => Ok((glob(database), glob(table))),
        [_] => Err(format!("has no dot: write database.table, for example \"{text}.*\"")),
        _ => Err("must be database.table; a dot within a name needs backquotes, for example \"`odd.db`.*\"".to_owned()),
    }
}

/// A glob that is only this text. (`globset::escape` leaves the backslash and the brace as they are.)
fn literal(text: &str) -> String {
    let escaped = |c: char| ['\\'].into_iter().filter(move |_| "\\?*[]{},!".contains(c)).chain([c]);
    text.chars().flat_map(escaped).collect()
}

type Part = Vec<Piece>;

#[derive(Debug)]
struct Piece {
    text: String,
    is_quoted: bool,
}

/// Splits at the dots outside backquotes.
fn parts(text: &str) -> Result<Vec<Part>, String> {
    let mut parts = vec![Part::new()];
    let mut chars = text.chars().peekable();
    while let Some(first) = chars.next() {
        if first == '.' {
            parts.push(Part::new());
            continue;
        }
        let mut piece = Piece { text: String::new(), is_quoted: first == '`' };
        if piece.is_quoted {
            loop {
                match chars.next() {
                    Some('`') if chars.next_if_eq(&'`').is_some() => piece.text.push('`'),
                    Some('`') => break,
                    Some(c) => piece.text.push(c),
                    None => return Err("has a backquote that is not closed".to_owned()),
                }
            }
        } else {
            piece.text.push(first);
            while let Some(c) = chars.next_if(|&c| c != '.' && c != '`') {
                piece.text.push(c);
            }
        }
        if let Some(part) = parts.last_mut() {
            part.push(piece);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(database: &str, table: &str) -> TableName {
        TableName { database: database.to_owned(), table: table.to_owned() }
    }

    fn check(tables: &[&str], exclude: &[&str], database: &str, table: &str, expected: bool) {
        let owned = |patterns: &[&str]| patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>();
        let selection = Selection::compile(&owned(tables), &owned(exclude)).unwrap();
        assert_eq!(selection.selects(&name(database, table)), expected, "{tables:?} {exclude:?} {database}.{table}");
    }

    #[test]
    fn patterns_choose_by_both_parts() {
        check(&["shop.*"], &[], "shop", "orders", true);
        check(&["shop.*"], &[], "shop2", "orders", false);
        check(&["shop.ord?rs", "app.{a,b}"], &[], "app", "b", true);
        check(&["*.*"], &["*.tmp_*"], "shop", "tmp_1", false);
        check(&["*.*"], &["*.tmp_*"], "shop", "atmp_1", true);
        check(&["shop.*"], &[], "Shop", "orders", false);
    }

    #[test]
    fn a_star_does_not_cross_the_dot() {
        check(&["a*.c"], &[], "a", "b.c", false);
        check(&["a.*"], &[], "a.b", "c", false);
        check(&["a.*"], &[], "a", "b.c/d", true);
    }

    #[test]
    fn backquotes_are_literal() {
        check(&["`odd.db`.`t*`"], &[], "odd.db", "t*", true);
        check(&["`odd.db`.`t*`"], &[], "odd.db", "tx", false);
        check(&["`odd.db`.`t``[a]`*"], &[], "odd.db", "t`[a]xyz", true);
        check(&["`a\\b`.`{c,d}!?*`"], &[], "a\\b", "{c,d}!?*", true);
        check(&["`a\\b`.`{c,d}`"], &[], "ab", "{c,d}", false);
        check(&["`a\\b`.`{c,d}`"], &[], "a\\b", "c", false);
    }

    #[test]
    fn the_servers_own_databases_are_never_chosen() {
        for database in SYSTEM_DATABASES {
            check(&["*.*"], &[], database, "user", false);
        }
    }

    #[test]
    fn helpers_are_those_of_a_table_that_is_there() {
        let check = |patterns: &[&str], table: &str, there: &[&str], expected: Option<&str>| {
            let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
            let selection = Selection::compile(&patterns, &["d.x".to_owned()]).unwrap();
            let is_there = |name: &TableName| name.database == "d" && there.contains(&name.table.as_str());
            let found = selection.helped_by(&name("d", table), &is_there);
            assert_eq!(found, expected.map(|base| name("d", base)), "{patterns:?} {table} beside {there:?}");
        };
        for helper in
            ["_t_gho", "_t_ghc", "_t_del", "_t_new", "_t_old", "__t_new", "____t_old", "_t_20260102030405_del"]
        {
            check(&["d.*"], helper, &["t"], Some("t"));
            check(&["d.*"], helper, &["u"], None);
            check(&["d.*", &format!("d.{helper}")], helper, &["t"], None);
            check(&["e.*"], helper, &["t"], None);
        }
        check(&["d.*"], "__t_new", &["_t"], Some("_t"));
        check(&["d.*"], "_x_gho", &["x"], None);
        for ordinary in
            ["t", "t_new", "_new", "__old", "_t_newer", "_t_2026_del", "_t_20260102030405_old", "_t_", "", "_gho"]
        {
            check(&["d.*"], ordinary, &["t", "", "_t_2026"], None);
        }
    }

    #[test]
    fn bad_patterns_are_named() {
        for (pattern, part) in [
            ("shop", "\"shop.*\""),
            ("a.b.c", "needs backquotes"),
            (".b", "database.table"),
            ("a.", "database.table"),
            ("`a.b", "not closed"),
            ("a.[b", "is no glob"),
            ("sys.*", "server itself"),
        ] {
            let problems = Selection::compile(&[pattern.to_owned()], &[]).unwrap_err();
            let [(key, text)] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(*key == "tables" && text.contains(part), "{text}");
        }
    }

    #[test]
    fn one_table_is_no_pattern() {
        assert_eq!(table_name("shop.orders"), Ok(name("shop", "orders")));
        assert_eq!(table_name("`a.b`.`c*`"), Ok(name("a.b", "c*")));
        for text in ["shop.*", "shop", "a.b.c", "", ".", "``.a"] {
            assert!(table_name(text).is_err(), "{text}");
        }
    }
}
