//! How our fetcher names itself to the hosts of feeds, and how its reads of our own links are known again.

use sha2::{Digest, Sha256};
use url::Url;

/// Hexadecimal digits of a mark: two deployments have the same one once in 2^64.
const DIGITS: usize = 16;

/// Where a host's administrator reads who we are, unless the deployment names a page of its own.
pub const CONTACT_URL: &str = "https://calmesh.example/";

/// The name of one deployment's fetcher. Its reads of the deployment's own links are none; those of another
/// deployment, which may well be a neighbour's, are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnAgent {
    text: String,
    mark: Option<String>,
}

impl OwnAgent {
    /// The fetcher of a deployment. `identity` is what only this deployment has, and no other one is told: the mark is
    /// a digest of it, and leads back to nothing.
    #[must_use]
    pub fn of_deployment(contact: &Url, identity: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"calmesh reader\0").chain_update(identity).finalize();
        let mark: String = hex::encode(digest).chars().take(DIGITS).collect();
        let mut contact = contact.clone();
        // A fragment reaches no server, so the page opens with it as it does without.
        contact.set_fragment(Some(&mark));
        Self { text: named(&contact), mark: Some(mark) }
    }

    /// A fetcher that belongs to no deployment, as on the command line.
    #[must_use]
    pub fn of_nobody(contact: &Url) -> Self {
        Self { text: named(contact), mark: None }
    }

    /// What is sent as `User-Agent`. Sites ask for this form of what is no browser.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands in the name of this deployment's fetcher and in no other's, also in a log that escapes the rest.
    #[must_use]
    pub fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }
}

fn named(contact: &Url) -> String {
    format!("Mozilla/5.0 (compatible; Calmesh/1.0; +{contact})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Url {
        CONTACT_URL.parse().unwrap()
    }

    #[test]
    fn the_fetcher_has_the_name_of_a_polite_machine() {
        let agent = OwnAgent::of_nobody(&contact());
        assert_eq!(agent.as_str(), "Mozilla/5.0 (compatible; Calmesh/1.0; +https://calmesh.example/)");
        assert_eq!(agent.mark(), None);
        let deployed = OwnAgent::of_deployment(&contact(), b"one");
        assert!(deployed.as_str().starts_with("Mozilla/5.0 (compatible; Calmesh/1.0; +https://"));
        assert!(deployed.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~')));
    }

    #[test]
    fn each_deployment_has_a_mark_of_its_own_that_stays() {
        let (one, again, two) = (b"one", b"one", b"two");
        let of = |identity: &[u8]| OwnAgent::of_deployment(&contact(), identity);
        assert_eq!(of(one), of(again));
        assert_ne!(of(one).mark(), of(two).mark());
        let mark = of(one).mark().unwrap().to_owned();
        assert!(of(one).as_str().contains(&mark) && !of(two).as_str().contains(&mark));
        assert!(mark.len() == DIGITS && mark.bytes().all(|digit| digit.is_ascii_hexdigit()));
    }
}
