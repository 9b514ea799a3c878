//! The stories of the scenarios once more, in towns whose store is on AWS: everything that the engine does, on tables and
//! queues that are no transaction together. One process does the work of all functions; how these divide it is the stack's.

#[path = "../scenarios/commands.rs"]
mod commands;
#[path = "../scenarios/crossing.rs"]
mod crossing;
#[path = "../scenarios/faults.rs"]
mod faults;
#[path = "../scenarios/lanes.rs"]
mod lanes;
#[path = "../scenarios/owners.rs"]
mod owners;
#[path = "../scenarios/portals.rs"]
mod portals;
#[path = "../scenarios/promise_1_accept.rs"]
mod promise_1_accept;
#[path = "../scenarios/promise_2_order.rs"]
mod promise_2_order;
#[path = "../scenarios/promise_3_delivery.rs"]
mod promise_3_delivery;
#[path = "../scenarios/promise_4_never_silent.rs"]
mod promise_4_never_silent;
#[path = "../scenarios/promise_5_no_loops.rs"]
mod promise_5_no_loops;
#[path = "../scenarios/promise_6_consent.rs"]
mod promise_6_consent;
#[path = "../scenarios/slack_faults.rs"]
mod slack_faults;
#[path = "../scenarios/slack_irc.rs"]
mod slack_irc;
#[path = "../scenarios/slack_slack.rs"]
mod slack_slack;
#[path = "../scenarios/tubes.rs"]
mod tubes;
