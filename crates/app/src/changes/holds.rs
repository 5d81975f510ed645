//! How holds end, and what is told and kept of it.

use std::collections::BTreeSet;

use calmesh_calendar::{Block, BlockId, ConnectionId, EndedHold, Hold, HoldCause, HoldEnd};

use crate::{
    changes::draft::Draft,
    model::{ActivityKind, ClosedHold},
};

/// The hold of a block that vanished together with others and of which the host has said nothing yet.
pub(crate) fn vanished_together(block: &Block) -> Option<&Hold> {
    block.hold().filter(|hold| hold.cause == HoldCause::MassVanish && !hold.kept)
}

/// Tells and keeps how a hold ended.
pub(crate) fn end_hold(draft: &mut Draft, connection: &ConnectionId, ended: EndedHold) {
    let (id, of) = (ended.hold.id.clone(), ended.block.id.clone());
    let kind = match ended.end {
        HoldEnd::Released => ActivityKind::HoldReleased { hold: id, block: of },
        HoldEnd::Confirmed => ActivityKind::HoldConfirmed { hold: id, block: of },
        HoldEnd::Returned => ActivityKind::HoldReturned { hold: id, block: of },
    };
    draft.note(Some(connection), kind);
    keep_ended(draft, connection, ended);
}

/// Keeps how a hold ended, where what ended it is told by itself.
pub(crate) fn keep_ended(draft: &mut Draft, connection: &ConnectionId, ended: EndedHold) {
    let EndedHold { block, hold, end } = ended;
    let nights = block.extent.nights(&draft.state.house());
    draft.history.closed_holds.push(ClosedHold {
        hold,
        end,
        closed_at: draft.now,
        property: draft.state.property.id.clone(),
        block: block.id,
        connection: connection.clone(),
        nights,
    });
}

/// Ends the holds of blocks that go because the host said so.
pub(crate) fn close_holds(
    draft: &mut Draft,
    gone: &BTreeSet<BlockId>,
    end: impl Fn(&mut Draft, &ConnectionId, EndedHold),
) {
    let blocks: Vec<Block> = draft.state.blocks.iter().filter(|block| gone.contains(&block.id)).cloned().collect();
    for block in blocks {
        if let (Some(hold), Some(connection)) = (block.hold().cloned(), block.connection().cloned()) {
            end(draft, &connection, EndedHold { block, hold, end: HoldEnd::Released });
        }
    }
}
