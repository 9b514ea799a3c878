//! The store's contract, kept by the stores of one machine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sameroom_embedded::{Memory, Sqlite, SqliteOptions, SystemClock, TestClock};
use sameroom_engine::ports::Clock;
use sameroom_model::Timestamp;
use sameroom_tests::contract::store::Subject;

struct InMemory {
    clock: TestClock,
    store: Arc<Memory>,
}

#[async_trait]
impl Subject for InMemory {
    type Store = Memory;

    fn store(&self) -> Arc<Memory> {
        Arc::clone(&self.store)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }
}

async fn memory() -> InMemory {
    let clock = TestClock::default();
    InMemory { store: Memory::new(clock.clone()), clock }
}

struct OnDisk {
    store: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Subject for OnDisk {
    type Store = Sqlite;

    fn store(&self) -> Arc<Sqlite> {
        Arc::clone(&self.store)
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

async fn sqlite() -> OnDisk {
    let folder = tempfile::tempdir().unwrap();
    OnDisk { store: Sqlite::open(folder.path(), SqliteOptions::default()).unwrap(), _folder: folder }
}

sameroom_tests::store_contract!(in_memory, memory);
sameroom_tests::store_contract!(in_sqlite, sqlite);
sameroom_tests::store_hurries!(in_memory_hurries, memory);
sameroom_tests::store_hurries!(in_sqlite_hurries, sqlite);
