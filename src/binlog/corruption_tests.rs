//! Damaged events must give an error or a harmless value: no parser panics, hangs or reserves memory by a number it read.

use super::control::{FormatDescription, Heartbeat, Rotate, XaPrepare};
use super::event::{Event, EventKind, HEADER_BYTES, Header, verify_checksum};
use super::gtid_event::GtidEvent;
use super::payload::{PayloadReader, TransactionPayload};
use super::query::Query;
use super::rows::RowsEvent;
use super::samples;
use super::table_map::{TableMap, TableMapHead};
use crate::gtid::GtidSet;
use crate::schema::ddl::touched;

/// xorshift64: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }
}

/// Runs every parser over the body, whatever its kind; the sum of all lengths that came out.
fn parse_all(event: &Event<'_>) -> usize {
    let mut size = 0;
    size += FormatDescription::parse(event)
        .map_or(0, |format| format.server_version.len() + format.post_header_lengths.len());
    size += Rotate::parse(event).map_or(0, |rotate| rotate.file.len());
    size += Heartbeat::parse(event).map_or(0, |heartbeat| heartbeat.file.len());
    size += usize::from(XaPrepare::parse(event).is_ok_and(|prepare| prepare.one_phase));
    size += usize::from(GtidEvent::parse(event).is_ok_and(|gtid| gtid.gtid.is_some()));
    size += GtidSet::decode(event.body).map_or(0, |set| set.to_string().len());
    size += TableMapHead::parse(event).map_or(0, |head| head.database.len() + head.table.len());
    size += TableMap::parse(event).map_or(0, |map| map.columns.len() + map.primary_key.map_or(0, |key| key.len()));
    size += RowsEvent::parse(event).map_or(0, |rows| usize::from(rows.is_full_image()) + rows.rows.len());
    size += Query::parse(event).map_or(0, |query| {
        let sql_mode = query.context().sql_mode;
        let _ = query.kind();
        query.text().len()
            + usize::try_from(sql_mode % 2).unwrap()
            + usize::from(touched(&query.text(), query.database, sql_mode) == touched("", "", 0))
    });
    size
}

/// The bytes of all events in a payload, each of which is parsed too; they may be many more than the payload's.
fn unzip(bytes: &[u8]) -> usize {
    let event = samples::parse(bytes);
    let (mut reader, mut total) = (PayloadReader::default(), 0);
    let Ok(()) = TransactionPayload::parse(&event).and_then(|payload| reader.open(&payload)) else { return 0 };
    while let Ok(Some(inner)) = reader.next(bytes) {
        parse_all(&inner);
        total += inner.body.len() + HEADER_BYTES;
    }
    assert!(reader.held_bytes() <= 256 << 10, "{}", reader.held_bytes());
    total
}

/// All parsers, and those that a kind chooses, over one body.
fn check(body: &[u8], header: Header) {
    let kinds = [
        header.kind,
        EventKind::GtidTagged,
        EventKind::HeartbeatV2,
        EventKind::AnonymousGtid,
        EventKind::UpdateRows,
        EventKind::UpdateRowsV1,
    ];
    for kind in kinds {
        let size = parse_all(&Event { header: Header { kind, ..header }, body });
        assert!(size <= 64 * (body.len() + 64), "{size} out of {} bytes of {kind:?}", body.len());
    }
}

#[test]
fn every_truncation_of_every_event() {
    for (_, bytes) in samples::ALL {
        let event = samples::parse(bytes);
        for length in 0..=event.body.len() {
            check(&event.body[..length], event.header);
        }
        for length in 0..bytes.len() {
            assert!(Event::parse(&bytes[..length], true).is_err());
            let _ = verify_checksum(&bytes[..length]);
        }
    }
}

#[test]
fn random_damage_to_every_event() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (_, bytes) in samples::ALL {
        for _ in 0..1000 {
            let mut damaged = bytes.to_vec();
            for _ in 0..=random.below(4) {
                let at = HEADER_BYTES + random.below(damaged.len() - HEADER_BYTES);
                damaged[at] = [0, 0xff, 0xfe, 0xfc, damaged[at] ^ 1 << random.below(8)][random.below(5)];
            }
            let event = samples::parse(&damaged);
            check(event.body, event.header);
        }
    }
}

#[test]
fn random_text_as_a_statement() {
    const PARTS: [&str; 40] = [
        "create",
        "alter",
        "drop",
        "rename",
        "truncate",
        "table",
        "index",
        "database",
        "view",
        "to",
        "on",
        "as",
        "like",
        "if",
        "not",
        "exists",
        "temporary",
        "`",
        "\"",
        "'",
        "\\",
        "/*",
        "*/",
        "/*!80000",
        "-- ",
        "#",
        "\n",
        ",",
        ".",
        "(",
        ")",
        "a",
        "b1",
        "é",
        " ",
        "=",
        "exchange",
        "partition",
        "with",
        "\u{fffd}",
    ];
    let mut random = Random(42);
    for _ in 0..20_000 {
        let count = random.below(12);
        let spaced = random.below(2) == 0;
        let parts: Vec<&str> = (0..count).map(|_| PARTS[random.below(PARTS.len())]).collect();
        let sql = parts.join(if spaced { " " } else { "" });
        for sql_mode in [0, 4, 0x10_0000] {
            let behind_comments = format!("/* x */ -- '\n # `\n{sql}");
            assert_eq!(touched(&sql, "d", sql_mode), touched(&behind_comments, "d", sql_mode), "{sql}");
        }
    }
}

#[test]
fn damage_to_a_compressed_transaction() {
    let mut random = Random(7);
    let whole = unzip(samples::PAYLOAD);
    assert!(whole > 500, "{whole}");
    for _ in 0..20_000 {
        let mut damaged = samples::PAYLOAD.to_vec();
        for _ in 0..=random.below(3) {
            let at = HEADER_BYTES + random.below(damaged.len() - HEADER_BYTES);
            damaged[at] = [0, 0xff, 0xfe, 0xfc, damaged[at] ^ 1 << random.below(8)][random.below(5)];
        }
        assert!(unzip(&damaged) <= 1 << 20);
    }
}
