//! What is read of feeds: a body's events, judged by profile and policy, and taken into the property.

pub(crate) mod aside;
pub(crate) mod body;
pub(crate) mod judge;
pub(crate) mod kept;
pub(crate) mod parked;
pub(crate) mod take;
