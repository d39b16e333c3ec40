//! Damage: an input and a donor in, a hostile input out, the same for the same random numbers.
//!
//! Most damage is done to the bodies, and then sizes, checksums and packet lengths are made to fit, so that parsers get
//! beyond them; some inputs keep their broken frames. What is inside compressed transactions is damaged too.

use crate::corpus::{Form, Item};
use crate::events;

/// splitmix64: any seed will do, and each input has its own.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of input `number` under `seed`.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut random = Self(seed);
        random.0 = random.next() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 for 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Inputs stay small, so that millions of them can be tried.
const PARTS_MAX: usize = 40;
const PART_BYTES_MAX: usize = 64 << 10;
const COPIED_BYTES_MAX: usize = 2048;
const PACKET_HEADER_BYTES: usize = 4;
const EVENT_BODY_AT: usize = 19;

const BYTES: [u8; 16] = [0, 1, 2, 0x0f, 0x10, 0x1f, 0x20, 0x7f, 0x80, 0xf0, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, 0x27];

/// The damaged parts of `item`, some of them from `donor`.
pub fn mutant(item: &Item, donor: &Item, random: &mut Random) -> Vec<Vec<u8>> {
    let mut parts = excerpt(&item.parts, random);
    for _ in 0..=random.below(4) {
        if random.one_in(5) && item.form == donor.form {
            rearrange(&mut parts, &donor.parts, random);
        } else if !parts.is_empty() {
            let at = random.below(parts.len());
            let other = random.pick(&donor.parts).clone();
            parts[at] = damaged(std::mem::take(&mut parts[at]), &other, item.form, random);
        }
    }
    if !random.one_in(8) {
        mend(&mut parts, item.form, random);
    }
    parts
}

/// A run of the parts: a long history costs time and seldom adds anything.
fn excerpt(parts: &[Vec<u8>], random: &mut Random) -> Vec<Vec<u8>> {
    if parts.len() <= PARTS_MAX / 2 && !random.one_in(4) {
        return parts.to_vec();
    }
    let start = random.below(parts.len());
    let end = (start + 1 + random.below(PARTS_MAX / 2)).min(parts.len());
    parts[start..end].to_vec()
}

/// Whole parts go, come twice, change places or come from elsewhere.
fn rearrange(parts: &mut Vec<Vec<u8>>, others: &[Vec<u8>], random: &mut Random) {
    let (at, to) = (random.below(parts.len()), random.below(parts.len()));
    let other = random.pick(others).clone();
    match random.below(5) {
        _ if parts.is_empty() => parts.push(other),
        0 => drop(parts.remove(at)),
        1 if parts.len() < PARTS_MAX => parts.insert(to, parts[at].clone()),
        2 => parts.swap(at, to),
        3 if parts.len() < PARTS_MAX => parts.insert(at, other),
        _ => parts[at] = other,
    }
}

fn damaged(mut part: Vec<u8>, donor: &[u8], form: Form, random: &mut Random) -> Vec<u8> {
    if form == Form::Events && events::is_payload(&part) && !random.one_in(3) {
        return damaged_inside(part, donor, random);
    }
    let body_at = match form {
        Form::Events => EVENT_BODY_AT,
        Form::Packets => PACKET_HEADER_BYTES,
        Form::Document | Form::Statement | Form::GtidSet | Form::Key => 0,
    };
    let start = if random.one_in(10) { 0 } else { body_at };
    let head = part.split_off(start.min(part.len()));
    let (head, mut body) = (part, head);
    damage(&mut body, donor, random);
    body.truncate(PART_BYTES_MAX);
    [head, body].concat()
}

/// Damages the events of a compressed transaction, and packs them again.
fn damaged_inside(part: Vec<u8>, donor: &[u8], random: &mut Random) -> Vec<u8> {
    let Some(mut inner) = events::unzip(&part).filter(|inner| !inner.is_empty()) else { return part };
    let others = inner.clone();
    for _ in 0..=random.below(3) {
        if random.one_in(4) {
            rearrange(&mut inner, &others, random);
        } else if !inner.is_empty() {
            let at = random.below(inner.len());
            let mut event = std::mem::take(&mut inner[at]);
            let mut body = event.split_off(EVENT_BODY_AT.min(event.len()));
            damage(&mut body, donor, random);
            inner[at] = [event, body].concat();
        }
    }
    inner.iter_mut().filter(|_| !random.one_in(8)).for_each(|event| events::seal(event, false));
    events::zip(&part, &inner, random.one_in(4))
}

/// One change of some bytes.
fn damage(bytes: &mut Vec<u8>, donor: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(10) {
        _ if bytes.is_empty() => bytes.extend(cut(donor, random)),
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = *random.pick(&BYTES),
        3 => bytes[at] = bytes[at].wrapping_add(if random.one_in(2) { 1 } else { 0xff }),
        4 | 5 => overwrite(bytes, at, random),
        6 => drop(bytes.drain(at..(at + 1 + random.below(16)).min(bytes.len()))),
        7 => {
            let copy = cut(bytes, random).to_vec();
            bytes.splice(at..at, copy);
        }
        8 => {
            let end = (at + random.below(32)).min(bytes.len());
            bytes.splice(at..end, cut(donor, random).iter().copied());
        }
        _ => bytes.truncate(at),
    }
}

/// A run of bytes, mostly a short one.
fn cut<'a>(bytes: &'a [u8], random: &mut Random) -> &'a [u8] {
    let start = random.below(bytes.len());
    let longest = if random.one_in(8) { COPIED_BYTES_MAX } else { 32 };
    &bytes[start..(start + 1 + random.below(longest)).min(bytes.len())]
}

/// What could be a length or a number, of 1, 2, 3, 4 or 8 bytes, becomes one that is at an edge.
fn overwrite(bytes: &mut [u8], at: usize, random: &mut Random) {
    let width = *random.pick(&[1, 2, 3, 4, 8]);
    let rest = (bytes.len() - at) as u64;
    let edges = [
        0,
        1,
        u64::MAX,
        u64::MAX >> 1,
        1 << (8 * width - 1),
        rest,
        rest + 1,
        rest.saturating_sub(width as u64),
        bytes.len() as u64,
        random.next(),
        0x10_0000,
    ];
    let value = random.pick(&edges).to_le_bytes();
    let end = (at + width).min(bytes.len());
    bytes[at..end].copy_from_slice(&value[..end - at]);
}

/// Sizes, checksums and lengths as they should be; of packets the numbers too, and of the events in them the rest.
fn mend(parts: &mut [Vec<u8>], form: Form, random: &mut Random) {
    match form {
        Form::Events => parts.iter_mut().for_each(|event| events::seal(event, true)),
        Form::Packets => parts.iter_mut().for_each(|packet| mend_packet(packet, random)),
        Form::Document | Form::Statement | Form::GtidSet | Form::Key => {}
    }
}

fn mend_packet(packet: &mut [u8], random: &mut Random) {
    let Some((header, payload)) = packet.split_first_chunk_mut::<PACKET_HEADER_BYTES>() else { return };
    let len = u32::try_from(payload.len()).unwrap().to_le_bytes();
    header[..3].copy_from_slice(&len[..3]);
    if let Some((0, event)) = payload.split_first_mut()
        && !random.one_in(8)
    {
        events::seal(event, true);
    }
}
