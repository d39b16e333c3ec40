//! What `/status` and `/healthz` tell: a picture of the pipeline that the router redraws.
//!
//! The router writes it a few times a second, HTTP reads it: the only lock between them, far from the data path (I3).

pub mod bad_values;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;

use crate::retention::{Needed, Retention};
use bad_values::{BadValue, Counts};

/// The picture, shared.
#[derive(Debug)]
pub struct Status {
    picture: Mutex<(Picture, Instant)>,
    retention: Mutex<Option<(Retention, Instant)>>,
    counts: Arc<Counts>,
}

/// `GET /status` (DESIGN 9; other programs rely on the names).
#[derive(Debug, Clone, Default, Serialize)]
pub struct Picture {
    /// `starting | snapshot | streaming | waiting | stopping | failed`.
    pub state: String,
    /// What it waits for; empty while all is well.
    pub reason: String,
    /// Now minus the commit time of the newest transaction whose rows are all acked; 0 when nothing is outstanding.
    pub lag_seconds: f64,
    /// The router's last transaction end.
    pub position: PositionPicture,
    /// The last saved checkpoint.
    pub checkpoint: CheckpointPicture,
    /// Rows acked since the start.
    pub rows_total: u64,
    /// RowBinary bytes acked since the start.
    pub bytes_total: u64,
    /// Rows acked in the last second.
    pub rows_per_second: f64,
    /// Bytes held by chunks and bodies, against `pipeline.memory_limit`.
    pub memory_bytes: u64,
    /// `pipeline.memory_limit`.
    pub memory_limit_bytes: u64,
    /// Batches that are open, waiting or in flight.
    pub batches_outstanding: u64,
    /// Requests that failed and were sent again since the start, by ClickHouse's error code; `none`: it did not answer.
    pub retries: BTreeMap<String, u64>,
    /// How long the source keeps what a restart needs; `null` until the source was asked.
    pub retention: Option<Retention>,
    /// What that is.
    #[serde(skip)]
    pub needed: Needed,
    /// The chosen tables.
    pub tables: Vec<TablePicture>,
}

/// A binlog position.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PositionPicture {
    /// Binlog file.
    pub file: String,
    /// Byte offset.
    pub offset: u64,
    /// GTIDs applied; empty without GTID.
    pub gtid_set: String,
}

/// A saved checkpoint.
#[derive(Debug, Clone, Default, Serialize)]
pub struct CheckpointPicture {
    /// Its number.
    pub seq: u64,
    /// Its position.
    pub position: PositionPicture,
    /// Seconds since it was saved by this process; `null` before the first save.
    pub age_seconds: Option<f64>,
}

/// One table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TablePicture {
    /// `database.table` of the source.
    pub name: String,
    /// `pending | snapshot | streaming | waiting_ddl | quarantined | drifted | resync | unverified`.
    pub state: String,
    /// Why, for a person; empty while all is well.
    pub reason: String,
    /// Rows acked since the start.
    pub rows: u64,
    /// The highest acked `_version`.
    pub version: u64,
    /// As for the whole.
    pub lag_seconds: f64,
    /// Active parts of its target, as counted last; `null` before.
    pub parts: Option<u64>,
    /// How much of its copy is done; `null` without one, and until its key ranges are known.
    pub copied_percent: Option<u8>,
    /// Values that became NULL by `on_bad_value` since the start, by column and reason.
    pub bad_values: Vec<BadValue>,
}

impl Status {
    /// A pipeline that is starting.
    pub fn starting() -> Self {
        let picture = Picture { state: "starting".to_owned(), ..Picture::default() };
        Self { picture: Mutex::new((picture, Instant::now())), retention: Mutex::default(), counts: Arc::default() }
    }

    /// Replaces the picture; `moved_at` is since when the oldest batch waits, or when nothing did.
    pub fn draw(&self, picture: Picture, moved_at: Instant) {
        *self.picture.lock() = (picture, moved_at);
    }

    /// The picture as it is now.
    pub fn picture(&self) -> Picture {
        Picture { retention: self.retention(), ..self.picture.lock().0.clone() }
    }

    /// Where values that become NULL are counted.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// What the source was found to keep.
    pub fn keep(&self, retention: Retention) {
        *self.retention.lock() = Some((retention, Instant::now()));
    }

    /// As it was found, less the time since then: the source may be away, and its clock goes on.
    fn retention(&self) -> Option<Retention> {
        let (retention, found_at) = self.retention.lock().clone()?;
        let left = retention.seconds_left.map(|left| (left - found_at.elapsed().as_secs_f64()).max(0.0));
        Some(Retention { seconds_left: left, ..retention })
    }

    /// Why the pipeline is not healthy: not streaming or copying, or stuck for `stuck_after`.
    pub fn unhealthy(&self, stuck_after: std::time::Duration) -> Option<String> {
        let guard = self.picture.lock();
        let (picture, moved_at) = &*guard;
        let stuck = moved_at.elapsed();
        match picture.state.as_str() {
            "streaming" | "snapshot" if stuck < stuck_after => None,
            "streaming" | "snapshot" => Some(format!("no progress for {} s", stuck.as_secs())),
            state => Some(format!("state is {state} {}", picture.reason).trim_end().to_owned()),
        }
    }
}
