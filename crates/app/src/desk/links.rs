//! Extra private links: calendars over one property, several, or all of an account, that are no connection's.
//!
//! A deleted link serves an empty calendar for a week, as a connection's does, so that its reader lets go of what it
//! holds: 404 would leave it with the last thing that it read. Its record stays for as long.

use std::collections::BTreeMap;

use calmesh_calendar::{LinkId, PropertyId};

use crate::{
    changes::EDIT_ATTEMPTS,
    desk::{
        Desk,
        accounts::DEFAULT_DETAIL,
        edit::{Edit, Expected, Flaws, InvalidField},
        preview::Openings,
        reach::Reach,
    },
    limits::{self, Full, NAME_MOST},
    model::{Detail, Dirty, ExtraLink, Format, LinkReads, LinkScope, LinkToken},
    ports::{Event, ObjectError, Page, PageRequest, StoreError},
};

/// Which properties a link to be made covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedScope {
    All,
    Properties(Vec<PropertyId>),
}

/// A link to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    pub name: String,
    pub scope: WantedScope,
    /// None: the account's.
    pub detail: Option<Detail>,
    pub format: Format,
}

/// What an edit changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkEdit {
    pub name: Option<String>,
    pub scope: Option<WantedScope>,
    pub detail: Edit<Detail>,
    pub format: Edit<Format>,
}

/// A link with what is known of its readers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkView {
    pub link: ExtraLink,
    pub reads: LinkReads,
}

/// Why a link was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Unknown, deleted, or beyond what the caller sees.
    #[error("no such link")]
    NotFound,
    /// The caller sees some properties only; a link over all would show the others.
    #[error("this token sees some properties only and can't make a link over all of them")]
    Limited,
    /// It was edited meanwhile.
    #[error("the link is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Makes a link; its calendar is rendered at once in the background.
    ///
    /// # Errors
    /// `Limited`, `Invalid`, `Full`, or the store's.
    pub async fn create_link(&self, reach: &Reach, new: NewLink) -> Result<LinkView, LinkError> {
        let name = new.name.trim().to_owned();
        let scope = self.link_scope(reach, &name, Some(&new.scope)).await?.unwrap_or(LinkScope::All);
        let detail = match new.detail {
            Some(detail) => detail,
            None => self.default_detail(reach).await?,
        };
        let id = LinkId::from_random(self.randomness.id());
        let made = if self.randomness.repeats() { self.links.link(&id).await? } else { None };
        if let Some(link) = made {
            return self.link_made(link).await;
        }
        self.room_for_link(reach, &scope, None).await?;
        let now = self.clock.now();
        let link = ExtraLink {
            id,
            account: reach.account.clone(),
            name,
            scope,
            detail,
            format: new.format,
            token: LinkToken::from_random(self.randomness.secret()),
            created_at: now,
            last_changed_at: None,
            version: 1,
            revision: 1,
            dirty: Some(Dirty::new(now)),
            deleted_at: None,
        };
        self.links.put_link(&link).await?;
        // Others may have been made at the same moment, each seeing room: who finds too many afterwards takes his back.
        if let Err(full) = self.room_for_link(reach, &link.scope, Some(&link.id)).await {
            self.links.delete_link(&link.id).await?;
            return Err(full);
        }
        self.link_made(link).await
    }

    /// Whether there is room for one more link, or for this one that was just made.
    async fn room_for_link(&self, reach: &Reach, scope: &LinkScope, made: Option<&LinkId>) -> Result<(), LinkError> {
        let counted = self.links.count_links(&reach.account, limits::LINKS.most + 1).await?;
        limits::LINKS.room_beside(counted.saturating_sub(usize::from(made.is_some())))?;
        if *scope == LinkScope::All {
            let links = self.links_within(reach).await?;
            let over_all = links
                .iter()
                .filter(|link| link.deleted_at.is_none() && link.scope == LinkScope::All && made != Some(&link.id));
            limits::LINKS_OVER_ALL.room_beside(over_all.count())?;
        }
        Ok(())
    }

    /// Serves a link that was just made before its address is told.
    async fn link_made(&self, link: ExtraLink) -> Result<LinkView, LinkError> {
        self.bus.announce_soon(&[Event::LinkDirty { link: link.id.clone() }]).await;
        self.publish.serve_link_at_once(&link.id).await;
        let link = self.links.link(&link.id).await?.unwrap_or(link);
        Ok(LinkView { link, reads: LinkReads::default() })
    }

    /// The links that the caller sees whole, in order of creation. A page may be short where others lie between.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_links(&self, reach: &Reach, page: PageRequest) -> Result<Page<LinkView>, LinkError> {
        let Page { mut items, next } = self.links.links(&reach.account, page).await?;
        items.retain(|link| shows(reach, link));
        let tokens: Vec<_> = items.iter().map(|link| link.token.hash()).collect();
        let mut reads = self.links.reads(&tokens, self.clock.now()).await?.into_iter();
        let items = items.into_iter().map(|link| LinkView { link, reads: reads.next().unwrap_or_default() }).collect();
        Ok(Page { items, next })
    }

    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn link(&self, reach: &Reach, id: &LinkId) -> Result<LinkView, LinkError> {
        let link = self.links.link(id).await?.filter(|link| shows(reach, link)).ok_or(LinkError::NotFound)?;
        self.with_reads(link).await
    }

    /// # Errors
    /// `NotFound`, `Limited`, `Outdated`, `Invalid`, `Full`, or the store's.
    pub async fn edit_link(
        &self,
        reach: &Reach,
        id: &LinkId,
        edit: &LinkEdit,
        expected: &Expected,
    ) -> Result<LinkView, LinkError> {
        let mut attempt = 0;
        loop {
            let before = self.links.link(id).await?.filter(|link| shows(reach, link)).ok_or(LinkError::NotFound)?;
            if !expected.fits(before.version) {
                return Err(LinkError::Outdated);
            }
            let mut after = self.edited_link(reach, &before, edit).await?;
            if after == before {
                return self.with_reads(before).await;
            }
            let now = self.clock.now();
            after.version += 1;
            after.revision += 1;
            after.dirty = Some(Dirty::new(now));
            match self.links.put_link(&after).await {
                Ok(()) => {
                    // As where one is made: who finds too many afterwards takes his edit back.
                    let room = match after.scope == before.scope {
                        true => Ok(()),
                        false => self.room_for_link(reach, &after.scope, Some(id)).await,
                    };
                    if room.is_err() {
                        let (version, revision) = (after.version + 1, after.revision + 1);
                        self.links.put_link(&ExtraLink { version, revision, dirty: after.dirty, ..before }).await?;
                    }
                    self.bus.announce_soon(&[Event::LinkDirty { link: id.clone() }]).await;
                    room?;
                    return self.with_reads(after).await;
                }
                Err(StoreError::Stale) if attempt < EDIT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A link as an edit would have it.
    async fn edited_link(&self, reach: &Reach, before: &ExtraLink, edit: &LinkEdit) -> Result<ExtraLink, LinkError> {
        let mut after = before.clone();
        if let Some(name) = &edit.name {
            name.trim().clone_into(&mut after.name);
        }
        if let Some(scope) = self.link_scope(reach, &after.name, edit.scope.as_ref()).await? {
            if scope == LinkScope::All && before.scope != LinkScope::All {
                self.room_for_link(reach, &scope, Some(&before.id)).await?;
            }
            after.scope = scope;
        }
        let default = match edit.detail {
            Edit::Reset => self.default_detail(reach).await?,
            Edit::Keep | Edit::To(_) => DEFAULT_DETAIL,
        };
        after.detail = edit.detail.over(after.detail, || default);
        after.format = edit.format.over(after.format, || Format::Nights);
        Ok(after)
    }

    /// What the edit would open.
    ///
    /// # Errors
    /// As the edit itself.
    pub async fn preview_link_edit(
        &self,
        reach: &Reach,
        id: &LinkId,
        edit: &LinkEdit,
        expected: &Expected,
    ) -> Result<Openings, LinkError> {
        let before = self.links.link(id).await?.filter(|link| shows(reach, link)).ok_or(LinkError::NotFound)?;
        if !expected.fits(before.version) {
            return Err(LinkError::Outdated);
        }
        let after = self.edited_link(reach, &before, edit).await?;
        Ok(self.link_openings(&before, Some(&after)).await?)
    }

    /// What deleting it would open.
    ///
    /// # Errors
    /// As the deletion itself.
    pub async fn preview_link_deletion(
        &self,
        reach: &Reach,
        id: &LinkId,
        expected: &Expected,
    ) -> Result<Openings, LinkError> {
        let before = self.links.link(id).await?.filter(|link| shows(reach, link)).ok_or(LinkError::NotFound)?;
        if !expected.fits(before.version) {
            return Err(LinkError::Outdated);
        }
        Ok(self.link_openings(&before, None).await?)
    }

    async fn link_openings(&self, before: &ExtraLink, after: Option<&ExtraLink>) -> Result<Openings, StoreError> {
        let mut gone = self.nights_on_link(before).await?;
        if let Some(after) = after {
            let still = self.nights_on_link(after).await?;
            gone.retain(|night| !still.contains(night));
        }
        let at_links = if gone.is_empty() { BTreeMap::new() } else { BTreeMap::from([(before.id.clone(), gone)]) };
        Ok(Openings { at_links, ..Openings::default() })
    }

    /// Deletes a link: nobody sees it any more, its address serves an empty calendar for a week and then answers 404.
    ///
    /// The record of the deletion is written first, so that a crash before the object followed is made good by
    /// whoever meets the dirty mark.
    ///
    /// # Errors
    /// `NotFound`, `Outdated`, or a store's.
    pub async fn delete_link(&self, reach: &Reach, id: &LinkId, expected: &Expected) -> Result<(), LinkError> {
        let mut attempt = 0;
        loop {
            let link = self.links.link(id).await?.filter(|link| shows(reach, link)).ok_or(LinkError::NotFound)?;
            if !expected.fits(link.version) {
                return Err(LinkError::Outdated);
            }
            match self.links.put_link(&link.deleted(self.clock.now())).await {
                Ok(()) => {
                    self.bus.announce_soon(&[Event::LinkDirty { link: id.clone() }]).await;
                    self.publish.serve_link_at_once(id).await;
                    return Ok(());
                }
                Err(StoreError::Stale) if attempt < EDIT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Every link that the caller sees whole, or saw before it was deleted: those while their records are kept.
    pub(crate) async fn links_within(&self, reach: &Reach) -> Result<Vec<ExtraLink>, StoreError> {
        let mut found = self.links.links_of_account(&reach.account).await?;
        found.retain(|link| within(reach, link));
        Ok(found)
    }

    async fn with_reads(&self, link: ExtraLink) -> Result<LinkView, LinkError> {
        let reads = self.links.reads(&[link.token.hash()], self.clock.now()).await?;
        Ok(LinkView { link, reads: reads.first().copied().unwrap_or_default() })
    }

    async fn default_detail(&self, reach: &Reach) -> Result<Detail, StoreError> {
        Ok(self.accounts.account(&reach.account).await?.map_or(DEFAULT_DETAIL, |account| account.default_detail))
    }

    /// The scope that was asked for, if any was, after checking it together with the name.
    async fn link_scope(
        &self,
        reach: &Reach,
        name: &str,
        wanted: Option<&WantedScope>,
    ) -> Result<Option<LinkScope>, LinkError> {
        let mut flaws = Flaws::default();
        flaws.text("name", name, 1, NAME_MOST);
        let mut invalid = flaws.into_result().err().unwrap_or_default();
        let scope = match wanted {
            None => None,
            Some(WantedScope::All) if reach.properties.is_some() => return Err(LinkError::Limited),
            Some(WantedScope::All) => Some(LinkScope::All),
            Some(WantedScope::Properties(wanted)) => {
                let (found, wrong) = self.selection(reach, wanted).await?;
                invalid.extend(wrong);
                Some(LinkScope::Properties(found))
            }
        };
        if invalid.is_empty() { Ok(scope) } else { Err(LinkError::Invalid(invalid)) }
    }
}

/// Whether the caller sees this link: nothing in it may be of a property that he does not see.
fn shows(reach: &Reach, link: &ExtraLink) -> bool {
    link.deleted_at.is_none() && within(reach, link)
}

/// The same of a link that may be deleted.
fn within(reach: &Reach, link: &ExtraLink) -> bool {
    if link.account != reach.account {
        return false;
    }
    match (&reach.properties, &link.scope) {
        (None, _) => true,
        (Some(_), LinkScope::All) => false,
        (Some(some), LinkScope::Properties(of)) => of.is_subset(some),
    }
}
