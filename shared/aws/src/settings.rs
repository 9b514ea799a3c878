//! What a program on AWS is told by its environment, checked before anything is called. It must not know who sets it.

use std::fmt;
use std::time::Duration;

/// What a program on AWS is told: names of what the template made for it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The DynamoDB table.
    pub table: String,
    /// The URL of the FIFO queue of events.
    pub events: String,
    /// The URL of the FIFO queue of deliveries.
    pub outbox: String,
    /// The URL of the FIFO queue of deliveries for held connections.
    pub held: String,
    /// The KMS key that secrets are sealed under: its id, ARN or alias.
    pub kms_key: Option<String>,
    /// The region.
    pub region: String,
    /// Where AWS is reached instead of its own endpoints: for tests.
    pub endpoint: Option<String>,
    /// Where this Sameroom is reached from outside, without a slash at its end.
    pub public_url: Option<String>,
    /// Networks that accounts' own endpoints may be in, as the operator writes them; see `Net` of `sameroom-wire`.
    pub allow: Vec<String>,
    /// How long what a worker received stays hidden from others, each time it says that it still has it; whole seconds.
    /// `None`: a minute.
    pub lease: Option<Duration>,
    /// How long one attempt of a call may take; all of them together, three times that and a second. `None`: three
    /// seconds.
    pub attempt: Option<Duration>,
    /// Whether answers are asked what they consumed. See [`Calls`](crate::Calls).
    pub measure: bool,
}

/// What is wrong with the environment: the variable, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {what}: {cure}")]
pub struct SettingsError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
    /// The cure.
    pub cure: &'static str,
}

const TABLE_CURE: &str = "set it to the name of the DynamoDB table, which is the stack's output Table";
const QUEUE_CURE: &str = "set it to the URL of the FIFO queue, as `aws sqs get-queue-url` gives it; it ends in .fifo";
const KMS_CURE: &str = "set it to the id, ARN or alias of the KMS key, which is the stack's output KmsKey";
const REGION_CURE: &str =
    "set it to the region of the stack, such as eu-central-1; Lambda and Fargate set it by themselves";
const URL_CURE: &str =
    "set it to an address such as https://sameroom.example.org, without a slash at its end, or leave it out";

impl Settings {
    /// Reads the environment: `SAMEROOM_TABLE`, `SAMEROOM_EVENTS_QUEUE`, `SAMEROOM_OUTBOX_QUEUE`, `SAMEROOM_HELD_QUEUE`,
    /// `AWS_REGION` (or `AWS_DEFAULT_REGION`); and where they are set `SAMEROOM_KMS_KEY`, `SAMEROOM_PUBLIC_URL`,
    /// `SAMEROOM_ALLOW` (networks, parted by commas) and `AWS_ENDPOINT_URL`. What is empty counts as not set.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Likewise, from wherever `lookup` finds a variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let get = |name: &str| lookup(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let need = |name, cure| get(name).ok_or(SettingsError { name, what: "is not set", cure });
        let url = |name, cure| match get(name) {
            Some(value) if !is_url(&value) => Err(SettingsError { name, what: "is not an address", cure }),
            value => Ok(value.map(|value| value.trim_end_matches('/').to_owned())),
        };
        let queue =
            |name| match url(name, QUEUE_CURE)?.ok_or(SettingsError { name, what: "is not set", cure: QUEUE_CURE })? {
                // SQS takes no other case.
                value if value.rsplit_once('.').is_some_and(|(_, last)| last == "fifo") => Ok(value),
                _ => Err(SettingsError { name, what: "is not a FIFO queue's", cure: QUEUE_CURE }),
            };
        Ok(Self {
            table: need("SAMEROOM_TABLE", TABLE_CURE)?,
            events: queue("SAMEROOM_EVENTS_QUEUE")?,
            outbox: queue("SAMEROOM_OUTBOX_QUEUE")?,
            held: queue("SAMEROOM_HELD_QUEUE")?,
            kms_key: get("SAMEROOM_KMS_KEY"),
            region: get("AWS_REGION")
                .map_or_else(|| get("AWS_DEFAULT_REGION").ok_or(()), Ok)
                .or_else(|()| need("AWS_REGION", REGION_CURE))?,
            endpoint: url("AWS_ENDPOINT_URL", "set it to an address such as http://127.0.0.1:4566, or leave it out")?,
            public_url: url("SAMEROOM_PUBLIC_URL", URL_CURE)?,
            allow: get("SAMEROOM_ALLOW")
                .iter()
                .flat_map(|nets| nets.split(','))
                .map(|net| net.trim().to_owned())
                .filter(|net| !net.is_empty())
                .collect(),
            lease: None,
            attempt: None,
            measure: false,
        })
    }

    /// The KMS key, or what to do.
    pub(crate) fn key(&self) -> Result<&str, SettingsError> {
        self.kms_key.as_deref().ok_or(SettingsError { name: "SAMEROOM_KMS_KEY", what: "is not set", cure: KMS_CURE })
    }
}

fn is_url(text: &str) -> bool {
    text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).is_some_and(|rest| !rest.is_empty())
}

impl SettingsError {
    #[cfg(test)]
    fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Settings {
    /// For logs at the start: nothing here is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {} and queues {}, {}, {} in {}", self.table, self.events, self.outbox, self.held, self.region)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn environment() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("SAMEROOM_TABLE", "sameroom"),
            ("SAMEROOM_EVENTS_QUEUE", "https://sqs.example.com/1/events.fifo"),
            ("SAMEROOM_OUTBOX_QUEUE", "https://sqs.example.com/1/outbox.fifo"),
            ("SAMEROOM_HELD_QUEUE", "https://sqs.example.com/1/held.fifo"),
            ("AWS_REGION", "eu-central-1"),
        ])
    }

    fn read(change: &[(&'static str, &'static str)]) -> Result<Settings, SettingsError> {
        let mut all = environment();
        all.extend(change.iter().copied());
        Settings::read(|name| all.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_least_is_enough() {
        let settings = read(&[]).unwrap();
        assert_eq!((settings.table.as_str(), settings.kms_key, settings.endpoint), ("sameroom", None, None));
        assert!(settings.allow.is_empty());
    }

    #[test]
    fn what_is_there_is_read() {
        let settings = read(&[
            ("AWS_REGION", ""),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("SAMEROOM_ALLOW", "10.0.0.0/8, loopback,"),
            ("SAMEROOM_PUBLIC_URL", "https://sameroom.example.org/"),
        ])
        .unwrap();
        assert_eq!(settings.region, "us-east-1");
        assert_eq!(settings.allow, ["10.0.0.0/8", "loopback"]);
        assert_eq!(settings.public_url.as_deref(), Some("https://sameroom.example.org"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_cure() {
        let error = |change| read(change).unwrap_err().text();
        assert!(error(&[("SAMEROOM_TABLE", " ")]).starts_with("SAMEROOM_TABLE is not set: set it to the name"));
        assert!(error(&[("SAMEROOM_HELD_QUEUE", "")]).starts_with("SAMEROOM_HELD_QUEUE is not set: set it to the URL"));
        let standard = error(&[("SAMEROOM_EVENTS_QUEUE", "https://sqs.example.com/1/events")]);
        assert!(standard.starts_with("SAMEROOM_EVENTS_QUEUE is not a FIFO queue's"), "{standard}");
        assert!(error(&[("AWS_REGION", "")]).starts_with("AWS_REGION is not set: set it to the region"));
        assert!(error(&[("SAMEROOM_PUBLIC_URL", "sameroom")]).contains("is not an address"));
        assert!(read(&[]).unwrap().key().unwrap_err().text().starts_with("SAMEROOM_KMS_KEY is not set"));
    }
}
