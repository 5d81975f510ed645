#![doc = include_str!("../README.md")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing))]

mod draft;
mod entry;
mod feed_text;
mod lines;
mod meaning;
mod moment;
mod outline;
mod place;
mod property;
mod read;
mod recur;
mod refusal;
mod render;
mod series;
mod skipped;
mod zones;

pub use meaning::{Meaning, MeaningError, meaning};
pub use read::{Horizon, Limits, ReadContext, accept, read};
pub use refusal::{Excess, Found, Refusal};
pub use render::{Document, DocumentEvent, render};
