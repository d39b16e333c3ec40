//! A writer thread: takes the router's next job, does it once, answers.
//!
//! It never sleeps and never tries again by itself: a failed batch goes back to the router with its body, which gives
//! it a not-before time; so a table in trouble holds no writer. Jobs come over a channel of capacity 0, answers go over
//! one that never blocks (it is bounded by the jobs out). It ends when the router drops either of them.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::checkpoint::Store;
use crate::clickhouse::{Client, barrier, exchange, mutations, tables};
use crate::error::Result;
use crate::message::{Ack, Batch, Job, Save};
use crate::schema::types::TableName;

/// Runs until the router ends.
#[expect(clippy::needless_pass_by_value, reason = "the channels' ends belong to the thread and are closed by its end")]
pub fn run(client: &Client, store: &Store, jobs: Receiver<Job>, acks: Sender<Ack>) {
    while let Ok(job) = jobs.recv() {
        if acks.send(done(client, store, job)).is_err() {
            break;
        }
    }
}

/// Prefix of the `query_id` of every insert of a pipeline into a table.
pub fn query_id_prefix(pipeline: &str, table: &TableName) -> String {
    format!("stream-bridge-{pipeline}-{table}-")
}

fn done(client: &Client, store: &Store, job: Job) -> Ack {
    match job {
        Job::Save(save) => {
            let result = saved(client, store, &save);
            Ack::Saved(save, result)
        }
        Job::Inspect => {
            Ack::Inspected { parts: tables::active_parts(client), mutations: mutations::unfinished(client) }
        }
        Job::Insert(table, batch) => {
            let start = Instant::now();
            let insert = if batch.leaves_out { Client::insert_what_fits } else { Client::insert };
            let result = insert(client, &table, &batch.columns, &batch.body, &query_id(store, &table, &batch));
            Ack::Inserted(batch, start.elapsed(), result)
        }
    }
}

fn saved(client: &Client, store: &Store, save: &Save) -> Result<()> {
    match save {
        Save::Checkpoint(checkpoint) => store.save(checkpoint),
        Save::TableState(state) => store.save_table_state(state),
        Save::DeadLetters(letters) => store.save_dead_letters(letters),
        Save::Chunks(chunks) => store.save_chunks(chunks),
        Save::Exchange(order) => {
            let prefix = |table| query_id_prefix(store.pipeline(), table);
            exchange::exchange(client, order, &[prefix(&order.target), prefix(&order.shadow)])
        }
        Save::Ddl(ddl) => barrier::carry_out(client, ddl, &query_id_prefix(store.pipeline(), ddl.subject())),
        Save::Drop(name, id) => exchange::drop_shadow(client, name, *id),
    }
}

/// No two attempts have the same: the batch's number is unique in a process, the owner among processes.
fn query_id(store: &Store, table: &TableName, batch: &Batch) -> String {
    let prefix = query_id_prefix(store.pipeline(), table);
    format!("{prefix}{}-{}-{}", batch.number, batch.attempts, store.owner())
}
