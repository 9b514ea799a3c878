//! The adapters of AWS, on a local AWS. Not part of plain `cargo test`: `tests/run aws-contract` installs ministack and
//! runs them.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests say what they do by their names, and may panic"
)]

/// Tells a story in a town whose store is on AWS; at its end nothing waits.
macro_rules! stories {
    ($($(#[$meta:meta])* async fn $name:ident($town:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every story needs everything")]
            use super::*;
            #[allow(unused_imports, reason = "not every story needs everything")]
            use sameroom_tests::worlds::{Kind, Town};

            async fn story($town: &Town) $body

            #[tokio::test]
            async fn on_aws() {
                let stack = crate::stack::Stack::new().await;
                let town = Town::on(stack.store.clone(), crate::stack::soon).await;
                story(&town).await;
                town.settled().await;
                town.leaves().await;
            }
        }
    )*};
}

mod beyond;
mod contract;
mod costs;
mod relayed;
mod stack;
mod stories;
