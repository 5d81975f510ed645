//! The store on an embedded DynamoDB: what every store promises, and what only this one can get wrong.

mod connections;
mod costs;
mod crashes;
mod damage;
mod embedded;
pub(crate) mod forms;
mod history;
mod models;
mod promises;
mod retries;
mod settles;
mod sizes;
mod unreadable;
