//! Which addresses a feed may be read from: the public ones, whatever their spelling.
//!
//! The ranges are those of the IANA special-purpose registries (RFC 6890 and its updates) as of autumn 2026, and
//! for IPv6 the other way round: nothing but global unicast (2000::/3), less its special parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

/// IPv4 networks that are not the public internet, as address and prefix length.
const V4_NOT_PUBLIC: [(Ipv4Addr, u32); 18] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    // Carrier-grade NAT (RFC 6598); clouds also keep services of their own there.
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local, and with it every cloud's metadata service.
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    // Azure's host service, at an address that looks public.
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    // Multicast; then what is reserved, with the broadcast address at its end.
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(233, 252, 0, 0), 24),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// The special parts of 2000::/3, as address and prefix length.
const V6_NOT_PUBLIC: [(Ipv6Addr, u32); 4] = [
    // IETF protocols: Teredo (which carries an IPv4 address), benchmarking, ORCHID and others.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    // 6to4 carries an IPv4 address that a relay would connect to.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

const V6_GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// RFC 6052: the last 32 bits are the IPv4 address that the translator connects to.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

fn in_v4(address: Ipv4Addr, (network, prefix): (Ipv4Addr, u32)) -> bool {
    let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or_default();
    address.to_bits() & mask == network.to_bits()
}

fn in_v6(address: Ipv6Addr, (network, prefix): (Ipv6Addr, u32)) -> bool {
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or_default();
    address.to_bits() & mask == network.to_bits()
}

/// The IPv4 address in the last 32 bits.
fn low_v4(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

/// Whether the address is one of the public internet, also behind an IPv4-mapped or NAT64 spelling.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !V4_NOT_PUBLIC.iter().any(|network| in_v4(address, *network))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    if in_v6(address, NAT64) {
        // In a network of IPv6 alone every answer for an IPv4 site looks so.
        return is_public_v4(low_v4(address));
    }
    if !in_v6(address, V6_GLOBAL_UNICAST) || V6_NOT_PUBLIC.iter().any(|network| in_v6(address, *network)) {
        return false;
    }
    // ISATAP (RFC 5214): a tunnel to the IPv4 address in the last 32 bits, under any prefix.
    let isatap = matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _]);
    !isatap || is_public_v4(low_v4(address))
}

/// Why an address is not read from. Each says to the host what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(
        "the link holds a user name or password in front of the host name; paste a link without them, or one that is \
         secret by itself"
    )]
    UserInfo,
    #[error("only http and https links can be read; paste the calendar link that starts with https://")]
    Scheme,
    #[error("only the ports 80 and 443 are read from; publish the calendar on the usual port of its scheme")]
    Port,
    #[error("its address is not on the public internet; paste a link that opens from anywhere")]
    NotPublic,
}

/// What may be read: in a deployment that reads private feeds everything, else public addresses on the usual ports.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) private_feeds: bool,
    /// Listeners of the program itself, by their literal address.
    pub(crate) extra_allowed: Vec<SocketAddr>,
}

impl Rules {
    /// Decides by the URL alone. A name passes here and is decided by each DNS answer, at the moment of connecting.
    /// `given` is false for what a redirect points at: the program's own listeners are only for links that were given.
    pub(crate) fn check(&self, url: &Url, given: bool) -> Result<(), Refusal> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Refusal::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        let host = url.host().ok_or(Refusal::NotPublic)?;
        if self.private_feeds {
            return Ok(());
        }
        let port = url.port_or_known_default().ok_or(Refusal::Port)?;
        let literal = match host {
            Host::Ipv4(v4) => Some(IpAddr::V4(v4)),
            Host::Ipv6(v6) => Some(IpAddr::V6(v6)),
            // The `url` crate reads every spelling of an address as one; should one ever pass, it is a literal too.
            Host::Domain(name) => name.trim_end_matches('.').parse().ok(),
        };
        if let Some(address) = literal
            && given
            && self.extra_allowed.contains(&SocketAddr::new(address, port))
        {
            return Ok(());
        }
        if !matches!(port, 80 | 443) {
            return Err(Refusal::Port);
        }
        match (literal, host) {
            (Some(address), _) if !is_public(address) => Err(Refusal::NotPublic),
            (None, Host::Domain(name)) if is_local_name(name) => Err(Refusal::NotPublic),
            _ => Ok(()),
        }
    }

    /// Whether a DNS answer may be connected to.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.private_feeds || is_public(address)
    }
}

/// RFC 6761: such names mean this machine whatever DNS says.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_ONLY: Rules = Rules { private_feeds: false, extra_allowed: Vec::new() };

    #[test]
    fn an_address_that_is_not_public_is_known_by_every_range() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.170.2",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "233.252.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::10.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:a00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "2002:808:808::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2a00:1450::5efe:10.0.0.1",
            "2a00:1450::200:5efe:127.0.0.1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_neighbours_of_each_range_are_public() {
        for text in [
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2600::1",
            "2a00:1450::1",
            "3ffe::1",
            "2a00:1450::5efe:8.8.8.8",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[track_caller]
    fn check(text: &str) -> Result<(), Refusal> {
        PUBLIC_ONLY.check(&Url::parse(text).unwrap(), true)
    }

    #[test]
    fn no_spelling_of_a_private_address_passes() {
        for text in [
            "http://127.0.0.1/a.ics",
            "http://127.1/",
            "http://127.0.0.1./",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0x7f.0.0.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0x7F.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://%31%32%37.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::127.0.0.1]/",
            "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0/",
            "http://[64:ff9b::7f00:1]/",
            "https://10.0.0.7/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://feeds.localhost/",
            "http:\\\\127.0.0.1\\a.ics",
            "http:/127.0.0.1/",
            "http:127.0.0.1",
        ] {
            assert_eq!(check(text), Err(Refusal::NotPublic), "{text}");
        }
    }

    #[test]
    fn what_is_public_on_a_usual_port_passes() {
        for text in [
            "https://www.airbnb.com/calendar/ical/1.ics?s=x",
            "http://8.8.8.8/",
            "https://example.com.:443/",
            "http://[2600::1]:80/",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_port_a_scheme_and_a_password_are_refused_each_by_name() {
        assert_eq!(check("https://example.com:8443/a.ics"), Err(Refusal::Port));
        assert_eq!(check("http://example.com:22/"), Err(Refusal::Port));
        assert_eq!(check("ftp://example.com/a.ics"), Err(Refusal::Scheme));
        assert_eq!(check("file:///etc/passwd"), Err(Refusal::Scheme));
        assert_eq!(check("https://user:pass@example.com/a.ics"), Err(Refusal::UserInfo));
        assert_eq!(check("https://example.com@8.8.8.8/"), Err(Refusal::UserInfo));
    }

    #[test]
    fn a_listener_of_our_own_is_read_when_given_and_never_by_redirect() {
        let rules = Rules { private_feeds: false, extra_allowed: vec!["127.0.0.1:8080".parse().unwrap()] };
        let own = Url::parse("http://127.0.0.1:8080/demo/a.ics").unwrap();
        assert_eq!(rules.check(&own, true), Ok(()));
        assert_eq!(rules.check(&own, false), Err(Refusal::Port));
        let another = Url::parse("http://127.0.0.1:80/").unwrap();
        assert_eq!(rules.check(&another, true), Err(Refusal::NotPublic));
    }

    #[test]
    fn a_deployment_for_private_feeds_reads_any_port_but_no_password() {
        let rules = Rules { private_feeds: true, extra_allowed: Vec::new() };
        assert_eq!(rules.check(&Url::parse("http://10.0.0.7:8080/a.ics").unwrap(), false), Ok(()));
        assert_eq!(rules.check(&Url::parse("http://u:p@10.0.0.7/a.ics").unwrap(), true), Err(Refusal::UserInfo));
        assert!(rules.allows("10.0.0.7".parse().unwrap()));
    }
}
