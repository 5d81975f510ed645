//! Why a night is taken or free: every claim with its source, the rules that decided, and which links carry it.

use jiff::{Timestamp, civil::Date};

use crate::{
    Block, BlockId, BlockKind, ClaimRule, ConnectionId, EventKey, HoldCause, LeftOff, Origin, Picture, Sign, Standing,
    mirror::Mirrors, occupancy::Turnovers,
};

/// What a block is to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockState {
    Standing,
    /// Its removal was seen and not yet believed.
    Held,
    /// It may be what we exported.
    PossibleEcho,
    /// It is what we exported, and does not block.
    Echo,
    /// It repeats a stay of another connection.
    Mirrored,
    /// Its connection lets it block nothing: its calendar is only shown.
    Shown,
    /// Its connection does not count now.
    Paused,
}

/// One claim on a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedClaim {
    pub block: BlockId,
    /// None for the host's own.
    pub connection: Option<ConnectionId>,
    /// How the feed names it.
    pub key: Option<EventKey>,
    pub state: BlockState,
    /// The nights that follow a stay, kept free to turn the home over.
    pub turnover: bool,
    /// What decided, in the order in which it did.
    pub rules: Vec<String>,
    /// Since when the last of these rules holds.
    pub since: Timestamp,
    /// Whose links show it on this night, of the connections that read a feed. An extra link shows whatever is taken.
    pub carried_by: Vec<ConnectionId>,
    /// Its connection is asked: the night is left out of its link to see whether the claim stands.
    pub asked_since: Option<Timestamp>,
}

/// Every claim on a night, in order of block; none for a night that nobody claims.
#[must_use]
pub fn explain(picture: &Picture<'_>, night: Date, now: Timestamp) -> Vec<ExplainedClaim> {
    let turnovers = Turnovers::of(picture);
    let (mirrors, links) = (Mirrors::of(picture), LeftOff::of_all(picture, now));
    let mut claims = Vec::new();
    for block in picture.blocks {
        if block.extent.nights(picture.house).is_some_and(|nights| nights.contains(night)) {
            let (rules, since) = rules_of(picture, block, night);
            let shows = |(id, left_off): &&(&ConnectionId, LeftOff<'_>)| {
                picture.counts(block) && block.connection() != Some(id) && left_off.shows(block, night)
            };
            claims.push(ExplainedClaim {
                block: block.id.clone(),
                connection: block.connection().cloned(),
                key: key(block),
                state: state_on(picture, &mirrors, block, night),
                turnover: false,
                rules,
                since,
                carried_by: links.iter().filter(shows).map(|(id, _)| (*id).clone()).collect(),
                asked_since: block
                    .connection()
                    .and_then(|connection| picture.claims.asked(connection, night))
                    .map(|asked| asked.since),
            });
        }
        if turnovers.after(block).is_some_and(|nights| nights.contains(night)) && picture.counts(block) {
            claims.push(ExplainedClaim {
                block: block.id.clone(),
                connection: None,
                key: None,
                state: BlockState::Standing,
                turnover: true,
                rules: vec!["turnover after a stay".to_owned()],
                since: block.changed_at,
                carried_by: links.iter().map(|(id, _)| (*id).clone()).collect(),
                asked_since: None,
            });
        }
    }
    claims
}

/// What a block is as a whole: the surest that it is on any of its nights.
#[must_use]
pub fn block_state(picture: &Picture<'_>, mirrors: &Mirrors<'_>, block: &Block) -> BlockState {
    let surest = block.extent.nights(picture.house).map(|nights| picture.surest(block, nights));
    state(picture, mirrors, block, surest.unwrap_or(Standing::Certain))
}

fn state_on(picture: &Picture<'_>, mirrors: &Mirrors<'_>, block: &Block, night: Date) -> BlockState {
    state(picture, mirrors, block, picture.standing(block, night))
}

fn state(picture: &Picture<'_>, mirrors: &Mirrors<'_>, block: &Block, standing: Standing) -> BlockState {
    match block.connection().map(|connection| picture.sources.get(connection)) {
        Some(None) => return BlockState::Paused,
        Some(Some(source)) if !source.blocks => return BlockState::Shown,
        _ => {}
    }
    match standing {
        Standing::Echo => BlockState::Echo,
        _ if block.hold().is_some() => BlockState::Held,
        Standing::Possible => BlockState::PossibleEcho,
        Standing::Certain if mirrors.is_mirrored(block) => BlockState::Mirrored,
        Standing::Certain => BlockState::Standing,
    }
}

fn key(block: &Block) -> Option<EventKey> {
    match &block.origin {
        Origin::Own { .. } => None,
        Origin::Feed(origin) => origin.key.clone(),
    }
}

fn rules_of(picture: &Picture<'_>, block: &Block, night: Date) -> (Vec<String>, Timestamp) {
    let Origin::Feed(origin) = &block.origin else {
        return (vec!["made by the host".to_owned()], block.changed_at);
    };
    let mut rules = vec![origin.rule.clone()];
    let claim = picture.claims.claim(&origin.connection, night);
    let mut since = claim.map_or(block.first_seen_at, |claim| claim.since);
    if block.kind == BlockKind::RuleClosure {
        rules.push("the edge of a rule of that site".to_owned());
    }
    match claim.filter(|claim| claim.rule != ClaimRule::NotFromUs) {
        Some(claim) => rules.push(claim.rule.as_str().to_owned()),
        None if origin.sign == Sign::Reservation => rules.push(ClaimRule::ReservationMark.as_str().to_owned()),
        None if picture.is_evident(block) => rules.push(ClaimRule::NeverEchoes.as_str().to_owned()),
        None => rules.push(ClaimRule::NotFromUs.as_str().to_owned()),
    }
    if let Some(asked) = picture.claims.asked(&origin.connection, night) {
        rules.push("asked: its link leaves the night out, to see whether it stands by itself".to_owned());
        since = asked.since;
    }
    if let Some(hold) = &origin.hold {
        let cause = match hold.cause {
            HoldCause::Absent if hold.kept => "missed, and kept",
            HoldCause::Absent => "missed, and held until more readings miss it",
            HoldCause::MassVanish => "missed together with most others, and held for longer",
        };
        rules.push(cause.to_owned());
        since = hold.opened_at;
    }
    match picture.sources.get(&origin.connection) {
        None => rules.push("its connection is paused, and blocks nothing".to_owned()),
        Some(source) if !source.blocks => rules.push("its connection is set to block nothing".to_owned()),
        Some(_) => {}
    }
    (rules, since)
}
