//! MySQL's tokens: words, quoted names, strings, single characters. A number is words and characters: its parser joins
//! them, because only it knows whether `1.2` is a number or `t.1.2` a name.
//!
//! Blanks and comments vanish; `/*!80000 .. */` is code, because the server that logged the text ran it (it turns those
//! it did not run into plain comments). What quotes mean depends on the sql_mode the statement ran under.

use std::borrow::Cow;

const ANSI_QUOTES: u64 = 0x4;
const NO_BACKSLASH_ESCAPES: u64 = 0x0010_0000;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword, an unquoted name, or a number: letters, digits, `_`, `$` and all beyond ASCII.
    Word(&'a str),
    /// A quoted name.
    Name(Cow<'a, str>),
    /// A string, without its quotes and escapes.
    Text(Cow<'a, str>),
    /// Anything else.
    Char(char),
}

/// The tokens of a statement.
#[derive(Debug, Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
    has_ansi_quotes: bool,
    has_backslash_escapes: bool,
    /// Inside `/*! .. */`, whose end is no token.
    is_in_version_comment: bool,
}

impl<'a> Tokens<'a> {
    pub fn new(sql: &'a str, sql_mode: u64) -> Self {
        Self {
            rest: sql,
            has_ansi_quotes: sql_mode & ANSI_QUOTES != 0,
            has_backslash_escapes: sql_mode & NO_BACKSLASH_ESCAPES == 0,
            is_in_version_comment: false,
        }
    }

    /// Takes the next `bytes`, or all when there are fewer.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn skip_blanks_and_comments(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c.is_ascii_control());
            if let Some(code) = self.rest.strip_prefix("/*!").or_else(|| self.rest.strip_prefix("/*M!")) {
                self.rest = skip_version(code);
                self.is_in_version_comment = true;
            } else if self.is_in_version_comment && self.rest.starts_with("*/") {
                self.take(2);
                self.is_in_version_comment = false;
            } else if self.rest.starts_with("/*") {
                self.take(2);
                let end = self.rest.find("*/").map_or(self.rest.len(), |at| at + 2);
                self.take(end);
            } else if self.rest.starts_with('#') || is_dash_comment(self.rest) {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.take(end);
            } else {
                return;
            }
        }
    }

    /// What is between the quote at the front and the one that ends it: quotes in it are doubled, or, where
    /// `has_escapes`, behind a backslash. Without an end all the rest.
    fn quoted(&mut self, quote: char, has_escapes: bool) -> &'a str {
        self.take(quote.len_utf8());
        let mut characters = self.rest.char_indices().peekable();
        while let Some((at, character)) = characters.next() {
            if character == '\\' && has_escapes {
                characters.next();
            } else if character == quote && characters.next_if(|&(_, next)| next == quote).is_none() {
                let inside = self.take(at);
                self.take(quote.len_utf8());
                return inside;
            }
        }
        self.take(self.rest.len())
    }

    fn quoted_name(&mut self, quote: char) -> Token<'a> {
        Token::Name(unescaped(self.quoted(quote, false), quote, false))
    }

    fn text(&mut self, quote: char) -> Token<'a> {
        let has_escapes = self.has_backslash_escapes;
        Token::Text(unescaped(self.quoted(quote, has_escapes), quote, has_escapes))
    }
}

/// What stands between quotes, as the server understands it.
fn unescaped(inside: &str, quote: char, has_escapes: bool) -> Cow<'_, str> {
    let has_escape = inside.contains(quote) || (has_escapes && inside.contains('\\'));
    if !has_escape {
        return Cow::Borrowed(inside);
    }
    let mut text = String::with_capacity(inside.len());
    let mut characters = inside.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\\' && has_escapes {
            push_escape(&mut text, characters.next());
        } else {
            text.push(character);
            if character == quote {
                characters.next_if_eq(&quote);
            }
        }
    }
    Cow::Owned(text)
}

/// What a backslash and this character mean; `\%` and `\_` keep the backslash, for LIKE.
fn push_escape(text: &mut String, escaped: Option<char>) {
    match escaped {
        Some('0') => text.push('\0'),
        Some('b') => text.push('\u{8}'),
        Some('n') => text.push('\n'),
        Some('r') => text.push('\r'),
        Some('t') => text.push('\t'),
        Some('Z') => text.push('\u{1a}'),
        Some(character @ ('%' | '_')) => text.extend(['\\', character]),
        Some(character) => text.push(character),
        None => {}
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks_and_comments();
        let first = self.rest.chars().next()?;
        Some(match first {
            '`' => self.quoted_name('`'),
            '"' if self.has_ansi_quotes => self.quoted_name('"'),
            '\'' | '"' => self.text(first),
            _ if is_word(first) => Token::Word(self.take(self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len()))),
            _ => {
                self.take(first.len_utf8());
                Token::Char(first)
            }
        })
    }
}

/// The server stores names in utf8mb3: what that lacks becomes `?`, in binary log and dictionary alike.
pub(super) fn stored_name(name: String) -> String {
    const LAST: char = '\u{ffff}';
    if name.contains(|c| c > LAST) { name.replace(|c| c > LAST, "?") } else { name }
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '$' || !character.is_ascii()
}

/// `--` begins a comment only before a blank, a control character or the end.
fn is_dash_comment(text: &str) -> bool {
    let next = text.strip_prefix("--").map(|rest| rest.chars().next());
    next.is_some_and(|next| next.is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_control()))
}

/// Steps over the version of a version comment: five or six digits, or none.
fn skip_version(code: &str) -> &str {
    let digits = code.bytes().take(6).take_while(u8::is_ascii_digit).count();
    if digits < 5 { code } else { code.get(digits..).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(sql: &str, sql_mode: u64) -> String {
        let show = |token| match token {
            Token::Word(word) => word.to_owned(),
            Token::Name(name) => format!("[{name}]"),
            Token::Text(text) => format!("<{text}>"),
            Token::Char(character) => character.to_string(),
        };
        Tokens::new(sql, sql_mode).map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tokens_of_a_statement() {
        let check = |sql, expected: &str| assert_eq!(show(sql, 0), expected, "{sql}");
        check("", "");
        check("create\ttable\nt(a int)", "create table t ( a int )");
        check("`a``b`.`c;--`", "[a`b] . [c;--]");
        check("1a 2e $x ünï 0x41 x'0A'", "1a 2e $x ünï 0x41 x <0A>");
        check("t./*c*/cm -- ' \n x # \"\n y", "t . cm x y");
        check("a--b 1--1", "a - - b 1 - - 1");
        check("x --", "x");
        check("/*!40101 create */ t /*! if */ /*!080023 y*/ /*M!100100 z */ */", "create t if y z * /");
        check("/* 99999 gone */ a /* open", "a");
        check(r"'a\'b' 'c''d' 'e\\' f", r"<a'b> <c'd> <e\> f");
        check("\"x\" 'open", "<x> <open>");
        check("`open", "[open]");
        check("``", "[]");
        check(r#"'\0\n\t\%\_\Z\b\r\q' "a''b""c""#, "<\0\n\t\\%\\_\u{1a}\u{8}\rq> <a''b\"c>");
    }

    #[test]
    fn quotes_depend_on_the_mode() {
        assert_eq!(show("\"an\"\"q\\\" 'x\\'' b", ANSI_QUOTES), "[an\"q\\] <x'> b");
        assert_eq!(show(r"'x\' b 'y' c", NO_BACKSLASH_ESCAPES), r"<x\> b <y> c");
        assert_eq!(show(r"'x\' b 'y", 0), "<x' b > y");
    }
}
