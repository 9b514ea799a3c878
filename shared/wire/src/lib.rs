//! What reaches platforms: an HTTP client, a dialer for held connections and the driver that runs their sessions, all
//! behind one address guard. [`LiveWire`] puts them together as the engine's [`Wire`](sameroom_engine::ports::Wire).
//!
//! Here are sockets, DNS, TLS and time-outs, and nothing else. This crate must not know any platform, any store, or
//! what a message says: requests and bytes come ready made, answers and events go on as they came.

mod causes;
pub mod dialer;
mod download;
pub mod guard;
pub mod http;
pub mod live;
mod proof;
pub mod session;
pub mod supervisor;
pub mod trust;
pub mod worker;

#[cfg(test)]
mod testing;

pub use dialer::Dialer;
pub use guard::{Guard, Net};
pub use http::{HttpClient, Limits};
pub use live::{LiveWire, Registry};
pub use session::{Ended, Handle, Sink, spawn};
pub use supervisor::{News, Supervisor};
pub use trust::Trust;
