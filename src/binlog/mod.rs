//! The binary log's events, parsed in place: bytes in, borrowed views out. Pure.
//!
//! Every parser takes what a server may send, and anything else is an error: no panic, no allocation by a length that
//! is not there in bytes. The hot path (header, rows events, BEGIN, XID) allocates nothing. Layouts follow MySQL's
//! `libs/mysql/binlog/event` and were compared with what MySQL 9.7 writes; the unit tests hold its bytes.

#![deny(clippy::indexing_slicing)]

pub mod control;
pub mod cursor;
pub mod event;
pub mod gtid_event;
pub mod json;
pub mod json_diff;
pub mod minimal;
pub mod payload;
pub mod query;
pub mod rows;
pub mod table_map;

mod column_metadata;
mod kind;

#[cfg(test)]
pub(crate) mod samples;
