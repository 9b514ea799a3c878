//! How a test makes the world behave: moods of methods, the way of events, connections that end.

use std::time::Duration;

use super::Slack;
use super::model::State;
use super::moods::{Mood, Order, ordered};
use super::socket::{Disconnect, Out, farewell};

impl Slack {
    /// The app's connections of Socket Mode are told to end.
    pub fn disconnects(&self, why: Disconnect) {
        self.shared.with(|state| {
            for socket in state.pushes.sockets.iter_mut().filter(|socket| socket.app == self.app) {
                socket.leaving = why != Disconnect::Warning;
                let message = farewell(why);
                let _ = socket.out.send(if socket.leaving { Out::Ends(message) } else { Out::Says(message) });
            }
        });
    }

    /// The app's connections of Socket Mode vanish without a word.
    pub fn cuts_sockets(&self) {
        self.shared.with(|state| {
            for socket in state.pushes.sockets.iter_mut().filter(|socket| socket.app == self.app) {
                socket.leaving = true;
                let _ = socket.out.send(Out::Cut);
            }
        });
    }

    /// Waits until the app has so many connections of Socket Mode.
    pub async fn is_connected(&self, connections: usize) {
        let count = |state: &State| state.pushes.sockets.iter().filter(|socket| socket.app == self.app).count();
        let tell = |state: &State| format!("{connections} connections; there are {}", count(state));
        self.shared.until(|state| (count(state) == connections).then_some(()), tell).await;
    }

    /// Behaves so towards every call of a method from now on; `*` is every method, `upload` and `download` are files'.
    pub fn is(&self, method: &str, mood: Mood) {
        self.shared.with(|state| state.moods.standing.insert(method.to_owned(), mood));
    }

    /// Behaves so towards the next calls of a method, one after the other, before its mood counts again.
    pub fn script(&self, method: &str, moods: impl IntoIterator<Item = Mood>) {
        self.shared.with(|state| state.moods.script.entry(method.to_owned()).or_default().extend(moods));
    }

    /// The app's own posts come as events before the call is answered.
    pub fn echoes_first(&self, on: bool) {
        self.shared.with(|state| state.moods.echo_first = on);
    }

    /// `chat.update` says `edit_window_closed`.
    pub fn closes_edits(&self, on: bool) {
        self.shared.with(|state| state.moods.edits_closed = on);
    }

    /// Messages under another name can't be deleted by the app. Slack's page of `chat.delete` says that they never can;
    /// bots are known to do it all the same.
    pub fn keeps_impersonated(&self, on: bool) {
        self.shared.with(|state| state.moods.impersonated_stay = on);
    }

    /// History gives at most so many messages a call, as it does to new apps outside the Marketplace (15).
    pub fn gives_history(&self, at_most: usize) {
        self.shared.with(|state| state.moods.history_at_most = Some(at_most));
    }

    /// Uploaded files are shared so long after the answer.
    pub fn shares_after(&self, time: Duration) {
        self.shared.with(|state| state.moods.shares_after = time);
    }

    /// When failed deliveries are tried again; Slack does so at once, after a minute and after five.
    pub fn retries_after(&self, times: &[Duration]) {
        self.shared.with(|state| state.pushes.retry_after = times.to_vec());
    }

    /// How long a delivery may take; Slack gives 3 s.
    pub fn waits_for_answers(&self, time: Duration) {
        self.shared.with(|state| state.pushes.timeout = time);
    }

    /// Events wait until they are released.
    pub fn holds_events(&self) {
        self.shared.with(|state| state.pushes.holding = true);
    }

    /// Held events set out, in that order.
    pub fn releases_events(&self, order: Order) {
        self.shared.with(|state| {
            state.pushes.holding = false;
            let held = std::mem::take(&mut state.pushes.held);
            state.outbox.extend(ordered(held, order));
        });
    }

    /// The next events go out twice.
    pub fn duplicates_events(&self, n: u32) {
        self.shared.with(|state| state.pushes.duplicates = n);
    }

    /// The next events are dropped, and the app is told once that it gets too many.
    pub fn drops_events(&self, n: u32) {
        self.shared.with(|state| {
            state.rate_limited(&self.app, &self.team);
            state.pushes.dropping = n;
        });
    }
}
