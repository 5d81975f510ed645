//! API tokens of an account: made, listed, revoked. The secret is shown once and kept as a digest.

use std::collections::BTreeSet;

use calmesh_calendar::{PropertyId, TokenId};
use jiff::Timestamp;

use crate::{
    desk::{
        Desk,
        edit::{Flaws, InvalidField},
        reach::Reach,
    },
    limits::{self, Full, NAME_MOST, SELECTION_MOST},
    model::{Scope, Token, TokenSecret},
    ports::{Page, PageRequest, StoreError},
};

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub name: String,
    pub scope: Scope,
    /// None: all properties of the account, also those to come.
    pub properties: Option<Vec<PropertyId>>,
    pub expires_at: Option<Timestamp>,
}

/// Why a token was not made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("no such token")]
    NotFound,
    /// The caller sees some properties only: a token that he made could see more.
    #[error("this token sees some properties only and can't manage tokens")]
    Limited,
    /// Nothing but this token could do everything, so nobody could reach the account without it.
    #[error("the account's last token that may do everything can't be revoked")]
    LastFull,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Desk {
    /// Makes a token. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// `Limited`, `Invalid`, `Full`, or the store's.
    pub async fn create_token(&self, reach: &Reach, new: NewToken) -> Result<(Token, TokenSecret), TokenError> {
        if reach.properties.is_some() {
            return Err(TokenError::Limited);
        }
        let now = self.clock.now();
        let name = new.name.trim().to_owned();
        let mut flaws = Flaws::default();
        flaws.text("name", &name, 1, NAME_MOST);
        if new.expires_at.is_some_and(|end| end <= now) {
            flaws.add("expires_at", "must be in the future; leave it out for a token that does not expire");
        }
        let mut invalid = flaws.into_result().err().unwrap_or_default();
        let properties = match &new.properties {
            None => None,
            Some(wanted) => {
                let (found, wrong) = self.selection(reach, wanted).await?;
                invalid.extend(wrong);
                Some(found)
            }
        };
        if !invalid.is_empty() {
            return Err(TokenError::Invalid(invalid));
        }
        let secret = TokenSecret::from_random(self.randomness.secret());
        if self.randomness.repeats()
            && let Some(made) = self.accounts.token_by_hash(&secret.hash()).await?
        {
            return Ok((made, secret));
        }
        let limit = limits::TOKENS;
        limit.room_beside(self.all_tokens(reach, limit.most).await?.len())?;
        let token = Token {
            id: TokenId::from_random(self.randomness.id()),
            account: reach.account.clone(),
            hash: secret.hash(),
            name,
            scope: new.scope,
            properties,
            expires_at: new.expires_at,
            created_at: now,
        };
        self.accounts.create_token(&token).await?;
        // Others may have been made at the same moment, each seeing room: who finds too many afterwards takes his back.
        let others = self.all_tokens(reach, limit.most + 1).await?.into_iter().filter(|other| other.id != token.id);
        if let Err(full) = limit.room_beside(others.count()) {
            self.accounts.delete_token(&token.account, &token.id).await?;
            return Err(full.into());
        }
        Ok((token, secret))
    }

    /// In order of id, expired ones included.
    ///
    /// # Errors
    /// `Limited`, or the store's.
    pub async fn list_tokens(&self, reach: &Reach, page: PageRequest) -> Result<Page<Token>, TokenError> {
        if reach.properties.is_some() {
            return Err(TokenError::Limited);
        }
        Ok(self.accounts.tokens(&reach.account, page).await?)
    }

    /// Revokes a token; it opens nothing from then on. `by` is the token that asks for it, none for an identity of an
    /// OIDC issuer, which reaches its account without any.
    ///
    /// The last one that may do everything stays, for the operator can't make another. Two that are revoked at the
    /// same moment by each other do go.
    ///
    /// # Errors
    /// `Limited`, `NotFound`, `LastFull`, or the store's.
    pub async fn revoke_token(&self, reach: &Reach, by: Option<&TokenId>, id: &TokenId) -> Result<(), TokenError> {
        if reach.properties.is_some() {
            return Err(TokenError::Limited);
        }
        // Whoever revokes another token has one that does everything: his own.
        if by == Some(id) {
            let now = self.clock.now();
            let all = self.all_tokens(reach, usize::MAX).await?;
            if !all.iter().any(|token| token.id != *id && does_everything(token, now)) {
                return Err(TokenError::LastFull);
            }
        }
        if self.accounts.delete_token(&reach.account, id).await? { Ok(()) } else { Err(TokenError::NotFound) }
    }

    /// The account's tokens, at least so many of them if there are as many.
    async fn all_tokens(&self, reach: &Reach, enough: usize) -> Result<Vec<Token>, StoreError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = self.accounts.tokens(&reach.account, PageRequest { limit: 200, after }).await?;
            all.extend(page.items);
            after = page.next;
            if after.is_none() || all.len() >= enough {
                return Ok(all);
            }
        }
    }

    /// The named properties, each of which the caller must see; and what is wrong with the list.
    pub(crate) async fn selection(
        &self,
        reach: &Reach,
        wanted: &[PropertyId],
    ) -> Result<(BTreeSet<PropertyId>, Vec<InvalidField>), StoreError> {
        let mut invalid = Vec::new();
        if wanted.is_empty() {
            invalid.push(InvalidField::new("property_ids", "must name one property at least"));
        }
        if wanted.len() > SELECTION_MOST {
            let detail = format!("must name at most {SELECTION_MOST} properties");
            return Ok((BTreeSet::new(), vec![InvalidField::new("property_ids", detail)]));
        }
        let wanted: BTreeSet<PropertyId> = wanted.iter().cloned().collect();
        let mut found = BTreeSet::new();
        for id in wanted {
            if self.properties.property(&id).await?.is_some_and(|property| reach.shows(&property)) {
                found.insert(id);
            } else {
                invalid.push(InvalidField::new("property_ids", format!("there is no property {id}")));
            }
        }
        Ok((found, invalid))
    }
}

fn does_everything(token: &Token, now: Timestamp) -> bool {
    token.scope == Scope::Full && token.properties.is_none() && token.expires_at.is_none_or(|end| end > now)
}
