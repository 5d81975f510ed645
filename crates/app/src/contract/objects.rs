//! The contract of the object ports and of sealing. Each function wants an empty store and panics where a
//! promise is broken.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, kept where others can run them"
)]

use bytes::Bytes;
use calmesh_calendar::{AccountId, ConnectionId};

use crate::{
    model::{LinkToken, Snapshot, Validators},
    ports::{ExportStore, ExportVersion, ExportWriteError, ParkedBody, Sealer, SnapshotStore},
};

fn token(n: u8) -> LinkToken {
    LinkToken::from_random([n; 32])
}

fn account(n: u8) -> AccountId {
    AccountId::from_random([n; 16])
}

fn connection(n: u8) -> ConnectionId {
    ConnectionId::from_random([n; 16])
}

fn snapshot(n: u8) -> Snapshot {
    Snapshot(hex::encode([n; 32]))
}

fn body(text: &'static str) -> ParkedBody {
    ParkedBody { body: Bytes::from_static(text.as_bytes()), validators: Validators::default() }
}

#[track_caller]
fn assert_stale(outcome: Result<ExportVersion, ExportWriteError>) {
    assert!(matches!(outcome, Err(ExportWriteError::Stale)), "a put over another object was not refused: {outcome:?}");
}

/// All promises of an [`ExportStore`].
pub async fn export_store(store: &dyn ExportStore) {
    an_unknown_token_has_no_export(store).await;
    an_export_reads_back_as_it_was_put(store).await;
    a_put_over_what_was_read_gives_the_next_version(store).await;
    a_put_over_anything_else_is_stale_and_changes_nothing(store).await;
    of_two_puts_over_the_same_version_one_is_stale(store).await;
    a_deleted_export_is_gone_and_deleting_again_does_nothing(store).await;
    tokens_do_not_share_exports(store).await;
}

async fn an_unknown_token_has_no_export(store: &dyn ExportStore) {
    assert_eq!(store.export(&token(1)).await.unwrap(), None);
    assert_eq!(store.export_version(&token(1)).await.unwrap(), None);
}

async fn an_export_reads_back_as_it_was_put(store: &dyn ExportStore) {
    for (n, bytes) in [(2, Bytes::from_static(b"BEGIN:VCALENDAR\r\n\xc3\xa9")), (3, Bytes::from(vec![b'x'; 300_000]))] {
        let version = store.put_export(&token(n), bytes.clone(), None).await.unwrap();
        let read = store.export(&token(n)).await.unwrap().unwrap();
        assert_eq!(read.body, bytes);
        assert_eq!(read.version, version, "a put and the read after it name different versions");
        assert_eq!(store.export_version(&token(n)).await.unwrap(), Some(version.clone()), "so does its version alone");
        assert_eq!(store.version_of(&bytes), version, "and it is told by the bytes");
    }
}

async fn a_put_over_what_was_read_gives_the_next_version(store: &dyn ExportStore) {
    let first = store.put_export(&token(4), Bytes::from_static(b"one"), None).await.unwrap();
    let second = store.put_export(&token(4), Bytes::from_static(b"two"), Some(&first)).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(store.export_version(&token(4)).await.unwrap().as_ref(), Some(&second));
    let third = store.put_export(&token(4), Bytes::from_static(b"two"), Some(&second)).await.unwrap();
    let read = store.export(&token(4)).await.unwrap().unwrap();
    assert_eq!((read.body.as_ref(), read.version), (b"two".as_slice(), third));
}

async fn a_put_over_anything_else_is_stale_and_changes_nothing(store: &dyn ExportStore) {
    let first = store.put_export(&token(5), Bytes::from_static(b"one"), None).await.unwrap();
    assert_stale(store.put_export(&token(5), Bytes::from_static(b"new"), None).await);
    let second = store.put_export(&token(5), Bytes::from_static(b"two"), Some(&first)).await.unwrap();
    assert_stale(store.put_export(&token(5), Bytes::from_static(b"old"), Some(&first)).await);
    let read = store.export(&token(5)).await.unwrap().unwrap();
    assert_eq!((read.body.as_ref(), &read.version), (b"two".as_slice(), &second));
    // What was read is gone: that, too, is another state than the one that was rendered for.
    store.delete_export(&token(5)).await.unwrap();
    assert_stale(store.put_export(&token(5), Bytes::from_static(b"late"), Some(&second)).await);
    assert_eq!(store.export(&token(5)).await.unwrap(), None);
}

async fn of_two_puts_over_the_same_version_one_is_stale(store: &dyn ExportStore) {
    let mut version = None;
    for round in 0..8_u8 {
        let token = token(6);
        let left = store.put_export(&token, Bytes::from(vec![round, 1]), version.as_ref());
        let right = store.put_export(&token, Bytes::from(vec![round, 2]), version.as_ref());
        let (left, right) = futures::join!(left, right);
        let won = match (left, right) {
            (Ok(won), Err(ExportWriteError::Stale)) | (Err(ExportWriteError::Stale), Ok(won)) => won,
            (left, right) => panic!("not exactly one of two puts went through: {left:?}, {right:?}"),
        };
        assert_eq!(store.export(&token).await.unwrap().unwrap().version, won);
        version = Some(won);
    }
}

async fn a_deleted_export_is_gone_and_deleting_again_does_nothing(store: &dyn ExportStore) {
    store.put_export(&token(7), Bytes::from_static(b"one"), None).await.unwrap();
    store.delete_export(&token(7)).await.unwrap();
    store.delete_export(&token(7)).await.unwrap();
    assert_eq!(store.export(&token(7)).await.unwrap(), None);
    assert_eq!(store.export_version(&token(7)).await.unwrap(), None);
    store.put_export(&token(7), Bytes::from_static(b"again"), None).await.unwrap();
    assert_eq!(store.export(&token(7)).await.unwrap().unwrap().body, "again");
}

async fn tokens_do_not_share_exports(store: &dyn ExportStore) {
    store.put_export(&token(8), Bytes::from_static(b"eight"), None).await.unwrap();
    store.put_export(&token(9), Bytes::from_static(b"nine"), None).await.unwrap();
    store.delete_export(&token(9)).await.unwrap();
    assert_eq!(store.export(&token(8)).await.unwrap().unwrap().body, "eight");
}

/// All promises of a [`SnapshotStore`].
pub async fn snapshot_store(store: &dyn SnapshotStore) {
    a_body_reads_back_with_its_validators(store).await;
    parking_twice_is_fine(store).await;
    a_superseded_body_can_still_be_read(store).await;
    a_body_that_comes_back_is_parked_anew(store).await;
    superseding_what_is_not_there_does_nothing(store).await;
    forgetting_a_connection_leaves_the_others(store).await;
    accounts_and_connections_do_not_share_bodies(store).await;
}

async fn a_body_reads_back_with_its_validators(store: &dyn SnapshotStore) {
    assert_eq!(store.parked(&account(1), &connection(1), &snapshot(1)).await.unwrap(), None);
    let validators = [
        (None, None),
        (Some("\"abc\""), Some("Mon, 01 Jun 2026 10:00:00 GMT")),
        (Some("W/\"é ☂, 100%\""), None),
        (None, Some("gestern um zehn Uhr  ")),
        (Some(""), Some("")),
    ];
    for (n, (etag, last_modified)) in (1_u8..).zip(validators) {
        let validators = Validators { etag: etag.map(str::to_owned), last_modified: last_modified.map(str::to_owned) };
        let parked = ParkedBody { body: Bytes::from(vec![n; 20_000]), validators };
        store.park(&account(1), &connection(1), &snapshot(n), &parked).await.unwrap();
        assert_eq!(store.parked(&account(1), &connection(1), &snapshot(n)).await.unwrap(), Some(parked));
    }
}

async fn parking_twice_is_fine(store: &dyn SnapshotStore) {
    let (account, connection, snapshot) = (account(2), connection(2), snapshot(2));
    store.park(&account, &connection, &snapshot, &body("one")).await.unwrap();
    // The digest is of what a feed says, so the bytes may differ: DTSTAMP does at every fetch.
    store.park(&account, &connection, &snapshot, &body("one, stamped later")).await.unwrap();
    let read = store.parked(&account, &connection, &snapshot).await.unwrap();
    assert_eq!(read, Some(body("one, stamped later")));
}

async fn a_superseded_body_can_still_be_read(store: &dyn SnapshotStore) {
    let (account, connection) = (account(3), connection(3));
    let validators = Validators { etag: Some("\"ü\"".to_owned()), last_modified: Some("then".to_owned()) };
    let old = ParkedBody { body: Bytes::from_static(b"old"), validators };
    store.park(&account, &connection, &snapshot(1), &old).await.unwrap();
    store.park(&account, &connection, &snapshot(2), &body("new")).await.unwrap();
    store.supersede(&account, &connection, &snapshot(1)).await.unwrap();
    assert_eq!(store.parked(&account, &connection, &snapshot(1)).await.unwrap(), Some(old.clone()));
    assert_eq!(store.parked(&account, &connection, &snapshot(2)).await.unwrap(), Some(body("new")));
    store.supersede(&account, &connection, &snapshot(1)).await.unwrap();
    assert_eq!(store.parked(&account, &connection, &snapshot(1)).await.unwrap(), Some(old));
}

async fn a_body_that_comes_back_is_parked_anew(store: &dyn SnapshotStore) {
    let (account, connection, snapshot) = (account(4), connection(4), snapshot(4));
    store.park(&account, &connection, &snapshot, &body("one")).await.unwrap();
    store.supersede(&account, &connection, &snapshot).await.unwrap();
    store.park(&account, &connection, &snapshot, &body("one again")).await.unwrap();
    assert_eq!(store.parked(&account, &connection, &snapshot).await.unwrap(), Some(body("one again")));
    store.supersede(&account, &connection, &snapshot).await.unwrap();
    assert_eq!(store.parked(&account, &connection, &snapshot).await.unwrap(), Some(body("one again")));
}

async fn superseding_what_is_not_there_does_nothing(store: &dyn SnapshotStore) {
    store.supersede(&account(5), &connection(5), &snapshot(5)).await.unwrap();
    assert_eq!(store.parked(&account(5), &connection(5), &snapshot(5)).await.unwrap(), None);
}

async fn forgetting_a_connection_leaves_the_others(store: &dyn SnapshotStore) {
    let account = account(6);
    for (c, s) in [(1, 1), (1, 2), (2, 1)] {
        store.park(&account, &connection(c), &snapshot(s), &body("x")).await.unwrap();
    }
    store.supersede(&account, &connection(1), &snapshot(1)).await.unwrap();
    store.forget(&account, &connection(1)).await.unwrap();
    assert_eq!(store.parked(&account, &connection(1), &snapshot(1)).await.unwrap(), None);
    assert_eq!(store.parked(&account, &connection(1), &snapshot(2)).await.unwrap(), None);
    assert_eq!(store.parked(&account, &connection(2), &snapshot(1)).await.unwrap(), Some(body("x")));
    store.forget(&account, &connection(1)).await.unwrap();
}

async fn accounts_and_connections_do_not_share_bodies(store: &dyn SnapshotStore) {
    store.park(&account(7), &connection(7), &snapshot(7), &body("mine")).await.unwrap();
    assert_eq!(store.parked(&account(8), &connection(7), &snapshot(7)).await.unwrap(), None);
    assert_eq!(store.parked(&account(7), &connection(8), &snapshot(7)).await.unwrap(), None);
}

/// All promises of a [`Sealer`].
pub async fn sealer(sealer: &dyn Sealer) {
    for plain in [b"".as_slice(), b"a secret", &[0xff; 70_000]] {
        let sealed = sealer.seal("idempotency/acc_1", plain).await.unwrap();
        assert_eq!(sealer.open("idempotency/acc_1", &sealed).await.unwrap(), plain);
        assert!(sealer.open("idempotency/acc_2", &sealed).await.is_err(), "it opened for another context");
        assert!(sealer.open("", &sealed).await.is_err(), "it opened for no context");
    }
    let sealed = sealer.seal("kigo/acc_1", b"a secret").await.unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= 1;
        }
        assert!(sealer.open("kigo/acc_1", &changed).await.is_err(), "it opened though byte {at} was changed");
        let cut = sealed.get(..at).unwrap_or_default();
        assert!(sealer.open("kigo/acc_1", cut).await.is_err(), "it opened though it was cut at {at}");
    }
}
