//! Whether the account may do what replication needs, asked by `CHECK GRANT`: nothing is tried to find out.

use std::collections::BTreeSet;

use crate::clickhouse::{Client, sql};
use crate::error::{Error, Problem, Result};
use crate::schema::types::TableName;

/// What inserts and the looks at a target need, and what a target that is missing needs more.
const WRITE: &str = "SELECT, INSERT";
const CREATE: &str = "CREATE TABLE";
/// System tables that are asked while running.
const SYSTEM_TABLES: [&str; 3] = ["parts", "tables", "columns"];

/// Grants that are missing, for these targets and the state's database, each with the GRANT that mends it.
///
/// # Errors
/// As [`Client::query`].
pub fn missing_grants(
    client: &Client,
    user: &str,
    targets: &[&TableName],
    missing_targets: &[&TableName],
    state_database: &str,
) -> Result<Vec<Problem>> {
    let state = format!("{}.*", sql::identifier(state_database));
    let mut wanted = BTreeSet::from([(WRITE, state.clone()), (CREATE, state)]);
    wanted.extend(SYSTEM_TABLES.map(|table| ("SELECT", format!("system.{table}"))));
    wanted.extend(targets.iter().map(|name| (WRITE, sql::table(name))));
    wanted.extend(missing_targets.iter().map(|name| (CREATE, sql::table(name))));
    let mut problems = Vec::new();
    for (privileges, object) in wanted {
        if !is_granted(client, privileges, &object)? {
            problems.push(problem(user, privileges, &object));
        }
    }
    Ok(problems)
}

/// Servers before 24.10 have no CHECK GRANT (62, a syntax error): there the first use tells.
fn is_granted(client: &Client, privileges: &str, object: &str) -> Result<bool> {
    match client.query(&format!("CHECK GRANT {privileges} ON {object}")) {
        Ok(answer) => Ok(answer.trim() == "1"),
        Err(error) if is_syntax_error(&error) => Ok(true),
        Err(error) => Err(error),
    }
}

fn is_syntax_error(error: &Error) -> bool {
    super::errors::code_in(&error.text) == Some(62)
}

fn problem(user: &str, privileges: &str, object: &str) -> Problem {
    Problem::new(
        format!("the ClickHouse account {user} lacks {privileges} ON {object}"),
        format!("GRANT {privileges} ON {object} TO {};", sql::identifier(user)),
    )
}
