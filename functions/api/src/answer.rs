//! What API Gateway takes. `lambda_http` would look at the type of every answer and read it in the character set that
//! this names, with the tables of all there are, which weigh half a megabyte; ours are UTF-8.

use std::{future::Future, pin::Pin};

use axum::body::{Body, to_bytes};
use lambda_http::{Body as Told, IntoResponse, Response, http::StatusCode};

/// An answer of `rest`.
pub(crate) struct Answer(pub(crate) Response<Body>);

impl IntoResponse for Answer {
    fn into_response(self) -> Pin<Box<dyn Future<Output = Response<Told>> + Send>> {
        Box::pin(async move {
            let (mut parts, body) = self.0.into_parts();
            let told = match to_bytes(body, usize::MAX).await {
                Ok(bytes) => told(bytes.into()),
                // A body that stands in memory does not break off; if one does, nobody takes a part for the whole.
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "an answer broke off");
                    parts.status = StatusCode::INTERNAL_SERVER_ERROR;
                    Told::Empty
                }
            };
            Response::from_parts(parts, told)
        })
    }
}

fn told(bytes: Vec<u8>) -> Told {
    match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => Told::Empty,
        Ok(text) => Told::Text(text),
        Err(other) => Told::Binary(other.into_bytes()),
    }
}
