//! JSON as it was sent: a member that is there twice is refused, since one reader would take the first and another the
//! last (RFC 8259, section 4).

use std::{cell::RefCell, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is not JSON in UTF-8.
    NotJson { line: usize, column: usize },
    /// There is nothing, or nothing but white space.
    Empty,
    /// It ends before its JSON does.
    Unfinished,
    /// Arrays and objects lie too deep in each other.
    TooDeep,
    /// An object has a member of this name more than once.
    Twice(String),
}

/// Reads one JSON value, nothing after it.
///
/// # Errors
/// What is not JSON, and a member that is there twice.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Unread> {
    let twice = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Once(&twice).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    value.map_err(|error| match twice.take() {
        Some(name) => Unread::Twice(name),
        None if bytes.iter().all(u8::is_ascii_whitespace) => Unread::Empty,
        None if error.is_eof() => Unread::Unfinished,
        None if goes_too_deep(bytes) => Unread::TooDeep,
        None => Unread::NotJson { line: error.line(), column: error.column() },
    })
}

/// So many arrays and objects may lie in each other.
pub(crate) const DEPTH_MOST: usize = 127;

/// Whether more arrays and objects are open at some place of a text than the reader goes into.
fn goes_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MOST {
            return true;
        }
    }
    false
}

/// A value in which every member is there once; notes the first that is not.
#[derive(Clone, Copy)]
struct Once<'a>(&'a RefCell<Option<String>>);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if all.contains_key(&name) {
                self.0.replace(Some(name));
                return Err(A::Error::custom("a member is there twice"));
            }
            all.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_reads_as_ever() {
        for text in
            ["null", "true", "-1", "18446744073709551615", "1.5e3", "\"ä\\n\"", "[1, [], {}]", "{\"a\": {\"a\": 1}}"]
        {
            assert_eq!(read(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap(), "{text}");
        }
    }

    #[test]
    fn a_member_that_is_there_twice_is_named_wherever_it_is() {
        for text in ["{\"a\": 1, \"a\": 1}", "[{\"b\": {\"a\": 1, \"\\u0061\": 2}}]", "{\"b\": 1, \"a\": [], \"a\": {"]
        {
            assert!(matches!(read(text.as_bytes()), Err(Unread::Twice(name)) if name == "a"), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_named_by_its_place() {
        for text in ["{} x", "\u{feff}{}", "[1, }"] {
            assert!(matches!(read(text.as_bytes()), Err(Unread::NotJson { .. })), "{text}");
        }
    }

    #[test]
    fn what_is_empty_ends_early_or_is_too_deep_is_told_apart() {
        assert!(matches!(read(b""), Err(Unread::Empty)) && matches!(read(b" \r\n"), Err(Unread::Empty)));
        for text in ["{", "{\"a\": [1", "\"a"] {
            assert!(matches!(read(text.as_bytes()), Err(Unread::Unfinished)), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(nested(DEPTH_MOST).as_bytes()).is_ok());
        assert!(matches!(read(nested(DEPTH_MOST + 1).as_bytes()), Err(Unread::TooDeep)));
        assert!(matches!(read("[".repeat(100_000).as_bytes()), Err(Unread::TooDeep)));
        assert!(matches!(read(format!("[\"{}\" 1]", "[".repeat(200)).as_bytes()), Err(Unread::NotJson { .. })));
    }
}
