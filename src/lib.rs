//! Stream Bridge keeps ClickHouse equal to MySQL in real time.
//!
//! ```text
//! MySQL ──COM_BINLOG_DUMP(_GTID)──▶ reader ──Chunk──▶ router ──Job::Insert(Batch)──▶ writer 1..N ──POST──▶ ClickHouse
//!                                   CRC      bounded  │ parse, transcode    ▲  bounded │ RowBinary                  │
//!                                                     │ into one open Body  │          │                            │
//!                                                     │ per table           └── Ack ◀──┴────────────────────────────┘
//!                                  router also owns: positions, plans, batches, ledger, saves
//! ```
//!
//! # Reading order
//! The way of a row: [`mysql`] (the dump) → [`reader`] → [`message`] → [`router`] → [`binlog`] (events) →
//! [`transcode`] (row image to RowBinary) → [`rowbinary`] (the body) → [`writer`] → [`clickhouse`] → [`router::ledger`]
//! → [`checkpoint`]. [`engine`] wires the threads, [`start`] decides where to go on, [`guard`] keeps a second copy out
//! and looks after the source's binary logs ([`retention`]), [`check`] what stands in the way,
//! [`plan`] tells what ClickHouse would be asked to do, [`progress`] tells of copies.
//!
//! Three rules: **pure** modules (`binlog rowbinary schema transcode`, and `error position gtid backoff config retention metrics`
//! below them) do no IO, spawn nothing, log nothing; **clients** (`mysql clickhouse checkpoint`) talk to one system each
//! and not to one another; **stages** (`reader router writer snapshot guard verify http`) speak only by [`message`] and are wired by
//! [`engine`]. `tests/tidy.rs` holds them.
//!
//! # Invariants
//! - **I1** A row's bytes are copied once between socket buffer and request body.
//! - **I2** The version is a pure function of the position: any writer, any order, twice, gives the same result.
//! - **I3** Replication state lives in the router thread: no lock on the data path.
//! - **I4** A saved position is a transaction end with every row below it acked.
//! - **I5** DDL on a table runs when no batch of it is open or in flight.
//! - **I6** Every event kind has an arm; unknown kinds are skipped only if their IGNORABLE flag says so.
//! - **I7** Everything is bounded, by bytes too, and the router never waits on a channel without also receiving acks.
//! - **I8** Pure code cannot block.
//! - **I9** Only the engine spawns threads, logs errors and exits.

#![forbid(unsafe_code)]

pub mod backoff;
pub mod binlog;
pub mod check;
pub mod checkpoint;
pub mod clickhouse;
pub mod config;
pub mod engine;
pub mod error;
pub mod gtid;
pub mod guard;
pub mod http;
pub mod message;
pub mod metrics;
pub mod mysql;
pub mod plan;
pub mod position;
pub mod progress;
pub mod reader;
pub mod replay;
pub mod retention;
pub mod router;
pub mod rowbinary;
pub mod schema;
pub mod snapshot;
pub mod start;
pub mod transcode;
pub mod verify;
pub mod writer;
