//! Scenarios over more than one crate, in one binary, so that it links once.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests say what they do by their names, and may panic"
)]

/// Tells a story twice, in a town whose store is in memory and in one whose store is on disk; at its end nothing waits,
/// and the law of conservation held all along.
macro_rules! stories {
    ($($(#[$meta:meta])* async fn $name:ident($town:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            #[allow(unused_imports, reason = "not every story needs everything")]
            use super::*;
            use sameroom_tests::worlds::{Kind, Town};

            async fn story($town: &Town) $body

            #[tokio::test]
            async fn in_memory() {
                let town = Town::of(Kind::Memory).await;
                story(&town).await;
                town.settled().await;
                town.law().await;
            }

            #[tokio::test]
            async fn on_disk() {
                let town = Town::of(Kind::Disk).await;
                story(&town).await;
                town.settled().await;
                town.law().await;
            }
        }
    )*};
}

mod commands;
mod connect_cut_short;
mod crossing;
mod faults;
mod lanes;
mod owners;
mod portals;
mod promise_1_accept;
mod promise_2_order;
mod promise_3_delivery;
mod promise_4_never_silent;
mod promise_5_no_loops;
mod promise_6_consent;
mod promise_7_no_text_at_rest;
mod simulation;
mod slack_commands;
mod slack_faults;
mod slack_irc;
mod slack_login;
mod slack_slack;
mod slack_socket;
mod store_contract;
mod tubes;
mod watching;
mod workers;
