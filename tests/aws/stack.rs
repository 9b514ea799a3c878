//! What the template makes, made by hand: a table and queues of its own for each test.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName;
use sameroom_aws::{AwsStore, Clients, Settings, SystemClock};
use sameroom_engine::Config;
use sameroom_tests::ministack;

/// How long one call may take: a local AWS is one thread, and a machine that tests may be busy.
const ATTEMPT: Duration = Duration::from_secs(30);

/// A table, three queues, and what reaches them.
pub(crate) struct Stack {
    pub(crate) settings: Settings,
    pub(crate) clients: Clients,
    pub(crate) store: Arc<AwsStore>,
}

impl Stack {
    /// A fresh one.
    pub(crate) async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let endpoint = tokio::task::spawn_blocking(ministack::endpoint).await.unwrap();
        let mut settings = Settings {
            table: name.clone(),
            region: "us-east-1".to_owned(),
            endpoint: Some(endpoint.to_owned()),
            attempt: Some(ATTEMPT),
            measure: true,
            ..Settings::default()
        };
        let clients = Clients::connect(&settings).await.unwrap();
        table(&clients, &name).await;
        settings.events = queue(&clients, &format!("{name}-events.fifo")).await;
        settings.outbox = queue(&clients, &format!("{name}-outbox.fifo")).await;
        settings.held = queue(&clients, &format!("{name}-held.fifo")).await;
        clients.calls().reset();
        let store = AwsStore::new(&clients, &settings, Arc::new(SystemClock), "test");
        Self { settings, clients, store }
    }

    /// Another process on the same.
    pub(crate) async fn again(&self) -> Self {
        let clients = Clients::connect(&self.settings).await.unwrap();
        let store = AwsStore::new(&clients, &self.settings, Arc::new(SystemClock), "test");
        Self { settings: self.settings.clone(), clients, store }
    }
}

async fn table(clients: &Clients, name: &str) {
    let key = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    let text = |name: &str| {
        let text = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
        text.build().unwrap()
    };
    let table = clients.dynamo().create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let table = table.key_schema(key("p", KeyType::Hash)).key_schema(key("s", KeyType::Range));
    table.attribute_definitions(text("p")).attribute_definitions(text("s")).send().await.unwrap();
    let expiry = TimeToLiveSpecification::builder().attribute_name("x").enabled(true).build().unwrap();
    clients.dynamo().update_time_to_live().table_name(name).time_to_live_specification(expiry).send().await.unwrap();
}

async fn queue(clients: &Clients, name: &str) -> String {
    let attributes = HashMap::from([
        (QueueAttributeName::FifoQueue, "true"),
        (QueueAttributeName::DeduplicationScope, "messageGroup"),
        (QueueAttributeName::FifoThroughputLimit, "perMessageGroupId"),
        (QueueAttributeName::VisibilityTimeout, "90"),
        (QueueAttributeName::MessageRetentionPeriod, "1209600"),
    ]);
    let attributes = attributes.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let made = clients.sqs().create_queue().queue_name(name).set_attributes(Some(attributes)).send().await.unwrap();
    made.queue_url.unwrap()
}

/// Retries that come as soon as SQS can: a second is its least.
pub(crate) fn soon(config: &mut Config) {
    let soon = vec![Duration::from_millis(20)];
    (config.retry, config.unreachable) = (soon.clone(), soon);
    config.ping_wait = Duration::from_secs(4);
}
