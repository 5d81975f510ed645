//! What of a feed blocks, and how much evidence a removal needs (SAFETY.md). Every value is resolved: the
//! profile's default with the connection's own settings on top.
//!
//! [`GROUPS`] is the table of all settings. Whoever shows, reads, keeps or describes a policy goes through it and names
//! none of them: one setting more is a field, its default, a row, and what asks for its meaning.

use std::fmt;

/// How a connection's feed is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Off: the calendar's events are shown to the host and block nothing.
    pub blocks: bool,
    /// Transparent and free events are dropped.
    pub busy_only: bool,
    pub tentative_blocks: bool,
    pub rule_closures_block: bool,
    /// Only events with this word anywhere in their summary count, in any case.
    pub required_word: Option<String>,
    /// The feed repeats stays of other connections (a master feed).
    pub aggregates: bool,
    pub hold: HoldPolicy,
    pub mass_vanish: MassVanishPolicy,
    pub echo: EchoPolicy,
}

/// When the absence of one stay is believed: both the readings and the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldPolicy {
    pub readings: u32,
    pub minutes: u32,
}

/// What counts as a mass vanish, and when that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MassVanishPolicy {
    pub stays: u32,
    pub nights_percent: u32,
    pub readings: u32,
    pub hours: u32,
}

/// How echoes are asked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoPolicy {
    pub probe: bool,
    pub readings: u32,
    pub minutes: u32,
}

impl Default for Policy {
    /// The numbers of SAFETY.md, which hold for every provider whose file says nothing else.
    fn default() -> Self {
        Self {
            blocks: true,
            busy_only: false,
            tentative_blocks: true,
            rule_closures_block: true,
            required_word: None,
            aggregates: false,
            hold: HoldPolicy::default(),
            mass_vanish: MassVanishPolicy::default(),
            echo: EchoPolicy::default(),
        }
    }
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self { readings: 2, minutes: 30 }
    }
}

impl Default for MassVanishPolicy {
    fn default() -> Self {
        Self { stays: 2, nights_percent: 30, readings: 3, hours: 24 }
    }
}

impl Default for EchoPolicy {
    fn default() -> Self {
        Self { probe: true, readings: 2, minutes: 60 }
    }
}

/// What one setting is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Flag(bool),
    Figure(u32),
    Word(String),
}

/// What a setting may be set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Flag,
    /// From one figure to another, both included.
    Figure {
        least: u32,
        most: u32,
    },
    /// A text that is not empty; a policy may have none.
    Word {
        /// In characters.
        most: usize,
    },
}

impl Kind {
    /// Whether a setting of this kind can have this value.
    #[must_use]
    pub fn allows(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Flag, Value::Flag(_)) => true,
            (Self::Figure { least, most }, Value::Figure(figure)) => (least..=most).contains(figure),
            (Self::Word { most }, Value::Word(word)) => (1..=most).contains(&word.chars().count()),
            _ => false,
        }
    }
}

/// A setting: its name, what it may be set to, and where it stands in a policy.
pub struct Setting {
    /// Its group and its name, joined by `/`: `hold/minutes`. Unique and stable.
    pub path: &'static str,
    pub kind: Kind,
    /// What it means; empty where its name says it.
    pub about: &'static str,
    get: fn(&Policy) -> Option<Value>,
    set: fn(&mut Policy, Value),
}

/// Settings that lie in one object.
#[derive(Debug)]
pub struct Group {
    /// None for those that lie in the policy itself.
    pub name: Option<&'static str>,
    pub settings: &'static [Setting],
}

macro_rules! setting {
    ($part:ident $(. $name:ident)?: $kind:expr $(, $about:literal)?) => {
        Setting {
            path: concat!(stringify!($part) $(, "/", stringify!($name))?),
            kind: $kind,
            about: concat!($($about)?),
            get: |policy| policy.$part $(. $name)?.value(),
            set: |policy, value| policy.$part $(. $name)?.be(value),
        }
    };
}

const READINGS: Kind = Kind::Figure { least: 1, most: 100 };
const MINUTES_OF_A_WEEK: Kind = Kind::Figure { least: 0, most: 7 * 24 * 60 };
const HOURS_OF_A_MONTH: Kind = Kind::Figure { least: 0, most: 31 * 24 };

/// Every setting, in the order in which they are shown.
pub static GROUPS: [Group; 4] = [
    Group {
        name: None,
        settings: &[
            setting!(blocks: Kind::Flag, "False shows the events to the host without blocking by them."),
            setting!(busy_only: Kind::Flag, "Drop events that are marked as free."),
            setting!(tentative_blocks: Kind::Flag),
            setting!(rule_closures_block: Kind::Flag),
            setting!(
                required_word: Kind::Word { most: 100 },
                "Only events whose summary says this word count: in any case, and not as a part of a longer word \
                 (`booked` is said\nby \"Booked (Anna)\" and not by \"overbooked\"). Several words count as they stand."
            ),
            setting!(aggregates: Kind::Flag, "The feed repeats stays of other connections."),
        ],
    },
    Group {
        name: Some("hold"),
        settings: &[setting!(hold.readings: READINGS), setting!(hold.minutes: MINUTES_OF_A_WEEK)],
    },
    Group {
        name: Some("mass_vanish"),
        settings: &[
            setting!(mass_vanish.stays: Kind::Figure { least: 1, most: 10_000 }),
            setting!(mass_vanish.nights_percent: Kind::Figure { least: 0, most: 100 }),
            setting!(mass_vanish.readings: READINGS),
            setting!(mass_vanish.hours: HOURS_OF_A_MONTH),
        ],
    },
    Group {
        name: Some("echo"),
        settings: &[
            setting!(echo.probe: Kind::Flag),
            setting!(echo.readings: READINGS),
            setting!(echo.minutes: MINUTES_OF_A_WEEK),
        ],
    },
];

/// Every setting, whatever group it lies in.
pub fn settings() -> impl Iterator<Item = &'static Setting> {
    GROUPS.iter().flat_map(|group| group.settings)
}

impl Setting {
    /// Its name within its group.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// What it is set to in a policy; none for a word that nothing must say.
    #[must_use]
    pub fn get(&self, policy: &Policy) -> Option<Value> {
        (self.get)(policy)
    }

    /// Sets it in a policy. A value of another kind changes nothing.
    pub fn set(&self, policy: &mut Policy, value: Value) {
        (self.set)(policy, value);
    }
}

impl PartialEq for Setting {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Setting {}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path)
    }
}

/// A field of a policy, of the kind that its setting says.
trait Field {
    fn value(&self) -> Option<Value>;
    fn be(&mut self, value: Value);
}

impl Field for bool {
    fn value(&self) -> Option<Value> {
        Some(Value::Flag(*self))
    }

    fn be(&mut self, value: Value) {
        if let Value::Flag(flag) = value {
            *self = flag;
        }
    }
}

impl Field for u32 {
    fn value(&self) -> Option<Value> {
        Some(Value::Figure(*self))
    }

    fn be(&mut self, value: Value) {
        if let Value::Figure(figure) = value {
            *self = figure;
        }
    }
}

impl Field for Option<String> {
    fn value(&self) -> Option<Value> {
        self.clone().map(Value::Word)
    }

    fn be(&mut self, value: Value) {
        if let Value::Word(word) = value {
            *self = Some(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn another(setting: &Setting) -> Value {
        match (setting.kind, setting.get(&Policy::default())) {
            (_, Some(Value::Flag(flag))) => Value::Flag(!flag),
            (Kind::Figure { least, most }, Some(Value::Figure(figure))) => {
                Value::Figure(if figure == most { least } else { most })
            }
            (Kind::Word { .. }, None) => Value::Word("word".to_owned()),
            other => panic!("{setting:?} is of another kind than its field: {other:?}"),
        }
    }

    #[test]
    fn a_setting_sets_its_own_field_and_no_other() {
        for setting in settings() {
            let mut policy = Policy::default();
            setting.set(&mut policy, another(setting));
            assert_eq!(setting.get(&policy), Some(another(setting)), "{setting:?}");
            for other in settings().filter(|other| *other != setting) {
                assert_eq!(other.get(&policy), other.get(&Policy::default()), "{setting:?} sets {other:?}");
            }
        }
    }

    #[test]
    fn every_field_of_a_policy_is_a_setting() {
        // `Policy { blocks: true, …, hold: HoldPolicy { readings: 2, …`: a field that opens an object is a group.
        let fields = format!("{:?}", Policy::default()).matches(": ").count();
        let groups = GROUPS.iter().filter(|group| group.name.is_some()).count();
        let paths: BTreeSet<&str> = settings().map(|setting| setting.path).collect();
        assert_eq!(paths.len() + groups, fields, "{paths:?}");
        for group in &GROUPS {
            for setting in group.settings {
                let prefix = group.name.map(|name| format!("{name}/")).unwrap_or_default();
                assert_eq!(format!("{prefix}{}", setting.name()), setting.path);
            }
        }
    }

    #[test]
    fn every_default_is_in_its_range_and_a_value_of_another_kind_is_not() {
        let policy = Policy::default();
        for setting in settings() {
            assert!(setting.get(&policy).is_none_or(|value| setting.kind.allows(&value)), "{setting:?}");
            let others = [Value::Flag(true), Value::Figure(1), Value::Word("word".to_owned())];
            assert_eq!(others.iter().filter(|value| setting.kind.allows(value)).count(), 1, "{setting:?}");
        }
        let figure = Kind::Figure { least: 1, most: 100 };
        let allowed = [0, 1, 100, 101].map(|number| figure.allows(&Value::Figure(number)));
        assert_eq!(allowed, [false, true, true, false]);
        let word = Kind::Word { most: 2 };
        let allowed = ["", "ä", "ää", "äää"].map(|text| word.allows(&Value::Word(text.to_owned())));
        assert_eq!(allowed, [false, true, true, false]);
    }
}
