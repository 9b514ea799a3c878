//! A world of IRC: a small server (RFC 1459 and 2812, and `CAP`), with one real connection to it, ours, and people who
//! are part of the model. It keeps what every channel heard. It is no proof about real servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use sameroom_platforms::{Draft, by_name};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{lines, stir, until};

/// What the server is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// It knows no capabilities.
    Plain,
    /// It has `echo-message`, `labeled-response`, `message-tags` and `server-time`.
    Modern,
}

/// The capabilities of [`Server::Modern`].
const MODERN: &str = "echo-message labeled-response message-tags server-time batch";

/// A world of IRC and its channels.
#[derive(Clone)]
pub struct Irc {
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    server: Server,
    state: Mutex<State>,
    stirred: watch::Sender<u64>,
    serving: Mutex<Option<JoinHandle<()>>>,
    cut: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    channels: BTreeMap<String, Channel>,
    clients: BTreeMap<u64, Client>,
    next: u64,
    /// Every line that clients sent, as it came.
    lines: Vec<String>,
}

#[derive(Default)]
struct Channel {
    members: BTreeSet<u64>,
    people: BTreeSet<String>,
    heard: Vec<String>,
    asked_for: BTreeSet<usize>,
    banned: bool,
    key: Option<String>,
    invite_only: bool,
}

struct Client {
    out: mpsc::UnboundedSender<String>,
    nick: String,
    user: bool,
    listing: bool,
    welcomed: bool,
    caps: bool,
}

impl Irc {
    pub(super) async fn open(server: Server) -> (Self, Draft) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("irc://bridge@{address}/?burst=1000&rate=0#x");
        let draft = by_name("irc").unwrap().locate(&url.parse().unwrap()).unwrap().account;
        let shared = Arc::new(Shared {
            address,
            server,
            state: Mutex::default(),
            stirred: watch::Sender::new(0),
            serving: Mutex::default(),
            cut: watch::Sender::new(0),
        });
        let irc = Self { shared };
        irc.serve(listener);
        (irc, draft)
    }

    /// Waits until we are in a channel.
    pub async fn is_joined(&self, channel: &str) {
        let joined =
            || self.state().channels.get(channel).is_some_and(|channel| !channel.members.is_empty()).then_some(());
        until(&self.shared.stirred, joined, || format!("us to join {channel}; we sent{}", lines(&self.state().lines)))
            .await;
    }

    /// Somebody writes something in a channel, once we are in it.
    pub async fn says(&self, who: &str, channel: &str, text: &str) {
        self.is_joined(channel).await;
        let mut state = self.state();
        let room = state.channels.get_mut(channel).unwrap();
        let came = room.people.insert(who.to_owned());
        room.heard.push(format!("{who}: {text}"));
        let at = room.heard.len() - 1;
        room.asked_for.insert(at);
        if came {
            state.tells(channel, &format!(":{who}!{who}@example.org JOIN {channel}"));
        }
        state.tells(channel, &format!(":{who}!{who}@example.org PRIVMSG {channel} :{text}"));
    }

    /// Somebody does something in a channel: a command and what follows the channel's name.
    pub fn does(&self, who: &str, channel: &str, command: &str, rest: &str) {
        self.state().tells(channel, &format!(":{who}!{who}@example.org {command} {channel} {rest}"));
    }

    /// Somebody takes another nick.
    pub fn renames(&self, who: &str, channel: &str, to: &str) {
        self.state().tells(channel, &format!(":{who}!{who}@example.org NICK :{to}"));
    }

    /// Somebody quits.
    pub fn quits(&self, who: &str, channel: &str, why: &str) {
        self.state().tells(channel, &format!(":{who}!{who}@example.org QUIT :{why}"));
    }

    /// We are kicked.
    pub fn kicks_us(&self, channel: &str, why: &str) {
        let mut state = self.state();
        let nick = state.clients.values().next().unwrap().nick.clone();
        state.tells(channel, &format!(":op!op@example.org KICK {channel} {nick} :{why}"));
        state.channels.get_mut(channel).unwrap().members.clear();
    }

    /// We are banned from talking and joining, or no more.
    pub fn bans_us(&self, channel: &str, banned: bool) {
        self.state().channels.entry(channel.to_owned()).or_default().banned = banned;
    }

    /// Waits until a channel hears a line by us, not heard before: `<ann> hi`, or a notice's words.
    pub async fn hears(&self, channel: &str, line: &str) {
        let line = format!("bridge: {line}");
        let look = || {
            let mut state = self.state();
            let room = state.channels.get_mut(channel)?;
            let Channel { heard, asked_for, .. } = room;
            let at = heard.iter().enumerate().position(|(at, said)| plain(said) == line && !asked_for.contains(&at))?;
            asked_for.insert(at).then_some(())
        };
        until(&self.shared.stirred, look, || {
            format!("{channel} to hear `{line}`; it heard{}", lines(self.heard(channel)))
        })
        .await;
    }

    /// Waits until a channel hears a line by us, not heard before, that holds these words.
    pub async fn hears_what(&self, channel: &str, words: &str) -> String {
        let look = || {
            let mut state = self.state();
            let Channel { heard, asked_for, .. } = state.channels.get_mut(channel)?;
            let ours = |said: &str| said.starts_with("bridge: ") && plain(said).contains(words);
            let at = heard.iter().enumerate().position(|(at, said)| ours(said) && !asked_for.contains(&at))?;
            asked_for.insert(at);
            Some(plain(&heard[at])["bridge: ".len()..].to_owned())
        };
        until(&self.shared.stirred, look, || {
            format!("{channel} to hear something with `{words}`; it heard{}", lines(self.heard(channel)))
        })
        .await
    }

    /// All that a channel heard, `who: words`, zero-width characters left out.
    pub fn heard(&self, channel: &str) -> Vec<String> {
        self.state()
            .channels
            .get(channel)
            .map(|room| room.heard.iter().map(|said| plain(said)).collect())
            .unwrap_or_default()
    }

    /// What a channel heard by us.
    pub fn ours(&self, channel: &str) -> Vec<String> {
        let heard = self.heard(channel);
        heard.into_iter().filter_map(|said| said.strip_prefix("bridge: ").map(str::to_owned)).collect()
    }

    /// Every line that we sent, as it came.
    pub fn sent(&self) -> Vec<String> {
        self.state().lines.clone()
    }

    /// Cuts our connection.
    pub fn cuts(&self) {
        stir(&self.shared.cut);
    }

    /// Closes the port and our connection.
    pub async fn down(&self) {
        let serving = self.shared.serving.lock().unwrap().take().expect("it is up");
        serving.abort();
        let _ = serving.await;
        self.cuts();
    }

    /// Opens the port again.
    pub async fn up(&self) {
        self.serve(TcpListener::bind(self.shared.address).await.unwrap());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    fn serve(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(shared.clone(), stream));
            }
        });
        *self.shared.serving.lock().unwrap() = Some(serving);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.lock().unwrap().take() {
            serving.abort();
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    let (out, mut to_send) = mpsc::unbounded_channel::<String>();
    let id = {
        let mut state = shared.state.lock().unwrap();
        state.next += 1;
        let id = state.next;
        let client = Client { out, nick: "*".into(), user: false, listing: false, welcomed: false, caps: false };
        state.clients.insert(id, client);
        id
    };
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read).split(b'\n');
    let mut cut = shared.cut.subscribe();
    loop {
        tokio::select! {
            line = read.next_segment() => {
                let Ok(Some(line)) = line else { break };
                let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                let mut state = shared.state.lock().unwrap();
                state.lines.push(line.clone());
                state.takes(id, &line, shared.server);
                drop(state);
                stir(&shared.stirred);
            }
            line = to_send.recv() => {
                let Some(line) = line else { break };
                if write.write_all(format!("{line}\r\n").as_bytes()).await.is_err() { break }
            }
            _ = cut.changed() => break,
        }
    }
    let mut state = shared.state.lock().unwrap();
    state.clients.remove(&id);
    for channel in state.channels.values_mut() {
        channel.members.remove(&id);
    }
    drop(state);
    stir(&shared.stirred);
}

impl State {
    fn takes(&mut self, id: u64, line: &str, server: Server) {
        let (tags, rest) = match line.strip_prefix('@') {
            Some(tagged) => tagged.split_once(' ').unwrap_or((tagged, "")),
            None => ("", line),
        };
        let label = tags.split(';').find_map(|tag| tag.strip_prefix("label=")).unwrap_or_default();
        let (head, trailing) = rest.split_once(" :").map_or((rest, None), |(head, trailing)| (head, Some(trailing)));
        let mut params: Vec<&str> = head.split_ascii_whitespace().chain(trailing).collect();
        if params.is_empty() {
            return;
        }
        let command = params.remove(0).to_ascii_uppercase();
        let param = |at: usize| params.get(at).copied().unwrap_or_default();
        let Some(client) = self.clients.get_mut(&id) else { return };
        let nick = client.nick.clone();
        match (command.as_str(), param(0)) {
            ("CAP", "LS") if server == Server::Modern => {
                client.listing = true;
                client.says(&format!("CAP * LS :{MODERN}"));
            }
            ("CAP", "REQ") => {
                client.caps = true;
                client.says(&format!("CAP * ACK :{}", param(1)));
            }
            ("CAP", "END") => {
                client.listing = false;
                self.welcome(id);
            }
            ("CAP", _) => client.says(&format!("421 {nick} CAP :Unknown command")),
            ("NICK", new) => {
                let old = std::mem::replace(&mut client.nick, new.to_owned());
                if client.welcomed {
                    let line = format!("{old}!bridge@127.0.0.1 NICK :{new}");
                    let _ = client.out.send(format!(":{line}"));
                }
                self.welcome(id);
            }
            ("USER", _) => {
                client.user = true;
                self.welcome(id);
            }
            ("PING", token) => {
                let label = if label.is_empty() { String::new() } else { format!("@label={label} ") };
                let _ = client.out.send(format!("{label}:model.example PONG model.example :{token}"));
            }
            ("JOIN", names) => {
                let (names, keys): (Vec<String>, Vec<String>) =
                    (names.split(',').map(str::to_owned).collect(), param(1).split(',').map(str::to_owned).collect());
                for (at, name) in names.iter().enumerate() {
                    self.join(id, name, keys.get(at).map_or("", String::as_str));
                }
            }
            ("PART", name) => {
                let gone = format!(":{nick}!bridge@127.0.0.1 PART {name}");
                self.tells(name, &gone);
                self.channels.entry(name.to_owned()).or_default().members.remove(&id);
            }
            ("PRIVMSG" | "NOTICE", name) => self.said(id, &command, name, param(1), label),
            ("QUIT", _) => client.says("ERROR :Bye"),
            ("MODE", name) if name.starts_with('#') => client.says(&format!("324 {nick} {name} +nt")),
            ("WHO", name) => client.says(&format!("315 {nick} {name} :End of WHO list")),
            ("MODE" | "PONG" | "PASS" | "AWAY", _) => {}
            (other, _) => client.says(&format!("421 {nick} {other} :Unknown command")),
        }
    }

    fn welcome(&mut self, id: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.welcomed || client.listing || !client.user || client.nick == "*" {
            return;
        }
        client.welcomed = true;
        let nick = client.nick.clone();
        for line in
            ["001 {} :Welcome", "005 {} CHANTYPES=# CASEMAPPING=ascii NETWORK=Model :are supported", "422 {} :No MOTD"]
        {
            client.says(&line.replace("{}", &nick));
        }
    }

    fn join(&mut self, id: u64, name: &str, key: &str) {
        let channel = self.channels.entry(name.to_owned()).or_default();
        let client = &self.clients[&id];
        let nick = client.nick.clone();
        let wrong = channel.key.as_ref().is_some_and(|wanted| wanted != key);
        let (code, why) = match () {
            () if channel.banned => ("474", "Cannot join channel (+b)"),
            () if wrong => ("475", "Cannot join channel (+k)"),
            () if channel.invite_only => ("473", "Cannot join channel (+i)"),
            () => {
                channel.members.insert(id);
                let people: Vec<&str> = channel.people.iter().map(String::as_str).chain([nick.as_str()]).collect();
                let _ = client.out.send(format!(":{nick}!bridge@127.0.0.1 JOIN {name}"));
                client.says(&format!("353 {nick} = {name} :{}", people.join(" ")));
                client.says(&format!("366 {nick} {name} :End of NAMES list"));
                return;
            }
        };
        client.says(&format!("{code} {nick} {name} :{why}"));
    }

    fn said(&mut self, id: u64, command: &str, name: &str, text: &str, label: &str) {
        let client = &self.clients[&id];
        let nick = client.nick.clone();
        let channel = self.channels.entry(name.to_owned()).or_default();
        let tags = if label.is_empty() { String::new() } else { format!("@label={label} ") };
        if channel.banned || !channel.members.contains(&id) {
            let _ = client.out.send(format!("{tags}:model.example 404 {nick} {name} :Cannot send to channel"));
            return;
        }
        channel.heard.push(format!("{nick}: {text}"));
        let line = format!(":{nick}!bridge@127.0.0.1 {command} {name} :{text}");
        let msgid = format!("m{}", channel.heard.len());
        for member in &channel.members {
            let Some(other) = self.clients.get(member) else { continue };
            if *member != id {
                let _ = other.out.send(line.clone());
            } else if other.caps {
                let label = if label.is_empty() { String::new() } else { format!("label={label};") };
                let _ = other.out.send(format!("@{label}msgid={msgid};time=2026-06-01T12:00:00.000Z {line}"));
            }
        }
    }

    fn tells(&mut self, channel: &str, line: &str) {
        let Some(channel) = self.channels.get(channel) else { return };
        for member in &channel.members {
            if let Some(client) = self.clients.get(member) {
                let _ = client.out.send(line.to_owned());
            }
        }
    }
}

impl Client {
    fn says(&self, line: &str) {
        let _ = self.out.send(format!(":model.example {line}"));
    }
}

fn plain(line: &str) -> String {
    line.chars().filter(|c| *c != '\u{200B}').collect()
}
