//! What a connection of one person's own does otherwise than the account's: it says who stands behind it, speaks, and
//! tells nothing. And what the account's connection has to know of those. It must not know how many there are, or when
//! one is opened: that is the [`puppets`](super::puppets)' to decide.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use sameroom_model::{Opened, RoomKey, Secrets, SignedDuration, Timestamp};

use super::super::codec::{self, LINE_MAX, Line};
use super::super::isupport::Casemapping;
use super::super::nicks::{Shape, nick_of};
use super::super::settings::{CA, SERVER_PASSWORD, WEBIRC, channel_key};
use super::link::{End, Sts};
use super::sending::Pending;
use super::{Conn, IrcSession, Phase, later};

/// How long after somebody was told that private words reach nobody they are told again.
const TOLD: SignedDuration = SignedDuration::from_mins(10);
/// How many people are remembered for that.
const TOLD_MAX: usize = 50;
/// For how long a nick of ours stays one after its connection is gone: what it said last may come in later.
const LINGER: SignedDuration = SignedDuration::from_mins(5);
/// The character before the suffix of a nick.
const SIGN: char = '|';

/// Who a connection is for.
pub(super) struct Persona {
    /// How they are shown.
    shown: String,
    /// The gateway's password, and the address that stands for this person.
    webirc: Option<(String, Ipv6Addr)>,
    /// People who were told that private words reach nobody, and when.
    told: BTreeMap<String, Timestamp>,
    /// Whether it came as far as channels.
    pub(super) welcomed: bool,
    /// Whether the server took none of its nicks.
    pub(super) nameless: bool,
    /// Why it has ended.
    pub(super) over: Option<End>,
}

/// Nicks of ours beside that of the account's own connection, folded.
#[derive(Default)]
pub(super) struct Kin(BTreeMap<String, Relation>);

/// Since when a nick is ours, or was.
#[derive(Default)]
struct Relation {
    /// How many connections have it: for a moment the next has what the last has not given up.
    live: u32,
    /// Until when it counts as ours though none has it.
    until: Option<Timestamp>,
}

/// Somebody, as they are to be seen.
pub(super) struct Introduced {
    /// The nick to ask for.
    pub(super) nick: String,
    /// How they are shown elsewhere, on one line.
    pub(super) shown: String,
    /// The address that stands for them.
    pub(super) address: Ipv6Addr,
}

/// How one connection stands with a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It can be spoken in.
    In,
    /// Not yet.
    Waiting,
    /// Not before something changes there, or the channel is none of its.
    Out,
}

impl Kin {
    /// Whether a folded nick is ours.
    pub(super) fn has(&self, nick: &str, now: Timestamp) -> bool {
        self.0.get(nick).is_some_and(|relation| relation.holds(now))
    }

    /// A connection has it, from now on.
    pub(super) fn came(&mut self, nick: String, now: Timestamp) {
        self.0.retain(|_, relation| relation.holds(now));
        self.0.entry(nick).or_default().live += 1;
    }

    /// A connection has it no more, and what it said is still on its way.
    pub(super) fn gone(&mut self, nick: String, now: Timestamp) {
        let relation = self.0.entry(nick).or_default();
        relation.live = relation.live.saturating_sub(1);
        relation.until = Some(later(now, LINGER));
    }

    /// A connection is said to have it, and may tell us later.
    pub(super) fn promised(&mut self, nick: String, now: Timestamp) {
        self.0.entry(nick).or_default().until = Some(later(now, LINGER));
    }
}

impl Relation {
    fn holds(&self, now: Timestamp) -> bool {
        self.live > 0 || self.until.is_some_and(|until| now < until)
    }
}

impl IrcSession {
    /// The connection of one person: on the account's server, without its login.
    pub(super) fn of_person(account: &Opened, bot: &Self, who: Introduced, seed: u128) -> Self {
        let Introduced { nick, shown, address } = who;
        let mut opened = account.clone();
        opened.secrets = Secrets::default();
        for name in [SERVER_PASSWORD, CA] {
            if let Some(secret) = account.secrets.get(name) {
                opened.secrets.set(name, secret);
            }
        }
        opened.account.identity.name = nick;
        let mut person = Self::new(&opened, seed);
        person.settings.sasl = None;
        person.settings.user = None;
        person.settings.nickserv = false;
        let by = bot.told_identity.as_ref().map_or(bot.preferred.as_str(), |identity| identity.name.as_str());
        person.settings.realname = Some(format!("{shown}, by way of {by}"));
        // However old it is: where the bot was led, nobody goes in the clear.
        person.sts = bot.sts.map(|sts| Sts { expires: None, ..sts });
        person.persona = Some(Persona {
            shown,
            webirc: account.secrets.get(WEBIRC).map(|password| (password.to_owned(), address)),
            told: BTreeMap::new(),
            welcomed: false,
            nameless: false,
            over: None,
        });
        person
    }

    /// Says whose connection it is, first of all (<https://ircv3.net/specs/extensions/webirc>).
    pub(super) fn introduce(&mut self, conn: &mut Conn) {
        let Some((password, address)) = self.persona.as_ref().and_then(|persona| persona.webirc.clone()) else {
            return;
        };
        let address = address.to_string();
        match codec::line(&[], "WEBIRC", &[&password, "sameroom", &address, &address], None, LINE_MAX) {
            Ok(line) => self.write(line),
            Err(_) => {
                let why = "the gateway's password is not one word: give the right one as webirc=env:NAME";
                conn.over = Some(End::Wrong(why.to_owned()));
            }
        }
    }

    /// What others say. In channels it is the account's connection that hears it; in private nobody does, and whoever
    /// says it is told so. Notices are never answered (RFC 2812 §3.3.2).
    pub(super) fn on_private(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let Some(persona) = &mut self.persona else { return };
        let person = line.source.as_ref().is_some_and(|source| source.user.is_some());
        let words = line.command == "PRIVMSG" && !line.trailing().starts_with('\u{1}');
        let (Some(nick), true) = (line.nick(), person && words && conn.is_me(line.param(0))) else { return };
        let folded = conn.isupport.fold(nick);
        persona.told.retain(|_, at| now.duration_since(*at) < TOLD);
        if persona.told.len() < TOLD_MAX && persona.told.insert(folded, now).is_none() {
            let words = format!(
                "I pass on what {} writes elsewhere. What is said to me in private reaches nobody: say it in the channel.",
                persona.shown
            );
            conn.control("NOTICE", &[nick], Some(&words));
        }
    }

    /// Whether it has ended, and is not opened again.
    pub(super) fn is_over(&self) -> bool {
        self.persona.as_ref().is_some_and(|persona| persona.over.is_some())
    }

    /// Whether it says whose connection it is.
    pub(super) fn is_introduced(&self) -> bool {
        self.persona.as_ref().is_some_and(|persona| persona.webirc.is_some())
    }

    /// Why it has ended.
    pub(super) fn take_end(&mut self) -> Option<End> {
        self.persona.as_mut()?.over.take()
    }

    /// Whether it came as far as channels.
    pub(super) fn is_welcome(&self) -> bool {
        self.persona.as_ref().is_some_and(|persona| persona.welcomed)
    }

    /// Whether the server took none of its nicks.
    pub(super) fn is_nameless(&self) -> bool {
        self.persona.as_ref().is_some_and(|persona| persona.nameless)
    }

    /// How it stands with a channel.
    pub(super) fn stands(&self, room: &RoomKey) -> Stands {
        let channel = self.channels.iter().find(|channel| channel.key == *room);
        match channel {
            Some(channel) if self.parked.is_none() && channel.blocked().is_none() => match &self.conn {
                Some(conn) if conn.phase == Phase::Ready && channel.joined() => Stands::In,
                _ => Stands::Waiting,
            },
            _ => Stands::Out,
        }
    }

    /// The key of a channel, as far as it is known.
    pub(super) fn key_to(&self, room: &RoomKey) -> Option<String> {
        let channel = self.channels.iter().find(|channel| channel.key == *room)?;
        channel.password.clone().or_else(|| self.secrets.get(&channel_key(room.as_str())).map(str::to_owned))
    }

    /// A channel's key, before the channel is joined.
    pub(super) fn learn_key(&mut self, room: &RoomKey, key: String) {
        self.secrets.set(channel_key(room.as_str()), key);
    }

    /// Our nick, folded, as far as the server has given us one.
    pub(super) fn folded_nick(&self) -> Option<String> {
        let conn = self.conn.as_ref()?;
        let given = matches!(conn.phase, Phase::Motd | Phase::Identifying { .. } | Phase::Ready);
        given.then(|| conn.isupport.fold(&conn.nick))
    }

    /// Whether a nick looks like one of ours: of those of an earlier run nothing else is known.
    pub(super) fn looks_like_kin(&self, nick: &str) -> bool {
        let tail = nick.rsplit_once(SIGN).and_then(|(_, tail)| tail.strip_prefix(self.settings.relay_suffix.as_str()));
        self.settings.puppets > 0 && tail.is_some_and(|rest| rest.bytes().all(|b| b == b'_' || b.is_ascii_digit()))
    }

    /// Whether channels are open to it.
    pub(super) fn is_ready(&self) -> bool {
        self.conn.as_ref().is_some_and(|conn| conn.phase == Phase::Ready)
    }

    /// The nick that stands for somebody here.
    pub(super) fn nick_for(&self, shown: &str) -> Option<String> {
        let isupport = &self.conn.as_ref()?.isupport;
        let shape = Shape {
            sign: SIGN,
            suffix: &self.settings.relay_suffix,
            // Where the server does not say: what RFC 2812 §1.2.1 gives.
            max: isupport.nicklen.unwrap_or(9),
            unicode: isupport.casemapping == Casemapping::Unicode,
        };
        nick_of(shown, shape)
    }

    /// Whether what was last to be said in a channel can't be said over this connection.
    pub(super) fn gives_up(&self, room: &RoomKey) -> bool {
        self.channels.iter().find(|channel| channel.key == *room).is_none_or(|channel| {
            let out = channel.mute || !channel.joined();
            channel.queue.iter().any(|pending| !pending.under_way() && (out || pending.handed_back))
        })
    }

    /// Whether it may not speak in a channel at all.
    pub(super) fn is_mute(&self, room: &RoomKey) -> bool {
        self.channels.iter().any(|channel| channel.key == *room && (channel.mute || !channel.joined()))
    }

    /// Takes back what was to be said in a channel.
    pub(super) fn take_back(&mut self, room: &RoomKey) -> Option<Pending> {
        let channel = self.channels.iter_mut().find(|channel| channel.key == *room)?;
        channel.mute = false;
        channel.queue.pop_front()
    }

    /// Goes on with what another connection began.
    pub(super) fn go_on_with(&mut self, mut pending: Pending) -> Result<(), Pending> {
        let room = &pending.delivery.lane.to.key;
        match self.channels.iter_mut().find(|channel| channel.key == *room) {
            Some(channel) if !self.stopped => {
                pending.handed_back = false;
                pending.disconnected();
                channel.queue.push_back(pending);
                Ok(())
            }
            _ => Err(pending),
        }
    }
}
