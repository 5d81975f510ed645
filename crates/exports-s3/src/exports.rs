//! The calendars behind private links. A put is always conditional, so no stale export wins.

use async_trait::async_trait;
use aws_sdk_s3::{operation::get_object::GetObjectError, primitives::ByteStream};
use bytes::Bytes;
use calmesh_app::{
    model::LinkToken,
    ports::{ExportObject, ExportStore, ExportVersion, ExportWriteError, ObjectError},
};
use jiff::Timestamp;
use md5::{Digest, Md5};

use crate::{
    ObjectKey, S3Objects,
    answer::{failure, refusal, told},
};

#[async_trait]
impl ExportStore for S3Objects {
    async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError> {
        let key = ObjectKey::Export { token: token.clone() };
        let Some(found) = self.get(&key).await? else { return Ok(None) };
        let etag = found.e_tag.ok_or_else(|| told("GetObject", key.noun(), "was answered without an ETag"))?;
        let last_modified = found
            .last_modified
            .and_then(|at| Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok())
            .ok_or_else(|| told("GetObject", key.noun(), "was answered without a time"))?;
        let body = whole(found.body, &key).await?;
        Ok(Some(ExportObject { body, version: ExportVersion(etag), last_modified }))
    }

    async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError> {
        let key = ObjectKey::Export { token: token.clone() };
        let head = self.client.head_object().bucket(key.bucket(&self.buckets)).key(key.path());
        match head.send().await {
            Ok(found) => {
                let etag = found.e_tag.ok_or_else(|| told("HeadObject", key.noun(), "was answered without an ETag"))?;
                Ok(Some(ExportVersion(etag)))
            }
            // S3's answer to HEAD has no body that would tell a missing bucket from a missing key; who puts hears of it.
            Err(error) => match refusal(&error) {
                Some((404, None | Some("NotFound" | "NoSuchKey"))) => Ok(None),
                _ => Err(failure("HeadObject", key.noun(), &error)),
            },
        }
    }

    /// S3 User Guide, "Common response headers": the ETag of what was put in one piece and lies in the clear or under
    /// S3's own keys (SSE-S3) is its MD5. Under other keys it is something else, and whoever compares puts once more.
    fn version_of(&self, body: &[u8]) -> ExportVersion {
        ExportVersion(format!("\"{}\"", hex::encode(Md5::digest(body))))
    }

    async fn put_export(
        &self,
        token: &LinkToken,
        body: Bytes,
        expected: Option<&ExportVersion>,
    ) -> Result<ExportVersion, ExportWriteError> {
        let key = ObjectKey::Export { token: token.clone() };
        let put = self.put(&key, body);
        let put = match expected {
            Some(version) => put.if_match(&version.0),
            None => put.if_none_match("*"),
        };
        match put.send().await {
            Ok(made) => {
                let etag = made.e_tag.ok_or_else(|| told("PutObject", key.noun(), "was answered without an ETag"))?;
                Ok(ExportVersion(etag))
            }
            Err(error) => match refusal(&error) {
                // 409: another conditional write to this key was under way. 404: what was to be replaced is gone.
                // S3's user guide, "Add preconditions to S3 operations with conditional requests".
                Some((412, _) | (409, Some("ConditionalRequestConflict")) | (404, Some("NoSuchKey"))) => {
                    Err(ExportWriteError::Stale)
                }
                _ => Err(failure("PutObject", key.noun(), &error).into()),
            },
        }
    }

    async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError> {
        self.delete(&ObjectKey::Export { token: token.clone() }).await
    }
}

/// The bytes of an answer, all of them.
pub(crate) async fn whole(body: ByteStream, key: &ObjectKey) -> Result<Bytes, ObjectError> {
    match body.collect().await {
        Ok(gathered) => Ok(gathered.into_bytes()),
        Err(_) => Err(told("GetObject", key.noun(), "broke off")),
    }
}

impl S3Objects {
    /// Puts the page that CloudFront answers for unknown links where there is none. Without it CloudFront would
    /// pass on S3's own words, which tell an unknown link from a forbidden one.
    ///
    /// # Errors
    /// When the page could not be read or put.
    pub async fn keep_not_found_page(&self) -> Result<(), ObjectError> {
        let key = ObjectKey::NotFoundPage;
        if self.get(&key).await?.is_some() {
            return Ok(());
        }
        match self.put(&key, Bytes::from_static(b"Not found\n")).if_none_match("*").send().await {
            Ok(_) => Ok(()),
            // Another process was first.
            Err(error) if matches!(refusal(&error), Some((409 | 412, _))) => Ok(()),
            Err(error) => Err(failure("PutObject", key.noun(), &error)),
        }
    }

    /// Answers nothing only where S3 says that there is no such key: a missing bucket or right is an error.
    pub(crate) async fn get(
        &self,
        key: &ObjectKey,
    ) -> Result<Option<aws_sdk_s3::operation::get_object::GetObjectOutput>, ObjectError> {
        let get = self.client.get_object().bucket(key.bucket(&self.buckets)).key(key.path());
        match get.send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(failure("GetObject", key.noun(), &error)),
        }
    }

    /// A put with the headers that this object has.
    pub(crate) fn put(
        &self,
        key: &ObjectKey,
        body: Bytes,
    ) -> aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder {
        self.client
            .put_object()
            .bucket(key.bucket(&self.buckets))
            .key(key.path())
            .content_type(key.content_type())
            .cache_control(key.cache_control())
            .body(ByteStream::from(body))
    }

    /// S3 answers a second delete as it did the first one.
    pub(crate) async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        let delete = self.client.delete_object().bucket(key.bucket(&self.buckets)).key(key.path());
        delete.send().await.map(drop).map_err(|error| failure("DeleteObject", key.noun(), &error))
    }
}
