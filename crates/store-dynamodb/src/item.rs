//! Reading and writing attributes of items.

use std::str::FromStr;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use calmesh_app::{model::Dirty, ports::StoreError};
use jiff::Timestamp;

use crate::{
    doc::Document,
    schema::{Key, attr, mark_partition, sortable},
    table::Item,
};

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn bytes(value: Vec<u8>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

pub(crate) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(crate) fn instant(at: Timestamp) -> AttributeValue {
    AttributeValue::S(sortable(at))
}

/// When an item may go: so many days after an instant, in epoch seconds.
pub(crate) fn expiry(at: Timestamp, days: i64) -> AttributeValue {
    number(at.as_second() + days * 24 * 60 * 60)
}

pub(crate) fn missing(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("the attribute {what} is missing or not of its kind") }
}

/// Under which key an item lies.
pub(crate) fn key_of(item: &Item) -> Result<Key, StoreError> {
    Ok(Key { pk: get_text(item, attr::PK)?.to_owned(), sk: get_text(item, attr::SK)?.to_owned() })
}

pub(crate) fn find_text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(crate) fn get_text<'a>(item: &'a Item, name: &str) -> Result<&'a str, StoreError> {
    find_text(item, name).ok_or_else(|| missing(name))
}

pub(crate) fn find_bytes<'a>(item: &'a Item, name: &str) -> Option<&'a [u8]> {
    item.get(name)?.as_b().ok().map(AsRef::as_ref)
}

pub(crate) fn get_bytes<'a>(item: &'a Item, name: &str) -> Result<&'a [u8], StoreError> {
    find_bytes(item, name).ok_or_else(|| missing(name))
}

pub(crate) fn get_number<T: FromStr>(item: &Item, name: &str) -> Result<T, StoreError> {
    let value = item.get(name).and_then(|value| value.as_n().ok());
    value.and_then(|value| value.parse().ok()).ok_or_else(|| missing(name))
}

pub(crate) fn find_instant(item: &Item, name: &str) -> Result<Option<Timestamp>, StoreError> {
    find_text(item, name).map(|text| text.parse().map_err(|_| missing(name))).transpose()
}

pub(crate) fn get_instant(item: &Item, name: &str) -> Result<Timestamp, StoreError> {
    find_instant(item, name)?.ok_or_else(|| missing(name))
}

pub(crate) fn document<T: Document>(item: &Item, name: &str) -> Result<T, StoreError> {
    T::decode(get_text(item, name)?)
}

/// The mark of a head: whether it is dirty, and when it must be looked at. A mark that says neither is no
/// attribute at all, which keeps the index sparse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MarkState {
    pub(crate) dirty: Option<Dirty>,
    pub(crate) wake_at: Option<Timestamp>,
}

/// Every attribute that a mark may have.
const MARK_ATTRIBUTES: [&str; 6] =
    [attr::DIRTY_SINCE, attr::ATTEMPTS, attr::ANNOUNCE_AT, attr::WAKE_AT, attr::MPK, attr::MSK];

impl MarkState {
    pub(crate) fn of(item: &Item) -> Result<Self, StoreError> {
        let dirty = match find_instant(item, attr::DIRTY_SINCE)? {
            None => None,
            Some(since) => Some(Dirty {
                since,
                attempts: get_number(item, attr::ATTEMPTS)?,
                announce_at: get_instant(item, attr::ANNOUNCE_AT)?,
            }),
        };
        Ok(Self { dirty, wake_at: find_instant(item, attr::WAKE_AT)? })
    }

    /// The attributes of this mark on the thing with this id.
    pub(crate) fn attributes(self, id: &str) -> Vec<(String, AttributeValue)> {
        let mut out = Vec::new();
        let mut add = |name: &str, value| out.push((name.to_owned(), value));
        if let Some(dirty) = self.dirty {
            add(attr::DIRTY_SINCE, instant(dirty.since));
            add(attr::ATTEMPTS, number(dirty.attempts));
            add(attr::ANNOUNCE_AT, instant(dirty.announce_at));
        }
        if let Some(wake_at) = self.wake_at {
            add(attr::WAKE_AT, instant(wake_at));
        }
        if let Some(at) = self.dirty.map(|dirty| dirty.announce_at).into_iter().chain(self.wake_at).min() {
            add(attr::MPK, text(mark_partition(id)));
            add(attr::MSK, instant(at));
        }
        out
    }

    /// What an update must set and remove so that the item carries this mark.
    pub(crate) fn update(self, id: &str) -> (Vec<(String, AttributeValue)>, Vec<&'static str>) {
        let set = self.attributes(id);
        let gone = MARK_ATTRIBUTES.into_iter().filter(|name| !set.iter().any(|(known, _)| known == name)).collect();
        (set, gone)
    }
}
