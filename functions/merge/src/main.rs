//! Makes state and exports follow: what was read, properties and links that are dirty, accounts that go.

use calmesh_lambda_kit::Cloud;
use lambda_runtime::{Error, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let cloud = &Cloud::merge().await?;
    lambda_runtime::run(service_fn(|batch| cloud.work(batch))).await
}
