//! Accounts: the operator's list, and the caller's own.

use axum::{extract::State, response::Response};
use calmesh_app::{
    AccountEdit, AccountError, NewAccount,
    limits::{LABEL_PREFIX_MOST, NAME_MOST},
    model::Account,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{JsonBody, text, word},
    caller::{Operator, Owner},
    problem::Problem,
    properties::{Opens, or_opens},
    query::{ListPage, ListParams, Listing, NoParams, Preview, PreviewParams},
    routes::{Routes, routes},
    words::{DETAILS, DetailWord},
};

const READ_ONLY: &[&str] = &["id", "created_at", "token"];

/// An account: one host or company.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account, example = json!({
    "id": "acc_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Casas del Sol", "detail": "busy", "label_prefix": "EX-",
    "created_at": "2026-11-01T09:30:00Z"
}))]
pub(crate) struct AccountView {
    id: String,
    name: String,
    /// What new links show when nothing else is said.
    detail: DetailWord,
    /// The label prefix of new properties.
    label_prefix: String,
    created_at: Instant,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            id: account.id.to_string(),
            name: account.name,
            detail: account.default_detail.into(),
            label_prefix: account.default_label_prefix,
            created_at: account.created_at.into(),
        }
    }
}

/// An account to be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewAccount, example = json!({"name": "Casas del Sol"}))]
pub(crate) struct NewAccountSchema {
    name: String,
    #[schema(default = "busy", nullable = false)]
    detail: Option<DetailWord>,
    #[schema(default = "EX-", nullable = false)]
    label_prefix: Option<String>,
}

/// A new account with its first token, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "acc_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Casas del Sol",
    "token": "cm_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA00000000"
}))]
pub(crate) struct CreatedAccount {
    id: String,
    name: String,
    token: String,
}

/// What of an account can be edited; null goes back to the default.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountEdit, example = json!({"name": "Casas del Mar", "detail": "label", "label_prefix": null}))]
pub(crate) struct AccountEditSchema {
    #[schema(nullable = false)]
    name: Option<String>,
    detail: Option<DetailWord>,
    label_prefix: Option<String>,
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NotFound => Self::not_found("account"),
            AccountError::Limited => Self::wrong_key(
                "This token sees some properties only and can't change the account. Use one for all of it.",
            ),
            AccountError::Outdated => Self::stale(),
            AccountError::Invalid(fields) => Self::invalid_fields(fields),
            AccountError::Store(error) => error.into(),
        }
    }
}

or_opens!(AccountOrOpens, AccountView);

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list, create, show, edit, delete)
}

/// All accounts, for the operator.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", operation_id = "list_accounts",
    params(ListParams), security(("operator_key" = [])),
    responses((status = 200, description = "One page, in order of id.", body = ListPage<AccountView>)))]
async fn list(_: Operator, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let page = api.desk.list_accounts(listing.page.clone()).await?;
    Ok(answer::plain(listing.answer(page, AccountView::from)))
}

/// Makes an account and its first token, for the operator.
#[utoipa::path(post, path = "/v1/accounts", tag = "accounts", operation_id = "create_account",
    request_body = NewAccountSchema, security(("operator_key" = [])),
    responses((status = 201, description = "Made. The token is shown this once.", body = CreatedAccount,
        headers(("Location" = String, description = "Where the account is, for the bearer of its token.")))))]
async fn create(
    _: Operator,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.required("name", text(NAME_MOST));
    let detail = fields.optional("detail", word(DETAILS));
    let label_prefix = fields.optional("label_prefix", text(LABEL_PREFIX_MOST));
    let new = fields.finish(|| Some(NewAccount { name: name?, detail, label_prefix }))?;
    let (account, secret) = api.desk.create_account(new).await?;
    let body = CreatedAccount { id: account.id.to_string(), name: account.name, token: secret.reveal().to_owned() };
    Ok(answer::created("/v1/account", None, body))
}

/// The caller's account.
#[utoipa::path(get, path = "/v1/account", tag = "accounts", operation_id = "get_account",
    responses((status = 200, description = "The account.", body = AccountView,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn show(owner: Owner, _: NoParams, State(api): State<Api>) -> Result<Response, Problem> {
    let account = api.desk.account(owner.reach()).await?;
    Ok(answer::single(account.version, AccountView::from(account)))
}

/// Changes the caller's account. What it says of links and properties is for those to come, so that a `preview` opens
/// nothing.
#[utoipa::path(patch, path = "/v1/account", tag = "accounts", operation_id = "edit_account",
    params(PreviewParams), request_body(content = AccountEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The account as it now is; or what a preview says.", body = AccountOrOpens,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.optional("name", text(NAME_MOST));
    let detail = fields.edit("detail", word(DETAILS));
    let label_prefix = fields.edit("label_prefix", text(LABEL_PREFIX_MOST));
    let edit = fields.finish(|| Some(AccountEdit { name, detail, label_prefix }))?;
    if preview {
        return Ok(Opens::answer(&api.desk.preview_account_edit(owner.reach(), &edit, &expected).await?));
    }
    let account = api.desk.edit_account(owner.reach(), &edit, &expected).await?;
    Ok(answer::single(account.version, AccountView::from(account)))
}

/// Deletes the caller's account and everything of it. Its tokens stop working at once, what is known of guests is
/// erased, and its private links serve an empty calendar for a week, so that the sites let go. With `preview`, says which
/// nights that would open, over all properties.
#[utoipa::path(delete, path = "/v1/account", tag = "accounts", operation_id = "delete_account",
    params(PreviewParams),
    responses((status = 204, description = "Deleted."),
        (status = 200, description = "What a preview says.", body = Opens)))]
async fn delete(
    owner: Owner,
    Preview(preview): Preview,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    if preview {
        return Ok(Opens::answer(&api.desk.preview_account_deletion(owner.reach(), &expected).await?));
    }
    api.desk.delete_account(owner.reach(), &expected).await?;
    Ok(answer::gone())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use calmesh_app::{
        DEFAULT_CHECK_IN, DEFAULT_CHECK_OUT, EraseError, NewProperty, PropertyError, Reach,
        fakes::Moment,
        model::{
            Connection, Detail, Direction, ExportSide, Format, LinkToken, RETIRES_AFTER, Snapshot, Status, Validators,
        },
        ports::{Event, PageRequest, ParkedBody},
    };
    use calmesh_calendar::ConnectionId;
    use http::Method;
    use jiff::{SignedDuration, Timestamp};
    use serde_json::json;

    use crate::{problem::Problem, testing::TestApi};

    #[tokio::test]
    async fn the_operator_makes_an_account_and_its_token_opens_it() {
        let api = TestApi::new().await;
        let made =
            api.ask(Method::POST, "/v1/accounts").by(&api.operator_key).json(json!({"name": "Mar"})).send().await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.header("location"), "/v1/account");
        let made = made.json();
        assert_eq!(made.as_object().unwrap().len(), 3);
        let token = made["token"].as_str().unwrap();
        let shown = api.ask(Method::GET, "/v1/account").by(token).send().await;
        assert_eq!(shown.header("etag"), "\"v1\"");
        assert_eq!(
            shown.json(),
            json!({"id": made["id"], "name": "Mar", "detail": "busy", "label_prefix": "EX-", "created_at": crate::testing::NOW})
        );
    }

    #[tokio::test]
    async fn only_the_operator_sees_the_accounts_and_only_accounts_see_themselves() {
        let api = TestApi::new().await;
        api.get("/v1/accounts").await.problem(403);
        api.post("/v1/accounts", json!({"name": "x"})).await.problem(403);
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let asked = api.ask(method, "/v1/account").by(&api.operator_key).json(json!({}));
            asked.send().await.problem(403);
        }
        let list = api.ask(Method::GET, "/v1/accounts").by(&api.operator_key).send().await.json();
        assert_eq!(list["items"][0]["name"], "Casas del Sol");
        assert_eq!(list["next_cursor"], json!(null));
    }

    #[tokio::test]
    async fn a_patch_changes_what_it_names_and_null_goes_back_to_the_default() {
        let api = TestApi::new().await;
        let changed = api.patch("/v1/account", json!({"detail": "full", "label_prefix": "IN-"})).await;
        assert_eq!(changed.status, 200);
        assert_eq!(changed.header("etag"), "\"v2\"");
        assert_eq!(changed.json()["detail"], "full");
        assert_eq!(changed.json()["name"], "Casas del Sol");
        let reset = api.patch("/v1/account", json!({"detail": null, "label_prefix": null})).await;
        assert_eq!(reset.json()["detail"], "busy");
        assert_eq!(reset.json()["label_prefix"], "EX-");
        let same = api.patch("/v1/account", json!({})).await;
        assert_eq!(same.header("etag"), "\"v3\"");
    }

    #[tokio::test]
    async fn every_wrong_field_is_named_at_once() {
        let api = TestApi::new().await;
        let wrong = json!({"id": "acc_1", "name": 7, "detail": "loud", "colour": "red", "label_prefix": ["x"]});
        let pointers = api.patch("/v1/account", wrong).await.pointers();
        assert_eq!(pointers, ["/id", "/name", "/detail", "/label_prefix", "/colour"]);
        for (body, pointer) in [
            (json!({"name": null}), "/name"),
            (json!({"name": " "}), "/name"),
            (json!({"name": "a\nb"}), "/name"),
            (json!({"name": "x".repeat(300)}), "/name"),
            (json!({"name": "x".repeat(3000)}), "/name"),
            (json!({"label_prefix": "x".repeat(100)}), "/label_prefix"),
            (json!([]), ""),
        ] {
            assert_eq!(api.patch("/v1/account", body).await.pointers(), [pointer]);
        }
        let made = api.ask(Method::POST, "/v1/accounts").by(&api.operator_key).json(json!({"token": "x"})).send().await;
        assert_eq!(made.pointers(), ["/token", "/name"]);
    }

    #[tokio::test]
    async fn a_stale_if_match_changes_nothing() {
        let api = TestApi::new().await;
        api.patch("/v1/account", json!({"name": "B"})).await;
        let stale = api.ask(Method::PATCH, "/v1/account").header("if-match", "\"v1\"").json(json!({"name": "C"}));
        stale.send().await.problem(412);
        api.ask(Method::DELETE, "/v1/account").header("if-match", "W/\"v2\"").send().await.problem(412);
        for good in ["*", "\"v3\"", "\"v9\", \"v4\""] {
            let asked = api.ask(Method::PATCH, "/v1/account").header("if-match", good).json(json!({"name": good}));
            assert_eq!(asked.send().await.status, 200, "{good}");
        }
    }

    #[tokio::test]
    async fn a_deleted_account_opens_nothing_from_then_on() {
        let api = TestApi::new().await;
        api.drain();
        let second = api.token_with(json!({"name": "second"})).await;
        assert_eq!(api.delete("/v1/account").await.status, 204);
        assert_eq!(api.drain(), [Event::AccountDeleted { account: api.account.id.clone() }]);
        api.get("/v1/account").await.problem(401);
        api.ask(Method::GET, "/v1/account").by(&second).send().await.problem(401);
        let list = api.ask(Method::GET, "/v1/accounts").by(&api.operator_key).send().await.json();
        assert_eq!(list["items"], json!([]));
        // Every start announces the erasure again, until it has come to its end.
        api.app.tick.announce_unfinished(api.ports.common.clock.now()).await.unwrap();
        assert_eq!(api.drain(), [Event::AccountDeleted { account: api.account.id.clone() }]);
        api.app.handle(&Event::AccountDeleted { account: api.account.id.clone() }).await.unwrap();
        api.app.tick.announce_unfinished(api.ports.common.clock.now()).await.unwrap();
        assert_eq!(api.drain(), []);
    }

    #[tokio::test]
    async fn an_erasure_whose_announcement_is_lost_is_announced_by_the_tick_until_it_is_done() {
        let api = TestApi::new().await;
        api.drain();
        api.bus.fail_next_after(0);
        assert_eq!(api.delete("/v1/account").await.status, 204);
        assert_eq!(api.drain(), []);
        let erasure = Event::AccountDeleted { account: api.account.id.clone() };
        for minutes in [2, 2, 4] {
            api.clock.advance(SignedDuration::from_mins(minutes));
            api.app.tick.announce_marks(api.ports.common.clock.now()).await.unwrap();
            assert_eq!(api.drain(), std::slice::from_ref(&erasure));
        }
        api.app.handle(&erasure).await.unwrap();
        api.clock.advance(SignedDuration::from_hours(24));
        api.app.tick.announce_marks(api.ports.common.clock.now()).await.unwrap();
        assert_eq!(api.drain(), []);
    }

    #[tokio::test]
    async fn a_property_that_is_made_while_its_account_goes_is_refused_as_every_request_of_it() {
        let api = TestApi::new().await;
        let reach = Reach::whole(api.account.id.clone());
        assert_eq!(api.delete("/v1/account").await.status, 204);
        let new = || NewProperty {
            name: "Flat".to_owned(),
            time_zone: "Europe/Madrid".to_owned(),
            check_in: DEFAULT_CHECK_IN,
            check_out: DEFAULT_CHECK_OUT,
            turnover_nights: 0,
            label_prefix: None,
        };
        // The request had passed the door before the account was deleted.
        let error = api.app.desk.create_property(&reach, new()).await.unwrap_err();
        assert!(matches!(error, PropertyError::AccountDeleted), "{error:?}");
        assert_eq!(Problem::from(error).into_response_with(None).status(), 401);
        api.app.merge.erase_account(&api.account.id).await.unwrap();
        let error = api.app.desk.create_property(&reach, new()).await.unwrap_err();
        assert!(matches!(error, PropertyError::AccountDeleted), "{error:?}");
    }

    /// A run that dies at any call is finished by the next one.
    async fn finish(api: &TestApi) {
        for call in 1.. {
            api.store.fail_call(call, if call % 2 == 0 { Moment::Before } else { Moment::After });
            let done = api.app.merge.erase_account(&api.account.id).await.is_ok();
            api.store.heal();
            if done {
                break;
            }
            assert!(call < 200, "it never comes to its end");
        }
        api.app.merge.erase_account(&api.account.id).await.unwrap();
    }

    #[tokio::test]
    async fn an_account_that_goes_leaves_empty_links_for_a_week_and_then_nothing_and_nothing_of_others_goes() {
        let api = TestApi::new().await;
        let (property, other_account) = (api.property(&api.account.id).await, api.stranger().await);
        let kept =
            api.ask(Method::POST, "/v1/links").by(&other_account).json(json!({"name": "k", "property_ids": "all"}));
        assert_eq!(kept.send().await.status, 201);
        let connection = ConnectionId::from_random([1; 16]);
        let (snapshot, token) = (Snapshot("aa".repeat(32)), LinkToken::from_random([3; 32]));
        let changed = api.app.changes.change_property(&property, |draft| {
            draft.state.connections.push(Connection {
                id: connection.clone(),
                account: draft.state.property.account.clone(),
                property: draft.state.property.id.clone(),
                name: "Airbnb".to_owned(),
                provider: "airbnb".into(),
                direction: Direction::Export,
                status: Status::Active,
                import: None,
                export: Some(ExportSide {
                    token: token.clone(),
                    detail: Detail::Busy,
                    format: Format::Nights,
                    last_changed_at: None,
                    paused: false,
                    recorded_since: draft.now,
                }),
                created_at: draft.now,
                named_at: draft.now,
                version: 1,
            });
            Ok::<_, std::convert::Infallible>(())
        });
        changed.await.unwrap();
        let body = ParkedBody { body: Bytes::from_static(b"BEGIN"), validators: Validators::default() };
        api.ports.snapshots.park(&api.account.id, &connection, &snapshot, &body).await.unwrap();
        api.ports.exports.put_export(&token, Bytes::from_static(b"BEGIN"), None).await.unwrap();
        let link = api.post("/v1/links", json!({"name": "a", "property_ids": "all"})).await.json();
        let link = LinkToken::parse(link["url"].as_str().unwrap().get(24..67).unwrap()).unwrap();
        assert!(api.ports.exports.export(&link).await.unwrap().is_some());

        assert!(matches!(api.app.merge.erase_account(&api.account.id).await, Err(EraseError::NotDeleted)));
        assert_eq!(api.delete("/v1/account").await.status, 204);
        let empties = |token: LinkToken| {
            let api = &api;
            async move { api.ports.exports.export(&token).await.unwrap().map(|object| object.body.len() < 400) }
        };
        finish(&api).await;
        // All that was known is gone at once; the links are empty, not gone, so that their readers let go.
        assert_eq!(api.ports.snapshots.parked(&api.account.id, &connection, &snapshot).await.unwrap(), None);
        assert_eq!(
            api.ports.common.activity.activity(&property, PageRequest { limit: 9, after: None }).await.unwrap().items,
            []
        );
        assert!(api.ports.common.properties.replaced_after(&property, Timestamp::UNIX_EPOCH).await.unwrap().is_empty());
        let left = api.ports.common.properties.load(&property).await.unwrap().unwrap();
        assert!(left.connections.is_empty() && left.blocks.is_empty() && left.retiring.len() == 1);
        assert_eq!(
            api.ports
                .common
                .accounts
                .tokens(&api.account.id, PageRequest { limit: 9, after: None })
                .await
                .unwrap()
                .items,
            []
        );
        assert_eq!((empties(token.clone()).await, empties(link.clone()).await), (Some(true), Some(true)));
        let until = api.ports.common.clock.now() + RETIRES_AFTER;
        // Said again, on the last second of the week: nothing moves.
        api.clock.set(until - SignedDuration::from_secs(1));
        api.app.merge.erase_account(&api.account.id).await.unwrap();
        api.work().await;
        assert_eq!((empties(token.clone()).await, empties(link.clone()).await), (Some(true), Some(true)));
        api.clock.set(until);
        finish(&api).await;
        api.app.tick.announce_marks(until).await.unwrap();
        api.work().await;
        assert_eq!(api.ports.common.accounts.account(&api.account.id).await.unwrap(), None);
        assert_eq!(api.ports.common.properties.load(&property).await.unwrap(), None);
        assert_eq!((empties(token).await, empties(link).await), (None, None));
        api.get("/v1/account").await.problem(401);
        let list = api.ask(Method::GET, "/v1/links").by(&other_account).send().await.json();
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    }
}
