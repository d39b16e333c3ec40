//! The first event of a transaction: GTID, ANONYMOUS_GTID, GTID_TAGGED.
//!
//! The first two are fixed fields; the third is a list of (field id, value) whose integers are of variable length
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/PageLibsMysqlSerialization.html>).

use super::cursor::{Cursor, corrupt, quoted};
use super::event::{Event, EventKind};
use crate::error::Result;
use crate::gtid::{Gtid, Tag};

/// `last_committed` and `sequence_number` follow.
const LOGICAL_TIMESTAMPS: u8 = 2;
/// The original commit timestamp follows the immediate one.
const ORIGINAL_FOLLOWS: u64 = 1 << 55;

/// The start of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GtidEvent {
    /// Its name; `None` for an anonymous one.
    pub gtid: Option<Gtid>,
    /// When this server committed it, microseconds since 1970; 0 when not told (before 8.0).
    pub commit_us: u64,
    /// Bytes of all its events with this one, as they are in the log; 0 when not told (before 8.0).
    pub transaction_length: u64,
}

impl GtidEvent {
    /// Parses the body of any of the three kinds.
    ///
    /// # Errors
    /// When it is truncated or holds no valid GTID.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        if event.header.kind == EventKind::GtidTagged {
            return parse_tagged(event.body);
        }
        parse_plain(event.body, event.header.kind == EventKind::AnonymousGtid)
    }
}

fn parse_plain(body: &[u8], is_anonymous: bool) -> Result<GtidEvent> {
    let mut body = Cursor::new(body);
    let _flags = body.u8()?;
    let (sid, gno) = (body.array()?, body.u64()?);
    let gtid = if is_anonymous { None } else { Some(valid_gtid(Gtid { sid, tag: Tag::default(), gno })?) };
    let mut event = GtidEvent { gtid, commit_us: 0, transaction_length: 0 };
    let has_timestamps = !body.is_empty() && body.u8()? == LOGICAL_TIMESTAMPS;
    if has_timestamps {
        let _last_committed_and_sequence_number = body.bytes(16)?;
        // 5.7 ends here.
        if !body.is_empty() {
            (event.commit_us, event.transaction_length) = commit_fields(&mut body)?;
        }
    }
    Ok(event)
}

fn commit_fields(body: &mut Cursor<'_>) -> Result<(u64, u64)> {
    let immediate = body.u56()?;
    if immediate & ORIGINAL_FOLLOWS != 0 {
        let _original = body.u56()?;
    }
    Ok((immediate & !ORIGINAL_FOLLOWS, body.packed()?))
}

fn valid_gtid(gtid: Gtid) -> Result<Gtid> {
    if gtid.gno == 0 || gtid.gno > i64::MAX as u64 {
        return Err(corrupt(format!("a GTID event with the number {}", gtid.gno)));
    }
    Ok(gtid)
}

/// Fields of GTID_TAGGED, in rising order.
mod field {
    pub const FLAGS: u64 = 0;
    pub const UUID: u64 = 1;
    pub const GNO: u64 = 2;
    pub const TAG: u64 = 3;
    pub const LAST_COMMITTED: u64 = 4;
    pub const SEQUENCE_NUMBER: u64 = 5;
    pub const IMMEDIATE_COMMIT: u64 = 6;
    pub const ORIGINAL_COMMIT: u64 = 7;
    pub const TRANSACTION_LENGTH: u64 = 8;
}

fn parse_tagged(body: &[u8]) -> Result<GtidEvent> {
    let mut body = Cursor::new(body);
    let _version = varint(&mut body)?;
    let _size = varint(&mut body)?;
    let _last_field_to_know = varint(&mut body)?;
    let mut gtid = Gtid { sid: [0; 16], tag: Tag::default(), gno: 0 };
    let mut event = GtidEvent { gtid: None, commit_us: 0, transaction_length: 0 };
    while !body.is_empty() {
        match varint(&mut body)? {
            field::UUID => gtid.sid = tagged_uuid(&mut body)?,
            // Signed: the sign is the lowest bit.
            field::GNO => gtid.gno = varint(&mut body)? >> 1,
            field::TAG => gtid.tag = tag(&mut body)?,
            field::IMMEDIATE_COMMIT => event.commit_us = varint(&mut body)?,
            field::TRANSACTION_LENGTH => event.transaction_length = varint(&mut body)?,
            field::FLAGS | field::LAST_COMMITTED | field::SEQUENCE_NUMBER | field::ORIGINAL_COMMIT => {
                varint(&mut body)?;
            }
            // Versions and whatever comes later; all we want lies before.
            _ => break,
        }
    }
    event.gtid = Some(valid_gtid(gtid)?);
    Ok(event)
}

/// 16 integers, one per byte.
fn tagged_uuid(body: &mut Cursor<'_>) -> Result<[u8; 16]> {
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        let value = varint(body)?;
        *byte = u8::try_from(value).map_err(|_| corrupt(format!("a GTID event with {value} as a byte of its uuid")))?;
    }
    Ok(uuid)
}

fn tag(body: &mut Cursor<'_>) -> Result<Tag> {
    let length = varint(body)?;
    let text = body.bytes(usize::try_from(length).unwrap_or(usize::MAX))?;
    Tag::new(text).ok_or_else(|| corrupt(format!("a GTID event with the tag \"{}\"", quoted(text))))
}

/// An integer of variable length: as many one bits as end its first byte, so many bytes follow.
fn varint(body: &mut Cursor<'_>) -> Result<u64> {
    let first = body.u8()?;
    let more = first.trailing_ones();
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(body.bytes(more as usize)?) {
        *to = *from;
    }
    let high = u64::from_le_bytes(bytes);
    // The bits of the first byte above its ones and the zero that ends them.
    let low = u64::from(first).checked_shr(more + 1).unwrap_or(0);
    Ok(high.checked_shl(7u32.saturating_sub(more)).unwrap_or(0) | if more < 8 { low } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples::{self, parse};

    const SID: [u8; 16] = [0x75, 0x3d, 0x1f, 0xa2, 0xe7, 0xd7, 0x11, 0xf1, 0x8f, 0xbf, 2, 0xfc, 0, 0, 0, 1];

    #[test]
    fn gtid_of_9_7() {
        let event = GtidEvent::parse(&parse(samples::GTID)).unwrap();
        let gtid = Gtid { sid: SID, tag: Tag::default(), gno: 3 };
        let expected = GtidEvent { gtid: Some(gtid), commit_us: 0x0006_6100_9a6f_d313, transaction_length: 391 };
        assert_eq!(event, expected);
    }

    #[test]
    fn tagged_gtid_of_9_7() {
        let event = GtidEvent::parse(&parse(samples::GTID_TAGGED)).unwrap();
        let gtid = Gtid { sid: SID, tag: Tag::new(b"mytag").unwrap(), gno: 1 };
        let expected = GtidEvent { gtid: Some(gtid), commit_us: 0x0006_6100_9a70_9f38, transaction_length: 312 };
        assert_eq!(event, expected);
    }

    #[test]
    fn older_servers_tell_less() {
        let mut header = parse(samples::GTID).header;
        let check = |header, body: &[u8], expected: Option<GtidEvent>| {
            assert_eq!(GtidEvent::parse(&Event { header, body }).ok(), expected);
        };
        let body = parse(samples::GTID).body;
        let gtid = Gtid { sid: SID, tag: Tag::default(), gno: 3 };
        let old = GtidEvent { gtid: Some(gtid), commit_us: 0, transaction_length: 0 };
        check(header, &body[..25], Some(old));
        check(header, &body[..42], Some(old));
        check(header, &body[..41], None);
        header.kind = EventKind::AnonymousGtid;
        check(header, &body[..42], Some(GtidEvent { gtid: None, ..old }));
    }

    #[test]
    fn the_original_timestamp_is_stepped_over() {
        let mut body = parse(samples::GTID).body[..42].to_vec();
        body.extend([5, 0, 0, 0, 0, 0, 0x80, 9, 9, 9, 9, 9, 9, 9, 0xfc, 1, 1]);
        let event = GtidEvent::parse(&Event { header: parse(samples::GTID).header, body: &body }).unwrap();
        assert_eq!((event.commit_us, event.transaction_length), (5, 257));
    }

    #[test]
    fn variable_length_integers() {
        let check =
            |bytes: &[u8], expected: u64| assert_eq!(varint(&mut Cursor::new(bytes)).unwrap(), expected, "{bytes:?}");
        check(&[0xea], 0x75);
        check(&[0x89, 0x02], 0xa2);
        check(&[0x83, 0x12, 0x0b], 90_704);
        check(&[0x7f, 0x38, 0x9f, 0x70, 0x9a, 0, 0x61, 6], 0x0006_6100_9a70_9f38);
        check(&[0xff, 1, 2, 3, 4, 5, 6, 7, 8], 0x0807_0605_0403_0201);
        assert!(varint(&mut Cursor::new(&[0x01])).is_err());
    }
}
