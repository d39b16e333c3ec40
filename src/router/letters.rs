//! Dead letters: what is kept of the rows for which a table is set aside.
//!
//! A letter is pushed before the table is set aside, so it is saved before the table's state, and both before any
//! checkpoint that passes the row. The reason, which `/status` shows, says that there are letters and of how many rows.

use std::sync::Arc;

use super::Router;
use crate::checkpoint::dead_letters::DeadLetter;
use crate::error::{Action, Error};
use crate::message::{Batch, EventSpan, Origin, Save, TableIndex};
use crate::position::Version;
use crate::schema::target::InsertColumns;
use crate::transcode::refused::{ROWS_MAX, RefusedKind, RefusedRow, refused_rows};
use crate::transcode::{RowPlan, RowsCursor};

/// How an operator sees them.
const SHOWN_BY: &str = "`stream-bridge resync --dead-letters` shows";

impl Router {
    /// Keeps the row of the event at `span` at which `rows` stands, `version` being that of its place; the error, which
    /// then says so.
    pub(super) fn keep_row(
        &mut self,
        table: TableIndex,
        (plan, columns): (&RowPlan, &Arc<InsertColumns>),
        (rows, version): (&RowsCursor<'_>, Version),
        span: EventSpan,
        error: Error,
    ) -> Error {
        if error.action() != Action::Quarantine {
            return error;
        }
        let refused = RefusedRow { version, ..plan.refused_row(rows) };
        let place = (self.stream.file().to_owned(), span.offset);
        let letter = self.letter(table, columns, &error, place, refused);
        let letter = DeadLetter { gtid: self.stream.gtid(), ..letter };
        self.saver.push(Save::DeadLetters(Arc::new(vec![letter])));
        kept(error, &format!("{SHOWN_BY} the row"))
    }

    /// Keeps a row that a table's copy has refused, in its chunk of this number.
    pub(super) fn keep_copied(
        &mut self,
        table: TableIndex,
        chunk: u32,
        columns: &Arc<InsertColumns>,
        refused: RefusedRow,
        error: &Error,
    ) {
        let letter = self.letter(table, columns, error, (String::new(), 0), refused);
        self.saver.push(Save::DeadLetters(Arc::new(vec![DeadLetter { row: chunk, ..letter }])));
    }

    /// Keeps the first rows of a batch that ClickHouse has refused, from the one on that the error names; the error, which
    /// then says so.
    pub(super) fn keep_batch(&mut self, batch: &Batch, error: Error) -> Error {
        let named = row_in(&error.text).filter(|&row| row < batch.body.rows()).unwrap_or(0);
        let refused = refused_rows(&batch.columns, &batch.body, named);
        if refused.is_empty() {
            return error;
        }
        let (count, is_copy) = (refused.len(), batch.origin != Origin::Stream);
        let mut letters: Vec<DeadLetter> = Vec::with_capacity(count);
        for mut refused in refused {
            let place = self.stream.timeline().place(refused.version, self.stream.file()).unwrap_or_default();
            if is_copy {
                refused.kind = RefusedKind::Copy;
            }
            // Rows of a copy, and of an XA transaction, have one version.
            let row =
                letters.last().filter(|last| last.refused.version == refused.version).map_or(0, |last| last.row + 1);
            let letter = self.letter(batch.table, &batch.columns, &error, place, refused);
            letters.push(DeadLetter { row, format: "rowbinary", ..letter });
        }
        self.saver.push(Save::DeadLetters(Arc::new(letters)));
        let rows = batch.body.rows();
        kept(error, &format!("{SHOWN_BY} {count} of the {rows} rows that were refused together, {ROWS_MAX} at most"))
    }

    fn letter(
        &self,
        table: TableIndex,
        columns: &Arc<InsertColumns>,
        error: &Error,
        place: (String, u64),
        refused: RefusedRow,
    ) -> DeadLetter {
        DeadLetter {
            table: self.saved_name(table).to_string(),
            row: 0,
            place,
            gtid: String::new(),
            column: error.at.column.clone().unwrap_or_default(),
            reason: error.text.clone(),
            format: "binlog",
            columns: Arc::clone(columns),
            refused,
        }
    }
}

fn kept(mut error: Error, what: &str) -> Error {
    error.text = format!("{}; {what}", error.text);
    error
}

/// The index of the row that ClickHouse's text names: it counts from 1.
fn row_in(text: &str) -> Option<usize> {
    let (_, after) = text.split_once("at row ")?;
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::router::copy::tests::{chunk, router};
    use crate::rowbinary::{Body, ChunkPool, version_and_deleted};
    use crate::schema::target::TargetColumn;
    use std::time::Instant;

    /// Not after the state: with that saved alone, a restart passes over the row.
    #[test]
    fn letters_are_saved_before_the_state_and_that_before_the_position() {
        let mut router = router(chunk(0), "");
        let columns = [("a", "Int8"), ("_version", "UInt64"), ("_is_deleted", "UInt8")];
        let columns = columns.map(|(name, ty)| TargetColumn { name: name.to_owned(), ty: ty.to_owned() });
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        for (a, version, deleted) in [(1, 7, false), (2, 7, false), (3, 8, true)] {
            body.append_exactly(&mut pool, 10, |out| {
                out.push(a);
                version_and_deleted(out, version, deleted);
            });
        }
        let (columns, origin) = (Arc::new(InsertColumns(columns.to_vec())), Origin::Stream);
        let number = router.ledger.enter(&Arc::default());
        let batch = Batch { table: 0, number, columns, body, attempts: 1, origin, leaves_out: false };
        let error = router.keep_batch(&batch, Error::new(ErrorKind::TargetRefused, "why"));
        assert!(error.text.contains("3 of the 3 rows"), "{error}");
        router.set_aside(0, &error, Instant::now());
        let (position, timeline) = (Arc::default(), router.stream.timeline());
        let letters = router.saver.take(&position, timeline);
        let Save::DeadLetters(kept) = &letters else { panic!("{letters:?}") };
        let told = |letter: &DeadLetter| (letter.refused.version.0, letter.row, letter.refused.kind);
        let expected = [(7, 0, RefusedKind::Write), (7, 1, RefusedKind::Write), (8, 0, RefusedKind::Delete)];
        assert_eq!(kept.iter().map(told).collect::<Vec<_>>(), expected);
        router.saver.done(&letters, Instant::now());
        let state = router.saver.take(&position, timeline);
        assert!(matches!(&state, Save::TableState(state) if state.reason.contains("why")), "{state:?}");
        router.saver.done(&state, Instant::now());
        assert!(matches!(router.saver.take(&position, timeline), Save::Checkpoint(_)));
    }

    #[test]
    fn the_row_that_a_text_names() {
        for (text, row) in [
            ("Constraint `c` for table t is violated at row 3. Expression: (a < 9)", Some(2)),
            ("Cannot parse (at row 1)", Some(0)),
            ("at row 0", None),
            ("at row x", None),
            ("Too many partitions", None),
        ] {
            assert_eq!(row_in(text), row, "{text}");
        }
    }
}
