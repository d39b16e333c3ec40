//! An event's envelope: header, checksum, body. What the body says is parsed by the other modules.
//!
//! Layout: 19 bytes of header, body, and four bytes of CRC32 when the file's FORMAT_DESCRIPTION says so
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>).

use super::cursor::corrupt;
pub use super::kind::EventKind;
use crate::error::Result;

/// Bytes of an event's header.
pub const HEADER_BYTES: usize = 19;
/// Bytes of an event's checksum.
pub const CHECKSUM_BYTES: usize = 4;
/// The four bytes that a binlog file begins with; the first event follows.
pub const FILE_MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];

const FLAG_BINLOG_IN_USE: u8 = 0x01;
const FLAG_ARTIFICIAL: u16 = 0x20;
const FLAG_IGNORABLE: u16 = 0x80;
/// Where the header's low flags byte lies, which holds `FLAG_BINLOG_IN_USE`.
const FLAGS_AT: usize = 17;

/// The 19 bytes before every event's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Seconds since 1970 when the statement began; 0 in artificial events.
    pub timestamp: u32,
    /// What the event is.
    pub kind: EventKind,
    /// `@@server_id` of the server that wrote it first.
    pub server_id: u32,
    /// Bytes of the whole event: header, body and checksum.
    pub size: u32,
    /// Low 32 bits of the offset of the event's end in its file; 0 when it has none.
    pub log_pos: u32,
    /// LOG_EVENT_*_F.
    pub flags: u16,
}

impl Header {
    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// When there are fewer than 19 bytes, or the size is smaller than a header.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(h) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(corrupt(format!("truncated: an event header needs 19 bytes, {} left", bytes.len())));
        };
        let header = Self {
            timestamp: u32::from_le_bytes([h[0], h[1], h[2], h[3]]),
            kind: EventKind::from_code(h[4]),
            server_id: u32::from_le_bytes([h[5], h[6], h[7], h[8]]),
            size: u32::from_le_bytes([h[9], h[10], h[11], h[12]]),
            log_pos: u32::from_le_bytes([h[13], h[14], h[15], h[16]]),
            flags: u16::from_le_bytes([h[17], h[18]]),
        };
        if (header.size as usize) < HEADER_BYTES {
            return Err(corrupt(format!("an event of {} bytes is smaller than its header", header.size)));
        }
        Ok(header)
    }

    /// Whether who does not know the event's kind may skip it.
    pub fn is_ignorable(&self) -> bool {
        self.flags & FLAG_IGNORABLE != 0
    }

    /// Whether the event was made for this connection and is in no file.
    pub fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }
}

/// An event whose body is not parsed yet.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its header.
    pub header: Header,
    /// Between header and checksum. Of a FORMAT_DESCRIPTION all after the header, for only it knows its checksum.
    pub body: &'a [u8],
}

impl<'a> Event<'a> {
    /// Takes one whole event apart. `has_checksum` is what the file's FORMAT_DESCRIPTION says; the checksum is cut off,
    /// not verified: [`verify_checksum`] does that.
    ///
    /// # Errors
    /// When `bytes` is not exactly one event.
    #[inline]
    pub fn parse(bytes: &'a [u8], has_checksum: bool) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let checksum = if has_checksum && header.kind != EventKind::FormatDescription { CHECKSUM_BYTES } else { 0 };
        let end = bytes.len().checked_sub(checksum).filter(|_| bytes.len() == header.size as usize);
        match end.and_then(|end| bytes.get(HEADER_BYTES..end)) {
            Some(body) => Ok(Self { header, body }),
            None => Err(wrong_length(&header, bytes.len())),
        }
    }
}

#[cold]
fn wrong_length(header: &Header, bytes: usize) -> crate::error::Error {
    corrupt(format!("a {:?} event that says it has {} bytes came with {bytes}", header.kind, header.size))
}

/// Compares the checksum at the end of a whole event with its bytes.
///
/// # Errors
/// When they differ.
pub fn verify_checksum(bytes: &[u8]) -> Result<()> {
    let Some((covered, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(corrupt("truncated: an event shorter than its checksum"));
    };
    let stored = u32::from_le_bytes(*stored);
    let computed = checksum(covered);
    if stored == computed {
        return Ok(());
    }
    Err(corrupt(format!(
        "checksum mismatch: the event says {stored:#010x}, its {} bytes give {computed:#010x}; the stream or the file is damaged",
        bytes.len()
    )))
}

/// CRC32 of an event without its checksum. A file still open has IN_USE set in its FORMAT_DESCRIPTION after the
/// checksum was made, so that flag counts as clear.
fn checksum(covered: &[u8]) -> u32 {
    let is_open_file =
        matches!(covered, [_, _, _, _, 15, ..]) && covered.get(FLAGS_AT).is_some_and(|f| f & FLAG_BINLOG_IN_USE != 0);
    if let (true, Some((head, [flags, tail @ ..]))) = (is_open_file, covered.split_at_checked(FLAGS_AT)) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(head);
        hasher.update(&[flags & !FLAG_BINLOG_IN_USE]);
        hasher.update(tail);
        return hasher.finalize();
    }
    crc32fast::hash(covered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples;

    #[test]
    fn header_of_a_real_event() {
        let bytes = samples::XID;
        let header = Header::parse(bytes).unwrap();
        let expected = Header {
            timestamp: 0x6b05_3bb7,
            kind: EventKind::Xid,
            server_id: 0x5dfc,
            size: 31,
            log_pos: 1063,
            flags: 0,
        };
        assert_eq!(header, expected);
        assert_eq!(Event::parse(bytes, true).unwrap().body, [0x42, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Event::parse(bytes, false).unwrap().body.len(), 12);
    }

    #[test]
    fn an_event_is_exactly_as_long_as_it_says() {
        let mut longer = samples::XID.to_vec();
        longer.push(0);
        for bytes in [&longer[..], &samples::XID[..30], &samples::XID[..18], &[]] {
            assert!(Event::parse(bytes, true).is_err());
        }
        let mut tiny = samples::XID[..21].to_vec();
        tiny[9] = 21;
        assert!(Event::parse(&tiny, true).is_err(), "no room for the checksum");
        tiny[9] = 18;
        assert!(Header::parse(&tiny).is_err());
    }

    #[test]
    fn checksums_of_real_events() {
        for (name, bytes) in samples::ALL {
            verify_checksum(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut damaged = bytes.to_vec();
            damaged[20] ^= 4;
            assert!(verify_checksum(&damaged).is_err(), "{name}");
        }
        assert_eq!(samples::FORMAT_DESCRIPTION_IN_USE[FLAGS_AT], 1, "the flag is set in this one");
        assert!(verify_checksum(b"abc").is_err());
    }

    #[test]
    fn every_code_has_a_kind() {
        let kinds: Vec<EventKind> = (0..=u8::MAX).map(EventKind::from_code).collect();
        let known = kinds.iter().filter(|kind| !matches!(kind, EventKind::Unknown(_))).count();
        assert_eq!(known, 42 + 12);
        assert_eq!(
            (kinds[19], kinds[42], kinds[100]),
            (EventKind::TableMap, EventKind::GtidTagged, EventKind::Unknown(100))
        );
    }

    #[test]
    fn flags() {
        let with = |flags| Header { flags, ..Header::parse(samples::XID).unwrap() };
        assert!(with(0x80).is_ignorable() && !with(0x7f).is_ignorable());
        assert!(with(0x20).is_artificial() && !with(0xdf).is_artificial());
    }
}
