//! The scripted server: says lines, sees lines, and drives the session as its law demands. Tests read as conversations.

use std::collections::{BTreeMap, VecDeque};

use sameroom_model::{
    Account, AccountState, Action, Author, Availability, Delivery, Event, EventKind, Identity, Lane, Opened, Origin,
    Outcome, Place, RoomRef, Sealed, Secrets, SignedDuration, Text, Timestamp,
};

use crate::irc::Irc;
use crate::{Dial, Input, Joined, LinkId, Output, Platform as _, Session};

/// A session and everything that it has said so far.
pub(super) struct World {
    pub(super) session: Box<dyn Session>,
    pub(super) now: Timestamp,
    /// What the client wrote and no test has looked at.
    pub(super) sent: VecDeque<String>,
    pub(super) events: VecDeque<Event>,
    pub(super) settled: VecDeque<(String, Outcome)>,
    pub(super) states: VecDeque<AccountState>,
    pub(super) rooms: VecDeque<(String, Availability)>,
    pub(super) marks: VecDeque<(String, String)>,
    pub(super) dials: VecDeque<Dial>,
    pub(super) identity: Option<Identity>,
    pub(super) closed: usize,
    /// Connections beside the first: those that were asked for, what was written to them, and those that were closed.
    pub(super) asked: VecDeque<LinkId>,
    pub(super) dials_aside: VecDeque<Dial>,
    pub(super) aside: BTreeMap<LinkId, VecDeque<String>>,
    pub(super) left: VecDeque<LinkId>,
    pub(super) stopped: bool,
    delivered: usize,
}

/// What an account of a test has beside the defaults.
#[derive(Default)]
pub(super) struct Setup {
    pub(super) endpoint: Option<&'static str>,
    pub(super) settings: serde_json::Value,
    pub(super) secrets: Vec<(&'static str, &'static str)>,
    pub(super) rooms: Vec<&'static str>,
    pub(super) seen: Option<&'static str>,
}

impl Setup {
    pub(super) fn fast() -> Self {
        Self { settings: serde_json::json!({ "flood": { "burst": 4, "per_second": 0.0 } }), ..Self::default() }
    }

    pub(super) fn start(self) -> World {
        let account = Account {
            id: "acc".into(),
            owner: "own".into(),
            platform: "irc".into(),
            endpoint: self.endpoint.unwrap_or("irc://irc.test:6667").into(),
            identity: Identity { key: None, name: "bot".into() },
            settings: self.settings,
            secrets: Sealed::default(),
            state: AccountState::Ok,
            place: Place::Alone,
            unknown: serde_json::Map::new(),
        };
        let secrets: Secrets = self.secrets.into_iter().collect();
        let session = Irc.session(&Opened { account, secrets }, 7).unwrap();
        let mut world = World {
            session,
            now: "2026-11-22T10:00:00Z".parse().unwrap(),
            sent: VecDeque::new(),
            events: VecDeque::new(),
            settled: VecDeque::new(),
            states: VecDeque::new(),
            rooms: VecDeque::new(),
            marks: VecDeque::new(),
            dials: VecDeque::new(),
            identity: None,
            closed: 0,
            asked: VecDeque::new(),
            dials_aside: VecDeque::new(),
            aside: BTreeMap::new(),
            left: VecDeque::new(),
            stopped: false,
            delivered: 0,
        };
        let names = if self.rooms.is_empty() { vec!["#c"] } else { self.rooms };
        world.has_rooms(&names, self.seen);
        world
    }

    /// Up to being in `#c`, on a server with these capabilities and ISUPPORT tokens.
    pub(super) fn joined(self, caps: &str, isupport: &str) -> World {
        let rooms = if self.rooms.is_empty() { vec!["#c"] } else { self.rooms.clone() };
        let mut world = self.start();
        world.connects(caps, isupport);
        for room in rooms {
            world.server(&format!(":bot!~bot@host.test JOIN {room}"));
        }
        world.sent.clear();
        world
    }
}

/// A world in `#c` on a server without any capability, fast.
pub(super) fn plain() -> World {
    Setup::fast().joined("", "CASEMAPPING=ascii")
}

impl World {
    pub(super) fn has_rooms(&mut self, names: &[&str], seen: Option<&str>) {
        let rooms = names
            .iter()
            .map(|name| Joined {
                key: name.to_ascii_lowercase().into(),
                name: (*name).to_owned(),
                settings: serde_json::Value::Null,
                seen: seen.map(str::to_owned),
            })
            .collect();
        self.handle(Input::Rooms(rooms));
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.session.handle(input, self.now);
        let mut wire: BTreeMap<LinkId, Vec<u8>> = BTreeMap::new();
        while let Some(output) = self.session.poll() {
            match output {
                Output::Open(LinkId::MAIN, dial) => self.dials.push_back(dial),
                Output::Open(link, dial) => {
                    self.asked.push_back(link);
                    self.dials_aside.push_back(dial);
                }
                Output::Send(link, bytes) => wire.entry(link).or_default().extend(bytes),
                Output::Close(LinkId::MAIN) => self.closed += 1,
                Output::Close(link) => self.left.push_back(link),
                Output::Event(event) => self.events.push_back(event),
                Output::Settled { id, outcome } => self.settled.push_back((id.to_string(), outcome)),
                Output::Identity(identity) => self.identity = Some(identity),
                Output::State(state) => self.states.push_back(state),
                Output::Room { key, availability } => self.rooms.push_back((key.to_string(), availability)),
                Output::Seen { key, mark } => self.marks.push_back((key.to_string(), mark)),
                Output::Stopped => self.stopped = true,
                other @ (Output::Confirm(..) | Output::Ask(_) | Output::Told(_)) => panic!("not of IRC: {other:?}"),
            }
        }
        for (link, bytes) in wire {
            for line in bytes.split_inclusive(|b| *b == b'\n') {
                let line = String::from_utf8(line.to_vec()).expect("we send UTF-8");
                let line = line.strip_suffix("\r\n").expect("every line ends in CRLF");
                assert!(!line.contains(['\r', '\n', '\0']), "{line:?}");
                let sent = if link == LinkId::MAIN { &mut self.sent } else { self.aside.entry(link).or_default() };
                sent.push_back(line.to_owned());
            }
        }
    }

    /// The connection stands, and registration goes through.
    pub(super) fn connects(&mut self, caps: &str, isupport: &str) {
        self.handle(Input::Opened(LinkId::MAIN));
        self.registers(caps, isupport);
    }

    pub(super) fn registers(&mut self, caps: &str, isupport: &str) {
        self.server(&format!(":irc.test CAP * LS :{caps}"));
        let requests: Vec<String> =
            self.sent.iter().filter_map(|l| l.strip_prefix("CAP REQ :")).map(str::to_owned).collect();
        for request in requests {
            self.server(&format!(":irc.test CAP * ACK :{request}"));
        }
        self.server(":irc.test 001 bot :Welcome");
        self.server(&format!(":irc.test 005 bot {isupport} :are supported by this server"));
        self.server(":irc.test 422 bot :No MOTD");
    }

    /// The server says a line.
    pub(super) fn server(&mut self, line: &str) {
        self.server_to(LinkId::MAIN, line);
    }

    /// The server says a line on one connection.
    pub(super) fn server_to(&mut self, link: LinkId, line: &str) {
        self.handle(Input::Received(link, format!("{line}\r\n").as_bytes()));
    }

    pub(super) fn server_bytes(&mut self, bytes: &[u8]) {
        self.handle(Input::Received(LinkId::MAIN, bytes));
    }

    /// The client sent exactly this next.
    #[track_caller]
    pub(super) fn client(&mut self, line: &str) {
        assert_eq!(self.sent.pop_front().as_deref(), Some(line), "then came {:?}", self.sent);
    }

    /// The client sent nothing more.
    #[track_caller]
    pub(super) fn silence(&mut self) {
        assert_eq!(self.sent, VecDeque::<String>::new());
    }

    /// Answers the client's barrier that comes next.
    #[track_caller]
    pub(super) fn pong(&mut self) {
        let ping = self.sent.pop_front().expect("a PING");
        let token = ping.strip_prefix("PING :").unwrap_or_else(|| panic!("a PING, not {ping:?}")).to_owned();
        self.server(&format!(":irc.test PONG irc.test :{token}"));
    }

    /// Time passes, with every wake that the session asks for on the way.
    pub(super) fn passes(&mut self, seconds: i64) {
        self.passes_ms(seconds * 1000);
    }

    pub(super) fn passes_ms(&mut self, millis: i64) {
        let end = self.now + SignedDuration::from_millis(millis);
        let mut wakes = 0;
        while let Some(at) = self.session.wakes_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.handle(Input::Wake);
            wakes += 1;
            assert!(wakes < 20_000, "the session wakes without end");
        }
        self.now = end;
        self.handle(Input::Wake);
    }

    /// The engine hands over a message.
    pub(super) fn says(&mut self, who: &str, text: &str) -> String {
        self.says_in("#c", who, text)
    }

    pub(super) fn says_in(&mut self, room: &str, who: &str, text: &str) -> String {
        self.does(room, who, post(Text::plain(text)))
    }

    pub(super) fn does(&mut self, room: &str, who: &str, action: Action) -> String {
        self.does_to(room, who, action, &[])
    }

    pub(super) fn does_to(&mut self, room: &str, who: &str, action: Action, copies: &[&str]) -> String {
        self.delivered += 1;
        let id = format!("d{}", self.delivered);
        let delivery = Delivery {
            id: id.as_str().into(),
            lane: Lane { from: RoomRef::new("else", "where"), to: RoomRef::new("acc", room) },
            origin: Origin { event: id.as_str().into(), key: None, at: self.now },
            author: Some(Author::new("u", who)),
            shown: who.to_owned(),
            action,
            copies: copies.iter().map(|key| (*key).into()).collect(),
        };
        self.handle(Input::Deliver(Box::new(delivery)));
        id
    }

    /// The next event is a message of this author with these words.
    #[track_caller]
    pub(super) fn hears(&mut self, who: &str, words: &str) -> Event {
        let event = self.events.pop_front().expect("an event");
        let EventKind::Posted(message) = &event.kind else { panic!("a message, not {event:?}") };
        assert_eq!((event.author.as_ref().unwrap().name.as_str(), message.body.words().as_str()), (who, words));
        event
    }

    #[track_caller]
    pub(super) fn hears_nothing(&mut self) {
        assert_eq!(self.events, VecDeque::new());
    }

    /// The next settlement.
    #[track_caller]
    pub(super) fn outcome(&mut self, id: &str) -> Outcome {
        let (settled, outcome) = self.settled.pop_front().expect("a settlement");
        assert_eq!(settled, id);
        outcome
    }

    #[track_caller]
    pub(super) fn done(&mut self, id: &str) {
        assert_eq!(self.outcome(id), Outcome::done());
    }

    #[track_caller]
    pub(super) fn unsettled(&self) {
        assert_eq!(self.settled, VecDeque::new());
    }

    #[track_caller]
    pub(super) fn needs_owner(&mut self) -> String {
        match self.states.pop_back() {
            Some(AccountState::NeedsOwner(why)) => why,
            other => panic!("NeedsOwner, not {other:?}"),
        }
    }
}

pub(super) fn post(body: Text) -> Action {
    Action::Post { body, emote: false, attachments: Vec::new(), reply: None }
}
