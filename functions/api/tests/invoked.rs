//! The real binary, invoked as API Gateway's HTTP API invokes it (payload 2.0).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use calmesh_tests::lambda_runtime::{FakeCloud, Outcome, operator_key};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};

const BINARY: &str = env!("CARGO_BIN_EXE_calmesh-api");

/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn request(method: &str, path: &str, bearer: Option<&str>, body: Option<&Value>) -> Value {
    let mut headers = json!({
        "accept": "*/*",
        "host": "abc.execute-api.eu-west-1.amazonaws.com",
        "x-forwarded-for": "203.0.113.7",
        "x-forwarded-proto": "https",
    });
    if let Some(bearer) = bearer {
        headers["authorization"] = json!(format!("Bearer {bearer}"));
    }
    if body.is_some() {
        headers["content-type"] = json!("application/json");
    }
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc",
            "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
            "domainPrefix": "abc",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Dec/2026:10:00:00 +0000",
            "timeEpoch": 1_796_119_200_000_i64,
        },
        "body": body.map(Value::to_string),
        "isBase64Encoded": false,
    })
}

/// Status and JSON body of an answer.
fn answered(outcome: &Outcome) -> (u64, Value) {
    let Outcome::Answered(answer) = outcome else { panic!("no answer: {outcome:?}") };
    let body = answer["body"].as_str().unwrap_or("null");
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn calls_through_api_gateway_are_answered_by_the_rest_api() {
    let cloud = FakeCloud::start().await;
    let _function = cloud.run(BINARY);

    let (status, _) = answered(&cloud.invoke(request("GET", "/v1/health", None, None)).await);
    assert_eq!(status, 200);
    let (status, problem) = answered(&cloud.invoke(request("GET", "/v1/properties", None, None)).await);
    assert_eq!((status, &problem["status"]), (401, &json!(401)));

    let name = json!({ "name": "host" });
    let made = cloud.invoke(request("POST", "/v1/accounts", Some(&operator_key()), Some(&name))).await;
    let (status, account) = answered(&made);
    assert_eq!(status, 201, "{account}");
    let token = account["token"].as_str().unwrap();
    let flat = json!({ "name": "Harbour flat", "time_zone": "Europe/Madrid" });
    let (status, property) = answered(&cloud.invoke(request("POST", "/v1/properties", Some(token), Some(&flat))).await);
    assert_eq!(status, 201, "{property}");
    let path = format!("/v1/properties/{}", property["id"].as_str().unwrap());
    let (status, read) = answered(&cloud.invoke(request("GET", &path, Some(token), None)).await);
    assert_eq!((status, &read["name"]), (200, &json!("Harbour flat")));
    assert_eq!(cloud.exported("not-found.txt").await, None);
    let link = json!({ "name": "Vrbo", "direction": "export" });
    let made = cloud.invoke(request("POST", &format!("{path}/connections"), Some(token), Some(&link))).await;
    let (status, connection) = answered(&made);
    assert_eq!(status, 201, "{connection}");
    let url = connection["export"]["url"].as_str().unwrap();
    let calendar = cloud.exported(url.strip_prefix("https://d111.cloudfront.net/").unwrap()).await;
    assert!(calendar.is_some_and(|calendar| calendar.starts_with("BEGIN:VCALENDAR")));
    assert_eq!(
        cloud.exported("not-found.txt").await.as_deref(),
        Some("Not found\n"),
        "what CloudFront answers for unknown links"
    );
    let announced = cloud.taken_events();
    assert!(announced.iter().any(|event| event.detail_type == "property.changed"), "{announced:?}");
}

#[tokio::test]
async fn what_a_start_asks_is_asked_before_anything_is_answered() {
    let mut cloud = FakeCloud::start().await;
    let aws = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3"] {
        cloud.set(endpoint, &format!("http://{}", aws.local_addr().unwrap()));
    }
    let _function = cloud.run(BINARY);
    let mut asked = Vec::new();
    let mut unanswered = Vec::new();
    for _ in 0..3 {
        let (mut connection, _) = aws.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(connection.read_buf(&mut head).await.unwrap(), 0);
        }
        let head = String::from_utf8(head).unwrap();
        let asks = ["secretsmanager.GetSecretValue", "DynamoDB_20120810.GetItem"];
        asked.extend(asks.into_iter().filter(|ask| head.contains(ask)));
        unanswered.push(connection);
    }
    asked.sort_unstable();
    assert_eq!(asked, ["DynamoDB_20120810.GetItem", "secretsmanager.GetSecretValue", "secretsmanager.GetSecretValue"]);
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_and_no_failure_of_the_function() {
    let cloud = FakeCloud::start().await;
    let _function = cloud.run(BINARY);
    let (status, problem) = answered(&cloud.invoke(request("GET", "/f/anything.ics", None, None)).await);
    assert_eq!((status, &problem["status"]), (404, &json!(404)));
}
