#![doc = include_str!("../README.md")]

mod answer;
mod exports;
mod key;
mod snapshots;

use aws_sdk_s3::Client;
use calmesh_https::OnDemand;

pub use key::{Buckets, ObjectKey};

/// `ExportStore` and `SnapshotStore` over S3. Cheap to clone.
#[derive(Debug, Clone)]
pub struct S3Objects {
    client: OnDemand<Client>,
    buckets: Buckets,
}

impl S3Objects {
    /// Time-outs, retries and the endpoint are the client's.
    #[must_use]
    pub fn new(client: impl Into<OnDemand<Client>>, buckets: Buckets) -> Self {
        Self { client: client.into(), buckets }
    }
}
