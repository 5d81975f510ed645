//! Connections: made, shown, edited, paused, resumed, given a new link, deleted (`deeds`).
//!
//! What a URL brings is fetched and read before a change is decided; the decision itself is pure, runs anew when
//! somebody else changed the property in between, and is the same for a preview (`decide`).

pub(crate) mod decide;
pub(crate) mod deeds;

use calmesh_calendar::{
    ConnectionId, Policy,
    policy::{Setting, Value},
};
use calmesh_profiles::ProviderId;

use crate::{
    changes::ChangeRefusal,
    desk::{
        check::Unseen,
        edit::{Edit, InvalidField},
        telemetry::ImportTelemetry,
    },
    limits::Full,
    model::{Connection, Detail, Direction, FailureKind, FeedUrl, Format, LinkReads, PolicyOverrides, Site},
    ports::{FetchFailure, ObjectError, StoreError},
    traffic::TooMany,
};

/// A connection to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConnection {
    pub name: String,
    /// None: found from the URL and the feed.
    pub provider: Option<ProviderId>,
    pub direction: Direction,
    pub paused: bool,
    pub url: Option<FeedUrl>,
    pub policy: PolicyOverrides,
    /// Something was said of the import side, be it empty.
    pub has_import: bool,
    /// None: the account's default.
    pub detail: Option<Detail>,
    pub format: Option<Format>,
    /// The link alone is paused.
    pub export_paused: bool,
    /// Something was said of the export side, be it empty.
    pub has_export: bool,
    /// Make it though the feed can't be read now.
    pub skip_check: bool,
}

/// What an edit changes; what is not mentioned stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionEdit {
    pub name: Option<String>,
    /// Back to the default is what the URL and the feed say.
    pub provider: Edit<ProviderId>,
    pub direction: Option<Direction>,
    pub paused: Option<bool>,
    pub url: Option<FeedUrl>,
    pub policy: PolicyEdit,
    /// What was said of the import side as a whole.
    pub import: SideEdit,
    pub detail: Edit<Detail>,
    pub format: Edit<Format>,
    /// Whether the link alone is paused; back to the default is that it is not.
    pub export_paused: Edit<bool>,
    /// What was said of the export side as a whole.
    pub export: SideEdit,
    pub skip_check: bool,
}

/// What an edit says of one side as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SideEdit {
    #[default]
    Keep,
    /// It shall not be there.
    Drop,
    /// Something in it is set.
    Touch,
}

/// What an edit changes of a policy; back to the default is the profile's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyEdit {
    /// Everything goes back to the profile's before the rest is set.
    pub reset: bool,
    /// What is not among them stays.
    pub settings: Vec<(&'static Setting, Edit<Value>)>,
}

impl PolicyEdit {
    /// The settings after the edit.
    #[must_use]
    pub fn over(&self, present: &PolicyOverrides) -> PolicyOverrides {
        PolicyOverrides::of(|setting| {
            let present = if self.reset { None } else { present.get(setting).cloned() };
            let edit = self.settings.iter().find(|(edited, _)| *edited == setting);
            edit.map_or(present.clone(), |(_, edit)| edit.over_option(present))
        })
    }
}

/// A connection as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionView {
    pub connection: Connection,
    /// As it is in force: the profile's defaults with the connection's own settings on top.
    pub policy: Policy,
    /// There exactly while it imports.
    pub import: Option<ImportTelemetry>,
    /// There exactly while it exports.
    pub export: Option<ExportView>,
}

/// What of a private link is told beside its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportView {
    /// A secret: for the host's eyes only.
    pub url: String,
    pub reads: LinkReads,
    /// What the edit that this answers did to the link; none where it left it alone.
    pub turned_on: Option<TurnedOn>,
    /// What else a rotation did, in a sentence.
    pub notice: Option<String>,
}

/// What became of a connection's link when its export was turned on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnedOn {
    /// The link that it had before, which the site may still read.
    SameLink,
    /// A link that is to be pasted on the other site.
    NewLink,
}

/// Why a connection was not made, shown, edited or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// Unknown, gone, or not the caller's.
    #[error("no such connection or property")]
    NotFound,
    #[error("the connection is not the one that was read")]
    Outdated,
    #[error("a field is not valid")]
    Invalid(Vec<InvalidField>),
    /// A connection of the property has this URL.
    #[error("{0} has this URL already")]
    UrlTaken(ConnectionId, Site),
    /// The URL is one of the account's own private links.
    #[error("the URL is a private link of this account")]
    OwnLink,
    /// This deployment refuses the provider over iCalendar.
    #[error("{detail}")]
    ProviderRefused {
        provider: ProviderId,
        detail: String,
        /// What gave the provider away.
        field: &'static str,
    },
    /// Nothing is read from such an address, now or later. `detail` says what would be.
    #[error("{detail}")]
    AddressRefused { detail: String },
    /// The feed was fetched and can't be used. `detail` says why and what to do.
    #[error("{detail}")]
    Unusable { kind: FailureKind, detail: String },
    /// It exports nothing, so there is no link.
    #[error("the connection has no private link")]
    NoLink,
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// The property kept changing under the decision; ask again.
    #[error("the property keeps changing")]
    Busy,
    /// New feeds are looked at too often.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ChangeRefusal for ConnectionError {
    fn not_found() -> Self {
        Self::NotFound
    }
}

impl From<Unseen> for ConnectionError {
    fn from(unseen: Unseen) -> Self {
        match unseen {
            Unseen::Failed(failure) => failure.into(),
            Unseen::TooMany(refused) => refused.into(),
            Unseen::Store(error) => error.into(),
        }
    }
}

impl From<FetchFailure> for ConnectionError {
    fn from(failure: FetchFailure) -> Self {
        if failure.kind == FailureKind::AddressRefused {
            return Self::AddressRefused { detail: failure.detail };
        }
        Self::Unusable { kind: failure.kind, detail: failure.detail }
    }
}
