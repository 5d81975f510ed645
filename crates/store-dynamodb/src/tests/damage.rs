//! Bytes that are damaged, cut off or made up are told in words. Nothing panics, and nothing takes more room than there is.

use calmesh_app::{
    contract::{a_block, a_conflict, a_property, block_id, connection_id, property_id, some_claims},
    ports::{StoreError, WaitingBody},
};
use calmesh_calendar::{Block, BlockId};
use proptest::prelude::*;

use super::forms::{a_rich_connection, a_small_body, all_kinds_of_blocks};
use crate::doc::{
    self,
    connection::Parts,
    pack,
    past::{self, Record, Word},
};

type Read = fn(&[u8]) -> Result<(), StoreError>;

/// Each kind of compact document, and who reads it.
fn documents() -> Vec<(&'static str, Vec<u8>, Read)> {
    let property = a_property(1, 1);
    let id = &property.id;
    let (stays, own): (Vec<Block>, Vec<Block>) =
        all_kinds_of_blocks().into_iter().partition(|block| block.connection().is_some());
    let [stays, own] = [&stays, &own].map(|blocks| blocks.iter().collect::<Vec<_>>());
    let some = some_claims(1);
    let claims = some.connections.values().next().unwrap();
    let settings = a_rich_connection(&property);
    let parts = Parts { settings: Some(&settings), stays: Some(&stays), claims: Some(claims) };
    let records = [
        Record::new(Word::Activity, r#"{"v":1,"is":{"secret":1}}"#),
        Record::of(Word::Claims, connection_id(1).as_str(), doc::claims::encode(id, claims)),
    ];
    vec![
        ("a connection", doc::connection::encode(id, &parts).unwrap(), |bytes| {
            doc::connection::decode(bytes, &property_id(1), &connection_id(1)).map(drop)
        }),
        ("a property", doc::property::encode(&property), |bytes| {
            doc::property::decode(bytes, &property_id(1)).map(drop)
        }),
        ("a page of blocks", doc::block::encode(id, &stays), |bytes| {
            doc::block::decode(bytes, &property_id(1), Some(&connection_id(1))).map(drop)
        }),
        ("a page of blocks", doc::block::encode(id, &own), |bytes| {
            doc::block::decode(bytes, &property_id(1), None).map(drop)
        }),
        ("a page of conflicts", doc::conflict::encode(id, &[&a_conflict(1), &a_conflict(2)]), |bytes| {
            doc::conflict::decode(bytes, &property_id(1)).map(drop)
        }),
        ("claims", doc::claims::encode(id, claims), |bytes| doc::claims::decode(bytes, &property_id(1)).map(drop)),
        ("a list of ids", pack::ids(id, &[block_id(1), block_id(2)]), |bytes| {
            pack::read_ids::<BlockId>(bytes, &property_id(1)).map(drop)
        }),
        ("the body of a feed", doc::body::encode(&WaitingBody::Small(a_small_body())).unwrap(), |bytes| {
            doc::body::decode(bytes).map(drop)
        }),
        ("the body of a feed", doc::body::encode(&WaitingBody::Parked(a_small_body().snapshot)).unwrap(), |bytes| {
            doc::body::decode(bytes).map(drop)
        }),
        ("the history of a property", past::encode(&records).unwrap(), |bytes| past::decode(bytes).map(drop)),
    ]
}

#[track_caller]
fn assert_in_words(what: &str, refused: &StoreError) {
    assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused:?}");
    let told = refused.to_string();
    let told = told.strip_prefix(&format!("a stored item can't be read: {what}: ")).unwrap_or_else(|| panic!("{told}"));
    let later = told.starts_with("version ") && told.ends_with(" is not known here");
    assert!(told == "not of the expected form" || later, "{told}");
}

#[test]
fn a_document_that_is_cut_off_or_too_long_is_refused_in_words() {
    for (what, bytes, read) in documents() {
        read(&bytes).unwrap();
        for end in 0..bytes.len() {
            assert_in_words(what, &read(&bytes[..end]).unwrap_err());
        }
        // What follows a packed page is no part of it.
        if what != "the history of a property" {
            assert_in_words(what, &read(&[bytes.as_slice(), &[0]].concat()).unwrap_err());
        }
    }
}

#[test]
fn a_document_with_any_bit_turned_over_is_another_one_or_refused_in_words() {
    for (what, bytes, read) in documents() {
        for nth in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[nth / 8] ^= 1 << (nth % 8);
            if let Err(refused) = read(&damaged) {
                assert_in_words(what, &refused);
            }
        }
    }
}

proptest! {
    #[test]
    fn made_up_bytes_are_read_or_refused_in_words(
        garbage in proptest::collection::vec(any::<u8>(), 0..400), place in any::<prop::sample::Index>(), keep in any::<bool>(),
    ) {
        for (what, bytes, read) in documents() {
            let at = place.index(bytes.len());
            let whole = match keep {
                // A true beginning, then nonsense.
                true => [&bytes[..at], &garbage].concat(),
                false => [&[1], garbage.as_slice()].concat(),
            };
            if let Err(refused) = read(&whole) {
                assert_in_words(what, &refused);
            }
        }
    }
}

/// An item takes 400 KB; what it says must not become gigabytes.
#[test]
fn what_would_unpack_to_far_more_than_was_ever_written_is_refused() {
    let (id, of) = (property_id(1), connection_id(1));
    let words = "x".repeat(150_000);
    let mut first = a_block(1, 0);
    first.summary = words;
    let again = |n: u64| Block { summary: first.summary.clone(), ..a_block(1, n) };
    let many: Vec<Block> = (0..1_000).map(again).collect();
    let page = doc::block::encode(&id, &many.iter().collect::<Vec<_>>());
    assert!(page.len() < 400_000, "{}", page.len());
    assert_in_words("a page of blocks", &doc::block::decode(&page, &id, Some(&of)).unwrap_err());
    let few = doc::block::encode(&id, &many.iter().take(3).collect::<Vec<_>>());
    assert_eq!(doc::block::decode(&few, &id, Some(&of)).unwrap().len(), 3);

    let bomb = past::encode(&[Record::new(Word::Activity, vec![b' '; 100_000_000])]).unwrap();
    assert!(bomb.len() < 500_000, "{}", bomb.len());
    assert_in_words("the history of a property", &past::decode(&bomb).unwrap_err());

    // Counts that nothing stands behind.
    let endless = [[1].as_slice(), &[0xff; 9], &[0x7f]].concat();
    assert_in_words("a page of blocks", &doc::block::decode(&endless, &id, None).unwrap_err());
    assert_in_words("claims", &doc::claims::decode(&endless, &id).unwrap_err());
    assert_in_words("a list of ids", &pack::read_ids::<BlockId>(&endless, &id).unwrap_err());
}
