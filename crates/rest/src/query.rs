//! Reading a request's query and path: every parameter is known, and there once.

use std::{fmt::Display, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    response::Response,
};
use calmesh_app::ports::{Page, PageRequest};
use http::request::Parts;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::{
    answer,
    api::Api,
    caller::Caller,
    cursor,
    problem::{FieldProblem, Problem},
};

/// The parameters of a query. Reading takes them out; what is left at the end is unknown.
#[derive(Debug)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    errors: Vec<FieldProblem>,
}

impl Params {
    fn of(parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        Self { pairs, errors: Vec::new() }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let found: Vec<String> = self.pairs.extract_if(.., |(key, _)| key == name).map(|(_, value)| value).collect();
        if found.len() > 1 {
            self.flaw(name, "is given more than once");
        }
        found.into_iter().next()
    }

    /// Notes what is wrong with a parameter.
    pub(crate) fn flaw(&mut self, name: &str, detail: impl Into<String>) {
        self.errors.push(FieldProblem::query(name, detail));
    }

    /// A parameter that may be left out.
    pub(crate) fn optional<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.take(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.flaw(name, detail);
                None
            }
        }
    }

    /// A parameter that must be there. `None` only with a mistake noted.
    pub(crate) fn required<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if self.pairs.iter().any(|(key, _)| key == name) {
            return self.optional(name, read);
        }
        self.flaw(name, "is required");
        None
    }

    /// A switch, `true` or `false`; false when left out.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let read = |text: &str| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        };
        self.optional(name, read).unwrap_or_default()
    }

    /// The end of reading.
    ///
    /// # Errors
    /// 422 with every mistake at once, unknown parameters among them.
    pub(crate) fn finish<T>(mut self, made: impl FnOnce() -> Option<T>) -> Result<T, Problem> {
        let unknown: Vec<String> = self.pairs.drain(..).map(|(name, _)| name).collect();
        for name in unknown {
            self.flaw(&name, "is not a parameter here; check its spelling or leave it out");
        }
        if !self.errors.is_empty() {
            return Err(Problem::invalid(self.errors));
        }
        made().ok_or_else(|| Problem::invalid(vec![FieldProblem::query("", "lacks a parameter")]))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::of(parts))
    }
}

/// No parameters at all: any is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoParams;

impl<S: Send + Sync> FromRequestParts<S> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Params::of(parts).finish(|| Some(Self))
    }
}

/// Only `preview`, for what can be tried without being done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Preview(pub(crate) bool);

impl<S: Send + Sync> FromRequestParts<S> for Preview {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut params = Params::of(parts);
        let preview = params.flag("preview");
        params.finish(|| Some(Self(preview)))
    }
}

pub(crate) const LIMIT_MOST: u16 = 200;
const LIMIT_DEFAULT: u16 = 50;
/// Bytes of a page whose items may be large: a function may answer 6 MB at once.
const PAGE_MOST: usize = 1_000_000;

/// Which page of a list: `limit` and `cursor`. A cursor works for the account and list that it was made for.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) page: PageRequest,
    key: [u8; 32],
    list: String,
}

/// The parameters of every list, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used; lists are read by Listing")]
pub(crate) struct ListParams {
    /// How many items at most, 1 to 200.
    #[param(default = 50, minimum = 1, maximum = 200)]
    limit: Option<u16>,
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The parameter of what can be tried, for the document.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its schema is used; it is read by Preview")]
pub(crate) struct PreviewParams {
    /// `true` answers what would happen and changes nothing.
    #[param(default = false)]
    preview: Option<bool>,
}

impl Listing {
    /// Takes `limit` and `cursor` out of a query that has more parameters; those must name the list too.
    pub(crate) fn take(params: &mut Params, api: &Api, account: &str, list: String) -> Self {
        let list = format!("{account} {list}");
        let key = api.desk.cursor_key;
        let limit = params.optional("limit", |text| {
            let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MOST).contains(limit));
            limit.ok_or_else(|| format!("must be a whole number from 1 to {LIMIT_MOST}"))
        });
        let after = params.optional("cursor", |text| {
            cursor::open(&key, &list, text).ok_or_else(|| {
                "is not a cursor of this list; start again without it, and pass next_cursor on as it is".to_owned()
            })
        });
        Self { page: PageRequest { limit: limit.unwrap_or(LIMIT_DEFAULT), after }, key, list }
    }

    /// The answer's page of what may be large, one by one. None where its text would be longer than a megabyte: half as
    /// many are to be asked for then.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn fitting<T, V: Serialize>(
        &self,
        asked: &mut PageRequest,
        page: Page<T>,
        view: impl FnMut(T) -> V,
    ) -> Result<Option<Response>, Problem> {
        let bytes = serde_json::to_vec(&self.answer(page, view)).map_err(|error| Problem::internal(&error))?;
        if bytes.len() <= PAGE_MOST || asked.limit <= 1 {
            return Ok(Some(answer::json(bytes)));
        }
        asked.limit /= 2;
        Ok(None)
    }

    /// The answer's page.
    pub(crate) fn answer<T, V>(&self, page: Page<T>, view: impl FnMut(T) -> V) -> ListPage<V> {
        ListPage {
            items: page.items.into_iter().map(view).collect(),
            next_cursor: page.next.map(|next| cursor::seal(&self.key, &self.list, &next)),
        }
    }
}

impl FromRequestParts<Api> for Listing {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let mut params = Params::of(parts);
        let caller = parts.extensions.get::<Caller>().map(Caller::name).unwrap_or_default();
        let listing = Self::take(&mut params, api, &caller, parts.uri.path().to_owned());
        params.finish(|| Some(listing))
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListPage<T> {
    pub(crate) items: Vec<T>,
    /// Pass it as `cursor` for the next page; null at the end.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// The `{id}` of a path. What has not the form of such an id is not there.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: FromStr<Err: Display>, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unknown = || Problem::not_found("thing");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        text.parse().map(Self).map_err(|_| unknown())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_of(asked: &PageRequest) -> Page<String> {
        Page { items: vec!["x".repeat(30_000); usize::from(asked.limit)], next: Some(asked.limit.to_string()) }
    }

    #[test]
    fn a_page_whose_text_would_be_too_long_is_asked_for_again_and_is_shorter() {
        let page = PageRequest { limit: 200, after: None };
        let listing = Listing { page: page.clone(), key: [0; 32], list: "things".to_owned() };
        let (mut asked, mut tries) = (page, Vec::new());
        let answer = loop {
            tries.push(asked.limit);
            let page = page_of(&asked);
            if let Some(answer) = listing.fitting(&mut asked, page, |item| item).unwrap() {
                break answer;
            }
        };
        assert_eq!(tries, [200, 100, 50, 25], "30 kB each, a megabyte at most");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let one = PageRequest { limit: 1, after: None };
        let huge = Page { items: vec!["x".repeat(2 * PAGE_MOST)], next: None };
        assert!(listing.fitting(&mut one.clone(), huge, |item| item).unwrap().is_some(), "one thing is always told");
    }
}
