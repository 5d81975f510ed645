//! Blocks that extend a stay (a late check-out, an extra night): what they may extend, and what the host is told when
//! that stay goes or moves away. The extension itself always stays: it was sold by the host.

use std::collections::HashMap;

use calmesh_calendar::{Block, BlockId, ConnectionId, Extent, House, LostStay, Nights, Origin};

use crate::{
    changes::draft::Draft,
    model::{ActivityKind, PropertyState, Site, Span, span_of},
};

/// The stay that an own block extends, or did, and does not touch any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StayApart {
    pub stay: BlockId,
    /// It is not there any more; otherwise it was moved away.
    pub gone: bool,
    /// Its connection, as it is now or was when the stay went; none for the host's own.
    pub site: Option<Site>,
    /// As it was, or is now.
    pub span: Span,
}

/// The stay that an own block has come apart from.
pub(crate) fn apart(block: &Block, state: &PropertyState, house: &House) -> Option<StayApart> {
    let site = |connection: Option<&ConnectionId>| Some(state.connection(connection?)?.site());
    if let Some(lost) = block.lost() {
        let (stay, span) = (lost.stay.clone(), span_of(lost.extent, house));
        let then = || lost.site.clone().map(|(name, provider)| Site { name, provider: provider.as_str().into() });
        return Some(StayApart { stay, gone: true, site: site(lost.connection.as_ref()).or_else(then), span });
    }
    let extends = block.extends()?;
    let stay = state.blocks.iter().find(|other| other.id == *extends)?;
    (!touches(stay.extent, block.extent, house)).then(|| StayApart {
        stay: stay.id.clone(),
        gone: false,
        site: site(stay.connection()),
        span: span_of(stay.extent, house),
    })
}

/// Whether two extents overlap, or one ends where the other begins, by exact times or by nights.
pub(crate) fn touches(stay: Extent, extension: Extent, house: &House) -> bool {
    let (a, b) = (stay.times(house), extension.times(house));
    let by_nights = |(a, b): (Nights, Nights)| a.first() <= b.end() && b.first() <= a.end();
    a.start() <= b.end() && b.start() <= a.end()
        || stay.nights(house).zip(extension.nights(house)).is_some_and(by_nights)
}

/// Tells once of each extension whose stay has gone, and of each that its stay was moved away from. One that is over is
/// nobody's to remove: its stay was forgotten, not cancelled.
pub(crate) fn tell_of_extensions(before: &PropertyState, draft: &mut Draft) {
    if !draft.state.blocks.iter().any(|block| block.extends().is_some()) {
        return;
    }
    let (house, now) = (draft.state.house(), draft.now);
    let (known, standing) = (by_id(before), by_id(&draft.state));
    let mut gone: Vec<(BlockId, Option<LostStay>)> = Vec::new();
    let mut told: Vec<ActivityKind> = Vec::new();
    for block in &draft.state.blocks {
        let Some(stay) = block.extends() else { continue };
        let is_over = block.extent.times(&house).end() <= now;
        let was = known.get(stay);
        match standing.get(stay) {
            None => {
                let lost = was.filter(|_| !is_over).map(|was| LostStay {
                    stay: stay.clone(),
                    connection: was.connection().cloned(),
                    site: was.connection().and_then(|connection| before.connection(connection)).map(|connection| {
                        let Site { name, provider } = connection.site();
                        (name, provider.to_string())
                    }),
                    extent: was.extent,
                });
                gone.push((block.id.clone(), lost));
                if !is_over {
                    told.push(ActivityKind::ExtensionOrphaned { block: block.id.clone(), stay: stay.clone() });
                }
            }
            Some(stands) => {
                let extent = known.get(&block.id).map_or(block.extent, |was| was.extent);
                let touched = was.is_some_and(|was| touches(was.extent, extent, &house));
                if touched && !is_over && !touches(stands.extent, block.extent, &house) {
                    told.push(ActivityKind::ExtensionLeft { block: block.id.clone(), stay: stay.clone() });
                }
            }
        }
    }
    for (block, lost) in gone {
        if let Some(own) = draft.block_mut(&block) {
            own.origin = Origin::Own { extends: None, lost };
        }
    }
    told.into_iter().for_each(|kind| draft.note(None, kind));
}

fn by_id(state: &PropertyState) -> HashMap<&BlockId, &Block> {
    state.blocks.iter().map(|block| (&block.id, block)).collect()
}
