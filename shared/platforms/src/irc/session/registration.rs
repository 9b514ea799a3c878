//! From an open connection to a ready one: capabilities, nick, MOTD, with the login in between. Nothing is joined before
//! that is settled, so that nobody takes us for an impostor, or an impostor for us.

use sameroom_model::{AccountState, SignedDuration, Timestamp};

use super::super::codec::Line;
use super::super::settings::SERVER_PASSWORD;
use super::link::{End, Sts};
use super::{Conn, IrcSession, Phase, later};

/// How long the way to the end of the MOTD may take.
const REGISTRATION: SignedDuration = SignedDuration::from_secs(30);
/// How long a server may take over a CAP REQ before we go on with what we have.
const NEGOTIATION: SignedDuration = SignedDuration::from_secs(10);

impl IrcSession {
    /// The first lines of a connection.
    pub(super) fn register(&mut self, conn: &mut Conn) {
        self.introduce(conn);
        self.say_now("CAP", &["LS", "302"], None);
        if let Some(password) = self.secrets.get(SERVER_PASSWORD).map(str::to_owned) {
            self.say_now("PASS", &[], Some(&password));
        }
        let nick = conn.nick.clone();
        self.say_now("NICK", &[&nick], None);
        let user: String = self.preferred.chars().filter(char::is_ascii_alphanumeric).take(10).collect();
        let user = if user.is_empty() { "sameroom".to_owned() } else { user.to_ascii_lowercase() };
        let realname = self.settings.realname.clone().unwrap_or_else(|| "Sameroom, a bridge between rooms".to_owned());
        self.say_now("USER", &[&user, "0", "*"], Some(&realname));
    }

    /// `CAP <nick> <LS|ACK|NAK|NEW|DEL> [*] :<capabilities>`.
    pub(super) fn on_cap(&mut self, conn: &mut Conn, line: &Line) {
        let list = line.trailing().to_owned();
        match line.param(1).to_ascii_uppercase().as_str() {
            "LS" => {
                conn.caps.offer(&list);
                let more = line.params.len() > 3 && line.param(2) == "*";
                if !more {
                    self.on_offers(conn);
                }
            }
            "NEW" => {
                conn.caps.offer(&list);
                self.note_sts(conn);
                if conn.over.is_none() && conn.phase == Phase::Ready {
                    self.request(conn, false);
                }
            }
            "DEL" => conn.caps.withdraw(&list),
            "ACK" => {
                conn.caps.ack(&list);
                self.negotiated(conn);
            }
            "NAK" => {
                for single in conn.caps.nak(&list) {
                    self.say_now("CAP", &["REQ"], Some(&single));
                }
                self.negotiated(conn);
            }
            _ => {}
        }
    }

    fn on_offers(&mut self, conn: &mut Conn) {
        self.note_sts(conn);
        if conn.over.is_some() || conn.phase != Phase::Listing {
            return;
        }
        conn.phase = Phase::Asking;
        let sasl = self.login_offered(conn).is_some();
        self.request(conn, sasl);
        self.negotiated(conn);
    }

    fn request(&mut self, conn: &mut Conn, sasl: bool) {
        for names in conn.caps.requests(sasl) {
            self.say_now("CAP", &["REQ"], Some(&names));
        }
    }

    /// A policy of the server that it be reached by TLS: in the clear we go there at once.
    fn note_sts(&mut self, conn: &mut Conn) {
        if conn.caps.value("sts").is_none() {
            return;
        }
        if conn.tls {
            let duration = conn.caps.field("sts", "duration").and_then(|d| d.parse::<i64>().ok());
            let known = self.sts.map(|sts| sts.port);
            let endpoint = self.endpoint.as_ref().ok();
            let port = known.or(endpoint.filter(|endpoint| endpoint.tls).map(|endpoint| endpoint.port));
            if let (Some(seconds), Some(port)) = (duration, port) {
                let lives = SignedDuration::from_secs(seconds.clamp(0, 10 * 366 * 24 * 3600));
                self.sts = (seconds > 0).then(|| Sts { port, expires: Some(later(conn.opened, lives)) });
            }
        } else if let Some(port) = conn.caps.field("sts", "port").and_then(|port| port.parse().ok()) {
            self.sts = Some(Sts { port, expires: None });
            conn.over = Some(End::Secure);
        }
    }

    /// Goes on once every request was answered.
    fn negotiated(&mut self, conn: &mut Conn) {
        if conn.phase != Phase::Asking || !conn.caps.settled() {
            return;
        }
        match self.login_offered(conn).filter(|_| conn.caps.on("sasl")) {
            Some(mechanism) => self.authenticate(conn, mechanism),
            None if self.settings.sasl.is_some() => self.no_sasl(conn),
            None => self.end_negotiation(conn),
        }
    }

    pub(super) fn end_negotiation(&mut self, conn: &mut Conn) {
        conn.phase = Phase::Welcome;
        self.say_now("CAP", &["END"], None);
    }

    /// `001 <our nick> :Welcome…`.
    pub(super) fn on_welcome(&mut self, conn: &mut Conn, line: &Line) {
        if !matches!(conn.phase, Phase::Listing | Phase::Asking | Phase::Authenticating | Phase::Welcome) {
            return;
        }
        if !line.param(0).is_empty() && line.param(0) != "*" {
            line.param(0).clone_into(&mut conn.nick);
        }
        if conn.nick_tries == 0 && conn.nick != self.preferred && self.preferred.starts_with(&conn.nick) {
            // The server cut it, and would cut it again: it is what we want here.
            self.settings.user = Some(self.account_name());
            self.preferred.clone_from(&conn.nick);
        }
        // Many servers end the welcome with our mask.
        if let Some((nick, mask)) = line.trailing().rsplit(' ').next().and_then(|word| word.split_once('!'))
            && conn.is_me(nick)
        {
            conn.learn_mask(mask);
        }
        if self.welcomed_unproven(conn) {
            return;
        }
        if self.settings.sasl.is_some() && conn.login.by.is_none() {
            // The server has no CAP at all, or did not wait for us.
            self.no_sasl(conn);
            return;
        }
        conn.phase = Phase::Motd;
    }

    /// `376` or `422`: everything that a server says by itself was said.
    pub(super) fn on_motd_end(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.phase != Phase::Motd {
            return;
        }
        if !self.identify(conn, now) {
            self.ready(conn, now);
        }
    }

    /// `464`: the server password is wrong or missing.
    pub(super) fn on_bad_password(&mut self, conn: &mut Conn, _line: &Line) {
        let why = if self.is_introduced() {
            "it does not take the gateway's password: give the right one as webirc=env:NAME".to_owned()
        } else {
            format!("{} wants a server password: give the right one as server_password=env:NAME", self.place())
        };
        conn.over = Some(End::Wrong(why));
    }

    /// `465`, `466`: we are banned, or about to be. The ERROR that follows would say it less clearly.
    pub(super) fn on_banned(&mut self, conn: &mut Conn, line: &Line) {
        let said: String = line.trailing().chars().filter(|c| !c.is_control()).take(200).collect();
        let why = format!("{} bars us ({said}): ask its operators; tried again in hours", self.place());
        conn.over = Some(End::Barred(why));
    }

    /// `421 <nick> <command> :Unknown command`.
    pub(super) fn on_unknown_command(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        if line.param(1).eq_ignore_ascii_case("CAP") && conn.phase == Phase::Listing {
            conn.phase = Phase::Welcome;
        }
        self.on_unknown_delivery_command(conn, line, now);
    }

    /// `451 <nick> [command] :You have not registered`. Before the welcome old servers say so of CAP; after it, the
    /// server has forgotten us, and all is begun anew.
    pub(super) fn on_not_registered(conn: &mut Conn) {
        if matches!(conn.phase, Phase::Motd | Phase::Identifying { .. } | Phase::Ready) {
            conn.over = Some(End::Network("it has forgotten that we registered".to_owned()));
        }
    }

    /// Channels are joined, messages flow.
    pub(super) fn ready(&mut self, conn: &mut Conn, now: Timestamp) {
        conn.phase = Phase::Ready;
        self.parked = None;
        self.tell_identity(conn);
        self.tell_state(AccountState::Ok);
        if let Some(persona) = &mut self.persona {
            persona.welcomed = true;
        } else if let Some(bot) = conn.isupport.bot {
            let nick = conn.nick.clone();
            conn.control("MODE", &[&nick, &format!("+{bot}")], None);
        }
        self.watch_nick(conn, now);
        self.join_all(conn, now);
    }

    pub(super) fn registration_tick(&mut self, conn: &mut Conn, now: Timestamp) {
        match conn.phase {
            Phase::Ready => {}
            Phase::Identifying { until } => {
                if now >= until {
                    self.ready(conn, now);
                }
            }
            phase => {
                let passed = now.duration_since(conn.opened);
                if passed >= REGISTRATION {
                    conn.over = Some(End::Network("it did not let us in within 30 seconds".to_owned()));
                } else if passed >= NEGOTIATION && phase == Phase::Asking {
                    // A request that is never answered must not keep us out.
                    conn.caps.give_up();
                    self.negotiated(conn);
                }
            }
        }
    }
}

impl Conn {
    pub(super) fn registration_wakes(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Ready => None,
            Phase::Identifying { until } => Some(until),
            Phase::Asking => Some(later(self.opened, NEGOTIATION)),
            _ => Some(later(self.opened, REGISTRATION)),
        }
    }

    /// Our own `user@host`, as others see it.
    pub(super) fn learn_mask(&mut self, mask: &str) {
        if let Some((user, host)) = mask.split_once('@')
            && !user.is_empty()
            && !host.is_empty()
        {
            self.user = Some(user.to_owned());
            self.host = Some(host.to_owned());
        }
    }

    /// `396 <nick> <host> :is now your displayed host`; some give `user@host`.
    pub(super) fn visible_host(&mut self, text: &str) {
        match text.split_once('@') {
            Some(_) => self.learn_mask(text),
            None if !text.is_empty() => self.host = Some(text.to_owned()),
            None => {}
        }
    }
}

impl IrcSession {
    /// `396`: our host as others see it has changed.
    pub(super) fn on_visible_host(conn: &mut Conn, line: &Line) {
        let host = line.param(1).to_owned();
        conn.visible_host(&host);
    }

    /// `:nick!user@host CHGHOST <user> <host>`.
    pub(super) fn on_chghost(conn: &mut Conn, line: &Line) {
        if line.nick().is_some_and(|nick| conn.is_me(nick)) {
            conn.learn_mask(&format!("{}@{}", line.param(0), line.param(1)));
        }
    }
}
