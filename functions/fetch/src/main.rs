//! Reads feeds: shards that are due and refreshes that somebody asked for, each out of a queue of its own.

use calmesh_lambda_kit::Cloud;
use lambda_runtime::{Error, service_fn};

#[tokio::main(worker_threads = 1)]
async fn main() -> Result<(), Error> {
    let cloud = &Cloud::fetch().await?;
    lambda_runtime::run(service_fn(|batch| cloud.work(batch))).await
}
