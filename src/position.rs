//! Where the stream is, and the version that a row gets from where it stands.
//!
//! A [`Position`] is a transaction end: the only kind of place where the stream may resume. A [`Version`] is a pure
//! function of timeline, binlog file and byte offset (I2), so replay makes the same bytes and batches may land in any
//! order. This module does no IO and knows nothing of tables.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::gtid::GtidSet;

const FILE_BITS: u32 = 20;
const OFFSET_BITS: u32 = 34;
const TIMELINE_MAX: u16 = (1 << 10) - 1;

/// A run of comparable positions: one server, whose binlog numbers only rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// 0..=1023; rows of a higher timeline win.
    pub number: u16,
    /// The binlog file number that counts as 0.
    pub base_file: u32,
}

/// `timeline (10 bits) | file (20 bits) | offset (34 bits)`: the order in which MySQL wrote the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Version(pub u64);

impl Version {
    /// The timeline number in this version.
    pub fn timeline(self) -> u16 {
        // 10 bits fit.
        u16::try_from(self.0 >> (FILE_BITS + OFFSET_BITS)).unwrap_or(TIMELINE_MAX)
    }

    /// The version `bytes` further on in the same file.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

impl Timeline {
    /// Whether a row at `offset` can have a version.
    ///
    /// # Errors
    /// [`ErrorKind::TableShape`] beyond 16 GiB: the row's table is set aside.
    pub fn check_offset(offset: u64) -> Result<()> {
        if offset >> OFFSET_BITS == 0 {
            return Ok(());
        }
        let text = format!(
            "offset {offset} of a binlog file lies above 16 GiB and does not fit in a version: keep transactions smaller, then run `resync`"
        );
        Err(Error::new(ErrorKind::TableShape, text))
    }

    /// Below every row of the stream in this timeline, above every row of an earlier one.
    pub fn first_version(self) -> Version {
        Version(u64::from(self.number) << (FILE_BITS + OFFSET_BITS))
    }

    /// The place of a row of this timeline, its file named as `like` is; `None` for rows of another.
    pub fn place(self, version: Version, like: &str) -> Option<(String, u64)> {
        let relative = version.0.checked_sub(self.first_version().0)? >> OFFSET_BITS;
        let relative = u32::try_from(relative).ok().filter(|relative| relative >> FILE_BITS == 0)?;
        let (name, digits) = like.rsplit_once('.')?;
        let (number, width) = (self.base_file.checked_add(relative)?, digits.len());
        Some((format!("{name}.{number:0width$}"), version.0 & ((1 << OFFSET_BITS) - 1)))
    }

    /// The version of the byte at `offset` of `file`.
    ///
    /// # Errors
    /// When one of the three fields runs out; the text names `resync`.
    pub fn version(self, file: &str, offset: u64) -> Result<Version> {
        let number = file_number(file)?;
        let relative = number.checked_sub(self.base_file).ok_or_else(|| {
            let text = format!("binlog file {file} lies before this timeline's base {}: the binlog numbers were reset; run `resync` for all tables", self.base_file);
            Error::new(ErrorKind::LostPosition, text)
        })?;
        if self.number > TIMELINE_MAX || relative >> FILE_BITS != 0 {
            let text = format!(
                "timeline {} and file {file} do not fit in a 64-bit version: run `resync` for all tables",
                self.number
            );
            return Err(Error::new(ErrorKind::LostPosition, text));
        }
        Self::check_offset(offset)?;
        let high = u64::from(self.number) << FILE_BITS | u64::from(relative);
        Ok(Version(high << OFFSET_BITS | offset))
    }
}

/// The number in a binlog file's name: 42 of `binlog.000042`.
///
/// # Errors
/// When the name has no numeric extension.
pub fn file_number(file: &str) -> Result<u32> {
    let number = file.rsplit_once('.').and_then(|(_, digits)| digits.parse().ok());
    number.ok_or_else(|| {
        Error::new(ErrorKind::CorruptStream, format!("binlog file name {file:?} does not end in a number"))
    })
}

/// What the names of a log's files have in common: `binlog` of `binlog.000042` (`log_bin`). Numbers of another name begin
/// anew.
pub fn log_name(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(name, _)| name)
}

/// A transaction end in the source's binary log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// Binlog file name.
    pub file: String,
    /// Byte offset in `file`, 64 bits wide though the protocol's field wraps at 4 GiB.
    pub offset: u64,
    /// Every GTID applied so far; `None` when the set did not begin complete (then only `file:offset` resumes).
    pub gtid_set: Option<GtidSet>,
    /// The source's `@@server_uuid`.
    pub server_uuid: String,
    /// Header timestamp of the file's FORMAT_DESCRIPTION: tells a file from another one of the same name.
    pub file_timestamp: u32,
    /// Commit time of the last transaction, microseconds since 1970; 0 when none is known.
    pub last_commit_us: u64,
    /// XA transactions prepared before this position and decided after it whose rows the target has: a stream that starts
    /// here has not seen them prepared, and passes over their outcome. As the binary log writes xids.
    pub settled_xids: BTreeSet<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_with_offset_file_and_timeline() {
        let version = |number, file: &str, offset| Timeline { number, base_file: 41 }.version(file, offset).unwrap();
        let rising = [
            version(1, "b.000041", 4),
            version(1, "b.000041", 5),
            version(1, "b.000042", 4),
            version(2, "b.000041", 4),
        ];
        assert!(rising.is_sorted_by(|a, b| a < b));
        assert_eq!(version(2, "b.000041", 4).timeline(), 2);
        assert_eq!(version(1, "b.000042", 7).0, 1 << 54 | 1 << 34 | 7);
    }

    #[test]
    fn a_version_tells_its_place() {
        let timeline = Timeline { number: 3, base_file: 41 };
        for (file, offset) in [("b.000041", 4), ("b.000099", (1 << 34) - 1)] {
            let version = timeline.version(file, offset).unwrap();
            assert_eq!(timeline.place(version, "b.000042"), Some((file.to_owned(), offset)));
            assert_eq!(Timeline { number: 2, base_file: 41 }.place(version, file), None);
            assert_eq!(Timeline { number: 4, base_file: 41 }.place(version, file), None);
        }
    }

    #[test]
    fn fields_that_run_out_are_errors() {
        let timeline = Timeline { number: 1, base_file: 10 };
        for (file, offset) in [("b.000009", 4), ("b.2000000", 4), ("b.000011", 1 << 34), ("b", 4)] {
            assert!(timeline.version(file, offset).is_err(), "{file}:{offset}");
        }
    }
}
