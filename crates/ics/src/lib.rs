#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod lines;
mod meaning;
mod outline;
mod read;
mod refusal;
mod render;

pub use meaning::{Meaning, MeaningError, meaning};
pub use read::{
    accept,
    context::{Horizon, Limits, ReadContext},
    read,
};
pub use refusal::{Excess, Found, Refusal};
pub use render::{Document, DocumentEvent, render};
