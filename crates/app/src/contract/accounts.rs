//! Accounts and tokens.

use super::{a_link, a_token, account_id, all, an_account, at, link_token, token_id};
use crate::{
    model::{Account, SecretHash, Token},
    ports::{AccountStore, LinkStore, StoreError},
};

/// What `AccountStore` promises; `links` is the same store.
pub async fn account_store(store: &dyn AccountStore, links: &dyn LinkStore) {
    let account = an_account(1);
    let token = a_token(1, 1);
    assert_eq!(store.account(&account.id).await.unwrap(), None, "an empty store has no account");
    store.create_account(&account, Some(&token)).await.unwrap();
    assert_eq!(store.account(&account.id).await.unwrap(), Some(account.clone()), "an account is kept as it was");
    assert_eq!(store.token_by_hash(&token.hash).await.unwrap(), Some(token.clone()), "its first token opens it");
    let again = store.create_account(&account, Some(&a_token(1, 2))).await;
    assert!(matches!(again, Err(StoreError::Exists)), "an account is created once");
    assert_eq!(store.token_by_hash(&a_token(1, 2).hash).await.unwrap(), None, "and its second token is not kept");
    let same_token = store.create_account(&an_account(9), Some(&token)).await;
    assert!(matches!(same_token, Err(StoreError::Exists)), "no two tokens have one hash");
    assert_eq!(store.account(&account_id(9)).await.unwrap(), None, "and no account comes with it");

    let renamed = Account { name: "Casa Sol".to_owned(), deleted_at: Some(at(5)), version: 2, ..account.clone() };
    store.update_account(&renamed).await.unwrap();
    assert_eq!(store.account(&account.id).await.unwrap(), Some(renamed.clone()), "an update is seen");
    let behind = Account { version: 2, name: "Casa Luna".to_owned(), ..account.clone() };
    assert!(matches!(store.update_account(&behind).await, Err(StoreError::Stale)), "an update of what was is stale");
    let unknown = Account { version: 2, ..an_account(8) };
    assert!(matches!(store.update_account(&unknown).await, Err(StoreError::Stale)), "so is one of nothing");
    assert_eq!(store.account(&account.id).await.unwrap(), Some(renamed), "and a stale update changes nothing");

    for n in 20..43 {
        store.create_account(&an_account(n), None).await.unwrap();
    }
    let mut expected: Vec<_> = (20..43).chain([1]).map(account_id).collect();
    expected.sort();
    for limit in [1, 5, 24, 200] {
        let found = all(limit, async |page| store.accounts(page).await).await;
        let ids: Vec<_> = found.into_iter().map(|account| account.id).collect();
        assert_eq!(ids, expected, "all accounts are listed in order of id");
    }

    tokens(store).await;

    links.put_link(&a_link(1, 77)).await.unwrap();
    store.purge_account(&account.id).await.unwrap();
    store.purge_account(&account.id).await.unwrap();
    assert_eq!(store.account(&account.id).await.unwrap(), None, "a purged account is gone");
    assert_eq!(store.token_by_hash(&token.hash).await.unwrap(), None, "with its tokens");
    assert_eq!(links.link(&a_link(1, 77).id).await.unwrap(), None, "with its links");
    assert_eq!(links.owner(&link_token(77).hash()).await.unwrap(), None, "whose tokens are nobody's");
    assert!(store.account(&account_id(20)).await.unwrap().is_some(), "and nobody else's account is touched");
    let found = all(7, async |page| store.accounts(page).await).await;
    assert_eq!(found.len(), 23, "a purged account is not listed");
}

async fn tokens(store: &dyn AccountStore) {
    let limited = Token {
        scope: crate::model::Scope::Read,
        properties: Some([super::property_id(1), super::property_id(2)].into()),
        expires_at: Some(at(9)),
        ..a_token(20, 30)
    };
    store.create_token(&limited).await.unwrap();
    assert_eq!(store.token_by_hash(&limited.hash).await.unwrap(), Some(limited.clone()), "also an expired token");
    let same_hash = Token { id: token_id(31), ..limited.clone() };
    assert!(matches!(store.create_token(&same_hash).await, Err(StoreError::Exists)), "a hash is there once");
    let same_id = Token { hash: SecretHash::of("another"), ..limited.clone() };
    assert!(matches!(store.create_token(&same_id).await, Err(StoreError::Exists)), "an id is there once");
    assert_eq!(store.token_by_hash(&same_id.hash).await.unwrap(), None, "what exists is not half replaced");
    for n in 32..40 {
        store.create_token(&a_token(20, n)).await.unwrap();
    }
    let mut expected: Vec<_> = (32..40).chain([30]).map(token_id).collect();
    expected.sort();
    let found = all(2, async |page| store.tokens(&account_id(20), page).await).await;
    assert_eq!(found.into_iter().map(|token| token.id).collect::<Vec<_>>(), expected, "tokens in order of id");
    assert!(!store.delete_token(&account_id(21), &token_id(30)).await.unwrap(), "another account's token is not there");
    assert!(store.delete_token(&account_id(20), &token_id(30)).await.unwrap(), "a token can be revoked");
    assert!(!store.delete_token(&account_id(20), &token_id(30)).await.unwrap(), "once");
    assert_eq!(store.token_by_hash(&limited.hash).await.unwrap(), None, "then it opens nothing");
}
