//! Accounts: made by the operator or when an identity first comes, opened by tokens, edited, erased.

use calmesh_calendar::{AccountId, PropertyId, TokenId};
use futures::{StreamExt, stream};
use jiff::Timestamp;

use crate::{
    changes::{EDIT_ATTEMPTS, ending::end_property},
    desk::{
        Desk,
        edit::{Edit, Expected, Flaws, InvalidField},
        preview::Openings,
        reach::Reach,
    },
    limits::{LABEL_PREFIX_MOST, NAME_MOST},
    model::{Account, Detail, Dirty, ExtraLink, Scope, Token, TokenSecret},
    ports::{Event, Page, PageRequest, StoreError, Subject},
};

/// What new links show when an account says nothing else.
pub(crate) const DEFAULT_DETAIL: Detail = Detail::Busy;
/// The label prefix of new properties when an account says nothing else.
pub(crate) const DEFAULT_LABEL_PREFIX: &str = "EX-";
/// So many properties of an account are looked at at the same time.
const PROPERTIES_AT_ONCE: usize = 8;

/// An account to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    pub name: String,
    pub detail: Option<Detail>,
    pub label_prefix: Option<String>,
}

/// What an edit changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountEdit {
    pub name: Option<String>,
    pub detail: Edit<Detail>,
    pub label_prefix: Edit<String>,
}

/// Why an account was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Unknown or deleted.
    #[error("no such account")]
    NotFound,
    /// The caller sees some properties only; the account's settings are not his.
    #[error("this token sees some properties only and can't change the account")]
    Limited,
    /// It was edited meanwhile.
    #[error("the account is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a credential opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub account: Account,
    pub scope: Scope,
    pub reach: Reach,
    /// None for an identity of an OIDC issuer.
    pub token: Option<TokenId>,
}

/// Why a credential opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no such token")]
    Unknown,
    #[error("the token has expired")]
    Expired,
    #[error("the account was deleted")]
    AccountDeleted,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Makes an account and its first token, which sees everything and does not expire.
    ///
    /// # Errors
    /// `Invalid`, or the store's.
    pub async fn create_account(&self, new: NewAccount) -> Result<(Account, TokenSecret), AccountError> {
        let now = self.clock.now();
        let account = validated(Account {
            id: AccountId::from_random(self.randomness.id()),
            name: new.name.trim().to_owned(),
            default_detail: new.detail.unwrap_or(DEFAULT_DETAIL),
            default_label_prefix: new.label_prefix.unwrap_or_else(|| DEFAULT_LABEL_PREFIX.to_owned()),
            created_at: now,
            deleted_at: None,
            links_until: None,
            version: 1,
        })?;
        let secret = TokenSecret::from_random(self.randomness.secret());
        let token = Token {
            id: TokenId::from_random(self.randomness.id()),
            account: account.id.clone(),
            hash: secret.hash(),
            name: "First token".to_owned(),
            scope: Scope::Full,
            properties: None,
            expires_at: None,
            created_at: now,
        };
        match self.accounts.create_account(&account, Some(&token)).await {
            Err(StoreError::Exists) if self.randomness.repeats() => {
                let made = self.accounts.account(&account.id).await?;
                return Ok((made.unwrap_or(account), secret));
            }
            other => other?,
        }
        Ok((account, secret))
    }

    /// What this token opens now.
    ///
    /// # Errors
    /// A refusal, or the store's.
    pub async fn open_by_token(&self, secret: &TokenSecret) -> Result<Opened, Refusal> {
        let token = self.accounts.token_by_hash(&secret.hash()).await?.ok_or(Refusal::Unknown)?;
        if token.expires_at.is_some_and(|end| end <= self.clock.now()) {
            return Err(Refusal::Expired);
        }
        let account = self.accounts.account(&token.account).await?.ok_or(Refusal::AccountDeleted)?;
        let account = standing(account)?;
        Ok(Opened { account, scope: token.scope, reach: Reach::of_token(&token), token: Some(token.id) })
    }

    /// The account of an identity that an issuer vouched for, made at its first use.
    ///
    /// # Errors
    /// `AccountDeleted` while its erasure is under way, or the store's.
    pub async fn open_by_identity(&self, subject: &Subject) -> Result<Opened, Refusal> {
        let id = subject.account_id();
        let account = match self.accounts.account(&id).await? {
            Some(account) => account,
            None => self.first_use(&id).await?,
        };
        let account = standing(account)?;
        Ok(Opened { reach: Reach::whole(account.id.clone()), account, scope: Scope::Full, token: None })
    }

    async fn first_use(&self, id: &AccountId) -> Result<Account, StoreError> {
        let account = Account {
            id: id.clone(),
            name: "My account".to_owned(),
            default_detail: DEFAULT_DETAIL,
            default_label_prefix: DEFAULT_LABEL_PREFIX.to_owned(),
            created_at: self.clock.now(),
            deleted_at: None,
            links_until: None,
            version: 1,
        };
        match self.accounts.create_account(&account, None).await {
            Ok(()) => Ok(account),
            // Two first requests at once: the other one made it.
            Err(StoreError::Exists) => self.accounts.account(id).await?.ok_or(StoreError::Stale),
            Err(error) => Err(error),
        }
    }

    /// All accounts that stand, in order of id. A page may be short where accounts are being erased.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_accounts(&self, page: PageRequest) -> Result<Page<Account>, AccountError> {
        let Page { mut items, next } = self.accounts.accounts(page).await?;
        items.retain(|account| account.deleted_at.is_none());
        Ok(Page { items, next })
    }

    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn account(&self, reach: &Reach) -> Result<Account, AccountError> {
        let account = self.accounts.account(&reach.account).await?;
        account.filter(|account| account.deleted_at.is_none()).ok_or(AccountError::NotFound)
    }

    /// # Errors
    /// `NotFound`, `Limited`, `Outdated`, `Invalid`, or the store's.
    pub async fn edit_account(
        &self,
        reach: &Reach,
        edit: &AccountEdit,
        expected: &Expected,
    ) -> Result<Account, AccountError> {
        self.update_account(reach, expected, |account| *account = edited(account.clone(), edit)).await
    }

    /// What the edit would open, which is nothing: an account's settings are those of links and properties to come.
    ///
    /// # Errors
    /// As the edit itself.
    pub async fn preview_account_edit(
        &self,
        reach: &Reach,
        edit: &AccountEdit,
        expected: &Expected,
    ) -> Result<Openings, AccountError> {
        if reach.properties.is_some() {
            return Err(AccountError::Limited);
        }
        let before = self.account(reach).await?;
        if !expected.fits(before.version) {
            return Err(AccountError::Outdated);
        }
        validated(edited(before, edit))?;
        Ok(Openings::default())
    }

    /// Begins an account's deletion: from the answer on none of its tokens opens anything. In the background everything
    /// goes but its private links, which are empty for a week.
    ///
    /// # Errors
    /// `NotFound`, `Limited`, `Outdated`, or the store's.
    pub async fn delete_account(&self, reach: &Reach, expected: &Expected) -> Result<(), AccountError> {
        let now = self.clock.now();
        let account = self.update_account(reach, expected, |account| account.deleted_at = Some(now)).await?;
        self.bus.announce_soon(&[Event::AccountDeleted { account: account.id }]).await;
        Ok(())
    }

    /// What deleting the account would open, at every site and in every property.
    ///
    /// # Errors
    /// As the deletion itself.
    pub async fn preview_account_deletion(&self, reach: &Reach, expected: &Expected) -> Result<Openings, AccountError> {
        if reach.properties.is_some() {
            return Err(AccountError::Limited);
        }
        if !expected.fits(self.account(reach).await?.version) {
            return Err(AccountError::Outdated);
        }
        let links = self.links_within(reach).await?;
        let mut openings = Openings::default();
        let properties = self.properties.property_ids(&reach.account).await?;
        let previews: Vec<_> = properties.iter().map(|id| self.property_end(id, &links)).collect();
        let mut previews = stream::iter(previews).buffer_unordered(PROPERTIES_AT_ONCE);
        while let Some(preview) = previews.next().await {
            openings.add(preview?);
        }
        Ok(openings)
    }

    /// What one property's end with its account would open.
    async fn property_end(&self, id: &PropertyId, links: &[ExtraLink]) -> Result<Openings, AccountError> {
        let Some(before) = self.properties.load(id).await? else { return Ok(Openings::default()) };
        let gone = |draft: &mut crate::changes::draft::Draft| {
            end_property(draft);
            Ok::<_, StoreError>(())
        };
        Ok(self.tried_with(links, &before, gone).await?.1)
    }

    async fn update_account(
        &self,
        reach: &Reach,
        expected: &Expected,
        change: impl Fn(&mut Account) + Send,
    ) -> Result<Account, AccountError> {
        if reach.properties.is_some() {
            return Err(AccountError::Limited);
        }
        let mut attempt = 0;
        loop {
            let before = self.account(reach).await?;
            if !expected.fits(before.version) {
                return Err(AccountError::Outdated);
            }
            let mut after = before.clone();
            change(&mut after);
            let mut after = validated(after)?;
            if after == before {
                return Ok(after);
            }
            after.version += 1;
            match self.accounts.update_account(&after).await {
                Ok(()) => return Ok(after),
                Err(StoreError::Stale) if attempt < EDIT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl ExtraLink {
    /// The record of its deletion, whose export is still to follow.
    #[must_use]
    pub(crate) fn deleted(mut self, now: Timestamp) -> Self {
        self.deleted_at = Some(now);
        self.version += 1;
        self.revision += 1;
        self.dirty = Some(Dirty::new(now));
        self
    }
}

/// An account that was not deleted.
fn standing(account: Account) -> Result<Account, Refusal> {
    if account.deleted_at.is_some() { Err(Refusal::AccountDeleted) } else { Ok(account) }
}

fn edited(mut account: Account, edit: &AccountEdit) -> Account {
    if let Some(name) = &edit.name {
        name.trim().clone_into(&mut account.name);
    }
    account.default_detail = edit.detail.over(account.default_detail, || DEFAULT_DETAIL);
    let prefix = std::mem::take(&mut account.default_label_prefix);
    account.default_label_prefix = edit.label_prefix.over(prefix, || DEFAULT_LABEL_PREFIX.to_owned());
    account
}

fn validated(account: Account) -> Result<Account, AccountError> {
    let mut flaws = Flaws::default();
    flaws.text("name", &account.name, 1, NAME_MOST);
    flaws.text("label_prefix", &account.default_label_prefix, 0, LABEL_PREFIX_MOST);
    flaws.into_result().map_err(AccountError::Invalid)?;
    Ok(account)
}
