//! The rules of SAFETY.md as sentences, and properties against a dull model.

mod build;
mod echoes;
mod occupancy;
mod properties;
mod reconcile;
mod simulation;
mod view;
