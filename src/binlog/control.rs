//! Events about the log itself: FORMAT_DESCRIPTION, ROTATE, heartbeats, XA_PREPARE.
//!
//! PREVIOUS_GTIDS is [`GtidSet::decode`](crate::gtid::GtidSet::decode) of its body; STOP and XID say all by being there.

use super::cursor::{Cursor, corrupt, utf8};
use super::event::{CHECKSUM_BYTES, Event, EventKind, HEADER_BYTES};
use crate::error::{Error, ErrorKind, Result};

const SERVER_VERSION_BYTES: usize = 50;
const CHECKSUM_NONE: u8 = 0;
const CHECKSUM_CRC32: u8 = 1;
/// Post-header bytes that our parsers rely on, by type code. GTID events had no logical timestamps before 5.7.
const POST_HEADER_BYTES: [(usize, &[u8]); 8] =
    [(2, &[13]), (4, &[8]), (19, &[8]), (30, &[10]), (31, &[10]), (32, &[10]), (33, &[25, 42]), (34, &[25, 42])];

/// How the events of a file are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatDescription {
    /// `@@version` of the server that wrote the file.
    pub server_version: String,
    /// When the server started, if the file is its first one since; else 0.
    pub created: u32,
    /// Header timestamp: when the file was begun. Tells it from another file of the same name.
    pub header_timestamp: u32,
    /// Whether the events end in a CRC32.
    pub has_checksum: bool,
    /// Post-header bytes of type 1, 2, ..
    pub post_header_lengths: Vec<u8>,
}

impl FormatDescription {
    /// Parses the body as [`Event::parse`] leaves it: with its checksum, if any.
    ///
    /// # Errors
    /// For binlog versions before 4 (MySQL 4.1 and older), layouts unknown to us, and truncated bodies.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        let mut body = Cursor::new(event.body);
        let binlog_version = body.u16()?;
        let version = body.bytes(SERVER_VERSION_BYTES)?;
        let version = version.split(|&byte| byte == 0).next().unwrap_or_default();
        let server_version = utf8(version, "the server version")?.to_owned();
        if binlog_version != 4 {
            let text =
                format!("binlog format version {binlog_version} of server {server_version} is not supported, only 4");
            return Err(Error::new(ErrorKind::UnsupportedEvent, text));
        }
        let created = body.u32()?;
        let header_bytes = body.u8()?;
        if usize::from(header_bytes) != HEADER_BYTES {
            return Err(corrupt(format!("event headers of {header_bytes} bytes instead of 19")));
        }
        let (lengths, has_checksum) = split_checksum(body.rest(), &server_version)?;
        let format = Self {
            server_version,
            created,
            header_timestamp: event.header.timestamp(),
            has_checksum,
            post_header_lengths: lengths.to_vec(),
        };
        format.check_lengths()?;
        Ok(format)
    }

    /// Whether MariaDB wrote the file.
    pub fn is_mariadb(&self) -> bool {
        self.server_version.to_ascii_lowercase().contains("mariadb")
    }

    /// Refuses layouts that our parsers would misread. A kind that the server does not know is not in its list.
    fn check_lengths(&self) -> Result<()> {
        for (code, expected) in POST_HEADER_BYTES {
            match self.post_header_lengths.get(code - 1) {
                Some(found) if !expected.contains(found) && !self.is_mariadb() => {
                    let text = format!(
                        "server {} writes events of type {code} with {found} post-header bytes instead of {expected:?}: this layout is not supported",
                        self.server_version
                    );
                    return Err(Error::new(ErrorKind::UnsupportedEvent, text));
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }
}

/// Splits the list of post-header lengths from the checksum algorithm and the checksum behind it, which servers since
/// 5.6.1 write even when the algorithm is none.
fn split_checksum<'a>(rest: &'a [u8], server_version: &str) -> Result<(&'a [u8], bool)> {
    if !knows_checksums(server_version) {
        return Ok((rest, false));
    }
    let end = rest.len().checked_sub(CHECKSUM_BYTES).and_then(|end| rest.get(..end));
    match end.and_then(<[u8]>::split_last) {
        Some((&CHECKSUM_NONE, lengths)) => Ok((lengths, false)),
        Some((&CHECKSUM_CRC32, lengths)) => Ok((lengths, true)),
        Some((algorithm, _)) => {
            Err(corrupt(format!("checksum algorithm {algorithm} is unknown; MySQL has 0 (none) and 1 (CRC32)")))
        }
        None => Err(corrupt("truncated: a FORMAT_DESCRIPTION event without its checksum algorithm")),
    }
}

/// Checksums came with MySQL 5.6.1 (and MariaDB 5.3, older than which nothing is in use).
fn knows_checksums(server_version: &str) -> bool {
    let mut numbers = server_version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = [numbers.next(), numbers.next(), numbers.next()].map(Option::unwrap_or_default);
    version >= [5, 6, 1] || server_version.to_ascii_lowercase().contains("mariadb")
}

/// The longest name of a binlog file (`FN_REFLEN`).
const FILE_NAME_BYTES: usize = 512;

fn file_name(bytes: &[u8], what: &str) -> Result<String> {
    if bytes.len() > FILE_NAME_BYTES {
        return Err(corrupt(format!("{what} has {} bytes", bytes.len())));
    }
    utf8(bytes, what).map(str::to_owned)
}

/// Where the stream goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotate {
    /// Offset in `file`.
    pub position: u64,
    /// Binlog file name.
    pub file: String,
}

impl Rotate {
    /// Parses the body.
    ///
    /// # Errors
    /// When it is truncated or its name is not UTF-8.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        let mut body = Cursor::new(event.body);
        let position = body.u64()?;
        Ok(Self { position, file: file_name(body.rest(), "the file name of a ROTATE event")? })
    }
}

/// A sign of life, and how far the server is when it skips what we have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Binlog file name.
    pub file: String,
    /// Offset in `file`; HEARTBEAT_V2 only. The older kind has nothing but its header's `log_pos`, which wraps.
    pub position: Option<u64>,
}

const HEARTBEAT_END: u64 = 0;
const HEARTBEAT_FILE: u64 = 1;
const HEARTBEAT_POSITION: u64 = 2;

impl Heartbeat {
    /// Parses the body of either kind.
    ///
    /// # Errors
    /// When it is truncated or its name is not UTF-8.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        if event.header.kind == EventKind::HeartbeatV2 {
            return Self::parse_v2(Cursor::new(event.body));
        }
        Ok(Self { file: file_name(event.body, "the file name of a HEARTBEAT event")?, position: None })
    }

    /// Fields of (type, length, value), as packed integers; the position is a packed integer in its value.
    fn parse_v2(mut body: Cursor<'_>) -> Result<Self> {
        let mut heartbeat = Self { file: String::new(), position: None };
        while !body.is_empty() {
            let field = body.packed()?;
            if field == HEARTBEAT_END {
                break;
            }
            let value = body.packed_bytes()?;
            match field {
                HEARTBEAT_FILE => heartbeat.file = file_name(value, "the file name of a HEARTBEAT event")?,
                HEARTBEAT_POSITION => heartbeat.position = Some(Cursor::new(value).packed()?),
                _ => {}
            }
        }
        Ok(heartbeat)
    }
}

/// The end of an XA transaction's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XaPrepare {
    /// Committed at once (`XA COMMIT .. ONE PHASE`); otherwise its outcome comes later.
    pub one_phase: bool,
}

impl XaPrepare {
    /// Parses the body.
    ///
    /// # Errors
    /// When it is empty.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        Ok(Self { one_phase: Cursor::new(event.body).u8()? != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples::{self, parse};

    #[test]
    fn format_description_of_9_7() {
        let format = FormatDescription::parse(&parse(samples::FORMAT_DESCRIPTION)).unwrap();
        assert_eq!(format.server_version, "9.7.4-2");
        assert_eq!((format.created, format.header_timestamp), (0, 0x6b05_3bb7));
        assert!(format.has_checksum && !format.is_mariadb());
        assert_eq!(format.post_header_lengths.len(), 42);
        assert_eq!(format.post_header_lengths[18], 8, "TABLE_MAP");
    }

    /// A FORMAT_DESCRIPTION of `version` with `tail` after the header length.
    fn format(version: &str, tail: &[u8]) -> Result<FormatDescription> {
        let mut body = vec![4, 0];
        body.extend(version.bytes().chain(std::iter::repeat(0)).take(50));
        body.extend([0, 0, 0, 0, 19]);
        body.extend(tail);
        let header = parse(samples::FORMAT_DESCRIPTION).header;
        FormatDescription::parse(&Event { header, body: &body })
    }

    #[test]
    fn checksums_are_known_since_5_6_1() {
        let has = |version, tail: &[u8]| format(version, tail).map(|format| format.has_checksum).ok();
        assert_eq!(has("5.5.62-log", &[0, 13, 0, 8]), Some(false));
        assert_eq!(has("5.7.44-log", &[0, 13, 0, 8, 1, 9, 9, 9, 9]), Some(true));
        assert_eq!(has("8.0.40", &[0, 13, 0, 8, 0, 9, 9, 9, 9]), Some(false));
        assert_eq!(has("8.0.40", &[0, 13, 0, 8, 2, 9, 9, 9, 9]), None);
        assert_eq!(has("8.0.40", &[1, 9, 9]), None);
        assert!(format("10.11.19-MariaDB-log", &[0, 13, 0, 8, 1, 9, 9, 9, 9]).unwrap().is_mariadb());
    }

    #[test]
    fn unknown_layouts_are_refused() {
        let error = format("8.0.40", &[0, 14, 0, 8, 1, 9, 9, 9, 9]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnsupportedEvent);
        assert!(error.text.contains("type 2 with 14"), "{error}");
    }

    #[test]
    fn rotate_names_the_next_file() {
        let rotate = Rotate::parse(&parse(samples::ROTATE)).unwrap();
        assert_eq!(rotate, Rotate { position: 4, file: "binlog.000003".to_owned() });
    }

    #[test]
    fn heartbeats_of_both_kinds() {
        let check = |bytes, file: &str, position| {
            let heartbeat = Heartbeat::parse(&parse(bytes)).unwrap();
            assert_eq!(heartbeat, Heartbeat { file: file.to_owned(), position });
        };
        check(samples::HEARTBEAT, samples::HEARTBEAT_FILE, None);
        check(samples::HEARTBEAT_V2, samples::HEARTBEAT_FILE, Some(samples::HEARTBEAT_AT));
    }

    #[test]
    fn xa_prepare_tells_one_phase() {
        assert!(!XaPrepare::parse(&parse(samples::XA_PREPARE)).unwrap().one_phase);
        assert!(XaPrepare::parse(&parse(samples::XA_COMMIT_ONE_PHASE)).unwrap().one_phase);
    }
}
