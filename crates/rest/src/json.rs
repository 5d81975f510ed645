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
        None => Unread::NotJson { line: error.line(), column: error.column() },
    })
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
        for text in ["", "{", "{} x", "\u{feff}{}", &"[".repeat(100_000)] {
            assert!(matches!(read(text.as_bytes()), Err(Unread::NotJson { .. })));
        }
    }
}
