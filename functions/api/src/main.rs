//! The HTTP API behind API Gateway. What it answers is in `rest`; private links are CloudFront's.

use calmesh_lambda_kit::{Cloud, Function};
use lambda_http::Error;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let cloud = Cloud::start(Function::Api).await?;
    lambda_http::run(calmesh_rest::router(cloud.app.clone(), calmesh_rest::RestOptions::default())).await
}
