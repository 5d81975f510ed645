//! What S3 promises, on a folder: `s3s` speaks the protocol, `s3s-fs` keeps the files.
//!
//! `s3s-fs` (0.14.1) alone does not keep what `exports-s3` relies on, so [`Objects`] stands before it:
//! - It compares `If-Match` and writes without a lock in between, and answers a read with the ETag of a record that
//!   is written after the bytes. Here a key has a lock, and an ETag is always the digest of the bytes that are
//!   answered, so that a kill between the two writes leaves no new bytes under an old ETag.
//! - It leaves its records of a deleted object behind, with the key in their names. Here they go too.
//! - It copies into place; here a copy is a put, which renames a finished file.
//! - It prints whole requests, keys included, into tracing spans of level INFO. Keys of exports are secrets, so
//!   whoever calls the service does so without a subscriber.
//! - It makes files by the umask. Here the root is closed to everybody but its owner.
//!
//! What is not honoured (ranges, multipart, versions, tags) is refused, never ignored. There is no domain here.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    crypto::{Checksum, Md5},
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
        PutObjectInput, PutObjectOutput, StreamingBlob,
    },
    s3_error,
};
use s3s_fs::FileSystem;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A bucket's lifecycle rule: objects under this prefix go when they have not been written for this long.
#[derive(Debug, Clone)]
pub(crate) struct Expiry {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
    pub(crate) after: Duration,
}

/// More locks than writers: two keys that share one only wait for each other.
const LOCKS: usize = 256;

/// A folder of buckets with the promises of S3 that this product relies on.
#[derive(Clone)]
pub(crate) struct Objects {
    root: PathBuf,
    files: Arc<FileSystem>,
    locks: Arc<Locks>,
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
        std::fs::create_dir_all(root)?;
        close_to_others(root)?;
        for bucket in buckets {
            std::fs::create_dir_all(root.join(bucket))?;
        }
        // Also removes what unfinished writes left behind.
        let files = FileSystem::new(root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let locks = Locks { by_hash: RandomState::new(), locks: (0..LOCKS).map(|_| RwLock::new(())).collect() };
        Ok(Self { root: root.canonicalize()?, files: Arc::new(files), locks: Arc::new(locks) })
    }

    /// Where the bytes of an object lie. Keys that mean something to a file system are refused.
    fn path(&self, bucket: &str, key: &str) -> S3Result<PathBuf> {
        let plain = |text: &str| {
            !text.is_empty()
                && !text.ends_with('/')
                && !text.contains("//")
                && Path::new(text).components().all(|part| matches!(part, Component::Normal(_)))
        };
        if !plain(bucket) || bucket.starts_with('.') || bucket.contains('/') || !plain(key) {
            return Err(s3_error!(InvalidRequest, "this store does not take such names"));
        }
        let folder = self.root.join(bucket);
        if !folder.is_dir() {
            return Err(s3_error!(NoSuchBucket));
        }
        Ok(folder.join(key))
    }

    /// The ETag of an object as it lies there. The caller holds its lock.
    async fn etag(&self, path: &Path) -> S3Result<Option<ETag>> {
        match tokio::fs::read(path).await {
            Ok(bytes) => Ok(Some(etag_of(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// An object with its bytes in hand, and an ETag that is theirs.
    async fn read(&self, request: S3Request<GetObjectInput>) -> S3Result<(GetObjectOutput, Bytes)> {
        let GetObjectInput { bucket, key, range, part_number, version_id, .. } = &request.input;
        if range.is_some() || part_number.is_some() || version_id.is_some() {
            return Err(s3_error!(NotImplemented, "this store gives whole objects of no version"));
        }
        let path = self.path(bucket, key)?;
        let _lock = self.locks.to_read(bucket, key).await?;
        if !path.is_file() {
            return Err(s3_error!(NoSuchKey));
        }
        let found = self.files.get_object(request).await?.output;
        let GetObjectOutput {
            body,
            last_modified,
            metadata,
            cache_control,
            content_type,
            content_encoding,
            content_language,
            content_disposition,
            ..
        } = found;
        let bytes = collect(body).await?;
        // Checksums stay out: they are in the record that is written after the bytes.
        let output = GetObjectOutput {
            content_length: Some(i64::try_from(bytes.len()).map_err(failed)?),
            e_tag: Some(etag_of(&bytes)),
            last_modified,
            metadata,
            cache_control,
            content_type,
            content_encoding,
            content_language,
            content_disposition,
            ..GetObjectOutput::default()
        };
        Ok((output, bytes))
    }

    async fn put(&self, mut request: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
        let path = self.path(&request.input.bucket, &request.input.key)?;
        let bytes = collect(request.input.body.take()).await?;
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let _lock = self.locks.to_write(&bucket, &key).await?;
        let (if_match, if_none_match) = (request.input.if_match.take(), request.input.if_none_match.take());
        if if_match.is_some() || if_none_match.is_some() {
            let present = self.etag(&path).await?;
            // As S3 does it: a condition on what is not there is 404, one that does not hold is 412.
            match (if_match, &present) {
                (Some(_), None) => return Err(s3_error!(NoSuchKey)),
                (Some(ETagCondition::ETag(expected)), Some(present)) if !present.strong_cmp(&expected) => {
                    return Err(s3_error!(PreconditionFailed));
                }
                _ => {}
            }
            match (if_none_match, &present) {
                (Some(ETagCondition::Any), Some(_)) => return Err(s3_error!(PreconditionFailed)),
                (Some(ETagCondition::ETag(_)), _) => return Err(s3_error!(NotImplemented)),
                _ => {}
            }
        }
        let etag = etag_of(&bytes);
        request.input.body = Some(blob(bytes));
        // No umask is set: the root is closed.
        self.files.put_object(request).await?;
        Ok(PutObjectOutput { e_tag: Some(etag), ..PutObjectOutput::default() })
    }

    async fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let path = self.path(bucket, key)?;
        let _lock = self.locks.to_write(bucket, key).await?;
        // The bytes first: what is left of a delete that was cut short is a record of nothing.
        for path in [path].into_iter().chain(self.records(bucket, key)) {
            match tokio::fs::remove_file(path).await {
                Ok(()) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// Where `s3s-fs` (pinned) keeps what it knows of an object beside its bytes.
    fn records(&self, bucket: &str, key: &str) -> [PathBuf; 2] {
        let stem = format!(".bucket-{}.object-{}", URL_SAFE_NO_PAD.encode(bucket), URL_SAFE_NO_PAD.encode(key));
        [self.root.join(format!("{stem}.metadata.json")), self.root.join(format!("{stem}.internal.json"))]
    }

    /// Removes what lies longer than its rule says. What can't be removed is tried again the next time.
    pub(crate) fn expire(&self, expiry: &Expiry) {
        let bucket = self.root.join(&expiry.bucket);
        let mut folders = vec![bucket.join(&expiry.prefix)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let age = entry.metadata().and_then(|about| about.modified()).map(|written| written.elapsed());
                // A file from the future (the clock was set back) has no age yet.
                let Ok(Ok(age)) = age else { continue };
                let key = path.strip_prefix(&bucket).ok().and_then(Path::to_str);
                let (true, Some(key)) = (age > expiry.after, key) else { continue };
                for gone in [path.clone()].into_iter().chain(self.records(&expiry.bucket, key)) {
                    drop(std::fs::remove_file(gone));
                }
            }
        }
    }
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let (output, bytes) = self.read(request).await?;
        Ok(S3Response::new(GetObjectOutput { body: Some(blob(bytes)), ..output }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let request = request.map_input(|input| GetObjectInput {
            bucket: input.bucket,
            key: input.key,
            range: input.range,
            part_number: input.part_number,
            version_id: input.version_id,
            ..GetObjectInput::default()
        });
        let (output, _) = self.read(request).await?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: output.content_length,
            e_tag: output.e_tag,
            last_modified: output.last_modified,
            metadata: output.metadata,
            cache_control: output.cache_control,
            content_type: output.content_type,
            content_encoding: output.content_encoding,
            content_language: output.content_language,
            content_disposition: output.content_disposition,
            ..HeadObjectOutput::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        Ok(S3Response::new(self.put(request).await?))
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
        let from = GetObjectInput { bucket: bucket.to_string(), key: key.to_string(), ..GetObjectInput::default() };
        let (found, bytes) = self.read(request.clone().map_input(|_| from)).await?;
        let put = request.map_input(|input| PutObjectInput {
            bucket: input.bucket,
            key: input.key,
            body: Some(blob(bytes)),
            metadata: found.metadata,
            cache_control: found.cache_control,
            content_type: found.content_type,
            content_encoding: found.content_encoding,
            content_language: found.content_language,
            content_disposition: found.content_disposition,
            ..PutObjectInput::default()
        });
        let made = self.put(put).await?;
        let result = CopyObjectResult { e_tag: made.e_tag, ..CopyObjectResult::default() };
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
        self.files.list_objects_v2(request).await
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
