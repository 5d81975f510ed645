//! The OpenAPI document: what the routes say of themselves, completed with what all of them have in common. It is kept as
//! `openapi.json`, which is what is served: `CALMESH_GOLDENS=write` writes it anew, and its difference shows what changes
//! for callers.

use std::collections::BTreeSet;

use utoipa::{
    OpenApi,
    openapi::{
        self, Content, Ref, RefOr, Required, Response,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{AdditionalProperties, ObjectBuilder, Schema, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use utoipa_axum::router::OpenApiRouter;

use crate::{
    api::Api,
    idempotency::{KEY_MOST, KEY_PATTERN},
    limits,
    problem::{FieldProblem, Kind, Place, ProblemSchema},
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Calmesh",
        description = "Keeps the calendars of short-term rentals in step: a taken night is never offered again, and \
            a free night does not stay blocked.\n\n\
            Ids are opaque, instants RFC 3339 in UTC, nights `YYYY-MM-DD`. Fields that are not known are refused. \
            Every failure is a problem (RFC 9457) whose `type` is stable and whose `detail` says what to do. \
            PATCH is JSON merge patch (RFC 7396). POST may carry `Idempotency-Key`, kept for 24 hours. \
            PATCH, PUT and DELETE may carry `If-Match`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(ProblemSchema, FieldProblem, Place))
)]
struct Document;

/// The whole document, as it is to be kept.
fn written(api: &Api) -> String {
    let parts = OpenApiRouter::with_openapi(Document::openapi()).merge(crate::routes(api).document);
    let (_, mut document) = parts.split_for_parts();
    complete(&mut document, env!("CARGO_PKG_VERSION"));
    let mut text = document.to_pretty_json().unwrap();
    text.push('\n');
    text
}

/// Adds to every operation its security, the headers it takes and the problems it may answer.
fn complete(document: &mut openapi::OpenApi, version: &str) {
    version.clone_into(&mut document.info.version);
    if let Some(description) = &mut document.info.description {
        description.push_str(
            "\n\n409 `limit-reached` where there would be too many of these things; 422, 413 or 429 where a \
            request has or asks for more; of longer answers the first are told.\n\n",
        );
        description.push_str(&limits::markdown());
    }
    let components = document.components.get_or_insert_default();
    let token = |text: &str| {
        SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
    };
    components.add_security_scheme("token", token("A token of an account, `cm_…`."));
    components.add_security_scheme("operator_key", token("The operator's key, `cm_…`: it manages accounts."));
    components.add_security_scheme("oidc", token("A JWT of the configured OIDC issuer, where there is one."));
    let mut bodies = Vec::new();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(path, method, operation);
            bodies.extend(body_schemas(operation));
        }
    }
    let components = document.components.get_or_insert_default();
    // Unknown fields are refused, and the document says so, down to the innermost object of a body.
    let mut closed = BTreeSet::new();
    while let Some(name) = bodies.pop() {
        if !closed.insert(name.clone()) {
            continue;
        }
        if let Some(RefOr::T(schema)) = components.schemas.get_mut(&name) {
            close(schema, &mut bodies);
        }
    }
}

/// A JSON merge patch may come under the name of JSON too. Answers the names of the schemas of the body.
fn body_schemas(operation: &mut Operation) -> Vec<String> {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return Vec::new();
    };
    if let Some(patch) = body.content.get("application/merge-patch+json").cloned() {
        body.content.insert("application/json".to_owned(), patch);
    }
    let mut names = Vec::new();
    for content in body.content.values_mut() {
        match content {
            RefOr::T(Content { schema: Some(RefOr::Ref(reference)), .. }) => names.extend(named(reference)),
            RefOr::T(Content { schema: Some(RefOr::T(schema)), .. }) => close(schema, &mut names),
            _ => {}
        }
    }
    names
}

fn named(reference: &Ref) -> Option<String> {
    reference.ref_location.rsplit('/').next().map(str::to_owned)
}

/// Says that an object takes no other fields, and notes which schemas lie inside.
fn close(schema: &mut Schema, inner: &mut Vec<String>) {
    let visit = |part: &mut RefOr<Schema>, inner: &mut Vec<String>| match part {
        RefOr::Ref(reference) => inner.extend(named(reference)),
        RefOr::T(schema) => close(schema, inner),
    };
    match schema {
        Schema::Object(object) => {
            if !object.properties.is_empty() {
                object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
            object.properties.values_mut().for_each(|part| visit(part, inner));
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(|part| visit(part, inner)),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(|part| visit(part, inner)),
        // Parts that share one object can't be closed each by itself.
        Schema::AllOf(_) | Schema::Array(_) => {}
        _ => {}
    }
}

/// The operations of a path, each with its method in lower case.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", item.get.as_mut()),
        ("post", item.post.as_mut()),
        ("put", item.put.as_mut()),
        ("patch", item.patch.as_mut()),
        ("delete", item.delete.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation?)))
}

fn complete_operation(path: &str, method: &str, operation: &mut Operation) {
    // An empty list of requirements marks what needs no token.
    let open = operation.security.as_ref().is_some_and(Vec::is_empty);
    if operation.security.is_none() {
        operation.security = Some(vec![
            SecurityRequirement::new::<_, [&str; 0], &str>("token", []),
            SecurityRequirement::new::<_, [&str; 0], &str>("oidc", []),
        ]);
    }
    let mut kinds = vec![Kind::MethodNotAllowed, Kind::Invalid, Kind::Internal, Kind::Unavailable];
    if !open {
        kinds.extend([Kind::Unauthorized, Kind::WrongKey, Kind::RateLimited, Kind::TooLarge]);
    }
    if path.contains('{') {
        kinds.push(Kind::NotFound);
    }
    let versioned = |response: &RefOr<Response>| matches!(response, RefOr::T(of) if of.headers.contains_key("ETag"));
    if method == "get" && operation.responses.responses.get("200").is_some_and(versioned) {
        add_header(
            operation,
            "If-None-Match",
            "The `ETag` that is known: 304 without a body while it stands.",
            ObjectBuilder::new(),
        );
        let known = Response::builder().description("What is known still stands; telemetry may have moved.").build();
        operation.responses.responses.insert("304".to_owned(), RefOr::T(known));
    }
    if operation.request_body.is_some() {
        kinds.extend([Kind::NotJson, Kind::UnsupportedMediaType, Kind::TooLarge]);
    }
    match method {
        "post" => {
            kinds.push(Kind::Conflict);
            let text = "Repeat the request with the same key and it is done once.";
            let key = ObjectBuilder::new().min_length(Some(1)).max_length(Some(KEY_MOST)).pattern(Some(KEY_PATTERN));
            add_header(operation, "Idempotency-Key", text, key);
        }
        "patch" | "put" | "delete" => {
            kinds.extend([Kind::Stale, Kind::Conflict]);
            add_header(
                operation,
                "If-Match",
                "The `ETag` that the change is meant for; 412 when it is stale.",
                ObjectBuilder::new(),
            );
        }
        _ => {}
    }
    for kind in kinds {
        let status = kind.status().as_u16().to_string();
        operation.responses.responses.entry(status).or_insert_with(|| RefOr::T(problem_response(kind)));
    }
}

fn add_header(operation: &mut Operation, name: &str, description: &str, schema: ObjectBuilder) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema.schema_type(Type::String)))
        .build();
    operation.parameters.get_or_insert_default().push(parameter.into());
}

fn problem_response(kind: Kind) -> Response {
    let content = Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
    let mut response = Response::builder().description(kind.title()).content("application/problem+json", content);
    let text = |what: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .description(Some(what))
            .build()
    };
    response = match kind {
        Kind::Unauthorized => response.header("WWW-Authenticate", text("How to authenticate.")),
        Kind::RateLimited => response.header("Retry-After", text("Seconds to wait.")),
        Kind::MethodNotAllowed => response.header("Allow", text("The methods that are known here.")),
        _ => response,
    };
    response.build()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use http::Method;
    use serde_json::Value;

    use crate::{api::Api, options::RestOptions, testing::TestApi};

    const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

    async fn document() -> (TestApi, Value) {
        let api = TestApi::new().await;
        let answer = api.ask(Method::GET, crate::docs::PATH).by_nobody().send().await;
        assert_eq!(answer.status, 200);
        let document = answer.json();
        (api, document)
    }

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let mut all = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                if let Some(operation) = item.get(method) {
                    all.push((path.clone(), method.to_owned(), operation.clone()));
                }
            }
        }
        all
    }

    #[tokio::test]
    async fn what_is_served_is_what_the_routes_say() {
        let api = TestApi::new().await;
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        let said = super::written(&Api::new(api.app.desk.clone(), RestOptions::new("0")));
        if std::env::var("CALMESH_GOLDENS").is_ok_and(|wish| wish == "write") {
            std::fs::write(file, &said).unwrap();
        }
        let kept = std::fs::read_to_string(file).unwrap();
        assert!(kept == said, "openapi.json is not what the routes say; CALMESH_GOLDENS=write writes it anew");
    }

    #[tokio::test]
    async fn the_document_is_openapi_3_1_and_every_reference_in_it_leads_somewhere() {
        let (_, document) = document().await;
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut references = Vec::new();
        collect_references(&document, &mut references);
        assert!(!references.is_empty());
        for reference in references {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
    }

    fn collect_references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                into.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| collect_references(value, into));
            }
            Value::Array(items) => items.iter().for_each(|value| collect_references(value, into)),
            _ => {}
        }
    }

    #[tokio::test]
    async fn every_route_is_in_the_document_and_everything_in_it_is_a_route() {
        let (api, document) = document().await;
        for (path, item) in document["paths"].as_object().unwrap() {
            let real = path.replace("{id}", "nonsense");
            let answer = api.ask(Method::OPTIONS, &real).send().await;
            answer.problem(405);
            let routed: BTreeSet<String> =
                answer.header("allow").split(',').map(|method| method.trim().to_lowercase()).collect();
            let mut written: BTreeSet<String> = item.as_object().unwrap().keys().cloned().collect();
            if written.contains("get") {
                written.insert("head".to_owned());
            }
            assert_eq!(routed, written, "{path}");
        }
        // Routes are made by `routes!` alone, which puts them into the document at the same time.
        let sources = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
        // Folders hold tests alone, and the document does not show the page that shows it.
        let sources = sources.map(|source| source.unwrap().path()).filter(|path| path.is_file());
        let others = |path: &PathBuf| ["docs.rs", "docs.html", "routes.rs"].iter().all(|own| !path.ends_with(own));
        for path in sources.filter(others) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            assert!(!code.contains(".route("), "{} makes a route past the document", path.display());
        }
    }

    #[tokio::test]
    async fn every_operation_has_a_name_a_tag_security_and_its_problems() {
        let (_, document) = document().await;
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let name = operation["operationId"].as_str().unwrap().to_owned();
            assert!(names.insert(name), "{method} {path} shares its name");
            assert!(operation["tags"].is_array(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2') || status.starts_with('3')),
                "{method} {path}"
            );
            for content in operation["requestBody"]["content"].as_object().into_iter().flat_map(|map| map.values()) {
                let mut references = Vec::new();
                collect_references(content, &mut references);
                for reference in references {
                    let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
                    assert_eq!(schema["additionalProperties"], false, "{method} {path} takes unknown fields");
                }
            }
            let mut expected = vec!["405", "422", "500"];
            if !operation["security"].as_array().unwrap().is_empty() {
                expected.extend(["401", "403", "429"]);
            }
            if path.contains('{') {
                expected.push("404");
            }
            if operation.get("requestBody").is_some() {
                expected.extend(["400", "413", "415"]);
            }
            if ["patch", "put", "delete"].contains(&method.as_str()) {
                expected.push("412");
            }
            for status in expected {
                let response = responses.get(status).unwrap_or_else(|| panic!("{method} {path} lacks {status}"));
                let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
            }
        }
    }

    #[tokio::test]
    async fn every_example_of_a_schema_fits_it() {
        let (_, document) = document().await;
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for (name, schema) in schemas {
            if let Some(example) = schema.get("example")
                && let Err(why) = fits(&document, schema, example)
            {
                panic!("the example of {name} does not fit: {why}");
            }
        }
        // What an operation takes or answers is shown by an example; what lies inside is shown with it.
        let mut bodies = Vec::new();
        for (_, _, operation) in operations(&document) {
            let contents = operation["responses"].as_object().unwrap().values().chain(operation.get("requestBody"));
            for content in contents.filter_map(|body| body["content"].as_object()).flat_map(|map| map.values()) {
                bodies.extend(content["schema"]["$ref"].as_str().map(str::to_owned));
            }
        }
        for name in bodies.iter().filter_map(|reference| reference.rsplit('/').next()) {
            let page = schemas[name]["properties"].get("next_cursor").is_some();
            assert!(page || schemas[name].get("example").is_some(), "{name} has no example");
        }
        assert!(bodies.len() > 20);
    }

    /// As much of JSON Schema as the document uses.
    fn fits(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
            return fits(document, target, value);
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(choices) = schema[word].as_array() {
                let any = choices.iter().any(|choice| fits(document, choice, value).is_ok());
                return if any { Ok(()) } else { Err(format!("{value} fits no choice")) };
            }
        }
        if let Some(parts) = schema["allOf"].as_array() {
            // The parts share one object: what is known to any of them is known.
            let mut known = BTreeSet::new();
            for part in parts {
                let part = match part["$ref"].as_str() {
                    Some(reference) => document.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
                    None => part,
                };
                known.extend(part["properties"].as_object().unwrap().keys().cloned());
                for name in part["required"].as_array().into_iter().flatten() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return Err(format!("{name} is missing"));
                    }
                }
            }
            let unknown = value.as_object().unwrap().keys().find(|name| !known.contains(*name));
            return unknown.map_or(Ok(()), |name| Err(format!("{name} is unknown")));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(some) => some.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        if !types.is_empty() && !types.contains(&kind) {
            return Err(format!("{value} is no {types:?}"));
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            return Err(format!("{value} is none of {words:?}"));
        }
        if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
            values.iter().try_for_each(|value| fits(document, items, value))?;
        }
        if let (Some(properties), Value::Object(values)) = (schema["properties"].as_object(), value) {
            for (name, value) in values {
                let property = properties.get(name).ok_or_else(|| format!("{name} is unknown"))?;
                fits(document, property, value).map_err(|why| format!("{name}: {why}"))?;
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                if !values.contains_key(name.as_str().unwrap()) {
                    return Err(format!("{name} is missing"));
                }
            }
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_page_to_read_and_try_it_is_served_without_a_token_or_another_server() {
        let (api, _) = document().await;
        let page = api.ask(Method::GET, crate::docs::PAGE_PATH).by_nobody().send().await;
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.header("content-security-policy").contains("connect-src 'self'"));
        assert!(!page.text().contains("https://") && page.text().contains(crate::docs::PATH));
        api.ask(Method::GET, "/v1/docs/nothing.js").by_nobody().send().await.problem(404);
    }

    /// The path with a well-formed id that nothing has.
    fn concrete(path: &str) -> String {
        let prefix = match path.split('/').nth(2).unwrap() {
            "properties" => "prp_",
            "connections" => "con_",
            "blocks" => "blk_",
            "holds" => "hld_",
            "conflicts" => "cfl_",
            "links" => "lnk_",
            "tokens" => "tok_",
            "refreshes" => "rfr_",
            other => return other.find('{').map_or_else(|| path.to_owned(), |_| panic!("{path} has an id of no kind")),
        };
        path.replace("{id}", &format!("{prefix}{}", "0".repeat(26)))
    }

    fn method(word: &str) -> Method {
        Method::from_bytes(word.to_uppercase().as_bytes()).unwrap()
    }

    #[tokio::test]
    async fn every_operation_refuses_an_unknown_parameter() {
        let (api, document) = document().await;
        for (path, word, operation) in operations(&document) {
            let operator = operation["security"].to_string().contains("operator_key");
            let token = if operator { &api.operator_key } else { &api.token };
            let mut asked = api.ask(method(&word), &format!("{}?nonsense=1", concrete(&path))).by(token);
            if operation.get("requestBody").is_some() {
                asked = asked.json(serde_json::json!({}));
            }
            let answer = asked.send().await;
            assert!(answer.status == 422, "{word} {path}: {}", answer.text());
            assert!(answer.pointers().contains(&"/nonsense".to_owned()), "{word} {path}: {}", answer.text());
        }
    }

    #[tokio::test]
    async fn every_operation_asks_who_calls_and_whether_he_may_write() {
        let (api, document) = document().await;
        let reader = api.token_with(serde_json::json!({"name": "r", "scope": "read"})).await;
        for (path, word, operation) in operations(&document) {
            if operation["security"].as_array().unwrap().is_empty() {
                continue;
            }
            let ask =
                |token: &str| api.ask(method(&word), &concrete(&path)).by(token).json(serde_json::json!({})).send();
            let nobody = api.ask(method(&word), &concrete(&path)).by_nobody().send().await;
            nobody.problem(401);
            let operator = operation["security"].to_string().contains("operator_key");
            let wrong = if operator { &api.token } else { &api.operator_key };
            assert_eq!(ask(wrong).await.status, 403, "{word} {path}");
            if word != "get" && path != crate::feeds::CHECK {
                assert_eq!(ask(&reader).await.status, 403, "{word} {path}");
            }
        }
    }

    #[tokio::test]
    async fn who_may_only_read_may_try_what_has_a_preview_and_nothing_else() {
        let (api, document) = document().await;
        let reader = api.token_with(serde_json::json!({"name": "r", "scope": "read"})).await;
        let mut tried = 0;
        for (path, word, operation) in operations(&document) {
            if word == "get" || operation["security"].to_string().contains("operator_key") {
                continue;
            }
            let names = operation["parameters"].as_array().into_iter().flatten();
            let has_preview = names.into_iter().any(|parameter| parameter["name"] == "preview");
            let ask = |query: &str| {
                let asked = api.ask(method(&word), &format!("{}?{query}", concrete(&path))).by(&reader);
                asked.json(serde_json::json!({})).send()
            };
            if has_preview {
                tried += 1;
                // Nothing has this id; an account is there without one, and a settlement needs to say what is gone.
                let answer = match path.as_str() {
                    "/v1/account" => 200,
                    "/v1/conflicts/{id}/resolve" => 422,
                    _ => 404,
                };
                assert_eq!(ask("preview=true").await.status, answer, "{word} {path}");
                assert_eq!(ask("preview=false").await.status, 403, "{word} {path}");
                assert_eq!(ask("preview=true&preview=false").await.status, 422, "{word} {path}");
            } else {
                assert!(ask("preview=true").await.pointers().contains(&"/preview".to_owned()), "{word} {path}");
            }
        }
        assert!(tried >= 15, "{tried}");
    }

    #[tokio::test]
    async fn every_operation_that_takes_a_body_refuses_what_is_not_its_json() {
        let (api, document) = document().await;
        for (path, word, operation) in operations(&document) {
            if operation.get("requestBody").is_none() {
                continue;
            }
            let operator = operation["security"].to_string().contains("operator_key");
            let token = if operator { &api.operator_key } else { &api.token };
            let ask = |kind: &'static str, body: &'static str| {
                api.ask(method(&word), &concrete(&path)).by(token).raw(kind, body).send()
            };
            for (kind, body, status) in [
                ("application/json", "{\"a\":", 400),
                ("text/plain", "{}", 415),
                ("application/json", "[]", 422),
                ("application/json", "{\"nonsense\": 1}", 422),
            ] {
                assert_eq!(ask(kind, body).await.status, status, "{word} {path} {body}");
            }
        }
    }
}
