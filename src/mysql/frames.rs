//! From the socket's bytes to whole, checked binlog events with their 64-bit offsets.
//!
//! [`Frames`] owns one buffer. The socket reads into its free end, [`Frames::received`] walks the packets that are
//! whole by then, [`Frames::take_chunk`] hands the buffer over with the events in it and keeps the rest (part of the
//! next event) for the next buffer. Packet headers and status bytes stay between the events: nothing is copied.
//! An event that continues over several 16 MiB packets is joined in place, by closing the gaps of the inner headers.
//! The state survives any pause between two reads. The buffer grows by doubling, up to the end of a packet whose
//! bytes already fill it: never by what a length alone claims.
//! No IO.

use crate::error::{Error, ErrorKind, Result};
use crate::message::{CHUNK_BYTES, Chunk, EventSpan};
use crate::mysql::packet::{self, Fields, PACKET_MAX};
use crate::mysql::refusal::server_error;
use crate::mysql::track::Track;

/// A row event holds at most `max_allowed_packet` bytes, whose own limit is 1 GiB.
const EVENT_MAX_BYTES: usize = (1 << 30) + (1 << 20);

/// The buffer under way.
#[derive(Debug)]
pub struct Frames {
    /// Initialised to its whole length; data up to `filled`.
    bytes: Vec<u8>,
    filled: usize,
    /// Where the next packet header begins.
    next_packet: usize,
    /// Where the payload began that the next packet continues.
    continued: Option<usize>,
    sequence: u8,
    events: Vec<EventSpan>,
    charged_bytes: usize,
    /// The beginning of an event whose buffer was handed over.
    tail: Vec<u8>,
    track: Track,
    /// Why nothing more comes; told once the events before it were handed over.
    end: Option<Error>,
}

impl Frames {
    /// Ready for the first packet after a dump command. `may_skip`: the server leaves out what a GTID set holds.
    pub fn new(may_skip: bool) -> Self {
        Self {
            bytes: Vec::new(),
            filled: 0,
            next_packet: 0,
            continued: None,
            sequence: 1,
            events: Vec::new(),
            charged_bytes: 0,
            tail: Vec::new(),
            track: Track::new(may_skip),
            end: None,
        }
    }

    /// By how many bytes the buffer must grow before the next read (0: there is room).
    pub fn wanted_bytes(&self) -> usize {
        let len = self.bytes.len();
        if len == 0 {
            return CHUNK_BYTES.max(self.tail.len() * 2);
        }
        if self.filled < len {
            return 0;
        }
        let packet_end = self.packet_len().map_or(0, |packet| self.next_packet + 4 + packet);
        (len * 2).min(packet_end).saturating_sub(len).max(CHUNK_BYTES)
    }

    /// Bytes held, as charged to the budget.
    pub fn held_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// Grows by [`Frames::wanted_bytes`], which the budget has been charged; `recycled` serves as a new buffer.
    pub fn grow(&mut self, more_bytes: usize, recycled: Option<Vec<u8>>) {
        if self.bytes.is_empty() {
            self.bytes = recycled.filter(|buffer| buffer.capacity() == more_bytes).unwrap_or_default();
        }
        let len = self.charged_bytes + more_bytes;
        self.bytes.reserve_exact(len.saturating_sub(self.bytes.len()));
        self.bytes.resize(len, 0);
        self.charged_bytes = len;
        if self.filled == 0 {
            if let Some(start) = self.bytes.get_mut(..self.tail.len()) {
                start.copy_from_slice(&self.tail);
            }
            self.filled = self.tail.len();
            self.tail.clear();
        }
    }

    /// The free end of the buffer, to read into.
    pub fn free(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// `len` more bytes stand at the beginning of what was free: finds the events that are whole now.
    pub fn received(&mut self, len: usize) {
        self.filled += len;
        while self.end.is_none() {
            match self.packet() {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => self.end = Some(error),
            }
        }
    }

    /// Whether at least one event is whole.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Why the stream ended, if it did.
    pub fn take_end(&mut self) -> Option<Error> {
        self.end.take()
    }

    /// Hands the buffer over with its events, and keeps what follows them.
    pub fn take_chunk(&mut self) -> Chunk {
        let keep = self.continued.unwrap_or(self.next_packet);
        self.tail.extend(self.bytes.get(keep..self.filled).unwrap_or_default());
        self.next_packet -= keep;
        self.continued = self.continued.map(|start| start - keep);
        self.filled = 0;
        Chunk {
            bytes: std::mem::take(&mut self.bytes),
            events: std::mem::take(&mut self.events),
            charged_bytes: std::mem::take(&mut self.charged_bytes),
        }
    }

    /// Payload length of the packet whose header stands at `next_packet`.
    fn packet_len(&self) -> Option<usize> {
        let header = self.bytes.get(self.next_packet..self.filled)?;
        let len = Fields(header).uint(3)?;
        usize::try_from(len).ok()
    }

    /// Walks over one packet if it is whole; false when more bytes are needed.
    fn packet(&mut self) -> Result<bool> {
        let Some(len) = self.packet_len() else { return Ok(false) };
        let start = self.next_packet + 4;
        if self.filled < start || self.filled - start < len {
            return Ok(false);
        }
        let sequence = self.bytes.get(start - 1).copied().unwrap_or_default();
        if sequence != self.sequence {
            return Err(self.track.corrupt(&format!("packet {sequence} came where packet {} must be", self.sequence)));
        }
        self.sequence = sequence.wrapping_add(1);
        let payload = match self.continued.take() {
            None => start,
            Some(payload) => {
                self.bytes.copy_within(start..self.filled, start - 4);
                self.filled -= 4;
                self.next_packet -= 4;
                payload
            }
        };
        self.next_packet += 4 + len;
        if self.next_packet - payload > EVENT_MAX_BYTES {
            return Err(self.track.corrupt("an event is larger than 1 GiB"));
        }
        if len == PACKET_MAX {
            self.continued = Some(payload);
            return Ok(true);
        }
        self.payload(payload, self.next_packet).map(|()| true)
    }

    /// A whole payload: an event behind a status byte, or the end.
    fn payload(&mut self, start: usize, end: usize) -> Result<()> {
        let payload = self.bytes.get(start..end).unwrap_or_default();
        match payload.split_first() {
            Some((0, event)) => {
                let offset = self.track.event(event)?;
                self.events.push(EventSpan { start: start + 1, len: event.len(), offset });
                Ok(())
            }
            Some((0xff, _)) => Err(self.refused(payload)),
            Some((0xfe, _)) if packet::is_eof(payload) => Err(self.track.place(Error::new(
                ErrorKind::SourceDown,
                "MySQL ended the binary log dump (it shuts down, or the connection was killed)",
            ))),
            _ => Err(self.track.corrupt("a packet is neither an event nor an end")),
        }
    }

    fn refused(&self, packet: &[u8]) -> Error {
        match packet::err_packet(packet) {
            Some((code, message)) => self.track.place(server_error(code, &message)),
            None => self.track.corrupt("an error packet that cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::event::{CHECKSUM_BYTES, HEADER_BYTES};

    const ROTATE: u8 = 4;
    const HEARTBEAT_V2: u8 = 41;
    const FLAG_ARTIFICIAL: u16 = 0x20;

    fn event(kind: u8, log_pos: u32, flags: u16, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(HEADER_BYTES + body.len() + CHECKSUM_BYTES).unwrap();
        let mut out = vec![0, 0, 0, 0, kind, 1, 0, 0, 0];
        out.extend(size.to_le_bytes());
        out.extend(log_pos.to_le_bytes());
        out.extend(flags.to_le_bytes());
        out.extend(body);
        out.extend(crc32fast::hash(&out).to_le_bytes());
        out
    }

    fn rotate(file: &str, position: u64) -> Vec<u8> {
        event(ROTATE, 0, FLAG_ARTIFICIAL, &[&position.to_le_bytes(), file.as_bytes()].concat())
    }

    /// The wire: each event behind status 0, cut into packets.
    fn wire(events: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut sequence = 1_u8;
        for event in events {
            let payload = [&[0], event.as_slice()].concat();
            let mut packets: Vec<_> = payload.chunks(PACKET_MAX).collect();
            if payload.len() % PACKET_MAX == 0 {
                packets.push(&[]);
            }
            for packet in packets {
                out.extend(&u32::try_from(packet.len()).unwrap().to_le_bytes()[..3]);
                out.push(sequence);
                out.extend(packet);
                sequence = sequence.wrapping_add(1);
            }
        }
        out
    }

    /// Feeds the wire in reads of at most `step` bytes; returns the events and the end.
    fn feed(frames: &mut Frames, wire: &[u8], step: usize) -> (Vec<(Vec<u8>, u64)>, Option<Error>) {
        let (mut rest, mut events) = (wire, Vec::new());
        while !rest.is_empty() {
            let wanted = frames.wanted_bytes();
            assert!(wanted <= frames.held_bytes().max(2 * CHUNK_BYTES), "grows by doubling at most");
            if wanted > 0 {
                frames.grow(wanted, None);
            }
            let len = frames.free().len().min(step).min(rest.len());
            assert!(len > 0, "room to read");
            frames.free()[..len].copy_from_slice(&rest[..len]);
            frames.received(len);
            rest = &rest[len..];
            if frames.has_events() {
                let chunk = frames.take_chunk();
                assert_eq!(chunk.charged_bytes, chunk.bytes.capacity());
                let cut = |span: &EventSpan| (chunk.bytes[span.start..span.start + span.len].to_vec(), span.offset);
                events.extend(chunk.events.iter().map(cut));
            }
            if let Some(end) = frames.take_end() {
                return (events, Some(end));
            }
        }
        (events, None)
    }

    #[test]
    fn events_of_every_size_come_out_whole_however_they_arrive() {
        let sizes = [1, 300_000, PACKET_MAX - 24, PACKET_MAX - 23, 5, 2 * PACKET_MAX + 100, 7];
        let mut events = vec![rotate("b.000001", 4)];
        let mut end = 4;
        for size in sizes {
            end += u32::try_from(size + 23).unwrap();
            events.push(event(2, end, 0, &vec![u8::try_from(size % 251).unwrap(); size]));
        }
        let wire = wire(&events);
        for step in [1 << 30, CHUNK_BYTES / 3, 65_537] {
            let (got, end) = feed(&mut Frames::new(false), &wire, step);
            assert_eq!(end, None);
            assert!(got.iter().map(|(event, _)| event).eq(&events), "step {step}");
            assert_eq!((got[0].1, got[1].1, got[2].1), (0, 4, 28));
        }
    }

    #[test]
    fn small_events_survive_single_byte_reads() {
        let events = [rotate("b.000001", 4), event(2, 28, 0, b"x"), event(2, 53, 0, b"yz")];
        let (got, end) = feed(&mut Frames::new(false), &wire(&events), 1);
        assert_eq!((got.len(), end), (3, None));
    }

    #[test]
    fn offsets_go_on_above_4_gib() {
        let start = (1_u64 << 32) - 10;
        let events = [rotate("b.000001", start), event(2, 14, 0, b"x"), event(2, 38, 0, b"y")];
        let (got, end) = feed(&mut Frames::new(false), &wire(&events), 1 << 20);
        assert_eq!(end, None);
        assert_eq!((got[1].1, got[2].1), (start, start + 24));
    }

    #[test]
    fn skipped_spans_move_the_offset_only_where_skipping_is_allowed() {
        let beat = event(HEARTBEAT_V2, 0, 0, b"\x01\x08b.000001\x02\x09\xfe\0\0\0\0\x02\0\0\0\0");
        let events = [rotate("b.000001", 4), beat, event(2, 24, 0, b"x")];
        let (got, end) = feed(&mut Frames::new(true), &wire(&events), 1 << 20);
        assert_eq!((got[2].1, end), (1 << 33, None));
        let jump = [rotate("b.000001", 4), event(2, 100, 0, b"x")];
        assert_eq!(feed(&mut Frames::new(true), &wire(&jump), 1 << 20).0[1].1, 76);
        let end = feed(&mut Frames::new(false), &wire(&jump), 1 << 20).1.unwrap();
        assert_eq!(end.kind, ErrorKind::CorruptStream);
    }

    #[test]
    fn the_end_is_told_after_the_events_before_it() {
        let mut bytes = wire(&[rotate("b.000001", 4)]);
        bytes.extend(b"\x05\0\0\x02\xfe\0\0\0\0");
        let (got, end) = feed(&mut Frames::new(false), &bytes, 1 << 20);
        assert_eq!((got.len(), end.unwrap().kind), (1, ErrorKind::SourceDown));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let events = [rotate("b.000001", 4), event(2, 28, 0, b"x")];
        let good = wire(&events);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let (got, end) = feed(&mut Frames::new(false), &bad, 1 << 20);
            let whole = got.iter().map(|(event, _)| event).eq(&events);
            assert!(end.is_some() || got.len() < 2 || whole, "byte {at}: {got:?}");
            assert!(!(whole && end.is_none()), "byte {at} went unnoticed");
        }
    }
}
