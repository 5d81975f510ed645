//! The data's way through the fakes: sweeps, merges, exports, and a death at every call in between.

mod changed;
mod crashes;
mod crowded;
mod deletions;
mod echoes;
mod edges;
mod edits;
mod exports;
mod goldens;
mod later;
mod limits;
mod meanings;
mod past;
mod previews;
mod reads;
mod sweeps;
mod taken_in;
mod together;
mod world;
