//! The tick: invoked every minute, announces the shards whose minute it is and what has waited too long.

use calmesh_lambda_kit::Cloud;
use lambda_runtime::{Error, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let cloud = &Cloud::schedule().await?;
    // What the schedule sends says nothing: the tick goes by the clock.
    lambda_runtime::run(service_fn(|_: LambdaEvent<serde::de::IgnoredAny>| cloud.tick())).await
}
