//! When replication state is saved, and in which order.
//!
//! One save is out at a time. Dead letters, table states and chunks of copies go, in this order, before the checkpoint that relies on them. Chunks alone
//! are in no hurry: a save costs ClickHouse milliseconds, and what one saves late a restart copies again. A checkpoint is
//! due by time, by rows events (at most one such a second), once the low water has reached another binlog file, and at the
//! end; it is only worth a save when the low water moved. Its number continues the one loaded at the start. Saving never stops the stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint::Checkpoint;
use crate::message::Save;
use crate::position::{Position, Timeline};

/// At most one save a second for the number of events.
const EVENTS_INTERVAL: Duration = Duration::from_secs(1);
/// At most one save a second for chunks alone.
const CHUNKS_INTERVAL: Duration = Duration::from_secs(1);

/// When checkpoints are due, from `[state]`.
#[derive(Debug, Clone, Copy)]
pub struct SavePace {
    /// `checkpoint_interval`.
    pub interval: Duration,
    /// `checkpoint_events`: rows events.
    pub events: u64,
}

/// The saves to come, and the last one.
#[derive(Debug)]
pub struct Saver {
    pace: SavePace,
    /// The last checkpoint that is saved.
    pub saved: Checkpoint,
    /// When it was.
    pub saved_at: Instant,
    /// What goes before the next checkpoint, in this order.
    records: VecDeque<Save>,
    chunks_saved_at: Instant,
    is_out: bool,
    /// Whether it is the first of the records.
    is_record_out: bool,
    not_before: Option<Instant>,
    /// Failed attempts of the save that is next.
    pub attempts: u32,
    events: u64,
    wanted: bool,
}

impl Saver {
    /// Goes on from `saved`, the claim that this process saved at its start.
    pub fn new(pace: SavePace, saved: Checkpoint, now: Instant) -> Self {
        Self {
            pace,
            saved,
            saved_at: now,
            records: VecDeque::new(),
            chunks_saved_at: now,
            is_out: false,
            is_record_out: false,
            not_before: None,
            attempts: 0,
            events: 0,
            wanted: false,
        }
    }

    /// A rows event was decoded.
    pub fn count_event(&mut self) {
        self.events += 1;
    }

    /// A checkpoint is due at once: the process stops.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// What the next checkpoint may rely on. Chunks that wait go together: a busy server takes its time for each save.
    pub fn push(&mut self, record: Save) {
        let waits = self.records.len() > usize::from(self.is_record_out);
        match (self.records.back_mut().filter(|_| waits), record) {
            (Some(Save::Chunks(waiting)), Save::Chunks(more)) => Arc::make_mut(waiting).extend(more.iter().cloned()),
            // A table that is set aside and copied anew is not to be found set aside by a start in between.
            (Some(Save::TableState(waiting)), Save::TableState(newer)) if waiting.table == newer.table => {
                *waiting = newer
            }
            (_, record) => self.records.push_back(record),
        }
    }

    /// Whether a save may start now.
    pub fn is_due(&self, low_water: &Position, now: Instant) -> bool {
        self.next_instant(low_water).is_some_and(|instant| instant <= now)
    }

    /// From when a save may start; `None`: only after something changes.
    pub fn next_instant(&self, low_water: &Position) -> Option<Instant> {
        if self.is_out {
            return None;
        }
        let wanted = self.records_instant().into_iter().chain(self.checkpoint_instant(low_water)).min()?;
        Some(self.not_before.map_or(wanted, |not_before| wanted.max(not_before)))
    }

    fn records_instant(&self) -> Option<Instant> {
        match (self.records.front()?, self.records.len()) {
            (Save::Chunks(_), 1) if !self.wanted => Some(self.chunks_saved_at + CHUNKS_INTERVAL),
            _ => Some(self.saved_at),
        }
    }

    fn checkpoint_instant(&self, low_water: &Position) -> Option<Instant> {
        if *low_water == self.saved.position {
            return None;
        }
        let interval = match () {
            () if self.wanted || low_water.file != self.saved.position.file => Duration::ZERO,
            () if self.events >= self.pace.events => EVENTS_INTERVAL.min(self.pace.interval),
            () => self.pace.interval,
        };
        Some(self.saved_at + interval)
    }

    /// Takes the save that is due.
    pub fn take(&mut self, low_water: &Arc<Position>, timeline: Timeline) -> Save {
        self.is_out = true;
        self.is_record_out = !self.records.is_empty();
        if let Some(record) = self.records.front() {
            return record.clone();
        }
        self.wanted = false;
        self.events = 0;
        let position = Position::clone(low_water);
        Save::Checkpoint(Checkpoint { seq: self.saved.seq + 1, position, timeline })
    }

    /// The save that was out is in ClickHouse, or given up.
    pub fn done(&mut self, save: &Save, now: Instant) {
        self.reset();
        match save {
            Save::Checkpoint(checkpoint) => {
                self.saved = checkpoint.clone();
                self.saved_at = now;
            }
            Save::Chunks(_) => {
                self.records.pop_front();
                self.chunks_saved_at = now;
            }
            Save::TableState(_) | Save::DeadLetters(_) | Save::Exchange(_) | Save::Ddl(_) | Save::Drop(..) => {
                self.records.pop_front();
            }
        }
    }

    /// The save that was out failed: it is made anew, not before `not_before`.
    pub fn failed(&mut self, not_before: Instant) {
        let attempts = self.attempts + 1;
        self.reset();
        self.attempts = attempts;
        self.not_before = Some(not_before);
        self.wanted = true;
    }

    fn reset(&mut self) {
        (self.is_out, self.is_record_out) = (false, false);
        self.not_before = None;
        self.attempts = 0;
    }

    /// Whether nothing is out and nothing waits, given where the low water is.
    pub fn is_clear(&self, low_water: &Position) -> bool {
        !self.is_out && self.records.is_empty() && *low_water == self.saved.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{CopyChunk, TableState};

    const SECOND: Duration = Duration::from_secs(1);

    fn rig() -> (Saver, Instant) {
        let now = Instant::now();
        let timeline = Timeline { number: 1, base_file: 0 };
        let claim = Checkpoint { seq: 7, position: Position::default(), timeline };
        (Saver::new(SavePace { interval: 30 * SECOND, events: 3 }, claim, now), now)
    }

    fn at(offset: u64) -> Arc<Position> {
        Arc::new(Position { offset, ..Position::default() })
    }

    #[test]
    fn chunks_that_wait_go_together_but_not_with_those_that_are_out() {
        let now = Instant::now();
        let pace = SavePace { interval: EVENTS_INTERVAL, events: 1000 };
        let (position, timeline) = (Arc::<Position>::default(), Timeline { number: 1, base_file: 0 });
        let first = Checkpoint { seq: 1, position: Position::default(), timeline };
        let mut saver = Saver::new(pace, first, now);
        let chunk = |chunk| Save::Chunks(Arc::new(vec![CopyChunk { chunk, ..CopyChunk::default() }]));
        let numbers = |save: &Save| match save {
            Save::Chunks(chunks) => chunks.iter().map(|chunk| chunk.chunk).collect::<Vec<_>>(),
            Save::Checkpoint(_)
            | Save::TableState(_)
            | Save::DeadLetters(_)
            | Save::Exchange(_)
            | Save::Ddl(_)
            | Save::Drop(..) => {
                panic!("{save:?}")
            }
        };
        saver.push(chunk(0));
        let out = saver.take(&position, timeline);
        for number in 1..4 {
            saver.push(chunk(number));
        }
        assert_eq!(numbers(&out), [0]);
        saver.done(&out, now);
        let out = saver.take(&position, timeline);
        assert_eq!(numbers(&out), [1, 2, 3]);
        saver.done(&out, now);
        assert!(saver.is_clear(&position));
    }

    #[test]
    fn chunks_alone_wait_a_second_but_for_nothing_else() {
        let chunk = || Save::Chunks(Arc::new(vec![CopyChunk::default()]));
        let (mut saver, now) = rig();
        saver.push(chunk());
        assert!(!saver.is_due(&at(0), now) && saver.is_due(&at(0), now + SECOND));
        saver.push(Save::TableState(TableState::default()));
        assert!(saver.is_due(&at(0), now), "a state behind them");
        let (mut saver, now) = rig();
        saver.push(chunk());
        saver.want();
        assert!(saver.is_due(&at(0), now), "the process stops");
        let (mut saver, now) = rig();
        saver.push(chunk());
        (0..3).for_each(|_| saver.count_event());
        let save = saver.take(&at(0), saver.saved.timeline);
        saver.done(&save, now + SECOND / 2);
        saver.push(chunk());
        assert!(!saver.is_due(&at(0), now + SECOND));
        assert!(saver.is_due(&at(9), now + SECOND), "a checkpoint that is due");
    }

    #[test]
    fn due_by_time_events_or_wish_and_only_when_the_low_water_moved() {
        let (mut saver, now) = rig();
        assert!(!saver.is_due(&at(0), now + 100 * SECOND), "nothing moved");
        assert!(!saver.is_due(&at(9), now + 29 * SECOND));
        assert!(saver.is_due(&at(9), now + 30 * SECOND));
        (0..3).for_each(|_| saver.count_event());
        assert!(saver.is_due(&at(9), now + SECOND) && !saver.is_due(&at(9), now));
        saver.want();
        assert!(saver.is_due(&at(9), now));
    }

    /// Not once the stream has: its rows may not be acked then.
    #[test]
    fn due_when_the_low_water_has_reached_another_file() {
        let (mut saver, now) = rig();
        let timeline = saver.saved.timeline;
        let next = Arc::new(Position { file: "binlog.000002".to_owned(), offset: 4, ..Position::default() });
        assert!(!saver.is_due(&at(9), now) && saver.is_due(&next, now));
        let save = saver.take(&next, timeline);
        saver.done(&save, now);
        let later = Position { offset: 90, ..Position::clone(&next) };
        assert!(!saver.is_due(&later, now));
    }

    #[test]
    fn a_state_that_waits_is_saved_as_it_is_now() {
        let (mut saver, now) = rig();
        let timeline = saver.saved.timeline;
        let state = |table: &str, reason: &str| {
            let (table, reason) = (table.to_owned(), reason.to_owned());
            Save::TableState(TableState { table, reason, ..TableState::default() })
        };
        let next = |saver: &mut Saver| {
            let save = saver.take(&at(9), timeline);
            saver.done(&save, now);
            let Save::TableState(state) = save else { panic!("{save:?}") };
            (state.table, state.reason)
        };
        saver.want();
        let checkpoint = saver.take(&at(9), timeline);
        for (table, reason) in [("d.t", "set aside"), ("d.t", "copied anew"), ("d.u", ""), ("d.t", "later")] {
            saver.push(state(table, reason));
        }
        saver.done(&checkpoint, now);
        let saved = [next(&mut saver), next(&mut saver), next(&mut saver)];
        assert_eq!(saved.map(|(table, reason)| table + &reason), ["d.tcopied anew", "d.u", "d.tlater"]);
    }

    #[test]
    fn one_at_a_time_states_first_numbers_rise_only_when_saved() {
        let (mut saver, now) = rig();
        let timeline = saver.saved.timeline;
        saver.want();
        saver.push(Save::TableState(TableState { table: "a.b".to_owned(), ..TableState::default() }));
        let state = saver.take(&at(9), timeline);
        assert!(matches!(state, Save::TableState(_)));
        assert!(!saver.is_due(&at(9), now), "one is out");
        saver.done(&state, now);
        let save = saver.take(&at(9), timeline);
        assert!(matches!(&save, Save::Checkpoint(checkpoint) if checkpoint.seq == 8));
        saver.failed(now + SECOND);
        assert!(!saver.is_due(&at(9), now) && saver.is_due(&at(9), now + SECOND));
        let save = saver.take(&at(11), timeline);
        assert!(
            matches!(&save, Save::Checkpoint(checkpoint) if checkpoint.seq == 8 && checkpoint.position.offset == 11)
        );
        saver.done(&save, now);
        assert!(saver.is_clear(&at(11)) && !saver.is_clear(&at(12)));
    }
}
