//! The laws of held connections: whatever comes, a session does not panic, can always be drained, does not ask to be
//! woken for nothing, and settles each delivery once.

use std::collections::BTreeSet;

use super::*;
use crate::{Desk, Input, LinkId, Output, Session};

pub(crate) fn session_survives_anything(fixture: &Fixture) {
    let Some(held) = &fixture.session else { return };
    let kinds = deliveries(fixture).len();
    let bytes = proptest::collection::vec(any::<u8>(), 0..64);
    let piece = (any::<prop::sample::Index>(), 1_usize..200, proptest::option::of(any::<u8>()));
    let deed = prop_oneof![
        4 => piece.prop_map(|(at, length, flip)| Deed::Piece(at, length, flip)),
        2 => bytes.prop_map(Deed::Bytes),
        3 => (0..kinds).prop_map(Deed::Deliver),
        3 => Just(Deed::Connection(true, 0)),
        1 => any::<usize>().prop_map(|which| Deed::Connection(false, which)),
        3 => (1_i64..400).prop_map(Deed::Wait),
        1 => Just(Deed::Rooms),
        1 => Just(Deed::Transcript),
    ];
    check(256, &(proptest::collection::vec(deed, 0..60), any::<u128>()), |(deeds, seed)| {
        let mut driver = Driver::new(fixture, seed);
        driver.rooms(held);
        for deed in deeds {
            driver.does(fixture, held, deed);
        }
        driver.stop();
    });
}

pub(crate) fn session_reads_bytes_cut_anywhere(fixture: &Fixture) {
    let Some(held) = &fixture.session else { return };
    let mut trial = Driver::new(fixture, 7);
    trial.rooms(held);
    trial.connect();
    if trial.websocket {
        // It gives whole messages.
        return;
    }
    let told = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut driver = Driver::new(fixture, 7);
        driver.rooms(held);
        driver.connect();
        pieces.for_each(|piece| driver.received(piece));
        (driver.told.concat(), driver.sent)
    };
    let whole = told(&mut std::iter::once(held.transcript));
    assert_eq!(whole, told(&mut held.transcript.chunks(1)), "byte by byte");
    for cut in 0..held.transcript.len() {
        let (head, tail) = held.transcript.split_at(cut);
        assert_eq!(whole, told(&mut [head, tail].into_iter()), "cut at {cut}");
    }
}

pub(crate) fn session_stops(fixture: &Fixture) {
    let Some(held) = &fixture.session else { return };
    // At once, while connecting, connected, and after everything was said.
    Driver::new(fixture, 1).stop();
    for step in 0..3 {
        let mut driver = Driver::new(fixture, 1);
        driver.rooms(held);
        for index in 0..deliveries(fixture).len() {
            driver.does(fixture, held, Deed::Deliver(index));
        }
        if step > 0 {
            driver.connect();
        }
        if step > 1 {
            driver.received(held.transcript);
        }
        driver.stop();
    }
}

#[derive(Clone, Debug)]
enum Deed {
    /// A piece of the transcript, with a byte changed.
    Piece(prop::sample::Index, usize, Option<u8>),
    Bytes(Vec<u8>),
    Deliver(usize),
    /// Opens all that are asked for, or loses one.
    Connection(bool, usize),
    /// Seconds go by.
    Wait(i64),
    Rooms,
    /// The whole transcript, by all connections that are open.
    Transcript,
}

/// Drives a session as the law of `session.rs` says, and watches it.
struct Driver {
    session: Box<dyn Session>,
    secrets: Secrets,
    now: Timestamp,
    /// The connections that are being opened, and those that stand.
    dialing: BTreeSet<LinkId>,
    open: BTreeSet<LinkId>,
    stopped: bool,
    delivered: usize,
    owed: BTreeSet<DeliveryId>,
    /// Whether a request of its own is under way.
    asked: bool,
    answer: &'static [u8],
    /// Whether it dials WebSockets.
    websocket: bool,
    /// Everything said but bytes, and the bytes.
    told: Vec<String>,
    sent: Vec<u8>,
}

impl Driver {
    fn new(fixture: &Fixture, seed: u128) -> Self {
        let session = fixture.platform.session(&fixture.account, seed).expect("Carrier::Session has sessions");
        Self {
            session,
            secrets: fixture.account.secrets.clone(),
            now: now(),
            dialing: BTreeSet::new(),
            open: BTreeSet::new(),
            stopped: false,
            delivered: 0,
            owed: BTreeSet::new(),
            asked: false,
            websocket: false,
            answer: fixture.session.as_ref().map_or(b"", |held| held.answer),
            told: Vec::new(),
            sent: Vec::new(),
        }
    }

    fn does(&mut self, fixture: &Fixture, held: &Held, deed: Deed) {
        match deed {
            Deed::Piece(at, length, flip) => {
                let link = self.any_open(length);
                let at = at.index(held.transcript.len());
                let mut piece = held.transcript[at..held.transcript.len().min(at + length)].to_vec();
                if let (Some(flip), Some(byte)) = (flip, piece.last_mut()) {
                    *byte = flip;
                }
                self.received_by(link, &piece);
            }
            Deed::Bytes(bytes) => self.received_by(self.any_open(bytes.len()), &bytes),
            Deed::Deliver(index) => {
                let (_, mut delivery) = deliveries(fixture).swap_remove(index);
                delivery.id = format!("dlv_{}", self.delivered).into();
                self.delivered += 1;
                self.owed.insert(delivery.id.clone());
                self.handle(Input::Deliver(Box::new(delivery)));
            }
            Deed::Connection(true, _) => self.connect(),
            Deed::Connection(false, which) if !self.open.is_empty() || !self.dialing.is_empty() => {
                let any = self.dialing.union(&self.open).nth(which % self.dialing.union(&self.open).count());
                let link = any.copied().unwrap_or_default();
                self.open.remove(&link);
                self.dialing.remove(&link);
                self.handle(Input::Closed(link, "the connection was reset"));
            }
            Deed::Connection(false, _) if self.asked => {
                self.asked = false;
                self.handle(Input::Answered(Err("nobody answered")));
            }
            Deed::Connection(false, _) => {}
            Deed::Wait(seconds) => self.wait(self.now + SignedDuration::from_secs(seconds)),
            Deed::Rooms => self.rooms(held),
            Deed::Transcript => {
                for link in self.open.clone() {
                    self.received_by(link, held.transcript);
                }
            }
        }
    }

    fn rooms(&mut self, held: &Held) {
        self.handle(Input::Rooms(vec![held.joined.clone()]));
    }

    fn connect(&mut self) {
        // One answer may lead to the next question.
        for _ in 0..4 {
            if std::mem::take(&mut self.asked) {
                let answer = Response::new(Bytes::from_static(self.answer));
                self.handle(Input::Answered(Ok(&answer)));
            }
        }
        for link in std::mem::take(&mut self.dialing) {
            self.open.insert(link);
            self.handle(Input::Opened(link));
        }
    }

    /// One of the open connections, by any number.
    fn any_open(&self, which: usize) -> LinkId {
        self.open.iter().nth(which % self.open.len().max(1)).copied().unwrap_or_default()
    }

    fn received(&mut self, bytes: &[u8]) {
        self.received_by(LinkId::MAIN, bytes);
    }

    fn received_by(&mut self, link: LinkId, bytes: &[u8]) {
        if self.open.contains(&link) {
            self.handle(Input::Received(link, bytes));
        }
    }

    /// Lets time go by, waking the session when it asks to be.
    fn wait(&mut self, until: Timestamp) {
        for _ in 0..10_000 {
            match self.session.wakes_at().filter(|at| *at <= until) {
                Some(at) => self.now = at.max(self.now),
                None => {
                    self.now = until;
                    return;
                }
            }
            self.handle(Input::Wake);
        }
        panic!("woken 10,000 times before {until}");
    }

    fn stop(mut self) {
        self.handle(Input::Stop);
        for _ in 0..100 {
            if self.stopped {
                break;
            }
            let at = self.session.wakes_at().expect("a session that stops says when it goes on");
            self.now = at.max(self.now);
            self.handle(Input::Wake);
        }
        assert!(self.stopped, "Stopped comes");
        assert!(self.owed.is_empty(), "never settled: {:?}", self.owed);
    }

    fn handle(&mut self, input: Input<'_>) {
        let woken = matches!(input, Input::Wake);
        self.session.handle(input, self.now);
        self.drain();
        if self.stopped {
            assert!(self.session.poll().is_none(), "nothing follows Stopped");
        } else if woken {
            let next = self.session.wakes_at();
            assert!(next.is_none_or(|at| at > self.now), "woken at {}, it wants to be woken at {next:?}", self.now);
        }
    }

    fn drain(&mut self) {
        for _ in 0..100_000 {
            let Some(output) = self.session.poll() else { return };
            assert!(!self.stopped, "nothing follows Stopped");
            if let Output::Send(link, bytes) | Output::Confirm(link, bytes) = output {
                assert!(self.open.contains(&link), "bytes are sent into an open connection");
                self.sent.extend(bytes);
                continue;
            }
            let shown = format!("{output:?}\n");
            for (name, secret) in self.secrets.expose() {
                assert!(!shown.contains(secret), "the secret {name} shows");
            }
            self.told.push(shown);
            match output {
                Output::Open(link, dial) => {
                    self.websocket |= matches!(dial, crate::Dial::WebSocket(_));
                    assert!(!self.open.contains(&link), "one connection at a time of each id");
                    assert!(self.dialing.insert(link), "it is being opened");
                    assert!(self.open.len() + self.dialing.len() < 1000, "connections have a bound");
                }
                Output::Close(link) => {
                    self.open.remove(&link);
                    self.dialing.remove(&link);
                }
                Output::Settled { id, .. } => assert!(self.owed.remove(&id), "{id}: settled, and not owed"),
                Output::Stopped => self.stopped = true,
                Output::Ask(_) => {
                    assert!(!self.asked, "one request at a time");
                    self.asked = true;
                }
                Output::Send(..)
                | Output::Confirm(..)
                | Output::Told(_)
                | Output::Event(_)
                | Output::Identity(_)
                | Output::State(_)
                | Output::Room { .. }
                | Output::Seen { .. } => {}
            }
        }
        panic!("100,000 outputs after one input");
    }
}

#[cfg(test)]
mod tests {
    //! The laws let a good session pass, and catch bad ones.

    use std::collections::VecDeque;

    use super::*;
    use crate::{About, BadUrl, Located, Problem};

    /// Speaks a line a message, and nothing else.
    struct Parrot(Fault);

    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        None,
        SettlesTwice,
        NeverSleeps,
        ForgetsHalfLines,
        StopsWithoutSettling,
    }

    impl Platform for Parrot {
        fn about(&self) -> &'static About {
            crate::local::Local.about()
        }
        fn locate(&self, _: &Url) -> Result<Located, BadUrl> {
            Err(BadUrl("A parrot has no URL.".to_owned()))
        }
        fn onboard(&self, _: &Desk<'_>, _: &[Answer]) -> Result<Step, Problem> {
            Err(Problem { field: None, message: "A parrot has no account.".to_owned() })
        }
        fn session(&self, _: &Opened, _: u128) -> Option<Box<dyn Session>> {
            let Self(fault) = *self;
            Some(Box::new(Flight {
                fault,
                open: false,
                wakes: None,
                held: Vec::new(),
                line: Vec::new(),
                out: VecDeque::new(),
            }))
        }
    }

    struct Flight {
        fault: Fault,
        open: bool,
        wakes: Option<Timestamp>,
        held: Vec<Delivery>,
        line: Vec<u8>,
        out: VecDeque<Output>,
    }

    impl Flight {
        fn flush(&mut self) {
            for delivery in self.held.drain(..) {
                self.out.push_back(Output::Send(LinkId::MAIN, b"said\n".to_vec()));
                for _ in 0..if self.fault == Fault::SettlesTwice { 2 } else { 1 } {
                    self.out.push_back(Output::Settled { id: delivery.id.clone(), outcome: Outcome::done() });
                }
            }
        }

        fn received(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.line.push(*byte);
                if *byte == b'\n' {
                    let mark = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
                    self.out.push_back(Output::Seen { key: RoomKey::from("tree"), mark });
                }
            }
            if self.fault == Fault::ForgetsHalfLines {
                self.line.clear();
            }
        }
    }

    impl Session for Flight {
        fn handle(&mut self, input: Input<'_>, now: Timestamp) {
            let dial = crate::Dial::Tcp { host: "tree".to_owned(), port: 1, tls: None };
            match input {
                Input::Rooms(_) if !self.open && self.wakes.is_none() => {
                    self.wakes = Some(now + SignedDuration::from_mins(1));
                    self.out.push_back(Output::Open(LinkId::MAIN, dial));
                }
                Input::Rooms(_) | Input::Answered(_) => {}
                Input::Opened(_) => {
                    self.open = true;
                    self.flush();
                }
                Input::Received(_, bytes) => self.received(bytes),
                Input::Closed(_, _) => {
                    self.open = false;
                    self.out.push_back(Output::Open(LinkId::MAIN, dial));
                }
                Input::Deliver(delivery) => {
                    self.held.push(*delivery);
                    if self.open {
                        self.flush();
                    }
                }
                Input::Wake if self.fault == Fault::NeverSleeps => self.wakes = Some(now),
                Input::Wake => self.wakes = Some(now + SignedDuration::from_mins(1)),
                Input::Stop => {
                    if self.fault != Fault::StopsWithoutSettling {
                        for delivery in self.held.drain(..) {
                            let outcome = Outcome::retry("the session stops");
                            self.out.push_back(Output::Settled { id: delivery.id, outcome });
                        }
                    }
                    self.out.push_back(Output::Stopped);
                }
            }
        }

        fn poll(&mut self) -> Option<Output> {
            self.out.pop_front()
        }

        fn wakes_at(&self) -> Option<Timestamp> {
            self.wakes
        }
    }

    fn passes(fault: Fault) -> bool {
        let draft = crate::local::Local.onboard(&desk(), &[]);
        let Ok(Step::Done(draft)) = draft else { panic!() };
        let joined = Joined {
            key: RoomKey::from("tree"),
            name: "tree".to_owned(),
            settings: serde_json::Value::Null,
            seen: None,
        };
        let fixture = Fixture {
            platform: Box::leak(Box::new(Parrot(fault))),
            account: opened(*draft),
            urls: &[],
            fields: &[],
            room: "tree",
            message: "m1",
            inbound: None,
            outbound: None,
            session: Some(Held { transcript: b"hello\nworld\n", joined, answer: b"" }),
        };
        let laws: [fn(&Fixture); 3] = [session_survives_anything, session_reads_bytes_cut_anywhere, session_stops];
        laws.iter().all(|law| catch_unwind(AssertUnwindSafe(|| law(&fixture))).is_ok())
    }

    #[test]
    fn a_good_session_passes() {
        assert!(passes(Fault::None));
    }

    #[test]
    fn bad_sessions_are_caught() {
        for fault in [Fault::SettlesTwice, Fault::NeverSleeps, Fault::ForgetsHalfLines, Fault::StopsWithoutSettling] {
            assert!(!passes(fault));
        }
    }
}
