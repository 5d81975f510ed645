//! Who calls: the bearer of a token, an identity of an OIDC issuer, or the operator.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use calmesh_app::{
    Opened, Reach, Refusal,
    model::{Scope, SecretHash, TokenSecret},
    ports::IdentityError,
};
use http::{HeaderMap, HeaderValue, header, request::Parts};

use crate::{
    api::Api,
    problem::{Kind, Problem},
};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    Operator,
    Account(Arc<Opened>),
}

impl Caller {
    /// A name for limits, kept answers and cursors; never a secret.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::Account(opened) => opened.account.id.to_string(),
        }
    }

    pub(crate) fn may_write(&self) -> bool {
        match self {
            Self::Operator => true,
            Self::Account(opened) => opened.scope == Scope::Full,
        }
    }
}

/// A caller who is an account. The operator gets 403.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) opened: Arc<Opened>,
}

impl Owner {
    /// What the caller sees.
    #[must_use]
    pub(crate) fn reach(&self) -> &Reach {
        &self.opened.reach
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Account(opened)) => Ok(Self { opened: opened.clone() }),
            Some(Caller::Operator) => Err(Problem::wrong_key(
                "The operator's key manages accounts only. Use a token of the account that this belongs to.",
            )),
            None => Err(unauthorized("Send a token: Authorization: Bearer cm_….", false)),
        }
    }
}

/// The operator. Accounts get 403.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operator;

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(Caller::Operator) => Ok(Self),
            Some(Caller::Account(_)) => {
                Err(Problem::wrong_key("Accounts are managed with the operator's key; an account's token can't."))
            }
            None => Err(unauthorized("Send the operator's key: Authorization: Bearer cm_….", false)),
        }
    }
}

fn unauthorized(detail: &str, wrong: bool) -> Problem {
    // RFC 6750, section 3.1: no error code where no token was sent.
    let challenge =
        if wrong { r#"Bearer realm="calmesh", error="invalid_token""# } else { r#"Bearer realm="calmesh""# };
    Problem::new(Kind::Unauthorized, detail).header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// The account went, before the request or under it.
pub(crate) fn account_deleted() -> Problem {
    unauthorized("The account of this token was deleted.", true)
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(unauthorized("Send one token: Authorization: Bearer cm_….", false));
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(unauthorized("The Authorization header must read: Bearer, a blank, the token.", false)),
    }
}

/// Finds out who calls.
pub(crate) async fn identify(api: &Api, headers: &HeaderMap) -> Result<Caller, Problem> {
    let text = bearer(headers)?;
    // A deployment's operator key is a generated secret of any form; only locally it is made like a token.
    if SecretHash::of(text).matches(&api.desk.operator_key) {
        return Ok(Caller::Operator);
    }
    let opened = if text.starts_with("cm_") {
        let Some(secret) = TokenSecret::parse(text) else {
            return Err(unauthorized("This is not a whole token: a part is missing or mistyped.", true));
        };
        api.desk.open_by_token(&secret).await
    } else {
        let Some(verifier) = &api.options.identity else {
            return Err(unauthorized("This is not a token of this service; those start with cm_.", true));
        };
        match verifier.verify(text).await {
            Ok(subject) => api.desk.open_by_identity(&subject).await,
            Err(error @ IdentityError::Unavailable(_)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an identity could not be verified");
                let wait = HeaderValue::from_static("60");
                return Err(Problem::new(Kind::Unavailable, "").header(header::RETRY_AFTER, wait));
            }
            Err(error) => return Err(unauthorized(&sentence(&error.to_string()), true)),
        }
    };
    opened.map(|opened| Caller::Account(Arc::new(opened))).map_err(|refusal| match refusal {
        Refusal::Unknown => unauthorized("This token is unknown or was revoked. Use another one.", true),
        Refusal::Expired => unauthorized("This token has expired. Make a new one with a token that has not.", true),
        Refusal::AccountDeleted => account_deleted(),
        Refusal::Store(error) => error.into(),
    })
}

/// An error's words as a sentence for the client.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use calmesh_app::ports::{IdentityError, IdentityVerifier, Subject};
    use http::Method;
    use serde_json::{Value, json};

    use crate::{options::RestOptions, scenes::*, testing::TestApi};

    struct Issuer;

    #[async_trait]
    impl IdentityVerifier for Issuer {
        async fn verify(&self, jwt: &str) -> Result<Subject, IdentityError> {
            match jwt.split('.').next() {
                Some("away") => Err(IdentityError::Unavailable("down".into())),
                Some("old") => Err(IdentityError::Expired),
                Some(who) => Ok(Subject { issuer: "https://issuer.example".to_owned(), subject: who.to_owned() }),
                None => Err(IdentityError::NotAJwt),
            }
        }
    }

    #[tokio::test]
    async fn who_may_only_read_may_check_a_feed_and_try_a_change_that_stays_undone() {
        let api = TestApi::new().await;
        let flat = api.flat().await;
        let connection = api.connect(&flat, "a", airbnb(&[STAY])).await;
        let path = format!("/v1/connections/{}", connection["id"].as_str().unwrap());
        let reader = api.token_with(json!({"name": "r", "scope": "read", "property_ids": [flat]})).await;
        let ask = |method: Method, path: String, body: Value| api.ask(method, &path).by(&reader).json(body).send();
        let check = ask(Method::POST, "/v1/feeds/check".to_owned(), json!({"url": url("a")})).await;
        assert_eq!((check.status, &check.json()["usable"]), (200, &json!(true)));
        api.drain();
        for (method, path, body) in [
            (Method::POST, format!("{path}/pause?preview=true"), json!({})),
            (Method::DELETE, format!("{path}?preview=true"), json!({})),
            (Method::PATCH, format!("{path}?preview=true"), json!({"direction": "export"})),
            (Method::DELETE, format!("/v1/properties/{flat}?preview=true"), json!({})),
        ] {
            let answer = ask(method, path.clone(), body).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.json()["opens"].as_array().unwrap().len(), 3, "{path}");
        }
        assert_eq!(api.get(&path).await.json(), connection);
        assert_eq!(api.drain(), []);
        for path in [path.clone(), format!("{path}?preview=false"), format!("{path}?preview=TRUE")] {
            ask(Method::DELETE, path, json!({})).await.problem(403);
        }
    }

    #[tokio::test]
    async fn an_identity_gets_an_account_at_its_first_use_and_the_same_one_later() {
        let identity: Arc<dyn IdentityVerifier> = Arc::new(Issuer);
        let api = TestApi::with(RestOptions { identity: Some(identity), ..RestOptions::new("0") }).await;
        let ana = api.ask(Method::GET, "/v1/account").by("ana.b.c").send().await;
        assert_eq!(ana.status, 200);
        assert_eq!(api.ask(Method::GET, "/v1/account").by("ana.d.e").send().await.body, ana.body);
        let bob = api.ask(Method::GET, "/v1/account").by("bob.b.c").send().await;
        assert_ne!(bob.json()["id"], ana.json()["id"]);
        let expired = api.ask(Method::GET, "/v1/account").by("old.b.c").send().await;
        assert!(expired.problem(401)["detail"].as_str().unwrap().contains("expired"));
        api.ask(Method::GET, "/v1/account").by("away.b.c").send().await.problem(503);
        assert_eq!(api.get("/v1/account").await.status, 200);
        assert_eq!(api.ask(Method::DELETE, "/v1/account").by("ana.b.c").send().await.status, 204);
        api.ask(Method::GET, "/v1/account").by("ana.b.c").send().await.problem(401);
    }
}
