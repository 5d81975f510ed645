//! What the SDKs of AWS send their requests with: the same client and the same TLS as everything else of ours.

use std::{error::Error, fmt, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
};
use aws_smithy_types::body::SdkBody;
use http_body_util::BodyExt;
use reqwest::{Body, Client, redirect};

use crate::{Roots, client_config};

/// The client could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AwsHttpError {
    #[error("TLS can't be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client can't be set up")]
    Client(#[source] reqwest::Error),
}

/// For the configuration of an SDK; one for all of them, so that they share connections. It waits `connect_timeout` for
/// a connection; how long an answer may take is the SDK's to say, and so is whether to try again.
///
/// # Errors
/// When TLS can't be set up.
pub fn aws_http_client(roots: Roots, connect_timeout: Duration) -> Result<SharedHttpClient, AwsHttpError> {
    let connector = SharedHttpConnector::new(connector(roots, connect_timeout)?);
    Ok(http_client_fn(move |_, _| connector.clone()))
}

fn connector(roots: Roots, connect_timeout: Duration) -> Result<Connector, AwsHttpError> {
    let client = Client::builder()
        .tls_backend_preconfigured(client_config(roots).map_err(AwsHttpError::Tls)?)
        .connect_timeout(connect_timeout)
        // What came is what was signed and what is checked: nothing is followed, unzipped or sent elsewhere.
        .redirect(redirect::Policy::none())
        .no_gzip()
        .no_proxy()
        .referer(false)
        .build()
        .map_err(AwsHttpError::Client)?;
    Ok(Connector(client))
}

struct Connector(Client);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = to_reqwest(request).await.map_err(ConnectorError::user)?;
            let response = client.execute(request).await.map_err(failure)?;
            let response = http::Response::<Body>::from(response).map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

async fn to_reqwest(request: HttpRequest) -> Result<reqwest::Request, Box<dyn Error + Send + Sync>> {
    let (head, body) = request.try_into_http1x()?.into_parts();
    let body = match body.bytes() {
        // What lies in memory is handed on as it lies there, and can be sent a second time on another connection.
        Some(_) => Body::from(body.collect().await?.to_bytes()),
        None => Body::wrap(body),
    };
    Ok(http::Request::from_parts(head, body).try_into()?)
}

/// As the SDK's retries want it told: whatever broke on the way may be tried again.
fn failure(error: reqwest::Error) -> ConnectorError {
    // The address may hold a link's name.
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A server that gives one answer to every connection, and what it heard.
    async fn server(answer: &'static [u8]) -> (String, Arc<Mutex<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut seen = vec![0; 4096];
                let read = stream.read(&mut seen).await.unwrap();
                hears.lock().unwrap().extend_from_slice(&seen[..read]);
                stream.write_all(answer).await.unwrap();
            }
        });
        (format!("http://{address}/secret/name?x-id=PutObject"), heard)
    }

    async fn ask(url: &str, body: &'static str) -> Result<HttpResponse, ConnectorError> {
        let connector = connector(Roots::Bundled, Duration::from_secs(5)).unwrap();
        let request = http::Request::put(url).header("x-amz-date", "today").body(SdkBody::from(body)).unwrap();
        connector.call(request.try_into().unwrap()).await
    }

    #[tokio::test]
    async fn a_request_goes_out_as_it_was_signed_and_its_answer_comes_in_as_it_was_given() {
        let (url, heard) = server(
            b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x00",
        )
        .await;
        let answer = ask(&url, "what is put").await.unwrap();
        assert_eq!(answer.status().as_u16(), 307);
        assert_eq!(answer.headers().get("content-encoding"), Some("gzip"));
        let body = aws_smithy_types::byte_stream::ByteStream::new(answer.into_body()).collect().await.unwrap();
        assert_eq!(&body.into_bytes()[..], b"\x1f\x8b\x00\x00");
        let heard = String::from_utf8(heard.lock().unwrap().clone()).unwrap();
        assert!(heard.starts_with("PUT /secret/name?x-id=PutObject HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("x-amz-date: today\r\n") && heard.ends_with("\r\n\r\nwhat is put"), "{heard}");
        for added in ["user-agent", "accept-encoding", "referer"] {
            assert!(!heard.to_lowercase().contains(added), "{heard}");
        }
    }

    #[tokio::test]
    async fn a_body_that_lies_in_memory_is_not_copied() {
        let bytes = Bytes::from_static(b"what is put");
        let request = http::Request::put("http://localhost").body(SdkBody::from(bytes.clone())).unwrap();
        let sent = to_reqwest(request.try_into().unwrap()).await.unwrap();
        assert_eq!(sent.body().unwrap().as_bytes().unwrap().as_ptr(), bytes.as_ptr());
    }

    #[tokio::test]
    async fn what_breaks_on_the_way_is_a_fault_of_the_connection_and_names_no_address() {
        let (cut, _) = server(b"").await;
        let refused = "http://127.0.0.1:1/secret/name".to_owned();
        for url in [cut, refused] {
            let error = ask(&url, "").await.unwrap_err();
            assert!(error.is_io(), "{error:?}");
            assert!(!format!("{error:?}").contains("secret/name"), "{error:?}");
        }
    }
}
