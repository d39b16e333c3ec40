//! TRANSACTION_PAYLOAD: the events of a compressed transaction, one by one (`binlog_transaction_compression=ON`).
//!
//! The body is a list of fields (type, length, value, all packed integers) up to an end mark, and the compressed bytes
//! behind it; layout and zstd frames as in MySQL's `libs/mysql/binlog/event/codecs/binary.cpp` and `compression/`. What
//! comes out are BEGIN to COMMIT or XID without checksums and with `log_pos` 0; the GTID event stays outside.
//!
//! A 1 GiB transaction may be a small event, so it is never held whole: [`PayloadReader`] decodes into one buffer that
//! grows only to the event at its front, and only as that event's bytes arrive. No size that the payload claims is
//! trusted: it bounds what may come out, and what came out must match it. zstd itself takes windows up to 128 MiB, which
//! is what its highest levels write.

use std::fmt;
use std::ops::Range;

use zstd::stream::raw::{Decoder, Operation};

use super::cursor::{Cursor, corrupt};
use super::event::{Event, EventKind, HEADER_BYTES, Header};
use crate::error::{Error, ErrorKind, Result};

const FIELD_END: u64 = 0;
const FIELD_SIZE: u64 = 1;
const FIELD_COMPRESSION: u64 = 2;
const FIELD_UNCOMPRESSED_SIZE: u64 = 3;
const COMPRESSION_ZSTD: u64 = 0;
const COMPRESSION_NONE: u64 = 255;
/// The buffer, unless an event needs more; what zstd puts out at once.
const BUFFER_BYTES: usize = 128 << 10;
/// The largest event that MySQL writes.
const EVENT_MAX_BYTES: usize = 1 << 30;

/// A compressed transaction's envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionPayload {
    is_compressed: bool,
    uncompressed_bytes: u64,
    /// Where the data lie in the whole event, header included.
    data: Range<usize>,
}

#[derive(Debug, Default)]
struct Fields {
    size: Option<u64>,
    compression: Option<u64>,
    uncompressed_size: Option<u64>,
}

impl TransactionPayload {
    /// Parses the body up to the data.
    ///
    /// # Errors
    /// When it is truncated, contradicts itself, or is compressed by an algorithm that is not known.
    pub fn parse(event: &Event<'_>) -> Result<Self> {
        if event.header.kind != EventKind::TransactionPayload {
            return Err(corrupt(format!("a {:?} event is no compressed transaction", event.header.kind)));
        }
        let mut body = Cursor::new(event.body);
        let fields = Fields::parse(&mut body)?;
        let data_bytes = body.rest().len() as u64;
        if fields.size.is_some_and(|size| size != data_bytes) {
            return Err(corrupt(format!("a payload that says it has {:?} bytes has {data_bytes}", fields.size)));
        }
        let is_compressed = match fields.compression {
            Some(COMPRESSION_ZSTD) => true,
            Some(COMPRESSION_NONE) => false,
            Some(other) => return Err(unknown_algorithm(other)),
            None => return Err(corrupt("a payload that does not say how it is compressed")),
        };
        let uncompressed_bytes = match fields.uncompressed_size {
            Some(bytes) => bytes,
            None if is_compressed => return Err(corrupt("a compressed payload without its uncompressed size")),
            None => data_bytes,
        };
        let end = HEADER_BYTES + event.body.len();
        Ok(Self { is_compressed, uncompressed_bytes, data: end - body.rest().len()..end })
    }
}

impl Fields {
    /// Fields that are not known are stepped over, as MySQL does.
    fn parse(body: &mut Cursor<'_>) -> Result<Self> {
        let mut fields = Self::default();
        loop {
            let field = body.packed()?;
            if field == FIELD_END {
                return Ok(fields);
            }
            let mut value = Cursor::new(body.packed_bytes()?);
            match field {
                FIELD_SIZE => fields.size = Some(value.packed()?),
                FIELD_COMPRESSION => fields.compression = Some(value.packed()?),
                FIELD_UNCOMPRESSED_SIZE => fields.uncompressed_size = Some(value.packed()?),
                _ => {}
            }
        }
    }
}

/// Gives the events of one payload after the other; its buffers are used again. It holds no bytes of the outer event:
/// the caller shows them at each step, so that it may pause anywhere.
#[derive(Default)]
pub struct PayloadReader {
    zstd: Option<Decoder<'static>>,
    is_open: bool,
    is_compressed: bool,
    /// What of the outer event is not decoded yet.
    input: Range<usize>,
    /// Whether the decoder stands between two frames.
    is_frame_end: bool,
    uncompressed_bytes: u64,
    /// Of those, what has not come out yet.
    left: u64,
    buffer: Vec<u8>,
    /// What of the buffer is decoded but not given out yet.
    ready: Range<usize>,
}

impl PayloadReader {
    /// Begins with a payload; what is left of the last one is forgotten.
    ///
    /// # Errors
    /// When zstd cannot begin.
    pub fn open(&mut self, payload: &TransactionPayload) -> Result<()> {
        if payload.is_compressed {
            match &mut self.zstd {
                Some(zstd) => zstd.reinit().map_err(|error| broken(&error))?,
                None => self.zstd = Some(Decoder::new().map_err(|error| broken(&error))?),
            }
        }
        self.is_open = true;
        self.is_compressed = payload.is_compressed;
        self.input = payload.data.clone();
        self.is_frame_end = true;
        (self.uncompressed_bytes, self.left) = (payload.uncompressed_bytes, payload.uncompressed_bytes);
        self.ready = 0..0;
        Ok(())
    }

    /// Whether a payload was opened whose end has not been seen.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Capacity of the buffer in bytes, beyond what it always keeps for the next payload.
    pub fn held_bytes(&self) -> usize {
        self.buffer.capacity().saturating_sub(BUFFER_BYTES)
    }

    /// The next event of the payload in `outer`, the whole TRANSACTION_PAYLOAD event; `None` at the payload's end.
    ///
    /// # Errors
    /// When the data are damaged, do not end with an event, are more or less than they claim, or hold an event that has
    /// no place in a transaction.
    pub fn next(&mut self, outer: &[u8]) -> Result<Option<Event<'_>>> {
        let size = loop {
            let size = self.front_bytes()?;
            if size.is_some_and(|size| size <= self.ready.len()) {
                break size.unwrap_or_default();
            }
            if !self.decode(outer, size.unwrap_or_default())? {
                return self.close().map(|()| None);
            }
        };
        let event = self.ready.start..self.ready.start + size;
        self.ready.start = event.end;
        let event = Event::parse(self.buffer.get(event).unwrap_or_default(), false)?;
        if is_of_a_file(event.header.kind) {
            return Err(corrupt(format!("a {:?} event inside a compressed transaction", event.header.kind)));
        }
        Ok(Some(event))
    }

    /// The size of the event at the front of the buffer, once its header is there.
    fn front_bytes(&self) -> Result<Option<usize>> {
        let ready = self.buffer.get(self.ready.clone()).unwrap_or_default();
        if ready.len() < HEADER_BYTES {
            return Ok(None);
        }
        let size = Header::parse(ready)?.size();
        let most = self.left.saturating_add(ready.len() as u64);
        if size > EVENT_MAX_BYTES || size as u64 > most {
            return Err(corrupt(format!(
                "an event inside a compressed transaction says it has {size} bytes: {most} are left, and no event has \
                 more than {EVENT_MAX_BYTES}"
            )));
        }
        Ok(Some(size))
    }

    /// Decodes as much as the buffer has room for; false when all is decoded. `size`: of the event at its front, 0 when
    /// not known.
    fn decode(&mut self, outer: &[u8], size: usize) -> Result<bool> {
        let input = outer.get(self.input.clone()).unwrap_or_default();
        if input.is_empty() && self.is_frame_end {
            return Ok(false);
        }
        self.make_room(size);
        let room = self.buffer.get_mut(self.ready.end..).unwrap_or_default();
        let (read, written) = match self.zstd.as_mut().filter(|_| self.is_compressed) {
            Some(zstd) => {
                let status = zstd.run_on_buffers(input, room).map_err(|error| broken(&error))?;
                self.is_frame_end = status.remaining == 0;
                (status.bytes_read, status.bytes_written)
            }
            None => copy(input, room),
        };
        if read == 0 && written == 0 {
            return Err(corrupt("a compressed transaction ends inside a zstd frame"));
        }
        self.input.start += read;
        self.ready.end += written;
        self.left = self.left.checked_sub(written as u64).ok_or_else(|| {
            corrupt(format!("a compressed transaction is longer than the {} bytes it claims", self.uncompressed_bytes))
        })?;
        Ok(true)
    }

    /// Free space at the buffer's end. A buffer that is full with one event grows, but not beyond that event.
    fn make_room(&mut self, size: usize) {
        if self.ready.start > 0 {
            self.buffer.copy_within(self.ready.clone(), 0);
            self.ready = 0..self.ready.len();
        }
        let len = self.buffer.len();
        if self.ready.end == len {
            self.buffer.resize((2 * len).min(size).max(BUFFER_BYTES), 0);
        }
    }

    fn close(&mut self) -> Result<()> {
        self.is_open = false;
        if self.buffer.len() > BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        if !self.ready.is_empty() || self.left > 0 {
            return Err(corrupt(format!(
                "a compressed transaction of {} bytes by its claim ends {} bytes short and {} bytes into an event",
                self.uncompressed_bytes,
                self.left,
                self.ready.len()
            )));
        }
        Ok(())
    }
}

impl fmt::Debug for PayloadReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("PayloadReader");
        text.field("is_open", &self.is_open).field("input", &self.input).field("left", &self.left);
        text.finish_non_exhaustive()
    }
}

/// Events that belong to a file or a connection, or stand before a transaction, and so are in none.
fn is_of_a_file(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::StartV3
            | EventKind::FormatDescription
            | EventKind::Rotate
            | EventKind::Stop
            | EventKind::Incident
            | EventKind::Heartbeat
            | EventKind::HeartbeatV2
            | EventKind::PreviousGtids
            | EventKind::Gtid
            | EventKind::GtidTagged
            | EventKind::AnonymousGtid
            | EventKind::TransactionPayload
    )
}

/// As many bytes as there is room for: (read, written).
fn copy(input: &[u8], room: &mut [u8]) -> (usize, usize) {
    let count = input.len().min(room.len());
    if let (Some(from), Some(to)) = (input.get(..count), room.get_mut(..count)) {
        to.copy_from_slice(from);
    }
    (count, count)
}

fn unknown_algorithm(algorithm: u64) -> Error {
    let text = format!(
        "a transaction compressed by algorithm {algorithm}, which this version does not know: SET PERSIST \
         binlog_transaction_compression=OFF, and start behind it"
    );
    Error::new(ErrorKind::UnsupportedEvent, text)
}

#[cold]
fn broken(error: &std::io::Error) -> Error {
    corrupt(format!("a compressed transaction cannot be decompressed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples;

    fn event(kind: u8, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(HEADER_BYTES + body.len()).unwrap().to_le_bytes();
        [&[0; 4][..], &[kind], &[0; 4], &size, &[0; 6], body].concat()
    }

    /// A TRANSACTION_PAYLOAD without a checksum, whose uncompressed size is what it claims.
    fn payload(algorithm: u8, claim: u64, data: &[u8]) -> Vec<u8> {
        let size = [&[1, 9, 254][..], &(data.len() as u64).to_le_bytes()].concat();
        let claim = [&[3, 9, 254][..], &claim.to_le_bytes()].concat();
        let algorithm: &[u8] = if algorithm == 255 { &[2, 3, 252, 255, 0] } else { &[2, 1, algorithm] };
        event(40, &[&size, algorithm, &claim, &[0], data].concat())
    }

    fn zstd(data: &[u8]) -> Vec<u8> {
        zstd::encode_all(data, 3).unwrap()
    }

    /// Kinds and body lengths of the events; or the error behind them.
    fn read(outer: &[u8], has_checksum: bool) -> Result<Vec<(EventKind, usize)>> {
        let mut reader = PayloadReader::default();
        reader.open(&TransactionPayload::parse(&Event::parse(outer, has_checksum)?)?)?;
        let mut events = Vec::new();
        while let Some(event) = reader.next(outer)? {
            events.push((event.header.kind, event.body.len()));
        }
        assert!(!reader.is_open());
        Ok(events)
    }

    fn text(outer: &[u8]) -> String {
        read(outer, false).unwrap_err().text.clone()
    }

    #[test]
    fn a_transaction_of_9_7() {
        use EventKind as Kind;
        let kinds: Vec<_> = read(samples::PAYLOAD, true).unwrap().into_iter().map(|(kind, _)| kind).collect();
        let expected = [
            Kind::Query,
            Kind::TableMap,
            Kind::WriteRows,
            Kind::TableMap,
            Kind::WriteRows,
            Kind::Query,
            Kind::TableMap,
            Kind::UpdateRows,
            Kind::TableMap,
            Kind::UpdateRows,
            Kind::TableMap,
            Kind::DeleteRows,
            Kind::Xid,
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn several_frames_and_none() {
        let inner = [event(29, &[7; 300]), event(16, &[0; 8])].concat();
        let (one, two) = inner.split_at(100);
        let expected = [(EventKind::RowsQuery, 300), (EventKind::Xid, 8)];
        for (algorithm, data) in
            [(0, zstd(&inner)), (0, [zstd(one), zstd(two), zstd(&[])].concat()), (255, inner.clone())]
        {
            assert_eq!(read(&payload(algorithm, inner.len() as u64, &data), false).unwrap(), expected);
        }
        let bare = event(40, &[&[2, 3, 252, 255, 0, 77, 2, 1, 2, 0][..], &inner].concat());
        assert_eq!(read(&bare, false).unwrap(), expected, "without sizes, and with a field of the future");
        assert_eq!(read(&payload(0, 0, &[]), false).unwrap(), []);
    }

    #[test]
    fn events_larger_than_the_buffer() {
        let inner =
            [event(29, &vec![1; 3 * BUFFER_BYTES]), event(16, &[0; 8]), event(29, &vec![2; BUFFER_BYTES])].concat();
        for (algorithm, data) in [(0, zstd(&inner)), (255, inner.clone())] {
            let lengths: Vec<_> = read(&payload(algorithm, inner.len() as u64, &data), false).unwrap();
            assert_eq!(lengths.iter().map(|&(_, len)| len).collect::<Vec<_>>(), [3 * BUFFER_BYTES, 8, BUFFER_BYTES]);
        }
    }

    #[test]
    fn claims_are_not_trusted() {
        let inner = event(16, &[0; 8]);
        let len = inner.len() as u64;
        for (algorithm, data) in [(0, zstd(&inner)), (255, inner.clone())] {
            assert!(text(&payload(algorithm, len - 1, &data)).contains("longer than the 26 bytes"));
            for claim in [len + 1, 1 << 60, u64::MAX] {
                assert!(text(&payload(algorithm, claim, &data)).contains("bytes short and 0 bytes into"));
            }
        }
        let mut endless = inner.clone();
        endless[9..13].copy_from_slice(&(1_u32 << 30).to_le_bytes());
        assert!(text(&payload(0, len, &zstd(&endless))).contains("27 are left"));
        assert!(text(&payload(0, 1 << 40, &zstd(&endless))).contains("short and 27 bytes into an event"));
        endless[12] = 0x80;
        assert!(text(&payload(0, 1 << 40, &zstd(&endless))).contains("no event has more"));
    }

    #[test]
    fn a_bomb_is_read_in_a_small_buffer() {
        let inner: Vec<u8> = event(29, &[0; 8173]).repeat(8192);
        let outer = payload(0, inner.len() as u64, &zstd(&inner));
        assert!(outer.len() < 16 << 10 && inner.len() == 64 << 20);
        let mut reader = PayloadReader::default();
        reader.open(&TransactionPayload::parse(&Event::parse(&outer, false).unwrap()).unwrap()).unwrap();
        let mut events = 0;
        while reader.next(&outer).unwrap().is_some() {
            events += 1;
        }
        assert_eq!((events, reader.held_bytes()), (8192, 0));
        let short = payload(0, 1 << 20, &zstd(&inner));
        assert!(text(&short).contains("longer than the 1048576 bytes"));
    }

    #[test]
    fn truncations_are_errors() {
        let inner = [event(29, &[7; 300]), event(16, &[0; 8])].concat();
        let data = zstd(&inner);
        for cut in 1..=data.len() {
            assert!(read(&payload(0, inner.len() as u64, &data[..data.len() - cut]), false).is_err(), "{cut}");
        }
        let body = Event::parse(samples::PAYLOAD, true).unwrap().body;
        for cut in 0..body.len() {
            assert!(read(&event(40, &body[..cut]), false).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_reader_goes_on_after_a_payload_that_was_left() {
        let mut reader = PayloadReader::default();
        let broken = payload(0, 99, b"no frame");
        for (outer, expected) in
            [(&broken[..], 0), (samples::PAYLOAD, 13), (samples::PAYLOAD, 3), (samples::PAYLOAD, 13)]
        {
            let has_checksum = outer == samples::PAYLOAD;
            let payload = TransactionPayload::parse(&Event::parse(outer, has_checksum).unwrap()).unwrap();
            reader.open(&payload).unwrap();
            let mut events = 0;
            while events < 3.max(expected) && matches!(reader.next(outer), Ok(Some(_))) {
                events += 1;
            }
            assert_eq!(events, expected);
        }
    }

    #[test]
    fn what_is_in_no_transaction_is_refused() {
        for kind in [4, 15, 33, 34, 35, 40, 42] {
            let inner = event(kind, &[0; 8]);
            assert!(text(&payload(0, inner.len() as u64, &zstd(&inner))).contains("inside a compressed"), "{kind}");
        }
        assert!(text(&payload(7, 0, &[])).contains("algorithm 7"));
        assert!(text(&event(40, &[0])).contains("how it is compressed"));
        assert!(text(&event(40, &[2, 1, 0, 0])).contains("without its uncompressed size"));
        assert!(text(&event(40, &[1, 1, 9, 2, 1, 0, 3, 1, 0, 0])).contains("9"));
        assert!(TransactionPayload::parse(&samples::parse(samples::XID)).is_err());
    }
}
