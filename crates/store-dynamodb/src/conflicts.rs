//! The standing conflicts of a property: one item as long as there are few, else pages. Who lists conflicts reads entries of
//! the account instead, one for each, also of those that closed.

use std::collections::BTreeMap;

use calmesh_app::{
    model::PropertyState,
    ports::{PropertyCommit, StoreError},
};
use calmesh_calendar::{Conflict, ConflictId, PropertyId};

use crate::{
    doc, item,
    journal::{Step, Value},
    pages::{self, Paged},
    schema::{self, attr},
    table::Item,
};

/// What a conflict weighs beside the stays that it names, and each of these.
const BARE_WEIGHT: usize = 200;
const STAY_WEIGHT: usize = 33;

impl Paged for Conflict {
    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn weight(&self) -> usize {
        let named = self.blocks.len().saturating_add(self.gone.len());
        BARE_WEIGHT.saturating_add(named.saturating_mul(STAY_WEIGHT))
    }
}

/// Whether a commit needs to know what there is.
pub(crate) fn touches(commit: &PropertyCommit) -> bool {
    !(commit.put_conflicts.is_empty() && commit.remove_conflicts.is_empty())
}

/// What a commit writes and removes of the standing conflicts, where this was the state before.
pub(crate) fn steps(commit: &PropertyCommit, before: &PropertyState) -> Vec<Step> {
    if !touches(commit) {
        return Vec::new();
    }
    let id = &commit.property.id;
    let old: BTreeMap<&ConflictId, &Conflict> = before.conflicts.iter().map(|known| (&known.id, known)).collect();
    let mut new = old.clone();
    new.extend(commit.put_conflicts.iter().map(|conflict| (&conflict.id, conflict)));
    new.retain(|conflict, _| !commit.remove_conflicts.contains(conflict));
    let [old, new] = [old, new].map(|all| pages::paged(&all.into_values().collect::<Vec<_>>()));
    let rev = Value::N(commit.property.revision.to_string());
    let put = pages::moved(&old, &new).map(|(nth, page)| {
        let doc = Value::B(doc::conflict::encode(id, page));
        let of = Value::N(new.len().to_string());
        Step::put(schema::conflicts(id, nth), [(attr::DOC, doc), (attr::REV, rev.clone()), (attr::OF, of)])
    });
    put.chain((new.len()..old.len()).map(|nth| Step::delete(schema::conflicts(id, nth)))).collect()
}

/// The conflicts of these pages, in order of id.
pub(crate) fn read(property: &PropertyId, found: &[&Item]) -> Result<Vec<Conflict>, StoreError> {
    let mut conflicts = Vec::new();
    for page in found {
        if item::get_number::<usize>(page, attr::OF)? != found.len() {
            return Err(pages::incomplete("conflicts"));
        }
        conflicts.extend(doc::conflict::decode(item::get_bytes(page, attr::DOC)?, property)?);
    }
    conflicts.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(conflicts)
}

#[cfg(test)]
mod tests {
    use calmesh_app::contract::{a_conflict, a_property, block_id, nothing_but};

    use super::*;

    fn items(steps: &[Step]) -> BTreeMap<String, Item> {
        let mut items = BTreeMap::new();
        steps.iter().for_each(|step| step.clone().overlay(&mut items));
        items
    }

    #[test]
    fn few_conflicts_are_one_item_and_a_change_of_one_of_many_writes_its_page_alone() {
        let property = a_property(1, 1);
        let large = |n| Conflict { blocks: (0..16).map(block_id).collect(), ..a_conflict(n) };
        let mut state = PropertyState::of(property.clone());
        for (count, expected) in [(1, 1), (30, 1), (300, 16), (2, 1), (0, 0)] {
            let all: Vec<Conflict> = (0..count).map(large).collect();
            let gone = state.conflicts.iter().map(|known| known.id.clone());
            let commit = PropertyCommit {
                remove_conflicts: gone.filter(|id| all.iter().all(|conflict| conflict.id != *id)).collect(),
                put_conflicts: all.clone(),
                ..nothing_but(&property)
            };
            let mut left = items(&[]);
            let before = PropertyCommit { put_conflicts: state.conflicts.clone(), ..nothing_but(&property) };
            steps(&before, &PropertyState::of(property.clone())).into_iter().for_each(|step| step.overlay(&mut left));
            steps(&commit, &state).into_iter().for_each(|step| step.overlay(&mut left));
            assert_eq!(left.len(), expected, "{count} conflicts");
            let mut sorted = all;
            sorted.sort_by(|a, b| a.id.cmp(&b.id));
            assert_eq!(read(&property.id, &left.values().collect::<Vec<_>>()).unwrap(), sorted);
            if left.len() > 1 {
                let some: Vec<&Item> = left.values().skip(1).collect();
                assert!(matches!(read(&property.id, &some), Err(StoreError::Corrupt { .. })), "a page is missed");
                let one = Conflict { settled: true, ..sorted[7].clone() };
                let known = PropertyState { conflicts: sorted.clone(), ..state.clone() };
                let change = PropertyCommit { put_conflicts: vec![one], ..nothing_but(&property) };
                assert_eq!(steps(&change, &known).len(), 1);
            }
            state.conflicts = sorted;
        }
        let same = PropertyCommit { put_conflicts: vec![large(1)], ..nothing_but(&property) };
        let known = PropertyState { conflicts: vec![large(1)], ..state };
        assert_eq!(steps(&same, &known), [], "what is as it was is not written");
    }
}
