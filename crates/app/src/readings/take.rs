//! Taking a good reading of a feed into the property that it belongs to.

use std::collections::BTreeSet;

use bytes::Bytes;
use calmesh_calendar::{
    Block, ConnectionId, FeedReading, HoldEnd, HoldId, House, Judging, Nights, Origin, Policy, Reading, Reconciled,
    Sign, Successor, reconcile, span::Later,
};
use calmesh_ics::Horizon;
use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    changes::{
        draft::{Draft, TakenBody},
        holds::{end_hold, keep_ended, vanished_together},
    },
    limits::NIGHTS_TOLD,
    model::{ActivityKind, Applied, Connection, Snapshot, Validators, happened, is_ahead},
    ports::{ParkedBody, SmallBody},
    readings::judge::{judge_feed, unread_uids, warnings_of},
    tags::carries_our_tag,
};

const KEPT_WARNINGS: usize = 20;
/// Counts what the same body means: raised with every change of `ics`, the profiles or the judging after which kept bodies
/// may say something else. Bodies that an older reader understood are read anew within a day ([`crate::fetch`]).
pub const READER: u16 = 2;
/// The horizon of a body that means more later is moved on no sooner than after a week.
const HORIZON_STEP: SignedDuration = SignedDuration::from_hours(24 * 7);

/// A body that was read and understood.
#[derive(Debug, Clone, Copy)]
pub struct AcceptedFeed<'a> {
    pub reading: &'a FeedReading,
    pub snapshot: &'a Snapshot,
    pub validators: &'a Validators,
    /// When the body was read from the other side.
    pub read_at: Timestamp,
    /// Around when the horizon lies by which the body was read.
    pub horizon_at: Timestamp,
    /// The body, where it is new.
    pub body: Option<&'a Bytes>,
    /// Whether it lies in the store.
    pub small: bool,
    /// Where it waited with its plan: when it was read, as it is written there.
    pub waited: Option<Timestamp>,
}

/// When a body that was read with the horizon around `horizon_at`, and begins to mean more at `from`, is to be read again.
fn more_at(from: Timestamp, horizon_at: Timestamp) -> Timestamp {
    let reach = Horizon::around(horizon_at).until.duration_since(horizon_at);
    horizon_at.later(HORIZON_STEP).max(from.earlier(reach))
}

/// What a reading did to a connection's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadingReport {
    pub added: u32,
    pub changed: u32,
    pub removed: u32,
    pub held: u32,
}

impl ReadingReport {
    /// Whether any block came, went or changed.
    #[must_use]
    pub fn changed_something(self) -> bool {
        self.added + self.changed + self.removed > 0
    }

    /// The same, when so many of the stays that are held went at once: what was known of them already told that they
    /// are gone.
    #[must_use]
    pub(crate) fn with_gone_at_once(self, gone: u32) -> Self {
        Self { removed: self.removed.saturating_add(gone), held: self.held.saturating_sub(gone), ..self }
    }
}

/// Takes a reading into a draft. One that is older than what was taken in already changes nothing; the same one
/// again is judged by the policy that is now in force, without counting towards a hold.
///
/// Answers `None` where there is nothing to take it: no such connection, or it does not read.
pub fn take_reading(
    draft: &mut Draft,
    connection: &ConnectionId,
    feed: AcceptedFeed<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Option<ReadingReport> {
    let house = draft.state.house();
    let source = draft.connection(connection)?.clone();
    let import = source.import.as_ref()?;
    let repeated = import.applied.as_ref().is_some_and(|applied| applied.read_at == feed.read_at);
    // What a clock wrote that was ahead orders nothing.
    let known = import.applied.as_ref().filter(|applied| repeated || !is_ahead(applied.read_at, draft.now));
    let since = happened(Some(import.since), draft.now);
    // What was taken in already is judged anew also after a pause that ended since.
    if since.is_some_and(|since| feed.read_at < since) && !repeated {
        return None;
    }
    if known.is_some_and(|applied| applied.read_at > feed.read_at) {
        return Some(ReadingReport::default());
    }
    let policy = source.policy();
    let reading = reading_of(draft, &source, &feed, repeated);
    let expected_to_go = draft.state.claims.expected_to_go(connection);
    let judging = Judging {
        connection,
        house: &house,
        hold: policy.hold,
        mass_vanish: policy.mass_vanish,
        expected_to_go: &expected_to_go,
        replaced: import.replaces.is_some(),
    };
    let (mut mine, others): (Vec<Block>, Vec<Block>) =
        std::mem::take(&mut draft.state.blocks).into_iter().partition(|block| block.connection() == Some(connection));
    mine.iter_mut().for_each(|block| begin_no_hold_later(block, draft.now));
    let mut result = reconcile(mine, &reading, &judging, ids);
    let report =
        ReadingReport { added: result.added, changed: result.changed, removed: result.removed, held: result.held };
    draft.state.blocks = others;
    draft.state.blocks.append(&mut result.blocks);
    draft.state.blocks.sort_by(|a, b| a.id.cmp(&b.id));
    let successor = result.successor;
    tell(draft, connection, &house, report, result);

    let changed_at = match known {
        Some(applied) if !report.changed_something() && !is_ahead(applied.changed_at, draft.now) => applied.changed_at,
        _ => feed.read_at,
    };
    if let Some(import) = draft.connection_mut(connection).and_then(|connection| connection.import.as_mut()) {
        import.applied = Some(applied(&feed, &policy, changed_at));
        if successor.is_some() {
            import.replaces = None;
        }
        import.since = since.unwrap_or(feed.read_at);
    }
    keep_body(draft, connection, &feed);
    if !repeated {
        draft.read = Some((connection.clone(), feed.read_at));
    }
    Some(report)
}

/// The body goes with the change that it was taken in by.
fn keep_body(draft: &mut Draft, connection: &ConnectionId, feed: &AcceptedFeed<'_>) {
    let Some(body) = feed.body else { return };
    let parked = ParkedBody { body: body.clone(), validators: feed.validators.clone() };
    let small = SmallBody::of(feed.snapshot, &parked);
    draft.history.bodies.insert(connection.clone(), TakenBody { small, waited: feed.waited });
}

/// What a body shows, judged for its connection. What carries our tag is ours.
fn reading_of(draft: &Draft, source: &Connection, feed: &AcceptedFeed<'_>, repeated: bool) -> Reading {
    let mut sightings = judge_feed(feed.reading, source.profile(), &source.policy());
    for sighting in &mut sightings {
        let uid = sighting.key.as_ref().map(|key| key.uid.as_str());
        if uid.is_some_and(|uid| carries_our_tag(&draft.echo_key, &source.property, uid)) {
            sighting.sign = Sign::Ours;
        }
    }
    Reading {
        sightings,
        unread: unread_uids(feed.reading),
        read_at: feed.read_at,
        now: draft.now.max(feed.read_at),
        repeated,
    }
}

fn applied(feed: &AcceptedFeed<'_>, policy: &Policy, changed_at: Timestamp) -> Applied {
    let mut warnings = warnings_of(feed.reading, policy);
    warnings.truncate(KEPT_WARNINGS);
    Applied {
        snapshot: feed.snapshot.clone(),
        validators: feed.validators.clone(),
        read_at: feed.read_at,
        changed_at,
        more_at: feed.reading.more_from.map(|from| more_at(from, feed.horizon_at)),
        reader: READER,
        small: feed.small,
        horizon_at: feed.horizon_at,
        warnings,
    }
}

/// Tells and keeps what a reading did.
fn tell(draft: &mut Draft, connection: &ConnectionId, house: &House, report: ReadingReport, result: Reconciled) {
    let together = note_mass_vanish(draft, connection, result.mass_vanish.as_ref(), house);
    for (hold, block) in result.opened_holds.into_iter().filter(|(hold, _)| !together.contains(hold)) {
        draft.note(Some(connection), ActivityKind::HoldOpened { hold, block });
    }
    let is_other = result.successor == Some(Successor::Other);
    for ended in result.ended_holds {
        // What another calendar does not show, nobody said of it.
        let end = if is_other && ended.end == HoldEnd::Released { keep_ended } else { end_hold };
        end(draft, connection, ended);
    }
    if is_other {
        draft.replaced = Some(connection.clone());
    }
    // An edge that moves with the days is no news.
    if report.added + report.removed > 0 || report.changed > result.rolled {
        let ReadingReport { added, changed, removed, held } = report;
        draft.note(Some(connection), ActivityKind::FeedChanged { added, changed, removed, held });
    }
}

/// A hold that a clock opened that was ahead begins now: it would else last until that time has come.
fn begin_no_hold_later(block: &mut Block, now: Timestamp) {
    let Origin::Feed(feed) = &mut block.origin else { return };
    if let Some(hold) = feed.hold.as_mut().filter(|hold| is_ahead(hold.opened_at, now)) {
        let lasts = hold.earliest_release_at.duration_since(hold.opened_at);
        hold.opened_at = now;
        hold.earliest_release_at = now.saturating_add(lasts).unwrap_or(now);
    }
}

/// Tells of a mass vanish once for all of it, when this reading began it or more stays joined it. Answers its holds.
fn note_mass_vanish(
    draft: &mut Draft,
    connection: &ConnectionId,
    told: Option<&HoldId>,
    house: &House,
) -> BTreeSet<HoldId> {
    let mine = draft.state.blocks.iter().filter(|block| block.connection() == Some(connection));
    let vanished: Vec<(HoldId, Option<Nights>)> =
        mine.filter_map(|block| Some((vanished_together(block)?.id.clone(), block.extent.nights(house)))).collect();
    let holds: BTreeSet<HoldId> = vanished.iter().map(|(hold, _)| hold.clone()).collect();
    let (Some(hold), Some(_)) = (holds.first().cloned(), told) else { return holds };
    let nights: BTreeSet<Date> = vanished.iter().filter_map(|(_, nights)| *nights).flat_map(Nights::iter).collect();
    let kind = ActivityKind::MassVanished {
        hold,
        stays: u32::try_from(holds.len()).unwrap_or(u32::MAX),
        nights: u32::try_from(nights.len()).unwrap_or(u32::MAX),
        first_nights: nights.into_iter().take(NIGHTS_TOLD).collect(),
    };
    draft.note(Some(connection), kind);
    holds
}
