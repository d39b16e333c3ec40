//! An event's envelope: header, checksum, body. What the body says is parsed by the other modules.
//!
//! Layout: 19 bytes of header, body, and four bytes of CRC32 when the file's FORMAT_DESCRIPTION says so
//! (<https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_replication_binlog_event.html>).

use std::sync::LazyLock;

use super::cursor::corrupt;
pub use super::kind::EventKind;
use crate::error::{Error, Result};

/// Bytes of an event's header.
pub const HEADER_BYTES: usize = 19;
/// Bytes of an event's checksum.
pub const CHECKSUM_BYTES: usize = 4;
/// The four bytes that a binlog file begins with; the first event follows.
pub const FILE_MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];

/// The checksum of nothing. It knows what the CPU can do, which is not asked again for every event.
static CRC: LazyLock<crc32fast::Hasher> = LazyLock::new(crc32fast::Hasher::new);

const FLAG_BINLOG_IN_USE: u8 = 0x01;
/// The code of [`EventKind::FormatDescription`].
const FORMAT_DESCRIPTION: u8 = 15;
const FLAG_ARTIFICIAL: u16 = 0x20;
const FLAG_IGNORABLE: u16 = 0x80;
/// Where the header's low flags byte lies, which holds `FLAG_BINLOG_IN_USE`.
const FLAGS_AT: usize = 17;

/// The 19 bytes before every event's body. All but the kind is read when it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// What the event is.
    pub kind: EventKind,
    bytes: &'a [u8; HEADER_BYTES],
}

impl<'a> Header<'a> {
    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// When there are fewer than 19 bytes, or the size is smaller than a header.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let Some(front) = bytes.first_chunk() else { return Err(no_header(bytes.len())) };
        let header = Self { kind: EventKind::from_code(front[4]), bytes: front };
        if header.size() < HEADER_BYTES { Err(too_small(header.size())) } else { Ok(header) }
    }

    /// The same header of an event of another kind.
    #[must_use]
    pub fn with_kind(self, kind: EventKind) -> Self {
        Self { kind, ..self }
    }

    /// Seconds since 1970 when the statement began; 0 in artificial events.
    pub fn timestamp(&self) -> u32 {
        self.number(0)
    }

    /// `@@server_id` of the server that wrote it first.
    pub fn server_id(&self) -> u32 {
        self.number(5)
    }

    /// Bytes of the whole event: header, body and checksum.
    #[inline]
    pub fn size(&self) -> usize {
        self.number(9) as usize
    }

    /// Low 32 bits of the offset of the event's end in its file; 0 when it has none.
    #[inline]
    pub fn log_pos(&self) -> u32 {
        self.number(13)
    }

    /// LOG_EVENT_*_F.
    #[inline]
    pub fn flags(&self) -> u16 {
        u16::from_le_bytes([self.bytes[FLAGS_AT], self.bytes[FLAGS_AT + 1]])
    }

    #[inline(always)]
    fn number(&self, at: usize) -> u32 {
        self.bytes.get(at..).and_then(|bytes| bytes.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// Whether who does not know the event's kind may skip it.
    pub fn is_ignorable(&self) -> bool {
        self.flags() & FLAG_IGNORABLE != 0
    }

    /// Whether the event was made for this connection and is in no file.
    pub fn is_artificial(&self) -> bool {
        self.flags() & FLAG_ARTIFICIAL != 0
    }
}

/// An event whose body is not parsed yet.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Its header.
    pub header: Header<'a>,
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
        let (header, rest) = (Header::parse(bytes)?, bytes.get(HEADER_BYTES..).unwrap_or_default());
        let body = match has_checksum && header.kind != EventKind::FormatDescription {
            true => rest.split_last_chunk::<CHECKSUM_BYTES>().map(|(body, _)| body),
            false => Some(rest),
        };
        match body.filter(|_| bytes.len() == header.size()) {
            Some(body) => Ok(Self { header, body }),
            None => Err(wrong_length(&header, bytes.len())),
        }
    }
}

#[cold]
fn no_header(bytes: usize) -> Error {
    corrupt(format!("truncated: an event header needs 19 bytes, {bytes} left"))
}

#[cold]
fn too_small(size: usize) -> Error {
    corrupt(format!("an event of {size} bytes is smaller than its header"))
}

#[cold]
fn wrong_length(header: &Header<'_>, bytes: usize) -> Error {
    corrupt(format!("a {:?} event that says it has {} bytes came with {bytes}", header.kind, header.size()))
}

/// Compares the checksum at the end of a whole event with its bytes.
///
/// # Errors
/// When they differ.
#[inline]
pub fn verify_checksum(bytes: &[u8]) -> Result<()> {
    let Some((covered, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(corrupt("truncated: an event shorter than its checksum"));
    };
    let (stored, computed) = (u32::from_le_bytes(*stored), checksum(covered));
    if stored == computed { Ok(()) } else { Err(mismatch(stored, computed, bytes.len())) }
}

#[cold]
fn mismatch(stored: u32, computed: u32, bytes: usize) -> Error {
    corrupt(format!(
        "checksum mismatch: the event says {stored:#010x}, its {bytes} bytes give {computed:#010x}; the stream or the file is damaged"
    ))
}

/// CRC32 of an event without its checksum. A file still open has IN_USE set in its FORMAT_DESCRIPTION after the
/// checksum was made, so that flag counts as clear.
#[inline]
fn checksum(covered: &[u8]) -> u32 {
    let mut hasher = CRC.clone();
    match covered.split_at_checked(FLAGS_AT) {
        Some((head @ [_, _, _, _, FORMAT_DESCRIPTION, ..], [flags, tail @ ..])) => {
            hasher.update(head);
            hasher.update(&[flags & !FLAG_BINLOG_IN_USE]);
            hasher.update(tail);
        }
        Some(_) | None => hasher.update(covered),
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples;

    #[test]
    fn header_of_a_real_event() {
        let bytes = samples::XID;
        let header = Header::parse(bytes).unwrap();
        assert_eq!((header.kind, header.timestamp(), header.server_id()), (EventKind::Xid, 0x6b05_3bb7, 0x5dfc));
        assert_eq!((header.size(), header.log_pos(), header.flags()), (31, 1063, 0));
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
        let with = |flags: u8| {
            let mut bytes = samples::XID.to_vec();
            bytes[FLAGS_AT] = flags;
            let header = Header::parse(&bytes).unwrap();
            (header.is_ignorable(), header.is_artificial())
        };
        assert_eq!([0x80, 0x7f, 0x20, 0xdf].map(with), [(true, false), (false, true), (false, true), (true, false)]);
    }
}
