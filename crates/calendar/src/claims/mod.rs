//! What each connection's feed says of each night, and what is still to be found out (README, "Echoes").
//!
//! A connection's claim on a night exists while one of its stays takes that night. Most claims are *plain*: certain
//! since the stay was first seen. Only what is not plain is written down, in runs of nights, so that a property
//! whose sites echo nothing has empty `Claims`.

mod judge;
mod night;
mod rules;
mod runs;
mod scope;
mod weigh;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp, civil::Date};

use crate::{
    Block, ConnectionId, NightSet, Nights, Picture,
    span::{Days, Later},
};

pub use judge::LinkFacts;
pub use night::{LeftOff, carried_by};
pub(crate) use rules::Rules;
pub use runs::Runs;
pub(crate) use scope::FARTHEST;
pub use weigh::{Change, Decision, Finding, Weighed, weigh};
#[cfg(test)]
pub(crate) use weigh::{weigh_by, weigh_every_night};

/// What is not plain about one property's claims, and what the links of its connections did lately. One document
/// for each connection; empty where nothing is in question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// In order of id; a connection with nothing to say is not there.
    pub connections: BTreeMap<ConnectionId, ConnectionClaims>,
}

/// One connection's share. Every run lies in the present or future; equal neighbours are one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionClaims {
    /// Claims that are not plain.
    pub claims: Runs<Claim>,
    /// Its part in inquiries.
    pub parts: Runs<Part>,
    /// What its private link carried lately, where that is not what the blocks alone tell.
    pub link: Runs<LinkNight>,
    /// What was learned of this site's pace.
    pub habits: Habits,
}

/// How sure a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// We exported it and it came back; it does not block.
    Echo,
    /// It may be what we exported; it blocks until it was asked.
    Possible,
    /// It stands by itself.
    Certain,
}

/// One connection's claim on one night, where it is not plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Claim {
    pub standing: Standing,
    pub rule: ClaimRule,
    /// Since when this rule holds.
    pub since: Timestamp,
}

/// Which rule made a claim what it is. The numbers are those of the README's section "Echoes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimRule {
    /// 1a: shown only with the tag of our own export.
    OurTag,
    /// 1b: the text is one that this site writes for its own reservations only.
    ReservationMark,
    /// 1b: this kind of calendar can't hold what it read from us.
    NeverEchoes,
    /// 1c: found clean in the same inquiry, and shown again after its link carried the night again.
    BackAfterClean,
    /// 1c: found clean, and shown again before its link was read.
    NewAfterClean,
    /// 1d: this site can't have read the night from us. Written down where its stays came to lie on the night later than
    /// they were first seen, as one that was moved does, and while the connection is paused.
    NotFromUs,
    /// 1e: this site may have read the night from us.
    MayBeOurs,
    /// 6: it went on showing the night after it read its link without it.
    StoodAfterRead,
    /// 6: it went on showing the night so long that it must have read its link, or never reads it.
    StoodUnread,
    /// 7: an echo while another claim is certain is asked anew should that one end.
    CertainElsewhere,
    /// 12: the host said that this stay no longer stands.
    SaidGone,
}

impl Claim {
    /// When its stays came to lie on the night, by rules that judge what is newly shown: no link carried it for them until
    /// then. Where they lay there before, the links themselves know it (`LinkNight`).
    fn came_at(&self) -> Option<Timestamp> {
        matches!(self.rule, ClaimRule::NotFromUs | ClaimRule::MayBeOurs).then_some(self.since)
    }
}

impl ClaimRule {
    /// The rule's name in answers, stable.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OurTag => "carries our own tag",
            Self::ReservationMark => "a reservation by its own text",
            Self::NeverEchoes => "this calendar never repeats what it reads",
            Self::BackAfterClean => "came back only after our link carried it again",
            Self::NewAfterClean => "new since this site was asked",
            Self::NotFromUs => "can not come from our link",
            Self::MayBeOurs => "may come from our link",
            Self::StoodAfterRead => "stayed after our link was read without it",
            Self::StoodUnread => "stayed though our link left it out for long",
            Self::CertainElsewhere => "repeats a night that another site holds",
            Self::SaidGone => "the host says that it is gone",
        }
    }
}

/// A connection's part in the inquiry on one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Part {
    /// The night is left out of its link, to see whether its claim stands.
    pub asked: Option<Asked>,
    /// It was found not to hold the night by itself.
    pub clean_since: Option<Timestamp>,
    /// When it was last found clean, kept for a day to learn from.
    pub cleaned_at: Option<Timestamp>,
    /// The question was taken back because its feed could not be read; asked again after its next good reading.
    pub silent: bool,
}

/// A question that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Asked {
    pub since: Timestamp,
    /// Its first recorded read of the link without the night.
    pub read_at: Option<Timestamp>,
    /// Good readings that showed the night late enough to count.
    pub readings: u32,
    /// Its last good reading, or when it was asked.
    pub heard_at: Timestamp,
}

/// What a link did with one night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkNight {
    /// Whether it carries the night.
    pub carries: bool,
    /// Since when it was decided to be so.
    pub since: Timestamp,
    /// When the link that follows this decision was put; none until that is known.
    pub put_at: Option<Timestamp>,
    /// From when on it carried the night, gaps not counted.
    pub first: Timestamp,
}

/// What was learned of a site's pace (rules 9 and 10); none while the defaults were never wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Habits {
    /// How long a claim must go on after its link was read before it stands.
    pub settle: Option<SignedDuration>,
    /// How long it must go on where no read of its link is recorded.
    pub wait: Option<SignedDuration>,
    /// For so long after a night left its link it may still show what it read before.
    pub memory: Option<SignedDuration>,
}

impl Claims {
    /// Whether there is nothing to keep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// What is written down of a connection's claim on a night; none for a plain one, or for none at all.
    #[must_use]
    pub fn claim(&self, connection: &ConnectionId, night: Date) -> Option<&Claim> {
        self.connections.get(connection)?.claims.get(night)
    }

    /// Whether this connection is asked for this night, so that its link leaves it out.
    #[must_use]
    pub fn asked(&self, connection: &ConnectionId, night: Date) -> Option<&Asked> {
        self.connections.get(connection)?.parts.get(night)?.asked.as_ref()
    }

    /// Whether an unchanged reading of this connection still counts: a question is open to it.
    #[must_use]
    pub fn waits_for_readings(&self, connection: &ConnectionId) -> bool {
        self.parts(connection).any(|part| part.asked.is_some() || part.silent)
    }

    /// When to weigh again though no feed changes: a site that is asked and can't be read is asked no more after a while.
    #[must_use]
    pub fn questions_end_at(&self) -> Option<Timestamp> {
        let asked = self.connections.values().flat_map(|mine| {
            mine.parts.iter().filter_map(|(nights, part)| {
                let asked = part.asked?;
                let mut claims = mine.claims.touching(*nights).iter();
                let is_possible = claims.any(|(_, claim)| claim.standing == Standing::Possible);
                is_possible.then_some(asked.heard_at.later(weigh::SILENT_AFTER))
            })
        });
        asked.min()
    }

    /// Whether the next read of this connection's link should be written down at once.
    #[must_use]
    pub fn waits_for_read(&self, connection: &ConnectionId) -> bool {
        self.parts(connection).any(|part| part.asked.is_some_and(|asked| asked.read_at.is_none()))
    }

    /// Whether something of this connection is to be found out, so that it matters when its link was read.
    #[must_use]
    pub fn is_in_question(&self, connection: &ConnectionId) -> bool {
        self.connections.get(connection).is_some_and(|mine| {
            let unsure = |claim: &Claim| claim.standing != Standing::Certain;
            !mine.parts.is_empty() || !mine.link.is_empty() || mine.claims.iter().any(|(_, claim)| unsure(claim))
        })
    }

    /// Nights of which this connection's absence is no news: it is asked for them, only echoes them, or the host said that
    /// they are gone. They do not count towards a mass vanish.
    #[must_use]
    pub fn expected_to_go(&self, connection: &ConnectionId) -> NightSet {
        let Some(mine) = self.connections.get(connection) else { return NightSet::default() };
        let asked = mine.parts.iter().filter(|(_, part)| part.asked.is_some()).map(|(nights, _)| *nights);
        let is_no_news = |claim: &Claim| claim.standing == Standing::Echo || claim.rule == ClaimRule::SaidGone;
        let others = mine.claims.iter().filter(|(_, claim)| is_no_news(claim)).map(|(nights, _)| *nights);
        asked.chain(others).collect()
    }

    /// Rule 12: the host says that a stay no longer stands, so its claim is to be asked for: of its nights those that
    /// are certain, and not evident, turn possible. Weigh the property afterwards.
    #[must_use]
    pub fn said_gone(&self, picture: &Picture<'_>, block: &Block, now: Timestamp) -> Self {
        let mut claims = self.clone();
        let (Some(connection), Some(nights)) = (block.connection(), block.extent.nights(picture.house)) else {
            return claims;
        };
        if picture.is_evident(block) {
            return claims;
        }
        let gone = Claim { standing: Standing::Possible, rule: ClaimRule::SaidGone, since: now };
        // Nights too far ahead are nobody's question, and nothing is written down of them.
        let until = picture.house.date(now).days_later(FARTHEST);
        let standings = picture.standings(block, nights).into_iter();
        let certain = standings.filter(|(_, standing)| *standing == Standing::Certain).map(|(run, _)| run);
        let turned: NightSet = certain.filter_map(|run| Nights::new(run.first(), run.end().min(until)).ok()).collect();
        let mine = claims.connections.entry(connection.clone()).or_default();
        let written = mine.claims.iter().flat_map(|(run, claim)| {
            turned.missing_of(*run).into_iter().map(|rest| (rest, *claim)).collect::<Vec<_>>()
        });
        mine.claims = Runs::of(written.chain(turned.runs().map(|run| (run, gone))).collect::<Vec<_>>());
        claims
    }

    /// Forgets a connection that is gone for good.
    pub fn forget(&mut self, connection: &ConnectionId) {
        self.connections.remove(connection);
    }

    fn parts(&self, connection: &ConnectionId) -> impl Iterator<Item = &Part> {
        self.connections.get(connection).into_iter().flat_map(|mine| mine.parts.iter().map(|(_, part)| part))
    }
}
