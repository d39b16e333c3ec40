//! Text of every character set to UTF-8, character by character what `CONVERT(.. USING utf8mb4)` makes of it.
//!
//! Where MySQL has no character (it writes `?`, or cuts the text there) the text is refused: nothing is guessed, replaced
//! or left out. In a key, two codes of one character are two rows for MySQL and would be one in ClickHouse, so only one
//! code of each is taken, the one that MySQL itself writes (of ASCII the byte): then no two keys become equal. latin1 is
//! windows-1252, where 81 8D 8F 90 9D are C1 controls; ucs2 has no surrogates, not even in pairs.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is not named has a table")]

use super::table::{Found, Table, gb18030_of_four};
use super::{Charset, latin1_char};

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// To be read.
    Value,
    /// To tell rows apart.
    Key,
}

/// Text that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadText {
    /// In which character set.
    pub charset: Charset,
    /// Bytes before the code that it is refused for.
    pub at: u32,
    /// Whether the code is a character that has another code, in a key; else it is no character.
    pub is_ambiguous: bool,
}

impl BadText {
    #[cold]
    fn new(charset: Charset, at: usize, is_ambiguous: bool) -> Self {
        Self { charset, at: u32::try_from(at).unwrap_or(u32::MAX), is_ambiguous }
    }
}

impl Charset {
    /// Appends `text` in UTF-8; bytes as they are.
    ///
    /// # Errors
    /// When a part of it is no character; `out` then has what is before it.
    pub fn decode(self, text: &[u8], purpose: Use, out: &mut Vec<u8>) -> Result<(), BadText> {
        if self == Self::Binary || (text.is_ascii() && self.has_ascii()) {
            out.extend_from_slice(text);
            return Ok(());
        }
        if self.is_utf8() {
            self.check_utf8(text)?;
            out.extend_from_slice(text);
            return Ok(());
        }
        self.convert(text, purpose, out)
    }

    /// `text` in UTF-8, of ENUM labels and the like.
    ///
    /// # Errors
    /// As [`Charset::decode`]; bytes must be UTF-8.
    pub fn text(self, text: &[u8], purpose: Use) -> Result<String, BadText> {
        let mut utf8 = Vec::with_capacity(text.len());
        self.decode(text, purpose, &mut utf8)?;
        String::from_utf8(utf8).map_err(|error| BadText::new(self, error.utf8_error().valid_up_to(), false))
    }

    /// Whether bytes below 80 are what they are in ASCII, and no part of other characters unless behind a higher one.
    fn has_ascii(self) -> bool {
        !matches!(self, Self::Swe7 | Self::Ucs2 | Self::Utf16 | Self::Utf16le | Self::Utf32)
    }

    /// Whether `text` is what it should be in a character set whose text is UTF-8.
    ///
    /// # Errors
    /// When it is not.
    #[cold]
    pub fn check_utf8(self, text: &[u8]) -> Result<(), BadText> {
        let valid = std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
        let is_beyond = |byte: &u8| match self {
            Self::Ascii => !byte.is_ascii(),
            Self::Utf8mb3 => *byte >= 0xF0,
            _ => false,
        };
        let at = text.iter().take(valid).position(is_beyond).unwrap_or(valid);
        if at == text.len() { Ok(()) } else { Err(BadText::new(self, at, false)) }
    }

    fn convert(self, text: &[u8], purpose: Use, out: &mut Vec<u8>) -> Result<(), BadText> {
        let table = Table::of(self);
        let mut rest = text;
        while !rest.is_empty() {
            let bad = |is_ambiguous| BadText::new(self, text.len() - rest.len(), is_ambiguous);
            let found = self.next(table.as_ref(), rest).ok_or_else(|| bad(false))?;
            if found.is_again && purpose == Use::Key {
                return Err(bad(true));
            }
            out.extend_from_slice(found.char.encode_utf8(&mut [0; 4]).as_bytes());
            rest = rest.get(found.bytes..).unwrap_or_default();
        }
        Ok(())
    }

    /// The character at the front of `text`.
    fn next(self, table: Option<&Table>, text: &[u8]) -> Option<Found> {
        match self {
            Self::Latin1 => text.first().map(|&byte| Found::new(latin1_char(byte), 1)),
            Self::Ucs2 => text.first_chunk().and_then(|&unit| one_unit(u16::from_be_bytes(unit))),
            Self::Utf16 => utf16(text, u16::from_be_bytes),
            Self::Utf16le => utf16(text, u16::from_le_bytes),
            Self::Utf32 => {
                let code = text.first_chunk().map(|&code| u32::from_be_bytes(code))?;
                Some(Found::new(char::from_u32(code)?, 4))
            }
            Self::Gb18030 => gb18030_of_four(text).or_else(|| table?.next(text)),
            _ => table?.next(text),
        }
    }
}

fn one_unit(unit: u16) -> Option<Found> {
    Some(Found::new(char::from_u32(unit.into())?, 2))
}

fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Option<Found> {
    let (units, _) = text.as_chunks::<2>();
    let char = char::decode_utf16(units.iter().take(2).map(|&bytes| unit(bytes))).next()?.ok()?;
    Some(Found::new(char, 2 * char.len_utf16()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn decoded(charset: Charset, text: &[u8]) -> Result<String, BadText> {
        let mut out = Vec::new();
        charset.decode(text, Use::Value, &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_character_set_decodes() {
        let check = |name: &str, text: &[u8], expected: &str| {
            let charset = Charset::from_name(name).unwrap();
            assert_eq!(decoded(charset, text).as_deref(), Ok(expected), "{name}");
        };
        check("armscii8", b"a\xb2", "aԱ");
        check("ascii", b"a~\0", "a~\0");
        check("big5", b"a\xa4\xa4\xa4\x5c", "a中么");
        check("cp1250", b"\x8a", "Š");
        check("cp1251", b"\xc0", "А");
        check("cp1256", b"\xc7", "ا");
        check("cp1257", b"\xe0", "ą");
        check("cp850", b"\x9b", "ø");
        check("cp852", b"\xa5", "ą");
        check("cp866", b"\x80", "А");
        check("cp932", b"a\xb1\x93\xfa\x87\x40", "aｱ日①");
        check("dec8", b"\xd7", "Œ");
        check("eucjpms", b"\xc6\xfc\x8e\xb1\x8f\xb0\xa1", "日ｱ丂");
        check("euckr", b"\xb0\xa1\x81\x41", "가갂");
        check("gb18030", b"\xd6\xd0\x81\x30\x81\x30\x94\x39\xda\x33", "中\u{80}💩");
        check("gb2312", b"\xd6\xd0", "中");
        check("gbk", b"\x81\x5c", "乗");
        check("geostd8", b"\xc0", "ა");
        check("greek", b"\xe1", "α");
        check("hebrew", b"\xe0", "א");
        check("hp8", b"\xd0", "Å");
        check("keybcs2", b"\x80", "Č");
        check("koi8r", b"\xc1", "а");
        check("koi8u", b"\xa4", "є");
        check("latin1", b"\x80\x81\xe9", "€\u{81}é");
        check("latin2", b"\xb1", "ą");
        check("latin5", b"\xf0", "ğ");
        check("latin7", b"\xe0", "ą");
        check("macce", b"\x84", "Ą");
        check("macroman", b"\x80", "Ä");
        check("sjis", b"\x93\xfa\x5c\x81\x5f", "日\\\\");
        check("swe7", b"[\\]", "ÄÖÅ");
        check("tis620", b"\xa1", "ก");
        check("ucs2", b"\0a\x4e\x2d", "a中");
        check("ujis", b"\xc6\xfc\x8e\xb1\x8f\xb0\xa1", "日ｱ丂");
        check("utf16", b"\0a\xd8\x3d\xdc\xa9", "a💩");
        check("utf16le", b"a\0\x3d\xd8\xa9\xdc", "a💩");
        check("utf32", b"\0\0\0a\0\x01\xf4\xa9", "a💩");
        check("utf8mb3", "a中".as_bytes(), "a中");
        check("utf8mb4", "a💩".as_bytes(), "a💩");
        assert!(Charset::ALL.iter().all(|&charset| decoded(charset, b"").as_deref() == Ok("")));
    }

    #[test]
    fn what_is_no_character_is_told_with_its_place() {
        let check = |name: &str, text: &[u8], at: u32| {
            let charset = Charset::from_name(name).unwrap();
            assert_eq!(decoded(charset, text), Err(BadText { charset, at, is_ambiguous: false }), "{name}");
        };
        check("ascii", b"ab\x80", 2);
        check("big5", b"\xa4\xa4\xa3\xc0", 2);
        check("cp1250", b"\x8a\x81", 1);
        check("cp932", b"ab\x81", 2);
        check("euckr", b"\x80", 0);
        check("eucjpms", b"\x8f\xb0", 0);
        check("gb18030", b"a\x81\x30\x81", 1);
        check("gb18030", b"\xe3\x32\x9a\x36", 0);
        check("gbk", b"\xff", 0);
        check("sjis", b"\x93\xfa\xfc\x4b", 2);
        check("swe7", b"a\x7f", 1);
        check("ucs2", b"\0a\0", 2);
        check("ucs2", b"\xd8\x3d\xdc\xa9", 0);
        check("utf16", b"\0a\xd8\x3d", 2);
        check("utf16", b"\xdc\xa9", 0);
        check("utf16le", b"\xa9\xdc\x3d\xd8", 0);
        check("utf32", b"\0\x11\0\0", 0);
        check("utf32", b"\0\0\xd8\0", 0);
        check("utf8mb3", "中💩".as_bytes(), 3);
        check("utf8mb4", b"a\xc3", 1);
        check("utf8mb4", b"\xed\xa0\x80", 0);
    }

    /// All codes of up to three bytes that differ in their last two, and gb18030's of four up to U+FFFF.
    fn codes(charset: Charset) -> impl Iterator<Item = Vec<u8>> {
        let one = (0..=u8::MAX).map(|byte| vec![byte]);
        let two = (0..=u16::MAX).map(|code| code.to_be_bytes().to_vec());
        let three = (0..=u16::MAX).map(|code| [&[0x8f][..], &code.to_be_bytes()].concat());
        let four = (0..39_420u32).map(|place| {
            let digit = |n: u32| b'0' + u8::try_from(n % 10).unwrap();
            let high = |n: u32| 0x81 + u8::try_from(n % 126).unwrap();
            vec![high(place / 12_600), digit(place / 1260), high(place / 10), digit(place)]
        });
        let four = four.filter(move |_| charset == Charset::Gb18030);
        one.chain(two).chain(three).chain(four)
    }

    #[test]
    fn no_two_keys_become_equal() {
        for &charset in Charset::ALL {
            let mut codes_by_char = HashMap::new();
            for code in codes(charset) {
                let mut out = Vec::new();
                if charset.decode(&code, Use::Key, &mut out).is_err() {
                    continue;
                }
                // Of bytes and of several characters the same is said by their parts.
                let is_one = std::str::from_utf8(&out).is_ok_and(|text| text.chars().count() == 1);
                if is_one && let Some(other) = codes_by_char.insert(out, code.clone()) {
                    panic!("{charset}: {other:02x?} and {code:02x?}");
                }
            }
        }
    }

    #[test]
    fn a_second_code_is_refused_in_a_key_alone() {
        let check = |charset: Charset, text: &[u8], at| {
            let refused = charset.decode(text, Use::Key, &mut Vec::new());
            assert_eq!(refused, Err(BadText { charset, at, is_ambiguous: true }));
            assert!(decoded(charset, text).is_ok());
        };
        check(Charset::Sjis, b"\x5c\x81\x5f", 1);
        check(Charset::Cp932, b"\xfa\x5c\xed\x40", 2);
        check(Charset::Ujis, b"\x8f\xa2\xb7", 0);
        check(Charset::Big5, b"\xa2\xce\xa1\x5a", 2);
        assert!(Charset::Sjis.decode(b"\x5c\x93\xfa", Use::Key, &mut Vec::new()).is_ok());
    }

    #[test]
    fn ascii_is_ascii_where_it_is_copied() {
        for &charset in Charset::ALL.iter().filter(|charset| charset.has_ascii()) {
            for byte in 0..0x80u8 {
                let converted = charset.next(Table::of(charset).as_ref(), &[byte]);
                let is_copied = converted.is_none() && (charset.is_utf8() || charset == Charset::Binary);
                assert!(is_copied || converted == Some(Found::new(byte.into(), 1)), "{charset} {byte:02x}");
            }
        }
    }
}
