#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod aws;
mod failure;
mod on_demand;
mod roots;

pub use aws::{AwsHttpError, aws_http_client};
pub use failure::how_it_failed;
pub use on_demand::OnDemand;
pub use roots::{Roots, client_config};
