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
                Node::Array(self.indexes(members)?.map(|index| element(members, index)).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                Node::Object(self.indexes(members)?.map(|index| member(members, index)).collect::<Result<_, _>>()?)
            }
            Value::Null | Value::Boolean(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_) => return Ok(()),
            Value::String(_) | Value::Opaque { .. } => return Ok(()),
        };
        Ok(())
    }

    fn indexes(&mut self, members: Container<'_>) -> Result<std::ops::Range<usize>, DiffFault> {
        self.members_left = self.members_left.checked_sub(members.len()).ok_or(JsonFault::TooLong)?;
        Ok(0..members.len())
    }
}

fn element<'a>(members: Container<'a>, index: usize) -> Result<Node<'a>, DiffFault> {
    Ok(Node::Value(members.value(index)?))
}

fn member<'a>(members: Container<'a>, index: usize) -> Result<(Cow<'a, [u8]>, Node<'a>), DiffFault> {
    Ok((Cow::Borrowed(members.key(index)?), element(members, index)?))
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
