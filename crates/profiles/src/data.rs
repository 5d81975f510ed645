//! The form of the data files, and their way into profiles. A file that says something unknown is refused.

use std::collections::BTreeMap;

use calmesh_calendar::{
    Policy,
    policy::{Value, settings},
};
use serde::Deserialize;

use crate::{
    marks::{Marks, UrlMark},
    matcher::{Shape, Words},
    profile::{Cadence, Directions, Profile, ProviderId, Quirks, Refusals, Via},
    rules::{CodePattern, CodePlace, EventClass, Rule, When},
};

/// What is wrong with the data files.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("the data file of `{file}` can't be read")]
    Toml {
        file: &'static str,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("the data file of `{file}`: {detail}")]
    Rule { file: &'static str, detail: &'static str },
    #[error("two data files have the id `{id}`")]
    Twice { id: &'static str },
    #[error("there is no profile `generic`")]
    NoGeneric,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    help: String,
    export_help: String,
    limits: Vec<String>,
    /// What its site wants to be read by, in place of our own name.
    user_agent: Option<String>,
    #[serde(default)]
    refusals: RefusalsTable,
    #[serde(default)]
    via: ViaText,
    directions: DirectionsTable,
    /// Minutes between two readings of one feed, at least.
    min_interval_minutes: Option<u32>,
    reads_export_every_minutes: Option<u32>,
    max_imports: Option<u32>,
    tells_reservations_apart: bool,
    #[serde(default)]
    never_echoes: bool,
    #[serde(default)]
    quirks: QuirksTable,
    /// Only what differs from the defaults of SAFETY.md.
    #[serde(default)]
    policy: toml::Table,
    #[serde(default)]
    detect: DetectTable,
    rules: Vec<RuleTable>,
    #[serde(default)]
    codes: Vec<CodeTable>,
}

/// What a host does about a feed of this provider that can't be read, by what came in its place.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RefusalsTable {
    link_gone: Option<String>,
    link_refused: Option<String>,
    server_error: Option<String>,
    rate_limited: Option<String>,
    not_a_calendar: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ViaText {
    #[default]
    Ical,
    Account,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectionsTable {
    import: bool,
    export: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuirksTable {
    far_past_event_when_empty: bool,
    end_is_last_night: bool,
    import_never_cancels: bool,
    whole_days_only: bool,
    all_day_events_default_to_free: bool,
    odd_content_type: bool,
    carries_guest_details: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DetectTable {
    urls: Vec<UrlTable>,
    /// How a PRODID begins, in lower case, unescaped.
    prodid_begins: Vec<String>,
    /// What a PRODID contains, in lower case, unescaped.
    prodid_contains: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UrlTable {
    /// A host and all below it.
    host: Option<String>,
    /// A name under any country's ending: `airbnb` is airbnb.com, www.airbnb.co.uk, airbnb.es.
    brand: Option<String>,
    /// How the path of a feed begins.
    #[serde(default)]
    path_begins: Vec<String>,
    /// What the path of a feed contains.
    #[serde(default)]
    path_contains: Vec<String>,
    /// How the path of a feed ends.
    #[serde(default)]
    path_ends: Vec<String>,
    /// Other providers live on this host too, so the path must fit for the host to mean this one.
    #[serde(default)]
    path_required: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleTable {
    /// Shown by `explain`.
    name: String,
    class: ClassText,
    /// The text proves a reservation.
    #[serde(default)]
    mark: bool,
    #[serde(default)]
    when: WhenTable,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClassText {
    Reservation,
    Closure,
    Tentative,
    RuleClosure,
    Ignored,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WhenTable {
    summary_is: Vec<String>,
    summary_begins: Vec<String>,
    summary_has: Vec<String>,
    uid_begins: Vec<String>,
    uid_ends: Vec<String>,
    uid_shape: Vec<String>,
    tentative: bool,
    has_code: bool,
    nights_at_most: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CodeTable {
    place: PlaceText,
    /// What stands right before the code.
    after: String,
    /// What stands right after it; anything that is not a letter or digit when not given.
    before: Option<String>,
    begins: String,
    min_length: usize,
    max_length: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PlaceText {
    Summary,
    Description,
}

/// Reads files of `(id, text)` into profiles, in their order.
///
/// # Errors
/// When a file is not TOML of the expected form, a rule can't decide, or an id comes twice.
pub(crate) fn read_all(files: &[(&'static str, &'static str)]) -> Result<Vec<Profile>, DataError> {
    let mut profiles: Vec<Profile> = Vec::with_capacity(files.len());
    for (id, text) in files {
        if profiles.iter().any(|known| known.id.as_str() == *id) {
            return Err(DataError::Twice { id });
        }
        profiles.push(read(id, text)?);
    }
    Ok(profiles)
}

fn read(id: &'static str, text: &str) -> Result<Profile, DataError> {
    let file: File = toml::from_str(text).map_err(|source| DataError::Toml { file: id, source: Box::new(source) })?;
    let wrong = |detail| DataError::Rule { file: id, detail };
    if !file.rules.last().is_some_and(|rule| rule.when.is_always()) {
        return Err(wrong("the last rule must fit every event"));
    }
    if file.rules.iter().rev().skip(1).any(|rule| rule.when.is_always()) {
        return Err(wrong("only the last rule may fit every event"));
    }
    if file.rules.iter().any(|rule| rule.mark && !matches!(rule.class, ClassText::Reservation)) {
        return Err(wrong("only a reservation can carry the mark of one"));
    }
    if file.rules.iter().any(|rule| matches!(rule.class, ClassText::Ignored) && rule.when.nights_at_most.is_none()) {
        return Err(wrong("what is ignored must be short: a long event that blocks nothing would free nights"));
    }
    if file.detect.urls.iter().any(|url| url.host.is_none() && url.brand.is_none() && !url.path_required) {
        return Err(wrong("a URL without host must require its path"));
    }
    let printable = |name: &String| !name.is_empty() && name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if file.user_agent.as_ref().is_some_and(|name| !printable(name)) {
        return Err(wrong("a user agent is printable ASCII"));
    }
    let policy =
        policy_of(file.policy).ok_or_else(|| wrong("a policy has these settings alone, each within its range"))?;
    Ok(Profile {
        id: ProviderId(id),
        name: file.name,
        help: one_line(&file.help),
        export_help: one_line(&file.export_help),
        limits: file.limits.iter().map(|text| one_line(text)).collect(),
        user_agent: file.user_agent,
        refusals: file.refusals.into(),
        directions: Directions { import: file.directions.import, export: file.directions.export },
        via: match file.via {
            ViaText::Ical => Via::Ical,
            ViaText::Account => Via::Account,
        },
        cadence: file.min_interval_minutes.map(|min_interval_minutes| Cadence { min_interval_minutes }),
        reads_export_every_minutes: file.reads_export_every_minutes,
        max_imports: file.max_imports,
        quirks: file.quirks.into(),
        tells_reservations_apart: file.tells_reservations_apart,
        never_echoes: file.never_echoes,
        policy,
        marks: file.detect.into(),
        rules: file.rules.into_iter().map(Rule::from).collect(),
        codes: file.codes.into_iter().map(CodePattern::from).collect(),
    })
}

/// Texts are broken over lines in the files, for their readers only.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl WhenTable {
    fn is_always(&self) -> bool {
        self.summary_is.is_empty()
            && self.summary_begins.is_empty()
            && self.summary_has.is_empty()
            && self.uid_begins.is_empty()
            && self.uid_ends.is_empty()
            && self.uid_shape.is_empty()
            && !self.tentative
            && !self.has_code
            && self.nights_at_most.is_none()
    }
}

/// The defaults of SAFETY.md with what a file says otherwise; nothing when that is no setting or not in its range.
fn policy_of(file: toml::Table) -> Option<Policy> {
    let mut said = BTreeMap::new();
    for (name, value) in file {
        match value {
            toml::Value::Table(group) => {
                said.extend(group.into_iter().map(|(setting, value)| (format!("{name}/{setting}"), value)));
            }
            value => {
                said.insert(name, value);
            }
        }
    }
    let mut policy = Policy::default();
    for setting in settings() {
        let value = match said.remove(setting.path) {
            None => continue,
            Some(toml::Value::Boolean(flag)) => Value::Flag(flag),
            Some(toml::Value::Integer(figure)) => Value::Figure(figure.try_into().ok()?),
            Some(toml::Value::String(word)) => Value::Word(word),
            Some(_) => return None,
        };
        if !setting.kind.allows(&value) {
            return None;
        }
        setting.set(&mut policy, value);
    }
    said.is_empty().then_some(policy)
}

impl From<RefusalsTable> for Refusals {
    fn from(t: RefusalsTable) -> Self {
        let text = |text: Option<String>| text.map(|text| one_line(&text));
        Self {
            link_gone: text(t.link_gone),
            link_refused: text(t.link_refused),
            server_error: text(t.server_error),
            rate_limited: text(t.rate_limited),
            not_a_calendar: text(t.not_a_calendar),
        }
    }
}

impl From<QuirksTable> for Quirks {
    fn from(t: QuirksTable) -> Self {
        Self {
            far_past_event_when_empty: t.far_past_event_when_empty,
            end_is_last_night: t.end_is_last_night,
            import_never_cancels: t.import_never_cancels,
            whole_days_only: t.whole_days_only,
            all_day_events_default_to_free: t.all_day_events_default_to_free,
            odd_content_type: t.odd_content_type,
            carries_guest_details: t.carries_guest_details,
        }
    }
}

impl From<DetectTable> for Marks {
    fn from(t: DetectTable) -> Self {
        Self {
            urls: t.urls.into_iter().map(UrlMark::from).collect(),
            prodid_begins: t.prodid_begins,
            prodid_contains: t.prodid_contains,
        }
    }
}

impl From<UrlTable> for UrlMark {
    fn from(t: UrlTable) -> Self {
        Self {
            host: t.host,
            brand: t.brand,
            path_begins: t.path_begins,
            path_contains: t.path_contains,
            path_ends: t.path_ends,
            path_required: t.path_required,
        }
    }
}

impl From<RuleTable> for Rule {
    fn from(t: RuleTable) -> Self {
        Self {
            name: t.name,
            class: match t.class {
                ClassText::Reservation => EventClass::Reservation,
                ClassText::Closure => EventClass::Closure,
                ClassText::Tentative => EventClass::Tentative,
                ClassText::RuleClosure => EventClass::RuleClosure,
                ClassText::Ignored => EventClass::Ignored,
            },
            mark: t.mark,
            when: When {
                summary_is: Words::new(&t.when.summary_is),
                summary_begins: Words::new(&t.when.summary_begins),
                summary_has: Words::new(&t.when.summary_has),
                uid_begins: t.when.uid_begins,
                uid_ends: t.when.uid_ends,
                uid_shape: t.when.uid_shape.into_iter().map(Shape::new).collect(),
                tentative: t.when.tentative,
                has_code: t.when.has_code,
                nights_at_most: t.when.nights_at_most,
            },
        }
    }
}

impl From<CodeTable> for CodePattern {
    fn from(t: CodeTable) -> Self {
        Self {
            place: match t.place {
                PlaceText::Summary => CodePlace::Summary,
                PlaceText::Description => CodePlace::Description,
            },
            after: t.after,
            before: t.before,
            begins: t.begins,
            length: t.min_length..=t.max_length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"
        name = "X"
        help = "h"
        export_help = "e"
        limits = []
        directions = { import = true, export = true }
        tells_reservations_apart = false
    "#;

    fn reading(rest: &str) -> Result<Profile, DataError> {
        read("x", &format!("{HEAD}\n{rest}"))
    }

    #[test]
    fn a_file_with_a_word_that_nobody_knows_is_refused() {
        let always = "[[rules]]\nname = 'any'\nclass = 'closure'";
        assert!(reading(always).is_ok());
        assert!(matches!(reading(&format!("{always}\ncolour = 'red'")), Err(DataError::Toml { file: "x", .. })));
        assert!(matches!(read("x", "name = "), Err(DataError::Toml { .. })));
    }

    #[test]
    fn a_file_whose_last_rule_does_not_fit_everything_is_refused() {
        let narrow = "[[rules]]\nname = 'a'\nclass = 'closure'\nwhen = { summary_is = ['x'] }";
        assert!(matches!(reading(narrow), Err(DataError::Rule { .. })));
        let early = "[[rules]]\nname = 'any'\nclass = 'closure'\n[[rules]]\nname = 'any'\nclass = 'closure'";
        assert!(matches!(reading(early), Err(DataError::Rule { .. })));
    }

    #[test]
    fn a_rule_that_ignores_long_events_is_refused() {
        let rules = "[[rules]]\nname = 'a'\nclass = 'ignored'\nwhen = { summary_is = ['x'] }\n\
                     [[rules]]\nname = 'any'\nclass = 'closure'";
        assert!(matches!(reading(rules), Err(DataError::Rule { .. })));
    }

    #[test]
    fn a_policy_of_unknown_settings_or_out_of_range_is_refused() {
        let with = |policy: &str| reading(&format!("[policy]\n{policy}\n[[rules]]\nname = 'any'\nclass = 'closure'"));
        let read = with("aggregates = true\nhold = { minutes = 60 }\nrequired_word = 'booked'").unwrap().policy;
        assert!(read.aggregates && read.hold.minutes == 60 && read.hold.readings == 2);
        assert_eq!(read.required_word.as_deref(), Some("booked"));
        let wrong = [
            "colour = 'red'",
            "hold = { readings = 0 }",
            "hold = { days = 1 }",
            "hold = 3",
            "blocks = 1",
            "required_word = ''",
        ];
        for policy in wrong {
            assert!(matches!(with(policy), Err(DataError::Rule { .. })), "{policy}");
        }
    }

    #[test]
    fn a_closure_can_not_carry_the_mark_of_a_reservation() {
        let rules = "[[rules]]\nname = 'any'\nclass = 'closure'\nmark = true";
        assert!(matches!(reading(rules), Err(DataError::Rule { .. })));
    }

    #[test]
    fn an_id_that_comes_twice_is_refused() {
        let files = [("generic", include_str!("../data/generic.toml")); 2];
        assert!(matches!(read_all(&files), Err(DataError::Twice { id: "generic" })));
    }
}
