//! The network file: accounts, rooms, options and Tubes as one TOML document. [`mod@file`] reads it, [`apply`] makes it so,
//! [`export`] writes it. What is in a room's URL is the platforms' affair.

pub(crate) mod apply;
pub(crate) mod export;
pub(crate) mod file;
mod tables;

use sameroom_model::RoomOptions;
use sameroom_model::{AccountId, RoomRef};
use sameroom_platforms::{Draft, RoomDraft};

/// What a network file wants there to be, understood, with its secrets in the clear.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) accounts: Vec<WantedAccount>,
    pub(crate) rooms: Vec<WantedRoom>,
    pub(crate) tubes: Vec<WantedTube>,
}

/// An account that is wanted.
#[derive(Debug)]
pub(crate) struct WantedAccount {
    /// What the file calls it, or who we are where.
    pub(crate) label: String,
    pub(crate) id: AccountId,
    pub(crate) draft: Draft,
}

/// A room that is wanted.
#[derive(Debug)]
pub(crate) struct WantedRoom {
    /// What the file calls it.
    pub(crate) label: String,
    pub(crate) account: AccountId,
    pub(crate) draft: RoomDraft,
    pub(crate) options: RoomOptions,
}

/// A Tube that is wanted.
#[derive(Debug)]
pub(crate) struct WantedTube {
    /// Places in [`Wanted::rooms`].
    pub(crate) ends: [usize; 2],
    pub(crate) paused: bool,
}

impl WantedRoom {
    pub(crate) fn at(&self) -> RoomRef {
        RoomRef { account: self.account.clone(), key: self.draft.key.clone() }
    }
}

/// JSON as TOML can say it: without nulls.
pub(crate) fn without_nulls(value: &serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => Value::Object(
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), without_nulls(v))).collect(),
        ),
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}
