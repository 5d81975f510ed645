//! Blocks: what is taken, and the host's own.

use axum::{
    extract::{OriginalUri, State},
    response::Response,
};
use calmesh_app::{
    BlockEdit, BlockError, BlockSource, BlockView, NewBlock, Pruning, StayApart, limits::SUMMARY_MOST, site_in_words,
    span_in_words, stay_in_words,
};
use calmesh_calendar::{BlockId, NAMED_MOST, PropertyId};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{JsonBody, MaybeJsonBody, boolean, id, text, word},
    caller::Owner,
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, NoParams, Params, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    when::{when_of, written_span},
    words::{KindWord, OWN_KINDS, OwnKindWord, StateWord},
};

const READ_ONLY: &[&str] =
    &["id", "property_id", "source", "label", "state", "covered_by", "notice", "first_seen_at", "changed_at"];

/// One taken half-open interval of a property.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Block, example = json!({
    "id": "blk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "property_id": "prp_0k5w8v1x2y3z4a5b6c7d8e9f0g", "kind": "reservation",
    "start": "2026-12-04", "end": "2026-12-07",
    "source": {"type": "connection", "connection_id": "con_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Airbnb, whole flat",
        "provider": "airbnb"},
    "label": "EX-Airbnb, whole flat", "summary": "Reserved", "extends": null, "state": "standing",
    "covered_by": [], "notice": null, "first_seen_at": "2026-11-01T09:30:00Z", "changed_at": "2026-11-01T09:30:00Z"
}))]
pub(crate) struct BlockJson {
    id: String,
    property_id: String,
    kind: KindWord,
    /// A night, or a local date-time.
    start: String,
    /// As `start`; not included.
    end: String,
    source: Source,
    /// Label prefix and the connection's name; null for the host's own.
    #[schema(required)]
    label: Option<String>,
    /// An imported one is for the host's eyes only; null where there is none.
    #[schema(required)]
    summary: Option<String>,
    /// The stay that this own block extends.
    #[schema(required)]
    extends: Option<String>,
    state: StateWord,
    /// Imported stays that cover this own block wholly; the first 16 of them.
    covered_by: Vec<String>,
    /// What the host should know of it: that the stay which it extends has gone, or was moved away.
    #[schema(required)]
    notice: Option<String>,
    first_seen_at: Instant,
    changed_at: Instant,
}

/// Where a block comes from.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source {
    Own,
    Connection { connection_id: String, name: String, provider: String },
}

impl From<BlockSource> for Source {
    fn from(source: BlockSource) -> Self {
        match source {
            BlockSource::Own => Self::Own,
            BlockSource::Connection { connection, name, provider } => {
                let provider = provider.map(|provider| provider.to_string()).unwrap_or_default();
                Self::Connection { connection_id: connection.to_string(), name, provider }
            }
        }
    }
}

impl From<BlockView> for BlockJson {
    fn from(view: BlockView) -> Self {
        let (start, end) = written_span(view.span);
        let notice = view.apart.as_ref().map(|stay| notice(stay, &view.block.id));
        Self {
            id: view.block.id.to_string(),
            property_id: view.property.to_string(),
            kind: view.block.kind.into(),
            start,
            end,
            source: view.source.into(),
            label: view.label,
            extends: view.block.extends().map(ToString::to_string),
            summary: Some(view.block.summary).filter(|summary| !summary.is_empty()),
            state: view.state.into(),
            covered_by: texts(&view.covered_by),
            notice,
            first_seen_at: view.block.first_seen_at.into(),
            changed_at: view.block.changed_at.into(),
        }
    }
}

/// What became of the stay that a block extends, and how to remove the block.
fn notice(stay: &StayApart, block: &BlockId) -> String {
    let what = if stay.gone { "has gone" } else { "was moved away from it" };
    let site = stay.site.as_ref().map(|site| format!("{}, ", site_in_words(site))).unwrap_or_default();
    format!(
        "The stay that this block extends {what}: {site}{}. If nobody needs this block any more, remove it with DELETE \
         /v1/blocks/{block}.",
        span_in_words(stay.span)
    )
}

/// The ids of what an answer names for one thing, at most as many as the domain names.
pub(crate) fn texts(ids: &[BlockId]) -> Vec<String> {
    ids.iter().take(NAMED_MOST).map(ToString::to_string).collect()
}

/// A block of the host's own to be made.
#[derive(ToSchema)]
#[schema(as = NewBlock, example = json!({
    "kind": "reservation", "start": "2026-12-04", "end": "2026-12-07", "summary": "By telephone"
}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct NewBlockSchema {
    kind: OwnKindWord,
    /// A night, or a local date-time.
    start: String,
    /// In the form of `start`; not included.
    end: String,
    summary: Option<String>,
    /// A block of the property that this one extends; it is never in the way.
    extends: Option<String>,
    /// Make it though something is in the way.
    #[schema(default = false, nullable = false)]
    force: Option<bool>,
}

/// What of an own block can be edited.
#[derive(ToSchema)]
#[schema(as = BlockEdit, example = json!({"end": "2026-12-08"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct BlockEditSchema {
    #[schema(nullable = false)]
    kind: Option<OwnKindWord>,
    #[schema(nullable = false)]
    start: Option<String>,
    #[schema(nullable = false)]
    end: Option<String>,
    summary: Option<String>,
    extends: Option<String>,
    #[schema(default = false, nullable = false)]
    force: Option<bool>,
}

/// What was, or would be, pruned.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"removed": ["blk_0k5w8v1x2y3z4a5b6c7d8e9f0g"], "opens": [], "opens_at_site": {}}))]
pub(crate) struct Pruned {
    /// The host's own blocks that an imported stay covers.
    removed: Vec<String>,
    #[serde(flatten)]
    openings: Opens,
}

/// The parameters of the list, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used")]
struct BlockParams {
    /// `all` lists also echoes, what may be one beside the stay that it repeats, and stays of paused connections.
    #[param(pattern = "^all$")]
    include: Option<String>,
}

impl From<BlockError> for Problem {
    fn from(error: BlockError) -> Self {
        match error {
            BlockError::NotFound => Self::not_found("block or property"),
            BlockError::Outdated => Self::stale(),
            BlockError::Invalid(fields) => Self::invalid_fields(fields),
            BlockError::Blocked { by, first } => {
                let named: Vec<String> = first.iter().map(stay_in_words).collect();
                let more = match by.len().saturating_sub(named.len()) {
                    0 => String::new(),
                    more => format!("; and {more} more"),
                };
                Self::conflict(format!(
                    "Something is taken in this time already: {}{more}. Choose another time, name the stay that this \
                     extends, or send \"force\": true to make it all the same.",
                    named.join("; ")
                ))
                .slug("blocked")
                .with("blocked_by", texts(&by))
            }
            BlockError::Imported => Self::conflict(
                "This block came from a connection's feed; change it on the site where it was made. The next refresh \
                 brings it here.",
            )
            .slug("imported"),
            BlockError::Full(full) => full.into(),
            BlockError::Store(error) => error.into(),
        }
    }
}

or_opens!(BlockOrOpens, BlockJson);

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, create, show, edit, delete, prune)
}

/// The blocks of a property in order of time.
#[utoipa::path(get, path = "/v1/properties/{id}/blocks", tag = "blocks", operation_id = "list_blocks",
    params(("id" = String, Path, description = "`prp_…`"), ListParams, BlockParams),
    responses((status = 200, description = "One page.", body = ListPage<BlockJson>)))]
async fn list(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    OriginalUri(uri): OriginalUri,
    mut params: Params,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let all = params
        .optional("include", |text| if text == "all" { Ok(true) } else { Err("must be all".to_owned()) })
        .unwrap_or_default();
    let place = format!("{}?all={all}", uri.path());
    let listing = Listing::take(&mut params, &api, owner.opened.account.id.as_str(), place);
    let listing = params.finish(|| Some(listing))?;
    let page = api.desk.list_blocks(owner.reach(), &property, all, listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, BlockJson::from)))
}

/// Makes a block of the host's own.
#[utoipa::path(post, path = "/v1/properties/{id}/blocks", tag = "blocks", operation_id = "create_block",
    params(("id" = String, Path, description = "`prp_…`")), request_body = NewBlockSchema,
    responses((status = 201, description = "Made.", body = BlockJson,
        headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "For If-Match.")))))]
async fn create(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let kind = fields.required("kind", word(OWN_KINDS));
    let start = fields.required("start", when_of);
    let end = fields.required("end", when_of);
    let summary = fields.nullable("summary", text(SUMMARY_MOST)).unwrap_or_default();
    let extends = fields.nullable("extends", id::<BlockId>);
    let force = fields.optional("force", boolean).unwrap_or_default();
    let new = fields.finish(|| Some(NewBlock { kind: kind?, start: start?, end: end?, summary, extends, force }))?;
    let view = api.desk.create_block(owner.reach(), &property, &new).await?;
    let location = format!("/v1/blocks/{}", view.block.id);
    Ok(answer::created(&location, Some(view.version), BlockJson::from(view)))
}

/// A block.
#[utoipa::path(get, path = "/v1/blocks/{id}", tag = "blocks", operation_id = "get_block",
    params(("id" = String, Path, description = "`blk_…`")),
    responses((status = 200, description = "The block.", body = BlockJson,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn show(
    owner: Owner,
    PathId(id): PathId<BlockId>,
    _: NoParams,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let view = api.desk.block(owner.reach(), &id).await?;
    Ok(answer::single(view.version, BlockJson::from(view)))
}

/// Changes a block of the host's own. With `preview`, says which nights that would open.
#[utoipa::path(patch, path = "/v1/blocks/{id}", tag = "blocks", operation_id = "edit_block",
    params(("id" = String, Path, description = "`blk_…`"), PreviewParams),
    request_body(content = BlockEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The block as it now is; or what a preview says.", body = BlockOrOpens,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    PathId(block): PathId<BlockId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let edit = BlockEdit {
        kind: fields.optional("kind", word(OWN_KINDS)),
        start: fields.optional("start", when_of),
        end: fields.optional("end", when_of),
        summary: fields.edit("summary", text(SUMMARY_MOST)),
        extends: fields.edit("extends", id::<BlockId>),
        force: fields.optional("force", boolean).unwrap_or_default(),
    };
    let edit = fields.finish(|| Some(edit))?;
    if preview {
        return Ok(Opens::answer(&api.desk.preview_block_edit(owner.reach(), &block, &edit, &expected).await?));
    }
    let view = api.desk.edit_block(owner.reach(), &block, &edit, &expected).await?;
    Ok(answer::single(view.version, BlockJson::from(view)))
}

/// Deletes a block of the host's own. With `preview`, says which nights that would open.
#[utoipa::path(delete, path = "/v1/blocks/{id}", tag = "blocks", operation_id = "delete_block",
    params(("id" = String, Path, description = "`blk_…`"), PreviewParams),
    responses((status = 204, description = "Deleted."),
        (status = 200, description = "What a preview says.", body = Opens)))]
async fn delete(
    owner: Owner,
    PathId(id): PathId<BlockId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    if preview {
        return Ok(Opens::answer(&api.desk.preview_block_deletion(owner.reach(), &id, &expected).await?));
    }
    api.desk.delete_block(owner.reach(), &id, &expected).await?;
    Ok(answer::gone())
}

/// Removes the host's own blocks that an imported stay now covers; with `preview`, only says which.
#[utoipa::path(post, path = "/v1/properties/{id}/blocks/prune", tag = "blocks", operation_id = "prune_blocks",
    params(("id" = String, Path, description = "`prp_…`"), PreviewParams),
    responses((status = 200, description = "What was, or would be, removed.", body = Pruned)))]
async fn prune(
    owner: Owner,
    PathId(property): PathId<PropertyId>,
    Preview(preview): Preview,
    State(api): State<Api>,
    MaybeJsonBody(fields): MaybeJsonBody,
) -> Result<Response, Problem> {
    fields.finish(|| Some(()))?;
    let Pruning { removed, openings } = if preview {
        api.desk.preview_prune(owner.reach(), &property).await?
    } else {
        api.desk.prune_blocks(owner.reach(), &property).await?
    };
    let removed = removed.iter().map(|view| view.block.id.to_string()).collect();
    Ok(answer::plain(Pruned { removed, openings: Opens::from(&openings) }))
}

#[cfg(test)]
mod tests;
