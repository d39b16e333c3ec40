//! Stream Bridge keeps ClickHouse equal to MySQL in real time.

#![forbid(unsafe_code)]

pub mod binlog;
pub mod checkpoint;
pub mod clickhouse;
pub mod config;
pub mod engine;
pub mod error;
pub mod gtid;
pub mod http;
pub mod message;
pub mod metrics;
pub mod mysql;
pub mod position;
pub mod reader;
pub mod router;
pub mod rowbinary;
pub mod schema;
pub mod transcode;
pub mod writer;
