//! What tables look like on both sides, and how one side's types become the other's. Pure.

pub mod alter;
pub mod catalog;
pub mod change;
pub mod charset;
pub mod choices;
pub mod column;
mod conversion;
pub mod ddl;
pub mod effect;
pub mod form;
mod initial;
pub mod keyless;
pub mod mapping;
mod resolve;
pub mod target;
pub mod target_type;
pub mod types;
