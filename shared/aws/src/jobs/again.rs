//! What is known of a job that comes again. SQS tells how often a message was received, and nothing else; what the engine
//! said when it gave the job back is noted in a row by the message's id. A receive that no note tells of was a lease that
//! was lost: whoever had it may have done anything.

use sameroom_engine::ports::{Key, Unavailable, When, Write};
use sameroom_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::envelope::Opened;

/// No message is kept by SQS for longer than 14 days.
const KEPT: std::time::Duration = std::time::Duration::from_hours(15 * 24);

/// What was noted when a job was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// How many attempts were made.
    #[serde(rename = "a")]
    pub(crate) attempts: u32,
    /// Whether one of them may have had its effect.
    #[serde(rename = "m")]
    pub(crate) maybe: bool,
    /// How often the message had been received.
    #[serde(rename = "r")]
    pub(crate) received: u32,
    /// Before when it is not to be leased, in milliseconds since 1970.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<i64>,
}

/// How a job stands when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// How many attempts were made before.
    pub(crate) attempts: u32,
    pub(crate) maybe: bool,
    /// Before when it is not to be leased, in milliseconds since 1970.
    pub(crate) not_before: Option<i64>,
}

impl Standing {
    /// How a job stands that was received so often, by what it says itself and what was noted of it.
    pub(crate) fn of(job: &Opened, received: u32, note: Option<Note>) -> Self {
        let (attempts, maybe, lost) = match note {
            Some(note) => (note.attempts, note.maybe, received.saturating_sub(note.received.saturating_add(1))),
            None => (job.attempts, job.maybe, received.saturating_sub(1)),
        };
        Self {
            attempts: attempts.saturating_add(lost),
            maybe: maybe || lost > 0,
            not_before: note.and_then(|note| note.not_before).max(job.not_before),
        }
    }
}

impl Note {
    /// Whether a job that comes again stands as it would without this note.
    pub(crate) fn is_needless(&self, job: &Opened) -> bool {
        let told = Standing::of(job, self.received + 1, None);
        told == Standing::of(job, self.received + 1, Some(*self))
    }

    /// The write that keeps it.
    pub(crate) fn write(&self, message_id: &str, now: Timestamp) -> Write {
        Write::Put {
            key: key(message_id),
            body: serde_json::to_vec(self).unwrap_or_default(),
            expires: now.checked_add(KEPT).ok(),
            when: When::Always,
        }
    }

    /// Reads one.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Unavailable> {
        serde_json::from_slice(body).map_err(|e| Unavailable::new(format_args!("a note on a job can't be read: {e}")))
    }
}

/// Where the note on a message is kept. No key of the engine's begins so.
pub(crate) fn key(message_id: &str) -> Key {
    Key { partition: format!("@again/{message_id}"), sort: "@".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(attempts: u32, maybe: bool) -> Opened {
        Opened { group: "g".into(), attempts, maybe, not_before: None, body: b"".as_slice().into() }
    }

    fn stands(job: &Opened, received: u32, note: Option<Note>) -> (u32, bool) {
        let standing = Standing::of(job, received, note);
        (standing.attempts, standing.maybe)
    }

    #[test]
    fn a_receive_without_a_note_was_a_lost_lease() {
        assert_eq!(stands(&job(0, false), 1, None), (0, false));
        assert_eq!(stands(&job(3, true), 1, None), (3, true));
        assert_eq!(stands(&job(0, false), 2, None), (1, true));
        let note = |received| Some(Note { attempts: 1, maybe: false, received, not_before: None });
        assert_eq!(stands(&job(0, false), 2, note(1)), (1, false));
        assert_eq!(stands(&job(0, false), 4, note(1)), (3, true));
        // A receive that is older than the note.
        assert_eq!(stands(&job(0, false), 2, note(4)), (1, false));
    }

    #[test]
    fn a_note_is_needless_where_the_receives_tell_as_much() {
        let note = |attempts, maybe| Note { attempts, maybe, received: 1, not_before: None };
        assert!(note(1, true).is_needless(&job(0, false)));
        assert!(!note(1, false).is_needless(&job(0, false)));
        assert!(!note(0, false).is_needless(&job(0, false)));
        assert!(!Note { not_before: Some(9), ..note(1, true) }.is_needless(&job(0, false)));
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let note = Note { attempts: 2, maybe: true, received: 7, not_before: Some(9) };
        let Write::Put { body, .. } = note.write("id", Timestamp::UNIX_EPOCH) else { panic!() };
        assert_eq!(Note::read(&body).unwrap(), note);
        assert!(Note::read(b"[]").is_err());
    }
}
