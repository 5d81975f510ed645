//! All profiles, parsed once from the data files that are part of the program.

use std::{str::FromStr, sync::LazyLock};

use crate::{
    data::{self, DataError},
    profile::{Profile, ProviderId, UnknownProvider},
};

/// One entry a provider, in the order of the providers list: the big sites, managers, calendars, `generic` last.
const FILES: &[(&str, &str)] = &[
    ("airbnb", include_str!("../data/airbnb.toml")),
    ("booking_com", include_str!("../data/booking_com.toml")),
    ("vrbo", include_str!("../data/vrbo.toml")),
    ("agoda", include_str!("../data/agoda.toml")),
    ("amplistay", include_str!("../data/amplistay.toml")),
    ("avaibook", include_str!("../data/avaibook.toml")),
    ("only_apartments", include_str!("../data/only_apartments.toml")),
    ("tripadvisor", include_str!("../data/tripadvisor.toml")),
    ("flipkey", include_str!("../data/flipkey.toml")),
    ("holidaylettings", include_str!("../data/holidaylettings.toml")),
    ("hostaway", include_str!("../data/hostaway.toml")),
    ("guesty", include_str!("../data/guesty.toml")),
    ("smoobu", include_str!("../data/smoobu.toml")),
    ("bookinghound", include_str!("../data/bookinghound.toml")),
    ("kigo", include_str!("../data/kigo.toml")),
    ("google_calendar", include_str!("../data/google_calendar.toml")),
    ("google_ical", include_str!("../data/google_ical.toml")),
    ("outlook", include_str!("../data/outlook.toml")),
    ("apple_icloud", include_str!("../data/apple_icloud.toml")),
    ("nextcloud", include_str!("../data/nextcloud.toml")),
    ("generic", include_str!("../data/generic.toml")),
];

struct Catalogue {
    all: &'static [Profile],
    generic: &'static Profile,
}

fn load() -> Result<Catalogue, DataError> {
    let profiles = data::read_all(FILES)?;
    // Leaked once per process: profiles live as long as the program, like the text that they came from.
    let all: &'static [Profile] = Vec::leak(profiles);
    let generic = all.iter().find(|profile| profile.id.as_str() == "generic").ok_or(DataError::NoGeneric)?;
    Ok(Catalogue { all, generic })
}

#[expect(clippy::expect_used, reason = "the files are part of the program, and the tests load each of them")]
static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| load().expect("the embedded profiles are well formed"));

/// Every profile, in the order of the providers list.
#[must_use]
pub fn all() -> &'static [Profile] {
    CATALOGUE.all
}

/// The profile with exactly this id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Profile> {
    all().iter().find(|profile| profile.id.as_str() == id)
}

/// The profile of any calendar that is not known better.
#[must_use]
pub fn generic() -> &'static Profile {
    CATALOGUE.generic
}

impl ProviderId {
    /// What is known of this provider.
    #[must_use]
    pub fn profile(self) -> &'static Profile {
        find(self.0).unwrap_or_else(generic)
    }
}

impl FromStr for ProviderId {
    type Err = UnknownProvider;

    /// # Errors
    /// When no profile has exactly this id.
    fn from_str(text: &str) -> Result<Self, UnknownProvider> {
        find(text).map(|profile| profile.id).ok_or(UnknownProvider)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::profile::{ProviderId, UnknownProvider, Via};

    #[test]
    fn every_data_file_is_well_formed() {
        for file in FILES {
            if let Err(error) = data::read_all(std::slice::from_ref(file)) {
                panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string));
            }
        }
        assert!(load().is_ok());
    }

    #[test]
    fn every_data_file_of_the_folder_is_in_the_catalogue() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
        let on_disk: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let embedded: BTreeSet<String> = all().iter().map(|profile| profile.id.to_string()).collect();
        assert_eq!(on_disk, embedded);
    }

    #[test]
    fn ids_are_unique_and_found_again() {
        let ids: BTreeSet<ProviderId> = all().iter().map(|profile| profile.id).collect();
        assert_eq!(ids.len(), all().len());
        for profile in all() {
            assert_eq!(find(profile.id.as_str()).unwrap().id, profile.id);
            assert_eq!(profile.id.as_str().parse::<ProviderId>().unwrap(), profile.id);
            assert_eq!(profile.id.profile().name, profile.name);
        }
        assert!(find("Airbnb").is_none());
        assert_eq!("couchsurfing".parse::<ProviderId>(), Err(UnknownProvider));
    }

    #[test]
    fn every_profile_tells_the_host_where_to_find_and_to_paste_a_link() {
        for profile in all() {
            assert!(profile.help.len() > 80, "{}: help says too little", profile.id);
            assert!(profile.export_help.len() > 60, "{}: export_help says too little", profile.id);
            assert!(!profile.name.is_empty());
            assert!(!profile.limits.is_empty(), "{}: no limits are listed", profile.id);
            assert!(profile.directions.import || profile.directions.export);
            for text in profile.limits.iter().chain([&profile.help, &profile.export_help]) {
                assert_eq!(text.trim(), text, "{}: stray blanks", profile.id);
                assert!(text.ends_with('.'), "{}: not a sentence: {text}", profile.id);
            }
        }
    }

    #[test]
    fn what_is_said_of_a_refusal_is_sentences_and_never_a_way_around_the_check() {
        for profile in all() {
            let refusals = &profile.refusals;
            let texts = [
                &refusals.link_gone,
                &refusals.link_refused,
                &refusals.server_error,
                &refusals.rate_limited,
                &refusals.not_a_calendar,
            ];
            for text in texts.into_iter().flatten() {
                assert_eq!(text.trim(), text, "{}: stray blanks", profile.id);
                assert!(text.ends_with('.') && text.len() > 60, "{}: says too little: {text}", profile.id);
                assert!(!text.contains("skip_check"), "{}: {text}", profile.id);
            }
        }
    }

    #[test]
    fn the_sites_that_most_hosts_connect_say_what_helps_when_they_refuse() {
        let of = |id: &str| find(id).unwrap().refusals.clone();
        assert!(of("google_ical").link_gone.unwrap().contains("Secret address in iCal format"));
        assert!(of("outlook").server_error.unwrap().contains("Publish a calendar"));
        assert!(of("airbnb").link_refused.unwrap().contains("key after .ics"));
        assert!(of("booking_com").link_refused.unwrap().contains("https://ical.booking.com/"));
        assert!(of("vrbo").not_a_calendar.unwrap().contains("/icalendar/"));
        assert!(of("generic").not_a_calendar.unwrap().contains("BEGIN:VCALENDAR"));
    }

    #[test]
    fn a_profile_may_say_by_what_name_its_site_is_read() {
        let named: Vec<_> = all().iter().filter(|p| p.user_agent.is_some()).map(|p| p.id.as_str()).collect();
        assert_eq!(named, ["outlook"]);
        let text = include_str!("../data/generic.toml").replacen("limits = [", "user_agent = \"a\\nb\"\nlimits = [", 1);
        assert!(data::read_all(&[("odd", Box::leak(text.into_boxed_str()))]).is_err(), "no header can hold it");
    }

    #[test]
    fn only_google_calendar_and_kigo_are_connected_through_an_account() {
        let accounts: Vec<_> = all().iter().filter(|p| p.via == Via::Account).map(|p| p.id.as_str()).collect();
        assert_eq!(accounts, ["kigo", "google_calendar"]);
    }

    #[test]
    fn the_waits_that_free_a_night_are_nowhere_shorter_than_the_safe_ones() {
        for profile in all() {
            let policy = &profile.policy;
            assert!(policy.hold.readings >= 2 && policy.hold.minutes >= 30, "{}", profile.id);
            assert!(policy.mass_vanish.readings >= 3 && policy.mass_vanish.hours >= 24, "{}", profile.id);
            assert!(policy.mass_vanish.stays >= 1 && (1..=30).contains(&policy.mass_vanish.nights_percent));
            assert!(policy.echo.readings >= 2 && policy.echo.minutes >= 60, "{}", profile.id);
            assert!(policy.tentative_blocks && policy.rule_closures_block, "{}", profile.id);
        }
    }

    #[test]
    fn calendars_of_people_drop_free_events_and_booking_sites_do_not() {
        let busy_only: Vec<_> = all().iter().filter(|p| p.policy.busy_only).map(|p| p.id.as_str()).collect();
        assert_eq!(busy_only, ["google_calendar", "google_ical", "outlook", "apple_icloud", "nextcloud", "generic"]);
    }

    #[test]
    fn channel_managers_are_mirrors_and_no_mirror_claims_never_to_echo() {
        let mirrors: Vec<_> = all().iter().filter(|p| p.policy.aggregates).map(|p| p.id.as_str()).collect();
        assert_eq!(mirrors, ["avaibook", "hostaway", "guesty", "smoobu", "kigo"]);
        assert!(all().iter().all(|p| !(p.policy.aggregates && p.never_echoes)));
    }

    #[test]
    fn no_site_that_sells_nights_is_believed_never_to_echo() {
        let silent: Vec<_> = all().iter().filter(|p| p.never_echoes).map(|p| p.id.as_str()).collect();
        assert_eq!(silent, ["google_calendar", "google_ical", "outlook", "apple_icloud", "nextcloud"]);
    }

    #[test]
    fn a_link_of_tripadvisor_and_its_sisters_is_read_at_most_every_two_hours() {
        for id in ["tripadvisor", "flipkey", "holidaylettings"] {
            assert_eq!(find(id).unwrap().cadence.unwrap().min_interval_minutes, 120);
        }
    }

    #[test]
    fn an_empty_calendar_for_booking_com_needs_an_event_in_the_far_past() {
        let odd: Vec<_> = all().iter().filter(|p| p.quirks.far_past_event_when_empty).map(|p| p.id.as_str()).collect();
        assert_eq!(odd, ["booking_com"]);
    }
}
