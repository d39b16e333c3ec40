//! What can go wrong, where it went wrong, and what is done about it.
//!
//! Every fallible function of the crate returns [`Error`]: a kind, the place (binlog position, table, column) and a
//! text that names the remedy. The kind alone decides the [`Action`], in the one `match` of [`Error::action`]; nobody
//! else asks "may this be retried?". Stages return errors; only the engine logs them (I9).

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed, in classes that differ in what is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or the configuration is wrong, or asks for something not built yet.
    Config,
    /// MySQL or the way to it is down: socket errors, timeouts, a server that shuts down.
    SourceDown,
    /// MySQL refuses: login, privilege, a variable that replication cannot live with.
    SourceRefused,
    /// The source no longer has our position, or is another server.
    LostPosition,
    /// Bytes of the stream that no MySQL server sends, or an event that fails its checksum.
    CorruptStream,
    /// An event that this version does not carry out and must not skip.
    UnsupportedEvent,
    /// A schema change that the configuration has the engine stop at.
    StoppedByPolicy,
    /// One row cannot be carried over exactly.
    BadRow,
    /// The two shapes of a table do not fit, or its DDL or its events cannot be followed.
    TableShape,
    /// ClickHouse or the way to it is down or overloaded; the same bytes may succeed later.
    TargetBusy,
    /// The table has too many parts (code 252): later, and slower.
    TargetCrowded,
    /// ClickHouse refuses this one table or insert, and would again.
    TargetRefused,
    /// ClickHouse refuses us: login, privilege, read-only mode, quota, version.
    TargetDenied,
    /// Another process runs the same pipeline.
    SecondCopy,
}

/// What the engine does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Try the same again, with backoff.
    Retry,
    /// Set this table aside with the reason; the others go on.
    Quarantine,
    /// Flush, save, exit 1.
    Stop,
}

/// Where an error happened, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Binlog file and byte offset of the event.
    pub position: Option<(String, u64)>,
    /// `database.table` of the source.
    pub table: Option<String>,
    /// Column name.
    pub column: Option<String>,
}

/// An error with its place and its remedy, one pointer wide: results are returned for every event and most values, and
/// next to none of them is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Failure>);

/// What an [`Error`] says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Decides what is done about it.
    pub kind: ErrorKind,
    /// Where it happened.
    pub at: Place,
    /// What happened and how to mend it; no secrets.
    pub text: String,
    /// ClickHouse's error code, if that is what went wrong.
    pub code: Option<u32>,
}

impl Error {
    /// An error without a place yet.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self(Box::new(Failure { kind, at: Place::default(), text: text.into(), code: None }))
    }

    /// The same error as one of another kind.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same error with another text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    /// The same error, at this binlog position unless it has one already.
    #[must_use]
    pub fn at_position(mut self, file: &str, offset: u64) -> Self {
        self.at.position.get_or_insert_with(|| (file.to_owned(), offset));
        self
    }

    /// The same error, in this table (`database.table`) unless it has one already.
    #[must_use]
    pub fn at_table(mut self, table: impl fmt::Display) -> Self {
        self.at.table.get_or_insert_with(|| table.to_string());
        self
    }

    /// The same error, in this column unless it has one already.
    #[must_use]
    pub fn at_column(mut self, column: &str) -> Self {
        self.at.column.get_or_insert_with(|| column.to_owned());
        self
    }

    /// What is done about this error: the one place that decides.
    pub fn action(&self) -> Action {
        match self.kind {
            ErrorKind::SourceDown | ErrorKind::TargetBusy | ErrorKind::TargetCrowded | ErrorKind::TargetDenied => {
                Action::Retry
            }
            ErrorKind::BadRow | ErrorKind::TableShape | ErrorKind::TargetRefused => Action::Quarantine,
            ErrorKind::Config
            | ErrorKind::SourceRefused
            | ErrorKind::LostPosition
            | ErrorKind::CorruptStream
            | ErrorKind::UnsupportedEvent
            | ErrorKind::StoppedByPolicy
            | ErrorKind::SecondCopy => Action::Stop,
        }
    }

    /// The process's exit code for this error (DESIGN 9).
    pub fn exit_code(&self) -> u8 {
        if self.kind == ErrorKind::Config { 2 } else { 1 }
    }
}

impl Deref for Error {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl DerefMut for Error {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((file, offset)) = &self.at.position {
            write!(f, "{file}:{offset} ")?;
        }
        match (&self.at.table, &self.at.column) {
            (Some(table), Some(column)) => write!(f, "{table} column {column}: ")?,
            (Some(table), None) => write!(f, "{table}: ")?,
            (None, Some(column)) => write!(f, "column {column}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

/// Something `check` found, with what repairs it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// What is wrong, and where.
    pub text: String,
    /// The SQL (or the configuration line) that repairs it.
    pub repair: String,
    /// The source table that alone is concerned (`database.table`); `None` when it concerns all.
    pub table: Option<String>,
}

impl Problem {
    /// A problem of the whole.
    pub fn new(text: impl Into<String>, repair: impl Into<String>) -> Self {
        Self { text: text.into(), repair: repair.into(), table: None }
    }

    /// The same problem, of this table alone.
    #[must_use]
    pub fn of_table(mut self, table: impl fmt::Display) -> Self {
        self.table = Some(table.to_string());
        self
    }

    /// What is wrong and what repairs it, in one line or as many as they have.
    pub fn for_a_person(&self) -> String {
        format!("{} (repair: {})", self.text, self.repair)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_place_and_remedy() {
        let error = Error::new(ErrorKind::BadRow, "DECIMAL needs 9 bytes, 4 left")
            .at_column("price")
            .at_table("shop.orders")
            .at_position("binlog.000042", 1234);
        assert_eq!(error.to_string(), "binlog.000042:1234 shop.orders column price: DECIMAL needs 9 bytes, 4 left");
        assert_eq!(error.action(), Action::Quarantine);
    }

    #[test]
    fn the_innermost_place_stays() {
        let error = Error::new(ErrorKind::CorruptStream, "x").at_position("a", 1).at_position("b", 2);
        assert_eq!(error.at.position, Some(("a".to_owned(), 1)));
    }
}
