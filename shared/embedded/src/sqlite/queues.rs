//! What of the queues is in memory: which groups wait, which are leased, and the first jobs of each. It must not know
//! the database: the writer tells it what was committed, and whoever leases hands it pages that it asked for.
//!
//! The happy path never reads a job back: a committed job goes straight to its group's buffer, as long as everything
//! older of its group is in memory too. Buffers are bounded; what does not fit is only counted, and paged in once the
//! buffer in front of it is empty. So memory stays flat, whatever the backlog.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sameroom_engine::ports::{Batch, Leased, NewJob, QueueName, Receipt};
use sameroom_model::Timestamp;

/// Jobs of one lease, and so of one group in the hands of a worker, at most.
pub(super) const LEASE_MAX: usize = 64;
/// Jobs that one group keeps in memory.
const GROUP_JOBS: usize = 64;
/// Bytes of bodies kept in memory over all groups, leased ones apart.
const BUFFER_BYTES: usize = 32 << 20;

/// A job in memory.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: i64,
    pub(super) body: Bytes,
    pub(super) attempts: u32,
    pub(super) maybe: bool,
    /// Microseconds since 1970.
    pub(super) accepted: i64,
    /// Not before this instant, on the monotonic clock.
    pub(super) due: Option<Instant>,
}

/// Where a group stands. Each group is in exactly one of these states.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// Not decided: it is being changed.
    Loose,
    /// In `ready` since then.
    Ready(Instant),
    /// In `delayed` until then.
    Delayed(Instant),
    /// Some of its jobs are leased.
    Leased,
    /// Its next page is being read; ready since then.
    Loading(Instant),
}

struct Group {
    name: Arc<str>,
    /// The oldest jobs that are not leased, in order of id.
    buffer: VecDeque<Job>,
    /// Jobs given back from a lease that has others still open.
    returned: Vec<Job>,
    /// How many jobs come after the buffer, on disk only.
    on_disk: u64,
    /// The newest id that is, or was, in memory. What is on disk only has a higher one.
    seen: i64,
    leased: u32,
    /// Its jobs were hurried while some were leased: what comes back is not held back.
    hurried: bool,
    stand: Stand,
}

struct Lease {
    queue: QueueName,
    group: usize,
    job: Job,
    settling: bool,
}

#[derive(Default)]
struct Queue {
    by_name: HashMap<Arc<str>, usize>,
    groups: Vec<Group>,
    free: Vec<usize>,
    /// First come, first served. Being served sends a group to the back, so a long backlog starves nobody.
    ready: VecDeque<usize>,
    delayed: BTreeSet<(Instant, usize)>,
}

/// All queues.
pub(super) struct Queues {
    all: [Queue; 3],
    leases: HashMap<u64, Lease>,
    /// Bytes of bodies in buffers, and how many there may be.
    buffered: usize,
    room: usize,
    /// The newest id that was told here. A page must not go beyond it.
    published: i64,
    closed: bool,
}

/// What there is to lease.
pub(super) enum Look {
    Batch(Batch),
    /// Read this page, hand it to [`Queues::loaded`] and look again.
    Load(Page),
    /// Nothing before that instant, or before something is published.
    Wait(Option<Instant>),
    Closed,
}

/// Jobs to read from disk: `after < id <= upto`, in order of id.
pub(super) struct Page {
    pub(super) queue: QueueName,
    pub(super) group: Arc<str>,
    pub(super) after: i64,
    pub(super) upto: i64,
    pub(super) limit: usize,
    index: usize,
}

/// What became of a leased job.
pub(super) enum Settled {
    Done,
    Again { after: Duration, counts: bool, maybe: bool },
}

/// How many groups became ready, by queue: as many waiters are worth waking.
#[derive(Default)]
pub(super) struct Woken(pub(super) [usize; 3]);

impl Queues {
    /// Takes a group that was found on disk at start, with this many jobs.
    pub(super) fn found(&mut self, queue: QueueName, name: &str, jobs: u64, now: Instant) {
        let queue = &mut self.all[place(queue)];
        let index = queue.group(name);
        queue.groups[index].on_disk = jobs;
        queue.stand(index, now);
    }

    /// Says up to which id the jobs on disk are known here.
    pub(super) fn published(&mut self, id: i64) {
        self.published = self.published.max(id);
    }

    /// Takes a job that was committed. Ids must rise.
    pub(super) fn sent(&mut self, id: i64, job: NewJob, accepted: i64, now: Instant, woken: &mut Woken) {
        self.published = id;
        let queue = &mut self.all[place(job.queue)];
        let index = queue.group(&job.group);
        let group = &mut queue.groups[index];
        let size = job.body.len();
        if group.on_disk > 0 || group.buffer.len() >= GROUP_JOBS || self.buffered + size > self.room {
            group.on_disk += 1;
        } else {
            self.buffered += size;
            group.seen = id;
            group.buffer.push_back(Job {
                id,
                body: Bytes::from(job.body),
                attempts: job.attempts,
                maybe: job.maybe,
                accepted,
                due: (!job.delay.is_zero()).then(|| now + job.delay),
            });
        }
        if group.stand == Stand::Loose {
            woken.0[place(job.queue)] += usize::from(queue.stand(index, now));
        }
    }

    /// Claims a receipt for a commit. `false` if that job is not leased, or is being settled already.
    pub(super) fn claim(&mut self, receipt: Receipt) -> bool {
        self.leases.get_mut(&receipt.0).is_some_and(|lease| !std::mem::replace(&mut lease.settling, true))
    }

    /// Gives a claim back: the commit did nothing.
    pub(super) fn unclaim(&mut self, receipt: Receipt) {
        if let Some(lease) = self.leases.get_mut(&receipt.0) {
            lease.settling = false;
        }
    }

    /// Settles a leased job, after the commit that says so. The group is free again with its last one.
    pub(super) fn settled(&mut self, receipt: Receipt, what: &Settled, now: Instant, woken: &mut Woken) {
        let Some(Lease { queue: name, group: index, mut job, .. }) = self.leases.remove(&receipt.0) else { return };
        let queue = &mut self.all[place(name)];
        let group = &mut queue.groups[index];
        if let Settled::Again { after, counts, maybe } = *what {
            job.attempts += u32::from(counts);
            job.maybe |= maybe;
            job.due = (!after.is_zero()).then(|| now + after);
            group.returned.push(job);
        }
        group.leased -= 1;
        if group.leased > 0 {
            return;
        }
        group.returned.sort_unstable_by_key(|job| job.id);
        while let Some(job) = group.returned.pop() {
            self.buffered += job.body.len();
            group.buffer.push_front(job);
        }
        if std::mem::take(&mut group.hurried) {
            group.buffer.iter_mut().for_each(|job| job.due = None);
        }
        group.stand = Stand::Loose;
        woken.0[place(name)] += usize::from(queue.stand(index, now));
    }

    /// Leases up to `max` jobs of the group that has been ready longest, or says what to wait for.
    pub(super) fn look(&mut self, name: QueueName, max: usize, now: Instant) -> Look {
        if self.closed {
            return Look::Closed;
        }
        let queue = &mut self.all[place(name)];
        queue.wake(now);
        let Some(index) = queue.ready.pop_front() else {
            return Look::Wait(queue.delayed.first().map(|(due, _)| *due));
        };
        let group = &mut queue.groups[index];
        if group.buffer.is_empty() {
            let Stand::Ready(since) = group.stand else { return Look::Wait(Some(now)) };
            group.stand = Stand::Loading(since);
            return Look::Load(Page {
                queue: name,
                group: Arc::clone(&group.name),
                after: group.seen,
                upto: self.published,
                limit: if self.buffered < self.room { GROUP_JOBS } else { max.clamp(1, LEASE_MAX) },
                index,
            });
        }
        group.stand = Stand::Leased;
        let runs = group.buffer.iter().take(max.clamp(1, LEASE_MAX));
        // The group is ready, and so its head is.
        let count = runs.take_while(|job| job.due.is_none_or(|due| due <= now)).count().max(1);
        let mut jobs = Vec::with_capacity(count);
        for job in group.buffer.drain(..count) {
            self.buffered -= job.body.len();
            group.leased += 1;
            jobs.push(leased(&job));
            self.leases.insert(job.id as u64, Lease { queue: name, group: index, job, settling: false });
        }
        Look::Batch(Batch { group: group.name.to_string(), jobs })
    }

    /// Takes a page that was read; `None` if it could not be, and will have to be asked for again. The group keeps its
    /// place in the line. Says whether a waiter should look.
    pub(super) fn loaded(&mut self, page: &Page, jobs: Option<Vec<Job>>, now: Instant) -> bool {
        let queue = &mut self.all[place(page.queue)];
        let group = &mut queue.groups[page.index];
        let Stand::Loading(since) = group.stand else { return false };
        if let Some(jobs) = jobs {
            group.on_disk = group.on_disk.saturating_sub(jobs.len() as u64);
            if jobs.len() < page.limit && self.published == page.upto {
                group.on_disk = 0; // As it should be by now. A wrong count must not make us read for ever.
            }
            for job in jobs {
                self.buffered += job.body.len();
                group.seen = job.id;
                group.buffer.push_back(job);
            }
        }
        match group.buffer.front() {
            Some(head) if head.due.is_none_or(|due| due <= now) => {
                group.stand = Stand::Ready(since);
                queue.ready.push_front(page.index);
                true
            }
            None if group.on_disk > 0 => {
                group.stand = Stand::Ready(since);
                queue.ready.push_front(page.index);
                true
            }
            _ => {
                group.stand = Stand::Loose;
                queue.stand(page.index, now)
            }
        }
    }

    /// Makes what waits in memory ready now, of the groups that `which` names. What is on disk only is behind it.
    pub(super) fn hurry(
        &mut self,
        name: QueueName,
        which: &(dyn Fn(&str) -> bool + Sync),
        now: Instant,
        woken: &mut Woken,
    ) {
        let queue = &mut self.all[place(name)];
        let named: Vec<usize> = queue.by_name.iter().filter(|(name, _)| which(name)).map(|(_, index)| *index).collect();
        for index in named {
            let group = &mut queue.groups[index];
            match group.stand {
                Stand::Delayed(due) => {
                    group.buffer.iter_mut().for_each(|job| job.due = None);
                    group.stand = Stand::Loose;
                    queue.delayed.remove(&(due, index));
                    woken.0[place(name)] += usize::from(queue.stand(index, now));
                }
                Stand::Leased => group.hurried = true,
                Stand::Loose | Stand::Ready(_) | Stand::Loading(_) => {}
            }
        }
    }

    /// How long the group that has been ready longest has waited.
    pub(super) fn lag(&mut self, name: QueueName, now: Instant) -> Duration {
        let queue = &mut self.all[place(name)];
        queue.wake(now);
        queue.ready.front().map_or(Duration::ZERO, |index| match queue.groups[*index].stand {
            Stand::Ready(since) => now.saturating_duration_since(since),
            _ => Duration::ZERO,
        })
    }

    /// Leases nothing from here on.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The ids of the jobs that are leased.
    pub(super) fn leased(&self) -> Vec<i64> {
        self.leases.keys().map(|id| *id as i64).collect()
    }
}

impl Default for Queues {
    fn default() -> Self {
        Self {
            all: <_>::default(),
            leases: HashMap::new(),
            buffered: 0,
            room: BUFFER_BYTES,
            published: 0,
            closed: false,
        }
    }
}

impl Queue {
    /// The group of that name, made if need be.
    fn group(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let name: Arc<str> = name.into();
        let group = Group {
            name: Arc::clone(&name),
            buffer: VecDeque::new(),
            returned: Vec::new(),
            on_disk: 0,
            seen: 0,
            leased: 0,
            hurried: false,
            stand: Stand::Loose,
        };
        let index = if let Some(index) = self.free.pop() {
            self.groups[index] = group;
            index
        } else {
            self.groups.push(group);
            self.groups.len() - 1
        };
        self.by_name.insert(name, index);
        index
    }

    /// Puts a loose group where it belongs; forgets it if it is empty. Says whether a waiter should look: the group is
    /// ready, or is the first to become so.
    fn stand(&mut self, index: usize, now: Instant) -> bool {
        let group = &mut self.groups[index];
        match group.buffer.front() {
            None if group.on_disk == 0 => {
                self.by_name.remove(&group.name);
                group.buffer = VecDeque::new();
                self.free.push(index);
                false
            }
            Some(Job { due: Some(due), .. }) if *due > now => {
                group.stand = Stand::Delayed(*due);
                self.delayed.insert((*due, index));
                self.delayed.first().is_some_and(|(_, first)| *first == index)
            }
            _ => {
                group.stand = Stand::Ready(now);
                self.ready.push_back(index);
                true
            }
        }
    }

    /// Makes the delayed groups ready whose time has come.
    fn wake(&mut self, now: Instant) {
        while let Some((due, index)) = self.delayed.first().copied()
            && due <= now
        {
            self.delayed.pop_first();
            self.groups[index].stand = Stand::Ready(due);
            self.ready.push_back(index);
        }
    }
}

fn leased(job: &Job) -> Leased {
    Leased {
        receipt: Receipt(job.id as u64),
        body: job.body.clone(),
        attempt: job.attempts + 1,
        maybe: job.maybe,
        accepted: Timestamp::from_microsecond(job.accepted).unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// A queue's place in arrays, and its number in the database.
pub(super) fn place(queue: QueueName) -> usize {
    match queue {
        QueueName::Events => 0,
        QueueName::Outbox => 1,
        QueueName::Held => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// What a disk would hold, and what is under lease.
    #[derive(Default)]
    struct World {
        queues: Queues,
        disk: BTreeMap<i64, (String, u32, Option<Instant>)>,
        leased: BTreeMap<String, Vec<i64>>,
        last: i64,
        now: Option<Instant>,
    }

    impl World {
        fn send(&mut self, group: u8, delay: u8) {
            let now = self.now();
            self.last += 1;
            let group = format!("g{group}");
            let delay = Duration::from_secs(u64::from(delay));
            let job = NewJob {
                queue: QueueName::Events,
                group: group.clone(),
                dedup: None,
                body: vec![0; 10],
                attempts: 0,
                maybe: false,
                delay,
            };
            self.disk.insert(self.last, (group, 0, Some(now + delay)));
            self.queues.sent(self.last, job, 0, now, &mut Woken::default());
        }

        /// Leases what there is, and checks it against the disk: the oldest jobs of a group that is free and due.
        fn lease(&mut self, max: usize) -> bool {
            let now = self.now();
            let batch = loop {
                match self.queues.look(QueueName::Events, max, now) {
                    Look::Batch(batch) => break batch,
                    Look::Load(page) => {
                        let jobs = self.read(&page);
                        self.queues.loaded(&page, Some(jobs), now);
                    }
                    Look::Wait(until) => {
                        assert_eq!(self.runnable().next(), None, "something could run");
                        assert!(until.is_none_or(|until| until > now));
                        return false;
                    }
                    Look::Closed => unreachable!(),
                }
            };
            assert!(!self.leased.contains_key(&batch.group), "one lease a group");
            let ids: Vec<i64> = batch.jobs.iter().map(|job| job.receipt.0 as i64).collect();
            let oldest: Vec<i64> = self.of(&batch.group).map(|(id, _)| id).take(ids.len()).collect();
            assert_eq!(ids, oldest, "the oldest first");
            for (id, job) in ids.iter().zip(&batch.jobs) {
                let (_, attempts, due) = &self.disk[id];
                assert_eq!(job.attempt, attempts + 1);
                assert!(due.is_none_or(|due| due <= now), "none before its time");
            }
            self.leased.insert(batch.group, ids);
            true
        }

        /// Settles one leased job of a group.
        fn settle(&mut self, group: u8, pick: usize, again: Option<u8>) {
            let now = self.now();
            let group = format!("g{group}");
            let Some(ids) = self.leased.get_mut(&group) else { return };
            let id = ids.remove(pick % ids.len());
            if ids.is_empty() {
                self.leased.remove(&group);
            }
            let settled = if let Some(after) = again {
                let after = Duration::from_secs(u64::from(after));
                let job = self.disk.get_mut(&id).unwrap();
                (job.1, job.2) = (job.1 + 1, Some(now + after));
                Settled::Again { after, counts: true, maybe: false }
            } else {
                self.disk.remove(&id);
                Settled::Done
            };
            assert!(self.queues.claim(Receipt(id as u64)) && !self.queues.claim(Receipt(id as u64)));
            self.queues.settled(Receipt(id as u64), &settled, now, &mut Woken::default());
        }

        /// What of a group is in memory, and not leased, is due at once; nothing of it is before what is on disk only.
        fn hurry(&mut self, group: u8) {
            let now = self.now();
            let name = format!("g{group}");
            if self.leased.contains_key(&name) {
                return; // What is given back later is not modelled here.
            }
            self.queues.hurry(QueueName::Events, &|which| which == name, now, &mut Woken::default());
            let queue = &self.queues.all[0];
            let Some(index) = queue.by_name.get(name.as_str()) else { return };
            for job in queue.groups[*index].buffer.iter().filter(|job| job.due.is_none()) {
                self.disk.get_mut(&job.id).unwrap().2 = None;
            }
        }

        fn read(&self, page: &Page) -> Vec<Job> {
            let wanted = self.of(&page.group).filter(|(id, _)| *id > page.after && *id <= page.upto);
            let job = |(id, (attempts, due))| Job {
                id,
                body: Bytes::from_static(&[0; 10]),
                attempts,
                maybe: false,
                accepted: 0,
                due,
            };
            wanted.take(page.limit).map(job).collect()
        }

        fn of(&self, group: &str) -> impl Iterator<Item = (i64, (u32, Option<Instant>))> {
            self.disk.iter().filter(move |(_, job)| job.0 == group).map(|(id, job)| (*id, (job.1, job.2)))
        }

        /// Groups that could be leased.
        fn runnable(&self) -> impl Iterator<Item = &String> {
            let groups: std::collections::BTreeSet<&String> = self.disk.values().map(|job| &job.0).collect();
            let now = self.now.unwrap();
            groups.into_iter().filter(move |group| {
                let head = self.of(group).next().unwrap();
                !self.leased.contains_key(*group) && head.1.1.is_none_or(|due| due <= now)
            })
        }

        fn now(&mut self) -> Instant {
            *self.now.get_or_insert_with(Instant::now)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send { group: u8, delay: u8, count: u8 },
        Lease { max: usize },
        Settle { group: u8, pick: usize, again: Option<u8> },
        Pass { seconds: u8 },
        Hurry { group: u8 },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let delay = prop_oneof![4 => Just(0), 1 => 1..5_u8];
        let again = prop_oneof![3 => Just(None), 1 => delay.clone().prop_map(Some)];
        let step = prop_oneof![
            3 => (0..4_u8, delay, 1..25_u8).prop_map(|(group, delay, count)| Step::Send { group, delay, count }),
            5 => (1..70_usize).prop_map(|max| Step::Lease { max }),
            9 => (0..4_u8, 0..70_usize, again).prop_map(|(group, pick, again)| Step::Settle { group, pick, again }),
            2 => (0..4_u8).prop_map(|seconds| Step::Pass { seconds }),
            1 => (0..4_u8).prop_map(|group| Step::Hurry { group }),
        ];
        prop::collection::vec(step, 1..120)
    }

    proptest! {
        /// Whatever is sent, leased, settled and paged in, and however little there is room for: what is leased is what
        /// a disk says comes next, and in the end everything was leased and nothing is left in memory.
        #[test]
        fn memory_agrees_with_the_disk(steps in steps(), room in prop_oneof![Just(0), 10..2000_usize, Just(1 << 20)]) {
            let mut world = World { queues: Queues { room, ..Queues::default() }, ..World::default() };
            for step in steps {
                match step {
                    Step::Send { group, delay, count } => (0..count).for_each(|_| world.send(group, delay)),
                    Step::Lease { max } => { world.lease(max); }
                    Step::Settle { group, pick, again } => world.settle(group, pick, again),
                    Step::Hurry { group } => world.hurry(group),
                    Step::Pass { seconds } => world.now = Some(world.now() + Duration::from_secs(u64::from(seconds))),
                }
            }
            world.now = Some(world.now() + Duration::from_mins(1));
            while !world.leased.is_empty() || world.lease(64) {
                (0..4).for_each(|group| world.settle(group, 0, None));
            }
            prop_assert_eq!(world.disk.len(), 0);
            prop_assert_eq!(world.queues.buffered, 0);
            prop_assert!(world.queues.leases.is_empty() && world.queues.all[0].by_name.is_empty());
            prop_assert_eq!(world.queues.all[0].free.len(), world.queues.all[0].groups.len());
        }
    }
}
