//! Chat platforms as pure protocol. One folder a platform; one line in `platforms!` registers it.
//!
//! No sockets, no clock, no async, no randomness: time, bytes and seeds are arguments. What a platform is asked to do
//! is the contract in [`contract`]; what it can do is data in [`capabilities`].

pub mod answers;
pub mod capabilities;
pub mod contract;
pub mod session;
#[cfg(test)]
#[macro_use]
mod suite;

pub use capabilities::{AuthorShown, Capabilities, Carrier, Echo, Files, Limit, Once, Rate, Support, Unit};
pub use contract::{
    About, Answer, BadUrl, Desk, Draft, Field, Form, Likeness, Listing, Located, Platform, Problem, Profile, Rejected,
    RoomDraft, Step, Subject, TURNS_MAX, Turn, Urls, Webhook,
};
pub use session::{Dial, Input, Joined, LinkId, Output, Pin, Session, Tls};

/// Registers platforms: one line each, name and unit type.
macro_rules! platforms {
    ($($module:ident => $type:ident),* $(,)?) => {
        $(pub mod $module;)*

        static ALL: &[&dyn Platform] = &[$(&$module::$type),*];
    };
}

platforms! {
    irc => Irc,
    local => Local,
    slack => Slack,
    webhook => Webhook,
}

/// Every platform, in order of name.
pub fn all() -> &'static [&'static dyn Platform] {
    ALL
}

/// The platform of that name.
pub fn by_name(name: &str) -> Option<&'static dyn Platform> {
    ALL.iter().copied().find(|platform| platform.about().name == name)
}

/// The platform that reads room URLs of that scheme.
pub fn by_scheme(scheme: &str) -> Option<&'static dyn Platform> {
    ALL.iter().copied().find(|platform| platform.about().schemes.contains(&scheme))
}
