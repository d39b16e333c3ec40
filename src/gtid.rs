//! GTIDs and sets of them: MySQL's text, the sets inside PREVIOUS_GTIDS, and what COM_BINLOG_DUMP_GTID wants.
//!
//! A set holds, for every server uuid and tag (`uuid:tag:1-5`, since 8.3), sorted and merged half-open intervals.
//! Transactions come in order, so adding one nearly always extends the last interval.

use crate::binlog::cursor::{Cursor, corrupt};
use crate::error::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::fmt;

/// A server's uuid as its 16 bytes.
pub type Sid = [u8; 16];

const TAG_BYTES: usize = 32;
/// Largest transaction number: MySQL's are signed.
const GNO_MAX: u64 = i64::MAX as u64;

/// The tag of a GTID, lower case; empty for none.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; TAG_BYTES]);

impl Tag {
    /// A tag of at most 32 of `a-z0-9_`, not beginning with a digit; upper case becomes lower case.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut tag = Self::default();
        tag.0.get_mut(..text.len())?.copy_from_slice(text);
        tag.0.make_ascii_lowercase();
        let is_valid = text.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_first_valid = !text.first().is_some_and(u8::is_ascii_digit);
        (is_valid && is_first_valid).then_some(tag)
    }

    /// Whether there is no tag.
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    fn text(&self) -> &str {
        let text = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        std::str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// The name of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gtid {
    /// uuid of the server where it was committed first.
    pub sid: Sid,
    /// Tag, mostly empty.
    pub tag: Tag,
    /// Number, from 1.
    pub gno: u64,
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", uuid::Uuid::from_bytes(self.sid))?;
        if !self.tag.is_empty() {
            write!(f, ":{}", self.tag.text())?;
        }
        write!(f, ":{}", self.gno)
    }
}

/// Transaction numbers `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interval {
    start: u64,
    end: u64,
}

/// A set of GTIDs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet {
    /// Never empty lists; sorted, with gaps between the intervals.
    intervals: BTreeMap<(Sid, Tag), Vec<Interval>>,
}

impl GtidSet {
    /// Parses MySQL's text: `uuid:1-5:7:tag:1,uuid:2`, in either case, with blanks and line breaks anywhere.
    ///
    /// # Errors
    /// When the text is not a GTID set.
    pub fn parse(text: &str) -> Result<Self> {
        let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let mut set = Self::default();
        for part in compact.split(',').filter(|part| !part.is_empty()) {
            set.parse_part(part).ok_or_else(|| {
                let text = format!("{part:?} is not part of a GTID set; expected uuid:1-5 or uuid:tag:1-5");
                Error::new(ErrorKind::Config, text)
            })?;
        }
        Ok(set)
    }

    fn parse_part(&mut self, part: &str) -> Option<()> {
        let (uuid, rest) = part.split_once(':')?;
        let sid = uuid::Uuid::parse_str(uuid).ok()?.into_bytes();
        let mut tag = Tag::default();
        for item in rest.split(':') {
            if item.starts_with(|c: char| c.is_ascii_digit()) {
                self.insert(sid, tag, parse_interval(item)?);
            } else {
                tag = Tag::new(item.as_bytes()).filter(|tag| !tag.is_empty())?;
            }
        }
        Some(())
    }

    /// Adds a transaction; one that is there already changes nothing.
    pub fn add(&mut self, gtid: &Gtid) {
        if gtid.gno == 0 || gtid.gno > GNO_MAX {
            return;
        }
        let interval = Interval { start: gtid.gno, end: gtid.gno + 1 };
        if let Some(last) = self.intervals.get_mut(&(gtid.sid, gtid.tag)).and_then(|list| list.last_mut())
            && last.end == gtid.gno
        {
            last.end += 1;
            return;
        }
        self.insert(gtid.sid, gtid.tag, interval);
    }

    /// Adds an interval and merges it with those it touches.
    fn insert(&mut self, sid: Sid, tag: Tag, mut new: Interval) {
        let list = self.intervals.entry((sid, tag)).or_default();
        let first = list.partition_point(|interval| interval.end < new.start);
        let after = list.partition_point(|interval| interval.start <= new.end);
        if let Some(touched) = list.get(first..after) {
            for interval in touched {
                new = Interval { start: new.start.min(interval.start), end: new.end.max(interval.end) };
            }
        }
        list.splice(first..after.max(first), [new]);
    }

    /// Whether the transaction is in the set.
    pub fn contains(&self, gtid: &Gtid) -> bool {
        self.covers(&(gtid.sid, gtid.tag), Interval { start: gtid.gno, end: gtid.gno.saturating_add(1) })
    }

    /// Whether every transaction of `other` is in the set.
    pub fn contains_set(&self, other: &Self) -> bool {
        other.intervals.iter().all(|(key, list)| list.iter().all(|&interval| self.covers(key, interval)))
    }

    fn covers(&self, key: &(Sid, Tag), wanted: Interval) -> bool {
        let Some(list) = self.intervals.get(key) else { return false };
        let at = list.partition_point(|interval| interval.end < wanted.end);
        list.get(at).is_some_and(|interval| interval.start <= wanted.start)
    }

    /// Whether the set has no transaction.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// The set as COM_BINLOG_DUMP_GTID and PREVIOUS_GTIDS have it. Servers before 8.3 know no tags, so the format with
    /// tags is used only for a set that has one.
    pub fn encode_for_dump(&self) -> Vec<u8> {
        let has_tags = self.intervals.keys().any(|(_, tag)| !tag.is_empty());
        let mut out = Vec::new();
        let count = self.intervals.len() as u64;
        out.extend(if has_tags { TAGGED | count << 8 } else { count }.to_le_bytes());
        for ((sid, tag), list) in &self.intervals {
            out.extend(sid);
            if has_tags {
                // At most 32 bytes.
                out.push(u8::try_from(tag.text().len() * 2).unwrap_or_default());
                out.extend(tag.text().bytes());
            }
            out.extend((list.len() as u64).to_le_bytes());
            for interval in list {
                out.extend(interval.start.to_le_bytes());
                out.extend(interval.end.to_le_bytes());
            }
        }
        out
    }

    /// Decodes what [`encode_for_dump`](Self::encode_for_dump) makes: the body of PREVIOUS_GTIDS.
    ///
    /// # Errors
    /// When the bytes are not a GTID set.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut cursor = Cursor::new(bytes);
        let head = cursor.u64()?;
        let (has_tags, count) = match head.to_le_bytes() {
            [.., 0] => (false, head),
            [1, .., 1] => (true, (head ^ TAGGED) >> 8),
            _ => return Err(corrupt(format!("a GTID set in unknown format {head:#x}"))),
        };
        let mut set = Self::default();
        for _ in 0..count {
            let sid = cursor.array()?;
            let tag = if has_tags { decode_tag(&mut cursor)? } else { Tag::default() };
            let list = decode_intervals(&mut cursor)?;
            if !list.is_empty() && set.intervals.insert((sid, tag), list).is_some() {
                return Err(corrupt("a GTID set with the same uuid twice"));
            }
        }
        Ok(set)
    }
}

/// First and last byte of the head of a set with tags; the six between are the number of uuid and tag pairs. Without
/// tags the head is the number of uuids, and its last byte 0.
const TAGGED: u64 = 0x0100_0000_0000_0001;

fn decode_tag(cursor: &mut Cursor<'_>) -> Result<Tag> {
    // A variable-length integer, which up to 63 is one byte of twice its value.
    let length = usize::from(cursor.u8()? >> 1);
    let text = cursor.bytes(length)?;
    Tag::new(text).ok_or_else(|| corrupt(format!("a GTID set with the tag {:?}", text.escape_ascii().to_string())))
}

/// A number of intervals and so many intervals, rising and apart.
fn decode_intervals(cursor: &mut Cursor<'_>) -> Result<Vec<Interval>> {
    let mut list: Vec<Interval> = Vec::new();
    for _ in 0..cursor.u64()? {
        let interval = Interval { start: cursor.u64()?, end: cursor.u64()? };
        let min = list.last().map_or(1, |last| last.end + 1);
        if interval.start < min || interval.end <= interval.start || interval.end > GNO_MAX + 1 {
            return Err(corrupt(format!("a GTID set with the interval {}..{}", interval.start, interval.end)));
        }
        list.push(interval);
    }
    Ok(list)
}

fn parse_interval(text: &str) -> Option<Interval> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (start, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (start >= 1 && last >= start && last <= GNO_MAX).then(|| Interval { start, end: last + 1 })
}

impl fmt::Display for GtidSet {
    /// As `@@gtid_executed` prints it: a line per uuid, `,` and a line break between.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_sid = None;
        for ((sid, tag), list) in &self.intervals {
            if last_sid != Some(sid) {
                let separator = if last_sid.is_some() { ",\n" } else { "" };
                write!(f, "{separator}{}", uuid::Uuid::from_bytes(*sid))?;
                last_sid = Some(sid);
            }
            if !tag.is_empty() {
                write!(f, ":{}", tag.text())?;
            }
            for interval in list {
                match interval.end - 1 {
                    last if last == interval.start => write!(f, ":{last}")?,
                    last => write!(f, ":{}-{last}", interval.start)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binlog::samples;

    const A: &str = "753d1fa2-e7d7-11f1-8fbf-02fc00000001";
    const B: &str = "ffffffff-0000-0000-0000-000000000001";

    fn set(text: &str) -> GtidSet {
        GtidSet::parse(text).unwrap()
    }

    fn gtid(tag: &str, gno: u64) -> Gtid {
        let sid = uuid::Uuid::parse_str(A).unwrap().into_bytes();
        Gtid { sid, tag: Tag::new(tag.as_bytes()).unwrap(), gno }
    }

    #[test]
    fn text_as_mysql_writes_it() {
        let check = |text: &str, expected: &str| assert_eq!(set(text).to_string(), expected, "{text}");
        check("", "");
        check(" \n", "");
        check(&format!("{A}:1"), &format!("{A}:1"));
        check(&format!("{A}:1-34:mytag:1"), &format!("{A}:1-34:mytag:1"));
        check(&format!("{B}:7,\n{A}:3-4:1-2 : 9"), &format!("{A}:1-4:9,\n{B}:7"));
        check(&format!("{}:5-6:2:1", A.to_uppercase()), &format!("{A}:1-2:5-6"));
        check(&format!("{A}:Zz_1:4-5, {A}:1,{A}:b:2"), &format!("{A}:1:b:2:zz_1:4-5"));
        check(&format!("{A}:1-{}", i64::MAX), &format!("{A}:1-{}", i64::MAX));
    }

    #[test]
    fn text_that_is_no_set() {
        for rest in ["", ":", ":0", ":5-4", ":-1", ":1-", ":1:", ":é:1", ":1a", ":9223372036854775808", ":tag-x:1"] {
            assert!(GtidSet::parse(&format!("{A}{rest}")).is_err(), "{rest}");
        }
        assert!(GtidSet::parse("binlog.000001:4").is_err());
        assert!(GtidSet::parse(&format!("{A}:{}:1", "a".repeat(33))).is_err());
    }

    #[test]
    fn adding_merges() {
        let mut all = GtidSet::default();
        for (gno, expected) in [
            (5, "5"),
            (6, "5-6"),
            (6, "5-6"),
            (9, "5-6:9"),
            (1, "1:5-6:9"),
            (8, "1:5-6:8-9"),
            (7, "1:5-9"),
            (5, "1:5-9"),
        ] {
            all.add(&gtid("", gno));
            assert_eq!(all.to_string(), format!("{A}:{expected}"));
        }
        all.add(&gtid("t", 3));
        all.add(&gtid("t", 0));
        all.add(&gtid("t", u64::MAX));
        assert_eq!(all.to_string(), format!("{A}:1:5-9:t:3"));
    }

    #[test]
    fn membership() {
        let all = set(&format!("{A}:2-4:8:t:1"));
        let members: Vec<u64> = (0..12).filter(|&gno| all.contains(&gtid("", gno))).collect();
        assert_eq!(members, [2, 3, 4, 8]);
        assert!(all.contains(&gtid("t", 1)) && !all.contains(&gtid("u", 1)) && !all.contains(&gtid("", u64::MAX)));
        let check = |other: &str, expected| assert_eq!(all.contains_set(&set(other)), expected, "{other}");
        check("", true);
        check(&format!("{A}:2-4"), true);
        check(&format!("{A}:3:8:t:1"), true);
        check(&format!("{A}:4-5"), false);
        check(&format!("{A}:2-8"), false);
        check(&format!("{B}:1"), false);
        assert!(!GtidSet::default().contains_set(&all));
    }

    #[test]
    fn encoding_is_what_the_server_writes() {
        let check = |event: &[u8], text: &str| {
            let body = samples::parse(event).body;
            assert_eq!(GtidSet::decode(body).unwrap(), set(text));
            assert_eq!(set(text).encode_for_dump(), body);
        };
        check(samples::PREVIOUS_GTIDS, &format!("{A}:1"));
        check(samples::PREVIOUS_GTIDS_TAGGED, &format!("{A}:1-34:mytag:1"));
        assert_eq!(GtidSet::default().encode_for_dump(), [0; 8]);
        assert!(GtidSet::decode(&[0; 8]).unwrap().is_empty());
    }

    #[test]
    fn hostile_encodings_are_errors() {
        let encoded = set(&format!("{A}:1-34:mytag:1")).encode_for_dump();
        for length in 0..encoded.len() {
            assert!(GtidSet::decode(&encoded[..length]).is_err(), "{length}");
        }
        let mut many = vec![0xff; 7];
        many.push(0);
        assert!(GtidSet::decode(&many).is_err());
        let mut reversed = set(&format!("{A}:5")).encode_for_dump();
        reversed[40] = 4;
        assert!(GtidSet::decode(&reversed).is_err());
    }
}
