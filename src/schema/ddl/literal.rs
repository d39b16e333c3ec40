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
            self.take();
            return Some(Initial::Unknown);
        }
        is_clock.then_some(Initial::Unknown)
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

/// A text with characters that could not be decoded is not known.
fn readable(text: String) -> Initial {
    if text.contains(char::REPLACEMENT_CHARACTER) { Initial::Unknown } else { Initial::Text(text) }
}
