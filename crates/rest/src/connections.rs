//! Connections between a property and calendars elsewhere.

use axum::{extract::State, response::Response};
use calmesh_app::{
    ConnectionEdit, ConnectionError, ConnectionView, Edit, ExportView, ImportTelemetry, NewConnection, PolicyEdit,
    SideEdit, TurnedOn,
    limits::{NAME_MOST, TEXT_MOST},
    model::{Direction, ExportSide, Failure, FailureKind, FeedUrl, ImportSide, PolicyOverrides, Status},
    site_in_words,
};
use calmesh_calendar::{ConnectionId, Policy, PropertyId};
use calmesh_profiles::ProviderId;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{Fields, JsonBody, MaybeJsonBody, boolean, instant, text, word},
    caller::Owner,
    feeds::{WarningJson, feed_url},
    policy::{PolicyEditSchema, PolicyJson, policy_fields},
    problem::Problem,
    properties::{Opens, busy, or_opens},
    query::{ListPage, ListParams, Listing, NoParams, Params, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    words::{DETAILS, DIRECTIONS, DetailWord, DirectionWord, FORMATS, FormatWord, HealthWord},
};

const READ_ONLY: &[&str] = &["id", "property_id", "paused_until"];
const IMPORT_READ_ONLY: &[&str] = &[
    "health",
    "last_attempt_at",
    "last_refreshed_at",
    "waiting_since",
    "last_changed_at",
    "next_refresh_at",
    "failure",
    "blocks",
    "holds",
    "warnings",
];
const EXPORT_READ_ONLY: &[&str] = &["url", "last_changed_at", "last_read_at", "reads_24h", "note", "notice"];

/// One named link between a property and one calendar elsewhere.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection, example = json!({
    "id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "property_id": "prp_0k5w8v1x2y3z4a5b6c7d8e9f0g",
    "name": "Airbnb, whole flat", "provider": "airbnb", "direction": "bidirectional", "status": "active",
    "paused_until": null,
    "import": {
        "url": "https://www.airbnb.com/••••",
        "policy": {
            "blocks": true, "busy_only": false, "tentative_blocks": true, "rule_closures_block": true,
            "required_word": null, "aggregates": false, "hold": {"readings": 2, "minutes": 30},
            "mass_vanish": {"stays": 2, "nights_percent": 30, "readings": 3, "hours": 24},
            "echo": {"probe": true, "readings": 2, "minutes": 60}
        },
        "health": "ok", "last_attempt_at": "2026-11-01T09:30:00Z", "last_refreshed_at": "2026-11-01T09:30:00Z", "waiting_since": null,
        "last_changed_at": "2026-11-01T09:30:00Z", "next_refresh_at": "2026-11-01T09:45:00Z", "failure": null,
        "blocks": 14, "holds": 0, "warnings": []
    },
    "export": {
        "url": "https://links.example/f/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ics", "detail": "busy",
        "format": "nights", "paused": false, "last_changed_at": null, "last_read_at": null, "reads_24h": 0
    }
}))]
pub(crate) struct ConnectionJson {
    id: String,
    property_id: String,
    name: String,
    /// A profile's id; `GET /v1/providers` lists them.
    provider: String,
    direction: DirectionWord,
    status: StatusWord,
    /// When a pause ends by itself.
    #[schema(required)]
    paused_until: Option<Instant>,
    /// Null where it exports only.
    #[schema(required)]
    import: Option<ImportJson>,
    /// Null where it imports only.
    #[schema(required)]
    export: Option<ExportJson>,
}

/// Whether both sides count.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StatusWord {
    Active,
    Paused,
}

const STATUSES: &[(&str, bool)] = &[("active", false), ("paused", true)];

/// What comes in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Import)]
struct ImportJson {
    /// Scheme, host and a mask: a feed's URL is write-only.
    url: String,
    policy: PolicyJson,
    /// How well the feed could be read when it was last tried, whatever `status` says: a paused connection is not read,
    /// keeps the health that it had, and shows what is wrong with it at its first reading after the pause.
    health: HealthWord,
    #[schema(required)]
    last_attempt_at: Option<Instant>,
    /// Moves on success only.
    #[schema(required)]
    last_refreshed_at: Option<Instant>,
    /// Since when a reading that brought something new waits to be taken in; null while none does.
    #[schema(required)]
    waiting_since: Option<Instant>,
    #[schema(required)]
    last_changed_at: Option<Instant>,
    #[schema(required)]
    next_refresh_at: Option<Instant>,
    #[schema(required)]
    failure: Option<FailureJson>,
    /// Stays that it shows or that are held.
    blocks: u32,
    /// Of these, held.
    holds: u32,
    /// What of the feed could not be read or does not block, and what the host should know of it: that another property
    /// reads the same link, that this site seems not to read its own.
    warnings: Vec<WarningJson>,
}

/// A run of failed fetches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
struct FailureJson {
    #[serde(rename = "type")]
    kind: &'static str,
    detail: String,
    since: Instant,
    count: u32,
}

/// What goes out.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Export)]
struct ExportJson {
    /// The private link, to be pasted on the other site.
    url: String,
    detail: DetailWord,
    format: FormatWord,
    /// The link alone is paused: it serves an empty calendar, while the feed is read and blocks. While the connection
    /// is paused its link is empty whatever this says.
    paused: bool,
    #[schema(required)]
    last_changed_at: Option<Instant>,
    #[schema(required)]
    last_read_at: Option<Instant>,
    reads_24h: u32,
    /// In the answer to a PATCH that turned the export on: whether this is the link that it had before, or a new one that
    /// is to be pasted on the other site.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    /// What else a rotation did: there where it emptied an older link.
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<String>,
}

impl From<ConnectionView> for ConnectionJson {
    fn from(view: ConnectionView) -> Self {
        let ConnectionView { connection, policy, import, export } = view;
        let (status, paused_until) = match connection.status {
            Status::Active => (StatusWord::Active, None),
            Status::Paused { until } => (StatusWord::Paused, until.map(Instant)),
        };
        Self {
            id: connection.id.to_string(),
            property_id: connection.property.to_string(),
            name: connection.name,
            provider: connection.provider.to_string(),
            direction: connection.direction.into(),
            status,
            paused_until,
            import: connection.import.zip(import).map(|(side, telemetry)| import_json(&side, policy, telemetry)),
            export: connection.export.zip(export).map(|(side, view)| export_json(&side, view)),
        }
    }
}

fn import_json(side: &ImportSide, policy: Policy, telemetry: ImportTelemetry) -> ImportJson {
    ImportJson {
        url: side.url.masked(),
        policy: PolicyJson(policy),
        health: telemetry.health.into(),
        last_attempt_at: telemetry.last_attempt_at.map(Instant),
        last_refreshed_at: telemetry.last_refreshed_at.map(Instant),
        waiting_since: telemetry.waiting_since.map(Instant),
        last_changed_at: telemetry.last_changed_at.map(Instant),
        next_refresh_at: telemetry.next_refresh_at.map(Instant),
        failure: telemetry.failure.map(FailureJson::from),
        blocks: telemetry.blocks,
        holds: telemetry.holds,
        warnings: telemetry.warnings.into_iter().map(WarningJson::from).collect(),
    }
}

fn export_json(side: &ExportSide, view: ExportView) -> ExportJson {
    ExportJson {
        url: view.url,
        detail: side.detail.into(),
        format: side.format.into(),
        paused: side.paused,
        last_changed_at: side.last_changed_at.map(Instant),
        last_read_at: view.reads.last_read_at.map(Instant),
        reads_24h: view.reads.reads_24h,
        note: view.turned_on.map(|turned_on| match turned_on {
            TurnedOn::SameLink => {
                "This is the link that the connection had before: nothing is to be done on the other site."
            }
            TurnedOn::NewLink => "This is a new link: paste it on the other site, in place of any that is there.",
        }),
        notice: view.notice,
    }
}

impl From<Failure> for FailureJson {
    fn from(failure: Failure) -> Self {
        Self { kind: failure.kind.as_str(), detail: failure.detail, since: failure.since.into(), count: failure.count }
    }
}

or_opens!(ConnectionOrOpens, ConnectionJson);

// ---- what is written --------------------------------------------------------------------------------------------

/// A connection to be made.
#[derive(ToSchema)]
#[schema(as = NewConnection, example = json!({
    "name": "Airbnb, whole flat", "import": {"url": "https://www.airbnb.com/calendar/ical/1.ics?s=…"}
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct NewConnectionSchema {
    name: String,
    /// Found from the URL and the feed when left out.
    provider: Option<String>,
    #[schema(default = "bidirectional", nullable = false)]
    direction: Option<DirectionWord>,
    #[schema(default = "active", nullable = false)]
    status: Option<StatusWord>,
    import: Option<ImportEditSchema>,
    export: Option<ExportEditSchema>,
    /// Make it though the feed can't be read now.
    #[schema(default = false, nullable = false)]
    skip_check: Option<bool>,
}

/// What of a connection can be edited; null goes back to the default.
#[derive(ToSchema)]
#[schema(as = ConnectionEdit, example = json!({"name": "Airbnb", "import": {"policy": {"hold": {"minutes": 60}}}}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ConnectionEditSchema {
    #[schema(nullable = false)]
    name: Option<String>,
    provider: Option<String>,
    #[schema(nullable = false)]
    direction: Option<DirectionWord>,
    #[schema(nullable = false)]
    status: Option<StatusWord>,
    import: Option<ImportEditSchema>,
    export: Option<ExportEditSchema>,
    /// Take a new URL though its feed can't be read now.
    #[schema(default = false, nullable = false)]
    skip_check: Option<bool>,
}

#[derive(ToSchema)]
#[schema(as = ImportEdit)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ImportEditSchema {
    /// The calendar link of the other site: `https`, `http` or `webcal`.
    #[schema(nullable = false)]
    url: Option<String>,
    policy: Option<PolicyEditSchema>,
}

#[derive(ToSchema)]
#[schema(as = ExportEdit)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct ExportEditSchema {
    detail: Option<DetailWord>,
    format: Option<FormatWord>,
    /// `true` empties the link alone; `false` fills the same link again.
    paused: Option<bool>,
}

/// Until when to pause.
#[derive(ToSchema)]
#[schema(as = Pause, example = json!({"until": "2026-12-04T10:00:00Z"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct PauseSchema {
    /// It resumes by itself then; without it, when it is resumed.
    until: Option<String>,
}

#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct RevokeParams {
    /// `now` empties the old link at once; without it, it is served and kept up to date for 7 days.
    revoke: Option<String>,
}

/// What was said of the import side.
#[derive(Debug, Default)]
struct ImportFields {
    url: Option<FeedUrl>,
    policy: PolicyEdit,
}

fn import_fields(fields: &mut Fields) -> ImportFields {
    fields.read_only(IMPORT_READ_ONLY);
    let url = fields.optional("url", feed_url);
    let policy = match fields.object("policy", policy_fields) {
        Edit::Keep => PolicyEdit::default(),
        Edit::Reset => PolicyEdit { reset: true, ..PolicyEdit::default() },
        Edit::To(policy) => policy,
    };
    ImportFields { url, policy }
}

/// What was said of the export side.
#[derive(Debug, Default)]
struct ExportFields {
    detail: Edit<calmesh_app::model::Detail>,
    format: Edit<calmesh_app::model::Format>,
    paused: Edit<bool>,
}

fn export_fields(fields: &mut Fields) -> ExportFields {
    fields.read_only(EXPORT_READ_ONLY);
    ExportFields {
        detail: fields.edit("detail", word(DETAILS)),
        format: fields.edit("format", word(FORMATS)),
        paused: fields.edit("paused", boolean),
    }
}

fn side<T: Default>(object: Edit<T>) -> (SideEdit, T) {
    match object {
        Edit::Keep => (SideEdit::Keep, T::default()),
        Edit::Reset => (SideEdit::Drop, T::default()),
        Edit::To(fields) => (SideEdit::Touch, fields),
    }
}

/// The id of a provider.
fn provider(value: &Value) -> Result<ProviderId, String> {
    let unknown = || "is not known; GET /v1/providers lists them, and generic fits any calendar link".to_owned();
    text(TEXT_MOST)(value)?.parse().map_err(|_| unknown())
}

/// A value to be set; none for the default.
fn set<T>(edit: Edit<T>) -> Option<T> {
    match edit {
        Edit::To(value) => Some(value),
        Edit::Keep | Edit::Reset => None,
    }
}

impl From<ConnectionError> for Problem {
    fn from(error: ConnectionError) -> Self {
        const URL: &str = "/import/url";
        match error {
            ConnectionError::NotFound => Self::not_found("connection or property"),
            ConnectionError::Outdated => Self::stale(),
            ConnectionError::Invalid(fields) => Self::invalid_fields(fields),
            ConnectionError::UrlTaken(id, site) => Self::conflict(format!(
                "The connection \"{}\" ({id}) of this property reads this URL already. Change that one, or paste another URL.",
                site_in_words(&site)
            ))
            .slug("url-taken")
            .with("connection_id", id.as_str()),
            ConnectionError::OwnLink => {
                let detail = "This is a private link of your own account, which is pasted on the other site. Paste the \
                    other site's calendar link here.";
                Self::invalid_field(URL, detail).saying(detail).slug("own-link")
            }
            ConnectionError::ProviderRefused { provider, detail, field } => {
                Self::invalid_field(&format!("/{field}"), detail.clone())
                    .saying(detail)
                    .slug("provider-refused")
                    .with("provider", provider.as_str())
            }
            ConnectionError::AddressRefused { detail } => {
                let problem = json!({"type": FailureKind::AddressRefused.as_str(), "detail": detail});
                Self::invalid_field(URL, detail.clone()).saying(detail).slug("address-refused").with("problem", problem)
            }
            ConnectionError::Unusable { kind, detail } => {
                let problem = json!({"type": kind.as_str(), "detail": detail});
                let mut said = detail.clone();
                // What is no calendar now will be none later: a connection of it would only never read anything.
                if kind.may_pass() {
                    said.push_str(" To make the connection all the same, send \"skip_check\": true.");
                }
                Self::invalid_field(URL, detail).saying(said).slug("feed-unusable").with("problem", problem)
            }
            ConnectionError::NoLink => Self::conflict(
                "The connection only imports and has no private link. Set its direction to bidirectional to get one.",
            )
            .slug("no-link"),
            ConnectionError::Busy => busy(),
            ConnectionError::TooMany(refused) => refused.into(),
            ConnectionError::Object(error) => Self::unavailable(&error),
            ConnectionError::Full(full) => full.into(),
            ConnectionError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, create, show, edit, delete, pause, resume, rotate)
}

fn single(view: ConnectionView) -> Response {
    answer::single(view.connection.version, ConnectionJson::from(view))
}

/// The connections of a property, in order of creation.
#[utoipa::path(get, path = "/v1/properties/{id}/connections", tag = "connections", operation_id = "list_connections",
    params(("id" = String, Path, description = "`prp_…`"), ListParams),
    responses((status = 200, description = "One page.", body = ListPage<ConnectionJson>)))]
async fn list(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    listing: Listing,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let page = api.desk.list_connections(owner.reach(), &property, listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, ConnectionJson::from)))
}

/// Makes a connection. Its feed is read first, and what it says blocks from the answer on.
#[utoipa::path(post, path = "/v1/properties/{id}/connections", tag = "connections",
    operation_id = "create_connection", params(("id" = String, Path, description = "`prp_…`")),
    request_body = NewConnectionSchema,
    responses((status = 201, description = "Made.", body = ConnectionJson,
        headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "For If-Match.")))))]
async fn create(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.required("name", text(NAME_MOST));
    let provider = fields.nullable("provider", provider);
    let direction = fields.optional("direction", word(DIRECTIONS)).unwrap_or(Direction::Bidirectional);
    let paused = fields.optional("status", word(STATUSES)).unwrap_or_default();
    let (import_side, import) = side(fields.object("import", import_fields));
    let (export_side, export) = side(fields.object("export", export_fields));
    let skip_check = fields.optional("skip_check", boolean).unwrap_or_default();
    let new = fields.finish(|| {
        Some(NewConnection {
            name: name?,
            provider,
            direction,
            paused,
            url: import.url,
            policy: import.policy.over(&PolicyOverrides::default()),
            has_import: import_side == SideEdit::Touch,
            detail: set(export.detail),
            format: set(export.format),
            export_paused: set(export.paused).unwrap_or_default(),
            has_export: export_side == SideEdit::Touch,
            skip_check,
        })
    })?;
    let view = api.desk.create_connection(owner.reach(), &property, &new).await?;
    let location = format!("/v1/connections/{}", view.connection.id);
    Ok(answer::created(&location, Some(view.connection.version), ConnectionJson::from(view)))
}

/// A connection.
#[utoipa::path(get, path = "/v1/connections/{id}", tag = "connections", operation_id = "get_connection",
    params(("id" = String, Path, description = "`con_…`")),
    responses((status = 200, description = "The connection.", body = ConnectionJson,
        headers(("ETag" = String, description = "For If-Match; telemetry does not change it.")))))]
async fn show(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    _: NoParams,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    Ok(single(api.desk.connection(owner.reach(), &id).await?))
}

/// Changes a connection. A new URL is read first, and what only the calendar before showed goes with it, unless the new
/// one is empty (then it is held) or the same calendar at another address; a change of the policy judges what was read last
/// anew at once. With `preview`, says which nights that would open.
#[utoipa::path(patch, path = "/v1/connections/{id}", tag = "connections", operation_id = "edit_connection",
    params(("id" = String, Path, description = "`con_…`"), PreviewParams),
    request_body(content = ConnectionEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The connection as it now is; or what a preview says.",
        body = ConnectionOrOpens,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.optional("name", text(NAME_MOST));
    let provider = fields.edit("provider", provider);
    let direction = fields.optional("direction", word(DIRECTIONS));
    let paused = fields.optional("status", word(STATUSES));
    let (import, ImportFields { url, policy }) = side(fields.object("import", import_fields));
    let (export, ExportFields { detail, format, paused: export_paused }) = side(fields.object("export", export_fields));
    let skip_check = fields.optional("skip_check", boolean).unwrap_or_default();
    let edit = ConnectionEdit {
        name,
        provider,
        direction,
        paused,
        url,
        policy,
        import,
        detail,
        format,
        export_paused,
        export,
        skip_check,
    };
    let edit = fields.finish(|| Some(edit))?;
    if preview {
        let opens = api.desk.preview_connection_edit(owner.reach(), &id, &edit, &expected).await?;
        return Ok(Opens::answer(&opens));
    }
    Ok(single(api.desk.edit_connection(owner.reach(), &id, &edit, &expected).await?))
}

/// Deletes a connection: its blocks go, and its link serves an empty calendar for a week. With `preview`, says which
/// nights that would open.
#[utoipa::path(delete, path = "/v1/connections/{id}", tag = "connections", operation_id = "delete_connection",
    params(("id" = String, Path, description = "`con_…`"), PreviewParams),
    responses((status = 204, description = "Deleted."),
        (status = 200, description = "What a preview says.", body = Opens)))]
async fn delete(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    if preview {
        let opens = api.desk.preview_connection_deletion(owner.reach(), &id, &expected).await?;
        return Ok(Opens::answer(&opens));
    }
    api.desk.delete_connection(owner.reach(), &id, &expected).await?;
    Ok(answer::gone())
}

/// Pauses both directions: its stays stop blocking, its link serves an empty calendar. With `preview`, says which
/// nights that would open.
#[utoipa::path(post, path = "/v1/connections/{id}/pause", tag = "connections", operation_id = "pause_connection",
    params(("id" = String, Path, description = "`con_…`"), PreviewParams), request_body = Option<PauseSchema>,
    responses((status = 200, description = "The connection, paused; or what a preview says.",
        body = ConnectionOrOpens)))]
async fn pause(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    Preview(preview): Preview,
    State(api): State<Api>,
    MaybeJsonBody(mut fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    let until = fields.nullable("until", instant);
    let until = fields.finish(|| Some(until))?;
    if preview {
        let opens = api.desk.preview_pause(owner.reach(), &id, until).await?;
        return Ok(Opens::answer(&opens));
    }
    Ok(single(api.desk.pause_connection(owner.reach(), &id, until).await?))
}

/// Resumes a paused connection and refreshes it at once.
#[utoipa::path(post, path = "/v1/connections/{id}/resume", tag = "connections", operation_id = "resume_connection",
    params(("id" = String, Path, description = "`con_…`")),
    responses((status = 200, description = "The connection, active.", body = ConnectionJson)))]
async fn resume(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    _: NoParams,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    fields.finish(|| Some(()))?;
    Ok(single(api.desk.resume_connection(owner.reach(), &id).await?))
}

/// Gives the connection a new private link. With `preview`, says which nights that would open: with `revoke`, its site
/// reads an empty link until the new one is set there.
#[utoipa::path(post, path = "/v1/connections/{id}/rotate-link", tag = "connections", operation_id = "rotate_link",
    params(("id" = String, Path, description = "`con_…`"), PreviewParams, RevokeParams),
    responses((status = 200, description = "The connection with its new link; or what a preview says.",
        body = ConnectionOrOpens)))]
async fn rotate(
    owner: Owner,
    PathId(id): PathId<ConnectionId>,
    mut params: Params,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    let revoke = params.optional("revoke", |text| if text == "now" { Ok(true) } else { Err("must be now".to_owned()) });
    let preview = params.flag("preview");
    let revoke = params.finish(|| Some(revoke.unwrap_or_default()))?;
    fields.finish(|| Some(()))?;
    if preview {
        return Ok(Opens::answer(&api.desk.preview_rotation(owner.reach(), &id, revoke).await?));
    }
    Ok(single(api.desk.rotate_link(owner.reach(), &id, revoke).await?))
}

#[cfg(test)]
mod tests;
