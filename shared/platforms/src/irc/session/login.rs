//! Logging in: by SASL before the negotiation ends; by NickServ after the MOTD, where there is no SASL. What can't be
//! proven is not claimed: a refused login ends the connection. It must not know how mechanisms make their messages.

use sameroom_model::{SignedDuration, Timestamp};

use super::super::codec::Line;
use super::super::sasl::scram::{Fault, Scram};
use super::super::sasl::{self, Gathered, Mechanism};
use super::super::settings::PASSWORD;
use super::link::End;
use super::{Conn, IrcSession, Phase, later};

/// How long NickServ may take.
const IDENTIFY: SignedDuration = SignedDuration::from_secs(10);
/// How long after one attempt NickServ is told our password again, where a channel wants it.
const IDENTIFY_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// How far the login of one connection has come.
#[derive(Default)]
pub(super) struct Login {
    /// By which mechanism we are logged in.
    pub(super) by: Option<Mechanism>,
    /// The mechanisms that `908` named. Before one came, those of the capability count.
    told: Option<String>,
    tried: Vec<Mechanism>,
    exchange: Option<Exchange>,
    /// When NickServ was last told our password.
    identified: Option<Timestamp>,
}

/// A SASL exchange under way.
struct Exchange {
    mechanism: Mechanism,
    gathered: Gathered,
    scram: Option<Scram>,
    /// Whether the server has proven itself, where the mechanism asks it to.
    proven: bool,
}

impl IrcSession {
    /// The best mechanism that both sides have and that was not tried yet.
    pub(super) fn login_offered(&self, conn: &Conn) -> Option<Mechanism> {
        let told = conn.login.told.as_deref();
        let value = conn.caps.value("sasl");
        let offered = |mechanism: &Mechanism| match told {
            Some(list) => mechanism.among(list),
            None => value.is_some_and(|list| mechanism.offered(list)),
        };
        let ours = self.settings.mechanisms(&self.secrets, conn.tls);
        ours.into_iter().filter(|mechanism| !conn.login.tried.contains(mechanism)).find(offered)
    }

    /// Begins a SASL exchange.
    pub(super) fn authenticate(&mut self, conn: &mut Conn, mechanism: Mechanism) {
        conn.phase = Phase::Authenticating;
        conn.login.tried.push(mechanism);
        let proven = mechanism != Mechanism::Scram;
        conn.login.exchange = Some(Exchange { mechanism, gathered: Gathered::default(), scram: None, proven });
        self.say_now("AUTHENTICATE", &[mechanism.name()], None);
    }

    /// `AUTHENTICATE <payload, or its next part>`: the server wants our answer.
    pub(super) fn on_authenticate(&mut self, conn: &mut Conn, line: &Line) {
        if conn.phase != Phase::Authenticating {
            return;
        }
        let Some(mut exchange) = conn.login.exchange.take() else { return };
        let answer = match exchange.gathered.add(line.param(0)) {
            Ok(None) => {
                conn.login.exchange = Some(exchange);
                return;
            }
            Ok(Some(payload)) => self.answer(&mut exchange, &payload),
            Err(()) => Err(Fault::Garbled),
        };
        match answer {
            Ok(answer) => {
                for chunk in sasl::chunks(answer.as_bytes()) {
                    self.say_now("AUTHENTICATE", &[&chunk], None);
                }
                conn.login.exchange = Some(exchange);
            }
            Err(fault) => self.login_failed(conn, exchange.mechanism, &fault),
        }
    }

    fn answer(&mut self, exchange: &mut Exchange, payload: &[u8]) -> Result<String, Fault> {
        let payload = std::str::from_utf8(payload).map_err(|_| Fault::Garbled)?;
        let (account, password) = (self.account_name(), self.secrets.get(PASSWORD).unwrap_or_default());
        match (exchange.mechanism, &mut exchange.scram) {
            (Mechanism::Scram, Some(scram)) if scram.answered() => {
                scram.verify(payload)?;
                exchange.proven = true;
                Ok(String::new())
            }
            (Mechanism::Scram, Some(scram)) => scram.answer(payload),
            // The others begin with what we have to say.
            _ if !payload.is_empty() => Err(Fault::Garbled),
            (Mechanism::Scram, None) => {
                let scram = Scram::new(&account, password, self.random.nonce())?;
                let first = scram.first();
                exchange.scram = Some(scram);
                Ok(first)
            }
            (Mechanism::Plain, _) => Ok(sasl::plain(&account, password)),
            // Who we are is what the certificate says.
            (Mechanism::External, _) => Ok(String::new()),
        }
    }

    /// An exchange went wrong on our side. No other mechanism follows: a server that can't prove itself gets no
    /// password.
    fn login_failed(&mut self, conn: &mut Conn, mechanism: Mechanism, fault: &Fault) {
        let (place, account, name) = (self.place(), self.account_name(), mechanism.name());
        let impostor = "it is not the server that it claims to be, or its services are broken; check the URL's host, \
                        and don't give it sasl=plain";
        let why = match fault {
            Fault::Character => format!(
                "the account or its password has a character that {name} can't carry: give another password, or \
                 sasl=plain"
            ),
            Fault::Said(word) if matches!(word.as_str(), "invalid-proof" | "unknown-user") => {
                format!("{place} refused the login of {account} ({word}): give the right account and password")
            }
            Fault::Said(word) => {
                self.say_now("QUIT", &[], Some("no login"));
                conn.over =
                    Some(End::Refused { why: format!("it refused the login by {name} ({word})"), wait: 60_000 });
                return;
            }
            Fault::Garbled => {
                format!(
                    "{place} does not speak {name} as it should: ask its operators, or name another login by `sasl`"
                )
            }
            Fault::Nonce => format!("{place} answered a login that is not ours: {impostor}"),
            Fault::Iterations(times) => format!(
                "{place} wants the password hashed {times} times, and 4096 to 1000000 are done: ask its operators"
            ),
            Fault::Signature => format!("{place} did not prove that it knows the password of {account}: {impostor}"),
        };
        self.refused_login(conn, why);
    }

    /// A login was asked for by name, and can't be had.
    pub(super) fn no_sasl(&mut self, conn: &mut Conn) {
        let mechanism = self.settings.sasl.map_or("", Mechanism::name);
        let why = match conn.login.told.as_deref().or(conn.caps.value("sasl")) {
            Some(offered) if !offered.is_empty() => format!("it offers SASL {offered}, and not {mechanism}"),
            _ => {
                "it offers no SASL login now (its services may be down); where it never does, use nickserv=1".to_owned()
            }
        };
        self.say_now("QUIT", &[], Some("no login"));
        conn.over = Some(End::Refused { why, wait: 60_000 });
    }

    /// `908 <nick> <mechanisms> :are available SASL mechanisms`. The refusal itself follows.
    pub(super) fn on_mechanisms(conn: &mut Conn, line: &Line) {
        if conn.phase == Phase::Authenticating {
            conn.login.told = Some(line.param(1).chars().filter(|c| !c.is_control()).take(200).collect());
        }
    }

    /// `902`–`907`: how the SASL exchange ended.
    pub(super) fn on_sasl_end(&mut self, conn: &mut Conn, line: &Line) {
        if conn.phase != Phase::Authenticating {
            return;
        }
        let Some(exchange) = conn.login.exchange.take() else { return };
        match line.command.as_str() {
            "903" | "907" if exchange.proven => {
                conn.login.by = Some(exchange.mechanism);
                self.end_negotiation(conn);
            }
            // Whoever lets us in without the proof that was due does not have it.
            "903" | "907" => self.login_failed(conn, exchange.mechanism, &Fault::Signature),
            "906" => {
                self.say_now("QUIT", &[], Some("no login"));
                conn.over = Some(End::Refused { why: "it broke off our login".to_owned(), wait: 60_000 });
            }
            "904" | "905" if exchange.unsuited() => self.next_login(conn, exchange.mechanism),
            _ => self.sasl_refused(conn, exchange.mechanism),
        }
    }

    /// The welcome came. Says whether it came in place of the proof that was due.
    pub(super) fn welcomed_unproven(&mut self, conn: &mut Conn) -> bool {
        let unproven = conn.login.exchange.take().filter(|exchange| !exchange.proven);
        if let Some(exchange) = &unproven {
            self.login_failed(conn, exchange.mechanism, &Fault::Signature);
        }
        unproven.is_some()
    }

    /// The server, or the account there, does not have that mechanism: on with the next.
    fn next_login(&mut self, conn: &mut Conn, refused: Mechanism) {
        let lacking = conn.login.told.as_deref().is_some_and(|told| !refused.among(told));
        match self.login_offered(conn) {
            Some(next) => self.authenticate(conn, next),
            None if self.settings.sasl.is_some() && lacking => self.no_sasl(conn),
            None if self.settings.sasl.is_some() => self.sasl_refused(conn, refused),
            // Nobody asked for this login by name: NickServ is left, or coming as a stranger with a certificate.
            None if lacking || refused == Mechanism::External => self.end_negotiation(conn),
            None => self.sasl_refused(conn, refused),
        }
    }

    fn sasl_refused(&mut self, conn: &mut Conn, mechanism: Mechanism) {
        let how = match mechanism {
            Mechanism::External => "add the certificate's fingerprint to the account, or give another",
            Mechanism::Scram | Mechanism::Plain => "give the right account and password",
        };
        let why = format!("{} refused the login of {}: {how}", self.place(), self.account_name());
        self.refused_login(conn, why);
    }

    /// Our login was refused: we leave rather than speak under a name that we can't prove.
    fn refused_login(&mut self, conn: &mut Conn, why: String) {
        self.say_now("QUIT", &[], Some("no login"));
        conn.over = Some(End::Wrong(why));
    }

    /// The services account.
    pub(super) fn account_name(&self) -> String {
        self.settings.user.clone().unwrap_or_else(|| self.preferred.clone())
    }

    /// `900 <nick> <nick!user@host> <account> :You are now logged in as …`.
    pub(super) fn on_logged_in(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        conn.logged_in = Some(line.param(2).to_owned());
        if let Some((_, mask)) = line.param(1).split_once('!') {
            conn.learn_mask(mask);
        }
        if matches!(conn.phase, Phase::Identifying { .. }) {
            self.ready(conn, now);
        } else if conn.phase == Phase::Ready {
            self.rejoin_for_login(now);
        }
    }

    /// After the MOTD: NickServ, where there is a password that SASL had no use for. Says whether it was told.
    pub(super) fn identify(&mut self, conn: &mut Conn, now: Timestamp) -> bool {
        let password = self.secrets.get(PASSWORD).map(str::to_owned);
        let Some(password) = password.filter(|_| conn.login.by.is_none() && self.settings.sasl.is_none()) else {
            return false;
        };
        let account = self.account_name();
        let words = if conn.isupport.same(&account, &conn.nick) {
            format!("IDENTIFY {password}")
        } else {
            format!("IDENTIFY {account} {password}")
        };
        self.say_now("PRIVMSG", &["NickServ"], Some(&words));
        conn.login.identified = Some(now);
        if conn.phase == Phase::Motd {
            conn.phase = Phase::Identifying { until: later(now, IDENTIFY) };
        }
        true
    }

    /// A channel wants a login, and we have none: services that were away before may be back. Says whether it is worth
    /// trying the channel again soon.
    pub(super) fn identify_late(&mut self, conn: &mut Conn, now: Timestamp) -> bool {
        if conn.logged_in.is_some() {
            return false;
        }
        match conn.login.identified.map(|last| now.duration_since(last)) {
            // Its answer may still be on the way.
            Some(passed) if passed < IDENTIFY_AGAIN => passed < IDENTIFY,
            _ => self.identify(conn, now),
        }
    }

    /// A private line of services while we wait for NickServ.
    pub(super) fn on_services(&mut self, conn: &mut Conn, line: &Line, now: Timestamp) {
        if !matches!(conn.phase, Phase::Identifying { .. })
            || !line.nick().is_some_and(|nick| conn.isupport.same(nick, "NickServ"))
        {
            return;
        }
        let words = line.trailing().to_lowercase();
        let has = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
        if has(&[
            "now identified",
            "now logged in",
            "password accepted",
            "you are now recognized",
            "already identified",
        ]) {
            self.ready(conn, now);
        } else if has(&["invalid password", "incorrect", "wrong password", "authentication failed", "password failed"])
        {
            let place = self.place();
            let why =
                format!("{place} refused the login of {}: give the right account and password", self.account_name());
            self.refused_login(conn, why);
        } else if has(&["not registered", "isn't registered", "not a registered"]) && self.settings.nickserv {
            let place = self.place();
            let why =
                format!("{} is not registered at {place}: register it, or leave the password out", self.account_name());
            self.refused_login(conn, why);
        }
    }

    /// There is nobody called NickServ.
    pub(super) fn no_services(&mut self, conn: &mut Conn, now: Timestamp) {
        if matches!(conn.phase, Phase::Identifying { .. }) {
            self.ready(conn, now);
        }
    }
}

impl Exchange {
    /// Whether a refusal means the mechanism, rather than what we said by it: a server may lack what it has not
    /// listed, an account may be of before SCRAM, and a certificate may not be known there.
    fn unsuited(&self) -> bool {
        match self.mechanism {
            Mechanism::External => true,
            Mechanism::Scram => !self.scram.as_ref().is_some_and(Scram::answered),
            Mechanism::Plain => false,
        }
    }
}
