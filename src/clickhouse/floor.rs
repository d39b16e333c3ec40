//! A target's floor: a constraint that refuses rows of lower versions, so a late copy of an insert changes nothing.
//!
//! Its name ends in a token that is never used twice, and each ALTER of a target drops the constraint that is there and
//! adds the next one, all in one statement. The server refuses it as a whole (36; measured, a DELETE in it included) when
//! that constraint is gone. So each ALTER is good for one time: a late copy of it changes nothing, whatever became of the
//! table, or of its name, meanwhile. Only the first of a table drops none: a late copy of that one adds a floor below the
//! versions of all rows to come.

use std::fmt::Display;

use serde::Deserialize;
use uuid::Uuid;

use crate::clickhouse::tables::VERSION;
use crate::clickhouse::{Client, sql};
use crate::error::Result;
use crate::schema::types::TableName;

/// What the constraint's name begins with.
const NAME: &str = "stream_bridge_floor";

/// The floor as the next ALTER finds it: names of constraints. One, or none at first.
#[derive(Debug)]
pub(super) struct Floor(Vec<String>);

impl Floor {
    /// None when there is no such table.
    pub(super) fn of(client: &Client, table: &TableName) -> Result<Self> {
        #[derive(Deserialize)]
        struct Row {
            names: Vec<String>,
        }
        let select = format!(
            "SELECT extractAll(create_table_query, 'CONSTRAINT ({NAME}[0-9a-z_]*) CHECK') AS names \
             FROM system.tables WHERE database = {} AND name = {}",
            sql::text(&table.database),
            sql::text(&table.table)
        );
        let rows = client.rows::<Row>(&select)?;
        Ok(Self(rows.into_iter().flat_map(|row| row.names).collect()))
    }

    /// The ALTER that raises it to `version` and carries out `actions`; afterwards this is the floor that it leaves.
    pub(super) fn raise_sql(&mut self, table: &TableName, version: impl Display, actions: &[String]) -> String {
        let next = format!("{NAME}_{}", Uuid::new_v4().simple());
        let raised = format!("ADD CONSTRAINT {next} CHECK {VERSION} >= {version}");
        let clauses = self.drop_clauses().chain([raised]).chain(actions.iter().cloned()).collect();
        self.0 = vec![next];
        alter_sql(table, clauses)
    }

    /// The ALTER that takes it away; None when there is none.
    pub(super) fn drop_sql(&self, table: &TableName) -> Option<String> {
        let clauses: Vec<String> = self.drop_clauses().collect();
        (!clauses.is_empty()).then(|| alter_sql(table, clauses))
    }

    fn drop_clauses(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|name| format!("DROP CONSTRAINT {name}"))
    }
}

fn alter_sql(table: &TableName, clauses: Vec<String>) -> String {
    format!("ALTER TABLE {} {}", sql::table(table), clauses.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_drops_what_the_one_before_has_left() {
        let table = TableName { database: "d".to_owned(), table: "t".to_owned() };
        let mut floor = Floor(Vec::new());
        assert_eq!(floor.drop_sql(&table), None);
        let first = floor.raise_sql(&table, 7, &[]);
        let second = floor.raise_sql(&table, 8, &["DROP COLUMN a".to_owned()]);
        let name = first.strip_prefix("ALTER TABLE `d`.`t` ADD CONSTRAINT ").unwrap();
        let name = name.strip_suffix(" CHECK _version >= 7").unwrap();
        let next =
            second.strip_prefix(&format!("ALTER TABLE `d`.`t` DROP CONSTRAINT {name}, ADD CONSTRAINT ")).unwrap();
        let next = next.strip_suffix(" CHECK _version >= 8, DROP COLUMN a").unwrap();
        assert_ne!(name, next);
        assert_eq!(floor.drop_sql(&table), Some(format!("ALTER TABLE `d`.`t` DROP CONSTRAINT {next}")));
    }
}
