//! What S3 promises, on rows of a database: `s3s` speaks the protocol, `rows` keeps the objects.
//!
//! - A put is on the disk when it is answered, and a delete stays one, also after a loss of power.
//! - Nothing happens between a condition and its write. The ETag is the digest of the bytes.
//! - `s3s` prints whole requests, keys included, into tracing spans of level INFO. Keys of exports are secrets, so
//!   whoever calls the service does so without a subscriber.
//!
//! What is not honoured (ranges, multipart, versions, tags) is refused, never ignored. There is no domain here.

use std::{io, path::Path, sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use s3s::{
    Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    crypto::{Checksum, Md5},
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, DeleteObjectInput, DeleteObjectOutput,
        DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, GetObjectInput, GetObjectOutput,
        HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListObjectsV2Input, ListObjectsV2Output,
        PutObjectInput, PutObjectOutput, StreamingBlob, Timestamp,
    },
    s3_error,
};

use super::{
    rows::{Attributes, Beginning, Condition, Expiry, Name, Object, Refused, Rows, Tells},
    sqlite::Looks,
};

/// A page of a listing, as in S3.
const MOST_LISTED: usize = 1000;

/// Buckets with the promises of S3 that this product relies on. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Objects {
    rows: Rows,
    buckets: Arc<[String]>,
}

fn digest_of(bytes: &[u8]) -> String {
    Md5::checksum(bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What S3 stamps is the time of its own clock.
#[expect(clippy::disallowed_methods, reason = "the clock of the outside service that this stands for")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> S3Error {
    S3Error::with_source(S3ErrorCode::InternalError, Box::new(error))
}

fn refused(refused: Refused) -> S3Error {
    match refused {
        Refused::Absent => s3_error!(NoSuchKey),
        Refused::Differs => s3_error!(PreconditionFailed),
    }
}

/// The whole body. Feeds and exports are a few megabytes at most, and nothing else is kept here.
async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let broken = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
    let Some(first) = body.try_next().await.map_err(broken)? else { return Ok(Bytes::new()) };
    // In this process a body comes in one piece, which is not copied.
    let Some(second) = body.try_next().await.map_err(broken)? else { return Ok(first) };
    let begun = BytesMut::from_iter([first, second].iter().flatten());
    let gathered: BytesMut = body
        .try_fold(begun, |mut gathered, chunk| async move {
            gathered.extend_from_slice(&chunk);
            Ok(gathered)
        })
        .await
        .map_err(broken)?;
    Ok(gathered.freeze())
}

fn blob(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::from(Body::from(bytes))
}

impl Objects {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it can't be opened, read or made.
    pub(crate) fn open(file: &Path, buckets: &[&str], tells: Tells) -> io::Result<(Self, Beginning)> {
        let (rows, beginning) = Rows::open(file, tells)?;
        let buckets = buckets.iter().map(|&bucket| bucket.to_owned()).collect();
        Ok((Self { rows, buckets }, beginning))
    }

    fn name(&self, bucket: &str, key: &str) -> S3Result<Name> {
        self.check(bucket)?;
        Ok(Name { bucket: bucket.to_owned(), key: key.to_owned() })
    }

    fn check(&self, bucket: &str) -> S3Result<()> {
        match self.buckets.iter().any(|known| known == bucket) {
            true => Ok(()),
            false => Err(s3_error!(NoSuchBucket)),
        }
    }

    async fn get(&self, bucket: &str, key: &str) -> S3Result<Object> {
        let name = self.name(bucket, key)?;
        self.rows.find(&name).await.map_err(failed)?.ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Removes what lies longer than its rule says.
    ///
    /// # Errors
    /// When some of it may still be there; the next call tries again.
    pub(crate) async fn expire(&self, expiry: &Expiry, now: SystemTime) -> io::Result<()> {
        self.rows.expire(expiry, now).await
    }

    /// Looks whether the file is whole; where it is not, it is made anew.
    ///
    /// # Errors
    /// When it can't be looked at.
    pub(crate) async fn look(&self, looks: &Looks) -> io::Result<()> {
        self.rows.look(looks).await
    }
}

/// What a put asks of what is there.
fn condition(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> S3Result<Condition> {
    match (if_match, if_none_match) {
        (None, None) => Ok(Condition::None),
        (Some(ETagCondition::Any), None) => Ok(Condition::IsThere),
        (Some(ETagCondition::ETag(ETag::Strong(expected))), None) => Ok(Condition::Is(expected)),
        (None, Some(ETagCondition::Any)) => Ok(Condition::IsAbsent),
        _ => Err(s3_error!(NotImplemented)),
    }
}

fn head_of(object: &Object) -> S3Result<HeadObjectOutput> {
    let Attributes { content_type, cache_control, metadata } = object.attributes.clone();
    Ok(HeadObjectOutput {
        content_length: Some(i64::try_from(object.bytes.len()).map_err(failed)?),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(Timestamp::from(object.written)),
        metadata: (!metadata.is_empty()).then(|| metadata.into_iter().collect()),
        cache_control,
        content_type,
        ..HeadObjectOutput::default()
    })
}

#[async_trait::async_trait]
impl S3 for Objects {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.check(&request.input.bucket)?;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, part_number, version_id, .. } = &request.input;
        if range.is_some() || part_number.is_some() || version_id.is_some() {
            return Err(s3_error!(NotImplemented, "this store gives whole objects of no version"));
        }
        let found = self.get(bucket, key).await?;
        let head = head_of(&found)?;
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
        Ok(S3Response::new(head_of(&self.get(bucket, key).await?)?))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        let name = self.name(&input.bucket, &input.key)?;
        let condition = condition(input.if_match, input.if_none_match)?;
        let attributes = Attributes {
            content_type: input.content_type,
            cache_control: input.cache_control,
            metadata: input.metadata.into_iter().flatten().collect(),
        };
        let bytes = collect(input.body).await?;
        let object = Object { attributes, etag: digest_of(&bytes), bytes, written: now() };
        let e_tag = self.rows.put(name, object, condition).await.map_err(failed)?.map_err(refused)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: e_tag.map(ETag::Strong), ..PutObjectOutput::default() }))
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
        let (from, to) = (self.name(bucket, key)?, self.name(&input.bucket, &input.key)?);
        let etag = self.rows.copy(from, to, now()).await.map_err(failed)?.map_err(refused)?;
        let result = CopyObjectResult { e_tag: etag.map(ETag::Strong), ..CopyObjectResult::default() };
        Ok(S3Response::new(CopyObjectOutput { copy_object_result: Some(result), ..CopyObjectOutput::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        if request.input.version_id.is_some() || request.input.if_match.is_some() {
            return Err(s3_error!(NotImplemented));
        }
        let name = self.name(&request.input.bucket, &request.input.key)?;
        self.rows.delete(vec![name]).await.map_err(failed)?;
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete, .. } = request.input;
        let names = delete.objects.iter().map(|object| self.name(&bucket, &object.key)).collect::<S3Result<_>>()?;
        self.rows.delete(names).await.map_err(failed)?;
        let deleted = |key| DeletedObject { key: Some(key), ..DeletedObject::default() };
        let deleted = delete.objects.into_iter().map(|object| deleted(object.key)).collect();
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
        self.check(&bucket)?;
        let most = max_keys.and_then(|most| usize::try_from(most).ok()).unwrap_or(MOST_LISTED).min(MOST_LISTED);
        let after = continuation_token.or(start_after).unwrap_or_default();
        let keys = self.rows.keys(&bucket, prefix.as_deref().unwrap_or_default(), &after, most.saturating_add(1)).await;
        let mut keys = keys.map_err(failed)?;
        let is_truncated = keys.len() > most;
        keys.truncate(most);
        let next_continuation_token = keys.last().filter(|_| is_truncated).cloned();
        let object = |key| s3s::dto::Object { key: Some(key), ..s3s::dto::Object::default() };
        let contents: Vec<s3s::dto::Object> = keys.into_iter().map(object).collect();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(bucket),
            prefix,
            key_count: Some(i32::try_from(contents.len()).map_err(failed)?),
            max_keys: Some(i32::try_from(most).map_err(failed)?),
            is_truncated: Some(is_truncated),
            next_continuation_token,
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }
}
