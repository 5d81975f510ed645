//! API tokens of the caller's account.

use axum::{extract::State, response::Response};
use calmesh_app::{
    NewToken, TokenError,
    limits::{NAME_MOST, SELECTION_MOST},
    model::{Scope, Token},
};
use calmesh_calendar::{PropertyId, TokenId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    answer::{self, IfMatch, Instant},
    api::Api,
    body::{JsonBody, id, instant, list, text, word},
    caller::Owner,
    problem::Problem,
    query::{ListPage, ListParams, Listing, NoParams, PathId},
    routes::{Routes, routes},
    words::{SCOPES, ScopeWord},
};

/// An API token; its secret is shown once, when it is made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token, example = json!({
    "id": "tok_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Ana's phone", "expires_at": null, "scope": "read",
    "property_ids": ["prp_0k5w8v1x2y3z4a5b6c7d8e9f0g"], "created_at": "2026-11-01T09:30:00Z"
}))]
pub(crate) struct TokenView {
    id: String,
    name: String,
    /// Null: it does not expire.
    #[schema(required)]
    expires_at: Option<Instant>,
    scope: ScopeWord,
    /// The properties that it sees; null: all of the account.
    #[schema(required)]
    property_ids: Option<Vec<String>>,
    created_at: Instant,
}

/// A new token with its secret, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "tok_0k5w8v1x2y3z4a5b6c7d8e9f0g", "name": "Ana's phone", "expires_at": null, "scope": "read",
    "property_ids": null, "created_at": "2026-11-01T09:30:00Z",
    "token": "cm_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA00000000"
}))]
pub(crate) struct CreatedToken {
    #[serde(flatten)]
    view: TokenView,
    token: String,
}

/// A token to be made.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = NewToken, example = json!({
    "name": "Ana's phone", "scope": "read", "property_ids": null, "expires_at": "2027-01-01T00:00:00Z"
}))]
pub(crate) struct NewTokenSchema {
    name: String,
    expires_at: Option<Instant>,
    /// `full` when left out.
    #[schema(nullable = false)]
    scope: Option<ScopeWord>,
    property_ids: Option<Vec<String>>,
}

impl From<Token> for TokenView {
    fn from(token: Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            expires_at: token.expires_at.map(Instant),
            scope: token.scope.into(),
            property_ids: token.properties.map(|some| some.iter().map(ToString::to_string).collect()),
            created_at: token.created_at.into(),
        }
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::NotFound => Self::not_found("token"),
            TokenError::Limited => Self::wrong_key(
                "This token sees some properties only and can't manage tokens. Use one for all of them.",
            ),
            TokenError::LastFull => Self::conflict(
                "This is the account's last token that may do everything: without it nobody could reach the account any \
                 more. Make another one with POST /v1/tokens first and revoke this one with it, or delete the account \
                 with DELETE /v1/account.",
            )
            .slug("last-token"),
            TokenError::Invalid(fields) => Self::invalid_fields(fields),
            TokenError::Full(full) => full.into(),
            TokenError::Store(error) => error.into(),
        }
    }
}

pub(crate) fn routes(others: Routes) -> Routes {
    routes!(others; list_all, create, revoke)
}

/// The account's tokens, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", operation_id = "list_tokens", params(ListParams),
    responses((status = 200, description = "One page, in order of id.", body = ListPage<TokenView>)))]
async fn list_all(owner: Owner, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let mut asked = listing.page.clone();
    loop {
        let page = api.desk.list_tokens(owner.reach(), asked.clone()).await?;
        if let Some(answer) = listing.fitting(&mut asked, page, TokenView::from)? {
            return Ok(answer);
        }
    }
}

/// Makes a token. Its secret is in this answer and nowhere else.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", operation_id = "create_token",
    request_body = NewTokenSchema,
    responses((status = 201, description = "Made.", body = CreatedToken,
        headers(("Location" = String, description = "Where the token can be revoked.")))))]
async fn create(
    owner: Owner,
    _: NoParams,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(&["id", "created_at", "token"]);
    let name = fields.required("name", text(NAME_MOST));
    let expires_at = fields.nullable("expires_at", instant);
    let scope = fields.optional("scope", word(SCOPES)).unwrap_or(Scope::Full);
    let properties = fields.nullable("property_ids", list(SELECTION_MOST, id::<PropertyId>));
    let new = fields.finish(|| Some(NewToken { name: name?, scope, properties, expires_at }))?;
    let (token, secret) = api.desk.create_token(owner.reach(), new).await?;
    let location = format!("/v1/tokens/{}", token.id);
    let body = CreatedToken { view: token.into(), token: secret.reveal().to_owned() };
    Ok(answer::created(&location, None, body))
}

/// Revokes a token: it opens nothing from the answer on. The account's last one that may do everything can't revoke
/// itself.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "revoke_token",
    params(("id" = String, Path, description = "The token's id, `tok_…`; never its secret.")),
    responses((status = 204, description = "Revoked.")))]
async fn revoke(
    owner: Owner,
    PathId(id): PathId<TokenId>,
    _: NoParams,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    // A token can't be edited, so it is for ever its first version.
    if !expected.fits(1) {
        return Err(Problem::stale());
    }
    api.desk.revoke_token(owner.reach(), owner.opened.token.as_ref(), &id).await?;
    Ok(answer::gone())
}

#[cfg(test)]
mod tests {
    use http::Method;
    use jiff::SignedDuration;
    use serde_json::json;

    use crate::testing::TestApi;

    #[tokio::test]
    async fn a_token_is_shown_once_listed_without_its_secret_and_revoked() {
        let api = TestApi::new().await;
        let made = api.post("/v1/tokens", json!({"name": "Phone"})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let body = made.json();
        let secret = body["token"].as_str().unwrap();
        assert!(secret.starts_with("cm_"));
        assert_eq!(body["scope"], "full");
        assert_eq!(body["expires_at"], json!(null));
        assert_eq!(body["property_ids"], json!(null));
        let location = made.header("location");
        assert_eq!(location, format!("/v1/tokens/{}", body["id"].as_str().unwrap()));
        let list = api.get("/v1/tokens").await;
        assert_eq!(list.json()["items"].as_array().unwrap().len(), 2);
        assert!(!list.text().contains("cm_"));
        assert_eq!(api.ask(Method::GET, "/v1/account").by(secret).send().await.status, 200);
        assert_eq!(api.delete(location).await.status, 204);
        api.ask(Method::GET, "/v1/account").by(secret).send().await.problem(401);
        api.delete(location).await.problem(404);
    }

    #[tokio::test]
    async fn an_expired_token_opens_nothing() {
        let api = TestApi::new().await;
        let secret = api.token_with(json!({"name": "Short", "expires_at": "2026-11-21T11:00:00+00:00"})).await;
        assert_eq!(api.ask(Method::GET, "/v1/account").by(&secret).send().await.status, 200);
        api.clock.advance(SignedDuration::from_hours(1));
        let refused = api.ask(Method::GET, "/v1/account").by(&secret).send().await;
        assert!(refused.problem(401)["detail"].as_str().unwrap().contains("expired"));
        assert!(refused.header("www-authenticate").starts_with("Bearer"));
    }

    #[tokio::test]
    async fn a_token_that_may_read_changes_nothing() {
        let api = TestApi::new().await;
        let reader = api.token_with(json!({"name": "Reader", "scope": "read"})).await;
        for path in ["/v1/account", "/v1/tokens", "/v1/links", "/v1/providers"] {
            assert_eq!(api.ask(Method::GET, path).by(&reader).send().await.status, 200, "{path}");
        }
        for (method, path) in [
            (Method::PATCH, "/v1/account"),
            (Method::DELETE, "/v1/account"),
            (Method::POST, "/v1/tokens"),
            (Method::POST, "/v1/links"),
        ] {
            api.ask(method, path).by(&reader).json(json!({"name": "x"})).send().await.problem(403);
        }
    }

    #[tokio::test]
    async fn the_last_token_that_may_do_everything_can_not_revoke_itself() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let own = api.get("/v1/tokens").await.json()["items"][0]["id"].as_str().unwrap().to_owned();
        // None of these could do everything in its place.
        api.token_with(json!({"name": "Reader", "scope": "read"})).await;
        api.token_with(json!({"name": "Narrow", "property_ids": [property.as_str()]})).await;
        api.token_with(json!({"name": "Old", "expires_at": "2026-11-21T11:00:00Z"})).await;
        api.clock.advance(SignedDuration::from_hours(2));
        let refused = api.delete(&format!("/v1/tokens/{own}")).await.problem(409);
        assert_eq!(refused["type"], "/problems/last-token");
        assert_eq!(api.get("/v1/account").await.status, 200);
        let second = api.token_with(json!({"name": "Second"})).await;
        assert_eq!(api.delete(&format!("/v1/tokens/{own}")).await.status, 204);
        api.get("/v1/account").await.problem(401);
        assert_eq!(api.ask(Method::GET, "/v1/account").by(&second).send().await.status, 200);
    }

    #[tokio::test]
    async fn an_account_has_two_hundred_tokens_at_most() {
        let api = TestApi::new().await;
        for n in 1..200 {
            api.token_with(json!({"name": format!("Token {n}")})).await;
        }
        let full = api.post("/v1/tokens", json!({"name": "One more"})).await.problem(409);
        assert_eq!((&full["type"], &full["limit"]), (&json!("/problems/limit-reached"), &json!(200)));
    }

    #[tokio::test]
    async fn a_token_for_some_properties_can_not_make_itself_a_wider_one() {
        let api = TestApi::new().await;
        let property = api.property(&api.account.id).await;
        let narrow = api.token_with(json!({"name": "Narrow", "property_ids": [property.as_str()]})).await;
        assert_eq!(api.ask(Method::GET, "/v1/account").by(&narrow).send().await.status, 200);
        for (method, path) in [
            (Method::GET, "/v1/tokens"),
            (Method::POST, "/v1/tokens"),
            (Method::PATCH, "/v1/account"),
            (Method::DELETE, "/v1/account"),
        ] {
            api.ask(method, path).by(&narrow).json(json!({"name": "x"})).send().await.problem(403);
        }
    }

    #[tokio::test]
    async fn a_token_names_properties_of_its_own_account_only() {
        let api = TestApi::new().await;
        let other = api.property(&calmesh_calendar::AccountId::from_random([9; 16])).await;
        let wrong = api.post("/v1/tokens", json!({"name": "x", "property_ids": [other.as_str()]})).await;
        assert_eq!(wrong.pointers(), ["/property_ids"]);
    }

    #[tokio::test]
    async fn every_wrong_field_of_a_token_is_named() {
        let api = TestApi::new().await;
        let wrong = json!({
            "id": "tok_1", "token": "cm_x", "expires_at": "tomorrow", "scope": "admin", "property_ids": "all", "colour": 1
        });
        let pointers = api.post("/v1/tokens", wrong).await.pointers();
        assert_eq!(pointers, ["/id", "/token", "/name", "/expires_at", "/scope", "/property_ids", "/colour"]);
        for (body, pointer) in [
            (json!({"name": ""}), "/name"),
            (json!({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
            (json!({"name": "x", "scope": null}), "/scope"),
            (json!({"name": "x", "property_ids": []}), "/property_ids"),
            (json!({"name": "x", "property_ids": ["con_1"]}), "/property_ids"),
        ] {
            assert_eq!(api.post("/v1/tokens", body).await.pointers(), [pointer]);
        }
    }

    #[tokio::test]
    async fn a_token_of_another_account_is_not_there() {
        let api = TestApi::new().await;
        let stranger = api.stranger().await;
        let list = api.get("/v1/tokens").await.json();
        let path = format!("/v1/tokens/{}", list["items"][0]["id"].as_str().unwrap());
        api.ask(Method::DELETE, &path).by(&stranger).send().await.problem(404);
        api.delete("/v1/tokens/nonsense").await.problem(404);
        api.delete("/v1/tokens/%ff").await.problem(404);
        api.ask(Method::DELETE, &path).header("if-match", "\"v7\"").send().await.problem(412);
        assert_eq!(api.get("/v1/tokens").await.status, 200);
    }
}
