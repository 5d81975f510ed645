//! The services of the cloud inside this process, under one data folder: the same adapters speak to them through
//! the same SDK clients.

pub(crate) mod dynamo;
pub(crate) mod objects;
pub(crate) mod rows;
pub(crate) mod s3;
pub(crate) mod sqlite;
pub(crate) mod writer;
