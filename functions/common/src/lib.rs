//! What the functions on AWS have in common: how they start ([`start`]), and how HTTP comes to them ([`serve`]). What each
//! one is for is in its own main; this crate must not know.

mod http;
mod start;

pub use http::{Ask, serve};
pub use start::{Role, Started, start};
