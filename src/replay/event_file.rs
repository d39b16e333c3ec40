//! Whole events off a binlog file, through one buffer. What is in them is not looked at, but for the length.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::file_error;
use crate::binlog::event::{FILE_MAGIC, HEADER_BYTES, Header};
use crate::error::{Error, ErrorKind, Result};

/// Read at once; with a body's worth of output it stays in a core's cache.
const READ_BYTES: usize = 256 << 10;
/// How an encrypted binlog file begins.
const ENCRYPTED_MAGIC: [u8; 4] = [0xfd, b'b', b'i', b'n'];

/// Whole events of a binlog file, one after the other.
pub(super) struct EventFile {
    file: File,
    length: u64,
    /// Of the next event in the file.
    offset: u64,
    buffer: Vec<u8>,
    /// What of the buffer is read but not given out yet.
    start: usize,
    end: usize,
}

impl EventFile {
    /// Opens `path` and looks whether it is a binlog file.
    ///
    /// # Errors
    /// When it is not, is encrypted, or cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let failed = |error| file_error(&format!("cannot read {}", path.display()), error);
        let mut file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let mut magic = [0; FILE_MAGIC.len()];
        let is_whole = file.read_exact(&mut magic).is_ok();
        if magic == ENCRYPTED_MAGIC {
            let text = format!("{} is encrypted (binlog_encryption): only its server can read it", path.display());
            return Err(Error::new(ErrorKind::UnsupportedEvent, text));
        }
        if !is_whole || magic != FILE_MAGIC {
            let text = format!("{} is no binlog file: it does not begin with FE 'bin'", path.display());
            return Err(Error::new(ErrorKind::CorruptStream, text));
        }
        let offset = FILE_MAGIC.len() as u64;
        Ok(Self { file, length, offset, buffer: vec![0; READ_BYTES], start: 0, end: 0 })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where the next event lies.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next event; `None` at the end of the file.
    ///
    /// # Errors
    /// When the file ends inside it.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        let whole = self.whole_event();
        let Some(size) = (if whole.is_some() { whole } else { self.read_event()? }) else { return Ok(None) };
        let event = self.start..self.start + size;
        self.start += size;
        self.offset += size as u64;
        Ok(self.buffer.get(event))
    }

    /// What is read but not given out yet.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The size of the next event, if it is read to its end.
    fn whole_event(&self) -> Option<usize> {
        let rest = self.rest();
        let size = Header::parse(rest).ok()?.size();
        (size <= rest.len()).then_some(size)
    }

    /// Reads the next event to its end; its size, or `None` at the end of the file.
    #[cold]
    fn read_event(&mut self) -> Result<Option<usize>> {
        if !self.fill(HEADER_BYTES)? {
            return if self.start == self.end { Ok(None) } else { Err(cut_off()) };
        }
        let size = Header::parse(self.rest())?.size();
        // Before room is made for it: the file must hold as much.
        if size as u64 > self.length.saturating_sub(self.offset) || !self.fill(size)? {
            return Err(cut_off());
        }
        Ok(Some(size))
    }

    /// Reads until `count` bytes are there; false when the file ends before.
    fn fill(&mut self, count: usize) -> Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < count {
            self.buffer.resize(count, 0);
        }
        while self.end < count {
            let read = self.file.read(self.buffer.get_mut(self.end..).unwrap_or_default());
            match read.map_err(|error| file_error("cannot read on", error))? {
                0 => return Ok(false),
                bytes => self.end += bytes,
            }
        }
        Ok(true)
    }
}

/// The error of an event whose file ends before it does.
#[cold]
pub(super) fn cut_off() -> Error {
    Error::new(ErrorKind::CorruptStream, "the file ends inside this event: it was cut off, or is being written still")
}
