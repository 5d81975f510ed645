//! Extra private links, over one property, several, or all of the account.

use axum::{extract::State, response::Response};
use calmesh_app::{
    Desk, LinkEdit, LinkError, LinkView, NewLink, WantedScope,
    limits::{NAME_MOST, SELECTION_MOST},
    model::{Format, LinkScope, LinkToken},
};
use calmesh_calendar::{LinkId, PropertyId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{JsonBody, id, list, text, word},
    caller::Owner,
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, NoParams, PathId, Preview, PreviewParams},
    routes::{Routes, routes},
    words::{DETAILS, DetailWord, FORMATS, FormatWord},
};

const READ_ONLY: &[&str] = &["id", "url", "created_at", "last_changed_at", "last_read_at", "reads_24h"];

/// An extra private link: a calendar that is no connection's.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Link, example = json!({
    "id": "lnk_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Cleaners", "property_ids": "all", "detail": "label",
    "format": "times", "url": "https://d111.cloudfront.net/f/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.ics",
    "created_at": "2026-11-01T09:30:00Z", "last_changed_at": "2026-11-01T09:30:01Z", "last_read_at": null,
    "reads_24h": 0
}))]
pub(crate) struct LinkBody {
    id: String,
    name: String,
    property_ids: Selection,
    detail: DetailWord,
    format: FormatWord,
    /// Whoever knows it can read it: give it to one reader only.
    url: String,
    created_at: Instant,
    /// When what it says last changed.
    #[schema(required)]
    last_changed_at: Option<Instant>,
    /// When somebody other than ourselves last read it.
    #[schema(required)]
    last_read_at: Option<Instant>,
    reads_24h: u32,
}

/// Some properties by their ids, or `all` of the account, also those to come.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Selection {
    Some(Vec<String>),
    All(AllWord),
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) enum AllWord {
    #[serde(rename = "all")]
    All,
}

/// A link to be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewLink, example = json!({"name": "Cleaners", "property_ids": "all", "detail": "label", "format": "times"}))]
pub(crate) struct NewLinkSchema {
    name: String,
    property_ids: Selection,
    /// The account's when left out.
    #[schema(nullable = false)]
    detail: Option<DetailWord>,
    /// `nights` when left out.
    #[schema(nullable = false)]
    format: Option<FormatWord>,
}

/// What of a link can be edited; null goes back to the default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LinkEdit, example = json!({"name": "Cleaners", "format": "nights"}))]
pub(crate) struct LinkEditSchema {
    #[schema(nullable = false)]
    name: Option<String>,
    #[schema(nullable = false)]
    property_ids: Option<Selection>,
    detail: Option<DetailWord>,
    format: Option<FormatWord>,
}

/// The address of a private link.
pub(crate) fn url_of(desk: &Desk, token: &LinkToken) -> String {
    desk.link_url(token)
}

impl LinkBody {
    fn of(desk: &Desk, view: LinkView) -> Self {
        let LinkView { link, reads } = view;
        Self {
            id: link.id.to_string(),
            property_ids: match &link.scope {
                LinkScope::All => Selection::All(AllWord::All),
                LinkScope::Properties(some) => Selection::Some(some.iter().map(ToString::to_string).collect()),
            },
            detail: link.detail.into(),
            format: link.format.into(),
            url: url_of(desk, &link.token),
            created_at: link.created_at.into(),
            last_changed_at: link.last_changed_at.map(Instant),
            last_read_at: reads.last_read_at.map(Instant),
            reads_24h: reads.reads_24h,
            name: link.name,
        }
    }
}

/// `"all"`, or a list of property ids.
fn selection(value: &Value) -> Result<WantedScope, String> {
    match value {
        Value::String(word) if word == "all" => Ok(WantedScope::All),
        Value::Array(_) => list(SELECTION_MOST, id::<PropertyId>)(value).map(WantedScope::Properties),
        _ => Err("must be \"all\" or a list of property ids".to_owned()),
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::NotFound => Self::not_found("link"),
            LinkError::Limited => Self::wrong_key(
                "This token sees some properties only; name them in property_ids, or use a token for all of them.",
            ),
            LinkError::Outdated => Self::stale(),
            LinkError::Invalid(fields) => Self::invalid_fields(fields),
            LinkError::Object(error) => Self::unavailable(&error),
            LinkError::Full(full) => full.into(),
            LinkError::Store(error) => error.into(),
        }
    }
}

or_opens!(LinkOrOpens, LinkBody);

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list_all, create, show, edit, delete)
}

/// The extra links that the caller sees.
#[utoipa::path(get, path = "/v1/links", tag = "links", operation_id = "list_links", params(ListParams),
    responses((status = 200, description = "One page, in order of creation.", body = ListPage<LinkBody>)))]
async fn list_all(owner: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let mut asked = listing.page.clone();
    loop {
        let page = api.desk.list_links(owner.reach(), asked.clone()).await?;
        if let Some(answer) = listing.fitting(&mut asked, page, |view| LinkBody::of(&api.desk, view))? {
            return Ok(answer);
        }
    }
}

/// Makes a link. Its calendar is there within a second or a few.
#[utoipa::path(post, path = "/v1/links", tag = "links", operation_id = "create_link", request_body = NewLinkSchema,
    responses((status = 201, description = "Made.", body = LinkBody, headers(
        ("Location" = String, description = "Where the link's settings are."),
        ("ETag" = String, description = "For If-Match.")))))]
async fn create(
    owner: Owner,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.required("name", text(NAME_MOST));
    let scope = fields.required("property_ids", selection);
    let detail = fields.optional("detail", word(DETAILS));
    let format = fields.optional("format", word(FORMATS)).unwrap_or(Format::Nights);
    let new = fields.finish(|| Some(NewLink { name: name?, scope: scope?, detail, format }))?;
    let view = api.desk.create_link(owner.reach(), new).await?;
    let location = format!("/v1/links/{}", view.link.id);
    Ok(answer::created(&location, Some(view.link.version), LinkBody::of(&api.desk, view)))
}

/// One link.
#[utoipa::path(get, path = "/v1/links/{id}", tag = "links", operation_id = "get_link",
    params(("id" = String, Path, description = "`lnk_…`")),
    responses((status = 200, description = "The link.", body = LinkBody,
        headers(("ETag" = String, description = "For If-Match; reads do not change it.")))))]
async fn show(
    owner: Owner,
    PathId(id): PathId<LinkId>,
    _: NoParams,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    let view = api.desk.link(owner.reach(), &id).await?;
    Ok(answer::single(view.link.version, LinkBody::of(&api.desk, view)))
}

/// Changes a link; its address stays. With `preview`, says which nights would go from it.
#[utoipa::path(patch, path = "/v1/links/{id}", tag = "links", operation_id = "edit_link",
    params(("id" = String, Path, description = "`lnk_…`"), PreviewParams),
    request_body(content = LinkEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The link as it now is; or what a preview says.", body = LinkOrOpens,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    PathId(id): PathId<LinkId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.optional("name", text(NAME_MOST));
    let scope = fields.optional("property_ids", selection);
    let detail = fields.edit("detail", word(DETAILS));
    let format = fields.edit("format", word(FORMATS));
    let edit = fields.finish(|| Some(LinkEdit { name, scope, detail, format }))?;
    if preview {
        return Ok(Opens::answer(&api.desk.preview_link_edit(owner.reach(), &id, &edit, &expected).await?));
    }
    let view = api.desk.edit_link(owner.reach(), &id, &edit, &expected).await?;
    Ok(answer::single(view.link.version, LinkBody::of(&api.desk, view)))
}

/// Deletes a link: its address serves an empty calendar for a week, so that its reader lets go, and then answers 404.
/// With `preview`, says which nights would go from it.
#[utoipa::path(delete, path = "/v1/links/{id}", tag = "links", operation_id = "delete_link",
    params(("id" = String, Path, description = "`lnk_…`"), PreviewParams),
    responses((status = 204, description = "Deleted."),
        (status = 200, description = "What a preview says.", body = Opens)))]
async fn delete(
    owner: Owner,
    PathId(id): PathId<LinkId>,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    if preview {
        return Ok(Opens::answer(&api.desk.preview_link_deletion(owner.reach(), &id, &expected).await?));
    }
    api.desk.delete_link(owner.reach(), &id, &expected).await?;
    Ok(answer::gone())
}

#[cfg(test)]
mod tests {
    use calmesh_app::{
        contract::a_link,
        fakes::Fault,
        model::{ExtraLink, LinkToken},
        ports::{Event, ExportWriteError},
    };
    use calmesh_calendar::LinkId;
    use http::Method;
    use jiff::SignedDuration;
    use serde_json::{Value, json};

    use crate::testing::{NOW, TestApi};

    async fn made(api: &TestApi, body: Value) -> Value {
        let answer = api.post("/v1/links", body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    fn path(link: &Value) -> String {
        format!("/v1/links/{}", link["id"].as_str().unwrap())
    }

    fn id(link: &Value) -> LinkId {
        link["id"].as_str().unwrap().parse().unwrap()
    }

    fn token(link: &Value) -> LinkToken {
        let url = link["url"].as_str().unwrap();
        LinkToken::parse(url.strip_prefix("https://links.example/f/").unwrap().strip_suffix(".ics").unwrap()).unwrap()
    }

    #[tokio::test]
    async fn a_new_link_is_served_when_it_is_answered() {
        let api = TestApi::new().await;
        let answer = api.post("/v1/links", json!({"name": "Cleaners", "property_ids": "all"})).await;
        assert_eq!(answer.status, 201);
        let link = answer.json();
        assert_eq!(answer.header("location"), path(&link));
        assert_eq!(answer.header("etag"), "\"v1\"");
        token(&link);
        assert_eq!(
            link,
            json!({
                "id": link["id"], "name": "Cleaners", "property_ids": "all", "detail": "busy", "format": "nights",
                "url": link["url"], "created_at": NOW, "last_changed_at": NOW, "last_read_at": null, "reads_24h": 0
            })
        );
        assert!(api.ports.exports.export(&token(&link)).await.unwrap().is_some());
        assert_eq!(api.drain(), [Event::LinkDirty { link: id(&link) }], "should the answer's own attempt have failed");
        assert_eq!(api.get(&path(&link)).await.json(), link);
        assert_eq!(api.get("/v1/links").await.json()["items"], json!([link]));
    }

    #[tokio::test]
    async fn a_new_link_takes_the_account_s_detail_unless_it_says_otherwise() {
        let api = TestApi::new().await;
        api.patch("/v1/account", json!({"detail": "label"})).await;
        assert_eq!(made(&api, json!({"name": "a", "property_ids": "all"})).await["detail"], "label");
        let full = made(&api, json!({"name": "a", "property_ids": "all", "detail": "full"})).await;
        assert_eq!(full["detail"], "full");
        assert_eq!(api.patch(&path(&full), json!({"detail": null})).await.json()["detail"], "label");
    }

    #[tokio::test]
    async fn a_patch_announces_the_link_again_and_an_empty_one_does_not() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let link = made(&api, json!({"name": "a", "property_ids": "all"})).await;
        api.drain();
        let edit = json!({"name": "b", "property_ids": [property.as_str()], "format": "times"});
        let changed = api.patch(&path(&link), edit).await;
        assert_eq!(changed.header("etag"), "\"v2\"");
        assert_eq!(changed.json()["property_ids"], json!([property.as_str()]));
        assert_eq!(changed.json()["url"], link["url"]);
        assert_eq!(api.drain(), [Event::LinkDirty { link: id(&link) }]);
        assert_eq!(api.patch(&path(&link), json!({"name": "b"})).await.header("etag"), "\"v2\"");
        assert_eq!(api.drain(), []);
    }

    #[tokio::test]
    async fn reads_show_and_leave_the_etag_alone() {
        let api = TestApi::new().await;
        let link = made(&api, json!({"name": "a", "property_ids": "all"})).await;
        api.ports.common.links.record_reads(&token(&link).hash(), &[NOW.parse().unwrap()].into()).await.unwrap();
        let shown = api.get(&path(&link)).await;
        assert_eq!(shown.json()["last_read_at"], NOW);
        assert_eq!(shown.json()["reads_24h"], 1);
        assert_eq!(shown.header("etag"), "\"v1\"");
        assert_eq!(api.get("/v1/links").await.json()["items"][0]["reads_24h"], 1);
    }

    /// A link over a property that is taken for a while, with its calendar served.
    async fn made_over_a_stay(api: &TestApi) -> Value {
        let flat = api.flat().await;
        api.block(&flat, "2026-12-04", "2026-12-07").await;
        let link = made(api, json!({"name": "a", "property_ids": [flat]})).await;
        api.work().await;
        assert_eq!(api.served(&address(&link)).await.unwrap(), ["20261204-20261207"]);
        link
    }

    fn address(link: &Value) -> String {
        link["url"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn a_deleted_link_is_seen_by_nobody_and_serves_an_empty_calendar_for_a_week() {
        let api = TestApi::new().await;
        let link = made_over_a_stay(&api).await;
        api.ask(Method::DELETE, &path(&link)).header("if-match", "\"v4\"").send().await.problem(412);
        assert_eq!(api.delete(&path(&link)).await.status, 204);
        assert_eq!(api.served(&address(&link)).await.unwrap(), [""; 0], "when that is answered");
        api.get(&path(&link)).await.problem(404);
        api.patch(&path(&link), json!({"name": "b"})).await.problem(404);
        api.delete(&path(&link)).await.problem(404);
        assert_eq!(api.get("/v1/links").await.json()["items"], json!([]));
        api.work().await;
        api.clock.advance(SignedDuration::from_hours(7 * 24) - SignedDuration::from_secs(1));
        assert_eq!(
            api.app.tick.announce_marks(api.ports.common.clock.now()).await.unwrap(),
            0,
            "nothing is left to do until then"
        );
        assert_eq!(api.served(&address(&link)).await.unwrap(), [""; 0]);
        api.clock.advance(SignedDuration::from_secs(1));
        assert_eq!(api.app.tick.announce_marks(api.ports.common.clock.now()).await.unwrap(), 1);
        api.work().await;
        assert_eq!(api.served(&address(&link)).await, None);
        assert!(api.ports.common.links.link(&id(&link)).await.unwrap().is_none());
        assert!(api.ports.common.links.owner(&token(&link).hash()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_late_render_does_not_fill_a_deleted_link_again() {
        let api = TestApi::new().await;
        let link = made_over_a_stay(&api).await;
        let before = api.ports.exports.export(&token(&link)).await.unwrap().unwrap();
        assert_eq!(api.delete(&path(&link)).await.status, 204);
        // A worker that read object and record before the deletion.
        let late = api.ports.exports.put_export(&token(&link), before.body, Some(&before.version)).await;
        assert!(matches!(late, Err(ExportWriteError::Stale)));
        assert!(api.ports.common.links.settle_link(&id(&link), 1, None, None).await.is_err());
        // The event of its making comes once more.
        api.app.handle(&Event::LinkDirty { link: id(&link) }).await.unwrap();
        assert_eq!(api.served(&address(&link)).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_crash_between_the_record_of_a_deletion_and_the_object_is_made_good() {
        let api = TestApi::new().await;
        let link = made_over_a_stay(&api).await;
        api.objects.fail_next(Fault::Before);
        assert_eq!(api.delete(&path(&link)).await.status, 204);
        api.get(&path(&link)).await.problem(404);
        assert_eq!(api.served(&address(&link)).await.unwrap(), ["20261204-20261207"]);
        api.work().await;
        assert_eq!(api.served(&address(&link)).await.unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_link_over_a_property_that_is_deleted_stays_and_shows_nothing_of_it() {
        let api = TestApi::new().await;
        let link = made_over_a_stay(&api).await;
        let flat = link["property_ids"][0].as_str().unwrap().to_owned();
        assert_eq!(api.delete(&format!("/v1/properties/{flat}")).await.status, 204);
        api.work().await;
        assert_eq!(api.served(&address(&link)).await.unwrap(), [""; 0]);
        assert_eq!(api.get(&path(&link)).await.json()["property_ids"], json!([flat]));
        let other = api.flat().await;
        api.block(&other, "2026-12-10", "2026-12-12").await;
        assert_eq!(api.patch(&path(&link), json!({"property_ids": [other]})).await.status, 200);
        api.work().await;
        assert_eq!(api.served(&address(&link)).await.unwrap(), ["20261210-20261212"]);
    }

    #[tokio::test]
    async fn an_account_has_a_thousand_links_at_most() {
        let api = TestApi::new().await;
        for n in 0..calmesh_app::LINKS.most as u64 {
            let link = ExtraLink { account: api.account.id.clone(), ..a_link(1, n) };
            api.ports.common.links.put_link(&link).await.unwrap();
        }
        let full = api.post("/v1/links", json!({"name": "a", "property_ids": "all"})).await.problem(409);
        assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(1000)));
        assert!(full["detail"].as_str().unwrap().contains("an account has at most 1,000 extra links"), "{full}");
    }

    #[tokio::test]
    async fn few_links_are_over_all_properties_however_they_come_to_be() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let all = || json!({"name": "a", "property_ids": "all"});
        let mut links = Vec::new();
        for _ in 0..calmesh_app::LINKS_OVER_ALL.most {
            links.push(made(&api, all()).await);
        }
        let full = api.post("/v1/links", all()).await.problem(409);
        assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(20)));
        let one = made(&api, json!({"name": "one", "property_ids": [flat]})).await;
        api.patch(&path(&one), json!({"property_ids": "all"})).await.problem(409);
        api.patch(&path(&links[0]), json!({"name": "b", "property_ids": "all"})).await.json();
        assert_eq!(api.delete(&path(&links[1])).await.status, 204);
        assert_eq!(api.patch(&path(&one), json!({"property_ids": "all"})).await.status, 200, "there is room again");
    }

    #[tokio::test]
    async fn every_wrong_field_of_a_link_is_named() {
        let api = TestApi::new().await;
        let wrong = json!({"url": "x", "reads_24h": 1, "detail": 1, "format": "weeks", "property_ids": 3, "x/y~z": 1});
        let pointers = api.post("/v1/links", wrong).await.pointers();
        assert_eq!(pointers, ["/url", "/reads_24h", "/name", "/property_ids", "/detail", "/format", "/x~1y~0z"]);
        let missing = calmesh_calendar::PropertyId::from_random([5; 16]);
        for (ids, why) in [
            (json!([]), "one property"),
            (json!("some"), "all"),
            (json!(null), "all"),
            (json!(["nonsense"]), "entry 0"),
            (json!([missing.as_str()]), "there is no property"),
        ] {
            let refused = api.post("/v1/links", json!({"name": "a", "property_ids": ids})).await;
            assert_eq!(refused.pointers(), ["/property_ids"]);
            assert!(refused.text().contains(why), "{}", refused.text());
        }
        let link = made(&api, json!({"name": "a", "property_ids": "all"})).await;
        let wrong = json!({"name": null, "property_ids": null, "id": "lnk_1"});
        assert_eq!(api.patch(&path(&link), wrong).await.pointers(), ["/id", "/name", "/property_ids"]);
    }

    #[tokio::test]
    async fn nothing_of_another_account_is_there() {
        let api = TestApi::new().await;
        let stranger = api.stranger().await;
        let property = api.property(&api.account.id).await;
        let link = made(&api, json!({"name": "a", "property_ids": [property.as_str()]})).await;
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            api.ask(method, &path(&link)).by(&stranger).json(json!({"name": "b"})).send().await.problem(404);
        }
        let list = api.ask(Method::GET, "/v1/links").by(&stranger).send().await;
        assert_eq!(list.json()["items"], json!([]));
        let body = json!({"name": "b", "property_ids": [property.as_str()]});
        let refused = api.ask(Method::POST, "/v1/links").by(&stranger).json(body).send().await;
        assert_eq!(refused.pointers(), ["/property_ids"]);
        api.ask(Method::GET, &path(&link)).by(&api.operator_key).send().await.problem(403);
        api.ask(Method::GET, &path(&link)).by_nobody().send().await.problem(401);
    }

    #[tokio::test]
    async fn a_token_for_some_properties_sees_links_over_those_only() {
        let api = TestApi::new().await;
        let (mine, other) = (api.property(&api.account.id).await, api.property(&api.account.id).await);
        let narrow = api.token_with(json!({"name": "n", "property_ids": [mine.as_str()]})).await;
        let seen = made(&api, json!({"name": "mine", "property_ids": [mine.as_str()]})).await;
        let both = made(&api, json!({"name": "both", "property_ids": [mine.as_str(), other.as_str()]})).await;
        let all = made(&api, json!({"name": "all", "property_ids": "all"})).await;
        let list = api.ask(Method::GET, "/v1/links").by(&narrow).send().await.json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
        assert_eq!(api.ask(Method::GET, &path(&seen)).by(&narrow).send().await.status, 200);
        for hidden in [&both, &all] {
            api.ask(Method::GET, &path(hidden)).by(&narrow).send().await.problem(404);
            api.ask(Method::DELETE, &path(hidden)).by(&narrow).send().await.problem(404);
        }
        let wider = json!({"property_ids": "all"});
        api.ask(Method::PATCH, &path(&seen)).by(&narrow).json(wider).send().await.problem(403);
        let wider = json!({"property_ids": [other.as_str()]});
        let refused = api.ask(Method::PATCH, &path(&seen)).by(&narrow).json(wider).send().await;
        assert_eq!(refused.pointers(), ["/property_ids"]);
    }

    #[tokio::test]
    async fn pages_follow_each_other_to_the_end() {
        let api = TestApi::new().await;
        for name in ["a", "b", "c", "d", "e"] {
            made(&api, json!({"name": name, "property_ids": "all"})).await;
            api.clock.advance(SignedDuration::from_secs(1));
        }
        let mut names = Vec::new();
        let mut query = "?limit=2".to_owned();
        loop {
            let page = api.get(&format!("/v1/links{query}")).await.json();
            names
                .extend(page["items"].as_array().unwrap().iter().map(|link| link["name"].as_str().unwrap().to_owned()));
            match page["next_cursor"].as_str() {
                Some(cursor) => query = format!("?limit=2&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
    }

    #[tokio::test]
    async fn a_cursor_of_another_list_or_account_is_refused() {
        let api = TestApi::new().await;
        for name in ["a", "b"] {
            made(&api, json!({"name": name, "property_ids": "all"})).await;
        }
        let page = api.get("/v1/links?limit=1").await.json();
        let cursor = page["next_cursor"].as_str().unwrap();
        let stranger = api.stranger().await;
        let foreign = api.ask(Method::GET, &format!("/v1/links?cursor={cursor}")).by(&stranger).send().await;
        assert_eq!(foreign.pointers(), ["/cursor"]);
        assert_eq!(api.get(&format!("/v1/tokens?cursor={cursor}")).await.pointers(), ["/cursor"]);
        assert_eq!(api.get(&format!("/v1/links?cursor=x{cursor}")).await.pointers(), ["/cursor"]);
        for wrong in ["limit=0", "limit=201", "limit=x", "limit=", "limit=-1", "limit=1&limit=2"] {
            assert_eq!(api.get(&format!("/v1/links?{wrong}")).await.pointers(), ["/limit"], "{wrong}");
        }
    }
}
