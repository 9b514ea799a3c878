//! A job as the body of a message: one line of JSON with what SQS would not carry unchanged, then the job's body. Group
//! names and dedup ids may be longer, and of other characters, than SQS takes: it gets their hashes.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use sameroom_engine::ports::{NewJob, Unavailable};
use sameroom_model::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest message, in bytes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
pub(crate) const MESSAGE_MAX: usize = 1_048_576;

/// What a message's body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) group: String,
    /// How many attempts were made before the job was sent.
    pub(crate) attempts: u32,
    pub(crate) maybe: bool,
    /// Before when it is not to be leased, in milliseconds since 1970.
    pub(crate) not_before: Option<i64>,
    pub(crate) body: Bytes,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    g: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "is_default")]
    a: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    m: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    n: Option<i64>,
    /// The body is in base64.
    #[serde(default, skip_serializing_if = "is_default")]
    e: bool,
}

/// A message's body. Fails if it is longer than SQS takes.
pub(crate) fn seal(job: &NewJob, now: Timestamp) -> Result<String, Unavailable> {
    let text = std::str::from_utf8(&job.body).ok().filter(|text| text.chars().all(may_be_sent));
    let header = Header {
        g: Cow::Borrowed(&job.group),
        a: job.attempts,
        m: job.maybe,
        n: (job.delay > Duration::ZERO).then(|| later(now, job.delay)),
        e: text.is_none(),
    };
    let mut sealed = serde_json::to_string(&header).unwrap_or_default();
    if !sealed.chars().all(may_be_sent) {
        // JSON has escapes for them.
        sealed = sealed.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff");
    }
    sealed.push('\n');
    match text {
        Some(text) => sealed.push_str(text),
        None => STANDARD.encode_string(&job.body, &mut sealed),
    }
    if sealed.len() > MESSAGE_MAX {
        return Err(Unavailable::new(format_args!(
            "a job of {} bytes is longer than SQS takes ({MESSAGE_MAX}); nothing was written",
            sealed.len()
        )));
    }
    Ok(sealed)
}

/// What a message's body says. One that is none of ours is a job with that body, of the group that SQS names: it can't be
/// read further on, and is kept there.
pub(crate) fn open(message: String, group: &str) -> Opened {
    let read = || {
        let (header, body) = message.split_once('\n')?;
        let header: Header<'_> = serde_json::from_str(header).ok()?;
        let body = if header.e { STANDARD.decode(body).ok()? } else { body.as_bytes().to_vec() };
        Some(Opened {
            group: header.g.into_owned(),
            attempts: header.a,
            maybe: header.m,
            not_before: header.n,
            body: body.into(),
        })
    };
    read().unwrap_or_else(|| Opened {
        group: group.to_owned(),
        attempts: 0,
        maybe: false,
        not_before: None,
        body: message.into_bytes().into(),
    })
}

/// A name as SQS takes one: the same for the same parts, in 64 characters.
pub(crate) fn hash(parts: &[&[u8]]) -> String {
    let mut all = Vec::new();
    for part in parts {
        all.extend_from_slice(&(part.len() as u64).to_be_bytes());
        all.extend_from_slice(part);
    }
    HEXLOWER.encode(digest(&SHA256, &all).as_ref())
}

/// A time in milliseconds since 1970, so much later.
pub(crate) fn later(now: Timestamp, by: Duration) -> i64 {
    now.as_millisecond().saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX))
}

/// What SQS takes in a message: the characters of XML 1.0.
fn may_be_sent(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use sameroom_engine::ports::QueueName;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_780_315_200).unwrap()
    }

    fn job(group: &str, body: &[u8]) -> NewJob {
        NewJob {
            queue: QueueName::Events,
            group: group.into(),
            dedup: None,
            body: body.to_vec(),
            attempts: 0,
            maybe: false,
            delay: Duration::ZERO,
        }
    }

    #[test]
    fn a_job_comes_out_as_it_went_in() {
        let all: Vec<u8> = (0..=255).collect();
        for body in [
            b"".as_slice(),
            b"{\"v\":1}\n\nand more",
            "\u{fffd}\u{10ffff}é".as_bytes(),
            "\u{ffff}".as_bytes(),
            b"\0",
            &all,
        ] {
            for group in ["g", "a\0b '%", "\u{ffff}\u{fffe}\n"] {
                let job = NewJob { attempts: 3, maybe: true, delay: Duration::from_millis(1500), ..job(group, body) };
                let sealed = seal(&job, now()).unwrap();
                assert!(sealed.chars().all(may_be_sent), "{sealed:?}");
                let opened = open(sealed, "?");
                assert_eq!((opened.group.as_str(), &opened.body[..]), (group, body));
                assert_eq!((opened.attempts, opened.maybe, opened.not_before), (3, true, Some(1_780_315_201_500)));
            }
        }
    }

    #[test]
    fn what_is_as_always_is_not_written() {
        assert_eq!(seal(&job("g", b"x"), now()).unwrap(), "{\"g\":\"g\"}\nx");
    }

    #[test]
    fn what_is_none_of_ours_is_a_job_as_it_is() {
        for text in ["", "hello", "{}\nx", "{\"g\":\"g\",\"e\":true}\n!"] {
            let opened = open(text.to_owned(), "group");
            assert_eq!((opened.group.as_str(), &opened.body[..]), ("group", text.as_bytes()));
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        assert!(seal(&job("g", &vec![b'x'; MESSAGE_MAX - 10]), now()).is_ok());
        let why = seal(&job("g", &vec![b'x'; MESSAGE_MAX]), now()).unwrap_err().why;
        assert!(why.contains("longer than SQS takes"), "{why}");
    }

    #[test]
    fn hashes_tell_parts_apart() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_eq!(hash(&[b"a"]).len(), 64);
    }
}
