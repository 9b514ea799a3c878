//! A town: an engine on a store, at work, and served on loopback. Rooms are named by world and room, as in
//! `"hook general"` and `"irc #ops"`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sameroom_embedded::{KeyFile, Memory, Sqlite, SqliteOptions, SystemClock, TestClock};
use sameroom_engine::keys::join;
use sameroom_engine::ports::{Census, Clock, Store};
use sameroom_engine::{Config, Engine, Failed, Pump};
use sameroom_model::{AccountId, MadeBy, OwnerId, Room, RoomOptions, RoomRef, Tube, TubeState};
use sameroom_platforms::{Draft, RoomDraft};
use sameroom_wire::{Dialer, Guard, HttpClient, Limits, LiveWire, Registry};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::slack::Slack;
use super::{Hook, Irc, LocalRoom, Watched, local, sessions};

/// What a town's store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In memory, on a clock that stands still until [`Town::pass`].
    Memory,
    /// SQLite in a folder of its own, on the system's clock; retries come within milliseconds.
    Disk,
}

/// See above.
pub struct Town {
    /// The engine.
    pub engine: Engine,
    /// Its store, watched.
    pub store: Arc<Watched>,
    /// The store in memory, where it is one.
    pub memory: Option<Arc<Memory>>,
    /// The store on disk, where it is one.
    pub disk: Option<Arc<Sqlite>>,
    /// The folder of key and database.
    pub folder: TempDir,
    /// Where the engine's router is served.
    pub address: SocketAddr,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) client: Arc<HttpClient>,
    turned: Option<TestClock>,
    worlds: Mutex<BTreeMap<String, World>>,
    pump: Mutex<Option<Pump>>,
    tasks: Vec<JoinHandle<()>>,
}

/// A world as the town knows it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) account: AccountId,
    pub(super) site: String,
    /// Tells the key of a room by its name, where they differ.
    pub(super) slack: Option<Slack>,
}

/// Whose everything is, unless a scenario says otherwise.
pub(super) const OPERATOR: &str = "operator";

impl Town {
    /// A town on that kind of store, at work.
    pub async fn of(kind: Kind) -> Self {
        Self::with(kind, |_| ()).await
    }

    /// Likewise, configured.
    pub async fn with(kind: Kind, configure: impl FnOnce(&mut Config)) -> Self {
        let town = Self::resting(kind, configure).await;
        town.start();
        town
    }

    /// Likewise, but nobody is at work yet.
    pub async fn resting(kind: Kind, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        let (mut memory, mut disk, mut turned) = (None, None, None);
        let (store, clock): (Arc<dyn Store>, Arc<dyn Clock>) = match kind {
            Kind::Memory => {
                let clock = TestClock::default();
                let store = Memory::new(clock.clone());
                (memory, turned) = (Some(store.clone()), Some(clock.clone()));
                (store, Arc::new(clock))
            }
            Kind::Disk => {
                let soon = vec![Duration::from_millis(20)];
                (config.retry, config.unreachable) = (soon.clone(), soon);
                config.ping_wait = Duration::from_millis(500);
                let store = Sqlite::open(folder.path(), SqliteOptions::default()).unwrap();
                disk = Some(store.clone());
                (store, Arc::new(SystemClock))
            }
        };
        let mut town = Self::around(store, kind == Kind::Memory, clock, folder, config, configure).await;
        (town.memory, town.disk, town.turned) = (memory, disk, turned);
        town
    }

    /// A town at work on a store that is made elsewhere, on the system's clock.
    pub async fn on(store: Arc<dyn Store>, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let town = Self::around(store, false, Arc::new(SystemClock), folder, Config::default(), configure).await;
        town.start();
        town
    }

    async fn around(
        store: Arc<dyn Store>,
        counts_idle: bool,
        clock: Arc<dyn Clock>,
        folder: TempDir,
        mut config: Config,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        config.public_url = Some(format!("http://{address}"));
        configure(&mut config);
        let store = Watched::new(store, counts_idle);
        let guard = Arc::new(Guard::new(vec!["loopback".parse().unwrap()]));
        let client = Arc::new(HttpClient::new(guard.clone(), Arc::default(), Limits::default()));
        let registry = Registry::default();
        let wire =
            LiveWire { trusted: client.clone(), guarded: client.clone(), trusts: |_| true, sessions: registry.clone() };
        let vault = Arc::new(KeyFile::open(folder.path()).unwrap());
        let engine = Engine::new(store.clone(), Arc::new(wire), vault, clock.clone(), config);
        let router = sameroom_web::router(engine.clone(), None);
        let served = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let dialer = Arc::new(Dialer::new(guard, Arc::default()));
        let held = tokio::spawn(sessions::run(engine.clone(), registry, dialer, client.clone()));
        Self {
            engine,
            store,
            memory: None,
            disk: None,
            folder,
            address,
            clock,
            client,
            turned: None,
            worlds: Mutex::default(),
            pump: Mutex::default(),
            tasks: vec![served, held],
        }
    }

    /// Begins to work.
    pub fn start(&self) {
        *self.pump.lock().unwrap() = Some(Pump::start(&self.engine));
    }

    /// Stops working; what is under way is finished first.
    pub async fn stop(&self) {
        let pump = self.pump.lock().unwrap().take();
        pump.unwrap().stop(super::WAIT).await;
    }

    /// A world of webhooks of that name.
    pub async fn hook(&self, name: &str) -> Hook {
        self.hook_of(OPERATOR, name).await
    }

    /// Likewise, of another owner.
    pub async fn hook_of(&self, owner: &str, name: &str) -> Hook {
        let (hook, draft) = Hook::open(self, name).await;
        let account = self.add(owner, name, &draft, "hook").await;
        hook.registered(&account);
        hook
    }

    /// A world of IRC of that name: a server of the model, and our connection to it.
    pub async fn irc(&self, name: &str, server: super::Server) -> Irc {
        let (irc, draft) = Irc::open(server).await;
        self.add(OPERATOR, name, &draft, name).await;
        irc
    }

    /// A room that lives in Sameroom itself.
    pub async fn local(&self, name: &str) -> LocalRoom {
        let draft = local::draft(name);
        let known = self.worlds.lock().unwrap().contains_key("local");
        if !known {
            let id = AccountId::from(sameroom_web::LOCAL_ACCOUNT);
            self.engine.add_account_as(id.clone(), &OPERATOR.into(), &draft.account).await.unwrap();
            self.worlds
                .lock()
                .unwrap()
                .insert("local".into(), World { account: id, site: "Sameroom".into(), slack: None });
        }
        let room = self.room(&format!("local {name}")).await;
        LocalRoom::new(self, room)
    }

    async fn add(&self, owner: &str, name: &str, draft: &Draft, site: &str) -> AccountId {
        let id = self.engine.add_account(&owner.into(), draft).await.unwrap().id;
        self.is_known(name, World { account: id.clone(), site: site.to_owned(), slack: None });
        id
    }

    /// A world gets a name.
    pub(super) fn is_known(&self, name: &str, world: World) {
        self.worlds.lock().unwrap().insert(name.to_owned(), world);
    }

    /// The account of a world.
    pub fn account(&self, world: &str) -> AccountId {
        self.worlds.lock().unwrap()[world].account.clone()
    }

    /// The room of that name, added to its account if it is new.
    pub async fn room(&self, place: &str) -> RoomRef {
        let (world, name) = place.split_once(' ').expect("a room is written `world name`");
        let World { account, site, slack } = self.worlds.lock().unwrap()[world].clone();
        let key = match &slack {
            Some(slack) => slack.id_of(name).into(),
            None if world == "local" => local::token(name).into(),
            None => name.into(),
        };
        let shown = if slack.is_some() { format!("#{name}") } else { name.to_owned() };
        let at = RoomRef { account, key };
        if self.engine.room(&at).await.unwrap().is_none() {
            let settings = serde_json::Value::Null;
            let draft = RoomDraft { key: at.key.clone(), name: shown, site, settings };
            self.engine.add_room(&at.account, &draft).await.unwrap();
        }
        at
    }

    /// Connects two rooms.
    pub async fn tube(&self, a: &str, b: &str) -> Tube {
        self.tube_of([OPERATOR, OPERATOR], a, b).await
    }

    /// Connects two rooms of two owners.
    pub async fn tube_of(&self, owners: [&str; 2], a: &str, b: &str) -> Tube {
        let rooms = [self.room(a).await, self.room(b).await];
        let owners = owners.map(OwnerId::from);
        let [a, b] = &rooms;
        self.engine.connect([&owners[0], &owners[1]], [a, b], MadeBy::Operator).await.unwrap().tube
    }

    /// Opens, pauses or breaks a Tube.
    pub async fn set_tube(&self, tube: &Tube, state: TubeState) {
        self.engine.set_tube(&OPERATOR.into(), &tube.id, state).await.unwrap().expect("there is that Tube");
    }

    /// Removes a Tube.
    pub async fn cut(&self, tube: &Tube) {
        assert!(self.engine.remove_tube(&OPERATOR.into(), &tube.id).await.unwrap());
    }

    /// Changes a room's options.
    pub async fn options(&self, place: &str, change: impl FnOnce(&mut RoomOptions)) -> Room {
        let at = self.room(place).await;
        let mut options = self.engine.room(&at).await.unwrap().unwrap().options;
        change(&mut options);
        self.engine.set_options(&at, options).await.unwrap().unwrap()
    }

    /// What failed for good.
    pub async fn failed(&self) -> Vec<Failed> {
        self.engine.failed(&OPERATOR.into(), None, 1000).await.unwrap()
    }

    /// The census.
    pub async fn census(&self) -> Census {
        self.engine.store().census().await.unwrap()
    }

    /// Time passes: the clock of a store in memory is turned, and what is due then is done. On disk time passes by itself.
    pub async fn pass(&self, time: Duration) {
        if let Some(clock) = &self.turned {
            self.store.quiet().await;
            clock.advance(time);
            self.store.turned();
            self.store.quiet().await;
        }
    }

    /// The clock is turned, and nobody waits for what comes of it.
    pub fn turn(&self, time: Duration) {
        if let Some(clock) = &self.turned {
            clock.advance(time);
            self.store.turned();
        }
    }

    /// Lets time pass until nothing waits any more.
    pub async fn settled(&self) {
        if self.turned.is_none() {
            return self.store.drained().await;
        }
        self.store.quiet().await;
        for _ in 0..3000 {
            if self.store.is_drained().await {
                return;
            }
            self.pass(Duration::from_secs(30)).await;
        }
        panic!("a day has passed and still something waits: {:?}", self.census().await);
    }

    /// The law of conservation holds, and has held after every commit.
    pub async fn law(&self) {
        self.store.law().await;
        self.leaves().await;
    }

    /// Rooms know which rooms next to them have no other Tube, and what these want. Read from the rows themselves.
    pub async fn leaves(&self) {
        let accounts: BTreeSet<AccountId> =
            self.worlds.lock().unwrap().values().map(|world| world.account.clone()).collect();
        let (mut rooms, mut told) = (BTreeMap::new(), BTreeMap::new());
        for account in &accounts {
            for room in self.engine.rooms(account).await.unwrap() {
                let partition = join(&["room", room.at.account.as_str(), room.at.key.as_str()]);
                let mut next = Vec::new();
                for (sort, row) in self.engine.store().query(&partition, "", None, 1000).await.unwrap() {
                    let body: Value = serde_json::from_slice(&row.body).unwrap();
                    if sort.starts_with("tube/") {
                        let tube: Tube = serde_json::from_value(body).unwrap();
                        next.push(tube.across(&room.at).unwrap().0.room.clone());
                    } else if sort.starts_with("leaf/") {
                        let leaf: RoomRef = serde_json::from_value(body["room"].clone()).unwrap();
                        told.insert((room.at.clone(), leaf), body["options"].clone());
                    }
                }
                rooms.insert(room.at.clone(), (next, serde_json::to_value(room.options).unwrap()));
            }
        }
        let is = |(leaf, (next, options)): (&RoomRef, &(Vec<RoomRef>, Value))| match next.as_slice() {
            // A room of an account that is not one of this town's is not looked at.
            [one] if accounts.contains(&one.account) => Some(((one.clone(), leaf.clone()), options.clone())),
            _ => None,
        };
        assert_eq!(told, rooms.iter().filter_map(is).collect(), "leaves are known for what they are");
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
