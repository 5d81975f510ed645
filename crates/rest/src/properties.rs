//! Properties.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use calmesh_app::{
    DEFAULT_CHECK_IN, DEFAULT_CHECK_OUT, NewProperty, Openings, PropertyEdit, PropertyError,
    limits::{LABEL_PREFIX_MOST, NAME_MOST, TEXT_MOST},
    model::Property,
};
use calmesh_calendar::PropertyId;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{JsonBody, text, whole},
    caller::{Owner, account_deleted},
    problem::Problem,
    query::{ListPage, ListParams, Listing, NoParams, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    when::{time_of_day, written_time},
};

const READ_ONLY: &[&str] = &["id", "created_at"];

/// One bookable unit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Property, example = json!({
    "id": "prp_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Casa Azul, whole flat", "time_zone": "Europe/Madrid",
    "check_in": "15:00", "check_out": "11:00", "turnover_nights": 0, "label_prefix": "EX-",
    "created_at": "2026-11-01T09:30:00Z"
}))]
pub(crate) struct PropertyView {
    id: String,
    name: String,
    /// IANA name.
    time_zone: String,
    /// Local, `HH:MM`.
    check_in: String,
    /// Local, `HH:MM`; never after `check_in`.
    check_out: String,
    /// Nights that are kept free after each reservation.
    turnover_nights: u8,
    /// Stands before the connection's name on links with the detail `label`.
    label_prefix: String,
    created_at: Instant,
}

impl From<Property> for PropertyView {
    fn from(property: Property) -> Self {
        Self {
            id: property.id.to_string(),
            name: property.name,
            time_zone: property.time_zone,
            check_in: written_time(property.check_in),
            check_out: written_time(property.check_out),
            turnover_nights: property.turnover_nights,
            label_prefix: property.label_prefix,
            created_at: property.created_at.into(),
        }
    }
}

/// A property to be made.
#[derive(ToSchema)]
#[schema(as = NewProperty, example = json!({"name": "Casa Azul, whole flat", "time_zone": "Europe/Madrid"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct NewPropertySchema {
    name: String,
    time_zone: String,
    #[schema(default = "15:00")]
    check_in: Option<String>,
    #[schema(default = "11:00")]
    check_out: Option<String>,
    #[schema(default = 0, minimum = 0, maximum = 30)]
    turnover_nights: Option<u8>,
    /// The account's, when left out.
    label_prefix: Option<String>,
}

/// What of a property can be edited; null goes back to the default.
#[derive(ToSchema)]
#[schema(as = PropertyEdit, example = json!({"check_out": "10:00", "turnover_nights": 1}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct PropertyEditSchema {
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    time_zone: Option<String>,
    check_in: Option<String>,
    check_out: Option<String>,
    #[schema(minimum = 0, maximum = 30)]
    turnover_nights: Option<u8>,
    label_prefix: Option<String>,
}

/// What a change would open.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Preview, example = json!({
    "opens": ["2026-12-04", "2026-12-05"], "opens_at_site": {"con_0k5w8v1x2y3z4a5b6c7d8e9f0g": ["2026-12-04", "2026-12-05"]}
}))]
pub(crate) struct Opens {
    /// Nights that are taken now and that nobody would take any more. From today on, 760 days at most.
    opens: Vec<String>,
    /// Nights that no calendar would show any more, and that stay taken until that is believed: a hold for each stay, which
    /// can be released. There only where any are, as when a new calendar link shows an empty calendar.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    held: Vec<String>,
    /// By connection (or extra link): nights that its site may sell again, because the private link that it reads would
    /// no longer say that they are taken, and it is not known to hold them itself. Also where others still hold them.
    opens_at_site: BTreeMap<String, Vec<String>>,
}

/// The thing as it now is; in its place, what a preview says.
macro_rules! or_opens {
    ($name:ident, $thing:ty) => {
        #[doc = "As it now is; in its place, what a preview says."]
        #[derive(serde::Serialize, utoipa::ToSchema)]
        #[serde(untagged)]
        #[schema(as = $name, example = json!({"opens": ["2026-12-04"], "opens_at_site": {}}))]
        #[expect(dead_code, reason = "only its schema is used")]
        enum $name {
            Thing(Box<$thing>),
            Preview($crate::properties::Opens),
        }
    };
}
pub(crate) use or_opens;

or_opens!(PropertyOrOpens, PropertyView);

impl Opens {
    pub(crate) fn answer(openings: &Openings) -> Response {
        answer::plain(Self::from(openings))
    }
}

impl From<&Openings> for Opens {
    fn from(openings: &Openings) -> Self {
        let texts = |nights: &BTreeSet<Date>| nights.iter().map(ToString::to_string).collect();
        let sites = openings.at_sites.iter().map(|(site, nights)| (site.to_string(), texts(nights)));
        let links = openings.at_links.iter().map(|(link, nights)| (link.to_string(), texts(nights)));
        Self { opens: texts(&openings.opens), held: texts(&openings.held), opens_at_site: sites.chain(links).collect() }
    }
}

impl From<PropertyError> for Problem {
    fn from(error: PropertyError) -> Self {
        match error {
            PropertyError::NotFound => Self::not_found("property"),
            PropertyError::AccountDeleted => account_deleted(),
            PropertyError::Limited => Self::wrong_key(
                "This token sees some properties only and can't make new ones. Use one for the whole account.",
            ),
            PropertyError::Outdated => Self::stale(),
            PropertyError::Invalid(fields) => Self::invalid_fields(fields),
            PropertyError::Busy => busy(),
            PropertyError::Object(error) => Self::unavailable(&error),
            PropertyError::Full(full) => full.into(),
            PropertyError::Store(error) => error.into(),
        }
    }
}

/// The thing kept changing under a decision.
pub(crate) fn busy() -> Problem {
    Problem::conflict("The property's feeds are changing right now. Send the request again.").slug("busy")
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, create, show, edit, delete)
}

/// The properties of the account, in order of creation.
#[utoipa::path(get, path = "/v1/properties", tag = "properties", operation_id = "list_properties",
    params(ListParams), responses((status = 200, description = "One page.", body = ListPage<PropertyView>)))]
async fn list(owner: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let page = api.desk.list_properties(owner.reach(), listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, PropertyView::from)))
}

/// Makes a property.
#[utoipa::path(post, path = "/v1/properties", tag = "properties", operation_id = "create_property",
    request_body = NewPropertySchema,
    responses((status = 201, description = "Made.", body = PropertyView,
        headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "For If-Match.")))))]
async fn create(
    owner: Owner,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.required("name", text(NAME_MOST));
    let time_zone = fields.required("time_zone", text(TEXT_MOST));
    let check_in = fields.nullable("check_in", time_of_day).unwrap_or(DEFAULT_CHECK_IN);
    let check_out = fields.nullable("check_out", time_of_day).unwrap_or(DEFAULT_CHECK_OUT);
    let turnover_nights = fields.nullable("turnover_nights", whole(u8::MAX)).unwrap_or_default();
    let label_prefix = fields.nullable("label_prefix", text(LABEL_PREFIX_MOST));
    let new = fields.finish(|| {
        Some(NewProperty { name: name?, time_zone: time_zone?, check_in, check_out, turnover_nights, label_prefix })
    })?;
    let property = api.desk.create_property(owner.reach(), new).await?;
    let location = format!("/v1/properties/{}", property.id);
    Ok(answer::created(&location, Some(property.version), PropertyView::from(property)))
}

/// A property.
#[utoipa::path(get, path = "/v1/properties/{id}", tag = "properties", operation_id = "get_property",
    params(("id" = String, Path, description = "`prp_…`")),
    responses((status = 200, description = "The property.", body = PropertyView,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn show(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    _: NoParams,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let property = api.desk.property(owner.reach(), &id).await?;
    Ok(answer::single(property.version, PropertyView::from(property)))
}

/// Changes a property; with `preview`, says which nights that would open.
#[utoipa::path(patch, path = "/v1/properties/{id}", tag = "properties", operation_id = "edit_property",
    params(("id" = String, Path, description = "`prp_…`"), PreviewParams),
    request_body(content = PropertyEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The property as it now is; or what a preview says.",
        body = PropertyOrOpens,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let edit = PropertyEdit {
        name: fields.optional("name", text(NAME_MOST)),
        time_zone: fields.optional("time_zone", text(TEXT_MOST)),
        check_in: fields.edit("check_in", time_of_day),
        check_out: fields.edit("check_out", time_of_day),
        turnover_nights: fields.edit("turnover_nights", whole(u8::MAX)),
        label_prefix: fields.edit("label_prefix", text(LABEL_PREFIX_MOST)),
    };
    let edit = fields.finish(|| Some(edit))?;
    if preview {
        let opens = api.desk.preview_property_edit(owner.reach(), &id, &edit, &expected).await?;
        return Ok(Opens::answer(&opens));
    }
    let property = api.desk.edit_property(owner.reach(), &id, &edit, &expected).await?;
    Ok(answer::single(property.version, PropertyView::from(property)))
}

/// Deletes a property: its blocks go, and its private links serve an empty calendar for a week. With `preview`,
/// says which nights that would open.
#[utoipa::path(delete, path = "/v1/properties/{id}", tag = "properties", operation_id = "delete_property",
    params(("id" = String, Path, description = "`prp_…`"), PreviewParams),
    responses((status = 204, description = "Deleted."),
        (status = 200, description = "What a preview says.", body = Opens)))]
async fn delete(
    owner: Owner,
    PathId(id): PathId<PropertyId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    if preview {
        let opens = api.desk.preview_property_deletion(owner.reach(), &id, &expected).await?;
        return Ok(Opens::answer(&opens));
    }
    api.desk.delete_property(owner.reach(), &id, &expected).await?;
    Ok(answer::gone())
}

#[cfg(test)]
mod tests;
