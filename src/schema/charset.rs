//! Character sets: by name (`information_schema`), by collation id (TABLE_MAP, QUERY), and what their text is in UTF-8.
//!
//! Ids are those of `information_schema.collations` of MySQL 9.7. An id or a name that is not here is unknown, never
//! guessed.

mod decode;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use decode::{BadText, Use};

/// The character sets, each with its name and the most bytes of a character (`MAXLEN`).
macro_rules! charsets {
    ($($charset:ident $name:literal $bytes:literal,)*) => {
        /// A character set of MySQL 9.7.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Charset {
            $(#[doc = $name] $charset,)*
        }

        impl Charset {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$charset,)*];

            /// Its name in MySQL.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$charset => $name,)*
                }
            }

            /// The most bytes of a character.
            pub fn bytes_per_char(self) -> u64 {
                match self {
                    $(Self::$charset => $bytes,)*
                }
            }
        }
    };
}

charsets! {
    Armscii8 "armscii8" 1,
    Ascii "ascii" 1,
    Big5 "big5" 2,
    Binary "binary" 1,
    Cp1250 "cp1250" 1,
    Cp1251 "cp1251" 1,
    Cp1256 "cp1256" 1,
    Cp1257 "cp1257" 1,
    Cp850 "cp850" 1,
    Cp852 "cp852" 1,
    Cp866 "cp866" 1,
    Cp932 "cp932" 2,
    Dec8 "dec8" 1,
    Eucjpms "eucjpms" 3,
    Euckr "euckr" 2,
    Gb18030 "gb18030" 4,
    Gb2312 "gb2312" 2,
    Gbk "gbk" 2,
    Geostd8 "geostd8" 1,
    Greek "greek" 1,
    Hebrew "hebrew" 1,
    Hp8 "hp8" 1,
    Keybcs2 "keybcs2" 1,
    Koi8r "koi8r" 1,
    Koi8u "koi8u" 1,
    Latin1 "latin1" 1,
    Latin2 "latin2" 1,
    Latin5 "latin5" 1,
    Latin7 "latin7" 1,
    Macce "macce" 1,
    Macroman "macroman" 1,
    Sjis "sjis" 2,
    Swe7 "swe7" 1,
    Tis620 "tis620" 1,
    Ucs2 "ucs2" 2,
    Ujis "ujis" 3,
    Utf16 "utf16" 4,
    Utf16le "utf16le" 4,
    Utf32 "utf32" 4,
    Utf8mb3 "utf8mb3" 3,
    Utf8 "utf8mb4" 4,
}

/// First id, last id, character set; sorted by id, without overlaps.
const COLLATIONS: &[(u64, u64, &str)] = &[
    (1, 1, "big5"),
    (2, 2, "latin2"),
    (3, 3, "dec8"),
    (4, 4, "cp850"),
    (5, 5, "latin1"),
    (6, 6, "hp8"),
    (7, 7, "koi8r"),
    (8, 8, "latin1"),
    (9, 9, "latin2"),
    (10, 10, "swe7"),
    (11, 11, "ascii"),
    (12, 12, "ujis"),
    (13, 13, "sjis"),
    (14, 14, "cp1251"),
    (15, 15, "latin1"),
    (16, 16, "hebrew"),
    (18, 18, "tis620"),
    (19, 19, "euckr"),
    (20, 20, "latin7"),
    (21, 21, "latin2"),
    (22, 22, "koi8u"),
    (23, 23, "cp1251"),
    (24, 24, "gb2312"),
    (25, 25, "greek"),
    (26, 26, "cp1250"),
    (27, 27, "latin2"),
    (28, 28, "gbk"),
    (29, 29, "cp1257"),
    (30, 30, "latin5"),
    (31, 31, "latin1"),
    (32, 32, "armscii8"),
    (33, 33, "utf8mb3"),
    (34, 34, "cp1250"),
    (35, 35, "ucs2"),
    (36, 36, "cp866"),
    (37, 37, "keybcs2"),
    (38, 38, "macce"),
    (39, 39, "macroman"),
    (40, 40, "cp852"),
    (41, 42, "latin7"),
    (43, 43, "macce"),
    (44, 44, "cp1250"),
    (45, 46, "utf8mb4"),
    (47, 49, "latin1"),
    (50, 52, "cp1251"),
    (53, 53, "macroman"),
    (54, 55, "utf16"),
    (56, 56, "utf16le"),
    (57, 57, "cp1256"),
    (58, 59, "cp1257"),
    (60, 61, "utf32"),
    (62, 62, "utf16le"),
    (63, 63, "binary"),
    (64, 64, "armscii8"),
    (65, 65, "ascii"),
    (66, 66, "cp1250"),
    (67, 67, "cp1256"),
    (68, 68, "cp866"),
    (69, 69, "dec8"),
    (70, 70, "greek"),
    (71, 71, "hebrew"),
    (72, 72, "hp8"),
    (73, 73, "keybcs2"),
    (74, 74, "koi8r"),
    (75, 75, "koi8u"),
    (76, 76, "utf8mb3"),
    (77, 77, "latin2"),
    (78, 78, "latin5"),
    (79, 79, "latin7"),
    (80, 80, "cp850"),
    (81, 81, "cp852"),
    (82, 82, "swe7"),
    (83, 83, "utf8mb3"),
    (84, 84, "big5"),
    (85, 85, "euckr"),
    (86, 86, "gb2312"),
    (87, 87, "gbk"),
    (88, 88, "sjis"),
    (89, 89, "tis620"),
    (90, 90, "ucs2"),
    (91, 91, "ujis"),
    (92, 93, "geostd8"),
    (94, 94, "latin1"),
    (95, 96, "cp932"),
    (97, 98, "eucjpms"),
    (99, 99, "cp1250"),
    (101, 124, "utf16"),
    (128, 151, "ucs2"),
    (159, 159, "ucs2"),
    (160, 183, "utf32"),
    (192, 215, "utf8mb3"),
    (223, 223, "utf8mb3"),
    (224, 247, "utf8mb4"),
    (248, 250, "gb18030"),
    (255, 323, "utf8mb4"),
];

/// The windows-1252 characters of the bytes 80..9F; those that it leaves undefined are C1 controls in MySQL.
const LATIN1_80_TO_9F: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The character set of a collation id; `None` when the id is unknown.
pub fn charset_name(collation: u64) -> Option<&'static str> {
    let at = COLLATIONS.partition_point(|&(_, last, _)| last < collation);
    COLLATIONS.get(at).filter(|&&(first, _, _)| first <= collation).map(|&(_, _, name)| name)
}

impl Charset {
    /// The character set of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = if name == "utf8" { "utf8mb3" } else { name };
        Self::ALL.iter().copied().find(|charset| charset.name() == name)
    }

    /// The character set of a collation id; `None` when the id is unknown.
    pub fn of_collation(collation: u64) -> Option<Self> {
        charset_name(collation).and_then(Self::from_name)
    }

    /// Whether its text is UTF-8 as it is stored.
    pub fn is_utf8(self) -> bool {
        matches!(self, Self::Utf8 | Self::Utf8mb3 | Self::Ascii)
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A character set's name as MySQL has it today: `utf8` is utf8mb3.
pub fn full_name(charset: &str) -> String {
    let name = charset.to_ascii_lowercase();
    if name == "utf8" { "utf8mb3".to_owned() } else { name }
}

/// The character set of a collation: what is before its first `_`.
pub fn charset_of_collation(collation: &str) -> String {
    full_name(collation.split('_').next().unwrap_or_default())
}

/// The most bytes of a character; `None` for an unknown name.
pub fn bytes_per_char(charset: &str) -> Option<u64> {
    Charset::from_name(charset).map(Charset::bytes_per_char)
}

/// UTF-8 of MySQL's latin1.
pub fn decode_latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| latin1_char(byte)).collect()
}

/// A byte of MySQL's latin1: windows-1252, where 81 8D 8F 90 9D are C1 controls.
#[inline]
pub fn latin1_char(byte: u8) -> char {
    match LATIN1_80_TO_9F.get(usize::from(byte).wrapping_sub(0x80)) {
        Some(&char) => char,
        None => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collations_are_sorted_and_found() {
        assert!(COLLATIONS.is_sorted_by(|a, b| a.1 < b.0));
        assert!(COLLATIONS.iter().all(|(first, last, _)| first <= last));
        let check = |collation, expected| assert_eq!(charset_name(collation), expected, "{collation}");
        check(0, None);
        check(17, None);
        check(28, Some("gbk"));
        check(63, Some("binary"));
        check(100, None);
        check(247, Some("utf8mb4"));
        check(303, Some("utf8mb4"));
        check(323, Some("utf8mb4"));
        check(324, None);
        check(u64::MAX, None);
    }

    #[test]
    fn every_character_set_has_a_width() {
        assert!(COLLATIONS.iter().all(|(_, _, name)| bytes_per_char(name).is_some()));
        assert_eq!(bytes_per_char("utf8mb5"), None);
    }

    #[test]
    fn every_collation_is_of_a_character_set() {
        assert_eq!(Charset::ALL.len(), 41);
        assert!(Charset::ALL.iter().all(|&charset| COLLATIONS.iter().any(|(_, _, name)| *name == charset.name())));
        let check = |collation, expected| assert_eq!(Charset::of_collation(collation), Some(expected), "{collation}");
        for collation in [255, 45, 46, 224] {
            check(collation, Charset::Utf8);
        }
        for collation in [33, 83, 223] {
            check(collation, Charset::Utf8mb3);
        }
        for collation in [5, 8, 15, 31, 47, 48, 49, 94] {
            check(collation, Charset::Latin1);
        }
        check(11, Charset::Ascii);
        check(63, Charset::Binary);
        check(28, Charset::Gbk);
        assert_eq!(Charset::of_collation(324), None);
        assert_eq!(Charset::from_name("utf8"), Some(Charset::Utf8mb3));
        assert_eq!(Charset::from_name("utf9"), None);
    }

    #[test]
    fn latin1_is_windows_1252_with_c1_controls() {
        assert_eq!(decode_latin1(b"a\x7f\x80\x81\x9f\xa0\xe9\xff"), "a\u{7f}€\u{81}Ÿ\u{a0}éÿ");
    }
}
