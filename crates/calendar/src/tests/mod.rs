//! The rules of SAFETY.md as sentences, and properties against a dull model.

mod build;
mod conflicts;
mod doubling;
mod echoes;
mod edges;
mod home;
mod large;
mod looked_at;
mod needed;
mod occupancy;
mod properties;
mod races;
mod reconcile;
mod semantics;
mod simulation;
mod view;
