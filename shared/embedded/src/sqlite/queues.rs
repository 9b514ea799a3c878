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

/// Both queues.
#[derive(Default)]
pub(super) struct Queues {
    both: [Queue; 2],
    leases: HashMap<u64, Lease>,
    buffered: usize,
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
pub(super) struct Woken(pub(super) [usize; 2]);

impl Queues {
    /// Takes a group that was found on disk at start, with this many jobs.
    pub(super) fn found(&mut self, queue: QueueName, name: &str, jobs: u64, now: Instant) {
        let queue = &mut self.both[place(queue)];
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
        let queue = &mut self.both[place(job.queue)];
        let index = queue.group(&job.group);
        let group = &mut queue.groups[index];
        let size = job.body.len();
        if group.on_disk > 0 || group.buffer.len() >= GROUP_JOBS || self.buffered + size > BUFFER_BYTES {
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
    pub(super) fn claim(&mut self, receipt: &Receipt) -> bool {
        self.leases.get_mut(&receipt.0).is_some_and(|lease| !std::mem::replace(&mut lease.settling, true))
    }

    /// Gives a claim back: the commit did nothing.
    pub(super) fn unclaim(&mut self, receipt: &Receipt) {
        if let Some(lease) = self.leases.get_mut(&receipt.0) {
            lease.settling = false;
        }
    }

    /// Settles a leased job, after the commit that says so. The group is free again with its last one.
    pub(super) fn settled(&mut self, receipt: &Receipt, what: &Settled, now: Instant, woken: &mut Woken) {
        let Some(Lease { queue: name, group: index, mut job, .. }) = self.leases.remove(&receipt.0) else { return };
        let queue = &mut self.both[place(name)];
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
        group.stand = Stand::Loose;
        woken.0[place(name)] += usize::from(queue.stand(index, now));
    }

    /// Leases up to `max` jobs of the group that has been ready longest, or says what to wait for.
    pub(super) fn look(&mut self, name: QueueName, max: usize, now: Instant) -> Look {
        if self.closed {
            return Look::Closed;
        }
        let queue = &mut self.both[place(name)];
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
                limit: if self.buffered < BUFFER_BYTES { GROUP_JOBS } else { max.clamp(1, LEASE_MAX) },
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
        let queue = &mut self.both[place(page.queue)];
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

    /// How long the group that has been ready longest has waited.
    pub(super) fn lag(&mut self, name: QueueName, now: Instant) -> Duration {
        let queue = &mut self.both[place(name)];
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
    }
}
