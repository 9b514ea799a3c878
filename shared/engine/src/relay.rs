//! From an accepted event to its copies: the network is walked from the event's room, and every room reached is owed
//! what the plan says. A lone, idle lane is posted to at once, so that the healthy path is one queue deep; everything
//! else goes by the lanes' outboxes, where a sick or slow target delays itself alone.

mod records;
mod spread;

use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sameroom_model::{
    Action, Delivery, Event, EventId, EventKind, Job, Lane, MessageRef, Origin, Outcome, Room, RoomOptions, RoomRef,
    SignedDuration, Text, Timestamp,
};
use sameroom_platforms::Echo;
use sameroom_text::names::excerpt;
use tokio::sync::oneshot;

use crate::accounts::Open;
use crate::attempt::{Begun, Verdict};
use crate::commands::{self, Asked, Heard};
use crate::lane::LaneRow;
use crate::ports::{Again, Batch, Commit, CommitError, Leased, QueueName, Receipt, Tally, Unavailable};
use crate::recent::Seen;
use crate::walk::RoomView;
use crate::{Engine, keys, plan, show};
use records::Records;
use spread::Postponed;
pub(crate) use spread::Slow;

/// After so many attempts that ended in a panic an event is put among the dead letters (fault F24).
const PANICS_MAX: u32 = 3;
/// How long a batch waits when our own infrastructure failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Why the lanes of a room are held when its words keep coming round.
const LOOP: &str = "a loop is suspected: the same words keep coming round";
/// Why a job is kept as a letter.
pub(crate) const UNREADABLE: &str = "its job can't be read; it was written by a newer version of Sameroom";
/// By how much a platform's clock may be ahead of ours.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(10);
/// How long what is around a room is believed within a batch: shorter than anybody can tell.
const LOOK: SignedDuration = SignedDuration::from_millis(200);
/// The longest excerpt that a quote shows, in graphemes.
const EXCERPT_MAX: usize = 60;

/// A batch of one room's events under way. Records of what was done are committed behind its back, in order, while the
/// next event is worked on; whatever reads what they write waits for them first.
struct Run<'a> {
    engine: &'a Engine,
    records: Records<'a>,
    held: VecDeque<Held>,
    /// What is around the room, as it was read last.
    around: Option<Arc<Around>>,
}

/// A room, and the rooms that its messages reach.
struct Around {
    read: Timestamp,
    view: Arc<RoomView>,
    reached: Vec<(RoomRef, RoomOptions)>,
}

/// A direct delivery that is with a held connection.
struct Held {
    receipt: Receipt,
    accepted: Timestamp,
    delivery: Delivery,
    told: oneshot::Receiver<Outcome>,
}

impl Engine {
    /// Relays a batch of events of one room, in order, and settles its leases whatever happens.
    pub async fn relay(&self, batch: Batch) {
        let mut run = Run { engine: self, records: Records::new(self), held: VecDeque::new(), around: None };
        let group = batch.group;
        let leases: Vec<(Receipt, bool)> = batch.jobs.iter().map(|job| (job.receipt, job.maybe)).collect();
        for job in batch.jobs {
            let (receipt, attempt, body) = (job.receipt, job.attempt, job.body.clone());
            let failed = match AssertUnwindSafe(run.relay(&group, job)).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(e)) => {
                    tracing::error!(error = %e, "events wait: our own store or vault failed");
                    false
                }
                Err(_) => {
                    tracing::error!(attempt, "relaying an event panicked");
                    true
                }
            };
            let flushed = run.flush().await;
            if failed
                && attempt >= PANICS_MAX
                && flushed.is_ok()
                && run.give_up(&group, receipt, &body, "relaying it panicked").await.is_ok()
            {
                continue;
            }
            return self.return_all(&leases, &run.records.settled, Some(receipt)).await;
        }
        if let Err(e) = run.flush().await {
            tracing::error!(error = %e, "what was delivered could not be recorded");
            self.return_all(&leases, &run.records.settled, None).await;
        }
    }

    /// Returns what is not settled yet of a batch, in order: `failed` and all later ones of its room come again. Where
    /// none is named all were begun, and may have had their effect.
    async fn return_all(&self, leases: &[(Receipt, bool)], settled: &HashSet<Receipt>, failed: Option<Receipt>) {
        let mut reached = false;
        let again = leases.iter().map(|(receipt, maybe)| {
            let first = Some(*receipt) == failed;
            let maybe = *maybe || !reached;
            reached |= first;
            Again { receipt: *receipt, after: PAUSE, counts: first, maybe }
        });
        self.give_back(again.filter(|again| !settled.contains(&again.receipt)).collect()).await;
    }

    /// Gives leases back, however long the store is unavailable: as long as it has not happened their group is blocked.
    pub(crate) async fn give_back(&self, again: Vec<Again>) {
        if again.is_empty() {
            return;
        }
        while let Err(e) = self.commit_always(Commit { again: again.clone(), ..Commit::default() }).await {
            tracing::error!(error = %e, "jobs can't be given back; trying on");
        }
    }

    /// Commits what has no condition, and keeps trying while the store is unavailable: what was done must be recorded.
    pub(crate) async fn commit_always(&self, commit: Commit) -> Result<(), Unavailable> {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.inner.store.commit(commit.clone()).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => return Err(Unavailable::new("a commit without condition conflicted")),
                Err(CommitError::Unavailable(e)) if pause > Duration::from_secs(10) => return Err(e),
                Err(CommitError::Unavailable(_)) => tokio::time::sleep(pause).await,
            }
            pause *= 2;
        }
    }

    /// Adds to a commit what says something of our own in a room.
    pub(crate) async fn notice(&self, room: &RoomRef, body: &Text, commit: &mut Commit) -> Result<(), Unavailable> {
        let now = self.inner.clock.now();
        // By its words too: several Tubes of a room may change in one instant, and each notice is one of its own.
        let event = format!("notice-{}-{}", now.as_microsecond(), keys::digest(&[&body.words()]));
        self.say(Lane { from: room.clone(), to: room.clone() }, event.into(), body, commit).await
    }

    /// Adds to a commit what says something of our own at the end of a lane. `event`: the same for the same notice, so
    /// that one said twice has one effect where the target sees to that. One commit names a lane once.
    pub(crate) async fn say(
        &self,
        lane: Lane,
        event: EventId,
        body: &Text,
        commit: &mut Commit,
    ) -> Result<(), Unavailable> {
        let delivery = own_words(lane, event, body.clone(), self.inner.clock.now());
        self.enqueue(&delivery, commit).await
    }
}

impl Run<'_> {
    async fn relay(&mut self, group: &str, job: Leased) -> Result<(), Unavailable> {
        let engine = self.engine;
        let Some(mut event) = decode(&job) else {
            return self.give_up(group, job.receipt, &job.body, UNREADABLE).await;
        };
        if !matches!(&event.kind, EventKind::Posted(message) if message.reply_to.is_none() && message.thread.is_none())
        {
            self.flush().await?;
        }
        let open = engine.open(&event.room.account).await?;
        if plan::hushed(&event) || self.is_echo(&event, open.as_deref()).await? {
            return self.filter(&job);
        }
        if let Some(heard) = commands::heard(&event, open.as_deref()) {
            return match heard {
                Heard::Nothing => self.filter(&job),
                Heard::Asked(_) if commands::too_old(&event, job.accepted) => self.filter(&job),
                Heard::Asked(asked) => self.obey(&job, &event, &asked).await,
            };
        }
        let mut around = self.around(&event.room).await?;
        let view = &around.view;
        if !view.tubes.is_empty() && engine.complete(&mut event).await? {
            // A Tube that was removed while names were looked up carries nothing any more.
            self.around = None;
            around = self.around(&event.room).await?;
        }
        let view = &around.view;
        let owed = engine.owed(&event, &around, open.as_deref()).await?;
        // Only now: the notices say what the room was called before.
        if let EventKind::Renamed(name) = &event.kind {
            engine.rename_room(&event.room, name).await?;
            self.around = None;
        }
        if let EventKind::Availability(availability) = &event.kind {
            engine.note_availability(&event.room, availability).await?;
        }
        if owed.is_empty() {
            return self.filter(&job);
        }
        if self.looped(&event) {
            self.flush().await?;
            // The key of a room may be what lets people in, so it is not logged.
            tracing::warn!(account = %event.room.account, "a loop is suspected; the lanes of this room are held");
            return self.append(&job, owed, true).await;
        }
        let alone = owed.len() == 1
            && view.lane(&owed[0].lane).is_none()
            && !(engine.inner.config.apart && engine.goes_by_connection(&owed[0].lane).await?);
        match (alone, owed) {
            (true, mut owed) => match owed.pop() {
                Some(delivery) => self.direct(&job, delivery).await,
                None => Ok(()),
            },
            (false, owed) if owed.len() > 1 && !engine.inner.store.whole() => {
                self.flush().await?;
                self.spread(&job, &around, owed).await
            }
            (false, owed) => {
                self.flush().await?;
                self.append(&job, owed, false).await
            }
        }
    }

    /// Whether an event is our own post coming back.
    async fn is_echo(&mut self, event: &Event, open: Option<&Open>) -> Result<bool, Unavailable> {
        let Some(open) = open else { return Ok(false) };
        let author = event.author.as_ref();
        if author.is_some_and(|author| Some(&author.key) == open.opened.account.identity.key.as_ref()) {
            return Ok(true);
        }
        let key = match &event.kind {
            EventKind::Posted(message) => match open.platform.about().capabilities.echo {
                Echo::Never => return Ok(false),
                Echo::ByBots if author.is_some_and(|author| !author.bot) => return Ok(false),
                // Where what we post there always kept the id that we proposed, no other can be one of ours.
                Echo::ByKey
                    if !keys::is_proposed(&message.key) && !self.around(&event.room).await?.view.foreign_ids =>
                {
                    return Ok(false);
                }
                Echo::ByKey | Echo::ByBots => &message.key,
            },
            // A copy that was edited was edited by us; one that a moderator deleted stays where it was written.
            EventKind::Edited(message) => &message.key,
            EventKind::Deleted(key) => key,
            _ => return Ok(false),
        };
        Ok(self.engine.origin_of(&event.room, key).await?.is_some())
    }

    /// What is around the batch's room. Read once for messages that come together: a Tube that is removed stops at the
    /// next look. What this batch itself changes there is looked at anew.
    async fn around(&mut self, room: &RoomRef) -> Result<Arc<Around>, Unavailable> {
        let now = self.engine.inner.clock.now();
        if let Some(known) = &self.around
            && now.duration_since(known.read) < LOOK
        {
            return Ok(known.clone());
        }
        let view = self.engine.view(room).await?;
        let reached = if view.tubes.is_empty() { Vec::new() } else { self.engine.reach(room, &view).await? };
        Ok(self.around.insert(Arc::new(Around { read: now, view, reached })).clone())
    }

    /// Does what is asked in a command, and answers in its room. Should it be cut short, all of it is done again: every
    /// command made twice has one effect.
    async fn obey(&mut self, job: &Leased, event: &Event, asked: &Asked) -> Result<(), Unavailable> {
        self.flush().await?;
        let engine = self.engine;
        self.around = None;
        let reply = engine.obey(event, asked).await?;
        loop {
            let tally = vec![(Tally::Filtered, 1)];
            let mut commit = Commit { done: vec![job.receipt], tally, ..Commit::default() };
            engine.reply(event, &reply, &mut commit).await?;
            match engine.inner.store.commit(commit).await {
                Ok(_) => {
                    self.records.settled.insert(job.receipt);
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Puts an event that can't be relayed among the letters, whole: it can be replayed.
    async fn give_up(&mut self, group: &str, receipt: Receipt, body: &[u8], why: &str) -> Result<(), Unavailable> {
        tracing::error!(why, "an event was given up; it is kept, and can be replayed");
        let engine = self.engine;
        let commit = Commit {
            done: vec![receipt],
            writes: vec![engine.job_letter(QueueName::Events, group, body, why).await?],
            tally: vec![(Tally::Filtered, 1)],
            ..Commit::default()
        };
        engine.commit_always(commit).await?;
        self.records.settled.insert(receipt);
        Ok(())
    }

    fn looped(&self, event: &Event) -> bool {
        let EventKind::Posted(message) = &event.kind else { return false };
        let now = self.engine.inner.clock.now();
        self.engine.inner.breaker.suspects(&event.room, event.author.as_ref(), &message.body.words(), now)
    }

    async fn direct(&mut self, job: &Leased, mut delivery: Delivery) -> Result<(), Unavailable> {
        self.records.keep_up().await?;
        let engine = self.engine;
        let first = engine.is_first(job, delivery.origin.at);
        match self.records.beside(engine.begin(&mut delivery, job.maybe, first)).await? {
            Begun::Held(told) => {
                self.held.push_back(Held { receipt: job.receipt, accepted: job.accepted, delivery, told });
                Ok(())
            }
            Begun::Over(verdict) => self.settle(job.receipt, job.accepted, delivery, verdict).await,
        }
    }

    async fn settle(
        &mut self,
        receipt: Receipt,
        accepted: Timestamp,
        delivery: Delivery,
        verdict: Verdict,
    ) -> Result<(), Unavailable> {
        let engine = self.engine;
        engine.crossed(&delivery, accepted, &verdict).await;
        let mut commit =
            Commit { done: vec![receipt], tally: vec![(Tally::Relayed, 1), (Tally::Owed, 1)], ..Commit::default() };
        match verdict {
            Verdict::Done(copy) => {
                engine.accepted(&delivery, &copy).await?;
                commit.writes = engine.note_copy(&delivery, &copy);
                commit.tally.push((Tally::Delivered, 1));
            }
            Verdict::Already | Verdict::Nothing => commit.tally.push((Tally::LeftOut, 1)),
            Verdict::Failed(Outcome::Refused { why }) => {
                commit.tally.push((Tally::Dead, 1));
                commit.writes.push(engine.failure(&delivery, &why).await?);
            }
            Verdict::Parked(why) => {
                return self.postpone(receipt, commit, accepted, delivery, Outcome::retry(why)).await;
            }
            Verdict::Failed(outcome) => return self.postpone(receipt, commit, accepted, delivery, outcome).await,
        }
        self.records.add(receipt, commit)
    }

    /// A direct attempt failed for now: the delivery goes to its lane's outbox, and later ones follow it there.
    async fn postpone(
        &mut self,
        receipt: Receipt,
        commit: Commit,
        accepted: Timestamp,
        delivery: Delivery,
        outcome: Outcome,
    ) -> Result<(), Unavailable> {
        let engine = self.engine;
        self.records.written().await?;
        self.around = None;
        let Some(Postponed { delivery, job, parked }) = engine.postponed(accepted, delivery, outcome).await? else {
            return Ok(());
        };
        loop {
            let mut commit = commit.clone();
            let hold = |row: &mut LaneRow| {
                if parked.is_some() {
                    row.parked.clone_from(&parked);
                }
            };
            engine.put(&delivery.lane, job.clone(), &mut commit, hold).await?;
            match engine.inner.store.commit(commit).await {
                Ok(_) => {
                    self.records.settled.insert(receipt);
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Puts deliveries into their lanes' outboxes.
    async fn append(&mut self, job: &Leased, owed: Vec<Delivery>, looped: bool) -> Result<(), Unavailable> {
        let engine = self.engine;
        self.around = None;
        loop {
            let mut commit = Commit {
                done: vec![job.receipt],
                tally: vec![(Tally::Relayed, 1), (Tally::Owed, owed.len() as i64)],
                ..Commit::default()
            };
            for delivery in &owed {
                let hold = |row: &mut LaneRow| {
                    if looped {
                        row.parked = Some(LOOP.to_owned());
                        row.held = true;
                    }
                };
                engine.put(&delivery.lane, engine.outbox(delivery).await?, &mut commit, hold).await?;
            }
            match engine.inner.store.commit(commit).await {
                Ok(_) => {
                    self.records.settled.insert(job.receipt);
                    return Ok(());
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    fn filter(&mut self, job: &Leased) -> Result<(), Unavailable> {
        let tally = vec![(Tally::Filtered, 1)];
        self.records.add(job.receipt, Commit { done: vec![job.receipt], tally, ..Commit::default() })
    }

    /// Waits until everything that is under way is over and recorded.
    async fn flush(&mut self) -> Result<(), Unavailable> {
        while let Some(Held { receipt, accepted, delivery, told }) = self.held.pop_front() {
            let verdict = self.engine.held(told).await;
            self.settle(receipt, accepted, delivery, verdict).await?;
        }
        self.records.written().await
    }
}

impl Engine {
    /// The deliveries that an event makes. Where one of them may be quoted later, its first words are remembered.
    async fn owed(&self, event: &Event, around: &Around, from: Option<&Open>) -> Result<Vec<Delivery>, Unavailable> {
        let view = &around.view;
        if view.tubes.is_empty() {
            return Ok(Vec::new());
        }
        let origin = view.room.as_ref().map(|kept| &kept.value);
        let mut owed = Vec::new();
        // Those who answer a copy elsewhere answer it here, too.
        let here = origin.map(|room| room.options).unwrap_or_default();
        let mut quoted = from.is_some_and(|open| plan::quotes(&open.platform.about().capabilities, here));
        for (to, options) in around.reached.iter().cloned() {
            let Some(open) = self.open(&to.account).await? else { continue };
            let capabilities = &open.platform.about().capabilities;
            let Some(action) = plan::action(event, origin, capabilities, options) else { continue };
            quoted |= plan::quotes(capabilities, options);
            let lane = Lane { from: event.room.clone(), to };
            let author = match action {
                Action::Notice { .. } => None,
                _ => event.author.clone(),
            };
            owed.push(Delivery {
                id: match &event.kind {
                    EventKind::Posted(message) => keys::post_id(&lane, &message.key),
                    _ => keys::delivery_id(&lane, &event.id),
                },
                lane,
                origin: Origin { event: event.id.clone(), key: message_key(event), at: event.at },
                shown: author.as_ref().map(|author| show::author(author, options, origin)).unwrap_or_default(),
                author,
                action,
                copies: Vec::new(),
            });
        }
        if quoted {
            self.remember(event, origin);
        }
        Ok(owed)
    }

    /// Whether a job can't have been worked on before: it is leased for the first time, and it is so young that the queue
    /// would have collapsed it with an earlier one of its event.
    fn is_first(&self, job: &Leased, at: Timestamp) -> bool {
        let window = self.inner.store.dedup_window();
        // The platform's clock may be ahead of ours, or go slower.
        let age = SignedDuration::try_from(window * 9 / 10)
            .is_ok_and(|most| (-CLOCKS_APART..most).contains(&job.accepted.duration_since(at)));
        job.attempt == 1 && !job.maybe && age
    }

    /// How long ago something was accepted.
    pub(crate) fn age(&self, accepted: Timestamp) -> Duration {
        self.inner.clock.now().duration_since(accepted).try_into().unwrap_or_default()
    }

    fn remember(&self, event: &Event, origin: Option<&Room>) {
        if let (EventKind::Posted(message) | EventKind::Edited(message), Some(author)) = (&event.kind, &event.author) {
            let seen = Seen {
                author: show::author(author, origin.map(|room| room.options).unwrap_or_default(), None),
                excerpt: excerpt(&message.body, EXCERPT_MAX),
            };
            self.inner.recent.put(MessageRef { room: event.room.clone(), key: message.key.clone() }, seen);
        }
    }
}

fn decode(job: &Leased) -> Option<Event> {
    serde_json::from_slice::<Job>(&job.body).ok().filter(|job| job.v == Job::VERSION)?.event
}

fn message_key(event: &Event) -> Option<sameroom_model::MessageKey> {
    match &event.kind {
        EventKind::Posted(message) | EventKind::Edited(message) => Some(message.key.clone()),
        EventKind::Deleted(key) | EventKind::Reacted { key, .. } => Some(key.clone()),
        EventKind::Renamed(_) | EventKind::Membership(_) | EventKind::Availability(_) => None,
    }
}

/// A delivery that says something of our own.
pub(crate) fn own_words(lane: Lane, event: EventId, body: Text, at: Timestamp) -> Delivery {
    Delivery {
        id: keys::delivery_id(&lane, &event),
        origin: Origin { event, key: None, at },
        author: None,
        shown: String::new(),
        action: Action::Notice { body },
        copies: Vec::new(),
        lane,
    }
}
