//! A held connection as a state machine: bytes, deliveries and time go in, bytes, events and outcomes come out.
//!
//! Whoever drives it keeps one law: after every [`Session::handle`], [`Session::poll`] is called until it returns
//! `None`, and then [`Session::wakes_at`] says when to handle [`Input::Wake`] at the latest. The machine never blocks,
//! reads no clock and keeps only bounded state.

use std::fmt;

use bytes::Bytes;
use sameroom_model::{AccountState, Availability, Delivery, DeliveryId, Event, Identity, Outcome, RoomKey, Timestamp};
use url::Url;

/// A held connection of one account.
pub trait Session: Send {
    /// Takes in one thing. `now` never goes back.
    fn handle(&mut self, input: Input<'_>, now: Timestamp);

    /// The next thing to do, until there is none.
    fn poll(&mut self) -> Option<Output>;

    /// When to handle [`Input::Wake`] at the latest.
    fn wakes_at(&self) -> Option<Timestamp>;
}

/// Which of a session's connections. Nearly all sessions have one alone, [`LinkId::MAIN`]. There are a few hundred at
/// most; they are open side by side, and nothing is said about the order of what comes by different ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

impl LinkId {
    /// The one connection of a session that has one, the first of others.
    pub const MAIN: Self = Self(0);
}

/// What a session is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// The rooms to be in, all of them; first of all inputs, and again whenever they change.
    Rooms(Vec<Joined>),
    /// The connection that [`Output::Open`] asked for stands.
    Opened(LinkId),
    /// Bytes came in, cut anywhere; of a WebSocket, one whole text message.
    Received(LinkId, &'a [u8]),
    /// The answer to [`Output::Ask`]; where there was none, a sentence says why.
    Answered(Result<&'a http::Response<Bytes>, &'a str>),
    /// The connection ended, or could not be opened; a sentence says why.
    Closed(LinkId, &'a str),
    /// Make this delivery. It is answered by one [`Output::Settled`].
    ///
    /// Deliveries of a lane are settled in the order they came. Once one of them is settled as retry or disconnected,
    /// so are all later ones of its lane that are under way, so that order holds when they come again. While there is
    /// no connection a session keeps what it was given, and settles it when it has had its effect.
    Deliver(Box<Delivery>),
    /// Time has come to what [`Session::wakes_at`] said, or passed it.
    Wake,
    /// Say goodbye and end: what is not sent is settled as retry, then [`Output::Stopped`] comes.
    Stop,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Output {
    /// Open a connection. There is at most one at a time of each id; an older one is closed by now.
    Open(LinkId, Dial),
    /// Write these bytes; to a WebSocket, as one text message.
    Send(LinkId, Vec<u8>),
    /// Likewise, but only once all that was told before ([`Output::Event`], [`Output::Told`]) is durable: what the other
    /// side takes as a promise. Left out when the connection is another one by then.
    Confirm(LinkId, Vec<u8>),
    /// Send this HTTP request, beside the connection. There is at most one under way.
    Ask(Box<http::Request<Bytes>>),
    /// The connection brought what would be a webhook's body, for [`crate::Platform::overhear`].
    Told(Bytes),
    /// Close the connection once everything is written. No [`Input::Closed`] follows.
    Close(LinkId),
    /// This happened.
    Event(Event),
    /// This became of a delivery.
    Settled {
        /// Which.
        id: DeliveryId,
        /// What.
        outcome: Outcome,
    },
    /// Who we are there, once that is known or has changed.
    Identity(Identity),
    /// How the account fares.
    State(AccountState),
    /// How a room fares, where it is no event in that room (a channel that can't be joined).
    Room {
        /// Which.
        key: RoomKey,
        /// How, with a sentence that says what to do.
        availability: Availability,
    },
    /// Keep this mark of the last thing seen in a room, and give it back in [`Joined::seen`].
    Seen {
        /// Which room.
        key: RoomKey,
        /// The mark, which the session alone understands.
        mark: String,
    },
    /// It has ended. Nothing follows.
    Stopped,
}

/// A room to be in.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Which.
    pub key: RoomKey,
    /// Its name.
    pub name: String,
    /// What the platform alone understands.
    pub settings: serde_json::Value,
    /// The mark of the last thing seen there, from [`Output::Seen`].
    pub seen: Option<String>,
}

/// Where to connect. A connection is a stream of bytes or of text messages; platforms that hold a streaming HTTP
/// response add their kind here when they come.
#[derive(Clone, PartialEq, Eq)]
pub enum Dial {
    /// A TCP connection.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
        /// How to secure it; `None`: in the clear.
        tls: Option<Tls>,
    },
    /// A WebSocket. Its URL, `ws` or `wss`, may hold a secret in its query: it is never shown.
    WebSocket(Url),
}

/// How a connection is secured. The server proves who it is by a chain of certificates and its name, or by its pin.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// A CA certificate in PEM to trust for this connection alone, besides the system's.
    pub ca: Option<String>,
    /// The one certificate or key that the server may have. Chain, name and dates are not looked at then.
    pub pin: Option<Pin>,
    /// Whether the owner can give a pin as `pin=` in a URL: then the error about a certificate that is not trusted says
    /// which.
    pub pinnable: bool,
    /// Our certificate chain and key in PEM, where we prove who we are by them.
    pub client: Option<(String, String)>,
}

/// The SHA-256 of a certificate in DER, or of the public key in it (its `SubjectPublicKeyInfo`, as in RFC 7469 §2.4).
/// As text: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin(pub [u8; 32]);

impl Pin {
    /// Reads `sha256:HEX`. Colons between the digits, as tools print them, and upper case are taken too.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, digits) = text.split_once(':')?;
        if !kind.eq_ignore_ascii_case("sha256") || !digits.is_ascii() {
            return None;
        }
        let digits = digits.replace(':', "");
        let mut pin = [0; 32];
        if digits.len() != 64 {
            return None;
        }
        for (byte, pair) in pin.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let mut pair = pair.iter().map(|digit| char::from(*digit).to_digit(16));
            *byte = (pair.next()?? * 16 + pair.next()??) as u8;
        }
        Some(Self(pin))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, tls } => {
                write!(f, "{host}:{port}{}", if tls.is_some() { " with TLS" } else { "" })
            }
            Self::WebSocket(url) => write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .field("pin", &self.pin)
            .field("pinnable", &self.pinnable)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_read_as_tools_print_it() {
        let plain = format!("sha256:{}", "0aff".repeat(16));
        let pin = Pin::parse(&plain).unwrap();
        assert_eq!(pin.to_string(), plain);
        assert_eq!(pin.0[..2], [0x0a, 0xff]);
        let colons = format!("SHA256:{}", vec!["0A:FF"; 16].join(":"));
        assert_eq!(Pin::parse(&colons), Some(pin));
        for bad in ["", "sha256", "sha256:", "sha256:0a", "sha1:0a", &plain[7..], &format!("{plain}00"), "sha256:é"] {
            assert_eq!(Pin::parse(bad), None, "{bad}");
        }
        let no_digit = format!("sha256:{}", "0x".repeat(32));
        assert_eq!(Pin::parse(&no_digit), None);
    }
}
