//! Blocks of one source (a connection, or the host) lie on pages, so that a change of one of five thousand rewrites one page
//! of fifty. The only page of a connection's stays is part of its item (`connections`), all others are items of their own.
//!
//! Which page a block is on says `pages`. A reader checks that every page of a source is there.

use std::collections::{BTreeMap, BTreeSet};

use calmesh_app::ports::StoreError;
use calmesh_calendar::{Block, ConnectionId, EventKey, Origin, PropertyId};

use crate::{
    doc::block,
    item,
    journal::{Step, Value},
    pages::{self, Paged},
    schema::{self, attr},
    table::Item,
};

/// What a block weighs beside its words.
const BARE_WEIGHT: usize = 120;

/// The connection whose stays they are; none: the host's own.
pub(crate) type Source = Option<ConnectionId>;

impl Paged for Block {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn weight(&self) -> usize {
        let words = match &self.origin {
            Origin::Own { .. } => 0,
            Origin::Feed(feed) => {
                let uid = |key: &EventKey| key.uid.len() + key.occurrence.as_ref().map_or(0, String::len);
                feed.key.as_ref().map_or(0, uid) + feed.code.as_ref().map_or(0, String::len)
            }
        };
        BARE_WEIGHT + self.summary.len() + words
    }
}

/// The pages of a source's blocks that are items of their own.
fn items_of<'a>(source: Option<&ConnectionId>, blocks: &[&'a Block]) -> Vec<Vec<&'a Block>> {
    if source.is_some() && are_few(blocks) { Vec::new() } else { pages::paged(blocks) }
}

/// These blocks as pages that keep their order, for what is never changed.
pub(crate) fn in_order(blocks: &[Block]) -> Vec<Vec<&Block>> {
    let mut pages: Vec<Vec<&Block>> = Vec::new();
    let mut room = 0;
    for block in blocks {
        let weight = block.weight();
        match pages.last_mut().filter(|_| weight <= room) {
            Some(page) => page.push(block),
            None => {
                pages.push(vec![block]);
                room = pages::WEIGHT;
            }
        }
        room = room.saturating_sub(weight);
    }
    pages
}

/// The source that is named so.
pub(crate) fn source(name: &str) -> Option<Source> {
    match name {
        schema::OWN_BLOCKS => Some(None),
        connection => Some(Some(connection.parse().ok()?)),
    }
}

/// Whether these blocks take no more than a page.
pub(crate) fn are_few(blocks: &[&Block]) -> bool {
    pages::count_of(blocks) <= 1
}

/// The blocks of these sources, in order of id where they came so.
pub(crate) fn by_source<'a>(
    blocks: impl IntoIterator<Item = &'a Block>,
    sources: &BTreeSet<Source>,
) -> BTreeMap<Source, Vec<&'a Block>> {
    let mut lists: BTreeMap<Source, Vec<&Block>> = BTreeMap::new();
    for block in blocks {
        let source = block.connection().cloned();
        if sources.contains(&source) {
            lists.entry(source).or_default().push(block);
        }
    }
    lists
}

/// The items that are written and removed where a source has had the old blocks and has the new ones.
pub(crate) fn steps(
    property: &PropertyId,
    rev: &Value,
    source: Option<&ConnectionId>,
    old: &[&Block],
    new: &[&Block],
) -> Vec<Step> {
    let [old, new] = [old, new].map(|blocks| items_of(source, blocks));
    let key = |nth| schema::blocks(property, source, nth);
    let mut steps = Vec::new();
    for (nth, blocks) in pages::moved(&old, &new) {
        let of = Value::N(new.len().to_string());
        let doc = Value::B(block::encode(property, blocks));
        steps.push(Step::put(key(nth), [(attr::DOC, doc), (attr::REV, rev.clone()), (attr::OF, of)]));
    }
    steps.extend((new.len()..old.len()).map(|nth| Step::delete(key(nth))));
    steps
}

/// Blocks while the pages of a property are read.
pub(crate) struct Pages<'a> {
    property: &'a PropertyId,
    blocks: Vec<Block>,
    /// How many pages of each source were read, and how many it has.
    counts: BTreeMap<Source, (usize, usize)>,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(property: &'a PropertyId) -> Self {
        Self { property, blocks: Vec::new(), counts: BTreeMap::new() }
    }

    /// Takes in what follows `BLK#` in an item's sort key, and the item.
    pub(crate) fn read(&mut self, place: &str, item: &Item) -> Result<(), StoreError> {
        let (source, _) = place.split_once('#').ok_or_else(|| item::missing(attr::SK))?;
        let source = self::source(source).ok_or_else(|| item::missing(attr::SK))?;
        let of = item::get_number(item, attr::OF)?;
        let blocks = block::decode(item::get_bytes(item, attr::DOC)?, self.property, source.as_ref())?;
        self.take(source, blocks, of)
    }

    /// Takes in the stays that lie in their connection's item.
    pub(crate) fn take_within(&mut self, connection: &ConnectionId, stays: Vec<Block>) -> Result<(), StoreError> {
        self.take(Some(connection.clone()), stays, 1)
    }

    fn take(&mut self, source: Source, blocks: Vec<Block>, of: usize) -> Result<(), StoreError> {
        self.blocks.extend(blocks);
        let (read, all) = self.counts.entry(source).or_insert((0, of));
        *read += 1;
        if *all == of { Ok(()) } else { Err(pages::incomplete("blocks")) }
    }

    /// All blocks, in order of id.
    pub(crate) fn blocks(self) -> Result<Vec<Block>, StoreError> {
        if self.counts.values().any(|(read, all)| read != all) {
            return Err(pages::incomplete("blocks"));
        }
        let mut blocks = self.blocks;
        blocks.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use calmesh_app::{
        contract::{a_block, a_property, at, block_id, nothing_but},
        model::{PropertyState, SecretHash},
        ports::PropertyCommit,
    };
    use calmesh_calendar::{BlockId, Extent, Hold, HoldCause, HoldId, LostStay, Sign, Times};

    use super::*;

    fn own(n: u64, extends: Option<BlockId>) -> Block {
        Block { origin: Origin::Own { extends, lost: None }, ..a_block(1, n) }
    }

    fn every_kind() -> Vec<Block> {
        let mut held = a_block(1, 2);
        if let Origin::Feed(feed) = &mut held.origin {
            feed.code = Some("HM\"1\n".to_owned());
            feed.sign = Sign::Reservation;
            feed.hold = Some(Hold {
                id: HoldId::from_random([1; 16]),
                cause: HoldCause::MassVanish,
                group: Some(HoldId::from_random([2; 16])),
                opened_at: at(3),
                readings: 2,
                earliest_release_at: at(3) + jiff::SignedDuration::from_nanos(1),
                kept: true,
            });
        }
        let mut bare = a_block(1, 3);
        if let Origin::Feed(feed) = &mut bare.origin {
            feed.key = None;
        }
        bare.summary = String::new();
        bare.sequence = u32::MAX;
        bare.changed_at = bare.first_seen_at + jiff::SignedDuration::from_nanos(7);
        let times = Extent::Times(Times::new(at(0), at(5000)).unwrap());
        vec![a_block(1, 1), held, bare, Block { extent: times, ..a_block(1, 4) }]
    }

    fn page_of(blocks: &[Block]) -> Vec<u8> {
        block::encode(&a_property(1, 1).id, &blocks.iter().collect::<Vec<_>>())
    }

    fn read(page: &[u8], connection: Option<&ConnectionId>) -> Result<Vec<Block>, StoreError> {
        block::decode(page, &a_property(1, 1).id, connection)
    }

    #[test]
    fn a_page_gives_back_what_it_was_made_of() {
        let stays = every_kind();
        assert_eq!(read(&page_of(&stays), stays[0].connection()).unwrap(), stays);
        let (connection, site) = (stays[0].connection().cloned(), Some(("Flat".to_owned(), "vrbo".to_owned())));
        let lost = LostStay { stay: block_id(9), connection, site, extent: stays[3].extent };
        let late = Block { origin: Origin::Own { extends: None, lost: Some(lost) }, ..a_block(1, 7) };
        let own = [own(5, None), own(6, Some(block_id(1))), late];
        assert_eq!(read(&page_of(&own), None).unwrap(), own);
    }

    #[test]
    fn what_stays_have_in_common_stands_once() {
        let home = a_property(1, 1).id;
        let stay = |n: u8| {
            let mut stay = Block { id: BlockId::from_random(home.within([n; 16])), ..a_block(1, n.into()) };
            if let Origin::Feed(feed) = &mut stay.origin
                && let Some(key) = &mut feed.key
            {
                // As Airbnb writes them: thirty-two digits of which nothing can be foretold.
                key.uid = format!("1418fb94e984-{}@airbnb.com", &SecretHash::of(&n.to_string()).to_hex()[..32]);
            }
            stay
        };
        let stays: Vec<Block> = (1..41).map(stay).collect();
        let page = page_of(&stays);
        assert!(page.len() < 40 * 33, "{} bytes", page.len());
        assert_eq!(read(&page, stays[0].connection()).unwrap(), stays);
    }

    #[test]
    fn the_form_of_a_page_stands() {
        assert_eq!(hex::encode(page_of(&every_kind())), include_str!("tests/page-of-blocks-v1.hex").trim_end());
    }

    #[test]
    fn a_page_of_a_later_version_is_refused_in_words_and_quotes_nothing() {
        let stays = every_kind();
        let mut later = page_of(&stays);
        later[0] = 2;
        let error = read(&later, None).unwrap_err().to_string();
        assert_eq!(error, "a stored item can't be read: a page of blocks: version 2 is not known here");
        let mut longer = page_of(&stays);
        longer.push(0);
        for wrong in [longer.as_slice(), &[1], &[]] {
            let error = read(wrong, stays[0].connection()).unwrap_err().to_string();
            assert_eq!(error, "a stored item can't be read: a page of blocks: not of the expected form");
        }
    }

    /// Where blocks lie is part of the stored form.
    #[test]
    fn the_same_blocks_lie_on_the_same_pages_for_ever() {
        let blocks: Vec<Block> = (0..300).map(|n| a_block(1, n)).collect();
        let all: Vec<&Block> = blocks.iter().collect();
        let lie = pages::paged(&all);
        let first: Vec<usize> = (0..8).map(|n| pages::nth_of(block_id(n).as_str(), 4)).collect();
        assert_eq!((lie.len(), blocks[0].weight(), first), (2, 147, vec![0, 0, 2, 2, 3, 2, 0, 0]));
        assert_eq!(lie.iter().map(Vec::len).sum::<usize>(), 300);
        assert_eq!(pages::count_of(&all[..1]), 1);
        assert_eq!(pages::count_of::<Block>(&[]), 0);
    }

    #[test]
    fn a_change_of_one_stay_writes_its_page_alone() {
        let property = a_property(1, 1);
        let before =
            PropertyState { blocks: (0..5000).map(|n| a_block(1, n)).collect(), ..PropertyState::of(property.clone()) };
        let steps = |commit: &PropertyCommit| crate::connections::steps(commit, &before).unwrap();
        let changed = Block { sequence: 9, ..a_block(1, 7) };
        let commit = PropertyCommit { put_blocks: vec![changed], ..nothing_but(&property) };
        assert_eq!(steps(&commit).len(), 1);
        let same = PropertyCommit { put_blocks: vec![a_block(1, 7)], ..nothing_but(&property) };
        assert!(steps(&same).is_empty(), "what is as it was is not written");
        let unknown = PropertyCommit { remove_blocks: vec![block_id(70_000)], ..nothing_but(&property) };
        assert!(steps(&unknown).is_empty());
        let all = PropertyCommit {
            remove_blocks: before.blocks.iter().map(|block| block.id.clone()).collect(),
            ..nothing_but(&property)
        };
        let gone = steps(&all);
        assert!(gone.iter().all(|step| matches!(step, Step::Delete { .. })));
        assert!(gone.len() <= 64, "{}", gone.len());
    }
}
