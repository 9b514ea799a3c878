//! Clients of DynamoDB, SQS and KMS that share one HTTP client, one pair of credentials and one way to fail: soon. This
//! file must not know what is called.

use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use sameroom_engine::ports::Unavailable;

use crate::Calls;
use crate::settings::Settings;
use crate::trouble::Call;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);
/// How long one attempt may take, unless the settings say otherwise.
const ATTEMPT: Duration = Duration::from_secs(3);
/// What all attempts of a call may take together, beyond three times one attempt.
const PAUSES: Duration = Duration::from_secs(1);
const ATTEMPTS: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// Clients of what Sameroom uses. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    pub(crate) dynamo: aws_sdk_dynamodb::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    calls: Calls,
    settings: Settings,
}

impl Clients {
    /// Makes the clients; nothing is called yet. Credentials are those of the environment (`AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`: Lambda sets them), or of the container's role
    /// (`AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`: Fargate sets it). Fails if there are neither.
    #[expect(clippy::unused_async, reason = "so that what looks for credentials elsewhere may wait for them")]
    pub async fn connect(settings: &Settings) -> Result<Self, Unavailable> {
        let http = http_client()?;
        let credentials = credentials(&http)?;
        Ok(Self::on(settings, http, credentials))
    }

    pub(crate) fn on(settings: &Settings, http: SharedHttpClient, credentials: SharedCredentialsProvider) -> Self {
        let attempt = settings.attempt.unwrap_or(ATTEMPT);
        let mut config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(credentials)
            .identity_cache(aws_config::identity::IdentityCache::lazy().build())
            .http_client(http)
            .sleep_impl(aws_sdk_dynamodb::config::SharedAsyncSleep::new(TokioSleep::new()))
            .time_source(SystemTimeSource::new())
            .timeout_config(timeouts(attempt, attempt * 3 + PAUSES))
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_PAUSE))
            // Time-outs of attempts do as much, for answers as small as these.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(settings.endpoint.clone());
        let config = config.build();
        let calls = Calls::default();
        let dynamo = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(calls.clone()).build();
        let sqs = aws_sdk_sqs::config::Builder::from(&config).interceptor(calls.clone()).build();
        let kms = aws_sdk_kms::config::Builder::from(&config).interceptor(calls.clone()).build();
        Self {
            dynamo: aws_sdk_dynamodb::Client::from_conf(dynamo),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            kms: aws_sdk_kms::Client::from_conf(kms),
            calls,
            settings: settings.clone(),
        }
    }

    /// Opens a connection to each service, all at once, so that the first job finds them open. What fails is logged: it
    /// will fail again where it matters.
    pub async fn warm(&self) {
        tokio::join!(self.warm_dynamo(), self.warm_sqs(), self.warm_kms());
    }

    /// What was called with these clients.
    pub fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The client of DynamoDB, for tests and for what sets up a table.
    pub fn dynamo(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamo
    }

    /// The client of SQS, likewise.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// The client of KMS, likewise.
    pub fn kms(&self) -> &aws_sdk_kms::Client {
        &self.kms
    }

    async fn warm_dynamo(&self) {
        let table = &self.settings.table;
        let key = |name: &str| aws_sdk_dynamodb::types::AttributeValue::S(name.to_owned());
        let get = self.dynamo.get_item().table_name(table).key("p", key("warm")).key("s", key("warm"));
        if let Err(e) = get.send().await {
            let why = Call { name: "DynamoDB GetItem", on: table }.failed(&e);
            tracing::warn!(%why, "DynamoDB could not be warmed up");
        }
    }

    async fn warm_sqs(&self) {
        let queue = &self.settings.outbox;
        let get = self.sqs.get_queue_attributes().queue_url(queue);
        let get = get.attribute_names(aws_sdk_sqs::types::QueueAttributeName::QueueArn);
        if let Err(e) = get.send().await {
            let why = Call { name: "SQS GetQueueAttributes", on: queue }.failed(&e);
            tracing::warn!(%why, "SQS could not be warmed up");
        }
    }

    /// Asks about the key; that needs a permission of its own, and the connection is open even where it is denied.
    async fn warm_kms(&self) {
        let Some(key) = &self.settings.kms_key else { return };
        if let Err(e) = self.kms.describe_key().key_id(key).send().await {
            let why = Call { name: "KMS DescribeKey", on: key }.failed(&e);
            tracing::debug!(%why, "KMS could not be warmed up");
        }
    }
}

/// Time-outs for one attempt and for all of them.
pub(crate) fn timeouts(attempt: Duration, overall: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(overall)
        .build()
}

fn credentials(http: &SharedHttpClient) -> Result<SharedCredentialsProvider, Unavailable> {
    let set = |name: &str| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    if set("AWS_ACCESS_KEY_ID") {
        return Ok(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()));
    }
    if set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") || set("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        let config = ProviderConfig::without_region().with_http_client(http.clone());
        return Ok(SharedCredentialsProvider::new(EcsCredentialsProvider::builder().configure(&config).build()));
    }
    Err(Unavailable::new(
        "there are no AWS credentials: run this as a Lambda function or a Fargate task with a role, or set \
         AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ))
}

/// The HTTP client that they share.
pub(crate) fn http_client() -> Result<SharedHttpClient, Unavailable> {
    crate::http::client(CONNECT)
}
