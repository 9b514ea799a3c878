//! Accounts and their secrets. A secret is sealed wherever it rests, and opened only into [`Secrets`], which no
//! formatter shows.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{AccountId, OwnerId, UserKey};

/// One login, bot or app installation on one site, through which rooms are read and posted to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// Ours. Stable for the same platform, endpoint and identity.
    pub id: AccountId,
    /// Whose it is.
    pub owner: OwnerId,
    /// The platform's name in the registry, for example `irc`.
    pub platform: String,
    /// Where the platform is reached, as a URL; so every platform can be self-hosted, and tested on loopback.
    pub endpoint: String,
    /// Who we are there.
    pub identity: Identity,
    /// What the platform alone understands.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub settings: serde_json::Value,
    /// Its secrets, sealed with the owner's and the account's id bound in.
    #[serde(default)]
    pub secrets: Sealed,
    /// How it fares.
    #[serde(default)]
    pub state: AccountState,
    /// Whether it stands for itself, is an app that is installed elsewhere, or is such an installation.
    #[serde(default, skip_serializing_if = "Place::is_alone")]
    pub place: Place,
    /// Fields of a newer version, kept through a rewrite.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// How an account stands to others of its platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// It stands for itself.
    #[default]
    Alone,
    /// It is an app: it has no rooms of its own, and what it hears belongs to its installations.
    App,
    /// It is an installation of an app, whose secrets and settings it shares where it has none of its own.
    Installed {
        /// The app's account.
        app: AccountId,
        /// What the platform calls the place where it is installed (a workspace's id). Unique within the app.
        tenant: String,
    },
}

impl Place {
    /// Whether it stands for itself.
    pub fn is_alone(&self) -> bool {
        *self == Self::Alone
    }
}

/// Who we are on a site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Our own user key, once it is known: events by it are our own echoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<UserKey>,
    /// The name shown to people.
    pub name: String,
}

/// How an account fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "why")]
pub enum AccountState {
    /// It works, as far as is known.
    #[default]
    Ok,
    /// The platform is in trouble or out of reach; being retried.
    Trouble(String),
    /// The owner has to sign in again, or mend a setting; a sentence says what.
    NeedsOwner(String),
}

/// Ciphertext of a [`Secrets`]. Empty when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

/// An account's secrets by name, in the clear. Shown by no formatter, wiped when dropped.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, SecretString>);

impl Secrets {
    /// The secret of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(ExposeSecret::expose_secret)
    }

    /// Sets a secret.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), SecretString::from(value.into()));
    }

    /// Names and values, in order of name; for sealing, and for nothing else.
    pub fn expose(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut secrets = Self::default();
        pairs.into_iter().for_each(|(name, value)| secrets.set(name, value));
        secrets
    }
}

/// An account with its secrets in the clear: what a platform works with.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The account.
    pub account: Account,
    /// Its secrets.
    pub secrets: Secrets,
}
