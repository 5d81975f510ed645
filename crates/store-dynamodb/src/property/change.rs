//! How a change of a property becomes visible as a whole: in one transaction, or staged.

use std::{borrow::Cow, collections::BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use calmesh_app::{
    model::{Property, PropertyState},
    ports::{PropertyCommit, PropertyStore, StoreError},
};
use calmesh_calendar::{ConnectionId, PropertyId};

use crate::{
    DynamoStore, conflicts, connections, doc,
    item::{self, MarkState},
    journal::{self, Step},
    schema::{self, Key, attr},
    table::{CallError, Condition, Item, Range, TRANSACTION_ACTIONS, TRANSACTION_BYTES, Write},
};

/// What a commit makes of a head.
pub(super) struct HeadChange<'a> {
    pub(super) property: &'a Property,
    /// Of whose exports nothing is known any more.
    pub(super) forgotten: BTreeSet<&'a ConnectionId>,
}

impl HeadChange<'_> {
    /// The write that moves the head. It leaves what the head says of exports as it is, since `settle` writes that at the
    /// same revision.
    pub(super) fn write(&self, more: Vec<(String, AttributeValue)>, without: &[&str]) -> Result<Write, StoreError> {
        let property = self.property;
        let key = schema::property_head(&property.id);
        let mark = MarkState { dirty: property.dirty, wake_at: property.wake_at };
        let (mut set, mut remove) = mark.update(property.id.as_str());
        set.push((attr::DOC.to_owned(), item::bytes(doc::property::encode(property))));
        set.push((attr::REV.to_owned(), item::number(property.revision)));
        set.extend(more);
        if property.revision == 1 {
            let mut head = key.item();
            head.extend(set);
            return Ok(Write::put(head).when(Condition::absent()));
        }
        let exports: Vec<String> = self.forgotten.iter().map(|connection| schema::exported(connection)).collect();
        remove.extend_from_slice(without);
        let remove: Vec<&str> = remove.into_iter().chain(exports.iter().map(String::as_str)).collect();
        Ok(Write::set(key, set, &remove).when(follows(property.revision)))
    }
}

/// Where the location is among the writes that make a property: after the head and the check of the account.
pub(super) const LOCATION: usize = 2;

/// What goes into the transaction that makes a property. Its account must be there and not deleted (its mark says so),
/// so that no erasure is passed by. And where the property is can be told from the ids of all that will belong to it.
pub(super) fn beginning(property: &Property) -> Vec<Write> {
    if property.revision != 1 {
        return Vec::new();
    }
    let stands = Condition::new("attribute_exists(#pk) AND attribute_not_exists(#dirty_since)");
    let mut location = schema::location(property.id.as_str()).item();
    location.insert(attr::ACCOUNT.to_owned(), item::text(property.account.as_str()));
    location.insert(attr::PROPERTY.to_owned(), item::text(property.id.as_str()));
    vec![
        Write::Check { key: schema::account(&property.account), condition: stands },
        Write::put(location).when(Condition::absent()),
    ]
}

/// The stored head must be the one before this revision, with nothing left to roll forward.
fn follows(revision: u64) -> Condition {
    if revision == 1 {
        return Condition::absent();
    }
    Condition::new("#rev = :expected AND attribute_not_exists(#staged)")
        .with("expected", item::number(revision.saturating_sub(1)))
}

impl DynamoStore {
    /// Does in place what the head's staged items say, then lets go of them. Several may do so at once, and any
    /// may stop anywhere.
    pub(crate) async fn roll_forward(&self, id: &PropertyId, head: &Item) -> Result<(), StoreError> {
        let Some(attempt) = item::find_text(head, attr::STAGED) else { return Ok(()) };
        let revision: u64 = item::get_number(head, attr::REV)?;
        let range = Range::of(schema::property_partition(id), &schema::stages_of(revision, attempt));
        let (pages, _) = self.table.query(&range, None).await?;
        if pages.len() != item::get_number::<usize>(head, attr::STAGED_COUNT)? {
            // Somebody else has just finished it.
            return Ok(());
        }
        let mut steps = Vec::new();
        for page in &pages {
            steps.extend(journal::read_page(page)?);
        }
        // Each piece holds only while the head still names the attempt, so that one who was slow undoes nothing
        // of what came later.
        let still = || Condition::new("#staged = :attempt").with("attempt", item::text(attempt));
        let check = || Write::Check { key: schema::property_head(id), condition: still() };
        let mut writes = steps.iter().map(Step::to_write).peekable();
        while writes.peek().is_some() {
            let mut piece = vec![check()];
            let mut bytes = 0;
            while piece.len() < TRANSACTION_ACTIONS
                && let Some(write) =
                    writes.next_if(|write| piece.len() == 1 || bytes + write.bytes() <= TRANSACTION_BYTES)
            {
                bytes += write.bytes();
                piece.push(write);
            }
            match self.table.transact(piece).await {
                Ok(()) => {}
                Err(CallError::Refused(_)) => return Ok(()),
                Err(error) => return Err(error.or_stale()),
            }
        }
        let done = Write::set(schema::property_head(id), Vec::new(), &[attr::STAGED, attr::STAGED_COUNT]);
        match self.table.write(done.when(still())).await {
            Ok(_) => {}
            Err(CallError::Refused(_)) => return Ok(()),
            Err(error) => return Err(error.or_stale()),
        }
        let keys = pages.iter().map(|page| item::key_of(page).map(Write::delete)).collect::<Result<_, _>>()?;
        self.table.write_many(keys).await
    }

    /// What is there before a commit, where that says which items it writes.
    pub(super) async fn before<'a>(&self, commit: &'a PropertyCommit) -> Result<Cow<'a, PropertyState>, StoreError> {
        let known = commit.property.revision.checked_sub(1);
        let Some(expected) = known.filter(|at| *at > 0 && (connections::touches(commit) || conflicts::touches(commit)))
        else {
            return Ok(Cow::Owned(PropertyState::of(commit.property.clone())));
        };
        if let Some(base) = commit.base.as_ref().filter(|base| base.property.revision == expected) {
            return Ok(Cow::Borrowed(base));
        }
        match self.load(&commit.property.id).await? {
            Some(state) if state.property.revision == expected => Ok(Cow::Owned(state)),
            _ => Err(StoreError::Stale),
        }
    }

    pub(super) async fn commit_at_once(
        &self,
        head: Write,
        beginning: Vec<Write>,
        steps: Vec<Write>,
    ) -> Result<(), CallError> {
        let writes = std::iter::once(head).chain(beginning).chain(steps);
        self.table.transact(writes.collect()).await
    }

    pub(super) async fn commit_staged(
        &self,
        head: &HeadChange<'_>,
        attempt: &str,
        pages: Vec<String>,
    ) -> Result<(), CallError> {
        let property = head.property;
        let count = pages.len();
        let keys: Vec<Key> =
            (0..count).map(|nth| schema::stage(&property.id, property.revision, attempt, nth)).collect();
        let stages = keys.iter().zip(pages).map(|(key, page)| {
            let mut item = key.item();
            item.insert(attr::DOC.to_owned(), item::text(page));
            Write::put(item)
        });
        self.table.write_many(stages.collect()).await.map_err(CallError::Failed)?;
        let attempted =
            vec![(attr::STAGED.to_owned(), item::text(attempt)), (attr::STAGED_COUNT.to_owned(), item::number(count))];
        let write = head.write(attempted.clone(), &[attr::WROTE]).map_err(CallError::Failed)?;
        let beginning = beginning(property);
        let moved = if beginning.is_empty() {
            self.table.write(write).await.map(|_| ())
        } else {
            self.table.transact(std::iter::once(write).chain(beginning).collect()).await
        };
        match moved {
            Ok(()) => {}
            // The SDK asked again though the first time had done it.
            Err(error)
                if error.standing(0).and_then(|standing| item::find_text(standing, attr::STAGED)) == Some(attempt) => {}
            Err(CallError::Refused(refused)) => {
                let gone = keys.into_iter().map(Write::delete).collect();
                if let Err(error) = self.table.write_many(gone).await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "staged items are left to a reader");
                }
                return Err(CallError::Refused(refused));
            }
            Err(error) => return Err(error),
        }
        // From here on it is done; whoever comes next can finish the rest.
        let mut moved: Item = attempted.into_iter().collect();
        moved.insert(attr::REV.to_owned(), item::number(property.revision));
        if let Err(error) = self.roll_forward(&property.id, &moved).await {
            tracing::warn!(error = &error as &dyn std::error::Error, property.id = %property.id, "a staged change is left to the next writer");
        }
        Ok(())
    }
}
