//! One feed in two properties of an account: told of both, since most likely one of them got the other's link.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{PropertyId, ReadWarning};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    changes::naming::all_in_words,
    desk::{Desk, reach::Reach},
    model::{Connection, PropertyState, SecretHash},
    ports::StoreError,
};

/// So many of them are named.
const NAMED_MOST: usize = 3;
/// So many properties are looked up at the same time.
const PROPERTIES_AT_ONCE: usize = 16;

/// By the mark of a feed, the other properties that read it.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(BTreeMap<SecretHash, Others>);

#[derive(Debug, Default)]
struct Others {
    /// Names of those that the caller sees.
    named: Vec<String>,
    /// There are some that are not named.
    more: bool,
}

impl Desk {
    /// Which other properties of the account read what these connections of one property read.
    pub(crate) async fn read_elsewhere(
        &self,
        reach: &Reach,
        state: &PropertyState,
        connections: &[&Connection],
    ) -> Result<Elsewhere, StoreError> {
        let marks: BTreeSet<SecretHash> = connections.iter().filter_map(|connection| mark_of(connection)).collect();
        if marks.is_empty() {
            return Ok(Elsewhere::default());
        }
        let own = &state.property;
        // One of each feed is this property's own.
        let readers = self.properties.feed_readers(&own.account, &marks, NAMED_MOST + 2).await?;
        let others: Vec<(SecretHash, PropertyId)> = readers
            .into_iter()
            .filter(|reader| reader.property != own.id)
            .map(|reader| (reader.mark, reader.property))
            .collect();
        let found = stream::iter(others)
            .map(|(mark, id)| async move { Ok::<_, StoreError>((mark, self.properties.property(&id).await?)) });
        let found: Vec<_> = found.buffered(PROPERTIES_AT_ONCE).try_collect().await?;
        let mut elsewhere: BTreeMap<SecretHash, Others> = BTreeMap::new();
        for (mark, property) in found {
            let Some(property) = property.filter(|property| property.deleted_at.is_none()) else { continue };
            let others = elsewhere.entry(mark).or_default();
            if reach.shows(&property) && others.named.len() < NAMED_MOST {
                others.named.push(property.name);
            } else {
                others.more = true;
            }
        }
        Ok(Elsewhere(elsewhere))
    }
}

fn mark_of(connection: &Connection) -> Option<SecretHash> {
    Some(connection.import.as_ref()?.url.mark(&connection.account))
}

impl Elsewhere {
    /// As a warning of a connection.
    pub(crate) fn about(&self, connection: &Connection) -> Option<ReadWarning> {
        let others = self.0.get(&mark_of(connection)?)?;
        let named = others.named.iter().map(|name| format!("\u{201c}{name}\u{201d}"));
        let more = others.more.then(|| if others.named.is_empty() { "another property" } else { "others" }.to_owned());
        let all: Vec<String> = named.chain(more).collect();
        let others = all_in_words(&all)?;
        let detail = format!(
            "The same calendar link is read in {others} too, so a booking in it blocks there as well. Each listing has a \
             link of its own: if one of them was pasted into the wrong property, give that connection the right one."
        );
        Some(ReadWarning { line: None, uid: None, detail, unread: false })
    }
}
