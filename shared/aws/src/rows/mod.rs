//! Rows in one table of DynamoDB: reads, and how writes are made of as few and as cheap calls as they allow.

pub(crate) mod item;
