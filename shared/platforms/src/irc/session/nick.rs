//! Our nick: another when it is taken, and the way back to the one that we want.

use sameroom_model::{SignedDuration, Timestamp};

use super::super::codec::Line;
use super::super::sasl::Mechanism;
use super::super::settings::PASSWORD;
use super::link::End;
use super::{Conn, IrcSession, Phase, later};

/// How often the preferred nick is tried for; longer each time, up to five minutes.
const RETRY: SignedDuration = SignedDuration::from_secs(60);
/// How long services may take to free a nick.
const FREED: SignedDuration = SignedDuration::from_secs(3);
/// How many nicks are tried before a connection is given up.
const TRIES: u32 = 16;

impl IrcSession {
    /// `432`, `433`, `436`, `437`: the nick that we asked for can't be had.
    pub(super) fn on_nick_refused(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        if matches!(conn.phase, Phase::Motd | Phase::Identifying { .. } | Phase::Ready) {
            // We keep the nick that we have, and try again later.
            if conn.regain_at.is_none() {
                self.plan_regain(conn, now);
            }
            return;
        }
        conn.nick_tries += 1;
        if conn.nick_tries > TRIES {
            if let Some(persona) = &mut self.persona {
                persona.nameless = true;
            }
            conn.over = Some(End::Refused { why: "it takes none of our nicks".to_owned(), wait: 60_000 });
            return;
        }
        let bad = line.command == "432";
        let nick = self.alternative(conn.nick_tries, conn.isupport.nicklen, bad);
        self.say_now("NICK", &[&nick], None);
        conn.nick = nick;
    }

    /// `nick_`, `nick__`, `nick1` … `nick9`, then random ones; shortened for servers with short nicks.
    fn alternative(&mut self, tries: u32, longest: Option<usize>, bad: bool) -> String {
        // The server has not told its limit before 001: nine is what RFC 1459 gives, and none gives less.
        let max = longest.unwrap_or(if bad || tries > 3 { 9 } else { 64 });
        let tail = match tries {
            1 if bad && self.preferred.len() > max => String::new(),
            1 => "_".to_owned(),
            2 => "__".to_owned(),
            3..=11 => (tries - 2).to_string(),
            _ => (self.random.next() % 100_000).to_string(),
        };
        // After some that were called bad, it is the base that the server does not like.
        let base = if bad && tries > 3 { "sr" } else { &self.preferred };
        let kept: String = base.chars().take(max.saturating_sub(tail.len()).max(1)).collect();
        kept + &tail
    }

    /// Once ready: if ours is not the nick that we want, sees to getting it.
    pub(super) fn watch_nick(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.nick == self.preferred {
            return;
        }
        conn.nick_tries = 0;
        let preferred = self.preferred.clone();
        if conn.isupport.monitor {
            conn.control("MONITOR", &["+", &preferred], None);
        }
        // Who proved to know the password without telling it does not tell it now.
        let told = conn.login.by != Some(Mechanism::Scram);
        let password = self.secrets.get(PASSWORD).filter(|_| told).map(str::to_owned);
        // Who is logged in may take the nick from a session that is no more: most often our own, of before.
        if let (Some(password), true) = (password, conn.logged_in.is_some()) {
            conn.control("PRIVMSG", &["NickServ"], Some(&format!("GHOST {preferred} {password}")));
            conn.regain_at = Some(later(now, FREED));
        } else if conn.logged_in.is_some() {
            conn.control("PRIVMSG", &["NickServ"], Some(&format!("GHOST {preferred}")));
            conn.regain_at = Some(later(now, FREED));
        } else {
            self.plan_regain(conn, now);
        }
    }

    fn plan_regain(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.nick != self.preferred {
            let wait = RETRY * i32::try_from(conn.nick_tries.clamp(1, 5)).unwrap_or(1);
            conn.nick_tries += 1;
            conn.regain_at = Some(later(now, wait));
        }
    }

    /// The preferred nick may be free: take it.
    fn regain(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.nick != self.preferred && conn.phase == Phase::Ready {
            let preferred = self.preferred.clone();
            conn.control("NICK", &[&preferred], None);
            // Should no answer come, the timer tries again.
            self.plan_regain(conn, now);
        }
    }

    pub(super) fn nick_tick(&mut self, conn: &mut Conn, now: Timestamp) {
        if conn.regain_at.is_some_and(|at| now >= at) {
            conn.regain_at = None;
            self.regain(conn, now);
        }
    }

    pub(super) fn nick_wakes(&self, conn: &Conn) -> Option<Timestamp> {
        conn.regain_at.filter(|_| conn.nick != self.preferred)
    }

    /// `731 <nick> :target[,target]`: somebody we watch has gone.
    pub(super) fn on_monitor_gone(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        let gone = line.trailing().split(',').any(|nick| {
            let nick = nick.split('!').next().unwrap_or(nick);
            conn.isupport.same(nick, &self.preferred)
        });
        if gone {
            self.regain(conn, now);
        }
    }

    /// Somebody gave up a nick: if it is the one we want, take it.
    pub(super) fn nick_freed(&mut self, conn: &mut Conn, nick: &str, now: Timestamp) {
        if conn.nick != self.preferred && conn.isupport.same(nick, &self.preferred) {
            self.regain(conn, now);
        }
    }

    /// Our nick has changed, by our wish or the server's.
    pub(super) fn renamed(&mut self, conn: &mut Conn, nick: &str, now: Timestamp) {
        nick.clone_into(&mut conn.nick);
        self.tell_identity(conn);
        if conn.nick == self.preferred {
            conn.regain_at = None;
            if conn.isupport.monitor {
                let preferred = self.preferred.clone();
                conn.control("MONITOR", &["-", &preferred], None);
            }
        } else if conn.phase == Phase::Ready && conn.regain_at.is_none() {
            self.plan_regain(conn, now);
        }
    }
}
