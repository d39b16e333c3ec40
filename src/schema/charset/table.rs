//! What MySQL converts the codes of its older character sets to, as `scripts/charset-tables.py` asked a server.
//!
//! A table is a tree over the bytes of a character, of nodes that hold an entry for each next byte; the script's head
//! has the format. The tables are MySQL's own, not the standards': some codes of big5 and tis620 are U+FFFD there, sjis
//! 5C and 815F are both a backslash. Of several codes of a character, those that MySQL does not write itself say so, for
//! keys.

use super::Charset;

/// An entry without a character.
const NONE: u16 = 0xFFFF;
/// The entry of node 0.
const NODE: u16 = 0xD800;
const NODE_LAST: u16 = 0xDFFF;
const ROOT_ENTRIES: usize = 256;

/// Numbers of 16 bits, big-endian.
type Numbers = &'static [[u8; 2]];

/// The codes of one character set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    /// The least byte that may follow another one.
    first: usize,
    entries: Numbers,
    /// The sorted places of characters that have another code, which is the one that MySQL writes.
    again: Numbers,
}

/// A character at the front of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) char: char,
    /// Bytes of its code.
    pub(super) bytes: usize,
    /// Whether MySQL writes another code for this character.
    pub(super) is_again: bool,
}

impl Found {
    /// A character that has no other code.
    pub(super) fn new(char: char, bytes: usize) -> Self {
        Self { char, bytes, is_again: false }
    }
}

macro_rules! tables {
    ($($charset:ident $name:literal,)*) => {
        /// The file of a character set; `None` for Unicode, latin1 and bytes.
        fn file(charset: Charset) -> Option<&'static [u8]> {
            match charset {
                $(Charset::$charset => Some(include_bytes!(concat!("tables/", $name, ".bin"))),)*
                Charset::Ascii
                | Charset::Binary
                | Charset::Latin1
                | Charset::Ucs2
                | Charset::Utf16
                | Charset::Utf16le
                | Charset::Utf32
                | Charset::Utf8mb3
                | Charset::Utf8 => None,
            }
        }
    };
}

tables! {
    Armscii8 "armscii8",
    Big5 "big5",
    Cp1250 "cp1250",
    Cp1251 "cp1251",
    Cp1256 "cp1256",
    Cp1257 "cp1257",
    Cp850 "cp850",
    Cp852 "cp852",
    Cp866 "cp866",
    Cp932 "cp932",
    Dec8 "dec8",
    Eucjpms "eucjpms",
    Euckr "euckr",
    Gb18030 "gb18030",
    Gb2312 "gb2312",
    Gbk "gbk",
    Geostd8 "geostd8",
    Greek "greek",
    Hebrew "hebrew",
    Hp8 "hp8",
    Keybcs2 "keybcs2",
    Koi8r "koi8r",
    Koi8u "koi8u",
    Latin2 "latin2",
    Latin5 "latin5",
    Latin7 "latin7",
    Macce "macce",
    Macroman "macroman",
    Sjis "sjis",
    Swe7 "swe7",
    Tis620 "tis620",
    Ujis "ujis",
}

impl Table {
    /// The table of a character set that has one.
    pub(super) fn of(charset: Charset) -> Option<Self> {
        let (numbers, []) = file(charset)?.as_chunks::<2>() else { return None };
        let [first, nodes, numbers @ ..] = numbers else { return None };
        let (first, nodes) = (usize::from(u16::from_be_bytes(*first)), usize::from(u16::from_be_bytes(*nodes)));
        let (entries, again) = numbers.split_at_checked(ROOT_ENTRIES + nodes * ROOT_ENTRIES.checked_sub(first)?)?;
        Some(Self { first, entries, again })
    }

    /// The character at the front of `text`.
    pub(super) fn next(&self, text: &[u8]) -> Option<Found> {
        let mut node = 0;
        for (index, &byte) in text.iter().enumerate() {
            let place = self.place(node, byte)?;
            match u16::from_be_bytes(*self.entries.get(place)?) {
                NONE => return None,
                entry @ NODE..=NODE_LAST => node = usize::from(entry - NODE),
                entry => {
                    let char = char::from_u32(entry.into())?;
                    return Some(Found { char, bytes: index + 1, is_again: self.is_again(place) });
                }
            }
        }
        None
    }

    fn place(&self, node: usize, byte: u8) -> Option<usize> {
        let byte = usize::from(byte);
        match node.checked_sub(1) {
            None => Some(byte),
            Some(before) => Some(ROOT_ENTRIES + before * (ROOT_ENTRIES - self.first) + byte.checked_sub(self.first)?),
        }
    }

    fn is_again(&self, place: usize) -> bool {
        u16::try_from(place).is_ok_and(|place| self.again.binary_search(&place.to_be_bytes()).is_ok())
    }
}

/// gb18030's code of four bytes at the front of `text`: those up to U+FFFF in runs, those beyond in one.
pub(super) fn gb18030_of_four(text: &[u8]) -> Option<Found> {
    const RUNS: &[u8] = include_bytes!("tables/gb18030-runs.bin");
    const BASIC_CODES: u32 = 39_420;
    const BEYOND_FIRST: u32 = 189_000;
    let &[a @ 0x81..=0xFE, b @ b'0'..=b'9', c @ 0x81..=0xFE, d @ b'0'..=b'9', ..] = text else { return None };
    let [a, b, c, d] = [a - 0x81, b - b'0', c - 0x81, d - b'0'].map(u32::from);
    let place = ((a * 10 + b) * 126 + c) * 10 + d;
    let char = if place < BASIC_CODES {
        let (runs, _) = RUNS.as_chunks::<4>();
        let run = runs.partition_point(|&[high, low, ..]| u32::from(u16::from_be_bytes([high, low])) <= place);
        let &[from_high, from_low, char_high, char_low] = runs.get(run.checked_sub(1)?)?;
        let from = u16::from_be_bytes([from_high, from_low]);
        u32::from(u16::from_be_bytes([char_high, char_low])) + place - u32::from(from)
    } else {
        0x1_0000 + place.checked_sub(BEYOND_FIRST)?
    };
    Some(Found::new(char::from_u32(char)?, 4))
}
