//! What an IRC account keeps beside the common fields: its settings, the names of its secrets, its endpoint. It must
//! not know sessions or URLs of rooms.

use sameroom_model::Secrets;
use serde::{Deserialize, Serialize};
use url::Url;

use super::sasl::Mechanism;

/// The nick where the URL names none.
pub(super) const DEFAULT_NICK: &str = "sameroom";

/// An account's settings. Missing fields are the defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Settings {
    /// How fast lines are sent.
    pub(super) flood: Flood,
    /// The SASL mechanism, where the owner named one; then nothing is joined without a login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sasl: Option<Mechanism>,
    /// The certificate or key that the server has, where that and no chain is what it is known by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pin: Option<String>,
    /// The services account, where it is not the nick.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,
    /// Log in by telling NickServ, not by SASL.
    pub(super) nickserv: bool,
    /// The real name in WHOIS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) realname: Option<String>,
    /// Keep relayed authors from highlighting people of the same nick in the channel.
    pub(super) ping_safe: bool,
    /// Relay channel NOTICEs too.
    pub(super) notices: bool,
    /// What follows the separator in the nicks of RELAYMSG, and of people with a connection of their own.
    pub(super) relay_suffix: String,
    /// How many people may have a connection of their own at once; 0: nobody.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) puppets: u32,
}

/// The token bucket of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Flood {
    /// Lines at once.
    pub(super) burst: u32,
    /// Lines a second after that; 0: as fast as the server reads.
    pub(super) per_second: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flood: Flood::default(),
            sasl: None,
            pin: None,
            user: None,
            nickserv: false,
            realname: None,
            ping_safe: true,
            notices: false,
            relay_suffix: "sr".to_owned(),
            puppets: 0,
        }
    }
}

impl Default for Flood {
    /// Safe on ngIRCd, InspIRCd and ircd-hybrid as they are shipped.
    fn default() -> Self {
        Self { burst: 4, per_second: 1.0 }
    }
}

impl Settings {
    /// Reads an account's settings; what can't be read is as if it were missing.
    pub(super) fn of(value: &serde_json::Value) -> Self {
        serde_json::from_value(value.clone()).unwrap_or_default()
    }

    /// As JSON.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// How to log in by SASL, best first. One that was named stands alone.
    pub(super) fn mechanisms(&self, secrets: &Secrets, tls: bool) -> Vec<Mechanism> {
        let possible = |mechanism: &Mechanism| match mechanism {
            Mechanism::External => tls && secrets.get(CERT).is_some(),
            Mechanism::Scram | Mechanism::Plain => secrets.get(PASSWORD).is_some(),
        };
        let wanted = match self.sasl {
            Some(mechanism) => vec![mechanism],
            None if self.nickserv => Vec::new(),
            None => vec![Mechanism::External, Mechanism::Scram, Mechanism::Plain],
        };
        wanted.into_iter().filter(possible).collect()
    }
}

/// The most people with a connection of their own.
pub(super) const PUPPETS_MAX: u32 = 200;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// The services password.
pub(super) const PASSWORD: &str = "password";
/// The server's own password (PASS).
pub(super) const SERVER_PASSWORD: &str = "server_password";
/// A CA certificate in PEM.
pub(super) const CA: &str = "ca";
/// The password by which a gateway tells whose connection it opens (WEBIRC).
pub(super) const WEBIRC: &str = "webirc";
/// Our client certificate in PEM.
pub(super) const CERT: &str = "cert";
/// Its key in PEM.
pub(super) const CERT_KEY: &str = "certkey";

/// The secret's name of a channel's key.
pub(super) fn channel_key(room: &str) -> String {
    format!("key {room}")
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host name or address, without brackets.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// Whether by TLS.
    pub(super) tls: bool,
}

impl Endpoint {
    /// Of a URL; its path, query and user info are not looked at.
    pub(super) fn of(url: &Url) -> Result<Self, String> {
        let tls = match url.scheme() {
            "ircs" => true,
            "irc" => false,
            other => return Err(format!("`{other}` is not a scheme of IRC: begin the URL with irc:// or ircs://")),
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let Some(host) = host else {
            return Err("the URL names no server: give one, as in ircs://irc.libera.chat/#rust".to_owned());
        };
        if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
            return Err(format!("`{host}` is not a host name: give the server's DNS name or address"));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let port = url.port().unwrap_or(if tls { 6697 } else { 6667 });
        if port == 0 {
            return Err("port 0 is none: leave the port out, or give the server's".to_owned());
        }
        Ok(Self { host, port, tls })
    }

    /// Reads an account's endpoint back.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|_| format!("`{text}` is not a URL of an IRC server"))?;
        Self::of(&url)
    }

    /// As an account's endpoint.
    pub(super) fn url(&self) -> String {
        format!("{}://{}:{}", if self.tls { "ircs" } else { "irc" }, self.bracketed(), self.port)
    }

    /// As shown to people: the port only where it is not the usual one.
    pub(super) fn site(&self) -> String {
        let usual = if self.tls { 6697 } else { 6667 };
        if self.port == usual { self.host.clone() } else { format!("{}:{}", self.bracketed(), self.port) }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// Whether a nick is one that servers take (RFC 2812 §2.3.1); longer ones than the server likes it cuts or refuses.
pub(super) fn valid_nick(nick: &str) -> bool {
    let special = |b: u8| b"[]\\`_^{|}".contains(&b);
    let mut bytes = nick.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || special(b));
    first && nick.len() <= 64 && bytes.all(|b| b.is_ascii_alphanumeric() || special(b) || b == b'-')
}
