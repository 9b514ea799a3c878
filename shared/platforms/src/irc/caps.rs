//! Capability negotiation: what the server offers, what we asked for, what is on. Only capabilities that this platform
//! knows are asked for; the list of the server is never echoed back.
//! Source: <https://ircv3.net/specs/extensions/capability-negotiation>.

use std::collections::{BTreeMap, BTreeSet};

/// What we know how to use. `sasl` is asked for only where a login is configured, `sts` never.
const KNOWN: &[&str] = &[
    "account-notify",
    "account-tag",
    "batch",
    "cap-notify",
    "chghost",
    "draft/chathistory",
    "draft/message-redaction",
    "draft/multiline",
    "draft/relaymsg",
    "echo-message",
    "extended-join",
    "inspircd.org/standard-replies",
    "labeled-response",
    "message-tags",
    "multi-prefix",
    "overdrivenetworks.com/relaymsg",
    "server-time",
    "setname",
    "standard-replies",
    "userhost-in-names",
];

/// How many bytes of names one REQ carries, well under a line.
const REQ_MAX: usize = 400;

/// The state of the negotiation.
#[derive(Clone, Debug, Default)]
pub(super) struct Caps {
    offered: BTreeMap<String, String>,
    enabled: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Caps {
    /// The server offers these (`CAP LS`, `CAP NEW`): `name` or `name=value`, parted by spaces.
    pub(super) fn offer(&mut self, list: &str) {
        for cap in list.split_ascii_whitespace() {
            let (name, value) = cap.split_once('=').unwrap_or((cap, ""));
            self.offered.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The server takes these back (`CAP DEL`).
    pub(super) fn withdraw(&mut self, list: &str) {
        for name in list.split_ascii_whitespace() {
            self.offered.remove(name);
            self.enabled.remove(name);
        }
    }

    /// What to ask for now, a line's worth each: known, offered, and neither on nor asked for.
    pub(super) fn requests(&mut self, sasl: bool) -> Vec<String> {
        let wanted = KNOWN.iter().copied().chain(sasl.then_some("sasl"));
        let fresh: Vec<String> = wanted
            .filter(|name| self.offered.contains_key(*name))
            .filter(|name| !self.enabled.contains(*name) && !self.asked.contains(*name))
            .map(str::to_owned)
            .collect();
        let mut lines: Vec<String> = Vec::new();
        for name in fresh {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + name.len() <= REQ_MAX => {
                    line.push(' ');
                    line.push_str(&name);
                }
                _ => lines.push(name.clone()),
            }
            self.asked.insert(name);
        }
        lines
    }

    /// The server agreed.
    pub(super) fn ack(&mut self, list: &str) {
        for name in list.split_ascii_whitespace() {
            if let Some(off) = name.strip_prefix('-') {
                self.enabled.remove(off);
                self.asked.remove(off);
            } else {
                // Only what we asked for is on: nobody else speaks for us.
                if self.asked.remove(name) {
                    self.enabled.insert(name.to_owned());
                }
            }
        }
    }

    /// The server refused the whole request: those that are to be asked for again, one by one.
    pub(super) fn nak(&mut self, list: &str) -> Vec<String> {
        let names: Vec<&str> = list.split_ascii_whitespace().filter(|name| self.asked.contains(*name)).collect();
        if names.len() > 1 {
            return names.into_iter().map(str::to_owned).collect();
        }
        for name in names {
            self.asked.remove(name);
            self.offered.remove(name);
        }
        Vec::new()
    }

    /// Counts what was never answered as refused.
    pub(super) fn give_up(&mut self) {
        self.asked.clear();
    }

    /// Whether every request was answered.
    pub(super) fn settled(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether a capability is on.
    pub(super) fn on(&self, name: &str) -> bool {
        self.enabled.contains(name)
    }

    /// The value that a capability is offered with, whether it is on or not.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.offered.get(name).map(String::as_str)
    }

    /// One field of a capability's value: `port` of `sts=port=6697,duration=0`.
    pub(super) fn field(&self, name: &str, field: &str) -> Option<&str> {
        self.value(name)?.split(',').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == field).map(|p| p.1)
    }

    /// The relay capability that is on, by the characters that a relayed nick must have one of.
    pub(super) fn relaymsg(&self) -> Option<&str> {
        ["draft/relaymsg", "overdrivenetworks.com/relaymsg"]
            .into_iter()
            .find(|name| self.on(name))
            .and_then(|name| self.value(name))
            .map(|signs| if signs.is_empty() { "/" } else { signs })
    }
}
