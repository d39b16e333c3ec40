//! Character sets by collation id (TABLE_MAP, QUERY) and by name (`information_schema`), and which of them we decode.
//!
//! Ids are those of `information_schema.collations` of MySQL 9.7. An id that is not here is unknown, never guessed.

use crate::schema::types::Charset;

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
    /// The character set of this name, if this version decodes it.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Some(Self::Utf8),
            "latin1" => Some(Self::Latin1),
            "binary" => Some(Self::Binary),
            _ => None,
        }
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

/// The most bytes of a character (`MAXLEN` of `information_schema.character_sets`); `None` for an unknown name.
pub fn bytes_per_char(charset: &str) -> Option<u64> {
    match charset {
        "armscii8" | "ascii" | "binary" | "cp1250" | "cp1251" | "cp1256" | "cp1257" | "cp850" | "cp852" | "cp866"
        | "dec8" | "geostd8" | "greek" | "hebrew" | "hp8" | "keybcs2" | "koi8r" | "koi8u" | "latin1" | "latin2"
        | "latin5" | "latin7" | "macce" | "macroman" | "swe7" | "tis620" => Some(1),
        "big5" | "cp932" | "euckr" | "gb2312" | "gbk" | "sjis" | "ucs2" => Some(2),
        "eucjpms" | "ujis" | "utf8mb3" => Some(3),
        "gb18030" | "utf16" | "utf16le" | "utf32" | "utf8mb4" => Some(4),
        _ => None,
    }
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
    fn what_is_decoded() {
        let decoded = |collation| charset_name(collation).and_then(Charset::from_name);
        let check = |collation, expected| assert_eq!(decoded(collation), expected, "{collation}");
        for collation in [255, 45, 46, 224, 33, 83, 223, 11, 65] {
            check(collation, Some(Charset::Utf8));
        }
        for collation in [5, 8, 15, 31, 47, 48, 49, 94] {
            check(collation, Some(Charset::Latin1));
        }
        check(63, Some(Charset::Binary));
        check(28, None);
    }

    #[test]
    fn latin1_is_windows_1252_with_c1_controls() {
        assert_eq!(decode_latin1(b"a\x7f\x80\x81\x9f\xa0\xe9\xff"), "a\u{7f}€\u{81}Ÿ\u{a0}éÿ");
    }
}
