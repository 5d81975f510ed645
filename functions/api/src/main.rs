//! The HTTP API behind API Gateway. What it answers is in `rest`; private links are CloudFront's.

mod answer;

use answer::Answer;
use calmesh_lambda_kit::Cloud;
use calmesh_rest::{RestOptions, router};
use lambda_http::{Error, Request};
use tower::ServiceExt;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let cloud = Cloud::api().await?;
    let mut options = RestOptions::new(env!("CARGO_PKG_VERSION"));
    options.cors_origins = cloud.config.cors_origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
    options.identity = cloud.room.identity;
    let service = ServiceExt::<Request>::map_response(router(cloud.room.desk, options), Answer);
    lambda_http::run(service).await
}
