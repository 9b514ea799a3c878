//! Owners, and the keys by which their programs speak for them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{KeyId, OwnerId, Timestamp};

/// Somebody who owns accounts, Tubes and Portals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Ours.
    pub id: OwnerId,
    /// The name shown to people.
    pub name: String,
    /// Where mail about trouble goes.
    #[serde(rename = "email", default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<String>,
    /// When they were added.
    pub made_at: Timestamp,
    /// Grows with every change.
    #[serde(default)]
    pub version: u64,
}

impl Owner {
    /// The owner that there always is: whoever runs the installation.
    pub const OPERATOR: &'static str = "operator";
}

/// An API key as it is shown; the token itself is shown once, when the key is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Ours. Not secret.
    pub id: KeyId,
    /// For whom it speaks.
    pub owner: OwnerId,
    /// What its owner calls it.
    pub name: String,
    /// What it was given; see [`Scope::implies`] for what that holds.
    pub scopes: BTreeSet<Scope>,
    /// When it was made.
    pub made_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// The token's first characters, so that its owner knows it again.
    pub hint: String,
}

/// What a key may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To see what its owner has.
    Read,
    /// To make, change and revoke Portals, and to decide about guests.
    Portals,
    /// To make, change and remove Tubes, and to set rooms' options.
    Tubes,
    /// Everything: accounts, keys, deliveries.
    Admin,
}

impl Scope {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Read, Self::Portals, Self::Tubes, Self::Admin];

    /// What a scope holds beside itself.
    const IMPLIES: [(Self, &'static [Self]); 4] = [
        (Self::Read, &[]),
        (Self::Portals, &[Self::Read]),
        (Self::Tubes, &[Self::Read]),
        (Self::Admin, &[Self::Read, Self::Portals, Self::Tubes]),
    ];

    /// What this scope holds beside itself.
    pub fn implies(self) -> &'static [Self] {
        Self::IMPLIES.iter().find(|(scope, _)| *scope == self).map_or(&[], |(_, implied)| implied)
    }

    /// The scopes given and all that they hold.
    pub fn closure(given: &BTreeSet<Self>) -> BTreeSet<Self> {
        given.iter().flat_map(|scope| scope.implies().iter().copied().chain([*scope])).collect()
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Portals => "portals",
            Self::Tubes => "tubes",
            Self::Admin => "admin",
        }
    }
}

/// Who calls, proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For whom.
    pub owner: OwnerId,
    /// By which key.
    pub key: KeyId,
    /// What they may do: what was given and all that it holds.
    pub scopes: BTreeSet<Scope>,
}

impl Caller {
    /// Whether they may.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_hold_what_they_imply() {
        let of = |scope: Scope| Scope::closure(&BTreeSet::from([scope]));
        assert_eq!(of(Scope::Admin), Scope::ALL.into());
        assert_eq!(of(Scope::Portals), [Scope::Read, Scope::Portals].into());
        assert_eq!(of(Scope::Tubes), [Scope::Read, Scope::Tubes].into());
        assert_eq!(of(Scope::Read), [Scope::Read].into());
        assert!(Scope::closure(&BTreeSet::new()).is_empty());
    }
}
