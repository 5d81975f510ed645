//! The end of connections and properties: what they showed goes, and their links serve an empty calendar for a week.

use std::collections::BTreeSet;

use calmesh_calendar::{BlockId, ConnectionId, span::Later};

use crate::{
    changes::{
        draft::Draft,
        holds::{close_holds, keep_ended},
    },
    model::{ActivityKind, LinkToken, Provider, RETIRES_AFTER, RetiringLink, RetiringServes},
};

/// So many links of one property serve an empty calendar: twice as many as it may have connections.
pub(crate) const EMPTIED_MOST: usize = 100;

/// So many emptied links of a property are served, of its deleted connections too; those that were emptied first are
/// given up before their week is over.
pub(crate) fn give_up_oldest_emptied(draft: &mut Draft) {
    let now = draft.now;
    let is_emptied = |link: &&mut RetiringLink| matches!(link.serves, RetiringServes::Empty { .. }) && link.until > now;
    let mut emptied: Vec<&mut RetiringLink> = draft.state.retiring.iter_mut().filter(is_emptied).collect();
    emptied.sort_by_key(|link| link.until);
    let too_many = emptied.len().saturating_sub(EMPTIED_MOST);
    for link in emptied.into_iter().take(too_many) {
        link.until = now;
    }
}

/// Takes a connection out of a property: its blocks and holds end, its links serve an empty calendar for a week.
pub(crate) fn remove_connection(draft: &mut Draft, id: &ConnectionId) {
    let Some(at) = draft.state.connections.iter().position(|connection| connection.id == *id) else { return };
    let gone = draft.state.connections.remove(at);
    if let Some(export) = gone.export {
        retire_link(draft, id, &gone.provider, export.token);
    }
    remove_blocks_of(draft, id);
    draft.note(Some(id), ActivityKind::ConnectionDeleted { name: gone.name });
}

/// The link serves an empty calendar for a week, so that its reader lets go; links that were rotated away before
/// serve the same from now on.
pub(crate) fn retire_link(draft: &mut Draft, id: &ConnectionId, provider: &Provider, token: LinkToken) {
    let until = draft.now.later(RETIRES_AFTER);
    for link in rotated_links(draft, id) {
        link.serves = RetiringServes::Empty { provider: provider.clone() };
        // Its reader needs the time to see that it is empty, too.
        link.until = until;
    }
    let serves = RetiringServes::Empty { provider: provider.clone() };
    draft.state.retiring.push(RetiringLink { token, serves, until });
    give_up_oldest_emptied(draft);
}

pub(crate) fn rotated_links<'a>(draft: &'a mut Draft, id: &ConnectionId) -> impl Iterator<Item = &'a mut RetiringLink> {
    let rotated = RetiringServes::Current { connection: id.clone() };
    draft.state.retiring.iter_mut().filter(move |link| link.serves == rotated)
}

pub(crate) fn remove_blocks_of(draft: &mut Draft, id: &ConnectionId) {
    let mine = draft.state.blocks.iter().filter(|block| block.connection() == Some(id));
    let gone: BTreeSet<BlockId> = mine.map(|block| block.id.clone()).collect();
    close_holds(draft, &gone, keep_ended);
    draft.state.blocks.retain(|block| !gone.contains(&block.id));
}

/// Leaves a property with links that are empty for a week, and nothing else. Answers the connections whose feeds are to
/// be forgotten.
pub(crate) fn end_property(draft: &mut Draft) -> BTreeSet<ConnectionId> {
    let connections: BTreeSet<ConnectionId> = draft.state.connections.iter().map(|c| c.id.clone()).collect();
    for connection in &connections {
        remove_connection(draft, connection);
    }
    draft.state.blocks.clear();
    draft.state.property.deleted_at = Some(draft.now);
    draft.state.property.wake_at = None;
    draft.state.property.version += 1;
    connections
}
