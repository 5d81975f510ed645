//! The OpenAPI document: what the routes say of themselves, completed with what all of them have in common.

use utoipa::{
    OpenApi,
    openapi::{
        self, Content, Ref, RefOr, Required, Response,
        header::HeaderBuilder,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        schema::{ObjectBuilder, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use crate::problem::{FieldProblem, Kind, Place, ProblemSchema};

/// Where the document is served.
pub(crate) const PATH: &str = "/v1/openapi.json";
/// Where the page to read and try it is served.
pub(crate) const DOCS: &str = "/v1/docs";

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
pub(crate) struct Document;

/// Adds to every operation its security, the headers it takes and the problems it may answer.
pub(crate) fn complete(document: &mut openapi::OpenApi, version: &str) {
    version.clone_into(&mut document.info.version);
    let components = document.components.get_or_insert_default();
    let token = |text: &str| {
        SecurityScheme::Http(Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
    };
    components.add_security_scheme("token", token("A token of an account, `cm_…`."));
    components.add_security_scheme("operator_key", token("The operator's key, `cm_…`: it manages accounts."));
    components.add_security_scheme("oidc", token("A JWT of the configured OIDC issuer, where there is one."));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete_operation(path, method, operation);
        }
    }
}

/// The operations of a path, each with its method in lower case.
pub(crate) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
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
    if operation.request_body.is_some() {
        kinds.extend([Kind::NotJson, Kind::UnsupportedMediaType, Kind::TooLarge]);
    }
    match method {
        "post" => {
            kinds.push(Kind::Conflict);
            add_header(operation, "Idempotency-Key", "Repeat the request with the same key and it is done once.");
        }
        "patch" | "put" | "delete" => {
            kinds.extend([Kind::Stale, Kind::Conflict]);
            add_header(operation, "If-Match", "The `ETag` that the change is meant for; 412 when it is stale.");
        }
        _ => {}
    }
    for kind in kinds {
        let status = kind.status().as_u16().to_string();
        operation.responses.responses.entry(status).or_insert_with(|| RefOr::T(problem_response(kind)));
    }
}

fn add_header(operation: &mut Operation, name: &str, description: &str) {
    let parameter = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
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
