//! Identifiers. Ours are opaque to platforms, theirs are opaque to us: a [`RoomKey`], [`MessageKey`] or [`UserKey`] is
//! minted and parsed only by the platform that owns it, and everybody else stores it verbatim.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = Arc<str>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }
                    fn visit_str<E>(self, text: &str) -> Result<Arc<str>, E> {
                        Ok(text.into())
                    }
                }
                deserializer.deserialize_str(Text).map(Self)
            }
        }
    )*};
}

ids! {
    /// Who owns accounts, Tubes and Portals. Every management call carries one.
    OwnerId,
    /// One account, ours. Stable for the same platform, endpoint and identity.
    AccountId,
    /// One Tube, ours.
    TubeId,
    /// One Portal, ours.
    PortalId,
    /// One guest of a Portal, ours: derived from the Portal, the guest's owner and room.
    GuestId,
    /// One API key, ours. Not the key itself.
    KeyId,
    /// One event. Derived from the platform's own event id, so that a platform's retry has the same one. Unique
    /// within an account.
    EventId,
    /// One delivery: derived from lane, origin and action, never random, so that a second worker makes the same one.
    DeliveryId,
    /// A room in its platform's own terms. Unique within an account.
    RoomKey,
    /// A message in its platform's own terms. Unique within a room.
    MessageKey,
    /// A person or bot in its platform's own terms. Unique within an account.
    UserKey,
}
