//! Answers that S3 is documented to give, given by a server that gives nothing else.

use bytes::Bytes;
use calmesh_app::ports::{ExportStore, ExportVersion, ExportWriteError};
use calmesh_exports_s3::S3Objects;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::Body;
use tokio::net::TcpListener;

use crate::store::{buckets, client, token};

/// An adapter whose S3 answers everything with this status and error code, and repeats the key as S3 does.
async fn answering(status: u16, code: &'static str) -> S3Objects {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let answer = service_fn(move |request: Request<Incoming>| async move {
                let path = request.uri().path().to_owned();
                let xml = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>about {path}</Message>\
                     <Key>{path}</Key><Resource>{path}</Resource><RequestId>4442587FB7D0A2F9</RequestId></Error>"
                );
                let mut response = Response::new(Body::from(Bytes::from(xml)));
                *response.status_mut() = status.try_into().unwrap();
                response.headers_mut().insert("x-amz-request-id", "4442587FB7D0A2F9".parse().unwrap());
                Ok::<_, std::convert::Infallible>(response)
            });
            tokio::spawn(async move {
                auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(socket), answer)
                    .await
                    .map_err(drop)
            });
        }
    });
    S3Objects::new(client(address, "any"), buckets())
}

async fn put(objects: &S3Objects) -> Result<ExportVersion, ExportWriteError> {
    let read = ExportVersion("\"d41d8cd98f00b204e9800998ecf8427e\"".to_owned());
    objects.put_export(&token(), Bytes::from_static(b"x"), Some(&read)).await
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_stale_in_all_its_forms() {
    for (status, code) in [(412, "PreconditionFailed"), (409, "ConditionalRequestConflict"), (404, "NoSuchKey")] {
        let refused = put(&answering(status, code).await).await;
        assert!(matches!(refused, Err(ExportWriteError::Stale)), "{status} {code}: {refused:?}");
    }
}

#[tokio::test]
async fn other_refusals_of_a_put_are_errors() {
    for (status, code) in [(404, "NoSuchBucket"), (409, "OperationAborted"), (403, "AccessDenied")] {
        let refused = put(&answering(status, code).await).await;
        let Err(ExportWriteError::Object(error)) = refused else { panic!("{status} {code}: {refused:?}") };
        assert_eq!(
            error.what,
            format!("PutObject of an export was answered {status} {code}, request 4442587FB7D0A2F9")
        );
    }
}

#[tokio::test]
async fn a_read_without_the_right_to_is_an_error_and_not_a_missing_export() {
    let refused = answering(403, "AccessDenied").await.export(&token()).await.unwrap_err();
    assert!(refused.what.contains("403 AccessDenied"), "{refused}");
}

#[tokio::test]
async fn no_error_tells_a_token_a_key_or_an_address() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let unreachable = S3Objects::new(client(closed, "any"), buckets());
    for objects in [answering(403, "AccessDenied").await, answering(400, "<Odd>Key").await, unreachable] {
        let errors = [
            format!("{:?}", objects.export(&token()).await.unwrap_err()),
            format!("{:?}", put(&objects).await.unwrap_err()),
            format!("{:?}", objects.delete_export(&token()).await.unwrap_err()),
        ];
        for error in errors {
            assert!(!error.contains(token().reveal()) && !error.contains("f/") && !error.contains("127."), "{error}");
        }
    }
}
