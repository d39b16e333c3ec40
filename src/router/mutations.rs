//! What runs in the background of the targets: looked at with their parts, told as a part of the table's reason.

use std::collections::BTreeMap;

use super::Router;
use super::statement::quoted;
use crate::error::Result;
use crate::message::TableIndex;
use crate::schema::target::Mutation;
use crate::schema::types::TableName;

impl Router {
    /// What was seen replaces what was known; nothing is known when it could not be looked at.
    pub(super) fn saw_mutations(&mut self, seen: Result<Vec<Mutation>>) {
        let table = |mutation: &Mutation| {
            let name = TableName { database: mutation.database.clone(), table: mutation.table.clone() };
            self.tables.find_target(&name)
        };
        let seen = seen.unwrap_or_default().into_iter();
        let seen: BTreeMap<TableIndex, Mutation> =
            seen.filter_map(|mutation| Some((table(&mutation)?, mutation))).collect();
        for (index, mutation) in seen.iter().filter(|(_, mutation)| mutation.fails()) {
            let was_told = self.mutations.get(index).is_some_and(|known| known.fails());
            if !was_told {
                log::warn!("{}: {}", self.tables.list()[*index].name, mutation.told());
            }
        }
        self.mutations = seen;
    }

    /// A table's reason, and what runs in the background of its target.
    pub(super) fn with_mutation(&self, table: TableIndex, reason: &str) -> String {
        let mutation = self.mutations.get(&table).map(Mutation::told);
        [Some(reason.to_owned()).filter(|reason| !reason.is_empty()), mutation]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Mutation {
    fn fails(&self) -> bool {
        !self.latest_fail_reason.is_empty()
    }

    /// For a person: how far it is, or why it fails and what to do.
    fn told(&self) -> String {
        let left = format!("mutation of {} parts left: {}", self.parts_to_do, quoted(&self.command));
        if !self.fails() {
            return left;
        }
        format!(
            "{left}; it fails: {}; mend the cause, or end it and `resync` the table: KILL MUTATION WHERE database = \
             '{}' AND table = '{}' AND mutation_id = '{}'",
            quoted(&self.latest_fail_reason),
            self.database,
            self.table,
            self.mutation_id
        )
    }
}
