//! Accounts and tokens. A token is kept twice: in its account, to be listed, and under its hash, to be known.

use async_trait::async_trait;
use calmesh_app::{
    model::{Account, SecretHash, Token},
    ports::{AccountStore, LinkStore, Page, PageRequest, StoreError},
};
use calmesh_calendar::{AccountId, TokenId};

use crate::{
    DynamoStore,
    doc::Document,
    item::{self, MarkState},
    schema::{self, Key, attr},
    table::{CallError, Condition, Item, Range, Write},
};

fn account_item(account: &Account) -> Result<Item, StoreError> {
    let mut item = schema::account(&account.id).item();
    item.insert(attr::DOC.to_owned(), item::text(account.encode()?));
    item.insert(attr::REV.to_owned(), item::number(account.version));
    let mark = MarkState { dirty: account.erasure(), wake_at: None };
    item.extend(mark.attributes(account.id.as_str()));
    Ok(item)
}

fn token_writes(token: &Token) -> Result<[Write; 2], StoreError> {
    let doc = token.encode()?;
    let put = |key: Key| {
        let mut item = key.item();
        item.insert(attr::DOC.to_owned(), item::text(doc.clone()));
        Write::put(item).when(Condition::absent())
    };
    Ok([put(schema::token(&token.account, &token.id)), put(schema::token_hash(&token.hash))])
}

fn exists(error: CallError) -> StoreError {
    match error {
        CallError::Refused(_) => StoreError::Exists,
        error => error.or_stale(),
    }
}

#[async_trait]
impl AccountStore for DynamoStore {
    async fn create_account(&self, account: &Account, first_token: Option<&Token>) -> Result<(), StoreError> {
        let record = Write::put(account_item(account)?).when(Condition::absent());
        let mut writes = vec![record, Write::put(schema::account_entry(&account.id).item())];
        if let Some(token) = first_token {
            writes.extend(token_writes(token)?);
        }
        self.table.transact(writes).await.map_err(exists)
    }

    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let item = self.table.get(&schema::account(id)).await?;
        item.map(|item| item::document(&item, attr::DOC)).transpose()
    }

    async fn accounts(&self, page: PageRequest) -> Result<Page<Account>, StoreError> {
        let limit = page.limit.max(1);
        let from = match &page.after {
            None => None,
            Some(after) => {
                let id: AccountId =
                    after.parse().map_err(|_| StoreError::Corrupt { what: "a place in a list".to_owned() })?;
                Some((schema::account_list_of(&id), after.clone()))
            }
        };
        let mut items: Vec<Account> = Vec::new();
        for list in schema::ACCOUNT_LISTS {
            let after = match &from {
                Some((first, _)) if list < *first => continue,
                Some((first, after)) if list == *first => Some(after.clone()),
                _ => None,
            };
            let left = limit.saturating_sub(u16::try_from(items.len()).unwrap_or(u16::MAX));
            let more = self
                .list_by_entry(
                    Range::all(schema::account_list(list)),
                    // One more than there is room for tells whether anything comes after.
                    PageRequest { limit: left.saturating_add(1), after },
                    |entry| {
                        Ok(schema::account(
                            &item::get_text(entry, attr::SK)?.parse().map_err(|_| item::missing(attr::SK))?,
                        ))
                    },
                    |head| item::document(head, attr::DOC).map(Some),
                )
                .await?;
            items.extend(more.items);
            if items.len() > usize::from(limit) {
                items.truncate(usize::from(limit));
                let next = items.last().map(|account| account.id.to_string());
                return Ok(Page { items, next });
            }
        }
        Ok(Page { items, next: None })
    }

    async fn update_account(&self, account: &Account) -> Result<(), StoreError> {
        let item = account_item(account)?;
        let written = item.get(attr::DOC).cloned();
        let expected =
            Condition::new("#rev = :expected").with("expected", item::number(account.version.saturating_sub(1)));
        match self.table.write(Write::put(item).when(expected)).await {
            Ok(_) => Ok(()),
            // The SDK asked again though the first time had done it.
            Err(error)
                if written.is_some() && error.standing(0).and_then(|item| item.get(attr::DOC)) == written.as_ref() =>
            {
                Ok(())
            }
            Err(error) => Err(error.or_stale()),
        }
    }

    async fn purge_access(&self, id: &AccountId) -> Result<(), StoreError> {
        let tokens = Range::of(schema::account_partition(id), schema::TOKENS);
        let (tokens, _) = self.table.query(&tokens, None).await?;
        let mut gone = Vec::new();
        for item in &tokens {
            let token: Token = item::document(item, attr::DOC)?;
            gone.push(schema::token_hash(&token.hash));
            gone.push(schema::token(id, &token.id));
        }
        let (answers, _) = self.table.query(&Range::all(schema::answers_partition(id)), None).await?;
        for answer in &answers {
            gone.push(Key { pk: schema::answers_partition(id), sk: item::get_text(answer, attr::SK)?.to_owned() });
        }
        self.table.write_many(gone.into_iter().map(Write::delete).collect()).await
    }

    async fn purge_account(&self, id: &AccountId) -> Result<(), StoreError> {
        self.purge_access(id).await?;
        let (items, _) = self.table.query(&Range::all(schema::account_partition(id)), None).await?;
        let mut gone = Vec::new();
        for item in &items {
            let sk = item::get_text(item, attr::SK)?;
            if sk.starts_with(schema::LINKS) {
                let link =
                    sk.rsplit('#').next().and_then(|id| id.parse().ok()).ok_or_else(|| item::missing(attr::SK))?;
                self.delete_link(&link).await?;
            }
            if sk != schema::HEAD {
                gone.push(Key { pk: schema::account_partition(id), sk: sk.to_owned() });
            }
        }
        self.table.write_many(gone.into_iter().map(Write::delete).collect()).await?;
        // The record goes last, so that a purge that was cut short is known to be needed.
        let last = [schema::account_entry(id), schema::account(id)];
        self.table.write_many(last.into_iter().map(Write::delete).collect()).await
    }

    async fn create_token(&self, token: &Token) -> Result<(), StoreError> {
        self.table.transact(token_writes(token)?.into()).await.map_err(exists)
    }

    async fn token_by_hash(&self, hash: &SecretHash) -> Result<Option<Token>, StoreError> {
        let item = self.table.get(&schema::token_hash(hash)).await?;
        item.map(|item| item::document(&item, attr::DOC)).transpose()
    }

    async fn tokens(&self, account: &AccountId, page: PageRequest) -> Result<Page<Token>, StoreError> {
        let range = Range::of(schema::account_partition(account), schema::TOKENS);
        self.list(range, page, |item| item::document(item, attr::DOC)).await
    }

    async fn delete_token(&self, account: &AccountId, id: &TokenId) -> Result<bool, StoreError> {
        let key = schema::token(account, id);
        let Some(item) = self.table.get(&key).await? else { return Ok(false) };
        let token: Token = item::document(&item, attr::DOC)?;
        let writes =
            vec![Write::delete(key).when(Condition::present()), Write::delete(schema::token_hash(&token.hash))];
        match self.table.transact(writes).await {
            Ok(()) => Ok(true),
            Err(CallError::Refused(_)) => Ok(false),
            Err(error) => Err(error.or_stale()),
        }
    }
}
