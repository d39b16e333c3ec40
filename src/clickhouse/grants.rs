//! Whether the account may do what replication needs, asked by `CHECK GRANT`: nothing is tried to find out.

use std::collections::BTreeSet;

use crate::clickhouse::{Client, sql, tables};
use crate::error::{Error, Problem, Result};
use crate::schema::types::TableName;

/// What a database that is missing needs, or one that may be.
const CREATE_DATABASE: &str = "CREATE DATABASE";
/// What inserts and the looks at a target need, and what a target that is missing needs more.
const WRITE: &str = "SELECT, INSERT";
const CREATE: &str = "CREATE TABLE";
const VIEW: &str = "CREATE VIEW, DROP VIEW";
/// System tables that are asked while running.
const SYSTEM_TABLES: [&str; 4] = ["parts", "tables", "columns", "databases"];

/// What the account must be allowed.
#[derive(Debug, Default)]
pub struct Wanted {
    grants: BTreeSet<(&'static str, String)>,
}

impl Wanted {
    /// What the state's database needs.
    pub fn of_state(database: &str) -> Self {
        let everything = format!("{}.*", sql::identifier(database));
        let mut wanted = Self::default();
        wanted.grants.extend([(WRITE, everything.clone()), (CREATE, everything)]);
        wanted.grants.extend(SYSTEM_TABLES.map(|table| ("SELECT", format!("system.{table}"))));
        wanted
    }

    /// What one target needs; more when it must be created.
    pub fn of_target(name: &TableName, is_there: bool) -> Self {
        let mut wanted = Self::default();
        wanted.grants.insert((WRITE, sql::table(name)));
        if !is_there {
            wanted.grants.insert((CREATE, sql::table(name)));
        }
        wanted
    }

    /// And what the view of a table without a key needs.
    #[must_use]
    pub fn and_view(mut self, view: &TableName) -> Self {
        self.grants.insert((VIEW, sql::table(view)));
        self
    }

    /// And what creating this database needs, if it is missing.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn and_database(mut self, client: &Client, database: &str) -> Result<Self> {
        if !tables::has_database(client, database)? {
            self.grants.insert((CREATE_DATABASE, format!("{}.*", sql::identifier(database))));
        }
        Ok(self)
    }

    /// What of it is missing, each with the GRANT that mends it.
    ///
    /// # Errors
    /// As [`Client::query`].
    pub fn missing(&self, client: &Client, user: &str) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for (privileges, object) in &self.grants {
            if !is_granted(client, privileges, object)? {
                problems.push(problem(user, privileges, object));
            }
        }
        Ok(problems)
    }
}

/// Older servers have no CHECK GRANT (62, a syntax error): there the first use tells.
fn is_granted(client: &Client, privileges: &str, object: &str) -> Result<bool> {
    match client.ask(&format!("CHECK GRANT {privileges} ON {object}")) {
        Ok(answer) => Ok(answer.trim() == "1"),
        Err(error) if is_syntax_error(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_syntax_error(error: &Error) -> bool {
    error.text.starts_with("ClickHouse error 62:")
}

fn problem(user: &str, privileges: &str, object: &str) -> Problem {
    Problem::new(
        format!("the ClickHouse account {user} lacks {privileges} ON {object}"),
        format!("GRANT {privileges} ON {object} TO {};", sql::identifier(user)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clickhouse::errors::from_answer;

    #[test]
    fn a_server_without_check_grant_is_told_by_its_syntax_error() {
        let text = "Code: 62. DB::Exception: Syntax error: failed at position 1 (CHECK) (SYNTAX_ERROR)";
        assert!(is_syntax_error(&from_answer(400, Some(62), text)));
        let text = "Code: 497. DB::Exception: bridge: Not enough privileges. (ACCESS_DENIED)";
        assert!(!is_syntax_error(&from_answer(403, Some(497), text)));
    }
}
