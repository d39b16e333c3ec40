//! Files as each version of MySQL from 5.6 on writes them, made from the events of 9.7.4: other FORMAT_DESCRIPTIONs, with
//! and without checksums, shorter GTID events or none, TABLE_MAPs that end before the metadata. All hold the same rows.

use std::time::Duration;

use super::{Replay, Report};
use crate::binlog::event::{CHECKSUM_BYTES, FILE_MAGIC, HEADER_BYTES};
use crate::binlog::samples;

/// What a server writes into the head of each file, and how its transactions begin.
struct Server {
    version: &'static str,
    /// Post-header bytes of type 1, 2, ..
    lengths: &'static [u8],
    /// Body bytes of its GTID events; 0: it has none but with `gtid_mode=ON`.
    gtid_bytes: usize,
    /// Whether its TABLE_MAPs have metadata.
    has_metadata: bool,
}

const SERVERS: [Server; 7] = [
    Server {
        version: "5.6.51-log",
        lengths: &[
            56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 92, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
            25, 25, 0,
        ],
        gtid_bytes: 25,
        has_metadata: false,
    },
    Server {
        version: "5.6.51",
        lengths: &[
            56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 92, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
            25, 25, 0,
        ],
        gtid_bytes: 0,
        has_metadata: false,
    },
    Server {
        version: "5.7.44-log",
        lengths: &[
            56, 13, 0, 8, 0, 18, 0, 4, 4, 4, 4, 18, 0, 0, 95, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10,
            42, 42, 0, 18, 52, 0,
        ],
        gtid_bytes: 42,
        has_metadata: false,
    },
    Server {
        version: "8.0.16",
        lengths: &[
            0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 96, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42,
            42, 0, 18, 52, 0, 10,
        ],
        gtid_bytes: usize::MAX,
        has_metadata: true,
    },
    Server {
        version: "8.0.41",
        lengths: &[
            0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 98, 0, 4, 26, 8, 0, 0, 0, 8, 8, 8, 2, 0, 0, 0, 10, 10, 10, 42,
            42, 0, 18, 52, 0, 10, 40, 0,
        ],
        gtid_bytes: usize::MAX,
        has_metadata: true,
    },
    Server {
        version: "8.4.4",
        lengths: &[
            0, 13, 0, 8, 0, 0, 0, 0, 4, 0, 4, 0, 0, 0, 99, 0, 4, 26, 8, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 10, 10, 10, 42,
            42, 0, 18, 52, 0, 10, 40, 0, 0,
        ],
        gtid_bytes: usize::MAX,
        has_metadata: true,
    },
    Server { version: "9.7.4-2", lengths: &[0, 13, 0, 8], gtid_bytes: usize::MAX, has_metadata: true },
];

/// Where the metadata begins in the body of [`samples::MAP_INTS`]: behind id, flags, names, types, sizes and NULL bits.
const MAP_INTS_METADATA: usize = 57;

/// An event with this body; the rest of the header is a sample's.
fn event(sample: &[u8], body: &[u8], has_checksum: bool) -> Vec<u8> {
    let checksum = if has_checksum { CHECKSUM_BYTES } else { 0 };
    let size = u32::try_from(HEADER_BYTES + body.len() + checksum).unwrap().to_le_bytes();
    let mut event = [&sample[..9], &size, &sample[13..HEADER_BYTES], body].concat();
    if has_checksum {
        event.extend(crc32fast::hash(&event).to_le_bytes());
    }
    event
}

fn body(sample: &[u8]) -> &[u8] {
    &sample[HEADER_BYTES..sample.len() - CHECKSUM_BYTES]
}

impl Server {
    /// It says which checksums follow, and always has one itself.
    fn format(&self, has_checksum: bool) -> Vec<u8> {
        let version: Vec<u8> = self.version.bytes().chain(std::iter::repeat(0)).take(50).collect();
        let body = [&[4, 0][..], &version, &[0; 4], &[19], self.lengths, &[u8::from(has_checksum)]].concat();
        event(samples::FORMAT_DESCRIPTION, &body, true)
    }

    fn file(&self, has_checksum: bool) -> Vec<u8> {
        let again = |sample: &[u8]| event(sample, body(sample), has_checksum);
        let gtid = body(samples::GTID);
        let map = body(samples::MAP_INTS);
        let map = if self.has_metadata { map } else { &map[..MAP_INTS_METADATA] };
        let mut file = [&FILE_MAGIC[..], &self.format(has_checksum)].concat();
        if self.gtid_bytes > 0 {
            file.extend(again(samples::PREVIOUS_GTIDS));
            file.extend(event(samples::GTID, &gtid[..gtid.len().min(self.gtid_bytes)], has_checksum));
        }
        file.extend(again(samples::QUERY_BEGIN));
        file.extend(event(samples::MAP_INTS, map, has_checksum));
        file.extend(
            [samples::WRITE_INTS, samples::UPDATE_INTS, samples::DELETE_INTS, samples::XID].map(again).concat(),
        );
        file
    }
}

/// Its number is found again in each row's version.
const FILE: &str = "binlog.000063";
/// File 63 and offset 0, to the left of which lie the two bytes of the offset in a small file.
const VERSION_TAIL: [u8; 6] = [0, 0, 63 << 2, 0, 0, 0];

/// The report and the rows, their offsets zeroed, for the events lie elsewhere in each file.
fn replay(bytes: &[u8]) -> (Report, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, bytes).unwrap();
    let mut replay = Replay::new(Some(folder.path()));
    replay.file(&path, 0).unwrap_or_else(|error| panic!("{error}"));
    replay.finish().unwrap();
    let mut rows = std::fs::read(folder.path().join("part_binlog.ints.rowbinary")).unwrap();
    for at in 2..rows.len() - 6 {
        if rows[at..at + 6] == VERSION_TAIL {
            rows[at - 2..at].fill(0);
        }
    }
    (replay.report(Duration::from_secs(1), None), rows)
}

#[test]
fn every_version_from_5_6_on_gives_the_same_rows() {
    let mut all = Vec::new();
    for server in &SERVERS {
        for has_checksum in [true, false] {
            let (report, rows) = replay(&server.file(has_checksum));
            assert_eq!(report.transactions, 1, "{}", server.version);
            let structure = &report.tables[0].structure;
            let start = if server.has_metadata {
                "`a` Nullable(Int8), `b` Nullable(UInt8)"
            } else {
                "`@1` Nullable(Int8), `@2` Nullable(Int8)"
            };
            assert!(structure.starts_with(start), "{}: {structure}", server.version);
            all.push((server.version, rows));
        }
    }
    let (_, first) = &all[0];
    assert!(!first.is_empty());
    for (version, rows) in &all {
        assert!(rows == first, "{version} gives other rows");
    }
}

/// The log that a replica keeps: its own head, an artificial ROTATE, then the source's head and events.
#[test]
fn relay_logs_are_read_too() {
    let (ours, source) = (&SERVERS[6], &SERVERS[2]);
    let mut head = ours.format(true);
    head[17] |= 0x40;
    let covered = head.len() - CHECKSUM_BYTES;
    let checksum = crc32fast::hash(&head[..covered]).to_le_bytes();
    head.splice(covered.., checksum);
    let rotate = event(samples::ROTATE, body(samples::ROTATE), true);
    let file = [&FILE_MAGIC[..], &head, &rotate, &source.file(true)[4..]].concat();
    let (report, rows) = replay(&file);
    assert_eq!((report.transactions, rows), (1, replay(&source.file(true)).1));
}
