//! What gives a provider away: hosts and paths of its URLs, words of its PRODID.

use url::{Host, Url};

/// What gives a provider away.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks {
    pub(crate) urls: Vec<UrlMark>,
    pub(crate) prodid_begins: Vec<String>,
    pub(crate) prodid_contains: Vec<String>,
}

/// One form of URL of a provider.
#[derive(Debug, Clone)]
pub(crate) struct UrlMark {
    pub(crate) host: Option<String>,
    pub(crate) brand: Option<String>,
    pub(crate) path_begins: Vec<String>,
    pub(crate) path_contains: Vec<String>,
    pub(crate) path_ends: Vec<String>,
    pub(crate) path_required: bool,
}

impl Marks {
    pub(crate) fn know_url(&self, host: &str, url: &Url) -> bool {
        self.urls.iter().any(|mark| mark.is_host(host) && (!mark.path_required || mark.is_path(url.path())))
    }

    pub(crate) fn know_prodid(&self, folded: &str) -> bool {
        self.prodid_begins.iter().any(|part| folded.starts_with(part.as_str()))
            || self.prodid_contains.iter().any(|part| folded.contains(part.as_str()))
    }

    pub(crate) fn is_feed_url(&self, url: &Url) -> bool {
        host_of(url).is_some_and(|host| {
            self.urls.iter().any(|mark| mark.names_a_path() && mark.is_host(&host) && mark.is_path(url.path()))
        })
    }
}

impl UrlMark {
    fn is_host(&self, host: &str) -> bool {
        let by_host = self.host.as_deref().is_none_or(|known| is_or_is_below(host, known));
        let by_brand = self.brand.as_deref().is_none_or(|brand| is_under_any_country(host, brand));
        by_host && by_brand
    }

    fn names_a_path(&self) -> bool {
        !(self.path_begins.is_empty() && self.path_contains.is_empty() && self.path_ends.is_empty())
    }

    fn is_path(&self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        (self.path_begins.is_empty() || self.path_begins.iter().any(|part| path.starts_with(part.as_str())))
            && (self.path_contains.is_empty() || self.path_contains.iter().any(|part| path.contains(part.as_str())))
            && (self.path_ends.is_empty() || self.path_ends.iter().any(|part| path.ends_with(part.as_str())))
    }
}

/// The name of the host in lower case; none for an address, or a scheme that carries no feed.
pub(crate) fn host_of(url: &Url) -> Option<String> {
    if !matches!(url.scheme(), "http" | "https" | "webcal" | "webcals") {
        return None;
    }
    match url.host()? {
        // A `webcal` host comes as it was written, because the scheme is not a special one to the URL standard.
        Host::Domain(name) => {
            let name = name.to_ascii_lowercase();
            Some(name.strip_suffix('.').map(str::to_owned).unwrap_or(name))
        }
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

fn is_or_is_below(host: &str, known: &str) -> bool {
    host.strip_suffix(known).is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Whether a host is the brand's under some ending: `airbnb.com`, `www.airbnb.es`, `airbnb.co.uk`, `airbnb.com.br`.
/// An ending has one label, or `co`/`com` before a country's two letters, so `airbnb.com.evil.example` is nobody's.
fn is_under_any_country(host: &str, brand: &str) -> bool {
    let mut labels = host.rsplit('.');
    let (Some(top), Some(second)) = (labels.next(), labels.next()) else {
        return false;
    };
    let is_top = top.len() >= 2 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    if second == brand {
        return is_top;
    }
    matches!(second, "co" | "com") && is_top && top.len() == 2 && labels.next() == Some(brand)
}
