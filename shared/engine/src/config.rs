//! What can be set about the engine, as data.

use std::time::Duration;

use crate::commands::CommandRules;

/// What can be set about the engine.
#[derive(Clone, Debug)]
pub struct Config {
    /// How long to wait after each attempt that the target answered, before the next; when it is used up the last
    /// one repeats, until a delivery is older than [`Config::keep`].
    pub retry: Vec<Duration>,
    /// Likewise for attempts that nobody answered: asking again costs little, and catching up soon is worth much.
    pub unreachable: Vec<Duration>,
    /// How long a delivery that can't be made is kept before it is given up.
    pub keep: Duration,
    /// How long failed deliveries and undecodable requests can be replayed.
    pub keep_failed: Duration,
    /// How long it is remembered which message is a copy of which, so that edits, replies and late retries find it.
    pub keep_copies: Duration,
    /// How many rooms one network may span.
    pub rooms_max: usize,
    /// How old the oldest event may be that nobody works on before intake is slowed.
    pub lag_slow: Duration,
    /// How old before intake is refused with "try again later".
    pub lag_refuse: Duration,
    /// How many batches are worked on at once, per queue.
    pub concurrency: usize,
    /// How many jobs of one group are leased at once.
    pub batch: usize,
    /// How many times the same words may come round within a minute before a loop is suspected.
    pub echo_limit: u32,
    /// A hosted room's history: at most so many messages.
    pub history_max: u64,
    /// A hosted room's history: none older than this.
    pub history_keep: Duration,
    /// Where this Sameroom is reached from outside, without a slash at its end. `None`: files that only an account may
    /// read are given by their platform's own address.
    pub public_url: Option<String>,
    /// Whether `@name` written elsewhere becomes a mention of the one person of that name, where the target has
    /// mentions and the person is known there.
    pub mention_by_name: bool,
    /// What people in rooms may do by command.
    pub commands: CommandRules,
    /// Whether connections are held by another process, which makes the deliveries that go by them: those go to
    /// [`QueueName::Held`](crate::ports::QueueName::Held).
    pub apart: bool,
    /// How often who follows an owner's changes looks by itself, for what other processes changed.
    pub look_again: Duration,
    /// How long rooms have to answer a ping before those that have not are told.
    pub ping_wait: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let seconds = |list: &[u64]| list.iter().map(|s| Duration::from_secs(*s)).collect();
        Self {
            retry: seconds(&[1, 5, 30, 300, 1800, 3600]),
            unreachable: seconds(&[1, 1, 2, 2, 3, 3, 3, 5, 5, 5, 10, 10, 30, 30, 60, 60, 120, 300]),
            keep: Duration::from_hours(24),
            keep_failed: Duration::from_hours(14 * 24),
            keep_copies: Duration::from_hours(30 * 24),
            rooms_max: 250,
            lag_slow: Duration::from_secs(1),
            lag_refuse: Duration::from_secs(30),
            concurrency: 1024,
            batch: 64,
            echo_limit: 3,
            history_max: 200,
            history_keep: Duration::from_hours(24),
            public_url: None,
            mention_by_name: true,
            commands: CommandRules::default(),
            apart: false,
            look_again: Duration::from_secs(5),
            ping_wait: Duration::from_secs(30),
        }
    }
}
