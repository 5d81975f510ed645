//! Properties: made, shown, edited, deleted.

use std::collections::BTreeSet;

use calmesh_calendar::{ConnectionId, Extent, PropertyId, Times};
use jiff::civil::Time;

use crate::{
    changes::{
        ChangeRefusal,
        difference::difference,
        draft::{Draft, History},
        ending::end_property,
    },
    desk::{
        Desk,
        edit::{Edit, Expected, Flaws, InvalidField, ZONE_WANTED, known_zone},
        preview::Openings,
        reach::Reach,
    },
    limits::{self, Full, LABEL_PREFIX_MOST, NAME_MOST, TURNOVER_MOST},
    model::{Activity, ActivityKind, Names, Property, PropertyState},
    ports::{ObjectError, Page, PageRequest, StoreError},
    readings::kept::{KeptBodies, take_kept},
};

pub const DEFAULT_CHECK_IN: Time = Time::constant(15, 0, 0, 0);
pub const DEFAULT_CHECK_OUT: Time = Time::constant(11, 0, 0, 0);
/// A decision is prepared anew so often when feeds change under it.
const PREPARATIONS: u32 = 6;

/// A property to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProperty {
    pub name: String,
    /// IANA name.
    pub time_zone: String,
    pub check_in: Time,
    pub check_out: Time,
    pub turnover_nights: u8,
    /// None: the account's.
    pub label_prefix: Option<String>,
}

/// What an edit changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyEdit {
    pub name: Option<String>,
    pub time_zone: Option<String>,
    pub check_in: Edit<Time>,
    pub check_out: Edit<Time>,
    pub turnover_nights: Edit<u8>,
    pub label_prefix: Edit<String>,
}

/// Why a property was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum PropertyError {
    /// Unknown, deleted, or not the caller's.
    #[error("no such property")]
    NotFound,
    /// The caller's account was deleted meanwhile.
    #[error("the account was deleted")]
    AccountDeleted,
    /// The caller sees some properties only and can make none.
    #[error("this token sees some properties only and can't make new ones")]
    Limited,
    /// It was edited meanwhile.
    #[error("the property is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// Feeds are changing faster than they can be re-read.
    #[error("the property keeps changing")]
    Busy,
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for PropertyError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

impl Desk {
    /// # Errors
    /// `AccountDeleted`, `Limited`, `Invalid`, `Full`, or the store's.
    pub async fn create_property(&self, reach: &Reach, new: NewProperty) -> Result<Property, PropertyError> {
        if reach.properties.is_some() {
            return Err(PropertyError::Limited);
        }
        let label_prefix = match new.label_prefix {
            Some(prefix) => prefix,
            None => self.default_label_prefix(reach).await?,
        };
        let now = self.clock.now();
        let property = Property {
            id: PropertyId::from_random(self.randomness.id()),
            account: reach.account.clone(),
            name: new.name.trim().to_owned(),
            time_zone: new.time_zone,
            check_in: new.check_in,
            check_out: new.check_out,
            turnover_nights: new.turnover_nights,
            label_prefix,
            created_at: now,
            rules_changed_at: now,
            version: 1,
            revision: 1,
            revised_at: Some(now),
            reading: Vec::new(),
            dirty: None,
            wake_at: None,
            deleted_at: None,
        };
        let property = validated(property)?;
        // Made by a request that was cut off before it could say so.
        if self.randomness.repeats()
            && let Some(made) = self.properties.property(&property.id).await?
        {
            return Ok(made);
        }
        let limit = limits::PROPERTIES;
        limit.room_beside(self.properties.count_properties(&reach.account, limit.most).await?)?;
        let state = PropertyState::of(property);
        let created = Activity {
            property: state.property.id.clone(),
            at: now,
            connection: None,
            kind: ActivityKind::PropertyCreated,
            names: Names { property: Some(state.property.name.clone()), ..Names::default() },
        };
        // No dirty mark: nothing is taken in it yet, and it has no link that must follow.
        let history = History { activity: vec![created], ..History::default() };
        match self.properties.commit(&difference(None, &state, history)).await {
            Ok(()) => Ok(state.property),
            Err(StoreError::Stale) => Err(PropertyError::AccountDeleted),
            Err(error) => Err(error.into()),
        }
    }

    /// The caller's properties, in order of creation.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_properties(&self, reach: &Reach, page: PageRequest) -> Result<Page<Property>, PropertyError> {
        let Some(some) = &reach.properties else {
            return Ok(self.properties.properties(&reach.account, page).await?);
        };
        // A token names few properties: they are looked up, and paged by id.
        let mut items = Vec::new();
        let mut next = None;
        for id in some.iter().filter(|id| page.after.as_deref().is_none_or(|after| id.as_str() > after)) {
            let found = self.properties.property(id).await?.filter(|property| reach.shows(property));
            if let Some(property) = found {
                if items.len() >= usize::from(page.limit) {
                    next = items.last().map(|last: &Property| last.id.as_str().to_owned());
                    break;
                }
                items.push(property);
            }
        }
        Ok(Page { items, next })
    }

    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn property(&self, reach: &Reach, id: &PropertyId) -> Result<Property, PropertyError> {
        let found = self.properties.property(id).await?;
        found.filter(|property| reach.shows(property)).ok_or(PropertyError::NotFound)
    }

    /// # Errors
    /// `NotFound`, `Outdated`, `Invalid`, `Busy`, or a store's.
    pub async fn edit_property(
        &self,
        reach: &Reach,
        id: &PropertyId,
        edit: &PropertyEdit,
        expected: &Expected,
    ) -> Result<Property, PropertyError> {
        for _ in 0..PREPARATIONS {
            let (kept, prefix) = self.ahead_of_edit(reach, id, edit, expected).await?;
            let change = |draft: &mut Draft| {
                apply_edit(draft, reach, edit, expected, &prefix, &kept, &mut self.randomness.ids_in(id))
            };
            match self.changes.change(id, change).await {
                Ok(changed) => return Ok(changed.state.property),
                // A feed was taken in between: the new body is loaded.
                Err(PropertyError::Busy) => {}
                Err(error) => return Err(error),
            }
        }
        Err(PropertyError::Busy)
    }

    /// What the edit would open.
    ///
    /// # Errors
    /// As the edit itself.
    pub async fn preview_property_edit(
        &self,
        reach: &Reach,
        id: &PropertyId,
        edit: &PropertyEdit,
        expected: &Expected,
    ) -> Result<Openings, PropertyError> {
        let (kept, prefix) = self.ahead_of_edit(reach, id, edit, expected).await?;
        let before = self.state_within(reach, id).await?.ok_or(PropertyError::NotFound)?;
        self.openings_of(reach, &before, |draft| {
            apply_edit(draft, reach, edit, expected, &prefix, &kept, &mut self.randomness.ids_in(id))
        })
        .await
    }

    /// Deletes a property: its blocks go, and its links serve an empty calendar for a week.
    ///
    /// # Errors
    /// `NotFound`, `Outdated`, or the store's.
    pub async fn delete_property(
        &self,
        reach: &Reach,
        id: &PropertyId,
        expected: &Expected,
    ) -> Result<(), PropertyError> {
        let changed = self.changes.change(id, |draft| apply_deletion(draft, reach, expected)).await?;
        self.forget_feeds(&changed.state.property.account, &changed.value).await;
        Ok(())
    }

    /// What deleting it would open.
    ///
    /// # Errors
    /// As the deletion itself.
    pub async fn preview_property_deletion(
        &self,
        reach: &Reach,
        id: &PropertyId,
        expected: &Expected,
    ) -> Result<Openings, PropertyError> {
        let before = self.state_within(reach, id).await?.ok_or(PropertyError::NotFound)?;
        self.openings_of(reach, &before, |draft| apply_deletion(draft, reach, expected)).await
    }

    async fn default_label_prefix(&self, reach: &Reach) -> Result<String, StoreError> {
        let account = self.accounts.account(&reach.account).await?;
        Ok(account.map_or_else(|| "EX-".to_owned(), |account| account.default_label_prefix))
    }

    /// What must be known before an edit: the feeds to re-read where the zone changes, because times in a feed
    /// that name no zone are the property's; and the default prefix.
    async fn ahead_of_edit(
        &self,
        reach: &Reach,
        id: &PropertyId,
        edit: &PropertyEdit,
        expected: &Expected,
    ) -> Result<(KeptBodies, String), PropertyError> {
        let state = self.state_within(reach, id).await?.ok_or(PropertyError::NotFound)?;
        if !expected.fits(state.property.version) {
            return Err(PropertyError::Outdated);
        }
        let prefix = match edit.label_prefix {
            Edit::Reset => self.default_label_prefix(reach).await?,
            _ => String::new(),
        };
        let mut kept = KeptBodies::default();
        if edit.time_zone.as_ref().is_some_and(|zone| *zone != state.property.time_zone) {
            let zone = edit.time_zone.clone().unwrap_or_default();
            let edited = Property {
                time_zone: zone,
                check_in: edit.check_in.over(state.property.check_in, || DEFAULT_CHECK_IN),
                check_out: edit.check_out.over(state.property.check_out, || DEFAULT_CHECK_OUT),
                turnover_nights: edit.turnover_nights.over(state.property.turnover_nights, || 0),
                ..state.property.clone()
            };
            // As the edit will leave it; what is not valid is said by the edit itself.
            let house = edited.house().unwrap_or_else(|_| state.house());
            for connection in &state.connections {
                kept.load::<PropertyError>(&self.publish.kept_at(), connection, &house).await?;
            }
        }
        Ok((kept, prefix))
    }
}

fn validated(mut property: Property) -> Result<Property, PropertyError> {
    let mut flaws = Flaws::default();
    flaws.text("name", &property.name, 1, NAME_MOST);
    flaws.text("label_prefix", &property.label_prefix, 0, LABEL_PREFIX_MOST);
    match known_zone(&property.time_zone).and_then(|zone| zone.iana_name().map(str::to_owned)) {
        // As the database writes it.
        Some(name) => property.time_zone = name,
        None => flaws.add("time_zone", ZONE_WANTED),
    }
    if property.check_out > property.check_in {
        flaws.add("check_out", "must not be after check_in");
    }
    if property.turnover_nights > TURNOVER_MOST {
        flaws.add("turnover_nights", format!("must be from 0 to {TURNOVER_MOST}"));
    }
    flaws.into_result().map_err(PropertyError::Invalid)?;
    Ok(property)
}

fn apply_edit(
    draft: &mut Draft,
    reach: &Reach,
    edit: &PropertyEdit,
    expected: &Expected,
    default_prefix: &str,
    kept: &KeptBodies,
    ids: &mut dyn FnMut() -> [u8; 16],
) -> Result<(), PropertyError> {
    let before = draft.state.property.clone();
    if !reach.shows(&before) {
        return Err(PropertyError::NotFound);
    }
    if !expected.fits(before.version) {
        return Err(PropertyError::Outdated);
    }
    let mut after = before.clone();
    if let Some(name) = &edit.name {
        name.trim().clone_into(&mut after.name);
    }
    if let Some(zone) = &edit.time_zone {
        after.time_zone.clone_from(zone);
    }
    after.check_in = edit.check_in.over(after.check_in, || DEFAULT_CHECK_IN);
    after.check_out = edit.check_out.over(after.check_out, || DEFAULT_CHECK_OUT);
    after.turnover_nights = edit.turnover_nights.over(after.turnover_nights, || 0);
    after.label_prefix = edit.label_prefix.over(after.label_prefix, || default_prefix.to_owned());
    let mut after = validated(after)?;
    if after == before {
        return Ok(());
    }
    after.version += 1;
    let moved = after.time_zone != before.time_zone;
    if moved
        || after.check_in != before.check_in
        || after.check_out != before.check_out
        || after.turnover_nights != before.turnover_nights
    {
        after.rules_changed_at = draft.now;
    }
    if after.label_prefix != before.label_prefix {
        // Links that show labels say something else from now on.
        let now = draft.now;
        draft.state.connections.iter_mut().for_each(|connection| connection.named_at = now);
    }
    draft.state.property = after;
    draft.note(None, ActivityKind::PropertyChanged);
    if moved {
        keep_wall_clock(draft, &before);
        let connections: Vec<ConnectionId> = draft.state.connections.iter().map(|c| c.id.clone()).collect();
        for connection in connections {
            take_kept(draft, &connection, kept, ids).map_err(|_| PropertyError::Busy)?;
        }
    }
    Ok(())
}

/// The host gave the times of own blocks as the clock shows them there, so a corrected zone moves the instants.
fn keep_wall_clock(draft: &mut Draft, before: &Property) {
    let (Ok(old), Ok(new)) = (before.house(), draft.state.property.house()) else { return };
    let now = draft.now;
    for block in draft.state.blocks.iter_mut().filter(|block| block.is_own()) {
        let Extent::Times(times) = block.extent else { continue };
        let moved = Times::new(new.instant(old.local(times.start())), new.instant(old.local(times.end())));
        if let Ok(moved) = moved
            && moved != times
        {
            block.extent = Extent::Times(moved);
            block.sequence += 1;
            block.changed_at = now;
        }
    }
}

/// Answers the connections whose feeds are to be forgotten.
fn apply_deletion(
    draft: &mut Draft,
    reach: &Reach,
    expected: &Expected,
) -> Result<BTreeSet<ConnectionId>, PropertyError> {
    if !reach.shows(&draft.state.property) {
        return Err(PropertyError::NotFound);
    }
    if !expected.fits(draft.state.property.version) {
        return Err(PropertyError::Outdated);
    }
    Ok(end_property(draft))
}
