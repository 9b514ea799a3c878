//! Reads a room's URL as a person types it. It must not know how a channel is joined.
//!
//! `irc[s]://[nick[:password]@]host[:port]/#channel[?key=…&sasl=…]`. The `#` begins a fragment for a URL parser, so
//! the query of such a URL lands in the fragment too: both are looked at.

use sameroom_model::{Identity, Place, Secrets};
use url::Url;

use super::sasl::Mechanism;
use super::settings::{
    CA, CERT, CERT_KEY, DEFAULT_NICK, Endpoint, PASSWORD, PUPPETS_MAX, SERVER_PASSWORD, Settings, WEBIRC, channel_key,
    valid_nick,
};
use crate::{BadUrl, Draft, Located, Pin, RoomDraft};

/// The longest channel name that is taken; servers give 50 to 200.
const CHANNEL_MAX: usize = 200;

/// The parameters that a URL may have.
const PARAMETERS: &[&str] = &[
    "key",
    "sasl",
    "user",
    "password",
    "server_password",
    "nickserv",
    "ca",
    "cert",
    "certkey",
    "pin",
    "burst",
    "rate",
    "realname",
    "nick",
    "notices",
    "ping_safe",
    "relay_suffix",
    "puppets",
    "webirc",
];

/// Understands a room's URL.
pub(super) fn locate(url: &Url) -> Result<Located, BadUrl> {
    let parts = Parts::of(url).map_err(BadUrl)?;
    let Some(channel) = parts.channel else {
        return Err(BadUrl("the URL names no channel: give one, as in ircs://irc.libera.chat/#rust".to_owned()));
    };
    let key = channel.to_ascii_lowercase();
    let mut account = parts.account;
    if let Some(secret) = parts.key {
        account.secrets.set(channel_key(&key), secret);
    }
    let room =
        RoomDraft { key: key.into(), name: channel, site: parts.endpoint.site(), settings: serde_json::Value::Null };
    Ok(Located { account, room })
}

/// The account of a server's URL; a channel in it is left aside.
pub(super) fn server(url: &Url) -> Result<Draft, String> {
    Ok(Parts::of(url)?.account)
}

struct Parts {
    endpoint: Endpoint,
    account: Draft,
    channel: Option<String>,
    key: Option<String>,
}

impl Parts {
    fn of(url: &Url) -> Result<Self, String> {
        let endpoint = Endpoint::of(url)?;
        let (channel, queries) = channel(url)?;
        let mut settings = Settings::default();
        let mut secrets = Secrets::default();
        let mut nick = decoded(url.username(), "nick")?;
        let mut key = None;
        if let Some(password) = url.password() {
            secret(&mut secrets, PASSWORD, decoded(password, "password")?)?;
        }
        for (name, value) in queries.iter().flat_map(|query| url::form_urlencoded::parse(query.as_bytes())) {
            let value = value.into_owned();
            match name.as_ref() {
                "key" => {
                    if value.is_empty() || (!is_reference(&value) && !is_key(&value)) {
                        return Err("`key` has a character that no channel key has: give the channel's key".to_owned());
                    }
                    key = Some(value);
                }
                "sasl" => settings.sasl = Some(mechanism(&value)?),
                "pin" => settings.pin = Some(pin(&value)?),
                "user" => settings.user = Some(word(&name, value)?),
                "nick" => nick = value,
                "realname" => settings.realname = Some(text(&name, value)?),
                "relay_suffix" => settings.relay_suffix = word(&name, value)?,
                "password" => secret(&mut secrets, PASSWORD, value)?,
                "server_password" => secret(&mut secrets, SERVER_PASSWORD, value)?,
                "ca" | "cert" | "certkey" => {
                    let kept = match name.as_ref() {
                        "ca" => CA,
                        "cert" => CERT,
                        _ => CERT_KEY,
                    };
                    secrets.set(kept, value);
                }
                "webirc" => {
                    if !is_reference(&value) && (value.contains(' ') || value.starts_with(':')) {
                        return Err(
                            "`webirc` is one word: give the password that the server has for gateways".to_owned()
                        );
                    }
                    secret(&mut secrets, WEBIRC, value)?;
                }
                "puppets" => {
                    settings.puppets = value.parse().ok().filter(|most| *most <= PUPPETS_MAX).ok_or_else(|| {
                        format!(
                            "`puppets` is how many people may have a connection of their own: give a number up to \
                             {PUPPETS_MAX}, and no more than the network's operators allow from one address"
                        )
                    })?;
                }
                "nickserv" => settings.nickserv = switch(&name, &value)?,
                "notices" => settings.notices = switch(&name, &value)?,
                "ping_safe" => settings.ping_safe = switch(&name, &value)?,
                "burst" => {
                    settings.flood.burst = value
                        .parse()
                        .ok()
                        .filter(|burst| (1..=1000).contains(burst))
                        .ok_or("`burst` is how many lines may be sent at once: give a number from 1 to 1000")?;
                }
                "rate" => {
                    settings.flood.per_second = value
                        .parse()
                        .ok()
                        .filter(|rate: &f64| rate.is_finite() && (0.0..=1000.0).contains(rate))
                        .ok_or("`rate` is how many lines a second may be sent: give a number up to 1000, or 0 for no limit")?;
                }
                other => {
                    let known = PARAMETERS.join(", ");
                    return Err(format!("`{other}` is not a parameter of an IRC URL: those are {known}"));
                }
            }
        }
        if nick.is_empty() {
            DEFAULT_NICK.clone_into(&mut nick);
        }
        if !valid_nick(&nick) {
            return Err(format!(
                "`{nick}` can't be a nick: begin with a letter or one of []\\`_^{{|}}, then use letters, digits and -"
            ));
        }
        check_login(&endpoint, &settings, &secrets)?;
        let account = Draft {
            platform: "irc",
            endpoint: endpoint.url(),
            identity: Identity { key: None, name: nick },
            settings: settings.json(),
            secrets,
            place: Place::Alone,
        };
        Ok(Self { endpoint, account, channel, key })
    }
}

/// A login that could never work is refused here, where the person still looks.
fn check_login(endpoint: &Endpoint, settings: &Settings, secrets: &Secrets) -> Result<(), String> {
    let has = |name: &str| secrets.get(name).is_some();
    if let Some(named @ (Mechanism::Plain | Mechanism::Scram)) = settings.sasl
        && !has(PASSWORD)
    {
        let named = named.name().to_ascii_lowercase();
        return Err(format!("`sasl={named}` needs a password: give `password=env:NAME` too"));
    }
    if settings.nickserv && !has(PASSWORD) {
        return Err("`nickserv=1` needs a password: give `password=env:NAME` too".to_owned());
    }
    if settings.sasl == Some(Mechanism::External) && !(endpoint.tls && has(CERT)) {
        return Err(
            "`sasl=external` needs ircs:// and a certificate: give `cert=file:PATH` and `certkey=file:PATH`".to_owned()
        );
    }
    if has(WEBIRC) && settings.puppets == 0 {
        return Err("`webirc` tells whose connection it is: give `puppets=N` too, or leave it out".to_owned());
    }
    if settings.puppets > 0 && !valid_nick(&format!("a{}", settings.relay_suffix)) {
        return Err("`relay_suffix` ends nicks here: give letters and digits alone".to_owned());
    }
    if has(CERT) != has(CERT_KEY) {
        return Err("`cert` and `certkey` go together: give both".to_owned());
    }
    if !endpoint.tls && (has(CA) || has(CERT) || settings.pin.is_some()) {
        return Err("`ca`, `cert` and `pin` are for TLS: begin the URL with ircs://".to_owned());
    }
    if has(CA) && settings.pin.is_some() {
        return Err("`pin` stands for itself, without a CA: give `ca` or `pin`".to_owned());
    }
    Ok(())
}

/// The channel of a URL, with its sign, and the queries that the URL has.
fn channel(url: &Url) -> Result<(Option<String>, Vec<String>), String> {
    let mut queries: Vec<String> = url.query().map(str::to_owned).into_iter().collect();
    let mut name = decoded(url.path().strip_prefix('/').unwrap_or_default(), "channel")?;
    if let Some(fragment) = url.fragment() {
        // With a query before it the fragment has none of its own.
        let (part, query) = match fragment.split_once('?') {
            Some((part, query)) if url.query().is_none() => (part, Some(query)),
            _ => (fragment, None),
        };
        name.push('#');
        name.push_str(&decoded(part, "channel")?);
        queries.extend(query.map(str::to_owned));
    }
    if name.is_empty() {
        return Ok((None, queries));
    }
    if !name.starts_with(['#', '&', '+', '!']) {
        name.insert(0, '#');
    }
    if name.len() < 2 || name.len() > CHANNEL_MAX {
        return Err(format!("a channel's name has 1 to {CHANNEL_MAX} bytes: give it as in /#rust"));
    }
    if name.chars().any(|c| c.is_control() || c == ' ' || c == ',') {
        return Err("a channel's name has no space, comma or control character: name one channel".to_owned());
    }
    Ok((Some(name), queries))
}

/// Undoes percent-encoding.
fn decoded(part: &str, what: &str) -> Result<String, String> {
    let bytes = percent_decoded(part);
    String::from_utf8(bytes).map_err(|_| format!("the {what} in the URL is not UTF-8: encode it as UTF-8"))
}

fn percent_decoded(part: &str) -> Vec<u8> {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn is_key(value: &str) -> bool {
    !value.starts_with(':') && !value.chars().any(|c| c.is_control() || c == ' ' || c == ',')
}

fn is_reference(value: &str) -> bool {
    value.starts_with("env:") || value.starts_with("file:")
}

fn mechanism(value: &str) -> Result<Mechanism, String> {
    match value.to_ascii_lowercase().as_str() {
        "plain" => Ok(Mechanism::Plain),
        "scram-sha-256" => Ok(Mechanism::Scram),
        "external" => Ok(Mechanism::External),
        _ => Err(format!("`sasl={value}` is not spoken here: give sasl=scram-sha-256, sasl=plain or sasl=external")),
    }
}

fn pin(value: &str) -> Result<String, String> {
    match Pin::parse(value) {
        Some(pin) => Ok(pin.to_string()),
        None => {
            Err("`pin` is the SHA-256 of the server's certificate, or of its key: give pin=sha256:HEX, as the error \
                     of a connection without a pin says it"
                .to_owned())
        }
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(format!("`{name}` is a switch: give {name}=1 or {name}=0")),
    }
}

fn text(name: &str, value: String) -> Result<String, String> {
    if value.is_empty() || value.len() > 100 || value.chars().any(char::is_control) {
        return Err(format!("`{name}` is a line of at most 100 bytes: leave out line breaks"));
    }
    Ok(value)
}

fn word(name: &str, value: String) -> Result<String, String> {
    let value = text(name, value)?;
    if value.contains([' ', ',', ':']) {
        return Err(format!("`{name}` is one word: leave out spaces, commas and colons"));
    }
    Ok(value)
}

fn secret(secrets: &mut Secrets, name: &str, value: String) -> Result<(), String> {
    if value.is_empty() || value.contains(['\r', '\n', '\0']) {
        return Err(format!("`{name}` is empty or has a line break: give the secret, or env:NAME or file:PATH"));
    }
    secrets.set(name, value);
    Ok(())
}
