//! MySQL's binary JSON, walked in place: a document is a [`Value`] whose members are read when they are asked for.
//!
//! Format (`sql-common/json_binary.h`): a type byte, then the value. Objects and arrays begin with the number of their
//! members and their size in bytes, then come the offsets and lengths of the keys, then a type and an offset for each
//! value; offsets count from the container's start and are 2 bytes wide, in large containers 4. Values that fit into
//! their offset's place stand there. Updates in place leave holes: only offsets tell where a member is, never an order.
//!
//! Every offset is checked against its container, and a member lies behind its container's head, so each step down gets
//! fewer bytes. Members may overlap in a hostile document: who walks it bounds the depth and what is written. Pure.

/// The deepest nesting of a document (`JSON_DOCUMENT_MAX_DEPTH`).
pub const DEPTH_MAX: usize = 100;

/// Why bytes are no JSON document. Small and copied: the text is made only when it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFault {
    /// They end inside a value.
    Truncated,
    /// A member's offset lies outside its container.
    BadOffset,
    /// A type, or a literal, that is not known.
    UnknownType,
    /// Nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Members overlap: the text would be longer than that of any document of this size.
    TooLong,
    /// A number, date or time whose bytes are none.
    BadValue,
}

impl JsonFault {
    /// What is wrong, as the end of a sentence about the document.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Truncated => "it ends inside a value",
            Self::BadOffset => "an offset points outside its array or object",
            Self::UnknownType => "a value is of an unknown type",
            Self::TooDeep => "it is nested deeper than 100 levels",
            Self::TooLong => "its members overlap",
            Self::BadValue => "a number, date or time in it is none",
        }
    }
}

/// A value in a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// null.
    Null,
    /// true, false.
    Boolean(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    Uint(u64),
    /// A double.
    Double(f64),
    /// Text in utf8mb4.
    String(&'a [u8]),
    /// A value of another type of MySQL: its type code (`enum_field_types`) and bytes.
    Opaque { type_code: u8, bytes: &'a [u8] },
    /// An array.
    Array(Container<'a>),
    /// An object, its keys sorted by length, then by bytes.
    Object(Container<'a>),
}

/// The type bytes of values.
mod code {
    pub const SMALL_OBJECT: u8 = 0;
    pub const LARGE_OBJECT: u8 = 1;
    pub const SMALL_ARRAY: u8 = 2;
    pub const LARGE_ARRAY: u8 = 3;
    pub const LITERAL: u8 = 4;
    pub const INT16: u8 = 5;
    pub const UINT16: u8 = 6;
    pub const INT32: u8 = 7;
    pub const UINT32: u8 = 8;
    pub const INT64: u8 = 9;
    pub const UINT64: u8 = 10;
    pub const DOUBLE: u8 = 11;
    pub const STRING: u8 = 12;
    pub const OPAQUE: u8 = 15;
}

impl<'a> Value<'a> {
    /// The document in `bytes`. No bytes are JSON null: so is a NOT NULL column that was never given a value.
    ///
    /// # Errors
    /// When the bytes are no document; its members are not looked at yet.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, JsonFault> {
        match bytes.split_first() {
            Some((&code, value)) => Self::of_type(code, value),
            None => Ok(Self::Null),
        }
    }

    #[inline(always)]
    fn of_type(code: u8, mut bytes: &'a [u8]) -> Result<Self, JsonFault> {
        Ok(match code {
            code::SMALL_OBJECT | code::LARGE_OBJECT => {
                Self::Object(Container::parse(bytes, code == code::LARGE_OBJECT, true)?)
            }
            code::SMALL_ARRAY | code::LARGE_ARRAY => {
                Self::Array(Container::parse(bytes, code == code::LARGE_ARRAY, false)?)
            }
            code::LITERAL => literal(array(bytes)?)?,
            code::INT16 => Self::Int(i16::from_le_bytes(array(bytes)?).into()),
            code::UINT16 => Self::Uint(u16::from_le_bytes(array(bytes)?).into()),
            code::INT32 => Self::Int(i32::from_le_bytes(array(bytes)?).into()),
            code::UINT32 => Self::Uint(u32::from_le_bytes(array(bytes)?).into()),
            code::INT64 => Self::Int(i64::from_le_bytes(array(bytes)?)),
            code::UINT64 => Self::Uint(u64::from_le_bytes(array(bytes)?)),
            code::DOUBLE => Self::Double(f64::from_le_bytes(array(bytes)?)),
            code::STRING => Self::String(counted(&mut bytes)?),
            code::OPAQUE => {
                let (&type_code, mut rest) = bytes.split_first().ok_or(JsonFault::Truncated)?;
                Self::Opaque { type_code, bytes: counted(&mut rest)? }
            }
            _ => return Err(JsonFault::UnknownType),
        })
    }
}

/// Bytes of an entry: an offset, and the length of the key in 2 bytes.
const SMALL_KEY_BYTES: usize = 4;
const LARGE_KEY_BYTES: usize = 6;
/// Bytes of an entry: a type, and an offset or the value.
const SMALL_VALUE_BYTES: usize = 3;
const LARGE_VALUE_BYTES: usize = 5;

/// An array or an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container<'a> {
    /// From the count to the end, which offsets count on.
    bytes: &'a [u8],
    /// The entries of an object's keys.
    keys: &'a [u8],
    /// The entries of the values.
    values: &'a [u8],
    is_large: bool,
}

impl<'a> Container<'a> {
    #[inline]
    fn parse(bytes: &'a [u8], is_large: bool, is_object: bool) -> Result<Self, JsonFault> {
        let mut head = bytes;
        let (count, size) = (offset(&mut head, is_large)?, offset(&mut head, is_large)?);
        let (key_bytes, value_bytes) =
            if is_large { (LARGE_KEY_BYTES, LARGE_VALUE_BYTES) } else { (SMALL_KEY_BYTES, SMALL_VALUE_BYTES) };
        // No overflow: less than 2^32 members.
        let keys_bytes = if is_object { count * key_bytes } else { 0 };
        let (keys, values) = head.split_at_checked(keys_bytes).ok_or(JsonFault::Truncated)?;
        let values = values.get(..count * value_bytes).ok_or(JsonFault::Truncated)?;
        let container = Self { bytes: bytes.get(..size).ok_or(JsonFault::Truncated)?, keys, values, is_large };
        if container.head_bytes() <= size { Ok(container) } else { Err(JsonFault::Truncated) }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.values.len() / if self.is_large { LARGE_VALUE_BYTES } else { SMALL_VALUE_BYTES }
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Gives each member in order to `member`: its key, if this is an object, and its value.
    ///
    /// # Errors
    /// What `member` returns, and what is wrong with a member.
    #[inline(always)]
    pub fn each<E: From<JsonFault>>(
        &self,
        member: impl FnMut(Option<&'a [u8]>, Value<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.is_large {
            self.each_of::<LARGE_KEY_BYTES, LARGE_VALUE_BYTES, E>(member)
        } else {
            self.each_of::<SMALL_KEY_BYTES, SMALL_VALUE_BYTES, E>(member)
        }
    }

    /// As [`Container::each`], with the bytes that one entry of a key and of a value take.
    #[inline(always)]
    fn each_of<const KEY: usize, const VALUE: usize, E: From<JsonFault>>(
        &self,
        mut member: impl FnMut(Option<&'a [u8]>, Value<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut keys = self.keys.as_chunks::<KEY>().0.iter();
        for value in self.values.as_chunks::<VALUE>().0 {
            let key = keys.next().map(|entry| self.key(entry)).transpose()?;
            member(key, self.value(value)?)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn key<const N: usize>(&self, entry: &[u8; N]) -> Result<&'a [u8], JsonFault> {
        let (offset, length) = entry.split_last_chunk().ok_or(JsonFault::Truncated)?;
        self.member(offset)?.get(..u16::from_le_bytes(*length).into()).ok_or(JsonFault::Truncated)
    }

    #[inline(always)]
    fn value<const N: usize>(&self, entry: &'a [u8; N]) -> Result<Value<'a>, JsonFault> {
        let (&code, place) = entry.split_first().ok_or(JsonFault::Truncated)?;
        match code {
            code::LITERAL | code::INT16 | code::UINT16 => Value::of_type(code, place),
            code::INT32 | code::UINT32 if N == LARGE_VALUE_BYTES => Value::of_type(code, place),
            _ => Value::of_type(code, self.member(place)?),
        }
    }

    /// What begins at an offset, which must lie behind the head.
    #[inline(always)]
    fn member(&self, offset: &[u8]) -> Result<&'a [u8], JsonFault> {
        let offset = offset.iter().rev().fold(0, |offset, &byte| offset << 8 | usize::from(byte));
        if offset < self.head_bytes() {
            return Err(JsonFault::BadOffset);
        }
        self.bytes.get(offset..).ok_or(JsonFault::BadOffset)
    }

    /// Bytes of the count, the size and all entries.
    #[inline]
    fn head_bytes(&self) -> usize {
        self.keys.len() + self.values.len() + if self.is_large { 8 } else { 4 }
    }
}

fn literal([value]: [u8; 1]) -> Result<Value<'static>, JsonFault> {
    match value {
        0 => Ok(Value::Null),
        1 => Ok(Value::Boolean(true)),
        2 => Ok(Value::Boolean(false)),
        _ => Err(JsonFault::UnknownType),
    }
}

/// The number at the front.
#[inline]
fn offset(bytes: &mut &[u8], is_large: bool) -> Result<usize, JsonFault> {
    Ok(if is_large { u32::from_le_bytes(front(bytes)?) as usize } else { u16::from_le_bytes(front(bytes)?).into() })
}

#[inline]
fn front<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], JsonFault> {
    let (front, rest) = bytes.split_first_chunk::<N>().ok_or(JsonFault::Truncated)?;
    *bytes = rest;
    Ok(*front)
}

#[inline]
fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], JsonFault> {
    bytes.first_chunk::<N>().copied().ok_or(JsonFault::Truncated)
}

/// As many bytes as a length of 1..=5 bytes says, 7 bits in each, the lowest first; the high bit says that more follow.
#[inline]
fn counted<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], JsonFault> {
    let mut length = 0u64;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first().ok_or(JsonFault::Truncated)?;
        *bytes = rest;
        length |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let length = usize::try_from(length).map_err(|_| JsonFault::Truncated)?;
            return bytes.get(..length).ok_or(JsonFault::Truncated);
        }
    }
    Err(JsonFault::BadValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": 1, "bb": "xy"}` as the server writes it.
    const OBJECT: &[u8] = b"\0\x02\0\x18\0\x12\0\x01\0\x13\0\x02\0\x05\x01\0\x0c\x15\0abb\x02xy";

    type Members<'a> = Vec<(Option<&'a [u8]>, Value<'a>)>;

    fn members(bytes: &[u8]) -> Result<Members<'_>, JsonFault> {
        let (Value::Object(container) | Value::Array(container)) = Value::parse(bytes)? else { panic!("{bytes:?}") };
        let mut members = Vec::new();
        container.each(|key, value| {
            members.push((key, value));
            Ok::<(), JsonFault>(())
        })?;
        assert_eq!((members.len(), members.is_empty()), (container.len(), container.is_empty()));
        Ok(members)
    }

    #[test]
    fn objects() {
        let expected = vec![(Some(&b"a"[..]), Value::Int(1)), (Some(&b"bb"[..]), Value::String(b"xy"))];
        assert_eq!(members(OBJECT), Ok(expected));
    }

    #[test]
    fn large_arrays_inline_32_bits() {
        let bytes = b"\x03\x02\0\0\0\x12\0\0\0\x07\xff\xff\xff\xff\x08\xff\xff\xff\xff";
        assert_eq!(members(bytes), Ok(vec![(None, Value::Int(-1)), (None, Value::Uint(0xffff_ffff))]), "without keys");
    }

    #[test]
    fn scalars() {
        let check = |bytes: &[u8], expected| assert_eq!(Value::parse(bytes), expected);
        check(b"", Ok(Value::Null));
        check(b"\x04\0", Ok(Value::Null));
        check(b"\x04\x01", Ok(Value::Boolean(true)));
        check(b"\x04\x03", Err(JsonFault::UnknownType));
        check(b"\x0b\0\0\0\0\0\0\xf8\x3f", Ok(Value::Double(1.5)));
        check(b"\x0f\x10\x02\0\x05", Ok(Value::Opaque { type_code: 16, bytes: &[0, 5] }));
        check(b"\x0d", Err(JsonFault::UnknownType));
        check(b"\x0c\x80\x80\x80\x80\x80\0", Err(JsonFault::BadValue));
        check(b"\x0c\xff\xff\xff\xff\x0f", Err(JsonFault::Truncated));
        let long = [&b"\x0c\xac\x02"[..], &[b'x'; 300]].concat();
        check(&long, Ok(Value::String(&[b'x'; 300])));
    }

    #[test]
    fn offsets_stay_inside_their_container() {
        let broken = |at: usize, byte: u8| {
            let mut bytes = OBJECT.to_vec();
            bytes[at] = byte;
            bytes
        };
        assert_eq!(members(&broken(5, 0x11)), Err(JsonFault::BadOffset), "a key in the head");
        assert_eq!(members(&broken(7, 7)), Err(JsonFault::Truncated));
        assert_eq!(members(&broken(17, 0)), Err(JsonFault::BadOffset), "a value that holds itself");
        assert_eq!(members(&broken(17, 0x19)), Err(JsonFault::BadOffset));
        assert_eq!(Value::parse(&broken(1, 0xff)), Err(JsonFault::Truncated), "more members than bytes");
        assert_eq!(Value::parse(&broken(3, 0xff)), Err(JsonFault::Truncated), "larger than the document");
        for end in 1..OBJECT.len() {
            assert_eq!(Value::parse(&OBJECT[..end]), Err(JsonFault::Truncated), "{end}");
        }
    }
}
