//! What an own block may extend.

use calmesh_calendar::{Block, BlockId, BlockKind, BlockState, Extent, House, Mirrors, block_state};

use crate::{
    changes::{draft::Draft, extensions::touches},
    desk::edit::Flaws,
};

/// Looks at the stay that an own block is to extend.
pub(crate) fn check_extends(
    draft: &Draft,
    own: &BlockId,
    extends: &BlockId,
    extent: Option<Extent>,
    house: &House,
    flaws: &mut Flaws,
) {
    if own == extends {
        flaws.add("extends", "a block can't extend itself");
        return;
    }
    let Some(stay) = draft.block(extends) else {
        flaws.add("extends", "must be a block of the same property");
        return;
    };
    let sources = draft.state.sources();
    let picture = draft.state.picture(&sources, house);
    if stay.kind == BlockKind::RuleClosure || block_state(&picture, &Mirrors::of(&picture), stay) == BlockState::Echo {
        flaws.add("extends", "must be a stay: this block is an echo of another one, or a site's own rule");
    } else if leads_to(draft, stay, own) {
        flaws.add("extends", "must not be a block that extends this one");
    } else if extent.is_some_and(|extent| !touches(stay.extent, extent, house)) {
        flaws.add("extends", "must be a stay that this block touches: it ends where the block begins, or overlaps it");
    }
}

/// Whether a block extends another one, or a block that does.
fn leads_to(draft: &Draft, block: &Block, own: &BlockId) -> bool {
    let mut next = block.extends();
    // As many steps as there are blocks lead anywhere, also around a circle.
    for _ in 0..draft.state.blocks.len() {
        match next {
            Some(id) if id == own => return true,
            Some(id) => next = draft.block(id).and_then(Block::extends),
            None => return false,
        }
    }
    false
}
