//! The store's contract, kept on AWS as far as AWS can. What it can't is told at [`AwsStore`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sameroom_aws::{AwsStore, SystemClock};
use sameroom_engine::ports::Clock as _;
use sameroom_model::Timestamp;
use sameroom_tests::contract::store::{Lacks, Subject};

use crate::stack::Stack;

#[async_trait]
impl Subject for Stack {
    type Store = AwsStore;

    fn store(&self) -> Arc<AwsStore> {
        Arc::clone(&self.store)
    }

    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// SQS hides messages for whole seconds.
    fn tick(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// A receive has a network to cross.
    fn glance(&self) -> Duration {
        Duration::from_millis(300)
    }

    /// ministack looks through a whole queue at each receive.
    fn many(&self) -> usize {
        700
    }

    fn lacks(&self) -> Lacks {
        Lacks { told_duplicates: true, dedup_across_groups: true, lag: true, turns: true }
    }
}

sameroom_tests::store_contract!(on_aws, Stack::new);
