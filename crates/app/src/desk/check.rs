//! The feed doctor: what a feed is, what it would block and what is wrong with it, without storing anything. What a
//! new connection is checked by, too.

use std::collections::BTreeSet;

use bytes::Bytes;
use calmesh_calendar::{AccountId, BlockKind, FeedReading, House, Nights, ReadWarning, Verdict};
use calmesh_ics as ics;
use calmesh_profiles::{Profile, ProviderId, detect, generic};
use jiff::{
    SignedDuration, Timestamp, ToSpan,
    civil::{Date, Time},
    tz::TimeZone,
};
use url::Url;

use crate::{
    desk::{
        Desk,
        edit::{InvalidField, ZONE_WANTED, known_zone},
        reach::Reach,
    },
    limits::{BLOCKS_TOLD, DAYS_AHEAD, DAYS_BACK, WARNINGS_TOLD},
    model::{
        Budget, FailureKind, FeedUrl, Fetched, LinkOwner, LinkToken, Snapshot, Span, Spender, Validators, span_of,
    },
    ports::{FeedRequest, FetchFailure, StoreError},
    provider_words::{refusal_of, user_agent_for, with_help},
    readings::{
        aside::{AsideError, aside, unreadable},
        body::{read_body, refused},
        judge::{judge_feed, warnings_of},
    },
    traffic::{
        CHECKS, Look, NEW_FEEDS, TEXTS, TooMany,
        budgets::{HOST_WORDS, NotNow, ROOM_WORDS},
    },
    words::counted,
};

/// A client waits for the answer.
const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
const TOTAL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// What is to be checked.
#[derive(Debug, Clone)]
pub enum CheckSource {
    Url(FeedUrl),
    /// The text of a calendar.
    Ics(Bytes),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// Whether a connection could be made of it.
    pub usable: bool,
    /// A profile's id.
    pub provider: ProviderId,
    /// The calendar's own name.
    pub name: Option<String>,
    pub events: EventCounts,
    /// What it would block, in order of time; the first `BLOCKS_TOLD`.
    pub blocks: Vec<CheckedBlock>,
    /// How many more it would block.
    pub blocks_left_out: usize,
    /// The nights that it would take, in order, from 30 days back to 760 days ahead.
    pub nights: Vec<Date>,
    /// The first `WARNINGS_TOLD`.
    pub warnings: Vec<ReadWarning>,
    pub warnings_left_out: usize,
    pub problem: Option<Problem>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCounts {
    pub in_text: u32,
    /// Understood; a recurring one counts once.
    pub read: u32,
    /// Of these, how many block by the provider's usual policy.
    pub blocking: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBlock {
    /// On the clock of the zone that was asked for.
    pub span: Span,
    pub kind: BlockKind,
    pub uid: Option<String>,
}

/// Why it can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A failure's word, or `provider_refused`.
    pub kind: &'static str,
    /// A sentence with advice.
    pub detail: String,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// The address is not a public one, or not one that feeds are read from.
    #[error("the address is refused: {detail}")]
    AddressRefused { detail: String },
    /// Others are checked at present; ask again.
    #[error("too much is checked at present")]
    Busy,
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A feed that was fetched and read.
#[derive(Debug, Clone)]
pub(crate) struct Examined {
    pub(crate) body: Bytes,
    pub(crate) validators: Validators,
    pub(crate) reading: FeedReading,
    pub(crate) snapshot: Snapshot,
    pub(crate) profile: &'static Profile,
    /// When the body had come.
    pub(crate) read_at: Timestamp,
}

/// Why a client does not get to see a feed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unseen {
    #[error(transparent)]
    Failed(#[from] FetchFailure),
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NotNow> for Unseen {
    fn from(refused: NotNow) -> Self {
        match refused {
            NotNow::TooMany(refused) => refused.into(),
            NotNow::Store(error) => error.into(),
        }
    }
}

impl From<NotNow> for CheckError {
    fn from(refused: NotNow) -> Self {
        match refused {
            NotNow::TooMany(refused) => refused.into(),
            NotNow::Store(error) => error.into(),
        }
    }
}

impl Desk {
    /// Fetches or takes a feed and says what it is.
    ///
    /// # Errors
    /// `Invalid` for an unknown zone, `AddressRefused`, `TooMany`, or the store's.
    pub async fn check_feed(
        &self,
        reach: &Reach,
        source: CheckSource,
        time_zone: Option<&str>,
    ) -> Result<CheckReport, CheckError> {
        let unknown = || CheckError::Invalid(vec![InvalidField::new("time_zone", ZONE_WANTED)]);
        let zone = time_zone.map(|name| known_zone(name).ok_or_else(unknown)).transpose()?;
        let now = self.clock.now();
        let mut report = match source {
            CheckSource::Ics(body) => {
                let _look = self.admit_look(&Spender::Texts(reach.account.clone()), TEXTS, None).await?;
                check_aside(body, zone, now, None).await?
            }
            CheckSource::Url(url) => {
                match self.fetch_now(&reach.account, &Spender::Checks(reach.account.clone()), CHECKS, &url).await {
                    Ok((body, ..)) => check_aside(body, zone, now, url.to_url()).await?,
                    Err(Unseen::Failed(FetchFailure { kind: FailureKind::AddressRefused, detail, .. })) => {
                        return Err(CheckError::AddressRefused { detail });
                    }
                    Err(Unseen::Failed(failure)) => {
                        CheckReport::unusable(detect(url.to_url().as_ref(), None), &failure)
                    }
                    Err(Unseen::TooMany(refused)) => return Err(refused.into()),
                    Err(Unseen::Store(error)) => return Err(error.into()),
                }
            }
        };
        if report.problem.is_none() && self.settings.refused_providers.contains(&report.provider) {
            report.usable = false;
            report.problem = Some(Problem { kind: "provider_refused", detail: refusal_of(report.provider) });
        }
        Ok(report)
    }

    /// Fetches and reads a feed while a client waits.
    pub(crate) async fn examine(&self, reach: &Reach, url: &FeedUrl, house: &House) -> Result<Examined, Unseen> {
        let spender = Spender::NewFeeds(reach.account.clone());
        let (body, validators, _look) = self.fetch_now(&reach.account, &spender, NEW_FEEDS, url).await?;
        let read_at = self.clock.now();
        let (text, address, of) = (body.clone(), url.to_url(), house.clone());
        let examine = move || {
            let (reading, profile) = read_detected(&text, address.as_ref(), &of, read_at)?;
            Ok::<_, ics::Refusal>((reading, profile, Snapshot(ics::meaning(&text).to_string())))
        };
        let told = |failure| for_who_waits(with_help(failure, url, &generic().id.into()));
        let examined = aside(examine).await.map_err(|error| told(unreadable(&error)))?;
        let (reading, profile, snapshot) = examined.map_err(|refusal| told(refused(&refusal)))?;
        Ok(Examined { body, validators, reading, snapshot, profile, read_at })
    }

    /// The look lasts until what was fetched has been read.
    async fn fetch_now(
        &self,
        account: &AccountId,
        spender: &Spender,
        budget: Budget,
        url: &FeedUrl,
    ) -> Result<(Bytes, Validators, Look), Unseen> {
        // What is refused by itself costs nothing.
        self.feeds.admit(url)?;
        let look = self.admit_look(spender, budget, Some(&url.host())).await?;
        let request = FeedRequest {
            url: url.clone(),
            validators: Validators::default(),
            user_agent: user_agent_for(url),
            connect_timeout: CONNECT_TIMEOUT,
            total_timeout: TOTAL_TIMEOUT,
            hops: Some(self.gate_of_looks()),
            room: Some(self.traffic.room_to_look(account)),
        };
        let told = |failure| for_who_waits(with_help(failure, url, &generic().id.into()));
        match self.feeds.fetch(request).await.map_err(told)? {
            Fetched::Body { bytes, validators, .. } => Ok((bytes, validators, look)),
            Fetched::NotModified => Err(told(crate::readings::body::unasked_304()).into()),
            Fetched::HeldBack { wait } => Err(TooMany { what: HOST_WORDS, retry_after: wait }.into()),
            Fetched::NoRoom => Err(TooMany { what: ROOM_WORDS, retry_after: SignedDuration::from_secs(5) }.into()),
        }
    }

    /// Whether this URL is a private link of the account itself: importing it would only feed a property with what
    /// it gave out.
    pub(crate) async fn is_own_link(&self, reach: &Reach, url: &FeedUrl) -> Result<bool, StoreError> {
        let Some(token) = url.to_url().and_then(|url| link_token(&url)) else { return Ok(false) };
        let owner = self.links.owner(&token.hash()).await?;
        Ok(owner.is_some_and(|owner| match owner {
            LinkOwner::Connection { account, .. } | LinkOwner::Link { account, .. } => account == reach.account,
        }))
    }
}

/// The token of a URL that looks like a private link, under whatever host: this service may be reached by many names,
/// and nobody else's file has a token of ours.
fn link_token(url: &Url) -> Option<LinkToken> {
    // A CDN serves the same object for an escaped path. Tokens hold neither of the two characters that a form
    // would treat in its own way.
    let path: String = url::form_urlencoded::parse(url.path().as_bytes()).map(|(path, _)| path).collect();
    let (_, file) = path.rsplit_once("/f/")?;
    LinkToken::parse(file.strip_suffix(".ics").unwrap_or(file))
}

/// A failure in words for a client that waits: nothing is stored, so nobody but the client tries again.
fn for_who_waits(failure: FetchFailure) -> FetchFailure {
    if !failure.kind.may_pass() {
        return failure;
    }
    let wait = match failure.retry_after.map(|asked| asked.as_secs()) {
        Some(seconds) if seconds > 0 => format!("in {}", counted(seconds, "second")),
        _ => "in a moment".to_owned(),
    };
    FetchFailure { detail: format!("{} Try again {wait}.", failure.detail), ..failure }
}

/// Checks a body beside the threads that wait.
async fn check_aside(
    body: Bytes,
    zone: Option<TimeZone>,
    now: Timestamp,
    url: Option<Url>,
) -> Result<CheckReport, CheckError> {
    let profile = detect(url.as_ref(), None);
    match aside(move || check_body(&body, zone.as_ref(), now, url.as_ref())).await {
        Ok(report) => Ok(report),
        Err(AsideError::Full) => Err(CheckError::Busy),
        Err(error) => Ok(CheckReport::unusable(profile, &unreadable(&error))),
    }
}

/// Reads a body by the quirks of the provider that its URL or its own words give away.
fn read_detected(
    body: &[u8],
    url: Option<&Url>,
    house: &House,
    now: Timestamp,
) -> Result<(FeedReading, &'static Profile), ics::Refusal> {
    let by_url = detect(url, None);
    let reading = read_body(body, house, by_url, now)?;
    let profile = detect(url, reading.prodid.as_deref());
    if profile.quirks.end_is_last_night == by_url.quirks.end_is_last_night {
        return Ok((reading, profile));
    }
    Ok((read_body(body, house, profile, now)?, profile))
}

/// What a feed's body says, by the usual policy of its provider. Without a zone, the feed's own hint or UTC; the
/// days are those of an ordinary house (check-in 15:00, check-out 11:00). Needs nothing of a deployment.
#[must_use]
pub fn check_body(body: &[u8], zone: Option<&TimeZone>, now: Timestamp, url: Option<&Url>) -> CheckReport {
    let zone = zone.cloned().or_else(|| zone_hint(body)).unwrap_or(TimeZone::UTC);
    let house = House::new(zone, Time::constant(15, 0, 0, 0), Time::constant(11, 0, 0, 0), 0)
        .unwrap_or_else(|_| House::ordinary());
    match read_detected(body, url, &house, now) {
        Ok((reading, profile)) => report(&reading, profile, &house, now),
        Err(refusal) => {
            let (profile, failure) = (detect(url, None), refused(&refusal));
            let known = url.and_then(|url| url.as_str().parse::<FeedUrl>().ok());
            let failure = known.map_or(failure.clone(), |url| with_help(failure, &url, &generic().id.into()));
            CheckReport::unusable(profile, &failure)
        }
    }
}

/// So much is told of one text of a feed: what a person reads, and no feed can make it longer.
const UID_TOLD: usize = 255;
const NAME_TOLD: usize = 255;
const DETAIL_TOLD: usize = 1_000;

/// A text of a feed's own, cut where it is longer than anybody reads.
fn told(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// The nights around now, in which lists of nights are told.
fn nights_told(house: &House, now: Timestamp) -> Option<Nights> {
    let today = house.date(now);
    let first = today.checked_sub(DAYS_BACK.days()).ok()?;
    Nights::new(first, today.checked_add(DAYS_AHEAD.days()).ok()?).ok()
}

fn report(reading: &FeedReading, profile: &'static Profile, house: &House, now: Timestamp) -> CheckReport {
    let window = nights_told(house, now);
    let policy = &profile.policy;
    let mut blocks = Vec::new();
    let mut nights = BTreeSet::new();
    let mut blocking = BTreeSet::new();
    for (at, (event, sighting)) in reading.events.iter().zip(judge_feed(reading, profile, policy)).enumerate() {
        let Verdict::Blocks(kind) = sighting.verdict else { continue };
        // A recurring event counts once, as in the text; of busy times several stand on one line, each for itself.
        let of_one_line = event.lines.first == event.lines.last;
        blocking.insert((event.lines, of_one_line.then_some(at)));
        let in_window = sighting.extent.nights(house).zip(window).and_then(|(its, window)| its.intersection(window));
        nights.extend(in_window.into_iter().flat_map(Nights::iter));
        blocks.push((sighting.extent.times(house), kind, sighting.extent, sighting.key.map(|key| key.uid)));
    }
    blocks.sort_by(|a, b| (a.0, &a.3).cmp(&(b.0, &b.3)));
    let blocks_left_out = blocks.len().saturating_sub(BLOCKS_TOLD);
    let cut = |uid: Option<String>| uid.map(|uid| told(uid, UID_TOLD));
    let blocks: Vec<CheckedBlock> = blocks
        .into_iter()
        .take(BLOCKS_TOLD)
        .map(|(_, kind, extent, uid)| CheckedBlock { span: span_of(extent, house), kind, uid: cut(uid) })
        .collect();
    let mut warnings = warnings_of(reading, policy);
    let warnings_left_out = warnings.len().saturating_sub(WARNINGS_TOLD);
    warnings.truncate(WARNINGS_TOLD);
    for warning in &mut warnings {
        warning.detail = told(std::mem::take(&mut warning.detail), DETAIL_TOLD);
        warning.uid = cut(warning.uid.take());
    }
    CheckReport {
        usable: true,
        provider: profile.id,
        name: reading.name.clone().map(|name| told(name, NAME_TOLD)),
        events: EventCounts {
            in_text: reading.events_in_text,
            read: reading.events_read,
            blocking: u32::try_from(blocking.len()).unwrap_or(u32::MAX),
        },
        blocks,
        blocks_left_out,
        nights: nights.into_iter().collect(),
        warnings,
        warnings_left_out,
        problem: None,
    }
}

impl CheckReport {
    /// What is said of a feed that can't be used.
    #[must_use]
    pub fn unusable(profile: &'static Profile, failure: &FetchFailure) -> Self {
        Self {
            usable: false,
            provider: profile.id,
            name: None,
            events: EventCounts::default(),
            blocks: Vec::new(),
            blocks_left_out: 0,
            nights: Vec::new(),
            warnings: Vec::new(),
            warnings_left_out: 0,
            problem: Some(Problem { kind: failure.kind.as_str(), detail: failure.detail.clone() }),
        }
    }
}

/// The zone that the calendar says is its own (`X-WR-TIMEZONE`).
fn zone_hint(body: &[u8]) -> Option<TimeZone> {
    const NAME: &[u8] = b"X-WR-TIMEZONE:";
    let mut lines = body.split(|byte| matches!(byte, b'\n' | b'\r'));
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    })?;
    known_zone(std::str::from_utf8(value).ok()?.trim())
}
