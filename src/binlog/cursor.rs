//! Reads integers and byte runs off the front of a slice.
//!
//! Every read checks what is left, so no parser above needs to; a short read is an error and consumes nothing.

use crate::error::{Error, ErrorKind, Result};

/// How much of hostile bytes an error's text repeats.
const QUOTED_BYTES: usize = 64;

/// The unread rest of some bytes.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Everything not read yet; the cursor stays where it is.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all is read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// `CorruptStream` when fewer are left; likewise for all reads below.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(*head)
            }
            None => Err(self.short(N)),
        }
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(count) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.short(count)),
        }
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    /// Two bytes, little endian like all below.
    #[inline]
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Three bytes.
    #[inline]
    pub fn u24(&mut self) -> Result<u32> {
        self.array().map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// Four bytes.
    #[inline]
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Six bytes.
    #[inline]
    pub fn u48(&mut self) -> Result<u64> {
        self.array().map(|[a, b, c, d, e, f]| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// Seven bytes.
    #[inline]
    pub fn u56(&mut self) -> Result<u64> {
        self.array().map(|[a, b, c, d, e, f, g]| u64::from_le_bytes([a, b, c, d, e, f, g, 0]))
    }

    /// Eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A packed ("length-encoded") integer: one byte up to 250, else 252, 253 or 254 and 2, 3 or 8 bytes.
    pub fn packed(&mut self) -> Result<u64> {
        match self.u8()? {
            0xfc => self.u16().map(u64::from),
            0xfd => self.u24().map(u64::from),
            0xfe => self.u64(),
            first @ (0xfb | 0xff) => Err(corrupt(format!("a packed integer cannot begin with {first:#04x}"))),
            value => Ok(u64::from(value)),
        }
    }

    /// A packed integer that counts or indexes.
    pub fn packed_usize(&mut self) -> Result<usize> {
        let value = self.packed()?;
        usize::try_from(value).map_err(|_| corrupt(format!("{value} is too large")))
    }

    /// As many bytes as the packed integer before them says.
    pub fn packed_bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.packed_usize()?;
        self.bytes(count)
    }

    #[cold]
    fn short(&self, count: usize) -> Error {
        corrupt(format!("truncated: needs {count} bytes, {} left", self.rest.len()))
    }
}

/// An error about bytes that no server sends.
#[cold]
pub(crate) fn corrupt(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::CorruptStream, text)
}

/// UTF-8 out of an event, where MySQL writes nothing else (names, files); `what` names it in the error.
pub(crate) fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|_| corrupt(format!("{what} is not UTF-8: \"{}\"", quoted(bytes))))
}

/// The beginning of bytes of any length, for an error's text.
pub(crate) fn quoted(bytes: &[u8]) -> std::slice::EscapeAscii<'_> {
    bytes.get(..QUOTED_BYTES).unwrap_or(bytes).escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_little_endian() {
        let bytes: Vec<u8> = (1..=31).collect();
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.u8().unwrap(), 1);
        assert_eq!(cursor.u16().unwrap(), 0x0302);
        assert_eq!(cursor.u24().unwrap(), 0x06_0504);
        assert_eq!(cursor.u32().unwrap(), 0x0a09_0807);
        assert_eq!(cursor.u48().unwrap(), 0x100f_0e0d_0c0b);
        assert_eq!(cursor.u56().unwrap(), 0x17_1615_1413_1211);
        assert_eq!(cursor.u64().unwrap(), 0x1f1e_1d1c_1b1a_1918);
        assert!(cursor.is_empty());
    }

    #[test]
    fn a_short_read_is_an_error_and_consumes_nothing() {
        let mut cursor = Cursor::new(b"abc");
        assert_eq!(cursor.u32().unwrap_err().text, "truncated: needs 4 bytes, 3 left");
        assert!(cursor.bytes(usize::MAX).is_err());
        assert_eq!(cursor.bytes(3).unwrap(), b"abc");
    }

    #[test]
    fn packed_integers() {
        let check = |bytes: &[u8], expected: Option<u64>| assert_eq!(Cursor::new(bytes).packed().ok(), expected);
        check(&[0], Some(0));
        check(&[250], Some(250));
        check(&[251, 1], None);
        check(&[252, 1, 2], Some(0x201));
        check(&[253, 1, 2, 3], Some(0x3_0201));
        check(&[254, 1, 2, 3, 4, 5, 6, 7, 8], Some(0x0807_0605_0403_0201));
        check(&[254, 1], None);
        check(&[255], None);
        check(&[], None);
    }
}
