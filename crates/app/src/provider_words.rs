//! What the profiles know of a feed's own site: the name that it wants to be read by, and what a host does about a
//! calendar that it does not give.

use calmesh_profiles::{Profile, ProviderId, detect, generic};

use crate::{
    model::{FailureKind, FeedUrl, Provider},
    ports::FetchFailure,
};

/// The name that the URL's host wants to be read by; none for our own.
#[must_use]
pub fn user_agent_for(url: &FeedUrl) -> Option<&'static str> {
    detect(url.to_url().as_ref(), None).user_agent.as_deref()
}

/// Whose words help: the host's, which can't be wrong, else of the provider that the connection is said to be of.
fn profile_of(url: &FeedUrl, provider: &Provider) -> &'static Profile {
    let by_host = detect(url.to_url().as_ref(), None);
    if by_host.id == generic().id { provider.profile() } else { by_host }
}

/// The failure with what its provider's profile says about it.
#[must_use]
pub fn with_help(failure: FetchFailure, url: &FeedUrl, provider: &Provider) -> FetchFailure {
    match help(profile_of(url, provider), failure.kind) {
        Some(help) => FetchFailure { detail: format!("{} {help}", failure.detail), ..failure },
        None => failure,
    }
}

/// What is said of this failure alone; else, where the link may be a wrong one, where the right one is found.
fn help(profile: &'static Profile, kind: FailureKind) -> Option<&'static str> {
    let refusals = &profile.refusals;
    let (own, wrong_link) = match kind {
        FailureKind::LinkGone => (&refusals.link_gone, true),
        FailureKind::LinkRefused => (&refusals.link_refused, true),
        FailureKind::NotACalendar => (&refusals.not_a_calendar, true),
        FailureKind::ServerError => (&refusals.server_error, false),
        FailureKind::RateLimited => (&refusals.rate_limited, false),
        FailureKind::Truncated
        | FailureKind::Unreachable
        | FailureKind::TimedOut
        | FailureKind::TooLarge
        | FailureKind::AddressRefused
        | FailureKind::NotTakenIn => return None,
    };
    let where_found = (wrong_link && profile.id != generic().id).then_some(profile.help.as_str());
    own.as_deref().or(where_found)
}

/// Why connections of this provider can't be made here.
pub(crate) fn refusal_of(provider: ProviderId) -> String {
    let name = &provider.profile().name;
    format!(
        "{name} is not connected by calendar links here: the manager of this service allows {name} by {name}'s own \
         API only. Connect it there, or ask the manager."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn told(url: &str, provider: &str, kind: FailureKind) -> String {
        let failure = FetchFailure { kind, detail: "It failed.".to_owned(), retry_after: None, host: None };
        with_help(failure, &url.parse().unwrap(), &provider.into()).detail
    }

    #[test]
    fn the_public_address_of_a_private_google_calendar_leads_to_the_secret_one() {
        let url = "https://calendar.google.com/calendar/ical/x%40group.calendar.google.com/public/basic.ics";
        let said = told(url, "generic", FailureKind::LinkGone);
        assert!(said.starts_with("It failed. ") && said.contains("Secret address in iCal format"), "{said}");
    }

    #[test]
    fn a_status_500_of_outlook_is_told_with_what_to_do() {
        for host in ["outlook.office365.com", "outlook.office.com", "outlook.live.com"] {
            let url = format!("https://{host}/owa/calendar/x/y/calendar.ics");
            let said = told(&url, "generic", FailureKind::ServerError);
            assert!(said.contains("Publish") && !said.contains("nothing to do"), "{said}");
            assert!(user_agent_for(&url.parse().unwrap()).is_some());
        }
    }

    #[test]
    fn each_provider_by_link_says_where_its_link_is_found_whenever_the_link_may_be_wrong() {
        let unknown = "https://feeds.example/a.ics";
        for profile in calmesh_profiles::all() {
            if profile.via == calmesh_profiles::Via::Account || profile.id == generic().id {
                continue;
            }
            for kind in [FailureKind::LinkGone, FailureKind::LinkRefused, FailureKind::NotACalendar] {
                let said = told(unknown, profile.id.as_str(), kind);
                assert!(said.len() > 90, "{}: {said}", profile.id);
                assert!(!said.contains("skip_check"), "{}: {said}", profile.id);
            }
        }
    }

    #[test]
    fn what_the_host_says_counts_before_what_a_connection_is_called() {
        let airbnb = "https://www.airbnb.com/calendar/ical/1.ics?s=x";
        let said = told(airbnb, "google_ical", FailureKind::LinkRefused);
        assert!(said.contains("Airbnb") && !said.contains("Google"), "{said}");
        assert_eq!(user_agent_for(&airbnb.parse().unwrap()), None);
    }

    #[test]
    fn what_says_nothing_of_the_link_is_told_without_advice_about_it() {
        for kind in [FailureKind::Unreachable, FailureKind::TimedOut, FailureKind::Truncated] {
            assert_eq!(told("https://www.airbnb.com/calendar/ical/1.ics?s=x", "airbnb", kind), "It failed.");
        }
    }
}
