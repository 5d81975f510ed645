//! The store on an embedded DynamoDB: what every store promises, and what only this one can get wrong.

mod crashes;
mod embedded;
mod models;
mod promises;
mod retries;
mod sizes;
mod unreadable;
