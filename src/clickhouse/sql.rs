//! Names and texts inside SQL: quoting on the way out, and the few tokens that `system.tables` is read by.
//!
//! Whatever a name holds, quoted it is only a name: ClickHouse reads a backquoted identifier and a quoted text with
//! backslash escapes (its lexer ends them at the first unescaped quote), so escaping `\` and the quote is enough.

use crate::schema::types::TableName;

/// `` `name` ``.
pub fn identifier(name: &str) -> String {
    quoted(name, '`')
}

/// `` `database`.`table` ``.
pub fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.database), identifier(&name.table))
}

/// `'text'`.
pub fn text(text: &str) -> String {
    quoted(text, '\'')
}

/// `` `a`, `b` ``.
pub fn identifiers<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(identifier).collect::<Vec<_>>().join(", ")
}

fn quoted(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push(quote);
    out
}

/// A piece of an expression as the server prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An identifier, unquoted.
    Name(String),
    /// A text in single quotes, unquoted.
    Text(String),
    /// Digits.
    Number(String),
    /// Anything else.
    Sign(char),
}

/// The tokens of an expression printed by the server (`sorting_key`, `partition_key`, `engine_full`).
pub fn tokens(expression: &str) -> Vec<Token> {
    let mut rest = expression.chars().peekable();
    let mut out = Vec::new();
    while let Some(c) = rest.next() {
        let token = match c {
            '`' => Token::Name(until_quote(&mut rest, '`')),
            '"' => Token::Name(until_quote(&mut rest, '"')),
            '\'' => Token::Text(until_quote(&mut rest, '\'')),
            c if c.is_ascii_digit() => Token::Number(word(c, &mut rest)),
            c if is_word(c) => Token::Name(word(c, &mut rest)),
            c if c.is_whitespace() => continue,
            c => Token::Sign(c),
        };
        out.push(token);
    }
    out
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn word(first: char, rest: &mut Chars<'_>) -> String {
    let mut out = String::from(first);
    while let Some(c) = rest.next_if(|&c| is_word(c)) {
        out.push(c);
    }
    out
}

fn until_quote(rest: &mut Chars<'_>, quote: char) -> String {
    let mut out = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.extend(rest.next().map(unescaped)),
            c if c == quote => break,
            c => out.push(c),
        }
    }
    out
}

fn unescaped(c: char) -> char {
    match c {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '0' => '\0',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_stay_names() {
        for (name, expected) in [
            ("id", "`id`"),
            ("a`b; DROP", "`a\\`b; DROP`"),
            ("back\\slash", "`back\\\\slash`"),
            ("\\`", "`\\\\\\``"),
            ("o'q", "`o'q`"),
        ] {
            assert_eq!(identifier(name), expected);
            assert_eq!(tokens(&identifier(name)), [Token::Name(name.to_owned())]);
            assert_eq!(tokens(&text(name)), [Token::Text(name.to_owned())]);
        }
        let name = TableName { database: "d".to_owned(), table: "t`".to_owned() };
        assert_eq!(table(&name), "`d`.`t\\``");
        assert_eq!(identifiers(["a", "b"]), "`a`, `b`");
    }

    #[test]
    fn expressions_fall_into_tokens() {
        let name = |text: &str| Token::Name(text.to_owned());
        assert_eq!(
            tokens("intDiv(`x y`, 10), id"),
            [
                name("intDiv"),
                Token::Sign('('),
                name("x y"),
                Token::Sign(','),
                Token::Number("10".to_owned()),
                Token::Sign(')'),
                Token::Sign(','),
                name("id"),
            ]
        );
        assert_eq!(tokens("'it\\'s\\n'"), [Token::Text("it's\n".to_owned())]);
        assert_eq!(tokens("`open"), [name("open")], "ends at the end");
    }
}
