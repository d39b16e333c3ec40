//! JSON diffs: what `binlog_row_value_options=PARTIAL_JSON` logs in place of a changed document.
//!
//! Format (`sql-common/json_diff.cc`, `json_path.cc`): diffs one behind the other, each an operation, a path and, unless
//! it removes, a value, both with packed lengths before them. A path is text: `$`, then `.name`, `."name"` with the
//! escapes of JSON, or `[n]`, `[last]`, `[last-n]`; it has no wildcard, and nothing is wrapped into arrays on the way.
//! Reading only; what a diff does to a document is not told here. Nothing is copied but names with escapes. Pure.

use std::borrow::Cow;

use super::cursor::Cursor;
use super::json::{DEPTH_MAX, JsonFault, Value};

/// Why a diff cannot be read or applied. Small and copied: the text is made only when it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffFault {
    /// It ends early.
    Truncated,
    /// An operation that is not known.
    UnknownOperation,
    /// A path that the server does not write, or deeper than [`DEPTH_MAX`].
    BadPath,
    /// Its path leads to nothing in the document, or to what must not be there yet.
    Misplaced,
    /// The document, or the diff's value.
    Document(JsonFault),
}

impl DiffFault {
    /// What is wrong, as the end of a sentence about the diffs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "they end inside a diff",
            Self::UnknownOperation => "an operation is unknown",
            Self::BadPath => "a path is none",
            Self::Misplaced => "a path does not fit the document",
            Self::Document(fault) => fault.reason(),
        }
    }
}

impl From<JsonFault> for DiffFault {
    fn from(fault: JsonFault) -> Self {
        Self::Document(fault)
    }
}

/// What is done at a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation<'a> {
    /// The value there becomes this one.
    Replace(Value<'a>),
    /// A member of an object, or an element of an array that moves those from there on.
    Insert(Value<'a>),
    /// The value there goes.
    Remove,
}

/// A step down in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leg<'a> {
    /// To the member of this name.
    Member(Cow<'a, [u8]>),
    /// To an element, counted from 0.
    Element(usize),
    /// To an element, counted from 0 back from the last one.
    FromLast(usize),
}

/// One change of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff<'a> {
    /// What is done.
    pub operation: Operation<'a>,
    /// The way to the place; at least one, for a whole document is never logged as a diff.
    pub path: Vec<Leg<'a>>,
}

/// Takes the next diff off `diffs`.
///
/// # Errors
/// When it is broken.
pub fn next_diff<'a>(diffs: &mut Cursor<'a>) -> Result<Diff<'a>, DiffFault> {
    let code = diffs.u8().map_err(|_| DiffFault::Truncated)?;
    let mut part = || diffs.packed_bytes().map_err(|_| DiffFault::Truncated);
    let path = legs(part()?)?;
    let operation = match code {
        0 => Operation::Replace(Value::parse(part()?)?),
        1 => Operation::Insert(Value::parse(part()?)?),
        2 => Operation::Remove,
        _ => return Err(DiffFault::UnknownOperation),
    };
    Ok(Diff { operation, path })
}

fn legs(text: &[u8]) -> Result<Vec<Leg<'_>>, DiffFault> {
    let mut rest = text.strip_prefix(b"$").ok_or(DiffFault::BadPath)?;
    let mut legs = Vec::new();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        legs.push(match first {
            b'.' => Leg::Member(name(&mut rest)?),
            b'[' => element(&mut rest)?,
            _ => return Err(DiffFault::BadPath),
        });
        if legs.len() > DEPTH_MAX {
            return Err(DiffFault::BadPath);
        }
    }
    if legs.is_empty() { Err(DiffFault::BadPath) } else { Ok(legs) }
}

/// A name that needs no quotes holds none of the characters that end it.
fn name<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, DiffFault> {
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        *rest = quoted;
        return quoted_name(rest);
    }
    let end = rest.iter().position(|&byte| byte == b'.' || byte == b'[').unwrap_or(rest.len());
    let name = split(rest, end)?;
    if name.is_empty() { Err(DiffFault::BadPath) } else { Ok(Cow::Borrowed(name)) }
}

/// To the quote that ends it, which is taken too.
fn quoted_name<'a>(rest: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, DiffFault> {
    let mut name = Cow::Borrowed(&[][..]);
    loop {
        let end = rest.iter().position(|&byte| byte == b'"' || byte == b'\\').ok_or(DiffFault::BadPath)?;
        let plain = split(rest, end)?;
        if name.is_empty() {
            name = Cow::Borrowed(plain);
        } else {
            name.to_mut().extend_from_slice(plain);
        }
        match split(rest, 1)? {
            b"\"" => return Ok(name),
            _ => escaped(rest, name.to_mut())?,
        }
    }
}

/// What follows a backslash.
fn escaped(rest: &mut &[u8], name: &mut Vec<u8>) -> Result<(), DiffFault> {
    name.push(match split(rest, 1)? {
        b"b" => 0x08,
        b"t" => b'\t',
        b"n" => b'\n',
        b"f" => 0x0c,
        b"r" => b'\r',
        &[same @ (b'"' | b'\\' | b'/')] => same,
        b"u" => return unicode(split(rest, 4)?, name),
        _ => return Err(DiffFault::BadPath),
    });
    Ok(())
}

/// Four digits. The server writes control characters so, and no surrogates.
fn unicode(digits: &[u8], name: &mut Vec<u8>) -> Result<(), DiffFault> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let character = code.and_then(char::from_u32).ok_or(DiffFault::BadPath)?;
    name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

/// To the bracket that ends it, which is taken too.
fn element<'a>(rest: &mut &[u8]) -> Result<Leg<'a>, DiffFault> {
    let end = rest.iter().position(|&byte| byte == b']').ok_or(DiffFault::BadPath)?;
    let index = split(rest, end)?;
    split(rest, 1)?;
    match index.strip_prefix(b"last") {
        None => number(index).map(Leg::Element),
        Some([]) => Ok(Leg::FromLast(0)),
        Some([b'-', back @ ..]) => number(back).map(Leg::FromLast),
        Some(_) => Err(DiffFault::BadPath),
    }
}

fn number(digits: &[u8]) -> Result<usize, DiffFault> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'));
    digits.and_then(|digits| digits.parse().ok()).ok_or(DiffFault::BadPath)
}

fn split<'a>(rest: &mut &'a [u8], at: usize) -> Result<&'a [u8], DiffFault> {
    let (head, tail) = rest.split_at_checked(at).ok_or(DiffFault::BadPath)?;
    *rest = tail;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Leg<'_> {
        Leg::Member(Cow::Borrowed(name.as_bytes()))
    }

    #[test]
    fn paths_as_the_server_writes_them() {
        for (path, expected) in [
            ("$.a", vec![member("a")]),
            ("$.é_1$[0][12].b", vec![member("é_1$"), Leg::Element(0), Leg::Element(12), member("b")]),
            ("$[last][last-3]", vec![Leg::FromLast(0), Leg::FromLast(3)]),
            (r#"$."".x"#, vec![member(""), member("x")]),
            (r#"$."a.b[\"]"[1]"#, vec![member("a.b[\"]"), Leg::Element(1)]),
            (r#"$."\b\t\n\f\r\\\/\u0001é\u00e9""#, vec![member("\u{8}\t\n\u{c}\r\\/\u{1}éé")]),
        ] {
            assert_eq!(legs(path.as_bytes()).as_ref(), Ok(&expected), "{path}");
        }
    }

    #[test]
    fn paths_that_no_server_writes() {
        let deep = format!("${}", "[0]".repeat(DEPTH_MAX + 1));
        assert_eq!(legs(&deep.as_bytes()[..deep.len() - 3]).map(|legs| legs.len()), Ok(DEPTH_MAX));
        let bad =
            ["", "$", "a", "$a", "$.", "$..a", "$[", "$[]", "$[1", "$[-1]", "$[+1]", "$[last-]", "$[last+1]", &deep];
        let names =
            [r#"$.""#, r#"$."a"#, r#"$."\"#, r#"$."\x""#, r#"$."\u12""#, r#"$."\ud800""#, r#"$."\u+123""#, r#"$."a"b"#];
        for path in bad.iter().chain(&names) {
            assert_eq!(legs(path.as_bytes()), Err(DiffFault::BadPath), "{path}");
        }
        assert_eq!(legs(b"$[99999999999999999999]"), Err(DiffFault::BadPath));
    }

    #[test]
    fn diffs_one_behind_the_other() {
        let bytes = b"\x00\x03$.a\x03\x05\x07\x00\x01\x04$[1]\x02\x04\x01\x02\x03$.b";
        let mut cursor = Cursor::new(bytes);
        let mut next = || next_diff(&mut cursor);
        let replace = Diff { operation: Operation::Replace(Value::Int(7)), path: vec![member("a")] };
        assert_eq!(next(), Ok(replace));
        let insert = Diff { operation: Operation::Insert(Value::Boolean(true)), path: vec![Leg::Element(1)] };
        assert_eq!(next(), Ok(insert));
        assert_eq!(next(), Ok(Diff { operation: Operation::Remove, path: vec![member("b")] }));
        assert_eq!(next(), Err(DiffFault::Truncated));
        for end in [1, 3, 6, 8] {
            assert_eq!(next_diff(&mut Cursor::new(&bytes[..end])), Err(DiffFault::Truncated), "{end}");
        }
        assert_eq!(next_diff(&mut Cursor::new(b"\x03\x03$.a")), Err(DiffFault::UnknownOperation));
        let unknown = Err(DiffFault::Document(JsonFault::UnknownType));
        assert_eq!(next_diff(&mut Cursor::new(b"\x00\x03$.a\x01\x77")), unknown);
    }
}
