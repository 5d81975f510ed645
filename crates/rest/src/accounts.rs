//! Accounts: the operator's list, and the caller's own.

use axum::{extract::State, response::Response};
use calmesh_app::{AccountEdit, AccountError, NewAccount, model::Account};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    Api,
    answer::{self, IfMatch, Instant},
    body::{JsonBody, text, word},
    caller::{Operator, Owner},
    problem::Problem,
    query::{ListPage, ListParams, Listing, NoParams},
    words::{DETAILS, DetailWord},
};

const TEXT_MOST: usize = 1000;
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
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct NewAccountSchema {
    name: String,
    #[schema(default = "busy")]
    detail: Option<DetailWord>,
    #[schema(default = "EX-")]
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
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct AccountEditSchema {
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

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(show, edit, delete))
}

/// All accounts, for the operator.
#[utoipa::path(get, path = "/v1/accounts", tag = "accounts", operation_id = "list_accounts",
    params(ListParams), security(("operator_key" = [])),
    responses((status = 200, description = "One page, in order of id.", body = ListPage<AccountView>)))]
async fn list(_: Operator, listing: Listing, State(api): State<Api>) -> Result<Response, Problem> {
    let page = api.app.list_accounts(listing.page.clone()).await?;
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
    let name = fields.required("name", text(TEXT_MOST));
    let detail = fields.optional("detail", word(DETAILS));
    let label_prefix = fields.optional("label_prefix", text(TEXT_MOST));
    let new = fields.finish(|| Some(NewAccount { name: name?, detail, label_prefix }))?;
    let (account, secret) = api.app.create_account(new).await?;
    let body =
        CreatedAccount { id: account.id.to_string(), name: account.name, token: secret.reveal().to_owned() };
    Ok(answer::created("/v1/account", None, body))
}

/// The caller's account.
#[utoipa::path(get, path = "/v1/account", tag = "accounts", operation_id = "get_account",
    responses((status = 200, description = "The account.", body = AccountView,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn show(owner: Owner, _: NoParams, State(api): State<Api>) -> Result<Response, Problem> {
    let account = api.app.account(owner.reach()).await?;
    Ok(answer::single(account.version, AccountView::from(account)))
}

/// Changes the caller's account.
#[utoipa::path(patch, path = "/v1/account", tag = "accounts", operation_id = "edit_account",
    request_body(content = AccountEditSchema, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The account as it now is.", body = AccountView,
        headers(("ETag" = String, description = "For If-Match.")))))]
async fn edit(
    owner: Owner,
    _: NoParams,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, Problem> {
    fields.read_only(READ_ONLY);
    let name = fields.optional("name", text(TEXT_MOST));
    let detail = fields.edit("detail", word(DETAILS));
    let label_prefix = fields.edit("label_prefix", text(TEXT_MOST));
    let edit = fields.finish(|| Some(AccountEdit { name, detail, label_prefix }))?;
    let account = api.app.edit_account(owner.reach(), &edit, &expected).await?;
    Ok(answer::single(account.version, AccountView::from(account)))
}

/// Deletes the caller's account and everything of it. Its tokens stop working at once.
#[utoipa::path(delete, path = "/v1/account", tag = "accounts", operation_id = "delete_account",
    responses((status = 204, description = "Deleted.")))]
async fn delete(
    owner: Owner,
    _: NoParams,
    IfMatch(expected): IfMatch,
    State(api): State<Api>,
) -> Result<Response, Problem> {
    api.app.delete_account(owner.reach(), &expected).await?;
    Ok(answer::gone())
}
