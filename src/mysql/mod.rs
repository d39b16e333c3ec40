//! MySQL: the replication connection, plain SQL, and what must be right on a server before it is replicated.
//!
//! Reading order: [`packet`] (the protocol's bytes, pure), [`auth`] (passwords, pure), [`socket`] and [`tls`] (streams),
//! [`connection`] (login, SQL), [`dump`] (the binary log as chunks of whole events), [`select`] (rows
//! by the binary protocol), [`refusal`] (what the server's errors mean);
//! [`source`] (plain SQL), [`chunks`] (key ranges of a copy), [`tables`] (`information_schema`), [`lock`] (one process at a time),
//! [`grants`] and [`checks`] (`check`).
//! Nothing here knows ClickHouse.

#![deny(clippy::indexing_slicing)]

pub mod auth;
pub mod checks;
pub mod chunks;
pub mod connection;
pub mod dump;
pub mod frames;
pub mod grants;
pub mod lock;
pub mod packet;
pub mod refusal;
pub mod select;
pub mod socket;
pub mod source;
pub mod table_lock;
pub mod tables;
pub mod tls;
pub mod track;
