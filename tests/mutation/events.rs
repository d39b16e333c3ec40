//! Events as bytes: cut apart, put together, and sealed, so that a parser gets beyond their size and checksum.

use stream_bridge::binlog::event::{CHECKSUM_BYTES, Event, EventKind, HEADER_BYTES, Header};
use stream_bridge::mysql::packet::Fields;

/// Where the header has the kind, the size and the end's place in the file.
const KIND_AT: usize = 4;
const SIZE_AT: usize = 9;
const LOG_POS_AT: usize = 13;
const TRANSACTION_PAYLOAD: u8 = 40;
const FIELD_COMPRESSION: u64 = 2;
const FIELD_UNCOMPRESSED_SIZE: u64 = 3;
const ZSTD: u64 = 0;
const UNCOMPRESSED: u64 = 255;

/// Whole events, one behind the other, each as long as its header says.
pub fn split(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut events = Vec::new();
    while let Ok(header) = Header::parse(bytes) {
        let Some((event, rest)) = bytes.split_at_checked(header.size()) else { break };
        events.push(event.to_vec());
        bytes = rest;
    }
    events
}

/// Makes size and checksum fit the bytes; what is shorter than a header stays.
pub fn seal(event: &mut [u8], has_checksum: bool) {
    let least = HEADER_BYTES + if has_checksum { CHECKSUM_BYTES } else { 0 };
    if event.len() < least {
        return;
    }
    let size = u32::try_from(event.len()).unwrap();
    event[SIZE_AT..SIZE_AT + 4].copy_from_slice(&size.to_le_bytes());
    if has_checksum {
        let end = event.len() - CHECKSUM_BYTES;
        let checksum = crc32fast::hash(&event[..end]);
        event[end..].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// An event that ends at `log_pos`; 0: it is in no file.
pub fn event(kind: u8, flags: u16, log_pos: u32, body: &[u8]) -> Vec<u8> {
    let mut event =
        [&[0; 4][..], &[kind], &[0; 8], &log_pos.to_le_bytes(), &flags.to_le_bytes(), body, &[0; 4]].concat();
    seal(&mut event, true);
    event
}

/// Where the event says that it ends.
pub fn log_pos(event: &[u8]) -> Option<u32> {
    event.get(LOG_POS_AT..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Moves the event's end.
pub fn set_log_pos(event: &mut [u8], log_pos: u32) {
    if let Some(place) = event.get_mut(LOG_POS_AT..LOG_POS_AT + 4) {
        place.copy_from_slice(&log_pos.to_le_bytes());
    }
}

/// Whether the event says that it is a compressed transaction.
pub fn is_payload(event: &[u8]) -> bool {
    event.get(KIND_AT) == Some(&TRANSACTION_PAYLOAD)
}

/// The events inside a compressed transaction; they have no checksums.
pub fn unzip(outer: &[u8]) -> Option<Vec<Vec<u8>>> {
    let event = Event::parse(outer, true).ok().filter(|event| event.header.kind == EventKind::TransactionPayload)?;
    let (mut fields, mut algorithm) = (Fields(event.body), ZSTD);
    loop {
        match fields.packed_uint()? {
            0 => break,
            FIELD_COMPRESSION => algorithm = Fields(fields.packed_string()?).packed_uint()?,
            _ => drop(fields.packed_string()?),
        }
    }
    let is_compressed = algorithm == ZSTD;
    Some(split(&if is_compressed { zstd::decode_all(fields.0).ok()? } else { fields.0.to_vec() }))
}

/// A compressed transaction of these events, in the place of `outer`.
pub fn zip(outer: &[u8], inner: &[Vec<u8>], is_compressed: bool) -> Vec<u8> {
    let bytes = inner.concat();
    let data = if is_compressed { zstd::encode_all(&bytes[..], 1).unwrap() } else { bytes.clone() };
    let field = |tag: u64, value: u64| [&tag.to_le_bytes()[..1], &[9, 254], &value.to_le_bytes()].concat();
    let algorithm = field(FIELD_COMPRESSION, if is_compressed { ZSTD } else { UNCOMPRESSED });
    let size = field(FIELD_UNCOMPRESSED_SIZE, bytes.len() as u64);
    let header = &outer[..HEADER_BYTES.min(outer.len())];
    let mut event = [header, &algorithm, &size, &[0], &data, &[0; CHECKSUM_BYTES]].concat();
    seal(&mut event, true);
    event
}
