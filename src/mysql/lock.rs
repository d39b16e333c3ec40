//! A named lock on the source (`GET_LOCK`), which one session at a time can hold.
//!
//! The server frees it with the session: at once when the process is killed, since its socket is closed then; and
//! [`SILENCE_MAX`] after the last statement when nobody closes anything (a machine that died, a stopped process, a network
//! that is cut), since `wait_timeout` of the session is that long. So whoever holds it must speak more often.
//! It is no proof for its holder: the session may have ended since the last answer.

use std::time::Duration;

use crate::config::MysqlConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mysql::source::{Source, number, text};

/// A session that is silent for longer loses the lock.
pub const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Whoever has it may end just before we ask who it is.
const ATTEMPTS: usize = 3;

/// The longest name that MySQL takes.
const NAME_BYTES_MAX: usize = 64;

/// A session that has the lock, or had it.
#[derive(Debug)]
pub struct Lock {
    source: Source,
    name: String,
}

/// Who has the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The id of its session.
    pub session: u64,
    /// Its address as the server sees it; empty when we may not see that (another account, without PROCESS).
    pub address: String,
}

impl Lock {
    /// Takes the lock, waiting for it for `patience` (in whole seconds); or who has it.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub fn take(config: &MysqlConfig, name: &str, patience: Duration) -> Result<std::result::Result<Self, Holder>> {
        let mut source = Source::connect(config)?;
        let doing = "taking the pipeline's lock";
        source.rows(doing, &format!("SET SESSION wait_timeout = {}", SILENCE_MAX.as_secs()))?;
        for _ in 0..ATTEMPTS {
            let rows = source.rows(doing, &format!("SELECT GET_LOCK('{name}', {})", patience.as_secs()))?;
            if rows.first().is_some_and(|row| number(row, 0) == 1) {
                return Ok(Ok(Self { source, name: name.to_owned() }));
            }
            // Else it has become free meanwhile.
            if let Some(holder) = holder(&mut source, name)? {
                return Ok(Err(holder));
            }
        }
        Err(Error::new(ErrorKind::SourceDown, format!("MySQL neither gives the lock {name} nor says who has it")))
    }

    /// Whether this session has it still.
    ///
    /// # Errors
    /// When the session has ended.
    pub fn holds(&mut self) -> Result<bool> {
        let query = format!("SELECT IS_USED_LOCK('{}') <=> CONNECTION_ID()", self.name);
        let rows = self.source.rows("looking after the pipeline's lock", &query)?;
        Ok(rows.first().is_some_and(|row| number(row, 0) == 1))
    }

    /// The lock's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its session, for other questions.
    pub fn source(&mut self) -> &mut Source {
        &mut self.source
    }
}

/// Who has the lock; `None` when it is free.
///
/// # Errors
/// When the server is away or refuses.
pub fn holder(source: &mut Source, name: &str) -> Result<Option<Holder>> {
    let query = format!(
        "SELECT s.id, p.host FROM (SELECT IS_USED_LOCK('{name}') AS id) AS s \
         LEFT JOIN information_schema.processlist AS p ON p.id = s.id WHERE s.id IS NOT NULL"
    );
    let rows = source.rows("asking for the pipeline's lock", &query)?;
    Ok(rows.first().map(|row| Holder { session: number(row, 0), address: text(row, 1) }))
}

/// The lock's name: of one pipeline (letters, digits, `_` and `-`) into one target.
pub fn name(pipeline: &str, target: &str) -> String {
    // FNV-1a of all that tells pipelines apart.
    let bytes = pipeline.bytes().chain([0]).chain(target.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let shown: String = pipeline.chars().take(NAME_BYTES_MAX - "stream-bridge--".len() - 16).collect();
    format!("stream-bridge-{shown}-{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let long = "x".repeat(64);
        let names = [name("main", "a"), name("main", "b"), name("main2", "a"), name(&long, "a"), name(&long[1..], "a")];
        for (index, one) in names.iter().enumerate() {
            assert!(one.len() <= NAME_BYTES_MAX, "{one}");
            assert!(names[index + 1..].iter().all(|other| one != other), "{names:?}");
        }
        assert_eq!(name("main", "a"), "stream-bridge-main-".to_owned() + &name("main", "a")[19..]);
    }
}
