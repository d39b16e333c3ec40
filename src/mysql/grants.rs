//! What an account may do, from the text of SHOW GRANTS.
//!
//! Read tolerantly: a line that is not understood gives nothing and takes nothing. Role grants need no work here: SHOW
//! GRANTS already lists what the active roles give. No IO.

use std::collections::BTreeSet;

use crate::schema::types::TableName;

/// The privileges of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    scopes: Vec<Scope>,
}

/// One GRANT: privileges in upper case on a database pattern (`*`: all) and table (`*`: all).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    privileges: BTreeSet<String>,
    database: String,
    table: String,
}

impl Grants {
    /// Reads the lines of SHOW GRANTS.
    pub fn parse(lines: impl IntoIterator<Item = String>) -> Self {
        Self { scopes: lines.into_iter().filter_map(|line| Scope::parse(&line)).collect() }
    }

    /// Whether the privilege is held on `*.*`.
    pub fn has_global(&self, privilege: &str) -> bool {
        self.scopes.iter().any(|scope| scope.database == "*" && scope.holds(privilege))
    }

    /// Whether the whole table may be read.
    pub fn may_select(&self, name: &TableName) -> bool {
        self.may("SELECT", name)
    }

    /// Whether the table may be locked.
    pub fn may_lock(&self, name: &TableName) -> bool {
        self.may("LOCK TABLES", name)
    }

    fn may(&self, privilege: &str, name: &TableName) -> bool {
        self.scopes.iter().any(|scope| scope.holds(privilege) && scope.covers(name))
    }
}

impl Scope {
    fn parse(line: &str) -> Option<Self> {
        let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let (database, rest) = identifier(rest.strip_prefix("TABLE ").unwrap_or(rest))?;
        let (table, _) = identifier(rest.strip_prefix('.')?)?;
        // `SELECT (a, b)` is for two columns only: what is left of it holds no comma-free "SELECT".
        let privileges = privileges.split(',').map(|name| name.trim().to_uppercase()).collect();
        Some(Self { privileges, database, table })
    }

    fn holds(&self, privilege: &str) -> bool {
        self.privileges.contains(privilege)
            || self.privileges.contains("ALL PRIVILEGES")
            || self.privileges.contains("ALL")
    }

    fn covers(&self, name: &TableName) -> bool {
        match (self.database.as_str(), self.table.as_str()) {
            ("*", _) => true,
            // A grant on a database takes a LIKE pattern, one on a table does not.
            (pattern, "*") => like(pattern, &name.database),
            (database, table) => database == name.database && table == name.table,
        }
    }
}

/// A name in backquotes or double quotes (ANSI_QUOTES), or `*`, at the front; and what follows.
fn identifier(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    if !matches!(quote, '`' | '"') {
        return text.strip_prefix('*').map(|rest| ("*".to_owned(), rest));
    }
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            name.push(quote);
        } else {
            return Some((name, text.get(at + 1..)?));
        }
    }
    None
}

/// MySQL's LIKE: `%` any text, `_` any character, `\` takes the next literally.
fn like(pattern: &str, name: &str) -> bool {
    let mut pattern_rest = pattern.chars();
    let Some(first) = pattern_rest.next() else { return name.is_empty() };
    let rest = pattern_rest.as_str();
    let mut name_rest = name.chars();
    match first {
        '%' => like(rest, name) || name_rest.next().is_some() && like(pattern, name_rest.as_str()),
        '_' => name_rest.next().is_some() && like(rest, name_rest.as_str()),
        '\\' => match pattern_rest.next() {
            Some(literal) => name_rest.next() == Some(literal) && like(pattern_rest.as_str(), name_rest.as_str()),
            None => name == "\\",
        },
        literal => name_rest.next() == Some(literal) && like(rest, name_rest.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(lines: &[&str]) -> Grants {
        Grants::parse(lines.iter().map(|line| (*line).to_owned()))
    }

    fn name(database: &str, table: &str) -> TableName {
        TableName { database: database.to_owned(), table: table.to_owned() }
    }

    #[test]
    fn global_privileges() {
        let some = grants(&["GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `bridge`@`%`"]);
        assert!(some.has_global("REPLICATION SLAVE") && some.has_global("REPLICATION CLIENT"));
        assert!(!some.has_global("SELECT") && !some.may_select(&name("shop", "orders")));
        let all = grants(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION"]);
        assert!(all.has_global("REPLICATION SLAVE") && all.may_select(&name("shop", "orders")));
        let database = grants(&["GRANT ALL PRIVILEGES ON `shop`.* TO `x`@`%`"]);
        assert!(!database.has_global("REPLICATION SLAVE"), "not on *.*");
    }

    #[test]
    fn select_by_database_pattern_table_and_column() {
        let some = grants(&[
            r"GRANT SELECT ON `shop\_%`.* TO `x`@`%`",
            "GRANT SELECT, INSERT ON `app`.`or``ders` TO `x`@`%`",
            "GRANT SELECT (`a`, `b`), INSERT ON `app`.`half` TO `x`@`%`",
            "GRANT `role`@`%` TO `x`@`%`",
            "GRANT EXECUTE ON PROCEDURE `app`.`p` TO `x`@`%`",
            "GRANT PROXY ON ``@`` TO 'root'@'localhost'",
        ]);
        for (database, table, expected) in [
            ("shop_eu", "t", true),
            ("shopXeu", "t", false),
            ("app", "or`ders", true),
            ("app", "half", false),
            ("app", "p", false),
        ] {
            assert_eq!(some.may_select(&name(database, table)), expected, "{database}.{table}");
        }
    }

    #[test]
    fn like_patterns() {
        for (pattern, text, expected) in [
            ("a%c", "abbc", true),
            ("a%c", "abb", false),
            ("_", "", false),
            ("%", "", true),
            (r"a\%", "a%", true),
            (r"a\%", "ab", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }
}
