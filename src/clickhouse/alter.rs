//! stub
use crate::clickhouse::Client;
use crate::error::Result;
use crate::schema::effect::TargetChange;
use crate::schema::target::TargetTable;
use crate::schema::types::TableName;
pub fn apply(client: &Client, table: &TableName, _changes: &[TargetChange]) -> Result<TargetTable> {
    crate::clickhouse::tables::created(client, table)
}
