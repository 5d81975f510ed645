//! What S3 promises, on a folder: `s3s` speaks the protocol, and an object is one file.
//!
//! - A file holds an object's attributes and bytes behind their checksum. One that is torn, emptied or unreadable counts as
//!   absent, for reads and for conditions: it is told in the log, and whoever puts the object mends it.
//! - A put is on the disk when it is answered, and a delete stays one, also after a loss of power (see `disk`).
//! - A key has a lock, so that nothing happens between a condition and its write. The ETag is the digest of the bytes.
//! - `s3s` prints whole requests, keys included, into tracing spans of level INFO. Keys of exports are secrets, so
//!   whoever calls the service does so without a subscriber.
//! - The root is closed to everybody but its owner.
//!
//! What is not honoured (ranges, multipart, versions, tags) is refused, never ignored. There is no domain here.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    crypto::{Checksum, Md5},
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
        Object, PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
    },
    s3_error,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::disk::Disk;

/// A bucket's lifecycle rule: objects under this prefix go when they have not been written for this long.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) after: Duration,
}

/// More locks than writers: two keys that share one only wait for each other.
const LOCKS: usize = 256;
/// A page of a listing, as in S3.
const MOST_LISTED: usize = 1000;
/// The first line of a file: this, the checksum of all that follows the line, and the bytes of the attributes.
const FORM: &str = "calmesh-object/1";

/// Is told of every change of an object (bucket and key), before it is made and after.
pub(crate) type Told = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A folder of buckets with the promises of S3 that this product relies on.
#[derive(Clone)]
pub(crate) struct Objects {
    disk: Disk,
    buckets: Arc<[String]>,
    locks: Arc<Locks>,
    told: Option<Told>,
}

/// What an object is served with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

/// An object in hand.
#[derive(Debug, Clone)]
struct Found {
    attributes: Attributes,
    bytes: Bytes,
    written: SystemTime,
}

fn encode(attributes: &Attributes, bytes: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let attributes = serde_json::to_vec(attributes)?;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&attributes);
    sum.update(bytes);
    Ok((format!("{FORM} {:08x} {}\n", sum.finalize(), attributes.len()), attributes))
}

/// What a file says; nothing where it is not whole.
fn decode(file: &Bytes) -> Option<(Attributes, Bytes)> {
    let end = file.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(file.get(..end)?).ok()?.split(' ');
    let (FORM, sum, length, None) = (words.next()?, words.next()?, words.next()?, words.next()) else { return None };
    let rest = file.get(end + 1..)?;
    if format!("{:08x}", crc32fast::hash(rest)) != sum {
        return None;
    }
    let (attributes, bytes) = rest.split_at_checked(length.parse().ok()?)?;
    Some((serde_json::from_slice(attributes).ok()?, file.slice_ref(bytes)))
}

/// Reads a file. One that can't be believed, or that the disk can't give, is none.
fn read(file: &Path) -> io::Result<Option<Found>> {
    let opened = std::fs::metadata(file).and_then(|about| Ok((about.modified()?, std::fs::read(file)?)));
    let (written, bytes) = match opened {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if is_lost(&error) => {
            tracing::warn!(%error, "an object can't be read and counts as absent");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some((attributes, bytes)) = decode(&bytes.into()) else {
        tracing::warn!("an object is damaged and counts as absent");
        return Ok(None);
    };
    Ok(Some(Found { attributes, bytes, written }))
}

/// Whether it is the file that can't be read, and not the machine that is short of something.
fn is_lost(error: &io::Error) -> bool {
    /// `EIO`: the medium does not give these bytes.
    const MEDIUM: i32 = 5;
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
        || (cfg!(unix) && error.raw_os_error() == Some(MEDIUM))
}

struct Locks {
    by_hash: RandomState,
    locks: Vec<RwLock<()>>,
}

impl Locks {
    fn of(&self, bucket: &str, key: &str) -> S3Result<&RwLock<()>> {
        let hash = self.by_hash.hash_one((bucket, key));
        let index = usize::try_from(hash % LOCKS as u64).unwrap_or_default();
        self.locks.get(index).ok_or_else(|| s3_error!(InternalError))
    }

    async fn to_read(&self, bucket: &str, key: &str) -> S3Result<RwLockReadGuard<'_, ()>> {
        Ok(self.of(bucket, key)?.read().await)
    }

    async fn to_write(&self, bucket: &str, key: &str) -> S3Result<RwLockWriteGuard<'_, ()>> {
        Ok(self.of(bucket, key)?.write().await)
    }
}

fn etag_of(bytes: &[u8]) -> ETag {
    let digest = Md5::checksum(bytes);
    ETag::Strong(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> S3Error {
    S3Error::with_source(S3ErrorCode::InternalError, Box::new(error))
}

/// The whole body. Feeds and exports are a few megabytes at most, and nothing else is kept here.
async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else { return Ok(Bytes::new()) };
    let gathered: BytesMut = body
        .try_fold(BytesMut::new(), |mut gathered, chunk| async move {
            gathered.extend_from_slice(&chunk);
            Ok(gathered)
        })
        .await
        .map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?;
    Ok(gathered.freeze())
}

fn blob(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::from(Body::from(bytes))
}

impl Objects {
    /// Makes what is missing under `root`.
    ///
    /// # Errors
    /// When the folders can't be made or closed to others.
    pub(crate) fn open(root: &Path, buckets: &[&str]) -> io::Result<Self> {
        let disk = Disk::open(root)?;
        close_to_others(disk.root())?;
        for bucket in buckets {
            disk.make_folder(&disk.root().join(bucket))?;
        }
        let locks = Locks { by_hash: RandomState::new(), locks: (0..LOCKS).map(|_| RwLock::new(())).collect() };
        let buckets = buckets.iter().map(|&bucket| bucket.to_owned()).collect();
        Ok(Self { disk, buckets, locks: Arc::new(locks), told: None })
    }

    pub(crate) fn telling(self, told: Option<Told>) -> Self {
        Self { told, ..self }
    }

    /// Changes an object on the disk. Goes on when whoever asked for it has gone.
    async fn change(
        &self,
        bucket: &str,
        key: &str,
        make: impl FnOnce(&Disk) -> io::Result<()> + Send + 'static,
    ) -> S3Result<()> {
        let (disk, told) = (self.disk.clone(), self.told.clone());
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        on_disk(move || {
            let tell = || told.iter().for_each(|told| told(&bucket, &key));
            tell();
            let made = make(&disk);
            tell();
            made
        })
        .await
    }

    fn folder(&self, bucket: &str) -> S3Result<PathBuf> {
        match self.buckets.iter().any(|known| known == bucket) {
            true => Ok(self.disk.root().join(bucket)),
            false => Err(s3_error!(NoSuchBucket)),
        }
    }

    /// Where an object lies. Keys that mean something to a file system are refused.
    fn file(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let plain = !key.is_empty()
            && !key.ends_with('/')
            && !key.contains("//")
            && Path::new(key).components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(s3_error!(InvalidRequest, "this store does not take such names"));
        }
        Ok(self.folder(bucket)?.join(key))
    }

    async fn get(&self, bucket: &str, key: &str) -> S3Result<Found> {
        let file = self.file(bucket, key)?;
        let _lock = self.locks.to_read(bucket, key).await?;
        on_disk(move || read(&file)).await?.ok_or_else(|| s3_error!(NoSuchKey))
    }

    async fn put(
        &self,
        bucket: &str,
        key: &str,
        attributes: Attributes,
        bytes: Bytes,
        condition: Condition,
    ) -> S3Result<ETag> {
        let file = self.file(bucket, key)?;
        let _lock = self.locks.to_write(bucket, key).await?;
        if condition.asks() {
            let present = file.clone();
            let present = on_disk(move || read(&present)).await?;
            condition.holds(present.map(|found| etag_of(&found.bytes)).as_ref())?;
        }
        let etag = etag_of(&bytes);
        let replace = move |disk: &Disk| {
            let (line, attributes) = encode(&attributes, &bytes)?;
            disk.replace(&file, &[line.as_bytes(), &attributes, &bytes])
        };
        self.change(bucket, key, replace).await?;
        Ok(etag)
    }

    async fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let file = self.file(bucket, key)?;
        let _lock = self.locks.to_write(bucket, key).await?;
        self.change(bucket, key, move |disk| disk.remove(&file)).await
    }

    /// The keys of a bucket that begin so, in order, after this one.
    fn keys(&self, bucket: &str, prefix: &str, after: Option<&str>) -> S3Result<Vec<String>> {
        let root = self.folder(bucket)?;
        let below = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !Path::new(below).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(s3_error!(InvalidRequest, "this store does not take such names"));
        }
        let mut keys: Vec<String> = files_below(&root.join(below))
            .filter_map(|file| Some(file.strip_prefix(&root).ok()?.to_str()?.to_owned()))
            .filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after))
            .collect();
        keys.sort();
        Ok(keys)
    }

    /// Removes what lies longer than its rule says. What can't be removed is tried again the next time.
    pub(crate) fn expire(&self, expiry: &Expiry) {
        let Ok(bucket) = self.folder(&expiry.bucket) else { return };
        for file in files_below(&bucket.join(&expiry.prefix)) {
            let age = std::fs::metadata(&file).and_then(|about| about.modified()).map(|written| written.elapsed());
            // A file from the future (the clock was set back) has no age yet.
            if matches!(age, Ok(Ok(age)) if age > expiry.after) {
                drop(std::fs::remove_file(file));
            }
        }
    }

    #[cfg(test)]
    fn steps(&self) -> Vec<super::disk::Step> {
        self.disk.steps()
    }
}

/// Every file in a folder and in those that lie in it.
fn files_below(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut folders = vec![folder.to_owned()];
    std::iter::from_fn(move || {
        let folder = folders.pop()?;
        let mut files = Vec::new();
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
        Some(files)
    })
    .flatten()
}

/// Runs what waits on the disk beside those who serve.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> S3Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(failed)?.map_err(failed)
}

/// What a put asks of what is there.
#[derive(Debug, Default)]
struct Condition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
}

impl Condition {
    fn asks(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// As S3 does it: a condition on what is not there is 404, one that does not hold is 412.
    fn holds(&self, present: Option<&ETag>) -> S3Result<()> {
        match (&self.if_match, present) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey)),
            (Some(ETagCondition::ETag(expected)), Some(present)) if !present.strong_cmp(expected) => {
                return Err(s3_error!(PreconditionFailed));
            }
            _ => {}
        }
        match (&self.if_none_match, present) {
            (Some(ETagCondition::Any), Some(_)) => Err(s3_error!(PreconditionFailed)),
            (Some(ETagCondition::ETag(_)), _) => Err(s3_error!(NotImplemented)),
            _ => Ok(()),
        }
    }
}

impl Found {
    fn head(&self) -> S3Result<HeadObjectOutput> {
        let Attributes { content_type, cache_control, metadata } = self.attributes.clone();
        Ok(HeadObjectOutput {
            content_length: Some(i64::try_from(self.bytes.len()).map_err(failed)?),
            e_tag: Some(etag_of(&self.bytes)),
            last_modified: Some(Timestamp::from(self.written)),
            metadata: (!metadata.is_empty()).then(|| metadata.into_iter().collect()),
            cache_control,
            content_type,
            ..HeadObjectOutput::default()
        })
    }
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.folder(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, part_number, version_id, .. } = &request.input;
        if range.is_some() || part_number.is_some() || version_id.is_some() {
            return Err(s3_error!(NotImplemented, "this store gives whole objects of no version"));
        }
        let found = self.get(bucket, key).await?;
        let head = found.head()?;
        Ok(S3Response::new(GetObjectOutput {
            content_length: head.content_length,
            e_tag: head.e_tag,
            last_modified: head.last_modified,
            metadata: head.metadata,
            cache_control: head.cache_control,
            content_type: head.content_type,
            body: Some(blob(found.bytes)),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let HeadObjectInput { bucket, key, range, part_number, version_id, .. } = &request.input;
        if range.is_some() || part_number.is_some() || version_id.is_some() {
            return Err(s3_error!(NotImplemented, "this store gives whole objects of no version"));
        }
        Ok(S3Response::new(self.get(bucket, key).await?.head()?))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let attributes = Attributes {
            content_type: input.content_type,
            cache_control: input.cache_control,
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let condition = Condition { if_match: input.if_match, if_none_match: input.if_none_match };
        let bytes = collect(input.body).await?;
        let etag = self.put(&input.bucket, &input.key, attributes, bytes, condition).await?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(etag), ..PutObjectOutput::default() }))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = &request.input;
        let conditional = input.copy_source_if_match.is_some()
            || input.copy_source_if_none_match.is_some()
            || input.copy_source_if_modified_since.is_some()
            || input.copy_source_if_unmodified_since.is_some();
        let replacing = input.metadata_directive.as_ref().is_some_and(|directive| directive.as_str() == "REPLACE");
        let CopySource::Bucket { bucket, key, version_id: None } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        if conditional || replacing {
            return Err(s3_error!(NotImplemented));
        }
        let Found { attributes, bytes, .. } = self.get(bucket, key).await?;
        let etag = self.put(&input.bucket, &input.key, attributes, bytes, Condition::default()).await?;
        let result = CopyObjectResult { e_tag: Some(etag), ..CopyObjectResult::default() };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        if request.input.version_id.is_some() || request.input.if_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        self.delete(&request.input.bucket, &request.input.key).await?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let mut deleted = Vec::with_capacity(delete.objects.len());
        for object in delete.objects {
            self.delete(&bucket, &object.key).await?;
            deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..DeleteObjectsOutput::default() }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { bucket, prefix, delimiter, continuation_token, start_after, max_keys, .. } =
            request.input;
        if delimiter.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let most = max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST_LISTED).min(MOST_LISTED);
        let store = self.clone();
        let listed = tokio::task::spawn_blocking(move || {
            let after = continuation_token.as_deref().or(start_after.as_deref());
            let mut keys = store.keys(&bucket, prefix.as_deref().unwrap_or_default(), after)?;
            let is_truncated = keys.len() > most;
            keys.truncate(most);
            let next_continuation_token = keys.last().filter(|_| is_truncated).cloned();
            let object = |key| Object { key: Some(key), ..Object::default() };
            let contents: Vec<Object> = keys.into_iter().map(object).collect();
            Ok::<_, S3Error>(ListObjectsV2Output {
                name: Some(bucket),
                prefix,
                key_count: Some(i32::try_from(contents.len()).map_err(failed)?),
                max_keys: Some(i32::try_from(most).map_err(failed)?),
                is_truncated: Some(is_truncated),
                next_continuation_token,
                contents: Some(contents),
                ..ListObjectsV2Output::default()
            })
        });
        Ok(S3Response::new(listed.await.map_err(failed)??))
    }
}

#[cfg(unix)]
fn close_to_others(root: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(root, std::fs::Permissions::from_mode(0o700))
}

/// Elsewhere a folder has the rights of the folder that it lies in: the user's own.
#[cfg(not(unix))]
fn close_to_others(_root: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::cut::{Unsynced, leaves};
    use super::*;

    const BUCKET: &str = "exports";

    async fn put(objects: &Objects, key: &str, bytes: &[u8]) {
        let attributes = Attributes { content_type: Some("text/plain".to_owned()), ..Attributes::default() };
        let bytes = Bytes::copy_from_slice(bytes);
        objects.put(BUCKET, key, attributes, bytes, Condition::default()).await.unwrap();
    }

    async fn bytes_of(objects: &Objects, key: &str) -> Option<Bytes> {
        match objects.get(BUCKET, key).await {
            Ok(found) => {
                assert_eq!(found.attributes.content_type.as_deref(), Some("text/plain"));
                Some(found.bytes)
            }
            Err(error) => {
                assert_eq!(*error.code(), S3ErrorCode::NoSuchKey, "{error:?}");
                None
            }
        }
    }

    /// What is acknowledged after a step: a key and what stands there from now on.
    type Acknowledged = (usize, &'static str, Option<&'static [u8]>);

    #[tokio::test]
    async fn what_was_acknowledged_stands_wherever_the_power_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), &[BUCKET]).unwrap();
        let mut acknowledged: Vec<Acknowledged> = Vec::new();
        let changes: [(&str, Option<&[u8]>); 6] = [
            ("f/a", Some(b"the first bytes of a")),
            ("f/b", Some(b"the bytes of b")),
            ("f/a", Some(b"other bytes")),
            ("deep/er/c", Some(b"")),
            ("f/b", None),
            ("f/b", Some(b"b is back")),
        ];
        for (key, bytes) in changes {
            match bytes {
                Some(bytes) => put(&objects, key, bytes).await,
                None => objects.delete(BUCKET, key).await.unwrap(),
            }
            acknowledged.push((objects.steps().len(), key, bytes));
        }
        let (steps, root) = (objects.steps(), folder.path().canonicalize().unwrap());
        let mut cuts = 0;
        for end in 0..=steps.len() {
            for unsynced in [Unsynced::Lost, Unsynced::Empty, Unsynced::Torn, Unsynced::Kept] {
                let after = tempfile::tempdir().unwrap();
                leaves(&steps[..end], &root, after.path(), unsynced);
                let found = Objects::open(after.path(), &[BUCKET]).unwrap();
                for key in ["f/a", "f/b", "deep/er/c"] {
                    let of_key = || acknowledged.iter().filter(|change| change.1 == key);
                    let stood = of_key().rfind(|change| change.0 <= end).and_then(|change| change.2);
                    let coming = of_key().find(|change| change.0 > end).and_then(|change| change.2);
                    let bytes = bytes_of(&found, key).await;
                    // The next change may have come through, unless it was acknowledged: then it has.
                    let may = [stood, coming].into_iter().any(|may| may == bytes.as_deref());
                    assert!(may, "{key} after step {end}, {unsynced:?}: {bytes:?}");
                }
                put(&found, "f/a", b"mended").await;
                assert_eq!(bytes_of(&found, "f/a").await.as_deref(), Some(b"mended".as_slice()));
                cuts += 1;
            }
        }
        assert!(cuts > 100, "{cuts}");
    }

    #[tokio::test]
    async fn a_file_that_is_not_whole_counts_as_absent_and_is_mended_by_a_put() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), &[BUCKET]).unwrap();
        put(&objects, "f/a", b"whole").await;
        let file = folder.path().join(BUCKET).join("f/a");
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let mut longer = whole.clone();
        longer.push(b'x');
        let mut damages = vec![flipped, longer, b"garbage".to_vec(), vec![0; whole.len()], b"{}\n".to_vec()];
        damages.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
        for damaged in damages {
            std::fs::write(&file, &damaged).unwrap();
            assert_eq!(bytes_of(&objects, "f/a").await, None, "{damaged:?}");
            let absent = Condition { if_none_match: Some(ETagCondition::Any), ..Condition::default() };
            let attributes = Attributes { content_type: Some("text/plain".to_owned()), ..Attributes::default() };
            objects.put(BUCKET, "f/a", attributes, Bytes::from_static(b"whole"), absent).await.unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), whole);
        }
    }

    #[tokio::test]
    async fn a_folder_that_was_lost_is_made_again_by_a_put() {
        let folder = tempfile::tempdir().unwrap();
        let objects = Objects::open(folder.path(), &[BUCKET]).unwrap();
        for lost in ["exports/f", "exports", ".new"] {
            put(&objects, "f/a", b"one").await;
            std::fs::remove_dir_all(folder.path().join(lost)).unwrap();
            put(&objects, "f/a", b"two").await;
            assert_eq!(bytes_of(&objects, "f/a").await.as_deref(), Some(b"two".as_slice()));
        }
    }
}
