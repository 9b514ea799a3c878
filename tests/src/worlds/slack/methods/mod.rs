//! The methods of the Web API, by family. Each takes a call and gives the fields of its answer or a refusal.

pub(super) mod chat;
pub(super) mod conversations;
pub(super) mod files;
pub(super) mod oauth;
pub(super) mod people;
pub(super) mod reactions;
