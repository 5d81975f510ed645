//! Tokens of an issuer on this machine that really signs, and of those who pretend.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    future::IntoFuture,
    sync::{Arc, Mutex},
};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair},
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use calmesh_app::{
    fakes::FixedClock,
    ports::{Clock, IdentityError, IdentityVerifier},
};
use calmesh_oidc::{OidcConfigError, OidcVerifier, account_id};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const AUDIENCE: &str = "calmesh";
const NOW: i64 = 1_795_000_000;

/// A signing key, and the public half as the issuer publishes it.
#[derive(Clone)]
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn rsa(id: &'static str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self { id, algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&pkcs1_of(pkcs8.as_ref())) }
    }

    fn ec(id: &'static str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self { id, algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(pkcs8.as_ref()) }
    }

    fn ed(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self { id, algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(pkcs8.as_ref()) }
    }

    fn jwk(&self) -> Value {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    fn sign(&self, claims: &Value) -> String {
        self.sign_as(Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) }, claims)
    }

    fn sign_as(&self, header: Header, claims: &Value) -> String {
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

/// The PKCS#1 key inside of a PKCS#8 one: the octets behind the header, whose length is fixed for 2,048 bits.
fn pkcs1_of(pkcs8: &[u8]) -> Vec<u8> {
    pkcs8[26..].to_vec()
}

#[derive(Default)]
struct Published {
    keys: Vec<Value>,
    /// Answered instead of the keys.
    status: Option<StatusCode>,
    /// Takes the request and never answers.
    hangs: bool,
    names_itself: Option<String>,
    reads: usize,
}

/// An issuer on loopback. Its keys may change between two tokens.
#[derive(Clone)]
struct LocalIssuer {
    url: String,
    published: Arc<Mutex<Published>>,
}

impl LocalIssuer {
    async fn start(keys: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = Self { url: format!("http://{}", listener.local_addr().unwrap()), published: Arc::default() };
        issuer.publish(keys);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/keys", get(published))
            .with_state(issuer.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        issuer
    }

    fn publish(&self, keys: &[&Signer]) {
        self.published.lock().unwrap().keys = keys.iter().map(|key| key.jwk()).collect();
    }

    fn fail(&self, status: Option<StatusCode>) {
        self.published.lock().unwrap().status = status;
    }

    fn reads(&self) -> usize {
        self.published.lock().unwrap().reads
    }

    fn claims(&self) -> Value {
        json!({"iss": self.url, "sub": "host-1", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW})
    }

    fn verifier(&self) -> (OidcVerifier, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock::at(Timestamp::from_second(NOW).unwrap()));
        let verifier = OidcVerifier::new(&self.url, AUDIENCE, Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
        (verifier, clock)
    }

    async fn verify(&self, jwt: &str) -> Result<String, IdentityError> {
        Ok(self.verifier().0.verify(jwt).await?.subject)
    }
}

async fn discovery(State(issuer): State<LocalIssuer>) -> Json<Value> {
    let named = issuer.published.lock().unwrap().names_itself.clone();
    Json(json!({"issuer": named.unwrap_or_else(|| issuer.url.clone()), "jwks_uri": format!("{}/keys", issuer.url)}))
}

async fn published(State(issuer): State<LocalIssuer>) -> Result<Json<Value>, StatusCode> {
    if issuer.published.lock().unwrap().hangs {
        issuer.published.lock().unwrap().reads += 1;
        std::future::pending::<()>().await;
    }
    let mut published = issuer.published.lock().unwrap();
    published.reads += 1;
    match published.status {
        Some(status) => Err(status),
        None => Ok(Json(json!({"keys": published.keys}))),
    }
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// A token from parts as they stand.
fn raw(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_token_of_each_accepted_algorithm_names_its_subject() {
    let signers = [Signer::rsa("r"), Signer::ec("e"), Signer::ed("d")];
    let issuer = LocalIssuer::start(&signers.each_ref()).await;
    for signer in &signers {
        assert_eq!(issuer.verify(&signer.sign(&issuer.claims())).await.unwrap(), "host-1", "{:?}", signer.algorithm);
    }
}

#[tokio::test]
async fn the_account_follows_issuer_and_subject_together() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let subject = issuer.verifier().0.verify(&signer.sign(&issuer.claims())).await.unwrap();
    assert_eq!(subject.account_id(), account_id(&issuer.url, "host-1"));
    assert_ne!(account_id("https://a", "bc"), account_id("https://ab", "c"));
    assert_ne!(account_id("https://a", "b"), account_id("https://a", "c"));
    // Fixed for good: another form would lose every account.
    assert_eq!(account_id("https://id.example", "host-1").as_str(), "acc_3r71ptncnqaqg9y15xvq1n3ada");
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let issuer = LocalIssuer::start(&[&Signer::ed("d")]).await;
    for alg in ["none", "None", "NONE", "nOnE"] {
        for kid in [json!("d"), Value::Null] {
            let token = raw(&json!({"alg": alg, "typ": "JWT", "kid": kid}), &issuer.claims(), b"");
            assert!(matches!(issuer.verify(&token).await, Err(IdentityError::NotAJwt)), "{alg}");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_shared_secret() {
    let signer = Signer::rsa("r");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let jwk = signer.jwk();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    for secret in [modulus, jwk.to_string().into_bytes(), jwk["n"].as_str().unwrap().into()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some("r".to_owned()), ..Header::new(algorithm) };
            let token = jsonwebtoken::encode(&header, &issuer.claims(), &EncodingKey::from_secret(&secret)).unwrap();
            assert!(matches!(issuer.verify(&token).await, Err(IdentityError::Algorithm)), "{algorithm:?}");
        }
    }
}

#[tokio::test]
async fn a_key_is_used_for_its_own_algorithm_alone() {
    let (rsa, ec) = (Signer::rsa("r"), Signer::ec("e"));
    let issuer = LocalIssuer::start(&[&rsa, &ec]).await;
    // Signed by one key, naming the other.
    let header = Header { kid: Some("r".to_owned()), ..Header::new(Algorithm::ES256) };
    assert!(matches!(issuer.verify(&ec.sign_as(header, &issuer.claims())).await, Err(IdentityError::Algorithm)));
    // The right key, by an algorithm of its family that is not accepted.
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let header = Header { kid: Some("r".to_owned()), ..Header::new(algorithm) };
        assert!(matches!(issuer.verify(&rsa.sign_as(header, &issuer.claims())).await, Err(IdentityError::Algorithm)));
    }
}

#[tokio::test]
async fn a_key_that_the_token_brings_along_is_not_believed() {
    let (theirs, mine) = (Signer::ed("d"), Signer::ed("d"));
    let issuer = LocalIssuer::start(&[&theirs]).await;
    let jwk: Jwk = serde_json::from_value(mine.jwk()).unwrap();
    let header = Header { kid: Some("d".to_owned()), jwk: Some(jwk), ..Header::new(Algorithm::EdDSA) };
    assert!(matches!(issuer.verify(&mine.sign_as(header, &issuer.claims())).await, Err(IdentityError::Signature)));
}

#[tokio::test]
async fn a_changed_claim_breaks_the_signature() {
    let signer = Signer::ec("e");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let token = signer.sign(&issuer.claims());
    let parts: Vec<_> = token.split('.').collect();
    let claims = URL_SAFE_NO_PAD.encode(with(issuer.claims(), "sub", json!("host-2")).to_string());
    let forged = format!("{}.{claims}.{}", parts[0], parts[2]);
    assert!(matches!(issuer.verify(&forged).await, Err(IdentityError::Signature)));
}

#[tokio::test]
async fn a_token_of_another_issuer_or_for_another_service_is_refused() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let verify = |name: &'static str, value: Value| {
        let (issuer, token) = (issuer.clone(), signer.sign(&with(issuer.claims(), name, value)));
        async move { issuer.verify(&token).await }
    };
    assert!(matches!(verify("iss", json!("https://id.example")).await, Err(IdentityError::Issuer)));
    assert!(matches!(verify("iss", json!(format!("{}/", issuer.url))).await, Err(IdentityError::Issuer)));
    assert!(matches!(verify("aud", json!("another")).await, Err(IdentityError::Audience)));
    assert!(matches!(verify("aud", json!(["a", "b"])).await, Err(IdentityError::Audience)));
    assert_eq!(verify("aud", json!(["a", AUDIENCE])).await.unwrap(), "host-1");
}

#[tokio::test]
async fn a_token_is_good_from_nbf_to_exp_with_a_minute_on_each_side() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let (verifier, clock) = issuer.verifier();
    let token = signer.sign(&with(issuer.claims(), "nbf", json!(NOW + 100)));
    for (second, good) in [(39, false), (40, true), (359, true), (360, false), (100_000, false)] {
        clock.set(Timestamp::from_second(NOW + second).unwrap());
        let verified = verifier.verify(&token).await;
        match (good, second < 100) {
            (true, _) => assert!(verified.is_ok(), "{second}"),
            (false, true) => assert!(matches!(verified, Err(IdentityError::NotYetValid)), "{second}"),
            (false, false) => assert!(matches!(verified, Err(IdentityError::Expired)), "{second}"),
        }
    }
}

#[tokio::test]
async fn a_claim_that_is_missing_is_named() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    for name in ["iss", "sub", "aud", "exp"] {
        let token = signer.sign(&without(issuer.claims(), name));
        let error = issuer.verify(&token).await.unwrap_err();
        assert!(matches!(error, IdentityError::MissingClaim(missing) if missing == name), "{name}: {error:?}");
    }
    let error = issuer.verify(&signer.sign(&with(issuer.claims(), "sub", json!("")))).await.unwrap_err();
    assert!(matches!(error, IdentityError::MissingClaim("sub")));
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_asking_the_issuer() {
    let issuer = LocalIssuer::start(&[]).await;
    let long = "a".repeat(20_000);
    for text in ["", "cm_abc", "a.b", "a.b.c", "..", "ey.ey.ey", &format!("{long}.b.c")] {
        assert!(matches!(issuer.verify(text).await, Err(IdentityError::NotAJwt)), "{text}");
    }
    let critical = raw(&json!({"alg": "EdDSA", "crit": ["exp"], "exp": 1}), &issuer.claims(), b"x");
    assert!(matches!(issuer.verify(&critical).await, Err(IdentityError::NotAJwt)));
    assert_eq!(issuer.reads(), 0);
}

#[tokio::test]
async fn a_token_without_a_key_id_needs_a_single_key_of_its_algorithm() {
    let (one, two) = (Signer::ed("one"), Signer::ed("two"));
    let issuer = LocalIssuer::start(&[&one, &Signer::ec("e")]).await;
    let token = one.sign_as(Header::new(Algorithm::EdDSA), &issuer.claims());
    assert_eq!(issuer.verify(&token).await.unwrap(), "host-1");
    issuer.publish(&[&one, &two]);
    assert!(matches!(issuer.verify(&token).await, Err(IdentityError::UnknownKey)));
}

#[tokio::test]
async fn keys_are_read_once_and_again_for_a_new_key_but_not_for_every_stranger() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let issuer = LocalIssuer::start(&[&old]).await;
    let (verifier, clock) = issuer.verifier();
    for _ in 0..5 {
        verifier.verify(&old.sign(&issuer.claims())).await.unwrap();
    }
    assert_eq!(issuer.reads(), 1);
    issuer.publish(&[&old, &new]);
    for _ in 0..5 {
        let early = verifier.verify(&new.sign(&issuer.claims())).await;
        assert!(matches!(early, Err(IdentityError::UnknownKey)));
    }
    assert_eq!(issuer.reads(), 1);
    clock.advance(SignedDuration::from_secs(60));
    verifier.verify(&new.sign(&issuer.claims())).await.unwrap();
    assert_eq!(issuer.reads(), 2);
}

#[tokio::test]
async fn many_first_tokens_at_once_read_the_keys_once() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let verifier = Arc::new(issuer.verifier().0);
    let token = signer.sign(&issuer.claims());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { verifier.verify(&token).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    assert_eq!(issuer.reads(), 1);
}

#[tokio::test]
async fn a_key_that_the_issuer_withdrew_is_good_for_an_hour_at_most() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let issuer = LocalIssuer::start(&[&old, &new]).await;
    let (verifier, clock) = issuer.verifier();
    let token = old.sign(&with(issuer.claims(), "exp", json!(NOW + 1_000_000)));
    verifier.verify(&token).await.unwrap();
    issuer.publish(&[&new]);
    clock.advance(SignedDuration::from_mins(59));
    verifier.verify(&token).await.unwrap();
    clock.advance(SignedDuration::from_mins(1));
    // The reading beside the last call may still be under way.
    let mut refused = verifier.verify(&token).await;
    for _ in 0..100_000 {
        if refused.is_err() {
            break;
        }
        tokio::task::yield_now().await;
        refused = verifier.verify(&token).await;
    }
    assert!(matches!(refused, Err(IdentityError::UnknownKey)), "{refused:?}");
}

#[tokio::test]
async fn an_outage_of_the_issuer_is_survived_for_a_day_and_is_never_a_refusal() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let (verifier, clock) = issuer.verifier();
    let token = signer.sign(&with(issuer.claims(), "exp", json!(NOW + 1_000_000)));
    issuer.fail(Some(StatusCode::BAD_GATEWAY));
    assert!(matches!(verifier.verify(&token).await, Err(IdentityError::Unavailable(_))));
    assert!(matches!(verifier.verify(&token).await, Err(IdentityError::Unavailable(_))));
    assert_eq!(issuer.reads(), 1);
    issuer.fail(None);
    clock.advance(SignedDuration::from_secs(5));
    verifier.verify(&token).await.unwrap();

    issuer.fail(Some(StatusCode::BAD_GATEWAY));
    clock.advance(SignedDuration::from_hours(23));
    verifier.verify(&token).await.unwrap();
    let stranger = Signer::ed("stranger").sign(&issuer.claims());
    assert!(matches!(verifier.verify(&stranger).await, Err(IdentityError::Unavailable(_))));
    clock.advance(SignedDuration::from_hours(1));
    assert!(matches!(verifier.verify(&token).await, Err(IdentityError::Unavailable(_))));
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_nobody_whose_key_is_known() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let (verifier, clock) = issuer.verifier();
    let verifier = Arc::new(verifier);
    let token = signer.sign(&with(issuer.claims(), "exp", json!(NOW + 1_000_000)));
    verifier.verify(&token).await.unwrap();
    issuer.published.lock().unwrap().hangs = true;
    clock.advance(SignedDuration::from_hours(2));
    // A stranger's token makes somebody wait for the issuer: himself.
    let stranger = Signer::ed("stranger").sign(&issuer.claims());
    let waiting = tokio::spawn({
        let verifier = Arc::clone(&verifier);
        async move { verifier.verify(&stranger).await }
    });
    let started = std::time::Instant::now();
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token.clone());
            tokio::spawn(async move { verifier.verify(&token).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    // The issuer's own time-out is ten seconds, and one after the other would take it a hundred times.
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
    while issuer.reads() < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "who names an unknown key waits for the issuer");
    assert_eq!(issuer.reads(), 2, "and one reading is under way for all");
    waiting.abort();
}

#[tokio::test]
async fn keys_are_read_anew_beside_the_calls_before_they_are_too_old() {
    let (old, new) = (Signer::ed("old"), Signer::ed("new"));
    let issuer = LocalIssuer::start(&[&old]).await;
    let (verifier, clock) = issuer.verifier();
    let token = old.sign(&with(issuer.claims(), "exp", json!(NOW + 1_000_000)));
    verifier.verify(&token).await.unwrap();
    issuer.publish(&[&old, &new]);
    clock.advance(SignedDuration::from_mins(55));
    verifier.verify(&token).await.unwrap();
    while issuer.reads() < 2 {
        tokio::task::yield_now().await;
    }
    // The new key needs no reading for it: the one beside the call above brings it.
    verifier.verify(&new.sign(&with(issuer.claims(), "exp", json!(NOW + 1_000_000)))).await.unwrap();
    assert_eq!(issuer.reads(), 2);
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_not_believed() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    issuer.published.lock().unwrap().names_itself = Some("https://id.example".to_owned());
    let error = issuer.verify(&signer.sign(&issuer.claims())).await.unwrap_err();
    let IdentityError::Unavailable(source) = error else { panic!("{error:?}") };
    assert!(source.to_string().contains("another issuer"), "{source}");
    assert_eq!(issuer.reads(), 0);
}

#[tokio::test]
async fn keys_that_are_not_for_us_are_passed_over() {
    let (signer, sealing) = (Signer::ed("d"), Signer::ec("sealing"));
    let issuer = LocalIssuer::start(&[&signer, &sealing]).await;
    {
        let mut published = issuer.published.lock().unwrap();
        published.keys[1]["use"] = json!("enc");
        published.keys.push(json!({"kty": "quantum", "kid": "q"}));
        published.keys.push(json!({"kty": "oct", "kid": "d", "k": "c2VjcmV0"}));
    }
    assert_eq!(issuer.verify(&signer.sign(&issuer.claims())).await.unwrap(), "host-1");
    let token = sealing.sign(&issuer.claims());
    assert!(matches!(issuer.verify(&token).await, Err(IdentityError::UnknownKey)));
}

#[tokio::test]
async fn no_refusal_holds_anything_of_the_token() {
    let signer = Signer::ed("d");
    let issuer = LocalIssuer::start(&[&signer]).await;
    let claims = with(with(issuer.claims(), "sub", json!("S3CRET-SUB")), "aud", json!("S3CRET-AUD"));
    let token = signer.sign(&claims);
    let error = issuer.verify(&token).await.unwrap_err();
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains("S3CRET") && !text.contains(&token), "{text}");
    }
}

#[test]
fn settings_that_can_verify_nothing_are_refused() {
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(Timestamp::UNIX_EPOCH));
    assert!(matches!(OidcVerifier::new("https://id.example", " ", Arc::clone(&clock)), Err(OidcConfigError::Audience)));
    assert!(matches!(OidcVerifier::new("http://id.example", "a", clock), Err(OidcConfigError::Issuer)));
}
