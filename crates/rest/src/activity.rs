//! What happened to a property: what refreshes changed, failures, pauses, rotations, holds, the host's own changes.

use axum::{extract::State, response::Response};
use calmesh_app::{
    Span, counted,
    limits::NIGHTS_TOLD,
    model::{Activity, ActivityKind, NamedStay, Names, StayPart},
    site_in_words, span_in_words, stay_in_words,
};
use calmesh_calendar::{BlockId, ConflictId, ConnectionId, Finding, HoldId, Nights, PropertyId, Standing};
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::Instant,
    api::Api,
    blocks::texts,
    caller::Owner,
    problem::Problem,
    query::{ListPage, ListParams, Listing, PathId},
    routes::{Routes, routes},
    when::written_span,
    words::PartWord,
};

/// An entry has so many runs of nights in its sentence.
const RUNS_IN_WORDS: usize = 5;

/// One thing that happened. Fields that its type does not have are left out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Activity, example = json!({
    "at": "2026-11-21T10:00:00Z", "type": "feed_changed", "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g",
    "detail": "Airbnb, whole flat: 1 stay new (4–7 Dec 2026), 1 gone (9–12 Dec 2026).",
    "property_name": "Harbour flat", "name": "Airbnb, whole flat", "provider": "airbnb",
    "stays": [
        {"block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "part": "new", "name": "Airbnb, whole flat", "provider": "airbnb",
            "start": "2026-12-04", "end": "2026-12-07"},
        {"block_id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0h", "part": "gone", "name": "Airbnb, whole flat", "provider": "airbnb",
            "start": "2026-12-09", "end": "2026-12-12"}
    ],
    "blocks_added": 1, "blocks_changed": 0, "blocks_removed": 1, "blocks_held": 0
}))]
pub(crate) struct ActivityView {
    at: Instant,
    /// What kind of thing it was, such as `feed_changed`, `feed_failed`, `hold_opened`. More may be added.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The connection that it is about; null where it is about none.
    #[schema(required)]
    connection_id: Option<String>,
    /// The same in a sentence, with names and dates as they were then.
    detail: String,
    /// The property's name as it was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    property_name: Option<String>,
    /// The connection's name as it was then.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The connection's provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    /// The blocks that it is about, as they were then: the first 10 of each part, in order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stays: Vec<StayJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<String>,
    /// A failure's word, such as `link_gone`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_added: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_changed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_removed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks_held: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conflict_id: Option<String>,
    /// The stays of a conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_ids: Option<Vec<String>>,
    /// When the first of the two guests arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrives_at: Option<Instant>,
    /// How many nights it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    nights: Option<u32>,
    /// The first 400 of these nights, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_nights: Option<Vec<String>>,
}

/// A block that an entry is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ActivityStay)]
struct StayJson {
    block_id: String,
    /// `itself` where the entry is about it; `new`, `changed` or `gone` where that happened to it.
    part: PartWord,
    /// The connection's name; null for a block of the host's own.
    #[schema(required)]
    name: Option<String>,
    /// The connection's provider; null for a block of the host's own.
    #[schema(required)]
    provider: Option<String>,
    /// A night, or a local date-time.
    start: String,
    /// As `start`; not included.
    end: String,
    /// What its start was before, where a refresh moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    start_before: Option<String>,
    /// And its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_before: Option<String>,
}

impl From<NamedStay> for StayJson {
    fn from(stay: NamedStay) -> Self {
        let (start, end) = written_span(stay.span);
        let (name, provider) = stay.site.map(|site| (site.name, site.provider.to_string())).unzip();
        let (start_before, end_before) = stay.before.map(written_span).unzip();
        let part = stay.part.into();
        Self { block_id: stay.block.to_string(), part, name, provider, start, end, start_before, end_before }
    }
}

/// The words of an entry, out of the names that it was written with.
struct Words<'a>(&'a Names);

impl Words<'_> {
    /// A sentence that begins with the connection's name, where that is known.
    fn of_site(&self, sentence: &str) -> String {
        match &self.0.site {
            Some(site) => format!("{}: {sentence}", site_in_words(site)),
            None => capital(sentence),
        }
    }

    /// ` (Vrbo)` where the connection's name does not say it, or nothing.
    fn provider(&self) -> String {
        let site = self.0.site.as_ref();
        site.and_then(|site| Some(site_in_words(site).strip_prefix(&site.name)?.to_owned())).unwrap_or_default()
    }

    fn stays(&self, part: StayPart) -> impl Iterator<Item = &NamedStay> {
        self.0.stays.iter().filter(move |stay| stay.part == part)
    }

    fn stay(&self, part: StayPart) -> Option<&NamedStay> {
        self.stays(part).next()
    }

    /// ` (4–7 Dec 2026, 9–12 Dec 2026, …)` of these so many, or nothing where none is known.
    fn dates(&self, part: StayPart, of: u32) -> String {
        let told = |stay: &NamedStay| match stay.before {
            Some(before) => format!("{}, before {}", span_in_words(stay.span), span_in_words(before)),
            None => span_in_words(stay.span),
        };
        let spans: Vec<String> = self.stays(part).map(told).collect();
        let comma = if self.stays(part).any(|stay| stay.before.is_some()) { "; " } else { ", " };
        let more =
            if usize::try_from(of).is_ok_and(|of| of > spans.len()) { format!("{comma}…") } else { String::new() };
        if spans.is_empty() { String::new() } else { format!(" ({}{more})", spans.join(comma)) }
    }

    /// ` 4–7 Dec 2026`, or nothing.
    fn date(&self, part: StayPart) -> String {
        self.stay(part).map(|stay| format!(" {}", span_in_words(stay.span))).unwrap_or_default()
    }

    /// ` "Harbour flat"`, or nothing.
    fn property(&self) -> String {
        self.0.property.as_ref().map(|name| format!(" \"{name}\"")).unwrap_or_default()
    }
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

impl ActivityView {
    fn of(activity: Activity) -> Self {
        let Activity { at, connection, kind, names, .. } = activity;
        let view = Self::blank(at.into(), connection.as_ref()).telling(kind, &Words(&names));
        let (name, provider) = names.site.map(|site| (site.name, site.provider.to_string())).unzip();
        Self {
            property_name: names.property,
            name: view.name.or(name),
            provider,
            stays: names.stays.into_iter().map(StayJson::from).collect(),
            ..view
        }
    }

    fn blank(at: Instant, connection: Option<&ConnectionId>) -> Self {
        Self {
            at,
            kind: "",
            connection_id: connection.map(ToString::to_string),
            detail: String::new(),
            property_name: None,
            name: None,
            provider: None,
            stays: Vec::new(),
            block_id: None,
            hold_id: None,
            reason: None,
            blocks_added: None,
            blocks_changed: None,
            blocks_removed: None,
            blocks_held: None,
            conflict_id: None,
            block_ids: None,
            arrives_at: None,
            nights: None,
            first_nights: None,
        }
    }

    fn telling(self, kind: ActivityKind, words: &Words<'_>) -> Self {
        use ActivityKind as Kind;
        match kind {
            Kind::PropertyCreated => {
                self.about("property_created", format!("The property{} was made.", words.property()))
            }
            Kind::PropertyChanged => {
                let detail = format!("The settings of the property{} were changed.", words.property());
                self.about("property_changed", detail)
            }
            Kind::ConnectionCreated { name } => self.of_connection("connection_created", "made", name, words),
            Kind::ConnectionChanged { name } => self.of_connection("connection_changed", "changed", name, words),
            Kind::ConnectionDeleted { name } => self.of_connection("connection_deleted", "deleted", name, words),
            Kind::ConnectionPaused { name } => self.of_connection("connection_paused", "paused", name, words),
            Kind::ConnectionResumed { name } => self.of_connection("connection_resumed", "resumed", name, words),
            Kind::LinkRotated { name } => self.of_connection("link_rotated", "given a new private link", name, words),
            Kind::FeedChanged { added, changed, removed, held } => {
                self.of_changes([added, changed, removed, held], words)
            }
            Kind::FeedFailed { failure, detail } => {
                Self { reason: Some(failure.as_str()), ..self.about("feed_failed", words.of_site(&detail)) }
            }
            Kind::FeedRecovered => self.about("feed_recovered", words.of_site("the feed can be read again.")),
            Kind::MassVanished { hold, stays, nights, first_nights } => {
                self.of_mass_vanish(&hold, stays, nights, &first_nights, words)
            }
            Kind::HoldOpened { hold, block } => self.of_hold(OPENED, &hold, &block, words),
            Kind::HoldReleased { hold, block } => self.of_hold(RELEASED, &hold, &block, words),
            Kind::HoldKept { hold, block } => self.of_hold(KEPT, &hold, &block, words),
            Kind::HoldConfirmed { hold, block } => self.of_hold(CONFIRMED, &hold, &block, words),
            Kind::HoldReturned { hold, block } => self.of_hold(RETURNED, &hold, &block, words),
            Kind::ClaimsDecided { finding, nights } => self.of_claims(finding, nights, words),
            Kind::ConflictOpened { conflict, blocks, first, arrives_at, nights } => {
                let detail = conflict_opened(words, &conflict, &first, blocks.len());
                let view = self.about("conflict_opened", detail).of_conflict(&conflict, &blocks);
                Self { arrives_at: Some(arrives_at.into()), first_nights: Some(dates(&nights)), ..view }
            }
            Kind::ConflictResolved { conflict, gone } => self.of_word(&conflict, &gone, words),
            Kind::ConflictClosed { conflict, blocks, gone } => {
                let detail = conflict_closed(words, !gone.is_empty());
                self.about("conflict_closed", detail).of_conflict(&conflict, &blocks)
            }
            Kind::BlockCreated { block } => self.of_own("block_created", "made", &block, words),
            Kind::BlockChanged { block } => self.of_own("block_changed", "changed", &block, words),
            Kind::BlockDeleted { block } => self.of_own("block_deleted", "deleted", &block, words),
            Kind::ExtensionOrphaned { block, stay } => {
                let detail = extension(words, &block, &stay, StayPart::Gone, "has gone");
                self.about("extension_orphaned", detail).of_block(&block)
            }
            Kind::ExtensionLeft { block, stay } => {
                let detail = extension(words, &block, &stay, StayPart::Changed, "was moved away from it");
                self.about("extension_left", detail).of_block(&block)
            }
        }
    }

    fn about(self, kind: &'static str, detail: String) -> Self {
        Self { kind, detail, ..self }
    }

    fn of_block(self, block: &BlockId) -> Self {
        Self { block_id: Some(block.to_string()), ..self }
    }

    fn of_conflict(self, conflict: &ConflictId, blocks: &[BlockId]) -> Self {
        Self { conflict_id: Some(conflict.to_string()), block_ids: Some(texts(blocks)), ..self }
    }

    fn of_connection(self, kind: &'static str, what: &str, name: String, words: &Words<'_>) -> Self {
        let detail = format!("The connection \"{name}\"{} was {what}.", words.provider());
        Self { name: Some(name), ..self.about(kind, detail) }
    }

    fn of_changes(self, changes: [u32; 4], words: &Words<'_>) -> Self {
        let [added, changed, removed, held] = changes.map(Some);
        Self {
            blocks_added: added,
            blocks_changed: changed,
            blocks_removed: removed,
            blocks_held: held,
            ..self.about("feed_changed", feed_changed(words, changes))
        }
    }

    fn of_hold(self, (kind, told): (&'static str, &str), hold: &HoldId, block: &BlockId, words: &Words<'_>) -> Self {
        let detail = told.replacen("{stay}", &format!("stay{}", words.date(StayPart::Itself)), 1);
        Self { hold_id: Some(hold.to_string()), ..self.about(kind, words.of_site(&detail)).of_block(block) }
    }

    fn of_mass_vanish(self, hold: &HoldId, stays: u32, nights: u32, first: &[Date], words: &Words<'_>) -> Self {
        let detail = mass_vanish(hold, stays, nights, &words.dates(StayPart::Itself, stays));
        Self {
            hold_id: Some(hold.to_string()),
            blocks_held: Some(stays),
            nights: Some(nights),
            first_nights: Some(dates(first)),
            ..self.about("mass_vanish", words.of_site(&detail))
        }
    }

    fn of_claims(self, finding: Finding, nights: Vec<Nights>, words: &Words<'_>) -> Self {
        let (kind, detail) = told(finding);
        let in_words = |run: &Nights| span_in_words(Span::Nights(run.first(), run.end()));
        let runs: Vec<String> = nights.iter().take(RUNS_IN_WORDS).map(in_words).collect();
        let more = if nights.len() > runs.len() { ", …" } else { "" };
        let when = if runs.is_empty() { String::new() } else { format!(" ({}{more})", runs.join(", ")) };
        let detail = detail.replacen("hese nights", &format!("hese nights{when}"), 1);
        let nights: Vec<Date> = nights.into_iter().flat_map(Nights::iter).collect();
        Self {
            nights: Some(u32::try_from(nights.len()).unwrap_or(u32::MAX)),
            first_nights: Some(dates(nights.get(..NIGHTS_TOLD).unwrap_or(&nights))),
            ..self.about(kind, words.of_site(&detail))
        }
    }

    /// The host said which stay of a conflict is gone.
    fn of_word(self, conflict: &ConflictId, gone: &BlockId, words: &Words<'_>) -> Self {
        let detail = match words.stay(StayPart::Gone) {
            Some(stay) => format!("You said that one stay of a conflict is gone: {}.", stay_in_words(stay)),
            None => "You said which stay of a conflict is gone.".to_owned(),
        };
        Self { conflict_id: Some(conflict.to_string()), ..self.about("conflict_resolved", detail).of_block(gone) }
    }

    fn of_own(self, kind: &'static str, what: &str, block: &BlockId, words: &Words<'_>) -> Self {
        let detail = match words.stay(StayPart::Itself) {
            Some(stay) => format!("A block of yours was {what}: {}.", span_in_words(stay.span)),
            None => format!("A block of yours was {what}."),
        };
        self.about(kind, detail).of_block(block)
    }
}

fn dates(nights: &[Date]) -> Vec<String> {
    nights.iter().map(ToString::to_string).collect()
}

/// What is told of a hold, with the dates of its stay.
const OPENED: (&str, &str) =
    ("hold_opened", "a {stay} is missing from its feed; it still blocks until that is believed.");
const RELEASED: (&str, &str) = ("hold_released", "you said that a missing {stay} is really gone.");
const KEPT: (&str, &str) = ("hold_kept", "you said that a missing {stay} still stands.");
const CONFIRMED: (&str, &str) = ("hold_confirmed", "a {stay} was missing for long enough; its nights are free.");
const RETURNED: (&str, &str) = ("hold_returned", "a missing {stay} is in its feed again.");

/// `2 stays new (4–7 Dec 2026, …), 1 changed (…), 1 gone (…); 2 removals wait`, of which only what there is is told.
fn feed_changed(words: &Words<'_>, [added, changed, removed, held]: [u32; 4]) -> String {
    let parts =
        [(added, StayPart::New, "new"), (changed, StayPart::Changed, "changed"), (removed, StayPart::Gone, "gone")];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .enumerate()
        .map(|(nth, (number, part, what))| {
            let number_of = if nth == 0 { counted(number, "stay") } else { number.to_string() };
            format!("{number_of} {what}{}", words.dates(part, number))
        })
        .collect();
    let told = if told.is_empty() { "nothing new".to_owned() } else { told.join(", ") };
    let waits = match held {
        0 => String::new(),
        1 => "; 1 removal waits".to_owned(),
        held => format!("; {held} removals wait"),
    };
    match words.0.site {
        Some(_) => words.of_site(&format!("{told}{waits}.")),
        None => format!("A refresh: {told}{waits}."),
    }
}

/// The named ones of the stays of a conflict, if two or more are.
fn all_named(words: &Words<'_>) -> Option<String> {
    let stays: Vec<String> = words.stays(StayPart::Itself).map(stay_in_words).collect();
    (stays.len() > 1).then(|| stays.join("; "))
}

/// Why a conflict is over: by the host's word, or by itself.
fn conflict_closed(words: &Words<'_>, by_host: bool) -> String {
    if !by_host {
        let named = all_named(words).map(|named| format!(" ({named})")).unwrap_or_default();
        return format!("A conflict is over: its stays{named} do not claim the same time any more.");
    }
    let told = |part: StayPart| words.stays(part).map(stay_in_words).collect::<Vec<_>>();
    let gone = match &told(StayPart::Gone)[..] {
        [] => "you said what of it is gone".to_owned(),
        [one] => format!("you said that {one} is gone"),
        several => format!("you said that these are gone: {}", several.join("; ")),
    };
    let left = Some(told(StayPart::Itself).join("; ")).filter(|left| !left.is_empty());
    let left = left.map(|left| format!(" ({left})")).unwrap_or_default();
    format!("A conflict is over: {gone}, and what is left{left} does not clash.")
}

fn conflict_opened(words: &Words<'_>, conflict: &ConflictId, first: &BlockId, count: usize) -> String {
    let named = all_named(words).map(|named| format!(" ({named})")).unwrap_or_default();
    let seen = words.0.stays.iter().find(|stay| stay.block == *first);
    let first = match seen.map(|stay| (stay, &stay.site)) {
        Some((stay, Some(_))) => stay_in_words(stay),
        Some((stay, None)) => capital(&stay_in_words(stay)),
        None => first.to_string(),
    };
    let (stays, cancel) = match count {
        2 => ("Two stays".to_owned(), "Cancel one on its site"),
        _ => (format!("{count} stays or more"), "Cancel all but one on their sites"),
    };
    format!(
        "{stays} claim the same time{named}. {first} was seen first. {cancel} before the first guest arrives; if one is gone \
         already, say so with POST /v1/conflicts/{conflict}/resolve."
    )
}

/// What became of the stay that an own block extends, and how to remove the block.
fn extension(words: &Words<'_>, block: &BlockId, stay: &BlockId, part: StayPart, what: &str) -> String {
    let stay = words.stay(part).map_or_else(|| stay.to_string(), stay_in_words);
    format!(
        "The stay that your block{} extends {what}: {stay}. The block stays and takes its time. If nobody needs it any \
         more, remove it with DELETE /v1/blocks/{block}.",
        words.date(StayPart::Itself),
    )
}

/// The word for a finding, and a sentence.
fn told(finding: Finding) -> (&'static str, String) {
    let (kind, detail) = match finding {
        Finding::Judged(standing, rule) => {
            let what = match standing {
                Standing::Echo => "These nights are what this site read from us, and do not block",
                Standing::Possible => "These nights may be what this site read from us; they block until it was asked",
                Standing::Certain => "This site holds these nights by itself",
            };
            return ("nights_judged", format!("{what}: {}.", rule.as_str()));
        }
        Finding::Asked => (
            "nights_asked",
            "These nights are left out of this site's private link for a while, to see whether it holds them by itself.",
        ),
        Finding::Clean => ("nights_clean", "Asked, this site shows these nights no more: it only repeated them."),
        Finding::EchoEnded => ("echo_ended", "This site no longer repeats these nights."),
        Finding::TakenBack => {
            ("nights_not_asked", "This site's feed can't be read, so these nights are on its link again for now.")
        }
        Finding::SeemsNotToRead => {
            ("link_not_read", "This site seems not to read its private link. Check that the link is still set there.")
        }
    };
    (kind, detail.to_owned())
}

/// What vanished together, and what the host can do about it.
fn mass_vanish(hold: &HoldId, stays: u32, nights: u32, dates: &str) -> String {
    let (stays, nights) = (counted(stays, "stay"), counted(nights, "night"));
    format!(
        "{stays} with {nights}{dates} went from the feed together, which is more often a fault there than cancellations: all \
         still block for now. If all are really gone, release them with POST /v1/holds/{hold}/release?group=true; if \
         they stand, keep them with POST /v1/holds/{hold}/keep?group=true."
    )
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list)
}

/// What happened to a property in the last 90 days, newest first.
#[utoipa::path(get, path = "/v1/properties/{id}/activity", tag = "properties", operation_id = "list_activity",
    params(("id" = String, Path, description = "The property, `prp_…`."), ListParams),
    responses((status = 200, description = "One page.", body = ListPage<ActivityView>)))]
async fn list(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let mut asked = listing.page.clone();
    loop {
        let page = api.desk.list_activity(owner.reach(), &id, asked.clone()).await?;
        let page = page.ok_or_else(|| Problem::not_found("property"))?;
        if let Some(answer) = listing.fitting(&mut asked, page, ActivityView::of)? {
            return Ok(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use calmesh_app::model::{Activity, ActivityKind, FailureKind, Names};
    use calmesh_calendar::{BlockId, ConnectionId, HoldId};
    use http::Method;
    use serde_json::json;

    use crate::{
        scenes::*,
        testing::{NOW, TestApi},
    };

    #[tokio::test]
    async fn what_happened_is_told_newest_first_and_page_by_page() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let connection = ConnectionId::from_random([1; 16]);
        let (hold, block) = (HoldId::from_random([2; 16]), BlockId::from_random([3; 16]));
        let kinds = [
            ActivityKind::ConnectionCreated { name: "Airbnb".to_owned() },
            ActivityKind::FeedChanged { added: 2, changed: 0, removed: 1, held: 3 },
            ActivityKind::FeedFailed { failure: FailureKind::LinkGone, detail: "Create the link anew.".to_owned() },
            ActivityKind::HoldOpened { hold: hold.clone(), block: block.clone() },
        ];
        for (second, kind) in kinds.into_iter().enumerate() {
            let at =
                NOW.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_secs(second.try_into().unwrap());
            let entry = Activity {
                property: property.clone(),
                at,
                connection: Some(connection.clone()),
                kind,
                names: Names::default(),
            };
            api.ports.common.activity.append_activity(&[entry]).await.unwrap();
        }
        let path = format!("/v1/properties/{property}/activity");
        let page = api.get(&format!("{path}?limit=3")).await.json();
        assert_eq!(page["items"][0]["type"], "hold_opened");
        assert_eq!(page["items"][0]["hold_id"], hold.as_str());
        assert_eq!(page["items"][0]["block_id"], block.as_str());
        assert_eq!(page["items"][1]["reason"], "link_gone");
        assert_eq!(page["items"][2]["blocks_removed"], 1);
        assert_eq!(page["items"][2]["connection_id"], connection.as_str());
        let cursor = page["next_cursor"].as_str().unwrap();
        let rest = api.get(&format!("{path}?limit=3&cursor={cursor}")).await.json();
        assert_eq!(
            rest["items"],
            json!([{
                "at": NOW, "type": "connection_created", "connection_id": connection.as_str(), "name": "Airbnb",
                "property_name": "Flat", "detail": "The connection \"Airbnb\" was made."
            }])
        );
    }

    #[tokio::test]
    async fn the_activity_of_a_property_that_the_caller_does_not_see_is_not_there() {
        let api = TestApi::new().await;
        let (seen, hidden) = (api.property(&api.account.id).await, api.property(&api.account.id).await);
        let narrow = api.token_with(json!({"name": "n", "property_ids": [seen.as_str()]})).await;
        let stranger = api.stranger().await;
        let path = format!("/v1/properties/{hidden}/activity");
        assert_eq!(api.get(&path).await.status, 200);
        api.ask(Method::GET, &path).by(&narrow).send().await.problem(404);
        api.ask(Method::GET, &path).by(&stranger).send().await.problem(404);
        api.get("/v1/properties/nonsense/activity").await.problem(404);
        assert_eq!(api.get(&format!("{path}?since=1")).await.pointers(), ["/since"]);
    }

    /// Each entry's sentence, newest first.
    async fn told(api: &TestApi, property: &str) -> Vec<String> {
        let page = api.get(&format!("/v1/properties/{property}/activity?limit=200")).await.json();
        page["items"].as_array().unwrap().iter().map(|entry| entry["detail"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn an_entry_names_property_site_and_dates_and_goes_on_to_when_they_are_gone() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let second = ("HMBBBBBBBB", "2026-12-28", "2027-01-02");
        let connection = api.connect_with(&flat, "whole", airbnb(&[STAY, second]), json!({"name": "Whole flat"})).await;
        let whose = json!("Whole flat");
        let path = format!("/v1/connections/{}", connection["id"].as_str().unwrap());
        api.clock.advance(jiff::SignedDuration::from_mins(20));
        api.feeds.serve(&url("whole"), airbnb(&[STAY, ("HMCCCCCCCC", "2026-12-10", "2026-12-12")]));
        assert_eq!(api.post(&format!("{path}/refresh"), json!({})).await.status, 202);
        api.work().await;
        assert_eq!(api.patch(&path, json!({"name": "Attic"})).await.status, 200);
        assert_eq!(api.patch(&format!("/v1/properties/{flat}"), json!({"name": "Harbour flat"})).await.status, 200);
        assert_eq!(api.delete(&path).await.status, 204);
        assert_eq!(
            told(&api, &flat).await,
            [
                "The connection \"Attic\" (Airbnb) was deleted.",
                "The settings of the property \"Harbour flat\" were changed.",
                "The connection \"Attic\" (Airbnb) was changed.",
                "Whole flat (Airbnb): 1 stay new (10–12 Dec 2026); 1 removal waits.",
                "Whole flat (Airbnb): a stay 28 Dec 2026 – 2 Jan 2027 is missing from its feed; it still blocks until that \
                 is believed.",
                "Whole flat (Airbnb): 2 stays new (4–7 Dec 2026, 28 Dec 2026 – 2 Jan 2027).",
                "The connection \"Whole flat\" (Airbnb) was made.",
                "The property \"Flat\" was made.",
            ]
        );
        let page = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
        let entry = &page["items"][3];
        assert_eq!(
            (&entry["name"], &entry["provider"], &entry["property_name"]),
            (&whose, &json!("airbnb"), &json!("Flat"))
        );
        let stay = &entry["stays"][0];
        assert_eq!(
            (&stay["part"], &stay["start"], &stay["end"]),
            (&json!("new"), &json!("2026-12-10"), &json!("2026-12-12"))
        );
        assert_eq!((&stay["name"], &stay["provider"]), (&whose, &json!("airbnb")));
        let text = page.to_string();
        assert!(!text.contains("Reserved") && !text.contains("HMAAAAAAAA"), "nothing of a guest: {text}");
    }

    #[tokio::test]
    async fn a_stay_that_moved_is_told_with_its_dates_before() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        api.connect(&flat, "Airbnb", airbnb(&[STAY])).await;
        api.clock.advance(jiff::SignedDuration::from_mins(20));
        api.feeds.serve(&url("Airbnb"), airbnb(&[("HMAAAAAAAA", "2026-12-05", "2026-12-08")]));
        api.post(&format!("/v1/properties/{flat}/refresh"), json!({})).await;
        api.work().await;
        assert_eq!(told(&api, &flat).await[0], "Airbnb: 1 stay changed (5–8 Dec 2026, before 4–7 Dec 2026).");
        let page = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
        let stay = &page["items"][0]["stays"][0];
        assert_eq!(
            ["start", "start_before", "end_before"].map(|field| &stay[field]),
            ["2026-12-05", "2026-12-04", "2026-12-07"]
        );
    }

    #[tokio::test]
    async fn an_extension_whose_connection_was_deleted_is_told_with_that_ones_name() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let made = api.connect_with(&flat, "whole", airbnb(&[STAY]), json!({"name": "Whole flat"})).await;
        let stay = api.get(&format!("/v1/properties/{flat}/blocks")).await.json()["items"][0]["id"].clone();
        let body = json!({"kind": "reservation", "start": "2026-12-07", "end": "2026-12-08", "extends": stay});
        let own = api.post(&format!("/v1/properties/{flat}/blocks"), body).await.json()["id"].clone();
        assert_eq!(api.delete(&format!("/v1/connections/{}", made["id"].as_str().unwrap())).await.status, 204);
        let told = told(&api, &flat).await;
        let entry = told.iter().find(|entry| entry.contains("extends has gone")).unwrap();
        assert!(entry.contains("extends has gone: Whole flat (Airbnb), 4–7 Dec 2026."), "{entry}");
        let block = api.get(&format!("/v1/blocks/{}", own.as_str().unwrap())).await.json();
        let notice = block["notice"].as_str().unwrap();
        assert!(notice.contains("extends has gone: Whole flat (Airbnb), 4–7 Dec 2026."), "{notice}");
    }

    #[tokio::test]
    async fn a_list_of_stays_in_an_entry_is_bounded_and_says_so() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let dates: Vec<(String, String, String)> = (10..28)
            .map(|day| (format!("HMAAAAAA{day}"), format!("2027-01-{day}"), format!("2027-01-{}", day + 1)))
            .collect();
        let stays: Vec<(&str, &str, &str)> = dates.iter().map(|(code, a, b)| (&**code, &**a, &**b)).collect();
        api.connect(&flat, "Airbnb", airbnb(&stays)).await;
        let told = told(&api, &flat).await;
        let expected = "Airbnb: 18 stays new (10–11 Jan 2027, 11–12 Jan 2027,";
        assert!(told[0].starts_with(expected) && told[0].ends_with("19–20 Jan 2027, …)."), "{told:?}");
        let page = api.get(&format!("/v1/properties/{flat}/activity")).await.json();
        assert_eq!(page["items"][0]["stays"].as_array().unwrap().len(), 10);
        assert_eq!(page["items"][0]["blocks_added"], 18);
    }

    #[tokio::test]
    async fn what_an_earlier_version_wrote_is_told_by_the_present_names() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let connection = api.connect(&flat, "Airbnb", airbnb(&[STAY])).await;
        let id: ConnectionId = connection["id"].as_str().unwrap().parse().unwrap();
        let kinds =
            [ActivityKind::FeedChanged { added: 2, changed: 0, removed: 1, held: 3 }, ActivityKind::FeedRecovered];
        for (second, kind) in kinds.into_iter().enumerate() {
            let at = NOW.parse::<jiff::Timestamp>().unwrap() + jiff::SignedDuration::from_hours(1 + second as i64);
            let (property, names) = (flat.parse().unwrap(), Names::default());
            let entry = Activity { property, at, connection: Some(id.clone()), kind, names };
            api.ports.common.activity.append_activity(&[entry]).await.unwrap();
        }
        let told = told(&api, &flat).await;
        assert_eq!(told[..2], ["Airbnb: the feed can be read again.", "Airbnb: 2 stays new, 1 gone; 3 removals wait."]);
    }

    #[tokio::test]
    async fn own_blocks_and_conflicts_are_told_by_their_dates() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let block = api.block(&flat, "2026-12-07T11:00", "2026-12-07T14:00").await;
        api.patch(&format!("/v1/blocks/{block}"), json!({"end": "2026-12-07T15:00"})).await;
        api.delete(&format!("/v1/blocks/{block}")).await;
        assert_eq!(
            told(&api, &flat).await[..3],
            [
                "A block of yours was deleted: 7 Dec 2026 11:00–15:00.",
                "A block of yours was changed: 7 Dec 2026 11:00–15:00.",
                "A block of yours was made: 7 Dec 2026 11:00–14:00.",
            ]
        );
        api.connect(&flat, "Airbnb", airbnb(&[STAY])).await;
        api.clock.advance(jiff::SignedDuration::from_mins(20));
        api.block(&flat, "2026-12-06", "2026-12-09").await;
        let told = told(&api, &flat).await;
        let entry = told.iter().find(|entry| entry.starts_with("Two stays claim the same time (")).unwrap();
        for part in ["your own block, 6–9 Dec 2026", "). Airbnb, 4–7 Dec 2026 was seen first. Cancel one"] {
            assert!(entry.contains(part), "{entry}");
        }
    }
}
