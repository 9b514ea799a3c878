//! A lane's outbox: deliveries that could not be made at once, in order, until each is delivered, refused, or too old.
//! While the head of a lane waits the whole lane waits; other lanes don't notice.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use sameroom_model::{AccountId, AccountState, Delivery, Job, Lane, Outcome, RoomRef, Sent};
use sameroom_platforms::Carrier;

use crate::attempt::{Begun, Verdict, looks_back};
use crate::closed::Fault;
use crate::commands::pong;
use crate::lane::{LaneRow, mark, unread};
use crate::ports::{Again, Batch, Commit, CommitError, Leased, QueueName, Tally, Unavailable, When};
use crate::relay::UNREADABLE;
use crate::walk::Way;
use crate::{Engine, keys, retry, rows};

/// How long a batch waits when our own infrastructure failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a parked lane is looked at again.
const PARKED: Duration = Duration::from_mins(1);
/// Likewise where each look counts: a queue on AWS takes a job for poison that came a thousand times, and it is kept for a
/// day.
const PARKED_DEAR: Duration = Duration::from_mins(5);
/// After so many attempts that ended in a panic a delivery is refused (fault F24).
const PANICS_MAX: u32 = 3;
/// Why a lane waits that a paused Tube is part of.
const PAUSED: &str = "a Tube on the way is paused or broken";

/// What the head of a lane said, when it was not that the delivery is over.
struct Wait {
    after: Duration,
    maybe: bool,
    counts: bool,
}

impl Engine {
    /// Makes a batch of deliveries of one lane, in order, and settles its leases whatever happens.
    pub async fn deliver(&self, batch: Batch) {
        if keys::is_ping_group(&batch.group) {
            return self.report_pings(batch).await;
        }
        let group = batch.group;
        let mut jobs = batch.jobs.into_iter().peekable();
        // Looked up once a batch: a Tube that is removed meanwhile stops at the next.
        let mut way: Option<Way> = None;
        // Attempts that are under way with a held connection, in order.
        let mut begun: Vec<(Leased, Delivery, Begun)> = Vec::new();
        let mut wait: Option<Wait> = None;
        while let Some(job) = jobs.next() {
            let delivery = decode(&job);
            // What it refers to may be among those that are under way.
            if !begun.is_empty() && delivery.as_ref().is_none_or(|delivery| looks_back(&delivery.action)) {
                wait = self.settle_all(&mut begun).await;
                if wait.is_some() {
                    self.hand_back(job, jobs, wait.as_ref()).await;
                    return;
                }
            }
            let step = AssertUnwindSafe(self.begin_job(&job, delivery, &mut way)).catch_unwind().await;
            let (delivery, attempt) = match step {
                Ok(Ok(Some(begun))) => begun,
                // Those before it are settled.
                Ok(Ok(None)) => {
                    if self.bury(&group, &job).await.is_ok() {
                        continue;
                    }
                    self.hand_back(job, jobs, wait.as_ref()).await;
                    return;
                }
                Ok(Err(e)) => {
                    tracing::error!(error = %e, "deliveries wait: our own store or vault failed");
                    wait = Some(self.settle_all(&mut begun).await.unwrap_or(Wait {
                        after: PAUSE,
                        maybe: job.maybe,
                        counts: false,
                    }));
                    self.hand_back(job, jobs, wait.as_ref()).await;
                    return;
                }
                Err(_) => {
                    tracing::error!(attempt = job.attempt, "making a delivery panicked");
                    let earlier = self.settle_all(&mut begun).await;
                    if earlier.is_none() && job.attempt >= PANICS_MAX && self.drop_job(&job).await.is_ok() {
                        continue;
                    }
                    wait = Some(earlier.unwrap_or(Wait { after: PAUSE, maybe: true, counts: true }));
                    self.hand_back(job, jobs, wait.as_ref()).await;
                    return;
                }
            };
            let held = matches!(attempt, Begun::Held(_));
            begun.push((job, delivery, attempt));
            if !held || jobs.peek().is_none() {
                wait = self.settle_all(&mut begun).await;
                if wait.is_some() {
                    break;
                }
            }
        }
        if let Some(job) = jobs.next() {
            self.hand_back(job, jobs, wait.as_ref()).await;
        }
    }

    /// Lets a lane that is held go on.
    pub async fn resume_lane(&self, lane: &Lane) -> Result<bool, Unavailable> {
        loop {
            let key = keys::lane(lane);
            let Some(mut kept) = rows::load::<LaneRow>(&*self.inner.store, &key).await? else { return Ok(false) };
            (kept.value.parked, kept.value.held) = (None, false);
            let writes = vec![rows::put(key, &kept.value, None, When::Version(kept.version))];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => {
                    self.lane_is_mended(lane);
                    return Ok(true);
                }
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// The lanes of a room that are not idle: target, how many deliveries wait, and why nothing leaves, if so.
    pub async fn lanes(&self, from: &RoomRef) -> Result<Vec<(RoomRef, u64, Option<String>)>, Unavailable> {
        let view = self.view(from).await?;
        let mut targets = vec![from.clone()];
        targets.extend(self.reach(from, &view).await?.into_iter().map(|(to, _)| to));
        Ok(targets
            .into_iter()
            .filter_map(|to| {
                let lane = Lane { from: from.clone(), to };
                let row = view.lane(&lane)?.value.clone();
                Some((lane.to, row.pending, row.parked))
            })
            .collect())
    }

    /// A delivery was taken: an account that was thought to be in trouble, or to need its owner, is well. What failed may
    /// have been on its way when the owner signed in anew.
    pub(crate) async fn well(&self, account: &AccountId) {
        // What was taken is taken, whatever becomes of this.
        let Ok(Some(open)) = self.open(account).await else { return };
        if open.opened.account.state != AccountState::Ok
            && open.platform.about().capabilities.carrier == Carrier::Http
            // A held connection tells of its account by itself.
            && open.platform.session(&open.opened, 0).is_none()
        {
            let _ = self.set_state(account, AccountState::Ok).await;
        }
    }

    /// `None`: the job can't be read.
    async fn begin_job(
        &self,
        job: &Leased,
        delivery: Option<Delivery>,
        way: &mut Option<Way>,
    ) -> Result<Option<(Delivery, Begun)>, Unavailable> {
        let Some(mut delivery) = delivery else { return Ok(None) };
        let row = self.lane_row(&delivery.lane).await?;
        if let Some(kept) = row
            && kept.value.held
        {
            let why = kept.value.parked.unwrap_or_default();
            return Ok(Some((delivery, Begun::Over(Verdict::Parked(why)))));
        }
        let looked = match *way {
            Some(way) => way,
            None => *way.insert(self.way(&delivery.lane).await?),
        };
        let begun = match looked {
            Way::Open => self.begin(&mut delivery, job.maybe, false).await?,
            Way::Paused => Begun::Over(Verdict::Parked(PAUSED.to_owned())),
            Way::Gone => Begun::Over(Verdict::Nothing),
        };
        Ok(Some((delivery, begun)))
    }

    /// Settles attempts in order. Once one of them has to wait, so do those after it that were not made.
    async fn settle_all(&self, begun: &mut Vec<(Leased, Delivery, Begun)>) -> Option<Wait> {
        let mut wait: Option<Wait> = None;
        let mut again = Vec::new();
        for (job, delivery, attempt) in begun.drain(..) {
            let verdict = match attempt {
                Begun::Over(verdict) => verdict,
                Begun::Held(told) => self.held(told).await,
            };
            let ahead = wait.is_some();
            let receipt = job.receipt;
            match self.settle_one(job, delivery, verdict).await {
                Ok(None) => {}
                Ok(Some(mine)) => {
                    again.push(Again { receipt, after: mine.after, counts: mine.counts && !ahead, maybe: mine.maybe });
                    wait.get_or_insert(mine);
                }
                Err(e) => {
                    tracing::error!(error = %e, "what was delivered could not be recorded");
                    again.push(Again { receipt, after: PAUSE, counts: false, maybe: true });
                    wait.get_or_insert(Wait { after: PAUSE, maybe: true, counts: false });
                }
            }
        }
        self.give_back(again).await;
        wait
    }

    async fn settle_one(&self, job: Leased, delivery: Delivery, verdict: Verdict) -> Result<Option<Wait>, Unavailable> {
        let mut commit = Commit { done: vec![job.receipt], ..Commit::default() };
        let pong = pong(&delivery, &verdict);
        self.crossed(&delivery, job.accepted, &verdict).await;
        let mut expired = false;
        match verdict {
            Verdict::Done(copy) => {
                self.accepted(&delivery, &copy).await?;
                commit.writes = self.note_copy(&delivery, &copy);
                commit.tally.push((Tally::Delivered, 1));
            }
            Verdict::Already | Verdict::Nothing => commit.tally.push((Tally::LeftOut, 1)),
            Verdict::Failed(Outcome::Refused { why }) => {
                commit.writes.push(self.failure(&delivery, &why).await?);
                commit.tally.push((Tally::Dead, 1));
            }
            Verdict::Parked(_) | Verdict::Failed(_) => match self.wait_for(&job, &delivery, verdict).await? {
                Ok(wait) => return Ok(Some(wait)),
                Err(why) => {
                    self.gave_up(&delivery, job.accepted, &why).await;
                    commit.writes.push(self.failure(&delivery, &why).await?);
                    commit.tally.push((Tally::Expired, 1));
                    expired = true;
                }
            },
        }
        self.finish(&delivery.lane, &mark(delivery.id.as_str(), job.accepted), commit, expired).await?;
        if let Some(told) = pong {
            self.pong(&delivery, &told).await;
        }
        Ok(None)
    }

    /// How long a delivery that failed for now waits; or why it is given up.
    async fn wait_for(
        &self,
        job: &Leased,
        delivery: &Delivery,
        verdict: Verdict,
    ) -> Result<Result<Wait, String>, Unavailable> {
        let age = self.age(job.accepted);
        let (after, why, sent, parked) = match verdict {
            Verdict::Failed(Outcome::Retry { after, why, sent }) => (after, why, sent, None),
            Verdict::Failed(Outcome::RoomClosed { why }) => (None, why, Sent::No, Some(Fault::Room)),
            Verdict::Failed(Outcome::Disconnected { why }) => (None, why, Sent::No, Some(Fault::Account)),
            Verdict::Parked(why) => (None, why, Sent::No, Some(Fault::Rules)),
            _ => return Ok(Err("it was over".to_owned())),
        };
        let config = &self.inner.config;
        let Some(planned) = retry::wait(config, delivery.id.as_str(), job.attempt, age, after, sent) else {
            return Ok(Err(format!("given up after {} hours: {why}", config.keep.as_secs() / 3600)));
        };
        if let Some(fault) = parked {
            self.parked(&delivery.lane, fault, &why).await?;
            self.park(&delivery.lane, &why).await?;
            return Ok(Ok(Wait {
                after: if self.inner.store.whole() { PARKED } else { PARKED_DEAR },
                maybe: job.maybe,
                counts: false,
            }));
        }
        tracing::info!(delivery = %delivery.id, attempt = job.attempt, %why, "a delivery is postponed");
        Ok(Ok(Wait { after: planned, maybe: job.maybe || sent == Sent::Maybe, counts: true }))
    }

    async fn park(&self, lane: &Lane, why: &str) -> Result<(), Unavailable> {
        loop {
            let Some(mut kept) = self.lane_row(lane).await? else { return Ok(()) };
            if kept.value.parked.as_deref() == Some(why) {
                return Ok(());
            }
            kept.value.parked = Some(why.to_owned());
            let writes = vec![rows::put(keys::lane(lane), &kept.value, None, When::Version(kept.version))];
            match self.inner.store.commit(Commit { writes, ..Commit::default() }).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Commits the end of a delivery, with one less waiting in its lane. `expired`: what holds the lane up still does.
    ///
    /// What became of it must be recorded: made again, one that was refused might be taken, behind later ones. So it
    /// keeps trying while the store is unavailable.
    async fn finish(&self, lane: &Lane, job: &str, commit: Commit, expired: bool) -> Result<(), Unavailable> {
        let mut pause = Duration::from_millis(100);
        loop {
            let mut commit = commit.clone();
            let mut idle = false;
            if let Some(kept) = self.lane_row(lane).await? {
                idle = kept.value.pending <= 1;
                commit.writes.extend(self.leave(lane, kept, job, expired));
            }
            match self.inner.store.commit(commit).await {
                // The last word is said in the room: it may be left now. See [`Engine::joined`].
                Ok(_) if idle && lane.from == lane.to => {
                    self.changed();
                    return Ok(());
                }
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) if pause > Duration::from_secs(10) => return Err(e),
                Err(CommitError::Unavailable(_)) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
    }

    /// Gives back a job and all after it: their lane's head waits.
    async fn hand_back(&self, first: Leased, rest: impl Iterator<Item = Leased>, wait: Option<&Wait>) {
        let after = wait.map_or(Duration::ZERO, |wait| wait.after);
        let mut again = vec![Again { receipt: first.receipt, after, counts: false, maybe: first.maybe }];
        again.extend(rest.map(|job| Again { receipt: job.receipt, after, counts: false, maybe: job.maybe }));
        self.give_back(again).await;
    }

    /// Puts a job that can't be read among the letters, whole, so that its lane goes on: it can be replayed.
    pub(crate) async fn bury(&self, group: &str, job: &Leased) -> Result<(), Unavailable> {
        tracing::error!(why = UNREADABLE, "a delivery was given up; it is kept, and can be replayed");
        let commit = Commit {
            done: vec![job.receipt],
            writes: vec![self.job_letter(QueueName::Outbox, group, &job.body, UNREADABLE).await?],
            tally: vec![(Tally::Dead, 1)],
            ..Commit::default()
        };
        match keys::lane_of(group) {
            Some(lane) => self.finish(&lane, &unread(&job.body, job.accepted), commit, false).await,
            None => self.commit_always(commit).await,
        }
    }

    async fn drop_job(&self, job: &Leased) -> Result<(), Unavailable> {
        let Some(delivery) = decode(job) else { return Ok(()) };
        let why = "making it panicked";
        let commit = Commit {
            done: vec![job.receipt],
            writes: vec![self.failure(&delivery, why).await?],
            tally: vec![(Tally::Dead, 1)],
            ..Commit::default()
        };
        self.finish(&delivery.lane, &mark(delivery.id.as_str(), job.accepted), commit, false).await
    }
}

pub(crate) fn decode(job: &Leased) -> Option<Delivery> {
    serde_json::from_slice::<Job>(&job.body).ok().filter(|job| job.v == Job::VERSION)?.delivery
}
