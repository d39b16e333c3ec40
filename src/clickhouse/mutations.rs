//! Mutations that are not through: what an ALTER in place leaves running in the background.
//!
//! Columns read and take inserts as the new type at once, whatever a mutation has done of the old parts, so nothing waits
//! for one; but whoever reads the target, and the next change of its names, may care.

use crate::clickhouse::Client;
use crate::error::Result;
use crate::schema::target::Mutation;

/// The oldest unfinished mutation of each table; one that fails goes before.
///
/// # Errors
/// As [`Client::query`].
pub fn unfinished(client: &Client) -> Result<Vec<Mutation>> {
    client.rows(
        "SELECT database, table, mutation_id, command, toUInt64(parts_to_do) AS parts_to_do, latest_fail_reason \
         FROM system.mutations WHERE NOT is_done \
         ORDER BY latest_fail_reason = '', create_time, mutation_id LIMIT 1 BY database, table",
    )
}
