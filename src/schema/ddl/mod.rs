//! What a DDL statement says: the changes of tables in it, or, where it is not understood, the names it names.
//!
//! [`parse`] is exact or gives up: `None` for a statement, or a clause of one, that it does not know. [`touched`] is for
//! what is left then: it over-estimates. Both read the statement as the server did that logged it: under its sql_mode,
//! version comments as code. Names are as written: comparing them under `lower_case_table_names` is the caller's part.
//! The grammar is MySQL's of 5.7 to 9.7, with what MariaDB's column and index clauses add.

mod alter;
mod column;
mod create;
mod data_type;
mod index;
mod literal;
mod options;
mod parser;
mod partition;
mod statement;
mod tokens;
mod touched;

pub use options::keeps_rows;
pub use statement::{is_schema_change, parse, sql_mode_bits, verb};
pub use touched::{Touched, touched};
