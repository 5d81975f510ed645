//! The command line. Every flag can be given by an environment variable of the same name as well.

use std::{fmt, net::Ipv6Addr, path::PathBuf, str::FromStr};

use calmesh_app::model::ProviderId;
use calmesh_lambda_kit::CONTACT_URL;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, builder::FalseyValueParser};
use jiff::{SignedDuration, tz::TimeZone};
use url::Url;

/// Keeps the calendars of short-term rentals in step.
///
/// Without a verb it serves: the API, the private links and the timer, on this machine, with its data in one folder.
#[derive(Debug, Parser)]
#[command(
    name = "calmesh",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  \
        calmesh                                        serve on http://127.0.0.1:8080, data in .calmesh\n  \
        calmesh --demo --sweep-every 10s               see three calendars being kept in step\n  \
        calmesh check 'https://www.airbnb.com/…'       what a feed says, and what is wrong with it\n  \
        calmesh merge a.ics b.ics --out merged.ics     one calendar out of several, once"
)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, read once at the start")]
pub(crate) enum Verb {
    /// Serve the API, the private links and the timer (what happens without a verb)
    Serve(Serve),
    /// The feed doctor: what a calendar says, which nights it blocks, what is wrong and how to mend it
    ///
    /// Nothing is stored. The exit code is 1 when the feed could not be used.
    Check(Check),
    /// Make one calendar out of several, once, without a service
    Merge(Merge),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to listen, an address or a name of this machine; port 0 picks a free one
    #[arg(long, env = "CALMESH_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: Listen,

    /// The folder that keeps everything; made at the first start, for this user alone
    #[arg(long, env = "CALMESH_DATA", value_name = "FOLDER", default_value = ".calmesh")]
    pub(crate) data: PathBuf,

    /// Read every feed once in this time, such as 30s, 15m or 1h; at most a day
    #[arg(long, env = "CALMESH_SWEEP_EVERY", value_name = "TIME", default_value = "15m", value_parser = sweep_period)]
    pub(crate) sweep_every: SignedDuration,

    /// A refresh does not fetch a feed again that was read well so recently, and is the same as one of so recently; at 0s it
    /// is the same as one that still runs, and finds what a host changed a moment ago
    #[arg(long, env = "CALMESH_READ_AGAIN_AFTER", value_name = "TIME", default_value = "0s", value_parser = short_time)]
    pub(crate) read_again_after: SignedDuration,

    /// FOR TESTS ONLY: read feeds from private addresses and any port
    ///
    /// Whoever holds a token can then make this machine call what only it can reach.
    #[arg(long, env = "CALMESH_ALLOW_PRIVATE_FEEDS", value_parser = FalseyValueParser::new())]
    pub(crate) allow_private_feeds: bool,

    /// Make a property with three live demo feeds, once, and keep it in step
    #[arg(long, env = "CALMESH_DEMO", value_parser = FalseyValueParser::new())]
    pub(crate) demo: bool,

    /// The address under which others reach this machine, such as https://calendars.example.com; private links start with it
    #[arg(long, env = "CALMESH_PUBLIC_URL", value_name = "URL", value_parser = public_url)]
    pub(crate) public_url: Option<Url>,

    /// Providers that may not be connected over iCalendar, by commas
    #[arg(long, env = "CALMESH_REFUSE_PROVIDERS", value_name = "PROVIDERS", value_delimiter = ',', value_parser = provider)]
    pub(crate) refuse_providers: Vec<ProviderId>,

    /// A page that says who reads feeds, for those who run the sites; the fetcher names it in its User-Agent
    #[arg(long, env = "CALMESH_CONTACT_URL", value_name = "URL", default_value = CONTACT_URL, value_parser = contact_url)]
    pub(crate) contact_url: Url,

    /// Print one line of JSON when ready, with the address, the token and the operator's key
    #[arg(long, env = "CALMESH_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A calendar's address or an .ics file; - reads standard input
    #[arg(value_name = "URL OR FILE")]
    pub(crate) source: String,

    /// The property's time zone, such as Europe/Madrid; the calendar's own hint when not given, or UTC
    #[arg(long, env = "CALMESH_ZONE", value_parser = zone)]
    pub(crate) zone: Option<TimeZone>,

    /// Print what POST /v1/feeds/check answers
    #[arg(long, env = "CALMESH_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,

    /// FOR TESTS ONLY: read from private addresses and any port
    #[arg(long, env = "CALMESH_ALLOW_PRIVATE_FEEDS", value_parser = FalseyValueParser::new())]
    pub(crate) allow_private_feeds: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Calendars' addresses or .ics files
    #[arg(value_name = "URL OR FILE", required = true)]
    pub(crate) sources: Vec<String>,

    /// The property's time zone, such as Europe/Madrid; UTC when not given
    #[arg(long, env = "CALMESH_ZONE", value_parser = zone)]
    pub(crate) zone: Option<TimeZone>,

    /// Where to write the calendar; standard output when not given
    #[arg(long, env = "CALMESH_OUT", value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// FOR TESTS ONLY: read from private addresses and any port
    #[arg(long, env = "CALMESH_ALLOW_PRIVATE_FEEDS", value_parser = FalseyValueParser::new())]
    pub(crate) allow_private_feeds: bool,
}

impl Command {
    /// Reads the command line and the environment; ends the program where that is not possible.
    pub(crate) fn of_this_process() -> Self {
        let words = filled(<Self as CommandFactory>::command());
        Self::from_arg_matches(&words.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// An empty variable is as good as none, as everywhere: it is what a unit file or a shell leaves of one that is not set.
fn filled(command: clap::Command) -> clap::Command {
    let unless_empty = |arg: Arg| match arg.get_env().map(std::env::var_os) {
        Some(Some(value)) if value.is_empty() => arg.env(None::<&str>),
        _ => arg,
    };
    command.mut_args(unless_empty).mut_subcommands(filled)
}

/// Where to listen: an IP address or a name, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listen {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.parse::<Ipv6Addr>() {
            Ok(host) => write!(f, "[{host}]:{}", self.port),
            Err(_) => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "give an address and a port: 127.0.0.1:8080 or localhost:8080 for this machine alone, 0.0.0.0:8080 for \
             everybody who reaches it, [::1]:8080 for IPv6"
                .to_owned()
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
            None => host.to_owned(),
        };
        let is_name = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@[]".contains(c));
        let is_plain = is_name && (!host.contains(':') || host.parse::<Ipv6Addr>().is_ok() && text.starts_with('['));
        match port.parse() {
            Ok(port) if is_plain => Ok(Self { host, port }),
            _ => Err(wrong()),
        }
    }
}

/// Sites would show nights as free for as long as nobody looks.
const LONGEST_PERIOD: SignedDuration = SignedDuration::from_hours(24);

fn sweep_period(text: &str) -> Result<SignedDuration, String> {
    let period: SignedDuration = text.parse().map_err(|_| "give a time such as 30s, 15m or 1h".to_owned())?;
    if period < SignedDuration::from_secs(1) {
        return Err("one second is the shortest; hosts of calendars want 5m or more".to_owned());
    }
    if period > LONGEST_PERIOD {
        return Err("a day (24h) is the longest: what a site takes is not known before its feed is read".to_owned());
    }
    // Periods are numbered by whole seconds.
    if period.subsec_nanos() != 0 {
        return Err("give whole seconds, such as 30s".to_owned());
    }
    Ok(period)
}

fn short_time(text: &str) -> Result<SignedDuration, String> {
    let time: SignedDuration = text.parse().map_err(|_| "give a time such as 2s".to_owned())?;
    let hour = SignedDuration::from_hours(1);
    if time.is_negative() || time > hour { Err("give a time from 0s to 1h".to_owned()) } else { Ok(time) }
}

fn public_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| "give an address such as https://calendars.example.com".to_owned())?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if plain { Ok(url) } else { Err("give scheme and host alone, such as https://calendars.example.com".to_owned()) }
}

fn contact_url(text: &str) -> Result<Url, String> {
    let url: Option<Url> = text.parse().ok().filter(|url: &Url| url.scheme() == "https");
    url.ok_or_else(|| "give the https address of a page, such as https://calendars.example.com/about".to_owned())
}

fn provider(text: &str) -> Result<ProviderId, String> {
    let id = text.trim();
    id.parse().map_err(|_| format!("no provider is called {id:?}; GET /v1/providers lists them, such as airbnb"))
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "give an IANA name such as Europe/Madrid".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Command::command().debug_assert();
    }

    #[test]
    fn serving_is_what_happens_without_a_verb() {
        let command = Command::parse_from(["calmesh", "--listen", "127.0.0.1:0", "--demo"]);
        assert!(command.verb.is_none() && command.serve.demo);
        assert_eq!(command.serve.listen.port, 0);
        let command = Command::parse_from(["calmesh", "serve", "--sweep-every", "90s"]);
        assert!(matches!(command.verb, Some(Verb::Serve(serve)) if serve.sweep_every == SignedDuration::from_secs(90)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_advice() {
        for (flag, value, advice) in [
            ("--sweep-every", "0s", "shortest"),
            ("--sweep-every", "0", "15m"),
            ("--sweep-every", "1ms", "shortest"),
            ("--sweep-every", "25h", "longest"),
            ("--sweep-every", "87600h", "longest"),
            ("--sweep-every", "10y", "15m"),
            ("--sweep-every", "often", "15m"),
            ("--public-url", "https://example.com/below", "scheme and host alone"),
            ("--public-url", "https://example.com/?a=b", "scheme and host alone"),
            ("--public-url", "https://example.com/?", "scheme and host alone"),
            ("--public-url", "https://example.com/#a", "scheme and host alone"),
            ("--public-url", "https://ana@example.com", "scheme and host alone"),
            ("--public-url", "https://:word@example.com", "scheme and host alone"),
            ("--public-url", "ftp://example.com", "scheme and host alone"),
            ("--public-url", "example.com", "such as https"),
            ("--listen", "8080", "localhost:8080"),
            ("--listen", ":8080", "0.0.0.0:8080"),
            ("--listen", "localhost", "localhost:8080"),
            ("--listen", "localhost:http", "localhost:8080"),
            ("--listen", "::1:8080", "[::1]:8080"),
            ("--listen", "[localhost]:8080", "[::1]:8080"),
            ("--listen", "http://localhost:8080", "localhost:8080"),
            ("--listen", "127.0.0.1:65536", "127.0.0.1:8080"),
            ("--contact-url", "http://example.com", "https address"),
            ("--refuse-providers", "airbnb,nobody", "nobody"),
        ] {
            let error = Command::try_parse_from(["calmesh", flag, value]).unwrap_err().to_string();
            assert!(error.contains(advice), "{error}");
        }
    }
    #[test]
    fn names_and_addresses_of_both_kinds_can_be_listened_on() {
        for (text, host, port) in [
            ("127.0.0.1:0", "127.0.0.1", 0),
            ("localhost:8080", "localhost", 8080),
            ("[::1]:8080", "::1", 8080),
            ("[0:0::1]:8080", "::1", 8080),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("calendars.example.com:8080", "calendars.example.com", 8080),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.host.as_str(), listen.port), (host, port));
            assert_eq!(listen.to_string().parse::<Listen>().unwrap(), listen);
        }
    }

    #[test]
    fn a_public_address_may_have_a_port_and_ends_with_a_slash_or_not() {
        for text in ["https://example.com", "https://example.com/", "HTTPS://Example.com:8443", "http://[2001:db8::1]/"]
        {
            let command = Command::try_parse_from(["calmesh", "--public-url", text]).unwrap();
            assert_eq!(command.serve.public_url.unwrap().path(), "/");
        }
    }
}
