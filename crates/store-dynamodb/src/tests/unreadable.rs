//! What can't be read is never repaired in silence, and stops nothing beside itself.

use calmesh_app::{
    contract::{a_property, an_account, nothing_but},
    model::Property,
    ports::{AccountStore, PageRequest, PropertyStore, StoreError},
};

use super::embedded::embedded;
use crate::table::Write;

#[tokio::test]
async fn a_property_in_a_time_zone_that_is_not_known_here_stops_alone_and_in_words() {
    let (store, _) = embedded().await;
    store.create_account(&an_account(1), None).await.unwrap();
    let (odd, sound) = (a_property(1, 1), a_property(1, 2));
    let odd = Property { time_zone: "Mars/Olympus_Mons".to_owned(), ..odd };
    for property in [&odd, &sound] {
        store.commit(&nothing_but(property)).await.unwrap();
    }
    let refused = store.load(&odd.id).await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt { .. }));
    assert_eq!(refused.to_string(), "a stored item can't be read: a property: its time zone is not known here");
    assert!(store.load(&sound.id).await.unwrap().is_some());
    // Lists go on to show both.
    let page = store.properties(&odd.account, PageRequest { limit: 9, after: None }).await.unwrap();
    assert_eq!(page.items.len(), 2);
    assert_eq!(store.property(&odd.id).await.unwrap().unwrap().time_zone, "Mars/Olympus_Mons");
}

#[tokio::test]
async fn of_several_writes_of_an_item_the_last_one_is_kept() {
    use crate::{item, schema};
    let (store, _) = embedded().await;
    let key = schema::location("one");
    let put = |word: &str| {
        let mut item = key.item();
        item.insert("word".to_owned(), item::text(word));
        Write::put(item)
    };
    let word =
        async || store.table.get(&key).await.unwrap().map(|item| item::get_text(&item, "word").unwrap().to_owned());
    store.table.write_many(vec![put("first"), put("last")]).await.unwrap();
    assert_eq!(word().await.as_deref(), Some("last"));
    store.table.write_many(vec![put("again"), Write::delete(key.clone())]).await.unwrap();
    assert_eq!(word().await, None);
    store.table.write_many(vec![Write::delete(key.clone()), put("back")]).await.unwrap();
    assert_eq!(word().await.as_deref(), Some("back"));
}
