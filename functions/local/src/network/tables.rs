//! The shape of a network file, as TOML has it. What it means is said in `file`.

use std::collections::BTreeMap;
use std::fmt;

use sameroom_model::{AuthorStyle, Direction, EditStyle, ReplyStyle};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) accounts: BTreeMap<Spanned<String>, AccountTable>,
    #[serde(default)]
    pub(super) rooms: BTreeMap<Spanned<String>, RoomEntry>,
    #[serde(default)]
    pub(super) tubes: Vec<TubeTable>,
}

#[derive(Deserialize)]
pub(super) struct AccountTable {
    pub(super) url: Option<String>,
    pub(super) platform: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) name: Option<String>,
    pub(super) settings: Option<serde_json::Value>,
    /// Parameters of the URL, or secrets.
    #[serde(flatten)]
    pub(super) more: BTreeMap<String, Parameter>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Parameter {
    Text(String),
    Whole(i64),
    Number(f64),
    Switch(bool),
}

/// A room's URL, or a table.
pub(super) struct RoomEntry(pub(super) RoomTable);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomTable {
    pub(super) url: Option<String>,
    pub(super) account: Option<Spanned<String>>,
    pub(super) room: Option<String>,
    pub(super) key: Option<String>,
    pub(super) name: Option<String>,
    pub(super) site: Option<String>,
    pub(super) settings: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) author: AuthorStyle,
    #[serde(default)]
    pub(super) team: bool,
    #[serde(default)]
    pub(super) system: bool,
    #[serde(default)]
    pub(super) direction: Direction,
    #[serde(default)]
    pub(super) edits: EditStyle,
    #[serde(default)]
    pub(super) replies: ReplyStyle,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TubeTable {
    pub(super) rooms: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) paused: bool,
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Switch(on) => f.write_str(if *on { "1" } else { "0" }),
        }
    }
}

impl<'de> Deserialize<'de> for RoomEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = RoomTable;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a room's URL or a table")
            }
            fn visit_str<E>(self, url: &str) -> Result<RoomTable, E> {
                Ok(RoomTable { url: Some(url.to_owned()), ..RoomTable::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RoomTable, A::Error> {
                RoomTable::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either).map(Self)
    }
}
