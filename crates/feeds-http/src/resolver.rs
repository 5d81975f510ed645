//! DNS, with every answer that may not be connected to taken out. The client connects to nothing else, so a name
//! that changes its answer between two questions gains nothing.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::Rules;

/// Asks for the addresses of a host name.
#[async_trait]
pub trait Lookup: fmt::Debug + Send + Sync {
    /// # Errors
    /// When the name is not known or nobody answers.
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// The name leads to no address that may be read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no address of this name may be connected to")]
pub(crate) struct NoAllowedAddress;

/// The name could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("the name could not be resolved")]
pub(crate) struct UnknownName(#[source] Option<io::Error>);

/// The client's resolver.
#[derive(Debug, Clone)]
pub(crate) struct AllowedOnly {
    pub(crate) rules: Arc<Rules>,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl AllowedOnly {
    async fn addresses(&self, host: &str) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
        let found = self.lookup.lookup(host).await.map_err(|error| UnknownName(Some(error)))?;
        if found.is_empty() {
            return Err(UnknownName(None).into());
        }
        // Port 0 stands for the port of the URL, which `Rules::check` decided.
        let allowed: Vec<_> =
            found.into_iter().filter(|ip| self.rules.allows(*ip)).map(|ip| SocketAddr::new(ip, 0)).collect();
        if allowed.is_empty() {
            return Err(NoAllowedAddress.into());
        }
        Ok(allowed)
    }
}

impl Resolve for AllowedOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(this.addresses(name.as_str()).await?.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Says(&'static [&'static str]);

    #[async_trait]
    impl Lookup for Says {
        async fn lookup(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.iter().map(|text| text.parse().unwrap()).collect())
        }
    }

    async fn resolve(answers: &'static [&'static str]) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
        let rules = Arc::new(Rules { private_feeds: false, extra_allowed: vec!["127.0.0.1:80".parse()?] });
        let resolver = AllowedOnly { rules, lookup: Arc::new(Says(answers)) };
        let addresses = resolver.resolve("feeds.example".parse()?).await?;
        Ok(addresses.map(|address| address.ip().to_string()).collect())
    }

    #[tokio::test]
    async fn of_a_mixed_answer_only_the_public_addresses_are_left() {
        let addresses = resolve(&["10.0.0.1", "8.8.8.8", "::1", "::ffff:127.0.0.1", "2600::1"]).await.unwrap();
        assert_eq!(addresses, ["8.8.8.8", "2600::1"]);
    }

    #[tokio::test]
    async fn a_name_with_private_answers_alone_is_refused_also_for_a_listener_of_our_own() {
        let error = resolve(&["127.0.0.1", "169.254.169.254", "fd00::1"]).await.unwrap_err();
        assert!(error.is::<NoAllowedAddress>());
    }

    #[tokio::test]
    async fn a_name_without_an_answer_is_unknown() {
        assert!(resolve(&[]).await.unwrap_err().is::<UnknownName>());
    }
}
