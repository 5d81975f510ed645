//! One change of a property, weighed: what every connection's claims are now, who is asked, and what the links carry.
//!
//! The rules are numbered as in the README's section "Echoes". Nights are judged one by one, so that events that merge,
//! split or change their UIDs need no rule of their own.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp, civil::Date};

use super::{
    Asked, Claim, ClaimRule, Claims, ConnectionClaims, Habits, LinkFacts, LinkNight, Part, Runs, Standing,
    judge::{SERVED_AFTER, can_not_have_read, window},
    night::{Cell, Presence, Row, Table, carries},
    rules::Rules,
    scope::{Scope, changed},
};
use crate::{
    Block, BlockId, BlockKind, ConnectionId, EndedHold, Extent, FeedOrigin, Hold, HoldCause, HoldEnd, HoldId, House,
    NightSet, Nights, Origin, Picture, Source,
    picture::parts,
    span::{Days, Later},
};

/// A question to a site whose feed can't be read is taken back after this long.
pub(super) const SILENT_AFTER: SignedDuration = SignedDuration::from_hours(6);
/// A calendar that is slow to follow its link does so within about this long.
const SLOW_TO_FOLLOW: SignedDuration = SignedDuration::from_hours(8);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const LONGEST_SETTLE: SignedDuration = DAY;
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(24 * 8);
const FIRST_MEMORY: SignedDuration = SignedDuration::from_mins(30);
const LONGEST_MEMORY: SignedDuration = DAY;
/// Links show a stay for a day after it departed.
const DAYS_REMEMBERED: i64 = 2;
/// A site that no read is recorded of is waited for so many of its cadences.
const CADENCES_TO_WAIT: i32 = 4;

/// A change of a property, from what was known to what is known now. Both pictures carry the claims of
/// before; those of `after` also what the host said since (`Claims::said_gone`).
#[derive(Debug)]
pub struct Change<'a> {
    pub before: Picture<'a>,
    pub after: Picture<'a>,
    /// What is recorded of each connection's link.
    pub links: &'a BTreeMap<ConnectionId, LinkFacts>,
    /// The good reading that brought this change, and when its body was read; none where it was no reading, or the same
    /// one judged anew.
    pub read: Option<(&'a ConnectionId, Timestamp)>,
    /// The connection that reads another calendar since: what was found of the one before says nothing of the nights that
    /// this one shows. What its link carried stays known, since its reader may be the same.
    pub replaced: Option<&'a ConnectionId>,
    pub now: Timestamp,
}

/// What became of the claims.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Weighed {
    pub claims: Claims,
    /// All blocks, where some were cut or went because a site that was asked no longer shows them; in order of id.
    pub blocks: Option<Vec<Block>>,
    pub ended_holds: Vec<EndedHold>,
    /// What was decided and why, for the host and for `explain`.
    pub decisions: Vec<Decision>,
    /// When to weigh again though no feed changes.
    pub wake_at: Option<Timestamp>,
}

/// One decision about a run of nights of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub connection: ConnectionId,
    pub nights: Nights,
    pub finding: Finding,
}

/// What was found or done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Finding {
    /// A claim is judged, anew or for the first time.
    Judged(Standing, ClaimRule),
    /// The nights are left out of its link to see whether its claim stands.
    Asked,
    /// Asked, it shows them no more: it only repeated them.
    Clean,
    /// An echo went.
    EchoEnded,
    /// The question was taken back: its feed can't be read.
    TakenBack,
    /// It stood though no read of its link is recorded: this site seems not to read its link.
    SeemsNotToRead,
}

/// Weighs a change. `ids` yields fresh random ids for blocks that are cut. Weighing again without a change or a
/// reading changes nothing.
#[must_use]
pub fn weigh(change: &Change<'_>, ids: &mut dyn FnMut() -> [u8; 16]) -> Weighed {
    weigh_by(change, ids, Rules::default())
}

/// The same by some of the rules.
pub(crate) fn weigh_by(change: &Change<'_>, ids: &mut dyn FnMut() -> [u8; 16], rules: Rules) -> Weighed {
    weigh_on(change, ids, rules, Scope::of_change)
}

/// The same on every night.
#[cfg(test)]
pub(crate) fn weigh_every_night(change: &Change<'_>, ids: &mut dyn FnMut() -> [u8; 16], rules: Rules) -> Weighed {
    weigh_on(change, ids, rules, |change, today| Scope::of_all(today, &[&change.before, &change.after]))
}

/// The same on some nights: on no other anything changes.
fn weigh_on(
    change: &Change<'_>,
    ids: &mut dyn FnMut() -> [u8; 16],
    rules: Rules,
    scope: impl Fn(&Change<'_>, Date) -> Scope,
) -> Weighed {
    let (before, after) = (&change.before, &change.after);
    let nothing_new = changed(before.blocks, after.blocks).is_empty()
        && before.sources == after.sources
        && before.claims == after.claims
        && before.house == after.house
        && change.replaced.is_none();
    let waits = change.read.is_some_and(|(read, _)| change.after.claims.waits_for_readings(read));
    let wake_at = change.after.claims.questions_end_at();
    if nothing_new && !waits && wake_at.is_none_or(|wake_at| wake_at > change.now) {
        return Weighed { claims: change.after.claims.clone(), wake_at, ..Weighed::default() };
    }
    let scope = scope(change, after.house.date(change.now));
    let mut weighing = Weighing::of(change, &scope, rules);
    weighing.judge_all();
    weighing.inquire_all();
    weighing.follow_links();
    weighing.into_weighed(ids)
}

/// One connection on one night.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    was: Option<Presence>,
    is: Option<Presence>,
    /// Of the claim before and now.
    stood: Option<Standing>,
    standing: Option<Standing>,
    /// What is written down of the claim; of one that did not count until now, what stood when it last did.
    claim: Option<Claim>,
    /// Its stays took the night before this change, and when they came to lie on it, where that is written down.
    lay: Option<Option<Timestamp>>,
    part: Part,
    link: Option<LinkNight>,
    /// Since when the link carried the night before this change, by what is known; none if it did not.
    carried: Option<Timestamp>,
    /// The claim ended though a held stay still takes the night.
    cut: bool,
}

impl State {
    /// Nothing is claimed, and nothing is to be remembered.
    fn is_idle(&self) -> bool {
        let is_there = self.was.is_some() || self.is.is_some() || self.claim.is_some();
        !is_there && self.part == Part::default() && self.link.is_none()
    }

    fn is_possible(&self) -> bool {
        self.standing == Some(Standing::Possible)
    }

    fn is_certain(&self) -> bool {
        self.standing == Some(Standing::Certain)
    }

    /// An echo that is known by looks, not by our tag: it may yet turn out to stand.
    fn is_doubtful_echo(&self) -> bool {
        self.standing == Some(Standing::Echo) && self.claim.is_some_and(|claim| claim.rule != ClaimRule::OurTag)
    }

    fn is_shown(&self) -> bool {
        self.is.is_some_and(|is| is.shown)
    }

    fn set(&mut self, standing: Standing, rule: ClaimRule, now: Timestamp) {
        self.standing = Some(standing);
        self.claim = Some(Claim { standing, rule, since: now });
    }

    fn end(&mut self) {
        self.cut = self.is.is_some();
        self.standing = None;
        self.claim = None;
    }
}

struct Night {
    one: Nights,
    /// Its place among the nights that are looked at.
    place: usize,
    host_before: bool,
    /// Since when the host's own block or a turnover takes it.
    host: Option<Timestamp>,
    states: Vec<State>,
}

struct Weighing<'a> {
    change: &'a Change<'a>,
    scope: &'a Scope,
    rules: Rules,
    /// Connections of before and after, in order of id.
    connections: Vec<Party<'a>>,
    nights: Vec<Night>,
    findings: Vec<(usize, Finding, Nights)>,
}

struct Party<'a> {
    id: &'a ConnectionId,
    /// None while it does not count.
    source: Option<&'a Source>,
    facts: LinkFacts,
    habits: Habits,
    /// When its feed was read, if that is what brought this change.
    read_at: Option<Timestamp>,
    mass_vanish: bool,
    /// Its own stays took nothing before this change, and its link showed all that others took.
    showed_all: bool,
}

impl Party<'_> {
    fn settle(&self) -> SignedDuration {
        let minutes = self.source.map_or(60, |source| source.echo.minutes);
        self.habits.settle.unwrap_or(SignedDuration::from_mins(i64::from(minutes)))
    }

    fn wait(&self) -> SignedDuration {
        let cadence = self.source.map_or(DAY, Source::cadence);
        self.habits.wait.unwrap_or(cadence.saturating_mul(CADENCES_TO_WAIT)).min(LONGEST_WAIT)
    }

    fn may_be_asked(&self) -> bool {
        self.source.is_some_and(|source| source.echo.probe)
    }
}

impl<'a> Weighing<'a> {
    fn of(change: &'a Change<'a>, scope: &'a Scope, rules: Rules) -> Self {
        let claims = change.after.claims;
        let mut ids: BTreeSet<&ConnectionId> =
            change.after.sources.keys().chain(change.before.sources.keys()).collect();
        ids.extend(claims.connections.keys());
        let vanished: BTreeSet<&ConnectionId> = vanished_in_masses(change.after.blocks).collect();
        let connections: Vec<Party<'_>> = ids.into_iter().map(|id| party(change, id, &vanished)).collect();
        let before = Table::of(&change.before, scope, change.now);
        let after = Table::of(&change.after, scope, change.now);
        let places: Vec<Places> =
            connections.iter().map(|party| Places { was: before.index(party.id), is: after.index(party.id) }).collect();
        let written: Vec<Written> = connections.iter().map(|party| Written::of(claims, party.id, scope)).collect();
        let mut nights = Vec::with_capacity(scope.len());
        for (place, one) in scope.nights().enumerate() {
            let (Some(was), Some(is)) = (before.row(place), after.row(place)) else { continue };
            let row = Rows { was, is, sources: &before.sources, rules };
            let parties = connections.iter().zip(&places).zip(&written);
            let states: Vec<State> =
                parties.map(|((party, at), written)| row.state_of(party, *at, written.at(place))).collect();
            let (host_before, host) = (was.host.is_some(), is.host);
            if host.is_some() || host_before || states.iter().any(|state| !state.is_idle()) {
                nights.push(Night { one, place, host_before, host, states });
            }
        }
        let mut weighing = Self { change, scope, rules, connections, nights, findings: Vec::new() };
        weighing.forget_replaced();
        weighing
    }

    /// What was found of another calendar says nothing of what this one shows.
    fn forget_replaced(&mut self) {
        let Some(at) = self.connections.iter().position(|party| Some(party.id) == self.change.replaced) else { return };
        for state in self.nights.iter_mut().filter_map(|night| night.states.get_mut(at)) {
            let State { is, lay, link, carried, .. } = *state;
            *state = State { is, lay, link, carried, ..State::default() };
        }
    }

    // ---- rules 1, 2, 5, 6, 9, 10 ---------------------------------------------------------------------------------

    fn judge_all(&mut self) {
        let (now, rules) = (self.change.now, self.rules);
        let mut learned: Vec<Lessons> = vec![Lessons::default(); self.connections.len()];
        for night in &mut self.nights {
            for (at, (state, party)) in night.states.iter_mut().zip(&self.connections).enumerate() {
                let mut judging = Judging { party, state, now, rules, lessons: Lessons::default(), found: Vec::new() };
                judging.run();
                let (lessons, found) = (judging.lessons, judging.found);
                if let Some(all) = learned.get_mut(at) {
                    *all = all.with(lessons);
                }
                self.findings.extend(found.into_iter().map(|finding| (at, finding, night.one)));
            }
        }
        for (party, lessons) in self.connections.iter_mut().zip(learned) {
            if rules.settle_doubles && lessons.settle_too_short {
                party.habits.settle = Some(party.settle().saturating_mul(2).min(LONGEST_SETTLE));
            }
            if rules.settle_doubles && lessons.wait_too_short {
                party.habits.wait = Some(party.wait().saturating_mul(2).min(LONGEST_WAIT));
            }
            if rules.memory && lessons.came_back {
                let longer = party.habits.memory.map_or(FIRST_MEMORY, |memory| memory.saturating_mul(2));
                party.habits.memory = Some(longer.min(LONGEST_MEMORY));
            }
        }
        self.find_host_nights();
    }

    /// Turnover nights follow certain stays alone, and which these are was just judged.
    fn find_host_nights(&mut self) {
        if self.change.after.house.turnover_nights() == 0 {
            return;
        }
        let claims = self.claims();
        let picture = Picture { claims: &claims, ..self.change.after };
        let table = Table::of(&picture, self.scope, self.change.now);
        for night in &mut self.nights {
            night.host = table.row(night.place).and_then(|row| row.host);
        }
    }

    // ---- rules 4, 7, 8 -------------------------------------------------------------------------------------------

    fn inquire_all(&mut self) {
        let mut nights = std::mem::take(&mut self.nights);
        let mut edges = None;
        for night in &mut nights {
            self.inquire(night, &mut edges);
        }
        self.nights = nights;
    }

    fn inquire(&mut self, night: &mut Night, edges: &mut Option<Edges<'a>>) {
        let now = self.change.now;
        let turned = |state: &State| state.is_certain() && state.stood != Some(Standing::Certain);
        let became_certain = night.states.iter().any(turned) || (night.host.is_some() && !night.host_before);
        if became_certain && self.rules.echoes_are_asked_anew {
            for (at, state) in night.states.iter_mut().enumerate().filter(|(_, state)| state.is_doubtful_echo()) {
                state.set(Standing::Possible, ClaimRule::CertainElsewhere, now);
                let finding = Finding::Judged(Standing::Possible, ClaimRule::CertainElsewhere);
                self.findings.push((at, finding, night.one));
            }
        }
        if night.host.is_some() || night.states.iter().any(State::is_certain) || !self.rules.inquiries {
            // Who let go of a night that the host keeps free is clean of it for as long as that lasts: a site that shows the
            // turnover night after its own stay as a part of that would be asked again after each answer.
            let host = night.host.is_some();
            for state in &mut night.states {
                let Part { asked, clean_since, cleaned_at, .. } = state.part;
                let let_go = asked.filter(|_| !state.is_shown()).map(|_| now);
                let clean_since = clean_since.or(let_go).filter(|_| host);
                state.part = Part { clean_since, cleaned_at, ..Part::default() };
            }
            return;
        }
        let is_open = night.states.iter().any(|state| state.is_possible() || state.is_doubtful_echo());
        if !is_open {
            self.close(night);
            return;
        }
        if night.states.iter().any(State::is_possible) {
            self.ask_one(night, edges);
        } else {
            self.ask_echoes(night);
        }
    }

    /// Nothing is in question any more but what a site remembers for a while.
    fn close(&self, night: &mut Night) {
        for (state, party) in night.states.iter_mut().zip(&self.connections) {
            let remembered = party.habits.memory.zip(state.link).is_some_and(|(memory, link)| {
                // A link that still carries the night lets it go now.
                let left_at = if link.carries { self.change.now } else { link.put_at.unwrap_or(link.since) };
                left_at.later(memory) > self.change.now
            });
            let clean_since = state.part.clean_since.filter(|_| remembered);
            state.part = Part { clean_since, cleaned_at: state.part.cleaned_at, ..Part::default() };
        }
    }

    /// Rule 4: one possible claim at a time.
    fn ask_one(&mut self, night: &mut Night, edges: &mut Option<Edges<'a>>) {
        let now = self.change.now;
        for (at, (state, party)) in night.states.iter_mut().zip(&self.connections).enumerate() {
            let Some(asked) = state.part.asked else { continue };
            let silent = self.rules.taken_back && asked.heard_at.later(SILENT_AFTER) <= now;
            if !state.is_possible() || !party.may_be_asked() {
                state.part.asked = None;
            } else if silent {
                state.part.asked = None;
                state.part.silent = true;
                self.findings.push((at, Finding::TakenBack, night.one));
            }
        }
        let is_asked = |state: &State| state.is_possible() && state.part.asked.is_some();
        if self.rules.one_at_a_time && night.states.iter().any(is_asked) {
            return;
        }
        let may_be_asked = |(_, (state, party)): &(usize, (&State, &Party<'_>))| {
            let under_way = state.is.is_some_and(|is| is.under_way);
            let open = state.part.asked.is_some() || state.part.silent;
            state.is_possible() && state.is_shown() && !under_way && !open && party.may_be_asked()
        };
        let candidates = night.states.iter().zip(&self.connections).enumerate().filter(may_be_asked);
        let edges = edges.get_or_insert_with(|| Edges::of(self.change));
        let rank = |(at, (_, party)): &(usize, (&State, &Party<'_>))| {
            let copied = !edges.has_own(party.id, night.one.first());
            (copied, party.source.map_or(DAY, Source::cadence), *at)
        };
        let mut ranked: Vec<usize> = {
            let mut all: Vec<_> = candidates.map(|one| (rank(&one), one.0)).collect();
            all.sort_unstable();
            all.into_iter().map(|(_, at)| at).collect()
        };
        if self.rules.one_at_a_time {
            ranked.truncate(1);
        }
        for at in ranked {
            self.ask(night, at);
        }
    }

    /// Rule 8: what was found to be an echo is asked once more, all at once: no link carries the night any more.
    fn ask_echoes(&mut self, night: &mut Night) {
        let may_be_asked = |(_, (state, party)): &(usize, (&State, &Party<'_>))| {
            state.is_doubtful_echo() && state.is_shown() && state.part.asked.is_none() && party.may_be_asked()
        };
        let all: Vec<usize> =
            night.states.iter().zip(&self.connections).enumerate().filter(may_be_asked).map(|(at, _)| at).collect();
        if self.rules.echoes_may_stand {
            for at in all {
                self.ask(night, at);
            }
        }
    }

    fn ask(&mut self, night: &mut Night, at: usize) {
        let now = self.change.now;
        if let Some(state) = night.states.get_mut(at) {
            state.part.asked = Some(Asked { since: now, read_at: None, readings: 0, heard_at: now });
            self.findings.push((at, Finding::Asked, night.one));
        }
    }

    // ---- what the links carry ------------------------------------------------------------------------------------

    fn follow_links(&mut self) {
        let now = self.change.now;
        let sources: Vec<(&ConnectionId, &Source)> = self.change.after.sources.iter().collect();
        let place: Vec<Option<usize>> =
            self.connections.iter().map(|party| sources.iter().position(|(id, _)| *id == party.id)).collect();
        let mut cells = vec![Cell::default(); sources.len()];
        for night in &mut self.nights {
            cells.fill(Cell::default());
            for (state, place) in night.states.iter().zip(&place) {
                if let Some(cell) = place.and_then(|place| cells.get_mut(place)) {
                    *cell = state.cell();
                }
            }
            let row = Row { host: night.host, cells: &cells };
            // A turnover night that moves with its stay clashes with nobody, and is not written down with every stay.
            let is_turnover = self.change.read.is_some() && cells.iter().all(|cell| cell.carried_since().is_none());
            for ((state, party), place) in night.states.iter_mut().zip(&self.connections).zip(&place) {
                let carried = place.filter(|place| carries(row, *place, &sources, self.rules));
                let is_new_turnover = is_turnover && state.carried.is_none();
                let since =
                    carried.map(|place| if is_new_turnover { now } else { carried_since(row, Some(place), None) });
                state.follow_link(party, since.map(|since| party.facts.readable_from(since)), now);
            }
        }
    }

    // ---- what comes out ------------------------------------------------------------------------------------------

    fn claims(&self) -> Claims {
        let mut out = Claims::default();
        for (at, party) in self.connections.iter().enumerate() {
            let mut mine = ConnectionClaims { habits: party.habits, ..ConnectionClaims::default() };
            for (one, claim) in self.past_claims(party.id) {
                mine.claims.push(one, claim);
            }
            for night in &self.nights {
                let Some(state) = night.states.get(at) else { continue };
                let one = night.one;
                if let Some(claim) = state.claim.filter(|claim| state.is_kept(claim, party)) {
                    mine.claims.push(one, claim);
                }
                if state.part != Part::default() {
                    mine.parts.push(one, state.part);
                }
                if let Some(link) = state.link {
                    mine.link.push(one, link);
                }
            }
            if mine != ConnectionClaims::default() {
                out.connections.insert(party.id.clone(), mine);
            }
        }
        out
    }

    /// What was found of nights that are over stays, as long as the stay is not long departed: nothing more is to be
    /// found out about them.
    fn past_claims(&self, connection: &ConnectionId) -> Vec<(Nights, Claim)> {
        let after = &self.change.after;
        let today = after.house.date(self.change.now);
        let Some(mine) = after.claims.connections.get(connection).filter(|mine| !mine.claims.is_empty()) else {
            return Vec::new();
        };
        let stays = after.blocks.iter().filter(|block| block.connection() == Some(connection));
        let stays: NightSet = stays
            .filter_map(|block| block.extent.nights(after.house))
            .filter(|nights| nights.first() < today && nights.end().days_until(today) <= DAYS_REMEMBERED)
            .collect();
        let mut past = Vec::new();
        for (run, claim) in mine.claims.iter().take_while(|(run, _)| run.first() < today) {
            let over = Nights::new(run.first(), run.end().min(today));
            let gone: NightSet = over.iter().flat_map(|over| stays.missing_of(*over)).collect();
            past.extend(over.iter().flat_map(|over| gone.missing_of(*over)).map(|over| (over, *claim)));
        }
        past
    }

    fn into_weighed(self, ids: &mut dyn FnMut() -> [u8; 16]) -> Weighed {
        let now = self.change.now;
        let mut weighed = Weighed { claims: self.claims(), ..Weighed::default() };
        let mut cuts: BTreeMap<&ConnectionId, NightSet> = BTreeMap::new();
        for night in &self.nights {
            for (state, party) in night.states.iter().zip(&self.connections) {
                if state.cut && party.source.is_some() {
                    cuts.entry(party.id).or_default().insert(night.one);
                }
            }
        }
        if !cuts.is_empty() {
            let (blocks, ended) = cut(self.change.after.blocks, &cuts, self.change.after.house, now, ids);
            weighed.blocks = Some(blocks);
            weighed.ended_holds = ended;
        }
        weighed.wake_at = weighed.claims.questions_end_at();
        let mut runs: BTreeMap<(usize, Finding), Vec<Nights>> = BTreeMap::new();
        for (at, finding, one) in self.findings {
            runs.entry((at, finding)).or_default().push(one);
        }
        for ((at, finding), nights) in runs {
            let Some(party) = self.connections.get(at) else { continue };
            let joined = Runs::of(nights.into_iter().map(|nights| (nights, ())));
            weighed.decisions.extend(joined.iter().map(|(nights, ())| Decision {
                connection: party.id.clone(),
                nights: *nights,
                finding,
            }));
        }
        weighed
    }
}

/// Where a connection stands among those that take part, before the change and after it.
#[derive(Clone, Copy)]
struct Places {
    was: Option<usize>,
    is: Option<usize>,
}

/// One night before the change and after it.
struct Rows<'a> {
    was: Row<'a>,
    is: Row<'a>,
    /// Those of before.
    sources: &'a [(&'a ConnectionId, &'a Source)],
    rules: Rules,
}

impl Rows<'_> {
    fn state_of(&self, party: &Party<'_>, at: Places, written: OfNight) -> State {
        let cell = |row: Row<'_>, at: Option<usize>| at.and_then(|at| row.cells.get(at).copied()).unwrap_or_default();
        let (was, is) = (cell(self.was, at.was), cell(self.is, at.is));
        let OfNight { claim, part, link } = written;
        // What the host said since stands over what was known.
        let stood = was.standing.map(|known| claim.map_or(known, |claim| claim.standing));
        let carried = match at.was {
            Some(at) => carries(self.was, at, self.sources, self.rules),
            None => party.showed_all && self.was.is_held(),
        };
        State {
            was: was.presence,
            is: is.presence,
            stood,
            standing: stood,
            claim,
            lay: was.presence.map(|_| claim.filter(|claim| claim.standing == Standing::Certain)?.came_at()),
            part: part.unwrap_or_default(),
            link: link.map(|link| party.with_put(link)),
            carried: carried.then(|| carried_since(self.was, at.was, link.as_ref())),
            cut: false,
        }
    }
}

/// What is written down of one connection on one night.
#[derive(Debug, Clone, Copy, Default)]
struct OfNight {
    claim: Option<Claim>,
    part: Option<Part>,
    link: Option<LinkNight>,
}

/// The same of all nights that are looked at, by their places; empty where nothing is.
struct Written(Vec<OfNight>);

impl Written {
    fn of(claims: &Claims, connection: &ConnectionId, scope: &Scope) -> Self {
        let Some(mine) = claims.connections.get(connection) else { return Self(Vec::new()) };
        let mut all = vec![OfNight::default(); scope.len()];
        let mut write = |nights: Nights, set: &dyn Fn(&mut OfNight)| {
            let places = all.get_mut(scope.places(nights)).unwrap_or_default();
            places.iter_mut().for_each(set);
        };
        mine.claims.iter().for_each(|(nights, claim)| write(*nights, &|one| one.claim = Some(*claim)));
        mine.parts.iter().for_each(|(nights, part)| write(*nights, &|one| one.part = Some(*part)));
        mine.link.iter().for_each(|(nights, link)| write(*nights, &|one| one.link = Some(*link)));
        Self(all)
    }

    fn at(&self, place: usize) -> OfNight {
        self.0.get(place).copied().unwrap_or_default()
    }
}

/// Whose stays are held since they vanished together.
fn vanished_in_masses(blocks: &[Block]) -> impl Iterator<Item = &ConnectionId> {
    let in_mass = |block: &&Block| block.hold().is_some_and(|hold| hold.cause == HoldCause::MassVanish);
    blocks.iter().filter(in_mass).filter_map(Block::connection)
}

fn party<'a>(change: &'a Change<'a>, id: &'a ConnectionId, vanished: &BTreeSet<&ConnectionId>) -> Party<'a> {
    Party {
        id,
        source: change.after.sources.get(id).filter(|source| source.blocks),
        facts: change.links.get(id).cloned().unwrap_or_default(),
        habits: change.after.claims.connections.get(id).map(|mine| mine.habits).unwrap_or_default(),
        read_at: change.read.filter(|(read, _)| *read == id).map(|(_, at)| at),
        mass_vanish: vanished.contains(id),
        showed_all: change.links.get(id).is_some_and(|facts| facts.showed_all)
            || change.before.sources.get(id).is_some_and(|source| source.has_link && !source.blocks),
    }
}

impl Party<'_> {
    /// Learns when the link that follows a decision was put.
    fn with_put(&self, mut link: LinkNight) -> LinkNight {
        if link.put_at.is_none() {
            link.put_at = self.facts.last_put_at.filter(|put_at| *put_at > link.since);
        }
        link
    }
}

/// Since when a link that carries a night does so; `at` is where its own connection stands among those that take part.
fn carried_since(row: Row<'_>, at: Option<usize>, link: Option<&LinkNight>) -> Timestamp {
    if let Some(link) = link.filter(|link| link.carries) {
        return link.since;
    }
    let others = row.cells.iter().enumerate().filter(|(other, _)| Some(*other) != at);
    let since = others.filter_map(|(_, cell)| cell.carried_since());
    since.chain(row.host).min().unwrap_or(Timestamp::MIN)
}

/// What one connection taught about its pace.
#[derive(Debug, Clone, Copy, Default)]
struct Lessons {
    settle_too_short: bool,
    wait_too_short: bool,
    came_back: bool,
}

impl Lessons {
    fn with(self, other: Self) -> Self {
        Self {
            settle_too_short: self.settle_too_short || other.settle_too_short,
            wait_too_short: self.wait_too_short || other.wait_too_short,
            came_back: self.came_back || other.came_back,
        }
    }
}

/// One connection on one night, judged by what its feed shows now.
struct Judging<'a> {
    party: &'a Party<'a>,
    state: &'a mut State,
    now: Timestamp,
    rules: Rules,
    lessons: Lessons,
    found: Vec<Finding>,
}

impl Judging<'_> {
    fn run(&mut self) {
        self.learn_from_absence();
        if self.party.read_at.is_some() {
            self.state.part.silent = false;
        }
        if self.party.source.is_none() {
            return self.not_counted();
        }
        match self.state.is {
            None => self.not_there(),
            Some(is) if is.shown => self.shown(is),
            Some(is) => self.only_held(is),
        }
    }

    /// No stay takes the night any more.
    fn not_there(&mut self) {
        if self.state.part.asked.is_some() && self.state.stood.is_some() {
            self.clean();
        } else if self.state.stood.is_some() {
            self.let_go();
        }
    }

    /// Rule 11: it claims nothing. What stood, and what the host said, holds again when the connection counts again: its
    /// pause made nothing less sure, whatever its site read of its link before.
    fn not_counted(&mut self) {
        let known = match (self.state.stood, self.state.claim) {
            (None, known) => known,
            (Some(_), Some(claim)) if claim.rule == ClaimRule::SaidGone => Some(claim),
            (Some(Standing::Certain), _) => {
                Some(Claim { standing: Standing::Certain, rule: ClaimRule::NotFromUs, since: self.now })
            }
            (Some(_), _) => None,
        };
        if self.state.stood.is_some() {
            self.let_go();
        }
        self.state.claim = known;
    }

    /// Its claim ends by absence, and with it a question.
    fn let_go(&mut self) {
        if self.state.stood == Some(Standing::Echo) {
            self.found.push(Finding::EchoEnded);
        }
        self.state.end();
        self.state.part.asked = None;
    }

    fn shown(&mut self, is: Presence) {
        let was_shown = self.state.was.is_some_and(|was| was.shown);
        let was_evident = self.state.was.is_some_and(|was| was.evident);
        let evident = is.evident && self.rules.marks;
        if !is.foreign {
            if self.state.claim.is_none_or(|claim| claim.rule != ClaimRule::OurTag) {
                self.judged(Standing::Echo, ClaimRule::OurTag);
            }
            return;
        }
        match self.state.stood {
            None => self.appears(),
            Some(Standing::Echo) if self.state.claim.is_some_and(|claim| claim.rule == ClaimRule::OurTag) => {
                self.judge(true);
            }
            Some(Standing::Possible | Standing::Echo) if evident => {
                self.judged(Standing::Certain, ClaimRule::ReservationMark);
            }
            Some(Standing::Certain) if !evident && !was_shown => self.judge(true),
            Some(Standing::Certain) if !evident && was_evident && self.rules.marks_go => self.judge(false),
            Some(_) => {}
        }
        if self.state.part.asked.is_some() {
            self.hear_that_it_shows();
        }
    }

    /// It is missed, and a hold keeps it.
    fn only_held(&mut self, is: Presence) {
        let is_echo = self.state.stood == Some(Standing::Echo);
        // Of what lay on it only what carries our tag may be left, and that is missed too.
        if !is.foreign || (is_echo && self.party.read_at.is_some()) {
            return self.let_go();
        }
        if self.state.stood.is_none() {
            // A stay that counts again, after a pause, and is still missed.
            return self.appears();
        }
        let Some(read_at) = self.party.read_at else { return };
        let Some(asked) = self.asked_with_read(read_at) else { return };
        let was_read = asked.read_at.is_some_and(|read| read < read_at);
        let mass_vanish = self.party.mass_vanish && self.rules.mass_vanish_waits;
        if was_read && !mass_vanish && !is.under_way {
            self.clean();
        }
    }

    /// Newly shown, or shown again by a connection that did not count for a while.
    fn appears(&mut self) {
        match self.state.claim {
            Some(known) if known.standing == Standing::Certain => self.plain(),
            Some(known) if !self.state.is.is_some_and(|is| is.evident) => self.state.standing = Some(known.standing),
            _ => self.judge(true),
        }
    }

    /// Rule 5: it only repeated the night.
    fn clean(&mut self) {
        let state = &mut *self.state;
        let again = state.part.cleaned_at.is_some_and(|at| self.now.duration_since(at) <= DAY);
        if again && state.claim.is_some_and(|claim| claim.rule == ClaimRule::MayBeOurs) {
            self.lessons.came_back = true;
        }
        state.end();
        state.part = Part { clean_since: Some(self.now), cleaned_at: Some(self.now), ..Part::default() };
        self.found.push(Finding::Clean);
    }

    /// The open question, with the first recorded read of the link without the night.
    fn asked_with_read(&mut self, heard_at: Timestamp) -> Option<Asked> {
        let put_at = self
            .state
            .link
            .filter(|link| !link.carries)
            .map_or_else(|| self.state.part.asked.map(|asked| asked.since), |link| link.put_at);
        let asked = self.state.part.asked.as_mut()?;
        asked.heard_at = heard_at;
        if asked.read_at.is_none()
            && let Some(read) = put_at.and_then(|put_at| self.party.facts.first_from(put_at.later(SERVED_AFTER)))
        {
            asked.read_at = Some(read);
            asked.readings = 0;
        }
        Some(*asked)
    }

    /// Rule 6: it may stand.
    fn hear_that_it_shows(&mut self) {
        let Some(read_at) = self.party.read_at else { return };
        let Some(asked) = self.asked_with_read(read_at) else { return };
        let (settle, wait) = if self.rules.settle {
            (self.party.settle(), self.party.wait())
        } else {
            (SignedDuration::ZERO, SignedDuration::ZERO)
        };
        let counts_from = asked.read_at.map_or(asked.since.later(wait), |read| read.later(settle));
        if read_at < counts_from {
            return;
        }
        let readings = asked.readings.saturating_add(1);
        if readings < self.party.source.map_or(2, |source| source.echo.readings) {
            self.state.part.asked = Some(Asked { readings, ..asked });
            return;
        }
        let rule = if asked.read_at.is_some() { ClaimRule::StoodAfterRead } else { ClaimRule::StoodUnread };
        self.state.part.asked = None;
        self.judged(Standing::Certain, rule);
        if rule == ClaimRule::StoodUnread {
            self.found.push(Finding::SeemsNotToRead);
        }
    }

    /// Rule 9: what stood and is missed so soon did not stand.
    fn learn_from_absence(&mut self) {
        let gone = self.state.was.is_some_and(|was| was.shown) && !self.state.is_shown();
        let Some(claim) = self.state.claim.filter(|_| gone && self.party.read_at.is_some()) else { return };
        let soon =
            |limit: SignedDuration| self.now.duration_since(claim.since) <= limit.saturating_mul(2).max(SLOW_TO_FOLLOW);
        match claim.rule {
            ClaimRule::StoodAfterRead if soon(self.party.settle()) => self.lessons.settle_too_short = true,
            ClaimRule::StoodUnread if soon(self.party.wait()) => self.lessons.wait_too_short = true,
            _ => {}
        }
    }

    /// Rule 1, from b on; `anew` says that the night was not shown until now.
    fn judge(&mut self, anew: bool) {
        let evident = self.state.is.is_some_and(|is| is.evident) && self.rules.marks;
        let Some(source) = self.party.source else { return };
        let at = self.party.read_at.unwrap_or(self.now);
        if evident {
            return self.plain();
        }
        if anew && self.rules.clean_counts && self.state.part.clean_since.is_some() {
            match (self.state.carried, self.state.link) {
                (Some(since), _) => {
                    let unread =
                        self.party.facts.complete && self.party.facts.first_from(since).is_none_or(|read| read > at);
                    return if unread {
                        self.judged(Standing::Certain, ClaimRule::NewAfterClean)
                    } else {
                        self.judged(Standing::Echo, ClaimRule::BackAfterClean)
                    };
                }
                (None, Some(link)) => {
                    let memory = self.party.habits.memory.unwrap_or(SignedDuration::ZERO);
                    if at.duration_since(link.put_at.unwrap_or(link.since)) <= memory {
                        return self.judged(Standing::Echo, ClaimRule::BackAfterClean);
                    }
                }
                (None, None) => {}
            }
        }
        let could_not = if self.rules.reads_count {
            can_not_have_read(self.state.carried, self.state.link.as_ref(), &self.party.facts, source, at)
        } else {
            self.state.carried.is_none()
        };
        if could_not { self.plain() } else { self.judged(Standing::Possible, ClaimRule::MayBeOurs) }
    }

    /// Certain, and nothing worth writing down but when stays that were known before came to lie on the night.
    fn plain(&mut self) {
        if self.state.stood.is_some_and(|stood| stood != Standing::Certain) {
            let evident = self.state.is.is_some_and(|is| is.evident);
            let rule = if evident { ClaimRule::ReservationMark } else { ClaimRule::NotFromUs };
            self.found.push(Finding::Judged(Standing::Certain, rule));
        }
        let came_now = || self.state.is.filter(|is| is.first_seen_at < self.now).map(|_| self.now);
        let came_at = self.state.lay.unwrap_or_else(came_now);
        let came = |since| Claim { standing: Standing::Certain, rule: ClaimRule::NotFromUs, since };
        self.state.standing = Some(Standing::Certain);
        self.state.claim = came_at.map(came);
    }

    fn judged(&mut self, standing: Standing, rule: ClaimRule) {
        self.state.set(standing, rule, self.now);
        self.found.push(Finding::Judged(standing, rule));
    }
}

impl State {
    fn cell(&self) -> Cell {
        Cell {
            presence: self.is,
            standing: self.standing,
            since: self.claim.map(|claim| claim.since).or(self.is.map(|is| is.newest_at)),
            came_at: self.claim.and_then(|claim| claim.came_at()),
            asked: self.part.asked.is_some(),
        }
    }

    /// Whether a claim is still to be known after this change: of a connection that does not count only as long as its
    /// link is remembered, without which nothing could put it in question.
    fn is_kept(&self, claim: &Claim, party: &Party<'_>) -> bool {
        let waits = party.source.is_none() && (self.link.is_some() || claim.standing != Standing::Certain);
        self.standing.is_some() || waits
    }

    /// Remembers what the link did with this night, as long as its site may still show what it read then. `carries` is set
    /// where it carries the night now: since when, for all that blocks and claims tell.
    fn follow_link(&mut self, party: &Party<'_>, carries: Option<Timestamp>, now: Timestamp) {
        if party.source.is_some_and(|source| source.never_echoes) {
            self.link = None;
            return;
        }
        let first = |known: Option<LinkNight>, since: Timestamp| known.map_or(since, |known| known.first.min(since));
        let link = match (self.carried, carries) {
            (Some(since), None) => {
                Some(LinkNight { carries: false, since: now, put_at: None, first: first(self.link, since) })
            }
            (None, Some(since)) if self.link.is_some() || self.part.clean_since.is_some() || since < now => {
                Some(LinkNight { carries: true, since: now, put_at: None, first: first(self.link, now) })
            }
            (None, Some(_)) => None,
            // Until now its connection exported alone, which is written down of no night.
            (Some(since), Some(_)) if self.link.is_some_and(|link| !link.carries) => {
                Some(LinkNight { carries: true, since, put_at: None, first: first(self.link, since) })
            }
            // Who made it carry the night went, and another makes it go on: what is left tells of a later time.
            (Some(before), Some(after)) if self.link.is_none() && party.facts.readable_from(before) < after => {
                let since = party.facts.readable_from(before);
                Some(LinkNight { carries: true, since, put_at: None, first: since })
            }
            (Some(_), Some(_)) | (None, None) => self.link,
        };
        self.link = link.filter(|link| {
            // Of one that does not count nothing is judged until it does again.
            let Some(source) = party.source else { return true };
            let in_question = self.part.asked.is_some() || self.part.clean_since.is_some();
            let is_fresh = now.duration_since(link.since) <= window(source);
            let may_matter = if let Some(since) = carries {
                // It tells of an earlier time than what is left, in which it was read last, or of a later one.
                let is_older = link.first < since && party.facts.first_from(since).is_none();
                is_fresh || is_older || party.facts.unread_since(link.since, now)
            } else {
                // Until the link without the night is there, it may yet be read with it.
                let is_served = is_fresh && link.put_at.is_none_or(|put_at| put_at.later(SERVED_AFTER) > now);
                let may_have_read = || !can_not_have_read(None, Some(link), &party.facts, source, now);
                self.standing.is_some() || is_served || may_have_read()
            };
            in_question || may_matter
        });
        if self.part.cleaned_at.is_some_and(|at| now.duration_since(at) > DAY) {
            self.part.cleaned_at = None;
        }
    }
}

/// Tells an event of a site's own from one that repeats ours: its nights, if it begins or ends where no block that its
/// link shows does.
struct Edges<'a>(BTreeMap<&'a ConnectionId, NightSet>);

impl<'a> Edges<'a> {
    fn of(change: &Change<'a>) -> Self {
        // By day: up to two sources that have an edge there. One of two is another than any one.
        let mut edges: BTreeMap<Date, Vec<Option<&ConnectionId>>> = BTreeMap::new();
        let house = change.after.house;
        for block in change.before.blocks.iter().chain(change.after.blocks) {
            let Some(nights) = block.extent.nights(house) else { continue };
            for edge in [nights.first(), nights.end()] {
                let of = edges.entry(edge).or_default();
                if of.len() < 2 && !of.contains(&block.connection()) {
                    of.push(block.connection());
                }
            }
        }
        let mut own: BTreeMap<&ConnectionId, NightSet> = BTreeMap::new();
        for block in change.after.blocks {
            let (Some(connection), None) = (block.connection(), block.hold()) else { continue };
            let Some(nights) = block.extent.nights(house) else { continue };
            let is_copied = |edge: Date| edges.get(&edge).is_some_and(|of| of.iter().any(|of| *of != Some(connection)));
            if !is_copied(nights.first()) || !is_copied(nights.end()) {
                own.entry(connection).or_default().insert(nights);
            }
        }
        Self(own)
    }

    /// Whether such an event of this connection takes a night.
    fn has_own(&self, connection: &ConnectionId, night: Date) -> bool {
        self.0.get(connection).is_some_and(|nights| nights.contains(night))
    }
}

/// Takes nights out of held stays.
fn cut(
    blocks: &[Block],
    cuts: &BTreeMap<&ConnectionId, NightSet>,
    house: &House,
    now: Timestamp,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> (Vec<Block>, Vec<EndedHold>) {
    // Of a closure no more is left than what other events do not show.
    let mut shown = cuts.clone();
    for block in blocks.iter().filter(|block| block.hold().is_none()) {
        if let Some(gone) = block.connection().and_then(|connection| shown.get_mut(connection)) {
            block.extent.nights(house).into_iter().for_each(|nights| gone.insert(nights));
        }
    }
    let (mut out, mut ended) = (Vec::new(), Vec::new());
    for block in blocks {
        let gone = if block.kind == BlockKind::Closure { &shown } else { cuts };
        let gone = block.connection().and_then(|connection| gone.get(connection));
        let (Some(gone), Some(hold)) = (gone, block.hold()) else {
            out.push(block.clone());
            continue;
        };
        let left = match block.extent.nights(house) {
            Some(nights) => parts(block.extent, nights, gone.missing_of(nights), house),
            None => vec![block.extent],
        };
        if left.first() == Some(&block.extent) {
            out.push(block.clone());
            continue;
        }
        // What is over already would go with the next reading.
        let left: Vec<Extent> = left.into_iter().filter(|extent| house.turned_over_at(*extent) > now).collect();
        if left.is_empty() {
            ended.push(EndedHold { block: block.clone(), hold: hold.clone(), end: HoldEnd::Confirmed });
        }
        for (number, extent) in left.into_iter().enumerate() {
            let mut piece = Block { extent, sequence: block.sequence + 1, changed_at: now, ..block.clone() };
            if number > 0 {
                piece.id = BlockId::from_random(ids());
                piece.sequence = 0;
                if let Origin::Feed(FeedOrigin { key, code, hold, .. }) = &mut piece.origin {
                    *key = None;
                    *code = None;
                    *hold = hold.take().map(|hold| Hold { id: HoldId::from_random(ids()), ..hold });
                }
            }
            out.push(piece);
        }
    }
    out.sort_by(|a, b| a.id.cmp(&b.id));
    (out, ended)
}
