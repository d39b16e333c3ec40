//! RowBinary: the bytes of rows as ClickHouse takes them, and the buffers they are written into.
//!
//! A [`Body`] is a list of pooled chunks (4 → 64 → 256 KiB): an idle table holds nothing, nothing is copied to grow,
//! and it is handed over by `mem::take`. The leaf writers append to a `Vec<u8>`; stream and snapshot share them, so both
//! make the same bytes. Formats: <https://clickhouse.com/docs/interfaces/formats/RowBinary>. No IO, no types, no policy.

/// Chunk sizes: small for a table's first rows, then as large as stays in a core's cache.
const CHUNK_BYTES: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];

/// Rows of one table in RowBinary.
#[derive(Debug, Default)]
pub struct Body {
    chunks: Vec<Vec<u8>>,
    rows: usize,
    bytes: usize,
    /// The highest version among the rows.
    pub version_max: u64,
    /// Whether an UPDATE or DELETE put a row in: such a batch may hold a key twice.
    pub has_changes: bool,
}

impl Body {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The rows' bytes, in order; each row lies whole in one chunk.
    pub fn chunks(&self) -> &[Vec<u8>] {
        &self.chunks
    }

    /// Appends one row: `write` gets a buffer with `reserve` free bytes to append to. On error the row leaves no trace.
    ///
    /// # Errors
    /// What `write` returns.
    #[inline(always)]
    pub fn append<E>(
        &mut self,
        pool: &mut ChunkPool,
        reserve: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.append_rows(pool, reserve, |out| write(out).map(|()| 1))
    }

    /// Appends one row of exactly `bytes` bytes.
    pub fn append_exactly(&mut self, pool: &mut ChunkPool, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
        let Ok(()) = self.append(pool, bytes, |out| {
            write(out);
            Ok::<(), std::convert::Infallible>(())
        });
    }

    /// Appends rows that belong together, all or none: `write` returns how many it wrote.
    ///
    /// # Errors
    /// What `write` returns.
    #[inline(always)]
    pub fn append_rows<E>(
        &mut self,
        pool: &mut ChunkPool,
        reserve: usize,
        write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>,
    ) -> Result<(), E> {
        let has_room = self.chunks.last().is_some_and(|chunk| chunk.capacity() - chunk.len() >= reserve);
        if !has_room {
            self.chunks.push(pool.take(self.chunks.len(), reserve));
        }
        let Some(chunk) = self.chunks.last_mut() else { return Ok(()) };
        let (start, capacity) = (chunk.len(), chunk.capacity());
        let result = write(chunk);
        pool.note_growth(chunk.capacity() - capacity);
        match result {
            Ok(rows) => {
                self.rows += rows;
                self.bytes += chunk.len() - start;
                Ok(())
            }
            Err(error) => {
                chunk.truncate(start);
                Err(error)
            }
        }
    }
}

/// Empty chunks for the next bodies, and the count of all bytes that bodies and pool hold.
#[derive(Debug, Default)]
pub struct ChunkPool {
    free: [Vec<Vec<u8>>; CHUNK_BYTES.len()],
    held_bytes: usize,
}

impl ChunkPool {
    /// Capacity in bytes of every chunk taken and not yet dropped, the free ones included.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Takes a body's chunks back.
    pub fn recycle(&mut self, body: Body) {
        for mut chunk in body.chunks {
            chunk.clear();
            match CHUNK_BYTES.iter().position(|&size| size == chunk.capacity()) {
                Some(class) => self.free[class].push(chunk),
                None => self.held_bytes -= chunk.capacity(),
            }
        }
    }

    /// Frees what is kept for later.
    pub fn trim(&mut self) {
        for chunk in self.free.iter_mut().flat_map(std::mem::take) {
            self.held_bytes -= chunk.capacity();
        }
    }

    fn take(&mut self, chunks_before: usize, reserve: usize) -> Vec<u8> {
        let class = chunks_before.min(CHUNK_BYTES.len() - 1);
        let class = (class..CHUNK_BYTES.len()).find(|&class| CHUNK_BYTES[class] >= reserve);
        if let Some(chunk) = class.and_then(|class| self.free[class].pop()) {
            return chunk;
        }
        let chunk = Vec::with_capacity(class.map_or(reserve, |class| CHUNK_BYTES[class]));
        self.held_bytes += chunk.capacity();
        chunk
    }

    fn note_growth(&mut self, bytes: usize) {
        self.held_bytes += bytes;
    }
}

/// A value of fixed width: numbers in two's complement or IEEE, little-endian.
#[inline(always)]
pub fn fixed<const N: usize>(out: &mut Vec<u8>, bytes: [u8; N]) {
    out.extend_from_slice(&bytes);
}

/// An unsigned LEB128 length, as before every String and Array.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "7 bits are cut out")]
pub fn leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// A String: LEB128 length and bytes.
#[inline(always)]
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    leb128(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// A String of what `write` appends: its length goes before it when it is known, where room for a short one was left.
///
/// # Errors
/// What `write` returns; what it appended until then stays.
#[inline(always)]
pub fn string_of<E>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let start = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    match (u8::try_from(length), out.get_mut(start)) {
        (Ok(short @ ..0x80), Some(place)) => *place = short,
        _ => insert_length(out, start, length),
    }
    Ok(())
}

/// Puts the length of a long String in place of the byte at `start`.
#[cold]
fn insert_length(out: &mut Vec<u8>, start: usize, length: usize) {
    let mut bytes = Vec::new();
    leb128(&mut bytes, length);
    out.splice(start..=start, bytes);
}

/// The last columns of each row: `_version` UInt64 and `_is_deleted` UInt8.
#[inline(always)]
pub fn version_and_deleted(out: &mut Vec<u8>, version: u64, deleted: bool) {
    fixed(out, version.to_le_bytes());
    out.push(u8::from(deleted));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_row_leaves_no_trace() {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        body.append(&mut pool, 8, |out| {
            string(out, b"one");
            Ok::<(), ()>(())
        })
        .unwrap();
        body.append(&mut pool, 8, |out| {
            out.push(9);
            Err(())
        })
        .unwrap_err();
        assert_eq!((body.rows(), body.bytes(), body.chunks().concat()), (1, 4, b"\x03one".to_vec()));
    }

    #[test]
    fn memory_is_counted_until_dropped() {
        let (mut body, mut pool) = (Body::default(), ChunkPool::default());
        for _ in 0..3 {
            body.append(&mut pool, 4096, |out| {
                out.extend([0; 4096]);
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        body.append(&mut pool, 1 << 20, |out| {
            out.push(1);
            Ok::<(), ()>(())
        })
        .unwrap();
        assert_eq!(pool.held_bytes(), (4 << 10) + (64 << 10) + (1 << 20));
        pool.recycle(std::mem::take(&mut body));
        assert_eq!(pool.held_bytes(), (4 << 10) + (64 << 10), "odd sizes are freed at once");
        pool.trim();
        assert_eq!(pool.held_bytes(), 0);
    }

    #[test]
    fn the_length_goes_before_its_string() {
        let mut out = vec![7];
        for text in [vec![b'x'; 300], Vec::new()] {
            string_of(&mut out, |out| {
                out.extend_from_slice(&text);
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        assert_eq!(out, [&[7, 0xac, 2][..], &[b'x'; 300], &[0]].concat());
    }

    #[test]
    fn leb128_lengths() {
        for (value, expected) in [(0, vec![0]), (127, vec![127]), (128, vec![0x80, 1]), (300, vec![0xac, 2])] {
            let mut out = Vec::new();
            leb128(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
