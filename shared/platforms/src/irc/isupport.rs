//! What a server says of itself in `005`: how names compare, what a channel is, how long things may be.
//! Source: <https://modern.ircdocs.horse/#rplisupport-parameters>.

use super::codec::LINE_MAX;

/// What the server said; defaults until it did.
#[derive(Clone, Debug)]
pub(super) struct Isupport {
    /// How names compare.
    pub(super) casemapping: Casemapping,
    /// The characters that channels begin with.
    pub(super) chantypes: String,
    /// Membership modes and their signs, highest first: `('o', '@')`.
    pub(super) prefix: Vec<(char, char)>,
    /// Signs that may stand before a channel as a target: `@#chan` reaches its operators.
    pub(super) statusmsg: String,
    /// Modes of kinds A (list), B (always a parameter), C (a parameter when set) and D (none).
    pub(super) chanmodes: [String; 4],
    /// The longest nick, where it is said.
    pub(super) nicklen: Option<usize>,
    /// The longest line without tags, CRLF included.
    pub(super) linelen: usize,
    /// How many channels of which types one connection may be in.
    pub(super) chanlimit: Vec<(String, usize)>,
    /// How many channels one JOIN may name.
    pub(super) join_targets: Option<usize>,
    /// Whether MONITOR is there.
    pub(super) monitor: bool,
    /// Whether who stands before a channel for invited people may KNOCK.
    pub(super) knock: bool,
    /// The user mode that marks bots.
    pub(super) bot: Option<char>,
    /// Whether the server takes only UTF-8 (we send nothing else).
    pub(super) utf8_only: bool,
    /// The most lines of one CHATHISTORY; 0: as many as asked for.
    pub(super) chathistory: usize,
    /// Client-only tags that the server refuses: names without `+`, `*` for all, `-name` for an exception.
    pub(super) client_tag_deny: Vec<String>,
    /// The network's name.
    pub(super) network: Option<String>,
}

/// How names compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Casemapping {
    /// ASCII letters alone.
    Ascii,
    /// ASCII letters, and `{}|^` as the lower case of `[]\~`.
    Rfc1459,
    /// As the one before, but `^` and `~` differ.
    Rfc1459Strict,
    /// Unicode lower case (`rfc7613`, `precis`).
    Unicode,
}

impl Default for Isupport {
    fn default() -> Self {
        Self {
            casemapping: Casemapping::Rfc1459,
            chantypes: "#&".to_owned(),
            prefix: vec![('o', '@'), ('v', '+')],
            statusmsg: String::new(),
            chanmodes: ["beI".to_owned(), "k".to_owned(), "l".to_owned(), "imnpst".to_owned()],
            nicklen: None,
            linelen: LINE_MAX,
            chanlimit: Vec::new(),
            join_targets: None,
            monitor: false,
            knock: false,
            bot: None,
            utf8_only: false,
            chathistory: 0,
            client_tag_deny: Vec::new(),
            network: None,
        }
    }
}

impl Isupport {
    /// Takes in the tokens of one `005` line. `-TOKEN` takes one back.
    pub(super) fn take<'a>(&mut self, tokens: impl Iterator<Item = &'a str>) {
        for token in tokens {
            if let Some(name) = token.strip_prefix('-') {
                self.set(name, None);
            } else {
                let (name, value) = token.split_once('=').unwrap_or((token, ""));
                self.set(name, Some(&unescape(value)));
            }
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>) {
        let default = Self::default();
        let text = value.unwrap_or_default();
        match name {
            "CASEMAPPING" => {
                self.casemapping = match text {
                    "ascii" => Casemapping::Ascii,
                    "rfc1459-strict" | "strict-rfc1459" => Casemapping::Rfc1459Strict,
                    "rfc7613" | "rfc8265" | "precis" | "utf-8" => Casemapping::Unicode,
                    _ => Casemapping::Rfc1459,
                }
            }
            "CHANTYPES" => self.chantypes = value.map_or(default.chantypes, str::to_owned),
            "PREFIX" => self.prefix = value.map_or(default.prefix, prefixes),
            "STATUSMSG" => text.clone_into(&mut self.statusmsg),
            "CHANMODES" => {
                let mut kinds = text.split(',').map(str::to_owned);
                self.chanmodes = std::array::from_fn(|_| kinds.next().unwrap_or_default());
            }
            "NICKLEN" => self.nicklen = text.parse().ok().filter(|n| *n > 0),
            // A server that names less than RFC 1459 gives is not believed.
            "LINELEN" => self.linelen = text.parse().unwrap_or(LINE_MAX).clamp(LINE_MAX, 16 * 1024),
            "CHANLIMIT" => {
                self.chanlimit = text
                    .split(',')
                    .filter_map(|part| part.split_once(':'))
                    .filter_map(|(types, n)| Some((types.to_owned(), n.parse().ok()?)))
                    // ngIRCd says 0 where there is no limit; others leave the number out.
                    .filter(|(_, n)| *n > 0)
                    .collect();
            }
            "TARGMAX" => {
                self.join_targets = text
                    .split(',')
                    .filter_map(|part| part.split_once(':'))
                    .find(|(command, _)| command.eq_ignore_ascii_case("JOIN"))
                    .and_then(|(_, n)| n.parse().ok())
                    .filter(|n| *n > 0);
            }
            "MONITOR" => self.monitor = value.is_some(),
            "KNOCK" => self.knock = value.is_some(),
            "BOT" => self.bot = text.chars().next(),
            "UTF8ONLY" => self.utf8_only = value.is_some(),
            "CHATHISTORY" | "draft/CHATHISTORY" => self.chathistory = text.parse().unwrap_or(0),
            "CLIENTTAGDENY" => {
                self.client_tag_deny = text.split(',').filter(|t| !t.is_empty()).map(str::to_owned).collect();
            }
            "NETWORK" => self.network = value.map(str::to_owned),
            _ => {}
        }
    }

    /// A name in the form in which equal names are equal.
    pub(super) fn fold(&self, name: &str) -> String {
        self.casemapping.fold(name)
    }

    /// Whether two names mean the same.
    pub(super) fn same(&self, a: &str, b: &str) -> bool {
        a == b || self.fold(a) == self.fold(b)
    }

    /// Whether a target is a channel.
    pub(super) fn is_channel(&self, target: &str) -> bool {
        target.starts_with(|c| self.chantypes.contains(c))
    }

    /// The channel of a target: itself, or what follows the signs of a STATUSMSG.
    pub(super) fn channel_of<'a>(&self, target: &'a str) -> Option<&'a str> {
        if self.is_channel(target) {
            return Some(target);
        }
        let bare = target.trim_start_matches(|c| self.statusmsg.contains(c));
        (bare.len() < target.len() && self.is_channel(bare)).then_some(bare)
    }

    /// The nick of an entry in `353`: without membership signs and without user and host.
    pub(super) fn member<'a>(&self, entry: &'a str) -> &'a str {
        let nick = entry.trim_start_matches(|c| self.prefix.iter().any(|(_, sign)| *sign == c));
        nick.split('!').next().unwrap_or(nick)
    }

    /// How many channels of this channel's type one connection may be in.
    pub(super) fn limit_of(&self, channel: &str) -> Option<usize> {
        let sign = channel.chars().next()?;
        self.chanlimit.iter().find(|(types, _)| types.contains(sign)).map(|(_, n)| *n)
    }

    /// Whether the server refuses this client-only tag (given without `+`).
    pub(super) fn denies(&self, tag: &str) -> bool {
        let listed = |name: &str| self.client_tag_deny.iter().any(|t| t == name);
        listed(tag) || (listed("*") && !listed(&format!("-{tag}")))
    }

    /// Whether a channel mode takes a parameter.
    pub(super) fn takes_parameter(&self, mode: char, set: bool) -> bool {
        self.chanmodes[0].contains(mode)
            || self.chanmodes[1].contains(mode)
            || (set && self.chanmodes[2].contains(mode))
            || self.prefix.iter().any(|(m, _)| *m == mode)
    }
}

impl Casemapping {
    /// A name in the form in which equal names are equal.
    pub(super) fn fold(self, name: &str) -> String {
        match self {
            Self::Unicode => name.to_lowercase(),
            Self::Ascii => name.to_ascii_lowercase(),
            Self::Rfc1459 | Self::Rfc1459Strict => name
                .chars()
                .map(|c| match c {
                    '[' => '{',
                    ']' => '}',
                    '\\' => '|',
                    '~' if self == Self::Rfc1459 => '^',
                    c => c.to_ascii_lowercase(),
                })
                .collect(),
        }
    }
}

/// `(ov)@+` as pairs.
fn prefixes(value: &str) -> Vec<(char, char)> {
    let Some((modes, signs)) = value.strip_prefix('(').and_then(|v| v.split_once(')')) else { return Vec::new() };
    modes.chars().zip(signs.chars()).collect()
}

/// `\xHH` stands for a byte.
fn unescape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find("\\x") {
        out.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                out.push_str("\\x");
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}
