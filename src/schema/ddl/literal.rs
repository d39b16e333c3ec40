//! DEFAULT: what rows that are there get in a new column.
//!
//! Strings and numbers are known from the statement; expressions, times of the clock and bytes are not.

use super::parser::Parser;
use crate::schema::change::Initial;

const CLOCK: [&str; 4] = ["NOW", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP"];

impl Parser<'_> {
    /// What follows DEFAULT.
    pub(super) fn default_value(&mut self) -> Option<Initial> {
        if self.is_char('(') {
            self.parentheses()?;
            return Some(Initial::Unknown);
        }
        if self.is_text() {
            return self.text().map(readable);
        }
        let is_negative = self.char('-');
        if is_negative || self.char('+') || self.is_char('.') {
            return self.number(if is_negative { "-" } else { "" });
        }
        match self.keyword()?.as_str() {
            "NULL" => self.constant(Initial::Null),
            "TRUE" => self.constant(Initial::Number("1".to_owned())),
            "FALSE" => self.constant(Initial::Number("0".to_owned())),
            word if word.starts_with(|first: char| first.is_ascii_digit()) => self.digits(word),
            _ => self.other_default(),
        }
    }

    fn constant(&mut self, value: Initial) -> Option<Initial> {
        self.take();
        Some(value)
    }

    /// A number, or bytes: `0x41`, `0b101`.
    fn digits(&mut self, word: &str) -> Option<Initial> {
        if word.starts_with("0X") || word.starts_with("0B") {
            return self.constant(Initial::Unknown);
        }
        self.number("")
    }

    /// `12`, `1.5`, `.5`, `1e5`, `1.5e-3` behind its sign.
    fn number(&mut self, sign: &str) -> Option<Initial> {
        let mut number = sign.to_owned();
        if !self.is_char('.') {
            number.push_str(&self.identifier()?);
        }
        if self.char('.') {
            number.push('.');
            if self.keyword().is_some_and(|word| word.starts_with(|first: char| first.is_ascii_digit() || first == 'E'))
            {
                number.push_str(&self.identifier()?);
            }
        }
        self.exponent(&mut number)?;
        number.parse::<f64>().is_ok_and(f64::is_finite).then_some(Initial::Number(number))
    }

    /// The sign and the digits that `1e` waits for.
    fn exponent(&mut self, number: &mut String) -> Option<()> {
        if !number.ends_with(['e', 'E']) {
            return Some(());
        }
        let is_negative = self.char('-');
        if !is_negative {
            self.expect('+')?;
        }
        number.push(if is_negative { '-' } else { '+' });
        number.push_str(&self.integer()?.to_string());
        Some(())
    }

    /// `now()`, `b'1'`, `x'41'`, `_utf8mb4'x'`, `n'x'`, `date '2020-01-01'`; MariaDB's functions without parentheses
    /// around them.
    fn other_default(&mut self) -> Option<Initial> {
        let is_clock = self.is_word_of(&CLOCK);
        let word = self.identifier()?.to_ascii_lowercase();
        if self.is_text() {
            return self.prefixed_text(&word);
        }
        if self.is_char('(') {
            self.parentheses()?;
            return Some(Initial::Unknown);
        }
        if word.starts_with('_') {
            return self.bytes();
        }
        is_clock.then_some(Initial::Unknown)
    }

    /// `0x41` or `x'41'` behind its character set.
    fn bytes(&mut self) -> Option<Initial> {
        self.identifier()?;
        if self.is_text() {
            self.text()?;
        }
        Some(Initial::Unknown)
    }

    /// `0x41`, `x'41'`, `0b1000001`, `b'1000001'`: the bytes.
    pub(super) fn bytes_literal(&mut self) -> Option<Vec<u8>> {
        let word = self.identifier()?;
        if self.is_text() {
            let radix = match word.as_str() {
                "x" | "X" => 16,
                "b" | "B" => 2,
                _ => return None,
            };
            return bytes_of_digits(&self.text()?, radix);
        }
        let (prefix, digits) = word.split_at_checked(2)?;
        match prefix {
            "0x" => bytes_of_digits(digits, 16),
            "0b" => bytes_of_digits(digits, 2),
            _ => None,
        }
    }

    fn prefixed_text(&mut self, word: &str) -> Option<Initial> {
        let text = self.text()?;
        match word {
            "n" | "date" | "time" | "timestamp" | "_utf8mb4" | "_utf8mb3" | "_utf8" => Some(readable(text)),
            "x" | "b" => Some(Initial::Unknown),
            _ if word.starts_with('_') => Some(Initial::Unknown),
            _ => None,
        }
    }

    /// What follows ON UPDATE.
    pub(super) fn clock(&mut self) -> Option<()> {
        self.word_of(&CLOCK).then_some(())?;
        if self.is_char('(') { self.parentheses() } else { Some(()) }
    }
}

/// Digits are of whole bytes at their end: the first byte may have fewer.
fn bytes_of_digits(digits: &str, radix: u32) -> Option<Vec<u8>> {
    let digits_per_byte = if radix == 16 { 2 } else { 8 };
    digits.is_ascii().then_some(())?;
    let mut bytes = Vec::new();
    for chunk in digits.as_bytes().rchunks(digits_per_byte) {
        bytes.push(u8::from_str_radix(std::str::from_utf8(chunk).ok()?, radix).ok()?);
    }
    bytes.reverse();
    Some(bytes)
}

/// A text with characters that could not be decoded is not known.
fn readable(text: String) -> Initial {
    if text.contains(char::REPLACEMENT_CHARACTER) { Initial::Unknown } else { Initial::Text(text) }
}
