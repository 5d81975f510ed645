//! Links and whose they are as JSON.

use std::collections::BTreeSet;

use calmesh_app::model::{
    Detail, Dirty, ExtraLink, Format, LinkOwner, LinkScope, LinkToken, Provider, RetiringLink, RetiringServes,
    StoppedExport,
};
use calmesh_calendar::{AccountId, ConnectionId, LinkId, PropertyId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    settings::{DetailDoc, FormatDoc},
    values::{link_token, properties, text, text_option},
};

optional! {
    stopped_option: StoppedExport, "StoppedExportDoc";
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetiringLink")]
pub(super) struct RetiringLinkDoc {
    #[serde(with = "link_token")]
    token: LinkToken,
    #[serde(with = "RetiringServesDoc")]
    serves: RetiringServes,
    #[serde(with = "text")]
    until: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetiringServes", rename_all = "snake_case")]
pub(super) enum RetiringServesDoc {
    Empty {
        #[serde(with = "text")]
        provider: Provider,
    },
    Current {
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Stopped {
        #[serde(with = "text")]
        connection: ConnectionId,
        #[serde(with = "text")]
        provider: Provider,
        #[serde(with = "stopped_option", default, skip_serializing_if = "Option::is_none")]
        was: Option<StoppedExport>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "StoppedExport")]
pub(super) struct StoppedExportDoc {
    #[serde(with = "DetailDoc")]
    detail: Detail,
    #[serde(with = "FormatDoc")]
    format: Format,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    recorded_since: Option<Timestamp>,
}

/// Revision, mark and the time of the last change are attributes, not part of the document.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ExtraLink")]
pub(super) struct ExtraLinkDoc {
    #[serde(with = "text")]
    id: LinkId,
    #[serde(with = "text")]
    account: AccountId,
    name: String,
    #[serde(with = "LinkScopeDoc")]
    scope: LinkScope,
    #[serde(with = "DetailDoc")]
    detail: Detail,
    #[serde(with = "FormatDoc")]
    format: Format,
    #[serde(with = "link_token")]
    token: LinkToken,
    #[serde(with = "text")]
    created_at: Timestamp,
    #[serde(skip)]
    last_changed_at: Option<Timestamp>,
    version: u64,
    #[serde(skip)]
    revision: u64,
    #[serde(skip)]
    dirty: Option<Dirty>,
    #[serde(with = "text_option", default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LinkScope", rename_all = "snake_case")]
pub(super) enum LinkScopeDoc {
    All,
    Properties(#[serde(with = "properties")] BTreeSet<PropertyId>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LinkOwner", rename_all = "snake_case")]
pub(super) enum LinkOwnerDoc {
    Connection {
        #[serde(with = "text")]
        account: AccountId,
        #[serde(with = "text")]
        property: PropertyId,
        #[serde(with = "text")]
        connection: ConnectionId,
    },
    Link {
        #[serde(with = "text")]
        account: AccountId,
        #[serde(with = "text")]
        link: LinkId,
    },
}
