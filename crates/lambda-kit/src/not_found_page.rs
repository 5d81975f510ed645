//! Exports beside which the page stands that CloudFront answers for unknown links.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use calmesh_app::{
    model::LinkToken,
    ports::{ExportObject, ExportStore, ExportVersion, ExportWriteError, ObjectError},
};
use calmesh_exports_s3::S3Objects;
use tokio::sync::OnceCell;

use crate::telemetry;

/// Before the first export of this process is put, the page is put where it is missing. Every link is first put by
/// whoever makes it, so the page is there as soon as there is a link. A page that can't be put holds up no export: the
/// next one tries again.
pub(crate) struct WithNotFoundPage {
    objects: S3Objects,
    page: OnceCell<()>,
}

impl fmt::Debug for WithNotFoundPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithNotFoundPage").field("kept", &self.page.initialized()).finish_non_exhaustive()
    }
}

impl WithNotFoundPage {
    pub(crate) fn new(objects: S3Objects) -> Self {
        Self { objects, page: OnceCell::new() }
    }

    async fn keep_page(&self) {
        if let Err(error) = self.page.get_or_try_init(|| self.objects.keep_not_found_page()).await {
            tracing::warn!(
                error = telemetry::chain(&error),
                "unknown links are answered in S3's own words until the next export"
            );
        }
    }
}

#[async_trait]
impl ExportStore for WithNotFoundPage {
    async fn export(&self, token: &LinkToken) -> Result<Option<ExportObject>, ObjectError> {
        self.objects.export(token).await
    }

    async fn export_version(&self, token: &LinkToken) -> Result<Option<ExportVersion>, ObjectError> {
        self.objects.export_version(token).await
    }

    fn version_of(&self, body: &[u8]) -> ExportVersion {
        self.objects.version_of(body)
    }

    async fn put_export(
        &self,
        token: &LinkToken,
        body: Bytes,
        expected: Option<&ExportVersion>,
    ) -> Result<ExportVersion, ExportWriteError> {
        self.keep_page().await;
        self.objects.put_export(token, body, expected).await
    }

    async fn delete_export(&self, token: &LinkToken) -> Result<(), ObjectError> {
        self.objects.delete_export(token).await
    }
}
