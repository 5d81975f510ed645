//! The S3 API in this process: SDK requests go straight to objects in a database, over no socket.

use std::{fmt, io, path::Path, sync::Arc, time::SystemTime};

use aws_sdk_s3::config::{
    BehaviorVersion, Region, RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
    http::{HttpRequest, HttpResponse},
    retry::RetryConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::client::{
    auth::AuthSchemeId,
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use s3s::{
    Body,
    service::{S3Service, S3ServiceBuilder},
};
use tracing::{instrument::WithSubscriber, subscriber::NoSubscriber};

use super::{
    objects::Objects,
    rows::{Beginning, Expiry, Tells},
    sqlite::Looks,
};

/// The scheme of requests without a signature.
const NO_AUTH: AuthSchemeId = AuthSchemeId::new("noAuth");

/// Buckets, kept in one file. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EmbeddedS3 {
    objects: Objects,
    service: S3Service,
    expiries: Arc<[Expiry]>,
}

impl EmbeddedS3 {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it can't be opened, read or made.
    pub(crate) fn open(
        file: &Path,
        buckets: &[&str],
        expiries: Vec<Expiry>,
        tells: Tells,
    ) -> io::Result<(Self, Beginning)> {
        let (objects, beginning) = Objects::open(file, buckets, tells)?;
        let service = S3ServiceBuilder::new(objects.clone()).build();
        Ok((Self { objects, service, expiries: expiries.into() }, beginning))
    }

    /// An SDK client whose requests end here.
    pub(crate) fn client(&self) -> aws_sdk_s3::Client {
        let connector = SharedHttpConnector::new(self.clone());
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("local"))
            // No name is looked up and nothing is dialled, so nobody else can ask and nothing needs a signature.
            .endpoint_url("http://embedded.invalid")
            .force_path_style(true)
            .allow_no_auth()
            .auth_scheme_preference([NO_AUTH])
            // Nothing is lost on the way or waits on a line, and what is refused is refused again.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The bytes don't leave the process.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        aws_sdk_s3::Client::from_conf(config)
    }

    /// Removes objects whose time has come, as S3 does by itself.
    pub(crate) async fn sweep_expired(&self, now: SystemTime) {
        for expiry in self.expiries.iter() {
            if let Err(error) = self.objects.expire(expiry, now).await {
                tracing::warn!(%error, "superseded bodies were not removed; the next round tries again");
            }
        }
    }

    /// Looks whether the file is whole; where it is not, it is made anew.
    pub(crate) async fn look_for_damage(&self, looks: &Looks) {
        if let Err(error) = self.objects.look(looks).await {
            tracing::warn!(%error, "it can't be looked whether the objects are whole");
        }
    }

    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(ConnectorError::user)?.to_bytes();
        let method = parts.method.clone();
        let request = http::Request::from_parts(parts, Body::from(body));
        let answered = self.service.call(request).with_subscriber(NoSubscriber::default()).await;
        let answered = answered.map_err(|_| unanswered())?;
        if answered.status().is_server_error() {
            tracing::warn!(http.method = %method, http.status = answered.status().as_u16(), "the embedded object store failed");
        }
        let (parts, body) = answered.into_parts();
        let body = body.collect().await.map_err(|_| unanswered())?.to_bytes();
        let response = http::Response::from_parts(parts, SdkBody::from(body));
        HttpResponse::try_from(response).map_err(|error| ConnectorError::user(error.into()))
    }
}

/// Without what went wrong: it may name the key, which is a secret.
fn unanswered() -> ConnectorError {
    ConnectorError::io("the embedded object store could not answer".into())
}

impl fmt::Debug for EmbeddedS3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedS3")
    }
}

impl HttpConnector for EmbeddedS3 {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let store = self.clone();
        HttpConnectorFuture::new(async move { store.answer(request).await })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use aws_sdk_s3::types::{Delete, ObjectIdentifier};

    use super::*;

    #[tokio::test]
    async fn every_change_of_an_object_is_told_before_it_is_made_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (noting, file) = (told.clone(), folder.path().join("objects.db"));
        let reading = file.clone();
        let note = move |bucket: &str, key: &str| {
            let reader = rusqlite::Connection::open(&reading).unwrap();
            let find = "SELECT count(*) FROM objects WHERE bucket = ?1 AND key = ?2";
            let stands: bool = reader.query_row(find, (bucket, key), |row| row.get(0)).unwrap();
            noting.lock().unwrap().push(format!("{bucket} {key} {stands}"));
        };
        let tells = Tells { changed: Some(Arc::new(note)), ..Tells::default() };
        let (store, _) = EmbeddedS3::open(&file, &["one", "other"], Vec::new(), tells).unwrap();
        let client = store.client();
        let said = || std::mem::take(&mut *told.lock().unwrap());
        client
            .put_object()
            .bucket("one")
            .key("f/a")
            .body(bytes::Bytes::from_static(b"body").into())
            .send()
            .await
            .unwrap();
        assert_eq!(said(), ["one f/a false", "one f/a true"]);
        client.copy_object().bucket("other").key("b").copy_source("one/f/a").send().await.unwrap();
        assert_eq!(said(), ["other b false", "other b true"]);
        client.get_object().bucket("one").key("f/a").send().await.unwrap();
        assert_eq!(said(), [""; 0]);
        client.delete_object().bucket("one").key("f/a").send().await.unwrap();
        assert_eq!(said(), ["one f/a true", "one f/a false"]);
        let all = Delete::builder().objects(ObjectIdentifier::builder().key("b").build().unwrap()).build().unwrap();
        client.delete_objects().bucket("other").delete(all).send().await.unwrap();
        assert_eq!(said(), ["other b true", "other b false"]);
    }
}
