//! Whether ClickHouse's JSON keeps a document as it is, by MySQL's text of it.
//!
//! It holds an object as paths with values: what has no value has no path, and a dot in a name is one more step of it. So a
//! null member and an empty object within another would be gone, `{"a.b": 1}` would be `{"a": {"b": 1}}`, and what is
//! no object has no place at all. In arrays null and empty objects stay. The text is one that MySQL has printed, or that
//! `transcode::json` has, which is the same.

/// Whether nothing of the document would be lost.
pub(super) fn is_kept(text: &[u8]) -> bool {
    text.first() == Some(&b'{') && walk(text).is_some()
}

/// `None` at the first thing that would be lost.
fn walk(text: &[u8]) -> Option<()> {
    let (mut containers, mut is_name, mut rest) = (Vec::new(), false, text);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let is_member = containers.last() == Some(&b'{');
        match byte {
            b'"' => {
                let end = string_end(rest)?;
                let name = rest.get(..end)?;
                if is_name && (name.is_empty() || name.contains(&b'.')) {
                    return None;
                }
                rest = rest.get(end + 1..)?;
                is_name = false;
            }
            b'{' if is_member && rest.first() == Some(&b'}') => return None,
            b'{' | b'[' => {
                containers.push(byte);
                is_name = byte == b'{';
            }
            b'}' | b']' => drop(containers.pop()),
            b',' => is_name = is_member,
            // Of `null`; nothing else outside of strings has one.
            b'n' if is_member => return None,
            _ => {}
        }
    }
    Some(())
}

/// Where the quote is that ends a string.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept() {
        for text in [
            "{}",
            r#"{"a": 1}"#,
            r#"{"a": {"b": [null, {}, [null], {"c": true}]}, "d": "null. {}"}"#,
            r#"{"a\"": "\\", "b": "x\".y", "c": 1.5, "d": -1e-7, "e": false, "f": []}"#,
        ] {
            assert!(is_kept(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_not() {
        for text in [
            "",
            "null",
            "1",
            "\"{}\"",
            "[]",
            r#"[{"a": 1}]"#,
            r#"{"a": null}"#,
            r#"{"a": {"b": {}}}"#,
            r#"{"a": [{"b": null}]}"#,
            r#"{"a.b": 1}"#,
            r#"{"a": [1], "": 1}"#,
            r#"{"a": "x", "b": [[], {"c": 1, "d.": 2}]}"#,
            r#"{"a\\": null}"#,
        ] {
            assert!(!is_kept(text.as_bytes()), "{text}");
        }
    }
}
