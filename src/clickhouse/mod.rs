//! ClickHouse over its HTTP interface: one client, the meaning of its errors, and the tables it has.
//!
//! Talks to ClickHouse only. What goes wrong comes back as [`crate::error::Error`]; nothing here retries, logs or
//! sleeps. Facts about servers stand beside the code that relies on them; "measured" means on a real 26.9.

pub mod alter;
pub mod barrier;
pub mod check;
pub mod client;
pub mod errors;
pub mod exchange;
mod features;
mod floor;
pub mod grants;
pub mod keyless;
pub mod mutations;
pub mod sql;
pub mod tables;
mod transport;

pub use client::Client;
pub use features::Features;
