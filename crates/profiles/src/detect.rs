//! Which provider a feed is of: by the host and path of its URL, else by its PRODID.

use url::{Host, Url};

use crate::{
    catalogue::{all, generic},
    profile::Profile,
};

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
    fn know_url(&self, host: &str, url: &Url) -> bool {
        self.urls.iter().any(|mark| mark.is_host(host) && (!mark.path_required || mark.is_path(url.path())))
    }

    fn know_prodid(&self, folded: &str) -> bool {
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

/// The profile of a feed: by its URL, else by its PRODID, else `generic`.
///
/// The URL counts by its host (and path where hosts are shared), never by its user part, query or fragment. The
/// PRODID may be as it stands in the feed: escaped (`\,`), or with the property's parameters still before it.
/// Providers that are connected through an account are never found. Nothing is fetched, and the URL is not changed.
#[must_use]
pub fn detect(url: Option<&Url>, prodid: Option<&str>) -> &'static Profile {
    let by_url = url.and_then(|url| {
        let host = host_of(url)?;
        all().iter().find(|profile| profile.marks.know_url(&host, url))
    });
    by_url
        .or_else(|| {
            let folded = fold_prodid(prodid?);
            all().iter().find(|profile| profile.marks.know_prodid(&folded))
        })
        .unwrap_or_else(generic)
}

/// The name of the host in lower case; none for an address, or a scheme that carries no feed.
fn host_of(url: &Url) -> Option<String> {
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

/// A PRODID made comparable: without the property's name and parameters, unescaped, in lower case.
fn fold_prodid(text: &str) -> String {
    let text = text.trim();
    // ASCII only, so that a foreign letter can't shift the border of the slice.
    let text = match text.get(..6) {
        Some(name) if name.eq_ignore_ascii_case("prodid") => text.get(6..).unwrap_or_default(),
        _ => text,
    };
    let value = match text.strip_prefix(';') {
        Some(parameters) => after_parameters(parameters),
        None => text.strip_prefix(':').unwrap_or(text),
    };
    let mut folded = String::with_capacity(value.len());
    let mut chars = value.trim().chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { chars.next().unwrap_or(c) } else { c };
        folded.extend(c.to_lowercase());
    }
    folded
}

/// The value after the first colon that stands outside quotes (RFC 5545, 3.1).
fn after_parameters(text: &str) -> &str {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ':' if !quoted => return text.get(at + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}
