//! Reading the issuer's discovery document and keys (OpenID Connect Discovery 1.0).

use std::time::Duration;

use calmesh_https::{Roots, client_config};
use reqwest::{Client, redirect};
use serde::{Deserialize, de::DeserializeOwned};
use url::{Host, Url};

use crate::keys::Keys;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TOTAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Larger documents than this are not read, in bytes.
const LARGEST: usize = 1024 * 1024;

/// The verifier could not be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum OidcConfigError {
    #[error("the issuer must be an https URL without query, exactly as its tokens name it in iss")]
    Issuer,
    #[error("the audience must not be empty; take what the issuer's tokens for this service carry in aud")]
    Audience,
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
}

/// Why the issuer's keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the issuer's {what} can't be fetched")]
    Fetch {
        what: &'static str,
        #[source]
        source: reqwest::Error,
    },
    #[error("the issuer answers {status} for its {what}; check the configured issuer")]
    Status { what: &'static str, status: u16 },
    #[error("the issuer's {what} is larger than {LARGEST} bytes")]
    TooLarge { what: &'static str },
    #[error("the issuer's {what} can't be read")]
    Json {
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the discovery document is of another issuer; configure the issuer exactly as it names itself")]
    OtherIssuer,
    #[error("the discovery document names an address for the keys that is not https")]
    KeysAddress,
    #[error("the issuer publishes no key for RS256, ES256 or EdDSA")]
    NoKeys,
    #[error("the issuer's keys are too old to be believed")]
    Stale,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// One issuer, as the operator configured it.
#[derive(Debug)]
pub(crate) struct Issuer {
    name: String,
    discovery: Url,
    client: Client,
    https_only: bool,
}

impl Issuer {
    pub(crate) fn new(name: String) -> Result<Self, OidcConfigError> {
        let url = Url::parse(&name).map_err(|_| OidcConfigError::Issuer)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let https_only = match url.scheme() {
            "https" => true,
            // An issuer on this machine, for development.
            "http" if is_loopback(&url) => false,
            _ => return Err(OidcConfigError::Issuer),
        };
        if !plain {
            return Err(OidcConfigError::Issuer);
        }
        // Discovery 1.0, section 4: a slash at the end of the issuer goes before the path is added.
        let discovery = format!("{}/.well-known/openid-configuration", name.trim_end_matches('/'));
        let discovery = Url::parse(&discovery).map_err(|_| OidcConfigError::Issuer)?;
        Ok(Self { name, discovery, client: client(https_only)?, https_only })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn read_keys(&self) -> Result<Keys, KeysError> {
        let what = "discovery document";
        let discovery: Discovery = json(what, &self.get(what, self.discovery.clone()).await?)?;
        // Section 4.3: the document must name the very issuer that was asked for.
        if discovery.issuer != self.name {
            return Err(KeysError::OtherIssuer);
        }
        let address = Url::parse(&discovery.jwks_uri).map_err(|_| KeysError::KeysAddress)?;
        if self.https_only && address.scheme() != "https" {
            return Err(KeysError::KeysAddress);
        }
        let what = "key set";
        let keys = Keys::of_json(&self.get(what, address).await?).map_err(|source| KeysError::Json { what, source })?;
        if keys.is_empty() {
            return Err(KeysError::NoKeys);
        }
        Ok(keys)
    }

    async fn get(&self, what: &'static str, url: Url) -> Result<Vec<u8>, KeysError> {
        let failed = |error: reqwest::Error| KeysError::Fetch { what, source: error.without_url() };
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(KeysError::Status { what, status: response.status().as_u16() });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if chunk.len() > LARGEST - body.len() {
                return Err(KeysError::TooLarge { what });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn json<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, KeysError> {
    serde_json::from_slice(body).map_err(|source| KeysError::Json { what, source })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn client(https_only: bool) -> Result<Client, OidcConfigError> {
    Client::builder()
        .tls_backend_preconfigured(client_config(Roots::Platform).map_err(OidcConfigError::Tls)?)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .redirect(redirect::Policy::limited(3))
        .https_only(https_only)
        .user_agent(concat!("Calmesh/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(OidcConfigError::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_https_url_or_on_this_machine() {
        for good in ["https://id.example", "https://id.example/", "https://id.example/realms/a", "http://127.0.0.1:9/"]
        {
            assert!(Issuer::new(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "id.example", "http://id.example", "https://id.example?a=b", "https://u@id.example", "ftp://a"]
        {
            assert!(matches!(Issuer::new(bad.to_owned()), Err(OidcConfigError::Issuer)), "{bad}");
        }
    }

    #[test]
    fn the_discovery_document_stands_under_the_whole_path_of_the_issuer() {
        for (issuer, document) in [
            ("https://id.example/", "https://id.example/.well-known/openid-configuration"),
            ("https://id.example/realms/a", "https://id.example/realms/a/.well-known/openid-configuration"),
        ] {
            assert_eq!(Issuer::new(issuer.to_owned()).unwrap().discovery.as_str(), document);
        }
    }
}
