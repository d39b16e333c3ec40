//! Rows of an answer in RowBinary, one by one from a stream.
//!
//! The buffer holds a row and what was read ahead; it grows by doubling as bytes arrive, never by what a length claims.

use std::io::Read;

use crate::error::{Error, ErrorKind, Result};
use crate::transcode::layout::Layout;

const BUFFER_BYTES: usize = 256 << 10;
/// `_version` behind the columns.
const VERSION_BYTES: usize = 8;
/// MySQL has no row above 1 GiB.
const ROW_BYTES_MAX: usize = 4 << 30;

/// Reads rows of a layout, each with its version behind it.
pub struct RowReader<'a, R> {
    from: R,
    layout: &'a Layout,
    /// Initialised to its whole length; data from `next` to `filled`.
    bytes: Vec<u8>,
    next: usize,
    filled: usize,
}

impl<'a, R: Read> RowReader<'a, R> {
    /// Reads `from` its beginning.
    pub fn new(from: R, layout: &'a Layout) -> Self {
        Self { from, layout, bytes: vec![0; BUFFER_BYTES], next: 0, filled: 0 }
    }

    /// The next row and its version; `None` at the end.
    ///
    /// # Errors
    /// When the answer breaks off.
    pub fn next_row(&mut self) -> Result<Option<(&[u8], u64)>> {
        loop {
            let ahead = self.bytes.get(self.next..self.filled).unwrap_or_default();
            if let Some(len) = self.layout.row_len(ahead).filter(|len| len + VERSION_BYTES <= ahead.len()) {
                let start = self.next;
                self.next += len + VERSION_BYTES;
                let row = self.bytes.get(start..start + len).unwrap_or_default();
                let version = self.bytes.get(start + len..self.next).unwrap_or_default();
                return Ok(Some((row, u64::from_le_bytes(version.try_into().unwrap_or_default()))));
            }
            let was_empty = ahead.is_empty();
            if self.fill()? == 0 {
                return if was_empty { Ok(None) } else { Err(broken("in the midst of a row")) };
            }
        }
    }

    fn fill(&mut self) -> Result<usize> {
        if self.next > 0 {
            self.bytes.copy_within(self.next..self.filled, 0);
            self.filled -= self.next;
            self.next = 0;
        }
        if self.filled == self.bytes.len() {
            if self.filled > ROW_BYTES_MAX {
                return Err(broken("with a row above 4 GiB"));
            }
            self.bytes.resize(2 * self.filled, 0);
        }
        let len = self.from.read(self.bytes.get_mut(self.filled..).unwrap_or_default());
        let len = len.map_err(|error| broken(&format!("early ({error})")))?;
        self.filled += len;
        Ok(len)
    }
}

fn broken(how: &str) -> Error {
    Error::new(ErrorKind::TargetBusy, format!("ClickHouse's answer ended {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::target::TargetColumn;

    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let len = self.1.min(out.len());
            self.0.read(&mut out[..len])
        }
    }

    #[test]
    fn rows_come_whole_whatever_the_reads() {
        let layout = Layout::new(&[TargetColumn { name: "s".to_owned(), ty: "String".to_owned() }], &[0]).unwrap();
        let mut bytes = Vec::new();
        for len in [0_usize, 1, 300, 400_000, 5] {
            crate::rowbinary::string(&mut bytes, &vec![b'x'; len]);
            bytes.extend((len as u64).to_le_bytes());
        }
        for step in [1, 7, 1 << 20] {
            let mut reader = RowReader::new(Drip(&bytes, step), &layout);
            for len in [0, 1, 300, 400_000, 5] {
                let (row, version) = reader.next_row().unwrap().unwrap();
                assert!(row.len() > len && version == len as u64);
            }
            assert_eq!(reader.next_row(), Ok(None));
        }
        let mut cut = RowReader::new(Drip(&bytes[..bytes.len() - 1], 100), &layout);
        let ends = (0..5).map(|_| cut.next_row().map(|row| row.is_some())).collect::<Vec<_>>();
        assert_eq!(ends[..4], [Ok(true), Ok(true), Ok(true), Ok(true)]);
        assert!(ends[4].as_ref().unwrap_err().text.contains("in the midst of a row"));
    }
}
