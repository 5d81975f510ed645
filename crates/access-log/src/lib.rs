#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

mod notification;
mod w3c;

use std::io::Write;

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectError,
    primitives::ByteStream,
};
use calmesh_app::ports::{LoggedReads, ObjectError, ReadLogError, ReadLogs};
use calmesh_https::{OnDemand, how_it_failed};
use flate2::write::MultiGzDecoder;

pub use notification::{NotificationError, new_logs};

use crate::w3c::LogText;

const ZIPPED_MOST: usize = 64 * 1024 * 1024;
const TOO_LARGE: &str = "it is larger than 64 MiB";
const NOT_WHOLE: &str = "it is not gzip, or not whole";

/// `ReadLogs` over S3. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AccessLogs {
    client: OnDemand<Client>,
    bucket: String,
    own_mark: String,
}

impl AccessLogs {
    /// `own_mark` stands in the name of this deployment's fetcher alone: what it reads is no read, and what another
    /// deployment's reads is one. Where it is empty every read counts. Time-outs, retries and the endpoint are the
    /// client's.
    #[must_use]
    pub fn new(client: impl Into<OnDemand<Client>>, bucket: String, own_mark: &str) -> Self {
        Self { client: client.into(), bucket, own_mark: own_mark.to_owned() }
    }

    /// The bucket that logs are in.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    async fn unzipped(&self, mut body: ByteStream) -> Result<LoggedReads, ReadLogError> {
        let mut decoder = MultiGzDecoder::new(LogText::new(self.own_mark.clone()));
        let mut zipped = 0_usize;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| told("GetObject", "broke off"))?;
            zipped = zipped.saturating_add(chunk.len());
            if zipped > ZIPPED_MOST {
                return Err(ReadLogError::Unusable(TOO_LARGE));
            }
            let taken = decoder.write_all(&chunk);
            taken.map_err(|_| ReadLogError::Unusable(decoder.get_ref().refusal().unwrap_or(NOT_WHOLE)))?;
        }
        // The end of the last member carries its length and checksum: without them it was cut.
        let whole = decoder.try_finish();
        whole.map_err(|_| ReadLogError::Unusable(decoder.get_ref().refusal().unwrap_or(NOT_WHOLE)))?;
        let text = decoder.finish().map_err(|_| ReadLogError::Unusable(NOT_WHOLE))?;
        text.finish().map_err(ReadLogError::Unusable)
    }
}

#[async_trait]
impl ReadLogs for AccessLogs {
    async fn reads(&self, log: &str) -> Result<Option<LoggedReads>, ReadLogError> {
        match self.client.get_object().bucket(&self.bucket).key(log).send().await {
            Ok(found) => self.unzipped(found.body).await.map(Some),
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => Ok(None),
            Err(error) => Err(failure("GetObject", &error).into()),
        }
    }

    async fn remove(&self, log: &str) -> Result<(), ObjectError> {
        let delete = self.client.delete_object().bucket(&self.bucket).key(log);
        delete.send().await.map(drop).map_err(|error| failure("DeleteObject", &error))
    }
}

/// A failure without its cause: an SDK error holds the whole answer.
fn failure<E>(operation: &str, error: &SdkError<E, HttpResponse>) -> ObjectError
where
    E: ProvideErrorMetadata,
{
    told(operation, &how_it_failed(error))
}

fn told(operation: &str, how: &str) -> ObjectError {
    ObjectError { what: format!("{operation} of a log of reads {how}"), source: None }
}
