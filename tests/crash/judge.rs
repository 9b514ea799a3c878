//! The verdict over a ledger: nothing lost, in order, and duplicates only where a death may make them, recognisable by
//! their id. It must not know how anybody died.

use std::collections::BTreeMap;
use std::time::Duration;

use sameroom_tests::hook::Entry;
use tokio::time::Instant;

/// How long before a death a message may have been taken that is posted again after it: what was on its way to the
/// store then.
const WINDOW: Duration = Duration::from_secs(2);

/// How often the binary died in one way, and how many duplicates that made.
pub(crate) type Duplicates = BTreeMap<String, (usize, usize)>;

/// Judges the ledger of messages `1` to `count`, given how and when the binary died.
pub(crate) fn judge(ledger: &[Entry], count: usize, deaths: &[(String, Instant)]) -> Duplicates {
    let mut duplicates = Duplicates::new();
    for (how, _) in deaths {
        duplicates.entry(how.clone()).or_default().0 += 1;
    }
    let mut first: BTreeMap<usize, &Entry> = BTreeMap::new();
    let mut last = 0;
    for entry in ledger {
        let n: usize = entry.text().parse().expect("a message says its number");
        if let Some(before) = first.get(&n) {
            assert_eq!(entry.id, before.id, "message {n} came twice, under two ids: nobody can tell that it is one");
            let death = deaths.iter().find(|(_, at)| (before.at..entry.at).contains(at));
            let (how, at) = death.unwrap_or_else(|| panic!("message {n} came twice, and nobody died in between"));
            let ago = at.duration_since(before.at);
            assert!(ago < WINDOW, "message {n} came again after '{how}', though it was taken {ago:?} before");
            duplicates.entry(how.clone()).or_default().1 += 1;
        } else {
            assert_eq!(n, last + 1, "message {n} came after message {last}");
            first.insert(n, entry);
            last = n;
        }
    }
    assert_eq!(last, count, "of {count} messages that were taken {last} came");
    duplicates
}

/// Judges the store's own counts: everything that was taken is accounted for, and the notices that a new Tube makes in
/// both its rooms.
pub(crate) fn balanced(metrics: &BTreeMap<String, f64>, count: usize) {
    let owed = count + 2;
    let of = |name: &str| metrics.get(&format!("sameroom_{name}_total")).copied().unwrap_or_default() as usize;
    assert_eq!(of("events_accepted"), count, "events accepted: {metrics:#?}");
    assert_eq!(of("events_relayed") + of("events_filtered"), count, "events relayed: {metrics:#?}");
    assert_eq!(of("copies_owed"), owed, "copies owed: {metrics:#?}");
    assert_eq!(of("copies_delivered") + of("copies_left_out"), owed, "copies delivered: {metrics:#?}");
    assert_eq!(of("copies_dead") + of("copies_expired"), 0, "copies not delivered: {metrics:#?}");
}
