//! Two accounts, secrets in logs and errors, and addresses that no feed may have.

use calmesh_tests::{
    bodies::vrbo,
    dates::next_year,
    feed_server::{FeedServer, Response},
    program::{Program, text},
};
use reqwest::Method;
use serde_json::json;

use crate::{CALMESH, Site, begin};

#[tokio::test]
async fn two_accounts_see_nothing_of_each_other() {
    let (program, feeds) = begin().await;
    feeds.set("vrbo", vrbo().reserved("03-20", "03-25", "Ada"));
    let flat = program.property().await;
    let site = Site::connect(&program, &flat, "Vrbo", &feeds.url("vrbo")).await;
    let operator = program.told("operator_key");
    let made = program.call_by(operator, Method::POST, "/v1/accounts", Some(&json!({ "name": "Other" }))).await;
    let token = text(&made.expect(201), "/token");
    let block = text(&program.get(&format!("/v1/properties/{flat}/blocks")).await.expect(200), "/items/0/id");
    for path in ["/v1/properties", "/v1/links"] {
        let seen = program.call_by(&token, Method::GET, path, None).await.expect(200);
        assert_eq!(seen["items"], json!([]), "{path}");
    }
    for path in [
        format!("/v1/properties/{flat}"),
        format!("/v1/properties/{flat}/blocks"),
        format!("/v1/properties/{flat}/connections"),
        format!("/v1/properties/{flat}/activity"),
        format!("/v1/properties/{flat}/explain?night={}", next_year("03-20")),
        format!("/v1/blocks/{block}"),
        site.path(""),
    ] {
        program.call_by(&token, Method::GET, &path, None).await.expect(404);
    }
    for path in [site.path("/refresh"), site.path("/pause"), site.path("/rotate-link")] {
        program.call_by(&token, Method::POST, &path, Some(&json!({}))).await.expect(404);
    }
    for path in [site.path(""), format!("/v1/properties/{flat}"), format!("/v1/blocks/{block}")] {
        program.call_by(&token, Method::DELETE, &path, None).await.expect(404);
    }
    assert_eq!(program.connection(&site.id).await["status"], json!("active"));
}

#[tokio::test]
async fn no_secret_reaches_a_log_or_an_error() {
    let program = Program::start(CALMESH, &["--sweep-every", "1s"]).await;
    let feeds = FeedServer::start().await;
    feeds.set("vrbo", vrbo().reserved("03-20", "03-25", "Adelheid"));
    let url = format!("{}?s=feedsecret", feeds.url("vrbo"));
    let flat = program.property().await;
    let site = Site::connect(&program, &flat, "Vrbo", &url).await;
    let connections = format!("/v1/properties/{flat}/connections");
    let mut errors = vec![
        program.post(&connections, json!({ "name": "Again", "import": { "url": url } })).await,
        program.post(&connections, json!({ "name": "Own", "import": { "url": site.link } })).await,
        program.post(&connections, json!({ "name": 7, "import": { "url": url } })).await,
        program.call_by("cm_wrongtokenwrongtoken", Method::GET, "/v1/properties", None).await,
    ];
    for answer in [
        Response::login_page(),
        Response::status(404),
        Response::status(500),
        Response::redirect("/nowhere?s=feedsecret"),
    ] {
        feeds.set("broken", answer);
        let broken = format!("{}?s=feedsecret", feeds.url("broken"));
        errors.push(program.post(&connections, json!({ "name": "Broken", "import": { "url": broken } })).await);
        let check = program.post("/v1/feeds/check", json!({ "url": broken })).await;
        assert!(!check.text.contains("feedsecret"), "{}", check.text);
    }
    let gone = "http://127.0.0.1:1/a.ics?s=feedsecret";
    errors.push(program.post(&connections, json!({ "name": "Gone", "import": { "url": gone } })).await);
    for error in errors {
        assert!((400..500).contains(&error.status), "{} {}", error.status, error.text);
        for secret in ["feedsecret", program.told("token"), "cm_wrongtoken"] {
            assert!(!error.text.contains(secret), "{}", error.text);
        }
    }
    feeds.set("vrbo", Response::status(500));
    program
        .until("a sweep met the failure", async || {
            (program.connection(&site.id).await["import"]["health"] != "ok").then_some(())
        })
        .await;
    program.read_link(&site.link).await;
    let log = program.log();
    assert!(!log.is_empty());
    let token = site.link.rsplit('/').next().unwrap().trim_end_matches(".ics");
    for secret in
        ["feedsecret", "Adelheid", "cm_wrongtoken", token, program.told("token"), program.told("operator_key")]
    {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[tokio::test]
async fn a_private_address_is_refused_however_it_is_written() {
    let program = Program::start_strict(CALMESH, &["--sweep-every", "6h"]).await;
    let feeds = FeedServer::start().await;
    feeds.set("vrbo", vrbo());
    let plain = feeds.url("vrbo");
    let mut urls: Vec<String> = ["localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]", "0.0.0.0"]
        .iter()
        .map(|host| plain.replace("127.0.0.1", host))
        .collect();
    urls.extend([
        plain.clone(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/a.ics".to_owned(),
        "http://[::1]/a.ics".to_owned(),
        "file:///etc/passwd".to_owned(),
    ]);
    for url in urls {
        // Spellings of one address are one URL, which a property has once.
        let connections = format!("/v1/properties/{}/connections", program.property().await);
        for skip in [false, true] {
            let body = json!({ "name": "Inside", "skip_check": skip, "import": { "url": url } });
            // Told by the link alone, so also where nothing is checked.
            program.post(&connections, body).await.expect(422);
        }
        program.post("/v1/feeds/check", json!({ "url": url })).await.expect(422);
    }
    assert_eq!(program.refresh("/v1/refresh").await, json!([]), "nothing was made");
    assert_eq!(feeds.total(), 0);
}
