//! Fetched bodies with their validators. The current ones never expire; superseded ones are under a prefix of
//! their own, for the bucket's lifecycle rule.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_s3::{
    operation::copy_object::CopyObjectError,
    types::{Delete, ObjectIdentifier},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use calmesh_app::{
    model::{Snapshot, Validators},
    ports::{ObjectError, ParkedBody, SnapshotStore},
};
use calmesh_calendar::{AccountId, ConnectionId};

use crate::{
    ObjectKey, S3Objects,
    answer::{failure, refusal, told},
    exports::whole,
};

const ETAG: &str = "feed-etag";
const LAST_MODIFIED: &str = "feed-last-modified";
/// An object's metadata has room for 2 KB in all. A server that sends longer validators is read without them.
const VALIDATOR_BYTES: usize = 600;
/// Says how the rest is written, and keeps an empty text from being an empty header.
const FORM: &str = "1.";

fn encode(validator: &str) -> Option<String> {
    (validator.len() <= VALIDATOR_BYTES).then(|| format!("{FORM}{}", URL_SAFE_NO_PAD.encode(validator)))
}

fn decode(text: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(text.strip_prefix(FORM)?).ok()?).ok()
}

/// What can't be read is as good as none: the next fetch is whole.
fn validators(metadata: Option<&HashMap<String, String>>) -> Validators {
    let read = |name| metadata.and_then(|metadata| metadata.get(name)).and_then(|text| decode(text));
    Validators { etag: read(ETAG), last_modified: read(LAST_MODIFIED) }
}

#[async_trait]
impl SnapshotStore for S3Objects {
    async fn park(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
        body: &ParkedBody,
    ) -> Result<(), ObjectError> {
        let key = current(account, connection, snapshot);
        let put = self.put(&key, body.body.clone());
        let put = put.set_metadata(Some(
            [(ETAG, &body.validators.etag), (LAST_MODIFIED, &body.validators.last_modified)]
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), encode(value.as_deref()?)?)))
                .collect(),
        ));
        put.send().await.map(drop).map_err(|error| failure("PutObject", key.noun(), &error))
    }

    async fn parked(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<Option<ParkedBody>, ObjectError> {
        // In this order, as one is copied before it is deleted: a body on its way is seen.
        for key in [current(account, connection, snapshot), superseded(account, connection, snapshot)] {
            if let Some(found) = self.get(&key).await? {
                let validators = validators(found.metadata());
                return Ok(Some(ParkedBody { body: whole(found.body, &key).await?, validators }));
            }
        }
        Ok(None)
    }

    async fn supersede(
        &self,
        account: &AccountId,
        connection: &ConnectionId,
        snapshot: &Snapshot,
    ) -> Result<(), ObjectError> {
        let (from, to) = (current(account, connection, snapshot), superseded(account, connection, snapshot));
        // Copied with its metadata. Ids and digests need no escapes.
        let copy = self
            .client
            .copy_object()
            .copy_source(format!("{}/{}", from.bucket(&self.buckets), from.path()))
            .bucket(to.bucket(&self.buckets))
            .key(to.path());
        match copy.send().await {
            Ok(_) => self.delete(&from).await,
            // Superseded before, or never parked.
            Err(error) if matches!(refusal::<CopyObjectError>(&error), Some((404, Some("NoSuchKey")))) => Ok(()),
            Err(error) => Err(failure("CopyObject", to.noun(), &error)),
        }
    }

    async fn forget(&self, account: &AccountId, connection: &ConnectionId) -> Result<(), ObjectError> {
        for prefix in ObjectKey::snapshots_of(account, connection) {
            self.delete_under(&prefix).await?;
        }
        Ok(())
    }
}

fn current(account: &AccountId, connection: &ConnectionId, snapshot: &Snapshot) -> ObjectKey {
    ObjectKey::CurrentSnapshot { account: account.clone(), connection: connection.clone(), snapshot: snapshot.clone() }
}

fn superseded(account: &AccountId, connection: &ConnectionId, snapshot: &Snapshot) -> ObjectKey {
    ObjectKey::SupersededSnapshot {
        account: account.clone(),
        connection: connection.clone(),
        snapshot: snapshot.clone(),
    }
}

impl S3Objects {
    /// Deletes every snapshot under a prefix, page by page.
    async fn delete_under(&self, prefix: &str) -> Result<(), ObjectError> {
        const NOUN: &str = "snapshots of a connection";
        let bucket = &self.buckets.snapshots;
        let mut after = None;
        loop {
            let list = self.client.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(after);
            let page = list.send().await.map_err(|error| failure("ListObjectsV2", NOUN, &error))?;
            let objects = page
                .contents()
                .iter()
                .filter_map(|object| ObjectIdentifier::builder().key(object.key()?).build().ok())
                .collect::<Vec<_>>();
            if !objects.is_empty() {
                let all = Delete::builder().set_objects(Some(objects)).quiet(true).build();
                let all = all.map_err(|_| told("DeleteObjects", NOUN, "could not be made"))?;
                let delete = self.client.delete_objects().bucket(bucket).delete(all);
                let done = delete.send().await.map_err(|error| failure("DeleteObjects", NOUN, &error))?;
                // Answered 200 all the same.
                if !done.errors().is_empty() {
                    let how = format!("left {} of them", done.errors().len());
                    return Err(told("DeleteObjects", NOUN, &how));
                }
            }
            after = page.next_continuation_token;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validator_too_long_for_metadata_is_left_out() {
        assert_eq!(encode(&"x".repeat(601)), None);
        assert_eq!(decode(&encode(&"é".repeat(300)).unwrap()), Some("é".repeat(300)));
        assert_eq!(decode(&encode("").unwrap()), Some(String::new()));
    }

    #[test]
    fn metadata_of_another_form_gives_no_validators() {
        let metadata = HashMap::from([(ETAG.to_owned(), "2.abc".to_owned())]);
        assert_eq!(validators(Some(&metadata)), Validators::default());
        assert_eq!(validators(None), Validators::default());
    }
}
