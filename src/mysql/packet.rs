//! The packets of MySQL's protocol that a replica needs, as bytes.
//!
//! Reading never panics: a field that is not there is `None` and becomes one error at the caller. Nothing is allocated
//! by a length that the peer claims. Formats:
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>. No IO.

use crate::error::{Error, ErrorKind, Result};

/// A packet of this payload length is continued by the next one.
pub const PACKET_MAX: usize = 0xff_ffff;
/// `max_packet_size` of ours: rows events come in packets far above the server's own `max_allowed_packet`.
const MAX_PACKET_BYTES: u32 = 1 << 30;
/// utf8mb4_general_ci, known to every server since 5.5.
const COLLATION_UTF8MB4: u8 = 45;

/// CLIENT_LONG_PASSWORD | LONG_FLAG | PROTOCOL_41 | TRANSACTIONS | SECURE_CONNECTION | PLUGIN_AUTH | CONNECT_ATTRS.
const CAPABILITIES: u32 = 1 | 1 << 2 | 1 << 9 | 1 << 13 | 1 << 15 | CLIENT_PLUGIN_AUTH | 1 << 20;
const CLIENT_PLUGIN_AUTH: u32 = 1 << 19;
const CLIENT_SSL: u32 = 1 << 11;

const COM_REGISTER_SLAVE: u8 = 0x15;
const COM_BINLOG_DUMP: u8 = 0x12;
const COM_BINLOG_DUMP_GTID: u8 = 0x1e;

/// Dump flag: end with EOF instead of waiting for more.
pub const DUMP_NON_BLOCK: u16 = 0x01;
/// Dump flag: heartbeats with a 64-bit position (8.0.26; ignored before).
pub const DUMP_HEARTBEAT_V2: u16 = 0x02;

/// Takes fields from the front of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `len` bytes.
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// The bytes up to the next NUL, or to the end without one.
    pub fn nul_string(&mut self) -> &'a [u8] {
        let mut parts = self.0.splitn(2, |&byte| byte == 0);
        let head = parts.next().unwrap_or_default();
        self.0 = parts.next().unwrap_or_default();
        head
    }

    /// An unsigned integer of `bytes` (1..=8) bytes, little endian.
    pub fn uint(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A length-encoded integer; `None` also for NULL (0xfb).
    pub fn packed_uint(&mut self) -> Option<u64> {
        match self.uint(1)? {
            0xfc => self.uint(2),
            0xfd => self.uint(3),
            0xfe => self.uint(8),
            0xfb | 0xff => None,
            small => Some(small),
        }
    }

    /// A length-encoded string.
    pub fn packed_string(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.packed_uint()?).ok()?;
        self.take(len)
    }
}

/// The server's greeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `8.4.3`, `5.5.5-10.11.8-MariaDB`, ..
    pub version: String,
    /// The scramble for the password: 20 bytes.
    pub nonce: Vec<u8>,
    /// Whether it takes a [`tls_request`].
    pub offers_tls: bool,
}

impl Handshake {
    /// Reads a version 10 greeting.
    ///
    /// # Errors
    /// When it is none, or the server is too old to name an authentication plugin (before 5.5).
    pub fn parse(packet: &[u8]) -> Result<Self> {
        Self::fields(packet).ok_or_else(|| {
            Error::new(
                ErrorKind::SourceRefused,
                "what answers is not a MySQL server (no version 10 greeting); check mysql.host and mysql.port",
            )
        })
    }

    fn fields(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        if fields.uint(1)? != 10 {
            return None;
        }
        let version = String::from_utf8_lossy(fields.nul_string()).into_owned();
        fields.take(4)?; // the connection's id
        let mut nonce = fields.take(8)?.to_vec();
        fields.take(1)?;
        let low = fields.uint(2)?;
        fields.take(3)?; // collation, status
        let capabilities = low | fields.uint(2)? << 16;
        if capabilities & u64::from(CLIENT_PLUGIN_AUTH) == 0 {
            return None;
        }
        fields.take(1 + 10)?; // length of the scramble, always 21; reserved
        nonce.extend_from_slice(fields.take(12)?);
        Some(Self { version, nonce, offers_tls: capabilities & u64::from(CLIENT_SSL) != 0 })
    }
}

/// Asks for TLS, which the server expects right behind this packet: the head of a [`handshake_response`].
pub fn tls_request() -> Vec<u8> {
    response_head(CAPABILITIES | CLIENT_SSL)
}

fn response_head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend(capabilities.to_le_bytes());
    out.extend(MAX_PACKET_BYTES.to_le_bytes());
    out.push(COLLATION_UTF8MB4);
    out.extend([0; 23]);
    out
}

/// The answer to the greeting, for an account of `plugin`.
pub fn handshake_response(user: &str, plugin: &str, auth: &[u8], is_tls: bool) -> Vec<u8> {
    let mut out = response_head(if is_tls { CAPABILITIES | CLIENT_SSL } else { CAPABILITIES });
    put_nul(&mut out, user);
    put_short(&mut out, auth);
    put_nul(&mut out, plugin);
    let mut attributes = Vec::new();
    for text in ["program_name", "stream-bridge", "_client_version", env!("CARGO_PKG_VERSION")] {
        put_short(&mut attributes, text.as_bytes());
    }
    put_short(&mut out, &attributes);
    out
}

/// COM_REGISTER_SLAVE: makes us appear in SHOW REPLICAS.
pub fn register_replica(server_id: u32) -> Vec<u8> {
    let mut out = vec![COM_REGISTER_SLAVE];
    out.extend(server_id.to_le_bytes());
    put_short(&mut out, b"stream-bridge");
    put_short(&mut out, b"");
    put_short(&mut out, b"");
    out.extend([0; 2 + 4 + 4]); // port, rank, source id
    out
}

/// COM_BINLOG_DUMP from `offset` of `file`.
pub fn binlog_dump(server_id: u32, flags: u16, file: &str, offset: u32) -> Vec<u8> {
    let mut out = vec![COM_BINLOG_DUMP];
    out.extend(offset.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(server_id.to_le_bytes());
    out.extend(file.as_bytes());
    out
}

/// COM_BINLOG_DUMP_GTID: everything that is not in the encoded set.
pub fn binlog_dump_gtid(server_id: u32, flags: u16, encoded_set: &[u8]) -> Vec<u8> {
    let mut out = vec![COM_BINLOG_DUMP_GTID];
    out.extend(flags.to_le_bytes());
    out.extend(server_id.to_le_bytes());
    out.extend(0_u32.to_le_bytes()); // no file name
    out.extend(4_u64.to_le_bytes());
    out.extend(u32::try_from(encoded_set.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(encoded_set);
    out
}

/// Code and message of an ERR packet (its first byte, 0xff, included).
pub fn err_packet(packet: &[u8]) -> Option<(u16, String)> {
    let mut fields = Fields(packet.strip_prefix(&[0xff])?);
    let code = u16::try_from(fields.uint(2)?).ok()?;
    let mut text = fields.0;
    if text.first() == Some(&b'#') {
        text = text.get(6..)?;
    }
    Some((code, String::from_utf8_lossy(text).into_owned()))
}

/// Whether this is an EOF packet.
pub fn is_eof(packet: &[u8]) -> bool {
    packet.first() == Some(&0xfe) && packet.len() < 9
}

fn put_nul(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().filter(|&byte| byte != 0));
    out.push(0);
}

/// A string of at most 250 bytes behind its length; longer ones (never ours) are cut.
fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = bytes.len().min(250);
    out.push(u8::try_from(len).unwrap_or_default());
    out.extend(bytes.iter().take(len));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting() -> Vec<u8> {
        let mut packet = b"\x0a9.7.4\0".to_vec();
        packet.extend(7_u32.to_le_bytes());
        packet.extend(b"12345678\0");
        packet.extend([0xff, 0xff, 0xff, 2, 0, 0xff, 0xdf, 21]);
        packet.extend([0; 10]);
        packet.extend(b"abcdefghijkl\0caching_sha2_password\0");
        packet
    }

    #[test]
    fn reads_a_greeting_and_refuses_every_shorter_one() {
        let handshake = Handshake::parse(&greeting()).unwrap();
        assert_eq!(handshake.version, "9.7.4");
        assert_eq!(handshake.nonce, b"12345678abcdefghijkl");
        assert!(handshake.offers_tls);
        let mut plain = greeting();
        plain[21] &= !8; // bit 11 of the capabilities
        assert!(!Handshake::parse(&plain).unwrap().offers_tls);
        let needed = greeting().len() - "\0caching_sha2_password\0".len();
        for len in 0..needed {
            assert!(Handshake::parse(&greeting()[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn reads_err_packets_with_and_without_state() {
        assert_eq!(err_packet(b"\xff\x15\x04#28000No"), Some((1045, "No".to_owned())));
        assert_eq!(err_packet(b"\xff\x10\x04Many"), Some((1040, "Many".to_owned())));
        for bad in [b"\xff\x10".as_slice(), b"\xff\x10\x04#28", b"\x00"] {
            assert_eq!(err_packet(bad), None);
        }
    }

    #[test]
    fn packed_integers() {
        for (bytes, expected) in [
            (b"\x05".as_slice(), Some(5)),
            (b"\xfc\x01\x02", Some(0x201)),
            (b"\xfd\x01\x02\x03", Some(0x3_0201)),
            (b"\xfe\x01\0\0\0\0\0\0\x80", Some(1 << 63 | 1)),
            (b"\xfb", None),
            (b"\xfc\x01", None),
            (b"", None),
        ] {
            assert_eq!(Fields(bytes).packed_uint(), expected, "{bytes:x?}");
        }
    }
}
