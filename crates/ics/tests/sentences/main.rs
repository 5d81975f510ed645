//! What reading, rendering and meaning promise, as sentences. Every value in these feeds is invented.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod busy_times;
mod cases;
mod corpus;
mod hostile;
mod linear;
mod meaning;
mod ordinary;
mod raw_lines;
mod reading;
mod refusals;
mod rendering;
mod series;
mod support;
