//! What every change of a property leads to, whoever makes it: its claims are weighed, sites are asked, conflicts open
//! and close. `change` does this once for every decision, so that no use case can forget it.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_calendar::{
    Block, BlockId, Change, Conflicts, ConnectionId, HoldId, House, LinkFacts, Nights, Origin, Picture, Sign, Source,
    Weighed, conflicts, weigh,
};
use jiff::Timestamp;

use crate::{
    changes::{Changes, draft::Draft, extensions::tell_of_extensions, holds::end_hold},
    limits::RUNS_TOLD,
    model::{Activity, ActivityKind, ConflictRecord, Connection, PropertyState, ReadTimes, RetiringServes, SecretHash},
    ports::StoreError,
};

/// When links were read, as far as it was asked of the store for one change: decisions that are made at the same time see
/// the same.
#[derive(Debug)]
pub(crate) struct KnownReads {
    by_token: BTreeMap<SecretHash, ReadTimes>,
    /// Other decisions are likely to ask for other links: all are asked for at once.
    is_for_several: bool,
}

impl KnownReads {
    pub(crate) fn for_decisions(count: usize) -> Self {
        Self { by_token: BTreeMap::new(), is_for_several: count > 1 }
    }
}

impl Changes {
    /// Weighs what a decision made of a property. One that changed nothing leaves everything as it is, unless time has
    /// brought something about.
    ///
    /// # Errors
    /// The store's, where it can't tell when links were read.
    pub(crate) async fn weigh(
        &self,
        before: &PropertyState,
        draft: &mut Draft,
        reads: &mut KnownReads,
    ) -> Result<(), StoreError> {
        let settled = before.claims.is_empty() && before.conflicts.is_empty();
        if settled && draft.read.is_none() && draft.state == *before {
            return Ok(());
        }
        // What connections and days are is decided by now: weighing changes blocks and claims only.
        let (known, now) = (Ground::of(before), Ground::of(&draft.state));
        let links = self.link_facts(before, &known, draft, &now, reads).await?;
        let property = draft.state.property.id.clone();
        let mut ids = self.randomness.ids_in(&property);
        weigh_claims(before, &known, draft, &now, &links, &mut ids);
        tell_of_extensions(before, draft);
        find_conflicts(draft, &now, &mut ids);
        Ok(())
    }

    /// What is recorded of the links whose readers may have brought something that is in question: nothing is asked of
    /// the store for any other.
    async fn link_facts(
        &self,
        before: &PropertyState,
        known: &Ground,
        draft: &Draft,
        now: &Ground,
        reads: &mut KnownReads,
    ) -> Result<BTreeMap<ConnectionId, LinkFacts>, StoreError> {
        let Draft { state: after, replaced, .. } = draft;
        let new = shows_something_new(before, after);
        let mut tokens: Vec<(&Connection, SecretHash)> = Vec::new();
        for connection in &after.connections {
            let Some(source) = now.sources.get(&connection.id).filter(|source| !source.never_echoes) else { continue };
            let counts_anew = known.sources.get(&connection.id) != Some(source);
            let in_question = after.claims.is_in_question(&connection.id);
            let is_other = replaced.as_ref() == Some(&connection.id);
            if counts_anew || in_question || is_other || new.contains(&connection.id) {
                tokens.extend(links_of(after, connection).into_iter().map(|token| (connection, token)));
            }
        }
        if tokens.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut unknown: BTreeSet<SecretHash> = tokens.iter().map(|(_, token)| *token).collect();
        unknown.retain(|token| !reads.by_token.contains_key(token));
        if !unknown.is_empty() {
            if reads.is_for_several {
                let all = after.connections.iter().flat_map(|connection| links_of(after, connection));
                unknown.extend(all.filter(|token| !reads.by_token.contains_key(token)));
            }
            let unknown: Vec<SecretHash> = unknown.into_iter().collect();
            let times = self.links.read_times(&unknown).await?;
            reads.by_token.extend(unknown.into_iter().zip(times));
        }
        let mut facts: BTreeMap<ConnectionId, LinkFacts> = BTreeMap::new();
        for (connection, token) in tokens {
            let Some(read) = reads.by_token.get(&token) else { continue };
            let link = facts.entry(connection.id.clone()).or_insert_with(|| LinkFacts {
                since: Some(connection.created_at),
                last_put_at: connection.export.as_ref().and_then(|export| export.last_changed_at),
                reads: Vec::new(),
                recorded_since: recorded_since(after, connection),
                complete: self.settings.every_read_is_recorded,
                showed_all: before.connection(&connection.id).is_some_and(|was| was.serves() && !was.is_read()),
            });
            link.recorded_since = link.recorded_since.max(read.whole_since);
            link.reads.extend(&read.times);
            link.reads.sort_unstable();
        }
        Ok(facts)
    }
}

/// What a property's connections and days are: what its blocks and claims are seen by.
struct Ground {
    sources: BTreeMap<ConnectionId, Source>,
    house: House,
}

impl Ground {
    fn of(state: &PropertyState) -> Self {
        Self { sources: state.sources(), house: state.house() }
    }
}

/// The present link of a connection, and those that it was given out as before; of one that was stopped, those that live
/// again with it.
fn links_of(state: &PropertyState, connection: &Connection) -> Vec<SecretHash> {
    let present = connection.export.iter().map(|export| export.token.hash());
    let earlier = state.retiring.iter().filter(|link| match &link.serves {
        RetiringServes::Current { connection: of } | RetiringServes::Stopped { connection: of, .. } => {
            *of == connection.id
        }
        RetiringServes::Empty { .. } => false,
    });
    present.chain(earlier.map(|link| link.token.hash())).collect()
}

/// Since when the reads of a connection's link are recorded, also of one that is stopped for now.
fn recorded_since(state: &PropertyState, connection: &Connection) -> Option<Timestamp> {
    let stopped = state.retiring.iter().find_map(|link| match &link.serves {
        RetiringServes::Stopped { connection: of, was, .. } if *of == connection.id => *was,
        _ => None,
    });
    let present = connection.export.as_ref().map(|export| export.recorded_since);
    present.or_else(|| stopped?.recorded_since)
}

/// Connections whose feed shows something new that may have been read from us: by its text, a reservation of the site
/// itself was not.
fn shows_something_new<'a>(before: &PropertyState, after: &'a PropertyState) -> BTreeSet<&'a ConnectionId> {
    if before.blocks == after.blocks {
        return BTreeSet::new();
    }
    let known: BTreeMap<&BlockId, &Block> = before.blocks.iter().map(|block| (&block.id, block)).collect();
    let new = after.blocks.iter().filter(|block| known.get(&block.id) != Some(block));
    let connections = new.filter_map(|block| match &block.origin {
        Origin::Feed(feed) if feed.sign != Sign::Reservation => Some(&feed.connection),
        Origin::Feed(_) | Origin::Own { .. } => None,
    });
    connections.collect()
}

fn weigh_claims(
    before: &PropertyState,
    known: &Ground,
    draft: &mut Draft,
    now: &Ground,
    links: &BTreeMap<ConnectionId, LinkFacts>,
    ids: &mut dyn FnMut() -> [u8; 16],
) {
    let change = Change {
        before: before.picture(&known.sources, &known.house),
        after: draft.state.picture(&now.sources, &now.house),
        links,
        read: draft.read.as_ref().map(|(connection, read_at)| (connection, *read_at)),
        replaced: draft.replaced.as_ref(),
        now: draft.now,
    };
    let Weighed { mut claims, blocks, ended_holds, decisions, .. } = weigh(&change, ids);
    for connection in draft.state.claims.connections.keys().chain(known.sources.keys()) {
        if draft.state.connection(connection).is_none() {
            claims.forget(connection);
        }
    }
    draft.state.claims = claims;
    if let Some(blocks) = blocks {
        draft.state.blocks = blocks;
    }
    for ended in ended_holds {
        if let Some(connection) = ended.block.connection().cloned()
            && !passes(draft, &connection, &ended.hold.id)
        {
            end_hold(draft, &connection, ended);
        }
    }
    // They come sorted: the nights of one finding of one connection are one entry.
    let mut decisions = decisions.into_iter().peekable();
    while let Some(first) = decisions.next() {
        let mut nights = vec![first.nights];
        while let Some(more) =
            decisions.next_if(|more| more.connection == first.connection && more.finding == first.finding)
        {
            nights.push(more.nights);
        }
        nights.truncate(RUNS_TOLD);
        draft.note(Some(&first.connection), ActivityKind::ClaimsDecided { finding: first.finding, nights });
    }
}

/// Whether this hold was opened by the same decision: then its stay went at once, nothing was ever held, and what is told
/// is why it went.
fn passes(draft: &mut Draft, connection: &ConnectionId, ended: &HoldId) -> bool {
    let is_its_opening =
        |entry: &Activity| matches!(&entry.kind, ActivityKind::HoldOpened { hold, .. } if hold == ended);
    let Some(at) = draft.history.activity.iter().position(is_its_opening) else { return false };
    draft.history.activity.remove(at);
    draft.passed_holds += 1;
    for entry in &mut draft.history.activity {
        if let ActivityKind::FeedChanged { removed, held, .. } = &mut entry.kind
            && entry.connection.as_ref() == Some(connection)
        {
            *removed += 1;
            *held = held.saturating_sub(1);
        }
    }
    true
}

fn find_conflicts(draft: &mut Draft, now: &Ground, ids: &mut dyn FnMut() -> [u8; 16]) {
    let picture = draft.state.picture(&now.sources, &now.house);
    let Conflicts { mut standing, opened, closed } = conflicts(&draft.state.conflicts, &picture, draft.now, ids);
    let opened: BTreeSet<_> = opened.into_iter().collect();
    for conflict in standing.iter().filter(|conflict| opened.contains(&conflict.id)) {
        let kind = ActivityKind::ConflictOpened {
            conflict: conflict.id.clone(),
            blocks: conflict.blocks.clone(),
            first: conflict.first.clone(),
            arrives_at: conflict.arrives_at,
            nights: conflict.nights.into_iter().flat_map(Nights::iter).take(RUNS_TOLD).collect(),
        };
        draft.note(None, kind);
    }
    for conflict in closed {
        draft.note(
            None,
            ActivityKind::ConflictClosed {
                conflict: conflict.id.clone(),
                blocks: conflict.blocks.clone(),
                gone: conflict.gone.iter().cloned().collect(),
            },
        );
        let property = draft.state.property.id.clone();
        draft.history.closed_conflicts.push(ConflictRecord { property, conflict, closed_at: Some(draft.now) });
    }
    standing.sort_by(|a, b| a.id.cmp(&b.id));
    draft.state.conflicts = standing;
}

impl PropertyState {
    /// All that is known of the property, given what its connections and its days are.
    #[must_use]
    pub fn picture<'a>(&'a self, sources: &'a BTreeMap<ConnectionId, Source>, house: &'a House) -> Picture<'a> {
        Picture { blocks: &self.blocks, sources, claims: &self.claims, house }
    }
}
