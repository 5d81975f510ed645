//! A change of a property as a list of steps, each idempotent, that can be done in one transaction, laid over what
//! was read, or written down and done later.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{LinkOwner, SecretHash},
    ports::StoreError,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    doc::Document,
    item,
    schema::{self, Key, attr},
    table::{Item, Write},
};

/// How long the past is kept: closed holds, closed conflicts, activity, and with it what changes replaced.
const KEPT_DAYS: i64 = 90;
const DAY: i64 = 86_400;
/// An item takes 400 KB; a journal page stays well below.
const PAGE_BYTES: usize = 300_000;

/// The value of an attribute that a step writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    S(String),
    N(String),
    /// In a staged item as hexadecimal digits.
    B(#[serde(with = "hex")] Vec<u8>),
}

/// One write of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The item has these attributes and no others.
    Put {
        pk: String,
        sk: String,
        attributes: BTreeMap<String, Value>,
    },
    /// The item has these attributes and not those; others stay.
    Set {
        pk: String,
        sk: String,
        attributes: BTreeMap<String, Value>,
        remove: Vec<String>,
    },
    Delete {
        pk: String,
        sk: String,
    },
}

/// What a transaction wrote into the property's partition, so that a reader knows whether it sees all of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Wrote {
    pub(crate) put: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl From<Value> for AttributeValue {
    fn from(value: Value) -> Self {
        match value {
            Value::S(text) => Self::S(text),
            Value::N(number) => Self::N(number),
            Value::B(bytes) => item::bytes(bytes),
        }
    }
}

impl Step {
    pub(crate) fn place(&self) -> (&str, &str) {
        match self {
            Self::Put { pk, sk, .. } | Self::Set { pk, sk, .. } | Self::Delete { pk, sk } => (pk, sk),
        }
    }

    pub(crate) fn put(key: Key, attributes: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        Self::Put { pk: key.pk, sk: key.sk, attributes: named(attributes) }
    }

    pub(crate) fn set(
        key: Key,
        attributes: impl IntoIterator<Item = (&'static str, Value)>,
        remove: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let remove = remove.into_iter().map(str::to_owned).collect();
        Self::Set { pk: key.pk, sk: key.sk, attributes: named(attributes), remove }
    }

    pub(crate) fn delete(key: Key) -> Self {
        Self::Delete { pk: key.pk, sk: key.sk }
    }

    /// The same, of an item that does not have this attribute any more.
    pub(crate) fn removing(mut self, name: &str) -> Self {
        if let Self::Set { remove, .. } = &mut self {
            remove.push(name.to_owned());
        }
        self
    }

    /// Roughly the bytes that DynamoDB counts.
    pub(crate) fn bytes(&self) -> usize {
        let (pk, sk) = self.place();
        let attributes = match self {
            Self::Put { attributes, .. } | Self::Set { attributes, .. } => attributes,
            Self::Delete { .. } => return 200,
        };
        let value = |value: &Value| match value {
            Value::S(text) | Value::N(text) => text.len(),
            Value::B(bytes) => bytes.len(),
        };
        pk.len() + sk.len() + attributes.iter().map(|(name, told)| name.len() + value(told)).sum::<usize>()
    }

    pub(crate) fn to_write(&self) -> Write {
        match self.clone() {
            Self::Put { pk, sk, attributes } => {
                let mut item = Key { pk, sk }.item();
                item.extend(attributes.into_iter().map(|(name, value)| (name, value.into())));
                Write::put(item)
            }
            Self::Set { pk, sk, attributes, remove } => {
                let set = attributes.into_iter().map(|(name, value)| (name, value.into())).collect();
                let remove: Vec<&str> = remove.iter().map(String::as_str).collect();
                Write::set(Key { pk, sk }, set, &remove)
            }
            Self::Delete { pk, sk } => Write::delete(Key { pk, sk }),
        }
    }

    /// Does to items that were read what the step would do in the table.
    pub(crate) fn overlay(self, items: &mut BTreeMap<String, Item>) {
        match self {
            Self::Put { pk, sk, attributes } => {
                let mut item = Key { pk, sk: sk.clone() }.item();
                item.extend(attributes.into_iter().map(|(name, value)| (name, value.into())));
                items.insert(sk, item);
            }
            Self::Set { pk, sk, attributes, remove } => {
                let item = items.entry(sk.clone()).or_insert_with(|| Key { pk, sk }.item());
                item.extend(attributes.into_iter().map(|(name, value)| (name, value.into())));
                item.retain(|name, _| !remove.contains(name));
            }
            Self::Delete { sk, .. } => {
                items.remove(&sk);
            }
        }
    }
}

fn named(attributes: impl IntoIterator<Item = (&'static str, Value)>) -> BTreeMap<String, Value> {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(crate) fn encoded<T: Document>(record: &T) -> Result<Value, StoreError> {
    record.encode().map(Value::S)
}

/// When what is kept of the past goes.
pub(crate) fn kept_until(from: Timestamp) -> Value {
    Value::N((from.as_second() + KEPT_DAYS * DAY).to_string())
}

/// Says whose a token is; its reads stay.
pub(crate) fn own(token: SecretHash, owner: &LinkOwner) -> Result<Step, StoreError> {
    Ok(Step::set(schema::owner(&token), [(attr::DOC, encoded(owner)?)], []))
}

/// What these steps put and remove in a partition.
pub(crate) fn wrote(steps: &[Step], partition: &str) -> Wrote {
    let mut wrote = Wrote::default();
    for step in steps {
        let (pk, sk) = step.place();
        if pk == partition {
            match step {
                Step::Delete { .. } => wrote.removed.push(sk.to_owned()),
                Step::Put { .. } | Step::Set { .. } => wrote.put.push(sk.to_owned()),
            }
        }
    }
    wrote
}

/// Steps as journal pages, each small enough for an item.
pub(crate) fn pages(steps: &[Step]) -> Result<Vec<String>, StoreError> {
    let unwritable = |_| StoreError::Corrupt { what: "a step can't be written".to_owned() };
    let lines = steps.iter().map(|step| serde_json::to_string(step).map_err(unwritable));
    let pages = paged(lines.collect::<Result<Vec<_>, _>>()?, PAGE_BYTES);
    Ok(pages.into_iter().map(|page| with_form(&page)).collect())
}

/// What the first line of a page of lines says. A form that an earlier version could not read whole has another one.
const FORM: &str = "1";

/// A page of lines as it is stored.
pub(crate) fn with_form(page: &str) -> String {
    format!("{FORM}\n{page}")
}

/// The lines of a page of `what`, if it is of the form that is known here.
pub(crate) fn lines_of<'a>(item: &'a Item, what: &str) -> Result<std::str::Lines<'a>, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: format!("{what}{why}") };
    let page = item::get_text(item, attr::DOC)?;
    match page.split_once('\n') {
        Some((FORM, lines)) => Ok(lines.lines()),
        // No more than a number is ever told of what can't be read.
        Some((form, _)) => Err(corrupt(match form.parse::<u32>() {
            Ok(form) => format!(": version {form} is not known here"),
            Err(_) => String::new(),
        })),
        None => Err(corrupt(String::new())),
    }
}

/// Lines as pages of so many bytes each, or of one line that is longer.
pub(crate) fn paged(lines: Vec<String>, bytes: usize) -> Vec<String> {
    let mut pages = Vec::new();
    let mut page = String::new();
    for line in lines {
        if !page.is_empty() && page.len() + line.len() > bytes {
            pages.push(std::mem::take(&mut page));
        }
        if !page.is_empty() {
            page.push('\n');
        }
        page.push_str(&line);
    }
    pages.push(page);
    pages
}

/// The steps of a journal page.
pub(crate) fn read_page(item: &Item) -> Result<Vec<Step>, StoreError> {
    const WHAT: &str = "a page of a property's journal";
    let unreadable = |_| StoreError::Corrupt { what: WHAT.to_owned() };
    lines_of(item, WHAT)?.map(|line| serde_json::from_str(line).map_err(unreadable)).collect()
}
