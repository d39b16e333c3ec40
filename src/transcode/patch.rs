//! A JSON document with diffs applied: a tree as far as they reach, the document's own bytes elsewhere.
//!
//! Rules (`apply_json_diff` in sql-common/json_diff.cc): a path leads through members and elements that exist; an
//! insertion needs a name that is not there yet, or moves the elements from its place on, and one behind the end goes to
//! the end; what does not fit is refused, as the server's own applier does. Members are kept in MySQL's order: by length,
//! then by bytes. So the text that is printed from the tree is that of the document which MySQL has now.
//!
//! Memory: only containers on a path are opened, each once. Members of a sound document take at least 3 bytes of it or
//! of the diffs, so that whoever opens more than there are bytes has overlapping members, and is refused.

use std::borrow::Cow;

use crate::binlog::cursor::Cursor;
use crate::binlog::json::{Container, JsonFault, Value};
use crate::binlog::json_diff::{Diff, DiffFault, Leg, Operation, next_diff};

/// A value of the document.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// Untouched: as it stands in the bytes.
    Value(Value<'a>),
    /// An array on some diff's path.
    Array(Vec<Node<'a>>),
    /// An object on some diff's path, with its members in order.
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

/// `document` after `diffs`.
pub(super) fn patched<'a>(document: &'a [u8], diffs: &'a [u8]) -> Result<Node<'a>, DiffFault> {
    let mut tree = Tree { members_left: document.len().saturating_add(diffs.len()) };
    let mut root = Node::Value(Value::parse(document)?);
    let mut diffs = Cursor::new(diffs);
    while !diffs.is_empty() {
        tree.apply(&mut root, next_diff(&mut diffs)?)?;
    }
    Ok(root)
}

struct Tree {
    /// How many more members may be opened.
    members_left: usize,
}

impl Tree {
    fn apply<'a>(&mut self, root: &mut Node<'a>, diff: Diff<'a>) -> Result<(), DiffFault> {
        let mut place = diff.path.into_iter();
        let last = place.next_back().ok_or(DiffFault::BadPath)?;
        let mut parent = root;
        for leg in place {
            self.open(parent)?;
            parent = child(parent, &leg).ok_or(DiffFault::Misplaced)?;
        }
        self.open(parent)?;
        match diff.operation {
            Operation::Replace(value) => *child(parent, &last).ok_or(DiffFault::Misplaced)? = Node::Value(value),
            Operation::Insert(value) => insert(parent, last, Node::Value(value))?,
            Operation::Remove => remove(parent, &last)?,
        }
        Ok(())
    }

    /// Makes a container's members nodes of their own.
    fn open(&mut self, node: &mut Node<'_>) -> Result<(), DiffFault> {
        let Node::Value(value) = node else { return Ok(()) };
        *node = match *value {
            Value::Array(members) => {
                let mut elements = self.room(members)?;
                members.each(|_, value| {
                    elements.push(Node::Value(value));
                    Ok::<(), DiffFault>(())
                })?;
                Node::Array(elements)
            }
            Value::Object(members) => {
                let mut opened = self.room(members)?;
                members.each(|key, value| {
                    opened.push((Cow::Borrowed(key.unwrap_or_default()), Node::Value(value)));
                    Ok::<(), DiffFault>(())
                })?;
                Node::Object(opened)
            }
            Value::Null | Value::Boolean(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => return Ok(()),
            Value::String(_) | Value::Opaque { .. } => return Ok(()),
        };
        Ok(())
    }

    /// Room for a container's members.
    fn room<M>(&mut self, members: Container<'_>) -> Result<Vec<M>, DiffFault> {
        self.members_left = self.members_left.checked_sub(members.len()).ok_or(JsonFault::TooLong)?;
        Ok(Vec::with_capacity(members.len()))
    }
}

fn child<'n, 'a>(node: &'n mut Node<'a>, leg: &Leg<'_>) -> Option<&'n mut Node<'a>> {
    match node {
        Node::Array(elements) => position(leg, elements.len()).and_then(|index| elements.get_mut(index)),
        Node::Object(members) => {
            let Leg::Member(name) = leg else { return None };
            find(members, name).ok().and_then(|index| members.get_mut(index)).map(|(_, value)| value)
        }
        Node::Value(_) => None,
    }
}

fn insert<'a>(parent: &mut Node<'a>, leg: Leg<'a>, value: Node<'a>) -> Result<(), DiffFault> {
    match (parent, leg) {
        (Node::Object(members), Leg::Member(name)) => {
            let Err(index) = find(members, &name) else { return Err(DiffFault::Misplaced) };
            members.insert(index, (name, value));
        }
        (Node::Array(elements), Leg::Element(index)) => elements.insert(index.min(elements.len()), value),
        // Before the element that it names, or before all.
        (Node::Array(elements), leg @ Leg::FromLast(_)) => {
            elements.insert(position(&leg, elements.len()).unwrap_or(0), value);
        }
        _ => return Err(DiffFault::Misplaced),
    }
    Ok(())
}

fn remove(parent: &mut Node<'_>, leg: &Leg<'_>) -> Result<(), DiffFault> {
    match (parent, leg) {
        (Node::Object(members), Leg::Member(name)) => {
            members.remove(find(members, name).map_err(|_| DiffFault::Misplaced)?);
        }
        (Node::Array(elements), leg) => {
            elements.remove(position(leg, elements.len()).ok_or(DiffFault::Misplaced)?);
        }
        _ => return Err(DiffFault::Misplaced),
    }
    Ok(())
}

/// Which element of `count` a leg means, if it is there.
fn position(leg: &Leg<'_>, count: usize) -> Option<usize> {
    match leg {
        Leg::Element(index) => Some(*index).filter(|index| *index < count),
        Leg::FromLast(back) => count.checked_sub(1)?.checked_sub(*back),
        Leg::Member(_) => None,
    }
}

/// Where a member is, or where it belongs.
fn find(members: &[(Cow<'_, [u8]>, Node<'_>)], name: &[u8]) -> Result<usize, usize> {
    members.binary_search_by(|(key, _)| (key.len(), key.as_ref()).cmp(&(name.len(), name)))
}

#[cfg(test)]
mod tests {
    use super::super::image::Fault;
    use super::super::json::patched_json;
    use super::super::text::Prefix;
    use super::*;

    const PREFIX: Prefix = Prefix { bytes: 4, max: u32::MAX };
    /// `{"a": 1, "bb": "xy"}` as the server writes it.
    const OBJECT: &[u8] = b"\0\x02\0\x18\0\x12\0\x01\0\x13\0\x02\0\x05\x01\0\x0c\x15\0abb\x02xy";
    /// `[null, 65535]`.
    const ARRAY: &[u8] = b"\x02\x02\0\x0a\0\x04\0\0\x06\xff\xff";
    const SEVEN: &[u8] = b"\x05\x07\0";

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_le_bytes()[..], bytes].concat()
    }

    fn diff(code: u8, path: &str, value: &[u8]) -> Vec<u8> {
        let mut diff = vec![code, u8::try_from(path.len()).unwrap()];
        diff.extend(path.as_bytes());
        if code != 2 {
            diff.push(u8::try_from(value.len()).unwrap());
            diff.extend(value);
        }
        diff
    }

    fn text(document: &[u8], diffs: &[u8]) -> Result<String, Fault> {
        let mut out = Vec::new();
        patched_json(&with_length(document), &with_length(diffs), PREFIX, &mut out)?;
        let start = out.iter().take_while(|&&byte| byte & 0x80 != 0).count() + 1;
        Ok(String::from_utf8(out.split_off(start)).unwrap())
    }

    fn replace(path: &str, value: &[u8]) -> Vec<u8> {
        diff(0, path, value)
    }

    fn insert(path: &str, value: &[u8]) -> Vec<u8> {
        diff(1, path, value)
    }

    fn remove(path: &str) -> Vec<u8> {
        diff(2, path, &[])
    }

    #[test]
    fn members() {
        let check = |diffs: &[Vec<u8>], expected: &str| {
            assert_eq!(text(OBJECT, &diffs.concat()).as_deref(), Ok(expected));
        };
        check(&[], r#"{"a": 1, "bb": "xy"}"#);
        check(&[replace("$.a", SEVEN)], r#"{"a": 7, "bb": "xy"}"#);
        check(
            &[insert("$.b", SEVEN), insert("$.ba", SEVEN), insert("$.\"\"", SEVEN)],
            r#"{"": 7, "a": 1, "b": 7, "ba": 7, "bb": "xy"}"#,
        );
        check(&[remove("$.a"), remove("$.bb")], "{}");
        check(
            &[remove("$.a"), insert("$.a", OBJECT), replace("$.a.bb", ARRAY), remove("$.a.bb[0]")],
            r#"{"a": {"a": 1, "bb": [65535]}, "bb": "xy"}"#,
        );
        check(&[insert("$.\"q\\\"\\n\"", SEVEN)], r#"{"a": 1, "bb": "xy", "q\"\n": 7}"#);
    }

    #[test]
    fn elements() {
        let check = |diffs: &[Vec<u8>], expected: &str| {
            assert_eq!(text(ARRAY, &diffs.concat()).as_deref(), Ok(expected));
        };
        check(&[replace("$[1]", SEVEN)], "[null, 7]");
        check(&[replace("$[last]", SEVEN), replace("$[last-1]", ARRAY)], "[[null, 65535], 7]");
        check(&[insert("$[0]", SEVEN)], "[7, null, 65535]");
        check(&[insert("$[1]", SEVEN)], "[null, 7, 65535]");
        check(&[insert("$[2]", SEVEN)], "[null, 65535, 7]");
        check(&[insert("$[99]", SEVEN)], "[null, 65535, 7]");
        check(&[insert("$[last]", SEVEN)], "[null, 7, 65535]");
        check(&[insert("$[last-9]", SEVEN)], "[7, null, 65535]");
        check(&[remove("$[0]"), remove("$[last]")], "[]");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let misplaced = Err(Fault::Diff(DiffFault::Misplaced));
        for diff in [
            replace("$.b", SEVEN),
            replace("$[0]", SEVEN),
            replace("$.a[0]", SEVEN),
            insert("$.a", SEVEN),
            insert("$[0]", SEVEN),
            insert("$.a.b", SEVEN),
            remove("$.b"),
            remove("$.bb.x"),
        ] {
            assert_eq!(text(OBJECT, &diff), misplaced, "{diff:?}");
        }
        for diff in
            [replace("$[2]", SEVEN), replace("$[last-2]", SEVEN), insert("$.a", SEVEN), remove("$[2]"), remove("$.a")]
        {
            assert_eq!(text(ARRAY, &diff), misplaced, "{diff:?}");
        }
        assert_eq!(text(ARRAY, &[replace("$[0]", SEVEN), vec![0]].concat()), Err(Fault::Diff(DiffFault::Truncated)));
        assert_eq!(text(&[0x77], &remove("$.a")), Err(Fault::Diff(DiffFault::Document(JsonFault::UnknownType))));
    }

    /// A document whose members are all the one array, which has itself as many.
    #[test]
    fn opening_is_bounded() {
        let inner = [&[2, 100, 0, 0x30, 1][..], &[4, 0, 0].repeat(100)].concat();
        let inner = [&inner[..3], &304u16.to_le_bytes(), &inner[5..]].concat();
        let head = 4 + 3 * 100u16;
        let size = head + u16::try_from(inner.len()).unwrap() - 1;
        let entry = [&[2][..], &head.to_le_bytes()].concat();
        let outer = [&[2, 100, 0][..], &size.to_le_bytes(), &entry.repeat(100), &inner[1..]].concat();
        let diffs: Vec<u8> = (0..100).flat_map(|index| replace(&format!("$[{index}][0]"), SEVEN)).collect();
        assert_eq!(text(&outer, &diffs[..0]).map(|text| text.len()), Err(Fault::Json(JsonFault::TooLong)));
        assert_eq!(text(&outer, &diffs), Err(Fault::Diff(DiffFault::Document(JsonFault::TooLong))));
    }

    #[test]
    fn depth_is_bounded() {
        let path = |legs: usize| format!("${}", "[0]".repeat(legs));
        let one = b"\x02\x01\0\x07\0\x04\0\0";
        let diffs: Vec<u8> = (1..80).flat_map(|legs| replace(&path(legs), one)).collect();
        let deep = text(one, &diffs).unwrap();
        assert_eq!(deep, format!("{}null{}", "[".repeat(80), "]".repeat(80)));
        let diffs: Vec<u8> = (1..=100)
            .flat_map(|legs| {
                let path = path(legs);
                [&[0, 0xfc][..], &u16::try_from(path.len()).unwrap().to_le_bytes(), path.as_bytes(), &[8], one].concat()
            })
            .collect();
        assert_eq!(text(one, &diffs), Err(Fault::Json(JsonFault::TooDeep)));
    }
}
