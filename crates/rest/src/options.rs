//! What a deployment decides about its API.

use std::{fmt, num::NonZeroU32, sync::Arc};

use calmesh_app::ports::IdentityVerifier;
use governor::Quota;
use http::HeaderValue;

/// How often one account may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests a second that are given back.
    pub per_second: NonZeroU32,
    /// Requests that may come at once.
    pub burst: NonZeroU32,
}

impl RateLimit {
    pub(crate) fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        const { Self { per_second: NonZeroU32::new(100).unwrap(), burst: NonZeroU32::new(1000).unwrap() } }
    }
}

/// What a deployment decides about its API.
#[derive(Clone)]
pub struct RestOptions {
    /// Origins of web pages that may call from a browser; `*` for all. None: no CORS headers at all.
    pub cors_origins: Vec<HeaderValue>,
    pub rate: RateLimit,
    /// As `GET /v1/health` and the document tell it.
    pub version: String,
    /// Verifies JWTs where an OIDC issuer is configured.
    pub identity: Option<Arc<dyn IdentityVerifier>>,
}

impl RestOptions {
    /// No CORS, the default limits, no OIDC issuer.
    #[must_use]
    pub fn new(version: impl Into<String>) -> Self {
        Self { cors_origins: Vec::new(), rate: RateLimit::default(), version: version.into(), identity: None }
    }
}

impl fmt::Debug for RestOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestOptions")
            .field("cors_origins", &self.cors_origins)
            .field("rate", &self.rate)
            .field("version", &self.version)
            .field("identity", &self.identity.is_some())
            .finish()
    }
}
