//! The operator's API keys. The token is told once, to whoever asked for the key.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sameroom_engine::Engine;
use sameroom_model::Scope;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use crate::cli::KeyScope;
use crate::runtime::operator;

/// The longest name, in characters.
const NAME_MAX: usize = 80;

/// Makes a key.
pub(crate) async fn add(
    engine: &Engine,
    name: &str,
    scopes: &BTreeSet<Scope>,
    days: Option<u32>,
) -> anyhow::Result<Value> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX {
        bail!("a key's name has 1 to {NAME_MAX} characters");
    }
    let now = engine.clock().now();
    let expires = match days {
        Some(days) => Some(now.checked_add(Duration::from_hours(24 * u64::from(days))).context("that is too far off")?),
        None => None,
    };
    let made = engine.add_key(&operator(), name, scopes, expires).await?;
    let (key, token) = made.context("there is no operator to make a key for")?;
    Ok(
        json!({ "id": key.id, "name": key.name, "scopes": key.scopes, "expires": key.expires, "token": token.expose_secret() }),
    )
}

impl From<KeyScope> for Scope {
    fn from(scope: KeyScope) -> Self {
        match scope {
            KeyScope::Read => Self::Read,
            KeyScope::Portals => Self::Portals,
            KeyScope::Tubes => Self::Tubes,
            KeyScope::Admin => Self::Admin,
        }
    }
}
