//! The ports of Sameroom's engine on one machine: [`Sqlite`], a store that outlives the process and the power; the
//! [`Memory`] store for tests; [`KeyFile`], a vault; and [`SystemClock`].
//!
//! This crate must not know what a Tube, an event or a delivery is: it keeps bytes, by the promises of
//! [`sameroom_engine::ports`].

mod clock;
mod memory;
mod sqlite;
mod vault;

pub use clock::SystemClock;
pub use memory::{Memory, TestClock};
pub use sqlite::{OpenError, Sqlite, SqliteOptions};
pub use vault::{KeyFile, KeyFileError};
