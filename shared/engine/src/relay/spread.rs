//! A message for several rooms, where putting it into an outbox costs more than posting it: lanes that are idle are posted
//! to at once, side by side, and only what can't be posted now goes by its lane's outbox. A target that was slow lately
//! goes by its outbox too, so that it delays itself alone.

use std::collections::HashMap;
use std::sync::Mutex;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use sameroom_model::{Delivery, Outcome, RoomRef, Sent, SignedDuration, Timestamp};

use super::{Around, Run};
use crate::attempt::{Begun, Verdict};
use crate::closed::Fault;
use crate::lane::LaneRow;
use crate::ports::{Commit, CommitError, Leased, NewJob, Tally, Unavailable};
use crate::{Engine, retry};

/// How many rooms are posted to at once.
const AT_ONCE: usize = 16;
/// A post that takes as long is slow, where others wait for it.
const SLOW: SignedDuration = SignedDuration::from_millis(200);
/// How long a target is taken for slow after it was.
const SLOW_FOR: SignedDuration = SignedDuration::from_secs(30);
/// How many slow targets are remembered.
const SLOW_MAX: usize = 4096;

/// The targets that were slow lately, and until when they are taken for it.
#[derive(Default)]
pub(crate) struct Slow(Mutex<HashMap<RoomRef, Timestamp>>);

impl Slow {
    fn is(&self, room: &RoomRef, now: Timestamp) -> bool {
        self.0.lock().is_ok_and(|slow| slow.get(room).is_some_and(|until| *until > now))
    }

    fn was(&self, room: &RoomRef, now: Timestamp) {
        let Ok(mut slow) = self.0.lock() else { return };
        if slow.len() >= SLOW_MAX {
            slow.clear();
        }
        slow.insert(room.clone(), now.checked_add(SLOW_FOR).unwrap_or(now));
    }
}

/// A delivery on its way to its outbox.
pub(super) struct Postponed {
    pub(super) delivery: Delivery,
    pub(super) job: NewJob,
    /// Why nothing leaves its lane, when nothing does.
    pub(super) parked: Option<String>,
}

impl Run<'_> {
    /// Posts to all rooms that can be posted to now, and puts the rest into outboxes. Cut short, it is done again, and
    /// finds what was posted by the copies that were noted.
    pub(super) async fn spread(
        &mut self,
        job: &Leased,
        around: &Around,
        owed: Vec<Delivery>,
    ) -> Result<(), Unavailable> {
        let engine = self.engine;
        let count = owed.len() as i64;
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for delivery in owed {
            let slow = engine.inner.slow.is(&delivery.lane.to, engine.inner.clock.now());
            if slow || around.view.lane(&delivery.lane).is_some() || engine.goes_by_connection(&delivery.lane).await? {
                let job = engine.outbox(&delivery).await?;
                later.push(Postponed { delivery, job, parked: None });
            } else {
                now.push(delivery);
            }
        }
        let posts = stream::iter(now.into_iter().map(|delivery| engine.post_now(job, delivery)));
        let posted = posts.buffered(AT_ONCE).try_collect::<Vec<(Delivery, Verdict)>>();
        let posted = self.records.beside(posted).await?;
        let mut commit = Commit {
            done: vec![job.receipt],
            tally: vec![(Tally::Relayed, 1), (Tally::Owed, count)],
            ..Commit::default()
        };
        for (delivery, verdict) in posted {
            match verdict {
                Verdict::Done(_) => {}
                Verdict::Already | Verdict::Nothing => commit.tally.push((Tally::LeftOut, 1)),
                Verdict::Failed(Outcome::Refused { why }) => {
                    commit.tally.push((Tally::Dead, 1));
                    commit.writes.push(engine.failure(&delivery, &why).await?);
                }
                Verdict::Failed(outcome) => later.extend(engine.postponed(job.accepted, delivery, outcome).await?),
                Verdict::Parked(why) => {
                    later.extend(engine.postponed(job.accepted, delivery, Outcome::retry(why)).await?);
                }
            }
        }
        if later.is_empty() {
            return self.records.add(job.receipt, commit);
        }
        self.around = None;
        loop {
            let mut commit = commit.clone();
            for Postponed { delivery, job, parked } in &later {
                let hold = |row: &mut LaneRow| {
                    if parked.is_some() {
                        row.parked.clone_from(parked);
                    }
                };
                engine.put(&delivery.lane, job.clone(), &mut commit, hold).await?;
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
}

impl Engine {
    /// One post of several. Its copy is noted at once.
    async fn post_now(&self, job: &Leased, mut delivery: Delivery) -> Result<(Delivery, Verdict), Unavailable> {
        let first = self.is_first(job, delivery.origin.at);
        let began = self.inner.clock.now();
        let verdict = match self.begin(&mut delivery, job.maybe, first).await? {
            Begun::Over(verdict) => verdict,
            Begun::Held(told) => self.held(told).await,
        };
        let ended = self.inner.clock.now();
        if ended.duration_since(began) >= SLOW {
            self.inner.slow.was(&delivery.lane.to, ended);
        }
        self.crossed(&delivery, job.accepted, &verdict).await;
        if let Verdict::Done(copy) = &verdict {
            self.accepted(&delivery, copy).await?;
            let (writes, tally) = (self.note_copy(&delivery, copy), vec![(Tally::Delivered, 1)]);
            self.commit_always(Commit { writes, tally, loose: true, ..Commit::default() }).await?;
        }
        Ok((delivery, verdict))
    }

    /// What becomes of a delivery that failed for now: the job that makes it again. `None`: it was over.
    pub(super) async fn postponed(
        &self,
        accepted: Timestamp,
        delivery: Delivery,
        outcome: Outcome,
    ) -> Result<Option<Postponed>, Unavailable> {
        let (after, why, sent, fault) = match outcome {
            Outcome::Retry { after, why, sent } => (after, why, sent, None),
            Outcome::RoomClosed { why } => (None, why, Sent::No, Some(Fault::Room)),
            Outcome::Disconnected { why } => (None, why, Sent::No, Some(Fault::Account)),
            Outcome::Done { .. } | Outcome::Refused { .. } => return Ok(None),
        };
        tracing::info!(delivery = %delivery.id, %why, "a delivery is postponed");
        if let Some(fault) = fault {
            self.parked(&delivery.lane, fault, &why).await?;
        }
        let age = self.age(accepted);
        let delay = retry::wait(&self.inner.config, delivery.id.as_str(), 1, age, after, sent).unwrap_or_default();
        let mut job = self.outbox(&delivery).await?;
        (job.attempts, job.maybe, job.delay) = (1, sent == Sent::Maybe, delay);
        Ok(Some(Postponed { delivery, job, parked: fault.map(|_| why) }))
    }
}
