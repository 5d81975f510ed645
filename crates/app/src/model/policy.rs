//! A connection's own settings of how its feed is judged, whatever settings there are.

use calmesh_calendar::{
    Policy,
    policy::{Setting, Value, settings},
};

/// A connection's own settings; what is not set follows its profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyOverrides(Vec<(&'static Setting, Value)>);

impl PolicyOverrides {
    /// Those for which `said` has a value.
    #[must_use]
    pub fn of(mut said: impl FnMut(&'static Setting) -> Option<Value>) -> Self {
        Self(settings().filter_map(|setting| Some((setting, said(setting)?))).collect())
    }

    /// In the order of the table of settings.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Setting, &Value)> {
        self.0.iter().map(|(setting, value)| (*setting, value))
    }

    #[must_use]
    pub fn get(&self, setting: &Setting) -> Option<&Value> {
        self.iter().find(|(set, _)| *set == setting).map(|(_, value)| value)
    }

    /// The policy in force: these settings over a profile's defaults.
    #[must_use]
    pub fn resolve(&self, defaults: &Policy) -> Policy {
        let mut policy = defaults.clone();
        for (setting, value) in self.iter() {
            setting.set(&mut policy, value.clone());
        }
        policy
    }
}
