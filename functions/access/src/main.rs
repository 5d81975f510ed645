//! Records who still reads private links, and when last, out of CloudFront's logs.

use calmesh_lambda_kit::Cloud;
use lambda_runtime::{Error, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let cloud = &Cloud::access().await?;
    lambda_runtime::run(service_fn(|batch| cloud.take_logs(batch))).await
}
