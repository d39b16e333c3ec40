//! What tables look like on both sides, and how one side's types become the other's. Pure.

pub mod catalog;
pub mod charset;
pub mod ddl;
pub mod mapping;
pub mod target;
mod tokens;
pub mod types;
