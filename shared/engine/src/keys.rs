//! The one key schema. Every key of every row is made here, from parts that can't run into each other: `/` parts them,
//! and a `/` or `%` within one is escaped (threat T5).

use aws_lc_rs::digest::{SHA256, digest as hash_of};
use sameroom_model::{
    AccountId, DeliveryId, EventId, GuestId, KeyId, Lane, MessageKey, OwnerId, PortalId, RoomKey, RoomRef, Timestamp,
    TubeId,
};

use crate::ports::Key;

/// The sort key of the row that a partition is named after.
pub(crate) const SELF: &str = "@";
/// Sort keys of a room's Tubes begin so.
pub(crate) const TUBE: &str = "tube/";
/// Sort keys of a room's lanes that are not idle begin so.
pub(crate) const LANE: &str = "lane/";
/// Sort keys of an account's rooms begin so.
pub(crate) const ROOM: &str = "room/";
/// Sort keys of an owner's accounts begin so.
pub(crate) const ACCOUNT: &str = "account/";
/// Sort keys of the rooms that an account can see begin so.
pub(crate) const LISTING: &str = "listing/";
/// Sort keys of the people that an account knows begin so.
pub(crate) const WHO_USER: &str = "who/user/";
/// Sort keys of the leaves next to a room begin so.
pub(crate) const LEAF: &str = "leaf/";
/// The sort key of what [`room_ids`] says.
pub(crate) const FOREIGN_IDS: &str = "ids";
/// How long a [`digest`] is.
const DIGEST: usize = 20;
/// Sort keys of a hosted room's entries begin so.
pub(crate) const ENTRY: &str = "entry/";

/// The partition of all owners.
pub(crate) const OWNERS: &str = "owners";
/// Sort keys of owners begin so.
pub(crate) const OWNER: &str = "owner/";
/// Sort keys of an owner's API keys begin so.
pub(crate) const KEY: &str = "key/";
/// Sort keys of an owner's Portals begin so.
pub(crate) const PORTAL: &str = "portal/";
/// Sort keys of a Portal's guests begin so.
pub(crate) const GUEST: &str = "guest/";
/// Sort keys of an owner's changes begin so.
pub(crate) const SEQ: &str = "seq/";

/// Joins parts; see the top of this file.
pub fn join(parts: &[&str]) -> String {
    let mut out = String::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            out.push('/');
        }
        if part.bytes().any(|b| b == b'/' || b == b'%') {
            for c in part.chars() {
                match c {
                    '/' => out.push_str("%2F"),
                    '%' => out.push_str("%25"),
                    c => out.push(c),
                }
            }
        } else {
            out.push_str(part);
        }
    }
    out
}

fn key(partition: String, sort: impl Into<String>) -> Key {
    Key { partition, sort: sort.into() }
}

pub(crate) fn account(id: &AccountId) -> Key {
    key(join(&["account", id.as_str()]), SELF)
}

pub(crate) fn account_room(room: &RoomRef) -> Key {
    key(join(&["account", room.account.as_str()]), join(&["room", room.key.as_str()]))
}

/// The partition of the accounts that hold a connection, by id.
pub(crate) const HELD: &str = "held";

pub(crate) fn held(id: &AccountId) -> Key {
    key(HELD.to_owned(), join(&[id.as_str()]))
}

/// Who leads in a role that several processes stand for.
pub(crate) fn lead(role: &str) -> Key {
    key(join(&["lead", role]), SELF)
}

/// Which installation of an app a tenant of the platform's is.
pub(crate) fn tenant(app: &AccountId, tenant: &str) -> Key {
    key(join(&["tenant", app.as_str(), tenant]), SELF)
}

/// Rows of an app's installations, in the app's partition: so that they can be counted.
pub(crate) const INSTALLED: &str = "installed/";

pub(crate) fn installed(app: &AccountId, id: &AccountId) -> Key {
    key(account(app).partition, join(&["installed", id.as_str()]))
}

/// What is known of a person, room or group of an account.
pub(crate) fn who(account: &AccountId, kind: &str, of: &str) -> Key {
    key(join(&["account", account.as_str()]), join(&["who", kind, of]))
}

/// Where it is kept when an account's rooms were listed.
pub(crate) fn listed(account: &AccountId) -> Key {
    key(join(&["account", account.as_str()]), "listed")
}

/// A room that an account can see; `folded` orders them for people.
pub(crate) fn listing(account: &AccountId, folded: &str, room: &RoomKey) -> Key {
    key(join(&["account", account.as_str()]), join(&["listing", folded, room.as_str()]))
}

/// An onboarding under way. Its owner is part of where it is, so that nobody else finds it.
pub(crate) fn onboarding(owner: &OwnerId, id: &str) -> Key {
    key(join(&["onboarding", owner.as_str(), id]), SELF)
}

/// Which onboarding a browser comes back to, by the hash of its state.
pub(crate) fn onboarding_state(state: &str) -> Key {
    key(join(&["onboarding-state", &hash(state)]), SELF)
}

/// A file that is handed out, by the hash of its token.
pub(crate) fn file(token: &str) -> Key {
    key(join(&["file", &hash(token)]), SELF)
}

pub(crate) fn owner(id: &OwnerId) -> String {
    join(&["owner", id.as_str()])
}

pub(crate) fn owner_account(owner_id: &OwnerId, id: &AccountId) -> Key {
    key(owner(owner_id), join(&["account", id.as_str()]))
}

pub(crate) fn owner_tube(owner_id: &OwnerId, id: &TubeId) -> Key {
    key(owner(owner_id), join(&["tube", id.as_str()]))
}

/// How a room is named in changes.
pub fn room_id(room: &RoomRef) -> String {
    join(&[room.account.as_str(), room.key.as_str()])
}

pub(crate) fn room_partition(room: &RoomRef) -> String {
    join(&["room", room.account.as_str(), room.key.as_str()])
}

pub(crate) fn room(room: &RoomRef) -> Key {
    key(room_partition(room), SELF)
}

pub(crate) fn room_tube(room: &RoomRef, id: &TubeId) -> Key {
    key(room_partition(room), join(&["tube", id.as_str()]))
}

/// Where it is kept that a room's platform said that the room is closed, and why.
pub(crate) fn room_closed(room: &RoomRef) -> Key {
    key(room_partition(room), "closed")
}

pub(crate) fn room_seen(room: &RoomRef) -> Key {
    key(room_partition(room), "seen")
}

/// Where the answer to a request is kept that is to be done once.
pub(crate) fn once(owner_id: &OwnerId, asked: &str, id: &str) -> Key {
    key(join(&["once", owner_id.as_str(), &digest(&[asked, id])]), SELF)
}

pub(crate) fn lane(lane: &Lane) -> Key {
    key(room_partition(&lane.from), join(&["lane", lane.to.account.as_str(), lane.to.key.as_str()]))
}

/// The group of a room's events, on the queue of events.
pub(crate) fn event_group(room: &RoomRef) -> String {
    room_partition(room)
}

/// The group of a lane's deliveries, on the queue of outboxes.
pub(crate) fn lane_group(lane: &Lane) -> String {
    join(&[lane.from.account.as_str(), lane.from.key.as_str(), lane.to.account.as_str(), lane.to.key.as_str()])
}

/// The room that a group of events is of.
pub(crate) fn room_of(group: &str) -> Option<RoomRef> {
    match split(group).as_slice() {
        [_, account, key] => Some(RoomRef::new(account.as_str(), key.as_str())),
        _ => None,
    }
}

/// The lane that a group of deliveries is of.
pub(crate) fn lane_of(group: &str) -> Option<Lane> {
    match split(group).as_slice() {
        [a, from, b, to] => {
            Some(Lane { from: RoomRef::new(a.as_str(), from.as_str()), to: RoomRef::new(b.as_str(), to.as_str()) })
        }
        _ => None,
    }
}

fn split(joined: &str) -> Vec<String> {
    joined.split('/').map(|part| part.replace("%2F", "/").replace("%25", "%")).collect()
}

/// The last part of a joined key.
pub(crate) fn last_part(joined: &str) -> Option<String> {
    split(joined).pop()
}

/// The dedup id of an event.
pub(crate) fn event_dedup(account: &AccountId, event: &EventId) -> String {
    join(&[account.as_str(), event.as_str()])
}

pub(crate) fn tube(id: &TubeId) -> Key {
    key(join(&["tube", id.as_str()]), SELF)
}

/// Where it is noted what a message is a copy of, and by the id of the delivery that made it, what the copy is.
pub(crate) fn copy(room: &RoomRef, key_there: &str) -> Key {
    key(join(&["copy", room.account.as_str(), room.key.as_str(), key_there]), SELF)
}

/// What [`room_leaf`]s are derived from.
pub(crate) fn room_neighbours(room: &RoomRef) -> Key {
    key(room_partition(room), "neighbours")
}

/// Where a room keeps that another has no Tube but the one between them.
pub(crate) fn room_leaf(room: &RoomRef, leaf: &RoomRef) -> Key {
    key(room_partition(room), join(&["leaf", leaf.account.as_str(), leaf.key.as_str()]))
}

/// Where it is kept that messages which we post in a room get ids that are not ours.
pub(crate) fn room_ids(room: &RoomRef) -> Key {
    key(room_partition(room), FOREIGN_IDS)
}

/// The id of the delivery that posts a message along a lane: whoever knows the message finds its copy by it.
pub(crate) fn post_id(lane: &Lane, message: &MessageKey) -> DeliveryId {
    let (from, to) = (&lane.from, &lane.to);
    let parts =
        [from.account.as_str(), from.key.as_str(), to.account.as_str(), to.key.as_str(), "post", message.as_str()];
    digest(&parts).into()
}

/// The id of any other delivery along a lane.
pub(crate) fn delivery_id(lane: &Lane, event: &EventId) -> DeliveryId {
    let (from, to) = (&lane.from, &lane.to);
    digest(&[from.account.as_str(), from.key.as_str(), to.account.as_str(), to.key.as_str(), event.as_str()]).into()
}

/// Whether a message's key may be an id that a delivery of ours proposed. See [`Delivery::part_id`].
///
/// [`Delivery::part_id`]: sameroom_model::Delivery::part_id
pub(crate) fn is_proposed(message: &MessageKey) -> bool {
    let (id, part) = message.as_str().split_once('-').unwrap_or((message.as_str(), "0"));
    id.len() == DIGEST
        && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'))
        && part.bytes().all(|b| b.is_ascii_digit())
}

pub(crate) fn failed_partition(owner_id: &OwnerId) -> String {
    join(&["failed", owner_id.as_str()])
}

pub(crate) fn failed(owner_id: &OwnerId, at: Timestamp, id: &DeliveryId) -> Key {
    key(failed_partition(owner_id), failed_sort(at, id.as_str()))
}

pub(crate) fn failed_sort(at: Timestamp, id: &str) -> String {
    format!("{:013}-{id}", at.as_millisecond().max(0))
}

pub(crate) fn letters_partition(owner_id: &OwnerId) -> String {
    join(&["letter", owner_id.as_str()])
}

pub(crate) fn hosted_partition(room: &RoomRef) -> String {
    join(&["hosted", room.account.as_str(), room.key.as_str()])
}

pub(crate) fn hosted(room: &RoomRef) -> Key {
    key(hosted_partition(room), SELF)
}

pub(crate) fn hosted_entry(room: &RoomRef, seq: u64) -> Key {
    key(hosted_partition(room), hosted_sort(seq))
}

pub(crate) fn hosted_sort(seq: u64) -> String {
    format!("entry/{seq:012}")
}

pub(crate) fn hosted_key(room: &RoomRef, message: &MessageKey) -> Key {
    key(hosted_partition(room), join(&["key", message.as_str()]))
}

/// What counts something that may happen only so often in a minute.
pub(crate) fn limit(what: &str, of: &[&str], minute: i64) -> Key {
    key(join(&["limit", what, &join(of)]), minute.to_string())
}

/// Where it is found which room a code connects with, by the code's hash.
pub(crate) fn code(hash: &str) -> Key {
    key(join(&["code", hash]), SELF)
}

/// Where it is found which code a room has open.
pub(crate) fn code_of(room: &RoomRef) -> Key {
    key(join(&["code-of", room.account.as_str(), room.key.as_str()]), SELF)
}

/// Where it is found which room's network a link shows, by its token's hash.
pub(crate) fn chart(hash: &str) -> Key {
    key(join(&["chart", hash]), SELF)
}

/// The rooms that a ping still waits for.
pub(crate) fn ping_partition(room: &RoomRef, ping: &EventId) -> String {
    join(&["ping", room.account.as_str(), room.key.as_str(), ping.as_str()])
}

pub(crate) fn ping(room: &RoomRef, ping: &EventId, to: &RoomRef) -> Key {
    key(ping_partition(room, ping), join(&[to.account.as_str(), to.key.as_str()]))
}

/// The group of the job that tells which rooms have not answered a ping; on the queue of outboxes.
pub(crate) fn ping_group(room: &RoomRef, ping: &EventId) -> String {
    join(&["ping", &ping_partition(room, ping)])
}

/// Whether a group is such a job's. Lanes' groups have four parts.
pub(crate) fn is_ping_group(group: &str) -> bool {
    group.starts_with("ping/") && split(group).len() == 2
}

pub(crate) fn owner_row(id: &OwnerId) -> Key {
    key(OWNERS.to_owned(), join(&["owner", id.as_str()]))
}

pub(crate) fn owner_key(owner_id: &OwnerId, id: &KeyId) -> Key {
    key(owner(owner_id), join(&["key", id.as_str()]))
}

/// Where it is found whose an API key is, by the token's hash.
pub(crate) fn key_hash(hash: &str) -> Key {
    key(join(&["key", hash]), SELF)
}

pub(crate) fn owner_portal(owner_id: &OwnerId, id: &PortalId) -> Key {
    key(owner(owner_id), join(&["portal", id.as_str()]))
}

/// Where it is found which Portal a token opens, by the token's hash.
pub(crate) fn portal_hash(hash: &str) -> Key {
    key(join(&["portal-token", hash]), SELF)
}

pub(crate) fn guests_partition(owner_id: &OwnerId, id: &PortalId) -> String {
    join(&["guests", owner_id.as_str(), id.as_str()])
}

pub(crate) fn guest(owner_id: &OwnerId, portal: &PortalId, id: &GuestId) -> Key {
    key(guests_partition(owner_id, portal), join(&["guest", id.as_str()]))
}

pub(crate) fn changes_partition(owner_id: &OwnerId) -> String {
    join(&["change", owner_id.as_str()])
}

pub(crate) fn changes_head(owner_id: &OwnerId) -> Key {
    key(changes_partition(owner_id), SELF)
}

pub(crate) fn change(owner_id: &OwnerId, seq: u64) -> Key {
    key(changes_partition(owner_id), change_sort(seq))
}

pub(crate) fn change_sort(seq: u64) -> String {
    format!("{SEQ}{seq:016}")
}

/// What a secret is known by: SHA-256 in base64url.
pub(crate) fn secret_hash(secret: &str) -> String {
    data_encoding::BASE64URL_NOPAD.encode(hash_of(&SHA256, secret.as_bytes()).as_ref())
}

/// What a random token is found by: who reads the store learns none.
pub(crate) fn hash(token: &str) -> String {
    let mut text = data_encoding::BASE32_NOPAD.encode(hash_of(&SHA256, token.as_bytes()).as_ref());
    text.make_ascii_lowercase();
    text
}

/// A short id made of everything that makes it what it is: the first 100 bits of SHA-256 over the parts, in base32.
pub(crate) fn digest(parts: &[&str]) -> String {
    let hash = hash_of(&SHA256, join(parts).as_bytes());
    let mut text = data_encoding::BASE32_NOPAD.encode(&hash.as_ref()[..13]);
    text.make_ascii_lowercase();
    text.truncate(DIGEST);
    text
}

#[cfg(test)]
mod tests {
    use sameroom_model::{Lane, RoomRef};

    use super::join;

    #[test]
    fn t5_parts_never_run_into_each_other() {
        assert_ne!(join(&["a", "b/c"]), join(&["a/b", "c"]));
        assert_ne!(join(&["a%2Fb"]), join(&["a/b"]));
        assert_eq!(join(&["a", "#x", "y"]), "a/#x/y");
    }

    #[test]
    fn what_we_propose_is_known_by_its_form() {
        let lane = Lane { from: RoomRef::new("a", "x"), to: RoomRef::new("b", "y") };
        let (post, event) = (super::post_id(&lane, &"m".into()), super::delivery_id(&lane, &"post/m".into()));
        assert_ne!(post, event);
        for proposed in [post.to_string(), format!("{post}-1"), event.to_string()] {
            assert!(super::is_proposed(&proposed.as_str().into()), "{proposed}");
        }
        for theirs in ["", "m1", "1700000000.000100", "own/aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaa-x"] {
            assert!(!super::is_proposed(&theirs.into()), "{theirs}");
        }
    }

    #[test]
    fn groups_tell_what_they_are_of() {
        let (a, b) = (RoomRef::new("acc/1", "#x%2F/"), RoomRef::new("b", "%"));
        assert!(super::is_ping_group(&super::ping_group(&a, &"e".into())));
        let odd = Lane { from: RoomRef::new("ping", "x"), to: b.clone() };
        assert!(!super::is_ping_group(&super::lane_group(&odd)));
        assert_eq!(super::room_of(&super::event_group(&a)), Some(a.clone()));
        let lane = Lane { from: a, to: b };
        assert_eq!(super::lane_of(&super::lane_group(&lane)), Some(lane));
    }
}
