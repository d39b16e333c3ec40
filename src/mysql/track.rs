//! Where a dump stands in the source's files, counted in 64 bits.
//!
//! `log_pos` in events is 32 bits wide and wraps at 4 GiB. The own count is set by artificial ROTATEs, moved by every
//! event that lies in the file, and checked against `log_pos`: a gap is an error, except where the server may leave
//! out what our GTID set holds. Every event's checksum is verified here, and files written without are refused. No IO.

use crate::binlog::control::{FormatDescription, Heartbeat, Rotate};
use crate::binlog::event::{Event, EventKind, Header, verify_checksum};
use crate::error::{Error, ErrorKind, Result};

/// The running position.
#[derive(Debug)]
pub struct Track {
    file: String,
    /// The end of the last event that lies in the file.
    offset: u64,
    may_skip: bool,
}

impl Track {
    /// Before the first event, which is an artificial ROTATE. `may_skip`: the server leaves out what a GTID set holds.
    pub fn new(may_skip: bool) -> Self {
        Self { file: String::new(), offset: 0, may_skip }
    }

    /// Checks one whole event and moves over it; returns the offset of its first byte, 0 for one that lies in no file.
    ///
    /// # Errors
    /// When it is damaged, not where it should be, or from a file without checksums.
    pub fn event(&mut self, bytes: &[u8]) -> Result<u64> {
        self.walk(bytes).map_err(|error| self.place(error))
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<u64> {
        let event = Event::parse(bytes, true)?;
        let header = &event.header;
        if header.kind == EventKind::FormatDescription {
            refuse_without_checksum(&event)?;
        }
        verify_checksum(bytes)?;
        if matches!(header.kind, EventKind::Heartbeat | EventKind::HeartbeatV2) {
            return self.heartbeat(&event).map(|()| 0);
        }
        if header.kind == EventKind::Rotate && header.is_artificial() {
            let rotate = Rotate::parse(&event)?;
            (self.file, self.offset) = (rotate.file, rotate.position);
        }
        // The FORMAT_DESCRIPTION that begins a dump within a file has no place there: its log_pos is 0.
        if header.is_artificial() || header.log_pos() == 0 { Ok(0) } else { self.advance(header) }
    }

    /// A heartbeat stands for what the server left out, so only where it may leave something out does it move us.
    fn heartbeat(&mut self, event: &Event<'_>) -> Result<()> {
        let log_pos = u64::from(event.header.log_pos());
        self.offset = match Heartbeat::parse(event)?.position {
            _ if !self.may_skip => self.offset,
            Some(position) => self.offset.max(position),
            None if log_pos == 0 => self.offset,
            None => unwrapped(self.offset, log_pos),
        };
        Ok(())
    }

    fn advance(&mut self, header: &Header) -> Result<u64> {
        let (size, log_pos) = (header.size() as u64, u64::from(header.log_pos()));
        let next = self.offset.saturating_add(size);
        let end = unwrapped(next, log_pos);
        if end != next && !self.may_skip {
            return Err(self
                .corrupt(&format!("an event should end at {next} but says {log_pos} (mod 2^32): bytes are missing")));
        }
        self.offset = end;
        Ok(end - size)
    }

    /// Damage, with its place.
    pub fn corrupt(&self, text: &str) -> Error {
        self.place(Error::new(ErrorKind::CorruptStream, text))
    }

    /// The error at the running position.
    pub fn place(&self, error: Error) -> Error {
        if self.file.is_empty() { error } else { error.at_position(&self.file, self.offset) }
    }
}

/// Files written under `binlog_checksum=NONE` are sent without checksums, whatever the session asked for.
fn refuse_without_checksum(event: &Event<'_>) -> Result<()> {
    if FormatDescription::parse(event)?.has_checksum {
        return Ok(());
    }
    let text = "this binlog file was written without checksums: SET PERSIST binlog_checksum='CRC32', and start at a position in a later file";
    Err(Error::new(ErrorKind::UnsupportedEvent, text))
}

/// The smallest number from `least` on whose low 32 bits are those of `log_pos`.
fn unwrapped(least: u64, log_pos: u64) -> u64 {
    let ahead = log_pos.wrapping_sub(least) & u64::from(u32::MAX);
    least.saturating_add(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples;

    #[test]
    fn log_pos_is_unwrapped_upwards() {
        for (least, log_pos, expected) in
            [(0, 4, 4), (100, 100, 100), ((1 << 32) - 6, 14, (1 << 32) + 14), (5 << 32 | 7, 6, 6 << 32 | 6)]
        {
            assert_eq!(unwrapped(least, log_pos), expected, "{least} {log_pos}");
        }
    }

    #[test]
    fn files_without_checksums_are_refused() {
        let mut description = samples::FORMAT_DESCRIPTION_IN_USE.to_vec();
        assert!(Track::new(true).event(&description).is_ok());
        let algorithm = description.len() - 5;
        description[algorithm] = 0;
        let error = Track::new(true).event(&description).unwrap_err();
        assert!(error.kind == ErrorKind::UnsupportedEvent && error.text.contains("binlog_checksum"), "{error}");
    }
}
