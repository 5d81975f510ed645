//! What a host should know of a connection beside what its feed says: things that only the whole property tells.

use std::collections::BTreeSet;

use calmesh_calendar::{ClaimRule, ConnectionId, ReadWarning, superfluous_mirrors};

use crate::model::PropertyState;

/// Advice about the connections of one property, looked at once for all of them.
#[derive(Debug)]
pub(crate) struct Advice {
    superfluous: BTreeSet<ConnectionId>,
    /// They went on showing what their link left out, and no read of it is recorded.
    seem_not_to_read: BTreeSet<ConnectionId>,
}

impl Advice {
    pub(crate) fn of(state: &PropertyState) -> Self {
        let (sources, house) = (state.sources(), state.house());
        let superfluous = superfluous_mirrors(&state.picture(&sources, &house));
        let unread = state
            .claims
            .connections
            .iter()
            .filter(|(_, mine)| mine.claims.iter().any(|(_, claim)| claim.rule == ClaimRule::StoodUnread));
        Self {
            superfluous: superfluous.into_iter().collect(),
            seem_not_to_read: unread.map(|(connection, _)| connection.clone()).collect(),
        }
    }

    /// As warnings of one connection.
    pub(crate) fn about(&self, connection: &ConnectionId) -> impl Iterator<Item = ReadWarning> {
        let superfluous = self.superfluous.contains(connection).then_some(
            "Every stay in this feed is also in the feed of another connection of this property. Nothing would be \
             missed without it.",
        );
        let unread = self.seem_not_to_read.contains(connection).then_some(
            "This site seems not to read its private link: it went on showing nights that were left out of the link for \
             days. Check that the link is still set there, or that it was pasted into the right calendar.",
        );
        superfluous.into_iter().chain(unread).map(|detail| ReadWarning {
            line: None,
            uid: None,
            detail: detail.to_owned(),
            unread: false,
        })
    }
}
