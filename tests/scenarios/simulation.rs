//! A seeded simulation: a random graph of rooms, random events, targets, store and process that fail by the seed, on a
//! clock that is turned; in every third world commits don't span rows and queues, as on AWS. Whatever happens, the laws hold: nothing is lost that was not refused, order holds in every
//! lane, no room has a message twice, and the census conserves after every commit that is one.
//!
//! A failure names its seed; `SAMEROOM_SEED=n` runs that one alone, `SAMEROOM_SEEDS=n` runs more than are run by default.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sameroom_embedded::{Memory, TestClock};
use sameroom_engine::ports::{Clock, NoAnswer, Store, Tally, Unavailable, Vault, Wire};
use sameroom_engine::{Config, Engine, Failed, Pump};
use sameroom_model::{
    Account, Action, Author, Delivery, DeliveryId, Event, EventKind, Identity, Lane, MadeBy, Message, Outcome, OwnerId,
    RoomRef, Sealed, Secrets, Sent, Text,
};
use sameroom_platforms::{Draft, RoomDraft};
use sameroom_tests::worlds::{Torn, Watched};
use serde_json::Value;
use tokio::sync::oneshot;

const EVENTS: usize = 100;
/// In how many tests the seeds are run, so that they run side by side.
const SHARES: u64 = 4;
/// About what a few seconds of an unoptimised build are good for.
const SEEDS: u64 = 24;

#[test]
fn seeds_of_the_first_share() {
    share(0);
}

#[test]
fn seeds_of_the_second_share() {
    share(1);
}

#[test]
fn seeds_of_the_third_share() {
    share(2);
}

#[test]
fn seeds_of_the_fourth_share() {
    share(3);
}

fn share(share: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("SAMEROOM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SAMEROOM_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds.filter(|seed| seed % SHARES == share) {
        let ran = std::panic::catch_unwind(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
            runtime.block_on(run(seed));
        });
        assert!(ran.is_ok(), "the laws were broken: run it again by SAMEROOM_SEED={seed}");
    }
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

/// What a room was given: from which room, the event's number there, and whether it makes a message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Heard {
    from: usize,
    number: u64,
    post: bool,
}

/// The other side of every account.
struct World {
    dice: Mutex<Dice>,
    /// How many requests may still go wrong.
    troubles: Mutex<u64>,
    /// Whether things may be refused for good.
    refuses: bool,
    heard: Mutex<BTreeMap<RoomRef, Vec<Heard>>>,
    taken: Mutex<HashSet<String>>,
    duplicates: Mutex<i64>,
    waiting: Mutex<VecDeque<(Delivery, oneshot::Sender<Outcome>)>>,
    /// The delivery that a lane of a held connection waits for to come again.
    gate: Mutex<HashMap<Lane, DeliveryId>>,
}

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    TakenUnanswered,
    Ailing,
    Busy,
    Refused,
    Unreachable,
    Broken,
}

impl World {
    fn fate(&self) -> Fate {
        let mut dice = self.dice.lock().unwrap();
        let mut troubles = self.troubles.lock().unwrap();
        if *troubles == 0 || dice.below(3) > 0 {
            return Fate::Taken;
        }
        *troubles -= 1;
        match dice.below(if self.refuses { 6 } else { 5 }) {
            0 => Fate::TakenUnanswered,
            1 => Fate::Ailing,
            2 => Fate::Busy,
            3 => Fate::Unreachable,
            4 => Fate::Broken,
            _ => Fate::Refused,
        }
    }

    /// The target takes something; the second time it counts as a duplicate and has no effect.
    fn takes(&self, room: &RoomRef, id: &str, heard: Option<Heard>) -> bool {
        if !self.taken.lock().unwrap().insert(id.to_owned()) {
            return false;
        }
        if let Some(heard) = heard {
            self.heard.lock().unwrap().entry(room.clone()).or_default().push(heard);
        }
        true
    }

    /// What a held connection does when it gets to it: deliveries in order, and once one of a lane has to come again so
    /// have all later ones until it does.
    fn settle_held(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap());
        for (delivery, waiter) in waiting {
            let mut gate = self.gate.lock().unwrap();
            let outcome = match gate.get(&delivery.lane) {
                Some(first) if *first != delivery.id => Outcome::retry("an earlier one has to come again"),
                _ => {
                    gate.remove(&delivery.lane);
                    self.made(&delivery)
                }
            };
            if matches!(outcome, Outcome::Retry { .. }) {
                gate.entry(delivery.lane.clone()).or_insert(delivery.id);
            }
            let _ = waiter.send(outcome);
        }
    }

    fn made(&self, delivery: &Delivery) -> Outcome {
        let take = || {
            let heard = match &delivery.action {
                Action::Post { body, .. } | Action::Edit { body, .. } => marked(&body.words()),
                Action::React { emoji, .. } => marked(emoji),
                _ => None,
            };
            if !self.takes(&delivery.lane.to, delivery.id.as_str(), heard) {
                *self.duplicates.lock().unwrap() += 1;
            }
        };
        let keys = vec![delivery.id.as_str().into()];
        match self.fate() {
            Fate::Taken => {
                take();
                Outcome::Done { keys }
            }
            Fate::TakenUnanswered => {
                take();
                Outcome::Retry { after: None, why: "cut".into(), sent: Sent::Maybe }
            }
            Fate::Broken => Outcome::Retry { after: None, why: "cut".into(), sent: Sent::Maybe },
            Fate::Ailing | Fate::Busy => Outcome::retry("not now"),
            Fate::Unreachable => Outcome::Retry { after: None, why: "away".into(), sent: Sent::Unreachable },
            Fate::Refused => Outcome::refused("no"),
        }
    }
}

/// `p 3 17` is the message that event 17 of room 3 makes; `x 3 17` anything else that it does.
fn mark(kind: char, from: usize, number: u64) -> String {
    format!("{kind} {from} {number}")
}

fn marked(words: &str) -> Option<Heard> {
    let mut parts = words.trim_matches(':').split(' ');
    let (kind, from, number) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    ["p", "x"].contains(&kind).then_some(Heard { from, number, post: kind == "p" })
}

struct FakeWire(Arc<World>);

#[async_trait]
impl Wire for FakeWire {
    async fn http(&self, account: &Account, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, NoAnswer> {
        let world = &self.0;
        let turns = world.dice.lock().unwrap().below(3);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let id = request.headers()["webhook-id"].to_str().unwrap().to_owned();
        let room = RoomRef::new(account.id.clone(), body["room"].as_str().unwrap());
        let said = body["reaction"].as_str().or_else(|| body["message"]["text"].as_str()).unwrap_or_default();
        let answer = |status: u16| Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap());
        match world.fate() {
            Fate::Taken => {
                world.takes(&room, &id, marked(said));
                answer(200)
            }
            Fate::TakenUnanswered => {
                world.takes(&room, &id, marked(said));
                Err(NoAnswer::Broken("cut".into()))
            }
            Fate::Broken => Err(NoAnswer::Broken("cut".into())),
            Fate::Unreachable => Err(NoAnswer::Unreachable("away".into())),
            Fate::Ailing => answer(503),
            Fate::Busy => answer(429),
            Fate::Refused => answer(400),
        }
    }

    async fn download(
        &self,
        _account: &Account,
        _request: http::Request<Bytes>,
        _max: u64,
    ) -> Result<http::Response<Bytes>, NoAnswer> {
        Err(NoAnswer::Unreachable("there are no files in this world".into()))
    }

    fn session(&self, _account: &Account, delivery: Delivery) -> oneshot::Receiver<Outcome> {
        let (waiter, outcome) = oneshot::channel();
        self.0.waiting.lock().unwrap().push_back((delivery, waiter));
        let world = self.0.clone();
        tokio::spawn(async move { world.settle_held() });
        outcome
    }
}

struct Clear;

#[async_trait]
impl Vault for Clear {
    async fn seal(&self, _context: &str, clear: &[u8]) -> Result<Sealed, Unavailable> {
        Ok(Sealed(STANDARD.encode(clear)))
    }

    async fn open(&self, _context: &str, sealed: &Sealed) -> Result<Vec<u8>, Unavailable> {
        Ok(STANDARD.decode(&sealed.0).unwrap())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Unavailable> {
        // A world that is simulated is the same each time.
        bytes.fill(7);
        Ok(())
    }
}

struct Simulation {
    dice: Dice,
    clock: TestClock,
    memory: Arc<Memory>,
    torn: Option<Arc<Torn>>,
    store: Arc<Watched>,
    world: Arc<World>,
    engine: Engine,
    pump: Option<Pump>,
    rooms: Vec<RoomRef>,
    tubes: Vec<BTreeSet<usize>>,
    /// Posts by room and number, with the number of the event before it that it may be changed by.
    posted: Vec<Vec<u64>>,
}

async fn run(seed: u64) {
    let mut simulation = Simulation::new(seed).await;
    for number in 0..EVENTS as u64 {
        simulation.event(number).await;
        simulation.trouble().await;
    }
    simulation.drain().await;
    simulation.judge().await;
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let clock = TestClock::default();
        let memory = Memory::new(clock.clone());
        let torn = (seed % 3 == 2).then(|| Torn::new(memory.clone(), seed));
        let inner: Arc<dyn Store> = match &torn {
            Some(torn) => torn.clone(),
            None => memory.clone(),
        };
        let store = Watched::new(inner, true);
        let world = Arc::new(World {
            dice: Mutex::new(Dice(seed ^ 0xFEED)),
            troubles: Mutex::new(dice.below(120)),
            refuses: seed % 2 == 1,
            heard: Mutex::default(),
            taken: Mutex::default(),
            duplicates: Mutex::default(),
            waiting: Mutex::default(),
            gate: Mutex::default(),
        });
        let engine = engine(&store, &world, &clock);
        let mut simulation = Self {
            pump: None,
            dice,
            clock,
            memory,
            torn,
            store,
            world,
            engine,
            rooms: Vec::new(),
            tubes: Vec::new(),
            posted: Vec::new(),
        };
        simulation.graph().await;
        simulation.pump = Some(Pump::start(&simulation.engine));
        simulation
    }

    async fn graph(&mut self) {
        let operator = OwnerId::from("operator");
        let count = 2 + self.dice.below(5) as usize;
        for n in 0..count {
            let held = self.dice.below(3) == 0;
            let (platform, endpoint) = if held {
                ("irc", "irc://127.0.0.1:1".to_owned())
            } else {
                ("webhook", format!("http://127.0.0.1/{}", n % 2))
            };
            let name = format!("{platform}{}", n % 2);
            let secrets: Secrets = [("secret", "s")].into_iter().collect();
            let settings = Value::Null;
            let draft = Draft {
                platform,
                endpoint,
                identity: Identity { key: None, name },
                settings: settings.clone(),
                secrets,
                place: sameroom_model::Place::Alone,
            };
            let account = self.engine.add_account(&operator, &draft).await.unwrap();
            let key = format!("#{n}").into();
            let room = RoomDraft { key, name: format!("#{n}"), site: "x".into(), settings };
            self.rooms.push(self.engine.add_room(&account.id, &room).await.unwrap().at);
            self.tubes.push(BTreeSet::new());
            self.posted.push(Vec::new());
        }
        for _ in 0..count + 1 {
            let (a, b) = (self.dice.below(count as u64) as usize, self.dice.below(count as u64) as usize);
            if a != b {
                let rooms = [&self.rooms[a], &self.rooms[b]];
                self.engine.connect([&operator, &operator], rooms, MadeBy::Operator).await.unwrap();
                self.tubes[a].insert(b);
                self.tubes[b].insert(a);
            }
        }
    }

    /// Something happens in a room.
    async fn event(&mut self, number: u64) {
        let from = self.dice.below(self.rooms.len() as u64) as usize;
        let posts = &mut self.posted[from];
        let earlier = (!posts.is_empty()).then(|| posts[self.dice.below(posts.len() as u64) as usize]);
        let key = |number: u64| format!("m{number}");
        let kind = match (self.dice.below(6), earlier) {
            (0, Some(at)) => EventKind::Edited(Message::new(key(at), Text::plain(&mark('x', from, number)))),
            (1, Some(at)) => {
                EventKind::Reacted { key: key(at).into(), emoji: format!(":{}:", mark('x', from, number)), on: true }
            }
            _ => {
                posts.push(number);
                EventKind::Posted(Message::new(key(number), Text::plain(&mark('p', from, number))))
            }
        };
        let author = Some(Author::new(format!("u{number}"), format!("u{number}")));
        let event = Event {
            id: format!("e{number}").into(),
            room: self.rooms[from].clone(),
            at: self.clock.now(),
            author,
            kind,
        };
        // The platform tries until it was accepted, and now and then once more.
        let again = self.dice.below(10) == 0;
        let mut accepted = 0;
        while accepted < 1 + u32::from(again) {
            accepted += u32::from(self.engine.ingest(std::slice::from_ref(&event)).await.is_ok());
        }
    }

    async fn trouble(&mut self) {
        if let Some(torn) = &self.torn {
            torn.cut_next(self.dice.below(20) as u32);
        }
        match self.dice.below(12) {
            0 => self.memory.fail_next(self.dice.below(4) as u32),
            1 => self.memory.fail_next_reads(self.dice.below(3) as u32),
            2 => self.memory.conflict_next(self.dice.below(4) as u32),
            3 => self.restart().await,
            4..=6 => {
                self.store.quiet().await;
                let seconds = self.dice.below(40);
                self.pass(Duration::from_secs(seconds)).await;
            }
            7 => self.store.quiet().await,
            _ => {
                for _ in 0..self.dice.below(30) {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// The process dies where it stands, and comes back.
    async fn restart(&mut self) {
        let pump = self.pump.take().unwrap();
        pump.stop(Duration::ZERO).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        self.world.settle_held();
        self.world.gate.lock().unwrap().clear();
        if let Some(torn) = &self.torn {
            torn.died();
        }
        self.memory.restart();
        self.store.restarted();
        self.engine = engine(&self.store, &self.world, &self.clock);
        self.pump = Some(Pump::start(&self.engine));
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.store.turned();
        self.store.quiet().await;
    }

    async fn drain(&mut self) {
        self.memory.fail_next(0);
        self.memory.fail_next_reads(0);
        self.memory.conflict_next(0);
        if let Some(torn) = &self.torn {
            torn.cut_next(0);
        }
        self.store.quiet().await;
        for _ in 0..2000 {
            if self.store.is_drained().await {
                return;
            }
            self.pass(Duration::from_secs(20)).await;
        }
        panic!("it does not drain: {:?}", self.store.census().await);
    }

    async fn judge(&self) {
        self.store.law().await;
        let failed = self.engine.failed(&"operator".into(), None, 10_000).await.unwrap();
        self.judge_rooms(&failed);
        let census = self.store.census().await.unwrap();
        let given_up = census.count(Tally::Dead) + census.count(Tally::Expired);
        if self.torn.is_some() {
            // What was refused, written down and then cut short is tried again, and may be taken; it stays listed.
            self.judge_lanes().await;
        } else {
            assert_eq!(given_up, failed.len() as i64);
        }
        assert!(self.world.refuses || failed.is_empty(), "{failed:?}");
        // A duplicate that the target can't collapse was foreseen and counted.
        let duplicates = *self.world.duplicates.lock().unwrap();
        assert!(duplicates <= census.count(Tally::Ambiguous), "{duplicates} duplicates: {census:?}");
    }

    /// Once nothing waits every lane is idle: nothing was counted that is not there.
    async fn judge_lanes(&self) {
        for room in &self.rooms {
            let lanes = self.engine.lanes(room).await.unwrap();
            assert!(lanes.is_empty(), "of {} these are not idle: {lanes:?}", room.key);
        }
    }

    fn judge_rooms(&self, failed: &[Failed]) {
        let lists = |from: usize, to: usize, number: u64| {
            let lane = Lane { from: self.rooms[from].clone(), to: self.rooms[to].clone() };
            let event = format!("e{number}");
            failed.iter().any(|one| one.delivery.lane == lane && one.delivery.origin.event.as_str() == event)
        };
        let heard = self.world.heard.lock().unwrap();
        let nothing = Vec::new();
        for (at, room) in self.rooms.iter().enumerate() {
            let heard = heard.get(room).unwrap_or(&nothing);
            assert!(heard.iter().all(|heard| heard.from != at), "{at} heard itself: {heard:?}");
            let reached = self.reached(at);
            for from in 0..self.rooms.len() {
                let lane: Vec<&Heard> = heard.iter().filter(|heard| heard.from == from).collect();
                assert!(
                    lane.windows(2).all(|two| two[0].number < two[1].number),
                    "{from} to {at} out of order: {lane:?}"
                );
                let posts: Vec<u64> = lane.iter().filter(|heard| heard.post).map(|heard| heard.number).collect();
                let wanted = if reached.contains(&from) { self.posted[from].as_slice() } else { &[] };
                if self.world.refuses {
                    assert!(posts.iter().all(|post| wanted.contains(post)), "{from} to {at}: {posts:?}");
                    let missing = wanted.iter().find(|post| !posts.contains(post) && !lists(from, at, **post));
                    assert_eq!(missing, None, "of {from} to {at} it is neither there nor listed");
                } else {
                    assert_eq!(posts, wanted, "{from} to {at}");
                }
            }
        }
    }

    /// The rooms that reach a room, by a walk of the test's own.
    fn reached(&self, room: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::new();
        let mut next = vec![room];
        while let Some(at) = next.pop() {
            next.extend(self.tubes[at].iter().copied().filter(|there| *there != room && reached.insert(*there)));
        }
        reached
    }
}

fn engine(store: &Arc<Watched>, world: &Arc<World>, clock: &TestClock) -> Engine {
    Engine::new(
        store.clone(),
        Arc::new(FakeWire(world.clone())),
        Arc::new(Clear),
        Arc::new(clock.clone()),
        Config { apart: !store.whole(), ..Config::default() },
    )
}
