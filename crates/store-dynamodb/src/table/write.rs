//! One write, as text and values: what it sets, its condition, and as an action of a transaction.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    error::BuildError,
    types::{
        AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    },
};

use crate::schema::{Item, Key, attr};

/// Gives any of the SDK's builders of a write its condition; the builders have no common trait.
macro_rules! conditioned {
    ($call:expr, $expressions:expr) => {{
        let Expressions { condition, names, values } = $expressions;
        $call
            .set_condition_expression(condition)
            .set_expression_attribute_names(names)
            .set_expression_attribute_values(values)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }};
}

pub(super) use conditioned;

/// A condition: names are written `#name`, values `:name`.
#[derive(Debug, Clone)]
pub(crate) struct Condition {
    pub(crate) text: String,
    pub(crate) values: Vec<(&'static str, AttributeValue)>,
}

impl Condition {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.values.push((name, value));
        self
    }

    pub(crate) fn absent() -> Self {
        Self::new("attribute_not_exists(#pk)")
    }

    pub(crate) fn present() -> Self {
        Self::new("attribute_exists(#pk)")
    }
}

/// One write. In an update's text, names are written `#name`, values `:name`.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Put { item: Item, condition: Option<Condition> },
    Update { key: Key, text: String, values: Vec<(String, AttributeValue)>, condition: Option<Condition> },
    Delete { key: Key, condition: Option<Condition> },
    Check { key: Key, condition: Condition },
}

impl Write {
    pub(crate) fn put(item: Item) -> Self {
        Self::Put { item, condition: None }
    }

    pub(crate) fn delete(key: Key) -> Self {
        Self::Delete { key, condition: None }
    }

    pub(crate) fn when(self, wanted: Condition) -> Self {
        match self {
            Self::Put { item, .. } => Self::Put { item, condition: Some(wanted) },
            Self::Update { key, text, values, .. } => Self::Update { key, text, values, condition: Some(wanted) },
            Self::Delete { key, .. } => Self::Delete { key, condition: Some(wanted) },
            Self::Check { key, .. } => Self::Check { key, condition: wanted },
        }
    }

    /// Sets some attributes and removes others.
    pub(crate) fn set(key: Key, set: Vec<(String, AttributeValue)>, remove: &[&str]) -> Self {
        let mut text = String::new();
        let mut values = Vec::with_capacity(set.len());
        for (nth, (name, value)) in set.into_iter().enumerate() {
            text.push_str(if nth == 0 { "SET " } else { ", " });
            text.push_str(&format!("#{name} = :set_{name}"));
            values.push((format!("set_{name}"), value));
        }
        for (nth, name) in remove.iter().enumerate() {
            text.push_str(if nth == 0 { " REMOVE " } else { ", " });
            text.push_str(&format!("#{name}"));
        }
        Self::Update { key, text, values, condition: None }
    }

    pub(super) fn key(&self) -> Option<Key> {
        match self {
            Self::Put { item, .. } => {
                let text = |name: &str| item.get(name)?.as_s().ok().cloned();
                Some(Key { pk: text(attr::PK)?, sk: text(attr::SK)? })
            }
            Self::Update { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => Some(key.clone()),
        }
    }

    /// Roughly the bytes that DynamoDB counts.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put { item, .. } => item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum(),
            Self::Update { values, text, .. } => {
                text.len() + values.iter().map(|(_, value)| value_bytes(value)).sum::<usize>()
            }
            Self::Delete { .. } | Self::Check { .. } => 200,
        }
    }

    pub(super) fn into_action(self, table: &str) -> Result<TransactWriteItem, BuildError> {
        let action = TransactWriteItem::builder();
        let action = match self {
            Self::Put { item, condition } => {
                let put = Put::builder().table_name(table).set_item(Some(item));
                action.put(conditioned!(put, Expressions::of(condition)).build()?)
            }
            Self::Update { key, text, values, condition } => {
                let update = Update::builder().table_name(table).set_key(Some(key.item())).update_expression(&text);
                action.update(conditioned!(update, Expressions::new(&text, values, condition)).build()?)
            }
            Self::Delete { key, condition } => {
                let delete = Delete::builder().table_name(table).set_key(Some(key.item()));
                action.delete(conditioned!(delete, Expressions::of(condition)).build()?)
            }
            Self::Check { key, condition } => {
                let check = ConditionCheck::builder().table_name(table).set_key(Some(key.item()));
                action.condition_check(conditioned!(check, Expressions::of(Some(condition))).build()?)
            }
        };
        Ok(action.build())
    }
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) | AttributeValue::N(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        _ => 8,
    }
}

#[derive(Clone)]
pub(super) struct Expressions {
    pub(super) condition: Option<String>,
    pub(super) names: Option<HashMap<String, String>>,
    pub(super) values: Option<HashMap<String, AttributeValue>>,
}

impl Expressions {
    pub(super) fn of(condition: Option<Condition>) -> Self {
        Self::new("", Vec::new(), condition)
    }

    pub(super) fn new(update: &str, values: Vec<(String, AttributeValue)>, condition: Option<Condition>) -> Self {
        let mut all: HashMap<String, AttributeValue> =
            values.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        let condition = condition.map(|condition| {
            all.extend(condition.values.into_iter().map(|(name, value)| (format!(":{name}"), value)));
            condition.text
        });
        let mut names: HashMap<String, String> = names_in(update).collect();
        names.extend(condition.iter().flat_map(|text| names_in(text)));
        Self { condition, names: (!names.is_empty()).then_some(names), values: (!all.is_empty()).then_some(all) }
    }
}

/// Every name is written with a placeholder, since DynamoDB reserves hundreds of words.
fn names_in(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('#').skip(1).map(|rest| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        (format!("#{name}"), name)
    })
}

/// What is written of each item when one call takes an item once: the last word on it, in the order of these.
pub(crate) fn last_of_each<T, K: Ord>(writes: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<T> = writes.into_iter().rev().filter(|write| seen.insert(key(write))).collect();
    last.reverse();
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_writes_of_an_item_the_last_one_counts() {
        let writes = vec![("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("a", 6)];
        assert_eq!(last_of_each(writes, |(item, _)| *item), [("c", 4), ("b", 5), ("a", 6)]);
        assert!(last_of_each(Vec::<(&str, u8)>::new(), |(item, _)| *item).is_empty());
    }

    #[test]
    fn every_name_of_an_expression_gets_a_placeholder() {
        let names: HashMap<String, String> = names_in("SET #ttl = :t, #doc=:d REMOVE #until").collect();
        assert_eq!(names.len(), 3);
        assert_eq!(names["#ttl"], "ttl");
        assert_eq!(names["#until"], "until");
    }
}
