//! Worlds: what stands around an engine in a scenario. A [`Town`] owns the engine and its store; rooms are in worlds
//! that it reaches over real loopback. They are ours, so they prove nothing about anybody's server: that is the business
//! of the tests against foreign software.
//!
//! Nothing here sleeps until something has probably happened: whoever waits is told, and fails after [`WAIT`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what fails here fails a test")]

mod hook;
mod irc;
mod local;
mod sessions;
pub mod slack;
mod store;
mod torn;
mod town;

use std::fmt::Debug;
use std::time::Duration;

use tokio::sync::watch;

pub use hook::{Answered, Attempt, Hook, Mood};
pub use irc::{Irc, Server};
pub use local::LocalRoom;
pub use store::{Outage, Watched};
pub use torn::Torn;
pub use town::{Kind, Town};

/// The one time-out: how long anybody waits for something that must happen. Generous, since the machine may be busy; in
/// a scenario that passes nobody waits nearly as long.
pub const WAIT: Duration = Duration::from_mins(1);

/// Waits until `look` gives something, looking again whenever `stirred` changes; fails with `tell` after [`WAIT`].
pub(crate) async fn until<T>(
    stirred: &watch::Sender<u64>,
    mut look: impl FnMut() -> Option<T>,
    tell: impl FnOnce() -> String,
) -> T {
    let mut changes = stirred.subscribe();
    let looking = async {
        loop {
            changes.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            changes.changed().await.expect("the sender is ours");
        }
    };
    let found = tokio::time::timeout(WAIT, looking).await;
    found.unwrap_or_else(|_| panic!("waited {WAIT:?} in vain: {}", tell()))
}

pub(crate) fn stir(stirred: &watch::Sender<u64>) {
    stirred.send_modify(|n| *n += 1);
}

/// A list, one a line, for a failure's message.
pub(crate) fn lines<T: Debug>(list: impl IntoIterator<Item = T>) -> String {
    list.into_iter().map(|item| format!("\n    {item:?}")).collect()
}
