//! Keeps the write-ahead log short without making commits wait: a thread of its own copies the bulk of the log into
//! the database while the writer goes on; then the writer copies the little that came meanwhile, and the log begins
//! anew. It must not know tables.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{lock, schema};

/// Pages of 4 KiB in the log from which it is copied.
pub(super) const WHILE_BUSY: u32 = 4000;
/// The same while there is nothing else to do.
pub(super) const WHILE_IDLE: u32 = 1;
/// The writer copies as many itself rather than asking the thread.
const FEW: u32 = 500;

/// What the writer is to do.
pub(super) enum Advice {
    Nothing,
    /// Copy what is left.
    Finish,
    /// The thread met this error.
    Failed(rusqlite::Error),
}

const READY: u8 = 0;
const BUSY: u8 = 1;
const COPIED: u8 = 2;

pub(super) struct Checkpointer {
    state: Arc<AtomicU8>,
    error: Arc<Mutex<Option<rusqlite::Error>>>,
    thread: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

impl Checkpointer {
    /// Starts the thread.
    pub(super) fn start(path: &Path, durable: bool) -> rusqlite::Result<Self> {
        let connection = schema::open_checkpointer(path, durable)?;
        let state = Arc::new(AtomicU8::new(READY));
        let error = Arc::new(Mutex::new(None));
        let (bell, rung) = channel();
        let (shared, told) = (Arc::clone(&state), Arc::clone(&error));
        let work = move || {
            while rung.recv().is_ok() {
                let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
                *lock(&told) = copied.err();
                shared.store(COPIED, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("sameroom-log".into()).spawn(work);
        let thread = thread.ok().map(|thread| (bell, thread));
        Ok(Self { state, error, thread: Mutex::new(thread) })
    }

    /// What to do about a log of `pages`.
    pub(super) fn advise(&self, pages: u32, limit: u32) -> Advice {
        match self.state.load(Ordering::Acquire) {
            BUSY => Advice::Nothing,
            COPIED => {
                self.state.store(READY, Ordering::Release);
                lock(&self.error).take().map_or(Advice::Finish, Advice::Failed)
            }
            _ if limit == WHILE_IDLE && pages <= FEW => Advice::Finish,
            _ => match &*lock(&self.thread) {
                Some((bell, _)) => {
                    self.state.store(BUSY, Ordering::Release);
                    let _ = bell.send(());
                    Advice::Nothing
                }
                None => Advice::Finish,
            },
        }
    }

    /// Ends the thread, after what it does just now.
    pub(super) fn stop(&self) {
        let thread = lock(&self.thread).take();
        if let Some((bell, thread)) = thread {
            drop(bell);
            let _ = thread.join();
        }
    }
}
