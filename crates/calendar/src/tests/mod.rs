//! The rules of SAFETY.md as sentences, and properties against a dull model.

mod build;
mod occupancy;
mod properties;
mod reconcile;
mod simulation;
mod view;
