#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod aws;
mod roots;

pub use aws::{AwsHttpError, aws_http_client};
pub use roots::{Roots, client_config};
