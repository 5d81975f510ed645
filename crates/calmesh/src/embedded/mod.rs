//! The services of the cloud inside this process, under one data folder: the same adapters speak to them through
//! the same SDK clients.

mod disk;
pub(crate) mod dynamo;
pub(crate) mod objects;
pub(crate) mod s3;
pub(crate) mod writer;
