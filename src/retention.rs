//! How long the source will keep the binary log that a restart still needs. It computes; `guard` asks.
//!
//! MySQL purges files when it rotates the log and when it starts: the oldest first, each whose last write was longer ago than
//! `binlog_expire_logs_seconds`; never the newest, nor one that a connected replica reads. What a restart needs begins in
//! the file of the saved position, so the question is when that one was written to last, which no SQL tells. Two things
//! are known. It was written to when the last transaction before the position was committed, so
//!
//! > it stays for the expiry after that commit, at the least.
//!
//! And while it is the newest file, its last write is still to come: whatever ends it, a rotation or a shutdown, writes to it;
//! so it stays for the whole expiry from now on. (A server that crashes and stays away for longer than the expiry is the
//! exception: then the first holds.) Both are lower bounds, at a standstill: as if we read no further and were not
//! connected. The true time is longer by what was written to the file after the position. `PURGE BINARY LOGS` by hand, and
//! a clock that is set, nobody can foresee.
//!
//! Percona Server and MariaDB also purge by size (`binlog_space_limit`, `max_binlog_total_size`). Then the bound is the bytes
//! that may still be written, at the pace at which the source wrote them of late: an estimate.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// What a restart needs: everything after this place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needed {
    /// Binlog file.
    pub file: String,
    /// Byte offset.
    pub offset: u64,
    /// When the last transaction before it was committed, in microseconds since 1970 by the source's clock.
    pub commit_us: u64,
}

/// When the source purges, by its variables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiry {
    /// After so many seconds; `None`: not by age.
    pub seconds: Option<u64>,
    /// When all files together have more bytes; `None`: not by size.
    pub total_bytes: Option<u64>,
}

/// The source as one look found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Its binary log files with their bytes, oldest first.
    pub files: Vec<(String, u64)>,
    /// When it purges.
    pub expiry: Expiry,
    /// Its clock, in microseconds since 1970.
    pub now_us: u64,
}

/// `retention` in `GET /status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Retention {
    /// How long what is needed is kept at the least; `null` when the source purges nothing by itself.
    pub seconds_left: Option<f64>,
    /// How long a file is kept after its last write; `null`: not limited.
    pub expiry_seconds: Option<u64>,
    /// The oldest file that the source has.
    pub oldest_file: String,
    /// The file that is needed.
    pub needed_file: String,
    /// Newer files than that.
    pub files_behind: u64,
    /// Bytes from the place that is needed to the end.
    pub bytes_behind: u64,
    /// Seconds of the source's time that were written to the target per second of late; below 1 it falls behind. `null`
    /// until it is known.
    pub pace: Option<f64>,
}

/// Two looks some time apart: how fast the source writes and we follow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Seconds of the source's time per second.
    pub ours: Option<f64>,
    /// Bytes per second.
    pub source: Option<f64>,
}

impl Expiry {
    /// From the server's variables, those of which it has.
    pub fn of(variables: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| variables.get(name).map(String::as_str);
        let number = |name: &str| text(name)?.parse::<u64>().ok().filter(|number| *number > 0);
        let is_off = matches!(text("binlog_expire_logs_auto_purge"), Some("OFF" | "0"));
        // MariaDB's days have a fraction.
        let days = text("expire_logs_days").and_then(|days| days.parse::<f64>().ok());
        let of_days = days.and_then(|days| Duration::try_from_secs_f64(days * 86_400.0).ok()).map(|age| age.as_secs());
        // Where both are set, seconds win.
        let seconds = number("binlog_expire_logs_seconds").or(of_days.filter(|seconds| *seconds > 0));
        let total_bytes = number("binlog_space_limit").or_else(|| number("max_binlog_total_size"));
        Self { seconds: seconds.filter(|_| !is_off), total_bytes }
    }

    /// The variables that it is made from.
    pub const VARIABLES: [&'static str; 5] = [
        "binlog_expire_logs_seconds",
        "binlog_expire_logs_auto_purge",
        "expire_logs_days",
        "binlog_space_limit",
        "max_binlog_total_size",
    ];
}

impl Look {
    /// How long what is needed is kept.
    pub fn retention(&self, needed: &Needed, pace: Pace) -> Retention {
        let place = self.files.iter().position(|(file, _)| *file == needed.file);
        let since = place.map_or(&[][..], |place| self.files.get(place..).unwrap_or_default());
        let bytes: u64 = since.iter().map(|(_, bytes)| bytes).sum();
        let left = [self.left_by_age(needed, since.len()), self.left_by_size(bytes, pace)];
        let seconds_left = left.into_iter().flatten().reduce(f64::min);
        Retention {
            // A file that is gone is not kept, whatever the variables say.
            seconds_left: if since.is_empty() { Some(0.0) } else { seconds_left },
            expiry_seconds: self.expiry.seconds,
            oldest_file: self.files.first().map(|(file, _)| file.clone()).unwrap_or_default(),
            needed_file: needed.file.clone(),
            files_behind: since.len().saturating_sub(1) as u64,
            bytes_behind: bytes.saturating_sub(needed.offset),
            pace: pace.ours,
        }
    }

    fn left_by_age(&self, needed: &Needed, files: usize) -> Option<f64> {
        let seconds = self.expiry.seconds? as f64;
        let age_us = self.now_us.saturating_sub(needed.commit_us);
        let age = if files <= 1 { 0.0 } else { age_us as f64 / 1e6 };
        Some((seconds - age).max(0.0))
    }

    fn left_by_size(&self, bytes: u64, pace: Pace) -> Option<f64> {
        let bytes_left = self.expiry.total_bytes?.saturating_sub(bytes);
        let per_second = pace.source.filter(|pace| *pace > 0.0)?;
        Some(bytes_left as f64 / per_second)
    }

    /// The paces between an earlier look and this one, and between what was needed at each.
    pub fn pace_since(&self, earlier: &Self, needed: [&Needed; 2]) -> Pace {
        let seconds = self.now_us.saturating_sub(earlier.now_us) as f64 / 1e6;
        let per_second = |amount: u64| (seconds > 0.0).then(|| amount as f64 / seconds);
        let [before, now] = needed;
        let written = self.bytes_after(earlier.files.last());
        Pace {
            ours: per_second(now.commit_us.saturating_sub(before.commit_us)).map(|us| us / 1e6),
            source: written.and_then(per_second),
        }
    }

    fn bytes_after(&self, end: Option<&(String, u64)>) -> Option<u64> {
        let (file, offset) = end?;
        let place = self.files.iter().position(|(name, _)| name == file)?;
        let bytes: u64 = self.files.get(place..)?.iter().map(|(_, bytes)| bytes).sum();
        Some(bytes.saturating_sub(*offset))
    }
}

impl Retention {
    /// Whether less than half of the time is left that the source gives.
    pub fn is_short(&self) -> bool {
        let half = self.expiry_seconds.map_or(f64::INFINITY, |seconds| seconds as f64 / 2.0);
        self.seconds_left.is_some_and(|left| left < half && (left == 0.0 || half.is_finite()))
    }

    /// For the log.
    pub fn warning(&self) -> String {
        let Self { oldest_file, needed_file, files_behind, bytes_behind, .. } = self;
        let left = self.seconds_left.unwrap_or_default() / 3600.0;
        let pace = self.pace.map_or(String::new(), |pace| format!(", followed at {pace:.1} times its own pace"));
        format!(
            "the source may purge the binary log that a restart needs in {left:.1} hours ({needed_file}, {files_behind} files and \
             {:.1} MB behind{pace}; its oldest is {oldest_file}): raise binlog_expire_logs_seconds, or mend what holds the \
             checkpoint back; without that file all tables must be copied again",
            *bytes_behind as f64 / 1e6
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3_600_000_000;

    fn expiry(pairs: &[(&str, &str)]) -> Expiry {
        Expiry::of(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn look(expiry: Expiry, now_us: u64) -> Look {
        let file = |number, bytes| (format!("binlog.00000{number}"), bytes);
        Look { files: vec![file(3, 1000), file(4, 2000), file(5, 500)], expiry, now_us }
    }

    fn needed(file: u32, offset: u64, commit_us: u64) -> Needed {
        Needed { file: format!("binlog.00000{file}"), offset, commit_us }
    }

    #[test]
    fn what_the_variables_say() {
        let seconds = |pairs| expiry(pairs).seconds;
        assert_eq!(
            seconds(&[("binlog_expire_logs_seconds", "2592000"), ("binlog_expire_logs_auto_purge", "ON")]),
            Some(2_592_000)
        );
        assert_eq!(
            seconds(&[("binlog_expire_logs_seconds", "2592000"), ("binlog_expire_logs_auto_purge", "OFF")]),
            None
        );
        assert_eq!(seconds(&[("binlog_expire_logs_seconds", "0"), ("expire_logs_days", "2")]), Some(172_800));
        assert_eq!(seconds(&[("binlog_expire_logs_seconds", "60"), ("expire_logs_days", "2")]), Some(60));
        assert_eq!(seconds(&[("expire_logs_days", "0.500000")]), Some(43_200));
        assert_eq!(seconds(&[]), None);
        assert_eq!(expiry(&[("binlog_space_limit", "4096")]).total_bytes, Some(4096));
        assert_eq!(expiry(&[("max_binlog_total_size", "0")]).total_bytes, None);
    }

    #[test]
    fn an_older_file_is_kept_for_the_expiry_after_the_last_known_commit() {
        let day = Expiry { seconds: Some(86_400), total_bytes: None };
        let now_us = 1000 * HOUR_US;
        let check = |needed: &Needed, left: Option<f64>, files, bytes, is_short| {
            let retention = look(day, now_us).retention(needed, Pace::default());
            let found = (retention.seconds_left, retention.files_behind, retention.bytes_behind, retention.is_short());
            assert_eq!(found, (left, files, bytes, is_short), "{needed:?}");
        };
        check(&needed(4, 500, now_us - 6 * HOUR_US), Some(18.0 * 3600.0), 1, 2000, false);
        check(&needed(3, 1000, now_us - 13 * HOUR_US), Some(11.0 * 3600.0), 2, 2500, true);
        check(&needed(3, 0, now_us - 30 * HOUR_US), Some(0.0), 2, 3500, true);
        // The newest file's last write is to come.
        check(&needed(5, 500, now_us - 700 * HOUR_US), Some(86_400.0), 0, 0, false);
        // Gone already.
        check(&needed(2, 500, now_us - HOUR_US), Some(0.0), 0, 0, true);
    }

    #[test]
    fn nothing_is_purged_without_an_expiry() {
        let retention = look(Expiry::default(), HOUR_US).retention(&needed(3, 4, 1), Pace::default());
        assert_eq!((retention.seconds_left, retention.is_short()), (None, false));
        let gone = look(Expiry::default(), HOUR_US).retention(&needed(2, 4, 1), Pace::default());
        assert_eq!((gone.seconds_left, gone.is_short()), (Some(0.0), true), "purged by hand");
    }

    #[test]
    fn by_size_at_the_pace_of_the_source() {
        let limit = Expiry { seconds: Some(86_400), total_bytes: Some(10_000) };
        let pace = Pace { ours: Some(0.5), source: Some(65.0) };
        let retention = look(limit, HOUR_US).retention(&needed(3, 4, HOUR_US), pace);
        assert_eq!(retention.seconds_left, Some(6500.0 / 65.0));
        let standstill = look(limit, HOUR_US).retention(&needed(3, 4, HOUR_US), Pace { source: Some(0.0), ..pace });
        assert_eq!(standstill.seconds_left, Some(86_400.0));
    }

    #[test]
    fn paces_are_between_two_looks() {
        let earlier = look(Expiry::default(), 10 * HOUR_US);
        let mut later = look(Expiry::default(), 11 * HOUR_US);
        later.files[2].1 = 3600;
        later.files.push(("binlog.000006".to_owned(), 4100));
        let pace = later.pace_since(&earlier, [&needed(3, 4, HOUR_US), &needed(4, 4, 3 * HOUR_US)]);
        assert_eq!(pace, Pace { ours: Some(2.0), source: Some(2.0) });
        assert_eq!(earlier.pace_since(&earlier, [&needed(3, 4, 1); 2]), Pace::default());
    }
}
