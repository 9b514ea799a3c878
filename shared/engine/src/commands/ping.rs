//! `ping`: a notice is sent along the lane to every room reached, and once a target has taken it that room's answer is
//! told where it was asked, with the time it took. What still waits is kept in a row for each room, for some minutes; a
//! job that comes after [`crate::Config::ping_wait`] tells which rooms have not answered, and why.

use std::time::Duration;

use sameroom_model::{AccountState, Action, Delivery, Event, EventId, Lane, Outcome, Room, RoomRef, Text, Timestamp};
use serde::{Deserialize, Serialize};

use super::limits::Limit;
use super::{Reply, answers};
use crate::attempt::Verdict;
use crate::ports::{Again, Batch, Commit, CommitError, Key, Leased, QueueName, Tally, Unavailable, When, Write};
use crate::relay::own_words;
use crate::{Engine, deliver, keys, rows};

/// How many pings a room may ask for in a minute.
const PINGS: u32 = 3;
/// How long answers are waited for after the report.
const LATE: Duration = Duration::from_mins(5);
/// How long the report waits when our own infrastructure failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Ids of pings begin so.
const PREFIX: &str = "ping-";

/// A ping on its way to a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Waiting {
    room: RoomRef,
    name: String,
    site: String,
    at: Timestamp,
}

/// A ping to all rooms reached.
pub(crate) struct Round {
    from: RoomRef,
    id: EventId,
    at: Timestamp,
    words: Text,
    rooms: Vec<Waiting>,
}

/// What became of a ping's delivery, if the delivery is one's and is over: taken, or refused with a reason.
pub(crate) fn pong(delivery: &Delivery, verdict: &Verdict) -> Option<Result<(), String>> {
    let ours = delivery.origin.event.as_str().starts_with(PREFIX)
        && delivery.lane.from != delivery.lane.to
        && matches!(delivery.action, Action::Notice { .. });
    match verdict {
        _ if !ours => None,
        Verdict::Done(_) | Verdict::Already => Some(Ok(())),
        Verdict::Failed(Outcome::Refused { why }) => Some(Err(why.clone())),
        Verdict::Nothing => Some(Err("the way there was closed meanwhile".to_owned())),
        Verdict::Failed(_) | Verdict::Parked(_) => None,
    }
}

impl Engine {
    pub(super) async fn ping(&self, event: &Event) -> Result<Reply, Unavailable> {
        let of = vec![event.room.account.as_str(), event.room.key.as_str()];
        if !self.within(&[Limit { what: "ping", of, max: PINGS }]).await? {
            return Ok(Reply::line(answers::TOO_MANY_PINGS));
        }
        let around = self.around(&event.room).await?;
        let silence = around.silence();
        if around.reached.is_empty() {
            let nobody = if silence.is_empty() { vec![answers::NOT_CONNECTED.to_owned()] } else { silence };
            return Ok(Reply::lines(nobody));
        }
        let at = self.inner.clock.now();
        let here =
            self.room(&event.room).await?.map_or_else(|| "a connected room".to_owned(), |at| answers::place_of(&at));
        let waiting = |room: Room| Waiting { room: room.at, name: room.name, site: room.site, at };
        let rooms: Vec<Waiting> = around.reached.into_iter().map(waiting).collect();
        let mut lines = vec![format!("Asking {}.", answers::count(rooms.len(), "room", "rooms"))];
        lines.extend(silence);
        let round = Round {
            from: event.room.clone(),
            id: format!("{PREFIX}{}", keys::digest(&[event.room.account.as_str(), event.id.as_str()])).into(),
            at,
            words: Text::plain(&format!("Ping from {here}.")),
            rooms,
        };
        Ok(Reply { lines, writes: Vec::new(), round: Some(round) })
    }

    /// Adds to a commit the notices of a ping, what waits for them, and the job that reports.
    pub(super) async fn send_round(&self, round: &Round, commit: &mut Commit) -> Result<(), Unavailable> {
        let wait = self.inner.config.ping_wait;
        let expires = round.at.checked_add(wait + LATE).ok();
        for waiting in &round.rooms {
            let lane = Lane { from: round.from.clone(), to: waiting.room.clone() };
            let key = keys::ping(&round.from, &round.id, &waiting.room);
            commit.writes.push(rows::put(key, waiting, expires, When::Always));
            let delivery = own_words(lane, round.id.clone(), round.words.clone(), round.at);
            self.enqueue(&delivery, commit).await?;
        }
        let here = Lane { from: round.from.clone(), to: round.from.clone() };
        let mut report = self.outbox(&own_words(here, round.id.clone(), Text::default(), round.at)).await?;
        // A held connection has no part in it.
        report.queue = QueueName::Outbox;
        (report.group, report.delay) = (keys::ping_group(&round.from, &round.id), wait);
        commit.sends.push(report);
        // The report owes one notice, too: it is left out where nothing is to be reported.
        commit.tally.push((Tally::Owed, 1));
        Ok(())
    }

    /// Tells where a ping was asked for what a room answered. The room's delivery is settled already: should this fail,
    /// the room is reported as one that has not answered.
    pub(crate) async fn pong(&self, delivery: &Delivery, told: &Result<(), String>) {
        if let Err(e) = self.tell_pong(delivery, told).await {
            tracing::warn!(error = %e, "the answer to a ping could not be told");
        }
    }

    async fn tell_pong(&self, delivery: &Delivery, told: &Result<(), String>) -> Result<(), Unavailable> {
        let (lane, ping) = (&delivery.lane, &delivery.origin.event);
        let key = keys::ping(&lane.from, ping, &lane.to);
        let took = self.age(delivery.origin.at);
        loop {
            let Some(kept) = rows::load::<Waiting>(&*self.inner.store, &key).await? else { return Ok(()) };
            let place = answers::place(&kept.value.name, &kept.value.site);
            let words = match told {
                Ok(()) => format!("{place} answered in {}.", answers::time(took)),
                Err(why) => format!("{place} did not take it: {why}."),
            };
            let writes = vec![Write::Delete { key: key.clone(), when: When::Version(kept.version) }];
            let mut commit = Commit { writes, ..Commit::default() };
            let event = format!("{ping}-{}", keys::digest(&[lane.to.account.as_str(), lane.to.key.as_str()]));
            let here = Lane { from: lane.from.clone(), to: lane.from.clone() };
            self.say(here, event.into(), &Text::plain(&words), &mut commit).await?;
            match self.inner.store.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    /// Reports which rooms have not answered a ping, and settles the leases whatever happens.
    pub(crate) async fn report_pings(&self, batch: Batch) {
        for job in batch.jobs {
            if let Err(e) = self.report_ping(&batch.group, &job).await {
                tracing::error!(error = %e, "the report of a ping waits: our own store failed");
                let again = Again { receipt: job.receipt, after: PAUSE, counts: false, maybe: job.maybe };
                self.give_back(vec![again]).await;
            }
        }
    }

    async fn report_ping(&self, group: &str, job: &Leased) -> Result<(), Unavailable> {
        let Some(delivery) = deliver::decode(job) else { return self.bury(group, job).await };
        let here = delivery.lane.to.clone();
        let lines = self.missing(&here, &delivery.origin.event).await?;
        loop {
            let mut commit = Commit { done: vec![job.receipt], tally: vec![(Tally::LeftOut, 1)], ..Commit::default() };
            if !lines.is_empty() {
                let lane = Lane { from: here.clone(), to: here.clone() };
                let event = format!("{}-report", delivery.origin.event);
                self.say(lane, event.into(), &Text::plain(&lines.join("\n")), &mut commit).await?;
            }
            match self.inner.store.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict) => {}
                Err(CommitError::Unavailable(e)) => return Err(e),
            }
        }
    }

    async fn missing(&self, here: &RoomRef, ping: &EventId) -> Result<Vec<String>, Unavailable> {
        let partition = keys::ping_partition(here, ping);
        let rows = self.inner.store.query(&partition, "", None, self.inner.config.rooms_max).await?;
        let mut lines = Vec::new();
        let more = rows.len().saturating_sub(answers::LISTED_MAX);
        for (sort, row) in rows.into_iter().take(answers::LISTED_MAX) {
            let key = Key { partition: partition.clone(), sort };
            let waiting: Waiting = rows::decode(&key, &row)?.value;
            let why = self.why_not(&Lane { from: here.clone(), to: waiting.room.clone() }).await?;
            let place = answers::place(&waiting.name, &waiting.site);
            lines.push(format!("{place} has not answered: {why}."));
        }
        if more > 0 {
            lines.push(format!("Nor have {}.", answers::count(more, "other room", "other rooms")));
        }
        Ok(lines)
    }

    /// Why nothing has come through a lane yet, as everyone in the room may know it.
    async fn why_not(&self, lane: &Lane) -> Result<String, Unavailable> {
        let parked = self.lane_row(lane).await?.and_then(|kept| kept.value.parked);
        if let Some(why) = parked {
            return Ok(format!("messages to it wait, because {}", short(&why)));
        }
        Ok(match self.account(&lane.to.account).await?.map(|account| account.state) {
            Some(AccountState::NeedsOwner(_)) => "its account needs its owner".to_owned(),
            Some(AccountState::Trouble(_)) => "its platform is in trouble, and is being retried".to_owned(),
            Some(AccountState::Ok) => "it is being retried".to_owned(),
            None => "its account is gone".to_owned(),
        })
    }
}

/// A reason short enough for a line.
fn short(why: &str) -> String {
    sameroom_text::names::clean(why, 150).trim_end_matches('.').to_owned()
}
