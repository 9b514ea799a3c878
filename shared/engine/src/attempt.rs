//! One attempt at one delivery: find what it refers to, hand it to its carrier, tell what became of it. Who made the
//! attempt (the relay itself or a lane's outbox) settles it.

use std::sync::Arc;

use sameroom_model::{Action, Delivery, MessageRef, Opened, Outcome, Quote, Sent};
use sameroom_platforms::{Carrier, Once, Platform, TURNS_MAX, Turn};
use tokio::sync::oneshot;

use crate::Engine;
use crate::accounts::Open;
use crate::copies::Copy;
use crate::failpoint::failpoint;
use crate::ports::{Commit, NoAnswer, Tally, Unavailable};

/// An attempt that was begun.
pub(crate) enum Begun {
    /// It is over.
    Over(Verdict),
    /// It is with a held connection, which will tell.
    Held(oneshot::Receiver<Outcome>),
}

/// What became of an attempt.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The target took it; this is the whole copy.
    Done(Copy),
    /// An earlier attempt had taken effect.
    Already,
    /// There is nothing to do there: the copy that it would change is not known.
    Nothing,
    /// Not tried: our own rules hold it back for now; a sentence says why.
    Parked(String),
    /// Not done.
    Failed(Outcome),
}

impl Engine {
    /// Begins an attempt. For a carrier that holds connections this returns at once, so that several can be under way
    /// in order; for the others the attempt is over when this returns.
    /// `first`: no earlier attempt can have been made, so there is no copy to look for.
    pub(crate) async fn begin(&self, delivery: &mut Delivery, maybe: bool, first: bool) -> Result<Begun, Unavailable> {
        let Some(open) = self.open(&delivery.lane.to.account).await? else {
            let why = format!("the account {} is gone; add it again", delivery.lane.to.account);
            return Ok(Begun::Over(Verdict::Failed(Outcome::refused(why))));
        };
        let capabilities = &open.platform.about().capabilities;
        let mut copy = Copy::default();
        if !first
            && matches!(delivery.action, Action::Post { .. })
            && let Some(found) = self.copy(delivery).await?
        {
            if found.whole {
                return Ok(Begun::Over(Verdict::Already));
            }
            copy = found;
        }
        if !self.resolve(delivery).await? {
            return Ok(Begun::Over(Verdict::Nothing));
        }
        if maybe && capabilities.once == Once::AtLeast {
            tracing::warn!(delivery = %delivery.id, "a second attempt after one that may have had its effect");
            let tally = vec![(Tally::Ambiguous, 1)];
            self.commit_always(Commit { tally, ..Commit::default() }).await?;
        }
        failpoint("pre_post");
        let ready = self.ready(&open, delivery).await?;
        match capabilities.carrier {
            Carrier::Http => self.post(open.clone(), &ready.delivery, copy).await.map(Begun::Over),
            Carrier::Session => {
                Ok(Begun::Held(self.inner.wire.session(&open.opened.account, ready.delivery.into_owned())))
            }
            Carrier::Hosted => Ok(Begun::Over(verdict(self.host(&ready.delivery).await?))),
        }
    }

    /// Waits for what a held connection tells.
    pub(crate) async fn held(&self, told: oneshot::Receiver<Outcome>) -> Verdict {
        verdict(told.await.unwrap_or_else(|_| Outcome::Retry {
            after: None,
            why: "the connection's holder ended".to_owned(),
            sent: Sent::Maybe,
        }))
    }

    async fn post(&self, open: Arc<Open>, delivery: &Delivery, mut copy: Copy) -> Result<Verdict, Unavailable> {
        let mut open = self.fresh(&open).await?;
        let mut renewed = false;
        'made: loop {
            let Open { platform, opened } = &*open;
            let requests = match platform.render(opened, delivery, self.inner.clock.now()) {
                Ok(requests) => requests,
                Err(outcome) => return Ok(verdict(outcome)),
            };
            let total = requests.len();
            for (i, request) in requests.into_iter().enumerate().skip(copy.parts) {
                match self.exchange(*platform, opened, delivery, i, request).await {
                    Ok(Outcome::Done { keys }) => {
                        copy.keys.extend(keys);
                        copy.parts += 1;
                        failpoint("post_post");
                        if i + 1 < total {
                            // So that a crash between two parts resumes at the next one (fault F5).
                            let writes = self.note_copy(delivery, &copy);
                            self.commit_always(Commit { writes, ..Commit::default() }).await?;
                        }
                    }
                    Err(ended) if !renewed => match self.renew(&open, ended).await? {
                        // What is left is made again from its start, with the new secrets.
                        Ok(again) => {
                            (open, renewed) = (again, true);
                            continue 'made;
                        }
                        Err(outcome) => return Ok(Verdict::Failed(outcome)),
                    },
                    Ok(outcome) | Err(outcome) => return Ok(Verdict::Failed(outcome)),
                }
            }
            copy.whole = true;
            return Ok(Verdict::Done(copy));
        }
    }

    /// Makes one part. `Err`: the account's secrets have ended; what that means where they can't be renewed.
    async fn exchange(
        &self,
        platform: &dyn Platform,
        opened: &Opened,
        delivery: &Delivery,
        part: usize,
        request: http::Request<bytes::Bytes>,
    ) -> Result<Outcome, Outcome> {
        let (mut request, mut memo) = (request, String::new());
        for _ in 0..TURNS_MAX {
            let response = match self.inner.wire.http(&opened.account, request).await {
                Ok(response) => response,
                Err(e) => return Ok(no_answer(e)),
            };
            match platform.settle(opened, delivery, part, &memo, &response, self.inner.clock.now()) {
                Turn::Over(outcome) => return Ok(outcome),
                Turn::Renew(outcome) => return Err(outcome),
                Turn::Then { request: next, memo: noted } => (request, memo) = (*next, noted),
            }
        }
        Ok(Outcome::refused("one message took too many requests"))
    }

    /// Fills in what the delivery refers to in the target room. `false`: it changes a copy that is not there.
    async fn resolve(&self, delivery: &mut Delivery) -> Result<bool, Unavailable> {
        let lane = &delivery.lane;
        match &mut delivery.action {
            Action::Edit { .. } | Action::Delete | Action::React { .. } => {
                let Some(message) = &delivery.origin.key else { return Ok(false) };
                let Some(copies) = self.counterpart(&lane.from, message, &lane.to).await? else { return Ok(false) };
                delivery.copies = copies;
            }
            Action::Post { reply: Some(quote), .. } => {
                let mut filled = Quote { key: None, thread: None, ..quote.clone() };
                if let Some(answered) = &quote.origin {
                    let found = self.counterpart(&lane.from, answered, &lane.to).await?;
                    filled.key = found.and_then(|keys| keys.first().cloned());
                    if filled.author.is_none() {
                        // What was answered may be a copy itself: it is remembered by the room it was written in.
                        let seen = match self.origin_of(&lane.from, answered).await? {
                            Some(origin) => self.inner.recent.get(&origin),
                            None => {
                                self.inner.recent.get(&MessageRef { room: lane.from.clone(), key: answered.clone() })
                            }
                        };
                        filled.author = seen.as_ref().map(|seen| seen.author.clone());
                        filled.excerpt = seen.map(|seen| seen.excerpt);
                    }
                }
                if let Some(root) = &quote.root {
                    let found = self.counterpart(&lane.from, root, &lane.to).await?;
                    filled.thread = found.and_then(|keys| keys.first().cloned());
                }
                *quote = filled;
            }
            Action::Post { .. } | Action::Notice { .. } => {}
        }
        Ok(true)
    }
}

/// Whether an action refers to an earlier message, whose copy must be known by the time the action is begun.
pub(crate) fn looks_back(action: &Action) -> bool {
    match action {
        Action::Edit { .. } | Action::Delete | Action::React { .. } | Action::Post { reply: Some(_), .. } => true,
        Action::Post { reply: None, .. } | Action::Notice { .. } => false,
    }
}

/// What becomes of a delivery whose request got no answer.
pub(crate) fn no_answer(e: NoAnswer) -> Outcome {
    match e {
        NoAnswer::Unreachable(why) => Outcome::Retry { after: None, why, sent: Sent::Unreachable },
        NoAnswer::Broken(why) => Outcome::Retry { after: None, why, sent: Sent::Maybe },
        NoAnswer::Forbidden(why) => Outcome::Disconnected { why },
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Done { keys } => Verdict::Done(Copy { parts: keys.len().max(1), keys, whole: true }),
        outcome => Verdict::Failed(outcome),
    }
}
