//! Rows events: which table, which columns, and the row images as bytes.
//!
//! WRITE_ROWS, UPDATE_ROWS and DELETE_ROWS are read in version 2, and in version 1 of MySQL 5.1 to 5.5 and of
//! `log_bin_use_v1_row_events`, which lacks the extra data; PARTIAL_UPDATE_ROWS is an update of version 2 whose after
//! images begin with options of their own (`binlog_row_value_options`). The images are not walked here: only the table's
//! plan knows where one ends. Version 0 and compressed rows are refused by the caller, by kind.

use super::cursor::{Cursor, corrupt};
use super::event::{Event, EventKind, HEADER_BYTES};
use crate::error::Result;

/// The most columns a table of MySQL may have.
pub(crate) const COLUMNS_MAX: usize = 4096;
/// Ids of an event that has no table and only ends a statement.
const DUMMY_TABLE_IDS: [u64; 2] = [0x00ff_ffff, 0xffff_ffff_ffff];

/// What happened to the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsKind {
    /// Inserted: one image each, after.
    Write,
    /// Updated: two images each, before and after.
    Update,
    /// Deleted: one image each, before.
    Delete,
}

impl RowsKind {
    /// The kind of a rows event; `None` for any other event.
    #[inline]
    pub fn of(kind: EventKind) -> Option<Self> {
        if matches!(kind, EventKind::WriteRows | EventKind::WriteRowsV1) {
            Some(Self::Write)
        } else if matches!(kind, EventKind::UpdateRows | EventKind::UpdateRowsV1 | EventKind::PartialUpdateRows) {
            Some(Self::Update)
        } else {
            matches!(kind, EventKind::DeleteRows | EventKind::DeleteRowsV1).then_some(Self::Delete)
        }
    }
}

/// Row images of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowsEvent<'a> {
    /// What happened to the rows.
    pub kind: RowsKind,
    /// Id of the TABLE_MAP that describes the columns.
    pub table_id: u64,
    /// STMT_END 1, NO_FOREIGN_KEY_CHECKS 2, .., 0x10 foreign keys are handled by the SQL layer.
    pub flags: u16,
    /// Columns of the table.
    pub column_count: usize,
    /// A bit for each column, lowest first: whether the (before) images hold it.
    pub present_before: &'a [u8],
    /// Likewise of an update's after images; for the others the same as `present_before`.
    pub present_after: &'a [u8],
    /// Whether each after image begins with its options, and may hold JSON diffs (PARTIAL_UPDATE_ROWS).
    pub has_options: bool,
    /// The images, one behind the other.
    pub rows: &'a [u8],
    /// Where `rows` begins in the whole event, header included: a row's position is the event's plus this.
    pub rows_start: usize,
}

impl<'a> RowsEvent<'a> {
    /// Parses the body.
    ///
    /// # Errors
    /// When it is truncated or the event is of another kind.
    #[inline(always)]
    pub fn parse(event: &Event<'a>) -> Result<Self> {
        let Some(kind) = RowsKind::of(event.header.kind) else {
            return Err(corrupt(format!("a {:?} event is no rows event of version 1 or 2", event.header.kind)));
        };
        let mut body = Cursor::new(event.body);
        let (table_id, flags) = (body.u48()?, body.u16()?);
        if !is_version_1(event.header.kind) {
            skip_extra_data(&mut body)?;
        }
        let column_count = column_count(&mut body)?;
        let bitmap_bytes = column_count.div_ceil(8);
        let present_before = body.bytes(bitmap_bytes)?;
        let present_after = if kind == RowsKind::Update { body.bytes(bitmap_bytes)? } else { present_before };
        let rows = body.rest();
        let rows_start = HEADER_BYTES + event.body.len() - rows.len();
        let has_options = event.header.kind == EventKind::PartialUpdateRows;
        Ok(Self { kind, table_id, flags, column_count, present_before, present_after, has_options, rows, rows_start })
    }

    /// Whether every image holds every column (`binlog_row_image=FULL`).
    #[inline]
    pub fn is_full_image(&self) -> bool {
        is_full(self.present_before, self.column_count) && is_full(self.present_after, self.column_count)
    }

    /// Whether every image is one of all columns and whole documents.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.is_full_image() && !self.has_options
    }

    /// Whether the event has no table and no rows, and only ends a statement.
    pub fn is_dummy(&self) -> bool {
        DUMMY_TABLE_IDS.contains(&self.table_id) && self.rows.is_empty()
    }
}

fn is_version_1(kind: EventKind) -> bool {
    matches!(kind, EventKind::WriteRowsV1 | EventKind::UpdateRowsV1 | EventKind::DeleteRowsV1)
}

/// Steps over the partition id and whatever else; the length counts itself.
#[inline]
fn skip_extra_data(body: &mut Cursor<'_>) -> Result<()> {
    let length = body.u16()?;
    match length.checked_sub(2) {
        Some(0) => Ok(()),
        Some(more) => body.bytes(usize::from(more)).map(|_| ()),
        None => Err(corrupt(format!("extra data of a rows event with the length {length}, which counts itself"))),
    }
}

/// A packed number of columns within MySQL's limit.
#[inline]
pub(crate) fn column_count(body: &mut Cursor<'_>) -> Result<usize> {
    let count = body.packed_usize()?;
    if count > COLUMNS_MAX {
        return Err(corrupt(format!("{count} columns; MySQL allows {COLUMNS_MAX}")));
    }
    Ok(count)
}

#[inline]
fn is_full(present: &[u8], column_count: usize) -> bool {
    let last = match column_count % 8 {
        0 => 0xff,
        bits => (1 << bits) - 1,
    };
    present.split_last().is_none_or(|(end, whole)| end & last == last && whole.iter().all(|&byte| byte == 0xff))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples::{self, parse};

    #[test]
    fn write_update_delete_of_9_7() {
        let write = parse(samples::WRITE_INTS);
        let write = RowsEvent::parse(&write).unwrap();
        assert_eq!((write.kind, write.column_count, write.rows_start), (RowsKind::Write, 17, 33));
        assert_eq!(write.present_before, [0xff; 3]);
        assert_eq!(write.rows, &samples::WRITE_INTS[33..61]);
        assert!(write.is_full_image() && !write.is_dummy());
        let update = parse(samples::UPDATE_INTS);
        let update = RowsEvent::parse(&update).unwrap();
        assert_eq!((update.kind, update.table_id, update.rows_start), (RowsKind::Update, 108, 36));
        assert_eq!(update.rows, &samples::UPDATE_INTS[36..61]);
        let delete = parse(samples::DELETE_INTS);
        assert_eq!(RowsEvent::parse(&delete).unwrap().kind, RowsKind::Delete);
    }

    #[test]
    fn extra_data_is_stepped_over() {
        let partitioned = parse(samples::UPDATE_PARTITIONED);
        let partitioned = RowsEvent::parse(&partitioned).unwrap();
        assert_eq!((partitioned.column_count, partitioned.rows_start), (2, 37));
        assert_eq!(partitioned.rows.len(), 59 - 37 - 4);
        assert!(partitioned.is_full_image());
    }

    #[test]
    fn minimal_images_are_seen() {
        let minimal = parse(samples::UPDATE_MINIMAL);
        let minimal = RowsEvent::parse(&minimal).unwrap();
        assert_eq!((minimal.present_before, minimal.present_after), (&[0, 2, 0][..], &[1, 0, 0][..]));
        assert!(!minimal.is_full_image());
        for (present, columns, expected) in [
            (&[0xff, 1][..], 9, true),
            (&[0xff, 0xff], 9, true),
            (&[0xff, 0xfe], 9, false),
            (&[0xfe, 1], 9, false),
            (&[0xff], 8, true),
            (&[0x7f], 8, false),
            (&[], 0, true),
        ] {
            assert_eq!(is_full(present, columns), expected, "{present:?} {columns}");
        }
    }

    #[test]
    fn version_1_lacks_the_extra_data() {
        for (sample, code, kind) in [
            (samples::WRITE_INTS, 23, RowsKind::Write),
            (samples::UPDATE_INTS, 24, RowsKind::Update),
            (samples::DELETE_INTS, 25, RowsKind::Delete),
            (samples::UPDATE_PARTITIONED, 24, RowsKind::Update),
        ] {
            let event = parse(sample);
            let second = RowsEvent::parse(&event).unwrap();
            let extra = usize::from(event.body[8]);
            let body = [&event.body[..8], &event.body[8 + extra..]].concat();
            let header = event.header.with_kind(EventKind::from_code(code));
            let first = Event { header, body: &body };
            let first = RowsEvent::parse(&first).unwrap();
            assert_eq!((first.kind, first.is_plain()), (kind, true));
            assert_eq!(first, RowsEvent { rows_start: second.rows_start - extra, ..second });
        }
    }

    #[test]
    fn partial_updates_have_options() {
        let event = parse(samples::UPDATE_INTS);
        let partial = Event { header: event.header.with_kind(EventKind::PartialUpdateRows), ..event };
        let partial = RowsEvent::parse(&partial).unwrap();
        assert!(partial.has_options && partial.is_full_image() && !partial.is_plain());
        assert_eq!(partial, RowsEvent { has_options: true, ..RowsEvent::parse(&event).unwrap() });
    }

    #[test]
    fn a_dummy_ends_a_statement() {
        let header = parse(samples::DELETE_INTS).header;
        let dummy = Event { header, body: &[0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 2, 0, 0] };
        let dummy = RowsEvent::parse(&dummy).unwrap();
        assert!(dummy.is_dummy());
    }

    #[test]
    fn nonsense_is_an_error() {
        let header = parse(samples::DELETE_INTS).header;
        for body in [
            &[1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1][..],
            &[1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0xfc, 1, 0x10, 1],
            &[1, 0, 0, 0, 0, 0, 1, 0, 9, 0, 1],
        ] {
            assert!(RowsEvent::parse(&Event { header, body }).is_err(), "{body:?}");
        }
        assert!(RowsEvent::parse(&parse(samples::XID)).is_err());
    }
}
